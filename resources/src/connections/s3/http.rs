//! The HTTP client below the S3 client: one TLS stack, no proxy, and answers that can't be an S3 server's are refused here.

use super::Via;
use super::line::Line;
use crate::clock;
use crate::connections::kubernetes::ClusterError;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http::header::{CONTENT_TYPE, ETAG, HeaderMap, LOCATION};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use std::error::Error;
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
use tower::service_fn;

/// To reach the server and shake hands.
const CONNECT: Duration = Duration::from_secs(10);

/// What came can't be from an S3 server; trying again would not change it.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct NotS3(String);

/// A client for one connection; its sockets are kept for the next request. `line` hears of every answer. A tunnel stands for
/// the socket alone: signatures, `Host` and the certificate's name are those of the endpoint.
pub fn client(tls: ClientConfig, line: Arc<Line>, via: Option<&Via>) -> SharedHttpClient {
    let https = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1();
    if let Some(via) = via.cloned() {
        let tunnel = service_fn(move |_: http::Uri| {
            let Via { cluster, service } = via.clone();
            async move { cluster.tunnel(&service).await.map(TokioIo::new) }
        });
        return over(https.wrap_connector(tunnel), line);
    }
    let mut tcp = legacy::connect::HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(clock::scaled(CONNECT)));
    over(https.wrap_connector(tcp), line)
}

fn over<C>(https: HttpsConnector<C>, line: Arc<Line>) -> SharedHttpClient
where
    HttpsConnector<C>: legacy::connect::Connect + Clone + Send + Sync + 'static,
    C: Debug + 'static,
{
    let inner = legacy::Client::builder(TokioExecutor::new())
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_timer(TokioTimer::new())
        .build(https);
    let connector = SharedHttpConnector::new(Connector { inner, line });
    http_client_fn(move |_settings, _components| connector.clone())
}

#[derive(Debug)]
struct Connector<C> {
    inner: legacy::Client<HttpsConnector<C>, SdkBody>,
    line: Arc<Line>,
}

impl<C> HttpConnector for Connector<C>
where
    HttpsConnector<C>: legacy::connect::Connect + Clone + Send + Sync + 'static,
    C: Debug + 'static,
{
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (client, line) = (self.inner.clone(), self.line.clone());
        HttpConnectorFuture::new(async move {
            let request = request.try_into_http1x().map_err(|error| ConnectorError::user(error.into()))?;
            let response = client.request(request).await.map_err(unanswered)?;
            line.heard();
            if let Some(reason) = foreign(response.status(), response.headers()) {
                return Err(ConnectorError::other(NotS3(reason).into(), None));
            }
            let response = response.map(SdkBody::from_body_1_x);
            HttpResponse::try_from(response).map_err(|error| ConnectorError::other(error.into(), None))
        })
    }
}

/// A request without an answer is made again, unless it was the cluster on the way that said no or can't be reached: that was
/// tried for long enough, or stays so.
fn unanswered(error: legacy::Error) -> ConnectorError {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(inner) = cause {
        if let Some(of_cluster) = inner.downcast_ref::<ClusterError>() {
            let may_change = matches!(
                of_cluster,
                ClusterError::Nowhere { .. }
                    | ClusterError::NotFound { .. }
                    | ClusterError::Server { .. }
                    | ClusterError::Broken { .. }
            );
            if !may_change {
                return ConnectorError::other(error.into(), None);
            }
        }
        cause = inner.source();
    }
    ConnectorError::io(error.into())
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
