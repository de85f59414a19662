//! JSON to values.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::codec::{Problem, ValueError, deeper, index, name, normal};
use crate::diagnostic::Step;
use crate::number::Number;
use crate::ty::{ObjectType, Type};
use crate::type_json;
use crate::value::Value;

/// What happens to attributes that the type lacks.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Unsupported {
    Refused,
    Dropped,
}

pub(super) fn document(bytes: &[u8], ty: &Type, unsupported: Unsupported) -> Result<Value, ValueError> {
    let raw: &RawValue = serde_json::from_slice(bytes).map_err(malformed)?;
    Decoder { unsupported }.value(raw, ty, 0)
}

pub(super) fn untyped_document(bytes: &[u8]) -> Result<Value, ValueError> {
    untyped(serde_json::from_slice(bytes).map_err(malformed)?, 0)
}

fn untyped(raw: &RawValue, depth: usize) -> Result<Value, ValueError> {
    let depth = deeper(depth)?;
    let text = raw.get();
    Ok(match text.as_bytes().first() {
        Some(b'n') => Value::Null,
        Some(b't' | b'f') => Value::Bool(boolean(text)?),
        Some(b'"') => Value::String(string(text)?),
        Some(b'[') => {
            let element = |(position, raw): (usize, &&RawValue)| {
                untyped(raw, depth).map_err(|error| error.inside(index(position)))
            };
            let elements = array(text, &Type::Tuple(Vec::new()))?;
            Value::Tuple(elements.iter().enumerate().map(element).collect::<Result<_, _>>()?)
        }
        Some(b'{') => {
            let attribute = |(name, raw): (String, &RawValue)| match untyped(raw, depth) {
                Ok(value) => Ok((name, value)),
                Err(error) => Err(error.inside(Step::Attribute(name))),
            };
            Value::Object(members(text, "an object")?.into_iter().map(attribute).collect::<Result<_, _>>()?)
        }
        _ => Value::Number(number(text)?),
    })
}

struct Decoder {
    unsupported: Unsupported,
}

impl Decoder {
    // Each level is kept as text until its type is known: that alone keeps numbers exact.
    fn value(&self, raw: &RawValue, ty: &Type, depth: usize) -> Result<Value, ValueError> {
        let depth = deeper(depth)?;
        let text = raw.get();
        if text == "null" {
            return Ok(Value::Null);
        }
        match ty {
            Type::String => string(text).map(Value::String),
            Type::Number => number(text).map(Value::Number),
            Type::Bool => boolean(text).map(Value::Bool),
            Type::Dynamic => self.dynamic(text, depth),
            Type::List(element) => self.sequence(text, ty, element, depth).map(Value::List),
            Type::Set(element) => self.sequence(text, ty, element, depth).map(Value::set),
            Type::Tuple(elements) => self.tuple(text, elements, depth).map(Value::Tuple),
            Type::Map(element) => self.map(text, element, depth).map(Value::Map),
            Type::Object(object) => self.object(text, object, depth).map(Value::Object),
        }
    }

    fn sequence(&self, text: &str, ty: &Type, element: &Type, depth: usize) -> Result<Vec<Value>, ValueError> {
        let decoded = |(position, raw): (usize, &&RawValue)| {
            self.value(raw, element, depth).map_err(|error| error.inside(index(position)))
        };
        array(text, ty)?.iter().enumerate().map(decoded).collect()
    }

    fn tuple(&self, text: &str, types: &[Type], depth: usize) -> Result<Vec<Value>, ValueError> {
        let elements = array(text, &Type::Tuple(Vec::new()))?;
        if elements.len() != types.len() {
            return Err(Problem::Length(types.len()).into());
        }
        let decoded = |(position, (raw, ty)): (usize, (&&RawValue, &Type))| {
            self.value(raw, ty, depth).map_err(|error| error.inside(index(position)))
        };
        elements.iter().zip(types).enumerate().map(decoded).collect()
    }

    fn map(&self, text: &str, element: &Type, depth: usize) -> Result<BTreeMap<String, Value>, ValueError> {
        let mut entries = BTreeMap::new();
        for (key, raw) in members(text, "a map")? {
            let value = self.value(raw, element, depth).map_err(|error| error.inside(Step::Key(key.clone())))?;
            entries.insert(key, value);
        }
        Ok(entries)
    }

    fn object(&self, text: &str, ty: &ObjectType, depth: usize) -> Result<BTreeMap<String, Value>, ValueError> {
        let mut attributes = BTreeMap::new();
        for (name, raw) in members(text, "an object")? {
            match ty.attributes.get(&name) {
                Some(ty) => {
                    let value =
                        self.value(raw, ty, depth).map_err(|error| error.inside(Step::Attribute(name.clone())))?;
                    attributes.insert(name, value);
                }
                None if self.unsupported == Unsupported::Dropped => {}
                None => return Err(Problem::Unsupported(name).into()),
            }
        }
        for name in ty.attributes.keys() {
            if !attributes.contains_key(name) {
                attributes.insert(name.clone(), Value::Null);
            }
        }
        Ok(attributes)
    }

    fn dynamic(&self, text: &str, depth: usize) -> Result<Value, ValueError> {
        let mut parts = members(text, name(&Type::Dynamic))?;
        let (Some(ty), Some(value), true) = (parts.remove("type"), parts.remove("value"), parts.is_empty()) else {
            return Err(Problem::Required(name(&Type::Dynamic)).into());
        };
        let ty = type_json::decode(ty.get().as_bytes()).map_err(|error| Problem::Type(error.to_string()))?;
        let value = self.value(value, &ty, depth)?;
        // A wrapper that says "dynamic" again adds nothing.
        if ty == Type::Dynamic { Ok(value) } else { Ok(Value::Dynamic(Box::new((ty, value)))) }
    }
}

/// Text; a number or a bool in its place is taken as it is written, as go-cty does.
fn string(text: &str) -> Result<String, ValueError> {
    match text.as_bytes().first() {
        Some(b'"') => Ok(normal(&parse::<String>(text)?).into_owned()),
        Some(b'[' | b'{') => Err(Problem::Required("a string").into()),
        _ => Ok(text.to_owned()),
    }
}

fn number(text: &str) -> Result<Number, ValueError> {
    match text.as_bytes().first() {
        Some(b'"') => Ok(parse::<String>(text)?.parse::<Number>()?),
        Some(b'-' | b'0'..=b'9') => Ok(text.parse::<Number>()?),
        _ => Err(Problem::Required("a number").into()),
    }
}

fn boolean(text: &str) -> Result<bool, ValueError> {
    match text {
        "true" | "\"true\"" | "\"1\"" => Ok(true),
        "false" | "\"false\"" | "\"0\"" => Ok(false),
        _ => Err(Problem::Required("a bool").into()),
    }
}

fn array<'a>(text: &'a str, ty: &Type) -> Result<Vec<&'a RawValue>, ValueError> {
    if !text.starts_with('[') {
        return Err(Problem::Required(name(ty)).into());
    }
    serde_json::from_str(text).map_err(malformed)
}

fn members<'a>(text: &'a str, required: &'static str) -> Result<BTreeMap<String, &'a RawValue>, ValueError> {
    if !text.starts_with('{') {
        return Err(Problem::Required(required).into());
    }
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(text).map_err(malformed)?;
    Ok(members.into_iter().map(|(key, raw)| (normal(&key).into_owned(), raw)).collect())
}

fn parse<T: DeserializeOwned>(text: &str) -> Result<T, ValueError> {
    serde_json::from_str(text).map_err(malformed)
}

fn malformed(error: serde_json::Error) -> ValueError {
    Problem::Malformed(error.to_string()).into()
}
