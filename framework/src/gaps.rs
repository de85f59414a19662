//! The gaps of an answer: what is left open in it, or has no form on the wire. The rest of it is no less true for them.

use tfplugin::{Path, Step, Type, Value, msgpack};

/// The value with null in every gap, and where those are. All of it is one gap when it is no object of the type.
pub fn closed(mut value: Value, ty: &Type) -> (Value, Vec<Path>) {
    let mut gaps = Vec::new();
    close_unknown(&mut value, &Path::default(), &mut gaps);
    // Each time round there is less that does not fit.
    while let Err(error) = msgpack::encode(&value, ty) {
        clear(&mut value, &error.path.0);
        gaps.push(error.path);
    }
    (value, gaps)
}

fn close_unknown(value: &mut Value, path: &Path, gaps: &mut Vec<Path>) {
    match value {
        Value::Unknown(_) => {
            *value = Value::Null;
            gaps.push(path.clone());
        }
        Value::List(values) | Value::Tuple(values) => {
            for (index, value) in values.iter_mut().enumerate() {
                close_unknown(value, &path.clone().index(index), gaps);
            }
        }
        Value::Set(values) => {
            for (index, value) in values.iter_mut().enumerate() {
                close_unknown(value, &path.clone().index(index), gaps);
            }
            *value = Value::set(std::mem::take(values));
        }
        Value::Map(values) => {
            for (key, value) in values {
                close_unknown(value, &path.clone().key(key), gaps);
            }
        }
        Value::Object(values) => {
            for (name, value) in values {
                close_unknown(value, &path.clone().then(name), gaps);
            }
        }
        Value::Dynamic(inner) => close_unknown(&mut inner.1, path, gaps),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Makes what is at a place null; a place that is not there, the nearest around it.
fn clear(value: &mut Value, path: &[Step]) {
    let Some((step, rest)) = path.split_first() else {
        *value = Value::Null;
        return;
    };
    if let Value::Dynamic(inner) = value {
        return clear(&mut inner.1, path);
    }
    match inside(value, step) {
        Some(inner) => clear(inner, rest),
        None => *value = Value::Null,
    }
    if let Value::Set(values) = value {
        *value = Value::set(std::mem::take(values));
    }
}

fn inside<'a>(value: &'a mut Value, step: &Step) -> Option<&'a mut Value> {
    match (value, step) {
        (Value::Object(values), Step::Attribute(name)) | (Value::Map(values), Step::Key(name)) => values.get_mut(name),
        (Value::List(values) | Value::Set(values) | Value::Tuple(values), Step::Index(index)) => {
            values.get_mut(usize::try_from(*index).ok()?)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Value {
        Value::object([("a", Value::Bool(true)), ("b", value)])
    }

    /// What is left of `b`, of this type, and where its gaps are.
    fn left(value: Value, ty: Type) -> (Value, Vec<String>) {
        let (closed, gaps) = closed(object(value), &Type::object([("a", Type::Bool), ("b", ty)]));
        assert_eq!(attribute(&closed, "a"), Value::Bool(true), "what is whole stays");
        (attribute(&closed, "b"), gaps.iter().map(ToString::to_string).collect())
    }

    fn attribute(object: &Value, name: &str) -> Value {
        crate::plan::at(object, &Path::attribute(name)).cloned().unwrap_or(Value::Null)
    }

    #[test]
    fn what_is_whole_has_no_gaps() {
        let value = Value::List(vec![Value::string("x"), Value::Null]);
        assert_eq!(left(value.clone(), Type::list(Type::String)), (value, vec![]));
    }

    #[test]
    fn what_is_open_is_null_wherever_it_is() {
        let (null, open) = (|| Value::Null, Value::unknown);
        let text = || Value::string("x");
        let map = |value| Value::Map([("k".to_owned(), value)].into());
        let dynamic = |value| Value::Dynamic(Box::new((Type::String, value)));
        for (value, ty, closed, gap) in [
            (open(), Type::String, null(), "b"),
            (Value::List(vec![text(), open()]), Type::list(Type::String), Value::List(vec![text(), null()]), "b[1]"),
            (Value::set([text(), open()]), Type::set(Type::String), Value::set([null(), text()]), "b[0]"),
            (map(open()), Type::map(Type::String), map(null()), "b[\"k\"]"),
            (dynamic(open()), Type::Dynamic, dynamic(null()), "b"),
        ] {
            assert_eq!(left(value, ty), (closed, vec![gap.to_owned()]));
        }
    }

    #[test]
    fn what_does_not_fit_is_null_and_what_stands_beside_it_stays() {
        let (text, number) = (|| Value::string("x"), || Value::Number(1_i64.into()));
        let pair = |first, second| Value::object([("c", first), ("d", second)]);
        let ty = Type::list(Type::object([("c", Type::String), ("d", Type::String)]));
        let value = Value::List(vec![pair(text(), number()), pair(Value::Bool(true), text())]);
        let expected = Value::List(vec![pair(text(), Value::Null), pair(Value::Null, text())]);
        assert_eq!(left(value, ty.clone()), (expected, vec!["b[0].d".to_owned(), "b[1].c".to_owned()]));
        let half = Value::List(vec![Value::object([("c", text())]), pair(text(), text())]);
        let expected = Value::List(vec![Value::Null, pair(text(), text())]);
        assert_eq!(left(half, ty), (expected, vec!["b[0]".to_owned()]));
        assert_eq!(left(Value::set([text(), number()]), Type::set(Type::String)).1.len(), 1);
        assert_eq!(left(text(), Type::Dynamic), (Value::Null, vec!["b".to_owned()]));
    }

    #[test]
    fn what_is_no_object_is_one_gap() {
        assert_eq!(closed(Value::Bool(true), &Type::object([("a", Type::Bool)])), (Value::Null, vec![Path::default()]));
    }
}
