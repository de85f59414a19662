//! A cluster is lost and comes back by one apply: what Velero stored is restored before it is backed up again, once, with the
//! application down meanwhile.

use std::time::Duration;

use acceptance_tests::docs;
use acceptance_tests::parts;
use acceptance_tests::servers::kubernetes::{Cluster, Shared, Velero, rights_of_guide, shared, wait_for};
use acceptance_tests::servers::{Minio, S3};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::scene::Scene;
use crate::velero::provider;

both_clis!(
    a_lost_cluster_comes_back_by_one_apply,
    a_lost_cluster_comes_back_without_its_state,
    an_empty_second_server_gets_everything_back_whatever_became_of_the_first,
    a_lost_cluster_comes_back_by_the_apply_that_installs_velero,
    a_restore_takes_the_application_down_and_brings_it_back_exactly,
    a_restore_that_is_killed_is_taken_over_and_the_application_comes_back,
    a_new_namespace_is_not_stored_over_the_backups_of_the_old_one,
    a_drill_restores_elsewhere_and_leaves_the_storage_as_it_was,
    the_rights_in_the_guide_are_enough,
    the_guide_rebuilds_a_cluster_word_for_word,
);

const MINUTE: Duration = Duration::from_secs(60);

/// Everything that protects one namespace.
pub fn configuration(s3: &S3, cluster: &Cluster, name: &str, restore: &str, provider_more: &str) -> String {
    format!(
        r#"{provider}

resource "dr_backup_target" "main" {{
  name   = "{name}"
  store  = {{ s3 = "minio", bucket = "{name}", prefix = "velero", credentials = "connection" }}
  velero = {{ cluster = "prod" }}
}}

resource "dr_restore_job" "docs" {{
  name       = "{name}"
  source     = dr_backup_target.main.ref
  on_missing = "skip"
  velero     = {{ included_namespaces = ["{name}"], existing_resource_policy = "update" }}
  {restore}
}}

resource "dr_backup_job" "docs" {{
  name   = "{name}"
  target = dr_backup_target.main.ref
  after  = dr_restore_job.docs.ref
  velero = {{ included_namespaces = ["{name}"], snapshot_volumes = false, ttl = "48h" }}
}}

resource "dr_backup_schedule" "docs" {{
  name      = "{name}"
  target    = dr_backup_target.main.ref
  after     = dr_restore_job.docs.ref
  cron      = "0 2 * * *"
  retention = {{ keep_within = "7d" }}
  velero    = {{ included_namespaces = ["{name}"], snapshot_volumes = false }}
}}
"#,
        provider = provider(s3, cluster, "", provider_more),
    )
}

/// What the guide says, on the servers of the tests: another address, another bucket, and what stands under its paths.
struct Guide {
    s3: &'static S3,
    bucket: String,
    snippets: Vec<String>,
}

impl Guide {
    fn read(scene: &mut Scene) -> Result<Self> {
        let (_, s3, bucket) = bucket()?;
        let page = parts::checkout().join("docs/guides/rebuild-a-cluster.md");
        let snippets =
            docs::snippets(&std::fs::read_to_string(page)?).into_iter().map(|snippet| snippet.text).collect();
        let guide = Guide { s3, bucket, snippets };
        guide.give_keys(scene);
        Ok(guide)
    }

    fn give_keys(&self, scene: &mut Scene) {
        let keys = &self.s3.credentials;
        scene.workspace.set("TF_VAR_access_key_id", &keys.id).set("TF_VAR_secret_access_key", &keys.secret);
    }

    /// One of its configurations, by their order.
    fn configuration(&self, number: usize) -> Result<String> {
        let text = self.snippets.get(number).context("the guide has fewer configurations")?;
        let on_servers =
            text.replace("http://10.20.0.103:30188", &self.s3.endpoint).replace("velero-prod", &self.bucket);
        let spaces = on_servers.replace("region            = \"garage\"", "region = \"garage\"");
        Ok(spaces.replace("region = \"garage\"", &format!("region = {:?}", self.s3.region)))
    }

    /// Puts a cluster where people keep theirs, under the name that the guide gives it.
    fn kubeconfig(scene: &Scene, cluster: &Cluster, file: &str, context: &str) -> Result<()> {
        let folder = scene.workspace.path("home/.kube");
        std::fs::create_dir_all(&folder)?;
        let mut kubeconfig: Value = serde_json::from_str(&std::fs::read_to_string(cluster.kubeconfig_path())?)?;
        kubeconfig["contexts"][0]["name"] = context.into();
        std::fs::write(folder.join(file), kubeconfig.to_string())?;
        Ok(())
    }
}

fn the_guide_rebuilds_a_cluster_word_for_word(scene: &mut Scene) -> Result<()> {
    const NAMESPACE: &str = "paperless";
    let guide = Guide::read(scene)?;
    let outcome = |scene: &Scene| -> Result<Value> {
        Ok(scene.workspace.attributes("dr_restore_job.paperless")?["result"]["outcome"].clone())
    };
    let first = Cluster::start()?.with_controller_manager()?;
    let velero = Velero::start(&first)?;
    first.namespace(NAMESPACE)?;
    first.api.apply(&letter(NAMESPACE, "Dear all"))?;
    first.api.apply(&json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": NAMESPACE, "namespace": NAMESPACE },
        "spec": {
            "replicas": 0, "selector": { "matchLabels": { "app": NAMESPACE } },
            "template": {
                "metadata": { "labels": { "app": NAMESPACE } },
                "spec": { "containers": [{ "name": "web", "image": "web" }] },
            },
        },
    }))?;
    Guide::kubeconfig(scene, &first, "config", "prod")?;

    // While all is well.
    let all_is_well = guide.configuration(0)?;
    scene.workspace.write(&all_is_well)?;
    scene.workspace.apply()?.ok()?;
    ensure!(outcome(scene)? == "not_needed");
    ensure!(scene.workspace.attributes("dr_backup_job.paperless")?["result"]["outcome"] == "stored");
    scene.workspace.plan_is_empty()?;

    // 1. The cluster is gone, and a new one stands at another address.
    drop(velero);
    drop(first);
    let second = Cluster::start()?.with_controller_manager()?;
    let velero = Velero::start(&second)?;
    Guide::kubeconfig(scene, &second, "config", "prod")?;
    // 2. `on_missing` is taken out.
    let (skips, rebuilt): (Vec<&str>, Vec<&str>) =
        all_is_well.lines().partition(|line| line.trim_start().starts_with("on_missing = \"skip\""));
    ensure!(skips.len() == 1, "the guide says it {} times", skips.len());
    let rebuilt = rebuilt.join("\n");
    scene.workspace.write(&rebuilt)?;
    // 3. to 6.
    scene.workspace.plan()?.ok()?.says(&["leads to another server", "recovery point dr-paperless-first-"])?;
    scene.workspace.apply()?.ok().with_context(|| velero.controller.log())?;
    ensure!(outcome(scene)? == "restored");
    ensure!(text_of(&second, NAMESPACE)?.as_deref() == Some("Dear all"), "the letter is not there");
    scene.workspace.plan_is_empty()?;

    // A drill, in a state of its own.
    let scratch = Cluster::start()?.with_controller_manager()?;
    let velero = Velero::start(&scratch)?;
    let mut drill = scene.copy("drill")?;
    guide.give_keys(&mut drill);
    std::fs::remove_file(drill.workspace.state_file())?;
    Guide::kubeconfig(&drill, &scratch, "scratch", "scratch")?;
    let (before, after) =
        (rebuilt.find("provider \"dr\"").context("provider")?, rebuilt.find("resource ").context("none")?);
    let provider = guide.configuration(1)?;
    drill.workspace.write(&format!("{}{provider}\n{}", &rebuilt[..before], &rebuilt[after..]))?;
    let kept = guide.s3.keys(&guide.bucket, "")?;
    drill.workspace.apply()?.ok().with_context(|| velero.controller.log())?;
    ensure!(text_of(&scratch, NAMESPACE)?.as_deref() == Some("Dear all"), "the drill restored nothing");
    drill.workspace.plan_is_empty()?;
    drill.workspace.destroy()?.ok()?;
    ensure!(guide.s3.keys(&guide.bucket, "")? == kept, "the drill left something in the bucket");
    Ok(())
}

/// What is waited for is seen soon; still 24 s for what may take Velero two minutes, which looks every five seconds here.
fn quicken(scene: &mut Scene) {
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "5");
}

/// A name that no other scenario has, and its bucket.
fn bucket() -> Result<(&'static Shared, &'static S3, String)> {
    let shared = shared()?;
    let minio: &'static Minio = shared.minio()?;
    let name = format!("r{:08x}", rand::random::<u32>());
    minio.s3.create_bucket(&name)?;
    Ok((shared, &minio.s3, name))
}

pub fn letter(namespace: &str, text: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "letter", "namespace": namespace },
        "data": { "text": text },
    })
}

pub fn text_of(cluster: &Cluster, namespace: &str) -> Result<Option<String>> {
    let found = cluster.api.get("v1", "ConfigMap", namespace, "letter")?;
    Ok(found.and_then(|letter| letter["data"]["text"].as_str().map(str::to_owned)))
}

pub fn restores(cluster: &Cluster, name: &str) -> Result<usize> {
    let all = cluster.api.list(Velero::API, "Restore", Velero::NAMESPACE)?;
    let ours = |restore: &&Value| restore["metadata"]["name"].as_str().is_some_and(|found| found.contains(name));
    Ok(all.iter().filter(ours).count())
}

/// A cluster of its own that was backed up and is empty now, with Velero running on it again.
fn lost(scene: &mut Scene, s3: &S3, name: &str) -> Result<(Cluster, Velero)> {
    quicken(scene);
    let cluster = Cluster::start()?.with_controller_manager()?;
    let velero = Velero::start(&cluster)?;
    cluster.namespace(name)?;
    cluster.api.apply(&letter(name, "Dear all"))?;
    scene.workspace.write(&configuration(s3, &cluster, name, "", ""))?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    let job = scene.workspace.attributes("dr_restore_job.docs")?;
    ensure!(job["result"]["outcome"] == "not_needed", "{job}");
    ensure!(scene.workspace.attributes("dr_backup_job.docs")?["result"]["outcome"] == "stored");
    drop(velero);
    cluster.empty()?;
    let cluster = cluster.with_controller_manager()?;
    let velero = Velero::start(&cluster)?;
    // Velero looks for backups of others once a minute, whatever it is told.
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "1");
    ensure!(text_of(&cluster, name)?.is_none());
    Ok((cluster, velero))
}

fn is_back(scene: &Scene, cluster: &Cluster, name: &str) -> Result<()> {
    ensure!(text_of(cluster, name)?.as_deref() == Some("Dear all"), "the letter is not there");
    let job = scene.workspace.attributes("dr_restore_job.docs")?;
    ensure!(job["result"]["outcome"] == "restored", "{job}");
    ensure!(restores(cluster, name)? == 1, "more than one restore ran");
    ensure!(cluster.api.get(Velero::API, "Schedule", Velero::NAMESPACE, name)?.is_some(), "no schedule");
    scene.workspace.plan_is_empty()?;
    // And never again, also when nothing in the cluster tells of it any more but the record of the run.
    let stored = scene.workspace.attributes("dr_backup_job.docs")?["result"].clone();
    let backup = stored["point"]["id"].as_str().context("a backup")?;
    cluster.api.delete(Velero::API, "Backup", Velero::NAMESPACE, backup)?;
    for restore in cluster.api.list(Velero::API, "Restore", Velero::NAMESPACE)? {
        let name = restore["metadata"]["name"].as_str().context("a name")?;
        cluster.api.delete_and_wait(Velero::API, "Restore", Velero::NAMESPACE, name)?;
    }
    scene.workspace.apply()?.ok()?;
    ensure!(restores(cluster, name)? == 0, "it was restored again");
    ensure!(scene.workspace.attributes("dr_backup_job.docs")?["result"] == stored, "it was backed up again");
    scene.workspace.plan_is_empty()
}

fn a_lost_cluster_comes_back_by_one_apply(scene: &mut Scene) -> Result<()> {
    let (_, s3, name) = bucket()?;
    let (cluster, velero) = lost(scene, s3, &name)?;
    let planned = scene.workspace.plan()?.ok()?;
    let warnings = planned.said().matches("leads to another server").count();
    ensure!(warnings == 1, "{warnings} warnings of one server: {}", planned.said());
    scene.workspace.apply()?.ok().with_context(|| velero.controller.log())?;
    is_back(scene, &cluster, &name)
}

fn a_lost_cluster_comes_back_by_the_apply_that_installs_velero(scene: &mut Scene) -> Result<()> {
    let (_, s3, name) = bucket()?;
    let (cluster, velero) = lost(scene, s3, &name)?;
    drop(velero);
    // Without Velero's kinds, and without its namespace.
    cluster.empty()?;
    let cluster = cluster.with_controller_manager()?;
    let mut velero = None;
    let run = scene.apply_while_installing(&configuration(s3, &cluster, &name, "", ""), || {
        velero = Some(Velero::start(&cluster)?);
        Ok(())
    })?;
    run.ok()?;
    is_back(scene, &cluster, &name)
}

fn a_lost_cluster_comes_back_without_its_state(scene: &mut Scene) -> Result<()> {
    let (_, s3, name) = bucket()?;
    let (cluster, velero) = lost(scene, s3, &name)?;
    std::fs::remove_file(scene.workspace.state_file())?;
    scene.workspace.apply()?.ok().with_context(|| velero.controller.log())?;
    is_back(scene, &cluster, &name)
}

/// Another, empty cluster is where the connection leads; `with` changes the configuration.
fn leads_to(scene: &Scene, s3: &S3, cluster: &Cluster, name: &str, with: impl Fn(String) -> String) -> Result<()> {
    scene.workspace.write(&with(configuration(s3, cluster, name, "", "")))
}

fn an_empty_second_server_gets_everything_back_whatever_became_of_the_first(scene: &mut Scene) -> Result<()> {
    let (_, s3, name) = bucket()?;
    let first = Cluster::start()?.with_controller_manager()?;
    let velero = Velero::start(&first)?;
    first.namespace(&name)?;
    first.api.apply(&letter(&name, "Dear all"))?;
    leads_to(scene, s3, &first, &name, |text| text)?;
    scene.workspace.apply()?.ok()?;

    // With the state, and an address that only the apply knows: what is in the state was planned without a look at it.
    drop(velero);
    first.kill();
    let second = Cluster::start()?.with_controller_manager()?;
    let velero = Velero::start(&second)?;
    let by_address = |text: String| {
        let file = format!("{:?}", second.kubeconfig_path());
        let made = format!("\nresource \"terraform_data\" \"cluster\" {{\n  input = {file}\n}}\n");
        text.replace(&file, "terraform_data.cluster.output") + &made
    };
    leads_to(scene, s3, &second, &name, by_address)?;
    scene.workspace.plan()?.ok()?;
    scene.workspace.apply_plan()?.ok().with_context(|| velero.controller.log())?;
    is_back(scene, &second, &name)?;

    // After a destroy, with nothing but the bucket; the kubeconfig is made by the same apply.
    scene.workspace.destroy()?.ok()?;
    drop(velero);
    first.empty()?;
    let velero = Velero::start(&first)?;
    let file = scene.workspace.path("kubeconfig");
    let by_file = |text: String| {
        let made = format!("cp '{}' '{}'", first.kubeconfig_path().display(), file.display());
        let made = format!("provisioner \"local-exec\" {{\n    command = {made:?}\n  }}");
        text.replace(&format!("{:?}", first.kubeconfig_path()), &format!("{file:?}")).replacen(
            "  velero = { cluster",
            "  depends_on = [terraform_data.cluster]\n  velero = { cluster",
            1,
        ) + &format!("\nresource \"terraform_data\" \"cluster\" {{\n  {made}\n}}\n")
    };
    leads_to(scene, s3, &first, &name, by_file)?;
    scene.workspace.plan()?.ok()?;
    ensure!(!file.exists(), "it was there before");
    scene.workspace.apply()?.ok().with_context(|| velero.controller.log())?;
    is_back(scene, &first, &name)?;

    // After the destroy of one that is declared lost.
    drop(velero);
    first.kill();
    let lost = |text: String| text.replacen("context = \"test\"", "context = \"test\", unreachable = \"lost\"", 1);
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "10");
    leads_to(scene, s3, &first, &name, lost)?;
    scene.workspace.destroy()?.ok()?.says(&["was not removed"])?;
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "1");
    second.empty()?;
    let velero = Velero::start(&second)?;
    leads_to(scene, s3, &second, &name, lost)?;
    scene.workspace.apply()?.ok().with_context(|| velero.controller.log())?;
    is_back(scene, &second, &name)
}

/// A namespace on the shared cluster with an application of two pods, backed up.
pub fn with_application(scene: &mut Scene) -> Result<(&'static Shared, &'static S3, String)> {
    quicken(scene);
    let (shared, s3, name) = bucket()?;
    shared.velero()?;
    shared.cluster.namespace(&name)?;
    shared.api().apply(&letter(&name, "Dear all"))?;
    shared.api().apply(&json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": { "name": "paperless", "namespace": name },
        "spec": {
            "replicas": 2, "selector": { "matchLabels": { "app": "paperless" } },
            "template": {
                "metadata": { "labels": { "app": "paperless" } },
                "spec": { "containers": [{ "name": "app", "image": "paperless" }] },
            },
        },
    }))?;
    scene.workspace.write(&configuration(s3, &shared.cluster, &name, QUIESCE, ""))?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    shared.api().apply(&letter(&name, "Overwritten"))?;
    Ok((shared, s3, name))
}

const QUIESCE: &str = "when = \"always\"\n  quiesce = { scale_down = [\"deployment/paperless\"] }";

/// The same, to run now, and only over the letter: the application belongs to somebody else.
pub fn again(s3: &S3, shared: &Shared, name: &str) -> String {
    let triggered = format!("{QUIESCE}\n  triggers = {{ run = \"1\" }}");
    let found = configuration(s3, &shared.cluster, name, &triggered, "");
    found.replacen(
        "existing_resource_policy = \"update\"",
        "existing_resource_policy = \"update\", included_resources = [\"configmaps\"]",
        1,
    )
}

pub fn replicas(shared: &Shared, name: &str) -> Result<i64> {
    let deployment = shared.api().get("apps/v1", "Deployment", name, "paperless")?.context("no deployment")?;
    deployment["spec"]["replicas"].as_i64().context("no replicas")
}

pub fn paused(shared: &Shared, name: &str) -> Result<bool> {
    let schedule = shared.api().get(Velero::API, "Schedule", Velero::NAMESPACE, name)?.context("no schedule")?;
    Ok(schedule["spec"]["paused"] == true)
}

fn a_restore_takes_the_application_down_and_brings_it_back_exactly(scene: &mut Scene) -> Result<()> {
    let (shared, s3, name) = with_application(scene)?;
    scene.workspace.write(&again(s3, shared, &name))?;
    scene.workspace.plan()?.ok()?.says(&["scales Deployment"])?;
    scene.workspace.apply()?.ok()?;
    ensure!(text_of(&shared.cluster, &name)?.as_deref() == Some("Dear all"));
    ensure!(replicas(shared, &name)? == 2, "{}", replicas(shared, &name)?);
    ensure!(!paused(shared, &name)?);
    scene.workspace.plan_is_empty()
}

fn a_restore_that_is_killed_is_taken_over_and_the_application_comes_back(scene: &mut Scene) -> Result<()> {
    let (shared, s3, name) = with_application(scene)?;
    scene.workspace.write(&again(s3, shared, &name))?;
    let mut apply = scene.workspace.start_apply()?;
    wait_for("the application to be down", MINUTE, || Ok((replicas(shared, &name)? == 0).then_some(())))?;
    ensure!(paused(shared, &name)?, "the schedule does not rest");
    apply.kill_all()?;
    ensure!(replicas(shared, &name)? == 0);
    scene.workspace.plan()?.ok()?;
    scene.workspace.apply()?.ok()?;
    ensure!(text_of(&shared.cluster, &name)?.as_deref() == Some("Dear all"));
    ensure!(replicas(shared, &name)? == 2, "{}", replicas(shared, &name)?);
    ensure!(!paused(shared, &name)?);
    ensure!(restores(&shared.cluster, &name)? == 1);
    scene.workspace.plan_is_empty()
}

fn a_new_namespace_is_not_stored_over_the_backups_of_the_old_one(scene: &mut Scene) -> Result<()> {
    let (shared, s3, name) = bucket()?;
    shared.velero()?;
    shared.cluster.namespace(&name)?;
    shared.api().apply(&letter(&name, "Dear all"))?;
    let configuration = configuration(s3, &shared.cluster, &name, "", "");
    scene.workspace.write(&configuration)?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.destroy()?.ok()?;
    shared.api().delete_and_wait("v1", "Namespace", "", &name)?;
    shared.cluster.namespace(&name)?;
    let without: String = configuration.lines().filter(|line| !line.contains("after ")).collect::<Vec<_>>().join("\n");
    scene.workspace.write(&without)?;
    scene
        .workspace
        .apply_with(&["-target=dr_backup_schedule.docs"])?
        .fails(&["first_backup", "older recovery point"])?;
    ensure!(shared.api().get(Velero::API, "Schedule", Velero::NAMESPACE, &name)?.is_none(), "a schedule was made");
    Ok(())
}

fn a_drill_restores_elsewhere_and_leaves_the_storage_as_it_was(scene: &mut Scene) -> Result<()> {
    let (shared, s3, name) = bucket()?;
    shared.velero()?;
    shared.cluster.namespace(&name)?;
    shared.api().apply(&letter(&name, "Dear all"))?;
    scene.workspace.write(&configuration(s3, &shared.cluster, &name, "", ""))?;
    scene.workspace.apply()?.ok()?;
    let kept = s3.keys(&name, "")?;
    let bytes = |keys: &[String]| keys.iter().map(|key| s3.get(&name, key)).collect::<Result<Vec<_>>>();
    let before = bytes(&kept)?;

    let scratch = Cluster::start()?.with_controller_manager()?;
    let velero = Velero::start(&scratch)?;
    let drill = scene.copy("drill")?;
    std::fs::remove_file(drill.workspace.state_file())?;
    let nowhere = "mode = \"drill\"\n  drill = { path = \"/var/tmp/drill\" }";
    let with = |more: &str| configuration(s3, &scratch, &name, "safety_backup = false", more);
    drill.workspace.write(&with(nowhere))?;
    drill.workspace.apply()?.fails(&["not named under `drill`"])?;
    let _ = std::fs::remove_file(drill.workspace.state_file());
    // Nor does a drill touch what the state of the real thing holds, or what is there.
    scene.workspace.write(&configuration(
        s3,
        &shared.cluster,
        &name,
        "safety_backup = false",
        "mode = \"drill\"\n  drill = { connections = [\"prod\"], namespaces = [\"*\"] }",
    ))?;
    scene.workspace.plan()?.fails(&["not made in a drill"])?;
    drill.workspace.write(&with("mode = \"drill\"\n  drill = { connections = [\"prod\"], namespaces = [\"*\"] }"))?;
    drill.workspace.apply()?.ok().with_context(|| velero.controller.log())?;
    ensure!(text_of(&scratch, &name)?.as_deref() == Some("Dear all"), "the drill restored nothing");
    let location = scratch.api.get(Velero::API, "BackupStorageLocation", Velero::NAMESPACE, &name)?.context("none")?;
    ensure!(location["spec"]["accessMode"] == "ReadOnly", "{location}");
    ensure!(scratch.api.get(Velero::API, "Schedule", Velero::NAMESPACE, &name)?.is_none(), "a drill makes no schedule");
    drill.workspace.plan_is_empty()?;
    ensure!(!s3.keys(&name, "velero/restores/")?.is_empty(), "Velero writes records of its restores");
    drill.workspace.destroy()?.ok()?;
    ensure!(scratch.api.get(Velero::API, "BackupStorageLocation", Velero::NAMESPACE, &name)?.is_none());
    ensure!(s3.keys(&name, "")? == kept, "the objects are others: {:?}", s3.keys(&name, "")?);
    ensure!(bytes(&kept)? == before, "an object was changed");
    Ok(())
}

fn the_rights_in_the_guide_are_enough(scene: &mut Scene) -> Result<()> {
    let (shared, s3, name) = with_application(scene)?;
    let grants = rights_of_guide("velero.md", 3, Velero::NAMESPACE)?;
    let limited = shared.cluster.limit(&name, &grants, &scene.workspace.path("kubeconfig"))?;
    let configuration = limited(&again(s3, shared, &name));
    let job = "resource \"dr_backup_job\" \"docs\" {";
    scene.workspace.write(&configuration.replace(job, &format!("{job}\n  deletion_policy = \"delete\"")))?;
    // The token is one of an hour, and a job may take a day.
    let run = scene.workspace.apply()?.ok()?;
    run.says(&["The token of connection `prod` may end too early", "token_file"])?
        .never_says(&["could not be told"])?;
    ensure!(text_of(&shared.cluster, &name)?.as_deref() == Some("Dear all"));
    scene.workspace.plan_is_empty()?;
    let backup = scene.workspace.attributes("dr_backup_job.docs")?["result"]["point"]["id"].clone();
    let backup = backup.as_str().context("a backup")?;
    scene.workspace.destroy()?.ok()?;
    ensure!(s3.keys(&name, &format!("velero/backups/{backup}/"))?.is_empty(), "the backup is still there");
    Ok(())
}
