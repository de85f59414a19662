//! One Pod on the node: its volumes, its environment, its processes and what its status says of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::sandbox;
use super::spec::{Resolver, field};
use crate::parts;
use crate::servers::process::Process;

/// How long a container that failed waits for its next run, which a kubelet makes longer each time.
const PAUSE: Duration = Duration::from_secs(1);

/// A Pod that the node took.
#[derive(Debug)]
pub(super) struct Pod {
    pub(super) namespace: String,
    pub(super) name: String,
    /// When a container that ends is run again: `Always`, `OnFailure`, `Never`.
    policy: String,
    started: String,
    /// Whether the API server has its status.
    pub(super) reported: bool,
    containers: Vec<Container>,
}

/// A container of it.
#[derive(Debug)]
struct Container {
    name: String,
    image: String,
    log: PathBuf,
    command: Option<Command>,
    state: State,
    restarts: u32,
}

#[derive(Debug)]
enum State {
    /// Of an image whose own program is wanted: there are no images here, so it is said to run.
    Imagined,
    Running(Process),
    Waiting(Instant),
    Ended(i32, String),
}

impl Pod {
    /// Prepares and starts everything. `folder` is the Pod's own.
    pub(super) fn start(pod: &Value, folder: &Path, resolver: &Resolver<'_>) -> Result<Self> {
        let containers = pod["spec"]["containers"].as_array().context("a Pod without containers")?;
        let mut started = Self {
            namespace: field(pod, "/metadata/namespace").to_owned(),
            name: field(pod, "/metadata/name").to_owned(),
            policy: field(pod, "/spec/restartPolicy").to_owned(),
            started: now(),
            reported: false,
            containers: Vec::new(),
        };
        for container in containers {
            started.containers.push(Container::start(pod, container, folder, resolver)?);
        }
        Ok(started)
    }

    /// Where a container's output is.
    pub(super) fn log(&self, container: &str) -> Option<PathBuf> {
        self.containers.iter().find(|one| one.name == container).map(|one| one.log.clone())
    }

    /// Whether nothing of it will run again.
    pub(super) fn is_over(&self) -> bool {
        self.containers.iter().all(|container| matches!(container.state, State::Ended(..)))
    }

    /// Looks at its processes.
    pub(super) fn step(&mut self) -> Result<()> {
        for container in &mut self.containers {
            if container.step(&self.policy)? {
                self.reported = false;
            }
        }
        Ok(())
    }

    /// Its status as a kubelet would write it.
    pub(super) fn status(&self) -> Value {
        let failed = self.containers.iter().any(|one| matches!(one.state, State::Ended(code, _) if code != 0));
        let phase = match (self.is_over(), failed) {
            (false, _) => "Running",
            (true, false) => "Succeeded",
            (true, true) => "Failed",
        };
        let ready = if self.containers.iter().all(Container::is_ready) { "True" } else { "False" };
        let condition = |kind: &str, status: &str| json!({ "type": kind, "status": status });
        json!({
            "phase": phase,
            "hostIP": "127.0.0.1",
            "podIP": "127.0.0.1",
            "startTime": self.started,
            "conditions": [
                condition("PodScheduled", "True"),
                condition("Initialized", "True"),
                condition("ContainersReady", ready),
                condition("Ready", ready),
            ],
            "containerStatuses": self.containers.iter().map(|one| one.status(&self.started)).collect::<Vec<_>>(),
        })
    }
}

impl Container {
    fn start(pod: &Value, container: &Value, folder: &Path, resolver: &Resolver<'_>) -> Result<Self> {
        let name = field(container, "/name").to_owned();
        let root = folder.join(&name).join("root");
        fs::create_dir_all(&root)?;
        let program = program(container)?;
        let mounts = resolver.mounts(pod, container, folder)?;
        let mut started = Self {
            log: folder.join(&name).join("log"),
            image: field(container, "/image").to_owned(),
            name,
            command: None,
            state: State::Imagined,
            restarts: 0,
        };
        if !program.is_empty() {
            let mut command = sandbox::command(&root, &mounts, &program);
            command.env_clear().envs(resolver.environment(pod, container)?);
            started.state = State::Running(Process::start(&mut command, &started.log)?);
            started.command = Some(command);
        }
        Ok(started)
    }

    fn step(&mut self, policy: &str) -> Result<bool> {
        match &mut self.state {
            State::Imagined | State::Ended(..) => Ok(false),
            State::Running(process) => {
                let Some(status) = process.ended()? else { return Ok(false) };
                let code = status.code().unwrap_or(137); // what a kubelet says of SIGKILL
                let again = policy == "Always" || (policy == "OnFailure" && code != 0);
                self.state = if again { State::Waiting(Instant::now() + PAUSE) } else { State::Ended(code, now()) };
                Ok(true)
            }
            State::Waiting(until) if Instant::now() < *until => Ok(false),
            State::Waiting(_) => {
                if let Some(command) = &mut self.command {
                    self.state = State::Running(Process::start(command, &self.log)?);
                    self.restarts += 1;
                }
                Ok(true)
            }
        }
    }

    fn is_ready(&self) -> bool {
        matches!(self.state, State::Imagined | State::Running(_))
    }

    fn status(&self, started: &str) -> Value {
        let state = match &self.state {
            State::Imagined | State::Running(_) => json!({ "running": { "startedAt": started } }),
            State::Waiting(_) => json!({ "waiting": { "reason": "CrashLoopBackOff" } }),
            State::Ended(code, ended) => json!({ "terminated": {
                "exitCode": code,
                "reason": if *code == 0 { "Completed" } else { "Error" },
                "startedAt": started,
                "finishedAt": ended,
            } }),
        };
        json!({
            "name": self.name,
            "image": self.image,
            "imageID": "",
            "ready": self.is_ready(),
            "started": self.is_ready(),
            "restartCount": self.restarts,
            "state": state,
        })
    }
}

/// What a container runs; nothing for one that leaves it to its image.
fn program(container: &Value) -> Result<Vec<String>> {
    let words = |name: &str| -> Vec<String> {
        let words = container[name].as_array().into_iter().flatten();
        words.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let mut program = words("command");
    let Some(first) = program.first().cloned() else { return Ok(program) };
    let path = |path: PathBuf| path.to_string_lossy().into_owned();
    match first.as_str() {
        // What is in VolSync's and k8up's images, from their modules.
        "/mover-restic/entry.sh" => {
            let script = parts::VOLSYNC.module.folder()?.join("mover-restic/entry.sh");
            program.splice(..1, ["bash".to_owned(), path(script)]);
        }
        "/usr/local/bin/k8up" => program[0] = path(parts::K8UP.get()?),
        _ => {}
    }
    program.extend(words("args"));
    Ok(program)
}

pub(super) fn now() -> String {
    dr_resources::clock::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
