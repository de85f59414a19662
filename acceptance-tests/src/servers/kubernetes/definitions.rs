//! The definitions of custom resources, read from the modules of the controllers that serve them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::client::{Kubernetes, wait_for};
use crate::parts::{ARGO_CD, FLUX_HELM, FLUX_KUSTOMIZE, K8UP, KEDA, Module, SNAPSHOTS, VELERO, VOLSYNC};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// Where a project keeps its definitions.
#[derive(Debug, Clone, Copy)]
pub struct Definitions {
    module: Module,
    folders: &'static [&'static str],
}

impl Definitions {
    /// `velero.io`
    pub const VELERO: Self =
        Self { module: VELERO.module, folders: &["config/crd/v1/bases", "config/crd/v2alpha1/bases"] };
    /// `k8up.io`
    pub const K8UP: Self = Self { module: K8UP.module, folders: &["config/crd/apiextensions.k8s.io/v1"] };
    /// `volsync.backube`
    pub const VOLSYNC: Self = Self { module: VOLSYNC.module, folders: &["config/crd/bases"] };
    /// `snapshot.storage.k8s.io` and `groupsnapshot.storage.k8s.io`
    pub const SNAPSHOTS: Self = Self { module: SNAPSHOTS, folders: &["config/crd"] };
    /// `argoproj.io`
    pub const ARGO_CD: Self = Self { module: ARGO_CD, folders: &["manifests/crds"] };
    /// `kustomize.toolkit.fluxcd.io`
    pub const FLUX_KUSTOMIZE: Self = Self { module: FLUX_KUSTOMIZE, folders: &["config/crd/bases"] };
    /// `helm.toolkit.fluxcd.io`
    pub const FLUX_HELM: Self = Self { module: FLUX_HELM, folders: &["config/crd/bases"] };
    /// `keda.sh` and `eventing.keda.sh`
    pub const KEDA: Self = Self { module: KEDA, folders: &["config/crd/bases"] };

    /// Every definition as YAML, with its name.
    pub fn read(&self) -> Result<Vec<(String, String)>> {
        let module = self.module.folder()?;
        let mut found = Vec::new();
        for folder in self.folders {
            read_folder(&module.join(folder), &mut found)?;
        }
        if found.is_empty() {
            bail!("{} has no definitions in {:?}", module.display(), self.folders);
        }
        Ok(found)
    }
}

impl Kubernetes {
    /// Applies definitions and waits until the server serves them.
    pub fn define(&self, all: &[Definitions]) -> Result<()> {
        let mut names = Vec::new();
        for definitions in all {
            for (name, yaml) in definitions.read()? {
                let path = format!("{DEFINITIONS}/{name}?fieldManager=test&force=true");
                self.request("PATCH", &path, "application/apply-patch+yaml", yaml.into_bytes())
                    .with_context(|| format!("cannot define {name}"))?;
                names.push(name);
            }
        }
        let served = || {
            let list = self.list("apiextensions.k8s.io/v1", "CustomResourceDefinition", "")?;
            let established =
                |name: &String| list.iter().any(|one| one["metadata"]["name"] == **name && is_served(one));
            Ok(names.iter().all(established).then_some(()))
        };
        wait_for("definitions to be established", Duration::from_secs(60), served)
    }
}

fn is_served(definition: &serde_json::Value) -> bool {
    let conditions = definition["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|one| one["type"] == "Established" && one["status"] == "True")
}

/// The server reads YAML itself; all that has to be found here is where each definition ends and what it is called.
fn read_folder(folder: &Path, found: &mut Vec<(String, String)>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let file = entry?.path();
        if file.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        let text = fs::read_to_string(&file)?;
        for document in text.split("\n---\n") {
            if !document.lines().any(|line| line == "kind: CustomResourceDefinition") {
                continue;
            }
            let name = document.lines().find_map(|line| line.strip_prefix("  name: "));
            let name = name.with_context(|| format!("{} names no definition", file.display()))?;
            found.push((name.trim_matches('"').to_owned(), document.to_owned()));
        }
    }
    Ok(())
}
