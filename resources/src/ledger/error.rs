//! Why the ledger could not answer.

use crate::store::StoreError;

/// What went wrong in the ledger. A ledger that can't be read stops a job: without memory it might run twice.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// A file could not be read or written.
    #[error("the run ledger {place}: {source}")]
    Io {
        /// The file or folder.
        place: String,
        /// The cause.
        source: std::io::Error,
    },
    /// The object store that holds the records failed.
    #[error("the run ledger: {0}")]
    Store(#[from] StoreError),
    /// The record is not one.
    #[error(
        "the run record {place} can't be read: {reason}. Whatever damaged it, what it knew of that run is lost: move it away, and a \
         plan says what will run then, as if that run had never been"
    )]
    Damaged {
        /// The file or object.
        place: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A newer program wrote it.
    #[error("the run record {place} has version {version}, this provider knows version 1: use a newer provider")]
    Newer {
        /// The file or object.
        place: String,
        /// Its version.
        version: u64,
    },
    /// Somebody else took the lease over.
    #[error("run {key} was taken over by another process, which goes on with it")]
    LeaseLost {
        /// The run.
        key: String,
    },
    /// There is nowhere to write.
    #[error("there is nowhere to keep the record of a run of {target}: {reason}")]
    NoPlace {
        /// What the run is for.
        target: String,
        /// Why.
        reason: String,
    },
}
