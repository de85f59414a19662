//! What Velero's restore did and did not bring back, on the real server. It has no agent on the node here, so the tests write
//! by hand that a backup holds a volume's files: what a real agent would have stored, and nobody restores.

use std::fs;
use std::io::Write as _;
use std::time::Duration;

use acceptance_tests::servers::kubernetes::{STORAGE_CLASS, Shared, Velero, rights_of_guide, shared, wait_for};
use acceptance_tests::servers::{Minio, S3};
use anyhow::{Context, Result, ensure};
use dr_resources::clock;
use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::scene::Scene;
use crate::velero::provider;

both_clis!(
    a_claim_that_velero_left_empty_is_an_error_that_names_it,
    a_roll_back_takes_the_claims_of_the_failed_restore_away,
    a_claim_in_the_way_is_deleted_only_when_it_is_saved_or_need_not_be,
    one_lost_namespace_of_two_is_an_error_and_comes_back_by_a_job_of_its_own,
    what_a_restore_is_told_to_change_is_changed,
    a_backup_whose_time_is_over_stays_until_its_restore_has_succeeded,
);

const MINUTE: Duration = Duration::from_secs(60);

/// A bucket, and namespaces whose names begin with its own.
struct World {
    shared: &'static Shared,
    s3: &'static S3,
    name: String,
}

impl World {
    fn new(scene: &mut Scene) -> Result<Self> {
        let shared = shared()?;
        shared.velero()?;
        let minio: &'static Minio = shared.minio()?;
        let name = format!("v{:08x}", rand::random::<u32>());
        minio.s3.create_bucket(&name)?;
        scene.workspace.set("DR_TEST_CLOCK_SPEED", "5");
        Ok(World { shared, s3: &minio.s3, name })
    }

    /// A target, a backup of these namespaces, and more.
    fn write(&self, scene: &Scene, namespaces: &[&str], more: &str) -> Result<()> {
        let name = &self.name;
        scene.workspace.write(&format!(
            r#"{provider}

resource "dr_backup_target" "main" {{
  name   = "{name}"
  store  = {{ s3 = "minio", bucket = "{name}", prefix = "velero", credentials = "connection" }}
  velero = {{ cluster = "prod" }}
}}

resource "dr_backup_job" "once" {{
  name   = "{name}"
  target = dr_backup_target.main.ref
  velero = {{ included_namespaces = {namespaces:?}, snapshot_volumes = false, ttl = "48h" }}
}}

{more}
"#,
            provider = provider(self.s3, &self.shared.cluster, "", ""),
        ))
    }

    /// The same with what the guide lists, and nothing else.
    fn limit(&self, scene: &Scene) -> Result<()> {
        let grants = rights_of_guide("velero.md", 3, Velero::NAMESPACE)?;
        let kubeconfig = scene.workspace.path("kubeconfig");
        let limited = self.shared.cluster.limit(&self.name, &grants, &kubeconfig)?;
        let file = scene.workspace.folder().join("main.tf");
        scene.workspace.write(&limited(&fs::read_to_string(file)?))
    }

    /// A namespace with a letter and a claim.
    fn fill(&self, namespace: &str, letter: &str) -> Result<()> {
        self.shared.cluster.namespace(namespace)?;
        self.shared.api().apply(&json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "letters", "namespace": namespace }, "data": { "first": letter },
        }))?;
        self.shared.api().apply(&json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": { "name": "data", "namespace": namespace },
            "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
        }))?;
        Ok(())
    }

    fn letter(&self, namespace: &str) -> Result<Option<String>> {
        let found = self.shared.api().get("v1", "ConfigMap", namespace, "letters")?;
        Ok(found.and_then(|object| object["data"]["first"].as_str().map(str::to_owned)))
    }

    fn claim(&self, namespace: &str) -> Result<Option<Value>> {
        self.shared.api().get("v1", "PersistentVolumeClaim", namespace, "data")
    }

    fn lose(&self, namespace: &str) -> Result<()> {
        self.shared.api().delete_and_wait("v1", "Namespace", "", namespace)
    }

    /// Writes down that the backup holds the files of the claim, as Velero does where its agent runs.
    fn holds_files(&self, scene: &Scene, namespace: &str) -> Result<()> {
        let job = scene.workspace.attributes("dr_backup_job.once")?;
        let backup = job["result"]["point"]["id"].as_str().context("a backup")?.to_owned();
        let volumes = json!([{
            "pvcName": "data", "pvcNamespace": namespace, "pvName": "pv-1", "backupMethod": "PodVolumeBackup",
            "snapshotDataMoved": false, "preserveLocalSnapshot": false, "skipped": false, "result": "succeeded",
            "pvbInfo": {
                "snapshotHandle": "k1", "size": 42, "uploaderType": "kopia", "volumeName": "data", "podName": "web-0",
                "podNamespace": namespace, "nodeName": "node", "Phase": "Completed",
            },
        }]);
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(volumes.to_string().as_bytes())?;
        let key = format!("velero/backups/{backup}/{backup}-volumeinfo.json.gz");
        self.s3.put(&self.name, &key, &packed.finish()?)
    }
}

/// A restore job of one namespace.
fn restore(name: &str, namespaces: &[&str], more: &str) -> String {
    format!(
        r#"resource "dr_restore_job" "{name}" {{
  name   = "{name}"
  source = dr_backup_target.main.ref
  velero = {{ included_namespaces = {namespaces:?}, existing_resource_policy = "update" }}
  {more}
}}
"#
    )
}

fn a_claim_that_velero_left_empty_is_an_error_that_names_it(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let namespace = world.name.clone();
    world.fill(&namespace, "one")?;
    world.write(scene, &[&namespace], "")?;
    scene.workspace.apply()?.ok()?;
    world.holds_files(scene, &namespace)?;
    world.lose(&namespace)?;

    world.write(scene, &[&namespace], &restore("back", &[&namespace], ""))?;
    let lost = format!("{namespace}/data (file_system out of pod web-0)");
    let run = scene.workspace.apply()?;
    let run = run.fails(&["ended Completed and Velero does not show that it filled these volumes", &lost])?;
    run.says(&["The target may be half written"])?;
    ensure!(world.claim(&namespace)?.is_some(), "Velero made it");
    // It is not skipped the next time, as Velero would.
    scene.workspace.apply()?.fails(&["Velero would skip them", "made by the Restore"])?;

    // Without the claim's content nothing is asked of it.
    let without = restore("back", &[&namespace], "").replace("existing", "restore_pvs = false, existing");
    world.write(scene, &[&namespace], &without)?;
    scene.workspace.apply()?.ok()?;
    ensure!(world.letter(&namespace)?.as_deref() == Some("one"));
    Ok(())
}

fn a_roll_back_takes_the_claims_of_the_failed_restore_away(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let namespace = world.name.clone();
    world.fill(&namespace, "one")?;
    world.write(scene, &[&namespace], "")?;
    scene.workspace.apply()?.ok()?;
    world.holds_files(scene, &namespace)?;
    // The claim is lost, the rest went on.
    world.shared.api().delete_and_wait("v1", "PersistentVolumeClaim", &namespace, "data")?;
    world.shared.api().apply(&json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": { "name": "letters", "namespace": &namespace }, "data": { "first": "two" },
    }))?;
    world.shared.api().apply(&json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": { "name": "other", "namespace": &namespace },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
    }))?;

    let roll_back = "when = \"always\"\n  on_failure = \"roll_back\"";
    world.write(scene, &[&namespace], &restore("over", &[&namespace], roll_back))?;
    world.limit(scene)?;
    let run = scene.workspace.apply()?.ok()?;
    run.says(&["does not show that it filled these volumes", "is back in place"])?;
    let job = scene.workspace.attributes("dr_restore_job.over")?;
    ensure!(job["result"]["outcome"] == "rolled_back", "{job}");
    ensure!(world.letter(&namespace)?.as_deref() == Some("two"), "{:?}", world.letter(&namespace)?);
    let gone = || Ok(world.claim(&namespace)?.is_none().then_some(()));
    wait_for("the claim of the failed restore to be gone", Duration::from_secs(1), gone)?;
    let other = world.shared.api().get("v1", "PersistentVolumeClaim", &namespace, "other")?;
    ensure!(other.is_some(), "a claim that was there before is gone");
    Ok(())
}

fn a_claim_in_the_way_is_deleted_only_when_it_is_saved_or_need_not_be(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let namespace = world.name.clone();
    world.fill(&namespace, "one")?;
    world.write(scene, &[&namespace], "")?;
    scene.workspace.apply()?.ok()?;
    let of_now = || Ok::<_, anyhow::Error>(world.claim(&namespace)?.context("a claim")?["metadata"]["uid"].clone());
    let before = of_now()?;
    let over = |name: &str, more: &str| {
        let job = restore(name, &[&namespace], &format!("when = \"always\"\n  {more}"));
        job.replace("existing_resource", "existing_claims = \"delete\", existing_resource")
    };

    // The backup holds nothing of the claim: Velero leaves it as it is, and so does the provider.
    world.fill(&namespace, "two")?;
    world.write(scene, &[&namespace], &over("without", ""))?;
    scene.workspace.apply()?.ok()?;
    ensure!(of_now()? == before && world.letter(&namespace)?.as_deref() == Some("one"));

    // It holds its files, and no agent runs here that would save them now.
    world.holds_files(scene, &namespace)?;
    world.fill(&namespace, "two")?;
    world.write(scene, &[&namespace], &over("over", ""))?;
    let lost = format!("{namespace}/data");
    let run = scene.workspace.apply()?;
    run.fails(&["nothing is changed", "does not hold their content in the bucket", &lost, "safety_backup = false"])?;
    ensure!(of_now()? == before && world.letter(&namespace)?.as_deref() == Some("two"));

    // Unsaved, if need be. No agent fills it either, which is no success, and the next attempt deletes nothing unseen.
    world.write(scene, &[&namespace], &over("over", "safety_backup = false"))?;
    scene.workspace.apply()?.fails(&["Velero does not show that it filled these volumes", &lost, "half written"])?;
    let made = of_now()?;
    ensure!(made != before, "the claim is the old one");
    ensure!(world.letter(&namespace)?.as_deref() == Some("one"), "{:?}", world.letter(&namespace)?);
    scene.workspace.apply()?.fails(&["is in no safety backup", &lost])?;
    ensure!(of_now()? == made, "the claim was deleted again");
    Ok(())
}

fn one_lost_namespace_of_two_is_an_error_and_comes_back_by_a_job_of_its_own(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let (one, two) = (format!("{}-one", world.name), format!("{}-two", world.name));
    let both = [one.as_str(), two.as_str()];
    for namespace in both {
        world.fill(namespace, "one")?;
    }
    world.write(scene, &both, &restore("both", &both, ""))?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    ensure!(scene.workspace.attributes("dr_restore_job.both")?["result"]["outcome"] == "not_needed");

    world.lose(&two)?;
    let run = scene.workspace.plan()?.fails(&["Is the target lost?", "is lost and the rest is not"])?;
    run.says(&[&format!("namespace {two} does not exist"), "a job of its own", "when = \"always\" alone"])?;

    // As the error says.
    let always = restore("both", &both, "when = \"always\"") + &restore("alone", &[&two], "");
    world.write(scene, &both, &always)?;
    scene.workspace.apply()?.ok()?;
    ensure!(scene.workspace.attributes("dr_restore_job.alone")?["result"]["outcome"] == "restored");
    ensure!(world.letter(&two)?.as_deref() == Some("one"));
    world.write(scene, &both, &restore("both", &both, ""))?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()
}

/// Storage classes, Velero's own modifiers and hooks, each in a copy of the namespace. A record of another engine's runs that
/// lies in it is left out by Velero.
fn what_a_restore_is_told_to_change_is_changed(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let (api, namespace) = (world.shared.api(), world.name.clone());
    world.fill(&namespace, "one")?;
    api.apply(&json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "web", "namespace": namespace, "labels": { "app": "web" } },
        "spec": { "nodeSelector": { "nowhere": "true" }, "containers": [{ "name": "web", "image": "example/web" }] },
    }))?;
    api.apply(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": { "record.json": "{}" },
        "metadata": {
            "name": "dr-run-1", "namespace": namespace,
            "labels": { "dr/ledger": "run", "velero.io/exclude-from-backup": "true" },
        },
    }))?;
    let rules = json!({
        "version": "v1",
        "resourceModifierRules": [{
            "conditions": { "groupResource": "configmaps", "resourceNameRegex": "^letters$" },
            "patches": [{ "operation": "replace", "path": "/data/first", "value": "modified" }],
        }],
    });
    api.apply(&json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": { "rules.yaml": rules.to_string() },
        "metadata": { "name": format!("{namespace}-rules"), "namespace": Velero::NAMESPACE },
    }))?;
    api.apply(&json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": { "name": "slow" },
        "provisioner": "example.com/slow",
    }))?;
    world.write(scene, &[&namespace], "")?;
    scene.workspace.apply()?.ok()?;

    let copy = |name: &str, arguments: &str| {
        format!(
            r#"resource "dr_restore_job" "{name}" {{
  name   = "{namespace}-{name}"
  source = dr_backup_target.main.ref
  velero = {{
    included_namespaces = ["{namespace}"]
    namespace_mapping   = {{ {namespace} = "{namespace}-{name}" }}
    {arguments}
  }}
}}
"#
        )
    };
    let hooks = r#"hooks = {
      resources = [{
        name           = "prepare"
        labelSelector  = { matchLabels = { app = "web" } }
        postHooks      = [{ init = { initContainers = [{ name = "prepare", image = "example/prepare", command = ["true"] }] } }]
      }]
    }"#;
    let classes = copy("classes", &format!("storage_class_mapping = {{ {STORAGE_CLASS} = \"slow\" }}\n    {hooks}"));
    let modified = copy("modified", &format!("resource_modifier = \"{namespace}-rules\""));
    world.write(scene, &[&namespace], &format!("{classes}{modified}"))?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;

    let (classes, modified) = (format!("{namespace}-classes"), format!("{namespace}-modified"));
    let claim = world.claim(&classes)?.context("no claim")?;
    ensure!(claim["spec"]["storageClassName"] == "slow", "{claim}");
    let pod = api.get("v1", "Pod", &classes, "web")?.context("no pod")?;
    ensure!(pod["spec"]["initContainers"][0]["name"] == "prepare", "{pod}");
    ensure!(world.letter(&classes)?.as_deref() == Some("one"));
    ensure!(world.letter(&modified)?.as_deref() == Some("modified"), "{:?}", world.letter(&modified)?);
    let claim = world.claim(&modified)?.context("no claim")?;
    ensure!(claim["spec"]["storageClassName"] == STORAGE_CLASS, "{claim}");
    for copy in [classes, modified] {
        ensure!(api.get("v1", "ConfigMap", &copy, "dr-run-1")?.is_none(), "a record of runs came to {copy}");
    }
    Ok(())
}

/// The restore is killed, and Velero looks for what has expired before the next one begins.
fn a_backup_whose_time_is_over_stays_until_its_restore_has_succeeded(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    // A lease whose owner died is stale after a minute of this clock.
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "20");
    let (api, namespace) = (world.shared.api(), world.name.clone());
    world.fill(&namespace, "one")?;
    world.write(scene, &[&namespace], "")?;
    scene.workspace.apply()?.ok()?;
    let stored = scene.workspace.attributes("dr_backup_job.once")?;
    let backup = stored["result"]["point"]["id"].as_str().context("a backup")?.to_owned();
    let found = || api.get(Velero::API, "Backup", Velero::NAMESPACE, &backup);
    world.lose(&namespace)?;

    let over = Timestamp::from_second(clock::now().as_second() + 40)?;
    let expires = json!({ "status": { "expiration": over.to_string() } });
    let before = api.patch(Velero::API, "Backup", Velero::NAMESPACE, &backup, &expires)?;
    world.write(scene, &[&namespace], &restore("back", &[&namespace], ""))?;
    scene.workspace.set("DR_TEST_DIE", "restore_job:5");
    ensure!(!scene.workspace.apply()?.status.success(), "it was not killed");
    scene.workspace.set("DR_TEST_DIE", "");
    let kept: Timestamp = found()?.context("no backup")?["status"]["expiration"].as_str().context("a date")?.parse()?;
    ensure!(kept.duration_since(over).as_hours() > 29 * 24, "it expires at {kept}");

    // Twice, every ten seconds.
    while clock::now().duration_since(over).as_secs() < 21 {
        std::thread::sleep(Duration::from_secs(1));
    }
    scene.workspace.apply()?.ok()?.never_says(&["could not be told"])?;
    ensure!(world.letter(&namespace)?.as_deref() == Some("one"));

    // Everything is what it was, and Velero goes by that.
    if let Some(now) = found()?.filter(|now| now["status"]["phase"] == "Completed") {
        ensure!(now["status"] == before["status"], "{now}");
        ensure!(now["metadata"]["labels"] == before["metadata"]["labels"], "{now}");
        ensure!(now["metadata"]["annotations"] == before["metadata"]["annotations"], "{now}");
    }
    wait_for("Velero to remove the backup", MINUTE, || Ok(found()?.is_none().then_some(())))
}
