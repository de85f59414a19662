//! The scenarios below `examples/scenarios` on real servers: what each protects is lost, and comes back by the same configuration.

use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use acceptance_tests::parts;
use acceptance_tests::servers::S3;
use acceptance_tests::servers::kubernetes::{
    CONTEXT, Cluster, Definitions, K8up, STORAGE_CLASS, Shared, Velero, VolSync, rights_of_guide, shared, wait_for,
};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::scene::Scene;

both_clis!(
    velero_rebuilds_a_cluster,
    three_clusters_rebuilds_the_one_that_is_lost,
    k8up_fills_a_volume_that_is_lost,
    volsync_fills_a_volume_that_is_lost,
    gitops_takes_a_claim_back_to_yesterday_and_fills_those_that_git_makes,
);

const MINUTE: Duration = Duration::from_secs(60);

/// The files of a folder and of those below it.
fn copy_files(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (from, to) = (from.join(entry?.file_name()), to.to_owned());
        let to = to.join(from.file_name().context("a name")?);
        if from.is_dir() { copy_files(&from, &to)? } else { fs::copy(&from, &to).map(drop)? }
    }
    Ok(())
}

/// A scenario's files with the variables that all of them have; the bucket that was made for it.
fn scenario(scene: &mut Scene, name: &str, cluster: &Cluster, s3: &S3) -> Result<String> {
    let bucket = format!("s{:08x}", rand::random::<u32>());
    s3.create_bucket(&bucket)?;
    let folder = parts::checkout().join("examples/scenarios").join(name);
    copy_files(&folder, &scene.workspace.folder())?;
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

fn k8up_fills_a_volume_that_is_lost(scene: &mut Scene) -> Result<()> {
    shared()?.k8up()?;
    fills_a_lost_volume(scene, "k8up", "", |shared, namespace| {
        let api = shared.api();
        let schedule = api.get(K8up::API, "Schedule", namespace, "docs")?.context("no schedule")?;
        // What the schedule makes at its time.
        let mut spec = schedule["spec"]["backup"].clone();
        spec.as_object_mut().context("a backup")?.remove("schedule");
        spec["backend"] = schedule["spec"]["backend"].clone();
        api.create(&json!({
            "apiVersion": K8up::API, "kind": "Backup", "spec": spec,
            "metadata": { "name": "by-schedule", "namespace": namespace },
        }))?;
        let ended = |backup: &Value| backup["status"]["finished"] == true;
        api.wait(K8up::API, "Backup", namespace, "by-schedule", Duration::from_secs(120), ended)?;
        // Its pods hold the claim for as long as they are remembered.
        api.delete_and_wait(K8up::API, "Backup", namespace, "by-schedule")
    })
}

fn volsync_fills_a_volume_that_is_lost(scene: &mut Scene) -> Result<()> {
    shared()?.volsync()?;
    scene.workspace.set("TF_VAR_copy_method", "Direct");
    // VolSync runs a new source at once.
    fills_a_lost_volume(scene, "volsync", ", tier = \"critical\"", |shared, namespace| {
        let ended = |source: &Value| source["status"]["lastSyncTime"].is_string();
        let wait = Duration::from_secs(120);
        shared.api().wait(VolSync::API, "ReplicationSource", namespace, "docs", wait, ended).map(drop)
    })
}

/// What an application has.
fn note(namespace: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "data": { "of": namespace },
        "metadata": { "name": "note", "namespace": namespace },
    })
}

/// It is there.
fn noted(cluster: &Cluster, namespace: &str) -> Result<()> {
    let found = cluster.api.get("v1", "ConfigMap", namespace, "note")?.context("nothing came back")?;
    ensure!(found["data"]["of"] == namespace, "{found}");
    Ok(())
}

/// What a schedule of Velero's makes at night.
fn by_schedule(cluster: &Cluster, schedule: &str) -> Result<()> {
    let found = cluster.api.get(Velero::API, "Schedule", Velero::NAMESPACE, schedule)?.context("no schedule")?;
    let name = format!("{schedule}-20260101020000");
    cluster.api.create(&json!({
        "apiVersion": Velero::API, "kind": "Backup", "spec": found["spec"]["template"],
        "metadata": {
            "name": name, "namespace": Velero::NAMESPACE, "labels": { "velero.io/schedule-name": schedule },
        },
    }))?;
    let ended = |backup: &Value| backup["status"]["phase"] == "Completed";
    cluster.api.wait(Velero::API, "Backup", Velero::NAMESPACE, &name, Duration::from_secs(60), ended).map(drop)
}

/// The location of the shared server that the scenario names, and that only one at a time can have.
static GARAGE: Mutex<()> = Mutex::new(());

/// Three clusters in one module: one is on the shared server, one is added, and one is lost and comes back.
fn three_clusters_rebuilds_the_one_that_is_lost(scene: &mut Scene) -> Result<()> {
    let _alone = GARAGE.lock().unwrap_or_else(PoisonError::into_inner);
    let shared = shared()?;
    shared.velero()?;
    let s3 = &shared.minio()?.s3;
    let bucket = scenario(scene, "velero-clusters", &shared.cluster, s3)?;
    let prod = format!("prod{bucket}");
    let (agentic, monit) = (Cluster::start()?.with_controller_manager()?, Cluster::start()?);
    let engines = (Velero::start(&agentic)?, Velero::start(&monit)?);
    let namespaces = [(&shared.cluster, prod.as_str()), (&agentic, "n8n"), (&monit, "grafana")];
    for (cluster, namespace) in namespaces {
        cluster.namespace(namespace)?;
        cluster.api.apply(&note(namespace))?;
    }
    // A namespace without claims and workloads counts as empty.
    shared.node.claim(&prod, "data")?;
    let cluster = |cluster: &Cluster, name: &str, applications: &str| {
        s3.create_bucket(&format!("{bucket}-{name}"))?;
        Ok::<_, anyhow::Error>(json!({
            "kubeconfig": cluster.kubeconfig_path(), "context": CONTEXT, "bucket": format!("{bucket}-{name}"),
            "applications": [applications], "daily": "0 2 * * *", "weekly": "0 3 * * 0",
        }))
    };
    let mut clusters = json!({ "agentic": cluster(&agentic, "agentic", "n8n")? });
    clusters[&prod] = cluster(&shared.cluster, "prod", &prod)?;
    scene.workspace.set("TF_VAR_clusters", clusters.to_string());
    scene.workspace.run(&["get", "-no-color"])?.ok()?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;

    // One that is added is nothing to the others.
    clusters["monit"] = cluster(&monit, "monit", "grafana")?;
    scene.workspace.set("TF_VAR_clusters", clusters.to_string());
    let added = scene.workspace.apply()?.ok()?;
    added.says(&["0 changed, 0 destroyed", "module.cluster[\"monit\"]"])?;
    scene.workspace.plan_is_empty()?;

    by_schedule(&agentic, "n8n-daily")?;
    by_schedule(&shared.cluster, &format!("{prod}-daily"))?;
    drop(engines.0);
    agentic.empty()?;
    let agentic = agentic.with_controller_manager()?;
    let velero = Velero::start(&agentic)?;
    let rebuilt = scene.workspace.apply()?.ok().with_context(|| velero.controller.log())?;
    rebuilt.says(&["0 added, 4 changed, 0 destroyed"])?;
    noted(&agentic, "n8n")?;
    let schedules = agentic.api.list(Velero::API, "Schedule", Velero::NAMESPACE)?;
    ensure!(schedules.len() == 2, "{schedules:?}");
    scene.workspace.plan_is_empty()?;
    shared.api().delete_and_wait(Velero::API, "BackupStorageLocation", Velero::NAMESPACE, "garage")
}

/// An application with a claim, as Git has it: its Deployment and who keeps that as it is. The real definitions on the real API
/// server; neither Flux nor Argo CD runs, so nobody answers what they are asked.
fn in_git(namespace: &str) -> [Value; 4] {
    let metadata = |name: &str| json!({ "name": name, "namespace": namespace });
    let labels = json!({ "app": "web" });
    let application = json!({
        "project": "default",
        "destination": { "namespace": namespace, "server": "https://kubernetes.default.svc" },
        "source": { "repoURL": "https://git.example.com/apps.git", "path": "web" },
        "syncPolicy": { "automated": { "prune": true, "selfHeal": true } },
    });
    let pod = json!({
        "terminationGracePeriodSeconds": 0,
        "containers": [{
            "name": "web", "image": "example/web", "volumeMounts": [{ "name": "data", "mountPath": "/data" }],
        }],
        "volumes": [{ "name": "data", "persistentVolumeClaim": { "claimName": "data" } }],
    });
    [
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata("web"),
            "spec": {
                "replicas": 2, "selector": { "matchLabels": labels },
                "template": { "metadata": { "labels": labels }, "spec": pod },
            },
        }),
        json!({
            "apiVersion": "kustomize.toolkit.fluxcd.io/v1", "kind": "Kustomization", "metadata": metadata("apps"),
            "spec": { "interval": "10m", "prune": true, "sourceRef": { "kind": "GitRepository", "name": "apps" } },
        }),
        json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "metadata": metadata("apps"),
            "spec": {
                "generators": [{ "list": { "elements": [{ "name": "web" }] } }],
                "template": { "metadata": { "name": "{{name}}" }, "spec": application },
            },
        }),
        json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": metadata("web"), "spec": application,
        }),
    ]
}

/// The same objects as they are on the server.
fn on_server(shared: &Shared, objects: &[Value]) -> Result<Vec<Value>> {
    let look = |object: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (version, kind) = (text(&object["apiVersion"]), text(&object["kind"]));
        let (namespace, name) = (text(&object["metadata"]["namespace"]), text(&object["metadata"]["name"]));
        shared.api().get(&version, &kind, &namespace, &name)?.with_context(|| format!("{kind} {name} is gone"))
    };
    objects.iter().map(look).collect()
}

/// Each was changed for the time of a restore, and is what it was.
fn stood_back(before: &[Value], after: &[Value]) -> Result<()> {
    for (before, after) in before.iter().zip(after) {
        let kind = &before["kind"];
        ensure!(after["spec"] == before["spec"], "{kind}: {} was {}", after["spec"], before["spec"]);
        let generation = |object: &Value| object["metadata"]["generation"].as_i64().unwrap_or_default();
        ensure!(generation(after) == generation(before) + 2, "{kind} was not taken down and brought back: {after}");
    }
    Ok(())
}

/// An application that Git makes, with a claim.
struct Gitops {
    shared: &'static Shared,
    namespace: String,
    /// Its Deployment, and who keeps that as it is.
    objects: [Value; 4],
}

impl Gitops {
    /// It runs, with a letter in its claim, and the scenario protects it.
    fn new(scene: &mut Scene, text: &str) -> Result<Self> {
        let shared = shared()?;
        shared.volsync()?;
        shared.api().define(&[Definitions::FLUX_KUSTOMIZE, Definitions::ARGO_CD])?;
        scenario(scene, "volsync-gitops", &shared.cluster, &shared.minio()?.s3)?;
        let namespace = shared.namespace("gitops")?;
        let claims = format!(
            r#"{{ web = {{
  namespace = "{namespace}", pvc = "data", size = "1Gi", tier = "critical"
  suspend = ["kustomization/apps", "applicationset/apps", "application/web"], scale_down = ["deployment/web"]
}} }}"#
        );
        scene.workspace.set("TF_VAR_claims", claims).set("TF_VAR_storage_class", STORAGE_CLASS);
        scene.workspace.set("TF_VAR_repository_password", "canary-scenario-password-51");
        scene.workspace.set("DR_TEST_CLOCK_SPEED", "4");
        fs::write(shared.node.claim(&namespace, "data")?.join("letter"), text)?;
        let objects = in_git(&namespace);
        objects.iter().try_for_each(|object| shared.api().apply(object).map(drop))?;
        let ready = |object: &Value| object["status"]["readyReplicas"] == 2;
        shared.api().wait("apps/v1", "Deployment", &namespace, "web", MINUTE, ready)?;
        Ok(Gitops { shared, namespace, objects })
    }

    fn source(&self) -> Result<Option<Value>> {
        self.shared.api().get(VolSync::API, "ReplicationSource", &self.namespace, "web")
    }

    /// Another backup, as somebody triggers it by hand.
    fn back_up(&self, trigger: &str) -> Result<()> {
        let api = self.shared.api();
        let patch = json!({ "spec": { "trigger": { "manual": trigger } } });
        api.patch(VolSync::API, "ReplicationSource", &self.namespace, "web", &patch)?;
        let done = |object: &Value| object["status"]["lastManualSync"] == trigger;
        api.wait(VolSync::API, "ReplicationSource", &self.namespace, "web", MINUTE * 2, done).map(drop)
    }

    /// What the server's clock says once this second is over.
    fn later(&self) -> Result<String> {
        std::thread::sleep(Duration::from_millis(1100));
        let made = self.shared.api().apply(&note(&self.namespace))?;
        Ok(made["metadata"]["creationTimestamp"].as_str().context("a time")?.to_owned())
    }

    fn write(&self, text: &str) -> Result<()> {
        Ok(fs::write(self.shared.node.volume(&self.namespace, "data")?.join("letter"), text)?)
    }

    fn holds(&self, text: &str) -> Result<()> {
        let found = fs::read_to_string(self.shared.node.volume(&self.namespace, "data")?.join("letter"))?;
        ensure!(found == text, "the claim holds {found:?}, not {text:?}");
        Ok(())
    }

    /// Somebody deletes the application.
    fn is_deleted(&self) -> Result<()> {
        let (api, namespace) = (self.shared.api(), &self.namespace);
        api.delete_and_wait("apps/v1", "Deployment", namespace, "web")?;
        wait_for("its pods to go", MINUTE, || {
            let pods = api.list("v1", "Pod", namespace)?;
            Ok(pods.iter().all(|pod| pod["metadata"]["labels"]["app"] != "web").then_some(()))
        })?;
        self.loses_its_claim()
    }

    fn loses_its_claim(&self) -> Result<()> {
        self.shared.api().delete_and_wait("v1", "PersistentVolumeClaim", &self.namespace, "data")
    }

    /// Git makes the claim again, which is filled.
    fn makes_the_claim(&self) -> Result<()> {
        let api = self.shared.api();
        let source = json!({ "apiGroup": "volsync.backube", "kind": "ReplicationDestination", "name": "web" });
        let spec = json!({
            "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } },
            "storageClassName": STORAGE_CLASS, "dataSourceRef": source,
        });
        let metadata = json!({ "name": "data", "namespace": self.namespace });
        let claim = json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec });
        api.apply_as("argocd", &claim)?;
        let bound = |claim: &Value| claim["status"]["phase"] == "Bound";
        api.wait("v1", "PersistentVolumeClaim", &self.namespace, "data", MINUTE * 2, bound).map(drop)
    }
}

fn gitops_takes_a_claim_back_to_yesterday_and_fills_those_that_git_makes(scene: &mut Scene) -> Result<()> {
    let git = Gitops::new(scene, "of yesterday")?;
    let api = git.shared.api();
    // With what the guides list: of Velero's what `quiesce` takes.
    let mut grants = rights_of_guide("volsync.md", 2, &git.namespace)?;
    grants.extend(rights_of_guide("velero.md", 3, Velero::NAMESPACE)?.pop());
    let kubeconfig = scene.workspace.path("kubeconfig");
    git.shared.cluster.write_kubeconfig(&git.namespace, &grants, &kubeconfig)?;
    scene.workspace.set("TF_VAR_kubeconfig", kubeconfig.display().to_string());
    scene.workspace.apply()?.ok()?;
    let ended = |source: &Value| source["status"]["lastSyncTime"].is_string();
    let source = api.wait(VolSync::API, "ReplicationSource", &git.namespace, "web", MINUTE * 2, ended)?;
    scene.workspace.plan_is_empty()?;
    let yesterday = git.later()?;
    git.write("spoilt")?;
    git.back_up("again")?;
    let before = on_server(git.shared, &git.objects)?;

    // One claim goes back, once, and what was set by hand goes too.
    scene.workspace.set("TF_VAR_restore", format!("{{ web = \"{yesterday}\" }}"));
    scene.workspace.apply()?.ok()?;
    git.holds("of yesterday")?;
    stood_back(&before, &on_server(git.shared, &git.objects)?)?;
    let now = git.source()?.context("no schedule")?;
    ensure!(now["spec"] == source["spec"], "{} was {}", now["spec"], source["spec"]);
    scene.workspace.plan_is_empty()?;
    git.write("of today")?;
    scene.workspace.set("TF_VAR_restore", "{}");
    scene.workspace.apply()?.ok()?;
    git.holds("of today")?;

    // The image is made, of the newest point, and the next claim is filled from it without an apply.
    git.back_up("today")?;
    scene.workspace.set("TF_VAR_pinned", "1");
    scene.workspace.apply()?.ok()?;
    let armed = &scene.workspace.state()?["values"]["outputs"]["armed"]["value"]["web"];
    ensure!(armed["armed"] == true, "{armed}");
    git.is_deleted()?;
    git.makes_the_claim()?;
    git.holds("of today")?;
    scene.workspace.plan_is_empty()?;

    // A rebuild with nothing but the bucket: the image comes first, then Git's claim, then the schedule.
    scene.workspace.destroy()?.ok()?;
    fs::remove_file(scene.workspace.state_file())?;
    git.loses_its_claim()?;
    let apply = scene.workspace.start_apply()?;
    let image = |object: &Value| object["status"]["latestImage"]["name"].is_string();
    api.wait(VolSync::API, "ReplicationDestination", &git.namespace, "web", MINUTE * 2, image)?;
    ensure!(git.source()?.is_none(), "nothing is there to be backed up");
    git.makes_the_claim()?;
    apply.wait()?.ok()?;
    ensure!(git.source()?.is_some(), "no schedule");
    git.holds("of today")?;
    scene.workspace.plan_is_empty()
}

fn velero_rebuilds_a_cluster(scene: &mut Scene) -> Result<()> {
    let shared = shared()?;
    let s3 = &shared.minio()?.s3;
    let cluster = Cluster::start()?.with_controller_manager()?;
    let velero = Velero::start(&cluster)?;
    scenario(scene, "velero", &cluster, s3)?;
    for namespace in ["paperless", "grafana"] {
        cluster.namespace(namespace)?;
        cluster.api.apply(&note(namespace))?;
    }
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    for namespace in ["paperless", "grafana"] {
        by_schedule(&cluster, &format!("{namespace}-daily"))?;
    }
    drop(velero);
    cluster.empty()?;
    let cluster = cluster.with_controller_manager()?;
    let velero = Velero::start(&cluster)?;
    scene.workspace.apply()?.ok().with_context(|| velero.controller.log())?;
    for namespace in ["paperless", "grafana"] {
        noted(&cluster, namespace)?;
    }
    scene.workspace.plan_is_empty()
}
