//! Makes the plan of a restore: walks the point's trees, refuses names that lead elsewhere, and looks at what is there.

use super::super::error::EngineError;
use super::super::source::patterns_below;
use super::meta::Meta;
use super::packs::{Blob, Packs, Raw};
use super::place::{self, Fault, Kept, Place};
use super::plan::{BASE, FileItem, Folder, FolderId, HardLink, Name, Plan, Special};
use super::{Extra, RestoreOptions};
use ignore::Match;
use ignore::gitignore::Gitignore;
use rustic_core::repofile::{Node, NodeType, Tree};
use rustic_core::{DataId, IndexedFull, Repository, TreeId};
use rustix::fs::Stat;
use std::collections::{HashMap, HashSet};
use std::ffi::{OsStr, OsString};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// How many names an error carries.
const NAMES: usize = 10;

/// A device and a number on it.
type Inode = (u64, u64);

/// A file of the destination that has several names and the size of the point's.
struct SeveralNames {
    file: FileItem,
    same_time: bool,
    /// The file of the point that has several names too, and the one of the destination.
    names: Option<(Inode, Inode)>,
    /// How many names it has in the destination and elsewhere.
    count: u64,
}

/// A number of a file system, whose width differs between systems.
fn wide(number: impl TryInto<u64>) -> u64 {
    number.try_into().unwrap_or(u64::MAX)
}

/// Compares a point with a destination.
pub(super) struct Comparison<'a, S> {
    pub repository: &'a Repository<S>,
    pub packs: &'a Packs,
    pub place: &'a Place,
    pub options: &'a RestoreOptions,
    include: Option<Gitignore>,
    plan: Plan,
    /// Folders whose tree has still to be read, and the part of their path that patterns see.
    open: Vec<(FolderId, TreeId, PathBuf)>,
    /// The first name of each file of the point that has several, and its content.
    first_names: HashMap<Inode, (Name, Vec<DataId>)>,
    /// How many names of such a file are names of one file of the destination.
    names_there: HashMap<(Inode, Inode), u64>,
    /// Files of the destination that may have a name which is none of the point's.
    several_names: Vec<SeveralNames>,
    refused: Vec<String>,
    /// Trees that were read because they lie beside another.
    near: Raw,
}

impl<'a, S: IndexedFull> Comparison<'a, S> {
    pub fn new(
        repository: &'a Repository<S>,
        packs: &'a Packs,
        place: &'a Place,
        options: &'a RestoreOptions,
    ) -> Result<Self, EngineError> {
        let include = match &options.include[..] {
            [] => None,
            patterns => Some(patterns_below(Path::new("/"), patterns)?),
        };
        let base = Folder {
            parent: BASE,
            name: OsString::new(),
            path: PathBuf::new(),
            meta: Meta::default(),
            there: true,
            included: false,
            wanted: true,
            held: if options.extra == Extra::Delete { Kept::above(&options.to) } else { None },
        };
        let plan = Plan { folders: vec![base], ..Plan::default() };
        Ok(Self {
            repository,
            packs,
            place,
            options,
            include,
            plan,
            open: Vec::new(),
            first_names: HashMap::new(),
            names_there: HashMap::new(),
            several_names: Vec::new(),
            refused: Vec::new(),
            near: Raw::default(),
        })
    }

    /// The plan for one folder or file of the point.
    pub fn plan(mut self, node: &Node) -> Result<Plan, EngineError> {
        let to = &self.options.to;
        match to.file_name() {
            Some(name) => self.top(node, name)?,
            // the root of the file system: what the folder holds goes there, and the root itself stays as it is
            None => self.open.extend(node.subtree.map(|tree| (BASE, tree, PathBuf::from("/")))),
        }
        if to.file_name().is_none() {
            self.plan.folders[BASE].included = self.include.is_none();
        }
        while let Some((folder, tree, seen)) = self.open.pop() {
            match read_tree(self.repository, self.packs, tree, &mut self.near) {
                Ok(tree) => self.folder(folder, tree, &seen),
                Err(Fault::Fatal(error)) => return Err(error),
                Err(Fault::Entry(reason)) => {
                    let path = self.plan.folders[folder].path.clone();
                    self.plan.failed.push((path, format!("what is in it is lost: {reason}")));
                }
            }
        }
        self.keep_if_all_names_are_known();
        if self.refused.is_empty() {
            return self.something();
        }
        self.refused.truncate(NAMES);
        Err(EngineError::Unsafe { destination: to.display().to_string(), names: self.refused })
    }

    /// The plan; patterns that name nothing are a mistake, not a restore.
    fn something(self) -> Result<Plan, EngineError> {
        let plan = self.plan;
        if self.include.is_some() && plan.failed.is_empty() && !plan.folders.iter().skip(1).any(|folder| folder.wanted)
        {
            let (point, patterns) = (self.options.snapshot.clone(), self.options.include.join(", "));
            let path = format!("anything in {} that {patterns} names", self.options.path.display());
            return Err(EngineError::NotInPoint { point, path });
        }
        Ok(plan)
    }

    /// The destination itself, which takes the name that the user gave it.
    fn top(&mut self, node: &Node, name: &OsStr) -> Result<(), EngineError> {
        let base = self.place.folder(Path::new("")).and_then(|base| place::stat(base, name));
        let to = self.options.to.display().to_string();
        let refuse = |reason: String| EngineError::Destination { path: to.clone(), reason };
        let there = base.map_err(|error| refuse(std::io::Error::from(error).to_string()))?;
        match (&there, node.is_dir()) {
            (Some(stat), true) if !place::is_folder(stat) => {
                return Err(refuse("it is there and no folder (a link to one is not followed)".to_owned()));
            }
            (Some(stat), false) if place::is_folder(stat) => {
                return Err(refuse("it is a folder, and the point holds a file there".to_owned()));
            }
            _ => {}
        }
        let at = Name { folder: BASE, name: name.to_owned() };
        self.entry(at, node, there.as_ref(), Path::new("/"), true);
        Ok(())
    }

    /// The entries of one folder.
    fn folder(&mut self, folder: FolderId, tree: Tree, seen: &Path) {
        let (there, included) = (self.plan.folders[folder].there, self.plan.folders[folder].included);
        let existing = if there { self.place.folder(&self.plan.folders[folder].path).ok() } else { None };
        let mut names = HashSet::with_capacity(tree.nodes.len());
        for node in &tree.nodes {
            let name = node.name().into_owned();
            if !is_plain(&name) || !names.insert(name.clone()) {
                self.refused.push(format!("{}: {:?}", seen.display(), node.name));
                continue;
            }
            let stat = existing.as_ref().and_then(|existing| place::stat(existing, &name).ok().flatten());
            self.entry_below(Name { folder, name }, node, stat.as_ref(), seen, included);
        }
        if let Some(existing) = existing {
            let inside = place::names(&existing).unwrap_or_default();
            self.hold(folder, &existing, &inside);
            self.leftovers(folder, &existing, (&inside, &names), seen, included);
        }
    }

    /// Notes whether what is in a folder of the destination stays, whatever the point holds.
    fn hold(&mut self, folder: FolderId, existing: &OwnedFd, inside: &[OsString]) {
        let own = &self.plan.folders[folder];
        let above = self.plan.folders[own.parent].held.clone();
        let held = above.or_else(|| Kept::of(&own.name, existing, inside).map(|kept| (own.path.clone(), kept)));
        self.plan.folders[folder].held = held;
    }

    fn entry_below(&mut self, at: Name, node: &Node, there: Option<&Stat>, seen: &Path, inherited: bool) {
        let seen = seen.join(&at.name);
        let included = self.included(&seen, node.is_dir(), inherited);
        if included || node.is_dir() {
            self.entry(at, node, there, &seen, included);
        }
    }

    /// Whether the patterns include an entry; without a word of their own it is as what lies above it.
    fn included(&self, seen: &Path, is_dir: bool, inherited: bool) -> bool {
        let Some(include) = &self.include else { return true };
        match include.matched(seen, is_dir) {
            Match::None => inherited,
            Match::Ignore(_) => true,
            Match::Whitelist(_) => false,
        }
    }

    fn entry(&mut self, at: Name, node: &Node, there: Option<&Stat>, seen: &Path, included: bool) {
        let meta = Meta::of(node);
        match &node.node_type {
            NodeType::Dir => self.add_folder(at, node, meta, there, seen, included),
            NodeType::File => {
                self.plan.want(at.folder);
                self.add_file(at, node, meta, there);
            }
            NodeType::Socket => self.plan.sockets += 1,
            kind => {
                self.plan.want(at.folder);
                self.plan.specials.push(Special { at, meta, kind: kind.clone() });
            }
        }
    }

    fn add_folder(&mut self, at: Name, node: &Node, meta: Meta, there: Option<&Stat>, seen: &Path, included: bool) {
        // with patterns, the top folder is included only when nothing has to match
        let top = at.folder == BASE && self.options.to.file_name().is_some();
        let included = if top { self.include.is_none() } else { included };
        let id = self.plan.folders.len();
        let path = self.plan.path(&at);
        self.plan.folders.push(Folder {
            parent: at.folder,
            name: at.name,
            path: path.clone(),
            meta,
            there: there.is_some_and(place::is_folder),
            included,
            wanted: false,
            held: None,
        });
        if included {
            self.plan.want(id);
        }
        match node.subtree {
            Some(tree) => self.open.push((id, tree, seen.to_path_buf())),
            None => self.plan.failed.push((path, "what is in it is lost: the point does not say".to_owned())),
        }
    }

    fn add_file(&mut self, at: Name, node: &Node, meta: Meta, there: Option<&Stat>) {
        let content = node.content.clone().unwrap_or_default();
        let there = there.filter(|stat| place::is_file(stat));
        let group = (node.meta.links > 1 && node.meta.inode != 0).then_some((node.meta.device_id, node.meta.inode));
        let names = group.zip(there).map(|(group, stat)| (group, (wide(stat.st_dev), wide(stat.st_ino))));
        if let Some(names) = names {
            *self.names_there.entry(names).or_default() += 1;
        }
        if let Some(group) = group {
            match self.first_names.get(&group) {
                Some((first, same)) if *same == content => {
                    self.plan.hard_links.push(HardLink { at, first: first.clone() });
                    return;
                }
                Some(_) => {}
                None => drop(self.first_names.insert(group, (at.clone(), content.clone()))),
            }
        }
        let size = match self.size_of(&content) {
            Ok(size) => size,
            Err(reason) => {
                let path = self.plan.path(&at);
                self.plan.failed.push((path, reason));
                return;
            }
        };
        let same_time = there.is_some_and(|stat| meta.same_time(stat));
        let file = FileItem { at, meta, content, size };
        match there.filter(|stat| u64::try_from(stat.st_size) == Ok(size)) {
            Some(stat) if stat.st_nlink == 1 => self.keep(file, same_time),
            Some(stat) => self.several_names.push(SeveralNames { file, same_time, names, count: wide(stat.st_nlink) }),
            None => self.plan.files.push(file),
        }
    }

    /// A file that is there in the right size.
    fn keep(&mut self, file: FileItem, same_time: bool) {
        if self.options.verify_existing || self.options.take_over {
            self.plan.compare.push(file);
        } else if same_time {
            self.plan.same.push((file.at, file.meta));
        } else {
            self.plan.files.push(file);
        }
    }

    /// A file that has a name which is none of the point's is replaced, so that this other name keeps what it has: its content,
    /// and its mode, owner and times.
    fn keep_if_all_names_are_known(&mut self) {
        for SeveralNames { file, same_time, names, count } in std::mem::take(&mut self.several_names) {
            let known = names.and_then(|names| self.names_there.get(&names));
            if known == Some(&count) {
                self.keep(file, same_time);
            } else {
                self.plan.files.push(file);
            }
        }
    }

    fn size_of(&self, content: &[DataId]) -> Result<u64, String> {
        content.iter().map(|id| Blob::find(self.repository, *id).map(|blob| u64::from(blob.size))).sum()
    }

    /// What is in a folder of the destination beside what the point holds.
    fn leftovers(
        &mut self,
        folder: FolderId,
        existing: &OwnedFd,
        (inside, names): (&[OsString], &HashSet<OsString>),
        seen: &Path,
        included: bool,
    ) {
        for name in inside.iter().filter(|name| !names.contains(*name)) {
            let at = Name { folder, name: name.clone() };
            if self.place.is_left_over(&at.name) {
                self.plan.left_over.push(at);
            } else if self.options.extra == Extra::Delete {
                let seen = seen.join(&at.name);
                let is_dir = place::stat(existing, &at.name).ok().flatten().is_some_and(|stat| place::is_folder(&stat));
                if self.included(&seen, is_dir, included) {
                    self.plan.extra(at);
                }
            }
        }
    }
}

/// Whether a name is one name and nothing else.
fn is_plain(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    !bytes.is_empty() && bytes != b"." && bytes != b".." && !bytes.contains(&b'/') && !bytes.contains(&0)
}

/// Reads one tree of the repository.
pub(super) fn read_tree<S: IndexedFull>(
    repository: &Repository<S>,
    packs: &Packs,
    id: TreeId,
    near: &mut Raw,
) -> Result<Tree, Fault> {
    let blob = Blob::find(repository, id).map_err(Fault::Entry)?;
    let bytes = packs.open_tree(&blob, near)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Fault::Entry(format!("tree {}: {error}", &id.to_hex().as_str()[..10])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_plain_name_is_a_name() {
        for name in ["", ".", "..", "a/b", "/", "../x", "a\0b"] {
            assert!(!is_plain(OsStr::new(name)), "{name:?}");
        }
        for name in ["a", "...", ".dr", "a\\b", "\n"] {
            assert!(is_plain(OsStr::new(name)), "{name:?}");
        }
    }
}
