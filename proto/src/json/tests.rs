//! What the encoding promises beyond the vectors of go-cty.

use super::*;
use crate::codec::Problem;

fn number(text: &str) -> Value {
    Value::Number(text.parse().unwrap())
}

#[test]
fn numbers_stay_exact() {
    let digits = "123456789012345678901234567890.000000000000000000000000000001";
    let value = decode(digits.as_bytes(), &Type::Number).unwrap();
    assert_eq!(value, number(digits));
    assert_eq!(encode(&value, &Type::Number).unwrap(), digits);
    assert_eq!(decode(b"1e1000000000", &Type::Number).unwrap_err().to_string(), crate::NumberError::Range.to_string());
}

#[test]
fn a_missing_attribute_is_null_and_an_extra_one_an_error_unless_it_may_be_dropped() {
    let ty = Type::object([("a", Type::object([("b", Type::Bool), ("c", Type::Bool)]))]);
    let expected = Value::object([("a", Value::object([("b", Value::Bool(true)), ("c", Value::Null)]))]);
    assert_eq!(decode(br#"{"a":{"b":true}}"#, &ty).unwrap(), expected);
    let error = decode(br#"{"a":{"b":true,"old":[1,{}]}}"#, &ty).unwrap_err();
    assert_eq!(error.to_string(), "a: unsupported attribute \"old\"");
    assert_eq!(decode_lenient(br#"{"a":{"b":true,"old":[1,{}]},"gone":1}"#, &ty).unwrap(), expected);
}

#[test]
fn an_unknown_value_has_no_form() {
    let ty = Type::list(Type::Bool);
    let error = encode(&Value::List(vec![Value::unknown()]), &ty).unwrap_err();
    assert_eq!(
        (error.to_string().as_str(), error.problem),
        ("[0]: an unknown value has no form in JSON", Problem::Unknown)
    );
}

#[test]
fn primitives_are_taken_from_each_other_as_go_does() {
    assert_eq!(decode(b"12.50", &Type::String).unwrap(), Value::string("12.50"));
    assert_eq!(decode(b"true", &Type::String).unwrap(), Value::string("true"));
    assert_eq!(decode(b"\"12\"", &Type::Number).unwrap(), number("12"));
    assert_eq!(decode(b"\"true\"", &Type::Bool).unwrap(), Value::Bool(true));
    assert!(decode(b"1", &Type::Bool).is_err());
    assert!(decode(b"{}", &Type::String).is_err());
}

#[test]
fn what_no_schema_describes_is_read_by_its_looks_and_written_as_it_was() {
    let text = r#"{"a":[1,"x",null,true,false,{}],"b":{"c":123456789012345678901234567890.5},"d":[]}"#;
    let value = decode_untyped(text.as_bytes()).unwrap();
    assert_eq!(value.attribute("b").attribute("c"), &number("123456789012345678901234567890.5"));
    assert_eq!(value.attribute("none").attribute("deeper"), &Value::Null);
    assert_eq!(encode_untyped(&value).unwrap(), text);
    for damaged in ["", "{", "[1,", "nul", "1 2", "-", "tru", &"[".repeat(100_000), "1e99999999"] {
        assert!(decode_untyped(damaged.as_bytes()).is_err(), "{damaged:.20}");
    }
    let error = encode_untyped(&Value::object([("a", Value::Tuple(vec![Value::unknown()]))])).unwrap_err();
    assert_eq!(error.problem, Problem::Unknown);
    let dynamic = Value::Dynamic(Box::new((Type::Number, number("0.1"))));
    assert_eq!(encode_untyped(&dynamic).unwrap(), r#"{"value":0.1,"type":"number"}"#);
}
