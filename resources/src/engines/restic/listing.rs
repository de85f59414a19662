//! The points of a repository, for `dr_recovery_points`.

use std::time::Duration;

use async_trait::async_trait;
use dr_framework::{Diagnostics, Path, Result};

use super::error::EngineError;
use super::model::{self, ENGINE};
use super::points::{Phase, Point};
use crate::engines::concepts::{ListedPoint, PointSource, Points};
use crate::reference::{Place, Reference};
use crate::shared::Shared;

/// How long somebody else's lock is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(300);

/// Lists repositories.
pub struct Repositories;

#[async_trait]
impl PointSource for Repositories {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn check(&self, source: &Reference, path: &Path) -> Diagnostics {
        Place::check(&source.store, path)
    }

    async fn list(&self, shared: &Shared, source: &Reference, path: &Path, _: usize) -> Result<Option<Points>> {
        let read_only = source.is_read_only() || shared.is_drill();
        let Some(site) = model::site(shared, source, path, LOCK_WAIT, read_only)? else { return Ok(None) };
        match site.points().await {
            Ok(points) => Ok(Some(Points::Listed(points.iter().map(listed).collect()))),
            Err(EngineError::WrongPassword { .. }) => Ok(Some(Points::Unreadable)),
            Err(error) => {
                let hint = error.hint().map(|hint| format!("\n\n{hint}.")).unwrap_or_default();
                Err(Diagnostics::error_at(path.clone(), "Unable to list recovery points", format!("{error}.{hint}")))
            }
        }
    }
}

/// As a listing shows it.
pub fn listed(point: &Point) -> ListedPoint {
    ListedPoint {
        id: point.id.clone(),
        time: point.time.clone(),
        bytes: point.bytes,
        items: point.items,
        phase: match point.phase {
            Phase::Complete => "complete",
            Phase::Incomplete => "incomplete",
            Phase::Safety => "safety",
            Phase::Unreadable => "unreadable",
        },
        verified: None,
        encrypted: Some(true),
        host: Some(point.host.clone()).filter(|host| !host.is_empty()),
        paths: point.paths.clone(),
        tags: point.tags.clone(),
        namespaces: Vec::new(),
        volumes: Vec::new(),
        expires: None,
    }
}
