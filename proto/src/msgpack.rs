//! Values as MessagePack, the form that both ends always send.

mod decode;
mod encode;
mod reader;
mod refinements;

use crate::codec::{Problem, ValueError};
use crate::ty::Type;
use crate::value::Value;

/// Writes a value of the given type.
pub fn encode(value: &Value, ty: &Type) -> Result<Vec<u8>, ValueError> {
    let mut bytes = Vec::new();
    encode::value(value, ty, 0, &mut bytes)?;
    Ok(bytes)
}

/// Reads a value of the given type.
pub fn decode(bytes: &[u8], ty: &Type) -> Result<Value, ValueError> {
    let mut reader = reader::Reader::new(bytes);
    let value = decode::value(&mut reader, ty, 0)?;
    if reader.is_empty() { Ok(value) } else { Err(Problem::Trailing.into()) }
}

#[cfg(test)]
mod tests;
