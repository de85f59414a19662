//! Carries a plan out: folders, content, links, what is too much, and the folders' own metadata last.

use super::super::error::EngineError;
use super::super::progress::Progress;
use super::content::{Writer, in_the_way};
use super::meta::Rights;
use super::packs::Packs;
use super::place::{self, Fault, Kept, Place};
use super::plan::{BASE, FileItem, FolderId, Name, Plan, Special};
use super::state::State;
use super::{Extra, RestoreOptions, RestoreReport};
use crate::words::counted;
use rustic_core::repofile::NodeType;
use rustic_core::{IndexedFull, Repository};
use rustix::fs::{AtFlags, FileType, Mode};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, PoisonError};

/// Restores what the plan says.
pub(super) fn run<S: IndexedFull + Sync>(
    repository: &Repository<S>,
    packs: &Packs,
    place: &Place,
    mut plan: Plan,
    options: &RestoreOptions,
    rights: Rights,
    progress: &dyn Progress,
) -> Result<RestoreReport, EngineError>
where
    Repository<S>: Sync,
{
    let state = State::new(progress);
    let bytes = plan.files.iter().map(|file| file.size).sum();
    let links = plan.specials.len() + plan.hard_links.len();
    progress.totals((plan.folders.len() - 1 + plan.files.len() + plan.compare.len() + links) as u64, bytes);
    for (path, reason) in std::mem::take(&mut plan.failed) {
        state.fault(&place.show(&path), Fault::Entry(reason));
    }
    let (files, compare) = (std::mem::take(&mut plan.files), std::mem::take(&mut plan.compare));
    let recursive = options.extra == Extra::Delete;
    let mut run = Run { place, plan: &plan, state: &state, rights, recursive, report: RestoreReport::default() };

    progress.writing();
    run.remove_left_over();
    let made = run.make_folders();
    state.check()?;
    let writer = Writer { repository, packs, place, plan: &plan, state: &state, rights, recursive };
    let same = Mutex::new(Vec::new());
    let mut differing = writer.compare(compare, &same);
    differing.extend(files);
    writer.write(differing);
    state.check()?;
    run.keep_same(same.into_inner().unwrap_or_else(PoisonError::into_inner));
    run.make_specials();
    run.make_hard_links();
    run.remove_extras();
    run.finish_folders(&made);
    run.end()
}

struct Run<'a> {
    place: &'a Place,
    plan: &'a Plan,
    state: &'a State<'a>,
    rights: Rights,
    recursive: bool,
    report: RestoreReport,
}

impl Run<'_> {
    fn show(&self, at: &Name) -> PathBuf {
        self.place.show(&self.plan.path(at))
    }

    fn open(&self, at: &Name) -> rustix::io::Result<OwnedFd> {
        self.place.folder(&self.plan.folders[at.folder].path)
    }

    /// Does one thing to one entry and notes when it fails.
    fn each(&self, at: &Name, act: impl FnOnce(&OwnedFd) -> rustix::io::Result<()>) -> bool {
        let done = self.open(at).and_then(|folder| act(&folder));
        if let Err(error) = done {
            let path = self.show(at);
            self.state.fault(&path, in_the_way(&path, error));
        }
        done.is_ok()
    }

    fn remove_left_over(&self) {
        for at in &self.plan.left_over {
            self.each(at, |folder| {
                self.state.change(at.folder, folder, || rustix::fs::unlinkat(folder, &at.name, AtFlags::empty()))
            });
        }
    }

    /// Makes the folders that are missing, and lets us work in those that are there. Returns which of them are new.
    fn make_folders(&mut self) -> Vec<bool> {
        let mut made = vec![false; self.plan.folders.len()];
        for (id, folder) in self.plan.folders.iter().enumerate().skip(1).filter(|(_, folder)| folder.wanted) {
            let at = Name { folder: folder.parent, name: folder.name.clone() };
            let result = self.open(&at).and_then(|above| self.make_folder(at.folder, &above, &folder.name));
            match result {
                Ok(new) => {
                    made[id] = new;
                    self.report.dirs += 1;
                    self.state.progress.files(1);
                }
                Err(error) => {
                    let path = self.show(&at);
                    // without the destination itself nothing can be restored
                    let fault = match Fault::of(&path, error) {
                        Fault::Entry(reason) if folder.parent == BASE => {
                            Fault::Fatal(EngineError::Destination { path: path.display().to_string(), reason })
                        }
                        fault => fault,
                    };
                    self.state.fault(&path, fault);
                    if self.state.ended() {
                        break;
                    }
                }
            }
        }
        made
    }

    /// Makes a folder in the folder `id` unless it is there.
    fn make_folder(&self, id: FolderId, above: &OwnedFd, name: &OsStr) -> rustix::io::Result<bool> {
        match place::stat(above, name)? {
            Some(stat) if place::is_folder(&stat) => return Ok(false),
            Some(_) => self.state.change(id, above, || rustix::fs::unlinkat(above, name, AtFlags::empty()))?,
            None => {}
        }
        self.state.change(id, above, || rustix::fs::mkdirat(above, name, Mode::RWXU))?;
        Ok(true)
    }

    /// Files that have their content already still get the metadata of the point.
    fn keep_same(&mut self, compared: Vec<FileItem>) {
        let compared: Vec<_> = compared.into_iter().map(|item| (item.at, item.meta)).collect();
        for (at, meta) in self.plan.same.iter().chain(&compared) {
            self.each(at, |folder| {
                let file = place::open_file(folder, &at.name)?;
                let left_out = meta.apply(file, self.rights)?;
                self.state.left_out(&self.show(at), &left_out);
                Ok(())
            });
        }
        let same = (self.plan.same.len() + compared.len()) as u64;
        self.state.progress.files(compared.len() as u64);
        self.report.skipped_same = same;
    }

    fn make_specials(&mut self) {
        for special in &self.plan.specials {
            if self.each(&special.at, |folder| self.make_special(folder, special)) {
                self.report.links += 1;
                self.state.progress.files(1);
            }
        }
    }

    fn make_special(&self, folder: &OwnedFd, special: &Special) -> rustix::io::Result<()> {
        let name = &special.at.name;
        if !is_there(folder, special)? {
            let make = |partial: &OsStr| match &special.kind {
                kind @ NodeType::Symlink { .. } => rustix::fs::symlinkat(kind.to_link(), folder, partial),
                kind => {
                    let (file_type, device) = node_type(kind);
                    rustix::fs::mknodat(folder, partial, file_type, Mode::RUSR | Mode::WUSR, device)
                }
            };
            let (partial, ()) = self.state.change(special.at.folder, folder, || self.place.unused(make))?;
            self.place.put(folder, &partial, name, self.recursive)?;
        }
        let left_out = special.meta.apply_link(std::os::fd::AsFd::as_fd(folder), name, self.rights)?;
        self.state.left_out(&self.show(&special.at), &left_out);
        let is = place::stat(folder, name)?.ok_or(Errno::NOENT)?.st_mode & 0o7777;
        if let Some(mode) = special.meta.mode
            && is != mode
            && !matches!(special.kind, NodeType::Symlink { .. })
        {
            rustix::fs::chmodat(folder, name, Mode::from_raw_mode(mode), AtFlags::empty())?;
        }
        Ok(())
    }

    fn make_hard_links(&mut self) {
        for link in &self.plan.hard_links {
            let first = self.show(&link.first);
            if self.state.has_failed(&first) {
                let reason = format!("it is the same file as {}, which was not restored", first.display());
                self.state.fault(&self.show(&link.at), Fault::Entry(reason));
                continue;
            }
            let made = self.each(&link.at, |folder| {
                let first = self.open(&link.first)?;
                let source = place::stat(&first, &link.first.name)?.ok_or(Errno::NOENT)?;
                let there = place::stat(folder, &link.at.name)?;
                if there.is_some_and(|there| (there.st_dev, there.st_ino) == (source.st_dev, source.st_ino)) {
                    return Ok(());
                }
                let make =
                    |partial: &OsStr| rustix::fs::linkat(&first, &link.first.name, folder, partial, AtFlags::empty());
                let (partial, ()) = self.state.change(link.at.folder, folder, || self.place.unused(make))?;
                self.place.put(folder, &partial, &link.at.name, self.recursive)
            });
            if made {
                self.report.links += 1;
                self.state.progress.files(1);
            }
        }
    }

    /// Nothing is removed when something is missing: the next run does it.
    fn remove_extras(&mut self) {
        for (path, kept) in &self.plan.kept {
            self.warn_of(path, *kept);
        }
        if self.plan.extras.is_empty() {
            return;
        }
        if self.state.any_failed() {
            let extras = counted(self.plan.extras.len(), "entry", "entries");
            self.state.warn(format!("{extras} beside what the point holds stayed, because something failed"));
            return;
        }
        for at in &self.plan.extras {
            match self
                .open(at)
                .and_then(|folder| self.state.change(at.folder, &folder, || Place::remove_all(&folder, &at.name)))
            {
                Ok(removed) => {
                    self.report.deleted += removed.count;
                    let above = &self.plan.folders[at.folder].path;
                    removed.kept.iter().for_each(|(path, kept)| self.warn_of(&above.join(path), *kept));
                }
                Err(error) => {
                    let path = self.show(at);
                    self.state.fault(&path, Fault::of(&path, error));
                }
            }
        }
    }

    fn warn_of(&self, path: &Path, kept: Kept) {
        self.state.warn(format!("{} was kept: {kept}", self.place.show(path).display()));
    }

    /// The metadata of folders, the deepest first: what is made in a folder changes its time.
    fn finish_folders(&self, made: &[bool]) {
        for (id, folder) in self.plan.folders.iter().enumerate().skip(1).rev() {
            let ours = folder.wanted && (folder.included || made[id]);
            let before = self.state.mode_before(id);
            if !ours && before.is_none() {
                continue;
            }
            let at = Name { folder: folder.parent, name: folder.name.clone() };
            self.each(&at, |above| {
                let file = place::open_folder(above, &folder.name)?;
                if !ours {
                    return rustix::fs::fchmod(file, Mode::from_raw_mode(before.unwrap_or(0o700)));
                }
                let left_out = folder.meta.apply(file, self.rights)?;
                self.state.left_out(&self.place.show(&folder.path), &left_out);
                Ok(())
            });
        }
    }

    fn end(self) -> Result<RestoreReport, EngineError> {
        let mut report = self.report;
        report.files = self.state.files.load(Ordering::Relaxed);
        report.bytes = self.state.bytes.load(Ordering::Relaxed);
        if self.plan.sockets > 0 {
            self.state.warn(format!("{} sockets were left out: only their programs can make them", self.plan.sockets));
        }
        report.warnings = self.state.finish()?;
        Ok(report)
    }
}

/// Whether the same link or device is there already.
fn is_there(folder: &OwnedFd, special: &Special) -> rustix::io::Result<bool> {
    let Some(stat) = place::stat(folder, &special.at.name)? else { return Ok(false) };
    let is = FileType::from_raw_mode(stat.st_mode);
    match &special.kind {
        kind @ NodeType::Symlink { .. } => Ok(is == FileType::Symlink
            && rustix::fs::readlinkat(folder, &special.at.name, Vec::new())?.to_bytes()
                == kind.to_link().as_os_str().as_bytes()),
        kind => {
            let (file_type, device) = node_type(kind);
            Ok(is == file_type && (file_type == FileType::Fifo || stat.st_rdev == device))
        }
    }
}

fn node_type(kind: &NodeType) -> (FileType, u64) {
    match kind {
        NodeType::Dev { device } => (FileType::BlockDevice, *device),
        NodeType::Chardev { device } => (FileType::CharacterDevice, *device),
        _ => (FileType::Fifo, 0),
    }
}
