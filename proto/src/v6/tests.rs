//! What goes out comes back.

use std::collections::HashMap;

use super::*;
use crate::diagnostic::{Diagnostic, Path};
use crate::schema::{
    Attribute, AttributeKind, Function, IdentityAttribute, IdentitySchema, Nesting, Parameter, Schema,
};
use crate::value::Value;
use crate::wire::tfplugin6::{self, DynamicValue, RawState};

fn attribute(name: &str, kind: AttributeKind) -> Attribute {
    Attribute {
        name: name.to_owned(),
        kind,
        description: format!("about {name}"),
        required: false,
        optional: true,
        computed: true,
        sensitive: name == "a",
        write_only: name == "b",
        deprecated: (name == "c").then(|| "use d".to_owned()),
    }
}

#[test]
fn a_schema_comes_back_as_it_was() {
    let leaf = || vec![attribute("a", AttributeKind::Value(Type::set(Type::Number)))];
    let nested = |nesting, attributes| AttributeKind::Nested { nesting, attributes };
    let deep = vec![
        attribute("b", nested(Nesting::List, leaf())),
        attribute("c", nested(Nesting::Set, leaf())),
        attribute("d", nested(Nesting::Map, leaf())),
    ];
    let schema = Schema {
        version: 3,
        description: "text".to_owned(),
        attributes: vec![
            attribute("e", nested(Nesting::Single, deep)),
            attribute("f", AttributeKind::Value(Type::Dynamic)),
        ],
        deprecated: Some("gone soon".to_owned()),
    };
    assert_eq!(Schema::try_from(&tfplugin6::Schema::from(&schema)).unwrap(), schema);
}

#[test]
fn a_function_and_an_identity_come_back_as_they_were() {
    let parameter = |name: &str, allow_null: bool| Parameter {
        name: name.to_owned(),
        ty: Type::list(Type::String),
        description: "what".to_owned(),
        allow_null,
        allow_unknown: !allow_null,
    };
    let function = Function {
        summary: "does".to_owned(),
        description: "it".to_owned(),
        parameters: vec![parameter("one", true), parameter("two", false)],
        variadic: Some(parameter("rest", false)),
        result: Type::object([("a", Type::Bool)]),
    };
    assert_eq!(Function::try_from(&tfplugin6::Function::from(&function)).unwrap(), function);
    let identity = IdentitySchema {
        version: 1,
        attributes: vec![IdentityAttribute {
            name: "id".to_owned(),
            ty: Type::String,
            description: "which".to_owned(),
            required_for_import: true,
        }],
    };
    let message = tfplugin6::ResourceIdentitySchema::from(&identity);
    assert!(!message.identity_attributes[0].optional_for_import);
    assert_eq!(IdentitySchema::try_from(&message).unwrap(), identity);
}

#[test]
fn a_diagnostic_comes_back_as_it_was() {
    let path = Path::attribute("rules").index(2).then("labels").key("a.b");
    for diagnostic in [Diagnostic::error("no", "why").at(path), Diagnostic::warning("hm", "")] {
        assert_eq!(Diagnostic::from(&tfplugin6::Diagnostic::from(&diagnostic)), diagnostic);
    }
}

#[test]
fn an_envelope_holds_messagepack_or_json_or_null() {
    let value = Value::string("text");
    assert_eq!(decode_value(Some(&encode_value(&value, &Type::String).unwrap()), &Type::String).unwrap(), value);
    let json = DynamicValue { json: "\"text\"".into(), ..DynamicValue::default() };
    assert_eq!(decode_value(Some(&json), &Type::String).unwrap(), value);
    assert_eq!(decode_value(Some(&DynamicValue::default()), &Type::String).unwrap(), Value::Null);
    assert_eq!(decode_value(None, &Type::String).unwrap(), Value::Null);
}

#[test]
fn state_of_the_flat_form_is_refused() {
    let state = RawState { flatmap: HashMap::from([("id".to_owned(), "1".to_owned())]), ..RawState::default() };
    assert!(matches!(decode_state(Some(&state), &Type::object([("id", Type::String)])), Err(StateError::Flatmap)));
}

#[test]
fn a_schema_without_a_block_or_with_a_broken_type_is_an_error() {
    assert!(matches!(Schema::try_from(&tfplugin6::Schema::default()), Err(MessageError::Missing(_))));
    let mut message = tfplugin6::Schema::from(&Schema {
        attributes: vec![attribute("a", AttributeKind::Value(Type::Bool))],
        ..Schema::default()
    });
    message.block.as_mut().unwrap().attributes[0].r#type = b"[".to_vec();
    assert!(matches!(Schema::try_from(&message), Err(MessageError::Type { of, .. }) if of == "a"));
}
