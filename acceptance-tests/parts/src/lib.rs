//! The real programs that tests and `make` targets run: found on the machine, else built by version into a cache.

mod build;
mod go;
mod module;
mod version;

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use version::Version;

pub use go::toolchain as go;
pub use module::{ARGO_CD, FLUX_HELM, FLUX_KUSTOMIZE, KEDA, Module, SNAPSHOTS};

/// A program that is built from a module of the Go proxy when the machine lacks it.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    /// The name of its binary.
    pub name: &'static str,
    /// The folder under `acceptance-tests/parts` that says how it is built.
    recipe: &'static str,
    /// The module that has it.
    pub module: Module,
    /// The version as people say it; keys the cache.
    pub version: &'static str,
    /// The main package.
    pub package: &'static str,
    /// What the linker is told beyond leaving symbols out.
    link: &'static str,
    /// Where one that the machine has is taken from.
    found: Found,
}

/// Which programs of the same name are as good as the part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Found {
    /// The first on PATH.
    OnPath,
    /// The first on PATH if `version -json` says that it is no older.
    OnPathSince(Version),
    /// The one on PATH if `<name> version` says the part's version.
    OnPathExactly,
    /// The one in the folder that `KUBEBUILDER_ASSETS` names, or the first on PATH.
    Assets,
    /// None: on PATH the name is another program, or one that was linked otherwise.
    Never,
}

/// OpenTofu, the first of the two CLIs.
pub const TOFU: Part = Part {
    name: "tofu",
    recipe: "tofu",
    module: Module { path: "github.com/opentofu/opentofu", version: "v1.12.6" },
    version: "1.12.6",
    package: "github.com/opentofu/opentofu/cmd/tofu",
    // Without it the binary calls itself a development build and asks for experiments.
    link: "-X github.com/opentofu/opentofu/version.dev=no",
    found: Found::OnPathSince((1, 11, 0)), // ephemeral variables
};

/// The first Terraform with ephemeral variables.
const TERRAFORM_SINCE: Version = (1, 10, 0);

/// The reference implementation of the repository format.
pub const RESTIC: Part = Part {
    name: "restic",
    recipe: "restic",
    module: Module { path: "github.com/restic/restic", version: "v0.18.1" },
    version: "0.18.1",
    package: "github.com/restic/restic/cmd/restic",
    link: "",
    found: Found::OnPathExactly, // retention arithmetic and figures are compared with this version
};

/// A real S3 server.
pub const MINIO: Part = Part {
    name: "minio",
    recipe: "minio",
    module: Module { path: "github.com/minio/minio", version: "v0.0.0-20260212201848-7aac2a2c5b7c" },
    version: "7aac2a2c5b7c",
    package: "github.com/minio/minio",
    link: "",
    found: Found::OnPath,
};

/// Checks the registry pages.
pub const TFPLUGINDOCS: Part = Part {
    name: "tfplugindocs",
    recipe: "tfplugindocs",
    module: Module { path: "github.com/hashicorp/terraform-plugin-docs", version: "v0.25.0" },
    version: "0.25.0",
    package: "github.com/hashicorp/terraform-plugin-docs/cmd/tfplugindocs",
    link: "",
    found: Found::OnPath,
};

/// About the smallest provider there is: a peer of the benchmarks and of the tests of the wire.
pub const TIME: Part = Part {
    name: "time",
    recipe: "time",
    module: Module { path: "github.com/hashicorp/terraform-provider-time", version: "v0.14.2" },
    version: "0.14.2",
    package: "github.com/hashicorp/terraform-provider-time",
    link: "",
    found: Found::Never,
};

/// What a Kubernetes API server keeps its objects in.
pub const ETCD: Part = Part {
    name: "etcd",
    recipe: "etcd",
    module: Module { path: "go.etcd.io/etcd/server/v3", version: "v3.7.3" },
    version: "3.7.3",
    package: "go.etcd.io/etcd/server/v3",
    link: "",
    found: Found::Assets,
};

/// The Kubernetes API server.
pub const KUBE_APISERVER: Part = Part {
    name: "kube-apiserver",
    recipe: "kubernetes",
    module: Module { path: "k8s.io/kubernetes", version: "v1.36.3" },
    version: "1.36.3",
    package: "k8s.io/kubernetes/cmd/kube-apiserver",
    link: "-X k8s.io/component-base/version.gitVersion=v1.36.3",
    found: Found::Assets,
};

/// Kubernetes' own controllers: Jobs, garbage collection, deletion of namespaces, binding of volumes.
pub const KUBE_CONTROLLER_MANAGER: Part = Part {
    name: "kube-controller-manager",
    package: "k8s.io/kubernetes/cmd/kube-controller-manager",
    ..KUBE_APISERVER
};

/// The Velero server.
pub const VELERO: Part = Part {
    name: "velero",
    recipe: "velero",
    module: Module { path: "github.com/vmware-tanzu/velero", version: "v1.18.3" },
    version: "1.18.3",
    package: "github.com/vmware-tanzu/velero/cmd/velero",
    // What it tells about itself in a ServerStatusRequest; and no listener on 8080, so that two run on one machine.
    link: concat!(
        "-X github.com/vmware-tanzu/velero/pkg/buildinfo.Version=v1.18.3 ",
        "-X sigs.k8s.io/controller-runtime/pkg/metrics/server.DefaultBindAddress=0"
    ),
    found: Found::Never,
};

/// Velero's object storage plugin for S3.
pub const VELERO_PLUGIN_FOR_AWS: Part = Part {
    name: "velero-plugin-for-aws",
    recipe: "velero-plugin-for-aws",
    module: Module { path: "github.com/vmware-tanzu/velero-plugin-for-aws", version: "v1.14.3" },
    version: "1.14.3",
    package: "github.com/vmware-tanzu/velero-plugin-for-aws/velero-plugin-for-aws",
    link: "",
    found: Found::OnPath,
};

/// The VolSync manager.
pub const VOLSYNC: Part = Part {
    name: "volsync",
    recipe: "volsync",
    module: Module { path: "github.com/backube/volsync", version: "v0.16.0" },
    version: "0.16.0",
    package: "github.com/backube/volsync/cmd",
    link: "-X main.volsyncVersion=v0.16.0",
    found: Found::OnPath,
};

/// The k8up operator, which is also the program in the Pods of its Jobs.
pub const K8UP: Part = Part {
    name: "k8up",
    recipe: "k8up",
    module: Module { path: "github.com/k8up-io/k8up/v2", version: "v2.15.0" },
    version: "2.15.0",
    package: "github.com/k8up-io/k8up/v2/cmd/k8up",
    link: "-X main.version=v2.15.0",
    found: Found::OnPath,
};

/// What forwards ports of pods on a node: a program of ours around the code that kubelets do it with.
pub const PORT_FORWARD: Part = Part {
    name: "port-forward",
    recipe: "port-forward",
    module: Module { path: "k8s.io/cri-streaming", version: "v0.36.3" },
    // The second number counts the changes of the program itself.
    version: "0.36.3-1",
    package: OWN,
    link: "",
    found: Found::Never,
};

/// The package of a program whose source is in its recipe's folder.
const OWN: &str = ".";

/// Every part there is.
pub const ALL: [Part; 13] = [
    TOFU,
    RESTIC,
    MINIO,
    TFPLUGINDOCS,
    TIME,
    ETCD,
    KUBE_APISERVER,
    KUBE_CONTROLLER_MANAGER,
    VELERO,
    VELERO_PLUGIN_FOR_AWS,
    VOLSYNC,
    K8UP,
    PORT_FORWARD,
];

impl Part {
    /// The environment variable that names a binary to use: `DR_PART_RESTIC`, `DR_PART_KUBE_APISERVER`.
    pub fn variable(&self) -> String {
        format!("DR_PART_{}", self.name.to_uppercase().replace('-', "_"))
    }

    /// Where the cache keeps it.
    pub fn cached(&self) -> PathBuf {
        cache().join("parts").join(format!("{}-{}", self.name, self.version)).join(self.name)
    }

    /// The binary: named by its variable, of the machine, in the cache, or built now.
    pub fn get(&self) -> Result<PathBuf> {
        match self.found()? {
            Some(found) => Ok(found),
            None => self.built(),
        }
    }

    /// The one that its variable names, or that the machine has.
    pub fn found(&self) -> Result<Option<PathBuf>> {
        Ok(named(&self.variable())?.or_else(|| self.of_the_machine()))
    }

    /// The one in the cache, or built now.
    pub fn built(&self) -> Result<PathBuf> {
        build::cached_or_built(self)
    }

    fn of_the_machine(&self) -> Option<PathBuf> {
        match self.found {
            Found::Never => None,
            Found::OnPath => on_path(self.name),
            Found::OnPathSince(version) => on_path(self.name).filter(|found| is_since(version, found)),
            Found::OnPathExactly => on_path(self.name).filter(|found| self.is_said_by(found)),
            Found::Assets => {
                let assets = env::var_os("KUBEBUILDER_ASSETS").map(|folder| Path::new(&folder).join(self.name));
                assets.filter(|file| is_program(file)).or_else(|| on_path(self.name))
            }
        }
    }

    fn is_said_by(&self, program: &Path) -> bool {
        let Ok(output) = Command::new(program).arg("version").output() else { return false };
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.split_whitespace().any(|word| word.trim_start_matches('v') == self.version)
    }
}

/// The folder for what is expensive to make and may be deleted at any time.
pub fn cache() -> PathBuf {
    let base = match env::var_os("XDG_CACHE_HOME") {
        Some(folder) if Path::new(&folder).is_absolute() => PathBuf::from(folder),
        _ => env::home_dir().unwrap_or_else(env::temp_dir).join(".cache"),
    };
    base.join("terraform-provider-dr")
}

/// The checkout's folder.
pub fn checkout() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

/// Terraform, where the machine has one that is not too old: it is never built.
pub fn terraform() -> Result<Option<PathBuf>> {
    Ok(match named("TF_ACC_TERRAFORM_PATH")? {
        Some(named) => Some(named),
        None => on_path("terraform").filter(|found| is_since(TERRAFORM_SINCE, found)),
    })
}

/// Whether a CLI is that version at least; one that is not is as good as none, and that is said.
fn is_since(version: Version, cli: &Path) -> bool {
    let why = version::too_old(cli, version);
    if let Some(why) = &why {
        eprintln!("{why}: it is left aside");
    }
    why.is_none()
}

/// A program on PATH.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(name)).find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

fn named(variable: &str) -> Result<Option<PathBuf>> {
    let Some(value) = env::var_os(variable).filter(|value| !value.is_empty()) else { return Ok(None) };
    let file = PathBuf::from(value).canonicalize().with_context(|| format!("{variable} names nothing"))?;
    if !is_program(&file) {
        bail!("{variable} names {}, which is no program", file.display());
    }
    Ok(Some(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_has_a_recipe_of_its_version() {
        for part in ALL {
            let recipe = build::recipe(&part).join("go.mod");
            let text = std::fs::read_to_string(&recipe).unwrap();
            let lines: Vec<&str> = text.lines().map(|line| line.trim().trim_end_matches(" // indirect")).collect();
            if part.package == OWN {
                assert!(recipe.with_file_name("main.go").exists(), "{} is beside no program", recipe.display());
            } else {
                let named = |line: &&str| line.trim_start_matches("tool ") == part.package;
                assert!(lines.iter().any(named), "{} does not name {}", recipe.display(), part.package);
                assert!(part.package.starts_with(part.module.path), "{} is not of {:?}", part.package, part.module);
            }
            let required = format!("{} {}", part.module.path, part.module.version);
            let required = |line: &&str| line.trim_start_matches("require ") == required;
            assert!(lines.iter().any(required), "{} does not require {:?}", recipe.display(), part.module);
        }
    }

    #[test]
    fn the_variable_of_a_part_can_be_set_in_a_shell() {
        for part in ALL {
            assert!(
                part.variable().chars().all(|character| character.is_ascii_uppercase() || "_8".contains(character))
            );
        }
    }
}
