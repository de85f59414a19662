//! One restore, from the decision whether it is due to the last thing changed back.

use std::time::Duration;

use jiff::Timestamp;

use super::{Cancel, Journal, Locality, Pause, PointChoice, Restore, RunError, Safety, When};
use crate::engines::table::QuiesceOrder;
use crate::ledger::{Acquired, JobKind, LastRun, LedgerStore, PinnedPoint, Record, Triggers, Verdict, run_key};
use crate::store::siblings::Siblings;

mod begin;
mod decide;
mod drive;
mod fail;
mod foresee;
mod others;

/// What a restore job asks for.
#[derive(Debug, Clone)]
pub struct RestoreJob {
    /// Its name.
    pub name: String,
    /// The engine.
    pub engine: String,
    /// The server that holds the target; `None` for a path.
    pub server_uid: Option<String>,
    /// The target, as the run key names it.
    pub target: String,
    /// Which target of that name, where several machines keep their records in one place.
    pub locality: Option<Locality>,
    /// What makes it run again.
    pub triggers: Triggers,
    /// The series that it restores, as backup jobs mark it as seen.
    pub series: String,
    /// When the target is restored.
    pub when: When,
    /// What happens without a point.
    pub on_missing: OnMissing,
    /// What happens when it fails half way.
    pub on_failure: OnFailure,
    /// The point.
    pub recovery_point: PointChoice,
    /// The point that the plan showed: this one is restored, or nothing.
    pub approved: Option<String>,
    /// Whether what is overwritten is saved first.
    pub safety_backup: bool,
    /// Whether it restores, or only pins the point for the owner of the target.
    pub perform: bool,
    /// A digest of what it restores: which points of which storage, and which part of them.
    pub restores: String,
    /// How long it may take.
    pub rto: Option<Duration>,
}

impl RestoreJob {
    /// One that restores the newest point to a volume of the toy engine's, for tests.
    #[cfg(any(test, feature = "toy"))]
    pub fn for_tests() -> Self {
        RestoreJob {
            name: "docs".into(),
            engine: "toy".into(),
            server_uid: None,
            target: "volume".into(),
            locality: None,
            triggers: Triggers::new(),
            series: "docs".into(),
            when: When::TargetMissingOrEmpty,
            on_missing: OnMissing::Fail,
            on_failure: OnFailure::StayQuiesced,
            recovery_point: PointChoice::Newest,
            approved: None,
            safety_backup: true,
            perform: true,
            restores: "all of it".into(),
            rto: None,
        }
    }

    /// The key of the run.
    pub fn key(&self) -> String {
        let which = self.locality.as_ref().map(|locality| locality.which.as_str());
        let uid = self.server_uid.as_deref().or(which);
        run_key(JobKind::Restore, &self.engine, uid, &self.target, &self.name, &self.triggers)
    }

    fn fresh_record(&self) -> Record {
        let record = Record::new(JobKind::Restore, &self.key(), &self.name, &self.engine, &self.target);
        Record { which: self.locality.as_ref().map(|locality| locality.which.clone()), ..record }
    }

    /// Whether a record is about a restore to the same target.
    fn concerns(&self, record: &Record) -> bool {
        let of_name = record.kind == JobKind::Restore && record.target == self.target;
        of_name && self.locality.as_ref().is_none_or(|locality| locality.is_that_of(record))
    }

    /// The record that says how the job stands: its own, unless a run with other triggers left its target half written or
    /// something paused, which the job's next run has to put right. One that hands over writes no target, and would run for ever.
    pub fn standing<'a>(&self, records: &'a [Record]) -> Option<&'a Record> {
        let key = self.key();
        let owes = |record: &Record| self.perform && (record.left_half() || record.owes_undo());
        let left = |record: &&Record| record.key != key && owes(record) && self.concerns(record);
        records.iter().find(left).or_else(|| records.iter().find(|record| record.key == key))
    }
}

pub use foresee::{Foreseen, foresee};

/// What happens when there is no point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnMissing {
    /// It fails.
    #[default]
    Fail,
    /// It is skipped, if this is provably the first use of the storage.
    Skip,
}

/// What happens when a restore fails after the first write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnFailure {
    /// The application stays down: half a volume is not started.
    #[default]
    StayQuiesced,
    /// Everything around it is changed back.
    Resume,
    /// The safety backup is restored, then everything around it is changed back.
    RollBack,
}

/// What a restore works with.
pub struct RestoreParts<'a> {
    /// Where its record is.
    pub ledger: &'a dyn LedgerStore,
    /// What is known of the storage.
    pub memory: Memory<'a>,
    /// The engine.
    pub engine: &'a dyn Restore,
    /// What is paused and taken down, where anything is.
    pub pause: Option<&'a dyn Pause>,
    /// What saves the target first, where the engine can and the storage may be written.
    pub safety: Option<&'a dyn Safety>,
    /// Which of taking down and saving comes first, from the engine table.
    pub order: QuiesceOrder,
    /// The user's wish to stop, and the end of the timeout.
    pub cancel: Cancel,
}

/// What is known of the storage beside its points.
#[derive(Clone, Copy, Default)]
pub struct Memory<'a> {
    /// The ledger of the storage, which knows whether a series was ever backed up.
    pub storage: Option<&'a dyn LedgerStore>,
    /// What lies beside the storage, where it is a prefix of a bucket.
    pub siblings: Option<&'a Siblings>,
}

/// What came of a restore. A failure is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The point was restored and checked.
    Restored,
    /// `when` was not met.
    NotNeeded,
    /// There is no point, and this is the first use of the storage.
    SkippedNoPoints,
    /// The point is pinned for the owner of the target.
    HandedOver,
    /// The restore failed, and the safety backup is back in place.
    RolledBack,
}

impl Outcome {
    /// The word of the schema.
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Restored => "restored",
            Outcome::NotNeeded => "not_needed",
            Outcome::SkippedNoPoints => "skipped_no_points",
            Outcome::HandedOver => "handed_over",
            Outcome::RolledBack => "rolled_back",
        }
    }

    fn verdict(self) -> Verdict {
        match self {
            Outcome::Restored => Verdict::Restored,
            Outcome::NotNeeded => Verdict::NotNeeded,
            Outcome::SkippedNoPoints => Verdict::SkippedNoPoints,
            Outcome::HandedOver => Verdict::HandedOver,
            Outcome::RolledBack => Verdict::RolledBack,
        }
    }
}

/// The result of a restore job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreResult {
    /// The run key: the `uid` of the job's ref.
    pub key: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Why, with the evidence.
    pub decision: String,
    /// The point.
    pub point: Option<PinnedPoint>,
    /// When this attempt began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// How long it took.
    pub seconds: u64,
    /// Bytes in the target because of it.
    pub bytes: u64,
    /// Files or items.
    pub items: u64,
    /// Whether it took no longer than `rto`, where it restored and there is one.
    pub rto_met: Option<bool>,
    /// The target that it filled.
    pub incarnation: Option<String>,
    /// Whether it is the result of an earlier run, and nothing ran now.
    pub adopted: bool,
    /// What the user should know.
    pub warnings: Vec<String>,
}

impl RestoreResult {
    fn of(job: &RestoreJob, record: &Record, outcome: Outcome, decision: String) -> Self {
        let (started, finished) = (record.times.started, record.times.finished);
        let seconds = started.zip(finished).map_or(0, |(started, finished)| finished.duration_since(started).as_secs());
        let seconds = u64::try_from(seconds).unwrap_or(0);
        let within = |rto: Duration| seconds <= rto.as_secs();
        RestoreResult {
            key: record.key.clone(),
            outcome,
            decision,
            point: record.point.clone(),
            started,
            finished,
            seconds,
            bytes: record.counts.bytes,
            items: record.counts.files,
            rto_met: job.rto.map(within).filter(|_| outcome == Outcome::Restored),
            incarnation: record.incarnation.clone(),
            adopted: false,
            warnings: Vec::new(),
        }
    }
}

/// Runs a restore job: decides, takes over or adopts what the ledger holds, restores, changes everything back.
pub async fn restore(job: &RestoreJob, parts: &RestoreParts<'_>) -> Result<RestoreResult, RunError> {
    let fresh = job.fresh_record();
    let before = parts.ledger.read(&fresh.key).await?;
    let acquired = tokio::select! {
        acquired = parts.ledger.acquire(&fresh) => acquired?,
        () = parts.cancel.cancelled() => {
            let phase = before.map_or(fresh.phase, |record| record.phase);
            let (key, aftermath) = (fresh.key, "nothing was begun here");
            return Err(RunError::Interrupted { key, phase, aftermath, object: None });
        }
    };
    let Acquired { lease, found, waited } = acquired;
    let failed = |record: &&Record| record.last_run() == LastRun::Failed;
    if waited
        && found != before
        && let Some(record) = found.as_ref().filter(failed)
    {
        let phase = record.phase;
        lease.release().await;
        return Err(RunError::FailedElsewhere { key: fresh.key, phase });
    }
    let journal = Journal::new(lease, found.clone().unwrap_or(fresh));
    let (half, unsaved, prepared, unkept) = Default::default();
    let run = begin::Run { job, parts, journal, half, unsaved, prepared, unkept };
    let mut result = run.guarded(found).await;
    match &mut result {
        // Somebody else holds it now.
        Err(RunError::Ledger(crate::ledger::LedgerError::LeaseLost { .. })) => {}
        _ => {
            if let Ok(result) = &mut result {
                result.warnings.extend(run.let_points_go().await);
            }
            if result.is_ok()
                && let Err(error) = parts.ledger.tidy(&job.target).await
            {
                tracing::warn!(%error, "old run records were not shortened");
            }
            // The CLI gives two seconds to stop; an unreleased lease goes stale by itself.
            let _ = tokio::time::timeout(Duration::from_secs(1), run.journal.close()).await;
        }
    }
    result
}
