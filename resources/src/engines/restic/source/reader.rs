//! Reads one file, and says so when it can't or when the file changed meanwhile.

use super::tally::Tally;
use rustic_core::repofile::Metadata;
use rustic_core::{ErrorKind, ReadSourceOpen, RusticError, RusticResult, jiff::Timestamp};
use rustix::fs::OFlags;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::PathBuf;
use std::sync::Arc;

/// What the walk saw of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    inode: u64,
    size: u64,
    mtime: Option<Timestamp>,
}

impl Seen {
    fn of(file: &File) -> io::Result<Self> {
        let meta = file.metadata()?;
        let mtime = meta.modified().ok().and_then(|time| Timestamp::try_from(time).ok());
        Ok(Self { inode: meta.ino(), size: meta.len(), mtime })
    }
}

/// A file that the archiver may open.
#[derive(Debug)]
pub struct Open {
    path: PathBuf,
    seen: Seen,
    tally: Arc<Tally>,
}

impl Open {
    pub(super) fn new(path: PathBuf, meta: &Metadata, tally: &Arc<Tally>) -> Self {
        let seen = Seen { inode: meta.inode, size: meta.size, mtime: meta.mtime };
        Self { path, seen, tally: tally.clone() }
    }

    fn try_open(&self) -> io::Result<File> {
        // what was a file may be a link or a pipe by now: neither is followed nor waited for
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
        let flags = i32::try_from(flags).expect("open flags are small numbers");
        let file = File::options().read(true).custom_flags(flags).open(&self.path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("is no file any more"));
        }
        Ok(file)
    }
}

impl ReadSourceOpen for Open {
    type Reader = Checked;

    fn open(self) -> RusticResult<Checked> {
        match self.try_open() {
            Ok(file) => {
                let left = self.seen.size;
                let mut reader = Checked { file, left, open: self, ended: false };
                if left == 0 {
                    reader.end();
                }
                Ok(reader)
            }
            Err(error) => {
                self.tally.problem(&self.path, &error);
                self.tally.drop_file(self.seen.size);
                Err(RusticError::with_source(ErrorKind::InputOutput, "A file could not be opened", error))
            }
        }
    }
}

/// Yields exactly as many bytes as the walk saw, so that a stored file is never longer or shorter than its entry says.
#[derive(Debug)]
pub struct Checked {
    file: File,
    left: u64,
    open: Open,
    ended: bool,
}

impl Checked {
    /// Compares with what the walk saw, once.
    fn end(&mut self) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        match Seen::of(&self.file) {
            Ok(now) if now == self.open.seen => {}
            Ok(_) => self.open.tally.problem(&self.open.path, "changed while it was read"),
            Err(error) => self.open.tally.problem(&self.open.path, error),
        }
    }

    fn fail(&mut self, error: io::Error) -> io::Error {
        if !std::mem::replace(&mut self.ended, true) {
            self.open.tally.problem(&self.open.path, &error);
            self.open.tally.drop_file(self.open.seen.size);
        }
        error
    }
}

impl Read for Checked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        match self.file.read(&mut buffer[..most]) {
            Ok(0) => Err(self.fail(io::Error::other("became shorter while it was read"))),
            Ok(count) => {
                self.left -= count as u64;
                if self.left == 0 {
                    self.end();
                }
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Err(error),
            Err(error) => Err(self.fail(error)),
        }
    }
}
