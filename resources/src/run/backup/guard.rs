//! No backup of a new or empty thing over a full history.

use jiff::Timestamp;

use crate::ledger::{JobKind, Record, Verdict};
use crate::run::{Point, PointKind, PointSources, Probe, RunError, TargetState};
use crate::words::counted;

/// What `first_backup` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FirstBackup {
    /// A new or empty thing is not stored over older points.
    #[default]
    Refuse,
    /// It is.
    Allow,
}

/// Refuses when what is backed up is what a restore in the ledger filled only half; or missing, empty, or younger than the newest
/// point of its series without being what a restore filled.
pub fn check(points: &[Point], probe: &Probe, records: &[Record]) -> Result<(), RunError> {
    let half = |record: &&Record| {
        let restores = record.kind == JobKind::Restore && record.left_half();
        restores && probe.is(record.writes.as_deref())
    };
    if let Some(half) = records.iter().find(half) {
        return Err(RunError::HalfRestored { key: half.key.clone(), target: half.target.clone() });
    }
    let holds = |point: &&Point| point.kind == PointKind::Backup && point.holds_nothing() != Some(true);
    let older: Vec<&Point> = points.iter().filter(holds).collect();
    let Some(newest) = older.iter().map(|point| point.time).max() else { return Ok(()) };
    match lost(newest, probe, records) {
        Some(what) => Err(RunError::FirstBackup { what, count: older.len(), newest }),
        None => Ok(()),
    }
}

/// What can't be told of a thing that is there: where no birth is known, whether it is the one that older points were taken of.
///
/// Only a warning. Where births are unknown (NFS of older kernels, FUSE), numbers of folders may change with each mount: to
/// refuse would stop backups of what is in order, for everybody there.
pub fn doubt(points: &[Point], probe: &Probe, records: &[Record]) -> Option<String> {
    if probe.state != TargetState::Present || probe.born.is_some() || probe.incarnation.is_none() {
        return None;
    }
    let holds = |point: &&Point| point.kind == PointKind::Backup && point.holds_nothing() != Some(true);
    let count = points.iter().filter(holds).count();
    let was_read = |record: &Record| {
        let named = record.incarnation.as_deref().filter(|_| record.verdict == Some(Verdict::Stored));
        named.is_some_and(|named| probe.may_be_in(named))
    };
    if count == 0 || records.iter().any(was_read) || was_restored(probe, records) {
        return None;
    }
    Some(format!(
        "{}, and there is no telling whether it is what the {} hold: its file \
         system does not say when it was made, and no record that a backup has read it. If it was made anew, restore it before \
         older points go",
        probe.evidence,
        counted(count, "older recovery point", "older recovery points")
    ))
}

/// Refuses to remove a point of what is missing, empty or younger than it, or of which that can't be told: other points may hold
/// less.
pub fn check_removal(id: &str, held: &PointSources, records: &[Record]) -> Result<(), RunError> {
    let what = held.probes.iter().find_map(|probe| match probe.state {
        TargetState::Unknown => Some(probe.evidence.clone()),
        _ => lost(held.taken, probe, records),
    });
    match what {
        Some(what) => Err(RunError::HoldsLost { point: id.to_owned(), what }),
        None => Ok(()),
    }
}

/// What a thing is now that is not what it was when a point of it was taken.
fn lost(taken: Timestamp, probe: &Probe, records: &[Record]) -> Option<String> {
    match (probe.state, probe.born) {
        (TargetState::Missing | TargetState::Empty, _) => Some(probe.evidence.clone()),
        (_, Some(born)) if born > taken && !was_restored(probe, records) => {
            Some(format!("what is there now was only made at {born} ({})", probe.evidence))
        }
        _ => None,
    }
}

fn was_restored(probe: &Probe, records: &[Record]) -> bool {
    let filled = |record: &Record| {
        record.kind == JobKind::Restore
            && record.verdict == Some(Verdict::Restored)
            && probe.is(record.incarnation.as_deref())
    };
    records.iter().any(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn point(second: i64, items: u64) -> Point {
        let id = second.to_string();
        Point { id, time: at(second), bytes: Some(items), items: Some(items), kind: PointKind::Backup }
    }

    fn probe(state: TargetState, born: Option<i64>) -> Probe {
        let incarnation = Some("volume-2".to_owned());
        Probe { state, incarnation, born: born.map(at), evidence: "seen".into() }
    }

    #[test]
    fn b1_an_empty_or_missing_thing_is_not_stored_over_older_points() {
        for state in [TargetState::Missing, TargetState::Empty] {
            let error = check(&[point(10, 3)], &probe(state, None), &[]).unwrap_err();
            assert!(matches!(error, RunError::FirstBackup { count: 1, .. }));
            assert!(check(&[], &probe(state, None), &[]).is_ok());
            assert!(check(&[point(10, 0)], &probe(state, None), &[]).is_ok());
        }
    }

    #[test]
    fn b1_a_volume_younger_than_its_newest_point_is_stored_only_when_a_restore_filled_it() {
        let young = probe(TargetState::Present, Some(20));
        assert!(check(&[point(10, 3)], &young, &[]).is_err());
        assert!(check(&[point(10, 3)], &probe(TargetState::Present, Some(5)), &[]).is_ok());
        let mut record = Record::new(JobKind::Restore, "k", "docs", "toy", "volume");
        record.verdict = Some(Verdict::Restored);
        record.incarnation = Some("volume-2".into());
        assert!(check(&[point(10, 3)], &young, std::slice::from_ref(&record)).is_ok());
        record.incarnation = Some("volume-1".into());
        assert!(check(&[point(10, 3)], &young, &[record]).is_err());
    }

    #[test]
    fn b6_half_a_volume_is_not_stored_and_another_one_of_its_name_is() {
        let there = probe(TargetState::Present, Some(5));
        let mut record = Record::new(JobKind::Restore, "k", "docs", "toy", "volume");
        record.phase = crate::ledger::Phase::Writing;
        record.writes = Some("volume-2".into());
        let error = check(&[], &there, std::slice::from_ref(&record)).unwrap_err();
        assert!(matches!(error, RunError::HalfRestored { .. }));
        record.writes = Some("volume-1".into());
        assert!(check(&[], &there, &[record]).is_ok());
    }

    #[test]
    fn of_what_has_no_birth_another_one_than_was_read_is_doubted() {
        let named = |incarnation: &str| Probe {
            incarnation: Some(incarnation.to_owned()),
            ..probe(TargetState::Present, None)
        };
        let there = named("0:45-7-unknown");
        assert!(doubt(&[], &there, &[]).is_none(), "the first backup of all");
        assert!(doubt(&[point(10, 3)], &there, &[]).is_some());
        let mut record = Record::new(JobKind::Backup, "k", "docs", "restic", "local/backup");
        record.incarnation = Some("0:45-3-unknown,0:45-7-unknown".into());
        assert!(doubt(&[point(10, 3)], &there, std::slice::from_ref(&record)).is_some(), "it did not end");
        record.verdict = Some(Verdict::Stored);
        assert!(doubt(&[point(10, 3)], &there, std::slice::from_ref(&record)).is_none());
        assert!(
            doubt(&[point(10, 3)], &named("0:51-7-unknown"), std::slice::from_ref(&record)).is_none(),
            "mounted again"
        );
        let other = named("0:45-8-unknown");
        assert!(
            doubt(&[point(10, 3)], &other, std::slice::from_ref(&record))
                .unwrap()
                .contains("no record that a backup has read it")
        );
        assert!(doubt(&[point(10, 0)], &other, std::slice::from_ref(&record)).is_none());
        record.kind = JobKind::Restore;
        record.verdict = Some(Verdict::Restored);
        record.incarnation = Some("0:45-8-unknown".into());
        assert!(doubt(&[point(10, 3)], &other, &[record]).is_none(), "a restore filled it");
    }

    #[test]
    fn a_point_of_what_is_lost_is_not_removed() {
        let held = |probe| PointSources { taken: at(12), probes: vec![probe] };
        for state in [TargetState::Missing, TargetState::Empty, TargetState::Unknown] {
            let error = check_removal("12", &held(probe(state, None)), &[]).unwrap_err();
            assert!(matches!(error, RunError::HoldsLost { point, .. } if point == "12"), "{state:?}");
        }
        assert!(check_removal("12", &held(probe(TargetState::Present, Some(20))), &[]).is_err());
        check_removal("12", &held(probe(TargetState::Present, Some(5))), &[]).unwrap();
        check_removal("12", &PointSources { taken: at(12), probes: Vec::new() }, &[]).unwrap();
    }

    #[test]
    fn a_safety_backup_is_no_history() {
        let safety = Point { kind: PointKind::Safety, ..point(10, 3) };
        assert!(check(&[safety], &probe(TargetState::Empty, None), &[]).is_ok());
    }
}
