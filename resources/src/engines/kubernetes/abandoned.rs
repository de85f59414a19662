//! Runs of a job that is destroyed which did not come to their end: nobody takes them over any more, and what they made goes.

use async_trait::async_trait;

use crate::connections::kubernetes::{Cluster, ClusterError, DynamicObject, Kind};
use crate::ledger::{JobKind, LastRun, LedgerStore, Record};
use crate::run::EngineError;

/// Removes what one run made.
#[async_trait]
pub trait Clear: Send + Sync {
    /// Everything but what was restored; harmless to repeat.
    async fn clear(&self, record: &Record) -> Result<(), EngineError>;
}

/// Clears up after the unfinished and the failed runs of a job, once no process is at work on them. Their records stay: what
/// they left half written is still half written, and what they paused still has to be changed back.
pub async fn clear_up(
    ledger: &dyn LedgerStore,
    name: &str,
    target: &str,
    engine: &dyn Clear,
) -> Result<(), EngineError> {
    let unread = |error: crate::ledger::LedgerError| EngineError::new(error.to_string());
    for record in ledger.list().await.map_err(unread)?.into_iter().filter(|record| is_abandoned(record, name, target)) {
        let beside = ledger.acquire_beside(&record).await.map_err(unread)?;
        let cleared = match beside.found.filter(|found| is_abandoned(found, name, target)) {
            Some(found) => engine.clear(&found).await,
            // It came to its end meanwhile.
            None => Ok(()),
        };
        beside.lease.release().await;
        cleared?;
    }
    Ok(())
}

fn is_abandoned(record: &Record, name: &str, target: &str) -> bool {
    let of_job = record.kind == JobKind::Restore && record.name == name && record.target == target;
    of_job && record.last_run() != LastRun::Succeeded
}

/// Whether an object was made by the run of this key, as its label says.
pub fn is_of(object: &DynamicObject, label: &str, key: &str) -> bool {
    object.metadata.labels.as_ref().and_then(|labels| labels.get(label)).is_some_and(|run| run == key)
}

/// Removes an object if it is one that `belongs`.
pub async fn remove(
    cluster: &Cluster,
    kind: &Kind,
    namespace: &str,
    name: &str,
    belongs: impl FnOnce(&DynamicObject) -> bool,
) -> Result<(), EngineError> {
    let failed =
        |error: ClusterError| EngineError::new(format!("{} can't be removed: {error}", kind.called(namespace, name)));
    let found = match cluster.get(kind, namespace, name).await {
        Err(ClusterError::MissingKind { .. }) => None,
        found => found.map_err(failed)?,
    };
    let Some(found) = found.filter(belongs) else { return Ok(()) };
    match cluster.delete(kind, namespace, name, found.metadata.uid.as_deref()).await {
        Ok(_) | Err(ClusterError::Changed { .. }) => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Phase, Verdict};

    #[test]
    fn only_what_did_not_come_to_its_end_is_abandoned() {
        let mut record = Record::new(JobKind::Restore, "0123456789abcdef", "docs", "volsync", "apps/data");
        record.phase = Phase::Writing;
        assert!(is_abandoned(&record, "docs", "apps/data"));
        assert!(!is_abandoned(&record, "other", "apps/data") && !is_abandoned(&record, "docs", "apps/other"));
        record.verdict = Some(Verdict::Failed);
        assert!(is_abandoned(&record, "docs", "apps/data"));
        (record.verdict, record.phase) = (Some(Verdict::Restored), Phase::Done);
        assert!(!is_abandoned(&record, "docs", "apps/data"));
    }
}
