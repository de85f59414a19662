//! `make bench`: prints the table of figures.

use std::path::PathBuf;

use acceptance_tests::bench::{Options, run};
use acceptance_tests::cli::Cli;
use anyhow::{Context, Result};
use clap::Parser;

/// Measures the provider beside its peers. `DR_BENCH_PEERS` names more of them: name=path, …
#[derive(Debug, Parser)]
struct Arguments {
    /// The provider's binary, of the release profile.
    #[arg(long)]
    provider: PathBuf,
    /// Little of everything: shows that it works, not how quick it is.
    #[arg(long)]
    small: bool,
    /// How often much data is backed up and restored; the median counts.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Measure only this part (may be repeated): start, schema, many, schedules, points, bulk.
    #[arg(long)]
    only: Vec<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let scratch = tempfile::Builder::new().prefix("dr-bench-").tempdir()?;
    let options = Options {
        provider: arguments.provider.canonicalize().context("there is no provider")?,
        cli: Cli::any()?,
        root: scratch.path().canonicalize()?,
        small: arguments.small,
        runs: arguments.runs.max(1),
        only: arguments.only,
    };
    print!("{}", run(&options)?);
    Ok(())
}
