//! The plan rules that hold for every resource: defaults, what is computed, equal spellings, replacement.

use std::collections::BTreeMap;

use tfplugin::{Nesting, Path, Step, Value};

use crate::field::{Field, FieldKind};
use crate::matching;

type Object = BTreeMap<String, Value>;

/// What will be, as far as the schema alone can tell: configured values as they stand, defaults, what is computed as
/// it was, and unknown where it is new.
pub fn prepare(fields: &[Field], prior: Option<&Value>, config: &Value, proposed: &Value) -> Value {
    let Value::Object(config) = config else { return config.clone() };
    let empty = Object::new();
    let proposed = if let Value::Object(proposed) = proposed { proposed } else { &empty };
    let prior = match prior {
        Some(Value::Object(prior)) => Some(prior),
        _ => None,
    };
    let plan = |field: &Field| (field.name.clone(), prepare_field(field, prior, config, proposed));
    Value::Object(fields.iter().map(plan).collect())
}

/// What is configured for a field, or its default.
pub(crate) fn configured<'a>(field: &'a Field, config: &'a Object) -> &'a Value {
    let given = config.get(&field.name).unwrap_or(&Value::Null);
    field.default.as_ref().filter(|_| given.is_null()).unwrap_or(given)
}

fn prepare_field(field: &Field, prior: Option<&Object>, config: &Object, proposed: &Object) -> Value {
    let name = &field.name;
    let configured = configured(field, config);
    let before = prior.and_then(|prior| prior.get(name));
    if field.write_only {
        return Value::Null;
    }
    if configured.is_null() {
        return match prior {
            // As it stands: a dynamic null may carry a type.
            _ if !field.computed => configured.clone(),
            // An object that is there keeps what it computed, be it null; a new one does not know it yet. A nested one that
            // could have been configured is proposed as null by the CLIs, whoever filled it in: to plan it as open for
            // that would be a change at every run.
            Some(_) => {
                kept(configured, proposed.get(name).filter(|value| !value.is_null()).or(before).unwrap_or(&Value::Null))
            }
            None => open(configured),
        };
    }
    if let (Some(equal), Some(before)) = (field.equality, before)
        && before.is_wholly_known()
        && !before.is_null()
        && configured.is_wholly_known()
        && equal(before, configured)
    {
        return before.clone();
    }
    match &field.kind {
        FieldKind::Value(_) => configured.clone(),
        FieldKind::Nested { nesting, fields } => {
            prepare_nested(*nesting, fields, before, configured, proposed.get(name))
        }
    }
}

/// What is computed where nothing is configured; a dynamic null may have said of what type.
fn open(configured: &Value) -> Value {
    match configured {
        Value::Dynamic(inner) => Value::Dynamic(Box::new((inner.0.clone(), Value::unknown()))),
        _ => Value::unknown(),
    }
}

/// What was computed before, as far as it is of the type that a dynamic null asks for.
fn kept(configured: &Value, before: &Value) -> Value {
    match (configured, before) {
        (Value::Dynamic(configured), Value::Dynamic(before)) if configured.0 == before.0 => {}
        (Value::Dynamic(_), before) => return if before.is_null() { configured.clone() } else { open(configured) },
        _ => {}
    }
    before.clone()
}

fn prepare_nested(
    nesting: Nesting,
    fields: &[Field],
    before: Option<&Value>,
    configured: &Value,
    proposed: Option<&Value>,
) -> Value {
    let null = Value::Null;
    let proposed = proposed.unwrap_or(&null);
    let element = |before: Option<&Value>, configured: &Value, proposed: Option<&Value>| {
        prepare(fields, before, configured, proposed.unwrap_or(&null))
    };
    match (nesting, configured) {
        (Nesting::Single, Value::Object(_)) => element(before, configured, Some(proposed)),
        (Nesting::List, Value::List(values)) => {
            let at = |list: &Value, index: usize| match list {
                Value::List(values) => values.get(index).cloned(),
                _ => None,
            };
            let each = |(index, value)| {
                let (before, proposed) = (before.and_then(|list| at(list, index)), at(proposed, index));
                element(before.as_ref(), value, proposed.as_ref())
            };
            Value::List(values.iter().enumerate().map(each).collect())
        }
        (Nesting::Map, Value::Map(values)) => {
            let at = |map: &Value, key: &str| match map {
                Value::Map(values) => values.get(key).cloned(),
                _ => None,
            };
            let each = |(key, value): (&String, &Value)| {
                let (before, proposed) = (before.and_then(|map| at(map, key)), at(proposed, key));
                (key.clone(), element(before.as_ref(), value, proposed.as_ref()))
            };
            Value::Map(values.iter().map(each).collect())
        }
        (Nesting::Set, Value::Set(values)) => {
            let before = match before {
                Some(Value::Set(before)) => before.as_slice(),
                _ => &[],
            };
            Value::set(prepare_set(fields, before, values))
        }
        _ => configured.clone(),
    }
}

fn prepare_set(fields: &[Field], before: &[Value], elements: &[Value]) -> Vec<Value> {
    let fits =
        |value: &Value, place: usize| prepare(fields, Some(&before[place]), value, &Value::Null) == before[place];
    let places = matching::places(fields, before, elements, fits);
    let plan = |(value, place): (&Value, Option<usize>)| match place {
        Some(place) => before[place].clone(),
        None => prepare(fields, None, value, &Value::Null),
    };
    elements.iter().zip(places).map(plan).collect()
}

/// What was planned, with all that `prepared` knows and a model has no place for: `unchanged` is what the model makes
/// of it, and where `planned` says the same, the resource had nothing to say.
pub fn restore(prepared: &Value, unchanged: &Value, planned: &Value) -> Value {
    if unchanged == planned {
        return prepared.clone();
    }
    match (prepared, unchanged, planned) {
        (Value::Object(prepared), Value::Object(unchanged), Value::Object(planned)) => {
            Value::Object(restore_each(prepared, unchanged, planned))
        }
        (Value::Map(prepared), Value::Map(unchanged), Value::Map(planned)) => {
            Value::Map(restore_each(prepared, unchanged, planned))
        }
        (Value::List(prepared), Value::List(unchanged), Value::List(planned))
            if prepared.len() == planned.len() && unchanged.len() == planned.len() =>
        {
            let places = prepared.iter().zip(unchanged).zip(planned);
            Value::List(places.map(|((prepared, unchanged), planned)| restore(prepared, unchanged, planned)).collect())
        }
        _ => planned.clone(),
    }
}

fn restore_each(prepared: &Object, unchanged: &Object, planned: &Object) -> Object {
    let each = |(name, planned): (&String, &Value)| match (prepared.get(name), unchanged.get(name)) {
        (Some(prepared), Some(unchanged)) => (name.clone(), restore(prepared, unchanged, planned)),
        _ => (name.clone(), planned.clone()),
    };
    planned.iter().map(each).collect()
}

/// The attributes that differ and need a new object for it.
pub fn replacements(fields: &[Field], prior: &Value, planned: &Value) -> Vec<Path> {
    let mut found = Vec::new();
    collect_replacements(fields, prior, planned, &Path::default(), &mut found);
    found
}

fn collect_replacements(fields: &[Field], prior: &Value, planned: &Value, path: &Path, found: &mut Vec<Path>) {
    // What is open may turn out to be another one: to update first and replace then is not what the user saw.
    if planned.is_unknown() {
        if any_immutable(fields) {
            found.push(path.clone());
        }
        return;
    }
    for field in fields {
        let (before, after) = (prior.attribute(&field.name), planned.attribute(&field.name));
        if before == after {
            continue;
        }
        let path = path.clone().then(&field.name);
        if field.requires_replace {
            found.push(path);
        } else if let Some((nesting, fields)) = field.nested() {
            nested_replacements(nesting, fields, before, after, &path, found);
        }
    }
}

fn nested_replacements(
    nesting: Nesting,
    fields: &[Field],
    prior: &Value,
    planned: &Value,
    path: &Path,
    found: &mut Vec<Path>,
) {
    match (nesting, prior, planned) {
        (Nesting::Single, ..) | (_, _, Value::Unknown(_)) => collect_replacements(fields, prior, planned, path, found),
        (Nesting::List, ..) => {
            let (before, after) = (elements(prior), elements(planned));
            for index in 0..before.len().max(after.len()) {
                let at = |values: &[Value]| values.get(index).cloned().unwrap_or(Value::Null);
                collect_replacements(fields, &at(before), &at(after), &path.clone().index(index), found);
            }
        }
        (Nesting::Map, ..) => {
            let empty = Object::new();
            let before = if let Value::Map(entries) = prior { entries } else { &empty };
            let after = if let Value::Map(entries) = planned { entries } else { &empty };
            for key in before.keys().chain(after.keys().filter(|key| !before.contains_key(*key))) {
                let at = |entries: &Object| entries.get(key).cloned().unwrap_or(Value::Null);
                collect_replacements(fields, &at(before), &at(after), &path.clone().key(key), found);
            }
        }
        // A path can't name an element of a set: when one changes that can't be changed, it is the set that does.
        (Nesting::Set, ..) => {
            let all = |set: &Value| {
                let mut all: Vec<_> = elements(set).iter().filter_map(|value| immutable(fields, value)).collect();
                all.sort();
                all
            };
            if all(prior) != all(planned) {
                found.push(path.clone());
            }
        }
    }
}

fn any_immutable(fields: &[Field]) -> bool {
    fields.iter().any(|field| field.requires_replace || field.nested().is_some_and(|(_, fields)| any_immutable(fields)))
}

/// What of an element needs a new object when it changes, if anything of that is set.
fn immutable(fields: &[Field], value: &Value) -> Option<Value> {
    if !any_immutable(fields) || value.is_null() {
        return None;
    }
    let of = |object: &Object| {
        let keep = |field: &Field| {
            let value = object.get(&field.name).filter(|value| !value.is_null())?;
            let kept = match field.nested() {
                _ if field.requires_replace => Some(value.clone()),
                Some((_, fields)) => immutable(fields, value),
                None => None,
            };
            kept.map(|kept| (field.name.clone(), kept))
        };
        fields.iter().filter_map(keep).collect::<Object>()
    };
    let all = |values: &[Value]| values.iter().filter_map(|value| immutable(fields, value)).collect::<Vec<_>>();
    match value {
        Value::Object(object) => Some(of(object)).filter(|kept| !kept.is_empty()).map(Value::Object),
        Value::List(values) => Some(all(values)).filter(|kept| !kept.is_empty()).map(Value::List),
        Value::Set(values) => Some(all(values)).filter(|kept| !kept.is_empty()).map(Value::set),
        Value::Map(entries) => {
            let kept = entries.iter().filter_map(|(key, value)| Some((key.clone(), immutable(fields, value)?)));
            Some(kept.collect::<Object>()).filter(|kept| !kept.is_empty()).map(Value::Map)
        }
        other => Some(other.clone()),
    }
}

fn elements(value: &Value) -> &[Value] {
    match value {
        Value::List(values) | Value::Set(values) | Value::Tuple(values) => values,
        _ => &[],
    }
}

/// The value at a path, if it leads somewhere.
pub fn at<'a>(value: &'a Value, path: &Path) -> Option<&'a Value> {
    path.0.iter().try_fold(value, |value, step| match (value, step) {
        (Value::Object(attributes), Step::Attribute(name)) => attributes.get(name),
        (Value::Map(elements), Step::Key(key)) => elements.get(key),
        (Value::List(elements) | Value::Tuple(elements), Step::Index(index)) => {
            usize::try_from(*index).ok().and_then(|index| elements.get(index))
        }
        _ => None,
    })
}

/// Write-only values made null: nothing that leaves for state or plan may hold them.
pub fn without_write_only(fields: &[Field], value: &Value) -> Value {
    map_fields(fields, value, &|field, value| if field.write_only { Value::Null } else { value })
}

/// A configuration with its defaults; what is computed stays null.
pub fn with_defaults(fields: &[Field], config: &Value) -> Value {
    map_fields(fields, config, &|field, value| match &field.default {
        Some(default) if value.is_null() => default.clone(),
        _ => value,
    })
}

/// Changes the value of each field, from the outside in.
fn map_fields(fields: &[Field], value: &Value, change: &dyn Fn(&Field, Value) -> Value) -> Value {
    match value {
        Value::Object(object) => {
            let each = |field: &Field| {
                let inner = change(field, object.get(&field.name).cloned().unwrap_or(Value::Null));
                let inner = match field.nested() {
                    Some((_, fields)) => map_fields(fields, &inner, change),
                    None => inner,
                };
                (field.name.clone(), inner)
            };
            Value::Object(fields.iter().map(each).collect())
        }
        Value::List(values) => Value::List(values.iter().map(|value| map_fields(fields, value, change)).collect()),
        Value::Set(values) => Value::set(values.iter().map(|value| map_fields(fields, value, change))),
        Value::Map(values) => {
            Value::Map(values.iter().map(|(key, value)| (key.clone(), map_fields(fields, value, change))).collect())
        }
        other => other.clone(),
    }
}

/// Calls `visit` for every sensitive or write-only value, wherever it stands.
pub fn visit_sensitive(fields: &[Field], value: &Value, visit: &mut dyn FnMut(&Value)) {
    match value {
        Value::Object(object) => {
            for field in fields {
                let Some(inner) = object.get(&field.name) else { continue };
                if field.sensitive || field.write_only {
                    visit(inner);
                }
                match (field.nested(), inner) {
                    // So looks a map where no schema says that it is one.
                    (Some((Nesting::Map, fields)), Value::Object(elements)) => {
                        elements.values().for_each(|value| visit_sensitive(fields, value, visit));
                    }
                    (Some((_, fields)), inner) => visit_sensitive(fields, inner, visit),
                    (None, _) => {}
                }
            }
        }
        Value::List(values) | Value::Set(values) | Value::Tuple(values) => {
            for value in values {
                visit_sensitive(fields, value, visit);
            }
        }
        Value::Map(values) => {
            for value in values.values() {
                visit_sensitive(fields, value, visit);
            }
        }
        _ => {}
    }
}
