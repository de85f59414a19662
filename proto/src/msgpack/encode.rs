//! Values to MessagePack, byte for byte as go-cty writes them.

use std::collections::BTreeMap;

use rmp::encode::{
    write_array_len, write_bin, write_bool, write_ext_meta, write_f64, write_map_len, write_nil, write_sint, write_str,
};

use super::refinements;
use crate::codec::{Problem, ValueError, deeper, index, name, normal};
use crate::diagnostic::Step;
use crate::number::Number;
use crate::ty::{ObjectType, Type};
use crate::type_json;
use crate::value::{Refinements, Value};

pub(super) fn value(value: &Value, ty: &Type, depth: usize, bytes: &mut Vec<u8>) -> Result<(), ValueError> {
    let depth = deeper(depth)?;
    match (ty, value) {
        (_, Value::Null) => written(write_nil(bytes)),
        (_, Value::Unknown(refinements)) => unknown(refinements, ty, bytes),
        (Type::Dynamic, Value::Dynamic(inner)) => dynamic(&inner.0, &inner.1, depth, bytes),
        (Type::Bool, Value::Bool(truth)) => written(write_bool(bytes, *truth)),
        (Type::Number, Value::Number(value)) => number(value, bytes),
        (Type::String, Value::String(text)) => written(write_str(bytes, &normal(text))),
        (Type::List(ty), Value::List(values)) | (Type::Set(ty), Value::Set(values)) => {
            written(write_array_len(bytes, length(values.len())?))?;
            sequence(values.iter().map(|value| (ty.as_ref(), value)), depth, bytes)
        }
        (Type::Tuple(types), Value::Tuple(values)) => {
            if types.len() != values.len() {
                return Err(Problem::Length(types.len()).into());
            }
            written(write_array_len(bytes, length(values.len())?))?;
            sequence(types.iter().zip(values), depth, bytes)
        }
        (Type::Map(ty), Value::Map(values)) => map(ty, values, depth, bytes),
        (Type::Object(ty), Value::Object(values)) => object(ty, values, depth, bytes),
        _ => Err(Problem::Required(name(ty)).into()),
    }
}

/// An `i64` as an integer, what is exactly an `f64` and not whole as a float, all else as text.
pub(super) fn number(number: &Number, bytes: &mut Vec<u8>) -> Result<(), ValueError> {
    if let Some(integer) = number.as_i64() {
        return written(write_sint(bytes, integer));
    }
    match number.as_exact_f64() {
        Some(float) if !number.is_integer() => written(write_f64(bytes, float)),
        _ => written(write_str(bytes, &number.to_string())),
    }
}

fn unknown(known: &Refinements, ty: &Type, bytes: &mut Vec<u8>) -> Result<(), ValueError> {
    let body = refinements::encode(known, ty)?;
    if body.is_empty() {
        // Extension type 0 with one byte, as Go writes it.
        bytes.extend([0xd4, 0, 0]);
        return Ok(());
    }
    written(write_ext_meta(bytes, length(body.len())?, refinements::REFINED))?;
    bytes.extend(body);
    Ok(())
}

fn dynamic(ty: &Type, inner: &Value, depth: usize, bytes: &mut Vec<u8>) -> Result<(), ValueError> {
    if *ty == Type::Dynamic {
        return value(inner, ty, depth, bytes);
    }
    written(write_array_len(bytes, 2))?;
    written(write_bin(bytes, &type_json::encode(ty)))?;
    value(inner, ty, depth, bytes)
}

fn sequence<'a>(
    elements: impl Iterator<Item = (&'a Type, &'a Value)>,
    depth: usize,
    bytes: &mut Vec<u8>,
) -> Result<(), ValueError> {
    for (position, (ty, element)) in elements.enumerate() {
        value(element, ty, depth, bytes).map_err(|error| error.inside(index(position)))?;
    }
    Ok(())
}

fn map(ty: &Type, entries: &BTreeMap<String, Value>, depth: usize, bytes: &mut Vec<u8>) -> Result<(), ValueError> {
    written(write_map_len(bytes, length(entries.len())?))?;
    for (key, entry) in entries {
        written(write_str(bytes, &normal(key)))?;
        value(entry, ty, depth, bytes).map_err(|error| error.inside(Step::Key(key.clone())))?;
    }
    Ok(())
}

fn object(
    ty: &ObjectType,
    attributes: &BTreeMap<String, Value>,
    depth: usize,
    bytes: &mut Vec<u8>,
) -> Result<(), ValueError> {
    if let Some(name) = attributes.keys().find(|name| !ty.attributes.contains_key(*name)) {
        return Err(Problem::Unsupported(name.clone()).into());
    }
    written(write_map_len(bytes, length(ty.attributes.len())?))?;
    for (name, ty) in &ty.attributes {
        let attribute = attributes.get(name).ok_or_else(|| Problem::Missing(name.clone()))?;
        written(write_str(bytes, name))?;
        value(attribute, ty, depth, bytes).map_err(|error| error.inside(Step::Attribute(name.clone())))?;
    }
    Ok(())
}

pub(super) fn length(length: usize) -> Result<u32, ValueError> {
    u32::try_from(length).map_err(|_| Problem::Malformed("more than 2^32 elements".to_owned()).into())
}

/// Writing to memory doesn't fail; the writer's signature doesn't know that.
pub(super) fn written<T, E: std::fmt::Display>(result: Result<T, E>) -> Result<(), ValueError> {
    result.map(drop).map_err(failed)
}

fn failed(error: impl std::fmt::Display) -> ValueError {
    Problem::Malformed(error.to_string()).into()
}
