//! Backups from the guard to the point, against an API server that plays Velero's part.

use super::*;
use crate::engines::kubernetes::watch::Watches;
use crate::engines::velero::labels;
use crate::engines::velero::testing::{Api, Storage, backup as document, file_volume};
use crate::ledger::{LastRun, PathLedger, StoreLedger, Triggers};
use crate::run::{BackupJob, BackupParts, BackupResult, Cancel, Cause, FirstBackup, RunError};

struct World {
    api: Api,
    storage: Storage,
    ledger: StoreLedger,
    engine: NamespaceBackup,
    job: BackupJob,
    _folder: tempfile::TempDir,
}

impl World {
    /// A cluster with a namespace docs that is as old as it, and a bucket without backups.
    async fn new() -> Self {
        let (api, storage, folder) = (Api::new(), Storage::new(), tempfile::tempdir().unwrap());
        let location = json!({
            "spec": { "objectStorage": { "bucket": "velero-prod" } },
            "status": { "phase": "Available" },
        });
        api.put_velero("backupstoragelocations", "default", location);
        namespace(&api, "docs", "docs-1", "2026-01-01T00:00:00Z");
        api.put("/api/v1/namespaces/docs/configmaps/settings", json!({}));
        let server = Server {
            cluster: api.cluster(),
            namespace: "velero".into(),
            watches: Watches::every(Duration::from_millis(5)),
        };
        let engine = NamespaceBackup {
            server,
            bucket: storage.bucket(),
            place: ("velero-prod".into(), String::new()),
            location: Some("default".into()),
            spec: json!({ "includedNamespaces": ["docs"] }),
            included: vec!["docs".into()],
            excluded: Vec::new(),
            ttl: "48h".into(),
            accept_partially_failed: false,
            has_volume_switch: false,
            runs: Arc::new(PathLedger::new(&folder.path().join("runs")).unwrap()),
        };
        let job = BackupJob {
            name: "docs".into(),
            engine: "velero".into(),
            server_uid: Some("uid-of-prod".into()),
            target: "prod/velero/default".into(),
            triggers: Triggers::new(),
            series: "repository".into(),
            on: vec![Cause::Create],
            first_backup: FirstBackup::Refuse,
            verify: ReadBack::None,
            drill: false,
        };
        let ledger = StoreLedger::new(storage.store(), "ledger");
        World { api, storage, ledger, engine, job, _folder: folder }
    }

    fn name(&self) -> String {
        engine_object_name("docs", &self.job.key())
    }

    /// A backup that takes two looks and ends so.
    async fn ends(&self, phase: &str) {
        let progress = json!({ "totalItems": 12, "itemsBackedUp": 12 });
        let ended = json!({ "phase": phase, "errors": 2, "progress": progress });
        self.api.plays("backups", [json!({ "phase": "InProgress" }), ended]);
        self.storage.backup(&self.name(), phase, 30, &["docs"]).await;
    }

    async fn run(&self) -> Result<BackupResult, RunError> {
        let parts = BackupParts {
            ledger: &self.ledger,
            after: None,
            others: vec![self.engine.runs.as_ref()],
            engine: &self.engine,
            cancel: Cancel::never(),
        };
        let run = crate::run::backup(&self.job, Cause::Create, &parts);
        tokio::time::timeout(Duration::from_secs(20), run).await.expect("it ends")
    }
}

fn namespace(api: &Api, name: &str, uid: &str, made: &str) {
    let metadata = json!({ "uid": uid, "creationTimestamp": made });
    api.put(&format!("/api/v1/namespaces/{name}"), json!({ "metadata": metadata }));
}

#[tokio::test]
async fn a_backup_is_made_with_explicit_retention_and_waited_for() {
    let world = World::new().await;
    world.ends("Completed").await;
    world.storage.volumes(&world.name(), json!([file_volume("data", 42)])).await;
    let result = world.run().await.unwrap();
    assert_eq!((result.items, result.bytes), (12, 42));
    assert_eq!(result.point.unwrap().id, world.name());
    let made = &world.api.made("backups")[0];
    assert_eq!(made["spec"], json!({ "includedNamespaces": ["docs"], "storageLocation": "default", "ttl": "48h" }));
    assert_eq!(made["metadata"]["labels"], json!({ labels::RUN: world.job.key() }));
    // Never adopted: another one is made, under another name.
    let second = format!("{}-2", world.name());
    world.api.plays("backups", [json!({ "phase": "Completed" })]);
    world.storage.backup(&second, "Completed", 40, &["docs"]).await;
    assert_eq!(world.run().await.unwrap().point.unwrap().id, second);
}

#[tokio::test]
async fn volumes_that_are_not_in_it_are_named_with_the_switches_that_would_save_them() {
    let world = World::new().await;
    world.ends("Completed").await;
    let skipped = json!({ "pvcName": "data", "pvcNamespace": "docs", "skipped": true, "skippedReason": "no switch" });
    world.storage.volumes(&world.name(), json!([skipped])).await;
    let warnings = world.run().await.unwrap().warnings;
    assert_eq!(warnings.len(), 1);
    assert!(
        warnings[0].starts_with("the content of these volumes is not in the backup: docs/data (no switch). None of")
    );
}

#[tokio::test]
async fn what_velero_says_is_what_the_error_says() {
    let world = World::new().await;
    let errors = json!(["backup can't be created because BackupStorageLocation default is in Unavailable status."]);
    world.api.plays("backups", [json!({ "phase": "FailedValidation", "validationErrors": errors })]);
    let error = world.run().await.unwrap_err();
    assert!(matches!(error, RunError::BeforeWriting { .. }), "{error}");
    assert!(error.to_string().contains("BackupStorageLocation default is in Unavailable status"), "{error}");
}

#[tokio::test]
async fn a_backup_that_failed_in_part_is_a_verdict_of_the_user_s() {
    let mut world = World::new().await;
    world.ends("PartiallyFailed").await;
    let results = json!({ "errors": { "velero": ["pod volume backup failed"] }, "warnings": {} });
    let name = world.name();
    world.storage.put_packed(&format!("backups/{name}/{name}-results.gz"), &results).await;
    let error = world.run().await.unwrap_err().to_string();
    assert!(error.contains("ended PartiallyFailed with 2 errors: pod volume backup failed"), "{error}");
    world = World::new().await;
    world.engine.accept_partially_failed = true;
    world.ends("PartiallyFailed").await;
    assert!(world.run().await.unwrap().warnings[0].ends_with(", which is accepted"));
}

#[tokio::test]
async fn a_namespace_that_is_younger_than_its_backups_is_not_stored_over_them() {
    let world = World::new().await;
    world.storage.backup("old", "Completed", 1, &["docs"]).await;
    world.ends("Completed").await;
    world.run().await.unwrap();
    namespace(&world.api, "docs", "docs-2", "2026-11-21T00:00:00Z");
    let error = world.run().await.unwrap_err();
    assert!(matches!(error, RunError::FirstBackup { .. }), "{error}");
    world.api.delete("/api/v1/namespaces/docs");
    let error = world.run().await.unwrap_err();
    assert!(error.to_string().contains("namespace docs does not exist"), "{error}");
}

#[tokio::test]
async fn what_a_restore_filled_with_others_may_be_stored() {
    let world = World::new().await;
    world.storage.backup("old", "Completed", 1, &["docs"]).await;
    namespace(&world.api, "docs", "docs-2", "2026-11-21T00:00:00Z");
    let mut record = Record::new(JobKind::Restore, "0011223344556677", "all", "velero", "docs,mail");
    record.verdict = Some(Verdict::Restored);
    record.phase = crate::ledger::Phase::Done;
    record.incarnation = Some("docs-2,mail-1".into());
    assert_eq!(record.last_run(), LastRun::Succeeded);
    let acquired = world.engine.runs.acquire(&record).await.unwrap();
    acquired.lease.write(&record).await.unwrap();
    acquired.lease.release().await;
    world.ends("Completed").await;
    world.run().await.unwrap();
}

#[tokio::test]
async fn a_rebuilt_cluster_is_not_stored_over_the_backups_of_all_that_the_old_one_held() {
    let mut world = World::new().await;
    world.engine.included = Vec::new();
    world.engine.spec = json!({});
    world.storage.document(document("old", "Completed", 1, &["*"])).await;
    let held = json!({ "v1/Namespace": ["default", "docs", "kube-system", "mail", "velero"] });
    world.storage.resources("old", held).await;
    world.ends("Completed").await;
    // As old as its backups, without an app that was removed since.
    let old = "2026-01-01T00:00:00Z";
    namespace(&world.api, "kube-system", "uid-of-prod", old);
    world.run().await.unwrap();
    // Another one, in which nothing is back yet.
    namespace(&world.api, "kube-system", "uid-of-new", "2026-11-21T00:00:00Z");
    world.storage.resources(&world.name(), json!({ "v1/Namespace": ["docs", "mail", "kube-system"] })).await;
    let error = world.run().await.unwrap_err();
    assert!(error.to_string().contains("namespace mail does not exist"), "{error}");
}

#[tokio::test]
async fn reading_back_reads_every_byte_that_velero_lets_be_read() {
    let mut world = World::new().await;
    world.job.verify = ReadBack::Data;
    world.ends("Completed").await;
    world.run().await.unwrap();
    let name = format!("{}-2", world.name());
    world.storage.backup(&name, "Completed", 40, &["docs"]).await;
    world.storage.volumes(&name, json!([file_volume("data", 42)])).await;
    let error = world.run().await.unwrap_err().to_string();
    assert!(error.contains("Velero can't read the content of volumes back (docs/data)"), "{error}");
    let name = format!("{}-3", world.name());
    world.job.verify = ReadBack::Structure;
    world.storage.backup(&name, "Completed", 50, &["docs"]).await;
    world.storage.put(&format!("backups/{name}/{name}.tar.gz"), [0x1f, 0x8b, 8, 0].to_vec()).await;
    assert!(world.run().await.unwrap_err().to_string().contains("can't be read"));
}
