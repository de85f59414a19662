//! The repository that k8up fills: in restic's format, so its points are read by the embedded engine.

use std::time::Duration;

use dr_framework::{Attr, Diagnostics, Path, Result};

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
    if reference.secret.is_null() && reference.kind.text() == Some("backup_target") {
        return Err(Diagnostics::error_at(
            path.clone(),
            "A repository that the provider can't read",
            "Its target gives the password as `password_wo`, or in an `existing_secret` alone, and the provider reads neither: \
             set `password` to the name of the password under `secrets`. It goes with `existing_secret`, and in place of \
             `password_wo`.",
        ));
    }
    // The uid of a target is that of its Secret, and says nothing of the repository.
    let reference = Reference { uid: Attr::Null, ..reference.clone() };
    model::site(shared, &reference, path, LOCK_WAIT, read_only)
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
