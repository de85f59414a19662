//! What is known of an entry beside its content: compared with what is there, and set where it differs.

use rustic_core::jiff::Timestamp;
use rustic_core::repofile::{Metadata, Node};
use rustix::fs::{Gid, Mode, Stat, Timespec, Timestamps, Uid};
use rustix::io::{Errno, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::PathBuf;

/// Go's time.Time{}, which stands for "not known" in some snapshots: the first second of the year 1.
const GO_ZERO_TIME: i64 = -62_135_596_800;

/// The metadata of one entry, as the destination needs it.
#[derive(Debug, Clone, Default)]
pub(super) struct Meta {
    pub mode: Option<u32>,
    owner: Option<(u32, u32)>,
    mtime: Option<(i64, i32)>,
    atime: Option<(i64, i32)>,
    xattrs: Vec<(String, Vec<u8>)>,
}

/// What this system or this user could not set, and what is no reason to fail.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    /// Whether the owner is another than it should be.
    pub owner: bool,
    /// Names of extended attributes.
    pub attributes: Vec<String>,
}

/// Who restores.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rights {
    /// Whether owners can be set.
    pub root: bool,
}

impl Meta {
    pub fn of(node: &Node) -> Self {
        let Metadata { mode, uid, gid, mtime, atime, extended_attributes, .. } = &node.meta;
        let xattrs = extended_attributes.iter();
        Self {
            mode: mode.map(permissions),
            owner: uid.zip(*gid),
            mtime: mtime.and_then(time),
            atime: atime.or(*mtime).and_then(time),
            xattrs: xattrs.map(|a| (a.name.clone(), a.value.clone().unwrap_or_default())).collect(),
        }
    }

    /// Whether an existing file has the same modification time.
    pub fn same_time(&self, stat: &Stat) -> bool {
        self.mtime.is_some_and(|(seconds, nanoseconds)| {
            stat.st_mtime == seconds && stat.st_mtime_nsec as i64 == i64::from(nanoseconds)
        })
    }

    fn same_owner(&self, stat: &Stat) -> bool {
        self.owner.is_none_or(|owner| owner == (stat.st_uid, stat.st_gid))
    }

    fn times(&self) -> Option<Timestamps> {
        let spec = |(tv_sec, nanoseconds): (i64, i32)| Timespec { tv_sec, tv_nsec: nanoseconds.into() };
        let mtime = self.mtime?;
        Some(Timestamps { last_access: spec(self.atime.unwrap_or(mtime)), last_modification: spec(mtime) })
    }

    /// Sets everything that differs on an open file or folder: owner, attributes, mode, times, in this order, because
    /// each of them changes or forbids an earlier one.
    pub fn apply(&self, file: impl AsFd, rights: Rights) -> Result<LeftOut> {
        let file = file.as_fd();
        let before = rustix::fs::fstat(file)?;
        if rights.root
            && !self.same_owner(&before)
            && let Some((uid, gid)) = self.owner
        {
            rustix::fs::fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?;
        }
        let attributes = self.apply_xattrs(file)?;
        let now = rustix::fs::fstat(file)?;
        // Whoever may not give a program to its owner must not let it run as another.
        let kept = if self.same_owner(&now) { 0o7777 } else { 0o1777 };
        if let Some(mode) = self.mode.map(|mode| mode & kept)
            && now.st_mode & 0o7777 != mode
        {
            rustix::fs::fchmod(file, Mode::from_raw_mode(mode))?;
        }
        if let Some(times) = self.times()
            && !self.same_time(&now)
        {
            rustix::fs::futimens(file, &times)?;
        }
        Ok(LeftOut { owner: !self.same_owner(&now), attributes })
    }

    fn apply_xattrs(&self, file: BorrowedFd<'_>) -> Result<Vec<String>> {
        let there = match list(|buffer| rustix::fs::flistxattr(file, buffer)) {
            Err(Errno::OPNOTSUPP | Errno::NOSYS) => Vec::new(),
            there => there?,
        };
        for name in there.iter().filter(|name| removable(name) && !self.xattrs.iter().any(|(have, _)| have == *name)) {
            rustix::fs::fremovexattr(file, name.as_str())?;
        }
        let mut left_out = Vec::new();
        for (name, value) in &self.xattrs {
            if there.contains(name)
                && get(|buffer| rustix::fs::fgetxattr(file, name.as_str(), buffer)).is_ok_and(|have| have == *value)
            {
                continue;
            }
            let set = rustix::fs::fsetxattr(file, name.as_str(), value, rustix::fs::XattrFlags::empty());
            left_out.extend(tolerated(name, set)?);
        }
        Ok(left_out)
    }

    /// The same for a link itself, never for what it names.
    pub fn apply_link(&self, folder: BorrowedFd<'_>, name: &std::ffi::OsStr, rights: Rights) -> Result<LeftOut> {
        use rustix::fs::AtFlags;
        let before = rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW)?;
        if rights.root
            && !self.same_owner(&before)
            && let Some((uid, gid)) = self.owner
        {
            let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
            rustix::fs::chownat(folder, name, owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        let mut attributes = Vec::new();
        if !self.xattrs.is_empty() {
            let path = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
            for (attribute, value) in &self.xattrs {
                let set = rustix::fs::lsetxattr(&path, attribute.as_str(), value, rustix::fs::XattrFlags::empty());
                attributes.extend(tolerated(attribute, set)?);
            }
        }
        if let Some(times) = self.times()
            && !self.same_time(&before)
        {
            rustix::fs::utimensat(folder, name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(LeftOut { owner: !rights.root && !self.same_owner(&before), attributes })
    }
}

/// An attribute that only root or only another file system can hold is left out with a warning; a user's is not.
fn tolerated(name: &str, result: Result<()>) -> Result<Option<String>> {
    match result {
        Ok(()) => Ok(None),
        Err(Errno::OPNOTSUPP | Errno::PERM | Errno::ACCESS | Errno::INVAL) if !name.starts_with("user.") => {
            Ok(Some(name.to_owned()))
        }
        Err(error) => Err(error),
    }
}

/// Attributes that a user sets; others belong to the system (a label of SELinux is not removed).
fn removable(name: &str) -> bool {
    name.starts_with("user.") || name.starts_with("system.posix_acl_")
}

fn list(call: impl Fn(&mut [u8]) -> Result<usize>) -> Result<Vec<String>> {
    let names = get(call)?;
    let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
    Ok(names.filter_map(|name| String::from_utf8(name.to_vec()).ok()).collect())
}

fn get(call: impl Fn(&mut [u8]) -> Result<usize>) -> Result<Vec<u8>> {
    let mut buffer = vec![0; 512];
    let length = match call(&mut buffer) {
        Err(Errno::RANGE) => {
            buffer = vec![0; 64 * 1024];
            call(&mut buffer)?
        }
        length => length?,
    };
    buffer.truncate(length);
    Ok(buffer)
}

/// The permission bits of a mode as Go writes it (io/fs.FileMode): set-user-id, set-group-id and sticky are elsewhere.
fn permissions(go: u32) -> u32 {
    let bit = |from: u32, to: u32| if go & (1 << from) > 0 { to } else { 0 };
    go & 0o777 | bit(23, 0o4000) | bit(22, 0o2000) | bit(20, 0o1000)
}

/// Seconds, and nanoseconds that are never negative.
fn time(time: Timestamp) -> Option<(i64, i32)> {
    let (mut seconds, mut nanoseconds) = (time.as_second(), time.subsec_nanosecond());
    if nanoseconds < 0 {
        seconds -= 1;
        nanoseconds += 1_000_000_000;
    }
    (seconds != GO_ZERO_TIME).then_some((seconds, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_bits_of_a_go_mode_become_those_of_posix() {
        assert_eq!(permissions(0o755 | 1 << 31), 0o755);
        assert_eq!(permissions(0o750 | 1 << 23 | 1 << 22 | 1 << 20), 0o7750);
    }

    #[test]
    fn times_before_1970_count_nanoseconds_upwards() {
        assert_eq!(time(Timestamp::new(-1, -250_000_000).unwrap()), Some((-2, 750_000_000)));
        assert_eq!(time(Timestamp::from_second(GO_ZERO_TIME).unwrap()), None);
    }

    #[test]
    fn a_file_that_stays_another_owners_runs_as_nobody_else() {
        let file = tempfile::tempfile().unwrap();
        let mine = rustix::fs::fstat(&file).unwrap();
        let meta = |uid| Meta {
            mode: Some(0o6755),
            owner: Some((uid, mine.st_gid)),
            mtime: None,
            atime: None,
            xattrs: Vec::new(),
        };
        let mode = || rustix::fs::fstat(&file).unwrap().st_mode & 0o7777;
        assert!(meta(mine.st_uid + 1).apply(&file, Rights { root: false }).unwrap().owner);
        assert_eq!(mode(), 0o755);
        assert!(!meta(mine.st_uid).apply(&file, Rights { root: false }).unwrap().owner);
        assert_eq!(mode(), 0o6755);
    }
}
