//! The folder of a Go module: where the servers' own definitions and scripts are read from.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use super::{cache, go};

/// A module of the Go proxy at one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Module {
    /// Its path, as in a `require` line. Capitals are kept otherwise in Go's cache: none is used here.
    pub path: &'static str,
    /// Its version, as in a `require` line.
    pub version: &'static str,
}

/// The definitions of VolumeSnapshots, which VolSync needs and uses.
pub const SNAPSHOTS: Module =
    Module { path: "github.com/kubernetes-csi/external-snapshotter/client/v8", version: "v8.6.0" };
/// Argo CD.
pub const ARGO_CD: Module = Module { path: "github.com/argoproj/argo-cd/v3", version: "v3.5.1" };
/// Flux' Kustomizations.
pub const FLUX_KUSTOMIZE: Module = Module { path: "github.com/fluxcd/kustomize-controller", version: "v1.9.4" };
/// Flux' HelmReleases.
pub const FLUX_HELM: Module = Module { path: "github.com/fluxcd/helm-controller", version: "v1.6.3" };
/// KEDA.
pub const KEDA: Module = Module { path: "github.com/kedacore/keda/v2", version: "v2.21.0" };

impl Module {
    /// Its folder in Go's cache of modules, which is filled first when it lacks the module.
    pub fn folder(&self) -> Result<PathBuf> {
        let go = go::toolchain()?;
        let modules = module_cache(&go)?;
        if let Some(folder) = self.extracted(&modules) {
            return Ok(folder);
        }
        fs::create_dir_all(cache())?;
        let lock = File::create(cache().join(".modules.lock"))?;
        lock.lock().context("cannot lock the cache of modules")?;
        if let Some(folder) = self.extracted(&modules) {
            return Ok(folder);
        }
        let wanted = format!("{}@{}", self.path, self.version);
        // Not in the checkout: what its recipes say has no bearing on another module.
        let output = Command::new(&go)
            .current_dir(cache())
            .args(["mod", "download", "-json", &wanted])
            .env("GOTOOLCHAIN", "local")
            .env("GOWORK", "off")
            .env_remove("GOFLAGS")
            .stdin(Stdio::null())
            .output()
            .with_context(|| format!("cannot run {}", go.display()))?;
        match self.extracted(&modules) {
            Some(folder) if output.status.success() => Ok(folder),
            _ => bail!("cannot get {wanted}:\n{}", String::from_utf8_lossy(&output.stdout)),
        }
    }

    /// Where it is, once it is there as a whole: Go marks what it has not finished writing.
    fn extracted(&self, modules: &Path) -> Option<PathBuf> {
        let folder = modules.join(format!("{}@{}", self.path, self.version));
        let unfinished = modules.join(format!("cache/download/{}/@v/{}.partial", self.path, self.version));
        (folder.is_dir() && !unfinished.exists()).then_some(folder)
    }
}

fn module_cache(go: &Path) -> Result<PathBuf> {
    let output = Command::new(go).args(["env", "GOMODCACHE"]).env("GOTOOLCHAIN", "local").output()?;
    let said = String::from_utf8(output.stdout).context("Go's cache of modules has a strange name")?;
    if said.trim().is_empty() {
        bail!("{} does not say where its cache of modules is", go.display());
    }
    Ok(PathBuf::from(said.trim()))
}
