//! A CLI at work: its output, and what can happen to it on the way.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

/// A command that ended.
#[derive(Debug, Clone)]
pub struct Run {
    /// What was typed.
    pub command: String,
    /// How it ended.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
    /// How long it took.
    pub took: Duration,
}

impl Run {
    /// Everything it said, with the boxes around diagnostics and their line breaks taken away.
    pub fn said(&self) -> String {
        let all = format!("{}\n{}", self.stdout, self.stderr);
        let bare = all.replace(['│', '╷', '╵'], " ");
        bare.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// It worked.
    pub fn ok(self) -> Result<Self> {
        ensure!(
            self.status.success(),
            "`{}` failed ({}):\n{}\n{}",
            self.command,
            self.status,
            self.stdout,
            self.stderr
        );
        Ok(self)
    }

    /// It failed, and every one of `parts` is in what it said.
    pub fn fails(self, parts: &[&str]) -> Result<Self> {
        ensure!(!self.status.success(), "`{}` should have failed:\n{}", self.command, self.stdout);
        self.says(parts)
    }

    /// Every one of `parts` is in what it said.
    pub fn says(self, parts: &[&str]) -> Result<Self> {
        let said = self.said();
        for part in parts {
            ensure!(said.contains(part), "`{}` did not say {part:?}:\n{}\n{}", self.command, self.stdout, self.stderr);
        }
        Ok(self)
    }

    /// None of `parts` is in what it said.
    pub fn never_says(self, parts: &[&str]) -> Result<Self> {
        let said = self.said();
        for part in parts {
            ensure!(!said.contains(part), "`{}` said {part:?}:\n{}\n{}", self.command, self.stdout, self.stderr);
        }
        Ok(self)
    }
}

/// A command at work. Its output goes to files: nothing blocks it, and nothing is lost when it is killed.
#[derive(Debug)]
pub struct Running {
    pub(super) command: String,
    pub(super) child: Child,
    pub(super) stdout: PathBuf,
    pub(super) stderr: PathBuf,
    pub(super) began: Instant,
}

impl Running {
    /// Waits until it ends.
    pub fn wait(self) -> Result<Run> {
        self.wait_for(Duration::from_secs(600))
    }

    /// Waits until it ends, which has to be within `limit`.
    pub fn wait_for(mut self, limit: Duration) -> Result<Run> {
        let waited = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(Run {
                    command: self.command.clone(),
                    status,
                    stdout: read(&self.stdout)?,
                    stderr: read(&self.stderr)?,
                    took: self.began.elapsed(),
                });
            }
            if waited.elapsed() > limit {
                for process in self.providers() {
                    let _ = kill_process(process, Signal::KILL);
                }
                let _ = self.child.kill();
                let said = format!("{}\n{}", read(&self.stdout)?, read(&self.stderr)?);
                bail!("`{}` did not end within {limit:?}:\n{said}", self.command);
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether it has ended already.
    pub fn ended(&mut self) -> Result<bool> {
        Ok(self.child.try_wait()?.is_some())
    }

    /// The CLI's process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed so far.
    pub fn so_far(&self) -> Result<String> {
        read(&self.stdout)
    }

    /// Ctrl-C at the terminal: the whole foreground group gets it.
    pub fn interrupt(&self) -> Result<()> {
        let cli = pid(self.child.id())?;
        for process in std::iter::once(cli).chain(self.providers()) {
            let _ = kill_process(process, Signal::INT);
        }
        Ok(())
    }

    /// SIGKILL to the provider and its workers, as the kernel does when memory is out; the CLI lives on.
    pub fn kill_provider(&self) -> Result<usize> {
        let providers = self.providers();
        for process in &providers {
            kill_process(*process, Signal::KILL).context("cannot kill the provider")?;
        }
        Ok(providers.len())
    }

    /// SIGKILL to everything at once, as when the machine loses power.
    pub fn kill_all(&mut self) -> Result<()> {
        let providers = self.providers();
        self.child.kill()?;
        for process in providers {
            let _ = kill_process(process, Signal::KILL);
        }
        Ok(())
    }

    /// The provider's processes: those below the CLI that run its binary.
    pub fn providers(&self) -> Vec<Pid> {
        let processes = processes();
        let below = |mut process: u32| {
            while let Some(found) = processes.iter().find(|found| found.id == process) {
                if found.parent == self.child.id() {
                    return true;
                }
                process = found.parent;
            }
            false
        };
        let ours = processes.iter().filter(|process| process.name.starts_with("terraform-provi") && below(process.id));
        ours.filter_map(|process| pid(process.id).ok()).collect()
    }
}

struct Process {
    id: u32,
    parent: u32,
    name: String,
}

/// Reads `/proc/<pid>/stat`: `id (name) state parent …`, the name cut at 15 bytes.
fn processes() -> Vec<Process> {
    let Ok(folder) = fs::read_dir("/proc") else { return Vec::new() };
    let read = |entry: fs::DirEntry| {
        let id = entry.file_name().to_str()?.parse().ok()?;
        let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
        let (before, after) = stat.rsplit_once(')')?;
        let (_, name) = before.split_once('(')?;
        let parent = after.split_whitespace().nth(1)?.parse().ok()?;
        Some(Process { id, parent, name: name.to_owned() })
    };
    folder.filter_map(Result::ok).filter_map(read).collect()
}

fn pid(id: u32) -> Result<Pid> {
    Pid::from_raw(id.cast_signed()).context("no such process")
}

fn read(file: &PathBuf) -> Result<String> {
    Ok(String::from_utf8_lossy(&fs::read(file)?).into_owned())
}
