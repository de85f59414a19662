//! The lock file: who, where, since when; sealed like every file of a repository.

use super::super::crypto::{KeyBytes, seal, unseal_file};
use super::super::error::{EngineError, LockHolder};
use super::super::machine;
use super::Mode;
use crate::clock;
use crate::store::{Condition, ObjectStore};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

/// What restic writes into a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockFile {
    pub time: Timestamp,
    pub exclusive: bool,
    #[serde(default)]
    pub hostname: String,
    #[serde(default)]
    pub username: String,
    #[serde(default)]
    pub pid: u32,
    #[serde(default)]
    pub uid: u32,
    #[serde(default)]
    pub gid: u32,
    /// Of ours only: where `pid` can be looked for. restic reads over it.
    #[serde(default, rename = "dr_process_space", skip_serializing_if = "Option::is_none")]
    pub process_space: Option<String>,
    /// Of ours only: what the record of its run is known by. restic reads over it.
    #[serde(default, rename = "dr_run", skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
}

impl LockFile {
    fn ours(mode: Mode, run: Option<&str>) -> Self {
        LockFile {
            time: clock::now(),
            exclusive: mode == Mode::Exclusive,
            hostname: machine::host(),
            username: machine::user(),
            pid: std::process::id(),
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
            process_space: machine::process_space(),
            run: run.map(str::to_owned),
        }
    }

    /// Whether its process has ended, provably: where it ran can be looked into from here, and it is not there. The name of
    /// a machine is no proof: a container may have it too, and so may another machine.
    pub fn is_of_an_ended_process(&self) -> bool {
        self.process_space.is_some() && self.process_space == machine::process_space() && !machine::is_alive(self.pid)
    }

    /// Whether there is reason to think that its process has ended: restic's own rules for `restic unlock`.
    pub fn looks_dead(&self) -> bool {
        self.is_not_here() || self.age_seconds() > super::ABANDONED.as_secs().cast_signed()
    }

    /// Whether it names this machine, and no such process is to be seen here.
    fn is_not_here(&self) -> bool {
        self.hostname == machine::host() && !machine::is_alive(self.pid)
    }

    pub fn age_seconds(&self) -> i64 {
        clock::now().as_second() - self.time.as_second()
    }

    pub fn holder(&self, id: &str) -> LockHolder {
        LockHolder {
            id: id.to_owned(),
            user: self.username.clone(),
            host: self.hostname.clone(),
            pid: self.pid,
            exclusive: self.exclusive,
            since: self.time.to_string(),
            age_seconds: self.age_seconds(),
            not_here: self.is_not_here(),
            run: self.run.clone(),
        }
    }
}

pub fn name_of(id: &str) -> String {
    format!("locks/{id}")
}

/// Writes a fresh lock of ours and gives its id.
pub async fn write(
    store: &dyn ObjectStore,
    key: &KeyBytes,
    mode: Mode,
    run: Option<&str>,
) -> Result<String, EngineError> {
    write_file(store, key, &LockFile::ours(mode, run)).await
}

pub async fn write_file(store: &dyn ObjectStore, key: &KeyBytes, lock: &LockFile) -> Result<String, EngineError> {
    let failed = |message| EngineError::Repository { action: "writing a lock".to_owned(), message };
    let plain = serde_json::to_vec(lock).map_err(|error| failed(error.to_string()))?;
    let sealed = seal(key, &plain);
    let id = hex::encode(Sha256::digest(&sealed));
    store.put(&name_of(&id), sealed.into(), Condition::Any).await?;
    Ok(id)
}

/// A lock; nothing when it went away meanwhile.
pub async fn read(store: &dyn ObjectStore, key: &KeyBytes, id: &str) -> Result<Option<LockFile>, EngineError> {
    let Some(object) = store.get(&name_of(id)).await? else { return Ok(None) };
    let plain = unseal_file(key, &object.bytes);
    match plain.and_then(|plain| serde_json::from_slice(&plain).ok()) {
        Some(lock) => Ok(Some(lock)),
        None => Err(EngineError::Damaged {
            place: store.describe(),
            what: vec![format!("the lock file {id} can't be read; `restic unlock --remove-all` removes it")],
        }),
    }
}
