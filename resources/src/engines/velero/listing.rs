//! The points of a bucket, for `dr_recovery_points`.

use std::sync::Arc;

use async_trait::async_trait;
use dr_framework::{Diagnostics, Path, Result};

use super::ENGINE;
use super::bucket::{Bucket, Contents};
use super::points::{Phase, Point};
use crate::engines::concepts::{ListedPoint, ListedVolume, PointSource, Points};
use crate::reference::{Place, Reference};
use crate::shared::{Reached, Shared};
use crate::store::StoreError;
use crate::words::ended;

/// Lists buckets.
pub struct Buckets;

#[async_trait]
impl PointSource for Buckets {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn check(&self, source: &Reference, path: &Path) -> Diagnostics {
        if source.store.is_unknown() {
            return Diagnostics::default();
        }
        match Place::from_reference(&source.store, path) {
            Ok(Some(Place::Local { .. })) => not_local(path),
            Ok(_) => Diagnostics::default(),
            Err(found) => found,
        }
    }

    async fn list(&self, shared: &Shared, source: &Reference, path: &Path, limit: usize) -> Result<Option<Points>> {
        let Some(bucket) = open(shared, source, path)? else { return Ok(None) };
        let listed = list(&bucket, limit)
            .await
            .map_err(|error| Diagnostics::error_at(path.clone(), "Unable to list recovery points", ended(error)))?;
        Ok(Some(Points::Listed(listed)))
    }
}

/// The bucket of a reference that stands at `path`: `None` while something that it takes is not known.
pub fn open(shared: &Shared, reference: &Reference, path: &Path) -> Result<Option<Bucket>> {
    let Some(place) = Place::from_reference(&reference.store, path)? else { return Ok(None) };
    let store = path.clone().then("store");
    match shared.reach(&place, &store.clone().then("connection"))? {
        None => Ok(None),
        Some(Reached::Local { .. }) => Err(not_local(path)),
        Some(Reached::S3 { connection, bucket, prefix }) => {
            let opened = shared.clients.bucket(&connection, &bucket, &prefix);
            let opened = opened.map_err(|error: StoreError| {
                Diagnostics::error_at(store, "Unable to reach the bucket", ended(error))
            })?;
            Ok(Some(Bucket::new(Arc::new(opened), shared.ended_backups.clone())))
        }
    }
}

fn not_local(path: &Path) -> Diagnostics {
    Diagnostics::error_at(
        path.clone().then("store"),
        "Velero keeps its backups in buckets",
        "A folder can't be a storage location of Velero's: use a store in S3.",
    )
}

/// Every point; what the newest `limit` hold is read too.
async fn list(bucket: &Bucket, limit: usize) -> std::result::Result<Vec<ListedPoint>, StoreError> {
    let points = bucket.points().await?;
    let described: Vec<String> = points.iter().take(limit).map(|point| point.name.clone()).collect();
    let contents = bucket.contents_of(&described).await?;
    let contents = contents.into_iter().chain(std::iter::repeat(Contents::default()));
    Ok(points.iter().zip(contents).map(|(point, contents)| listed(point, contents)).collect())
}

fn listed(point: &Point, contents: Contents) -> ListedPoint {
    let phase = match point.phase {
        Phase::Unreadable => "unreadable",
        _ if point.safety => "safety",
        Phase::Complete => "complete",
        Phase::PartiallyFailed | Phase::Failed => "incomplete",
    };
    let tags = point.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    ListedPoint {
        id: point.name.clone(),
        time: point.time.map(|time| time.to_string()),
        bytes: contents.bytes(),
        items: point.items,
        phase,
        verified: None,
        // Objects lie in a plain archive; only what Kopia or restic keep of volumes is encrypted.
        encrypted: Some(false),
        host: None,
        paths: Vec::new(),
        tags,
        namespaces: point.namespaces.clone(),
        volumes: contents.volumes.unwrap_or_default().into_iter().map(ListedVolume::from).collect(),
        expires: point.expires.clone(),
    }
}

impl From<super::documents::Volume> for ListedVolume {
    fn from(volume: super::documents::Volume) -> Self {
        ListedVolume {
            claim: volume.claim,
            namespace: volume.namespace,
            method: volume.method.as_str(),
            bytes: volume.bytes,
        }
    }
}

#[cfg(test)]
mod tests;
