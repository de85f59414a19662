//! Import of what exists; jobs are records and say so.

use std::fs;
use std::time::Duration;

use acceptance_tests::cli::Kind;
use acceptance_tests::servers::kubernetes::K8up;
use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::k8up::{PASSWORD, World};
use crate::scene::Scene;

both_clis!(
    a_target_is_imported,
    a_target_is_imported_by_a_block_and_nothing_is_left_to_do,
    a_policy_is_imported_by_its_name_and_the_next_apply_sets_its_rules,
    a_job_is_not_imported_and_says_what_to_do,
    a_malformed_id_says_what_one_looks_like,
    k8up_objects_of_ours_are_imported_and_nothing_changes,
    k8up_objects_of_others_are_imported_and_left_as_they_are,
    k8up_objects_that_can_not_be_said_are_refused_by_the_field,
);

fn a_target_is_imported(scene: &mut Scene) -> Result<()> {
    let before = scene.backed_up()?;
    let id = scene.repository_id()?;
    fs::remove_file(scene.workspace.state_file())?;
    let scope = scene.repository();
    let scope = scope.to_string_lossy();
    let import_id = format!("restic:local/{}/documents", scope.trim_start_matches('/'));
    scene.workspace.import("dr_backup_target.documents", &import_id)?.ok()?;
    ensure!(scene.repository_id()? == id, "another repository was imported");
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    before.assert_same(&scene.data())
}

fn a_policy_is_imported_by_its_name_and_the_next_apply_sets_its_rules(scene: &mut Scene) -> Result<()> {
    let address = "dr_retention_policy.tiered";
    let configuration = r#"terraform {
  required_providers {
    dr = { source = "dr-as-code/dr" }
  }
}

resource "dr_retention_policy" "tiered" {
  name        = "tiered"
  keep_last   = 20
  keep_within = "14d"
}

output "keep" {
  value = dr_retention_policy.tiered.keep
}
"#;
    scene.workspace.write(configuration)?;
    scene.workspace.import(address, "Tiered")?.fails(&["lower-case letters"])?;
    scene.workspace.import(address, "tiered")?.ok()?;
    let imported = scene.workspace.attributes(address)?;
    ensure!(imported["name"] == "tiered" && imported["keep_last"].is_null(), "{imported}");
    scene.workspace.plan()?.ok()?.says(&["0 to add, 1 to change, 0 to destroy"])?;
    settled(scene, address)?;

    fs::remove_file(scene.workspace.state_file())?;
    scene.workspace.write(&format!("{configuration}\nimport {{\n  to = {address}\n  id = \"tiered\"\n}}\n"))?;
    scene.workspace.plan()?.ok()?.says(&["1 to import, 0 to add, 1 to change, 0 to destroy"])?;
    settled(scene, address)
}

/// The kept plan sets the policy's rules, and then nothing is left to do.
fn settled(scene: &Scene, address: &str) -> Result<()> {
    ensure!(scene.workspace.planned(address)? == ["update"]);
    scene.workspace.apply_plan()?.ok()?;
    let keep = scene.workspace.attributes(address)?["keep"].take();
    ensure!(keep["keep_last"] == 20 && keep["keep_within"] == "14d" && keep["keep_daily"].is_null(), "{keep}");
    scene.workspace.plan_is_empty()
}

fn a_job_is_not_imported_and_says_what_to_do(scene: &mut Scene) -> Result<()> {
    scene.backed_up()?;
    fs::remove_file(scene.workspace.state_file())?;
    for (kind, instead) in [("dr_restore_job", "adopts the run"), ("dr_backup_job", "stores one backup more")] {
        let data = scene.data();
        let id = format!("restic:local/{}/documents", data.to_string_lossy().trim_start_matches('/'));
        scene.workspace.import(&format!("{kind}.documents"), &id)?.fails(&["Apply the job", instead])?;
    }
    Ok(())
}

fn a_malformed_id_says_what_one_looks_like(scene: &mut Scene) -> Result<()> {
    scene.write(&scene.documents())?;
    scene
        .workspace
        .import("dr_backup_target.documents", "documents")?
        .fails(&["<engine>:<connection>/<scope>/<name>"])?;
    Ok(())
}

fn a_target_is_imported_by_a_block_and_nothing_is_left_to_do(scene: &mut Scene) -> Result<()> {
    scene.backed_up()?;
    let id = scene.repository_id()?;
    let scope = scene.repository().to_string_lossy().trim_start_matches('/').to_owned();
    let mut ways = vec![format!("id = \"restic:local/{scope}/documents\"")];
    // Terraform has it since 1.12.
    if scene.workspace.cli.kind == Kind::Tofu {
        ways.push(format!(
            "identity = {{ engine = \"restic\", connection = \"local\", scope = \"{scope}\", name = \"documents\" }}"
        ));
    }
    for way in ways {
        fs::remove_file(scene.workspace.state_file())?;
        let mut documents = scene.documents();
        documents.more = format!("import {{\n  to = dr_backup_target.documents\n  {way}\n}}");
        scene.write(&documents)?;
        scene.workspace.plan()?.ok()?.says(&["1 to import, 3 to add, 0 to change, 0 to destroy"])?;
        scene.workspace.apply_plan()?.ok()?;
        ensure!(scene.repository_id()? == id, "another repository was imported");
        scene.workspace.plan_is_empty()?;
    }
    Ok(())
}

fn k8up_id(world: &World, name: &str) -> String {
    format!("k8up:prod/{}/{name}", world.name)
}

fn k8up_objects_of_ours_are_imported_and_nothing_changes(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let schedule = format!(
        r#"retention = {{ keep_last = 3, keep_daily = 7, keep_yearly = 1 }}
  k8up = {{
    prune                          = {{ cron = "0 5 * * 0" }}
    check                          = {{ cron = "@weekly" }}
    archive                        = {{ cron = "0 6 1 1 *", s3 = "minio", bucket = "{}-archive", credentials = "k8up_keys" }}
    tags                           = ["nightly"]
    label_selectors                = [{{ app = "wiki" }}, {{ app = "shop", tier = "db" }}]
    concurrent_runs_allowed        = true
    failed_jobs_history_limit      = 5
    pod_security_context           = {{ runAsUser = 1000, runAsNonRoot = true }}
    resource_requirements_template = {{ limits = {{ memory = "1Gi" }} }}
  }}"#,
        world.name
    );
    scene.workspace.write(&world.configuration("", &schedule))?;
    scene.workspace.apply()?.ok()?;
    // The operator writes the whole object once more when it takes it up.
    let taken_up = |schedule: &Value| schedule["metadata"]["finalizers"].is_array();
    let api = world.shared.api();
    let schedule = api.wait(K8up::API, "Schedule", &world.name, "nightly", Duration::from_secs(60), taken_up)?;
    let made = schedule["metadata"]["generation"].clone();
    fs::remove_file(scene.workspace.state_file())?;
    let (target, nightly) = ("dr_backup_target.main", "dr_backup_schedule.nightly");
    scene.workspace.import(nightly, &k8up_id(&world, "nothing"))?.fails(&["There is nothing to import"])?;
    scene.workspace.import(target, &k8up_id(&world, "main"))?.ok()?;
    scene.workspace.import(nightly, &k8up_id(&world, "nightly"))?.ok()?;
    scene.workspace.plan_is_empty()?;

    // What was a manifest is moved and read like an import.
    let moved = scene.as_manifests("dr_backup_schedule", K8up::API, "Schedule", &world.name)?;
    let file = scene.workspace.folder().join("main.tf");
    fs::write(&file, format!("{}{moved}", fs::read_to_string(&file)?))?;
    scene.workspace.apply()?.ok()?.says(&["0 added, 0 changed, 0 destroyed"])?;
    scene.workspace.plan_is_empty()?;
    ensure!(world.schedule()?["metadata"]["generation"] == made, "something was changed");

    // The password is in nobody's hands but the cluster's: an apply would write another one over it.
    let another = json!({ "stringData": { "password": "canary-another-password-1f" } });
    api.patch("v1", "Secret", &world.name, "dr-main", &another)?;
    fs::remove_file(scene.workspace.state_file())?;
    for (address, name) in [(target, "main"), (nightly, "nightly")] {
        let run = scene.workspace.import(address, &k8up_id(&world, name))?;
        run.fails(&["none of the provider's `secrets`"])?.never_says(&["canary-another-password-1f"])?;
    }
    Ok(())
}

/// A repository's Secret that something else makes.
fn k8up_secret(world: &World, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": name, "namespace": world.name },
        "stringData": {
            "password": PASSWORD,
            "access_key_id": world.s3.credentials.id,
            "secret_access_key": world.s3.credentials.secret,
        },
    })
}

/// An object of k8up's that something else makes, of a repository at a prefix.
fn k8up_object(world: &World, kind: &str, name: &str, prefix: &str, mut spec: Value) -> Value {
    let key = |key: &str| json!({ "name": "main", "key": key });
    spec["backend"] = json!({
        "repoPasswordSecretRef": key("password"),
        "s3": {
            "endpoint": world.s3.endpoint,
            "bucket": format!("{}/{prefix}", world.name),
            "accessKeyIDSecretRef": key("access_key_id"),
            "secretAccessKeySecretRef": key("secret_access_key"),
        },
    });
    let metadata = json!({ "name": name, "namespace": world.name });
    json!({ "apiVersion": K8up::API, "kind": kind, "metadata": metadata, "spec": spec })
}

/// The configuration of what others made.
fn k8up_of_others(world: &World, schedule: &str) -> String {
    let secret = "password = \"k8up_repository\", existing_secret = { name = \"main\" }";
    let target = world.configuration("", schedule).replace(", credentials = \"k8up_keys\"", "");
    target.replace("password = \"k8up_repository\"", secret)
}

const K8UP_SCHEDULE: &str = r#"retention = { keep_last = 3, keep_daily = 14 }
  k8up = { prune = { cron = "0 5 * * 0" }, tags = ["nightly"] }"#;

fn k8up_objects_of_others_are_imported_and_left_as_they_are(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let api = world.shared.api();
    let limited = world.limited(scene)?;
    scene.workspace.write(&limited(&k8up_of_others(&world, K8UP_SCHEDULE)))?;
    let import = |address: &str, name: &str| scene.workspace.import(address, &k8up_id(&world, name));
    let (target, nightly) = ("dr_backup_target.main", "dr_backup_schedule.nightly");

    // k8up has no object for a repository: what uses it says where it is, a Schedule before anything else.
    api.apply_as("external-secrets", &k8up_secret(&world, "main"))?;
    import(target, "main")?.fails(&["There is nothing to import", "dr-main"])?;
    import(target, "main/main")?.fails(&["nothing says where it is", "repoPasswordSecretRef"])?;
    api.apply_as("kubectl", &k8up_object(&world, "Check", "once", "elsewhere", json!({})))?;
    import(target, "main/main")?.ok()?;
    ensure!(scene.workspace.attributes(target)?["store"]["prefix"] == "elsewhere");
    fs::remove_file(scene.workspace.state_file())?;
    let spec = json!({
        "backup": { "schedule": "CRON_TZ=Pacific/Auckland 0 2 * * *", "tags": ["nightly"] },
        "prune": { "schedule": "CRON_TZ=Pacific/Auckland 0 5 * * 0", "retention": { "keepLast": 3, "keepDaily": 14 } },
    });
    api.apply_as("kubectl", &k8up_object(&world, "Schedule", "nightly", "volumes", spec))?;
    import(target, "main/main")?.ok()?;
    import(nightly, "nightly")?.ok()?;
    scene.workspace.plan_is_empty()?;
    let made = world.schedule()?["metadata"].clone();

    // What k8up does when nobody says a number or a zone is said, and the plan shows it.
    let spec = json!({
        "backup": { "schedule": "0 2 * * *", "tags": ["nightly"] },
        "prune": { "schedule": "0 5 * * 0", "retention": { "keepLast": 3 } },
    });
    api.apply_as("kubectl", &k8up_object(&world, "Schedule", "nightly", "volumes", spec))?;
    scene.workspace.run(&["state", "rm", nightly])?.ok()?;
    let in_utc = limited(&k8up_of_others(&world, K8UP_SCHEDULE)).replace("time_zone = \"Pacific/Auckland\"", "");
    scene.workspace.write(&in_utc)?;
    scene.workspace.import(nightly, &k8up_id(&world, "nightly"))?.ok()?;
    scene.workspace.plan()?.ok()?.says(&["CRON_TZ=UTC 0 2 * * *", "keepDaily is not 14"])?;
    ensure!(scene.workspace.planned(nightly)? == ["update"]);
    scene.workspace.apply()?.fails(&["kubectl", "force_conflicts"])?;
    scene.workspace.write(&in_utc.replace("k8up = { prune", "k8up = { force_conflicts = true, prune"))?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    let schedule = world.schedule()?;
    ensure!(schedule["metadata"]["uid"] == made["uid"], "another Schedule was made");
    ensure!(schedule["spec"]["prune"]["retention"] == json!({ "keepLast": 3, "keepDaily": 14 }), "{schedule}");
    ensure!(schedule["spec"]["backup"]["schedule"] == "CRON_TZ=UTC 0 2 * * *", "{schedule}");

    // Two places with one password are no target.
    let spec = json!({ "check": { "schedule": "@weekly" } });
    api.apply_as("kubectl", &k8up_object(&world, "Schedule", "other", "other", spec))?;
    fs::remove_file(scene.workspace.state_file())?;
    scene.workspace.import(target, &k8up_id(&world, "main/main"))?.fails(&["Schedule", "in two places"])?;
    Ok(())
}

fn k8up_objects_that_can_not_be_said_are_refused_by_the_field(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let api = world.shared.api();
    scene.workspace.write(&k8up_of_others(&world, K8UP_SCHEDULE))?;
    api.apply_as("external-secrets", &k8up_secret(&world, "main"))?;
    let cases: [(Value, &[&str]); 7] = [
        (
            json!({ "backup": { "schedule": "@daily", "activeDeadlineSeconds": 60 } }),
            &["`spec.backup.activeDeadlineSeconds`"],
        ),
        (json!({ "backup": { "schedule": "@daily-random" } }), &["`spec.backup.schedule`"]),
        (json!({ "backup": { "schedule": "@every 6h" } }), &["`spec.backup.schedule`", "0 */6 * * *"]),
        (
            json!({ "backup": { "schedule": "@daily" }, "failedJobsHistoryLimit": 4 }),
            &["`spec.failedJobsHistoryLimit`"],
        ),
        (json!({ "check": { "schedule": "@weekly" } }), &["has no `spec.backup`"]),
        (
            json!({ "backup": { "schedule": "TZ=Asia/Tokyo @daily" }, "check": { "schedule": "@weekly" } }),
            &["`spec.check.schedule`"],
        ),
        (
            json!({ "backup": { "schedule": "@daily" }, "restore": { "schedule": "@weekly", "tags": ["a"] } }),
            &["`spec.restore.schedule`", "`spec.restore.tags`"],
        ),
    ];
    let count = cases.len();
    for (number, (spec, fields)) in cases.into_iter().enumerate() {
        let name = format!("case-{number}");
        api.apply_as("kubectl", &k8up_object(&world, "Schedule", &name, "volumes", spec))?;
        scene.workspace.import("dr_backup_schedule.nightly", &k8up_id(&world, &name))?.fails(fields)?;
    }

    // A Secret without the keys of the bucket is no target's, nor is one that leads nowhere.
    let (target, id) = ("dr_backup_target.main", k8up_id(&world, "main/main"));
    api.patch("v1", "Secret", &world.name, "main", &json!({ "data": { "access_key_id": null } }))?;
    scene.workspace.import(target, &id)?.fails(&["holds no `access_key_id`"])?;
    for number in 0..count {
        let elsewhere = json!({ "spec": { "backend": { "s3": { "endpoint": "http://nowhere" } } } });
        api.patch(K8up::API, "Schedule", &world.name, &format!("case-{number}"), &elsewhere)?;
    }
    scene.workspace.import(target, &id)?.fails(&["leads to no S3 connection"])?;
    Ok(())
}
