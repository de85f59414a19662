//! Values as JSON, the form of stored state: numbers exact, no unknowns, missing attributes null.

mod decode;
mod encode;

use crate::codec::ValueError;
use crate::ty::Type;
use crate::value::Value;

/// Writes a value of the given type.
pub fn encode(value: &Value, ty: &Type) -> Result<String, ValueError> {
    let mut text = String::new();
    encode::value(value, ty, 0, &mut text)?;
    Ok(text)
}

/// Reads a value of the given type; a missing attribute is null, an attribute that the type lacks is an error.
pub fn decode(bytes: &[u8], ty: &Type) -> Result<Value, ValueError> {
    decode::document(bytes, ty, decode::Unsupported::Refused)
}

/// The same, passing over attributes that the type lacks: state that an older schema wrote.
pub fn decode_lenient(bytes: &[u8], ty: &Type) -> Result<Value, ValueError> {
    decode::document(bytes, ty, decode::Unsupported::Dropped)
}

/// Reads JSON by its looks alone, for what no schema of today describes: an array is a tuple. Numbers stay exact.
pub fn decode_untyped(bytes: &[u8]) -> Result<Value, ValueError> {
    decode::untyped_document(bytes)
}

/// Writes what [`decode_untyped`] read, whatever became of it.
pub fn encode_untyped(value: &Value) -> Result<String, ValueError> {
    let mut text = String::new();
    encode::untyped(value, 0, &mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests;
