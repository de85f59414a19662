//! Retention: what each keep rule means, in one place.
//!
//! A [`Keep`] is the policy as its author wrote it. The rules of restic and of Proxmox share their names and differ in
//! what they keep, so each family has its own arithmetic: [`restic::apply`] and [`proxmox::apply`].

mod point;
pub mod proxmox;
pub mod restic;
mod retained;
mod within;

pub use point::{Point, TimeError};
pub use retained::{Argument, RetainedError, retained};
pub use within::{Within, WithinError};

use std::fmt;

use serde::{Deserialize, Serialize};

/// A retention policy: each number is how many points of that kind are kept, at least 1.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Keep {
    /// The newest points, whatever their age.
    pub last: Option<u32>,
    /// One point of each of the newest hours that have one.
    pub hourly: Option<u32>,
    /// One point of each of the newest days that have one.
    pub daily: Option<u32>,
    /// One point of each of the newest ISO weeks that have one.
    pub weekly: Option<u32>,
    /// One point of each of the newest months that have one.
    pub monthly: Option<u32>,
    /// One point of each of the newest years that have one.
    pub yearly: Option<u32>,
    /// Every point younger than this, counted from the newest point.
    pub within: Option<Within>,
    /// Every point, forever. Stands alone.
    pub all: bool,
}

/// Why a policy can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeepError {
    /// No rule is set.
    #[error(
        "the policy keeps nothing, so every point would be removed: set at least one of keep_last, keep_hourly, \
         keep_daily, keep_weekly, keep_monthly, keep_yearly and keep_within, or keep_all = true to remove nothing"
    )]
    Nothing,
    /// A rule is set to zero.
    #[error("{rule} is 0, but a rule keeps at least 1 point: leave {rule} out to switch the rule off")]
    Zero {
        /// The attribute.
        rule: &'static str,
    },
    /// `keep_all` together with other rules.
    #[error("keep_all keeps every point, so {} can't have an effect: set either keep_all or the other rules", .rules.join(", "))]
    AllWithOthers {
        /// The other attributes that are set.
        rules: Vec<&'static str>,
    },
}

impl KeepError {
    /// The attribute at fault, where there is one.
    pub fn attribute(&self) -> Option<&'static str> {
        match self {
            Self::Nothing => None,
            Self::Zero { rule } => Some(rule),
            Self::AllWithOthers { .. } => Some("keep_all"),
        }
    }
}

impl Keep {
    /// Says whether the policy can be used: at least one rule, numbers of at least 1, `keep_all` alone.
    pub fn validate(&self) -> Result<(), KeepError> {
        let counts = self.counts();
        if let Some((rule, _)) = counts.iter().find(|(_, count)| *count == Some(0)) {
            return Err(KeepError::Zero { rule });
        }
        let mut rules: Vec<_> = counts.iter().filter(|(_, count)| count.is_some()).map(|(rule, _)| *rule).collect();
        rules.extend(self.within.is_some().then_some("keep_within"));
        match (self.all, rules.is_empty()) {
            (false, true) => Err(KeepError::Nothing),
            (true, false) => Err(KeepError::AllWithOthers { rules }),
            _ => Ok(()),
        }
    }

    /// The counted rules, by the names of their attributes.
    fn counts(&self) -> [(&'static str, Option<u32>); 6] {
        [
            ("keep_last", self.last),
            ("keep_hourly", self.hourly),
            ("keep_daily", self.daily),
            ("keep_weekly", self.weekly),
            ("keep_monthly", self.monthly),
            ("keep_yearly", self.yearly),
        ]
    }
}

/// The policy in a few words: `last 3, 7 daily, 4 weekly, within 1y5m`.
impl fmt::Display for Keep {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.all {
            return formatter.write_str("everything");
        }
        let mut words = Vec::new();
        words.extend(self.last.map(|count| format!("last {count}")));
        for (rule, count) in &self.counts()[1..] {
            words.extend(count.map(|count| format!("{count} {}", rule.trim_start_matches("keep_"))));
        }
        words.extend(self.within.as_ref().map(|within| format!("within {within}")));
        if words.is_empty() { formatter.write_str("nothing") } else { formatter.write_str(&words.join(", ")) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_says_what_it_keeps_in_a_few_words() {
        let text = |keep: Keep| keep.to_string();
        assert_eq!(text(Keep { daily: Some(7), weekly: Some(4), ..Keep::default() }), "7 daily, 4 weekly");
        assert_eq!(
            text(Keep { last: Some(3), within: Within::parse("1y5m7d2h").ok(), ..Keep::default() }),
            "last 3, within 1y5m7d2h"
        );
        assert_eq!(text(Keep { all: true, ..Keep::default() }), "everything");
    }

    #[test]
    fn a_policy_that_keeps_nothing_is_refused() {
        let error = Keep::default().validate().unwrap_err();
        assert_eq!(error.attribute(), None);
        insta::assert_snapshot!(error, @"the policy keeps nothing, so every point would be removed: set at least one of keep_last, keep_hourly, keep_daily, keep_weekly, keep_monthly, keep_yearly and keep_within, or keep_all = true to remove nothing");
    }

    #[test]
    fn a_rule_of_zero_points_is_refused() {
        let error = Keep { last: Some(1), weekly: Some(0), ..Keep::default() }.validate().unwrap_err();
        assert_eq!(error.attribute(), Some("keep_weekly"));
        insta::assert_snapshot!(error, @"keep_weekly is 0, but a rule keeps at least 1 point: leave keep_weekly out to switch the rule off");
    }

    #[test]
    fn keep_all_stands_alone() {
        let error = Keep { all: true, last: Some(1), within: Within::parse("1d").ok(), ..Keep::default() };
        insta::assert_snapshot!(error.validate().unwrap_err(), @"keep_all keeps every point, so keep_last, keep_within can't have an effect: set either keep_all or the other rules");
        assert_eq!(Keep { all: true, ..Keep::default() }.validate(), Ok(()));
    }

    #[test]
    fn a_policy_survives_json_with_its_spelling() {
        let keep = Keep { within: Within::parse("07d1y").ok(), ..Keep::default() };
        let json = serde_json::to_string(&keep).unwrap();
        assert!(json.contains("\"07d1y\""), "{json}");
        assert_eq!(serde_json::from_str::<Keep>(&json).unwrap(), keep);
    }
}
