//! A connection to an S3 server: where it is, who we are there, and whose certificate it shows.

mod clients;
mod http;
mod line;

pub use clients::S3Clients;
pub(crate) use clients::Server;
pub(crate) use http::NotS3;
pub(crate) use line::{NO_ANSWER, Silence};

use super::kubernetes::{Cluster, ServicePort};
use super::tls::Trust;
use crate::clock;
use crate::secret::Secret;
use aws_credential_types::Credentials;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::{BehaviorVersion, Config, Region, RequestChecksumCalculation, ResponseChecksumValidation};
use aws_smithy_types::retry::RetryConfig;
use line::Line;
use std::sync::Arc;
use std::time::Duration;

/// How often a request is tried; the waits between grow from one second to twenty.
const ATTEMPTS: u32 = 5;

/// Everything about one S3 server. Nothing is read from shared configuration files, the environment or an instance's
/// metadata service.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct S3Connection {
    /// What the provider block calls it, for messages.
    pub name: Option<String>,
    /// The server, `https://host:port`; none is Amazon's own.
    pub endpoint: Option<String>,
    /// Where engines on other machines reach it, when that is somewhere else.
    pub engine_endpoint: Option<String>,
    /// The region that requests are signed for; empty is `us-east-1`.
    pub region: String,
    /// The bucket in the path instead of in the host's name.
    pub path_style: bool,
    /// Who we are; with no key, requests are not signed.
    pub access_key_id: Option<String>,
    /// The key itself.
    pub secret_access_key: Option<Secret>,
    /// Belongs to keys that end after a while.
    pub session_token: Option<Secret>,
    /// Authorities that may sign the server's certificate, instead of the system's.
    pub ca_pem: Option<String>,
    /// SHA-256 of the server's certificate, `AB:CD:..`.
    pub fingerprint: Option<String>,
    /// Any certificate will do.
    pub insecure: bool,
    /// The way there, where only a cluster reaches it.
    pub via: Option<Via>,
}

/// A tunnel through a cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct Via {
    /// The cluster.
    pub cluster: Cluster,
    /// What leads to the server there.
    pub service: ServicePort,
}

impl S3Connection {
    /// A store with a client of its own.
    #[cfg(test)]
    pub fn bucket(&self, bucket: &str, prefix: &str) -> Result<crate::store::s3::S3Store, crate::store::StoreError> {
        S3Clients::default().bucket(self, bucket, prefix)
    }

    /// The server, for messages, and to tell it from others: two clusters may each have one at the same address.
    pub fn server_name(&self) -> String {
        let endpoint = without_userinfo(self.endpoint.as_deref().unwrap_or("Amazon S3"));
        match &self.via {
            Some(via) => format!("{endpoint} via cluster `{}`", via.cluster.name()),
            None => endpoint,
        }
    }

    /// Whether the server has a name that only a cluster's own network knows, and nothing leads there.
    pub fn is_inside(&self) -> bool {
        let uri = self.endpoint.as_deref().and_then(|endpoint| endpoint.parse::<::http::Uri>().ok());
        let host = uri.as_ref().and_then(|uri| uri.host()).unwrap_or_default().trim_end_matches('.');
        self.via.is_none() && [".svc", ".cluster.local"].iter().any(|end| host.ends_with(end))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the place that everything else asks")]
    fn client(&self, line: Arc<Line>) -> Result<Client, String> {
        let trust =
            Trust { ca_pem: self.ca_pem.as_deref(), fingerprint: self.fingerprint.as_deref(), insecure: self.insecure };
        let region = if self.region.is_empty() { "us-east-1" } else { &self.region };
        let mut config = Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new(region.to_owned()))
            .force_path_style(self.path_style)
            .http_client(http::client(trust.client_config()?, line, self.via.as_ref()))
            // Older servers know no other checksums than the signature's.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
            .disable_s3_express_session_auth(true)
            .retry_config(
                RetryConfig::standard()
                    .with_max_attempts(ATTEMPTS)
                    .with_initial_backoff(clock::scaled(Duration::from_secs(1)))
                    .with_max_backoff(clock::scaled(Duration::from_secs(20))),
            );
        if let Some(endpoint) = &self.endpoint {
            config = config.endpoint_url(checked_endpoint(endpoint)?);
        }
        config = match (&self.access_key_id, &self.secret_access_key) {
            (Some(id), Some(key)) => {
                let token = self.session_token.as_ref().map(|token| token.expose().to_owned());
                config.credentials_provider(Credentials::new(id, key.expose(), token, None, "connection"))
            }
            (None, None) => config.allow_no_auth(),
            _ => return Err("access_key_id and secret_access_key go together".to_owned()),
        };
        Ok(Client::from_conf(config.build()))
    }

    /// What no message may hold.
    fn secrets(&self) -> Vec<Secret> {
        let id = self.access_key_id.as_ref().map(Secret::new);
        [id, self.secret_access_key.clone(), self.session_token.clone()].into_iter().flatten().collect()
    }
}

/// An address that requests can be made out to; the error is a sentence about `endpoint`.
pub fn checked_endpoint(endpoint: &str) -> Result<&str, String> {
    let wrong =
        || format!("endpoint has to be http://host[:port] or https://host[:port], not {}", without_userinfo(endpoint));
    let uri: ::http::Uri = endpoint.parse().map_err(|_| wrong())?;
    match uri.scheme_str() {
        Some("http" | "https") if uri.host().is_some() && !endpoint.contains('@') => Ok(endpoint),
        _ => Err(wrong()),
    }
}

/// A user and a password before the host are not for messages.
fn without_userinfo(endpoint: &str) -> String {
    match (endpoint.split_once("://"), endpoint.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_owned(),
        _ => endpoint.to_owned(),
    }
}
