//! `make quickstart`: a backup, a loss and a recovery, in a scratch folder.

use std::path::PathBuf;

use acceptance_tests::cli::Cli;
use acceptance_tests::quickstart::{Options, tell};
use acceptance_tests::tree::Recipe;
use anyhow::{Context, Result};
use clap::Parser;

/// Backs a folder up, loses it, and brings it back by a real apply.
#[derive(Debug, Parser)]
struct Arguments {
    /// The provider's binary.
    #[arg(long)]
    provider: PathBuf,
    /// The scratch folder, which must not exist; a new one among the temporary files when left out.
    #[arg(long)]
    scratch: Option<PathBuf>,
    /// Little data, for a look or a test.
    #[arg(long)]
    small: bool,
    /// How many bytes of data there are at least, where it is to take a while.
    #[arg(long)]
    bytes: Option<u64>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let root = match arguments.scratch {
        Some(folder) => {
            std::fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
            folder
        }
        None => tempfile::Builder::new().prefix("dr-quickstart-").tempdir()?.keep(),
    };
    let usual = if arguments.small { Recipe::small(2026) } else { Recipe::quickstart() };
    tell(&Options {
        provider: arguments.provider.canonicalize().context("there is no provider")?,
        cli: Cli::any()?,
        root: root.canonicalize()?,
        recipe: Recipe { bytes: arguments.bytes.unwrap_or(usual.bytes), ..usual },
    })
}
