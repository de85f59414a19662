//! Progress of a run, read from the ledger's record while the CLI waits: the provider itself can only log.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use super::storage::Storage;
use super::{bytes, thousands};
use crate::cli::{Run, Running};

/// How often the records are read.
const LOOK: Duration = Duration::from_millis(200);
/// How often a plain line is printed where there is no terminal.
const SAY: Duration = Duration::from_secs(2);

/// How far a run is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Position {
    kind: String,
    phase: String,
    files: u64,
    bytes: u64,
    total_files: Option<u64>,
    total_bytes: Option<u64>,
}

impl Position {
    /// Reads a record leniently: a field that is not there is a figure that is not shown.
    pub(super) fn of(record: &Value) -> Option<Self> {
        let phase = record["phase"].as_str()?.to_owned();
        if phase == "done" {
            return None;
        }
        let counts = &record["counts"];
        Some(Self {
            kind: record["kind"].as_str().unwrap_or("run").to_owned(),
            phase,
            files: counts["files"].as_u64().unwrap_or(0),
            bytes: counts["bytes"].as_u64().unwrap_or(0),
            total_files: counts["total_files"].as_u64(),
            total_bytes: counts["total_bytes"].as_u64(),
        })
    }

    fn line(&self, seconds: f64) -> String {
        let of = |done: String, total: Option<String>| match total {
            Some(total) => format!("{done} of {total}"),
            None => done,
        };
        let files = of(thousands(self.files), self.total_files.map(thousands));
        let amount = of(bytes(self.bytes), self.total_bytes.map(bytes));
        let rate = self.bytes as f64 / seconds.max(0.001);
        let mut line = format!("{}: {}, {files} files, {amount}, {}/s", self.kind, self.phase, bytes(rate as u64));
        if let Some(left) = self.total_bytes.filter(|_| rate >= 1.0).map(|total| total.saturating_sub(self.bytes)) {
            line.push_str(&format!(", {:.0} s left", left as f64 / rate));
        }
        line
    }
}

/// Follows a command to its end, showing the runs that the storage's ledger tells of.
pub(super) fn follow(mut command: Running, storage: &Storage) -> Result<Run> {
    let terminal = std::io::stderr().is_terminal();
    let bar = if terminal { ProgressBar::new(0) } else { ProgressBar::hidden() };
    bar.set_style(ProgressStyle::with_template("   [{bar:30}] {msg}")?.progress_chars("=> "));
    let (began, mut said) = (Instant::now(), Instant::now());
    let mut first: Option<Instant> = None;
    let mut unsaid = None;
    while !command.ended()? {
        std::thread::sleep(LOOK);
        let Some(position) = storage.position() else { continue };
        let since = *first.get_or_insert_with(Instant::now);
        let line = position.line(since.elapsed().as_secs_f64());
        if terminal {
            bar.set_length(position.total_bytes.unwrap_or(position.bytes).max(1));
            bar.set_position(position.bytes);
            bar.set_message(line);
            continue;
        }
        let line = format!("   {:>4.0} s  {line}", began.elapsed().as_secs_f64());
        if said.elapsed() >= SAY {
            println!("{line}");
            (said, unsaid) = (Instant::now(), None);
        } else if position.bytes > 0 {
            unsaid = Some(line);
        }
    }
    if let Some(line) = unsaid {
        println!("{line}");
    }
    bar.finish_and_clear();
    command.wait()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_becomes_a_line_with_what_it_knows() {
        let record = json!({"kind": "restore", "phase": "writing", "new_field": 1,
            "counts": {"files": 1200, "bytes": 50_000_000, "total_files": 3000, "total_bytes": 200_000_000}});
        let line = Position::of(&record).unwrap().line(2.0);
        assert_eq!(line, "restore: writing, 1,200 of 3,000 files, 50 MB of 200 MB, 25 MB/s, 6 s left");
        let line = Position::of(&json!({"phase": "recorded"})).unwrap().line(1.0);
        assert_eq!(line, "run: recorded, 0 files, 0 B, 0 B/s");
        assert_eq!(Position::of(&json!({"phase": "done"})), None);
    }
}
