//! The destination of a restore: every name is resolved below an open folder, and no link is ever followed.

use super::super::drill;
use super::super::error::EngineError;
use super::super::source::is_ledger_name;
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, StatxAttributes, StatxFlags};
use rustix::io::{Errno, Result};
use sha2::{Digest, Sha256};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// The folder that holds the destination, open, and the destination's name in it.
#[derive(Debug)]
pub(super) struct Place {
    base: OwnedFd,
    base_path: PathBuf,
    /// The beginning of the names of files that are being written.
    partial: String,
    counter: AtomicU64,
}

/// Why an entry was not written.
#[derive(Debug)]
pub(super) enum Fault {
    /// This entry has a problem; the others need not.
    Entry(String),
    /// Nothing more can be written.
    Fatal(EngineError),
}

impl Fault {
    /// Tells a full or read-only disk, which ends a restore, from what concerns one entry.
    pub fn of(path: &Path, error: Errno) -> Self {
        let reason = std::io::Error::from(error).to_string();
        match error {
            Errno::NOSPC | Errno::DQUOT | Errno::ROFS => {
                Self::Fatal(EngineError::Destination { path: path.display().to_string(), reason })
            }
            _ => Self::Entry(reason),
        }
    }
}

impl Place {
    /// Opens the folder that holds `to`, in a drill by a way that leaves its folder by no link; nothing is written.
    pub fn open(to: &Path, drill: Option<&Path>) -> std::result::Result<Self, EngineError> {
        let refuse =
            |path: &Path, reason: String| EngineError::Destination { path: path.display().to_string(), reason };
        let clean = to.components().all(|part| !matches!(part, std::path::Component::ParentDir));
        if !to.is_absolute() || !clean {
            return Err(refuse(to, "it has to be absolute and without `..`".to_owned()));
        }
        let base_path = to.parent().unwrap_or(to);
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fail = |error: Errno| refuse(base_path, std::io::Error::from(error).to_string());
        let base = match drill {
            Some(drill) => drill::parent(drill, to, false)?.ok_or_else(|| fail(Errno::NOENT))?,
            None => rustix::fs::open(base_path, flags, Mode::empty()).map_err(fail)?,
        };
        let hash = hex::encode(&Sha256::digest(to.as_os_str().as_bytes())[..4]);
        Ok(Self {
            base,
            base_path: base_path.to_path_buf(),
            partial: format!(".dr-part-{hash}-"),
            counter: AtomicU64::new(0),
        })
    }

    /// The whole path of something below, for messages.
    pub fn show(&self, relative: &Path) -> PathBuf {
        self.base_path.join(relative)
    }

    /// Opens a folder below, name by name.
    pub fn folder(&self, relative: &Path) -> Result<OwnedFd> {
        let mut folder = rustix::io::fcntl_dupfd_cloexec(&self.base, 3)?;
        for name in relative {
            folder = open_folder(&folder, name)?;
        }
        Ok(folder)
    }

    /// Makes a new file beside the place that it is for, readable by nobody else.
    pub fn new_file(&self, folder: impl AsFd) -> Result<(OsString, File)> {
        self.unused(|name| {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            rustix::fs::openat(folder.as_fd(), name, flags, Mode::RUSR | Mode::WUSR).map(File::from)
        })
    }

    /// Makes something under a name that is not in use; `make` fails with EEXIST when it is.
    pub fn unused<T>(&self, make: impl Fn(&OsStr) -> Result<T>) -> Result<(OsString, T)> {
        loop {
            let name = OsString::from(format!("{}{:x}", self.partial, self.counter.fetch_add(1, Ordering::Relaxed)));
            match make(&name) {
                Err(Errno::EXIST) => {}
                made => return made.map(|made| (name, made)),
            }
        }
    }

    /// Whether a restore to the same destination that was killed has left this behind.
    pub fn is_left_over(&self, name: &OsStr) -> bool {
        name.as_bytes()
            .strip_prefix(self.partial.as_bytes())
            .is_some_and(|rest| !rest.is_empty() && rest.iter().all(u8::is_ascii_hexdigit))
    }

    /// Renames what was written to its name. A folder in its place goes with what is in it only when `recursive`.
    pub fn put(&self, folder: impl AsFd, from: &OsStr, to: &OsStr, recursive: bool) -> Result<()> {
        let folder = folder.as_fd();
        let put = || rustix::fs::renameat(folder, from, folder, to);
        let result = match put() {
            Err(Errno::ISDIR | Errno::NOTEMPTY | Errno::EXIST) => {
                if recursive { Self::give_way(folder, to) } else { remove_folder(folder, to) }.and_then(|()| put())
            }
            result => result,
        };
        if result.is_err() {
            let _ = rustix::fs::unlinkat(folder, from, AtFlags::empty());
        }
        result
    }

    /// Removes what is in the place of something else.
    fn give_way(folder: BorrowedFd<'_>, name: &OsStr) -> Result<()> {
        match Self::remove_all(folder, name)?.kept[..] {
            [] => Ok(()),
            _ => Err(Errno::BUSY),
        }
    }

    /// Removes an entry with all that is below it, but for what is [`Kept`].
    pub fn remove_all(folder: impl AsFd, name: &OsStr) -> Result<Removed> {
        let mut removed = Removed::default();
        removed.remove(folder.as_fd(), name, Path::new(""))?;
        Ok(removed)
    }
}

/// What is never removed, though no point holds it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// Another file system, or any other folder that is mounted there.
    Mount,
    /// Where runs are written down, beside what is restored or beside a repository.
    Ledger,
    /// A restic repository: another target's backups.
    Repository,
}

impl std::fmt::Display for Kept {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Kept::Mount => "something is mounted there",
            Kept::Ledger => "it is where runs are written down",
            Kept::Repository => "it is a restic repository",
        })
    }
}

impl Kept {
    /// Why nothing in a folder may be removed, if so.
    pub fn of(name: &OsStr, folder: &OwnedFd, inside: &[OsString]) -> Option<Self> {
        if is_ledger(name, inside) {
            return Some(Kept::Ledger);
        }
        is_repository(folder, inside).then_some(Kept::Repository)
    }

    /// The same of the folders above a path.
    pub fn above(path: &Path) -> Option<(PathBuf, Self)> {
        path.ancestors().skip(1).find_map(|above| {
            let folder = rustix::fs::open(above, FOLDER.difference(OFlags::NOFOLLOW), Mode::empty()).ok()?;
            let inside = names(&folder).ok()?;
            Self::of(above.file_name()?, &folder, &inside).map(|kept| (above.to_owned(), kept))
        })
    }
}

/// What [`Place::remove_all`] did.
#[derive(Debug, Default)]
pub(super) struct Removed {
    /// How many entries.
    pub count: u64,
    /// What was kept, below the folder that held the entry.
    pub kept: Vec<(PathBuf, Kept)>,
}

impl Removed {
    fn remove(&mut self, folder: BorrowedFd<'_>, name: &OsStr, above: &Path) -> Result<()> {
        let Some(stat) = stat(folder, name)? else { return Ok(()) };
        if !is_folder(&stat) {
            rustix::fs::unlinkat(folder, name, AtFlags::empty())?;
            self.count += 1;
            return Ok(());
        }
        let (path, inner) = (above.join(name), open_folder(folder, name)?);
        if is_elsewhere(folder, &inner)? {
            self.kept.push((path, Kept::Mount));
            return Ok(());
        }
        let names = names(&inner)?;
        if let Some(kept) = Kept::of(name, &inner, &names) {
            self.kept.push((path, kept));
            return Ok(());
        }
        if stat.st_mode & 0o700 != 0o700 {
            let _ = rustix::fs::fchmod(&inner, Mode::RWXU); // what can't be removed after this is told below
        }
        let kept = self.kept.len();
        for name in names {
            self.remove(inner.as_fd(), &name, &path)?;
        }
        if self.kept.len() == kept {
            remove_folder(folder, name)?;
            self.count += 1;
        }
        Ok(())
    }
}

/// Whether a folder in `folder` is another file system, or any other that is mounted there: a bind mount has the same device.
fn is_elsewhere(folder: BorrowedFd<'_>, inner: &OwnedFd) -> Result<bool> {
    if rustix::fs::fstat(folder)?.st_dev != rustix::fs::fstat(inner)?.st_dev {
        return Ok(true);
    }
    let found = rustix::fs::statx(inner, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)?;
    if found.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT) {
        return Ok(found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT));
    }
    // Linux before 5.8. Where /proc is not mounted nobody knows: then it stays.
    Ok(mount_id(folder).is_none_or(|id| Some(id) != mount_id(inner)))
}

/// The number of the mount that holds an open file.
fn mount_id(file: impl AsFd) -> Option<String> {
    let told = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", file.as_fd().as_raw_fd())).ok()?;
    told.lines().find_map(|line| Some(line.strip_prefix("mnt_id:")?.trim().to_owned()))
}

/// A user's own folder may be called like a ledger: only one that holds what a ledger holds is one. `.docs.dr` lies beside what
/// is restored, `docs.dr` beside a repository.
fn is_ledger(name: &OsStr, inside: &[OsString]) -> bool {
    let holds = |names: &[&str]| inside.iter().any(|name| names.iter().any(|held| name == held));
    let beside_repository = name.len() > 3 && name.as_bytes().ends_with(b".dr");
    is_ledger_name(name) && holds(&["runs", "lock"])
        || beside_repository && holds(&["runs", "seen", "pins", "owners", "policy.json", "prune-owed"])
}

/// Whether a folder holds a restic repository, whole or damaged: files that are named as restic's are lie where restic's lie.
fn is_repository(folder: &OwnedFd, inside: &[OsString]) -> bool {
    let is_id = |name: &OsString| name.len() == 64 && name.as_bytes().iter().all(u8::is_ascii_hexdigit);
    let holds_ids =
        |part: &str| open_folder(folder, OsStr::new(part)).and_then(names).is_ok_and(|names| names.iter().any(is_id));
    let parts = ["config", "data", "keys", "snapshots", "index", "locks"];
    let found = parts.iter().filter(|part| inside.iter().any(|name| name == *part)).count();
    found > 1 && parts[2..5].iter().any(|part| holds_ids(part))
}

/// The repository, or what is noted beside one, that a path lies inside of; what is at the path itself is not looked at.
pub fn kept_around(path: &Path) -> Option<(PathBuf, Kept)> {
    path.ancestors().skip(1).find_map(|ancestor| {
        let folder = rustix::fs::open(ancestor, FOLDER, Mode::empty()).ok()?;
        let inside = names(&folder).ok()?;
        let what = if is_ledger(ancestor.file_name()?, &inside) {
            Kept::Ledger
        } else if is_repository(&folder, &inside) {
            Kept::Repository
        } else {
            return None;
        };
        Some((ancestor.to_owned(), what))
    })
}

fn remove_folder(folder: impl AsFd, name: &OsStr) -> Result<()> {
    rustix::fs::unlinkat(folder, name, AtFlags::REMOVEDIR)
}

/// Opens a folder in a folder; a link to one is refused.
pub(super) fn open_folder(folder: impl AsFd, name: &OsStr) -> Result<OwnedFd> {
    rustix::fs::openat(folder, name, FOLDER, Mode::empty())
}

/// Opens a regular file to read it; a link is refused, and a pipe is not waited for.
pub(super) fn open_file(folder: impl AsFd, name: &OsStr) -> Result<File> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    rustix::fs::openat(folder, name, flags, Mode::empty()).map(File::from)
}

/// What is known of an entry itself, or `None` when there is none.
pub(super) fn stat(folder: impl AsFd, name: &OsStr) -> Result<Option<Stat>> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Err(Errno::NOENT) => Ok(None),
        stat => stat.map(Some),
    }
}

/// The names in a folder.
pub(super) fn names(folder: impl AsFd) -> Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(folder)? {
        let name = entry?.file_name().to_bytes().to_vec();
        if name != b"." && name != b".." {
            names.push(OsString::from_vec(name));
        }
    }
    Ok(names)
}

/// Whether it is a folder.
pub(super) fn is_folder(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::Directory
}

/// Whether it is a regular file.
pub(super) fn is_file(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_word_of_statx_a_mount_has_another_number() {
        let folder = tempfile::tempdir().unwrap();
        let (here, proc) = (File::open(folder.path()).unwrap(), File::open("/proc").unwrap());
        assert!(mount_id(&here).is_some());
        assert_eq!(mount_id(&here), mount_id(File::open(folder.path()).unwrap()));
        assert_ne!(mount_id(&here), mount_id(&proc));
    }
}
