//! Restores from decision to end, against an API server that plays Velero's part.

use std::time::Duration;

use super::*;
use crate::engines::kubernetes::watch::Watches;
use crate::engines::velero::testing::{Api, Storage, backup, file_volume, packed};
use crate::ledger::{LedgerStore, PathLedger, StoreLedger, Verdict};
use crate::run::{
    Cancel, Memory, OnFailure, Outcome, RestoreJob, RestoreParts, RestoreResult, RunError, TargetState, When,
};

const DOCS: &str = "/api/v1/namespaces/docs";
const CLAIM: &str = "/api/v1/namespaces/docs/persistentvolumeclaims/data";

struct World {
    api: Api,
    storage: Storage,
    _folder: tempfile::TempDir,
    ledger: PathLedger,
    seen: StoreLedger,
    engine: NamespaceRestore,
    job: RestoreJob,
    /// The spec of the claim that comes back.
    claim: Value,
}

impl World {
    /// A bucket with one backup `monday` of namespace docs, a cluster that knows it and has lost the namespace.
    async fn new() -> Self {
        let (api, storage, folder) = (Api::new(), Storage::new(), tempfile::tempdir().unwrap());
        api.put_velero("backupstoragelocations", "default", location("2026-11-21T10:00:00Z"));
        storage.backup("monday", "Completed", 1, &["docs"]).await;
        storage.volumes("monday", json!([file_volume("data", 42)])).await;
        storage
            .resources(
                "monday",
                json!({ "v1/PersistentVolumeClaim": ["docs/data"], "v1/ConfigMap": ["docs/settings"] }),
            )
            .await;
        api.put_velero("backups", "monday", backup("monday", "Completed", 1, &["docs"]));
        let server = Server {
            cluster: api.cluster(),
            namespace: "velero".into(),
            watches: Watches::every(Duration::from_millis(5)),
        };
        let selection = Selection { namespaces: vec!["docs".into()], ..Selection::default() };
        let engine = NamespaceRestore {
            server,
            bucket: storage.bucket(),
            place: ("velero-prod".into(), "prod".into()),
            location: None,
            series: Series { namespaces: vec!["docs".into()], schedule: None },
            selection,
            spec: json!({ "includedNamespaces": ["docs"] }),
            existing_claims: ExistingClaims::Refuse,
            storage_classes: Vec::new(),
            accept_partially_failed: false,
        };
        let job = RestoreJob {
            engine: "velero".into(),
            server_uid: Some("uid-of-prod".into()),
            target: "docs".into(),
            series: "repository".into(),
            when: When::TargetMissing,
            ..RestoreJob::for_tests()
        };
        let ledger = PathLedger::new(&folder.path().join("docs")).unwrap();
        let seen = StoreLedger::new(storage.store(), "ledger");
        World { api, storage, _folder: folder, ledger, seen, engine, job, claim: json!({}) }
    }

    /// What a Restore of this job is called.
    fn name(&self) -> String {
        engine_object_name("docs", &self.job.key())
    }

    /// A restore that takes two looks, ends so, and brings the claim back.
    async fn ends(&self, phase: &str) {
        let progress = json!({ "totalItems": 2, "itemsRestored": 1 });
        self.api.plays(
            "restores",
            [
                json!({ "phase": "InProgress", "progress": progress }),
                json!({ "phase": phase, "errors": 1, "progress": { "totalItems": 2, "itemsRestored": 2 } }),
            ],
        );
        self.leaves(&self.name()).await;
    }

    /// What Velero writes about a Restore that brings the claim back.
    async fn leaves(&self, name: &str) {
        let written =
            json!({ "v1/PersistentVolumeClaim": ["docs/data(created)"], "v1/ConfigMap": ["docs/settings(created)"] });
        self.storage.put_packed(&format!("restores/{name}/restore-{name}-resource-list.json.gz"), &written).await;
        let complaints =
            json!({ "errors": { "namespaces": { "docs": ["could not restore settings"] } }, "warnings": {} });
        self.storage.put_packed(&format!("restores/{name}/restore-{name}-results.gz"), &complaints).await;
        self.storage.put_packed(&format!("restores/{name}/{name}-volumeinfo.json.gz"), &json!([filled("data")])).await;
    }

    /// A restore of everything that has such a list of what it filled.
    async fn ends_having_filled(&self, volumes: Value) {
        self.ends("Completed").await;
        let name = self.name();
        self.storage.put_packed(&format!("restores/{name}/{name}-volumeinfo.json.gz"), &volumes).await;
    }

    /// A backup of this volume alone, and a restore that fills none by Velero's list.
    async fn unfilled(volume: Value) -> Self {
        let world = World::new().await;
        world.storage.volumes("monday", json!([volume])).await;
        world.ends_having_filled(json!([])).await;
        world
    }

    /// The error of a restore whose claim comes back.
    async fn failure(&self) -> String {
        self.fills();
        self.run().await.unwrap_err().to_string()
    }

    /// The warnings of a restore whose claim comes back.
    async fn warnings(&self) -> Vec<String> {
        self.fills();
        let result = self.run().await.unwrap();
        result.warnings
    }

    /// What Velero does meanwhile: the namespace and its claim are there once the Restore is.
    fn fills(&self) {
        self.fills_by(&self.name());
    }

    fn fills_by(&self, restore: &str) {
        let claim = json!({ "metadata": { "labels": { labels::RESTORE: restore } }, "spec": self.claim });
        self.api.follow(restore, [(DOCS, json!({})), (CLAIM, claim)]);
    }

    async fn run(&self) -> Result<RestoreResult, RunError> {
        let parts = RestoreParts {
            ledger: &self.ledger,
            memory: Memory { storage: Some(&self.seen), siblings: None },
            engine: &self.engine,
            pause: None,
            safety: Some(&self.engine),
            order: self.engine.order().unwrap_or(QuiesceOrder::QuiesceFirst),
            cancel: Cancel::never(),
        };
        let limit = Duration::from_secs(20);
        tokio::time::timeout(limit, crate::run::restore(&self.job, &parts)).await.expect("it ends")
    }

    async fn refusal(&self) -> String {
        let error = self.run().await.unwrap_err();
        assert!(matches!(error, RunError::BeforeWriting { .. }), "{error}");
        error.to_string()
    }
}

/// A volume that was filled through a pod, in the list of a Restore.
fn filled(claim: &str) -> Value {
    json!({
        "pvcName": claim, "pvcNamespace": "docs", "restoreMethod": "PodVolumeRestore", "snapshotDataMoved": false,
        "pvrInfo": { "size": 42, "podName": "web-0", "podNamespace": "docs", "volumeName": "data", "snapshotHandle": "k1" },
    })
}

/// What fills the volume of the pod, as it stands on the cluster.
fn filler(restore: &str, phase: &str) -> Value {
    json!({
        "metadata": { "labels": { labels::RESTORE: restore } },
        "spec": { "pod": { "namespace": "docs", "name": "web-0" }, "volume": "data" },
        "status": { "phase": phase },
    })
}

fn location(synced: &str) -> Value {
    json!({
        "spec": { "provider": "aws", "objectStorage": { "bucket": "velero-prod", "prefix": "prod/" } },
        "status": { "phase": "Available", "lastSyncedTime": synced },
    })
}

#[tokio::test]
async fn a_lost_namespace_comes_back_once() {
    let world = World::new().await;
    world.ends("Completed").await;
    world.fills();
    let result = world.run().await.unwrap();
    assert_eq!((result.outcome, result.items, result.bytes), (Outcome::Restored, 2, 42));
    assert!(result.decision.starts_with("namespace docs does not exist on cluster `prod`"), "{}", result.decision);
    let made = world.api.made("restores");
    assert_eq!(made.len(), 1);
    assert_eq!(made[0]["metadata"]["name"], *world.name());
    assert_eq!(made[0]["metadata"]["labels"][labels::RUN], *world.job.key());
    assert_eq!(made[0]["spec"], json!({ "backupName": "monday", "includedNamespaces": ["docs"] }));
    let again = world.run().await.unwrap();
    assert!(again.adopted);
    assert_eq!(world.api.made("restores").len(), 1);
}

const MONDAY: &str = "/apis/velero.io/v1/namespaces/velero/backups/monday";

#[tokio::test]
async fn what_is_seen_last_of_a_restore_is_how_far_it_is_and_what_waits_in_its_namespaces() {
    let world = World::new().await;
    assert_eq!(world.engine.last_seen(None).await, None);
    world.api.put_velero("restores", "dr-docs", json!({ "status": {} }));
    let seen = async || world.engine.last_seen(Some("dr-docs")).await.unwrap();
    assert_eq!(seen().await, "Restore velero/dr-docs has no phase yet, so Velero has not begun with it");
    let progress = json!({ "totalItems": 80, "itemsRestored": 12 });
    world.api.put_velero("restores", "dr-docs", json!({ "status": { "phase": "InProgress", "progress": progress } }));
    world.api.put(CLAIM, json!({ "spec": {}, "status": { "phase": "Pending" } }));
    assert_eq!(
        seen().await,
        "Restore velero/dr-docs is InProgress, with 12 of 80 items; PersistentVolumeClaim docs/data is not bound to a volume \
         (Pending): it names no storage class, and the cluster may have no default one"
    );
}

#[tokio::test]
async fn a_point_is_kept_until_a_restore_of_it_succeeded() {
    let world = World::new().await;
    let soon = "2020-01-01T00:00:00Z";
    let mut known = backup("monday", "Completed", 1, &["docs"]);
    known["status"]["expiration"] = json!(soon);
    world.api.put_velero("backups", "monday", known.clone());
    world.ends("Failed").await;
    world.run().await.unwrap_err();
    let kept = world.api.get(MONDAY).unwrap();
    assert_ne!(kept["status"]["expiration"], soon, "the next attempt needs it");
    assert_eq!(kept["metadata"]["labels"][labels::KEPT], "true");

    world.ends("Completed").await;
    let second = format!("{}-2", world.name());
    world.leaves(&second).await;
    world.fills_by(&second);
    let result = world.run().await.unwrap();
    assert_eq!(result.outcome, Outcome::Restored);
    let now = world.api.get(MONDAY).unwrap();
    assert_eq!(now["status"], known["status"]);
    assert_eq!(now["metadata"]["labels"], known["metadata"]["labels"]);
    assert_eq!(now["metadata"]["annotations"], json!({}));
}

#[tokio::test]
async fn nothing_is_kept_where_velero_only_reads() {
    let world = World::new().await;
    let mut only_read = location("2026-11-21T10:00:00Z");
    only_read["spec"]["accessMode"] = json!("ReadOnly");
    world.api.put_velero("backupstoragelocations", "default", only_read);
    world.ends("Completed").await;
    world.fills();
    world.run().await.unwrap();
    assert!(!world.api.was_patched(MONDAY));
}

#[tokio::test]
async fn a_date_that_may_not_be_put_off_is_told_and_stops_no_restore() {
    let world = World::new().await;
    let mut known = backup("monday", "Completed", 1, &["docs"]);
    known["status"]["expiration"] = json!("2020-01-01T00:00:00Z");
    world.api.put_velero("backups", "monday", known);
    world.api.refuses("PATCH", MONDAY);
    world.ends("Completed").await;
    world.fills();
    let result = world.run().await.unwrap();
    let said = result.warnings.join("; ");
    assert!(said.contains("Velero removes the backup monday from 2020-01-01T00:00:00Z on"), "{said}");
    assert!(said.contains("could not be told to keep the recovery points"), "{said}");
}

#[tokio::test]
async fn a_backup_that_velero_is_removing_is_refused() {
    let world = World::new().await;
    let mut going = backup("monday", "Completed", 1, &["docs"]);
    going["status"]["phase"] = json!("Deleting");
    world.api.put_velero("backups", "monday", going);
    let error = world.refusal().await;
    assert!(error.contains("is removing the backup monday (it expires at 2026-12-20T02:00:00Z)"), "{error}");
    assert_eq!(world.api.writes(), 0);
}

#[tokio::test]
async fn a_restore_that_goes_with_its_backup_says_so() {
    let world = World::new().await;
    world.api.plays("restores", [json!({ "phase": "Deleting" })]);
    world.api.follow(&world.name(), [(MONDAY, json!({ "status": { "phase": "Deleting" } }))]);
    let error = world.run().await.unwrap_err().to_string();
    assert!(error.contains("while it ran: the backup monday that it read was removed meanwhile"), "{error}");
}

#[tokio::test]
async fn what_failed_in_part_is_an_error_with_velero_s_words_unless_it_is_accepted() {
    let mut world = World::new().await;
    world.ends("PartiallyFailed").await;
    world.fills();
    let error = world.run().await.unwrap_err().to_string();
    let said = format!(
        "the Restore velero/{} ended PartiallyFailed with 1 error: docs: could not restore settings",
        world.name()
    );
    assert!(error.contains(&said), "{error}");
    assert!(error.contains("accept_partially_failed = true"), "{error}");

    world = World::new().await;
    world.engine.accept_partially_failed = true;
    world.ends("PartiallyFailed").await;
    world.api.put_velero("podvolumerestores", "one", filler(&world.name(), "Completed"));
    world.fills();
    let result = world.run().await.unwrap();
    assert_eq!(result.warnings, ["the restore failed in part, which is accepted: docs: could not restore settings"]);
}

#[tokio::test]
async fn the_certificates_that_every_namespace_has_are_no_warning() {
    let skipped = "could not restore, ConfigMap \"kube-root-ca.crt\" already exists";
    for (lines, expected) in
        [(vec![skipped], None), (vec![skipped, "no class `fast`"], Some("Velero has 1 warning: docs: no class `fast`"))]
    {
        let world = World::new().await;
        world.ends("Completed").await;
        let progress = json!({ "totalItems": 2, "itemsRestored": 2 });
        let ended = json!({ "phase": "Completed", "warnings": lines.len(), "progress": progress });
        world.api.plays("restores", [json!({ "phase": "InProgress" }), ended]);
        let complaints = json!({ "errors": {}, "warnings": { "namespaces": { "docs": lines } } });
        let results = format!("restores/{0}/restore-{0}-results.gz", world.name());
        world.storage.put_packed(&results, &complaints).await;
        assert_eq!(world.warnings().await, Vec::from_iter(expected));
    }
}

#[tokio::test]
async fn what_velero_refuses_leaves_everything_as_it_was() {
    let world = World::new().await;
    let why = json!(["failed to get resource modifiers configmap velero/rules"]);
    world.api.plays("restores", [json!({ "phase": "FailedValidation", "validationErrors": why })]);
    let error = world.refusal().await;
    assert!(error.contains("failed to get resource modifiers configmap velero/rules"), "{error}");
    assert!(error.contains("nothing is changed"), "{error}");
}

#[tokio::test]
async fn claims_that_velero_would_skip_are_refused_before_anything_is_made() {
    let mut world = World::new().await;
    world.job.when = When::Always;
    world.job.safety_backup = false;
    world.api.put(DOCS, json!({}));
    world.api.put(CLAIM, json!({ "metadata": { "labels": { labels::RESTORE: "last-year" } } }));
    let error = world.refusal().await;
    assert!(error.contains("exist on cluster `prod` and Velero would skip them, with what is in them: docs/data (made by the Restore last-year)"), "{error}");
    assert_eq!(world.api.writes(), 0);
    // Without claims there is nothing to lose.
    world.engine.selection.excluded = vec!["persistentvolumeclaims".into()];
    world.ends("Completed").await;
    assert_eq!(world.run().await.unwrap().outcome, Outcome::Restored);
}

/// A claim is there, and is to be deleted; Velero saves it, or not, and makes it again.
async fn with_a_claim_in_the_way(saved: Value) -> World {
    let mut world = World::new().await;
    world.job.when = When::Always;
    world.engine.existing_claims = ExistingClaims::Delete;
    world.api.put(DOCS, json!({}));
    world.api.put(CLAIM, json!({ "metadata": { "uid": "of-the-old-one" } }));
    world.api.plays("backups", [json!({ "phase": "Completed" })]);
    let name = format!("{}-safety", world.name());
    let mut safety = backup(&name, "Completed", 30, &["docs"]);
    safety["metadata"]["labels"][labels::SAFETY] = json!("true");
    world.storage.document(safety).await;
    world.storage.volumes(&name, saved).await;
    world.ends("Completed").await;
    world.fills();
    world
}

#[tokio::test]
async fn claims_in_the_way_are_saved_and_deleted_where_that_is_asked_for() {
    let world = with_a_claim_in_the_way(json!([file_volume("data", 7)])).await;
    let result = world.run().await.unwrap();
    assert_eq!(result.outcome, Outcome::Restored);
    assert!(world.api.was_deleted(CLAIM));
    assert_ne!(world.api.get(CLAIM).unwrap()["metadata"]["uid"], "of-the-old-one");
    let record = world.ledger.read(&world.job.key()).await.unwrap().unwrap();
    assert_eq!(record.safety_point.unwrap().id, format!("{}-safety", world.name()));
}

#[tokio::test]
async fn a_claim_that_its_safety_backup_does_not_hold_is_not_deleted() {
    let mut world = with_a_claim_in_the_way(json!([])).await;
    let error = world.refusal().await;
    assert!(error.contains("does not hold their content in the bucket: docs/data"), "{error}");
    assert_eq!(world.api.get(CLAIM).unwrap()["metadata"]["uid"], "of-the-old-one");
    assert!(world.api.made("restores").is_empty());
    // Asked for in so many words, it goes.
    world.job.safety_backup = false;
    assert_eq!(world.run().await.unwrap().outcome, Outcome::Restored);
}

#[tokio::test]
async fn a_claim_that_a_pod_uses_is_not_deleted() {
    let world = with_a_claim_in_the_way(json!([file_volume("data", 7)])).await;
    let pod = json!({ "spec": { "volumes": [{ "persistentVolumeClaim": { "claimName": "data" } }] } });
    world.api.put("/api/v1/namespaces/docs/pods/other", pod);
    let error = world.refusal().await;
    assert!(error.contains("is in use by pod other") && error.contains("`quiesce.scale_down`"), "{error}");
    assert_eq!(world.api.get(CLAIM).unwrap()["metadata"]["uid"], "of-the-old-one");
}

#[tokio::test]
async fn what_can_not_be_made_once_claims_were_deleted_is_no_untouched_target() {
    let world = with_a_claim_in_the_way(json!([file_volume("data", 7)])).await;
    world.api.refuses("POST", "/apis/velero.io/v1/namespaces/velero/restores");
    let error = world.run().await.unwrap_err();
    assert!(!matches!(error, RunError::BeforeWriting { .. }), "{error}");
    assert!(world.ledger.read(&world.job.key()).await.unwrap().unwrap().left_half());
    // The next attempt makes them.
    world.api.allows();
    assert_eq!(world.run().await.unwrap().outcome, Outcome::Restored);
}

#[tokio::test]
async fn what_velero_refuses_once_claims_were_deleted_is_no_untouched_target() {
    let world = with_a_claim_in_the_way(json!([file_volume("data", 7)])).await;
    world.api.plays("restores", [json!({ "phase": "FailedValidation", "validationErrors": ["no such modifier"] })]);
    let error = world.run().await.unwrap_err();
    assert!(!matches!(error, RunError::BeforeWriting { .. }), "{error}");
    let record = world.ledger.read(&world.job.key()).await.unwrap().unwrap();
    assert!(record.left_half() && record.safety_point.is_some());
}

#[tokio::test]
async fn a_claim_that_an_earlier_attempt_made_is_not_deleted_by_the_next() {
    let world = with_a_claim_in_the_way(json!([file_volume("data", 7)])).await;
    world.api.plays("restores", [json!({ "phase": "PartiallyFailed", "errors": 1 })]);
    world.run().await.unwrap_err();
    // People may have worked with it since.
    let made = world.api.get(CLAIM).unwrap()["metadata"]["uid"].clone();
    let error = world.run().await.unwrap_err().to_string();
    assert!(error.contains("is in no safety backup: docs/data"), "{error}");
    assert_eq!(world.api.get(CLAIM).unwrap()["metadata"]["uid"], made);
}

#[tokio::test]
async fn claims_whose_content_the_point_does_not_have_in_the_bucket_stay() {
    // What it holds nothing of is skipped, with what is in it.
    let mut nothing = file_volume("data", 7);
    nothing["skipped"] = json!(true);
    for (stored, refusal) in
        [(json!([nothing]), None), (json!([snapshot("data")]), Some("its snapshots stay where the volumes are"))]
    {
        let world = with_a_claim_in_the_way(json!([file_volume("data", 7)])).await;
        world.storage.volumes("monday", stored).await;
        match refusal {
            Some(refusal) => {
                let error = world.refusal().await;
                assert!(error.contains(refusal) && world.api.made("backups").is_empty(), "{error}");
            }
            None => drop(world.run().await),
        }
        assert!(!world.api.was_deleted(CLAIM));
    }
}

/// A volume of which a snapshot stayed where it is.
fn snapshot(claim: &str) -> Value {
    json!({
        "pvcName": claim, "pvcNamespace": "docs", "pvName": "pv-1", "backupMethod": "CSISnapshot",
        "snapshotDataMoved": false, "skipped": false, "result": "succeeded",
        "csiSnapshotInfo": { "snapshotHandle": "s1", "size": 42, "driver": "csi", "vscName": "content" },
    })
}

#[tokio::test]
async fn volumes_saved_out_of_pods_are_refused_without_pods() {
    let mut world = World::new().await;
    world.engine.selection.included = vec!["persistentvolumeclaims".into(), "persistentvolumes".into()];
    let error = world.refusal().await;
    assert!(error.contains("monday would bring no data: docs/data came out of pods file by file"), "{error}");
    assert_eq!(world.api.writes(), 0);
}

#[tokio::test]
async fn a_run_whose_process_died_waits_for_the_restore_that_it_began() {
    let world = World::new().await;
    world.api.plays("restores", [json!({ "phase": "InProgress" })]);
    let died = tokio::time::timeout(Duration::from_millis(300), async {
        let parts = RestoreParts {
            ledger: &world.ledger,
            memory: Memory { storage: None, siblings: None },
            engine: &world.engine,
            pause: None,
            safety: None,
            order: QuiesceOrder::QuiesceFirst,
            cancel: Cancel::never(),
        };
        crate::run::restore(&world.job, &parts).await
    });
    world.fills();
    assert!(died.await.is_err());
    world.ends("Completed").await;
    let result = world.run().await.unwrap();
    assert_eq!(result.outcome, Outcome::Restored);
    assert_eq!(world.api.made("restores").len(), 1);
}

#[tokio::test]
async fn the_restore_of_an_earlier_run_is_never_taken_for_this_one() {
    let world = World::new().await;
    let stale = json!({ "spec": { "backupName": "monday" }, "status": { "phase": "Completed" } });
    world.api.put_velero("restores", &world.name(), stale);
    world.ends("Completed").await;
    let name = format!("{}-2", world.name());
    let written =
        json!({ "v1/ConfigMap": ["docs/settings(created)"], "v1/PersistentVolumeClaim": ["docs/data(created)"] });
    world.storage.put_packed(&format!("restores/{name}/restore-{name}-resource-list.json.gz"), &written).await;
    world.storage.put_packed(&format!("restores/{name}/{name}-volumeinfo.json.gz"), &json!([filled("data")])).await;
    world.fills_by(&name);
    world.run().await.unwrap();
    assert_eq!(world.api.made("restores")[0]["metadata"]["name"], *name);
}

#[tokio::test]
async fn a_cluster_that_does_not_know_the_backup_yet_is_waited_for() {
    let world = World::new().await;
    world.api.delete("/apis/velero.io/v1/namespaces/velero/backups/monday");
    world.ends("Completed").await;
    world.fills();
    let api = world.api.clone();
    let syncing = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        api.put_velero("backups", "monday", backup("monday", "Completed", 1, &["docs"]));
    });
    assert_eq!(world.run().await.unwrap().outcome, Outcome::Restored);
    syncing.await.unwrap();
}

#[tokio::test]
async fn a_backup_that_velero_looked_for_twice_and_did_not_take_up_is_an_error() {
    let world = World::new().await;
    world.api.delete("/apis/velero.io/v1/namespaces/velero/backups/monday");
    let api = world.api.clone();
    let syncing = tokio::spawn(async move {
        for minute in 1..=3 {
            tokio::time::sleep(Duration::from_millis(60)).await;
            api.put_velero("backupstoragelocations", "default", location(&format!("2026-11-21T10:0{minute}:00Z")));
        }
    });
    let error = world.refusal().await;
    assert!(error.contains("does not know the backup monday of its bucket: it has looked there twice"), "{error}");
    syncing.await.unwrap();
    let mut off = location("2026-11-21T10:00:00Z");
    off["spec"]["backupSyncPeriod"] = json!("0s");
    world.api.put_velero("backupstoragelocations", "default", off);
    let error = world.refusal().await;
    assert!(error.contains("has backupSyncPeriod 0"), "{error}");
}

#[tokio::test]
async fn another_backup_of_the_same_name_is_not_restored() {
    let world = World::new().await;
    world.api.put_velero("backups", "monday", backup("monday", "Completed", 59, &["docs"]));
    let error = world.refusal().await;
    assert!(error.contains("knows another backup called monday"), "{error}");
}

#[tokio::test]
async fn a_bucket_that_the_cluster_does_not_have_is_named_with_what_to_add() {
    let mut world = World::new().await;
    world.engine.place.1 = "staging".into();
    let error = world.refusal().await;
    assert!(error.contains("has no BackupStorageLocation at s3://velero-prod/staging: register it"), "{error}");
}

#[tokio::test]
async fn a_success_that_brought_nothing_is_none() {
    let world = World::new().await;
    world.ends("Completed").await;
    let name = world.name();
    let skipped = json!({ "v1/ConfigMap": ["docs/settings(skipped)"] });
    world.storage.put_packed(&format!("restores/{name}/restore-{name}-resource-list.json.gz"), &skipped).await;
    let error = world.run().await.unwrap_err().to_string();
    assert!(error.contains("ended Completed and restored nothing: the one object was there already"), "{error}");
}

#[tokio::test]
async fn claims_that_did_not_come_back_are_named() {
    let world = World::new().await;
    world.ends("Completed").await;
    let error = world.run().await.unwrap_err().to_string();
    assert!(error.contains("are in monday and not on cluster `prod` after its restore: docs/data"), "{error}");
}

#[tokio::test]
async fn what_is_overwritten_is_saved_as_it_was_backed_up_and_never_the_newest() {
    let mut world = World::new().await;
    world.job.when = When::Always;
    world.engine.selection.excluded = vec!["persistentvolumeclaims".into()];
    world.api.put(DOCS, json!({}));
    world.api.put("/apis/apps/v1/namespaces/docs/deployments/web", json!({}));
    let mut with_files = backup("monday", "Completed", 1, &["docs"]);
    with_files["spec"]["defaultVolumesToFsBackup"] = json!(true);
    world.storage.document(with_files).await;
    world.ends("Completed").await;
    world.api.plays("backups", [json!({ "phase": "InProgress" }), json!({ "phase": "Completed" })]);
    let name = format!("{}-safety", world.name());
    let mut saved = backup(&name, "Completed", 30, &["docs"]);
    saved["metadata"]["labels"][labels::SAFETY] = json!("true");
    world.storage.document(saved).await;
    world.run().await.unwrap();
    let made = &world.api.made("backups")[0];
    assert_eq!(made["metadata"]["labels"], json!({ labels::SAFETY: "true", labels::RUN: world.job.key() }));
    let wanted = json!({
        "includedNamespaces": ["docs"], "storageLocation": "default", "ttl": "720h", "defaultVolumesToFsBackup": true,
    });
    assert_eq!(made["spec"], wanted);
    assert_eq!(world.api.made("restores")[0]["spec"]["backupName"], "monday");
    let record = world.ledger.read(&world.job.key()).await.unwrap().unwrap();
    assert_eq!(record.verdict, Some(Verdict::Restored));
    let listing = world.engine.list().await.unwrap();
    assert_eq!(listing.points.iter().find(|point| point.id == name).unwrap().kind, crate::run::PointKind::Safety);
}

#[tokio::test]
async fn a_namespace_with_nothing_in_it_is_empty_and_one_that_goes_is_unknown() {
    let world = World::new().await;
    assert_eq!(world.engine.probe().await.unwrap().state, TargetState::Missing);
    world.api.put(DOCS, json!({ "metadata": { "uid": "docs-1" } }));
    world.api.put("/api/v1/namespaces/docs/configmaps/kube-root-ca.crt", json!({}));
    let empty = world.engine.probe().await.unwrap();
    assert_eq!((empty.state, empty.incarnation.as_deref()), (TargetState::Empty, Some("docs-1")));
    assert_eq!(empty.born.unwrap().to_string(), "2026-11-21T00:00:00Z");
    // What somebody made for the application beforehand is no reason not to restore it; what was restored is one.
    let settings = "/api/v1/namespaces/docs/configmaps/settings";
    world.api.put(settings, json!({}));
    assert_eq!(world.engine.probe().await.unwrap().state, TargetState::Empty);
    world.api.put(settings, json!({ "metadata": { "labels": { labels::RESTORE: "once" } } }));
    assert_eq!(world.engine.probe().await.unwrap().state, TargetState::Present);
    world.api.put(CLAIM, json!({}));
    let present = world.engine.probe().await.unwrap();
    assert_eq!(present.evidence, "namespace docs holds PersistentVolumeClaim data on cluster `prod`");
    world.api.put(DOCS, json!({ "metadata": { "deletionTimestamp": "2026-11-21T00:00:00Z" } }));
    assert_eq!(world.engine.probe().await.unwrap().state, TargetState::Unknown);
}

#[tokio::test]
async fn storage_classes_are_replaced_for_this_restore_alone() {
    let mut world = World::new().await;
    world.engine.storage_classes = vec![("fast".into(), "standard".into())];
    world.ends("Completed").await;
    world.fills();
    world.run().await.unwrap();
    let wanted = json!({ "kind": "ConfigMap", "name": world.name() });
    assert_eq!(world.api.made("restores")[0]["spec"]["resourceModifier"], wanted);
    // It goes with the end of the restore.
    assert_eq!(world.api.get(&format!("/api/v1/namespaces/velero/configmaps/{}", world.name())), None);
    insta::assert_json_snapshot!(modifier(&world.engine.storage_classes), @r#"
    {
      "resourceModifierRules": [
        {
          "conditions": {
            "groupResource": "persistentvolumeclaims",
            "matches": [
              {
                "path": "/spec/storageClassName",
                "value": "fast"
              }
            ]
          },
          "patches": [
            {
              "operation": "replace",
              "path": "/spec/storageClassName",
              "value": "standard"
            }
          ]
        },
        {
          "conditions": {
            "groupResource": "persistentvolumes",
            "matches": [
              {
                "path": "/spec/storageClassName",
                "value": "fast"
              }
            ]
          },
          "patches": [
            {
              "operation": "replace",
              "path": "/spec/storageClassName",
              "value": "standard"
            }
          ]
        }
      ],
      "version": "v1"
    }
    "#);
}

#[tokio::test]
async fn first_use_is_proven_by_a_bucket_without_anything_of_velero_s() {
    let storage = Storage::new();
    let series = Series { namespaces: vec!["docs".into()], schedule: None };
    let listing = list(&storage.bucket(), &series, false).await.unwrap();
    assert_eq!(listing.first_use, FirstUse::Proven);
    storage.put("kopia/docs/kopia.repository", packed(&json!({}))).await;
    let listing = list(&storage.bucket(), &series, false).await.unwrap();
    assert_eq!(listing.first_use, FirstUse::NotProven("the bucket holds data of Velero's: kopia".into()));
    storage.backup("other", "Completed", 1, &["mail"]).await;
    let listing = list(&storage.bucket(), &series, false).await.unwrap();
    assert_eq!(listing.near_misses, ["1 backup holds mail"]);
    assert!(matches!(listing.first_use, FirstUse::NotProven(why) if why.contains("1 backup of other things")));
}

#[tokio::test]
async fn a_claim_that_velero_made_and_did_not_fill_is_named_and_nothing_is_started_on_it() {
    let world = World::unfilled(file_volume("data", 42)).await;
    let error = world.failure().await;
    let said = "whose content is in monday: docs/data (file_system out of pod web-0)";
    assert!(error.contains(said), "{error}");
    assert!(error.contains("ended Completed and Velero does not show that it filled these volumes"), "{error}");
    let record = world.ledger.read(&world.job.key()).await.unwrap().unwrap();
    assert!(record.left_half(), "{record:?}");
}

#[tokio::test]
async fn a_volume_whose_pod_is_gone_again_is_known_by_what_filled_it() {
    let world = World::unfilled(file_volume("data", 42)).await;
    world.api.put_velero("podvolumerestores", "one", filler(&world.name(), "Failed"));
    assert!(world.failure().await.contains("docs/data"));
    for path in [DOCS, CLAIM] {
        world.api.delete(path);
    }
    let name = format!("{}-2", world.name());
    let written = json!({ "v1/PersistentVolumeClaim": ["docs/data(created)"] });
    world.storage.put_packed(&format!("restores/{name}/restore-{name}-resource-list.json.gz"), &written).await;
    world.api.put_velero("podvolumerestores", "two", filler(&name, "Completed"));
    world.fills_by(&name);
    assert_eq!(world.run().await.unwrap().outcome, Outcome::Restored);
}

#[tokio::test]
async fn each_way_of_saving_a_volume_is_judged_by_what_shows_that_it_came_back() {
    let volume = |more: Value| {
        let mut volume = json!({ "pvcName": "data", "pvcNamespace": "docs", "pvName": "pv-1", "skipped": false });
        volume.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        volume
    };
    let moved = volume(json!({ "backupMethod": "CSISnapshot", "snapshotDataMoved": true }));
    let snapshot = volume(json!({ "backupMethod": "CSISnapshot", "csiSnapshotInfo": { "size": 9 } }));
    let native = volume(json!({ "backupMethod": "NativeSnapshot" }));
    for (saved, called) in [(&moved, "moved_snapshot"), (&snapshot, "csi_snapshot"), (&native, "native_snapshot")] {
        let world = World::unfilled(saved.clone()).await;
        let error = world.failure().await;
        assert!(error.contains(&format!("docs/data ({called})")), "{error}");
        // Named in the list of Velero's.
        let world = World::unfilled(saved.clone()).await;
        let mut told = saved.clone();
        told["restoreMethod"] = told.as_object_mut().unwrap().remove("backupMethod").unwrap();
        world.ends_having_filled(json!([told])).await;
        assert!(world.warnings().await.is_empty(), "{called}");
    }
    // Not in the list, but to be seen on the cluster.
    let world = World::unfilled(moved).await;
    let download = json!({
        "metadata": { "labels": { labels::RESTORE: world.name() } },
        "spec": { "targetVolume": { "namespace": "docs", "pvc": "data" } },
        "status": { "phase": "Completed" },
    });
    world.api.put("/apis/velero.io/v2alpha1/namespaces/velero/datadownloads/one", download);
    assert!(world.warnings().await.is_empty());

    // A claim that was not bound yet has its volume in the list, and no name.
    let mut world = World::unfilled(native.clone()).await;
    world.ends_having_filled(json!([{ "pvName": "pv-new", "restoreMethod": "NativeSnapshot" }])).await;
    world.claim = json!({ "volumeName": "pv-new" });
    assert!(world.warnings().await.is_empty());
    let mut world = World::unfilled(snapshot).await;
    world.claim = json!({ "dataSource": { "kind": "VolumeSnapshot", "name": "s" } });
    assert!(world.warnings().await.is_empty());

    // A Velero that writes no list, and nothing on the cluster that says it: nobody knows.
    let world = World::unfilled(native).await;
    let name = world.name();
    world.storage.remove(&format!("restores/{name}/{name}-volumeinfo.json.gz")).await;
    let unknown = "nobody can tell whether the content of these volumes came back: docs/data (native_snapshot)";
    assert_eq!(world.warnings().await, [unknown]);
}

#[tokio::test]
async fn nothing_is_asked_of_volumes_that_hold_nothing_or_are_not_restored() {
    let empty = json!({
        "pvcName": "data", "pvcNamespace": "docs", "backupMethod": "PodVolumeBackup", "result": "succeeded",
        "pvbInfo": { "podName": "web-0", "podNamespace": "docs", "volumeName": "data" },
    });
    let world = World::unfilled(empty).await;
    assert!(world.warnings().await.is_empty());
    let mut world = World::unfilled(file_volume("data", 42)).await;
    world.engine.selection.without_content = true;
    assert!(world.warnings().await.is_empty());
}

fn labelled(app: &str) -> crate::engines::velero::selection::Labels {
    crate::engines::velero::selection::Labels::of([json!({ "matchLabels": { "app": app } })].iter())
}

#[tokio::test]
async fn with_a_label_selector_it_counts_what_velero_made() {
    let mut world = World::unfilled(file_volume("data", 42)).await;
    world.engine.selection.labels = labelled("web");
    assert!(world.failure().await.contains("docs/data"));

    let mut world = World::unfilled(file_volume("data", 42)).await;
    world.engine.selection.labels = labelled("mail");
    let name = world.name();
    let written = json!({ "v1/ConfigMap": ["docs/settings(created)"] });
    world.storage.put_packed(&format!("restores/{name}/restore-{name}-resource-list.json.gz"), &written).await;
    assert!(world.warnings().await.is_empty());
}

#[tokio::test]
async fn of_a_restore_that_may_fail_in_part_the_volumes_that_did_not_come_back_are_named() {
    let mut world = World::new().await;
    world.engine.accept_partially_failed = true;
    // Velero lists a volume whose PodVolumeRestore failed, too.
    world.ends("PartiallyFailed").await;
    let warnings = world.warnings().await;
    let lost =
        "the content of these volumes did not come back, or not all of it: docs/data (file_system out of pod web-0)";
    assert!(warnings.iter().any(|warning| warning == lost), "{warnings:?}");
}

#[tokio::test]
async fn pods_that_exist_and_through_which_volumes_are_filled_are_refused() {
    const POD: &str = "/api/v1/namespaces/docs/pods/web-0";
    let mut world = World::new().await;
    world.job.when = When::Always;
    world.job.safety_backup = false;
    world.api.put(DOCS, json!({}));
    world.api.put(POD, json!({}));
    let error = world.refusal().await;
    let said = "these pods exist on cluster `prod` and Velero would skip them, so that the volumes which monday holds out of \
                them would stay empty: docs/web-0";
    assert!(error.contains(said), "{error}");
    assert_eq!(world.api.writes(), 0);
    // What a workload runs may be taken down first, and is refused when it was not.
    world.api.put(POD, json!({ "metadata": { "ownerReferences": [{ "apiVersion": "apps/v1", "kind": "StatefulSet", "name": "web", "uid": "1" }] } }));
    let error = world.refusal().await;
    assert!(error.contains(said) && error.starts_with("the restore failed before anything was written"), "{error}");
    assert!(world.api.made("restores").is_empty());
}

#[tokio::test]
async fn a_point_without_a_list_of_volumes_is_judged_by_its_pod_volume_backups() {
    let mut world = World::new().await;
    world.storage.remove("backups/monday/monday-volumeinfo.json.gz").await;
    let saved = json!([{
        "metadata": { "name": "monday-x", "annotations": { "velero.io/pvc-name": "data" } },
        "spec": { "pod": { "namespace": "docs", "name": "web-0" }, "volume": "data", "uploaderType": "restic" },
        "status": { "phase": "Completed", "snapshotID": "r1", "progress": { "totalBytes": 42 } },
    }]);
    world.storage.put_packed("backups/monday/monday-podvolumebackups.json.gz", &saved).await;
    world.ends("Completed").await;
    assert!(world.warnings().await.is_empty());

    world = World::new().await;
    world.storage.remove("backups/monday/monday-volumeinfo.json.gz").await;
    world.storage.put_packed("backups/monday/monday-podvolumebackups.json.gz", &saved).await;
    world.engine.selection.included = vec!["persistentvolumeclaims".into(), "persistentvolumes".into()];
    assert!(world.refusal().await.contains("docs/data came out of pods file by file"));
}

#[tokio::test]
async fn claims_of_which_nobody_wrote_down_whether_their_content_is_stored_are_named() {
    let world = World::new().await;
    world.storage.remove("backups/monday/monday-volumeinfo.json.gz").await;
    world.ends("Completed").await;
    let unknown = "nobody can tell whether monday holds the content of these volumes, and whether it came back: docs/data. \
                   Velero wrote no list of volumes beside it (it does since 1.13)";
    assert_eq!(world.warnings().await, [unknown]);
    // An empty list is one.
    let world = World::new().await;
    world.storage.volumes("monday", Value::Null).await;
    world.ends("Completed").await;
    assert!(world.warnings().await.is_empty());
}

/// A deployment is there, its claim is lost, and a restore over it fails in part.
async fn rolling_back() -> World {
    let mut world = World::new().await;
    world.job.when = When::Always;
    world.job.on_failure = OnFailure::RollBack;
    world.api.put(DOCS, json!({}));
    world.api.put("/apis/apps/v1/namespaces/docs/deployments/web", json!({}));
    world.ends("PartiallyFailed").await;
    let step = |phase: &str| json!({ "phase": phase });
    world.api.plays("restores", ["InProgress", "PartiallyFailed", "InProgress", "Completed"].map(step));
    world.api.plays("backups", [step("Completed")]);
    let mut saved = backup(&format!("{}-safety", world.name()), "Completed", 30, &["docs"]);
    saved["metadata"]["labels"][labels::SAFETY] = json!("true");
    world.storage.document(saved).await;
    let back = format!("{}-2", world.name());
    let written = json!({ "apps/v1/Deployment": ["docs/web(updated)"] });
    world.storage.put_packed(&format!("restores/{back}/restore-{back}-resource-list.json.gz"), &written).await;
    world.storage.put_packed(&format!("restores/{back}/{back}-volumeinfo.json.gz"), &json!([])).await;
    world
}

#[tokio::test]
async fn a_roll_back_takes_the_claims_away_that_the_failed_restore_made_and_no_others() {
    const POD: &str = "/api/v1/namespaces/docs/pods/web-0";
    const OTHER_POD: &str = "/api/v1/namespaces/docs/pods/other";
    const KEPT: &str = "/api/v1/namespaces/docs/persistentvolumeclaims/kept";
    let world = rolling_back().await;
    let name = world.name();
    let written = json!({
        "v1/PersistentVolumeClaim": ["docs/data(created)", "docs/kept(updated)"],
        "v1/Pod": ["docs/web-0(created)", "docs/other(created)"],
    });
    world.storage.put_packed(&format!("restores/{name}/restore-{name}-resource-list.json.gz"), &written).await;
    let made = json!({ "metadata": { "labels": { labels::RESTORE: name } } });
    world.api.put(KEPT, made.clone());
    world.api.put(OTHER_POD, made.clone());
    let mut pod = made;
    pod["spec"] = json!({ "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": "data" } }] });
    world.fills();
    world.api.follow(&name, [(POD, pod)]);
    let result = world.run().await.unwrap();
    assert_eq!(result.outcome, Outcome::RolledBack, "{result:?}");
    assert_eq!((world.api.get(CLAIM), world.api.get(POD)), (None, None));
    assert!(world.api.get(KEPT).is_some() && world.api.get(OTHER_POD).is_some());
    let back = &world.api.made("restores")[1]["spec"];
    assert_eq!(back["backupName"], format!("{name}-safety"));
    assert!(result.warnings[0].contains("is back in place"), "{:?}", result.warnings);
}

#[tokio::test]
async fn a_safety_backup_whose_volume_is_not_filled_again_is_no_way_back() {
    let mut world = rolling_back().await;
    world.engine.accept_partially_failed = true;
    let step = |phase: &str| json!({ "phase": phase });
    world.api.plays("restores", ["InProgress", "Failed", "InProgress", "PartiallyFailed"].map(step));
    let (safety, back) = (format!("{}-safety", world.name()), format!("{}-2", world.name()));
    world.storage.volumes(&safety, json!([file_volume("data", 42)])).await;
    let written = json!({ "v1/PersistentVolumeClaim": ["docs/data(created)"] });
    world.storage.put_packed(&format!("restores/{back}/restore-{back}-resource-list.json.gz"), &written).await;
    let error = world.failure().await;
    assert!(error.contains(&format!("The safety backup {safety} could not be restored either")), "{error}");
    assert!(error.contains(&format!("whose content is in {safety}: docs/data")), "{error}");
}

#[tokio::test]
async fn what_nobody_can_tell_from_what_was_there_before_stays_and_is_no_roll_back() {
    let world = rolling_back().await;
    let name = world.name();
    // Velero was cut off and left no list; the claim is as old as the Restore.
    world.storage.remove(&format!("restores/{name}/restore-{name}-resource-list.json.gz")).await;
    let error = world.failure().await;
    assert!(error.contains("was restored, and it can't be shown that it is back"), "{error}");
    assert!(error.contains(&format!("are still on cluster `prod`: docs/data (made by the Restore {name})")), "{error}");
    assert!(world.api.get(CLAIM).is_some());
    assert!(world.ledger.read(&world.job.key()).await.unwrap().unwrap().left_half());
}

#[tokio::test]
async fn what_came_back_and_can_not_be_looked_at_is_not_taken_for_untouched() {
    let world = World::new().await;
    world.ends("Completed").await;
    let name = world.name();
    world.storage.put(&format!("restores/{name}/{name}-volumeinfo.json.gz"), "{").await;
    world.fills();
    let error = world.run().await.unwrap_err();
    assert!(matches!(error, RunError::AfterWriting { .. }), "{error}");
}

#[tokio::test]
async fn namespaces_of_which_some_are_lost_are_neither_there_nor_lost() {
    const MAIL: &str = "/api/v1/namespaces/mail";
    let mut world = World::new().await;
    world.engine.selection.namespaces = vec!["docs".into(), "mail".into()];
    world.api.put(DOCS, json!({}));
    // One that was made empty, along with the configuration, is as good as none.
    let probe = world.engine.probe().await.unwrap();
    assert_eq!(probe.state, TargetState::Empty);
    assert!(probe.evidence.ends_with("; namespace mail does not exist"), "{}", probe.evidence);
    world.api.put("/apis/apps/v1/namespaces/docs/deployments/web", json!({}));
    for when in [When::TargetMissing, When::TargetMissingOrEmpty] {
        world.job.when = when;
        let error = world.run().await.unwrap_err();
        assert!(matches!(error, RunError::Partial { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains("namespace docs holds Deployment web"), "{error}");
        assert!(error.contains("namespace mail does not exist") && error.contains("a job of its own"), "{error}");
    }
    assert_eq!(world.api.writes(), 0);
    world.api.put(MAIL, json!({}));
    assert_eq!(world.engine.probe().await.unwrap().state, TargetState::Present);
}
