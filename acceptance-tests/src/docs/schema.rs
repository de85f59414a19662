//! A schema as Markdown, the way tfplugindocs prints one.

use std::fmt::Write;

use dr_framework::{Field, Nesting, Type};

/// Which of the lists an attribute is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Required,
    /// Of a group exactly one has to be set.
    OneOf,
    Optional,
    ReadOnly,
}

impl Part {
    const ALL: [Part; 4] = [Part::Required, Part::OneOf, Part::Optional, Part::ReadOnly];

    fn of(field: &Field) -> Self {
        match field {
            field if field.one_of.is_some() => Part::OneOf,
            field if field.required => Part::Required,
            field if field.optional => Part::Optional,
            _ => Part::ReadOnly,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Part::Required => "Required",
            Part::OneOf => "Exactly One Of",
            Part::Optional => "Optional",
            Part::ReadOnly => "Read-Only",
        }
    }
}

/// The lists of attributes below a heading, and a section for each attribute that holds objects.
pub fn schema(fields: &[Field]) -> String {
    let mut text = String::from("## Schema\n");
    lists(&mut text, fields, "### ", "");
    nested(&mut text, fields, "");
    text
}

/// The sections of one attribute that holds objects, as on the page of its resource.
pub fn slice(field: &Field) -> String {
    let mut text = String::new();
    if let Some((_, fields)) = field.nested() {
        for (field, line) in rows(fields, "") {
            let mark = if field.required { "(Required) " } else { "" };
            let _ = writeln!(text, "- `{}` {mark}{line}", field.name);
        }
    }
    text
}

fn lists(text: &mut String, fields: &[Field], heading: &str, path: &str) {
    for part in Part::ALL {
        let of_part: Vec<Field> = fields.iter().filter(|field| Part::of(field) == part).cloned().collect();
        if of_part.is_empty() {
            continue;
        }
        let end = if heading.is_empty() { ":" } else { "" };
        let _ = write!(text, "\n{heading}{}{end}\n\n", part.title());
        for (field, line) in rows(&of_part, path) {
            let _ = writeln!(text, "- `{}` {line}", field.name);
        }
    }
}

/// Fields and what is said of them, by name.
fn rows<'a>(fields: &'a [Field], path: &str) -> Vec<(&'a Field, String)> {
    let mut sorted: Vec<&Field> = fields.iter().collect();
    sorted.sort_by(|one, other| one.name.cmp(&other.name));
    sorted.into_iter().map(|field| (field, line(field, path))).collect()
}

fn nested(text: &mut String, fields: &[Field], path: &str) {
    let mut sorted: Vec<&Field> = fields.iter().collect();
    // As in the lists: required first, then by name.
    sorted.sort_by_key(|field| (Part::of(field) as usize, field.name.clone()));
    for field in sorted {
        if let Some((_, inner)) = field.nested() {
            let anchor = anchor(path, &field.name);
            let title = anchor.replace("--", ".");
            let _ = write!(text, "\n<a id=\"nestedatt--{anchor}\"></a>\n### Nested Schema for `{title}`\n");
            lists(text, inner, "", &anchor);
            nested(text, inner, &anchor);
        }
    }
}

fn anchor(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}--{name}") }
}

fn line(field: &Field, path: &str) -> String {
    let mut marks = vec![type_of(field)];
    if field.sensitive {
        marks.push("Sensitive".to_owned());
    }
    if field.write_only {
        marks.push("Write-only".to_owned());
    }
    if field.deprecated.is_some() {
        marks.push("Deprecated".to_owned());
    }
    let mut text = format!("({}) {}", marks.join(", "), sentence(&field.attribute().description));
    if let Some(why) = &field.deprecated {
        let _ = write!(text, " {why}");
    }
    if field.nested().is_some() {
        let _ = write!(text, " (see [below for nested schema](#nestedatt--{}))", anchor(path, &field.name));
    }
    text
}

/// A description on one line.
pub fn sentence(description: &str) -> String {
    description.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn type_of(field: &Field) -> String {
    match field.nested() {
        Some((Nesting::Single, _)) => "Attributes".to_owned(),
        Some((Nesting::List, _)) => "Attributes List".to_owned(),
        Some((Nesting::Set, _)) => "Attributes Set".to_owned(),
        Some((Nesting::Map, _)) => "Attributes Map".to_owned(),
        None => type_name(&field.attribute().ty()),
    }
}

fn type_name(ty: &Type) -> String {
    match ty {
        Type::String => "String".to_owned(),
        Type::Number => "Number".to_owned(),
        Type::Bool => "Boolean".to_owned(),
        Type::Dynamic => "Dynamic".to_owned(),
        Type::List(element) => format!("List of {}", type_name(element)),
        Type::Set(element) => format!("Set of {}", type_name(element)),
        Type::Map(element) => format!("Map of {}", type_name(element)),
        Type::Tuple(_) => "Tuple".to_owned(),
        Type::Object(_) => "Object".to_owned(),
    }
}

/// A type the way the signature of a function spells it.
pub fn signature_type(ty: &Type) -> String {
    match ty {
        Type::String => "string".to_owned(),
        Type::Number => "number".to_owned(),
        Type::Bool => "bool".to_owned(),
        Type::Dynamic => "dynamic".to_owned(),
        Type::List(element) => format!("list of {}", signature_type(element)),
        Type::Set(element) => format!("set of {}", signature_type(element)),
        Type::Map(element) => format!("map of {}", signature_type(element)),
        Type::Tuple(_) => "tuple".to_owned(),
        Type::Object(_) => "object".to_owned(),
    }
}

/// The type of an argument as people read it.
pub fn argument_type(ty: &Type) -> String {
    type_name(ty)
}

#[cfg(test)]
mod tests {
    use dr_framework::{Path, Redactor, Server, Value};
    use dr_resources::provider::Dr;

    use super::*;

    /// The words that a validator names when it is given another one.
    fn words(field: &Field) -> Vec<String> {
        let wrong = match field.attribute().ty() {
            Type::String => Value::string("no-such-word"),
            Type::Set(_) => Value::Set(vec![Value::string("no-such-word")]),
            Type::List(_) => Value::List(vec![Value::string("no-such-word")]),
            _ => return Vec::new(),
        };
        let told = field.validators.iter().flat_map(|check| check(&wrong, &Path::attribute(&field.name)));
        let listed = told.filter(|diagnostic| diagnostic.summary == "Unknown word").filter_map(|diagnostic| {
            let (_, known) = diagnostic.detail.split_once("none of ")?;
            Some(known.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>())
        });
        listed.flatten().collect()
    }

    fn unnamed(fields: &[Field], path: &str, found: &mut Vec<String>, seen: &mut usize) {
        for field in fields {
            let words = words(field);
            *seen += words.len();
            let missing = words.iter().filter(|word| !field.description.contains(&format!("`{word}`")));
            found.extend(missing.map(|word| format!("{path}.{}: {word}", field.name)));
            if let Some((_, inner)) = field.nested() {
                unnamed(inner, &format!("{path}.{}", field.name), found, seen);
            }
        }
    }

    #[test]
    fn every_word_that_an_attribute_allows_is_in_its_description() {
        let redactor = Redactor::default();
        let server = Server::new(Dr::new(redactor.clone()), redactor);
        let (mut found, mut seen) = (Vec::new(), 0);
        for resource in server.resources() {
            unnamed(resource.fields(), resource.type_name(), &mut found, &mut seen);
        }
        assert!(seen > 20, "only {seen} words were found");
        assert!(found.is_empty(), "{found:#?}");
    }

    #[test]
    fn a_row_says_type_default_and_where_to_read_on() {
        let mut field = Field::new("mode", dr_framework::FieldKind::Value(Type::String), "What\nit does.");
        field.optional = true;
        field.sensitive = true;
        field.default = Some(Value::string("normal"));
        assert_eq!(line(&field, ""), "(String, Sensitive) What it does. Defaults to `normal`.");
        let inner = dr_framework::FieldKind::Nested { nesting: Nesting::Map, fields: vec![field] };
        let mut outer = Field::new("drills", inner, "Drills.");
        outer.one_of = Some("engine");
        let text = schema(&[outer]);
        assert!(text.contains("### Exactly One Of\n\n- `drills` (Attributes Map) Drills. (see [below"), "{text}");
        assert!(text.contains("### Nested Schema for `drills`\n\nOptional:\n\n- `mode`"), "{text}");
    }
}
