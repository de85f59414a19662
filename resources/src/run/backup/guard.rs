//! No backup of a new or empty thing over a full history.

use crate::ledger::{JobKind, Record, Verdict};
use crate::run::{History, Point, PointKind, Probe, RunError, TargetState};

/// What `first_backup` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FirstBackup {
    /// A new or empty thing is not stored over older points.
    #[default]
    Refuse,
    /// It is.
    Allow,
}

/// Refuses when what is backed up is missing, empty, or younger than the newest point of its series without being what a
/// restore in the ledger filled.
pub fn check(points: &[Point], probe: &Probe, records: &[Record]) -> Result<(), RunError> {
    match lost(points, probe, records) {
        Some((newest, what)) => Err(RunError::FirstBackup { what, count: full(points).count(), newest: newest.time }),
        None => Ok(()),
    }
}

/// Refuses to remove the newest point of something that is missing, empty, or younger than it.
pub fn check_removal(id: &str, histories: &[History], records: &[Record]) -> Result<(), RunError> {
    let lost = histories
        .iter()
        .find_map(|history| lost(&history.points, &history.probe, records).filter(|lost| lost.0.id == id));
    match lost {
        Some((newest, what)) => Err(RunError::LastOfLost { point: newest.id.clone(), what }),
        None => Ok(()),
    }
}

/// The points that hold something of it.
fn full(points: &[Point]) -> impl Iterator<Item = &Point> {
    points.iter().filter(|point| point.kind == PointKind::Backup && point.holds_nothing() != Some(true))
}

/// The newest point of something that is not what it was when that was taken, and what it is now.
fn lost<'a>(points: &'a [Point], probe: &Probe, records: &[Record]) -> Option<(&'a Point, String)> {
    let newest = full(points).max_by_key(|point| point.time)?;
    let what = match (probe.state, probe.born) {
        (TargetState::Missing | TargetState::Empty, _) => probe.evidence.clone(),
        (_, Some(born)) if born > newest.time && !was_restored(probe, records) => {
            format!("what is there now was only made at {born} ({})", probe.evidence)
        }
        _ => return None,
    };
    Some((newest, what))
}

fn was_restored(probe: &Probe, records: &[Record]) -> bool {
    let filled = |record: &Record| {
        record.kind == JobKind::Restore
            && record.verdict == Some(Verdict::Restored)
            && record.incarnation.is_some()
            && record.incarnation == probe.incarnation
    };
    records.iter().any(filled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

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
    fn the_newest_point_of_what_is_lost_is_not_removed() {
        let history = |probe| [History { points: vec![point(10, 3), point(12, 3), point(13, 0)], probe }];
        let missing = history(probe(TargetState::Missing, None));
        let error = check_removal("12", &missing, &[]).unwrap_err();
        assert!(matches!(error, RunError::LastOfLost { point, .. } if point == "12"));
        check_removal("10", &missing, &[]).unwrap();
        assert!(check_removal("12", &history(probe(TargetState::Present, Some(20))), &[]).is_err());
        check_removal("12", &history(probe(TargetState::Present, Some(5))), &[]).unwrap();
    }

    #[test]
    fn a_safety_backup_is_no_history() {
        let safety = Point { kind: PointKind::Safety, ..point(10, 3) };
        assert!(check(&[safety], &probe(TargetState::Empty, None), &[]).is_ok());
    }
}
