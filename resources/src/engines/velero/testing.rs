//! A bucket for tests: what Velero would have written, in a folder.

mod api;

pub use api::Api;

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::bucket::{Bucket, EndedBackups};
use crate::store::ObjectStore;
use crate::store::local::LocalStore;

/// A bucket in a folder that goes with it.
pub struct Storage {
    _folder: tempfile::TempDir,
    store: Arc<LocalStore>,
    ended: Arc<EndedBackups>,
}

impl Storage {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(LocalStore::new(folder.path()));
        Storage { _folder: folder, store, ended: Arc::default() }
    }

    pub fn bucket(&self) -> Bucket {
        Bucket::new(self.store.clone(), self.ended.clone())
    }

    pub fn store(&self) -> Arc<dyn ObjectStore> {
        self.store.clone()
    }

    pub async fn put(&self, name: &str, bytes: impl Into<Bytes>) {
        self.store.put_bytes(name, bytes.into()).await.unwrap();
    }

    pub async fn put_packed(&self, name: &str, document: &Value) {
        self.put(name, packed(document)).await;
    }

    pub async fn remove(&self, name: &str) {
        self.store.delete(name).await.unwrap();
    }

    /// A backup of one namespace that ended so at a second of the hour.
    pub async fn backup(&self, name: &str, phase: &str, second: u32, namespaces: &[&str]) {
        self.document(backup(name, phase, second, namespaces)).await;
    }

    pub async fn document(&self, document: Value) {
        let name = document["metadata"]["name"].as_str().unwrap().to_owned();
        self.put(&format!("backups/{name}/velero-backup.json"), document.to_string()).await;
        self.put(&format!("backups/{name}/{name}.tar.gz"), packed(&json!("an archive"))).await;
    }

    pub async fn volumes(&self, name: &str, volumes: Value) {
        self.put_packed(&format!("backups/{name}/{name}-volumeinfo.json.gz"), &volumes).await;
    }

    pub async fn resources(&self, name: &str, resources: Value) {
        self.put_packed(&format!("backups/{name}/{name}-resource-list.json.gz"), &resources).await;
    }
}

/// A Backup as its document holds it.
pub fn backup(name: &str, phase: &str, second: u32, namespaces: &[&str]) -> Value {
    json!({
        "apiVersion": "velero.io/v1",
        "kind": "Backup",
        "metadata": { "name": name, "namespace": "velero", "labels": { "velero.io/storage-location": "default" } },
        "spec": { "includedNamespaces": namespaces, "storageLocation": "default", "ttl": "720h0m0s", "hooks": {} },
        "status": {
            "version": 1,
            "formatVersion": "1.1.0",
            "phase": phase,
            "startTimestamp": format!("2026-11-20T02:00:{second:02}Z"),
            "completionTimestamp": format!("2026-11-20T02:10:{second:02}Z"),
            "expiration": "2026-12-20T02:00:00Z",
            "progress": { "totalItems": 12, "itemsBackedUp": 12 },
        },
    })
}

/// A volume that was saved file by file.
pub fn file_volume(claim: &str, bytes: u64) -> Value {
    json!({
        "pvcName": claim, "pvcNamespace": "docs", "pvName": "pv-1", "backupMethod": "PodVolumeBackup",
        "snapshotDataMoved": false, "skipped": false, "result": "succeeded",
        "pvbInfo": {
            "size": bytes, "podName": "web-0", "podNamespace": "docs", "volumeName": "data", "uploaderType": "kopia",
            "snapshotHandle": "k1",
        },
    })
}

pub fn packed(document: &Value) -> Vec<u8> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(document.to_string().as_bytes()).unwrap();
    packed.finish().unwrap()
}
