//! The main job: a directory is backed up, lost, and brought back by an apply.

use std::fs;

use acceptance_tests::tree::Manifest;
use anyhow::{Result, ensure};

use crate::restic::restic;
use crate::scene::Scene;

both_clis!(
    a_lost_folder_comes_back_with_the_next_apply,
    an_empty_folder_is_filled_again,
    a_change_is_not_undone_by_applying_again,
    another_release_makes_another_backup_and_prunes,
    a_first_apply_over_nothing_starts_empty_and_says_so,
    restic_reads_what_was_stored,
);

fn a_lost_folder_comes_back_with_the_next_apply(scene: &mut Scene) -> Result<()> {
    let before = scene.backed_up()?;
    ensure!(scene.snapshots()?.len() == 1, "one backup was asked for, there are {:?}", scene.snapshots()?);
    scene.lose_data()?;
    scene.workspace.plan()?.ok()?.says(&["Warning:", "restore"])?;
    ensure!(scene.workspace.planned("dr_restore_job.documents")? == ["update"]);
    ensure!(scene.workspace.planned("dr_backup_job.documents")? == ["no-op"]);
    scene.workspace.apply_plan()?.ok()?;
    before.assert_same(&scene.data())?;
    scene.workspace.plan_is_empty()?;
    let result = scene.workspace.attributes("dr_restore_job.documents")?["result"].clone();
    ensure!(result["outcome"] == "restored", "{result}");
    ensure!(scene.snapshots()?.len() == 1, "a restore is no reason for a backup");
    Ok(())
}

fn an_empty_folder_is_filled_again(scene: &mut Scene) -> Result<()> {
    let before = scene.backed_up()?;
    scene.lose_data()?;
    fs::create_dir(scene.data())?;
    scene.workspace.apply()?.ok()?;
    before.assert_same(&scene.data())
}

fn a_change_is_not_undone_by_applying_again(scene: &mut Scene) -> Result<()> {
    scene.backed_up()?;
    scene.lose_data()?;
    scene.workspace.apply()?.ok()?;
    fs::write(scene.data().join("written after the restore"), "new")?;
    let after = Manifest::of(&scene.data())?;
    scene.workspace.plan_is_empty()?;
    scene.workspace.apply()?.ok()?;
    after.assert_same(&scene.data())
}

fn another_release_makes_another_backup_and_prunes(scene: &mut Scene) -> Result<()> {
    scene.backed_up()?;
    let mut documents = scene.documents();
    for release in 1..4 {
        fs::write(scene.data().join("inbox/empty.txt"), format!("release {release}"))?;
        documents.release = release;
        let text = documents.configuration().replace("keep_last = 20", "keep_last = 2");
        scene.workspace.write(&text)?;
        scene.workspace.apply()?.ok()?;
        scene.workspace.plan_is_empty()?;
    }
    ensure!(scene.snapshots()?.len() == 2, "keep_last = 2 leaves {:?}", scene.snapshots()?);
    let before = Manifest::of(&scene.data())?;
    scene.lose_data()?;
    scene.workspace.apply()?.ok()?;
    before.assert_same(&scene.data())
}

fn a_first_apply_over_nothing_starts_empty_and_says_so(scene: &mut Scene) -> Result<()> {
    let documents = scene.documents();
    let restore_alone = documents.configuration();
    let restore_alone = restore_alone.split("resource \"dr_backup_job\"").next().unwrap_or_default();
    scene.workspace.write(restore_alone)?;
    scene.workspace.apply()?.ok()?;
    let result = scene.workspace.attributes("dr_restore_job.documents")?["result"].clone();
    ensure!(result["outcome"] == "skipped_no_points", "{result}");
    ensure!(!scene.data().exists(), "nothing was there to restore");
    Ok(())
}

fn restic_reads_what_was_stored(scene: &mut Scene) -> Result<()> {
    let before = scene.backed_up()?;
    restic(scene, &["check", "--read-data"])?;
    let to = scene.workspace.path("restored-by-restic");
    let to_text = to.to_string_lossy().into_owned();
    restic(scene, &["restore", "latest", "--target", &to_text])?;
    let data = scene.data();
    before.assert_same(&to.join(data.strip_prefix("/")?))
}
