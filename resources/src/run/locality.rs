//! Which target a path means, where several machines keep their records in one place.

use super::Probe;
use crate::ledger::Record;

/// A target in one of several places that have one name, as `/srv/docs` of every machine has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Locality {
    /// Which one of those it is.
    pub which: String,
    /// The machine that the run is on. A container may have another name each time it starts.
    pub host: String,
}

impl Locality {
    /// That of a target as it was seen on a machine. What says when it was made is the same one wherever it is mounted; of
    /// anything else only the machine tells it apart.
    pub fn of(probe: &Probe, host: String) -> Self {
        let named = probe.incarnation.clone().filter(|_| probe.born.is_some());
        Locality { which: named.unwrap_or_else(|| host.clone()), host }
    }

    /// Whether a record of a target of that name is about this one. Older programs wrote down only what they had written to.
    pub(super) fn is_that_of(&self, record: &Record) -> bool {
        match &record.which {
            Some(which) => *which == self.which,
            None => self.is_among(record.writes.as_deref()) || self.is_among(record.incarnation.as_deref()),
        }
    }

    fn is_among(&self, named: Option<&str>) -> bool {
        named.is_some_and(|named| super::incarnation::is_same(named, &self.which))
    }

    /// Whether another machine wrote the record: then what it says of who else may have written to the target is not known here.
    pub(super) fn is_elsewhere(&self, record: &Record) -> bool {
        record.host.as_ref().is_some_and(|host| *host != self.host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::JobKind;
    use crate::run::TargetState;
    use jiff::Timestamp;

    const FOLDER: &str = "1234-1700000000.000000005-00000000abcdef01";

    fn seen(incarnation: &str, born: bool) -> Probe {
        let born = born.then_some(Timestamp::UNIX_EPOCH);
        let evidence = "seen".to_owned();
        Probe { state: TargetState::Present, incarnation: Some(incarnation.to_owned()), born, evidence }
    }

    fn on(host: &str, probe: &Probe) -> Locality {
        Locality::of(probe, host.to_owned())
    }

    #[test]
    fn a_folder_that_says_when_it_was_made_is_the_same_one_on_any_host() {
        assert_eq!(on("pod-1", &seen(FOLDER, true)).which, on("pod-2", &seen(FOLDER, true)).which);
        let nameless = seen("0:45-2-unknown", false);
        assert_eq!(on("pod-1", &nameless).which, "pod-1");
        let missing = Probe { incarnation: None, ..nameless };
        assert_eq!(on("pod-1", &missing).which, "pod-1");
    }

    #[test]
    fn a_record_of_an_older_program_is_that_of_the_folder_that_it_wrote() {
        let here = on("nas", &seen(FOLDER, true));
        let mut record = Record::new(JobKind::Restore, "key", "docs", "restic", "/srv/docs");
        assert!(!here.is_that_of(&record), "it may be any machine's");
        record.writes = Some("8:1-1234-1700000000.000000005".into());
        assert!(here.is_that_of(&record));
        record.which = Some("another".into());
        assert!(!here.is_that_of(&record));
    }
}
