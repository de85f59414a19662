//! The age of `keep_within`, in restic's spelling: `1y5m7d2h`.

use std::fmt;

use jiff::{Timestamp, civil};
use serde::{Deserialize, Serialize};

use super::Point;

/// restic multiplies hours as a Go `time.Duration` of 64-bit nanoseconds; beyond 2^63 / 3.6e12 hours it wraps around.
const MAX_HOURS: u32 = 2_562_047;

/// How long ago a point may have been made, counted from the newest one; keeps the spelling it was written in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Within {
    spelling: String,
    years: u32,
    months: u32,
    days: u32,
    hours: u32,
}

/// Why a text is no age.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WithinError {
    /// No number where one belongs.
    #[error("no number before {rest:?} in {text:?}: {HOW}")]
    NoNumber {
        /// The whole text.
        text: String,
        /// From where on it can't be read.
        rest: String,
    },
    /// A number without a unit.
    #[error("no unit after {number} in {text:?}: {HOW}")]
    NoUnit {
        /// The whole text.
        text: String,
        /// The number.
        number: String,
    },
    /// A unit that restic doesn't have.
    #[error("unknown unit {unit:?} after {number} in {text:?}: {HOW}")]
    UnknownUnit {
        /// The whole text.
        text: String,
        /// The number.
        number: String,
        /// The unit.
        unit: char,
    },
    /// A unit that is named twice.
    #[error("unit {unit:?} is named twice in {text:?}: add the two numbers up")]
    Twice {
        /// The whole text.
        text: String,
        /// The unit.
        unit: char,
    },
    /// A negative number.
    #[error("{text:?} has a negative number, but an age can't be negative: leave the minus sign out")]
    Negative {
        /// The whole text.
        text: String,
    },
    /// A number that can't be computed with.
    #[error("{number}{unit} in {text:?} is too much: keep_all = true keeps every point")]
    TooLarge {
        /// The whole text.
        text: String,
        /// The number.
        number: String,
        /// The unit.
        unit: char,
    },
    /// Nothing at all.
    #[error("{text:?} is no time at all, which keeps nothing: {HOW}")]
    Zero {
        /// The whole text.
        text: String,
    },
}

const HOW: &str = "write years, months, days and hours as 1y5m7d2h, each with its letter y, m, d or h";

impl Within {
    /// Reads an age such as `1y5m7d2h`: numbers, each with the unit `y`, `m`, `d` or `h`, in any order.
    ///
    /// restic refuses negative numbers and other units, and so does this. It also refuses what restic takes and then
    /// does something else with: a unit that is named twice (restic forgets the first), and an age of zero (restic
    /// takes the rule for absent).
    pub fn parse(text: &str) -> Result<Self, WithinError> {
        let whole = || text.to_owned();
        let mut amounts = [None; 4];
        let mut rest = text.trim();
        while !rest.is_empty() {
            let unsigned = rest.strip_prefix('-').unwrap_or(rest);
            let (number, after) = unsigned.split_at(unsigned.bytes().take_while(u8::is_ascii_digit).count());
            if number.is_empty() {
                return Err(WithinError::NoNumber { text: whole(), rest: rest.to_owned() });
            }
            let number = number.to_owned();
            let Some(unit) = after.chars().next() else {
                return Err(WithinError::NoUnit { text: whole(), number });
            };
            let Some(place) = "ymdh".find(unit) else {
                return Err(WithinError::UnknownUnit { text: whole(), number, unit });
            };
            if unsigned.len() != rest.len() {
                return Err(WithinError::Negative { text: whole() });
            }
            let amount = number.parse::<u32>().ok().filter(|amount| unit != 'h' || *amount <= MAX_HOURS);
            let Some(amount) = amount else {
                return Err(WithinError::TooLarge { text: whole(), number, unit });
            };
            if amounts[place].replace(amount).is_some() {
                return Err(WithinError::Twice { text: whole(), unit });
            }
            rest = &after[1..];
        }
        let [years, months, days, hours] = amounts.map(Option::unwrap_or_default);
        if [years, months, days, hours] == [0; 4] {
            return Err(WithinError::Zero { text: whole() });
        }
        Ok(Self { spelling: text.trim().to_owned(), years, months, days, hours })
    }

    /// The age as it was written.
    /// How many hours it is, unless it counts in years and months, which are not all of one length.
    pub fn hours(&self) -> Option<u64> {
        (self.years == 0 && self.months == 0).then(|| u64::from(self.days) * 24 + u64::from(self.hours))
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.spelling
    }

    /// The moment that a point must be younger than, counted back from `newest` as Go's `AddDate` does it; nothing when
    /// it lies before all of time.
    ///
    /// `AddDate` subtracts years and months from the date's numbers, and lets a day that the month doesn't have run
    /// over into the next one: a month before 31 March is 31 February, which is 3 March. All of it happens on the
    /// clock of `newest`'s own offset.
    pub(super) fn before(&self, newest: Point) -> Option<Timestamp> {
        let local = newest.local();
        let months = (i64::from(local.year()) - i64::from(self.years)) * 12 + i64::from(local.month())
            - 1
            - i64::from(self.months);
        let year = i16::try_from(months.div_euclid(12)).ok()?;
        let month = i8::try_from(months.rem_euclid(12) + 1).ok()?;
        let days = i64::from(local.day()) - 1 - i64::from(self.days);
        let date = civil::Date::new(year, month, 1).ok()?.checked_add(jiff::Span::new().try_days(days).ok()?).ok()?;
        let moment = newest.offset.to_timestamp(date.to_datetime(local.time())).ok()?;
        moment.checked_sub(jiff::SignedDuration::from_hours(i64::from(self.hours))).ok()
    }
}

impl fmt::Display for Within {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.spelling)
    }
}

impl TryFrom<String> for Within {
    type Error = WithinError;

    fn try_from(text: String) -> Result<Self, WithinError> {
        Self::parse(&text)
    }
}

impl From<Within> for String {
    fn from(within: Within) -> Self {
        within.spelling
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn before(within: &str, newest: &str) -> String {
        let newest = Point::parse(newest).unwrap();
        let moment = Within::parse(within).unwrap().before(newest).unwrap();
        Point { timestamp: moment, ..newest }.to_string()
    }

    #[test]
    fn an_age_keeps_its_spelling() {
        assert_eq!(Within::parse("1y5m7d2h").unwrap().as_str(), "1y5m7d2h");
        assert_eq!(Within::parse(" 036h ").unwrap().as_str(), "036h");
    }

    #[test]
    fn what_is_no_age_is_refused_with_the_reason() {
        let refusal = |text: &str| Within::parse(text).unwrap_err().to_string();
        insta::assert_snapshot!(refusal("7"), @r#"no unit after 7 in "7": write years, months, days and hours as 1y5m7d2h, each with its letter y, m, d or h"#);
        insta::assert_snapshot!(refusal("2w"), @r#"unknown unit 'w' after 2 in "2w": write years, months, days and hours as 1y5m7d2h, each with its letter y, m, d or h"#);
        insta::assert_snapshot!(refusal("1y 5m"), @r#"no number before " 5m" in "1y 5m": write years, months, days and hours as 1y5m7d2h, each with its letter y, m, d or h"#);
        insta::assert_snapshot!(refusal("-3d"), @r#""-3d" has a negative number, but an age can't be negative: leave the minus sign out"#);
        insta::assert_snapshot!(refusal("1d2d"), @r#"unit 'd' is named twice in "1d2d": add the two numbers up"#);
        insta::assert_snapshot!(refusal("0d"), @r#""0d" is no time at all, which keeps nothing: write years, months, days and hours as 1y5m7d2h, each with its letter y, m, d or h"#);
        insta::assert_snapshot!(refusal("2562048h"), @r#"2562048h in "2562048h" is too much: keep_all = true keeps every point"#);
        for text in ["", "d", "-", "--1d", "7D", "٣d", "1,5d", "99999999999y", "7µ"] {
            assert!(Within::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn months_run_over_as_in_go() {
        assert_eq!(before("1m", "2025-03-31T12:00:00Z"), "2025-03-03T12:00:00Z");
        assert_eq!(before("1m", "2024-03-31T12:00:00Z"), "2024-03-02T12:00:00Z");
        assert_eq!(before("1y", "2024-02-29T12:00:00Z"), "2023-03-01T12:00:00Z");
        assert_eq!(before("13m1d", "2025-01-31T00:30:00+02:00"), "2023-12-30T00:30:00+02:00");
        assert_eq!(before("1y5m7d2h", "2025-01-01T01:00:00Z"), "2023-07-24T23:00:00Z");
    }

    #[test]
    fn an_age_before_all_of_time_has_no_moment() {
        let newest = Point::parse("2025-01-01T00:00:00Z").unwrap();
        assert_eq!(Within::parse("20000y").unwrap().before(newest), None);
        assert_eq!(Within::parse("4294967295d").unwrap().before(newest), None);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_an_age_or_refused(text in "[-0-9ymdhµ ]{0,12}") {
            if let Ok(within) = Within::parse(&text) {
                within.before(Point::parse("2025-03-31T12:00:00+14:00").unwrap());
            }
        }
    }
}
