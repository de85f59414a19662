//! The two programs that are compared: a worker of ours with an order on its input, and restic.

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use dr_resources::engines::restic::worker::ALLOCATOR;
use serde_json::{Value, json};

use super::Cost;
use super::sample::of_program;

/// The password of every repository here.
pub(super) const PASSWORD: &str = "a password for a benchmark";

/// The real restic on a repository.
pub(super) struct Theirs {
    pub restic: PathBuf,
    pub repository: PathBuf,
}

impl Theirs {
    pub fn run(&self, arguments: &[&str]) -> Result<Cost> {
        let child = Command::new(&self.restic)
            .args(["--quiet", "--no-cache", "-r"])
            .arg(&self.repository)
            .args(arguments)
            .env("RESTIC_PASSWORD", PASSWORD)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot run {}", self.restic.display()))?;
        of_program(child)
    }
}

/// A worker on a repository.
pub(super) struct Ours {
    provider: PathBuf,
    pub repository: PathBuf,
}

impl Ours {
    pub fn new(provider: &Path, repository: &Path) -> Self {
        Self { provider: provider.to_owned(), repository: repository.to_owned() }
    }

    /// Makes the repository with a key file as every user gets it.
    pub fn init(&self) -> Result<()> {
        self.run(&json!({ "init": { "log_n": 15, "adopt": false } })).map(drop)
    }

    /// Has a worker do a job; gives what it cost and its outcome.
    pub fn run(&self, job: &Value) -> Result<(Cost, Value)> {
        let order = json!({
            "location": { "local": { "path": self.repository } },
            "password": PASSWORD,
            "lock": { "wait_seconds": 0, "dead": [], "none": false },
            "job": job,
        });
        let mut said = tempfile::tempfile()?;
        let mut child = Command::new(&self.provider)
            .arg("worker")
            .envs(ALLOCATOR)
            .stdin(Stdio::piped())
            .stdout(File::try_clone(&said)?)
            .spawn()
            .with_context(|| format!("cannot run {}", self.provider.display()))?;
        // The input stays open: a worker ends when nobody listens any more.
        let input = child.stdin.as_mut().context("it has a standard input")?;
        writeln!(input, "{order}")?;
        let cost = of_program(child);
        let mut text = String::new();
        said.rewind()?;
        said.read_to_string(&mut text)?;
        let mut events = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        match (cost, events.next_back()) {
            (Ok(cost), Some(mut event)) if event["event"] == "done" => Ok((cost, event["with"].take())),
            (cost, event) => bail!("a worker ended with {cost:?} and {event:?}"),
        }
    }
}
