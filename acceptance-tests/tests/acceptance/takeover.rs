//! What happens in the middle of a restore: the provider is killed at any step, and the API server is killed and comes back
//! while something is waited for. There is one restore, and the application comes back once.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use acceptance_tests::cli::{Kind, Running};
use acceptance_tests::servers::kubernetes::{Cluster, K8up, Kubernetes, Shared, Velero, VolSync, shared, wait_for};
use acceptance_tests::servers::{Minio, S3};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::rebuild::{again, configuration, letter, paused, replicas, restores, text_of, with_application};
use crate::scene::Scene;
use crate::{k8up, volsync};

both_clis!(
    a_quiesced_restore_that_is_killed_at_any_step_restores_once_and_resumes_once,
    a_claim_whose_restore_by_volsync_is_killed_at_any_step_comes_back_with_its_application,
    a_claim_whose_restore_by_k8up_is_killed_at_any_step_comes_back_with_its_application,
    an_api_server_that_is_restarted_while_something_is_waited_for_ends_no_wait,
);

/// More steps than any run has.
const ENOUGH: usize = 60;

/// What Velero's plugin ends with when it reads its file of keys while another part of Velero writes it anew: each use of a
/// location empties that file first (`Path` in Velero's internal/credentials/file_store.go), and a server that has just
/// begun uses every location at once. The restore has read nothing then, is `Failed`, and the next apply takes the same point.
const VELERO_READ_NO_KEYS: &str = "no EC2 IMDS role found";

const MINUTE: Duration = Duration::from_secs(60);

/// A restore that is run again and again.
trait Restoring {
    /// Overwrites the target, and gives the configuration that restores it anew.
    fn begin(&mut self, round: usize) -> Result<String>;

    /// Sees that it was restored once, and that everything around it is as it was.
    fn is_whole(&self) -> Result<()>;
}

/// Kills the provider at the `first` step of a run, and at every `stride`th from there, each in a run of its own that the next
/// apply goes on with. Gives how many steps a run has.
fn dies_at_every(stride: usize, first: usize, scene: &mut Scene, restoring: &mut dyn Restoring) -> Result<usize> {
    for (round, step) in (first..ENOUGH).step_by(stride).enumerate() {
        scene.workspace.write(&restoring.begin(round + 1)?)?;
        scene.workspace.set("DR_TEST_DIE", format!("restore_job:{step}"));
        let killed = scene.workspace.apply()?;
        scene.workspace.set("DR_TEST_DIE", "");
        if !killed.status.success() {
            scene.workspace.apply()?.ok().with_context(|| format!("killed at step {step}"))?;
        }
        restoring.is_whole().with_context(|| format!("killed at step {step}: {}", killed.said()))?;
        if killed.status.success() {
            scene.workspace.plan_is_empty()?;
            return Ok(step - 1);
        }
    }
    anyhow::bail!("the run never came to its end")
}

/// Steps are the same whoever counts them, so each CLI begins with another one.
fn first_of(scene: &Scene, tofu: usize, terraform: usize) -> usize {
    if scene.workspace.cli.kind == Kind::Tofu { tofu } else { terraform }
}

/// How often something changed what is wanted of the application.
fn generation(api: &Kubernetes, name: &str, namespace: &str) -> Result<i64> {
    let deployment = api.get("apps/v1", "Deployment", namespace, name)?.context("no deployment")?;
    deployment["metadata"]["generation"].as_i64().context("no generation")
}

/// A namespace with a letter and an application.
struct Namespace {
    shared: &'static Shared,
    s3: &'static S3,
    name: String,
    /// How many restores there were, and how often the application was changed.
    before: (usize, i64),
}

impl Restoring for Namespace {
    fn begin(&mut self, round: usize) -> Result<String> {
        let Namespace { shared, s3, name, .. } = self;
        shared.api().apply(&letter(name, "Overwritten"))?;
        self.before = (restores(&shared.cluster, name)?, generation(shared.api(), "paperless", name)?);
        Ok(again(s3, shared, name).replace("run = \"1\"", &format!("run = \"{round}\"")))
    }

    fn is_whole(&self) -> Result<()> {
        let Namespace { shared, name, before, .. } = self;
        ensure!(text_of(&shared.cluster, name)?.as_deref() == Some("Dear all"), "it was not restored");
        ensure!(restores(&shared.cluster, name)? == before.0 + 1, "more or fewer than one restore ran");
        ensure!(replicas(shared, name)? == 2 && !paused(shared, name)?, "something is still down");
        ensure!(generation(shared.api(), "paperless", name)? == before.1 + 2, "it went down once, and up once");
        let kept = shared.api().list(Velero::API, "Backup", Velero::NAMESPACE)?;
        let of_this = |backup: &&Value| backup["metadata"]["name"].as_str().is_some_and(|found| found.contains(name));
        let mut kept = kept.iter().filter(of_this).filter(|backup| backup["metadata"]["labels"]["dr/kept"].is_string());
        ensure!(kept.next().is_none(), "its backup does not expire any more");
        Ok(())
    }
}

fn a_quiesced_restore_that_is_killed_at_any_step_restores_once_and_resumes_once(scene: &mut Scene) -> Result<()> {
    let (shared, s3, name) = with_application(scene)?;
    // A lease whose owner died is stale after a minute of this clock.
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "20");
    let mut namespace = Namespace { shared, s3, name, before: (0, 0) };
    let steps = dies_at_every(2, first_of(scene, 1, 2), scene, &mut namespace)?;
    ensure!(steps >= 12, "only {steps} steps were found");
    Ok(())
}

/// A claim that an application has mounted, and whose schedule has stored one point.
struct Claim {
    api: &'static Kubernetes,
    name: String,
    folder: PathBuf,
    /// `{round}` stands for the round in it.
    configuration: String,
    /// The schedule: its API, kind and name.
    schedule: [&'static str; 3],
    /// What restores: its API and kind, and how many a restore that succeeded leaves.
    restores: (&'static str, &'static str, usize),
    before: Around,
    /// What had restored before, by name: k8up removes the oldest.
    known: Vec<Value>,
}

/// What is around a claim.
#[derive(Debug, Clone, Default, PartialEq)]
struct Around {
    schedule: Value,
    secrets: Vec<Value>,
    /// How often the application was changed, and how many of it there are to be.
    application: (i64, Value),
    labels: Value,
}

impl Claim {
    fn around(&self) -> Result<Around> {
        let Claim { api, name, schedule: [group, kind, schedule], .. } = self;
        let schedule = api.get(group, kind, name, schedule)?.context("no schedule")?;
        let secrets = api.list("v1", "Secret", name)?;
        let web = api.get("apps/v1", "Deployment", name, "web")?.context("no deployment")?;
        let claim = api.get("v1", "PersistentVolumeClaim", name, "data")?.context("no claim")?;
        Ok(Around {
            schedule: schedule["spec"].clone(),
            secrets: secrets.iter().map(|secret| secret["metadata"]["name"].clone()).collect(),
            application: (generation(api, "web", name)?, web["spec"]["replicas"].clone()),
            labels: claim["metadata"]["labels"].clone(),
        })
    }

    fn restores(&self) -> Result<Vec<Value>> {
        let found = self.api.list(self.restores.0, self.restores.1, &self.name)?;
        Ok(found.iter().map(|found| found["metadata"]["name"].clone()).collect())
    }
}

impl Restoring for Claim {
    fn begin(&mut self, round: usize) -> Result<String> {
        fs::write(self.folder.join("file"), "spoilt")?;
        (self.before, self.known) = (self.around()?, self.restores()?);
        Ok(self.configuration.replace("{round}", &round.to_string()))
    }

    fn is_whole(&self) -> Result<()> {
        ensure!(fs::read_to_string(self.folder.join("file"))? == "precious", "it was not restored");
        let (before, now) = (self.before.clone(), self.around()?);
        // Down once, and up once.
        let application = (before.application.0 + 2, before.application.1.clone());
        let expected = Around { application, ..before };
        ensure!(now == expected, "around it is {now:#?}\nand not {expected:#?}");
        let mut new = self.restores()?;
        new.retain(|restore| !self.known.contains(restore));
        ensure!(new.len() == self.restores.2, "what restored it: {new:?}");
        Ok(())
    }
}

/// A Deployment that has the claim mounted.
pub fn application(api: &Kubernetes, namespace: &str) -> Result<()> {
    let labels = json!({ "app": "web" });
    api.apply(&json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "namespace": namespace },
        "spec": {
            "replicas": 1, "selector": { "matchLabels": labels },
            "template": {
                "metadata": { "labels": labels },
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": "data" } }],
                    "containers": [{
                        "name": "web", "image": "example/web",
                        "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
                    }],
                },
            },
        },
    }))?;
    let ready = |object: &Value| object["status"]["readyReplicas"] == 1;
    api.wait("apps/v1", "Deployment", namespace, "web", MINUTE, ready).map(drop)
}

/// A job that restores the claim from one point, with the application down meanwhile; `block` is the engine's.
fn job(point: &Value, block: &str) -> String {
    format!(
        r#"
resource "dr_restore_job" "docs" {{
  name           = "docs"
  source         = dr_backup_target.main.ref
  when           = "always"
  triggers       = {{ run = "{{round}}" }}
  recovery_point = {{ id = {point} }}
  quiesce        = {{ scale_down = ["deployment/web"] }}
  {block}
}}
"#
    )
}

/// A round takes movers two runs. The engines and the CLIs take turns, before and after what is written down alike: what one of
/// them passes over, another one does not.
const STRIDE: usize = 5;

/// The lease of a dead process is waited for six seconds, and movers are given time enough.
const QUICK: &str = "10";

fn a_claim_whose_restore_by_volsync_is_killed_at_any_step_comes_back_with_its_application(
    scene: &mut Scene,
) -> Result<()> {
    let world = volsync::World::new(scene)?;
    let api = world.shared.api();
    application(api, &world.name)?;
    scene.workspace.write(&world.configuration(""))?;
    scene.workspace.apply()?.ok()?;
    world.synced(&Value::Null)?;
    scene.workspace.set("DR_TEST_CLOCK_SPEED", QUICK);
    let job = job(&world.snapshots()?[0]["id"], "volsync        = { pvc = \"data\" }");
    let mut claim = Claim {
        api,
        name: world.name.clone(),
        folder: world.folder.clone(),
        configuration: format!("{}{job}", world.configuration("after = dr_restore_job.docs.ref")),
        schedule: [VolSync::API, "ReplicationSource", "hourly"],
        restores: (VolSync::API, "ReplicationDestination", 0),
        before: Around::default(),
        known: Vec::new(),
    };
    let steps = dies_at_every(STRIDE, first_of(scene, 1, 3), scene, &mut claim).with_context(|| world.log())?;
    ensure!(steps >= 16, "only {steps} steps were found");
    ensure!(world.snapshots()?.len() == 1, "something was stored meanwhile");
    let sources = api.list(VolSync::API, "ReplicationSource", &world.name)?;
    ensure!(sources.len() == 1, "a safety backup is left over: {sources:?}");
    Ok(())
}

fn a_claim_whose_restore_by_k8up_is_killed_at_any_step_comes_back_with_its_application(
    scene: &mut Scene,
) -> Result<()> {
    let world = k8up::World::new(scene)?;
    let api = world.shared.api();
    let folder = world.shared.node.claim(&world.name, "data")?;
    fs::write(folder.join("file"), "precious")?;
    application(api, &world.name)?;
    scene.workspace.write(&world.backed_up(1, &k8up::schedule("first_backup = \"allow\"")))?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.set("DR_TEST_CLOCK_SPEED", QUICK);
    let job = job(&world.snapshots()?[0]["id"], "k8up           = { pvc = \"data\" }");
    let nightly = k8up::schedule("first_backup = \"allow\"\n  after = dr_restore_job.docs.ref");
    let mut claim = Claim {
        api,
        name: world.name.clone(),
        folder,
        configuration: world.backed_up(1, &format!("{nightly}{job}")),
        schedule: [K8up::API, "Schedule", "nightly"],
        restores: (K8up::API, "Restore", 1),
        before: Around::default(),
        known: Vec::new(),
    };
    let steps = dies_at_every(STRIDE, first_of(scene, 2, 4), scene, &mut claim)?;
    ensure!(steps >= 16, "only {steps} steps were found");
    ensure!(world.snapshots()?.len() == 1, "something was stored meanwhile");
    Ok(())
}

/// The API server and its storage are killed and come back, while the CLI works.
fn restarts_during(running: &mut Running, cluster: &Cluster) -> Result<()> {
    cluster.kill();
    // Long enough that whoever waits has asked meanwhile.
    std::thread::sleep(Duration::from_secs(5));
    ensure!(!running.ended()?, "it did not wait: {}", running.so_far()?);
    cluster.restart()?;
    // A server that has just begun refuses what it has not read yet.
    let read = || cluster.api.list(Velero::API, "Restore", Velero::NAMESPACE).map(Some);
    wait_for("what it stores", MINUTE, read).map(drop)
}

fn an_api_server_that_is_restarted_while_something_is_waited_for_ends_no_wait(scene: &mut Scene) -> Result<()> {
    let minio: &'static Minio = shared()?.minio()?;
    let name = format!("r{:08x}", rand::random::<u32>());
    minio.s3.create_bucket(&name)?;
    let cluster = Cluster::start()?;
    let velero = Velero::start(&cluster)?;
    cluster.namespace(&name)?;
    cluster.api.apply(&letter(&name, "Dear all"))?;
    let write = |more: &str| scene.workspace.write(&configuration(&minio.s3, &cluster, &name, more, ""));
    // Velero sleeps while the API server is away: a real one would be started again by its Deployment.
    let awake = |velero: &Velero| velero.controller.restart();

    // While the location is waited for.
    velero.controller.pause()?;
    write("")?;
    let mut apply = scene.workspace.start_apply()?;
    let location = || cluster.api.get(Velero::API, "BackupStorageLocation", Velero::NAMESPACE, &name);
    wait_for("the location", MINUTE, location)?;
    restarts_during(&mut apply, &cluster)?;
    awake(&velero)?;
    apply.wait()?.ok().with_context(|| velero.controller.log())?;
    scene.workspace.plan_is_empty()?;

    // While the restore is waited for.
    cluster.api.apply(&letter(&name, "Overwritten"))?;
    velero.controller.pause()?;
    write("when = \"always\"\n  safety_backup = false\n  triggers = { run = \"1\" }")?;
    let mut apply = scene.workspace.start_apply()?;
    wait_for("the restore", MINUTE, || Ok((restores(&cluster, &name)? == 1).then_some(())))?;
    restarts_during(&mut apply, &cluster)?;
    let phase = |restore: &Value| restore["status"]["phase"].clone();
    let all = cluster.api.list(Velero::API, "Restore", Velero::NAMESPACE)?;
    ensure!(all.iter().map(phase).all(|phase| phase != "Completed"), "nothing was waited for: {all:?}");
    awake(&velero)?;
    let mut applied = apply.wait()?;
    let raced = applied.said().contains(VELERO_READ_NO_KEYS);
    if raced {
        applied = scene.workspace.apply()?;
    }
    applied.ok().with_context(|| velero.controller.log())?;
    ensure!(text_of(&cluster, &name)?.as_deref() == Some("Dear all"));
    ensure!(restores(&cluster, &name)? == if raced { 2 } else { 1 }, "more restores ran than were needed");
    scene.workspace.plan_is_empty()
}
