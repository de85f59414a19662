//! Velero: a BackupStorageLocation, Schedules, Backups and Restores in a cluster, and the recovery points of its bucket.

pub mod backup;
pub mod backup_block;
pub mod bucket;
pub mod documents;
mod duration;
pub mod import;
pub mod labels;
pub mod listing;
mod namespaces;
mod pins;
pub mod points;
mod removal;
pub mod restore;
pub mod restore_block;
pub mod schedule;
mod selection;
pub mod server;
pub(in crate::engines) mod site;
pub mod target;
pub mod template;
#[cfg(test)]
mod testing;

/// The engine's name.
pub const ENGINE: &str = "velero";
