//! Schemas of identities.

use super::{MessageError, decode_type};
use crate::schema::{IdentityAttribute, IdentitySchema};
use crate::type_json;
use crate::wire::tfplugin6::ResourceIdentitySchema;
use crate::wire::tfplugin6::resource_identity_schema as message;

impl From<&IdentitySchema> for ResourceIdentitySchema {
    fn from(schema: &IdentitySchema) -> Self {
        let attribute = |attribute: &IdentityAttribute| message::IdentityAttribute {
            name: attribute.name.clone(),
            r#type: type_json::encode(&attribute.ty),
            required_for_import: attribute.required_for_import,
            optional_for_import: !attribute.required_for_import,
            description: attribute.description.clone(),
        };
        ResourceIdentitySchema {
            version: schema.version,
            identity_attributes: schema.attributes.iter().map(attribute).collect(),
        }
    }
}

impl TryFrom<&ResourceIdentitySchema> for IdentitySchema {
    type Error = MessageError;

    fn try_from(schema: &ResourceIdentitySchema) -> Result<Self, MessageError> {
        let attribute = |attribute: &message::IdentityAttribute| {
            Ok(IdentityAttribute {
                name: attribute.name.clone(),
                ty: decode_type(&attribute.r#type, &attribute.name)?,
                description: attribute.description.clone(),
                required_for_import: attribute.required_for_import,
            })
        };
        let attributes = schema.identity_attributes.iter().map(attribute).collect::<Result<_, MessageError>>()?;
        Ok(IdentitySchema { version: schema.version, attributes })
    }
}
