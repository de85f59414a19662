//! What is there instead of what was looked for: a misspelt path is the likeliest reason to find nothing.

use super::{Phase, Point, Series, count};
use std::collections::BTreeMap;
use std::path::Path;

/// How many are named.
const NAMED: usize = 3;

/// Sentences about series that come close, the closest first; before them what `host` and `tags` leave out.
pub fn near_misses(points: &[Point], series: &Series) -> Vec<String> {
    let filtered = filtered(points, series);
    if !filtered.is_empty() {
        return filtered;
    }
    let mut groups: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for point in points.iter().filter(|point| point.phase == Phase::Complete) {
        for path in &point.paths {
            *groups.entry((path, &point.host)).or_default() += 1;
        }
    }
    let mut near: Vec<_> =
        groups.into_iter().map(|(group, count)| (distance(&series.path, group.0), group, count)).collect();
    near.sort();
    near.iter()
        .take(NAMED)
        .map(|(_, (path, host), points)| format!("`{path}` of host {host} holds {}", count(*points)))
        .collect()
}

/// Which arguments leave out points that hold the path.
fn filtered(points: &[Point], series: &Series) -> Vec<String> {
    let all = Series { path: series.path.clone(), ..Series::default() };
    let there: Vec<&Point> = points.iter().filter(|point| point.phase == Phase::Complete && all.holds(point)).collect();
    let list = |of: &dyn Fn(&Point) -> Vec<String>| {
        let mut found: Vec<String> = there.iter().flat_map(|point| of(point)).collect();
        found.sort();
        found.dedup();
        found.join(", ")
    };
    let holds = format!("`{}` is in {}", series.path, count(there.len()));
    let by_host = series.host.as_ref().filter(|host| there.iter().all(|point| point.host != **host));
    let by_tags = there.iter().all(|point| series.tags.iter().any(|tag| !point.tags.contains(tag)));
    let host = by_host.map(|host| {
        format!("{holds} of host {}, and `host = {host:?}` leaves them out", list(&|point| vec![point.host.clone()]))
    });
    let tags = (by_tags && !series.tags.is_empty()).then(|| {
        let (wanted, found) = (series.tags.join(", "), list(&|point| point.tags.clone()));
        let found = if found.is_empty() { "without tags".to_owned() } else { format!("with tags {found}") };
        format!("{holds} {found}, and `tags` ({wanted}) leaves them out")
    });
    let both = format!("{holds}, none of which has that `host` and those `tags`");
    match (there.is_empty(), host, tags) {
        (true, _, _) => Vec::new(),
        (false, None, None) if series.host.is_none() && series.tags.is_empty() => Vec::new(),
        (false, None, None) => vec![both],
        (false, host, tags) => host.into_iter().chain(tags).collect(),
    }
}

/// How far a path is from the wanted one: one that lies below it or has its name is closer than any misspelling.
fn distance(wanted: &str, path: &str) -> usize {
    if Path::new(path).starts_with(wanted) {
        0
    } else if Path::new(path).file_name() == Path::new(wanted).file_name() {
        1
    } else {
        2 + edits(wanted, path)
    }
}

/// How many letters have to be put in, taken out or replaced.
fn edits(from: &str, to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (index, letter) in from.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for column in 0..to.len() {
            let replaced = diagonal + usize::from(letter != to[column]);
            diagonal = row[column + 1];
            row[column + 1] = replaced.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row[to.len()]
}
