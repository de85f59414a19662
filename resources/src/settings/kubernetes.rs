//! Clusters in the provider block.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dr_framework::{Attr, Diagnostics, Model, Path};

use super::Environment;
use crate::connections::kubernetes::{Exec, KubernetesConnection, Unreachable, Way, Who, checked_host};
use crate::connections::tls::authorities;
use crate::secret::Secret;
use crate::words::sentence;

/// A Kubernetes cluster, how to reach it, and as whom. Exactly one of `kubeconfig`, `kubeconfig_raw`, `host` and
/// `in_cluster` says how.
#[derive(Model, Clone, Default)]
pub struct KubernetesSettings {
    /// The path of a kubeconfig, read at first use; `~` is the home folder.
    #[dr(optional)]
    pub kubeconfig: Attr<String>,
    /// The text of a kubeconfig, as modules that make clusters export it.
    #[dr(optional, sensitive)]
    pub kubeconfig_raw: Attr<String>,
    /// The context of the kubeconfig; required with one, so that nobody's `kubectl config use-context` moves backups to
    /// another cluster.
    #[dr(optional)]
    pub context: Attr<String>,
    /// The URL of the API server, `https://10.0.0.1:6443`; with one of `token`, `token_file`, `client_certificate_pem` and
    /// `exec`.
    #[dr(optional)]
    pub host: Attr<String>,
    /// A bearer token.
    #[dr(optional, sensitive)]
    pub token: Attr<String>,
    /// The path of a file with a bearer token, which is read again when the token is no longer accepted.
    #[dr(optional)]
    pub token_file: Attr<String>,
    /// Certificates, in PEM, that may sign the server's; instead of the kubeconfig's or the system's.
    #[dr(optional)]
    pub ca_pem: Attr<String>,
    /// A client certificate, in PEM.
    #[dr(optional)]
    pub client_certificate_pem: Attr<String>,
    /// The client certificate's key, in PEM.
    #[dr(optional, sensitive)]
    pub client_key_pem: Attr<String>,
    /// A program that prints credentials, as kubectl runs it. It can't ask anything.
    #[dr(optional)]
    pub exec: Attr<ExecSettings>,
    /// Whether to use the service account of the pod that the provider runs in.
    #[dr(optional)]
    pub in_cluster: Attr<bool>,
    /// The URL of a proxy on the way: `http://` or `https://`.
    #[dr(optional)]
    pub proxy_url: Attr<String>,
    /// The name that the server's certificate has to bear, instead of the host's.
    #[dr(optional)]
    pub tls_server_name: Attr<String>,
    /// Whether any certificate is accepted.
    #[dr(optional)]
    pub insecure: Attr<bool>,
    /// What happens while the cluster can't be reached: `fail`, the default, is an error; `keep` keeps what the state holds,
    /// with a warning; `lost` plans to rebuild what was there.
    #[dr(optional)]
    pub unreachable: Attr<String>,
    /// The uid of namespace `kube-system`: another cluster behind this connection is an error.
    #[dr(optional)]
    pub expect_server_uid: Attr<String>,
    /// Earlier names of this connection, which stay valid.
    #[dr(optional)]
    pub aliases: Attr<Vec<Attr<String>>>,
}

/// A program that prints credentials.
#[derive(Model, Clone)]
pub struct ExecSettings {
    /// The version of its output: `client.authentication.k8s.io/v1`.
    #[dr(required)]
    pub api_version: Attr<String>,
    /// The program.
    #[dr(required)]
    pub command: Attr<String>,
    /// Its arguments.
    #[dr(optional)]
    pub args: Attr<Vec<Attr<String>>>,
    /// More for its environment.
    #[dr(optional, sensitive)]
    pub env: Attr<BTreeMap<String, Attr<String>>>,
}

/// The cluster of `KUBECONFIG`, or of `~/.kube/config` if there is such a file: the current context.
pub(super) fn from_environment(environment: Environment) -> Option<KubernetesConnection> {
    let paths = match environment("KUBECONFIG") {
        Some(list) => std::env::split_paths(&list).filter(|path| !path.as_os_str().is_empty()).collect(),
        None => vec![home(environment)?.join(".kube/config")].into_iter().filter(|path| path.is_file()).collect(),
    };
    let there = |paths: &Vec<PathBuf>| !paths.is_empty();
    Some(paths).filter(there).map(|paths| KubernetesConnection {
        way: Way::Files { paths, context: None },
        ca_pem: None,
        proxy_url: None,
        tls_server_name: None,
        insecure: false,
        unreachable: Unreachable::Fail,
        expect_server_uid: None,
    })
}

fn home(environment: Environment) -> Option<PathBuf> {
    environment("HOME").map(PathBuf::from)
}

fn expanded(path: &str, environment: Environment) -> PathBuf {
    match (path.strip_prefix('~').map(|rest| rest.trim_start_matches('/')), home(environment)) {
        (Some(rest), Some(home)) if path == "~" || path.starts_with("~/") => home.join(rest),
        _ => PathBuf::from(path),
    }
}

fn unreachable(text: &str) -> Option<Unreachable> {
    match text {
        "fail" => Some(Unreachable::Fail),
        "keep" => Some(Unreachable::Keep),
        "lost" => Some(Unreachable::Lost),
        _ => None,
    }
}

/// Whether an argument is set, as far as that is known.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Set {
    Yes,
    Maybe,
    No,
}

impl Set {
    fn of<T>(attr: &Attr<T>) -> Set {
        match attr {
            Attr::Known(_) => Set::Yes,
            Attr::Unknown => Set::Maybe,
            Attr::Null => Set::No,
        }
    }
}

fn surely(arguments: &[(&'static str, Set)]) -> Vec<&'static str> {
    arguments.iter().filter(|(_, set)| *set == Set::Yes).map(|(name, _)| *name).collect()
}

impl KubernetesSettings {
    /// Judges what is known of it. What is unknown may be set in the end, or null.
    pub(super) fn check(&self, path: &Path) -> Diagnostics {
        let mut found = Diagnostics::default();
        self.check_way(path, &mut found);
        self.check_identity(path, &mut found);
        let mut at = |name: &str, summary: &str, detail: String| {
            found.extend(Diagnostics::error_at(path.clone().then(name), summary, detail));
        };
        if let Some(Err(why)) = self.host.text().map(checked_host) {
            at("host", "Unusable address", sentence(&why));
        }
        if let Some(Err(why)) = self.ca_pem.text().map(authorities) {
            at("ca_pem", "Unusable authority", sentence(&why));
        }
        if let Some(proxy) = self.proxy_url.text()
            && !proxy.starts_with("http://")
            && !proxy.starts_with("https://")
        {
            at("proxy_url", "Unusable address", "A proxy is a URL that starts with http:// or https://.".to_owned());
        }
        if self.insecure.known() == Some(&true) && !self.ca_pem.is_null() {
            let detail = "`ca_pem` says whom to trust, `insecure` trusts anybody: leave one out.";
            at("insecure", "Contradictory trust", detail.to_owned());
        }
        if let Some(word) = self.unreachable.text()
            && unreachable(word).is_none()
        {
            at("unreachable", "Unknown word", format!("{word:?} is none of \"fail\", \"keep\", \"lost\"."));
        }
        found
    }

    /// Exactly one way to the cluster.
    fn check_way(&self, path: &Path, found: &mut Diagnostics) {
        let mut at =
            |path: Path, summary: &str, detail: String| found.extend(Diagnostics::error_at(path, summary, detail));
        let ways = self.ways();
        let names = "`kubeconfig`, `kubeconfig_raw`, `host` and `in_cluster`";
        if ways.iter().all(|(_, set)| *set == Set::No) {
            at(path.clone(), "No way to the cluster", format!("Set one of {names}."));
        }
        if let [first, second, ..] = surely(&ways).as_slice() {
            let detail = format!("Of {names}, exactly one has to be set; here are `{first}` and `{second}`.");
            at(path.clone().then(*second), "More than one way to the cluster", detail);
        }
        let kubeconfigs = [Set::of(&self.kubeconfig), Set::of(&self.kubeconfig_raw)];
        if kubeconfigs.contains(&Set::Yes) && self.context.is_null() {
            let detail = "A kubeconfig needs its `context` named here, or another current context would move everything to \
                          another cluster.";
            at(path.clone().then("context"), "No context", detail.to_owned());
        }
        if kubeconfigs == [Set::No, Set::No] && self.context.is_known() {
            let detail = "`context` belongs to `kubeconfig` or `kubeconfig_raw`.";
            at(path.clone().then("context"), "A context without a kubeconfig", detail.to_owned());
        }
    }

    /// Exactly one identity with `host`, none with anything else.
    fn check_identity(&self, path: &Path, found: &mut Diagnostics) {
        let mut at = |name: &str, summary: &str, detail: String| {
            found.extend(Diagnostics::error_at(path.clone().then(name), summary, detail));
        };
        let identities = self.identities();
        let names = "`token`, `token_file`, `client_certificate_pem` and `exec`";
        let sure = surely(&identities);
        if self.host.is_known() && identities.iter().all(|(_, set)| *set == Set::No) {
            at("host", "No credentials", format!("With `host`, set one of {names}."));
        }
        if let [first, second, ..] = sure.as_slice() {
            let detail = format!("Of {names}, exactly one has to be set; here are `{first}` and `{second}`.");
            at(second, "More than one identity", detail);
        }
        if let (true, Some(first)) = (self.host.is_null(), sure.first()) {
            let detail = format!("`{first}` belongs to `host`: nothing is mixed into what a kubeconfig or a pod says.");
            at(first, "An identity without a host", detail);
        }
        for (one, other, missing) in [
            (&self.client_certificate_pem, &self.client_key_pem, "client_key_pem"),
            (&self.client_key_pem, &self.client_certificate_pem, "client_certificate_pem"),
        ] {
            if one.is_known() && other.is_null() {
                let detail = "`client_certificate_pem` and `client_key_pem` belong together.";
                at(missing, "Half of a certificate", detail.to_owned());
            }
        }
    }

    fn ways(&self) -> [(&'static str, Set); 4] {
        let in_cluster = match self.in_cluster.known() {
            Some(false) => Set::No,
            _ => Set::of(&self.in_cluster),
        };
        [
            ("kubeconfig", Set::of(&self.kubeconfig)),
            ("kubeconfig_raw", Set::of(&self.kubeconfig_raw)),
            ("host", Set::of(&self.host)),
            ("in_cluster", in_cluster),
        ]
    }

    fn identities(&self) -> [(&'static str, Set); 4] {
        [
            ("token", Set::of(&self.token)),
            ("token_file", Set::of(&self.token_file)),
            ("client_certificate_pem", Set::of(&self.client_certificate_pem)),
            ("exec", Set::of(&self.exec)),
        ]
    }

    /// Whether it is not even known where the cluster is: then it may be a new one.
    pub(super) fn address_is_unknown(&self) -> bool {
        self.kubeconfig.is_unknown()
            || self.kubeconfig_raw.is_unknown()
            || self.context.is_unknown()
            || self.host.is_unknown()
            || self.in_cluster.is_unknown()
    }

    /// The connection, unless something that it needs is not known yet. The error says why it can't be one.
    pub(super) fn resolve(&self, environment: Environment) -> Result<Option<KubernetesConnection>, String> {
        let more = [&self.token_file, &self.ca_pem, &self.client_certificate_pem, &self.token, &self.client_key_pem];
        let names = [&self.proxy_url, &self.tls_server_name, &self.unreachable, &self.expect_server_uid];
        if self.address_is_unknown()
            || more.into_iter().chain(names).any(Attr::is_unknown)
            || self.insecure.is_unknown()
            || self.exec.is_unknown()
        {
            return Ok(None);
        }
        let Some(way) = self.way(environment)? else { return Ok(None) };
        let owned = |attr: &Attr<String>| attr.known().cloned();
        Ok(Some(KubernetesConnection {
            way,
            ca_pem: owned(&self.ca_pem),
            proxy_url: owned(&self.proxy_url),
            tls_server_name: owned(&self.tls_server_name),
            insecure: self.insecure.known().copied().unwrap_or(false),
            unreachable: self.unreachable.text().and_then(unreachable).unwrap_or_default(),
            expect_server_uid: owned(&self.expect_server_uid),
        }))
    }

    /// Checked again here: while validating, some of it may have been unknown.
    fn way(&self, environment: Environment) -> Result<Option<Way>, String> {
        let mut wrong = Diagnostics::default();
        self.check_way(&Path::default(), &mut wrong);
        self.check_identity(&Path::default(), &mut wrong);
        if let Some(wrong) = wrong.0.first() {
            return Err(wrong.detail.trim_end_matches('.').to_owned());
        }
        let context = self.context.known().cloned();
        Ok(Some(if let Some(path) = self.kubeconfig.text() {
            Way::Files { paths: vec![expanded(path, environment)], context }
        } else if let Some(text) = self.kubeconfig_raw.text() {
            Way::Text { text: Secret::new(text), context }
        } else if let Some(host) = self.host.text() {
            let Some(who) = self.who(environment) else { return Ok(None) };
            Way::Host { host: host.to_owned(), who }
        } else {
            Way::InCluster
        }))
    }

    fn who(&self, environment: Environment) -> Option<Who> {
        if let Some(token) = self.token.text() {
            return Some(Who::Token(Secret::new(token)));
        }
        if let Some(path) = self.token_file.text() {
            return Some(Who::TokenFile(expanded(path, environment)));
        }
        if let (Some(certificate), Some(key)) = (self.client_certificate_pem.text(), self.client_key_pem.text()) {
            return Some(Who::Certificate { certificate_pem: certificate.to_owned(), key_pem: Secret::new(key) });
        }
        self.exec.known()?.resolve().map(Who::Exec)
    }
}

impl ExecSettings {
    /// `None` while something of it is unknown.
    fn resolve(&self) -> Option<Exec> {
        let args = match &self.args {
            Attr::Unknown => return None,
            Attr::Null => Vec::new(),
            Attr::Known(args) => args.iter().map(|arg| arg.known().cloned()).collect::<Option<_>>()?,
        };
        let env = match &self.env {
            Attr::Unknown => return None,
            Attr::Null => BTreeMap::new(),
            Attr::Known(env) => {
                let secret = |(name, value): (&String, &Attr<String>)| Some((name.clone(), Secret::new(value.text()?)));
                env.iter().map(secret).collect::<Option<_>>()?
            }
        };
        let (api_version, command) = (self.api_version.known()?.clone(), self.command.known()?.clone());
        Some(Exec { api_version, command, args, env })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some_environment(name: &str) -> Option<String> {
        match name {
            "HOME" => Some("/home/ada".to_owned()),
            "KUBECONFIG" => Some("/etc/a:/etc/b".to_owned()),
            _ => None,
        }
    }

    fn block(change: impl FnOnce(&mut KubernetesSettings)) -> KubernetesSettings {
        let mut settings = KubernetesSettings::default();
        change(&mut settings);
        settings
    }

    /// The attribute that is complained about, and how.
    fn complaints(settings: &KubernetesSettings) -> Vec<String> {
        let found = settings.check(&Path::attribute("kubernetes").key("prod"));
        found
            .into_iter()
            .map(|one| format!("{}: {}", one.attribute.map(|path| path.to_string()).unwrap_or_default(), one.summary))
            .collect()
    }

    #[test]
    fn exactly_one_way_and_one_identity() {
        let at = |name: &str, summary: &str| vec![format!("kubernetes[\"prod\"]{name}: {summary}")];
        assert_eq!(complaints(&block(|_| ())), at("", "No way to the cluster"));
        let host = |change: fn(&mut KubernetesSettings)| {
            block(|block| {
                block.host = "https://api:6443".into();
                change(block);
            })
        };
        assert_eq!(complaints(&host(|_| ())), at(".host", "No credentials"));
        assert_eq!(complaints(&host(|block| block.token = "t".into())), Vec::<String>::new());
        assert_eq!(complaints(&host(|block| block.token = Attr::Unknown)), Vec::<String>::new());
        let two = host(|block| (block.token, block.token_file) = ("t".into(), "/f".into()));
        assert_eq!(complaints(&two), at(".token_file", "More than one identity"));
        let both = host(|block| (block.token, block.in_cluster) = ("t".into(), Attr::Known(true)));
        assert_eq!(complaints(&both), at(".in_cluster", "More than one way to the cluster"));
        let half = host(|block| block.client_certificate_pem = "pem".into());
        assert_eq!(complaints(&half), at(".client_key_pem", "Half of a certificate"));
        let context = host(|block| (block.token, block.context) = ("t".into(), "prod".into()));
        assert_eq!(complaints(&context), at(".context", "A context without a kubeconfig"));
        let file = block(|block| block.kubeconfig = "~/.kube/config".into());
        assert_eq!(complaints(&file), at(".context", "No context"));
        let mixed = block(|block| {
            (block.kubeconfig_raw, block.context, block.token) = (Attr::Unknown, "prod".into(), "t".into());
        });
        assert_eq!(complaints(&mixed), at(".token", "An identity without a host"));
        let open = block(|block| {
            (block.kubeconfig, block.host) = (Attr::Unknown, Attr::Unknown);
            (block.token, block.exec, block.context) = (Attr::Unknown, Attr::Unknown, Attr::Unknown);
        });
        assert_eq!(complaints(&open), Vec::<String>::new(), "each may be null in the end");
    }

    #[test]
    fn words_addresses_and_trust_are_judged() {
        let wrong = block(|block| {
            (block.host, block.token) = ("api:6443".into(), "t".into());
            (block.proxy_url, block.unreachable) = ("socks5://proxy".into(), "ignore".into());
            (block.insecure, block.ca_pem) = (Attr::Known(true), "pem".into());
        });
        let expected = [
            "kubernetes[\"prod\"].host: Unusable address",
            "kubernetes[\"prod\"].ca_pem: Unusable authority",
            "kubernetes[\"prod\"].proxy_url: Unusable address",
            "kubernetes[\"prod\"].insecure: Contradictory trust",
            "kubernetes[\"prod\"].unreachable: Unknown word",
        ];
        assert_eq!(complaints(&wrong), expected);
    }

    #[test]
    fn the_home_folder_is_expanded_and_no_other_users() {
        let way = |path: &str| {
            let settings = block(|block| (block.kubeconfig, block.context) = (path.into(), "prod".into()));
            match settings.resolve(some_environment).unwrap().unwrap().way {
                Way::Files { paths, context } => (paths[0].display().to_string(), context.unwrap()),
                _ => panic!("files"),
            }
        };
        assert_eq!(way("~/.kube/config"), ("/home/ada/.kube/config".to_owned(), "prod".to_owned()));
        assert_eq!(way("~bob/config").0, "~bob/config");
        assert_eq!(way("/etc/k").0, "/etc/k");
    }

    #[test]
    fn whatever_is_unknown_makes_this_connection_unknown_and_an_unknown_address_says_so() {
        let host = || block(|block| (block.host, block.token) = (Attr::Unknown, "t".into()));
        assert!(host().resolve(some_environment).unwrap().is_none());
        assert!(host().address_is_unknown());
        let token = block(|block| (block.host, block.token) = ("https://api".into(), Attr::Unknown));
        assert!(token.resolve(some_environment).unwrap().is_none());
        assert!(!token.address_is_unknown());
        let exec = ExecSettings {
            api_version: "client.authentication.k8s.io/v1".into(),
            command: "aws".into(),
            args: Attr::Known(vec![Attr::Unknown]),
            env: Attr::Null,
        };
        let exec = block(|block| (block.host, block.exec) = ("https://api".into(), Attr::Known(exec)));
        assert!(exec.resolve(some_environment).unwrap().is_none());
    }

    #[test]
    fn what_was_unknown_while_validating_is_judged_when_it_is_used() {
        let settings = block(|block| block.host = "https://api".into());
        let why = settings.resolve(some_environment).err().unwrap();
        assert!(why.starts_with("With `host`, set one of `token`"), "{why}");
    }

    #[test]
    fn the_environment_gives_all_files_and_their_current_context() {
        match from_environment(some_environment).unwrap().way {
            Way::Files { paths, context: None } => assert_eq!(paths.len(), 2),
            _ => panic!("files"),
        }
        assert!(from_environment(|name| (name == "HOME").then(|| "/nowhere".to_owned())).is_none());
    }
}
