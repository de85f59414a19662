//! What a running restore has done so far, shared by its threads.

use super::super::error::EngineError;
use super::super::progress::Progress;
use super::meta::LeftOut;
use super::place::Fault;
use super::plan::{BASE, FolderId};
use crate::words::counted;
use rustix::fs::Mode;
use rustix::io::Errno;
use std::collections::{BTreeMap, HashSet};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How many names an error carries, and how many are told one by one.
const NAMES: usize = 10;
const TOLD: u64 = 100;

/// Counters and complaints.
pub(super) struct State<'a> {
    pub progress: &'a dyn Progress,
    pub files: AtomicU64,
    pub bytes: AtomicU64,
    fatal: AtomicBool,
    notes: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    fatal: Option<EngineError>,
    failed: u64,
    names: Vec<String>,
    paths: HashSet<PathBuf>,
    warnings: Vec<String>,
    /// Attributes that the destination has no place for: how many entries, and the first of them.
    attributes: u64,
    attribute: String,
    /// Entries that belong to somebody else than they should.
    owners: u64,
    /// Folders that we had to make writable for ourselves, and the mode that they had.
    relaxed: BTreeMap<FolderId, u32>,
}

impl<'a> State<'a> {
    pub fn new(progress: &'a dyn Progress) -> Self {
        Self {
            progress,
            files: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            fatal: AtomicBool::new(false),
            notes: Mutex::default(),
        }
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what went wrong with an entry.
    pub fn fault(&self, path: &Path, fault: Fault) {
        let mut notes = self.notes();
        match fault {
            Fault::Fatal(error) => {
                notes.fatal.get_or_insert(error);
                self.fatal.store(true, Ordering::Relaxed);
            }
            Fault::Entry(reason) => {
                notes.failed += 1;
                notes.paths.insert(path.to_path_buf());
                let text = format!("{}: {reason}", path.display());
                if notes.failed <= TOLD {
                    self.progress.warning(&format!("not restored: {text}"));
                }
                if notes.names.len() < NAMES {
                    notes.names.push(text);
                }
            }
        }
    }

    /// Whether there is no point in going on.
    pub fn ended(&self) -> bool {
        self.fatal.load(Ordering::Relaxed)
    }

    /// Whether anything is missing.
    pub fn any_failed(&self) -> bool {
        self.notes().failed > 0
    }

    /// Whether this is missing, or still what it was before.
    pub fn has_failed(&self, path: &Path) -> bool {
        self.notes().paths.contains(path)
    }

    /// Notes something that does not fail the restore.
    pub fn warn(&self, warning: String) {
        self.progress.warning(&warning);
        self.notes().warnings.push(warning);
    }

    /// Notes what could not be set of an entry.
    pub fn left_out(&self, path: &Path, left_out: &LeftOut) {
        if !left_out.owner && left_out.attributes.is_empty() {
            return;
        }
        let mut notes = self.notes();
        notes.owners += u64::from(left_out.owner);
        if let Some(first) = left_out.attributes.first() {
            notes.attributes += 1;
            if notes.attributes == 1 {
                notes.attribute = format!("{first} of {}", path.display());
            }
        }
    }

    /// Changes a folder; one of the user's own that may not be changed is made writable, and put back in the end.
    pub fn change<T>(
        &self,
        id: FolderId,
        folder: impl AsFd,
        change: impl Fn() -> rustix::io::Result<T>,
    ) -> rustix::io::Result<T> {
        match change() {
            Err(Errno::ACCESS) if id != BASE => {
                let mode = rustix::fs::fstat(folder.as_fd())?.st_mode & 0o7777;
                rustix::fs::fchmod(folder, Mode::from_raw_mode(mode | 0o700)).map_err(|_| Errno::ACCESS)?;
                self.notes().relaxed.entry(id).or_insert(mode);
                change()
            }
            result => result,
        }
    }

    /// The mode that a folder had before [`State::change`].
    pub fn mode_before(&self, id: FolderId) -> Option<u32> {
        self.notes().relaxed.get(&id).copied()
    }

    /// One more file is done.
    pub fn file_done(&self) {
        self.files.fetch_add(1, Ordering::Relaxed);
        self.progress.files(1);
    }

    /// The fatal error, if there was one.
    pub fn check(&self) -> Result<(), EngineError> {
        match &self.notes().fatal {
            Some(error) => Err(error.clone()),
            None => Ok(()),
        }
    }

    /// The end: warnings, or the names of what is missing.
    pub fn finish(&self) -> Result<Vec<String>, EngineError> {
        let notes = std::mem::take(&mut *self.notes());
        if let Some(error) = notes.fatal {
            return Err(error);
        }
        if notes.failed > 0 {
            return Err(EngineError::NotRestored { count: notes.failed, names: notes.names });
        }
        let mut last = Vec::new();
        if notes.owners > 0 {
            last.push(format!(
                "{} another owner or group than in the point: only root can set it",
                counted(notes.owners, "entry has", "entries have")
            ));
        }
        if notes.attributes > 0 {
            let rest = match notes.attributes {
                1 => String::new(),
                count => format!(" and attributes of {}", counted(count - 1, "more entry", "more entries")),
            };
            last.push(format!("Extended attributes were left out, they can't be set here: {}{rest}", notes.attribute));
        }
        last.iter().for_each(|warning| self.progress.warning(warning));
        Ok([notes.warnings, last].concat())
    }
}
