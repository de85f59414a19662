//! What many resources cost a cluster: the API server itself writes down each request.

use std::time::Duration;

use acceptance_tests::servers::Minio;
use acceptance_tests::servers::kubernetes::{Cluster, Velero, shared, wait_for};
use anyhow::{Result, ensure};

use crate::rebuild::letter;
use crate::scene::Scene;
use crate::velero::provider;

both_clis!(
    a_hundred_schedules_are_planned_with_no_request_and_refreshed_with_a_handful,
    fifty_restores_are_waited_for_with_one_request_at_a_time,
);

const SCHEDULES: usize = 100;
const RESTORES: usize = 50;

/// A name, and a target in a cluster that counts what is asked of it.
fn counted_target(scene: &Scene, cluster: &Cluster) -> Result<(String, String)> {
    let minio: &'static Minio = shared()?.minio()?;
    let name = format!("t{:08x}", rand::random::<u32>());
    minio.s3.create_bucket(&name)?;
    let kubeconfig = scene.workspace.path("kubeconfig");
    std::fs::write(&kubeconfig, cluster.kubeconfig_for(&cluster.counted_token()))?;
    let of_everybody = format!("{:?}", cluster.kubeconfig_path());
    let provider = provider(&minio.s3, cluster, "", "").replace(&of_everybody, &format!("{kubeconfig:?}"));
    let target = format!(
        r#"{provider}

resource "dr_backup_target" "main" {{
  name   = "{name}"
  store  = {{ s3 = "minio", bucket = "{name}", credentials = "connection" }}
  velero = {{ cluster = "prod" }}
}}
"#
    );
    Ok((name, target))
}

fn a_hundred_schedules_are_planned_with_no_request_and_refreshed_with_a_handful(scene: &mut Scene) -> Result<()> {
    let cluster = Cluster::start()?;
    let _velero = Velero::start(&cluster)?;
    let (name, target) = counted_target(scene, &cluster)?;
    scene.workspace.write(&format!(
        r#"{target}

resource "dr_backup_schedule" "app" {{
  count     = {SCHEDULES}
  name      = "{name}-${{count.index}}"
  target    = dr_backup_target.main.ref
  cron      = "0 2 * * *"
  retention = {{ keep_within = "7d" }}
  velero    = {{ included_namespaces = ["app-${{count.index}}"], snapshot_volumes = false }}
}}
"#
    ))?;
    scene.workspace.plan()?.ok()?;
    let asked = cluster.counted()?;
    ensure!(asked.is_empty(), "the plan of what is not there asked {asked:?}");

    scene.workspace.apply()?.ok()?;
    let asked = cluster.counted()?;
    let of_one = |request: &&String| request.contains(&format!("/{name}-7"));
    ensure!(asked.iter().filter(of_one).filter(|request| request.starts_with("patch")).count() == 11, "{asked:?}");
    ensure!(asked.len() <= 7 * SCHEDULES, "{} requests for {SCHEDULES} schedules", asked.len());

    scene.workspace.plan_is_empty()?;
    let again = cluster.counted()?.split_off(asked.len());
    ensure!(!again.is_empty() && again.len() <= 6, "{} requests: {again:?}", again.len());
    ensure!(again.iter().filter(|request| request.contains("/schedules")).count() == 1, "{again:?}");
    Ok(())
}

fn fifty_restores_are_waited_for_with_one_request_at_a_time(scene: &mut Scene) -> Result<()> {
    let cluster = Cluster::start()?;
    let velero = Velero::start(&cluster)?;
    let (name, target) = counted_target(scene, &cluster)?;
    cluster.namespace(&name)?;
    cluster.api.apply(&letter(&name, "Dear all"))?;
    let configuration = format!(
        r#"{target}

resource "dr_backup_job" "main" {{
  name   = "{name}"
  target = dr_backup_target.main.ref
  velero = {{ included_namespaces = ["{name}"], snapshot_volumes = false }}
}}
"#
    );
    scene.workspace.write(&configuration)?;
    scene.workspace.apply()?.ok()?;
    // Nobody works on what is asked for now.
    drop(velero);
    scene.workspace.write(&format!(
        r#"{configuration}

resource "dr_restore_job" "copy" {{
  count  = {RESTORES}
  name   = "{name}-${{count.index}}"
  source = dr_backup_target.main.ref
  velero = {{
    included_namespaces = ["{name}"]
    namespace_mapping   = {{ {name} = "{name}-${{count.index}}" }}
  }}
}}
"#
    ))?;
    let parallelism = format!("-parallelism={RESTORES}");
    let mut apply = scene.workspace.start(&["apply", "-no-color", "-input=false", "-auto-approve", &parallelism])?;
    wait_for("all restores", Duration::from_secs(180), || {
        ensure!(!apply.ended()?, "it ended: {}", apply.so_far()?);
        let made = cluster.api.list(Velero::API, "Restore", Velero::NAMESPACE)?.len();
        Ok((made == RESTORES).then_some(()))
    })?;
    // The last ones have only just been asked for.
    std::thread::sleep(Duration::from_secs(5));
    let before = cluster.counted()?.len();
    std::thread::sleep(Duration::from_secs(15));
    let mut asked = cluster.counted()?.split_off(before);
    // Each run renews its lease.
    asked.retain(|request| !request.contains("/configmaps"));
    ensure!(!asked.is_empty() && asked.len() <= 8, "{} requests in 15 s: {asked:?}", asked.len());
    apply.interrupt()?;
    apply.wait()?.fails(&["was interrupted at phase", "what the engine was told to do goes on without us"])?;
    Ok(())
}
