//! The checks that a schema alone can make: exactly one of a group, validators, write-only support, deprecation.

use std::collections::BTreeMap;

use tfplugin::{Diagnostic, Path, Value};

use crate::diagnostics::Diagnostics;
use crate::field::Field;
use crate::plan;

/// Judges a configuration; what is unknown is left for later.
pub fn validate(fields: &[Field], config: &Value, write_only_allowed: bool) -> Diagnostics {
    let mut found = Diagnostics::default();
    validate_object(fields, config, &Path::default(), write_only_allowed, &mut found);
    found.extend(alike(fields, config));
    found
}

fn validate_object(fields: &[Field], value: &Value, path: &Path, write_only_allowed: bool, found: &mut Diagnostics) {
    let Value::Object(object) = value else { return };
    one_of(fields, object, path, found);
    for field in fields {
        let value = object.get(&field.name).unwrap_or(&Value::Null);
        let path = path.clone().then(&field.name);
        if value.is_null() && field.required {
            found.push(missing(&path));
        }
        if value.is_null() || value.is_unknown() {
            continue;
        }
        null_elements(value, &path, found);
        if field.write_only && !write_only_allowed {
            found.push(unsupported_write_only(&path));
        }
        for validator in &field.validators {
            found.extend(validator(value, &path));
        }
        if let Some((_, fields)) = field.nested() {
            validate_elements(fields, value, &path, write_only_allowed, found);
        }
    }
}

/// The CLIs refuse an argument that is left out, and let one through that is null.
fn missing(path: &Path) -> Diagnostic {
    let detail = format!("`{path}` is required, and it is null.");
    Diagnostic::error("Missing required argument", detail).at(path.clone())
}

/// A null in a list or a set stands for nothing.
fn null_elements(value: &Value, path: &Path, found: &mut Diagnostics) {
    let (Value::List(values) | Value::Set(values)) = value else { return };
    if let Some(index) = values.iter().position(Value::is_null) {
        let path = if matches!(value, Value::List(_)) { path.clone().index(index) } else { path.clone() };
        let detail = format!("`{path}` holds null, which stands for nothing. Leave it out.");
        found.push(Diagnostic::error("Null element", detail).at(path));
    }
}

fn validate_elements(fields: &[Field], value: &Value, path: &Path, write_only_allowed: bool, found: &mut Diagnostics) {
    match value {
        Value::List(values) => {
            for (index, value) in values.iter().enumerate() {
                validate_object(fields, value, &path.clone().index(index), write_only_allowed, found);
            }
        }
        // A path can't name an element of a set: what is wrong in one is shown at the set.
        Value::Set(values) => {
            for value in values {
                validate_object(fields, value, path, write_only_allowed, found);
            }
        }
        Value::Map(values) => {
            for (key, value) in values {
                validate_object(fields, value, &path.clone().key(key), write_only_allowed, found);
            }
        }
        other => validate_object(fields, other, path, write_only_allowed, found),
    }
}

fn unsupported_write_only(path: &Path) -> Diagnostic {
    Diagnostic::error(
        "Write-only attributes are not supported here",
        format!(
            "`{path}` is write-only, and this version of the command would store it in the state. \
             Use Terraform 1.11 or OpenTofu 1.11 or newer, or give the secret another way."
        ),
    )
    .at(path.clone())
}

/// Exactly one field of each group is set; an unknown one may turn out either way.
fn one_of(fields: &[Field], object: &BTreeMap<String, Value>, path: &Path, found: &mut Diagnostics) {
    let mut groups: BTreeMap<&str, Vec<&Field>> = BTreeMap::new();
    for field in fields {
        if let Some(group) = field.one_of {
            groups.entry(group).or_default().push(field);
        }
    }
    for (group, members) in groups {
        let names = members.iter().map(|field| format!("`{}`", field.name)).collect::<Vec<_>>().join(", ");
        let value = |field: &Field| object.get(&field.name).unwrap_or(&Value::Null);
        let set: Vec<_> =
            members.iter().filter(|field| !value(field).is_null() && !value(field).is_unknown()).collect();
        let open = members.iter().any(|field| value(field).is_unknown());
        if set.is_empty() && !open {
            found.push(place(
                Diagnostic::error(format!("No {group}"), format!("Exactly one {group} has to be set, of: {names}.")),
                path,
            ));
        }
        if let [first, second, ..] = set.as_slice() {
            found.push(
                Diagnostic::error(
                    format!("More than one {group}"),
                    format!(
                        "Exactly one {group} has to be set; here are `{}` and `{}`. Use one resource for each.",
                        first.name, second.name
                    ),
                )
                .at(path.clone().then(&second.name)),
            );
        }
    }
}

fn place(diagnostic: Diagnostic, path: &Path) -> Diagnostic {
    if path.0.is_empty() { diagnostic } else { diagnostic.at(path.clone()) }
}

/// Groups of which it is not known yet which field is set, as errors: what a plan can't go on with.
pub fn undecided(fields: &[Field], config: &Value) -> Diagnostics {
    let mut found = Diagnostics::default();
    objects(fields, config, &Path::default(), &mut |fields, object, path| {
        let open = |field: &&Field| field.one_of.is_some() && object.get(&field.name).is_some_and(Value::is_unknown);
        found.extend(fields.iter().filter(open).map(|field| open_choice(field, path)));
    });
    found
}

fn open_choice(field: &Field, path: &Path) -> Diagnostic {
    let group = field.one_of.unwrap_or_default();
    Diagnostic::error(
        format!("The {group} is not known yet"),
        format!(
            "Which {group} is used has to be known while planning, and whether `{}` is null is not. \
             Decide it with a value that is known, like a variable.",
            field.name
        ),
    )
    .at(path.clone().then(&field.name))
}

/// Elements of sets that defaults make the same, as errors: a plan may not have fewer of them than the configuration.
pub fn alike(fields: &[Field], config: &Value) -> Diagnostics {
    let mut found = Diagnostics::default();
    objects(fields, config, &Path::default(), &mut |fields, object, path| {
        for field in fields {
            let (Some((_, fields)), Some(Value::Set(values))) = (field.nested(), object.get(&field.name)) else {
                continue;
            };
            let known = values.iter().filter(|value| value.is_wholly_known());
            let mut filled: Vec<_> = known.map(|value| plan::prepare(fields, None, value, &Value::Null)).collect();
            filled.sort();
            if filled.windows(2).any(|pair| pair[0] == pair[1]) {
                found.push(twice(&path.clone().then(&field.name)));
            }
        }
    });
    found
}

fn twice(path: &Path) -> Diagnostic {
    Diagnostic::error(
        "The same element twice",
        format!(
            "Two elements of `{path}` are the same: one of them writes out what is the default, the other leaves it out. \
             Remove one."
        ),
    )
    .at(path.clone())
}

/// What is done with a known object, its fields, and where it stands.
type Visit<'a> = dyn FnMut(&[Field], &BTreeMap<String, Value>, &Path) + 'a;

/// Calls `visit` for every known object, with its fields; those in a set stand at the set.
fn objects(fields: &[Field], value: &Value, path: &Path, visit: &mut Visit<'_>) {
    match value {
        Value::Object(object) => {
            visit(fields, object, path);
            for field in fields {
                if let (Some((_, fields)), Some(value)) = (field.nested(), object.get(&field.name)) {
                    objects(fields, value, &path.clone().then(&field.name), visit);
                }
            }
        }
        Value::List(values) => {
            for (index, value) in values.iter().enumerate() {
                objects(fields, value, &path.clone().index(index), visit);
            }
        }
        Value::Set(values) => values.iter().for_each(|value| objects(fields, value, path, visit)),
        Value::Map(values) => {
            values.iter().for_each(|(key, value)| objects(fields, value, &path.clone().key(key), visit));
        }
        _ => {}
    }
}
