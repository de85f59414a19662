//! The state is lost, copied or old: the ledger and the storage know better.

use std::fs;

use acceptance_tests::tree::Manifest;
use anyhow::{Result, ensure};

use crate::scene::Scene;

both_clis!(
    a_lost_state_loses_nothing,
    state_and_data_are_lost_and_one_apply_brings_both_back,
    a_copied_state_restores_nothing_twice,
    an_old_state_restores_nothing_twice,
    a_newer_point_by_the_real_restic_does_not_change_a_kept_plan,
);

fn a_lost_state_loses_nothing(scene: &mut Scene) -> Result<()> {
    scene.backed_up()?;
    scene.lose_data()?;
    scene.workspace.apply()?.ok()?;
    let id = scene.repository_id()?;
    fs::write(scene.data().join("later"), "written after the restore")?;
    let after = Manifest::of(&scene.data())?;
    fs::remove_file(scene.workspace.state_file())?;
    scene.workspace.apply()?.ok()?;
    after.assert_same(&scene.data())?;
    ensure!(scene.repository_id()? == id, "another repository was made");
    scene.workspace.plan_is_empty()
}

fn state_and_data_are_lost_and_one_apply_brings_both_back(scene: &mut Scene) -> Result<()> {
    let before = scene.backed_up()?;
    scene.lose_data()?;
    fs::remove_file(scene.workspace.state_file())?;
    scene.workspace.apply()?.ok()?;
    before.assert_same(&scene.data())?;
    scene.workspace.plan_is_empty()
}

fn a_copied_state_restores_nothing_twice(scene: &mut Scene) -> Result<()> {
    scene.backed_up()?;
    let copy = scene.copy("colleague")?;
    scene.lose_data()?;
    scene.workspace.apply()?.ok()?;
    fs::write(scene.data().join("later"), "written after the restore")?;
    let after = Manifest::of(&scene.data())?;
    copy.workspace.apply()?.ok()?;
    after.assert_same(&scene.data())?;
    copy.workspace.plan_is_empty()
}

fn an_old_state_restores_nothing_twice(scene: &mut Scene) -> Result<()> {
    scene.backed_up()?;
    let old = fs::read(scene.workspace.state_file())?;
    scene.lose_data()?;
    scene.workspace.apply()?.ok()?;
    fs::remove_file(scene.data().join("inbox/empty.txt"))?;
    let after = Manifest::of(&scene.data())?;
    fs::write(scene.workspace.state_file(), old)?;
    scene.workspace.apply()?.ok()?;
    after.assert_same(&scene.data())?;
    scene.workspace.plan_is_empty()
}

fn a_newer_point_by_the_real_restic_does_not_change_a_kept_plan(scene: &mut Scene) -> Result<()> {
    let before = scene.backed_up()?;
    let data = scene.data();
    let moved_away = scene.workspace.path("kept");
    fs::rename(&data, &moved_away)?;
    scene.workspace.plan()?.ok()?;
    // Between plan and apply somebody backs up something else under the same path, then takes it away again.
    fs::create_dir(&data)?;
    fs::write(data.join("other"), "other")?;
    let status = std::process::Command::new(acceptance_tests::parts::RESTIC.get()?)
        .args(["--no-cache", "--quiet", "-r"])
        .arg(scene.repository())
        .arg("backup")
        .arg(&data)
        .env("RESTIC_PASSWORD", crate::scene::PASSWORD)
        .status()?;
    ensure!(status.success(), "restic could not back up");
    fs::remove_dir_all(&data)?;
    scene.workspace.apply_plan()?.ok()?;
    before.assert_same(&data)
}
