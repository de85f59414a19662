//! `make bench`: our figures beside those of the peers on this machine, in one run.

mod bulk;
mod many;
mod points;
mod programs;
mod sample;
mod schedules;
mod schema;
mod start;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

pub use sample::Cost;

use crate::cli::Cli;
use crate::parts::TIME;

/// What is measured.
#[derive(Debug)]
pub struct Options {
    /// Our binary.
    pub provider: PathBuf,
    /// The CLI that plans and applies.
    pub cli: Cli,
    /// Everything is written below it.
    pub root: PathBuf,
    /// Little of everything: shows that the benchmark works, not how quick anything is.
    pub small: bool,
    /// How often much data is backed up and restored; the median counts.
    pub runs: usize,
    /// The parts that are measured (`start`, `schema`, `many`, `schedules`, `points`, `bulk`); all when there are none.
    pub only: Vec<String>,
}

/// A program to compare with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its name in the table.
    pub name: String,
    /// Its binary.
    pub binary: PathBuf,
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was done.
    pub what: String,
    /// By whom.
    pub by: String,
    /// What is aimed at, in our own rows.
    pub aim: String,
    /// What it cost.
    pub cost: Cost,
}

/// Runs everything and returns the table, in Markdown.
pub fn run(options: &Options) -> Result<String> {
    let peers = peers(&std::env::var("DR_BENCH_PEERS").unwrap_or_default())?;
    let (restic, providers): (Vec<_>, Vec<_>) = peers.into_iter().partition(|peer| peer.name == "restic");
    let (restic, providers) = (restic.first(), &providers);
    type Measure<'a> = Box<dyn Fn() -> Result<Vec<Row>> + 'a>;
    let parts: [(&str, Measure<'_>); 6] = [
        ("start", Box::new(|| start::measure(options, providers))),
        ("schema", Box::new(|| schema::measure(options, providers))),
        ("many", Box::new(|| many::measure(options))),
        ("schedules", Box::new(|| schedules::measure(options, providers))),
        ("points", Box::new(|| points::measure(options, restic))),
        ("bulk", Box::new(|| bulk::measure(options, restic))),
    ];
    let mut rows = Vec::new();
    for (part, measure) in parts {
        if options.only.is_empty() || options.only.iter().any(|only| only == part) {
            let found = measure()?;
            // What is measured is shown at once: the whole takes its time.
            eprint!("{}", table(&found));
            rows.extend(found);
        }
    }
    let size = options.provider.metadata()?.len();
    Ok(format!("{}\nThe provider's binary has {:.1} MB (aim: at most 35).\n", table(&rows), size as f64 / 1e6))
}

/// Reads `name=path, name=path`; hashicorp/time is added when the cache has it.
fn peers(named: &str) -> Result<Vec<Peer>> {
    let mut peers = Vec::new();
    for entry in named.split([',', ' ']).filter(|entry| !entry.is_empty()) {
        let (name, path) = entry.split_once('=').with_context(|| format!("{entry:?} is not name=path"))?;
        if !Path::new(path).exists() {
            bail!("DR_BENCH_PEERS names {path}, which does not exist");
        }
        peers.push(Peer { name: name.to_owned(), binary: path.into() });
    }
    if !peers.iter().any(|peer| peer.name == TIME.name) && TIME.cached().exists() {
        peers.push(Peer { name: format!("hashicorp/{} {}", TIME.name, TIME.version), binary: TIME.cached() });
    }
    Ok(peers)
}

/// Our rows, each followed by those of the peers; what we cost is also given as a share of theirs.
fn table(rows: &[Row]) -> String {
    let mut text =
        "| what | by | time | CPU | peak memory | requests | aim for dr | dr : this |\n|---|---|---:|---:|---:|---:|---|---|\n"
            .to_owned();
    for Row { what, by, aim, cost } in rows {
        let ours = rows.iter().find(|row| row.what == *what && row.by == "dr" && row.by != *by);
        let share = ours.map_or_else(String::new, |ours| ours.cost.share_of(cost));
        let (time, cpu, memory) = (cost.time_text(), cost.cpu_text(), cost.memory_text());
        let requests = cost.requests.map(|count| count.to_string()).unwrap_or_default();
        text.push_str(&format!("| {what} | {by} | {time} | {cpu} | {memory} | {requests} | {aim} | {share} |\n"));
    }
    text
}

/// The cost in the middle by time, with the processor time and memory in the middle.
fn median_cost(costs: Vec<Cost>) -> Cost {
    let of = |value: fn(&Cost) -> f64| median(costs.iter().map(value).collect(), f64::total_cmp).unwrap_or_default();
    let memory = median(costs.iter().map(|cost| cost.memory).collect(), u64::cmp).unwrap_or_default();
    let requests = median(costs.iter().filter_map(|cost| cost.requests).collect(), usize::cmp);
    Cost { seconds: of(|cost| cost.seconds), cpu: of(|cost| cost.cpu), memory, requests }
}

/// The one in the middle.
fn median<T: Copy>(mut values: Vec<T>, compare: impl Fn(&T, &T) -> std::cmp::Ordering) -> Option<T> {
    values.sort_by(compare);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_are_named_with_their_paths() {
        let peers = peers("restic=/bin/sh, time=/bin/ls").unwrap();
        assert_eq!(peers[0], Peer { name: "restic".into(), binary: "/bin/sh".into() });
        assert_eq!(peers[1].name, "time");
        assert!(super::peers("restic=/no/such/file").is_err());
        assert!(super::peers("restic").is_err());
    }

    #[test]
    fn a_table_has_a_line_for_each_row() {
        let row = |by: &str, seconds, memory: u64| Row {
            what: "backup".into(),
            by: by.into(),
            aim: String::new(),
            cost: Cost { seconds, cpu: 0.0, memory: memory << 20, requests: (by == "dr").then_some(4) },
        };
        let table = table(&[row("dr", 1.5, 3), row("restic", 3.0, 2)]);
        assert!(table.contains("| backup | dr | 1.50 s |  | 3.0 MiB | 4 |  |  |\n"), "{table}");
        assert!(
            table.ends_with("| backup | restic | 3.00 s |  | 2.0 MiB |  |  | 0.50 × time, 1.50 × memory |\n"),
            "{table}"
        );
    }
}
