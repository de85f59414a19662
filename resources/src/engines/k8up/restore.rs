//! Restores a volume with k8up: the engine's side of the restore state machine.

use async_trait::async_trait;
use serde_json::Value;

use super::claims;
use super::orders::{self, BACKUP, End, Orders, RESTORE, RUN, after, before};
use super::repository;
use super::safety::rollback_spec;
use crate::connections::kubernetes::{ClusterError, Kind};
use crate::engines::concepts::RestoreEngine;
use crate::engines::kubernetes::objects::Wanted;
use crate::engines::kubernetes::owned;
use crate::engines::kubernetes::quiesce::{refuse_in_use, until_unused};
use crate::engines::restic::points::{self, Point, Series};
use crate::engines::restic::restore::as_run_point;
use crate::engines::restic::site::{Site, failure};
use crate::ledger::PinnedPoint;
use crate::run::{EngineError, Journal, Listing, Points, Probe, Restore, Restored};
use crate::waiting::Patience;

/// How many lines of the pod's log are read, from its end.
const LOG_LINES: usize = 2000;

/// By what restic says that it failed, and that it is done.
const FATAL: &str = "Fatal:";
const DONE: &str = "Summary: Restored";

/// How many of restic's complaints a message shows.
const SHOWN: usize = 5;

/// The points that a restore takes its own from.
pub struct Own {
    /// The repository.
    pub site: Site,
    /// The points that count.
    pub series: Series,
    /// The claim that they hold.
    pub source_pvc: String,
}

impl Own {
    /// Those that count, and the others.
    pub async fn points(&self) -> Result<(Vec<Point>, Vec<Point>), EngineError> {
        let all = repository::points(&self.site).await.map_err(|error| failure(&error))?;
        let own =
            |point: &Point| self.series.holds(point) && repository::claim_of(point) == Some(self.source_pvc.as_str());
        Ok(all.into_iter().partition(own))
    }

    /// As the state machine takes them.
    pub async fn list(&self) -> Result<Listing, EngineError> {
        let (own, others) = self.points().await?;
        let points: Vec<_> = own.iter().filter_map(as_run_point).collect();
        let first_use = self.site.first_use(points.len(), others.len()).await?;
        let near_misses = if points.is_empty() { points::near_misses(&others, &self.series) } else { Vec::new() };
        let looked = format!("{} for {}", self.site.place(), self.series);
        Ok(Listing { points, first_use, looked, near_misses, unreadable: points::unreadable(&others) })
    }

    /// An error where the point is not among them.
    pub async fn check_holds(&self, point: &PinnedPoint) -> Result<(), EngineError> {
        let (own, _) = self.points().await?;
        if own.iter().any(|own| own.id == point.id) {
            return Ok(());
        }
        let message = format!("the repository holds no point {} of {}", point.id, self.series);
        Err(EngineError::nothing_written(message))
    }
}

/// A claim to fill.
pub struct ClaimRestore {
    /// k8up, in the namespace of the claim.
    pub orders: Orders,
    /// What it is filled from.
    pub own: Own,
    /// The claim that is filled.
    pub pvc: String,
    /// The claim where one is to be made, but for its name.
    pub claim: Option<Value>,
    /// The Secret that goes with the run, where the target's own is elsewhere.
    pub secret: Option<Wanted>,
    /// What is asked for, without the point.
    pub spec: Value,
}

impl ClaimRestore {
    pub fn called(&self) -> String {
        Kind::PVC.called(&self.orders.namespace, &self.pvc)
    }

    /// Makes the claim where there is none; whether it did.
    async fn make_claim(&self) -> Result<bool, EngineError> {
        let Orders { cluster, namespace, .. } = &self.orders;
        if cluster.get(&Kind::PVC, namespace, &self.pvc).await.map_err(before)?.is_some() {
            return Ok(false);
        }
        let mut body = self.claim.clone().ok_or_else(|| self.no_claim())?;
        body["metadata"]["name"] = self.pvc.clone().into();
        match cluster.create(&Kind::PVC, namespace, body).await {
            Ok(_) => Ok(true),
            Err(ClusterError::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(before(error)),
        }
    }

    fn no_claim(&self) -> EngineError {
        EngineError::nothing_written(format!(
            "there is no {} on cluster `{}`, and k8up makes none: set `capacity` to have it made, or let whoever makes it \
             come first",
            self.called(),
            self.orders.cluster.name()
        ))
    }

    /// What runs on the volume would write over what is restored. A backup that had begun comes to its end.
    pub async fn refuse_in_use(&self) -> Result<(), EngineError> {
        let Orders { cluster, namespace, .. } = &self.orders;
        refuse_in_use(cluster, namespace, &self.pvc, orders::is_own_pod).await?;
        until_unused(cluster, namespace, &self.pvc, orders::is_own_pod).await
    }

    /// Makes the Secret that goes with the run.
    pub async fn put_secret(&self, key: &str) -> Result<(), EngineError> {
        self.orders.put_secrets(self.secret.as_slice(), key).await
    }

    /// Removes it.
    pub async fn remove_secret(&self) {
        self.orders.remove_secrets(self.secret.as_slice()).await;
    }
}

impl Orders {
    /// Makes Secrets that go with the run of this key.
    pub async fn put_secrets(&self, secrets: &[Wanted], key: &str) -> Result<(), EngineError> {
        for secret in secrets {
            if let Wanted { kind, name, body: Some(body), lasting: false } = secret {
                let mut body = body.clone();
                body["metadata"]["labels"][RUN] = key.into();
                self.cluster.apply(kind, &self.namespace, name, body, false).await.map_err(before)?;
                owned::by_nobody(&self.cluster, &self.namespace, name).await.map_err(before)?;
            }
        }
        Ok(())
    }

    /// Has Secrets go with the object that needs them, whoever removes that.
    pub async fn go_with(&self, secrets: &[Wanted], kind: &Kind, object: &str) {
        for Wanted { name, .. } in secrets {
            owned::by(&self.cluster, &self.namespace, name, kind, object).await;
        }
    }

    /// Removes them.
    pub async fn remove_secrets(&self, secrets: &[Wanted]) {
        for Wanted { kind, name, .. } in secrets {
            if let Err(error) = self.cluster.delete(kind, &self.namespace, name, None).await {
                tracing::warn!(%error, name, "the Secret of a restore could not be removed");
            }
        }
    }

    /// What restic said in the pods of the Restore: k8up takes its failure for a success.
    async fn check_log(&self, name: &str, done: &str) -> Result<(), EngineError> {
        let Orders { cluster, namespace, .. } = self;
        let called = RESTORE.called(namespace, name);
        let pods = self.pods_of(&RESTORE, name).await.map_err(after)?;
        let mut log = String::new();
        for pod in pods.into_iter().filter_map(|pod| pod.metadata.name) {
            log.push_str(&cluster.pod_log(namespace, &pod, None, LOG_LINES).await.map_err(after)?);
        }
        match verdict(&log, done) {
            Verdict::Done => Ok(()),
            Verdict::Failed(why) => Err(EngineError::new(format!(
                "{called} succeeded by its own word, and restic in its pod failed: {}",
                why.join("; ")
            ))),
            Verdict::Unknown => Err(EngineError::new(format!(
                "{called} succeeded by its own word, and no log of its pod shows that restic did: it can't be told whether \
                 anything was restored"
            ))),
        }
    }

    /// Follows a Restore to its end, which a log shows with the words `done`.
    pub async fn follow_restore(&self, name: &str, done: &str) -> Result<(), EngineError> {
        let called = RESTORE.called(&self.namespace, name);
        match self.ended(&RESTORE, name).await? {
            // k8up keeps a few objects of those that ended, and their pods go with them.
            End::Succeeded | End::Gone => self.check_log(name, done).await,
            End::Failed(why) => {
                let log = match self.check_log(name, done).await {
                    Err(error) => format!("; {error}"),
                    Ok(()) => String::new(),
                };
                Err(EngineError::new(format!("{called} failed: {why}{log}")))
            }
            end @ (End::Untouched | End::Crowded) => Err(self.take_back(&RESTORE, name, &end).await?),
        }
    }
}

/// What a log tells.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// restic said that it is done, and complained of nothing.
    Done,
    /// Its complaints.
    Failed(Vec<String>),
    /// It said neither.
    Unknown,
}

fn verdict(log: &str, done: &str) -> Verdict {
    let complaint = |line: &str| {
        let from = [FATAL, "ignoring error for"].into_iter().filter_map(|word| line.find(word)).min()?;
        Some(line[from..].chars().take(200).collect::<String>().trim_end_matches(['"', '}', ' ']).to_owned())
    };
    let complaints: Vec<String> = log.lines().filter_map(complaint).collect();
    if !complaints.is_empty() {
        return Verdict::Failed(complaints.into_iter().take(SHOWN).collect());
    }
    if log.contains(done) { Verdict::Done } else { Verdict::Unknown }
}

#[async_trait]
impl Points for ClaimRestore {
    async fn list(&self) -> Result<Listing, EngineError> {
        self.own.list().await
    }

    /// A Secret is all that a target of k8up's is, so a restore may be the first to need the CRD.
    async fn ready(&self, patience: Patience) -> Result<(), EngineError> {
        self.orders.ready(&RESTORE, patience).await
    }

    /// Before the restore the object is the Backup that saves the claim.
    async fn last_seen(&self, object: Option<&str>) -> Option<String> {
        let (name, Orders { cluster, namespace, .. }) = (object?, &self.orders);
        let saves = cluster.get(&BACKUP, namespace, name).await.is_ok_and(|found| found.is_some());
        let kind = if saves { BACKUP } else { RESTORE };
        Some(self.orders.last_seen(&kind, name).await)
    }

    /// Everything that would end a restore badly, before anything is touched.
    async fn check_readable(&self, point: &PinnedPoint) -> Result<(), EngineError> {
        self.own.check_holds(point).await?;
        let Orders { cluster, namespace, .. } = &self.orders;
        let there = cluster.get(&Kind::PVC, namespace, &self.pvc).await.map_err(before)?.is_some();
        if there || self.claim.is_some() { Ok(()) } else { Err(self.no_claim()) }
    }
}

#[async_trait]
impl Restore for ClaimRestore {
    async fn probe(&self) -> Result<Probe, EngineError> {
        let Orders { cluster, namespace, .. } = &self.orders;
        let found = cluster.get(&Kind::PVC, namespace, &self.pvc).await.map_err(before)?;
        Ok(claims::probe(cluster, namespace, &self.pvc, found.as_ref()))
    }

    async fn restore(&self, point: &PinnedPoint, _: bool, journal: &Journal) -> Result<Restored, EngineError> {
        let record = journal.record().await;
        let is_safety = record.safety_point.as_ref().is_some_and(|safety| safety.id == point.id);
        let (own, mut spec) = match is_safety {
            true => {
                let points = repository::points(&self.safety_site()).await.map_err(|error| failure(&error))?;
                (points, rollback_spec(&self.spec, &self.own.site, &self.pvc))
            }
            false => (self.own.points().await?.0, self.spec.clone()),
        };
        let Some(stored) = own.into_iter().find(|own| own.id == point.id) else {
            return Err(EngineError::nothing_written(format!("the repository holds no point {} any more", point.id)));
        };
        let of_this = |spec: &Value| spec["snapshot"] == *point.id;
        let under_way = self.orders.under_way(&RESTORE, journal, of_this).await?;
        if under_way.is_none() {
            self.refuse_in_use().await?;
        }
        let mut made = false;
        let followed = async {
            let name = match under_way {
                Some(object) => object.metadata.name.unwrap_or_default(),
                None => {
                    self.put_secret(&record.key).await?;
                    let name = self.orders.free_name(&RESTORE, &record).await?;
                    spec["snapshot"] = point.id.clone().into();
                    // The last thing before it is asked to fill it: pods start on an empty one.
                    made = self.make_claim().await?;
                    self.orders.make(&RESTORE, &name, spec, journal).await?;
                    self.orders.go_with(self.secret.as_slice(), &RESTORE, &name).await;
                    name
                }
            };
            self.orders.follow_restore(&name, DONE).await
        };
        let followed = followed.await;
        self.remove_secret().await;
        // A claim that was made for it is there, and empty: the next attempt must not take it for what it was to restore.
        followed.map_err(|error| if made { error.half_done() } else { error })?;
        let known = |number: Option<u64>| number.unwrap_or_default();
        Ok(Restored { bytes: known(stored.bytes), items: known(stored.items), warnings: Vec::new() })
    }

    /// restic checked every blob against its name, and the pod's log says that it was done.
    async fn verify(&self, point: &PinnedPoint, _: &Journal) -> Result<(), EngineError> {
        let Orders { cluster, namespace, .. } = &self.orders;
        match cluster.get(&Kind::PVC, namespace, &self.pvc).await.map_err(after)? {
            Some(_) => Ok(()),
            None => Err(EngineError::new(format!("{} is gone after the restore of {}", self.called(), point.id))),
        }
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

    #[test]
    fn a_log_has_to_say_that_restic_is_done_and_nothing_else() {
        let done = "INFO k8up.restic.restore stdout {\"msg\": \"Summary: Restored 3 files/dirs (8 B) in 0:00\"}\n";
        assert_eq!(verdict(done, DONE), Verdict::Done);
        assert_eq!(verdict("INFO restore initialised\n", DONE), Verdict::Unknown);
        let failed =
            "stderr {\"msg\": \"ignoring error for /a: no space left on device\"}\nFatal: There were 1 errors\n";
        let Verdict::Failed(why) = verdict(&format!("{done}{failed}"), DONE) else { panic!() };
        assert_eq!(why, ["ignoring error for /a: no space left on device", "Fatal: There were 1 errors"]);
    }
}
