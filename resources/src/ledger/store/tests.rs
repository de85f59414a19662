//! The lease over a store that keeps conditions and one that ignores them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::ledger::{JobKind, LastRun, Phase, Verdict};
use crate::store::{Entry, Object, StoreError};

/// Objects in memory.
#[derive(Default)]
struct Memory {
    ignores_conditions: bool,
    writes: AtomicU64,
    objects: Arc<Mutex<BTreeMap<String, Object>>>,
    /// The next write arrives so late.
    late: Mutex<Option<Duration>>,
}

#[async_trait]
impl ObjectStore for Memory {
    fn describe(&self) -> String {
        "memory".into()
    }

    async fn get(&self, name: &str) -> Result<Option<Object>, StoreError> {
        Ok(self.objects.lock().unwrap().get(name).cloned())
    }

    async fn get_range(&self, name: &str, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        let objects = self.objects.lock().unwrap();
        Ok(objects[name].bytes.slice(offset as usize..(offset + length) as usize))
    }

    async fn put(&self, name: &str, bytes: Bytes, condition: Condition) -> Result<Put, StoreError> {
        let late = self.late.lock().unwrap().take();
        if let Some(late) = late {
            let (objects, name) = (self.objects.clone(), name.to_owned());
            let arrives = async move {
                tokio::time::sleep(late).await;
                objects.lock().unwrap().insert(name, Object { bytes, etag: "late".into() });
            };
            // Whoever gives up on it does not call it back.
            tokio::spawn(arrives).await.unwrap();
            return Ok(Put::Written("late".into()));
        }
        let mut objects = self.objects.lock().unwrap();
        let holds = match (&condition, objects.get(name)) {
            (Condition::Any, _) | (Condition::Absent, None) => true,
            (Condition::Matches(etag), Some(object)) => object.etag == *etag,
            _ => false,
        };
        if !holds && !self.ignores_conditions {
            return Ok(Put::ConditionFailed);
        }
        let etag = self.writes.fetch_add(1, Ordering::Relaxed).to_string();
        objects.insert(name.to_owned(), Object { bytes, etag: etag.clone() });
        Ok(Put::Written(etag))
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.objects.lock().unwrap().remove(name);
        Ok(())
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        let objects = self.objects.lock().unwrap();
        let below = objects.iter().filter(|(name, _)| name.starts_with(prefix));
        Ok(below.map(|(name, object)| Entry { name: name.clone(), size: object.bytes.len() as u64 }).collect())
    }
}

fn ledger(ignores_conditions: bool) -> (Arc<Memory>, StoreLedger, Record) {
    let memory = Arc::new(Memory { ignores_conditions, ..Memory::default() });
    let mut ledger = StoreLedger::new(memory.clone(), "docs.dr/");
    let millis = Duration::from_millis;
    ledger.timing =
        Timing { stale: millis(400), renew: millis(100), settle: millis(40), look: millis(20), progress: millis(50) };
    (memory, ledger, Record::new(JobKind::Backup, "0123456789abcdef", "docs", "toy", "repository"))
}

#[tokio::test]
async fn the_first_gets_the_lease_and_the_second_waits_for_its_release() {
    for ignores_conditions in [false, true] {
        let (memory, ledger, mut record) = ledger(ignores_conditions);
        let first = ledger.acquire(&record).await.unwrap();
        assert!(first.found.is_none());
        assert!(memory.objects.lock().unwrap().contains_key("docs.dr/runs/0123456789abcdef.json"));
        let second = tokio::spawn({
            let (ledger, record) = (ledger.clone(), record.clone());
            async move { ledger.acquire(&record).await.unwrap() }
        });
        // Far longer than a lease lives without renewal.
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert!(!second.is_finished());
        record.phase = Phase::Done;
        record.verdict = Some(Verdict::Stored);
        first.lease.write(&record).await.unwrap();
        first.lease.release().await;
        let second = second.await.unwrap();
        assert!(second.waited);
        assert_eq!(second.found.unwrap().last_run(), LastRun::Succeeded);
        assert_eq!(*ledger.conditional.get().unwrap(), !ignores_conditions);
    }
}

#[tokio::test]
async fn a_stale_lease_is_taken_over_and_its_holder_notices() {
    for ignores_conditions in [false, true] {
        let (_, ledger, record) = ledger(ignores_conditions);
        let first = ledger.acquire(&record).await.unwrap();
        first.lease.write(&Record { phase: Phase::Writing, ..record.clone() }).await.unwrap();
        // A process that stands still: it neither renews nor lets go.
        let stopped = ledger.clone();
        let (claim, etag) = stopped.get(&stopped.record_name(&record.key)).await.unwrap().unwrap();
        drop(first);
        let timing = Timing { renew: Duration::from_secs(100), ..ledger.timing };
        let still = StoreLease::start(StoreLedger { timing, ..stopped }, claim.clone(), etag);
        let second = ledger.acquire(&record).await.unwrap();
        assert_eq!(second.found.unwrap().phase, Phase::Writing);
        let error = super::super::Lease::write(&still, &claim).await.unwrap_err();
        assert!(matches!(error, LedgerError::LeaseLost { .. }));
        super::super::Lease::lost(&still).await;
        second.lease.write(&record).await.unwrap();
    }
}

#[tokio::test]
async fn of_many_at_once_one_holds_the_lease_at_a_time() {
    for ignores_conditions in [false, true] {
        let (_, ledger, record) = ledger(ignores_conditions);
        let holders = Arc::new(AtomicU64::new(0));
        let mut tasks = Vec::new();
        for _ in 0..4 {
            let (ledger, record, holders) = (ledger.clone(), record.clone(), holders.clone());
            tasks.push(tokio::spawn(async move {
                let acquired = ledger.acquire(&record).await.unwrap();
                assert_eq!(holders.fetch_add(1, Ordering::SeqCst), 0);
                tokio::time::sleep(Duration::from_millis(30)).await;
                holders.fetch_sub(1, Ordering::SeqCst);
                acquired.lease.release().await;
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    }
}

#[tokio::test]
async fn progress_goes_out_with_the_renewal() {
    let (_, mut ledger, record) = ledger(false);
    ledger.timing.progress = Duration::from_secs(100);
    let acquired = ledger.acquire(&record).await.unwrap();
    acquired.lease.progress(&crate::ledger::Counts { files: 12, ..Default::default() }).await;
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(ledger.read(&record.key).await.unwrap().unwrap().counts.files, 12);
}

#[tokio::test]
async fn progress_goes_out_before_the_renewal_and_not_each_time() {
    let (memory, mut ledger, record) = ledger(false);
    ledger.timing = Timing { renew: Duration::from_secs(100), stale: Duration::from_secs(400), ..ledger.timing };
    let acquired = ledger.acquire(&record).await.unwrap();
    let before = memory.writes.load(Ordering::Relaxed);
    for files in 1..=20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        acquired.lease.progress(&crate::ledger::Counts { files, ..Default::default() }).await;
    }
    let written = memory.writes.load(Ordering::Relaxed) - before;
    assert!((1..=5).contains(&written), "{written} writes in 200 ms, 50 apart");
    assert!(ledger.read(&record.key).await.unwrap().unwrap().counts.files > 0);
}

#[tokio::test]
async fn a_series_is_seen_once_it_is_marked() {
    let (memory, ledger, _) = ledger(false);
    assert!(!ledger.seen("docs").await.unwrap());
    ledger.mark_seen("docs").await.unwrap();
    assert!(ledger.seen("docs").await.unwrap());
    assert!(memory.objects.lock().unwrap().contains_key("docs.dr/seen/docs"));
}

#[tokio::test]
async fn progress_that_arrives_late_undoes_nothing_where_conditions_are_ignored() {
    let (memory, mut ledger, mut record) = ledger(true);
    ledger.timing = Timing { renew: Duration::from_secs(100), stale: Duration::from_secs(400), ..ledger.timing };
    let acquired = ledger.acquire(&record).await.unwrap();
    tokio::time::sleep(ledger.timing.progress * 2).await;
    *memory.late.lock().unwrap() = Some(ledger.timing.progress * 4);
    acquired.lease.progress(&crate::ledger::Counts { files: 7, ..Default::default() }).await;
    *memory.late.lock().unwrap() = None;
    record.phase = Phase::Verifying;
    acquired.lease.write(&record).await.unwrap();
    tokio::time::sleep(ledger.timing.progress * 6).await;
    assert_eq!(ledger.read(&record.key).await.unwrap().unwrap().phase, Phase::Verifying);
}
