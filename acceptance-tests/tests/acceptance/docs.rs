//! The registry pages say what the code says, what the guides show runs, and numbered scenarios have their tests.

use std::fs;
use std::path::{Path, PathBuf};

use acceptance_tests::cli::{Kind, build_provider};
use acceptance_tests::docs::{self, Snippet};
use acceptance_tests::parts;
use anyhow::{Context, Result, ensure};

use crate::scene::{PASSWORD, Scene};

both_clis!(every_configuration_in_a_guide_runs);

/// What a snippet may take as given, by how it is named and how it is declared.
const GIVEN: [(&str, &str, &str); 10] = [
    ("", "terraform {", "terraform {\n  required_providers {\n    dr = { source = \"dr-as-code/dr\" }\n  }\n}\n"),
    ("", "provider \"dr\" {", "provider \"dr\" {\n  secrets = { docs_repo = var.docs_repo_password }\n}\n"),
    ("var.access_key_id", "variable \"access_key_id\"", "variable \"access_key_id\" {\n  type = string\n}\n"),
    (
        "var.secret_access_key",
        "variable \"secret_access_key\"",
        "variable \"secret_access_key\" {\n  type      = string\n  sensitive = true\n  ephemeral = true\n}\n",
    ),
    (
        "var.docs_repo_password",
        "variable \"docs_repo_password\"",
        "variable \"docs_repo_password\" {\n  type      = string\n  sensitive = true\n  ephemeral = true\n}\n",
    ),
    (
        "dr_restore_job.docs",
        "resource \"dr_restore_job\" \"docs\"",
        "resource \"dr_restore_job\" \"docs\" {\n  name       = \"docs\"\n  source     = dr_backup_target.docs.ref\n  \
         on_missing = \"skip\"\n  restic     = { path = \"/srv/docs\" }\n}\n",
    ),
    (
        "dr_backup_job.docs",
        "resource \"dr_backup_job\" \"docs\"",
        "resource \"dr_backup_job\" \"docs\" {\n  name   = \"docs\"\n  target = dr_backup_target.docs.ref\n  restic = { paths = \
         [\"/srv/docs\"] }\n}\n",
    ),
    (
        "dr_backup_target.docs.ref",
        "resource \"dr_backup_target\" \"docs\"",
        "resource \"dr_backup_target\" \"docs\" {\n  name   = \"docs\"\n  store  = { local = { path = \"/backup/docs\" } }\n  \
         restic = { password = \"docs_repo\" }\n}\n",
    ),
    ("dr_retention_policy.tiered", "resource \"dr_retention_policy\" \"tiered\"", POLICY),
    ("var.release", "variable \"release\"", "variable \"release\" {\n  type    = string\n  default = \"1\"\n}\n"),
];

const POLICY: &str = "resource \"dr_retention_policy\" \"tiered\" {\n  name       = \"tiered\"\n  keep_daily = 7\n}\n";

#[test]
fn the_registry_pages_are_up_to_date() -> Result<()> {
    let difference = docs::difference(&parts::checkout())?;
    ensure!(difference.is_empty(), "run `make docs`:\n{difference}");
    Ok(())
}

#[test]
fn a_page_that_is_stale_or_left_over_is_told() -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let root = parts::checkout();
    for folder in ["docs", "examples"] {
        copy(&root.join(folder), &scratch.path().join(folder))?;
    }
    let page = scratch.path().join("docs/resources/backup_target.md");
    let text = fs::read_to_string(&page)?;
    fs::write(&page, text.replace("Where the data lies", "Where the data lay"))?;
    fs::write(scratch.path().join("docs/resources/gone.md"), "# gone\n")?;
    let difference = docs::difference(scratch.path())?;
    for part in ["docs/resources/gone.md", "docs/resources/backup_target.md", "Where the data lay"] {
        ensure!(difference.contains(part), "{part} is not in:\n{difference}");
    }
    docs::write(scratch.path())?;
    ensure!(docs::difference(scratch.path())?.is_empty());
    ensure!(fs::read_to_string(&page)? == text && !scratch.path().join("docs/resources/gone.md").exists());
    Ok(())
}

#[test]
fn the_registry_would_take_the_pages() -> Result<()> {
    let cli = Kind::Tofu.find()?.context("OpenTofu can be built")?;
    docs::validate(&cli, &build_provider()?, &parts::checkout())
}

#[test]
fn every_link_leads_somewhere() -> Result<()> {
    let root = parts::checkout();
    let mut files: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/quickstart/README.md"]
        .map(|file| root.join(file))
        .to_vec();
    for folder in ["docs", "docs/guides", "docs/design", "docs/resources", "docs/data-sources", "docs/functions"] {
        files.extend(docs::markdown_files(&root.join(folder))?);
    }
    let (mut seen, mut broken) = (0, Vec::new());
    for file in files {
        let text = fs::read_to_string(&file)?;
        for link in text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(link, _)| link) {
            seen += 1;
            if !leads_somewhere(&file, &text, link) {
                broken.push(format!("{}: {link}", file.display()));
            }
        }
    }
    ensure!(seen > 50, "only {seen} links were found");
    ensure!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(())
}

#[test]
fn the_note_on_numbered_scenarios_names_tests_that_there_are() -> Result<()> {
    let root = parts::checkout();
    let note = fs::read_to_string(root.join("docs/design/0014-scenarios-by-number.md"))?;
    let mut sources = Vec::new();
    for folder in ["acceptance-tests", "framework", "proto", "provider", "resources"] {
        rust_sources(&root.join(folder), &mut sources)?;
    }
    let (mut numbers, mut wrong) = (Vec::new(), Vec::new());
    for row in note.lines().filter(|line| line.starts_with("| ")).skip(1) {
        let [_, number, _, tests, _] = row.split('|').map(str::trim).collect::<Vec<_>>()[..] else {
            anyhow::bail!("not three cells: {row}");
        };
        numbers.push(number.replace(' ', "_").to_lowercase());
        let named: Vec<_> = tests.split('`').skip(1).step_by(2).collect();
        ensure!(named.is_empty() == tests.starts_with("no test: "), "{number} has neither a test nor a reason: {row}");
        let gone = named.into_iter().filter(|name| !is_a_test(name, &sources));
        wrong.extend(gone.map(|name| format!("{number}: {name}")));
    }
    for name in sources.iter().flat_map(|(_, text)| functions(text)) {
        wrong.extend(number_of(name).filter(|number| !numbers.contains(number)).map(|_| format!("no number: {name}")));
    }
    ensure!(numbers.len() > 60, "only {} scenarios were found", numbers.len());
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

/// The functions of a file; those of a macro are declared like any other.
fn functions(text: &str) -> impl Iterator<Item = &str> {
    text.split("fn ").skip(1).filter_map(|rest| rest.split_once('(')).map(|(name, _)| name)
}

/// Whether the function is in its module: `…/module.rs`, or a file below `…/module/`.
fn is_a_test(path: &str, sources: &[(String, String)]) -> bool {
    let (modules, name) = path.rsplit_once("::").unwrap_or_default();
    let module = modules.rsplit("::").next().unwrap_or_default();
    let is_there = |file: &str| file.contains(&format!("/{module}.rs")) || file.contains(&format!("/{module}/"));
    sources.iter().any(|(file, text)| is_there(file) && functions(text).any(|function| function == name))
}

/// The number that a name begins with: `b6`, `m16`, or `minor_17`.
fn number_of(name: &str) -> Option<String> {
    let (kind, rest) = ["minor_", "b", "m"].into_iter().find_map(|kind| Some((kind, name.strip_prefix(kind)?)))?;
    let number: u32 = rest.split_once('_')?.0.parse().ok()?;
    Some(format!("{kind}{number}"))
}

/// The Rust files below a folder, without what was built there.
fn rust_sources(folder: &Path, found: &mut Vec<(String, String)>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") {
            rust_sources(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push((path.to_string_lossy().into_owned(), fs::read_to_string(&path)?));
        }
    }
    Ok(())
}

/// Whether a link is to a file that there is, or to a place in its own page. Other sites are not asked.
fn leads_somewhere(file: &Path, text: &str, link: &str) -> bool {
    let title = |line: &str| line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
    match link.strip_prefix('#') {
        _ if link.contains("://") => true,
        Some(place) => {
            text.contains(&format!("id=\"{place}\""))
                || text.lines().any(|line| line.starts_with('#') && title(line) == place)
        }
        None => {
            let path = link.split('#').next().unwrap_or_default();
            file.parent().is_some_and(|folder| folder.join(path).exists())
        }
    }
}

/// A snippet stands alone but for what it names and does not declare. What needs a server, or something that exists
/// already, is validated; everything else is applied.
fn every_configuration_in_a_guide_runs(scene: &mut Scene) -> Result<()> {
    scene.workspace.set("TF_VAR_docs_repo_password", PASSWORD);
    let mut pages = docs::markdown_files(&parts::checkout().join("docs/guides"))?;
    pages.push(parts::checkout().join("README.md"));
    let mut ran = 0;
    for page in pages {
        for snippet in docs::snippets(&fs::read_to_string(&page)?) {
            ran += 1;
            let root = prepare(scene, ran)?;
            let place = format!("{}:{}", page.display(), snippet.line);
            run(scene, &snippet, &root).with_context(|| format!("{place}\n{}", snippet.text))?;
        }
    }
    ensure!(ran >= 10, "only {ran} configurations were found");
    Ok(())
}

fn run(scene: &Scene, snippet: &Snippet, root: &Path) -> Result<()> {
    let workspace = &scene.workspace;
    let text = whole(&snippet.text);
    workspace.write(&text.replace("\"/", &format!("\"{}/", root.display())))?;
    // What is a part of a block is read together with the example that it is taken from.
    if snippet.note == "fragment" {
        return Ok(());
    }
    workspace.validate()?.ok()?;
    let plain: Vec<&str> = snippet.text.lines().filter_map(|line| line.split('#').next()).collect();
    let is_there = |word: &str| plain.iter().any(|line| line.contains(word));
    if is_there("import {") || is_there("kubernetes ") || is_there("s3 ") || is_there("removed {") {
        return Ok(());
    }
    workspace.apply()?.ok()?;
    workspace.plan_is_empty()?;
    workspace.destroy()?.ok()?;
    Ok(())
}

/// The snippet with what it names and does not declare.
fn whole(snippet: &str) -> String {
    let mut text = snippet.to_owned();
    let mut before = 0;
    while text.len() != before {
        before = text.len();
        for (name, declaration, given) in GIVEN {
            if text.contains(name) && !text.contains(declaration) {
                text.push_str(&format!("\n{given}"));
            }
        }
    }
    text
}

/// The folders that the guides speak of.
fn prepare(scene: &Scene, run: usize) -> Result<PathBuf> {
    let root = scene.workspace.path(&format!("guide-{run}"));
    for folder in ["backup", "srv/docs", "var/tmp/drill"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::write(root.join("srv/docs/letter.txt"), "Dear all,\n")?;
    Ok(root)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}
