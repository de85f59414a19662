//! Drills and read-only targets of the engines whose movers open the repository themselves: what production stored is
//! restored on another server, and the storage holds the same objects afterwards, byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::time::Duration;

use acceptance_tests::servers::S3;
use acceptance_tests::servers::kubernetes::{Cluster, K8up, Node, STORAGE_CLASS, VolSync, shared};
use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::scene::Scene;
use crate::velero::provider;

both_clis!(what_k8up_and_volsync_stored_is_restored_elsewhere_and_nothing_of_it_changes);

const DRILL: &str = "mode = \"drill\"\n  drill = { connections = [\"prod\"], namespaces = [\"*\"] }";

/// One application with two volumes, each with an engine of its own.
struct World {
    s3: &'static S3,
    name: String,
}

impl World {
    /// Everything that protects both volumes; `target` goes into both targets, `more` into the provider block.
    fn configuration(&self, cluster: &Cluster, target: &str, more: &str) -> String {
        format!("{}{}", self.restores(cluster, target, more), self.backups())
    }

    fn restores(&self, cluster: &Cluster, target: &str, more: &str) -> String {
        let safety = if target.contains("read_only") { "safety_backup = false" } else { "" };
        let secrets = "secrets = { repository = \"canary-drill-password-19\" }";
        format!(
            r#"{provider}

resource "dr_backup_target" "k8up" {{
  name  = "k8up"
  store = {{ s3 = "minio", bucket = "{name}", prefix = "k8up", credentials = "connection" }}
  k8up  = {{ cluster = "prod", namespace = "{name}-k", password = "repository" }}
  {target}
}}

resource "dr_backup_target" "volsync" {{
  name    = "volsync"
  store   = {{ s3 = "minio", bucket = "{name}", prefix = "volsync", credentials = "connection" }}
  volsync = {{ cluster = "prod", namespace = "{name}-v", password = "repository" }}
  {target}
}}

resource "dr_restore_job" "k8up" {{
  name       = "k8up"
  source     = dr_backup_target.k8up.ref
  on_missing = "skip"
  {safety}
  k8up       = {{ pvc = "data", capacity = "1Gi", storage_class_name = "{STORAGE_CLASS}" }}
}}

resource "dr_restore_job" "volsync" {{
  name       = "volsync"
  source     = dr_backup_target.volsync.ref
  on_missing = "skip"
  {safety}
  volsync    = {{ pvc = "data", capacity = "1Gi", access_modes = ["ReadWriteOnce"], storage_class_name = "{STORAGE_CLASS}" }}
}}

# For a claim that something else makes.
resource "dr_restore_job" "image" {{
  name       = "image"
  source     = dr_backup_target.volsync.ref
  perform    = false
  on_missing = "skip"
  volsync    = {{ pvc = "later", capacity = "1Gi", access_modes = ["ReadWriteOnce"], storage_class_name = "{STORAGE_CLASS}" }}
}}
"#,
            provider = provider(self.s3, cluster, "", &format!("{secrets}\n  {more}")),
            name = self.name,
        )
    }

    fn backups(&self) -> &'static str {
        r#"
resource "dr_backup_job" "k8up" {
  name   = "k8up"
  target = dr_backup_target.k8up.ref
  after  = dr_restore_job.k8up.ref
  on     = ["create", "destroy"]
  k8up   = {}
}

resource "dr_backup_schedule" "k8up" {
  name      = "k8up"
  target    = dr_backup_target.k8up.ref
  after     = dr_restore_job.k8up.ref
  cron      = "0 2 * * *"
  retention = { keep_daily = 7 }
  k8up      = { prune = { cron = "0 5 * * 0" }, check = { cron = "0 6 * * 0" } }
}

resource "dr_backup_job" "volsync" {
  name    = "volsync"
  target  = dr_backup_target.volsync.ref
  after   = dr_restore_job.volsync.ref
  on      = ["create", "destroy"]
  volsync = { pvc = "data", copy_method = "Direct" }
}

resource "dr_backup_schedule" "volsync" {
  name      = "volsync"
  target    = dr_backup_target.volsync.ref
  after     = dr_restore_job.volsync.ref
  cron      = "0 2 * * *"
  retention = { keep_last = 3 }
  volsync   = { pvc = "data", copy_method = "Direct" }
}
"#
    }

    fn namespaces(&self) -> [String; 2] {
        [format!("{}-k", self.name), format!("{}-v", self.name)]
    }

    /// What the storage holds.
    fn stored(&self) -> Result<BTreeMap<String, Vec<u8>>> {
        let keys = self.s3.keys(&self.name, "")?;
        keys.into_iter().map(|key| Ok((key.clone(), self.s3.get(&self.name, &key)?))).collect()
    }

    fn is_unchanged(&self, before: &BTreeMap<String, Vec<u8>>, after: &str) -> Result<()> {
        let now = self.stored()?;
        let differs = |key: &&String| now.get(*key) != before.get(*key);
        let keys: BTreeSet<_> = before.keys().chain(now.keys()).filter(differs).collect();
        ensure!(keys.is_empty(), "{after} changed {keys:?}");
        Ok(())
    }

    /// Both volumes are as they were.
    fn is_back(&self, node: &Node) -> Result<()> {
        for namespace in self.namespaces() {
            let file = node.volume(&namespace, "data")?.join("file");
            ensure!(fs::read_to_string(file)? == namespace, "{namespace} did not come back");
        }
        Ok(())
    }

    /// Nothing that backs up, and nothing that keeps a secret.
    fn leaves_nothing(&self, cluster: &Cluster) -> Result<()> {
        self.backs_nothing_up(cluster)?;
        for namespace in self.namespaces() {
            for (api, kind) in [("v1", "Secret"), (VolSync::API, "ReplicationDestination")] {
                let left = cluster.api.list(api, kind, &namespace)?;
                ensure!(left.is_empty(), "{left:?}");
            }
        }
        Ok(())
    }

    fn backs_nothing_up(&self, cluster: &Cluster) -> Result<()> {
        let kinds = [(K8up::API, "Schedule"), (K8up::API, "Backup"), (K8up::API, "Prune"), (K8up::API, "Check")];
        for namespace in self.namespaces() {
            for (api, kind) in kinds.into_iter().chain([(VolSync::API, "ReplicationSource")]) {
                let left = cluster.api.list(api, kind, &namespace)?;
                ensure!(left.is_empty(), "{left:?}");
            }
        }
        Ok(())
    }
}

fn outcome(scene: &Scene, job: &str) -> Result<Value> {
    Ok(scene.workspace.attributes(job)?["result"]["outcome"].clone())
}

fn what_k8up_and_volsync_stored_is_restored_elsewhere_and_nothing_of_it_changes(scene: &mut Scene) -> Result<()> {
    let shared = shared()?;
    shared.k8up()?;
    shared.volsync()?;
    let world = World { s3: &shared.minio()?.s3, name: format!("d{:08x}", rand::random::<u32>()) };
    world.s3.create_bucket(&world.name)?;
    for namespace in world.namespaces() {
        shared.cluster.namespace(&namespace)?;
        fs::write(shared.node.claim(&namespace, "data")?.join("file"), &namespace)?;
    }
    scene.workspace.write(&world.configuration(&shared.cluster, "", ""))?;
    // VolSync runs a new source at once, and can't tell its point from one of the same second.
    scene.workspace.apply_with(&["-target=dr_backup_schedule.volsync"])?.ok()?;
    let ended = |source: &Value| source["status"]["lastSyncTime"].is_string();
    let of_volsync = &world.namespaces()[1];
    let wait = Duration::from_secs(120);
    shared.api().wait(VolSync::API, "ReplicationSource", of_volsync, "volsync", wait, ended)?;
    scene.workspace.apply()?.ok()?;
    // There is a point now, from which the image is made.
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    let before = world.stored()?;
    ensure!(before.keys().any(|key| key.starts_with("k8up/snapshots/")), "{:?}", before.keys());
    ensure!(before.keys().any(|key| key.starts_with("volsync/snapshots/")), "{:?}", before.keys());

    let scratch = Cluster::start()?.with_controller_manager()?;
    let node = Node::start(&scratch)?;
    let engines = (K8up::start(&scratch)?, VolSync::start(&scratch)?);
    let log = || format!("{:?}\n{}\n{}", node.trouble(), engines.0.controller.log(), engines.1.controller.log());
    for namespace in world.namespaces() {
        scratch.namespace(&namespace)?;
    }

    // The whole configuration as a drill.
    let drill = scene.copy("drill")?;
    fs::remove_file(drill.workspace.state_file())?;
    drill.workspace.write(&world.configuration(&scratch, "", DRILL))?;
    drill.workspace.apply()?.ok().with_context(log)?;
    world.is_back(&node)?;
    for job in ["dr_restore_job.k8up", "dr_restore_job.volsync"] {
        ensure!(outcome(&drill, job)? == "restored", "{job}");
    }
    ensure!(outcome(&drill, "dr_restore_job.image")? == "handed_over");
    for resource in
        ["dr_backup_job.k8up", "dr_backup_schedule.k8up", "dr_backup_job.volsync", "dr_backup_schedule.volsync"]
    {
        let state = drill.workspace.attributes(resource)?;
        ensure!(state["status"] == "drill", "{resource}: {state}");
    }
    world.backs_nothing_up(&scratch)?;
    drill.workspace.plan_is_empty()?;
    world.is_unchanged(&before, "the drill")?;
    drill.workspace.destroy()?.ok().with_context(log)?;
    world.leaves_nothing(&scratch)?;
    world.is_unchanged(&before, "the end of the drill")?;

    // No drill, and targets that only let read: nothing but restores is taken.
    for namespace in world.namespaces() {
        // Pods that are done still hold it.
        for restore in scratch.api.list(K8up::API, "Restore", &namespace)? {
            let name = restore["metadata"]["name"].as_str().context("a name")?;
            scratch.api.delete_and_wait(K8up::API, "Restore", &namespace, name)?;
        }
        scratch.api.delete_and_wait("v1", "PersistentVolumeClaim", &namespace, "data")?;
    }
    let read_only = "access = \"read_only\"";
    drill.workspace.write(&world.configuration(&scratch, read_only, ""))?;
    drill.workspace.plan()?.fails(&["read_only"])?;
    drill.workspace.write(&world.restores(&scratch, read_only, ""))?;
    drill.workspace.apply()?.ok().with_context(log)?;
    world.is_back(&node)?;
    drill.workspace.plan_is_empty()?;
    drill.workspace.destroy()?.ok()?;
    world.leaves_nothing(&scratch)?;
    world.is_unchanged(&before, "a restore from read-only targets")
}
