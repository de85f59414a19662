//! `make install`: puts the provider where `init` of any configuration on this machine finds it.

use std::path::PathBuf;

use acceptance_tests::cli::{Kind, implied_mirror, install_into};
use anyhow::{Context, Result};
use clap::Parser;

/// Installs the provider for the one who runs it.
#[derive(Debug, Parser)]
struct Arguments {
    /// The provider's binary.
    #[arg(long)]
    provider: PathBuf,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let home = std::env::home_dir().context("there is no home folder: set HOME")?;
    for kind in [Kind::Tofu, Kind::Terraform] {
        let file = install_into(&implied_mirror(&home), kind, &arguments.provider)?;
        println!("{:<10} {}", format!("{}:", kind.command()), file.display());
    }
    println!(
        r#"
Add this to a configuration, then run `tofu init` or `terraform init`:

terraform {{
  required_providers {{
    dr = {{
      source  = "dr-as-code/dr"
      version = "{}"
    }}
  }}
}}

A configuration that has been initialised with another build of this version has its checksum in
.terraform.lock.hcl: delete the lines of dr-as-code/dr there and initialise again. Where your CLI configuration
has a provider_installation block, add these folders to it as filesystem_mirror."#,
        env!("CARGO_PKG_VERSION")
    );
    Ok(())
}
