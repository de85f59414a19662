//! The rules of a plan.

use tfplugin::{Attribute, AttributeKind, Nesting, Path, Schema, Value};

use super::apply::compatible;
use super::refined::same;
use super::walk::{attribute, check_type, check_write_only, elements, entries};
use super::{Rule, Violation};
use crate::plan;

/// What a plan comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    NoOp,
    /// A new object.
    Create,
    /// The same object, changed.
    Update,
    /// A new object in the place of the old one.
    Replace,
    /// No object any more.
    Delete,
}

/// The action that a CLI makes of a plan.
pub fn action(prior: &Value, planned: &Value, requires_replace: &[Path]) -> Action {
    if prior.is_null() {
        return if planned.is_null() { Action::NoOp } else { Action::Create };
    }
    if planned.is_null() {
        return Action::Delete;
    }
    if same(prior, planned) {
        return Action::NoOp;
    }
    let changes = |path: &Path| plan::at(prior, path) != plan::at(planned, path);
    if requires_replace.iter().any(changes) { Action::Replace } else { Action::Update }
}

/// One call of PlanResourceChange: `proposed` is null for a destroy, `prior` for a create.
pub fn check_plan(
    schema: &Schema,
    prior: &Value,
    config: &Value,
    proposed: &Value,
    planned: &Value,
    requires_replace: &[Path],
) -> Vec<Violation> {
    let root = Path::default();
    if proposed.is_null() {
        let left = (!planned.is_null())
            .then(|| Violation::new(Rule::PlannedExistence, &root, "a destroy that leaves something"));
        return left.into_iter().collect();
    }
    if planned.is_null() {
        return vec![Violation::new(Rule::PlannedExistence, &root, "planned for absence, though it is configured")];
    }
    let mut found = check_type(planned, &schema.ty());
    if !found.is_empty() {
        return found;
    }
    check_write_only(&schema.attributes, planned, &root, &mut found);
    object(&schema.attributes, prior, config, planned, &root, &mut found);
    if !prior.is_null() {
        for path in requires_replace {
            if plan::at(prior, path).is_none() && plan::at(planned, path).is_none() {
                found.push(Violation::new(Rule::ReplacePath, path, "a path that leads nowhere needs a new object"));
            }
        }
    }
    found
}

/// The plan at apply time, when all of the configuration is known, against the plan that the user saw.
pub fn check_second_plan(
    schema: &Schema,
    first: &Value,
    second: &Value,
    (first_action, second_action): (Action, Action),
) -> Vec<Violation> {
    let root = Path::default();
    let mut found = Vec::new();
    if first_action != second_action && (first_action, second_action) != (Action::Update, Action::NoOp) {
        let message = format!("the plan was to {first_action:?}, and has become {second_action:?}");
        found.push(Violation::new(Rule::FinalPlan, &root, message));
    }
    let mut changed = Vec::new();
    compatible(&schema.ty(), first, second, &root, &mut changed);
    let broken = |violation: Violation| Violation { rule: Rule::FinalPlan, ..violation };
    found.extend(changed.into_iter().map(broken));
    found
}

fn object(
    attributes: &[Attribute],
    prior: &Value,
    config: &Value,
    planned: &Value,
    path: &Path,
    found: &mut Vec<Violation>,
) {
    for it in attributes {
        let of = |object: &Value| attribute(object, &it.name);
        value(it, &of(prior), &of(config), &of(planned), &path.clone().then(&it.name), found);
    }
}

fn value(
    attribute: &Attribute,
    prior: &Value,
    config: &Value,
    planned: &Value,
    path: &Path,
    found: &mut Vec<Violation>,
) {
    let kept = !prior.is_null() && !config.is_null() && same(planned, prior);
    let free = attribute.computed && (!attribute.optional || config.is_null());
    // A write-only value is not in a plan, whatever is configured: that was looked at before.
    if same(planned, config) || kept || free || attribute.write_only {
        return;
    }
    if config.is_null() {
        found.push(Violation::new(
            Rule::ConfiguredValue,
            path,
            format!("not configured and not computed, but planned as {planned:?}"),
        ));
        return;
    }
    match &attribute.kind {
        AttributeKind::Nested { nesting, attributes } => {
            nested(*nesting, attributes, prior, config, planned, path, found);
        }
        AttributeKind::Value(_) => {
            let message = format!("configured as {config:?}, was {prior:?}, but planned as {planned:?}");
            found.push(Violation::new(Rule::ConfiguredValue, path, message));
        }
    }
}

fn nested(
    nesting: Nesting,
    attributes: &[Attribute],
    prior: &Value,
    config: &Value,
    planned: &Value,
    path: &Path,
    found: &mut Vec<Violation>,
) {
    let mut wrong = |message: &str| found.push(Violation::new(Rule::NestedObjects, path, message));
    match (planned, config) {
        (Value::Null, _) => return wrong("planned for absence, though it is configured"),
        (Value::Unknown(_), _) => return wrong("planned as unknown, though it is configured"),
        (_, Value::Unknown(_)) => return wrong("planned as known, though its configuration is unknown"),
        _ => {}
    }
    let null = Value::Null;
    let mut element = |prior: Option<&Value>, config: &Value, planned: &Value, path: Path| {
        if config.is_null() != planned.is_null() {
            found.push(Violation::new(Rule::NestedObjects, &path, "null in one of configuration and plan"));
        } else if !config.is_null() {
            object(attributes, prior.unwrap_or(&null), config, planned, &path, found);
        }
    };
    match nesting {
        Nesting::Single => element(Some(prior), config, planned, path.clone()),
        Nesting::List => {
            let (before, wanted, values) = (elements(prior), elements(config), elements(planned));
            if wanted.len() != values.len() {
                return wrong_count(wanted.len(), values.len(), path, found);
            }
            for (index, (config, planned)) in wanted.iter().zip(values).enumerate() {
                element(before.get(index), config, planned, path.clone().index(index));
            }
        }
        Nesting::Map => {
            let (Some(wanted), Some(values)) = (entries(config), entries(planned)) else { return };
            if !wanted.keys().eq(values.keys()) {
                found.push(Violation::new(Rule::NestedObjects, path, "planned under other keys than configured"));
                return;
            }
            for (key, config) in wanted {
                let before = entries(prior).and_then(|before| before.get(key));
                element(before, config, &values[key], path.clone().key(key));
            }
        }
        // Elements of a set have nothing to tell them apart by, so only their number is looked at.
        Nesting::Set => {
            let (wanted, values) = (elements(config).len(), elements(planned).len());
            let least = if planned.is_wholly_known() { values } else { values.min(1) };
            if !(least..=values).contains(&wanted) {
                wrong_count(wanted, values, path, found);
            }
        }
    }
}

fn wrong_count(wanted: usize, planned: usize, path: &Path, found: &mut Vec<Violation>) {
    let message = format!("{wanted} objects are configured, {planned} are planned");
    found.push(Violation::new(Rule::NestedObjects, path, message));
}

#[cfg(test)]
mod tests {
    use tfplugin::{Refinements, Type};

    use super::super::example::{broken, list, map, nested, number, object, schema, text, value};
    use super::*;

    /// A schema with one attribute `a`, and what is found when it was, is configured, and is planned like this.
    fn one(attribute: Attribute, prior: Value, config: Value, planned: Value) -> Vec<(Rule, String)> {
        let schema = schema(vec![attribute]);
        let of = |value| object([("a", value)]);
        broken(&check_plan(&schema, &of(prior), &of(config), &of(config_like(&planned)), &of(planned), &[]))
    }

    /// What is proposed matters only by being there.
    fn config_like(planned: &Value) -> Value {
        planned.clone()
    }

    fn at(rule: Rule, path: &str) -> Vec<(Rule, String)> {
        vec![(rule, path.to_owned())]
    }

    #[test]
    fn a_plan_is_there_exactly_when_there_is_a_configuration() {
        let schema = schema(vec![value("a", "optional", Type::String)]);
        let there = object([("a", text("x"))]);
        let check =
            |config: &Value, planned: &Value| broken(&check_plan(&schema, &there, config, config, planned, &[]));
        assert_eq!(check(&there, &there), []);
        assert_eq!(check(&Value::Null, &Value::Null), []);
        assert_eq!(check(&there, &Value::Null), at(Rule::PlannedExistence, ""));
        assert_eq!(check(&Value::Null, &there), at(Rule::PlannedExistence, ""));
    }

    #[test]
    fn a_configured_value_stays_or_is_kept_as_it_was() {
        let plain = || value("a", "optional", Type::String);
        let both = || value("a", "optional computed", Type::String);
        for (attribute, prior, config, planned, expected) in [
            (plain(), Value::Null, text("x"), text("x"), vec![]),
            (plain(), text("X"), text("x"), text("X"), vec![]),
            (plain(), text("X"), text("x"), text("y"), at(Rule::ConfiguredValue, "a")),
            (plain(), Value::Null, text("x"), Value::unknown(), at(Rule::ConfiguredValue, "a")),
            (plain(), Value::Null, text("x"), Value::Null, at(Rule::ConfiguredValue, "a")),
            (plain(), text("X"), Value::Null, text("X"), at(Rule::ConfiguredValue, "a")),
            (plain(), text("X"), Value::Null, Value::Null, vec![]),
            (plain(), Value::Null, Value::unknown(), text("x"), at(Rule::ConfiguredValue, "a")),
            (plain(), Value::Null, Value::unknown(), Value::unknown(), vec![]),
            (both(), text("X"), Value::Null, text("X"), vec![]),
            (both(), Value::Null, Value::Null, Value::unknown(), vec![]),
            (both(), Value::Null, Value::Null, text("default"), vec![]),
            (both(), Value::Null, text("x"), text("default"), at(Rule::ConfiguredValue, "a")),
            (both(), Value::Null, Value::unknown(), text("default"), at(Rule::ConfiguredValue, "a")),
            (value("a", "computed", Type::String), text("x"), Value::Null, text("y"), vec![]),
        ] {
            assert_eq!(
                one(attribute, prior.clone(), config.clone(), planned.clone()),
                expected,
                "{prior:?} {config:?} {planned:?}"
            );
        }
    }

    #[test]
    fn what_is_known_about_an_unknown_value_makes_no_difference() {
        let refined = Value::Unknown(Refinements { null: Some(false), ..Refinements::default() });
        assert_eq!(one(value("a", "optional", Type::String), Value::Null, refined, Value::unknown()), []);
    }

    #[test]
    fn a_write_only_value_is_never_planned() {
        let attribute = || value("a", "optional write_only", Type::String);
        assert_eq!(one(attribute(), Value::Null, text("x"), Value::Null), []);
        assert_eq!(one(attribute(), Value::Null, text("x"), text("x")), at(Rule::WriteOnly, "a"));
        assert_eq!(one(attribute(), Value::Null, text("x"), Value::unknown()), at(Rule::WriteOnly, "a"));
    }

    #[test]
    fn a_plan_has_exactly_the_type() {
        assert_eq!(one(value("a", "optional", Type::String), Value::Null, text("1"), number(1)), at(Rule::Type, "a"));
        let schema = schema(vec![value("a", "computed", Type::String), value("b", "computed", Type::String)]);
        let config = object([("a", Value::Null), ("b", Value::Null)]);
        let planned = object([("a", Value::Null), ("c", Value::Null)]);
        let found = check_plan(&schema, &Value::Null, &config, &config, &planned, &[]);
        assert_eq!(broken(&found), [(Rule::Type, "c".to_owned()), (Rule::Type, "b".to_owned())]);
    }

    fn inner(name: &str) -> Value {
        object([("name", text(name)), ("id", Value::Null)])
    }

    fn filled(name: &str, id: Value) -> Value {
        object([("name", text(name)), ("id", id)])
    }

    fn holds(nesting: Nesting) -> Attribute {
        let fields = vec![value("name", "required", Type::String), value("id", "computed", Type::String)];
        nested("a", "optional", nesting, fields)
    }

    #[test]
    fn nested_objects_are_planned_where_they_are_configured() {
        for (nesting, config, planned, expected) in [
            (Nesting::Single, inner("x"), filled("x", Value::unknown()), vec![]),
            (Nesting::Single, inner("x"), filled("y", Value::Null), at(Rule::ConfiguredValue, "a.name")),
            (Nesting::Single, inner("x"), Value::Null, at(Rule::NestedObjects, "a")),
            (Nesting::Single, inner("x"), Value::unknown(), at(Rule::NestedObjects, "a")),
            (Nesting::Single, Value::Null, inner("x"), at(Rule::ConfiguredValue, "a")),
            (Nesting::List, list([inner("x")]), list([filled("x", text("1"))]), vec![]),
            (Nesting::List, list([inner("x")]), list([filled("y", text("1"))]), at(Rule::ConfiguredValue, "a[0].name")),
            (Nesting::List, list([inner("x"), inner("y")]), list([inner("x")]), at(Rule::NestedObjects, "a")),
            (Nesting::List, list([inner("x")]), list([Value::Null]), at(Rule::NestedObjects, "a[0]")),
            (Nesting::Map, map([("k", inner("x"))]), map([("k", filled("x", text("1")))]), vec![]),
            (Nesting::Map, map([("k", inner("x"))]), map([("l", inner("x"))]), at(Rule::NestedObjects, "a")),
            (
                Nesting::Map,
                map([("k", inner("x"))]),
                map([("k", inner("y"))]),
                at(Rule::ConfiguredValue, "a[\"k\"].name"),
            ),
            (Nesting::Set, Value::set([inner("x")]), Value::set([filled("x", Value::unknown())]), vec![]),
            (
                Nesting::Set,
                Value::set([inner("x"), inner("y")]),
                Value::set([inner("x")]),
                at(Rule::NestedObjects, "a"),
            ),
            (Nesting::Set, Value::set([inner("x")]), Value::set([]), at(Rule::NestedObjects, "a")),
        ] {
            let found = one(holds(nesting), Value::Null, config.clone(), planned.clone());
            assert_eq!(found, expected, "{config:?} {planned:?}");
        }
    }

    #[test]
    fn a_path_that_needs_a_new_object_leads_somewhere() {
        let schema = schema(vec![value("a", "optional", Type::String)]);
        let value = object([("a", text("x"))]);
        let check = |prior: &Value, path: Path| broken(&check_plan(&schema, prior, &value, &value, &value, &[path]));
        assert_eq!(check(&value, Path::attribute("a")), []);
        assert_eq!(check(&value, Path::attribute("b")), at(Rule::ReplacePath, "b"));
        assert_eq!(check(&Value::Null, Path::attribute("b")), [], "nothing is replaced");
    }

    #[test]
    fn a_second_plan_completes_the_first() {
        let schema = schema(vec![value("a", "optional computed", Type::String)]);
        let check = |first: Value, second: Value, actions| {
            let of = |value| object([("a", value)]);
            broken(&check_second_plan(&schema, &of(first), &of(second), actions))
        };
        let update = (Action::Update, Action::Update);
        assert_eq!(check(Value::unknown(), text("x"), update), []);
        assert_eq!(check(Value::unknown(), Value::unknown(), update), []);
        assert_eq!(check(text("x"), text("y"), update), at(Rule::FinalPlan, "a"));
        assert_eq!(check(text("x"), Value::unknown(), update), at(Rule::FinalPlan, "a"));
        assert_eq!(check(Value::unknown(), text("x"), (Action::Update, Action::NoOp)), []);
        assert_eq!(check(Value::unknown(), text("x"), (Action::NoOp, Action::Update)), at(Rule::FinalPlan, ""));
        assert_eq!(check(Value::unknown(), text("x"), (Action::Update, Action::Replace)), at(Rule::FinalPlan, ""));
    }

    #[test]
    fn a_replacement_counts_only_where_something_changes() {
        let (old, new) = (object([("a", text("x"))]), object([("a", text("y"))]));
        let path = [Path::attribute("a")];
        assert_eq!(action(&old, &new, &path), Action::Replace);
        assert_eq!(action(&old, &new, &[]), Action::Update);
        assert_eq!(action(&old, &old, &path), Action::NoOp);
        assert_eq!(action(&Value::Null, &new, &path), Action::Create);
        assert_eq!(action(&old, &Value::Null, &path), Action::Delete);
    }
}
