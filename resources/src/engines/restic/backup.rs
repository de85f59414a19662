//! Backs paths up into a repository: the engine's side of the backup state machine.

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use super::folder;
use super::points::{Point, Series};
use super::restore::{as_run_point, pinned};
use super::site::{ENDS_WITH_US, Site, failure, unexpected};
use super::source::BackupOptions;
use super::worker::{Job, Outcome};
use crate::ledger::PinnedPoint;
use crate::run::{
    self, Backup, BackupStored, EngineError, FirstUse, Held, History, Journal, Listing, Points, Probe, ReadBack,
};
use crate::words::counted;

/// Paths to back up.
pub struct PathBackup {
    /// The repository.
    pub site: Site,
    /// What and how.
    pub options: BackupOptions,
}

impl PathBackup {
    /// The points of a path. Without a host of its own, a rebuilt machine with another name continues the history of its
    /// paths.
    fn history(&self, all: &[Point], path: &std::path::Path) -> Vec<run::Point> {
        let series = Series { path: path.display().to_string(), host: self.options.host.clone(), tags: Vec::new() };
        all.iter().filter(|found| series.holds(found)).filter_map(as_run_point).collect()
    }
}

#[async_trait]
impl Points for PathBackup {
    fn interrupted(&self) -> &'static str {
        ENDS_WITH_US
    }

    async fn list(&self) -> Result<Listing, EngineError> {
        let all = self.site.points().await.map_err(|error| failure(&error))?;
        let points = self.options.paths.iter().flat_map(|path| self.history(&all, path)).collect();
        let first_use = FirstUse::NotProven("a backup does not ask".to_owned());
        let looked = self.site.place();
        Ok(Listing { points, first_use, looked, near_misses: Vec::new(), unreadable: Vec::new() })
    }

    async fn check_readable(&self, _: &PinnedPoint) -> Result<(), EngineError> {
        Ok(())
    }
}

#[async_trait]
impl Backup for PathBackup {
    /// The first of the paths stands for all; each is looked at by [`Backup::histories`].
    async fn probe(&self) -> Result<Probe, EngineError> {
        match self.options.paths.first() {
            Some(path) => Ok(folder::look(path, None, false).await),
            None => Err(EngineError::nothing_written("there are no paths to back up")),
        }
    }

    async fn histories(&self) -> Result<Vec<History>, EngineError> {
        let all = self.site.points().await.map_err(|error| failure(&error))?;
        let mut histories = Vec::new();
        for path in &self.options.paths {
            histories.push(History { points: self.history(&all, path), probe: folder::look(path, None, false).await });
        }
        Ok(histories)
    }

    fn reads(&self) -> Option<String> {
        let what = (&self.options.paths, &self.options.excludes, &self.options.tags, &self.options.host);
        let text = serde_json::to_vec(&what).ok()?;
        Some(hex::encode(&Sha256::digest(text)[..8]))
    }

    fn prunes(&self) -> bool {
        true
    }

    async fn would_remove(&self, spare: &[PinnedPoint]) -> Result<u64, EngineError> {
        let removed = self.site.would_remove(spare).await.map_err(|error| failure(&error))?;
        Ok(removed.len() as u64)
    }

    async fn backup(&self, journal: &Journal) -> Result<BackupStored, EngineError> {
        let job = Job::Backup { options: self.options.clone() };
        match self.site.order_with(job, journal).await? {
            Outcome::Backup(report) => {
                let mut warnings = Vec::new();
                if report.unreadable_count > 0 {
                    warnings.push(format!(
                        "{} not be read, which this backup leaves out: {}",
                        counted(report.unreadable_count, "entry could", "entries could"),
                        report.unreadable.join("; ")
                    ));
                }
                let held = Held { bytes: report.bytes_processed, items: report.files };
                Ok(BackupStored { point: pinned(&report)?, held, warnings })
            }
            _ => Err(failure(&unexpected())),
        }
    }

    async fn verify(&self, point: &PinnedPoint, depth: ReadBack, journal: &Journal) -> Result<(), EngineError> {
        self.site.read_back(point, depth, journal).await
    }

    async fn retain(&self, spare: &[PinnedPoint], journal: &Journal) -> Result<Vec<String>, EngineError> {
        let mut warnings = self.site.let_go_of_ended().await.map_err(|error| failure(&error))?;
        let policy = self.site.policy().await.map_err(|error| failure(&error))?;
        let keep = policy.and_then(|policy| policy.keep);
        // Space of points that a policy removed is owed also when that policy is gone.
        if keep.is_none() && !self.site.owes_prune().await.map_err(|error| failure(&error))? {
            return Ok(warnings);
        }
        let pinned = spare.iter().map(|point| point.id.clone()).collect();
        match self.site.order_with(Job::Forget { keep, pinned }, journal).await? {
            Outcome::Forget(report) => {
                warnings.extend(report.warnings);
                Ok(warnings)
            }
            _ => Err(failure(&unexpected())),
        }
    }
}
