//! Reads blobs out of packs: neighbours in one request, each decrypted, decompressed and compared with its own hash.

use super::super::crypto::{KeyBytes, key_bytes, unseal};
use super::super::error::{EngineError, StoreProblem};
use super::place::Fault;
use bytes::Bytes;
use rustic_core::repofile::{BlobType, MasterKey};
use rustic_core::{FileType, Id, PackedId, ReadBackend, Repository, WriteBackend};
use sha2::{Digest, Sha256};
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::Arc;

/// Blobs that are no further apart than this are read in one request.
const GAP: u32 = 64 * 1024;

/// No request is for more than this, unless a single blob is larger.
pub(super) const LONGEST_READ: u32 = 4 * 1024 * 1024;

/// How much is read around a tree, and how many such ranges are kept.
const TREES_AT_ONCE: u32 = 512 * 1024;
const WINDOWS: usize = 8;

/// Where a blob lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Blob {
    pub id: Id,
    pub pack: Id,
    pub offset: u32,
    pub length: u32,
    uncompressed: Option<NonZeroU32>,
    /// The length of what is in it.
    pub size: u32,
}

impl Blob {
    /// Looks a blob up in the index.
    pub fn find<S: rustic_core::IndexedFull, T: PackedId>(repository: &Repository<S>, id: T) -> Result<Self, String> {
        let blob: rustic_core::BlobId = id.into();
        let entry = repository.get_index_entry(&id).map_err(|_| {
            let kind = if T::TYPE == BlobType::Tree { "tree" } else { "data" };
            format!("the {kind} blob {} is in no index", short(&blob))
        })?;
        Ok(Self {
            id: *blob,
            pack: *entry.pack,
            offset: entry.location.offset,
            length: entry.location.length,
            uncompressed: entry.location.uncompressed_length,
            size: entry.data_length(),
        })
    }

    /// Whether this is what the blob holds: its name is the hash of it.
    pub fn is(&self, data: &[u8]) -> bool {
        Id::new(Sha256::digest(data).into()) == self.id
    }

    fn end(&self) -> u32 {
        self.offset.saturating_add(self.length)
    }
}

/// The first digits of an id, as restic prints them.
fn short(id: &Id) -> String {
    id.to_hex().as_str().chars().take(10).collect()
}

/// The packs of one repository.
pub(super) struct Packs {
    backend: Arc<dyn WriteBackend>,
    key: KeyBytes,
}

impl Packs {
    pub fn new(backend: Arc<dyn WriteBackend>, key: &MasterKey) -> Result<Self, EngineError> {
        let key = key_bytes(key).ok_or_else(|| EngineError::Repository {
            action: "reading packs".to_owned(),
            message: "the repository's key has a wrong length".to_owned(),
        })?;
        Ok(Self { backend, key })
    }

    /// Reads what lies where `blobs` are, in as few requests as is sensible.
    pub fn read(&self, blobs: &[Blob]) -> Raw {
        let mut sorted: Vec<&Blob> = blobs.iter().collect();
        sorted.sort_unstable_by_key(|blob| (blob.pack, blob.offset));
        let mut ranges: Vec<(Id, Range<u32>)> = Vec::new();
        for blob in sorted {
            match ranges.last_mut() {
                Some((pack, range))
                    if *pack == blob.pack
                        && blob.offset <= range.end.saturating_add(GAP)
                        && blob.end().saturating_sub(range.start) <= LONGEST_READ =>
                {
                    range.end = range.end.max(blob.end());
                }
                _ => ranges.push((blob.pack, blob.offset..blob.end())),
            }
        }
        let read = |(pack, range): (Id, Range<u32>)| {
            let bytes = self.range(&pack, range.start, range.end - range.start).ok()?;
            Some((pack, range.start, bytes))
        };
        Raw { ranges: ranges.into_iter().filter_map(read).collect() }
    }

    fn range(&self, pack: &Id, offset: u32, length: u32) -> Result<Bytes, Fault> {
        let bytes = self.backend.read_partial(FileType::Pack, pack, false, offset, length);
        match bytes {
            Ok(bytes) if bytes.len() == length as usize => Ok(bytes),
            Ok(_) => Err(Fault::Entry(format!("pack {}: it ends before the blob at {offset} does", short(pack)))),
            Err(error) => Err(match EngineError::repository(&format!("pack {}", short(pack)), &error) {
                // a store that does not answer has lost nothing: the next run goes on
                error @ EngineError::Storage { problem: StoreProblem::Unreachable | StoreProblem::Denied, .. } => {
                    Fault::Fatal(error)
                }
                error @ EngineError::Repository { .. } => Fault::Entry(error.to_string()),
                error => Fault::Entry(format!("pack {}: {error}", short(pack))),
            }),
        }
    }

    /// What is in a blob; `raw` is asked first, then the pack.
    pub fn open(&self, blob: &Blob, raw: &Raw) -> Result<Vec<u8>, Fault> {
        let bytes = match raw.get(blob) {
            Some(bytes) => bytes,
            None => self.range(&blob.pack, blob.offset, blob.length)?,
        };
        let place = || format!("pack {}: blob {}", short(&blob.pack), short(&blob.id));
        self.decode(blob, &bytes).map_err(|reason| Fault::Entry(format!("{} {reason}", place())))
    }

    fn decode(&self, blob: &Blob, bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
        let plain = unseal(&self.key, bytes).ok_or("is damaged (wrong checksum)")?;
        let data = match blob.uncompressed {
            None => plain,
            Some(length) => zstd::bulk::decompress(&plain, length.get() as usize)
                .map_err(|_| "is damaged (can't be decompressed)")?,
        };
        if blob.is(&data) { Ok(data) } else { Err("holds something else than its name says") }
    }

    /// What is in a tree. A folder's tree is written after those below it, so what lies before it is read with it.
    pub fn open_tree(&self, blob: &Blob, near: &mut Raw) -> Result<Vec<u8>, Fault> {
        if near.get(blob).is_none() {
            let start = blob.end().saturating_sub(TREES_AT_ONCE).min(blob.offset);
            if let Ok(bytes) = self.range(&blob.pack, start, blob.end() - start) {
                near.ranges.truncate(WINDOWS - 1);
                near.ranges.insert(0, (blob.pack, start, bytes));
            }
        }
        self.open(blob, near)
    }
}

/// Ranges of packs that were read; one that could not be read is asked for again, blob by blob.
#[derive(Default)]
pub(super) struct Raw {
    ranges: Vec<(Id, u32, Bytes)>,
}

impl Raw {
    fn get(&self, blob: &Blob) -> Option<Bytes> {
        self.ranges.iter().find_map(|(pack, start, bytes)| {
            let from = blob.offset.checked_sub(*start)? as usize;
            let to = from + blob.length as usize;
            (*pack == blob.pack && to <= bytes.len()).then(|| bytes.slice(from..to))
        })
    }
}
