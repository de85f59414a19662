//! Building a part from its recipe, once, whoever asks at the same time.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::{Part, cache, go};

/// The folder with the part's `go.mod` and `go.sum`.
pub(super) fn recipe(part: &Part) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(part.recipe)
}

/// The cached binary, built first when it is not there.
pub(super) fn cached_or_built(part: &Part) -> Result<PathBuf> {
    let binary = part.cached();
    if binary.exists() {
        return Ok(binary);
    }
    let folder = cache().join("parts");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let lock = File::create(folder.join(format!(".{}.lock", part.name)))?;
    lock.lock().context("cannot lock the cache of parts")?;
    // Whoever held the lock may have built it.
    if !binary.exists() {
        build(part, &binary)?;
    }
    Ok(binary)
}

fn build(part: &Part, binary: &PathBuf) -> Result<()> {
    let go = go::toolchain()?;
    eprintln!("building {} {} (once; it is kept in {})", part.name, part.version, binary.display());
    let folder = binary.parent().context("a cached part has a folder")?;
    fs::create_dir_all(folder)?;
    let beside = folder.join(format!(".{}.new", part.name));
    // A proxy may refuse for a moment; what it gave is kept in Go's own cache, so another try is cheap.
    for attempt in 1..=3 {
        let status = Command::new(&go)
            .current_dir(recipe(part))
            .args(["build", "-mod=readonly", "-trimpath", "-ldflags"])
            .arg(format!("-s -w {}", part.link))
            .arg("-o")
            .arg(&beside)
            .arg(part.package)
            .env("CGO_ENABLED", "0")
            .env("GOTOOLCHAIN", "local")
            .env("GOWORK", "off")
            .env_remove("GOFLAGS")
            .stdin(Stdio::null())
            .status()
            .with_context(|| format!("cannot run {}", go.display()))?;
        if status.success() {
            fs::rename(&beside, binary)?;
            return Ok(());
        }
        if attempt < 3 {
            eprintln!("building {} failed, trying again", part.name);
            std::thread::sleep(Duration::from_secs(5 * attempt));
        }
    }
    bail!("cannot build {} {} from {}", part.name, part.version, recipe(part).display())
}
