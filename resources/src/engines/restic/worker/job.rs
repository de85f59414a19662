//! A job, done.

use super::super::drill;
use super::super::error::EngineError;
use super::super::forget::{ForgetReport, forget};
use super::super::index::{self, Indexed};
use super::super::locks::{self, Hear, Mode, News, RepositoryLock, Request};
use super::super::notes::{Kept, Notes};
use super::super::repository::{self, Found, Opened};
use super::super::source::{self, BackupOptions, BackupReport};
use super::super::verify::{Depth, VerifyReport, verify};
use super::super::writer::{self, RestoreOptions, RestoreReport};
use super::super::{points, progress::Progress};
use super::bars::Bars;
use super::fence::{Fence, Fenced};
use super::messages::{Event, Job, Order, Outcome};
use super::reporter::Reporter;
use crate::connections::s3::S3Clients;
use crate::ledger::WorkLock;
use crate::retention::Keep;
use crate::store::ObjectStore;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;

/// What this process works on and which lock it holds there, for the thread that ends it.
#[derive(Default)]
pub struct Holding {
    fence: Arc<Fence>,
    store: OnceLock<Arc<dyn ObjectStore>>,
    lock: Mutex<Option<String>>,
}

impl Holding {
    /// The repository's store, for all work on it.
    pub fn work_on(&self, store: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
        let store = self.store.get_or_init(|| store).clone();
        self.behind_fence(store)
    }

    fn behind_fence(&self, store: Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
        Arc::new(Fenced::new(store, self.fence.clone()))
    }

    /// It holds this lock now.
    pub fn set(&self, id: &str) {
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(format!("locks/{id}"));
    }

    /// Stops the work, then takes the lock away: the threads that do it run on until the process has ended, and below no
    /// lock they must not change anything.
    pub async fn let_go(&self) {
        self.fence.shut().await;
        let name = self.lock.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some((store, name)) = self.store.get().zip(name) {
            // Without it the lock stays until somebody sees that its process is gone.
            let _ = store.delete(&name).await;
        }
    }
}

struct Work<'a> {
    order: &'a Order,
    store: Arc<dyn ObjectStore>,
    notes: Notes,
    reporter: &'a Arc<Reporter>,
    holding: &'a Arc<Holding>,
    runtime: &'a Handle,
}

/// Does what the order says.
pub fn perform(
    order: Order,
    reporter: &Arc<Reporter>,
    holding: &Arc<Holding>,
    runtime: &Handle,
) -> Result<Outcome, EngineError> {
    // The AWS client starts tasks when it is made.
    let _runtime = runtime.enter();
    let clients = S3Clients::default();
    // A long job outlives a short outage, as an apply does.
    clients.apply_begins();
    let store = holding.work_on(order.location.store(&clients)?);
    let notes = Notes::new(holding.behind_fence(order.location.ledger().store(&clients)?));
    let unlocked = order.lock.none;
    let work = Work { order: &order, store, notes, reporter, holding, runtime };
    let outcome = match &order.job {
        Job::Init { log_n, adopt } => work.init(*log_n, *adopt),
        Job::Check => work.open().map(|opened| Outcome::Check { id: opened.id }),
        Job::Points => work.open().and_then(|opened| points::list(&opened, runtime)).map(Outcome::Points),
        Job::Backup { options } => work.backup(options.clone()).map(Outcome::Backup),
        Job::Restore { options } => work.restore(options).map(Outcome::Restore),
        Job::Verify { depth, point } => work.verify(*depth, point.as_deref()).map(Outcome::Verify),
        Job::Erase => work.erase().map(|()| Outcome::Erased),
        Job::Forget { keep, pinned } => {
            work.open().and_then(|opened| work.forget(&opened, keep.as_ref(), pinned)).map(Outcome::Forget)
        }
    };
    outcome.map_err(|error| if unlocked { explained(error) } else { error })
}

fn texts(needed: &[Kept]) -> Vec<String> {
    needed.iter().map(ToString::to_string).collect()
}

/// Without a lock of ours nobody waits for us: what vanishes meanwhile is no damage.
fn explained(error: EngineError) -> EngineError {
    const PRUNED: &str =
        "the store is read-only, so no lock was written: another program may have removed old data meanwhile";
    match error {
        EngineError::Damaged { place, mut what } => {
            what.push(PRUNED.to_owned());
            EngineError::Damaged { place, what }
        }
        EngineError::NotRestored { count, mut names } => {
            names.push(PRUNED.to_owned());
            EngineError::NotRestored { count, names }
        }
        error => error,
    }
}

/// What could not be restored, and before it what is damaged of the index: that may be why.
fn beside(damaged: Vec<String>, error: EngineError) -> EngineError {
    match error {
        EngineError::NotRestored { count, names } => {
            EngineError::NotRestored { count, names: [damaged, names].concat() }
        }
        EngineError::Damaged { place, what } => EngineError::Damaged { place, what: [damaged, what].concat() },
        error => error,
    }
}

impl Work<'_> {
    fn open(&self) -> Result<Opened, EngineError> {
        self.expected(repository::open(&self.store, &self.order.password, self.runtime)?)
    }

    /// The repository, if it is the one that the order is about.
    fn expected(&self, opened: Opened) -> Result<Opened, EngineError> {
        if let Some(expected) = self.order.expect.as_ref().filter(|expected| **expected != opened.id) {
            let (place, expected) = (self.store.describe(), expected.clone());
            return Err(EngineError::AnotherRepository { place, expected, found: opened.id });
        }
        self.reporter.say(&Event::Opened);
        Ok(opened)
    }

    fn init(&self, log_n: u8, adopt: bool) -> Result<Outcome, EngineError> {
        let found = self.runtime.block_on(repository::probe(self.store.as_ref()))?;
        if matches!(found, Found::Ready { .. }) && adopt {
            return Ok(Outcome::Init { id: self.open()?.id, made: false });
        }
        match repository::init(&self.store, &self.order.password, log_n, self.runtime) {
            // Somebody was quicker; what they made is judged by whether the password opens it.
            Err(EngineError::Exists { .. }) if adopt => Ok(Outcome::Init { id: self.open()?.id, made: false }),
            made => Ok(Outcome::Init { id: made?, made: true }),
        }
    }

    fn request(&self, mode: Mode) -> Request {
        let lock = &self.order.lock;
        let (dead, run, dead_runs) = (lock.dead.clone(), lock.run.clone(), lock.dead_runs.clone());
        Request { mode, wait: Duration::from_secs(lock.wait_seconds), dead, run, dead_runs }
    }

    /// A lock beside which others may work, or none where nothing may be written.
    fn lock(&self, opened: &Opened, mode: Mode) -> Result<Option<RepositoryLock>, EngineError> {
        if self.order.lock.none {
            return Ok(None);
        }
        locks::acquire(&self.store, &opened.key, &self.request(mode), self.hear(), self.runtime).map(Some)
    }

    /// Nobody else may be at work on what is removed.
    fn erase(&self) -> Result<(), EngineError> {
        self.writable()?;
        let opened = self.open()?;
        let request = self.request(Mode::Exclusive);
        let lock = locks::acquire(&self.store, &opened.key, &request, self.hear(), self.runtime)?;
        let needed = self.runtime.block_on(self.notes.pins())?;
        if !needed.is_empty() {
            return Err(EngineError::Needed { place: self.store.describe(), by: texts(&needed) });
        }
        lock.held().check()?;
        self.runtime.block_on(repository::erase(self.store.as_ref()))?;
        Ok(())
    }

    /// A lock that can't be kept ends the process before somebody else takes it for dead.
    fn hear(&self) -> Hear {
        let (reporter, holding) = (self.reporter.clone(), self.holding.clone());
        Arc::new(move |news| match news {
            News::Waiting(run) => reporter.say(&Event::Waiting(run.to_owned())),
            News::Held(id) => {
                holding.set(id);
                reporter.say(&Event::Locked(id.to_owned()));
            }
            News::Lost(error) => {
                reporter.say(&Event::Failed(error));
                std::process::exit(4);
            }
        })
    }

    fn restore(&self, options: &RestoreOptions) -> Result<RestoreReport, EngineError> {
        if let Some(folder) = &options.drill {
            drill::parent(folder, &options.to, false)?;
        }
        // Nobody takes the run over while this process still writes.
        let _work = WorkLock::take(&options.to).map_err(|error| EngineError::Destination {
            path: options.to.display().to_string(),
            reason: error.to_string(),
        })?;
        let opened = self.open()?;
        let _lock = self.lock(&opened, Mode::Reading)?;
        let Indexed { repository, gate, damaged } = index::read(opened, self.runtime, || self.open())?;
        for damaged in &damaged {
            self.reporter.warning(damaged);
        }
        match writer::restore(&repository, gate, options, self.reporter.as_ref()) {
            Ok(report) => Ok(RestoreReport { warnings: [report.warnings, damaged].concat(), ..report }),
            Err(error) => Err(beside(damaged, error)),
        }
    }

    fn verify(&self, depth: Depth, point: Option<&str>) -> Result<VerifyReport, EngineError> {
        let bars = Bars(self.reporter.clone());
        let opened = self.expected(repository::open_with(&self.store, &self.order.password, self.runtime, bars)?)?;
        let _lock = self.lock(&opened, Mode::Reading)?;
        verify(&opened, depth, point, self.runtime)
    }

    fn writable(&self) -> Result<(), EngineError> {
        if self.order.lock.none { Err(EngineError::ReadOnly { place: self.store.describe() }) } else { Ok(()) }
    }

    fn backup(&self, mut options: BackupOptions) -> Result<BackupReport, EngineError> {
        self.writable()?;
        options.repository = options.repository.or_else(|| self.order.location.folder());
        let opened = self.open()?;
        let lock = self.lock(&opened, Mode::Shared)?;
        if let Some(lock) = &lock {
            opened.gate.guard(lock.held());
        }
        let Opened { repository, gate, store, .. } = opened;
        let indexed =
            repository.to_indexed_ids().map_err(|error| index::failure(store.as_ref(), self.runtime, &error))?;
        source::backup(&indexed, &gate, &options, self.reporter.as_ref())
    }

    fn forget(&self, opened: &Opened, keep: Option<&Keep>, pinned: &[String]) -> Result<ForgetReport, EngineError> {
        self.writable()?;
        let request = self.request(Mode::Exclusive);
        let report = forget(opened, keep, pinned, &self.notes, &request, self.hear(), self.runtime)?;
        for warning in &report.warnings {
            self.reporter.warning(warning);
        }
        Ok(report)
    }
}
