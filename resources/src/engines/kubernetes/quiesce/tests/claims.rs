//! A claim that is deleted and made again, also when the process is killed in between.

use super::super::Claim;
use super::super::claim::recreate_within;
use super::*;

const BOUND: Duration = Duration::from_millis(150);
const LOOK: Duration = Duration::from_millis(5);

fn claim() -> Value {
    json!({
        "metadata": {
            "labels": { "app": "paperless" },
            "annotations": {
                "mine": "kept",
                "pv.kubernetes.io/bind-completed": "yes",
                "volume.kubernetes.io/selected-node": "one",
                "volume.beta.kubernetes.io/storage-provisioner": "x",
                "volume.beta.kubernetes.io/storage-class": "kept-too",
            },
            "uid": "old",
            "finalizers": [],
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": "fast", "volumeMode": "Filesystem", "volumeName": "pv-1",
            "resources": { "requests": { "storage": "10Gi" } },
            "dataSourceRef": { "kind": "ReplicationDestination", "name": "from-git", "apiGroup": "volsync.backube" },
        },
        "status": { "phase": "Bound" },
    })
}

async fn kept(api: &Api) -> Claim {
    api.put(&Kind::PVC, NAMESPACE, "data", claim());
    Claim::read(&api.cluster(), NAMESPACE, "data").await.unwrap().unwrap()
}

async fn recreate(api: &Api, claim: &Claim, from: Option<Value>) -> Result<String, EngineError> {
    recreate_within(&api.cluster(), claim, from, BOUND, LOOK).await
}

#[tokio::test]
async fn a_claim_is_made_again_with_what_is_the_users() {
    let api = Api::new();
    let claim = kept(&api).await;
    let uid = recreate(&api, &claim, None).await.unwrap();
    let made = api.get(&Kind::PVC, NAMESPACE, "data");
    assert_eq!(made["metadata"]["uid"], uid);
    insta::assert_json_snapshot!(json!({ "metadata": { "labels": made["metadata"]["labels"],
        "annotations": made["metadata"]["annotations"] }, "spec": made["spec"] }));
    // Again, as after a kill: it is there, and it is ours.
    assert_eq!(recreate(&api, &claim, None).await.unwrap(), uid);
}

#[tokio::test]
async fn what_fills_the_new_claim_is_the_engines() {
    let api = Api::new();
    let claim = kept(&api).await;
    let from = json!({ "kind": "VolumeSnapshot", "name": "s", "apiGroup": "snapshot.storage.k8s.io" });
    recreate(&api, &claim, Some(from.clone())).await.unwrap();
    assert_eq!(api.get(&Kind::PVC, NAMESPACE, "data")["spec"]["dataSourceRef"], from);
}

#[tokio::test]
async fn a_claim_that_a_pod_uses_is_not_touched() {
    let api = Api::new();
    let claim = kept(&api).await;
    let volume = json!({ "persistentVolumeClaim": { "claimName": "data" } });
    api.put(&Kind::POD, NAMESPACE, "web", json!({ "spec": { "volumes": [volume] }, "status": { "phase": "Running" } }));
    let error = recreate(&api, &claim, None).await.unwrap_err();
    insta::assert_snapshot!(error.message);
    assert!(error.before_first_write);
    assert!(!api.requests().iter().any(|request| request.starts_with("DELETE")));
}

#[tokio::test]
async fn a_foreign_finalizer_is_named() {
    let api = Api::new();
    let mut object = self::claim();
    object["metadata"]["finalizers"] = json!(["kubernetes.io/pvc-protection", "snapshot.example.org/source"]);
    api.put(&Kind::PVC, NAMESPACE, "data", object);
    let claim = Claim::read(&api.cluster(), NAMESPACE, "data").await.unwrap().unwrap();
    let error = recreate(&api, &claim, None).await.unwrap_err();
    insta::assert_snapshot!(error.message);
}

#[tokio::test]
async fn a_claim_that_somebody_else_made_meanwhile_is_refused() {
    let api = Api::new();
    let claim = kept(&api).await;
    let mut other = self::claim();
    other["metadata"]["uid"] = "another".into();
    let mut set = json!({ "spec": { "accessModes": [] } });
    api::own(&mut set, &mut other, "argocd-controller");
    api.put(&Kind::PVC, NAMESPACE, "data", other);
    let error = recreate(&api, &claim, None).await.unwrap_err();
    assert!(error.message.contains("made again by argocd-controller"), "{}", error.message);
}

#[tokio::test]
async fn a_claim_that_was_deleted_when_the_process_died_is_in_the_record_and_comes_back() {
    let api = Api::new();
    kept(&api).await;
    let keeping = pause(&api, &[], &[]).keeping_claim(NAMESPACE, "data");
    let steps = take_down(&keeping).await.unwrap();
    let mut record = crate::ledger::Record::new(crate::ledger::JobKind::Restore, "k", "n", "volsync", "t");
    record.undo = steps.clone();
    let claim = Claim::remembered(&record, NAMESPACE, "data").unwrap().unwrap();
    assert_eq!(claim, kept(&api).await);
    api.remove(&Kind::PVC, NAMESPACE, "data");
    // The next attempt goes on.
    recreate(&api, &claim, None).await.unwrap();
    bring_back(&pause(&api, &[], &[]), &steps).await;
    assert!(api.get(&Kind::PVC, NAMESPACE, "data")["spec"]["dataSourceRef"].is_null());
    // Or there is none, and the claim is as it was.
    api.remove(&Kind::PVC, NAMESPACE, "data");
    bring_back(&pause(&api, &[], &[]), &steps).await;
    let back = api.get(&Kind::PVC, NAMESPACE, "data");
    assert_eq!(back["spec"]["dataSourceRef"]["name"], "from-git");
    assert!(back["spec"]["volumeName"].is_null());
}
