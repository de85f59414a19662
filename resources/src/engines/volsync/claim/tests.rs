//! Sources that rest while their claim is restored, with a VolSync that knows no more of a pause than the real one: it takes its
//! snapshot and only starts no mover.

use serde_json::{Value, json};

use super::super::SNAPSHOT;
use super::*;
use crate::engines::kubernetes::quiesce::tests::api::{Api, Objects, address};
use crate::engines::kubernetes::quiesce::{KubernetesPause, OwnSchedule, Quiesce};

const APPS: &str = "apps";

/// The names of what VolSync makes.
const COPY: &str = "volsync-hourly-src";
const MOVER: &str = "volsync-src-hourly";

/// A source that is due at every look, and a claim that holds something.
fn world(copy_method: &str) -> Api {
    let api = Api::new();
    let restic = json!({ "copyMethod": copy_method });
    let spec = json!({ "sourcePVC": "data", "trigger": { "schedule": "* * * * *" }, "restic": restic });
    api.put(&SOURCE, APPS, "hourly", json!({ "spec": spec }));
    holds(&api, "old");
    api.controller(volsync);
    api
}

fn holds(api: &Api, content: &str) {
    api.put(&Kind::PVC, APPS, "data", json!({ "content": content }));
}

/// What `Synchronize` does: the claim is looked for, copied once, and then a Job waits for the pause to end.
fn volsync(objects: &mut Objects) {
    let source = objects[&address(&SOURCE, APPS, "hourly")].clone();
    let claim = source["spec"]["sourcePVC"].as_str().unwrap();
    let Some(claim) = objects.get(&address(&Kind::PVC, APPS, claim)).cloned() else { return };
    let marked = |kind: &Kind, name: &str, content: &Value| {
        let labels = json!({ "volsync.backube/cleanup": source["metadata"]["uid"] });
        json!({
            "apiVersion": kind.api_version(), "kind": kind.kind, "content": content,
            "metadata": { "name": name, "namespace": APPS, "uid": "uid-made", "labels": labels },
        })
    };
    let mut content = claim["content"].clone();
    if source["spec"]["restic"]["copyMethod"] == "Snapshot" {
        for kind in [&SNAPSHOT, &Kind::PVC] {
            let copy = objects.entry(address(kind, APPS, COPY));
            content = copy.or_insert_with(|| marked(kind, COPY, &content))["content"].clone();
        }
    }
    let paused = source["spec"]["paused"] == true;
    let job = objects.entry(address(&Kind::JOB, APPS, MOVER));
    let job = job.or_insert_with(|| marked(&Kind::JOB, MOVER, &content));
    job["spec"] = json!({ "parallelism": i32::from(!paused) });
}

/// What VolSync stores, or will.
fn copied(api: &Api) -> Value {
    api.get(&Kind::JOB, APPS, MOVER)["content"].clone()
}

fn spec(api: &Api) -> Value {
    api.get(&SOURCE, APPS, "hourly")["spec"].clone()
}

fn pause(api: &Api) -> SourcesPause {
    let own = vec![OwnSchedule::paused_in_spec(SOURCE, APPS, "hourly")];
    let (cluster, quiesce) = (api.cluster(), Quiesce::default());
    let pause = KubernetesPause::new(cluster.clone(), quiesce.clone(), own).quick();
    let (namespace, claim, is_own) = (APPS.to_owned(), "data".to_owned(), is_mover);
    let pause = ClaimPause { pause, cluster, quiesce, namespace, claim, is_own };
    SourcesPause { pause, sources: vec!["hourly".to_owned()] }
}

/// A look of VolSync's.
async fn look(api: &Api) {
    api.cluster().list(&Kind::POD, Some(APPS), None).await.unwrap();
}

/// What a run does, up to where it may write.
async fn take_down(pause: &SourcesPause) -> Vec<UndoStep> {
    let steps = pause.schedule().await.unwrap();
    for step in &steps {
        pause.change(step).await.unwrap();
    }
    pause.holds(&steps).await.unwrap();
    steps
}

#[tokio::test]
async fn nothing_is_stored_of_a_claim_that_is_half_restored_nor_of_what_was_there_before() {
    for method in ["Snapshot", "Direct"] {
        let api = world(method);
        let before = spec(&api);
        look(&api).await;
        assert_eq!(copied(&api), "old", "a backup is under way");
        let pause = pause(&api);
        let steps = take_down(&pause).await;
        assert_eq!(copied(&api), Value::Null, "it has ended");
        holds(&api, "half");
        look(&api).await;
        assert_eq!(copied(&api), Value::Null);
        assert!(api.get(&SNAPSHOT, APPS, COPY).is_null());
        holds(&api, "restored");
        for step in &steps {
            pause.undo(step).await.unwrap();
        }
        look(&api).await;
        assert_eq!(copied(&api), "restored");
        assert_eq!(spec(&api), before);
        // Once more, as by a process that died before it wrote down that it is done: the backup goes on.
        let uid = api.get(&Kind::JOB, APPS, MOVER)["metadata"]["uid"].clone();
        pause.undo(&steps[0]).await.unwrap();
        assert_eq!((spec(&api), uid), (before, json!("uid-made")));
    }
}

#[tokio::test]
async fn a_record_that_says_no_more_than_that_it_was_paused_is_undone_without_what_was_taken_meanwhile() {
    let api = world("Snapshot");
    let before = spec(&api);
    let of_earlier_version = pause(&api).pause;
    let steps = of_earlier_version.schedule().await.unwrap();
    of_earlier_version.change(&steps[0]).await.unwrap();
    holds(&api, "half");
    look(&api).await;
    // What was parked before is of no use to the test.
    api.remove(&SNAPSHOT, APPS, COPY);
    api.remove(&Kind::PVC, APPS, COPY);
    api.remove(&Kind::JOB, APPS, MOVER);
    look(&api).await;
    assert_eq!(copied(&api), "half", "it is parked");

    // An apply that goes on with the restore has it rest, also where the record is the old one.
    pause(&api).change(&steps[0]).await.unwrap();
    assert_eq!(copied(&api), Value::Null);
    holds(&api, "restored");
    pause(&api).undo(&steps[0]).await.unwrap();
    look(&api).await;
    assert_eq!((copied(&api), spec(&api)), (json!("restored"), before.clone()));

    // One that only changes it back, too.
    of_earlier_version.change(&steps[0]).await.unwrap();
    holds(&api, "half");
    for kind in [SNAPSHOT, Kind::PVC] {
        api.remove(&kind, APPS, COPY);
    }
    api.remove(&Kind::JOB, APPS, MOVER);
    look(&api).await;
    assert_eq!(copied(&api), "half", "it is parked");
    holds(&api, "restored");
    pause(&api).undo(&steps[0]).await.unwrap();
    look(&api).await;
    assert_eq!((copied(&api), spec(&api)), (json!("restored"), before));
}

#[tokio::test]
async fn the_next_apply_finds_a_source_that_rests_and_knows_its_claim() {
    let api = world("Snapshot");
    let before = spec(&api);
    let first = take_down(&pause(&api)).await;
    let found = serde_json::from_value::<DynamicObject>(api.get(&SOURCE, APPS, "hourly")).unwrap();
    assert!(rest::rests(&found));
    assert_eq!(rest::claim_of(&found.data["spec"]), Some("data"));
    // With its record lost, what the source rests as is not taken for its claim.
    let anew = take_down(&pause(&api)).await;
    pause(&api).undo(&anew[0]).await.unwrap();
    assert_eq!(spec(&api)["sourcePVC"], "data");
    pause(&api).undo(&first[0]).await.unwrap();
    assert_eq!(spec(&api), before);
}

#[tokio::test]
async fn a_source_that_git_puts_back_is_told_before_anything_is_written() {
    let api = world("Snapshot");
    let pause = pause(&api);
    let steps = take_down(&pause).await;
    let mut object = api.get(&SOURCE, APPS, "hourly");
    object["spec"]["sourcePVC"] = "data".into();
    api.put(&SOURCE, APPS, "hourly", object);
    let error = pause.holds(&steps).await.unwrap_err();
    assert!(error.before_first_write && error.message.contains("put spec.sourcePVC back"), "{error}");
}
