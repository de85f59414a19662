//! What follows from a failure: everything back as it was, or an application that stays down.

use std::sync::atomic::Ordering;

use super::begin::Run;
use super::drive::Failure;
use super::{LastRun, OnFailure, Outcome, RestoreResult, RunError};
use crate::ledger::{Phase, Verdict};

impl Run<'_> {
    /// Ends the attempt.
    pub(super) async fn fail(&self, failure: Failure) -> Result<RestoreResult, RunError> {
        if let Failure::Run(error @ RunError::Ledger(_)) = failure {
            // Without the ledger nothing more may be done; the record says where to go on.
            return Err(error);
        }
        let record = self.journal.record().await;
        if record.verdict == Some(Verdict::Restored) {
            // It is restored; only undoing failed, and the next apply goes on with that.
            return Err(self.in_words(failure, String::new()));
        }
        let early = matches!(&failure, Failure::Engine(_, error) if error.before_first_write);
        // What can't be looked at any more was written all the same.
        let now_wrote = record.phase == Phase::Verifying || (record.phase == Phase::Writing && !early);
        if self.half() || now_wrote {
            self.fail_after_writing(failure, now_wrote).await
        } else {
            self.fail_before_writing(failure).await
        }
    }

    async fn fail_before_writing(&self, failure: Failure) -> Result<RestoreResult, RunError> {
        let error = match failure {
            Failure::Engine(step, source) => RunError::BeforeWriting { step, source },
            other => self.in_words(other, String::new()),
        };
        if self.journal.record().await.last_run() == LastRun::Succeeded {
            // No attempt began: what the ledger holds is an earlier run, which stays what it is.
            return Err(error);
        }
        self.journal
            .change(|record| {
                record.verdict = Some(Verdict::Failed);
                record.phase = Phase::Undoing;
            })
            .await?;
        if let Err(undo) = self.undo_all().await {
            return Err(with_first(undo, &error));
        }
        self.journal.end(Phase::Done, Verdict::Failed).await?;
        Err(error)
    }

    /// `now_wrote`: this attempt did, and not only one before it.
    async fn fail_after_writing(&self, failure: Failure, now_wrote: bool) -> Result<RestoreResult, RunError> {
        let record = self.journal.record().await;
        if let Some(written) = self.parts.engine.probe().await.ok().and_then(|probe| probe.incarnation) {
            // Also what was only made while it was written.
            self.journal.change(|record| record.writes = Some(written)).await?;
        }
        // The phase stays: it is how the next attempt knows that the target is half written.
        self.journal.end(record.phase, Verdict::Failed).await?;
        let again = match &record.point {
            Some(point) => format!("The next apply tries recovery point {} again", point.id),
            None => "The next apply tries again".to_owned(),
        };
        match self.job.on_failure {
            OnFailure::StayQuiesced => {
                let down = match now_wrote {
                    _ if record.owes_undo() => "What was paused stays paused: half a target is not started",
                    true => "The target may be half written",
                    false => "This attempt wrote nothing; an earlier one may have left the target half written",
                };
                Err(self.in_words(failure, format!("{down}. {again}")))
            }
            OnFailure::Resume => {
                let error = self
                    .in_words(failure, format!("What was paused runs again, as on_failure = \"resume\" asks. {again}"));
                // What runs again writes.
                self.journal.change(|record| record.unsaved = true).await?;
                match self.undo_all().await {
                    Ok(_) => Err(error),
                    Err(undo) => Err(with_first(undo, &error)),
                }
            }
            OnFailure::RollBack if !self.prepared.load(Ordering::Relaxed) => {
                let aftermath = format!("This attempt changed nothing, so nothing is rolled back. {again}");
                Err(self.in_words(failure, aftermath))
            }
            OnFailure::RollBack => self.roll_back(failure, again).await,
        }
    }

    async fn roll_back(&self, failure: Failure, again: String) -> Result<RestoreResult, RunError> {
        let Some(safety) = self.journal.record().await.safety_point else {
            let aftermath =
                format!("There is no safety backup to roll back to, so what was paused stays paused. {again}");
            return Err(self.in_words(failure, aftermath));
        };
        let engine = self.parts.engine;
        let (error, what) = match engine.restore(&safety, true, &self.journal).await {
            Ok(_) => (
                engine.verify(&safety, &self.journal).await.err(),
                "was restored, and it can't be shown that it is back",
            ),
            Err(error) => (Some(error), "could not be restored either"),
        };
        if let Some(error) = error {
            let aftermath =
                format!("The safety backup {} {what} ({error}), so what was paused stays paused. {again}", safety.id);
            return Err(self.in_words(failure, aftermath));
        }
        let error = self.in_words(failure, format!("The safety backup {} is back in place", safety.id));
        if let Err(undo) = self.undo_all().await {
            return Err(with_first(undo, &error));
        }
        self.journal.end(Phase::Done, Verdict::RolledBack).await?;
        let record = self.journal.record().await;
        let decision = "the restore failed and was rolled back".to_owned();
        let mut result = RestoreResult::of(self.job, &record, Outcome::RolledBack, decision);
        result.point = Some(safety);
        result.warnings.push(error.to_string());
        Ok(result)
    }

    fn in_words(&self, failure: Failure, aftermath: String) -> RunError {
        let key = self.job.key();
        match failure {
            Failure::Engine(step, source) => RunError::AfterWriting { step, key, source, aftermath },
            Failure::Nothing(point) => RunError::RestoredNothing { key, point, aftermath },
            Failure::Run(error) => error,
        }
    }
}

fn with_first(undo: RunError, before: &RunError) -> RunError {
    match undo {
        RunError::Undo { key, action, object, source, first: _ } => {
            RunError::Undo { key, action, object, source, first: Some(before.to_string()) }
        }
        other => other,
    }
}
