//! Taking an application down on Kubernetes around a restore, and bringing it back exactly as it was.

mod ask;
mod entry;
mod in_use;
mod jobs;
mod kinds;
mod model;
mod order;
mod parents;
mod pause;
mod pods;
mod schedule;
mod step;
#[cfg(test)]
pub(in crate::engines) mod tests;
mod wait;

pub use entry::EntryError;
pub use in_use::{ClaimPause, refuse_in_use, until_unused};
pub use kinds::Verb;
pub use model::{Quiesce, QuiesceModel};
pub use pause::KubernetesPause;
pub use pods::{pods_in_the_way, pods_using};
pub use schedule::OwnSchedule;
pub use step::{also_holding, object_of};

use crate::connections::kubernetes::{Cluster, ClusterError, DynamicObject, Kind};
use crate::run::EngineError;

/// The object, if it is there; a kind that is not installed has none.
async fn read(
    cluster: &Cluster,
    kind: &Kind,
    namespace: &str,
    name: &str,
) -> Result<Option<DynamicObject>, EngineError> {
    match cluster.get(kind, namespace, name).await {
        Ok(found) => Ok(found),
        Err(ClusterError::MissingKind { .. }) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

/// Quiescing writes nothing to the target.
fn failed(error: ClusterError) -> EngineError {
    EngineError::nothing_written(error.to_string()).because(error)
}
