//! Runs across clock changes, leap days and years' ends, and the laws that all runs obey.

use std::collections::BTreeSet;

use jiff::Zoned;
use proptest::prelude::*;

use super::super::field;
use super::*;

const BERLIN: &str = "Europe/Berlin";
const NEW_YORK: &str = "America/New_York";

fn runs(cron: &str, from: &str, count: i64, zone: &str) -> String {
    next_runs(cron, from, count, zone).unwrap().join("\n")
}

fn hours(cron: &str, zone: &str, year: i64) -> f64 {
    max_gap(cron, zone, year).unwrap().as_secs_f64() / 3600.0
}

#[test]
fn runs_come_after_from_with_the_zones_offset() {
    insta::assert_snapshot!(runs("0 2 * * *", "2026-07-15T00:00:00Z", 2, BERLIN), @"
    2026-07-16T02:00:00+02:00
    2026-07-17T02:00:00+02:00
    ");
    insta::assert_snapshot!(runs("0 2 * * *", "2026-07-14T23:59:59.5Z", 1, BERLIN), @"2026-07-15T02:00:00+02:00");
    insta::assert_snapshot!(runs("@hourly", "2026-07-15T00:00:00+02:00", 2, "UTC"), @"
    2026-07-14T23:00:00Z
    2026-07-15T00:00:00Z
    ");
}

#[test]
fn in_spring_a_skipped_time_does_not_run() {
    insta::assert_snapshot!(runs("30 2 * * *", "2026-03-28T00:00:00Z", 2, BERLIN), @"
    2026-03-28T02:30:00+01:00
    2026-03-30T02:30:00+02:00
    ");
    insta::assert_snapshot!(runs("*/30 1-3 * * *", "2026-03-29T00:00:00+01:00", 5, BERLIN), @"
    2026-03-29T01:00:00+01:00
    2026-03-29T01:30:00+01:00
    2026-03-29T03:00:00+02:00
    2026-03-29T03:30:00+02:00
    2026-03-30T01:00:00+02:00
    ");
    insta::assert_snapshot!(runs("0 2 * * *", "2026-03-07T12:00:00Z", 1, NEW_YORK), @"2026-03-09T02:00:00-04:00");
}

#[test]
fn in_autumn_a_repeated_time_runs_twice() {
    insta::assert_snapshot!(runs("30 2 * * *", "2026-10-24T12:00:00Z", 3, BERLIN), @"
    2026-10-25T02:30:00+02:00
    2026-10-25T02:30:00+01:00
    2026-10-26T02:30:00+01:00
    ");
    insta::assert_snapshot!(runs("*/30 1 * * *", "2026-11-01T00:00:00-04:00", 5, NEW_YORK), @"
    2026-11-01T01:00:00-04:00
    2026-11-01T01:30:00-04:00
    2026-11-01T01:00:00-05:00
    2026-11-01T01:30:00-05:00
    2026-11-02T01:00:00-05:00
    ");
    // Asked from within the repeated hour, on its first and on its second pass.
    insta::assert_snapshot!(runs("30 2 * * *", "2026-10-25T02:45:00+02:00", 1, BERLIN), @"2026-10-25T02:30:00+01:00");
    insta::assert_snapshot!(runs("30 2 * * *", "2026-10-25T02:45:00+01:00", 1, BERLIN), @"2026-10-26T02:30:00+01:00");
}

#[test]
fn leap_days_come_every_four_years_and_sometimes_every_eight() {
    insta::assert_snapshot!(runs("0 0 29 2 *", "2092-03-01T00:00:00Z", 2, "UTC"), @"
    2096-02-29T00:00:00Z
    2104-02-29T00:00:00Z
    ");
    assert_eq!(hours("0 0 29 2 *", "UTC", 2100), 24.0 * (8.0 * 365.0 + 1.0));
    assert_eq!(hours("0 0 29 2 *", "UTC", 2025), 24.0 * (4.0 * 365.0 + 1.0));
}

#[test]
fn either_of_the_two_day_fields_is_enough() {
    insta::assert_snapshot!(runs("0 0 13 * FRI", "2026-03-01T00:00:00Z", 4, "UTC"), @"
    2026-03-06T00:00:00Z
    2026-03-13T00:00:00Z
    2026-03-20T00:00:00Z
    2026-03-27T00:00:00Z
    ");
    assert_eq!(
        runs("0 0 * * 0", "2026-03-01T00:00:00Z", 3, "UTC"),
        runs("0 0 * * SUN,7", "2026-03-01T00:00:00Z", 3, "UTC")
    );
}

#[test]
fn macros_mean_what_cron_says() {
    let next = |cron| runs(cron, "2026-07-15T10:20:30Z", 1, "UTC");
    assert_eq!(next("@hourly"), "2026-07-15T11:00:00Z");
    assert_eq!(next("@daily"), "2026-07-16T00:00:00Z");
    assert_eq!(next("@midnight"), "2026-07-16T00:00:00Z");
    assert_eq!(next("@weekly"), "2026-07-19T00:00:00Z");
    assert_eq!(next("@monthly"), "2026-08-01T00:00:00Z");
    assert_eq!(next("@yearly"), "2027-01-01T00:00:00Z");
    assert_eq!(next("@annually"), "2027-01-01T00:00:00Z");
}

#[test]
fn the_longest_gap_knows_clock_changes() {
    assert_eq!(hours("0 4 * * *", "UTC", 2026), 24.0);
    // The night of the change has 25 hours in autumn.
    assert_eq!(hours("0 4 * * *", BERLIN, 2026), 25.0);
    // Half past two does not come on 29 March.
    assert_eq!(hours("30 2 * * *", BERLIN, 2026), 47.0);
    assert_eq!(hours("0 2 * * SUN", NEW_YORK, 2026), 14.0 * 24.0 - 1.0);
    assert_eq!(hours("0 * * * *", BERLIN, 2026), 1.0);
}

#[test]
fn the_longest_gap_reaches_across_the_years_ends() {
    assert_eq!(hours("0 0 1 7 *", "UTC", 2026), 365.0 * 24.0);
    assert_eq!(hours("0 0 1 7 *", "UTC", 2028), 366.0 * 24.0);
    // A run at the very beginning of the year: the gap before it is the year before's.
    assert_eq!(hours("0 0 1 1 *", "UTC", 2025), 365.0 * 24.0);
    assert_eq!(hours("0 0 1 1 *", "UTC", 2024), 366.0 * 24.0);
}

#[test]
fn each_refusal_names_its_argument() {
    let text = |error: CronError| format!("{:?}: {error}", error.argument());
    let refusal = |cron, from, count, zone| text(next_runs(cron, from, count, zone).unwrap_err());
    let from = "2026-07-15T00:00:00Z";
    insta::assert_snapshot!(refusal("@daily", "2026-07-15T00:00:00", 1, "UTC"), @r#"From: "2026-07-15T00:00:00" has no zone, so it can mean any of 27 hours: add Z for UTC, or an offset such as +02:00"#);
    insta::assert_snapshot!(refusal("@daily", from, 0, "UTC"), @"Count: can't list 0 runs: count goes from 1 to 1000");
    insta::assert_snapshot!(refusal("@daily", from, 1001, "UTC"), @"Count: can't list 1001 runs: count goes from 1 to 1000");
    insta::assert_snapshot!(refusal("@daily", from, 1, "CEST"), @r#"TimeZone: "CEST" is not a time zone: use a name from the IANA database, such as "Europe/Berlin" or "UTC""#);
    insta::assert_snapshot!(refusal("0 0 29 2 *", from, 1000, BERLIN), @r#"Count: "0 0 29 2 *" has fewer than 1000 runs before the year 5000, where the calendar ends: ask for fewer"#);
    assert!(refusal("60 * * * *", from, 1, "UTC").starts_with("Cron: "));
    insta::assert_snapshot!(text(max_gap("@daily", "UTC", 4001).unwrap_err()), @"Year: can't look at the year 4001: it goes from 1970 to 4000");
    insta::assert_snapshot!(text(max_gap("@daily", "UTC", 99_999_999).unwrap_err()), @"Year: can't look at the year 99999999: it goes from 1970 to 4000");
}

/// What a line's fields say about a wall clock, read without the calendar library.
fn fits(line: &str, local: &Zoned) -> bool {
    let fields: [&str; 5] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let [minutes, hours, days, months, weekdays] = field::read_all(&fields).unwrap().map(BTreeSet::from_iter);
    let has = |values: &BTreeSet<u8>, value: i8| values.contains(&u8::try_from(value).unwrap());
    let day = has(&days, local.day());
    let weekday = has(&weekdays, local.weekday().to_sunday_zero_offset());
    let either = if fields[2] == "*" || fields[4] == "*" { day && weekday } else { day || weekday };
    has(&minutes, local.minute()) && has(&hours, local.hour()) && has(&months, local.month()) && either
}

fn lines() -> impl Strategy<Value = String> {
    let minute =
        prop_oneof![Just("*/20".to_owned()), Just("*".to_owned()), (0..60_u8).prop_map(|minute| minute.to_string())];
    let hour = prop_oneof![Just("*".to_owned()), Just("1-3".to_owned()), (0..24_u8).prop_map(|hour| hour.to_string())];
    let day = prop_oneof![3 => Just("*".to_owned()), 1 => (1..29_u8).prop_map(|day| format!("{day}-31/3"))];
    let month = prop_oneof![3 => Just("*".to_owned()), 1 => Just("JAN,MAR-JUL,10-12".to_owned())];
    let weekday = prop_oneof![3 => Just("*".to_owned()), 1 => (0..7_u8).prop_map(|day| format!("{day},7"))];
    (minute, hour, day, month, weekday)
        .prop_map(|(minute, hour, day, month, weekday)| format!("{minute} {hour} {day} {month} {weekday}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    /// Within five days around a clock change, the runs are the very minutes that fit, in order.
    #[test]
    fn runs_are_the_minutes_that_fit(
        line in lines(),
        zone in prop::sample::select(vec![BERLIN, NEW_YORK, "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]),
        change in prop::sample::select(vec!["2026-03-08T07:00:00Z", "2026-03-29T01:00:00Z", "2026-04-04T15:00:00Z", "2026-10-03T15:30:00Z", "2026-10-25T01:00:00Z", "2026-11-01T06:00:00Z"]),
        before in 0_i64..3 * 24 * 60,
    ) {
        let cron = Cron::parse(&line).unwrap();
        let zone = TimeZone::get(zone).unwrap();
        let from = change.parse::<Timestamp>().unwrap() - before.minutes();
        let end = from + (5 * 24 * 60).minutes();
        let found: Vec<Timestamp> = Runs::after(&cron, &zone, from).take_while(|run| *run <= end).collect();
        let minutes = (1..=5 * 24 * 60).map(|minute: i64| from + minute.minutes());
        let fitting: Vec<Timestamp> = minutes.filter(|minute| fits(&line, &minute.to_zoned(zone.clone()))).collect();
        prop_assert_eq!(&found, &fitting);
        // Looking back finds the same runs.
        if let Some(last) = fitting.last() {
            prop_assert_eq!(last_run_until(&cron, &zone, end), Some(*last));
        }
    }

    /// Runs far apart fit too, and come in order.
    #[test]
    fn runs_fit_and_increase(line in lines(), start in 0_i64..4_000_000_000, zone in prop::sample::select(vec![BERLIN, NEW_YORK])) {
        let from = Timestamp::from_second(start).unwrap();
        let runs = next_runs(&line, &from.to_string(), 50, zone).unwrap();
        let moments: Vec<Timestamp> = runs.iter().map(|run| run.parse().unwrap()).collect();
        prop_assert!(moments[0] > from && moments.is_sorted_by(|a, b| a < b));
        let zone = TimeZone::get(zone).unwrap();
        prop_assert!(moments.iter().all(|moment| fits(&line, &moment.to_zoned(zone.clone()))));
    }
}
