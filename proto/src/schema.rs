//! Schemas of resources, data sources, functions and the provider, apart from any protocol version.

use crate::ty::Type;

/// How often a nested attribute holds its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nesting {
    /// One object.
    Single,
    /// A list of objects.
    List,
    /// A set of objects.
    Set,
    /// A map of objects.
    Map,
}

/// What an attribute holds.
#[derive(Debug, Clone, PartialEq)]
pub enum AttributeKind {
    /// A value of a type.
    Value(Type),
    /// Objects with attributes of their own.
    Nested {
        /// How often.
        nesting: Nesting,
        /// The attributes of each object.
        attributes: Vec<Attribute>,
    },
}

/// One attribute.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: AttributeKind,
    /// Markdown.
    pub description: String,
    /// It has to be configured.
    pub required: bool,
    /// It may be configured.
    pub optional: bool,
    /// The provider may set it.
    pub computed: bool,
    /// Its value is hidden from output.
    pub sensitive: bool,
    /// Its value is never stored.
    pub write_only: bool,
    /// Why it should no longer be used.
    pub deprecated: Option<String>,
}

/// The schema of a resource, a data source, or the provider's configuration.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schema {
    /// The version of the state's layout.
    pub version: i64,
    /// Markdown.
    pub description: String,
    /// Its attributes.
    pub attributes: Vec<Attribute>,
    /// Why it should no longer be used.
    pub deprecated: Option<String>,
}

/// One attribute of a resource's identity.
#[derive(Debug, Clone, PartialEq)]
pub struct IdentityAttribute {
    /// Its name.
    pub name: String,
    /// Its type: a primitive or a list of one.
    pub ty: Type,
    /// Markdown.
    pub description: String,
    /// An import by identity has to give it.
    pub required_for_import: bool,
}

/// The schema of a resource's identity.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IdentitySchema {
    /// The version of its layout.
    pub version: i64,
    /// Its attributes.
    pub attributes: Vec<IdentityAttribute>,
}

/// A parameter of a function.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// Markdown.
    pub description: String,
    /// Null is an argument like any other.
    pub allow_null: bool,
    /// The function is called with unknown arguments too.
    pub allow_unknown: bool,
}

/// A function's signature.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// One sentence.
    pub summary: String,
    /// Markdown.
    pub description: String,
    /// Its parameters, in order.
    pub parameters: Vec<Parameter>,
    /// The parameter that takes all further arguments.
    pub variadic: Option<Parameter>,
    /// The type of its result.
    pub result: Type,
}

impl Attribute {
    /// The type of this attribute's value.
    pub fn ty(&self) -> Type {
        match &self.kind {
            AttributeKind::Value(ty) => ty.clone(),
            AttributeKind::Nested { nesting, attributes } => {
                let object = object_type(attributes);
                match nesting {
                    Nesting::Single => object,
                    Nesting::List => Type::list(object),
                    Nesting::Set => Type::set(object),
                    Nesting::Map => Type::map(object),
                }
            }
        }
    }
}

impl Schema {
    /// The type that the whole value has on the wire.
    pub fn ty(&self) -> Type {
        object_type(&self.attributes)
    }
}

impl IdentitySchema {
    /// The type that an identity has on the wire.
    pub fn ty(&self) -> Type {
        Type::object(self.attributes.iter().map(|attribute| (attribute.name.clone(), attribute.ty.clone())))
    }
}

fn object_type(attributes: &[Attribute]) -> Type {
    Type::object(attributes.iter().map(|attribute| (attribute.name.clone(), attribute.ty())))
}
