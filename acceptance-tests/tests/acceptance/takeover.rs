//! What happens in the middle of a restore from Velero: the provider is killed at any step, and the API server is killed and
//! comes back while something is waited for. There is one restore, and the application comes back once.

use std::time::Duration;

use acceptance_tests::cli::{Kind, Running};
use acceptance_tests::servers::Minio;
use acceptance_tests::servers::kubernetes::{Cluster, Shared, Velero, shared, wait_for};
use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::rebuild::{again, configuration, letter, paused, replicas, restores, text_of, with_application};
use crate::scene::Scene;

both_clis!(
    a_quiesced_restore_that_is_killed_at_any_step_restores_once_and_resumes_once,
    an_api_server_that_is_restarted_while_something_is_waited_for_ends_no_wait,
);

/// More steps than any run has.
const ENOUGH: usize = 60;

/// What Velero's plugin ends with when it reads its file of keys while another part of Velero writes it anew: each use of a
/// location empties that file first (`Path` in Velero's internal/credentials/file_store.go), and a server that has just
/// begun uses every location at once. The restore has read nothing then, is `Failed`, and the next apply takes the same point.
const VELERO_READ_NO_KEYS: &str = "no EC2 IMDS role found";

const MINUTE: Duration = Duration::from_secs(60);

/// How often something changed what is wanted of the application.
fn generation(shared: &Shared, name: &str) -> Result<i64> {
    let deployment = shared.api().get("apps/v1", "Deployment", name, "paperless")?.context("no deployment")?;
    deployment["metadata"]["generation"].as_i64().context("no generation")
}

fn a_quiesced_restore_that_is_killed_at_any_step_restores_once_and_resumes_once(scene: &mut Scene) -> Result<()> {
    let (shared, s3, name) = with_application(scene)?;
    // A lease whose owner died is stale after a minute of this clock.
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "20");
    // Steps are the same whoever counts them, so each CLI takes every other one.
    let first = if scene.workspace.cli.kind == Kind::Tofu { 1 } else { 2 };
    let mut survived = None;
    for (round, step) in (first..ENOUGH).step_by(2).enumerate() {
        let round = round + 1;
        shared.api().apply(&letter(&name, "Overwritten"))?;
        let (restored, changed) = (restores(&shared.cluster, &name)?, generation(shared, &name)?);
        let configuration = again(s3, shared, &name).replace("run = \"1\"", &format!("run = \"{round}\""));
        scene.workspace.write(&configuration)?;
        scene.workspace.set("DR_TEST_DIE", format!("restore_job:{step}"));
        let killed = scene.workspace.apply()?;
        scene.workspace.set("DR_TEST_DIE", "");
        if !killed.status.success() {
            scene.workspace.apply()?.ok().with_context(|| format!("killed at step {step}"))?;
        }
        let at = || format!("killed at step {step}: {}", killed.said());
        ensure!(text_of(&shared.cluster, &name)?.as_deref() == Some("Dear all"), at());
        ensure!(restores(&shared.cluster, &name)? == restored + 1, at());
        ensure!(replicas(shared, &name)? == 2 && !paused(shared, &name)?, at());
        // Down once, and up once.
        ensure!(generation(shared, &name)? == changed + 2, at());
        if killed.status.success() {
            survived = Some(step);
            break;
        }
    }
    let steps = survived.context("the run never came to its end")? - 1;
    ensure!(steps >= 12, "only {steps} steps were found");
    scene.workspace.plan_is_empty()
}

/// The API server and its storage are killed and come back, while the CLI works.
fn restarts_during(running: &mut Running, cluster: &Cluster) -> Result<()> {
    cluster.kill();
    // Long enough that whoever waits has asked meanwhile.
    std::thread::sleep(Duration::from_secs(5));
    ensure!(!running.ended()?, "it did not wait: {}", running.so_far()?);
    cluster.restart()?;
    // A server that has just begun refuses what it has not read yet.
    let read = || cluster.api.list(Velero::API, "Restore", Velero::NAMESPACE).map(Some);
    wait_for("what it stores", MINUTE, read).map(drop)
}

fn an_api_server_that_is_restarted_while_something_is_waited_for_ends_no_wait(scene: &mut Scene) -> Result<()> {
    let minio: &'static Minio = shared()?.minio()?;
    let name = format!("r{:08x}", rand::random::<u32>());
    minio.s3.create_bucket(&name)?;
    let cluster = Cluster::start()?;
    let velero = Velero::start(&cluster)?;
    cluster.namespace(&name)?;
    cluster.api.apply(&letter(&name, "Dear all"))?;
    let write = |more: &str| scene.workspace.write(&configuration(&minio.s3, &cluster, &name, more, ""));
    // Velero sleeps while the API server is away: a real one would be started again by its Deployment.
    let awake = |velero: &Velero| velero.controller.restart();

    // While the location is waited for.
    velero.controller.pause()?;
    write("")?;
    let mut apply = scene.workspace.start_apply()?;
    let location = || cluster.api.get(Velero::API, "BackupStorageLocation", Velero::NAMESPACE, &name);
    wait_for("the location", MINUTE, location)?;
    restarts_during(&mut apply, &cluster)?;
    awake(&velero)?;
    apply.wait()?.ok().with_context(|| velero.controller.log())?;
    scene.workspace.plan_is_empty()?;

    // While the restore is waited for.
    cluster.api.apply(&letter(&name, "Overwritten"))?;
    velero.controller.pause()?;
    write("when = \"always\"\n  safety_backup = false\n  triggers = { run = \"1\" }")?;
    let mut apply = scene.workspace.start_apply()?;
    wait_for("the restore", MINUTE, || Ok((restores(&cluster, &name)? == 1).then_some(())))?;
    restarts_during(&mut apply, &cluster)?;
    let phase = |restore: &Value| restore["status"]["phase"].clone();
    let all = cluster.api.list(Velero::API, "Restore", Velero::NAMESPACE)?;
    ensure!(all.iter().map(phase).all(|phase| phase != "Completed"), "nothing was waited for: {all:?}");
    awake(&velero)?;
    let mut applied = apply.wait()?;
    let raced = applied.said().contains(VELERO_READ_NO_KEYS);
    if raced {
        applied = scene.workspace.apply()?;
    }
    applied.ok().with_context(|| velero.controller.log())?;
    ensure!(text_of(&cluster, &name)?.as_deref() == Some("Dear all"));
    ensure!(restores(&cluster, &name)? == if raced { 2 } else { 1 }, "more restores ran than were needed");
    scene.workspace.plan_is_empty()
}
