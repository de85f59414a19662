//! Which programs of a machine are taken for a part.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// Asks for OpenTofu on a machine that has one of this version on PATH.
fn part_beside(folder: &Path, version: &str) -> Output {
    let tofu = folder.join("tofu");
    fs::write(&tofu, format!("#!/bin/sh\necho '{{\"terraform_version\":\"{version}\"}}'\n")).unwrap();
    fs::set_permissions(&tofu, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths([folder.to_owned()].into_iter().chain(std::env::split_paths(&path))).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_part"));
    command.arg("tofu").env("PATH", path).env_remove("DR_PART_TOFU");
    command.output().unwrap()
}

#[test]
fn a_cli_that_is_too_old_is_left_aside_and_that_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let tofu = folder.path().join("tofu").display().to_string();

    let new = part_beside(folder.path(), "1.11.0");
    assert_eq!(String::from_utf8_lossy(&new.stdout).trim(), tofu);

    let old = part_beside(folder.path(), "1.8.3");
    let (found, said) = (String::from_utf8_lossy(&old.stdout), String::from_utf8_lossy(&old.stderr));
    assert!(old.status.success() && found.trim() != tofu, "{found}{said}");
    assert!(said.contains(&format!("{tofu} is 1.8.3, and 1.11 or newer is needed: it is left aside")), "{said}");
}
