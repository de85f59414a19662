//! What a restore has to do: the point's trees, checked and compared with the destination before anything is written.

use super::meta::Meta;
use super::place::Kept;
use rustic_core::DataId;
use rustic_core::repofile::NodeType;
use std::ffi::OsString;
use std::path::PathBuf;

/// The place of a folder in [`Plan::folders`].
pub(super) type FolderId = usize;

/// The folder that holds the destination; it is never changed itself.
pub(super) const BASE: FolderId = 0;

/// A folder of the point.
#[derive(Debug)]
pub(super) struct Folder {
    pub parent: FolderId,
    pub name: OsString,
    /// Below the folder that holds the destination.
    pub path: PathBuf,
    pub meta: Meta,
    /// Whether it is in the destination already.
    pub there: bool,
    /// Whether the patterns include it, and not only something below it.
    pub included: bool,
    /// Whether it or something below it is restored.
    pub wanted: bool,
    /// The folder, itself or above it, in which nothing is removed.
    pub held: Option<(PathBuf, Kept)>,
}

/// A name in a folder.
#[derive(Debug, Clone)]
pub(super) struct Name {
    pub folder: FolderId,
    pub name: OsString,
}

/// A regular file whose content has to be written or compared.
#[derive(Debug)]
pub(super) struct FileItem {
    pub at: Name,
    pub meta: Meta,
    pub content: Vec<DataId>,
    /// The length of its content.
    pub size: u64,
}

/// A further name of a file.
#[derive(Debug)]
pub(super) struct HardLink {
    pub at: Name,
    pub first: Name,
}

/// A symbolic link, pipe or device.
#[derive(Debug)]
pub(super) struct Special {
    pub at: Name,
    pub meta: Meta,
    pub kind: NodeType,
}

/// Everything that a restore does.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Parents come before their children; the first is [`BASE`].
    pub folders: Vec<Folder>,
    pub files: Vec<FileItem>,
    /// Files of the right size whose content has to be compared before they are left as they are.
    pub compare: Vec<FileItem>,
    /// Files that are there with their content.
    pub same: Vec<(Name, Meta)>,
    pub hard_links: Vec<HardLink>,
    pub specials: Vec<Special>,
    /// What the destination holds and the point does not.
    pub extras: Vec<Name>,
    /// Folders of the point in which such things stay.
    pub kept: Vec<(PathBuf, Kept)>,
    /// What a killed restore left behind.
    pub left_over: Vec<Name>,
    /// What can't be restored, with the reason.
    pub failed: Vec<(PathBuf, String)>,
    /// Sockets, which nothing can restore.
    pub sockets: u64,
}

impl Plan {
    /// Where a name is, below the folder that holds the destination.
    pub fn path(&self, at: &Name) -> PathBuf {
        self.folders[at.folder].path.join(&at.name)
    }

    /// Marks an entry as one to remove, unless what lies where it does is kept.
    pub fn extra(&mut self, at: Name) {
        match &self.folders[at.folder].held {
            None => self.extras.push(at),
            Some(held) if self.kept.contains(held) => {}
            Some(held) => self.kept.push(held.clone()),
        }
    }

    /// Marks a folder and all above it as needed.
    pub fn want(&mut self, mut folder: FolderId) {
        while !self.folders[folder].wanted {
            self.folders[folder].wanted = true;
            folder = self.folders[folder].parent;
        }
    }
}
