//! A repository as a backup target: making it, taking it over, describing it, removing it.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::error::{EngineError, StoreProblem};
use super::keys::LOG_N;
use super::notes::is_note;
use super::owners::{self, Owners};
use super::points::{Phase, Point};
use super::repository::{self, Found};
use super::site::{Site, unexpected};
use super::source::PROGRAM;
use super::worker::{Job, Outcome};
use crate::clock;
use crate::engines::concepts::{Blame, Contents, Failure, Owner, Policy, Seen, Target};
use crate::ledger::{self, LedgerError, LedgerStore};
use crate::restore_job::SERIES;
use crate::retention::Keep;
use crate::store::Condition;
use crate::store::local::LOCK;

/// The retention of a repository, as its ledger holds it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct PolicyFile {
    version: u32,
    target: String,
    keep: Option<Keep>,
}

/// The policy's name in the ledger.
const POLICY: &str = "policy.json";
/// The version of its layout.
const POLICY_VERSION: u32 = 1;
/// The mark in the ledger that says that a repository was there before a process of another engine began.
const THERE: &str = "there";

impl Site {
    /// Makes the repository, finishes one whose making was interrupted, or (with `adopt`) takes over one that the
    /// password opens. Gives its id.
    async fn make_or_adopt(&self, adopt: bool) -> Result<String, EngineError> {
        match self.order(Job::Init { log_n: log_n(), adopt }).await? {
            Outcome::Init { id, .. } => Ok(id),
            _ => Err(unexpected()),
        }
    }

    /// Makes the repository where there is none, before processes of another engine begin: each of them that finds none makes
    /// one, and of two that do so together neither opens what the other made, nor does anybody afterwards. One that was there
    /// before is not made anew.
    pub async fn make_for_others(&self) -> Result<(), EngineError> {
        match Site::look(self).await? {
            Found::Absent | Found::InterruptedInit => {
                self.refuse_vanished().await?;
                Site { read_only: false, ..self.clone() }.make_or_adopt(true).await?;
            }
            Found::Ready { .. } => {}
            Found::Incomplete { .. } | Found::SomethingElse { .. } => return Ok(()),
        }
        ledger::remember(&self.ledger()?, THERE).await;
        Ok(())
    }

    /// The same ahead of a schedule, which makes it, too: what stops us does not stop it, but for what must not be made.
    pub async fn make_ahead(&self) -> Result<(), EngineError> {
        match self.make_for_others().await {
            Err(error @ EngineError::Vanished { .. }) => Err(error),
            _ => Ok(()),
        }
    }

    /// An error where a repository was that is there no more.
    pub async fn refuse_vanished(&self) -> Result<(), EngineError> {
        let ledger = self.ledger()?;
        let unread = |error: LedgerError| EngineError::Repository {
            action: format!("reading {}", ledger.describe()),
            message: error.to_string(),
        };
        let mut marks = Vec::new();
        for series in [THERE, SERIES] {
            if ledger.seen(series).await.map_err(unread)? {
                marks.push(format!("seen/{series}"));
            }
        }
        if marks.is_empty() {
            return Ok(());
        }
        Err(EngineError::Vanished { place: self.store()?.describe(), marks, ledger: ledger.describe() })
    }

    /// Tries the password; the repository's id.
    async fn try_password(&self) -> Result<String, EngineError> {
        match self.order(Job::Check).await? {
            Outcome::Check { id } => Ok(id),
            _ => Err(unexpected()),
        }
    }

    /// What the repository holds.
    async fn all_contents(&self) -> Result<Contents, EngineError> {
        let points = self.points().await?;
        let entries = self.store()?.list("").await?;
        let readable = points.iter().filter(|point| point.phase != Phase::Unreadable);
        let mut foreign: Vec<String> = readable.filter(|point| !is_ours(&point.program_version)).map(program).collect();
        foreign.sort();
        foreign.dedup();
        let bytes = entries.iter().map(|entry| entry.size).sum();
        let newest = points.iter().filter_map(Point::timestamp).max();
        Ok(Contents { points: u64::try_from(points.len()).unwrap_or(u64::MAX), bytes, newest, foreign })
    }

    /// The policy in the ledger.
    pub async fn policy(&self) -> Result<Option<Policy>, EngineError> {
        let Some(object) = self.ledger_store()?.get(POLICY).await? else { return Ok(None) };
        let file: PolicyFile =
            serde_json::from_slice(&object.bytes).map_err(|error| self.unreadable_policy(&error.to_string()))?;
        if file.version > POLICY_VERSION {
            return Err(EngineError::Newer { file: self.policy_file() });
        }
        Ok(Some(Policy { target: file.target, keep: file.keep }))
    }

    /// Writes the policy into the ledger, or takes it away.
    async fn remember(&self, policy: &Policy) -> Result<(), EngineError> {
        if self.policy().await?.as_ref() == Some(policy) {
            return Ok(());
        }
        let (target, keep) = (policy.target.clone(), policy.keep.clone());
        let bytes = serde_json::to_vec_pretty(&PolicyFile { version: POLICY_VERSION, target, keep })
            .map_err(|error| self.unreadable_policy(&error.to_string()))?;
        self.ledger_store()?.put(POLICY, bytes.into(), Condition::Any).await?;
        Ok(())
    }

    fn unreadable_policy(&self, why: &str) -> EngineError {
        let hint =
            "Remove that file: the next apply of the target writes the policy anew. The backups are not affected";
        EngineError::Note { file: self.policy_file(), reason: why.to_owned(), hint: hint.to_owned() }
    }

    fn policy_file(&self) -> String {
        format!("{POLICY} in {}", self.ledger_store().map(|store| store.describe()).unwrap_or_default())
    }

    fn owners_notes(&self) -> Result<Owners, EngineError> {
        Ok(Owners::new(self.ledger_store()?))
    }

    /// Removes the repository and its ledger; files of others stay. Refused while somebody else holds a lock.
    pub(super) async fn erase(&self) -> Result<(), EngineError> {
        let store = self.store()?;
        self.let_go_of_ended().await?;
        match Site::look(self).await? {
            Found::Ready { .. } => match self.order(Job::Erase).await? {
                Outcome::Erased => {}
                _ => return Err(unexpected()),
            },
            _ => {
                repository::erase(store.as_ref()).await?;
            }
        }
        let ledger = self.ledger_store()?;
        for entry in ledger.list("").await?.iter().filter(|entry| is_of_ledger(&entry.name)) {
            ledger.delete(&entry.name).await?;
        }
        if let Some(left) = store.get("config").await? {
            return Err(EngineError::Damaged {
                place: store.describe(),
                what: vec![format!("`config` ({} bytes) is still there after it was removed", left.bytes.len())],
            });
        }
        if let Some(folder) = self.folder() {
            remove_empty_folders(folder)?;
            let mut beside = folder.as_os_str().to_owned();
            beside.push(".dr");
            remove_empty_folders(beside.as_ref())?;
        }
        Ok(())
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        let blame = match error {
            EngineError::WrongPassword { .. } | EngineError::NoPassword { .. } | EngineError::NoUsableKey { .. } => {
                Blame::Secret
            }
            _ => Blame::Store,
        };
        Failure { message: error.to_string(), hint: error.hint(), blame }
    }
}

#[async_trait]
impl Target for Site {
    fn describe(&self) -> String {
        self.place()
    }

    fn describe_ledger(&self) -> String {
        self.ledger_store().map(|store| store.describe()).unwrap_or_default()
    }

    fn is_read_only(&self) -> bool {
        self.read_only
    }

    async fn look(&self) -> Result<Seen, Failure> {
        match Site::look(self).await {
            Ok(Found::Ready { keys }) => Ok(Seen::Ready { keys }),
            Ok(Found::Absent | Found::InterruptedInit) => Ok(Seen::Absent),
            Ok(Found::SomethingElse { what }) => Ok(Seen::SomethingElse { what }),
            Ok(Found::Incomplete { lacks }) => Err(EngineError::Incomplete { place: self.describe(), lacks }.into()),
            Err(EngineError::Storage { problem: StoreProblem::Missing, .. }) => Ok(Seen::Absent),
            Err(error) => Err(error.into()),
        }
    }

    async fn check(&self) -> Result<String, Failure> {
        Ok(self.try_password().await?)
    }

    async fn make(&self, adopt: bool) -> Result<String, Failure> {
        // `restic --password-file` leaves the end of the line out, so with no file could anybody open what this one makes.
        if self.password.read().await?.expose().ends_with(['\n', '\r']) {
            let why = "the secret ends with a line break, as a file does, and restic leaves that out of what it reads";
            return Err(Failure::new(format!("{why}: use trimspace(file(...))"), Blame::Secret));
        }
        Ok(self.make_or_adopt(adopt).await?)
    }

    async fn contents(&self) -> Result<Contents, Failure> {
        Ok(self.all_contents().await?)
    }

    async fn policy(&self) -> Result<Option<Policy>, Failure> {
        Ok(Site::policy(self).await?)
    }

    async fn set_policy(&self, policy: &Policy) -> Result<(), Failure> {
        Ok(self.remember(policy).await?)
    }

    async fn forget_policy(&self, target: &str) -> Result<(), Failure> {
        if Site::policy(self).await?.is_some_and(|policy| policy.target == target) {
            self.ledger_store().map_err(EngineError::from)?.delete(POLICY).await.map_err(EngineError::from)?;
        }
        Ok(())
    }

    async fn owners(&self, uid: &str) -> Result<Vec<Owner>, Failure> {
        Ok(self.owners_notes()?.of(uid).await?)
    }

    async fn own(&self, id: &str, target: &str, uid: &str) -> Result<(), Failure> {
        Ok(self.owners_notes()?.note(id, target, uid).await?)
    }

    async fn disown(&self, id: &str) -> Result<(), Failure> {
        Ok(self.owners_notes()?.forget(id).await?)
    }

    async fn needed_by(&self) -> Result<Vec<String>, Failure> {
        let (needed, _) = self.pins().await?;
        Ok(needed.iter().map(ToString::to_string).collect())
    }

    async fn remove(&self) -> Result<(), Failure> {
        Ok(self.erase().await?)
    }
}

/// Whether a file of the ledger's place was put there by the ledger.
fn is_of_ledger(name: &str) -> bool {
    name == POLICY
        || is_note(name)
        || owners::is_note(name)
        || name.starts_with("seen/")
        || (name.starts_with("runs/") && name.ends_with(".json"))
}

/// Whether this program wrote a point that names its writer so. An old restic names none.
fn is_ours(program_version: &str) -> bool {
    program_version.split(' ').next() == Some(PROGRAM)
}

fn program(point: &Point) -> String {
    if point.program_version.is_empty() { "one that left no name".to_owned() } else { point.program_version.clone() }
}

/// What is left of a local store are its folders, and the files whose locks made writes to them one step.
fn remove_empty_folders(folder: &std::path::Path) -> Result<(), EngineError> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty_folders(&entry.path())?;
        } else if entry.file_name() == LOCK {
            // Ours, and no object: without it the folder is empty. One that can't be removed keeps its folder.
            let _ = std::fs::remove_file(entry.path());
        }
    }
    match std::fs::remove_dir(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::DirectoryNotEmpty => {
            Err(EngineError::Destination { path: folder.display().to_string(), reason: error.to_string() })
        }
        // Somebody else's files are in it.
        _ => Ok(()),
    }
}

/// Test builds take key files that open in no time.
fn log_n() -> u8 {
    if clock::is_fast() { 1 } else { LOG_N }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::restic::testing::site;
    use crate::engines::restic::worker::Worker;
    use crate::run::FirstUse;
    use crate::secret::Secret;

    #[test]
    fn folders_with_nothing_but_our_locks_go_and_those_with_files_of_others_stay() {
        let scratch = tempfile::tempdir().unwrap();
        let ledger = scratch.path().join("docs.dr");
        std::fs::create_dir_all(ledger.join("runs")).unwrap();
        std::fs::create_dir_all(ledger.join("seen")).unwrap();
        std::fs::write(ledger.join("runs").join(LOCK), "").unwrap();
        std::fs::write(ledger.join("seen/theirs"), "").unwrap();
        remove_empty_folders(&ledger).unwrap();
        assert!(!ledger.join("runs").exists());
        assert!(ledger.join("seen/theirs").exists());
        std::fs::remove_file(ledger.join("seen/theirs")).unwrap();
        remove_empty_folders(&ledger).unwrap();
        assert!(!ledger.exists());
    }

    #[tokio::test]
    async fn m6_what_was_there_before_is_not_made_anew_nor_taken_for_first_use() {
        let scratch = tempfile::tempdir().unwrap();
        let site = Site { worker: Worker::at("/nowhere", ["worker"]), ..site(scratch.path().join("repo")) };
        assert_eq!(site.first_use(0, 0).await.unwrap(), FirstUse::Proven);
        for series in [THERE, SERIES] {
            let ledger = site.ledger().unwrap();
            ledger.mark_seen(series).await.unwrap();
            let error = site.make_ahead().await.unwrap_err();
            assert!(matches!(&error, EngineError::Vanished { marks, .. } if *marks == [format!("seen/{series}")]));
            let FirstUse::NotProven(why) = site.first_use(0, 0).await.unwrap() else { panic!("taken for first use") };
            assert!(why.contains("held a repository before") && why.contains("remove `seen/"), "{why}");
            site.ledger_store().unwrap().delete(&format!("seen/{series}")).await.unwrap();
        }
        assert_eq!(site.first_use(0, 0).await.unwrap(), FirstUse::Proven);
        // Whoever runs beside us makes what we can't.
        assert!(site.make_for_others().await.is_err() && site.make_ahead().await.is_ok());
    }

    #[tokio::test]
    async fn a_password_that_no_file_could_give_makes_no_repository() {
        let scratch = tempfile::tempdir().unwrap();
        let (password, worker) = (Secret::new("from a file\n").into(), Worker::at("/nowhere", ["worker"]));
        let site = Site { password, worker, ..site(scratch.path().join("repo")) };
        let failure = site.make(true).await.unwrap_err();
        assert!(failure.blame == Blame::Secret && failure.message.contains("trimspace"), "{failure:?}");
        assert!(!scratch.path().join("repo").exists());
    }

    #[test]
    fn only_points_that_name_this_program_are_ours() {
        assert!(is_ours(&format!("{PROGRAM} 0.1.0")));
        for other in ["restic 0.18.1", "rustic 0.10.0", "", "terraform-provider-drill 1.0"] {
            assert!(!is_ours(other), "{other:?}");
        }
    }
}
