//! Cron lines: what they mean, when they run, how far apart.
//!
//! A line has the five fields that every cron reads alike: minute, hour, day of month, month, day of week, or is one of
//! `@hourly`, `@daily` (`@midnight`), `@weekly`, `@monthly`, `@yearly` (`@annually`). A field is `*`, or a list of
//! numbers and ranges, each range (and `*`) with an optional step: `*/15`, `1-5`, `0,30`, `8-18/2`. Months and weekdays
//! have names, JAN–DEC and SUN–SAT in any case; Sunday is 0 and 7. When both day of month and day of week are given, a
//! day on which either fits counts. What only some crons know (seconds, years, `L`, `W`, `#`, `?`), or what they read
//! differently, is refused.

mod error;
mod field;
mod memo;
mod runs;

pub use error::{Argument, CronError};
pub use runs::{max_gap, next_runs};

use std::fmt;
use std::sync::Arc;

use croner::parser::{CronParser, Seconds, Year};

use self::memo::Memo;

/// Macros and what they stand for.
const MACROS: [(&str, &str); 7] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
];

/// The most days that each month can have.
const LONGEST: [(u8, &str); 12] = [
    (31, "January"),
    (29, "February"),
    (31, "March"),
    (30, "April"),
    (31, "May"),
    (30, "June"),
    (31, "July"),
    (31, "August"),
    (30, "September"),
    (31, "October"),
    (30, "November"),
    (31, "December"),
];

/// A cron line that runs at some time or other.
#[derive(Clone, Debug)]
pub struct Cron {
    spelling: String,
    /// The same as the numbers that it stands for.
    numbers: String,
    calendar: Arc<croner::Cron>,
}

static READ: Memo<Cron> = Memo::new();

impl Cron {
    /// Reads a line of five fields, or a macro.
    pub fn parse(text: &str) -> Result<Self, CronError> {
        READ.get_or(text, || Self::read(text))
    }

    fn read(text: &str) -> Result<Self, CronError> {
        let line = text.trim();
        let fields = fields(line)?;
        let values = field::read_all(&fields)?;
        refuse_what_crons_read_differently(&fields)?;
        refuse_what_never_runs(line, &fields, &values)?;
        let numbers = values.map(|values| field::write(&values)).join(" ");
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        // Every value is a number within its bounds here; stars in the two day fields have to stay stars.
        let numbers = keep_stars(&numbers, &fields);
        let calendar = parser
            .parse(&numbers)
            .map_err(|source| CronError::Unreadable { line: line.to_owned(), reason: source.to_string() })?;
        Ok(Self { spelling: line.to_owned(), numbers, calendar: Arc::new(calendar) })
    }

    /// The five fields for parsers that know neither names nor ranges with steps nor lists of ranges: those are written as
    /// the numbers that they stand for, and Sunday as 0.
    pub fn in_numbers(&self) -> String {
        // What was parsed once is parsed again.
        let Ok(fields) = fields(&self.spelling) else { return self.spelling.clone() };
        let Ok(values) = field::read_all(&fields) else { return self.spelling.clone() };
        let written = field::FIELDS.iter().zip(fields).zip(values).map(|((field, text), values)| {
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let stepped = text.strip_prefix("*/").is_some_and(digits);
            let ranged = text.split_once('-').is_some_and(|(first, last)| digits(first) && digits(last));
            let has_seven = field.last < field.max && text.contains('7');
            let plain = text == "*" || stepped || ((ranged || text.split(',').all(digits)) && !has_seven);
            if plain { text.to_owned() } else { field::write(&values) }
        });
        written.collect::<Vec<_>>().join(" ")
    }

    /// Whether it is the other line in another spelling.
    pub fn runs_like(&self, other: &Self) -> bool {
        self.numbers == other.numbers
    }

    /// The line as it was written.
    pub fn as_str(&self) -> &str {
        &self.spelling
    }
}

impl fmt::Display for Cron {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.spelling)
    }
}

/// The five fields of a line or of what its macro stands for.
fn fields(line: &str) -> Result<[&str; 5], CronError> {
    let line = if line.starts_with('@') {
        let fields_of = |line: &str| MACROS.iter().find(|(name, _)| *name == line).map(|(_, fields)| *fields);
        if let Some(picked) = line.strip_suffix("-random").and_then(fields_of) {
            let rest = picked.split_once(' ').map(|(_, rest)| rest).unwrap_or_default();
            return Err(CronError::Random { line: line.to_owned(), rest });
        }
        if let Some(distance) = line.strip_prefix("@every ") {
            return Err(CronError::Every { line: line.to_owned(), instead: every(distance.trim()) });
        }
        let stands_for = fields_of(line);
        stands_for.ok_or_else(|| CronError::UnknownMacro { line: line.to_owned() })?
    } else {
        line
    };
    if line.starts_with("TZ=") || line.starts_with("CRON_TZ=") {
        return Err(CronError::TimeZoneInside { line: line.to_owned() });
    }
    let fields: Vec<&str> = line.split_whitespace().collect();
    match fields.len() {
        0 => Err(CronError::Empty),
        count => fields.try_into().map_err(|_| CronError::FieldCount { line: line.to_owned(), count }),
    }
}

/// The line that runs as often as a distance like `6h` or `1h30m`: one that divides an hour, a day or a week.
fn every(distance: &str) -> Option<String> {
    const DAY: u64 = 24 * 60;
    let minutes = minutes(distance)?;
    let stepped = |step: u64| if step == 1 { "*".to_owned() } else { format!("*/{step}") };
    match minutes {
        0 => None,
        _ if minutes < 60 && 60_u64.is_multiple_of(minutes) => Some(format!("{} * * * *", stepped(minutes))),
        _ if minutes.is_multiple_of(60) && minutes < DAY && DAY.is_multiple_of(minutes) => {
            Some(format!("0 {} * * *", stepped(minutes / 60)))
        }
        DAY => Some("0 0 * * *".to_owned()),
        _ if minutes == 7 * DAY => Some("0 0 * * 0".to_owned()),
        _ => None,
    }
}

/// How many minutes a distance in hours, minutes and seconds has, if they are whole.
fn minutes(distance: &str) -> Option<u64> {
    let (mut rest, mut seconds) = (distance, 0_u64);
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|letter: char| !letter.is_ascii_digit())?);
        let unit = match after.chars().next()? {
            'h' => 3600,
            'm' => 60,
            's' => 1,
            _ => return None,
        };
        seconds = number.parse::<u64>().ok()?.checked_mul(unit)?.checked_add(seconds)?;
        rest = &after[1..];
    }
    seconds.is_multiple_of(60).then_some(seconds / 60)
}

/// With both day fields given, crons differ on whether a star with a step counts as given (Vixie: no, Kubernetes: yes).
fn refuse_what_crons_read_differently(fields: &[&str; 5]) -> Result<(), CronError> {
    let (days, weekdays) = (fields[2], fields[4]);
    for (field, stepped, other) in [(&field::FIELDS[2], days, weekdays), (&field::FIELDS[4], weekdays, days)] {
        if stepped.contains("*/") && other != "*" {
            return Err(CronError::SteppedStarBesideDays {
                field: field.name,
                stepped: stepped.to_owned(),
                other: other.to_owned(),
                instead: stepped.replace('*', &format!("{}-{}", field.min, field.last)),
            });
        }
    }
    Ok(())
}

/// A day of month that none of the months has, and no weekday to run on instead.
fn refuse_what_never_runs(line: &str, fields: &[&str; 5], values: &[Vec<u8>; 5]) -> Result<(), CronError> {
    let [_, _, days, months, _] = values;
    if fields[4] != "*" {
        return Ok(());
    }
    let month = |number: &u8| LONGEST[usize::from(*number) - 1];
    let exists = |day: &u8| months.iter().any(|number| *day <= month(number).0);
    if days.iter().any(exists) {
        return Ok(());
    }
    let months: Vec<String> =
        months.iter().map(month).map(|(days, name)| format!("{name} has {days} days at most")).collect();
    Err(CronError::NeverRuns { line: line.to_owned(), day: fields[2].to_owned(), months: months.join(", ") })
}

fn keep_stars(numbers: &str, fields: &[&str; 5]) -> String {
    let fields = numbers.split(' ').zip(fields).map(|(numbers, field)| if *field == "*" { "*" } else { numbers });
    fields.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests;
