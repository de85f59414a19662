//! The rules of everything else that gives a state or a result: read, upgrade, move, import, data sources, functions.

use tfplugin::{Function, Path, Schema, Value};

use super::walk::{check_known, check_type, check_write_only};
use super::{Rule, Violation};

/// One call of ReadResource: null says that it is gone.
pub fn check_read(schema: &Schema, new_state: &Value) -> Vec<Violation> {
    if new_state.is_null() { Vec::new() } else { state(schema, new_state) }
}

/// One call of UpgradeResourceState.
pub fn check_upgrade(schema: &Schema, upgraded: &Value) -> Vec<Violation> {
    state(schema, upgraded)
}

/// One call of MoveResourceState that reported no error.
pub fn check_move(schema: &Schema, moved: &Value) -> Vec<Violation> {
    if moved.is_null() {
        return vec![Violation::new(Rule::AppliedExistence, &Path::default(), "a move without a state")];
    }
    state(schema, moved)
}

/// One call of ImportResourceState that reported no error, for an `import` block: type names and states.
pub fn check_import(type_name: &str, schema: &Schema, imported: &[(String, Value)]) -> Vec<Violation> {
    let root = Path::default();
    match imported {
        [(name, _)] if name != type_name => {
            vec![Violation::new(Rule::Import, &root, format!("{type_name} was asked for, and {name:?} was imported"))]
        }
        [(_, Value::Null)] => vec![Violation::new(Rule::Import, &root, "an imported object that is null")],
        [(_, imported)] => state(schema, imported),
        more => vec![Violation::new(Rule::Import, &root, format!("{} imported objects instead of one", more.len()))],
    }
}

/// One call of ReadDataSource that reported no error.
pub fn check_data(schema: &Schema, answer: &Value) -> Vec<Violation> {
    if answer.is_null() {
        return vec![Violation::new(Rule::DataSource, &Path::default(), "no answer")];
    }
    state(schema, answer)
}

/// Two calls of CallFunction with the same arguments.
pub fn check_function(signature: &Function, first: &Value, second: &Value) -> Vec<Violation> {
    let mut found = check_type(first, &signature.result);
    if first != second {
        let message = format!("{first:?} at one time, {second:?} at another");
        found.push(Violation::new(Rule::Function, &Path::default(), message));
    }
    found
}

fn state(schema: &Schema, value: &Value) -> Vec<Violation> {
    let mut found = check_type(value, &schema.ty());
    if found.is_empty() {
        check_known(value, &mut found);
        check_write_only(&schema.attributes, value, &Path::default(), &mut found);
    }
    found
}

#[cfg(test)]
mod tests {
    use tfplugin::Type;

    use super::super::example::{broken, object, schema, text, value};
    use super::*;

    fn example() -> Schema {
        schema(vec![value("a", "computed", Type::String), value("b_wo", "optional write_only", Type::String)])
    }

    fn of(a: Value, b: Value) -> Value {
        object([("a", a), ("b_wo", b)])
    }

    #[test]
    fn every_state_is_wholly_known_typed_and_without_write_only_values() {
        for check in [check_read, check_upgrade, check_move, check_data] {
            assert_eq!(check(&example(), &of(text("x"), Value::Null)), []);
            let unknown = check(&example(), &of(Value::unknown(), Value::Null));
            assert_eq!(broken(&unknown), [(Rule::WhollyKnown, "a".to_owned())]);
            let stored = check(&example(), &of(text("x"), text("y")));
            assert_eq!(broken(&stored), [(Rule::WriteOnly, "b_wo".to_owned())]);
            let odd = check(&example(), &of(Value::Bool(true), Value::Null));
            assert_eq!(broken(&odd), [(Rule::Type, "a".to_owned())]);
        }
    }

    #[test]
    fn only_a_read_may_find_nothing() {
        assert_eq!(check_read(&example(), &Value::Null), []);
        assert_eq!(broken(&check_move(&example(), &Value::Null)), [(Rule::AppliedExistence, String::new())]);
        assert_eq!(broken(&check_data(&example(), &Value::Null)), [(Rule::DataSource, String::new())]);
    }

    #[test]
    fn an_import_gives_one_object_of_the_type() {
        let state = || of(text("x"), Value::Null);
        let named = |name: &str, state: Value| (name.to_owned(), state);
        let check = |imported: &[(String, Value)]| broken(&check_import("dr_x", &example(), imported));
        assert_eq!(check(&[named("dr_x", state())]), []);
        for wrong in [
            vec![],
            vec![named("dr_y", state())],
            vec![named("", state())],
            vec![named("dr_x", Value::Null)],
            vec![named("dr_x", state()), named("dr_x", state())],
        ] {
            assert_eq!(check(&wrong), [(Rule::Import, String::new())], "{wrong:?}");
        }
    }

    #[test]
    fn a_function_is_pure_and_keeps_its_type() {
        let signature = Function {
            summary: String::new(),
            description: String::new(),
            parameters: Vec::new(),
            variadic: None,
            result: Type::String,
        };
        assert_eq!(check_function(&signature, &text("x"), &text("x")), []);
        let impure = check_function(&signature, &text("x"), &text("y"));
        assert_eq!(broken(&impure), [(Rule::Function, String::new())]);
        let odd = check_function(&signature, &Value::Bool(true), &Value::Bool(true));
        assert_eq!(broken(&odd), [(Rule::Type, String::new())]);
    }
}
