//! Values to JSON.

use std::collections::BTreeMap;

use crate::codec::{Problem, ValueError, deeper, index, name, normal};
use crate::diagnostic::Step;
use crate::ty::{ObjectType, Type};
use crate::type_json;
use crate::value::Value;

pub(super) fn value(value: &Value, ty: &Type, depth: usize, text: &mut String) -> Result<(), ValueError> {
    let depth = deeper(depth)?;
    match (ty, value) {
        (_, Value::Null) => text.push_str("null"),
        (_, Value::Unknown(_)) => return Err(Problem::Unknown.into()),
        (Type::Dynamic, Value::Dynamic(inner)) => dynamic(&inner.0, &inner.1, depth, text)?,
        (Type::Bool, Value::Bool(truth)) => text.push_str(if *truth { "true" } else { "false" }),
        (Type::Number, Value::Number(number)) => text.push_str(&number.to_string()),
        (Type::String, Value::String(string)) => quoted(&normal(string), text),
        (Type::List(ty), Value::List(values)) | (Type::Set(ty), Value::Set(values)) => {
            sequence(values.iter().map(|value| (ty.as_ref(), value)), depth, text)?;
        }
        (Type::Tuple(types), Value::Tuple(values)) => {
            if types.len() != values.len() {
                return Err(Problem::Length(types.len()).into());
            }
            sequence(types.iter().zip(values), depth, text)?;
        }
        (Type::Map(ty), Value::Map(values)) => map(ty, values, depth, text)?,
        (Type::Object(ty), Value::Object(values)) => object(ty, values, depth, text)?,
        _ => return Err(Problem::Required(name(ty)).into()),
    }
    Ok(())
}

pub(super) fn untyped(value: &Value, depth: usize, text: &mut String) -> Result<(), ValueError> {
    let depth = deeper(depth)?;
    match value {
        Value::Null => text.push_str("null"),
        Value::Unknown(_) => return Err(Problem::Unknown.into()),
        Value::Bool(truth) => text.push_str(if *truth { "true" } else { "false" }),
        Value::Number(number) => text.push_str(&number.to_string()),
        Value::String(string) => quoted(&normal(string), text),
        Value::List(values) | Value::Set(values) | Value::Tuple(values) => {
            text.push('[');
            for (position, element) in values.iter().enumerate() {
                if position > 0 {
                    text.push(',');
                }
                untyped(element, depth, text).map_err(|error| error.inside(index(position)))?;
            }
            text.push(']');
        }
        Value::Map(values) | Value::Object(values) => {
            text.push('{');
            for (position, (key, entry)) in values.iter().enumerate() {
                member(position, key, text);
                untyped(entry, depth, text).map_err(|error| error.inside(Step::Key(key.clone())))?;
            }
            text.push('}');
        }
        Value::Dynamic(inner) => dynamic(&inner.0, &inner.1, depth, text)?,
    }
    Ok(())
}

fn dynamic(ty: &Type, inner: &Value, depth: usize, text: &mut String) -> Result<(), ValueError> {
    if *ty == Type::Dynamic {
        return value(inner, ty, depth, text);
    }
    text.push_str("{\"value\":");
    value(inner, ty, depth, text)?;
    text.push_str(",\"type\":");
    text.push_str(&String::from_utf8_lossy(&type_json::encode(ty)));
    text.push('}');
    Ok(())
}

fn sequence<'a>(
    elements: impl Iterator<Item = (&'a Type, &'a Value)>,
    depth: usize,
    text: &mut String,
) -> Result<(), ValueError> {
    text.push('[');
    for (position, (ty, element)) in elements.enumerate() {
        if position > 0 {
            text.push(',');
        }
        value(element, ty, depth, text).map_err(|error| error.inside(index(position)))?;
    }
    text.push(']');
    Ok(())
}

fn map(ty: &Type, entries: &BTreeMap<String, Value>, depth: usize, text: &mut String) -> Result<(), ValueError> {
    text.push('{');
    for (position, (key, entry)) in entries.iter().enumerate() {
        member(position, key, text);
        value(entry, ty, depth, text).map_err(|error| error.inside(Step::Key(key.clone())))?;
    }
    text.push('}');
    Ok(())
}

fn object(
    ty: &ObjectType,
    attributes: &BTreeMap<String, Value>,
    depth: usize,
    text: &mut String,
) -> Result<(), ValueError> {
    if let Some(name) = attributes.keys().find(|name| !ty.attributes.contains_key(*name)) {
        return Err(Problem::Unsupported(name.clone()).into());
    }
    text.push('{');
    for (position, (name, ty)) in ty.attributes.iter().enumerate() {
        let attribute = attributes.get(name).ok_or_else(|| Problem::Missing(name.clone()))?;
        member(position, name, text);
        value(attribute, ty, depth, text).map_err(|error| error.inside(Step::Attribute(name.clone())))?;
    }
    text.push('}');
    Ok(())
}

fn member(position: usize, key: &str, text: &mut String) {
    if position > 0 {
        text.push(',');
    }
    quoted(&normal(key), text);
    text.push(':');
}

fn quoted(string: &str, text: &mut String) {
    text.push_str(&serde_json::Value::from(string).to_string());
}
