//! What goes, what stays, and that the real restic finds the rest whole.

use super::*;
use crate::engines::restic::locks::Mode;
use crate::engines::restic::notes::Pin;
use crate::engines::restic::source::BackupOptions;
use crate::engines::restic::testing::Lab;
use crate::ledger::PinnedPoint;
use crate::store::local::LocalStore;
use std::sync::Arc;
use std::time::Duration;

fn keep_last(last: u32) -> Keep {
    Keep { last: Some(last), ..Keep::default() }
}

fn request() -> Request {
    Request { mode: Mode::Exclusive, wait: Duration::ZERO, dead: Vec::new(), run: None, dead_runs: Vec::new() }
}

fn notes(lab: &Lab) -> Notes {
    Notes::new(Arc::new(LocalStore::new(lab.folder.path().join("repo.dr"))))
}

fn run(lab: &Lab, keep: &Keep, pinned: &[String]) -> Result<ForgetReport, EngineError> {
    forget(&lab.open().unwrap(), Some(keep), pinned, &notes(lab), &request(), Arc::new(|_| {}), lab.handle())
}

/// What a restore to elsewhere pins.
fn pin(id: &str) -> Pin {
    let time = "2025-10-04T10:00:00Z".parse().unwrap();
    Pin::new("0123456789abcdef", "/mnt/audit", vec![PinnedPoint { id: id.to_owned(), time, bytes: None }])
}

/// Backups of files that grow by one; gives their ids, oldest first.
fn filled(backups: u32) -> (Lab, Vec<String>) {
    let lab = Lab::with_repository();
    let ids = (0..backups)
        .map(|n| {
            let content: Vec<u8> = (0..100_000).map(|_| rand::random()).collect();
            std::fs::write(lab.data().join("file"), &content).unwrap();
            std::fs::write(lab.data().join(format!("file{n}")), &content).unwrap();
            lab.backup(BackupOptions::default()).snapshot
        })
        .collect();
    (lab, ids)
}

fn size(lab: &Lab) -> u64 {
    lab.files("data/").iter().map(|path| std::fs::metadata(path).unwrap().len()).sum()
}

#[test]
fn what_the_policy_drops_goes_with_its_space_and_restic_finds_the_rest_whole() {
    let (lab, ids) = filled(4);
    std::fs::remove_file(lab.data().join("file0")).unwrap();
    let last = lab.backup(BackupOptions::default()).snapshot;
    let before = size(&lab);
    let report = run(&lab, &keep_last(1), &ids[3..]).unwrap();
    assert_eq!((report.removed.len(), report.kept), (3, 2));
    assert!(report.removed.iter().all(|id| ids[..3].contains(id)));
    assert!(run(&lab, &keep_last(1), &[]).unwrap().removed == ids[3..]);
    assert!(size(&lab) < before - 90_000, "file0's space is free");
    let check = lab.restic_ok(&["check", "--read-data"]);
    assert!(check.contains("no errors were found") && !check.contains("additional"), "{check}");
    assert!(lab.restic_ok(&["snapshots"]).contains(&last[..8]));
    assert_eq!(lab.files("locks/").len(), 0);
}

#[test]
fn what_a_restore_elsewhere_needs_stays_until_it_has_ended() {
    let (lab, ids) = filled(3);
    let notes = notes(&lab);
    lab.runtime.block_on(notes.pin("mark", &pin(&ids[0]))).unwrap();
    let report = run(&lab, &keep_last(1), &[]).unwrap();
    assert_eq!((report.removed.as_slice(), report.kept), (&ids[1..2], 2));
    let said = &report.warnings[0];
    assert!(said.contains("stays for the restore to /mnt/audit on"), "{said}");
    let file = format!("noted in pins/mark.json in {}", lab.folder.path().join("repo.dr").display());
    assert!(said.contains(&file) && said.contains("remove that file"), "{said}");
    lab.runtime.block_on(notes.unpin(&["another"])).unwrap();
    assert_eq!(run(&lab, &keep_last(1), &[]).unwrap().removed.len(), 0);
    lab.runtime.block_on(notes.unpin(&["another", "mark"])).unwrap();
    let report = run(&lab, &keep_last(1), &[]).unwrap();
    assert_eq!((report.removed.as_slice(), report.warnings.len()), (&ids[..1], 0));
}

#[test]
fn what_is_pinned_while_the_lock_is_waited_for_stays_too() {
    let (lab, ids) = filled(3);
    let (folder, json) = (lab.folder.path().join("repo.dr/pins"), serde_json::to_vec(&pin(&ids[0])).unwrap());
    let pins: Hear = Arc::new(move |_| {
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("mark.json"), &json).unwrap();
    });
    let opened = lab.open().unwrap();
    let report = forget(&opened, Some(&keep_last(1)), &[], &notes(&lab), &request(), pins, lab.handle()).unwrap();
    assert_eq!(report.removed, ids[1..2]);
}

#[test]
fn a_pin_that_can_not_be_read_keeps_everything() {
    let (lab, _) = filled(2);
    let pins = lab.folder.path().join("repo.dr/pins");
    std::fs::create_dir_all(&pins).unwrap();
    for (damaged, said) in
        [("", "EOF"), (r#"{"version":2,"run":"","target":"","host":"","points":[]}"#, "newer provider")]
    {
        std::fs::write(pins.join("mark.json"), damaged).unwrap();
        let error = run(&lab, &keep_last(1), &[]).unwrap_err().to_string();
        assert!(error.contains("pins/mark.json in ") && error.contains(said), "{error}");
    }
    assert_eq!(lab.files("snapshots/").len(), 2);
}

#[test]
fn space_that_a_killed_run_owed_is_freed_although_no_point_goes_any_more() {
    let (lab, ids) = filled(3);
    std::fs::remove_file(lab.data().join("file0")).unwrap();
    lab.backup(BackupOptions::default());
    // As far as it came: the points are gone, what they held is not.
    lab.runtime.block_on(notes(&lab).owe_prune()).unwrap();
    let gone: Vec<_> = ids.iter().map(|id| id.parse().unwrap()).collect();
    lab.open().unwrap().repository.delete_snapshots(&gone).unwrap();
    let before = size(&lab);
    let report = run(&lab, &keep_last(1), &[]).unwrap();
    assert_eq!((report.removed.len(), report.kept), (0, 1));
    assert!(size(&lab) < before - 90_000, "file0's space is free");
    assert!(!lab.runtime.block_on(notes(&lab).is_prune_owed()).unwrap());
    lab.restic_ok(&["check", "--read-data"]);
}

#[test]
fn space_that_is_owed_is_freed_also_without_a_policy_which_removes_nothing() {
    let (lab, ids) = filled(2);
    let safety = || BackupOptions { tags: vec![points::SAFETY_TAG.to_owned()], ..BackupOptions::default() };
    (0..SAFETY_KEPT + 1).for_each(|_| drop(lab.backup(safety())));
    std::fs::remove_file(lab.data().join("file0")).unwrap();
    lab.backup(BackupOptions::default());
    let without = || {
        let hear: Hear = Arc::new(|_| {});
        forget(&lab.open().unwrap(), None, &[], &notes(&lab), &request(), hear, lab.handle()).unwrap()
    };
    let (before, points) = (size(&lab), lab.files("snapshots/").len());
    assert_eq!((without().removed.len(), size(&lab)), (0, before));
    lab.runtime.block_on(notes(&lab).owe_prune()).unwrap();
    let gone: Vec<_> = ids[..1].iter().map(|id| id.parse().unwrap()).collect();
    lab.open().unwrap().repository.delete_snapshots(&gone).unwrap();
    let report = without();
    assert_eq!((report.removed.len(), report.kept), (0, points as u64 - 1));
    assert_eq!(lab.files("snapshots/").len(), points - 1);
    assert!(!lab.runtime.block_on(notes(&lab).is_prune_owed()).unwrap());
    lab.restic_ok(&["check", "--read-data"]);
}

#[test]
fn a_repository_in_use_is_left_as_it_is_with_a_warning() {
    let (lab, _) = filled(2);
    let opened = lab.open().unwrap();
    let shared = Request { mode: Mode::Shared, ..request() };
    let lock = locks::acquire(&lab.store, &opened.key, &shared, Arc::new(|_| {}), lab.handle()).unwrap();
    let report = run(&lab, &keep_last(1), &[]).unwrap();
    assert_eq!((report.removed.len(), report.kept), (0, 2));
    assert!(report.warnings[0].contains("the next run does it"), "{:?}", report.warnings);
    drop(lock);
    assert_eq!(run(&lab, &keep_last(1), &[]).unwrap().removed.len(), 1);
}

fn point(id: u32, tag: Option<&str>, bytes: u64) -> Point {
    let phase = match tag {
        Some(points::SAFETY_TAG) => Phase::Safety,
        Some(_) => Phase::Incomplete,
        None => Phase::Complete,
    };
    Point {
        id: format!("{id:064}"),
        time: Some(format!("2025-10-{id:02}T10:00:00Z")),
        host: "nas".into(),
        paths: vec!["/srv".into()],
        tags: tag.map(str::to_owned).into_iter().collect(),
        bytes: Some(bytes),
        items: Some(1),
        phase,
        program_version: "test".into(),
        parent: None,
    }
}

fn removed(points: &[Point], keep: &Keep) -> Vec<u32> {
    let mut removed: Vec<u32> = choose(points, keep, &[]).removed.iter().map(|id| id.parse().unwrap()).collect();
    removed.sort_unstable();
    removed
}

#[test]
fn each_host_and_each_set_of_paths_has_its_own_newest() {
    let mut points: Vec<_> = (1..=6).rev().map(|id| point(id, None, 100)).collect();
    points[1].host = "laptop".into();
    points[2].paths = vec!["/srv".into(), "/etc".into()];
    points[3].paths = vec!["/etc".into(), "/srv".into()];
    assert_eq!(removed(&points, &keep_last(1)), [1, 2, 3]);
}

#[test]
fn three_safety_points_stay_and_an_incomplete_one_pushes_no_whole_one_out() {
    let safety = |id| point(id, Some(points::SAFETY_TAG), 100);
    let mut points = vec![point(20, Some("dr-incomplete"), 100), Point { items: Some(0), ..point(19, None, 0) }];
    points.extend((10..15).rev().map(safety));
    points.extend([point(2, None, 100), point(1, None, 100)]);
    assert_eq!(removed(&points, &keep_last(1)), [1, 10, 11, 19]);
}

#[test]
fn a_newest_point_that_shrank_suspends_retention_with_a_warning() {
    let mut points: Vec<_> = (1..=5).rev().map(|id| point(id, None, 100)).collect();
    points[0].bytes = Some(1);
    let report = choose(&points, &keep_last(1), &[]);
    assert_eq!((report.removed.len(), report.warnings.len()), (0, 1));
    points[0].bytes = Some(50);
    assert_eq!(removed(&points, &keep_last(1)), [1, 2, 3, 4]);
}
