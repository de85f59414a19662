//! Import of what exists; jobs are records and say so.

use std::fs;

use acceptance_tests::cli::Kind;
use anyhow::{Result, ensure};

use crate::scene::Scene;

both_clis!(
    a_target_is_imported,
    a_target_is_imported_by_a_block_and_nothing_is_left_to_do,
    a_job_is_not_imported_and_says_what_to_do,
    a_malformed_id_says_what_one_looks_like,
);

fn a_target_is_imported(scene: &mut Scene) -> Result<()> {
    let before = scene.backed_up()?;
    let id = scene.repository_id()?;
    fs::remove_file(scene.workspace.state_file())?;
    let scope = scene.repository();
    let scope = scope.to_string_lossy();
    let import_id = format!("restic:local/{}/documents", scope.trim_start_matches('/'));
    scene.workspace.import("dr_backup_target.documents", &import_id)?.ok()?;
    ensure!(scene.repository_id()? == id, "another repository was imported");
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    before.assert_same(&scene.data())
}

fn a_job_is_not_imported_and_says_what_to_do(scene: &mut Scene) -> Result<()> {
    scene.backed_up()?;
    fs::remove_file(scene.workspace.state_file())?;
    for kind in ["dr_restore_job", "dr_backup_job"] {
        let data = scene.data();
        let id = format!("restic:local/{}/documents", data.to_string_lossy().trim_start_matches('/'));
        scene.workspace.import(&format!("{kind}.documents"), &id)?.fails(&["Apply the job", "adopts the run"])?;
    }
    Ok(())
}

fn a_malformed_id_says_what_one_looks_like(scene: &mut Scene) -> Result<()> {
    scene.write(&scene.documents())?;
    scene
        .workspace
        .import("dr_backup_target.documents", "documents")?
        .fails(&["<engine>:<connection>/<scope>/<name>"])?;
    Ok(())
}

fn a_target_is_imported_by_a_block_and_nothing_is_left_to_do(scene: &mut Scene) -> Result<()> {
    scene.backed_up()?;
    let id = scene.repository_id()?;
    let scope = scene.repository().to_string_lossy().trim_start_matches('/').to_owned();
    let mut ways = vec![format!("id = \"restic:local/{scope}/documents\"")];
    // Terraform has it since 1.12.
    if scene.workspace.cli.kind == Kind::Tofu {
        ways.push(format!(
            "identity = {{ engine = \"restic\", connection = \"local\", scope = \"{scope}\", name = \"documents\" }}"
        ));
    }
    for way in ways {
        fs::remove_file(scene.workspace.state_file())?;
        let mut documents = scene.documents();
        documents.more = format!("import {{\n  to = dr_backup_target.documents\n  {way}\n}}");
        scene.write(&documents)?;
        scene.workspace.plan()?.ok()?.says(&["1 to import, 3 to add, 0 to change, 0 to destroy"])?;
        scene.workspace.apply_plan()?.ok()?;
        ensure!(scene.repository_id()? == id, "another repository was imported");
        scene.workspace.plan_is_empty()?;
    }
    Ok(())
}
