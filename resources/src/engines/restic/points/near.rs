//! What is there instead of what was looked for: a misspelt path is the likeliest reason to find nothing.

use super::{Phase, Point, Series};
use std::collections::BTreeMap;
use std::path::Path;

/// How many are named.
const NAMED: usize = 3;

/// Sentences about series that come close, the closest first.
pub fn near_misses(points: &[Point], series: &Series) -> Vec<String> {
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
        .map(|(_, (path, host), count)| {
            let points = if *count == 1 { "1 point".to_owned() } else { format!("{count} points") };
            format!("`{path}` of host {host} holds {points}")
        })
        .collect()
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
