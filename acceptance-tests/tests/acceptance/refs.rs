//! A ref on its way from one resource to another: through an output, through a variable, past a renamed connection.

use acceptance_tests::servers::Minio;
use anyhow::{Result, ensure};

use crate::s3::in_bucket;
use crate::scene::Scene;

both_clis!(
    a_ref_through_the_output_of_a_module_is_read_when_it_is_there,
    a_ref_through_a_typed_variable_names_what_its_leaves_name,
    a_renamed_connection_is_the_same_one_by_its_alias,
);

/// What stands in a module of its own: the target, and nothing that depends on it.
const MODULE: &str = r#"terraform {
  required_providers {
    dr = { source = "dr-as-code/dr" }
  }
}

variable "path" {
  type = string
}

resource "dr_backup_target" "this" {
  name   = "documents"
  store  = { local = { path = var.path } }
  restic = { password = "docs_repo" }
}

output "ref" {
  value = dr_backup_target.this.ref
}
"#;

fn a_ref_through_the_output_of_a_module_is_read_when_it_is_there(scene: &mut Scene) -> Result<()> {
    let before = scene.make_data()?;
    let folder = scene.workspace.folder().join("storage");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("main.tf"), MODULE)?;
    let (data, repository) = (scene.documents().data, scene.repository());
    let configuration = |points: &str| {
        format!(
            r#"terraform {{
  required_providers {{
    dr = {{ source = "dr-as-code/dr" }}
  }}
}}

module "storage" {{
  source = "./storage"
  path   = {repository:?}
}}

data "dr_recovery_points" "all" {{
  source = module.storage.ref
  {points}
}}

resource "dr_restore_job" "documents" {{
  name       = "documents"
  source     = module.storage.ref
  when       = "target_missing_or_empty"
  on_missing = "skip"
  restic     = {{ path = {data} }}
}}

resource "dr_backup_job" "documents" {{
  name   = "documents"
  target = module.storage.ref
  after  = dr_restore_job.documents.ref
  restic = {{ paths = [{data}] }}
}}

output "points" {{
  value = data.dr_recovery_points.all.total
}}
"#
        )
    };
    // Nothing is there: the data source waits for the apply, and its answer is not taken for "there is nothing".
    scene.workspace.write(&configuration("depends_on = [dr_backup_job.documents]"))?;
    scene.workspace.run(&["get", "-no-color"])?.ok()?;
    scene.workspace.plan()?.ok()?;
    scene.workspace.apply_plan()?.ok()?;
    ensure!(scene.workspace.state()?["values"]["outputs"]["points"]["value"] == 1, "{}", scene.workspace.state()?);
    scene.workspace.plan_is_empty()?;
    scene.lose_data()?;
    scene.workspace.write(&configuration(""))?;
    scene.workspace.plan()?.ok()?;
    scene.workspace.apply_plan()?.ok()?;
    before.assert_same(&scene.data())?;
    scene.workspace.plan_is_empty()
}

fn a_ref_through_a_typed_variable_names_what_its_leaves_name(scene: &mut Scene) -> Result<()> {
    let before = scene.backed_up()?;
    let folder = scene.workspace.folder().join("restore");
    std::fs::create_dir_all(&folder)?;
    // A type that names some leaves drops the others.
    let module = r#"terraform {
  required_providers {
    dr = { source = "dr-as-code/dr" }
  }
}

variable "to" {
  type = string
}

variable "path" {
  type = string
}

variable "source_ref" {
  type = object({
    kind   = string
    engine = string
    name   = optional(string)
    secret = optional(string)
    store  = object({ kind = string, path = string })
  })
}

resource "dr_restore_job" "copy" {
  name   = "copy"
  source = var.source_ref
  restic = { path = var.path, to = var.to }
}
"#;
    std::fs::write(folder.join("main.tf"), module)?;
    let (copy, mut documents) = (scene.workspace.path("copy"), scene.documents());
    documents.more = format!(
        "module \"restore\" {{\n  source     = \"./restore\"\n  source_ref = dr_backup_target.documents.ref\n  path       = {}\n  \
         to         = {copy:?}\n}}\n",
        documents.data
    );
    scene.write(&documents)?;
    scene.workspace.run(&["get", "-no-color"])?.ok()?;
    scene.workspace.plan()?.ok()?;
    scene.workspace.apply_plan()?.ok()?;
    before.assert_same(&copy)?;
    scene.workspace.plan_is_empty()
}

fn a_renamed_connection_is_the_same_one_by_its_alias(scene: &mut Scene) -> Result<()> {
    let minio = Minio::start()?;
    let before = scene.make_data()?;
    let mut documents = in_bucket(scene, &minio.s3)?;
    scene.write(&documents)?;
    scene.workspace.apply()?.ok()?;
    let id = scene.repository_id()?;

    // Renamed, with what uses it as it was: the error names what there is.
    let provider = documents.provider.clone();
    documents.provider = provider.replacen("minio = {", "house = {", 1);
    scene.write(&documents)?;
    scene.workspace.plan()?.fails(&["no S3 connection `minio`", "(known: house)"])?;
    // With an alias nothing has to follow.
    documents.provider = provider.replacen("minio = {", "house = {\n      aliases           = [\"minio\"]", 1);
    scene.write(&documents)?;
    scene.workspace.plan_is_empty()?;
    // What does follow, with the alias or without, is the same target.
    documents.store = documents.store.replace("minio", "house");
    for provider in [documents.provider.clone(), provider.replacen("minio = {", "house = {", 1)] {
        documents.provider = provider;
        scene.write(&documents)?;
        let plan = scene.workspace.plan()?.ok()?;
        plan.never_says(&["must be replaced", "will be created", "will be destroyed"])?;
        scene.workspace.apply_plan()?.ok()?;
        ensure!(scene.repository_id()? == id, "another repository");
        ensure!(minio.s3.keys("backups", "homes/documents/snapshots/")?.len() == 1, "a backup ran again");
        scene.workspace.plan_is_empty()?;
    }
    // Without an alias everything may change its name at once.
    documents.provider = documents.provider.replacen("house = {", "attic = {", 1);
    documents.store = documents.store.replace("house", "attic");
    scene.write(&documents)?;
    scene.workspace.plan()?.ok()?.never_says(&["must be replaced", "will be created", "will be destroyed"])?;
    scene.workspace.apply_plan()?.ok()?;
    ensure!(scene.repository_id()? == id, "another repository");
    ensure!(minio.s3.keys("backups", "homes/documents/snapshots/")?.len() == 1, "a backup ran again");
    scene.workspace.plan_is_empty()?;
    before.assert_same(&scene.data())
}
