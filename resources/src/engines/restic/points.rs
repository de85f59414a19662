//! Recovery points: what a repository holds, as far as it can be read.

mod near;
mod shrink;

use super::backend::id_in;
use super::crypto::{KeyBytes, unseal_file};
use super::error::EngineError;
use super::repository::Opened;
use super::source::INCOMPLETE_TAG;
use crate::retention;
use crate::store::ObjectStore;
use crate::words::counted;
use futures::{StreamExt, TryStreamExt};
use jiff::Timestamp;
pub use near::near_misses;
use rustic_core::repofile::SnapshotFile;
use serde::{Deserialize, Serialize};
pub(super) use shrink::shrunk;
use std::path::Path;
use tokio::runtime::Handle;

/// How many files are read at once.
const AT_ONCE: usize = 32;

/// The tag of a snapshot that was taken of a target before a restore overwrote it.
pub const SAFETY_TAG: &str = "dr-safety";

/// What a point is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Everything that was to be backed up.
    Complete,
    /// Some of it could not be read.
    Incomplete,
    /// What a restore overwrote.
    Safety,
    /// Its file is damaged; only its id is known.
    Unreadable,
}

/// One snapshot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// 64 digits.
    pub id: String,
    /// When it was taken, in RFC 3339, with the offset of the clock that said so; none when it is unreadable.
    pub time: Option<String>,
    /// The machine.
    pub host: String,
    /// What was backed up.
    pub paths: Vec<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// Bytes of all files; programs before restic 0.17 did not write it down.
    pub bytes: Option<u64>,
    /// How many files.
    pub items: Option<u64>,
    /// What it is good for.
    pub phase: Phase,
    /// The program that made it.
    pub program_version: String,
    /// The point that it was compared with.
    pub parent: Option<String>,
}

/// Which points belong together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Series {
    /// What they hold, itself or below a parent; everything when empty.
    pub path: String,
    /// The machine.
    pub host: Option<String>,
    /// All of these.
    pub tags: Vec<String>,
}

impl Point {
    fn of(id: &str, snapshot: &SnapshotFile) -> Self {
        let tags: Vec<String> = snapshot.tags.iter().cloned().collect();
        let phase = match () {
            // A safety backup that lacks something must neither be restored nor push a whole one out.
            () if tags.iter().any(|tag| tag == INCOMPLETE_TAG) => Phase::Incomplete,
            () if tags.iter().any(|tag| tag == SAFETY_TAG) => Phase::Safety,
            () => Phase::Complete,
        };
        let time = retention::Point { timestamp: snapshot.time.timestamp(), offset: snapshot.time.offset() };
        Point {
            id: id.to_owned(),
            time: Some(time.to_string()),
            host: snapshot.hostname.clone(),
            paths: snapshot.paths.iter().cloned().collect(),
            tags,
            bytes: snapshot.summary.as_ref().map(|summary| summary.total_bytes_processed),
            items: snapshot.summary.as_ref().map(|summary| summary.total_files_processed),
            phase,
            program_version: snapshot.program_version.clone(),
            parent: snapshot.parent.as_ref().map(|parent| parent.to_hex().as_str().to_owned()),
        }
    }

    fn unreadable(id: String) -> Self {
        Point {
            id,
            time: None,
            host: String::new(),
            paths: Vec::new(),
            tags: Vec::new(),
            bytes: None,
            items: None,
            phase: Phase::Unreadable,
            program_version: String::new(),
            parent: None,
        }
    }

    /// Its time with its offset.
    pub fn moment(&self) -> Option<retention::Point> {
        self.time.as_deref().and_then(|time| retention::Point::parse(time).ok())
    }

    /// Its time on the one line that all clocks share.
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.moment().map(|moment| moment.timestamp)
    }

    /// Whether it is known to hold nothing.
    pub fn is_empty(&self) -> bool {
        self.items == Some(0) && self.bytes == Some(0)
    }

    /// The first eight digits, as restic prints them.
    pub fn short(&self) -> &str {
        self.id.get(..8).unwrap_or(&self.id)
    }

    /// One line for a message.
    pub fn line(&self) -> String {
        let bytes = self.bytes.map_or_else(|| "of unknown size".to_owned(), |bytes| format!("{bytes} bytes"));
        let time = self.time.as_deref().unwrap_or("at an unknown time");
        format!("{} {time} {} {bytes}", self.short(), self.host)
    }
}

impl Series {
    /// Whether the point belongs to it.
    pub fn holds(&self, point: &Point) -> bool {
        let within = |path: &String| Path::new(&self.path).starts_with(path);
        point.phase != Phase::Unreadable
            && (self.path.is_empty() || point.paths.iter().any(within))
            && self.host.as_ref().is_none_or(|host| *host == point.host)
            && self.tags.iter().all(|tag| point.tags.contains(tag))
    }
}

impl std::fmt::Display for Series {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", if self.path.is_empty() { "anything" } else { &self.path })?;
        if let Some(host) = &self.host {
            write!(formatter, " of host {host}")?;
        }
        if !self.tags.is_empty() {
            write!(formatter, " with tags {}", self.tags.join(", "))?;
        }
        Ok(())
    }
}

/// How many points, in words.
pub fn count(points: usize) -> String {
    counted(points, "point", "points")
}

/// The ids of those whose files are damaged.
pub fn unreadable<'a>(points: impl IntoIterator<Item = &'a Point>) -> Vec<String> {
    let damaged = points.into_iter().filter(|point| point.phase == Phase::Unreadable);
    damaged.map(|point| point.id.clone()).collect()
}

/// Every point of the repository, newest first; damaged ones last, each as a row without a time. Blocks: not for a
/// runtime's thread.
pub fn list(opened: &Opened, runtime: &Handle) -> Result<Vec<Point>, EngineError> {
    let mut points = runtime.block_on(read_all(opened))?;
    points.sort_by_cached_key(|point| (point.time.is_none(), std::cmp::Reverse(point.timestamp()), point.id.clone()));
    Ok(points)
}

/// Reads the files beside each other: rustic_core reads as many at once as there are processors, which is nothing where
/// each takes a trip to a server.
async fn read_all(opened: &Opened) -> Result<Vec<Point>, EngineError> {
    let entries = opened.store.list("snapshots/").await?;
    let reads = entries.into_iter().filter_map(|entry| {
        let id = id_in(&entry.name)?.to_hex().as_str().to_owned();
        let (store, key) = (opened.store.clone(), opened.key.clone());
        Some(async move { tokio::spawn(async move { read(store.as_ref(), &key, id, &entry.name).await }).await })
    });
    let reads = futures::stream::iter(reads).buffer_unordered(AT_ONCE);
    let broken = |error| EngineError::Repository { action: "reading a recovery point".to_owned(), message: error };
    reads
        .map(|read| read.map_err(|error: tokio::task::JoinError| broken(error.to_string())).flatten())
        .try_filter_map(|point| std::future::ready(Ok(point)))
        .try_collect()
        .await
}

/// One point; none when it was removed meanwhile. Storage that does not answer is an error and no damage: "don't know" is
/// never shown as "unreadable".
async fn read(store: &dyn ObjectStore, key: &KeyBytes, id: String, name: &str) -> Result<Option<Point>, EngineError> {
    let Some(bytes) = store.get_bytes(name).await? else { return Ok(None) };
    let plain = unseal_file(key, &bytes);
    Ok(Some(match plain.and_then(|plain| serde_json::from_slice(&plain).ok()) {
        Some(snapshot) => Point::of(&id, &snapshot),
        None => Point::unreadable(id),
    }))
}

#[cfg(test)]
mod tests;
