//! Other runs of the same target: those that live are waited for, what dead ones left is taken on.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::LastRun;
use super::begin::{Run, is_restored};
use crate::clock;
use crate::ledger::{Acquired, LedgerError, LedgerStore, Phase, Record, UndoStep, Verdict};

/// How long a run that has just made its record needs at most to begin or to see ours.
const SETTLE: Duration = Duration::from_secs(2);
/// Between two looks whether a lease is renewed.
const LOOK: Duration = Duration::from_secs(5);

impl Run<'_> {
    /// Waits for other runs of the target, where a lease is one record's alone. Of two that have not begun, the one with the
    /// smaller key goes first, and nobody waits for one that may wait for it. Gives the last that succeeded meanwhile: then
    /// everything has to be decided anew.
    pub(super) async fn let_others_end(&self) -> Result<Option<Record>, LedgerError> {
        if self.parts.ledger.lease_covers_target() {
            return Ok(None);
        }
        let own = self.journal.key().await;
        let mut succeeded = None;
        for other in self.others(|other| other.last_run() == LastRun::Unfinished).await? {
            let beside = tokio::select! {
                beside = self.parts.ledger.acquire_beside(&other) => beside?,
                () = self.is_waited_for(&own, &other.key) => continue,
            };
            beside.lease.release().await;
            succeeded = beside.found.filter(|found| found.last_run() == LastRun::Succeeded).or(succeeded);
        }
        Ok(succeeded)
    }

    /// Resolves when another run of the target is seen not to have begun, and goes after this one. Never for one that goes before.
    async fn is_waited_for(&self, own: &str, other: &str) {
        if own > other {
            std::future::pending::<()>().await;
        }
        let mut seen = false;
        loop {
            let now = self.parts.ledger.read(other).await;
            let waits = now.is_ok_and(|now| now.is_none_or(|now| now.may_wait()));
            if waits && seen {
                return;
            }
            seen = waits;
            clock::sleep(if waits { SETTLE } else { LOOK }).await;
        }
    }

    /// Notes that this attempt may still wait, where an earlier one came so far that nobody could tell.
    pub(super) async fn say_that_it_waits(&self, found: Option<&Record>) -> Result<(), LedgerError> {
        let looks_begun = |record: &Record| !record.may_wait() && record.last_run() == LastRun::Unfinished;
        match found.is_some_and(looks_begun) && !self.parts.ledger.lease_covers_target() {
            true => self.journal.change(|record| record.waits = true).await,
            false => Ok(()),
        }
    }

    /// Notes that another run has filled what was half, if it has.
    pub(super) async fn see_filled(&self, other: Option<&Record>) -> Result<(), LedgerError> {
        if !other.is_some_and(is_restored) || !self.half() {
            return Ok(());
        }
        self.half.store(false, Ordering::Relaxed);
        self.unsaved.store(false, Ordering::Relaxed);
        self.journal.end(Phase::Done, Verdict::Failed).await
    }

    /// The lease of a run that ended or died. Of one that lives nothing: it waits for this one, and puts right itself what it owes.
    async fn lease_of(&self, other: &Record) -> Result<Option<Acquired>, LedgerError> {
        let ledger = self.parts.ledger;
        match ledger.lease_covers_target() {
            true => ledger.acquire_beside(other).await.map(Some),
            false => tokio::select! {
                acquired = ledger.acquire_beside(other) => acquired.map(Some),
                () = renewed(ledger, &other.key) => Ok(None),
            },
        }
    }

    /// Runs that died or failed may have left things paused, or half a target: this one takes both on, and closes them.
    pub(super) async fn inherit_debts(&self) -> Result<(), LedgerError> {
        let mut others = self.others(owes).await?;
        // Of several that left it half, the last one knows what it was in its present place.
        others.sort_by_key(|other| std::cmp::Reverse(other.times.updated));
        for other in others {
            let Some(beside) = self.lease_of(&other).await? else { continue };
            // Its lease is ours now, so its process is dead, and what bears its mark is nobody's.
            if let Some(found) = beside.found.map(Record::buried).filter(owes) {
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
        Some(format!("retention keeps recovery points that this restore needed, although it has ended: {error}"))
    }

    pub(super) async fn others(&self, wanted: impl Fn(&Record) -> bool) -> Result<Vec<Record>, LedgerError> {
        let own = self.journal.key().await;
        let mut records = self.parts.ledger.list().await?;
        records.retain(|record| record.key != own && self.job.concerns(record) && wanted(record));
        Ok(records)
    }
}

/// Whether a run left something that somebody has to put right.
fn owes(record: &Record) -> bool {
    record.owes_undo() || record.left_half()
}

/// Resolves when somebody is seen to renew the lease of a run.
async fn renewed(ledger: &dyn LedgerStore, key: &str) {
    let holder = |record: &Record| record.lease.as_ref().map(|lease| lease.holder.clone());
    let mut before: Option<Record> = None;
    loop {
        if let Ok(Some(now)) = ledger.read(key).await {
            let goes_on = |before: &Record| *before != now && holder(before) == holder(&now);
            if now.lease.is_some() && before.as_ref().is_some_and(goes_on) {
                return;
            }
            before = Some(now);
        }
        clock::sleep(LOOK).await;
    }
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
