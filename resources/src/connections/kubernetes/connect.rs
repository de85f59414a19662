//! From what the provider block says about a cluster to a client: read at first use, and again when credentials ended.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use dr_framework::Redactor;
use kube::Config;
use kube::config::{AuthInfo, ExecInteractiveMode, KubeConfigOptions, Kubeconfig, KubeconfigError};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde_json::{Value, json};

use crate::clock;
use crate::connections::tls::no_certificate;
use crate::secret::Secret;

/// To reach the server and shake hands; never less than what a busy machine needs for that.
const CONNECT: Duration = Duration::from_secs(10);
const CONNECT_AT_LEAST: Duration = Duration::from_secs(2);

/// How long a program that makes credentials may take.
const EXEC: Duration = Duration::from_secs(60);

/// What a resource does while its cluster can't be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Unreachable {
    /// An error.
    #[default]
    Fail,
    /// The prior state, and a warning.
    Keep,
    /// Plan rebuilds what was there.
    Lost,
}

/// How a cluster is reached, and as whom.
#[derive(Clone)]
pub struct KubernetesConnection {
    /// The way there.
    pub way: Way,
    /// Authorities that may sign the server's certificate, instead of the kubeconfig's or the system's.
    pub ca_pem: Option<String>,
    /// A proxy on the way.
    pub proxy_url: Option<String>,
    /// The name that the server's certificate has to bear, instead of the host's.
    pub tls_server_name: Option<String>,
    /// Any certificate will do.
    pub insecure: bool,
    /// What happens while it can't be reached.
    pub unreachable: Unreachable,
    /// The uid of namespace kube-system that it has to have.
    pub expect_server_uid: Option<String>,
}

/// The way to a cluster.
#[derive(Clone)]
pub enum Way {
    /// Kubeconfig files, merged as kubectl merges them.
    Files {
        /// The files.
        paths: Vec<PathBuf>,
        /// The context; none is the file's current one.
        context: Option<String>,
    },
    /// A kubeconfig's text.
    Text {
        /// The text.
        text: Secret,
        /// The context.
        context: Option<String>,
    },
    /// An address.
    Host {
        /// The URL of the API server.
        host: String,
        /// Who we are there.
        who: Who,
    },
    /// The service account of the pod that we run in.
    InCluster,
}

/// Who we are at an API server.
#[derive(Clone)]
pub enum Who {
    /// The bearer of a token.
    Token(Secret),
    /// The bearer of a token in a file, which something else renews.
    TokenFile(PathBuf),
    /// The holder of a certificate.
    Certificate {
        /// The certificate, in PEM.
        certificate_pem: String,
        /// Its key, in PEM.
        key_pem: Secret,
    },
    /// Whoever a program says.
    Exec(Exec),
}

/// A program that makes credentials.
#[derive(Clone)]
pub struct Exec {
    /// `client.authentication.k8s.io/v1`.
    pub api_version: String,
    /// The program.
    pub command: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// More for its environment.
    pub env: BTreeMap<String, Secret>,
}

/// A client that can be used.
#[derive(Clone)]
pub(super) struct Connected {
    pub client: kube::Client,
    /// The server, for messages.
    pub address: String,
    /// When the token ends, if it says so.
    pub expires: Option<jiff::Timestamp>,
}

impl KubernetesConnection {
    /// Reads files and runs programs, and makes no request. The error is a sentence about what is wrong.
    pub(super) async fn connect(&self, redactor: &Redactor) -> Result<Connected, String> {
        let (connection, redactor) = (self.clone(), redactor.clone());
        // Runs the credential program, which blocks.
        let handle = tokio::runtime::Handle::current();
        let made = tokio::task::spawn_blocking(move || {
            let _runtime = handle.enter();
            connection.connect_blocking(&handle, &redactor)
        });
        match tokio::time::timeout(EXEC, made).await {
            Ok(Ok(made)) => made,
            Ok(Err(panic)) => Err(format!("it could not be prepared: {panic}")),
            Err(_) => Err(format!("its credential program did not end within {} s", EXEC.as_secs())),
        }
    }

    /// What it holds that no message may.
    pub fn secrets(&self) -> Vec<Secret> {
        match &self.way {
            Way::Files { .. } | Way::InCluster => Vec::new(),
            Way::Text { text, .. } => vec![text.clone()],
            Way::Host { who, .. } => match who {
                Who::Token(token) => vec![token.clone()],
                Who::TokenFile(_) => Vec::new(),
                Who::Certificate { key_pem, .. } => vec![key_pem.clone()],
                Who::Exec(exec) => exec.env.values().cloned().collect(),
            },
        }
    }

    /// Whether reading again can bring other credentials.
    pub(super) fn renews(&self) -> bool {
        !matches!(self.way, Way::Host { who: Who::Token(_) | Who::Certificate { .. }, .. })
    }

    fn connect_blocking(&self, handle: &tokio::runtime::Handle, redactor: &Redactor) -> Result<Connected, String> {
        let mut config = match &self.way {
            Way::Files { paths, context } => {
                handle.block_on(from_kubeconfig(read_files(paths)?, context.as_deref()))?
            }
            Way::Text { text, context } => {
                let kubeconfig = Kubeconfig::from_yaml(text.expose()).map_err(|error| explain(&error))?;
                handle.block_on(from_kubeconfig(kubeconfig, context.as_deref()))?
            }
            Way::Host { host, who } => from_host(host, who)?,
            Way::InCluster => Config::incluster().map_err(|error| format!("not in a pod of a cluster: {error}"))?,
        };
        if let Some(pem) = &self.ca_pem {
            config.root_cert = Some(authorities(pem)?);
            config.root_cert_file = None;
        }
        if let Some(proxy) = &self.proxy_url {
            config.proxy_url = Some(proxy.parse().map_err(|_| "proxy_url is no URL".to_owned())?);
        }
        if self.tls_server_name.is_some() {
            config.tls_server_name.clone_from(&self.tls_server_name);
        }
        config.accept_invalid_certs |= self.insecure;
        config.connect_timeout = Some(clock::scaled(CONNECT).max(CONNECT_AT_LEAST));
        config.default_retry = false;
        let expires = settle_credentials(&mut config.auth_info, redactor)?;
        let address = config.cluster_url.to_string().trim_end_matches('/').to_owned();
        let client = kube::Client::try_from(config).map_err(|error| credentials(&error))?;
        Ok(Connected { client, address, expires })
    }
}

fn read_files(paths: &[PathBuf]) -> Result<Kubeconfig, String> {
    let mut merged: Option<Kubeconfig> = None;
    for path in paths {
        let next = Kubeconfig::read_from(path).map_err(|error| format!("{}: {}", path.display(), explain(&error)))?;
        merged = Some(match merged {
            None => next,
            Some(before) => before.merge(next).map_err(|error| explain(&error))?,
        });
    }
    merged.ok_or_else(|| "there is no kubeconfig".to_owned())
}

async fn from_kubeconfig(kubeconfig: Kubeconfig, context: Option<&str>) -> Result<Config, String> {
    let known: Vec<String> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
    if let Some(wanted) = context
        && !known.iter().any(|known| known == wanted)
    {
        return Err(format!("its kubeconfig has no context `{wanted}` (it has: {})", known.join(", ")));
    }
    let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
    Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| explain(&error))
}

/// The parser quotes the text around a mistake, and the text is full of secrets.
fn explain(error: &KubeconfigError) -> String {
    match error {
        KubeconfigError::Parse(_) => "it is no kubeconfig: its YAML can't be read".to_owned(),
        KubeconfigError::ReadConfig(error, _) => error.to_string(),
        KubeconfigError::CurrentContextNotSet => "its kubeconfig has no current context: set `context`".to_owned(),
        KubeconfigError::LoadClusterOfContext(name) => format!("its kubeconfig has no cluster `{name}`"),
        error => error.to_string(),
    }
}

/// The address of an API server; the error is a sentence about `host`.
pub fn checked_host(host: &str) -> Result<http::Uri, String> {
    let url: http::Uri = host.parse().map_err(|_| "host is no URL".to_owned())?;
    if url.host().is_none() || !matches!(url.scheme_str(), Some("https" | "http")) {
        return Err("host has to be https://name[:port]".to_owned());
    }
    Ok(url)
}

fn from_host(host: &str, who: &Who) -> Result<Config, String> {
    let url = checked_host(host)?;
    let base64 = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    let auth = match who {
        Who::Token(token) => json!({ "token": token.expose().trim() }),
        Who::TokenFile(path) => json!({ "tokenFile": path }),
        Who::Certificate { certificate_pem, key_pem } => {
            json!({ "client-certificate-data": base64(certificate_pem), "client-key-data": base64(key_pem.expose()) })
        }
        Who::Exec(exec) => {
            let env: Vec<Value> =
                exec.env.iter().map(|(name, value)| json!({ "name": name, "value": value.expose() })).collect();
            let (version, command, args) = (&exec.api_version, &exec.command, &exec.args);
            json!({ "exec": { "apiVersion": version, "command": command, "args": args, "env": env } })
        }
    };
    let mut config = Config::new(url);
    config.auth_info = serde_json::from_value(auth).map_err(|_| "its credentials can't be used".to_owned())?;
    Ok(config)
}

fn authorities(pem: &str) -> Result<Vec<Vec<u8>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let certificates = certificates.map_err(|error| format!("ca_pem can't be read: {error}"))?;
    if certificates.is_empty() {
        return Err(no_certificate(pem));
    }
    Ok(certificates.iter().map(|certificate| certificate.to_vec()).collect())
}

/// Reads the token's file, whose newline is no part of it; keeps a program from asking on a terminal that is not there;
/// and has the redactor learn what must not be printed. When the token ends, if it says so.
fn settle_credentials(auth: &mut AuthInfo, redactor: &Redactor) -> Result<Option<jiff::Timestamp>, String> {
    let mut value = serde_json::to_value(&*auth).map_err(|_| "its credentials can't be used".to_owned())?;
    if let (None, Some(file)) = (value.get("token"), value.get("tokenFile").and_then(Value::as_str)) {
        let token = std::fs::read_to_string(Path::new(file))
            .map_err(|error| format!("its token_file {file} can't be read: {error}"))?;
        value["token"] = token.trim().into();
        *auth = serde_json::from_value(value.clone()).map_err(|_| "its credentials can't be used".to_owned())?;
    }
    if let Some(exec) = &mut auth.exec {
        exec.interactive_mode = Some(ExecInteractiveMode::Never);
    }
    for name in ["token", "password", "client-key-data"] {
        if let Some(secret) = value.get(name).and_then(Value::as_str) {
            redactor.learn(secret);
        }
    }
    // What comes from a file or a program is read again when it has ended.
    let is_fixed = value.get("tokenFile").is_none() && auth.exec.is_none();
    Ok(value.get("token").filter(|_| is_fixed).and_then(Value::as_str).and_then(expiry))
}

/// `exp` of a JSON web token.
fn expiry(token: &str) -> Option<jiff::Timestamp> {
    let claims = token.split('.').nth(1)?;
    let claims = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, claims).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    jiff::Timestamp::from_second(claims.get("exp")?.as_i64()?).ok()
}

/// A program that failed may have printed the token; only its own complaint is for messages.
pub(super) fn credentials(error: &kube::Error) -> String {
    match error {
        kube::Error::Auth(error) => auth(error),
        kube::Error::InferKubeconfig(error) => explain(error),
        error => error.to_string(),
    }
}

/// Why there are no credentials.
pub(super) fn auth(error: &kube::client::AuthError) -> String {
    use kube::client::AuthError;
    match error {
        AuthError::AuthExecStart(error) => format!("its credential program can't be started: {error}"),
        AuthError::AuthExecRun { out, .. } => {
            let complaint = String::from_utf8_lossy(&out.stderr).trim().chars().take(500).collect::<String>();
            format!("its credential program failed ({}): {complaint}", out.status)
        }
        AuthError::AuthExecParse(_) | AuthError::ExecPluginFailed => {
            "its credential program printed no ExecCredential with a status".to_owned()
        }
        error => error.to_string(),
    }
}
