//! Types as JSON, the form that schemas, functions and dynamic values carry.

use serde_json::Value as Json;

use crate::codec::normal;
use crate::ty::{ObjectType, Type};

/// A text that is not a type.
#[derive(Debug, thiserror::Error)]
pub enum TypeError {
    /// Not JSON at all.
    #[error("not JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// JSON, but not the form of a type.
    #[error("{0}")]
    Form(String),
}

/// Writes a type.
pub fn encode(ty: &Type) -> Vec<u8> {
    to_json(ty).to_string().into_bytes()
}

/// Reads a type.
pub fn decode(bytes: &[u8]) -> Result<Type, TypeError> {
    from_json(serde_json::from_slice(bytes)?)
}

fn to_json(ty: &Type) -> Json {
    match ty {
        Type::String => "string".into(),
        Type::Number => "number".into(),
        Type::Bool => "bool".into(),
        Type::Dynamic => "dynamic".into(),
        Type::List(element) => Json::Array(vec!["list".into(), to_json(element)]),
        Type::Set(element) => Json::Array(vec!["set".into(), to_json(element)]),
        Type::Map(element) => Json::Array(vec!["map".into(), to_json(element)]),
        Type::Tuple(elements) => {
            Json::Array(vec!["tuple".into(), elements.iter().map(to_json).collect::<Vec<_>>().into()])
        }
        Type::Object(object) => {
            let attributes = object.attributes.iter().map(|(name, ty)| (name.clone(), to_json(ty))).collect();
            let mut parts = vec!["object".into(), Json::Object(attributes)];
            if !object.optional.is_empty() {
                parts.push(object.optional.iter().cloned().collect::<Vec<_>>().into());
            }
            parts.into()
        }
    }
}

// The JSON reader bounds the nesting (128 levels), so recursion here is bounded too.
fn from_json(json: Json) -> Result<Type, TypeError> {
    let parts = match json {
        Json::String(name) => return primitive(&name),
        Json::Array(parts) => parts,
        _ => return Err(form("a type is a string or an array")),
    };
    let mut parts = parts.into_iter();
    let (kind, argument) = match (parts.next(), parts.next()) {
        (Some(Json::String(kind)), Some(argument)) => (kind, argument),
        _ => return Err(form("a complex type is an array of its kind and its element types")),
    };
    let further = parts.next();
    if parts.next().is_some() || (further.is_some() && kind != "object") {
        return Err(form("a complex type has more parts than its kind takes"));
    }
    Ok(match kind.as_str() {
        "list" => Type::list(from_json(argument)?),
        "set" => Type::set(from_json(argument)?),
        "map" => Type::map(from_json(argument)?),
        "tuple" => match argument {
            Json::Array(elements) => Type::Tuple(elements.into_iter().map(from_json).collect::<Result<_, _>>()?),
            _ => return Err(form("a tuple's element types are an array")),
        },
        "object" => Type::Object(object(argument, further)?),
        other => return Err(TypeError::Form(format!("unknown kind of type {other:?}"))),
    })
}

fn primitive(name: &str) -> Result<Type, TypeError> {
    Ok(match name {
        "string" => Type::String,
        "number" => Type::Number,
        "bool" => Type::Bool,
        "dynamic" => Type::Dynamic,
        other => return Err(TypeError::Form(format!("unknown type {other:?}"))),
    })
}

fn object(attributes: Json, optional: Option<Json>) -> Result<ObjectType, TypeError> {
    let Json::Object(attributes) = attributes else {
        return Err(form("an object's attribute types are an object"));
    };
    let attributes = attributes
        .into_iter()
        .map(|(name, ty)| Ok((normal(&name).into_owned(), from_json(ty)?)))
        .collect::<Result<std::collections::BTreeMap<_, _>, TypeError>>()?;
    let names = match optional {
        None => Vec::new(),
        Some(Json::Array(names)) => names,
        Some(_) => return Err(form("an object's optional attributes are an array of names")),
    };
    let optional = names
        .into_iter()
        .map(|name| match name {
            Json::String(name) if attributes.contains_key(&name) => Ok(name),
            _ => Err(form("an optional attribute is the name of one of the object's attributes")),
        })
        .collect::<Result<_, _>>()?;
    Ok(ObjectType { attributes, optional })
}

fn form(text: &str) -> TypeError {
    TypeError::Form(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_as_it_was_written() {
        for text in [
            r#""string""#,
            r#"["list","number"]"#,
            r#"["tuple",[]]"#,
            r#"["object",{"a":["set",["map","bool"]],"b":"dynamic"}]"#,
            r#"["object",{"a":"string","b":"bool"},["a"]]"#,
        ] {
            assert_eq!(encode(&decode(text.as_bytes()).unwrap()), text.as_bytes(), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_type_is_refused() {
        let deep = format!("{}\"string\"{}", "[\"list\",".repeat(5000), "]".repeat(5000));
        for text in ["", "1", "\"int\"", "[]", r#"["list"]"#, r#"["list","string",[]]"#, r#"["object",[]]"#, &deep] {
            assert!(decode(text.as_bytes()).is_err(), "{text}");
        }
    }
}
