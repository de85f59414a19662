//! Records beside a folder, for restores to a path: files written by rename, a lease that the kernel frees.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Acquired, Counts, Lease, LedgerError, LedgerStore, Record, hygiene, key::seen_name};
use crate::clock;

/// How often a lock that somebody holds is tried again.
const RETRY: Duration = Duration::from_millis(250);

/// How often progress is written at most.
const PROGRESS: Duration = Duration::from_millis(500);

/// The ledger `<parent>/.<name>.dr` of the path `<parent>/<name>`.
#[derive(Debug, Clone)]
pub struct PathLedger {
    folder: PathBuf,
}

impl PathLedger {
    /// The ledger of a path; nothing is touched. `None` for a path without a name or a parent, such as `/`.
    pub fn new(path: &Path) -> Option<Self> {
        let mut name = std::ffi::OsString::from(".");
        name.push(path.file_name()?);
        name.push(".dr");
        Some(PathLedger { folder: path.parent()?.join(name) })
    }

    /// The folder of the ledger, which no backup of ours should hold.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Whether records can be kept here; where not, they belong in the store. Leaves the folder behind when they can.
    pub fn usable(&self) -> bool {
        let lock = || self.prepare().and_then(|()| self.open("lock"));
        lock().is_ok()
    }

    fn io(&self, path: &Path, source: std::io::Error) -> LedgerError {
        LedgerError::Io { place: path.display().to_string(), source }
    }

    fn prepare(&self) -> Result<(), LedgerError> {
        for folder in [self.folder.clone(), self.folder.join("runs"), self.folder.join("seen")] {
            match std::fs::create_dir(&folder) {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(self.io(&folder, error)),
                _ => {}
            }
        }
        Ok(())
    }

    fn open(&self, name: &str) -> Result<File, LedgerError> {
        let path = self.folder.join(name);
        let open = File::options().create(true).truncate(false).read(true).write(true).open(&path);
        open.map_err(|error| self.io(&path, error))
    }

    /// Both locks: that of whoever leads a run, and that of a worker which may outlive its leader for a moment.
    fn try_locks(&self) -> Result<Option<File>, LedgerError> {
        let leader = self.open("lock")?;
        let worker = self.open("work")?;
        for (file, name) in [(&leader, "lock"), (&worker, "work")] {
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(error)) => return Err(self.io(&self.folder.join(name), error)),
            }
        }
        Ok(Some(leader))
    }

    fn record_path(&self, key: &str) -> PathBuf {
        self.folder.join("runs").join(format!("{key}.json"))
    }

    /// Where it stands how far a run is since its record was written last. A file of its own, so that nothing which has to
    /// outlive a power cut is ever replaced by something that need not.
    fn progress_path(&self, key: &str) -> PathBuf {
        self.folder.join("runs").join(format!("{key}.progress"))
    }

    fn read_path(&self, path: &Path) -> Result<Option<Record>, LedgerError> {
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.io(path, error)),
        };
        let mut record = Record::from_json(&bytes, &path.display().to_string())?;
        // What was torn or never came to the disk says nothing.
        let progress = std::fs::read(self.progress_path(&record.key)).ok();
        let progress = progress.and_then(|bytes| serde_json::from_slice::<Progress>(&bytes).ok());
        // An older provider leaves one there when it writes the record after it.
        let is_newer = |progress: &Progress| record.times.updated.is_none_or(|updated| progress.updated >= updated);
        if let Some(progress) = progress.filter(is_newer) {
            record.counts = progress.counts;
            record.times.updated = Some(progress.updated);
        }
        Ok(Some(record))
    }

    /// Every record, as [`LedgerStore::list`] gives them. Blocks for as long as the file system does.
    pub fn records(&self) -> Result<Vec<Record>, LedgerError> {
        let runs = self.folder.join("runs");
        let entries = match std::fs::read_dir(&runs) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.io(&runs, error)),
        };
        let mut records = Vec::new();
        for entry in entries {
            let path = entry.map_err(|error| self.io(&runs, error))?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                records.extend(self.read_path(&path)?);
            }
        }
        Ok(records)
    }

    fn write_record(&self, record: &Record) -> Result<(), LedgerError> {
        let path = self.record_path(&record.key);
        let write = || {
            match std::fs::remove_file(self.progress_path(&record.key)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = File::create(self.beside(&record.key))?;
            file.write_all(&record.to_json())?;
            file.sync_all()?;
            std::fs::rename(self.beside(&record.key), &path)?;
            File::open(self.folder.join("runs"))?.sync_all()
        };
        write().map_err(|error| self.io(&path, error))
    }

    fn write_progress(&self, key: &str, progress: &Progress) -> std::io::Result<()> {
        std::fs::write(self.beside(key), serde_json::to_vec(progress)?)?;
        std::fs::rename(self.beside(key), self.progress_path(key))
    }

    /// What a file is called until it is whole. Only one process writes (it holds the lock), so it needs no randomness.
    fn beside(&self, key: &str) -> PathBuf {
        self.folder.join("runs").join(format!(".{key}.new"))
    }
}

#[async_trait]
impl LedgerStore for PathLedger {
    fn describe(&self) -> String {
        self.folder.display().to_string()
    }

    async fn read(&self, key: &str) -> Result<Option<Record>, LedgerError> {
        self.read_path(&self.record_path(key))
    }

    async fn list(&self) -> Result<Vec<Record>, LedgerError> {
        self.records()
    }

    async fn acquire(&self, record: &Record) -> Result<Acquired, LedgerError> {
        self.prepare()?;
        let mut waited = false;
        loop {
            if let Some(lock) = self.try_locks()? {
                let found = self.read(&record.key).await?;
                let lease = PathLease { ledger: self.clone(), last: Mutex::new(None), _lock: Some(lock) };
                return Ok(Acquired { lease: Box::new(lease), found, waited });
            }
            waited = true;
            clock::sleep(RETRY).await;
        }
    }

    fn lease_covers_target(&self) -> bool {
        true
    }

    async fn acquire_beside(&self, other: &Record) -> Result<Acquired, LedgerError> {
        let found = self.read(&other.key).await?;
        let lease = PathLease { ledger: self.clone(), last: Mutex::new(None), _lock: None };
        Ok(Acquired { lease: Box::new(lease), found, waited: false })
    }

    async fn seen(&self, series: &str) -> Result<bool, LedgerError> {
        let path = self.folder.join("seen").join(seen_name(series));
        path.try_exists().map_err(|error| self.io(&path, error))
    }

    async fn mark_seen(&self, series: &str) -> Result<(), LedgerError> {
        self.prepare()?;
        let path = self.folder.join("seen").join(seen_name(series));
        let mark = || File::create(&path)?.sync_all();
        mark().map_err(|error| self.io(&path, error))
    }

    async fn tidy(&self, target: &str) -> Result<(), LedgerError> {
        hygiene::stubs(&self.list().await?, target).iter().try_for_each(|stub| self.write_record(stub))
    }
}

/// How far a run is.
#[derive(Serialize, Deserialize)]
struct Progress {
    counts: Counts,
    updated: jiff::Timestamp,
}

/// Holds the lock of a path's ledger.
struct PathLease {
    ledger: PathLedger,
    /// Whose record was written last, and when something was written last.
    last: Mutex<Option<(String, Instant)>>,
    /// `None` beside another lease: the lock is that of the whole path.
    _lock: Option<File>,
}

#[async_trait]
impl Lease for PathLease {
    async fn write(&self, record: &Record) -> Result<(), LedgerError> {
        // Also against a progress that is written at the same time: it would be of the record before.
        let mut last = self.last.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        self.ledger.write_record(record)?;
        *last = Some((record.key.clone(), Instant::now()));
        Ok(())
    }

    async fn progress(&self, counts: &Counts) {
        let mut last = self.last.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let Some((key, written)) = last.as_mut() else { return };
        if written.elapsed() < PROGRESS {
            return;
        }
        *written = Instant::now();
        let progress = Progress { counts: *counts, updated: clock::now() };
        if let Err(error) = self.ledger.write_progress(key, &progress) {
            tracing::debug!(%error, "progress was not written");
        }
    }

    /// The kernel takes a lock from nobody who lives.
    async fn lost(&self) {
        std::future::pending().await
    }

    async fn release(self: Box<Self>) {}
}

/// Held by a worker process while it writes to the path, so that nobody takes the run over before it has really ended.
#[derive(Debug)]
pub struct WorkLock(#[expect(dead_code, reason = "the lock lives as long as the open file")] File);

impl WorkLock {
    /// Takes the lock for work on `path`, waiting for a worker that is just ending. Called by the worker itself.
    pub fn take(path: &Path) -> Result<Option<Self>, LedgerError> {
        let Some(ledger) = PathLedger::new(path) else { return Ok(None) };
        if !ledger.usable() {
            return Ok(None);
        }
        let file = ledger.open("work")?;
        file.lock().map_err(|error| ledger.io(&ledger.folder.join("work"), error))?;
        Ok(Some(WorkLock(file)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{JobKind, Phase};
    use super::*;

    fn ledger() -> (tempfile::TempDir, PathLedger, Record) {
        let folder = tempfile::tempdir().unwrap();
        let ledger = PathLedger::new(&folder.path().join("docs")).unwrap();
        (folder, ledger, Record::new(JobKind::Restore, "0123456789abcdef", "docs", "toy", "/srv/docs"))
    }

    #[tokio::test]
    async fn a_written_record_is_read_back_and_listed() {
        let (folder, ledger, mut record) = ledger();
        let acquired = ledger.acquire(&record).await.unwrap();
        assert!(acquired.found.is_none() && !acquired.waited);
        record.phase = Phase::Writing;
        acquired.lease.write(&record).await.unwrap();
        assert!(folder.path().join(".docs.dr/runs/0123456789abcdef.json").exists());
        assert_eq!(ledger.read(&record.key).await.unwrap().unwrap().phase, Phase::Writing);
        assert_eq!(ledger.list().await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn progress_is_read_with_the_record_and_never_takes_its_place() {
        let (folder, ledger, mut record) = ledger();
        let lease = ledger.acquire(&record).await.unwrap().lease;
        lease.write(&record).await.unwrap();
        let runs = folder.path().join(".docs.dr/runs");
        let durable = || std::fs::read(runs.join("0123456789abcdef.json")).unwrap();
        let written = durable();
        tokio::time::sleep(PROGRESS).await;
        lease.progress(&Counts { files: 7, ..Counts::default() }).await;
        assert_eq!(durable(), written, "what is on the disk for sure is left alone");
        let read = ledger.read(&record.key).await.unwrap().unwrap();
        assert!(read.counts.files == 7 && read.times.updated.is_some());
        assert_eq!(ledger.list().await.unwrap(), [read]);
        // A version that knows no progress wrote the record since.
        let later = Record { phase: Phase::Verifying, ..record.clone() };
        let later =
            Record { times: crate::ledger::Times { updated: Some(clock::now()), ..later.times.clone() }, ..later };
        std::fs::write(runs.join("0123456789abcdef.json"), later.to_json()).unwrap();
        assert_eq!(ledger.read(&record.key).await.unwrap().unwrap(), later);
        std::fs::write(runs.join("0123456789abcdef.json"), &written).unwrap();
        // As a power cut leaves it.
        std::fs::write(runs.join("0123456789abcdef.progress"), "").unwrap();
        assert_eq!(ledger.read(&record.key).await.unwrap().unwrap(), record);
        record.counts.files = 9;
        lease.write(&record).await.unwrap();
        assert_eq!(ledger.read(&record.key).await.unwrap().unwrap(), record);
    }

    #[tokio::test]
    async fn reading_leaves_nothing_behind() {
        let (folder, ledger, record) = ledger();
        assert!(ledger.read(&record.key).await.unwrap().is_none());
        assert!(ledger.list().await.unwrap().is_empty());
        assert!(!ledger.seen("series").await.unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_second_one_waits_until_the_first_is_gone() {
        let (_folder, ledger, record) = ledger();
        let first = ledger.acquire(&record).await.unwrap();
        let second = tokio::spawn({
            let (ledger, record) = (ledger.clone(), record.clone());
            async move { ledger.acquire(&record).await.unwrap().waited }
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!(!second.is_finished());
        drop(first);
        assert!(second.await.unwrap());
    }

    #[tokio::test]
    async fn a_worker_that_outlives_its_leader_is_waited_for() {
        let (folder, ledger, record) = ledger();
        let work = WorkLock::take(&folder.path().join("docs")).unwrap().unwrap();
        let wait = tokio::time::timeout(Duration::from_millis(100), ledger.acquire(&record)).await;
        assert!(wait.is_err());
        drop(work);
        assert!(ledger.acquire(&record).await.unwrap().found.is_none());
    }

    #[tokio::test]
    async fn a_missing_parent_is_not_made() {
        let (folder, _, record) = ledger();
        let ledger = PathLedger::new(&folder.path().join("absent/docs")).unwrap();
        assert!(!ledger.usable());
        assert!(ledger.acquire(&record).await.is_err());
        assert!(!folder.path().join("absent").exists());
    }
}
