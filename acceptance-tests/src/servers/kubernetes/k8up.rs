//! The real k8up operator. Its Jobs run the same program in Pods: a [`Node`](super::Node) runs them.

use std::process::Command;

use anyhow::Result;

use super::cluster::Cluster;
use super::controller::Controller;
use super::definitions::Definitions;
use crate::parts;

/// A running operator.
#[derive(Debug)]
pub struct K8up {
    /// Its process.
    pub controller: Controller,
}

impl K8up {
    /// Where it believes it runs.
    pub const NAMESPACE: &str = "k8up";
    /// Of its objects.
    pub const API: &str = "k8up.io/v1";

    /// Defines its kinds and starts it.
    pub fn start(cluster: &Cluster) -> Result<Self> {
        cluster.api.define(&[Definitions::K8UP])?;
        cluster.namespace(Self::NAMESPACE)?;
        let controller = Controller::start(cluster, "k8up", |_| {
            let mut command = Command::new(parts::K8UP.get()?);
            command
                .arg("operator")
                .args(["--operator-namespace", Self::NAMESPACE])
                .args(["--enable-leader-election=false", "--metrics-bindaddress=0"]);
            Ok(command)
        })?;
        Ok(Self { controller })
    }
}
