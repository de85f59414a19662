//! Random series of recovery points, and random policies, around everything that calendars trip over.

use dr_resources::retention::{Keep, Point, Within};
use jiff::{SignedDuration, Timestamp, tz::Offset, tz::TimeZone};
use rand::{Rng, rngs::StdRng, seq::IndexedRandom};

const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
/// Offsets in use somewhere, in minutes.
const OFFSETS: [i32; 10] = [0, 60, 120, -300, -240, 330, 345, 765, 840, -720];
const KINDS: usize = 9;

/// The series of a number: every kind comes in turn.
pub fn series(number: usize, random: &mut StdRng) -> Vec<Point> {
    let count = random.random_range(30..=60);
    let start = random.random_range(timestamp("2012-01-01T00:00:00Z")..timestamp("2024-01-01T00:00:00Z"));
    let mut points: Vec<Point> = match number % KINDS {
        0 => (0..count).map(|_| anywhere(start + random.random_range(0..3 * 365 * DAY), random)).collect(),
        1 => (0..count)
            .map(|index| in_zone(start + index * random.random_range(HOUR..3 * HOUR), "Europe/Berlin"))
            .collect(),
        2 => clock_changes(count, random),
        3 => (0..count).map(|index| in_zone(start + index * DAY, "America/New_York")).collect(),
        4 => (0..count).map(|_| at_years_end(random)).collect(),
        5 => (0..count).map(|_| at_months_end(random)).collect(),
        6 => twice_at_once(count, start, random),
        7 => (0..count).map(|_| anywhere(start + random.random_range(0..12 * 365 * DAY), random)).collect(),
        _ => some_in_the_future(count, start, number / KINDS % 2 == 1, random),
    };
    let shift = random.random_range(0..points.len());
    points.rotate_left(shift);
    points
}

/// A policy of one rule, or of a few.
pub fn policy(number: usize, random: &mut StdRng) -> Keep {
    let mut keep = Keep::default();
    set_rule(&mut keep, number % 7, random);
    // The first two rounds show each rule alone.
    if number >= 14 {
        for rule in 0..7 {
            if random.random_bool(0.35) {
                set_rule(&mut keep, rule, random);
            }
        }
    }
    keep
}

fn set_rule(keep: &mut Keep, rule: usize, random: &mut StdRng) {
    let count = Some(*[1, 2, 3, 4, 5, 7, 12, 24, 100].choose(random).unwrap());
    match rule {
        0 => keep.last = count,
        1 => keep.hourly = count,
        2 => keep.daily = count,
        3 => keep.weekly = count,
        4 => keep.monthly = count,
        5 => keep.yearly = count,
        _ => keep.within = Some(age(random)),
    }
}

fn age(random: &mut StdRng) -> Within {
    const AGES: [&str; 16] = [
        "1m", "2m", "1m1d", "11m", "13m", "1y", "1y1m", "4y", "1y5m7d2h", "31d", "2d", "1d1h", "1h", "36h", "24h",
        "9999y",
    ];
    Within::parse(AGES.choose(random).unwrap()).unwrap()
}

fn timestamp(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_second()
}

fn point(second: i64, offset: Offset) -> Point {
    Point { timestamp: Timestamp::from_second(second).unwrap(), offset }
}

fn anywhere(second: i64, random: &mut StdRng) -> Point {
    let offset = Offset::from_seconds(OFFSETS.choose(random).unwrap() * 60).unwrap();
    let point = point(second, offset);
    Point { timestamp: point.timestamp + SignedDuration::from_nanos(random.random_range(0..1_000_000_000)), ..point }
}

fn in_zone(second: i64, zone: &str) -> Point {
    point(second, TimeZone::get(zone).unwrap().to_offset(Timestamp::from_second(second).unwrap()))
}

/// Every 20 minutes or so around the two clock changes of a year in Berlin.
fn clock_changes(count: i64, random: &mut StdRng) -> Vec<Point> {
    let change = timestamp(["2023-03-26T01:00:00Z", "2023-10-29T01:00:00Z"].choose(random).unwrap());
    (0..count)
        .map(|index| in_zone(change + (index - count / 2) * 20 * 60 + random.random_range(0..600), "Europe/Berlin"))
        .collect()
}

fn at_years_end(random: &mut StdRng) -> Point {
    let year = random.random_range(2014..2026);
    let new_year = timestamp(&format!("{year}-01-01T00:00:00Z"));
    anywhere(new_year + random.random_range(-8 * DAY..8 * DAY), random)
}

/// Noon on the last days of a month, or a second beside it, all on one clock: the limits of `keep_within`.
fn at_months_end(random: &mut StdRng) -> Point {
    let year = random.random_range(2019..2022);
    let month = random.random_range(1..=12);
    let first = timestamp(&format!("{year}-{month:02}-01T12:00:00Z"));
    point(first + random.random_range(-4..4) * DAY + random.random_range(-1..=1), Offset::UTC)
}

/// Some moments more than once, with the same offset.
fn twice_at_once(count: i64, start: i64, random: &mut StdRng) -> Vec<Point> {
    let moments: Vec<_> = (0..count / 2).map(|index| in_zone(start + index * 7 * HOUR, "Asia/Kathmandu")).collect();
    (0..count).map(|_| *moments.choose(random).unwrap()).collect()
}

fn some_in_the_future(count: i64, start: i64, all: bool, random: &mut StdRng) -> Vec<Point> {
    let future = timestamp("2190-01-01T00:00:00Z");
    (0..count)
        .map(|index| {
            let from = if all || index % 9 == 0 { future } else { start };
            anywhere(from + random.random_range(0..90 * DAY), random)
        })
        .collect()
}
