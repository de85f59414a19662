//! `make install`: `init` of a configuration elsewhere finds the provider.

use std::process::Command;

use acceptance_tests::cli::{build_provider, implied_mirror};
use anyhow::{Result, ensure};

use crate::scene::Scene;

both_clis!(init_finds_what_was_installed);

fn init_finds_what_was_installed(scene: &mut Scene) -> Result<()> {
    let home = scene.workspace.path("home");
    let output = Command::new(env!("CARGO_BIN_EXE_install"))
        .arg("--provider")
        .arg(build_provider()?)
        .env("HOME", &home)
        .output()?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    ensure!(implied_mirror(&home).join(scene.workspace.cli.kind.address()).is_dir());

    // The lines that it prints are the configuration; the CLI has no configuration of its own.
    let lines = said.split("terraform {").nth(1).and_then(|rest| rest.split("\n}\n").next()).unwrap_or_default();
    scene.workspace.write(&format!("terraform {{{lines}\n}}\n\nprovider \"dr\" {{}}\n"))?;
    std::fs::remove_file(scene.workspace.cli_configuration())?;
    scene.workspace.set("TF_CLI_CONFIG_FILE", scene.workspace.path("home/none"));
    std::fs::write(scene.workspace.path("home/none"), "")?;
    scene.workspace.run(&["init", "-no-color", "-input=false"])?.ok()?.says(&["dr-as-code/dr v0.1.0"])?;
    scene.workspace.validate()?.ok()?;
    scene.workspace.plan_is_empty()
}
