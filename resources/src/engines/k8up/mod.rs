//! k8up: Schedules, Backups and Restores in namespaces of a cluster, and the restic-format repositories that they fill.

mod abandoned;
mod archive;
mod backend;
mod backup;
pub mod backup_block;
mod claims;
pub mod import;
pub mod listing;
mod opener;
mod orders;
mod repository;
mod restore;
mod restore_archive;
pub mod restore_block;
mod safety;
mod said;
pub mod schedule;
pub mod target;

/// The engine's name.
pub const ENGINE: &str = "k8up";
