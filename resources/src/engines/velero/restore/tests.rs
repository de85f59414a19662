//! Restores from decision to end, against an API server that plays Velero's part.

use std::time::Duration;

use super::*;
use crate::engines::kubernetes::watch::Watches;
use crate::engines::table::QuiesceOrder;
use crate::engines::velero::testing::{Api, Storage, backup, file_volume, packed};
use crate::ledger::{LedgerStore, PathLedger, StoreLedger, Triggers, Verdict};
use crate::run::{
    Cancel, OnFailure, OnMissing, Outcome, PointChoice, RestoreJob, RestoreParts, RestoreResult, RunError, When,
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
            storage_classes: Vec::new(),
            accept_partially_failed: false,
        };
        let job = RestoreJob {
            name: "docs".into(),
            engine: "velero".into(),
            server_uid: Some("uid-of-prod".into()),
            target: "docs".into(),
            triggers: Triggers::new(),
            series: "repository".into(),
            when: When::TargetMissing,
            on_missing: OnMissing::Fail,
            on_failure: OnFailure::StayQuiesced,
            recovery_point: PointChoice::Newest,
            approved: None,
            safety_backup: true,
            perform: true,
            rto: None,
        };
        let ledger = PathLedger::new(&folder.path().join("docs")).unwrap();
        let seen = StoreLedger::new(storage.store(), "ledger");
        World { api, storage, _folder: folder, ledger, seen, engine, job }
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
        let name = self.name();
        let written =
            json!({ "v1/PersistentVolumeClaim": ["docs/data(created)"], "v1/ConfigMap": ["docs/settings(created)"] });
        self.storage.put_packed(&format!("restores/{name}/restore-{name}-resource-list.json.gz"), &written).await;
        let complaints =
            json!({ "errors": { "namespaces": { "docs": ["could not restore settings"] } }, "warnings": {} });
        self.storage.put_packed(&format!("restores/{name}/restore-{name}-results.gz"), &complaints).await;
    }

    /// What Velero does meanwhile: the namespace and its claim are there once the Restore is.
    fn fills(&self) -> tokio::task::JoinHandle<()> {
        let api = self.api.clone();
        tokio::spawn(async move {
            while api.made("restores").is_empty() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            let restore = api.made("restores")[0]["metadata"]["name"].clone();
            api.put(DOCS, json!({}));
            api.put(CLAIM, json!({ "metadata": { "labels": { labels::RESTORE: restore } } }));
        })
    }

    async fn run(&self) -> Result<RestoreResult, RunError> {
        let parts = RestoreParts {
            ledger: &self.ledger,
            storage: Some(&self.seen),
            siblings: None,
            engine: &self.engine,
            pause: None,
            safety: Some(&self.engine),
            order: QuiesceOrder::QuiesceFirst,
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
    let filling = world.fills();
    let result = world.run().await.unwrap();
    filling.await.unwrap();
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

#[tokio::test]
async fn what_failed_in_part_is_an_error_with_velero_s_words_unless_it_is_accepted() {
    let mut world = World::new().await;
    world.ends("PartiallyFailed").await;
    let filling = world.fills();
    let error = world.run().await.unwrap_err().to_string();
    filling.await.unwrap();
    let said = format!(
        "the Restore velero/{} ended PartiallyFailed with 1 error: docs: could not restore settings",
        world.name()
    );
    assert!(error.contains(&said), "{error}");
    assert!(error.contains("accept_partially_failed = true"), "{error}");

    world = World::new().await;
    world.engine.accept_partially_failed = true;
    world.ends("PartiallyFailed").await;
    let filling = world.fills();
    let result = world.run().await.unwrap();
    filling.await.unwrap();
    assert_eq!(result.warnings, ["the restore failed in part, which is accepted: docs: could not restore settings"]);
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
            storage: None,
            siblings: None,
            engine: &world.engine,
            pause: None,
            safety: None,
            order: QuiesceOrder::QuiesceFirst,
            cancel: Cancel::never(),
        };
        crate::run::restore(&world.job, &parts).await
    });
    let filling = world.fills();
    assert!(died.await.is_err());
    filling.await.unwrap();
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
    let filling = world.fills();
    world.run().await.unwrap();
    filling.await.unwrap();
    assert_eq!(world.api.made("restores")[0]["metadata"]["name"], *name);
}

#[tokio::test]
async fn a_cluster_that_does_not_know_the_backup_yet_is_waited_for() {
    let world = World::new().await;
    world.api.delete("/apis/velero.io/v1/namespaces/velero/backups/monday");
    world.ends("Completed").await;
    let (filling, api) = (world.fills(), world.api.clone());
    let syncing = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(50)).await;
        api.put_velero("backups", "monday", backup("monday", "Completed", 1, &["docs"]));
    });
    assert_eq!(world.run().await.unwrap().outcome, Outcome::Restored);
    filling.await.unwrap();
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
    assert!(error.contains("ended Completed and restored nothing: all 1 objects were there already"), "{error}");
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
    use crate::run::TargetState;
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
    let filling = world.fills();
    world.run().await.unwrap();
    filling.await.unwrap();
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
    assert!(matches!(listing.first_use, FirstUse::NotProven(why) if why.contains("1 backups of other things")));
}
