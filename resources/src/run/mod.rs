//! Backup and restore as state machines over small traits.
//!
//! Nothing here knows an engine or the Terraform protocol. The record of a run is written before each phase, so that
//! whoever comes after a killed process goes on at the phase that it reached.

mod after;
mod around;
mod backup;
mod cancel;
mod due;
mod error;
mod incarnation;
mod journal;
mod locality;
mod point;
mod restore;
mod target;
mod traits;

pub use after::check_after;
pub use backup::{
    BackupJob, BackupOutcome, BackupParts, BackupResult, Cause, FirstBackup, backup, check_first_backup, check_removal,
    records,
};
pub use cancel::Cancel;
pub use due::{
    Candidate, Change, Due, Planned, PlannedPoint, Prior, Refreshed, Undecided, age, due, due_backup, in_units, pick,
    refresh, wants_candidate,
};
pub use error::{EngineError, RunError, left};
pub use incarnation::Inode;
pub use journal::Journal;
pub use locality::Locality;
pub use point::{ChosenPoint, NoPoint, Point, PointChoice, PointKind, choose};
pub use restore::{
    Foreseen, Memory, OnFailure, OnMissing, Outcome, RestoreJob, RestoreParts, RestoreResult, foresee, restore,
};
pub use target::{Probe, TargetState, When};
pub use traits::{
    Backup, BackupStored, DataSource, FirstUse, Held, History, Listing, Pause, Pins, PointSources, Points, ReadBack,
    Restore, Restored, Safety, Standing,
};
