//! How long something took and how much memory it had, over all its processes.

use std::collections::BTreeMap;
use std::fs;
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use crate::cli::Running;

/// A cost.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cost {
    /// Wall time; zero where only memory was measured.
    pub seconds: f64,
    /// Processor time of all threads; zero where it was not measured.
    pub cpu: f64,
    /// Bytes; zero where only time was measured.
    pub memory: u64,
    /// What a server was asked, where that was counted.
    pub requests: Option<usize>,
}

impl Cost {
    pub(super) fn time_text(self) -> String {
        duration_text(self.seconds)
    }

    pub(super) fn cpu_text(self) -> String {
        duration_text(self.cpu)
    }

    /// What this is of another cost.
    pub(super) fn share_of(self, other: &Self) -> String {
        let mut shares = Vec::new();
        if self.seconds > 0.0 && other.seconds > 0.0 {
            shares.push(format!("{:.2} × time", self.seconds / other.seconds));
        }
        if self.memory > 0 && other.memory > 0 {
            shares.push(format!("{:.2} × memory", self.memory as f64 / other.memory as f64));
        }
        shares.join(", ")
    }

    pub(super) fn memory_text(self) -> String {
        if self.memory == 0 { String::new() } else { format!("{:.1} MiB", self.memory as f64 / f64::from(1 << 20)) }
    }
}

fn duration_text(seconds: f64) -> String {
    match seconds {
        0.0 => String::new(),
        seconds if seconds < 0.1 => format!("{:.1} ms", seconds * 1e3),
        seconds => format!("{seconds:.2} s"),
    }
}

/// How often `/proc` is read: the kernel keeps each process' own peak, so only short-lived ones can be missed.
const LOOK: Duration = Duration::from_millis(10);

/// The most memory that a set of processes had at a time: the sum of the peaks of those that run together.
#[derive(Debug, Default)]
struct Peak(u64);

impl Peak {
    fn look(&mut self, processes: impl IntoIterator<Item = u32>) {
        let together = processes.into_iter().filter_map(|process| status(process, "VmHWM:")).sum();
        self.0 = self.0.max(together);
    }
}

/// A field of `/proc/<pid>/status`, in bytes.
pub(super) fn status(process: u32, field: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_whitespace().next()?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// The processor time that a process has had, in seconds.
fn processor_time(process: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<u32>);
    let ticks = ticks.next()?.ok()? + ticks.next()?.ok()?;
    Some(f64::from(ticks) / rustix::param::clock_ticks_per_second() as f64)
}

/// Waits for a CLI, which has to succeed. The processor time is that of all, the memory that of the provider and its workers
/// alone.
pub(super) fn of_provider(mut running: Running) -> Result<Cost> {
    let (mut peak, mut times) = (Peak::default(), BTreeMap::new());
    loop {
        let ended = running.ended()?;
        let providers = running.providers().into_iter().map(|process| process.as_raw_nonzero().get().cast_unsigned());
        let providers: Vec<u32> = providers.collect();
        for process in providers.iter().copied().chain([running.process()]) {
            times.extend(processor_time(process).map(|time| (process, time)));
        }
        peak.look(providers);
        if ended {
            break;
        }
        std::thread::sleep(LOOK);
    }
    let seconds = running.wait()?.ok()?.took.as_secs_f64();
    Ok(Cost { seconds, cpu: times.values().sum(), memory: peak.0, requests: None })
}

/// Waits for a program, which has to succeed.
pub(super) fn of_program(mut child: Child) -> Result<Cost> {
    let began = Instant::now();
    let (mut peak, mut cpu) = (Peak::default(), 0.0);
    loop {
        peak.look([child.id()]);
        // Of a process that has ended and was not waited for, the time is still known.
        cpu = processor_time(child.id()).unwrap_or(cpu);
        if let Some(status) = child.try_wait()? {
            ensure!(status.success(), "the program that was measured failed: {status}");
            return Ok(Cost { seconds: began.elapsed().as_secs_f64(), cpu, memory: peak.0, requests: None });
        }
        std::thread::sleep(LOOK);
    }
}
