//! What a restore writes to, as far as the state machine needs to know.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::incarnation;
use crate::ledger::{Record, Verdict};

/// When a restore is due, by the state of its target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum When {
    /// Its target does not exist.
    #[default]
    TargetMissing,
    /// Its target does not exist or holds nothing.
    TargetMissingOrEmpty,
    /// Whatever the target holds.
    Always,
}

impl When {
    /// Whether a target in this state is one to restore; `None` when that can't be told from it.
    pub fn is_met(self, state: TargetState) -> Option<bool> {
        match (self, state) {
            (When::Always, _) => Some(true),
            (_, TargetState::Missing) => Some(true),
            (_, TargetState::Unknown | TargetState::Partial) => None,
            (When::TargetMissing, _) => Some(false),
            (When::TargetMissingOrEmpty, state) => Some(state == TargetState::Empty),
        }
    }
}

/// What a look at the target showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetState {
    /// It is there and holds something, or it can't be empty.
    Present,
    /// It does not exist, and the place where it belongs does.
    Missing,
    /// It exists and holds nothing.
    Empty,
    /// Some of what it consists of is there and holds something, and some does not exist.
    Partial,
    /// It can't be told.
    #[default]
    Unknown,
}

impl TargetState {
    /// The state that a word of the schema means.
    pub fn parse(word: Option<&str>) -> Self {
        let all = [TargetState::Present, TargetState::Missing, TargetState::Empty, TargetState::Partial];
        all.into_iter().find(|state| Some(state.as_str()) == word).unwrap_or_default()
    }

    /// The word of the schema.
    pub fn as_str(self) -> &'static str {
        match self {
            TargetState::Present => "present",
            TargetState::Missing => "missing",
            TargetState::Empty => "empty",
            TargetState::Partial => "partial",
            TargetState::Unknown => "unknown",
        }
    }
}

/// A look at a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// What it showed.
    pub state: TargetState,
    /// Which one of the targets of that name this is; `None` when there is none.
    pub incarnation: Option<String>,
    /// When it was made, where the engine knows.
    pub born: Option<Timestamp>,
    /// What was seen, for people: "/srv/docs does not exist".
    pub evidence: String,
}

impl Probe {
    /// Whether this is the one that a record names; of one that is not named that is not known.
    pub fn is(&self, named: Option<&str>) -> bool {
        named.zip(self.incarnation.as_deref()).is_some_and(|(named, there)| incarnation::is_same(named, there))
    }

    /// Whether anything of what a record names is there: an engine may name several things, with commas between them.
    pub fn shares(&self, named: &str) -> bool {
        let there = self.incarnation.as_deref().unwrap_or_default();
        named.split(',').any(|part| there.split(',').any(|other| incarnation::is_same(part, other)))
    }

    /// Whether this may be among what a record names.
    pub fn may_be_in(&self, named: &str) -> bool {
        let there = self.incarnation.as_deref().unwrap_or_default();
        named.split(',').any(|part| incarnation::may_be_same(part, there))
    }

    /// The target as a restore that ended well left it is whole, also where the point held less than was asked for.
    pub fn beside(self, record: Option<&Record>) -> Self {
        let filled = |record: &Record| record.verdict == Some(Verdict::Restored);
        let is_as_left = record.is_some_and(|record| filled(record) && self.is(record.incarnation.as_deref()));
        match self.state {
            TargetState::Partial if is_as_left => Probe { state: TargetState::Present, ..self },
            _ => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::JobKind;

    #[test]
    fn only_when_always_does_without_knowing_the_target() {
        assert_eq!(When::Always.is_met(TargetState::Unknown), Some(true));
        assert_eq!(When::TargetMissing.is_met(TargetState::Unknown), None);
        assert_eq!(When::TargetMissingOrEmpty.is_met(TargetState::Unknown), None);
    }

    #[test]
    fn half_a_target_is_neither_lost_nor_there() {
        assert_eq!(When::Always.is_met(TargetState::Partial), Some(true));
        assert_eq!(When::TargetMissing.is_met(TargetState::Partial), None);
        assert_eq!(When::TargetMissingOrEmpty.is_met(TargetState::Partial), None);
    }

    #[test]
    fn what_a_restore_left_is_whole_until_something_of_it_is_lost() {
        let seen = |uid: &str| Probe {
            state: TargetState::Partial,
            incarnation: Some(uid.to_owned()),
            born: None,
            evidence: "seen".into(),
        };
        let mut record = Record::new(JobKind::Restore, "key", "docs", "velero", "docs,mail");
        record.incarnation = Some("docs-1".into());
        assert_eq!(seen("docs-1").beside(Some(&record)).state, TargetState::Partial);
        record.verdict = Some(Verdict::Restored);
        assert_eq!(seen("docs-1").beside(Some(&record)).state, TargetState::Present);
        record.incarnation = Some("docs-1,mail-1".into());
        assert_eq!(seen("docs-1").beside(Some(&record)).state, TargetState::Partial);
        assert_eq!(seen("docs-1").beside(None).state, TargetState::Partial);
    }

    #[test]
    fn an_empty_target_is_only_what_target_missing_or_empty_waits_for() {
        assert_eq!(When::TargetMissing.is_met(TargetState::Empty), Some(false));
        assert_eq!(When::TargetMissingOrEmpty.is_met(TargetState::Empty), Some(true));
        assert_eq!(When::TargetMissingOrEmpty.is_met(TargetState::Present), Some(false));
        assert_eq!(When::TargetMissing.is_met(TargetState::Missing), Some(true));
    }
}
