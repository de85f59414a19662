//! Restores a path from a repository: the engine's side of the restore state machine.

use std::path::{Path, PathBuf};

use async_trait::async_trait;

use super::error::EngineError as Error;
use super::notes::Pin;
use super::points::{self, Phase, SAFETY_TAG, Series};
use super::site::{ENDS_WITH_US, Site, failure, unexpected};
use super::source::BackupOptions;
use super::worker::{Job, Outcome};
use super::writer::{Extra, RestoreOptions};
use super::{drill, folder};
use crate::engines::concepts::RestoreEngine;
use crate::ledger::{PinnedPoint, Record};
use crate::run::{EngineError, Journal, Listing, Pins, Point, PointKind, Points, Probe, Restore, Restored, Safety};

/// The beginning of the tag that names the run of a safety backup.
pub(super) const RUN_TAG: &str = "dr-run-";

/// A path to restore.
pub struct PathRestore {
    /// The repository.
    pub site: Site,
    /// Which points count.
    pub series: Series,
    /// What is restored, in the point.
    pub path: PathBuf,
    /// Patterns of what is restored; none means everything.
    pub include: Vec<String>,
    /// Where it goes.
    pub to: PathBuf,
    /// What becomes of files that the point does not hold.
    pub extra: Extra,
    /// Whether the content of files that look right is compared.
    pub verify_existing: bool,
    /// The file system that an earlier restore left it on.
    pub file_system: Option<String>,
    /// The folder of the drill that it is part of: nothing outside is written, whatever links lead there.
    pub drill: Option<PathBuf>,
}

/// The points of a series, as the state machines take them.
async fn list(site: &Site, series: &Series) -> Result<Listing, EngineError> {
    let all = site.points().await.map_err(|error| failure(&error))?;
    let own: Vec<_> = all.iter().filter(|point| series.holds(point)).collect();
    let whole = own.iter().filter(|point| point.phase == Phase::Complete);
    let mut hosts: Vec<String> = whole.map(|point| point.host.clone()).collect();
    hosts.sort();
    hosts.dedup();
    if hosts.len() > 1 && series.host.is_none() {
        let place = site.place();
        return Err(failure(&Error::SeveralHosts { place, series: series.to_string(), hosts }));
    }
    let points: Vec<Point> = own.into_iter().filter_map(as_run_point).collect();
    let first_use = site.first_use(points.len(), all.len()).await?;
    let near_misses = if points.is_empty() { points::near_misses(&all, series) } else { Vec::new() };
    let looked = format!("{} for {series}", site.place());
    Ok(Listing { points, first_use, looked, near_misses, unreadable: points::unreadable(&all) })
}

/// As the state machines take it; `None` when nothing can be read of it.
pub fn as_run_point(point: &points::Point) -> Option<Point> {
    let kind = match point.phase {
        Phase::Complete => PointKind::Backup,
        Phase::Safety => PointKind::Safety,
        Phase::Incomplete => PointKind::Incomplete,
        Phase::Unreadable => return None,
    };
    let time = point.timestamp()?;
    Some(Point { id: point.id.clone(), time, bytes: point.bytes, items: point.items, kind })
}

#[async_trait]
impl Points for PathRestore {
    fn interrupted(&self) -> &'static str {
        ENDS_WITH_US
    }

    async fn list(&self) -> Result<Listing, EngineError> {
        list(&self.site, &self.series).await
    }

    async fn check_readable(&self, _: &PinnedPoint) -> Result<(), EngineError> {
        // Listing it took the password and read the point's own file; what it refers to is checked blob by blob while
        // it is read, and nothing of a target is removed for it before.
        Ok(())
    }
}

#[async_trait]
impl Restore for PathRestore {
    async fn probe(&self) -> Result<Probe, EngineError> {
        if let Some(folder) = &self.drill {
            drill::parent(folder, &self.to, false).map_err(|error| failure(&error))?;
        }
        Ok(folder::look(&self.to, self.file_system.as_deref(), self.drill.is_some()).await)
    }

    async fn restore(&self, point: &PinnedPoint, again: bool, journal: &Journal) -> Result<Restored, EngineError> {
        let usual = RestoreOptions {
            snapshot: point.id.clone(),
            path: self.path.clone(),
            include: self.include.clone(),
            to: self.to.clone(),
            extra: self.extra,
            verify_existing: self.verify_existing,
            take_over: again,
            drill: self.drill.clone(),
        };
        // A safety backup holds the whole destination under its own path, as it was: what is not in it came with the
        // restore that is rolled back.
        let is_safety = journal.record().await.safety_point.is_some_and(|safety| safety.id == point.id);
        let options = match is_safety {
            true => RestoreOptions { path: self.to.clone(), include: Vec::new(), extra: Extra::Delete, ..usual },
            false => usual,
        };
        match self.site.order_with(Job::Restore { options }, journal).await? {
            Outcome::Restore(report) => {
                let counts = journal.record().await.counts;
                Ok(Restored {
                    bytes: counts.bytes.max(report.bytes),
                    items: report.files + report.dirs + report.links + report.skipped_same,
                    warnings: report.warnings,
                })
            }
            _ => Err(failure(&unexpected())),
        }
    }

    /// Nothing can be kept in a repository that is only read, as in a drill.
    fn pins(&self) -> Option<&dyn Pins> {
        (!self.site.read_only).then_some(self)
    }

    async fn verify(&self, point: &PinnedPoint, _: &Journal) -> Result<(), EngineError> {
        // Every blob was checked against its name before it was written, and every file was renamed into place whole;
        // here it is made to outlive a power cut before the ledger says that it is done.
        let to = self.to.clone();
        let sync = move || sync_below(&to);
        // It takes as long as the disk does, and the lease is renewed meanwhile. What a disk or server refused of what was
        // written is said here, and nowhere else.
        let synced = tokio::task::spawn_blocking(sync).await.unwrap_or_else(|error| Err(error.into()));
        synced.map_err(|error| {
            let to = self.to.display();
            EngineError::new(format!("not everything that was written to {to} reached its disk or server: {error}"))
        })?;
        match std::fs::symlink_metadata(&self.to) {
            Ok(_) => Ok(()),
            Err(error) => Err(EngineError::new(format!(
                "{} is not there after the restore of {}: {error}",
                self.to.display(),
                point.id
            ))),
        }
    }
}

/// Has the file system of a folder written down. One that may not be opened is reached by its parent.
fn sync_below(folder: &Path) -> std::io::Result<()> {
    let parent = folder.parent().unwrap_or(folder);
    match std::fs::File::open(folder).or_else(|_| std::fs::File::open(parent)) {
        Ok(folder) => Ok(rustix::fs::syncfs(folder)?),
        Err(error) => {
            tracing::warn!(%error, "the file system could not be synced");
            Ok(())
        }
    }
}

#[async_trait]
impl Pins for PathRestore {
    async fn pin(&self, journal: &Journal) -> Result<(), EngineError> {
        let failed = |error: Error| EngineError::nothing_written(error.to_string());
        let mark = journal.mark().await.map_err(|error| EngineError::nothing_written(error.to_string()))?;
        let record = journal.record().await;
        let points = record.point.iter().chain(&record.safety_point).cloned().collect();
        let pin = Pin::new(&record.key, &record.target, points);
        self.site.notes().map_err(|error| failed(error.into()))?.pin(&mark, &pin).await.map_err(failed)
    }

    async fn unpin(&self, runs: &[Record]) -> Result<(), EngineError> {
        let marks: Vec<&str> = runs.iter().flat_map(Record::marks).collect();
        let notes = self.site.notes().map_err(|error| failure(&error.into()))?;
        notes.unpin(&marks).await.map_err(|error| {
            let way_out = "The next backup of this machine tries to let them go again, or remove that file";
            EngineError::new(format!("{}. {way_out}", failure(&error).message))
        })
    }
}

#[async_trait]
impl Safety for PathRestore {
    async fn take(&self, journal: &Journal) -> Result<PinnedPoint, EngineError> {
        let tag = format!("{RUN_TAG}{}", journal.key().await);
        let began = journal.record().await.times.recorded;
        let all = self.site.points().await.map_err(|error| failure(&error))?;
        let taken = |found: &&points::Point| {
            // One that lacks something is of no use: it is `Incomplete`.
            found.phase == Phase::Safety && found.tags.contains(&tag) && found.timestamp() >= began
        };
        if let Some(found) = all.iter().find(taken).and_then(as_run_point) {
            return Ok(found.pinned());
        }
        // It belongs to the host whose point it makes way for.
        let pin = journal.record().await.point.map(|point| point.id);
        let restored = all.iter().find(|found| Some(&found.id) == pin.as_ref());
        let options = BackupOptions {
            paths: vec![self.to.clone()],
            tags: vec![SAFETY_TAG.to_owned(), tag],
            host: restored.map(|found| found.host.clone()).or_else(|| self.series.host.clone()),
            ..BackupOptions::default()
        };
        match self.site.order_with(Job::Backup { options }, journal).await? {
            Outcome::Backup(report) => pinned(&report),
            _ => Err(failure(&unexpected())),
        }
    }
}

impl RestoreEngine for PathRestore {
    fn landmark(&self) -> Option<String> {
        folder::file_system(&self.to)
    }
}

/// A new point as a record keeps it.
pub(super) fn pinned(report: &super::source::BackupReport) -> Result<PinnedPoint, EngineError> {
    let time = report.time.parse().map_err(|error| EngineError::new(format!("the new point has no time: {error}")))?;
    Ok(PinnedPoint { id: report.snapshot.clone(), time, bytes: Some(report.bytes_processed) })
}
