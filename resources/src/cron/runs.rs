//! When a cron line runs in a time zone, clock changes included.
//!
//! The calendar is computed on plain wall clocks, between one clock change and the next, where a wall clock and time are
//! the same thing. So a run whose hour is skipped in spring does not happen that day, and one whose hour comes twice in
//! autumn happens twice: this is what the schedulers of Kubernetes do (robfig/cron, "jobs scheduled during
//! daylight-savings leap-ahead transitions will not be run"), and what a backup plan has to reckon with.

use std::time::Duration;

use jiff::{Timestamp, ToSpan as _, civil, tz::Offset, tz::TimeZone};

use super::memo::Memo;
use super::{Cron, CronError};
use crate::retention::Point;

/// The next `count` runs (1 to 1000) after `from`, an RFC 3339 time, as RFC 3339 times with the offset of `time_zone`, an
/// IANA name. A run at `from` itself is not listed.
pub fn next_runs(cron: &str, from: &str, count: i64, time_zone: &str) -> Result<Vec<String>, CronError> {
    let cron = Cron::parse(cron)?;
    let from = Point::parse(from)?.timestamp;
    let wanted =
        usize::try_from(count).ok().filter(|count| (1..=1000).contains(count)).ok_or(CronError::Count { count })?;
    let zone = find_zone(time_zone)?;
    let runs: Vec<Timestamp> = Runs::after(&cron, &zone, from).take(wanted).collect();
    if runs.len() < wanted {
        return Err(CronError::TooFarAway { line: cron.to_string(), count });
    }
    let text = |timestamp| Point { timestamp, offset: zone.to_offset(timestamp) }.to_string();
    Ok(runs.into_iter().map(text).collect())
}

/// The longest time between two consecutive runs of which some part lies in `year` (1970 to 4000) in `time_zone`, an
/// IANA name: also from the last run of the year before, and to the first of the year after.
pub fn max_gap(cron: &str, time_zone: &str, year: i64) -> Result<Duration, CronError> {
    GAPS.get_or(&format!("{year} {time_zone} {cron}"), || find_max_gap(cron, time_zone, year))
}

static GAPS: Memo<Duration> = Memo::new();

fn find_max_gap(cron: &str, time_zone: &str, year: i64) -> Result<Duration, CronError> {
    let cron = Cron::parse(cron)?;
    let zone = find_zone(time_zone)?;
    let new_year =
        i16::try_from(year).ok().filter(|year| (1970..=4000).contains(year)).ok_or(CronError::Year { year })?;
    let start_of = |year: i16| zone.to_timestamp(civil::date(year, 1, 1).at(0, 0, 0, 0));
    let (start, end) = start_of(new_year)
        .and_then(|start| Ok((start, start_of(new_year + 1)?)))
        .map_err(|_| CronError::Year { year })?;

    let mut before = last_run_until(&cron, &zone, start);
    let mut longest = 0;
    for run in Runs::after(&cron, &zone, before.unwrap_or(start)) {
        if let Some(before) = before {
            longest = longest.max(run.as_second() - before.as_second());
        }
        if run >= end {
            break;
        }
        before = Some(run);
    }
    Ok(Duration::from_secs(u64::try_from(longest).unwrap_or_default()))
}

fn find_zone(name: &str) -> Result<TimeZone, CronError> {
    TimeZone::get(name).map_err(|_| CronError::UnknownTimeZone { time_zone: name.to_owned() })
}

/// The runs after a moment, up to the end of the calendar.
struct Runs<'a> {
    cron: &'a Cron,
    zone: &'a TimeZone,
    /// Where the search goes on, and whether a run at that very moment is one to find.
    position: Timestamp,
    inclusive: bool,
    /// The offset at `position`, and when the next one begins.
    offset: Offset,
    until: Option<Timestamp>,
}

impl<'a> Runs<'a> {
    fn after(cron: &'a Cron, zone: &'a TimeZone, position: Timestamp) -> Self {
        let mut runs = Self { cron, zone, position, inclusive: false, offset: Offset::UTC, until: None };
        runs.enter(position, false);
        runs
    }

    /// Goes to a moment and learns the clock there.
    fn enter(&mut self, position: Timestamp, inclusive: bool) {
        self.position = position;
        self.inclusive = inclusive;
        self.offset = self.zone.to_offset(position);
        self.until = self.zone.following(position).next().map(|change| change.timestamp());
    }
}

impl Iterator for Runs<'_> {
    type Item = Timestamp;

    fn next(&mut self) -> Option<Timestamp> {
        loop {
            let clock = self.offset.to_datetime(self.position);
            let found = self.cron.calendar.find_next_occurrence(&clock, self.inclusive).ok()?;
            let run = self.offset.to_timestamp(found).ok()?;
            match self.until {
                Some(until) if run >= until => self.enter(until, true),
                _ => {
                    self.position = run;
                    self.inclusive = false;
                    return Some(run);
                }
            }
        }
    }
}

/// The last run at or before a moment.
fn last_run_until(cron: &Cron, zone: &TimeZone, mut position: Timestamp) -> Option<Timestamp> {
    loop {
        let offset = zone.to_offset(position);
        // `preceding` is strict; a change at this very moment is the beginning of its own time.
        let next_second = position.checked_add(1.second()).ok()?;
        let since = zone.preceding(next_second).next().map(|change| change.timestamp());
        let found = cron.calendar.find_previous_occurrence(&offset.to_datetime(position), true).ok()?;
        let run = offset.to_timestamp(found).ok()?;
        match since {
            Some(since) if run < since => position = since.checked_sub(1.second()).ok()?,
            _ => return Some(run),
        }
    }
}

#[cfg(test)]
#[path = "runs_tests.rs"]
mod tests;
