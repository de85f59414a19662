//! Restores of real points: what restic stored and what we stored, over nothing, over something, and over traps.

use super::super::error::EngineError;
use super::super::source::testing::{World, assert_alike, describe, noise, open_at, plant, set_time};
use super::{Extra, RestoreOptions};
use std::fs;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// A point of everything there is, stored by us.
fn planted() -> (World, RestoreOptions) {
    let world = World::new();
    plant(&world.input());
    let point = world.backup(&world.backup_options()).unwrap().snapshot;
    let options = world.restore_options(&point);
    (world, options)
}

/// A point of some files, stored by us.
fn stored(files: &[(&str, &[u8])]) -> (World, RestoreOptions) {
    let world = World::new();
    for (name, content) in files {
        let path = world.input().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    let point = world.backup(&world.backup_options()).unwrap().snapshot;
    let options = world.restore_options(&point);
    (world, options)
}

/// Inode, change time and path of everything: what a restore that does nothing leaves as it is.
fn untouched(root: &Path) -> Vec<(PathBuf, u64, i64, i64)> {
    let stat = |path: &PathBuf| {
        let meta = fs::symlink_metadata(root.join(path)).unwrap();
        (path.clone(), meta.ino(), meta.ctime(), meta.ctime_nsec())
    };
    describe(root).keys().map(stat).collect()
}

fn partials(root: &Path) -> usize {
    describe(root).keys().filter(|path| path.to_string_lossy().contains(".dr-part-")).count()
}

#[test]
fn a_drill_writes_nothing_through_a_link_that_came_back() {
    let (world, options) = stored(&[("a", b"of the point")]);
    let (drill, production) = (world.output().join("drill"), world.output().join("production"));
    fs::create_dir_all(&drill).unwrap();
    fs::create_dir(&production).unwrap();
    symlink(&production, drill.join("data")).unwrap();
    let through = RestoreOptions { to: drill.join("data/docs"), drill: Some(drill.clone()), ..options.clone() };
    match world.restore(&through) {
        Err(EngineError::Destination { path, reason }) => {
            assert_eq!(path, drill.join("data").display().to_string());
            assert!(reason.contains("symbolic link"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(fs::read_dir(&production).unwrap().count(), 0);
    fs::create_dir(drill.join("srv")).unwrap();
    let beside = RestoreOptions { to: drill.join("srv/docs"), drill: Some(drill.clone()), ..options };
    world.restore(&beside).unwrap();
    assert_eq!(fs::read(drill.join("srv/docs/a")).unwrap(), b"of the point");
}

#[test]
fn what_we_stored_comes_back_with_everything() {
    let (world, options) = planted();
    let report = world.restore(&options).unwrap();
    assert_alike(&world.input(), &world.output());
    assert_eq!((report.dirs, report.links, report.skipped_same), (5, 6, 0));
    assert_eq!(report.warnings, Vec::<String>::new());
    let sparse = world.output().join("sparse").metadata().unwrap();
    assert!(sparse.blocks() * 512 < 1 << 20, "{} blocks", sparse.blocks());
}

#[test]
fn what_restic_stored_comes_back_with_everything() {
    for version in ["1", "2"] {
        let world = World::bare();
        plant(&world.input());
        world.restic(&["init", "--repository-version", version]);
        world.restic(&["backup", world.input().to_str().unwrap()]);
        world.restore(&world.restore_options(&world.newest())).unwrap();
        assert_alike(&world.input(), &world.output());
    }
}

#[test]
fn a_second_restore_over_everything_changes_nothing() {
    let (world, options) = planted();
    let first = world.restore(&options).unwrap();
    let before = untouched(&world.output());
    for (verify_existing, take_over) in [(false, false), (true, false), (false, true)] {
        let options = RestoreOptions { verify_existing, take_over, extra: Extra::Delete, ..options.clone() };
        let report = world.restore(&options).unwrap();
        assert_eq!(untouched(&world.output()), before);
        assert_eq!((report.files, report.bytes, report.deleted), (0, 0, 0));
        assert_eq!(report.skipped_same, first.files);
    }
}

#[test]
fn everything_that_differs_is_put_right() {
    let (world, options) = planted();
    world.restore(&options).unwrap();
    let out = world.output();
    fs::write(out.join("large"), "other").unwrap();
    fs::File::options().write(true).open(out.join("sparse")).unwrap().write_all_at(b"stale", 5 << 20).unwrap();
    fs::remove_file(out.join("small")).unwrap();
    symlink("/etc/passwd", out.join("small")).unwrap();
    fs::remove_file(out.join("link")).unwrap();
    symlink("elsewhere", out.join("link")).unwrap();
    fs::remove_file(out.join("dangling")).unwrap();
    fs::create_dir(out.join("dangling")).unwrap();
    fs::remove_dir(out.join("empty")).unwrap();
    fs::write(out.join("empty"), "a file").unwrap();
    fs::remove_file(out.join("pipe")).unwrap();
    fs::write(out.join("pipe"), "no pipe").unwrap();
    fs::set_permissions(out.join("nothing"), fs::Permissions::from_mode(0o777)).unwrap();
    fs::set_permissions(out.join("read-only"), fs::Permissions::from_mode(0o644)).unwrap();
    rustix::fs::removexattr(out.join("read-only"), "user.note").unwrap();
    rustix::fs::setxattr(out.join("deep"), "user.more", b"x", rustix::fs::XattrFlags::empty()).unwrap();
    world.restore(&options).unwrap();
    assert_alike(&world.input(), &out);
}

#[test]
fn content_that_hides_behind_size_and_time_is_found_when_asked_for() {
    let (world, options) = stored(&[("a", b"right"), ("b", b"right too")]);
    world.restore(&options).unwrap();
    let path = world.output().join("a");
    let time = path.metadata().unwrap();
    fs::write(&path, "wrong").unwrap();
    set_time(&path, time.mtime(), i32::try_from(time.mtime_nsec()).unwrap());
    assert_eq!(world.restore(&options).unwrap().skipped_same, 2);
    let verified = world.restore(&RestoreOptions { verify_existing: true, ..options }).unwrap();
    assert_eq!((verified.files, verified.skipped_same), (1, 1));
    assert_eq!(fs::read(&path).unwrap(), b"right");
}

#[test]
fn extra_files_stay_or_go_as_asked_and_a_ledger_always_stays() {
    let (world, options) = stored(&[("docs/a", b"1")]);
    world.restore(&options).unwrap();
    let out = world.output();
    for folder in ["docs/extra/deep", ".docs.dr/runs", ".mine.dr"] {
        fs::create_dir_all(out.join(folder)).unwrap();
    }
    fs::write(out.join("docs/extra/deep/file"), "x").unwrap();
    symlink(world.input(), out.join("docs/extra/out")).unwrap();
    assert_eq!(world.restore(&options).unwrap().deleted, 0);
    assert!(out.join("docs/extra/deep/file").exists());
    let report = world.restore(&RestoreOptions { extra: Extra::Delete, ..options }).unwrap();
    assert_eq!(report.deleted, 5);
    let kept = format!("{} was kept: it is where runs are written down", out.join(".docs.dr").display());
    assert_eq!(report.warnings, [kept]);
    let left: Vec<_> = describe(&out).into_keys().collect();
    assert_eq!(left, ["", ".docs.dr", ".docs.dr/runs", "docs", "docs/a"].map(PathBuf::from));
    assert!(world.input().join("docs/a").exists());
}

/// A repository of another target, with what is noted beside it.
fn another_repository(folder: &Path) {
    let id = "ab".repeat(32);
    for part in ["keys", "snapshots", "index", "data/ab"] {
        fs::create_dir_all(folder.join("yrepo").join(part)).unwrap();
        fs::write(folder.join("yrepo").join(part).join(&id), "sealed").unwrap();
    }
    fs::write(folder.join("yrepo/config"), "sealed").unwrap();
    for part in ["seen", "runs"] {
        fs::create_dir_all(folder.join("yrepo.dr").join(part)).unwrap();
    }
    fs::write(folder.join("yrepo.dr/seen/repository"), "1").unwrap();
    fs::write(folder.join("yrepo.dr/policy.json"), "{}").unwrap();
}

#[test]
fn the_repository_of_another_target_stays_with_what_is_noted_beside_it_and_is_named() {
    let (world, options) = stored(&[("a", b"1")]);
    let out = world.output();
    another_repository(&out.join("deep"));
    another_repository(&out);
    fs::create_dir_all(out.join("config/keys")).unwrap();
    fs::write(out.join("deep/gone"), "x").unwrap();
    let folders = [out.clone(), out.join("deep")];
    let before = folders.each_ref().map(|folder| describe(&folder.join("yrepo")));
    let report = world.restore(&RestoreOptions { extra: Extra::Delete, ..options }).unwrap();
    assert_eq!((report.deleted, out.join("deep/gone").exists()), (3, false));
    for (folder, before) in folders.iter().zip(before) {
        assert_eq!(describe(&folder.join("yrepo")), before);
        assert!(folder.join("yrepo.dr/seen/repository").exists() && folder.join("yrepo.dr/policy.json").exists());
    }
    let mut warnings = report.warnings;
    warnings.sort();
    let kept = |name: &str, what: &str| format!("{} was kept: it is {what}", out.join(name).display());
    let (repository, ledger) = ("a restic repository", "where runs are written down");
    assert_eq!(
        warnings,
        [
            kept("deep/yrepo", repository),
            kept("deep/yrepo.dr", ledger),
            kept("yrepo", repository),
            kept("yrepo.dr", ledger)
        ]
    );
}

#[test]
fn in_a_repository_nothing_is_removed_that_the_point_holds_an_older_state_of() {
    let world = World::new();
    another_repository(&world.input());
    let point = world.backup(&world.backup_options()).unwrap().snapshot;
    let options = RestoreOptions { extra: Extra::Delete, ..world.restore_options(&point) };
    world.restore(&options).unwrap();
    let newer =
        ["yrepo/snapshots", "yrepo/data/ab", "yrepo.dr/runs"].map(|at| world.output().join(at).join("cd".repeat(32)));
    newer.iter().for_each(|path| fs::write(path, "newer").unwrap());
    let report = world.restore(&options).unwrap();
    assert!(newer.iter().all(|path| path.exists()), "{report:?}");
    let named = |name: &str| report.warnings.iter().any(|warning| warning.contains(&format!("{name} was kept")));
    assert!(named("/yrepo") && named("/yrepo.dr") && report.warnings.len() == 2, "{:?}", report.warnings);
    let inside = RestoreOptions { to: world.output().join("yrepo/data"), ..options };
    assert_eq!(world.restore(&inside).unwrap().deleted, 0);
    assert!(newer[1].exists());
}

#[test]
fn a_folder_full_of_files_gives_way_to_a_file_only_when_extra_is_deleted() {
    let (world, options) = stored(&[("a", b"1"), ("b", b"2")]);
    fs::create_dir_all(world.output().join("a/full")).unwrap();
    let Err(EngineError::NotRestored { count: 1, names }) = world.restore(&options) else { panic!() };
    assert!(names[0].contains("tree/a: a folder that is not empty"), "{names:?}");
    assert_eq!(fs::read(world.output().join("b")).unwrap(), b"2");
    assert_eq!(partials(&world.output()), 0);
    world.restore(&RestoreOptions { extra: Extra::Delete, ..options }).unwrap();
    assert_eq!(fs::read(world.output().join("a")).unwrap(), b"1");
}

#[test]
fn a_link_in_the_destination_is_replaced_and_never_followed() {
    let (world, options) = stored(&[("folder/a", b"1"), ("b", b"2")]);
    let elsewhere = world.folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("b"), "keep").unwrap();
    fs::create_dir(world.output()).unwrap();
    symlink(&elsewhere, world.output().join("folder")).unwrap();
    symlink(elsewhere.join("b"), world.output().join("b")).unwrap();
    world.restore(&options).unwrap();
    assert_alike(&world.input(), &world.output());
    assert_eq!(describe(&elsewhere).len(), 2);
    assert_eq!(fs::read(elsewhere.join("b")).unwrap(), b"keep");
}

#[test]
fn a_file_with_another_name_outside_is_replaced_not_overwritten() {
    let (world, options) = stored(&[("a", b"new")]);
    fs::create_dir(world.output()).unwrap();
    let outside = world.folder.path().join("outside");
    fs::write(&outside, "old").unwrap();
    fs::hard_link(&outside, world.output().join("a")).unwrap();
    world.restore(&RestoreOptions { verify_existing: true, ..options }).unwrap();
    assert_eq!(
        (fs::read(&outside).unwrap(), fs::read(world.output().join("a")).unwrap()),
        (b"old".into(), b"new".into())
    );
}

#[test]
fn a_file_of_several_names_is_kept_only_when_all_of_them_are_the_points() {
    let world = World::new();
    let names = ["a", "b"].map(|name| world.input().join(name));
    fs::write(&names[0], "content").unwrap();
    fs::hard_link(&names[0], &names[1]).unwrap();
    set_time(&names[0], 1_600_000_000, 0);
    let point = world.backup(&world.backup_options()).unwrap().snapshot;
    let options = RestoreOptions { verify_existing: true, ..world.restore_options(&point) };
    world.restore(&options).unwrap();
    let before = fs::metadata(world.output().join("a")).unwrap().ino();
    assert_eq!(world.restore(&options).unwrap().skipped_same, 1);
    assert_eq!(fs::metadata(world.output().join("a")).unwrap().ino(), before);

    let outside = world.folder.path().join("outside");
    fs::remove_file(world.output().join("b")).unwrap();
    fs::hard_link(world.output().join("a"), &outside).unwrap();
    fs::set_permissions(&outside, fs::Permissions::from_mode(0o600)).unwrap();
    world.restore(&options).unwrap();
    assert_alike(&world.input(), &world.output());
    let kept = fs::metadata(&outside).unwrap();
    assert_eq!((kept.mode() & 0o777, kept.nlink()), (0o600, 1));
}

#[test]
fn one_file_or_what_patterns_name_can_be_restored() {
    let (world, options) = stored(&[("d/a.txt", b"1"), ("d/b.jpg", b"2"), ("e/c.txt", b"3"), ("f/g", b"4")]);
    let one = RestoreOptions {
        path: world.input().join("d/a.txt"),
        to: world.folder.path().join("out/z"),
        ..options.clone()
    };
    assert_eq!(world.restore(&one).unwrap().files, 1);
    assert_eq!(fs::read(&one.to).unwrap(), b"1");
    assert_eq!(world.restore(&one).unwrap().skipped_same, 1);

    let some = RestoreOptions { include: vec!["*.txt".into(), "!/e/*".into(), "/f/".into()], ..options };
    world.restore(&some).unwrap();
    let there: Vec<_> = describe(&world.output()).into_keys().collect();
    assert_eq!(there, ["", "d", "d/a.txt", "f", "f/g"].map(PathBuf::from));
    let none = RestoreOptions { include: vec!["*.png".into()], ..some.clone() };
    assert!(matches!(world.restore(&none), Err(EngineError::NotInPoint { .. })));
    // with patterns, only what they name may be deleted
    fs::write(world.output().join("d/old.txt"), "x").unwrap();
    fs::write(world.output().join("d/old.jpg"), "x").unwrap();
    assert_eq!(world.restore(&RestoreOptions { extra: Extra::Delete, ..some }).unwrap().deleted, 1);
    assert!(world.output().join("d/old.jpg").exists());
}

#[test]
fn a_whole_point_is_restored_below_the_destination() {
    let (world, options) = stored(&[("a", b"1")]);
    world.restore(&RestoreOptions { path: "/".into(), ..options }).unwrap();
    let inside = world.output().join(world.input().strip_prefix("/").unwrap());
    assert_alike(&world.input(), &inside);
    let parent = world.input();
    let (parent, restored) = (parent.parent().unwrap(), inside.parent().unwrap());
    assert_eq!(parent.metadata().unwrap().mode(), restored.metadata().unwrap().mode());
}

#[test]
fn what_cannot_be_the_destination_is_refused_with_its_path() {
    let (world, options) = stored(&[("a", b"1")]);
    let refuse = |to: PathBuf| match world.restore(&RestoreOptions { to, ..options.clone() }) {
        Err(EngineError::Destination { path, reason }) => format!("{path}: {reason}"),
        other => panic!("{other:?}"),
    };
    let base = world.folder.path();
    assert!(refuse(base.join("missing/parent")).starts_with(&format!("{}/missing: No such file", base.display())));
    assert!(refuse("relative".into()).contains("absolute"));
    assert!(refuse(base.join("out/../out")).contains("`..`"));
    symlink(world.input(), base.join("link")).unwrap();
    assert!(refuse(base.join("link")).contains("no folder"));
    fs::write(base.join("file"), "x").unwrap();
    assert!(refuse(base.join("file")).contains("no folder"));
    assert!(refuse("/sys/kernel/new".into()).starts_with("/sys/kernel/new: "));
    let missing = RestoreOptions { path: world.input().join("nothing"), ..options.clone() };
    assert!(matches!(world.restore(&missing), Err(EngineError::NotInPoint { .. })));
}

#[test]
fn a_full_disk_ends_the_restore_with_the_path() {
    let (world, options) = stored(&[("a", b"1"), ("large", &noise(5, 8 << 20))]);
    let small = world.folder.path().join("small disk");
    fs::create_dir(&small).unwrap();
    let mount = |arguments: &[&str]| std::process::Command::new("mount").args(arguments).arg(&small).status();
    if !mount(&["-t", "tmpfs", "-o", "size=1m", "none"]).is_ok_and(|status| status.success()) {
        return; // only root may mount
    }
    let full = world.restore(&RestoreOptions { to: small.join("tree"), ..options.clone() });
    let left = partials(&small.join("tree"));
    let writable = mount(&["-o", "remount,ro"]);
    let read_only = world.restore(&RestoreOptions { to: small.join("other"), ..options });
    std::process::Command::new("umount").arg(&small).status().unwrap();
    let path_of = |result| match result {
        Err(EngineError::Destination { path, reason }) => (path, reason),
        other => panic!("{other:?}"),
    };
    let (path, reason) = path_of(full);
    assert!(path.ends_with("small disk/tree/large") && reason.contains("No space left"), "{path}: {reason}");
    assert_eq!(left, 0);
    assert!(writable.unwrap().success());
    let (path, reason) = path_of(read_only);
    assert!(path.ends_with("small disk/other") && reason.contains("Read-only"), "{path}: {reason}");
}

#[test]
fn a_destination_that_is_a_mount_point_is_restored_to_and_cleaned_but_not_mounts_in_it() {
    let (world, options) = stored(&[("a", b"1")]);
    let mounted = |path: &Path| {
        fs::create_dir(path).unwrap();
        let mount = std::process::Command::new("mount").args(["-t", "tmpfs", "none"]).arg(path).status();
        mount.is_ok_and(|status| status.success())
    };
    if !mounted(&world.output()) {
        return; // only root may mount
    }
    fs::create_dir(world.output().join("extra")).unwrap();
    let inner = world.output().join("data");
    assert!(mounted(&inner));
    fs::write(inner.join("file"), "x").unwrap();
    let report = world.restore(&RestoreOptions { extra: Extra::Delete, ..options });
    let (kept, gone) = (inner.join("file").exists(), !world.output().join("extra").exists());
    for path in [inner, world.output()] {
        std::process::Command::new("umount").arg(path).status().unwrap();
    }
    let report = report.unwrap();
    assert_eq!((report.deleted, kept, gone), (1, true, true));
    assert!(report.warnings.iter().any(|warning| warning.contains("something is mounted there")), "{report:?}");
}

#[test]
fn what_is_mounted_from_the_same_disk_is_not_emptied_at_its_source() {
    let (world, options) = stored(&[("a", b"1")]);
    let (source, extra) = (world.folder.path().join("elsewhere"), world.output().join("extra"));
    fs::create_dir_all(source.join("below")).unwrap();
    fs::write(source.join("below/file"), "x").unwrap();
    let inner = extra.join("mounted");
    fs::create_dir_all(&inner).unwrap();
    fs::create_dir(world.output().join("gone")).unwrap();
    let mount = std::process::Command::new("mount").arg("--bind").args([&source, &inner]).status();
    if !mount.is_ok_and(|status| status.success()) {
        return; // only root may mount
    }
    let report = world.restore(&RestoreOptions { extra: Extra::Delete, ..options });
    let kept = source.join("below/file").exists();
    std::process::Command::new("umount").arg(&inner).status().unwrap();
    assert!(kept, "the source of a bind mount was emptied: {report:?}");
    assert_eq!((report.unwrap().deleted, world.output().join("gone").exists()), (1, false));
}

#[test]
fn a_store_that_does_not_answer_ends_the_restore_and_is_named() {
    use super::super::error::StoreProblem;
    use rustic_core::{BytesList, ErrorKind, FileType, Id, ReadBackend, RusticError, RusticResult, WriteBackend};
    #[derive(Debug)]
    struct Gone;
    impl ReadBackend for Gone {
        fn location(&self) -> String {
            "gone".to_owned()
        }
        fn list_with_size(&self, _: FileType) -> RusticResult<Vec<(Id, u32)>> {
            Ok(Vec::new())
        }
        fn read_full(&self, _: FileType, _: &Id) -> RusticResult<bytes::Bytes> {
            Ok(bytes::Bytes::new())
        }
        fn read_partial(&self, _: FileType, _: &Id, _: bool, _: u32, _: u32) -> RusticResult<bytes::Bytes> {
            let message = "no answer".to_owned();
            let ours = EngineError::Storage { problem: StoreProblem::Unreachable, message };
            Err(RusticError::with_source(ErrorKind::Backend, "reading", ours))
        }
        fn warmup_path(&self, _: FileType, _: &Id) -> String {
            String::new()
        }
    }
    impl WriteBackend for Gone {
        fn write_bytes(&self, _: FileType, _: &Id, _: bool, _: BytesList) -> RusticResult<()> {
            Ok(())
        }
        fn remove(&self, _: FileType, _: &Id, _: bool) -> RusticResult<()> {
            Ok(())
        }
    }
    let (world, options) = stored(&[("a", b"1")]);
    let repository = world.open().to_indexed().unwrap();
    let result = super::restore(&repository, std::sync::Arc::new(Gone), &options, &super::super::progress::Silent);
    assert!(matches!(result, Err(EngineError::Storage { problem: StoreProblem::Unreachable, .. })), "{result:?}");
    assert!(!world.output().exists());
}

#[test]
fn what_a_killed_restore_left_behind_is_cleaned_by_the_next() {
    let (world, options) = stored(&[("folder/a", b"1")]);
    world.restore(&options).unwrap();
    // the name that a file of this destination has while it is written
    let place = super::place::Place::open(&options.to, None).unwrap();
    let folder = place.folder(Path::new("tree/folder")).unwrap();
    let (name, file) = place.new_file(&folder).unwrap();
    drop(file);
    let foreign = world.output().join("folder/.dr-part-00000000-0");
    fs::write(&foreign, "of another destination").unwrap();
    world.restore(&options).unwrap();
    assert!(!world.output().join("folder").join(name).exists());
    assert!(foreign.exists());
}

/// What the test below runs in a process of its own: the options and the repository are in its environment.
#[test]
#[ignore = "is run by the next test, to be killed"]
fn restores_until_it_is_killed() {
    let options = std::env::var("DR_TEST_RESTORE").unwrap();
    let options: RestoreOptions = serde_json::from_str(&options).unwrap();
    let (repository, backend) = open_at(Path::new(&std::env::var_os("DR_TEST_REPOSITORY").unwrap()));
    super::restore(&repository.to_indexed().unwrap(), backend, &options, &super::super::progress::Silent).unwrap();
}

#[test]
fn a_restore_that_is_killed_anywhere_is_finished_by_the_next() {
    let world = World::new();
    plant(&world.input());
    for index in 0..500 {
        fs::write(world.input().join(format!("file {index}")), noise(index, 10_000)).unwrap();
    }
    let point = world.backup(&world.backup_options()).unwrap().snapshot;
    let options = RestoreOptions { take_over: true, extra: Extra::Delete, ..world.restore_options(&point) };
    let (mut killed, mut torn) = (0, 0);
    for milliseconds in (20..).step_by(15).take(40) {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "engines::restic::writer::tests::restores_until_it_is_killed"])
            .env("DR_TEST_RESTORE", serde_json::to_string(&options).unwrap())
            .env("DR_TEST_REPOSITORY", world.repository())
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        if child.try_wait().unwrap().is_some_and(|status| status.success()) {
            break;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        killed += 1;
        if world.output().exists() {
            torn += usize::from(partials(&world.output()) > 0);
            // what has its name has its content
            let whole = |path: &Path| fs::read(path).unwrap() == noise(7, 10_000);
            let seventh = world.output().join("file 7");
            assert!(!seventh.exists() || whole(&seventh));
        }
    }
    assert!(killed > 0, "the restore was over before it could be killed");
    println!("{killed} killed, {torn} of them while a file was written");
    world.restore(&options).unwrap();
    assert_alike(&world.input(), &world.output());
}

#[test]
fn for_a_point_that_was_removed_since_nothing_is_written() {
    let world = World::new();
    fs::write(world.input().join("file"), "content").unwrap();
    let point = world.backup(&world.backup_options()).unwrap().snapshot;
    fs::remove_file(world.repository().join("snapshots").join(&point)).unwrap();
    let error = world.restore(&world.restore_options(&point)).unwrap_err();
    assert!(matches!(&error, EngineError::NoPoint { point: gone, .. } if *gone == point), "{error}");
    assert!(crate::engines::restic::site::failure(&error).before_first_write);
    assert!(!world.output().exists());
}

#[test]
fn a_damaged_pack_costs_the_files_in_it_and_nothing_else() {
    let world = World::new();
    fs::write(world.input().join("first"), noise(6, 200_000)).unwrap();
    world.backup(&world.backup_options()).unwrap();
    let pack = |world: &World| {
        let mut packs: Vec<_> = walk(&world.repository().join("data"));
        packs.sort_by_key(|path| path.metadata().unwrap().len());
        packs.pop().unwrap()
    };
    let damaged = pack(&world);
    fs::write(world.input().join("second"), noise(7, 100_000)).unwrap();
    let point = world.backup(&world.backup_options()).unwrap().snapshot;
    let options = world.restore_options(&point);

    let mut bytes = fs::read(&damaged).unwrap();
    bytes[100_000] ^= 1;
    fs::write(&damaged, &bytes).unwrap();
    let lost = |expected: &str| match world.restore(&options) {
        Err(EngineError::NotRestored { count: 1, names }) => {
            assert!(names[0].contains("tree/first: pack ") && names[0].contains(expected), "{names:?}");
            assert_eq!(fs::read(world.output().join("second")).unwrap(), noise(7, 100_000));
            assert!(!world.output().join("first").exists());
            assert_eq!(partials(&world.output()), 0);
        }
        other => panic!("{other:?}"),
    };
    lost("is damaged");
    fs::write(&damaged, &bytes[..50_000]).unwrap();
    lost("the folder says no");
    fs::remove_file(&damaged).unwrap();
    lost("No such file");
}

#[test]
fn a_further_name_of_a_file_that_is_lost_is_lost_too_and_not_an_older_file() {
    let world = World::new();
    fs::write(world.input().join("a"), noise(9, 100_000)).unwrap();
    fs::hard_link(world.input().join("a"), world.input().join("b")).unwrap();
    let point = world.backup(&world.backup_options()).unwrap().snapshot;
    for pack in walk(&world.repository().join("data")) {
        let mut bytes = fs::read(&pack).unwrap();
        if bytes.len() > 90_000 {
            bytes[50_000] ^= 1;
            fs::write(&pack, bytes).unwrap();
        }
    }
    fs::create_dir(world.output()).unwrap();
    fs::write(world.output().join("a"), "an older a").unwrap();
    fs::write(world.output().join("b"), "an older b").unwrap();
    let Err(EngineError::NotRestored { count: 2, names }) = world.restore(&world.restore_options(&point)) else {
        panic!()
    };
    assert!(names[1].contains("tree/b: it is the same file as") && names[1].contains("tree/a"), "{names:?}");
    assert_eq!(fs::read(world.output().join("b")).unwrap(), b"an older b");
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let files = |path: PathBuf| if path.is_dir() { walk(&path) } else { vec![path] };
    fs::read_dir(folder).unwrap().flat_map(|entry| files(entry.unwrap().path())).collect()
}

#[test]
fn nothing_is_deleted_when_something_could_not_be_restored() {
    let (world, options) = stored(&[("a", &noise(8, 50_000))]);
    fs::create_dir(world.output()).unwrap();
    fs::write(world.output().join("extra"), "x").unwrap();
    for pack in walk(&world.repository().join("data")) {
        let mut bytes = fs::read(&pack).unwrap();
        if bytes.len() > 40_000 {
            bytes[20_000] ^= 1;
            fs::write(&pack, bytes).unwrap();
        }
    }
    let result = world.restore(&RestoreOptions { extra: Extra::Delete, ..options });
    assert!(matches!(result, Err(EngineError::NotRestored { count: 1, .. })), "{result:?}");
    assert!(world.output().join("extra").exists());
}

/// Stores a point whose only folder `in` has one entry of this name.
fn malicious(world: &World, name: &str) -> RestoreOptions {
    malicious_names(world, &[name])
}

fn malicious_names(world: &World, names: &[&str]) -> RestoreOptions {
    use rustic_core::repofile::{Metadata, Node, NodeType};
    use rustic_core::{ReadSource, ReadSourceEntry, RusticResult};
    struct Evil(Vec<String>);
    impl ReadSource for Evil {
        type Open = std::io::Cursor<&'static [u8]>;
        type Iter = std::vec::IntoIter<RusticResult<ReadSourceEntry<Self::Open>>>;
        fn size(&self) -> RusticResult<Option<u64>> {
            Ok(None)
        }
        fn entries(&self) -> Self::Iter {
            let entry = |name: &String| {
                let meta = Metadata { size: 4, mode: Some(0o644), ..Metadata::default() };
                let mut node = Node::new_node("x".as_ref(), NodeType::File, meta);
                node.name.clone_from(name);
                Ok(ReadSourceEntry { path: "/in/x".into(), node, open: Some(std::io::Cursor::new(&b"evil"[..])) })
            };
            self.0.iter().map(entry).collect::<Vec<_>>().into_iter()
        }
    }
    let evil = Evil(names.iter().map(ToString::to_string).collect());
    let repository = world.open().to_indexed_ids().unwrap();
    let options = rustic_core::BackupOptions::default().no_scan(true);
    let snapshot = repository.archive(&options, &evil, Default::default(), &["/in".into()]).unwrap();
    RestoreOptions { path: "/in".into(), ..world.restore_options(snapshot.id.to_hex().as_str()) }
}

#[test]
fn a_point_that_would_write_elsewhere_is_refused_and_nothing_is_written() {
    for name in ["../evil", "/etc/evil", "..", ".", "", "a/b", "\\x2e\\x2e/evil", "a\\x00b", "\\u002e\\u002e"] {
        let world = World::new();
        let options = malicious(&world, name);
        let Err(EngineError::Unsafe { names, .. }) = world.restore(&options) else { panic!("{name:?}") };
        assert_eq!(names.len(), 1);
        assert!(!world.output().exists(), "{name:?}");
    }
    let world = World::new();
    let twice = malicious_names(&world, &["a", "a"]);
    assert!(matches!(world.restore(&twice), Err(EngineError::Unsafe { .. })));
    let world = World::new();
    let harmless = malicious(&world, "fine");
    assert_eq!(world.restore(&harmless).unwrap().files, 1);
}
