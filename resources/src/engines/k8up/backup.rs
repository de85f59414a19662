//! Backs the volumes of a namespace up with k8up: the engine's side of the backup state machine.

use std::collections::BTreeSet;

use async_trait::async_trait;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::claims::{self, Labels};
use super::orders::{BACKUP, End, Orders, before};
use super::repository;
use super::said::Said;
use crate::connections::kubernetes::{DynamicObject, Kind};
use crate::engines::restic::points::{Phase, Point};
use crate::engines::restic::restore::as_run_point;
use crate::engines::restic::site::{Site, failure};
use crate::ledger::PinnedPoint;
use crate::run::{
    Backup, BackupStored, EngineError, FirstUse, Held, History, Journal, Listing, Points, Probe, ReadBack, TargetState,
};
use crate::waiting::Patience;

/// The volumes of a namespace.
pub struct VolumeBackup {
    /// k8up, in the namespace.
    pub orders: Orders,
    /// The repository.
    pub site: Site,
    /// What is backed up, in k8up's words.
    pub spec: Value,
    /// The same for us.
    pub selectors: Vec<Labels>,
}

impl VolumeBackup {
    async fn points(&self) -> Result<Vec<Point>, EngineError> {
        let mut points = repository::points(&self.site).await.map_err(|error| failure(&error))?;
        points.retain(|point| point.host == self.orders.namespace && point.phase != Phase::Unreadable);
        Ok(points)
    }

    /// The names of the claims that a Backup takes which was made at a moment, or is about to be.
    async fn wanted(&self, made: Option<jiff::Timestamp>) -> Result<Vec<Wanted>, EngineError> {
        let Orders { cluster, namespace, .. } = &self.orders;
        let claims = claims::backed_up(cluster, namespace, &self.selectors).await.map_err(before)?;
        let born = |claim: &DynamicObject| claim.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let was_there = |claim: &&DynamicObject| made.is_none_or(|made| born(claim).is_none_or(|born| born <= made));
        Ok(claims.iter().filter(was_there).map(Wanted::of).collect())
    }

    /// What the repository holds because of this object, whatever the object says.
    async fn outcome(
        &self,
        name: &str,
        tag: &str,
        old: &BTreeSet<String>,
        wanted: Vec<Wanted>,
    ) -> Result<BackupStored, EngineError> {
        let end = self.orders.ended(&BACKUP, name).await?;
        if matches!(end, End::Untouched | End::Crowded) {
            return Err(self.orders.take_back(&BACKUP, name, &end).await?);
        }
        let called = BACKUP.called(&self.orders.namespace, name);
        if let End::Failed(why) = &end {
            return Err(EngineError::new(format!("{called} failed: {why}; the log of its pods says more")));
        }
        let said = self.orders.said(name).await;
        let mut new = self.points().await?;
        new.retain(|point| point.tags.iter().any(|own| own == tag) && !old.contains(&point.id));
        let Some(newest) = new.first().and_then(as_run_point) else {
            let ended = if end == End::Gone { "is gone" } else { "succeeded by its own word" };
            let why = "are there claims with a volume in the namespace, and does `label_selectors` fit them?";
            return Err(EngineError::new(format!("{called} {ended}, and the repository holds no point of it: {why}")));
        };
        let held = Held {
            bytes: new.iter().filter_map(|point| point.bytes).sum(),
            items: new.iter().filter_map(|point| point.items).sum(),
        };
        let point = PinnedPoint { id: newest.id, time: newest.time, bytes: newest.bytes };
        let stored = format!("What was stored is kept: the newest is point {}", point.id);
        let mut warnings = match said {
            Said::All => Vec::new(),
            Said::Unread(what) => {
                return Err(EngineError::new(format!(
                    "{called} succeeded by its own word, and restic could not read all of it: {}. {stored}",
                    what.join("; ")
                )));
            }
            Said::Unknown(why) => {
                vec![format!("Whether restic could read every file for {called} can't be told: {why}")]
            }
        };
        match self.left_out(&new, wanted).await? {
            LeftOut::None => {}
            LeftOut::ByTheOperator(names) => warnings.push(format!(
                "k8up stored nothing of the claims without the annotation {}, as its operator seems to be told: {}",
                claims::ANNOTATION,
                names.join(", ")
            )),
            LeftOut::Unasked(names) => {
                return Err(EngineError::new(format!(
                    "{called} succeeded by its own word, and k8up stored nothing of {}. It passes over claims that are neither \
                     ReadWriteOnce nor ReadWriteMany, or whose volume it can't look up: annotate one with {annotation} = \
                     \"true\" to have it taken, or with {annotation} = \"false\" or by label_selectors to leave it out. {stored}",
                    names.join(", "),
                    annotation = claims::ANNOTATION,
                )));
            }
        }
        Ok(BackupStored { point, held, warnings })
    }

    /// Claims that should be in the backup and are not: k8up passes over some without a word. One that went meanwhile is none.
    async fn left_out(&self, new: &[Point], wanted: Vec<Wanted>) -> Result<LeftOut, EngineError> {
        let there = self.wanted(None).await?;
        let is_stored = |claim: &Wanted| new.iter().any(|point| repository::claim_of(point) == Some(&claim.name));
        let is_there = |claim: &Wanted| there.iter().any(|other| other.name == claim.name);
        let (stored, missing): (Vec<Wanted>, Vec<Wanted>) = wanted.into_iter().partition(is_stored);
        Ok(LeftOut::of(&stored, missing.into_iter().filter(is_there).collect()))
    }
}

/// A claim that a backup takes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Wanted {
    name: String,
    /// Whether its annotation says so.
    asked: bool,
}

impl Wanted {
    fn of(claim: &DynamicObject) -> Self {
        let name = claim.metadata.name.clone().unwrap_or_default();
        Wanted { name, asked: claims::is_annotated(claim) }
    }
}

/// Claims of which nothing was stored.
#[derive(Debug, PartialEq, Eq)]
enum LeftOut {
    None,
    /// An operator with `BACKUP_SKIP_WITHOUT_ANNOTATION` takes only claims with the annotation.
    ByTheOperator(Vec<String>),
    /// Nobody said so.
    Unasked(Vec<String>),
}

impl LeftOut {
    fn of(stored: &[Wanted], missing: Vec<Wanted>) -> Self {
        let opt_in = !stored.is_empty() && stored.iter().all(|claim| claim.asked);
        let by_operator = opt_in && missing.iter().all(|claim| !claim.asked);
        let names: Vec<String> = missing.into_iter().map(|claim| claim.name).collect();
        match (names.is_empty(), by_operator) {
            (true, _) => LeftOut::None,
            (false, true) => LeftOut::ByTheOperator(names),
            (false, false) => LeftOut::Unasked(names),
        }
    }
}

#[async_trait]
impl Points for VolumeBackup {
    async fn list(&self) -> Result<Listing, EngineError> {
        let points = self.points().await?.iter().filter_map(as_run_point).collect();
        let first_use = FirstUse::NotProven("a backup does not ask".to_owned());
        let looked = self.site.place();
        Ok(Listing { points, first_use, looked, near_misses: Vec::new(), unreadable: Vec::new() })
    }

    async fn ready(&self, patience: Patience) -> Result<(), EngineError> {
        self.orders.ready(&BACKUP, patience).await
    }

    async fn last_seen(&self, object: Option<&str>) -> Option<String> {
        Some(self.orders.last_seen(&BACKUP, object?).await)
    }

    async fn check_readable(&self, _: &PinnedPoint) -> Result<(), EngineError> {
        Ok(())
    }
}

#[async_trait]
impl Backup for VolumeBackup {
    /// The namespace stands for all; each claim is looked at by [`Backup::histories`].
    async fn probe(&self) -> Result<Probe, EngineError> {
        let Orders { cluster, namespace, .. } = &self.orders;
        let found = cluster.get(&Kind::NAMESPACE, "", namespace).await.map_err(before)?;
        Ok(Probe {
            state: if found.is_some() { TargetState::Present } else { TargetState::Missing },
            born: found.as_ref().and_then(|found| found.metadata.creation_timestamp.as_ref()).map(|time| time.0),
            evidence: format!("namespace {namespace} on cluster `{}`", cluster.name()),
            incarnation: found.and_then(|found| found.metadata.uid),
        })
    }

    async fn histories(&self) -> Result<Vec<History>, EngineError> {
        let Orders { cluster, namespace, .. } = &self.orders;
        let claims = claims::backed_up(cluster, namespace, &self.selectors).await.map_err(before)?;
        Ok(claims::histories(cluster, namespace, &claims, &self.points().await?))
    }

    fn reads(&self) -> Option<String> {
        Some(hex::encode(&Sha256::digest(self.spec.to_string())[..8]))
    }

    async fn backup(&self, journal: &Journal) -> Result<BackupStored, EngineError> {
        let tag = format!("dr-run-{}", journal.key().await);
        let tagged = |spec: &Value| spec["tags"].as_array().is_some_and(|tags| tags.iter().any(|own| *own == *tag));
        let record = journal.record().await;
        if let Some(object) = self.orders.under_way(&BACKUP, journal, tagged).await? {
            // A process that died made it. Points of an attempt before that are older.
            let made = object.metadata.creation_timestamp.as_ref().map(|time| time.0);
            let mut old = self.points().await?;
            old.retain(|point| point.timestamp() < made);
            let old = old.into_iter().map(|point| point.id).collect();
            let wanted = self.wanted(made).await?;
            return self.outcome(&object.metadata.name.unwrap_or_default(), &tag, &old, wanted).await;
        }
        let old: BTreeSet<String> = self.points().await?.into_iter().map(|point| point.id).collect();
        let wanted = self.wanted(None).await?;
        let made = self.site.make_for_others().await;
        made.map_err(|error| EngineError { before_first_write: true, ..failure(&error) })?;
        let name = self.orders.free_name(&BACKUP, &record).await?;
        let mut spec = self.spec.clone();
        let mut tags = spec["tags"].as_array().cloned().unwrap_or_default();
        tags.push(json!(tag));
        spec["tags"] = tags.into();
        self.orders.make(&BACKUP, &name, spec, journal).await?;
        self.outcome(&name, &tag, &old, wanted).await
    }

    async fn verify(&self, point: &PinnedPoint, depth: ReadBack, journal: &Journal) -> Result<(), EngineError> {
        self.site.read_back(point, depth, journal).await
    }

    /// k8up removes points in runs of its own.
    async fn retain(&self, _: &[PinnedPoint], _: &Journal) -> Result<Vec<String>, EngineError> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(names: &[(&str, bool)]) -> Vec<Wanted> {
        names.iter().map(|(name, asked)| Wanted { name: (*name).to_owned(), asked: *asked }).collect()
    }

    #[test]
    fn a_claim_that_k8up_passes_over_is_an_error_unless_its_operator_takes_only_what_is_annotated() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(LeftOut::of(&claims(&[("data", false)]), Vec::new()), LeftOut::None);
        let left_out = LeftOut::of(&claims(&[("data", false)]), claims(&[("pod", false)]));
        assert_eq!(left_out, LeftOut::Unasked(names(&["pod"])));
        let left_out = LeftOut::of(&claims(&[("data", true)]), claims(&[("pod", false)]));
        assert_eq!(left_out, LeftOut::ByTheOperator(names(&["pod"])));
        let left_out = LeftOut::of(&claims(&[("data", true)]), claims(&[("pod", false), ("asked", true)]));
        assert_eq!(left_out, LeftOut::Unasked(names(&["pod", "asked"])));
        assert_eq!(LeftOut::of(&[], claims(&[("pod", false)])), LeftOut::Unasked(names(&["pod"])));
    }
}
