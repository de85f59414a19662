//! Makes configurations and stored states of any schema.

use std::collections::BTreeMap;

use dr_framework::conformance::check_type;
use dr_framework::{Field, FieldKind, Nesting, Number, Type, Value};
use proptest::prelude::*;
use tfplugin::Refinements;

use super::Hints;

/// Who writes an object.
#[derive(Clone, Copy, PartialEq)]
enum Writer {
    /// A user: what is computed is left out.
    User,
    /// A provider of any version: everything may be there but what is write-only.
    Provider,
}

/// A wholly known configuration.
pub fn config(fields: &[Field], hints: &Hints) -> BoxedStrategy<Value> {
    object(fields, hints, Writer::User, false)
}

/// A state that some version of the provider could have stored.
pub fn state(fields: &[Field], hints: &Hints) -> BoxedStrategy<Value> {
    object(fields, hints, Writer::Provider, false)
}

/// The configuration that a state may have come from: without what only the provider sets.
pub fn written(fields: &[Field], state: &Value) -> Value {
    let all = |values: &[Value]| values.iter().map(|value| written(fields, value)).collect::<Vec<_>>();
    match state {
        Value::Object(object) => {
            let each = |field: &Field| {
                let value = object.get(&field.name).unwrap_or(&Value::Null);
                let value = match field.nested() {
                    _ if field.computed && !field.optional => match value {
                        Value::Dynamic(inner) => typed(inner.0.clone(), Value::Null),
                        _ => Value::Null,
                    },
                    Some((_, fields)) => written(fields, value),
                    None => value.clone(),
                };
                (field.name.clone(), value)
            };
            Value::Object(fields.iter().map(each).collect())
        }
        Value::List(values) => Value::List(all(values)),
        Value::Set(values) => Value::set(all(values)),
        Value::Map(values) => {
            Value::Map(values.iter().map(|(key, value)| (key.clone(), written(fields, value))).collect())
        }
        other => other.clone(),
    }
}

/// `alike`: all dynamic values are of one type, as the elements of one collection have to be.
fn object(fields: &[Field], hints: &Hints, writer: Writer, alike: bool) -> BoxedStrategy<Value> {
    let groups: Vec<(String, Option<&'static str>)> =
        fields.iter().map(|field| (field.name.clone(), field.one_of)).collect();
    // A hint for the name of the choice says which of its blocks are taken.
    let hinted: BTreeMap<&str, Vec<String>> = groups
        .iter()
        .filter_map(|(_, group)| {
            let words = hints.get((*group)?)?.iter().flat_map(Value::strings).map(str::to_owned);
            Some(((*group)?, words.collect()))
        })
        .collect();
    let values: Vec<_> = fields.iter().map(|field| content(field, hints, writer, alike)).collect();
    (values, any::<u16>())
        .prop_map(move |(values, pick)| {
            let chosen = |group: &str| -> &str {
                let may = |name: &str| hinted.get(group).is_none_or(|words| words.iter().any(|word| word == name));
                let members = groups.iter().filter(|(name, other)| *other == Some(group) && may(name));
                let members: Vec<_> = members.map(|(name, _)| name.as_str()).collect();
                members[usize::from(pick) % members.len()]
            };
            let keep = |((name, group), value): (&(String, Option<&'static str>), Value)| {
                let Some(group) = *group else { return (name.clone(), value) };
                // Once in a while none of them, or one too many.
                let kept = if pick % 61 == 7 { pick % 2 == 0 } else { chosen(group) == name };
                (name.clone(), if kept { value } else { Value::Null })
            };
            Value::Object(groups.iter().zip(values).map(keep).collect())
        })
        .boxed()
}

trait Dynamic {
    fn kind_is_dynamic(&self) -> bool;
}

impl Dynamic for Field {
    fn kind_is_dynamic(&self) -> bool {
        matches!(self.kind, FieldKind::Value(Type::Dynamic))
    }
}

fn content(field: &Field, hints: &Hints, writer: Writer, alike: bool) -> BoxedStrategy<Value> {
    let absent = || if alike && field.kind_is_dynamic() { typed(Type::String, Value::Null) } else { Value::Null };
    if (writer == Writer::User && field.computed && !field.optional) || (writer == Writer::Provider && field.write_only)
    {
        return Just(absent()).boxed();
    }
    let mut known = match &field.kind {
        FieldKind::Value(ty) => of_type(ty, alike),
        FieldKind::Nested { nesting, fields } => nested(*nesting, fields, hints, writer, alike),
    };
    let fits = |hint: &&Value| check_type(hint, &field.attribute().ty()).is_empty();
    let fitting: Vec<_> = hints.get(field.name.as_str()).into_iter().flatten().filter(fits).cloned().collect();
    if !fitting.is_empty() {
        known = prop_oneof![30 => proptest::sample::select(fitting), 1 => known].boxed();
    }
    if let Some(default) = &field.default {
        known = prop_oneof![2 => known, 1 => Just(default.clone())].boxed();
    }
    if field.required || field.one_of.is_some() {
        return known;
    }
    prop_oneof![2 => Just(absent()), 3 => known].boxed()
}

fn nested(nesting: Nesting, fields: &[Field], hints: &Hints, writer: Writer, alike: bool) -> BoxedStrategy<Value> {
    let element = object(fields, hints, writer, alike || nesting != Nesting::Single);
    match nesting {
        Nesting::Single => element,
        Nesting::List => proptest::collection::vec(element, 0..3).prop_map(Value::List).boxed(),
        Nesting::Set => proptest::collection::vec(element, 0..4).prop_map(Value::set).boxed(),
        Nesting::Map => proptest::collection::btree_map(text(), element, 0..3).prop_map(Value::Map).boxed(),
    }
}

fn typed(ty: Type, value: Value) -> Value {
    Value::Dynamic(Box::new((ty, value)))
}

fn of_type(ty: &Type, alike: bool) -> BoxedStrategy<Value> {
    match ty {
        Type::String => text().prop_map(Value::String).boxed(),
        Type::Number => number(),
        Type::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Type::Dynamic if alike => text().prop_map(|text| typed(Type::String, Value::String(text))).boxed(),
        Type::Dynamic => anything(),
        Type::List(element) => proptest::collection::vec(element_of(element), 0..4).prop_map(Value::List).boxed(),
        Type::Set(element) => proptest::collection::vec(element_of(element), 0..4).prop_map(Value::set).boxed(),
        Type::Map(element) => {
            proptest::collection::btree_map(text(), element_of(element), 0..3).prop_map(Value::Map).boxed()
        }
        Type::Tuple(types) => {
            types.iter().map(|ty| of_type(ty, alike)).collect::<Vec<_>>().prop_map(Value::Tuple).boxed()
        }
        Type::Object(object) => {
            let attribute = |(name, ty): (&String, &Type)| (Just(name.clone()), of_type(ty, alike));
            let attributes: Vec<_> = object.attributes.iter().map(attribute).collect();
            attributes.prop_map(|attributes| Value::Object(attributes.into_iter().collect())).boxed()
        }
    }
}

fn element_of(ty: &Type) -> BoxedStrategy<Value> {
    if ty.has_dynamic() {
        return of_type(ty, true);
    }
    prop_oneof![200 => of_type(ty, true), 1 => Just(Value::Null)].boxed()
}

fn anything() -> BoxedStrategy<Value> {
    let pair = || Type::object([("a", Type::String), ("b", Type::list(Type::Number))]);
    let types = vec![
        Type::String,
        Type::Number,
        Type::Bool,
        Type::list(Type::String),
        Type::map(Type::Number),
        Type::Tuple(vec![Type::String, Type::Bool]),
        pair(),
        Type::list(pair()),
    ];
    proptest::sample::select(types)
        .prop_flat_map(|ty| {
            let value = prop_oneof![9 => of_type(&ty, true), 1 => Just(Value::Null)];
            value.prop_map(move |value| typed(ty.clone(), value))
        })
        .boxed()
}

fn text() -> BoxedStrategy<String> {
    let odd = vec![
        "",
        " ",
        "a",
        "A",
        "é",
        "日本語",
        "𝄞",
        "\u{0}",
        "null",
        "true",
        "0.1",
        "${x}",
        "%{ if }",
        "a\nb",
        "\"",
        "\\",
        "../..",
        "a.b[0]",
        "-",
    ];
    prop_oneof![
        3 => "[a-z]{1,6}",
        2 => proptest::sample::select(odd).prop_map(str::to_owned),
        1 => Just("x".repeat(40)),
    ]
    .boxed()
}

fn number() -> BoxedStrategy<Value> {
    let odd =
        ["0.8", "18446744073709551615", "-0.1", "123456789012345678901234567890.125", "1e300", "9007199254740993"];
    let odd: Vec<Number> = odd.iter().filter_map(|text| text.parse().ok()).collect();
    prop_oneof![
        60 => (-3_i64..100).prop_map(|number| Value::Number(number.into())),
        2 => any::<i64>().prop_map(|number| Value::Number(number.into())),
        1 => proptest::sample::select(odd).prop_map(Value::Number),
    ]
    .boxed()
}

/// The same configuration at a time when parts of it are not known yet: one in `rarity` of its values.
pub fn blurred(fields: &[Field], value: &Value, dice: &[u8], rarity: u8) -> Value {
    Blur { dice, rarity, thrown: 0 }.inside(fields, value)
}

struct Blur<'a> {
    dice: &'a [u8],
    rarity: u8,
    thrown: usize,
}

impl Blur<'_> {
    fn throw(&mut self) -> Option<u8> {
        if self.dice.is_empty() {
            return None;
        }
        self.thrown += 1;
        // Bytes come round again, but never at the same remainder.
        let byte = self.dice[self.thrown % self.dice.len()].wrapping_add(u8::try_from(self.thrown % 251).unwrap_or(0));
        (byte % self.rarity == 0).then_some(byte)
    }

    fn value(&mut self, fields: &[Field], value: &Value) -> Value {
        // An unknown object has no word for the types of what is dynamic in it, which others beside it do have.
        let whole = !fields.iter().any(Dynamic::kind_is_dynamic);
        match self.throw() {
            Some(byte) if whole => unknown(value, (byte / self.rarity).is_multiple_of(3)),
            _ => self.inside(fields, value),
        }
    }

    /// `fields` are those of the objects inside, if they are nested attributes.
    fn inside(&mut self, fields: &[Field], value: &Value) -> Value {
        match value {
            Value::List(values) => Value::List(values.iter().map(|value| self.value(fields, value)).collect()),
            Value::Set(values) => Value::set(values.iter().map(|value| self.value(fields, value)).collect::<Vec<_>>()),
            Value::Map(values) => {
                Value::Map(values.iter().map(|(key, value)| (key.clone(), self.value(fields, value))).collect())
            }
            Value::Object(values) => Value::Object(
                values.iter().map(|(name, value)| (name.clone(), self.attribute(fields, name, value))).collect(),
            ),
            Value::Dynamic(inner) => typed(inner.0.clone(), self.inside(&[], &inner.1)),
            leaf => leaf.clone(),
        }
    }

    fn attribute(&mut self, fields: &[Field], name: &str, value: &Value) -> Value {
        let Some(field) = fields.iter().find(|field| field.name == name) else { return self.value(&[], value) };
        // Nobody can configure what is only computed; and most choices are made in plain sight.
        if (field.computed && !field.optional) || (field.one_of.is_some() && !self.thrown.is_multiple_of(5)) {
            return self.inside(field.nested().map_or(&[], |(_, fields)| fields), value);
        }
        self.value(field.nested().map_or(&[], |(_, fields)| fields), value)
    }
}

/// Something that could turn out to be this value, with or without a word about it.
fn unknown(value: &Value, refined: bool) -> Value {
    let mut refinements = Refinements::default();
    if refined && !value.is_null() {
        refinements.null = Some(false);
        match value {
            Value::String(text) => refinements.prefix = text.chars().next().map(String::from),
            Value::Number(number) => {
                refinements.minimum = Some((number.clone(), true));
                refinements.maximum = Some((number.clone(), true));
            }
            Value::List(values) | Value::Set(values) => bound_length(&mut refinements, values.len()),
            Value::Map(values) => bound_length(&mut refinements, values.len()),
            _ => {}
        }
    }
    match value {
        Value::Dynamic(inner) => typed(inner.0.clone(), Value::Unknown(refinements)),
        _ => Value::Unknown(refinements),
    }
}

fn bound_length(refinements: &mut Refinements, length: usize) {
    refinements.minimum_length = i64::try_from(length).ok();
    refinements.maximum_length = refinements.minimum_length;
}

/// What is computed in the end: every unknown value becomes one of its type.
pub fn completed(value: &Value, ty: &Type) -> Value {
    let all =
        |values: &[Value], element: &Type| values.iter().map(|value| completed(value, element)).collect::<Vec<_>>();
    match (value, ty) {
        (Value::Unknown(_), ty) => computed(ty),
        (Value::List(values), Type::List(element)) => Value::List(all(values, element)),
        (Value::Set(values), Type::Set(element)) => Value::set(all(values, element)),
        (Value::Map(values), Type::Map(element)) => {
            Value::Map(values.iter().map(|(key, value)| (key.clone(), completed(value, element))).collect())
        }
        (Value::Object(values), Type::Object(object)) => {
            let each = |(name, value): (&String, &Value)| (name.clone(), completed(value, &object.attributes[name]));
            Value::Object(values.iter().map(each).collect())
        }
        (Value::Dynamic(inner), Type::Dynamic) => typed(inner.0.clone(), completed(&inner.1, &inner.0)),
        (known, _) => known.clone(),
    }
}

fn computed(ty: &Type) -> Value {
    match ty {
        Type::String => Value::string("computed"),
        Type::Number => Value::Number(7_i64.into()),
        Type::Bool => Value::Bool(true),
        Type::Dynamic => typed(Type::String, Value::string("computed")),
        Type::List(_) => Value::List(Vec::new()),
        Type::Set(_) => Value::Set(Vec::new()),
        Type::Map(_) => Value::Map(BTreeMap::new()),
        Type::Tuple(types) => Value::Tuple(types.iter().map(computed).collect()),
        Type::Object(object) => {
            Value::Object(object.attributes.iter().map(|(name, ty)| (name.clone(), computed(ty))).collect())
        }
    }
}
