//! Objects of VolSync's that are made for one run: ordered once, waited for, and removed with their movers.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::{INSTALLED_BY, RUN_LABEL, claim};
use crate::clock;
use crate::connections::kubernetes::{Cluster, ClusterError, DynamicObject, Kind};
use crate::engines::kubernetes::quiesce::pods_using;
use crate::engines::kubernetes::watch::{Objects, Watches};
use crate::engines::kubernetes::{last_seen, render};
use crate::run::{EngineError, Journal};
use crate::waiting::{Patience, SILENCE, Silence, too_many_wait};

/// How long VolSync is given to begin, how long an error of its may stand, and how long what is removed may take to go.
const UNTOUCHED: Duration = Duration::from_secs(300);
const STANDING: Duration = Duration::from_secs(60);
const GONE: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_secs(2);

/// How many lines of the mover's log are shown.
const SHOWN: usize = 6;

/// VolSync on a cluster, at work on one claim.
pub struct Mover {
    /// The cluster.
    pub cluster: Cluster,
    /// Waits for objects.
    pub watches: Watches,
    /// The namespace of the claim and of the Secret.
    pub namespace: String,
    /// The claim.
    pub claim: String,
    /// What tells it what to do: a ReplicationSource or a ReplicationDestination.
    pub kind: Kind,
    /// What the names of its Jobs begin with.
    pub jobs: &'static str,
}

/// A failure before anything was written.
pub fn before(error: ClusterError) -> EngineError {
    EngineError::nothing_written(error.to_string())
}

/// A failure of which it is not known whether something was written.
pub fn engine(error: ClusterError) -> EngineError {
    EngineError::new(error.to_string())
}

impl Mover {
    /// Waits until the cluster knows the kind.
    pub async fn ready(&self, patience: Patience) -> Result<(), EngineError> {
        INSTALLED_BY.wait_for(&self.cluster, &[&self.kind], patience).await
    }

    /// Whether the object of an earlier attempt is there and says the same.
    pub async fn is_ordered(&self, name: &str, spec: &Value, journal: &Journal) -> Result<bool, EngineError> {
        Ok(self.ordered(name, spec, journal).await?.is_some())
    }

    /// Whether VolSync still works on the object of an earlier attempt, which says the same. What has ended may have ended
    /// long ago.
    pub async fn is_under_way(&self, name: &str, spec: &Value, journal: &Journal) -> Result<bool, EngineError> {
        let ordered = self.ordered(name, spec, journal).await?;
        let key = journal.key().await;
        Ok(ordered.is_some_and(|object| judge(&object, &key).is_none()))
    }

    async fn ordered(&self, name: &str, spec: &Value, journal: &Journal) -> Result<Option<DynamicObject>, EngineError> {
        if journal.record().await.engine_object.as_deref() != Some(name) {
            return Ok(None);
        }
        let found = self.cluster.get(&self.kind, &self.namespace, name).await.map_err(before)?;
        let same = |found: &DynamicObject| render::differences(spec, found.data.get("spec")).is_empty();
        Ok(found.filter(|found| same(found) && found.metadata.deletion_timestamp.is_none()))
    }

    /// Makes the object of a run in place of one that an earlier attempt made.
    pub async fn order(&self, name: &str, spec: &Value, journal: &Journal) -> Result<(), EngineError> {
        self.make_way(name, journal).await?;
        self.make(name, spec, journal).await
    }

    /// Removes the object of an earlier attempt. Where the record names none, none of this run was made, and whatever fails
    /// here fails before anything is written.
    pub async fn make_way(&self, name: &str, journal: &Journal) -> Result<(), EngineError> {
        let begun = journal.record().await.engine_object.as_deref() == Some(name);
        let cleared = self.clear(name).await.map(drop);
        cleared.map_err(|error| EngineError { before_first_write: error.before_first_write || !begun, ..error })
    }

    /// Makes the object of a run, whose manual trigger is the run's key. Its name is written down before it is made.
    pub async fn make(&self, name: &str, spec: &Value, journal: &Journal) -> Result<(), EngineError> {
        journal.engine_object(name).await?;
        let labels = json!({ RUN_LABEL: journal.key().await });
        let body = json!({ "metadata": { "name": name, "labels": labels }, "spec": spec });
        match self.cluster.create(&self.kind, &self.namespace, body).await {
            // It was not there a moment ago: ours, and the answer was lost.
            Ok(_) | Err(ClusterError::AlreadyExists { .. }) => Ok(()),
            Err(error @ (ClusterError::Unreachable { .. } | ClusterError::Broken { .. })) => Err(engine(error)),
            Err(error) => Err(before(error)),
        }
    }

    /// Removes the object, and waits until its mover is gone too: what it writes later would be over what comes after. Says
    /// whether there was a mover.
    pub async fn clear(&self, name: &str) -> Result<bool, EngineError> {
        self.cluster.delete(&self.kind, &self.namespace, name, None).await.map_err(engine)?;
        let (mover, begun) = (format!("{}{name}", self.jobs), Instant::now());
        let mut moved = false;
        loop {
            let object = self.cluster.get(&self.kind, &self.namespace, name).await.map_err(engine)?;
            let job = self.cluster.get(&Kind::JOB, &self.namespace, &mover).await.map_err(engine)?;
            let pods = pods_using(&self.cluster, &self.namespace, &self.claim).await?;
            let moves = job.is_some() || pods.iter().any(|pod| pod.starts_with(&mover));
            moved |= moves;
            if object.is_none() && !moves {
                return Ok(moved);
            }
            if begun.elapsed() > clock::scaled(GONE) {
                let what = self.kind.called(&self.namespace, name);
                return Err(EngineError::new(format!("{what} was removed, and its mover is still there")));
            }
            clock::sleep(LOOK).await;
        }
    }

    /// What VolSync said last of an object, and what its mover waits for.
    pub async fn last_seen(&self, name: &str) -> String {
        let Mover { cluster, namespace, kind, jobs, .. } = self;
        let object = match last_seen::object(cluster, kind, namespace, name).await {
            Ok(object) => object,
            Err(why) => return why,
        };
        let mut seen = vec![last_seen::condition(kind, namespace, name, &object)];
        let job = format!("{jobs}{name}");
        let mut pods = cluster.list(&Kind::POD, Some(namespace), None).await.unwrap_or_default();
        pods.retain(|pod| claim::is_of_job(pod, &job));
        seen.extend(last_seen::pods(cluster, namespace, &pods).await);
        seen.join("; ")
    }

    /// Waits until VolSync is done; the mover's log. An object that it never began with has changed nothing, if [`Self::clear`]
    /// finds no mover of it.
    pub async fn ended(&self, name: &str, key: &str) -> Result<String, EngineError> {
        self.ended_unless(name, key, Silence::of(self.cluster.waiting(), SILENCE)).await
    }

    async fn ended_unless(&self, name: &str, key: &str, mut silence: Silence) -> Result<String, EngineError> {
        let mut seen = Seen::default();
        let ended = self.watches.wait_for(&self.cluster, &self.kind, &self.namespace, |objects| {
            let goes_on = silence.goes_on(objects.get(name).and_then(synchronizing).is_some());
            step(objects, name, key, &mut seen).or((!goes_on).then_some(Ended::Crowded))
        });
        let what = self.kind.called(&self.namespace, name);
        match ended.await.map_err(engine)? {
            Ended::Done(log) => Ok(log),
            Ended::Failed(log) => Err(EngineError::new(format!("{what} failed: {}", last(&log)))),
            Ended::Refused(why) => Err(EngineError::new(format!("VolSync can't run {what}: {why}"))),
            Ended::Gone => Err(EngineError::new(format!("{what} was deleted by somebody while it ran"))),
            Ended::Crowded => Err(EngineError::nothing_written(format!(
                "{what} is not worked on: {}",
                too_many_wait("VolSync", SILENCE, INSTALLED_BY.depends_on)
            ))),
            Ended::Untouched => Err(EngineError::nothing_written(format!(
                "VolSync has not begun with {what} for {} s: does it run?",
                UNTOUCHED.as_secs()
            ))),
        }
    }
}

/// How an object ended.
enum Ended {
    Done(String),
    Failed(String),
    Refused(String),
    Gone,
    Untouched,
    /// VolSync does not begin, and others wait for it already.
    Crowded,
}

/// What looks at an object have shown so far.
#[derive(Default)]
struct Seen {
    since: Option<Instant>,
    refused: Option<Instant>,
    absent: usize,
}

/// A list that others asked for may be older than the object.
const STALE: usize = 1;

fn step(objects: &Objects, name: &str, key: &str, seen: &mut Seen) -> Option<Ended> {
    let since = *seen.since.get_or_insert_with(Instant::now);
    let Some(object) = objects.get(name) else {
        seen.absent += 1;
        return (seen.absent > STALE).then_some(Ended::Gone);
    };
    seen.absent = 0;
    judge(object, key).or_else(|| {
        let condition = synchronizing(object);
        if condition.is_none() && since.elapsed() > clock::scaled(UNTOUCHED) {
            return Some(Ended::Untouched);
        }
        // VolSync itself tries again, and what it misses may be about to come.
        match condition.filter(|condition| condition["reason"] == "Error") {
            Some(condition) => {
                let standing = seen.refused.get_or_insert_with(Instant::now).elapsed() > clock::scaled(STANDING);
                let message = condition["message"].as_str().unwrap_or("it gave no reason");
                standing.then(|| Ended::Refused(message.trim_end_matches('.').to_owned()))
            }
            None => {
                seen.refused = None;
                None
            }
        }
    })
}

fn synchronizing(object: &DynamicObject) -> Option<&Value> {
    let conditions = object.data["status"]["conditions"].as_array()?;
    conditions.iter().find(|condition| condition["type"] == "Synchronizing")
}

/// The object is of one run, so that every result in it is of that run. A mover that failed eight times is begun anew for
/// ever: its first verdict counts.
fn judge(object: &DynamicObject, key: &str) -> Option<Ended> {
    let status = &object.data["status"];
    let mover = &status["latestMoverStatus"];
    let log = || mover["logs"].as_str().unwrap_or_default().to_owned();
    match mover["result"].as_str() {
        Some("Failed") => Some(Ended::Failed(log())),
        Some("Successful") if status["lastManualSync"] == key => Some(Ended::Done(log())),
        _ => None,
    }
}

/// The end of a log, in one line.
pub fn last(log: &str) -> String {
    let lines: Vec<&str> = log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    match lines.as_slice() {
        [] => "its mover left no log".to_owned(),
        lines => lines[lines.len().saturating_sub(SHOWN)..].join("; "),
    }
}

#[cfg(test)]
pub mod tests {
    use super::super::{DESTINATION, ENGINE};
    use super::*;
    use crate::engines::kubernetes::quiesce::tests::api::Api;
    use crate::ledger::{JobKind, PathLedger, Record};

    /// One that restores the claim `apps/data`.
    pub fn mover(api: &Api) -> Mover {
        Mover {
            cluster: api.cluster(),
            watches: Watches::default(),
            namespace: "apps".to_owned(),
            claim: "data".to_owned(),
            kind: DESTINATION,
            jobs: "volsync-dst-",
        }
    }

    fn object(status: Value) -> DynamicObject {
        serde_json::from_value(json!({ "metadata": { "name": "dr-docs-0011" }, "status": status })).unwrap()
    }

    #[test]
    fn a_run_ends_with_its_own_trigger_or_the_first_failure() {
        let successful = json!({ "result": "Successful", "logs": "x" });
        let done = object(json!({ "lastManualSync": "k", "latestMoverStatus": successful }));
        assert!(matches!(judge(&done, "k"), Some(Ended::Done(_))));
        assert!(judge(&done, "other").is_none());
        let failed = object(json!({ "latestMoverStatus": { "result": "Failed", "logs": "Fatal: x" } }));
        assert!(matches!(judge(&failed, "k"), Some(Ended::Failed(log)) if log == "Fatal: x"));
        assert!(judge(&object(json!({})), "k").is_none());
    }

    #[tokio::test]
    async fn what_can_not_be_cleared_is_a_failure_before_any_write_until_the_run_made_something() {
        let api = Api::new();
        api.forbid("DELETE", &DESTINATION);
        let mover = mover(&api);
        let folder = tempfile::tempdir().unwrap();
        let ledger = PathLedger::new(&folder.path().join("docs")).unwrap();
        let record = Record::new(JobKind::Restore, "0123456789abcdef", "docs", ENGINE, "apps/data");
        let journal = Journal::of(&ledger, record).await;
        let error = mover.order("dr-docs-0123", &json!({}), &journal).await.unwrap_err();
        assert!(error.before_first_write, "{error}");
        journal.engine_object("dr-docs-0123").await.unwrap();
        let error = mover.order("dr-docs-0123", &json!({}), &journal).await.unwrap_err();
        assert!(!error.before_first_write, "an earlier attempt's may still write: {error}");
    }

    #[tokio::test]
    async fn what_volsync_never_began_with_has_changed_nothing_unless_there_was_a_mover() {
        let api = Api::new();
        let mover = Mover { watches: Watches::every(Duration::from_millis(5)), ..mover(&api) };
        let _taken: Vec<_> = std::iter::from_fn(|| mover.cluster.waiting().take()).collect();
        api.put(&DESTINATION, "apps", "dr-docs-0123", json!({ "metadata": { "name": "dr-docs-0123" } }));
        let ended = mover.ended_unless("dr-docs-0123", "k", Silence::of(mover.cluster.waiting(), Duration::ZERO)).await;
        assert!(ended.unwrap_err().before_first_write);
        assert!(!mover.clear("dr-docs-0123").await.unwrap());
        // A Job that VolSync made at the last moment goes with its object.
        let job = json!({ "metadata": { "name": "volsync-dst-dr-docs-0123" } });
        api.put(&Kind::JOB, "apps", "volsync-dst-dr-docs-0123", job);
        let gone = api.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(50)).await;
            gone.remove(&Kind::JOB, "apps", "volsync-dst-dr-docs-0123");
        });
        assert!(mover.clear("dr-docs-0123").await.unwrap());
    }

    #[tokio::test]
    async fn what_is_seen_last_of_a_mover_is_what_volsync_says_and_what_its_pod_waits_for() {
        let api = Api::new();
        let mover = mover(&api);
        assert_eq!(mover.last_seen("dr-docs").await, "ReplicationDestination apps/dr-docs is not there");
        let condition = json!({ "type": "Synchronizing", "status": "True", "reason": "SyncInProgress",
            "message": "Synchronization in-progress" });
        api.put(&DESTINATION, "apps", "dr-docs", json!({ "status": { "conditions": [condition] } }));
        let volumes =
            json!([{ "name": "cache", "persistentVolumeClaim": { "claimName": "volsync-dst-dr-docs-cache" } }]);
        let pending = json!({ "phase": "Pending", "conditions": [
            { "type": "PodScheduled", "status": "False", "message": "pod has unbound immediate PersistentVolumeClaims" }] });
        let pod = json!({ "spec": { "volumes": volumes }, "status": pending });
        api.put(&Kind::POD, "apps", "volsync-dst-dr-docs-x1", pod.clone());
        api.put(&Kind::POD, "apps", "web-0", pod);
        let cache = json!({ "spec": { "storageClassName": "fast" }, "status": { "phase": "Pending" } });
        api.put(&Kind::PVC, "apps", "volsync-dst-dr-docs-cache", cache);
        assert_eq!(
            mover.last_seen("dr-docs").await,
            "ReplicationDestination apps/dr-docs has the condition Synchronizing = True (SyncInProgress): Synchronization \
             in-progress; Pod apps/volsync-dst-dr-docs-x1 has no node: pod has unbound immediate PersistentVolumeClaims; \
             PersistentVolumeClaim apps/volsync-dst-dr-docs-cache is not bound to a volume (Pending): its storage class is \
             `fast`"
        );
    }

    #[test]
    fn an_object_that_vanishes_ends_the_wait_but_one_that_is_not_listed_yet_does_not() {
        let (mut seen, empty) = (Seen::default(), Objects::new());
        assert!(step(&empty, "a", "k", &mut seen).is_none());
        assert!(matches!(step(&empty, "a", "k", &mut seen), Some(Ended::Gone)));
    }
}
