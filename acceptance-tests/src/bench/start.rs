//! From the start of a provider's process to its handshake line, and its memory when idle.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::sample::status;
use super::{Cost, Options, Peer, Row, median_cost};

/// How often each is started; the median counts.
const RUNS: usize = 11;

pub(super) fn measure(options: &Options, peers: &[Peer]) -> Result<Vec<Row>> {
    let ours = Peer { name: "dr".into(), binary: options.provider.clone() };
    let mut rows = Vec::new();
    for peer in std::iter::once(&ours).chain(peers) {
        let mut costs = Vec::new();
        for _ in 0..RUNS {
            costs.push(once(&peer.binary).with_context(|| peer.name.clone())?);
        }
        rows.push(Row {
            what: "start to handshake; memory when idle".into(),
            by: peer.name.clone(),
            aim: if peer == &ours { "3 ms, 10 MiB".into() } else { String::new() },
            cost: median_cost(costs),
        });
    }
    Ok(rows)
}

/// Starts a provider the way a CLI does, without TLS as with TLS both ends would be measured.
fn once(binary: &Path) -> Result<Cost> {
    let began = Instant::now();
    let mut child = Command::new(binary)
        // The cookie by which Terraform's providers know that a CLI started them.
        .env("TF_PLUGIN_MAGIC_COOKIE", "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2")
        .env("PLUGIN_PROTOCOL_VERSIONS", "5,6")
        .env("PLUGIN_MIN_PORT", "10000")
        .env("PLUGIN_MAX_PORT", "25000")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot run {}", binary.display()))?;
    let mut line = String::new();
    let stdout = child.stdout.take().context("it has a standard output")?;
    BufReader::new(stdout).read_line(&mut line)?;
    let seconds = began.elapsed().as_secs_f64();
    std::thread::sleep(Duration::from_millis(100));
    let memory = status(child.id(), "VmRSS:").unwrap_or_default();
    child.kill()?;
    child.wait()?;
    ensure!(line.split('|').count() >= 5, "{} said {line:?} instead of a handshake", binary.display());
    Ok(Cost { seconds, memory, ..Cost::default() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::TIME;

    #[test]
    fn a_provider_is_measured_and_what_is_none_is_an_error() {
        let cost = once(&TIME.get().unwrap()).unwrap();
        assert!(cost.seconds > 0.0 && cost.seconds < 10.0 && cost.memory > 1 << 20, "{cost:?}");
        assert!(once(Path::new("/bin/true")).is_err());
    }
}
