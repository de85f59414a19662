//! Why the embedded engine could not do its work: plain data, so that it crosses the border to the worker process whole.

use crate::engines::concepts::UNTIL_RESTORED;
use crate::store::StoreError;
use crate::words::counted;
use rustic_core::RusticError;
use serde::{Deserialize, Serialize};
use std::io;

/// What kind of answer a store gave instead of the one that was wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreProblem {
    /// The bucket or folder does not exist.
    Missing,
    /// No connection.
    Unreachable,
    /// The store said no.
    Denied,
    /// What answers is not what it should be.
    BadAnswer,
    /// The file system takes no writes.
    ReadOnly,
    /// The file system said no: disk full, a missing parent.
    Io,
}

/// Who holds a lock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LockHolder {
    /// The lock's id, as `restic list locks` prints it.
    pub id: String,
    /// The user's name.
    pub user: String,
    /// The machine.
    pub host: String,
    /// The process on that machine.
    pub pid: u32,
    /// Whether it shuts everyone else out.
    pub exclusive: bool,
    /// When it was written or last refreshed, in RFC 3339.
    pub since: String,
    /// How old it is, in seconds.
    pub age_seconds: i64,
    /// Whether it names this machine, and no such process is to be seen here.
    #[serde(default)]
    pub not_here: bool,
    /// What the record of its run is known by, if it is a lock of ours.
    #[serde(default)]
    pub run: Option<String>,
}

/// Why the engine could not do it.
#[derive(Debug, Clone, PartialEq, thiserror::Error, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EngineError {
    /// The storage did not answer as it should.
    #[error("{message}")]
    Storage {
        /// What kind of answer.
        problem: StoreProblem,
        /// The store's own sentence, with its place.
        message: String,
    },
    /// There is no repository.
    #[error("{place} holds no repository")]
    NoRepository {
        /// Where.
        place: String,
    },
    /// There is something else where the repository should be.
    #[error("{place} is not a restic repository: {what}")]
    SomethingElse {
        /// Where.
        place: String,
        /// What was found.
        what: String,
    },
    /// A repository that lacks what nothing of it can be opened without.
    #[error("{place} holds a repository that is not whole: {lacks}")]
    Incomplete {
        /// Where.
        place: String,
        /// What it lacks.
        lacks: String,
    },
    /// Another repository than the one that is meant.
    #[error("{place} holds repository {found}, not {expected}")]
    AnotherRepository {
        /// Where.
        place: String,
        /// The id that was expected.
        expected: String,
        /// The id that was found.
        found: String,
    },
    /// A repository is there already, and a new one was asked for.
    #[error("{place} holds a repository already")]
    Exists {
        /// Where.
        place: String,
    },
    /// No key file opens with the password.
    #[error("the password does not open {} of {place}", match keys { 1 => "the only key", _ => "any key" })]
    WrongPassword {
        /// Where.
        place: String,
        /// How many keys were tried.
        keys: usize,
    },
    /// There is no password to try.
    #[error("{reason}")]
    NoPassword {
        /// Where it should be, and why it can't be had.
        reason: String,
    },
    /// There is no key file that could be tried.
    #[error("{place} has no usable key file: {}", problems.join("; "))]
    NoUsableKey {
        /// Where.
        place: String,
        /// What is wrong with each.
        problems: Vec<String>,
    },
    /// A repository format that is newer than what this program knows.
    #[error("{place} has repository version {version}, only 1 and 2 are known")]
    UnknownVersion {
        /// Where.
        place: String,
        /// Its version.
        version: u32,
    },
    /// Someone else works on the repository.
    #[error(
        "{place} is locked {} by {} on {}, process {}, since {} ({})",
        if holder.exclusive { "exclusively" } else { "for reading and writing" },
        holder.user, holder.host, holder.pid, holder.since, duration(holder.age_seconds)
    )]
    Locked {
        /// Where.
        place: String,
        /// Who holds it.
        holder: Box<LockHolder>,
    },
    /// A repository was there, and there is none any more.
    #[error("{place} held a repository before, and holds none any more; nothing is made anew in its place")]
    Vanished {
        /// Where it was.
        place: String,
        /// What says so.
        marks: Vec<String>,
        /// Where they are.
        ledger: String,
    },
    /// Our own lock could not be kept, so the work was stopped before someone takes it for dead, or because someone did.
    #[error("the lock on {place} was lost: {reason}")]
    LockLost {
        /// Where.
        place: String,
        /// What happened.
        reason: String,
    },
    /// Files of the repository are damaged or missing.
    #[error("{place} is damaged: {}", first(what))]
    Damaged {
        /// Where.
        place: String,
        /// What, one sentence each.
        what: Vec<String>,
    },
    /// A file of the ledger can't be read.
    #[error("{file} can't be read: {reason}")]
    Note {
        /// Which one, and where.
        file: String,
        /// What is wrong with it.
        reason: String,
        /// What to do about it.
        hint: String,
    },
    /// A file of the ledger is of a later version than this program knows.
    #[error("a newer version of this provider wrote {file}")]
    Newer {
        /// Which one, and where.
        file: String,
    },
    /// Several machines back this path up and none was named.
    #[error("{place} holds recovery points of {series} from several hosts: {}", hosts.join(", "))]
    SeveralHosts {
        /// Where.
        place: String,
        /// What was looked for.
        series: String,
        /// The hosts.
        hosts: Vec<String>,
    },
    /// A path that is to be backed up is missing or can't be listed.
    #[error("{path} can't be backed up: {reason}")]
    Source {
        /// The path.
        path: String,
        /// What happened.
        reason: String,
    },
    /// A pattern that is none of .gitignore's.
    #[error("the pattern {pattern:?} is not valid: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Entries could not be read, or changed while they were read.
    #[error("{count} of what was to be backed up could not be read: {}", first(names))]
    Unreadable {
        /// How many.
        count: u64,
        /// The first ten, each with its reason.
        names: Vec<String>,
        /// The incomplete point that was stored.
        point: Option<String>,
    },
    /// The destination can't be written: disk full, read-only, a missing parent, a link in its way.
    #[error("{path} can't be written: {reason}")]
    Destination {
        /// The path.
        path: String,
        /// What happened.
        reason: String,
    },
    /// Entries could not be restored; everything else was.
    #[error("{} not restored: {}", counted(*count, "entry was", "entries were"), first(names))]
    NotRestored {
        /// How many.
        count: u64,
        /// The first ten, each with its reason.
        names: Vec<String>,
    },
    /// The point's names or links lead out of the destination; nothing was written.
    #[error("the recovery point would write outside {destination}: {}", first(names))]
    Unsafe {
        /// The destination.
        destination: String,
        /// The first ten names.
        names: Vec<String>,
    },
    /// The point is not there, or can't be read; nothing was written.
    #[error("the recovery point {point} can't be read, it may have been removed since it was listed: {reason}")]
    NoPoint {
        /// The point.
        point: String,
        /// What happened.
        reason: String,
    },
    /// What was asked for is not in the point.
    #[error("the recovery point {point} does not hold {path}")]
    NotInPoint {
        /// The point.
        point: String,
        /// The path.
        path: String,
    },
    /// Restores that have not ended need what is to be removed.
    #[error("{place} is needed by restores that have not ended: {}", first(by))]
    Needed {
        /// Where.
        place: String,
        /// Them, each with the file that notes it.
        by: Vec<String>,
    },
    /// The store can only be read.
    #[error("{place} is read-only here")]
    ReadOnly {
        /// Where.
        place: String,
    },
    /// The job was told to stop.
    #[error("the job was stopped")]
    Cancelled,
    /// The worker process could not be started, or ended without a result.
    #[error("the worker process {reason}")]
    Worker {
        /// What happened to it.
        reason: String,
        /// The end of what it said on its error output.
        log: Vec<String>,
    },
    /// Something in the repository's code that has no better name.
    #[error("{action}: {message}")]
    Repository {
        /// What was being done.
        action: String,
        /// The message of the library, without its backtrace.
        message: String,
    },
}

impl EngineError {
    /// What the user can do about it.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            EngineError::Storage { problem, .. } => match problem {
                StoreProblem::Missing => "Create the bucket or the parent folder, or mount what it lies on".into(),
                StoreProblem::Unreachable => "Check the endpoint, the network and the server's certificate".into(),
                StoreProblem::Denied => "Check the access key and what it may do on this bucket".into(),
                StoreProblem::BadAnswer => {
                    "Check that the endpoint is the S3 API itself, not a web page before it".into()
                }
                StoreProblem::ReadOnly => {
                    "Mount it writable, or set `access = \"read_only\"` in its target to restore from it alone".into()
                }
                StoreProblem::Io => return None,
            },
            EngineError::NoRepository { .. } => {
                "Apply the target first, or check the path, bucket and prefix".to_owned()
            }
            EngineError::SomethingElse { .. } | EngineError::Exists { .. } => {
                "Choose another path or prefix; nothing was written here".to_owned()
            }
            EngineError::AnotherRepository { .. } => {
                "Mount or bring back the one that is meant; nothing was read or written".to_owned()
            }
            EngineError::WrongPassword { .. } => {
                "Give the password that the repository was made with, or one that `restic key add` gave it".to_owned()
            }
            EngineError::NoPassword { .. } => {
                "Apply the target first. Where its cluster is gone for good, give the password by name: `password`"
                    .to_owned()
            }
            EngineError::NoUsableKey { .. } => "Bring a file of `keys/` back from another copy".to_owned(),
            EngineError::Incomplete { .. } => {
                "Bring `config` and the files in `keys/` back from another copy of it, under the same names: without both nothing \
                 of it can be read. If there is none, its backups are lost: move the rest away by hand to start a new one here"
                    .to_owned()
            }
            EngineError::UnknownVersion { .. } | EngineError::Newer { .. } => {
                "Use a newer version of this provider".to_owned()
            }
            EngineError::Note { hint, .. } => hint.clone(),
            EngineError::Locked { holder, .. } if holder.not_here => format!(
                "This machine has that name, and no process {} is to be seen on it: unless it works in a container or on \
                 another machine of that name, it is dead, and `restic unlock` removes its lock",
                holder.pid
            ),
            EngineError::Locked { .. } => {
                "Wait until it is done; when no such process lives any more, `restic unlock` removes the lock"
                    .to_owned()
            }
            EngineError::Vanished { marks, ledger, .. } => {
                let marks = marks.iter().map(|mark| format!("`{mark}`")).collect::<Vec<_>>().join(" and ");
                format!("Bring it back. To start anew, with an empty one, remove {marks} from {ledger} first")
            }
            EngineError::LockLost { .. } => "Apply again; what is stored already is kept".to_owned(),
            EngineError::Damaged { .. } => {
                "`restic check` and `restic repair` of the restic program show what can be saved".to_owned()
            }
            EngineError::SeveralHosts { .. } => "Name one with `host`".to_owned(),
            EngineError::Source { .. } => "Is it mounted? Nothing was written".to_owned(),
            EngineError::Unreadable { .. } => {
                "Exclude these, make them readable, or set `on_unreadable = \"warn\"`".to_owned()
            }
            EngineError::NotRestored { .. } => {
                "Everything else is in place; applying again tries these once more".to_owned()
            }
            EngineError::Needed { .. } => UNTIL_RESTORED.to_owned(),
            EngineError::ReadOnly { .. } => "Set `access = \"read_write\"` on the target".to_owned(),
            EngineError::Cancelled => "Apply again: it goes on where this one stopped".to_owned(),
            EngineError::Worker { log, .. } if !log.is_empty() => log.join("\n"),
            EngineError::Destination { .. }
            | EngineError::Unsafe { .. }
            | EngineError::Pattern { .. }
            | EngineError::NoPoint { .. }
            | EngineError::NotInPoint { .. }
            | EngineError::Worker { .. }
            | EngineError::Repository { .. } => return None,
        })
    }

    /// What rustic_core says, without the backtrace that its `Display` appends; an error of ours that it carries comes
    /// out as it went in.
    pub fn repository(action: &str, error: &RusticError) -> Self {
        let mut messages = vec![guidance(error)];
        let mut cause = std::error::Error::source(error);
        while let Some(error) = cause {
            if let Some(ours) = error.downcast_ref::<EngineError>() {
                return ours.clone();
            }
            let message = match error.downcast_ref::<RusticError>().or_else(|| boxed(error)) {
                Some(error) => guidance(error),
                None => error.to_string(),
            };
            if !messages.contains(&message) {
                messages.push(message);
            }
            cause = error.source();
        }
        EngineError::Repository { action: action.to_owned(), message: messages.join(": ") }
    }
}

/// An error that was boxed once more on its way.
fn boxed<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a RusticError> {
    error.downcast_ref::<Box<RusticError>>().map(AsRef::as_ref)
}

/// The sentence of one error of rustic_core: its log line without frame, kind and causes.
fn guidance(error: &RusticError) -> String {
    let line = error.display_log();
    let line = line.strip_prefix("Error: ").unwrap_or(&line);
    let end = line.find(" (kind: related to").unwrap_or(line.len());
    line[..end].split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The first ten of a list, and how many more there are.
fn first(names: &[String]) -> String {
    let mut text = names.iter().take(10).map(String::as_str).collect::<Vec<_>>().join("; ");
    if names.len() > 10 {
        text.push_str(&format!("; and {} more", names.len() - 10));
    }
    text
}

/// An age in the largest unit that says enough.
fn duration(seconds: i64) -> String {
    match seconds {
        ..0 => "by a clock that is ahead of this one".to_owned(),
        0..120 => format!("{} ago", counted(seconds, "second", "seconds")),
        120..7200 => format!("{} minutes ago", seconds / 60),
        7200..172_800 => format!("{} hours ago", seconds / 3600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

impl From<StoreError> for EngineError {
    fn from(error: StoreError) -> Self {
        let problem = match &error {
            StoreError::Missing { .. } => StoreProblem::Missing,
            StoreError::Unreachable { .. } => StoreProblem::Unreachable,
            StoreError::Denied { .. } => StoreProblem::Denied,
            // No repository lies in a cluster; only records do.
            StoreError::BadAnswer { .. } | StoreError::Cluster(_) => StoreProblem::BadAnswer,
            StoreError::Io { source, .. } if source.kind() == io::ErrorKind::ReadOnlyFilesystem => {
                StoreProblem::ReadOnly
            }
            StoreError::Io { .. } => StoreProblem::Io,
        };
        EngineError::Storage { problem, message: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_system_that_takes_no_writes_can_be_restored_from() {
        let hint = |kind: io::ErrorKind| {
            let source = kind.into();
            EngineError::from(StoreError::Io { place: "/backup/docs/locks".into(), source }).hint()
        };
        assert!(hint(io::ErrorKind::ReadOnlyFilesystem).unwrap().contains("`access = \"read_only\"`"));
        assert_eq!(hint(io::ErrorKind::StorageFull), None);
    }
    use rustic_core::ErrorKind;

    #[test]
    fn an_error_of_ours_survives_the_way_through_rustic() {
        let ours = EngineError::WrongPassword { place: "/backup".into(), keys: 2 };
        let wrapped = RusticError::with_source(ErrorKind::Backend, "inner", ours.clone());
        let outer = RusticError::with_source(ErrorKind::Internal, "outer", wrapped);
        assert_eq!(EngineError::repository("reading", &outer), ours);
    }

    #[test]
    fn a_message_of_rustic_has_no_backtrace_and_no_frame() {
        let inner = RusticError::new(ErrorKind::Cryptography, "Data decryption failed, MAC check failed.");
        let outer =
            RusticError::with_source(ErrorKind::Internal, "Reading `{id}` failed", inner).attach_context("id", "abc");
        assert_eq!(
            EngineError::repository("reading the index", &outer).to_string(),
            "reading the index: Reading `abc` failed: Data decryption failed, MAC check failed."
        );
    }

    #[test]
    fn errors_cross_the_border_to_the_worker_unchanged() {
        let error = EngineError::Locked {
            place: "/backup".into(),
            holder: Box::new(LockHolder {
                id: "ab".into(),
                user: "ada".into(),
                host: "nas".into(),
                pid: 7,
                exclusive: true,
                since: "2025-01-01T00:00:00Z".into(),
                age_seconds: 300,
                not_here: false,
                run: None,
            }),
        };
        let text = serde_json::to_string(&error).unwrap();
        assert_eq!(serde_json::from_str::<EngineError>(&text).unwrap(), error);
        assert_eq!(
            error.to_string(),
            "/backup is locked exclusively by ada on nas, process 7, since 2025-01-01T00:00:00Z (5 minutes ago)"
        );
        assert!(error.hint().unwrap().contains("restic unlock"));
    }
}
