//! The fields that kinds have in the installed version, by the server's own description: so that a plan can say what is
//! lacking. It is read while refreshing, and nobody asks for it twice.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::{Cluster, Kind};

/// How long the description may take: no plan fails for want of it.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was learned of groups, each with its version: none of one that could not be read.
#[derive(Default)]
pub(super) struct Schemas {
    known: Mutex<HashMap<String, HashMap<String, Node>>>,
    /// Held by whoever reads.
    turn: tokio::sync::Mutex<()>,
}

impl Schemas {
    fn with<T>(&self, group: &str, look: impl FnOnce(&HashMap<String, Node>) -> T) -> Option<T> {
        let known = self.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        known.get(group).map(look)
    }
}

/// A part of an OpenAPI schema, as far as it says which fields there are.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Node {
    properties: BTreeMap<String, Node>,
    items: Option<Box<Node>>,
    #[serde(rename = "additionalProperties")]
    more: Option<IgnoredAny>,
    #[serde(rename = "x-kubernetes-preserve-unknown-fields")]
    open: bool,
    #[serde(rename = "x-kubernetes-group-version-kind")]
    kinds: Vec<GroupVersionKind>,
}

#[derive(Deserialize)]
struct GroupVersionKind {
    kind: String,
}

#[derive(Deserialize)]
struct Document {
    components: Components,
}

#[derive(Deserialize)]
struct Components {
    schemas: HashMap<String, Node>,
}

impl Node {
    /// The fields of a value that this does not have.
    fn lacks(&self, value: &Value, path: &str, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) if !self.open && self.more.is_none() && !self.properties.is_empty() => {
                // Null is what may not be set.
                for (name, value) in fields.iter().filter(|(_, value)| !value.is_null()) {
                    let path = format!("{path}.{name}");
                    match self.properties.get(name) {
                        Some(node) => node.lacks(value, &path, found),
                        None if found.contains(&path) => {}
                        None => found.push(path),
                    }
                }
            }
            Value::Array(values) => {
                let items = self.items.as_deref();
                items.into_iter().for_each(|items| values.iter().for_each(|value| items.lacks(value, path, found)));
            }
            _ => {}
        }
    }
}

/// Every kind that a group's description has.
fn read(document: &[u8]) -> HashMap<String, Node> {
    let schemas = serde_json::from_slice(document).map(|document: Document| document.components.schemas);
    let named = |mut node: Node| Some((node.kinds.pop()?.kind, node));
    schemas.unwrap_or_default().into_values().filter_map(named).collect()
}

impl Cluster {
    /// Reads which fields the kinds of a group have, for [`Cluster::lacks`]; a server that does not say it is asked once.
    pub async fn learn_fields(&self, kind: &Kind) {
        let (schemas, group) = (&self.0.schemas, kind.api_version());
        let _turn = schemas.turn.lock().await;
        if kind.group.is_empty() || self.0.line.is_applying() || schemas.with(&group, |_| ()).is_some() {
            return;
        }
        self.read_fields(kind, group).await;
    }

    /// The same once more, where a write showed that what was known is not so: the engine may have been installed since.
    pub async fn learn_fields_anew(&self, kind: &Kind) {
        let _turn = self.0.schemas.turn.lock().await;
        self.read_fields(kind, kind.api_version()).await;
    }

    async fn read_fields(&self, kind: &Kind, group: String) {
        let call = self.call(Method::GET, "get", kind, "", "", format!("/openapi/v3/apis/{group}"));
        let fields = match tokio::time::timeout(PATIENCE, self.0.line.send(&call)).await {
            Ok(Ok(document)) => read(&document),
            _ => HashMap::new(),
        };
        self.0.schemas.known.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(group, fields);
    }

    /// The fields of a spec that the installed version of a kind does not have, as far as that was learned. Asks nobody.
    pub fn lacks(&self, kind: &Kind, body: &Value) -> Vec<String> {
        let mut found = Vec::new();
        self.0.schemas.with(&kind.api_version(), |kinds| {
            if let Some(node) = kinds.get(kind.kind.as_ref()).and_then(|node| node.properties.get("spec")) {
                node.lacks(&body["spec"], ".spec", &mut found);
            }
        });
        found
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As an API server describes a CRD.
    fn document() -> Vec<u8> {
        let metadata = json!({ "allOf": [{ "$ref": "#/components/schemas/io.k8s.apimachinery.ObjectMeta" }] });
        let hook = json!({ "type": "object", "properties": { "name": { "type": "string" } } });
        let spec = json!({ "type": "object", "properties": {
            "schedule": { "type": "string" }, "hooks": { "type": "array", "items": hook },
            "labels": { "type": "object", "additionalProperties": { "type": "string" } },
            "config": { "type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": { "a": {} } },
            "anything": { "type": "object" } } });
        let schedule = json!({ "type": "object", "properties": { "metadata": metadata, "spec": spec },
            "x-kubernetes-group-version-kind": [{ "group": "velero.io", "version": "v1", "kind": "Schedule" }] });
        let schemas = json!({ "io.velero.v1.Schedule": schedule, "io.k8s.apimachinery.ObjectMeta": {} });
        json!({ "openapi": "3.0.0", "paths": {}, "components": { "schemas": schemas } }).to_string().into_bytes()
    }

    fn lacking(spec: &Value) -> Vec<String> {
        let mut found = Vec::new();
        read(&document())["Schedule"].properties["spec"].lacks(spec, ".spec", &mut found);
        found
    }

    #[test]
    fn what_a_kind_does_not_have_is_named_and_what_takes_anything_takes_it() {
        let fits = json!({ "schedule": "@daily", "labels": { "x": "y" }, "config": { "b": 1 }, "anything": { "c": 1 },
            "hooks": [{ "name": "freeze" }], "gone": null });
        assert!(lacking(&fits).is_empty(), "{:?}", lacking(&fits));
        let new = json!({ "paused": false, "hooks": [{ "name": "a", "timeout": 1 }, { "timeout": 2 }] });
        assert_eq!(lacking(&new), [".spec.hooks.timeout", ".spec.paused"]);
    }

    #[test]
    fn no_description_makes_its_reading_panic() {
        crate::noise::survives(&[&document()], |text| read(text).len());
    }
}
