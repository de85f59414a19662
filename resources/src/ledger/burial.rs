//! The proof that the process of a run is dead, for who finds something of it in the storage.

use std::time::Duration;

use super::{LedgerError, LedgerStore, Record};
use crate::clock;

/// A lease that nobody renews is stale after a minute; with looks and answers that come late it is ours after this.
const PROOF: Duration = Duration::from_secs(90);
/// The same in tests, whose clock may run so fast that a busy machine could not keep up.
const AT_LEAST: Duration = Duration::from_secs(10);
/// Between two looks whether the holder of a lease lives.
const LOOK: Duration = Duration::from_secs(5);
/// A worker process ends so long after who it works for, at the latest.
const WORKER_ENDS: Duration = Duration::from_secs(3);

/// Whether the process is dead that left something under `mark`, as far as this ledger can tell: its lease can be had, and from then
/// on nobody goes on under that mark. Who lives is not waited for.
pub async fn bury(ledger: &dyn LedgerStore, mark: &str) -> Result<bool, LedgerError> {
    let records = ledger.list().await?;
    if records.iter().any(|record| is_buried(record, mark)) {
        return Ok(true);
    }
    let Some(record) = records.into_iter().find(|record| record.mark.as_deref() == Some(mark)) else {
        return Ok(false);
    };
    let acquired = tokio::select! {
        acquired = ledger.acquire(&record) => acquired?,
        () = lives(ledger, &record) => return Ok(false),
        () = tokio::time::sleep(clock::scaled(PROOF).max(AT_LEAST)) => return Ok(false),
    };
    let dead = match acquired.found {
        Some(found) if found.mark.as_deref() == Some(mark) => {
            clock::sleep(WORKER_ENDS).await;
            acquired.lease.write(&found.buried()).await?;
            true
        }
        found => found.is_some_and(|found| is_buried(&found, mark)),
    };
    acquired.lease.release().await;
    Ok(dead)
}

/// Notes that the runs of a destroyed restore job need their points no more, but for one whose process lives. Gives the marks under
/// which something is kept for them.
pub async fn let_go(ledger: &dyn LedgerStore, name: &str, target: &str) -> Result<Vec<String>, LedgerError> {
    let is_of_job = |record: &Record| record.name == name && record.target == target && record.holds_points();
    let mut marks = Vec::new();
    for record in ledger.list().await?.iter().filter(|record| is_of_job(record)) {
        let acquired = tokio::select! {
            acquired = ledger.acquire(record) => acquired?,
            () = lives(ledger, record) => continue,
            () = tokio::time::sleep(clock::scaled(PROOF).max(AT_LEAST)) => continue,
        };
        // It may have come to its end while it was waited for.
        if let Some(found) = acquired.found.filter(is_of_job) {
            marks.extend(found.marks().map(str::to_owned));
            acquired.lease.write(&Record { let_go: true, ..found }).await?;
        }
        acquired.lease.release().await;
    }
    Ok(marks)
}

fn is_buried(record: &Record, mark: &str) -> bool {
    record.dead_marks.iter().any(|dead| dead == mark)
}

/// Resolves when who holds the lease has written.
async fn lives(ledger: &dyn LedgerStore, record: &Record) {
    let holder = |record: &Record| record.lease.as_ref().map(|lease| lease.holder.clone());
    loop {
        clock::sleep(LOOK).await;
        let now = ledger.read(&record.key).await;
        // One that another one has buried meanwhile is none of that.
        let goes_on = |now: &Record| now != record && now.mark == record.mark && holder(now) == holder(record);
        if matches!(&now, Ok(Some(now)) if goes_on(now)) {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{JobKind, Phase, StoreLedger};
    use super::*;
    use crate::store::local::LocalStore;

    fn ledger() -> (tempfile::TempDir, StoreLedger, Record) {
        let folder = tempfile::tempdir().unwrap();
        let mut ledger = StoreLedger::new(Arc::new(LocalStore::new(folder.path().join("docs.dr"))), "");
        let millis = Duration::from_millis;
        (ledger.timing.stale, ledger.timing.renew, ledger.timing.look) = (millis(400), millis(100), millis(20));
        let mut record = Record::new(JobKind::Backup, "0123456789abcdef", "docs", "restic", "repository");
        record.mark = Some("mark".to_owned());
        record.phase = Phase::Writing;
        (folder, ledger, record)
    }

    #[tokio::test]
    async fn a_run_whose_lease_nobody_renews_is_dead_and_nobody_goes_on_under_its_mark() {
        let (_folder, ledger, record) = ledger();
        let acquired = ledger.acquire(&record).await.unwrap();
        acquired.lease.write(&record).await.unwrap();
        drop(acquired);
        assert!(!bury(&ledger, "another").await.unwrap());
        assert!(bury(&ledger, "mark").await.unwrap());
        let found = ledger.read(&record.key).await.unwrap().unwrap();
        assert_eq!((found.mark, found.phase, found.lease), (None, Phase::Writing, None));
        assert_eq!(found.dead_marks, ["mark"]);
        // Also for the next one, who does not wait for it any more.
        let held = ledger.acquire(&record).await.unwrap();
        assert!(bury(&ledger, "mark").await.unwrap());
        drop(held);
    }

    #[tokio::test]
    async fn of_two_that_ask_at_once_both_hear_that_it_is_dead() {
        let (_folder, mut ledger, record) = ledger();
        let acquired = ledger.acquire(&record).await.unwrap();
        acquired.lease.write(&record).await.unwrap();
        acquired.lease.release().await;
        ledger.timing.look = LOOK + Duration::from_secs(1);
        let (one, other) = tokio::join!(bury(&ledger, "mark"), bury(&ledger, "mark"));
        assert!(one.unwrap() && other.unwrap());
    }

    #[tokio::test]
    async fn a_run_whose_lease_is_renewed_lives() {
        let (_folder, ledger, record) = ledger();
        let acquired = ledger.acquire(&record).await.unwrap();
        acquired.lease.write(&record).await.unwrap();
        assert!(!bury(&ledger, "mark").await.unwrap());
        assert_eq!(ledger.read(&record.key).await.unwrap().unwrap().mark, record.mark);
        drop(acquired);
    }
}
