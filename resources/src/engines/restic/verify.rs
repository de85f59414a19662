//! Whether a repository is whole: its structure, or every byte of its data.

use super::backend::id_in;
use super::error::EngineError;
use super::points;
use super::repository::Opened;
use rustic_core::CheckOptions;
use rustic_core::repofile::SnapshotFile;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use tokio::runtime::Handle;

/// How a panic of rustic_core begins whose threads still hold the index.
const BUSY: &str = "index still in use";

/// How often it is tried then, and how long is waited before.
const TRIES: u32 = 10;
const BREATH: Duration = Duration::from_millis(500);

/// How much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Depth {
    /// Keys, index, recovery points and their folders; of packs only that they are there with the right size.
    Structure,
    /// That, and the content of every pack that a recovery point needs.
    Data,
}

/// What a whole repository was seen to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// How many recovery points were checked.
    pub points: u64,
    /// What is strange and harms nothing.
    pub warnings: Vec<String>,
}

/// Checks, and that `point` is among what is checked; damage is [`EngineError::Damaged`] with a sentence for each finding.
/// Blocks: not for a runtime's thread.
pub fn verify(
    opened: &Opened,
    depth: Depth,
    point: Option<&str>,
    runtime: &Handle,
) -> Result<VerifyReport, EngineError> {
    let mut found = Vec::new();
    for folder in ["keys/", "index/", "snapshots/"] {
        found.extend(changed_files(opened, folder, runtime)?);
    }
    let readable: Vec<_> =
        points::list(opened, runtime)?.into_iter().filter(|point| point.phase != points::Phase::Unreadable).collect();
    if let Some(id) = point.filter(|id| !readable.iter().any(|found| found.id == **id)) {
        found.push(format!("recovery point {id} is not there: something removed it since it was stored"));
    }
    let mut warnings = Vec::new();
    // A damaged file stops rustic_core with an error, and some damage with a panic.
    match patiently(|| catch_unwind(AssertUnwindSafe(|| check(opened, depth, &readable)))) {
        Ok(Ok(findings)) => {
            for (severe, finding) in findings {
                if severe { &mut found } else { &mut warnings }.push(finding);
            }
        }
        Ok(Err(error @ EngineError::Storage { .. })) => return Err(error),
        Ok(Err(error)) => found.push(format!("the rest can't be checked: {error}")),
        Err(panic) => {
            let text = words_of(panic.as_ref())
                .map(|text| format!(" ({})", sentence(text).chars().take(200).collect::<String>()))
                .unwrap_or_default();
            found.push(format!("the rest can't be checked: its folders or index make no sense{text}"));
        }
    }
    // What a store that was out of reach left out looks like damage, or makes rustic_core panic.
    if let Some(error) = opened.lost.error() {
        return Err(error);
    }
    if found.is_empty() {
        Ok(VerifyReport { points: readable.len() as u64, warnings })
    } else {
        Err(EngineError::Damaged { place: opened.store.describe(), what: found })
    }
}

/// The words of a panic.
fn words_of(panic: &(dyn Any + Send)) -> Option<&str> {
    panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied())
}

/// Tries again where rustic_core gave up on its own threads: it gives them 100 ms to let go of the index (`into_index`), which
/// is little on a machine that is busy, and says nothing about the repository.
fn patiently<T>(mut check: impl FnMut() -> std::thread::Result<T>) -> std::thread::Result<T> {
    let mut left = TRIES;
    loop {
        let checked = check();
        left -= 1;
        let busy = |panic: &Box<dyn Any + Send>| words_of(panic.as_ref()).is_some_and(|words| words.starts_with(BUSY));
        if left == 0 || !checked.as_ref().err().is_some_and(busy) {
            return checked;
        }
        std::thread::sleep(BREATH);
    }
}

/// The files of a folder that are not what their name, the hash of their content, says.
fn changed_files(opened: &Opened, folder: &str, runtime: &Handle) -> Result<Vec<String>, EngineError> {
    let mut changed = Vec::new();
    for entry in runtime.block_on(opened.store.list(folder))? {
        let Some(id) = id_in(&entry.name) else { continue };
        let Some(bytes) = runtime.block_on(opened.store.get_bytes(&entry.name))? else { continue };
        if hex::encode(Sha256::digest(&bytes)) != id.to_hex().as_str() {
            changed.push(format!("{} is damaged", entry.name));
        }
    }
    Ok(changed)
}

/// What rustic_core finds, and whether it is severe.
fn check(opened: &Opened, depth: Depth, readable: &[points::Point]) -> Result<Vec<(bool, String)>, EngineError> {
    let failed = |error: Box<rustic_core::RusticError>| EngineError::repository("checking the repository", &error);
    let ids = readable.iter().filter_map(|point| point.id.parse().ok()).collect();
    let snapshots = opened.repository.stream_files_list::<SnapshotFile>(ids).map_err(failed)?;
    let trees =
        snapshots.map(|file| file.map(|(_, snapshot)| snapshot.tree)).collect::<Result<_, _>>().map_err(failed)?;
    let options = CheckOptions::default().read_data(depth == Depth::Data);
    let results = opened.repository.check_with_trees(options, trees).map_err(failed)?;
    let mut findings = Vec::new();
    for (level, finding) in results.0 {
        // The level's type has no public name.
        let finding = (format!("{level:?}") != "Warn", sentence(&finding.to_string()));
        if !findings.contains(&finding) {
            findings.push(finding);
        }
    }
    Ok(findings)
}

/// A finding without the report form, the advice for another program and the backtrace of the error that it may carry.
fn sentence(text: &str) -> String {
    let (text, carried) = match text.split_once("`rustic_core` experienced") {
        Some((before, report)) => (before, report.split_once("Message:\n").and_then(|(_, rest)| rest.lines().next())),
        None => (text, None),
    };
    let text =
        [" To repair:", " at BlobLocation"].iter().fold(text, |text, end| text.split(end).next().unwrap_or(text));
    let text = text.trim();
    match carried {
        Some(message) => format!("{}: {}", text.trim_end_matches(':').trim(), message.trim()),
        None => text.lines().next().unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests;
