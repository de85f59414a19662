//! What holds for every value and for any bytes.

use proptest::prelude::*;
use tfplugin::handshake::Line;
use tfplugin::{Number, Refinements, Type, Value, json, msgpack, reattach, type_json};
use unicode_normalization::UnicodeNormalization;

fn types() -> impl Strategy<Value = Type> {
    let leaf = prop_oneof![Just(Type::String), Just(Type::Number), Just(Type::Bool), Just(Type::Dynamic)];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(Type::list),
            inner.clone().prop_map(Type::set),
            inner.clone().prop_map(Type::map),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Type::Tuple),
            prop::collection::btree_map("[a-z]{1,3}", inner, 0..3).prop_map(Type::object),
        ]
    })
}

fn numbers() -> impl Strategy<Value = Number> {
    prop_oneof![
        any::<i64>().prop_map(Number::from),
        any::<u64>().prop_map(Number::from),
        any::<f64>().prop_filter_map("finite", |float| Number::try_from(float).ok()),
        "-?[0-9]{1,40}(\\.[0-9]{1,40})?(e-?[0-9]{1,3})?".prop_map(|text| text.parse().unwrap()),
    ]
}

fn text() -> impl Strategy<Value = String> {
    any::<String>().prop_map(|text| text.nfc().collect())
}

/// What can be said of an unknown value of a type, and said again as it was.
fn refinements(ty: &Type) -> BoxedStrategy<Refinements> {
    let null = prop::option::of(Just(false));
    let bound = || prop::option::of((numbers(), any::<bool>()));
    match ty {
        Type::Dynamic => Just(Refinements::default()).boxed(),
        // No prefix at all is nothing said, and one of more than 256 bytes is cut.
        Type::String => (null, prop::option::of("[a-zäß日]{1,60}"))
            .prop_map(|(null, prefix)| Refinements { null, prefix, ..Refinements::default() })
            .boxed(),
        Type::Number => (null, bound(), bound())
            .prop_map(|(null, minimum, maximum)| Refinements { null, minimum, maximum, ..Refinements::default() })
            .boxed(),
        Type::List(_) | Type::Set(_) | Type::Map(_) => {
            (null, prop::option::of(1..i64::MAX), prop::option::of(0..i64::MAX))
                .prop_map(|(null, minimum_length, maximum_length)| Refinements {
                    null,
                    minimum_length,
                    maximum_length,
                    ..Refinements::default()
                })
                .boxed()
        }
        Type::Bool | Type::Tuple(_) | Type::Object(_) => {
            null.prop_map(|null| Refinements { null, ..Refinements::default() }).boxed()
        }
    }
}

fn unknown(ty: &Type) -> BoxedStrategy<Value> {
    refinements(ty).prop_map(Value::Unknown).boxed()
}

/// A type, and what another writer says of an unknown value of it: its entries in any order, keys of a later version
/// among them.
fn foreign_refinements() -> impl Strategy<Value = (Type, Refinements, Vec<u8>)> {
    types().prop_flat_map(|ty| {
        let later = prop::collection::vec((7_i64..100, any::<u32>()), 0..3);
        (Just(ty.clone()), refinements(&ty), later, any::<prop::sample::Index>())
            .prop_map(|(ty, known, later, first)| (ty, known.clone(), extension(&known, &later, first)))
    })
}

fn written<M, E: std::fmt::Debug>(marker: Result<M, E>) {
    marker.map(drop).unwrap();
}

fn extension(known: &Refinements, later: &[(i64, u32)], first: prop::sample::Index) -> Vec<u8> {
    use rmp::encode::{write_array_len, write_bool, write_ext_meta, write_map_len, write_sint, write_str, write_uint};
    let mut entries: Vec<Vec<u8>> = Vec::new();
    let mut entry = |key: i64, write: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        write_sint(&mut bytes, key).unwrap();
        write(&mut bytes);
        entries.push(bytes);
    };
    let bound = |(number, inclusive): &(Number, bool), bytes: &mut Vec<u8>| {
        write_array_len(bytes, 2).unwrap();
        // Any number may be written as text.
        write_str(bytes, &number.to_string()).unwrap();
        write_bool(bytes, *inclusive).unwrap();
    };
    known.null.iter().for_each(|null| entry(1, &|bytes| write_bool(bytes, *null).unwrap()));
    known.prefix.iter().for_each(|prefix| entry(2, &|bytes| write_str(bytes, prefix).unwrap()));
    known.minimum.iter().for_each(|minimum| entry(3, &|bytes| bound(minimum, bytes)));
    known.maximum.iter().for_each(|maximum| entry(4, &|bytes| bound(maximum, bytes)));
    for (key, length) in [(5, known.minimum_length), (6, known.maximum_length)] {
        length.iter().for_each(|length| entry(key, &|bytes| written(write_sint(bytes, *length))));
    }
    later.iter().for_each(|(key, value)| entry(*key, &|bytes| written(write_uint(bytes, u64::from(*value)))));
    let first = if entries.is_empty() { 0 } else { first.index(entries.len()) };
    entries.rotate_left(first);
    let mut body = Vec::new();
    write_map_len(&mut body, u32::try_from(entries.len()).unwrap()).unwrap();
    body.extend(entries.concat());
    let mut bytes = Vec::new();
    write_ext_meta(&mut bytes, u32::try_from(body.len()).unwrap(), 12).unwrap();
    bytes.extend(body);
    bytes
}

fn values(ty: Type, with_unknown: bool) -> BoxedStrategy<Value> {
    let known = known(&ty, with_unknown);
    if with_unknown {
        prop_oneof![8 => known, 1 => Just(Value::Null), 1 => unknown(&ty)].boxed()
    } else {
        prop_oneof![8 => known, 1 => Just(Value::Null)].boxed()
    }
}

fn known(ty: &Type, with_unknown: bool) -> BoxedStrategy<Value> {
    let element = |ty: &Type| values(ty.clone(), with_unknown);
    match ty {
        Type::String => text().prop_map(Value::String).boxed(),
        Type::Number => numbers().prop_map(Value::Number).boxed(),
        Type::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Type::List(ty) => prop::collection::vec(element(ty), 0..4).prop_map(Value::List).boxed(),
        Type::Set(ty) => prop::collection::vec(element(ty), 0..4).prop_map(Value::set).boxed(),
        Type::Map(ty) => prop::collection::btree_map(text(), element(ty), 0..4).prop_map(Value::Map).boxed(),
        Type::Tuple(types) => types.iter().map(element).collect::<Vec<_>>().prop_map(Value::Tuple).boxed(),
        Type::Object(object) => {
            let attributes: Vec<_> =
                object.attributes.iter().map(|(name, ty)| (Just(name.clone()), element(ty))).collect();
            attributes.prop_map(Value::object).boxed()
        }
        Type::Dynamic => prop_oneof![Just(Type::Bool), Just(Type::Number), Just(Type::list(Type::String))]
            .prop_flat_map(move |ty| {
                values(ty.clone(), with_unknown).prop_map(move |value| Value::Dynamic(Box::new((ty.clone(), value))))
            })
            .boxed(),
    }
}

fn typed(with_unknown: bool) -> impl Strategy<Value = (Type, Value)> {
    types().prop_flat_map(move |ty| (Just(ty.clone()), values(ty, with_unknown)))
}

proptest! {
    #[test]
    fn every_value_comes_back_from_messagepack((ty, value) in typed(true)) {
        let bytes = msgpack::encode(&value, &ty).unwrap();
        prop_assert_eq!(msgpack::decode(&bytes, &ty).unwrap(), value);
    }

    #[test]
    fn every_known_value_comes_back_from_json((ty, value) in typed(false)) {
        let text = json::encode(&value, &ty).unwrap();
        prop_assert_eq!(&json::decode(text.as_bytes(), &ty).unwrap(), &value);
        // What goes through an upgrade untouched is what it was.
        let untyped = json::decode_untyped(text.as_bytes()).unwrap();
        let again = json::encode_untyped(&untyped).unwrap();
        prop_assert_eq!(json::decode(again.as_bytes(), &ty).unwrap(), value);
    }

    #[test]
    fn what_another_writer_knows_of_an_unknown_value_is_read((ty, known, bytes) in foreign_refinements()) {
        prop_assert_eq!(msgpack::decode(&bytes, &ty).unwrap(), Value::Unknown(known));
    }

    #[test]
    fn a_prefix_of_any_length_is_written_as_a_prefix_of_it(prefix in text()) {
        let long = prefix.repeat(1 + 400 / (1 + prefix.len()));
        for prefix in [prefix, long] {
            let unknown = Value::Unknown(Refinements { prefix: Some(prefix.clone()), ..Refinements::default() });
            let bytes = msgpack::encode(&unknown, &Type::String).unwrap();
            let Value::Unknown(read) = msgpack::decode(&bytes, &Type::String).unwrap() else { panic!("it is known") };
            let normal: String = prefix.nfc().collect();
            prop_assert!(normal.starts_with(&read.prefix.clone().unwrap_or_default()), "{:?}", read);
            prop_assert!(normal.len() > 256 || read.prefix.unwrap_or_default() == normal);
        }
    }

    #[test]
    fn every_type_comes_back(ty in types()) {
        prop_assert_eq!(type_json::decode(&type_json::encode(&ty)).unwrap(), ty);
    }

    #[test]
    fn no_bytes_make_a_decoder_panic(ty in types(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = msgpack::decode(&bytes, &ty);
        let _ = json::decode(&bytes, &ty);
        let _ = json::decode_lenient(&bytes, &ty);
        let _ = json::decode_untyped(&bytes);
        let _ = type_json::decode(&bytes);
    }

    #[test]
    fn no_damage_to_real_bytes_makes_a_decoder_panic(
        (ty, value) in typed(true),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<bool>(),
    ) {
        let mut bytes = msgpack::encode(&value, &ty).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        if cut {
            bytes.truncate(at);
        }
        // What is accepted means something: it can be written and read again.
        if let Ok(value) = msgpack::decode(&bytes, &ty) {
            let again = msgpack::encode(&value, &ty).unwrap();
            let _ = msgpack::decode(&again, &ty).unwrap();
        }
    }

    #[test]
    fn no_text_makes_a_handshake_panic(
        line in "[0-9]{0,3}(\\|(unix|tcp|grpc|[0-9]{1,5}|/tmp/[a-z]{1,9}|127\\.0\\.0\\.1:[0-9]{1,6}|[A-Za-z0-9+/=]{0,9}|\\PC)){0,8}",
    ) {
        if let Ok(line) = line.parse::<Line>() {
            prop_assert_eq!(line.to_string().parse::<Line>().unwrap().to_string(), line.to_string());
        }
        let _ = reattach::from_json(&line);
    }

    #[test]
    fn no_text_makes_a_number_panic(text in "[-+]?[0-9.]{0,20}([eE][-+]?[0-9]{0,12})?") {
        if let Ok(number) = text.parse::<Number>() {
            prop_assert_eq!(number.to_string().parse::<Number>().unwrap(), number);
        }
    }
}
