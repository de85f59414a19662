//! Terraform and OpenTofu, run the way a person runs them, in a folder of their own.

mod process;
mod provider;
mod workspace;

use std::path::PathBuf;

use anyhow::Result;

pub use process::{Run, Running};
pub use provider::{build_provider, implied_mirror, install_into};
pub use workspace::{Workspace, hcl_string};

use crate::parts;

/// Which of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// OpenTofu.
    Tofu,
    /// Terraform.
    Terraform,
}

/// A CLI on this machine.
#[derive(Debug, Clone)]
pub struct Cli {
    /// Which it is.
    pub kind: Kind,
    /// Where it is.
    pub binary: PathBuf,
}

impl Kind {
    /// Finds it; OpenTofu is built when the machine has none, Terraform is `None` then.
    pub fn find(self) -> Result<Option<Cli>> {
        let binary = match self {
            Self::Tofu => Some(parts::TOFU.get()?),
            Self::Terraform => parts::terraform()?,
        };
        Ok(binary.map(|binary| Cli { kind: self, binary }))
    }

    /// The registry that it adds to a source address without one.
    pub fn registry(self) -> &'static str {
        match self {
            Self::Tofu => "registry.opentofu.org",
            Self::Terraform => "registry.terraform.io",
        }
    }

    /// The provider's whole address, as state and schema name it.
    pub fn address(self) -> String {
        format!("{}/dr-as-code/dr", self.registry())
    }

    /// What people type.
    pub fn command(self) -> &'static str {
        match self {
            Self::Tofu => "tofu",
            Self::Terraform => "terraform",
        }
    }
}

impl Cli {
    /// The one that the machine has: `tofu` or `terraform` on PATH if they are new enough, else OpenTofu, built.
    pub fn any() -> Result<Self> {
        if let Some(binary) = parts::TOFU.found()? {
            return Ok(Cli { kind: Kind::Tofu, binary });
        }
        match Kind::Terraform.find()? {
            Some(terraform) => Ok(terraform),
            None => Ok(Cli { kind: Kind::Tofu, binary: parts::TOFU.built()? }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn with_both(check: impl Fn(&Workspace) -> Result<()>) -> Result<()> {
        for kind in [Kind::Tofu, Kind::Terraform] {
            let Some(cli) = kind.find()? else { continue };
            let scratch = tempfile::tempdir()?;
            // Nothing in these configurations needs the provider.
            check(&Workspace::new(cli, &parts::TIME.get()?, scratch.path())?)?;
        }
        Ok(())
    }

    #[test]
    fn what_a_plan_and_a_state_hold_is_read() -> Result<()> {
        with_both(|workspace| {
            workspace.write("resource \"terraform_data\" \"one\" {\n  input = \"first\"\n}\n")?;
            workspace.validate()?.ok()?;
            workspace.plan()?.ok()?.says(&["1 to add"])?.never_says(&["1 to destroy"])?;
            assert_eq!(workspace.planned("terraform_data.one")?, ["create"]);
            assert!(workspace.plan_is_empty().is_err());
            workspace.plan()?.ok()?;
            workspace.apply_plan()?.ok()?;
            workspace.plan_is_empty()?;
            assert_eq!(workspace.attributes("terraform_data.one")?["output"], "first");
            assert!(workspace.state_file().exists());
            workspace.write("resource \"terraform_data\" \"one\" {\n  input = var.none\n}\n")?;
            workspace.plan()?.fails(&["terraform_data", "var.none"])?;
            assert!(workspace.plan()?.ok().is_err());
            workspace.write("")?;
            workspace.destroy()?.ok()?;
            assert!(workspace.attributes("terraform_data.one").is_err());
            Ok(())
        })
    }

    #[test]
    fn a_command_that_hangs_is_ended_with_what_it_said() -> Result<()> {
        with_both(|workspace| {
            workspace.write(
                "resource \"terraform_data\" \"slow\" {\n  provisioner \"local-exec\" {\n    command = \"sleep 60\"\n  }\n}\n",
            )?;
            let error = workspace.start_apply()?.wait_for(Duration::from_secs(3)).unwrap_err();
            assert!(error.to_string().contains("terraform_data.slow: Creating"), "{error}");
            Ok(())
        })
    }

    #[test]
    fn a_diagnostic_is_read_without_its_box_and_line_breaks() {
        let run = Run {
            command: "tofu plan".into(),
            status: Default::default(),
            stdout: String::new(),
            stderr: "╷\n│ Error: Unable to\n│ read the repository\n╵\n".into(),
            took: Duration::ZERO,
        };
        assert_eq!(run.said(), "Error: Unable to read the repository");
    }
}
