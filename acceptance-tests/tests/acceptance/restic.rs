//! The real restic on the same repository: its snapshots, its locks, its retention.

use std::process::{Child, Command, Stdio};

use acceptance_tests::cli::hcl_string;
use acceptance_tests::parts;
use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::scene::{Documents, PASSWORD, Scene, names, wait_until};

both_clis!(
    a_point_that_restic_forgot_after_the_plan_is_not_replaced_by_another,
    a_beginning_of_an_id_that_fits_two_names_both,
    restic_at_work_alone_is_waited_for_and_named,
    the_lock_of_a_dead_restic_stops_no_restore_and_is_named_to_a_backup,
    a_point_that_a_restore_elsewhere_needs_outlives_every_retention,
);

fn command(scene: &Scene, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(parts::RESTIC.get()?);
    command.args(["--no-cache", "-r"]).arg(scene.repository()).args(arguments).env("RESTIC_PASSWORD", PASSWORD);
    Ok(command)
}

/// Runs restic on the repository; what it printed.
pub fn restic(scene: &Scene, arguments: &[&str]) -> Result<String> {
    let output = command(scene, arguments)?.output()?;
    ensure!(output.status.success(), "restic {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

fn a_point_that_restic_forgot_after_the_plan_is_not_replaced_by_another(scene: &mut Scene) -> Result<()> {
    let (before, first, newest) = scene.lost_after_two_backups()?;
    scene.workspace.plan()?.ok()?.says(&[&newest])?;
    restic(scene, &["forget", "--prune", &newest])?;
    scene.workspace.apply_plan()?.fails(&["dr_restore_job.documents", &newest[..8]])?;
    ensure!(!scene.data().exists(), "another point was restored than the plan showed");
    scene.workspace.plan()?.ok()?.says(&[&first])?;
    scene.workspace.apply_plan()?.ok()?;
    before.assert_same(&scene.data())
}

fn a_beginning_of_an_id_that_fits_two_names_both(scene: &mut Scene) -> Result<()> {
    let before = scene.backed_up()?;
    let data = scene.data();
    // By the seventeenth at the latest two ids begin alike.
    let twins = loop {
        restic(scene, &["backup", "--quiet", &data.to_string_lossy()])?;
        let ids = scene.snapshots()?;
        let twins = ids.windows(2).find(|pair| pair[0][..1] == pair[1][..1]);
        if let Some(twins) = twins {
            break twins.to_vec();
        }
    };
    scene.lose_data()?;
    let mut documents = scene.documents();
    documents.restore = format!("recovery_point = {{ id = \"{}\" }}", &twins[0][..1]);
    scene.write(&documents)?;
    scene.workspace.apply()?.fails(&["dr_restore_job.documents", "recovery_point", &twins[0][..8], &twins[1][..8]])?;
    ensure!(!scene.data().exists(), "something was restored");
    documents.restore = format!("recovery_point = {{ id = \"{}\" }}", &twins[0][..12]);
    scene.write(&documents)?;
    scene.workspace.apply()?.ok()?;
    before.assert_same(&scene.data())
}

/// A restic that has the repository for itself and stands still.
fn stopped_restic(scene: &Scene) -> Result<(Child, Pid)> {
    let locks = scene.repository().join("locks");
    let child = command(scene, &["check", "--read-data"])?.stdout(Stdio::null()).stderr(Stdio::null()).spawn()?;
    // It has another name until it is whole.
    let whole = |name: &String| !name.contains("tmp");
    wait_until("restic's lock", || Ok(names(&locks)?.iter().any(whole)))?;
    let process = Pid::from_raw(child.id().cast_signed()).context("restic has no id")?;
    kill_process(process, Signal::STOP)?;
    ensure!(!names(&locks)?.is_empty(), "restic was done before it could be stopped");
    Ok((child, process))
}

fn restic_at_work_alone_is_waited_for_and_named(scene: &mut Scene) -> Result<()> {
    let before = scene.backed_up()?;
    let (mut child, process) = stopped_restic(scene)?;
    let id = child.id().to_string();
    // Five minutes of this clock are half a second.
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "600");
    let mut documents = scene.documents();
    documents.release = 1;
    scene.write(&documents)?;
    let named =
        scene.workspace.apply()?.fails(&["dr_backup_job.documents", "locked exclusively", &id, "restic unlock"]);
    let points = scene.snapshots()?;
    kill_process(process, Signal::CONT)?;
    child.wait()?;
    named?;
    ensure!(points.len() == 1, "a backup was stored against the lock: {points:?}");
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    before.assert_same(&scene.data())
}

fn the_lock_of_a_dead_restic_stops_no_restore_and_is_named_to_a_backup(scene: &mut Scene) -> Result<()> {
    let before = scene.backed_up()?;
    let (mut child, _) = stopped_restic(scene)?;
    child.kill()?;
    child.wait()?;
    ensure!(!names(&scene.repository().join("locks"))?.is_empty(), "there is no dead lock");
    let mut documents = scene.documents();
    documents.release = 1;
    // A busy machine needs longer for a look than five minutes of that clock.
    documents.restore = "timeouts = { read = \"4h\" }".into();
    scene.write(&documents)?;
    scene.lose_data()?;
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "600");
    // It may be at work in a container of this machine's name: what it removes would be missing in a new backup.
    let id = child.id().to_string();
    scene.workspace.apply()?.fails(&[
        "dr_backup_job.documents",
        "locked exclusively",
        &id,
        "`restic unlock` removes",
    ])?;
    before.assert_same(&scene.data())?;
    restic(scene, &["unlock"])?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    restic(scene, &["check"])?;
    Ok(())
}

/// An audit of what was: the folder, beside the one that is in use.
fn audited(scene: &Scene) -> String {
    let (from, to) = (hcl_string(&scene.data()), hcl_string(&scene.workspace.path("audit")));
    format!(
        r#"resource "dr_restore_job" "audit" {{
  name   = "audit"
  source = dr_backup_target.documents.ref
  restic = {{ path = {from}, to = {to} }}
}}"#
    )
}

fn a_point_that_a_restore_elsewhere_needs_outlives_every_retention(scene: &mut Scene) -> Result<()> {
    let before = scene.backed_up()?;
    let audit = scene.workspace.path("audit");
    let pins = scene.workspace.path("repository.dr/pins");
    let mut documents = scene.documents();
    let configuration = |documents: &Documents| documents.configuration().replace("keep_last = 20", "keep_last = 1");
    documents.more = audited(scene);
    scene.workspace.write(&documents.configuration())?;
    // Killed while it writes.
    for step in 8.. {
        scene.workspace.set("DR_TEST_DIE", format!("restore_job:{step}"));
        let killed = scene.workspace.apply()?;
        ensure!(!killed.status.success(), "it came to its end before it was killed while it wrote");
        let records = crate::scene::records(&scene.workspace.path(".audit.dr/runs"))?;
        if records.iter().any(|record| record["phase"] == "writing") {
            break;
        }
    }
    scene.workspace.set("DR_TEST_DIE", "");
    ensure!(names(&pins)?.len() == 1, "the restore has pinned nothing: {:?}", names(&pins)?);
    // Meanwhile the folder itself goes on, by a configuration that knows nothing of the audit.
    std::fs::write(scene.data().join("inbox/empty.txt"), "changed since")?;
    (documents.more, documents.release) = (String::new(), 1);
    documents.target = format!("{}\n  deletion_policy = \"delete\"", documents.target);
    scene.workspace.write(&configuration(&documents))?;
    let said = scene.workspace.apply()?.ok()?;
    said.says(&["Warning:", "stays for the restore to", &audit.display().to_string()])?;
    ensure!(scene.snapshots()?.len() == 2, "{:?}", scene.snapshots()?);
    // Neither does it go with the repository.
    let parts = ["dr_backup_target.documents", &audit.display().to_string(), "noted in pins/", "deletion_policy"];
    scene.workspace.plan_with(&["-destroy"])?.fails(&parts)?;
    scene.workspace.destroy()?.fails(&parts)?;
    documents.more = audited(scene);
    scene.workspace.write(&configuration(&documents))?;
    scene.workspace.apply()?.ok()?;
    before.assert_same(&audit)?;
    ensure!(names(&pins)?.is_empty(), "a restore that has ended still pins: {:?}", names(&pins)?);
    documents.release = 2;
    scene.workspace.write(&configuration(&documents))?;
    scene.workspace.apply()?.ok()?.never_says(&["stays for the restore"])?;
    ensure!(scene.snapshots()?.len() == 1, "{:?}", scene.snapshots()?);
    scene.workspace.plan_is_empty()
}
