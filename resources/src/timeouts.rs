//! `timeouts`, and the end of waiting.

use std::time::Duration;

use dr_framework::{Attr, Context, Diagnostics, Model};
use tokio::sync::watch;

use crate::run::Cancel;
use crate::waiting::Patience;
use crate::{clock, validators};

/// How long an operation may take, like `30m` or `24h`.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct Timeouts {
    /// To create it. Set, it also bounds the wait for a CRD, a namespace or a Secret that is not there yet, which is two minutes
    /// if left out.
    #[dr(optional, validate = validators::duration)]
    pub create: Attr<String>,
    /// To change it, with the same wait.
    #[dr(optional, validate = validators::duration)]
    pub update: Attr<String>,
    /// To destroy it.
    #[dr(optional, validate = validators::duration)]
    pub delete: Attr<String>,
    /// To refresh it.
    #[dr(optional, validate = validators::duration)]
    pub read: Attr<String>,
}

/// What is done, as far as its time is concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operation {
    /// A create.
    Create,
    /// An update.
    Update,
    /// A destroy.
    Delete,
    /// A refresh.
    Read,
}

/// Ten minutes for what only registers.
pub const DECLARATIVE: Duration = Duration::from_secs(600);
/// A day for a backup or a restore.
pub const JOB: Duration = Duration::from_secs(24 * 3600);
/// Five minutes for any refresh.
pub const READ: Duration = Duration::from_secs(300);

fn configured(timeouts: &Attr<Timeouts>, operation: Operation) -> Option<Duration> {
    let timeouts = timeouts.known()?;
    let text = match operation {
        Operation::Create => timeouts.create.text(),
        Operation::Update => timeouts.update.text(),
        Operation::Delete => timeouts.delete.text(),
        Operation::Read => timeouts.read.text(),
    };
    validators::parse_duration(text?).ok()
}

/// How long the operation may take.
pub fn of(timeouts: &Attr<Timeouts>, operation: Operation, usual: Duration) -> Duration {
    configured(timeouts, operation).unwrap_or(if operation == Operation::Read { READ } else { usual })
}

/// How long an operation that begins now waits for what is not there yet: what this apply, or somebody else, may be making.
pub fn patience(timeouts: &Attr<Timeouts>, operation: Operation) -> Patience {
    let argument = match operation {
        Operation::Create => "timeouts.create",
        Operation::Update => "timeouts.update",
        Operation::Delete => "timeouts.delete",
        Operation::Read => "timeouts.read",
    };
    match configured(timeouts, operation) {
        Some(limit) => Patience::of(limit, argument),
        None => Patience::usual(argument),
    }
}

/// Waits for an operation no longer than it may take, and ends when the user asks to stop.
pub async fn within<T>(
    context: &Context,
    what: &str,
    limit: Duration,
    work: impl Future<Output = Result<T, Diagnostics>>,
) -> Result<T, Diagnostics> {
    tokio::select! {
        biased;
        result = work => result,
        () = context.stop.stopped() => Err(Diagnostics::error(
            format!("Stopped: {what}"),
            "The operation was interrupted. Apply again to go on.",
        )),
        () = clock::sleep(limit) => Err(Diagnostics::error(
            format!("Timed out: {what}"),
            format!("It took longer than {} s. `timeouts` allows more.", limit.as_secs()),
        )),
    }
}

/// Ends a run's waiting when the user asks to stop, or when its time is over. Dropped, it never does.
pub struct Deadline {
    limit: Duration,
    patience: Patience,
    cancel: Cancel,
    expired: watch::Receiver<bool>,
    task: tokio::task::JoinHandle<()>,
}

impl Deadline {
    /// Starts counting for an operation that usually may take so long.
    pub fn start(context: &Context, timeouts: &Attr<Timeouts>, operation: Operation, usual: Duration) -> Self {
        let (limit, patience) = (of(timeouts, operation, usual), self::patience(timeouts, operation));
        let (sender, receiver) = watch::channel(false);
        let (late, expired) = watch::channel(false);
        let stop = context.stop.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                () = stop.stopped() => {}
                () = clock::sleep(limit) => { let _ = late.send(true); }
            }
            let _ = sender.send(true);
            // The sender has to outlive whoever asks.
            sender.closed().await;
        });
        Deadline { limit, patience, cancel: Cancel::new(receiver), expired, task }
    }

    /// How long all may take.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// The signal for a run.
    pub fn cancel(&self) -> Cancel {
        self.cancel.clone().patient(self.patience)
    }

    /// Whether the time was over, rather than the user impatient.
    pub fn is_expired(&self) -> bool {
        *self.expired.borrow()
    }
}

impl Drop for Deadline {
    fn drop(&mut self) {
        self.task.abort();
    }
}
