//! The ledger: what happened to whom, outside the state.
//!
//! One JSON document per run key, written before anything is touched and before each phase, so that a run survives the
//! process that started it. Only the holder of a lease writes; everybody reads.

mod burial;
mod config_map;
mod error;
mod hygiene;
mod key;
mod path;
mod place;
mod record;
mod store;

use async_trait::async_trait;

pub use burial::{bury, let_go};
pub use config_map::{ConfigMapLedger, LEDGER_LABEL};
pub use error::LedgerError;
pub use key::{Triggers, engine_object_name, run_key};
pub use path::{PathLedger, WorkLock};
pub use place::{beside, ledger_of_path};
pub use record::{Counts, JobKind, LastRun, LeaseMark, Phase, PinnedPoint, Record, Times, UndoStep, Verdict};
pub use store::StoreLedger;

/// A place that holds records and leases.
#[async_trait]
pub trait LedgerStore: Send + Sync {
    /// Where it is, for messages.
    fn describe(&self) -> String;

    /// The record of a run, if there is one.
    async fn read(&self, key: &str) -> Result<Option<Record>, LedgerError>;

    /// Every record of this place.
    async fn list(&self) -> Result<Vec<Record>, LedgerError>;

    /// Takes the lease of the run that `record` describes, waiting for as long as somebody alive holds it; dropping the
    /// future stops waiting. `record` is what a store without locks writes to claim a key that it does not know.
    async fn acquire(&self, record: &Record) -> Result<Acquired, LedgerError>;

    /// Whether a lease is one for all runs of its target, not for its record alone.
    fn lease_covers_target(&self) -> bool;

    /// Takes another record of a target of which a lease is held already.
    async fn acquire_beside(&self, other: &Record) -> Result<Acquired, LedgerError>;

    /// Whether a backup of this series ever succeeded here.
    async fn seen(&self, series: &str) -> Result<bool, LedgerError>;

    /// Notes for ever that a backup of this series succeeded.
    async fn mark_seen(&self, series: &str) -> Result<(), LedgerError>;

    /// Keeps details of the last five runs of a target; older ones that succeeded shrink to a stub.
    async fn tidy(&self, target: &str) -> Result<(), LedgerError>;
}

/// Notes that a series was seen, where that is not noted yet: for those who do so again and again. Without the note the work
/// goes on, for it is about a later day.
pub async fn remember(ledger: &dyn LedgerStore, series: &str) {
    let noted = async { if ledger.seen(series).await? { Ok(()) } else { ledger.mark_seen(series).await } };
    if let Err(error) = noted.await {
        tracing::warn!(%error, series, "that it was seen was not noted");
    }
}

/// A lease, and what was found when it was taken.
pub struct Acquired {
    /// The right to write.
    pub lease: Box<dyn Lease>,
    /// The record as it was before this lease.
    pub found: Option<Record>,
    /// Whether somebody alive had to be waited for.
    pub waited: bool,
}

/// The right to write one record. Dropped without [`Lease::release`], the run looks as if its process had died.
#[async_trait]
pub trait Lease: Send + Sync {
    /// Writes the record, durably; fails when the lease was lost to somebody else.
    async fn write(&self, record: &Record) -> Result<(), LedgerError>;

    /// Notes how far the run is, as soon as the place can take it without harm; not durable.
    async fn progress(&self, counts: &Counts);

    /// Resolves when the lease is lost to somebody else: then nothing more may be touched.
    async fn lost(&self);

    /// Gives the lease back, so that the next one need not wait for it to go stale.
    async fn release(self: Box<Self>);
}

/// Recovery points that unfinished or failed runs of these records still need.
pub fn pinned_points(records: &[Record]) -> Vec<PinnedPoint> {
    records.iter().flat_map(needs).cloned().collect()
}

/// Recovery points that a run still needs: a restore that did not end well, and whose job was not destroyed.
pub fn needs(record: &Record) -> impl Iterator<Item = &PinnedPoint> {
    let needs = record.holds_points();
    record.point.iter().chain(&record.safety_point).filter(move |_| needs)
}
