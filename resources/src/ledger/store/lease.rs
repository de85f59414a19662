//! A held record in an object store, renewed in the background.

use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use super::{StoreLedger, holder};
use crate::ledger::{Counts, Lease, LedgerError, Record};
use crate::store::{Condition, Put};

/// Renews itself until it is dropped or lost.
pub(super) struct StoreLease {
    held: Arc<Held>,
    renewal: tokio::task::JoinHandle<()>,
}

struct Held {
    ledger: StoreLedger,
    current: Mutex<Current>,
    /// Apart from the record: whoever looks whether it is too late must not wait for a write that hangs.
    renewed: StdMutex<Instant>,
    lost: watch::Sender<bool>,
}

struct Current {
    record: Record,
    etag: String,
}

impl StoreLease {
    pub(super) fn start(ledger: StoreLedger, record: Record, etag: String) -> Self {
        let renew = ledger.timing.renew;
        let (current, renewed) = (Mutex::new(Current { record, etag }), StdMutex::new(Instant::now()));
        let held = Arc::new(Held { ledger, current, renewed, lost: watch::Sender::new(false) });
        let renewal = tokio::spawn({
            let held = held.clone();
            async move {
                while !*held.lost.borrow() {
                    tokio::time::sleep(renew).await;
                    held.renew().await;
                }
            }
        });
        StoreLease { held, renewal }
    }
}

impl Held {
    /// Writes what `change` makes of the current record, under our lease.
    async fn change(&self, change: impl FnOnce(&mut Record) + Send) -> Result<(), LedgerError> {
        let mut current = self.current.lock().await;
        let lost = || LedgerError::LeaseLost { key: current.record.key.clone() };
        if *self.lost.borrow() {
            return Err(lost());
        }
        let mut next = current.record.clone();
        change(&mut next);
        match self.swap(&current, &next).await? {
            Some(etag) => {
                *current = Current { record: next, etag };
                *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
                Ok(())
            }
            None => {
                self.lost.send_replace(true);
                Err(lost())
            }
        }
    }

    /// Replaces the record while it is ours; its new etag, or `None` when it is no longer ours.
    async fn swap(&self, current: &Current, next: &Record) -> Result<Option<String>, LedgerError> {
        if *self.ledger.conditional.get().unwrap_or(&true)
            && let Put::Written(etag) = self.ledger.put(next, Condition::Matches(current.etag.clone())).await?
        {
            return Ok(Some(etag));
        }
        // Either conditions are ignored, or an earlier write of ours arrived though its answer did not.
        let Some((found, etag)) = self.ledger.get(&self.ledger.record_name(&next.key)).await? else { return Ok(None) };
        if holder(&found) != holder(&current.record) {
            return Ok(None);
        }
        match self.ledger.put(next, Condition::Matches(etag)).await? {
            Put::Written(etag) => Ok(Some(etag)),
            Put::ConditionFailed => Ok(None),
        }
    }

    /// How long ago the record was written.
    fn age(&self) -> Duration {
        self.renewed.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    async fn renew(&self) {
        let bump = |record: &mut Record| {
            if let Some(lease) = &mut record.lease {
                lease.renewals += 1;
            }
        };
        let timing = self.ledger.timing;
        // Others may take it over after `stale`; to stop before that leaves them the margin of one renewal. A store that
        // answers late is waited for until then.
        let life = timing.stale - timing.renew;
        match tokio::time::timeout(life.saturating_sub(self.age()), self.change(bump)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => tracing::warn!(%error, "the lease was not renewed"),
            Err(_) => tracing::warn!("the lease was not renewed in time"),
        }
        if self.age() >= life {
            self.lost.send_replace(true);
        }
    }
}

#[async_trait]
impl Lease for StoreLease {
    async fn write(&self, record: &Record) -> Result<(), LedgerError> {
        let written = |current: &mut Record| {
            let mark = current.lease.take();
            *current = Record { lease: mark, ..record.clone() };
            if let Some(lease) = &mut current.lease {
                lease.renewals += 1;
            }
        };
        self.held.change(written).await
    }

    async fn progress(&self, counts: &Counts) {
        self.held.current.lock().await.record.counts = *counts;
        let spacing = self.held.ledger.timing.progress;
        // Given up on for being late, it could arrive after what is written next: where conditions are ignored it would undo that.
        let ignores_conditions = self.held.ledger.conditional.get() == Some(&false);
        if self.held.age() < spacing || ignores_conditions {
            return; // It goes out with the next one, or with the renewal.
        }
        // A store that answers late is not waited for: the renewal is there for that.
        match tokio::time::timeout(spacing, self.held.change(|_| {})).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "progress was not written"),
            Err(_) => tracing::debug!("progress was not written in time"),
        }
    }

    async fn lost(&self) {
        let mut lost = self.held.lost.subscribe();
        // The sender lives as long as this lease.
        let _ = lost.wait_for(|lost| *lost).await;
    }

    async fn release(self: Box<Self>) {
        self.renewal.abort();
        if let Err(error) = self.held.change(|record| record.lease = None).await {
            tracing::warn!(%error, "the lease was not given back and will go stale");
        }
    }
}

impl Drop for StoreLease {
    fn drop(&mut self) {
        self.renewal.abort();
    }
}
