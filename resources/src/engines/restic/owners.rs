//! The states that hold a repository, noted in the ledger beside it: none of them deletes what another one uses.

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::EngineError;
use super::machine;
use crate::clock;
use crate::engines::concepts::Owner;
use crate::store::ObjectStore;

/// The version of a note.
const VERSION: u32 = 1;
/// Where notes lie.
const OWNERS: &str = "owners/";

/// What a state notes of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Note {
    version: u32,
    /// What the target is called there.
    target: String,
    /// The repository: one that is made anew in its place is another.
    repository: String,
    /// The machine that applied it.
    host: String,
    /// The folder that it was applied from.
    folder: String,
    /// When it took the repository.
    since: Timestamp,
}

/// The notes about a repository.
pub struct Owners(Arc<dyn ObjectStore>);

/// Whether a file of the ledger's place is a note of these.
pub fn is_note(name: &str) -> bool {
    id_in(name).is_some()
}

fn id_in(name: &str) -> Option<&str> {
    name.strip_prefix(OWNERS)?.strip_suffix(".json")
}

fn name_of(id: &str) -> String {
    format!("{OWNERS}{id}.json")
}

impl Owners {
    /// In the ledger's store.
    pub fn new(ledger: Arc<dyn ObjectStore>) -> Self {
        Owners(ledger)
    }

    /// Everybody who holds this repository.
    pub async fn of(&self, repository: &str) -> Result<Vec<Owner>, EngineError> {
        let mut owners = Vec::new();
        for entry in self.0.list(OWNERS).await? {
            let Some(id) = id_in(&entry.name) else { continue };
            // It was let go meanwhile.
            let Some(note) = self.read(&entry.name).await? else { continue };
            if note.repository == repository {
                let Note { target, host, folder, since, .. } = note;
                owners.push(Owner { id: id.to_owned(), target, host, folder, since, file: self.file(&entry.name) });
            }
        }
        Ok(owners)
    }

    /// Notes that the state which is known by this id holds a repository.
    pub async fn note(&self, id: &str, target: &str, repository: &str) -> Result<(), EngineError> {
        let (name, folder) = (name_of(id), std::env::current_dir().unwrap_or_default());
        // One that can't be read is written again.
        let before = self.read(&name).await.ok().flatten().filter(|before| before.repository == repository);
        let note = Note {
            version: VERSION,
            target: target.to_owned(),
            repository: repository.to_owned(),
            host: machine::host(),
            folder: folder.display().to_string(),
            since: before.as_ref().map_or_else(clock::now, |before| before.since),
        };
        if before.as_ref() == Some(&note) {
            return Ok(());
        }
        let json = serde_json::to_vec_pretty(&note).map_err(|error| self.unreadable(&name, &error.to_string()))?;
        Ok(self.0.put_bytes(&name, json.into()).await?)
    }

    /// Takes the note of a state away.
    pub async fn forget(&self, id: &str) -> Result<(), EngineError> {
        Ok(self.0.delete(&name_of(id)).await?)
    }

    async fn read(&self, name: &str) -> Result<Option<Note>, EngineError> {
        let Some(bytes) = self.0.get_bytes(name).await? else { return Ok(None) };
        let note: Note = serde_json::from_slice(&bytes).map_err(|error| self.unreadable(name, &error.to_string()))?;
        if note.version > VERSION {
            return Err(EngineError::Newer { file: self.file(name) });
        }
        Ok(Some(note))
    }

    fn unreadable(&self, name: &str, reason: &str) -> EngineError {
        EngineError::Note {
            file: self.file(name),
            reason: reason.to_owned(),
            hint: "If the state that wrote it is gone, remove that file; if not, apply there, which writes it anew"
                .to_owned(),
        }
    }

    fn file(&self, name: &str) -> String {
        format!("{name} in {}", self.0.describe())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::restic::testing::site;

    #[tokio::test]
    async fn who_holds_a_repository_is_known_until_it_lets_go() {
        let folder = tempfile::tempdir().unwrap();
        let owners = Owners::new(site(folder.path().join("repo")).ledger_store().unwrap());
        owners.note("a", "docs", "1").await.unwrap();
        owners.note("b", "archive", "1").await.unwrap();
        let first = owners.of("1").await.unwrap();
        assert_eq!(
            first.iter().map(|owner| (&*owner.id, &*owner.target)).collect::<Vec<_>>(),
            [("a", "docs"), ("b", "archive")]
        );
        assert!(first[0].to_string().contains("\"docs\"") && first[0].to_string().contains("owners/a.json in "));
        // Nobody held the one that was made in its place.
        assert!(owners.of("2").await.unwrap().is_empty());
        owners.note("a", "renamed", "1").await.unwrap();
        assert_eq!(owners.of("1").await.unwrap()[0].since, first[0].since, "it holds it since then");
        owners.forget("a").await.unwrap();
        assert_eq!(owners.of("1").await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_note_that_nobody_can_read_is_an_error_with_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let owners = Owners::new(site(folder.path().join("repo")).ledger_store().unwrap());
        owners.note("a", "docs", "1").await.unwrap();
        std::fs::write(folder.path().join("repo.dr/owners/a.json"), "torn").unwrap();
        let error = owners.of("1").await.unwrap_err();
        assert!(error.to_string().contains("owners/a.json in ") && error.hint().unwrap().contains("remove"), "{error}");
        owners.note("a", "docs", "1").await.unwrap();
        assert_eq!(owners.of("1").await.unwrap().len(), 1);
    }
}
