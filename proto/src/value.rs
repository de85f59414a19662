//! Values, as the protocol carries them: exact numbers, nulls, unknowns with refinements, dynamic values.

use std::collections::BTreeMap;

use crate::number::Number;
use crate::ty::Type;

/// A value. Its type is known from the schema, and from inside only for [`Value::Dynamic`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// No value.
    Null,
    /// A value that is not known yet, with what is known about it.
    Unknown(Refinements),
    /// True or false.
    Bool(bool),
    /// A number.
    Number(Number),
    /// Text.
    String(String),
    /// An ordered sequence.
    List(Vec<Value>),
    /// Distinct values; kept sorted and without duplicates, so that equality is equality of sets. See [`Value::set`].
    Set(Vec<Value>),
    /// A fixed sequence.
    Tuple(Vec<Value>),
    /// Values under text keys.
    Map(BTreeMap<String, Value>),
    /// The attributes of an object, every one present.
    Object(BTreeMap<String, Value>),
    /// A known value (or a null or unknown of known type) in a place whose type is [`Type::Dynamic`].
    Dynamic(Box<(Type, Value)>),
}

/// What is known about a value that is not known yet; all `None` when nothing is.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Refinements {
    /// `Some(false)`: it will not be null.
    pub null: Option<bool>,
    /// Text that it will start with.
    pub prefix: Option<String>,
    /// The least number that it can be, and whether it can be that number itself.
    pub minimum: Option<(Number, bool)>,
    /// The greatest number that it can be, and whether it can be that number itself.
    pub maximum: Option<(Number, bool)>,
    /// The least number of elements.
    pub minimum_length: Option<i64>,
    /// The greatest number of elements.
    pub maximum_length: Option<i64>,
}

impl Value {
    /// A value that is not known yet, about which nothing is known.
    pub fn unknown() -> Self {
        Value::Unknown(Refinements::default())
    }

    /// Text.
    pub fn string(text: impl Into<String>) -> Self {
        Value::String(text.into())
    }

    /// A set of the given values, sorted and without duplicates. Values that are not wholly known are all kept: they
    /// may turn out to be different ones.
    pub fn set(values: impl IntoIterator<Item = Value>) -> Self {
        let mut values: Vec<_> = values.into_iter().collect();
        values.sort();
        values.dedup_by(|one, other| one == other && one.is_wholly_known());
        Value::Set(values)
    }

    /// An object with these attributes.
    pub fn object<N: Into<String>>(attributes: impl IntoIterator<Item = (N, Value)>) -> Self {
        Value::Object(attributes.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }

    /// An attribute of an object; null when there is none, or no object.
    pub fn attribute(&self, name: &str) -> &Value {
        match self {
            Value::Object(attributes) => attributes.get(name).unwrap_or(&Value::Null),
            _ => &Value::Null,
        }
    }

    /// The text, if it is some.
    pub fn text(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// Whether this is null, or a dynamic null.
    pub fn is_null(&self) -> bool {
        match self {
            Value::Null => true,
            Value::Dynamic(inner) => inner.1.is_null(),
            _ => false,
        }
    }

    /// Whether this value itself is unknown (not just something inside it).
    pub fn is_unknown(&self) -> bool {
        match self {
            Value::Unknown(_) => true,
            Value::Dynamic(inner) => inner.1.is_unknown(),
            _ => false,
        }
    }

    /// Whether nothing in this value is unknown.
    pub fn is_wholly_known(&self) -> bool {
        match self {
            Value::Unknown(_) => false,
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
            Value::List(values) | Value::Set(values) | Value::Tuple(values) => {
                values.iter().all(Value::is_wholly_known)
            }
            Value::Map(values) | Value::Object(values) => values.values().all(Value::is_wholly_known),
            Value::Dynamic(inner) => inner.1.is_wholly_known(),
        }
    }

    /// Every string in this value, map keys included.
    pub fn strings(&self) -> Vec<&str> {
        let mut found = Vec::new();
        self.collect_strings(&mut found);
        found
    }

    fn collect_strings<'a>(&'a self, found: &mut Vec<&'a str>) {
        match self {
            Value::String(text) => found.push(text),
            Value::List(values) | Value::Set(values) | Value::Tuple(values) => {
                for value in values {
                    value.collect_strings(found);
                }
            }
            Value::Map(values) | Value::Object(values) => {
                for (key, value) in values {
                    found.push(key);
                    value.collect_strings(found);
                }
            }
            Value::Dynamic(inner) => inner.1.collect_strings(found),
            Value::Null | Value::Unknown(_) | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}
