//! One cluster for all tests of a process that only need a namespace of their own: starting one takes seconds.

use std::sync::{Mutex, PoisonError};

use anyhow::Result;

use super::client::Kubernetes;
use super::cluster::Cluster;
use super::k8up::K8up;
use super::node::Node;
use super::velero::Velero;
use super::volsync::VolSync;
use crate::servers::Minio;

/// What the tests share. Engines are started by the first test that asks for them.
#[derive(Debug)]
pub struct Shared {
    /// With its controller manager.
    pub cluster: Cluster,
    /// Runs its Pods.
    pub node: Node,
    velero: Once<Velero>,
    volsync: Once<VolSync>,
    k8up: Once<K8up>,
    minio: Once<Minio>,
}

/// The shared cluster, which nobody may kill, empty or pause: [`Cluster::start`] one for that.
pub fn shared() -> Result<&'static Shared> {
    static SHARED: Once<Shared> = Once::new();
    SHARED.get(|| {
        let cluster = Cluster::start()?.with_controller_manager()?;
        cluster.outlives_its_value();
        let node = Node::start(&cluster)?;
        let (velero, volsync, k8up, minio) = (Once::new(), Once::new(), Once::new(), Once::new());
        Ok(Shared { cluster, node, velero, volsync, k8up, minio })
    })
}

impl Shared {
    /// A client that may do everything.
    pub fn api(&self) -> &Kubernetes {
        &self.cluster.api
    }

    /// Makes a namespace that no other test has, and gives its name, which begins with `prefix`.
    pub fn namespace(&self, prefix: &str) -> Result<String> {
        let name = format!("{prefix}-{:08x}", rand::random::<u32>());
        self.cluster.namespace(&name)?;
        Ok(name)
    }

    /// Velero.
    pub fn velero(&self) -> Result<&'static Velero> {
        self.velero.get(|| Velero::start(&self.cluster))
    }

    /// VolSync.
    pub fn volsync(&self) -> Result<&'static VolSync> {
        self.volsync.get(|| VolSync::start(&self.cluster))
    }

    /// k8up.
    pub fn k8up(&self) -> Result<&'static K8up> {
        self.k8up.get(|| K8up::start(&self.cluster))
    }

    /// An S3 server, where every test makes buckets of its own.
    pub fn minio(&self) -> Result<&'static Minio> {
        self.minio.get(|| {
            let minio = Minio::start()?;
            minio.outlives_its_value();
            Ok(minio)
        })
    }
}

/// A value that the first who asks makes, and who comes meanwhile waits for; after a failure the next one tries.
#[derive(Debug)]
struct Once<T: 'static>(Mutex<Option<&'static T>>);

impl<T> Once<T> {
    const fn new() -> Self {
        Self(Mutex::new(None))
    }

    fn get(&self, make: impl FnOnce() -> Result<T>) -> Result<&'static T> {
        let mut value = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(value) = *value {
            return Ok(value);
        }
        let made: &'static T = Box::leak(Box::new(make()?));
        *value = Some(made);
        Ok(made)
    }
}
