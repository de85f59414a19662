//! What retention has to know of a repository beside its points: which of them restores still need, and whether space is still
//! to be freed. Noted in the ledger beside the repository, because the record of a restore lies beside its target.

use super::error::EngineError;
use crate::ledger::{PinnedPoint, Record, needs};
use crate::store::{Condition, ObjectStore};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// The version of a note.
const VERSION: u32 = 1;
/// Where pins lie.
const PINS: &str = "pins/";
/// Is there from before points are removed until their space is free.
const PRUNE_OWED: &str = "prune-owed";

/// Points that a restore needs until it has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    version: u32,
    /// The run.
    pub run: String,
    /// What it restores to, and on which machine.
    pub target: String,
    /// The machine.
    pub host: String,
    /// What it restores, and what it would roll back to.
    pub points: Vec<PinnedPoint>,
}

impl Pin {
    /// The pin of a run on this machine.
    pub fn new(run: &str, target: &str, points: Vec<PinnedPoint>) -> Self {
        let host = super::machine::host();
        Pin { version: VERSION, run: run.to_owned(), target: target.to_owned(), host, points }
    }

    /// The same for what its run needs now.
    pub fn of_run(&self, run: &Record) -> Self {
        Pin { points: needs(run).cloned().collect(), ..self.clone() }
    }

    /// The same on another machine.
    #[cfg(test)]
    pub fn elsewhere(&self, host: &str) -> Self {
        Pin { host: host.to_owned(), ..self.clone() }
    }
}

/// A pin as it was found.
#[derive(Debug, Clone)]
pub struct Kept {
    /// What its run is known by.
    pub mark: String,
    /// Where it is noted, for people.
    pub file: String,
    /// The pin.
    pub pin: Pin,
}

impl fmt::Display for Kept {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, Pin { run, target, host, .. }) = (&self.file, &self.pin);
        write!(formatter, "the restore to {target} on {host} (run {run}, noted in {file})")
    }
}

/// The notes about a repository.
#[derive(Clone)]
pub struct Notes(Arc<dyn ObjectStore>);

/// Whether a file of the ledger's place is a note.
pub fn is_note(name: &str) -> bool {
    name == PRUNE_OWED || (name.starts_with(PINS) && name.ends_with(".json"))
}

impl Notes {
    /// In the ledger's store.
    pub fn new(ledger: Arc<dyn ObjectStore>) -> Self {
        Notes(ledger)
    }

    /// Pins points under a mark, instead of those that were pinned under it before.
    pub async fn pin(&self, mark: &str, pin: &Pin) -> Result<(), EngineError> {
        self.write(mark, pin, Condition::Any).await
    }

    /// Pins points under a mark, unless its run has pinned some itself meanwhile.
    pub async fn pin_if_gone(&self, mark: &str, pin: &Pin) -> Result<(), EngineError> {
        self.write(mark, pin, Condition::Absent).await
    }

    async fn write(&self, mark: &str, pin: &Pin, condition: Condition) -> Result<(), EngineError> {
        let json = serde_json::to_vec_pretty(pin).map_err(|error| self.unreadable(mark, &error.to_string()))?;
        self.0.put(&format!("{PINS}{mark}.json"), json.into(), condition).await?;
        Ok(())
    }

    /// Takes away what is pinned under any of these marks.
    pub async fn unpin(&self, marks: &[&str]) -> Result<(), EngineError> {
        for entry in self.0.list(PINS).await? {
            if mark_in(&entry.name).is_some_and(|mark| marks.contains(&mark)) {
                let removed = self.0.delete(&entry.name).await;
                removed.map_err(|error| EngineError::Repository {
                    action: format!("removing {}", self.file(&entry.name)),
                    message: error.to_string(),
                })?;
            }
        }
        Ok(())
    }

    /// Every pin. One that can't be read is an error: nobody knows what it holds.
    pub async fn pins(&self) -> Result<Vec<Kept>, EngineError> {
        let mut pins = Vec::new();
        for entry in self.0.list(PINS).await? {
            let Some(mark) = mark_in(&entry.name) else { continue };
            // Its run ended meanwhile.
            let Some(bytes) = self.0.get_bytes(&entry.name).await? else { continue };
            let pin: Pin =
                serde_json::from_slice(&bytes).map_err(|error| self.unreadable(&entry.name, &error.to_string()))?;
            if pin.version > VERSION {
                return Err(self.unreadable(&entry.name, "a newer provider wrote it: use that one"));
            }
            pins.push(Kept { mark: mark.to_owned(), file: self.file(&entry.name), pin });
        }
        Ok(pins)
    }

    /// Notes that points are about to be removed, whose space is to be freed afterwards.
    pub async fn owe_prune(&self) -> Result<(), EngineError> {
        // Never empty: some servers list an empty object as a folder.
        Ok(self.0.put_bytes(PRUNE_OWED, "1\n".into()).await?)
    }

    /// Whether somebody who removed points did not get to free their space.
    pub async fn is_prune_owed(&self) -> Result<bool, EngineError> {
        Ok(self.0.get_bytes(PRUNE_OWED).await?.is_some())
    }

    /// Notes that the space is free.
    pub async fn pruned(&self) -> Result<(), EngineError> {
        Ok(self.0.delete(PRUNE_OWED).await?)
    }

    fn unreadable(&self, name: &str, reason: &str) -> EngineError {
        let action = format!("reading what restores need, {}", self.file(name));
        EngineError::Repository { action, message: reason.to_owned() }
    }

    fn file(&self, name: &str) -> String {
        format!("{name} in {}", self.0.describe())
    }
}

fn mark_in(name: &str) -> Option<&str> {
    name.strip_prefix(PINS)?.strip_suffix(".json")
}
