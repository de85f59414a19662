//! The rules of schemas: one that breaks them disables the whole provider, or can't be used.

use std::collections::BTreeSet;

use tfplugin::{Attribute, AttributeKind, Function, Nesting, Path, Schema, Type};

use super::{Rule, Violation};

/// What a schema is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The provider's own configuration.
    Provider,
    /// A managed resource.
    Resource,
    /// A data source.
    DataSource,
}

/// Names that mean something else in a block of this kind, so that nobody could set such an attribute.
fn reserved(place: Place) -> &'static [&'static str] {
    match place {
        Place::Provider => &["alias", "version"],
        Place::Resource => &["count", "for_each", "depends_on", "provider", "lifecycle", "connection", "provisioner"],
        Place::DataSource => &["count", "for_each", "depends_on", "provider", "lifecycle"],
    }
}

/// Whether a schema loads, and every attribute in it can be used.
pub fn check_schema(schema: &Schema, place: Place) -> Vec<Violation> {
    let mut found = Vec::new();
    let root = Path::default();
    if schema.version < 0 {
        found.push(Violation::new(Rule::Schema, &root, "a version below 0"));
    }
    for attribute in &schema.attributes {
        if reserved(place).contains(&attribute.name.as_str()) {
            found.push(Violation::new(Rule::Schema, &Path::attribute(&attribute.name), "a name that is reserved"));
        }
    }
    attributes(&schema.attributes, place, false, &root, &mut found);
    found
}

fn attributes(attributes: &[Attribute], place: Place, in_set: bool, path: &Path, found: &mut Vec<Violation>) {
    let mut names = BTreeSet::new();
    for it in attributes {
        let path = path.clone().then(&it.name);
        if !names.insert(it.name.as_str()) {
            found.push(Violation::new(Rule::Schema, &path, "there are two attributes of this name"));
        }
        attribute(it, place, in_set, &path, found);
    }
}

fn attribute(it: &Attribute, place: Place, in_set: bool, path: &Path, found: &mut Vec<Violation>) {
    let mut wrong = |message: &str| found.push(Violation::new(Rule::Schema, path, message));
    let letters = |letter: u8| matches!(letter, b'a'..=b'z' | b'0'..=b'9' | b'_');
    if it.name.is_empty() || !it.name.bytes().all(letters) || it.name.starts_with(|first: char| first.is_ascii_digit())
    {
        wrong("a name that is not of lower case letters, digits and underscores");
    }
    if !it.required && !it.optional && !it.computed {
        wrong("neither required nor optional nor computed");
    }
    if it.required && (it.optional || it.computed) {
        wrong("required, and optional or computed too");
    }
    if it.write_only && it.computed {
        wrong("write-only and computed: nobody would ever see what was computed");
    }
    if it.write_only && (in_set || place != Place::Resource) {
        wrong("write-only in a set, or outside of a managed resource");
    }
    match &it.kind {
        AttributeKind::Value(ty) => {
            if (in_set && ty.has_dynamic()) || dynamic_in_set(ty) {
                wrong("dynamic in a set");
            }
        }
        AttributeKind::Nested { nesting, attributes: inner } => {
            attributes(inner, place, in_set || *nesting == Nesting::Set, path, found);
        }
    }
}

fn dynamic_in_set(ty: &Type) -> bool {
    match ty {
        Type::Set(element) => element.has_dynamic(),
        Type::List(element) | Type::Map(element) => dynamic_in_set(element),
        Type::Tuple(elements) => elements.iter().any(dynamic_in_set),
        Type::Object(object) => object.attributes.values().any(dynamic_in_set),
        Type::String | Type::Number | Type::Bool | Type::Dynamic => false,
    }
}

/// Whether a function's signature loads.
pub fn check_function_signature(name: &str, signature: &Function) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut wrong = |at: &str, message: &str| found.push(Violation::new(Rule::Schema, &Path::attribute(at), message));
    let identifier = |name: &str| {
        let mut letters = name.chars();
        letters.next().is_some_and(|first| first.is_ascii_alphabetic())
            && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_' || letter == '-')
    };
    if !identifier(name) {
        wrong(name, "a function's name has to be an identifier");
    }
    let mut names = BTreeSet::new();
    for parameter in signature.parameters.iter().chain(&signature.variadic) {
        if !identifier(&parameter.name) {
            wrong(&parameter.name, "a parameter's name has to be an identifier");
        }
        if !names.insert(parameter.name.as_str()) {
            wrong(&parameter.name, "there are two parameters of this name");
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use tfplugin::Parameter;

    use super::super::example::{broken, nested, schema, value};
    use super::*;

    fn check(attribute: Attribute) -> Vec<(Rule, String)> {
        broken(&check_schema(&schema(vec![attribute]), Place::Resource))
    }

    fn at(path: &str) -> Vec<(Rule, String)> {
        vec![(Rule::Schema, path.to_owned())]
    }

    #[test]
    fn an_attribute_is_required_or_optional_or_computed() {
        for flags in ["required", "optional", "computed", "optional computed", "optional write_only"] {
            assert_eq!(check(value("a", flags, Type::String)), [], "{flags}");
        }
        for flags in ["", "required optional", "required computed", "computed write_only"] {
            assert!(!check(value("a", flags, Type::String)).is_empty(), "{flags}");
        }
    }

    #[test]
    fn names_are_usable_and_unique() {
        for name in ["", "Name", "with-dash", "1st", "ümlaut", "count", "lifecycle"] {
            assert_eq!(check(value(name, "optional", Type::String)), at(name), "{name:?}");
        }
        let twice = schema(vec![value("a", "optional", Type::String), value("a", "computed", Type::Bool)]);
        assert_eq!(broken(&check_schema(&twice, Place::Resource)), at("a"));
        let count = schema(vec![value("count", "optional", Type::Number)]);
        assert_eq!(check_schema(&count, Place::Provider), []);
        let nested_count = nested("a", "optional", Nesting::Single, count.attributes);
        assert_eq!(check(nested_count), [], "only a block's own arguments are reserved");
    }

    #[test]
    fn nothing_in_a_set_is_dynamic_or_write_only() {
        let of = |nesting, inner: Attribute| check(nested("a", "optional", nesting, vec![inner]));
        let dynamic = || value("b", "optional", Type::Dynamic);
        let secret = || value("b", "optional write_only", Type::String);
        assert_eq!(of(Nesting::List, dynamic()), []);
        assert_eq!(of(Nesting::Set, dynamic()), at("a.b"));
        assert_eq!(of(Nesting::List, secret()), []);
        assert_eq!(of(Nesting::Set, secret()), at("a.b"));
        assert_eq!(of(Nesting::Set, nested("c", "optional", Nesting::List, vec![secret()])), at("a.c.b"));
        assert_eq!(check(value("a", "optional", Type::list(Type::set(Type::Dynamic)))), at("a"));
    }

    #[test]
    fn only_managed_resources_have_write_only_values() {
        let schema = schema(vec![value("a", "optional write_only", Type::String)]);
        assert_eq!(check_schema(&schema, Place::Resource), []);
        assert_eq!(broken(&check_schema(&schema, Place::DataSource)), at("a"));
        assert_eq!(broken(&check_schema(&schema, Place::Provider)), at("a"));
    }

    #[test]
    fn a_version_counts_from_0() {
        let schema = Schema { version: -1, ..Schema::default() };
        assert_eq!(broken(&check_schema(&schema, Place::Resource)), at(""));
    }

    #[test]
    fn a_functions_names_are_identifiers_and_unique() {
        let parameter = |name: &str| Parameter {
            name: name.to_owned(),
            ty: Type::String,
            description: String::new(),
            allow_null: false,
            allow_unknown: false,
        };
        let with = |names: &[&str]| Function {
            summary: String::new(),
            description: String::new(),
            parameters: names.iter().map(|name| parameter(name)).collect(),
            variadic: None,
            result: Type::String,
        };
        assert_eq!(check_function_signature("next_runs", &with(&["cron", "count"])), []);
        assert_eq!(broken(&check_function_signature("next_runs", &with(&["a", "a"]))), at("a"));
        assert_eq!(broken(&check_function_signature("next_runs", &with(&["a b"]))), at("a b"));
        assert_eq!(broken(&check_function_signature("1st", &with(&[]))), at("1st"));
    }
}
