//! The five steps of the quickstart, and the summary.

use std::fs;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rand::Rng;

use super::progress::follow;
use super::storage::Storage;
use super::{bytes, thousands};
use crate::cli::{Cli, Run, Workspace};
use crate::parts::checkout;
use crate::tree::{Manifest, Recipe, make};

/// What to run it with.
#[derive(Debug)]
pub struct Options {
    /// The provider's binary.
    pub provider: PathBuf,
    /// The CLI.
    pub cli: Cli,
    /// The scratch folder: everything that is written is below it, and it is left there.
    pub root: PathBuf,
    /// How much data.
    pub recipe: Recipe,
}

/// The quickstart under way: what has been done, and how long it took.
struct Story {
    workspace: Workspace,
    storage: Storage,
    data: PathBuf,
    took: Vec<(&'static str, Duration)>,
}

/// Tells it all.
pub fn tell(options: &Options) -> Result<()> {
    println!("Everything is written below {}\n", options.root.display());
    let data = options.root.join("documents");
    let storage = Storage::from_environment(&options.root, &data)?;
    let workspace = Workspace::with_mirror(options.cli.clone(), &options.provider, &options.root)?;
    let mut story = Story { workspace, storage, data, took: Vec::new() };

    let before = story.make_data(&options.recipe)?;
    story.back_up()?;
    story.lose_and_recover()?;
    story.prove(&before)?;
    story.summary(&before)
}

impl Story {
    fn make_data(&mut self, recipe: &Recipe) -> Result<Manifest> {
        println!("1. Make a folder like anyone's: {}", self.data.display());
        let began = Instant::now();
        let made = make(&self.data, recipe)?;
        let manifest = Manifest::of(&self.data)?;
        println!("   {} files, {}, with links, holes and odd names", thousands(made.files as u64), bytes(made.bytes));
        if let Some(why) = made.without_attributes {
            println!("   ({why})");
        }
        self.took.push(("make the data", began.elapsed()));
        Ok(manifest)
    }

    fn back_up(&mut self) -> Result<()> {
        println!("\n2. Back it up to {}", self.storage.describe());
        let examples = checkout().join("examples/quickstart");
        for name in ["main.tf", "variables.tf"] {
            fs::copy(examples.join(name), self.workspace.folder().join(name))?;
        }
        let password = word(32);
        write_secret(&self.workspace.path("password"), &password)?;
        self.workspace.set("TF_VAR_data", self.data.as_os_str()).set("TF_VAR_repository_password", password);
        self.storage.set_variables(&mut self.workspace);
        self.command("init", &["init", "-no-color", "-input=false"])?;
        self.command("first apply: backup", &APPLY)?;
        Ok(())
    }

    fn lose_and_recover(&mut self) -> Result<()> {
        println!("\n3. Lose it: rm -r {}", self.data.display());
        fs::remove_dir_all(&self.data).context("cannot delete the data")?;
        let plan = self.command("plan of the restore", &["plan", "-no-color", "-input=false", "-out=plan"])?;
        for line in what_it_warns_of(&plan) {
            println!("   | {line}");
        }
        self.command("apply of that plan: restore", &["apply", "-no-color", "-input=false", "plan"])?;
        Ok(())
    }

    fn prove(&mut self, before: &Manifest) -> Result<()> {
        println!("\n4. Compare");
        let began = Instant::now();
        before.assert_same(&self.data)?;
        println!("   every byte, mode, time, link and attribute is as it was");
        self.took.push(("compare", began.elapsed()));
        let run =
            self.command("plan, with nothing to do", &["plan", "-no-color", "-input=false", "-detailed-exitcode"])?;
        ensure!(run.status.code() == Some(0), "there is still something to do:\n{}", run.stdout);
        println!("   nothing is left to do");
        Ok(())
    }

    /// Runs a command of the CLI, says what it is, and how it ended.
    fn command(&mut self, what: &'static str, arguments: &[&str]) -> Result<Run> {
        let shown: Vec<&str> =
            arguments.iter().copied().filter(|argument| !argument.starts_with("-no-color")).collect();
        println!("   $ {} {}", self.workspace.cli.kind.command(), shown.join(" "));
        let run = follow(self.workspace.start(arguments)?, &self.storage)?.ok()?;
        let ending =
            |line: &&str| ["Plan:", "Apply complete!", "No changes."].iter().any(|start| line.starts_with(start));
        for line in run.stdout.lines().filter(ending) {
            println!("   {line}");
        }
        self.took.push((what, run.took));
        Ok(run)
    }

    fn summary(&self, before: &Manifest) -> Result<()> {
        let size = thousands(before.files() as u64);
        println!("\n5. {size} files ({}) were backed up, lost and brought back\n", bytes(before.bytes()));
        for (what, took) in &self.took {
            println!("   {:>7.1} s  {what}", took.as_secs_f64());
        }
        let stored = self.storage.size().map(|size| format!("   ({})", bytes(size))).unwrap_or_default();
        println!("\n   data           {}", self.data.display());
        println!("   backups        {}{stored}", self.storage.describe());
        println!("   configuration  {}", self.workspace.folder().display());
        println!("   CLI output     {}", self.workspace.path("logs").display());
        let settings = self.write_settings()?;
        println!("\nWhat to try next:");
        println!("   . {}", settings.display());
        println!("   {} apply -var release=2       # another backup", self.workspace.cli.kind.command());
        println!("   rm -r {} && {} apply", self.data.display(), self.workspace.cli.kind.command());
        println!(
            "   restic -r {} snapshots    # any restic reads it; the password is in {}",
            self.storage.describe(),
            self.workspace.path("password").display()
        );
        println!("   rm -r {}    # when you have seen enough", self.workspace.root.display());
        Ok(())
    }

    /// A file to source that takes a shell where the quickstart was.
    fn write_settings(&self) -> Result<PathBuf> {
        let quote = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
        let mut text = format!("cd {}\n", quote(&self.workspace.folder().to_string_lossy()));
        let configuration = self.workspace.cli_configuration();
        text.push_str(&format!("export TF_CLI_CONFIG_FILE={}\n", quote(&configuration.to_string_lossy())));
        for (name, value) in &self.workspace.environment {
            text.push_str(&format!("export {}={}\n", name.to_string_lossy(), quote(&value.to_string_lossy())));
        }
        let file = self.workspace.path("settings.sh");
        write_secret(&file, &text)?;
        Ok(file)
    }
}

const APPLY: [&str; 4] = ["apply", "-no-color", "-input=false", "-auto-approve"];

/// The warnings of a plan, without their boxes.
fn what_it_warns_of(plan: &Run) -> Vec<String> {
    let mut lines = Vec::new();
    let mut inside = false;
    for line in plan.stdout.lines().chain(plan.stderr.lines()) {
        let line = line.trim_start_matches(['│', '╷', '╵']).trim();
        inside = line.starts_with("Warning:") || (inside && !line.starts_with("───") && !line.starts_with("Plan:"));
        if inside && !line.is_empty() {
            lines.push(line.to_owned());
        }
    }
    lines
}

/// A random word of letters and digits.
pub(super) fn word(length: usize) -> String {
    rand::rng()
        .sample_iter(rand::distr::Alphanumeric)
        .take(length)
        .map(|byte| char::from(byte).to_ascii_lowercase())
        .collect()
}

fn write_secret(file: &Path, text: &str) -> Result<()> {
    use std::io::Write;
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(file)?;
    Ok(file.write_all(text.as_bytes())?)
}
