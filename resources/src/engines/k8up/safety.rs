//! What a restore is about to overwrite, saved by a Backup of its own of that one claim, in a repository of its own: the
//! schedule's prune, which removes by host, never sees it.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::orders::{BACKUP, End, Orders, before};
use super::repository;
use super::restore::ClaimRestore;
use super::said::Said;
use crate::connections::kubernetes::Kind;
use crate::engines::kubernetes::safety;
use crate::engines::restic::points::{Phase, Point, SAFETY_TAG};
use crate::engines::restic::restore::as_run_point;
use crate::engines::restic::site::{Site, failure};
use crate::ledger::{PinnedPoint, Record};
use crate::run::{EngineError, Journal, Safety};

/// The label of a claim while it is saved: k8up chooses claims by their labels alone.
pub const LABEL: &str = "dr/safety";

/// A spec with its repository beside itself.
fn moved(spec: &Value, site: &Site) -> Value {
    let mut spec = spec.clone();
    let bucket = spec["backend"]["s3"]["bucket"].as_str().unwrap_or_default();
    spec["backend"]["s3"]["bucket"] = safety::beside(bucket, &site.location).into();
    spec
}

/// The spec of the Backup, made of that of the Restore.
fn backup_spec(restore: &Value, site: &Site, key: &str) -> Value {
    let mut spec = json!({
        "tags": [SAFETY_TAG, tag_of(key)],
        "labelSelectors": [{ "matchLabels": { LABEL: key } }],
    });
    for field in ["backend", "volumes", "podSecurityContext", "podConfigRef"] {
        if let Some(value) = restore.get(field) {
            spec[field] = value.clone();
        }
    }
    moved(&spec, site)
}

/// The spec of a Restore that brings everything back, made of that of the one that went wrong: what the safety backup does
/// not hold came with that one.
pub fn rollback_spec(restore: &Value, site: &Site, pvc: &str) -> Value {
    let mut spec = moved(restore, site);
    spec["paths"] = json!([format!("/data/{pvc}")]);
    spec["delete"] = true.into();
    if let Some(fields) = spec.as_object_mut() {
        fields.remove("restoreFilter");
    }
    spec
}

fn tag_of(key: &str) -> String {
    format!("dr-run-{key}")
}

impl ClaimRestore {
    /// The repository of safety backups.
    pub fn safety_site(&self) -> Site {
        safety::repository(&self.own.site)
    }

    /// The safety backups of a run, newest first: those of earlier attempts too.
    async fn saved(&self, key: &str) -> Result<Vec<PinnedPoint>, EngineError> {
        let tag = tag_of(key);
        let all = repository::points(&self.safety_site()).await.map_err(|error| failure(&error))?;
        let taken = |point: &&Point| {
            point.phase == Phase::Safety
                && point.tags.contains(&tag)
                && repository::claim_of(point) == Some(self.pvc.as_str())
        };
        Ok(all.iter().filter(taken).filter_map(as_run_point).map(|point| point.pinned()).collect())
    }

    async fn label(&self, value: Value) -> Result<(), EngineError> {
        let labels = json!({ "metadata": { "labels": { LABEL: value } } });
        let cluster = &self.orders.cluster;
        cluster.merge(&Kind::PVC, &self.orders.namespace, &self.pvc, labels, None).await.map(drop).map_err(before)
    }

    /// Whether what a dead attempt took is there, and known to be whole: by the logs, for which its object has to be there.
    async fn is_saved(&self, record: &Record) -> Result<bool, EngineError> {
        if self.saved(&record.key).await?.is_empty() {
            return Ok(false);
        }
        let Some(name) = &record.engine_object else { return Ok(false) };
        let Orders { cluster, namespace, .. } = &self.orders;
        let there = cluster.get(&BACKUP, namespace, name).await.map_err(before)?.is_some();
        Ok(there && self.orders.said(name).await == Said::All)
    }

    /// Takes it, or waits for what a dead attempt began. What was there before it is none of this attempt's.
    async fn save(&self, journal: &Journal) -> Result<Vec<PinnedPoint>, EngineError> {
        let record = journal.record().await;
        let key = record.key.as_str();
        let ours = |spec: &Value| spec["tags"].as_array().is_some_and(|tags| tags.contains(&tag_of(key).into()));
        // An attempt that ended cleared it: one that is there is of this attempt, whose process died.
        let resumed = record.engine_object.is_some() && !record.unsaved;
        let mut earlier = Vec::new();
        let name = match self.orders.under_way(&BACKUP, journal, ours).await? {
            Some(object) => object.metadata.name.unwrap_or_default(),
            None if resumed && self.is_saved(&record).await? => {
                self.orders.clear(&BACKUP, &record).await?;
                return Ok(earlier);
            }
            None => {
                self.orders.clear(&BACKUP, &record).await?;
                self.refuse_in_use().await?;
                earlier = self.saved(key).await?;
                let name = self.orders.free_name(&BACKUP, &record).await?;
                let spec = backup_spec(&self.spec, &self.own.site, key);
                self.orders.make(&BACKUP, &name, spec, journal).await?;
                self.orders.go_with(self.secret.as_slice(), &BACKUP, &name).await;
                name
            }
        };
        let called = BACKUP.called(&self.orders.namespace, &name);
        match self.orders.ended(&BACKUP, &name).await? {
            End::Succeeded | End::Gone => {
                let said = self.orders.said(&name).await;
                self.orders.remove(&BACKUP, &name).await?;
                match said {
                    // It had no pods: k8up saved nothing.
                    Said::Unknown(_) if self.saved(key).await?.len() <= earlier.len() => Ok(earlier),
                    said => whole(&called, said).map(|()| earlier),
                }
            }
            End::Failed(why) => Err(EngineError::new(format!("{called} failed: {why}; the log of its pods says more"))),
            end @ (End::Untouched | End::Crowded) => Err(self.orders.take_back(&BACKUP, &name, &end).await?),
        }
    }
}

/// A rollback removes what the safety backup does not hold: it has to hold all.
fn whole(called: &str, said: Said) -> Result<(), EngineError> {
    match said {
        Said::All => Ok(()),
        Said::Unread(what) => Err(EngineError::new(format!(
            "{called} succeeded by its own word, and restic could not read all of the claim: {}",
            what.join("; ")
        ))),
        Said::Unknown(why) => {
            Err(EngineError::new(format!("it can't be told whether {called} holds all of the claim: {why}")))
        }
    }
}

#[async_trait]
impl Safety for ClaimRestore {
    async fn take(&self, journal: &Journal) -> Result<PinnedPoint, EngineError> {
        let record = journal.record().await;
        // An attempt that died may have left both.
        self.put_secret(&record.key).await?;
        self.label(record.key.clone().into()).await?;
        let saved = self.save(journal).await;
        if let Err(error) = self.label(Value::Null).await {
            tracing::warn!(%error, "the label of a claim that was saved could not be removed");
        }
        self.remove_secret().await;
        // Nothing of the claim is written yet.
        let earlier = saved.map_err(|error| {
            EngineError::nothing_written(format!("{error}. Without anything to save, set safety_backup = false"))
        })?;
        let stored = self.saved(&record.key).await?;
        stored.into_iter().find(|point| !earlier.iter().any(|other| other.id == point.id)).ok_or_else(|| {
            EngineError::nothing_written(format!(
                "k8up's safety backup of {} succeeded by its own word, and its repository holds no point of it: does the \
                 annotation k8up.io/backup leave the claim out?",
                self.called()
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(prefix: &str) -> Site {
        use crate::connections::s3::{S3Clients, S3Connection};
        use crate::engines::restic::worker::{Location, Worker};
        Site {
            location: Location::S3 {
                connection: S3Connection::default(),
                bucket: "bucket".to_owned(),
                prefix: prefix.to_owned(),
            },
            password: crate::secret::Secret::new("p").into(),
            lock_wait: std::time::Duration::ZERO,
            read_only: true,
            expect: None,
            worker: Worker::default(),
            clients: S3Clients::default(),
        }
    }

    fn restore() -> Value {
        json!({
            "paths": ["/data/theirs"],
            "restoreMethod": { "folder": { "claimName": "data" } },
            "restoreFilter": "*.txt",
            "podConfigRef": { "name": "pods" },
            "backend": { "s3": { "bucket": "bucket/docs" } },
            "volumes": [{ "name": "ca" }],
        })
    }

    #[test]
    fn a_safety_backup_holds_one_claim_where_no_prune_reaches_it() {
        let spec = backup_spec(&restore(), &site("docs"), "k3y");
        assert_eq!(spec["backend"]["s3"]["bucket"], "bucket/docs.dr/safety");
        assert_eq!(spec["labelSelectors"], json!([{ "matchLabels": { "dr/safety": "k3y" } }]));
        assert_eq!(spec["tags"], json!(["dr-safety", "dr-run-k3y"]));
        assert_eq!((&spec["podConfigRef"]["name"], &spec["volumes"][0]["name"]), (&json!("pods"), &json!("ca")));
        assert_eq!((spec.get("restoreMethod"), spec.get("paths")), (None, None));
    }

    #[test]
    fn a_rollback_brings_the_whole_claim_back() {
        let spec = rollback_spec(&restore(), &site("docs"), "data");
        assert_eq!(spec["paths"], json!(["/data/data"]));
        assert_eq!((&spec["delete"], spec.get("restoreFilter")), (&json!(true), None));
        assert_eq!(spec["backend"]["s3"]["bucket"], "bucket/docs.dr/safety");
        let root = json!({ "backend": { "s3": { "bucket": "bucket" } } });
        assert_eq!(rollback_spec(&root, &site(""), "data")["backend"]["s3"]["bucket"], "bucket/.dr/safety");
    }
}
