//! `make docs`: writes the registry pages from the code and the examples.

use std::path::PathBuf;
use std::process::ExitCode;

use acceptance_tests::{docs, parts};
use anyhow::Result;
use clap::Parser;

/// Writes the registry pages anew.
#[derive(Debug, Parser)]
struct Arguments {
    /// Write nothing; show what would change, and fail if something would.
    #[arg(long)]
    check: bool,
    /// The checkout to write to.
    #[arg(long, default_value_os_t = parts::checkout())]
    checkout: PathBuf,
}

fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if !arguments.check {
        docs::write(&arguments.checkout)?;
        return Ok(ExitCode::SUCCESS);
    }
    let difference = docs::difference(&arguments.checkout)?;
    if difference.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    print!("{difference}");
    eprintln!("The registry pages are not up to date: run `make docs`.");
    Ok(ExitCode::FAILURE)
}
