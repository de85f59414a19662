//! `make quickstart`, with little data.

use std::process::Command;

use acceptance_tests::cli::build_provider;
use acceptance_tests::servers::Minio;
use anyhow::{Result, bail, ensure};

/// Enough that somebody waits for the backup and wants to see how far it is; a machine that is too quick gets more.
const BYTES: [u64; 4] = [120_000_000, 400_000_000, 1_200_000_000, 4_000_000_000];

/// A line of how far a run of this kind is, with a figure above zero.
fn shows(kind: &str, said: &str) -> bool {
    let lines = said.lines().filter_map(|line| line.split_once(&format!("{kind}: writing, ")));
    lines.into_iter().any(|(_, figures)| !figures.starts_with("0 files") && !figures.contains(", 0 B"))
}

fn run(bytes: u64, environment: &[(&str, String)]) -> Result<String> {
    let scratch = tempfile::tempdir()?;
    let folder = scratch.path().join("quickstart");
    let output = Command::new(env!("CARGO_BIN_EXE_quickstart"))
        .args(["--small", "--bytes", &bytes.to_string(), "--provider"])
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
    let mut said = String::new();
    for bytes in BYTES {
        said = run(bytes, &[])?;
        for part in ["Everything is written below", "is as it was", "nothing is left to do", "What to try next"] {
            ensure!(said.contains(part), "{part:?} is not in:\n{said}");
        }
        ensure!(said.contains("Warning:"), "the plan did not say what it will restore:\n{said}");
        if shows("backup_job", &said) && shows("restore_job", &said) {
            return Ok(());
        }
    }
    bail!("how far the backup and the restore are was not shown:\n{said}");
}

#[test]
fn the_quickstart_works_against_a_bucket() -> Result<()> {
    let minio = Minio::start()?;
    minio.s3.create_bucket("quickstart")?;
    let said = run(
        BYTES[0],
        &[
            ("DR_QUICKSTART_S3_ENDPOINT", minio.s3.endpoint.clone()),
            ("DR_QUICKSTART_S3_BUCKET", "quickstart".into()),
            ("AWS_ACCESS_KEY_ID", minio.s3.credentials.id.clone()),
            ("AWS_SECRET_ACCESS_KEY", minio.s3.credentials.secret.clone()),
            ("AWS_REGION", minio.s3.region.clone()),
        ],
    )?;
    ensure!(said.contains("is as it was") && !said.contains(&minio.s3.credentials.secret), "{said}");
    ensure!(!minio.s3.keys("quickstart", "quickstart/")?.is_empty(), "nothing is in the bucket");
    Ok(())
}
