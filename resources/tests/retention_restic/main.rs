//! Our arithmetic of restic's retention against the real `restic forget`, over thousands of random series and policies.

mod repository;
mod series;

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;

use dr_resources::retention::{Keep, Point, Within, restic};
use jiff::Timestamp;
use parts::RESTIC;
use rand::{SeedableRng as _, rngs::StdRng};
use repository::{PASSWORD, Repository};
use serde_json::Value;

const SERIES: usize = 108;
const POLICIES: usize = 49;

/// A snapshot's id, and which point of which series it is.
type Places = HashMap<String, (usize, usize)>;

#[test]
fn we_keep_what_the_real_restic_keeps() {
    let restic = RESTIC.get().unwrap();
    let mut random = StdRng::seed_from_u64(3);
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::create(folder.path(), &mut random);

    let all: Vec<Vec<Point>> = (0..SERIES).map(|number| series::series(number, &mut random)).collect();
    let mut places = Places::new();
    for (number, points) in all.iter().enumerate() {
        for (index, point) in points.iter().enumerate() {
            let id = repository.add_snapshot(&point.to_string(), &format!("host-{number}"), &mut random);
            places.insert(id, (number, index));
        }
    }

    let (mut kept_by_both, mut removed_by_both) = (0, 0);
    for number in 0..POLICIES {
        let keep = series::policy(number, &mut random);
        let by_restic = kept_by_restic(&restic, folder.path(), &keep, &places);
        let now = dr_resources::clock::now();
        for (number, points) in all.iter().enumerate() {
            let ours = restic::apply(points, &keep, now);
            let ours = moments(points, ours.iter().enumerate().filter(|(_, kept)| **kept).map(|(index, _)| index));
            let theirs = moments(points, by_restic[number].iter().copied());
            assert_eq!(ours, theirs, "series {number}, policy {keep}, points {}", listing(points));
            kept_by_both += ours.len();
            removed_by_both += points.len() - ours.len();
        }
    }
    println!("{} pairs of series and policy: {kept_by_both} points kept, {removed_by_both} removed", SERIES * POLICIES);
    assert!(kept_by_both > 10_000 && removed_by_both > 10_000, "the policies decide too little to prove anything");
}

/// A month before noon of 15 April, on a clock in Berlin that changed in between: half past ten UTC on 15 March is
/// younger than that with April's offset, and older with March's.
#[test]
fn we_count_back_in_the_newest_points_offset_wherever_that_is_done() {
    let times = ["2023-04-15T12:00:00+02:00", "2023-03-15T10:30:00Z"];
    let keep = Keep { within: Within::parse("1m").ok(), ..Keep::default() };
    let points = times.map(|time| Point::parse(time).unwrap());
    assert_eq!(restic::apply(&points, &keep, dr_resources::clock::now()), [true, true]);

    let mut random = StdRng::seed_from_u64(3);
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::create(folder.path(), &mut random);
    for time in times {
        repository.add_snapshot(time, "host", &mut random);
    }
    let kept = |zone| forget(&RESTIC.get().unwrap(), folder.path(), &keep, zone)[0]["keep"].as_array().unwrap().len();
    assert_eq!(kept("UTC"), 2);
    // restic takes an offset that fits its machine's zone for that zone, and then follows its clock changes.
    assert_eq!(kept("Europe/Berlin"), 1);
}

/// Which points of each series the real restic keeps.
fn kept_by_restic(restic: &Path, repository: &Path, keep: &Keep, places: &Places) -> Vec<Vec<usize>> {
    // The machine's zone plays a part in keep-within where its offset is that of the newest point; UTC has no changes.
    let groups = forget(restic, repository, keep, "UTC");
    assert_eq!(groups.len(), SERIES);
    let mut kept = vec![Vec::new(); SERIES];
    let mut seen = 0;
    for group in &groups {
        let list = |name: &str| group[name].as_array().cloned().unwrap_or_default();
        seen += list("keep").len() + list("remove").len();
        for snapshot in list("keep") {
            let (number, index) = places[snapshot["id"].as_str().unwrap()];
            kept[number].push(index);
        }
    }
    assert_eq!(seen, places.len(), "restic has to look at every point");
    kept
}

/// What `restic forget` on a machine in `zone` would do with each group.
fn forget(restic: &Path, repository: &Path, keep: &Keep, zone: &str) -> Vec<Value> {
    let output = Command::new(restic)
        .args(["--no-cache", "--no-lock", "--json", "forget", "--dry-run"])
        .args(flags(keep))
        .arg("--repo")
        .arg(repository)
        .env("RESTIC_PASSWORD", PASSWORD)
        .env("TZ", zone)
        .output()
        .unwrap();
    assert!(output.status.success(), "restic forget, policy {keep}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn flags(keep: &Keep) -> Vec<String> {
    let counts = [
        ("last", keep.last),
        ("hourly", keep.hourly),
        ("daily", keep.daily),
        ("weekly", keep.weekly),
        ("monthly", keep.monthly),
        ("yearly", keep.yearly),
    ];
    let counts = counts.into_iter().filter_map(|(rule, count)| Some(format!("--keep-{rule}={}", count?)));
    counts.chain(keep.within.iter().map(|within| format!("--keep-within={within}"))).collect()
}

/// The kept moments in order. Of points at the very same moment restic takes the one that it happened to read first, so
/// which of them is not compared.
fn moments(points: &[Point], indexes: impl Iterator<Item = usize>) -> Vec<Timestamp> {
    let mut moments: Vec<_> = indexes.map(|index| points[index].timestamp).collect();
    moments.sort();
    moments
}

fn listing(points: &[Point]) -> String {
    let mut sorted = points.to_vec();
    sorted.sort_by_key(|point| std::cmp::Reverse(point.timestamp));
    sorted.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
