//! Schemas.

use super::{MessageError, decode_type};
use crate::codec::MAX_DEPTH;
use crate::schema::{Attribute, AttributeKind, Nesting, Schema};
use crate::type_json;
use crate::wire::tfplugin6::schema::{self as message, Block, Object, object::NestingMode};
use crate::wire::tfplugin6::{self, StringKind};

impl From<&Schema> for tfplugin6::Schema {
    fn from(schema: &Schema) -> Self {
        let block = Block {
            version: schema.version,
            attributes: schema.attributes.iter().map(message::Attribute::from).collect(),
            block_types: Vec::new(),
            description: schema.description.clone(),
            description_kind: StringKind::Markdown.into(),
            deprecated: schema.deprecated.is_some(),
            deprecation_message: schema.deprecated.clone().unwrap_or_default(),
            computed: false,
        };
        tfplugin6::Schema { version: schema.version, block: Some(block) }
    }
}

impl From<&Attribute> for message::Attribute {
    fn from(attribute: &Attribute) -> Self {
        let (ty, nested_type) = match &attribute.kind {
            AttributeKind::Value(ty) => (type_json::encode(ty), None),
            AttributeKind::Nested { nesting, attributes } => (Vec::new(), Some(object(*nesting, attributes))),
        };
        message::Attribute {
            name: attribute.name.clone(),
            r#type: ty,
            nested_type,
            description: attribute.description.clone(),
            required: attribute.required,
            optional: attribute.optional,
            computed: attribute.computed,
            sensitive: attribute.sensitive,
            description_kind: StringKind::Markdown.into(),
            deprecated: attribute.deprecated.is_some(),
            write_only: attribute.write_only,
            deprecation_message: attribute.deprecated.clone().unwrap_or_default(),
        }
    }
}

fn object(nesting: Nesting, attributes: &[Attribute]) -> Object {
    let nesting = match nesting {
        Nesting::Single => NestingMode::Single,
        Nesting::List => NestingMode::List,
        Nesting::Set => NestingMode::Set,
        Nesting::Map => NestingMode::Map,
    };
    Object {
        attributes: attributes.iter().map(message::Attribute::from).collect(),
        nesting: nesting.into(),
        ..Object::default()
    }
}

impl TryFrom<&tfplugin6::Schema> for Schema {
    type Error = MessageError;

    fn try_from(schema: &tfplugin6::Schema) -> Result<Self, MessageError> {
        let block = schema.block.as_ref().ok_or(MessageError::Missing("the block of a schema"))?;
        if let Some(nested) = block.block_types.first() {
            return Err(MessageError::Block(nested.type_name.clone()));
        }
        Ok(Schema {
            version: schema.version,
            description: block.description.clone(),
            attributes: decode_attributes(&block.attributes, 0)?,
            deprecated: block.deprecated.then(|| block.deprecation_message.clone()),
        })
    }
}

fn decode_attributes(attributes: &[message::Attribute], depth: usize) -> Result<Vec<Attribute>, MessageError> {
    if depth >= MAX_DEPTH {
        return Err(MessageError::TooDeep);
    }
    attributes.iter().map(|attribute| decode_attribute(attribute, depth + 1)).collect()
}

fn decode_attribute(attribute: &message::Attribute, depth: usize) -> Result<Attribute, MessageError> {
    let kind = match &attribute.nested_type {
        None => AttributeKind::Value(decode_type(&attribute.r#type, &attribute.name)?),
        Some(object) => AttributeKind::Nested {
            nesting: decode_nesting(object, &attribute.name)?,
            attributes: decode_attributes(&object.attributes, depth)?,
        },
    };
    Ok(Attribute {
        name: attribute.name.clone(),
        kind,
        description: attribute.description.clone(),
        required: attribute.required,
        optional: attribute.optional,
        computed: attribute.computed,
        sensitive: attribute.sensitive,
        write_only: attribute.write_only,
        deprecated: attribute.deprecated.then(|| attribute.deprecation_message.clone()),
    })
}

fn decode_nesting(object: &Object, name: &str) -> Result<Nesting, MessageError> {
    match object.nesting() {
        NestingMode::Single => Ok(Nesting::Single),
        NestingMode::List => Ok(Nesting::List),
        NestingMode::Set => Ok(Nesting::Set),
        NestingMode::Map => Ok(Nesting::Map),
        NestingMode::Invalid => Err(MessageError::Nesting(name.to_owned())),
    }
}
