//! What a run that did not come to its end left beside its claim.

use async_trait::async_trait;

use super::mover::Mover;
use super::safety::SAFETY;
use super::{DESTINATION, RUN_LABEL, SOURCE};
use crate::connections::kubernetes::{Cluster, Kind};
use crate::engines::kubernetes::abandoned::{Clear, is_of, remove};
use crate::engines::kubernetes::watch::Watches;
use crate::ledger::{Record, engine_object_name};
use crate::run::EngineError;

/// VolSync in the namespace of a claim.
pub struct Leftovers {
    /// The cluster.
    pub cluster: Cluster,
    /// Waits for objects.
    pub watches: Watches,
    /// The namespace.
    pub namespace: String,
    /// The claim.
    pub claim: String,
}

#[async_trait]
impl Clear for Leftovers {
    /// A mover that goes on would write for nobody, and copies of the repository's Secret would lie there for ever. What is
    /// handed over under the job's own name is none of it.
    async fn clear(&self, record: &Record) -> Result<(), EngineError> {
        let Leftovers { cluster, namespace, .. } = self;
        let name = engine_object_name(&record.name, &record.key);
        let safety = format!("{name}{SAFETY}");
        for (kind, name, jobs) in [(DESTINATION, &name, "volsync-dst-"), (SOURCE, &safety, "volsync-src-")] {
            self.end(kind, name, jobs, &record.key).await?;
        }
        for name in [&name, &safety] {
            remove(cluster, &Kind::SECRET, namespace, name, |found| is_of(found, RUN_LABEL, &record.key)).await?;
        }
        Ok(())
    }
}

impl Leftovers {
    /// Removes an object of VolSync's, and waits until its mover is gone.
    async fn end(&self, kind: Kind, name: &str, jobs: &'static str, key: &str) -> Result<(), EngineError> {
        let Leftovers { cluster, watches, namespace, claim } = self;
        let failed = |error: crate::connections::kubernetes::ClusterError| EngineError::new(error.to_string());
        let found = cluster.get(&kind, namespace, name).await.map_err(failed)?;
        if !found.is_some_and(|found| is_of(&found, RUN_LABEL, key)) {
            return Ok(());
        }
        let (cluster, watches) = (cluster.clone(), watches.clone());
        let (namespace, claim) = (namespace.clone(), claim.clone());
        Mover { cluster, watches, namespace, claim, kind, jobs }.clear(name).await.map(drop)
    }
}
