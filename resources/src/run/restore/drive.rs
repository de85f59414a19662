//! The phases of a restore, in order.

use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use super::begin::{Run, is_restored};
use super::decide::{self, Decision};
use super::{LastRun, Outcome, QuiesceOrder, RestoreResult, RunError};
use crate::ledger::{self, Counts, LedgerError, Phase, PinnedPoint, Record, Verdict};
use crate::run::around::{self, HoldError};
use crate::run::{EngineError, Pause, Probe, TargetState};

/// Why a phase did not end well, before it is known what follows from it.
pub(super) enum Failure {
    /// What the engine said, and what it was asked to do.
    Engine(&'static str, EngineError),
    /// Nothing came back.
    Nothing(String),
    /// Anything else, with its own words.
    Run(RunError),
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Failure::Run(error)
    }
}

impl From<LedgerError> for Failure {
    fn from(error: LedgerError) -> Self {
        Failure::Run(error.into())
    }
}

fn step(step: &'static str) -> impl Fn(EngineError) -> Failure {
    move |error| Failure::Engine(step, error)
}

impl Run<'_> {
    /// From the decision to the end.
    pub(super) async fn drive(&self, found: Option<Record>) -> Result<RestoreResult, Failure> {
        let probe = self.look(found.as_ref()).await?;
        let due = match self.withdrawn(found.as_ref()).await? {
            _ if self.half() => Ok("an earlier run did not come to its end".to_owned()),
            Some(why) => Ok(why),
            None => decide::when(self.job, &probe)?,
        };
        let due = match due {
            Ok(due) => due,
            Err(nothing) => return Ok(self.nothing(nothing, &found).await?),
        };
        let ended = |record: &Record| record.last_run() == LastRun::Succeeded || is_restored(record);
        let pinned = found.as_ref().filter(|record| !ended(record));
        let (point, because, damage) = match self.resolve(pinned, &probe).await? {
            Decision::Restore { point, because, warning } => (point, because, warning),
            Decision::Nothing(nothing) => return Ok(self.nothing(nothing, &found).await?),
        };
        let instead = self.instead(pinned, &point);
        let decision = format!("{due}; recovery point {} of {}: {because}", point.id, point.time);
        let patience = self.parts.cancel.patience();
        self.parts.engine.ready(patience).await.map_err(step("looking for what restores it"))?;
        self.parts.engine.check_readable(&point).await.map_err(step("opening the recovery point"))?;
        self.check_safety(&probe)?;
        self.begin_attempt(&found).await?;
        if probe.state == TargetState::Missing && self.journal.record().await.phase == Phase::Verifying {
            // What was to be checked is gone: it is made anew, by an object of its own.
            self.journal.change(|record| (record.phase, record.engine_object) = (Phase::Writing, None)).await?;
        }
        self.journal.pin(point.clone()).await?;
        self.keep_points().await;
        self.remember_use().await;
        let other = self.let_others_end().await?;
        self.see_filled(other.as_ref()).await?;
        if other.is_some() && !self.half() {
            let pinned = self.journal.record().await;
            return Box::pin(self.drive(Some(pinned))).await;
        }
        if !self.job.perform {
            let made = self.parts.engine.hand_over(&point, &self.journal).await.map_err(step("the hand-over"))?;
            self.journal.change(|record| record.incarnation = made).await?;
            self.journal.end(Phase::Done, Verdict::HandedOver).await?;
            let record = self.journal.record().await;
            let mut result = RestoreResult::of(self.job, &record, Outcome::HandedOver, decision);
            result.warnings.extend(damage.into_iter().chain(instead));
            return Ok(result);
        }
        self.prepare(&probe).await?;
        self.prepared.store(true, Ordering::Relaxed);
        let mut warnings: Vec<String> = damage.into_iter().collect();
        warnings.extend(self.write(&point, &probe).await?);
        warnings.extend(instead);
        self.check(&point).await?;
        self.finish(decision, warnings).await
    }

    /// Looks at the target, beside what restores of it left.
    async fn look(&self, found: Option<&Record>) -> Result<Probe, Failure> {
        let probe = self.probe().await?;
        let others = match probe.state {
            TargetState::Partial => self.others(is_restored).await?,
            _ => Vec::new(),
        };
        Ok(decide::beside(probe, found, others.iter()))
    }

    /// Pauses the schedule, takes the application down, saves the target: the last two in the engine's order.
    async fn prepare(&self, probe: &Probe) -> Result<(), Failure> {
        // First of all: from now on nobody takes this one for a run that waits.
        self.journal.enter(Phase::Paused).await?;
        self.inherit_debts().await?;
        self.keep_points().await;
        if let Some(pause) = self.parts.pause {
            let others = self.holders().await?;
            let wanted = pause.schedule().await.map_err(step("looking at the schedule"))?;
            hold(pause, wanted, others, self, "pausing the schedule").await?;
        }
        match self.parts.order {
            QuiesceOrder::QuiesceFirst => {
                self.quiesce().await?;
                self.safety(probe).await
            }
            QuiesceOrder::SafetyFirst => {
                self.safety(probe).await?;
                self.quiesce().await
            }
        }
    }

    /// Who holds something down before it is looked what there is: what is down then may be down because of them.
    async fn holders(&self) -> Result<Vec<Record>, LedgerError> {
        around::others(self.parts.ledger, &self.journal.record().await).await
    }

    async fn quiesce(&self) -> Result<(), Failure> {
        self.journal.enter(Phase::Quiesced).await?;
        let Some(pause) = self.parts.pause else { return Ok(()) };
        let others = self.holders().await?;
        let wanted = pause.application().await.map_err(step("looking at the application"))?;
        hold(pause, wanted, others, self, "taking the application down").await?;
        self.see_that_it_holds().await
    }

    /// Whoever manages the application may have brought it back.
    async fn see_that_it_holds(&self) -> Result<(), Failure> {
        let Some(pause) = self.parts.pause else { return Ok(()) };
        let made = self.journal.record().await.undo;
        pause.holds(&made).await.map_err(step("keeping the application down"))
    }

    /// Whether there is something to save: not when the target is already half overwritten, and nothing else wrote since.
    fn is_saved(&self, probe: &Probe) -> bool {
        let nothing_there = matches!(probe.state, TargetState::Missing | TargetState::Empty);
        let only_half = self.half() && !self.unsaved.load(Ordering::Relaxed);
        self.job.safety_backup && self.job.perform && !only_half && !nothing_there
    }

    /// Refuses before anything is touched what could not be saved later.
    fn check_safety(&self, probe: &Probe) -> Result<(), RunError> {
        let target = self.job.target.clone();
        match self.is_saved(probe) {
            true if probe.state == TargetState::Unknown => {
                Err(RunError::SafetyUndecided { target, evidence: probe.evidence.clone() })
            }
            true if self.parts.safety.is_none() => Err(RunError::NoSafety { target }),
            _ => Ok(()),
        }
    }

    /// Saves what will be overwritten, once.
    async fn safety(&self, probe: &Probe) -> Result<(), Failure> {
        self.journal.enter(Phase::Safety).await?;
        let record = self.journal.record().await;
        let taken = record.safety_point.is_some() && !record.unsaved;
        let Some(safety) = self.parts.safety.filter(|_| self.is_saved(probe) && !taken) else { return Ok(()) };
        let point = match safety.take(&self.journal).await {
            // An empty claim is what an attempt made and did not get to fill.
            Err(error) if error.nothing_there && self.half() => return Ok(()),
            taken => taken.map_err(step("the safety backup"))?,
        };
        tracing::info!(run = record.key, point = point.id, "what is about to be overwritten is saved");
        if !self.half() {
            self.journal.change(|record| record.safety_point = Some(point)).await?;
            self.keep_points().await;
        }
        Ok(())
    }

    /// Has the storage keep the points that the record names. Where it can't be written to, the restore goes on: a point that
    /// is removed meanwhile is an error before anything is written, and a way back may not hang on a right to write.
    async fn keep_points(&self) {
        let Some(pins) = self.parts.engine.pins() else { return };
        let kept = pins.pin(&self.journal).await;
        *self.unkept() = kept.err().map(|error| {
            format!(
                "the storage could not be told to keep the recovery points of this restore ({}): until it had ended, \
                 retention might have removed them",
                error.message
            )
        });
    }

    /// What is restored was stored: whoever finds the storage empty later must not take that for its first use. Schedules
    /// store without us.
    async fn remember_use(&self) {
        if let (Some(storage), Some(_)) = (self.parts.memory.storage, self.parts.safety) {
            ledger::remember(storage, &self.job.series).await;
        }
    }

    fn unkept(&self) -> MutexGuard<'_, Option<String>> {
        self.unkept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn write(&self, point: &PinnedPoint, probe: &Probe) -> Result<Vec<String>, Failure> {
        if self.journal.record().await.phase == Phase::Verifying {
            return Ok(Vec::new());
        }
        self.see_that_it_holds().await?;
        self.journal
            .change(|record| {
                record.phase = Phase::Writing;
                record.writes = probe.incarnation.clone();
                record.unsaved = false;
            })
            .await?;
        let restored =
            self.parts.engine.restore(point, self.half(), &self.journal).await.map_err(step("the restore"))?;
        if restored.items == 0 && restored.bytes == 0 && point.bytes != Some(0) {
            return Err(Failure::Nothing(point.id.clone()));
        }
        self.see_that_it_held().await?;
        let written = self.parts.engine.probe().await.map_err(EngineError::half_done);
        let written = written.map_err(step("looking at what was restored"))?;
        self.journal
            .change(|record| {
                let before = record.counts;
                record.counts = Counts { files: restored.items, bytes: restored.bytes, ..before };
                record.phase = Phase::Verifying;
                record.writes = written.incarnation;
            })
            .await?;
        Ok(restored.warnings)
    }

    /// An application that somebody started meanwhile has written into what came back.
    async fn see_that_it_held(&self) -> Result<(), Failure> {
        let Some(pause) = self.parts.pause.filter(|_| !self.parts.engine.starts_application()) else { return Ok(()) };
        let made = self.journal.record().await.undo;
        let held = pause.holds(&made).await.map_err(EngineError::half_done);
        held.map_err(step("keeping the application down while it was restored"))
    }

    async fn check(&self, point: &PinnedPoint) -> Result<(), Failure> {
        let verified = self.parts.engine.verify(point, &self.journal).await;
        verified.map_err(step("checking what was restored"))
    }

    /// Changes everything back; what is left to others that failed.
    pub(super) async fn undo_all(&self) -> Result<Vec<String>, RunError> {
        around::undo_all(self.parts.pause, self.parts.ledger, &self.journal).await
    }

    /// What does not work again although everything is changed back. The restore succeeded, so that is no failure.
    pub(super) async fn settled(&self) -> Vec<String> {
        match self.parts.pause {
            Some(pause) => pause.settle().await,
            None => Vec::new(),
        }
    }

    /// Names the target that was filled, then changes everything back.
    async fn finish(&self, decision: String, warnings: Vec<String>) -> Result<RestoreResult, Failure> {
        let probe = self.parts.engine.probe().await.map_err(step("looking at what was restored"))?;
        self.journal
            .change(|record| {
                record.incarnation = probe.incarnation;
                record.verdict = Some(Verdict::Restored);
                record.phase = Phase::Undoing;
            })
            .await?;
        let mut late = self.undo_all().await?;
        late.extend(self.settled().await);
        self.journal.end(Phase::Done, Verdict::Restored).await?;
        let record = self.journal.record().await;
        let mut result = RestoreResult::of(self.job, &record, Outcome::Restored, decision);
        result.warnings = warnings;
        result.warnings.extend(late);
        result.warnings.extend(self.unkept().take());
        Ok(result)
    }
}

async fn hold(
    pause: &dyn Pause,
    wanted: Vec<crate::ledger::UndoStep>,
    mut others: Vec<Record>,
    run: &Run<'_>,
    what: &'static str,
) -> Result<(), Failure> {
    others.extend(run.holders().await?);
    around::hold(pause, wanted, &others, &run.journal).await.map_err(|error| match error {
        HoldError::Ledger(error) => Failure::Run(error.into()),
        HoldError::Engine(error) => Failure::Engine(what, error),
    })
}
