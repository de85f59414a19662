//! Points of buckets as Velero writes them.

use serde_json::json;

use super::*;
use crate::engines::velero::testing::{Storage, backup};

fn names(points: &[Point]) -> Vec<&str> {
    points.iter().map(|point| point.name.as_str()).collect()
}

#[tokio::test]
async fn only_backups_that_ended_are_points_and_the_newest_comes_first() {
    let storage = Storage::new();
    assert_eq!(storage.bucket().points().await.unwrap(), []);
    let unfinished =
        ["", "New", "InProgress", "WaitingForPluginOperations", "Finalizing", "FinalizingPartiallyFailed", "Deleting"];
    for (index, phase) in unfinished.into_iter().enumerate() {
        storage.backup(&format!("running-{index}"), phase, 50, &["docs"]).await;
    }
    storage.backup("old", "Completed", 1, &["docs"]).await;
    storage.backup("partial", "PartiallyFailed", 3, &["docs"]).await;
    storage.backup("failed", "Failed", 2, &["docs"]).await;
    storage.put("backups/half/half.tar.gz", "no document: no backup").await;
    storage.put("backups/damaged/velero-backup.json", "{").await;
    let points = storage.bucket().points().await.unwrap();
    assert_eq!(names(&points), ["partial", "failed", "old", "damaged"]);
    let phases: Vec<Phase> = points.iter().map(|point| point.phase).collect();
    assert_eq!(phases, [Phase::PartiallyFailed, Phase::Failed, Phase::Complete, Phase::Unreadable]);
    assert_eq!(points[2].items, Some(12));
    assert_eq!(points[2].expires.as_deref(), Some("2026-12-20T02:00:00Z"));
    assert_eq!(points[2].time.unwrap().to_string(), "2026-11-20T02:00:01Z");
}

#[tokio::test]
async fn a_backup_that_ended_is_read_once_and_one_that_runs_until_it_ends() {
    let storage = Storage::new();
    storage.backup("old", "Completed", 1, &["docs"]).await;
    storage.backup("new", "InProgress", 2, &["docs"]).await;
    assert_eq!(names(&storage.bucket().points().await.unwrap()), ["old"]);
    storage.put("backups/old/velero-backup.json", "{").await;
    storage.backup("new", "Completed", 2, &["docs"]).await;
    let points = storage.bucket().points().await.unwrap();
    assert_eq!(names(&points), ["new", "old"]);
    assert_eq!(points[1].phase, Phase::Complete, "it was read again");
    // Whoever asks for one gets it as it is now.
    assert_eq!(storage.bucket().point("old").await.unwrap().unwrap().phase, Phase::Unreadable);
    // What is gone from the bucket is no point.
    storage.store().delete("backups/old/velero-backup.json").await.unwrap();
    storage.store().delete("backups/old/old.tar.gz").await.unwrap();
    assert_eq!(names(&storage.bucket().points().await.unwrap()), ["new"]);
}

#[tokio::test]
async fn what_failed_in_part_counts_when_the_user_says_so() {
    let storage = Storage::new();
    storage.backup("partial", "PartiallyFailed", 3, &["docs"]).await;
    let point = storage.bucket().point("partial").await.unwrap().unwrap();
    assert_eq!(point.as_run_point(None, false).unwrap().kind, PointKind::Incomplete);
    assert_eq!(point.as_run_point(None, true).unwrap().kind, PointKind::Backup);
    let mut safety = backup("saved", "Completed", 4, &["docs"]);
    safety["metadata"]["labels"][labels::SAFETY] = json!("true");
    storage.document(safety).await;
    let safety = storage.bucket().point("saved").await.unwrap().unwrap();
    assert_eq!(safety.as_run_point(None, true).unwrap().kind, PointKind::Safety);
}

#[tokio::test]
async fn a_series_is_what_holds_all_namespaces() {
    let storage = Storage::new();
    storage.backup("everything", "Completed", 1, &["*"]).await;
    storage.backup("docs", "Completed", 2, &["docs"]).await;
    storage.backup("both", "Completed", 3, &["docs", "mail"]).await;
    let mut unsaid = backup("unsaid", "Completed", 4, &[]);
    unsaid["spec"]["includedNamespaces"] = json!(null);
    unsaid["spec"]["excludedNamespaces"] = json!(["mail"]);
    unsaid["metadata"]["labels"][labels::SCHEDULE] = json!("daily");
    storage.document(unsaid).await;
    let points = storage.bucket().points().await.unwrap();
    let held = |namespaces: &[&str], schedule: Option<&str>| {
        let series = Series {
            namespaces: namespaces.iter().map(|name| name.to_string()).collect(),
            schedule: schedule.map(str::to_owned),
        };
        points.iter().filter(|point| series.holds(point)).map(|point| point.name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(held(&["docs"], None), ["unsaid", "both", "docs", "everything"]);
    assert_eq!(held(&["mail"], None), ["both", "everything"]);
    assert_eq!(held(&["docs", "mail"], None), ["both", "everything"]);
    assert_eq!(held(&["docs"], Some("daily")), ["unsaid"]);
}

#[test]
fn patterns_are_velero_s() {
    for (pattern, name) in [
        ("*", "docs"),
        ("docs", "docs"),
        ("do*", "docs"),
        ("*-prod", "docs-prod"),
        ("d?cs", "docs"),
        ("team-[a-c]", "team-b"),
    ] {
        assert!(fits(pattern, name), "{pattern} {name}");
    }
    for (pattern, name) in
        [("docs", "docs2"), ("do?", "docs"), ("team-[!a]", "team-a"), ("team-[a", "team-a"), ("", "docs")]
    {
        assert!(!fits(pattern, name), "{pattern} {name}");
    }
}
