//! What stacked periods keep, where that differs from restic, and whose days they are.

use jiff::SignedDuration;

use super::*;

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn kept(times: &[&str], keep: &Keep, time_zone: &str) -> Vec<bool> {
    let times: Vec<_> = times.iter().map(|text| time(text)).collect();
    apply(&times, keep, &TimeZone::get(time_zone).unwrap()).unwrap()
}

/// How many of a regular series are kept, and the oldest of them.
fn of_series(step_hours: i64, count: i64, keep: &Keep) -> String {
    let newest = time("2026-07-15T02:00:00Z");
    let series: Vec<_> = (0..count).map(|index| newest - SignedDuration::from_hours(step_hours * index)).collect();
    let kept = apply(&series, keep, &TimeZone::UTC).unwrap();
    let kept: Vec<_> = series.iter().zip(kept).filter(|(_, kept)| *kept).map(|(time, _)| time).collect();
    format!("{} ({})", kept.len(), kept.last().unwrap().strftime("%F"))
}

#[test]
fn periods_are_stacked() {
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
    assert_eq!(hourly(keep(3, 0, 7, 0, 0, 0)), "10 (2026-07-08)");
    assert_eq!(hourly(keep(3, 0, 7, 4, 6, 0)), "20 (2025-12-31)");
    assert_eq!(hourly(keep(0, 24, 7, 0, 0, 0)), "31 (2026-07-07)");
    assert_eq!(daily(keep(3, 0, 7, 0, 0, 0)), "10 (2026-07-06)");
    assert_eq!(daily(keep(3, 0, 7, 4, 6, 0)), "20 (2025-12-31)");
    assert_eq!(daily(keep(0, 0, 7, 4, 12, 2)), "23 (2025-06-30)");
}

#[test]
fn days_are_those_of_the_server() {
    let times = ["2026-07-15T00:30:00Z", "2026-07-14T22:30:00Z", "2026-07-14T12:00:00Z"];
    let daily = Keep { daily: Some(2), ..Keep::default() };
    assert_eq!(kept(&times, &daily, "UTC"), [true, true, false]);
    assert_eq!(kept(&times, &daily, "Europe/Berlin"), [true, false, true]);
}

#[test]
fn an_hour_that_happens_twice_is_one_hour() {
    // The clocks of Berlin showed half past two at both of the first two.
    let times = ["2026-10-25T01:30:00Z", "2026-10-25T00:30:00Z", "2026-10-24T23:30:00Z"];
    assert_eq!(kept(&times, &Keep { hourly: Some(2), ..Keep::default() }, "Europe/Berlin"), [true, false, true]);
}

#[test]
fn weeks_are_iso_weeks() {
    let times = ["2025-01-03T02:00:00Z", "2024-12-31T02:00:00Z", "2024-12-24T02:00:00Z"];
    assert_eq!(kept(&times, &Keep { weekly: Some(2), ..Keep::default() }, "UTC"), [true, false, true]);
}

#[test]
fn everything_is_kept_when_the_policy_says_so() {
    assert_eq!(kept(&["2025-01-03T02:00:00Z"; 2], &Keep { all: true, ..Keep::default() }, "UTC"), [true, true]);
}
