//! Object stores: a folder or an S3 bucket, behind one interface.

pub mod local;
pub mod s3;
pub mod siblings;
#[cfg(test)]
pub(crate) mod testing;

use std::collections::BTreeSet;

use async_trait::async_trait;
use bytes::Bytes;

use crate::connections::kubernetes::ClusterError;

/// Objects below one place: a folder, or a prefix of a bucket. Names are relative, `/`-separated, without a leading slash.
#[async_trait]
pub trait ObjectStore: Send + Sync {
    /// Where it is, for messages: `s3://bucket/prefix on endpoint`, or a path. Never a secret.
    fn describe(&self) -> String;

    /// The object, or `None` when it does not exist (and the place itself does).
    async fn get(&self, name: &str) -> Result<Option<Object>, StoreError>;

    /// `length` bytes of an object from `offset`.
    async fn get_range(&self, name: &str, offset: u64, length: u64) -> Result<Bytes, StoreError>;

    /// Writes an object whole: it is there with all its bytes, synced, or not at all.
    async fn put(&self, name: &str, bytes: Bytes, condition: Condition) -> Result<Put, StoreError>;

    /// [`ObjectStore::get`] for those who write nothing under a condition afterwards: without the etag.
    async fn get_bytes(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        Ok(self.get(name).await?.map(|object| object.bytes))
    }

    /// [`ObjectStore::put`] in any case, without the new etag.
    async fn put_bytes(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.put(name, bytes, Condition::Any).await.map(drop)
    }

    /// Removes an object; one that does not exist is fine.
    async fn delete(&self, name: &str) -> Result<(), StoreError>;

    /// Every object whose name starts with `prefix` (a folder name ending in `/`, or empty), at any depth.
    async fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError>;

    /// The names of the folders right below `prefix` (a folder name ending in `/`, or empty), sorted: what holds objects at
    /// any depth.
    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        let first_part = |entry: Entry| Some(entry.name.strip_prefix(prefix)?.split_once('/')?.0.to_owned());
        let folders: BTreeSet<String> = self.list(prefix).await?.into_iter().filter_map(first_part).collect();
        Ok(folders.into_iter().collect())
    }
}

/// An object that was read.
#[derive(Debug, Clone)]
pub struct Object {
    /// Its bytes.
    pub bytes: Bytes,
    /// What [`Condition::Matches`] takes.
    pub etag: String,
}

/// An object in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name, from the store's place.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
}

/// When a write may happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Always.
    Any,
    /// Only when no such object exists.
    Absent,
    /// Only when the object still has this etag.
    Matches(String),
}

/// What became of a conditional write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// Written; the object's new etag.
    Written(String),
    /// Not written: the condition did not hold.
    ConditionFailed,
}

/// Why a store could not answer. `place` is [`ObjectStore::describe`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The bucket or folder does not exist.
    #[error("{place} does not exist")]
    Missing {
        /// Where.
        place: String,
    },
    /// No connection: DNS, connect, TLS, time-out.
    #[error("{place} can't be reached: {reason}")]
    Unreachable {
        /// Where.
        place: String,
        /// What happened.
        reason: String,
    },
    /// The store said no.
    #[error("{place} refused: {reason}")]
    Denied {
        /// Where.
        place: String,
        /// The server's code and message, redacted.
        reason: String,
    },
    /// What answers is not an S3 server, redirects elsewhere, or breaks off.
    #[error("{place} gave no usable answer: {reason}")]
    BadAnswer {
        /// Where.
        place: String,
        /// What came.
        reason: String,
    },
    /// A cluster that keeps the objects failed.
    #[error(transparent)]
    Cluster(Box<ClusterError>),
    /// Disk full, read-only, a missing parent, an I/O error.
    #[error("{place}: {source}")]
    Io {
        /// Where.
        place: String,
        /// The cause.
        source: std::io::Error,
    },
}
