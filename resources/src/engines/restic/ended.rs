//! Runs that have ended or whose process is dead, and what they left in the storage all the same.

use std::path::Path;

use super::error::EngineError;
use super::notes::Kept;
use super::site::Site;
use crate::ledger::{LedgerStore, PathLedger, Record, bury, pinned_points};

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
        for ledger in pins.iter().filter(|kept| kept.mark == mark).filter_map(beside) {
            if bury(&ledger, mark).await.unwrap_or_default() {
                return true;
            }
        }
        false
    }

    /// What restores need, and what was kept for them and is needed no more, because their records say that they have ended.
    pub(super) async fn pins(&self) -> Result<(Vec<Kept>, Vec<Kept>), EngineError> {
        let (mut needed, mut ended) = (Vec::new(), Vec::new());
        for kept in self.notes()?.pins().await? {
            // After the pin: a run writes its record first.
            let records = self.records_of(&kept).await;
            let is_known = records.iter().any(|record| record.marks().any(|mark| mark == kept.mark));
            if is_known && !is_needed(&kept, &records) { ended.push(kept) } else { needed.push(kept) }
        }
        Ok((needed, ended))
    }

    /// Lets go what is kept for runs that have ended. What can't be let go, for people.
    pub(super) async fn let_go_of_ended(&self) -> Result<Vec<String>, EngineError> {
        let (_, ended) = self.pins().await?;
        let (notes, mut left) = (self.notes()?, Vec::new());
        for kept in &ended {
            if let Err(error) = notes.unpin(&[&kept.mark]).await {
                left.push(format!("{kept} has ended, and what it needed is still kept: {error}. Remove that file"));
            } else if is_needed(kept, &self.records_of(kept).await) {
                // The same run began anew meanwhile, under the same mark.
                notes.pin(&kept.mark, &kept.pin).await?;
            }
        }
        Ok(left)
    }

    /// The records of restores to the target of a pin, as far as they can be read from here.
    async fn records_of(&self, kept: &Kept) -> Vec<Record> {
        let mut records = match beside(kept) {
            Some(ledger) => ledger.list().await.unwrap_or_default(),
            None => Vec::new(),
        };
        if let Ok(stored) = self.ledger() {
            records.extend(stored.list().await.unwrap_or_default());
        }
        records.retain(|record| record.target == kept.pin.target);
        records
    }
}

/// The ledger beside the target of a restore, if it is on this machine.
fn beside(kept: &Kept) -> Option<PathLedger> {
    PathLedger::new(Path::new(&kept.pin.target))
}

/// Whether one of these runs needs what is kept.
fn is_needed(kept: &Kept, records: &[Record]) -> bool {
    let needed = pinned_points(records);
    kept.pin.points.iter().any(|point| needed.iter().any(|needed| needed.id == point.id))
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
