//! Objects of k8up's that are worked on once, Backups and Restores: made under a name that the run's record holds, and
//! followed to their end.

use std::time::Duration;

use serde_json::{Value, json};

use super::target::INSTALLED_BY;
use crate::clock;
use crate::connections::kubernetes::{Cluster, ClusterError, DynamicObject, Kind};
use crate::engines::kubernetes::last_seen;
use crate::engines::kubernetes::watch::{Objects, Watches};
use crate::ledger::{Record, engine_object_name};
use crate::run::{EngineError, Journal};
use crate::waiting::{Patience, Silence, too_many_wait};

/// Backups.
pub const BACKUP: Kind = Kind::namespaced("k8up.io", "v1", "Backup", "backups");
/// Restores.
pub const RESTORE: Kind = Kind::namespaced("k8up.io", "v1", "Restore", "restores");

/// The key of the run that made an object.
pub const RUN: &str = "dr/run";

/// So many objects that ended are kept: with its own number, k8up would remove those of the schedule when ours ends, and pods
/// whose log is not read yet.
const HISTORY: u32 = 1000;

/// How much of a job's name is in that of its object: k8up puts both into labels, which have 63 letters.
const NAME: usize = 32;

/// How long an object may lie there before nobody is taken to work on it. Jobs of one repository wait for each other.
const UNTOUCHED: Duration = Duration::from_secs(900);

/// How long nobody may work on any object of the kind before the operator is taken for one that is being installed: a prune of
/// the repository, which is not seen here, comes before a backup.
const SILENT: Duration = Duration::from_secs(300);

/// How long pods may take to go with their object, and between two looks for them.
const GONE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_secs(2);

/// A list that others asked for may be older than the object.
const STALE: usize = 1;

/// The label of k8up's own pods (`K8uplabel` in its `operator/job`).
const POD: &str = "k8upjob";

/// Whether a pod is k8up's: it ends with what it was made for.
pub fn is_own_pod(pod: &DynamicObject) -> bool {
    pod.metadata.labels.as_ref().and_then(|labels| labels.get(POD)).is_some_and(|value| value == "true")
}

/// A namespace in which k8up works.
#[derive(Clone)]
pub struct Orders {
    /// The cluster.
    pub cluster: Cluster,
    /// The namespace.
    pub namespace: String,
    /// Those who wait.
    pub watches: Watches,
}

/// How an object ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// By its own word it succeeded.
    Succeeded,
    /// It failed, with its own words.
    Failed(String),
    /// It is gone: k8up removes what has ended, and keeps a few.
    Gone,
    /// Nobody has begun with it.
    Untouched,
    /// Nobody has begun with it, and others wait for the operator already.
    Crowded,
}

impl Orders {
    /// Waits until the cluster knows a kind.
    pub async fn ready(&self, kind: &Kind, patience: Patience) -> Result<(), EngineError> {
        INSTALLED_BY.wait_for(&self.cluster, &[kind], patience).await
    }

    /// The object that an earlier attempt of the run made, if k8up still works on it and it is what is wanted. One that has
    /// ended is never taken for the work of this attempt: doing it again is harmless.
    pub async fn under_way(
        &self,
        kind: &Kind,
        journal: &Journal,
        fits: impl Fn(&Value) -> bool,
    ) -> Result<Option<DynamicObject>, EngineError> {
        let record = journal.record().await;
        let Some(name) = record.engine_object else { return Ok(None) };
        let found = self.cluster.get(kind, &self.namespace, &name).await.map_err(before)?;
        Ok(found.filter(|object| is_of(object, &record.key) && end(object).is_none() && fits(&object.data["spec"])))
    }

    /// A name for the object of a run: those of earlier attempts stay.
    pub async fn free_name(&self, kind: &Kind, record: &Record) -> Result<String, EngineError> {
        let short: String = record.name.chars().take(NAME).collect();
        let base = engine_object_name(short.trim_end_matches('-'), &record.key);
        let (mut name, mut number) = (base.clone(), 1);
        while self.cluster.get(kind, &self.namespace, &name).await.map_err(before)?.is_some() {
            number += 1;
            name = format!("{base}-{number}");
        }
        Ok(name)
    }

    /// Makes the object of a run, once its name is written down.
    pub async fn make(&self, kind: &Kind, name: &str, mut spec: Value, journal: &Journal) -> Result<(), EngineError> {
        journal.engine_object(name).await?;
        for limit in ["failedJobsHistoryLimit", "successfulJobsHistoryLimit"] {
            spec[limit] = HISTORY.into();
        }
        let key = journal.key().await;
        let body = json!({ "metadata": { "name": name, "labels": { RUN: key } }, "spec": spec });
        match self.cluster.create(kind, &self.namespace, body).await {
            Ok(_) => Ok(()),
            Err(error @ ClusterError::AlreadyExists { .. }) => {
                // It was not there a moment ago: ours, and the answer was lost.
                let found = self.cluster.get(kind, &self.namespace, name).await.map_err(after)?;
                found.filter(|object| is_of(object, &key)).map(|_| ()).ok_or_else(|| before(error))
            }
            // Whether it was made is not known.
            Err(error @ (ClusterError::Unreachable { .. } | ClusterError::Broken { .. })) => Err(after(error)),
            Err(error) => Err(before(error)),
        }
    }

    /// Waits until k8up is done with an object.
    pub async fn ended(&self, kind: &Kind, name: &str) -> Result<End, EngineError> {
        self.ended_unless(kind, name, Silence::of(self.cluster.waiting(), SILENT)).await
    }

    async fn ended_unless(&self, kind: &Kind, name: &str, mut silence: Silence) -> Result<End, EngineError> {
        let (began, mut absent) = (tokio::time::Instant::now(), 0);
        let look = |objects: &Objects| {
            let Some(object) = objects.get(name) else {
                absent += 1;
                return (absent > STALE).then_some(End::Gone);
            };
            absent = 0;
            let untouched = conditions(object).is_empty();
            let lies_there = untouched && began.elapsed() >= clock::scaled(UNTOUCHED);
            let is_at_work = |object: &DynamicObject| !conditions(object).is_empty() && end(object).is_none();
            let goes_on = silence.goes_on(!untouched || objects.values().any(is_at_work));
            end(object).or(lies_there.then_some(End::Untouched)).or((!goes_on).then_some(End::Crowded))
        };
        self.watches.wait_for(&self.cluster, kind, &self.namespace, look).await.map_err(after)
    }

    /// What k8up said last of an object, and what its pods wait for.
    pub async fn last_seen(&self, kind: &Kind, name: &str) -> String {
        let Orders { cluster, namespace, .. } = self;
        let object = match last_seen::object(cluster, kind, namespace, name).await {
            Ok(object) => object,
            Err(why) => return why,
        };
        let mut seen = vec![last_seen::condition(kind, namespace, name, &object)];
        let pods = self.pods_of(kind, name).await.unwrap_or_default();
        seen.extend(last_seen::pods(cluster, namespace, &pods).await);
        seen.join("; ")
    }

    /// Removes an object that ended, with its pods.
    pub async fn remove(&self, kind: &Kind, name: &str) -> Result<(), EngineError> {
        self.cluster.delete(kind, &self.namespace, name, None).await.map(drop).map_err(after)
    }

    /// Removes the object that an earlier attempt of a run made and left.
    pub async fn clear(&self, kind: &Kind, record: &Record) -> Result<(), EngineError> {
        let Some(name) = &record.engine_object else { return Ok(()) };
        let found = self.cluster.get(kind, &self.namespace, name).await.map_err(before)?;
        match found.filter(|object| is_of(object, &record.key)) {
            Some(_) => self.remove(kind, name).await,
            None => Ok(()),
        }
    }

    /// Takes an object back that nobody began with, and ended so: it must not run when nobody thinks of it any more. The
    /// operator may begin with it at the last moment: then its pods are waited for, and who knows what they wrote.
    pub async fn take_back(&self, kind: &Kind, name: &str, end: &End) -> Result<EngineError, EngineError> {
        let called = kind.called(&self.namespace, name);
        let found = self.cluster.get(kind, &self.namespace, name).await.map_err(after)?;
        let mut begun = found.is_some_and(|object| !conditions(&object).is_empty());
        self.cluster.delete(kind, &self.namespace, name, None).await.map_err(after)?;
        let since = tokio::time::Instant::now();
        loop {
            // A Job that was made just now has no pod yet.
            clock::sleep(LOOK).await;
            if self.pods_of(kind, name).await.map_err(after)?.is_empty() {
                break;
            }
            begun = true;
            if since.elapsed() > clock::scaled(GONE) {
                return Err(EngineError::new(format!("{called} was taken back, and its pods are still there")));
            }
        }
        let why = match end {
            End::Crowded => too_many_wait("k8up", SILENT, INSTALLED_BY.depends_on),
            _ => format!(
                "k8up had not begun with it for {} s: does its operator run, or does another job hold the repository?",
                UNTOUCHED.as_secs()
            ),
        };
        Ok(match begun {
            true => EngineError::new(format!("{called} was taken back as k8up began with it ({why})")),
            false => EngineError::nothing_written(format!("{called} was taken back: {why}")),
        })
    }
}

fn is_of(object: &DynamicObject, key: &str) -> bool {
    object.metadata.labels.as_ref().and_then(|labels| labels.get(RUN)).is_some_and(|run| run == key)
}

fn conditions(object: &DynamicObject) -> &[Value] {
    object.data["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Whether k8up is done. A condition `Completed` says by its reason how; a command before the backup that failed ends it too.
fn end(object: &DynamicObject) -> Option<End> {
    let text = |condition: &Value, field: &str| condition[field].as_str().unwrap_or_default().to_owned();
    let find = |kind: &str| conditions(object).iter().find(|condition| condition["type"] == kind);
    if let Some(failed) = find("PreBackupPodReady").filter(|condition| condition["status"] == "False") {
        let fine = ["Succeeded", "Waiting", "NoPreBackupPodsFound", "Ready"].contains(&text(failed, "reason").as_str());
        if !fine {
            return Some(End::Failed(text(failed, "message")));
        }
    }
    let completed = find("Completed").filter(|condition| condition["status"] == "True")?;
    match completed["reason"].as_str() {
        Some("Succeeded") => Some(End::Succeeded),
        _ => Some(End::Failed(text(completed, "message"))),
    }
}

/// A failure before anything was written.
pub fn before(error: ClusterError) -> EngineError {
    EngineError::nothing_written(error.to_string())
}

/// A failure of which it is not known whether something was written.
pub fn after(error: ClusterError) -> EngineError {
    EngineError::new(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::kubernetes::quiesce::tests::api::Api;

    fn object(conditions: Value) -> DynamicObject {
        let object = json!({ "metadata": { "name": "x" }, "status": { "conditions": conditions } });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn completed_is_not_yet_success() {
        let completed = |reason: &str| {
            json!([{ "type": "Ready", "status": "True", "reason": "Ready" },
                { "type": "Completed", "status": "True", "reason": reason, "message": "job 'x' has 1 failed pods" }])
        };
        assert_eq!(end(&object(completed("Succeeded"))), Some(End::Succeeded));
        assert_eq!(end(&object(completed("Failed"))), Some(End::Failed("job 'x' has 1 failed pods".to_owned())));
        assert_eq!(end(&object(json!([{ "type": "Progressing", "status": "True", "reason": "Started" }]))), None);
    }

    #[test]
    fn a_command_before_the_backup_that_failed_ends_it() {
        let with = |reason: &str| json!([{ "type": "PreBackupPodReady", "status": "False", "reason": reason, "message": "no image" }]);
        assert_eq!(end(&object(with("Failed"))), Some(End::Failed("no image".to_owned())));
        assert_eq!(end(&object(with("NoPreBackupPodsFound"))), None);
    }

    #[tokio::test]
    async fn b7_who_waits_for_an_operator_that_is_not_there_leaves_the_slots_of_the_cli() {
        let api = Api::new();
        let spec = json!({ "metadata": { "labels": { RUN: "k" } }, "spec": {} });
        api.put(&BACKUP, "wiki", "dr-docs", spec);
        let watches = Watches::every(Duration::from_millis(5));
        let orders = Orders { cluster: api.cluster(), namespace: "wiki".to_owned(), watches };
        let slots = orders.cluster.waiting();
        let _taken: Vec<_> = std::iter::from_fn(|| slots.take()).collect();
        let silence = Silence::of(slots, Duration::from_millis(20));
        let end = orders.ended_unless(&BACKUP, "dr-docs", silence).await.unwrap();
        assert_eq!(end, End::Crowded);
        let error = orders.take_back(&BACKUP, "dr-docs", &end).await.unwrap();
        assert!(error.to_string().ends_with("add depends_on = [helm_release.k8up]"), "{error}");
        assert!(error.before_first_write && api.get(&BACKUP, "wiki", "dr-docs").is_null());
    }

    #[tokio::test]
    async fn what_is_seen_last_of_an_object_is_what_k8up_says_and_what_its_pod_waits_for() {
        let api = Api::new();
        let orders = Orders { cluster: api.cluster(), namespace: "wiki".to_owned(), watches: Watches::default() };
        api.put(&RESTORE, "wiki", "dr-docs", json!({ "spec": {} }));
        let said = "Restore wiki/dr-docs has no condition yet, so nobody may work on it";
        assert_eq!(orders.last_seen(&RESTORE, "dr-docs").await, said);
        let begun =
            json!([{ "type": "Progressing", "status": "True", "reason": "Started", "message": "the job is started" }]);
        api.put(&RESTORE, "wiki", "dr-docs", json!({ "spec": {}, "status": { "conditions": begun } }));
        let labels = json!({ "k8upjob": "true", "job-name": "restore-dr-docs" });
        let waiting =
            json!([{ "state": { "waiting": { "reason": "CreateContainerConfigError", "message": "no key pw" } } }]);
        let pod =
            json!({ "metadata": { "labels": labels }, "status": { "phase": "Pending", "containerStatuses": waiting } });
        api.put(&Kind::POD, "wiki", "restore-dr-docs-x1", pod);
        assert_eq!(
            orders.last_seen(&RESTORE, "dr-docs").await,
            "Restore wiki/dr-docs has the condition Progressing = True (Started): the job is started; Pod \
             wiki/restore-dr-docs-x1 waits (CreateContainerConfigError): no key pw"
        );
    }

    #[tokio::test]
    async fn what_k8up_began_with_at_the_last_moment_may_have_written() {
        let api = Api::new();
        let orders = Orders { cluster: api.cluster(), namespace: "wiki".to_owned(), watches: Watches::default() };
        let object = |status: Value| json!({ "metadata": { "labels": { RUN: "k" } }, "spec": {}, "status": status });
        let begun = json!({ "conditions": [{ "type": "Ready", "status": "True" }] });
        api.put(&RESTORE, "wiki", "dr-docs", object(begun));
        let error = orders.take_back(&RESTORE, "dr-docs", &End::Untouched).await.unwrap();
        assert!(!error.before_first_write, "{error}");
        // Its pod may be all that there is to see of it.
        api.put(&RESTORE, "wiki", "dr-docs", object(json!({})));
        let labels = json!({ "k8upjob": "true", "job-name": "restore-dr-docs" });
        api.put(&Kind::POD, "wiki", "restore-dr-docs-x1", json!({ "metadata": { "labels": labels } }));
        let gone = api.clone();
        tokio::spawn(async move {
            tokio::time::sleep(LOOK * 2).await;
            gone.remove(&Kind::POD, "wiki", "restore-dr-docs-x1");
        });
        let error = orders.take_back(&RESTORE, "dr-docs", &End::Untouched).await.unwrap();
        assert!(!error.before_first_write, "{error}");
        api.put(&RESTORE, "wiki", "dr-docs", object(json!({})));
        assert!(orders.take_back(&RESTORE, "dr-docs", &End::Untouched).await.unwrap().before_first_write);
    }
}
