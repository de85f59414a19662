//! Recovery points that VolSync's populator fills new claims with, and restores to other places than the backup's.

use std::fs;

use acceptance_tests::servers::kubernetes::{STORAGE_CLASS, VolSync, wait_for};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::scene::{Scene, names};
use crate::volsync::{MINUTE, World};

both_clis!(
    a_new_claim_is_filled_from_what_was_handed_over_and_is_backed_up,
    what_was_handed_over_is_made_again_when_it_is_gone_or_changed,
    new_triggers_hand_over_a_newer_point_and_nothing_of_the_older_one,
    a_repository_without_points_is_never_handed_over,
    an_image_that_is_not_the_points_is_taken_away,
    a_hand_over_whose_process_is_killed_is_taken_over,
    a_job_that_restores_again_takes_its_image_away,
    a_name_that_goes_from_one_job_to_another_keeps_the_new_ones_image,
    what_does_not_fit_a_hand_over_is_an_error_while_planning,
    a_claim_of_another_namespace_is_restored_by_one_argument,
    the_rights_in_the_guide_are_enough,
);

/// The size of a claim or an image.
const SIZE: &str = "capacity = \"1Gi\", access_modes = [\"ReadWriteOnce\"]";

/// A job that hands over; `engine` goes into its block, `more` beside it.
fn hand_over(engine: &str, more: &str) -> String {
    format!(
        r#"
resource "dr_restore_job" "docs" {{
  name    = "docs"
  source  = dr_backup_target.main.ref
  perform = false
  volsync = {{ {engine} }}
  {more}
}}
"#
    )
}

/// There is a backup, and its schedule is gone.
fn backed_up(scene: &mut Scene) -> Result<World> {
    let world = World::new(scene)?;
    scene.workspace.write(&world.configuration(""))?;
    scene.workspace.apply()?.ok()?;
    world.synced(&Value::Null)?;
    scene.workspace.write(&world.target())?;
    scene.workspace.apply()?.ok()?;
    Ok(world)
}

fn attributes(scene: &Scene) -> Result<Value> {
    scene.workspace.attributes("dr_restore_job.docs")
}

/// Makes a claim as its owner does, and reads its file once it is filled.
fn claimed(world: &World, namespace: &str, name: &str) -> Result<String> {
    world.shared.api().apply_as(
        "argocd",
        &json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": { "name": name, "namespace": namespace },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": { "requests": { "storage": "1Gi" } },
                "storageClassName": STORAGE_CLASS,
                "dataSourceRef": { "apiGroup": "volsync.backube", "kind": "ReplicationDestination", "name": "docs" },
            },
        }),
    )?;
    let bound = |claim: &Value| claim["status"]["phase"] == "Bound";
    let api = world.shared.api();
    api.wait("v1", "PersistentVolumeClaim", namespace, name, MINUTE * 2, bound).with_context(|| world.log())?;
    Ok(fs::read_to_string(world.shared.node.volume(namespace, name)?.join("file"))?)
}

fn a_new_claim_is_filled_from_what_was_handed_over_and_is_backed_up(scene: &mut Scene) -> Result<()> {
    let world = backed_up(scene)?;
    let job = hand_over(&format!("pvc = \"fresh\", {SIZE}"), "");
    scene.workspace.write(&format!("{}{job}", world.target()))?;
    scene.workspace.apply()?.ok().with_context(|| world.log())?;
    let state = attributes(scene)?;
    ensure!(state["result"]["outcome"] == "handed_over", "{state}");
    let snapshots = world.snapshots()?;
    ensure!(snapshots.len() == 1 && state["result"]["point"]["id"] == snapshots[0]["id"], "{state}");
    let named = json!({ "api_group": "volsync.backube", "kind": "ReplicationDestination", "name": "docs" });
    ensure!(state["data_source_ref"] == named, "{state}");
    ensure!(state["auto_restore"] == json!({ "armed": true, "why_not": null }), "{state}");
    let destinations = world.destinations()?;
    ensure!(destinations.len() == 1, "{destinations:?}");
    let spec = &destinations[0]["spec"]["restic"];
    ensure!(spec["copyMethod"] == "Snapshot" && spec["destinationPVC"].is_null(), "{spec}");
    ensure!(destinations[0]["status"]["latestImage"]["kind"] == "VolumeSnapshot", "{destinations:?}");
    ensure!(world.shared.api().get("v1", "PersistentVolumeClaim", &world.name, "fresh")?.is_none());

    // The claim is its owner's to make: that it is missing is no reason to run.
    scene.workspace.plan_is_empty()?;
    ensure!(claimed(&world, &world.name, "fresh")? == "precious");
    scene.workspace.plan_is_empty()?;
    ensure!(attributes(scene)?["target_state"] == "missing", "a plan writes nothing");

    // A lost state finds what stands.
    fs::remove_file(scene.workspace.state_file())?;
    let kept = world.destinations()?;
    scene.workspace.apply()?.ok()?;
    ensure!(attributes(scene)?["data_source_ref"] == named);
    ensure!(world.destinations()?[0]["metadata"]["uid"] == kept[0]["metadata"]["uid"], "it was made anew");
    scene.workspace.plan_is_empty()?;

    // The claim is younger than its newest point and yet not new: it is backed up.
    let schedule = world.configuration("after = dr_restore_job.docs.ref").replace("pvc = \"data\"", "pvc = \"fresh\"");
    scene.workspace.write(&format!("{schedule}{job}"))?;
    scene.workspace.apply()?.ok()?;
    world.synced(&Value::Null)?;
    ensure!(world.snapshots()?.len() == 2);

    // The image goes with the job, and the claim stays.
    scene.workspace.destroy()?.ok()?;
    ensure!(world.destinations()?.is_empty());
    ensure!(fs::read_to_string(world.shared.node.volume(&world.name, "fresh")?.join("file"))? == "precious");
    Ok(())
}

fn what_was_handed_over_is_made_again_when_it_is_gone_or_changed(scene: &mut Scene) -> Result<()> {
    let world = backed_up(scene)?;
    let api = world.shared.api();
    // A claim that is there needs no restore, and says itself what it was made from.
    scene.workspace.write(&format!("{}{}", world.target(), hand_over(&format!("pvc = \"data\", {SIZE}"), "")))?;
    scene.workspace.apply()?.ok()?;
    let state = attributes(scene)?;
    ensure!(state["result"]["outcome"] == "not_needed" && state["data_source_ref"].is_null(), "{state}");
    ensure!(state["auto_restore"]["armed"] == false && world.destinations()?.is_empty(), "{state}");
    scene.workspace.plan_is_empty()?;

    // `always` asks for one whatever is there.
    let always = hand_over(&format!("pvc = \"data\", {SIZE}"), "when = \"always\"\n  triggers = { now = \"1\" }");
    scene.workspace.write(&format!("{}{always}", world.target()))?;
    scene.workspace.apply()?.ok()?;
    ensure!(attributes(scene)?["auto_restore"]["armed"] == true);
    scene.workspace.plan_is_empty()?;

    let is_made_again = |seen: &str| -> Result<()> {
        scene.workspace.plan()?.ok()?;
        ensure!(scene.workspace.planned("dr_restore_job.docs")? == ["update"], "{seen}: nothing is planned");
        scene.workspace.apply()?.ok().with_context(|| format!("{seen}\n{}", world.log()))?;
        let state = attributes(scene)?;
        ensure!(
            state["auto_restore"]["armed"] == true && state["result"]["outcome"] == "handed_over",
            "{seen}: {state}"
        );
        scene.workspace.plan_is_empty()
    };
    api.delete_and_wait(VolSync::API, "ReplicationDestination", &world.name, "docs")?;
    is_made_again("it was deleted")?;
    let changes = [json!({ "trigger": { "schedule": "0 * * * *" } }), json!({ "restic": { "previous": 1 } })];
    for change in changes {
        let patch = json!({ "spec": change });
        api.patch(VolSync::API, "ReplicationDestination", &world.name, "docs", &patch)?;
        is_made_again(&patch.to_string())?;
        let spec = world.get("ReplicationDestination", "docs")?["spec"].clone();
        ensure!(spec["trigger"]["schedule"].is_null() && spec["restic"]["previous"].is_null(), "{spec}");
    }
    let image = world.get("ReplicationDestination", "docs")?["status"]["latestImage"]["name"].clone();
    let image = image.as_str().context("there is an image")?;
    api.delete_and_wait("snapshot.storage.k8s.io/v1", "VolumeSnapshot", &world.name, image)?;
    is_made_again("its snapshot is gone")
}

fn new_triggers_hand_over_a_newer_point_and_nothing_of_the_older_one(scene: &mut Scene) -> Result<()> {
    let world = backed_up(scene)?;
    let with = |release: &str| {
        let job = hand_over(&format!("pvc = \"fresh\", {SIZE}"), &format!("triggers = {{ release = \"{release}\" }}"));
        format!("{}{job}", world.configuration(""))
    };
    fs::write(world.folder.join("other"), "only in the older point")?;
    // Another object has the name.
    let foreign = json!({
        "apiVersion": VolSync::API, "kind": "ReplicationDestination",
        "metadata": { "name": "docs", "namespace": world.name },
        "spec": { "paused": true, "trigger": { "manual": "x" } },
    });
    world.shared.api().apply_as("argocd", &foreign)?;
    scene.workspace.write(&with("1"))?;
    scene.workspace.apply()?.fails(&["something else made it", "rename the job"])?;
    world.shared.api().delete_and_wait(VolSync::API, "ReplicationDestination", &world.name, "docs")?;
    world.synced(&Value::Null)?;

    scene.workspace.apply()?.ok().with_context(|| world.log())?;
    let before = attributes(scene)?["result"]["point"]["id"].clone();
    fs::rename(world.folder.join("file"), world.folder.join("renamed"))?;
    fs::write(world.folder.join("file"), "newest")?;
    fs::remove_file(world.folder.join("other"))?;
    world.back_up_again()?;
    // The trigger that was set by hand goes. A newer point alone changes nothing: the decision is made.
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    ensure!(attributes(scene)?["result"]["point"]["id"] == before, "it was handed over again");
    scene.workspace.write(&with("2"))?;
    scene.workspace.apply()?.ok().with_context(|| world.log())?;
    let state = attributes(scene)?;
    ensure!(state["result"]["point"]["id"] != before && state["auto_restore"]["armed"] == true, "{state}");
    scene.workspace.plan_is_empty()?;
    ensure!(claimed(&world, &world.name, "fresh")? == "newest");
    let there = names(&world.shared.node.volume(&world.name, "fresh")?)?;
    ensure!(there == ["file", "renamed"], "{there:?}");
    Ok(())
}

fn a_repository_without_points_is_never_handed_over(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let engine = format!("pvc = \"fresh\", {SIZE}");
    scene.workspace.write(&format!("{}{}", world.target(), hand_over(&engine, "")))?;
    scene.workspace.apply()?.fails(&["There is no recovery point"])?;
    ensure!(world.destinations()?.is_empty());
    ensure!(world.s3.keys(&world.name, "docs/")?.is_empty(), "a repository was made");
    scene.workspace.write(&format!("{}{}", world.target(), hand_over(&engine, "on_missing = \"skip\"")))?;
    scene.workspace.apply()?.ok()?;
    let state = attributes(scene)?;
    ensure!(state["result"]["outcome"] == "skipped_no_points" && state["data_source_ref"].is_null(), "{state}");
    ensure!(world.destinations()?.is_empty());
    scene.workspace.plan_is_empty()
}

/// VolSync's verdict is given by hand: its mover found nothing, which is a success to it.
fn an_image_that_is_not_the_points_is_taken_away(scene: &mut Scene) -> Result<()> {
    let world = backed_up(scene)?;
    let job = hand_over(&format!("pvc = \"fresh\", {SIZE}"), "");
    scene.workspace.write(&format!("{}{job}", world.target()))?;
    world.shared.node.hold(&world.name);
    let apply = scene.workspace.start_apply()?;
    wait_for("a mover", MINUTE * 2, || {
        let pods = world.shared.api().list("v1", "Pod", &world.name)?;
        Ok((!pods.is_empty()).then_some(()))
    })?;
    let trigger = world.get("ReplicationDestination", "docs")?["spec"]["trigger"]["manual"].clone();
    let status = json!({
        "lastManualSync": trigger,
        "latestMoverStatus": { "result": "Successful", "logs": "No eligible snapshots found" },
        "latestImage": { "apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "empty" },
    });
    world.shared.api().patch_status(VolSync::API, "ReplicationDestination", &world.name, "docs", &status)?;
    let run = apply.wait()?;
    world.shared.node.release(&world.name);
    run.fails(&["found no recovery point and restored nothing"])?;
    ensure!(world.destinations()?.is_empty(), "a claim could be filled from it");
    // The next apply does it well.
    scene.workspace.apply()?.ok().with_context(|| world.log())?;
    ensure!(claimed(&world, &world.name, "fresh")? == "precious");
    scene.workspace.plan_is_empty()
}

fn a_hand_over_whose_process_is_killed_is_taken_over(scene: &mut Scene) -> Result<()> {
    let world = backed_up(scene)?;
    let job = hand_over(&format!("pvc = \"fresh\", {SIZE}"), "");
    scene.workspace.write(&format!("{}{job}", world.target()))?;
    world.shared.node.hold(&world.name);
    let mut apply = scene.workspace.start_apply()?;
    let first = wait_for("a ReplicationDestination", MINUTE * 2, || Ok(world.destinations()?.into_iter().next()))?;
    apply.kill_all()?;
    world.shared.node.release(&world.name);
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "6");
    scene.workspace.apply()?.ok().with_context(|| world.log())?;
    let now = world.destinations()?;
    ensure!(now.len() == 1 && now[0]["metadata"]["uid"] == first["metadata"]["uid"], "{now:?}");
    ensure!(attributes(scene)?["auto_restore"]["armed"] == true);
    scene.workspace.plan_is_empty()
}

fn a_job_that_restores_again_takes_its_image_away(scene: &mut Scene) -> Result<()> {
    let world = backed_up(scene)?;
    let job = hand_over(&format!("pvc = \"fresh\", {SIZE}"), "");
    scene.workspace.write(&format!("{}{job}", world.target()))?;
    scene.workspace.apply()?.ok().with_context(|| world.log())?;
    scene.workspace.write(&format!("{}{}", world.target(), job.replace("perform = false", "perform = true")))?;
    scene.workspace.apply()?.ok().with_context(|| world.log())?;
    let state = attributes(scene)?;
    ensure!(state["result"]["outcome"] == "restored", "{state}");
    ensure!(state["data_source_ref"].is_null() && state["auto_restore"].is_null(), "{state}");
    ensure!(world.destinations()?.is_empty());
    ensure!(fs::read_to_string(world.shared.node.volume(&world.name, "fresh")?.join("file"))? == "precious");
    scene.workspace.plan_is_empty()
}

fn a_name_that_goes_from_one_job_to_another_keeps_the_new_ones_image(scene: &mut Scene) -> Result<()> {
    let world = backed_up(scene)?;
    let write = |first: &str, second: &str| {
        let fresh = hand_over(&format!("pvc = \"fresh\", {SIZE}"), "depends_on = [dr_restore_job.media]");
        let media = hand_over(&format!("pvc = \"media\", {SIZE}"), "").replace("\" \"docs\"", "\" \"media\"");
        let named = |job: &str, name: &str| job.replace("name    = \"docs\"", &format!("name    = {name:?}"));
        scene.workspace.write(&format!("{}{}{}", world.target(), named(&fresh, first), named(&media, second)))
    };
    let handed_over = || -> Result<Vec<String>> {
        let name = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let mut all: Vec<_> = world.destinations()?.iter().map(name).collect();
        all.sort();
        Ok(all)
    };
    write("docs", "media")?;
    scene.workspace.apply()?.ok().with_context(|| world.log())?;
    ensure!(handed_over()? == ["docs", "media"]);
    // The second job takes the name before the first one leaves it.
    write("other", "docs")?;
    scene.workspace.apply()?.ok().with_context(|| world.log())?;
    ensure!(handed_over()? == ["docs", "other"], "{:?}", handed_over()?);
    scene.workspace.plan_is_empty()?;
    // The same job at another address is destroyed at the old one, after what slows that down is.
    let file = scene.workspace.folder().join("main.tf");
    let slow = |trigger: &str| {
        format!(
            r#"
resource "terraform_data" "slow" {{
  triggers_replace = {trigger}
  provisioner "local-exec" {{
    when    = destroy
    command = "sleep 15"
  }}
}}
"#
        )
    };
    let configuration = fs::read_to_string(&file)?;
    fs::write(&file, format!("{configuration}{}", slow("dr_restore_job.media.name")))?;
    scene.workspace.apply()?.ok()?;
    let moved = configuration
        .replace("\"dr_restore_job\" \"media\"", "\"dr_restore_job\" \"videos\"")
        .replace("dr_restore_job.media", "dr_restore_job.videos");
    fs::write(&file, format!("{moved}{}", slow("\"moved\"")))?;
    scene.workspace.apply()?.ok()?;
    ensure!(handed_over()? == ["docs", "other"], "{:?}", handed_over()?);
    scene.workspace.plan_is_empty()?;
    scene.workspace.destroy()?.ok()?;
    ensure!(handed_over()?.is_empty());
    Ok(())
}

fn what_does_not_fit_a_hand_over_is_an_error_while_planning(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let engine = format!("pvc = \"fresh\", {SIZE}");
    let good = format!("{}{}", world.target(), hand_over(&engine, ""));
    scene.workspace.write(&good)?;
    scene.workspace.plan()?.ok()?;
    let restic = "restic = { path = \"/srv/docs\" }";
    let swaps: [(&str, &str, &[&str]); 6] = [
        (&engine, "pvc = \"fresh\"", &["An image without a size", "capacity"]),
        (&engine, &format!("{engine}, enable_file_deletion = true"), &["No claim is written"]),
        ("perform = false", "perform = false\n  rto = \"5m\"", &["Nothing is restored", "rto"]),
        (
            "perform = false",
            "perform = false\n  quiesce = { scale_down = [\"deployment/a\"] }",
            &["Nothing is restored"],
        ),
        (
            "perform = false\n  volsync = { ",
            "perform = true\n  volsync = { volume_snapshot_class_name = \"a\", ",
            &["No snapshot is taken"],
        ),
        (&format!("volsync = {{ {engine} }}\n  \n"), &format!("{restic}\n"), &["Nothing to hand over", "restic"]),
    ];
    for (from, to, expected) in swaps {
        ensure!(good.contains(from), "{from} is not in the configuration");
        scene.workspace.write(&good.replace(from, to))?;
        scene.workspace.plan()?.fails(expected)?;
    }
    // VolSync's object has the name of the job.
    let other = hand_over(&engine.replace("fresh", "media"), "").replace("\"docs\" {", "\"media\" {");
    scene.workspace.write(&format!("{good}{other}"))?;
    let both = ["Two jobs hand over by one name", "Give one of them another name"];
    scene.workspace.plan()?.fails(&both)?;
    scene.workspace.write(&format!("{good}{}", other.replace("name    = \"docs\"", "name    = \"media\"")))?;
    scene.workspace.plan()?.ok()?;
    Ok(())
}

fn a_claim_of_another_namespace_is_restored_by_one_argument(scene: &mut Scene) -> Result<()> {
    let world = backed_up(scene)?;
    let other = world.shared.namespace("vs-other")?;
    let job = |perform: bool, more: &str| {
        let engine = format!("namespace = \"{other}\", pvc = \"copy\", {SIZE} {more}");
        hand_over(&engine, "").replace("perform = false", &format!("perform = {perform}"))
    };
    let none_left = |kind: &str, api: &str| -> Result<()> {
        let left = world.shared.api().list(api, kind, &other)?;
        ensure!(left.is_empty(), "{left:?}");
        Ok(())
    };
    scene.workspace.write(&format!("{}{}", world.target(), job(true, "")))?;
    scene.workspace.apply()?.ok().with_context(|| world.log())?;
    ensure!(fs::read_to_string(world.shared.node.volume(&other, "copy")?.join("file"))? == "precious");
    none_left("Secret", "v1")?;
    none_left("ReplicationDestination", VolSync::API)?;
    scene.workspace.plan_is_empty()?;
    let state = attributes(scene)?;
    ensure!(state["ref"]["scope"] == other.as_str() && state["result"]["outcome"] == "restored", "{state}");

    // The same with a connection of its own for the claim, and handed over.
    world.shared.api().delete_and_wait("v1", "PersistentVolumeClaim", &other, "copy")?;
    let connections =
        world.target().replacen("prod =", "again = { kubeconfig = KUBECONFIG, context = \"test\" }\n    prod =", 1);
    let kubeconfig = format!("{:?}", world.shared.cluster.kubeconfig_path());
    let connections = connections.replace("KUBECONFIG", &kubeconfig);
    scene.workspace.write(&format!("{connections}{}", job(false, ", cluster = \"again\"")))?;
    scene.workspace.apply()?.ok().with_context(|| world.log())?;
    none_left("Secret", "v1")?;
    ensure!(claimed(&world, &other, "copy")? == "precious");
    scene.workspace.plan_is_empty()?;
    scene.workspace.destroy()?.ok()?;
    none_left("ReplicationDestination", VolSync::API)
}

fn the_rights_in_the_guide_are_enough(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let limited = world.limited(scene)?;
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "5");
    scene.workspace.write(&limited(&world.configuration("")))?;
    scene.workspace.apply()?.ok()?;
    world.synced(&Value::Null)?;
    scene.workspace.plan_is_empty()?;

    fs::write(world.folder.join("file"), "spoilt")?;
    let jobs = format!(
        r#"{schedule}
resource "dr_backup_job" "now" {{
  name    = "now"
  target  = dr_backup_target.main.ref
  after   = dr_restore_job.claim.ref
  volsync = {{ pvc = "data", copy_method = "Snapshot" }}
}}
resource "dr_restore_job" "claim" {{
  name    = "claim"
  source  = dr_backup_target.main.ref
  when    = "always"
  volsync = {{ pvc = "data" }}
}}
resource "dr_restore_job" "made" {{
  name    = "made"
  source  = dr_backup_target.main.ref
  volsync = {{ pvc = "made", {SIZE} }}
}}
{handed_over}"#,
        schedule = world.configuration(""),
        handed_over = hand_over(&format!("pvc = \"fresh\", {SIZE}"), ""),
    );
    scene.workspace.write(&limited(&jobs))?;
    scene.workspace.apply()?.ok().with_context(|| world.log())?;
    ensure!(fs::read_to_string(world.folder.join("file"))? == "precious");
    ensure!(attributes(scene)?["auto_restore"]["armed"] == true);
    scene.workspace.plan_is_empty()?;
    scene.workspace.destroy()?.ok()?;
    ensure!(world.destinations()?.is_empty());
    Ok(())
}
