//! Records as ConfigMaps in the namespace of what they are about: the same leases as in an object store, by
//! `resourceVersion`.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{Acquired, LedgerError, LedgerStore, Record, StoreLedger};
use crate::connections::kubernetes::{Cluster, ClusterError, DynamicObject, Kind};
use crate::store::{Condition, Entry, Object, ObjectStore, Put, StoreError};

/// Marks the ConfigMaps of ledgers: `run` or `seen`.
pub const LEDGER_LABEL: &str = "dr/ledger";

/// Velero leaves out what bears this, whatever a backup includes: a restored record would be a memory of another time.
const NOT_BACKED_UP: &str = "velero.io/exclude-from-backup";

/// Where the record stands in a ConfigMap.
const DATA: &str = "record.json";

/// A ledger in a namespace.
#[derive(Clone)]
pub struct ConfigMapLedger {
    ledger: StoreLedger,
    maps: Arc<ConfigMaps>,
}

impl ConfigMapLedger {
    /// Records as `dr-run-<key>` in a namespace, which has to exist before the first is written.
    pub fn new(cluster: Cluster, namespace: &str) -> Self {
        let maps = Arc::new(ConfigMaps { cluster, namespace: namespace.to_owned() });
        ConfigMapLedger { ledger: StoreLedger::conditional(maps.clone()), maps }
    }
}

#[async_trait]
impl LedgerStore for ConfigMapLedger {
    fn describe(&self) -> String {
        self.maps.describe()
    }

    async fn read(&self, key: &str) -> Result<Option<Record>, LedgerError> {
        self.ledger.read(key).await
    }

    /// One request, whatever their number.
    async fn list(&self) -> Result<Vec<Record>, LedgerError> {
        let maps = self.maps.all("run").await.map_err(failed)?;
        let record = |map: &DynamicObject| {
            let name = map.metadata.name.clone().unwrap_or_default();
            let place = format!("{name} in {}", self.describe());
            content(map).map(|bytes| Record::from_json(&bytes, &place))
        };
        maps.iter().filter_map(record).collect()
    }

    async fn acquire(&self, record: &Record) -> Result<Acquired, LedgerError> {
        self.ledger.acquire(record).await
    }

    fn lease_covers_target(&self) -> bool {
        self.ledger.lease_covers_target()
    }

    async fn acquire_beside(&self, other: &Record) -> Result<Acquired, LedgerError> {
        self.ledger.acquire_beside(other).await
    }

    async fn seen(&self, series: &str) -> Result<bool, LedgerError> {
        self.ledger.seen(series).await
    }

    async fn mark_seen(&self, series: &str) -> Result<(), LedgerError> {
        self.ledger.mark_seen(series).await
    }

    async fn tidy(&self, target: &str) -> Result<(), LedgerError> {
        self.ledger.tidy(target).await
    }
}

/// The ConfigMaps of a namespace as objects: `runs/<key>.json` and `seen/<series>`; a `resourceVersion` is an etag.
struct ConfigMaps {
    cluster: Cluster,
    namespace: String,
}

impl ConfigMaps {
    async fn all(&self, what: &str) -> Result<Vec<DynamicObject>, ClusterError> {
        let labels = format!("{LEDGER_LABEL}={what}");
        self.cluster.list(&Kind::CONFIG_MAP, Some(&self.namespace), Some(&labels)).await
    }

    fn body(&self, name: &str, bytes: &[u8]) -> Value {
        let what = name.split('/').next().map_or("run", |folder| if folder == "seen" { "seen" } else { "run" });
        json!({
            "metadata": {
                "name": map_name(name),
                "namespace": self.namespace,
                "labels": {
                    LEDGER_LABEL: what,
                    NOT_BACKED_UP: "true",
                    "app.kubernetes.io/managed-by": crate::connections::kubernetes::FIELD_MANAGER,
                },
            },
            "data": { DATA: String::from_utf8_lossy(bytes) },
        })
    }

    /// `None` when it exists.
    async fn create(&self, body: Value) -> Result<Option<DynamicObject>, ClusterError> {
        match self.cluster.create(&Kind::CONFIG_MAP, &self.namespace, body).await {
            Ok(map) => Ok(Some(map)),
            Err(ClusterError::AlreadyExists { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `None` when it is no longer that version.
    async fn replace(&self, mut body: Value, version: &str) -> Result<Option<DynamicObject>, ClusterError> {
        body["metadata"]["resourceVersion"] = version.into();
        (body["apiVersion"], body["kind"]) = ("v1".into(), "ConfigMap".into());
        let map: DynamicObject = serde_json::from_value(body).map_err(|error| ClusterError::Config {
            cluster: self.cluster.name().to_owned(),
            message: format!("a record that is no ConfigMap: {error}"),
        })?;
        match self.cluster.replace(&Kind::CONFIG_MAP, &self.namespace, &map).await {
            Ok(map) => Ok(Some(map)),
            Err(ClusterError::Changed { .. } | ClusterError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn write(&self, name: &str, bytes: &[u8], condition: Condition) -> Result<Put, ClusterError> {
        let body = self.body(name, bytes);
        let written = match condition {
            Condition::Absent => self.create(body).await?,
            Condition::Matches(version) => self.replace(body, &version).await?,
            Condition::Any => match self.create(body.clone()).await? {
                Some(map) => Some(map),
                None => {
                    let map = map_name(name);
                    Some(self.cluster.merge(&Kind::CONFIG_MAP, &self.namespace, &map, body, None).await?)
                }
            },
        };
        Ok(written.map_or(Put::ConditionFailed, |map| Put::Written(version(&map))))
    }
}

#[async_trait]
impl ObjectStore for ConfigMaps {
    fn describe(&self) -> String {
        format!("the ConfigMaps in namespace `{}` of cluster `{}`", self.namespace, self.cluster.name())
    }

    async fn get(&self, name: &str) -> Result<Option<Object>, StoreError> {
        let map = self.cluster.get(&Kind::CONFIG_MAP, &self.namespace, &map_name(name)).await.map_err(in_cluster)?;
        // One without a record was emptied by somebody: an unreadable record, not a run that never was.
        Ok(map.map(|map| Object { bytes: content(&map).unwrap_or_default(), etag: version(&map) }))
    }

    async fn get_range(&self, name: &str, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        let bytes = self.get(name).await?.map(|object| object.bytes).unwrap_or_default();
        let end = usize::try_from(offset.saturating_add(length)).unwrap_or(usize::MAX).min(bytes.len());
        Ok(bytes.slice(usize::try_from(offset).unwrap_or(usize::MAX).min(end)..end))
    }

    async fn put(&self, name: &str, bytes: Bytes, condition: Condition) -> Result<Put, StoreError> {
        self.write(name, &bytes, condition).await.map_err(in_cluster)
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let deleted = self.cluster.delete(&Kind::CONFIG_MAP, &self.namespace, &map_name(name), None).await;
        deleted.map(drop).map_err(in_cluster)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        // The name of a series can't be read off that of its ConfigMap, and nobody asks for it.
        let maps = if prefix.starts_with("seen/") { Vec::new() } else { self.all("run").await.map_err(in_cluster)? };
        let entry = |map: DynamicObject| {
            let key = map.metadata.name.as_deref()?.strip_prefix("dr-run-")?.to_owned();
            Some(Entry { name: format!("runs/{key}.json"), size: content(&map).map_or(0, |bytes| bytes.len() as u64) })
        };
        Ok(maps.into_iter().filter_map(entry).filter(|entry| entry.name.starts_with(prefix)).collect())
    }
}

/// `runs/<key>.json` is `dr-run-<key>`; a series may hold letters that no ConfigMap's name can.
fn map_name(name: &str) -> String {
    match name.strip_prefix("runs/").and_then(|rest| rest.strip_suffix(".json")) {
        Some(key) => format!("dr-run-{key}"),
        None => format!("dr-seen-{}", hex::encode(&Sha256::digest(name)[..16])),
    }
}

fn content(map: &DynamicObject) -> Option<Bytes> {
    map.data["data"][DATA].as_str().map(|text| Bytes::copy_from_slice(text.as_bytes()))
}

fn version(map: &DynamicObject) -> String {
    map.metadata.resource_version.clone().unwrap_or_default()
}

fn in_cluster(error: ClusterError) -> StoreError {
    StoreError::Cluster(Box::new(error))
}

fn failed(error: ClusterError) -> LedgerError {
    LedgerError::Store(in_cluster(error))
}

#[cfg(test)]
mod tests;
