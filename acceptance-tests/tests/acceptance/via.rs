//! A store that only a cluster reaches, over tunnels that a real API server makes with a kubelet's own code: nothing but the
//! address differs for the user, and what is missing on the way is said.

use std::time::Duration;

use acceptance_tests::servers::kubernetes::{Grant, Inside, Shared, rights_of_guide, shared};
use acceptance_tests::servers::{Minio, S3};
use acceptance_tests::tree::Recipe;
use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::scene::{Documents, Scene, wait_until};

both_clis!(
    a_folder_goes_into_a_cluster_and_comes_back_over_tunnels,
    what_is_missing_on_the_way_is_named_and_what_was_missing_is_found_later,
    a_way_that_can_not_be_is_an_error_while_planning,
    a_cluster_that_is_not_known_yet_leaves_its_store_unknown,
    a_certificate_bears_the_name_that_its_server_has_in_the_cluster,
    a_backup_outlives_the_tunnels_that_it_began_with,
    the_points_of_an_engine_in_the_cluster_are_read_over_a_tunnel,
);

/// An S3 server in a namespace of its own, and a user who may do what the guide says.
struct World {
    shared: &'static Shared,
    minio: Minio,
    inside: Inside,
    namespace: String,
    token: String,
}

impl World {
    fn new(scene: &mut Scene) -> Result<Self> {
        let shared = shared()?;
        let namespace = shared.namespace("store")?;
        let minio = Minio::start()?;
        minio.s3.create_bucket("backups")?;
        let inside = Inside::start(&shared.cluster, &namespace, port_of(&minio.s3)?)?;
        let token = shared.cluster.service_user(&namespace, &grants(&namespace)?)?;
        scene.workspace.set("TF_VAR_token", token.clone());
        scene.workspace.set("TF_VAR_secret_access_key", minio.s3.credentials.secret.clone());
        Ok(World { shared, minio, inside, namespace, token })
    }

    /// The usual configuration, with the repository in that store.
    fn documents(&self, scene: &Scene) -> Documents {
        self.documents_via(scene, &self.shared.cluster.url(), "var.token", &self.inside.service_port())
    }

    fn documents_via(&self, scene: &Scene, host: &str, token: &str, service: &str) -> Documents {
        let provider = format!(
            r#"variable "token" {{
  type      = string
  sensitive = true
  ephemeral = true
}}

variable "secret_access_key" {{
  type      = string
  sensitive = true
  ephemeral = true
}}

provider "dr" {{
  kubernetes = {{
    prod = {{ host = "{host}", token = {token}, ca_pem = {ca:?} }}
  }}
  s3 = {{
    store = {{
      endpoint          = "{endpoint}"
      region            = "{region}"
      access_key_id     = "{id}"
      secret_access_key = var.secret_access_key
      via               = {{ kubernetes = "prod", service = "{service}" }}
    }}
  }}
}}"#,
            ca = self.shared.cluster.ca_pem(),
            endpoint = self.inside.endpoint(),
            region = self.minio.s3.region,
            id = self.minio.s3.credentials.id,
        );
        let store = r#"{ s3 = "store", bucket = "backups", prefix = "documents" }"#.to_owned();
        Documents { provider, store, ..scene.documents() }
    }
}

fn port_of(s3: &S3) -> Result<u16> {
    let (_, port) = s3.endpoint.rsplit_once(':').context("an endpoint with a port")?;
    Ok(port.parse()?)
}

/// What the guide says is enough has to be enough.
fn grants(namespace: &str) -> Result<Vec<Grant>> {
    rights_of_guide("tunnels.md", 1, namespace)
}

fn a_folder_goes_into_a_cluster_and_comes_back_over_tunnels(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let before = scene.make_data()?;
    scene.write(&world.documents(scene))?;
    scene.workspace.plan()?.ok()?;
    ensure!(world.inside.tunnels().is_empty(), "a plan of what does not exist asks nobody");
    scene.workspace.apply_plan()?.ok()?;
    scene.workspace.plan_is_empty()?;
    ensure!(world.minio.s3.keys("backups", "documents/snapshots/")?.len() == 1);
    scene.lose_data()?;
    scene.workspace.apply()?.ok()?;
    before.assert_same(&scene.data())?;
    scene.workspace.plan_is_empty()?;
    let tunnels = world.inside.tunnels();
    ensure!(!tunnels.is_empty() && tunnels.iter().all(|line| line.contains("/store-0?")), "{tunnels:?}");
    let state = std::fs::read_to_string(scene.workspace.state_file())?;
    ensure!(!state.contains(&world.token), "the token is in the state");
    Ok(())
}

fn what_is_missing_on_the_way_is_named_and_what_was_missing_is_found_later(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let before = scene.make_data()?;
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "10");
    let url = world.shared.cluster.url();
    let fails = |host: &str, token: &str, service: &str, words: &[&str]| {
        scene.write(&world.documents_via(scene, host, token, service))?;
        let run = scene.workspace.start_apply()?.wait_for(Duration::from_secs(120))?;
        run.fails(&[&["dr_backup_target.documents"], words].concat()).map(drop)
    };
    let service = world.inside.service_port();

    let nobody = world.shared.cluster.service_user(&format!("{}-nobody", world.namespace), &[])?;
    fails(
        &url,
        &format!("{nobody:?}"),
        &service,
        &[
            "cluster `prod` forbids to get services in namespace",
            "resources: [\"pods/portforward\"]",
            "resources: [\"endpointslices\"]",
        ],
    )?;
    let reader = world.shared.cluster.service_user(
        &format!("{}-reader", world.namespace),
        &[Grant::within(
            &world.namespace,
            json!([
                { "apiGroups": [""], "resources": ["services"], "verbs": ["get"] },
                { "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list"] },
                { "apiGroups": [""], "resources": ["pods/portforward"], "verbs": ["get"] },
            ]),
        )],
    )?;
    fails(
        &url,
        &format!("{reader:?}"),
        &service,
        &["forbids to create pods/portforward", "verbs: [\"get\", \"create\"]"],
    )?;

    let other = service.replace("/store:", "/other:");
    fails(
        &url,
        "var.token",
        &other,
        &[&format!("Service {other} on cluster `prod` leads nowhere: it does not exist")],
    )?;
    let port = service.replace(":9000", ":80");
    fails(&url, "var.token", &port, &["it has no port 80, but: 9000 (api)"])?;
    fails("https://127.0.0.1:1", "var.token", &service, &["cluster `prod` can't be reached", "127.0.0.1:1"])?;
    world.inside.is_ready(false)?;
    fails(
        &url,
        "var.token",
        &service,
        &[&format!("Service {service} on cluster `prod` leads nowhere"), "its pod is not ready"],
    )?;
    ensure!(world.inside.tunnels().is_empty());

    // The pod is there, and the server in it is not.
    world.inside.is_ready(true)?;
    let gone = Inside::start(&world.shared.cluster, &world.shared.namespace("gone")?, 1)?;
    fails(
        &url,
        &format!("{:?}", world.shared.cluster.token()),
        &gone.service_port(),
        &["/store-0 on cluster `prod`", "connection refused"],
    )?;

    scene.write(&world.documents_via(scene, &url, "var.token", &service.replace(":9000", ":api")))?;
    scene.workspace.apply()?.ok()?;
    scene.lose_data()?;
    scene.workspace.apply()?.ok()?;
    before.assert_same(&scene.data())
}

fn a_way_that_can_not_be_is_an_error_while_planning(scene: &mut Scene) -> Result<()> {
    let block = |s3: &str| Documents {
        provider: format!(
            "provider \"dr\" {{\n  kubernetes = {{ prod = {{ host = \"https://127.0.0.1:1\", token = \"t\" }} }}\n  s3 = {{ \
             store = {{ {s3} }} }}\n}}"
        ),
        store: r#"{ s3 = "store", bucket = "backups" }"#.into(),
        ..scene.documents()
    };
    let endpoint = "endpoint = \"http://store.storage.svc:9000\"";
    for (s3, words) in [
        (
            format!("{endpoint}, via = {{ kubernetes = \"test\", service = \"storage/store:9000\" }}"),
            vec!["Unknown connection", "no Kubernetes connection `test` in this provider block (known: prod)"],
        ),
        (
            format!("{endpoint}, via = {{ kubernetes = \"prod\", service = \"store\" }}"),
            vec!["Unusable service", "\"store\" is not `<namespace>/<name>:<port>`"],
        ),
        (
            "via = { kubernetes = \"prod\", service = \"storage/store:9000\" }".to_owned(),
            vec!["A way to no server", "set `endpoint`"],
        ),
    ] {
        scene.write(&block(&s3))?;
        scene.workspace.plan()?.fails(&words)?;
    }
    // What is not known while validating is judged once it is.
    let late = block(&format!("{endpoint}, via = {{ kubernetes = terraform_data.name.output, service = \"a/b:1\" }}"));
    let more = "resource \"terraform_data\" \"name\" { input = \"test\" }".to_owned();
    scene.write(&Documents { more, ..late })?;
    scene.workspace.plan()?.ok()?;
    scene.workspace.apply()?.fails(&["no Kubernetes connection `test`", "known: prod"]).map(drop)
}

fn a_cluster_that_is_not_known_yet_leaves_its_store_unknown(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let before = scene.make_data()?;
    let mut documents = world.documents(scene);
    let (known, url) = (format!("host = \"{0}\"", world.shared.cluster.url()), world.shared.cluster.url());
    documents.provider = documents.provider.replace(&known, "host = terraform_data.cluster.output");
    documents.more = format!("resource \"terraform_data\" \"cluster\" {{ input = \"{url}\" }}");
    scene.write(&documents)?;
    scene.workspace.plan()?.ok()?;
    ensure!(world.inside.tunnels().is_empty());
    scene.workspace.apply_plan()?.ok()?;
    scene.workspace.plan_is_empty()?;
    scene.lose_data()?;
    scene.workspace.apply()?.ok()?;
    before.assert_same(&scene.data())
}

fn a_certificate_bears_the_name_that_its_server_has_in_the_cluster(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let (cluster, port) = (&world.shared.cluster, port_of(&world.minio.s3)?);
    let before = scene.make_data()?;
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "10");
    for is_named_so in [false, true] {
        let namespace = world.shared.namespace("store")?;
        let name = if is_named_so { Inside::host(&namespace) } else { "store.elsewhere.svc".to_owned() };
        let inside = Inside::start_with_tls(cluster, &namespace, port, &name)?;
        let token = format!("{:?}", cluster.token());
        let mut documents = world.documents_via(scene, &cluster.url(), &token, &inside.service_port());
        let plain = format!("\"{}\"", world.inside.endpoint());
        let trusted = format!("{:?}\n      ca_pem            = {:?}", inside.endpoint(), cluster.ca_pem());
        documents.provider = documents.provider.replace(&plain, &trusted);
        scene.write(&documents)?;
        let run = scene.workspace.start_apply()?.wait_for(Duration::from_secs(120))?;
        if is_named_so {
            run.ok()?;
            scene.lose_data()?;
            scene.workspace.apply()?.ok()?;
        } else {
            run.fails(&["dr_backup_target.documents", "invalid peer certificate"])?;
        }
    }
    before.assert_same(&scene.data())
}

fn a_backup_outlives_the_tunnels_that_it_began_with(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    let before = scene.make_data_of(&Recipe { files: 400, bytes: 250_000_000, seed: 3 })?;
    scene.write(&world.documents(scene))?;
    let mut running = scene.workspace.start_apply()?;
    wait_until("the backup to write", || {
        ensure!(!running.ended()?, "it ended first: {}", running.so_far()?);
        Ok(!world.minio.s3.keys("backups", "documents/data/")?.is_empty())
    })?;
    world.inside.door.shut();
    world.inside.replace_pod()?;
    let stored = world.minio.s3.keys("backups", "documents/snapshots/")?;
    ensure!(stored.is_empty(), "it was over before the tunnels were cut: the scenario shows nothing");
    std::thread::sleep(Duration::from_secs(1));
    world.inside.door.open();
    running.wait_for(Duration::from_secs(300))?.ok()?;
    let new = |line: &String| line.contains("/store-1?");
    ensure!(world.inside.tunnels().iter().any(new), "{:?}", world.inside.tunnels());
    scene.workspace.plan_is_empty()?;
    scene.lose_data()?;
    scene.workspace.apply()?.ok()?;
    before.assert_same(&scene.data())
}

fn the_points_of_an_engine_in_the_cluster_are_read_over_a_tunnel(scene: &mut Scene) -> Result<()> {
    let world = World::new(scene)?;
    world.shared.velero()?;
    let (name, s3) = (&world.namespace, &world.minio.s3);
    let configuration = format!(
        r#"terraform {{
  required_providers {{
    dr = {{ source = "dr-as-code/dr" }}
  }}
}}

provider "dr" {{
  kubernetes = {{ prod = {{ kubeconfig = {kubeconfig:?}, context = "test" }} }}
  s3 = {{
    store = {{
      endpoint          = "{endpoint}"
      engine_endpoint   = "{engine_endpoint}"
      region            = "{region}"
      access_key_id     = "{id}"
      secret_access_key = "{secret}"
      via               = {{ kubernetes = "prod", service = "{service}" }}
    }}
  }}
}}

resource "dr_backup_target" "main" {{
  name   = "{name}"
  store  = {{ s3 = "store", bucket = "backups", prefix = "velero", credentials = "connection" }}
  velero = {{ cluster = "prod" }}
}}

resource "dr_backup_job" "now" {{
  name   = "{name}"
  target = dr_backup_target.main.ref
  velero = {{ included_namespaces = ["{name}"], snapshot_volumes = false, ttl = "48h" }}
}}

data "dr_recovery_points" "all" {{
  source     = dr_backup_target.main.ref
  depends_on = [dr_backup_job.now]
}}

output "points" {{
  value = data.dr_recovery_points.all.points
}}
"#,
        kubeconfig = world.shared.cluster.kubeconfig_path(),
        endpoint = world.inside.endpoint(),
        engine_endpoint = s3.endpoint,
        region = s3.region,
        id = s3.credentials.id,
        secret = s3.credentials.secret,
        service = world.inside.service_port(),
    );
    scene.workspace.write(&configuration)?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    let state = scene.workspace.state()?;
    let points = state["values"]["outputs"]["points"]["value"].as_array().cloned().unwrap_or_default();
    ensure!(points.len() == 1, "{points:?}");
    ensure!(!world.inside.tunnels().is_empty(), "the bucket was read in another way");
    Ok(())
}
