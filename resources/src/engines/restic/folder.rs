//! Looks at a folder or file that is backed up or restored: what it is, which one it is, where it lies.

use std::io::ErrorKind;
use std::path::Path;

use jiff::Timestamp;
use rustix::fs::{AtFlags, CWD, StatxFlags, statvfs, statx};

use crate::run::{Inode, Probe, TargetState};

/// [`probe`], beside the threads that answer calls and renew leases: a file system that hangs holds none of them up.
pub async fn look(path: &Path, file_system: Option<&str>, may_make_parent: bool) -> Probe {
    let (path, file_system) = (path.to_owned(), file_system.map(str::to_owned));
    let work = move || probe(&path, file_system.as_deref(), may_make_parent);
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| unknown(format!("looking at it ended early: {error}")))
}

/// Looks at `path`. `file_system` is where an earlier restore left it, if there was one.
/// `may_make_parent`: the folder that it goes into need not exist.
pub fn probe(path: &Path, file_system: Option<&str>, may_make_parent: bool) -> Probe {
    let shown = path.display();
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => missing(path, file_system, may_make_parent),
        Err(error) => unknown(format!("{shown} can't be looked at: {error}")),
        Ok(metadata) if metadata.is_symlink() => unknown(format!(
            "{shown} is a symbolic link, and what it leads to may not be mounted: name the folder itself"
        )),
        Ok(metadata) if metadata.is_dir() => {
            match std::fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
                Err(error) => unknown(format!("{shown} can't be listed: {error}")),
                Ok(true) if elsewhere(path, file_system) => unknown(format!(
                    "{shown} is an empty folder on another file system than the one that was restored to"
                )),
                Ok(true) => seen(path, TargetState::Empty, format!("{shown} is empty")),
                Ok(false) => seen(path, TargetState::Present, format!("{shown} holds something")),
            }
        }
        Ok(_) => seen(path, TargetState::Present, format!("{shown} is there")),
    }
}

fn missing(path: &Path, file_system: Option<&str>, may_make_parent: bool) -> Probe {
    let shown = path.display();
    match path.parent() {
        Some(parent) if !parent.is_dir() && !may_make_parent => unknown(format!(
            "{shown} does not exist, and neither does the folder {} that it belongs in",
            parent.display()
        )),
        Some(parent) if parent.is_dir() && elsewhere(parent, file_system) => unknown(format!(
            "{shown} does not exist, and its parent lies on another file system than what was restored"
        )),
        _ => Probe {
            state: TargetState::Missing,
            incarnation: None,
            born: None,
            evidence: format!("{shown} does not exist"),
        },
    }
}

fn unknown(evidence: String) -> Probe {
    Probe { state: TargetState::Unknown, incarnation: None, born: None, evidence }
}

fn seen(path: &Path, state: TargetState, evidence: String) -> Probe {
    let found = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::INO | StatxFlags::BTIME).ok();
    let born =
        found.as_ref().filter(|found| found.stx_mask & StatxFlags::BTIME.bits() != 0).map(|found| found.stx_btime);
    let incarnation = found.as_ref().map(|found| match born {
        Some(born) => {
            let file_system = file_system(path).filter(|id| !is_device(id, found.stx_dev_major, found.stx_dev_minor));
            Inode { number: found.stx_ino, born: (born.tv_sec, born.tv_nsec), file_system }.to_string()
        }
        None => format!("{}:{}-{}-unknown", found.stx_dev_major, found.stx_dev_minor, found.stx_ino),
    });
    let born = born.and_then(|born| Timestamp::new(born.tv_sec, i32::try_from(born.tv_nsec).unwrap_or(0)).ok());
    Probe { state, incarnation, born, evidence }
}

/// Whether a file system has no id but the number of its device, as XFS and FAT: that is another one after a mount. Linux
/// writes it as `huge_encode_dev` in include/linux/kdev_t.h does.
fn is_device(id: &str, major: u32, minor: u32) -> bool {
    let number = (minor & 0xff) | (major << 8) | ((minor & !0xff) << 12);
    u64::from_str_radix(id, 16).is_ok_and(|id| id == u64::from(number))
}

/// Whether `path` lies on another file system than `known`.
fn elsewhere(path: &Path, known: Option<&str>) -> bool {
    match (known, file_system(path)) {
        (Some(known), Some(found)) => known != found,
        _ => false,
    }
}

/// The id of the file system that holds `path`; `None` where file systems have none.
pub fn file_system(path: &Path) -> Option<String> {
    let id = statvfs(path).ok()?.f_fsid;
    (id != 0).then(|| format!("{id:016x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_missing_only_when_its_parent_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(probe(&folder.path().join("docs"), None, false).state, TargetState::Missing);
        assert_eq!(probe(&folder.path().join("mnt/docs"), None, false).state, TargetState::Unknown);
    }

    #[test]
    fn an_empty_folder_is_empty_and_one_with_an_entry_is_present() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(probe(folder.path(), None, false).state, TargetState::Empty);
        std::fs::write(folder.path().join("a"), "").expect("a file");
        assert_eq!(probe(folder.path(), None, false).state, TargetState::Present);
    }

    #[test]
    fn on_another_file_system_than_the_restored_one_neither_missing_nor_empty_is_believed() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(probe(folder.path(), Some("another"), false).state, TargetState::Unknown);
        assert_eq!(probe(&folder.path().join("docs"), Some("another"), false).state, TargetState::Unknown);
        let here = file_system(folder.path());
        assert_eq!(probe(folder.path(), here.as_deref(), false).state, TargetState::Empty);
    }

    #[test]
    fn the_number_of_a_device_is_no_id_of_a_file_system() {
        assert!(is_device("0000000000000811", 8, 17));
        assert!(is_device("0000000000100801", 8, 257));
        assert!(!is_device("0000000000000811", 8, 1));
        assert!(!is_device("8b5a4c6d7e0f1a2b", 8, 17));
    }

    #[test]
    fn a_folder_is_known_again_behind_another_device() {
        let folder = tempfile::tempdir().expect("a folder");
        let seen = probe(folder.path(), None, false);
        let named = seen.incarnation.as_deref().expect("it is there");
        let of_older_records = named.splitn(3, '-').take(2).collect::<Vec<_>>().join("-");
        assert!(seen.born.is_some(), "this file system knows no births");
        assert!(seen.is(Some(&format!("7:7-{of_older_records}"))), "{named}");
        assert!(seen.is(Some(named)));
    }

    #[test]
    fn a_folder_made_anew_is_another_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let docs = folder.path().join("docs");
        std::fs::create_dir(&docs).expect("made");
        let first = probe(&docs, None, false).incarnation;
        assert!(first.is_some());
        assert_eq!(first, probe(&docs, None, false).incarnation);
        std::fs::remove_dir(&docs).expect("removed");
        std::fs::create_dir(&docs).expect("made again");
        assert_ne!(first, probe(&docs, None, false).incarnation);
    }
}
