//! Why a cluster did not do what it was asked: one kind of error for each thing that a user has to do about it.

use super::Kind;

/// What went wrong. Each is a plain sentence; none holds a secret.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum ClusterError {
    /// DNS, connect, TLS time-out, for as long as it was tried.
    #[error("cluster `{cluster}` can't be reached: {reason}")]
    Unreachable {
        /// The connection.
        cluster: String,
        /// What happened.
        reason: String,
    },
    /// It was reached, and then no usable answer came: a certificate that is not trusted, a connection that broke off.
    #[error("cluster `{cluster}` gave no usable answer: {reason}")]
    Broken {
        /// The connection.
        cluster: String,
        /// What happened.
        reason: String,
    },
    /// The kind is not served.
    #[error(
        "cluster `{cluster}` does not know the kind {kind} of {}: its CRD is not installed, or not in this version",
        group_version(group, version)
    )]
    MissingKind {
        /// The connection.
        cluster: String,
        /// The kind.
        kind: String,
        /// Its group.
        group: String,
        /// The version that was asked for.
        version: String,
    },
    /// The namespace does not exist.
    #[error("there is no namespace `{namespace}` on cluster `{cluster}`")]
    NoNamespace {
        /// The connection.
        cluster: String,
        /// The namespace.
        namespace: String,
    },
    /// RBAC said no.
    #[error("{0}")]
    Forbidden(Box<Forbidden>),
    /// Something else than RBAC said no: an admission policy or webhook, a quota, a namespace that is being deleted.
    #[error("cluster `{cluster}` refuses {object}: {message}")]
    Denied {
        /// The connection.
        cluster: String,
        /// The object.
        object: String,
        /// The server's words.
        message: String,
    },
    /// The credentials are not accepted, also after they were read again.
    #[error("cluster `{cluster}` does not accept the credentials: {message}")]
    Unauthorized {
        /// The connection.
        cluster: String,
        /// What the server said, and what was tried.
        message: String,
    },
    /// Somebody else owns fields that the configuration sets.
    #[error("{object} on cluster `{cluster}`: {}. Set force_conflicts to take them over", owners(fields_and_managers))]
    Conflict {
        /// The connection.
        cluster: String,
        /// The object.
        object: String,
        /// Fields, and who owns each.
        fields_and_managers: Vec<(String, String)>,
        /// The server's words.
        message: String,
    },
    /// An object of that name exists.
    #[error("{object} exists already on cluster `{cluster}`")]
    AlreadyExists {
        /// The connection.
        cluster: String,
        /// The object.
        object: String,
    },
    /// The object is no longer the one that was read.
    #[error("{object} on cluster `{cluster}` was changed by somebody else meanwhile")]
    Changed {
        /// The connection.
        cluster: String,
        /// The object.
        object: String,
    },
    /// What was to be changed is not there.
    #[error("{object} does not exist on cluster `{cluster}`")]
    NotFound {
        /// The connection.
        cluster: String,
        /// The object.
        object: String,
    },
    /// The server's schema or validation says no.
    #[error("cluster `{cluster}` finds {object} invalid: {message}")]
    Invalid {
        /// The connection.
        cluster: String,
        /// The object.
        object: String,
        /// The server's words.
        message: String,
        /// The fields that it names.
        fields: Vec<String>,
    },
    /// The installed version of the kind has no such fields.
    #[error("{object} can't be on cluster `{cluster}`: the installed version of {kind} has no {}", fields.join(", and no "))]
    Lacks {
        /// The connection.
        cluster: String,
        /// The object.
        object: String,
        /// The kind.
        kind: String,
        /// The fields: `.spec.skipImmediately`.
        fields: Vec<String>,
    },
    /// A webhook that has to be asked can't be called.
    #[error("the webhook \"{name}\" of cluster `{cluster}` can't be called: {message}")]
    Webhook {
        /// The connection.
        cluster: String,
        /// The webhook.
        name: String,
        /// The server's words.
        message: String,
    },
    /// Anything else that the server said.
    #[error("cluster `{cluster}` answers {status}: {message}")]
    Server {
        /// The connection.
        cluster: String,
        /// The HTTP status.
        status: u16,
        /// The server's words.
        message: String,
    },
    /// A Service that leads to no pod.
    #[error("Service {service} on cluster `{cluster}` leads nowhere: {reason}")]
    Nowhere {
        /// The connection.
        cluster: String,
        /// `namespace/name:port`.
        service: String,
        /// What it lacks.
        reason: String,
    },
    /// Another cluster stands behind the connection.
    #[error("cluster `{cluster}` is another one than expect_server_uid says: its uid is {found}, not {expected}")]
    AnotherServer {
        /// The connection.
        cluster: String,
        /// The uid that the provider block expects.
        expected: String,
        /// The uid that was found.
        found: String,
    },
    /// The connection itself can't be used.
    #[error("the connection `{cluster}` can't be used: {message}")]
    Config {
        /// The connection.
        cluster: String,
        /// What is wrong with it.
        message: String,
    },
}

/// A missing right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forbidden {
    /// The connection.
    pub cluster: String,
    /// What was to be done.
    pub verb: String,
    /// Everything that is needed for it: the server asks for one right after the other.
    pub verbs: Vec<String>,
    /// The resource, `pods/log` with its part.
    pub resource: String,
    /// Its group; empty for the core.
    pub group: String,
    /// The namespace; empty for the whole cluster.
    pub namespace: String,
    /// The server's words.
    pub message: String,
    /// The rules of everything that belongs to what was to be done, where that is more than this one.
    pub rules: Option<&'static str>,
}

impl Forbidden {
    /// The RBAC rule that is missing, in YAML.
    pub fn rule(&self) -> String {
        format!("- apiGroups: [{:?}]\n  resources: [{:?}]\n  verbs: {:?}", self.group, self.resource, self.verbs)
    }
}

impl std::fmt::Display for Forbidden {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Forbidden { cluster, verb, resource, namespace, message, .. } = self;
        let (place, role) = match namespace.as_str() {
            "" => (String::new(), "A ClusterRole".to_owned()),
            namespace => (format!(" in namespace `{namespace}`"), format!("A Role in namespace `{namespace}`")),
        };
        let (which, rules) = match self.rules {
            Some(rules) => ("these rules", rules.to_owned()),
            None => ("this rule", self.rule()),
        };
        write!(
            formatter,
            "cluster `{cluster}` forbids to {verb} {resource}{place}: {message}. {role} has to hold {which}:\n\n{rules}\n",
        )
    }
}

fn group_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}

fn owners(fields: &[(String, String)]) -> String {
    let owned = |(field, manager): &(String, String)| format!("{field} belongs to \"{manager}\"");
    fields.iter().map(owned).collect::<Vec<_>>().join(", ")
}

/// What was asked, for the error that the answer becomes.
#[derive(Debug, Clone)]
pub(super) struct Asked<'a> {
    pub cluster: &'a str,
    pub verb: &'static str,
    pub kind: &'a Kind,
    pub namespace: &'a str,
    pub name: &'a str,
    /// `log` of `pods/log`.
    pub part: &'static str,
    /// Whether it is applied server-side.
    pub applies: bool,
}

/// What the server's refusal means.
pub(super) fn refused(asked: &Asked<'_>, status: u16, body: &[u8]) -> ClusterError {
    let cluster = asked.cluster.to_owned();
    let object = asked.kind.called(asked.namespace, if asked.name.is_empty() { "(of any name)" } else { asked.name });
    let Some(answer) = parse(body) else {
        // Only the server itself answers with a `Status`; a path that nobody serves is a line of text.
        return match status {
            401 => ClusterError::Unauthorized { cluster, message: first_line(body) },
            404 => missing_kind(asked),
            status => ClusterError::Server { cluster, status, message: first_line(body) },
        };
    };
    let message = answer.message.trim().trim_end_matches('.').to_owned();
    let details = answer.details;
    if let Some(name) = unavailable_webhook(status, &message) {
        return ClusterError::Webhook { cluster, name, message };
    }
    if let Some(fields) = undeclared(&message) {
        return ClusterError::Lacks { cluster, object, kind: asked.kind.kind.to_string(), fields };
    }
    match (status, answer.reason.as_str()) {
        (401, _) => ClusterError::Unauthorized { cluster, message },
        (403, _) if message.contains("cannot ") && message.contains(" resource ") => {
            ClusterError::Forbidden(Box::new(forbidden(asked, &message)))
        }
        // The right to create a tunnel is asked for apart, by servers from 1.35 on, and its lack is not put into words.
        (403, _) if message.ends_with("is forbidden:") => {
            let right = forbidden(asked, message.trim_end_matches(':'));
            ClusterError::Forbidden(Box::new(Forbidden { namespace: asked.namespace.to_owned(), ..right }))
        }
        (403, _) => ClusterError::Denied { cluster, object, message },
        (404, _) if details.kind == "namespaces" && asked.kind.plural != "namespaces" => {
            ClusterError::NoNamespace { cluster, namespace: details.name }
        }
        (404, _) if details.name.is_empty() => missing_kind(asked),
        (404, _) => ClusterError::NotFound { cluster, object },
        (409, "AlreadyExists") => ClusterError::AlreadyExists { cluster, object },
        (409, _) => {
            let fields_and_managers = conflicts(&details);
            if fields_and_managers.is_empty() {
                ClusterError::Changed { cluster, object }
            } else {
                ClusterError::Conflict { cluster, object, fields_and_managers, message }
            }
        }
        (400 | 422, _) if message.contains("denied the request") => ClusterError::Denied { cluster, object, message },
        (400 | 422, _) => {
            let fields = details.causes.iter().map(|cause| cause.field.clone()).filter(|field| !field.is_empty());
            ClusterError::Invalid { cluster, object, message, fields: fields.collect() }
        }
        _ => ClusterError::Server { cluster, status, message },
    }
}

/// What the server says when it says no: `metav1.Status`.
#[derive(serde::Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    kind: String,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: Details,
}

#[derive(serde::Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Details {
    name: String,
    kind: String,
    causes: Vec<Cause>,
    retry_after_seconds: u64,
}

#[derive(serde::Deserialize, Default)]
#[serde(default)]
struct Cause {
    reason: String,
    message: String,
    field: String,
}

fn parse(body: &[u8]) -> Option<Status> {
    serde_json::from_slice(body).ok().filter(|status: &Status| status.kind == "Status")
}

/// The seconds that the server asks to wait for.
pub(super) fn retry_after(body: &[u8]) -> Option<u64> {
    parse(body).map(|status| status.details.retry_after_seconds).filter(|seconds| *seconds > 0)
}

fn missing_kind(asked: &Asked<'_>) -> ClusterError {
    ClusterError::MissingKind {
        cluster: asked.cluster.to_owned(),
        kind: asked.kind.kind.to_string(),
        group: asked.kind.group.to_string(),
        version: asked.kind.version.to_string(),
    }
}

/// A web page of something that is no API server is not for messages.
fn first_line(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("nothing more");
    line.chars().take(200).collect()
}

/// `failed calling webhook "x"`, of admission and of conversion.
fn unavailable_webhook(status: u16, message: &str) -> Option<String> {
    if status != 500 {
        return None;
    }
    if let Some((_, rest)) = message.split_once("failed calling webhook \"") {
        return rest.split_once('"').map(|(name, _)| name.to_owned());
    }
    let (_, rest) = message.split_once("conversion webhook for ")?;
    rest.split_once(" failed").map(|(kinds, _)| format!("conversion of {kinds}"))
}

/// The fields that the installed version lacks, in either wording: that of server-side apply, and that of strict decoding.
fn undeclared(message: &str) -> Option<Vec<String>> {
    let mut typed: Vec<&str> = message.split(": field not declared in schema").collect();
    typed.pop();
    let typed = typed.into_iter().filter_map(|before| before.rsplit([' ', '\n']).next());
    let strict = message.split("unknown field \"").skip(1).filter_map(|rest| rest.split_once('"'));
    let mut fields: Vec<String> = strict.map(|(field, _)| format!(".{field}")).collect();
    fields.extend(typed.map(str::to_owned));
    (!fields.is_empty()).then_some(fields)
}

fn forbidden(asked: &Asked<'_>, message: &str) -> Forbidden {
    let after = |marker: &str| message.split_once(marker).map(|(_, rest)| rest);
    let quoted = |marker: &str| after(marker).and_then(|rest| rest.split_once('"')).map(|(text, _)| text.to_owned());
    let verb = after("cannot ").and_then(|rest| rest.split_once(' ')).map(|(verb, _)| verb.to_owned());
    let verb = verb.unwrap_or_else(|| asked.verb.to_owned());
    // What is applied server-side is made when it is not there.
    let verbs = if asked.applies { vec!["create".to_owned(), "patch".to_owned()] } else { vec![verb.clone()] };
    let part = if asked.part.is_empty() { String::new() } else { format!("/{}", asked.part) };
    Forbidden {
        cluster: asked.cluster.to_owned(),
        verb,
        verbs,
        resource: quoted(" resource \"").unwrap_or_else(|| format!("{}{part}", asked.kind.plural)),
        group: quoted("API group \"").unwrap_or_else(|| asked.kind.group.to_string()),
        namespace: quoted("in the namespace \"").unwrap_or_default(),
        message: message.to_owned(),
        rules: None,
    }
}

/// `conflict with "kubectl-edit" using velero.io/v1`, one for each field.
fn conflicts(details: &Details) -> Vec<(String, String)> {
    let of_managers = details.causes.iter().filter(|cause| cause.reason == "FieldManagerConflict");
    let manager = |message: &str| message.split('"').nth(1).unwrap_or("somebody").to_owned();
    of_managers.map(|cause| (cause.field.clone(), manager(&cause.message))).collect()
}
