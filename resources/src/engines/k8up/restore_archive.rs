//! Restores a point into a bucket, as one compressed file: the engine's side of the restore state machine.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use super::orders::{Orders, RESTORE};
use super::restore::Own;
use crate::engines::concepts::RestoreEngine;
use crate::engines::kubernetes::objects::Wanted;
use crate::ledger::PinnedPoint;
use crate::run::{EngineError, Journal, Listing, Points, Probe, Restore, Restored, Safety, TargetState};
use crate::store::{ObjectStore, StoreError};
use crate::waiting::Patience;
use crate::words::counted;

/// By what k8up's log shows that all of a point went out.
const DONE: &str = "restore finished";

/// What k8up's names of archives end with.
const SUFFIX: &str = ".tar.gz";

/// The archives of one claim in a bucket.
#[derive(Clone)]
pub struct Archives {
    /// The bucket.
    pub store: Arc<dyn ObjectStore>,
    /// The namespace that was backed up.
    pub namespace: String,
    /// The claim that was backed up.
    pub pvc: String,
}

impl Archives {
    /// When the point was taken that a file holds; none where it is no archive of this claim.
    fn time_of(&self, name: &str) -> Option<Timestamp> {
        let rest = name.strip_prefix(&format!("backup-{}-{}-", self.namespace, self.pvc))?;
        rest.strip_suffix(SUFFIX)?.parse().ok()
    }

    async fn times(&self) -> Result<Vec<Timestamp>, StoreError> {
        let entries = match self.store.list("").await {
            Err(StoreError::Missing { .. }) => Vec::new(),
            entries => entries?,
        };
        Ok(entries.iter().filter_map(|entry| self.time_of(&entry.name)).collect())
    }

    /// What the bucket looks like. An archive of whatever point counts.
    pub async fn probe(&self) -> Result<Probe, StoreError> {
        let of = format!("claim {} of namespace {}", self.pvc, self.namespace);
        let place = self.store.describe();
        let (state, evidence) = match self.times().await?.len() {
            0 => (TargetState::Missing, format!("{place} holds no archive of {of}")),
            count => (TargetState::Present, format!("{place} holds {} of {of}", counted(count, "archive", "archives"))),
        };
        Ok(Probe { state, incarnation: Some(place), born: None, evidence })
    }
}

/// A point to put into a bucket.
pub struct ArchiveRestore {
    /// k8up, in a namespace.
    pub orders: Orders,
    /// What is taken.
    pub own: Own,
    /// Where it goes.
    pub archives: Archives,
    /// The Secrets that go with the run.
    pub secrets: Vec<Wanted>,
    /// What is asked for, without the point.
    pub spec: Value,
}

fn before(error: StoreError) -> EngineError {
    EngineError::nothing_written(error.to_string())
}

#[async_trait]
impl Points for ArchiveRestore {
    async fn list(&self) -> Result<Listing, EngineError> {
        self.own.list().await
    }

    async fn ready(&self, patience: Patience) -> Result<(), EngineError> {
        self.orders.ready(&RESTORE, patience).await
    }

    async fn last_seen(&self, object: Option<&str>) -> Option<String> {
        Some(self.orders.last_seen(&RESTORE, object?).await)
    }

    async fn check_readable(&self, point: &PinnedPoint) -> Result<(), EngineError> {
        self.own.check_holds(point).await
    }
}

#[async_trait]
impl Restore for ArchiveRestore {
    async fn probe(&self) -> Result<Probe, EngineError> {
        self.archives.probe().await.map_err(before)
    }

    async fn restore(&self, point: &PinnedPoint, _: bool, journal: &Journal) -> Result<Restored, EngineError> {
        let (own, _) = self.own.points().await?;
        let Some(stored) = own.into_iter().find(|own| own.id == point.id) else {
            return Err(EngineError::nothing_written(format!("the repository holds no point {} any more", point.id)));
        };
        let of_this = |spec: &Value| spec["snapshot"] == *point.id;
        let under_way = self.orders.under_way(&RESTORE, journal, of_this).await?;
        let followed = async {
            let name = match under_way {
                Some(object) => object.metadata.name.unwrap_or_default(),
                None => {
                    let record = journal.record().await;
                    self.orders.put_secrets(&self.secrets, &record.key).await?;
                    let name = self.orders.free_name(&RESTORE, &record).await?;
                    let mut spec = self.spec.clone();
                    spec["snapshot"] = point.id.clone().into();
                    self.orders.make(&RESTORE, &name, spec, journal).await?;
                    self.orders.go_with(&self.secrets, &RESTORE, &name).await;
                    name
                }
            };
            self.orders.follow_restore(&name, DONE).await
        };
        let followed = followed.await;
        self.orders.remove_secrets(&self.secrets).await;
        followed?;
        let known = |number: Option<u64>| number.unwrap_or_default();
        Ok(Restored { bytes: known(stored.bytes), items: known(stored.items), warnings: Vec::new() })
    }

    /// The file is there. k8up names it by the second of the point.
    async fn verify(&self, point: &PinnedPoint, _: &Journal) -> Result<(), EngineError> {
        let times = self.archives.times().await.map_err(|error| EngineError::new(error.to_string()))?;
        if times.iter().any(|time| time.as_second() == point.time.as_second()) {
            return Ok(());
        }
        let place = self.archives.store.describe();
        Err(EngineError::new(format!("{place} holds no archive of the point {} after its restore", point.id)))
    }
}

#[async_trait]
impl Safety for ArchiveRestore {
    async fn take(&self, _: &Journal) -> Result<PinnedPoint, EngineError> {
        Err(EngineError::nothing_written("archives in a bucket are not saved: set safety_backup = false"))
    }
}

impl RestoreEngine for ArchiveRestore {
    fn landmark(&self) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::local::LocalStore;

    fn archives(folder: &std::path::Path) -> Archives {
        Archives { store: Arc::new(LocalStore::new(folder)), namespace: "wiki".to_owned(), pvc: "data".to_owned() }
    }

    #[test]
    fn an_archive_is_of_one_claim_and_one_second() {
        let archives = archives(std::path::Path::new("/nowhere"));
        let time = |name: &str| archives.time_of(name).map(|time| time.to_string());
        assert_eq!(time("backup-wiki-data-2026-11-21T03:04:05Z.tar.gz").as_deref(), Some("2026-11-21T03:04:05Z"));
        assert_eq!(time("backup-wiki-data-2026-11-21T04:04:05+01:00.tar.gz").as_deref(), Some("2026-11-21T03:04:05Z"));
        for other in ["backup-wiki-data-old-2026-11-21T03:04:05Z.tar.gz", "backup-wiki-data-2026-11-21T03:04:05Z", "x"]
        {
            assert_eq!(time(other), None, "{other}");
        }
    }

    #[tokio::test]
    async fn a_bucket_that_is_not_there_holds_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let archives = archives(&folder.path().join("bucket"));
        assert_eq!(archives.probe().await.unwrap().state, TargetState::Missing);
        std::fs::create_dir(folder.path().join("bucket")).unwrap();
        std::fs::write(folder.path().join("bucket/backup-wiki-data-2026-11-21T03:04:05Z.tar.gz"), "x").unwrap();
        assert_eq!(archives.probe().await.unwrap().state, TargetState::Present);
    }
}
