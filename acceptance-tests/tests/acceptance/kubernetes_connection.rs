//! The connection to a cluster against a real API server: what it says no with, and what is made of that; killed,
//! emptied and paused.

use std::time::Duration;

use acceptance_tests::servers::kubernetes::{Cluster as Server, Grant};
use anyhow::{Context, Result, ensure};
use dr_framework::Redactor;
use dr_resources::connections::kubernetes::{
    Cluster, ClusterError, FIELD_MANAGER, Kind, KubernetesConnection, Unreachable, Way, Who, field_owners,
};
use dr_resources::ledger::{ConfigMapLedger, JobKind, LedgerStore, Phase, Record};
use dr_resources::secret::Secret;
use dr_resources::waiting::WaitingSlots;
use serde_json::{Value, json};

fn connection(server: &Server, who: Who) -> KubernetesConnection {
    KubernetesConnection {
        way: Way::Host { host: server.url(), who },
        ca_pem: Some(server.ca_pem()),
        proxy_url: None,
        tls_server_name: None,
        insecure: false,
        unreachable: Unreachable::Fail,
        expect_server_uid: None,
    }
}

fn connect(connection: KubernetesConnection) -> Cluster {
    Cluster::new("prod", connection, Redactor::default(), WaitingSlots::default())
}

fn admin(server: &Server) -> Cluster {
    connect(connection(server, Who::Token(Secret::new(server.token()))))
}

fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(future)
}

/// The servers of tests wait in a runtime of their own.
fn aside<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

fn map(value: &str) -> Value {
    json!({ "data": { "key": value } })
}

static MAP: Kind = Kind::CONFIG_MAP;

#[test]
fn objects_come_and_go_and_each_refusal_of_the_server_has_its_own_error() -> Result<()> {
    let server = Server::start()?;
    block_on(async {
        let cluster = admin(&server);
        ensure!(cluster.uid().await? == aside(|| server.uid())?);
        ensure!(cluster.get(&MAP, "default", "one").await?.is_none());
        ensure!(cluster.get(&MAP, "nowhere", "one").await?.is_none());
        let missing = cluster.apply(&MAP, "nowhere", "one", map("1"), false).await;
        ensure!(
            matches!(&missing, Err(ClusterError::NoNamespace { namespace, .. }) if namespace == "nowhere"),
            "{missing:?}"
        );

        let schedule = Kind::namespaced("velero.io", "v1", "Schedule", "schedules");
        ensure!(!cluster.serves(&schedule).await?);
        ensure!(cluster.serves(&MAP).await?);
        for missing in [
            cluster.get(&schedule, "default", "daily").await.map(drop),
            cluster.list(&schedule, Some("default"), None).await.map(drop),
            cluster.apply(&schedule, "default", "daily", json!({}), false).await.map(drop),
            cluster.delete(&schedule, "default", "daily", None).await.map(drop),
        ] {
            ensure!(matches!(missing, Err(ClusterError::MissingKind { .. })), "{missing:?}");
        }
        // A group that is served, in a version that is not.
        let old = Kind::namespaced("apps", "v1beta1", "Deployment", "deployments");
        let missing = cluster.get(&old, "default", "app").await;
        ensure!(matches!(missing, Err(ClusterError::MissingKind { .. })), "{missing:?}");

        let applied = cluster.apply(&MAP, "default", "one", map("1"), false).await?;
        ensure!(field_owners(&applied, &["data", "key"]) == [FIELD_MANAGER]);
        let twice = cluster.create(&MAP, "default", json!({ "metadata": { "name": "one" } })).await;
        ensure!(matches!(twice, Err(ClusterError::AlreadyExists { .. })), "{twice:?}");

        let theirs = json!({ "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": { "name": "one", "namespace": "default" }, "data": { "key": "theirs" } });
        aside(|| server.api.apply_as("kubectl-edit", &theirs))?;
        match cluster.apply(&MAP, "default", "one", map("2"), false).await {
            Err(ClusterError::Conflict { fields_and_managers, .. }) => {
                ensure!(fields_and_managers == [(".data.key".to_owned(), "kubectl-edit".to_owned())]);
            }
            other => anyhow::bail!("{other:?}"),
        }
        cluster.apply(&MAP, "default", "one", map("2"), true).await?;
        let changed = cluster.replace(&MAP, "default", &applied).await;
        ensure!(matches!(changed, Err(ClusterError::Changed { .. })), "{changed:?}");
        let version = applied.metadata.resource_version.as_deref();
        let changed = cluster.merge(&MAP, "default", "one", map("3"), version).await;
        ensure!(matches!(changed, Err(ClusterError::Changed { .. })), "{changed:?}");
        cluster.merge(&MAP, "default", "one", map("3"), None).await?;

        let wrong = cluster.apply(&MAP, "default", "one", json!({ "sparkles": 1 }), false).await;
        ensure!(
            matches!(&wrong, Err(ClusterError::Lacks { fields, .. }) if fields.iter().any(|field| field.contains("sparkles"))),
            "{wrong:?}"
        );
        let wrong = cluster.create(&MAP, "default", json!({ "metadata": { "name": "Not A Name" } })).await;
        ensure!(
            matches!(&wrong, Err(ClusterError::Invalid { fields, .. }) if fields == &["metadata.name"]),
            "{wrong:?}"
        );

        let changed = cluster.delete(&MAP, "default", "one", Some("another")).await;
        ensure!(matches!(changed, Err(ClusterError::Changed { .. })), "{changed:?}");
        ensure!(cluster.delete(&MAP, "default", "one", applied.metadata.uid.as_deref()).await?);
        ensure!(!cluster.delete(&MAP, "default", "one", None).await?);
        let gone = cluster.merge(&MAP, "default", "one", map("3"), None).await;
        ensure!(matches!(gone, Err(ClusterError::NotFound { .. })), "{gone:?}");
        Ok(())
    })
}

#[test]
fn a_list_of_more_than_a_page_is_whole() -> Result<()> {
    let server = Server::start()?;
    block_on(async {
        let cluster = admin(&server);
        let make = |number: usize| {
            let body = json!({ "metadata": { "name": format!("map-{number}"), "labels": { "even": number.is_multiple_of(2).to_string() } } });
            let cluster = cluster.clone();
            async move { cluster.create(&MAP, "default", body).await }
        };
        let numbers: Vec<usize> = (0..1100).collect();
        for some in numbers.chunks(50) {
            for made in futures::future::join_all(some.iter().map(|number| make(*number))).await {
                made?;
            }
        }
        let listed = cluster.list(&MAP, Some("default"), Some("even=true")).await?;
        ensure!(listed.len() == 550, "{}", listed.len());
        ensure!(cluster.list(&MAP, Some("default"), None).await?.len() >= 1100);
        ensure!(cluster.find(&MAP, "default", "map-1099").await?.is_some());
        Ok(())
    })
}

#[test]
fn the_rule_that_a_refusal_prints_is_the_one_that_is_missing() -> Result<()> {
    let server = Server::start()?;
    let token = server.service_user("ada", &[])?;
    block_on(async {
        let cluster = connect(connection(&server, Who::Token(Secret::new(token))));
        let mut rules = Vec::new();
        // Applying what does not exist needs two rights, one after the other.
        for verb in ["patch", "create"] {
            match cluster.apply(&MAP, "default", "one", map("1"), false).await {
                Err(ClusterError::Forbidden(right)) => {
                    ensure!(right.verb == verb && right.namespace == "default", "{right}");
                    rules.push(
                        json!({ "apiGroups": [right.group], "resources": [right.resource], "verbs": [right.verb] }),
                    );
                }
                other => anyhow::bail!("{verb}: {other:?}"),
            }
            aside(|| server.service_user("ada", &[Grant::within("default", json!(rules))]))?;
            // The authorizer hears of a new role a moment later.
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        cluster.apply(&MAP, "default", "one", map("1"), false).await?;
        let refused = cluster.uid().await;
        ensure!(matches!(&refused, Err(ClusterError::Forbidden(right)) if right.verb == "get"), "{refused:?}");
        let refused = cluster.pod_log("default", "one", None, 5).await;
        ensure!(matches!(&refused, Err(ClusterError::Forbidden(right)) if right.resource == "pods/log"), "{refused:?}");
        // What may not be listed is read by name.
        let read = json!({ "apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"] });
        aside(|| server.service_user("ada", &[Grant::within("default", json!([read]))]))?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        ensure!(cluster.find(&MAP, "default", "one").await?.is_some());
        Ok(())
    })
}

#[test]
fn a_wrong_token_and_a_foreign_authority_are_not_unreachable_and_a_renewed_token_is_used() -> Result<()> {
    let server = Server::start()?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("token");
    std::fs::write(&file, "wrong\n")?;
    block_on(async {
        let cluster = connect(connection(&server, Who::TokenFile(file.clone())));
        let refused = cluster.uid().await;
        ensure!(matches!(refused, Err(ClusterError::Unauthorized { .. })), "{refused:?}");
        std::fs::write(&file, format!("{}\n", server.token()))?;
        ensure!(cluster.uid().await? == aside(|| server.uid())?);

        let untrusted =
            KubernetesConnection { ca_pem: None, ..connection(&server, Who::Token(Secret::new(server.token()))) };
        let refused = connect(untrusted).uid().await;
        ensure!(matches!(refused, Err(ClusterError::Broken { .. })), "{refused:?}");

        let file = Way::Files { paths: vec![server.kubeconfig_path()], context: None };
        let by_file =
            KubernetesConnection { way: file, ca_pem: None, ..connection(&server, Who::TokenFile("".into())) };
        ensure!(connect(by_file).uid().await? == aside(|| server.uid())?);
        Ok(())
    })
}

#[test]
fn a_server_that_is_killed_and_comes_back_was_never_gone_and_an_emptied_one_is_another() -> Result<()> {
    let server = Server::start()?;
    let cluster = admin(&server);
    cluster.apply_begins();
    let runtime = tokio::runtime::Runtime::new()?;
    let uid = runtime.block_on(cluster.uid())?;
    server.kill();
    std::thread::scope(|scope| {
        let back = scope.spawn(|| {
            std::thread::sleep(Duration::from_secs(3));
            server.restart()
        });
        let found = runtime.block_on(cluster.get(&Kind::NAMESPACE, "", "default"));
        back.join().ok().context("the restart panicked")??;
        ensure!(found?.is_some());
        Ok(())
    })?;
    ensure!(runtime.block_on(cluster.uid())? == uid);
    server.empty()?;
    // For how long the answer is believed during an apply.
    std::thread::sleep(Duration::from_secs(6));
    ensure!(runtime.block_on(cluster.uid())? != uid, "an apply that takes minutes sees another cluster");
    Ok(())
}

#[test]
fn a_paused_server_can_not_be_reached() -> Result<()> {
    let server = Server::start()?;
    block_on(async {
        let cluster = admin(&server);
        aside(|| server.pause())?;
        let error = cluster.uid().await.err().context("a paused server answered")?;
        ensure!(matches!(error, ClusterError::Unreachable { .. }), "{error}");
        aside(|| server.resume())?;
        let error = cluster.uid().await.err().context("the verdict of a refresh stands")?;
        ensure!(matches!(error, ClusterError::Unreachable { .. }), "{error}");
        cluster.apply_begins();
        ensure!(cluster.uid().await? == aside(|| server.uid())?);
        Ok(())
    })
}

#[test]
fn records_of_runs_are_leases_on_config_maps() -> Result<()> {
    let server = Server::start()?;
    block_on(async {
        let (ours, theirs) = (admin(&server), admin(&server));
        let (ours, theirs) = (ConfigMapLedger::new(ours, "default"), ConfigMapLedger::new(theirs, "default"));
        let mut record = Record::new(JobKind::Restore, "0123456789abcdef", "docs", "volsync", "default/data");
        let held = ours.acquire(&record).await?;
        ensure!(held.found.is_none() && !held.waited);
        record.phase = Phase::Writing;
        held.lease.write(&record).await?;
        let waiting = tokio::time::timeout(Duration::from_secs(2), theirs.acquire(&record)).await;
        ensure!(waiting.is_err(), "two hold one record");
        held.lease.release().await;
        let next = theirs.acquire(&record).await?;
        ensure!(next.found.context("the record is there")?.phase == Phase::Writing);
        next.lease.release().await;
        ensure!(ours.list().await?.len() == 1);
        ensure!(!ours.seen("docs").await?);
        ours.mark_seen("docs").await?;
        ours.mark_seen("docs").await?;
        ensure!(theirs.seen("docs").await?);
        Ok(())
    })
}
