//! Backup: what lies below some paths becomes a snapshot, whole or not at all.

mod filter;
mod gate;
mod reader;
mod tally;
#[cfg(test)]
pub(super) mod testing;
#[cfg(test)]
mod tests;
mod walk;
mod xattrs;

use super::error::EngineError;
use super::points::SAFETY_TAG;
use super::progress::Progress;
use crate::words::counted;
use filter::Filter;
pub(super) use filter::{is_ledger_name, pattern_problem, patterns_below};
pub use gate::SnapshotGate;
use rustic_core::repofile::{SnapshotFile, StringList};
use rustic_core::{IndexedIds, Repository, RusticError, jiff::Zoned, jiff::tz::TimeZone};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use tally::Tally;
use walk::Source;

/// How points name the program that wrote them, before its version.
pub const PROGRAM: &str = "terraform-provider-dr";

/// The tag of a snapshot that lacks something; it is never the newest point of a series.
pub const INCOMPLETE_TAG: &str = "dr-incomplete";

/// A backup that is through before is not counted first: to look at each entry twice costs most where nothing changed.
const BEFORE_SCAN: Duration = Duration::from_secs(1);

/// What becomes of a backup that could not read everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnreadable {
    /// It fails, and what was read is kept under [`INCOMPLETE_TAG`].
    #[default]
    Fail,
    /// It succeeds with a warning.
    Warn,
}

/// What to back up, and how the snapshot is described.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct BackupOptions {
    /// Absolute paths of folders or files.
    pub paths: Vec<PathBuf>,
    /// Patterns in the syntax of .gitignore, anchored at each path.
    pub excludes: Vec<String>,
    /// Tags of the snapshot.
    pub tags: Vec<String>,
    /// The host that the snapshot names; this machine when there is none.
    pub host: Option<String>,
    /// The time of the snapshot; now when there is none.
    pub time: Option<Zoned>,
    /// What becomes of a backup that could not read everything.
    pub on_unreadable: OnUnreadable,
    /// Whether other file systems below the paths are left out.
    pub one_file_system: bool,
    /// Paths that are left out without a pattern.
    pub skip: Vec<PathBuf>,
    /// The repository's own folder, when it is one.
    pub repository: Option<PathBuf>,
}

/// What a backup did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BackupReport {
    /// The snapshot's id, 64 digits.
    pub snapshot: String,
    /// Its time, in RFC 3339.
    pub time: String,
    /// How many entries that are no folders it holds.
    pub files: u64,
    /// How many folders, without those above the paths.
    pub dirs: u64,
    /// Bytes of all files.
    pub bytes_processed: u64,
    /// Bytes that the repository grew by, packed.
    pub bytes_added: u64,
    /// How many entries could not be read or changed while they were read.
    pub unreadable_count: u64,
    /// The first ten of them, each with its reason.
    pub unreadable: Vec<String>,
    /// Whether the snapshot lacks any of them.
    pub incomplete: bool,
}

/// Backs up. The repository has to have been opened on `gate`, which holds the snapshot back until everything was read.
pub fn backup<S: IndexedIds>(
    repository: &Repository<S>,
    gate: &SnapshotGate,
    options: &BackupOptions,
    progress: &dyn Progress,
) -> Result<BackupReport, EngineError> {
    let filter = Filter::new(&options.paths, &options.excludes, &options.skip)?;
    check_paths(options, &filter)?;
    let tally = Arc::new(Tally::default());
    let source = Source::new(&options.paths, filter, options.one_file_system, &tally);

    gate.close();
    let archived = archive(repository, &source, options, &tally, progress).map_err(|error| failed(&error));
    let archived = match (gate.failure(), archived) {
        (Some(failure), _) => Err(failure),
        (None, archived) => archived.and_then(|snapshot| nothing_lost(snapshot, &tally)),
    };
    match archived {
        Ok(snapshot) => store(repository, gate, options, &tally, snapshot, progress),
        Err(error) => {
            gate.discard();
            Err(error)
        }
    }
}

fn failed(error: &RusticError) -> EngineError {
    EngineError::repository("backing up", error)
}

/// Everything that can be known to be wrong before the first byte is written.
fn check_paths(options: &BackupOptions, filter: &Filter) -> Result<(), EngineError> {
    if options.paths.is_empty() {
        return Err(EngineError::Source { path: String::new(), reason: "no path is given".to_owned() });
    }
    for path in &options.paths {
        let refuse = |reason: String| EngineError::Source { path: path.display().to_string(), reason };
        if !path.is_absolute() || path.components().any(|part| part == Component::ParentDir) {
            return Err(refuse("it has to be absolute and without `..`".to_owned()));
        }
        readable(path).map_err(|error| refuse(error.to_string()))?;
        if let Some(repository) = &options.repository
            && let (Ok(real), Ok(repository)) = (path.canonicalize(), repository.canonicalize())
        {
            // as the pattern sees it: below the path as it was given
            let seen = repository.strip_prefix(&real).map(|rest| path.join(rest));
            if repository == real || real.starts_with(&repository) {
                return Err(refuse("it lies in the repository that it would be stored in".to_owned()));
            }
            if seen.is_ok_and(|seen| !filter.leaves_out_below(&seen)) {
                return Err(refuse(format!("it holds the repository itself, {}", repository.display())));
            }
        }
    }
    Ok(())
}

/// Whether a path is there and can be listed or opened.
fn readable(path: &Path) -> std::io::Result<()> {
    let kind = path.symlink_metadata()?.file_type();
    if kind.is_symlink() {
        let target = std::fs::read_link(path)?;
        let message = format!("it is a symbolic link to {}: name the folder itself", target.display());
        return Err(std::io::Error::other(message));
    }
    if kind.is_dir() {
        std::fs::read_dir(path)?.next().transpose()?;
    } else if kind.is_file() {
        File::open(path)?;
    }
    Ok(())
}

/// Runs the archiver, with a thread beside it that counts what there is to do, and one that tells how far it is.
fn archive<S: IndexedIds>(
    repository: &Repository<S>,
    source: &Source,
    options: &BackupOptions,
    tally: &Tally,
    progress: &dyn Progress,
) -> Result<SnapshotFile, Box<RusticError>> {
    let archive_options = rustic_core::BackupOptions::default().no_scan(true);
    let (running, done) = std::sync::mpsc::channel::<()>();
    let (early, later) = std::sync::mpsc::channel::<()>();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            if later.recv_timeout(BEFORE_SCAN) == Err(RecvTimeoutError::Timeout) {
                source.scan();
            }
        });
        scope.spawn(move || tally.report(progress, &done));
        let result = repository.archive(&archive_options, source, describe(options), &options.paths);
        tally.stopped.store(true, Ordering::Relaxed);
        drop((running, early));
        result
    })
}

/// The snapshot before it has a tree.
fn describe(options: &BackupOptions) -> SnapshotFile {
    let name = || rustix::system::uname().nodename().to_string_lossy().into_owned();
    let mut tags = StringList::default();
    for tag in &options.tags {
        tags.add(tag.clone());
    }
    SnapshotFile {
        time: options.time.clone().unwrap_or_else(|| crate::clock::now().to_zoned(TimeZone::system())),
        program_version: format!("{PROGRAM} {}", env!("CARGO_PKG_VERSION")),
        hostname: options.host.clone().unwrap_or_else(name),
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        tags,
        ..SnapshotFile::default()
    }
}

/// The archiver turns some errors into log lines: every entry that it was given has to be in the snapshot.
fn nothing_lost(snapshot: SnapshotFile, tally: &Tally) -> Result<SnapshotFile, EngineError> {
    let given = tally.stored();
    let stored = snapshot.summary.as_ref().map_or(0, |summary| summary.total_files_processed);
    if given == stored {
        return Ok(snapshot);
    }
    let message =
        format!("{} read, and {stored} of them would be in the snapshot", counted(given, "entry was", "entries were"));
    Err(EngineError::Repository { action: "backing up".to_owned(), message })
}

/// Writes the snapshot: as it is, or under [`INCOMPLETE_TAG`].
fn store<S: IndexedIds>(
    repository: &Repository<S>,
    gate: &SnapshotGate,
    options: &BackupOptions,
    tally: &Tally,
    mut snapshot: SnapshotFile,
    progress: &dyn Progress,
) -> Result<BackupReport, EngineError> {
    let problems = tally.problems();
    let incomplete = problems.count > 0 && options.on_unreadable == OnUnreadable::Fail;
    // What is empty is no backup that anybody is to find. Of a target that is overwritten it is what there was.
    let holds_nothing = tally.stored() == 0 && !options.tags.iter().any(|tag| tag == SAFETY_TAG);
    let id = if incomplete || holds_nothing {
        gate.discard();
        snapshot.tags.add(INCOMPLETE_TAG.to_owned());
        repository.save_snapshots(vec![snapshot.clone()]).map_err(|error| failed(&error))?;
        gate.last_written()
    } else {
        gate.release().map_err(|error| failed(&error))?
    };
    let Some(id) = id.map(|id| id.to_hex().to_string()) else {
        let message = "the repository was not opened on the gate that holds its snapshots back".to_owned();
        return Err(EngineError::Repository { action: "backing up".to_owned(), message });
    };
    if incomplete {
        return Err(EngineError::Unreadable { count: problems.count, names: problems.names, point: Some(id) });
    }
    if problems.count > 0 {
        let names = problems.names.join("; ");
        progress.warning(&format!("{} of what was to be backed up could not be read: {names}", problems.count));
    }
    Ok(BackupReport {
        snapshot: id,
        time: snapshot.time.strftime("%Y-%m-%dT%H:%M:%S%.f%:z").to_string(),
        files: tally.stored(),
        dirs: tally.dirs.load(Ordering::Relaxed),
        bytes_processed: tally.stored_bytes(),
        bytes_added: snapshot.summary.map_or(0, |summary| summary.data_added_packed),
        unreadable_count: problems.count,
        incomplete: problems.count > 0,
        unreadable: problems.names,
    })
}
