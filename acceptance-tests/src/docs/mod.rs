//! The registry pages: written from the provider's models and `examples/`, in the layout that tfplugindocs gives them.

mod difference;
mod engines;
mod page;
mod schema;
mod snippet;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use dr_framework::{Redactor, Server};
use dr_resources::provider::Dr;
use serde_json::{Value, json};

pub use snippet::{Snippet, snippets};

use crate::cli::{Cli, Workspace};
use crate::parts;

/// The folders of `docs/` in which every page is generated.
const GENERATED: [&str; 3] = ["resources", "data-sources", "functions"];

/// The pages by their paths below the checkout, as they should be.
pub fn pages(checkout: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let redactor = Redactor::default();
    let server = Server::new(Dr::new(redactor.clone()), redactor);
    let examples = page::Examples { folder: checkout.join("examples") };
    let mut pages = BTreeMap::new();
    for resource in server.resources() {
        let name = page::short(resource.type_name());
        pages.insert(format!("docs/resources/{name}.md").into(), page::resource(resource, &examples)?);
    }
    for source in server.data_sources() {
        let name = page::short(source.type_name());
        pages.insert(format!("docs/data-sources/{name}.md").into(), page::data_source(source, &examples)?);
    }
    for function in server.functions() {
        pages.insert(format!("docs/functions/{}.md", function.name()).into(), page::function(function, &examples)?);
    }
    let mut guides = Vec::new();
    for file in markdown_files(&checkout.join("docs/guides"))? {
        let text = read(&file)?;
        guides.push(page::Guide::of(&file, &text)?);
        let filled = page::fill(&text, &server).and_then(|text| engines::fill(&text));
        let filled = filled.with_context(|| format!("in {}", file.display()))?;
        pages.insert(file.strip_prefix(checkout)?.to_owned(), filled);
    }
    pages.insert("docs/index.md".into(), page::index(&server, &examples, &guides)?);
    Ok(pages)
}

/// Writes the pages, and removes those of things that are gone.
pub fn write(checkout: &Path) -> Result<()> {
    let pages = pages(checkout)?;
    for leftover in leftovers(checkout, &pages)? {
        fs::remove_file(checkout.join(leftover))?;
    }
    for (path, text) in pages {
        let file = checkout.join(path);
        let folder = file.parent().context("a page lies in a folder")?;
        fs::create_dir_all(folder)?;
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// What would be written differently now; empty when the pages are up to date.
pub fn difference(checkout: &Path) -> Result<String> {
    let pages = pages(checkout)?;
    let mut found = String::new();
    for leftover in leftovers(checkout, &pages)? {
        found.push_str(&format!("{}: this page is of something that is gone\n", leftover.display()));
    }
    for (path, text) in &pages {
        let there = fs::read_to_string(checkout.join(path)).unwrap_or_default();
        found.push_str(&difference::between(path, &there, text));
    }
    Ok(found)
}

/// Checks the pages of `checkout` with the registry's own program.
pub fn validate(cli: &Cli, provider: &Path, checkout: &Path) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    let schema = scratch.path().join("schema.json");
    fs::write(&schema, schemas(cli, provider, scratch.path())?.to_string())?;
    let output = Command::new(parts::TFPLUGINDOCS.get()?)
        .args(["validate", "--provider-name=dr", "--provider-dir"])
        .arg(checkout)
        .arg("--providers-schema")
        .arg(&schema)
        .stdin(Stdio::null())
        .output()
        .context("cannot run tfplugindocs")?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("tfplugindocs validate failed:\n{}", String::from_utf8_lossy(&said));
    }
    Ok(())
}

/// The provider's schemas, under the one address that tfplugindocs looks for.
fn schemas(cli: &Cli, provider: &Path, scratch: &Path) -> Result<Value> {
    let workspace = Workspace::new(cli.clone(), provider, scratch)?;
    workspace.write("terraform {\n  required_providers {\n    dr = { source = \"dr-as-code/dr\" }\n  }\n}\n")?;
    let output = workspace.run(&["providers", "schema", "-json"])?.ok()?.stdout;
    let mut all: Value = serde_json::from_str(&output)?;
    let ours = all["provider_schemas"][cli.kind.address()].take();
    if !ours.is_object() {
        bail!("the CLI knows no schema of {}", cli.kind.address());
    }
    Ok(json!({ "format_version": "1.0", "provider_schemas": { "registry.terraform.io/hashicorp/dr": ours } }))
}

/// Pages in the generated folders that nothing is generated for.
fn leftovers(checkout: &Path, pages: &BTreeMap<PathBuf, String>) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for folder in GENERATED {
        for file in markdown_files(&checkout.join("docs").join(folder))? {
            let path = file.strip_prefix(checkout)?.to_owned();
            if !pages.contains_key(&path) {
                found.push(path);
            }
        }
    }
    Ok(found)
}

/// The Markdown files in a folder, by name; none when there is no folder.
pub fn markdown_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    if folder.exists() {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))
}
