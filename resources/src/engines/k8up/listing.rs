//! The points of a repository that k8up fills, for `dr_recovery_points`.

use async_trait::async_trait;
use dr_framework::{Diagnostics, Path, Result};

use super::{ENGINE, repository};
use crate::engines::concepts::{ListedPoint, ListedVolume, PointSource, Points};
use crate::engines::restic::error::EngineError;
use crate::engines::restic::listing;
use crate::engines::restic::points::Point;
use crate::reference::{Place, Reference};
use crate::shared::Shared;

/// Lists repositories of k8up's.
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
        // Listing is no reason to leave a lock where k8up works.
        let Some(site) = repository::open(shared, source, path, true)? else { return Ok(None) };
        match repository::points(&site).await {
            Ok(points) => Ok(Some(Points::Listed(points.iter().map(listed).collect()))),
            Err(EngineError::WrongPassword { .. }) => Ok(Some(Points::Unreadable)),
            Err(error) => {
                let hint = error.hint().map(|hint| format!("\n\n{hint}.")).unwrap_or_default();
                Err(Diagnostics::error_at(path.clone(), "Unable to list recovery points", format!("{error}.{hint}")))
            }
        }
    }
}

/// The host is the namespace, and the path names the claim.
fn listed(point: &Point) -> ListedPoint {
    let namespaces: Vec<String> = Some(point.host.clone()).filter(|host| !host.is_empty()).into_iter().collect();
    let volume = |claim: &str| ListedVolume {
        claim: claim.to_owned(),
        namespace: point.host.clone(),
        method: "file_system",
        bytes: point.bytes,
    };
    let volumes = repository::claim_of(point).map(volume).into_iter().collect();
    ListedPoint { namespaces, volumes, ..listing::listed(point) }
}
