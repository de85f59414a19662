//! What plans say of restores before they run: what would come, what would go, and what could not work.

use std::fs;
use std::path::Path;

use acceptance_tests::cli::hcl_string;
use acceptance_tests::tree::Manifest;
use anyhow::{Context, Result, ensure};

use crate::scene::Scene;

both_clis!(
    a_restore_that_can_not_work_is_told_before_it_runs,
    a_run_that_restores_nothing_is_told_before_it_runs,
    a_plan_says_which_files_would_go,
    a_newer_point_that_can_not_be_read_is_named,
    two_jobs_that_would_be_one_run_are_refused,
    a_repository_in_the_destination_stays,
    what_restic_would_take_otherwise_is_refused,
);

/// The usual configuration with other arguments of the restore job's block and beside it.
fn with(scene: &Scene, block: &str, restore: &str) -> String {
    let mut documents = scene.documents();
    documents.restore = restore.to_owned();
    let data = documents.data.clone();
    let before = format!("restic     = {{ path = {data} }}");
    documents.configuration().replace(&before, &format!("restic     = {{ path = {data}{block} }}"))
}

fn plan_says(scene: &Scene, text: &str, parts: &[&str]) -> Result<()> {
    scene.workspace.write(text)?;
    scene.workspace.plan()?.ok()?.says(parts).with_context(|| text.to_owned())?;
    Ok(())
}

fn a_restore_that_can_not_work_is_told_before_it_runs(scene: &mut Scene) -> Result<()> {
    scene.backed_up()?;
    scene.lose_data()?;
    let fails = "would fail now";
    let early = with(scene, "", "recovery_point = { at = \"2001-01-01T00:00:00Z\" }");
    plan_says(scene, &early, &[fails, "no recovery point at or before 2001-01-01T00:00:00Z"])?;
    let unknown = with(scene, "", "recovery_point = { id = \"00000000000000000000\" }");
    plan_says(scene, &unknown, &[fails, "no recovery point 00000000000000000000"])?;
    let elsewhere = with(scene, ", host = \"elsewhere\"", "on_failure = \"resume\"").replace("\"skip\"", "\"fail\"");
    plan_says(scene, &elsewhere, &[fails, "`host = \"elsewhere\"` leaves them out"])?;
    scene.workspace.apply()?.fails(&["leaves them out"])?;
    scene.write(&scene.documents())?;
    scene.workspace.set("DR_SECRET_DOCS_REPO", "not the password");
    scene.workspace.plan()?.ok()?.says(&[fails, "password"])?.never_says(&["not the password"])?;
    Ok(())
}

fn a_run_that_restores_nothing_is_told_before_it_runs(scene: &mut Scene) -> Result<()> {
    scene.backed_up()?;
    let there = scene.workspace.path("there");
    fs::create_dir(&there)?;
    fs::write(there.join("file"), "mine")?;
    let text =
        with(scene, &format!(", to = {}", hcl_string(&there)), "").replace("target_missing_or_empty", "target_missing");
    scene.workspace.write(&text)?;
    let nothing = "Nothing will be restored for documents";
    scene.workspace.plan()?.ok()?.says(&[nothing, "`when` is not met"])?.never_says(&["It overwrites"])?;
    scene.workspace.apply()?.ok()?;
    ensure!(Manifest::of(&there)?.entries.len() == 2, "something was restored");

    let always = |run: u32| {
        with(scene, "", &format!("triggers = {{ run = \"{run}\" }}")).replace("target_missing_or_empty", "always")
    };
    for run in [1, 2] {
        scene.workspace.write(&always(run))?;
        scene.workspace.apply()?.ok()?;
    }
    fs::write(scene.data().join("newer"), "since")?;
    scene.workspace.write(&always(1))?;
    scene.workspace.plan()?.ok()?.says(&[nothing, "already ended"])?.never_says(&["It overwrites"])?;
    plan_says(scene, &always(3), &["A restore will run for documents", "It overwrites"])
}

fn a_plan_says_which_files_would_go(scene: &mut Scene) -> Result<()> {
    scene.backed_up()?;
    let removes = "removes from it what the point does not hold";
    let deleting =
        |restore: &str| with(scene, ", extra = \"delete\"", restore).replace("target_missing_or_empty", "always");
    scene.workspace.write(&deleting(""))?;
    scene.workspace.apply()?.ok()?;
    plan_says(scene, &deleting("triggers = { run = \"1\" }"), &["It overwrites", removes])
}

fn a_newer_point_that_can_not_be_read_is_named(scene: &mut Scene) -> Result<()> {
    let before = scene.backed_up()?;
    let older = scene.snapshots()?;
    let mut documents = scene.documents();
    documents.release = 1;
    fs::write(scene.data().join("newer"), "newer")?;
    scene.write(&documents)?;
    scene.workspace.apply()?.ok()?;
    let newer = scene.snapshots()?.into_iter().find(|id| !older.contains(id)).context("a second point")?;
    fs::write(scene.repository().join("snapshots").join(&newer), "damaged")?;
    scene.lose_data()?;

    documents.restore = format!("recovery_point = {{ id = \"{}\" }}", &newer[..16]);
    scene.write(&documents)?;
    scene.workspace.plan()?.ok()?.says(&["would fail now", &newer, "damaged"])?;
    scene.workspace.apply()?.fails(&[&newer, "damaged"])?;
    documents.restore = String::new();
    scene.write(&documents)?;
    scene.workspace.plan()?.ok()?.says(&["A restore will run", &newer, "can't be read"])?;
    scene.workspace.apply()?.ok()?.says(&[&newer, "can't be read"])?;
    before.assert_same(&scene.data())?;
    Ok(())
}

fn two_jobs_that_would_be_one_run_are_refused(scene: &mut Scene) -> Result<()> {
    scene.backed_up()?;
    let data = hcl_string(&scene.data());
    let job = |label: &str, include: &str| {
        let to = hcl_string(&scene.workspace.path("copy"));
        format!(
            "resource \"dr_restore_job\" \"{label}\" {{\n  name = \"part\"\n  source = dr_backup_target.documents.ref\n  \
             restic = {{ path = {data}, to = {to}, include = [\"{include}\"] }}\n}}\n"
        )
    };
    let mut documents = scene.documents();
    documents.more = job("one", "*.md") + &job("other", "*.sh");
    scene.write(&documents)?;
    scene.workspace.plan()?.fails(&["Two jobs are one run", "\"part\""])?;
    documents.more = job("one", "*.md");
    scene.write(&documents)?;
    scene.workspace.apply()?.ok()?;
    // The other one comes when the first is forgotten.
    documents.more = job("other", "*.sh");
    scene.write(&documents)?;
    scene.workspace.apply()?.ok()?.says(&["restored something else"])?;
    let result = scene.workspace.attributes("dr_restore_job.other")?["result"].clone();
    ensure!(result["outcome"] == "not_needed", "{result}");
    Ok(())
}

fn a_repository_in_the_destination_stays(scene: &mut Scene) -> Result<()> {
    scene.backed_up()?;
    let inner = scene.data().join("other");
    let store = format!("{{ local = {{ path = {} }} }}", hcl_string(&inner.join("repository")));
    fs::create_dir(&inner)?;
    let mut documents = scene.documents();
    let source = scene.workspace.path("source");
    fs::create_dir(&source)?;
    fs::write(source.join("file"), "content")?;
    documents.more = format!(
        "resource \"dr_backup_target\" \"other\" {{\n  name = \"other\"\n  store = {store}\n  restic = {{ password = \
         \"docs_repo\" }}\n}}\nresource \"dr_backup_job\" \"other\" {{\n  name = \"other\"\n  target = \
         dr_backup_target.other.ref\n  restic = {{ paths = [{}] }}\n}}\n",
        hcl_string(&source)
    );
    scene.write(&documents)?;
    scene.workspace.apply()?.ok()?;
    let all = |folder: &Path| Manifest::of(folder);
    let before = (all(&inner.join("repository"))?, all(&inner.join("repository.dr"))?);
    fs::write(scene.data().join("extra"), "goes")?;
    let more = documents.more.clone();
    let deleting = |block: &str| {
        let text = with(scene, &format!(", extra = \"delete\"{block}"), "triggers = { run = \"1\" }");
        text.replace("target_missing_or_empty", "always") + &more
    };
    scene.workspace.write(&deleting(""))?;
    scene
        .workspace
        .apply()?
        .ok()?
        .says(&["was kept: it is a restic repository", "was kept: it is where runs are written down"])?;
    before.0.assert_same(&inner.join("repository"))?;
    before.1.assert_same(&inner.join("repository.dr"))?;
    ensure!(!scene.data().join("extra").exists(), "what is extra stayed");

    let notes = scene.workspace.path("repository.dr");
    let noted = all(&notes)?;
    for to in [notes.clone(), notes.join("runs"), scene.repository().join("data")] {
        scene.workspace.write(&deleting(&format!(", to = {}", hcl_string(&to))))?;
        scene.workspace.plan()?.fails(&["The destination"])?;
    }
    noted.assert_same(&notes)?;
    Ok(())
}

fn what_restic_would_take_otherwise_is_refused(scene: &mut Scene) -> Result<()> {
    scene.make_data()?;
    let usual = scene.documents().configuration();
    let tags = |tags: &str| usual.replace("tags = [\"documents\"]", tags);
    for (text, part) in [
        (tags("tags = [\"documents\", \"dr-incomplete\"]"), "dr-incomplete"),
        (tags("tags = [\"dr-safety\"]"), "dr-safety"),
        (tags("tags = [\"dr-run-1\"]"), "dr-run-1"),
        (tags("tags = [\"\"]"), "empty"),
        (tags("tags = [\"a,b\"]"), "comma"),
        (tags("host = \"\""), "host"),
        (tags("excludes = [\"*.tmp\", \"[a\"]"), "[a"),
        (with(scene, ", include = [\"[z-a]\"]", ""), "[z-a]"),
    ] {
        scene.workspace.write(&text)?;
        scene.workspace.validate()?.fails(&[part]).with_context(|| text)?;
    }
    Ok(())
}
