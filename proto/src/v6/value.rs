//! Values in their envelopes.

use crate::codec::ValueError;
use crate::ty::Type;
use crate::value::Value;
use crate::wire::tfplugin6::{DynamicValue, RawState};
use crate::{json, msgpack};

/// Stored state that can't be read.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The flat form of Terraform 0.11 and before.
    #[error("the state was last written by Terraform 0.11 or older, in a form that is not supported")]
    Flatmap,
    /// Not a value of the type.
    #[error(transparent)]
    Value(#[from] ValueError),
}

/// Puts a value into its envelope, as MessagePack.
pub fn encode_value(value: &Value, ty: &Type) -> Result<DynamicValue, ValueError> {
    Ok(DynamicValue { msgpack: msgpack::encode(value, ty)?.into(), json: Default::default() })
}

/// Takes a value out of its envelope: MessagePack when there is any, else JSON, else null.
pub fn decode_value(message: Option<&DynamicValue>, ty: &Type) -> Result<Value, ValueError> {
    match message {
        Some(message) if !message.msgpack.is_empty() => msgpack::decode(&message.msgpack, ty),
        Some(message) if !message.json.is_empty() => json::decode(&message.json, ty),
        _ => Ok(Value::Null),
    }
}

/// Reads stored state of another layout, or of another type ([`json::decode_untyped`]).
pub fn decode_untyped_state(message: Option<&RawState>) -> Result<Value, StateError> {
    stored(message, json::decode_untyped)
}

/// Reads stored state that a schema of the same layout wrote. Attributes that the type lacks are passed over, attributes
/// that the state lacks are null.
pub fn decode_state(message: Option<&RawState>, ty: &Type) -> Result<Value, StateError> {
    stored(message, |bytes| json::decode_lenient(bytes, ty))
}

fn stored(
    message: Option<&RawState>,
    decode: impl Fn(&[u8]) -> Result<Value, ValueError>,
) -> Result<Value, StateError> {
    match message {
        Some(message) if !message.json.is_empty() => Ok(decode(&message.json)?),
        Some(message) if !message.flatmap.is_empty() => Err(StateError::Flatmap),
        _ => Ok(Value::Null),
    }
}
