//! A blocking Kubernetes client, for what a test looks at or changes behind the provider's back.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use http::Request;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// A Kubernetes API server, seen by one user.
#[derive(Clone)]
pub struct Kubernetes {
    /// `https://127.0.0.1:4321`
    pub url: String,
    client: kube::Client,
    runtime: Arc<Runtime>,
    kinds: Arc<Mutex<HashMap<(String, String), Kind>>>,
}

/// Where objects of a kind are.
#[derive(Debug, Clone)]
struct Kind {
    plural: String,
    namespaced: bool,
}

impl fmt::Debug for Kubernetes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Kubernetes").field("url", &self.url).finish_non_exhaustive()
    }
}

impl Kubernetes {
    /// The user of `token` on the server at `url`, whose certificate the authority `ca` (DER) signed.
    pub fn new(url: &str, ca: Vec<u8>, token: &str) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let mut config = kube::Config::new(url.parse()?);
        config.root_cert = Some(vec![ca]);
        config.auth_info.token = Some(token.to_owned().into());
        config.connect_timeout = Some(Duration::from_secs(5));
        config.read_timeout = Some(Duration::from_secs(60));
        config.default_retry = false;
        let client = runtime.block_on(async { kube::Client::try_from(config) })?;
        Ok(Self { url: url.to_owned(), client, runtime: Arc::new(runtime), kinds: Arc::default() })
    }

    /// An object, if it is there. `namespace` is empty for kinds without one, here and below.
    pub fn get(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<Option<Value>> {
        let path = self.path(api_version, kind, namespace, Some(name))?;
        missing_is_none(self.request("GET", &path, "", Vec::new()))
    }

    /// All objects of a kind in a namespace, or in all of them with an empty one.
    pub fn list(&self, api_version: &str, kind: &str, namespace: &str) -> Result<Vec<Value>> {
        let path = self.path(api_version, kind, namespace, None)?;
        let mut list: Value = self.request("GET", &path, "", Vec::new())?;
        Ok(serde_json::from_value(list["items"].take())?)
    }

    /// Applies an object on the server's side as the field manager `test`, by force.
    pub fn apply(&self, object: &Value) -> Result<Value> {
        self.apply_as("test", object)
    }

    /// Applies an object on the server's side, by force.
    pub fn apply_as(&self, manager: &str, object: &Value) -> Result<Value> {
        let path = self.path_of(object)?;
        let path = format!("{path}?fieldManager={manager}&force=true");
        self.request("PATCH", &path, "application/apply-patch+yaml", serde_json::to_vec(object)?)
            .with_context(|| format!("cannot apply {object}"))
    }

    /// Makes an object that must not exist; its name may be a `generateName`.
    pub fn create(&self, object: &Value) -> Result<Value> {
        let (api_version, kind) = (text(object, "/apiVersion")?, text(object, "/kind")?);
        let namespace = text(object, "/metadata/namespace").unwrap_or_default();
        let path = self.path(api_version, kind, namespace, None)?;
        self.request("POST", &path, "application/json", serde_json::to_vec(object)?)
    }

    /// Merges `patch` into an object.
    pub fn patch(&self, api_version: &str, kind: &str, namespace: &str, name: &str, patch: &Value) -> Result<Value> {
        let path = self.path(api_version, kind, namespace, Some(name))?;
        self.request("PATCH", &path, "application/merge-patch+json", serde_json::to_vec(patch)?)
    }

    /// Merges `status` into the status of an object that has a subresource for it.
    pub fn patch_status(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
        status: &Value,
    ) -> Result<Value> {
        let path = format!("{}/status", self.path(api_version, kind, namespace, Some(name))?);
        let patch = serde_json::to_vec(&json!({ "status": status }))?;
        self.request("PATCH", &path, "application/merge-patch+json", patch)
    }

    /// Deletes an object; whether it was there.
    pub fn delete(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<bool> {
        let path = self.path(api_version, kind, namespace, Some(name))?;
        let options = serde_json::to_vec(&json!({ "propagationPolicy": "Background" }))?;
        let answer = missing_is_none(self.request("DELETE", &path, "application/json", options))?;
        Ok(answer.is_some())
    }

    /// Deletes an object and waits until it is gone.
    pub fn delete_and_wait(&self, api_version: &str, kind: &str, namespace: &str, name: &str) -> Result<()> {
        self.delete(api_version, kind, namespace, name)?;
        let gone = || Ok(self.get(api_version, kind, namespace, name)?.is_none().then_some(()));
        wait_for(&format!("{kind} {namespace}/{name} to go"), Duration::from_secs(60), gone)
    }

    /// Polls an object until `ready` says so, and gives it as it is then.
    pub fn wait(
        &self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        name: &str,
        patience: Duration,
        ready: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let last = Mutex::new(Value::Null);
        let look = || {
            let found = self.get(api_version, kind, namespace, name)?;
            let done = found.clone().filter(|object| ready(object));
            *last.lock().unwrap_or_else(PoisonError::into_inner) = found.unwrap_or_default();
            Ok(done)
        };
        wait_for(&format!("{kind} {namespace}/{name}"), patience, look).with_context(|| {
            let last = last.lock().unwrap_or_else(PoisonError::into_inner);
            format!("its spec was {} and its status {}", last["spec"], last["status"])
        })
    }

    /// A Pod's log, as `kubectl logs` shows it.
    pub fn logs(&self, namespace: &str, pod: &str) -> Result<String> {
        self.text(&format!("/api/v1/namespaces/{namespace}/pods/{pod}/log"))
    }

    /// What the server answers as text.
    pub fn text(&self, path: &str) -> Result<String> {
        let request = Request::get(path).body(Vec::new())?;
        Ok(self.runtime.block_on(self.client.request_text(request))?)
    }

    /// Any request, with any answer in JSON.
    pub fn request(&self, method: &str, path: &str, content_type: &str, body: Vec<u8>) -> Result<Value> {
        let mut request = Request::builder().method(method).uri(path);
        if !content_type.is_empty() {
            request = request.header(http::header::CONTENT_TYPE, content_type);
        }
        let request = request.body(body)?;
        Ok(self.runtime.block_on(self.client.request(request))?)
    }

    /// Where an object is.
    fn path_of(&self, object: &Value) -> Result<String> {
        let (api_version, kind) = (text(object, "/apiVersion")?, text(object, "/kind")?);
        let namespace = text(object, "/metadata/namespace").unwrap_or_default();
        self.path(api_version, kind, namespace, Some(text(object, "/metadata/name")?))
    }

    fn path(&self, api_version: &str, kind: &str, namespace: &str, name: Option<&str>) -> Result<String> {
        let found = self.kind(api_version, kind)?;
        let mut path = group_path(api_version);
        match (found.namespaced, namespace, name) {
            (true, "", Some(name)) => bail!("{kind} {name} needs a namespace"),
            (true, "", None) | (false, _, _) => {}
            (true, namespace, _) => path = format!("{path}/namespaces/{namespace}"),
        }
        path = format!("{path}/{}", found.plural);
        Ok(name.map_or_else(|| path.clone(), |name| format!("{path}/{name}")))
    }

    /// Asks the server once for each kind: two groups may have kinds of the same name.
    fn kind(&self, api_version: &str, kind: &str) -> Result<Kind> {
        let key = (api_version.to_owned(), kind.to_owned());
        if let Some(known) = self.kinds.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(known.clone());
        }
        let list = self.request("GET", &group_path(api_version), "", Vec::new())?;
        let resources = list["resources"].as_array().context("a list of resources")?;
        let whole = |resource: &&Value| {
            resource["kind"] == kind && resource["name"].as_str().is_some_and(|name| !name.contains('/'))
        };
        let found = resources.iter().find(whole).with_context(|| format!("{api_version} has no {kind}"))?;
        let found = Kind {
            plural: text(found, "/name")?.to_owned(),
            namespaced: found["namespaced"].as_bool().unwrap_or_default(),
        };
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner).insert(key, found.clone());
        Ok(found)
    }
}

/// Asks again every 100 ms until there is an answer.
pub fn wait_for<T>(what: &str, patience: Duration, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        let looked = look();
        if let Ok(Some(found)) = looked {
            return Ok(found);
        }
        if Instant::now() > deadline {
            looked.with_context(|| format!("waited {} s for {what}", patience.as_secs()))?;
            bail!("waited {} s for {what}", patience.as_secs());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn group_path(api_version: &str) -> String {
    if api_version.contains('/') { format!("/apis/{api_version}") } else { format!("/api/{api_version}") }
}

fn text<'a>(object: &'a Value, pointer: &str) -> Result<&'a str> {
    object.pointer(pointer).and_then(Value::as_str).with_context(|| format!("{object} has no {pointer}"))
}

fn missing_is_none(answer: Result<Value>) -> Result<Option<Value>> {
    match answer {
        Ok(object) => Ok(Some(object)),
        Err(error) => match error.downcast_ref::<kube::Error>() {
            Some(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            _ => Err(error),
        },
    }
}
