//! The one thing that an API server asks a node for here: the logs of its containers.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

use super::super::certificates::Certificate;

/// A container's output, and whether there may be more of it.
#[derive(Debug, Clone)]
pub(super) struct Log {
    pub(super) file: PathBuf,
    pub(super) over: bool,
}

/// By `namespace/pod/container`.
pub(super) type Logs = Arc<Mutex<BTreeMap<String, Log>>>;

/// A server of logs, gone with the value.
#[derive(Debug)]
pub(super) struct Kubelet {
    pub(super) port: u16,
    _runtime: Runtime,
}

impl Kubelet {
    pub(super) fn start(certificate: &Certificate, logs: Logs) -> Result<Self> {
        let acceptor = certificate.acceptor()?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))))?;
        let port = listener.local_addr()?.port();
        runtime.spawn(accept(listener, acceptor, logs));
        Ok(Self { port, _runtime: runtime })
    }
}

async fn accept(listener: TcpListener, acceptor: TlsAcceptor, logs: Logs) {
    while let Ok((socket, _)) = listener.accept().await {
        let (acceptor, logs) = (acceptor.clone(), Arc::clone(&logs));
        tokio::spawn(async move {
            let Ok(stream) = acceptor.accept(socket).await else { return };
            let answer = service_fn(move |request| answer(request, Arc::clone(&logs)));
            // A client that goes away has read what it wanted.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
    }
}

/// `/containerLogs/<namespace>/<pod>/<container>`; one that is followed is answered once it is over.
async fn answer(request: Request<Incoming>, logs: Logs) -> Result<Response<Full<Bytes>>, Infallible> {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let parameter = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let key = request.uri().path().strip_prefix("/containerLogs/").unwrap_or_default().to_owned();
    let find = || logs.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
    while parameter("follow") == Some("true") && find().is_some_and(|log| !log.over) {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let Some(log) = find() else {
        let mut answer = Response::new(Full::from("the node has no such container\n"));
        *answer.status_mut() = StatusCode::NOT_FOUND;
        return Ok(answer);
    };
    let bytes = std::fs::read(&log.file).unwrap_or_default();
    let count = parameter("tailLines").and_then(|count| count.parse().ok());
    let mut tail = count.map_or(bytes.as_slice(), |count| last_lines(&bytes, count));
    if let Some(limit) = parameter("limitBytes").and_then(|limit| limit.parse().ok()) {
        tail = tail.get(..limit).unwrap_or(tail);
    }
    Ok(Response::new(Full::from(tail.to_vec())))
}

fn last_lines(bytes: &[u8], count: usize) -> &[u8] {
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    let before: usize = lines[..lines.len().saturating_sub(count)].iter().map(|line| line.len()).sum();
    &bytes[before..]
}

#[cfg(test)]
mod tests {
    use super::last_lines;

    #[test]
    fn the_tail_of_a_log_is_as_many_lines_as_were_asked_for() {
        assert_eq!(last_lines(b"a\nb\nc\n", 2), b"b\nc\n");
        assert_eq!(last_lines(b"a\nb\nc", 1), b"c");
        assert_eq!(last_lines(b"a\n", 5), b"a\n");
        assert_eq!(last_lines(b"", 5), b"");
    }
}
