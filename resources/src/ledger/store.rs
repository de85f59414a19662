//! Records as objects in the storage itself: a lease by conditional writes, or by writing and reading back.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::{Acquired, LeaseMark, LedgerError, LedgerStore, Record, hygiene, key::seen_name};
use crate::clock;
use crate::store::{Condition, ObjectStore, Put};

mod lease;
#[cfg(test)]
mod tests;

use lease::StoreLease;

/// How long things take; tests shorten it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// A lease that was seen unchanged for this long is stale.
    pub stale: Duration,
    /// How often a holder renews: a quarter of that, so that three renewals may fail.
    pub renew: Duration,
    /// How long writers wait before they read back, where conditions are ignored.
    pub settle: Duration,
    /// How often a lease that somebody holds is looked at.
    pub look: Duration,
    /// How far apart progress is written, between renewals.
    pub progress: Duration,
}

impl Timing {
    fn real() -> Self {
        let seconds = |seconds| clock::scaled(Duration::from_secs(seconds));
        // However fast the clock of a test runs, a busy machine has to be able to renew in time.
        let stale = seconds(60).max(Duration::from_millis(2500));
        Timing { stale, renew: seconds(15), settle: seconds(2), look: seconds(5), progress: seconds(5) }
    }
}

/// A ledger in an object store.
#[derive(Clone)]
pub struct StoreLedger {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    pub(super) timing: Timing,
    /// Whether the store keeps conditions; found out at the first lease.
    conditional: Arc<OnceCell<bool>>,
}

impl StoreLedger {
    /// Records at `<prefix>runs/<key>.json` of `store`. The prefix is `docs.dr/` beside a repository `docs`, `.dr/` at
    /// the top of a bucket, or empty when the store is that place itself.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: &str) -> Self {
        StoreLedger { store, prefix: prefix.to_owned(), timing: Timing::real(), conditional: Arc::default() }
    }

    /// The same on this machine, where a write costs nothing: whoever watches sees more of it.
    pub fn nearby(mut self) -> Self {
        self.timing.progress = clock::scaled(Duration::from_secs(1));
        self
    }

    /// Records at `runs/<key>.json` of a store that is known to keep conditions.
    pub(super) fn conditional(store: Arc<dyn ObjectStore>) -> Self {
        StoreLedger { conditional: Arc::new(OnceCell::new_with(Some(true))), ..StoreLedger::new(store, "") }
    }

    fn record_name(&self, key: &str) -> String {
        format!("{}runs/{key}.json", self.prefix)
    }

    fn seen_name(&self, series: &str) -> String {
        format!("{}seen/{}", self.prefix, seen_name(series))
    }

    /// The record and its etag. A missing bucket or file system is an error: nothing is known of it.
    async fn get(&self, name: &str) -> Result<Option<(Record, String)>, LedgerError> {
        let Some(object) = self.store.get(name).await? else { return Ok(None) };
        let place = format!("{name} in {}", self.store.describe());
        Ok(Some((Record::from_json(&object.bytes, &place)?, object.etag)))
    }

    async fn put(&self, record: &Record, condition: Condition) -> Result<Put, LedgerError> {
        let name = self.record_name(&record.key);
        Ok(self.store.put(&name, Bytes::from(record.to_json()), condition).await?)
    }

    /// Writes the claim under its condition; its etag, or `None` when somebody else was quicker.
    async fn claim(&self, claim: &Record, condition: Condition) -> Result<Option<String>, LedgerError> {
        let Put::Written(etag) = self.put(claim, condition.clone()).await? else { return Ok(None) };
        // The same write again must fail now. Where it does not, the store ignores conditions.
        let probe =
            || async { Ok::<_, LedgerError>(matches!(self.put(claim, condition).await?, Put::ConditionFailed)) };
        if *self.conditional.get_or_try_init(probe).await? {
            return Ok(Some(etag));
        }
        tokio::time::sleep(self.timing.settle).await;
        let found = self.get(&self.record_name(&claim.key)).await?;
        let ours = |record: &Record| holder(record) == holder(claim);
        Ok(found.filter(|(record, _)| ours(record)).map(|(_, etag)| etag))
    }
}

fn holder(record: &Record) -> Option<&str> {
    record.lease.as_ref().map(|lease| lease.holder.as_str())
}

#[async_trait]
impl LedgerStore for StoreLedger {
    fn describe(&self) -> String {
        format!("{} in {}", self.prefix, self.store.describe())
    }

    async fn read(&self, key: &str) -> Result<Option<Record>, LedgerError> {
        Ok(self.get(&self.record_name(key)).await?.map(|(record, _)| record))
    }

    async fn list(&self) -> Result<Vec<Record>, LedgerError> {
        let entries = self.store.list(&format!("{}runs/", self.prefix)).await?;
        let mut records = Vec::new();
        for entry in entries.iter().filter(|entry| entry.name.ends_with(".json")) {
            records.extend(self.get(&entry.name).await?.map(|(record, _)| record));
        }
        Ok(records)
    }

    async fn acquire(&self, record: &Record) -> Result<Acquired, LedgerError> {
        let mark = LeaseMark { holder: hex::encode(rand::random::<[u8; 8]>()), renewals: 0 };
        let mut watched: Option<(Record, Instant)> = None;
        loop {
            let (found, condition) = match self.get(&self.record_name(&record.key)).await? {
                None => (None, Condition::Absent),
                Some((found, etag)) => (Some(found), Condition::Matches(etag)),
            };
            if let Some(held) = found.as_ref().filter(|found| found.lease.is_some()) {
                let since = match &watched {
                    Some((before, since)) if before == held => *since,
                    _ => Instant::now(),
                };
                watched = Some((held.clone(), since));
                if since.elapsed() < self.timing.stale {
                    tokio::time::sleep(self.timing.look).await;
                    continue;
                }
            }
            let mut claim = found.clone().unwrap_or_else(|| record.clone());
            claim.lease = Some(mark.clone());
            if let Some(etag) = self.claim(&claim, condition).await? {
                let lease = StoreLease::start(self.clone(), claim, etag);
                return Ok(Acquired { lease: Box::new(lease), found, waited: watched.is_some() });
            }
        }
    }

    fn lease_covers_target(&self) -> bool {
        false
    }

    async fn acquire_beside(&self, other: &Record) -> Result<Acquired, LedgerError> {
        self.acquire(other).await
    }

    async fn seen(&self, series: &str) -> Result<bool, LedgerError> {
        Ok(self.store.get(&self.seen_name(series)).await?.is_some())
    }

    async fn mark_seen(&self, series: &str) -> Result<(), LedgerError> {
        // Never empty: some servers list an empty object as a folder.
        self.store.put(&self.seen_name(series), Bytes::from_static(b"1\n"), Condition::Any).await?;
        Ok(())
    }

    async fn tidy(&self, target: &str) -> Result<(), LedgerError> {
        for stub in hygiene::stubs(&self.list().await?, target) {
            // Somebody may hold that record by now: then it is theirs.
            let Some((found, etag)) = self.get(&self.record_name(&stub.key)).await? else { continue };
            if found.stub() == stub && found.lease.is_none() {
                self.put(&stub, Condition::Matches(etag)).await?;
            }
        }
        Ok(())
    }
}
