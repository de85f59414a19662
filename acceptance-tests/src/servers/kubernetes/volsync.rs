//! The real VolSync manager. Its movers are Pods: a [`Node`](super::Node) runs them.

use std::process::Command;

use anyhow::Result;

use super::cluster::Cluster;
use super::controller::Controller;
use super::definitions::Definitions;
use crate::parts;

/// A running manager.
#[derive(Debug)]
pub struct VolSync {
    /// Its process.
    pub controller: Controller,
}

impl VolSync {
    /// Of its objects.
    pub const API: &str = "volsync.backube/v1alpha1";

    /// Defines its kinds and those of volume snapshots, and starts it.
    pub fn start(cluster: &Cluster) -> Result<Self> {
        cluster.api.define(&[Definitions::SNAPSHOTS, Definitions::VOLSYNC])?;
        let controller = Controller::start(cluster, "volsync", |_| {
            let mut command = Command::new(parts::VOLSYNC.get()?);
            command.args(["--metrics-bind-address=0", "--health-probe-bind-address=0", "--leader-elect=false"]);
            Ok(command)
        })?;
        Ok(Self { controller })
    }
}
