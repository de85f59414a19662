//! The embedded engine: restic-format repositories, on rustic_core's lower API.

pub mod backend;
pub mod backup;
pub(crate) mod crypto;
pub mod drill;
mod ended;
pub mod error;
pub mod folder;
pub mod forget;
pub mod index;
pub mod keys;
pub mod listing;
pub mod locks;
pub mod machine;
pub mod model;
mod notes;
mod owners;
pub mod points;
pub mod progress;
pub mod repository;
pub mod restore;
pub mod site;
pub mod source;
pub mod target;
#[cfg(test)]
pub(crate) mod testing;
pub mod verify;
pub mod worker;
pub mod writer;
