//! Why a run did not end well, in words that say what is touched and how to go on.

use super::NoPoint;
use crate::ledger::{LedgerError, Phase, Record};
use crate::words::counted;

/// What an engine says when it can't. The texts have passed the engine's redaction.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct EngineError {
    /// What happened, and what to do about it.
    pub message: String,
    /// Whether the engine knows that the target (or the storage) was not written.
    pub before_first_write: bool,
    /// Whether there was nothing to back up.
    pub nothing_there: bool,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl EngineError {
    /// A failure of which it is not known whether something was written.
    pub fn new(message: impl Into<String>) -> Self {
        EngineError { message: message.into(), before_first_write: false, nothing_there: false, source: None }
    }

    /// A failure before anything was written.
    pub fn nothing_written(message: impl Into<String>) -> Self {
        EngineError { before_first_write: true, ..EngineError::new(message) }
    }

    /// A backup that found nothing to store.
    pub fn nothing_there(message: impl Into<String>) -> Self {
        EngineError { nothing_there: true, ..EngineError::new(message) }
    }

    /// The same after something was made that the next attempt would take for the target as it was.
    pub fn half_done(self) -> Self {
        EngineError { before_first_write: false, ..self }
    }

    /// With its cause.
    pub fn because(self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        EngineError { source: Some(source.into()), ..self }
    }
}

/// What a journal answers an engine.
impl From<LedgerError> for EngineError {
    fn from(error: LedgerError) -> Self {
        EngineError::new("the run can't be written down").because(error)
    }
}

/// Why a run ended without an outcome.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The ledger could not be read or written.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// A step failed, and everything around it is as it was before.
    #[error("{step} failed before anything was written; nothing is changed: {source}")]
    BeforeWriting {
        /// What was being done.
        step: &'static str,
        /// The cause.
        source: EngineError,
    },
    /// A step failed after the first write.
    #[error("{step} failed in run {key}: {source}. {aftermath}")]
    AfterWriting {
        /// What was being done.
        step: &'static str,
        /// The run.
        key: String,
        /// The cause.
        source: EngineError,
        /// What state everything is in, and what the next apply does.
        aftermath: String,
    },
    /// What was changed around the run could not be changed back.
    #[error("run {key} could not change {object} back ({action}); the next apply tries again: {source}{}", after(.first))]
    Undo {
        /// The run.
        key: String,
        /// The kind of change.
        action: String,
        /// What was changed.
        object: String,
        /// The cause.
        source: Box<EngineError>,
        /// What had failed before.
        first: Option<String>,
    },
    /// `when` needs to know the target, and it can't be known.
    #[error(
        "it can't be told whether {target} is lost ({evidence}): is it mounted? Mount it, or make the folder that it lies in; or change `triggers` to restore here, or set when = \"always\""
    )]
    Undecided {
        /// The target.
        target: String,
        /// What was seen.
        evidence: String,
    },
    /// `when` needs to know the target, and only a part of it is lost.
    #[error(
        "a part of {target} is lost and the rest is not ({evidence}): restore what is missing with a job of its own, or set when = \"always\" to restore all of it over what is there"
    )]
    Partial {
        /// The target.
        target: String,
        /// What was seen.
        evidence: String,
    },
    /// A safety backup is wanted and it is not known whether there is something to save.
    #[error(
        "it can't be told whether {target} holds something to save before it is overwritten ({evidence}); set safety_backup = false to go on without"
    )]
    SafetyUndecided {
        /// The target.
        target: String,
        /// What was seen.
        evidence: String,
    },
    /// A safety backup is wanted of an engine, or with a storage, that takes none.
    #[error(
        "the target {target} holds data and no safety backup can be taken here; set safety_backup = false to overwrite it without"
    )]
    NoSafety {
        /// The target.
        target: String,
    },
    /// No point could be chosen.
    #[error("{reason}{}{}", place(.reason, .looked), near(.near_misses))]
    NoPoint {
        /// Why.
        reason: NoPoint,
        /// Where it was looked, and for what.
        looked: Box<str>,
        /// Other places that hold points.
        near_misses: Box<[String]>,
    },
    /// Starting without a point needs proof that there never was one.
    #[error("there is no recovery point, and on_missing = \"skip\" needs proof that this is the first use: {reason}{}", near(.near_misses))]
    NotFirstUse {
        /// What speaks against it.
        reason: String,
        /// Other places that hold points.
        near_misses: Vec<String>,
    },
    /// The point that the plan showed is gone.
    #[error("recovery point {id}, which the plan showed, is no longer there: it was pruned since; plan again")]
    PointGone {
        /// Its id.
        id: String,
    },
    /// The point of the run that failed is gone.
    #[error(
        "recovery point {id}, which run {key} is pinned to, is no longer there; set recovery_point.id to restore another one"
    )]
    PinGone {
        /// Its id.
        id: String,
        /// The run.
        key: String,
    },
    /// Something came back empty.
    #[error("run {key} restored nothing from {point}, which holds something. {aftermath}")]
    RestoredNothing {
        /// The run.
        key: String,
        /// The point.
        point: String,
        /// What state everything is in, and what the next apply does.
        aftermath: String,
    },
    /// Another apply did this, and failed.
    #[error("another apply ran {key} and failed at phase {}; its error says why. Apply again to try it once more", .phase.as_str())]
    FailedElsewhere {
        /// The run.
        key: String,
        /// How far it came.
        phase: Phase,
    },
    /// The restore that a backup waits for did not end well.
    #[error(
        "the restore that `after` names (run {key}) {state}: nothing is backed up before its verdict. Apply the restore job first"
    )]
    After {
        /// The run.
        key: String,
        /// How it stands.
        state: &'static str,
    },
    /// A restore did not end, and its target is what would be backed up.
    #[error(
        "run {key} restored {target} only in part: nothing is backed up of it before that restore has ended. Apply the restore job first"
    )]
    HalfRestored {
        /// The run.
        key: String,
        /// The target.
        target: String,
    },
    /// A backup would store a new or empty thing over older points.
    #[error(
        "this would store a backup over {}, the newest of {newest}, and {what}: restore it first, with a restore job that `after` names and whose `when` is met; to store it all the same, set first_backup = \"allow\"", counted(*.count, "older recovery point", "older recovery points")
    )]
    FirstBackup {
        /// What is new or empty about it.
        what: String,
        /// How many points there are.
        count: usize,
        /// When the newest was taken.
        newest: jiff::Timestamp,
    },
    /// A backup is to be removed that holds what is gone.
    #[error("backup {point} holds what may be lost: {what}. Set first_backup = \"allow\" to let it go all the same")]
    HoldsLost {
        /// The point.
        point: String,
        /// What is new, empty or missing.
        what: String,
    },
    /// The user asked to stop.
    #[error(
        "run {key} was interrupted at phase {}: {aftermath}. Apply again: it goes on from there{}",
        .phase.as_str(), left(object)
    )]
    Interrupted {
        /// The run.
        key: String,
        /// How far it came.
        phase: Phase,
        /// What becomes of the work.
        aftermath: &'static str,
        /// What it made on the server, which goes on by itself.
        object: Option<String>,
    },
}

impl RunError {
    /// That this run was stopped where its record says, and what becomes of its work.
    pub(super) fn interrupted(record: Record, aftermath: &'static str) -> Self {
        RunError::Interrupted { key: record.key, phase: record.phase, aftermath, object: record.engine_object }
    }
}

/// What a run left on the server, for people: of a job that was never applied to its end no state knows.
pub fn left(object: &Option<String>) -> String {
    object.as_ref().map_or(String::new(), |object| {
        format!(". What it made for the engine, `{object}`, goes on meanwhile; to give up instead, remove that by hand")
    })
}

/// Where it was looked, and why there usually is nothing.
fn place(reason: &NoPoint, looked: &str) -> String {
    match reason {
        NoPoint::None => format!(
            ". It was looked in {looked}. Usually no backup has come to its end there yet, or the source of the job has another \
             bucket or prefix, or names something else, than what was backed up. Where nothing was ever stored, on_missing = \
             \"skip\" starts empty"
        ),
        NoPoint::Unusable { .. } | NoPoint::TooEarly { .. } | NoPoint::UnknownId { .. } => {
            format!(". It was looked in {looked}")
        }
        _ => String::new(),
    }
}

fn near(misses: &[String]) -> String {
    if misses.is_empty() { String::new() } else { format!(". Nearby: {}", misses.join("; ")) }
}

fn after(first: &Option<String>) -> String {
    first.as_ref().map(|first| format!(". Before that: {first}")).unwrap_or_default()
}
