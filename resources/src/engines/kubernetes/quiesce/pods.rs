//! Pods: those of a workload, and those that have a claim mounted.

use serde_json::Value;

use super::kinds::Manner;
use super::model::{Named, Quiesce};
use super::{failed, read};
use crate::connections::kubernetes::{Cluster, DynamicObject, Kind};
use crate::run::EngineError;

/// The pods of a namespace that have a claim mounted, or wait for it; those that have ended don't count.
pub async fn pods_using(cluster: &Cluster, namespace: &str, claim: &str) -> Result<Vec<String>, EngineError> {
    let pods = live_pods(cluster, namespace, None).await?;
    let name = |pod: &DynamicObject| pod.metadata.name.clone().unwrap_or_default();
    let mut names: Vec<String> = pods.iter().filter(|pod| mounts(pod, &name(pod), claim)).map(name).collect();
    names.sort();
    Ok(names)
}

/// Those of them that nothing in `quiesce` scales down: while they run, the claim is not to be written.
pub async fn pods_in_the_way(
    cluster: &Cluster,
    quiesce: &Quiesce,
    namespace: &str,
    claim: &str,
) -> Result<Vec<String>, EngineError> {
    let mut names = pods_using(cluster, namespace, claim).await?;
    let scaled = |named: &&Named| named.kind.manner == Manner::Replicas && named.namespace == namespace;
    for named in quiesce.named.iter().filter(scaled) {
        if names.is_empty() {
            break;
        }
        let Some(workload) = read(cluster, &named.kind.kind, namespace, &named.name).await? else { continue };
        let Some(selector) = selector(&workload) else { continue };
        let pods = live_pods(cluster, namespace, Some(&selector)).await?;
        names.retain(|name| !pods.iter().any(|pod| pod.metadata.name.as_ref() == Some(name)));
    }
    Ok(names)
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
    let selector = &workload.data["spec"]["selector"];
    let labels = selector["matchLabels"].as_object();
    let equal = |(name, value): (&String, &Value)| format!("{name}={}", value.as_str().unwrap_or_default());
    let mut terms: Vec<String> = labels.into_iter().flatten().map(equal).collect();
    terms.extend(selector["matchExpressions"].as_array().into_iter().flatten().filter_map(expression));
    (!terms.is_empty()).then(|| terms.join(","))
}

fn expression(expression: &Value) -> Option<String> {
    let key = expression["key"].as_str()?;
    let values: Vec<&str> = expression["values"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    match expression["operator"].as_str()? {
        "In" => Some(format!("{key} in ({})", values.join(","))),
        "NotIn" => Some(format!("{key} notin ({})", values.join(","))),
        "Exists" => Some(key.to_owned()),
        "DoesNotExist" => Some(format!("!{key}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
