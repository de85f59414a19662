//! What a backup decides, stores and prunes.

use dr_resources::clock;
use dr_resources::ledger::{JobKind, LastRun, LedgerStore, Phase, Record, Verdict};
use dr_resources::run::{BackupJob, BackupOutcome, FirstBackup, RestoreJob, RunError, When, check_after};

use crate::world::World;

#[tokio::test]
async fn a_backup_is_stored_marked_and_recorded() {
    let world = World::new();
    let result = world.backup(&world.backup_job(), None).await.unwrap();
    assert_eq!(result.outcome, BackupOutcome::Stored);
    assert_eq!((result.items, result.bytes), (3, 27));
    assert!(world.storage.seen("docs").await.unwrap());
    let record = world.storage.read(&result.key).await.unwrap().unwrap();
    assert_eq!((record.last_run(), record.point), (LastRun::Succeeded, result.point));
    assert_eq!(record.incarnation, world.server.incarnation().map(|(id, _)| id), "which one it has read");
    assert!(world.server.root().join("points.dr/seen/docs").exists());
}

#[tokio::test]
async fn a_finished_backup_is_never_adopted() {
    let world = World::new();
    let first = world.backup(&world.backup_job(), None).await.unwrap();
    let second = world.backup(&world.backup_job(), None).await.unwrap();
    assert_ne!(first.point, second.point);
}

#[tokio::test]
async fn a_backup_of_nothing_is_an_error_and_is_not_marked_as_seen() {
    let world = World::new();
    world.server.forget("p0000");
    world.server.empty_volume();
    let error = world.backup(&world.backup_job(), None).await.unwrap_err();
    assert!(error.to_string().contains("holds nothing"), "{error}");
    assert!(!world.storage.seen("docs").await.unwrap());
}

#[tokio::test]
async fn retention_that_fails_is_a_warning_the_backup_is_stored() {
    let world = World::new();
    world.server.set("fail", Some("retain"));
    let result = world.backup(&world.backup_job(), None).await.unwrap();
    assert_eq!(result.outcome, BackupOutcome::Stored);
    assert!(result.warnings[0].contains("retention could not be applied"), "{:?}", result.warnings);
}

#[tokio::test]
async fn a_backup_that_can_not_be_read_back_fails_and_the_next_apply_makes_another() {
    let world = World::new();
    world.server.set("fail", Some("verify"));
    let error = world.backup(&world.backup_job(), None).await.unwrap_err();
    assert!(error.to_string().starts_with("reading the backup back failed"), "{error}");
    assert!(!world.storage.seen("docs").await.unwrap());
    world.server.set("fail", None);
    world.backup(&world.backup_job(), None).await.unwrap();
    assert_eq!(world.server.points().len(), 3);
}

#[tokio::test]
async fn a_cause_that_is_not_asked_for_stores_nothing() {
    let world = World::new();
    let job = BackupJob { on: vec![dr_resources::run::Cause::Destroy], ..world.backup_job() };
    assert_eq!(world.backup(&job, None).await.unwrap().outcome, BackupOutcome::Skipped);
    assert_eq!(world.server.points().len(), 1);
}

#[tokio::test]
async fn after_lets_a_backup_go_on_only_when_the_restore_ended_well() {
    let world = World::lost();
    let restore = world.restore_job();
    world.server.set("fail", Some("restore"));
    world.restore(&restore).await.unwrap_err();
    let error = world.backup(&world.backup_job(), Some(&restore.key())).await.unwrap_err();
    assert!(matches!(error, RunError::After { state: "failed", .. }), "{error}");
    assert_eq!(world.server.points().len(), 1);
    world.server.set("fail", None);
    world.restore(&restore).await.unwrap();
    let result = world.backup(&world.backup_job(), Some(&restore.key())).await.unwrap();
    assert_eq!((result.outcome, result.warnings.len()), (BackupOutcome::Stored, 0));
}

#[tokio::test]
async fn after_a_restore_that_left_no_record_goes_on_with_a_warning() {
    let world = World::new();
    let result = world.backup(&world.backup_job(), Some("0123456789abcdef")).await.unwrap();
    assert!(result.warnings[0].contains("left no record"), "{:?}", result.warnings);
}

#[tokio::test]
async fn after_a_restore_that_died_is_an_error() {
    let world = World::lost();
    let status = world.apply_in_child("restore", Some("phase:writing"));
    assert!(!status.success());
    let error = world.backup(&world.backup_job(), Some(&world.restore_job().key())).await.unwrap_err();
    assert!(matches!(error, RunError::After { state: "has not ended", .. }), "{error}");
}

#[tokio::test]
async fn after_a_restore_that_is_running_waits_for_it() {
    let world = World::lost();
    world.server.set("slow", Some("80"));
    let restore = world.restore_job();
    let (job, key) = (world.backup_job(), restore.key());
    let later = async {
        // The restore has written its record by then.
        tokio::time::sleep(std::time::Duration::from_millis(60)).await;
        world.backup(&job, Some(&key)).await
    };
    let (restored, stored) = tokio::join!(world.restore(&restore), later);
    restored.unwrap();
    assert!(stored.unwrap().warnings.is_empty());
    assert_eq!(world.server.points()[1].files.len(), 3, "it is a backup of the restored volume, whole");
}

#[tokio::test]
async fn after_a_restore_that_is_only_being_undone_waits_for_it_too() {
    let world = World::new();
    let key = world.restore_job().key();
    let mut record = Record::new(JobKind::Restore, &key, "docs", "toy", "volume");
    record.verdict = Some(Verdict::Restored);
    record.phase = Phase::Undoing;
    let held = world.ledger.acquire(&record).await.unwrap();
    held.lease.write(&record).await.unwrap();
    let end = async {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        record.phase = Phase::Done;
        held.lease.write(&record).await.unwrap();
        held.lease.release().await;
    };
    let (checked, ()) = tokio::join!(check_after(&world.ledger, &key), end);
    assert_eq!(checked.unwrap(), None);
}

#[tokio::test]
async fn what_a_restore_filled_only_half_is_not_backed_up() {
    let world = World::new();
    let restore = RestoreJob { when: When::Always, ..world.restore_job() };
    world.server.set("fail", Some("restore"));
    world.restore(&restore).await.unwrap_err();
    world.server.set("fail", None);
    let before = world.server.points().len();
    let error = world.backup(&world.backup_job(), None).await.unwrap_err();
    assert!(matches!(error, dr_resources::run::RunError::HalfRestored { .. }), "{error}");
    assert_eq!(world.server.points().len(), before);
    world.restore(&restore).await.unwrap();
    world.backup(&world.backup_job(), None).await.unwrap();
}

#[tokio::test]
async fn what_a_failed_restore_is_pinned_to_is_not_pruned() {
    let world = World::new();
    let restore = RestoreJob { when: When::Always, ..world.restore_job() };
    world.server.set("fail", Some("restore"));
    world.restore(&restore).await.unwrap_err();
    world.server.set("fail", None);
    world.server.set("keep", Some("1"));
    let job = BackupJob { first_backup: FirstBackup::Allow, ..world.backup_job() };
    for _ in 0..3 {
        world.backup(&job, None).await.unwrap();
    }
    let backups: Vec<_> = world.server.points().into_iter().filter(|point| point.kind == "backup").collect();
    assert_eq!(backups.len(), 2);
    assert_eq!(backups[0].id, "p0000", "the pinned one");
    assert_eq!(world.restore(&restore).await.unwrap().point.unwrap().id, "p0000");
}

#[tokio::test]
async fn the_first_backup_removes_nothing_that_others_stored_and_says_what_the_next_one_will() {
    let world = World::new();
    world.server.set("keep", Some("1"));
    let first = world.backup(&world.backup_job(), None).await.unwrap();
    assert!(first.warnings[0].contains("Retention would remove 1 recovery point that"), "{:?}", first.warnings);
    assert!(!first.warnings[0].contains("  "), "{:?}", first.warnings);
    assert_eq!(world.server.points().len(), 2, "what was there is gone");
    let second = world.backup(&world.backup_job(), None).await.unwrap();
    assert!(second.warnings.is_empty(), "{:?}", second.warnings);
    let ids: Vec<String> = world.server.points().into_iter().map(|point| point.id).collect();
    assert_eq!(ids, [second.point.unwrap().id]);
}

#[tokio::test]
async fn the_first_backup_of_a_second_job_removes_what_is_too_old() {
    let world = World::new();
    world.backup(&world.backup_job(), None).await.unwrap();
    world.server.set("keep", Some("1"));
    let job = BackupJob { name: "second".into(), series: "second".into(), ..world.backup_job() };
    assert!(world.backup(&job, None).await.unwrap().warnings.is_empty());
    assert_eq!(world.server.points().len(), 1);
}

#[tokio::test]
async fn a_backup_beside_points_of_the_future_stays_and_is_told_of() {
    let world = World::new();
    world.server.set("keep", Some("1"));
    let later = clock::now() + jiff::SignedDuration::from_hours(24);
    let mut future = world.server.store("backup", "first", world.server.files());
    world.server.forget(&future.id);
    // Retention of the toy goes by ids, and takes this one for the newest.
    (future.id, future.time) = ("p9999".into(), later);
    world.server.set("points/p9999", Some(&serde_json::to_string(&future).unwrap()));
    let result = world.backup(&world.backup_job(), None).await.unwrap();
    let point = result.point.unwrap();
    assert!(world.server.points().iter().any(|stored| stored.id == point.id), "its own retention removed it");
    assert!(result.warnings[0].contains("a clock is or was wrong"), "{:?}", result.warnings);
    assert!(!result.warnings[0].contains("  "), "{:?}", result.warnings);
}

#[tokio::test]
async fn nothing_is_pruned_where_the_point_of_the_last_run_is_gone() {
    for first_backup in [FirstBackup::Refuse, FirstBackup::Allow] {
        let world = World::new();
        let job = BackupJob { first_backup, ..world.backup_job() };
        let stored = world.backup(&job, None).await.unwrap().point.unwrap();
        world.server.set("keep", Some("1"));
        world.server.forget(&stored.id);
        let result = world.backup(&job, None).await.unwrap();
        assert!(result.warnings[0].contains("which the last run stored, is gone"), "{:?}", result.warnings);
        assert!(!result.warnings[0].contains("  "), "{:?}", result.warnings);
        assert_eq!(world.server.points().len(), 2, "an older point was removed");
        let result = world.backup(&job, None).await.unwrap();
        assert!(result.warnings.is_empty(), "{:?}", result.warnings);
        assert_eq!(world.server.points().len(), 1);
    }
}
