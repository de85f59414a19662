//! Connections on the pipe to a worker, the one place where their secrets are meant to go.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dr_framework::Redactor;
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::connections::kubernetes::{Cluster, Exec, KubernetesConnection, ServicePort, Unreachable, Way, Who};
use crate::connections::s3::{S3Connection, Via};
use crate::secret::Secret;
use crate::waiting::WaitingSlots;

#[derive(Serialize, Deserialize)]
#[serde(remote = "S3Connection")]
pub(super) struct S3Wire {
    name: Option<String>,
    endpoint: Option<String>,
    engine_endpoint: Option<String>,
    region: String,
    path_style: bool,
    access_key_id: Option<String>,
    #[serde(serialize_with = "exposed_option")]
    secret_access_key: Option<Secret>,
    #[serde(serialize_with = "exposed_option")]
    session_token: Option<Secret>,
    ca_pem: Option<String>,
    fingerprint: Option<String>,
    insecure: bool,
    #[serde(serialize_with = "put_via", deserialize_with = "take_via")]
    via: Option<Via>,
}

/// The worker makes a tunnel of its own: what goes wrong with it is then its own error, and nothing listens on this machine.
#[derive(Serialize, Deserialize)]
struct ViaWire {
    cluster: String,
    #[serde(with = "KubernetesWire")]
    connection: KubernetesConnection,
    service: String,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "KubernetesConnection")]
struct KubernetesWire {
    #[serde(with = "WayWire")]
    way: Way,
    ca_pem: Option<String>,
    proxy_url: Option<String>,
    tls_server_name: Option<String>,
    insecure: bool,
    /// It is the provider that decides what becomes of a resource.
    #[serde(skip)]
    unreachable: Unreachable,
    expect_server_uid: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Way", rename_all = "snake_case")]
enum WayWire {
    Files {
        paths: Vec<PathBuf>,
        context: Option<String>,
    },
    Text {
        #[serde(serialize_with = "exposed")]
        text: Secret,
        context: Option<String>,
    },
    Host {
        host: String,
        #[serde(with = "WhoWire")]
        who: Who,
    },
    InCluster,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Who", rename_all = "snake_case")]
enum WhoWire {
    Token(#[serde(serialize_with = "exposed")] Secret),
    TokenFile(PathBuf),
    Certificate {
        certificate_pem: String,
        #[serde(serialize_with = "exposed")]
        key_pem: Secret,
    },
    Exec(#[serde(with = "ExecWire")] Exec),
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Exec")]
struct ExecWire {
    api_version: String,
    command: String,
    args: Vec<String>,
    #[serde(serialize_with = "exposed_all")]
    env: BTreeMap<String, Secret>,
}

fn put_via<S: Serializer>(via: &Option<Via>, serializer: S) -> Result<S::Ok, S::Error> {
    let Some(Via { cluster, service }) = via else { return serializer.serialize_none() };
    let connection = cluster.connection().ok_or_else(|| S::Error::custom("a cluster that only this process knows"))?;
    let wire =
        ViaWire { cluster: cluster.name().to_owned(), connection: connection.clone(), service: service.to_string() };
    serializer.serialize_some(&wire)
}

fn take_via<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Via>, D::Error> {
    let Some(ViaWire { cluster, connection, service }) = Option::deserialize(deserializer)? else { return Ok(None) };
    let service: ServicePort = service.parse().map_err(D::Error::custom)?;
    let cluster = Cluster::new(&cluster, connection, Redactor::default(), WaitingSlots::default());
    Ok(Some(Via { cluster, service }))
}

pub(super) fn exposed<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

fn exposed_option<S: Serializer>(secret: &Option<Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    secret.as_ref().map(Secret::expose).serialize(serializer)
}

fn exposed_all<S: Serializer>(secrets: &BTreeMap<String, Secret>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(secrets.iter().map(|(name, secret)| (name, secret.expose())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Carried(#[serde(with = "S3Wire")] S3Connection);

    fn there_and_back(way: Way) -> (KubernetesConnection, String) {
        let connection = KubernetesConnection {
            way,
            ca_pem: Some("pem".to_owned()),
            proxy_url: Some("http://proxy".to_owned()),
            tls_server_name: Some("kubernetes".to_owned()),
            insecure: true,
            unreachable: Unreachable::Fail,
            expect_server_uid: Some("uid".to_owned()),
        };
        let cluster = Cluster::new("prod", connection, Redactor::default(), WaitingSlots::default());
        let via = Some(Via { cluster, service: "storage/garage:s3".parse().unwrap() });
        let line = serde_json::to_string(&Carried(S3Connection { via, ..S3Connection::default() })).unwrap();
        let Carried(connection) = serde_json::from_str(&line).unwrap();
        let Via { cluster, service } = connection.via.unwrap();
        assert_eq!((cluster.name(), service.to_string().as_str()), ("prod", "storage/garage:s3"));
        (cluster.connection().unwrap().clone(), line)
    }

    #[test]
    fn a_worker_reaches_a_cluster_in_each_of_the_ways_that_its_provider_does() {
        let secret = || Secret::new("s3cret");
        let host = |who| Way::Host { host: "https://api".to_owned(), who };
        let exec = Exec {
            api_version: "v1".to_owned(),
            command: "aws".to_owned(),
            args: vec!["eks".to_owned()],
            env: BTreeMap::from([("AWS_SECRET".to_owned(), secret())]),
        };
        let (with_token, line) = there_and_back(host(Who::Token(secret())));
        assert!(matches!(&with_token.way, Way::Host { host, who: Who::Token(token) }
            if host == "https://api" && *token == secret()));
        let KubernetesConnection { ca_pem, proxy_url, tls_server_name, insecure, expect_server_uid, .. } = with_token;
        let texts = [ca_pem, proxy_url, tls_server_name, expect_server_uid].map(Option::unwrap);
        assert_eq!(texts, ["pem", "http://proxy", "kubernetes", "uid"]);
        assert!(insecure && line.contains("s3cret"));
        let (with_program, _) = there_and_back(host(Who::Exec(exec)));
        assert!(matches!(with_program.way, Way::Host { who: Who::Exec(exec), .. }
            if exec.env["AWS_SECRET"] == secret() && exec.args == ["eks"]));
        let certificate = Who::Certificate { certificate_pem: "pem".to_owned(), key_pem: secret() };
        let (with_certificate, _) = there_and_back(host(certificate));
        assert!(matches!(with_certificate.way, Way::Host { who: Who::Certificate { key_pem, .. }, .. }
            if key_pem == secret()));
        let (with_file, _) = there_and_back(host(Who::TokenFile("/token".into())));
        assert!(matches!(with_file.way, Way::Host { who: Who::TokenFile(path), .. } if path.as_os_str() == "/token"));
        let files = Way::Files { paths: vec!["/one".into()], context: Some("prod".to_owned()) };
        assert!(matches!(there_and_back(files).0.way, Way::Files { paths, context: Some(_) } if paths.len() == 1));
        let text = Way::Text { text: secret(), context: None };
        assert!(matches!(there_and_back(text).0.way, Way::Text { text, context: None } if text == secret()));
        assert!(matches!(there_and_back(Way::InCluster).0.way, Way::InCluster));
    }
}
