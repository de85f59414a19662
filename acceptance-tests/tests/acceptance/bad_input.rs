//! What bad input gets: an error that names it, before anything is touched.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use acceptance_tests::cli::hcl_string;
use acceptance_tests::parts;
use acceptance_tests::tree::Manifest;
use anyhow::{Context, Result, ensure};

use crate::scene::{PASSWORD, Scene, wait_until};

both_clis!(
    a_resource_without_an_engine_is_refused,
    an_engine_that_is_unknown_at_plan_is_refused,
    a_policy_that_keeps_nothing_is_refused,
    cron_lines_that_never_run_are_refused,
    paths_that_are_not_absolute_and_clean_are_refused,
    a_time_without_a_zone_is_refused,
    an_unknown_connection_lists_the_known,
    an_unknown_secret_lists_the_known,
    two_policies_on_one_repository_are_refused,
    storage_with_two_owners_is_refused_whatever_they_are_called,
    a_target_inside_what_it_backs_up_is_refused,
    a_missing_parent_is_refused,
    a_wrong_password_touches_nothing,
    a_repository_of_another_format_is_left_alone,
    no_point_at_or_before_the_time_names_the_nearest,
    a_newest_point_far_smaller_than_its_series_is_not_restored,
    an_unreadable_file_fails_the_backup,
    a_flipped_bit_in_a_pack_names_the_files_and_keeps_the_rest,
    a_truncated_pack_names_the_files_and_keeps_the_rest,
    a_missing_pack_names_the_files_and_keeps_the_rest,
    a_broken_key_or_config_is_named_with_what_to_do,
    what_a_broken_index_names_comes_back_and_the_file_is_named,
    a_restore_that_can_not_begin_leaves_what_is_there_and_its_backups_alone,
    a_restore_that_wrote_nothing_takes_what_is_there_when_its_point_is_gone,
    a_lock_keeps_old_points_until_it_is_given_back_or_removed,
);

/// Neither plan nor anything else does something: it fails, saying all of `parts`.
fn refused(scene: &Scene, configuration: &str, parts: &[&str]) -> Result<()> {
    scene.workspace.write(configuration)?;
    scene.workspace.plan()?.fails(parts).with_context(|| configuration.to_owned())?;
    ensure!(!scene.repository().exists(), "a plan made the repository");
    Ok(())
}

fn a_resource_without_an_engine_is_refused(scene: &mut Scene) -> Result<()> {
    let text = scene.documents().configuration().replace("restic    = { password = \"docs_repo\" }", "");
    refused(scene, &text, &["dr_backup_target", "restic"])
}

fn an_engine_that_is_unknown_at_plan_is_refused(scene: &mut Scene) -> Result<()> {
    let mut documents = scene.documents();
    documents.more = "resource \"terraform_data\" \"later\" {\n  input = { password = \"docs_repo\" }\n}".into();
    let text = documents.configuration();
    let text = text.replace("restic    = { password = \"docs_repo\" }", "restic = terraform_data.later.output");
    refused(scene, &text, &["restic", "known"])
}

fn a_policy_that_keeps_nothing_is_refused(scene: &mut Scene) -> Result<()> {
    let text = scene.documents().configuration();
    refused(scene, &text.replace("keep_last = 20", ""), &["dr_retention_policy", "keep"])?;
    refused(scene, &text.replace("keep_last = 20", "keep_last = 0"), &["keep_last"])?;
    refused(scene, &text.replace("keep_last = 20", "keep_all = true\n  keep_last = 1"), &["keep_all"])
}

fn cron_lines_that_never_run_are_refused(scene: &mut Scene) -> Result<()> {
    for cron in ["0 0 31 2 *", "0 0 3 * * *", "0 0 * * 9", "0 25 * * *", "daily at three"] {
        let more = format!(
            "output \"runs\" {{\n  value = provider::dr::next_runs(\"{cron}\", \"2026-01-01T00:00:00Z\", 3, \"UTC\")\n}}"
        );
        let mut documents = scene.documents();
        documents.more = more;
        refused(scene, &documents.configuration(), &["next_runs"])?;
    }
    Ok(())
}

fn paths_that_are_not_absolute_and_clean_are_refused(scene: &mut Scene) -> Result<()> {
    for path in ["relative/folder", "/srv/../etc", "/srv/documents/", "~/documents", "/srv//documents", ""] {
        let mut documents = scene.documents();
        documents.data = format!("\"{path}\"");
        refused(scene, &documents.configuration(), &["path"])?;
        let mut documents = scene.documents();
        documents.store = format!("{{ local = {{ path = \"{path}\" }} }}");
        refused(scene, &documents.configuration(), &["dr_backup_target", "path"])?;
    }
    for prefix in ["/documents", "documents/", "a//b"] {
        let mut documents = scene.documents();
        documents.store = format!("{{ s3 = \"minio\", bucket = \"backups\", prefix = \"{prefix}\" }}");
        refused(scene, &documents.configuration(), &["prefix"])?;
    }
    Ok(())
}

fn a_time_without_a_zone_is_refused(scene: &mut Scene) -> Result<()> {
    for time in ["2025-10-06T10:30:00", "yesterday", "2025-02-30T00:00:00Z"] {
        let mut documents = scene.documents();
        documents.restore = format!("recovery_point = {{ at = \"{time}\" }}");
        refused(scene, &documents.configuration(), &["dr_restore_job", "recovery_point"])?;
    }
    Ok(())
}

fn an_unknown_connection_lists_the_known(scene: &mut Scene) -> Result<()> {
    scene.make_data()?;
    let mut documents = scene.documents();
    documents.provider = "provider \"dr\" {\n  s3 = {\n    attic  = { endpoint = \"http://127.0.0.1:9\", \
                          access_key_id = \"a\", secret_access_key = \"b\" }\n    cellar = { endpoint = \
                          \"http://127.0.0.1:9\", access_key_id = \"a\", secret_access_key = \"b\" }\n  }\n}"
        .into();
    documents.store = "{ s3 = \"atic\", bucket = \"backups\", prefix = \"p\" }".into();
    scene.write(&documents)?;
    scene.workspace.apply()?.fails(&["atic", "attic", "cellar"])?;
    Ok(())
}

fn an_unknown_secret_lists_the_known(scene: &mut Scene) -> Result<()> {
    scene.make_data()?;
    let mut documents = scene.documents();
    documents.provider = "provider \"dr\" {\n  secrets = { attic = \"one\", cellar = \"two\" }\n}".into();
    scene.workspace.write(&documents.configuration().replace("docs_repo", "celler"))?;
    let run = scene.workspace.apply()?;
    run.fails(&["There is no secret of this name", "attic", "cellar"])?.never_says(&["\"one\"", "DR_SECRET_CELLER"])?;
    ensure!(!scene.repository().exists(), "a repository was made without its password");
    Ok(())
}

fn two_policies_on_one_repository_are_refused(scene: &mut Scene) -> Result<()> {
    let mut documents = scene.documents();
    let repository = hcl_string(&scene.repository());
    documents.more = format!(
        r#"resource "dr_retention_policy" "other" {{
  name      = "other"
  keep_last = 1
}}

resource "dr_backup_target" "other" {{
  name      = "other"
  store     = {{ local = {{ path = {repository} }} }}
  retention = dr_retention_policy.other.keep
  restic    = {{ password = "docs_repo" }}
}}"#
    );
    refused(scene, &documents.configuration(), &["dr_backup_target", "documents", "other"])
}

/// Targets of one name in two clusters, or two namespaces, that share a bucket without a prefix: a module's, used twice.
fn owners(scene: &Scene, block: &str, over: &str) -> Result<()> {
    scene.workspace.write(&format!(
        r#"
terraform {{
  required_providers {{
    dr = {{ source = "dr-as-code/dr" }}
  }}
}}
provider "dr" {{
  kubernetes = {{
    prod    = {{ host = "https://127.0.0.1:1", token = "t" }}
    agentic = {{ host = "https://127.0.0.1:2", token = "t" }}
  }}
  s3 = {{ garage = {{ endpoint = "http://127.0.0.1:3", access_key_id = "id", secret_access_key = "key" }} }}
}}
resource "dr_backup_target" "main" {{
  for_each = toset([{over}])
  name     = "garage"
  store    = {{ s3 = "garage", bucket = "backups", credentials = "connection" }}
  {block}
}}
"#
    ))
}

fn storage_with_two_owners_is_refused_whatever_they_are_called(scene: &mut Scene) -> Result<()> {
    let clusters = "\"prod\", \"agentic\"";
    owners(scene, "velero = { cluster = each.key }", clusters)?;
    let parts = ["Storage with two owners", "velero:prod/velero/garage", "velero:agentic/velero/garage"];
    scene.workspace.plan()?.fails(&parts)?;
    let volsync = "volsync = { cluster = \"prod\", namespace = each.key, password = \"docs_repo\" }";
    owners(scene, volsync, "\"wiki\", \"docs\"")?;
    scene.workspace.plan()?.fails(&["Storage with two owners", "volsync:prod/wiki/garage"])?;
    let k8up = "k8up = { cluster = \"prod\", namespace = each.key, password = \"docs_repo\" }";
    owners(scene, &k8up.replace("each.key", "\"wiki\"").replace("\"prod\"", "each.key"), clusters)?;
    scene.workspace.plan()?.fails(&["Storage with two owners", "k8up of namespace wiki"])?;
    // k8up keeps the namespaces of one repository apart.
    owners(scene, k8up, "\"wiki\", \"docs\"")?;
    scene.workspace.plan()?.ok().map(drop)
}

fn a_target_inside_what_it_backs_up_is_refused(scene: &mut Scene) -> Result<()> {
    let before = scene.make_data()?;
    let mut documents = scene.documents();
    documents.store = format!("{{ local = {{ path = {} }} }}", hcl_string(&scene.data().join("repository")));
    refused(scene, &documents.configuration(), &["dr_backup_job", "repository"])?;
    before.assert_same(&scene.data())
}

fn a_missing_parent_is_refused(scene: &mut Scene) -> Result<()> {
    scene.backed_up()?;
    let mut documents = scene.documents();
    documents.restore = "when = \"always\"\n  triggers = { again = 1 }".into();
    let to = hcl_string(&scene.workspace.path("nowhere/documents"));
    let text = documents.configuration().replace("  when       = \"target_missing_or_empty\"\n", "");
    let data = &documents.data;
    scene.workspace.write(&text.replace(
        &format!("restic     = {{ path = {data} }}"),
        &format!("restic     = {{ path = {data}, to = {to} }}"),
    ))?;
    let said = ["dr_restore_job.documents", "The folder that it goes into is not there", "nowhere, which is no folder"];
    scene.workspace.apply()?.fails(&said)?;
    ensure!(!scene.workspace.path("nowhere").exists(), "the parent was made");
    Ok(())
}

fn a_wrong_password_touches_nothing(scene: &mut Scene) -> Result<()> {
    let before = scene.backed_up()?;
    let mut other = scene.copy("other")?;
    fs::remove_file(other.workspace.state_file())?;
    other.workspace.set("DR_SECRET_DOCS_REPO", "not the password");
    let repository = Manifest::of(&scene.repository())?;
    other.workspace.apply()?.fails(&["dr_backup_target.documents", "password"])?.never_says(&["not the password"])?;
    repository.assert_same(&scene.repository())?;
    before.assert_same(&scene.data())
}

fn a_repository_of_another_format_is_left_alone(scene: &mut Scene) -> Result<()> {
    scene.make_data()?;
    fs::create_dir_all(scene.repository().join("data/0"))?;
    fs::write(scene.repository().join("config"), "[repository]\nversion = 1\nsegments_per_dir = 1000\n")?;
    fs::write(scene.repository().join("README"), "This is a Borg Backup repository.\n")?;
    let before = Manifest::of(&scene.repository())?;
    scene.write(&scene.documents())?;
    scene.workspace.apply()?.fails(&["dr_backup_target.documents"])?;
    before.assert_same(&scene.repository())
}

fn no_point_at_or_before_the_time_names_the_nearest(scene: &mut Scene) -> Result<()> {
    scene.backed_up()?;
    let snapshot = scene.snapshots()?.concat();
    let mut documents = scene.documents();
    documents.restore = "recovery_point = { at = \"2001-01-01T00:00:00Z\" }".into();
    scene.write(&documents)?;
    scene.lose_data()?;
    scene.workspace.apply()?.fails(&["dr_restore_job.documents", "2001-01-01", &snapshot[..8]])?;
    ensure!(!scene.data().exists(), "something was restored");
    Ok(())
}

fn a_newest_point_far_smaller_than_its_series_is_not_restored(scene: &mut Scene) -> Result<()> {
    scene.backed_up()?;
    let mut documents = scene.documents();
    for release in 1..4 {
        if release == 3 {
            for folder in ["photos", "documents", "machines", "mail", "projects", "music", "backup-of-photos"] {
                fs::remove_dir_all(scene.data().join(folder))?;
            }
        }
        documents.release = release;
        scene.write(&documents)?;
        scene.workspace.apply()?.ok()?;
    }
    scene.lose_data()?;
    scene.workspace.apply()?.fails(&["dr_restore_job.documents", "recovery_point"])?;
    ensure!(!scene.data().exists(), "something was restored");
    Ok(())
}

fn an_unreadable_file_fails_the_backup(scene: &mut Scene) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    scene.make_data()?;
    fs::set_permissions(scene.data().join("inbox/empty.txt"), fs::Permissions::from_mode(0o000))?;
    scene.write(&scene.documents())?;
    let workspace = &mut scene.workspace;
    let run = without_the_rights_of_root(move || workspace.apply())?;
    run.fails(&["dr_backup_job.documents", "empty.txt"])?;
    Ok(())
}

/// What is started in there heeds the modes of files, whoever runs the tests.
fn without_the_rights_of_root<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    use rustix::thread::{CapabilitySet, capability_is_in_bounding_set, remove_capability_from_bounding_set};
    // A thread has a set of its own, and a program that it starts never has more.
    let limited = || {
        for right in [CapabilitySet::DAC_OVERRIDE, CapabilitySet::DAC_READ_SEARCH] {
            if rustix::process::geteuid().is_root() && capability_is_in_bounding_set(right)? {
                remove_capability_from_bounding_set(right)?;
            }
        }
        work()
    };
    std::thread::scope(|scope| scope.spawn(limited).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The files below a folder of the repository, the largest last.
fn repository_files(scene: &Scene, below: &str) -> Result<Vec<PathBuf>> {
    let folder = scene.repository().join(below);
    let manifest = Manifest::of(&folder)?;
    let mut files: Vec<_> = manifest.entries.iter().filter(|(_, entry)| entry.kind == "file").collect();
    files.sort_by_key(|(_, entry)| entry.size);
    Ok(files.into_iter().map(|(path, _)| folder.join(path)).collect())
}

/// restic writes its files read-only; what breaks them does not ask.
fn overwrite(file: &PathBuf, content: &[u8]) -> Result<()> {
    fs::remove_file(file)?;
    Ok(fs::write(file, content)?)
}

/// Breaks the largest pack (nothing in its place: it is removed), restores, and mends it.
fn with_a_broken_pack(scene: &mut Scene, breaks: impl Fn(&[u8]) -> Option<Vec<u8>>) -> Result<()> {
    let before = scene.backed_up()?;
    let pack = repository_files(scene, "data")?.pop().context("there is no pack")?;
    let good = fs::read(&pack)?;
    fs::remove_file(&pack)?;
    if let Some(bad) = breaks(&good) {
        fs::write(&pack, bad)?;
    }
    scene.lose_data()?;
    let run = scene.workspace.apply()?.fails(&["dr_restore_job.documents", "not restored"])?;
    let after = Manifest::of(&scene.data())?;
    let lost: Vec<_> = before.entries.keys().filter(|path| !after.entries.contains_key(*path)).collect();
    ensure!(!lost.is_empty() && lost.len() < before.entries.len() / 2, "{} are missing", lost.len());
    let said = run.said().replace(' ', "");
    let named = lost.iter().filter(|path| said.contains(&path.to_string_lossy().replace(' ', ""))).count();
    ensure!(named > 0, "none of {lost:?} is named:\n{}", run.stderr);
    let whole = before.differences(&after).iter().filter(|line| line.contains("content")).count();
    ensure!(whole == 0, "{:?}", before.differences(&after));
    fs::remove_file(&pack).or_else(|error| if pack.exists() { Err(error) } else { Ok(()) })?;
    fs::write(&pack, good)?;
    scene.workspace.apply()?.ok()?;
    before.assert_same(&scene.data())?;
    scene.workspace.plan_is_empty()
}

fn a_flipped_bit_in_a_pack_names_the_files_and_keeps_the_rest(scene: &mut Scene) -> Result<()> {
    with_a_broken_pack(scene, |good| {
        let mut bad = good.to_vec();
        bad[100] ^= 4;
        Some(bad)
    })
}

fn a_truncated_pack_names_the_files_and_keeps_the_rest(scene: &mut Scene) -> Result<()> {
    with_a_broken_pack(scene, |good| Some(good[..good.len() / 3].to_vec()))
}

fn a_missing_pack_names_the_files_and_keeps_the_rest(scene: &mut Scene) -> Result<()> {
    with_a_broken_pack(scene, |_| None)
}

/// Half of a file, and a file with one flipped bit.
fn broken(good: &[u8]) -> [Vec<u8>; 2] {
    let mut flipped = good.to_vec();
    flipped[good.len() / 2] ^= 4;
    [good[..good.len() / 2].to_vec(), flipped]
}

fn a_broken_key_or_config_is_named_with_what_to_do(scene: &mut Scene) -> Result<()> {
    let before = scene.backed_up()?;
    scene.lose_data()?;
    let config = scene.repository().join("config");
    for file in [repository_files(scene, "keys")?, vec![config]].concat() {
        let name = file.strip_prefix(scene.repository())?.display().to_string();
        let good = fs::read(&file)?;
        for bad in broken(&good) {
            overwrite(&file, &bad)?;
            let run = scene.workspace.apply()?.fails(&["dr_", &name, "back from another copy"]);
            run.with_context(|| format!("{name} was broken"))?;
            ensure!(!scene.data().exists(), "something was restored");
        }
        overwrite(&file, &good)?;
    }
    scene.workspace.apply()?.ok()?;
    before.assert_same(&scene.data())
}

fn what_a_broken_index_names_comes_back_and_the_file_is_named(scene: &mut Scene) -> Result<()> {
    let before = scene.backed_up()?;
    for file in repository_files(scene, "index")? {
        let name = file.strip_prefix(scene.repository())?.display().to_string();
        let good = fs::read(&file)?;
        for bad in broken(&good) {
            overwrite(&file, &bad)?;
            scene.lose_data()?;
            let run = scene.workspace.apply()?.ok()?;
            run.says(&["Warning:", &format!("`{name}` is damaged"), "restic repair index"])?;
            before.assert_same(&scene.data())?;
        }
        // Nothing is stored on top of it.
        let mut documents = scene.documents();
        documents.release = 1;
        scene.write(&documents)?;
        scene.workspace.apply()?.fails(&["dr_backup_job.documents", &name, "restic repair index"])?;
        overwrite(&file, &good)?;
        scene.workspace.apply()?.ok()?;
    }
    scene.workspace.plan_is_empty()
}

fn a_restore_that_can_not_begin_leaves_what_is_there_and_its_backups_alone(scene: &mut Scene) -> Result<()> {
    let before = scene.backed_up()?;
    let index = repository_files(scene, "index")?.pop().context("there is no index")?;
    let name = index.strip_prefix(scene.repository())?.display().to_string();
    let (aside, packs) = (scene.workspace.path("packs"), scene.repository().join("data"));
    let good = fs::read(&index)?;
    overwrite(&index, &broken(&good)[1])?;
    fs::rename(&packs, &aside)?;
    fs::create_dir(&packs)?;
    let mut documents = scene.documents();
    documents.restore = "when = \"always\"\n  safety_backup = false\n  triggers = { again = 1 }".into();
    let text = documents.configuration().replace("  when       = \"target_missing_or_empty\"\n", "");
    scene.workspace.write(&text)?;
    let parts = ["dr_restore_job.documents", "nothing is changed", &name, "restic repair index"];
    scene.workspace.apply()?.fails(&parts)?.never_says(&["half written"])?;
    before.assert_same(&scene.data())?;
    fs::remove_dir(&packs)?;
    fs::rename(&aside, &packs)?;
    overwrite(&index, &good)?;
    // Without the restore: what it did not begin stops no backup.
    documents.release = 1;
    let text = documents.configuration();
    let (head, rest) = text.split_once("resource \"dr_restore_job\"").context("the restore job")?;
    let (_, job) = rest.split_once("resource \"dr_backup_job\"").context("the backup job")?;
    let job = job.replace("  after    = dr_restore_job.documents.ref\n", "");
    scene.workspace.write(&format!("{head}resource \"dr_backup_job\"{job}"))?;
    scene.workspace.apply()?.ok()?;
    ensure!(scene.snapshots()?.len() == 2, "{:?}", scene.snapshots()?);
    Ok(())
}

fn a_restore_that_wrote_nothing_takes_what_is_there_when_its_point_is_gone(scene: &mut Scene) -> Result<()> {
    let (before, first, newest) = scene.lost_after_two_backups()?;
    // Nothing says any more what the packs hold, and they are away.
    let (aside, packs) = (scene.workspace.path("packs"), scene.repository().join("data"));
    let indexes = repository_files(scene, "index")?;
    let good = indexes.iter().map(fs::read).collect::<std::io::Result<Vec<_>>>()?;
    for (index, good) in indexes.iter().zip(&good) {
        overwrite(index, &broken(good)[1])?;
    }
    fs::rename(&packs, &aside)?;
    fs::create_dir(&packs)?;
    scene.workspace.apply()?.fails(&["dr_restore_job.documents", "nothing is changed"])?;
    fs::remove_dir(&packs)?;
    fs::rename(&aside, &packs)?;
    for (index, good) in indexes.iter().zip(&good) {
        overwrite(index, good)?;
    }
    scene.workspace.plan()?.ok()?.says(&["the last run failed", &newest])?;
    crate::restic::restic(scene, &["forget", "--prune", &newest])?;
    scene.workspace.apply_plan()?.fails(&["dr_restore_job.documents", &newest[..8], "plan again"])?;
    ensure!(!scene.data().exists(), "another point was restored than the plan showed");
    scene.workspace.plan()?.ok()?.says(&["the last run failed", &first])?.never_says(&[&newest])?;
    scene.workspace.apply_plan()?.ok()?.says(&[&newest, "is no longer there", "had written nothing"])?;
    before.assert_same(&scene.data())?;
    scene.workspace.plan_is_empty()
}

fn a_lock_keeps_old_points_until_it_is_given_back_or_removed(scene: &mut Scene) -> Result<()> {
    scene.backed_up()?;
    // A backup that waits for its standard input holds a lock for as long as we want.
    let mut restic = Command::new(parts::RESTIC.get()?)
        .args(["--no-cache", "--quiet", "-r"])
        .arg(scene.repository())
        .args(["backup", "--stdin"])
        .env("RESTIC_PASSWORD", PASSWORD)
        .stdin(Stdio::piped())
        .spawn()?;
    let repository = scene.repository();
    wait_until("restic's lock", || Ok(!crate::scene::names(&repository.join("locks"))?.is_empty()))?;
    let mut documents = scene.documents();
    documents.release = 1;
    let text = documents.configuration().replace("keep_last = 20", "keep_last = 1");
    scene.workspace.write(&text)?;
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "300");
    // Two may add at once; to remove, one has to be alone.
    let live =
        scene.workspace.apply()?.ok().and_then(|run| run.says(&["Warning:", "locked", &restic.id().to_string()]));
    let kept = scene.snapshots()?;
    restic.kill()?;
    restic.wait()?;
    live?;
    ensure!(kept.len() == 2, "points went away below a lock: {kept:?}");
    scene.workspace.plan_is_empty()?;
    documents.release = 2;
    scene.workspace.write(&documents.configuration().replace("keep_last = 20", "keep_last = 1"))?;
    // Nothing proves to us that it is dead, and a live one may be in the middle of a backup.
    let words = ["Warning:", "locked", "`restic unlock` removes"];
    scene.workspace.apply()?.ok()?.says(&words)?;
    ensure!(scene.snapshots()?.len() == 3, "points went away below a lock: {:?}", scene.snapshots()?);
    documents.release = 3;
    scene.write(&documents)?;
    crate::restic::restic(scene, &["unlock"])?;
    scene.workspace.write(&documents.configuration().replace("keep_last = 20", "keep_last = 1"))?;
    scene.workspace.apply()?.ok()?.never_says(&["locked"])?;
    ensure!(crate::scene::names(&repository.join("locks"))?.is_empty(), "a lock is still there");
    ensure!(scene.snapshots()?.len() == 1, "retention was not made up for: {:?}", scene.snapshots()?);
    scene.workspace.plan_is_empty()
}
