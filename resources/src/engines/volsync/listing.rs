//! The points of VolSync's repositories, for `dr_recovery_points`.

use async_trait::async_trait;
use dr_framework::{Diagnostics, Path, Result};

use super::{ENGINE, site};
use crate::engines::concepts::{PointSource, Points};
use crate::engines::restic::error::EngineError;
use crate::engines::restic::listing::listed;
use crate::reference::{Place, Reference};
use crate::shared::Shared;

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
        let Some(repository) = site::repository(shared, source, path)? else { return Ok(None) };
        // The Secret of a target is there before its repository, which the first backup makes.
        let points = match source.kind.text() {
            Some("backup_target") => site::points(&repository).await,
            _ => repository.points().await,
        };
        match points {
            Ok(points) => Ok(Some(Points::Listed(points.iter().map(listed).collect()))),
            Err(EngineError::WrongPassword { .. }) => Ok(Some(Points::Unreadable)),
            Err(error) => {
                let hint = error.hint().map(|hint| format!("\n\n{hint}.")).unwrap_or_default();
                Err(Diagnostics::error_at(path.clone(), "Unable to list recovery points", format!("{error}.{hint}")))
            }
        }
    }
}
