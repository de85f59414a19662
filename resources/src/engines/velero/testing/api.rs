//! An API server for tests: it keeps objects, and plays the statuses that a test gives it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Value, json};

use crate::connections::kubernetes::{Cluster, Unreachable};

/// The server; its clones are the same one.
#[derive(Clone, Default)]
pub struct Api(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Value>,
    plays: BTreeMap<String, VecDeque<Value>>,
    writes: Vec<(String, String, Value)>,
    /// What appears when an object is made: its name, and objects by their paths.
    follows: Vec<(String, Vec<(String, Value)>)>,
    made: u64,
    /// What nobody may do: a method, and the path that it is refused for.
    refused: Option<(&'static str, &'static str)>,
}

impl Api {
    /// A server with the namespaces that every test has.
    pub fn new() -> Self {
        let api = Api::default();
        for (name, uid) in [("kube-system", "uid-of-prod"), ("velero", "uid-of-velero")] {
            api.put(&format!("/api/v1/namespaces/{name}"), json!({ "metadata": { "uid": uid } }));
        }
        api
    }

    pub fn cluster(&self) -> Cluster {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let body = serde_json::from_slice(&body).unwrap_or(Value::Null);
                let query = parts.uri.query().unwrap_or_default();
                let (status, answer) = api.0.lock().unwrap().answer(&parts.method, parts.uri.path(), query, body);
                let answer = Response::builder().status(status).body(Body::from(answer.to_string().into_bytes()));
                Ok::<_, std::convert::Infallible>(answer.unwrap())
            }
        });
        Cluster::with_client("prod", kube::Client::new(service, "default"), Unreachable::Fail)
    }

    /// Puts an object as it is.
    pub fn put(&self, path: &str, mut object: Value) {
        let name = path.rsplit('/').next().unwrap();
        object["metadata"]["name"] = name.into();
        self.0.lock().unwrap().keep(path, object);
    }

    /// Puts an object of Velero's.
    pub fn put_velero(&self, plural: &str, name: &str, object: Value) {
        self.put(&format!("/apis/velero.io/v1/namespaces/velero/{plural}/{name}"), object);
    }

    pub fn delete(&self, path: &str) {
        self.0.lock().unwrap().objects.remove(path);
    }

    /// With each list of these objects of Velero's, those that have not ended get the next of the statuses; the last stays.
    pub fn plays(&self, plural: &str, statuses: impl IntoIterator<Item = Value>) {
        let path = format!("/apis/velero.io/v1/namespaces/velero/{plural}");
        self.0.lock().unwrap().plays.insert(path, statuses.into_iter().collect());
    }

    pub fn get(&self, path: &str) -> Option<Value> {
        self.0.lock().unwrap().objects.get(path).cloned()
    }

    /// Objects appear as soon as one of that name is made.
    pub fn follow(&self, name: &str, objects: impl IntoIterator<Item = (&'static str, Value)>) {
        let objects = objects.into_iter().map(|(path, object)| (path.to_owned(), object)).collect();
        self.0.lock().unwrap().follows.push((name.to_owned(), objects));
    }

    /// What was made of a kind, in order.
    pub fn made(&self, plural: &str) -> Vec<Value> {
        let state = self.0.lock().unwrap();
        let of_kind = |(method, path, _): &&(String, String, Value)| method == "POST" && path.ends_with(plural);
        state.writes.iter().filter(of_kind).map(|(_, _, body)| body.clone()).collect()
    }

    /// Refuses this from now on, for want of rights.
    pub fn refuses(&self, method: &'static str, path: &'static str) {
        self.0.lock().unwrap().refused = Some((method, path));
    }

    /// Refuses nothing any more.
    pub fn allows(&self) {
        self.0.lock().unwrap().refused = None;
    }

    /// Whether somebody deleted an object.
    pub fn was_deleted(&self, path: &str) -> bool {
        let state = self.0.lock().unwrap();
        state.writes.iter().any(|(method, of, _)| method == "DELETE" && of == path)
    }

    /// Whether somebody changed an object.
    pub fn was_patched(&self, path: &str) -> bool {
        let state = self.0.lock().unwrap();
        state.writes.iter().any(|(method, of, _)| method == "PATCH" && of == path)
    }

    /// How often something was written.
    pub fn writes(&self) -> usize {
        self.0.lock().unwrap().writes.len()
    }
}

impl State {
    fn answer(&mut self, method: &Method, path: &str, query: &str, body: Value) -> (u16, Value) {
        if self.refused == Some((method.as_str(), path)) {
            return refusal(403, "Forbidden", "it may not");
        }
        if method != Method::GET {
            self.writes.push((method.to_string(), path.to_owned(), body.clone()));
        }
        if let Some(group) = group_of(path).filter(|_| method == Method::GET) {
            let plurals = ["backupstoragelocations", "backups", "restores"];
            let served = plurals.map(|name| json!({ "name": name }));
            return (200, json!({ "kind": "APIResourceList", "groupVersion": group, "resources": served }));
        }
        match (method, is_collection(path)) {
            (&Method::GET, true) => (200, self.list(path, query)),
            (&Method::GET, false) => match self.objects.get(path) {
                Some(object) => (200, object.clone()),
                None => missing(path),
            },
            (&Method::POST, _) => {
                let name = body["metadata"]["name"].as_str().unwrap().to_owned();
                let path = format!("{path}/{name}");
                if self.objects.contains_key(&path) {
                    return refusal(409, "AlreadyExists", "it exists");
                }
                let made = self.keep(&path, body);
                let follows = std::mem::take(&mut self.follows);
                let (now, later): (Vec<_>, Vec<_>) = follows.into_iter().partition(|(after, _)| *after == name);
                self.follows = later;
                for (path, mut object) in now.into_iter().flat_map(|(_, objects)| objects) {
                    object["metadata"]["name"] = path.rsplit('/').next().unwrap().into();
                    self.keep(&path, object);
                }
                (201, made)
            }
            (&Method::PATCH | &Method::PUT, _) => {
                let mut object = self.objects.get(path).cloned().unwrap_or_else(|| json!({}));
                merge(&mut object, body);
                (200, self.keep(path, object))
            }
            (&Method::DELETE, _) => match self.objects.remove(path) {
                Some(object) => (200, object),
                None => missing(path),
            },
            _ => refusal(405, "MethodNotAllowed", "not here"),
        }
    }

    fn keep(&mut self, path: &str, mut object: Value) -> Value {
        self.made += 1;
        let metadata = &mut object["metadata"];
        for (field, value) in
            [("uid", format!("uid-{}", self.made)), ("creationTimestamp", "2026-11-21T00:00:00Z".into())]
        {
            if metadata[field].is_null() {
                metadata[field] = value.into();
            }
        }
        let parts: Vec<&str> = path.split('/').collect();
        let namespace = parts.iter().position(|part| *part == "namespaces").filter(|at| at + 2 < parts.len());
        if let Some(at) = namespace {
            metadata["namespace"] = parts[at + 1].into();
        }
        metadata["resourceVersion"] = self.made.to_string().into();
        if object["apiVersion"].is_null() {
            object["apiVersion"] = "v1".into();
            object["kind"] = "Thing".into();
        }
        self.objects.insert(path.to_owned(), object.clone());
        object
    }

    fn list(&mut self, path: &str, query: &str) -> Value {
        self.play(path);
        let selector = query.split('&').find_map(|part| part.strip_prefix("labelSelector=")).unwrap_or_default();
        let selector = selector.replace("%3D", "=").replace("%2C", ",").replace("%2F", "/");
        let below = format!("{path}/");
        let own =
            self.objects.iter().filter(|(path, _)| path.strip_prefix(&below).is_some_and(|name| !name.contains('/')));
        let items: Vec<Value> =
            own.map(|(_, object)| object.clone()).filter(|object| selects(&selector, object)).collect();
        json!({ "kind": "List", "apiVersion": "v1", "metadata": {}, "items": items })
    }

    fn play(&mut self, path: &str) {
        let Some(statuses) = self.plays.get_mut(path) else { return };
        let below = format!("{path}/");
        let ended = ["Completed", "PartiallyFailed", "Failed", "FailedValidation"];
        let working = self.objects.iter_mut().filter(|(path, object)| {
            path.starts_with(&below) && !ended.iter().any(|phase| object["status"]["phase"] == *phase)
        });
        let status = if statuses.len() > 1 { statuses.pop_front() } else { statuses.front().cloned() };
        for (_, object) in working {
            object["status"] = status.clone().unwrap_or_default();
        }
    }
}

/// `a=b,c`: each pair, and that each name is there.
fn selects(selector: &str, object: &Value) -> bool {
    let labels = &object["metadata"]["labels"];
    selector.split(',').filter(|part| !part.is_empty()).all(|part| match part.split_once('=') {
        Some((name, value)) => labels[name] == value,
        None => !labels[part].is_null(),
    })
}

/// The group and version of a path that names no more.
fn group_of(path: &str) -> Option<&str> {
    path.strip_prefix("/apis/").filter(|rest| rest.split('/').count() == 2)
}

fn is_collection(path: &str) -> bool {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    let rest = if parts[0] == "api" { &parts[2..] } else { &parts[3..] };
    rest.len() % 2 == 1
}

fn missing(path: &str) -> (u16, Value) {
    let name = path.rsplit('/').next().unwrap();
    let details = json!({ "name": name, "kind": "things" });
    let status = json!({ "kind": "Status", "status": "Failure", "reason": "NotFound", "message": "not found", "details": details });
    (404, status)
}

fn refusal(code: u16, reason: &str, message: &str) -> (u16, Value) {
    (code, json!({ "kind": "Status", "status": "Failure", "reason": reason, "message": message, "details": {} }))
}

fn merge(object: &mut Value, patch: Value) {
    match patch {
        Value::Object(fields) if object.is_object() => {
            for (name, value) in fields {
                match value {
                    Value::Null => drop(object.as_object_mut().unwrap().remove(&name)),
                    value => merge(&mut object[name], value),
                }
            }
        }
        value => *object = value,
    }
}
