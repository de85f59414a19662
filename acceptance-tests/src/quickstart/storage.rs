//! Where the quickstart keeps its backups, a folder or a bucket, and where the ledger's records are then.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use dr_resources::ledger::PathLedger;
use serde_json::Value;

use super::bucket::{Bucket, connection, variable};
use super::progress::Position;
use crate::cli::Workspace;

/// The backups' place.
pub(super) enum Storage {
    /// A repository in the scratch folder.
    Folder { data: PathBuf, repository: PathBuf },
    /// A repository in a bucket.
    Bucket { data: PathBuf, bucket: Box<Bucket> },
}

impl Storage {
    /// A bucket where `DR_QUICKSTART_S3_BUCKET` names one, else a folder.
    pub(super) fn from_environment(root: &Path, data: &Path) -> Result<Self> {
        let data = data.to_owned();
        let Ok(bucket) = env::var("DR_QUICKSTART_S3_BUCKET") else {
            return Ok(Self::Folder { data, repository: root.join("repository") });
        };
        // A prefix of its own: what an earlier quickstart left is never the history of this one.
        let prefix = format!("quickstart/{}", super::story::word(8));
        let server = connection(|name| env::var(name).ok().filter(|value| !value.is_empty()))?;
        Ok(Self::Bucket { data, bucket: Box::new(Bucket::new(server, bucket, prefix)?) })
    }

    /// The variables of the configuration.
    pub(super) fn set_variables(&self, workspace: &mut Workspace) {
        match self {
            Self::Folder { repository, .. } => {
                workspace.set("TF_VAR_repository", repository);
            }
            Self::Bucket { bucket, .. } => {
                workspace.set("TF_VAR_s3", variable(&bucket.connection).to_string());
                workspace.set("TF_VAR_bucket", &bucket.name).set("TF_VAR_prefix", &bucket.prefix);
            }
        }
    }

    /// In words.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Folder { repository, .. } => repository.display().to_string(),
            Self::Bucket { bucket, .. } => bucket.describe(),
        }
    }

    /// How many bytes it holds, where that is cheap to know.
    pub(super) fn size(&self) -> Option<u64> {
        match self {
            Self::Folder { repository, .. } => Some(folder_size(repository)),
            Self::Bucket { .. } => None,
        }
    }

    /// The run that is under way, from the newest record that is not done.
    pub(super) fn position(&self) -> Option<Position> {
        match self {
            Self::Folder { data, repository } => restore(data).or_else(|| local(&beside(repository))),
            Self::Bucket { data, bucket } => restore(data).or_else(|| bucket.record(read)),
        }
    }
}

/// The restore to a path, whose ledger lies beside it.
fn restore(data: &Path) -> Option<Position> {
    let records = PathLedger::new(data)?.records().ok()?;
    records.iter().find_map(|record| read(&record.to_json()))
}

/// Records of backups to a folder: `<folder>.dr/runs`.
fn beside(repository: &Path) -> PathBuf {
    let name = repository.file_name().unwrap_or_default().to_string_lossy();
    repository.with_file_name(format!("{name}.dr")).join("runs")
}

fn local(runs: &Path) -> Option<Position> {
    let files = fs::read_dir(runs).ok()?.filter_map(Result::ok).map(|entry| entry.path());
    files.filter(|path| path.extension().is_some_and(|end| end == "json")).find_map(|path| read(&fs::read(path).ok()?))
}

fn read(record: &[u8]) -> Option<Position> {
    Position::of(&serde_json::from_slice::<Value>(record).ok()?)
}

fn folder_size(folder: &Path) -> u64 {
    let Ok(inside) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => folder_size(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    };
    inside.filter_map(Result::ok).map(size).sum()
}
