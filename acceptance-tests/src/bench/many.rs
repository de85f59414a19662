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
    let mut floor = Workspace::new(options.cli.clone(), &options.provider, &root.join("floor"))?;
    let mut ours = Workspace::new(options.cli.clone(), &options.provider, &root.join("ours"))?;
    floor.write(&format!(
        "resource \"terraform_data\" \"one\" {{\n  count = {}\n  input = count.index\n}}\n",
        each * 4
    ))?;
    let (data, repositories) = (hcl_string(&root.join("data")), hcl_string(&root.join("repositories")));
    ours.write(&configuration(each, &data, &repositories))?;
    let built_in = format!("plan of {} resources, no change", each * 4);
    Ok(vec![
        Row {
            what: built_in.clone(),
            by: "dr".into(),
            aim: "terraform_data + 0.5 s, 64 MiB".into(),
            cost: plans(&mut ours)?,
        },
        Row { what: built_in, by: "terraform_data".into(), aim: String::new(), cost: plans(&mut floor)? },
    ])
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

fn configuration(each: usize, data: &str, repositories: &str) -> String {
    let repositories = repositories.trim_matches('"');
    format!(
        r#"terraform {{
  required_providers {{
    dr = {{ source = "dr-as-code/dr" }}
  }}
}}

resource "dr_retention_policy" "one" {{
  count     = {each}
  name      = "policy-${{count.index}}"
  keep_last = count.index + 1
}}

resource "dr_backup_target" "one" {{
  count     = {each}
  name      = "target-${{count.index}}"
  store     = {{ local = {{ path = "{repositories}/${{count.index}}" }} }}
  retention = dr_retention_policy.one[count.index].keep
  restic    = {{ password = "bench" }}
}}

resource "dr_backup_job" "one" {{
  count  = {each}
  name   = "backup-${{count.index}}"
  target = dr_backup_target.one[count.index].ref
  restic = {{ paths = [{data}] }}
}}

resource "dr_restore_job" "one" {{
  count      = {each}
  name       = "restore-${{count.index}}"
  source     = dr_backup_target.one[count.index].ref
  when       = "target_missing_or_empty"
  on_missing = "skip"
  restic     = {{ path = {data} }}
}}
"#
    )
}
