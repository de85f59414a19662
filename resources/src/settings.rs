//! The provider block: named connections, secrets, drill mode. Connections are resolved lazily, at first use.

use std::collections::BTreeMap;
use std::ffi::OsString;

use dr_framework::{Attr, Diagnostics, Model, Path};

use crate::connections::kubernetes::KubernetesConnection;
use crate::connections::s3::{S3Connection, checked_endpoint};
use crate::connections::tls::{authorities, parse_fingerprint};
use crate::jobs;
use crate::secret::Secret;
use crate::validators;
use crate::words::sentence;

mod kubernetes;
mod via;

pub use kubernetes::{ExecSettings, KubernetesSettings};
pub use via::{Route, ViaSettings};

/// The connection that is meant where none is named.
pub const DEFAULT: &str = "default";

/// Disaster recovery as code: where backups go, how long they are kept, and how they come back, in the same apply as
/// everything else.
///
/// The provider carries an engine that writes repositories in restic's format, into a folder or an S3 bucket, and needs
/// nothing but the provider itself. In a Kubernetes cluster it drives Velero, VolSync and k8up.
#[derive(Model, Clone)]
pub struct Settings {
    /// Kubernetes clusters by name. Without this argument, `KUBECONFIG`, or else `~/.kube/config`, forms the connection
    /// `default` with its current context; they never fill in what a connection here leaves out.
    #[dr(optional)]
    pub kubernetes: Attr<BTreeMap<String, Attr<KubernetesSettings>>>,
    /// S3 servers by name. Without this argument, `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` (with
    /// `AWS_SESSION_TOKEN`, `AWS_REGION` and `AWS_ENDPOINT_URL`, if set) form the connection `default`; they never fill in
    /// what a connection here leaves out.
    #[dr(optional)]
    pub s3: Attr<BTreeMap<String, Attr<S3Settings>>>,
    /// Secrets by name: resources refer to them by that name, so that values stay out of state and plan. Use `ephemeral`
    /// variables. A name that is not here is looked up in the environment as `DR_SECRET_<NAME>`.
    #[dr(optional, sensitive)]
    pub secrets: Attr<BTreeMap<String, Attr<String>>>,
    /// `normal`, or `drill`: every store is read-only, nothing is deleted, backups do nothing, and restores go only where
    /// `drill` says.
    #[dr(optional, validate = validators::mode)]
    pub mode: Attr<String>,
    /// Where restores may go in a drill.
    #[dr(optional)]
    pub drill: Attr<DrillSettings>,
}

/// An S3 server, and how to reach it.
#[derive(Model, Clone, Default)]
pub struct S3Settings {
    /// The URL of the S3 API, without bucket: `https://s3.example.org`. Left out: Amazon S3 in `region`.
    #[dr(optional)]
    pub endpoint: Attr<String>,
    /// The URL at which engines in a cluster reach the server, when it is another one: `http://garage.storage.svc:3900`.
    #[dr(optional)]
    pub engine_endpoint: Attr<String>,
    /// The region; `us-east-1` if left out, which most other servers take.
    #[dr(optional)]
    pub region: Attr<String>,
    /// Whether the bucket is part of the path instead of the host name; true with an `endpoint` if left out.
    #[dr(optional)]
    pub path_style: Attr<bool>,
    /// The access key's id.
    #[dr(optional)]
    pub access_key_id: Attr<String>,
    /// The access key's secret.
    #[dr(optional, sensitive)]
    pub secret_access_key: Attr<String>,
    /// The token of temporary credentials.
    #[dr(optional, sensitive)]
    pub session_token: Attr<String>,
    /// Certificates, in PEM, that may sign the server's; instead of the public ones.
    #[dr(optional)]
    pub ca_pem: Attr<String>,
    /// The SHA-256 fingerprint of the server's certificate, `AB:CD:…`: only this one is trusted.
    #[dr(optional)]
    pub fingerprint: Attr<String>,
    /// Whether any certificate is accepted.
    #[dr(optional)]
    pub insecure: Attr<bool>,
    /// The way to a server that only a cluster reaches: a tunnel through the cluster's API server, as `kubectl port-forward`
    /// makes one. `endpoint` stays the address that requests are made out to and that certificates are checked against, and
    /// the one that engines in the cluster are given.
    #[dr(optional)]
    pub via: Attr<ViaSettings>,
    /// Earlier names of this connection, which stay valid.
    #[dr(optional)]
    pub aliases: Attr<Vec<Attr<String>>>,
}

/// Where restores may go in a drill.
#[derive(Model, Clone, Debug, Default)]
pub struct DrillSettings {
    /// The folder below which paths are restored: `/srv/docs` becomes `/var/tmp/drill/srv/docs`.
    #[dr(optional, validate = validators::path)]
    pub path: Attr<String>,
    /// The connections to servers that may be restored to; none if left out.
    #[dr(optional)]
    pub connections: Attr<Vec<Attr<String>>>,
    /// The namespaces on them that may be restored to, `*` for all; none if left out.
    #[dr(optional)]
    pub namespaces: Attr<Vec<Attr<String>>>,
}

/// What stands behind the name of a connection.
#[derive(Clone)]
pub enum Named<T> {
    /// This.
    Known(T),
    /// Something that is not known yet.
    Unknown,
    /// Nothing; the names that there are.
    Absent(Vec<String>),
}

/// Reads an environment variable.
pub type Environment = fn(&str) -> Option<String>;

/// The process's environment.
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Lists the names of environment variables.
pub type Variables = fn() -> Vec<OsString>;

/// The variables of the process's environment that hold something, by name.
pub fn variables() -> Vec<OsString> {
    std::env::vars_os().filter(|(_, value)| !value.is_empty()).map(|(name, _)| name).collect()
}

impl Settings {
    /// Judges what is known of the block.
    pub fn check(&self) -> Diagnostics {
        let mut found = Diagnostics::default();
        if let Attr::Known(connections) = &self.kubernetes {
            let path = Path::attribute("kubernetes");
            for (name, connection) in connections {
                let path = path.clone().key(name);
                found.extend(reference_name(name, &path));
                if let Attr::Known(connection) = connection {
                    found.extend(connection.check(&path));
                }
            }
        }
        if let Attr::Known(connections) = &self.s3 {
            let path = Path::attribute("s3");
            for (name, connection) in connections {
                let path = path.clone().key(name);
                found.extend(reference_name(name, &path));
                found.extend(no_local_store(name, &path));
                if let Attr::Known(connection) = connection {
                    found.extend(connection.check(&path));
                    found.extend(self.check_cluster_on_the_way(connection, &path));
                }
            }
        }
        if let Attr::Known(secrets) = &self.secrets {
            for name in secrets.keys() {
                found.extend(reference_name(name, &Path::attribute("secrets").key(name)));
            }
        }
        if self.mode.text() == Some("drill") && self.drill.is_null() {
            found.extend(Diagnostics::error_at(
                Path::attribute("drill"),
                "A drill without a place",
                "`mode = \"drill\"` restores only where `drill` says. Set it, for example to `{ path = \"/var/tmp/drill\" }`.",
            ));
        }
        found
    }

    /// The names of the S3 connections; `default` where the environment may make one.
    pub fn s3_names(&self) -> Vec<String> {
        match &self.s3 {
            Attr::Known(connections) => connections.keys().cloned().collect(),
            Attr::Null => vec!["default".to_owned()],
            Attr::Unknown => Vec::new(),
        }
    }

    /// The S3 connection of that name, and how a cluster leads to its server if one does.
    pub fn s3(&self, name: &str, environment: Environment) -> Result<Named<(S3Connection, Option<Route>)>, String> {
        let connections = match &self.s3 {
            Attr::Unknown => return Ok(Named::Unknown),
            Attr::Null => {
                return Ok(match from_environment(environment) {
                    Some(connection) if name == "default" => Named::Known((connection, None)),
                    Some(_) => Named::Absent(vec!["default".to_owned()]),
                    None => Named::Absent(Vec::new()),
                });
            }
            Attr::Known(connections) => connections,
        };
        let alias = |settings: &Attr<S3Settings>| {
            let aliases = settings.known().and_then(|settings| settings.aliases.known());
            aliases.is_some_and(|aliases| aliases.iter().any(|alias| alias.text() == Some(name)))
        };
        let aliased = || connections.iter().find(|(_, settings)| alias(settings));
        match connections.get_key_value(name).or_else(aliased) {
            None => Ok(Named::Absent(connections.keys().cloned().collect())),
            Some((name, Attr::Known(settings))) => Ok(match (settings.resolve(), settings.route(name)?) {
                (Some(connection), Named::Known(route)) => Named::Known((connection, route)),
                _ => Named::Unknown,
            }),
            Some((_, Attr::Unknown)) => Ok(Named::Unknown),
            Some((_, Attr::Null)) => Err(format!("the connection `{name}` is null")),
        }
    }

    /// The names of the clusters; `default` where the environment may name one.
    pub fn kubernetes_names(&self) -> Vec<String> {
        match &self.kubernetes {
            Attr::Known(connections) => connections.keys().cloned().collect(),
            Attr::Null => vec!["default".to_owned()],
            Attr::Unknown => Vec::new(),
        }
    }

    /// The cluster of that name, and the name that it has now.
    pub fn kubernetes(
        &self,
        name: &str,
        environment: Environment,
    ) -> Result<Named<(String, KubernetesConnection)>, String> {
        let connections = match &self.kubernetes {
            Attr::Unknown => return Ok(Named::Unknown),
            Attr::Null => {
                return Ok(match kubernetes::from_environment(environment) {
                    Some(connection) if name == "default" => Named::Known((name.to_owned(), connection)),
                    Some(_) => Named::Absent(vec!["default".to_owned()]),
                    None => Named::Absent(Vec::new()),
                });
            }
            Attr::Known(connections) => connections,
        };
        match self.cluster_settings(name) {
            None => Ok(Named::Absent(connections.keys().cloned().collect())),
            Some((name, Attr::Known(settings))) => Ok(match settings.resolve(environment)? {
                Some(connection) => Named::Known((name.clone(), connection)),
                None => Named::Unknown,
            }),
            Some((_, Attr::Unknown)) => Ok(Named::Unknown),
            Some((_, Attr::Null)) => Err(format!("the connection `{name}` is null")),
        }
    }

    /// Whether it is not known where that cluster is, so that it may be a new one.
    pub fn cluster_address_is_unknown(&self, name: &str) -> bool {
        match self.cluster_settings(name) {
            Some((_, settings)) => {
                settings.is_unknown() || settings.known().is_some_and(KubernetesSettings::address_is_unknown)
            }
            None => self.kubernetes.is_unknown(),
        }
    }

    /// The cluster of that name or alias.
    fn cluster_settings(&self, name: &str) -> Option<(&String, &Attr<KubernetesSettings>)> {
        let connections = self.kubernetes.known()?;
        let alias = |settings: &Attr<KubernetesSettings>| {
            let aliases = settings.known().and_then(|settings| settings.aliases.known());
            aliases.is_some_and(|aliases| aliases.iter().any(|alias| alias.text() == Some(name)))
        };
        connections.get_key_value(name).or_else(|| connections.iter().find(|(_, settings)| alias(settings)))
    }

    /// The secret of that name, from the block, else from `DR_SECRET_<NAME>`.
    pub fn secret(&self, name: &str, environment: Environment, variables: Variables) -> Named<Secret> {
        match self.secrets.known().and_then(|secrets| secrets.get(name)) {
            Some(Attr::Known(value)) => return Named::Known(Secret::new(value.clone())),
            Some(Attr::Unknown) => return Named::Unknown,
            Some(Attr::Null) | None => {}
        }
        let upper = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_uppercase() } else { '_' };
        let variable = format!("DR_SECRET_{}", name.chars().map(upper).collect::<String>());
        match environment(&variable) {
            Some(value) => Named::Known(Secret::new(value)),
            None if self.secrets.is_unknown() => Named::Unknown,
            None => Named::Absent(self.secret_names(variables)),
        }
    }

    /// Whether the block names that secret, and gives nothing for it.
    pub fn secret_is_null(&self, name: &str) -> bool {
        self.secrets.known().and_then(|secrets| secrets.get(name)).is_some_and(Attr::is_null)
    }

    /// The names of the secrets in the block, then those that only the environment holds.
    pub fn secret_names(&self, variables: Variables) -> Vec<String> {
        let mut names: Vec<String> = self
            .secrets
            .known()
            .into_iter()
            .flatten()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, _)| name.clone())
            .collect();
        let mut more: Vec<String> = variables()
            .iter()
            .filter_map(|variable| Some(variable.to_str()?.strip_prefix("DR_SECRET_")?.to_ascii_lowercase()))
            .filter(|name| !names.contains(name) && reference_name(name, &Path::default()).0.is_empty())
            .collect();
        more.sort();
        names.extend(more);
        names
    }

    /// What a drill does, if this is one.
    pub fn drill_in_words(&self) -> Option<String> {
        let drill = self.drill.known().filter(|_| self.is_drill());
        let list = |names: &Attr<Vec<Attr<String>>>| jobs::texts(names).join(", ");
        let places = [
            drill.and_then(|drill| drill.path.text()).map(|path| format!("paths come back below {path}")),
            drill.map(|drill| list(&drill.connections)).filter(|names| !names.is_empty()).map(|names| {
                let namespaces = drill.map(|drill| list(&drill.namespaces)).unwrap_or_default();
                format!("servers that are restored to: {names} (namespaces: {namespaces})")
            }),
        ];
        let places = places.into_iter().flatten().collect::<Vec<_>>().join("; ");
        self.is_drill().then(|| {
            format!(
                "Whatever the plan shows, storage is only read and nothing is deleted, and backups, schedules and retention do \
                 nothing. {}",
                sentence(&places)
            )
        })
    }

    /// Whether this is a drill.
    pub fn is_drill(&self) -> bool {
        self.mode.text() == Some("drill")
    }
}

/// What is stored in a folder is known by that name.
fn no_local_store(name: &str, path: &Path) -> Diagnostics {
    match name {
        "local" => Diagnostics::error_at(
            path.clone(),
            "A server called like a folder",
            "`local` stands for folders of this machine, in references and import ids: give this S3 connection another name.",
        ),
        _ => Diagnostics::default(),
    }
}

fn reference_name(name: &str, path: &Path) -> Diagnostics {
    Diagnostics(validators::reference_name(&dr_framework::Value::string(name), path))
}

fn from_environment(environment: Environment) -> Option<S3Connection> {
    let (key, secret) = (environment("AWS_ACCESS_KEY_ID")?, environment("AWS_SECRET_ACCESS_KEY")?);
    let endpoint = environment("AWS_ENDPOINT_URL");
    Some(S3Connection {
        name: None,
        path_style: endpoint.is_some(),
        endpoint,
        engine_endpoint: None,
        region: environment("AWS_REGION").unwrap_or_else(|| DEFAULT_REGION.to_owned()),
        access_key_id: Some(key),
        secret_access_key: Some(Secret::new(secret)),
        session_token: environment("AWS_SESSION_TOKEN").map(Secret::new),
        ca_pem: None,
        fingerprint: None,
        insecure: false,
        via: None,
    })
}

const DEFAULT_REGION: &str = "us-east-1";

impl S3Settings {
    fn check(&self, path: &Path) -> Diagnostics {
        let mut found = Diagnostics::default();
        for alias in self.aliases.known().into_iter().flatten().filter_map(Attr::text) {
            found.extend(no_local_store(alias, &path.clone().then("aliases")));
        }
        let (id, secret) = (&self.access_key_id, &self.secret_access_key);
        if (id.is_known() && secret.is_null()) || (id.is_null() && secret.is_known()) {
            let missing = if self.access_key_id.is_null() { "access_key_id" } else { "secret_access_key" };
            found.extend(Diagnostics::error_at(
                path.clone().then(missing),
                "Half of a key",
                "`access_key_id` and `secret_access_key` belong together: set both, or neither for a public bucket.",
            ));
        }
        let mut judge = |name: &str, summary: &str, judged: Option<Result<(), String>>| {
            if let Some(Err(why)) = judged {
                found.extend(Diagnostics::error_at(path.clone().then(name), summary, sentence(&why)));
            }
        };
        for (name, endpoint) in [("endpoint", &self.endpoint), ("engine_endpoint", &self.engine_endpoint)] {
            judge(name, "Unusable endpoint", endpoint.text().map(|endpoint| checked_endpoint(endpoint).map(drop)));
        }
        judge("ca_pem", "Unusable authority", self.ca_pem.text().map(|pem| authorities(pem).map(drop)));
        let fingerprint = self.fingerprint.text().map(|text| parse_fingerprint(text).map(drop));
        judge("fingerprint", "Unusable fingerprint", fingerprint);
        found.extend(self.check_via(path));
        found
    }

    /// The connection, unless something that it needs is not known yet.
    fn resolve(&self) -> Option<S3Connection> {
        let texts = [&self.endpoint, &self.region, &self.access_key_id, &self.secret_access_key, &self.session_token];
        let more = [&self.ca_pem, &self.fingerprint, &self.engine_endpoint];
        if texts.iter().chain(&more).any(|attr| attr.is_unknown())
            || self.path_style.is_unknown()
            || self.insecure.is_unknown()
        {
            return None;
        }
        let owned = |attr: &Attr<String>| attr.known().cloned();
        Some(S3Connection {
            name: None,
            endpoint: owned(&self.endpoint),
            engine_endpoint: owned(&self.engine_endpoint),
            region: owned(&self.region).unwrap_or_else(|| DEFAULT_REGION.to_owned()),
            path_style: self.path_style.known().copied().unwrap_or(self.endpoint.is_known()),
            access_key_id: owned(&self.access_key_id),
            secret_access_key: owned(&self.secret_access_key).map(Secret::new),
            session_token: owned(&self.session_token).map(Secret::new),
            ca_pem: owned(&self.ca_pem),
            fingerprint: owned(&self.fingerprint),
            insecure: self.insecure.known().copied().unwrap_or(false),
            via: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(secrets: &[(&str, &str)]) -> Settings {
        let named = |(name, value): &(&str, &str)| ((*name).to_owned(), Attr::from(*value));
        let secrets = if secrets.is_empty() { Attr::Null } else { Attr::Known(secrets.iter().map(named).collect()) };
        Settings { kubernetes: Attr::Null, s3: Attr::Null, secrets, mode: Attr::Null, drill: Attr::Null }
    }

    fn some_environment(name: &str) -> Option<String> {
        match name {
            "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" => Some("k".to_owned()),
            "DR_SECRET_DOCS_REPO" => Some("from the environment".to_owned()),
            _ => None,
        }
    }

    fn settings(endpoint: Attr<String>) -> S3Settings {
        S3Settings {
            endpoint,
            engine_endpoint: Attr::Null,
            region: Attr::Null,
            path_style: Attr::Null,
            access_key_id: Attr::Null,
            secret_access_key: Attr::Null,
            session_token: Attr::Null,
            ca_pem: Attr::Null,
            fingerprint: Attr::Null,
            insecure: Attr::Null,
            via: Attr::Null,
            aliases: Attr::Known(vec!["old".into()]),
        }
    }

    #[test]
    fn the_environment_makes_the_default_connection_only_without_a_block() {
        let mut block = block(&[]);
        assert!(matches!(block.s3("default", some_environment), Ok(Named::Known(_))));
        block.s3 = Attr::Known(BTreeMap::from([("lab".to_owned(), Attr::Known(settings("http://a".into())))]));
        assert!(matches!(block.s3("default", some_environment), Ok(Named::Absent(known)) if known == ["lab"]));
        match block.s3("lab", some_environment) {
            Ok(Named::Known((connection, _))) => assert!(connection.access_key_id.is_none(), "nothing is merged in"),
            _ => panic!("lab is known"),
        }
        block.s3 = Attr::Unknown;
        assert!(matches!(block.s3("default", some_environment), Ok(Named::Unknown)));
    }

    fn complaints(connection: S3Settings) -> Vec<String> {
        let mut block = block(&[]);
        block.s3 = Attr::Known(BTreeMap::from([("lab".to_owned(), Attr::Known(connection))]));
        block.check().0.iter().map(|one| format!("{:?} {}", one.attribute, one.detail)).collect()
    }

    #[test]
    fn an_address_and_whose_certificate_is_trusted_are_judged_before_anything_is_reached() {
        let lab = || settings("https://s3.lab".into());
        assert!(complaints(lab()).is_empty());
        for (attribute, connection) in [
            ("endpoint", settings("https://".into())),
            ("endpoint", settings("s3.lab:9000".into())),
            ("engine_endpoint", S3Settings { engine_endpoint: "http://a b".into(), ..lab() }),
            ("ca_pem", S3Settings { ca_pem: "a path, not a text".into(), ..lab() }),
            ("fingerprint", S3Settings { fingerprint: "AB:CD".into(), ..lab() }),
        ] {
            let found = complaints(connection);
            assert!(found.len() == 1 && found[0].contains(&format!("{attribute:?}")), "{attribute}: {found:?}");
        }
        let with_password = complaints(settings("admin:horse@s3.lab".into())).concat();
        assert!(with_password.contains("s3.lab") && !with_password.contains("horse"), "{with_password}");
    }

    #[test]
    fn a_server_is_not_called_like_a_folder() {
        let mut block = block(&[]);
        block.s3 = Attr::Known(BTreeMap::from([("local".to_owned(), Attr::Known(settings("https://s3.lab".into())))]));
        assert!(block.check().0[0].detail.contains("another name"), "{:?}", block.check());
        let old = S3Settings { aliases: Attr::Known(vec!["local".into()]), ..settings("https://s3.lab".into()) };
        assert!(!complaints(old).is_empty());
    }

    #[test]
    fn an_alias_keeps_an_old_name_valid_and_an_unknown_address_is_unknown() {
        let mut block = block(&[]);
        block.s3 = Attr::Known(BTreeMap::from([
            ("lab".to_owned(), Attr::Known(settings("http://a".into()))),
            ("new".to_owned(), Attr::Known(S3Settings { aliases: Attr::Null, ..settings(Attr::Unknown) })),
        ]));
        assert!(matches!(block.s3("old", some_environment), Ok(Named::Known(_))));
        assert!(matches!(block.s3("new", some_environment), Ok(Named::Unknown)));
    }

    #[test]
    fn a_cluster_has_one_name_whichever_of_its_names_is_used() {
        let prod = KubernetesSettings {
            host: "https://api".into(),
            token: "t".into(),
            aliases: Attr::Known(vec!["production".into()]),
            ..KubernetesSettings::default()
        };
        let rebuilt = KubernetesSettings { host: Attr::Unknown, token: "t".into(), ..KubernetesSettings::default() };
        let mut block = block(&[]);
        assert!(matches!(block.kubernetes("default", |_| None), Ok(Named::Absent(known)) if known.is_empty()));
        block.kubernetes = Attr::Known(BTreeMap::from([
            ("prod".to_owned(), Attr::Known(prod)),
            ("test".to_owned(), Attr::Known(rebuilt)),
            ("next".to_owned(), Attr::Unknown),
        ]));
        for name in ["prod", "production"] {
            let found = block.kubernetes(name, some_environment);
            assert!(matches!(found, Ok(Named::Known((name, _))) if name == "prod"));
        }
        assert!(matches!(block.kubernetes("test", some_environment), Ok(Named::Unknown)));
        assert!(block.cluster_address_is_unknown("test") && block.cluster_address_is_unknown("next"));
        assert!(!block.cluster_address_is_unknown("prod"));
        let absent = block.kubernetes("default", some_environment);
        assert!(matches!(absent, Ok(Named::Absent(known)) if known == ["next", "prod", "test"]));
    }

    #[test]
    fn a_secret_comes_from_the_block_then_from_the_environment() {
        let holds = |block: &Settings, name, text: &str| match block.secret(name, some_environment, Vec::new) {
            Named::Known(secret) => secret.expose() == text,
            _ => false,
        };
        assert!(holds(&block(&[("docs_repo", "block")]), "docs_repo", "block"));
        assert!(holds(&block(&[]), "docs_repo", "from the environment"));
    }

    #[test]
    fn the_secrets_that_there_are_are_those_of_the_block_and_of_the_environment() {
        let variables: Variables = || ["DR_SECRET_ATTIC", "DR_SECRET_DOCS_REPO", "HOME"].map(OsString::from).into();
        let with = block(&[("docs_repo", "block")]);
        assert_eq!(with.secret_names(variables), ["docs_repo", "attic"]);
        let known = |block: &Settings| match block.secret("other", some_environment, variables) {
            Named::Absent(known) => known,
            _ => panic!("there is no such secret"),
        };
        assert_eq!(known(&with), ["docs_repo", "attic"]);
        assert_eq!(known(&block(&[])), ["attic", "docs_repo"]);
    }
}
