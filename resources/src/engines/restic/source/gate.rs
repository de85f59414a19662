//! A backend that keeps a snapshot file back until it is known whether the backup is whole, and damaged index files out of sight.

use super::super::backend::carried;
use super::super::error::EngineError;
use super::super::locks::Held;
use bytes::Bytes;
use rustic_core::{BytesList, FileType, Id, ReadBackend, RusticResult, WriteBackend};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Stands between the repository and its store. Closed, it holds the snapshot file back and remembers the first write
/// that failed (the archiver turns some of them into log lines); open, everything passes.
#[derive(Debug)]
pub struct SnapshotGate {
    inner: Arc<dyn WriteBackend>,
    state: Mutex<State>,
    hidden: OnceLock<Vec<Id>>,
    lock: Mutex<Option<Held>>,
}

#[derive(Debug, Default)]
struct State {
    closed: bool,
    held: Option<(Id, bool, BytesList)>,
    failure: Option<EngineError>,
    written: Option<Id>,
}

impl SnapshotGate {
    /// A gate before `inner`, open.
    pub fn new(inner: Arc<dyn WriteBackend>) -> Arc<Self> {
        Arc::new(Self { inner, state: Mutex::default(), hidden: OnceLock::new(), lock: Mutex::default() })
    }

    /// Leaves files of the index out of every list; only the first call counts.
    pub(in super::super) fn hide(&self, index: &[Id]) {
        self.hidden.get_or_init(|| index.to_vec());
    }

    fn shows(&self, tpe: FileType, id: &Id) -> bool {
        tpe != FileType::Index || !self.hidden.get().is_some_and(|hidden| hidden.contains(id))
    }

    /// From now on a snapshot is written only below this lock, and something removed only while it is there.
    pub fn guard(&self, lock: Held) {
        *self.lock.lock().unwrap_or_else(PoisonError::into_inner) = Some(lock);
    }

    fn lock(&self) -> Option<Held> {
        self.lock.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whoever broke our lock may be removing what the snapshot refers to.
    fn write_snapshot(&self, id: &Id, cacheable: bool, content: BytesList) -> RusticResult<()> {
        if let Some(lock) = self.lock() {
            lock.check().map_err(|error| carried("writing a snapshot", error))?;
        }
        self.inner.write_bytes(FileType::Snapshot, id, cacheable, content)
    }

    /// Holds snapshots back from now on.
    pub(super) fn close(&self) {
        *self.state() = State { closed: true, ..State::default() };
    }

    /// Opens the gate and forgets what it held.
    pub(super) fn discard(&self) {
        let mut state = self.state();
        state.closed = false;
        state.held = None;
    }

    /// Opens the gate and writes the snapshot that it held.
    pub(super) fn release(&self) -> RusticResult<Option<Id>> {
        let held = {
            let mut state = self.state();
            state.closed = false;
            state.held.take()
        };
        match held {
            None => Ok(None),
            Some((id, cacheable, content)) => {
                self.write_snapshot(&id, cacheable, content)?;
                Ok(Some(id))
            }
        }
    }

    /// The first write that failed since the gate was closed.
    pub(super) fn failure(&self) -> Option<EngineError> {
        self.state().failure.clone()
    }

    /// The snapshot that went through last.
    pub(super) fn last_written(&self) -> Option<Id> {
        self.state().written
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReadBackend for SnapshotGate {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn list_with_size(&self, tpe: FileType) -> RusticResult<Vec<(Id, u32)>> {
        let mut files = self.inner.list_with_size(tpe)?;
        files.retain(|(id, _)| self.shows(tpe, id));
        Ok(files)
    }

    fn list(&self, tpe: FileType) -> RusticResult<Vec<Id>> {
        let mut files = self.inner.list(tpe)?;
        files.retain(|id| self.shows(tpe, id));
        Ok(files)
    }

    fn read_full(&self, tpe: FileType, id: &Id) -> RusticResult<Bytes> {
        self.inner.read_full(tpe, id)
    }

    fn read_partial(&self, tpe: FileType, id: &Id, cacheable: bool, offset: u32, length: u32) -> RusticResult<Bytes> {
        self.inner.read_partial(tpe, id, cacheable, offset, length)
    }

    fn warmup_path(&self, tpe: FileType, id: &Id) -> String {
        self.inner.warmup_path(tpe, id)
    }
}

impl WriteBackend for SnapshotGate {
    fn create(&self) -> RusticResult<()> {
        self.inner.create()
    }

    fn write_bytes(&self, tpe: FileType, id: &Id, cacheable: bool, content: BytesList) -> RusticResult<()> {
        if tpe == FileType::Snapshot {
            let mut state = self.state();
            if state.closed {
                state.held = Some((*id, cacheable, content));
                return Ok(());
            }
            state.written = Some(*id);
        }
        let written = match tpe {
            FileType::Snapshot => self.write_snapshot(id, cacheable, content),
            _ => self.inner.write_bytes(tpe, id, cacheable, content),
        };
        written.inspect_err(|error| {
            self.state().failure.get_or_insert_with(|| EngineError::repository("writing to the repository", error));
        })
    }

    fn remove(&self, tpe: FileType, id: &Id, cacheable: bool) -> RusticResult<()> {
        if let Some(lock) = self.lock() {
            lock.check_before_removal().map_err(|error| carried("removing", error))?;
        }
        self.inner.remove(tpe, id, cacheable)
    }
}
