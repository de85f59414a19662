//! restic's locks, in both directions: ours stop the real program, and its own stop us.
//!
//! rustic_core knows no locks. What they look like follows restic's `internal/restic/lock.go`. Like restic, we break none on
//! suspicion: what is deleted next to a backup that lives after all is what its new point refers to.

mod file;
mod held;

use super::crypto::KeyBytes;
use super::error::{EngineError, LockHolder};
use crate::clock;
use crate::store::ObjectStore;
use file::LockFile;
pub use held::{Hear, Held, News, RepositoryLock};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::Instant;

/// Between writing a lock and looking again for others: what two that write at once both need to see each other.
const SETTLE: Duration = Duration::from_millis(200);
/// Between two looks at a lock that somebody else holds.
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// Who lives refreshes a lock every five minutes, and who could not for 22 stops: what was seen unchanged for so long, by our
/// own clock, is nobody's.
const ABANDONED: Duration = Duration::from_secs(30 * 60);
/// The same in tests, whose clock may run so fast that a busy machine could not refresh in time.
const AT_LEAST: Duration = Duration::from_secs(15);

/// Whom a lock shuts out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Only those who want the repository for themselves: for reading. A lock that looks dead is passed over: at worst
    /// something is missing, which is seen and named.
    Reading,
    /// The same, for adding to what is there: that has to stay there.
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
    /// Ids of locks whose owners are known to be dead: an older program noted them in the record that was taken over.
    pub dead: Vec<String>,
    /// What the record of our run is known by. Its lease is ours: another lock with that mark was left by a dead process.
    pub run: Option<String>,
    /// What the records of other runs were known by whose processes are proved dead, and which nobody takes up again.
    pub dead_runs: Vec<String>,
}

/// Takes the lock, waiting for others; `hear` hears of both, and when it can't be kept fresh. Blocks: not for a runtime's thread.
pub fn acquire(
    store: &Arc<dyn ObjectStore>,
    key: &KeyBytes,
    request: &Request,
    hear: Hear,
    runtime: &Handle,
) -> Result<RepositoryLock, EngineError> {
    let written = runtime.block_on(take(store.as_ref(), key, request, &hear))?;
    Ok(RepositoryLock::hold(store.clone(), key.clone(), request, written, hear, runtime.clone()))
}

/// The lock's id, and when it was written.
async fn take(
    store: &dyn ObjectStore,
    key: &KeyBytes,
    request: &Request,
    hear: &Hear,
) -> Result<(String, Duration), EngineError> {
    let deadline = Instant::now() + clock::scaled(request.wait);
    let mut others = Others { request, seen: HashMap::new() };
    loop {
        let holder = match others.conflict(store, key, None).await? {
            Some(holder) => holder,
            None => {
                let written = clock::since_boot();
                let id = file::write(store, key, request.mode, request.run.as_deref()).await?;
                clock::sleep(SETTLE).await;
                match others.conflict(store, key, Some(&id)).await {
                    Ok(None) => return Ok((id, written)),
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
        if let Some(run) = &holder.run {
            hear(News::Waiting(run));
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(EngineError::Locked { place: store.describe(), holder: Box::new(holder) });
        }
        tokio::time::sleep(clock::scaled(LOOK_AGAIN).min(left)).await;
    }
}

/// What is known of the locks of others while they are waited for.
struct Others<'a> {
    request: &'a Request,
    /// Since when each is there. A refreshed lock has a new id.
    seen: HashMap<String, Instant>,
}

impl Others<'_> {
    /// The first lock of somebody else that rules ours out. Locks that are provably dead are removed on the way.
    async fn conflict(
        &mut self,
        store: &dyn ObjectStore,
        key: &KeyBytes,
        own: Option<&str>,
    ) -> Result<Option<LockHolder>, EngineError> {
        for id in ids(store).await?.into_iter().filter(|id| own != Some(id)) {
            if self.request.dead.contains(&id) {
                store.delete(&file::name_of(&id)).await?;
                continue;
            }
            let Some(lock) = file::read(store, key, &id).await? else { continue };
            if self.is_dead(&id, &lock) {
                store.delete(&file::name_of(&id)).await?;
            } else if self.is_ruled_out_by(&lock) {
                return Ok(Some(lock.holder(&id)));
            }
        }
        Ok(None)
    }

    fn is_ruled_out_by(&self, lock: &LockFile) -> bool {
        match self.request.mode {
            Mode::Exclusive => true,
            Mode::Shared => lock.exclusive,
            Mode::Reading => lock.exclusive && !lock.looks_dead(),
        }
    }

    /// Neither the name of a machine nor its clock is a proof: that of a container, or of another machine with that name, says
    /// the same of a holder that lives.
    fn is_dead(&mut self, id: &str, lock: &LockFile) -> bool {
        let since = *self.seen.entry(id.to_owned()).or_insert_with(Instant::now);
        let Request { run, dead_runs, .. } = self.request;
        let of_dead_run =
            lock.run.is_some() && (lock.run == *run || dead_runs.iter().any(|dead| Some(dead) == lock.run.as_ref()));
        of_dead_run || lock.is_of_an_ended_process() || since.elapsed() >= clock::scaled(ABANDONED).max(AT_LEAST)
    }
}

async fn ids(store: &dyn ObjectStore) -> Result<Vec<String>, EngineError> {
    let entries = store.list("locks/").await?;
    Ok(entries
        .iter()
        .filter_map(|entry| Some(super::backend::id_in(&entry.name)?.to_hex().as_str().to_owned()))
        .collect())
}

#[cfg(test)]
mod tests;
