//! A repository: what is at a place, making one, opening one.

use super::backend::{Lost, StoreBackend, id_in};
use super::crypto::{KeyBytes, key_bytes, unseal};
use super::error::EngineError;
use super::keys;
use super::source::SnapshotGate;
use crate::clock;
use crate::secret::Secret;
use crate::store::{Condition, ObjectStore, Put};
use bytes::Bytes;
use bytesize::ByteSize;
use rustic_core::repofile::MasterKey;
use rustic_core::{
    ConfigOptions, Credentials, KeyOptions, NoProgressBars, OpenStatus, ProgressBars, Repository, RepositoryBackends,
    RepositoryOptions, RusticResult,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// What is at a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Found {
    /// Nothing, provably.
    Absent,
    /// Key files and nothing else: somebody began to make a repository.
    InterruptedInit,
    /// A repository.
    Ready {
        /// The names of its key files, sorted: another set means that a password may have changed.
        keys: Vec<String>,
    },
    /// A repository that lacks what nothing of it can be opened without.
    Incomplete {
        /// What it lacks.
        lacks: String,
    },
    /// Something that is no repository.
    SomethingElse {
        /// What it is.
        what: String,
    },
}

/// How long two that make one repository on a store without conditions need to see which configuration came last.
const SETTLE: Duration = Duration::from_secs(2);

/// A repository that its password opened.
pub struct Opened {
    /// The repository.
    pub repository: Repository<OpenStatus>,
    /// What holds its snapshots back while a backup runs.
    pub gate: Arc<SnapshotGate>,
    /// The store below it.
    pub store: Arc<dyn ObjectStore>,
    /// Whether the store was out of reach.
    pub lost: Lost,
    /// Its id.
    pub id: String,
    /// Its key, for what rustic_core does not seal.
    pub(super) key: KeyBytes,
}

/// Looks with two cheap requests, and without a password, what is at a place.
pub async fn probe(store: &dyn ObjectStore) -> Result<Found, EngineError> {
    match look(store).await? {
        // The requests see different moments: to one of them a repository that is made meanwhile has a `config` and to the
        // other none. Nothing of that lasts until a second look.
        Found::SomethingElse { .. } | Found::Incomplete { .. } => look(store).await,
        found => Ok(found),
    }
}

async fn look(store: &dyn ObjectStore) -> Result<Found, EngineError> {
    let (config, keys) = tokio::try_join!(store.get_bytes("config"), store.list("keys/"))?;
    let mut keys: Vec<String> =
        keys.iter().filter_map(|entry| Some(id_in(&entry.name)?.to_hex().as_str().to_owned())).collect();
    keys.sort();
    match config {
        Some(config) if is_text(&config) => Ok(Found::SomethingElse {
            what: "its `config` is plain text, as in a repository of another format".to_owned(),
        }),
        Some(_) if keys.is_empty() => {
            Ok(Found::Incomplete { lacks: "there is a `config` and no file in `keys/`".to_owned() })
        }
        Some(_) => Ok(Found::Ready { keys }),
        None => what_else(store).await,
    }
}

/// Sealed bytes are never text of this length; an empty or torn configuration is damage, not another format.
fn is_text(config: &[u8]) -> bool {
    config.len() > 8 && config.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace())
}

async fn what_else(store: &dyn ObjectStore) -> Result<Found, EngineError> {
    let entries = store.list("").await?;
    // Beside a repository at the top of a bucket lies the record of our own runs.
    let names: Vec<_> =
        entries.iter().map(|entry| entry.name.as_str()).filter(|name| !name.starts_with(".dr/")).collect();
    let other: Vec<_> = names.iter().copied().filter(|name| !name.starts_with("keys/")).collect();
    if names.is_empty() {
        return Ok(Found::Absent);
    }
    if other.is_empty() {
        return Ok(Found::InterruptedInit);
    }
    let of_restic = |name: &&str| ["data/", "index/", "snapshots/"].iter().any(|folder| name.starts_with(folder));
    let what = if other.iter().any(|name| name.starts_with("kopia.")) {
        "it is a repository of another format, kopia's".to_owned()
    } else if other.iter().all(of_restic) {
        return Ok(Found::Incomplete { lacks: "its `config` is missing, its data is there".to_owned() });
    } else {
        format!("it holds {}", some(&other))
    };
    Ok(Found::SomethingElse { what })
}

fn some(names: &[&str]) -> String {
    match names {
        [one, two, three, rest @ ..] if !rest.is_empty() => format!("{one}, {two}, {three} and {} more", rest.len()),
        names => names.join(", "),
    }
}

/// Makes a repository, or finishes one whose making was interrupted; gives its id. Blocks: not for a runtime's thread.
/// `log_n` is [`keys::LOG_N`]; only tests take less.
pub fn init(
    store: &Arc<dyn ObjectStore>,
    password: &Secret,
    log_n: u8,
    runtime: &Handle,
) -> Result<String, EngineError> {
    let place = store.describe();
    let master = match runtime.block_on(probe(store.as_ref()))? {
        Found::Ready { .. } => return Err(EngineError::Exists { place }),
        Found::SomethingElse { what } => return Err(EngineError::SomethingElse { place, what }),
        Found::Incomplete { lacks } => return Err(EngineError::Incomplete { place, lacks }),
        Found::Absent => None,
        Found::InterruptedInit => {
            key_files(store.as_ref(), runtime)?.iter().find_map(|(_, bytes)| keys::open(bytes, password).ok().flatten())
        }
    };
    let failed = |message: String| EngineError::Repository { action: "making the repository".to_owned(), message };
    let (master, written) = match master {
        Some(master) => (master, None),
        None => {
            let master = MasterKey::new();
            let (name, bytes) = keys::make(&master, password, log_n).map_err(failed)?;
            let name = format!("keys/{name}");
            runtime.block_on(store.put(&name, Bytes::from(bytes), Condition::Any))?;
            (master, Some(name))
        }
    };
    let key = key_bytes(&master);
    let backend = Arc::new(StoreBackend::new(store.clone(), runtime.clone()));
    let made = unopened(&RepositoryBackends::new(backend, None), NoProgressBars)
        .and_then(|new| new.init(&Credentials::Masterkey(master), &KeyOptions::default(), &packs()))
        .map_err(|error| EngineError::repository("making the repository", &error));
    let ours = match (&made, runtime.block_on(store.get("config"))?) {
        (Ok(_), Some(config)) => runtime.block_on(stays(store.as_ref(), config.bytes, key.as_ref()))?,
        (Err(_), Some(config)) if !is_of(&config.bytes, key.as_ref()) => false,
        (Err(_), Some(_)) => return Err(EngineError::Exists { place }),
        (_, None) => true,
    };
    if !ours {
        // Somebody was quicker, if not with our own key, which lay there for them to finish with. restic takes the first key
        // that its password opens for the repository's.
        if let Some(name) = written {
            runtime.block_on(store.delete(&name))?;
        }
        return Err(EngineError::Exists { place });
    }
    made?;
    // Read back with the password: what the store accepted is what the next one will open.
    open(store, password, runtime).map(|opened| opened.id)
}

fn is_of(config: &[u8], key: Option<&KeyBytes>) -> bool {
    key.is_some_and(|key| unseal(key, config).is_some())
}

/// Whether the configuration that we wrote is the one that stays. On a store that keeps conditions it is; on one that ignores
/// them, which the same write shows, who wrote last wins.
async fn stays(store: &dyn ObjectStore, config: Bytes, key: Option<&KeyBytes>) -> Result<bool, EngineError> {
    if matches!(store.put("config", config, Condition::Absent).await?, Put::ConditionFailed) {
        return Ok(true);
    }
    clock::sleep(SETTLE).await;
    Ok(store.get("config").await?.is_some_and(|config| is_of(&config.bytes, key)))
}

/// Whether no backup was ever stored, or every trace of one is gone: no recovery point and no data.
pub async fn holds_nothing(store: &dyn ObjectStore) -> Result<bool, EngineError> {
    Ok(store.list("snapshots/").await?.is_empty() && store.list("data/").await?.is_empty())
}

/// Removes the repository, its configuration last, so that what an interruption leaves is still known for what it is.
/// Files that are not a repository's stay; gives how many files went.
pub async fn erase(store: &dyn ObjectStore) -> Result<u64, EngineError> {
    let mut erased = 0;
    for folder in ["snapshots/", "index/", "data/", "locks/", "keys/"] {
        for entry in store.list(folder).await? {
            store.delete(&entry.name).await?;
            erased += 1;
        }
    }
    store.delete("config").await?;
    Ok(erased + 1)
}

/// restic's own size of packs, half of rustic's: what is packed is held in memory.
fn packs() -> ConfigOptions {
    let mut options = ConfigOptions::default();
    options.set_datapack_size = Some(ByteSize::mib(16));
    options
}

fn unopened(backends: &RepositoryBackends, bars: impl ProgressBars) -> RusticResult<Repository<()>> {
    Repository::new_with_progress(&RepositoryOptions::default().no_cache(true), backends, bars)
}

fn key_files(store: &dyn ObjectStore, runtime: &Handle) -> Result<Vec<(String, Bytes)>, EngineError> {
    let mut files = Vec::new();
    for entry in runtime.block_on(store.list("keys/"))? {
        if let (Some(_), Some(object)) = (id_in(&entry.name), runtime.block_on(store.get(&entry.name))?) {
            files.push((entry.name, object.bytes));
        }
    }
    Ok(files)
}

/// Opens the repository. Blocks: not for a runtime's thread.
pub fn open(store: &Arc<dyn ObjectStore>, password: &Secret, runtime: &Handle) -> Result<Opened, EngineError> {
    open_with(store, password, runtime, NoProgressBars)
}

/// Opens the repository, whose bulk reads then tell `bars` how far they are.
pub fn open_with(
    store: &Arc<dyn ObjectStore>,
    password: &Secret,
    runtime: &Handle,
    bars: impl ProgressBars,
) -> Result<Opened, EngineError> {
    let place = store.describe();
    let Some(config) = runtime.block_on(store.get("config"))? else {
        return Err(match runtime.block_on(probe(store.as_ref()))? {
            Found::SomethingElse { what } => EngineError::SomethingElse { place, what },
            Found::Incomplete { lacks } => EngineError::Incomplete { place, lacks },
            _ => EngineError::NoRepository { place },
        });
    };
    if is_text(&config.bytes) {
        let what = "its `config` is plain text, as in a repository of another format".to_owned();
        return Err(EngineError::SomethingElse { place, what });
    }
    let (master, key, config) = find_key(store.as_ref(), &config.bytes, password, runtime)?;
    if !matches!(config.version, 1 | 2) {
        return Err(EngineError::UnknownVersion { place, version: config.version });
    }
    let backend = StoreBackend::new(store.clone(), runtime.clone());
    let lost = backend.lost();
    let gate = SnapshotGate::new(Arc::new(backend));
    let repository = unopened(&RepositoryBackends::new(gate.clone(), None), bars)
        .and_then(|repository| repository.open(&Credentials::Masterkey(master)))
        .map_err(|error| EngineError::repository("opening the repository", &error))?;
    Ok(Opened { repository, gate, store: store.clone(), lost, id: config.id, key })
}

/// What is read of the configuration before rustic_core sees it.
#[derive(Deserialize)]
struct Config {
    version: u32,
    id: String,
}

const CONFIG: &str = "`config` does not open with the repository's key. Bring it back from another copy";

/// Whether a key file is what its name, the hash of its content, says.
fn is_whole(name: &str, bytes: &[u8]) -> bool {
    id_in(name).is_some_and(|id| id.to_hex().as_str() == hex::encode(Sha256::digest(bytes)))
}

/// Tries every key file: one that is damaged, or left over from an interrupted making, does not hide the good one.
fn find_key(
    store: &dyn ObjectStore,
    config: &[u8],
    password: &Secret,
    runtime: &Handle,
) -> Result<(MasterKey, KeyBytes, Config), EngineError> {
    let place = store.describe();
    let (mut problems, mut tried, mut opened_none) = (Vec::new(), 0, false);
    for (name, bytes) in key_files(store, runtime)? {
        let master = match keys::open(&bytes, password) {
            Ok(Some(master)) => master,
            Ok(None) if !is_whole(&name, &bytes) => {
                problems.push(format!("{name} is damaged"));
                continue;
            }
            Ok(None) => {
                tried += 1;
                continue;
            }
            Err(problem) => {
                problems.push(format!("{name}: {problem}"));
                continue;
            }
        };
        let key = key_bytes(&master);
        let plain = key.as_ref().and_then(|key| unseal(key, config));
        match (key, plain.and_then(|plain| serde_json::from_slice(&plain).ok())) {
            (Some(key), Some(config)) => return Ok((master, key, config)),
            _ => opened_none = true,
        }
    }
    Err(if opened_none {
        EngineError::Damaged { place, what: vec![CONFIG.to_owned()] }
    } else if tried > 0 {
        EngineError::WrongPassword { place, keys: tried }
    } else {
        if problems.is_empty() {
            problems.push("`keys/` is empty".to_owned());
        }
        EngineError::NoUsableKey { place, problems }
    })
}

#[cfg(test)]
mod tests;
