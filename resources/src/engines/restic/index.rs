//! Reads a repository's index, also where files of it are damaged: a pack says at its own end what it holds.

use std::sync::Arc;

use rustic_core::{Id, IndexedFullStatus, Repository, RusticError};
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;

use super::backend::id_in;
use super::error::EngineError;
use super::repository::Opened;
use super::source::SnapshotGate;
use crate::store::ObjectStore;

/// A repository with its index.
pub struct Indexed {
    /// The repository.
    pub repository: Repository<IndexedFullStatus>,
    /// What stands before its store.
    pub gate: Arc<SnapshotGate>,
    /// A sentence for each file of the index that is damaged and was done without.
    pub damaged: Vec<String>,
}

/// Reads the index. `again` opens the repository once more, for where damaged files have to be left out. Blocks: not for a
/// runtime's thread.
pub fn read(
    opened: Opened,
    runtime: &Handle,
    again: impl Fn() -> Result<Opened, EngineError>,
) -> Result<Indexed, EngineError> {
    let Opened { repository, gate, store, .. } = opened;
    let error = match repository.to_indexed() {
        Ok(repository) => return Ok(Indexed { repository, gate, damaged: Vec::new() }),
        Err(error) => error,
    };
    let damaged = damaged(store.as_ref(), runtime)?;
    if damaged.is_empty() {
        return Err(failed(&error));
    }
    let without = || {
        let opened = again()?;
        opened.gate.hide(&damaged);
        Ok::<_, EngineError>((opened.repository, opened.gate))
    };
    let (repository, gate) = without()?;
    let (repository, gate) = match repository.to_indexed_checked() {
        Ok(repository) => (repository, gate),
        Err(error) => {
            // A pack is damaged too. What the rest of the index names is there without it.
            tracing::warn!(%error, "what the damaged index names can't be read from the packs");
            let (repository, gate) = without()?;
            (repository.to_indexed().map_err(|error| failed(&error))?, gate)
        }
    };
    Ok(Indexed { repository, gate, damaged: damaged.iter().map(sentence).collect() })
}

/// Why the index could not be read: the files that are damaged, or what rustic_core says.
pub fn failure(store: &dyn ObjectStore, runtime: &Handle, error: &RusticError) -> EngineError {
    match damaged(store, runtime) {
        Ok(damaged) if damaged.is_empty() => failed(error),
        Ok(damaged) => EngineError::Damaged { place: store.describe(), what: damaged.iter().map(sentence).collect() },
        Err(error) => error,
    }
}

fn failed(error: &RusticError) -> EngineError {
    EngineError::repository("reading the index", error)
}

fn sentence(id: &Id) -> String {
    format!("`index/{}` is damaged: `restic repair index` makes it anew from the packs", id.to_hex().as_str())
}

/// Files of the index whose content is not what their name, its hash, says.
fn damaged(store: &dyn ObjectStore, runtime: &Handle) -> Result<Vec<Id>, EngineError> {
    let mut damaged = Vec::new();
    for entry in runtime.block_on(store.list("index/"))? {
        let Some(id) = id_in(&entry.name) else { continue };
        let Some(bytes) = runtime.block_on(store.get_bytes(&entry.name))? else { continue };
        if hex::encode(Sha256::digest(&bytes)) != id.to_hex().as_str() {
            damaged.push(id);
        }
    }
    Ok(damaged)
}
