//! Labels on Velero's objects: its own, and those by which we know ours again.

use sha2::{Digest, Sha256};

/// How many letters a label's value may have.
const LONGEST: usize = 63;

/// The Schedule that made a backup.
pub const SCHEDULE: &str = "velero.io/schedule-name";

/// The Restore that made an object.
pub const RESTORE: &str = "velero.io/restore-name";

/// The key of the run that made an object.
pub const RUN: &str = "dr/run";

/// A backup of what a restore was about to overwrite.
pub const SAFETY: &str = "dr/safety";

/// A backup whose date is put off because a restore needs it.
pub const KEPT: &str = "dr/kept";

/// What Velero leaves out of every backup.
pub const EXCLUDE: &str = "velero.io/exclude-from-backup";

/// The backup that an object is about, by its name as [`value`] writes it.
pub const BACKUP: &str = "velero.io/backup-name";

/// The same by its uid.
pub const BACKUP_UID: &str = "velero.io/backup-uid";

/// A name as the value of a label: what is too long ends in a digest, as Velero's own `label.GetValidName` has it.
pub fn value(name: &str) -> String {
    if name.len() <= LONGEST {
        return name.to_owned();
    }
    let digest = hex::encode(&Sha256::digest(name)[..3]);
    let short: String = name.chars().take(LONGEST - digest.len()).collect();
    format!("{short}{digest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_too_long_for_a_label_ends_in_a_digest() {
        assert_eq!(value("dr-docs-1f"), "dr-docs-1f");
        let long = value(&"a".repeat(64));
        assert_eq!((long.len(), &long[..57]), (63, "a".repeat(57).as_str()));
        assert_ne!(long, value(&"a".repeat(65)));
    }
}
