//! k8up on a real API server with the real operator, whose pods move real bytes: targets, schedules, backups, restores.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};
use std::time::Duration;

use acceptance_tests::parts;
use acceptance_tests::servers::S3;
use acceptance_tests::servers::kubernetes::{K8up, STORAGE_CLASS, Shared, rights_of_guide, shared, wait_for};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::scene::Scene;
use crate::takeover::application;

both_clis!(
    a_target_and_its_schedule_are_made_in_one_apply_and_a_refresh_finds_nothing,
    what_somebody_changes_of_a_schedule_or_a_secret_is_seen_and_put_right,
    what_k8up_can_not_say_is_an_error_while_planning,
    a_backup_stores_the_bytes_of_a_claim_and_a_restore_brings_them_back_once,
    two_namespaces_begin_at_once_with_one_new_repository,
    a_claim_comes_back_in_another_namespace_where_it_is_made,
    a_schedule_does_not_store_a_new_volume_over_older_points,
    what_restic_could_not_restore_is_an_error_though_k8up_calls_it_a_success,
    what_restic_could_not_read_is_an_error_though_k8up_calls_it_a_success,
    a_claim_that_k8up_passes_over_is_an_error,
    what_a_killed_run_left_goes_with_its_job,
    a_volume_in_use_is_restored_only_with_its_application_down_and_its_schedule_resting,
);

const MINUTE: Duration = Duration::from_secs(60);

pub const PASSWORD: &str = "canary-k8up-password-77a0d1";

/// What a scenario works with: a namespace and a bucket of its own on the shared servers.
pub struct World {
    pub shared: &'static Shared,
    pub s3: &'static S3,
    /// Of the namespace, the bucket, and the objects.
    pub name: String,
}

/// A target with a schedule: the usual arguments of both.
pub const TARGET: &str = "";
pub const SCHEDULE: &str = r#"retention = { keep_last = 3, keep_daily = 7 }
  k8up      = { prune = { cron = "0 5 * * 0" }, check = { cron = "@weekly" }, tags = ["nightly"] }"#;

impl World {
    /// k8up runs, and there are an empty namespace and an empty bucket.
    pub fn new(scene: &mut Scene) -> Result<Self> {
        let shared = shared()?;
        shared.k8up()?;
        let s3 = &shared.minio()?.s3;
        let name = shared.namespace("k8up")?;
        s3.create_bucket(&name)?;
        let keys = format!("{}:{}", s3.credentials.id, s3.credentials.secret);
        scene.workspace.set("DR_SECRET_K8UP_KEYS", keys).set("DR_SECRET_K8UP_REPOSITORY", PASSWORD);
        Ok(World { shared, s3, name })
    }

    pub fn provider(&self) -> String {
        let S3 { endpoint, region, credentials, .. } = self.s3;
        format!(
            r#"terraform {{
  required_providers {{
    dr = {{ source = "dr-as-code/dr" }}
  }}
}}
provider "dr" {{
  kubernetes = {{
    prod = {{ kubeconfig = {kubeconfig:?}, context = "test" }}
  }}
  s3 = {{
    minio = {{
      endpoint          = "{endpoint}"
      region            = "{region}"
      path_style        = true
      access_key_id     = "{id}"
      secret_access_key = "{secret}"
    }}
  }}
}}"#,
            kubeconfig = self.shared.cluster.kubeconfig_path(),
            id = credentials.id,
            secret = credentials.secret,
        )
    }

    pub fn target(&self, more: &str) -> String {
        let name = &self.name;
        format!(
            r#"{provider}

resource "dr_backup_target" "main" {{
  name  = "main"
  store = {{ s3 = "minio", bucket = "{name}", prefix = "volumes", credentials = "k8up_keys" }}
  k8up  = {{ cluster = "prod", namespace = "{name}", password = "k8up_repository" }}
  {more}
}}
"#,
            provider = self.provider(),
        )
    }

    pub fn configuration(&self, target: &str, schedule: &str) -> String {
        format!(
            r#"{target}

resource "dr_backup_schedule" "nightly" {{
  name      = "nightly"
  target    = dr_backup_target.main.ref
  cron      = "0 2 * * *"
  time_zone = "Pacific/Auckland"
  {schedule}
}}
"#,
            target = self.target(target),
        )
    }

    pub fn get(&self, api: &str, kind: &str, name: &str) -> Result<Value> {
        let found = self.shared.api().get(api, kind, &self.name, name)?;
        found.with_context(|| format!("{kind} {name} is not there"))
    }

    /// A target, a backup of everything in its namespace, and the points that there are.
    pub fn backed_up(&self, release: u32, more: &str) -> String {
        format!(
            r#"{target}

resource "dr_backup_job" "now" {{
  name     = "now"
  target   = dr_backup_target.main.ref
  triggers = {{ release = "{release}" }}
  verify   = "data"
  k8up     = {{ tags = ["release"] }}
}}

data "dr_recovery_points" "all" {{
  source     = dr_backup_target.main.ref
  depends_on = [dr_backup_job.now]
}}

output "points" {{
  value = data.dr_recovery_points.all.points
}}

{more}
"#,
            target = self.target(""),
        )
    }

    /// The real restic on the repository.
    pub fn restic(&self, arguments: &[&str]) -> Result<Output> {
        self.restic_in("volumes", arguments)
    }

    /// The same on the repository at another prefix.
    pub fn restic_in(&self, prefix: &str, arguments: &[&str]) -> Result<Output> {
        let output = Command::new(parts::RESTIC.get()?)
            .args(["--no-cache", "--no-lock", "--repo"])
            .arg(format!("s3:{}/{}/{prefix}", self.s3.endpoint, self.name))
            .args(arguments)
            .env("RESTIC_PASSWORD", PASSWORD)
            .env("AWS_ACCESS_KEY_ID", &self.s3.credentials.id)
            .env("AWS_SECRET_ACCESS_KEY", &self.s3.credentials.secret)
            .output()?;
        Ok(output)
    }

    /// What it lists.
    pub fn snapshots(&self) -> Result<Vec<Value>> {
        self.snapshots_in("volumes")
    }

    /// What it lists at another prefix.
    pub fn snapshots_in(&self, prefix: &str) -> Result<Vec<Value>> {
        let output = self.restic_in(prefix, &["snapshots", "--json"])?;
        ensure!(output.status.success(), "restic: {}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// The content of the only point is gone from the bucket; what describes it is still there.
    pub fn lose_content(&self) -> Result<()> {
        for key in self.s3.keys(&self.name, "volumes/data/")? {
            let pack = self.s3.get(&self.name, &key)?;
            self.s3.delete(&self.name, &key)?;
            if self.restic(&["ls", "latest"])?.status.success() {
                break;
            }
            self.s3.put(&self.name, &key, &pack)?;
        }
        Ok(())
    }

    /// Lets a configuration do what the guide lists, and nothing else.
    pub fn limited(&self, scene: &Scene) -> Result<impl Fn(&str) -> String + use<>> {
        let grants = rights_of_guide("k8up.md", 2, &self.name)?;
        self.shared.cluster.limit(&self.name, &grants, &scene.workspace.path("kubeconfig"))
    }

    pub fn schedule(&self) -> Result<Value> {
        self.get(K8up::API, "Schedule", "nightly")
    }

    pub fn is_ready(object: &Value) -> bool {
        let conditions = object["status"]["conditions"].as_array();
        let is = |condition: &Value| condition["type"] == "Ready" && condition["status"] == "True";
        conditions.is_some_and(|conditions| conditions.iter().any(is))
    }
}

fn a_target_and_its_schedule_are_made_in_one_apply_and_a_refresh_finds_nothing(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    scene.workspace.write(&world.configuration(TARGET, SCHEDULE))?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;

    // k8up's own parser took the line with its zone.
    let schedule = world.schedule()?;
    ensure!(World::is_ready(&schedule), "{schedule}");
    let spec = &schedule["spec"];
    ensure!(spec["backup"]["schedule"] == "CRON_TZ=Pacific/Auckland 0 2 * * *", "{spec}");
    ensure!(spec["check"]["schedule"] == "CRON_TZ=Pacific/Auckland @weekly", "{spec}");
    ensure!(spec["backup"]["tags"] == json!(["nightly"]), "{spec}");
    ensure!(spec["prune"]["retention"] == json!({ "keepLast": 3, "keepDaily": 7 }), "{spec}");
    ensure!(spec["backend"]["s3"]["bucket"] == format!("{}/volumes", world.name), "{spec}");
    let state = scene.workspace.attributes("dr_backup_schedule.nightly")?;
    ensure!(state["native"] == spec["backup"]["schedule"] && state["status"] == "ready", "{state}");
    ensure!(state["alert_rules"].as_str().is_some_and(|rules| rules.contains("k8up_jobs_failed_counter")), "{state}");
    // It is there before k8up's pods of several namespaces look for it in the same minute.
    ensure!(world.restic(&["cat", "config"])?.status.success(), "there is no repository");
    // The secrets are in the cluster and nowhere else.
    world.get("v1", "Secret", "dr-main")?;
    let written = std::fs::read_to_string(scene.workspace.state_file())?;
    ensure!(!written.contains(PASSWORD) && !written.contains(&world.s3.credentials.secret), "a secret is in the state");

    // A schedule that rests has nothing to run, and one that goes on has.
    let paused = world.configuration(TARGET, &format!("{SCHEDULE}\n  paused = true"));
    scene.workspace.write(&paused)?;
    scene.workspace.apply()?.ok()?;
    let spec = &world.schedule()?["spec"];
    let jobs = [&spec["backup"], &spec["prune"], &spec["check"]];
    ensure!(jobs.iter().all(|job| job.is_null()), "{spec}");
    scene.workspace.plan_is_empty()?;

    // What is left out of the configuration goes.
    let less = SCHEDULE.replace(", tags = [\"nightly\"]", "");
    scene.workspace.write(&world.configuration(TARGET, SCHEDULE))?;
    scene.workspace.apply()?.ok()?;
    ensure!(world.schedule()?["spec"]["backup"]["tags"] == json!(["nightly"]));
    scene.workspace.write(&world.configuration(TARGET, &less))?;
    scene.workspace.apply()?.ok()?;
    ensure!(world.schedule()?["spec"]["backup"]["tags"].is_null(), "{}", world.schedule()?);
    scene.workspace.plan_is_empty()?;

    scene.workspace.destroy()?.ok()?;
    ensure!(world.schedule().is_err() && world.get("v1", "Secret", "dr-main").is_err());
    Ok(())
}

fn what_somebody_changes_of_a_schedule_or_a_secret_is_seen_and_put_right(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    scene.workspace.write(&world.configuration(TARGET, SCHEDULE))?;
    scene.workspace.apply()?.ok()?;
    let api = world.shared.api();

    // Protection is switched off by hand, and points are removed sooner.
    let patch = json!({ "spec": { "backup": null, "prune": { "retention": { "keepDaily": 1 } } } });
    api.patch(K8up::API, "Schedule", &world.name, "nightly", &patch)?;
    scene.workspace.plan()?.ok()?.says(&["spec.backup", "keepDaily is 1, not 7"])?;
    ensure!(scene.workspace.planned("dr_backup_schedule.nightly")? == ["update"]);
    scene.workspace.apply()?.ok()?;
    let spec = &world.schedule()?["spec"];
    ensure!(!spec["backup"].is_null() && spec["prune"]["retention"]["keepDaily"] == 7, "{spec}");
    scene.workspace.plan_is_empty()?;

    // So it is by a selection that leaves everything out.
    let none = json!({ "spec": { "backup": { "labelSelectors": [{ "matchLabels": { "no": "thing" } }] } } });
    api.patch(K8up::API, "Schedule", &world.name, "nightly", &none)?;
    scene.workspace.plan()?.ok()?.says(&["spec.backup.labelSelectors is "])?;
    scene.workspace.apply()?.ok()?;
    ensure!(world.schedule()?["spec"]["backup"].get("labelSelectors").is_none());
    scene.workspace.plan_is_empty()?;

    // The Secret holds another password: it is stale, and nobody is shown either of them.
    let another = "canary-another-password-1f";
    api.patch("v1", "Secret", &world.name, "dr-main", &json!({ "stringData": { "password": another } }))?;
    scene.workspace.plan()?.ok()?.says(&["stale"])?.never_says(&[PASSWORD, another])?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;

    // Both are gone.
    api.delete("v1", "Secret", &world.name, "dr-main")?;
    api.delete(K8up::API, "Schedule", &world.name, "nightly")?;
    scene.workspace.plan()?.ok()?;
    ensure!(scene.workspace.planned("dr_backup_target.main")? == ["create"]);
    ensure!(scene.workspace.planned("dr_backup_schedule.nightly")? == ["create"]);
    scene.workspace.apply()?.ok()?;
    world.get("v1", "Secret", "dr-main")?;
    ensure!(World::is_ready(&world.schedule()?));
    scene.workspace.plan_is_empty()
}

fn what_k8up_can_not_say_is_an_error_while_planning(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let good = world.configuration(TARGET, SCHEDULE);
    let swaps: [(&str, &str, &[&str]); 9] = [
        ("keep_last = 3, keep_daily = 7", "keep_last = 3", &["Retention that k8up can't keep", "14"]),
        ("keep_last = 3, keep_daily = 7", "keep_within = \"30d\"", &["knows no age", "keep_daily = 30"]),
        ("keep_last = 3, keep_daily = 7", "keep_all = true", &["Nothing to prune"]),
        ("prune = { cron = \"0 5 * * 0\" }, ", "", &["Retention without a time"]),
        ("retention = { keep_last = 3, keep_daily = 7 }", "", &["Nothing to prune by"]),
        ("0 5 * * 0", "0 5 * *", &["Unusable cron line"]),
        ("Pacific/Auckland", "Pacific/Aukland", &["Aukland"]),
        (", credentials = \"k8up_keys\"", "", &["A store without a key"]),
        ("region            = ", "session_token = \"t\"\n      region = ", &[]),
    ];
    for (from, to, expected) in swaps {
        ensure!(good.contains(from), "{from} is not in the configuration");
        scene.workspace.write(&good.replace(from, to))?;
        let run = scene.workspace.plan()?;
        if expected.is_empty() {
            run.ok()?
        } else {
            run.fails(expected)?
        };
    }
    // k8up keeps by repository and namespace, whichever schedule says so.
    let second = good.split("resource \"dr_backup_schedule\"").nth(1).context("there is a schedule")?;
    let second = second.replace("nightly", "weekly").replace("keep_daily = 7", "keep_daily = 30");
    scene.workspace.write(&format!("{good}resource \"dr_backup_schedule\"{second}"))?;
    scene.workspace.plan()?.fails(&["Two policies on one scope", "k8up repository"])?;
    // A token matters only where k8up is to use it.
    let token = good.replace("region            = ", "session_token = \"t\"\n      region = ");
    scene.workspace.write(&token.replace("credentials = \"k8up_keys\"", "credentials = \"connection\""))?;
    scene.workspace.plan()?.fails(&["k8up takes no session token"])?;
    // Nothing is removed without retention, and who writes that is told.
    let without = "k8up = { check = { cron = \"@weekly\" } }";
    scene.workspace.write(&world.configuration(TARGET, without))?;
    scene.workspace.plan()?.ok()?.says(&["Nothing is ever removed"])?;
    Ok(())
}

pub fn restore(arguments: &str, block: &str) -> String {
    format!(
        r#"resource "dr_restore_job" "data" {{
  name          = "data"
  source        = dr_backup_target.main.ref
  safety_backup = false
  {arguments}
  k8up          = {{ {block} }}
}}
"#
    )
}

pub fn schedule(more: &str) -> String {
    format!(
        r#"resource "dr_backup_schedule" "nightly" {{
  name   = "nightly"
  target = dr_backup_target.main.ref
  cron   = "0 2 * * *"
  {SCHEDULE}
  {more}
}}
"#
    )
}

fn a_backup_stores_the_bytes_of_a_claim_and_a_restore_brings_them_back_once(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let folder = world.shared.node.claim(&world.name, "data")?;
    fs::create_dir(folder.join("deep"))?;
    fs::write(folder.join("deep/file"), "precious")?;
    scene.workspace.write(&world.backed_up(1, ""))?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;

    let snapshots = world.snapshots()?;
    ensure!(snapshots.len() == 1 && snapshots[0]["hostname"] == world.name.as_str(), "{snapshots:?}");
    ensure!(snapshots[0]["paths"] == json!(["/data/data"]), "{snapshots:?}");
    let job = scene.workspace.attributes("dr_backup_job.now")?;
    ensure!(job["result"]["outcome"] == "stored" && job["result"]["point"]["id"] == snapshots[0]["id"], "{job}");
    ensure!(job["result"]["bytes"] == 8 && job["result"]["items"] == 1, "{job}");
    let points = scene.workspace.attributes("data.dr_recovery_points.all")?;
    let point = &points["points"][0];
    ensure!(point["id"] == snapshots[0]["id"] && point["namespaces"] == json!([world.name]), "{points}");
    ensure!(point["volumes"][0]["claim"] == "data", "{points}");

    // The volume is there, and what was in it is not what it was.
    fs::remove_dir_all(folder.join("deep"))?;
    fs::write(folder.join("other"), "stays")?;
    let always = "when     = \"always\"\n  triggers = { try = \"1\" }";
    scene.workspace.write(&world.backed_up(1, &restore(always, "pvc = \"data\"")))?;
    scene.workspace.apply()?.ok()?;
    ensure!(fs::read_to_string(folder.join("deep/file"))? == "precious");
    ensure!(fs::read_to_string(folder.join("other"))? == "stays");
    let job = scene.workspace.attributes("dr_restore_job.data")?;
    ensure!(job["result"]["outcome"] == "restored" && job["result"]["bytes"] == 8, "{job}");
    scene.workspace.plan_is_empty()?;

    // Once: neither applying again nor a lost state runs it again, and neither does it when k8up's objects are gone.
    fs::write(folder.join("deep/file"), "newer")?;
    for kind in ["Backup", "Restore"] {
        let all = world.shared.api().list(K8up::API, kind, &world.name)?;
        ensure!(!all.is_empty(), "there is no {kind}");
        for object in all {
            let name = object["metadata"]["name"].as_str().context("a name")?;
            world.shared.api().delete_and_wait(K8up::API, kind, &world.name, name)?;
        }
    }
    let jobs = || Ok(world.shared.api().list("batch/v1", "Job", &world.name)?.is_empty().then_some(()));
    wait_for("k8up's Jobs to go with them", MINUTE, jobs)?;
    scene.workspace.apply()?.ok()?;
    ensure!(world.snapshots()?.len() == 1, "it was backed up again");
    fs::remove_file(scene.workspace.state_file())?;
    scene.workspace.apply()?.ok()?;
    ensure!(fs::read_to_string(folder.join("deep/file"))? == "newer", "it was restored again");

    // With `extra = "delete"` the volume is what it was, by a new trigger.
    let again = "when     = \"always\"\n  triggers = { try = \"2\" }";
    let first =
        format!("{again}\n  recovery_point = {{ id = \"{}\" }}", snapshots[0]["id"].as_str().unwrap_or_default());
    let block = "pvc = \"data\", extra = \"delete\"";
    scene.workspace.write(&world.backed_up(1, &restore(&first, block)))?;
    scene.workspace.apply()?.ok()?;
    ensure!(fs::read_to_string(folder.join("deep/file"))? == "precious");
    ensure!(!folder.join("other").exists(), "what the point does not hold is still there");
    scene.workspace.plan_is_empty()
}

fn two_namespaces_begin_at_once_with_one_new_repository(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let namespaces = [world.name.clone(), world.shared.namespace("k8up-beside")?];
    for namespace in &namespaces {
        fs::write(world.shared.node.claim(namespace, "data")?.join("file"), namespace)?;
        world.shared.node.hold(namespace);
    }
    let backed_up =
        world.backed_up(1, "").replace("depends_on = [dr_backup_job.now]", "depends_on = [dr_backup_job.beside]");
    let beside = format!(
        r#"
resource "dr_backup_target" "beside" {{
  name  = "beside"
  store = {{ s3 = "minio", bucket = "{bucket}", prefix = "volumes", credentials = "k8up_keys" }}
  k8up  = {{ cluster = "prod", namespace = "{namespace}", password = "k8up_repository" }}
}}

resource "dr_backup_job" "beside" {{
  name   = "beside"
  target = dr_backup_target.beside.ref
  k8up   = {{}}
}}
"#,
        bucket = world.name,
        namespace = namespaces[1],
    );
    scene.workspace.write(&format!("{backed_up}{beside}"))?;
    let apply = scene.workspace.start_apply()?;
    for namespace in &namespaces {
        let pods = || Ok(world.shared.api().list("v1", "Pod", namespace)?.into_iter().next());
        wait_for("a pod of each", MINUTE * 2, pods)?;
    }
    namespaces.iter().for_each(|namespace| world.shared.node.release(namespace));
    apply.wait()?.ok()?;
    let mut hosts: Vec<_> = world.snapshots()?.iter().map(|snapshot| snapshot["hostname"].clone()).collect();
    hosts.sort_by_key(Value::to_string);
    hosts.dedup();
    ensure!(hosts.len() == 2, "{hosts:?}");
    scene.workspace.plan_is_empty()
}

fn a_claim_comes_back_in_another_namespace_where_it_is_made(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let folder = world.shared.node.claim(&world.name, "data")?;
    fs::write(folder.join("file"), "precious")?;
    scene.workspace.write(&world.backed_up(1, ""))?;
    scene.workspace.apply()?.ok()?;

    let drill = world.shared.namespace("k8up-drill")?;
    let block = format!("namespace = \"{drill}\", pvc = \"copy\", source_pvc = \"data\"");
    scene.workspace.write(&world.backed_up(1, &restore("", &block)))?;
    scene.workspace.apply()?.fails(&["PersistentVolumeClaim", "copy", "capacity"])?;
    let block = format!("{block}, capacity = \"1Gi\", storage_class_name = \"{STORAGE_CLASS}\"");
    scene.workspace.write(&world.backed_up(1, &restore("", &block)))?;
    scene.workspace.apply()?.ok()?;
    let copy = world.shared.node.volume(&drill, "copy")?;
    ensure!(fs::read_to_string(copy.join("file"))? == "precious");
    let secrets = world.shared.api().list("v1", "Secret", &drill)?;
    ensure!(secrets.is_empty(), "a Secret is left behind: {secrets:?}");
    scene.workspace.plan_is_empty()
}

fn a_schedule_does_not_store_a_new_volume_over_older_points(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let folder = world.shared.node.claim(&world.name, "data")?;
    fs::write(folder.join("file"), "precious")?;
    scene.workspace.write(&world.backed_up(1, ""))?;
    scene.workspace.apply()?.ok()?;

    // The volume is lost, and an application has made an empty one. Times of claims are whole seconds.
    // Pods that are done still hold it.
    for backup in world.shared.api().list(K8up::API, "Backup", &world.name)? {
        let name = backup["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        world.shared.api().delete_and_wait(K8up::API, "Backup", &world.name, &name)?;
    }
    world.shared.api().delete_and_wait("v1", "PersistentVolumeClaim", &world.name, "data")?;
    std::thread::sleep(Duration::from_secs(2));
    world.shared.node.claim(&world.name, "data")?;
    scene.workspace.write(&world.backed_up(1, &schedule("")))?;
    scene.workspace.apply()?.fails(&["older recovery point", "first_backup"])?;
    ensure!(world.schedule().is_err(), "a schedule was made");
    // A backup job refuses as well.
    scene.workspace.write(&world.backed_up(2, ""))?;
    scene.workspace.apply()?.fails(&["older recovery point", "first_backup"])?;
    ensure!(world.snapshots()?.len() == 1);

    // What a restore has filled is no news.
    let always = restore("when = \"always\"", "pvc = \"data\"");
    let more = format!("{always}{}", schedule("after = dr_restore_job.data.ref"));
    scene.workspace.write(&world.backed_up(1, &more))?;
    scene.workspace.apply()?.ok()?;
    ensure!(World::is_ready(&world.schedule()?));
    scene.workspace.plan_is_empty()
}

fn what_restic_could_not_restore_is_an_error_though_k8up_calls_it_a_success(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let folder = world.shared.node.claim(&world.name, "data")?;
    fs::write(folder.join("file"), "precious bytes that are in a pack of their own")?;
    scene.workspace.write(&world.backed_up(1, ""))?;
    scene.workspace.apply()?.ok()?;
    world.lose_content()?;
    fs::remove_file(folder.join("file"))?;
    let job = restore("when = \"always\"", "pvc = \"data\"");
    scene.workspace.write(&world.backed_up(1, &job))?;
    scene.workspace.apply()?.fails(&["succeeded by its own word", "restic in its pod failed"])?;
    ensure!(!folder.join("file").exists());
    Ok(())
}

/// A PodConfig whose restic may read no more than its user, so that a file can be kept from it.
fn without_all_rights(scene: &Scene, world: &World) -> Result<()> {
    let restic = parts::RESTIC.get()?;
    // k8up's pods have a /tmp of their own.
    let program = restic.with_file_name("restic-without-all-rights");
    let rights = "--bounding-set=-dac_override,-dac_read_search --inh-caps=-dac_override,-dac_read_search";
    let written = scene.workspace.path("restic");
    fs::write(&written, format!("#!/bin/sh\nexec setpriv {rights} {} \"$@\"\n", restic.display()))?;
    fs::set_permissions(&written, fs::Permissions::from_mode(0o755))?;
    // Scenarios of both CLIs run at once.
    let beside = restic.with_file_name(format!("{}.new", world.name));
    fs::copy(&written, &beside)?;
    fs::rename(&beside, &program)?;
    let restic = json!({ "name": "RESTIC_BINARY", "value": program });
    world.shared.api().apply(&json!({
        "apiVersion": K8up::API,
        "kind": "PodConfig",
        "metadata": { "name": "limited", "namespace": world.name },
        "spec": { "template": { "spec": { "containers": [{ "name": "any", "env": [restic] }] } } },
    }))?;
    Ok(())
}

fn what_restic_could_not_read_is_an_error_though_k8up_calls_it_a_success(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    without_all_rights(scene, &world)?;
    let folder = world.shared.node.claim(&world.name, "data")?;
    fs::write(folder.join("file"), "precious")?;
    fs::write(folder.join("kept away"), "from restic")?;
    let keep_away = |mode: u32| fs::set_permissions(folder.join("kept away"), fs::Permissions::from_mode(mode));
    let limited = |release, more: &str| {
        world.backed_up(release, more).replace("tags = [\"release\"]", "tags = [\"release\"], pod_config = \"limited\"")
    };
    keep_away(0o000)?;
    scene.workspace.write(&limited(1, ""))?;
    let told = ["restic could not read all of it", "/data/data/kept away", "What was stored is kept"];
    scene.workspace.apply()?.fails(&told)?;
    ensure!(world.snapshots()?.len() == 1, "what could be read was not stored");
    keep_away(0o600)?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;

    // A rollback would remove what the safety backup does not hold.
    keep_away(0o000)?;
    fs::write(folder.join("file"), "in use")?;
    let job = restore("when = \"always\"\n  on_failure = \"roll_back\"", "pvc = \"data\", pod_config = \"limited\"")
        .replace("safety_backup = false", "");
    scene.workspace.write(&limited(1, &job))?;
    scene.workspace.apply()?.fails(&["restic could not read all of the claim", "/data/data/kept away"])?;
    ensure!(fs::read_to_string(folder.join("file"))? == "in use", "it was overwritten");
    keep_away(0o600)?;
    scene.workspace.apply()?.ok()?;
    ensure!(fs::read_to_string(folder.join("file"))? == "precious");
    Ok(())
}

fn a_claim_that_k8up_passes_over_is_an_error(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let api = world.shared.api();
    let folder = world.shared.node.claim(&world.name, "data")?;
    fs::write(folder.join("file"), "precious")?;
    api.apply(&json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": "alone", "namespace": world.name },
        "spec": {
            "accessModes": ["ReadWriteOncePod"],
            "resources": { "requests": { "storage": "1Gi" } },
            "storageClassName": STORAGE_CLASS,
        },
    }))?;
    let alone = world.shared.node.volume(&world.name, "alone")?;
    fs::write(alone.join("file"), "passed over")?;
    let last = world.backed_up(1, "").replace("verify   =", "on       = [\"create\", \"destroy\"]\n  verify   =");
    scene.workspace.write(&last)?;
    scene.workspace.apply()?.fails(&["k8up stored nothing of alone", "k8up.io/backup", "What was stored is kept"])?;

    let annotated = |word: &str| {
        let annotation = json!({ "metadata": { "annotations": { "k8up.io/backup": word } } });
        api.patch("v1", "PersistentVolumeClaim", &world.name, "alone", &annotation).map(drop)
    };
    annotated("true")?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    // The last backup is the one that counts most.
    let nobody = json!({ "metadata": { "annotations": { "k8up.io/backup": null } } });
    api.patch("v1", "PersistentVolumeClaim", &world.name, "alone", &nobody)?;
    scene.workspace.destroy()?.fails(&["k8up stored nothing of alone"])?;
    annotated("false")?;
    scene.workspace.destroy()?.ok()?;
    Ok(())
}

fn what_a_killed_run_left_goes_with_its_job(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let api = world.shared.api();
    let folder = world.shared.node.claim(&world.name, "data")?;
    fs::write(folder.join("file"), "precious")?;
    let drill = world.shared.namespace("k8up-drill")?;
    let block = format!(
        "namespace = \"{drill}\", pvc = \"copy\", source_pvc = \"data\", capacity = \"1Gi\", storage_class_name = \
         \"{STORAGE_CLASS}\""
    );
    let job = |try_: &str| {
        let always = format!("when     = \"always\"\n  triggers = {{ try = \"{try_}\" }}");
        world.backed_up(1, &restore(&always, &block))
    };
    scene.workspace.write(&world.backed_up(1, ""))?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.write(&job("1"))?;
    scene.workspace.apply()?.ok()?;
    let known = api.list(K8up::API, "Restore", &drill)?.len();

    scene.workspace.write(&job("2"))?;
    world.shared.node.hold(&drill);
    let mut apply = scene.workspace.start_apply()?;
    let restores = || api.list(K8up::API, "Restore", &drill);
    wait_for("a Restore", MINUTE * 2, || Ok(restores()?.into_iter().nth(known)))?;
    apply.kill_all()?;
    ensure!(api.list("v1", "Secret", &drill)?.len() == 1);
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "6");
    scene.workspace.write(&world.backed_up(1, ""))?;
    scene.workspace.apply()?.ok()?;
    ensure!(api.list("v1", "Secret", &drill)?.is_empty(), "the password is left behind");
    ensure!(restores()?.len() == known, "it is left behind: {:?}", restores()?);
    world.shared.node.release(&drill);
    Ok(())
}

fn a_volume_in_use_is_restored_only_with_its_application_down_and_its_schedule_resting(
    scene: &mut Scene,
) -> Result<()> {
    let world = World::new(scene)?;
    let api = world.shared.api();
    let folder = world.shared.node.claim(&world.name, "data")?;
    fs::write(folder.join("file"), "precious")?;
    application(api, &world.name)?;
    let nightly = schedule("first_backup = \"allow\"");
    scene.workspace.write(&world.backed_up(1, &nightly))?;
    scene.workspace.apply()?.ok()?;
    let before = world.schedule()?["spec"].clone();
    let generation = |api: &str, kind: &str, name: &str| {
        world.get(api, kind, name).map(|found| found["metadata"]["generation"].clone())
    };
    let untouched = (generation(K8up::API, "Schedule", "nightly")?, generation("apps/v1", "Deployment", "web")?);
    let is_untouched = || -> Result<()> {
        let now = (generation(K8up::API, "Schedule", "nightly")?, generation("apps/v1", "Deployment", "web")?);
        ensure!(now == untouched, "something was changed: {now:?}, was {untouched:?}");
        Ok(())
    };

    fs::write(folder.join("file"), "spoilt")?;
    let job = restore("when = \"always\"", "pvc = \"data\"");
    scene.workspace.write(&world.backed_up(1, &format!("{nightly}{job}")))?;
    scene.workspace.apply()?.fails(&["is in use by pod web-", "quiesce.scale_down"])?;
    is_untouched()?;
    ensure!(fs::read_to_string(folder.join("file"))? == "spoilt");

    // Beside what is to be taken down there is a pod that nobody named.
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "reader", "namespace": world.name },
        "spec": {
            "nodeSelector": { "nowhere": "true" },
            "containers": [{ "name": "reader", "image": "reader" }],
            "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": "data" } }],
        },
    });
    api.apply(&pod)?;
    let job = restore("when = \"always\"\n  quiesce = { scale_down = [\"deployment/web\"] }", "pvc = \"data\"");
    scene.workspace.write(&world.backed_up(1, &format!("{nightly}{job}")))?;
    scene.workspace.apply()?.fails(&["is in use by pod reader:"])?.never_says(&["pod web-"])?;
    is_untouched()?;
    api.delete_and_wait("v1", "Pod", &world.name, "reader")?;

    scene.workspace.apply()?.ok()?;
    ensure!(fs::read_to_string(folder.join("file"))? == "precious");
    ensure!(world.schedule()?["spec"] == before, "the schedule still rests: {}", world.schedule()?);
    ensure!(world.get("apps/v1", "Deployment", "web")?["spec"]["replicas"] == 1);
    let records = api.list("v1", "ConfigMap", &world.name)?;
    let paused = |record: &Value| {
        let text = record["data"]["record.json"].as_str().unwrap_or_default();
        text.contains("pause_schedule") && text.contains("schedule.k8up.io/nightly")
    };
    ensure!(records.iter().any(paused), "nothing says that the schedule rested: {records:?}");
    scene.workspace.plan_is_empty()
}
