//! A step as the ledger keeps it: an object, its fields, what each was and what it is held at. Undoing needs nothing else.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::kinds::{self, Manner};
use super::model::Named;
use super::schedule::OwnSchedule;
use crate::connections::kubernetes::{DynamicObject, Kind};
use crate::engines::kubernetes::hold::{self, Field};
use crate::ledger::UndoStep;
use crate::run::EngineError;

const PAUSED: &str = "autoscaling.keda.sh/paused";
const PAUSED_REPLICAS: &str = "autoscaling.keda.sh/paused-replicas";

/// An object and what is done to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Held {
    group: String,
    version: String,
    kind: String,
    plural: String,
    pub namespace: String,
    pub name: String,
    pub fields: Vec<Field>,
    /// Who holds it, as the object's own mark says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    holder: Option<String>,
}

impl Held {
    /// What taking this object down does to it as it is now.
    pub(super) fn down(named: &Named, object: &DynamicObject) -> Held {
        let fields = fields(named.kind.manner, &json(object));
        Held::new(&named.kind.kind, &named.namespace, &named.name, fields)
    }

    /// The same for the series' own schedule.
    pub(super) fn paused(schedule: &OwnSchedule, object: &DynamicObject) -> Held {
        let was = at(&json(object), &schedule.field).clone();
        let field = Field { path: schedule.field.clone(), was, held: schedule.paused.clone() };
        Held::new(&schedule.kind, &schedule.namespace, &schedule.name, vec![field])
    }

    fn new(kind: &Kind, namespace: &str, name: &str, fields: Vec<Field>) -> Held {
        Held {
            group: kind.group.to_string(),
            version: kind.version.to_string(),
            kind: kind.kind.to_string(),
            plural: kind.plural.to_string(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            fields,
            holder: None,
        }
    }

    /// Held by that one. What another one holds already was something else before.
    pub(super) fn by(mut self, holder: &Option<String>, object: &DynamicObject) -> Held {
        self.holder = holder.clone();
        for field in &mut self.fields {
            field.was = hold::was(object, &field.path).unwrap_or_else(|| field.was.clone());
        }
        self
    }

    /// With what each field was before another one held it.
    pub(super) fn since(mut self, before: &Held) -> Held {
        for field in &mut self.fields {
            if let Some(other) = before.fields.iter().find(|other| other.path == field.path) {
                field.was = other.was.clone();
            }
        }
        self
    }

    fn annotation(&self) -> Option<String> {
        self.holder.as_deref().filter(|_| !self.fields.is_empty()).map(hold::annotation)
    }

    /// The annotations of others that hold one of the fields.
    pub(super) fn others<'a>(&self, object: &'a DynamicObject) -> Vec<&'a str> {
        let own = self.annotation();
        hold::marks_on(object, &self.fields).into_iter().filter(|mark| Some(*mark) != own.as_deref()).collect()
    }

    /// Adds the own mark to a patch, where it is not there yet.
    pub(super) fn add_mark(&self, object: &DynamicObject, patch: Option<Value>) -> Option<Value> {
        let Some(own) = self.annotation().filter(|own| !hold::marks(object).contains(&own.as_str())) else {
            return patch;
        };
        let mut patch = patch.unwrap_or_else(|| json!({}));
        set(&mut patch, &["metadata", "annotations", &own], hold::mark(object, &self.fields).into());
        Some(patch)
    }

    /// Adds to a patch that the own mark goes, where it is there.
    pub(super) fn drop_mark(&self, object: &DynamicObject, patch: Option<Value>) -> Option<Value> {
        let annotations = object.metadata.annotations.as_ref();
        let there = |own: &String| annotations.is_some_and(|annotations| annotations.contains_key(own));
        let Some(own) = self.annotation().filter(there) else { return patch };
        let mut patch = patch.unwrap_or_else(|| json!({}));
        set(&mut patch, &["metadata", "annotations", &own], Value::Null);
        Some(patch)
    }

    /// The step to write down.
    pub(super) fn step(&self, action: &str) -> UndoStep {
        let before = serde_json::to_string(self).ok();
        UndoStep { action: action.to_owned(), object: self.object(), before, undone: false }
    }

    /// Out of the record alone.
    pub(super) fn of(step: &UndoStep) -> Result<Held, EngineError> {
        let read = step.before.as_deref().map(serde_json::from_str);
        match read {
            Some(Ok(held)) => Ok(held),
            _ => Err(EngineError::nothing_written(format!(
                "the run's record does not say what {} was before ({}); put it right by hand",
                step.object, step.action
            ))),
        }
    }

    /// `paperless/deployment.apps/paperless`.
    pub(super) fn object(&self) -> String {
        object_name(&self.kind(), &self.namespace, &self.name)
    }

    pub(super) fn kind(&self) -> Kind {
        let owned = |text: &String| Cow::Owned(text.clone());
        let (group, version) = (owned(&self.group), owned(&self.version));
        Kind { group, version, kind: owned(&self.kind), plural: owned(&self.plural), namespaced: true }
    }

    /// For messages: `Deployment paperless/paperless`.
    pub(super) fn called(&self) -> String {
        self.kind().called(&self.namespace, &self.name)
    }

    /// How it is taken down; `None` for an engine's own schedule.
    pub(super) fn manner(&self) -> Option<Manner> {
        kinds::of_kind(&self.kind()).map(|known| known.manner)
    }

    /// The merge patch that takes the object down, if it is not down.
    pub(super) fn patch_down(&self, object: &DynamicObject) -> Option<Value> {
        let current = json(object);
        let mut patch = json!({});
        for field in self.fields.iter().filter(|field| !self.is_down(field, &current)) {
            let held = match self.manner() {
                // What it was stays beside the switch, so that people see it.
                Some(Manner::Application) => &json!({ "enabled": false }),
                _ => &field.held,
            };
            set(&mut patch, &field.path, held.clone());
        }
        (patch != json!({})).then_some(patch)
    }

    /// The same for servers that don't know the switch of a newer version and dropped it.
    pub(super) fn patch_down_without_switch(&self) -> Value {
        let mut patch = json!({});
        for field in &self.fields {
            set(&mut patch, &field.path, field.held.clone());
        }
        patch
    }

    /// The merge patch that makes the object what it was, if it isn't.
    pub(super) fn patch_back(&self, object: &DynamicObject) -> Option<Value> {
        let current = json(object);
        let mut patch = json!({});
        for field in &self.fields {
            let now = at(&current, &field.path);
            if *now != field.was {
                set(&mut patch, &field.path, difference(now, &field.was));
            }
        }
        (patch != json!({})).then_some(patch)
    }

    /// The first field that is not held.
    pub(super) fn slipped(&self, object: &DynamicObject) -> Option<&Field> {
        let current = json(object);
        self.fields.iter().find(|field| !self.is_down(field, &current))
    }

    fn is_down(&self, field: &Field, current: &Value) -> bool {
        let now = at(current, &field.path);
        let off = self.manner() == Some(Manner::Application) && now["enabled"] == json!(false);
        off || *now == field.held
    }
}

/// An object's name in records.
pub(super) fn object_name(kind: &Kind, namespace: &str, name: &str) -> String {
    format!("{namespace}/{}.{}/{name}", kind.kind.to_lowercase(), kind.group)
}

/// The name of the object that a step is about, if it is of this kind and namespace.
pub fn object_of<'a>(step: &'a UndoStep, kind: &Kind, namespace: &str) -> Option<&'a str> {
    step.object.strip_prefix(object_name(kind, namespace, "").as_str())
}

/// The step, which holds another field of its object too.
pub fn also_holding(step: &UndoStep, path: &[&str], was: Value, held: Value) -> Result<UndoStep, EngineError> {
    let mut all = Held::of(step)?;
    let path = path.iter().map(|part| (*part).to_owned()).collect();
    all.fields.push(Field { path, was, held });
    Ok(UndoStep { undone: step.undone, ..all.step(&step.action) })
}

fn fields(manner: Manner, object: &Value) -> Vec<Field> {
    let path = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
    let field = |path: Vec<String>, held: Value| Field { was: at(object, &path).clone(), path, held };
    let annotation = |name: &str, held: Value| field(path(&["metadata", "annotations", name]), held);
    match manner {
        Manner::Replicas => vec![field(path(&["spec", "replicas"]), json!(0))],
        Manner::CronJob | Manner::Flux => vec![field(path(&["spec", "suspend"]), json!(true))],
        Manner::Application => vec![field(path(&["spec", "syncPolicy", "automated"]), Value::Null)],
        Manner::ApplicationSet => {
            let path = path(&["spec", "ignoreApplicationDifferences"]);
            let ignored = at(object, &path).as_array().cloned().unwrap_or_default();
            vec![field(path, Value::Array(leaving_sync_policy(ignored)))]
        }
        // The number would have KEDA scale to it, while paused alone leaves the scaling to us.
        Manner::Keda => vec![annotation(PAUSED, json!("true")), annotation(PAUSED_REPLICAS, Value::Null)],
        Manner::Autoscaler => Vec::new(),
    }
}

/// The list with the entry that has an ApplicationSet leave the sync policy of its Applications alone.
fn leaving_sync_policy(mut ignored: Vec<Value>) -> Vec<Value> {
    let entry = json!({ "jsonPointers": ["/spec/syncPolicy"] });
    if !ignored.contains(&entry) {
        ignored.push(entry);
    }
    ignored
}

pub(super) fn json(object: &DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

/// The value at a path; null when there is none.
fn at<'a>(value: &'a Value, path: &[String]) -> &'a Value {
    path.iter().fold(value, |value, part| value.get(part).unwrap_or(&Value::Null))
}

/// Puts a value at a path of a patch.
pub(super) fn set(patch: &mut Value, path: &[impl AsRef<str>], value: Value) {
    let mut place = patch;
    for part in path {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[part.as_ref()];
    }
    *place = value;
}

/// The merge patch that makes `wanted` of `now`: what is there and not wanted is taken away.
fn difference(now: &Value, wanted: &Value) -> Value {
    let (Value::Object(now), Value::Object(fields)) = (now, wanted) else { return wanted.clone() };
    let gone = now.keys().filter(|key| !fields.contains_key(*key)).map(|key| (key.clone(), Value::Null));
    let none = &Value::Null;
    let kept = fields.iter().map(|(key, wanted)| (key.clone(), difference(now.get(key).unwrap_or(none), wanted)));
    Value::Object(gone.chain(kept).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_takes_away_what_was_not_there() {
        let now = json!({ "prune": true, "enabled": false, "deep": { "a": 1, "b": 2 } });
        let wanted = json!({ "prune": true, "deep": { "a": 1 } });
        let expected = json!({ "prune": true, "enabled": null, "deep": { "a": 1, "b": null } });
        assert_eq!(difference(&now, &wanted), expected);
        assert_eq!(difference(&Value::Null, &json!({})), json!({}));
        assert_eq!(difference(&now, &Value::Null), Value::Null);
    }

    #[test]
    fn a_step_that_says_too_little_is_for_people() {
        let step = UndoStep { action: "suspend".into(), object: "x".into(), before: Some("3".into()), undone: false };
        assert!(Held::of(&step).unwrap_err().message.contains("by hand"));
    }
}
