//! What a worker is told and what it answers: one line of JSON on its input, then lines of JSON on its output.

use super::super::error::EngineError;
use super::super::forget::ForgetReport;
use super::super::points::Point;
use super::super::source::{BackupOptions, BackupReport};
use super::super::verify::{Depth, VerifyReport};
use super::super::writer::{RestoreOptions, RestoreReport};
use super::wire::{S3Wire, exposed};
use crate::connections::kubernetes::KubernetesConnection;
use crate::connections::s3::{S3Clients, S3Connection};
use crate::ledger::StoreLedger;
use crate::retention::Keep;
use crate::secret::Secret;
use crate::shared::Reached;
use crate::store::local::LocalStore;
use crate::store::{ObjectStore, StoreError};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

/// Where a repository lies.
#[expect(clippy::large_enum_variant, reason = "there is one of it for each job")]
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Location {
    /// A folder.
    Local {
        /// Its path.
        path: PathBuf,
    },
    /// A prefix of a bucket.
    S3 {
        /// The server and who we are there.
        #[serde(with = "S3Wire")]
        connection: S3Connection,
        /// The bucket.
        bucket: String,
        /// Without a slash at either end; empty is the whole bucket.
        prefix: String,
    },
}

impl From<Reached> for Location {
    fn from(reached: Reached) -> Self {
        match reached {
            Reached::S3 { connection, bucket, prefix } => Location::S3 { connection, bucket, prefix },
            Reached::Local { path } => Location::Local { path },
        }
    }
}

impl Location {
    /// The store. Makes no request.
    pub fn store(&self, clients: &S3Clients) -> Result<Arc<dyn ObjectStore>, StoreError> {
        Ok(match self {
            Location::Local { path } => Arc::new(LocalStore::new(path)),
            Location::S3 { connection, bucket, prefix } => Arc::new(clients.bucket(connection, bucket, prefix)?),
        })
    }

    /// Where the ledger lies: `/backup/docs.dr` beside `/backup/docs`, `prefix.dr` beside `prefix`, `.dr` in a bucket without
    /// prefix.
    pub fn ledger(&self) -> Location {
        match self {
            Location::Local { path } => {
                let mut beside = path.clone().into_os_string();
                beside.push(".dr");
                Location::Local { path: PathBuf::from(beside) }
            }
            Location::S3 { connection, bucket, prefix } => {
                Location::S3 { connection: connection.clone(), bucket: bucket.clone(), prefix: format!("{prefix}.dr") }
            }
        }
    }

    /// The ledger there.
    pub fn run_ledger(&self, clients: &S3Clients) -> Result<StoreLedger, StoreError> {
        let ledger = StoreLedger::new(self.ledger().store(clients)?, "");
        Ok(if self.folder().is_some() { ledger.nearby() } else { ledger })
    }

    /// The folder, when it is one: it is left out of a backup.
    pub(super) fn folder(&self) -> Option<PathBuf> {
        match self {
            Location::Local { path } => Some(path.clone()),
            Location::S3 { .. } => None,
        }
    }

    /// What no line of a log may hold.
    pub(super) fn secrets(&self) -> Vec<Secret> {
        match self {
            Location::Local { .. } => Vec::new(),
            Location::S3 { connection, .. } => {
                let secrets = [&connection.secret_access_key, &connection.session_token];
                let cluster = connection.via.as_ref().and_then(|via| via.cluster.connection());
                let of_cluster = cluster.map(KubernetesConnection::secrets).unwrap_or_default();
                secrets.into_iter().filter_map(Clone::clone).chain(of_cluster).collect()
            }
        }
    }
}

/// How the repository is locked while the job runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockOrder {
    /// How long somebody else's lock is waited for.
    pub wait_seconds: u64,
    /// Ids of locks of runs that were taken over.
    pub dead: Vec<String>,
    /// What the record of the run is known by.
    #[serde(default)]
    pub run: Option<String>,
    /// What the records of other runs were known by whose processes are proved dead.
    #[serde(default)]
    pub dead_runs: Vec<String>,
    /// No lock is written: the store is read-only.
    pub none: bool,
}

/// Everything a worker needs to know.
#[derive(Clone, Serialize, Deserialize)]
pub struct Order {
    /// Where the repository lies.
    pub location: Location,
    /// Its password.
    #[serde(serialize_with = "exposed")]
    pub password: Secret,
    /// How it is locked.
    pub lock: LockOrder,
    /// The id that the repository has to have; any, if there is none.
    #[serde(default)]
    pub expect: Option<String>,
    /// What is to be done.
    pub job: Job,
}

/// What is to be done.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// Make a repository, or finish one whose making was interrupted; one that the password opens is taken as it is.
    Init {
        /// log2 of scrypt's N of a new key file; [`super::super::keys::LOG_N`] outside tests.
        log_n: u8,
        /// Whether a repository that is there already is taken over.
        adopt: bool,
    },
    /// Try the password.
    Check,
    /// List the recovery points.
    Points,
    /// Back up.
    Backup {
        /// What and how.
        options: BackupOptions,
    },
    /// Restore a point or a part of it.
    Restore {
        /// What and where to.
        options: RestoreOptions,
    },
    /// Check the repository.
    Verify {
        /// How much of it.
        depth: Depth,
        /// The id of the point that has to be among those that it holds.
        point: Option<String>,
    },
    /// Remove the repository.
    Erase,
    /// Remove old points.
    Forget {
        /// The policy; with none only space is freed that an earlier run owes.
        keep: Option<Keep>,
        /// Ids of points that stay whatever the policy says.
        pinned: Vec<String>,
    },
}

/// What a job gives.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The repository is there.
    Init {
        /// Its id.
        id: String,
        /// Whether this job made it.
        made: bool,
    },
    /// The password opens it.
    Check {
        /// The repository's id.
        id: String,
    },
    /// All of them, newest first.
    Points(Vec<Point>),
    /// A backup is stored.
    Backup(BackupReport),
    /// It is restored.
    Restore(RestoreReport),
    /// It is whole.
    Verify(VerifyReport),
    /// Old points are gone.
    Forget(ForgetReport),
    /// The repository is gone.
    Erased,
}

/// A line that a worker says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", content = "with", rename_all = "snake_case")]
pub enum Event {
    /// The key is derived: the memory that it took is free again.
    Opened,
    /// It waits for a lock of the run that is known by this.
    Waiting(String),
    /// It holds this lock now; a refreshed lock has a new id.
    Locked(String),
    /// From now on what is restored to may be changed.
    Writing,
    /// How far it is.
    Progress {
        /// Entries done.
        files: u64,
        /// Bytes done.
        bytes: u64,
        /// Entries in all, as far as is known.
        total_files: u64,
        /// Bytes in all, as far as is known.
        total_bytes: u64,
    },
    /// Something that the user should know.
    Warning(String),
    /// The job is done. The last line.
    Done(Outcome),
    /// It could not be done. The last line.
    Failed(EngineError),
}
