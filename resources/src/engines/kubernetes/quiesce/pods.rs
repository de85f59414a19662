//! Pods: those of a workload, and those that have a claim mounted.

use super::kinds::Manner;
use super::model::{Named, Quiesce};
use super::{failed, jobs, read};
use crate::connections::kubernetes::{Cluster, DynamicObject, Kind};
use crate::engines::kubernetes::label_selector;
use crate::run::EngineError;

/// The pods of a namespace that have a claim mounted, or wait for it; those that have ended don't count.
pub async fn pods_using(cluster: &Cluster, namespace: &str, claim: &str) -> Result<Vec<String>, EngineError> {
    Ok(names(&using(cluster, namespace, claim).await?))
}

/// The same, as they are.
pub(super) async fn using(cluster: &Cluster, namespace: &str, claim: &str) -> Result<Vec<DynamicObject>, EngineError> {
    let mut pods = live_pods(cluster, namespace, None).await?;
    pods.retain(|pod| mounts(pod, pod.metadata.name.as_deref().unwrap_or_default(), claim));
    Ok(pods)
}

/// What pods are called, in order.
pub(super) fn names(pods: &[DynamicObject]) -> Vec<String> {
    let mut names: Vec<String> = pods.iter().filter_map(|pod| pod.metadata.name.clone()).collect();
    names.sort();
    names
}

/// Those of them that nothing in `quiesce` takes down: while they run, the claim is not to be written.
pub async fn pods_in_the_way(
    cluster: &Cluster,
    quiesce: &Quiesce,
    namespace: &str,
    claim: &str,
) -> Result<Vec<String>, EngineError> {
    Ok(names(&in_the_way(cluster, quiesce, namespace, claim).await?))
}

/// The same, as they are.
pub(super) async fn in_the_way(
    cluster: &Cluster,
    quiesce: &Quiesce,
    namespace: &str,
    claim: &str,
) -> Result<Vec<DynamicObject>, EngineError> {
    let mut left = using(cluster, namespace, claim).await?;
    for named in quiesce.named.iter().filter(|named| named.namespace == namespace) {
        if left.is_empty() {
            break;
        }
        let gone = taken_down(cluster, named).await?;
        left.retain(|pod| !gone.iter().any(|gone| gone.metadata.name == pod.metadata.name));
    }
    Ok(left)
}

/// The pods that go, or are waited for, when an object is taken down.
async fn taken_down(cluster: &Cluster, named: &Named) -> Result<Vec<DynamicObject>, EngineError> {
    let (kind, namespace) = (&named.kind.kind, &named.namespace);
    let starts_jobs = jobs::are_started_by(kind);
    if named.kind.manner != Manner::Replicas && !starts_jobs {
        return Ok(Vec::new());
    }
    let Some(object) = read(cluster, kind, namespace, &named.name).await? else { return Ok(Vec::new()) };
    if starts_jobs {
        return jobs::pods_of(cluster, namespace, &jobs::at_work(cluster, namespace, &object).await?).await;
    }
    match selector(&object) {
        Some(selector) => live_pods(cluster, namespace, Some(&selector)).await,
        None => Ok(Vec::new()),
    }
}

fn mounts(pod: &DynamicObject, name: &str, claim: &str) -> bool {
    let volumes = pod.data["spec"]["volumes"].as_array().map(Vec::as_slice).unwrap_or_default();
    volumes.iter().any(|volume| {
        let named = volume["persistentVolumeClaim"]["claimName"] == claim;
        let own = volume["ephemeral"].is_object()
            && format!("{name}-{}", volume["name"].as_str().unwrap_or_default()) == claim;
        named || own
    })
}

/// Pods that have not ended. One that was evicted stays listed for a long time, and has no process.
pub(super) async fn live_pods(
    cluster: &Cluster,
    namespace: &str,
    labels: Option<&str>,
) -> Result<Vec<DynamicObject>, EngineError> {
    let mut pods = cluster.list(&Kind::POD, Some(namespace), labels).await.map_err(failed)?;
    pods.retain(|pod| {
        let phase = pod.data.get("status").and_then(|status| status["phase"].as_str());
        !matches!(phase, Some("Succeeded" | "Failed"))
    });
    Ok(pods)
}

/// The label selector of a workload, as a list takes it.
pub(super) fn selector(workload: &DynamicObject) -> Option<String> {
    let terms = label_selector::terms(&workload.data["spec"]["selector"]);
    (!terms.is_empty()).then(|| terms.join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_selector_is_what_a_list_takes() {
        let workload = |selector: Value| {
            let object = json!({ "metadata": { "name": "web" }, "spec": { "selector": selector } });
            selector_of(object)
        };
        let both = json!({ "matchLabels": { "app": "web", "tier": "front" }, "matchExpressions": [
            { "key": "color", "operator": "In", "values": ["blue", "green"] },
            { "key": "old", "operator": "DoesNotExist" },
        ] });
        assert_eq!(workload(both).as_deref(), Some("app=web,tier=front,color in (blue,green),!old"));
        assert_eq!(workload(json!({})), None);
    }

    fn selector_of(object: Value) -> Option<String> {
        selector(&serde_json::from_value(object).unwrap())
    }
}
