//! Planning a thousand resources without a change, beside a thousand that the CLI has built in.

use std::fs;

use anyhow::Result;

use super::sample::of_provider;
use super::{Cost, Options, Row, median_cost};
use crate::cli::{Workspace, hcl_string};

const RUNS: usize = 3;

pub(super) fn measure(options: &Options) -> Result<Vec<Row>> {
    let each = if options.small { 5 } else { 250 };
    let root = options.root.join("many");
    fs::create_dir_all(root.join("data"))?;
    fs::create_dir_all(root.join("repositories"))?;
    fs::write(root.join("data/letter.txt"), "Dear all,\n")?;
    let folders = [root.join("data"), root.join("repositories")].map(|folder| hcl_string(&folder));
    let workspace = |name: &str| Workspace::new(options.cli.clone(), &options.provider, &root.join(name));
    let (ours, floor) = (workspace("ours")?, workspace("floor")?);
    ours.write(&format!(
        "{REQUIRED}{}",
        resources(&format!("\n  count = {each}"), "count.index", "one[count.index]", &folders)
    ))?;
    floor.write(&format!(
        "resource \"terraform_data\" \"one\" {{\n  count = {}\n  input = count.index\n}}\n",
        each * 4
    ))?;
    let (ours_in_modules, floor_in_modules) = (workspace("ours-modules")?, workspace("floor-modules")?);
    let module =
        format!("{REQUIRED}variable \"number\" {{ type = number }}\n{}", resources("", "var.number", "one", &folders));
    in_modules(&ours_in_modules, each, &module.replace("repositories/", "repositories/m"))?;
    in_modules(&floor_in_modules, each, FLOOR)?;
    let counted = format!("plan of {} resources, no change", each * 4);
    let grouped = format!("{counted}, in {each} modules of four");
    let aim = "terraform_data + 0.5 s, 64 MiB";
    let rows = [
        (&counted, "dr", aim, ours),
        (&counted, "terraform_data", "", floor),
        (&grouped, "dr", aim, ours_in_modules),
        (&grouped, "terraform_data", "", floor_in_modules),
    ];
    let row = |(what, by, aim, mut workspace): (&String, &str, &str, Workspace)| {
        Ok(Row { what: what.clone(), by: by.into(), aim: aim.into(), cost: plans(&mut workspace)? })
    };
    rows.into_iter().map(row).collect()
}

/// As many modules, each with the same resources: what one refers to has one instance, where a `count` has them all.
fn in_modules(workspace: &Workspace, count: usize, module: &str) -> Result<()> {
    let folder = workspace.folder().join("app");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("main.tf"), module)?;
    workspace
        .write(&format!("module \"app\" {{\n  source = \"./app\"\n  count  = {count}\n  number = count.index\n}}\n"))?;
    workspace.run(&["get", "-no-color"])?.ok()?;
    Ok(())
}

fn plans(workspace: &mut Workspace) -> Result<Cost> {
    workspace.set("DR_SECRET_BENCH", "a password for a benchmark");
    workspace.apply()?.ok()?;
    let mut costs = Vec::new();
    for _ in 0..RUNS {
        costs.push(of_provider(workspace.start(&["plan", "-no-color", "-input=false", "-detailed-exitcode"])?)?);
    }
    Ok(median_cost(costs))
}

const REQUIRED: &str = "terraform {\n  required_providers {\n    dr = { source = \"dr-as-code/dr\" }\n  }\n}\n\n";

/// Four of the CLI's own, of which three refer to another one.
const FLOOR: &str = r#"variable "number" { type = number }
resource "terraform_data" "policy" { input = var.number }
resource "terraform_data" "target" { input = terraform_data.policy.output }
resource "terraform_data" "backup" { input = terraform_data.target.output }
resource "terraform_data" "restore" { input = terraform_data.target.output }
"#;

/// One resource of each kind, or `count` of them, with a `number` each; `one` is how another is referred to.
fn resources(count: &str, number: &str, one: &str, [data, repositories]: &[String; 2]) -> String {
    let repositories = repositories.trim_matches('"');
    format!(
        r#"resource "dr_retention_policy" "one" {{{count}
  name      = "policy-${{{number}}}"
  keep_last = {number} + 1
}}

resource "dr_backup_target" "one" {{{count}
  name      = "target-${{{number}}}"
  store     = {{ local = {{ path = "{repositories}/${{{number}}}" }} }}
  retention = dr_retention_policy.{one}.keep
  restic    = {{ password = "bench" }}
}}

resource "dr_backup_job" "one" {{{count}
  name   = "backup-${{{number}}}"
  target = dr_backup_target.{one}.ref
  restic = {{ paths = [{data}] }}
}}

resource "dr_restore_job" "one" {{{count}
  name       = "restore-${{{number}}}"
  source     = dr_backup_target.{one}.ref
  when       = "target_missing_or_empty"
  on_missing = "skip"
  restic     = {{ path = {data} }}
}}
"#
    )
}
