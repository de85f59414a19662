//! A server's process: its log, its signals, and its end whatever becomes of the process that started it.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

/// A running program and what it started, ended with the value.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    log: PathBuf,
    ended: bool,
}

impl Process {
    /// Runs `command` without input; what it says is added to `log`.
    pub(super) fn start(command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot run {}", command.get_program().display()))?;
        keep(&format!("+ {}", child.id()));
        Ok(Self { child, log: log.to_owned(), ended: false })
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        if status.is_some() && !self.ended {
            let _ = self.signal(Signal::KILL);
            self.forget();
        }
        Ok(status)
    }

    /// SIGKILL, as when the machine goes away.
    pub(super) fn kill(&mut self) {
        if !self.ended {
            let _ = self.signal(Signal::KILL);
            let _ = self.child.wait();
            self.forget();
        }
    }

    /// SIGSTOP: connections stay open and nothing answers, once this returns. Until the thread that the signal is given to
    /// gets a processor, the others go on; the kernel reports a process as stopped when all of them are.
    pub(super) fn pause(&self) -> Result<()> {
        self.signal(Signal::STOP)?;
        let stopped_or_gone = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(Pid::from_child(&self.child)), stopped_or_gone)?;
        Ok(())
    }

    /// SIGCONT.
    pub(super) fn resume(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        Ok(kill_process_group(Pid::from_child(&self.child), signal)?)
    }

    /// What it logged, in all its runs.
    pub(super) fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// The end of what it logged, for an error message.
    pub(super) fn last_words(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }

    /// The number may soon be another process's.
    fn forget(&mut self) {
        if !self.ended {
            self.ended = true;
            keep(&format!("- {}", self.child.id()));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A folder that goes when this process ends, however it ends; for what lives in a static, which is never dropped.
pub(super) fn remove_at_the_end(folder: &Path) {
    keep(&format!("/ {}", folder.display()));
}

/// Ends the processes that it was told of once its input ends, which is when this process ends, be it by SIGKILL.
const KEEPER: &str = r#"trap '' INT TERM HUP
pids=' ' folders=
while read -r what name; do
  case $what in
    +) pids="$pids$name " ;;
    -) pids="${pids%% $name *} ${pids#* $name }" ;;
    /) folders="$folders
$name" ;;
  esac
done
for pid in $pids; do kill -s KILL -- "-$pid"; done
IFS='
'
for folder in $folders; do rm -rf -- "$folder"; done
"#;

fn keep(line: &str) {
    static KEEPING: OnceLock<Mutex<Option<ChildStdin>>> = OnceLock::new();
    let keeper = KEEPING.get_or_init(|| {
        let mut command = Command::new("sh");
        let command = command.args(["-c", KEEPER]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Mutex::new(command.spawn().ok().and_then(|mut child| child.stdin.take()))
    });
    if let Some(input) = keeper.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        let _ = writeln!(input, "{line}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_was_paused_has_stopped_and_goes_on_as_often_as_it_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let process = Process::start(Command::new("sleep").arg("1000"), &folder.path().join("log")).unwrap();
        let state = || {
            let stat = fs::read_to_string(format!("/proc/{}/stat", process.child.id())).unwrap();
            stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
        };
        for _ in 0..20 {
            process.pause().unwrap();
            assert_eq!(state(), 'T');
            process.resume().unwrap();
            assert_ne!(state(), 'T');
        }
    }

    #[test]
    fn the_keeper_ends_what_is_left_and_no_process_that_it_was_told_to_forget() {
        let folder = tempfile::tempdir().unwrap();
        let left = folder.path().join("left behind");
        fs::create_dir(&left).unwrap();
        let sleep = || Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
        let (mut kept, mut forgotten, mut last) = (sleep(), sleep(), sleep());
        let mut keeper = Command::new("sh").args(["-c", KEEPER]).stdin(Stdio::piped()).spawn().unwrap();
        let mut input = keeper.stdin.take().unwrap();
        let (first, second, third) = (kept.id(), forgotten.id(), last.id());
        writeln!(input, "+ {first}\n+ {second}\n- {second}\n+ {third}\n/ {}", left.display()).unwrap();
        assert!(kept.try_wait().unwrap().is_none() && left.exists());
        drop(input);
        assert!(keeper.wait().unwrap().success());
        assert!(!kept.wait().unwrap().success() && !last.wait().unwrap().success());
        assert!(forgotten.try_wait().unwrap().is_none());
        assert!(!left.exists());
        forgotten.kill().unwrap();
        forgotten.wait().unwrap();
    }
}
