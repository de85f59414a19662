//! One backup: not before the restore that it follows, not of an empty thing over a full history, stored, read back,
//! pruned, and marked as seen.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{Backup, Cancel, EngineError, History, Journal, ReadBack, RunError, check_after};
use crate::clock;
use crate::ledger::{
    Counts, JobKind, LastRun, LedgerError, LedgerStore, Phase, PinnedPoint, Record, Triggers, Verdict, pinned_points,
    run_key,
};
use crate::words::counted;

mod guard;

/// How old the point of a dead process may be that is taken for the one that was asked for.
const RECENT: SignedDuration = SignedDuration::from_hours(1);

pub use guard::{FirstBackup, check as check_first_backup};

/// What a backup job asks for.
#[derive(Debug, Clone)]
pub struct BackupJob {
    /// Its name.
    pub name: String,
    /// The engine.
    pub engine: String,
    /// The server of the target.
    pub server_uid: Option<String>,
    /// The target, as the run key names it.
    pub target: String,
    /// What makes it run again.
    pub triggers: Triggers,
    /// The series that it adds to.
    pub series: String,
    /// What it is run on.
    pub on: Vec<Cause>,
    /// Whether a new or empty thing may be stored over older points.
    pub first_backup: FirstBackup,
    /// How much is read back.
    pub verify: ReadBack,
    /// Whether nothing is to be stored at all: a drill, or read-only storage in one.
    pub drill: bool,
}

impl BackupJob {
    /// The key of the run.
    pub fn key(&self) -> String {
        let uid = self.server_uid.as_deref();
        run_key(JobKind::Backup, &self.engine, uid, &self.target, &self.name, &self.triggers)
    }
}

/// Why a backup job is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// It is new.
    Create,
    /// Its triggers changed, or its last run did not end well.
    Triggers,
    /// It is destroyed.
    Destroy,
}

/// What a backup works with.
pub struct BackupParts<'a> {
    /// Where its record and the marks of series are: the ledger of the storage.
    pub ledger: &'a dyn LedgerStore,
    /// The run key that `after` names, and the ledger that holds its record.
    pub after: Option<(&'a str, &'a dyn LedgerStore)>,
    /// Other ledgers that may hold restores to what is backed up, or pins of its points.
    pub others: Vec<&'a dyn LedgerStore>,
    /// The engine.
    pub engine: &'a dyn Backup,
    /// The user's wish to stop, and the end of the timeout.
    pub cancel: Cancel,
}

/// What came of a backup job. A failure is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BackupOutcome {
    /// A point was stored.
    Stored,
    /// None was to be.
    Skipped,
}

impl BackupOutcome {
    /// The word of the schema.
    pub fn as_str(self) -> &'static str {
        match self {
            BackupOutcome::Stored => "stored",
            BackupOutcome::Skipped => "skipped",
        }
    }
}

/// The result of a backup job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupResult {
    /// The run key: the `uid` of the job's ref.
    pub key: String,
    /// What came of it.
    pub outcome: BackupOutcome,
    /// The new point.
    pub point: Option<PinnedPoint>,
    /// When this attempt began.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub finished: Option<Timestamp>,
    /// How long it took.
    pub seconds: u64,
    /// What the point holds, in bytes.
    pub bytes: u64,
    /// What the point holds, in files or items.
    pub items: u64,
    /// What the user should know.
    pub warnings: Vec<String>,
}

impl BackupResult {
    fn skipped(key: String, warning: Option<String>) -> Self {
        let outcome = BackupOutcome::Skipped;
        let warnings = warning.into_iter().collect();
        let (point, started, finished) = (None, None, None);
        BackupResult { key, outcome, point, started, finished, seconds: 0, bytes: 0, items: 0, warnings }
    }

    fn stored(record: &Record, warnings: Vec<String>) -> Self {
        let (started, finished) = (record.times.started, record.times.finished);
        let seconds = started.zip(finished).map_or(0, |(started, finished)| finished.duration_since(started).as_secs());
        BackupResult {
            key: record.key.clone(),
            outcome: BackupOutcome::Stored,
            point: record.point.clone(),
            started,
            finished,
            seconds: u64::try_from(seconds).unwrap_or(0),
            bytes: record.counts.bytes,
            items: record.counts.files,
            warnings,
        }
    }
}

/// Refuses to remove a point of what is lost since, by what the engine sees and these ledgers hold.
pub async fn check_removal(point: &str, engine: &dyn Backup, ledgers: &[&dyn LedgerStore]) -> Result<(), RunError> {
    let failed = |source| RunError::BeforeWriting { step: "looking at what was backed up", source };
    match engine.sources_of(point).await.map_err(failed)? {
        Some(sources) => guard::check_removal(point, &sources, &records(ledgers).await?),
        None => Ok(()),
    }
}

/// The records of several ledgers, each listed once: the restore that `after` names often lies where the others do.
pub async fn records(ledgers: &[&dyn LedgerStore]) -> Result<Vec<Record>, LedgerError> {
    let (mut records, mut listed) = (Vec::new(), BTreeSet::new());
    for ledger in ledgers {
        if listed.insert(ledger.describe()) {
            records.extend(ledger.list().await?);
        }
    }
    Ok(records)
}

/// Runs a backup job.
pub async fn backup(job: &BackupJob, cause: Cause, parts: &BackupParts<'_>) -> Result<BackupResult, RunError> {
    let key = job.key();
    if job.drill {
        let warning = format!("drill: backup job {} stores nothing", job.name);
        return Ok(BackupResult::skipped(key, Some(warning)));
    }
    if !job.on.contains(&cause) {
        return Ok(BackupResult::skipped(key, None));
    }
    let fresh = Record::new(JobKind::Backup, &key, &job.name, &job.engine, &job.target);
    let phase = fresh.phase;
    let acquired = async {
        // Before the lease: a restore may take hours, and nothing is known of this backup until it ends.
        let warning = match parts.after {
            Some((restore, ledger)) => check_after(ledger, restore).await?,
            None => None,
        };
        let failed = |source| RunError::BeforeWriting { step: "looking for what backs it up", source };
        parts.engine.ready(parts.cancel.patience()).await.map_err(failed)?;
        Ok::<_, RunError>((warning, parts.ledger.acquire(&fresh).await?))
    };
    let (warning, acquired) = tokio::select! {
        acquired = acquired => acquired?,
        () = parts.cancel.cancelled() => {
            return Err(RunError::Interrupted { key, phase, aftermath: "nothing was begun here", object: None });
        }
    };
    let found = acquired.found;
    let journal = Journal::new(acquired.lease, found.clone().unwrap_or_else(|| fresh.clone()));
    let run = Run { job, cause, parts, journal };
    let result = run.guarded(found).await;
    if !matches!(&result, Err(RunError::Ledger(LedgerError::LeaseLost { .. }))) {
        if result.is_ok()
            && let Err(error) = parts.ledger.tidy(&job.target).await
        {
            tracing::warn!(%error, "old run records were not shortened");
        }
        // The CLI gives two seconds to stop; an unreleased lease goes stale by itself.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(1), run.journal.close()).await;
    }
    result.map(|mut result| {
        result.warnings.extend(warning);
        result
    })
}

/// What is backed up, before it is.
#[derive(Default)]
struct Seen {
    /// Which one it is.
    incarnation: Option<String>,
    /// What can't be told of it, for people.
    doubts: Vec<String>,
    /// The date of its newest point.
    newest: Option<Timestamp>,
    /// The point that the last run stored, where it is gone and nothing newer is there.
    vanished: Option<PinnedPoint>,
}

struct Run<'a> {
    job: &'a BackupJob,
    cause: Cause,
    parts: &'a BackupParts<'a>,
    journal: Journal,
}

impl Run<'_> {
    async fn guarded(&self, found: Option<Record>) -> Result<BackupResult, RunError> {
        tokio::select! {
            biased;
            result = self.run(found) => result,
            () = self.parts.cancel.cancelled() => {
                Err(RunError::interrupted(self.journal.interrupted(), self.parts.engine.interrupted()))
            }
            () = self.journal.lost() => Err(LedgerError::LeaseLost { key: self.job.key() }.into()),
        }
    }

    async fn run(&self, found: Option<Record>) -> Result<BackupResult, RunError> {
        match self.drive(found).await {
            Err(error @ RunError::Ledger(_)) => Err(error),
            Err(error) => {
                let phase = self.journal.record().await.phase;
                self.journal.end(phase, Verdict::Failed).await?;
                Err(error)
            }
            stored => stored,
        }
    }

    async fn drive(&self, found: Option<Record>) -> Result<BackupResult, RunError> {
        self.refuse_half().await?;
        let finish = match &found {
            Some(record) => self.stored_just_now(record).await?,
            None => false,
        };
        let seen = if finish { Seen::default() } else { self.guard().await? };
        self.begin(finish).await?;
        let mut warnings = seen.doubts;
        if !finish {
            warnings.extend(self.write(seen.incarnation).await?);
            warnings.extend(self.misdated(seen.newest).await);
        }
        // Reading back and pruning count their own work.
        let held = self.journal.record().await.counts;
        self.check().await?;
        let is_first = self.is_first().await?;
        self.parts.ledger.mark_seen(&self.job.series).await?;
        warnings.extend(self.retain(seen.vanished, is_first).await?);
        self.journal.progress(held).await;
        self.journal.end(Phase::Done, Verdict::Stored).await?;
        Ok(BackupResult::stored(&self.journal.record().await, warnings))
    }

    /// Whether a process stored what is asked for and died before it had ended. A backup that ended is never adopted: a
    /// second one is harmless, a missing one is not. So nothing is adopted either for what goes with the job, of what is
    /// older (people have worked since), and of what is no longer there.
    async fn stored_just_now(&self, record: &Record) -> Result<bool, RunError> {
        let Some(point) = &record.point else { return Ok(false) };
        let died = record.last_run() == LastRun::Unfinished && record.phase == Phase::Verifying;
        // The same name and triggers may stand for other things to back up by now.
        let the_same = record.reads == self.parts.engine.reads();
        let recent = clock::now().duration_since(point.time) < RECENT;
        if self.cause == Cause::Destroy || !died || !the_same || !recent {
            return Ok(false);
        }
        let histories = self.histories().await?;
        Ok(histories.iter().flat_map(|history| &history.points).any(|listed| listed.id == point.id))
    }

    async fn histories(&self) -> Result<Vec<History>, RunError> {
        let failed = |source| RunError::BeforeWriting { step: "looking at what is backed up", source };
        self.parts.engine.histories().await.map_err(failed)
    }

    async fn begin(&self, finish: bool) -> Result<(), LedgerError> {
        self.journal
            .change(|record| {
                record.attempt += 1;
                record.verdict = None;
                record.times.started = Some(clock::now());
                record.times.finished = None;
                if !finish {
                    record.phase = Phase::Recorded;
                    record.point = None;
                    record.counts = Counts::default();
                }
            })
            .await
    }

    /// Refuses to store what a restore filled only half, unless anything may be stored.
    async fn refuse_half(&self) -> Result<(), RunError> {
        if self.job.first_backup == FirstBackup::Allow {
            return Ok(());
        }
        for ledger in &self.parts.others {
            let records = ledger.list().await?;
            if let Some(half) = records.iter().find(|record| record.kind == JobKind::Restore && record.left_half()) {
                return Err(RunError::HalfRestored { key: half.key.clone(), target: half.target.clone() });
            }
        }
        Ok(())
    }

    /// Looks at what is backed up, and refuses to store a new or empty thing over a full history, unless anything may be stored.
    async fn guard(&self) -> Result<Seen, RunError> {
        let anything = self.job.first_backup == FirstBackup::Allow;
        if anything && !self.parts.engine.prunes() {
            return Ok(Seen::default());
        }
        let histories = self.histories().await?;
        let named: Vec<&str> = histories.iter().filter_map(|history| history.probe.incarnation.as_deref()).collect();
        let incarnation = (!named.is_empty()).then(|| named.join(","));
        let records = self.records().await?;
        let mut doubts = Vec::new();
        let vanished = self.vanished(&histories, &records);
        let newest = histories.iter().flat_map(|history| &history.points).map(|point| point.time).max();
        if !anything {
            for History { points, probe } in &histories {
                guard::check(points, probe, &records)?;
                doubts.extend(guard::doubt(points, probe, &records));
            }
        }
        Ok(Seen { incarnation, doubts, newest, vanished })
    }

    /// The point of the last run, where it is gone: no retention removes the newest.
    fn vanished(&self, histories: &[History], records: &[Record]) -> Option<PinnedPoint> {
        let reads = self.parts.engine.reads();
        let ours = |record: &&Record| {
            let of_job =
                (record.kind, &record.name, &record.target) == (JobKind::Backup, &self.job.name, &self.job.target);
            of_job && record.verdict == Some(Verdict::Stored) && record.reads == reads
        };
        let last = records.iter().filter(ours).max_by_key(|record| record.times.finished)?;
        let point = last.point.clone().filter(|_| self.parts.engine.prunes())?;
        let mut points = histories.iter().flat_map(|history| &history.points);
        points.all(|listed| listed.time < point.time && listed.id != point.id).then_some(point)
    }

    /// The records of every ledger that may know of this storage or of what is backed up.
    async fn records(&self) -> Result<Vec<Record>, LedgerError> {
        let after = self.parts.after.map(|(_, ledger)| ledger);
        let all: Vec<_> =
            std::iter::once(self.parts.ledger).chain(after).chain(self.parts.others.iter().copied()).collect();
        records(&all).await
    }

    async fn write(&self, incarnation: Option<String>) -> Result<Vec<String>, RunError> {
        self.journal.enter(Phase::Writing).await?;
        let stored =
            self.parts.engine.backup(&self.journal).await.map_err(|source| self.failed("the backup", source))?;
        if stored.held.items == 0 && stored.held.bytes == 0 {
            let nothing = EngineError::new(format!("recovery point {} was stored and holds nothing", stored.point.id));
            return Err(self.failed("the backup", nothing));
        }
        let reads = self.parts.engine.reads();
        self.journal
            .change(|record| {
                record.point = Some(stored.point);
                record.reads = reads;
                record.incarnation = incarnation;
                record.counts = Counts { files: stored.held.items, bytes: stored.held.bytes, ..record.counts };
                record.phase = Phase::Verifying;
            })
            .await?;
        Ok(stored.warnings)
    }

    /// What is to be said where the point that was stored is not the newest by its date.
    async fn misdated(&self, newest: Option<Timestamp>) -> Option<String> {
        let (point, newest) = self.journal.record().await.point.zip(newest)?;
        (point.time < newest).then(|| {
            format!(
                "Recovery point {} is dated {}, and one that was there before it {newest}: a clock is or was wrong. A restore takes \
                 the newest by its date, which is not this one, and retention removes by dates. Set the clock right and remove the \
                 points of the future, or name this one with `recovery_point`",
                point.id, point.time
            )
        })
    }

    async fn check(&self) -> Result<(), RunError> {
        let Some(point) = self.journal.record().await.point else { return Ok(()) };
        if self.job.verify == ReadBack::None {
            return Ok(());
        }
        let verified = self.parts.engine.verify(&point, self.job.verify, &self.journal).await;
        verified.map_err(|source| self.failed("reading the backup back", source))
    }

    /// The backup is stored, whatever becomes of retention: the next job prunes.
    async fn retain(&self, vanished: Option<PinnedPoint>, is_first: bool) -> Result<Vec<String>, RunError> {
        if let Some(PinnedPoint { id, time, .. }) = vanished {
            return Ok(vec![format!(
                "Recovery point {id} of {time}, which the last run stored, is gone, and nothing newer is there: somebody removed it, \
                 or files of the storage were lost. Nothing is removed this time, so what older points need may still be \
                 there: bring them back before the next backup, which applies retention again"
            )]);
        }
        let mut spare = pinned_points(&self.records().await?);
        // Where a clock is or was wrong, what was stored just now need not be the newest.
        spare.extend(self.journal.record().await.point);
        match self.retain_but(&spare, is_first).await {
            Ok(warnings) => Ok(warnings),
            Err(error) => {
                let warning = "The backup is stored; retention could not be applied and is left to the next one";
                Ok(vec![format!("{warning}: {error}")])
            }
        }
    }

    /// Whether no backup of this provider ended in this storage before.
    async fn is_first(&self) -> Result<bool, LedgerError> {
        if !self.parts.engine.prunes() || self.parts.ledger.seen(&self.job.series).await? {
            return Ok(false);
        }
        let stored = |record: &Record| record.kind == JobKind::Backup && record.verdict == Some(Verdict::Stored);
        Ok(!self.parts.ledger.list().await?.iter().any(stored))
    }

    /// Applies retention, but not in the run that finds what others stored: whoever gave the storage a policy may not know of it.
    async fn retain_but(&self, spare: &[PinnedPoint], is_first: bool) -> Result<Vec<String>, EngineError> {
        let theirs = if is_first { self.parts.engine.would_remove(spare).await? } else { 0 };
        if theirs == 0 {
            return self.parts.engine.retain(spare, &self.journal).await;
        }
        Ok(vec![format!(
            "Retention would remove {} that this storage held before the first backup of this provider. Nothing is removed this \
             time; the next backup does it. To keep more, change the retention of the target before, or store elsewhere",
            counted(theirs, "recovery point", "recovery points")
        )])
    }

    fn failed(&self, step: &'static str, source: EngineError) -> RunError {
        if source.before_first_write {
            return RunError::BeforeWriting { step, source };
        }
        let aftermath = "The next apply makes another backup".to_owned();
        RunError::AfterWriting { step, key: self.job.key(), source, aftermath }
    }
}
