//! A repository of VolSync's as a reference names it: its Secret in a namespace, and what lies in the bucket.

use std::time::Duration;

use dr_framework::{Attr, Diagnostics, Path, Result};

use super::target::PASSWORD_KEY;
use crate::engines::concepts::{Blame, Failure};
use crate::engines::kubernetes::repository_secret::kept_password;
pub use crate::engines::kubernetes::repository_secret::{namespace_of, own_secret, repository_of, secret_of};
use crate::engines::restic::error::EngineError;
use crate::engines::restic::model;
use crate::engines::restic::points::{Point, Series};
use crate::engines::restic::repository::Found;
use crate::engines::restic::site::Site;
use crate::reference::{Place, Reference};
use crate::shared::{Reached, Shared};

/// The key of the certificates in a repository Secret.
pub const CA_KEY: &str = "ca.pem";

/// Nothing is locked, so nobody's lock is waited for.
const LOCK_WAIT: Duration = Duration::from_secs(60);

/// Whether the connection to the store of a reference has certificates of its own; `None` while it is not known.
pub fn has_ca(shared: &Shared, reference: &Reference, path: &Path) -> Result<Option<bool>> {
    let Some(place) = Place::from_reference(&reference.store, path)? else { return Ok(None) };
    Ok(match shared.reach(&place, &path.clone().then("store").then("connection"))? {
        Some(Reached::S3 { connection, .. }) => Some(connection.ca_pem.is_some()),
        Some(Reached::Local { .. }) => Some(false),
        None => None,
    })
}

/// The repository of a reference that stands at `path`: `None` while something that it takes is not known. It is only read,
/// without a lock: the mover's own prune must never wait for us.
pub fn repository(shared: &Shared, reference: &Reference, path: &Path) -> Result<Option<Site>> {
    let kept = secret_of(reference).map(|name| (name, PASSWORD_KEY.to_owned()));
    let Some(kept) = kept_password(shared, reference, path, kept)? else { return Ok(None) };
    // The uid of the reference is that of a Secret.
    let repository = Reference { uid: Attr::Null, ..reference.clone() };
    model::site_opened_by(shared, &repository, path, (LOCK_WAIT, true), kept)
}

/// What VolSync's movers store: one claim for each repository, under one host and one path.
pub fn series() -> Series {
    Series { path: "/data".to_owned(), host: Some("volsync".to_owned()), tags: Vec::new() }
}

/// Every point, newest first; none where nothing was stored yet: the first backup makes the repository.
pub async fn points(site: &Site) -> std::result::Result<Vec<Point>, EngineError> {
    match site.look().await? {
        Found::Absent => Ok(Vec::new()),
        _ => site.points().await,
    }
}

/// The first sentence of diagnostics, as a failure of the store.
pub fn failure_of(found: &Diagnostics) -> Failure {
    let message = found.0.first().map(|error| error.detail.clone()).unwrap_or_default();
    Failure::new(message.trim_end_matches('.').to_owned(), Blame::Store)
}
