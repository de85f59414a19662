//! An engine's controller: a process beside the cluster that acts as a member of `system:masters`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Result, bail};

use super::cluster::Cluster;
use crate::servers::process::Process;

/// A controller that runs, is stopped or is stuck.
#[derive(Debug)]
pub struct Controller {
    name: &'static str,
    log: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    command: Command,
    process: Option<Process>,
}

impl Controller {
    /// Runs what `prepare` adds to the program `program`, in a folder of its own within the cluster's.
    pub(super) fn start(
        cluster: &Cluster,
        name: &'static str,
        prepare: impl FnOnce(PathBuf) -> Result<Command>,
    ) -> Result<Self> {
        let folder = cluster.folder().join(name);
        fs::create_dir_all(&folder)?;
        let mut command = prepare(folder.clone())?;
        command
            .current_dir(&folder)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &folder)
            .env("TMPDIR", &folder)
            .env("KUBECONFIG", cluster.kubeconfig_path());
        let controller = Self { name, log: folder.join("log"), state: Mutex::new(State { command, process: None }) };
        controller.restart()?;
        Ok(controller)
    }

    /// SIGKILL, as when its node goes away: objects stay, and nobody acts on them.
    pub fn stop(&self) {
        self.state().process = None;
    }

    /// Starts it again, as its Deployment would.
    pub fn restart(&self) -> Result<()> {
        let mut state = self.state();
        state.process = None;
        state.process = Some(Process::start(&mut state.command, &self.log)?);
        Ok(())
    }

    /// SIGSTOP: it is there and does nothing.
    pub fn pause(&self) -> Result<()> {
        self.state().process.as_ref().map_or(Ok(()), Process::pause)
    }

    /// SIGCONT.
    pub fn resume(&self) -> Result<()> {
        self.state().process.as_ref().map_or(Ok(()), Process::resume)
    }

    /// What it logged, in all its runs.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Fails with its last words if it ended by itself.
    pub fn check(&self) -> Result<()> {
        if let Some(process) = self.state().process.as_mut()
            && let Some(status) = process.ended()?
        {
            bail!("{} ended with {status}:\n{}", self.name, process.last_words());
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
