//! What a restore is about to overwrite, saved in a repository of its own: VolSync can't mark a snapshot, so that one of a
//! spoilt claim would be the newest of the series, and the schedule would remove it with its own.

use async_trait::async_trait;
use serde_json::json;

use super::backup::saved;
use super::mover::Mover;
use super::restore::ClaimRestore;
use super::secret::{remove_copy, with_secret};
use super::{SOURCE, site};
use crate::engines::kubernetes::{owned, safety};
use crate::engines::restic::restore::as_run_point;
use crate::engines::restic::site::{Site, failure};
use crate::ledger::{PinnedPoint, engine_object_name};
use crate::run::{EngineError, Journal, Safety};

/// How the names of a run's objects end that are about its safety backup.
pub const SAFETY: &str = "-safety";

impl ClaimRestore {
    /// The repository of safety backups.
    pub fn safety_repository(&self) -> Site {
        safety::repository(&self.repository)
    }

    /// The repository's Secret, under another name and with the place of safety backups.
    pub async fn put_safety_secret(&self, name: &str, key: &str) -> Result<(), EngineError> {
        let Mover { cluster, namespace, .. } = &self.mover;
        let place = |place: &str| safety::beside(place, &self.repository.location);
        self.secret.copy_to((cluster, namespace), name, key, place).await
    }

    /// What saves the claim.
    pub fn source(&self) -> Mover {
        let Mover { cluster, watches, namespace, claim, .. } = &self.mover;
        Mover {
            cluster: cluster.clone(),
            watches: watches.clone(),
            namespace: namespace.clone(),
            claim: claim.clone(),
            kind: SOURCE,
            jobs: "volsync-src-",
        }
    }

    async fn save(&self, name: &str, journal: &Journal) -> Result<String, EngineError> {
        let key = journal.key().await;
        let mut restic = with_secret(&self.restic, name);
        if let Some(fields) = restic.as_object_mut() {
            // These are a ReplicationDestination's own.
            fields.remove("destinationPVC");
            fields.remove("enableFileDeletion");
        }
        restic["retain"] = json!({ "within": "100y" });
        let spec = json!({ "sourcePVC": self.mover.claim, "trigger": { "manual": key }, "restic": restic });
        let source = self.source();
        if !source.is_ordered(name, &spec, journal).await? {
            source.order(name, &spec, journal).await?;
        }
        owned::by(&source.cluster, &source.namespace, name, &SOURCE, name).await;
        let ended = source.ended(name, &key).await;
        let cleared = source.clear(name).await;
        let log = ended?;
        cleared?;
        saved(&log).map(str::to_owned)
    }
}

#[async_trait]
impl Safety for ClaimRestore {
    async fn take(&self, journal: &Journal) -> Result<PinnedPoint, EngineError> {
        let record = journal.record().await;
        let name = format!("{}{SAFETY}", engine_object_name(&record.name, &record.key));
        self.put_safety_secret(&name, &record.key).await?;
        let saved = self.save(&name, journal).await;
        remove_copy(&self.mover.cluster, &self.mover.namespace, &name).await;
        // Nothing of the claim is written yet.
        let id = saved.map_err(|error| {
            let message = format!("{error}. Without anything to save, set safety_backup = false");
            EngineError { message, before_first_write: true, ..error }
        })?;
        let all = site::points(&self.safety_repository()).await.map_err(|error| failure(&error))?;
        let stored = all.iter().find(|point| point.id.starts_with(&id)).and_then(as_run_point);
        let missing = || EngineError::nothing_written(format!("the safety backup {id} was saved and is not listed"));
        stored.map(|stored| stored.pinned()).ok_or_else(missing)
    }
}
