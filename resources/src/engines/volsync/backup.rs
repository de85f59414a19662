//! Backs a claim up with a ReplicationSource of its own: the engine's side of the backup state machine.

use async_trait::async_trait;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::claim::{Freshness, probe};
use super::mover::{Mover, before, last};
use super::{site, standing};
use crate::connections::kubernetes::Kind;
use crate::engines::restic::points::Point;
use crate::engines::restic::restore::as_run_point;
use crate::engines::restic::site::{Site, failure};
use crate::ledger::{PinnedPoint, engine_object_name};
use crate::run::{Backup, BackupStored, EngineError, FirstUse, Held, Journal, Listing, Points, Probe, ReadBack};
use crate::waiting::Patience;

/// How often a snapshot is stored that the retention of another run has removed before anybody saw it.
const TRIES: usize = 3;

/// A claim to back up.
pub struct ClaimBackup {
    /// What moves the bytes.
    pub mover: Mover,
    /// Where they go.
    pub repository: Site,
    /// `spec.restic` of the ReplicationSource, without what it keeps.
    pub restic: Value,
}

impl ClaimBackup {
    async fn all(&self) -> Result<Vec<Point>, EngineError> {
        site::points(&self.repository).await.map_err(|error| failure(&error))
    }

    /// Has one snapshot stored; the beginning of its id.
    async fn store(&self, journal: &Journal) -> Result<String, EngineError> {
        let record = journal.record().await;
        let name = engine_object_name(&record.name, &record.key);
        let spec = self.spec(&record.key);
        // A second backup is harmless, a missing one is not.
        if !self.mover.is_under_way(&name, &spec, journal).await? {
            self.mover.order(&name, &spec, journal).await?;
        }
        let ended = self.mover.ended(&name, &record.key).await;
        // A failed one is begun anew for ever.
        let cleared = self.mover.clear(&name).await;
        let log = ended?;
        let id = saved(&log)?.to_owned();
        cleared.map(|_| id)
    }

    /// Every run of VolSync's removes what it is not told to keep, and the schedule's own policy is for the schedule to apply.
    fn spec(&self, key: &str) -> Value {
        let mut spec =
            json!({ "sourcePVC": self.mover.claim, "trigger": { "manual": key }, "restic": self.restic.clone() });
        spec["restic"]["retain"] = json!({ "within": "100y" });
        spec
    }
}

/// The id of the snapshot that a mover saved, as its log shows it.
pub fn saved(log: &str) -> Result<&str, EngineError> {
    let of_line = |line| {
        let words: Vec<&str> = str::split_whitespace(line).collect();
        matches!(words.as_slice(), ["snapshot", _, "saved"]).then(|| words[1])
    };
    if let Some(id) = log.lines().find_map(of_line) {
        return Ok(id);
    }
    if log.contains("Directory is empty") {
        return Err(EngineError::nothing_there("the claim is empty, and VolSync stores nothing of an empty one"));
    }
    Err(EngineError::new(format!("VolSync's mover does not say that it saved a snapshot, but: {}", last(log))))
}

#[async_trait]
impl Points for ClaimBackup {
    async fn list(&self) -> Result<Listing, EngineError> {
        let series = site::series();
        let points = self.all().await?.iter().filter(|point| series.holds(point)).filter_map(as_run_point).collect();
        let first_use = FirstUse::NotProven("a backup does not ask".to_owned());
        let looked = self.repository.place();
        Ok(Listing { points, first_use, looked, near_misses: Vec::new(), unreadable: Vec::new() })
    }

    async fn ready(&self, patience: Patience) -> Result<(), EngineError> {
        self.mover.ready(patience).await
    }

    async fn last_seen(&self, object: Option<&str>) -> Option<String> {
        Some(self.mover.last_seen(object?).await)
    }

    async fn check_readable(&self, _: &PinnedPoint) -> Result<(), EngineError> {
        Ok(())
    }
}

#[async_trait]
impl Backup for ClaimBackup {
    async fn probe(&self) -> Result<Probe, EngineError> {
        let Mover { cluster, namespace, claim, .. } = &self.mover;
        let seen = probe(cluster, namespace, claim, Freshness::Now).await.map_err(before)?;
        match standing::has_filled(cluster, namespace, claim).await? {
            true => Ok(Probe { born: None, ..seen }),
            false => Ok(seen),
        }
    }

    fn reads(&self) -> Option<String> {
        let Mover { namespace, claim, .. } = &self.mover;
        Some(hex::encode(&Sha256::digest(format!("{namespace}/{claim}"))[..8]))
    }

    async fn backup(&self, journal: &Journal) -> Result<BackupStored, EngineError> {
        let Mover { cluster, namespace, claim, .. } = &self.mover;
        if cluster.get(&Kind::PVC, namespace, claim).await.map_err(before)?.is_none() {
            return Err(EngineError::nothing_written(format!("{} does not exist", Kind::PVC.called(namespace, claim))));
        }
        let made = self.repository.make_for_others().await;
        made.map_err(|error| EngineError { before_first_write: true, ..failure(&error) })?;
        let mut gone = Vec::new();
        while gone.len() < TRIES {
            let id = self.store(journal).await?;
            let all = self.all().await?;
            // The schedule's source names its snapshots alike. When it ends while this one is made, what it keeps of an hour
            // or a day is its own.
            let Some(point) = all.iter().find(|point| point.id.starts_with(&id)) else {
                gone.push(id);
                continue;
            };
            let unreadable = || EngineError::new(format!("snapshot {id} was saved and can't be read"));
            let stored = as_run_point(point).ok_or_else(unreadable)?;
            // Programs before restic 0.17 wrote no figures down; an empty claim was an error above.
            let held = Held { bytes: stored.bytes.unwrap_or_default(), items: stored.items.unwrap_or(1) };
            return Ok(BackupStored { point: stored.pinned(), held, warnings: Vec::new() });
        }
        Err(EngineError::new(format!(
            "snapshots {} were saved and removed again before they were seen: by the retention of whatever else backs up into \
             this repository, most likely a schedule that runs all the time",
            gone.join(", ")
        )))
    }

    async fn verify(&self, point: &PinnedPoint, depth: ReadBack, journal: &Journal) -> Result<(), EngineError> {
        self.repository.read_back(point, depth, journal).await
    }

    /// The schedule's own source applies its policy with its next run.
    async fn retain(&self, _: &[PinnedPoint], _: &Journal) -> Result<Vec<String>, EngineError> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_snapshot_that_was_saved_is_read_from_the_log() {
        let log =
            "no parent snapshot found, will read all files\nprocessed 2 files, 8 B in 0:00\nsnapshot 1e5fb9a8 saved\n";
        assert_eq!(saved(log).unwrap(), "1e5fb9a8");
        assert!(saved("== Directory is empty skipping backup ===").unwrap_err().to_string().contains("empty"));
        assert!(saved("Fatal: wrong").unwrap_err().to_string().contains("Fatal: wrong"));
    }
}
