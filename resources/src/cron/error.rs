//! What can be wrong with a cron line and with questions about it.

use crate::retention::TimeError;
use crate::words::counted;

/// An argument of [`next_runs`](super::next_runs) and [`max_gap`](super::max_gap).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// The cron line.
    Cron,
    /// The moment after which runs are listed.
    From,
    /// How many runs.
    Count,
    /// The time zone.
    TimeZone,
    /// The year.
    Year,
}

/// What is wrong, and the way out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    /// Nothing there.
    #[error(
        "the cron line is empty: write five fields (minute, hour, day of month, month, day of week) such as \"0 2 * * *\""
    )]
    Empty,
    /// Too few or too many fields.
    #[error(
        "{line:?} has {} where cron has five (minute, hour, day of month, month, day of week){}", counted(*count, "field", "fields"),
        match count { 6 => ": leave the seconds (or the year) out", 7 => ": leave the seconds and the year out", _ => "" }
    )]
    FieldCount {
        /// The line.
        line: String,
        /// How many fields it has.
        count: usize,
    },
    /// No such macro.
    #[error(
        "{line:?} is no macro of cron: known are {}; or write five fields",
        super::MACROS.map(|(name, _)| name).join(", ")
    )]
    UnknownMacro {
        /// The line.
        line: String,
    },
    /// A time that an engine picks.
    #[error(
        "{line:?} is a time that k8up picks, so that nobody could say when it runs next, or whether backups are late: write \
         five fields. A minute that differs from name to name is \
         \"${{parseint(substr(md5(var.name), 0, 4), 16) % 60}} {rest}\""
    )]
    Random {
        /// The line.
        line: String,
        /// What stands after the minute instead.
        rest: &'static str,
    },
    /// A distance, counted from what only the engine knows.
    #[error(
        "{line:?} counts from the last run, or from the start of the engine's server, so that nobody could say when it runs \
         next: write five fields{}",
        match instead {
            Some(instead) => format!(". As often, by the clock: {instead:?}"),
            None => format!(", such as {:?}", "0 */6 * * *"),
        }
    )]
    Every {
        /// The line.
        line: String,
        /// The line that runs as often, if there is one.
        instead: Option<String>,
    },
    /// A time zone in front of the fields.
    #[error(
        "{line:?} names a time zone, which only some crons read: give it as time_zone and leave only the five fields here"
    )]
    TimeZoneInside {
        /// The line.
        line: String,
    },
    /// A number that the field can't have.
    #[error("{field} {value} does not exist: it goes from {min} to {max}")]
    OutOfBounds {
        /// The field.
        field: &'static str,
        /// The value given.
        value: String,
        /// The smallest there is.
        min: u8,
        /// The largest there is.
        max: u8,
    },
    /// A name that the field doesn't have.
    #[error("{name:?} is no {field}: use a number or {known}")]
    UnknownName {
        /// The field.
        field: &'static str,
        /// The name given.
        name: String,
        /// The names there are.
        known: String,
    },
    /// A field that is put together in a way that isn't cron's.
    #[error("{field} {text:?} can't be read: {hint}")]
    Field {
        /// The field.
        field: &'static str,
        /// What it holds.
        text: String,
        /// What is wrong and what to do.
        hint: String,
    },
    /// Crons disagree on what the line means.
    #[error(
        "{field} {stepped:?} together with {other:?} means \"both\" to some crons and \"either\" to others: write {instead:?} \
         for either, or give only one of day of month and day of week"
    )]
    SteppedStarBesideDays {
        /// The field.
        field: &'static str,
        /// What it holds.
        stepped: String,
        /// What the other day field holds.
        other: String,
        /// The same without a star.
        instead: String,
    },
    /// A line whose day never comes.
    #[error("{line:?} never runs: there is no day {day}, as {months}; pick a day that the month has")]
    NeverRuns {
        /// The line.
        line: String,
        /// The days asked for.
        day: String,
        /// How long the months are.
        months: String,
    },
    /// The calendar library refuses what passed all the checks above.
    #[error("{line:?} can't be read as a cron line: {reason}")]
    Unreadable {
        /// The line.
        line: String,
        /// Why.
        reason: String,
    },
    /// Not a time.
    #[error(transparent)]
    From(#[from] TimeError),
    /// Too few or too many runs.
    #[error("can't list {count} runs: count goes from 1 to 1000")]
    Count {
        /// The number given.
        count: i64,
    },
    /// Runs beyond what the calendar covers.
    #[error("{line:?} has fewer than {count} runs before the year 5000, where the calendar ends: ask for fewer")]
    TooFarAway {
        /// The line.
        line: String,
        /// The number given.
        count: i64,
    },
    /// Not in the time zone database.
    #[error(
        "{time_zone:?} is not a time zone: use a name from the IANA database, such as \"Europe/Berlin\" or \"UTC\""
    )]
    UnknownTimeZone {
        /// The name given.
        time_zone: String,
    },
    /// A year that can't be computed with.
    #[error("can't look at the year {year}: it goes from 1970 to 4000")]
    Year {
        /// The year given.
        year: i64,
    },
}

impl CronError {
    /// The argument at fault.
    pub fn argument(&self) -> Argument {
        match self {
            Self::From(_) => Argument::From,
            Self::Count { .. } | Self::TooFarAway { .. } => Argument::Count,
            Self::UnknownTimeZone { .. } => Argument::TimeZone,
            Self::Year { .. } => Argument::Year,
            _ => Argument::Cron,
        }
    }
}
