//! Which points there are, and which belong together.

use super::*;
use crate::engines::restic::testing::Lab;

fn point(id: &str, time: &str, bytes: u64) -> Point {
    Point {
        id: format!("{id:0<64}"),
        time: Some(time.to_owned()),
        host: "nas".into(),
        paths: vec!["/srv/docs".into()],
        tags: vec!["docs".into()],
        bytes: Some(bytes),
        items: Some(bytes.min(10)),
        phase: Phase::Complete,
        program_version: "test".into(),
        parent: None,
    }
}

fn series(path: &str) -> Series {
    Series { path: path.into(), ..Series::default() }
}

fn three() -> Vec<Point> {
    vec![
        point("c", "2025-10-03T10:00:00Z", 100),
        point("b", "2025-10-02T10:00:00Z", 100),
        point("a", "2025-10-01T10:00:00Z", 100),
    ]
}

#[test]
fn a_series_holds_the_points_of_its_path_and_of_those_above_it() {
    let points = three();
    assert!(series("/srv/docs").holds(&points[0]) && series("/srv/docs/a/b").holds(&points[0]));
    assert!(!series("/srv").holds(&points[0]) && !series("/srv/docs2").holds(&points[0]));
    let laptop = Series { host: Some("laptop".into()), ..series("/srv/docs") };
    let tagged = Series { tags: vec!["other".into()], ..series("/srv/docs") };
    assert!(!laptop.holds(&points[0]) && !tagged.holds(&points[0]));
}

#[test]
fn near_misses_name_what_is_there() {
    let mut points = three();
    points[0].paths = vec!["/mnt/other".into()];
    let near = near_misses(&points, &series("/srv/doc"));
    assert_eq!(near, ["`/srv/docs` of host nas holds 2 points", "`/mnt/other` of host nas holds 1 point"]);
}

#[test]
fn points_that_host_or_tags_leave_out_are_named_with_the_argument() {
    let points = three();
    let asked = |host: Option<&str>, tags: &[&str]| Series {
        host: host.map(str::to_owned),
        tags: tags.iter().map(ToString::to_string).collect(),
        ..series("/srv/docs/a")
    };
    let near = |asked: &Series| near_misses(&points, asked);
    let host = "`/srv/docs/a` is in 3 points of host nas, and `host = \"laptop\"` leaves them out";
    let tags = "`/srv/docs/a` is in 3 points with tags docs, and `tags` (other) leaves them out";
    assert_eq!(near(&asked(Some("laptop"), &["docs"])), [host]);
    assert_eq!(near(&asked(Some("nas"), &["other"])), [tags]);
    assert_eq!(near(&asked(Some("laptop"), &["other"])), [host, tags]);
}

#[test]
fn a_listing_agrees_with_restic_and_survives_a_damaged_file() {
    let lab = Lab::with_repository();
    std::fs::write(lab.data().join("file"), "content").unwrap();
    lab.backup(Default::default());
    lab.restic_ok(&["backup", "--tag", "theirs", lab.data().to_str().unwrap()]);
    let points = list(&lab.open().unwrap(), lab.handle()).unwrap();
    let theirs: serde_json::Value = serde_json::from_str(&lab.restic_ok(&["snapshots", "--json"])).unwrap();
    let mut ids: Vec<_> = theirs.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
    ids.reverse();
    assert_eq!(points.iter().map(|point| point.id.clone()).collect::<Vec<_>>(), ids);
    assert_eq!((points[0].tags.as_slice(), points[0].bytes), (["theirs".to_owned()].as_slice(), Some(7)));
    assert_eq!((points[1].host.as_str(), points[1].bytes), ("nas", Some(7)));

    std::fs::write(lab.repo().join("snapshots").join(&ids[0]), "damaged").unwrap();
    std::fs::write(lab.repo().join("snapshots/no-id"), "ignored").unwrap();
    let points = list(&lab.open().unwrap(), lab.handle()).unwrap();
    assert_eq!(points.iter().map(|point| point.phase).collect::<Vec<_>>(), [Phase::Complete, Phase::Unreadable]);
}

#[test]
fn a_safety_backup_that_lacks_something_is_incomplete() {
    let tagged = |tags: &[&str]| {
        let mut snapshot = SnapshotFile::default();
        tags.iter().for_each(|tag| snapshot.tags.add((*tag).to_owned()));
        Point::of("a", &snapshot).phase
    };
    assert_eq!(tagged(&[SAFETY_TAG]), Phase::Safety);
    assert_eq!(tagged(&[SAFETY_TAG, INCOMPLETE_TAG]), Phase::Incomplete);
}
