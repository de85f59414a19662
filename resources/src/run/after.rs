//! `after`: no backup before the verdict of the restore that it waits for.

use super::RunError;
use crate::ledger::{LastRun, LedgerStore, Record, Verdict};

/// Checks the restore whose run key is `key`, in the ledger that holds its record, and waits for it while somebody alive
/// runs it. `Ok` lets the caller go on, with a warning if there is one.
pub async fn check_after(ledger: &dyn LedgerStore, key: &str) -> Result<Option<String>, RunError> {
    let Some(record) = ledger.read(key).await? else { return Ok(Some(no_record(key))) };
    if record.last_run() != LastRun::Unfinished {
        return judge(&record).map(|()| None);
    }
    // Unfinished: its lease comes to us when it ends, or when its process is dead.
    let acquired = ledger.acquire(&record).await?;
    acquired.lease.release().await;
    match acquired.found {
        Some(record) => judge(&record).map(|()| None),
        None => Ok(Some(no_record(key))),
    }
}

fn no_record(key: &str) -> String {
    format!("the restore that `after` names (run {key}) left no record: going on without knowing how it ended")
}

fn judge(record: &Record) -> Result<(), RunError> {
    let state = match (record.last_run(), record.verdict) {
        (_, Some(Verdict::RolledBack)) => "was rolled back",
        (LastRun::Succeeded, _) => return Ok(()),
        (LastRun::Failed, _) => "failed",
        // Restored and checked, but the application or the schedule is not up again.
        (LastRun::Unfinished | LastRun::None, _) => "has not ended",
    };
    Err(RunError::After { key: record.key.clone(), state })
}
