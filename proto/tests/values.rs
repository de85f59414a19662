//! Our encodings against go-cty's, both ways. The data is written by `acceptance-tests/vectors`.

use serde_json::Value as Json;
use tfplugin::{Number, Refinements, Type, Value, json, msgpack, type_json};

struct Vector {
    ty: Type,
    ty_text: String,
    value: Value,
    msgpack: String,
    json: Option<String>,
}

fn vectors() -> Vec<Vector> {
    let data: Vec<Json> = serde_json::from_str(include_str!("data/values.json")).unwrap();
    assert!(data.len() > 1000, "only {} vectors", data.len());
    data.iter()
        .map(|vector| Vector {
            ty: ty(&vector["type"]),
            ty_text: vector["type"].to_string(),
            value: described(&vector["value"]),
            msgpack: vector["msgpack"].as_str().unwrap().to_owned(),
            json: vector.get("json").map(|json| json.as_str().unwrap().to_owned()),
        })
        .collect()
}

fn ty(json: &Json) -> Type {
    type_json::decode(json.to_string().as_bytes()).unwrap()
}

fn number(json: &Json) -> Number {
    json.as_str().unwrap().parse().unwrap()
}

/// The value that a description spells out.
fn described(description: &Json) -> Value {
    let Some(object) = description.as_object() else {
        assert_eq!(description, "null");
        return Value::Null;
    };
    let (kind, inner) = object.iter().next().unwrap();
    let elements = || inner.as_array().unwrap().iter().map(described);
    let entries = || inner.as_object().unwrap().iter().map(|(key, value)| (key.clone(), described(value)));
    match kind.as_str() {
        "bool" => Value::Bool(inner.as_bool().unwrap()),
        "number" => Value::Number(number(inner)),
        "string" => Value::string(inner.as_str().unwrap()),
        "list" => Value::List(elements().collect()),
        "set" => Value::set(elements()),
        "tuple" => Value::Tuple(elements().collect()),
        "map" => Value::Map(entries().collect()),
        "object" => Value::Object(entries().collect()),
        "dynamic" => Value::Dynamic(Box::new((ty(&inner[0]), described(&inner[1])))),
        "unknown" => Value::Unknown(refinements(inner)),
        other => panic!("no kind {other:?}"),
    }
}

fn refinements(known: &Json) -> Refinements {
    let bound = |bound: &Json| (number(&bound[0]), bound[1].as_bool().unwrap());
    Refinements {
        null: known.get("null").map(|null| null.as_bool().unwrap()),
        prefix: known.get("prefix").map(|prefix| prefix.as_str().unwrap().to_owned()),
        minimum: known.get("minimum").map(bound),
        maximum: known.get("maximum").map(bound),
        minimum_length: known.get("minimum_length").map(|length| length.as_i64().unwrap()),
        maximum_length: known.get("maximum_length").map(|length| length.as_i64().unwrap()),
    }
}

/// Sets come in any order, so bytes can only be compared where there is no set of several values.
fn has_order(value: &Value) -> bool {
    match value {
        Value::Set(values) => values.len() < 2 && values.iter().all(has_order),
        Value::List(values) | Value::Tuple(values) => values.iter().all(has_order),
        Value::Map(values) | Value::Object(values) => values.values().all(has_order),
        Value::Dynamic(inner) => has_order(&inner.1),
        _ => true,
    }
}

/// A float like 0.1 is the number that its shortest text says, so what we write for it is that text. Go, which keeps
/// the bits, writes a float. (In some vectors text is taken for a float here, and they go without comparison.)
fn holds_inexact_float(bytes: &[u8]) -> bool {
    bytes.windows(9).any(|window| {
        let float = f64::from_be_bytes(window[1..].try_into().unwrap());
        window[0] == 0xcb && Number::try_from(float).is_ok_and(|number| number.as_exact_f64().is_none())
    })
}

#[test]
fn types_are_written_as_go_writes_them() {
    for vector in vectors() {
        assert_eq!(String::from_utf8(type_json::encode(&vector.ty)).unwrap(), vector.ty_text);
    }
}

#[test]
fn messagepack_of_go_is_read_as_what_it_means() {
    for vector in vectors() {
        let bytes = hex::decode(&vector.msgpack).unwrap();
        let value = msgpack::decode(&bytes, &vector.ty);
        let value = value.unwrap_or_else(|error| panic!("{error}: {} {}", vector.ty_text, vector.msgpack));
        assert_eq!(value, vector.value, "{} {}", vector.ty_text, vector.msgpack);
    }
}

#[test]
fn messagepack_is_written_byte_for_byte_as_go_writes_it() {
    let mut compared = 0;
    for vector in vectors().iter().filter(|vector| has_order(&vector.value)) {
        let bytes = hex::encode(msgpack::encode(&vector.value, &vector.ty).unwrap());
        if !holds_inexact_float(&hex::decode(&vector.msgpack).unwrap()) {
            assert_eq!(bytes, vector.msgpack, "{} {:?}", vector.ty_text, vector.value);
            compared += 1;
        }
    }
    assert!(compared > 1000, "only {compared} were compared");
}

#[test]
fn messagepack_with_sets_comes_back_as_it_was() {
    for vector in vectors() {
        let bytes = msgpack::encode(&vector.value, &vector.ty).unwrap();
        assert_eq!(msgpack::decode(&bytes, &vector.ty).unwrap(), vector.value);
    }
}

#[test]
fn json_of_go_is_read_as_what_it_says_and_written_alike() {
    let mut compared = 0;
    for vector in vectors() {
        let Some(text) = &vector.json else { continue };
        let value = json::decode(text.as_bytes(), &vector.ty);
        let value = value.unwrap_or_else(|error| panic!("{error}: {} {text}", vector.ty_text));
        assert_eq!(value, vector.value, "{} {text}", vector.ty_text);
        // Go escapes more in text than JSON asks for.
        if has_order(&value) && !text.contains('\\') {
            assert_eq!(&json::encode(&value, &vector.ty).unwrap(), text);
            compared += 1;
        }
    }
    assert!(compared > 500, "only {compared} were compared");
}

/// Sets may come in another order and JSON in other words, so whether Go takes what we write has to be asked of Go.
#[test]
fn go_reads_what_we_write_as_the_same_values() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../acceptance-tests/vectors");
    let program = parts::go().unwrap();
    let go = |arguments: &[&str]| {
        let mut command = std::process::Command::new(&program);
        command.args(arguments).current_dir(folder).env("GOTOOLCHAIN", "local").env_remove("GOFLAGS");
        command.output().unwrap()
    };
    let written: Vec<_> = vectors()
        .iter()
        .map(|vector| {
            let packed = hex::encode(msgpack::encode(&vector.value, &vector.ty).unwrap());
            let text = vector.json.as_ref().map(|_| json::encode(&vector.value, &vector.ty).unwrap());
            serde_json::json!({ "msgpack": packed, "json": text })
        })
        .collect();
    let file = concat!(env!("CARGO_TARGET_TMPDIR"), "/values.json");
    std::fs::write(file, serde_json::to_string(&written).unwrap()).unwrap();
    let output = go(&["run", "-mod=readonly", ".", "accept", file]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}", said.lines().next().unwrap_or_default());
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), format!("accepted {}", written.len()));
}
