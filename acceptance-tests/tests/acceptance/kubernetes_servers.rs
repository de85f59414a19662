//! The Kubernetes servers that the other tests stand on: what they start is the real thing, and does its work.

use std::fs;
use std::process::Command;
use std::sync::mpsc;
use std::time::Duration;

use acceptance_tests::parts;
use acceptance_tests::servers::S3;
use acceptance_tests::servers::kubernetes::{Cluster, Definitions, Grant, K8up, Velero, VolSync, shared, wait_for};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "canary-repository-password-d41e";

fn config_map(namespace: &str, name: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": name, "namespace": namespace },
        "data": { "key": value },
    })
}

fn secret(namespace: &str, name: &str, values: &[(&str, &str)]) -> Value {
    let values: serde_json::Map<String, Value> =
        values.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": name, "namespace": namespace },
        "stringData": values,
    })
}

/// What the reference implementation lists.
fn restic_snapshots(s3: &S3, repository: &str) -> Result<Vec<Value>> {
    let output = Command::new(parts::RESTIC.get()?)
        .args(["--no-cache", "--no-lock", "snapshots", "--json", "--repo", repository])
        .env("RESTIC_PASSWORD", PASSWORD)
        .env("AWS_ACCESS_KEY_ID", &s3.credentials.id)
        .env("AWS_SECRET_ACCESS_KEY", &s3.credentials.secret)
        .output()?;
    ensure!(output.status.success(), "restic: {}", String::from_utf8_lossy(&output.stderr));
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// Whether an object has the condition `kind` for `reason`.
fn has_condition(object: &Value, kind: &str, reason: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|one| one["type"] == kind && one["reason"] == reason)
}

#[test]
fn an_api_server_that_was_killed_comes_back_and_an_emptied_one_is_another_cluster() -> Result<()> {
    let cluster = Cluster::start()?;
    let uid = cluster.uid()?;
    cluster.api.apply(&config_map("default", "kept", "1"))?;

    cluster.kill();
    ensure!(cluster.api.get("v1", "ConfigMap", "default", "kept").is_err(), "a killed server answers");
    cluster.restart()?;
    ensure!(cluster.uid()? == uid);
    let kept = cluster.api.get("v1", "ConfigMap", "default", "kept")?.context("an object was lost")?;
    ensure!(kept["data"]["key"] == "1");

    let (url, token) = (cluster.url(), cluster.token().to_owned());
    cluster.empty()?;
    ensure!(cluster.uid()? != uid);
    ensure!(cluster.api.get("v1", "ConfigMap", "default", "kept")?.is_none(), "an object survived");
    ensure!((cluster.url(), cluster.token().to_owned()) == (url, token));
    Ok(())
}

#[test]
fn a_paused_api_server_takes_requests_and_answers_when_it_is_resumed() -> Result<()> {
    let cluster = Cluster::start()?;
    cluster.pause()?;
    let (sender, answers) = mpsc::channel();
    let api = cluster.api.clone();
    let asking = std::thread::spawn(move || sender.send(api.list("v1", "Namespace", "").is_ok()));
    ensure!(answers.recv_timeout(Duration::from_millis(500)).is_err(), "a paused server answers");
    cluster.resume()?;
    ensure!(answers.recv_timeout(MINUTE)?, "the answer was an error");
    asking.join().map_err(|_| anyhow::anyhow!("the client panicked"))??;
    Ok(())
}

#[test]
fn a_user_may_do_only_what_was_granted() -> Result<()> {
    let shared = shared()?;
    let (ours, other) = (shared.namespace("granted")?, shared.namespace("other")?);
    let rules = json!([{ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "create", "patch"] }]);
    let namespaces = json!([{ "apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"] }]);
    let grants = [Grant::within(&ours, rules), Grant::everywhere(namespaces)];
    let user = shared.cluster.client_of(&shared.cluster.service_user("reader", &grants)?)?;
    user.apply(&config_map(&ours, "mine", "1"))?;
    ensure!(user.get("v1", "Namespace", "", &other)?.is_some());
    let refused = user.get("v1", "ConfigMap", &other, "mine").map_err(|error| format!("{error:#}"));
    ensure!(refused.as_ref().is_err_and(|said| said.contains("forbidden")), "{refused:?}");
    ensure!(user.delete("v1", "ConfigMap", &ours, "mine").is_err());
    Ok(())
}

#[test]
fn the_node_runs_a_job_over_a_volume_and_its_log_is_read_through_the_api_server() -> Result<()> {
    let shared = shared()?;
    let namespace = shared.namespace("job")?;
    let folder = shared.node.claim(&namespace, "data")?;
    let script = "echo from the job >/volume/file; echo hello; echo $WORD; exit $CODE";
    shared.api().apply(&secret(&namespace, "words", &[("word", "resolved")]))?;
    let job = |name: &str, code: &str| {
        json!({
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": { "name": name, "namespace": namespace },
            "spec": {
                "backoffLimit": 0,
                "template": { "spec": {
                    "restartPolicy": "Never",
                    "containers": [{
                        "name": "main",
                        "image": "none",
                        "command": ["sh", "-c", script],
                        "env": [
                            { "name": "CODE", "value": code },
                            { "name": "WORD", "valueFrom": { "secretKeyRef": { "name": "words", "key": "word" } } },
                        ],
                        "volumeMounts": [{ "name": "data", "mountPath": "/volume" }],
                    }],
                    "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": "data" } }],
                } },
            },
        })
    };
    for (name, code, count) in [("good", "0", "succeeded"), ("bad", "3", "failed")] {
        shared.api().apply(&job(name, code))?;
        let done = |job: &Value| job["status"][count] == 1;
        shared.api().wait("batch/v1", "Job", &namespace, name, MINUTE, done).with_context(|| trouble(shared))?;
    }
    ensure!(fs::read_to_string(folder.join("file"))? == "from the job\n");
    ensure!(!std::path::Path::new("/volume").exists(), "the node left a mount point on the machine");
    let pods = shared.api().list("v1", "Pod", &namespace)?;
    ensure!(pods.len() == 2, "{pods:?}");
    for pod in &pods {
        let name = pod["metadata"]["name"].as_str().context("a Pod without a name")?;
        ensure!(shared.api().logs(&namespace, name)? == "hello\nresolved\n");
    }
    // What is deleted goes, with all that belongs to it.
    shared.api().delete_and_wait("v1", "Namespace", "", &namespace)
}

#[test]
fn a_held_namespace_has_pods_that_wait() -> Result<()> {
    let shared = shared()?;
    let namespace = shared.namespace("held")?;
    shared.node.hold(&namespace);
    shared.api().apply(&json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "waits", "namespace": namespace },
        "spec": { "containers": [{ "name": "main", "image": "none" }] },
    }))?;
    std::thread::sleep(Duration::from_secs(1));
    let pod = shared.api().get("v1", "Pod", &namespace, "waits")?.context("the Pod is gone")?;
    ensure!(pod["status"]["phase"] == "Pending", "{}", pod["status"]);
    shared.node.release(&namespace);
    let runs = |pod: &Value| pod["status"]["phase"] == "Running";
    shared.api().wait("v1", "Pod", &namespace, "waits", MINUTE, runs)?;
    shared.api().delete_and_wait("v1", "Pod", &namespace, "waits")
}

#[test]
fn the_definitions_of_what_restarts_workloads_are_established() -> Result<()> {
    let definitions = [Definitions::ARGO_CD, Definitions::FLUX_KUSTOMIZE, Definitions::FLUX_HELM, Definitions::KEDA];
    let api = shared()?.api();
    api.define(&definitions)?;
    for (group, kind) in [
        ("argoproj.io/v1alpha1", "Application"),
        ("kustomize.toolkit.fluxcd.io/v1", "Kustomization"),
        ("helm.toolkit.fluxcd.io/v2", "HelmRelease"),
        ("keda.sh/v1alpha1", "ScaledObject"),
    ] {
        ensure!(wait_for(kind, MINUTE, || api.list(group, kind, "default").map(Some))?.is_empty());
    }
    Ok(())
}

#[test]
fn velero_stores_a_namespace_in_a_bucket_and_brings_a_deleted_object_back() -> Result<()> {
    let shared = shared()?;
    let (api, s3) = (shared.api(), &shared.minio()?.s3);
    let velero = shared.velero()?;
    let namespace = shared.namespace("velero")?;
    s3.create_bucket(&namespace)?;
    Velero::location(&shared.cluster, &namespace, s3, &namespace, "cluster")
        .with_context(|| velero.controller.log())?;
    api.apply(&config_map(&namespace, "settings", "precious"))?;
    api.apply(&json!({
        "apiVersion": Velero::API,
        "kind": "Backup",
        "metadata": { "name": namespace, "namespace": Velero::NAMESPACE },
        "spec": {
            "includedNamespaces": [namespace],
            "storageLocation": namespace,
            "snapshotVolumes": false,
            "defaultVolumesToFsBackup": false,
        },
    }))?;
    let completed = |object: &Value| object["status"]["phase"] == "Completed";
    api.wait(Velero::API, "Backup", Velero::NAMESPACE, &namespace, MINUTE, completed)?;
    ensure!(s3.keys(&namespace, &format!("cluster/backups/{namespace}/"))?.len() > 5);

    api.delete_and_wait("v1", "ConfigMap", &namespace, "settings")?;
    api.apply(&json!({
        "apiVersion": Velero::API,
        "kind": "Restore",
        "metadata": { "name": namespace, "namespace": Velero::NAMESPACE },
        "spec": { "backupName": namespace },
    }))?;
    api.wait(Velero::API, "Restore", Velero::NAMESPACE, &namespace, MINUTE, completed)?;
    let back = api.get("v1", "ConfigMap", &namespace, "settings")?.context("the object is not back")?;
    ensure!(back["data"]["key"] == "precious");
    velero.controller.check()
}

#[test]
fn volsync_moves_the_bytes_of_a_claim_into_a_bucket_and_back() -> Result<()> {
    let shared = shared()?;
    let (api, s3) = (shared.api(), &shared.minio()?.s3);
    let volsync = shared.volsync()?;
    let namespace = shared.namespace("volsync")?;
    s3.create_bucket(&namespace)?;
    let repository = format!("s3:{}/{namespace}/data", s3.endpoint);
    fs::write(shared.node.claim(&namespace, "data")?.join("file"), "precious")?;
    api.apply(&secret(
        &namespace,
        "repository",
        &[
            ("RESTIC_REPOSITORY", &repository),
            ("RESTIC_PASSWORD", PASSWORD),
            ("AWS_ACCESS_KEY_ID", &s3.credentials.id),
            ("AWS_SECRET_ACCESS_KEY", &s3.credentials.secret),
        ],
    ))?;
    // By way of a snapshot of the claim, as most people have it.
    api.apply(&json!({
        "apiVersion": VolSync::API,
        "kind": "ReplicationSource",
        "metadata": { "name": "data", "namespace": namespace },
        "spec": {
            "sourcePVC": "data",
            "trigger": { "manual": "first" },
            "restic": { "repository": "repository", "copyMethod": "Snapshot", "retain": { "last": "3" } },
        },
    }))?;
    let synced = |object: &Value| object["status"]["lastManualSync"] == "first";
    let source = api
        .wait(VolSync::API, "ReplicationSource", &namespace, "data", MINUTE, synced)
        .with_context(|| format!("{}\n{}", trouble(shared), volsync.controller.log()))?;
    let mover = &source["status"]["latestMoverStatus"];
    ensure!(mover["result"] == "Successful", "{mover}");
    ensure!(mover["logs"].as_str().is_some_and(|logs| logs.contains("saved")), "{mover}");
    let snapshots = restic_snapshots(s3, &repository)?;
    ensure!(snapshots.len() == 1, "{snapshots:?}");
    ensure!(snapshots[0]["hostname"] == "volsync" && snapshots[0]["paths"] == json!(["/data"]), "{snapshots:?}");

    let restored = shared.node.claim(&namespace, "restored")?;
    api.apply(&json!({
        "apiVersion": VolSync::API,
        "kind": "ReplicationDestination",
        "metadata": { "name": "data", "namespace": namespace },
        "spec": {
            "trigger": { "manual": "first" },
            "restic": { "repository": "repository", "copyMethod": "Direct", "destinationPVC": "restored" },
        },
    }))?;
    api.wait(VolSync::API, "ReplicationDestination", &namespace, "data", MINUTE, synced)
        .with_context(|| trouble(shared))?;
    ensure!(fs::read_to_string(restored.join("file"))? == "precious");
    Ok(())
}

#[test]
fn k8up_moves_the_bytes_of_a_claim_into_a_bucket_and_back() -> Result<()> {
    let shared = shared()?;
    let (api, s3) = (shared.api(), &shared.minio()?.s3);
    let k8up = shared.k8up()?;
    let namespace = shared.namespace("k8up")?;
    s3.create_bucket(&namespace)?;
    let folder = shared.node.claim(&namespace, "data")?;
    fs::write(folder.join("file"), "precious")?;
    let values = [("password", PASSWORD), ("id", &s3.credentials.id), ("key", &s3.credentials.secret)];
    api.apply(&secret(&namespace, "repository", &values))?;
    let reference = |key: &str| json!({ "name": "repository", "key": key });
    let backend = json!({
        "repoPasswordSecretRef": reference("password"),
        "s3": {
            "endpoint": s3.endpoint,
            "bucket": namespace,
            "accessKeyIDSecretRef": reference("id"),
            "secretAccessKeySecretRef": reference("key"),
        },
    });
    let object = |kind: &str, spec: Value| {
        json!({
            "apiVersion": K8up::API,
            "kind": kind,
            "metadata": { "name": "once", "namespace": namespace },
            "spec": spec,
        })
    };
    let succeeded = |object: &Value| has_condition(object, "Completed", "Succeeded");
    api.apply(&object("Backup", json!({ "backend": backend })))?;
    api.wait(K8up::API, "Backup", &namespace, "once", MINUTE, succeeded)
        .with_context(|| format!("{}\n{}", trouble(shared), k8up.controller.log()))?;
    let snapshots = restic_snapshots(s3, &format!("s3:{}/{namespace}", s3.endpoint))?;
    ensure!(snapshots.len() == 1, "{snapshots:?}");
    ensure!(snapshots[0]["hostname"] == *namespace && snapshots[0]["paths"] == json!(["/data/data"]), "{snapshots:?}");

    fs::write(folder.join("file"), "spoilt")?;
    let method = json!({ "folder": { "claimName": "data" } });
    let snapshot = &snapshots[0]["id"];
    api.apply(&object("Restore", json!({ "backend": backend, "snapshot": snapshot, "restoreMethod": method })))?;
    api.wait(K8up::API, "Restore", &namespace, "once", MINUTE, succeeded)
        .with_context(|| format!("{}\n{}", trouble(shared), k8up.controller.log()))?;
    ensure!(fs::read_to_string(folder.join("file"))? == "precious");
    Ok(())
}

fn trouble(shared: &acceptance_tests::servers::kubernetes::Shared) -> String {
    format!("the node's trouble: {:?}", shared.node.trouble())
}
