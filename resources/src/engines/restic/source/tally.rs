//! What a running backup has seen so far: counted by the threads that read, told by the one that waits.

use super::super::progress::Progress;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How many names of unreadable entries are kept.
const NAMES: usize = 10;

/// Counters that the source and its readers share.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Everything but folders that went to the archiver.
    pub files: AtomicU64,
    /// Folders below and including the paths.
    pub dirs: AtomicU64,
    /// Bytes of those files.
    pub bytes: AtomicU64,
    /// Files that the archiver has to drop because their reader failed.
    dropped: AtomicU64,
    /// Bytes of those.
    dropped_bytes: AtomicU64,
    /// What the scan in parallel found, once it is through.
    pub total_files: AtomicU64,
    /// Bytes that the scan found.
    pub total_bytes: AtomicU64,
    /// Set when nobody waits for the scan any more.
    pub stopped: AtomicBool,
    problems: Mutex<Problems>,
}

#[derive(Debug, Default, Clone)]
pub(super) struct Problems {
    pub count: u64,
    pub names: Vec<String>,
}

impl Tally {
    /// Notes an entry that could not be read or changed while it was read.
    pub fn problem(&self, path: &Path, reason: impl std::fmt::Display) {
        let mut problems = self.problems.lock().unwrap_or_else(PoisonError::into_inner);
        problems.count += 1;
        if problems.names.len() < NAMES {
            problems.names.push(format!("{}: {reason}", path.display()));
        }
    }

    /// Notes that a file of so many bytes can't be stored after all.
    pub fn drop_file(&self, bytes: u64) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        self.dropped_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// How many of the files are in the snapshot.
    pub fn stored(&self) -> u64 {
        self.files.load(Ordering::Relaxed) - self.dropped.load(Ordering::Relaxed)
    }

    /// How many bytes they have.
    pub fn stored_bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed) - self.dropped_bytes.load(Ordering::Relaxed)
    }

    pub fn problems(&self) -> Problems {
        self.problems.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells `progress` every tenth of a second what is new, until the other end of `done` is dropped.
    pub fn report(&self, progress: &dyn Progress, done: &Receiver<()>) {
        let mut told = (0, 0, 0);
        loop {
            let ended = matches!(done.recv_timeout(Duration::from_millis(100)), Err(RecvTimeoutError::Disconnected));
            told = self.tell(progress, told);
            if ended {
                return;
            }
        }
    }

    fn tell(&self, progress: &dyn Progress, told: (u64, u64, u64)) -> (u64, u64, u64) {
        let now = (
            self.files.load(Ordering::Relaxed) + self.dirs.load(Ordering::Relaxed),
            self.bytes.load(Ordering::Relaxed),
            self.total_files.load(Ordering::Relaxed),
        );
        if now.2 != told.2 {
            progress.totals(now.2, self.total_bytes.load(Ordering::Relaxed));
        }
        if now.0 != told.0 {
            progress.files(now.0 - told.0);
        }
        if now.1 != told.1 {
            progress.bytes(now.1 - told.1);
        }
        now
    }
}
