//! The main job with the repository in a bucket, on a server that works and on one that does not.

use std::time::Duration;

use acceptance_tests::servers::{Fault, Faulty, Minio, Rule, S3};
use anyhow::{Result, ensure};

use crate::scene::{Documents, Scene};

both_clis!(
    a_lost_folder_comes_back_from_a_bucket,
    a_plan_of_what_does_not_exist_asks_no_server,
    a_server_that_misbehaves_is_named_and_nothing_is_touched,
    slow_down_is_waited_out,
    a_redirect_to_another_host_is_not_followed,
    a_server_that_ignores_conditions_still_keeps_one_record,
);

/// The usual configuration, with the repository in a bucket of its own.
pub fn in_bucket(scene: &mut Scene, s3: &S3) -> Result<Documents> {
    s3.create_bucket("backups")?;
    Ok(connected(scene, s3))
}

/// The same, without making the bucket.
pub fn connected(scene: &mut Scene, s3: &S3) -> Documents {
    scene.workspace.set("TF_VAR_secret_access_key", s3.credentials.secret.clone());
    Documents {
        provider: format!(
            r#"variable "secret_access_key" {{
  type      = string
  sensitive = true
  ephemeral = true
}}

provider "dr" {{
  s3 = {{
    minio = {{
      endpoint          = "{}"
      region            = "{}"
      path_style        = true
      access_key_id     = "{}"
      secret_access_key = var.secret_access_key
    }}
  }}
}}"#,
            s3.endpoint, s3.region, s3.credentials.id
        ),
        store: r#"{ s3 = "minio", bucket = "backups", prefix = "homes/documents" }"#.into(),
        ..scene.documents()
    }
}

fn a_lost_folder_comes_back_from_a_bucket(scene: &mut Scene) -> Result<()> {
    let minio = Minio::start()?;
    let before = scene.make_data()?;
    let documents = in_bucket(scene, &minio.s3)?;
    scene.write(&documents)?;
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    ensure!(minio.s3.keys("backups", "homes/documents/snapshots/")?.len() == 1);
    let outside: Vec<_> = minio.s3.keys("backups", "")?;
    let ours = |key: &String| key.starts_with("homes/documents/") || key.starts_with("homes/documents.dr/");
    ensure!(outside.iter().all(ours), "written beside the prefix: {outside:?}");
    scene.lose_data()?;
    scene.workspace.plan()?.ok()?.says(&["Warning:"])?;
    scene.workspace.apply_plan()?.ok()?;
    before.assert_same(&scene.data())?;
    scene.workspace.plan_is_empty()
}

fn a_plan_of_what_does_not_exist_asks_no_server(scene: &mut Scene) -> Result<()> {
    let server = Faulty::start()?;
    scene.make_data()?;
    let documents = connected(scene, &server.s3);
    scene.write(&documents)?;
    scene.workspace.validate()?.ok()?;
    scene.workspace.plan()?.ok()?;
    ensure!(server.requests().is_empty(), "plan asked {:?}", server.requests());
    Ok(())
}

fn a_server_that_misbehaves_is_named_and_nothing_is_touched(scene: &mut Scene) -> Result<()> {
    let server = Faulty::start()?;
    let before = scene.make_data()?;
    let documents = in_bucket(scene, &server.s3)?;
    scene.write(&documents)?;
    for fault in [Fault::Refuse, Fault::Html, Fault::HangUp] {
        server.misbehave(Rule::always(fault.clone()));
        let run = scene.workspace.start_apply()?.wait_for(Duration::from_secs(180))?;
        run.fails(&["dr_backup_target.documents"]).map_err(|error| error.context(format!("{fault:?}")))?;
        server.behave();
        ensure!(server.s3.keys("backups", "")?.is_empty(), "{fault:?} left {:?}", server.s3.keys("backups", "")?);
        before.assert_same(&scene.data())?;
    }
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    // What is read back wrong or in part is never taken for the data.
    scene.lose_data()?;
    for fault in [Fault::CutOff, Fault::FlipBit] {
        server.misbehave(Rule::on("GET", "/homes/documents/data/", fault.clone()));
        let run = scene.workspace.start_apply()?.wait_for(Duration::from_secs(300))?;
        run.fails(&["dr_restore_job.documents"]).map_err(|error| error.context(format!("{fault:?}")))?;
        server.behave();
    }
    scene.workspace.apply()?.ok()?;
    before.assert_same(&scene.data())
}

fn slow_down_is_waited_out(scene: &mut Scene) -> Result<()> {
    let server = Faulty::start()?;
    let before = scene.make_data()?;
    let documents = in_bucket(scene, &server.s3)?;
    scene.write(&documents)?;
    server.misbehave(Rule::always(Fault::SlowDown).times(2));
    scene.workspace.apply()?.ok()?;
    scene.lose_data()?;
    server.misbehave(Rule::on("GET", "/homes/documents/data/", Fault::SlowDown).times(2));
    server.misbehave(Rule::on("GET", "/homes/documents/index/", Fault::Drip));
    scene.workspace.apply()?.ok()?;
    before.assert_same(&scene.data())
}

fn a_redirect_to_another_host_is_not_followed(scene: &mut Scene) -> Result<()> {
    let (server, other) = (Faulty::start()?, Faulty::start()?);
    scene.make_data()?;
    let documents = in_bucket(scene, &server.s3)?;
    scene.write(&documents)?;
    server.misbehave(Rule::always(Fault::RedirectTo(other.s3.endpoint.clone())));
    scene.workspace.start_apply()?.wait_for(Duration::from_secs(180))?.fails(&["dr_backup_target.documents"])?;
    ensure!(other.requests().is_empty(), "the other host was asked {:?}", other.requests());
    Ok(())
}

fn a_server_that_ignores_conditions_still_keeps_one_record(scene: &mut Scene) -> Result<()> {
    let server = Faulty::start()?;
    let before = scene.make_data()?;
    let documents = in_bucket(scene, &server.s3)?;
    scene.write(&documents)?;
    server.misbehave(Rule::on("PUT", "/backups/", Fault::IgnoreConditions));
    scene.workspace.set("DR_TEST_CLOCK_SPEED", "10");
    scene.workspace.apply()?.ok()?;
    scene.workspace.plan_is_empty()?;
    let records = server.s3.keys("backups", "homes/documents.dr/runs/")?;
    ensure!(records.len() == 1, "{records:?}");
    before.assert_same(&scene.data())
}
