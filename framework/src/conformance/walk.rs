//! Walks over a value along its type or schema: exact types, unknown leaves, write-only values.

use std::collections::BTreeMap;

use tfplugin::{Attribute, AttributeKind, Path, Type, Value};

use super::{Rule, Violation};

/// Whether a value is exactly of a type, all the way down, so that it has a form on the wire that the CLIs can read.
pub fn check_type(value: &Value, ty: &Type) -> Vec<Violation> {
    let mut found = Vec::new();
    typed(value, ty, &Path::default(), &mut found);
    found
}

fn typed(value: &Value, ty: &Type, path: &Path, found: &mut Vec<Violation>) {
    let mut elements = |values: &[Value], element: &Type| {
        for (index, value) in values.iter().enumerate() {
            typed(value, element, &path.clone().index(index), found);
        }
        if let Some(message) = mixed(values.iter(), element) {
            found.push(Violation::new(Rule::Type, path, message));
        }
    };
    match (value, ty) {
        (Value::Null | Value::Unknown(_), _)
        | (Value::Bool(_), Type::Bool)
        | (Value::Number(_), Type::Number)
        | (Value::String(_), Type::String) => {}
        (Value::List(values), Type::List(element)) | (Value::Set(values), Type::Set(element)) => {
            elements(values, element);
            if let Value::Set(values) = value
                && Value::set(values.iter().cloned()) != *value
            {
                found.push(Violation::new(Rule::Type, path, "a set with equal elements, or out of order"));
            }
        }
        (Value::Map(values), Type::Map(element)) => {
            for (key, value) in values {
                typed(value, element, &path.clone().key(key), found);
            }
            if let Some(message) = mixed(values.values(), element) {
                found.push(Violation::new(Rule::Type, path, message));
            }
        }
        (Value::Tuple(values), Type::Tuple(types)) if values.len() == types.len() => {
            for (index, (value, ty)) in values.iter().zip(types).enumerate() {
                typed(value, ty, &path.clone().index(index), found);
            }
        }
        (Value::Object(values), Type::Object(object)) => {
            for name in values.keys().filter(|name| !object.attributes.contains_key(*name)) {
                found.push(Violation::new(Rule::Type, &path.clone().then(name), "there is no such attribute"));
            }
            for (name, ty) in &object.attributes {
                let path = path.clone().then(name);
                match values.get(name) {
                    Some(value) => typed(value, ty, &path, found),
                    None => found.push(Violation::new(Rule::Type, &path, "the attribute is missing")),
                }
            }
        }
        (Value::Dynamic(inner), Type::Dynamic) => {
            if inner.0.has_dynamic() {
                found.push(Violation::new(Rule::Type, path, "a dynamic value whose type is dynamic again"));
            }
            typed(&inner.1, &inner.0, path, found);
        }
        _ => found.push(Violation::new(Rule::Type, path, format!("{value:?} is not of type {ty:?}"))),
    }
}

/// go-cty panics on a list or map whose elements turn out to be of different types (`cty.ListVal`).
fn mixed<'a>(values: impl Iterator<Item = &'a Value>, element: &Type) -> Option<String> {
    if !element.has_dynamic() {
        return None;
    }
    let mut types = values.map(|value| concrete(value, element)).filter(|ty| *ty != Type::Dynamic);
    let first = types.next()?;
    types.find(|ty| *ty != first).map(|other| format!("elements of different types, {first:?} and {other:?}"))
}

fn concrete(value: &Value, ty: &Type) -> Type {
    match (value, ty) {
        (Value::Dynamic(inner), Type::Dynamic) => inner.0.clone(),
        (Value::List(values) | Value::Set(values), Type::List(element) | Type::Set(element)) => {
            let element = values.first().map_or_else(|| (**element).clone(), |value| concrete(value, element));
            if matches!(ty, Type::List(_)) { Type::list(element) } else { Type::set(element) }
        }
        (Value::Map(values), Type::Map(element)) => {
            Type::map(values.values().next().map_or_else(|| (**element).clone(), |value| concrete(value, element)))
        }
        (Value::Object(values), Type::Object(object)) => Type::object(
            object
                .attributes
                .iter()
                .map(|(name, ty)| (name.clone(), concrete(values.get(name).unwrap_or(&Value::Null), ty))),
        ),
        _ => ty.clone(),
    }
}

/// Every place where a value is unknown.
pub(super) fn check_known(value: &Value, found: &mut Vec<Violation>) {
    leaves(value, &Path::default(), &mut |leaf, path| {
        if leaf.is_unknown() {
            found.push(Violation::new(Rule::WhollyKnown, path, "unknown in what has to be known"));
        }
    });
}

fn leaves(value: &Value, path: &Path, visit: &mut dyn FnMut(&Value, &Path)) {
    match value {
        Value::List(values) | Value::Set(values) | Value::Tuple(values) => {
            for (index, value) in values.iter().enumerate() {
                leaves(value, &path.clone().index(index), visit);
            }
        }
        Value::Map(values) => values.iter().for_each(|(key, value)| leaves(value, &path.clone().key(key), visit)),
        Value::Object(values) => {
            values.iter().for_each(|(name, value)| leaves(value, &path.clone().then(name), visit));
        }
        Value::Dynamic(inner) => leaves(&inner.1, path, visit),
        leaf => visit(leaf, path),
    }
}

/// Every write-only attribute that holds something.
pub(super) fn check_write_only(attributes: &[Attribute], value: &Value, path: &Path, found: &mut Vec<Violation>) {
    match value {
        Value::Object(object) => {
            for attribute in attributes {
                let Some(value) = object.get(&attribute.name) else { continue };
                let path = path.clone().then(&attribute.name);
                if attribute.write_only && !value.is_null() {
                    found.push(Violation::new(Rule::WriteOnly, &path, "a write-only attribute has to be null here"));
                }
                if let AttributeKind::Nested { attributes, .. } = &attribute.kind {
                    check_write_only(attributes, value, &path, found);
                }
            }
        }
        Value::List(values) | Value::Set(values) => {
            for (index, value) in values.iter().enumerate() {
                check_write_only(attributes, value, &path.clone().index(index), found);
            }
        }
        Value::Map(values) => {
            for (key, value) in values {
                check_write_only(attributes, value, &path.clone().key(key), found);
            }
        }
        _ => {}
    }
}

/// An attribute of an object; one of an unknown object is unknown, one of no object is null.
pub(super) fn attribute(object: &Value, name: &str) -> Value {
    match object {
        Value::Object(attributes) => attributes.get(name).cloned().unwrap_or(Value::Null),
        Value::Unknown(_) => Value::unknown(),
        _ => Value::Null,
    }
}

/// The elements of a list, set or tuple.
pub(super) fn elements(value: &Value) -> &[Value] {
    match value {
        Value::List(values) | Value::Set(values) | Value::Tuple(values) => values,
        _ => &[],
    }
}

/// The elements of a map.
pub(super) fn entries(value: &Value) -> Option<&BTreeMap<String, Value>> {
    match value {
        Value::Map(values) => Some(values),
        _ => None,
    }
}
