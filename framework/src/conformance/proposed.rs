//! What a CLI proposes: the configuration, with what was computed before in the places that it leaves open.

use tfplugin::{Attribute, AttributeKind, Nesting, Path, Schema, Step, Value};

use super::refined::same;
use super::walk::{attribute, elements, entries};
use crate::plan;

/// The proposed new state, exactly as both CLIs compute it; null for a destroy.
pub fn proposed_new_state(schema: &Schema, prior: &Value, config: &Value) -> Value {
    if config.is_null() { Value::Null } else { object(&schema.attributes, prior, config) }
}

fn object(attributes: &[Attribute], prior: &Value, config: &Value) -> Value {
    if !matches!(config, Value::Object(_)) {
        return config.clone();
    }
    let propose = |it: &Attribute| {
        let (before, configured) = (attribute(prior, &it.name), attribute(config, &it.name));
        (it.name.clone(), value(it, &before, &configured))
    };
    Value::Object(attributes.iter().map(propose).collect())
}

fn value(attribute: &Attribute, prior: &Value, config: &Value) -> Value {
    match &attribute.kind {
        // Somebody configured what only a configuration can give, and took it away again.
        AttributeKind::Nested { attributes, .. } if attribute.computed && config.is_null() => {
            if attribute.optional && was_configured(attributes, prior) { Value::Null } else { prior.clone() }
        }
        AttributeKind::Value(_) if attribute.computed && config.is_null() => prior.clone(),
        AttributeKind::Nested { nesting, attributes } => nested(*nesting, attributes, prior, config),
        AttributeKind::Value(_) => config.clone(),
    }
}

fn nested(nesting: Nesting, attributes: &[Attribute], prior: &Value, config: &Value) -> Value {
    match (nesting, config) {
        (Nesting::Single, Value::Object(_)) => object(attributes, prior, config),
        (Nesting::List, Value::List(values)) => {
            let before = elements(prior);
            let each = |(index, value): (usize, &Value)| match before.get(index) {
                Some(before) => object(attributes, before, value),
                None => value.clone(),
            };
            Value::List(values.iter().enumerate().map(each).collect())
        }
        (Nesting::Map, Value::Map(values)) => {
            let before = entries(prior);
            let each = |(key, value): (&String, &Value)| match before.and_then(|before| before.get(key)) {
                Some(before) => (key.clone(), object(attributes, before, value)),
                None => (key.clone(), value.clone()),
            };
            Value::Map(values.iter().map(each).collect())
        }
        (Nesting::Set, Value::Set(values)) => set(attributes, elements(prior), values),
        _ => config.clone(),
    }
}

/// Each element goes with the first that it could have become, which no other has taken.
fn set(attributes: &[Attribute], prior: &[Value], config: &[Value]) -> Value {
    let mut used = vec![false; prior.len()];
    let mut proposed = Vec::new();
    for configured in config {
        let found = (0..prior.len()).find(|&index| !used[index] && derived(attributes, &prior[index], configured));
        proposed.push(match found {
            Some(index) => {
                used[index] = true;
                object(attributes, &prior[index], configured)
            }
            None => object(attributes, &Value::Null, configured),
        });
    }
    Value::set(proposed)
}

/// Whether a nested object holds anything that is never computed.
fn was_configured(attributes: &[Attribute], value: &Value) -> bool {
    match value {
        Value::Object(object) => attributes.iter().any(|it| {
            let Some(value) = object.get(&it.name).filter(|value| !value.is_null()) else { return false };
            match &it.kind {
                _ if !it.computed => true,
                AttributeKind::Nested { attributes, .. } => was_configured(attributes, value),
                AttributeKind::Value(_) => false,
            }
        }),
        Value::List(values) | Value::Set(values) => values.iter().any(|value| was_configured(attributes, value)),
        Value::Map(values) => values.values().any(|value| was_configured(attributes, value)),
        _ => false,
    }
}

/// Whether a stored element could have come from a configured one, with nothing but computed values added.
fn derived(attributes: &[Attribute], prior: &Value, config: &Value) -> bool {
    if same(prior, config) {
        return true;
    }
    match (prior, config) {
        (Value::Object(_), Value::Object(_)) => attributes.iter().all(|it| {
            let (before, configured) = (attribute(prior, &it.name), attribute(config, &it.name));
            if same(&before, &configured) {
                return true;
            }
            match &it.kind {
                AttributeKind::Nested { nesting: Nesting::Set, .. } => false,
                AttributeKind::Nested { attributes, nesting } => {
                    derived_nested(*nesting, attributes, &before, &configured)
                }
                AttributeKind::Value(tfplugin::Type::Set(_)) => false,
                AttributeKind::Value(_) => it.computed && configured.is_null(),
            }
        }),
        _ => false,
    }
}

fn derived_nested(nesting: Nesting, attributes: &[Attribute], prior: &Value, config: &Value) -> bool {
    let each = |path: Path| match (plan::at(prior, &path), plan::at(config, &path)) {
        (Some(prior), Some(config)) => derived(attributes, prior, config),
        _ => false,
    };
    match nesting {
        Nesting::Single => derived(attributes, prior, config),
        Nesting::List => (0..elements(prior).len()).all(|index| each(Path::default().index(index))),
        Nesting::Map => {
            entries(prior).is_some_and(|entries| entries.keys().all(|key| each(Path(vec![Step::Key(key.clone())]))))
        }
        Nesting::Set => false,
    }
}

#[cfg(test)]
mod tests {
    use tfplugin::Type;

    use super::super::example::{list, map, nested, object, schema, text, value};
    use super::*;

    fn one(attribute: Attribute, prior: Value, config: Value) -> Value {
        let of = |value| object([("a", value)]);
        let proposed = proposed_new_state(&schema(vec![attribute]), &of(prior), &of(config));
        super::attribute(&proposed, "a")
    }

    fn element(name: &str, id: Value) -> Value {
        object([("name", text(name)), ("id", id)])
    }

    fn elements_of(nesting: Nesting) -> Attribute {
        let fields = vec![value("name", "optional", Type::String), value("id", "optional computed", Type::String)];
        nested("a", "optional", nesting, fields)
    }

    #[test]
    fn a_destroy_proposes_nothing_and_a_create_the_configuration() {
        let schema = schema(vec![value("a", "optional", Type::String), value("b", "computed", Type::String)]);
        let config = object([("a", text("x")), ("b", Value::Null)]);
        assert_eq!(proposed_new_state(&schema, &config, &Value::Null), Value::Null);
        assert_eq!(proposed_new_state(&schema, &Value::Null, &config), config);
    }

    #[test]
    fn what_is_left_open_stays_as_it_was_computed() {
        for (flags, config, expected) in [
            ("optional", Value::Null, Value::Null),
            ("optional", text("new"), text("new")),
            ("computed", Value::Null, text("old")),
            ("optional computed", Value::Null, text("old")),
            ("optional computed", text("new"), text("new")),
            ("optional computed", Value::unknown(), Value::unknown()),
        ] {
            assert_eq!(one(value("a", flags, Type::String), text("old"), config,), expected, "{flags}");
        }
    }

    #[test]
    fn nested_objects_go_with_the_one_at_their_place() {
        let (old, new) = (element("x", text("1")), element("y", Value::Null));
        let merged = element("y", text("1"));
        assert_eq!(one(elements_of(Nesting::Single), old.clone(), new.clone()), merged);
        let two = list([new.clone(), new.clone()]);
        assert_eq!(one(elements_of(Nesting::List), list([old.clone()]), two), list([merged.clone(), new.clone()]));
        assert_eq!(
            one(
                elements_of(Nesting::Map),
                map([("k", old), ("gone", element("z", text("3")))]),
                map([("k", new.clone()), ("l", new.clone())])
            ),
            map([("k", merged), ("l", new)])
        );
        assert_eq!(one(elements_of(Nesting::Map), Value::Null, Value::unknown()), Value::unknown());
    }

    #[test]
    fn elements_of_a_set_go_with_what_they_could_have_become() {
        let prior = Value::set([element("x", text("1")), element("y", text("2"))]);
        let config = Value::set([element("y", Value::Null), element("z", Value::Null)]);
        let expected = Value::set([element("y", text("2")), element("z", Value::Null)]);
        assert_eq!(one(elements_of(Nesting::Set), prior, config), expected);
    }

    #[test]
    fn an_element_of_a_set_is_used_once() {
        let fields =
            vec![value("name", "optional computed", Type::String), value("id", "optional computed", Type::String)];
        let prior = Value::set([element("x", text("1"))]);
        let only_id = object([("name", Value::Null), ("id", text("1"))]);
        let config = Value::set([element("x", Value::Null), only_id]);
        let proposed = one(nested("a", "optional", Nesting::Set, fields), prior, config);
        assert_eq!(elements(&proposed).len(), 2, "{proposed:?}");
    }

    #[test]
    fn an_object_that_was_configured_is_not_kept_when_it_is_taken_away() {
        let fields = |flags| vec![value("name", flags, Type::String), value("id", "computed", Type::String)];
        let whole = |flags| nested("a", "optional computed", Nesting::Single, fields(flags));
        assert_eq!(one(whole("optional"), element("x", text("1")), Value::Null), Value::Null);
        let kept = element("x", text("1"));
        assert_eq!(one(whole("optional computed"), kept.clone(), Value::Null), kept);
    }
}
