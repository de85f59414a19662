//! A store as rustic_core wants it: synchronous, by kind of file and id.

use super::error::{EngineError, StoreProblem};
use crate::store::{Condition, ObjectStore, Put, StoreError};
use bytes::{Bytes, BytesMut};
use rustic_core::{BytesList, ErrorKind, FileType, Id, ReadBackend, RusticError, RusticResult, WriteBackend};
use std::sync::{Arc, OnceLock};
use tokio::runtime::Handle;

/// A store below a repository. Its methods block: they are called from threads that are not the runtime's own.
#[derive(Clone)]
pub struct StoreBackend {
    store: Arc<dyn ObjectStore>,
    runtime: Handle,
    lost: Lost,
}

/// The first time that a store could not be reached, for those whose errors rustic_core does not hand on.
#[derive(Debug, Clone, Default)]
pub struct Lost(Arc<OnceLock<String>>);

impl Lost {
    /// What the store said, if it was out of reach once.
    pub fn error(&self) -> Option<EngineError> {
        let message = self.0.get()?.clone();
        Some(EngineError::Storage { problem: StoreProblem::Unreachable, message })
    }
}

impl StoreBackend {
    /// The store, asked through `runtime`.
    pub fn new(store: Arc<dyn ObjectStore>, runtime: Handle) -> Self {
        StoreBackend { store, runtime, lost: Lost::default() }
    }

    /// Whether it was ever out of reach.
    pub fn lost(&self) -> Lost {
        self.lost.clone()
    }

    fn wait<T>(&self, what: &str, answer: impl Future<Output = Result<T, StoreError>>) -> RusticResult<T> {
        self.runtime.block_on(answer).map_err(|error| {
            if matches!(error, StoreError::Unreachable { .. }) {
                self.lost.0.get_or_init(|| error.to_string());
            }
            carried(what, error.into())
        })
    }

    fn missing(&self, name: &str) -> Box<RusticError> {
        let what = vec![format!("{name} is missing")];
        carried("reading", EngineError::Damaged { place: self.store.describe(), what })
    }
}

/// An error of ours, inside one of rustic's: [`EngineError::repository`] takes it out again.
pub(super) fn carried(what: &str, error: EngineError) -> Box<RusticError> {
    RusticError::with_source(ErrorKind::Backend, what, error)
}

/// Where a file of a repository lies.
pub fn name_of(kind: FileType, id: &Id) -> String {
    let digits = id.to_hex();
    let digits = digits.as_str();
    match kind {
        FileType::Config => "config".to_owned(),
        FileType::Pack => format!("data/{}/{digits}", &digits[..2]),
        _ => format!("{}/{digits}", kind.dirname()),
    }
}

/// The id in the last part of a name; what is no id is no file of a repository.
pub fn id_in(name: &str) -> Option<Id> {
    let digits = name.rsplit('/').next().filter(|digits| digits.len() == 64)?;
    digits.parse().ok()
}

impl ReadBackend for StoreBackend {
    fn location(&self) -> String {
        self.store.describe()
    }

    fn list_with_size(&self, kind: FileType) -> RusticResult<Vec<(Id, u32)>> {
        let size = |size: u64| u32::try_from(size).unwrap_or(u32::MAX);
        if kind == FileType::Config {
            // rustic wants one file with an empty id, or none.
            let config = self.wait("reading the configuration", self.store.get("config"))?;
            return Ok(config.map(|config| (Id::default(), size(config.bytes.len() as u64))).into_iter().collect());
        }
        let folder = format!("{}/", kind.dirname());
        let entries = self.wait(&format!("listing {folder}"), self.store.list(&folder))?;
        Ok(entries.iter().filter_map(|entry| Some((id_in(&entry.name)?, size(entry.size)))).collect())
    }

    fn read_full(&self, kind: FileType, id: &Id) -> RusticResult<Bytes> {
        let name = name_of(kind, id);
        let bytes = self.wait(&format!("reading {name}"), self.store.get_bytes(&name))?;
        bytes.ok_or_else(|| self.missing(&name))
    }

    fn read_partial(&self, kind: FileType, id: &Id, _cacheable: bool, offset: u32, length: u32) -> RusticResult<Bytes> {
        let name = name_of(kind, id);
        self.wait(&format!("reading {name}"), self.store.get_range(&name, offset.into(), length.into()))
    }

    fn warmup_path(&self, kind: FileType, id: &Id) -> String {
        name_of(kind, id)
    }
}

impl WriteBackend for StoreBackend {
    fn write_bytes(&self, kind: FileType, id: &Id, _cacheable: bool, content: BytesList) -> RusticResult<()> {
        let name = name_of(kind, id);
        let (what, content) = (format!("writing {name}"), joined(content));
        if kind != FileType::Config {
            return self.wait(&what, self.store.put_bytes(&name, content));
        }
        // The configuration makes a repository: of two that make one at once, the second has to see it.
        match self.wait(&what, self.store.put(&name, content, Condition::Absent))? {
            Put::Written(_) => Ok(()),
            Put::ConditionFailed => Err(carried("writing", EngineError::Exists { place: self.store.describe() })),
        }
    }

    fn remove(&self, kind: FileType, id: &Id, _cacheable: bool) -> RusticResult<()> {
        let name = name_of(kind, id);
        self.wait(&format!("removing {name}"), self.store.delete(&name))
    }
}

/// One buffer; a copy only when there are several.
fn joined(content: BytesList) -> Bytes {
    let size = content.size();
    let mut parts = content.into_vec();
    if parts.len() == 1 {
        return parts.remove(0);
    }
    let mut bytes = BytesMut::with_capacity(size);
    for part in parts {
        bytes.extend_from_slice(&part);
    }
    bytes.freeze()
}
