//! What many resources cost a cluster: the API server itself writes down each request.

use acceptance_tests::servers::Minio;
use acceptance_tests::servers::kubernetes::{Cluster, Velero, shared};
use anyhow::{Result, ensure};

use crate::scene::Scene;
use crate::velero::provider;

both_clis!(a_hundred_schedules_are_planned_with_no_request_and_refreshed_with_a_handful);

const SCHEDULES: usize = 100;

fn a_hundred_schedules_are_planned_with_no_request_and_refreshed_with_a_handful(scene: &mut Scene) -> Result<()> {
    let minio: &'static Minio = shared()?.minio()?;
    let name = format!("t{:08x}", rand::random::<u32>());
    minio.s3.create_bucket(&name)?;
    let cluster = Cluster::start()?;
    let _velero = Velero::start(&cluster)?;
    let kubeconfig = scene.workspace.path("kubeconfig");
    std::fs::write(&kubeconfig, cluster.kubeconfig_for(&cluster.counted_token()))?;
    let of_everybody = format!("{:?}", cluster.kubeconfig_path());
    let provider = provider(&minio.s3, &cluster, "", "").replace(&of_everybody, &format!("{kubeconfig:?}"));
    scene.workspace.write(&format!(
        r#"{provider}

resource "dr_backup_target" "main" {{
  name   = "{name}"
  store  = {{ s3 = "minio", bucket = "{name}", credentials = "connection" }}
  velero = {{ cluster = "prod" }}
}}

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
