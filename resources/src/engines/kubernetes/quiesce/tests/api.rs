//! An API server in memory: enough of one to read, list, merge, create and delete, with controllers that tests bring.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use http::{Method, Request, Response};
use http_body_util::BodyExt;
use kube::client::Body;
use serde_json::{Map, Value, json};

use crate::connections::kubernetes::{Cluster, FIELD_MANAGER, Kind, Unreachable};

/// What of engines is served, unless a test takes it away.
const KINDS: [&str; 4] = ["replicationsources", "replicationdestinations", "backups", "restores"];

/// Objects by their address.
pub type Objects = BTreeMap<String, Value>;
type Controller = Box<dyn FnMut(&mut Objects) + Send>;

#[derive(Clone)]
pub struct Api(Arc<Mutex<Inner>>);

struct Inner {
    objects: Objects,
    /// Collections that are not served, by their plural name.
    absent: Vec<String>,
    /// Methods that nobody may use, with the plural names of the collections.
    forbidden: Vec<(&'static str, String)>,
    controllers: Vec<Controller>,
    requests: Vec<String>,
    /// A field that the schema does not know and drops.
    dropped: Option<&'static str>,
    /// A field of specs that the schema does not know, and whose objects it refuses.
    lacking: Option<&'static str>,
    /// What it says of the fields of kinds.
    description: Value,
}

/// The address of an object.
pub fn address(kind: &Kind, namespace: &str, name: &str) -> String {
    let root = if kind.group.is_empty() { "/api" } else { "/apis" };
    format!("{root}/{}/namespaces/{namespace}/{}/{name}", kind.api_version(), kind.plural)
}

impl Api {
    pub fn new() -> Self {
        let (objects, absent, forbidden) = (Objects::new(), Vec::new(), Vec::new());
        let (controllers, requests, dropped, lacking) = (Vec::new(), Vec::new(), None, None);
        let description = Value::Null;
        let inner = Inner { objects, absent, forbidden, controllers, requests, dropped, lacking, description };
        Api(Arc::new(Mutex::new(inner)))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap()
    }

    pub fn put(&self, kind: &Kind, namespace: &str, name: &str, mut object: Value) {
        object["apiVersion"] = kind.api_version().into();
        object["kind"] = kind.kind.as_ref().into();
        object["metadata"]["name"] = name.into();
        object["metadata"]["namespace"] = namespace.into();
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = format!("uid-{name}").into();
        }
        self.inner().objects.insert(address(kind, namespace, name), object);
    }

    pub fn get(&self, kind: &Kind, namespace: &str, name: &str) -> Value {
        self.inner().objects.get(&address(kind, namespace, name)).cloned().unwrap_or_default()
    }

    pub fn remove(&self, kind: &Kind, namespace: &str, name: &str) {
        self.inner().objects.remove(&address(kind, namespace, name));
    }

    /// Runs before each request.
    pub fn controller(&self, controller: impl FnMut(&mut Objects) + Send + 'static) {
        self.inner().controllers.push(Box::new(controller));
    }

    /// Has a collection not be served.
    pub fn without(&self, kind: &Kind) {
        self.inner().absent.push(kind.plural.to_string());
    }

    /// Serves it again.
    pub fn with(&self, kind: &Kind) {
        self.inner().absent.retain(|absent| *absent != kind.plural);
    }

    /// Refuses a method.
    pub fn forbid(&self, method: &'static str, kind: &Kind) {
        self.inner().forbidden.push((method, kind.plural.to_string()));
    }

    /// Has the schema drop a field of `spec.syncPolicy.automated`.
    pub fn drops(&self, field: &'static str) {
        self.inner().dropped = Some(field);
    }

    /// Has the schema refuse a field of specs.
    pub fn lacks(&self, field: &'static str) {
        self.inner().lacking = Some(field);
    }

    /// Has the server say that specs of a kind have these fields.
    pub fn describes(&self, kind: &Kind, fields: &[&str]) {
        let fields: Map<_, _> = fields.iter().map(|field| ((*field).to_owned(), json!({}))).collect();
        let named = json!([{ "group": kind.group, "version": kind.version, "kind": kind.kind }]);
        let schema =
            json!({ "properties": { "spec": { "properties": fields } }, "x-kubernetes-group-version-kind": named });
        self.inner().description = json!({ "components": { "schemas": { "it": schema } } });
    }

    /// What was asked: method and address.
    pub fn requests(&self) -> Vec<String> {
        self.inner().requests.clone()
    }

    pub fn cluster(&self) -> Cluster {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let api = api.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let body = serde_json::from_slice(&body).unwrap_or_default();
                let query = parts.uri.query().unwrap_or_default().to_owned();
                let (status, answer) = api.inner().answer(&parts.method, parts.uri.path(), &query, body);
                Ok::<_, std::convert::Infallible>(Response::builder().status(status).body(Body::from(answer)).unwrap())
            }
        });
        Cluster::with_client("prod", kube::Client::new(service, "default"), Unreachable::Fail)
    }
}

impl Inner {
    fn answer(&mut self, method: &Method, path: &str, query: &str, body: Value) -> (u16, Vec<u8>) {
        let mut controllers = std::mem::take(&mut self.controllers);
        controllers.iter_mut().for_each(|controller| controller(&mut self.objects));
        self.controllers = controllers;
        self.requests.push(format!("{method} {path}"));
        if path.starts_with("/openapi/") {
            return (200, self.description.to_string().into_bytes());
        }
        let parts: Vec<&str> = path.split('/').collect();
        let Some(place) = parts.iter().position(|part| *part == "namespaces") else {
            let served: Vec<_> =
                KINDS.into_iter().filter(|kind| !self.absent.iter().any(|absent| absent == kind)).collect();
            let served: Vec<_> = served.into_iter().map(|name| json!({ "name": name })).collect();
            return (200, json!({ "resources": served }).to_string().into_bytes());
        };
        let (plural, name) = (parts[place + 2], parts.get(place + 3).copied());
        if self.absent.iter().any(|absent| absent == plural) {
            return (404, b"404 page not found\n".to_vec());
        }
        if self.forbidden.iter().any(|(refused, of)| method == refused && of == plural) {
            return (403, refusal(403, name.unwrap_or("any"), plural));
        }
        let answer = match (method.as_str(), name) {
            ("GET", None) => Ok(self.list(path, query)),
            ("POST", None) => self.create(path, body),
            ("GET", Some(_)) => self.objects.get(path).cloned().ok_or(404),
            ("PATCH", Some(name)) if query.contains("fieldValidation=Strict") => {
                if let Some(field) = self.lacking.filter(|field| !body["spec"][*field].is_null()) {
                    return (500, lack(name, field));
                }
                // Whoever unpauses by an apply what somebody paused by an update is told so.
                let paused = self.objects.get(path).is_some_and(|live| live["spec"]["paused"] == true);
                if paused && body["spec"]["paused"] == false && !query.contains("force=true") {
                    return (409, conflict(name, ".spec.paused"));
                }
                Ok(self.apply(path, body, query.contains("dryRun=All")))
            }
            ("PATCH", Some(_)) => self.merge(path, &body),
            ("DELETE", Some(_)) => self.delete(path, &body),
            _ => Err(405),
        };
        match answer {
            Ok(value) => (200, value.to_string().into_bytes()),
            Err(status) => (status, refusal(status, name.unwrap_or("any"), plural)),
        }
    }

    fn list(&self, path: &str, query: &str) -> Value {
        let selector = query.split('&').find_map(|pair| pair.strip_prefix("labelSelector="));
        let selector = selector.unwrap_or_default().replace("%3D", "=").replace("%2C", ",").replace("%2F", "/");
        let wanted: Vec<(&str, &str)> = selector.split(',').filter_map(|term| term.split_once('=')).collect();
        let fits = |object: &Value| wanted.iter().all(|(name, value)| object["metadata"]["labels"][*name] == **value);
        let items = self.objects.iter().filter(|(address, _)| address.starts_with(&format!("{path}/")));
        let items: Vec<Value> = items.map(|(_, object)| object.clone()).filter(fits).collect();
        json!({ "metadata": {}, "items": items })
    }

    fn create(&mut self, path: &str, mut body: Value) -> Result<Value, u16> {
        let address = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
        if self.objects.contains_key(&address) {
            return Err(409);
        }
        body["metadata"]["uid"] = format!("uid-made-{}", self.requests.len()).into();
        own(&mut body.clone(), &mut body, "terraform-provider-dr");
        self.objects.insert(address, body.clone());
        Ok(body)
    }

    fn merge(&mut self, path: &str, patch: &Value) -> Result<Value, u16> {
        let object = self.objects.get_mut(path).ok_or(404_u16)?;
        let before = object["spec"].clone();
        merge(object, patch);
        own(&mut patch.clone(), object, "terraform-provider-dr");
        if let Some(field) = self.dropped
            && let Some(automated) = object["spec"]["syncPolicy"]["automated"].as_object_mut()
        {
            automated.remove(field);
        }
        if object["spec"] != before {
            object["metadata"]["generation"] = json!(object["metadata"]["generation"].as_i64().unwrap_or(1) + 1);
        }
        Ok(object.clone())
    }

    fn apply(&mut self, path: &str, body: Value, dry: bool) -> Value {
        let mut object = self.objects.get(path).cloned().unwrap_or_else(|| json!({ "metadata": { "uid": path } }));
        merge(&mut object, &body);
        own(&mut body.clone(), &mut object, "terraform-provider-dr");
        object["metadata"]["managedFields"][0]["operation"] = "Apply".into();
        if !dry {
            self.objects.insert(path.to_owned(), object.clone());
        }
        object
    }

    fn delete(&mut self, path: &str, options: &Value) -> Result<Value, u16> {
        let object = self.objects.get_mut(path).ok_or(404_u16)?;
        let uid = &options["preconditions"]["uid"];
        if !uid.is_null() && object["metadata"]["uid"] != *uid {
            return Err(409);
        }
        if object["metadata"]["finalizers"].as_array().is_some_and(|finalizers| !finalizers.is_empty()) {
            object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        } else {
            self.objects.remove(path);
        }
        Ok(json!({ "kind": "Status", "status": "Success" }))
    }
}

/// A merge patch, as RFC 7386 has it.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let fields = target.as_object_mut().unwrap();
    for (key, value) in patch {
        if value.is_null() {
            fields.remove(key);
        } else {
            merge(fields.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Notes who set the fields of a patch, and takes them from the others.
pub fn own(patch: &mut Value, object: &mut Value, manager: &str) {
    let set = fields(patch);
    let entry = json!({ "manager": manager, "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": set });
    object["metadata"]["managedFields"] = json!([entry]);
}

fn fields(patch: &Value) -> Value {
    let Value::Object(patch) = patch else { return json!({}) };
    Value::Object(patch.iter().map(|(key, value)| (format!("f:{key}"), fields(value))).collect())
}

fn lack(name: &str, field: &str) -> Vec<u8> {
    let message = format!("failed to create typed patch object ({name}): .spec.{field}: field not declared in schema");
    json!({ "kind": "Status", "status": "Failure", "code": 500, "message": message }).to_string().into_bytes()
}

fn conflict(name: &str, field: &str) -> Vec<u8> {
    let cause = json!({ "reason": "FieldManagerConflict", "field": field, "message": format!("conflict with {FIELD_MANAGER:?} using v1") });
    json!({ "kind": "Status", "status": "Failure", "code": 409, "reason": "Conflict", "message": "Apply failed",
        "details": { "name": name, "causes": [cause] } })
    .to_string()
    .into_bytes()
}

fn refusal(status: u16, name: &str, plural: &str) -> Vec<u8> {
    let reason = match status {
        403 => "Forbidden",
        409 => "AlreadyExists",
        _ => "NotFound",
    };
    let details = json!({ "name": name, "kind": plural });
    let body = json!({ "kind": "Status", "status": "Failure", "code": status, "reason": reason, "message": "no",
        "details": details });
    body.to_string().into_bytes()
}
