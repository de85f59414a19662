//! What `dr_recovery_points` shows of a bucket.

use serde_json::json;

use super::*;
use crate::engines::velero::testing::{Storage, file_volume};

#[tokio::test]
async fn the_newest_are_told_with_their_volumes() {
    let storage = Storage::new();
    storage.backup("old", "Completed", 1, &["docs"]).await;
    storage.backup("new", "Completed", 2, &["docs"]).await;
    storage.volumes("old", json!([file_volume("data", 9)])).await;
    let skipped = json!({ "pvcName": "cache", "pvcNamespace": "docs", "skipped": true, "skippedReason": "policy" });
    storage.volumes("new", json!([file_volume("data", 42), skipped])).await;
    let listed = list(&storage.bucket(), 1).await.unwrap();
    let volume =
        |claim: &str, method, bytes| ListedVolume { claim: claim.into(), namespace: "docs".into(), method, bytes };
    let wanted = ListedPoint {
        id: "new".into(),
        time: Some("2026-11-20T02:00:02Z".into()),
        bytes: Some(42),
        items: Some(12),
        phase: "complete",
        verified: None,
        encrypted: Some(false),
        host: None,
        paths: Vec::new(),
        tags: vec!["velero.io/storage-location=default".into()],
        namespaces: vec!["docs".into()],
        volumes: vec![volume("data", "file_system", Some(42)), volume("cache", "none", None)],
        expires: Some("2026-12-20T02:00:00Z".into()),
    };
    assert_eq!(listed[0], wanted);
    assert_eq!(listed[1].volumes, []);
    assert_eq!(list(&storage.bucket(), 2).await.unwrap()[1].bytes, Some(9));
}

#[tokio::test]
async fn bytes_are_unknown_when_those_of_one_volume_are() {
    let storage = Storage::new();
    storage.backup("one", "Completed", 1, &["docs"]).await;
    assert_eq!(list(&storage.bucket(), 1).await.unwrap()[0].bytes, None);
    storage.volumes("one", json!([])).await;
    assert_eq!(list(&storage.bucket(), 1).await.unwrap()[0].bytes, Some(0));
    let native = json!({ "pvcName": "data", "pvcNamespace": "docs", "backupMethod": "NativeSnapshot" });
    storage.volumes("one", json!([file_volume("files", 42), native])).await;
    assert_eq!(list(&storage.bucket(), 1).await.unwrap()[0].bytes, None);
}

#[tokio::test]
async fn a_damaged_document_is_an_error_and_no_empty_answer() {
    let storage = Storage::new();
    storage.backup("one", "Completed", 1, &["docs"]).await;
    storage.put("backups/one/one-volumeinfo.json.gz", "{").await;
    let error = list(&storage.bucket(), 1).await.unwrap_err().to_string();
    assert!(error.contains("backups/one/one-volumeinfo.json.gz can't be read"), "{error}");
}
