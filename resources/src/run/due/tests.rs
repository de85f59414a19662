//! The sentences of "Triggers" and "Plan", one by one.

use super::*;
use crate::ledger::{JobKind, Phase, Verdict};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn triggers(pairs: &[(&str, Option<&str>)]) -> Triggers {
    pairs.iter().map(|(key, value)| (key.to_string(), value.map(str::to_owned))).collect()
}

fn candidate() -> Candidate {
    Candidate { id: "9c1e".into(), time: at(1000), bytes: Some(19 << 30) }
}

/// A job that ran well, whose target is there.
fn prior() -> Prior {
    let refreshed =
        Refreshed { target_state: TargetState::Present, last_run: LastRun::Succeeded, ..Refreshed::default() };
    Prior { refreshed, ..Prior::default() }
}

fn planned() -> Planned {
    Planned { triggers: Some(Triggers::new()), target: "/srv/docs".into(), ..Planned::default() }
}

fn change(prior: &Prior, planned: &Planned) -> Change {
    due(Some(prior), planned, at(2000)).unwrap().change
}

fn seen(target_state: TargetState, last_run: LastRun) -> Prior {
    let candidate = Some(candidate());
    Prior { refreshed: Refreshed { target_state, last_run, candidate, ..Refreshed::default() }, ..prior() }
}

#[test]
fn a_job_that_ran_well_and_whose_target_is_there_plans_nothing() {
    let answer = due(Some(&prior()), &planned(), at(2000)).unwrap();
    assert_eq!(answer, Due { change: Change::None, reasons: vec![], point: PlannedPoint::Prior, warnings: vec![] });
}

#[test]
fn triggers_that_differ_from_those_in_state_run_it() {
    let planned = Planned { triggers: Some(triggers(&[("release", Some("2"))])), ..planned() };
    let before = Prior { triggers: triggers(&[("release", Some("1"))]), ..prior() };
    assert_eq!(change(&before, &planned), Change::Run);
    assert_eq!(change(&prior(), &planned), Change::Run);
    let same = Prior { triggers: triggers(&[("release", Some("2"))]), ..prior() };
    assert_eq!(change(&same, &planned), Change::None);
}

#[test]
fn a_trigger_that_is_removed_or_goes_to_null_never_runs_it() {
    let before = Prior { triggers: triggers(&[("release", Some("1"))]), ..prior() };
    assert_eq!(change(&before, &planned()), Change::None);
    let null = Planned { triggers: Some(triggers(&[("release", None)])), ..planned() };
    assert_eq!(change(&before, &null), Change::None);
    assert_eq!(change(&prior(), &null), Change::None);
}

#[test]
fn b3_a_trigger_that_is_unknown_plans_an_update_that_may_turn_out_to_be_nothing() {
    let before = Prior { triggers: triggers(&[("cluster", Some("c1"))]), ..prior() };
    let unknown = Planned { triggers: None, ..planned() };
    let answer = due(Some(&before), &unknown, at(2000)).unwrap();
    assert_eq!((answer.change, answer.point), (Change::Unknown, PlannedPoint::Unknown));
    // At apply it is known, and equal.
    let known = Planned { triggers: Some(triggers(&[("cluster", Some("c1"))])), ..planned() };
    assert_eq!(change(&before, &known), Change::None);
}

#[test]
fn b3_another_server_runs_it_without_the_users_help() {
    let mut before = prior();
    before.ran_on = Some("old".into());
    before.refreshed.server_uid = Some("new".into());
    assert_eq!(change(&before, &planned()), Change::Run);
    before.refreshed.server_uid = Some("old".into());
    assert_eq!(change(&before, &planned()), Change::None);
}

#[test]
fn b5_an_unknown_address_plans_an_update_that_may_turn_out_to_be_nothing() {
    let unknown = Planned { server_unknown: true, ..planned() };
    assert_eq!(change(&prior(), &unknown), Change::Unknown);
    // What Read saw of the lost server does not count as another server.
    let mut before = prior();
    before.ran_on = Some("old".into());
    assert_eq!(change(&before, &unknown), Change::Unknown);
}

#[test]
fn a_last_run_that_failed_or_did_not_end_runs_it_whatever_the_target_looks_like() {
    for last_run in [LastRun::Failed, LastRun::Unfinished] {
        for state in [TargetState::Present, TargetState::Missing, TargetState::Empty, TargetState::Unknown] {
            for when in [When::TargetMissing, When::TargetMissingOrEmpty, When::Always] {
                assert_eq!(change(&seen(state, last_run), &Planned { when, ..planned() }), Change::Run);
            }
        }
    }
}

#[test]
fn a_target_in_the_state_that_when_waits_for_runs_it() {
    let runs = |state, when| due(Some(&seen(state, LastRun::Succeeded)), &Planned { when, ..planned() }, at(2000));
    use TargetState::{Empty, Missing, Partial, Present, Unknown};
    let table = [
        (When::TargetMissing, Missing, Ok(Change::Run)),
        (When::TargetMissing, Empty, Ok(Change::None)),
        (When::TargetMissing, Present, Ok(Change::None)),
        (When::TargetMissing, Unknown, Err(())),
        (When::TargetMissing, Partial, Err(())),
        (When::TargetMissingOrEmpty, Missing, Ok(Change::Run)),
        (When::TargetMissingOrEmpty, Empty, Ok(Change::Run)),
        (When::TargetMissingOrEmpty, Present, Ok(Change::None)),
        (When::TargetMissingOrEmpty, Unknown, Err(())),
        (When::TargetMissingOrEmpty, Partial, Err(())),
        // `always` runs on the other three reasons alone.
        (When::Always, Missing, Ok(Change::None)),
        (When::Always, Empty, Ok(Change::None)),
        (When::Always, Present, Ok(Change::None)),
        (When::Always, Unknown, Ok(Change::None)),
        (When::Always, Partial, Ok(Change::None)),
    ];
    for (when, state, expected) in table {
        let answer = runs(state, when).map(|due| due.change).map_err(|_| ());
        assert_eq!(answer, expected, "{when:?} {state:?}");
    }
}

#[test]
fn a_target_of_which_a_part_is_lost_is_an_error_that_says_what_to_do() {
    let partial = seen(TargetState::Partial, LastRun::Succeeded);
    let error = due(Some(&partial), &planned(), at(2000)).unwrap_err().to_string();
    assert!(error.starts_with("a part of /srv/docs is lost and the rest is not: restore what is missing"), "{error}");
    let always = Planned { when: When::Always, changed: vec!["when".into()], ..planned() };
    assert_eq!(change(&partial, &always), Change::None);
}

#[test]
fn a_target_that_is_not_mounted_is_an_error_that_says_so_unless_triggers_changed() {
    let unknown = seen(TargetState::Unknown, LastRun::Succeeded);
    let error = due(Some(&unknown), &planned(), at(2000)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "it can't be told whether /srv/docs is lost: is it mounted? Mount it, or make the folder that it lies in; or change `triggers` to restore here"
    );
    let changed = Planned { triggers: Some(triggers(&[("disk", Some("new"))])), ..planned() };
    assert_eq!(change(&unknown, &changed), Change::Run);
}

#[test]
fn m13_changed_arguments_without_a_run_are_a_warning() {
    let planned = Planned { changed: vec!["recovery_point".into()], ..planned() };
    let answer = due(Some(&prior()), &planned, at(2000)).unwrap();
    assert_eq!(answer.change, Change::None);
    assert_eq!(answer.warnings, ["No restore will run: `recovery_point` changed, `triggers` did not"]);
}

#[test]
fn changed_arguments_with_a_run_are_none() {
    let planned =
        Planned { changed: vec!["rto".into()], triggers: Some(triggers(&[("release", Some("2"))])), ..planned() };
    assert!(due(Some(&prior()), &planned, at(2000)).unwrap().warnings.is_empty());
}

#[test]
fn p1_a_new_job_asks_nothing_and_prints_nothing() {
    for when in [When::TargetMissing, When::TargetMissingOrEmpty, When::Always] {
        let planned = Planned { when, triggers: None, server_unknown: true, ..planned() };
        let answer = due(None, &planned, at(2000)).unwrap();
        assert_eq!((answer.change, answer.point), (Change::Run, PlannedPoint::Unknown));
        assert!(answer.warnings.is_empty());
    }
}

#[test]
fn m22_the_point_that_read_saw_is_planned_and_one_warning_says_what_will_happen() {
    let planned = Planned {
        steps: vec!["scale down deployment/docs".into(), "restore".into()],
        overwrites: Some("docs-data (20 GiB)".into()),
        ..planned()
    };
    let answer = due(Some(&seen(TargetState::Missing, LastRun::Failed)), &planned, at(1000 + 43 * 60)).unwrap();
    assert_eq!(answer.point, PlannedPoint::Exactly(candidate()));
    assert_eq!(
        answer.warnings,
        ["A restore will run because the last run failed and /srv/docs is missing: recovery point 9c1e of \
          1970-01-01T00:16:40Z, 43m old, 19.0 GiB\nIt overwrites docs-data (20 GiB)\nSteps: scale down deployment/docs, restore"]
    );
}

#[test]
fn when_only_triggers_changed_the_point_is_unknown_and_apply_pins_its_own() {
    let planned = Planned { triggers: Some(triggers(&[("release", Some("2"))])), ..planned() };
    // A candidate that an older refresh left does not count.
    let answer = due(Some(&seen(TargetState::Present, LastRun::Succeeded)), &planned, at(2000)).unwrap();
    assert_eq!(answer.point, PlannedPoint::Unknown);
}

#[test]
fn an_exact_id_is_never_replaced_by_a_candidate_of_another() {
    let before = seen(TargetState::Missing, LastRun::Failed);
    let exactly = |id: &str| {
        let planned = Planned { exact_point: Some(id.into()), ..planned() };
        due(Some(&before), &planned, at(2000)).unwrap().point
    };
    assert_eq!(exactly("9c"), PlannedPoint::Exactly(candidate()));
    assert_eq!(exactly("77"), PlannedPoint::Unknown);
}

#[test]
fn a_candidate_that_was_picked_by_other_arguments_is_not_planned() {
    let before = seen(TargetState::Missing, LastRun::Succeeded);
    let planned = |changed: &str| Planned { changed: vec![changed.to_owned()], ..planned() };
    for changed in ["recovery_point", "source", "restic"] {
        assert_eq!(due(Some(&before), &planned(changed), at(2000)).unwrap().point, PlannedPoint::Unknown, "{changed}");
    }
    let point = due(Some(&before), &planned("when"), at(2000)).unwrap().point;
    assert_eq!(point, PlannedPoint::Exactly(candidate()));
    let beginning = Planned { exact_point: Some("9c".into()), ..planned("recovery_point") };
    assert_eq!(due(Some(&before), &beginning, at(2000)).unwrap().point, PlannedPoint::Unknown, "it may fit two");
    let failed = seen(TargetState::Present, LastRun::Failed);
    let point = due(Some(&failed), &planned("recovery_point"), at(2000)).unwrap().point;
    assert_eq!(point, PlannedPoint::Exactly(candidate()), "a pin stays");
}

#[test]
fn nothing_that_is_planned_moves_with_the_clock() {
    let before = seen(TargetState::Missing, LastRun::Succeeded);
    let values = |now| {
        let answer = due(Some(&before), &planned(), at(now)).unwrap();
        (answer.change, answer.point, answer.reasons)
    };
    assert_eq!(values(2000), values(200_000));
}

fn record(verdict: Option<Verdict>, phase: Phase) -> Record {
    let mut record = Record::new(JobKind::Restore, "0123456789abcdef", "docs", "toy", "/srv/docs");
    record.verdict = verdict;
    record.phase = phase;
    record.point = Some(PinnedPoint { id: "pin".into(), time: at(500), bytes: None });
    record
}

#[test]
fn b4_an_unreachable_server_leaves_everything_as_it_was() {
    let before = seen(TargetState::Missing, LastRun::Failed).refreshed;
    assert_eq!(refresh(before.clone(), None, When::TargetMissing, |_| panic!("nothing to list")), before);
}

#[test]
fn how_the_last_run_ended_is_the_ledgers_word() {
    let last_run = |record: Option<&Record>| {
        let seen = Some((None, TargetState::Present, record));
        refresh(Refreshed::default(), seen, When::TargetMissing, |_| None).last_run
    };
    assert_eq!(last_run(None), LastRun::None);
    assert_eq!(last_run(Some(&record(Some(Verdict::Restored), Phase::Done))), LastRun::Succeeded);
    assert_eq!(last_run(Some(&record(Some(Verdict::NotNeeded), Phase::Done))), LastRun::Succeeded);
    assert_eq!(last_run(Some(&record(Some(Verdict::Failed), Phase::Writing))), LastRun::Failed);
    assert_eq!(last_run(Some(&record(None, Phase::Writing))), LastRun::Unfinished);
}

#[test]
fn b9_the_candidate_is_the_pin_of_the_run_that_failed_although_newer_points_appeared() {
    let failed = record(Some(Verdict::Failed), Phase::Writing);
    let seen = Some((None, TargetState::Present, Some(&failed)));
    let refreshed = refresh(Refreshed::default(), seen, When::TargetMissing, |pin| pin);
    assert_eq!(refreshed.candidate.unwrap().id, "pin", "nothing can be listed");
    assert_eq!(picked(&["pin", "newer"], &failed).as_deref(), Some("pin"));
}

/// What a run would take whose record this is.
fn picked(ids: &[&str], record: &Record) -> Option<String> {
    let point = |(id, second): (&&str, i64)| Point {
        id: id.to_string(),
        time: at(second),
        bytes: Some(1),
        items: Some(1),
        kind: crate::run::PointKind::Backup,
    };
    let points: Vec<Point> = ids.iter().zip(500..).map(point).collect();
    let picked = pick(&points, Some(record), &PointChoice::Newest, When::TargetMissing, None);
    picked.map(|candidate| candidate.id)
}

#[test]
fn a_pin_that_is_gone_gives_way_to_what_is_there_only_where_nothing_was_written() {
    for (verdict, phase) in [(Some(Verdict::Failed), Phase::Done), (None, Phase::Recorded), (None, Phase::Safety)] {
        let record = record(verdict, phase);
        assert_eq!(picked(&["old", "newer"], &record).as_deref(), Some("newer"), "{record:?}");
    }
    let wrote = [
        (Some(Verdict::Failed), Phase::Writing),
        (None, Phase::Verifying),
        (Some(Verdict::Restored), Phase::Undoing),
        (Some(Verdict::RolledBack), Phase::Done),
    ];
    for (verdict, phase) in wrote {
        // Then apply names the one that is gone, and says how to go on.
        assert_eq!(picked(&["old", "newer"], &record(verdict, phase)), None, "{verdict:?} {phase:?}");
    }
}

#[test]
fn a_lost_target_has_the_candidate_that_recovery_point_picks_now() {
    let ended = record(Some(Verdict::Restored), Phase::Done);
    let seen = Some((None, TargetState::Missing, Some(&ended)));
    let refreshed = refresh(Refreshed::default(), seen, When::TargetMissing, |_| Some(candidate()));
    assert_eq!(refreshed.candidate, Some(candidate()));
}

#[test]
fn a_job_that_is_not_due_lists_no_points_and_has_no_candidate() {
    let ended = record(Some(Verdict::Restored), Phase::Done);
    for (state, when) in [(TargetState::Present, When::TargetMissing), (TargetState::Missing, When::Always)] {
        let seen = Some((None, state, Some(&ended)));
        let before = Refreshed { candidate: Some(candidate()), ..Refreshed::default() };
        assert_eq!(refresh(before, seen, when, |_| panic!("nothing to list")).candidate, None);
    }
}

#[test]
fn ages_and_sizes_are_in_units_that_people_use() {
    assert_eq!(age(at(0), at(59)), "59s");
    assert_eq!(age(at(0), at(3 * 3600 + 61)), "3h 1m");
    assert_eq!(age(at(0), at(2 * 86_400 + 3 * 3600)), "2d 3h");
    assert_eq!(age(at(10), at(0)), "0s");
    assert_eq!(in_units(0), "0 B");
    assert_eq!(in_units(1023), "1023 B");
    assert_eq!(in_units(1536), "1.5 KiB");
    assert_eq!(in_units(41 << 30), "41.0 GiB");
}

#[test]
fn a_point_of_the_future_is_called_one() {
    let before = seen(TargetState::Missing, LastRun::Failed);
    let said = |now: i64| due(Some(&before), &planned(), at(now)).unwrap().warnings.concat();
    assert!(said(940).contains("00:16:40Z, 0s old, "), "{}", said(940));
    assert!(said(400).contains("00:16:40Z, 10m in the future: a clock is or was wrong, "), "{}", said(400));
}
