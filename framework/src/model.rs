//! Models: Rust structs whose fields are a schema's attributes, and the values that go in and out of them.

use std::collections::{BTreeMap, BTreeSet};

use tfplugin::{Nesting, Number, Path, Step, Type, Value};

use crate::attr::Attr;
use crate::field::{Field, FieldKind, object_type};

/// A struct that is an object's schema: made with `#[derive(Model)]`.
pub trait Model: Sized + Send + Sync {
    /// The struct's doc comment.
    const DESCRIPTION: &'static str;

    /// Its fields, in the order of the struct.
    fn fields() -> Vec<Field>;

    /// Takes its fields out of an object's attributes.
    fn decode(object: &BTreeMap<String, Value>) -> Result<Self, DecodeError>;

    /// Puts its fields into an object's attributes.
    fn encode(&self, object: &mut BTreeMap<String, Value>);

    /// The type of the whole object.
    fn ty() -> Type {
        object_type(&Self::fields())
    }

    /// The model as a value.
    fn to_object(&self) -> Value {
        let mut object = BTreeMap::new();
        self.encode(&mut object);
        Value::Object(object)
    }

    /// The model out of a known object.
    fn from_object(value: &Value) -> Result<Self, DecodeError> {
        match value {
            Value::Object(object) => Self::decode(object),
            other => mismatch("an object", other),
        }
    }
}

/// An enum of which exactly one variant is set, each an attribute beside the others: made with `#[derive(Choice)]`.
pub trait Choice: Sized + Send + Sync {
    /// What the variants are, in one word for messages: "engine".
    const GROUP: &'static str;

    /// One optional field per variant.
    fn fields() -> Vec<Field>;

    /// The one variant that is set; null when none is, unknown when it can't be told.
    fn decode(object: &BTreeMap<String, Value>) -> Result<Attr<Self>, DecodeError>;

    /// Sets one variant's attribute and the others to null (or all to unknown).
    fn encode(this: &Attr<Self>, object: &mut BTreeMap<String, Value>);
}

/// A value does not fit its model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct DecodeError {
    /// Where.
    pub path: Path,
    /// Why.
    pub message: String,
    /// Whether it may fit once what is unknown is known.
    pub unknown: bool,
}

impl DecodeError {
    /// An error right here.
    pub fn new(message: impl Into<String>) -> Self {
        DecodeError { path: Path::default(), message: message.into(), unknown: false }
    }

    /// The same, seen from one step further out.
    #[must_use]
    pub fn within(mut self, step: Step) -> Self {
        self.path.0.insert(0, step);
        self
    }
}

/// What can be a field's content.
pub trait Shape: Sized + Send + Sync {
    /// Its type, or the fields of its objects.
    fn kind() -> FieldKind;

    /// Reads it.
    fn from_value(value: &Value) -> Result<Self, DecodeError>;

    /// Writes it.
    fn to_value(&self) -> Value;
}

/// Reads an attribute; one that is missing is null.
pub fn decode_attribute<T: Shape>(object: &BTreeMap<String, Value>, name: &str) -> Result<T, DecodeError> {
    T::from_value(object.get(name).unwrap_or(&Value::Null))
        .map_err(|error| error.within(Step::Attribute(name.to_owned())))
}

impl<T: Shape> Shape for Attr<T> {
    fn kind() -> FieldKind {
        T::kind()
    }

    fn from_value(value: &Value) -> Result<Self, DecodeError> {
        match value {
            Value::Null => Ok(Attr::Null),
            Value::Unknown(_) => Ok(Attr::Unknown),
            // What is unknown inside of something that has no place for it leaves the whole open.
            known => match T::from_value(known) {
                Err(error) if error.unknown => Ok(Attr::Unknown),
                result => result.map(Attr::Known),
            },
        }
    }

    fn to_value(&self) -> Value {
        match self {
            Attr::Known(value) => value.to_value(),
            Attr::Null => Value::Null,
            Attr::Unknown => Value::unknown(),
        }
    }
}

fn mismatch<T>(wanted: &str, value: &Value) -> Result<T, DecodeError> {
    let message = match value {
        Value::Null => format!("{wanted} is required, null is not allowed here"),
        Value::Unknown(_) => format!("{wanted} is required, and it has to be known"),
        _ => format!("{wanted} is required"),
    };
    Err(DecodeError { unknown: value.is_unknown(), ..DecodeError::new(message) })
}

impl Shape for String {
    fn kind() -> FieldKind {
        FieldKind::Value(Type::String)
    }

    fn from_value(value: &Value) -> Result<Self, DecodeError> {
        match value {
            Value::String(text) => Ok(text.clone()),
            other => mismatch("a string", other),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.clone())
    }
}

impl Shape for bool {
    fn kind() -> FieldKind {
        FieldKind::Value(Type::Bool)
    }

    fn from_value(value: &Value) -> Result<Self, DecodeError> {
        match value {
            Value::Bool(truth) => Ok(*truth),
            other => mismatch("a bool", other),
        }
    }

    fn to_value(&self) -> Value {
        Value::Bool(*self)
    }
}

impl Shape for i64 {
    fn kind() -> FieldKind {
        FieldKind::Value(Type::Number)
    }

    fn from_value(value: &Value) -> Result<Self, DecodeError> {
        match value {
            Value::Number(number) => number.as_i64().ok_or_else(|| {
                DecodeError::new(format!("a whole number of at most 64 bits is required, not {number}"))
            }),
            other => mismatch("a number", other),
        }
    }

    fn to_value(&self) -> Value {
        Value::Number(Number::from(*self))
    }
}

impl Shape for Number {
    fn kind() -> FieldKind {
        FieldKind::Value(Type::Number)
    }

    fn from_value(value: &Value) -> Result<Self, DecodeError> {
        match value {
            Value::Number(number) => Ok(number.clone()),
            other => mismatch("a number", other),
        }
    }

    fn to_value(&self) -> Value {
        Value::Number(self.clone())
    }
}

/// A value of any type: an engine's pass-through.
#[derive(Debug, Clone, PartialEq)]
pub struct Anything(pub Value);

impl Shape for Anything {
    fn kind() -> FieldKind {
        FieldKind::Value(Type::Dynamic)
    }

    fn from_value(value: &Value) -> Result<Self, DecodeError> {
        Ok(Anything(value.clone()))
    }

    fn to_value(&self) -> Value {
        self.0.clone()
    }
}

/// Distinct values, without order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Set<T>(pub Vec<T>);

fn collection(element: FieldKind, nesting: Nesting, of: fn(Type) -> Type) -> FieldKind {
    match element {
        FieldKind::Nested { nesting: Nesting::Single, fields } => FieldKind::Nested { nesting, fields },
        FieldKind::Nested { .. } => {
            FieldKind::Value(of(Field { kind: element, ..Field::new("", FieldKind::Value(Type::Bool), "") }
                .attribute()
                .ty()))
        }
        FieldKind::Value(ty) => FieldKind::Value(of(ty)),
    }
}

fn decode_elements<T: Shape>(values: &[Value]) -> Result<Vec<T>, DecodeError> {
    let decode = |(index, value)| {
        T::from_value(value).map_err(|error| error.within(Step::Index(i64::try_from(index).unwrap_or(i64::MAX))))
    };
    values.iter().enumerate().map(decode).collect()
}

impl<T: Shape> Shape for Vec<T> {
    fn kind() -> FieldKind {
        collection(T::kind(), Nesting::List, Type::list)
    }

    fn from_value(value: &Value) -> Result<Self, DecodeError> {
        match value {
            Value::List(values) | Value::Tuple(values) => decode_elements(values),
            other => mismatch("a list", other),
        }
    }

    fn to_value(&self) -> Value {
        Value::List(self.iter().map(Shape::to_value).collect())
    }
}

impl<T: Shape> Shape for Set<T> {
    fn kind() -> FieldKind {
        collection(T::kind(), Nesting::Set, Type::set)
    }

    fn from_value(value: &Value) -> Result<Self, DecodeError> {
        match value {
            Value::Set(values) => decode_elements(values).map(Set),
            other => mismatch("a set", other),
        }
    }

    fn to_value(&self) -> Value {
        Value::set(self.0.iter().map(Shape::to_value))
    }
}

impl<T: Shape> Shape for BTreeMap<String, T> {
    fn kind() -> FieldKind {
        collection(T::kind(), Nesting::Map, Type::map)
    }

    fn from_value(value: &Value) -> Result<Self, DecodeError> {
        let decode = |(key, value): (&String, &Value)| match T::from_value(value) {
            Ok(element) => Ok((key.clone(), element)),
            Err(error) => Err(error.within(Step::Key(key.clone()))),
        };
        match value {
            Value::Map(values) | Value::Object(values) => values.iter().map(decode).collect(),
            other => mismatch("a map", other),
        }
    }

    fn to_value(&self) -> Value {
        Value::Map(self.iter().map(|(key, element)| (key.clone(), element.to_value())).collect())
    }
}

/// The names of the fields of a model, for messages and checks.
pub fn field_names<M: Model>() -> BTreeSet<String> {
    M::fields().into_iter().map(|field| field.name).collect()
}
