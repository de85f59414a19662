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
    /// What the record is from the moment that the next change of it may lie in the ledger.
    begun: StdMutex<Record>,
    /// Locks that an older program noted, which this run was taken over from.
    inherited_locks: Vec<String>,
    /// What locks of other runs bear whose processes are proved dead.
    dead_marks: StdMutex<Vec<String>>,
}

impl Journal {
    /// Goes on with a record under a lease. Nothing is written before the first change.
    pub(super) fn new(lease: Box<dyn Lease>, record: Record) -> Self {
        let inherited_locks = record.lock_ids.clone();
        Journal {
            lease,
            begun: StdMutex::new(record.clone()),
            record: Mutex::new(record),
            inherited_locks,
            dead_marks: StdMutex::default(),
        }
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

    /// Locks that a dead process of this run may have left behind, and that bear no mark; they may be removed.
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
        self.begin(&next);
        self.lease.write(&next).await.inspect_err(|_| self.begin(&record))?;
        durable_step(kind);
        *record = next;
        Ok(())
    }

    fn begin(&self, next: &Record) {
        *self.begun.lock().unwrap_or_else(PoisonError::into_inner) = next.clone();
    }

    /// The record of a run whose work is stopped wherever it is: the change that it was stopped in may have been written.
    pub(super) fn interrupted(&self) -> Record {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that the run is about to do this, and waits for nobody any more. A run that was taken over never goes back.
    pub(super) async fn enter(&self, phase: Phase) -> Result<(), LedgerError> {
        let record = self.record().await;
        let is_past = record.phase == phase || rank(record.phase) > rank(phase);
        if is_past && !record.waits {
            return Ok(());
        }
        let next = if is_past { record.phase } else { phase };
        tracing::info!(run = record.key, job = record.name, phase = next.as_str(), "the run goes on");
        self.change(|record| (record.phase, record.waits) = (next, false)).await
    }

    /// Notes how the run ended.
    pub(super) async fn end(&self, phase: Phase, verdict: Verdict) -> Result<(), LedgerError> {
        self.change(|record| {
            record.phase = phase;
            record.verdict = Some(verdict);
            record.waits = false;
            record.lock_ids.clear();
            record.times.finished = Some(clock::now());
        })
        .await
    }

    /// Notes the point that the run is about.
    pub(super) async fn pin(&self, point: PinnedPoint) -> Result<(), LedgerError> {
        self.change(|record| (record.point, record.let_go) = (Some(point), false)).await
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

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use futures::FutureExt;

    use super::*;
    use crate::ledger::JobKind;

    /// Of two writes the first goes through and is never acknowledged; the second fails.
    #[derive(Default)]
    struct Stuck(std::sync::atomic::AtomicBool);

    #[async_trait]
    impl Lease for Stuck {
        async fn write(&self, record: &Record) -> Result<(), LedgerError> {
            match self.0.swap(true, std::sync::atomic::Ordering::SeqCst) {
                false => std::future::pending().await,
                true => Err(LedgerError::LeaseLost { key: record.key.clone() }),
            }
        }

        async fn progress(&self, _: &Counts) {}

        async fn lost(&self) {}

        async fn release(self: Box<Self>) {}
    }

    #[tokio::test]
    async fn a_run_that_is_stopped_while_it_writes_its_record_says_what_may_stand_there() {
        let journal = Journal::new(
            Box::new(Stuck::default()),
            Record::new(JobKind::Backup, "0123456789abcdef", "docs", "restic", "/srv/docs"),
        );
        assert_eq!(journal.interrupted().phase, Phase::Recorded);
        assert!(journal.enter(Phase::Writing).now_or_never().is_none());
        assert_eq!(journal.interrupted().phase, Phase::Writing);
        assert!(journal.engine_object("restore-1").await.is_err());
        assert_eq!(journal.interrupted(), journal.record().await, "what was not written was not done either");
    }
}
