//! What versions programs say they are.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Major, minor and patch.
pub(super) type Version = (u32, u32, u32);

/// Reads `1.26.8`, `1.27` and `1.27rc1`.
pub(super) fn parse(text: &str) -> Option<Version> {
    let mut numbers = text.trim().split('.').map(|number| {
        let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
        digits.parse::<u32>().ok()
    });
    Some((numbers.next()??, numbers.next()??, numbers.next().flatten().unwrap_or(0)))
}

/// Why OpenTofu or Terraform is no use here, if it is older than `least` or says nothing of the kind.
pub(super) fn too_old(cli: &Path, least: Version) -> Option<String> {
    let needed = format!("{}.{} or newer is needed", least.0, least.1);
    match of_cli(cli) {
        Ok((_, version)) if version >= least => None,
        Ok((said, _)) => Some(format!("{} is {said}, and {needed}", cli.display())),
        Err(why) => Some(format!("{} does not say its version, and {needed}: {why:#}", cli.display())),
    }
}

/// What both CLIs answer to `version -json`.
fn of_cli(cli: &Path) -> Result<(String, Version)> {
    let output = Command::new(cli)
        .args(["version", "-json"])
        // Nothing is asked of anyone elsewhere.
        .env("CHECKPOINT_DISABLE", "1")
        .stdin(Stdio::null())
        .output()
        .context("it can't be run")?;
    // OpenTofu says first what it does not like about the user's configuration of it.
    let begins = output.stdout.iter().position(|byte| *byte == b'{').context("it answers no JSON")?;
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout[begins..]).context("it answers no JSON")?;
    let said = answer["terraform_version"].as_str().context("its answer names no version")?;
    match parse(said) {
        Some(version) => Ok((said.to_owned(), version)),
        None => bail!("{said:?} is no version"),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn versions_are_read_with_and_without_a_patch() {
        assert_eq!(parse("1.26.8\n"), Some((1, 26, 8)));
        assert_eq!(parse("1.27"), Some((1, 27, 0)));
        assert_eq!(parse("1.27rc1"), Some((1, 27, 0)));
        assert_eq!(parse("1.12.0-beta1"), Some((1, 12, 0)));
        assert_eq!(parse("devel"), None);
    }

    #[test]
    fn a_cli_that_is_too_old_or_says_nothing_is_told_from_one_that_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let judged = |answer: &str| {
            let cli = folder.path().join("tofu");
            fs::write(&cli, format!("#!/bin/sh\n[ \"$*\" = 'version -json' ] && echo '{answer}'\n")).unwrap();
            fs::set_permissions(&cli, fs::Permissions::from_mode(0o755)).unwrap();
            too_old(&cli, (1, 11, 0))
        };
        for version in ["1.11.0", "1.12.6", "2.0.0"] {
            assert_eq!(judged(&format!("{{\"terraform_version\":\"{version}\"}}")), None, "{version}");
            let warned = format!("\nWarning: no such file\n{{\"terraform_version\":\"{version}\"}}");
            assert_eq!(judged(&warned), None, "{version}");
        }
        let old = judged("{\"terraform_version\":\"1.8.3\"}").unwrap();
        assert!(old.ends_with("tofu is 1.8.3, and 1.11 or newer is needed"), "{old}");
        for answer in ["OpenTofu v1.12.6", "{}", "{\"terraform_version\":\"new\"}"] {
            let silent = judged(answer).unwrap();
            assert!(silent.contains("does not say its version"), "{silent}");
        }
    }
}
