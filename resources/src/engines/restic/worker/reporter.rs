//! The worker's voice: events as lines on its output.

use super::super::progress::Progress;
use super::messages::Event;
use std::io::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How often a line about the progress is written.
const INTERVAL: Duration = Duration::from_millis(250);

/// Counts what is done and says it now and then.
#[derive(Default)]
pub struct Reporter {
    files: AtomicU64,
    bytes: AtomicU64,
    total_files: AtomicU64,
    total_bytes: AtomicU64,
    finished: AtomicBool,
    writing: Mutex<()>,
}

impl Reporter {
    /// Says it at once. A provider that no longer listens has ended, and the input says so too.
    pub fn say(&self, event: &Event) {
        if let Ok(mut line) = serde_json::to_vec(event) {
            line.push(b'\n');
            let _turn = self.writing.lock();
            let mut output = std::io::stdout().lock();
            let _ = output.write_all(&line).and_then(|()| output.flush());
        }
    }

    /// Says how far it is until [`Reporter::finish`], on a thread of its own.
    pub fn keep_saying(&self) {
        let mut last = None;
        loop {
            // Read first, so that what was counted before the end is said in any case.
            let finished = self.finished.load(Relaxed);
            let now = Event::Progress {
                files: self.files.load(Relaxed),
                bytes: self.bytes.load(Relaxed),
                total_files: self.total_files.load(Relaxed),
                total_bytes: self.total_bytes.load(Relaxed),
            };
            if last.as_ref() != Some(&now) {
                self.say(&now);
                last = Some(now);
            }
            if finished {
                return;
            }
            std::thread::park_timeout(INTERVAL);
        }
    }

    /// Nothing more is counted.
    pub fn finish(&self) {
        self.finished.store(true, Relaxed);
    }
}

impl Progress for Reporter {
    fn totals(&self, files: u64, bytes: u64) {
        self.total_files.store(files, Relaxed);
        self.total_bytes.store(bytes, Relaxed);
    }

    fn files(&self, count: u64) {
        self.files.fetch_add(count, Relaxed);
    }

    fn bytes(&self, count: u64) {
        self.bytes.fetch_add(count, Relaxed);
    }

    fn writing(&self) {
        self.say(&Event::Writing);
    }

    fn warning(&self, message: &str) {
        self.say(&Event::Warning(message.to_owned()));
    }
}
