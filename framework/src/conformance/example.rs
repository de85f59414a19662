//! Short ways to write schemas and values in the tests of this module.

use tfplugin::{Attribute, AttributeKind, Nesting, Schema, Type, Value};

use super::{Rule, Violation};

/// An attribute; `flags` are words like "optional computed".
pub(super) fn value(name: &str, flags: &str, ty: Type) -> Attribute {
    declared(name, flags, AttributeKind::Value(ty))
}

pub(super) fn nested(name: &str, flags: &str, nesting: Nesting, attributes: Vec<Attribute>) -> Attribute {
    declared(name, flags, AttributeKind::Nested { nesting, attributes })
}

fn declared(name: &str, flags: &str, kind: AttributeKind) -> Attribute {
    let has = |flag: &str| flags.split(' ').any(|word| word == flag);
    Attribute {
        name: name.to_owned(),
        kind,
        description: String::new(),
        required: has("required"),
        optional: has("optional"),
        computed: has("computed"),
        sensitive: has("sensitive"),
        write_only: has("write_only"),
        deprecated: None,
    }
}

pub(super) fn schema(attributes: Vec<Attribute>) -> Schema {
    Schema { attributes, ..Schema::default() }
}

pub(super) fn text(text: &str) -> Value {
    Value::string(text)
}

pub(super) fn number(number: i64) -> Value {
    Value::Number(number.into())
}

pub(super) fn object<const N: usize>(attributes: [(&str, Value); N]) -> Value {
    Value::object(attributes)
}

pub(super) fn list<const N: usize>(values: [Value; N]) -> Value {
    Value::List(values.into())
}

pub(super) fn map<const N: usize>(values: [(&str, Value); N]) -> Value {
    Value::Map(values.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
}

/// What was broken, and where, for comparison.
pub(super) fn broken(found: &[Violation]) -> Vec<(Rule, String)> {
    found.iter().map(|violation| (violation.rule, violation.path.to_string())).collect()
}
