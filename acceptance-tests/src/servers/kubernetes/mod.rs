//! Kubernetes for tests: a real API server, the real controllers of the engines, and a small node for their Pods.

mod certificates;
mod client;
mod cluster;
mod controller;
mod definitions;
mod guide;
mod inside;
mod k8up;
mod node;
mod shared;
mod users;
mod velero;
mod volsync;

pub use client::{Kubernetes, wait_for};
pub use cluster::{CONTEXT, Cluster};
pub use controller::Controller;
pub use definitions::Definitions;
pub use guide::rights_of_guide;
pub use inside::Inside;
pub use k8up::K8up;
pub use node::{NODE, Node, STORAGE_CLASS};
pub use shared::{Shared, shared};
pub use users::Grant;
pub use velero::Velero;
pub use volsync::VolSync;
