//! The child's side: reads its order, does it, says how it went, and ends when nobody listens any more.

use super::super::error::EngineError;
use super::job::{Holding, perform};
use super::messages::{Event, Order};
use super::reporter::Reporter;
use std::io::{BufRead, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

/// To take the lock away when the provider has ended; it is half of what the command line leaves a provider.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// What `terraform-provider-dr worker` does.
pub fn worker_main() -> ExitCode {
    let reporter = Arc::new(Reporter::default());
    let result = read_order().and_then(|order| run(order, &reporter));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            reporter.say(&Event::Failed(error));
            ExitCode::FAILURE
        }
    }
}

fn failed(reason: impl std::fmt::Display) -> EngineError {
    EngineError::Worker { reason: reason.to_string(), log: Vec::new() }
}

fn read_order() -> Result<Order, EngineError> {
    let mut line = Zeroizing::new(String::new());
    std::io::stdin().lock().read_line(&mut line).map_err(|error| failed(format!("got no order: {error}")))?;
    // The cause would repeat what could not be read.
    serde_json::from_str(&line).map_err(|_| failed("is started by the provider, with an order on its input"))
}

fn run(order: Order, reporter: &Arc<Reporter>) -> Result<(), EngineError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| failed(format!("could not start: {error}")))?;
    let holding = Arc::new(Holding::default());
    let watched = (holding.clone(), runtime.handle().clone());
    std::thread::spawn(move || end_with_input(&watched.0, &watched.1));

    let outcome = std::thread::scope(|scope| {
        let saying = scope.spawn(|| reporter.keep_saying());
        let outcome = catch_unwind(AssertUnwindSafe(|| perform(order, reporter, &holding, runtime.handle())));
        reporter.finish();
        saying.thread().unpark();
        outcome
    });
    let outcome = outcome.unwrap_or_else(|panic| Err(failed(format!("met an internal error: {}", text_of(&panic)))))?;
    reporter.say(&Event::Done(outcome));
    Ok(())
}

/// A closed input means that the provider has ended, however it did: so does this process, at once.
fn end_with_input(holding: &Holding, runtime: &tokio::runtime::Handle) {
    let mut rest = [0; 64];
    while matches!(std::io::stdin().lock().read(&mut rest), Ok(1..)) {}
    // What is under way on a slow line is not waited for longer; then the lock stays, too.
    let _ = runtime.block_on(async { tokio::time::timeout(LAST_WORDS, holding.let_go()).await });
    std::process::exit(3);
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}
