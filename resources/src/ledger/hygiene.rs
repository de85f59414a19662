//! Which records shrink: details are kept for the last five runs of a target.

use super::{LastRun, Record};

/// How many runs of a target keep their details.
const DETAILED: usize = 5;

/// The stubs that replace older records of `target`. A run that still owes something keeps its details, and nothing is
/// ever removed: a forgotten key would run again.
pub(super) fn stubs(records: &[Record], target: &str) -> Vec<Record> {
    let mut of_target: Vec<&Record> = records.iter().filter(|record| record.target == target).collect();
    of_target.sort_by_key(|record| std::cmp::Reverse(record.times.updated));
    let older = of_target.into_iter().skip(DETAILED);
    let ended = older.filter(|record| record.last_run() == LastRun::Succeeded && !record.owes_undo());
    ended
        .map(|record| (record, record.stub()))
        .filter(|(record, stub)| **record != *stub)
        .map(|(_, stub)| stub)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{JobKind, Phase, UndoStep, Verdict};
    use super::*;

    fn ended(key: usize, second: i64) -> Record {
        let mut record = Record::new(JobKind::Restore, &format!("{key:016x}"), "docs", "toy", "/srv/docs");
        record.phase = Phase::Done;
        record.verdict = Some(Verdict::Restored);
        record.counts.files = 7;
        record.times.updated = Some(jiff::Timestamp::from_second(second).unwrap());
        record
    }

    #[test]
    fn the_last_five_runs_keep_their_details_and_older_ones_become_stubs() {
        let records: Vec<Record> = (0..8).map(|run| ended(run, run as i64)).collect();
        let mut keys: Vec<String> = stubs(&records, "/srv/docs").into_iter().map(|stub| stub.key).collect();
        keys.sort();
        assert_eq!(keys, (0..3).map(|key| format!("{key:016x}")).collect::<Vec<_>>());
        assert!(stubs(&records, "/srv/other").is_empty());
    }

    #[test]
    fn a_run_that_still_owes_something_keeps_its_details() {
        let mut records: Vec<Record> = (0..8).map(|run| ended(run, run as i64)).collect();
        records[0].verdict = Some(Verdict::Failed);
        let step = UndoStep { action: "scale_down".into(), object: "app".into(), before: None, undone: false };
        records[1].undo.push(step);
        assert_eq!(stubs(&records, "/srv/docs").len(), 1);
    }

    #[test]
    fn a_stub_is_not_written_again() {
        let mut records: Vec<Record> = (0..8).map(|run| ended(run, run as i64)).collect();
        for stub in stubs(&records.clone(), "/srv/docs") {
            let place = records.iter().position(|record| record.key == stub.key).unwrap();
            records[place] = stub;
        }
        assert!(stubs(&records, "/srv/docs").is_empty());
    }
}
