//! The real Velero server with its plugin for S3. Without its agents on nodes it backs up and restores objects only.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::controller::Controller;
use super::definitions::Definitions;
use crate::parts;
use crate::servers::S3;
use crate::servers::minio::free_port;

/// A running server.
#[derive(Debug)]
pub struct Velero {
    /// Its process.
    pub controller: Controller,
}

impl Velero {
    /// Where its objects are.
    pub const NAMESPACE: &str = "velero";
    /// Of its objects.
    pub const API: &str = "velero.io/v1";

    /// Defines its kinds and starts it. Every five seconds it looks whether storage answers and which backups others
    /// made there, every ten which have expired.
    pub fn start(cluster: &Cluster) -> Result<Self> {
        cluster.api.define(&[Definitions::VELERO])?;
        cluster.namespace(Self::NAMESPACE)?;
        // A restore reads it, and ends as `PartiallyFailed` without it.
        cluster.api.apply(&deployment())?;
        let controller = Controller::start(cluster, "velero", |folder| {
            let plugins = folder.join("plugins");
            fs::create_dir_all(&plugins)?;
            let plugin = plugins.join("velero-plugin-for-aws");
            if !plugin.exists() {
                symlink(parts::VELERO_PLUGIN_FOR_AWS.get()?, plugin)?;
            }
            let mut command = Command::new(parts::VELERO.get()?);
            command
                .args(["server", "--namespace", Self::NAMESPACE, "--plugin-dir"])
                .arg(&plugins)
                .arg(format!("--metrics-address=127.0.0.1:{}", free_port()?))
                .arg(format!("--profiler-address=127.0.0.1:{}", free_port()?))
                .args(["--store-validation-frequency=5s", "--backup-sync-period=5s"])
                .args(["--garbage-collection-frequency=10s", "--client-qps=200", "--client-burst=400"])
                // Keys come from Secrets alone, and nothing outside this machine is asked for them.
                .env("AWS_EC2_METADATA_DISABLED", "true");
            Ok(command)
        })?;
        Ok(Self { controller })
    }

    /// Makes a BackupStorageLocation and its Secret by hand, and waits until Velero finds it available.
    pub fn location(cluster: &Cluster, name: &str, s3: &S3, bucket: &str, prefix: &str) -> Result<Value> {
        let (id, secret) = (&s3.credentials.id, &s3.credentials.secret);
        let file = format!("[default]\naws_access_key_id={id}\naws_secret_access_key={secret}\n");
        cluster.api.apply(&json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": name, "namespace": Self::NAMESPACE },
            "data": { "cloud": STANDARD.encode(file) },
        }))?;
        cluster.api.apply(&json!({
            "apiVersion": Self::API,
            "kind": "BackupStorageLocation",
            "metadata": { "name": name, "namespace": Self::NAMESPACE },
            "spec": {
                "provider": "aws",
                "objectStorage": { "bucket": bucket, "prefix": prefix },
                "config": { "region": s3.region, "s3ForcePathStyle": "true", "s3Url": s3.endpoint },
                "credential": { "name": name, "key": "cloud" },
            },
        }))?;
        let available = |location: &Value| location["status"]["phase"] == "Available";
        cluster.api.wait(Self::API, "BackupStorageLocation", Self::NAMESPACE, name, Duration::from_secs(60), available)
    }
}

fn deployment() -> Value {
    let labels = json!({ "deploy": "velero" });
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": { "name": "velero", "namespace": Velero::NAMESPACE },
        "spec": {
            "replicas": 0, // the server runs beside the cluster
            "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": { "containers": [{ "name": "velero", "image": format!("velero/velero:v{}", parts::VELERO.version) }] },
            },
        },
    })
}
