//! restic's locks, in both directions: ours stop the real program, and its own stop us.
//!
//! rustic_core knows no locks. What they look like and when they count as dead follows restic's `internal/restic/lock.go`.

mod file;
mod held;

use super::crypto::KeyBytes;
use super::error::{EngineError, LockHolder};
use super::machine;
use crate::clock;
use crate::store::ObjectStore;
use file::LockFile;
pub use held::{Lost, RepositoryLock};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// Between writing a lock and looking again for others: what two that write at once both need to see each other.
const SETTLE: Duration = Duration::from_millis(200);
/// Between two looks at a lock that somebody else holds.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// An older lock belongs to nobody: who lives refreshes it every five minutes.
const STALE_SECONDS: i64 = 30 * 60;

/// Whom a lock shuts out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Only those who want the repository for themselves: for reading and adding.
    Shared,
    /// Everyone: for removing.
    Exclusive,
}

/// How a lock is taken.
#[derive(Debug, Clone)]
pub struct Request {
    /// Whom it shuts out.
    pub mode: Mode,
    /// How long somebody else's lock is waited for.
    pub wait: Duration,
    /// Ids of locks whose owners are known to be dead: the ledger of the run that was taken over names them.
    pub dead: Vec<String>,
}

/// Takes the lock, waiting for others; `lost` hears when it can't be kept fresh. Blocks: not for a runtime's thread.
pub fn acquire(
    store: &Arc<dyn ObjectStore>,
    key: &KeyBytes,
    request: &Request,
    lost: Lost,
    runtime: &Handle,
) -> Result<RepositoryLock, EngineError> {
    let id = runtime.block_on(take(store.as_ref(), key, request))?;
    Ok(RepositoryLock::hold(store.clone(), key.clone(), request.mode, id, lost, runtime.clone()))
}

async fn take(store: &dyn ObjectStore, key: &KeyBytes, request: &Request) -> Result<String, EngineError> {
    let deadline = tokio::time::Instant::now() + clock::scaled(request.wait);
    loop {
        let holder = match conflict(store, key, request, None).await? {
            Some(holder) => holder,
            None => {
                let id = file::write(store, key, request.mode).await?;
                clock::sleep(SETTLE).await;
                match conflict(store, key, request, Some(&id)).await {
                    Ok(None) => return Ok(id),
                    other => {
                        store.delete(&file::name_of(&id)).await?;
                        match other? {
                            Some(holder) => holder,
                            None => continue,
                        }
                    }
                }
            }
        };
        let left = deadline.saturating_duration_since(tokio::time::Instant::now());
        if left.is_zero() {
            return Err(EngineError::Locked { place: store.describe(), holder: Box::new(holder) });
        }
        tokio::time::sleep(clock::scaled(LOOK_AGAIN).min(left)).await;
    }
}

/// The first lock of somebody else that rules `mode` out. Locks that are provably dead are removed on the way.
async fn conflict(
    store: &dyn ObjectStore,
    key: &KeyBytes,
    request: &Request,
    own: Option<&str>,
) -> Result<Option<LockHolder>, EngineError> {
    for id in ids(store).await? {
        if own == Some(id.as_str()) {
            continue;
        }
        if request.dead.contains(&id) {
            store.delete(&file::name_of(&id)).await?;
            continue;
        }
        let Some(lock) = file::read(store, key, &id).await? else { continue };
        match fate(&lock) {
            Fate::Dead => store.delete(&file::name_of(&id)).await?,
            Fate::Stale => {}
            Fate::Live if request.mode == Mode::Exclusive || lock.exclusive => return Ok(Some(lock.holder(&id))),
            Fate::Live => {}
        }
    }
    Ok(None)
}

async fn ids(store: &dyn ObjectStore) -> Result<Vec<String>, EngineError> {
    let entries = store.list("locks/").await?;
    Ok(entries
        .iter()
        .filter_map(|entry| Some(super::backend::id_in(&entry.name)?.to_hex().as_str().to_owned()))
        .collect())
}

enum Fate {
    /// Its process is gone.
    Dead,
    /// Nobody refreshed it for half an hour; it is passed over, and removed by who can tell.
    Stale,
    Live,
}

fn fate(lock: &LockFile) -> Fate {
    if lock.hostname == machine::host() && !machine::is_alive(lock.pid) {
        Fate::Dead
    } else if lock.age_seconds() > STALE_SECONDS {
        Fate::Stale
    } else {
        Fate::Live
    }
}

#[cfg(test)]
mod tests;
