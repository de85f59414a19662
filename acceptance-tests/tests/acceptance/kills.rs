//! SIGKILL at every step of a backup and of a restore: before and after each time that a run writes down where it is.

use std::fs;

use acceptance_tests::cli::Kind;
use acceptance_tests::tree::Manifest;
use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::restic::restic;
use crate::scene::{Scene, names};

both_clis!(
    a_restore_that_is_killed_at_any_step_is_finished_by_the_next_apply,
    a_restore_over_data_that_is_killed_at_any_step_saves_it_once,
    a_backup_that_is_killed_at_any_step_leaves_a_sound_repository,
);

/// More steps than any run has.
const ENOUGH: usize = 60;

/// Applies until no step is left at which `kind` dies; `prepare` comes before and `check` after each, with the number of
/// the round. To a run it is all the same who waits for it, so each CLI takes every other step. Returns how many steps
/// there are.
fn at_every_step(
    scene: &mut Scene,
    kind: &str,
    mut prepare: impl FnMut(&Scene, usize) -> Result<()>,
    check: impl Fn(&Scene, usize) -> Result<()>,
) -> Result<usize> {
    let first = if scene.workspace.cli.kind == Kind::Tofu { 1 } else { 2 };
    for (round, step) in (first..ENOUGH).step_by(2).enumerate() {
        let round = round + 1;
        prepare(scene, round)?;
        scene.workspace.set("DR_TEST_DIE", format!("{kind}:{step}"));
        let killed = scene.workspace.apply()?;
        scene.workspace.set("DR_TEST_DIE", "");
        if killed.status.success() {
            check(scene, round).context("without a kill")?;
            return Ok(step - 1);
        }
        scene.workspace.apply()?.ok().with_context(|| format!("killed at step {step}"))?;
        check(scene, round).with_context(|| format!("killed at step {step}"))?;
    }
    anyhow::bail!("the run never came to its end")
}

fn succeeded(record: &Value) -> bool {
    record["phase"] == "done" && record["verdict"] == "restored"
}

fn a_restore_that_is_killed_at_any_step_is_finished_by_the_next_apply(scene: &mut Scene) -> Result<()> {
    let before = scene.backed_up()?;
    let check = |scene: &Scene, _| {
        before.assert_same(&scene.data())?;
        let records = scene.restore_records()?;
        ensure!(records.iter().all(succeeded), "{records:?}");
        ensure!(scene.snapshots()?.len() == 1, "a restore made a backup: {:?}", scene.snapshots()?);
        Ok(())
    };
    let steps = at_every_step(scene, "restore_job", |scene, _| scene.lose_data(), check)?;
    ensure!(steps >= 12, "only {steps} steps were found");
    scene.workspace.plan_is_empty()
}

fn a_restore_over_data_that_is_killed_at_any_step_saves_it_once(scene: &mut Scene) -> Result<()> {
    let before = scene.backed_up()?;
    let documents = scene.documents();
    let prepare = |scene: &Scene, round: usize| {
        fs::write(scene.data().join("inbox/empty.txt"), format!("overwritten in round {round}"))?;
        let text = documents.configuration().replace("\"target_missing_or_empty\"", "\"always\"");
        let text = text.replace("on_missing = \"skip\"", &format!("triggers = {{ again = \"{round}\" }}"));
        scene.workspace.write(&text)
    };
    let check = |scene: &Scene, round: usize| {
        before.assert_same(&scene.data())?;
        let saved = scene.snapshots()?.len();
        ensure!(saved == round + 1, "{saved} points after {round} restores, each with a safety backup");
        Ok(())
    };
    let steps = at_every_step(scene, "restore_job", prepare, check)?;
    ensure!(steps >= 14, "only {steps} steps were found");
    scene.workspace.plan_is_empty()
}

fn a_backup_that_is_killed_at_any_step_leaves_a_sound_repository(scene: &mut Scene) -> Result<()> {
    scene.backed_up()?;
    // A lease whose owner died is stale after a minute of this clock.
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "120");
    let mut documents = scene.documents();
    let prepare = |scene: &Scene, round: usize| {
        fs::write(scene.data().join("inbox/empty.txt"), format!("release {round}"))?;
        documents.release = u32::try_from(round)?;
        // So that each of them removes points, and frees their space.
        scene.workspace.write(&documents.configuration().replace("keep_last = 20", "keep_last = 2"))
    };
    let check = |scene: &Scene, _| {
        let records = scene.backup_records()?;
        let unfinished = records.iter().filter(|record| record["phase"] != "done").count();
        ensure!(unfinished == 0, "{records:?}");
        let points = scene.snapshots()?.len();
        ensure!(points == 2, "{points} points where two are kept");
        ensure!(!scene.workspace.path("repository.dr/prune-owed").exists(), "space that is owed was not freed");
        restic(scene, &["check", "--no-lock"])?;
        Ok(())
    };
    let steps = at_every_step(scene, "backup_job", prepare, check)?;
    ensure!(steps >= 8, "only {steps} steps were found");
    scene.workspace.plan_is_empty()?;
    restic(scene, &["check", "--read-data"])?;
    ensure!(names(&scene.repository().join("locks"))?.is_empty(), "a lock was left");
    let before = Manifest::of(&scene.data())?;
    scene.lose_data()?;
    scene.workspace.apply()?.ok()?;
    before.assert_same(&scene.data())
}
