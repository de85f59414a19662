//! One attribute as a resource declares it: its schema, and the rules that hold for it.

use tfplugin::{Attribute, AttributeKind, Diagnostic, Nesting, Path, Type, Value};

/// Judges a known, non-null value; `path` is where it stands.
pub type Validator = fn(value: &Value, path: &Path) -> Vec<Diagnostic>;

/// Whether two known, non-null values mean the same.
pub type Equality = fn(left: &Value, right: &Value) -> bool;

/// What a field holds.
#[derive(Debug, Clone)]
pub enum FieldKind {
    /// A value of a type.
    Value(Type),
    /// Objects with fields of their own.
    Nested {
        /// How often.
        nesting: Nesting,
        /// The fields of each object.
        fields: Vec<Field>,
    },
}

/// One attribute, and the rules that hold for it.
#[derive(Debug, Clone)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: FieldKind,
    /// Markdown.
    pub description: String,
    /// It has to be configured.
    pub required: bool,
    /// It may be configured.
    pub optional: bool,
    /// The provider may set it.
    pub computed: bool,
    /// Its value is hidden from output, and kept out of every message.
    pub sensitive: bool,
    /// Its value is never stored.
    pub write_only: bool,
    /// Why it should no longer be used.
    pub deprecated: Option<String>,
    /// Its value when the configuration leaves it out.
    pub default: Option<Value>,
    /// A change of it needs a new object.
    pub requires_replace: bool,
    /// What judges its value.
    pub validators: Vec<Validator>,
    /// When two spellings mean the same.
    pub equality: Option<Equality>,
    /// The group of which exactly one field has to be set.
    pub one_of: Option<&'static str>,
}

impl Field {
    /// A field that nothing is said about yet.
    pub fn new(name: &str, kind: FieldKind, description: &str) -> Self {
        Field {
            name: name.to_owned(),
            kind,
            description: description.to_owned(),
            required: false,
            optional: false,
            computed: false,
            sensitive: false,
            write_only: false,
            deprecated: None,
            default: None,
            requires_replace: false,
            validators: Vec::new(),
            equality: None,
            one_of: None,
        }
    }

    /// The fields inside, if it holds objects.
    pub fn nested(&self) -> Option<(Nesting, &[Field])> {
        match &self.kind {
            FieldKind::Value(_) => None,
            FieldKind::Nested { nesting, fields } => Some((*nesting, fields)),
        }
    }

    /// What the provider alone sets is computed all the way down, whatever the model of its objects says elsewhere.
    #[must_use]
    pub fn settled(mut self) -> Self {
        if self.computed
            && !self.optional
            && let FieldKind::Nested { nesting, fields } = self.kind
        {
            let fields = fields.into_iter().map(Field::output).collect();
            self.kind = FieldKind::Nested { nesting, fields };
        }
        self
    }

    fn output(mut self) -> Self {
        self.required = false;
        self.optional = false;
        self.computed = true;
        self.default = None;
        self.validators.clear();
        self.one_of = None;
        self.settled()
    }

    /// Its description, with the default that a reader would otherwise have to look for.
    fn described(&self) -> String {
        match &self.default {
            None => self.description.clone(),
            Some(default) => format!("{} Defaults to `{}`.", self.description, spelled(default)),
        }
    }

    /// Its schema.
    pub fn attribute(&self) -> Attribute {
        Attribute {
            name: self.name.clone(),
            kind: match &self.kind {
                FieldKind::Value(ty) => AttributeKind::Value(ty.clone()),
                FieldKind::Nested { nesting, fields } => AttributeKind::Nested {
                    nesting: *nesting,
                    attributes: fields.iter().map(Field::attribute).collect(),
                },
            },
            description: self.described(),
            required: self.required,
            optional: self.optional,
            computed: self.computed,
            sensitive: self.sensitive,
            write_only: self.write_only,
            deprecated: self.deprecated.clone(),
        }
    }
}

/// The type of an object of these fields.
pub fn object_type(fields: &[Field]) -> Type {
    Type::object(fields.iter().map(|field| (field.name.clone(), field.attribute().ty())))
}

/// A default as a configuration would spell it.
fn spelled(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::List(values) | Value::Set(values) | Value::Tuple(values) => {
            let elements = values.iter().map(|value| match value {
                Value::String(text) => format!("{text:?}"),
                other => spelled(other),
            });
            format!("[{}]", elements.collect::<Vec<_>>().join(", "))
        }
        _ => "null".to_owned(),
    }
}
