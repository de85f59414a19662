//! A provider block whose values are made by the same apply: plan needs nothing that does not exist yet.

use acceptance_tests::servers::{Faulty, Minio};
use anyhow::{Result, ensure};

use crate::s3::connected;
use crate::scene::{Documents, Scene};

both_clis!(
    a_password_that_the_same_apply_makes_is_unknown_at_plan,
    a_server_that_the_same_apply_makes_is_not_asked_at_plan,
);

/// A resource whose output is `value` once it is applied; another `version` replaces it.
fn later(value: &str, version: u32) -> String {
    format!(
        "resource \"terraform_data\" \"later\" {{\n  input            = \"{value}\"\n  triggers_replace = {version}\n}}\n"
    )
}

fn a_password_that_the_same_apply_makes_is_unknown_at_plan(scene: &mut Scene) -> Result<()> {
    scene.make_data()?;
    let documents = |version: u32| Documents {
        provider: "provider \"dr\" {\n  secrets = { later_repo = terraform_data.later.output }\n}".into(),
        more: later("made-by-the-same-apply", version),
        ..scene.documents()
    };
    let write = |version| scene.workspace.write(&documents(version).configuration().replace("docs_repo", "later_repo"));
    write(1)?;
    scene.workspace.plan()?.ok()?;
    ensure!(!scene.repository().exists(), "a plan made the repository");
    scene.workspace.apply_plan()?.ok()?;
    scene.workspace.plan_is_empty()?;
    let before = scene.repository_id()?;
    // The password is unknown again while everything exists: nothing runs twice.
    write(2)?;
    scene.workspace.plan()?.ok()?;
    scene.workspace.apply_plan()?.ok()?;
    ensure!(scene.repository_id()? == before && scene.snapshots()?.len() == 1, "something ran again");
    scene.workspace.plan_is_empty()
}

fn a_server_that_the_same_apply_makes_is_not_asked_at_plan(scene: &mut Scene) -> Result<()> {
    let (minio, silent) = (Minio::start()?, Faulty::start()?);
    minio.s3.create_bucket("backups")?;
    let before = scene.make_data()?;
    let usual = connected(scene, &minio.s3);
    // Were the environment asked instead, the silent server would hear of it.
    scene.workspace.set("AWS_ENDPOINT_URL", silent.s3.endpoint.clone());
    let endpoint = format!("\"{}\"", minio.s3.endpoint);
    let documents = |version: u32| Documents {
        provider: usual.provider.replace(&endpoint, "terraform_data.later.output"),
        more: later(&minio.s3.endpoint, version),
        ..usual.clone()
    };
    scene.write(&documents(1))?;
    scene.workspace.plan()?.ok()?;
    scene.workspace.apply_plan()?.ok()?;
    scene.workspace.plan_is_empty()?;
    scene.write(&documents(2))?;
    scene.workspace.plan()?.ok()?;
    scene.workspace.apply_plan()?.ok()?;
    ensure!(minio.s3.keys("backups", "homes/documents/snapshots/")?.len() == 1, "a backup ran again");
    scene.workspace.plan_is_empty()?;
    ensure!(silent.requests().is_empty(), "another server was asked: {:?}", silent.requests());
    before.assert_same(&scene.data())
}
