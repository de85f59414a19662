//! The HTTP client below the S3 client: one TLS stack, no proxy, and answers that can't be an S3 server's are refused here.

use super::line::Line;
use crate::clock;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http::header::{CONTENT_TYPE, ETAG, HeaderMap, LOCATION};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use std::sync::Arc;
use std::time::Duration;

/// To reach the server and shake hands.
const CONNECT: Duration = Duration::from_secs(10);

/// What came can't be from an S3 server; trying again would not change it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct NotS3(String);

type Inner = legacy::Client<HttpsConnector<legacy::connect::HttpConnector>, SdkBody>;

/// A client for one connection; its sockets are kept for the next request. `line` hears of every answer.
pub fn client(tls: ClientConfig, line: Arc<Line>) -> SharedHttpClient {
    let mut tcp = legacy::connect::HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(clock::scaled(CONNECT)));
    let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(tcp);
    let inner = legacy::Client::builder(TokioExecutor::new())
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_timer(TokioTimer::new())
        .build(https);
    let connector = SharedHttpConnector::new(Connector { inner, line });
    http_client_fn(move |_settings, _components| connector.clone())
}

#[derive(Debug)]
struct Connector {
    inner: Inner,
    line: Arc<Line>,
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (client, line) = (self.inner.clone(), self.line.clone());
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let response = client.request(request).await.map_err(|error| ConnectorError::io(error.into()))?;
            line.heard();
            if let Some(reason) = foreign(response.status(), response.headers()) {
                return Err(ConnectorError::other(NotS3(reason).into(), None));
            }
            let response = response.map(SdkBody::from_body_1_x);
            HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// Why this can't be the answer of the S3 server that was asked.
fn foreign(status: http::StatusCode, headers: &HeaderMap) -> Option<String> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if status.is_redirection() && status != http::StatusCode::NOT_MODIFIED {
        if let Some(region) = headers.get("x-amz-bucket-region").and_then(|value| value.to_str().ok()) {
            return Some(format!("the bucket lives in region {region}"));
        }
        // Only the host: the rest of an address may be signed.
        let host =
            text(LOCATION).and_then(|to| to.parse::<http::Uri>().ok()).and_then(|to| to.host().map(str::to_owned));
        return Some(match host {
            Some(host) => format!("it redirects to {host}, which is not followed"),
            None => format!("it answers {status}, which is not followed"),
        });
    }
    let html = text(CONTENT_TYPE).is_some_and(|kind| kind.starts_with("text/html"));
    let s3 = headers.contains_key("x-amz-request-id") || headers.contains_key(ETAG);
    (html && !s3).then(|| format!("it answers {status} with a web page"))
}
