//! Every example in the registry pages is applied, with its paths moved below a scratch folder.

use std::fs;
use std::path::{Path, PathBuf};

use acceptance_tests::parts;
use acceptance_tests::servers::kubernetes::shared;
use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::scene::Scene;

both_clis!(
    every_example_of_a_resource_applies,
    every_example_of_a_data_source_applies,
    every_example_of_a_function_applies,
    the_example_of_the_provider_applies,
    every_example_is_formatted,
);

/// The example files of one kind: `examples/<kind>/<name>/<file>`.
fn examples(kind: &str, file: &str) -> Result<Vec<PathBuf>> {
    let folder = parts::checkout().join("examples").join(kind);
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("there are no examples in {}", folder.display()))? {
        let example = entry?.path().join(file);
        ensure!(example.exists(), "{} is missing", example.display());
        found.push(example);
    }
    found.sort();
    ensure!(!found.is_empty(), "there are no examples of {kind}");
    Ok(found)
}

/// The same text with every absolute path below the scratch folder.
fn moved(text: &str, root: &Path) -> String {
    text.replace("\"/", &format!("\"{}/", root.display()))
}

/// The folders that the examples speak of.
fn prepare(scene: &Scene, run: usize) -> Result<PathBuf> {
    let root = scene.workspace.path(&format!("example-{run}"));
    fs::create_dir_all(root.join("backup"))?;
    fs::create_dir_all(root.join("srv/docs"))?;
    fs::write(root.join("srv/docs/letter.txt"), "Dear all,\n")?;
    Ok(root)
}

/// The same text on the servers of the tests: the kubeconfig where people have theirs, and names that are nobody else's.
fn on_servers(scene: &mut Scene, text: &str) -> Result<String> {
    let shared = shared()?;
    shared.velero()?;
    let s3 = &shared.minio()?.s3;
    let name = format!("x{:08x}", rand::random::<u32>());
    s3.create_bucket(&name)?;
    let folder = scene.workspace.path("home/.kube");
    fs::create_dir_all(&folder)?;
    let mut kubeconfig: Value = serde_json::from_str(&fs::read_to_string(shared.cluster.kubeconfig_path())?)?;
    kubeconfig["contexts"][0]["name"] = "prod".into();
    kubeconfig["current-context"] = "prod".into();
    fs::write(folder.join("config"), kubeconfig.to_string())?;
    scene.workspace.set("TF_VAR_minio_secret_access_key", s3.credentials.secret.clone());
    Ok(text
        .replace("http://127.0.0.1:9000", &s3.endpoint)
        .replace("\"backups\"", &format!("{:?}", s3.credentials.id))
        .replace("bucket = \"velero\"", &format!("bucket = {name:?}"))
        .replace("\"garage\"", &format!("{name:?}"))
        .replace("= \"daily\"", &format!("= \"{name}-daily\"")))
}

fn apply(scene: &mut Scene, files: &[PathBuf], with_provider: bool) -> Result<()> {
    scene.workspace.set("TF_VAR_docs_repo_password", crate::scene::PASSWORD);
    scene.workspace.set("TF_VAR_minio_secret_access_key", "not used");
    let provider = fs::read_to_string(parts::checkout().join("examples/provider/provider.tf"))?;
    for (run, file) in files.iter().enumerate() {
        let root = prepare(scene, run)?;
        let text = if with_provider { provider.clone() } else { String::new() } + "\n" + &fs::read_to_string(file)?;
        let text = if file.to_string_lossy().contains("dr_backup_schedule") { on_servers(scene, &text)? } else { text };
        scene.workspace.write(&moved(&text, &root))?;
        let what = || format!("{}", file.display());
        scene.workspace.validate()?.ok().with_context(what)?;
        scene.workspace.apply()?.ok().with_context(what)?;
        scene.workspace.plan_is_empty().with_context(what)?;
        scene.workspace.destroy()?.ok().with_context(what)?;
    }
    Ok(())
}

fn every_example_of_a_resource_applies(scene: &mut Scene) -> Result<()> {
    apply(scene, &examples("resources", "resource.tf")?, true)
}

fn every_example_of_a_data_source_applies(scene: &mut Scene) -> Result<()> {
    apply(scene, &examples("data-sources", "data-source.tf")?, true)
}

fn every_example_of_a_function_applies(scene: &mut Scene) -> Result<()> {
    apply(scene, &examples("functions", "function.tf")?, true)
}

fn the_example_of_the_provider_applies(scene: &mut Scene) -> Result<()> {
    apply(scene, &[parts::checkout().join("examples/provider/provider.tf")], false)
}

fn every_example_is_formatted(scene: &mut Scene) -> Result<()> {
    let folder = parts::checkout().join("examples");
    let run = scene.workspace.run(&["fmt", "-check", "-diff", "-recursive", &folder.to_string_lossy()])?;
    run.ok()?;
    Ok(())
}
