//! A folder with a configuration, and what people do with it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Cli, Run, Running, install_into};

/// A scratch folder: the configuration, a home of its own, and room for data.
#[derive(Debug)]
pub struct Workspace {
    /// Who runs it.
    pub cli: Cli,
    /// Everything below here may be written.
    pub root: PathBuf,
    /// Added to the environment of every command, which otherwise has only PATH.
    pub environment: BTreeMap<OsString, OsString>,
    commands: std::cell::Cell<usize>,
}

impl Workspace {
    /// Prepares `root`: `configuration/`, `home/`, `logs/`, and a CLI configuration that takes the provider from here.
    pub fn new(cli: Cli, provider: &Path, root: &Path) -> Result<Self> {
        Self::of(cli, "dr-as-code/dr", provider, root)
    }

    /// The same for a provider with any source, `<namespace>/<type>`.
    pub fn of(cli: Cli, source: &str, provider: &Path, root: &Path) -> Result<Self> {
        for folder in ["configuration", "home", "logs", "provider", "tmp"] {
            fs::create_dir_all(root.join(folder))?;
        }
        let (_, name) = source.split_once('/').context("a source is <namespace>/<type>")?;
        let link = root.join("provider").join(format!("terraform-provider-{name}"));
        if !link.exists() {
            symlink(provider, &link)?;
        }
        let workspace = Self { cli, root: root.to_owned(), environment: BTreeMap::new(), commands: Default::default() };
        let overrides = format!(
            "provider_installation {{\n  dev_overrides {{\n    \"{source}\" = {}\n  }}\n  direct {{}}\n}}\n",
            hcl_string(&root.join("provider"))
        );
        fs::write(workspace.cli_configuration(), overrides)?;
        Ok(workspace)
    }

    /// The same, but the provider comes from a mirror and `init` installs it, as for a user.
    pub fn with_mirror(cli: Cli, provider: &Path, root: &Path) -> Result<Self> {
        let workspace = Self::new(cli, provider, root)?;
        let mirror = workspace.path("mirror");
        install_into(&mirror, workspace.cli.kind, provider)?;
        let configuration = format!(
            "provider_installation {{\n  filesystem_mirror {{\n    path    = {}\n    include = [\"dr-as-code/dr\"]\n  }}\n  \
             direct {{\n    exclude = [\"dr-as-code/dr\"]\n  }}\n}}\n",
            hcl_string(&mirror)
        );
        fs::write(workspace.cli_configuration(), configuration)?;
        Ok(workspace)
    }

    /// Where the configuration is.
    pub fn folder(&self) -> PathBuf {
        self.root.join("configuration")
    }

    /// The CLI's own configuration file.
    pub fn cli_configuration(&self) -> PathBuf {
        self.root.join("home/cli.tfrc")
    }

    /// A path in the scratch folder.
    pub fn path(&self, below: &str) -> PathBuf {
        self.root.join(below)
    }

    /// Adds to the environment of every command from now on.
    pub fn set(&mut self, name: &str, value: impl Into<OsString>) -> &mut Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Writes `main.tf`.
    pub fn write(&self, configuration: &str) -> Result<()> {
        self.write_file("main.tf", configuration)
    }

    /// Writes a file beside the configuration.
    pub fn write_file(&self, name: &str, content: &str) -> Result<()> {
        let file = self.folder().join(name);
        fs::write(&file, content).with_context(|| format!("cannot write {}", file.display()))
    }

    /// Every log of every provider and CLI, at TRACE, goes to `logs/trace.log` from now on.
    pub fn trace(&mut self) -> &mut Self {
        let log = self.path("logs/trace.log");
        self.set("TF_LOG", "TRACE").set("TF_LOG_PATH", log)
    }

    /// Starts a command and does not wait for it.
    pub fn start(&self, arguments: &[&str]) -> Result<Running> {
        self.commands.set(self.commands.get() + 1);
        let name = format!("{:03}-{}", self.commands.get(), arguments.first().unwrap_or(&"nothing"));
        let output = |stream: &str| self.root.join("logs").join(format!("{name}.{stream}"));
        let (stdout, stderr) = (output("stdout"), output("stderr"));
        let mut command = Command::new(&self.cli.binary);
        command
            .args(arguments)
            .current_dir(self.folder())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            .env("TF_CLI_CONFIG_FILE", self.cli_configuration())
            .env("TF_IN_AUTOMATION", "1")
            .env("CHECKPOINT_DISABLE", "1")
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(File::create(&stdout)?)
            .stderr(File::create(&stderr)?);
        let child = command.spawn().with_context(|| format!("cannot run {}", self.cli.binary.display()))?;
        let command = format!("{} {}", self.cli.kind.command(), arguments.join(" "));
        Ok(Running { command, child, stdout, stderr, began: Instant::now() })
    }

    /// Runs a command to its end.
    pub fn run(&self, arguments: &[&str]) -> Result<Run> {
        self.start(arguments)?.wait()
    }

    /// `validate`.
    pub fn validate(&self) -> Result<Run> {
        self.run(&["validate", "-no-color"])
    }

    /// `plan`, kept in the file `plan`.
    pub fn plan(&self) -> Result<Run> {
        self.plan_with(&[])
    }

    /// `plan` with more arguments.
    pub fn plan_with(&self, more: &[&str]) -> Result<Run> {
        self.run(&[&["plan", "-no-color", "-input=false", "-out=plan"], more].concat())
    }

    /// `plan`, which has nothing to do.
    pub fn plan_is_empty(&self) -> Result<()> {
        let run = self.plan_with(&["-detailed-exitcode"])?;
        ensure!(
            run.status.code() == Some(0),
            "the plan is not empty ({}):\n{}\n{}",
            run.status,
            run.stdout,
            run.stderr
        );
        Ok(())
    }

    /// The kept plan as JSON.
    pub fn plan_json(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.run(&["show", "-json", "plan"])?.ok()?.stdout)?)
    }

    /// The actions that the kept plan holds for a resource: `["update"]`.
    pub fn planned(&self, address: &str) -> Result<Vec<String>> {
        let plan = self.plan_json()?;
        let changes = plan["resource_changes"].as_array().cloned().unwrap_or_default();
        let change = changes.into_iter().find(|change| change["address"] == address);
        let change = change.with_context(|| format!("the plan says nothing of {address}"))?;
        Ok(serde_json::from_value(change["change"]["actions"].clone())?)
    }

    /// `apply`.
    pub fn apply(&self) -> Result<Run> {
        self.apply_with(&[])
    }

    /// `apply` with more arguments.
    pub fn apply_with(&self, more: &[&str]) -> Result<Run> {
        self.run(&[&["apply", "-no-color", "-input=false", "-auto-approve"], more].concat())
    }

    /// `apply`, started and not waited for.
    pub fn start_apply(&self) -> Result<Running> {
        self.start(&["apply", "-no-color", "-input=false", "-auto-approve"])
    }

    /// `apply` of the kept plan.
    pub fn apply_plan(&self) -> Result<Run> {
        self.run(&["apply", "-no-color", "-input=false", "plan"])
    }

    /// `destroy`.
    pub fn destroy(&self) -> Result<Run> {
        self.run(&["destroy", "-no-color", "-input=false", "-auto-approve"])
    }

    /// `import`.
    pub fn import(&self, address: &str, id: &str) -> Result<Run> {
        self.run(&["import", "-no-color", "-input=false", address, id])
    }

    /// The state as JSON.
    pub fn state(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.run(&["show", "-json"])?.ok()?.stdout)?)
    }

    /// The attributes of a resource in the state.
    pub fn attributes(&self, address: &str) -> Result<Value> {
        let state = self.state()?;
        let resources = state["values"]["root_module"]["resources"].as_array().cloned().unwrap_or_default();
        let found = resources.into_iter().find(|resource| resource["address"] == address);
        Ok(found.with_context(|| format!("{address} is not in the state"))?["values"].take())
    }

    /// The state's file.
    pub fn state_file(&self) -> PathBuf {
        self.folder().join("terraform.tfstate")
    }
}

/// A path as a string of the configuration language.
pub fn hcl_string(path: &Path) -> String {
    let text = path.to_string_lossy();
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace("${", "$${").replace("%{", "%%{"))
}
