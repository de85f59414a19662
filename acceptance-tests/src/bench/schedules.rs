//! Schedules of Velero on a real API server with the real Velero: planned, made, and planned again without a change, with
//! the requests that the server itself counted.

use anyhow::{Context, Result};

use super::sample::of_provider;
use super::{Cost, Options, Row, median_cost};
use crate::cli::{Workspace, hcl_string};
use crate::servers::Minio;
use crate::servers::kubernetes::{Cluster, Velero};

const RUNS: usize = 3;
const BUCKET: &str = "bench";

pub(super) fn measure(options: &Options) -> Result<Vec<Row>> {
    let cluster = Cluster::start()?;
    let velero = Velero::start(&cluster)?;
    let minio = Minio::start()?;
    minio.s3.create_bucket(BUCKET)?;
    let mut rows = Vec::new();
    for count in if options.small { vec![5] } else { vec![100, 1000] } {
        let ours = of_velero(options, &cluster, &minio, count);
        rows.extend(ours.with_context(|| velero.controller.log())?);
        rows.extend(of_the_cli(options, count)?);
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
    Ok(vec![
        row(&new, "no request", planned),
        row(&make, "15 s for 1,000", applied),
        row(&same, "terraform_data + 1.5 s, 64 MiB, a handful of requests", median_cost(again)),
        row(&gone, "", destroyed),
    ])
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

fn rows_of(count: usize) -> [String; 4] {
    [
        format!("plan of {count} new schedules"),
        format!("apply of {count} new schedules"),
        format!("plan of {count} schedules, no change"),
        format!("destroy of {count} schedules"),
    ]
}

fn configuration(cluster: &Cluster, minio: &Minio, workspace: &Workspace, count: usize) -> Result<String> {
    let kubeconfig = workspace.path("kubeconfig");
    std::fs::write(&kubeconfig, cluster.kubeconfig_for(&cluster.counted_token()))?;
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
