//! The record of one run.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::LedgerError;

/// The version of records that this program writes and understands.
const VERSION: u64 = 1;

/// What a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum JobKind {
    /// A restore.
    #[serde(rename = "restore_job")]
    Restore,
    /// A backup.
    #[serde(rename = "backup_job")]
    Backup,
}

/// What a run is about to do, or is doing. Written before it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The point is pinned, nothing is touched.
    Recorded,
    /// The series' own schedule is being paused.
    Paused,
    /// The application is being taken down.
    Quiesced,
    /// A safety backup is being taken.
    Safety,
    /// The target, or the storage, is being written.
    Writing,
    /// What was written is being checked.
    Verifying,
    /// What was changed around it is being changed back.
    Undoing,
    /// It has ended.
    Done,
}

impl Phase {
    /// Its word in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Recorded => "recorded",
            Phase::Paused => "paused",
            Phase::Quiesced => "quiesced",
            Phase::Safety => "safety",
            Phase::Writing => "writing",
            Phase::Verifying => "verifying",
            Phase::Undoing => "undoing",
            Phase::Done => "done",
        }
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The point was restored and checked.
    Restored,
    /// `when` was not met.
    NotNeeded,
    /// There is no point, and this is the first use of the storage.
    SkippedNoPoints,
    /// The point is pinned for the owner of the target.
    HandedOver,
    /// The restore failed, the safety backup was restored.
    RolledBack,
    /// The backup is stored and checked.
    Stored,
    /// No backup was to be made.
    Skipped,
    /// It failed.
    Failed,
}

/// How the last run ended, in the words of `last_run`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LastRun {
    /// There was none.
    #[default]
    None,
    /// It did what it was to do.
    Succeeded,
    /// It failed, or was rolled back.
    Failed,
    /// It still runs, or its process died.
    Unfinished,
}

impl LastRun {
    /// Out of the word of the schema; none, if it is no such word.
    pub fn parse(word: Option<&str>) -> Self {
        let all = [LastRun::Succeeded, LastRun::Failed, LastRun::Unfinished];
        all.into_iter().find(|last_run| Some(last_run.as_str()) == word).unwrap_or_default()
    }

    /// The word of the schema.
    pub fn as_str(self) -> &'static str {
        match self {
            LastRun::None => "none",
            LastRun::Succeeded => "succeeded",
            LastRun::Failed => "failed",
            LastRun::Unfinished => "unfinished",
        }
    }
}

/// A recovery point that a run holds on to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinnedPoint {
    /// The engine's id.
    pub id: String,
    /// When it was taken.
    pub time: Timestamp,
    /// How much it holds, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
}

/// Something that was changed around a run, and how to change it back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UndoStep {
    /// The engine's word for the kind of change: `pause_schedule`, `scale_down`.
    pub action: String,
    /// The object that is changed.
    pub object: String,
    /// What it was before, as far as undoing needs it (a number of replicas).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Whether it was changed back.
    #[serde(default)]
    pub undone: bool,
}

/// Who holds a record, in places without locks of their own. Stale when an observer saw it unchanged for 60 s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseMark {
    /// A random name of the holder.
    pub holder: String,
    /// Counts the renewals.
    pub renewals: u64,
}

/// When things happened, by the clock of who wrote it; for people.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// The record was made, or an attempt began after one that failed. A safety backup that is older is none of this run's:
    /// the only moment that is compared, with times of the clock that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<Timestamp>,
    /// The last attempt began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// The record was last written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub updated: Option<Timestamp>,
    /// The run ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished: Option<Timestamp>,
}

/// How far a run is, and what it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Files (or an engine's items) done.
    #[serde(default)]
    pub files: u64,
    /// Bytes done.
    #[serde(default)]
    pub bytes: u64,
    /// Files to do, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_files: Option<u64>,
    /// Bytes to do, once known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total_bytes: Option<u64>,
}

/// One run: what it is for, how far it is, and what has to be changed back. Never a secret, a trigger's value or an
/// engine's text. Fields that this program does not know are kept.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub(crate) version: u64,
    /// Restore or backup.
    pub kind: JobKind,
    /// The run key.
    pub key: String,
    /// The job's name.
    pub name: String,
    /// The engine.
    pub engine: String,
    /// What is restored to, or where backups go.
    pub target: String,
    /// Which target of that name a restore is about, where several machines keep their records in one place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub which: Option<String>,
    /// The machine of its last attempt, where several keep their records in one place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Which one of the targets of that name: of a restore the one that it filled, of a backup the one that it read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<String>,
    /// Which one of the targets of that name a restore writes, where that could be told: another one is not half.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub writes: Option<String>,
    /// Whether something else may have written to the target since it was saved.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unsaved: bool,
    /// How far it is.
    pub phase: Phase,
    /// Whether this attempt still waits for other runs of the target, whatever an earlier one reached.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub waits: bool,
    /// How it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
    /// Counts the times it was begun or taken over.
    pub attempt: u32,
    /// The point that it restores, or that it stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point: Option<PinnedPoint>,
    /// The safety backup, which is never "newest".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safety_point: Option<PinnedPoint>,
    /// What was changed around it, in the order in which it was changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undo: Vec<UndoStep>,
    /// The object that the engine made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_object: Option<String>,
    /// A digest of what a backup reads: which paths, of which host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reads: Option<String>,
    /// A digest of what a restore takes: which points of which storage, and which part of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restores: Option<String>,
    /// Locks that it holds in the storage, as programs noted them whose locks bear no mark: whoever takes the run over may remove them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lock_ids: Vec<String>,
    /// What its locks and pins in the storage are known by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<String>,
    /// What they were known by before another run took over what this one left: its process is proved dead, and nobody takes these
    /// up again.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dead_marks: Vec<String>,
    /// Whether its job was destroyed since: then it holds on to no point any more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub let_go: bool,
    /// Who holds it, in places without locks of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseMark>,
    /// When things happened.
    #[serde(default)]
    pub times: Times,
    /// How far it is, in figures.
    #[serde(default)]
    pub counts: Counts,
    #[serde(flatten)]
    pub(crate) unknown: serde_json::Map<String, serde_json::Value>,
}

impl Record {
    /// A record of a run that has not touched anything.
    pub fn new(kind: JobKind, key: &str, name: &str, engine: &str, target: &str) -> Self {
        Record {
            version: VERSION,
            kind,
            key: key.to_owned(),
            name: name.to_owned(),
            engine: engine.to_owned(),
            target: target.to_owned(),
            which: None,
            host: None,
            incarnation: None,
            writes: None,
            unsaved: false,
            phase: Phase::Recorded,
            waits: false,
            verdict: None,
            attempt: 0,
            point: None,
            safety_point: None,
            undo: Vec::new(),
            engine_object: None,
            reads: None,
            restores: None,
            lock_ids: Vec::new(),
            mark: None,
            dead_marks: Vec::new(),
            let_go: false,
            lease: None,
            times: Times { recorded: Some(crate::clock::now()), ..Times::default() },
            counts: Counts::default(),
            unknown: serde_json::Map::new(),
        }
    }

    /// Reads a record; `place` is for messages.
    pub fn from_json(bytes: &[u8], place: &str) -> Result<Self, LedgerError> {
        let damaged =
            |error: serde_json::Error| LedgerError::Damaged { place: place.into(), reason: error.to_string() };
        // The version is looked at first: a newer record need not fit this struct.
        #[derive(Deserialize)]
        struct Version {
            version: u64,
        }
        let Version { version } = serde_json::from_slice(bytes).map_err(damaged)?;
        if version > VERSION {
            return Err(LedgerError::Newer { place: place.into(), version });
        }
        serde_json::from_slice(bytes).map_err(damaged)
    }

    /// The document to store.
    pub fn to_json(&self) -> Vec<u8> {
        let mut json =
            serde_json::to_vec_pretty(self).expect("a record has string keys only and always has a JSON form");
        json.push(b'\n');
        json
    }

    /// How this run ended. That the target is as it should be does not count before everything around it is undone.
    pub fn last_run(&self) -> LastRun {
        match self.verdict {
            Some(Verdict::Failed | Verdict::RolledBack) => LastRun::Failed,
            Some(_) if self.phase == Phase::Done => LastRun::Succeeded,
            _ => LastRun::Unfinished,
        }
    }

    /// Whether it has not begun: it may wait for other runs of its target.
    pub fn may_wait(&self) -> bool {
        self.waits || self.phase == Phase::Recorded
    }

    /// Whether something is still changed that has to be changed back.
    pub fn owes_undo(&self) -> bool {
        self.undo.iter().any(|step| !step.undone)
    }

    /// Whether it may have written to its target and did not come to its end: then what is there is half a target.
    pub fn left_half(&self) -> bool {
        self.last_run() != LastRun::Succeeded
            && self.verdict != Some(Verdict::Restored)
            && matches!(self.phase, Phase::Writing | Phase::Verifying)
    }

    /// Whether it is a restore that still needs the points which it names.
    pub fn holds_points(&self) -> bool {
        let ended = self.last_run() == LastRun::Succeeded;
        self.kind == JobKind::Restore && !ended && !self.let_go
    }

    /// Every mark that its locks and pins may bear.
    pub fn marks(&self) -> impl Iterator<Item = &str> {
        self.mark.iter().chain(&self.dead_marks).map(String::as_str)
    }

    /// Gives up its mark. For who holds its lease, which proves that the process behind the mark is dead.
    pub fn buried(mut self) -> Self {
        self.dead_marks.extend(self.mark.take());
        self.lock_ids.clear();
        self
    }

    /// Whether another point may take the place of the one that it is pinned to, if that is gone: it has written nothing that it
    /// has not come to an end with.
    pub fn may_choose_anew(&self) -> bool {
        let wrote = matches!(self.verdict, Some(Verdict::Restored | Verdict::RolledBack)) || self.left_half();
        !wrote && matches!(self.last_run(), LastRun::Failed | LastRun::Unfinished)
    }

    /// What stays of a run for ever: enough to know that it ended, for which target.
    pub fn stub(&self) -> Record {
        Record {
            undo: Vec::new(),
            engine_object: None,
            reads: None,
            lock_ids: Vec::new(),
            lease: None,
            counts: Counts::default(),
            safety_point: None,
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record::new(JobKind::Restore, "0123456789abcdef", "docs", "restic", "/srv/docs")
    }

    #[test]
    fn no_bytes_are_a_record_that_is_written_otherwise_than_it_was_read() {
        let written = record().to_json();
        crate::noise::survives(&[&written, br#"{"version":2}"#], |bytes| {
            if let Ok(read) = Record::from_json(bytes, "here") {
                let again = Record::from_json(&read.to_json(), "here").unwrap();
                assert_eq!(again.to_json(), read.to_json());
            }
        });
    }

    #[test]
    fn a_record_survives_its_json() {
        let record = record();
        assert_eq!(Record::from_json(&record.to_json(), "here").unwrap(), record);
    }

    #[test]
    fn unknown_fields_are_kept() {
        let mut json: serde_json::Value = serde_json::from_slice(&record().to_json()).unwrap();
        json["later"] = serde_json::json!({"deep": [1, 2]});
        let read = Record::from_json(json.to_string().as_bytes(), "here").unwrap();
        let written: serde_json::Value = serde_json::from_slice(&read.to_json()).unwrap();
        assert_eq!(written["later"], serde_json::json!({"deep": [1, 2]}));
    }

    #[test]
    fn a_newer_version_is_an_error_even_when_it_looks_different() {
        let error = Record::from_json(br#"{"version": 2, "phases": []}"#, "here").unwrap_err();
        assert!(matches!(error, LedgerError::Newer { version: 2, .. }));
    }

    #[test]
    fn a_torn_document_is_damaged_not_absent() {
        let json = record().to_json();
        let error = Record::from_json(&json[..json.len() / 2], "here").unwrap_err();
        assert!(matches!(error, LedgerError::Damaged { .. }) && error.to_string().contains("move it away"), "{error}");
    }

    #[test]
    fn a_run_has_succeeded_only_when_everything_is_undone() {
        let mut record = record();
        assert_eq!(record.last_run(), LastRun::Unfinished);
        record.verdict = Some(Verdict::Restored);
        record.phase = Phase::Undoing;
        assert_eq!(record.last_run(), LastRun::Unfinished);
        record.phase = Phase::Done;
        assert_eq!(record.last_run(), LastRun::Succeeded);
        record.verdict = Some(Verdict::Failed);
        assert_eq!(record.last_run(), LastRun::Failed);
    }
}
