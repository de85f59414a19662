//! What a run would do as things are, for a plan.

use super::begin::{already_ended, is_replaced, is_restored, is_there, restored_else, standing};
use super::decide::{self, Decision};
use super::{Memory, Outcome, RestoreJob, RunError};
use crate::ledger::{LastRun, PinnedPoint, Record};
use crate::run::{Listing, Probe};

/// What a run would do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Foreseen {
    /// It restores this point.
    Restores(PinnedPoint),
    /// It ends well and restores nothing; why, for people.
    Nothing(String),
}

/// What a run would do with the records of its ledger, its points, its target and what the storage remembers as they are; an error
/// where it would fail. What a run asks beyond that, it may still stumble over.
pub async fn foresee(
    job: &RestoreJob,
    records: &[Record],
    listing: &Listing,
    probe: &Probe,
    memory: &Memory<'_>,
) -> Result<Foreseen, RunError> {
    let key = job.key();
    let (own, others): (Vec<&Record>, Vec<&Record>) =
        records.iter().filter(|record| job.concerns(record)).partition(|record| record.key == key);
    let own = own.first().copied();
    let half =
        own.into_iter().chain(others.iter().copied()).any(|record| record.left_half() && !is_replaced(record, probe));
    if job.perform && !half {
        if let Some(nothing) = own.and_then(|record| adopted(job, record, probe)) {
            return Ok(Foreseen::Nothing(nothing));
        }
        let restored = others.iter().copied().filter(|record| is_restored(record));
        if let Err(nothing) = decide::when(job, &decide::beside(probe.clone(), own, restored))? {
            return Ok(Foreseen::Nothing(nothing.because));
        }
    }
    let pinned = own.filter(|record| record.last_run() != LastRun::Succeeded && !is_restored(record));
    match decide::point(job, pinned, listing, half, probe, memory).await? {
        Decision::Restore { point, .. } => Ok(Foreseen::Restores(point)),
        Decision::Nothing(nothing) => Ok(Foreseen::Nothing(nothing.because)),
    }
}

/// Why nothing is restored for a run that ended well before.
fn adopted(job: &RestoreJob, record: &Record, probe: &Probe) -> Option<String> {
    let ended = record.last_run() == LastRun::Succeeded && is_there(record, probe);
    let outcome = standing(job, record).filter(|outcome| ended && *outcome != Outcome::HandedOver);
    outcome.map(|_| restored_else(job, record).unwrap_or_else(|| already_ended(record)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{LedgerStore, PathLedger, Phase, Verdict};
    use crate::run::{FirstUse, OnMissing, Point, PointChoice, PointKind, TargetState, When};
    use jiff::Timestamp;

    fn job(when: When) -> RestoreJob {
        RestoreJob { target: "/srv/docs".into(), when, restores: "all".into(), ..RestoreJob::for_tests() }
    }

    fn probe(state: TargetState) -> Probe {
        let there = !matches!(state, TargetState::Missing);
        Probe { state, incarnation: there.then(|| "this".into()), born: None, evidence: "as seen".into() }
    }

    fn listing(ids: &[&str], unreadable: &[&str]) -> Listing {
        let point = |id: &&str| Point {
            id: (*id).into(),
            time: Timestamp::UNIX_EPOCH,
            bytes: Some(1),
            items: Some(1),
            kind: PointKind::Backup,
        };
        Listing {
            points: ids.iter().map(point).collect(),
            first_use: FirstUse::NotProven("there are points".into()),
            looked: "the bucket `backups` for docs".into(),
            near_misses: Vec::new(),
            unreadable: unreadable.iter().map(ToString::to_string).collect(),
        }
    }

    fn record(job: &RestoreJob, verdict: Option<Verdict>, phase: Phase) -> Record {
        Record { verdict, phase, incarnation: Some("this".into()), restores: Some("all".into()), ..job.fresh_record() }
    }

    /// What a run would do that asks nothing of the storage beside its points.
    fn foresee(job: &RestoreJob, records: &[Record], listing: &Listing, probe: &Probe) -> Result<Foreseen, RunError> {
        remembering(job, records, listing, probe, None)
    }

    fn remembering(
        job: &RestoreJob,
        records: &[Record],
        listing: &Listing,
        probe: &Probe,
        storage: Option<&dyn LedgerStore>,
    ) -> Result<Foreseen, RunError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(super::foresee(job, records, listing, probe, &Memory { storage, siblings: None }))
    }

    #[test]
    fn where_there_is_no_point_it_is_said_where_it_was_looked_and_what_is_usual() {
        let error = foresee(&job(When::Always), &[], &listing(&[], &[]), &probe(TargetState::Missing)).unwrap_err();
        let text = error.to_string();
        let looked =
            "there is no recovery point. It was looked in the bucket `backups` for docs. Usually no backup has come";
        assert!(text.starts_with(looked) && text.ends_with("on_missing = \"skip\" starts empty"), "{text}");
        let chosen = RestoreJob { recovery_point: PointChoice::Id("x".into()), ..job(When::Always) };
        let error = foresee(&chosen, &[], &listing(&["1"], &[]), &probe(TargetState::Missing)).unwrap_err();
        let text = "there is no recovery point x. It was looked in the bucket `backups` for docs";
        assert_eq!(error.to_string(), text);
    }

    fn nothing(foreseen: Result<Foreseen, RunError>) -> String {
        match foreseen.unwrap() {
            Foreseen::Nothing(why) => why,
            other => panic!("{other:?}"),
        }
    }

    fn restored(foreseen: Result<Foreseen, RunError>) -> String {
        match foreseen.unwrap() {
            Foreseen::Restores(point) => point.id,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_when_does_not_wait_for_is_not_restored() {
        let (there, list) = (probe(TargetState::Present), listing(&["a"], &[]));
        assert!(nothing(foresee(&job(When::TargetMissing), &[], &list, &there)).contains("`when` is not met"));
        assert_eq!(restored(foresee(&job(When::Always), &[], &list, &there)), "a");
        assert_eq!(restored(foresee(&job(When::TargetMissing), &[], &list, &probe(TargetState::Missing))), "a");
        let unseen = foresee(&job(When::TargetMissing), &[], &list, &probe(TargetState::Unknown));
        assert!(matches!(unseen, Err(RunError::Undecided { .. })));
    }

    #[test]
    fn a_run_that_ended_is_not_made_again_while_its_target_is_there() {
        let (job, list) = (job(When::Always), listing(&["a"], &[]));
        let ended = record(&job, Some(Verdict::Restored), Phase::Done);
        let there = probe(TargetState::Present);
        assert!(nothing(foresee(&job, std::slice::from_ref(&ended), &list, &there)).contains("already ended"));
        assert_eq!(restored(foresee(&job, std::slice::from_ref(&ended), &list, &probe(TargetState::Missing))), "a");
        let other = RestoreJob { restores: "a part".into(), ..job.clone() };
        assert!(nothing(foresee(&other, &[ended], &list, &there)).contains("restored something else"));
    }

    #[test]
    fn half_a_target_is_restored_whatever_when_says_from_the_point_that_it_is_pinned_to() {
        let job = job(When::TargetMissing);
        let pin = listing(&["a"], &[]).points[0].pinned();
        let half = Record { point: Some(pin), ..record(&job, Some(Verdict::Failed), Phase::Writing) };
        let there = probe(TargetState::Present);
        assert_eq!(restored(foresee(&job, std::slice::from_ref(&half), &listing(&["b", "a"], &[]), &there)), "a");
        let pruned = foresee(&job, &[half], &listing(&["b"], &[]), &there);
        assert!(matches!(pruned, Err(RunError::PinGone { .. })));
    }

    #[test]
    fn a_job_that_hands_over_stands_as_its_own_run_and_not_as_another_one_that_failed() {
        let performs = job(When::TargetMissing);
        let hands_over = RestoreJob { name: "image".into(), perform: false, ..performs.clone() };
        let failed = record(&performs, Some(Verdict::Failed), Phase::Writing);
        let given = record(&hands_over, Some(Verdict::HandedOver), Phase::Done);
        let records = [failed, given];
        assert_eq!(hands_over.standing(&records).unwrap().last_run(), LastRun::Succeeded, "it would run for ever");
        let other = RestoreJob { name: "other".into(), ..performs };
        assert_eq!(other.standing(&records).unwrap().last_run(), LastRun::Failed, "its next run completes the target");
    }

    #[test]
    fn a_point_that_can_not_be_read_is_an_error_by_its_id_and_a_warning_beside_another() {
        let (list, missing) = (listing(&["abc"], &["bcd", "bce"]), probe(TargetState::Missing));
        let by = |id: &str| {
            let job = RestoreJob { recovery_point: PointChoice::Id(id.into()), ..job(When::TargetMissing) };
            foresee(&job, &[], &list, &missing)
        };
        assert!(by("bce").unwrap_err().to_string().starts_with("recovery point bce can't be read"));
        assert!(by("x").unwrap_err().to_string().starts_with("there is no recovery point x"));
        assert_eq!(restored(by("ab")), "abc");
        assert!(list.damage().unwrap().contains("bcd, bce can't be read"));
        let only = foresee(&job(When::TargetMissing), &[], &listing(&[], &["bcd"]), &missing);
        assert!(only.unwrap_err().to_string().contains("the files of bcd"), "nothing else is there");
    }

    #[test]
    fn an_empty_start_is_foreseen_only_where_a_run_makes_one() {
        let job = RestoreJob { on_missing: OnMissing::Skip, ..job(When::TargetMissing) };
        let (list, missing) =
            (Listing { first_use: FirstUse::Proven, ..listing(&[], &[]) }, probe(TargetState::Missing));
        let folder = tempfile::tempdir().unwrap();
        let ledger = PathLedger::new(&folder.path().join("docs")).unwrap();
        let foreseen = || remembering(&job, &[], &list, &missing, Some(&ledger));
        assert!(nothing(foreseen()).contains("no backup was ever stored"));
        let seen = folder.path().join(".docs.dr/seen");
        std::fs::create_dir_all(&seen).unwrap();
        std::fs::write(seen.join(&job.series), "").unwrap();
        assert!(foreseen().unwrap_err().to_string().contains("its points are gone"));
    }
}
