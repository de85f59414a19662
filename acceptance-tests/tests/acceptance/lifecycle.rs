//! Destroy, replace, rename: what happens to resources never happens to data.

use std::fs;

use acceptance_tests::tree::Manifest;
use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::restic::restic;
use crate::scene::{Documents, Scene};

both_clis!(
    what_a_destroy_kept_the_next_apply_adopts,
    destroying_with_delete_removes_the_repository_and_no_data,
    destroying_with_delete_spares_what_another_program_stored,
    prevent_refuses_to_destroy,
    a_replacement_that_would_delete_the_repository_is_refused_by_the_plan,
    one_backup_of_a_repository_is_not_deleted_with_its_job,
    replacing_a_restore_job_restores_nothing,
    a_tainted_restore_job_restores_nothing,
    a_disk_that_has_another_number_since_is_neither_restored_again_nor_refused,
    replacing_the_target_keeps_the_repository,
    a_moved_job_is_the_same_job,
    a_rename_without_moved_adopts_everything,
    create_before_destroy_adopts_everything,
    a_vanished_repository_is_an_error_until_it_is_forgotten,
    a_vanished_repository_is_begun_anew_in_one_apply_once_its_target_is_forgotten,
    what_a_vanished_repository_left_can_be_destroyed,
    what_an_error_says_of_a_damaged_repository_or_ledger_helps,
);

fn what_a_destroy_kept_the_next_apply_adopts(scene: &mut Scene) -> Result<()> {
    let before = scene.backed_up()?;
    let id = scene.repository_id()?;
    scene.workspace.destroy()?.ok()?;
    before.assert_same(&scene.data())?;
    ensure!(scene.snapshots()?.len() == 1, "a destroy keeps the backups");
    scene.workspace.apply()?.ok()?;
    ensure!(scene.repository_id()? == id, "the repository was not adopted");
    scene.workspace.plan_is_empty()?;
    before.assert_same(&scene.data())
}

fn destroying_with_delete_removes_the_repository_and_no_data(scene: &mut Scene) -> Result<()> {
    let before = scene.make_data()?;
    let mut documents = scene.documents();
    documents.target = "deletion_policy = \"delete\"".into();
    scene.write(&documents)?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_with(&["-destroy"])?.ok()?.says(&["1 point, ", "the newest is of 2", " old."])?;
    scene.workspace.destroy()?.ok()?;
    ensure!(!scene.repository().join("config").exists(), "the repository is still there");
    ensure!(!scene.workspace.path("repository.dr").exists(), "its ledger is still there");
    before.assert_same(&scene.data())
}

fn destroying_with_delete_spares_what_another_program_stored(scene: &mut Scene) -> Result<()> {
    scene.make_data()?;
    let mut documents = scene.documents();
    documents.target = "deletion_policy = \"delete\"".into();
    scene.write(&documents)?;
    scene.workspace.apply()?.ok()?;
    restic(scene, &["backup", "--quiet", &scene.data().join("inbox").to_string_lossy()])?;
    let before = Manifest::of(&scene.repository())?;
    let parts = ["dr_backup_target.documents", "restic 0.", "deletion_policy = \"keep\""];
    scene.workspace.plan_with(&["-destroy"])?.fails(&parts)?;
    scene.workspace.destroy()?.fails(&parts)?;
    before.assert_same(&scene.repository())
}

fn prevent_refuses_to_destroy(scene: &mut Scene) -> Result<()> {
    scene.make_data()?;
    let mut documents = scene.documents();
    documents.target = "deletion_policy = \"prevent\"".into();
    scene.write(&documents)?;
    scene.workspace.apply()?.ok()?;
    let before = Manifest::of(&scene.repository())?;
    scene.workspace.plan_with(&["-destroy"])?.fails(&["dr_backup_target.documents", "deletion_policy"])?;
    scene.workspace.destroy()?.fails(&["deletion_policy"])?;
    // The half of a replacement that destroys is not planned.
    let parts = ["A replacement would lose what is stored", "\"prevent\""];
    scene.workspace.plan_with(&["-replace=dr_backup_target.documents"])?.fails(&parts)?;
    scene.workspace.run(&["taint", "dr_backup_target.documents"])?.ok()?;
    scene.workspace.plan()?.fails(&parts)?;
    scene.workspace.apply_with(&["-refresh=false"])?.fails(&["Destroy prevented"])?;
    before.assert_same(&scene.repository())
}

fn a_replacement_that_would_delete_the_repository_is_refused_by_the_plan(scene: &mut Scene) -> Result<()> {
    let before = scene.make_data()?;
    let mut documents = scene.documents();
    documents.target = "deletion_policy = \"delete\"".into();
    scene.write(&documents)?;
    scene.workspace.apply()?.ok()?;
    let (id, stored) = (scene.repository_id()?, Manifest::of(&scene.repository())?);
    let parts =
        ["A replacement would lose what is stored", "\"delete\"", "`moved` block", "deletion_policy = \"keep\""];
    scene.workspace.apply_with(&["-replace=dr_backup_target.documents"])?.fails(&parts)?;
    scene.workspace.run(&["taint", "dr_backup_target.documents"])?.ok()?;
    scene.workspace.apply()?.fails(&parts)?;
    scene.workspace.run(&["untaint", "dr_backup_target.documents"])?.ok()?;
    documents.label = "archive".into();
    scene.write(&documents)?;
    scene.workspace.apply()?.fails(&parts)?;
    stored.assert_same(&scene.repository())?;
    // The way out that the error names.
    documents.label = "documents".into();
    documents.target = String::new();
    scene.write(&documents)?;
    scene.workspace.apply()?.ok()?;
    documents.label = "archive".into();
    documents.target = "deletion_policy = \"delete\"".into();
    scene.write(&documents)?;
    scene.workspace.apply()?.ok()?;
    let target = scene.workspace.attributes("dr_backup_target.archive")?;
    ensure!(target["ref"]["server_uid"] == id, "another repository was made: {target}");
    before.assert_same(&scene.data())
}

fn one_backup_of_a_repository_is_not_deleted_with_its_job(scene: &mut Scene) -> Result<()> {
    scene.make_data()?;
    let mut documents = scene.documents();
    documents.backup = "deletion_policy = \"delete\"".into();
    scene.write(&documents)?;
    scene.workspace.plan()?.fails(&["One backup can't be deleted", "dr_backup_job.documents", "\"restic\""])?;
    documents.backup = "deletion_policy = \"prevent\"".into();
    scene.write(&documents)?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_with(&["-destroy"])?.fails(&["dr_backup_job.documents", "Destroy prevented"])?;
    // A state of a time before there was a choice needs no change.
    let mut state: Value = serde_json::from_slice(&fs::read(scene.workspace.state_file())?)?;
    let resources = state["resources"].as_array_mut().context("a state has resources")?;
    let job = resources.iter_mut().find(|resource| resource["type"] == "dr_backup_job").context("the job")?;
    job["instances"][0]["attributes"].as_object_mut().context("attributes")?.remove("deletion_policy");
    fs::write(scene.workspace.state_file(), state.to_string())?;
    documents.backup = String::new();
    scene.write(&documents)?;
    scene.workspace.plan_is_empty()
}

/// Something was written after the restore: a second restore would undo or hide it.
fn changed(scene: &Scene) -> Result<Manifest> {
    fs::write(scene.data().join("inbox/empty.txt"), "no longer empty")?;
    Manifest::of(&scene.data())
}

fn restored_and_changed(scene: &Scene) -> Result<Manifest> {
    scene.backed_up()?;
    scene.lose_data()?;
    scene.workspace.apply()?.ok()?;
    changed(scene)
}

/// What a record says of a folder after a reboot that gave its disk another number; older records name the disk.
fn renumber(scene: &Scene) -> Result<()> {
    for name in crate::scene::names(&scene.workspace.path(".documents.dr/runs"))? {
        let file = scene.workspace.path(".documents.dr/runs").join(name);
        let mut record: Value = serde_json::from_slice(&fs::read(&file)?)?;
        let named = record["incarnation"].as_str().context("the record names its folder")?;
        let named: Vec<&str> = named.split('-').filter(|part| !part.contains(':')).take(2).collect();
        record["incarnation"] = format!("99:99-{}", named.join("-")).into();
        fs::write(file, serde_json::to_vec(&record)?)?;
    }
    Ok(())
}

fn a_disk_that_has_another_number_since_is_neither_restored_again_nor_refused(scene: &mut Scene) -> Result<()> {
    scene.backed_up()?;
    scene.lose_data()?;
    scene.workspace.apply()?.ok()?;
    let mut documents = scene.documents();
    documents.restore = "when = \"always\"\n  safety_backup = false".into();
    let text =
        |documents: &Documents| documents.configuration().replace("  when       = \"target_missing_or_empty\"\n", "");
    scene.workspace.write(&text(&documents))?;
    scene.workspace.apply()?.ok()?;
    let after = changed(scene)?;
    renumber(scene)?;
    scene.workspace.apply_with(&["-replace=dr_restore_job.documents"])?.ok()?.says(&["nothing was restored now"])?;
    after.assert_same(&scene.data())?;
    // It is younger than its newest point because it was restored.
    renumber(scene)?;
    documents.release = 1;
    scene.workspace.write(&text(&documents))?;
    scene.workspace.apply()?.ok()?;
    ensure!(scene.snapshots()?.len() == 2, "{:?}", scene.snapshots()?);
    Ok(())
}

fn replacing_a_restore_job_restores_nothing(scene: &mut Scene) -> Result<()> {
    let after = restored_and_changed(scene)?;
    scene.workspace.apply_with(&["-replace=dr_restore_job.documents"])?.ok()?;
    after.assert_same(&scene.data())?;
    scene.workspace.plan_is_empty()
}

fn a_tainted_restore_job_restores_nothing(scene: &mut Scene) -> Result<()> {
    let after = restored_and_changed(scene)?;
    scene.workspace.run(&["taint", "dr_restore_job.documents"])?.ok()?;
    scene.workspace.apply()?.ok()?;
    after.assert_same(&scene.data())?;
    scene.workspace.plan_is_empty()
}

fn replacing_the_target_keeps_the_repository(scene: &mut Scene) -> Result<()> {
    let before = scene.backed_up()?;
    let id = scene.repository_id()?;
    scene.workspace.apply_with(&["-replace=dr_backup_target.documents"])?.ok()?;
    ensure!(scene.repository_id()? == id, "another repository was made");
    ensure!(!scene.snapshots()?.is_empty(), "the backups are gone");
    before.assert_same(&scene.data())?;
    scene.workspace.plan_is_empty()
}

fn a_moved_job_is_the_same_job(scene: &mut Scene) -> Result<()> {
    let after = restored_and_changed(scene)?;
    let mut documents = scene.documents();
    documents.label = "archive".into();
    documents.more = ["dr_backup_target", "dr_restore_job", "dr_backup_job"]
        .map(|kind| format!("moved {{\n  from = {kind}.documents\n  to   = {kind}.archive\n}}\n"))
        .join("\n");
    scene.write(&documents)?;
    scene.workspace.plan()?.ok()?.says(&["has moved to", "0 to add, 0 to change, 0 to destroy"])?;
    scene.workspace.apply_plan()?.ok()?;
    after.assert_same(&scene.data())?;
    ensure!(scene.snapshots()?.len() == 1, "moving is no reason for a backup");
    scene.workspace.plan_is_empty()
}

fn a_rename_without_moved_adopts_everything(scene: &mut Scene) -> Result<()> {
    let after = restored_and_changed(scene)?;
    let id = scene.repository_id()?;
    let mut documents = scene.documents();
    documents.label = "archive".into();
    scene.write(&documents)?;
    scene.workspace.apply()?.ok()?;
    after.assert_same(&scene.data())?;
    let target = scene.workspace.attributes("dr_backup_target.archive")?;
    ensure!(target["ref"]["server_uid"] == id, "another repository was made: {target}");
    scene.workspace.plan_is_empty()
}

fn create_before_destroy_adopts_everything(scene: &mut Scene) -> Result<()> {
    let before = scene.make_data()?;
    let mut documents = scene.documents();
    let lifecycle = "lifecycle {\n    create_before_destroy = true\n  }";
    (documents.target, documents.restore) = (lifecycle.into(), lifecycle.into());
    documents.backup = lifecycle.into();
    scene.write(&documents)?;
    scene.workspace.apply()?.ok()?;
    let id = scene.repository_id()?;
    let replace =
        ["dr_backup_target", "dr_restore_job", "dr_backup_job"].map(|kind| format!("-replace={kind}.documents"));
    scene.workspace.apply_with(&replace.each_ref().map(String::as_str))?.ok()?;
    ensure!(scene.repository_id()? == id, "another repository was made");
    before.assert_same(&scene.data())?;
    scene.workspace.plan_is_empty()
}

fn a_vanished_repository_is_an_error_until_it_is_forgotten(scene: &mut Scene) -> Result<()> {
    let before = scene.backed_up()?;
    fs::rename(scene.repository(), scene.workspace.path("elsewhere"))?;
    scene.workspace.plan()?.fails(&["dr_backup_target.documents"])?;
    scene.workspace.apply()?.fails(&["dr_backup_target.documents"])?;
    ensure!(!scene.repository().exists(), "a new repository was made quietly");
    before.assert_same(&scene.data())?;
    fs::rename(scene.workspace.path("elsewhere"), scene.repository())?;
    scene.workspace.plan_is_empty()
}

/// The repository is gone with its ledger, as with a disk that broke.
fn vanished(scene: &Scene) -> Result<Manifest> {
    let before = scene.backed_up()?;
    fs::remove_dir_all(scene.repository())?;
    fs::remove_dir_all(scene.workspace.path("repository.dr"))?;
    Ok(before)
}

fn a_vanished_repository_is_begun_anew_in_one_apply_once_its_target_is_forgotten(scene: &mut Scene) -> Result<()> {
    let before = vanished(scene)?;
    scene.workspace.plan()?.fails(&["The storage is gone", "state rm", "jobs stay as they are"])?;
    scene.workspace.run(&["state", "rm", "dr_backup_target.documents"])?.ok()?;
    scene.workspace.apply()?.ok()?;
    ensure!(scene.snapshots()?.len() == 1, "what is there is backed up: {:?}", scene.snapshots()?);
    before.assert_same(&scene.data())?;
    scene.workspace.plan_is_empty()
}

fn what_a_vanished_repository_left_can_be_destroyed(scene: &mut Scene) -> Result<()> {
    for policy in ["keep", "delete"] {
        let _ = fs::remove_dir_all(scene.data());
        scene.make_data()?;
        let mut documents = scene.documents();
        documents.target = format!("deletion_policy = \"{policy}\"");
        scene.write(&documents)?;
        scene.workspace.apply()?.ok()?;
        fs::remove_dir_all(scene.repository())?;
        scene.workspace.destroy()?.fails(&["destroy -refresh=false"])?;
        scene.workspace.apply_with(&["-destroy", "-refresh=false"])?.ok()?;
        let _ = fs::remove_dir_all(scene.workspace.path("repository.dr"));
    }
    Ok(())
}

fn what_an_error_says_of_a_damaged_repository_or_ledger_helps(scene: &mut Scene) -> Result<()> {
    scene.backed_up()?;
    let policy = scene.workspace.path("repository.dr/policy.json");
    fs::write(&policy, "{ torn")?;
    scene.workspace.plan()?.fails(&["policy.json in ", "Remove that file"])?.never_says(&["restic check"])?;
    fs::remove_file(&policy)?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    ensure!(policy.exists(), "the policy is not registered");
    for part in ["keys", "config"] {
        let (whole, copy) = (scene.repository().join(part), scene.workspace.path("copy"));
        fs::rename(&whole, &copy)?;
        let refused = ["not whole", part, "back from another copy"];
        scene.workspace.plan()?.fails(&refused)?.never_says(&["another place", "state rm"])?;
        fs::rename(&copy, &whole)?;
        scene.workspace.plan_is_empty()?;
    }
    Ok(())
}
