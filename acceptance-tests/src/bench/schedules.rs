//! Schedules of Velero on a real API server with the real Velero: planned, made, and planned again without a change, with
//! the requests that the server itself counted.

use std::path::PathBuf;

use anyhow::{Context, Result};

use super::sample::of_provider;
use super::{Cost, Options, Peer, Row, median_cost};
use crate::cli::{Workspace, hcl_string};
use crate::servers::Minio;
use crate::servers::kubernetes::{Cluster, Velero};

const RUNS: usize = 3;
const BUCKET: &str = "bench";

/// The peer that makes the same objects, by its name in `DR_BENCH_PEERS`.
const PEER: &str = "kubernetes";

pub(super) fn measure(options: &Options, peers: &[Peer]) -> Result<Vec<Row>> {
    let cluster = Cluster::start()?;
    let velero = Velero::start(&cluster)?;
    let minio = Minio::start()?;
    minio.s3.create_bucket(BUCKET)?;
    let mut rows = Vec::new();
    for count in if options.small { vec![5] } else { vec![100, 1000] } {
        let ours = of_velero(options, &cluster, &minio, count);
        rows.extend(ours.with_context(|| velero.controller.log())?);
        rows.extend(of_the_cli(options, count)?);
        // A thousand of them take more than an hour.
        if let Some(peer) = peers.iter().find(|peer| peer.name == PEER).filter(|_| count <= 100) {
            rows.extend(of_manifests(options, peer, &cluster, count)?);
        }
    }
    Ok(rows)
}

/// One command, and what the API server saw of it.
fn measured(workspace: &Workspace, cluster: Option<&Cluster>, arguments: &[&str]) -> Result<Cost> {
    let requests = || cluster.map(|cluster| cluster.counted().map(|all| all.len())).transpose();
    let before = requests()?;
    let arguments = [arguments, &["-no-color", "-input=false"]].concat();
    let cost = of_provider(workspace.start(&arguments)?)?;
    let requests = requests()?.zip(before).map(|(after, before)| after - before);
    Ok(Cost { requests, ..cost })
}

fn of_velero(options: &Options, cluster: &Cluster, minio: &Minio, count: usize) -> Result<Vec<Row>> {
    let root = options.root.join(format!("schedules-{count}"));
    let workspace = Workspace::new(options.cli.clone(), &options.provider, &root)?;
    workspace.write(&configuration(cluster, minio, &workspace, count)?)?;
    let cost = |arguments: &[&str]| measured(&workspace, Some(cluster), arguments);
    let row = |what: &str, aim: &str, cost| Row { what: what.into(), by: "dr".into(), aim: aim.into(), cost };
    let planned = cost(&["plan"])?;
    // How long Velero takes to look at a new location is its own affair.
    workspace.apply_with(&["-target=dr_backup_target.main"])?.ok()?;
    let applied = cost(&["apply", "-auto-approve"])?;
    let again = (0..RUNS).map(|_| cost(&["plan", "-detailed-exitcode"])).collect::<Result<Vec<_>>>()?;
    let destroyed = cost(&["destroy", "-auto-approve"])?;
    let [new, make, same, gone] = rows_of(count);
    let [remote_applied, remote_destroyed] = with_remote_state(options, cluster, minio, count)?;
    Ok(vec![
        row(&new, "no request", planned),
        row(&make, "15 s for 1,000", applied),
        row(&same, "terraform_data + 1.5 s, 64 MiB, a handful of requests", median_cost(again)),
        row(&gone, "", destroyed),
        row(&format!("{make}, state in a bucket"), "15 s for 1,000", remote_applied),
        row(&format!("{gone}, state in a bucket"), "", remote_destroyed),
    ])
}

/// Made and destroyed with the state in a bucket, as teams have it: the CLI writes a local state after each resource, and
/// this one every 20 s.
fn with_remote_state(options: &Options, cluster: &Cluster, minio: &Minio, count: usize) -> Result<[Cost; 2]> {
    let root = options.root.join(format!("schedules-remote-{count}"));
    let workspace = Workspace::with_mirror(options.cli.clone(), &options.provider, &root)?;
    let s3 = &minio.s3;
    let backend = format!(
        r#"terraform {{
  backend "s3" {{
    bucket                      = "{BUCKET}"
    key                         = "state-{count}"
    region                      = "{region}"
    endpoints                   = {{ s3 = "{endpoint}" }}
    access_key                  = "{id}"
    secret_key                  = "{secret}"
    use_path_style              = true
    skip_credentials_validation = true
    skip_metadata_api_check     = true
    skip_region_validation      = true
    skip_requesting_account_id  = true
  }}
}}
"#,
        endpoint = s3.endpoint,
        region = s3.region,
        id = s3.credentials.id,
        secret = s3.credentials.secret,
    );
    workspace.write(&format!("{}{backend}", configuration(cluster, minio, &workspace, count)?))?;
    workspace.run(&["init", "-no-color", "-input=false"])?.ok()?;
    workspace.apply_with(&["-target=dr_backup_target.main"])?.ok()?;
    let cost = |arguments: &[&str]| measured(&workspace, Some(cluster), arguments);
    Ok([cost(&["apply", "-auto-approve"])?, cost(&["destroy", "-auto-approve"])?])
}

/// The same with as many resources that the CLI has built in.
fn of_the_cli(options: &Options, count: usize) -> Result<Vec<Row>> {
    let root = options.root.join(format!("schedules-floor-{count}"));
    let workspace = Workspace::new(options.cli.clone(), &options.provider, &root)?;
    workspace
        .write(&format!("resource \"terraform_data\" \"one\" {{\n  count = {count}\n  input = count.index\n}}\n"))?;
    let cost = |arguments: &[&str]| measured(&workspace, None, arguments);
    let planned = cost(&["plan"])?;
    let applied = cost(&["apply", "-auto-approve"])?;
    let again = (0..RUNS).map(|_| cost(&["plan", "-detailed-exitcode"])).collect::<Result<Vec<_>>>()?;
    let destroyed = cost(&["destroy", "-auto-approve"])?;
    let costs = [planned, applied, median_cost(again), destroyed];
    let row = |(what, cost)| Row { what, by: "terraform_data".into(), aim: String::new(), cost };
    Ok(rows_of(count).into_iter().zip(costs).map(row).collect())
}

/// The same Schedules as manifests of hashicorp/kubernetes.
fn of_manifests(options: &Options, peer: &Peer, cluster: &Cluster, count: usize) -> Result<Vec<Row>> {
    let root = options.root.join(format!("schedules-manifests-{count}"));
    let workspace = Workspace::of(options.cli.clone(), "hashicorp/kubernetes", &peer.binary, &root)?;
    workspace.write(&format!(
        r#"provider "kubernetes" {{
  config_path = {kubeconfig}
}}

resource "kubernetes_manifest" "one" {{
  count = {count}
  manifest = {{
    apiVersion = "{api}"
    kind       = "Schedule"
    metadata   = {{ name = "manifest-${{count.index}}", namespace = "{namespace}" }}
    spec = {{
      schedule = "${{count.index % 60}} 2 * * *"
      paused   = false
      template = {{ includedNamespaces = ["app-${{count.index}}"], snapshotVolumes = false, ttl = "168h0m0s" }}
    }}
  }}
}}
"#,
        kubeconfig = hcl_string(&counted_kubeconfig(cluster, &workspace)?),
        api = Velero::API,
        namespace = Velero::NAMESPACE,
    ))?;
    let cost = |arguments: &[&str]| measured(&workspace, Some(cluster), arguments);
    let costs =
        [&["plan"][..], &["apply", "-auto-approve"], &["plan", "-detailed-exitcode"], &["destroy", "-auto-approve"]];
    let rows = rows_of(count).into_iter().zip(costs).map(|(what, arguments)| {
        Ok(Row { what, by: "kubernetes_manifest".into(), aim: String::new(), cost: cost(arguments)? })
    });
    rows.collect()
}

/// A kubeconfig whose requests the server counts.
fn counted_kubeconfig(cluster: &Cluster, workspace: &Workspace) -> Result<PathBuf> {
    let kubeconfig = workspace.path("kubeconfig");
    std::fs::write(&kubeconfig, cluster.kubeconfig_for(&cluster.counted_token()))?;
    Ok(kubeconfig)
}

fn rows_of(count: usize) -> [String; 4] {
    [
        format!("plan of {count} new schedules"),
        format!("apply of {count} new schedules"),
        format!("plan of {count} schedules, no change"),
        format!("destroy of {count} schedules"),
    ]
}

fn configuration(cluster: &Cluster, minio: &Minio, workspace: &Workspace, count: usize) -> Result<String> {
    let kubeconfig = counted_kubeconfig(cluster, workspace)?;
    let s3 = &minio.s3;
    Ok(format!(
        r#"terraform {{
  required_providers {{
    dr = {{ source = "dr-as-code/dr" }}
  }}
}}

provider "dr" {{
  kubernetes = {{ prod = {{ kubeconfig = {kubeconfig}, context = "test" }} }}
  s3 = {{
    minio = {{ endpoint = "{endpoint}", region = "{region}", path_style = true, access_key_id = "{id}", secret_access_key = "{secret}" }}
  }}
}}

resource "dr_backup_target" "main" {{
  name   = "bench-{count}"
  store  = {{ s3 = "minio", bucket = "{BUCKET}", prefix = "bench-{count}", credentials = "connection" }}
  velero = {{ cluster = "prod" }}
}}

resource "dr_backup_schedule" "one" {{
  count     = {count}
  name      = "bench-{count}-${{count.index}}"
  target    = dr_backup_target.main.ref
  cron      = "${{count.index % 60}} 2 * * *"
  retention = {{ keep_within = "7d" }}
  velero    = {{ included_namespaces = ["app-${{count.index}}"], snapshot_volumes = false }}
}}
"#,
        kubeconfig = hcl_string(&kubeconfig),
        endpoint = s3.endpoint,
        region = s3.region,
        id = s3.credentials.id,
        secret = s3.credentials.secret,
    ))
}
