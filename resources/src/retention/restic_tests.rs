//! One snapshot per rule of restic's retention, and what the documentation promises about the numbers.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::retention::Within;

fn points(times: &[&str]) -> Vec<Point> {
    times.iter().map(|time| Point::parse(time).unwrap()).collect()
}

/// One line per point, newest first: `+` for kept.
fn picture(times: &[&str], keep: &Keep) -> String {
    let mut text = String::new();
    for (time, kept) in times.iter().zip(apply(&points(times), keep, Timestamp::MAX)) {
        writeln!(text, "{} {time}", if kept { '+' } else { '-' }).unwrap();
    }
    text
}

/// Backups around a year's end, made by a clock in Berlin.
const YEARS_END: [&str; 10] = [
    "2025-01-05T23:30:00+01:00",
    "2025-01-03T02:00:00+01:00",
    "2025-01-01T02:40:00+01:00",
    "2025-01-01T02:00:00+01:00",
    "2024-12-31T02:00:00+01:00",
    "2024-12-29T02:00:00+01:00",
    "2024-12-24T02:00:00+01:00",
    "2024-11-30T02:00:00+01:00",
    "2023-11-30T02:00:00+01:00",
    "2023-11-29T02:00:00+01:00",
];

#[test]
fn last_keeps_the_newest_points() {
    insta::assert_snapshot!(picture(&YEARS_END, &Keep { last: Some(3), ..Keep::default() }), @"
    + 2025-01-05T23:30:00+01:00
    + 2025-01-03T02:00:00+01:00
    + 2025-01-01T02:40:00+01:00
    - 2025-01-01T02:00:00+01:00
    - 2024-12-31T02:00:00+01:00
    - 2024-12-29T02:00:00+01:00
    - 2024-12-24T02:00:00+01:00
    - 2024-11-30T02:00:00+01:00
    - 2023-11-30T02:00:00+01:00
    - 2023-11-29T02:00:00+01:00
    ");
}

#[test]
fn hourly_keeps_the_newest_point_of_each_hour() {
    insta::assert_snapshot!(picture(&YEARS_END, &Keep { hourly: Some(4), ..Keep::default() }), @"
    + 2025-01-05T23:30:00+01:00
    + 2025-01-03T02:00:00+01:00
    + 2025-01-01T02:40:00+01:00
    - 2025-01-01T02:00:00+01:00
    + 2024-12-31T02:00:00+01:00
    - 2024-12-29T02:00:00+01:00
    - 2024-12-24T02:00:00+01:00
    - 2024-11-30T02:00:00+01:00
    - 2023-11-30T02:00:00+01:00
    - 2023-11-29T02:00:00+01:00
    ");
}

#[test]
fn daily_counts_days_on_the_clock_that_each_point_was_made_by() {
    // The first two are one day apart for their makers, and 20 minutes apart in the world.
    let times = ["2025-06-02T00:10:00+02:00", "2025-06-01T21:50:00Z", "2025-06-01T10:00:00Z", "2025-05-31T10:00:00Z"];
    insta::assert_snapshot!(picture(&times, &Keep { daily: Some(2), ..Keep::default() }), @"
    + 2025-06-02T00:10:00+02:00
    + 2025-06-01T21:50:00Z
    - 2025-06-01T10:00:00Z
    - 2025-05-31T10:00:00Z
    ");
}

#[test]
fn weekly_counts_iso_weeks_across_a_years_end() {
    insta::assert_snapshot!(picture(&YEARS_END, &Keep { weekly: Some(3), ..Keep::default() }), @"
    + 2025-01-05T23:30:00+01:00
    - 2025-01-03T02:00:00+01:00
    - 2025-01-01T02:40:00+01:00
    - 2025-01-01T02:00:00+01:00
    - 2024-12-31T02:00:00+01:00
    + 2024-12-29T02:00:00+01:00
    - 2024-12-24T02:00:00+01:00
    + 2024-11-30T02:00:00+01:00
    - 2023-11-30T02:00:00+01:00
    - 2023-11-29T02:00:00+01:00
    ");
}

#[test]
fn the_days_of_one_iso_week_are_one_week_though_the_year_changes() {
    let times = ["2025-01-03T02:00:00Z", "2024-12-31T02:00:00Z", "2024-12-24T02:00:00Z", "2024-12-17T02:00:00Z"];
    insta::assert_snapshot!(picture(&times, &Keep { weekly: Some(2), ..Keep::default() }), @"
    + 2025-01-03T02:00:00Z
    - 2024-12-31T02:00:00Z
    + 2024-12-24T02:00:00Z
    - 2024-12-17T02:00:00Z
    ");
}

#[test]
fn monthly_keeps_the_newest_point_of_each_month_and_the_oldest_of_all_while_some_are_left() {
    insta::assert_snapshot!(picture(&YEARS_END, &Keep { monthly: Some(5), ..Keep::default() }), @"
    + 2025-01-05T23:30:00+01:00
    - 2025-01-03T02:00:00+01:00
    - 2025-01-01T02:40:00+01:00
    - 2025-01-01T02:00:00+01:00
    + 2024-12-31T02:00:00+01:00
    - 2024-12-29T02:00:00+01:00
    - 2024-12-24T02:00:00+01:00
    + 2024-11-30T02:00:00+01:00
    + 2023-11-30T02:00:00+01:00
    + 2023-11-29T02:00:00+01:00
    ");
}

#[test]
fn yearly_keeps_the_newest_point_of_each_year() {
    insta::assert_snapshot!(picture(&YEARS_END, &Keep { yearly: Some(3), ..Keep::default() }), @"
    + 2025-01-05T23:30:00+01:00
    - 2025-01-03T02:00:00+01:00
    - 2025-01-01T02:40:00+01:00
    - 2025-01-01T02:00:00+01:00
    + 2024-12-31T02:00:00+01:00
    - 2024-12-29T02:00:00+01:00
    - 2024-12-24T02:00:00+01:00
    - 2024-11-30T02:00:00+01:00
    + 2023-11-30T02:00:00+01:00
    - 2023-11-29T02:00:00+01:00
    ");
}

#[test]
fn within_a_month_of_the_31st_of_march_reaches_back_to_the_3rd() {
    let times = ["2025-03-31T12:00:00Z", "2025-03-03T12:00:01Z", "2025-03-03T12:00:00Z", "2025-02-28T12:00:00Z"];
    insta::assert_snapshot!(picture(&times, &Keep { within: Within::parse("1m").ok(), ..Keep::default() }), @"
    + 2025-03-31T12:00:00Z
    + 2025-03-03T12:00:01Z
    - 2025-03-03T12:00:00Z
    - 2025-02-28T12:00:00Z
    ");
}

#[test]
fn a_rule_counts_also_what_another_rule_keeps() {
    insta::assert_snapshot!(picture(&YEARS_END, &Keep { last: Some(2), daily: Some(3), ..Keep::default() }), @"
    + 2025-01-05T23:30:00+01:00
    + 2025-01-03T02:00:00+01:00
    + 2025-01-01T02:40:00+01:00
    - 2025-01-01T02:00:00+01:00
    - 2024-12-31T02:00:00+01:00
    - 2024-12-29T02:00:00+01:00
    - 2024-12-24T02:00:00+01:00
    - 2024-11-30T02:00:00+01:00
    - 2023-11-30T02:00:00+01:00
    - 2023-11-29T02:00:00+01:00
    ");
}

#[test]
fn the_answer_comes_in_the_order_given() {
    let mut shuffled = YEARS_END;
    shuffled.rotate_left(4);
    shuffled.swap(0, 3);
    let keep = Keep { last: Some(1), ..Keep::default() };
    let kept = apply(&points(&shuffled), &keep, Timestamp::MAX);
    let kept: Vec<_> = shuffled.iter().zip(kept).filter(|(_, kept)| *kept).map(|(time, _)| *time).collect();
    assert_eq!(kept, [YEARS_END[0]]);
}

#[test]
fn a_point_in_the_future_is_kept_and_is_not_what_within_counts_from() {
    let times =
        points(&["2030-01-01T00:00:00Z", "2025-01-02T00:00:00Z", "2025-01-01T12:00:00Z", "2024-12-01T00:00:00Z"]);
    let keep = Keep { within: Within::parse("1d").ok(), ..Keep::default() };
    let now: Timestamp = "2025-01-03T00:00:00Z".parse().unwrap();
    assert_eq!(apply(&times, &keep, now), [true, true, true, false]);
    assert_eq!(apply(&times[..1], &keep, now), [true]);
}

#[test]
fn everything_is_kept_when_the_policy_says_so() {
    assert_eq!(apply(&points(&YEARS_END), &Keep { all: true, ..Keep::default() }, Timestamp::MAX), [true; 10]);
}

/// How many of a regular series are kept, and the oldest of them.
fn of_series(step_hours: i64, count: i64, keep: &Keep) -> String {
    let newest = Point::parse("2026-07-15T02:00:00Z").unwrap();
    let step = |index| Point { timestamp: newest.timestamp - SignedDuration::from_hours(step_hours * index), ..newest };
    let series: Vec<_> = (0..count).map(step).collect();
    let kept = apply(&series, keep, Timestamp::MAX);
    let kept: Vec<_> =
        series.iter().zip(kept).filter(|(_, kept)| *kept).map(|(point, _)| point.local().date()).collect();
    format!("{} ({})", kept.len(), kept.last().unwrap())
}

#[test]
fn periods_overlap() {
    let keep = |last, hourly, daily, weekly, monthly, yearly| {
        let rule = |count: u32| (count > 0).then_some(count);
        Keep {
            last: rule(last),
            hourly: rule(hourly),
            daily: rule(daily),
            weekly: rule(weekly),
            monthly: rule(monthly),
            yearly: rule(yearly),
            ..Keep::default()
        }
    };
    let hourly = |keep| of_series(1, 200 * 24, &keep);
    let daily = |keep| of_series(24, 400, &keep);
    assert_eq!(hourly(keep(3, 0, 7, 0, 0, 0)), "9 (2026-07-09)");
    assert_eq!(hourly(keep(3, 0, 7, 4, 6, 0)), "16 (2026-02-28)");
    assert_eq!(hourly(keep(0, 24, 7, 0, 0, 0)), "29 (2026-07-09)");
    assert_eq!(daily(keep(3, 0, 7, 0, 0, 0)), "7 (2026-07-09)");
    assert_eq!(daily(keep(3, 0, 7, 4, 6, 0)), "14 (2026-02-28)");
    assert_eq!(daily(keep(0, 0, 7, 4, 12, 2)), "20 (2025-08-31)");
}
