//! Recovery points: Velero's backups, and which of them hold what is asked for.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::documents::BackupDocument;
use super::labels;
use crate::run::{self, PointKind};

/// What a point is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Everything that was to be backed up.
    Complete,
    /// Some of it could not be stored.
    PartiallyFailed,
    /// It failed as a whole.
    Failed,
    /// Its document is damaged.
    Unreadable,
}

/// A backup in the bucket.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Its name: the id of the point.
    pub name: String,
    /// What it is good for.
    pub phase: Phase,
    /// Whether a restore took it of what it was about to overwrite.
    pub safety: bool,
    /// When it began: what it holds is not older.
    pub time: Option<Timestamp>,
    /// When Velero will remove it.
    pub expires: Option<String>,
    /// How many objects it holds.
    pub items: Option<u64>,
    /// How many errors there were.
    pub errors: u64,
    /// The namespaces as they were asked for; `*` is all.
    pub namespaces: Vec<String>,
    /// Namespaces that were left out.
    pub excluded_namespaces: Vec<String>,
    /// The Schedule that made it.
    pub schedule: Option<String>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What was asked for, whole.
    pub spec: Map<String, Value>,
}

impl Point {
    /// Out of its document; `None` for a backup that is not finished, or is going.
    pub fn of(name: &str, document: BackupDocument) -> Option<Self> {
        let BackupDocument { metadata, spec, status } = document;
        let phase = match status.phase.as_str() {
            "Completed" => Phase::Complete,
            "PartiallyFailed" => Phase::PartiallyFailed,
            "Failed" | "FailedValidation" => Phase::Failed,
            // Still running, or an upload that was cut off; anything else would be a phase that is not known yet.
            _ => return None,
        };
        let time = status.start_timestamp.or(metadata.creation_timestamp);
        let namespaces = texts(&spec, "includedNamespaces");
        Some(Point {
            name: name.to_owned(),
            phase,
            safety: metadata.labels.contains_key(labels::SAFETY),
            time: time.and_then(|time| time.parse().ok()),
            expires: status.expiration,
            items: status.progress.map(|progress| progress.items_backed_up),
            errors: status.errors,
            namespaces: if namespaces.is_empty() { vec!["*".to_owned()] } else { namespaces },
            excluded_namespaces: texts(&spec, "excludedNamespaces"),
            schedule: metadata.labels.get(labels::SCHEDULE).cloned(),
            labels: metadata.labels,
            spec,
        })
    }

    /// One of which only the name is known.
    pub fn unreadable(name: &str) -> Self {
        Point {
            name: name.to_owned(),
            phase: Phase::Unreadable,
            safety: false,
            time: None,
            expires: None,
            items: None,
            errors: 0,
            namespaces: Vec::new(),
            excluded_namespaces: Vec::new(),
            schedule: None,
            labels: BTreeMap::new(),
            spec: Map::new(),
        }
    }

    /// Whether it was to hold a namespace.
    pub fn holds(&self, namespace: &str) -> bool {
        let fits = |pattern: &String| fits(pattern, namespace);
        self.namespaces.iter().any(fits) && !self.excluded_namespaces.iter().any(fits)
    }

    /// As the state machines take it; `None` when nothing can be read of it.
    pub fn as_run_point(&self, bytes: Option<u64>, accept_partial: bool) -> Option<run::Point> {
        let kind = match self.phase {
            Phase::Unreadable => return None,
            _ if self.safety => PointKind::Safety,
            Phase::Complete => PointKind::Backup,
            Phase::PartiallyFailed if accept_partial => PointKind::Backup,
            Phase::PartiallyFailed | Phase::Failed => PointKind::Incomplete,
        };
        Some(run::Point { id: self.name.clone(), time: self.time?, bytes, items: self.items, kind })
    }
}

/// Which points belong together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Series {
    /// All of these namespaces are in them.
    pub namespaces: Vec<String>,
    /// The Schedule that made them.
    pub schedule: Option<String>,
}

impl Series {
    /// Whether the point belongs to it.
    pub fn holds(&self, point: &Point) -> bool {
        self.namespaces.iter().all(|namespace| point.holds(namespace))
            && self.schedule.as_ref().is_none_or(|schedule| point.schedule.as_ref() == Some(schedule))
    }
}

impl std::fmt::Display for Series {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.namespaces.as_slice() {
            [] => write!(formatter, "any namespace")?,
            [one] => write!(formatter, "namespace {one}")?,
            several => write!(formatter, "namespaces {}", several.join(", "))?,
        }
        self.schedule.iter().try_for_each(|schedule| write!(formatter, " of schedule {schedule}"))
    }
}

/// The texts of a list in a spec.
pub fn texts(spec: &Map<String, Value>, field: &str) -> Vec<String> {
    let list = spec.get(field).and_then(Value::as_array);
    list.into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
}

/// Whether a name fits a pattern of `*`, `?` and sets of letters in brackets.
pub fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    matches(&pattern, &name)
}

fn matches(pattern: &[char], name: &[char]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        (['*', rest @ ..], _) => (0..=name.len()).any(|skipped| matches(rest, &name[skipped..])),
        (['?', rest @ ..], [_, name @ ..]) => matches(rest, name),
        (['[', rest @ ..], [letter, name @ ..]) => match rest.iter().position(|end| *end == ']') {
            Some(end) => in_set(&rest[..end], *letter) && matches(&rest[end + 1..], name),
            None => false,
        },
        ([wanted, rest @ ..], [letter, name @ ..]) => wanted == letter && matches(rest, name),
        _ => false,
    }
}

/// Whether a letter is in a set like `a-c` or `!x`.
fn in_set(set: &[char], letter: char) -> bool {
    let (negated, set) = match set {
        ['!' | '^', rest @ ..] => (true, rest),
        set => (false, set),
    };
    let within = match set {
        [from, '-', to] => (*from..=*to).contains(&letter),
        set => set.contains(&letter),
    };
    within != negated
}

#[cfg(test)]
mod tests;
