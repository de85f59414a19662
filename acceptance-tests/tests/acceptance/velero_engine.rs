//! Velero's engine on the real server: what it stores it brings back, into a cluster that never saw it too.

use std::sync::Arc;
use std::time::Duration;

use acceptance_tests::servers::S3;
use acceptance_tests::servers::kubernetes::{Cluster, Velero, shared};
use anyhow::{Context, Result, ensure};
use dr_framework::{Attr, Model, Path, Redactor, Value as Configured};
use dr_resources::engines;
use dr_resources::engines::concepts::{BackupBlock, OpenBackup, OpenRestore, Points, RestoreBlock};
use dr_resources::engines::table::QuiesceOrder;
use dr_resources::engines::velero::backup_block::VeleroBackupBlock;
use dr_resources::engines::velero::restore_block::VeleroRestoreBlock;
use dr_resources::ledger::Triggers;
use dr_resources::reference::{Reference, ReferencedStore};
use dr_resources::run::{
    self, BackupJob, BackupParts, BackupResult, Cancel, Cause, FirstBackup, Memory, OnFailure, OnMissing, Outcome,
    PointChoice, ReadBack, RestoreJob, RestoreParts, RestoreResult, RunError, TargetState, When,
};
use dr_resources::settings::Settings;
use dr_resources::shared::Shared;
use serde_json::{Value, json};

const MINUTE: Duration = Duration::from_secs(60);

/// A provider block with these clusters and one store.
fn provider(clusters: &[(&str, &Cluster)], s3: &S3) -> Result<Arc<Shared>> {
    let text = |text: &str| Configured::string(text);
    let cluster = |cluster: &Cluster| {
        Configured::object([
            ("host", text(&cluster.url())),
            ("token", text(cluster.token())),
            ("ca_pem", text(&cluster.ca_pem())),
        ])
    };
    let clusters = clusters.iter().map(|(name, found)| ((*name).to_owned(), cluster(found))).collect();
    let store = Configured::object([
        ("endpoint", text(&s3.endpoint)),
        ("region", text(&s3.region)),
        ("path_style", Configured::Bool(true)),
        ("access_key_id", text(&s3.credentials.id)),
        ("secret_access_key", text(&s3.credentials.secret)),
    ]);
    let block = Configured::object([
        ("kubernetes", Configured::Map(clusters)),
        ("s3", Configured::Map([("minio".to_owned(), store)].into())),
    ]);
    let shared = Shared::new(Redactor::default());
    shared.configure(Settings::from_object(&block)?);
    Ok(Arc::new(shared))
}

/// The ref of a target.
fn target(cluster: &str, name: &str, bucket: &str) -> Reference {
    Reference {
        kind: "backup_target".into(),
        engine: "velero".into(),
        connection: cluster.into(),
        scope: Velero::NAMESPACE.into(),
        name: name.into(),
        store: Attr::Known(ReferencedStore {
            kind: "s3".into(),
            connection: "minio".into(),
            bucket: bucket.into(),
            prefix: "cluster".into(),
            path: Attr::Null,
        }),
        ..Reference::default()
    }
}

fn names(names: &[&str]) -> Attr<Vec<Attr<String>>> {
    Attr::Known(names.iter().map(|name| Attr::from(*name)).collect())
}

fn opened<T>(opened: dr_framework::Result<Option<T>>) -> Result<T> {
    opened.map_err(|found| anyhow::anyhow!("{found:?}"))?.context("something is not known")
}

async fn restore(
    provider: &Shared,
    block: &VeleroRestoreBlock,
    source: &Reference,
    name: &str,
    when: When,
) -> Result<std::result::Result<RestoreResult, RunError>> {
    let OpenRestore { target, server_uid, ledger, storage, engine, .. } =
        opened(block.open(provider, source, None).await)?;
    let job = RestoreJob {
        name: name.to_owned(),
        engine: "velero".to_owned(),
        server_uid,
        target,
        locality: None,
        triggers: Triggers::new(),
        series: "repository".to_owned(),
        when,
        on_missing: OnMissing::Fail,
        on_failure: OnFailure::StayQuiesced,
        recovery_point: PointChoice::Newest,
        approved: None,
        safety_backup: true,
        perform: true,
        restores: "all of it".into(),
        rto: None,
    };
    let parts = RestoreParts {
        ledger: ledger.as_ref(),
        memory: Memory { storage: Some(storage.as_ref()), siblings: None },
        engine: engine.as_ref(),
        pause: None,
        safety: Some(engine.as_ref()),
        order: QuiesceOrder::QuiesceFirst,
        cancel: Cancel::never(),
    };
    Ok(tokio::time::timeout(3 * MINUTE, run::restore(&job, &parts)).await?)
}

async fn backup(
    provider: &Shared,
    block: &VeleroBackupBlock,
    target: &Reference,
) -> Result<std::result::Result<BackupResult, RunError>> {
    let OpenBackup { target, ledger, others, engine } = opened(block.open(provider, target))?;
    let job = BackupJob {
        name: "docs".to_owned(),
        engine: "velero".to_owned(),
        server_uid: None,
        target,
        triggers: Triggers::new(),
        series: "repository".to_owned(),
        on: vec![Cause::Create],
        first_backup: FirstBackup::Refuse,
        verify: ReadBack::Structure,
        drill: false,
    };
    let parts = BackupParts {
        ledger: ledger.as_ref(),
        after: None,
        others: others.iter().map(AsRef::as_ref).collect(),
        engine: engine.as_ref(),
        cancel: Cancel::never(),
    };
    Ok(tokio::time::timeout(3 * MINUTE, run::backup(&job, Cause::Create, &parts)).await?)
}

fn config_map(namespace: &str, name: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": { "name": name, "namespace": namespace },
        "data": { "key": value },
    })
}

fn value_of(cluster: &Cluster, namespace: &str, name: &str) -> Result<Option<String>> {
    let found = cluster.api.get("v1", "ConfigMap", namespace, name)?;
    Ok(found.and_then(|object| object["data"]["key"].as_str().map(str::to_owned)))
}

#[test]
fn what_velero_stored_comes_back_once_and_over_what_is_there_only_after_that_was_saved() -> Result<()> {
    let all = shared()?;
    let velero = all.velero()?;
    let s3 = &all.minio()?.s3;
    let runtime = tokio::runtime::Runtime::new()?;
    let namespace = all.namespace("docs")?;
    let (copy, bucket) = (format!("{namespace}-copy"), namespace.clone());
    s3.create_bucket(&bucket)?;
    Velero::location(&all.cluster, &bucket, s3, &bucket, "cluster").with_context(|| velero.controller.log())?;
    all.api().apply(&config_map(&namespace, "settings", "one"))?;
    let provider = provider(&[("prod", &all.cluster)], s3)?;
    let reference = target("prod", &bucket, &bucket);

    // A backup of exactly this namespace, with explicit retention.
    let mut block = VeleroBackupBlock { ttl: "48h".into(), ..VeleroBackupBlock::default() };
    block.template.included_namespaces = names(&[&namespace]);
    block.template.snapshot_volumes = Attr::Known(false);
    let stored = runtime.block_on(backup(&provider, &block, &reference))?.with_context(|| velero.controller.log())?;
    ensure!(stored.items > 0 && stored.warnings.is_empty(), "{stored:?}");
    let point = stored.point.context("a point")?;

    let source = engines::point_source("velero").context("velero lists points")?;
    let listed = opened(runtime.block_on(source.list(&provider, &reference, &Path::attribute("source"), 10)))?;
    let Points::Listed(listed) = listed else { anyhow::bail!("not readable") };
    ensure!(listed.len() == 1 && listed[0].id == point.id, "{listed:?}");
    ensure!(listed[0].namespaces == [namespace.clone()] && listed[0].phase == "complete", "{listed:?}");
    ensure!(listed[0].items == Some(stored.items) && listed[0].expires.is_some(), "{listed:?}");

    // Into a namespace that is missing, exactly once.
    let mapping = [(namespace.clone(), Attr::from(copy.as_str()))].into();
    let into_copy = VeleroRestoreBlock {
        included_namespaces: names(&[&namespace]),
        namespace_mapping: Attr::Known(mapping),
        ..VeleroRestoreBlock::default()
    };
    let look = opened(runtime.block_on(into_copy.look(&provider, &reference, None)))?;
    ensure!(look.probe.state == TargetState::Missing, "{:?}", look.probe);
    let result = runtime.block_on(restore(&provider, &into_copy, &reference, "copy", When::TargetMissing))?;
    let result = result.with_context(|| velero.controller.log())?;
    ensure!(result.outcome == Outcome::Restored && result.items > 0, "{result:?}");
    ensure!(value_of(&all.cluster, &copy, "settings")?.as_deref() == Some("one"));
    let again = runtime.block_on(restore(&provider, &into_copy, &reference, "copy", When::TargetMissingOrEmpty))?;
    ensure!(matches!(&again, Ok(again) if again.adopted || again.outcome == Outcome::NotNeeded), "{again:?}");

    // Over what is there: saved first, then made as it was.
    all.api().apply(&config_map(&namespace, "settings", "two"))?;
    let in_place = VeleroRestoreBlock {
        included_namespaces: names(&[&namespace]),
        included_resources: names(&["configmaps"]),
        existing_resource_policy: "update".into(),
        ..VeleroRestoreBlock::default()
    };
    let result = runtime.block_on(restore(&provider, &in_place, &reference, "back", When::Always))?;
    result.with_context(|| velero.controller.log())?;
    ensure!(value_of(&all.cluster, &namespace, "settings")?.as_deref() == Some("one"));
    let listed = opened(runtime.block_on(source.list(&provider, &reference, &Path::attribute("source"), 10)))?;
    let Points::Listed(listed) = listed else { anyhow::bail!("not readable") };
    ensure!(listed.iter().filter(|point| point.phase == "safety").count() == 1, "{listed:?}");

    // What would bring no data is refused, and nothing is made.
    let unknown = VeleroRestoreBlock { included_namespaces: names(&["nowhere"]), ..VeleroRestoreBlock::default() };
    let refused = runtime.block_on(restore(&provider, &unknown, &reference, "nothing", When::TargetMissing))?;
    ensure!(matches!(refused, Err(RunError::NoPoint { .. })), "{refused:?}");
    velero.controller.check()
}

#[test]
fn a_cluster_that_never_saw_a_backup_restores_it_from_a_bucket_that_it_may_only_read() -> Result<()> {
    let all = shared()?;
    let velero = all.velero()?;
    let s3 = &all.minio()?.s3;
    let runtime = tokio::runtime::Runtime::new()?;
    let namespace = all.namespace("docs")?;
    s3.create_bucket(&namespace)?;
    Velero::location(&all.cluster, &namespace, s3, &namespace, "cluster").with_context(|| velero.controller.log())?;
    all.api().apply(&config_map(&namespace, "settings", "one"))?;
    let scratch = Cluster::start()?;
    let other = Velero::start(&scratch)?;
    let provider = provider(&[("prod", &all.cluster), ("scratch", &scratch)], s3)?;
    let reference = target("prod", &namespace, &namespace);
    let mut block = VeleroBackupBlock { ttl: "48h".into(), ..VeleroBackupBlock::default() };
    block.template.included_namespaces = names(&[&namespace]);
    block.template.snapshot_volumes = Attr::Known(false);
    runtime.block_on(backup(&provider, &block, &reference))?.with_context(|| velero.controller.log())?;

    let elsewhere = VeleroRestoreBlock {
        cluster: "scratch".into(),
        included_namespaces: names(&[&namespace]),
        ..VeleroRestoreBlock::default()
    };
    // Without a location there, nothing is made and the error says what to add.
    let refused = runtime.block_on(restore(&provider, &elsewhere, &reference, "drill", When::TargetMissing))?;
    let refused = refused.err().context("it is refused")?.to_string();
    ensure!(refused.contains("register it with a dr_backup_target there"), "{refused}");

    // It goes by another name here.
    Velero::location(&scratch, "archive", s3, &namespace, "cluster").with_context(|| other.controller.log())?;
    let read_only = json!({ "spec": { "accessMode": "ReadOnly" } });
    scratch.api.patch(Velero::API, "BackupStorageLocation", Velero::NAMESPACE, "archive", &read_only)?;
    let result = runtime.block_on(restore(&provider, &elsewhere, &reference, "drill", When::TargetMissing))?;
    let result = result.with_context(|| other.controller.log())?;
    ensure!(result.outcome == Outcome::Restored, "{result:?}");
    ensure!(value_of(&scratch, &namespace, "settings")?.as_deref() == Some("one"));
    ensure!(result.incarnation.is_some(), "{result:?}");
    other.controller.check()
}
