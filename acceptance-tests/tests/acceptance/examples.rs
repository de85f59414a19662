//! Every example in the registry pages is applied, with its paths moved below a scratch folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use acceptance_tests::parts;
use acceptance_tests::servers::S3;
use acceptance_tests::servers::kubernetes::{CONTEXT, Cluster, K8up, STORAGE_CLASS, Shared, Velero, VolSync, shared};
use anyhow::{Context, Result, ensure};

use crate::scene::Scene;

both_clis!(
    every_example_of_a_resource_applies,
    every_example_of_a_data_source_applies,
    every_example_of_a_function_applies,
    the_example_of_the_provider_applies,
    every_example_is_formatted,
    the_scenario_of_velero_rebuilds_a_cluster,
    the_scenario_of_k8up_fills_a_volume_that_is_lost,
    the_scenario_of_volsync_fills_a_volume_that_is_lost,
);

/// The example files of one kind: `examples/<kind>/<name>/<file>`.
fn examples(kind: &str, file: &str) -> Result<Vec<PathBuf>> {
    let folder = parts::checkout().join("examples").join(kind);
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("there are no examples in {}", folder.display()))? {
        let example = entry?.path().join(file);
        ensure!(example.exists(), "{} is missing", example.display());
        found.push(example);
    }
    found.sort();
    ensure!(!found.is_empty(), "there are no examples of {kind}");
    Ok(found)
}

/// The same text with every absolute path below the scratch folder.
fn moved(text: &str, root: &Path) -> String {
    text.replace("\"/", &format!("\"{}/", root.display()))
}

/// The folders that the examples speak of.
fn prepare(scene: &Scene, run: usize) -> Result<PathBuf> {
    let root = scene.workspace.path(&format!("example-{run}"));
    fs::create_dir_all(root.join("backup"))?;
    fs::create_dir_all(root.join("srv/docs"))?;
    fs::write(root.join("srv/docs/letter.txt"), "Dear all,\n")?;
    Ok(root)
}

/// The same text on the servers of the tests: the kubeconfig where people have theirs, and names that are nobody else's.
fn on_servers(scene: &mut Scene, text: &str) -> Result<String> {
    let shared = shared()?;
    shared.velero()?;
    let s3 = &shared.minio()?.s3;
    let name = format!("x{:08x}", rand::random::<u32>());
    s3.create_bucket(&name)?;
    let folder = scene.workspace.path("home/.kube");
    fs::create_dir_all(&folder)?;
    let mut kubeconfig: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(shared.cluster.kubeconfig_path())?)?;
    kubeconfig["contexts"][0]["name"] = "prod".into();
    kubeconfig["current-context"] = "prod".into();
    fs::write(folder.join("config"), kubeconfig.to_string())?;
    scene.workspace.set("TF_VAR_minio_secret_access_key", s3.credentials.secret.clone());
    Ok(text
        .replace("http://127.0.0.1:9000", &s3.endpoint)
        .replace("\"backups\"", &format!("{:?}", s3.credentials.id))
        .replace("bucket = \"velero\"", &format!("bucket = {name:?}"))
        .replace("\"garage\"", &format!("{name:?}"))
        .replace("= \"daily\"", &format!("= \"{name}-daily\"")))
}

/// A scenario's files with the variables that all of them have; the bucket that was made for it.
fn scenario(scene: &mut Scene, name: &str, cluster: &Cluster, s3: &S3) -> Result<String> {
    let bucket = format!("s{:08x}", rand::random::<u32>());
    s3.create_bucket(&bucket)?;
    let folder = parts::checkout().join("examples/scenarios").join(name);
    for file in ["main.tf", "variables.tf"] {
        scene.workspace.write_file(file, &fs::read_to_string(folder.join(file))?)?;
    }
    let kubeconfig = cluster.kubeconfig_path().display().to_string();
    for (name, value) in [
        ("kubeconfig", kubeconfig.as_str()),
        ("context", CONTEXT),
        ("endpoint", &s3.endpoint),
        ("region", &s3.region),
        ("bucket", &bucket),
        ("access_key_id", &s3.credentials.id),
        ("secret_access_key", &s3.credentials.secret),
    ] {
        scene.workspace.set(&format!("TF_VAR_{name}"), value);
    }
    Ok(bucket)
}

/// A volume is backed up by the scenario's schedule, is lost, and comes back by the same apply, before the schedule.
/// `claim` is the rest of what the scenario says of it, `back_up` waits for a point of the schedule.
fn fills_a_lost_volume(
    scene: &mut Scene,
    name: &str,
    claim: &str,
    back_up: impl Fn(&Shared, &str) -> Result<()>,
) -> Result<()> {
    let shared = shared()?;
    scenario(scene, name, &shared.cluster, &shared.minio()?.s3)?;
    let namespace = shared.namespace(name)?;
    let claims = format!("{{ docs = {{ namespace = \"{namespace}\", pvc = \"data\", size = \"1Gi\" {claim} }} }}");
    scene.workspace.set("TF_VAR_claims", claims).set("TF_VAR_repository_password", "canary-scenario-password-51");
    scene.workspace.set("TF_VAR_storage_class", STORAGE_CLASS);
    let folder = shared.node.claim(&namespace, "data")?;
    fs::write(folder.join("letter"), "Dear all")?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    back_up(shared, &namespace)?;

    // Everything of the application goes, as with its namespace.
    scene.workspace.destroy()?.ok()?;
    shared.api().delete_and_wait("v1", "PersistentVolumeClaim", &namespace, "data")?;
    fs::remove_file(scene.workspace.state_file())?;
    scene.workspace.apply()?.ok()?;
    let folder = shared.node.volume(&namespace, "data")?;
    ensure!(fs::read_to_string(folder.join("letter"))? == "Dear all");
    scene.workspace.plan_is_empty()
}

fn the_scenario_of_k8up_fills_a_volume_that_is_lost(scene: &mut Scene) -> Result<()> {
    shared()?.k8up()?;
    fills_a_lost_volume(scene, "k8up", "", |shared, namespace| {
        let api = shared.api();
        let schedule = api.get(K8up::API, "Schedule", namespace, "docs")?.context("no schedule")?;
        // What the schedule makes at its time.
        let mut spec = schedule["spec"]["backup"].clone();
        spec.as_object_mut().context("a backup")?.remove("schedule");
        spec["backend"] = schedule["spec"]["backend"].clone();
        api.create(&serde_json::json!({
            "apiVersion": K8up::API, "kind": "Backup", "spec": spec,
            "metadata": { "name": "by-schedule", "namespace": namespace },
        }))?;
        let ended = |backup: &serde_json::Value| backup["status"]["finished"] == true;
        api.wait(K8up::API, "Backup", namespace, "by-schedule", Duration::from_secs(120), ended)?;
        // Its pods hold the claim for as long as they are remembered.
        api.delete_and_wait(K8up::API, "Backup", namespace, "by-schedule")
    })
}

fn the_scenario_of_volsync_fills_a_volume_that_is_lost(scene: &mut Scene) -> Result<()> {
    shared()?.volsync()?;
    scene.workspace.set("TF_VAR_copy_method", "Direct");
    // VolSync runs a new source at once.
    fills_a_lost_volume(scene, "volsync", ", tier = \"critical\"", |shared, namespace| {
        let ended = |source: &serde_json::Value| source["status"]["lastSyncTime"].is_string();
        let wait = Duration::from_secs(120);
        shared.api().wait(VolSync::API, "ReplicationSource", namespace, "docs", wait, ended).map(drop)
    })
}

fn the_scenario_of_velero_rebuilds_a_cluster(scene: &mut Scene) -> Result<()> {
    let shared = shared()?;
    let s3 = &shared.minio()?.s3;
    let cluster = Cluster::start()?.with_controller_manager()?;
    let velero = Velero::start(&cluster)?;
    scenario(scene, "velero", &cluster, s3)?;
    let note = |namespace: &str| {
        serde_json::json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": { "of": namespace },
            "metadata": { "name": "note", "namespace": namespace },
        })
    };
    for namespace in ["paperless", "grafana"] {
        cluster.namespace(namespace)?;
        cluster.api.apply(&note(namespace))?;
    }
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    // What the schedules make at night.
    for namespace in ["paperless", "grafana"] {
        let schedule = format!("{namespace}-daily");
        let found = cluster.api.get(Velero::API, "Schedule", Velero::NAMESPACE, &schedule)?.context("no schedule")?;
        cluster.api.create(&serde_json::json!({
            "apiVersion": Velero::API, "kind": "Backup", "spec": found["spec"]["template"],
            "metadata": {
                "name": format!("{schedule}-20260101020000"), "namespace": Velero::NAMESPACE,
                "labels": { "velero.io/schedule-name": schedule },
            },
        }))?;
        let ended = |backup: &serde_json::Value| backup["status"]["phase"] == "Completed";
        let name = format!("{schedule}-20260101020000");
        cluster.api.wait(Velero::API, "Backup", Velero::NAMESPACE, &name, Duration::from_secs(60), ended)?;
    }
    drop(velero);
    cluster.empty()?;
    let cluster = cluster.with_controller_manager()?;
    let velero = Velero::start(&cluster)?;
    scene.workspace.apply()?.ok().with_context(|| velero.controller.log())?;
    for namespace in ["paperless", "grafana"] {
        let found = cluster.api.get("v1", "ConfigMap", namespace, "note")?.context("nothing came back")?;
        ensure!(found["data"]["of"] == namespace);
    }
    scene.workspace.plan_is_empty()
}

fn apply(scene: &mut Scene, files: &[PathBuf], with_provider: bool) -> Result<()> {
    scene.workspace.set("TF_VAR_docs_repo_password", crate::scene::PASSWORD);
    scene.workspace.set("TF_VAR_minio_secret_access_key", "not used");
    let provider = fs::read_to_string(parts::checkout().join("examples/provider/provider.tf"))?;
    for (run, file) in files.iter().enumerate() {
        let root = prepare(scene, run)?;
        let text = if with_provider { provider.clone() } else { String::new() } + "\n" + &fs::read_to_string(file)?;
        let text = if file.to_string_lossy().contains("dr_backup_schedule") { on_servers(scene, &text)? } else { text };
        scene.workspace.write(&moved(&text, &root))?;
        let what = || format!("{}", file.display());
        scene.workspace.validate()?.ok().with_context(what)?;
        scene.workspace.apply()?.ok().with_context(what)?;
        scene.workspace.plan_is_empty().with_context(what)?;
        scene.workspace.destroy()?.ok().with_context(what)?;
    }
    Ok(())
}

fn every_example_of_a_resource_applies(scene: &mut Scene) -> Result<()> {
    apply(scene, &examples("resources", "resource.tf")?, true)
}

fn every_example_of_a_data_source_applies(scene: &mut Scene) -> Result<()> {
    apply(scene, &examples("data-sources", "data-source.tf")?, true)
}

fn every_example_of_a_function_applies(scene: &mut Scene) -> Result<()> {
    apply(scene, &examples("functions", "function.tf")?, true)
}

fn the_example_of_the_provider_applies(scene: &mut Scene) -> Result<()> {
    apply(scene, &[parts::checkout().join("examples/provider/provider.tf")], false)
}

fn every_example_is_formatted(scene: &mut Scene) -> Result<()> {
    let folder = parts::checkout().join("examples");
    let run = scene.workspace.run(&["fmt", "-check", "-diff", "-recursive", &folder.to_string_lossy()])?;
    run.ok()?;
    Ok(())
}
