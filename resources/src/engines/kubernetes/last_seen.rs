//! What a cluster shows of work that has not come to its end, for whoever can't wait any longer: what the engine said last, and
//! what its pods and their volumes wait for.

use serde_json::Value;

use crate::connections::kubernetes::{Cluster, DynamicObject, Kind};

/// How many pods, and how many claims, are named.
const SHOWN: usize = 3;

/// How much of a message is shown.
const LETTERS: usize = 300;

/// What is there of an object. One that can't be read is said to be so.
pub async fn object(cluster: &Cluster, kind: &Kind, namespace: &str, name: &str) -> Result<DynamicObject, String> {
    match cluster.get(kind, namespace, name).await {
        Ok(Some(object)) => Ok(object),
        Ok(None) => Err(format!("{} is not there", kind.called(namespace, name))),
        Err(error) => Err(error.to_string()),
    }
}

/// What an object says by the condition that changed last.
pub fn condition(kind: &Kind, namespace: &str, name: &str, object: &DynamicObject) -> String {
    let called = kind.called(namespace, name);
    let conditions = object.data["status"]["conditions"].as_array();
    let changed = |condition: &&Value| condition["lastTransitionTime"].as_str().unwrap_or_default().to_owned();
    let Some(last) = conditions.into_iter().flatten().max_by_key(changed) else {
        return format!("{called} has no condition yet, so nobody may work on it");
    };
    let text = |field: &str| last[field].as_str().unwrap_or_default();
    let message = shortened(text("message"));
    let said = if message.is_empty() { String::new() } else { format!(": {message}") };
    format!("{called} has the condition {} = {} ({}){said}", text("type"), text("status"), text("reason"))
}

/// What these pods wait for: a node, an image, a volume. Of those that run only that they do.
pub async fn pods(cluster: &Cluster, namespace: &str, pods: &[DynamicObject]) -> Vec<String> {
    let mut seen: Vec<String> = pods.iter().filter_map(|pod| waits(namespace, pod)).take(SHOWN).collect();
    let mut claims: Vec<String> = pods.iter().flat_map(mounted).collect();
    claims.sort();
    claims.dedup();
    for claim in claims {
        if let Ok(Some(found)) = cluster.get(&Kind::PVC, namespace, &claim).await {
            seen.extend(unbound(namespace, &found));
        }
    }
    seen
}

/// Everything in a namespace that waits: pods that have not begun, and claims without a volume.
pub async fn waiting_in(cluster: &Cluster, namespace: &str) -> Vec<String> {
    let pods = cluster.list(&Kind::POD, Some(namespace), None).await.unwrap_or_default();
    let claims = cluster.list(&Kind::PVC, Some(namespace), None).await.unwrap_or_default();
    let pending = pods.iter().filter(|pod| pod.data["status"]["phase"] == "Pending");
    let pods = pending.filter_map(|pod| waits(namespace, pod)).take(SHOWN);
    pods.chain(claims.iter().filter_map(|claim| unbound(namespace, claim)).take(SHOWN)).collect()
}

/// A claim that has no volume.
pub fn unbound(namespace: &str, claim: &DynamicObject) -> Option<String> {
    let phase = claim.data["status"]["phase"].as_str().unwrap_or("Pending");
    if phase == "Bound" {
        return None;
    }
    let called = Kind::PVC.called(namespace, claim.metadata.name.as_deref().unwrap_or_default());
    let class = match claim.data["spec"]["storageClassName"].as_str() {
        Some(class) => format!("its storage class is `{class}`"),
        None => "it names no storage class, and the cluster may have no default one".to_owned(),
    };
    Some(format!("{called} is not bound to a volume ({phase}): {class}"))
}

/// The claims that a pod has mounted, or waits for.
fn mounted(pod: &DynamicObject) -> Vec<String> {
    let volumes = pod.data["spec"]["volumes"].as_array().into_iter().flatten();
    volumes.filter_map(|volume| volume["persistentVolumeClaim"]["claimName"].as_str().map(str::to_owned)).collect()
}

fn waits(namespace: &str, pod: &DynamicObject) -> Option<String> {
    let called = Kind::POD.called(namespace, pod.metadata.name.as_deref().unwrap_or_default());
    let status = &pod.data["status"];
    let unscheduled = status["conditions"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "PodScheduled" && condition["status"] == "False");
    if let Some(condition) = unscheduled {
        let why = shortened(condition["message"].as_str().unwrap_or("the scheduler gives no reason"));
        return Some(format!("{called} has no node: {why}"));
    }
    let containers = ["initContainerStatuses", "containerStatuses"];
    let containers = containers.iter().flat_map(|list| status[*list].as_array().into_iter().flatten());
    if let Some(waiting) = containers.map(|container| &container["state"]["waiting"]).find(|waiting| !waiting.is_null())
    {
        let message = shortened(waiting["message"].as_str().unwrap_or_default());
        let said = if message.is_empty() { String::new() } else { format!(": {message}") };
        return Some(format!("{called} waits ({}){said}", waiting["reason"].as_str().unwrap_or("no reason")));
    }
    match status["phase"].as_str()? {
        "Succeeded" => None,
        phase => Some(format!("{called} is {phase}")),
    }
}

fn shortened(message: &str) -> String {
    let message = message.trim().trim_end_matches('.');
    match message.char_indices().nth(LETTERS) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engines::kubernetes::quiesce::tests::api::Api;
    use crate::engines::volsync::SOURCE;

    fn read(object: Value) -> DynamicObject {
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn an_object_says_what_its_newest_condition_says() {
        let said = |conditions: Value| {
            let object = read(json!({ "metadata": { "name": "x" }, "status": { "conditions": conditions } }));
            condition(&SOURCE, "apps", "x", &object)
        };
        let older = json!({ "type": "Ready", "status": "True", "reason": "Ready",
            "lastTransitionTime": "2026-11-20T10:00:00Z" });
        let newer = json!({ "type": "Synchronizing", "status": "False", "reason": "Error", "message": "no such Secret.",
            "lastTransitionTime": "2026-11-20T10:00:07Z" });
        let expected = "ReplicationSource apps/x has the condition Synchronizing = False (Error): no such Secret";
        assert_eq!(said(json!([newer, older])), expected);
        assert!(said(json!([])).contains("has no condition yet"));
    }

    #[tokio::test]
    async fn a_pod_is_said_to_wait_for_a_node_an_image_or_a_volume() {
        let api = Api::new();
        let unscheduled = json!({ "phase": "Pending", "conditions": [
            { "type": "PodScheduled", "status": "False", "message": "0/1 nodes are available." }] });
        let unpulled = json!({ "phase": "Pending", "containerStatuses": [
            { "state": { "waiting": { "reason": "ImagePullBackOff", "message": "no such image" } } }] });
        let volumes = json!([{ "name": "data", "persistentVolumeClaim": { "claimName": "data" } }]);
        let pod = |name: &str, status: Value| {
            read(json!({ "metadata": { "name": name }, "spec": { "volumes": volumes }, "status": status }))
        };
        let claim = json!({ "spec": { "storageClassName": "fast" }, "status": { "phase": "Pending" } });
        api.put(&Kind::PVC, "apps", "data", claim);
        let pods =
            [pod("a", unscheduled), pod("b", unpulled), pod("c", json!({ "phase": "Running" })), pod("d", json!({}))];
        let expected = [
            "Pod apps/a has no node: 0/1 nodes are available",
            "Pod apps/b waits (ImagePullBackOff): no such image",
            "Pod apps/c is Running",
            "PersistentVolumeClaim apps/data is not bound to a volume (Pending): its storage class is `fast`",
        ];
        assert_eq!(super::pods(&api.cluster(), "apps", &pods).await, expected);
        let bound = json!({ "spec": {}, "status": { "phase": "Bound" } });
        api.put(&Kind::PVC, "apps", "data", bound);
        assert_eq!(super::pods(&api.cluster(), "apps", &pods[2..]).await, expected[2..3]);
    }

    #[tokio::test]
    async fn what_waits_in_a_namespace_is_found_without_a_name() {
        let api = Api::new();
        let waiting = json!({ "status": { "phase": "Pending", "initContainerStatuses": [
            { "state": { "waiting": { "reason": "ContainerCreating" } } }] } });
        api.put(&Kind::POD, "docs", "web", waiting);
        api.put(&Kind::POD, "docs", "fine", json!({ "status": { "phase": "Running" } }));
        api.put(&Kind::PVC, "docs", "data", json!({ "spec": {}, "status": { "phase": "Pending" } }));
        let seen = waiting_in(&api.cluster(), "docs").await;
        assert_eq!(seen[0], "Pod docs/web waits (ContainerCreating)");
        assert!(seen[1].starts_with("PersistentVolumeClaim docs/data is not bound"), "{seen:?}");
        assert_eq!(seen.len(), 2);
    }
}
