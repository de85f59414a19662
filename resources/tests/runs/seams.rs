//! The scenarios that broke simpler designs, by their number: `docs/design/0014-scenarios-by-number.md` says what each is.

use std::time::Duration;

use dr_resources::engines::toy::Toy;
use dr_resources::ledger::{LastRun, LedgerStore, Triggers, Verdict};
use dr_resources::run::{
    BackupJob, BackupOutcome, Cancel, OnMissing, Outcome, PointChoice, Points, RestoreJob, RunError, TargetState, When,
};

use crate::world::World;

#[tokio::test]
async fn b1_a_rebuild_brings_the_data_back_before_anything_is_backed_up() {
    let world = World::lost();
    let restore = world.restore_job();
    // Not before the restore: the volume is gone, its history is not.
    let error = world.backup(&world.backup_job(), None).await.unwrap_err();
    assert!(matches!(error, RunError::FirstBackup { .. }), "{error}");
    world.restore(&restore).await.unwrap();
    let stored = world.backup(&world.backup_job(), Some(&restore.key())).await.unwrap();
    assert_eq!(stored.outcome, BackupOutcome::Stored);
    assert_eq!(world.server.points().last().unwrap().files, world.server.files());
}

#[tokio::test]
async fn b1_a_newborn_volume_is_not_stored_over_older_points() {
    let world = World::lost();
    // The application came up without its data and made itself a new volume.
    world.server.write_file("welcome", "fresh install");
    let error = world.backup(&world.backup_job(), None).await.unwrap_err();
    assert!(matches!(error, RunError::FirstBackup { count: 1, .. }), "{error}");
    assert!(error.to_string().contains("first_backup = \"allow\""), "{error}");
    assert_eq!(world.server.points().len(), 1);
    let job = BackupJob { first_backup: dr_resources::run::FirstBackup::Allow, ..world.backup_job() };
    assert_eq!(world.backup(&job, None).await.unwrap().outcome, BackupOutcome::Stored);
}

#[tokio::test]
async fn b1_a_safety_backup_is_never_what_newest_means() {
    let world = World::new();
    world.server.write_file("a", "garbage");
    let job = RestoreJob { when: When::Always, ..world.restore_job() };
    world.restore(&job).await.unwrap();
    assert_eq!(world.server.points().last().unwrap().kind, "safety");
    world.server.lose_volume();
    let result = world.restore(&job).await.unwrap();
    assert_eq!(result.point.unwrap().id, "p0000");
}

#[test]
fn b2_two_targets_with_the_same_triggers_are_two_runs() {
    let world = World::new();
    let job = |target: &str| RestoreJob { target: target.into(), ..world.restore_job() }.key();
    assert_ne!(job("pvc-a"), job("pvc-b"));
}

#[tokio::test]
async fn b2_the_run_of_last_month_is_not_adopted_for_another_volume() {
    let world = World::lost();
    let first = world.restore(&world.restore_job()).await.unwrap();
    // The drill: the application is destroyed, the cluster stays, the same configuration is applied.
    world.server.lose_volume();
    let second = world.restore(&world.restore_job()).await.unwrap();
    assert!(!second.adopted);
    assert_eq!(first.key, second.key);
    assert_ne!(first.incarnation, second.incarnation);
    assert_eq!(world.server.files().len(), 3);
    assert_eq!(world.server.effective_restores(), 2);
}

#[tokio::test]
async fn b2_a_run_whose_target_was_emptied_is_not_adopted() {
    let world = World::lost();
    world.restore(&world.restore_job()).await.unwrap();
    world.server.empty_volume();
    let result = world.restore(&world.restore_job()).await.unwrap();
    assert!(!result.adopted && result.outcome == Outcome::Restored);
    assert_eq!(world.server.files().len(), 3);
}

#[tokio::test]
async fn b2_another_volume_of_the_same_name_is_another_target_whatever_it_holds() {
    let world = World::new();
    let job = RestoreJob { when: When::Always, ..world.restore_job() };
    world.restore(&job).await.unwrap();
    world.server.lose_volume();
    world.server.write_file("welcome", "fresh install");
    assert!(!world.restore(&job).await.unwrap().adopted);
    assert_eq!(world.server.files()["a"], "one");
}

#[tokio::test]
async fn b2_a_lost_or_copied_state_adopts_what_the_ledger_holds() {
    let world = World::lost();
    world.restore(&world.restore_job()).await.unwrap();
    world.server.write_file("since", "new work");
    // Another workspace, another machine's copy: all they have is the configuration. `always` would overwrite.
    let elsewhere = World::open(world.server.root());
    let job = RestoreJob { when: When::Always, ..elsewhere.restore_job() };
    let result = elsewhere.restore(&job).await.unwrap();
    assert!(result.adopted);
    assert_eq!(elsewhere.server.files()["since"], "new work");
}

#[tokio::test]
async fn b2_a_failed_run_is_tried_again_with_its_pin_although_newer_points_appeared() {
    let world = World::lost();
    world.server.set("fail", Some("restore"));
    world.restore(&world.restore_job()).await.unwrap_err();
    world.server.set("fail", None);
    world.server.store("backup", "torn", [("a".to_owned(), "half".to_owned())].into());
    let result = world.restore(&world.restore_job()).await.unwrap();
    assert_eq!(result.point.unwrap().id, "p0000");
    assert_eq!(world.record(&world.restore_job()).await.unwrap().attempt, 2);
}

#[tokio::test]
async fn b3_a_rebuilt_server_is_another_run() {
    let world = World::lost();
    let before = world.restore(&world.restore_job()).await.unwrap();
    world.server.replace();
    let after = world.restore(&world.restore_job()).await.unwrap();
    assert_ne!(before.key, after.key);
    assert_eq!(after.outcome, Outcome::Restored);
}

#[tokio::test]
async fn b4_an_unreachable_server_is_no_lost_target() {
    let world = World::new();
    world.server.set("unreachable", Some(""));
    let error = world.restore(&world.restore_job()).await.unwrap_err();
    assert!(error.to_string().contains("can't be reached"), "{error}");
    world.server.set("unreachable", None);
    assert_eq!(world.restore(&world.restore_job()).await.unwrap().outcome, Outcome::NotNeeded);
    assert_eq!(world.server.effective_restores(), 0);
}

#[tokio::test]
async fn b6_half_a_volume_is_not_started() {
    let world = World::lost();
    world.server.set("fail", Some("restore"));
    let error = world.restore(&world.restore_job()).await.unwrap_err();
    assert!(error.to_string().contains("stays paused"), "{error}");
    assert_eq!(world.server.read("app").as_deref(), Some("0"));
    world.server.tick();
    assert_eq!(world.server.count("schedule ran"), 0);
    world.server.set("fail", None);
    world.restore(&world.restore_job()).await.unwrap();
    // It is three replicas again, not the none that the second attempt found.
    assert_eq!(world.server.read("app").as_deref(), Some("3"));
    assert_eq!(world.server.count("resumed app"), 1);
}

#[tokio::test]
async fn b6_an_interrupt_stops_waiting_and_undoes_nothing() {
    let world = World::lost();
    world.server.set("slow", Some("100"));
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        stop.send_replace(true);
    };
    let job = world.restore_job();
    let started = std::time::Instant::now();
    let (result, ()) = tokio::join!(world.restore_until(&job, Cancel::new(stopped)), stopping);
    let error = result.unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(2));
    assert!(error.to_string().contains("Apply again: it goes on from there"), "{error}");
    assert_eq!(world.server.read("app").as_deref(), Some("0"));
    assert_eq!(world.record(&job).await.unwrap().last_run(), LastRun::Unfinished);
    world.server.set("slow", None);
    assert_eq!(world.restore(&job).await.unwrap().outcome, Outcome::Restored);
    assert_eq!((world.server.effective_restores(), world.server.count("resumed app")), (1, 1));
}

#[tokio::test]
async fn b6_the_schedule_is_paused_first_and_resumed_last() {
    let world = World::lost();
    world.restore(&world.restore_job()).await.unwrap();
    let events = world.server.events();
    assert_eq!((events.first(), events.last()), (Some(&"paused schedule".into()), Some(&"resumed schedule".into())));
}

#[tokio::test]
async fn b6_a_schedule_that_the_user_had_paused_stays_paused() {
    let world = World::lost();
    world.server.set("schedule", Some("paused"));
    world.restore(&world.restore_job()).await.unwrap();
    assert_eq!(world.server.read("schedule").as_deref(), Some("paused"));
}

#[tokio::test]
async fn b6_what_a_dead_run_left_paused_is_resumed_by_a_run_with_other_triggers() {
    let world = World::lost();
    assert!(!world.apply_in_child("restore", Some("phase:writing")).success());
    assert_eq!(world.server.read("app").as_deref(), Some("0"));
    let triggers: Triggers = [("again".to_owned(), Some("1".to_owned()))].into();
    let job = RestoreJob { triggers, ..world.restore_job() };
    assert_eq!(world.restore(&job).await.unwrap().outcome, Outcome::Restored);
    assert_eq!(world.server.read("app").as_deref(), Some("3"));
    assert_eq!(world.server.count("resumed app"), 1);
    assert!(world.ledger.list().await.unwrap().iter().all(|record| !record.owes_undo()));
}

#[tokio::test]
async fn b9_the_point_is_pinned_before_the_safety_backup() {
    let world = World::new();
    world.server.write_file("a", "garbage");
    let job = RestoreJob { when: When::Always, ..world.restore_job() };
    let status = world.apply_in_child("overwrite", Some("phase:safety"));
    assert!(!status.success());
    let record = world.record(&job).await.unwrap();
    assert_eq!((record.point.unwrap().id.as_str(), record.safety_point), ("p0000", None));
}

#[tokio::test]
async fn b11_unreachable_storage_is_never_nothing_there() {
    let world = World::lost();
    world.server.forget("p0000");
    world.server.set("fail", Some("list"));
    let job = RestoreJob { on_missing: OnMissing::Skip, ..world.restore_job() };
    assert!(matches!(world.restore(&job).await.unwrap_err(), RunError::BeforeWriting { .. }));
    assert!(Toy(world.server.clone()).list().await.is_err());
}

#[tokio::test]
async fn b12_a_drill_stores_nothing() {
    let world = World::new();
    let job = BackupJob { drill: true, ..world.backup_job() };
    let result = world.backup(&job, None).await.unwrap();
    assert_eq!((result.outcome, result.warnings.len()), (BackupOutcome::Skipped, 1));
    assert_eq!(world.server.points().len(), 1);
    assert!(!world.server.root().join("points.dr").exists());
}

#[tokio::test]
async fn m5_skip_needs_proof_that_this_is_the_first_use() {
    let skip = |world: &World| RestoreJob { on_missing: OnMissing::Skip, ..world.restore_job() };
    let world = World::lost();
    world.server.forget("p0000");
    world.server.set("packs", Some("data of no point"));
    let error = world.restore(&skip(&world)).await.unwrap_err();
    assert!(matches!(error, RunError::NotFirstUse { .. }), "{error}");
    world.server.set("packs", None);
    let result = world.restore(&skip(&world)).await.unwrap();
    assert_eq!(result.outcome, Outcome::SkippedNoPoints);
    assert_eq!(result.warnings.len(), 1);
    assert!(world.server.events().is_empty());
}

#[tokio::test]
async fn m5_points_that_are_gone_although_a_backup_succeeded_are_an_error() {
    let world = World::new();
    world.backup(&world.backup_job(), None).await.unwrap();
    for point in world.server.points() {
        world.server.forget(&point.id);
    }
    world.server.lose_volume();
    let job = RestoreJob { on_missing: OnMissing::Skip, ..world.restore_job() };
    let error = world.restore(&job).await.unwrap_err();
    assert!(error.to_string().contains("its points are gone"), "{error}");
}

#[tokio::test]
async fn m5_a_near_miss_is_named() {
    let world = World::lost();
    world.server.forget("p0000");
    world.server.set("near", Some("`paperless` holds 312 points"));
    let job = RestoreJob { on_missing: OnMissing::Skip, ..world.restore_job() };
    let result = world.restore(&job).await.unwrap();
    assert!(result.warnings[0].contains("`paperless` holds 312 points"), "{:?}", result.warnings);
}

#[tokio::test]
async fn m8_a_target_that_can_not_be_told_is_an_error_not_a_restore_and_not_a_skip() {
    let world = World::new();
    world.server.set("blind", Some(""));
    let error = world.restore(&world.restore_job()).await.unwrap_err();
    assert!(matches!(error, RunError::Undecided { .. }), "{error}");
    assert!(world.server.events().is_empty());
    assert_eq!(When::TargetMissing.is_met(TargetState::Unknown), None);
}

#[tokio::test]
async fn m9_a_hand_over_is_decided_once() {
    let world = World::lost();
    let job = RestoreJob { perform: false, ..world.restore_job() };
    let first = world.restore(&job).await.unwrap();
    assert_eq!(first.outcome, Outcome::HandedOver);
    // The owner recovered from it, and newer points came.
    world.fill();
    world.server.store("backup", "later", world.server.files());
    let again = world.restore(&job).await.unwrap();
    assert_eq!((again.outcome, again.point), (Outcome::HandedOver, first.point));
    assert_eq!(world.record(&job).await.unwrap().verdict, Some(Verdict::HandedOver));
}

#[tokio::test]
async fn m14_a_final_backup_is_made_only_when_it_is_asked_for() {
    use dr_resources::run::{BackupParts, Cause, backup};
    let world = World::new();
    let toy = Toy(world.server.clone());
    let parts =
        BackupParts { ledger: &world.storage, after: None, others: vec![], engine: &toy, cancel: Cancel::never() };
    let outcome = |on: Vec<Cause>| {
        let job = BackupJob { on, ..world.backup_job() };
        let parts = &parts;
        async move { backup(&job, Cause::Destroy, parts).await.unwrap().outcome }
    };
    assert_eq!(outcome(vec![Cause::Create, Cause::Triggers]).await, BackupOutcome::Skipped);
    assert_eq!(outcome(vec![Cause::Destroy]).await, BackupOutcome::Stored);
}

#[tokio::test]
async fn m22_apply_restores_exactly_the_point_that_the_plan_showed() {
    let world = World::lost();
    world.server.store("backup", "since the plan", [("a".to_owned(), "newer than all of it".to_owned())].into());
    let job = RestoreJob { approved: Some("p0000".into()), ..world.restore_job() };
    assert_eq!(world.restore(&job).await.unwrap().point.unwrap().id, "p0000");
}

#[tokio::test]
async fn minor_17_what_is_missing_or_empty_needs_no_safety_backup_and_what_is_unknown_fails() {
    let world = World::new();
    world.server.empty_volume();
    world.server.set("fail", Some("safety"));
    world.restore(&world.restore_job()).await.unwrap();
    let world = World::new();
    world.server.set("blind", Some(""));
    let job = RestoreJob { when: When::Always, ..world.restore_job() };
    let error = world.restore(&job).await.unwrap_err();
    assert!(matches!(error, RunError::SafetyUndecided { .. }), "{error}");
    assert!(world.server.events().is_empty());
}

#[tokio::test]
async fn minor_19_something_has_to_come_back() {
    let world = World::lost();
    world.server.set("fail", Some("nothing"));
    let job = RestoreJob { recovery_point: PointChoice::Id("p0000".into()), ..world.restore_job() };
    assert!(matches!(world.restore(&job).await.unwrap_err(), RunError::RestoredNothing { .. }));
}
