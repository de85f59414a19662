//! k8up on a real API server: passwords in their three forms, what restores save first, and the rights that it takes.

use std::fs;
use std::process::Command;
use std::time::Duration;

use acceptance_tests::servers::kubernetes::{Cluster, K8up, Node, STORAGE_CLASS, wait_for};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::k8up::{PASSWORD, SCHEDULE, TARGET, World, restore, schedule};
use crate::scene::Scene;

both_clis!(
    a_password_that_is_in_no_state_is_written_with_its_version,
    somebody_elses_secret_has_to_be_whole_and_is_never_written,
    two_secrets_with_keys_of_their_own_open_a_repository,
    what_a_restore_overwrites_is_saved_where_no_prune_reaches_it,
    a_restore_that_fails_half_way_is_rolled_back_to_what_was_there,
    nothing_backs_up_or_prunes_until_a_restore_has_come_to_its_end,
    a_safety_backup_that_a_dead_process_took_is_found,
    a_claim_that_k8up_leaves_out_is_not_overwritten_unsaved,
    an_archive_of_each_claim_lies_in_its_bucket_and_its_keys_are_looked_after,
    a_point_is_restored_into_a_bucket_once,
    an_archive_that_restic_could_not_write_is_an_error_though_k8up_calls_it_a_success,
    one_apply_installs_what_its_target_restore_and_schedule_wait_for,
    a_restore_without_its_crd_makes_no_claim,
    the_rights_in_the_guide_are_enough,
);

const MINUTE: Duration = Duration::from_secs(60);

/// Where the safety backups of a scenario lie.
const SAFETY: &str = "volumes.dr/safety";

/// As it is written elsewhere, but saving first.
fn saving_restore(arguments: &str, block: &str) -> String {
    restore(arguments, block).replace("safety_backup = false", "")
}

fn a_password_that_is_in_no_state_is_written_with_its_version(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let folder = world.shared.node.claim(&world.name, "data")?;
    fs::write(folder.join("file"), "precious")?;
    let with = |password: &str, version: u8| {
        let written = format!("password_wo = \"{password}\", password_wo_version = {version}");
        let more = format!("{SCHEDULE}\n  first_backup = \"allow\"");
        world.configuration(TARGET, &more).replace("password = \"k8up_repository\"", &written)
    };
    scene.workspace.write(&with(PASSWORD, 1))?;
    scene.workspace.apply()?.ok()?.never_says(&[PASSWORD])?;
    scene.workspace.plan_is_empty()?;
    let state = fs::read_to_string(scene.workspace.state_file())?;
    ensure!(!state.contains(PASSWORD), "the state holds the password");

    // k8up opens the repository with it.
    let api = world.shared.api();
    api.apply(&json!({
        "apiVersion": K8up::API,
        "kind": "Backup",
        "metadata": { "name": "by-hand", "namespace": world.name },
        "spec": { "backend": world.schedule()?["spec"]["backend"] },
    }))?;
    wait_for("a snapshot", MINUTE * 2, || Ok(world.snapshots().ok().filter(|all| all.len() == 1)))?;

    // We read it where we wrote it.
    fs::write(folder.join("file"), "spoilt")?;
    scene.workspace.write(&format!("{}{}", with(PASSWORD, 1), restore("when = \"always\"", "pvc = \"data\"")))?;
    scene.workspace.apply()?.ok()?.never_says(&[PASSWORD])?;
    ensure!(fs::read_to_string(folder.join("file"))? == "precious");
    scene.workspace.plan_is_empty()?;
    scene.workspace.write(&with(PASSWORD, 1))?;
    scene.workspace.apply()?.ok()?;
    // It is brought along to where a claim is elsewhere.
    let drill = world.shared.namespace("k8up-drill")?;
    let made = format!("capacity = \"1Gi\", storage_class_name = \"{STORAGE_CLASS}\"");
    let block = format!("namespace = \"{drill}\", pvc = \"copy\", source_pvc = \"data\", {made}");
    scene.workspace.write(&format!("{}{}", with(PASSWORD, 1), restore("", &block)))?;
    scene.workspace.apply()?.ok()?.never_says(&[PASSWORD])?;
    ensure!(fs::read_to_string(world.shared.node.volume(&drill, "copy")?.join("file"))? == "precious");
    let left = world.shared.api().list("v1", "Secret", &drill)?;
    ensure!(left.is_empty(), "a Secret is left behind: {left:?}");
    scene.workspace.write(&with(PASSWORD, 1))?;
    scene.workspace.apply()?.ok()?;

    // It is written again by its version alone, once it opens what is there.
    let held = || Ok::<_, anyhow::Error>(world.get("v1", "Secret", "dr-main")?["data"]["password"].clone());
    let before = held()?;
    scene.workspace.write(&with("another-password-9d", 1))?;
    scene.workspace.plan_is_empty()?;
    scene.workspace.write(&with("another-password-9d", 2))?;
    scene.workspace.apply()?.fails(&["Secret dr-main was not written", "restic key add"])?;
    ensure!(held()? == before, "it was written");
    // A repository that is not there opens with any.
    for key in world.s3.keys(&world.name, "")? {
        world.s3.delete(&world.name, &key)?;
    }
    scene.workspace.apply()?.ok()?;
    ensure!(held()? != before, "it was not written again");
    scene.workspace.plan_is_empty()
}

fn somebody_elses_secret_has_to_be_whole_and_is_never_written(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let api = world.shared.api();
    let folder = world.shared.node.claim(&world.name, "data")?;
    fs::write(folder.join("file"), "precious")?;
    let mut data = json!({ "password": PASSWORD, "access_key_id": world.s3.credentials.id });
    let theirs = |data: &Value| {
        json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": "theirs", "namespace": world.name },
            "stringData": data,
        })
    };
    api.apply_as("somebody", &theirs(&data))?;
    let existing = |text: String| {
        text.replace("password = \"k8up_repository\"", "existing_secret = { name = \"theirs\" }")
            .replace(", credentials = \"k8up_keys\"", "")
    };
    let always = restore("when = \"always\"", "pvc = \"data\"");
    let all = existing(world.backed_up(1, &format!("{always}{}", schedule("after = dr_restore_job.data.ref"))));
    let both = all.replace("prefix = \"volumes\"", "prefix = \"volumes\", credentials = \"k8up_keys\"");
    scene.workspace.write(&both)?;
    scene.workspace.plan()?.fails(&["Two forms of credentials"])?;
    scene.workspace.write(&existing(world.backed_up(1, "")))?;
    scene.workspace.apply()?.fails(&["theirs", "it has no secret_access_key"])?;

    data["secret_access_key"] = json!(world.s3.credentials.secret);
    api.apply_as("somebody", &theirs(&data))?;
    let before = world.get("v1", "Secret", "theirs")?;
    scene.workspace.apply()?.ok()?;
    fs::write(folder.join("file"), "spoilt")?;
    scene.workspace.write(&all)?;
    scene.workspace.apply()?.ok()?;
    ensure!(fs::read_to_string(folder.join("file"))? == "precious");
    let state = scene.workspace.attributes("dr_backup_target.main")?;
    ensure!(state["ref"]["scope"] == format!("{}/theirs", world.name), "{state}");
    ensure!(!fs::read_to_string(scene.workspace.state_file())?.contains(PASSWORD), "the state holds the password");
    scene.workspace.plan_is_empty()?;

    // It is neither changed nor removed, and nothing stands beside it.
    scene.workspace.destroy()?.ok()?;
    let after = world.get("v1", "Secret", "theirs")?;
    ensure!(after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"], "{after}");
    ensure!(world.get("v1", "Secret", "dr-main").is_err(), "a Secret of our own was made");
    Ok(())
}

fn two_secrets_with_keys_of_their_own_open_a_repository(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let folder = world.shared.node.claim(&world.name, "data")?;
    fs::write(folder.join("file"), "precious")?;
    let secret = |name: &str, data: Value| {
        let metadata = json!({ "name": name, "namespace": world.name });
        let object = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data });
        world.shared.api().apply_as("somebody", &object)
    };
    secret("backup-repo", json!({ "pw": PASSWORD }))?;
    let keys = json!({ "username": world.s3.credentials.id, "password": world.s3.credentials.secret });
    secret("objectstore", keys)?;
    let theirs = r#"existing_secret = {
    name                         = "backup-repo"
    repo_password_secret_ref     = { key = "pw" }
    access_key_id_secret_ref     = { name = "objectstore", key = "username" }
    secret_access_key_secret_ref = { name = "objectstore", key = "password" }
  }"#;
    let existing = |text: String| {
        text.replace("password = \"k8up_repository\"", theirs).replace(", credentials = \"k8up_keys\"", "")
    };
    scene.workspace.write(&existing(world.backed_up(1, &schedule(""))))?;
    scene.workspace.apply()?.ok()?.never_says(&[PASSWORD])?;
    let scope = format!("{}/backup-repo:pw,objectstore:username,objectstore:password,backup-repo:ca.pem", world.name);
    let state = scene.workspace.attributes("dr_backup_target.main")?;
    ensure!(state["ref"]["scope"] == scope.as_str(), "{state}");
    let backend = world.schedule()?["spec"]["backend"].clone();
    ensure!(backend["repoPasswordSecretRef"] == json!({ "name": "backup-repo", "key": "pw" }), "{backend}");
    scene.workspace.plan_is_empty()?;

    fs::write(folder.join("file"), "spoilt")?;
    let always = restore("when = \"always\"", "pvc = \"data\"");
    scene.workspace.write(&existing(world.backed_up(1, &format!("{always}{}", schedule("")))))?;
    scene.workspace.apply()?.ok()?;
    ensure!(fs::read_to_string(folder.join("file"))? == "precious");

    // What users have is imported as it is.
    fs::remove_file(scene.workspace.state_file())?;
    let target = world.target("").replace("name  = \"main\"", "name  = \"backup-repo\"");
    let target = format!("{target}{}", schedule(""));
    let named = format!("password = \"k8up_repository\", {theirs}");
    scene.workspace.write(&existing(target).replace(theirs, &named))?;
    scene.workspace.import("dr_backup_target.main", &format!("k8up:prod/{scope}/backup-repo"))?.ok()?;
    scene.workspace.import("dr_backup_schedule.nightly", &format!("k8up:prod/{}/nightly", world.name))?.ok()?;
    scene.workspace.plan_is_empty()
}

/// Stores one point, and gives the configuration that brings it back on another, empty cluster.
fn elsewhere(scene: &Scene, world: &World, cluster: &Cluster, more: &str) -> Result<String> {
    let folder = world.shared.node.claim(&world.name, "data")?;
    fs::write(folder.join("file"), "precious")?;
    scene.workspace.write(&world.backed_up(1, ""))?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.destroy()?.ok()?;
    let kubeconfig = |cluster: &Cluster| format!("{:?}", cluster.kubeconfig_path());
    let block = format!("pvc = \"data\", capacity = \"1Gi\", storage_class_name = {STORAGE_CLASS:?}");
    let (target, restore) = (world.target(""), restore(more, &block));
    Ok(format!("{target}{restore}{}", schedule("after = dr_restore_job.data.ref"))
        .replace(&kubeconfig(&world.shared.cluster), &kubeconfig(cluster)))
}

fn one_apply_installs_what_its_target_restore_and_schedule_wait_for(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let cluster = Cluster::start()?.with_controller_manager()?;
    let node = Node::start(&cluster)?;
    let text = elsewhere(scene, &world, &cluster, "")?;
    let mut k8up = None;
    let run = scene.apply_while_installing(&text, || {
        cluster.namespace(&world.name)?;
        // The restore asks for what comes last.
        std::thread::sleep(Duration::from_secs(4));
        k8up = Some(K8up::start(&cluster)?);
        Ok(())
    })?;
    run.ok().with_context(|| format!("{:?}", node.trouble()))?;
    ensure!(fs::read_to_string(node.volume(&world.name, "data")?.join("file"))? == "precious");
    let result = scene.workspace.attributes("dr_restore_job.data")?["result"].clone();
    ensure!(result["outcome"] == "restored", "{result}");
    ensure!(cluster.api.get(K8up::API, "Schedule", &world.name, "nightly")?.is_some(), "no schedule");
    drop(k8up);
    scene.workspace.plan_is_empty()
}

fn a_restore_without_its_crd_makes_no_claim(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let cluster = Cluster::start()?;
    let text = elsewhere(scene, &world, &cluster, "timeouts = { create = \"8s\" }")?;
    cluster.namespace(&world.name)?;
    scene.workspace.write(&text)?;
    let said = ["restores.k8up.io (v1)", "add depends_on = [helm_release.k8up]", "k8up-crd.yaml", "`timeouts.create`"];
    scene.workspace.apply()?.fails(&said)?;
    let claim = cluster.api.get("v1", "PersistentVolumeClaim", &world.name, "data")?;
    ensure!(claim.is_none(), "a claim was made that nothing fills: {claim:?}");
    Ok(())
}

fn what_a_restore_overwrites_is_saved_where_no_prune_reaches_it(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let folder = world.shared.node.claim(&world.name, "data")?;
    let other = world.shared.node.claim(&world.name, "other")?;
    fs::write(folder.join("file"), "precious")?;
    fs::write(other.join("file"), "not asked for")?;
    scene.workspace.write(&world.backed_up(1, ""))?;
    scene.workspace.apply()?.ok()?;
    let snapshots = world.snapshots()?;
    let backups = world.shared.api().list(K8up::API, "Backup", &world.name)?.len();

    fs::write(folder.join("file"), "in use")?;
    scene.workspace.write(&world.backed_up(1, &saving_restore("when = \"always\"", "pvc = \"data\"")))?;
    scene.workspace.apply()?.ok()?;
    ensure!(fs::read_to_string(folder.join("file"))? == "precious");
    // Of this claim alone, and beside the series.
    let saved = world.snapshots_in(SAFETY)?;
    ensure!(saved.len() == 1 && saved[0]["paths"] == json!(["/data/data"]), "{saved:?}");
    let tags = saved[0]["tags"].as_array().context("it has tags")?;
    ensure!(tags.contains(&json!("dr-safety")), "{saved:?}");
    let content = world.restic_in(SAFETY, &["dump", "latest", "/data/data/file"])?;
    ensure!(content.stdout == b"in use", "{content:?}");
    ensure!(world.snapshots()? == snapshots, "the series has other points than before");
    // Nothing of it is left in the cluster.
    ensure!(world.shared.api().list(K8up::API, "Backup", &world.name)?.len() == backups);
    let labels = world.get("v1", "PersistentVolumeClaim", "data")?["metadata"]["labels"].clone();
    ensure!(labels["dr/safety"].is_null(), "{labels}");
    scene.workspace.plan_is_empty()?;

    // Once is enough for one run.
    fs::remove_file(scene.workspace.state_file())?;
    scene.workspace.apply()?.ok()?;
    ensure!(world.snapshots_in(SAFETY)?.len() == 1);
    scene.workspace.plan_is_empty()
}

fn a_restore_that_fails_half_way_is_rolled_back_to_what_was_there(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let folder = world.shared.node.claim(&world.name, "data")?;
    fs::write(folder.join("file"), "precious bytes that are in a pack of their own")?;
    // What the guide lists is enough for that.
    let limited = world.limited(scene)?;
    scene.workspace.write(&limited(&world.backed_up(1, "")))?;
    scene.workspace.apply()?.ok()?;
    world.lose_content()?;

    fs::write(folder.join("file"), "in use")?;
    fs::create_dir(folder.join("deep"))?;
    fs::write(folder.join("deep/more"), "in use too")?;
    let roll_back = "when = \"always\"\n  on_failure = \"roll_back\"";
    let block = "pvc = \"data\", extra = \"delete\", restore_filter = \"/file\"";
    scene.workspace.write(&limited(&world.backed_up(1, &saving_restore(roll_back, block))))?;
    scene.workspace.apply()?.says(&["restic in its pod failed", "is back in place"])?;
    ensure!(fs::read_to_string(folder.join("file"))? == "in use");
    ensure!(fs::read_to_string(folder.join("deep/more"))? == "in use too");
    let saved = world.snapshots_in(SAFETY)?;
    let result = scene.workspace.attributes("dr_restore_job.data")?["result"].clone();
    ensure!(result["outcome"] == "rolled_back" && result["point"]["id"] == saved[0]["id"], "{result}");
    // k8up was asked for exactly that one.
    let restores = world.shared.api().list(K8up::API, "Restore", &world.name)?;
    let asked = |restore: &&Value| restore["spec"]["snapshot"] == saved[0]["id"];
    ensure!(restores.iter().filter(asked).count() == 1, "{restores:?}");
    Ok(())
}

fn nothing_backs_up_or_prunes_until_a_restore_has_come_to_its_end(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let api = world.shared.api();
    let folder = world.shared.node.claim(&world.name, "data")?;
    fs::write(folder.join("file"), "precious bytes that are in a pack of their own")?;
    let nightly = schedule("first_backup = \"allow\"");
    scene.workspace.write(&world.backed_up(1, &nightly))?;
    scene.workspace.apply()?.ok()?;
    // Somebody has the repository pruned by a Schedule of its own, and another one.
    let backend = world.schedule()?["spec"]["backend"].clone();
    let mut elsewhere = backend.clone();
    elsewhere["s3"]["bucket"] = format!("{}/elsewhere", world.name).into();
    for (name, backend) in [("pruning", backend), ("elsewhere", elsewhere)] {
        let prune = json!({ "schedule": "CRON_TZ=UTC 0 6 * * 0", "retention": { "keepLast": 1 } });
        api.apply_as(
            "kubectl",
            &json!({
                "apiVersion": K8up::API, "kind": "Schedule", "metadata": { "name": name, "namespace": world.name },
                "spec": { "backend": backend, "prune": prune },
            }),
        )?;
        // k8up writes it once more when it has taken it.
        let taken = |object: &Value| World::is_ready(object) && !object["metadata"]["finalizers"].is_null();
        api.wait(K8up::API, "Schedule", &world.name, name, MINUTE, taken)?;
    }
    let spec = |name: &str| world.get(K8up::API, "Schedule", name).map(|found| found["spec"].clone());
    let before = (spec("nightly")?, spec("pruning")?, spec("elsewhere")?);

    let packs = world.s3.keys(&world.name, "volumes/data/")?;
    let packs = packs.into_iter().map(|key| Ok((world.s3.get(&world.name, &key)?, key)));
    let packs: Vec<(Vec<u8>, String)> = packs.collect::<Result<_>>()?;
    world.lose_content()?;
    fs::remove_file(folder.join("file"))?;
    let job = restore("when = \"always\"", "pvc = \"data\"");
    let after = schedule("first_backup = \"allow\"\n  after = dr_restore_job.data.ref");
    scene.workspace.write(&world.backed_up(1, &format!("{after}{job}")))?;
    scene.workspace.apply()?.fails(&["restic in its pod failed"])?;
    let (nightly, pruning) = (spec("nightly")?, spec("pruning")?);
    ensure!(nightly["backup"].is_null() && nightly["prune"].is_null(), "{nightly}");
    ensure!(nightly["check"] == before.0["check"], "{nightly}");
    ensure!(pruning["prune"].is_null(), "a prune could remove the point: {pruning}");
    ensure!(spec("elsewhere")? == before.2, "another repository has nothing to do with it");

    for (pack, key) in packs {
        world.s3.put(&world.name, &key, &pack)?;
    }
    scene.workspace.apply()?.ok()?;
    ensure!(fs::read_to_string(folder.join("file"))?.starts_with("precious"));
    let after = (spec("nightly")?, spec("pruning")?, spec("elsewhere")?);
    ensure!(after == before, "{after:?}, was {before:?}");
    scene.workspace.plan_is_empty()
}

fn a_safety_backup_that_a_dead_process_took_is_found(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let folder = world.shared.node.claim(&world.name, "data")?;
    fs::write(folder.join("file"), "precious")?;
    scene.workspace.write(&world.backed_up(1, ""))?;
    scene.workspace.apply()?.ok()?;
    let api = world.shared.api();
    let known = api.list(K8up::API, "Backup", &world.name)?.len();

    fs::write(folder.join("file"), "in use")?;
    scene.workspace.write(&world.backed_up(1, &saving_restore("when = \"always\"", "pvc = \"data\"")))?;
    world.shared.node.hold(&world.name);
    let mut apply = scene.workspace.start_apply()?;
    wait_for("a Backup", MINUTE * 2, || {
        Ok(Some(()).filter(|()| api.list(K8up::API, "Backup", &world.name).is_ok_and(|all| all.len() > known)))
    })?;
    apply.kill_all()?;
    world.shared.node.release(&world.name);
    wait_for("the safety backup", MINUTE * 2, || Ok(world.snapshots_in(SAFETY).ok().filter(|all| all.len() == 1)))?;
    // The dead process's lease runs out sooner.
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "6");
    scene.workspace.apply()?.ok()?;
    ensure!(fs::read_to_string(folder.join("file"))? == "precious");
    ensure!(world.snapshots_in(SAFETY)?.len() == 1, "it was taken twice");
    let labels = world.get("v1", "PersistentVolumeClaim", "data")?["metadata"]["labels"].clone();
    ensure!(labels["dr/safety"].is_null(), "{labels}");
    scene.workspace.plan_is_empty()
}

fn a_claim_that_k8up_leaves_out_is_not_overwritten_unsaved(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let folder = world.shared.node.claim(&world.name, "data")?;
    fs::write(folder.join("file"), "precious")?;
    scene.workspace.write(&world.backed_up(1, ""))?;
    scene.workspace.apply()?.ok()?;

    let left_out = json!({ "metadata": { "annotations": { "k8up.io/backup": "false" } } });
    world.shared.api().patch("v1", "PersistentVolumeClaim", &world.name, "data", &left_out)?;
    fs::write(folder.join("file"), "in use")?;
    scene.workspace.write(&world.backed_up(1, &saving_restore("when = \"always\"", "pvc = \"data\"")))?;
    scene.workspace.apply()?.fails(&["safety backup", "k8up.io/backup"])?;
    ensure!(fs::read_to_string(folder.join("file"))? == "in use", "it was overwritten");
    ensure!(world.shared.api().list(K8up::API, "Restore", &world.name)?.is_empty(), "a Restore was made");
    let labels = world.get("v1", "PersistentVolumeClaim", "data")?["metadata"]["labels"].clone();
    ensure!(labels["dr/safety"].is_null(), "{labels}");
    Ok(())
}

fn an_archive_of_each_claim_lies_in_its_bucket_and_its_keys_are_looked_after(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let folder = world.shared.node.claim(&world.name, "data")?;
    fs::write(folder.join("file"), "precious")?;
    fs::write(folder.join("other"), "as well")?;
    let archives = format!("{}-archives", world.name);
    world.s3.create_bucket(&archives)?;
    let archive = |bucket: &str, credentials: &str| {
        let archive = format!(
            "archive = {{ cron = \"* * * * *\", s3 = \"minio\", bucket = \"{bucket}\", credentials = \"{credentials}\" }}, tags"
        );
        world.backed_up(1, &schedule("first_backup = \"allow\"").replace("tags", &archive))
    };
    scene.workspace.write(&archive(&world.name, "k8up_keys"))?;
    scene.workspace.plan()?.fails(&["An archive among the repository's files"])?;
    scene.workspace.write(&archive(&archives, "k8up_repository"))?;
    scene.workspace.apply()?.fails(&["Unusable credentials", "archive.credentials"])?;
    scene.workspace.write(&archive(&archives, "k8up_keys").replace("* * * * *", "* * * *"))?;
    scene.workspace.plan()?.fails(&["Unusable cron line"])?;

    scene.workspace.write(&archive(&archives, "k8up_keys"))?;
    scene.workspace.apply()?.ok()?.never_says(&[&world.s3.credentials.secret])?;
    scene.workspace.plan_is_empty()?;
    let state = fs::read_to_string(scene.workspace.state_file())?;
    ensure!(!state.contains(&world.s3.credentials.secret), "the key is in the state");
    let stored = || Ok(world.s3.keys(&archives, "")?.into_iter().next());
    let key = wait_for("an archive", MINUTE * 6, stored)?;
    ensure!(key.starts_with(&format!("backup-{}-data-", world.name)) && key.ends_with(".tar.gz"), "{key}");
    ensure!(unpacked(scene, &world, &archives, &key)? == "preciousas well");

    // Its keys are what the configuration says.
    let api = world.shared.api();
    let another = json!({ "stringData": { "access_key_id": "another" } });
    api.patch("v1", "Secret", &world.name, "dr-archive-nightly", &another)?;
    scene.workspace.plan()?.ok()?.says(&["another key"])?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;

    // What is no longer wanted goes.
    scene.workspace.write(&world.backed_up(1, &schedule("first_backup = \"allow\"")))?;
    scene.workspace.apply()?.ok()?;
    ensure!(world.schedule()?["spec"]["archive"].is_null(), "{}", world.schedule()?);
    ensure!(world.get("v1", "Secret", "dr-archive-nightly").is_err(), "the Secret is left behind");
    scene.workspace.plan_is_empty()
}

/// A restore into a bucket.
fn bucket_restore(arguments: &str, bucket: &str, more: &str) -> String {
    let s3 = format!("s3 = {{ s3 = \"minio\", bucket = \"{bucket}\", credentials = \"k8up_keys\" }}");
    saving_restore(arguments, &format!("{s3}{more}"))
}

/// What a file of a bucket holds.
fn unpacked(scene: &Scene, world: &World, bucket: &str, key: &str) -> Result<String> {
    let file = scene.workspace.path("archive.tar.gz");
    fs::write(&file, world.s3.get(bucket, key)?)?;
    let output = Command::new("tar").arg("-xzOf").arg(&file).output()?;
    ensure!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

fn a_point_is_restored_into_a_bucket_once(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let folder = world.shared.node.claim(&world.name, "data")?;
    fs::write(folder.join("file"), "precious")?;
    fs::write(folder.join("other"), "as well")?;
    scene.workspace.write(&world.backed_up(1, ""))?;
    scene.workspace.apply()?.ok()?;

    let out = format!("{}-out", world.name);
    world.s3.create_bucket(&out)?;
    let source = ", source_pvc = \"data\"";
    for (restore, expected) in [
        (bucket_restore("", &out, ""), "Which claim?"),
        (bucket_restore("", &out, ", pvc = \"data\""), "Two targets of one restore"),
        (bucket_restore("", &out, ", source_pvc = \"data\", capacity = \"1Gi\""), "restores into a claim"),
        (saving_restore("", "source_pvc = \"data\""), "What is filled?"),
    ] {
        scene.workspace.write(&world.backed_up(1, &restore))?;
        scene.workspace.plan()?.fails(&[expected])?;
    }

    scene.workspace.write(&world.backed_up(1, &bucket_restore("", &out, source)))?;
    scene.workspace.apply()?.ok()?.never_says(&[&world.s3.credentials.secret])?;
    let keys = world.s3.keys(&out, "")?;
    ensure!(keys.len() == 1 && keys[0].starts_with(&format!("backup-{}-data-", world.name)), "{keys:?}");
    ensure!(unpacked(scene, &world, &out, &keys[0])? == "preciousas well");
    let result = scene.workspace.attributes("dr_restore_job.data")?["result"].clone();
    ensure!(result["outcome"] == "restored" && result["bytes"] == 15, "{result}");
    let left: Vec<Value> = world.shared.api().list("v1", "Secret", &world.name)?;
    ensure!(left.len() == 1, "a Secret is left behind: {left:?}");
    scene.workspace.plan_is_empty()?;

    // Once: what lies there is neither written again nor lost with the state.
    fs::remove_file(scene.workspace.state_file())?;
    scene.workspace.apply()?.ok()?;
    ensure!(world.shared.api().list(K8up::API, "Restore", &world.name)?.len() == 1, "it was restored again");
    // An archive that is there is not saved first, and who asks for another one says that.
    let first = world.snapshots()?.swap_remove(0);
    let id = first["id"].as_str().context("it has an id")?;
    let again = format!("when = \"always\"\n  triggers = {{ try = \"2\" }}\n  recovery_point = {{ id = \"{id}\" }}");
    scene.workspace.write(&world.backed_up(1, &bucket_restore(&again, &out, source)))?;
    scene.workspace.apply()?.fails(&["safety_backup"])?;
    let block = format!("s3 = {{ s3 = \"minio\", bucket = \"{out}\", credentials = \"k8up_keys\" }}{source}");
    scene.workspace.write(&world.backed_up(1, &restore(&again, &block)))?;
    scene.workspace.apply()?.ok()?;
    ensure!(world.s3.keys(&out, "")?.len() == 1);
    scene.workspace.plan_is_empty()
}

fn an_archive_that_restic_could_not_write_is_an_error_though_k8up_calls_it_a_success(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let folder = world.shared.node.claim(&world.name, "data")?;
    fs::write(folder.join("file"), "precious bytes that are in a pack of their own")?;
    scene.workspace.write(&world.backed_up(1, ""))?;
    scene.workspace.apply()?.ok()?;
    world.lose_content()?;
    let out = format!("{}-out", world.name);
    world.s3.create_bucket(&out)?;
    scene.workspace.write(&world.backed_up(1, &bucket_restore("", &out, ", source_pvc = \"data\"")))?;
    scene.workspace.apply()?.fails(&["succeeded by its own word", "restic in its pod failed"])?;
    Ok(())
}

fn the_rights_in_the_guide_are_enough(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let folder = world.shared.node.claim(&world.name, "data")?;
    fs::write(folder.join("file"), "precious")?;
    let limited = world.limited(scene)?;

    // A backup, then everything that a restore does: the schedule rests, what is there is saved, the claim is filled.
    scene.workspace.write(&limited(&world.backed_up(1, &schedule("first_backup = \"allow\""))))?;
    scene.workspace.apply()?.ok()?;
    fs::write(folder.join("file"), "spoilt")?;
    let job = saving_restore("when = \"always\"", "pvc = \"data\"");
    let copy = "pvc = \"copy\", source_pvc = \"data\", capacity = \"1Gi\"";
    let made = saving_restore("", &format!("{copy}, storage_class_name = \"{STORAGE_CLASS}\""))
        .replace("\"data\" {", "\"copy\" {")
        .replace("name          = \"data\"", "name          = \"copy\"");
    let all = format!("{}{job}{made}", schedule("first_backup = \"allow\""));
    scene.workspace.write(&limited(&world.backed_up(1, &all)))?;
    scene.workspace.apply()?.ok()?;
    ensure!(fs::read_to_string(folder.join("file"))? == "precious");
    ensure!(world.snapshots_in(SAFETY)?.len() == 1);
    scene.workspace.plan_is_empty()?;
    scene.workspace.destroy()?.ok()?;
    Ok(())
}
