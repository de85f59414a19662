//! What a run writes down while it works.

use std::sync::{Mutex as StdMutex, PoisonError};

use tokio::sync::Mutex;

use crate::clock;
#[cfg(feature = "toy")]
use crate::engines::toy::durable_step;
use crate::ledger::{Counts, Lease, LedgerError, Phase, PinnedPoint, Record, Verdict};

/// The record of the run that is under way, with the right to write it.
pub struct Journal {
    lease: Box<dyn Lease>,
    record: Mutex<Record>,
    /// Locks that the process which this run was taken over from may have left in the storage.
    inherited_locks: Vec<String>,
    /// What locks of other runs bear whose processes are proved dead.
    dead_marks: StdMutex<Vec<String>>,
}

impl Journal {
    /// Goes on with a record under a lease. Nothing is written before the first change.
    pub(super) fn new(lease: Box<dyn Lease>, record: Record) -> Self {
        let inherited_locks = record.lock_ids.clone();
        Journal { lease, record: Mutex::new(record), inherited_locks, dead_marks: StdMutex::default() }
    }

    /// That of a run which begins in a test.
    #[cfg(test)]
    pub async fn of(ledger: &dyn crate::ledger::LedgerStore, record: Record) -> Self {
        Journal::new(ledger.acquire(&record).await.unwrap().lease, record)
    }

    /// The run's key.
    pub async fn key(&self) -> String {
        self.record.lock().await.key.clone()
    }

    /// The record as it stands.
    pub async fn record(&self) -> Record {
        self.record.lock().await.clone()
    }

    /// Notes the name of the object that the engine is about to make, before it makes it.
    pub async fn engine_object(&self, name: &str) -> Result<(), LedgerError> {
        self.change(|record| record.engine_object = Some(name.to_owned())).await
    }

    /// Notes the locks that the run holds in the storage now.
    pub async fn lock_ids(&self, ids: Vec<String>) -> Result<(), LedgerError> {
        self.change(|record| record.lock_ids = ids).await
    }

    /// Locks that a dead process of this run may have left behind; they may be removed.
    pub fn inherited_locks(&self) -> &[String] {
        &self.inherited_locks
    }

    /// Notes what locks of other runs bear whose processes are proved dead.
    pub(crate) fn others_are_dead(&self, marks: Vec<String>) {
        *self.dead_marks.lock().unwrap_or_else(PoisonError::into_inner) = marks;
    }

    /// What locks of dead processes of other runs may bear; they may be removed.
    pub fn dead_marks(&self) -> Vec<String> {
        self.dead_marks.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the locks and pins of this run are known by in the storage, written down before the first is taken: whoever takes the
    /// run over knows them by it, wherever its process died. A key would not do: of two machines with one configuration each
    /// has a run of its own.
    pub async fn mark(&self) -> Result<String, LedgerError> {
        if let Some(mark) = self.record.lock().await.mark.clone() {
            return Ok(mark);
        }
        let mark = hex::encode(rand::random::<[u8; 16]>());
        self.change(|record| record.mark = Some(mark.clone())).await?;
        Ok(mark)
    }

    /// Notes how far the run is. Cheap to call often.
    pub async fn progress(&self, counts: Counts) {
        self.record.lock().await.counts = counts;
        self.lease.progress(&counts).await;
    }

    /// Changes the record, durably.
    pub(super) async fn change(&self, change: impl FnOnce(&mut Record)) -> Result<(), LedgerError> {
        let mut record = self.record.lock().await;
        let mut next = record.clone();
        change(&mut next);
        next.times.updated = Some(clock::now());
        let kind = next.kind;
        durable_step(kind);
        self.lease.write(&next).await?;
        durable_step(kind);
        *record = next;
        Ok(())
    }

    /// Notes that the run is about to do this. A run that was taken over never goes back.
    pub(super) async fn enter(&self, phase: Phase) -> Result<(), LedgerError> {
        let current = self.record.lock().await.phase;
        if current == phase || rank(current) > rank(phase) {
            return Ok(());
        }
        let (key, name) = {
            let record = self.record.lock().await;
            (record.key.clone(), record.name.clone())
        };
        tracing::info!(run = key, job = name, phase = phase.as_str(), "the run goes on");
        self.change(|record| record.phase = phase).await
    }

    /// Notes how the run ended.
    pub(super) async fn end(&self, phase: Phase, verdict: Verdict) -> Result<(), LedgerError> {
        self.change(|record| {
            record.phase = phase;
            record.verdict = Some(verdict);
            record.lock_ids.clear();
            record.times.finished = Some(clock::now());
        })
        .await
    }

    /// Notes the point that the run is about.
    pub(super) async fn pin(&self, point: PinnedPoint) -> Result<(), LedgerError> {
        self.change(|record| record.point = Some(point)).await
    }

    /// Resolves when somebody else took the run over.
    pub(super) async fn lost(&self) {
        self.lease.lost().await;
    }

    /// Gives the lease back.
    pub(super) async fn close(self) {
        self.lease.release().await;
    }
}

/// Where tests kill the process; a release never dies there.
#[cfg(not(feature = "toy"))]
fn durable_step(_: crate::ledger::JobKind) {}

/// The order of phases. What comes before writing may come in either order, so it ranks alike; quiesce and safety are
/// told apart by what the record holds.
fn rank(phase: Phase) -> u8 {
    match phase {
        Phase::Recorded => 0,
        Phase::Paused => 1,
        Phase::Quiesced | Phase::Safety => 2,
        Phase::Writing => 3,
        Phase::Verifying => 4,
        Phase::Undoing => 5,
        Phase::Done => 6,
    }
}
