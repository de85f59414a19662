//! Which one of the things of a name something is: what a record keeps of it, compared with what is there later.

use std::fmt;

/// Whether two names, each by an engine, are those of one thing.
pub(super) fn is_same(one: &str, other: &str) -> bool {
    match (Inode::parse(one), Inode::parse(other)) {
        (Some(one), Some(other)) => one.is(&other),
        _ => one == other,
    }
}

/// Whether two names may be those of one thing: where no birth is known, the device alone does not tell.
pub(super) fn may_be_same(one: &str, other: &str) -> bool {
    is_same(one, other) || behind_device(one) == behind_device(other)
}

/// What a folder is called behind the number of its device.
fn behind_device(text: &str) -> &str {
    text.split_once('-').filter(|(device, _)| device.contains(':')).map_or(text, |(_, rest)| rest)
}

/// A file or folder whose birth is known, as records name it: `<inode>-<birth>-<file system>`.
///
/// The device is no part of it: btrfs, overlays, network file systems and disks on USB or behind device mapper get another
/// number with each mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inode {
    /// Its number.
    pub number: u64,
    /// When it was made: seconds and nanoseconds.
    pub born: (i64, u32),
    /// The id of its file system, where that has one which outlives a mount.
    pub file_system: Option<String>,
}

impl Inode {
    /// Out of a record. An older one may have the device before it, and names no file system.
    fn parse(text: &str) -> Option<Self> {
        let mut parts = behind_device(text).splitn(3, '-');
        let number = parts.next()?.parse().ok()?;
        let (seconds, nanoseconds) = parts.next()?.split_once('.')?;
        let born = (seconds.parse().ok()?, nanoseconds.parse().ok()?);
        Some(Inode { number, born, file_system: parts.next().map(str::to_owned) })
    }

    fn is(&self, other: &Self) -> bool {
        let elsewhere = self.file_system.as_ref().zip(other.file_system.as_ref()).is_some_and(|(one, two)| one != two);
        self.number == other.number && self.born == other.born && !elsewhere
    }
}

impl fmt::Display for Inode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}.{:09}", self.number, self.born.0, self.born.1)?;
        self.file_system.iter().try_for_each(|id| write!(f, "-{id}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_the_same_one_behind_another_device() {
        let here = "1234-1700000000.000000005-00000000abcdef01";
        assert!(is_same(here, here));
        assert!(is_same("8:1-1234-1700000000.000000005", "253:7-1234-1700000000.000000005"));
        assert!(is_same("8:1-1234-1700000000.000000005", here));
        assert!(is_same(here, "1234-1700000000.000000005"));
        for other in [
            "1235-1700000000.000000005-00000000abcdef01",
            "1234-1700000000.000000006-00000000abcdef01",
            "1234-1700000000.000000005-00000000abcdef02",
            "8:1-1234-1700000001.000000005",
        ] {
            assert!(!is_same(here, other), "{other}");
        }
    }

    #[test]
    fn without_a_birth_the_device_counts() {
        assert!(is_same("8:1-1234-unknown", "8:1-1234-unknown"));
        assert!(!is_same("8:1-1234-unknown", "8:2-1234-unknown"));
        assert!(may_be_same("8:1-1234-unknown", "8:2-1234-unknown"));
        assert!(!may_be_same("8:1-1234-unknown", "8:1-1235-unknown"));
        assert!(!is_same("8:1-1234-unknown", "8:1-1234-1700000000.000000005"));
    }

    #[test]
    fn other_names_are_the_same_to_the_letter() {
        let uid = "6f1d2f0e-8a5c-4d52-9d62-0f0f4b1a7c11";
        assert!(is_same(uid, uid));
        assert!(!is_same(uid, "6f1d2f0e-8a5c-4d52-9d62-0f0f4b1a7c12"));
        assert!(!is_same("from ReplicationDestination apps/docs", "from ReplicationDestination apps/other"));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for file_system in [None, Some("00000000abcdef01".to_owned())] {
            let inode = Inode { number: 7, born: (1_700_000_000, 5), file_system };
            assert_eq!(Inode::parse(&inode.to_string()), Some(inode));
        }
    }
}
