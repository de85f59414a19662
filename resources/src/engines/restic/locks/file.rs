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
}

impl LockFile {
    fn ours(mode: Mode) -> Self {
        LockFile {
            time: clock::now(),
            exclusive: mode == Mode::Exclusive,
            hostname: machine::host(),
            username: machine::user(),
            pid: std::process::id(),
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
        }
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
        }
    }
}

pub fn name_of(id: &str) -> String {
    format!("locks/{id}")
}

/// Writes a fresh lock of ours and gives its id.
pub async fn write(store: &dyn ObjectStore, key: &KeyBytes, mode: Mode) -> Result<String, EngineError> {
    write_file(store, key, &LockFile::ours(mode)).await
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
