//! The repository that k8up fills: in restic's format, so its points are read by the embedded engine.

use std::time::Duration;

use dr_framework::{Attr, Path, Result};

use super::opener::Opener;
use crate::engines::kubernetes::repository_secret::kept_password;
use crate::engines::restic::error::EngineError;
use crate::engines::restic::model;
use crate::engines::restic::points::{Point, Series};
use crate::engines::restic::site::Site;
use crate::reference::Reference;
use crate::shared::Shared;

/// How long somebody else's lock is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(300);

/// The repository of a reference that stands at `path`: `None` while something that it takes is not known.
pub fn open(shared: &Shared, reference: &Reference, path: &Path, read_only: bool) -> Result<Option<Site>> {
    let kept = Opener::of(reference).map(|opener| (opener.password.secret, opener.password.key));
    let Some(kept) = kept_password(shared, reference, path, kept)? else { return Ok(None) };
    // The uid of a target is that of its Secret, and says nothing of the repository.
    let reference = Reference { uid: Attr::Null, ..reference.clone() };
    model::site_opened_by(shared, &reference, path, (LOCK_WAIT, read_only), kept)
}

/// Its points, newest first. One that no backup made yet has none.
pub async fn points(site: &Site) -> std::result::Result<Vec<Point>, EngineError> {
    match site.points().await {
        Err(EngineError::NoRepository { .. }) => Ok(Vec::new()),
        points => points,
    }
}

/// The points of a claim, as k8up writes them: the namespace is the host.
pub fn series(namespace: &str, claim: &str) -> Series {
    Series { path: format!("/data/{claim}"), host: Some(namespace.to_owned()), tags: Vec::new() }
}

/// The claim that a point holds; none for what a command wrote.
pub fn claim_of(point: &Point) -> Option<&str> {
    match point.paths.as_slice() {
        [path] => path.strip_prefix("/data/").filter(|claim| !claim.contains('/')),
        _ => None,
    }
}
