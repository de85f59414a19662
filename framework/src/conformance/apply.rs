//! The rules of an apply: what there is completes what was planned.

use tfplugin::{Path, Schema, Type, Value};

use super::refined::contradiction;
use super::walk::{check_known, check_type, check_write_only, elements, entries};
use super::{Rule, Violation};

/// One call of ApplyResourceChange that reported no error.
pub fn check_apply(schema: &Schema, planned: &Value, new_state: &Value) -> Vec<Violation> {
    let root = Path::default();
    match (planned.is_null(), new_state.is_null()) {
        (true, true) => return Vec::new(),
        (true, false) => return vec![Violation::new(Rule::AppliedExistence, &root, "still there after its destroy")],
        (false, true) => return vec![Violation::new(Rule::AppliedExistence, &root, "planned, but not there")],
        (false, false) => {}
    }
    let ty = schema.ty();
    let mut found = check_type(new_state, &ty);
    if !found.is_empty() {
        return found;
    }
    check_known(new_state, &mut found);
    check_write_only(&schema.attributes, new_state, &root, &mut found);
    compatible(&ty, planned, new_state, &root, &mut found);
    found
}

/// Whether `actual` completes `planned`.
pub(super) fn compatible(ty: &Type, planned: &Value, actual: &Value, path: &Path, found: &mut Vec<Violation>) {
    let mut wrong = |rule: Rule, message: String| found.push(Violation::new(rule, path, message));
    match (planned, actual) {
        (Value::Unknown(announced), actual) => {
            if let Some(message) = contradiction(announced, actual) {
                wrong(Rule::PlannedValue, message);
            }
        }
        // Without a type of its own, null in a dynamic place announces nothing.
        (Value::Null, _) if *ty == Type::Dynamic => {}
        (Value::Null, Value::Null) => {}
        (Value::Null, actual) => wrong(Rule::PlannedValue, format!("planned as null, but it is {actual:?}")),
        (planned, Value::Null) => wrong(Rule::PlannedValue, format!("planned as {planned:?}, but it is null")),
        (planned, Value::Unknown(_)) => wrong(Rule::PlannedValue, format!("planned as {planned:?}, but it is unknown")),
        (Value::Dynamic(planned), Value::Dynamic(actual)) if planned.0 == actual.0 => {
            compatible(&planned.0, &planned.1, &actual.1, path, found);
        }
        (Value::List(_), Value::List(_)) | (Value::Tuple(_), Value::Tuple(_)) => {
            sequences(ty, elements(planned), elements(actual), path, found);
        }
        (Value::Map(_), Value::Map(_)) => maps(ty, planned, actual, path, found),
        (Value::Set(_), Value::Set(_)) => sets(ty, elements(planned), elements(actual), path, found),
        (Value::Object(planned), Value::Object(actual)) => {
            for (name, planned) in planned {
                let actual = actual.get(name).unwrap_or(&Value::Null);
                compatible(&attribute_type(ty, name), planned, actual, &path.clone().then(name), found);
            }
        }
        (planned, actual) if planned == actual => {}
        (planned, actual) => wrong(Rule::PlannedValue, format!("planned as {planned:?}, but it is {actual:?}")),
    }
}

fn attribute_type(ty: &Type, name: &str) -> Type {
    match ty {
        Type::Object(object) => object.attributes.get(name).cloned().unwrap_or(Type::Dynamic),
        _ => Type::Dynamic,
    }
}

fn element_type(ty: &Type, index: usize) -> Type {
    match ty {
        Type::List(element) | Type::Set(element) | Type::Map(element) => (**element).clone(),
        Type::Tuple(types) => types.get(index).cloned().unwrap_or(Type::Dynamic),
        _ => Type::Dynamic,
    }
}

fn sequences(ty: &Type, planned: &[Value], actual: &[Value], path: &Path, found: &mut Vec<Violation>) {
    if planned.len() != actual.len() {
        let message = format!("{} elements were planned, there are {}", planned.len(), actual.len());
        found.push(Violation::new(Rule::PlannedElements, path, message));
    }
    for (index, (planned, actual)) in planned.iter().zip(actual).enumerate() {
        compatible(&element_type(ty, index), planned, actual, &path.clone().index(index), found);
    }
}

fn maps(ty: &Type, planned: &Value, actual: &Value, path: &Path, found: &mut Vec<Violation>) {
    let (Some(planned), Some(actual)) = (entries(planned), entries(actual)) else { return };
    for (key, planned) in planned {
        let path = path.clone().key(key);
        match actual.get(key) {
            Some(actual) => compatible(&element_type(ty, 0), planned, actual, &path, found),
            None => found.push(Violation::new(Rule::PlannedElements, &path, "the element has vanished")),
        }
    }
    for key in actual.keys().filter(|key| !planned.contains_key(*key)) {
        found.push(Violation::new(Rule::PlannedElements, &path.clone().key(key), "the element has appeared"));
    }
}

/// Each element has one on the other side that it goes with; unknown ones may become one, none may become two.
fn sets(ty: &Type, planned: &[Value], actual: &[Value], path: &Path, found: &mut Vec<Violation>) {
    let element = element_type(ty, 0);
    let fits = |planned: &Value, actual: &Value| {
        let mut problems = Vec::new();
        compatible(&element, planned, actual, path, &mut problems);
        problems.is_empty()
    };
    for value in planned.iter().filter(|value| !actual.iter().any(|other| fits(value, other))) {
        found.push(Violation::new(Rule::PlannedElements, path, format!("the element {value:?} has vanished")));
    }
    for value in actual.iter().filter(|value| !planned.iter().any(|other| fits(other, value))) {
        found.push(Violation::new(Rule::PlannedElements, path, format!("the element {value:?} has appeared")));
    }
    if actual.len() > planned.len() {
        let message = format!("{} elements were planned, there are {}", planned.len(), actual.len());
        found.push(Violation::new(Rule::PlannedElements, path, message));
    }
}

#[cfg(test)]
mod tests {
    use tfplugin::{Attribute, Nesting, Refinements};

    use super::super::example::{broken, list, map, nested, number, object, schema, text, value};
    use super::*;

    fn one(attribute: Attribute, planned: Value, actual: Value) -> Vec<(Rule, String)> {
        broken(&check_apply(&schema(vec![attribute]), &object([("a", planned)]), &object([("a", actual)])))
    }

    fn string() -> Attribute {
        value("a", "optional computed", Type::String)
    }

    fn refined(refinements: Refinements) -> Value {
        Value::Unknown(refinements)
    }

    fn at(rule: Rule, path: &str) -> Vec<(Rule, String)> {
        vec![(rule, path.to_owned())]
    }

    #[test]
    fn an_object_is_there_when_it_was_planned() {
        let schema = schema(vec![string()]);
        let there = object([("a", text("x"))]);
        let check = |planned: &Value, actual: &Value| broken(&check_apply(&schema, planned, actual));
        assert_eq!(check(&there, &there), []);
        assert_eq!(check(&Value::Null, &Value::Null), []);
        assert_eq!(check(&there, &Value::Null), at(Rule::AppliedExistence, ""));
        assert_eq!(check(&Value::Null, &there), at(Rule::AppliedExistence, ""));
    }

    #[test]
    fn what_was_planned_is_what_there_is() {
        for (planned, actual, expected) in [
            (text("x"), text("x"), vec![]),
            (text("x"), text("y"), at(Rule::PlannedValue, "a")),
            (text("x"), Value::Null, at(Rule::PlannedValue, "a")),
            (Value::Null, text("x"), at(Rule::PlannedValue, "a")),
            (Value::Null, Value::Null, vec![]),
            (Value::unknown(), Value::Null, vec![]),
            (Value::unknown(), text("x"), vec![]),
            (Value::unknown(), Value::unknown(), at(Rule::WhollyKnown, "a")),
            (Value::unknown(), number(1), at(Rule::Type, "a")),
        ] {
            assert_eq!(one(string(), planned.clone(), actual.clone()), expected, "{planned:?} {actual:?}");
        }
    }

    #[test]
    fn what_was_announced_about_a_value_holds() {
        let not_null = || refined(Refinements { null: Some(false), ..Refinements::default() });
        assert_eq!(one(string(), not_null(), text("x")), []);
        assert_eq!(one(string(), not_null(), Value::Null), at(Rule::PlannedValue, "a"));

        let prefix = || refined(Refinements { prefix: Some("ab".into()), ..Refinements::default() });
        assert_eq!(one(string(), prefix(), text("abc")), []);
        assert_eq!(one(string(), prefix(), text("bc")), at(Rule::PlannedValue, "a"));

        let above = || refined(Refinements { minimum: Some((3_i64.into(), false)), ..Refinements::default() });
        let count = || value("a", "computed", Type::Number);
        assert_eq!(one(count(), above(), number(4)), []);
        assert_eq!(one(count(), above(), number(3)), at(Rule::PlannedValue, "a"));
        let at_most = || refined(Refinements { maximum: Some((3_i64.into(), true)), ..Refinements::default() });
        assert_eq!(one(count(), at_most(), number(3)), []);
        assert_eq!(one(count(), at_most(), number(4)), at(Rule::PlannedValue, "a"));

        let two =
            || refined(Refinements { minimum_length: Some(2), maximum_length: Some(2), ..Refinements::default() });
        let names = || value("a", "computed", Type::list(Type::String));
        assert_eq!(one(names(), two(), list([text("x"), text("y")])), []);
        assert_eq!(one(names(), two(), list([text("x")])), at(Rule::PlannedValue, "a"));
        assert_eq!(one(names(), two(), list([text("x"), text("y"), text("z")])), at(Rule::PlannedValue, "a"));
    }

    #[test]
    fn no_element_appears_or_vanishes() {
        let names = || value("a", "computed", Type::list(Type::String));
        assert_eq!(one(names(), list([Value::unknown()]), list([text("x")])), []);
        assert_eq!(one(names(), list([text("x")]), list([])), at(Rule::PlannedElements, "a"));
        assert_eq!(one(names(), list([text("x")]), list([text("y")])), at(Rule::PlannedValue, "a[0]"));
        let labels = || value("a", "computed", Type::map(Type::String));
        assert_eq!(one(labels(), map([("k", Value::unknown())]), map([("k", text("x"))])), []);
        assert_eq!(one(labels(), map([("k", text("x"))]), map([])), at(Rule::PlannedElements, "a[\"k\"]"));
        assert_eq!(one(labels(), map([]), map([("k", text("x"))])), at(Rule::PlannedElements, "a[\"k\"]"));
    }

    #[test]
    fn elements_of_a_set_may_become_equal_but_no_more() {
        let names = || value("a", "computed", Type::set(Type::String));
        let unknown = || Value::set([Value::unknown(), Value::unknown()]);
        assert_eq!(one(names(), unknown(), Value::set([text("x")])), []);
        assert_eq!(one(names(), unknown(), Value::set([text("x"), text("y")])), []);
        assert_eq!(
            one(names(), unknown(), Value::set([text("x"), text("y"), text("z")])),
            at(Rule::PlannedElements, "a")
        );
        assert_eq!(
            one(names(), Value::set([text("x")]), Value::set([text("y")])),
            [(Rule::PlannedElements, "a".to_owned()), (Rule::PlannedElements, "a".to_owned())]
        );
    }

    #[test]
    fn write_only_values_stay_out_of_the_state_at_any_depth() {
        let secret = value("secret", "optional write_only", Type::String);
        let attribute = || nested("a", "optional", Nesting::List, vec![secret.clone()]);
        let of = |value| list([object([("secret", value)])]);
        assert_eq!(one(attribute(), of(Value::Null), of(Value::Null)), []);
        assert_eq!(one(attribute(), of(Value::unknown()), of(text("x"))), at(Rule::WriteOnly, "a[0].secret"));
    }

    #[test]
    fn a_dynamic_value_keeps_its_type() {
        let anything = || value("a", "optional computed", Type::Dynamic);
        let dynamic = |ty, value| Value::Dynamic(Box::new((ty, value)));
        let one_as_text = || dynamic(Type::String, text("1"));
        assert_eq!(one(anything(), one_as_text(), one_as_text()), []);
        assert_eq!(one(anything(), one_as_text(), dynamic(Type::Number, number(1))), at(Rule::PlannedValue, "a"));
        assert_eq!(one(anything(), Value::unknown(), dynamic(Type::Number, number(1))), []);
        let unknown_text = dynamic(Type::String, Value::unknown());
        assert_eq!(one(anything(), unknown_text.clone(), one_as_text()), []);
        assert_eq!(one(anything(), unknown_text, dynamic(Type::Number, number(1))), at(Rule::PlannedValue, "a"));
    }

    #[test]
    fn elements_that_turn_out_to_be_of_different_types_are_refused() {
        let attribute = || nested("a", "optional", Nesting::List, vec![value("any", "optional", Type::Dynamic)]);
        let of = |ty, value| object([("any", Value::Dynamic(Box::new((ty, value))))]);
        let alike = list([of(Type::String, text("1")), of(Type::String, text("2"))]);
        assert_eq!(one(attribute(), alike.clone(), alike), []);
        let mixed = list([of(Type::String, text("1")), of(Type::Number, number(2))]);
        assert_eq!(one(attribute(), mixed.clone(), mixed), at(Rule::Type, "a"));
    }
}
