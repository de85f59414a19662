//! Steps at which a process can be made to kill itself.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::ledger::JobKind;

static STEPS: AtomicU64 = AtomicU64::new(0);

/// A durable step of a run of this kind, in any engine: kills the process when `DR_TEST_DIE` names it by its number, as in
/// `restore_job:5`.
pub fn durable_step(kind: JobKind) {
    static WRITTEN: AtomicU64 = AtomicU64::new(0);
    let Ok(at) = std::env::var("DR_TEST_DIE") else { return };
    let Some((named, number)) = at.split_once(':') else { return };
    let kind = serde_json::to_value(kind).unwrap_or_default();
    if kind.as_str() == Some(named) && number == (WRITTEN.fetch_add(1, Ordering::SeqCst) + 1).to_string() {
        die();
    }
}

fn die() -> ! {
    // A process may always signal itself; if it can't, the test that waits for its death fails.
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    loop {
        std::thread::park();
    }
}

/// A point between two effects. Kills the process with SIGKILL when `DR_TOY_DIE` names it.
pub fn step(name: &str) {
    let number = STEPS.fetch_add(1, Ordering::SeqCst) + 1;
    let Ok(at) = std::env::var("DR_TOY_DIE") else { return };
    if at == name || at == number.to_string() {
        die();
    }
}
