//! MessagePack to values.

use std::collections::BTreeMap;

use super::reader::{Item, Reader};
use super::refinements;
use crate::codec::{Problem, ValueError, deeper, index, name, normal};
use crate::diagnostic::Step;
use crate::number::Number;
use crate::ty::{ObjectType, Type};
use crate::type_json;
use crate::value::Value;

pub(super) fn value(reader: &mut Reader<'_>, ty: &Type, depth: usize) -> Result<Value, ValueError> {
    let depth = deeper(depth)?;
    let item = reader.next()?;
    match item {
        Item::Nil => return Ok(Value::Null),
        Item::Extension(code, body) => return refinements::decode(code, body, ty).map(Value::Unknown),
        _ => {}
    }
    match (ty, item) {
        (Type::String, Item::Text(bytes) | Item::Bytes(bytes)) => text(bytes).map(Value::String),
        (Type::Bool, Item::Bool(truth)) => Ok(Value::Bool(truth)),
        (Type::Number, item) => number(item).map(Value::Number),
        (Type::Dynamic, Item::Array(2)) => dynamic(reader, depth),
        (Type::List(element), Item::Array(length)) => sequence(reader, element, length, depth).map(Value::List),
        (Type::Set(element), Item::Array(length)) => sequence(reader, element, length, depth).map(Value::set),
        (Type::Tuple(elements), Item::Array(length)) => tuple(reader, elements, length, depth).map(Value::Tuple),
        (Type::Map(element), Item::Map(length)) => map(reader, element, length, depth).map(Value::Map),
        (Type::Object(ty), Item::Map(length)) => object(reader, ty, length, depth).map(Value::Object),
        _ => Err(Problem::Required(name(ty)).into()),
    }
}

pub(super) fn number(item: Item<'_>) -> Result<Number, ValueError> {
    match item {
        Item::Int(number) => Ok(Number::from(number)),
        Item::Uint(number) => Ok(Number::from(number)),
        Item::Float(number) => Ok(Number::try_from(number)?),
        Item::Text(bytes) => Ok(std::str::from_utf8(bytes).map_err(|_| Problem::Utf8)?.parse::<Number>()?),
        _ => Err(Problem::Required("a number").into()),
    }
}

fn text(bytes: &[u8]) -> Result<String, ValueError> {
    Ok(normal(std::str::from_utf8(bytes).map_err(|_| Problem::Utf8)?).into_owned())
}

fn key(reader: &mut Reader<'_>) -> Result<String, ValueError> {
    match reader.next()? {
        Item::Text(bytes) | Item::Bytes(bytes) => text(bytes),
        _ => Err(Problem::Required("a text as key").into()),
    }
}

fn sequence(reader: &mut Reader<'_>, ty: &Type, length: usize, depth: usize) -> Result<Vec<Value>, ValueError> {
    (0..length).map(|position| value(reader, ty, depth).map_err(|error| error.inside(index(position)))).collect()
}

fn tuple(reader: &mut Reader<'_>, types: &[Type], length: usize, depth: usize) -> Result<Vec<Value>, ValueError> {
    if length != types.len() {
        return Err(Problem::Length(types.len()).into());
    }
    let element = |(position, ty)| value(reader, ty, depth).map_err(|error: ValueError| error.inside(index(position)));
    types.iter().enumerate().map(element).collect()
}

fn map(reader: &mut Reader<'_>, ty: &Type, length: usize, depth: usize) -> Result<BTreeMap<String, Value>, ValueError> {
    let mut entries = BTreeMap::new();
    for _ in 0..length {
        let key = key(reader)?;
        let value = value(reader, ty, depth).map_err(|error| error.inside(Step::Key(key.clone())))?;
        entries.insert(key, value);
    }
    Ok(entries)
}

fn object(
    reader: &mut Reader<'_>,
    ty: &ObjectType,
    length: usize,
    depth: usize,
) -> Result<BTreeMap<String, Value>, ValueError> {
    let mut attributes = BTreeMap::new();
    for _ in 0..length {
        let name = key(reader)?;
        let Some(ty) = ty.attributes.get(&name) else {
            return Err(Problem::Unsupported(name).into());
        };
        let value = value(reader, ty, depth).map_err(|error| error.inside(Step::Attribute(name.clone())))?;
        attributes.insert(name, value);
    }
    match ty.attributes.keys().find(|name| !attributes.contains_key(*name)) {
        Some(missing) => Err(Problem::Missing(missing.clone()).into()),
        None => Ok(attributes),
    }
}

fn dynamic(reader: &mut Reader<'_>, depth: usize) -> Result<Value, ValueError> {
    let ty = match reader.next()? {
        Item::Bytes(json) | Item::Text(json) => {
            type_json::decode(json).map_err(|error| Problem::Type(error.to_string()))?
        }
        _ => return Err(Problem::Required("a value with its type").into()),
    };
    let value = value(reader, &ty, depth)?;
    // A wrapper that says "dynamic" again adds nothing.
    if ty == Type::Dynamic { Ok(value) } else { Ok(Value::Dynamic(Box::new((ty, value)))) }
}
