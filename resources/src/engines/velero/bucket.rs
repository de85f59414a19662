//! Velero's bucket, read without its server: backups are there whether or not a cluster still knows of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::{StreamExt, TryStreamExt};
use serde::de::DeserializeOwned;

use super::documents::{BackupDocument, PodVolumeBackupDocument, Resources, Results, Volume, VolumeDocument, unpack};
use super::points::{Phase, Point};
use crate::store::{ObjectStore, StoreError};

/// How many documents are read at once.
const AT_ONCE: usize = 32;

/// Folders that Velero makes beside `backups/`: data of volumes, and records of restores.
const OWN: [&str; 6] = ["backups", "restores", "restic", "kopia", "metadata", "plugins"];

/// The storage behind a BackupStorageLocation.
#[derive(Clone)]
pub struct Bucket {
    store: Arc<dyn ObjectStore>,
    ended: Arc<EndedBackups>,
}

/// Backups that ended, of any bucket: Velero writes their documents no more, so each is read once, however many schedules
/// and jobs ask for the points of a bucket.
#[derive(Default)]
pub struct EndedBackups(Mutex<HashMap<(String, String), Point>>);

impl EndedBackups {
    /// Forgets all: the next run reads anew.
    pub fn clear(&self) {
        self.points().clear();
    }

    fn points(&self) -> std::sync::MutexGuard<'_, HashMap<(String, String), Point>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a backup holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// Its volumes; `None` when that was not written down: Velero does since 1.13.
    pub volumes: Option<Vec<Volume>>,
    /// Those that were saved file by file, where nothing else was written down.
    pub pod_volumes: Option<Vec<Volume>>,
}

impl Contents {
    /// The volumes that are known.
    pub fn known(&self) -> &[Volume] {
        self.volumes.as_ref().or(self.pod_volumes.as_ref()).map(Vec::as_slice).unwrap_or_default()
    }

    /// The bytes of its volumes: unknown when those of one are. Objects count nothing.
    pub fn bytes(&self) -> Option<u64> {
        use super::documents::Method;
        let saved = self.volumes.as_ref()?.iter().filter(|volume| volume.method != Method::Nothing);
        saved.map(|volume| volume.bytes).sum()
    }
}

impl Bucket {
    /// The bucket below the prefix of a location. `ended` are the backups that somebody read before.
    pub fn new(store: Arc<dyn ObjectStore>, ended: Arc<EndedBackups>) -> Self {
        Bucket { store, ended }
    }

    /// Where it is, for messages.
    pub fn describe(&self) -> String {
        self.store.describe()
    }

    /// Every point, newest first; those without a time last. Backups that are not finished, or are being deleted, are none.
    pub async fn points(&self) -> Result<Vec<Point>, StoreError> {
        let names = self.store.list_folders("backups/").await?;
        let reads = names.into_iter().map(|name| {
            let bucket = self.clone();
            async move { bucket.known_point(&name).await }
        });
        let read = futures::stream::iter(reads).buffer_unordered(AT_ONCE);
        let mut points: Vec<Point> = read.try_filter_map(|point| async { Ok(point) }).try_collect().await?;
        points.sort_by_cached_key(|point| (point.time.is_none(), std::cmp::Reverse(point.time), point.name.clone()));
        Ok(points)
    }

    /// A point that was listed just now.
    async fn known_point(&self, name: &str) -> Result<Option<Point>, StoreError> {
        let key = (self.describe(), name.to_owned());
        if let Some(known) = self.ended.points().get(&key) {
            return Ok(Some(known.clone()));
        }
        let point = self.point(name).await?;
        if let Some(ended) = point.as_ref().filter(|point| point.phase != Phase::Unreadable) {
            self.ended.points().insert(key, ended.clone());
        }
        Ok(point)
    }

    /// One point; `None` when there is none of that name, or it is not finished.
    pub async fn point(&self, name: &str) -> Result<Option<Point>, StoreError> {
        // Its presence is what makes a backup: Velero writes it first and last.
        let Some(bytes) = self.store.get_bytes(&format!("backups/{name}/velero-backup.json")).await? else {
            return Ok(None);
        };
        Ok(match serde_json::from_slice::<BackupDocument>(&bytes) {
            Ok(document) => Point::of(name, document),
            Err(_) => Some(Point::unreadable(name)),
        })
    }

    /// What each of these backups holds, in their order.
    pub async fn contents_of(&self, names: &[String]) -> Result<Vec<Contents>, StoreError> {
        let reads = names.iter().cloned().map(|name| {
            let bucket = self.clone();
            async move { bucket.contents(&name).await }
        });
        futures::stream::iter(reads).buffered(AT_ONCE).try_collect().await
    }

    /// What a backup holds.
    pub async fn contents(&self, backup: &str) -> Result<Contents, StoreError> {
        let volumes: Option<Vec<VolumeDocument>> =
            self.packed_list(&format!("backups/{backup}/{backup}-volumeinfo.json.gz")).await?;
        let volumes: Option<Vec<Volume>> = volumes.map(|volumes| volumes.into_iter().map(Volume::from).collect());
        let pod_volumes = match volumes {
            Some(_) => None,
            None => self.pod_volumes(backup).await?,
        };
        Ok(Contents { volumes, pod_volumes })
    }

    async fn pod_volumes(&self, backup: &str) -> Result<Option<Vec<Volume>>, StoreError> {
        let name = format!("backups/{backup}/{backup}-podvolumebackups.json.gz");
        let saved: Option<Vec<PodVolumeBackupDocument>> = self.packed_list(&name).await?;
        Ok(saved.map(|saved| saved.into_iter().filter_map(PodVolumeBackupDocument::volume).collect()))
    }

    /// The objects of a backup.
    pub async fn resources(&self, backup: &str) -> Result<Option<Resources>, StoreError> {
        self.packed(&format!("backups/{backup}/{backup}-resource-list.json.gz")).await
    }

    /// What a backup had to complain about.
    pub async fn backup_results(&self, backup: &str) -> Result<Option<Results>, StoreError> {
        self.packed(&format!("backups/{backup}/{backup}-results.gz")).await
    }

    /// What a restore had to complain about.
    pub async fn restore_results(&self, restore: &str) -> Result<Option<Results>, StoreError> {
        self.packed(&format!("restores/{restore}/restore-{restore}-results.gz")).await
    }

    /// The objects of a restore, with what was done to each.
    pub async fn restored(&self, restore: &str) -> Result<Option<Resources>, StoreError> {
        self.packed(&format!("restores/{restore}/restore-{restore}-resource-list.json.gz")).await
    }

    /// The volumes of a restore.
    pub async fn restored_volumes(&self, restore: &str) -> Result<Option<Vec<Volume>>, StoreError> {
        let name = format!("restores/{restore}/{restore}-volumeinfo.json.gz");
        let volumes: Option<Vec<VolumeDocument>> = self.packed_list(&name).await?;
        Ok(volumes.map(|volumes| volumes.into_iter().map(Volume::from).collect()))
    }

    /// The archive of a backup's objects, unpacked: every byte of it was read.
    pub async fn archive(&self, backup: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let name = format!("backups/{backup}/{backup}.tar.gz");
        self.unpacked(&name).await
    }

    /// The folders of Velero that are there.
    pub async fn folders(&self) -> Result<Vec<String>, StoreError> {
        let folders = self.store.list_folders("").await?;
        Ok(folders.into_iter().filter(|folder| OWN.contains(&folder.as_str())).collect())
    }

    async fn packed<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, StoreError> {
        let Some(plain) = self.unpacked(name).await? else { return Ok(None) };
        serde_json::from_slice(&plain).map_err(|error| self.broken(name, &error))
    }

    /// An empty list of Go's is null: the document is there, and says that there is nothing.
    async fn packed_list<T: DeserializeOwned>(&self, name: &str) -> Result<Option<Vec<T>>, StoreError> {
        let Some(plain) = self.unpacked(name).await? else { return Ok(None) };
        let list: Option<Vec<T>> = serde_json::from_slice(&plain).map_err(|error| self.broken(name, &error))?;
        Ok(Some(list.unwrap_or_default()))
    }

    async fn unpacked(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(bytes) = self.store.get_bytes(name).await? else { return Ok(None) };
        unpack(&bytes).map(Some).map_err(|error| self.broken(name, &error))
    }

    fn broken(&self, name: &str, error: &dyn std::fmt::Display) -> StoreError {
        StoreError::BadAnswer { place: self.describe(), reason: format!("{name} can't be read: {error}") }
    }
}
