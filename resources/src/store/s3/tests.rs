//! Against a real server, and against answers that no good server gives.

use crate::connections::s3::{S3Clients, S3Connection};
use crate::store::testing::{Minio, canned, connection};
use crate::store::{Condition, Entry, ObjectStore, Put, StoreError};
use bytes::Bytes;
use sha2::Digest;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

#[tokio::test]
async fn a_real_server_keeps_objects_ranges_pages_and_conditions() {
    let minio = Minio::start();
    let store = minio.connection().bucket("bucket", "a/b").unwrap();
    assert!(store.get("x").await.unwrap().is_none());
    assert_eq!(store.list("").await.unwrap(), []);

    let Put::Written(etag) = store.put("x", Bytes::from("hello"), Condition::Absent).await.unwrap() else { panic!() };
    assert_eq!(store.put("x", Bytes::from("again"), Condition::Absent).await.unwrap(), Put::ConditionFailed);
    let object = store.get("x").await.unwrap().unwrap();
    assert_eq!((object.bytes, &object.etag), (Bytes::from("hello"), &etag));
    assert_eq!(store.get_range("x", 1, 3).await.unwrap(), "ell");
    assert!(matches!(store.get_range("x", 3, 30).await, Err(StoreError::BadAnswer { .. })));
    assert!(matches!(store.get_range("none", 3, 30).await, Err(StoreError::BadAnswer { .. })));

    let matches = Condition::Matches(etag);
    assert!(matches!(store.put("x", Bytes::from("new"), matches.clone()).await.unwrap(), Put::Written(_)));
    assert_eq!(store.put("x", Bytes::from("newer"), matches.clone()).await.unwrap(), Put::ConditionFailed);
    assert_eq!(store.put("none", Bytes::from("newer"), matches).await.unwrap(), Put::ConditionFailed);

    let many = (0..1005).map(|n| {
        let store = &store;
        async move { store.put(&format!("many/{n:04}"), Bytes::from("1"), Condition::Any).await.unwrap() }
    });
    use futures::StreamExt;
    futures::stream::iter(many).buffer_unordered(16).collect::<Vec<_>>().await;
    let listed = store.list("many/").await.unwrap();
    assert_eq!(listed.len(), 1005);
    assert_eq!(listed[0], Entry { name: "many/0000".into(), size: 1 });
    assert_eq!(store.list("").await.unwrap().len(), 1006);
    assert_eq!(store.list_folders("").await.unwrap(), ["many"]);
    assert_eq!(store.list_folders("many/").await.unwrap(), [""; 0]);

    store.delete("x").await.unwrap();
    store.delete("x").await.unwrap();
    assert!(store.get("x").await.unwrap().is_none());

    let other = minio.connection().bucket("nowhere", "").unwrap();
    assert!(matches!(other.get("x").await, Err(StoreError::Missing { .. })));
    assert!(matches!(other.list("").await, Err(StoreError::Missing { .. })));

    let mut wrong = minio.connection();
    wrong.secret_access_key = Some(crate::secret::Secret::new("wrong-secret-key"));
    let error = wrong.bucket("bucket", "").unwrap().get("x").await.unwrap_err();
    assert!(matches!(&error, StoreError::Denied { .. }), "{error}");
    assert!(
        !error.to_string().contains("wrong-secret-key") && !error.to_string().contains("test-access-key"),
        "{error}"
    );
}

async fn get_from(port: u16) -> String {
    match connection(port).bucket("bucket", "p").unwrap().get("x").await {
        Err(error) => error.to_string(),
        Ok(_) => panic!("that was no answer"),
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_said_to_be_unreachable() {
    let message = get_from(1).await;
    assert!(message.starts_with("s3://bucket/p on http://127.0.0.1:1 can't be reached: "), "{message}");
}

#[tokio::test]
async fn a_server_that_only_a_cluster_can_know_is_told_with_the_way_there() {
    let message = async |endpoint: &str| {
        let clients = S3Clients::impatient(Duration::from_millis(300));
        let connection = S3Connection { endpoint: Some(endpoint.to_owned()), ..connection(1) };
        clients.bucket(&connection, "bucket", "p").unwrap().get("x").await.map(drop).unwrap_err().to_string()
    };
    let inside = message("http://garage.storage.svc.cluster.local:1").await;
    assert!(inside.contains("can't be reached") && inside.contains("`via` of the connection"), "{inside}");
    assert!(message("http://garage.storage.svc:1").await.contains("`via` of the connection"));
    assert!(!message("http://127.0.0.1:1").await.contains("via"));
}

#[tokio::test]
async fn a_redirect_to_another_host_is_not_followed() {
    let port = canned(|mut stream| {
        let _ = stream.write_all(
            b"HTTP/1.1 307 Temporary Redirect\r\nLocation: http://elsewhere.example/x?X-Amz-Signature=abc\r\nContent-Length: 0\r\n\r\n",
        );
    });
    let message = get_from(port).await;
    assert!(
        message.ends_with("gave no usable answer: it redirects to elsewhere.example, which is not followed"),
        "{message}"
    );
}

#[tokio::test]
async fn a_web_page_is_no_object() {
    let port = canned(|mut stream| {
        let _ =
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>");
    });
    let message = get_from(port).await;
    assert!(message.ends_with("it answers 200 OK with a web page"), "{message}");
    let store = connection(port).bucket("bucket", "").unwrap();
    assert!(store.put("x", Bytes::from("1"), Condition::Any).await.is_err());
    assert!(store.list("").await.is_err());
    assert!(store.delete("x").await.is_err());
}

#[tokio::test]
async fn a_body_that_breaks_off_is_fetched_again_and_then_said() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let port = canned(move |mut stream| {
        let whole = counted.fetch_add(1, Ordering::SeqCst) >= 1;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 5\r\n\r\n");
        let _ = stream.write_all(if whole { b"hello" } else { b"he" });
    });
    let store = connection(port).bucket("bucket", "").unwrap();
    assert_eq!(store.get("x").await.unwrap().unwrap().bytes, "hello");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_server_that_drips_or_says_nothing_is_given_up_after_a_while() {
    let dripping = canned(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 500\r\n\r\n");
        while stream.write_all(b".").is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    });
    let silent = canned(|stream| {
        std::thread::sleep(std::time::Duration::from_secs(60));
        drop(stream);
    });
    for (port, message) in
        [(dripping, "gave no usable answer: the answer came too slowly"), (silent, "no answer in time")]
    {
        let mut store = connection(port).bucket("bucket", "").unwrap();
        store.patience = std::time::Duration::from_millis(300);
        let error = store.get("x").await.unwrap_err().to_string();
        assert!(error.ends_with(message), "{error}");
    }
}

#[tokio::test]
async fn another_certificate_is_refused_and_a_named_authority_or_fingerprint_accepted() {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned(), "localhost".to_owned()]).unwrap();
    let fingerprint = hex::encode_upper(sha2::Sha256::digest(made.cert.der()));
    let pairs: Vec<_> = fingerprint.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap()).collect();
    let minio = Minio::start_with_certificate(&made.cert.pem(), &made.signing_key.serialize_pem());
    let plain = minio.connection();
    let accepted = [
        S3Connection { ca_pem: Some(made.cert.pem()), ..plain.clone() },
        S3Connection { fingerprint: Some(pairs.join(":")), ..plain.clone() },
        S3Connection { insecure: true, ..plain.clone() },
    ];
    for connection in accepted {
        assert_eq!(connection.bucket("bucket", "").unwrap().list("").await.unwrap(), []);
    }
    let refused = [S3Connection { fingerprint: Some("AB".repeat(32)), insecure: true, ..plain.clone() }, plain];
    for connection in refused {
        let error = connection.bucket("bucket", "").unwrap().list("").await.unwrap_err();
        assert!(matches!(&error, StoreError::Unreachable { .. }), "{error}");
        assert!(error.to_string().contains("certificate"), "{error}");
    }
}

#[tokio::test]
async fn slow_down_is_tried_again_and_then_said() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let port = canned(move |mut stream| {
        let times = counted.fetch_add(1, Ordering::SeqCst);
        let body = "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>";
        let answer = match times {
            0 => {
                format!("HTTP/1.1 503 Slow Down\r\nx-amz-request-id: 1\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            }
            _ => "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 2\r\n\r\nok".to_owned(),
        };
        let _ = stream.write_all(answer.as_bytes());
    });
    let store = connection(port).bucket("bucket", "").unwrap();
    assert_eq!(store.get("x").await.unwrap().unwrap().bytes, "ok");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn an_answer_that_was_lost_does_not_make_a_conditional_write_fail() {
    let minio = Minio::start();
    let store = minio.connection().bucket("bucket", "").unwrap();
    // What the lost first attempt wrote.
    store.put("x", Bytes::from("mine"), Condition::Any).await.unwrap();
    let real: u16 = minio.connection().endpoint.unwrap().rsplit(':').next().unwrap().parse().unwrap();
    let lost = Arc::new(AtomicUsize::new(0));
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = proxy.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in proxy.incoming().flatten() {
            if lost.fetch_add(1, Ordering::SeqCst) == 0 {
                continue;
            }
            let server = std::net::TcpStream::connect(("127.0.0.1", real)).unwrap();
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
            let (mut from, mut to) = (server, client);
            std::thread::spawn(move || std::io::copy(&mut from, &mut to));
        }
    });
    let store = connection(port).bucket("bucket", "").unwrap();
    assert!(matches!(store.put("x", Bytes::from("mine"), Condition::Absent).await.unwrap(), Put::Written(_)));
    assert_eq!(store.put("x", Bytes::from("other"), Condition::Absent).await.unwrap(), Put::ConditionFailed);
}

/// A connection called `lab`, as the provider block gives it.
fn lab(port: u16) -> S3Connection {
    S3Connection { name: Some("lab".into()), ..connection(port) }
}

#[tokio::test]
async fn a_refused_connection_is_tried_by_one_and_told_to_all_by_name() {
    let clients = S3Clients::default();
    let stores: Vec<_> = (0..50).map(|n| clients.bucket(&lab(1), "bucket", &n.to_string()).unwrap()).collect();
    let began = std::time::Instant::now();
    let errors = futures::future::join_all(stores.iter().map(|store| store.get("x"))).await;
    let took = began.elapsed();
    for (n, error) in errors.into_iter().enumerate() {
        let message = error.unwrap_err().to_string();
        let expected = format!("s3://bucket/{n} on http://127.0.0.1:1 (connection `lab`) can't be reached: ");
        assert!(message.starts_with(&expected), "{message}");
    }
    let again = std::time::Instant::now();
    assert!(stores[0].list("").await.is_err());
    assert!(again.elapsed() < std::time::Duration::from_millis(100) && took.as_secs() < 30, "{took:?}");
}

#[tokio::test]
async fn a_server_that_accepts_and_never_answers_holds_up_nobody_twice_and_is_tried_again_by_the_apply() {
    let (tried, thawed) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, state) = (tried.clone(), thawed.clone());
    let port = canned(move |mut stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        if state.load(Ordering::SeqCst) == 0 {
            std::thread::sleep(std::time::Duration::from_secs(20));
        }
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nETag: \"1\"\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
    });
    let clients = S3Clients::impatient(std::time::Duration::from_millis(300));
    let began = std::time::Instant::now();
    // Each as a resource does it: with a store of its own.
    let ask = async |n: usize| clients.bucket(&lab(port), "bucket", &n.to_string()).unwrap().get("x").await;
    let answers = futures::future::join_all((0..1000).map(ask)).await;
    for answer in answers {
        let message = answer.unwrap_err().to_string();
        assert!(message.ends_with("(connection `lab`) can't be reached: no answer in time"), "{message}");
    }
    assert!(ask(0).await.is_err());
    assert_eq!(tried.load(Ordering::SeqCst), 1);
    assert!(began.elapsed().as_secs() < 10, "{:?}", began.elapsed());

    thawed.store(1, Ordering::SeqCst);
    assert!(ask(0).await.is_err(), "a refresh believes it to its end");
    assert_eq!(tried.load(Ordering::SeqCst), 1);
    clients.apply_begins();
    for answer in futures::future::join_all((0..5).map(ask)).await {
        assert_eq!(answer.unwrap().unwrap().bytes, "ok");
    }
    assert!(tried.load(Ordering::SeqCst) > 1);
}

#[tokio::test]
async fn an_answer_that_is_an_error_is_an_answer() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let port = canned(move |mut stream| {
        counted.fetch_add(1, Ordering::SeqCst);
        let _ = stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    });
    let store = S3Clients::default().bucket(&lab(port), "bucket", "").unwrap();
    for _ in 0..3 {
        assert!(matches!(store.get("x").await, Err(StoreError::Denied { .. })));
    }
    assert_eq!(asked.load(Ordering::SeqCst), 3);
}
