//! Disks that are full, read-only or not mounted. Only root may mount; anyone else skips these.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use acceptance_tests::cli::hcl_string;
use acceptance_tests::tree::{Manifest, Recipe, make};
use anyhow::{Result, ensure};

use crate::restic::restic;
use crate::scene::Scene;

both_clis!(
    a_disk_that_is_not_mounted_is_no_lost_folder,
    what_a_disk_without_births_holds_is_doubted_once_it_is_another_folder,
    a_backup_to_a_full_disk_is_finished_when_there_is_room,
    a_restore_to_a_full_disk_is_finished_when_there_is_room,
    a_repository_on_a_read_only_disk_is_restored_from_and_not_written_to,
);

/// A mount that goes with the value.
struct Mount(PathBuf);

impl Mount {
    /// `None` when this user may not mount.
    fn new(at: &Path, arguments: &[&str]) -> Result<Option<Self>> {
        fs::create_dir_all(at)?;
        let output = Command::new("mount").args(arguments).arg(at).output()?;
        if output.status.success() {
            return Ok(Some(Self(at.to_owned())));
        }
        ensure!(!rustix::process::geteuid().is_root(), "{}", String::from_utf8_lossy(&output.stderr));
        eprintln!("skipped: only root may mount");
        Ok(None)
    }

    fn change(&self, options: &str) -> Result<()> {
        let status = Command::new("mount").args(["-o", &format!("remount,{options}")]).arg(&self.0).status()?;
        ensure!(status.success(), "cannot change the mount");
        Ok(())
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

fn a_disk_that_is_not_mounted_is_no_lost_folder(scene: &mut Scene) -> Result<()> {
    let (backing, disk) = (scene.workspace.path("backing"), scene.workspace.path("disk"));
    let Some(_backing) = Mount::new(&backing, &["-t", "tmpfs", "none"])? else { return Ok(()) };
    let bind = || Mount::new(&disk, &["--bind", &backing.to_string_lossy()]);
    let mounted = bind()?;
    let data = disk.join("documents");
    make(&data, &Recipe::small(7))?;
    let before = Manifest::of(&data)?;
    let mut documents = scene.documents();
    documents.data = hcl_string(&data);
    scene.write(&documents)?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    drop(mounted);
    scene.workspace.plan()?.fails(&["dr_restore_job.documents", "is it mounted?", "triggers"])?;
    scene.workspace.apply()?.fails(&["is it mounted?"])?;
    ensure!(fs::read_dir(&disk)?.next().is_none(), "something was written below the mount point");
    let _mounted = bind()?;
    scene.workspace.plan_is_empty()?;
    before.assert_same(&data)?;
    // With the disk in place a lost folder is lost.
    fs::remove_dir_all(&data)?;
    scene.workspace.apply()?.ok()?;
    before.assert_same(&data)
}

fn what_a_disk_without_births_holds_is_doubted_once_it_is_another_folder(scene: &mut Scene) -> Result<()> {
    let disk = scene.workspace.path("disk");
    let Some(_mount) = Mount::new(&disk, &["-t", "ramfs", "none"])? else { return Ok(()) };
    let data = disk.join("documents");
    make(&data, &Recipe::small(7))?;
    let mut documents = scene.documents();
    documents.data = hcl_string(&data);
    let doubt = "no record that a backup has read it";
    for release in [0, 1] {
        documents.release = release;
        scene.write(&documents)?;
        scene.workspace.apply()?.ok()?.never_says(&[doubt])?;
    }
    fs::rename(&data, disk.join("old"))?;
    make(&data, &Recipe::small(8))?;
    for (release, doubted) in [(2, true), (3, false)] {
        documents.release = release;
        scene.write(&documents)?;
        let run = scene.workspace.apply()?.ok()?;
        if doubted {
            run.says(&["Warning:", doubt])?
        } else {
            run.never_says(&[doubt])?
        };
    }
    Ok(())
}

fn a_backup_to_a_full_disk_is_finished_when_there_is_room(scene: &mut Scene) -> Result<()> {
    let disk = scene.workspace.path("disk");
    let Some(mount) = Mount::new(&disk, &["-t", "tmpfs", "-o", "size=1m", "none"])? else { return Ok(()) };
    let before = scene.make_data()?;
    let repository = disk.join("repository");
    let mut documents = scene.documents();
    documents.store = format!("{{ local = {{ path = {} }} }}", hcl_string(&repository));
    scene.write(&documents)?;
    scene.workspace.apply()?.fails(&["dr_backup_job.documents", "No space left", &disk.to_string_lossy()])?;
    mount.change("size=64m")?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    scene.lose_data()?;
    scene.workspace.apply()?.ok()?;
    before.assert_same(&scene.data())
}

fn a_restore_to_a_full_disk_is_finished_when_there_is_room(scene: &mut Scene) -> Result<()> {
    let disk = scene.workspace.path("disk");
    let Some(mount) = Mount::new(&disk, &["-t", "tmpfs", "-o", "size=1m", "none"])? else { return Ok(()) };
    let before = scene.backed_up()?;
    let to = disk.join("documents");
    let mut documents = scene.documents();
    documents.more = format!(
        "resource \"dr_restore_job\" \"copy\" {{\n  name   = \"copy\"\n  source = dr_backup_target.documents.ref\n  \
         restic = {{ path = {}, to = {} }}\n}}",
        documents.data,
        hcl_string(&to)
    );
    scene.write(&documents)?;
    scene.workspace.apply()?.fails(&["dr_restore_job.copy", "No space left", &to.to_string_lossy()])?;
    mount.change("size=64m")?;
    scene.workspace.apply()?.ok()?;
    before.assert_same(&to)?;
    scene.workspace.plan_is_empty()
}

fn a_repository_on_a_read_only_disk_is_restored_from_and_not_written_to(scene: &mut Scene) -> Result<()> {
    let before = scene.backed_up()?;
    let repository = scene.repository();
    let Some(_mount) = Mount::new(&repository, &["--bind", &repository.to_string_lossy()])? else { return Ok(()) };
    _mount.change("bind,ro")?;
    let mut documents = scene.documents();
    documents.release = 1;
    scene.write(&documents)?;
    scene.workspace.apply()?.fails(&["dr_backup_job.documents", "Read-only file system"])?;
    let text = documents.configuration();
    let text = text.replace("  retention = dr_retention_policy.tiered.keep\n", "  access    = \"read_only\"\n");
    let text = text.replace("on_missing = \"skip\"", "safety_backup = false");
    scene.workspace.write(text.split("resource \"dr_backup_job\"").next().unwrap_or_default())?;
    scene.lose_data()?;
    scene.workspace.apply()?.ok()?;
    before.assert_same(&scene.data())?;
    scene.workspace.plan_is_empty()?;
    restic(scene, &["--no-lock", "check"])?;
    Ok(())
}
