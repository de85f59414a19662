//! What holds for every value and for any bytes.

use proptest::prelude::*;
use tfplugin::handshake::Line;
use tfplugin::{Number, Refinements, Type, Value, json, msgpack, reattach, type_json};

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
    use unicode_normalization::UnicodeNormalization;
    any::<String>().prop_map(|text| text.nfc().collect())
}

fn unknown(ty: &Type) -> BoxedStrategy<Value> {
    let refinements = Refinements { null: (*ty != Type::Dynamic).then_some(false), ..Refinements::default() };
    match ty {
        Type::Number => (numbers(), any::<bool>(), any::<bool>())
            .prop_map(move |(bound, inclusive, lower)| {
                let mut known = refinements.clone();
                *if lower { &mut known.minimum } else { &mut known.maximum } = Some((bound, inclusive));
                Value::Unknown(known)
            })
            .boxed(),
        _ => prop_oneof![Just(Value::unknown()), Just(Value::Unknown(refinements))].boxed(),
    }
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
        prop_assert_eq!(json::decode(text.as_bytes(), &ty).unwrap(), value);
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
