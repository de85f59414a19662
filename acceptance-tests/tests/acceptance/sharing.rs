//! More than one workspace on one repository: policies, drift, read-only targets, drills.

use std::fs;
use std::path::PathBuf;

use acceptance_tests::cli::hcl_string;
use acceptance_tests::tree::{Manifest, Recipe};
use anyhow::{Context, Result, ensure};

use crate::restic::restic;
use crate::scene::{Documents, Scene, names};

both_clis!(
    two_first_applies_at_once_make_one_repository_and_store_both,
    a_policy_that_was_changed_elsewhere_is_put_right,
    two_policies_of_two_workspaces_are_refused_and_one_is_shared,
    a_repository_that_another_state_holds_is_not_deleted,
    what_a_lost_state_held_is_taken_over_and_deleted_once_its_note_is_gone,
    two_resources_that_are_one_target_are_refused,
    a_read_only_target_restores_and_writes_nothing,
    a_drill_restores_below_its_folder_and_writes_nothing_else,
    a_drill_writes_nothing_through_a_link_that_came_back,
    a_drill_deletes_nothing,
);

fn two_first_applies_at_once_make_one_repository_and_store_both(scene: &mut Scene) -> Result<()> {
    let mine = scene.make_data()?;
    scene.write(&scene.documents())?;
    let colleague = scene.copy("colleague")?;
    let theirs = colleague.make_data_of(&Recipe::small(8))?;
    let text = Documents { store: scene.documents().store, ..colleague.documents() }.configuration();
    // Jobs of one name into one repository are one.
    let renamed = text.replace("\"documents\"\n  target", "\"colleague\"\n  target");
    ensure!(renamed != text, "there is no job in {text}");
    colleague.workspace.write(&renamed)?;

    let both = [&*scene, &colleague];
    let started = [scene.workspace.start_apply()?, colleague.workspace.start_apply()?];
    for run in started {
        run.wait()?.ok()?;
    }
    ensure!(scene.repository_id()? == colleague.repository_id()?, "there are two repositories");
    let keys = names(&scene.repository().join("keys"))?;
    ensure!(keys.len() == 1, "one password has {keys:?}");
    ensure!(scene.snapshots()?.len() == 2, "{:?}", scene.snapshots()?);
    ensure!(names(&scene.repository().join("locks"))?.is_empty(), "a lock is left");
    restic(scene, &["check", "--read-data"])?;
    for one in both {
        // Who looked while the slower one still had a key there sees that it went.
        one.workspace.apply()?.ok()?;
        one.workspace.plan_is_empty()?;
        one.lose_data()?;
        one.workspace.apply()?.ok()?;
    }
    mine.assert_same(&scene.data())?;
    theirs.assert_same(&colleague.data())
}

fn policy_file(scene: &Scene) -> PathBuf {
    scene.workspace.path("repository.dr/policy.json")
}

fn a_policy_that_was_changed_elsewhere_is_put_right(scene: &mut Scene) -> Result<()> {
    scene.backed_up()?;
    let right = fs::read_to_string(policy_file(scene))?;
    let wrong = right.replace("20", "3");
    ensure!(wrong != right, "the policy is not in {right}");
    fs::write(policy_file(scene), wrong)?;
    scene.workspace.plan()?.ok()?.says(&["0 to add, 1 to change, 0 to destroy"])?;
    ensure!(scene.workspace.planned("dr_backup_target.documents")? == ["update"]);
    scene.workspace.apply_plan()?.ok()?;
    scene.workspace.plan_is_empty()?;
    ensure!(fs::read_to_string(policy_file(scene))? == right, "the policy is still another one");
    Ok(())
}

/// A workspace of somebody else, without state.
fn colleague(scene: &Scene, text: &str) -> Result<Scene> {
    let colleague = scene.copy("colleague")?;
    fs::remove_file(colleague.workspace.state_file())?;
    colleague.workspace.write(text)?;
    Ok(colleague)
}

/// The configuration up to the jobs.
fn target_alone(text: &str) -> &str {
    text.split("resource \"dr_restore_job\"").next().unwrap_or_default()
}

fn two_policies_of_two_workspaces_are_refused_and_one_is_shared(scene: &mut Scene) -> Result<()> {
    scene.backed_up()?;
    let text = scene.documents().configuration().replace("\"documents\"\n  store", "\"archive\"\n  store");
    let colleague = colleague(scene, &target_alone(&text).replace("keep_last = 20", "keep_last = 3"))?;
    let run = colleague.workspace.apply()?;
    run.fails(&["dr_backup_target.documents", "Two policies on one repository", "documents", "policy.json"])?;
    // The same configuration in another workspace has the same names.
    let same = scene.documents().configuration();
    colleague.workspace.write(&target_alone(&same).replace("keep_last = 20", "keep_last = 3"))?;
    colleague.workspace.apply()?.fails(&["Two policies on one repository", "\"documents\"", "policy.json"])?;
    let policy = fs::read_to_string(policy_file(scene))?;
    ensure!(policy.contains("20"), "the policy was changed: {policy}");
    colleague.workspace.write(target_alone(&text))?;
    colleague.workspace.apply()?.ok()?;
    colleague.workspace.plan_is_empty()?;
    scene.workspace.plan_is_empty()?;
    // Where nothing was to be removed, nobody else may begin to.
    colleague.workspace.destroy()?.ok()?;
    // With the last one that registered it the policy went; who still has it registers it again.
    scene.workspace.apply()?.ok()?;
    let open = scene.documents().configuration().replace("  retention = dr_retention_policy.tiered.keep\n", "");
    scene.workspace.write(&open)?;
    scene.workspace.apply()?.ok()?;
    colleague.workspace.apply()?.fails(&["Two policies on one repository", "keeps everything"])?;
    Ok(())
}

/// The usual configuration, whose target is deleted with its repository.
fn deleting(scene: &Scene) -> String {
    Documents { target: "deletion_policy = \"delete\"".into(), ..scene.documents() }.configuration()
}

fn a_repository_that_another_state_holds_is_not_deleted(scene: &mut Scene) -> Result<()> {
    scene.backed_up()?;
    scene.workspace.write(&deleting(scene))?;
    scene.workspace.apply()?.ok()?;
    let colleague = colleague(scene, target_alone(&deleting(scene)))?;
    let folder = scene.workspace.folder().display().to_string();
    colleague.workspace.apply()?.ok()?.says(&["was taken over", "It is held by", "\"documents\""])?;
    colleague.workspace.plan_is_empty()?;
    scene.workspace.plan_is_empty()?;
    let stored = Manifest::of(&scene.repository())?;
    let parts = ["Another state holds the repository", "owners/", "deletion_policy = \"keep\""];
    colleague.workspace.plan_with(&["-destroy"])?.fails(&parts)?.says(&[&folder])?;
    colleague.workspace.destroy()?.fails(&parts)?;
    // What the error asks for: the first lets go of it, and keeps it.
    scene.write(&scene.documents())?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.destroy()?.ok()?;
    stored.assert_same(&scene.repository())?;
    ensure!(policy_file(scene).exists(), "the colleague's policy is gone");
    colleague.workspace.plan_is_empty()?;
    colleague.workspace.destroy()?.ok()?;
    ensure!(!scene.repository().exists() && !scene.workspace.path("repository.dr").exists(), "something is left");
    Ok(())
}

fn what_a_lost_state_held_is_taken_over_and_deleted_once_its_note_is_gone(scene: &mut Scene) -> Result<()> {
    scene.make_data()?;
    scene.workspace.write(&deleting(scene))?;
    scene.workspace.apply()?.ok()?;
    let owners = scene.workspace.path("repository.dr/owners");
    let lost = names(&owners)?.concat();
    fs::remove_file(scene.workspace.state_file())?;
    scene.workspace.apply()?.ok()?.says(&["was taken over", &lost])?;
    scene.workspace.plan_is_empty()?;
    scene.workspace.destroy()?.fails(&["Another state holds the repository", &lost])?;
    fs::remove_file(owners.join(&lost))?;
    scene.workspace.destroy()?.ok()?;
    ensure!(!scene.repository().exists(), "the repository is still there");
    Ok(())
}

fn two_resources_that_are_one_target_are_refused(scene: &mut Scene) -> Result<()> {
    scene.make_data()?;
    let text = target_alone(&scene.documents().configuration()).to_owned();
    let one =
        |label: &str| text.replace("\"dr_backup_target\" \"documents\"", &format!("\"dr_backup_target\" \"{label}\""));
    let second = one("second").split("resource \"dr_backup_target\"").nth(1).context("the target")?.to_owned();
    let both = format!("{text}\nresource \"dr_backup_target\"{second}");
    let parts = ["One target twice", "dr_backup_target \"documents\""];
    scene.workspace.write(&both.replacen("restic ", "deletion_policy = \"prevent\"\n  restic ", 1))?;
    scene.workspace.plan()?.fails(&parts)?;
    // Two that are written alike may be one that is planned twice, until both are made.
    scene.workspace.write(&both)?;
    scene.workspace.apply()?.fails(&parts)?;
    scene.workspace.destroy()?.ok()?;
    // Of one that is there already and one that is new a plan can't tell that they are two: it may be replaced.
    scene.workspace.write(&text)?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.apply_with(&["-replace=dr_backup_target.documents"])?.ok()?;
    scene.workspace.write(&both)?;
    scene.workspace.apply()?.ok()?.says(&["was taken over", "It is held by"])?;
    scene.workspace.plan()?.fails(&parts)?;
    scene.workspace.write(&text)?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()
}

fn a_read_only_target_restores_and_writes_nothing(scene: &mut Scene) -> Result<()> {
    let before = scene.backed_up()?;
    let storage = [Manifest::of(&scene.repository())?, Manifest::of(&scene.workspace.path("repository.dr"))?];
    let mut documents = scene.documents();
    documents.target = "access = \"read_only\"".into();
    documents.restore = "safety_backup = false".into();
    let text = documents.configuration();
    let refused = text.replace("  retention = dr_retention_policy.tiered.keep\n", "");
    let colleague = colleague(scene, &text)?;
    colleague.workspace.plan()?.fails(&["dr_backup_target.documents", "retention", "read-only"])?;
    colleague.workspace.write(&refused)?;
    colleague.workspace.plan()?.fails(&["dr_backup_job.documents", "read_only"])?;
    colleague.workspace.write(refused.split("resource \"dr_backup_job\"").next().unwrap_or_default())?;
    scene.lose_data()?;
    colleague.workspace.apply()?.ok()?;
    before.assert_same(&scene.data())?;
    colleague.workspace.plan_is_empty()?;
    colleague.workspace.destroy()?.ok()?;
    storage[0].assert_same(&scene.repository())?;
    storage[1].assert_same(&scene.workspace.path("repository.dr"))
}

/// The same configuration, as a drill.
fn drill(scene: &Scene) -> Result<Scene> {
    drill_of(scene, scene.documents())
}

fn drill_of(scene: &Scene, mut documents: Documents) -> Result<Scene> {
    let folder = scene.workspace.path("drill");
    documents.provider =
        format!("provider \"dr\" {{\n  mode  = \"drill\"\n  drill = {{ path = {} }}\n}}", hcl_string(&folder));
    colleague(scene, &documents.configuration())
}

fn a_drill_restores_below_its_folder_and_writes_nothing_else(scene: &mut Scene) -> Result<()> {
    let before = scene.backed_up()?;
    let folders = [scene.repository(), scene.workspace.path("repository.dr"), scene.workspace.path(".documents.dr")];
    let storage = folders.iter().map(|folder| Manifest::of(folder)).collect::<Result<Vec<_>>>()?;
    let drill = drill(scene)?;
    drill.workspace.apply()?.ok()?.says(&["This is a drill", "come back below"])?;
    let restored = scene.workspace.path("drill").join(scene.data().strip_prefix("/")?);
    before.assert_same(&restored).context("below the drill's folder")?;
    let job = drill.workspace.attributes("dr_backup_job.documents")?;
    ensure!(job["status"] == "drill", "{job}");
    drill.workspace.plan_is_empty()?;
    drill.workspace.destroy()?.ok()?;
    before.assert_same(&scene.data())?;
    before.assert_same(&restored)?;
    for (folder, storage) in folders.iter().zip(&storage) {
        storage.assert_same(folder).with_context(|| folder.display().to_string())?;
    }
    scene.workspace.plan_is_empty()
}

fn a_drill_writes_nothing_through_a_link_that_came_back(scene: &mut Scene) -> Result<()> {
    scene.make_data()?;
    let outside = scene.workspace.path("disk");
    fs::create_dir_all(outside.join("letters"))?;
    fs::write(outside.join("letters/one"), "of production")?;
    std::os::unix::fs::symlink(&outside, scene.data().join("linked"))?;
    let mut documents = scene.documents();
    let letters = hcl_string(&scene.data().join("linked/letters"));
    documents.more = format!(
        r#"resource "dr_backup_job" "letters" {{
  name   = "letters"
  target = dr_backup_target.documents.ref
  restic = {{ paths = [{letters}] }}
}}

resource "dr_restore_job" "letters" {{
  name       = "letters"
  source     = dr_backup_target.documents.ref
  restic     = {{ path = {letters} }}
  depends_on = [dr_restore_job.documents, dr_backup_job.letters]
}}"#
    );
    scene.write(&documents)?;
    scene.workspace.apply()?.ok()?;
    let before = Manifest::of(&outside)?;
    let drill = drill_of(scene, documents)?;
    let link = scene.workspace.path("drill").join(scene.data().strip_prefix("/")?).join("linked");
    let parts = ["dr_restore_job.letters", "symbolic link", "drill.path"];
    drill.workspace.apply()?.fails(&parts)?;
    ensure!(fs::read_link(&link)? == outside, "the link itself did not come back");
    // Now that it is there the plan says so.
    drill.workspace.plan()?.fails(&parts)?;
    before.assert_same(&outside)
}

fn a_drill_deletes_nothing(scene: &mut Scene) -> Result<()> {
    scene.backed_up()?;
    let drill = drill(scene)?;
    let text = fs::read_to_string(drill.workspace.folder().join("main.tf"))?;
    let text = text.replace("restic    = {", "deletion_policy = \"delete\"\n  restic    = {");
    drill.workspace.write(&text)?;
    drill.workspace.apply()?.ok()?;
    let storage = Manifest::of(&scene.repository())?;
    let ledger = Manifest::of(&scene.workspace.path("repository.dr"))?;
    // A drill has nothing in the storage, so it goes.
    drill.workspace.plan_with(&["-destroy"])?.ok()?.says(&["This is a drill"])?.never_says(&["will be deleted"])?;
    drill.workspace.destroy()?.ok()?;
    storage.assert_same(&scene.repository())?;
    // What is no drill's stays.
    scene.workspace.write(&deleting(scene))?;
    scene.workspace.apply()?.ok()?;
    fs::copy(scene.workspace.state_file(), drill.workspace.state_file())?;
    drill.workspace.destroy()?.fails(&[
        "dr_backup_target.documents",
        "Nothing is deleted in a drill",
        "`removed` block",
    ])?;
    storage.assert_same(&scene.repository())?;
    ledger.assert_same(&scene.workspace.path("repository.dr"))
}
