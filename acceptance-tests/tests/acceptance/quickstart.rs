//! `make quickstart`, with little data.

use std::process::Command;

use acceptance_tests::cli::build_provider;
use acceptance_tests::servers::Minio;
use anyhow::{Result, ensure};

/// Enough that somebody waits for the backup, and wants to see how far it is.
const BYTES: u64 = 120_000_000;

/// A line of how far the backup is, with a figure above zero.
fn shows_a_backup(said: &str) -> bool {
    let lines = said.lines().filter_map(|line| line.split_once("backup_job: writing, "));
    lines.into_iter().any(|(_, figures)| !figures.starts_with("0 files") && !figures.contains(", 0 B"))
}

fn run(environment: &[(&str, String)]) -> Result<String> {
    let scratch = tempfile::tempdir()?;
    let folder = scratch.path().join("quickstart");
    let output = Command::new(env!("CARGO_BIN_EXE_quickstart"))
        .args(["--small", "--bytes", &BYTES.to_string(), "--provider"])
        .arg(build_provider()?)
        .arg("--scratch")
        .arg(&folder)
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .output()?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(said)
}

#[test]
fn the_quickstart_tells_its_story_to_the_end() -> Result<()> {
    let said = run(&[])?;
    for part in ["Everything is written below", "is as it was", "nothing is left to do", "What to try next"] {
        ensure!(said.contains(part), "{part:?} is not in:\n{said}");
    }
    ensure!(shows_a_backup(&said), "how far the backup is was not shown:\n{said}");
    ensure!(said.contains("Warning:"), "the plan did not say what it will restore:\n{said}");
    Ok(())
}

#[test]
fn the_quickstart_works_against_a_bucket() -> Result<()> {
    let minio = Minio::start()?;
    minio.s3.create_bucket("quickstart")?;
    let said = run(&[
        ("DR_QUICKSTART_S3_ENDPOINT", minio.s3.endpoint.clone()),
        ("DR_QUICKSTART_S3_BUCKET", "quickstart".into()),
        ("AWS_ACCESS_KEY_ID", minio.s3.credentials.id.clone()),
        ("AWS_SECRET_ACCESS_KEY", minio.s3.credentials.secret.clone()),
        ("AWS_REGION", minio.s3.region.clone()),
    ])?;
    ensure!(said.contains("is as it was") && !said.contains(&minio.s3.credentials.secret), "{said}");
    ensure!(!minio.s3.keys("quickstart", "quickstart/")?.is_empty(), "nothing is in the bucket");
    Ok(())
}
