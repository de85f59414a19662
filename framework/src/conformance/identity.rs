//! The rules of identities.

use tfplugin::{IdentitySchema, Path, Type, Value};

use super::walk::{check_known, check_type};
use super::{Rule, Violation};

/// When an identity was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityStage {
    /// In the plan of a new object: it may still be unknown.
    PlannedNew,
    /// With a new object, or one that was just imported.
    New,
    /// In a plan or after a read, of an object that had this identity before.
    Kept,
}

/// An identity, against the one before it.
pub fn check_identity(
    schema: Option<&IdentitySchema>,
    before: Option<&Value>,
    identity: Option<&Value>,
    stage: IdentityStage,
) -> Vec<Violation> {
    let root = Path::default();
    let wrong = |rule, message: &str| vec![Violation::new(rule, &root, message)];
    let (schema, identity) = match (schema, identity) {
        (None, None) => return Vec::new(),
        (None, Some(_)) => return wrong(Rule::Identity, "an identity without a schema for one"),
        // OpenTofu stores what is planned, so what is not known yet is better left out.
        (Some(_), None) if stage == IdentityStage::PlannedNew => return Vec::new(),
        (Some(_), None | Some(Value::Null)) => {
            return wrong(Rule::Identity, "no identity, though there is a schema for one");
        }
        (Some(schema), Some(identity)) => (schema, identity),
    };
    let mut found = check_type(identity, &schema.ty());
    if stage != IdentityStage::PlannedNew {
        check_known(identity, &mut found);
    }
    if stage == IdentityStage::Kept && before.is_some_and(|before| !before.is_null() && before != identity) {
        found.push(Violation::new(Rule::IdentityChange, &root, "the identity changed while the object stayed"));
    }
    found
}

/// The schema of an identity: text, numbers, truths, and lists of them.
pub fn check_identity_schema(schema: &IdentitySchema) -> Vec<Violation> {
    let mut found = Vec::new();
    if schema.version < 0 {
        found.push(Violation::new(Rule::Schema, &Path::default(), "a version below 0"));
    }
    for attribute in &schema.attributes {
        let primitive = |ty: &Type| matches!(ty, Type::String | Type::Number | Type::Bool);
        let fits = match &attribute.ty {
            Type::List(element) => primitive(element),
            ty => primitive(ty),
        };
        if !fits {
            let message = format!("{:?} is not allowed in an identity", attribute.ty);
            found.push(Violation::new(Rule::Schema, &Path::attribute(&attribute.name), message));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use tfplugin::IdentityAttribute;

    use super::super::example::{broken, object, text};
    use super::*;

    fn schema(ty: Type) -> IdentitySchema {
        let attribute =
            IdentityAttribute { name: "id".into(), ty, description: String::new(), required_for_import: true };
        IdentitySchema { version: 0, attributes: vec![attribute] }
    }

    fn id(value: Value) -> Value {
        object([("id", value)])
    }

    #[test]
    fn an_identity_is_there_when_there_is_a_schema_for_it() {
        let schema = schema(Type::String);
        let check = |schema: Option<&IdentitySchema>, identity: Option<&Value>| {
            broken(&check_identity(schema, None, identity, IdentityStage::New))
        };
        let missing = [(Rule::Identity, String::new())];
        assert_eq!(check(None, None), []);
        assert_eq!(check(Some(&schema), Some(&id(text("x")))), []);
        assert_eq!(check(Some(&schema), None), missing);
        assert_eq!(check(None, Some(&id(text("x")))), missing);
    }

    #[test]
    fn only_the_plan_of_a_new_object_leaves_it_open() {
        let schema = schema(Type::String);
        let open = id(Value::unknown());
        let check = |stage| broken(&check_identity(Some(&schema), None, Some(&open), stage));
        assert_eq!(check(IdentityStage::PlannedNew), []);
        assert_eq!(check(IdentityStage::New), [(Rule::WhollyKnown, "id".to_owned())]);
        assert_eq!(check(IdentityStage::Kept), [(Rule::WhollyKnown, "id".to_owned())]);
    }

    #[test]
    fn the_same_object_keeps_its_identity() {
        let schema = schema(Type::String);
        let check = |stage| broken(&check_identity(Some(&schema), Some(&id(text("x"))), Some(&id(text("y"))), stage));
        assert_eq!(check(IdentityStage::Kept), [(Rule::IdentityChange, String::new())]);
        assert_eq!(check(IdentityStage::New), [], "a new object has one of its own");
        let first = check_identity(Some(&schema), None, Some(&id(text("y"))), IdentityStage::Kept);
        assert_eq!(first, [], "there was none stored");
    }

    #[test]
    fn an_identity_holds_primitives_and_lists_of_them() {
        assert_eq!(check_identity_schema(&schema(Type::list(Type::Number))), []);
        for ty in [Type::map(Type::String), Type::set(Type::String), Type::object([("x", Type::String)]), Type::Dynamic]
        {
            assert_eq!(broken(&check_identity_schema(&schema(ty))), [(Rule::Schema, "id".to_owned())]);
        }
        let negative = IdentitySchema { version: -1, ..schema(Type::String) };
        assert_eq!(broken(&check_identity_schema(&negative)), [(Rule::Schema, String::new())]);
    }
}
