//! The neutral vocabulary as messages of protocol 6, and back.

mod diagnostic;
mod function;
mod identity;
mod schema;
#[cfg(test)]
mod tests;
mod value;

pub use value::{StateError, decode_state, decode_untyped_state, decode_value, encode_value};

use crate::ty::Type;
use crate::type_json;

/// A message that doesn't say what it has to.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    /// A type that can't be read.
    #[error("type of {of:?}: {error}")]
    Type {
        /// The name of what has the type.
        of: String,
        /// Why not.
        error: type_json::TypeError,
    },
    /// A part that has to be there is not.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A nesting that doesn't exist.
    #[error("{0:?} has no valid nesting")]
    Nesting(String),
    /// Nested blocks, which the neutral schema doesn't have.
    #[error("nested block {0:?}: nested blocks are not supported")]
    Block(String),
    /// Nested deeper than [`MAX_DEPTH`](crate::MAX_DEPTH).
    #[error("attributes nested too deep")]
    TooDeep,
}

/// Reads the type of what has this name.
fn decode_type(bytes: &[u8], of: &str) -> Result<Type, MessageError> {
    type_json::decode(bytes).map_err(|error| MessageError::Type { of: of.to_owned(), error })
}
