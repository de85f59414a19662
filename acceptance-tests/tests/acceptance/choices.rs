//! What a job is asked for beside the usual: another point, a part, another place, a way back, a last backup.

use std::fs;
use std::time::Duration;

use acceptance_tests::cli::hcl_string;
use acceptance_tests::tree::Manifest;
use anyhow::{Context, Result, ensure};

use crate::restic::restic;
use crate::scene::Scene;

both_clis!(
    an_earlier_point_is_restored_by_its_time_and_by_its_id,
    a_part_is_restored_to_another_place,
    a_restore_that_fails_rolls_back_to_what_was_there,
    a_last_backup_is_stored_before_the_job_is_destroyed,
    a_last_backup_that_fails_names_the_way_past_it,
    another_point_without_a_run_is_warned_of_and_one_from_a_data_source_restores_nothing,
    a_new_folder_is_not_stored_over_a_full_history,
    points_of_several_hosts_are_not_mixed,
    the_points_are_listed_with_what_they_hold,
);

/// Two releases of the data; what the first held, and its point's id.
fn two_releases(scene: &Scene) -> Result<(Manifest, String)> {
    let first = scene.backed_up()?;
    let id = scene.snapshots()?.concat();
    // Points are told apart by their second.
    std::thread::sleep(Duration::from_millis(1100));
    fs::write(scene.data().join("inbox/empty.txt"), "second release")?;
    let mut documents = scene.documents();
    documents.release = 1;
    scene.write(&documents)?;
    scene.workspace.apply()?.ok()?;
    Ok((first, id))
}

fn an_earlier_point_is_restored_by_its_time_and_by_its_id(scene: &mut Scene) -> Result<()> {
    let (first, id) = two_releases(scene)?;
    let list = restic(scene, &["snapshots", "--json"])?;
    let list: Vec<serde_json::Value> = serde_json::from_str(&list)?;
    let time = list.iter().find(|point| point["id"] == *id).context("restic lists the first point")?["time"].clone();
    for choice in [format!("at = {time}"), format!("id = \"{}\"", &id[..16])] {
        scene.lose_data()?;
        let mut documents = scene.documents();
        documents.release = 1;
        documents.restore = format!("recovery_point = {{ {choice} }}");
        scene.write(&documents)?;
        scene.workspace.apply()?.ok().context(choice)?;
        first.assert_same(&scene.data())?;
        scene.workspace.plan_is_empty()?;
    }
    Ok(())
}

fn a_part_is_restored_to_another_place(scene: &mut Scene) -> Result<()> {
    let before = scene.backed_up()?;
    let (from, to) = (scene.data().join("projects"), scene.workspace.path("copy"));
    let mut documents = scene.documents();
    documents.more = format!(
        r#"resource "dr_restore_job" "copy" {{
  name   = "copy"
  source = dr_backup_target.documents.ref
  restic = {{ path = {}, to = {}, include = ["*.md", "*.sh"] }}
}}"#,
        hcl_string(&from),
        hcl_string(&to)
    );
    scene.write(&documents)?;
    scene.workspace.apply()?.ok()?;
    let files = Manifest::of(&to)?.entries;
    let files: Vec<_> = files.iter().filter(|(_, entry)| entry.kind == "file").map(|(path, _)| path.clone()).collect();
    let wanted = ["website/README.md", "website/deploy.sh"].map(std::path::PathBuf::from);
    ensure!(files == wanted, "{files:?}");
    before.assert_same(&scene.data())?;
    scene.workspace.plan_is_empty()
}

fn a_restore_that_fails_rolls_back_to_what_was_there(scene: &mut Scene) -> Result<()> {
    scene.backed_up()?;
    let packs = scene.repository().join("data");
    let manifest = Manifest::of(&packs)?;
    let (pack, _) = manifest.entries.iter().max_by_key(|(_, entry)| entry.size).context("there is no pack")?;
    let mut bytes = fs::read(packs.join(pack))?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::remove_file(packs.join(pack))?;
    fs::write(packs.join(pack), bytes)?;
    // Something else is where the restore goes: nothing of it is in the broken pack.
    let place = scene.workspace.path("elsewhere");
    fs::create_dir(&place)?;
    fs::write(place.join("written later.txt"), "and stored by the safety backup alone")?;
    let before = Manifest::of(&place)?;
    let mut documents = scene.documents();
    documents.more = format!(
        r#"resource "dr_restore_job" "again" {{
  name       = "again"
  source     = dr_backup_target.documents.ref
  when       = "always"
  on_failure = "roll_back"
  restic     = {{ path = {}, to = {} }}
}}"#,
        documents.data,
        hcl_string(&place)
    );
    scene.write(&documents)?;
    scene.workspace.apply()?.ok()?.says(&["Warning:", "not restored", "back in place"])?;
    before.assert_same(&place)?;
    let result = scene.workspace.attributes("dr_restore_job.again")?["result"].clone();
    ensure!(result["outcome"] == "rolled_back", "{result}");
    Ok(())
}

fn a_last_backup_is_stored_before_the_job_is_destroyed(scene: &mut Scene) -> Result<()> {
    scene.make_data()?;
    let mut documents = scene.documents();
    documents.backup = "on = [\"create\", \"destroy\"]".into();
    scene.write(&documents)?;
    scene.workspace.apply()?.ok()?;
    fs::write(scene.data().join("inbox/empty.txt"), "the last words")?;
    let last = Manifest::of(&scene.data())?;
    scene.workspace.destroy()?.ok()?;
    ensure!(scene.snapshots()?.len() == 2, "there is no last backup: {:?}", scene.snapshots()?);
    scene.lose_data()?;
    scene.workspace.apply()?.ok()?;
    last.assert_same(&scene.data())
}

fn a_last_backup_that_fails_names_the_way_past_it(scene: &mut Scene) -> Result<()> {
    scene.make_data()?;
    let mut documents = scene.documents();
    documents.backup = "on = [\"create\", \"destroy\"]".into();
    scene.write(&documents)?;
    scene.workspace.apply()?.ok()?;
    let stored = Manifest::of(&scene.repository())?;
    scene.lose_data()?;
    scene.workspace.destroy()?.fails(&["dr_backup_job.documents", "`removed`", "destroy = false", "state rm"])?;
    stored.assert_same(&scene.repository())?;
    // The way that the error names.
    let text = documents.configuration();
    let (job, _) = text.split_once("resource \"dr_backup_job\"").context("there is a backup job")?;
    scene.workspace.write(&format!(
        "{job}\nremoved {{\n  from = dr_backup_job.documents\n\n  lifecycle {{\n    destroy = false\n  }}\n}}\n"
    ))?;
    scene.workspace.apply_with(&["-target=dr_backup_job.documents"])?.ok()?;
    scene.workspace.destroy()?.ok()?;
    stored.assert_same(&scene.repository())
}

fn another_point_without_a_run_is_warned_of_and_one_from_a_data_source_restores_nothing(
    scene: &mut Scene,
) -> Result<()> {
    let (_, id) = two_releases(scene)?;
    let second = Manifest::of(&scene.data())?;
    let mut documents = scene.documents();
    documents.release = 1;
    documents.restore = format!("recovery_point = {{ id = \"{id}\" }}");
    scene.write(&documents)?;
    scene.workspace.plan()?.ok()?.says(&["No restore will run: `recovery_point` changed, `triggers` did not"])?;
    scene.workspace.apply_plan()?.ok()?;
    second.assert_same(&scene.data())?;
    // The newest point's id, which is another after each backup.
    documents.restore = "recovery_point = { id = data.dr_recovery_points.all.points[0].id }".into();
    documents.more = "data \"dr_recovery_points\" \"all\" {\n  source = dr_backup_target.documents.ref\n}\n".into();
    for release in 1..=3 {
        documents.release = release;
        scene.write(&documents)?;
        scene.workspace.apply()?.ok()?;
        second.assert_same(&scene.data())?;
    }
    ensure!(scene.restore_records()?.len() <= 1, "{:?}", scene.restore_records()?);
    Ok(())
}

fn a_new_folder_is_not_stored_over_a_full_history(scene: &mut Scene) -> Result<()> {
    scene.backed_up()?;
    scene.lose_data()?;
    fs::create_dir(scene.data())?;
    fs::write(scene.data().join("welcome.txt"), "freshly installed")?;
    let mut documents = scene.documents();
    documents.release = 1;
    scene.write(&documents)?;
    scene.workspace.apply()?.fails(&["dr_backup_job.documents", "first_backup"])?;
    ensure!(scene.snapshots()?.len() == 1, "an empty volume was stored over the history");
    documents.backup = "first_backup = \"allow\"".into();
    scene.write(&documents)?;
    scene.workspace.apply()?.ok()?;
    ensure!(scene.snapshots()?.len() == 2);
    scene.workspace.plan_is_empty()
}

fn points_of_several_hosts_are_not_mixed(scene: &mut Scene) -> Result<()> {
    let before = scene.backed_up()?;
    fs::write(scene.data().join("inbox/empty.txt"), "on the other machine")?;
    restic(scene, &["backup", "--quiet", "--host", "attic", &scene.data().to_string_lossy()])?;
    let there = Manifest::of(&scene.data())?;
    let own = String::from_utf8(std::process::Command::new("uname").arg("-n").output()?.stdout)?;
    scene.lose_data()?;
    scene.workspace.apply()?.fails(&["dr_restore_job.documents", "attic", own.trim(), "host"])?;
    ensure!(!scene.data().exists(), "a point of some host was restored");
    let text = scene.documents().configuration();
    let on = |host: &str| text.replace("restic     = { path", &format!("restic     = {{ host = \"{host}\", path"));
    scene.workspace.write(&on("attic"))?;
    scene.workspace.apply()?.ok()?;
    there.assert_same(&scene.data())?;
    scene.lose_data()?;
    scene.workspace.write(&on(own.trim()))?;
    scene.workspace.apply()?.ok()?;
    before.assert_same(&scene.data())
}

fn the_points_are_listed_with_what_they_hold(scene: &mut Scene) -> Result<()> {
    let mut documents = scene.documents();
    documents.more = r#"data "dr_recovery_points" "all" {
  source     = dr_backup_target.documents.ref
  depends_on = [dr_backup_job.documents]
}

output "points" {
  value = data.dr_recovery_points.all
}"#
    .into();
    scene.make_data()?;
    scene.write(&documents)?;
    scene.workspace.plan()?.ok()?;
    scene.workspace.apply_plan()?.ok()?;
    let points = scene.workspace.state()?["values"]["outputs"]["points"]["value"].clone();
    let newest = &points["points"][0];
    ensure!(points["total"] == 1 && points["readable"] == true, "{points}");
    ensure!(newest["phase"] == "complete" && newest["tags"][0] == "documents", "{points}");
    ensure!(newest["bytes"].as_u64() > Some(1 << 20) && newest["items"].as_u64() > Some(50), "{points}");
    ensure!(newest["paths"][0] == scene.data().to_string_lossy().into_owned(), "{points}");
    scene.workspace.plan_is_empty()?;
    // What can't be looked at is an error, never an empty list.
    fs::rename(scene.repository(), scene.workspace.path("elsewhere"))?;
    let source = format!(
        "{{ kind = \"store\", engine = \"restic\", store = {{ kind = \"local\", path = {} }}, secret = \"docs_repo\" }}",
        hcl_string(&scene.repository())
    );
    let alone = format!(
        "terraform {{\n  required_providers {{\n    dr = {{ source = \"dr-as-code/dr\" }}\n  }}\n}}\n\n\
         data \"dr_recovery_points\" \"all\" {{\n  source = {source}\n}}\n"
    );
    fs::remove_file(scene.workspace.state_file())?;
    scene.workspace.write(&alone)?;
    scene.workspace.plan()?.fails(&["data.dr_recovery_points.all", "holds no repository"])?;
    Ok(())
}
