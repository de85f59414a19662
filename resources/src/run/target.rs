//! What a restore writes to, as far as the state machine needs to know.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

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
            (_, TargetState::Unknown) => None,
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
    /// It can't be told.
    #[default]
    Unknown,
}

impl TargetState {
    /// The word of the schema.
    pub fn as_str(self) -> &'static str {
        match self {
            TargetState::Present => "present",
            TargetState::Missing => "missing",
            TargetState::Empty => "empty",
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_when_always_does_without_knowing_the_target() {
        assert_eq!(When::Always.is_met(TargetState::Unknown), Some(true));
        assert_eq!(When::TargetMissing.is_met(TargetState::Unknown), None);
        assert_eq!(When::TargetMissingOrEmpty.is_met(TargetState::Unknown), None);
    }

    #[test]
    fn an_empty_target_is_only_what_target_missing_or_empty_waits_for() {
        assert_eq!(When::TargetMissing.is_met(TargetState::Empty), Some(false));
        assert_eq!(When::TargetMissingOrEmpty.is_met(TargetState::Empty), Some(true));
        assert_eq!(When::TargetMissingOrEmpty.is_met(TargetState::Present), Some(false));
        assert_eq!(When::TargetMissing.is_met(TargetState::Missing), Some(true));
    }
}
