//! Runs that have ended or whose process is dead, and what they left in the storage all the same.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use super::error::EngineError;
use super::machine;
use super::notes::Kept;
use super::site::Site;
use crate::ledger::{LedgerError, LedgerStore, PathLedger, Record, bury, let_go, needs};

/// How long the file system beside a target may take to say what ran there.
const ANSWER: Duration = Duration::from_secs(5);

impl Site {
    /// Whether the process of another run is proved dead, by the ledger of the repository or that beside what it restores to.
    pub(super) async fn proves_dead(&self, mark: &str) -> bool {
        let (site, mark) = (self.clone(), mark.to_owned());
        // On its own, so that a lease which it takes for the proof is given back also when nobody waits for the answer any more.
        tokio::spawn(async move { site.is_dead(&mark).await }).await.unwrap_or_default()
    }

    async fn is_dead(&self, mark: &str) -> bool {
        if let Ok(stored) = self.ledger()
            && bury(&stored, mark).await.unwrap_or_default()
        {
            return true;
        }
        let pins = match self.notes() {
            Ok(notes) => notes.pins().await.unwrap_or_default(),
            Err(_) => Vec::new(),
        };
        for kept in pins.iter().filter(|kept| kept.mark == mark && is_here(kept)) {
            // A file system that does not answer proves nothing, and whoever waits for a lock has other ways to go on.
            let knows = records_beside(&kept.pin.target).await.is_some_and(|records| knows(&records, mark));
            if let Some(ledger) = beside(&kept.pin.target).filter(|_| knows)
                && bury(&ledger, mark).await.unwrap_or_default()
            {
                return true;
            }
        }
        false
    }

    /// What restores need, and what was kept for them and is needed no more, because their records say that they have ended.
    pub(super) async fn pins(&self) -> Result<(Vec<Kept>, Vec<Kept>), EngineError> {
        let (mut needed, mut ended) = (Vec::new(), Vec::new());
        let pins = self.notes()?.pins().await?;
        // After the pins: a run writes its record first.
        let records = self.records_of(&pins).await;
        for kept in pins {
            match records.of(&kept) {
                Some(records) if knows(&records, &kept.mark) && !is_needed(&kept, &records) => ended.push(kept),
                _ => needed.push(kept),
            }
        }
        Ok((needed, ended))
    }

    /// Lets go what is kept for runs that have ended. What can't be let go, for people.
    pub(super) async fn let_go_of_ended(&self) -> Result<Vec<String>, EngineError> {
        let (_, ended) = self.pins().await?;
        self.let_go(&ended).await
    }

    async fn let_go(&self, ended: &[Kept]) -> Result<Vec<String>, EngineError> {
        let (notes, mut gone, mut left) = (self.notes()?, Vec::new(), Vec::new());
        for kept in ended {
            match notes.unpin(&[&kept.mark]).await {
                Ok(()) => gone.push(kept.clone()),
                Err(error) => {
                    left.push(format!("{kept} has ended, and what it needed is still kept: {error}. Remove that file"))
                }
            }
        }
        // The same run may have begun anew meanwhile, under the same mark and with other points.
        let records = self.records_of(&gone).await;
        for kept in &gone {
            let again = match records.of(kept) {
                Some(records) => {
                    records.into_iter().find(|record| begun_anew(record, kept)).map(|run| kept.pin.of_run(run))
                }
                // Nobody knows: then it stays as it was.
                None => Some(kept.pin.clone()),
            };
            if let Some(pin) = again {
                notes.pin_if_gone(&kept.mark, &pin).await?;
            }
        }
        Ok(left)
    }

    /// Lets go what is kept for the runs of a restore job that is destroyed, but for one that is at work. Storage that can't be
    /// reached keeps no destroy from ending: once these runs are known to have let go, the next backup does the rest.
    pub(super) async fn let_go_of_job(&self, name: &str, target: &Path) -> Result<(), LedgerError> {
        let target_name = target.display().to_string();
        let mut marks = Vec::new();
        if let Some(beside) = PathLedger::new(target) {
            marks.extend(let_go(&beside, name, &target_name).await?);
        }
        let in_storage = async {
            let stored = self.ledger()?;
            marks.extend(let_go(&stored, name, &target_name).await.map_err(|error| EngineError::Repository {
                action: "reading the ledger".to_owned(),
                message: error.to_string(),
            })?);
            let marks: Vec<&str> = marks.iter().map(String::as_str).collect();
            self.notes()?.unpin(&marks).await
        };
        if let Err(error) = in_storage.await {
            let error: EngineError = error;
            tracing::warn!(%error, job = name, "what is kept for the runs of a destroyed job stays for now");
        }
        Ok(())
    }

    /// What is written down about the runs of pins, each place read once.
    async fn records_of(&self, pins: &[Kept]) -> Records {
        let mut records = Records::default();
        if pins.is_empty() {
            return records;
        }
        if let Ok(stored) = self.ledger() {
            records.stored = stored.list().await.ok();
        }
        let here: BTreeSet<&String> = pins.iter().filter(|kept| is_here(kept)).map(|kept| &kept.pin.target).collect();
        for target in here {
            records.beside.insert(target.clone(), records_beside(target).await);
        }
        records
    }
}

/// Records of restores, as far as they can be read from here.
#[derive(Default)]
struct Records {
    /// Those in the ledger of the repository; `None` where it can't be read.
    stored: Option<Vec<Record>>,
    /// Those beside targets on this machine; `None` where nothing answered.
    beside: BTreeMap<String, Option<Vec<Record>>>,
}

impl Records {
    /// Those of restores to the target of a pin; `None` where they may not be all.
    fn of(&self, kept: &Kept) -> Option<Vec<&Record>> {
        let beside = match self.beside.get(&kept.pin.target) {
            Some(answer) if is_here(kept) => answer.as_deref()?,
            _ => &[],
        };
        let all = self.stored.as_ref()?.iter().chain(beside);
        Some(all.filter(|record| record.target == kept.pin.target).collect())
    }
}

/// Whether the target of a pin is on this machine.
fn is_here(kept: &Kept) -> bool {
    kept.pin.host == machine::host()
}

/// The ledger beside the target of a restore on this machine.
fn beside(target: &str) -> Option<PathLedger> {
    PathLedger::new(Path::new(target))
}

/// The records beside a target on this machine, or `None` where its file system does not answer: a network may be gone for hours
/// that has nothing to do with what is asked for.
async fn records_beside(target: &str) -> Option<Vec<Record>> {
    let Some(ledger) = beside(target) else { return Some(Vec::new()) };
    let answer = tokio::task::spawn_blocking(move || ledger.records());
    tokio::time::timeout(ANSWER, answer).await.ok()?.ok()?.ok()
}

/// Whether any of these runs went by a mark.
fn knows(records: &[impl Borrow<Record>], mark: &str) -> bool {
    records.iter().any(|record| record.borrow().marks().any(|known| known == mark))
}

/// Whether one of these runs needs what is kept.
fn is_needed(kept: &Kept, records: &[&Record]) -> bool {
    let needed = records.iter().flat_map(|record| needs(record));
    let ids: BTreeSet<&str> = needed.map(|point| point.id.as_str()).collect();
    kept.pin.points.iter().any(|point| ids.contains(point.id.as_str()))
}

/// Whether it is the run of a pin, under way again.
fn begun_anew(record: &Record, kept: &Kept) -> bool {
    record.mark.as_ref() == Some(&kept.mark) && needs(record).next().is_some()
}

#[cfg(test)]
mod tests {
    use super::super::notes::Pin;
    use super::*;
    use crate::engines::concepts::Target;
    use crate::engines::restic::testing::site;
    use crate::ledger::{JobKind, Phase, PinnedPoint, Verdict};

    fn point() -> PinnedPoint {
        PinnedPoint { id: "1".repeat(64), time: "2025-10-04T10:00:00Z".parse().unwrap(), bytes: None }
    }

    /// A run to `target` that needs the point.
    fn run(key: u64, target: &Path) -> Record {
        let target = target.display().to_string();
        let record = Record::new(JobKind::Restore, &format!("{key:016x}"), "docs", "restic", &target);
        Record { point: Some(point()), mark: Some(format!("mark{key}")), ..record }
    }

    async fn write(ledger: &dyn LedgerStore, record: &Record) {
        let acquired = ledger.acquire(record).await.unwrap();
        acquired.lease.write(record).await.unwrap();
        acquired.lease.release().await;
    }

    async fn kept(site: &Site) -> Vec<String> {
        let left = site.let_go_of_ended().await.unwrap();
        assert!(left.is_empty(), "{left:?}");
        site.notes().unwrap().pins().await.unwrap().into_iter().map(|kept| kept.mark).collect()
    }

    #[tokio::test]
    async fn what_is_kept_for_a_run_goes_when_its_record_says_that_it_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let (site, target) = (site(folder.path().join("repo")), folder.path().join("docs"));
        let (beside, stored) = (PathLedger::new(&target).unwrap(), site.ledger().unwrap());
        for ledger in [&beside as &dyn LedgerStore, &stored] {
            let mut record = run(1, &target);
            let pin = Pin::new(&record.key, &record.target, vec![point()]);
            site.notes().unwrap().pin("mark1", &pin).await.unwrap();
            assert_eq!(kept(&site).await, ["mark1"], "nobody here knows that run");
            for (phase, verdict) in [
                (Phase::Writing, None),
                (Phase::Done, Some(Verdict::Failed)),
                (Phase::Undoing, Some(Verdict::Restored)),
            ] {
                (record.phase, record.verdict) = (phase, verdict);
                write(ledger, &record).await;
                assert_eq!(kept(&site).await, ["mark1"], "{phase:?} {verdict:?}");
                assert!(site.needed_by().await.unwrap()[0].contains("pins/mark1.json in "));
            }
            (record.phase, record.verdict) = (Phase::Done, Some(Verdict::Restored));
            write(ledger, &record).await;
            assert!(site.needed_by().await.unwrap().is_empty());
            assert!(kept(&site).await.is_empty());
            let _ = std::fs::remove_dir_all(beside.folder());
        }
    }

    #[tokio::test]
    async fn what_is_kept_for_a_failed_run_goes_with_its_job_and_for_one_at_work_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (site, target) = (site(folder.path().join("repo")), folder.path().join("docs"));
        let ledger = PathLedger::new(&target).unwrap();
        let failed = Record { phase: Phase::Writing, verdict: Some(Verdict::Failed), ..run(1, &target) };
        write(&ledger, &failed).await;
        site.notes().unwrap().pin("mark1", &Pin::new(&failed.key, &failed.target, vec![point()])).await.unwrap();
        site.let_go_of_job("another", &target).await.unwrap();
        assert_eq!(kept(&site).await, ["mark1"]);
        let at_work = ledger.acquire(&failed).await.unwrap();
        site.let_go_of_job("docs", &target).await.unwrap();
        assert_eq!(kept(&site).await, ["mark1"]);
        at_work.lease.release().await;
        site.let_go_of_job("docs", &target).await.unwrap();
        assert!(kept(&site).await.is_empty());
        let records = ledger.list().await.unwrap();
        assert!(crate::ledger::pinned_points(&records).is_empty(), "retention is free to remove it");
        assert!(records[0].left_half(), "what it left is half a target all the same");
    }

    #[tokio::test]
    async fn a_file_system_that_does_not_answer_holds_nobody_up_and_what_is_kept_for_it_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (site, target) = (site(folder.path().join("repo")), folder.path().join("docs"));
        let runs = PathLedger::new(&target).unwrap().folder().join("runs");
        std::fs::create_dir_all(&runs).unwrap();
        let record = runs.join(format!("{:016x}.json", 1));
        // Whoever reads it waits until somebody writes to it.
        rustix::fs::mkfifoat(rustix::fs::CWD, &record, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        let pin = Pin::new("0000000000000001", &target.display().to_string(), vec![point()]);
        site.notes().unwrap().pin("mark1", &pin).await.unwrap();
        assert!(!site.proves_dead("mark1").await);
        assert_eq!(kept(&site).await, ["mark1"]);
        // Of another machine there is nothing to read here.
        let began = std::time::Instant::now();
        site.notes().unwrap().pin("mark1", &pin.elsewhere("another")).await.unwrap();
        assert_eq!(kept(&site).await, ["mark1"]);
        assert!(began.elapsed() < ANSWER);
        drop(std::fs::File::options().read(true).write(true).open(&record).unwrap());
    }

    #[tokio::test]
    async fn what_a_run_needs_that_begins_anew_while_it_is_let_go_is_kept_again() {
        let folder = tempfile::tempdir().unwrap();
        let (site, target) = (site(folder.path().join("repo")), folder.path().join("docs"));
        let (ledger, notes) = (PathLedger::new(&target).unwrap(), site.notes().unwrap());
        let before = Record { phase: Phase::Done, verdict: Some(Verdict::Restored), ..run(1, &target) };
        write(&ledger, &before).await;
        notes.pin("mark1", &Pin::new(&before.key, &before.target, vec![point()])).await.unwrap();
        let (_, ended) = site.pins().await.unwrap();
        let other = PinnedPoint { id: "2".repeat(64), ..point() };
        write(&ledger, &Record { point: Some(other.clone()), ..run(1, &target) }).await;
        notes.pin("mark1", &Pin::new(&before.key, &before.target, vec![other.clone()])).await.unwrap();
        assert!(site.let_go(&ended).await.unwrap().is_empty());
        let kept = notes.pins().await.unwrap();
        assert_eq!(kept.iter().flat_map(|kept| kept.pin.points.clone()).collect::<Vec<_>>(), [other]);
    }

    #[tokio::test]
    async fn what_another_run_took_over_stays_until_that_one_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let (site, target) = (site(folder.path().join("repo")), folder.path().join("docs"));
        let ledger = PathLedger::new(&target).unwrap();
        let first = run(1, &target);
        let pin = Pin::new(&first.key, &first.target, vec![point()]);
        site.notes().unwrap().pin("mark1", &pin).await.unwrap();
        let closed = Record { point: None, phase: Phase::Done, verdict: Some(Verdict::Failed), ..first };
        write(&ledger, &closed.buried()).await;
        let second = run(2, &target);
        write(&ledger, &second).await;
        assert_eq!(kept(&site).await, ["mark1"]);
        write(&ledger, &Record { phase: Phase::Done, verdict: Some(Verdict::Restored), ..second }).await;
        assert!(kept(&site).await.is_empty());
    }
}
