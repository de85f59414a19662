//! Walks the paths of a backup: their parents, themselves and what lies below, in the order that the archiver needs.

use super::filter::Filter;
use super::reader::Open;
use super::tally::Tally;
use super::xattrs;
use ignore::{Walk, WalkBuilder};
use rustic_core::repofile::{Metadata, Node, NodeType};
use rustic_core::{LocalSourceSaveOptions, ReadSource, ReadSourceEntry, RusticResult, XattrOption};
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What is read for one backup.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// Sorted, none below another.
    roots: Vec<PathBuf>,
    filter: Arc<Filter>,
    one_file_system: bool,
    tally: Arc<Tally>,
}

impl Source {
    pub fn new(paths: &[PathBuf], filter: Filter, one_file_system: bool, tally: &Arc<Tally>) -> Self {
        let mut sorted = paths.to_vec();
        sorted.sort();
        let mut roots: Vec<PathBuf> = Vec::new();
        for path in sorted {
            if !roots.last().is_some_and(|last| path.starts_with(last)) {
                roots.push(path);
            }
        }
        Self { roots, filter: Arc::new(filter), one_file_system, tally: tally.clone() }
    }

    fn walk(&self, root: &Path) -> Walk {
        let filter = self.filter.clone();
        WalkBuilder::new(root)
            .standard_filters(false)
            .follow_links(false)
            .same_file_system(self.one_file_system)
            .sort_by_file_path(Path::cmp)
            .filter_entry(move |entry| {
                entry.depth() == 0 || !filter.leaves_out(entry.path(), entry.file_type().is_some_and(|t| t.is_dir()))
            })
            .build()
    }

    /// Counts what there is to do, beside the backup itself, for whoever waits for it.
    pub fn scan(&self) {
        let (mut files, mut bytes) = (0, 0);
        for entry in self.roots.iter().flat_map(|root| self.walk(root)).flatten() {
            if self.tally.stopped.load(Ordering::Relaxed) {
                return;
            }
            files += 1;
            if entry.file_type().is_some_and(|t| t.is_file()) {
                bytes += entry.metadata().map_or(0, |meta| meta.len());
            }
        }
        self.tally.total_bytes.store(bytes, Ordering::Relaxed);
        self.tally.total_files.store(files, Ordering::Relaxed);
    }
}

impl ReadSource for Source {
    type Open = Open;
    type Iter = Entries;

    fn size(&self) -> RusticResult<Option<u64>> {
        Ok(None)
    }

    fn entries(&self) -> Entries {
        Entries {
            roots: self.roots.clone().into(),
            parents: VecDeque::new(),
            above: PathBuf::new(),
            walk: None,
            source: self.clone(),
        }
    }
}

/// The entries of a backup, one after the other.
pub struct Entries {
    source: Source,
    roots: VecDeque<PathBuf>,
    /// Parents of the next root that have still to be yielded.
    parents: VecDeque<PathBuf>,
    /// The parent that was yielded last.
    above: PathBuf,
    walk: Option<Walk>,
}

type Entry = ReadSourceEntry<Open>;

impl Entries {
    /// Goes on to the next root; false when there is none.
    fn next_root(&mut self) -> bool {
        let Some(root) = self.roots.pop_front() else { return false };
        let mut parents: Vec<PathBuf> = root
            .ancestors()
            .skip(1)
            .filter(|path| path.file_name().is_some() && !self.above.starts_with(path))
            .map(Path::to_path_buf)
            .collect();
        parents.reverse();
        self.above = root.parent().map(Path::to_path_buf).unwrap_or_default();
        self.parents = parents.into();
        self.walk = Some(self.source.walk(&root));
        true
    }

    /// A folder above the paths, with what is true of it; a link to a folder counts as the folder that it names.
    fn parent(&self, path: PathBuf) -> Entry {
        let name = path.file_name().unwrap_or_default();
        let meta = path.canonicalize().and_then(|real| {
            let walk = WalkBuilder::new(&real).standard_filters(false).max_depth(Some(0)).build().next();
            let entry = walk.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?.map_err(io::Error::other)?;
            Ok(node_of(entry, &self.source.tally)?.node.meta)
        });
        let meta = meta.unwrap_or_else(|error| {
            self.source.tally.problem(&path, error);
            Metadata { mode: Some(0o755), ..Metadata::default() }
        });
        ReadSourceEntry { node: Node::new_node(name, NodeType::Dir, meta), path, open: None }
    }

    fn note(&self, entry: &Entry) {
        let tally = &self.source.tally;
        if entry.node.is_dir() {
            tally.dirs.fetch_add(1, Ordering::Relaxed);
        } else {
            tally.files.fetch_add(1, Ordering::Relaxed);
            if entry.node.is_file() {
                tally.bytes.fetch_add(entry.node.meta.size, Ordering::Relaxed);
            }
        }
    }
}

impl Iterator for Entries {
    type Item = RusticResult<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(parent) = self.parents.pop_front() {
                return Some(Ok(self.parent(parent)));
            }
            let Some(walk) = &mut self.walk else {
                if self.next_root() {
                    continue;
                }
                return None;
            };
            match walk.next() {
                None => self.walk = None,
                // the root of the file system has no entry of its own
                Some(Ok(entry)) if entry.path().file_name().is_none() => {}
                Some(Ok(entry)) => {
                    let path = entry.path().to_path_buf();
                    match node_of(entry, &self.source.tally) {
                        Ok(entry) => {
                            self.note(&entry);
                            return Some(Ok(entry));
                        }
                        Err(error) => self.source.tally.problem(&path, error),
                    }
                }
                Some(Err(error)) => {
                    let (path, reason) = place_of(&error);
                    self.source.tally.problem(&path, reason);
                }
            }
        }
    }
}

/// The entry for a file, folder or link, with everything that is known of it.
fn node_of(entry: ignore::DirEntry, tally: &Arc<Tally>) -> io::Result<Entry> {
    let options = LocalSourceSaveOptions::default().set_xattrs(Some(XattrOption::No));
    let ReadSourceEntry { path, mut node, .. } = options.map_entry(entry).map_err(|error| plain(&error))?;
    match xattrs::read(&path) {
        Ok(list) => node.meta.extended_attributes = list,
        Err(error) => tally.problem(&path, format!("its extended attributes: {error}")),
    }
    if matches!(node.node_type, NodeType::Chardev { .. }) {
        // Go marks a character device with two bits, ModeDevice and ModeCharDevice; the library leaves both out
        node.meta.mode = node.meta.mode.map(|mode| mode | 1 << 26 | 1 << 21);
    }
    let open = node.is_file().then(|| Open::new(path.clone(), &node.meta, tally));
    Ok(ReadSourceEntry { path, node, open })
}

/// The system's own error below what the library wraps around it.
fn plain(error: &(dyn std::error::Error + 'static)) -> io::Error {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(code) = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return io::Error::from_raw_os_error(code);
        }
        if let Some(inner) = error.downcast_ref::<ignore::Error>().and_then(ignore::Error::io_error)
            && let Some(code) = inner.raw_os_error()
        {
            return io::Error::from_raw_os_error(code);
        }
        cause = error.source();
    }
    io::Error::other(error.to_string())
}

/// Where the walk met an error, and what it was.
fn place_of(error: &ignore::Error) -> (PathBuf, io::Error) {
    let mut inner = error;
    let mut place = PathBuf::new();
    loop {
        match inner {
            ignore::Error::WithPath { path, err } => (place, inner) = (path.clone(), err.as_ref()),
            ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => inner = err.as_ref(),
            _ => return (place, plain(inner)),
        }
    }
}
