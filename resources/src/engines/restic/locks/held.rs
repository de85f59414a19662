//! A lock that we hold: kept fresh while it lives, removed with it.

use super::super::crypto::KeyBytes;
use super::super::error::EngineError;
use super::{Request, file};
use crate::clock;
use crate::store::ObjectStore;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How often a lock is written anew, as restic does.
const REFRESH: Duration = Duration::from_secs(5 * 60);
/// Between attempts after one that failed.
const RETRY: Duration = Duration::from_secs(30);
/// A lock older than this may be taken for dead before the next attempt; restic stops here too.
const LAST_MOMENT: Duration = Duration::from_secs(22 * 60);

/// Hears each new id of a lock, and once, last, that it could not be kept.
pub type Lost = Arc<dyn Fn(Result<&str, EngineError>) + Send + Sync>;

/// A lock that we hold. Dropping it removes it.
pub struct RepositoryLock {
    store: Arc<dyn ObjectStore>,
    id: Arc<Mutex<String>>,
    refresher: JoinHandle<()>,
    runtime: Handle,
}

impl RepositoryLock {
    pub(super) fn hold(
        store: Arc<dyn ObjectStore>,
        key: KeyBytes,
        request: &Request,
        id: String,
        lost: Lost,
        runtime: Handle,
    ) -> Self {
        lost(Ok(&id));
        let id = Arc::new(Mutex::new(id));
        let refresher = runtime.spawn(keep_fresh(store.clone(), key, request.clone(), id.clone(), lost));
        RepositoryLock { store, id, refresher, runtime }
    }

    /// Its id now; refreshing gives it another.
    pub fn id(&self) -> String {
        guard(&self.id).clone()
    }
}

impl Drop for RepositoryLock {
    fn drop(&mut self) {
        self.refresher.abort();
        let (store, runtime, id) = (&self.store, &self.runtime, &self.id);
        let refresher = &mut self.refresher;
        // A thread of its own may wait, whichever thread drops the lock. What can't be removed is known for dead by who
        // takes the run over, or by who sees that this process has ended.
        std::thread::scope(|scope| {
            scope.spawn(|| {
                runtime.block_on(async {
                    let _ = refresher.await;
                    let name = file::name_of(&guard(id).clone());
                    let _ = store.delete(&name).await;
                })
            });
        });
    }
}

fn guard(id: &Mutex<String>) -> MutexGuard<'_, String> {
    id.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn keep_fresh(store: Arc<dyn ObjectStore>, key: KeyBytes, request: Request, id: Arc<Mutex<String>>, lost: Lost) {
    let mut fresh = Instant::now();
    let mut pause = REFRESH;
    loop {
        clock::sleep(pause).await;
        match file::write(store.as_ref(), &key, request.mode, request.run.as_deref()).await {
            Ok(new) => {
                fresh = Instant::now();
                pause = REFRESH;
                let old = std::mem::replace(&mut *guard(&id), new.clone());
                lost(Ok(&new));
                // An old one that stays is stale in half an hour.
                let _ = store.delete(&file::name_of(&old)).await;
            }
            Err(error) if fresh.elapsed() >= clock::scaled(LAST_MOMENT) => {
                let reason = error.to_string();
                return lost(Err(EngineError::LockLost { place: store.describe(), reason }));
            }
            Err(_) => pause = RETRY,
        }
    }
}
