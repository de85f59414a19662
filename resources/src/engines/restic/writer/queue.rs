//! Which blobs of which files are read next: small files that lie together at once, a large one in parts.

use super::content::Writer;
use super::packs::{Blob, LONGEST_READ};
use super::place::Fault;
use super::plan::FileItem;
use rustic_core::{DataId, IndexedFull, Repository};
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::File;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex};

/// Files that are opened at a time by one thread; more of them share no request.
const BATCH: usize = 256;

/// A file that is being written, by several threads when it is large.
pub(super) struct Target {
    pub item: FileItem,
    pub blobs: Vec<Blob>,
    /// Where each blob begins in the file.
    pub offsets: Vec<u64>,
    pub parts_left: AtomicUsize,
    pub progress: Mutex<Progress>,
}

/// How far a file is.
#[derive(Default)]
pub(super) enum Progress {
    #[default]
    NotOpen,
    Open(Arc<OpenTarget>),
    /// In its place, or given up.
    Over,
}

pub(super) struct OpenTarget {
    pub folder: Arc<OwnedFd>,
    pub partial: OsString,
    pub file: File,
}

/// Some consecutive blobs of a file.
pub(super) struct Part {
    pub target: Arc<Target>,
    pub blobs: Range<usize>,
}

/// Files that wait, and parts of a large one.
pub(super) struct Queue {
    files: VecDeque<FileItem>,
    parts: VecDeque<Part>,
}

impl Queue {
    pub fn new(files: Vec<FileItem>) -> Self {
        Self { files: files.into(), parts: VecDeque::new() }
    }

    /// What was begun and is not to be finished.
    pub fn into_begun(self) -> impl Iterator<Item = Arc<Target>> {
        self.parts.into_iter().map(|part| part.target)
    }

    /// What a thread does next: a part of a large file, or some small ones that lie together.
    pub fn next<S: IndexedFull + Sync>(&mut self, writer: &Writer<'_, S>) -> Vec<Part>
    where
        Repository<S>: Sync,
    {
        let mut batch = Vec::new();
        let mut bytes = 0_u32;
        loop {
            if let Some(part) = self.parts.front() {
                let length = length_of(&part.target.blobs[part.blobs.clone()]);
                if !batch.is_empty() && (bytes.saturating_add(length) > LONGEST_READ || batch.len() >= BATCH) {
                    return batch;
                }
                bytes = bytes.saturating_add(length);
                batch.extend(self.parts.pop_front());
            } else if batch.len() >= BATCH {
                return batch;
            } else if let Some(item) = self.files.pop_front() {
                self.cut(item, writer);
            } else {
                return batch;
            }
        }
    }

    /// Cuts a file into parts that are read at once.
    fn cut<S: IndexedFull + Sync>(&mut self, item: FileItem, writer: &Writer<'_, S>)
    where
        Repository<S>: Sync,
    {
        let find = |id: &DataId| Blob::find(writer.repository, *id);
        let blobs: Vec<Blob> = match item.content.iter().map(find).collect() {
            Ok(blobs) => blobs,
            Err(reason) => {
                return writer.state.fault(&writer.place.show(&writer.plan.path(&item.at)), Fault::Entry(reason));
            }
        };
        let begin = |at: &mut u64, blob: &Blob| Some(std::mem::replace(at, *at + u64::from(blob.size)));
        let offsets = blobs.iter().scan(0, begin).collect();
        let mut ranges = Vec::new();
        let mut start = 0;
        for end in 1..=blobs.len() {
            if end == blobs.len() || length_of(&blobs[start..=end]) > LONGEST_READ {
                ranges.push(start..end);
                start = end;
            }
        }
        if ranges.is_empty() {
            ranges.push(0..0);
        }
        let parts_left = AtomicUsize::new(ranges.len());
        let target = Arc::new(Target { item, blobs, offsets, parts_left, progress: Mutex::default() });
        self.parts.extend(ranges.into_iter().map(|blobs| Part { target: target.clone(), blobs }));
    }
}

fn length_of(blobs: &[Blob]) -> u32 {
    blobs.iter().fold(0, |sum, blob| sum.saturating_add(blob.length))
}
