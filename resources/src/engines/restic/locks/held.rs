//! A lock that we hold: kept fresh while it lives, removed with it, and known for lost when it is.

use super::super::crypto::KeyBytes;
use super::super::error::EngineError;
use super::{Mode, Request, file};
use crate::clock;
use crate::store::ObjectStore;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// How often a lock is written anew, as restic does.
const REFRESH: Duration = Duration::from_secs(5 * 60);
/// Between attempts after one that failed.
const RETRY: Duration = Duration::from_secs(30);
/// A lock older than this may be taken for dead before the next attempt; restic stops here too.
const LAST_MOMENT: Duration = Duration::from_secs(22 * 60);
/// However fast the clock of a test runs, a busy machine has to be able to refresh in time.
pub(super) const AT_LEAST: Duration = Duration::from_secs(10);
/// How long a lock that was seen in its place counts as there for what is removed.
const MOMENTS: Duration = Duration::from_secs(2);
/// A timer stands still while the machine sleeps, so nobody waits for one longer than this before looking at the clock.
const LOOK: Duration = Duration::from_secs(1);

/// What becomes of a lock.
#[derive(Debug)]
pub enum News<'a> {
    /// One of the run that is known by this is waited for.
    Waiting(&'a str),
    /// It is ours, with this id; refreshing gives it another.
    Held(&'a str),
    /// It could not be kept. Nothing comes after this.
    Lost(EngineError),
}

/// Hears what becomes of a lock.
pub type Hear = Arc<dyn Fn(News<'_>) + Send + Sync>;

/// A lock that we hold. Dropping it removes it.
pub struct RepositoryLock {
    held: Held,
    refresher: JoinHandle<()>,
}

/// The lock as those see it who do what it is for.
#[derive(Clone)]
pub struct Held {
    store: Arc<dyn ObjectStore>,
    current: Arc<Mutex<Current>>,
    /// When it was last seen in its place before a removal.
    seen: Arc<Mutex<Option<Duration>>>,
    runtime: Handle,
}

#[derive(Clone)]
struct Current {
    id: String,
    /// When it was written, by a clock that runs on while the machine sleeps.
    written: Duration,
}

impl RepositoryLock {
    pub(super) fn hold(
        store: Arc<dyn ObjectStore>,
        key: KeyBytes,
        request: &Request,
        written: (String, Duration),
        hear: Hear,
        runtime: Handle,
    ) -> Self {
        let (id, written) = written;
        hear(News::Held(&id));
        let current = Arc::new(Mutex::new(Current { id, written }));
        let held = Held { store, current, seen: Arc::default(), runtime };
        let refresher = held.runtime.spawn(keep_fresh(held.clone(), key, request.clone(), hear));
        RepositoryLock { held, refresher }
    }

    /// Its id now; refreshing gives it another.
    pub fn id(&self) -> String {
        self.held.current().id.clone()
    }

    /// For those who do what it is for.
    pub fn held(&self) -> Held {
        self.held.clone()
    }
}

impl Held {
    /// Fails when nobody refreshed it for so long that others may have taken it for dead. Asks nobody.
    pub fn is_fresh(&self) -> Result<(), EngineError> {
        let age = clock::since_boot().saturating_sub(self.current().written);
        if age < clock::scaled(LAST_MOMENT).max(AT_LEAST) {
            return Ok(());
        }
        let minutes = LAST_MOMENT.as_secs() / 60;
        Err(self.lost(format!(
            "it was not refreshed for {minutes} minutes, while the machine slept or the storage did not answer"
        )))
    }

    /// Sees that it is still there, before something that can't be taken back. Blocks: not for a runtime's thread.
    pub fn check(&self) -> Result<(), EngineError> {
        self.runtime.block_on(self.is_there())
    }

    /// The same before one of many removals: those that follow within moments ask nobody. Who broke the lock while we stood
    /// still may have read what is to be removed.
    pub fn check_before_removal(&self) -> Result<(), EngineError> {
        let seen = || self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let now = clock::since_boot();
        if seen().is_some_and(|seen| now.saturating_sub(seen) < MOMENTS) {
            return self.is_fresh();
        }
        self.check()?;
        *seen() = Some(now);
        Ok(())
    }

    async fn is_there(&self) -> Result<(), EngineError> {
        loop {
            self.is_fresh()?;
            let id = self.current().id.clone();
            if self.store.get_bytes(&file::name_of(&id)).await?.is_some() {
                return Ok(());
            }
            // A refresh that came in between has removed it for another.
            if self.current().id == id {
                return Err(
                    self.lost("it is gone: somebody removed it, as `restic unlock --remove-all` does".to_owned())
                );
            }
        }
    }

    /// Writes it anew, as long as nobody has broken the one before.
    async fn refresh(&self, key: &KeyBytes, request: &Request, hear: &Hear) -> Result<(), EngineError> {
        self.is_there().await?;
        let written = clock::since_boot();
        let id = file::write(self.store.as_ref(), key, request.mode, request.run.as_deref()).await?;
        // Whoever broke it meanwhile has not seen the new one.
        if let Err(error) = self.is_there().await {
            let _ = self.store.delete(&file::name_of(&id)).await;
            return Err(error);
        }
        hear(News::Held(&id));
        let old = std::mem::replace(&mut *self.current(), Current { id, written });
        // An old one that stays bears the mark of our run.
        let _ = self.store.delete(&file::name_of(&old.id)).await;
        Ok(())
    }

    /// Takes another lock for who only reads and stood still for too long, or whose lock was broken. What went meanwhile is missed and
    /// named, and what was read is right: every blob is checked against its name.
    async fn take_anew(&self, key: &KeyBytes, request: &Request, hear: &Hear) {
        let request = Request { wait: Duration::ZERO, ..request.clone() };
        loop {
            match super::take(self.store.as_ref(), key, &request, hear).await {
                Ok((id, written)) => {
                    hear(News::Held(&id));
                    let old = std::mem::replace(&mut *self.current(), Current { id, written });
                    let _ = self.store.delete(&file::name_of(&old.id)).await;
                    return;
                }
                Err(error) => tracing::warn!(%error, "the lock was not taken anew"),
            }
            clock::sleep(RETRY).await;
        }
    }

    /// Waits, for no longer than the lock is fresh.
    async fn rest(&self, pause: Duration) -> Result<(), EngineError> {
        let end = clock::since_boot() + clock::scaled(pause);
        loop {
            self.is_fresh()?;
            let left = end.saturating_sub(clock::since_boot());
            if left.is_zero() {
                return Ok(());
            }
            tokio::time::sleep(left.min(LOOK)).await;
        }
    }

    fn lost(&self, reason: String) -> EngineError {
        EngineError::LockLost { place: self.store.describe(), reason }
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Held")
    }
}

impl Drop for RepositoryLock {
    fn drop(&mut self) {
        self.refresher.abort();
        let (held, refresher) = (&self.held, &mut self.refresher);
        // A thread of its own may wait, whichever thread drops the lock. What can't be removed is known for dead by who
        // takes the run over, or by who sees that this process has ended.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                held.runtime.block_on(async {
                    let _ = refresher.await;
                    let name = file::name_of(&held.current().id.clone());
                    let _ = held.store.delete(&name).await;
                })
            });
        });
    }
}

async fn keep_fresh(held: Held, key: KeyBytes, request: Request, hear: Hear) {
    let mut pause = REFRESH;
    loop {
        let rested = held.rest(pause).await;
        let refreshed = match rested {
            Ok(()) => held.refresh(&key, &request, &hear).await,
            Err(error) => Err(error),
        };
        pause = match refreshed {
            Ok(()) => REFRESH,
            Err(error @ EngineError::LockLost { .. }) if request.mode == Mode::Reading => {
                tracing::warn!(%error, "it is taken anew: who only reads goes on");
                held.take_anew(&key, &request, &hear).await;
                REFRESH
            }
            Err(error @ EngineError::LockLost { .. }) => return hear(News::Lost(error)),
            Err(error) => {
                tracing::warn!(%error, "the lock was not refreshed");
                RETRY
            }
        };
    }
}
