//! Restore: a point, or a part of it, becomes files again, and nothing outside the destination is touched.

mod compare;
mod content;
mod meta;
mod packs;
mod place;
mod plan;
mod queue;
mod run;
mod sparse;
mod state;
#[cfg(test)]
mod tests;

use super::error::EngineError;
use super::progress::Progress;
use compare::{Comparison, read_tree};
use meta::Rights;
use packs::{Packs, Raw};
pub use place::kept_around;
use place::{Fault, Place};
use rustic_core::repofile::{Metadata, Node, NodeType, SnapshotFile};
use rustic_core::{IndexedFull, Repository, WriteBackend};
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// What becomes of files that the point does not hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extra {
    /// They stay.
    #[default]
    Keep,
    /// They are removed, after everything else is in place.
    Delete,
}

/// What to restore, and where to.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct RestoreOptions {
    /// The snapshot's id.
    pub snapshot: String,
    /// A folder or file in the snapshot.
    pub path: PathBuf,
    /// Patterns in the syntax of .gitignore, anchored at `path`; none includes everything.
    pub include: Vec<String>,
    /// Where the folder or file goes.
    pub to: PathBuf,
    /// What becomes of files that the point does not hold.
    pub extra: Extra,
    /// Whether the content of files that look unchanged is compared too.
    pub verify_existing: bool,
    /// Whether this goes on with a run that was interrupted: the content of what is there is compared.
    pub take_over: bool,
    /// The folder of the drill that this is part of: the way to the destination leaves it by no link.
    pub drill: Option<PathBuf>,
}

/// What a restore did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreReport {
    /// Files that were written.
    pub files: u64,
    /// Folders of the point, made or there already.
    pub dirs: u64,
    /// Links, further names of files, pipes and devices.
    pub links: u64,
    /// Bytes that were written.
    pub bytes: u64,
    /// Files that were there already.
    pub skipped_same: u64,
    /// Entries that the point does not hold and that were removed.
    pub deleted: u64,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Restores. `backend` is what the repository was opened on: packs are read from it directly, neighbours at once.
pub fn restore<S: IndexedFull + Sync>(
    repository: &Repository<S>,
    backend: Arc<dyn WriteBackend>,
    options: &RestoreOptions,
    progress: &dyn Progress,
) -> Result<RestoreReport, EngineError>
where
    Repository<S>: Sync,
{
    let packs = Packs::new(backend, &repository.key())?;
    let node = find(repository, &packs, options)?;
    let place = Place::open(&options.to, options.drill.as_deref())?;
    let plan = Comparison::new(repository, &packs, &place, options)?.plan(&node)?;
    let rights = Rights { root: rustix::process::geteuid().is_root() };
    run::run(repository, &packs, &place, plan, options, rights, progress)
}

/// The folder or file of the point that is asked for.
fn find<S: IndexedFull>(
    repository: &Repository<S>,
    packs: &Packs,
    options: &RestoreOptions,
) -> Result<Node, EngineError> {
    let snapshot: SnapshotFile = repository
        .get_snapshot_from_str(&options.snapshot, |_| true)
        .map_err(|error| unread(&options.snapshot, EngineError::repository("reading it", &error)))?;
    let missing =
        || EngineError::NotInPoint { point: options.snapshot.clone(), path: options.path.display().to_string() };
    let mut node = Node::new_node(OsStr::new(""), NodeType::Dir, Metadata::default());
    node.subtree = Some(snapshot.tree);
    let mut near = Raw::default();
    for part in options.path.components() {
        let name = match part {
            Component::Normal(name) => name,
            Component::RootDir | Component::CurDir => continue,
            Component::ParentDir | Component::Prefix(_) => return Err(missing()),
        };
        let id = node.subtree.ok_or_else(missing)?;
        let tree = read_tree(repository, packs, id, &mut near).map_err(|fault| match fault {
            Fault::Fatal(error) => error,
            Fault::Entry(reason) => EngineError::Damaged {
                place: format!("the recovery point {}", options.snapshot),
                what: vec![format!("{} can't be read: {reason}", above(&options.path, name).display())],
            },
        })?;
        node = tree.nodes.into_iter().find(|node| *node.name() == *name).ok_or_else(missing)?;
    }
    Ok(node)
}

/// Nothing is written for a point that was removed since it was listed.
fn unread(point: &str, error: EngineError) -> EngineError {
    match error {
        EngineError::Storage { .. } => error,
        other => EngineError::NoPoint { point: point.to_owned(), reason: other.to_string() },
    }
}

/// The folder in which a path has this name.
fn above<'a>(path: &'a Path, name: &OsStr) -> &'a Path {
    path.ancestors().find(|ancestor| ancestor.file_name() == Some(name)).and_then(Path::parent).unwrap_or(path)
}
