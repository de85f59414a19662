//! Backups of real trees, compared with what restic makes of them.

use super::super::error::EngineError;
use super::testing::{World, assert_alike, noise, plant};
use super::{BackupOptions, INCOMPLETE_TAG, OnUnreadable};
use std::fs;
use std::path::{Path, PathBuf};

fn source_error(result: Result<super::BackupReport, EngineError>) -> String {
    match result {
        Err(EngineError::Source { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn restic_restores_what_was_backed_up_with_everything() {
    let world = World::new();
    plant(&world.input());
    let report = world.backup(&world.backup_options()).unwrap();
    assert_eq!((report.unreadable_count, report.incomplete), (0, false));
    world.restic(&["check", "--read-data"]);
    let target = world.output();
    world.restic(&["restore", &report.snapshot, "--target", target.to_str().unwrap()]);
    assert_alike(&world.input(), &target.join(world.input().strip_prefix("/").unwrap()));
}

#[test]
fn a_snapshot_lists_as_one_that_restic_made() {
    let (ours, theirs) = (World::new(), World::new());
    plant(&ours.input());
    ours.backup(&ours.backup_options()).unwrap();
    theirs.restic(&["backup", "--host", "nas", ours.input().to_str().unwrap()]);
    let input = ours.input();
    let list = |world: &World| -> Vec<serde_json::Value> {
        let listing = world.restic(&["ls", "--json", "latest"]);
        let nodes = listing.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let nodes = nodes.filter(|node| node["message_type"] == "node");
        let mut nodes: Vec<_> = nodes.collect();
        let above = input.parent().unwrap().parent().unwrap();
        for node in &mut nodes {
            let node = node.as_object_mut().unwrap();
            // times of access, of status changes, and of the system's own folders move while both run
            let moving = if above.starts_with(node["path"].as_str().unwrap()) { 3 } else { 2 };
            for field in ["atime", "ctime", "mtime"].iter().take(moving) {
                node.remove(*field);
            }
        }
        nodes
    };
    let (ours, theirs) = (list(&ours), list(&theirs));
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs);
    }
    assert_eq!(ours.len(), theirs.len());
}

#[test]
fn a_second_backup_of_the_same_adds_almost_nothing() {
    let world = World::new();
    plant(&world.input());
    let first = world.backup(&world.backup_options()).unwrap();
    let second = world.backup(&world.backup_options()).unwrap();
    assert!(first.bytes_added > 9 << 20, "{first:?}");
    assert_eq!((second.files, second.dirs, second.bytes_processed), (first.files, first.dirs, first.bytes_processed));
    assert!(second.bytes_added < 10_000, "{second:?}");
    let listing: serde_json::Value = serde_json::from_str(&world.restic(&["snapshots", "--json"])).unwrap();
    assert_eq!(listing[1]["parent"], first.snapshot.as_str());
    assert_eq!(listing[1]["summary"]["files_unmodified"], first.files);
}

#[test]
fn restic_takes_our_snapshot_as_a_parent() {
    let world = World::new();
    plant(&world.input());
    let ours = world.backup(&world.backup_options()).unwrap();
    world.restic(&["backup", "--host", "nas", world.input().to_str().unwrap()]);
    let listing: serde_json::Value = serde_json::from_str(&world.restic(&["snapshots", "--json"])).unwrap();
    assert_eq!(listing[1]["parent"], ours.snapshot.as_str());
    assert_eq!(listing[1]["summary"]["files_changed"], 0);
    assert_eq!(listing[1]["summary"]["files_new"], 0);
}

#[test]
fn several_paths_files_and_nested_paths_are_one_snapshot() {
    let world = World::new();
    for name in ["a/x", "a/y", "b/deep", "c"] {
        fs::create_dir_all(world.input().join(name)).unwrap();
    }
    fs::write(world.input().join("b/deep/file"), "1").unwrap();
    fs::write(world.input().join("b/other"), "2").unwrap();
    let paths = ["b/deep/file", "a", "a/x", "c"].map(|name| world.input().join(name)).to_vec();
    let report = world.backup(&BackupOptions { paths, ..world.backup_options() }).unwrap();
    let listing = world.restic(&["ls", &report.snapshot]);
    let prefix = format!("{}/", world.input().display());
    let names: Vec<_> = listing.lines().filter_map(|line| line.strip_prefix(&prefix)).collect();
    assert_eq!(names, ["a", "a/x", "a/y", "b", "b/deep", "b/deep/file", "c"]);
}

#[test]
fn excludes_tags_host_and_time_are_as_asked_and_a_ledger_is_left_out() {
    let world = World::new();
    for folder in [".docs.dr/runs", ".mine.dr", "docs/cache"] {
        fs::create_dir_all(world.input().join(folder)).unwrap();
    }
    for file in ["docs/cache/x", "docs/a.tmp", "docs/keep.tmp", "docs/b", "skipped"] {
        fs::write(world.input().join(file), "x").unwrap();
    }
    let options = BackupOptions {
        excludes: vec!["*.tmp".into(), "!keep.tmp".into(), "/docs/cache/".into()],
        tags: vec!["one".into(), "two".into()],
        time: Some("2025-03-04T05:06:07.5+01:00[+01:00]".parse().unwrap()),
        skip: vec![world.input().join("skipped")],
        ..world.backup_options()
    };
    let report = world.backup(&options).unwrap();
    let listing = world.restic(&["ls", &report.snapshot]);
    let prefix = format!("{}/", world.input().display());
    let names: Vec<_> = listing.lines().filter_map(|line| line.strip_prefix(&prefix)).collect();
    assert_eq!(names, [".mine.dr", "docs", "docs/b", "docs/keep.tmp"]);
    let snapshots: serde_json::Value = serde_json::from_str(&world.restic(&["snapshots", "--json"])).unwrap();
    assert_eq!(snapshots[0]["tags"], serde_json::json!(["one", "two"]));
    assert_eq!(snapshots[0]["hostname"], "nas");
    assert_eq!(snapshots[0]["time"], "2025-03-04T05:06:07.5+01:00");
    assert_eq!(report.time, "2025-03-04T05:06:07.5+01:00");
}

#[test]
fn what_is_wrong_with_a_path_is_said_before_anything_is_written() {
    let world = World::new();
    let with = |path: PathBuf| world.backup(&BackupOptions { paths: vec![path], ..world.backup_options() });
    assert!(source_error(with(world.input().join("missing"))).contains("No such file"));
    assert!(source_error(with("relative".into())).contains("absolute"));
    assert!(source_error(with(world.input().join("../in"))).contains("`..`"));
    std::os::unix::fs::symlink("/etc", world.input().join("link")).unwrap();
    assert!(source_error(with(world.input().join("link"))).contains("symbolic link to /etc"));
    let bad = BackupOptions { excludes: vec!["[z-a]".into()], ..world.backup_options() };
    assert!(matches!(world.backup(&bad), Err(EngineError::Pattern { pattern, .. }) if pattern == "[z-a]"));
    for folder in ["data", "snapshots", "index"] {
        assert_eq!(fs::read_dir(world.repository().join(folder)).unwrap().count(), 0, "{folder}");
    }
}

#[test]
fn a_repository_inside_what_it_backs_up_is_refused_unless_excluded() {
    let world = World::new();
    let outer = BackupOptions {
        paths: vec![world.folder.path().to_path_buf()],
        repository: Some(world.repository()),
        ..world.backup_options()
    };
    assert!(source_error(world.backup(&outer)).contains("holds the repository itself"));
    let inner = BackupOptions { paths: vec![world.repository().join("keys")], ..outer.clone() };
    assert!(source_error(world.backup(&inner)).contains("lies in the repository"));
    world.backup(&BackupOptions { excludes: vec!["/repository".into()], ..outer }).unwrap();
}

/// A file that the system says is longer than what can be read of it, for every user: the kernel's own do this.
fn unreadable() -> Option<PathBuf> {
    let candidates =
        ["/sys/kernel/mm/transparent_hugepage", "/sys/devices/system/cpu/online", "/sys/kernel/uevent_seqnum"];
    let shorter = |path: &Path| path.metadata().is_ok_and(|meta| meta.is_file() && meta.len() == 4096);
    candidates.map(PathBuf::from).into_iter().find(|path| shorter(path))
}

#[test]
fn a_file_that_ends_early_fails_the_backup_and_an_incomplete_point_stays() {
    let world = World::new();
    let Some(file) = unreadable() else { panic!("no file of the kernel's is shorter than it says") };
    fs::write(world.input().join("good"), noise(3, 1000)).unwrap();
    let options = BackupOptions { paths: vec![world.input(), file.clone()], ..world.backup_options() };
    let Err(EngineError::Unreadable { count: 1, names, point: Some(point) }) = world.backup(&options) else { panic!() };
    assert!(names[0].starts_with(&format!("{}: ", file.display())), "{names:?}");
    let snapshots: serde_json::Value = serde_json::from_str(&world.restic(&["snapshots", "--json"])).unwrap();
    assert_eq!(snapshots.as_array().unwrap().len(), 1);
    assert_eq!(snapshots[0]["id"], point.as_str());
    assert_eq!(snapshots[0]["tags"], serde_json::json!([INCOMPLETE_TAG]));
    world.restic(&["check", "--read-data"]);

    let report = world.backup(&BackupOptions { on_unreadable: OnUnreadable::Warn, ..options }).unwrap();
    assert_eq!((report.unreadable_count, report.incomplete), (1, true));
    assert_eq!((report.files, report.bytes_processed), (1, 1000), "what could not be read is not in it");

    // Where nothing could be read the point is found by nobody.
    let nothing = BackupOptions { paths: vec![file], on_unreadable: OnUnreadable::Warn, ..world.backup_options() };
    let report = world.backup(&nothing).unwrap();
    assert_eq!((report.files, report.bytes_processed), (0, 0));
    let snapshots: serde_json::Value = serde_json::from_str(&world.restic(&["snapshots", "--json"])).unwrap();
    assert_eq!(snapshots[2]["tags"], serde_json::json!([INCOMPLETE_TAG]));
}

#[test]
fn what_holds_nothing_is_stored_under_a_tag_that_keeps_it_from_being_the_newest() {
    let world = World::new();
    fs::create_dir(world.input().join("folder")).unwrap();
    assert_eq!(world.backup(&world.backup_options()).unwrap().files, 0);
    let safety = BackupOptions { tags: vec!["dr-safety".into()], ..world.backup_options() };
    world.backup(&safety).unwrap();
    fs::write(world.input().join("file"), "").unwrap();
    world.backup(&world.backup_options()).unwrap();
    let snapshots: serde_json::Value = serde_json::from_str(&world.restic(&["snapshots", "--json"])).unwrap();
    let tags: Vec<_> = snapshots.as_array().unwrap().iter().map(|snapshot| snapshot["tags"].clone()).collect();
    let none = serde_json::Value::Null;
    assert_eq!(tags, [serde_json::json!([INCOMPLETE_TAG]), serde_json::json!(["dr-safety"]), none]);
}

#[test]
fn a_file_that_grows_while_it_is_read_is_told_and_stored_as_it_was_seen() {
    use super::reader::Open;
    use super::tally::Tally;
    use rustic_core::ReadSourceOpen;
    use rustic_core::repofile::Metadata;
    use std::io::{Read, Write};
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    fs::write(&path, "first line\n").unwrap();
    let seen = path.metadata().unwrap();
    let meta = Metadata {
        inode: seen.ino(),
        size: seen.len(),
        mtime: Some(seen.modified().unwrap().try_into().unwrap()),
        ..Metadata::default()
    };
    let tally = std::sync::Arc::new(Tally::default());
    let mut reader = Open::new(path.clone(), &meta, &tally).open().unwrap();
    fs::File::options().append(true).open(&path).unwrap().write_all(b"second\n").unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "first line\n");
    let problems = tally.problems();
    assert_eq!((problems.count, problems.names[0].contains("changed while it was read")), (1, true));

    fs::remove_file(&path).unwrap();
    assert!(Open::new(path, &meta, &tally).open().is_err());
    assert_eq!(tally.problems().count, 2);
}

#[test]
fn a_store_that_fails_in_the_middle_leaves_no_snapshot() {
    let world = World::new();
    fs::write(world.input().join("large"), noise(4, 3 << 20)).unwrap();
    let data = world.repository().join("data");
    fs::remove_dir_all(&data).unwrap();
    fs::write(&data, "no folder any more").unwrap();
    assert!(matches!(world.backup(&world.backup_options()), Err(EngineError::Repository { .. })));
    assert_eq!(fs::read_dir(world.repository().join("snapshots")).unwrap().count(), 0);
}
