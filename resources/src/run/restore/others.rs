//! Other runs of the same target: those that live are waited for, what dead ones left is taken on.

use std::time::Duration;

use super::LastRun;
use super::begin::Run;
use crate::clock;
use crate::ledger::{JobKind, LedgerError, Phase, Record, UndoStep, Verdict};

/// How long a run that has just made its record needs at most to begin or to see ours.
const SETTLE: Duration = Duration::from_secs(2);

impl Run<'_> {
    /// Waits for other runs of the target, where a lease is one record's alone. Of two that begin at once, the one with the
    /// smaller key goes first. Says whether one succeeded meanwhile: then everything has to be decided anew.
    pub(super) async fn let_others_end(&self) -> Result<bool, LedgerError> {
        if self.parts.ledger.lease_covers_target() {
            return Ok(false);
        }
        let own = self.journal.key().await;
        let mut succeeded = false;
        for other in self.others(|other| other.last_run() == LastRun::Unfinished).await? {
            if own < other.key && other.phase == Phase::Recorded {
                clock::sleep(SETTLE).await;
                let now = self.parts.ledger.read(&other.key).await?;
                if now.is_none_or(|now| now.phase == Phase::Recorded) {
                    continue;
                }
            }
            let beside = self.parts.ledger.acquire_beside(&other).await?;
            beside.lease.release().await;
            succeeded |= beside.found.is_some_and(|found| found.last_run() == LastRun::Succeeded);
        }
        Ok(succeeded)
    }

    /// Runs that died or failed may have left things paused, or half a target: this one takes both on, and closes them.
    pub(super) async fn inherit_debts(&self) -> Result<(), LedgerError> {
        let mut others = self.others(|other| owes(other) || may_have_left_locks(other)).await?;
        // Of several that left it half, the last one knows what it was in its present place.
        others.sort_by_key(|other| std::cmp::Reverse(other.times.updated));
        for other in others {
            let beside = self.parts.ledger.acquire_beside(&other).await?;
            // Its lease is ours now, so its process is dead, and what bears its mark is nobody's.
            let found = beside.found.map(Record::buried);
            if let Some(found) = found.as_ref().filter(|found| !owes(found)) {
                beside.lease.write(found).await?;
            }
            if let Some(found) = found.filter(owes) {
                let owed: Vec<UndoStep> = found.undo.iter().filter(|step| !step.undone).cloned().collect();
                let saved = found.safety_point.clone().filter(|_| self.half() && found.left_half());
                self.journal
                    .change(|record| {
                        take_on(&mut record.undo, owed);
                        // What the target was before it was half is what this run rolls back to as well.
                        record.safety_point = record.safety_point.take().or(saved);
                    })
                    .await?;
                // Only now: killed in between, both records owe it, and the next run sees that they are the same.
                let closed = Record { verdict: Some(Verdict::Failed), phase: Phase::Done, point: None, ..found.stub() };
                beside.lease.write(&closed).await?;
            }
            beside.lease.release().await;
        }
        let buried = self.others(|other| !other.dead_marks.is_empty()).await?;
        self.journal.others_are_dead(buried.iter().flat_map(|other| &other.dead_marks).cloned().collect());
        Ok(())
    }

    /// Lets go of the points that this run kept, and those of its target that ended before it or never will. What could not be
    /// let go, for people.
    pub(super) async fn let_points_go(&self) -> Option<String> {
        let record = self.journal.record().await;
        let pins = self.parts.engine.pins().filter(|_| record.last_run() == LastRun::Succeeded)?;
        let all = self.parts.ledger.lease_covers_target();
        let ended = async {
            let mut ended = self.others(|other| all || other.last_run() != LastRun::Unfinished).await?;
            ended.push(record);
            Ok::<_, LedgerError>(ended)
        };
        let gone = match ended.await {
            Ok(ended) => pins.unpin(&ended).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let error = gone.err()?;
        Some(format!(
            "retention keeps recovery points that this restore needed, although it has ended: {error}. The next backup of this machine \
             tries to let them go again, or remove that file"
        ))
    }

    pub(super) async fn others(&self, wanted: impl Fn(&Record) -> bool) -> Result<Vec<Record>, LedgerError> {
        let own = self.journal.key().await;
        let mut records = self.parts.ledger.list().await?;
        records.retain(|record| {
            record.kind == JobKind::Restore && record.target == self.job.target && record.key != own && wanted(record)
        });
        Ok(records)
    }
}

/// Whether a run left something that somebody has to put right.
fn owes(record: &Record) -> bool {
    record.owes_undo() || record.left_half()
}

/// Whether locks in the storage may bear its mark.
fn may_have_left_locks(record: &Record) -> bool {
    record.mark.is_some() && record.last_run() != LastRun::Succeeded
}

/// Adds the steps that are not known yet. What is known was written down by an attempt that had taken it on already.
fn take_on(known: &mut Vec<UndoStep>, owed: Vec<UndoStep>) {
    for step in owed {
        let same = |held: &UndoStep| !held.undone && held.action == step.action && held.object == step.object;
        if !known.iter().any(same) {
            known.push(step);
        }
    }
}
