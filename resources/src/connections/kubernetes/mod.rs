//! A connection to a Kubernetes cluster: objects of any kind, read in batches while refreshing, applied server-side.

mod connect;
mod error;
mod kind;
mod owners;
mod schema;
mod send;
#[cfg(test)]
mod tests;
mod tunnel;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use dr_framework::Redactor;
use http::Method;
pub use kube::core::{DynamicObject, ObjectMeta};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

pub use connect::{Exec, KubernetesConnection, Unreachable, Way, Who, checked_host};
pub use error::{ClusterError, Forbidden};
pub use kind::Kind;
pub use owners::field_owners;
pub use tunnel::{ServicePort, Tunnel};

use crate::cache::ReadCache;
use crate::clock;
use crate::waiting::{Missing, NotThere, WaitingSlots};
use error::Asked;
use kind::segment;
use schema::Schemas;
use send::{Call, Line, Source};

/// The one name under which this provider owns fields.
pub const FIELD_MANAGER: &str = "terraform-provider-dr";

/// How many objects a page of a list holds.
const PAGE: usize = 500;

/// How often a list starts again when the server forgot where it was.
const RESTARTS: u32 = 3;

/// How long a CRD that is missing is waited for, unless the user allows more.
const KIND: Duration = Duration::from_secs(120);

/// For how long the answer to "which cluster is this" holds during an apply, which may replace it.
const UID: Duration = Duration::from_secs(5);

const JSON: &str = "application/json";
const APPLY: &str = "application/apply-patch+yaml";
const MERGE: &str = "application/merge-patch+json";

/// A cluster: one per connection and process, cheap to clone. It connects at first use.
#[derive(Clone)]
pub struct Cluster(Arc<Inner>);

/// Kind, namespace and labels.
type Listing = (Kind, Option<String>, Option<String>);

struct Inner {
    line: Line,
    unreachable: Unreachable,
    listings: ReadCache<Listing, Vec<DynamicObject>, ClusterError>,
    lists: ReadCache<(Kind, String), HashMap<String, Arc<DynamicObject>>, ClusterError>,
    secrets: ReadCache<(Kind, String, String), Option<Arc<DynamicObject>>, ClusterError>,
    uid: Mutex<Option<(String, Instant)>>,
    schemas: Schemas,
}

/// One and the same.
impl PartialEq for Cluster {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Cluster {}

impl Cluster {
    /// The cluster of that name; nothing is read or asked yet. `slots` are those of the process.
    pub fn new(name: &str, connection: KubernetesConnection, redactor: Redactor, slots: WaitingSlots) -> Self {
        let unreachable = connection.unreachable;
        Cluster::on(Line::new(name, Source::Settings(Box::new(connection)), redactor, slots), unreachable)
    }

    /// A cluster behind a client that is there: for tests with a server of their own.
    #[cfg(any(test, feature = "toy"))]
    pub fn with_client(name: &str, client: kube::Client, unreachable: Unreachable) -> Self {
        let line = Line::new(name, Source::Client(client), Redactor::default(), WaitingSlots::default());
        Cluster::on(line, unreachable)
    }

    fn on(line: Line, unreachable: Unreachable) -> Self {
        let (lists, secrets) = (ReadCache::default(), ReadCache::default());
        let listings = ReadCache::sharing();
        Cluster(Arc::new(Inner {
            line,
            unreachable,
            listings,
            lists,
            secrets,
            uid: Mutex::default(),
            schemas: Schemas::default(),
        }))
    }

    /// The connection's name.
    pub fn name(&self) -> &str {
        &self.0.line.name
    }

    /// What the provider block says about it; nothing of one that a test brought.
    pub fn connection(&self) -> Option<&KubernetesConnection> {
        match &self.0.line.source {
            Source::Settings(connection) => Some(connection),
            Source::Client(_) => None,
        }
    }

    /// What a resource does while the cluster can't be reached.
    pub fn unreachable(&self) -> Unreachable {
        self.0.unreachable
    }

    /// Whether it is declared lost, and the last try did not reach it.
    pub fn is_given_up(&self) -> bool {
        self.0.unreachable == Unreachable::Lost && self.0.line.is_out_of_reach()
    }

    /// When the token ends, if there is one that says so and that nothing can be read anew from.
    pub async fn token_expires(&self) -> Option<jiff::Timestamp> {
        self.0.line.expires().await
    }

    /// The first apply of the process begins: nothing that was read for refresh is answered any more, and a cluster that
    /// could not be reached is tried again.
    pub fn apply_begins(&self) {
        self.0.line.applying.store(true, Ordering::SeqCst);
        self.0.lists.end();
        self.0.secrets.end();
    }

    /// Which cluster this is: the uid of namespace kube-system.
    pub async fn uid(&self) -> Result<String, ClusterError> {
        let mut known = self.0.uid.lock().await;
        let holds = |since: &Instant| !self.0.line.is_applying() || since.elapsed() < clock::scaled(UID);
        if let Some((uid, _)) = known.as_ref().filter(|(_, since)| holds(since)) {
            return Ok(uid.clone());
        }
        let namespace = self.get(&Kind::NAMESPACE, "", "kube-system").await?;
        let uid = namespace.and_then(|namespace| namespace.metadata.uid).ok_or_else(|| ClusterError::Broken {
            cluster: self.name().to_owned(),
            reason: "it has no namespace kube-system, whose uid says which cluster it is".to_owned(),
        })?;
        if let Source::Settings(connection) = &self.0.line.source
            && let Some(expected) = connection.expect_server_uid.as_ref().filter(|expected| **expected != uid)
        {
            let (cluster, expected) = (self.name().to_owned(), expected.clone());
            return Err(ClusterError::AnotherServer { cluster, expected, found: uid });
        }
        *known = Some((uid.clone(), Instant::now()));
        Ok(uid)
    }

    /// The object as it is now; `None` when it does not exist. A kind that is not served is an error.
    pub async fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Result<Option<DynamicObject>, ClusterError> {
        let call = self.call(Method::GET, "get", kind, namespace, name, kind.path_of(namespace, name));
        match self.0.line.send(&call).await {
            Ok(body) => self.object(&body).map(Some),
            Err(ClusterError::NotFound { .. } | ClusterError::NoNamespace { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The object, for refresh: one list serves every object of its kind and namespace for a while. Secrets are never
    /// listed. Once an apply began, this is [`Cluster::get`].
    pub async fn find(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<DynamicObject>>, ClusterError> {
        if self.0.line.is_applying() {
            return Ok(self.get(kind, namespace, name).await?.map(Arc::new));
        }
        if *kind == Kind::SECRET {
            return self.find_alone(kind, namespace, name).await;
        }
        let key = (kind.clone(), namespace.to_owned());
        let listed = self.0.lists.get(&key, || async {
            let objects = self.list(kind, Some(namespace), None).await?;
            let named = |object: DynamicObject| Some((object.metadata.name.clone()?, Arc::new(object)));
            Ok(objects.into_iter().filter_map(named).collect())
        });
        match listed.await {
            Ok(objects) => Ok(objects.get(name).cloned()),
            // Whoever may only read may not list.
            Err(ClusterError::Forbidden(_)) => self.find_alone(kind, namespace, name).await,
            Err(error) => Err(error),
        }
    }

    async fn find_alone(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<DynamicObject>>, ClusterError> {
        let key = (kind.clone(), namespace.to_owned(), name.to_owned());
        let get = || async { Ok(self.get(kind, namespace, name).await?.map(Arc::new)) };
        self.0.secrets.get(&key, get).await.map(|found| (*found).clone())
    }

    /// Every object of a kind, in a namespace or everywhere, with these labels (`a=b,c`), as it is now. Whoever asks for the
    /// same while a list is under way shares the next one: a thousand resources that are made together look at the same.
    pub async fn list(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        labels: Option<&str>,
    ) -> Result<Vec<DynamicObject>, ClusterError> {
        let key = (kind.clone(), namespace.map(str::to_owned), labels.map(str::to_owned));
        let listed = self.0.listings.get(&key, || self.list_now(kind, namespace, labels));
        listed.await.map(Arc::unwrap_or_clone)
    }

    async fn list_now(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        labels: Option<&str>,
    ) -> Result<Vec<DynamicObject>, ClusterError> {
        let mut restarts = 0;
        loop {
            match self.pages(kind, namespace, labels).await {
                // The place in the list is forgotten after some minutes.
                Err(ClusterError::Server { status: 410, .. }) if restarts < RESTARTS => restarts += 1,
                listed => return listed,
            }
        }
    }

    async fn pages(
        &self,
        kind: &Kind,
        namespace: Option<&str>,
        labels: Option<&str>,
    ) -> Result<Vec<DynamicObject>, ClusterError> {
        let labels = labels.map(|labels| format!("&labelSelector={}", segment(labels))).unwrap_or_default();
        let base = format!("{}?limit={PAGE}{labels}", kind.path(namespace));
        let mut objects = Vec::new();
        let mut path = base.clone();
        loop {
            let call = self.call(Method::GET, "list", kind, namespace.unwrap_or_default(), "", path);
            let body = self.0.line.send(&call).await?;
            let page: Page = serde_json::from_slice(&body).map_err(|error| self.unreadable(&error))?;
            objects.extend(page.items.into_iter().map(|mut object| {
                // The items of a list of a built-in kind don't say what they are.
                object.types.get_or_insert_with(|| kube::core::TypeMeta {
                    api_version: kind.api_version(),
                    kind: kind.kind.to_string(),
                });
                object
            }));
            match page.metadata.next.filter(|next| !next.is_empty()) {
                Some(next) => path = format!("{base}&continue={}", segment(&next)),
                None => return Ok(objects),
            }
        }
    }

    /// Applies an object server-side: what `body` sets is ours from then on. A field that somebody else owns is a
    /// conflict, unless it is taken by `force`. `apiVersion`, `kind` and the name need not be in `body`.
    pub async fn apply(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        body: Value,
        force: bool,
    ) -> Result<DynamicObject, ClusterError> {
        let force = if force { "&force=true" } else { "" };
        let call = self.application(kind, namespace, name, body, force);
        self.object(&self.0.line.send(&call).await?)
    }

    /// Whether an object would be taken if it were applied, whoever owns its fields. Nothing is written.
    pub async fn rehearse(&self, kind: &Kind, namespace: &str, name: &str, body: Value) -> Result<(), ClusterError> {
        let call = self.application(kind, namespace, name, body, "&force=true&dryRun=All");
        match self.0.line.send(&call).await {
            // Of a webhook that writes something itself (`k8s.io/apiserver`'s `NewDryRunUnsupportedErr`).
            Err(ClusterError::Invalid { message, .. }) if message.ends_with("does not support dry run") => Ok(()),
            answer => answer.map(drop),
        }
    }

    fn application<'a>(
        &'a self,
        kind: &'a Kind,
        namespace: &'a str,
        name: &'a str,
        body: Value,
        how: &str,
    ) -> Call<'a> {
        let path = kind.path_of(namespace, name);
        let path = format!("{path}?fieldManager={FIELD_MANAGER}&fieldValidation=Strict{how}");
        let mut call = self.call(Method::PATCH, "patch", kind, namespace, name, path);
        call.content_type = APPLY;
        call.asked.applies = true;
        call.body = identified(kind, namespace, Some(name), body).to_string().into_bytes();
        call
    }

    /// Creates an object, whose name `body` holds (or `generateName`). One that exists is
    /// [`ClusterError::AlreadyExists`], also when an answer was lost and it is ours.
    pub async fn create(&self, kind: &Kind, namespace: &str, body: Value) -> Result<DynamicObject, ClusterError> {
        let name = body["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let path = format!("{}?fieldManager={FIELD_MANAGER}&fieldValidation=Strict", kind.path(Some(namespace)));
        let mut call = self.call(Method::POST, "create", kind, namespace, &name, path);
        call.body = identified(kind, namespace, None, body).to_string().into_bytes();
        self.object(&self.0.line.send(&call).await?)
    }

    /// Merges `patch` into an object; with a resource version, only if it is still that one.
    pub async fn merge(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        mut patch: Value,
        resource_version: Option<&str>,
    ) -> Result<DynamicObject, ClusterError> {
        if let Some(version) = resource_version {
            patch["metadata"]["resourceVersion"] = version.into();
        }
        let path = format!("{}?fieldManager={FIELD_MANAGER}", kind.path_of(namespace, name));
        let mut call = self.call(Method::PATCH, "patch", kind, namespace, name, path);
        call.content_type = MERGE;
        call.body = patch.to_string().into_bytes();
        self.object(&self.0.line.send(&call).await?)
    }

    /// Replaces an object, if it is still the one that was read.
    pub async fn replace(
        &self,
        kind: &Kind,
        namespace: &str,
        object: &DynamicObject,
    ) -> Result<DynamicObject, ClusterError> {
        let name = object.metadata.name.clone().unwrap_or_default();
        let path = format!("{}?fieldManager={FIELD_MANAGER}", kind.path_of(namespace, &name));
        let mut call = self.call(Method::PUT, "update", kind, namespace, &name, path);
        call.body = serde_json::to_vec(object).map_err(|error| self.unreadable(&error))?;
        self.object(&self.0.line.send(&call).await?)
    }

    /// Deletes an object and, in the background, what it owns; with a uid only if it is still that one
    /// ([`ClusterError::Changed`] else). `false` when it was not there.
    pub async fn delete(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        uid: Option<&str>,
    ) -> Result<bool, ClusterError> {
        let mut options = json!({ "apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background" });
        if let Some(uid) = uid {
            options["preconditions"] = json!({ "uid": uid });
        }
        let mut call = self.call(Method::DELETE, "delete", kind, namespace, name, kind.path_of(namespace, name));
        call.body = options.to_string().into_bytes();
        match self.0.line.send(&call).await {
            Ok(_) => Ok(true),
            Err(ClusterError::NotFound { .. } | ClusterError::NoNamespace { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the kind is served; every authenticated user may ask that.
    pub async fn serves(&self, kind: &Kind) -> Result<bool, ClusterError> {
        let call = self.call(Method::GET, "get", kind, "", "", kind.group_path());
        let body = match self.0.line.send(&call).await {
            Ok(body) => body,
            Err(ClusterError::MissingKind { .. } | ClusterError::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error),
        };
        let served: Value = serde_json::from_slice(&body).map_err(|error| self.unreadable(&error))?;
        let resources = served["resources"].as_array();
        Ok(resources.is_some_and(|resources| resources.iter().any(|resource| resource["name"] == *kind.plural)))
    }

    /// The waiting slots of the process.
    pub fn waiting(&self) -> &WaitingSlots {
        &self.0.line.slots
    }

    /// Waits until the kind is served, usually for two minutes and in one of the waiting slots: this apply may be installing
    /// it.
    pub async fn wait_for_kind(
        &self,
        kind: &Kind,
        depends_on: &str,
        slots: &WaitingSlots,
    ) -> Result<(), NotThere<ClusterError>> {
        let crd = format!("the CRD {}.{} ({}) on cluster `{}`", kind.plural, kind.group, kind.version, self.name());
        let missing = Missing { what: crd, depends_on: depends_on.to_owned() };
        slots.wait_for(&missing, KIND, || async { Ok(self.serves(kind).await?.then_some(())) }).await
    }

    /// Waits in the same way until an object exists that something else in this apply makes: a namespace, a Secret.
    pub async fn wait_for_object(
        &self,
        kind: &Kind,
        namespace: &str,
        name: &str,
        depends_on: &str,
        slots: &WaitingSlots,
    ) -> Result<DynamicObject, NotThere<ClusterError>> {
        let what = format!("{} on cluster `{}`", kind.called(namespace, name), self.name());
        let missing = Missing { what, depends_on: depends_on.to_owned() };
        slots.wait_for(&missing, KIND, || self.get(kind, namespace, name)).await
    }

    /// The last lines of a container's log; of the only container when none is named.
    pub async fn pod_log(
        &self,
        namespace: &str,
        pod: &str,
        container: Option<&str>,
        tail_lines: usize,
    ) -> Result<String, ClusterError> {
        let container = container.map(|name| format!("&container={}", segment(name))).unwrap_or_default();
        let path = format!("{}/log?tailLines={tail_lines}{container}", Kind::POD.path_of(namespace, pod));
        let kind = Kind::POD;
        let mut call = self.call(Method::GET, "get", &kind, namespace, pod, path);
        call.asked.part = "log";
        Ok(String::from_utf8_lossy(&self.0.line.send(&call).await?).into_owned())
    }

    fn call<'a>(
        &'a self,
        method: Method,
        verb: &'static str,
        kind: &'a Kind,
        namespace: &'a str,
        name: &'a str,
        path: String,
    ) -> Call<'a> {
        let asked = Asked { cluster: self.name(), verb, kind, namespace, name, part: "", applies: false };
        Call { asked, method, path, content_type: JSON, body: Vec::new(), upgrade: Vec::new() }
    }

    fn object(&self, body: &Bytes) -> Result<DynamicObject, ClusterError> {
        serde_json::from_slice(body).map_err(|error| self.unreadable(&error))
    }

    fn unreadable(&self, error: &serde_json::Error) -> ClusterError {
        ClusterError::Broken { cluster: self.name().to_owned(), reason: format!("it is no object: {error}") }
    }
}

/// The object with what the address says of it.
fn identified(kind: &Kind, namespace: &str, name: Option<&str>, mut body: Value) -> Value {
    body["apiVersion"] = kind.api_version().into();
    body["kind"] = kind.kind.as_ref().into();
    if let Some(name) = name {
        body["metadata"]["name"] = name.into();
    }
    if kind.namespaced {
        body["metadata"]["namespace"] = namespace.into();
    }
    body
}

#[derive(serde::Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMeta,
    #[serde(default = "Vec::new")]
    items: Vec<DynamicObject>,
}

#[derive(serde::Deserialize, Default)]
struct PageMeta {
    #[serde(rename = "continue")]
    next: Option<String>,
}
