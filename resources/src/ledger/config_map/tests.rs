//! The same leases as in any store, in ConfigMaps of an API server that keeps resource versions.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;

use super::super::store::Timing;
use super::super::{JobKind, LastRun, Phase, Verdict};
use super::*;
use crate::connections::kubernetes::Unreachable;

/// ConfigMaps of one namespace, as an API server keeps them.
#[derive(Default)]
struct Server {
    maps: Mutex<(u64, BTreeMap<String, Value>)>,
    no_namespace: AtomicBool,
    hangs: AtomicBool,
}

const PATH: &str = "/api/v1/namespaces/docs/configmaps";

impl Server {
    fn ledger(self: &Arc<Self>) -> ConfigMapLedger {
        let server = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let server = server.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                if server.hangs.load(Ordering::SeqCst) {
                    std::future::pending::<()>().await;
                }
                let body = serde_json::from_slice(&body).unwrap_or_default();
                let (status, answer) = server.answer(&parts.method, parts.uri.path(), parts.uri.query(), body);
                let answer = Response::builder().status(status).body(Body::from(answer.to_string().into_bytes()));
                Ok::<_, std::convert::Infallible>(answer.unwrap())
            }
        });
        let cluster = Cluster::with_client("prod", kube::Client::new(service, "default"), Unreachable::Fail);
        let mut ledger = ConfigMapLedger::new(cluster, "docs");
        let millis = Duration::from_millis;
        ledger.ledger.timing = Timing {
            stale: millis(400),
            renew: millis(100),
            settle: millis(40),
            look: millis(20),
            progress: millis(50),
        };
        ledger
    }

    fn answer(&self, method: &Method, path: &str, query: Option<&str>, mut body: Value) -> (u16, Value) {
        let no = |code: u16, reason: &str, kind: &str| {
            (code, json!({ "kind": "Status", "reason": reason, "details": { "name": "docs", "kind": kind } }))
        };
        let mut state = self.maps.lock().unwrap();
        let (clock, maps) = &mut *state;
        let name = path.strip_prefix(PATH).unwrap().trim_start_matches('/').to_owned();
        let mut store = |maps: &mut BTreeMap<String, Value>, name: &str, mut body: Value| {
            *clock += 1;
            body["metadata"]["resourceVersion"] = clock.to_string().into();
            maps.insert(name.to_owned(), body.clone());
            (200, body)
        };
        match *method {
            Method::GET if name.is_empty() => {
                assert!(query.unwrap().contains("labelSelector=dr%2Fledger%3Drun"));
                let runs = maps.values().filter(|map| map["metadata"]["labels"]["dr/ledger"] == "run");
                (200, json!({ "metadata": {}, "items": runs.collect::<Vec<_>>() }))
            }
            Method::GET => maps.get(&name).map_or_else(|| no(404, "NotFound", "configmaps"), |map| (200, map.clone())),
            Method::POST => {
                let name = body["metadata"]["name"].as_str().unwrap().to_owned();
                if self.no_namespace.load(Ordering::SeqCst) {
                    no(404, "NotFound", "namespaces")
                } else if maps.contains_key(&name) {
                    no(409, "AlreadyExists", "configmaps")
                } else {
                    store(maps, &name, body)
                }
            }
            Method::PUT => {
                let version = body["metadata"]["resourceVersion"].take();
                match maps.get(&name) {
                    None => no(404, "NotFound", "configmaps"),
                    Some(map) if map["metadata"]["resourceVersion"] != version => no(409, "Conflict", "configmaps"),
                    Some(_) => store(maps, &name, body),
                }
            }
            Method::PATCH => store(maps, &name, body),
            Method::DELETE => maps.remove(&name).map_or_else(|| no(404, "NotFound", "configmaps"), |map| (200, map)),
            _ => panic!("{method} {path}"),
        }
    }
}

fn record() -> Record {
    Record::new(JobKind::Restore, "0123456789abcdef", "docs", "volsync", "docs/data")
}

#[tokio::test]
async fn a_record_is_a_labelled_config_map_that_no_backup_of_velero_holds() {
    let server = Arc::new(Server::default());
    let ledger = server.ledger();
    assert_eq!(ledger.describe(), "the ConfigMaps in namespace `docs` of cluster `prod`");
    let mut record = record();
    let acquired = ledger.acquire(&record).await.unwrap();
    record.phase = Phase::Writing;
    acquired.lease.write(&record).await.unwrap();
    acquired.lease.release().await;
    let map = server.maps.lock().unwrap().1["dr-run-0123456789abcdef"].clone();
    assert_eq!(map["metadata"]["labels"]["dr/ledger"], "run");
    assert_eq!(map["metadata"]["labels"]["velero.io/exclude-from-backup"], "true");
    assert_eq!(ledger.read(&record.key).await.unwrap().unwrap().phase, Phase::Writing);
    let listed = ledger.list().await.unwrap();
    assert_eq!((listed.len(), listed[0].key.as_str()), (1, "0123456789abcdef"));
    assert!(ledger.read("ffffffffffffffff").await.unwrap().is_none());
}

#[tokio::test]
async fn the_second_waits_for_the_first_and_takes_over_from_one_that_died() {
    let server = Arc::new(Server::default());
    let (ledger, mut record) = (server.ledger(), record());
    let first = ledger.acquire(&record).await.unwrap();
    let second = tokio::spawn({
        let (ledger, record) = (server.ledger(), record.clone());
        async move { ledger.acquire(&record).await.unwrap() }
    });
    tokio::time::sleep(Duration::from_millis(900)).await;
    assert!(!second.is_finished(), "renewals keep it");
    (record.phase, record.verdict) = (Phase::Done, Some(Verdict::Restored));
    first.lease.write(&record).await.unwrap();
    // Its process dies.
    drop(first);
    let second = second.await.unwrap();
    assert!(second.waited);
    assert_eq!(second.found.unwrap().last_run(), LastRun::Succeeded);
}

#[tokio::test]
async fn a_holder_whose_record_was_written_by_another_is_told() {
    let server = Arc::new(Server::default());
    let (ledger, record) = (server.ledger(), record());
    let first = ledger.acquire(&record).await.unwrap();
    {
        let mut state = server.maps.lock().unwrap();
        let map = state.1.get_mut("dr-run-0123456789abcdef").unwrap();
        let theirs = map["data"]["record.json"].as_str().unwrap().replace("holder\": \"", "holder\": \"x");
        map["data"]["record.json"] = theirs.into();
        map["metadata"]["resourceVersion"] = "9999".into();
    }
    let error = first.lease.write(&record).await.unwrap_err();
    assert!(matches!(error, LedgerError::LeaseLost { .. }), "{error}");
    first.lease.lost().await;
}

#[tokio::test]
async fn a_holder_whose_cluster_does_not_answer_stops_before_others_take_over() {
    let server = Arc::new(Server::default());
    let (ledger, record) = (server.ledger(), record());
    let first = ledger.acquire(&record).await.unwrap();
    server.hangs.store(true, Ordering::SeqCst);
    // The lease is stale after 400 ms.
    tokio::time::timeout(Duration::from_millis(395), first.lease.lost()).await.unwrap();
}

#[tokio::test]
async fn a_series_of_any_name_is_seen_once_it_is_marked() {
    let server = Arc::new(Server::default());
    let ledger = server.ledger();
    for series in ["docs", "Docs_of.Ada", "/srv/docs"] {
        assert!(!ledger.seen(series).await.unwrap());
        ledger.mark_seen(series).await.unwrap();
        ledger.mark_seen(series).await.unwrap();
        assert!(ledger.seen(series).await.unwrap());
    }
    let names: Vec<String> = server.maps.lock().unwrap().1.keys().cloned().collect();
    let plain = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    assert_eq!(names.len(), 3);
    assert!(names.iter().all(|name| name.len() <= 63 && name.chars().all(plain)), "{names:?}");
    assert!(ledger.list().await.unwrap().is_empty(), "they are no runs");
}

#[tokio::test]
async fn old_runs_shrink_to_stubs() {
    let server = Arc::new(Server::default());
    let ledger = server.ledger();
    for run in 0..7 {
        let mut record = Record { key: format!("{run:016x}"), ..record() };
        (record.phase, record.verdict) = (Phase::Done, Some(Verdict::Restored));
        record.counts.files = 7;
        record.times.updated = Some(jiff::Timestamp::from_second(run).unwrap());
        let acquired = ledger.acquire(&record).await.unwrap();
        acquired.lease.write(&record).await.unwrap();
        acquired.lease.release().await;
    }
    ledger.tidy("docs/data").await.unwrap();
    let detailed = ledger.list().await.unwrap().iter().filter(|record| record.counts.files == 7).count();
    assert_eq!(detailed, 5);
}

#[tokio::test]
async fn a_missing_namespace_and_a_record_that_was_emptied_are_errors() {
    let server = Arc::new(Server::default());
    let (ledger, record) = (server.ledger(), record());
    server.no_namespace.store(true, Ordering::SeqCst);
    let error = ledger.acquire(&record).await.err().unwrap();
    assert_eq!(error.to_string(), "the run ledger: there is no namespace `docs` on cluster `prod`");
    server.no_namespace.store(false, Ordering::SeqCst);
    ledger.acquire(&record).await.unwrap().lease.release().await;
    server.maps.lock().unwrap().1.get_mut("dr-run-0123456789abcdef").unwrap()["data"] = json!({});
    let error = ledger.read(&record.key).await.unwrap_err();
    assert!(matches!(error, LedgerError::Damaged { .. }), "{error}");
}
