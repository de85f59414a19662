//! What a folder holds, to the last attribute, and how two folders differ.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

/// One thing in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// `file`, `folder`, `link` or `other`.
    pub kind: &'static str,
    /// Permission bits with set-uid, set-gid and sticky.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Modification time, seconds and nanoseconds.
    pub modified: (i64, i64),
    /// Length of a file.
    pub size: u64,
    /// SHA-256 of a file's content.
    pub content: Option<String>,
    /// Where a link points.
    pub target: Option<PathBuf>,
    /// The first path with the same inode, when there are several.
    pub hard_link_of: Option<PathBuf>,
    /// Extended attributes, those that the kernel makes up left out.
    pub attributes: BTreeMap<OsString, Vec<u8>>,
}

/// Everything in a folder, by path below it; the folder itself is `.`.
#[derive(Debug, Clone, Default)]
pub struct Manifest {
    /// The entries.
    pub entries: BTreeMap<PathBuf, Entry>,
}

impl Manifest {
    /// Reads the folder.
    pub fn of(folder: &Path) -> Result<Self> {
        let mut manifest = Self::default();
        manifest.read(folder, Path::new("."), &mut HashMap::new())?;
        Ok(manifest)
    }

    /// Regular files; a hard link counts once.
    pub fn files(&self) -> usize {
        self.singles().count()
    }

    /// The bytes of regular files; a hard link counts once.
    pub fn bytes(&self) -> u64 {
        self.singles().map(|entry| entry.size).sum()
    }

    fn singles(&self) -> impl Iterator<Item = &Entry> {
        let first = |(path, entry): &(&PathBuf, &Entry)| entry.hard_link_of.as_ref().is_none_or(|of| of == *path);
        self.entries.iter().filter(first).map(|(_, entry)| entry).filter(|entry| entry.kind == "file")
    }

    fn read(&mut self, at: &Path, name: &Path, inodes: &mut HashMap<(u64, u64), PathBuf>) -> Result<()> {
        let metadata = fs::symlink_metadata(at).with_context(|| format!("cannot read {}", at.display()))?;
        let entry = entry(at, name, &metadata, inodes)?;
        self.entries.insert(name.to_owned(), entry);
        if metadata.is_dir() {
            let mut inside: Vec<_> = fs::read_dir(at)?.collect::<io::Result<_>>()?;
            inside.sort_by_key(fs::DirEntry::file_name);
            for child in inside {
                let below = if name == Path::new(".") { PathBuf::new() } else { name.to_owned() };
                self.read(&child.path(), &below.join(child.file_name()), inodes)?;
            }
        }
        Ok(())
    }

    /// What is different in `other`, a line for each; empty when the two are equal in everything.
    pub fn differences(&self, other: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (path, entry) in &self.entries {
            match other.entries.get(path) {
                None => lines.push(format!("{}: missing", path.display())),
                Some(found) => lines.extend(entry.differences(found).map(|line| format!("{}: {line}", path.display()))),
            }
        }
        let new = other.entries.keys().filter(|path| !self.entries.contains_key(*path));
        lines.extend(new.map(|path| format!("{}: not there before", path.display())));
        lines
    }

    /// Fails with a readable list when `folder` is not exactly as it was.
    pub fn assert_same(&self, folder: &Path) -> Result<()> {
        let differences = self.differences(&Self::of(folder)?);
        anyhow::ensure!(differences.is_empty(), "{} differs:\n{}", folder.display(), differences.join("\n"));
        Ok(())
    }
}

impl Entry {
    fn differences(&self, other: &Self) -> impl Iterator<Item = String> {
        let mut lines = Vec::new();
        let mut compare = |what: &str, before: String, after: String| {
            if before != after {
                lines.push(format!("{what} was {before}, is {after}"));
            }
        };
        compare("kind", self.kind.to_owned(), other.kind.to_owned());
        compare("mode", format!("{:o}", self.mode), format!("{:o}", other.mode));
        compare("owner", format!("{:?}", self.owner), format!("{:?}", other.owner));
        compare("time", format!("{:?}", self.modified), format!("{:?}", other.modified));
        compare("size", self.size.to_string(), other.size.to_string());
        compare("content", format!("{:?}", self.content), format!("{:?}", other.content));
        compare("target", format!("{:?}", self.target), format!("{:?}", other.target));
        compare("hard link", format!("{:?}", self.hard_link_of), format!("{:?}", other.hard_link_of));
        compare("attributes", format!("{:?}", self.attributes), format!("{:?}", other.attributes));
        lines.into_iter()
    }
}

fn entry(at: &Path, name: &Path, metadata: &Metadata, inodes: &mut HashMap<(u64, u64), PathBuf>) -> Result<Entry> {
    let kind = match metadata.file_type() {
        kind if kind.is_file() => "file",
        kind if kind.is_dir() => "folder",
        kind if kind.is_symlink() => "link",
        _ => "other",
    };
    let shared = kind != "folder" && metadata.nlink() > 1;
    let hard_link_of = shared.then(|| {
        let first = inodes.entry((metadata.dev(), metadata.ino())).or_insert_with(|| name.to_owned());
        first.clone()
    });
    Ok(Entry {
        kind,
        mode: metadata.mode() & 0o7777,
        owner: (metadata.uid(), metadata.gid()),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        size: if kind == "file" { metadata.len() } else { 0 },
        content: if kind == "file" { Some(digest(at)?) } else { None },
        target: if kind == "link" { Some(fs::read_link(at)?) } else { None },
        hard_link_of,
        attributes: attributes(at),
    })
}

fn digest(at: &Path) -> Result<String> {
    let mut digest = Sha256::new();
    let mut file = File::open(at).with_context(|| format!("cannot open {}", at.display()))?;
    io::copy(&mut file, &mut digest)?;
    Ok(hex::encode(digest.finalize()))
}

/// A file system without attributes has none.
fn attributes(at: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let mut names = vec![0; 64 * 1024];
    let length = rustix::fs::llistxattr(at, &mut names[..]).unwrap_or(0);
    names.truncate(length);
    let mut found = BTreeMap::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 64 * 1024];
        let name = OsString::from_vec(name.to_vec());
        if name.as_bytes().starts_with(b"system.") {
            continue;
        }
        if let Ok(length) = rustix::fs::lgetxattr(at, name.as_os_str(), &mut value[..]) {
            value.truncate(length);
            found.insert(name, value);
        }
    }
    found
}
