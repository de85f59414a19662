//! Secrets that go with the object which needs them: a run that dies leaves both, and who removes the one removes the other.

use serde_json::{Value, json};

use crate::connections::kubernetes::{Cluster, ClusterError, Kind};

fn owners(owners: Value) -> Value {
    json!({ "metadata": { "ownerReferences": owners } })
}

/// Has a Secret stay whatever becomes of an object that needed it before, which is about to be removed.
pub async fn by_nobody(cluster: &Cluster, namespace: &str, secret: &str) -> Result<(), ClusterError> {
    cluster.merge(&Kind::SECRET, namespace, secret, owners(Value::Null), None).await.map(drop)
}

/// Has a Secret go with an object. The run removes both itself where it lives, so that a failure is none of the run's.
pub async fn by(cluster: &Cluster, namespace: &str, secret: &str, kind: &Kind, object: &str) {
    let owned = async {
        let Some(uid) = cluster.get(kind, namespace, object).await?.and_then(|object| object.metadata.uid) else {
            return Ok(());
        };
        let owner = json!({ "apiVersion": kind.api_version(), "kind": kind.kind, "name": object, "uid": uid });
        cluster.merge(&Kind::SECRET, namespace, secret, owners(json!([owner])), None).await.map(drop)
    };
    if let Err(error) = owned.await {
        tracing::warn!(%error, secret, "the copy of a Secret goes with the run alone");
    }
}
