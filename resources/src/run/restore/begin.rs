//! What a run does with the record that it finds: adopt, finish, try again, or begin.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{LastRun, Outcome, RestoreJob, RestoreParts, RestoreResult, RunError};
use crate::clock;
use crate::ledger::{LedgerError, Phase, Record, Verdict};
use crate::run::{Journal, Probe, TargetState, When};

/// A run under its lease.
pub(super) struct Run<'a> {
    pub(super) job: &'a RestoreJob,
    pub(super) parts: &'a RestoreParts<'a>,
    pub(super) journal: Journal,
    /// Whether an earlier attempt, or another run of the target, may have written to it and did not come to its end: then
    /// what is there is half a target, and `when` is no longer a question.
    pub(super) half: AtomicBool,
    /// Whether something else may have written to that half since.
    pub(super) unsaved: AtomicBool,
    /// Whether this attempt has taken everything down and saved it.
    pub(super) prepared: AtomicBool,
    /// Why the storage does not keep the points that this run needs, for people.
    pub(super) unkept: Mutex<Option<String>>,
}

impl Run<'_> {
    /// Runs until it ends, the user asks to stop, or somebody else takes it over; the last two leave everything as it is.
    pub(super) async fn guarded(&self, found: Option<Record>) -> Result<RestoreResult, RunError> {
        tokio::select! {
            biased;
            result = self.run(found) => result,
            () = self.parts.cancel.cancelled() => {
                Err(RunError::interrupted(self.journal.interrupted(), self.parts.engine.interrupted()))
            }
            () = self.journal.lost() => Err(LedgerError::LeaseLost { key: self.job.key() }.into()),
        }
    }

    async fn run(&self, found: Option<Record>) -> Result<RestoreResult, RunError> {
        self.say_that_it_waits(found.as_ref()).await?;
        let other = self.let_others_end().await?;
        let found = self.see_half(found, other.as_ref()).await?;
        if let Some(record) = found.as_ref().filter(|_| !self.half()) {
            if is_restored(record) && record.phase == Phase::Undoing && is_there(record, &self.probe().await?) {
                return self.finish_undoing().await;
            }
            if record.last_run() == LastRun::Succeeded
                && let Some(result) = self.adopt(record).await?
            {
                return Ok(result);
            }
        }
        match self.drive(found).await {
            Ok(result) => Ok(result),
            Err(failure) => self.fail(failure).await,
        }
    }

    pub(super) fn half(&self) -> bool {
        self.half.load(Ordering::Relaxed)
    }

    /// Sees whether the target is half written, by this run or by others. The record as it was found; one of a target that was
    /// replaced since is a failure without consequences, and so is one that another run has filled meanwhile.
    async fn see_half(&self, found: Option<Record>, other: Option<&Record>) -> Result<Option<Record>, RunError> {
        let mut others = self.others(Record::left_half).await?;
        let mut own = found.as_ref().is_some_and(Record::left_half);
        if !own && others.is_empty() {
            return Ok(found);
        }
        let probe = self.probe().await?;
        others.retain(|record| !is_replaced(record, &probe));
        let mut found = found;
        let filled = other.is_some_and(is_restored);
        if let Some(record) = found.as_mut().filter(|record| own && (filled || is_replaced(record, &probe))) {
            own = false;
            self.journal.end(Phase::Done, Verdict::Failed).await?;
            *record = self.journal.record().await;
        }
        self.half.store(own || !others.is_empty(), Ordering::Relaxed);
        let elsewhere = |record: &Record| self.job.locality.as_ref().is_some_and(|here| here.is_elsewhere(record));
        let unsaved = match found.as_ref().filter(|_| own) {
            Some(record) => record.unsaved || elsewhere(record) || !self.is_still_down(record).await,
            None => !others.is_empty(),
        };
        self.unsaved.store(unsaved, Ordering::Relaxed);
        Ok(found)
    }

    /// Whether what an attempt took down is still down: else what it took down may have written since.
    async fn is_still_down(&self, record: &Record) -> bool {
        match self.parts.pause {
            Some(pause) => pause.holds(&record.undo).await.is_ok(),
            None => true,
        }
    }

    /// The result of a run that ended well, while its target is there.
    async fn adopt(&self, record: &Record) -> Result<Option<RestoreResult>, RunError> {
        let Some(outcome) = standing(self.job, record) else { return Ok(None) };
        if outcome == Outcome::HandedOver {
            if self.withdrawn(Some(record)).await?.is_some() {
                return Ok(None);
            }
        } else {
            let probe = self.probe().await?;
            if !is_there(record, &probe) {
                return Ok(None);
            }
        }
        // Runs with other triggers may have left something paused.
        self.inherit_debts().await?;
        let left = self.undo_all().await?;
        let (outcome, decision, warning) = match restored_else(self.job, record) {
            Some(decision) => (Outcome::NotNeeded, decision.clone(), decision),
            None => {
                let decision = already_ended(record);
                let warning = format!("{decision}: nothing was restored now. Change `triggers` to run again");
                (outcome, decision, warning)
            }
        };
        let mut result = RestoreResult::of(self.job, record, outcome, decision);
        result.adopted = true;
        result.warnings.push(warning);
        result.warnings.extend(left);
        Ok(Some(result))
    }

    /// Why what an earlier run handed over can't be taken any more: then it is handed over anew, whatever the target is now.
    pub(super) async fn withdrawn(&self, record: Option<&Record>) -> Result<Option<String>, RunError> {
        let handed_over = |record: &&Record| {
            let began_anew = record.last_run() != LastRun::Succeeded && record.incarnation.is_some();
            record.verdict == Some(Verdict::HandedOver) || began_anew
        };
        let Some(record) = record.filter(handed_over).filter(|_| !self.job.perform) else { return Ok(None) };
        let standing = self.parts.engine.standing(Some(record)).await;
        let step = "looking at what was handed over";
        standing.map(|standing| standing.why_not).map_err(|source| RunError::BeforeWriting { step, source })
    }

    /// Everything is restored and checked, only what is around it was not yet changed back.
    async fn finish_undoing(&self) -> Result<RestoreResult, RunError> {
        self.journal.enter(Phase::Undoing).await?;
        let mut late = self.undo_all().await?;
        late.extend(self.settled().await);
        self.journal.end(Phase::Done, Verdict::Restored).await?;
        let record = self.journal.record().await;
        let decision = "an earlier attempt restored and checked it; what it had paused is running again".to_owned();
        let mut result = RestoreResult::of(self.job, &record, Outcome::Restored, decision);
        result.warnings = late;
        Ok(result)
    }

    pub(super) async fn probe(&self) -> Result<Probe, RunError> {
        let probe = self.parts.engine.probe().await;
        probe.map_err(|source| RunError::BeforeWriting { step: "looking at the target", source })
    }

    /// Begins an attempt on a record. What a restore that came to its end left is cleared, but for what it still has to
    /// change back; what an unfinished one left is kept.
    pub(super) async fn begin_attempt(&self, found: &Option<Record>) -> Result<(), RunError> {
        let (half, unsaved) = (self.half(), self.unsaved.load(Ordering::Relaxed));
        let half_of_others = half && !found.as_ref().is_some_and(Record::left_half);
        let last_run = found.as_ref().map_or(LastRun::None, Record::last_run);
        let ended = last_run == LastRun::Succeeded || found.as_ref().is_some_and(is_restored);
        let handed_over = found.as_ref().is_some_and(|record| record.verdict == Some(Verdict::HandedOver));
        let may_wait = !self.parts.ledger.lease_covers_target();
        self.journal
            .change(|record| {
                record.attempt += 1;
                record.verdict = None;
                record.times.started = Some(clock::now());
                record.times.finished = None;
                if ended {
                    let undo = std::mem::take(&mut record.undo).into_iter().filter(|step| !step.undone).collect();
                    // What was handed over once is handed over anew, also where the first attempt at that fails.
                    let incarnation = record.incarnation.take().filter(|_| handed_over);
                    *record = Record { point: None, incarnation, writes: None, undo, ..record.stub() };
                }
                if last_run == LastRun::Failed {
                    // What failed is made anew, also where only the check of it failed.
                    record.engine_object = None;
                }
                record.unsaved = unsaved;
                record.restores = Some(self.job.restores.clone());
                record.host = self.job.locality.as_ref().map(|locality| locality.host.clone());
                let anew = last_run == LastRun::Failed && !half;
                if anew || half_of_others {
                    // What came since is saved anew, or was saved by who left it half: it is what a roll back would have to
                    // bring back.
                    record.safety_point = None;
                }
                if anew || unsaved {
                    // No engine may find what was saved before.
                    record.times.recorded = Some(clock::now());
                }
                if ended || last_run != LastRun::Unfinished {
                    record.phase = Phase::Recorded;
                }
                if half && record.phase != Phase::Verifying {
                    // Also what another run has half written: killed before it writes itself, this one knows it still.
                    record.phase = Phase::Writing;
                }
                record.waits = may_wait && record.phase != Phase::Recorded;
            })
            .await?;
        Ok(())
    }
}

/// What the record of a run that ended well is to a job that asks for the same run.
pub(super) fn standing(job: &RestoreJob, record: &Record) -> Option<Outcome> {
    match record.verdict? {
        Verdict::HandedOver if !job.perform => Some(Outcome::HandedOver),
        Verdict::Restored => Some(Outcome::Restored),
        // What grew in a target that started empty is newer than any point; only new triggers ask for one.
        Verdict::SkippedNoPoints if job.when == When::Always => Some(Outcome::SkippedNoPoints),
        _ => None,
    }
}

/// That a run needs no second one.
pub(super) fn already_ended(record: &Record) -> String {
    let ended = record.times.finished.map(|time| format!(" at {time}")).unwrap_or_default();
    format!("run {} already ended{ended} for these triggers and this target", record.key)
}

/// What a job is told whose name, target and triggers are those of a run that restored something else there. Records of older
/// programs do not say what they restored.
pub(super) fn restored_else(job: &RestoreJob, record: &Record) -> Option<String> {
    let restores = record.restores.as_ref().filter(|_| record.verdict == Some(Verdict::Restored))?;
    (*restores != job.restores).then(|| {
        format!(
            "run {} of the name {:?} restored something else to {} for these triggers, and nothing was restored now: if this \
             is another job, give it another `name`; if it is the same one with other arguments, change `triggers`",
            record.key, job.name, job.target
        )
    })
}

pub(super) fn is_restored(record: &Record) -> bool {
    record.verdict == Some(Verdict::Restored)
}

/// Whether another target stands in the place of the one that the record left half: nothing of that is there, and what is was
/// made since. Where no birth is known a folder is named by its disk, which has another number after each mount.
pub(super) fn is_replaced(record: &Record, probe: &Probe) -> bool {
    let (Some(half), Some(_)) = (&record.writes, &probe.incarnation) else { return false };
    let made_since = probe.born.zip(record.times.updated).is_some_and(|(born, updated)| born > updated);
    // Of one that is lost in part the rest is half still.
    !probe.shares(half) && made_since && probe.state != TargetState::Partial
}

/// Whether the target is the one that the record filled, and still holds something.
pub(super) fn is_there(record: &Record, probe: &Probe) -> bool {
    probe.is(record.incarnation.as_deref()) && !matches!(probe.state, TargetState::Missing | TargetState::Empty)
}
