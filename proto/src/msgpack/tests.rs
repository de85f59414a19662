//! What the encoding promises beyond the vectors of go-cty.

use super::*;
use crate::value::Refinements;

fn hex(text: &str) -> Vec<u8> {
    hex::decode(text.replace(' ', "")).unwrap()
}

#[test]
fn any_extension_is_an_unknown_value() {
    for bytes in ["d4 00 00", "c7 00 00", "d4 07 00", "d5 07 01 02", "c7 00 0c"] {
        assert_eq!(decode(&hex(bytes), &Type::String).unwrap(), Value::unknown(), "{bytes}");
    }
}

#[test]
fn unknown_refinement_keys_are_passed_over() {
    // {1: false, 99: [1, {"a": nil}]}
    let known = decode(&hex("c7 0b 0c 82 01 c2 63 92 01 81 a1 61 c0 00"), &Type::Number).unwrap();
    assert_eq!(known, Value::Unknown(Refinements { null: Some(false), ..Refinements::default() }));
}

#[test]
fn a_length_that_claims_more_than_there_is_takes_no_memory() {
    for bytes in ["dd ff ff ff ff", "df ff ff ff ff", "db ff ff ff ff", "c6 ff ff ff ff", "c9 ff ff ff ff 0c"] {
        let error = decode(&hex(bytes), &Type::list(Type::Bool)).unwrap_err();
        assert_eq!(error.problem, Problem::Truncated, "{bytes}");
    }
}

#[test]
fn nesting_without_end_is_refused() {
    // A dynamic value whose type is dynamic, again and again.
    let bytes = [hex("92 c4 09"), b"\"dynamic\"".to_vec()].concat().repeat(100_000);
    assert_eq!(decode(&bytes, &Type::Dynamic).unwrap_err().problem, Problem::TooDeep);
}

#[test]
fn an_error_says_where() {
    let ty = Type::object([("rules", Type::list(Type::object([("port", Type::Number)])))]);
    let error = decode(&hex("81 a5 72756c6573 91 81 a4 706f7274 c3"), &ty).unwrap_err();
    assert_eq!(error.to_string(), "rules[0].port: a number is required");
    let error = encode(&Value::object([("rules", Value::List(vec![Value::object::<&str>([])]))]), &ty).unwrap_err();
    assert_eq!(error.to_string(), "rules[0]: attribute \"port\" is missing");
}

#[test]
fn text_is_brought_to_one_normal_form() {
    let (composed, decomposed) = (Value::string("\u{e9}"), Value::string("e\u{301}"));
    let bytes = encode(&decomposed, &Type::String).unwrap();
    assert_eq!(bytes, encode(&composed, &Type::String).unwrap());
    assert_eq!(decode(&hex("a3 65 cc81"), &Type::String).unwrap(), composed);
    assert_eq!(decode(&hex("81 a3 65 cc81 c0"), &Type::map(Type::Bool)).unwrap().strings(), ["\u{e9}"]);
}

#[test]
fn a_long_prefix_is_cut_where_nothing_can_combine() {
    let known = Refinements { prefix: Some("ab\u{301}".repeat(200)), ..Refinements::default() };
    let bytes = encode(&Value::Unknown(known), &Type::String).unwrap();
    let Value::Unknown(Refinements { prefix: Some(prefix), .. }) = decode(&bytes, &Type::String).unwrap() else {
        panic!("no prefix")
    };
    assert!(prefix.len() < 256 && prefix.ends_with("\u{301}a"), "{prefix}");
}

#[test]
fn bytes_after_the_value_are_an_error() {
    assert_eq!(decode(&hex("c0 c0"), &Type::Bool).unwrap_err().problem, Problem::Trailing);
}
