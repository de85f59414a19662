//! Volumes as folders: what makes them for claims, copies them for snapshots, and fills them from both.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::super::client::Kubernetes;
use super::pod::now;
use super::spec::{Resolver, field};

/// The storage class, which is the default one, and the class of its snapshots.
pub const STORAGE_CLASS: &str = "folders";
const DRIVER: &str = "folders.test";
const SNAPSHOTS: &str = "snapshot.storage.k8s.io/v1";

/// Makes volumes below one folder.
#[derive(Debug)]
pub(super) struct Volumes {
    folder: PathBuf,
    /// Claims and snapshots that were seen to.
    done: BTreeSet<String>,
}

impl Volumes {
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, done: BTreeSet::new() }
    }

    /// Makes the class.
    pub(super) fn class(api: &Kubernetes) -> Result<()> {
        api.apply(&json!({
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {
                "name": STORAGE_CLASS,
                "annotations": { "storageclass.kubernetes.io/is-default-class": "true" },
            },
            "provisioner": DRIVER,
            "reclaimPolicy": "Retain",
            "volumeBindingMode": "Immediate",
        }))?;
        Ok(())
    }

    /// Sees to every claim that waits.
    pub(super) fn claims(&mut self, resolver: &Resolver<'_>) -> Result<()> {
        for claim in resolver.api.list("v1", "PersistentVolumeClaim", "")? {
            let uid = field(&claim, "/metadata/uid");
            let waits = field(&claim, "/status/phase") == "Pending" && claim["spec"].get("volumeName").is_none();
            let ours = field(&claim, "/spec/storageClassName") == STORAGE_CLASS;
            let leaves = claim["metadata"].get("deletionTimestamp").is_some();
            if waits && ours && !leaves && !self.done.contains(uid) && self.provision(resolver, &claim)? {
                self.done.insert(uid.to_owned());
            }
        }
        Ok(())
    }

    /// Makes the volume of a claim, unless what it is to hold isn't there yet or is another controller's to make.
    fn provision(&self, resolver: &Resolver<'_>, claim: &Value) -> Result<bool> {
        let name = format!("pvc-{}", field(claim, "/metadata/uid"));
        let folder = self.folder.join(&name);
        match self.source(resolver, claim)? {
            Source::Nothing => std::fs::create_dir_all(&folder)?,
            Source::Folder(source) => copy(&source, &folder)?,
            Source::NotYet => return Ok(false),
        }
        resolver.api.apply(&json!({
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": { "name": name, "annotations": { "pv.kubernetes.io/provisioned-by": DRIVER } },
            "spec": {
                "accessModes": claim["spec"]["accessModes"],
                "capacity": { "storage": claim["spec"]["resources"]["requests"]["storage"] },
                "claimRef": {
                    "apiVersion": "v1",
                    "kind": "PersistentVolumeClaim",
                    "namespace": claim["metadata"]["namespace"],
                    "name": claim["metadata"]["name"],
                    "uid": claim["metadata"]["uid"],
                },
                "hostPath": { "path": folder },
                "persistentVolumeReclaimPolicy": "Retain",
                "storageClassName": STORAGE_CLASS,
            },
        }))?;
        Ok(true)
    }

    fn source(&self, resolver: &Resolver<'_>, claim: &Value) -> Result<Source> {
        let source = claim.pointer("/spec/dataSourceRef").or_else(|| claim.pointer("/spec/dataSource"));
        let Some(source) = source else { return Ok(Source::Nothing) };
        let (namespace, name) = (field(claim, "/metadata/namespace"), field(source, "/name"));
        match field(source, "/kind") {
            "PersistentVolumeClaim" => Ok(Source::Folder(resolver.claim(namespace, name)?)),
            "VolumeSnapshot" => match resolver.api.get(SNAPSHOTS, "VolumeSnapshot", namespace, name)? {
                Some(snapshot) if snapshot["status"]["readyToUse"] == true => {
                    Ok(Source::Folder(self.snapshot_folder(&snapshot)))
                }
                _ => Ok(Source::NotYet),
            },
            _ => Ok(Source::NotYet),
        }
    }

    /// Takes every snapshot that waits.
    pub(super) fn snapshots(&mut self, resolver: &Resolver<'_>) -> Result<()> {
        for snapshot in resolver.api.list(SNAPSHOTS, "VolumeSnapshot", "")? {
            let uid = field(&snapshot, "/metadata/uid");
            if !snapshot["status"]["readyToUse"].as_bool().unwrap_or_default() && !self.done.contains(uid) {
                self.take(resolver, &snapshot)?;
                self.done.insert(uid.to_owned());
            }
        }
        Ok(())
    }

    fn take(&self, resolver: &Resolver<'_>, snapshot: &Value) -> Result<()> {
        let (namespace, name) = (field(snapshot, "/metadata/namespace"), field(snapshot, "/metadata/name"));
        let claim = field(snapshot, "/spec/source/persistentVolumeClaimName");
        let folder = self.snapshot_folder(snapshot);
        copy(&resolver.claim(namespace, claim)?, &folder)?;
        let content = format!("snapcontent-{}", field(snapshot, "/metadata/uid"));
        resolver.api.apply(&json!({
            "apiVersion": SNAPSHOTS,
            "kind": "VolumeSnapshotContent",
            "metadata": { "name": content },
            "spec": {
                "deletionPolicy": "Delete",
                "driver": DRIVER,
                "source": { "snapshotHandle": folder },
                "volumeSnapshotRef": {
                    "apiVersion": SNAPSHOTS,
                    "kind": "VolumeSnapshot",
                    "namespace": namespace,
                    "name": name,
                    "uid": snapshot["metadata"]["uid"],
                },
            },
        }))?;
        let claim = resolver.api.get("v1", "PersistentVolumeClaim", namespace, claim)?.unwrap_or_default();
        let status = json!({
            "boundVolumeSnapshotContentName": content,
            "creationTime": now(),
            "readyToUse": true,
            "restoreSize": claim["status"]["capacity"]["storage"],
        });
        resolver.api.patch_status(SNAPSHOTS, "VolumeSnapshot", namespace, name, &status)?;
        Ok(())
    }

    fn snapshot_folder(&self, snapshot: &Value) -> PathBuf {
        self.folder.join(format!("snapshot-{}", field(snapshot, "/metadata/uid")))
    }
}

/// What a new volume holds.
enum Source {
    Nothing,
    Folder(PathBuf),
    NotYet,
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    let status = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status()?;
    if !status.success() {
        bail!("cannot copy {} to {}", from.display(), to.display());
    }
    Ok(())
}
