//! A ledger that can be killed around each of its writes.

use async_trait::async_trait;

use super::step;
use crate::ledger::{Acquired, Counts, Lease, LedgerError, LedgerStore, Record};

/// Wraps a ledger; a step before and after each write.
pub struct DyingLedger<L>(pub L);

#[async_trait]
impl<L: LedgerStore> LedgerStore for DyingLedger<L> {
    fn describe(&self) -> String {
        self.0.describe()
    }

    async fn read(&self, key: &str) -> Result<Option<Record>, LedgerError> {
        self.0.read(key).await
    }

    async fn list(&self) -> Result<Vec<Record>, LedgerError> {
        self.0.list().await
    }

    async fn acquire(&self, record: &Record) -> Result<Acquired, LedgerError> {
        step("acquire");
        let acquired = self.0.acquire(record).await?;
        step("acquired");
        Ok(Acquired { lease: Box::new(DyingLease(acquired.lease)), ..acquired })
    }

    fn lease_covers_target(&self) -> bool {
        self.0.lease_covers_target()
    }

    async fn acquire_beside(&self, other: &Record) -> Result<Acquired, LedgerError> {
        let acquired = self.0.acquire_beside(other).await?;
        Ok(Acquired { lease: Box::new(DyingLease(acquired.lease)), ..acquired })
    }

    async fn seen(&self, series: &str) -> Result<bool, LedgerError> {
        self.0.seen(series).await
    }

    async fn mark_seen(&self, series: &str) -> Result<(), LedgerError> {
        step("seen");
        self.0.mark_seen(series).await
    }

    async fn tidy(&self, target: &str) -> Result<(), LedgerError> {
        step("tidy");
        self.0.tidy(target).await
    }
}

struct DyingLease(Box<dyn Lease>);

#[async_trait]
impl Lease for DyingLease {
    async fn write(&self, record: &Record) -> Result<(), LedgerError> {
        step("write");
        self.0.write(record).await?;
        // The word of the schema, as it stands in the document.
        let phase = serde_json::to_value(record.phase).unwrap_or_default();
        step(&format!("phase:{}", phase.as_str().unwrap_or_default()));
        Ok(())
    }

    async fn progress(&self, counts: &Counts) {
        self.0.progress(counts).await;
    }

    async fn lost(&self) {
        self.0.lost().await;
    }

    async fn release(self: Box<Self>) {
        step("release");
        self.0.release().await;
    }
}
