//! Pods are waited for when a workload goes down and when it comes back; what is under way is waited for too.

use super::super::kinds::{APPLICATION, KUSTOMIZATION};
use super::super::{pods_in_the_way, pods_using};
use super::*;

#[tokio::test]
async fn workloads_go_to_zero_and_come_back_with_as_many_replicas() {
    for (entry, kind) in [
        ("deployment/web", Kind::DEPLOYMENT),
        ("statefulset/web", Kind::STATEFUL_SET),
        ("replicaset/web", Kind::REPLICA_SET),
    ] {
        let api = Api::new();
        workload(&api, &kind, "web");
        let steps = take_down(&pause(&api, &[], &[entry])).await.unwrap();
        assert_eq!(api.get(&kind, NAMESPACE, "web")["spec"]["replicas"], 0);
        assert!(pods_using(&api.cluster(), NAMESPACE, "any").await.unwrap().is_empty());
        let later = pause(&api, &[], &[]);
        bring_back(&later, &steps).await;
        assert_eq!(api.get(&kind, NAMESPACE, "web")["spec"]["replicas"], 3);
        assert!(later.settle().await.is_empty());
    }
}

#[tokio::test]
async fn a_workload_at_zero_stays_at_zero() {
    let api = Api::new();
    workload(&api, &Kind::DEPLOYMENT, "web");
    api.put(
        &Kind::DEPLOYMENT,
        NAMESPACE,
        "web",
        json!({ "spec": { "replicas": 0, "selector": { "matchLabels": { "app": "web" } } } }),
    );
    let pause = pause(&api, &[], &["deployment/web"]);
    let steps = take_down(&pause).await.unwrap();
    assert_eq!(steps.len(), 1);
    bring_back(&pause, &steps).await;
    assert_eq!(api.get(&Kind::DEPLOYMENT, NAMESPACE, "web")["spec"]["replicas"], 0);
    assert!(!api.requests().iter().any(|request| request.starts_with("PATCH")));
}

#[tokio::test]
async fn pods_that_end_slowly_are_waited_for_and_those_that_have_ended_are_not() {
    let api = Api::new();
    api.put(
        &Kind::DEPLOYMENT,
        NAMESPACE,
        "web",
        json!({ "spec": { "replicas": 2, "selector": { "matchLabels": { "app": "web" } } } }),
    );
    api.put(
        &Kind::POD,
        NAMESPACE,
        "evicted",
        json!({ "metadata": { "labels": { "app": "web" } }, "status": { "phase": "Failed" } }),
    );
    api.put(&Kind::POD, NAMESPACE, "slow", a_pod("slow", "web"));
    let slow = api::address(&Kind::POD, NAMESPACE, "slow");
    let mut looks = 0;
    let deployment = api::address(&Kind::DEPLOYMENT, NAMESPACE, "web");
    api.controller(move |objects| {
        looks += i32::from(objects[&deployment]["spec"]["replicas"] == 0);
        if looks > 6 {
            objects.remove(&slow);
        }
    });
    let pause = pause(&api, &[], &["deployment/web"]);
    let steps = pause.application().await.unwrap();
    pause.change(&steps[0]).await.unwrap();
    assert_eq!(api.get(&Kind::POD, NAMESPACE, "slow"), Value::Null);
    assert_ne!(api.get(&Kind::POD, NAMESPACE, "evicted"), Value::Null);
}

#[tokio::test]
async fn pods_that_do_not_go_are_named_with_what_keeps_them() {
    let api = Api::new();
    api.put(
        &Kind::DEPLOYMENT,
        NAMESPACE,
        "web",
        json!({ "spec": { "replicas": 1, "selector": { "matchLabels": { "app": "web" } } } }),
    );
    let mut kept = a_pod("kept", "web");
    kept["metadata"]["finalizers"] = json!(["example.org/hold"]);
    api.put(&Kind::POD, NAMESPACE, "kept", kept);
    api.put(&Kind::POD, NAMESPACE, "lost", a_pod("lost", "web"));
    let error = take_down(&pause(&api, &[], &["deployment/web"])).await.unwrap_err();
    insta::assert_snapshot!(error.message);
}

#[tokio::test]
async fn pods_that_do_not_come_back_are_a_warning() {
    let api = Api::new();
    let selector = json!({ "matchLabels": { "app": "web" } });
    api.put(&Kind::DEPLOYMENT, NAMESPACE, "web", json!({ "spec": { "replicas": 3, "selector": selector } }));
    let pause = pause(&api, &[], &["deployment/web"]);
    let steps = take_down(&pause).await.unwrap();
    bring_back(&pause, &steps).await;
    let address = api::address(&Kind::DEPLOYMENT, NAMESPACE, "web");
    api.controller(move |objects| objects.get_mut(&address).unwrap()["status"] = json!({ "readyReplicas": 1 }));
    let warnings = pause.settle().await;
    assert_eq!(
        warnings,
        ["Deployment paperless/web was scaled back and is not ready after 0 s: 1 of 3 pods are ready"]
    );
}

#[tokio::test]
async fn a_reconciliation_under_way_is_waited_for_and_one_between_two_attempts_is_not() {
    let reconciling = |reason: &str| json!({ "spec": {}, "status": { "conditions": [{ "type": "Reconciling", "status": "True", "reason": reason }] } });
    let api = Api::new();
    api.put(&KUSTOMIZATION, NAMESPACE, "failing", reconciling("ProgressingWithRetry"));
    take_down(&pause(&api, &["kustomization/failing"], &[])).await.unwrap();

    api.put(&KUSTOMIZATION, NAMESPACE, "busy", reconciling("Progressing"));
    let busy = pause(&api, &["kustomization/busy"], &[]);
    let error = take_down(&busy).await.unwrap_err();
    assert!(error.message.starts_with("Kustomization paperless/busy is still reconciling"), "{}", error.message);

    let address = api::address(&KUSTOMIZATION, NAMESPACE, "busy");
    let mut looks = 0;
    api.controller(move |objects| {
        looks += 1;
        if looks > 6 {
            objects.get_mut(&address).unwrap()["status"] = json!({});
        }
    });
    take_down(&busy).await.unwrap();
}

#[tokio::test]
async fn a_sync_under_way_is_waited_for() {
    for under_way in
        [json!({ "operation": { "sync": {} } }), json!({ "status": { "operationState": { "phase": "Running" } } })]
    {
        let api = Api::new();
        let mut application = json!({ "spec": { "syncPolicy": { "automated": {} } } });
        application.as_object_mut().unwrap().extend(under_way.as_object().unwrap().clone());
        api.put(&APPLICATION, NAMESPACE, "web", application);
        let pause = pause(&api, &["application/web"], &[]);
        let error = take_down(&pause).await.unwrap_err();
        assert!(error.message.starts_with("Application paperless/web is still being synced"), "{}", error.message);
        let address = api::address(&APPLICATION, NAMESPACE, "web");
        let mut looks = 0;
        api.controller(move |objects| {
            looks += 1;
            if looks > 4 {
                let application = objects.get_mut(&address).unwrap().as_object_mut().unwrap();
                application.remove("operation");
                application.insert("status".into(), json!({ "operationState": { "phase": "Succeeded" } }));
            }
        });
        take_down(&pause).await.unwrap();
    }
}

#[tokio::test]
async fn pods_that_mount_a_claim_are_found_by_name_and_by_their_own_volumes() {
    let api = Api::new();
    let with = |phase: &str, volume: Value| json!({ "spec": { "volumes": [volume] }, "status": { "phase": phase } });
    let named = json!({ "name": "data", "persistentVolumeClaim": { "claimName": "data" } });
    api.put(&Kind::POD, NAMESPACE, "b", with("Running", named.clone()));
    api.put(&Kind::POD, NAMESPACE, "a", with("Pending", named.clone()));
    api.put(&Kind::POD, NAMESPACE, "done", with("Succeeded", named.clone()));
    api.put(&Kind::POD, NAMESPACE, "other", with("Running", json!({ "name": "data", "emptyDir": {} })));
    api.put(&Kind::POD, "elsewhere", "c", with("Running", named));
    api.put(&Kind::POD, NAMESPACE, "own", with("Running", json!({ "name": "scratch", "ephemeral": {} })));
    let cluster = api.cluster();
    assert_eq!(pods_using(&cluster, NAMESPACE, "data").await.unwrap(), ["a", "b"]);
    assert_eq!(pods_using(&cluster, NAMESPACE, "own-scratch").await.unwrap(), ["own"]);
}

#[tokio::test]
async fn a_pod_that_nothing_scales_down_is_in_the_way_of_a_claim() {
    let api = Api::new();
    let selector = json!({ "matchLabels": { "app": "web" } });
    api.put(&Kind::DEPLOYMENT, NAMESPACE, "web", json!({ "spec": { "replicas": 1, "selector": selector } }));
    for name in ["web", "debug"] {
        let mut pod = a_pod(name, name);
        pod["spec"]["volumes"] = json!([{ "persistentVolumeClaim": { "claimName": "data" } }]);
        api.put(&Kind::POD, NAMESPACE, name, pod);
    }
    let cluster = api.cluster();
    let in_the_way = async |quiesce: Quiesce| pods_in_the_way(&cluster, &quiesce, NAMESPACE, "data").await.unwrap();
    assert_eq!(in_the_way(quiesce(&[], &["deployment/web"])).await, ["debug"]);
    assert_eq!(in_the_way(quiesce(&[], &["elsewhere/deployment/web"])).await, ["debug", "web"]);
}
