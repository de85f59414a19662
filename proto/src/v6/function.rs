//! Signatures of functions.

use super::{MessageError, decode_type};
use crate::schema::{Function, Parameter};
use crate::type_json;
use crate::wire::tfplugin6::{self, StringKind, function as message};

impl From<&Function> for tfplugin6::Function {
    fn from(function: &Function) -> Self {
        tfplugin6::Function {
            parameters: function.parameters.iter().map(message::Parameter::from).collect(),
            variadic_parameter: function.variadic.as_ref().map(message::Parameter::from),
            r#return: Some(message::Return { r#type: type_json::encode(&function.result) }),
            summary: function.summary.clone(),
            description: function.description.clone(),
            description_kind: StringKind::Markdown.into(),
            deprecation_message: String::new(),
        }
    }
}

impl From<&Parameter> for message::Parameter {
    fn from(parameter: &Parameter) -> Self {
        message::Parameter {
            name: parameter.name.clone(),
            r#type: type_json::encode(&parameter.ty),
            allow_null_value: parameter.allow_null,
            allow_unknown_values: parameter.allow_unknown,
            description: parameter.description.clone(),
            description_kind: StringKind::Markdown.into(),
        }
    }
}

impl TryFrom<&tfplugin6::Function> for Function {
    type Error = MessageError;

    fn try_from(function: &tfplugin6::Function) -> Result<Self, MessageError> {
        let result = function.r#return.as_ref().ok_or(MessageError::Missing("the type of a function's result"))?;
        Ok(Function {
            summary: function.summary.clone(),
            description: function.description.clone(),
            parameters: function.parameters.iter().map(Parameter::try_from).collect::<Result<_, _>>()?,
            variadic: function.variadic_parameter.as_ref().map(Parameter::try_from).transpose()?,
            result: decode_type(&result.r#type, "result")?,
        })
    }
}

impl TryFrom<&message::Parameter> for Parameter {
    type Error = MessageError;

    fn try_from(parameter: &message::Parameter) -> Result<Self, MessageError> {
        Ok(Parameter {
            name: parameter.name.clone(),
            ty: decode_type(&parameter.r#type, &parameter.name)?,
            description: parameter.description.clone(),
            allow_null: parameter.allow_null_value,
            allow_unknown: parameter.allow_unknown_values,
        })
    }
}
