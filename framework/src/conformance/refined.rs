//! What is known about unknown values: leaving it out of a comparison, and keeping to it.

use tfplugin::{Refinements, Value};

/// The value, with nothing known about what is unknown.
pub(super) fn plain(value: &Value) -> Value {
    let all = |values: &[Value]| values.iter().map(plain).collect::<Vec<_>>();
    match value {
        Value::Unknown(_) => Value::unknown(),
        Value::List(values) => Value::List(all(values)),
        Value::Set(values) => Value::set(all(values)),
        Value::Tuple(values) => Value::Tuple(all(values)),
        Value::Map(values) => Value::Map(values.iter().map(|(key, value)| (key.clone(), plain(value))).collect()),
        Value::Object(values) => {
            Value::Object(values.iter().map(|(name, value)| (name.clone(), plain(value))).collect())
        }
        Value::Dynamic(inner) => Value::Dynamic(Box::new((inner.0.clone(), plain(&inner.1)))),
        known => known.clone(),
    }
}

/// Whether two values are the same, whatever is known about what is unknown.
pub(super) fn same(left: &Value, right: &Value) -> bool {
    left == right || plain(left) == plain(right)
}

/// Why a value is not one of those that were announced; what is unknown itself may still become one.
pub(super) fn contradiction(announced: &Refinements, value: &Value) -> Option<String> {
    if value.is_unknown() {
        return None;
    }
    if value.is_null() {
        return (announced.null == Some(false)).then(|| "announced as not null, and it is null".to_owned());
    }
    if announced.null == Some(true) {
        return Some("announced as null, and it is not".to_owned());
    }
    match value {
        Value::String(text) => announced
            .prefix
            .as_ref()
            .filter(|prefix| !text.starts_with(prefix.as_str()))
            .map(|prefix| format!("announced to start with {prefix:?}, and it is {text:?}")),
        Value::Number(number) => {
            let below = announced
                .minimum
                .as_ref()
                .is_some_and(|(least, inclusive)| if *inclusive { number < least } else { number <= least });
            let above = announced.maximum.as_ref().is_some_and(
                |(most, inclusive)| {
                    if *inclusive { number > most } else { number >= most }
                },
            );
            (below || above).then(|| format!("{number} is outside the announced bounds"))
        }
        other => {
            let length = i64::try_from(length(other)?).unwrap_or(i64::MAX);
            let short = announced.minimum_length.is_some_and(|least| length < least);
            let long = announced.maximum_length.is_some_and(|most| length > most);
            (short || long).then(|| format!("{length} elements are outside the announced bounds"))
        }
    }
}

fn length(value: &Value) -> Option<usize> {
    match value {
        Value::List(values) | Value::Set(values) => Some(values.len()),
        Value::Map(values) => Some(values.len()),
        Value::Dynamic(inner) => length(&inner.1),
        _ => None,
    }
}
