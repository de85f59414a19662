//! The provider's side: starts a worker, hears it, stops it.

use super::super::error::EngineError;
use super::messages::{Event, Order, Outcome};
use dr_framework::Redactor;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

/// For a worker to take its lock away, before it is killed.
const GRACE: Duration = Duration::from_millis(1200);
/// How much of what a worker says on its error output is kept.
const LOG_LINES: usize = 20;

/// What a worker is told in its environment, where that says nothing else: how the allocator of glibc keeps memory. Left alone it has a
/// heap for each thread, and what packs left behind in those is half of a verification's memory. A pack is larger than 4 MiB and
/// goes back to the kernel at once, most chunks are smaller and are kept.
/// <https://sourceware.org/glibc/manual/latest/html_node/Memory-Allocation-Tunables.html>
pub const ALLOCATOR: [(&str, &str); 3] =
    [("MALLOC_ARENA_MAX", "2"), ("MALLOC_MMAP_THRESHOLD_", "4194304"), ("MALLOC_TRIM_THRESHOLD_", "8388608")];

/// Starts worker processes. Clones share the rule that one key is derived at a time: each takes 37 MB, and 135 on a
/// repository that rustic made.
#[derive(Clone)]
pub struct Worker {
    program: PathBuf,
    arguments: Vec<OsString>,
    deriving: Arc<Semaphore>,
}

impl Default for Worker {
    fn default() -> Self {
        Worker::at("/proc/self/exe", ["worker"])
    }
}

impl Worker {
    /// Workers are `program` with `arguments`; [`Worker::default`] is this program itself.
    pub fn at<A: Into<OsString>>(program: impl Into<PathBuf>, arguments: impl IntoIterator<Item = A>) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Worker { program: program.into(), arguments, deriving: Arc::new(Semaphore::new(1)) }
    }

    /// Has a worker do it. When `cancel` ends first, the worker is stopped, and so it is when this future is dropped.
    pub async fn run(
        &self,
        order: &Order,
        on_event: &mut (dyn FnMut(&Event) + Send),
        cancel: impl Future<Output = ()> + Send,
    ) -> Result<Outcome, EngineError> {
        tokio::pin!(cancel);
        let permit = tokio::select! {
            () = &mut cancel => return Err(EngineError::Cancelled),
            permit = self.deriving.clone().acquire_owned() => permit.ok(),
        };
        let mut process = Process(Some(self.start()?));
        let Some(child) = process.0.as_mut() else { return Err(EngineError::Cancelled) };
        let stderr = child.stderr.take();
        let redactor = redactor(order);
        let log = tokio::spawn(async move { tail(stderr, &redactor).await });
        let heard = tokio::select! {
            () = &mut cancel => None,
            heard = converse(child, order, on_event, permit) => Some(heard),
        };
        let cancelled = heard.is_none();
        let status = stop(child, cancelled).await;
        drop(process.0.take());
        if let Some(Ok(Some(result))) = heard {
            return result;
        }
        if cancelled {
            return Err(EngineError::Cancelled);
        }
        let log = log.await.unwrap_or_default();
        let reason = match (heard, status) {
            (Some(Err(error)), _) => format!("can't be talked to: {error}"),
            (_, Some(status)) => format!("ended without a result ({status})"),
            (_, None) => "ended without a result".to_owned(),
        };
        Err(EngineError::Worker { reason, log })
    }

    fn start(&self) -> Result<Child, EngineError> {
        let mut command = Command::new(&self.program);
        command
            .args(&self.arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C goes to the whole group of the command line; the worker hears of it from its provider.
            .process_group(0)
            .kill_on_drop(true)
            .envs(ALLOCATOR.into_iter().filter(|(name, _)| std::env::var_os(name).is_none()));
        let failed = |error| EngineError::Worker { reason: format!("could not be started: {error}"), log: Vec::new() };
        command.spawn().map_err(failed)
    }
}

/// A worker that is stopped when nobody waits for it any more, with time to take its lock away.
struct Process(Option<Child>);

impl Drop for Process {
    fn drop(&mut self) {
        if let (Some(mut child), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(async move { stop(&mut child, true).await });
        }
    }
}

/// Sends the order and hears events until the last one; none when the worker ended before it.
async fn converse(
    child: &mut Child,
    order: &Order,
    on_event: &mut (dyn FnMut(&Event) + Send),
    permit: Option<OwnedSemaphorePermit>,
) -> std::io::Result<Option<Result<Outcome, EngineError>>> {
    let mut permit = permit;
    let (Some(input), Some(output)) = (child.stdin.as_mut(), child.stdout.take()) else { return Ok(None) };
    let mut line = Zeroizing::new(serde_json::to_vec(order)?);
    line.push(b'\n');
    input.write_all(&line).await?;
    input.flush().await?;
    // To the end, whatever a library prints between: what was not heard was not done.
    let mut lines = BufReader::new(output).split(b'\n');
    while let Some(line) = lines.next_segment().await? {
        match serde_json::from_slice(&line) {
            Ok(Event::Done(outcome)) => return Ok(Some(Ok(outcome))),
            Ok(Event::Failed(error)) => return Ok(Some(Err(error))),
            Ok(event) => {
                if event == Event::Opened {
                    permit = None;
                }
                on_event(&event);
            }
            // Not an event: something that a library printed.
            Err(_) => {}
        }
    }
    drop(permit);
    Ok(None)
}

/// Closes the input, which ends the worker; kills its group when that does not.
async fn stop(child: &mut Child, cancelled: bool) -> Option<std::process::ExitStatus> {
    let pid = child.id();
    // One that is done ends by itself; its input has to stay open until then.
    if !cancelled && let Ok(Ok(status)) = tokio::time::timeout(GRACE, child.wait()).await {
        return Some(status);
    }
    drop(child.stdin.take());
    if let Ok(Ok(status)) = tokio::time::timeout(GRACE, child.wait()).await {
        return Some(status);
    }
    if let Some(group) = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw) {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
    }
    child.wait().await.ok()
}

/// Hears a worker's error output out, for our own log; its last lines. Secrets stay out of both.
async fn tail(stderr: Option<ChildStderr>, redactor: &Redactor) -> Vec<String> {
    let mut kept = VecDeque::new();
    if let Some(stderr) = stderr {
        let mut lines = BufReader::new(stderr).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let line = redactor.redact(&line);
            tracing::debug!(line, "a worker said");
            if kept.len() == LOG_LINES {
                kept.pop_front();
            }
            kept.push_back(line);
        }
    }
    kept.into()
}

/// Knows what a worker was told and must not repeat.
fn redactor(order: &Order) -> Redactor {
    let redactor = Redactor::default();
    for secret in order.location.secrets().iter().chain([&order.password]) {
        redactor.learn(secret.expose());
    }
    redactor
}
