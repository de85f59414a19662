//! What every scenario starts from: a workspace, a folder of data, and the configuration that protects it.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use acceptance_tests::cli::{Cli, Kind, Run, Workspace, build_provider, hcl_string};
use acceptance_tests::tree::{Manifest, Recipe, make};
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

/// Makes of each named scenario a test for OpenTofu and one for Terraform.
macro_rules! both_clis {
    ($($name:ident),+ $(,)?) => {
        mod tofu {
            $(#[test] fn $name() -> anyhow::Result<()> {
                crate::scene::play(acceptance_tests::cli::Kind::Tofu, stringify!($name), super::$name)
            })+
        }
        mod terraform {
            $(#[test] fn $name() -> anyhow::Result<()> {
                crate::scene::play(acceptance_tests::cli::Kind::Terraform, stringify!($name), super::$name)
            })+
        }
    };
}

/// The password of the repository; nothing that leaves the process may hold it.
pub const PASSWORD: &str = "canary-repository-password-5d0b7e";

/// A scenario's stage.
pub struct Scene {
    /// The folder with the configuration, and the CLI.
    pub workspace: Workspace,
}

/// Runs a scenario in a scratch folder, which stays when it fails.
pub fn play(kind: Kind, name: &str, scenario: fn(&mut Scene) -> Result<()>) -> Result<()> {
    let Some(cli) = kind.find()? else {
        eprintln!("skipped: there is no {} on this machine", kind.command());
        return Ok(());
    };
    let scratch = tempfile::Builder::new().prefix(&format!("dr-{}-{name}-", kind.command())).tempdir()?;
    let root = scratch.path().canonicalize()?;
    let mut scene = Scene::new(cli, &root)?;
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| scenario(&mut scene)));
    if !matches!(result, Ok(Ok(()))) {
        eprintln!("left for a look: {}", scratch.keep().display());
    }
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

impl Scene {
    fn new(cli: Cli, root: &Path) -> Result<Self> {
        let mut workspace = Workspace::new(cli, &build_provider()?, root)?;
        workspace.set("DR_SECRET_DOCS_REPO", PASSWORD);
        Ok(Self { workspace })
    }

    /// Another folder with the same configuration and a copy of the state, on the same data.
    pub fn copy(&self, name: &str) -> Result<Self> {
        let copy = Self::new(self.workspace.cli.clone(), &self.workspace.path(name))?;
        for name in ["main.tf", "terraform.tfstate"] {
            if self.workspace.folder().join(name).exists() {
                fs::copy(self.workspace.folder().join(name), copy.workspace.folder().join(name))?;
            }
        }
        Ok(copy)
    }

    /// Makes of the resources of a type what hashicorp/kubernetes keeps of the same objects as `kubernetes_manifest`, and
    /// returns the blocks that move them back.
    pub fn as_manifests(&self, of_type: &str, api: &str, kind: &str, namespace: &str) -> Result<String> {
        let source = "hashicorp/kubernetes";
        // Any provider does: of a resource that is moved its own is asked nothing.
        let folder = self.workspace.path("manifests");
        if !folder.exists() {
            fs::create_dir(&folder)?;
            symlink(
                self.workspace.path("provider/terraform-provider-dr"),
                folder.join("terraform-provider-kubernetes"),
            )?;
            let cli = self.workspace.cli_configuration();
            let overrides = format!("dev_overrides {{\n    \"{source}\" = {}", hcl_string(&folder));
            fs::write(&cli, fs::read_to_string(&cli)?.replacen("dev_overrides {", &overrides, 1))?;
        }
        let file = self.workspace.state_file();
        let mut state: Value = serde_json::from_slice(&fs::read(&file)?)?;
        let provider = format!("provider[\"{}/{source}\"]", self.workspace.cli.kind.registry());
        let mut blocks = String::new();
        for resource in state["resources"].as_array_mut().context("a state has resources")? {
            if resource["type"] != of_type {
                continue;
            }
            let address = resource["name"].as_str().context("a resource has a name")?.to_owned();
            blocks += &format!("moved {{\n  from = kubernetes_manifest.{address}\n  to   = {of_type}.{address}\n}}\n");
            let name = resource["instances"][0]["attributes"]["name"].clone();
            let metadata = json!({ "name": name, "namespace": namespace });
            let shape = json!(["object", {
                "apiVersion": "string", "kind": "string", "metadata": ["object", { "name": "string", "namespace": "string" }],
            }]);
            let manifest = json!({ "value": { "apiVersion": api, "kind": kind, "metadata": metadata }, "type": shape });
            let nothing =
                ["computed_fields", "timeouts", "wait", "wait_for"].map(|name| (name.to_owned(), Value::Null));
            let mut attributes = serde_json::Map::from_iter(nothing);
            attributes.insert("field_manager".to_owned(), json!([]));
            attributes.insert("manifest".to_owned(), manifest.clone());
            attributes.insert("object".to_owned(), manifest);
            resource["type"] = "kubernetes_manifest".into();
            resource["provider"] = provider.clone().into();
            resource["instances"] = json!([{
                "schema_version": 1, "attributes": attributes, "sensitive_attributes": [], "identity_schema_version": 1,
                "identity": { "api_version": api, "kind": kind, "name": name, "namespace": namespace },
            }]);
        }
        fs::write(file, state.to_string())?;
        Ok(blocks)
    }

    /// Applies a configuration together with a resource of no `depends_on` that installs what the others need, while they
    /// wait for it already. `text` is the rest of the configuration.
    pub fn apply_while_installing(&self, text: &str, install: impl FnOnce() -> Result<()>) -> Result<Run> {
        let (begun, installed) = (self.workspace.path("begun"), self.workspace.path("installed"));
        let command =
            format!("touch '{}'; until [ -e '{}' ]; do sleep 0.1; done", begun.display(), installed.display());
        self.workspace.write(&format!(
            "{text}\nresource \"terraform_data\" \"operator\" {{\n  provisioner \"local-exec\" {{\n    command = {command:?}\n  \
             }}\n}}\n"
        ))?;
        let apply = self.workspace.start_apply()?;
        let done = wait_until("the installation to begin", || Ok(begun.exists())).and_then(|()| {
            // Whoever waits for it has looked by now.
            std::thread::sleep(Duration::from_secs(3));
            install()
        });
        fs::write(installed, "")?;
        let run = apply.wait()?;
        done.with_context(|| run.said())?;
        Ok(run)
    }

    /// The folder that is protected.
    pub fn data(&self) -> PathBuf {
        self.workspace.path("documents")
    }

    /// The repository's folder.
    pub fn repository(&self) -> PathBuf {
        self.workspace.path("repository")
    }

    /// Fills the folder with a little of everything.
    pub fn make_data(&self) -> Result<Manifest> {
        self.make_data_of(&Recipe::small(7))
    }

    /// Fills the folder.
    pub fn make_data_of(&self, recipe: &Recipe) -> Result<Manifest> {
        make(&self.data(), recipe)?;
        Manifest::of(&self.data())
    }

    /// Loses it.
    pub fn lose_data(&self) -> Result<()> {
        Ok(fs::remove_dir_all(self.data())?)
    }

    /// The usual configuration.
    pub fn documents(&self) -> Documents {
        Documents {
            provider: "provider \"dr\" {}".into(),
            data: hcl_string(&self.data()),
            store: format!("{{ local = {{ path = {} }} }}", hcl_string(&self.repository())),
            ..Documents::default()
        }
    }

    /// Writes the usual configuration.
    pub fn write(&self, documents: &Documents) -> Result<()> {
        self.workspace.write(&documents.configuration())
    }

    /// A folder of data, backed up by a first apply, with nothing left to do.
    pub fn backed_up(&self) -> Result<Manifest> {
        let before = self.make_data()?;
        self.write(&self.documents())?;
        self.workspace.apply()?.ok()?;
        self.workspace.plan_is_empty()?;
        before.assert_same(&self.data())?;
        Ok(before)
    }

    /// A folder of data that was backed up twice and is lost: what it was, and the ids of the first and the newest point.
    pub fn lost_after_two_backups(&self) -> Result<(Manifest, String, String)> {
        let before = self.backed_up()?;
        let first = self.snapshots()?.concat();
        self.write(&Documents { release: 1, ..self.documents() })?;
        self.workspace.apply()?.ok()?;
        let newest = self.snapshots()?.into_iter().find(|id| *id != first).context("there is no second point")?;
        self.lose_data()?;
        Ok((before, first, newest))
    }

    /// The ids of the snapshots in the repository's folder.
    pub fn snapshots(&self) -> Result<Vec<String>> {
        names(&self.repository().join("snapshots"))
    }

    /// The records of restores to the data's folder.
    pub fn restore_records(&self) -> Result<Vec<Value>> {
        records(&self.workspace.path(".documents.dr/runs"))
    }

    /// The records of backups to the repository's folder.
    pub fn backup_records(&self) -> Result<Vec<Value>> {
        records(&self.workspace.path("repository.dr/runs"))
    }

    /// The repository's id, as the target knows it.
    pub fn repository_id(&self) -> Result<Value> {
        Ok(self.workspace.attributes("dr_backup_target.documents")?["ref"]["server_uid"].clone())
    }
}

/// The configuration of the main job, with places for what a scenario changes.
#[derive(Debug, Clone, Default)]
pub struct Documents {
    /// The provider block.
    pub provider: String,
    /// The folder, as an expression.
    pub data: String,
    /// The store, as an expression.
    pub store: String,
    /// More arguments of the target.
    pub target: String,
    /// More arguments of the restore job.
    pub restore: String,
    /// More arguments of the backup job.
    pub backup: String,
    /// More resources.
    pub more: String,
    /// What the resources are called in the configuration; `documents` when empty.
    pub label: String,
    /// The trigger of the backup.
    pub release: u32,
}

impl Documents {
    /// As text.
    pub fn configuration(&self) -> String {
        let Self { provider, data, store, target, restore, backup, more, label, release } = self;
        let label = if label.is_empty() { "documents" } else { label };
        format!(
            r#"terraform {{
  required_providers {{
    dr = {{ source = "dr-as-code/dr" }}
  }}
}}

{provider}

resource "dr_retention_policy" "tiered" {{
  name      = "tiered"
  keep_last = 20
}}

resource "dr_backup_target" "{label}" {{
  name      = "documents"
  store     = {store}
  retention = dr_retention_policy.tiered.keep
  restic    = {{ password = "docs_repo" }}
  {target}
}}

resource "dr_restore_job" "{label}" {{
  name       = "documents"
  source     = dr_backup_target.{label}.ref
  when       = "target_missing_or_empty"
  on_missing = "skip"
  restic     = {{ path = {data} }}
  {restore}
}}

resource "dr_backup_job" "{label}" {{
  name     = "documents"
  target   = dr_backup_target.{label}.ref
  after    = dr_restore_job.{label}.ref
  triggers = {{ release = "{release}" }}
  restic   = {{ paths = [{data}], tags = ["documents"] }}
  {backup}
}}

{more}
"#
        )
    }
}

/// Waits until something is so; fails with what it waited for.
pub fn wait_until(what: &str, mut so: impl FnMut() -> Result<bool>) -> Result<()> {
    let began = Instant::now();
    while !so()? {
        ensure!(began.elapsed() < Duration::from_secs(120), "waited two minutes for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}

/// The names in a folder, in order; none when it does not exist.
pub fn names(folder: &Path) -> Result<Vec<String>> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// The ledger's records in a folder.
pub fn records(folder: &Path) -> Result<Vec<Value>> {
    let names = names(folder)?.into_iter().filter(|name| name.ends_with(".json"));
    names.map(|name| Ok(serde_json::from_slice(&fs::read(folder.join(name))?)?)).collect()
}
