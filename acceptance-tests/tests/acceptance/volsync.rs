//! VolSync's targets, schedules and restores, on a real API server with the real VolSync, whose movers move real bytes.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use acceptance_tests::parts;
use acceptance_tests::servers::S3;
use acceptance_tests::servers::kubernetes::{
    Cluster, Node, STORAGE_CLASS, Shared, VolSync, rights_of_guide, shared, wait_for,
};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::scene::{PASSWORD, Scene};

both_clis!(
    a_claim_is_backed_up_by_one_apply_and_its_points_are_listed,
    what_somebody_changes_is_seen_and_put_right,
    what_volsync_can_not_say_is_an_error_while_planning,
    a_secret_that_something_else_makes_is_waited_for_and_never_written,
    something_new_is_not_stored_over_older_points,
    an_older_point_is_restored_in_place_once_while_nothing_uses_the_claim,
    a_claim_that_is_lost_is_made_and_filled_before_its_schedule_begins,
    one_apply_installs_what_its_target_restore_and_schedule_wait_for,
    a_restore_without_its_crd_makes_no_claim,
    a_repository_without_points_never_becomes_an_empty_volume,
    m6_a_repository_that_vanished_is_not_made_anew,
    m11_a_claim_that_somebody_made_anew_is_told_of,
    a_backup_job_stores_one_point_and_removes_none,
    a_backup_job_leaves_the_schedule_beside_it_alone_and_stores_again_what_that_removed,
    a_restore_that_fails_half_way_is_rolled_back_to_what_was_there,
    a_run_whose_process_is_killed_is_taken_over_by_the_next_apply,
    nothing_is_stored_of_a_claim_while_it_is_restored,
    what_a_killed_run_left_goes_with_its_job,
    a_password_that_is_in_no_state_is_written_with_its_version,
    m23_a_target_and_its_schedule_go_from_one_engine_to_another,
    an_import_needs_no_change,
    what_others_made_is_imported_and_left_as_it_is,
    what_was_imported_and_never_applied_goes_with_its_resource,
);

pub const MINUTE: Duration = Duration::from_secs(60);

/// What a scenario works with: names of its own on the shared servers.
pub struct World {
    /// The servers.
    pub shared: &'static Shared,
    /// The bucket's server.
    pub s3: &'static S3,
    /// Of the namespace, the bucket and the objects.
    pub name: String,
    /// What is in the claim.
    pub folder: PathBuf,
}

impl World {
    /// VolSync runs, there is a claim with a file, and an empty bucket.
    pub fn new(scene: &mut Scene) -> Result<Self> {
        let shared = shared()?;
        shared.volsync()?;
        let s3 = &shared.minio()?.s3;
        let name = shared.namespace("vs")?;
        s3.create_bucket(&name)?;
        let folder = shared.node.claim(&name, "data")?;
        fs::write(folder.join("file"), "precious")?;
        scene.workspace.set("DR_SECRET_KEYS", format!("{}:{}", s3.credentials.id, s3.credentials.secret));
        Ok(World { shared, s3, name, folder })
    }

    /// Lets a configuration do what the guide lists, and nothing else.
    pub fn limited(&self, scene: &Scene) -> Result<impl Fn(&str) -> String + use<>> {
        let grants = rights_of_guide("volsync.md", 2, &self.name)?;
        self.shared.cluster.limit(&self.name, &grants, &scene.workspace.path("kubeconfig"))
    }

    /// With its connections.
    pub fn provider(&self) -> String {
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
}}
"#,
            kubeconfig = self.shared.cluster.kubeconfig_path(),
            endpoint = self.s3.endpoint,
            region = self.s3.region,
            id = self.s3.credentials.id,
            secret = self.s3.credentials.secret,
        )
    }

    /// A target.
    pub fn target(&self) -> String {
        format!(
            r#"{provider}
resource "dr_backup_target" "main" {{
  name    = "docs"
  store   = {{ s3 = "minio", bucket = "{name}", prefix = "docs", credentials = "keys" }}
  volsync = {{ cluster = "prod", namespace = "{name}", password = "docs_repo" }}
}}
"#,
            provider = self.provider(),
            name = self.name,
        )
    }

    /// A target with a schedule, as people write them; `more` goes into the schedule.
    pub fn configuration(&self, more: &str) -> String {
        format!(
            r#"{target}
resource "dr_backup_schedule" "hourly" {{
  name      = "hourly"
  target    = dr_backup_target.main.ref
  cron      = "17 3 * * MON-FRI"
  retention = {{ keep_last = 3, keep_daily = 7, keep_within = "30d" }}
  volsync   = {{ pvc = "data", copy_method = "Snapshot", cache_capacity = "1Gi", prune_interval_days = 14 }}
  {more}
}}
"#,
            target = self.target(),
        )
    }

    /// An object of VolSync's, or a Secret.
    pub fn get(&self, kind: &str, name: &str) -> Result<Value> {
        let api = if kind == "Secret" { "v1" } else { VolSync::API };
        let found = self.shared.api().get(api, kind, &self.name, name)?;
        found.with_context(|| format!("{kind} {name} is not there"))
    }

    /// Waits until the source ran, after the time that it ran last.
    pub fn synced(&self, after: &Value) -> Result<Value> {
        let done = |object: &Value| {
            let time = &object["status"]["lastSyncTime"];
            time.is_string() && time != after
        };
        let api = self.shared.api();
        let trouble = || format!("{:?}\n{}", self.shared.node.trouble(), self.log());
        api.wait(VolSync::API, "ReplicationSource", &self.name, "hourly", MINUTE * 2, done).with_context(trouble)
    }

    /// Another backup, as somebody triggers it by hand.
    pub fn back_up_again(&self) -> Result<()> {
        let (api, trigger) = (self.shared.api(), json!({ "spec": { "trigger": { "manual": "again" } } }));
        api.patch(VolSync::API, "ReplicationSource", &self.name, "hourly", &trigger)?;
        let done = |object: &Value| object["status"]["lastManualSync"] == "again";
        api.wait(VolSync::API, "ReplicationSource", &self.name, "hourly", MINUTE * 2, done).map(drop)
    }

    /// A job that restores the claim; `engine` goes into its block, `more` beside it.
    fn restore(&self, engine: &str, more: &str) -> String {
        format!(
            r#"
resource "dr_restore_job" "docs" {{
  name    = "docs"
  source  = dr_backup_target.main.ref
  volsync = {{ pvc = "data" {engine} }}
  {more}
}}
"#
        )
    }

    /// What restores.
    pub fn destinations(&self) -> Result<Vec<Value>> {
        self.shared.api().list(VolSync::API, "ReplicationDestination", &self.name)
    }

    /// What VolSync logged.
    pub fn log(&self) -> String {
        self.shared.volsync().map(|volsync| volsync.controller.log()).unwrap_or_default()
    }

    /// What the real restic lists.
    pub fn snapshots(&self) -> Result<Vec<Value>> {
        self.snapshots_in("docs")
    }

    /// The same below another prefix.
    pub fn snapshots_in(&self, prefix: &str) -> Result<Vec<Value>> {
        Ok(serde_json::from_slice(&self.restic(prefix, &["snapshots", "--json", "--no-lock"])?)?)
    }

    /// What the real restic prints of the repository below a prefix.
    fn restic(&self, prefix: &str, arguments: &[&str]) -> Result<Vec<u8>> {
        self.restic_with(PASSWORD, prefix, arguments)
    }

    fn restic_with(&self, password: &str, prefix: &str, arguments: &[&str]) -> Result<Vec<u8>> {
        let run = Command::new(parts::RESTIC.get()?)
            .args(["-r", &format!("s3:{}/{}/{prefix}", self.s3.endpoint, self.name)])
            .args(arguments)
            .env("RESTIC_PASSWORD", password)
            .env("AWS_ACCESS_KEY_ID", &self.s3.credentials.id)
            .env("AWS_SECRET_ACCESS_KEY", &self.s3.credentials.secret)
            .output()?;
        ensure!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
        Ok(run.stdout)
    }
}

fn a_claim_is_backed_up_by_one_apply_and_its_points_are_listed(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let configuration = world.configuration("");
    scene.workspace.write(&configuration)?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;

    let source = world.synced(&Value::Null)?;
    let spec = &source["spec"];
    ensure!(spec["sourcePVC"] == "data" && spec["paused"] == false, "{spec}");
    ensure!(spec["trigger"] == json!({ "schedule": "17 3 * * 1,2,3,4,5" }), "{spec}");
    ensure!(spec["restic"]["retain"] == json!({ "last": "3", "daily": 7, "within": "30d" }), "{spec}");
    let state = scene.workspace.attributes("dr_backup_schedule.hourly")?;
    ensure!(state["native"] == "17 3 * * 1,2,3,4,5" && state["cron"] == "17 3 * * MON-FRI", "{state}");
    ensure!(state["alert_rules"].as_str().is_some_and(|rules| rules.contains("volsync_volume_out_of_sync")));
    let snapshots = world.snapshots()?;
    ensure!(snapshots.len() == 1, "{snapshots:?}");

    let listing = "data \"dr_recovery_points\" \"docs\" {\n  source = dr_backup_target.main.ref\n}\n\
                   output \"points\" {\n  value = data.dr_recovery_points.docs\n}\n";
    scene.workspace.write(&format!("{configuration}{listing}"))?;
    scene.workspace.apply()?.ok()?;
    let state = scene.workspace.state()?;
    let points = &state["values"]["outputs"]["points"]["value"];
    ensure!(points["readable"] == true && points["total"] == 1, "{points}");
    ensure!(points["points"][0]["id"] == snapshots[0]["id"], "{points}");
    scene.workspace.plan_is_empty()?;

    // The password is in the cluster and nowhere else.
    let written = fs::read_to_string(scene.workspace.state_file())?;
    ensure!(!written.contains(PASSWORD), "the state holds the password");
    ensure!(world.folder.join("file").exists());

    scene.workspace.destroy()?.ok()?;
    ensure!(world.get("ReplicationSource", "hourly").is_err());
    ensure!(world.get("Secret", "dr-docs").is_err());
    ensure!(world.snapshots()?.len() == 1, "a destroy keeps what is stored");
    Ok(())
}

fn what_somebody_changes_is_seen_and_put_right(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    scene.workspace.write(&world.configuration(""))?;
    scene.workspace.apply()?.ok()?;
    world.synced(&Value::Null)?;
    let api = world.shared.api();
    let change = |spec: Value| {
        api.patch(VolSync::API, "ReplicationSource", &world.name, "hourly", &json!({ "spec": spec })).map(drop)
    };

    // Protection is switched off in three ways, by hand.
    change(json!({ "paused": true, "trigger": { "manual": "once" }, "restic": { "retain": { "daily": 1 } } }))?;
    let seen = ["spec.paused is true, not false", "retain.daily is 1, not 7", "once", "and may not be set"];
    scene.workspace.plan()?.ok()?.says(&seen)?;
    scene.workspace.apply()?.ok()?;
    let spec = world.get("ReplicationSource", "hourly")?["spec"].clone();
    ensure!(spec["paused"] == false && spec["restic"]["retain"]["daily"] == 7, "{spec}");
    ensure!(spec["trigger"] == json!({ "schedule": "17 3 * * 1,2,3,4,5" }), "{spec}");
    scene.workspace.plan_is_empty()?;

    // What others set beside ours is theirs.
    change(json!({ "restic": { "unlock": "now" } }))?;
    scene.workspace.plan_is_empty()?;

    // The Secret holds something else, and then it is gone.
    let wrong = json!({ "stringData": { "RESTIC_PASSWORD": "canary-wrong-password-77" } });
    api.patch("v1", "Secret", &world.name, "dr-docs", &wrong)?;
    scene.workspace.plan()?.ok()?.says(&["stale"])?.never_says(&["canary-wrong-password-77", PASSWORD])?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    api.delete("v1", "Secret", &world.name, "dr-docs")?;
    // Each time that VolSync finds none, it waits longer before it looks again.
    let touched = json!({ "metadata": { "annotations": { "test/touched": "once" } } });
    api.patch(VolSync::API, "ReplicationSource", &world.name, "hourly", &touched)?;
    std::thread::sleep(Duration::from_secs(6));
    let status = world.get("ReplicationSource", "hourly")?["status"].to_string();
    ensure!(status.contains("Secret \\\"dr-docs\\\" not found"), "{status}");
    scene.workspace.plan()?.ok()?;
    ensure!(scene.workspace.planned("dr_backup_target.main")? == ["create"]);
    scene.workspace.apply()?.ok()?.never_says(&["About ReplicationSource"])?;
    world.get("Secret", "dr-docs")?;
    scene.workspace.plan_is_empty()
}

fn what_volsync_can_not_say_is_an_error_while_planning(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let good = world.configuration("");
    let retention = "{ keep_last = 3, keep_daily = 7, keep_within = \"30d\" }";
    let swaps: [(&str, &str, &[&str]); 9] = [
        (retention, "{ keep_all = true }", &["Retention that VolSync can't keep", "keep_within = \"100y\""]),
        (&format!("retention = {retention}"), "", &["keeps only the newest snapshot"]),
        ("cron      =", "time_zone = \"Europe/Berlin\"\n  cron =", &["VolSync knows no time zones"]),
        ("\"Snapshot\"", "\"None\"", &["Unknown word", "\"Direct\""]),
        (", credentials = \"keys\"", "", &["A store without a key"]),
        (", password = \"docs_repo\"", "", &["A repository without a password"]),
        ("password = \"docs_repo\"", "password_wo = \"x\"", &["password_wo_version"]),
        ("s3 = \"minio\", bucket", "local = { path = \"/srv\" }, s3 = \"minio\", bucket", &["two places"]),
        (
            "password = \"docs_repo\"",
            "password = \"docs_repo\", existing_secret = { name = \"x\" }",
            &["Two forms of credentials"],
        ),
    ];
    for (from, to, expected) in swaps {
        ensure!(good.contains(from), "{from} is not in the configuration");
        scene.workspace.write(&good.replace(from, to))?;
        scene.workspace.plan()?.fails(expected)?;
    }
    // Nobody can look into a claim.
    let emptied = world.restore("", "when = \"target_missing_or_empty\"");
    scene.workspace.write(&format!("{good}{emptied}"))?;
    scene.workspace.plan()?.fails(&["It can't be told whether the target is empty", "use `target_missing`"])?;
    // Two sources of one repository would remove each other's snapshots.
    let second = good.split("resource \"dr_backup_schedule\"").nth(1).context("there is a schedule")?;
    let second = second.replace("\"hourly\"", "\"daily\"");
    scene.workspace.write(&format!("{good}resource \"dr_backup_schedule\"{second}"))?;
    scene.workspace.plan()?.fails(&["Two policies on one scope"])?;
    Ok(())
}

/// A Secret of the repository that something else makes.
fn foreign_secret(world: &World, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": name, "namespace": world.name },
        "stringData": {
            "RESTIC_REPOSITORY": format!("s3:{}/{}/docs", world.s3.endpoint, world.name),
            "RESTIC_PASSWORD": PASSWORD,
            "AWS_ACCESS_KEY_ID": world.s3.credentials.id,
            "AWS_SECRET_ACCESS_KEY": world.s3.credentials.secret,
        },
    })
}

fn a_secret_that_something_else_makes_is_waited_for_and_never_written(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let existing = world
        .configuration("")
        .replace(", credentials = \"keys\"", "")
        .replace("password = \"docs_repo\"", "existing_secret = { name = \"repository\" }");
    scene.workspace.write(&existing)?;
    let apply = scene.workspace.start_apply()?;
    std::thread::sleep(Duration::from_secs(3));
    world.shared.api().apply_as("external-secrets", &foreign_secret(&world, "repository"))?;
    apply.wait()?.ok()?;
    scene.workspace.plan_is_empty()?;
    let source = world.synced(&Value::Null)?;
    ensure!(source["spec"]["restic"]["repository"] == "repository", "{source}");
    ensure!(world.snapshots()?.len() == 1);
    let listing = "data \"dr_recovery_points\" \"docs\" {\n  source = dr_backup_target.main.ref\n}\n\
                   output \"total\" {\n  value = data.dr_recovery_points.docs.total\n}\n";
    scene.workspace.write(&format!("{existing}{listing}"))?;
    scene.workspace.apply()?.ok()?.never_says(&[PASSWORD])?;
    ensure!(scene.workspace.state()?["values"]["outputs"]["total"]["value"] == 1, "the point is not listed");
    let owners = world.get("Secret", "repository")?["metadata"]["managedFields"].to_string();
    ensure!(!owners.contains("terraform-provider-dr"), "{owners}");
    scene.workspace.destroy()?.ok()?;
    world.get("Secret", "repository")?;

    // One that leads elsewhere is no repository of this target.
    let elsewhere = json!({ "stringData": { "RESTIC_REPOSITORY": "s3:http://nowhere/else" } });
    world.shared.api().patch("v1", "Secret", &world.name, "repository", &elsewhere)?;
    scene.workspace.apply()?.fails(&["RESTIC_REPOSITORY", "is another one"])?;
    Ok(())
}

fn something_new_is_not_stored_over_older_points(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    scene.workspace.write(&world.configuration(""))?;
    scene.workspace.apply()?.ok()?;
    world.synced(&Value::Null)?;
    scene.workspace.destroy()?.ok()?;
    let api = world.shared.api();
    // The finalizer that keeps a claim in use is the controller's own.
    api.delete_and_wait("v1", "PersistentVolumeClaim", &world.name, "data")?;
    std::thread::sleep(Duration::from_millis(1100));
    world.shared.node.claim(&world.name, "data")?;
    scene.workspace.apply()?.fails(&["first_backup"])?;
    ensure!(world.get("ReplicationSource", "hourly").is_err(), "it was made");
    scene.workspace.write(&world.configuration("first_backup = \"allow\""))?;
    scene.workspace.apply()?.ok()?;
    Ok(())
}

fn an_older_point_is_restored_in_place_once_while_nothing_uses_the_claim(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let configuration = world.configuration("");
    scene.workspace.write(&configuration)?;
    scene.workspace.apply()?.ok()?;
    world.synced(&Value::Null)?;
    fs::write(world.folder.join("file"), "spoilt")?;
    fs::write(world.folder.join("more"), "junk")?;
    world.back_up_again()?;
    let snapshots = world.snapshots()?;
    ensure!(snapshots.len() == 2, "{snapshots:?}");
    let time = snapshots[0]["time"].as_str().context("a snapshot has a time")?;

    // A pod that nothing takes down is in the way, and is left alone.
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "reader", "namespace": world.name },
        "spec": {
            "nodeSelector": { "nowhere": "true" },
            "containers": [{ "name": "reader", "image": "reader" }],
            "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": "data" } }],
        },
    });
    world.shared.api().apply(&pod)?;
    let more = format!("when = \"always\"\n  recovery_point = {{ at = \"{time}\" }}");
    let restore = world.restore(", enable_file_deletion = true", &more);
    scene.workspace.write(&format!("{configuration}{restore}"))?;
    scene.workspace.apply()?.fails(&["in use by pod reader", "quiesce.scale_down"])?;
    ensure!(fs::read_to_string(world.folder.join("file"))? == "spoilt", "it was written");
    ensure!(world.destinations()?.is_empty());
    world.shared.api().delete_and_wait("v1", "Pod", &world.name, "reader")?;

    // So is what would write the claim too. Its Secret is not there, so it never does.
    world.shared.api().apply(&json!({
        "apiVersion": VolSync::API, "kind": "ReplicationDestination",
        "metadata": { "name": "theirs", "namespace": world.name },
        "spec": {
            "trigger": { "schedule": "0 4 * * *" },
            "restic": { "repository": "nowhere", "destinationPVC": "data", "copyMethod": "Direct" },
        },
    }))?;
    scene.workspace.apply()?.fails(&["ReplicationDestination", "theirs", "writes into data too, by its schedule"])?;
    ensure!(fs::read_to_string(world.folder.join("file"))? == "spoilt", "it was written");
    world.shared.api().delete_and_wait(VolSync::API, "ReplicationDestination", &world.name, "theirs")?;

    scene.workspace.apply()?.ok().with_context(|| world.log())?;
    ensure!(fs::read_to_string(world.folder.join("file"))? == "precious");
    ensure!(!world.folder.join("more").exists(), "what the point does not hold goes");
    ensure!(world.destinations()?.is_empty(), "the destination is removed");
    // What was overwritten is saved where no schedule removes it and no restore takes it for the newest.
    ensure!(world.snapshots()?.len() == 2);
    ensure!(world.snapshots_in("docs.dr/safety")?.len() == 1);
    let secrets = world.shared.api().list("v1", "Secret", &world.name)?;
    ensure!(secrets.len() == 1, "{:?}", secrets.iter().map(|secret| &secret["metadata"]["name"]).collect::<Vec<_>>());
    ensure!(world.get("ReplicationSource", "hourly")?["spec"]["paused"] == false, "the schedule runs again");
    let result = scene.workspace.attributes("dr_restore_job.docs")?["result"].clone();
    ensure!(result["outcome"] == "restored" && result["point"]["id"] == snapshots[0]["id"], "{result}");

    // Once: not by another apply, and not with a lost state.
    fs::write(world.folder.join("file"), "newer")?;
    scene.workspace.plan_is_empty()?;
    std::fs::remove_file(scene.workspace.state_file())?;
    scene.workspace.apply()?.ok()?;
    ensure!(fs::read_to_string(world.folder.join("file"))? == "newer", "it ran twice");
    scene.workspace.plan_is_empty()
}

fn a_claim_that_is_lost_is_made_and_filled_before_its_schedule_begins(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    scene.workspace.write(&world.configuration(""))?;
    scene.workspace.apply()?.ok()?;
    world.synced(&Value::Null)?;
    scene.workspace.destroy()?.ok()?;
    let api = world.shared.api();
    let class = api.get("v1", "PersistentVolumeClaim", &world.name, "data")?.context("there is a claim")?;
    let class = class["spec"]["storageClassName"].as_str().unwrap_or_default().to_owned();
    api.delete_and_wait("v1", "PersistentVolumeClaim", &world.name, "data")?;
    std::thread::sleep(Duration::from_millis(1100));

    let guarded = world.configuration("after = dr_restore_job.docs.ref");
    scene.workspace.write(&format!("{guarded}{}", world.restore("", "")))?;
    scene.workspace.apply()?.fails(&["capacity", "access_modes"])?;
    let size = format!(", capacity = \"1Gi\", access_modes = [\"ReadWriteOnce\"], storage_class_name = {class:?}");
    scene.workspace.write(&format!("{guarded}{}", world.restore(&size, "")))?;
    scene.workspace.apply()?.ok().with_context(|| world.log())?;
    let folder = world.shared.node.volume(&world.name, "data")?;
    ensure!(fs::read_to_string(folder.join("file"))? == "precious");
    let result = scene.workspace.attributes("dr_restore_job.docs")?["result"].clone();
    ensure!(result["outcome"] == "restored", "{result}");
    scene.workspace.plan_is_empty()?;
    // What was restored is backed up, because it is not new.
    world.synced(&Value::Null)?;
    ensure!(world.snapshots()?.len() == 2);
    Ok(())
}

/// Stores one point, and gives the configuration that brings it back on another, empty cluster.
fn elsewhere(scene: &Scene, world: &World, cluster: &Cluster, more: &str) -> Result<String> {
    scene.workspace.write(&world.configuration(""))?;
    scene.workspace.apply()?.ok()?;
    world.synced(&Value::Null)?;
    scene.workspace.destroy()?.ok()?;
    let size =
        format!(", capacity = \"1Gi\", access_modes = [\"ReadWriteOnce\"], storage_class_name = {STORAGE_CLASS:?}");
    let guarded = world.configuration("after = dr_restore_job.docs.ref");
    let kubeconfig = |cluster: &Cluster| format!("{:?}", cluster.kubeconfig_path());
    Ok(format!("{guarded}{}", world.restore(&size, more))
        .replace(&kubeconfig(&world.shared.cluster), &kubeconfig(cluster))
        .replace(", credentials = \"keys\"", "")
        .replace("password = \"docs_repo\"", "existing_secret = { name = \"repository\" }"))
}

fn one_apply_installs_what_its_target_restore_and_schedule_wait_for(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let cluster = Cluster::start()?.with_controller_manager()?;
    let node = Node::start(&cluster)?;
    let text = elsewhere(scene, &world, &cluster, "")?;
    let mut volsync = None;
    let run = scene.apply_while_installing(&text, || {
        cluster.namespace(&world.name)?;
        cluster.api.apply_as("external-secrets", &foreign_secret(&world, "repository"))?;
        // The restore asks for what comes last.
        std::thread::sleep(Duration::from_secs(4));
        volsync = Some(VolSync::start(&cluster)?);
        Ok(())
    })?;
    run.ok().with_context(|| format!("{:?}", node.trouble()))?;
    ensure!(fs::read_to_string(node.volume(&world.name, "data")?.join("file"))? == "precious");
    let result = scene.workspace.attributes("dr_restore_job.docs")?["result"].clone();
    ensure!(result["outcome"] == "restored", "{result}");
    ensure!(cluster.api.get(VolSync::API, "ReplicationSource", &world.name, "hourly")?.is_some(), "no schedule");
    drop(volsync);
    scene.workspace.plan_is_empty()
}

fn a_restore_without_its_crd_makes_no_claim(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let cluster = Cluster::start()?;
    let text = elsewhere(scene, &world, &cluster, "timeouts = { create = \"8s\" }")?;
    cluster.namespace(&world.name)?;
    cluster.api.apply_as("external-secrets", &foreign_secret(&world, "repository"))?;
    scene.workspace.write(&text)?;
    scene.workspace.apply()?.fails(&[
        "replicationdestinations.volsync.backube (v1alpha1)",
        "add depends_on = [helm_release.volsync]",
        "backube.github.io/helm-charts",
        "allow more time with `timeouts.create`",
        "nothing is changed",
    ])?;
    let claim = cluster.api.get("v1", "PersistentVolumeClaim", &world.name, "data")?;
    ensure!(claim.is_none(), "a claim was made that nothing fills: {claim:?}");
    Ok(())
}

fn a_repository_without_points_never_becomes_an_empty_volume(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    world.shared.api().delete_and_wait("v1", "PersistentVolumeClaim", &world.name, "data")?;
    let size = ", capacity = \"1Gi\", access_modes = [\"ReadWriteOnce\"]";
    scene.workspace.write(&format!("{}{}", world.target(), world.restore(size, "")))?;
    scene.workspace.apply()?.fails(&["There is no recovery point"])?;
    ensure!(world.shared.api().get("v1", "PersistentVolumeClaim", &world.name, "data")?.is_none(), "a claim was made");
    ensure!(world.s3.keys(&world.name, "docs/")?.is_empty(), "a repository was made");
    // The very first time is told apart by proof, and only when asked for.
    scene.workspace.write(&format!("{}{}", world.target(), world.restore(size, "on_missing = \"skip\"")))?;
    world.s3.put(&world.name, "dosc/snapshots/1e5f", b"somebody's")?;
    scene.workspace.apply()?.fails(&["nothing is in the prefix `docs`, and `dosc` beside it holds backups"])?;
    world.s3.delete(&world.name, "dosc/snapshots/1e5f")?;
    scene.workspace.apply()?.ok()?;
    ensure!(world.destinations()?.is_empty());
    Ok(())
}

fn m6_a_repository_that_vanished_is_not_made_anew(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    scene.workspace.write(&world.configuration(""))?;
    scene.workspace.apply()?.ok()?;
    world.synced(&Value::Null)?;
    for key in world.s3.keys(&world.name, "docs/")? {
        world.s3.delete(&world.name, &key)?;
    }
    // Another prefix is another place, which the plan says.
    scene.workspace.write(&world.configuration("").replace("prefix = \"docs\"", "prefix = \"other\""))?;
    scene.workspace.plan()?.ok()?.says(&["Target docs moves", "stays there"])?;
    let job = "resource \"dr_backup_job\" \"now\" {\n  name    = \"now\"\n  target  = dr_backup_target.main.ref\n  \
               volsync = { pvc = \"data\", copy_method = \"Snapshot\" }\n}\n";
    scene.workspace.write(&format!("{}{job}", world.configuration("")))?;
    let gone = ["held a repository before", "nothing is made anew", "remove `seen/there` from"];
    scene.workspace.apply()?.fails(&gone)?;
    scene.workspace.destroy()?.ok()?;
    // Neither by a schedule, nor by a restore that may start empty.
    scene.workspace.write(&world.configuration(""))?;
    scene.workspace.apply()?.fails(&gone)?;
    ensure!(world.get("ReplicationSource", "hourly").is_err(), "VolSync would make it");
    let skips = world.restore("", "when = \"always\"\n  on_missing = \"skip\"\n  safety_backup = false");
    scene.workspace.write(&format!("{}{skips}", world.target()))?;
    scene.workspace.apply()?.fails(&["held a repository before", "remove `seen/there` from"])?;
    ensure!(world.s3.keys(&world.name, "docs/")?.is_empty(), "a repository was made");
    // The way out that the error names.
    world.s3.delete(&world.name, "docs.dr/seen/there")?;
    scene.workspace.write(&world.configuration(""))?;
    scene.workspace.apply()?.ok()?;
    world.synced(&Value::Null).map(drop)
}

fn m11_a_claim_that_somebody_made_anew_is_told_of(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let with = |trigger: &str| {
        let restore = world.restore("", &format!("triggers = {{ at = \"{trigger}\" }}"));
        scene.workspace.write(&format!("{}{restore}", world.target()))
    };
    with("first")?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan()?.ok()?.never_says(&["made anew"])?;
    world.shared.api().delete_and_wait("v1", "PersistentVolumeClaim", &world.name, "data")?;
    world.shared.node.claim(&world.name, "data")?;
    scene.workspace.plan()?.ok()?.says(&["/data was made anew at ", "when = \"always\""])?;
    with("second")?;
    scene.workspace.apply()?.ok()?;
    ensure!(world.destinations()?.is_empty());
    scene.workspace.plan()?.ok()?.never_says(&["made anew"])?;
    Ok(())
}

fn a_backup_job_stores_one_point_and_removes_none(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let job = |trigger: &str| {
        format!(
            r#"
resource "dr_backup_job" "now" {{
  name     = "now"
  target   = dr_backup_target.main.ref
  triggers = {{ run = "{trigger}" }}
  verify   = "structure"
  volsync  = {{ pvc = "data", copy_method = "Snapshot" }}
}}
"#
        )
    };
    for (count, trigger) in ["one", "two", "three"].into_iter().enumerate() {
        fs::write(world.folder.join("file"), trigger)?;
        scene.workspace.write(&format!("{}{}", world.target(), job(trigger)))?;
        scene.workspace.apply()?.ok().with_context(|| world.log())?;
        let snapshots = world.snapshots()?;
        ensure!(snapshots.len() == count + 1, "{snapshots:?}");
        let result = scene.workspace.attributes("dr_backup_job.now")?["result"].clone();
        ensure!(snapshots.iter().any(|snapshot| snapshot["id"] == result["point"]["id"]), "{result}");
        scene.workspace.plan_is_empty()?;
    }
    let left = world.shared.api().list(VolSync::API, "ReplicationSource", &world.name)?;
    ensure!(left.is_empty(), "{left:?}");
    Ok(())
}

fn a_backup_job_leaves_the_schedule_beside_it_alone_and_stores_again_what_that_removed(
    scene: &mut Scene,
) -> Result<()> {
    let world = World::new(scene)?;
    let api = world.shared.api();
    let with = |run: u8| {
        let job = format!(
            r#"
resource "dr_backup_job" "now" {{
  name     = "now"
  target   = dr_backup_target.main.ref
  triggers = {{ run = "{run}" }}
  volsync  = {{ pvc = "data", copy_method = "Snapshot" }}
}}
"#
        );
        format!("{}{job}", world.configuration(""))
    };
    // Both begin at once, and there is no repository yet.
    scene.workspace.write(&with(1))?;
    world.shared.node.hold(&world.name);
    let apply = scene.workspace.start_apply()?;
    let movers = || Ok((api.list("v1", "Pod", &world.name)?.len() == 2).then_some(()));
    wait_for("a mover of each", MINUTE * 2, movers)?;
    world.shared.node.release(&world.name);
    apply.wait()?.ok().with_context(|| world.log())?;
    let schedule = world.synced(&Value::Null)?;
    // A mover that meets the lock of the other one is started again, and stores once more.
    let stored = world.snapshots()?.len();
    ensure!(stored >= 2, "{stored}");
    scene.workspace.plan_is_empty()?;

    // The run of a schedule that keeps one point a day ends just after the job's.
    fs::write(world.folder.join("file"), "newer")?;
    scene.workspace.write(&with(2))?;
    let apply = scene.workspace.start_apply()?;
    let of_job = || {
        let mut all = api.list(VolSync::API, "ReplicationSource", &world.name)?;
        all.retain(|source| source["metadata"]["name"] != "hourly");
        Ok(all.into_iter().next())
    };
    let first = wait_for("the job's source", MINUTE * 2, of_job)?;
    let name = first["metadata"]["name"].as_str().context("a name")?;
    let finalizers = |all: &[&str]| {
        let patch = json!({ "metadata": { "finalizers": all } });
        api.patch(VolSync::API, "ReplicationSource", &world.name, name, &patch).map(drop)
    };
    finalizers(&["test/held"])?;
    let leaves = |source: Option<Value>| source.filter(|it| it["metadata"]["deletionTimestamp"].is_string());
    wait_for("the job's source to go", MINUTE * 2, || Ok(leaves(of_job()?)))?;
    let removed = world.snapshots()?.pop().context("a snapshot")?["id"].clone();
    world.restic("docs", &["forget", removed.as_str().context("an id")?])?;
    finalizers(&[])?;
    apply.wait()?.ok().with_context(|| world.log())?;

    let snapshots = world.snapshots()?;
    ensure!(snapshots.len() == stored + 1, "{snapshots:?}");
    let result = scene.workspace.attributes("dr_backup_job.now")?["result"].clone();
    ensure!(result["point"]["id"] == snapshots[stored]["id"] && result["point"]["id"] != removed, "{result}");
    let now = world.get("ReplicationSource", "hourly")?;
    ensure!(now["spec"] == schedule["spec"], "{} was {}", now["spec"], schedule["spec"]);
    ensure!(now["status"]["lastSyncTime"] == schedule["status"]["lastSyncTime"], "the schedule ran: {now}");
    scene.workspace.plan_is_empty()
}

fn a_restore_that_fails_half_way_is_rolled_back_to_what_was_there(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    // What the guide lists is enough for that.
    let limited = world.limited(scene)?;
    scene.workspace.write(&limited(&world.configuration("")))?;
    scene.workspace.apply()?.ok()?;
    world.synced(&Value::Null)?;
    fs::write(world.folder.join("file"), "in use")?;
    let restore = world.restore("", "when = \"always\"\n  on_failure = \"roll_back\"");
    scene.workspace.write(&limited(&format!("{}{restore}", world.configuration(""))))?;
    let apply = scene.workspace.start_apply()?;
    let first = wait_for("a ReplicationDestination", MINUTE * 2, || Ok(world.destinations()?.into_iter().next()))?;
    let name = first["metadata"]["name"].as_str().context("it has a name")?;
    world.shared.api().delete(VolSync::API, "ReplicationDestination", &world.name, name)?;
    fs::write(world.folder.join("file"), "half")?;
    fs::write(world.folder.join("other"), "half")?;
    apply.wait()?.says(&["was deleted by somebody while it ran", "is back in place"])?;
    ensure!(fs::read_to_string(world.folder.join("file"))? == "in use");
    ensure!(!world.folder.join("other").exists());
    ensure!(world.destinations()?.is_empty());
    ensure!(world.get("ReplicationSource", "hourly")?["spec"]["paused"] == false);
    Ok(())
}

fn a_run_whose_process_is_killed_is_taken_over_by_the_next_apply(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    scene.workspace.write(&world.configuration(""))?;
    scene.workspace.apply()?.ok()?;
    world.synced(&Value::Null)?;
    fs::write(world.folder.join("file"), "spoilt")?;
    let restore = world.restore("", "when = \"always\"\n  safety_backup = false");
    let with =
        |more: &str| format!("{}{restore}", world.configuration(&format!("after = dr_restore_job.docs.ref\n{more}")));
    scene.workspace.write(&with(""))?;
    // The mover waits until the process is gone.
    world.shared.node.hold(&world.name);
    let mut apply = scene.workspace.start_apply()?;
    let first = wait_for("a ReplicationDestination", MINUTE * 2, || Ok(world.destinations()?.into_iter().next()))?;
    apply.kill_all()?;
    world.shared.node.release(&world.name);
    // The dead process's lease runs out sooner.
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "6");
    let spec = world.get("ReplicationSource", "hourly")?["spec"].clone();
    ensure!(spec["paused"] == true && spec["sourcePVC"] == "data_is_being_restored_by_dr", "it does not rest: {spec}");
    // It is somebody's who knows that, and nobody else's.
    scene.workspace.write(&world.configuration(""))?;
    scene.workspace.apply()?.fails(&["is paused by a restore that has not come to its end", "dr/held-by-"])?;
    scene.workspace.write(&with(""))?;
    scene.workspace.apply()?.ok().with_context(|| world.log())?;
    ensure!(fs::read_to_string(world.folder.join("file"))? == "precious");
    ensure!(world.destinations()?.is_empty(), "{first} is left over");
    let spec = world.get("ReplicationSource", "hourly")?["spec"].clone();
    ensure!(spec["paused"] == false && spec["sourcePVC"] == "data", "the schedule still rests: {spec}");
    scene.workspace.plan_is_empty()?;
    // That a run paused it takes nothing from the configuration.
    scene.workspace.write(&with("paused = true"))?;
    scene.workspace.apply()?.ok()?;
    ensure!(world.get("ReplicationSource", "hourly")?["spec"]["paused"] == true);
    scene.workspace.plan_is_empty()
}

fn nothing_is_stored_of_a_claim_while_it_is_restored(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let configuration = world.configuration("").replace("17 3 * * MON-FRI", "* * * * *").replace("= 3, ", "= 20, ");
    scene.workspace.write(&configuration)?;
    scene.workspace.apply()?.ok()?;
    world.synced(&Value::Null)?;
    let first = world.snapshots()?[0]["time"].as_str().context("a snapshot has a time")?.to_owned();
    let before = world.get("ReplicationSource", "hourly")?["spec"].clone();

    // A backup that is under way when the restore begins, and a restore over which the next one is due.
    world.shared.node.hold(&world.name);
    fs::write(world.folder.join("file"), "spoilt")?;
    let copies = || world.shared.api().list("snapshot.storage.k8s.io/v1", "VolumeSnapshot", &world.name);
    wait_for("a backup of what is spoilt", MINUTE * 2, || Ok(copies()?.into_iter().next()))?;
    let more = format!("when = \"always\"\n  safety_backup = false\n  recovery_point = {{ at = \"{first}\" }}");
    scene.workspace.write(&format!("{configuration}{}", world.restore("", &more)))?;
    let apply = scene.workspace.start_apply()?;
    wait_for("a ReplicationDestination", MINUTE * 2, || Ok(world.destinations()?.into_iter().next()))?;
    fs::write(world.folder.join("file"), "half")?;
    let stored = world.snapshots()?.len();
    std::thread::sleep(MINUTE + Duration::from_secs(10));
    ensure!(copies()?.is_empty(), "a copy of a claim that is half restored was taken: {:?}", copies()?);
    ensure!(world.snapshots()?.len() == stored, "something was stored meanwhile");
    world.shared.node.release(&world.name);
    apply.wait()?.ok().with_context(|| world.log())?;
    ensure!(fs::read_to_string(world.folder.join("file"))? == "precious");

    // What is stored from then on is what was restored.
    let more_than = |count: usize| Ok(world.snapshots().ok().filter(|all| all.len() > count));
    let all = wait_for("the next backup", MINUTE * 3, || more_than(stored))?;
    for snapshot in &all {
        let id = snapshot["id"].as_str().unwrap_or_default();
        let content = world.restic("docs", &["dump", "--no-lock", id, "/file"])?;
        ensure!(content == b"precious", "{snapshot} holds {:?}", String::from_utf8_lossy(&content));
    }
    ensure!(world.get("ReplicationSource", "hourly")?["spec"] == before, "the schedule is another one");
    scene.workspace.plan_is_empty()
}

fn what_a_killed_run_left_goes_with_its_job(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    scene.workspace.write(&world.configuration(""))?;
    scene.workspace.apply()?.ok()?;
    world.synced(&Value::Null)?;
    let api = world.shared.api();
    let scratch = world.shared.namespace("vs-scratch")?;
    let job = |try_: &str| {
        let block = format!(
            ", namespace = \"{scratch}\", capacity = \"1Gi\", access_modes = [\"ReadWriteOnce\"], storage_class_name = \
             \"{STORAGE_CLASS}\""
        );
        let more = format!("when = \"always\"\n  triggers = {{ try = \"{try_}\" }}");
        format!("{}{}", world.configuration(""), world.restore(&block, &more))
    };
    scene.workspace.write(&job("1"))?;
    scene.workspace.apply()?.ok().with_context(|| world.log())?;
    let left = || {
        let mut left = api.list("v1", "Secret", &scratch)?;
        for kind in ["ReplicationDestination", "ReplicationSource"] {
            left.extend(api.list(VolSync::API, kind, &scratch)?);
        }
        Ok::<_, anyhow::Error>(left)
    };
    ensure!(left()?.is_empty(), "{:?}", left()?);

    // The next one dies while it saves what is there, with a copy of the repository's Secret beside it.
    scene.workspace.write(&job("2"))?;
    world.shared.node.hold(&scratch);
    let mut apply = scene.workspace.start_apply()?;
    wait_for("a safety backup", MINUTE * 2, || {
        Ok(api.list(VolSync::API, "ReplicationSource", &scratch)?.into_iter().next())
    })?;
    apply.kill_all()?;
    let secrets = api.list("v1", "Secret", &scratch)?;
    ensure!(secrets.len() == 1, "{secrets:?}");
    let owner = &secrets[0]["metadata"]["ownerReferences"][0];
    ensure!(owner.is_null() || owner["kind"] == "ReplicationSource", "{owner}");

    // The same while it writes: the next apply goes on with it, and dies as well.
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "6");
    world.shared.node.release(&scratch);
    let mut apply = scene.workspace.start_apply()?;
    wait_for("the safety backup", MINUTE * 2, || {
        Ok(Some(()).filter(|()| api.list(VolSync::API, "ReplicationSource", &scratch).is_ok_and(|all| all.is_empty())))
    })?;
    world.shared.node.hold(&scratch);
    let restores = || Ok(api.list(VolSync::API, "ReplicationDestination", &scratch)?.into_iter().next());
    wait_for("a ReplicationDestination", MINUTE * 2, restores)?;
    apply.kill_all()?;
    ensure!(api.list("v1", "Secret", &scratch)?.len() == 1);

    // The job goes, and with it what would lie there for ever; what is half written is remembered.
    scene.workspace.write(&world.configuration(""))?;
    scene.workspace.apply()?.ok()?;
    ensure!(left()?.is_empty(), "{:?}", left()?);
    let records = api.list("v1", "ConfigMap", &scratch)?;
    let half = |record: &Value| record["data"]["record.json"].as_str().is_some_and(|text| text.contains("\"writing\""));
    ensure!(records.iter().any(half), "{records:?}");
    world.shared.node.release(&scratch);
    Ok(())
}

fn a_password_that_is_in_no_state_is_written_with_its_version(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let with = |password: &str, version: u8| {
        let written = format!("password_wo = \"{password}\", password_wo_version = {version}");
        world.configuration("first_backup = \"allow\"").replace("password = \"docs_repo\"", &written)
    };
    scene.workspace.write(&with(PASSWORD, 1))?;
    scene.workspace.apply()?.ok()?.never_says(&[PASSWORD])?;
    scene.workspace.plan_is_empty()?;
    world.synced(&Value::Null)?;
    ensure!(world.snapshots()?.len() == 1, "the mover has the password");
    let state = fs::read_to_string(scene.workspace.state_file())?;
    ensure!(!state.contains(PASSWORD), "the state holds the password");
    let before = world.get("Secret", "dr-docs")?["data"]["RESTIC_PASSWORD"].clone();
    scene.workspace.write(&with("another-password-9d", 1))?;
    scene.workspace.plan_is_empty()?;

    // The repository opens with the old one alone: written over, nobody might know it any more.
    scene.workspace.write(&with("another-password-9d", 2))?;
    scene.workspace.apply()?.fails(&["Secret dr-docs was not written", "restic key add"])?.never_says(&[PASSWORD])?;
    ensure!(world.get("Secret", "dr-docs")?["data"]["RESTIC_PASSWORD"] == before, "it was written");
    let new = scene.workspace.path("new-password");
    fs::write(&new, "another-password-9d")?;
    world.restic("docs", &["key", "add", "--new-password-file", &new.display().to_string()])?;
    scene.workspace.apply()?.ok()?;
    let held = world.get("Secret", "dr-docs")?["data"].clone();
    ensure!(held["RESTIC_PASSWORD"] != before, "it was not written again");
    scene.workspace.plan_is_empty()?;

    // At another place there is nothing to tell whether the old one is still needed.
    let elsewhere = |password: &str, version: u8| {
        with(password, version).replace("\"docs\", credentials", "\"moved\", credentials")
    };
    scene.workspace.write(&elsewhere("third-password-9d", 3))?;
    scene.workspace.apply()?.fails(&["the only copy", "moved", "force_conflicts"])?;
    ensure!(world.get("Secret", "dr-docs")?["data"] == held, "it was written");
    scene.workspace.write(&elsewhere("another-password-9d", 2))?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;

    // A repository that the password does not open is no place to move to.
    world.restic_with("their-password-9d", "theirs", &["init"])?;
    let theirs = with("another-password-9d", 2).replace("\"docs\", credentials", "\"theirs\", credentials");
    scene.workspace.write(&theirs)?;
    scene.workspace.apply()?.fails(&["Secret dr-docs was not written", "restic key add"])?;
    Ok(())
}

fn m23_a_target_and_its_schedule_go_from_one_engine_to_another(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    world.shared.k8up()?;
    let with_volsync = world.configuration("");
    let with_k8up =
        with_volsync.replace("  volsync = { cluster", "  k8up = { cluster").replace(", keep_within = \"30d\"", "");
    let block = with_volsync.find("  volsync   = {").context("the schedule's block")?;
    let end = block + with_volsync[block..].find('\n').context("its end")?;
    let with_k8up = with_k8up.replace(&with_volsync[block..end], "  k8up = { prune = { cron = \"0 5 * * 0\" } }");
    let api = world.shared.api();
    let k8up = || api.get("k8up.io/v1", "Schedule", &world.name, "hourly");
    let volsync = || api.get(VolSync::API, "ReplicationSource", &world.name, "hourly");
    for (configuration, engine) in [(&with_k8up, "k8up"), (&with_volsync, "volsync"), (&with_k8up, "k8up")] {
        scene.workspace.write(configuration)?;
        scene.workspace.apply()?.ok()?;
        scene.workspace.plan_is_empty()?;
        ensure!(
            (k8up()?.is_some(), volsync()?.is_some()) == (engine == "k8up", engine == "volsync"),
            "not one {engine}"
        );
    }
    Ok(())
}

fn an_import_needs_no_change(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    scene.workspace.write(&world.configuration(""))?;
    scene.workspace.apply()?.ok()?;
    let made = world.get("ReplicationSource", "hourly")?["metadata"]["generation"].clone();
    fs::remove_file(scene.workspace.state_file())?;
    let id = |name: &str| format!("volsync:prod/{}/{name}", world.name);
    scene.workspace.import("dr_backup_schedule.hourly", &id("nothing"))?.fails(&["There is nothing to import"])?;
    let api = world.shared.api();
    let set = |password: &str| {
        let password = json!({ "stringData": { "RESTIC_PASSWORD": password } });
        api.patch("v1", "Secret", &world.name, "dr-docs", &password).map(drop)
    };
    set("canary-another-3f")?;
    let refused = scene.workspace.import("dr_backup_target.main", &id("docs"))?;
    refused.fails(&["none of the provider's `secrets`"])?.never_says(&["canary-another-3f"])?;
    set(PASSWORD)?;
    scene.workspace.import("dr_backup_target.main", &id("docs"))?.ok()?;
    scene.workspace.import("dr_backup_schedule.hourly", &id("hourly"))?.ok()?;
    scene.workspace.plan_is_empty()?;

    // What was a manifest is moved and read like an import.
    let moved = scene.as_manifests("dr_backup_schedule", VolSync::API, "ReplicationSource", &world.name)?;
    scene.workspace.write(&format!("{}{moved}", world.configuration("")))?;
    scene.workspace.apply()?.ok()?.says(&["0 added, 0 changed, 0 destroyed"])?;
    scene.workspace.plan_is_empty()?;
    ensure!(world.get("ReplicationSource", "hourly")?["metadata"]["generation"] == made, "something was changed");
    Ok(())
}

/// A source that something else makes, of the Secret `docs`.
fn foreign_source(world: &World) -> Value {
    json!({
        "apiVersion": VolSync::API, "kind": "ReplicationSource",
        "metadata": { "name": "hourly", "namespace": world.name },
        "spec": {
            "sourcePVC": "data",
            "trigger": { "schedule": "17 3 * * 1-5" },
            "restic": {
                "repository": "docs", "copyMethod": "Snapshot", "cacheCapacity": "1Gi", "pruneIntervalDays": 14,
                "retain": { "last": "3", "daily": 7, "within": "30d" },
            },
        },
    })
}

/// What takes both as they are.
fn of_others(world: &World) -> String {
    world
        .configuration("")
        .replace("MON-FRI", "1-5")
        .replace(", credentials = \"keys\"", "")
        .replace("password = \"docs_repo\"", "password = \"docs_repo\", existing_secret = { name = \"docs\" }")
}

fn what_others_made_is_imported_and_left_as_it_is(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let api = world.shared.api();
    api.apply_as("external-secrets", &foreign_secret(&world, "docs"))?;
    api.apply_as("kubectl", &foreign_source(&world))?;
    let configuration = of_others(&world);
    scene.workspace.write(&configuration)?;
    let id = |name: &str| format!("volsync:prod/{}/{name}", world.name);
    scene.workspace.import("dr_backup_target.main", &id("docs"))?.fails(&["There is nothing to import", "dr-docs"])?;
    api.apply_as("external-secrets", &foreign_secret(&world, "dr-docs"))?;
    let refused = scene.workspace.import("dr_backup_target.main", &id("docs"))?;
    refused.fails(&["was made by something else", "existing_secret"])?;
    scene.workspace.import("dr_backup_target.main", &id("docs/docs"))?.ok()?;
    scene.workspace.import("dr_backup_schedule.hourly", &id("hourly"))?.ok()?;
    scene.workspace.plan_is_empty()?;

    // What is changed afterwards is changed in the object that is there.
    let uid = world.get("ReplicationSource", "hourly")?["metadata"]["uid"].clone();
    scene.workspace.write(&configuration.replace("17 3", "18 4"))?;
    scene.workspace.apply()?.fails(&["kubectl", "force_conflicts"])?;
    scene
        .workspace
        .write(&configuration.replace("17 3", "18 4").replace("copy_method", "force_conflicts = true, copy_method"))?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    let source = world.get("ReplicationSource", "hourly")?;
    ensure!(source["metadata"]["uid"] == uid && source["spec"]["trigger"]["schedule"] == "18 4 * * 1-5", "{source}");

    // What the model has no word for would be lost with the source.
    let prefers =
        json!([{ "weight": 1, "preference": { "matchExpressions": [{ "key": "a", "operator": "Exists" }] } }]);
    let affinity = json!({ "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": prefers } });
    let more = json!({ "spec": { "restic": { "moverAffinity": affinity } } });
    api.patch(VolSync::API, "ReplicationSource", &world.name, "hourly", &more)?;
    fs::remove_file(scene.workspace.state_file())?;
    scene.workspace.import("dr_backup_schedule.hourly", &id("hourly"))?.fails(&["sets `spec.restic.moverAffinity"])?;

    // A Secret that is no repository is no target.
    let other = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "other", "namespace": world.name },
        "stringData": { "a": "b" },
    });
    api.apply_as("kubectl", &other)?;
    scene.workspace.import("dr_backup_target.main", &id("other/docs"))?.fails(&["holds no RESTIC_REPOSITORY"])?;
    let elsewhere = json!({ "stringData": { "RESTIC_REPOSITORY": "s3:http://nowhere/else" } });
    api.patch("v1", "Secret", &world.name, "other", &elsewhere)?;
    scene.workspace.import("dr_backup_target.main", &id("other/docs"))?.fails(&["leads to no S3 connection"])?;
    Ok(())
}

fn what_was_imported_and_never_applied_goes_with_its_resource(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let api = world.shared.api();
    api.apply_as("external-secrets", &foreign_secret(&world, "docs"))?;
    let import = |scene: &Scene| {
        let id = |name: &str| format!("volsync:prod/{}/{name}", world.name);
        api.apply_as("kubectl", &foreign_source(&world))?;
        scene.workspace.write(&of_others(&world))?;
        scene.workspace.import("dr_backup_target.main", &id("docs/docs"))?.ok()?;
        scene.workspace.import("dr_backup_schedule.hourly", &id("hourly"))?.ok().map(drop)
    };
    let is_there =
        |name: &str| api.get(VolSync::API, "ReplicationSource", &world.name, name).map(|found| found.is_some());

    // Under another name: two sources would prune one repository.
    import(scene)?;
    let renamed = of_others(&world).replace("name      = \"hourly\"", "name      = \"nightly\"");
    scene.workspace.write(&renamed)?;
    scene.workspace.apply()?.ok()?;
    ensure!(is_there("nightly")? && !is_there("hourly")?, "the source has one name");
    scene.workspace.plan_is_empty()?;
    scene.workspace.destroy()?.ok()?;

    import(scene)?;
    scene.workspace.destroy()?.ok()?;
    ensure!(!is_there("hourly")?, "it goes on without a resource");
    world.get("Secret", "docs").context("the Secret is somebody else's").map(drop)
}
