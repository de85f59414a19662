//! Restores a claim with a ReplicationDestination of its own: the engine's side of the restore state machine.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::claim::{self, Freshness, probe};
use super::mover::{Mover, before, engine, last};
use super::safety::SAFETY;
use super::secret::{RepositorySecret, remove_copy, with_secret};
use super::standing;
use super::{DESTINATION, RUN_LABEL, site, writers};
use crate::connections::kubernetes::{ClusterError, DynamicObject, Kind};
use crate::engines::concepts::RestoreEngine;
use crate::engines::kubernetes::owned;
use crate::engines::kubernetes::quiesce::{refuse_in_use, until_unused};
use crate::engines::restic::points::Point;
use crate::engines::restic::restore::as_run_point;
use crate::engines::restic::site::{Site, failure};
use crate::ledger::{PinnedPoint, Record, engine_object_name};
use crate::run::{EngineError, Journal, Listing, Points, Probe, Restore, Restored, Standing};
use crate::waiting::Patience;

/// A claim to restore.
pub struct ClaimRestore {
    /// What moves the bytes.
    pub mover: Mover,
    /// The Secret of the repository, which may be in another namespace.
    pub secret: RepositorySecret,
    /// Where the points are.
    pub repository: Site,
    /// `spec.restic` of the ReplicationDestination, without the point.
    pub restic: Value,
    /// The same for one that publishes an image; `None` where the run performs the restore.
    pub image: Option<Value>,
    /// A claim that has to be made, but for its name.
    pub made_as: Option<Value>,
}

pub async fn all(repository: &Site) -> Result<Vec<Point>, EngineError> {
    site::points(repository).await.map_err(|error| failure(&error))
}

impl ClaimRestore {
    /// The mover takes whole seconds, and the newest snapshot of one: what else it could take is refused.
    pub async fn check_second(&self, repository: &Site, pin: &PinnedPoint) -> Result<(), EngineError> {
        let all = all(repository).await?;
        let others = in_its_second(&all, pin);
        if others.is_empty() {
            return Ok(());
        }
        Err(EngineError::nothing_written(format!(
            "{} was taken in the same second as {}: VolSync chooses a recovery point by its second, so it can't be told which \
             of them it would restore. Choose another one with recovery_point, or remove one of them with restic",
            pin.id,
            others.join(", ")
        )))
    }

    /// Makes the claim where there is none; whether it did.
    async fn make_claim(&self, key: &str) -> Result<bool, EngineError> {
        if self.mover.cluster.get(&Kind::PVC, &self.mover.namespace, &self.mover.claim).await.map_err(before)?.is_some()
        {
            return Ok(false);
        }
        let mut body = self.made_as.clone().ok_or_else(|| self.unmade())?;
        body["metadata"]["name"] = self.mover.claim.clone().into();
        body["metadata"]["labels"][RUN_LABEL] = key.into();
        match self.mover.cluster.create(&Kind::PVC, &self.mover.namespace, body).await {
            Ok(_) => Ok(true),
            Err(ClusterError::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(before(error)),
        }
    }

    fn unmade(&self) -> EngineError {
        EngineError::nothing_written(format!(
            "{} does not exist: set `capacity` and `access_modes`, so that it can be made",
            Kind::PVC.called(&self.mover.namespace, &self.mover.claim)
        ))
    }
}

/// What else the mover could take for the point: it looks for `/data` anywhere in the lines that restic lists.
fn in_its_second<'a>(all: &'a [Point], pin: &PinnedPoint) -> Vec<&'a str> {
    let seen = |point: &&Point| point.id != pin.id && point.paths.iter().any(|path| path.contains("/data"));
    let second = |point: &&Point| point.timestamp().is_some_and(|time| time.as_second() == pin.time.as_second());
    all.iter().filter(seen).filter(second).map(Point::short).collect()
}

/// The pinned point's second.
pub fn as_of(point: &PinnedPoint) -> String {
    let second = jiff::Timestamp::from_second(point.time.as_second()).unwrap_or(point.time);
    second.to_string()
}

/// A mover that restored nothing ends well too, so its log has to name the point.
pub fn check_log(log: &str, point: &PinnedPoint) -> Result<(), EngineError> {
    let short = point.id.get(..8).unwrap_or(&point.id);
    if log.contains("No eligible snapshots found") || log.contains("No data will be restored") {
        return Err(EngineError::new(format!(
            "VolSync's mover found no recovery point and restored nothing, not {short}"
        )));
    }
    let restoring: Vec<&str> = log.lines().filter(|line| line.trim_start().starts_with("restoring")).collect();
    if restoring.iter().any(|line| line.split_whitespace().any(|word| word == short)) {
        return Ok(());
    }
    let did = if restoring.is_empty() { last(log) } else { restoring.join("; ") };
    Err(EngineError::new(format!("VolSync's mover does not say that it restored {short}, but: {did}")))
}

#[async_trait]
impl Points for ClaimRestore {
    async fn list(&self) -> Result<Listing, EngineError> {
        let all = all(&self.repository).await?;
        let series = site::series();
        let points: Vec<_> = all.iter().filter(|point| series.holds(point)).filter_map(as_run_point).collect();
        let near_misses = match points.is_empty() {
            true => crate::engines::restic::points::near_misses(&all, &series),
            false => Vec::new(),
        };
        let first_use = self.repository.first_use(points.len(), all.len()).await?;
        let unreadable = crate::engines::restic::points::unreadable(&all);
        let looked = format!("{} for {series}", self.repository.place());
        Ok(Listing { points, first_use, looked, near_misses, unreadable })
    }

    /// A Secret is all that a target of VolSync's is, so a restore may be the first to need the CRD.
    async fn ready(&self, patience: Patience) -> Result<(), EngineError> {
        self.mover.ready(patience).await
    }

    /// Before the restore the object is the ReplicationSource that saves the claim.
    async fn last_seen(&self, object: Option<&str>) -> Option<String> {
        let name = object?;
        let saves = self.image.is_none() && name.ends_with(SAFETY);
        Some(if saves { self.source().last_seen(name).await } else { self.mover.last_seen(name).await })
    }

    /// Everything that would end a restore badly, or well and without data, before anything is touched.
    async fn check_readable(&self, point: &PinnedPoint) -> Result<(), EngineError> {
        self.check_second(&self.repository, point).await?;
        self.secret.data().await?;
        writers::refuse(&self.mover).await?;
        let found =
            self.mover.cluster.get(&Kind::PVC, &self.mover.namespace, &self.mover.claim).await.map_err(before)?;
        if found.is_none() && self.made_as.is_none() { Err(self.unmade()) } else { Ok(()) }
    }
}

#[async_trait]
impl Restore for ClaimRestore {
    async fn probe(&self) -> Result<Probe, EngineError> {
        probe(&self.mover.cluster, &self.mover.namespace, &self.mover.claim, Freshness::Now).await.map_err(before)
    }

    async fn restore(&self, point: &PinnedPoint, _: bool, journal: &Journal) -> Result<Restored, EngineError> {
        let record = journal.record().await;
        let name = engine_object_name(&record.name, &record.key);
        let Mover { cluster, namespace, claim, jobs, .. } = &self.mover;
        writers::refuse(&self.mover).await?;
        writers::clear_dead(&self.mover, &record.key).await?;
        let own = format!("{jobs}{name}");
        let may = |pod: &DynamicObject| claim::is_reader(pod) || claim::is_of_job(pod, &own);
        refuse_in_use(cluster, namespace, claim, may).await?;
        until_unused(cluster, namespace, claim, claim::is_reader).await?;
        let is_safety = record.safety_point.as_ref().is_some_and(|safety| safety.id == point.id);
        let is_copied = is_safety || !self.secret.is_in(cluster, namespace);
        let mut restic = if is_copied { with_secret(&self.restic, &name) } else { self.restic.clone() };
        let repository = if is_safety { self.safety_repository() } else { self.repository.clone() };
        restic["restoreAsOf"] = as_of(point).into();
        if is_safety {
            // What is not in it came with the restore that is rolled back.
            restic["enableFileDeletion"] = true.into();
            self.put_safety_secret(&name, &record.key).await?;
        } else if is_copied {
            self.secret.copy_to((cluster, namespace), &name, &record.key, str::to_owned).await?;
        }
        let spec = json!({ "trigger": { "manual": record.key }, "restic": restic });
        let ordered = async {
            if self.mover.is_ordered(&name, &spec, journal).await? {
                return Ok(false);
            }
            self.check_second(&repository, point).await?;
            self.mover.make_way(&name, journal).await?;
            let made = self.make_claim(&record.key).await?;
            let ordered = self.mover.make(&name, &spec, journal).await;
            // A claim that was made for it is there, and empty: the next attempt must not take it for what it was to restore.
            ordered.map(|()| made).map_err(|error| if made { error.half_done() } else { error })
        };
        let made = match ordered.await {
            Ok(made) => made,
            Err(error) => {
                if is_copied {
                    remove_copy(cluster, namespace, &name).await;
                }
                return Err(error);
            }
        };
        if is_copied {
            owned::by(cluster, namespace, &name, &DESTINATION, &name).await;
        }
        let ended = self.mover.ended(&name, &record.key).await;
        // It is begun anew for ever, and what it restores would come over what is written since.
        let cleared = self.mover.clear(&name).await;
        if is_copied {
            remove_copy(cluster, namespace, &name).await;
        }
        let untouched = !made && matches!(cleared, Ok(false));
        let log = ended.map_err(|error| if untouched { error } else { error.half_done() })?;
        check_log(&log, point)?;
        cleared?;
        let stored = all(&repository).await?.into_iter().find(|stored| stored.id == point.id);
        let items = stored.and_then(|stored| stored.items).unwrap_or_default();
        Ok(Restored { bytes: point.bytes.unwrap_or_default(), items: items.max(1), warnings: Vec::new() })
    }

    async fn verify(&self, point: &PinnedPoint, _: &Journal) -> Result<(), EngineError> {
        // The mover's log named the point; its restic checked every blob.
        match self.mover.cluster.get(&Kind::PVC, &self.mover.namespace, &self.mover.claim).await.map_err(engine)? {
            Some(_) => Ok(()),
            None => {
                let what = Kind::PVC.called(&self.mover.namespace, &self.mover.claim);
                Err(EngineError::new(format!("{what} is not there after the restore of {}", point.id)))
            }
        }
    }

    async fn hand_over(&self, point: &PinnedPoint, journal: &Journal) -> Result<Option<String>, EngineError> {
        standing::hand_over(self, point, journal).await.map(Some)
    }

    async fn standing(&self, record: Option<&Record>) -> Result<Standing, EngineError> {
        standing::look(self, record).await
    }
}

impl RestoreEngine for ClaimRestore {
    fn landmark(&self) -> Option<String> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "1e5fb9a8b1a2c3d4e5f60718293a4b5c6d7e8f901122334455667788990011aa";

    fn pin() -> PinnedPoint {
        PinnedPoint { id: ID.to_owned(), time: "2026-11-20T10:30:07.913Z".parse().unwrap(), bytes: Some(8) }
    }

    #[test]
    fn a_point_is_asked_for_by_its_second() {
        assert_eq!(as_of(&pin()), "2026-11-20T10:30:07Z");
    }

    #[test]
    fn two_points_of_one_second_can_not_be_told_apart() {
        let point = |id: &str, time: &str, path: &str| -> Point {
            serde_json::from_value(json!({
                "id": id, "time": time, "host": "other", "paths": [path], "tags": [], "bytes": 1, "items": 1,
                "phase": "complete", "program_version": "", "parent": null,
            }))
            .unwrap()
        };
        let all = [
            point(ID, "2026-11-20T10:30:07.913Z", "/data"),
            point("2222222222", "2026-11-20T11:30:07.1+01:00", "/srv/data"),
            point("3333333333", "2026-11-20T10:30:07.5Z", "/srv/docs"),
            point("4444444444", "2026-11-20T10:30:08Z", "/data"),
        ];
        assert_eq!(in_its_second(&all, &pin()), ["22222222"]);
    }

    #[test]
    fn only_a_log_that_names_the_point_is_a_success() {
        let named = "created restic cache\nrestoring snapshot 1e5fb9a8 of [/data] at 2026-11-20 by @volsync to .\n";
        assert!(check_log(named, &pin()).is_ok());
        let wrong = [
            ("No eligible snapshots found\n=== No data will be restored ===", "restored nothing"),
            ("restoring snapshot 77aa77aa of [/data] at 2026-11-20 by @volsync to .", "77aa77aa"),
            ("repository 1e5fb9a8 opened (version 2)", "does not say"),
            ("", "left no log"),
        ];
        for (log, expected) in wrong {
            let error = check_log(log, &pin()).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
