//! Quiescing against an API server in memory: every kind down and back, reverts, take-overs.

pub(in crate::engines) mod api;
mod holding;
mod kinds;
#[cfg(feature = "toy")]
mod runs;
mod shared;
mod workloads;

use std::time::Duration;

use dr_framework::Attr;
use serde_json::{Value, json};

use super::pause::Timing;
use super::{KubernetesPause, OwnSchedule, Quiesce, QuiesceModel};
use crate::connections::kubernetes::Kind;
use crate::ledger::UndoStep;
use crate::run::{EngineError, Pause};
use api::Api;

const NAMESPACE: &str = "paperless";

pub(super) fn quick() -> Timing {
    let millis = Duration::from_millis;
    Timing {
        hold: millis(60),
        look: millis(5),
        idle: millis(150),
        answer: millis(200),
        gone: millis(150),
        ready: millis(150),
    }
}

fn list(entries: &[&str]) -> Attr<Vec<Attr<String>>> {
    Attr::Known(entries.iter().map(|entry| Attr::Known((*entry).to_owned())).collect())
}

fn quiesce(suspend: &[&str], scale_down: &[&str]) -> Quiesce {
    QuiesceModel { scale_down: list(scale_down), suspend: list(suspend) }.resolve(NAMESPACE).unwrap()
}

fn pause(api: &Api, suspend: &[&str], scale_down: &[&str]) -> KubernetesPause {
    KubernetesPause::new(api.cluster(), quiesce(suspend, scale_down), Vec::new()).timed(quick())
}

/// What a run does: each step in order, then seen to hold.
async fn take_down(pause: &KubernetesPause) -> Result<Vec<UndoStep>, EngineError> {
    let steps = pause.application().await?;
    for step in &steps {
        pause.change(step).await?;
    }
    pause.holds(&steps).await?;
    Ok(steps)
}

async fn bring_back(pause: &KubernetesPause, steps: &[UndoStep]) {
    for step in steps.iter().rev() {
        pause.undo(step).await.unwrap();
    }
}

/// A workload of three replicas, with its pods; its controller keeps as many as it asks for.
fn workload(api: &Api, kind: &Kind, name: &str) {
    let labels = json!({ "matchLabels": { "app": name } });
    api.put(kind, NAMESPACE, name, json!({ "spec": { "replicas": 3, "selector": labels } }));
    let (address, name) = (api::address(kind, NAMESPACE, name), name.to_owned());
    api.controller(move |objects| {
        let Some(replicas) = objects.get(&address).map(|workload| workload["spec"]["replicas"].as_i64().unwrap_or(1))
        else {
            return;
        };
        for number in 0..3 {
            let pod = api::address(&Kind::POD, NAMESPACE, &format!("{name}-{number}"));
            if number < replicas {
                objects.entry(pod).or_insert_with(|| a_pod(&format!("{name}-{number}"), &name));
            } else {
                objects.remove(&pod);
            }
        }
        let workload = objects.get_mut(&address).unwrap();
        workload["status"] =
            json!({ "readyReplicas": replicas, "observedGeneration": workload["metadata"]["generation"].clone() });
    });
}

fn a_pod(name: &str, app: &str) -> Value {
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": NAMESPACE, "labels": { "app": app } },
        "spec": { "terminationGracePeriodSeconds": 0 }, "status": { "phase": "Running" } })
}

/// The object without what the server counts.
fn bare(mut object: Value) -> Value {
    let metadata = object["metadata"].as_object_mut().unwrap();
    metadata.remove("managedFields");
    metadata.remove("generation");
    if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
        for asked in [
            "reconcile.fluxcd.io/requestedAt",
            "argocd.argoproj.io/refresh",
            "argocd.argoproj.io/application-set-refresh",
        ] {
            annotations.remove(asked);
        }
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
    }
    object.as_object_mut().unwrap().remove("status");
    object
}

#[test]
fn a_plan_shows_the_steps_and_entries_are_judged_at_their_place() {
    use dr_framework::Model;
    let quiesce = quiesce(
        &["hpa/web", "argocd/application/paperless", "argocd/applicationset/apps", "cronjob/import", "cronjob/import"],
        &["deployment/web", "db/statefulset/postgres"],
    );
    insta::assert_snapshot!(quiesce.steps().join("\n"));
    let unknown = QuiesceModel { scale_down: Attr::Unknown, suspend: Attr::Null };
    assert!(unknown.resolve(NAMESPACE).is_none());
    assert!(QuiesceModel::default().resolve(NAMESPACE).unwrap().is_empty());

    let model = QuiesceModel { scale_down: list(&["deployment/web", "ks/apps"]), suspend: list(&["deployment/web"]) };
    let judged = dr_framework::validate::validate(&QuiesceModel::fields(), &model.to_object(), true);
    let shown = judged.0.iter().map(|error| format!("{}: {}", error.attribute.as_ref().unwrap(), error.detail));
    insta::assert_snapshot!(shown.collect::<Vec<_>>().join("\n"));
}

#[tokio::test]
async fn the_own_schedule_is_paused_and_resumed_and_one_that_is_not_there_is_none() {
    const SCHEDULE: Kind = Kind::namespaced("velero.io", "v1", "Schedule", "schedules");
    let api = Api::new();
    api.put(&SCHEDULE, "velero", "daily", json!({ "spec": { "schedule": "0 2 * * *" } }));
    api.put(&SCHEDULE, "velero", "weekly", json!({ "spec": { "paused": true } }));
    let own = |name: &str| OwnSchedule::paused_in_spec(SCHEDULE, "velero", name);
    let pause = KubernetesPause::new(api.cluster(), Quiesce::default(), vec![own("daily"), own("weekly"), own("gone")]);
    let pause = pause.timed(quick());
    let steps = pause.schedule().await.unwrap();
    let objects: Vec<&str> = steps.iter().map(|step| step.object.as_str()).collect();
    assert_eq!(objects, ["velero/schedule.velero.io/daily", "velero/schedule.velero.io/weekly"]);
    for step in &steps {
        pause.change(step).await.unwrap();
    }
    pause.holds(&steps).await.unwrap();
    assert_eq!(api.get(&SCHEDULE, "velero", "daily")["spec"]["paused"], true);
    // By somebody who knows only the record.
    bring_back(&self::pause(&api, &[], &[]), &steps).await;
    assert!(api.get(&SCHEDULE, "velero", "daily")["spec"]["paused"].is_null());
    assert_eq!(api.get(&SCHEDULE, "velero", "weekly")["spec"]["paused"], true);
}

#[tokio::test]
async fn retention_rests_beside_the_backups_and_an_older_record_knows_of_the_backups_alone() {
    const SCHEDULE: Kind = Kind::namespaced("k8up.io", "v1", "Schedule", "schedules");
    let before = json!({ "spec": {
        "backup": { "schedule": "@daily", "tags": ["nightly"] },
        "prune": { "schedule": "@weekly", "retention": { "keepDaily": 7 } },
    } });
    let api = Api::new();
    api.put(&SCHEDULE, NAMESPACE, "nightly", before.clone());
    let own = vec![
        OwnSchedule::without_backups(SCHEDULE, NAMESPACE, "nightly", "backup"),
        OwnSchedule::without_retention(SCHEDULE, NAMESPACE, "nightly", "prune"),
    ];
    let pause = KubernetesPause::new(api.cluster(), Quiesce::default(), own).timed(quick());
    let steps = pause.schedule().await.unwrap();
    let actions: Vec<&str> = steps.iter().map(|step| step.action.as_str()).collect();
    assert_eq!(actions, ["pause_schedule", "pause_retention"]);
    for step in &steps {
        pause.change(step).await.unwrap();
    }
    pause.holds(&steps).await.unwrap();
    assert_eq!(api.get(&SCHEDULE, NAMESPACE, "nightly")["spec"], json!({}));
    // Somebody who has it prune again meanwhile is found out.
    api.put(&SCHEDULE, NAMESPACE, "nightly", json!({ "spec": { "prune": before["spec"]["prune"] } }));
    assert!(pause.holds(&steps).await.unwrap_err().message.contains("spec.prune"));
    bring_back(&self::pause(&api, &[], &[]), &steps).await;
    assert_eq!(api.get(&SCHEDULE, NAMESPACE, "nightly")["spec"], before["spec"]);

    // The record of a version that let retention go on.
    api.put(&SCHEDULE, NAMESPACE, "nightly", json!({ "spec": { "prune": before["spec"]["prune"] } }));
    let older = json!({
        "action": "pause_schedule", "object": "paperless/schedule.k8up.io/nightly",
        "before": json!({
            "group": "k8up.io", "version": "v1", "kind": "Schedule", "plural": "schedules",
            "namespace": NAMESPACE, "name": "nightly",
            "fields": [{ "path": ["spec", "backup"], "was": before["spec"]["backup"], "held": null }],
        }).to_string(),
    });
    let older: UndoStep = serde_json::from_value(older).unwrap();
    bring_back(&self::pause(&api, &[], &[]), &[older]).await;
    assert_eq!(api.get(&SCHEDULE, NAMESPACE, "nightly")["spec"], before["spec"]);
}

#[tokio::test]
async fn what_two_restores_hold_of_one_schedule_comes_back_field_by_field() {
    const SCHEDULE: Kind = Kind::namespaced("k8up.io", "v1", "Schedule", "schedules");
    let before = json!({ "spec": { "backup": { "schedule": "@daily" }, "prune": { "schedule": "@weekly" } } });
    let api = Api::new();
    api.put(&SCHEDULE, NAMESPACE, "nightly", before.clone());
    let backups = || OwnSchedule::without_backups(SCHEDULE, NAMESPACE, "nightly", "backup");
    let prunes = || OwnSchedule::without_retention(SCHEDULE, NAMESPACE, "nightly", "prune");
    let pause = |own: Vec<OwnSchedule>, target: &str| {
        KubernetesPause::new(api.cluster(), Quiesce::default(), own).timed(quick()).held_for("k8up", target)
    };
    // One restores beside the schedule, the other one elsewhere, from the same repository.
    let (here, there) = (pause(vec![backups(), prunes()], "here"), pause(vec![prunes()], "there"));
    let mut held = Vec::new();
    for pause in [&here, &there] {
        let steps = pause.schedule().await.unwrap();
        for step in &steps {
            pause.change(step).await.unwrap();
        }
        held.push(steps);
    }
    assert_eq!(api.get(&SCHEDULE, NAMESPACE, "nightly")["spec"], json!({}));
    bring_back(&here, &held[0]).await;
    let backups_alone = json!({ "backup": before["spec"]["backup"] });
    assert_eq!(api.get(&SCHEDULE, NAMESPACE, "nightly")["spec"], backups_alone);
    bring_back(&there, &held[1]).await;
    let after = api.get(&SCHEDULE, NAMESPACE, "nightly");
    assert_eq!(after["spec"], before["spec"]);
    assert!(after["metadata"]["annotations"].as_object().is_none_or(serde_json::Map::is_empty), "{after}");
}
