//! Labels on Velero's objects: its own, and those by which we know ours again.

/// The Schedule that made a backup.
pub const SCHEDULE: &str = "velero.io/schedule-name";

/// The Restore that made an object.
pub const RESTORE: &str = "velero.io/restore-name";

/// The key of the run that made an object.
pub const RUN: &str = "dr/run";

/// A backup of what a restore was about to overwrite.
pub const SAFETY: &str = "dr/safety";

/// What Velero leaves out of every backup.
pub const EXCLUDE: &str = "velero.io/exclude-from-backup";
