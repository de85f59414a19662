//! What a restore decides, and what follows from its failures.

use std::time::Duration;

use dr_resources::engines::toy::StoredPoint;
use dr_resources::ledger::{JobKind, LastRun, LedgerStore, Phase, Record, UndoStep, Verdict};
use dr_resources::run::{Cancel, NoPoint, OnFailure, OnMissing, Outcome, PointChoice, RestoreJob, RunError, When};

use crate::world::World;

fn triggers(release: &str) -> dr_resources::ledger::Triggers {
    [("release".to_owned(), Some(release.to_owned()))].into()
}

fn newer_point(world: &World) -> StoredPoint {
    world.server.store("backup", "later", [("a".to_owned(), "newer than all".to_owned())].into())
}

#[tokio::test]
async fn a_lost_volume_comes_back_and_everything_around_it_runs_again() {
    let world = World::lost();
    let job = RestoreJob { rto: Some(Duration::from_secs(60)), ..world.restore_job() };
    let result = world.restore(&job).await.unwrap();
    assert_eq!(result.outcome, Outcome::Restored);
    assert_eq!((result.items, result.bytes), (3, 27));
    assert_eq!(result.rto_met, Some(true));
    assert!(result.decision.contains("the volume does not exist"), "{}", result.decision);
    assert_eq!(result.incarnation, world.server.incarnation().map(|(id, _)| id));
    assert_eq!(
        world.server.events(),
        ["paused schedule", "stopped app", "resumed app", "resumed schedule"],
        "nothing else, and in this order"
    );
    let record = world.record(&job).await.unwrap();
    assert_eq!((record.phase, record.verdict), (Phase::Done, Some(Verdict::Restored)));
    assert_eq!(record.counts.total_files, Some(3));
}

#[tokio::test]
async fn a_volume_that_is_there_is_not_looked_at_further() {
    let world = World::new();
    world.server.set("fail", Some("list"));
    let result = world.restore(&world.restore_job()).await.unwrap();
    assert_eq!(result.outcome, Outcome::NotNeeded);
    assert!(result.warnings.is_empty() && world.server.events().is_empty());
    assert_eq!(world.record(&world.restore_job()).await.unwrap().last_run(), LastRun::Succeeded);
}

#[tokio::test]
async fn a_restore_that_was_planned_and_is_not_needed_any_more_says_so() {
    let world = World::new();
    let job = RestoreJob { approved: Some("p0000".into()), ..world.restore_job() };
    let result = world.restore(&job).await.unwrap();
    assert_eq!(result.outcome, Outcome::NotNeeded);
    assert!(
        result.warnings[0].starts_with("Nothing was restored, though the plan said that it would be: "),
        "{result:?}"
    );
}

#[tokio::test]
async fn a_job_that_restores_something_else_under_a_name_that_ran_is_not_restored_and_is_told() {
    let world = World::lost();
    world.restore(&world.restore_job()).await.unwrap();
    for when in [When::TargetMissing, When::Always] {
        let other = RestoreJob { restores: "a part of it".into(), when, ..world.restore_job() };
        let result = world.restore(&other).await.unwrap();
        assert_eq!(result.outcome, Outcome::NotNeeded);
        assert!(result.warnings[0].contains("restored something else"), "{:?}", result.warnings);
    }
    assert_eq!(world.record(&world.restore_job()).await.unwrap().verdict, Some(Verdict::Restored));
}

#[tokio::test]
async fn an_empty_volume_is_restored_only_when_the_job_says_so() {
    let world = World::new();
    world.server.empty_volume();
    let job = RestoreJob { when: When::TargetMissing, ..world.restore_job() };
    assert_eq!(world.restore(&job).await.unwrap().outcome, Outcome::NotNeeded);
    assert_eq!(world.restore(&world.restore_job()).await.unwrap().outcome, Outcome::Restored);
}

#[tokio::test]
async fn applying_again_adopts_the_run_and_says_so() {
    let world = World::lost();
    let first = world.restore(&world.restore_job()).await.unwrap();
    let again = world.restore(&world.restore_job()).await.unwrap();
    assert!(again.adopted && again.outcome == Outcome::Restored);
    assert_eq!(again.point, first.point);
    assert!(again.warnings[0].contains("nothing was restored now"), "{:?}", again.warnings);
    assert_eq!(world.server.effective_restores(), 1);
}

#[tokio::test]
async fn with_when_always_it_runs_once_for_each_value_of_its_triggers() {
    let world = World::new();
    let job = |release| RestoreJob { when: When::Always, triggers: triggers(release), ..world.restore_job() };
    for (release, restores) in [("1", 1), ("1", 1), ("2", 2), ("1", 2), ("2", 2)] {
        assert_eq!(world.restore(&job(release)).await.unwrap().outcome, Outcome::Restored);
        assert_eq!(world.server.effective_restores(), restores, "{release}");
    }
}

#[tokio::test]
async fn a_failure_before_the_first_write_undoes_everything() {
    for fail in ["readable", "list", "probe", "application", "safety", "early:restore"] {
        let world = World::new();
        world.server.set("fail", Some(fail));
        let job = RestoreJob { when: When::Always, ..world.restore_job() };
        let error = world.restore(&job).await.unwrap_err();
        assert!(matches!(error, RunError::BeforeWriting { .. }), "{fail}: {error}");
        assert_eq!(world.server.read("app").as_deref(), Some("3"), "{fail}");
        assert_eq!(world.server.read("schedule").as_deref(), Some("active"), "{fail}");
        assert_eq!(world.server.files().len(), 3);
        assert_eq!(world.record(&job).await.unwrap().last_run(), LastRun::Failed, "{fail}");
        world.server.set("fail", None);
        assert_eq!(world.restore(&job).await.unwrap().outcome, Outcome::Restored);
        assert_eq!(world.server.effective_restores(), 1);
    }
}

#[tokio::test]
async fn a_failure_that_can_not_be_undone_is_undone_by_the_next_apply() {
    let world = World::lost();
    world.server.set("fail", Some("undo"));
    let error = world.restore(&world.restore_job()).await.unwrap_err();
    assert!(matches!(error, RunError::Undo { .. }), "{error}");
    let record = world.record(&world.restore_job()).await.unwrap();
    assert_eq!((record.last_run(), record.phase), (LastRun::Unfinished, Phase::Undoing));
    world.server.set("fail", None);
    assert_eq!(world.restore(&world.restore_job()).await.unwrap().outcome, Outcome::Restored);
    assert_eq!((world.server.effective_restores(), world.server.count("resumed app")), (1, 1));
}

#[tokio::test]
async fn on_failure_resume_starts_the_application_and_the_next_apply_still_restores() {
    let world = World::lost();
    world.server.set("fail", Some("restore"));
    let job = RestoreJob { on_failure: OnFailure::Resume, ..world.restore_job() };
    let error = world.restore(&job).await.unwrap_err();
    assert!(error.to_string().contains("runs again"), "{error}");
    assert_eq!(world.server.read("app").as_deref(), Some("3"));
    world.server.set("fail", None);
    // The target is there, half: `when` is not asked again.
    assert_eq!(world.restore(&job).await.unwrap().outcome, Outcome::Restored);
    assert_eq!(world.server.files().len(), 3);
    assert_eq!(world.server.read("app").as_deref(), Some("3"));
}

#[tokio::test]
async fn on_failure_roll_back_restores_what_was_there() {
    let world = World::new();
    world.server.write_file("a", "changed since");
    let job = RestoreJob { on_failure: OnFailure::RollBack, when: When::Always, ..world.restore_job() };
    world.server.set("fail", Some("verify"));
    let result = world.restore(&job).await.unwrap();
    assert_eq!(result.outcome, Outcome::RolledBack);
    assert_eq!(world.server.files()["a"], "changed since");
    assert_eq!(world.server.read("app").as_deref(), Some("3"));
    assert!(result.warnings[0].contains("checking what was restored failed"), "{:?}", result.warnings);
    // The ledger calls it what it is.
    assert_eq!(world.record(&job).await.unwrap().last_run(), LastRun::Failed);
}

#[tokio::test]
async fn a_roll_back_that_can_not_be_shown_to_have_worked_is_none() {
    let world = World::new();
    let job = RestoreJob { on_failure: OnFailure::RollBack, when: When::Always, ..world.restore_job() };
    world.server.set("fail", Some("verify verify_safety"));
    let error = world.restore(&job).await.unwrap_err();
    let said = "was restored, and it can't be shown that it is back (the toy was told to fail at verify_safety)";
    assert!(matches!(error, RunError::AfterWriting { .. }) && error.to_string().contains(said), "{error}");
    assert_eq!(world.server.events(), ["paused schedule", "stopped app"], "nothing is started on it");
    assert!(world.record(&job).await.unwrap().left_half());
    // The next apply takes it up.
    world.server.set("fail", None);
    assert_eq!(world.restore(&job).await.unwrap().outcome, Outcome::Restored);
    assert_eq!(world.server.read("app").as_deref(), Some("3"));
}

#[tokio::test]
async fn what_was_written_and_can_not_be_looked_at_is_not_started() {
    let world = World::lost();
    world.server.set("fail", Some("early:verify"));
    let error = world.restore(&world.restore_job()).await.unwrap_err();
    assert!(matches!(error, RunError::AfterWriting { .. }), "{error}");
    assert_eq!(world.server.events(), ["paused schedule", "stopped app"]);
}

#[tokio::test]
async fn what_came_after_a_roll_back_is_saved_before_the_next_attempt_and_brought_back_if_that_fails_too() {
    let world = World::new();
    world.server.write_file("a", "changed since");
    let job = RestoreJob { on_failure: OnFailure::RollBack, when: When::Always, ..world.restore_job() };
    world.server.set("fail", Some("verify"));
    assert_eq!(world.restore(&job).await.unwrap().outcome, Outcome::RolledBack);
    // The application runs on.
    world.server.write_file("a", "written by the application");
    assert_eq!(world.restore(&job).await.unwrap().outcome, Outcome::RolledBack);
    assert_eq!(world.server.files()["a"], "written by the application");
    let saved: Vec<_> = world.server.points().into_iter().filter(|point| point.kind == "safety").collect();
    assert_eq!(saved.len(), 2);
    assert_eq!(saved[1].files["a"], "written by the application");
}

#[tokio::test]
async fn a_restore_that_restored_nothing_is_an_error() {
    let world = World::lost();
    world.server.set("fail", Some("nothing"));
    let error = world.restore(&world.restore_job()).await.unwrap_err();
    assert!(matches!(error, RunError::RestoredNothing { .. }), "{error}");
    assert_eq!(world.server.read("app").as_deref(), Some("0"));
}

#[tokio::test]
async fn what_did_not_pass_its_check_is_restored_again() {
    let world = World::lost();
    world.server.set("fail", Some("verify"));
    world.restore(&world.restore_job()).await.unwrap_err();
    world.server.write_file("a", "torn");
    world.server.set("fail", None);
    assert_eq!(world.restore(&world.restore_job()).await.unwrap().outcome, Outcome::Restored);
    assert_eq!(world.server.files()["a"], "one");
}

#[tokio::test]
async fn a_target_that_is_lost_before_everything_is_undone_is_restored_again() {
    let world = World::lost();
    world.server.set("fail", Some("undo"));
    world.restore(&world.restore_job()).await.unwrap_err();
    world.server.set("fail", None);
    world.server.lose_volume();
    assert_eq!(world.restore(&world.restore_job()).await.unwrap().outcome, Outcome::Restored);
    assert_eq!(world.server.files().len(), 3);
    assert_eq!((world.server.count("resumed app"), world.server.read("app").as_deref()), (1, Some("3")));
}

#[tokio::test]
async fn half_a_target_is_half_a_target_for_other_triggers_too() {
    let world = World::lost();
    let job = |release| RestoreJob { triggers: triggers(release), ..world.restore_job() };
    world.restore(&job("1")).await.unwrap();
    world.server.lose_volume();
    world.server.set("fail", Some("restore"));
    world.restore(&job("2")).await.unwrap_err();
    world.server.set("fail", None);
    // A refresh with the triggers of the last good run sees it.
    let standing = job("1").standing(&world.ledger.list().await.unwrap()).unwrap().clone();
    assert_eq!((standing.key.clone(), standing.last_run()), (job("2").key(), LastRun::Failed));
    // Neither is it "present", for new triggers, nor is the run of old ones adopted.
    for release in ["3", "1"] {
        let result = world.restore(&job(release)).await.unwrap();
        assert_eq!(world.server.files().len(), 3, "{release}: {result:?}");
        assert_eq!(world.server.read("app").as_deref(), Some("3"), "{release}");
    }
    assert_eq!(world.restore(&job("1")).await.unwrap().outcome, Outcome::NotNeeded);
    assert_eq!(world.server.effective_restores(), 2);
    let standing = job("1").standing(&world.ledger.list().await.unwrap()).unwrap().clone();
    assert_eq!((standing.key.clone(), standing.last_run()), (job("1").key(), LastRun::Succeeded));
}

#[tokio::test]
async fn two_at_once_restore_once_and_share_the_result() {
    let world = World::lost();
    world.server.set("slow", Some("80"));
    let job = world.restore_job();
    let (one, other) = tokio::join!(world.restore(&job), world.restore(&job));
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(world.server.effective_restores(), 1);
    assert!(one.adopted != other.adopted);
    assert_eq!(one.point, other.point);
    assert_eq!(world.server.count("resumed app"), 1);
}

#[tokio::test]
async fn two_at_once_with_other_triggers_do_not_write_at_the_same_time() {
    let world = World::lost();
    world.server.set("slow", Some("50"));
    let job = |release| RestoreJob { triggers: triggers(release), ..world.restore_job() };
    let (first, second) = (job("1"), job("2"));
    let (one, other) = tokio::join!(world.restore(&first), world.restore(&second));
    let mut outcomes = [one.unwrap().outcome.as_str(), other.unwrap().outcome.as_str()];
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["not_needed", "restored"]);
    assert_eq!(world.server.effective_restores(), 1);
}

#[tokio::test]
async fn one_that_waits_for_a_run_that_fails_shares_its_failure() {
    let world = World::lost();
    world.server.set("slow", Some("80"));
    let job = world.restore_job();
    let fail_soon = async {
        tokio::time::sleep(Duration::from_millis(40)).await;
        world.server.set("fail", Some("restore"));
    };
    let (one, other, ()) = tokio::join!(world.restore(&job), world.restore(&job), fail_soon);
    let mut errors = [one.unwrap_err().to_string(), other.unwrap_err().to_string()];
    errors.sort();
    assert!(errors[0].starts_with("another apply ran"), "{errors:?}");
    assert!(errors[1].starts_with("the restore failed"), "{errors:?}");
}

#[tokio::test]
async fn what_the_plan_showed_is_restored_or_nothing_is() {
    let world = World::lost();
    let planned = world.server.points()[0].id.clone();
    newer_point(&world);
    let job = RestoreJob { approved: Some(planned.clone()), ..world.restore_job() };
    world.server.forget("p0000");
    let error = world.restore(&job).await.unwrap_err();
    assert!(matches!(&error, RunError::PointGone { id } if *id == planned), "{error}");
    assert!(world.server.events().is_empty());
}

#[tokio::test]
async fn a_pin_that_was_pruned_is_named_and_an_id_leads_out() {
    let world = World::lost();
    world.server.set("fail", Some("restore"));
    world.restore(&world.restore_job()).await.unwrap_err();
    world.server.set("fail", None);
    let newer = newer_point(&world);
    world.server.forget("p0000");
    let error = world.restore(&world.restore_job()).await.unwrap_err();
    assert!(matches!(error, RunError::PinGone { .. }), "{error}");
    let job = RestoreJob { recovery_point: PointChoice::Id(newer.id.clone()), ..world.restore_job() };
    assert_eq!(world.restore(&job).await.unwrap().point.unwrap().id, newer.id);
}

#[tokio::test]
async fn a_pin_that_was_pruned_before_anything_was_written_gives_way_to_what_is_there() {
    let world = World::lost();
    world.server.set("fail", Some("application"));
    world.restore(&world.restore_job()).await.unwrap_err();
    world.server.set("fail", None);
    let newer = newer_point(&world);
    world.server.forget("p0000");
    let result = world.restore(&world.restore_job()).await.unwrap();
    assert_eq!((result.outcome, result.point.unwrap().id), (Outcome::Restored, newer.id.clone()));
    let said = format!("had written nothing, so {} of", newer.id);
    assert!(
        result.warnings[0].starts_with("recovery point p0000") && result.warnings[0].contains(&said),
        "{:?}",
        result.warnings
    );
}

#[tokio::test]
async fn m22_of_what_is_there_the_point_that_the_plan_showed_takes_the_place_of_a_pin_that_is_gone() {
    let world = World::lost();
    world.server.set("fail", Some("early:restore"));
    world.restore(&world.restore_job()).await.unwrap_err();
    world.server.set("fail", None);
    let planned = newer_point(&world);
    world.server.forget("p0000");
    newer_point(&world);
    let job = RestoreJob { approved: Some(planned.id.clone()), ..world.restore_job() };
    let result = world.restore(&job).await.unwrap();
    assert_eq!(result.point.unwrap().id, planned.id);
    assert!(result.warnings[0].contains("is no longer there"), "{:?}", result.warnings);
}

#[tokio::test]
async fn without_a_point_it_fails_and_names_what_is_near() {
    let world = World::lost();
    world.server.forget("p0000");
    world.server.set("near", Some("`paperless` holds 312 points"));
    let error = world.restore(&world.restore_job()).await.unwrap_err();
    assert!(matches!(error, RunError::NoPoint { reason: NoPoint::None, .. }));
    assert!(error.to_string().contains("`paperless` holds 312 points"), "{error}");
}

#[tokio::test]
async fn after_a_skip_the_first_loss_is_restored() {
    let world = World::lost();
    world.server.forget("p0000");
    let job = RestoreJob { on_missing: OnMissing::Skip, ..world.restore_job() };
    assert_eq!(world.restore(&job).await.unwrap().outcome, Outcome::SkippedNoPoints);
    world.fill();
    world.backup(&world.backup_job(), None).await.unwrap();
    world.server.lose_volume();
    assert_eq!(world.restore(&job).await.unwrap().outcome, Outcome::Restored);
}

#[tokio::test]
async fn an_interrupt_while_waiting_for_another_apply_touches_nothing() {
    let world = World::lost();
    let job = world.restore_job();
    let record = Record::new(JobKind::Restore, &job.key(), "docs", "toy", "volume");
    let held = world.ledger.acquire(&record).await.unwrap();
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let stopping = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        stop.send_replace(true);
    };
    let (result, ()) = tokio::join!(world.restore_until(&job, Cancel::new(stopped)), stopping);
    assert!(matches!(result.unwrap_err(), RunError::Interrupted { .. }));
    assert!(world.server.events().is_empty());
    drop(held);
}

#[tokio::test]
async fn an_application_that_somebody_starts_before_the_first_write_stops_the_restore() {
    let world = World::new();
    world.server.set("meddler", Some("safety"));
    world.server.write_file("a", "newer");
    let before = world.server.files();
    let job = RestoreJob { when: When::Always, ..world.restore_job() };
    let error = world.restore(&job).await.unwrap_err();
    assert!(matches!(error, RunError::BeforeWriting { .. }), "{error}");
    assert!(error.to_string().contains("somebody brought the app back"), "{error}");
    assert_eq!(world.server.files(), before);
    assert_eq!(world.server.read("schedule").as_deref(), Some("active"));
    assert!(!world.record(&job).await.unwrap().owes_undo());
    world.server.set("meddler", None);
    assert_eq!(world.restore(&job).await.unwrap().outcome, Outcome::Restored);
}

#[tokio::test]
async fn what_another_run_holds_down_stays_down_and_comes_back_with_the_last_one() {
    let world = World::lost();
    // Another volume of the same application: its restore took three replicas down, and failed half way.
    let job = world.restore_job();
    let other = RestoreJob { name: "other".into(), target: "another volume".into(), ..job.clone() };
    let mut record = Record::new(JobKind::Restore, &other.key(), "other", "toy", "another volume");
    (record.phase, record.verdict) = (Phase::Writing, Some(Verdict::Failed));
    record.undo.push(UndoStep {
        action: "scale_down".into(),
        object: "app".into(),
        before: Some("3".into()),
        undone: false,
    });
    let held = world.ledger.acquire(&record).await.unwrap();
    held.lease.write(&record).await.unwrap();
    held.lease.release().await;
    world.server.set("app", Some("0"));

    let result = world.restore(&job).await.unwrap();
    assert_eq!(result.outcome, Outcome::Restored);
    assert!(result.warnings[0].starts_with("app stays down until the restore job other"), "{:?}", result.warnings);
    assert_eq!(world.server.read("app").as_deref(), Some("0"), "half of the other volume is not started");
    assert_eq!(world.server.read("schedule").as_deref(), Some("active"));
    let record = world.record(&job).await.unwrap();
    assert_eq!(record.undo[1].before.as_deref(), Some("3"), "what it was before either of them");
    assert!(!record.owes_undo());

    let result = world.restore(&other).await.unwrap();
    assert_eq!((result.outcome, result.warnings.as_slice()), (Outcome::Restored, &[][..]));
    assert_eq!(world.server.read("app").as_deref(), Some("3"));
}

#[tokio::test]
async fn an_application_that_somebody_starts_while_it_is_restored_is_no_success() {
    let world = World::new();
    world.server.set("meddler", Some("restore"));
    let job = RestoreJob { when: When::Always, ..world.restore_job() };
    let error = world.restore(&job).await.unwrap_err();
    assert!(matches!(error, RunError::AfterWriting { .. }), "{error}");
    assert!(error.to_string().contains("somebody brought the app back"), "{error}");
    let record = world.record(&job).await.unwrap();
    assert!(record.left_half() && record.owes_undo());
    assert_eq!(world.server.read("schedule").as_deref(), Some("paused"), "half a target is not backed up");
    world.server.set("meddler", None);
    // What the application wrote meanwhile is saved before it is overwritten.
    world.server.write_file("a", "written by the application");
    assert_eq!(world.restore(&job).await.unwrap().outcome, Outcome::Restored);
    assert_eq!(safety_files(&world).last().unwrap()["a"], "written by the application");
}

fn safety_files(world: &World) -> Vec<std::collections::BTreeMap<String, String>> {
    world.server.points().into_iter().filter(|point| point.kind == "safety").map(|point| point.files).collect()
}

#[tokio::test]
async fn a_target_that_was_replaced_is_not_half_and_another_job_leaves_it_alone() {
    let world = World::lost();
    world.server.set("fail", Some("restore"));
    world.restore(&world.restore_job()).await.unwrap_err();
    world.server.set("fail", None);
    // Put right by hand, and in use since; the job that failed is long gone from the configuration.
    world.server.lose_volume();
    world.server.make_volume();
    world.server.write_file("a", "the work of months");
    let other = RestoreJob { name: "standing".into(), when: When::TargetMissing, ..world.restore_job() };
    assert_eq!(world.restore(&other).await.unwrap().outcome, Outcome::NotNeeded);
    assert_eq!(world.server.files()["a"], "the work of months");
    assert_eq!(world.server.read("app").as_deref(), Some("3"), "what the failed run held down is up again");
    assert!(!world.record(&world.restore_job()).await.unwrap().left_half());
    // The job itself leaves it alone, too.
    let job = RestoreJob { when: When::TargetMissing, ..world.restore_job() };
    assert_eq!(world.restore(&job).await.unwrap().outcome, Outcome::NotNeeded);
}

#[tokio::test]
async fn half_a_target_that_another_job_left_is_saved_before_it_is_overwritten() {
    let world = World::lost();
    world.server.set("fail", Some("restore"));
    world.restore(&world.restore_job()).await.unwrap_err();
    world.server.set("fail", None);
    // Put right in place: nobody can tell that from half a target.
    world.server.write_file("a", "the work of months");
    let other = RestoreJob { name: "standing".into(), when: When::TargetMissing, ..world.restore_job() };
    assert_eq!(world.restore(&other).await.unwrap().outcome, Outcome::Restored);
    assert_eq!(safety_files(&world)[0]["a"], "the work of months");
}

#[tokio::test]
async fn what_was_written_after_a_resume_is_saved_before_the_next_attempt() {
    let world = World::new();
    world.server.set("fail", Some("restore"));
    let job = RestoreJob { on_failure: OnFailure::Resume, when: When::Always, ..world.restore_job() };
    world.restore(&job).await.unwrap_err();
    world.server.write_file("a", "two days of work");
    world.server.set("fail", None);
    assert_eq!(world.restore(&job).await.unwrap().outcome, Outcome::Restored);
    let saved = safety_files(&world);
    assert_eq!((saved.len(), saved[1]["a"].as_str()), (2, "two days of work"));
}

#[tokio::test]
async fn what_was_started_by_hand_after_a_failure_is_saved_before_the_next_attempt() {
    let world = World::new();
    world.server.set("fail", Some("restore"));
    let job = RestoreJob { when: When::Always, ..world.restore_job() };
    world.restore(&job).await.unwrap_err();
    world.server.set("app", Some("3"));
    world.server.write_file("a", "two days of work");
    world.server.set("fail", None);
    assert_eq!(world.restore(&job).await.unwrap().outcome, Outcome::Restored);
    assert_eq!(safety_files(&world).len(), 2);
}

#[tokio::test]
async fn an_attempt_that_changed_nothing_rolls_nothing_back() {
    let world = World::new();
    let job = RestoreJob { when: When::Always, ..world.restore_job() };
    world.server.set("fail", Some("restore"));
    world.restore(&job).await.unwrap_err();
    world.server.set("fail", None);
    world.server.write_file("a", "put right by hand");
    newer_point(&world);
    world.server.forget("p0000");
    let job = RestoreJob { on_failure: OnFailure::RollBack, ..job };
    let error = world.restore(&job).await.unwrap_err();
    assert!(matches!(error, RunError::PinGone { .. }), "{error}");
    assert_eq!(world.server.files()["a"], "put right by hand");
}

#[tokio::test]
async fn a_target_that_is_replaced_while_it_is_checked_is_restored_again() {
    let world = World::lost();
    let status = world.apply_in_child("restore", Some("phase:verifying"));
    assert!(!status.success());
    world.server.lose_volume();
    assert_eq!(world.restore(&world.restore_job()).await.unwrap().outcome, Outcome::Restored);
    assert_eq!(world.server.files().len(), 3);
}

#[tokio::test]
async fn half_a_target_that_was_saved_is_nothing_to_roll_back_to() {
    for whole_before in [true, false] {
        let world = if whole_before { World::new() } else { World::lost() };
        world.server.set("fail", Some("verify"));
        let job = RestoreJob { on_failure: OnFailure::Resume, when: When::Always, ..world.restore_job() };
        world.restore(&job).await.unwrap_err();
        world.server.write_file("b", "written since");
        let job = RestoreJob { on_failure: OnFailure::RollBack, ..job };
        let result = world.restore(&job).await;
        let saved = safety_files(&world);
        assert_eq!(saved.last().unwrap()["b"], "written since", "it is saved all the same");
        if whole_before {
            // What was there before the first attempt is whole.
            assert_eq!(result.unwrap().outcome, Outcome::RolledBack);
            assert_eq!(world.server.files().len(), 3);
            assert_eq!(world.server.files()["b"], "two two");
        } else {
            let error = result.unwrap_err().to_string();
            assert!(error.contains("There is no safety backup to roll back to"), "{error}");
            assert!(world.record(&job).await.unwrap().left_half());
            assert_eq!(world.server.read("app").as_deref(), Some("0"));
        }
    }
}

#[tokio::test]
async fn a_target_that_can_not_be_seen_is_half_still() {
    let world = World::lost();
    world.server.set("fail", Some("restore"));
    world.restore(&world.restore_job()).await.unwrap_err();
    world.server.set("fail", None);
    world.server.set("blind", Some(""));
    let _ = world.restore(&world.restore_job()).await;
    world.server.set("blind", None);
    assert_eq!(world.restore(&world.restore_job()).await.unwrap().outcome, Outcome::Restored);
    assert_eq!(world.server.files().len(), 3);
}

#[tokio::test]
async fn storage_that_can_not_be_told_to_keep_points_stops_no_restore() {
    let world = World::lost();
    world.server.set("pinning", Some("denied"));
    let result = world.restore(&world.restore_job()).await.unwrap();
    assert_eq!(result.outcome, Outcome::Restored);
    assert!(result.warnings.iter().any(|warning| warning.contains("access denied")), "{:?}", result.warnings);
}

#[tokio::test]
async fn the_storage_keeps_what_a_restore_needs_until_it_has_ended() {
    let world = World::new();
    world.server.set("pinning", Some("on"));
    world.server.set("fail", Some("restore"));
    let job = RestoreJob { on_failure: OnFailure::Resume, when: When::Always, ..world.restore_job() };
    world.restore(&job).await.unwrap_err();
    let record = world.record(&job).await.unwrap();
    let needed = |record: &Record| [&record.point, &record.safety_point].map(|point| point.clone().unwrap().id).into();
    assert_eq!(world.server.pinned(), needed(&record));
    // A retry saves what came since, and needs what was there before the first attempt still.
    world.server.write_file("a", "two days of work");
    world.restore(&job).await.unwrap_err();
    assert_eq!((safety_files(&world).len(), world.server.pinned()), (2, needed(&record)));
    world.server.set("fail", None);
    assert_eq!(world.restore(&job).await.unwrap().outcome, Outcome::Restored);
    assert!(world.server.pinned().is_empty());
}

#[tokio::test]
async fn a_run_with_other_triggers_rolls_back_to_what_was_there_before_the_first() {
    let world = World::new();
    world.server.set("pinning", Some("on"));
    world.server.write_file("a", "changed since");
    world.server.set("fail", Some("restore"));
    let job = |release| RestoreJob {
        triggers: triggers(release),
        on_failure: OnFailure::RollBack,
        when: When::Always,
        ..world.restore_job()
    };
    world.restore(&RestoreJob { on_failure: OnFailure::StayQuiesced, ..job("1") }).await.unwrap_err();
    let before = world.record(&job("1")).await.unwrap().safety_point.unwrap();
    world.server.set("fail", Some("verify"));
    assert_eq!(world.restore(&job("2")).await.unwrap().outcome, Outcome::RolledBack);
    assert_eq!(world.server.files()["a"], "changed since");
    assert!(world.server.pinned().contains(&before.id), "the run failed and is tried again");
    world.server.set("fail", None);
    assert_eq!(world.restore(&job("2")).await.unwrap().outcome, Outcome::Restored);
    assert!(world.server.pinned().is_empty(), "also what the run before it had pinned");
}

#[tokio::test]
async fn what_the_storage_keeps_on_for_a_run_that_ended_is_told_and_goes_with_the_next_one() {
    let world = World::lost();
    world.server.set("pinning", Some("on"));
    world.server.set("fail", Some("unpin"));
    let job = |release| RestoreJob { triggers: triggers(release), ..world.restore_job() };
    let result = world.restore(&job("1")).await.unwrap();
    let said = "although it has ended: the toy was told to fail at unpin";
    assert!(result.warnings.iter().any(|warning| warning.contains(said)), "{:?}", result.warnings);
    assert_eq!((result.outcome, world.server.pinned().len()), (Outcome::Restored, 1));
    world.server.set("fail", None);
    world.server.lose_volume();
    assert_eq!(world.restore(&job("2")).await.unwrap().outcome, Outcome::Restored);
    assert!(world.server.pinned().is_empty());
}

#[tokio::test]
async fn a_run_with_other_triggers_buries_the_one_that_was_killed_and_lets_go_what_that_kept() {
    for at in ["phase:safety", "phase:writing"] {
        let world = World::new();
        world.server.set("pinning", Some("on"));
        world.server.empty_volume();
        assert!(!world.apply_in_child("restore", Some(at)).success());
        let killed = world.record(&world.restore_job()).await.unwrap();
        let mark = killed.mark.clone().unwrap();
        let other = RestoreJob { triggers: triggers("2"), ..world.restore_job() };
        assert_eq!(world.restore(&other).await.unwrap().outcome, Outcome::Restored, "{at}");
        // What bears its mark in the storage is known to be nobody's, and no later attempt goes on under it.
        let buried = world.record(&world.restore_job()).await.unwrap();
        assert_eq!((buried.mark, buried.dead_marks), (None, vec![mark]), "{at}");
        assert!(world.server.pinned().is_empty(), "{at}");
    }
}
