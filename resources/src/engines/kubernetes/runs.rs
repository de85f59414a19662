//! The records of restores to some namespaces, out of a ledger that holds those of all.

use std::sync::Arc;

use async_trait::async_trait;

use crate::ledger::{Acquired, LedgerError, LedgerStore, Record};

/// The part of a ledger that is about some namespaces.
pub struct OfNamespaces {
    /// The whole.
    pub ledger: Arc<dyn LedgerStore>,
    /// The namespaces; all if there are none.
    pub namespaces: Vec<String>,
}

impl OfNamespaces {
    fn is_about(&self, record: &Record) -> bool {
        self.namespaces.is_empty() || record.target.split(',').any(|name| self.namespaces.iter().any(|own| own == name))
    }
}

#[async_trait]
impl LedgerStore for OfNamespaces {
    fn describe(&self) -> String {
        self.ledger.describe()
    }

    async fn read(&self, key: &str) -> Result<Option<Record>, LedgerError> {
        self.ledger.read(key).await
    }

    async fn list(&self) -> Result<Vec<Record>, LedgerError> {
        let mut records = self.ledger.list().await?;
        records.retain(|record| self.is_about(record));
        Ok(records)
    }

    async fn acquire(&self, record: &Record) -> Result<Acquired, LedgerError> {
        self.ledger.acquire(record).await
    }

    fn lease_covers_target(&self) -> bool {
        self.ledger.lease_covers_target()
    }

    async fn acquire_beside(&self, other: &Record) -> Result<Acquired, LedgerError> {
        self.ledger.acquire_beside(other).await
    }

    async fn seen(&self, series: &str) -> Result<bool, LedgerError> {
        self.ledger.seen(series).await
    }

    async fn mark_seen(&self, series: &str) -> Result<(), LedgerError> {
        self.ledger.mark_seen(series).await
    }

    async fn tidy(&self, target: &str) -> Result<(), LedgerError> {
        self.ledger.tidy(target).await
    }
}
