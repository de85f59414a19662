//! Writes the content of files with a fixed number of threads, each of which holds one read and one blob at a time.

use super::meta::Rights;
use super::packs::{Blob, Packs, Raw};
use super::place::{self, Fault, Place};
use super::plan::{FileItem, FolderId, Plan};
use super::queue::{OpenTarget, Part, Progress, Queue, Target};
use super::sparse;
use super::state::State;
use rustic_core::{IndexedFull, Repository};
use rustix::fs::AtFlags;
use rustix::io::Errno;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

/// What every thread needs.
pub(super) struct Writer<'a, S> {
    pub repository: &'a Repository<S>,
    pub packs: &'a Packs,
    pub place: &'a Place,
    pub plan: &'a Plan,
    pub state: &'a State<'a>,
    pub rights: Rights,
    /// Whether a folder in a file's place goes with what is in it.
    pub recursive: bool,
}

/// Two per core, because half of the time is spent waiting for the store.
pub(super) fn threads() -> usize {
    let cores = std::thread::available_parallelism().map_or(2, usize::from);
    (2 * cores).clamp(4, 8)
}

impl<S: IndexedFull + Sync> Writer<'_, S>
where
    Repository<S>: Sync,
{
    /// Writes all files, in the order in which they lie in the packs.
    pub fn write(&self, files: Vec<FileItem>) {
        let mut files = files;
        files.sort_by_cached_key(|file| {
            let first = file.content.first().and_then(|id| Blob::find(self.repository, *id).ok());
            first.map(|blob| (blob.pack, blob.offset))
        });
        let queue = Mutex::new(Queue::new(files));
        std::thread::scope(|scope| {
            for _ in 0..threads() {
                scope.spawn(|| {
                    let mut last = Last::default();
                    while !self.state.ended() {
                        let parts = queue.lock().unwrap_or_else(PoisonError::into_inner).next(self);
                        if parts.is_empty() {
                            break;
                        }
                        self.parts(&parts, &mut last);
                    }
                });
            }
        });
        // what was begun when a fatal error came
        for target in queue.into_inner().unwrap_or_else(PoisonError::into_inner).into_begun() {
            self.give_up(&target);
        }
    }

    fn parts(&self, parts: &[Part], last: &mut Last) {
        let blobs: Vec<Blob> = parts.iter().flat_map(|part| &part.target.blobs[part.blobs.clone()]).copied().collect();
        let raw = self.packs.read(&blobs);
        for part in parts {
            if let Err(fault) = self.part(part, &raw, last) {
                self.fail(&part.target, fault);
            }
            if part.target.parts_left.fetch_sub(1, Ordering::AcqRel) == 1 {
                self.finish(&part.target, last);
            }
        }
    }

    fn part(&self, part: &Part, raw: &Raw, last: &mut Last) -> Result<(), Fault> {
        let Some(open) = self.open(&part.target, last)? else { return Ok(()) };
        for index in part.blobs.clone() {
            let blob = &part.target.blobs[index];
            let data = last.data(self.packs, blob, raw)?;
            sparse::write(&open.file, data, part.target.offsets[index])
                .map_err(|error| self.fault(&part.target, &error))?;
            self.state.bytes.fetch_add(data.len() as u64, Ordering::Relaxed);
            self.state.progress.bytes(data.len() as u64);
        }
        Ok(())
    }

    /// The file to write to; `None` when another part of it has failed.
    fn open(&self, target: &Target, last: &mut Last) -> Result<Option<Arc<OpenTarget>>, Fault> {
        let mut progress = target.progress.lock().unwrap_or_else(PoisonError::into_inner);
        match &*progress {
            Progress::Over => Ok(None),
            Progress::Open(open) => Ok(Some(open.clone())),
            Progress::NotOpen => {
                let fault = |error| Fault::of(&self.path(target), error);
                let id = target.item.at.folder;
                let folder = last.folder(id, || self.place.folder(&self.plan.folders[id].path)).map_err(fault)?;
                let (partial, file) = self.state.change(id, &folder, || self.place.new_file(&folder)).map_err(fault)?;
                let open = Arc::new(OpenTarget { folder, partial, file });
                *progress = Progress::Open(open.clone());
                Ok(Some(open))
            }
        }
    }

    fn fail(&self, target: &Target, fault: Fault) {
        let mut progress = target.progress.lock().unwrap_or_else(PoisonError::into_inner);
        match std::mem::replace(&mut *progress, Progress::Over) {
            Progress::Over => return,
            Progress::NotOpen => {}
            Progress::Open(open) => drop(rustix::fs::unlinkat(&open.folder, &open.partial, AtFlags::empty())),
        }
        self.state.fault(&self.path(target), fault);
    }

    /// Removes what was written of a file without a word: the error that ended the restore says enough.
    fn give_up(&self, target: &Target) {
        let mut progress = target.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if let Progress::Open(open) = std::mem::replace(&mut *progress, Progress::Over) {
            let _ = rustix::fs::unlinkat(&open.folder, &open.partial, AtFlags::empty());
        }
    }

    /// All parts are written: length, metadata, and the name.
    fn finish(&self, target: &Target, last: &mut Last) {
        let open = match self.open(target, last) {
            Ok(Some(open)) => open,
            Ok(None) => return,
            Err(fault) => return self.fail(target, fault),
        };
        let path = self.path(target);
        let item = &target.item;
        let placed = open.file.set_len(item.size).map_err(|error| self.fault(target, &error)).and_then(|()| {
            let left_out = item.meta.apply(&open.file, self.rights).map_err(|error| Fault::of(&path, error))?;
            self.state.left_out(&path, &left_out);
            self.place
                .put(&open.folder, &open.partial, &item.at.name, self.recursive)
                .map_err(|error| in_the_way(&path, error))
        });
        match placed {
            Ok(()) => {
                *target.progress.lock().unwrap_or_else(PoisonError::into_inner) = Progress::Over;
                self.state.file_done();
            }
            Err(fault) => self.fail(target, fault),
        }
    }

    fn path(&self, target: &Target) -> PathBuf {
        self.place.show(&self.plan.path(&target.item.at))
    }

    fn fault(&self, target: &Target, error: &io::Error) -> Fault {
        let errno = error.raw_os_error().map_or(Errno::IO, Errno::from_raw_os_error);
        Fault::of(&self.path(target), errno)
    }

    /// Compares files with their content; returns those that differ, and hands `same` those that don't.
    pub fn compare(&self, files: Vec<FileItem>, same: &Mutex<Vec<FileItem>>) -> Vec<FileItem> {
        let queue = Mutex::new(files);
        let differing = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for _ in 0..threads() {
                scope.spawn(|| {
                    loop {
                        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop();
                        let Some(item) = next else { return };
                        let list = if self.holds(&item).unwrap_or(false) { same } else { &differing };
                        list.lock().unwrap_or_else(PoisonError::into_inner).push(item);
                    }
                });
            }
        });
        differing.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a file holds exactly these blobs.
    fn holds(&self, item: &FileItem) -> io::Result<bool> {
        let folder = self.place.folder(&self.plan.folders[item.at.folder].path)?;
        let mut file = place::open_file(&folder, &item.at.name)?;
        let mut buffer = Vec::new();
        for id in &item.content {
            let Ok(blob) = Blob::find(self.repository, *id) else { return Ok(false) };
            buffer.resize(blob.size as usize, 0);
            file.read_exact(&mut buffer)?;
            if !blob.is(&buffer) {
                return Ok(false);
            }
        }
        Ok(file.read(&mut [0])? == 0)
    }
}

/// A folder that isn't empty in the place of a file is not removed unless the user said so.
pub(super) fn in_the_way(path: &std::path::Path, error: Errno) -> Fault {
    match error {
        Errno::NOTEMPTY | Errno::EXIST => {
            Fault::Entry("a folder that is not empty is in its place; `extra = \"delete\"` replaces it".to_owned())
        }
        Errno::BUSY | Errno::XDEV => Fault::Entry(
            "a mount point, a repository or a folder in which runs are written down is in its place".to_owned(),
        ),
        error => Fault::of(path, error),
    }
}

/// What a thread opened last: the next file is mostly in the same folder, and a sparse file is one blob many times.
#[derive(Default)]
struct Last {
    blob: Option<(rustic_core::Id, Vec<u8>)>,
    folder: Option<(FolderId, Arc<OwnedFd>)>,
}

impl Last {
    fn data(&mut self, packs: &Packs, blob: &Blob, raw: &Raw) -> Result<&[u8], Fault> {
        if self.blob.as_ref().is_none_or(|(id, _)| *id != blob.id) {
            self.blob = None;
            self.blob = Some((blob.id, packs.open(blob, raw)?));
        }
        Ok(self.blob.as_ref().map_or(&[], |(_, data)| data))
    }

    fn folder(
        &mut self,
        id: FolderId,
        open: impl FnOnce() -> rustix::io::Result<OwnedFd>,
    ) -> rustix::io::Result<Arc<OwnedFd>> {
        match &self.folder {
            Some((last, folder)) if *last == id => Ok(folder.clone()),
            _ => {
                let folder = Arc::new(open()?);
                self.folder = Some((id, folder.clone()));
                Ok(folder)
            }
        }
    }
}
