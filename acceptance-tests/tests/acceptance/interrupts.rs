//! Ctrl-C, SIGKILL, and two at once.

use std::fs;
use std::time::{Duration, Instant};

use acceptance_tests::cli::Running;
use acceptance_tests::tree::Recipe;
use anyhow::{Context, Result, ensure};

use crate::scene::{Scene, wait_until};

both_clis!(
    an_interrupted_backup_ends_at_once_and_the_next_apply_takes_over,
    an_interrupted_restore_ends_at_once_and_the_next_apply_takes_over,
    a_backup_that_is_interrupted_twice_is_finished_by_the_next_apply,
    a_restore_that_is_interrupted_twice_is_finished_by_the_next_apply,
    a_killed_provider_is_taken_over_wherever_it_was,
    a_power_cut_during_a_backup_leaves_a_sound_repository,
    two_applies_at_once_restore_once,
);

/// Enough that a backup of it takes a while.
fn large() -> Recipe {
    Recipe { files: 400, bytes: 120_000_000, seed: 3 }
}

fn unfinished(records: &[serde_json::Value]) -> bool {
    records.iter().any(|record| record["phase"] == "writing")
}

/// Interrupts a command in the run that is under way, which has to end within two seconds, not counting what the CLI itself
/// needs to stop, and to say what became of the run.
fn interrupt(running: Running, records: &[serde_json::Value]) -> Result<()> {
    let record = records.iter().find(|record| record["phase"] == "writing").context("a run that writes")?;
    let key = record["key"].as_str().context("a run has a key")?;
    running.interrupt()?;
    let interrupted = Instant::now();
    let run = running.wait_for(Duration::from_secs(60))?;
    let took = interrupted.elapsed();
    ensure!(took < Duration::from_millis(2500), "it took {took:?} to end:\n{}\n{}", run.stdout, run.stderr);
    let said = format!("{key} was interrupted at phase writing: its work was stopped where it was");
    run.fails(&[&said, "Apply again: it goes on from there"])?;
    Ok(())
}

fn an_interrupted_backup_ends_at_once_and_the_next_apply_takes_over(scene: &mut Scene) -> Result<()> {
    let before = scene.make_data_of(&large())?;
    scene.write(&scene.documents())?;
    let running = scene.workspace.start_apply()?;
    wait_until("the backup to write", || Ok(unfinished(&scene.backup_records()?)))?;
    interrupt(running, &scene.backup_records()?)?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    scene.lose_data()?;
    scene.workspace.apply()?.ok()?;
    before.assert_same(&scene.data())
}

fn backed_up_large(scene: &mut Scene) -> Result<acceptance_tests::tree::Manifest> {
    let before = scene.make_data_of(&large())?;
    scene.write(&scene.documents())?;
    scene.workspace.apply()?.ok()?;
    scene.lose_data()?;
    Ok(before)
}

fn an_interrupted_restore_ends_at_once_and_the_next_apply_takes_over(scene: &mut Scene) -> Result<()> {
    let before = backed_up_large(scene)?;
    let running = scene.workspace.start_apply()?;
    wait_until("the restore to write", || Ok(unfinished(&scene.restore_records()?)))?;
    interrupt(running, &scene.restore_records()?)?;
    scene.workspace.apply()?.ok()?;
    before.assert_same(&scene.data())?;
    scene.workspace.plan_is_empty()
}

fn a_killed_provider_is_taken_over_wherever_it_was(scene: &mut Scene) -> Result<()> {
    let before = backed_up_large(scene)?;
    let mut killed = 0;
    for wait in [0, 40, 120, 250] {
        let known = attempts(scene)?;
        let mut running = scene.workspace.start_apply()?;
        let mut ended = false;
        wait_until("the restore to write", || {
            ended = running.ended()?;
            Ok(ended || (attempts(scene)? > known && unfinished(&scene.restore_records()?)))
        })?;
        std::thread::sleep(Duration::from_millis(wait));
        killed += running.kill_provider()?;
        running.wait_for(Duration::from_secs(120))?;
        if !unfinished(&scene.restore_records()?) {
            scene.lose_data()?;
        }
    }
    ensure!(killed > 1, "almost nothing was killed: the scenario shows nothing");
    scene.workspace.apply()?.ok()?;
    before.assert_same(&scene.data())?;
    scene.workspace.plan_is_empty()
}

fn a_power_cut_during_a_backup_leaves_a_sound_repository(scene: &mut Scene) -> Result<()> {
    let before = scene.make_data_of(&large())?;
    scene.write(&scene.documents())?;
    let mut running = scene.workspace.start_apply()?;
    wait_until("the backup to write", || Ok(unfinished(&scene.backup_records()?)))?;
    running.kill_all()?;
    running.wait_for(Duration::from_secs(60))?;
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "60");
    // The CLI's own lock on the state file died with it.
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    scene.lose_data()?;
    scene.workspace.apply()?.ok()?;
    before.assert_same(&scene.data())
}

/// Whoever was started in the scene's folder ends with the CLI, and what is done in its place is done by nobody else.
fn nobody_works_on(scene: &Scene) -> Result<()> {
    let folder = scene.workspace.folder();
    let at_work = || -> Result<Vec<String>> {
        let processes = fs::read_dir("/proc")?.flatten().map(|entry| entry.path());
        let in_folder = processes.filter(|process| fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == folder));
        Ok(in_folder.map(|process| fs::read_to_string(process.join("cmdline")).unwrap_or_default()).collect())
    };
    let deadline = Instant::now() + Duration::from_secs(5);
    while !at_work()?.is_empty() && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(100));
    }
    let left = at_work()?;
    ensure!(left.is_empty(), "somebody works on: {left:?}");
    Ok(())
}

fn a_backup_that_is_interrupted_twice_is_finished_by_the_next_apply(scene: &mut Scene) -> Result<()> {
    let before = scene.make_data_of(&large())?;
    scene.write(&scene.documents())?;
    let running = scene.workspace.start_apply()?;
    wait_until("the backup to write", || Ok(unfinished(&scene.backup_records()?)))?;
    running.interrupt()?;
    std::thread::sleep(Duration::from_millis(100));
    running.interrupt()?;
    let run = running.wait_for(Duration::from_secs(10))?;
    ensure!(!run.status.success(), "it went on: {}", run.stdout);
    nobody_works_on(scene)?;
    ensure!(scene.snapshots()?.is_empty(), "it was stored all the same");
    // A lease that nobody gave back has to go stale first.
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "60");
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    ensure!(scene.snapshots()?.len() == 1, "{:?}", scene.snapshots()?);
    scene.lose_data()?;
    scene.workspace.apply()?.ok()?;
    before.assert_same(&scene.data())
}

fn a_restore_that_is_interrupted_twice_is_finished_by_the_next_apply(scene: &mut Scene) -> Result<()> {
    let before = backed_up_large(scene)?;
    let running = scene.workspace.start_apply()?;
    wait_until("the restore to write", || Ok(unfinished(&scene.restore_records()?)))?;
    running.interrupt()?;
    std::thread::sleep(Duration::from_millis(100));
    running.interrupt()?;
    let run = running.wait_for(Duration::from_secs(10))?;
    ensure!(!run.status.success(), "it went on: {}", run.stdout);
    nobody_works_on(scene)?;
    scene.workspace.apply()?.ok()?;
    before.assert_same(&scene.data())?;
    scene.workspace.plan_is_empty()
}

fn attempts(scene: &Scene) -> Result<u64> {
    Ok(scene.restore_records()?.iter().filter_map(|record| record["attempt"].as_u64()).sum())
}

fn two_applies_at_once_restore_once(scene: &mut Scene) -> Result<()> {
    let before = backed_up_large(scene)?;
    let attempts_before = attempts(scene)?;
    let colleague = scene.copy("colleague")?;
    let (one, two) = (scene.workspace.start_apply()?, colleague.workspace.start_apply()?);
    one.wait()?.ok()?;
    two.wait()?.ok()?;
    before.assert_same(&scene.data())?;
    let attempts = attempts(scene)? - attempts_before;
    ensure!(attempts == 1, "restored {attempts} times: {:?}", scene.restore_records()?);
    scene.workspace.plan_is_empty()?;
    colleague.workspace.plan_is_empty()
}
