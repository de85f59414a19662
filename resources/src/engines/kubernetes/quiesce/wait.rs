//! What is waited for: a reconciliation or a Job to end, pods to be gone, pods to be back.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::kinds::Manner;
use super::pause::KubernetesPause;
use super::pods::{live_pods, names, selector};
use super::step::Held;
use super::{jobs, read};
use crate::clock;
use crate::connections::kubernetes::{DynamicObject, Kind};
use crate::run::EngineError;

impl KubernetesPause {
    /// A reconciliation that is under way goes on when its object is suspended: it is waited for.
    pub(super) async fn until_idle(&self, held: &Held) -> Result<(), EngineError> {
        let deadline = Instant::now() + clock::scaled(self.timing.idle);
        loop {
            let Some(object) = read(&self.cluster, &held.kind(), &held.namespace, &held.name).await? else {
                return Ok(());
            };
            let doing = match held.manner() {
                Some(Manner::Flux) => is_reconciling(&object).then_some("is still reconciling"),
                Some(Manner::Application) => is_operating(&object).then_some("is still being synced"),
                _ => None,
            };
            let Some(doing) = doing else { return Ok(()) };
            if Instant::now() >= deadline {
                let seconds = self.timing.idle.as_secs();
                let message = format!("{} {doing}, {seconds} s after it was suspended", held.called());
                return Err(EngineError::nothing_written(message));
            }
            clock::sleep(self.timing.look).await;
        }
    }

    /// What starts Jobs starts no more when it is suspended, and those that it has started go on: they are waited for.
    pub(super) async fn until_jobs_end(&self, held: &Held) -> Result<(), EngineError> {
        if !jobs::are_started_by(&held.kind()) {
            return Ok(());
        }
        let deadline = Instant::now() + clock::scaled(self.timing.idle);
        loop {
            let Some(object) = read(&self.cluster, &held.kind(), &held.namespace, &held.name).await? else {
                return Ok(());
            };
            let working = jobs::at_work(&self.cluster, &held.namespace, &object).await?;
            if working.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let pods = jobs::pods_of(&self.cluster, &held.namespace, &working).await?;
                return Err(still_working(held, &working, &pods, self.timing.idle));
            }
            clock::sleep(self.timing.look).await;
        }
    }

    /// Waits until no pod that the workload selects is left. Pods may take as long to end as they say they need.
    pub(super) async fn until_gone(&self, held: &Held) -> Result<(), EngineError> {
        let begun = Instant::now();
        loop {
            let Some(object) = read(&self.cluster, &held.kind(), &held.namespace, &held.name).await? else {
                return Ok(());
            };
            if held.slipped(&object).is_some() {
                return Err(self.reverted(held, &object));
            }
            let Some(selector) = selector(&object) else { return Ok(()) };
            let pods = live_pods(&self.cluster, &held.namespace, Some(&selector)).await?;
            if pods.is_empty() && has_seen_the_change(&object) {
                return Ok(());
            }
            let grace = pods.iter().map(grace).max().unwrap_or_default();
            let bound = grace + self.timing.gone;
            if begun.elapsed() >= clock::scaled(bound) {
                return Err(still_there(held, &pods, bound));
            }
            clock::sleep(self.timing.look).await;
        }
    }

    /// Waits until the pods of workloads that were scaled back are ready; which are not, for people.
    pub(super) async fn until_ready(&self, workloads: Vec<Held>) -> Vec<String> {
        let deadline = Instant::now() + clock::scaled(self.timing.ready);
        let mut late = Vec::new();
        for held in workloads {
            loop {
                let found = read(&self.cluster, &held.kind(), &held.namespace, &held.name).await;
                let missing = match &found {
                    Ok(Some(object)) => unready(object),
                    Ok(None) => None,
                    Err(error) => Some(error.message.clone()),
                };
                let Some(missing) = missing else { break };
                if Instant::now() >= deadline {
                    let seconds = self.timing.ready.as_secs();
                    late.push(format!(
                        "{} was scaled back and is not ready after {seconds} s: {missing}",
                        held.called()
                    ));
                    break;
                }
                clock::sleep(self.timing.look).await;
            }
        }
        late
    }
}

fn status(object: &DynamicObject) -> &Value {
    object.data.get("status").unwrap_or(&Value::Null)
}

/// Whether Flux works on it. Between the attempts of one that fails the condition stays, and nothing goes on.
pub(super) fn is_reconciling(object: &DynamicObject) -> bool {
    let conditions = status(object)["conditions"].as_array();
    conditions.into_iter().flatten().any(|condition| {
        condition["type"] == "Reconciling"
            && condition["status"] == "True"
            && condition["reason"] != "ProgressingWithRetry"
    })
}

/// Whether Argo CD syncs it, or will because somebody asked for it.
fn is_operating(object: &DynamicObject) -> bool {
    let asked = object.data.get("operation").is_some_and(|operation| !operation.is_null());
    asked || status(object)["operationState"]["phase"] == json!("Running")
}

/// A controller that has not seen the last change may still make pods.
fn has_seen_the_change(object: &DynamicObject) -> bool {
    let observed = status(object)["observedGeneration"].as_i64();
    observed.zip(object.metadata.generation).is_none_or(|(observed, generation)| observed >= generation)
}

fn grace(pod: &DynamicObject) -> Duration {
    let wanted =
        pod.metadata.deletion_grace_period_seconds.or(pod.data["spec"]["terminationGracePeriodSeconds"].as_i64());
    Duration::from_secs(wanted.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or(30))
}

fn still_there(held: &Held, pods: &[DynamicObject], waited: Duration) -> EngineError {
    let names: Vec<String> = pods
        .iter()
        .map(|pod| {
            let name = pod.metadata.name.clone().unwrap_or_default();
            match pod.metadata.finalizers.as_deref().unwrap_or_default() {
                [] => name,
                finalizers => format!("{name} (kept by the finalizer {})", finalizers.join(", ")),
            }
        })
        .collect();
    let left = if names.is_empty() { "its controller has not seen that".to_owned() } else { names.join(", ") };
    let (called, seconds) = (held.called(), waited.as_secs());
    EngineError::nothing_written(format!("{called} has 0 replicas, and pods are left after {seconds} s: {left}"))
}

fn still_working(held: &Held, jobs: &[DynamicObject], pods: &[DynamicObject], waited: Duration) -> EngineError {
    let jobs: Vec<String> = names(jobs).iter().map(|job| Kind::JOB.called(&held.namespace, job)).collect();
    let (jobs, pods, seconds) = (jobs.join(", "), names(pods), waited.as_secs());
    let pods = if pods.is_empty() { String::new() } else { format!(" (pod {})", pods.join(", pod ")) };
    let message = format!(
        "{} is suspended, and what it started before is still at work after {seconds} s: {jobs}{pods}. Let it come to its \
         end, or delete the Job, and apply again",
        held.called()
    );
    EngineError::nothing_written(message)
}

/// What is missing until a workload is ready.
fn unready(object: &DynamicObject) -> Option<String> {
    // The API server fills in 1 where nothing is said.
    let wanted = object.data["spec"]["replicas"].as_i64().unwrap_or(1);
    let ready = status(object)["readyReplicas"].as_i64().unwrap_or(0);
    (ready < wanted || !has_seen_the_change(object)).then(|| format!("{ready} of {wanted} pods are ready"))
}
