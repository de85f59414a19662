//! Two clusters protected by one module with `for_each`, one of which dies: what its connection says happens to what is on
//! it, and nothing of the other waits for it longer than it is tried.

use std::time::Duration;

use acceptance_tests::cli::{Kind, Run};
use acceptance_tests::servers::kubernetes::{Cluster, Shared, Velero, shared, wait_for};
use acceptance_tests::servers::{Door, Minio, S3};
use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::scene::Scene;

both_clis!(
    of_two_clusters_in_one_module_a_dead_one_is_an_error_or_kept_and_the_living_one_is_applied,
    of_two_clusters_in_one_module_the_one_that_is_lost_is_made_again_when_it_answers_and_forgotten_when_it_never_does,
);

/// Schedules of each cluster: more than the CLI handles at once, so that those of the dead one could hold up the others.
const SCHEDULES: usize = 12;

/// How many times faster than real waits go.
const SPEED: u32 = 10;

/// For how long a cluster is tried: 30 s on that clock. A try that nobody answers takes two more, and never less.
const TRIED: Duration = Duration::from_secs(30 / SPEED as u64 + 2 * 2);

/// What the CLI and a provider take on a busy machine, with nobody to wait for.
const WORK: Duration = Duration::from_secs(20);

const MINUTE: Duration = Duration::from_secs(60);

const MODULE: &str = r#"
terraform {
  required_providers {
    dr = { source = "dr-as-code/dr" }
  }
}

variable "cluster" { type = string }
variable "bucket" { type = string }
variable "cron" { type = string }
variable "schedules" { type = number }

resource "dr_backup_target" "main" {
  name   = var.bucket
  store  = { s3 = "minio", bucket = var.bucket, prefix = var.cluster, credentials = "connection" }
  velero = { cluster = var.cluster }
}

resource "dr_backup_schedule" "app" {
  count     = var.schedules
  name      = "${var.bucket}-${count.index}"
  target    = dr_backup_target.main.ref
  cron      = var.cron
  retention = { keep_within = "7d" }
  velero    = { included_namespaces = ["app-${count.index}"], snapshot_volumes = false }
}
"#;

/// A cluster that lives, and another behind a door.
struct World {
    shared: &'static Shared,
    s3: &'static S3,
    name: String,
    far: Cluster,
    velero: Option<Velero>,
    door: Door,
}

impl World {
    /// Both protected, by one apply.
    fn new(scene: &mut Scene) -> Result<Self> {
        let shared = shared()?;
        shared.velero()?;
        let minio: &'static Minio = shared.minio()?;
        let name = format!("t{:08x}", rand::random::<u32>());
        minio.s3.create_bucket(&name)?;
        let far = Cluster::start()?;
        let velero = Some(Velero::start(&far)?);
        let door = Door::to(far.port())?;
        let world = World { shared, s3: &minio.s3, name, far, velero, door };
        std::fs::create_dir_all(scene.workspace.folder().join("cluster"))?;
        scene.workspace.write_file("cluster/main.tf", MODULE)?;
        world.write(scene, "fail", "0 2 * * *")?;
        scene.workspace.run(&["get", "-no-color"])?.ok()?;
        scene.workspace.set("DR_TEST_CLOCK_SPEED", SPEED.to_string());
        scene.workspace.apply()?.ok()?;
        scene.workspace.plan_is_empty()?;
        Ok(world)
    }

    fn write(&self, scene: &Scene, unreachable: &str, cron: &str) -> Result<()> {
        let Self { shared, s3, name, far, door, .. } = self;
        scene.workspace.write(&format!(
            r#"terraform {{
  required_providers {{
    dr = {{ source = "dr-as-code/dr" }}
  }}
}}

provider "dr" {{
  kubernetes = {{
    home = {{ kubeconfig = {kubeconfig:?}, context = "test", unreachable = "{unreachable}" }}
    far  = {{ host = "{host}", token = "{token}", ca_pem = {ca:?}, unreachable = "{unreachable}" }}
  }}
  s3 = {{
    minio = {{ endpoint = "{endpoint}", region = "{region}", path_style = true, access_key_id = "{id}", secret_access_key = "{secret}" }}
  }}
}}

module "cluster" {{
  source    = "./cluster"
  for_each  = toset(["home", "far"])
  cluster   = each.key
  bucket    = "{name}"
  cron      = "{cron}"
  schedules = {SCHEDULES}
}}
"#,
            kubeconfig = shared.cluster.kubeconfig_path(),
            host = door.url(),
            token = far.token(),
            ca = far.ca_pem(),
            endpoint = s3.endpoint,
            region = s3.region,
            id = s3.credentials.id,
            secret = s3.credentials.secret,
        ))
    }

    /// The machine of the other cluster loses its power.
    fn dies(&mut self) {
        self.velero = None;
        self.door.shut();
        self.far.kill();
    }

    /// Once its API server runs again.
    fn comes_back(&mut self) -> Result<()> {
        // A server that has just begun refuses what it has not read yet.
        let velero = wait_for("Velero on it", MINUTE, || Velero::start(&self.far).map(Some))?;
        wait_for("its schedules", MINUTE, || self.scheduled(&self.far, "").map(Some))?;
        self.velero = Some(velero);
        self.door.open();
        Ok(())
    }

    /// How many schedules of a cluster run at that time.
    fn scheduled(&self, cluster: &Cluster, cron: &str) -> Result<usize> {
        let all = cluster.api.list(Velero::API, "Schedule", Velero::NAMESPACE)?;
        let is = |found: &&Value| {
            let name = found["metadata"]["name"].as_str().unwrap_or_default();
            name.starts_with(&self.name) && found["spec"]["schedule"] == format!("CRON_TZ=UTC {cron}")
        };
        Ok(all.iter().filter(is).count())
    }

    /// A command that asks the dead cluster `times` over, each time once for everybody: a try, and the knocks after it, one
    /// at a time. Everybody who came before it was known to be dead has a connection of their own.
    fn asked(&self, times: u32, command: impl FnOnce() -> Result<Run>) -> Result<Run> {
        let before = self.door.came();
        let run = command()?;
        let came = self.door.came() - before;
        let knocks = (TRIED.as_secs() / 2) as usize * times as usize;
        let together = 10 * times as usize;
        ensure!(came > 0 && came <= together + knocks, "{came} connections: {}", run.said());
        ensure!(run.took < TRIED * times + WORK, "it took {:?}: {}", run.took, run.said());
        Ok(run)
    }
}

fn changes(run: &Run) -> usize {
    run.said().matches("module.cluster[\"far\"]").count()
}

fn of_two_clusters_in_one_module_a_dead_one_is_an_error_or_kept_and_the_living_one_is_applied(
    scene: &mut Scene,
) -> Result<()> {
    let mut world = World::new(scene)?;
    world.dies();

    // An error that names it, once for what depends on nothing else there.
    let run = world.asked(1, || scene.workspace.plan())?;
    run.fails(&["can't be reached", "on cluster `far`"])?.never_says(&["on cluster `home`"])?;

    // Kept: nothing to do, and one warning for all that is there.
    world.write(scene, "keep", "0 2 * * *")?;
    let run = world.asked(1, || scene.workspace.plan_with(&["-detailed-exitcode"]))?;
    ensure!(run.status.code() == Some(0), "the plan is not empty: {}", run.said());
    ensure!(run.said().matches("Connection `far` can't be reached").count() == 1, "{}", run.said());

    // A change of both: the living cluster gets it, and what is on the dead one stays as it was.
    world.write(scene, "keep", "0 3 * * *")?;
    let run = world.asked(2, || scene.workspace.apply())?;
    run.fails(&["Unable to apply", "can't be reached"])?;
    ensure!(world.scheduled(&world.shared.cluster, "0 3 * * *")? == SCHEDULES, "the living cluster was not changed");
    let left = world.asked(1, || scene.workspace.plan())?.ok()?;
    ensure!(left.said().contains(&format!("{SCHEDULES} to change")), "{}", left.said());
    ensure!(changes(&left) >= SCHEDULES, "{}", left.said());

    world.far.restart()?;
    world.comes_back()?;
    ensure!(world.scheduled(&world.far, "0 2 * * *")? == SCHEDULES, "it came back otherwise than it went");
    scene.workspace.apply()?.ok()?;
    ensure!(world.scheduled(&world.far, "0 3 * * *")? == SCHEDULES);
    scene.workspace.plan_is_empty()
}

fn of_two_clusters_in_one_module_the_one_that_is_lost_is_made_again_when_it_answers_and_forgotten_when_it_never_does(
    scene: &mut Scene,
) -> Result<()> {
    let mut world = World::new(scene)?;
    world.dies();
    world.write(scene, "lost", "0 2 * * *")?;
    let planned = world.asked(1, || scene.workspace.plan())?.ok()?;
    ensure!(planned.said().contains("0 to add, 13 to change, 0 to destroy"), "{}", planned.said());
    ensure!(changes(&planned) >= SCHEDULES, "{}", planned.said());

    // Nobody answers yet: the living cluster is changed all the same. In Terraform what names a resource of a module waits for
    // that resource in every instance of the module, so the living schedules come once the dead target is out of the way.
    world.write(scene, "lost", "0 4 * * *")?;
    world.asked(2, || scene.workspace.apply())?.fails(&["can't be reached"])?;
    if scene.workspace.cli.kind == Kind::Terraform {
        world.write(scene, "keep", "0 4 * * *")?;
        world.asked(2, || scene.workspace.apply())?.fails(&["can't be reached"])?;
    }
    ensure!(world.scheduled(&world.shared.cluster, "0 4 * * *")? == SCHEDULES, "the living cluster was not changed");
    world.write(scene, "lost", "0 4 * * *")?;

    // An empty one answers in its place, and gets all of it.
    world.far.empty()?;
    world.comes_back()?;
    ensure!(world.scheduled(&world.far, "0 2 * * *")? == 0);
    scene
        .workspace
        .apply()?
        .ok()
        .with_context(|| world.velero.as_ref().map(|it| it.controller.log()).unwrap_or_default())?;
    ensure!(world.scheduled(&world.far, "0 4 * * *")? == SCHEDULES);
    scene.workspace.plan_is_empty()?;

    // It dies for good: a destroy removes what lives, and says what it could not.
    world.dies();
    let run = world.asked(2, || scene.workspace.destroy())?.ok()?;
    run.says(&["was not removed"])?;
    ensure!(world.scheduled(&world.shared.cluster, "0 4 * * *")? == 0, "the living cluster still has schedules");
    Ok(())
}
