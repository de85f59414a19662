//! A repository as the resources see it: where it lies, what opens it, and a worker for everything that opens it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::error::EngineError;
use super::forget;
use super::notes::Notes;
use super::points::{self, Point};
use super::repository::{self, Found};
use super::verify::Depth;
use super::worker::{Event, Job, Location, LockOrder, Order, Outcome, Worker};
use crate::connections::s3::S3Clients;
use crate::ledger::{Counts, LedgerError, PinnedPoint, StoreLedger};
use crate::run::{self, FirstUse, Journal, ReadBack};
use crate::secret::Secret;
use crate::shared::{Reached, Shared};
use crate::store::{ObjectStore, StoreError};

/// A repository and how to work on it.
#[derive(Clone)]
pub struct Site {
    /// Where it lies.
    pub location: Location,
    /// What opens it.
    pub password: Password,
    /// How long somebody else's lock is waited for.
    pub lock_wait: Duration,
    /// Nothing may be written there, not even a lock.
    pub read_only: bool,
    /// The id that the repository has to have, once it is known.
    pub expect: Option<String>,
    /// What starts worker processes.
    pub worker: Worker,
    /// Clients of S3 servers.
    pub clients: S3Clients,
}

/// What becomes of the work of an interrupted run: a worker ends with whoever started it.
pub const ENDS_WITH_US: &str = "its work was stopped where it was, what is done is kept, and nothing was undone";

/// What opens a repository.
#[derive(Clone)]
pub enum Password {
    /// It is known.
    Known(Secret),
    /// It is read at need where somebody else keeps it.
    Kept(Arc<dyn KeptPassword>),
}

/// A password that somebody else keeps.
#[async_trait]
pub trait KeptPassword: Send + Sync {
    /// What it is now.
    async fn read(&self) -> Result<Secret, EngineError>;
}

impl From<Secret> for Password {
    fn from(password: Secret) -> Self {
        Password::Known(password)
    }
}

impl Password {
    /// What it is now.
    pub async fn read(&self) -> Result<Secret, EngineError> {
        match self {
            Password::Known(password) => Ok(password.clone()),
            Password::Kept(kept) => kept.read().await,
        }
    }
}

/// How far apart progress is written down: often enough to watch, seldom enough not to matter.
const PROGRESS: Duration = Duration::from_millis(500);

impl Site {
    /// The repository at a place.
    pub fn at(
        shared: &Shared,
        reached: Reached,
        password: impl Into<Password>,
        lock_wait: Duration,
        read_only: bool,
        expect: Option<String>,
    ) -> Site {
        Site {
            location: reached.into(),
            password: password.into(),
            lock_wait,
            read_only,
            expect,
            worker: shared.worker.clone(),
            clients: shared.clients.clone(),
        }
    }

    /// The store that holds the repository.
    pub fn store(&self) -> Result<Arc<dyn ObjectStore>, StoreError> {
        self.location.store(&self.clients)
    }

    /// Where it is, for people.
    pub fn place(&self) -> String {
        self.store().map(|store| store.describe()).unwrap_or_default()
    }

    /// The store beside the repository that holds its ledger.
    pub fn ledger_store(&self) -> Result<Arc<dyn ObjectStore>, StoreError> {
        self.location.ledger().store(&self.clients)
    }

    /// The ledger of the repository.
    pub fn ledger(&self) -> Result<StoreLedger, StoreError> {
        self.location.run_ledger(&self.clients)
    }

    /// What retention has to know of the repository.
    pub fn notes(&self) -> Result<Notes, StoreError> {
        Ok(Notes::new(self.ledger_store()?))
    }

    /// The folder, of a local repository.
    pub fn folder(&self) -> Option<&Path> {
        match &self.location {
            Location::Local { path } => Some(path),
            Location::S3 { .. } => None,
        }
    }

    /// The folder beside it that holds its ledger, of a local repository.
    pub fn ledger_folder(&self) -> Option<PathBuf> {
        match self.location.ledger() {
            Location::Local { path } => Some(path),
            Location::S3 { .. } => None,
        }
    }

    /// What is there, without a password.
    pub async fn look(&self) -> Result<Found, EngineError> {
        repository::probe(self.store()?.as_ref()).await
    }

    /// Has a worker do it, and hears nothing on the way.
    pub async fn order(&self, job: Job) -> Result<Outcome, EngineError> {
        self.carry_out(self.order_for(job, self.locked_by_nobody()).await?, &mut |_| {}).await
    }

    /// Has a worker do it. A lock that it waits for and that another run left is no hindrance once that run is proved dead: then a new
    /// worker does it, which knows that.
    async fn carry_out(&self, mut order: Order, hear: &mut (dyn FnMut(&Event) + Send)) -> Result<Outcome, EngineError> {
        let mut asked = BTreeSet::new();
        loop {
            let (sender, mut marks) = mpsc::unbounded_channel::<String>();
            let (holds, mut proved) = (AtomicBool::new(false), None);
            let proof = async {
                while let Some(mark) = marks.recv().await {
                    if asked.contains(&mark) {
                        continue;
                    }
                    let dead = self.proves_dead(&mark).await;
                    asked.insert(mark.clone());
                    // Whoever has got its lock meanwhile is at work.
                    if dead && !holds.load(Relaxed) {
                        proved = Some(mark);
                        return;
                    }
                }
                std::future::pending().await
            };
            let mut hear = |event: &Event| {
                match event {
                    Event::Waiting(mark) => drop(sender.send(mark.clone())),
                    Event::Locked(_) => holds.store(true, Relaxed),
                    _ => {}
                }
                hear(event);
            };
            let outcome = self.worker.run(&order, &mut hear, proof).await;
            let refused = match &outcome {
                Err(EngineError::Locked { holder, .. }) => holder.run.clone().filter(|mark| asked.insert(mark.clone())),
                _ => None,
            };
            let dead = match (proved, refused) {
                (Some(mark), _) => mark,
                // It did not wait for as long as a proof takes.
                (None, Some(mark)) if self.proves_dead(&mark).await => mark,
                _ => return outcome,
            };
            tracing::warn!(mark = dead, "the run that left a lock is dead: the lock goes");
            order.lock.dead_runs.push(dead);
        }
    }

    /// The ids of the points that retention would remove now.
    pub async fn would_remove(&self, spare: &[PinnedPoint]) -> Result<Vec<String>, EngineError> {
        let Some(keep) = self.policy().await?.and_then(|policy| policy.keep) else { return Ok(Vec::new()) };
        let pinned: Vec<String> = spare.iter().map(|point| point.id.clone()).collect();
        Ok(forget::choose(&self.points().await?, &keep, &pinned).removed)
    }

    /// Whether space is still to be freed of points that are gone.
    pub async fn owes_prune(&self) -> Result<bool, EngineError> {
        self.notes()?.is_prune_owed().await
    }

    fn locked_by_nobody(&self) -> LockOrder {
        LockOrder { wait_seconds: self.lock_wait.as_secs(), none: self.read_only, ..LockOrder::default() }
    }

    /// Reads back what was stored as `point`, as far as is asked for.
    pub async fn read_back(
        &self,
        point: &PinnedPoint,
        depth: ReadBack,
        journal: &Journal,
    ) -> Result<(), run::EngineError> {
        let depth = match depth {
            ReadBack::None => return Ok(()),
            ReadBack::Structure => Depth::Structure,
            ReadBack::Data => Depth::Data,
        };
        match self.order_with(Job::Verify { depth, point: Some(point.id.clone()) }, journal).await? {
            Outcome::Verify(_) => Ok(()),
            _ => Err(failure(&unexpected())),
        }
    }

    /// Has a worker do it, and writes down how far it is and which lock it holds. A restore that fails before it said that it
    /// writes has written nothing.
    pub async fn order_with(&self, job: Job, journal: &Journal) -> Result<Outcome, run::EngineError> {
        let (sender, mut events) = mpsc::unbounded_channel();
        let run = match self.read_only {
            true => None,
            false => Some(journal.mark().await.map_err(not_written)?),
        };
        let restores = matches!(job, Job::Restore { .. });
        let (dead, dead_runs) = (journal.inherited_locks().to_vec(), journal.dead_marks());
        let ordered = self.order_for(job, LockOrder { dead, dead_runs, run, ..self.locked_by_nobody() }).await;
        let order = ordered.map_err(|error| run::EngineError::nothing_written(words(&error)))?;
        let work = async move {
            let mut writes = false;
            let mut hear = |event: &Event| {
                writes |= *event == Event::Writing;
                // Nobody listens any more only when the run has ended.
                drop(sender.send(event.clone()));
            };
            let outcome = self.carry_out(order, &mut hear).await;
            outcome.map_err(|error| match (restores, writes) {
                (true, true) => run::EngineError::new(words(&error)),
                (true, false) => run::EngineError::nothing_written(words(&error)),
                (false, _) => failure(&error),
            })
        };
        let (outcome, written) = tokio::join!(work, follow(&mut events, journal));
        let outcome = outcome?;
        written.map_err(not_written)?;
        Ok(outcome)
    }

    async fn order_for(&self, job: Job, lock: LockOrder) -> Result<Order, EngineError> {
        let (location, password, expect) = (self.location.clone(), self.password.read().await?, self.expect.clone());
        Ok(Order { location, password, lock, expect, job })
    }

    /// Every point, newest first.
    pub async fn points(&self) -> Result<Vec<Point>, EngineError> {
        match self.order(Job::Points).await? {
            Outcome::Points(points) => Ok(points),
            _ => Err(unexpected()),
        }
    }

    /// Whether the repository holds no snapshot and no data: that it was never used.
    pub async fn is_untouched(&self) -> Result<bool, EngineError> {
        repository::holds_nothing(self.store()?.as_ref()).await
    }

    /// Whether nothing was ever stored here, by so many points of what is asked for and so many of all.
    pub async fn first_use(&self, own: usize, all: usize) -> Result<FirstUse, run::EngineError> {
        if own > 0 {
            return Ok(FirstUse::NotProven("there are points".to_owned()));
        }
        if all > 0 {
            return Ok(FirstUse::NotProven(format!("the repository holds {} of other things", points::count(all))));
        }
        let untouched = async {
            match self.look().await? {
                Found::Absent => self.refuse_vanished().await.map(|()| true),
                _ => self.is_untouched().await,
            }
        };
        match untouched.await {
            Ok(true) => Ok(FirstUse::Proven),
            Ok(false) => Ok(FirstUse::NotProven("the repository holds data, and no points".to_owned())),
            Err(error @ EngineError::Vanished { .. }) => Ok(FirstUse::NotProven(words(&error))),
            Err(error) => Err(failure(&error)),
        }
    }
}

/// A worker that answers another question than it was asked.
pub fn unexpected() -> EngineError {
    EngineError::Worker { reason: "gave an answer to another job".to_owned(), log: Vec::new() }
}

fn not_written(error: LedgerError) -> run::EngineError {
    run::EngineError::new("the run could not be written down").because(error)
}

async fn follow(events: &mut mpsc::UnboundedReceiver<Event>, journal: &Journal) -> Result<(), LedgerError> {
    let mut written: Option<tokio::time::Instant> = None;
    let mut last = None;
    while let Some(event) = events.recv().await {
        match event {
            Event::Progress { files, bytes, total_files, total_bytes } => {
                let known = |total: u64| (total > 0).then_some(total);
                let (total_files, total_bytes) = (known(total_files), known(total_bytes));
                last = Some(Counts { files, bytes, total_files, total_bytes });
                if written.is_none_or(|written| written.elapsed() >= PROGRESS) {
                    written = Some(tokio::time::Instant::now());
                    if let Some(counts) = last.take() {
                        journal.progress(counts).await;
                    }
                }
            }
            Event::Warning(warning) => tracing::warn!(warning, "the worker has something to say"),
            Event::Opened
            | Event::Waiting(_)
            | Event::Locked(_)
            | Event::Writing
            | Event::Done(_)
            | Event::Failed(_) => {}
        }
    }
    if let Some(counts) = last {
        journal.progress(counts).await;
    }
    Ok(())
}

/// What happened, and what to do about it.
fn words(error: &EngineError) -> String {
    match error.hint() {
        Some(hint) => format!("{error}. {hint}"),
        None => error.to_string(),
    }
}

/// An error of the engine as the state machines take it, of a job that changes no target.
pub fn failure(error: &EngineError) -> run::EngineError {
    let message = words(error);
    let untouched = matches!(
        error,
        EngineError::NoRepository { .. }
            | EngineError::SomethingElse { .. }
            | EngineError::Incomplete { .. }
            | EngineError::AnotherRepository { .. }
            | EngineError::WrongPassword { .. }
            | EngineError::NoPassword { .. }
            | EngineError::NoUsableKey { .. }
            | EngineError::UnknownVersion { .. }
            | EngineError::Locked { .. }
            | EngineError::SeveralHosts { .. }
            | EngineError::Source { .. }
            | EngineError::Pattern { .. }
            | EngineError::Unsafe { .. }
            | EngineError::NoPoint { .. }
            | EngineError::NotInPoint { .. }
            | EngineError::ReadOnly { .. }
    );
    if untouched { run::EngineError::nothing_written(message) } else { run::EngineError::new(message) }
}
