//! What engines in a Kubernetes cluster have in common.

pub mod abandoned;
pub mod alerts;
pub mod drill;
pub mod hold;
pub mod imported;
pub mod imported_repository;
pub mod label_selector;
pub mod objects;
pub mod owned;
pub mod quiesce;
pub mod render;
pub mod repository_secret;
pub mod runs;
pub mod safety;
pub mod spec;
pub mod store_keys;
pub mod watch;
