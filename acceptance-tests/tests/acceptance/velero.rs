//! Velero's targets and schedules, on a real API server with the real Velero: made in one apply, quiet afterwards, and put
//! right when somebody changes them.

use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use acceptance_tests::servers::kubernetes::{Cluster, Shared, Velero, rights_of_guide, shared, wait_for};
use acceptance_tests::servers::{Faulty, Minio, S3};
use anyhow::{Context, Result, ensure};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};

use crate::scene::Scene;
use crate::secrets;

both_clis!(
    a_target_and_its_schedules_are_made_in_one_apply_and_a_refresh_finds_nothing,
    a_plan_of_what_does_not_exist_asks_neither_cluster_nor_store,
    what_somebody_changes_is_seen_and_put_right,
    what_another_program_owns_is_a_conflict_that_names_it,
    what_is_there_already_is_taken_over_only_when_it_is_ours,
    a_bucket_that_velero_can_not_use_is_an_error_with_its_words,
    what_another_state_holds_is_not_turned_to_something_else,
    the_first_rights_of_the_guide_are_enough_for_targets_and_schedules,
    what_velero_can_not_say_is_an_error_while_planning,
    a_cluster_that_is_gone_is_an_error_or_kept_or_lost_as_the_connection_says,
    an_emptied_cluster_is_filled_again_by_one_apply,
    a_missing_crd_is_named_with_what_to_depend_on,
    what_the_installed_version_lacks_is_told_before_anything_is_written,
    another_line_of_a_schedule_starts_no_backup,
    what_may_not_be_done_is_told_with_the_rule_that_is_missing,
    an_import_needs_no_change,
    a_lost_cluster_is_made_again_by_the_apply_that_finds_another,
    the_old_half_of_a_replacement_leaves_what_the_new_one_uses,
    a_destroy_with_the_wrong_cluster_removes_nothing_there,
    two_resources_for_one_object_are_an_error,
    what_is_being_deleted_is_waited_for_and_its_finalizer_named,
    what_moves_to_another_cluster_is_taken_off_the_old_one,
    a_secret_may_get_another_name,
    a_new_value_in_the_provider_block_is_a_change,
    what_was_a_manifest_is_moved_and_read_like_an_import,
    a_backup_goes_with_its_job_only_where_that_is_asked_for,
    a_backup_that_may_not_be_deleted_stays_and_the_reason_is_told,
);

/// What a scenario works with: names of its own on the shared servers.
struct World {
    shared: &'static Shared,
    s3: &'static S3,
    /// Of the objects and of the bucket.
    name: String,
}

const REQUIRED: &str = "terraform {\n  required_providers {\n    dr = { source = \"dr-as-code/dr\" }\n  }\n}\n";
const SECRET: &str = "canary-velero-credentials-93c1";

impl World {
    /// Velero runs, and there is an empty bucket.
    fn new(scene: &mut Scene) -> Result<Self> {
        let shared = shared()?;
        shared.velero()?;
        let minio: &'static Minio = shared.minio()?;
        let name = format!("t{:08x}", rand::random::<u32>());
        minio.s3.create_bucket(&name)?;
        let world = World { shared, s3: &minio.s3, name };
        world.settings(scene);
        Ok(world)
    }

    fn settings(&self, scene: &mut Scene) {
        let (id, secret) = (&self.s3.credentials.id, &self.s3.credentials.secret);
        let name = self.secret();
        scene.workspace.set(format!("DR_SECRET_{}", name.to_uppercase()).as_str(), format!("{id}:{secret}"));
    }

    fn secret(&self) -> String {
        format!("{}_keys", self.name)
    }

    fn provider(&self, cluster: &Cluster, more: &str) -> String {
        provider(self.s3, cluster, more, "")
    }

    /// A target with two schedules, as a platform writes them.
    fn configuration(&self, cluster: &Cluster, connection: &str, target: &str, schedule: &str) -> String {
        let (name, secret) = (&self.name, self.secret());
        format!(
            r#"{provider}

resource "dr_backup_target" "main" {{
  name   = "{name}"
  store  = {{ s3 = "minio", bucket = "{name}", prefix = "velero", credentials = "{secret}" }}
  velero = {{ cluster = "prod", backup_sync_period = "1m" }}
  {target}
}}

resource "dr_retention_policy" "week" {{
  name        = "week"
  keep_within = "7d"
}}

resource "dr_backup_schedule" "daily" {{
  name      = "{name}-daily"
  target    = dr_backup_target.main.ref
  cron      = "0 2 * * *"
  time_zone = "Pacific/Auckland"
  retention = dr_retention_policy.week.keep
  velero    = {{ included_namespaces = ["{name}"], snapshot_volumes = false }}
  {schedule}
}}

resource "dr_backup_schedule" "weekly" {{
  name      = "{name}-weekly"
  target    = dr_backup_target.main.ref
  cron      = "0 3 * * 0"
  retention = {{ keep_within = "30d" }}
  velero = {{
    included_namespaces = ["{name}"]
    label_selector = {{ app = "docs" }}
    match_expressions = [{{ key = "tier", operator = "NotIn", values = ["cache"] }}]
    snapshot_volumes = false
  }}
}}
"#,
            provider = self.provider(cluster, connection),
        )
    }

    fn write(&self, scene: &Scene, target: &str, schedule: &str) -> Result<()> {
        scene.workspace.write(&self.configuration(&self.shared.cluster, "", target, schedule))
    }

    fn get(&self, kind: &str, name: &str) -> Result<Value> {
        let api = if kind == "Secret" { "v1" } else { Velero::API };
        let found = self.shared.api().get(api, kind, Velero::NAMESPACE, name)?;
        found.with_context(|| format!("{kind} {name} is not there"))
    }

    fn daily(&self) -> String {
        format!("{}-daily", self.name)
    }
}

/// A provider block with one cluster and one store; `more` is of the cluster's connection, `rest` of the block.
pub fn provider(s3: &S3, cluster: &Cluster, more: &str, rest: &str) -> String {
    format!(
        r#"{REQUIRED}
provider "dr" {{
  kubernetes = {{
    prod = {{ kubeconfig = {kubeconfig:?}, context = "test" {more} }}
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
  {rest}
}}"#,
        kubeconfig = cluster.kubeconfig_path(),
        endpoint = s3.endpoint,
        region = s3.region,
        id = s3.credentials.id,
        secret = s3.credentials.secret,
    )
}

fn a_target_and_its_schedules_are_made_in_one_apply_and_a_refresh_finds_nothing(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    world.write(scene, "", "")?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;

    let location = world.get("BackupStorageLocation", &world.name)?;
    ensure!(location["status"]["phase"] == "Available", "{location}");
    ensure!(location["spec"]["accessMode"] == "ReadWrite");
    let daily = world.get("Schedule", &world.daily())?;
    let spec = &daily["spec"];
    ensure!(spec["schedule"] == "CRON_TZ=Pacific/Auckland 0 2 * * *", "{spec}");
    ensure!(spec["template"]["ttl"] == "168h0m0s", "{spec}");
    ensure!(spec["template"]["storageLocation"] == world.name.as_str(), "{spec}");
    let state = scene.workspace.attributes("dr_backup_schedule.daily")?;
    ensure!(state["native"] == spec["schedule"]);
    ensure!(state["ref"]["uid"] == daily["metadata"]["uid"], "{state}");
    ensure!(state["ref"]["server_uid"] == world.shared.cluster.uid()?.as_str());
    ensure!(
        state["alert_rules"].as_str().is_some_and(|rules| rules.contains("velero_backup_last_successful_timestamp"))
    );
    // The secret is in the cluster and nowhere else.
    let written = std::fs::read_to_string(scene.workspace.state_file())?;
    let held = format!("{}:", world.s3.credentials.id);
    ensure!(!written.contains(&held), "the state holds the credentials");

    // A destroy removes what only registers, and keeps what is stored.
    let kept = world.s3.keys(&world.name, "")?.len();
    scene.workspace.destroy()?.ok()?;
    ensure!(world.get("Schedule", &world.daily()).is_err());
    ensure!(world.get("BackupStorageLocation", &world.name).is_err());
    ensure!(world.get("Secret", &format!("dr-{}", world.name)).is_err());
    ensure!(world.s3.keys(&world.name, "")?.len() == kept);
    Ok(())
}

fn a_plan_of_what_does_not_exist_asks_neither_cluster_nor_store(scene: &mut Scene) -> Result<()> {
    let server = Faulty::start()?;
    let configuration = format!(
        r#"{REQUIRED}
provider "dr" {{
  kubernetes = {{ prod = {{ host = "{endpoint}", token = "t" }} }}
  s3         = {{ minio = {{ endpoint = "{endpoint}", access_key_id = "k", secret_access_key = "s" }} }}
}}
resource "dr_backup_target" "main" {{
  name   = "main"
  store  = {{ s3 = "minio", bucket = "velero", credentials = "connection" }}
  velero = {{ cluster = "prod" }}
}}
resource "dr_backup_schedule" "daily" {{
  name      = "daily"
  target    = dr_backup_target.main.ref
  cron      = "0 2 * * *"
  retention = {{ keep_within = "7d" }}
  velero    = {{ snapshot_volumes = false }}
}}
"#,
        endpoint = server.s3.endpoint
    );
    scene.workspace.write(&configuration)?;
    scene.workspace.validate()?.ok()?;
    scene.workspace.plan()?.ok()?;
    ensure!(server.requests().is_empty(), "plan asked {:?}", server.requests());
    Ok(())
}

fn what_somebody_changes_is_seen_and_put_right(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    world.write(scene, "", "")?;
    scene.workspace.apply()?.ok()?;
    let api = world.shared.api();
    let (velero, daily) = (Velero::NAMESPACE, world.daily());

    // Protection is switched off, and the time is changed, by hand.
    api.patch(
        Velero::API,
        "Schedule",
        velero,
        &daily,
        &json!({ "spec": { "paused": true, "schedule": "0 5 * * *" } }),
    )?;
    scene.workspace.plan()?.ok()?.says(&["spec.paused is true, not false", "0 5 * * *"])?;
    ensure!(scene.workspace.planned("dr_backup_schedule.daily")? == ["update"]);
    scene.workspace.apply()?.ok()?;
    ensure!(world.get("Schedule", &daily)?["spec"]["paused"] == false);
    scene.workspace.plan_is_empty()?;

    // So it is by what has its backups store less.
    let less = json!({ "spec": { "template": { "excludedResources": ["*"], "labelSelector": { "matchLabels": { "no": "one" } } } } });
    api.patch(Velero::API, "Schedule", velero, &daily, &less)?;
    let seen = ["spec.template.excludedResources is ", "spec.template.labelSelector is ", "and may not be set"];
    scene.workspace.plan()?.ok()?.says(&seen)?;
    scene.workspace.apply()?.ok()?;
    let template = world.get("Schedule", &daily)?["spec"]["template"].clone();
    ensure!(template.get("excludedResources").is_none() && template.get("labelSelector").is_none(), "{template}");
    scene.workspace.plan_is_empty()?;

    // A server's own fields and other people's labels are none of ours.
    api.patch(Velero::API, "Schedule", velero, &daily, &json!({ "metadata": { "labels": { "team": "docs" } } }))?;
    scene.workspace.plan_is_empty()?;

    // The Secret holds something else.
    let secret = format!("dr-{}", world.name);
    api.patch("v1", "Secret", velero, &secret, &json!({ "stringData": { "cloud": SECRET } }))?;
    let run = scene.workspace.plan()?.ok()?;
    run.says(&["stale"])?.never_says(&[SECRET])?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;

    // It is gone, and so is the schedule.
    api.delete("v1", "Secret", velero, &secret)?;
    api.delete(Velero::API, "Schedule", velero, &daily)?;
    scene.workspace.plan()?.ok()?;
    ensure!(scene.workspace.planned("dr_backup_schedule.daily")? == ["create"]);
    ensure!(scene.workspace.planned("dr_backup_target.main")? == ["update"]);
    scene.workspace.apply()?.ok()?;
    world.get("Secret", &secret)?;
    world.get("Schedule", &daily)?;
    scene.workspace.plan_is_empty()
}

fn what_another_program_owns_is_a_conflict_that_names_it(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    world.write(scene, "", "")?;
    scene.workspace.apply()?.ok()?;
    let foreign = json!({
        "apiVersion": Velero::API, "kind": "Schedule",
        "metadata": { "name": world.daily(), "namespace": Velero::NAMESPACE },
        "spec": { "useOwnerReferencesInBackup": true },
    });
    world.shared.api().apply_as("argocd-controller", &foreign)?;
    let configuration = world.configuration(&world.shared.cluster, "", "", "");
    let owned = configuration.replacen("velero    = {", "velero    = { use_owner_references_in_backup = false,", 1);
    scene.workspace.write(&owned)?;
    scene.workspace.apply()?.fails(&["useOwnerReferencesInBackup", "argocd-controller", "force_conflicts"])?;
    let forced = owned.replacen("velero    = {", "velero    = { force_conflicts = true,", 1);
    scene.workspace.write(&forced)?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()
}

fn what_is_there_already_is_taken_over_only_when_it_is_ours(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    // The state is lost: what this provider made is found again.
    world.write(scene, "", "")?;
    scene.workspace.apply()?.ok()?;
    let uid = world.get("Schedule", &world.daily())?["metadata"]["uid"].clone();
    std::fs::remove_file(scene.workspace.state_file())?;
    scene.workspace.apply()?.ok()?;
    ensure!(scene.workspace.attributes("dr_backup_schedule.daily")?["ref"]["uid"] == uid);
    scene.workspace.plan_is_empty()?;
    scene.workspace.destroy()?.ok()?;

    // What somebody else made is theirs, until the configuration says otherwise.
    world.shared.api().apply_as(
        "helm",
        &json!({
            "apiVersion": Velero::API, "kind": "Schedule",
            "metadata": { "name": world.daily(), "namespace": Velero::NAMESPACE },
            // Of this namespace only: a restore of another scenario pauses what backs up its own.
            "spec": {
                "schedule": "0 1 * * *",
                "template": { "storageLocation": "default", "ttl": "24h0m0s", "includedNamespaces": [world.name] },
            },
        }),
    )?;
    scene.workspace.apply()?.fails(&["exists already", "helm", "adopt"])?;
    ensure!(world.get("Schedule", &world.daily())?["spec"]["schedule"] == "0 1 * * *", "it was changed");
    world.write(scene, "", "adopt = \"always\"")?;
    let configuration = world.configuration(&world.shared.cluster, "", "", "adopt = \"always\"");
    let forced = configuration.replacen("velero    = {", "velero    = { force_conflicts = true,", 1);
    scene.workspace.write(&forced)?;
    scene.workspace.apply()?.ok()?;
    ensure!(world.get("Schedule", &world.daily())?["spec"]["template"]["ttl"] == "168h0m0s");
    scene.workspace.plan_is_empty()
}

fn a_bucket_that_velero_can_not_use_is_an_error_with_its_words(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    world.s3.put(&world.name, "velero/photos/cat.jpg", b"not a backup")?;
    world.write(scene, "", "")?;
    let gone = "What was made for it is removed again";
    scene.workspace.apply()?.fails(&["invalid top-level directories", "store.prefix", gone])?;
    ensure!(world.get("BackupStorageLocation", &world.name).is_err(), "no state knows it");
    ensure!(world.get("Secret", &format!("dr-{}", world.name)).is_err(), "keys that no state knows of");
    world.s3.delete(&world.name, "velero/photos/cat.jpg")?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()
}

fn what_another_state_holds_is_not_turned_to_something_else(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    world.write(scene, "", "")?;
    scene.workspace.apply()?.ok()?;
    let mut colleague = scene.copy("colleague")?;
    world.settings(&mut colleague);
    std::fs::remove_file(colleague.workspace.state_file())?;
    let text = world.configuration(&world.shared.cluster, "", "", "");
    let other = text.replace("prefix = \"velero\"", "prefix = \"other\"");
    colleague.workspace.write(&other)?;
    let location = ["exists already and is about something else", "spec.objectStorage.prefix is", "tofu import"];
    colleague.workspace.apply()?.fails(&location)?;
    // A schedule of that name into another target is another one, too.
    let renamed = other.replacen(&format!("name   = \"{}\"", world.name), &format!("name = \"{}-2\"", world.name), 1);
    colleague.workspace.write(&renamed)?;
    let schedule = ["exists already and is about something else", "spec.template.storageLocation is"];
    colleague.workspace.apply()?.fails(&schedule)?;
    colleague.workspace.destroy()?.ok()?;
    scene.workspace.plan_is_empty()
}

fn the_first_rights_of_the_guide_are_enough_for_targets_and_schedules(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    // Nothing but a letter: every kind is asked for before that is known.
    world.shared.cluster.namespace(&world.name)?;
    world.shared.api().apply(&letter(&world.name))?;
    let grants = &rights_of_guide("velero.md", 3, Velero::NAMESPACE)?[..2];
    let limited = world.shared.cluster.limit(&world.name, grants, &scene.workspace.path("kubeconfig"))?;
    scene.workspace.write(&limited(&world.configuration(&world.shared.cluster, "", "", "")))?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    scene.workspace.destroy()?.ok().map(drop)
}

fn what_velero_can_not_say_is_an_error_while_planning(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let good = world.configuration(&world.shared.cluster, "", "", "");
    let swaps: [(&str, &str, &[&str]); 9] = [
        ("\"30d\"", "\"6m\"", &["Retention that Velero can't keep", "in days"]),
        ("{ keep_within = \"30d\" }", "{ keep_daily = 7, keep_weekly = 4 }", &["a schedule for each tier", "\"28d\""]),
        ("retention = { keep_within = \"30d\" }", "", &["keep_within = \"30d\""]),
        ("\"0 3 * * 0\"", "\"0 3 * *\"", &["Unusable cron line"]),
        ("Pacific/Auckland", "Pacific/Aukland", &["Aukland"]),
        ("label_selector = { app = \"docs\" }", "excluded_namespaces = [\"*\"]", &["`*` leaves everything out"]),
        ("\"NotIn\"", "\"notin\"", &["\"notin\" is none of", "\"NotIn\""]),
        (", values = [\"cache\"]", "", &["A condition without sense", "name at least one in `values`"]),
        ("prefix = \"velero\"", "prefix = \"velero\", local = { path = \"/srv\" }", &["two places"]),
    ];
    for (from, to, expected) in swaps {
        ensure!(good.contains(from), "{from} is not in the configuration");
        scene.workspace.write(&good.replace(from, to))?;
        scene.workspace.plan()?.fails(expected)?;
    }
    Ok(())
}

fn a_cluster_that_is_gone_is_an_error_or_kept_or_lost_as_the_connection_says(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let cluster = Cluster::start()?;
    let velero = Velero::start(&cluster)?;
    let write = |scene: &Scene, more: &str| scene.workspace.write(&world.configuration(&cluster, more, "", ""));
    scene.workspace.trace();
    write(scene, "")?;
    scene.workspace.apply()?.ok()?;
    drop(velero);
    cluster.kill();
    // How long it is tried is not the point here.
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "10");
    scene.workspace.plan()?.fails(&["can't be reached"])?;
    // Nothing is taken for removed that may still run.
    let known = std::fs::read(scene.workspace.state_file())?;
    scene.workspace.destroy()?.fails(&["can't be reached"])?;
    write(scene, ", unreachable = \"keep\"")?;
    scene.workspace.destroy()?.fails(&["can't be reached"])?;
    let addresses = |state: &[u8]| {
        let state: Value = serde_json::from_slice(state)?;
        let all = state["resources"].as_array().context("resources")?.iter();
        Ok::<_, anyhow::Error>(all.map(|it| (it["type"].clone(), it["name"].clone())).collect::<Vec<_>>())
    };
    let left = std::fs::read(scene.workspace.state_file())?;
    ensure!(addresses(&left)? == addresses(&known)?, "a destroy forgot what it could not remove");
    let run = scene.workspace.plan()?.ok()?;
    ensure!(
        run.said().matches("Connection `prod` can't be reached").count() == 1,
        "one warning is enough: {}",
        run.said()
    );
    ensure!(scene.workspace.planned("dr_backup_schedule.daily")? == ["no-op"]);
    write(scene, ", unreachable = \"lost\"")?;
    scene.workspace.plan()?.ok()?;
    ensure!(scene.workspace.planned("dr_backup_schedule.daily")? == ["update"]);
    // A false alarm costs nothing.
    cluster.restart()?;
    scene.workspace.plan_is_empty()?;
    cluster.kill();
    let run = scene.workspace.destroy()?.ok()?;
    run.says(&["was not removed"])?;
    // Of what opens the cluster nothing was written down on the way.
    ensure!(scene.workspace.path("logs/trace.log").exists(), "there is no log to look at");
    let folders = ["configuration", "logs", "home", "tmp"];
    folders.iter().try_for_each(|folder| secrets::search(&scene.workspace.path(folder), &[cluster.token()]))
}

fn an_emptied_cluster_is_filled_again_by_one_apply(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let cluster = Cluster::start()?;
    let velero = Velero::start(&cluster)?;
    // A location of snapshots has a Secret of its own. Velero refuses every backup where that is missing.
    let snapshots = r#"backup_sync_period = "1m", volume_snapshot_location = {
      provider = "example.org/disks", config = { region = "here" }, existing_secret = { name = "disks", key = "cloud" }
    }"#;
    let configuration = world.configuration(&cluster, "", "", "");
    scene.workspace.write(&configuration.replace("backup_sync_period = \"1m\"", snapshots))?;
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "50");
    scene
        .workspace
        .apply()?
        .fails(&["Secret velero/disks with the key cloud", "depends_on = [kubernetes_secret.disks]"])?;
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "1");
    let of_disks = json!({ "apiVersion": "v1", "kind": "Secret",
        "metadata": { "name": "disks", "namespace": Velero::NAMESPACE }, "stringData": { "cloud": "[default]" } });
    cluster.api.apply(&of_disks)?;
    scene.workspace.apply()?.ok()?;
    // Without it Velero refuses every backup.
    cluster.api.delete("v1", "Secret", Velero::NAMESPACE, "disks")?;
    scene.workspace.run(&["apply", "-refresh-only", "-auto-approve", "-no-color", "-input=false"])?.ok()?;
    let drift = scene.workspace.attributes("dr_backup_target.main")?["drift"].to_string();
    ensure!(drift.contains("Secret disks is not there"), "{drift}");
    cluster.api.apply(&of_disks)?;
    let before = cluster.uid()?;
    drop(velero);
    cluster.empty()?;
    ensure!(cluster.uid()? != before);
    let velero = Velero::start(&cluster)?;
    cluster.api.apply(&of_disks)?;
    let run = scene.workspace.plan()?.ok()?;
    run.says(&["leads to another server"])?;
    scene.workspace.apply()?.ok()?;
    let schedule = cluster.api.get(Velero::API, "Schedule", Velero::NAMESPACE, &world.daily())?;
    ensure!(schedule.is_some(), "the schedule is not there again");
    let snapshots = cluster.api.get(Velero::API, "VolumeSnapshotLocation", Velero::NAMESPACE, &world.name)?;
    let spec = &snapshots.context("the location of snapshots")?["spec"];
    ensure!(spec["credential"] == json!({ "name": "disks", "key": "cloud" }), "{spec}");
    ensure!(scene.workspace.attributes("dr_backup_target.main")?["ref"]["server_uid"] == cluster.uid()?.as_str());
    scene.workspace.plan_is_empty()?;
    drop(velero);
    Ok(())
}

fn a_missing_crd_is_named_with_what_to_depend_on(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let cluster = Cluster::start()?;
    cluster.namespace(Velero::NAMESPACE)?;
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "50");
    scene.workspace.write(&world.configuration(&cluster, "", "", ""))?;
    scene.workspace.plan()?.ok()?;
    scene.workspace.apply()?.fails(&[
        "backupstoragelocations.velero.io (v1)",
        "helm_release.velero",
        "vmware-tanzu.github.io/helm-charts",
    ])?;
    let secret = cluster.api.get("v1", "Secret", Velero::NAMESPACE, &format!("dr-{}", world.name))?;
    ensure!(secret.is_none(), "a Secret was left behind");
    Ok(())
}

fn what_the_installed_version_lacks_is_told_before_anything_is_written(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let cluster = Cluster::start()?;
    let _velero = Velero::start(&cluster)?;
    // As if it were older.
    let (definitions, name) = ("apiextensions.k8s.io/v1", "backupstoragelocations.velero.io");
    let found = cluster.api.get(definitions, "CustomResourceDefinition", "", name)?;
    let mut spec = found.context("the definition")?["spec"].take();
    let fields = spec.pointer_mut("/versions/0/schema/openAPIV3Schema/properties/spec/properties");
    fields.and_then(Value::as_object_mut).context("its fields")?.remove("validationFrequency").context("the field")?;
    let patch = json!({ "spec": { "versions": spec["versions"] } });
    cluster.api.patch(definitions, "CustomResourceDefinition", "", name, &patch)?;

    let plain = world.configuration(&cluster, "", "", "");
    let newer = plain.replace("backup_sync_period = \"1m\"", "validation_frequency = \"1m\"");
    scene.workspace.write(&newer)?;
    let lacks = ".spec.validationFrequency";
    wait_for("the server to know its definition", Duration::from_secs(60), || {
        let run = scene.workspace.apply()?;
        Ok(run.fails(&["the installed version of BackupStorageLocation has no", lacks, "leave out the argument"]).ok())
    })?;
    let secret = || cluster.api.get("v1", "Secret", Velero::NAMESPACE, &format!("dr-{}", world.name));
    ensure!(secret()?.is_none(), "a Secret was left behind");

    scene.workspace.write(&plain)?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.write(&newer)?;
    let run = scene.workspace.plan()?.ok()?;
    run.says(&["The installed version of velero lacks something", lacks])?;
    scene.workspace.write(&plain)?;
    scene.workspace.plan()?.ok()?.never_says(&["lacks something"])?;
    scene.workspace.plan_is_empty()
}

fn another_line_of_a_schedule_starts_no_backup(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let configuration = world.configuration(&world.shared.cluster, "", "", "");
    scene.workspace.write(&configuration)?;
    scene.workspace.apply()?.ok()?;
    let (api, name) = (world.shared.api(), world.daily());
    let ago = |minutes: u32, format: &str| -> Result<String> {
        let output = Command::new("date").args(["-u", "-d", &format!("-{minutes} min"), format]).output()?;
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    };
    // It ran an hour and a half ago, and by the other line it would have half an hour ago.
    let ran = json!({ "status": { "lastBackup": ago(90, "+%Y-%m-%dT%H:%M:%SZ")? } });
    api.patch(Velero::API, "Schedule", Velero::NAMESPACE, &name, &ran)?;
    let line = format!("{} * * * *", ago(30, "+%-M")?);
    let hourly = configuration.replace("\"0 2 * * *\"", &format!("{line:?}"));
    scene.workspace.write(&hourly.replace("time_zone = \"Pacific/Auckland\"", ""))?;
    scene.workspace.apply()?.ok()?;
    wait_for("Velero to look at it", Duration::from_secs(90), || {
        Ok(world.get("Schedule", &name)?["status"]["lastSkipped"].is_string().then_some(()))
    })?;
    std::thread::sleep(Duration::from_secs(5));
    let ours = |backup: &Value| backup["metadata"]["labels"]["velero.io/schedule-name"] == name.as_str();
    let backups = api.list(Velero::API, "Backup", Velero::NAMESPACE)?;
    ensure!(!backups.iter().any(ours), "it ran because it was edited");
    ensure!(world.get("Schedule", &name)?["spec"]["skipImmediately"] == false);
    scene.workspace.plan_is_empty()
}

fn what_may_not_be_done_is_told_with_the_rule_that_is_missing(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let token = world.shared.cluster.service_user(&format!("{}-none", world.name), &[])?;
    let kubeconfig = scene.workspace.path("kubeconfig");
    std::fs::write(&kubeconfig, world.shared.cluster.kubeconfig_for(&token))?;
    let configuration = world.configuration(&world.shared.cluster, "", "", "");
    let admin = format!("{:?}", world.shared.cluster.kubeconfig_path());
    scene.workspace.write(&configuration.replace(&admin, &format!("{kubeconfig:?}")))?;
    scene.workspace.apply()?.fails(&["forbids", "namespaces", "verbs: [\"get\"]"])?;
    Ok(())
}

fn an_import_needs_no_change(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    world.write(scene, "", "")?;
    scene.workspace.apply()?.ok()?;
    std::fs::remove_file(scene.workspace.state_file())?;
    let name = &world.name;
    scene.workspace.apply_with(&["-target=dr_retention_policy.week"])?.ok()?;
    scene.workspace.import("dr_backup_target.main", &format!("velero:prod/velero/{name}"))?.ok()?;
    for schedule in ["daily", "weekly"] {
        let address = format!("dr_backup_schedule.{schedule}");
        scene.workspace.import(&address, &format!("velero:prod/velero/{name}-{schedule}"))?.ok()?;
    }
    scene.workspace.plan_is_empty()?;
    scene.workspace.import("dr_backup_schedule.daily", "velero:prod/velero/nothing")?.fails(&[""])?;

    // What the model has no word for would be lost with the object.
    let api = world.shared.api();
    let more = json!({ "spec": { "template": { "defaultVolumesToRestic": true, "ttl": "90m0s" } } });
    api.patch(Velero::API, "Schedule", Velero::NAMESPACE, &world.daily(), &more)?;
    let more = json!({ "spec": { "objectStorage": { "caCert": "cGVt" } } });
    api.patch(Velero::API, "BackupStorageLocation", Velero::NAMESPACE, name, &more)?;
    std::fs::remove_file(scene.workspace.state_file())?;
    let target = format!("velero:prod/velero/{name}");
    scene.workspace.import("dr_backup_target.main", &target)?.fails(&["`spec.objectStorage.caCert`"])?;
    let import = |scene: &Scene| {
        scene.workspace.import("dr_backup_schedule.daily", &format!("velero:prod/velero/{}", world.daily()))
    };
    import(scene)?.fails(&["`spec.template.ttl`", "90m0s", "whole hours"])?;
    let hours = json!({ "spec": { "template": { "ttl": "168h0m0s" } } });
    api.patch(Velero::API, "Schedule", Velero::NAMESPACE, &world.daily(), &hours)?;
    import(scene)?.fails(&["sets `spec.template.defaultVolumesToRestic`"])?;
    Ok(())
}

fn a_lost_cluster_is_made_again_by_the_apply_that_finds_another(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let cluster = Cluster::start()?;
    let velero = Velero::start(&cluster)?;
    scene.workspace.write(&world.configuration(&cluster, "", "", ""))?;
    scene.workspace.apply()?.ok()?;
    drop(velero);
    cluster.kill();
    // Planned while nobody answers, applied when another cluster does: nothing is refreshed in between.
    scene.workspace.write(&world.configuration(&cluster, ", unreachable = \"lost\"", "", ""))?;
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "10");
    scene.workspace.plan()?.ok()?;
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "1");
    cluster.empty()?;
    let velero = Velero::start(&cluster)?;
    scene.workspace.apply_plan()?.ok().with_context(|| velero.controller.log())?;
    let schedule = cluster.api.get(Velero::API, "Schedule", Velero::NAMESPACE, &world.daily())?;
    ensure!(schedule.is_some(), "the apply made nothing on the new cluster");
    scene.workspace.plan_is_empty()
}

fn the_old_half_of_a_replacement_leaves_what_the_new_one_uses(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    world.write(scene, "", "lifecycle {\n    create_before_destroy = true\n  }")?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.apply_with(&["-replace=dr_backup_schedule.daily"])?.ok()?;
    world.get("Schedule", &world.daily())?;
    scene.workspace.plan_is_empty()
}

fn a_destroy_with_the_wrong_cluster_removes_nothing_there(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    world.write(scene, "", "")?;
    scene.workspace.apply()?.ok()?;
    let other = Cluster::start()?;
    let velero = Velero::start(&other)?;
    let elsewhere = scene.copy("elsewhere")?;
    let mut elsewhere = elsewhere;
    world.settings(&mut elsewhere);
    std::fs::remove_file(elsewhere.workspace.state_file())?;
    elsewhere.workspace.write(&world.configuration(&other, "", "", ""))?;
    elsewhere.workspace.apply()?.ok()?;
    // The first configuration leads to the other cluster by mistake.
    scene.workspace.write(&world.configuration(&other, "", "", ""))?;
    scene.workspace.destroy()?.ok()?;
    let kept = other.api.get(Velero::API, "Schedule", Velero::NAMESPACE, &world.daily())?;
    ensure!(kept.is_some(), "another workspace's schedule was removed");
    drop(velero);
    Ok(())
}

fn two_resources_for_one_object_are_an_error(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let configuration = world.configuration(&world.shared.cluster, "", "", "");
    let twice = configuration.replace("-weekly", "-daily").replace("30d", "7d");
    scene.workspace.write(&twice)?;
    scene.workspace.apply()?.fails(&["Two resources for one object", "Give this one another name"])?;
    scene.workspace.write(&configuration)?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()
}

fn what_is_being_deleted_is_waited_for_and_its_finalizer_named(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    world.write(scene, "", "")?;
    scene.workspace.apply()?.ok()?;
    let api = &world.shared.cluster.api;
    let kept = |finalizers: Value| {
        let patch = json!({ "metadata": { "finalizers": finalizers } });
        api.patch(Velero::API, "Schedule", Velero::NAMESPACE, &world.daily(), &patch)
    };
    kept(json!(["example.org/hold"]))?;
    api.delete(Velero::API, "Schedule", Velero::NAMESPACE, &world.daily())?;

    // What is being deleted is as good as gone, and nothing is written into it.
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "20");
    scene.workspace.apply()?.fails(&[
        "will be created",
        "is being deleted, and is still there",
        "it waits for example.org/hold",
    ])?;
    kept(Value::Null)?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;

    // A destroy says so, too, and goes on when somebody lets go.
    kept(json!(["example.org/hold"]))?;
    scene.workspace.destroy()?.fails(&["it waits for example.org/hold"])?;
    kept(Value::Null)?;
    scene.workspace.destroy()?.ok().map(drop)
}

fn what_moves_to_another_cluster_is_taken_off_the_old_one(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let other = Cluster::start()?;
    let _velero = Velero::start(&other)?;
    let both = format!("}}, other = {{ kubeconfig = {:?}, context = \"test\"", other.kubeconfig_path());
    let configuration = world.configuration(&world.shared.cluster, &both, "", "");
    scene.workspace.write(&configuration)?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.write(&configuration.replace("cluster = \"prod\"", "cluster = \"other\""))?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    for (kind, name) in [("BackupStorageLocation", world.name.clone()), ("Schedule", world.daily())] {
        ensure!(world.get(kind, &name).is_err(), "{kind} {name} is still on the old cluster");
        ensure!(other.api.get(Velero::API, kind, Velero::NAMESPACE, &name)?.is_some(), "no {kind} on the new one");
    }
    Ok(())
}

fn a_secret_may_get_another_name(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let named = |name: &str| {
        let keys = &world.s3.credentials;
        let secrets = format!("  secrets = {{ {name} = \"{}:{}\" }}\n  s3 = {{", keys.id, keys.secret);
        let configuration = world.configuration(&world.shared.cluster, "", "", "");
        configuration.replacen("  s3 = {", &secrets, 1).replace(&world.secret(), name)
    };
    scene.workspace.write(&named("keys"))?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.write(&named("keys_of_velero"))?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()
}

fn a_new_value_in_the_provider_block_is_a_change(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let (id, secret) = (&world.s3.credentials.id, &world.s3.credentials.secret);
    let text = world.configuration(&world.shared.cluster, "", "", "").replace(&world.secret(), "in_the_block");
    let with = |value: &str| {
        let block = format!("provider \"dr\" {{\n  secrets = {{ in_the_block = {value:?} }}\n");
        text.replacen("provider \"dr\" {\n", &block, 1)
    };
    scene.workspace.write(&with(&format!("{id}:{secret}")))?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    scene.workspace.write(&with(&format!("{id}:{SECRET}")))?;
    scene.workspace.plan()?.ok()?.says(&["stale"])?.never_says(&[SECRET])?;
    ensure!(scene.workspace.planned("dr_backup_target.main")? == ["update"]);
    let state = std::fs::read_to_string(scene.workspace.state_file())?;
    ensure!(!state.contains(SECRET) && !state.contains(secret), "a secret is in the state");
    scene.workspace.write(&with(&format!("{id}:{secret}")))?;
    scene.workspace.plan_is_empty()
}

fn what_was_a_manifest_is_moved_and_read_like_an_import(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    world.write(scene, "", "")?;
    scene.workspace.apply()?.ok()?;
    let (api, namespace) = (Velero::API, Velero::NAMESPACE);
    let targets = scene.as_manifests("dr_backup_target", api, "BackupStorageLocation", namespace)?;
    let schedules = scene.as_manifests("dr_backup_schedule", api, "Schedule", namespace)?;
    let manifests = std::fs::read(scene.workspace.state_file())?;
    let configuration =
        |more: &str| format!("{}{targets}{schedules}", world.configuration(&world.shared.cluster, more, "", ""));
    scene.workspace.write(&configuration(""))?;
    scene.workspace.apply()?.ok()?.says(&["0 added, 0 changed, 0 destroyed"])?;
    scene.workspace.plan_is_empty()?;

    // With two clusters nobody can say which of them it is on.
    let other = ", aliases = [] }, other = { host = \"https://127.0.0.1:1\", token = \"t\"";
    std::fs::write(scene.workspace.state_file(), manifests)?;
    scene.workspace.write(&configuration(other))?;
    scene.workspace.plan()?.fails(&["Unable to tell which cluster", "has 2 under `kubernetes`"])?;
    Ok(())
}

/// What a namespace holds.
fn letter(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "letters", "namespace": namespace }, "data": { "first": "Dear all" },
    })
}

/// A namespace with an object, a target, and more.
fn with_backup(scene: &mut Scene) -> Result<(World, impl Fn(&str, &str) -> String + use<>)> {
    let world = World::new(scene)?;
    let (name, secret) = (world.name.clone(), world.secret());
    world.shared.cluster.namespace(&name)?;
    world.shared.api().apply(&letter(&name))?;
    let (s3, cluster) = (world.s3, &world.shared.cluster);
    let configuration = move |job: &str, rest: &str| {
        let job = match job {
            "" => String::new(),
            job => format!(
                r#"resource "dr_backup_job" "now" {{
  name   = "{name}"
  target = dr_backup_target.main.ref
  velero = {{ included_namespaces = ["{name}"], snapshot_volumes = false }}
  {job}
}}"#
            ),
        };
        format!(
            r#"{provider}

resource "dr_backup_target" "main" {{
  name   = "{name}"
  store  = {{ s3 = "minio", bucket = "{name}", prefix = "velero", credentials = "{secret}" }}
  velero = {{ cluster = "prod" }}
}}

{job}
"#,
            provider = provider(s3, cluster, "", rest),
        )
    };
    Ok((world, configuration))
}

const KEEP: &str = "deletion_policy = \"keep\"";
const DELETE: &str = "deletion_policy = \"delete\"";

impl World {
    /// The name of the backup that the job made, which is in the bucket.
    fn stored(&self, scene: &Scene) -> Result<String> {
        let job = scene.workspace.attributes("dr_backup_job.now")?;
        let backup = job["result"]["point"]["id"].as_str().context("a backup")?.to_owned();
        ensure!(self.holds(&backup)?, "{backup} is not in the bucket");
        Ok(backup)
    }

    fn holds(&self, backup: &str) -> Result<bool> {
        Ok(!self.s3.keys(&self.name, &format!("velero/backups/{backup}/"))?.is_empty())
    }
}

fn a_backup_goes_with_its_job_only_where_that_is_asked_for(scene: &mut Scene) -> Result<()> {
    let (world, configuration) = with_backup(scene)?;
    let api = world.shared.api();
    scene.workspace.write(&configuration(KEEP, ""))?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    let kept = world.stored(scene)?;
    scene.workspace.write(&configuration("", ""))?;
    scene.workspace.plan()?.ok()?.never_says(&["A backup will be deleted"])?;
    scene.workspace.apply()?.ok()?;
    ensure!(world.holds(&kept)? && world.get("Backup", &kept).is_ok(), "it was to be kept");

    // Another run of the same job leaves the one before alone.
    scene.workspace.write(&configuration(DELETE, ""))?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    let deleted = world.stored(scene)?;
    ensure!(deleted != kept);
    scene.workspace.write(&configuration("", ""))?;
    scene.workspace.plan()?.ok()?.says(&["A backup will be deleted", &deleted])?;
    scene.workspace.apply()?.ok()?;
    ensure!(!world.holds(&deleted)? && world.get("Backup", &deleted).is_err(), "{deleted} is still there");
    ensure!(world.holds(&kept)? && world.get("Backup", &kept).is_ok(), "another backup went too");
    let requests = api.list(Velero::API, "DeleteBackupRequest", Velero::NAMESPACE)?;
    ensure!(requests.iter().all(|request| request["spec"]["backupName"] != deleted.as_str()), "{requests:?}");

    // The cluster has forgotten it, and the bucket has not: Velero looks there first.
    scene.workspace.write(&configuration(DELETE, ""))?;
    scene.workspace.apply()?.ok()?;
    let forgotten = world.stored(scene)?;
    api.delete(Velero::API, "Backup", Velero::NAMESPACE, &forgotten)?;
    scene.workspace.write(&configuration("", ""))?;
    scene.workspace.apply()?.ok()?;
    ensure!(!world.holds(&forgotten)? && world.get("Backup", &forgotten).is_err(), "{forgotten} is still there");

    // What is gone already is no error.
    scene.workspace.write(&configuration(DELETE, ""))?;
    scene.workspace.apply()?.ok()?;
    let gone = world.stored(scene)?;
    for key in world.s3.keys(&world.name, &format!("velero/backups/{gone}/"))? {
        world.s3.delete(&world.name, &key)?;
    }
    api.delete_and_wait(Velero::API, "Backup", Velero::NAMESPACE, &gone)?;
    scene.workspace.destroy()?.ok()?;
    ensure!(world.holds(&kept)?, "another backup went too");
    Ok(())
}

fn a_backup_that_may_not_be_deleted_stays_and_the_reason_is_told(scene: &mut Scene) -> Result<()> {
    let (world, configuration) = with_backup(scene)?;
    let api = world.shared.api();
    scene.workspace.write(&configuration(&format!("{DELETE}\n  on = [\"create\", \"destroy\"]"), ""))?;
    scene.workspace.plan()?.fails(&["A last backup that is deleted"])?;
    scene.workspace.write(&configuration("deletion_policy = \"prevent\"", ""))?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_with(&["-destroy"])?.fails(&["Destroy prevented"])?;
    scene.workspace.write(&configuration(DELETE, ""))?;
    scene.workspace.apply()?.ok()?;
    let backup = world.stored(scene)?;

    // The target refuses a state that no drill made, and so does the job by itself.
    let mut drill = scene.copy("drill")?;
    world.settings(&mut drill);
    drill.workspace.run(&["state", "rm", "dr_backup_target.main"])?.ok()?;
    let mode = "mode = \"drill\"\n  drill = { connections = [\"prod\"], namespaces = [\"*\"] }";
    drill.workspace.write(&configuration(DELETE, mode))?;
    drill.workspace.apply_with(&["-destroy", "-refresh=false"])?.fails(&["Nothing is deleted in a drill"])?;
    let destroy = ["-destroy", "-target=dr_backup_job.now"];
    let access = |mode: &str| {
        let patch = json!({ "spec": { "accessMode": mode } });
        api.patch(Velero::API, "BackupStorageLocation", Velero::NAMESPACE, &world.name, &patch)
    };
    access("ReadOnly")?;
    scene
        .workspace
        .apply_with(&["-destroy", "-target=dr_backup_job.now", "-refresh=false"])?
        .fails(&["is read-only"])?;
    access("ReadWrite")?;

    // What the cluster knows by that name lies elsewhere.
    let at = |location: &str| {
        let patch = json!({ "spec": { "storageLocation": location } });
        api.patch(Velero::API, "Backup", Velero::NAMESPACE, &backup, &patch)
    };
    at("nowhere")?;
    scene.workspace.apply_with(&destroy)?.fails(&["knows another backup", "nowhere"])?;
    at(&world.name)?;

    // Somebody restores from it.
    let restore = json!({
        "apiVersion": Velero::API, "kind": "Restore", "metadata": { "name": &backup, "namespace": Velero::NAMESPACE },
        "spec": { "backupName": backup }, "status": { "phase": "InProgress" },
    });
    api.apply(&restore)?;
    scene.workspace.apply_with(&destroy)?.fails(&["Restore", "reads the backup"])?;
    api.delete(Velero::API, "Restore", Velero::NAMESPACE, &backup)?;

    // What it holds is gone since.
    api.delete("v1", "ConfigMap", &world.name, "letters")?;
    scene.workspace.apply_with(&destroy)?.fails(&["holds what may be lost", "first_backup", "deletion_policy"])?;
    api.apply(&letter(&world.name))?;

    // Velero's own words: a snapshot of a location that it does not know.
    let key = format!("velero/backups/{backup}/{backup}-volumesnapshots.json.gz");
    let before = world.s3.get(&world.name, &key)?;
    let snapshot = json!([{
        "spec": { "backupName": backup, "location": "nowhere", "persistentVolumeName": "pv" },
        "status": { "providerSnapshotID": "snap-1", "phase": "Completed" },
    }]);
    let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
    packed.write_all(snapshot.to_string().as_bytes())?;
    world.s3.put(&world.name, &key, &packed.finish()?)?;
    scene.workspace.apply_with(&destroy)?.fails(&["could not remove", "nowhere", "deletion_policy"])?;
    ensure!(world.holds(&backup)?, "it went all the same");
    world.s3.put(&world.name, &key, &before)?;
    let back = json!({ "status": { "phase": "Completed" } });
    api.patch(Velero::API, "Backup", Velero::NAMESPACE, &backup, &back)?;

    // One that another run made is not the job's.
    let label = |run: &str| json!({ "metadata": { "labels": { "dr/run": run } } });
    api.patch(Velero::API, "Backup", Velero::NAMESPACE, &backup, &label("another"))?;
    scene.workspace.apply_with(&destroy)?.ok()?.says(&["is another one than this job made"])?;
    ensure!(world.holds(&backup)? && world.get("Backup", &backup).is_ok(), "another run's backup went");
    Ok(())
}
