//! The provider's binary: built for the tests, and put where a CLI finds it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

use super::Kind;
use crate::parts::checkout;

/// The provider as the tests need it, with the toy engine; built once in a process. `DR_TEST_PROVIDER` names another.
pub fn build_provider() -> Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}"))).clone().map_err(anyhow::Error::msg)
}

fn build() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("DR_TEST_PROVIDER") {
        return PathBuf::from(named).canonicalize().context("DR_TEST_PROVIDER names nothing");
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // The same selection of packages and features as `make test`, or cargo compiles the dependencies once more.
    let output = Command::new(cargo)
        .current_dir(checkout())
        .args(["build", "--locked", "--workspace", "--tests", "--bins", "--features", "terraform-provider-dr/toy"])
        .args(["--message-format=json-render-diagnostics"])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!("cargo could not build the provider");
    }
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        let ours = message["target"]["name"] == "terraform-provider-dr" && message["profile"]["test"] == false;
        if let Some(executable) = message["executable"].as_str().filter(|_| ours) {
            return Ok(PathBuf::from(executable));
        }
    }
    bail!("cargo built no terraform-provider-dr")
}

/// The folder where both CLIs look for providers that no registry has.
pub fn implied_mirror(home: &Path) -> PathBuf {
    home.join(".terraform.d/plugins")
}

/// Puts the binary into a file system mirror, by the layout that both CLIs share. Returns the file.
pub fn install_into(mirror: &Path, kind: Kind, provider: &Path) -> Result<PathBuf> {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let system = if std::env::consts::OS == "macos" { "darwin" } else { std::env::consts::OS };
    let version = env!("CARGO_PKG_VERSION");
    let folder = mirror.join(kind.address()).join(version).join(format!("{system}_{architecture}"));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let file = folder.join(format!("terraform-provider-dr_v{version}"));
    // Beside the mirror, then renamed: a CLI that runs the old one keeps it, and none finds half of a new one.
    let beside = tempfile::NamedTempFile::new_in(mirror)?.into_temp_path();
    fs::copy(provider, &beside).with_context(|| format!("cannot copy {}", provider.display()))?;
    fs::rename(&beside, &file)?;
    Ok(file)
}
