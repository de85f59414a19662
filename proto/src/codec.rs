//! What the encodings of values share: errors that say where, the depth limit, normal form of text.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use crate::diagnostic::{Path, Step};
use crate::number::NumberError;
use crate::ty::Type;

/// How deep values may be nested, in both directions. Real schemas stay far below it; a stack does not.
pub const MAX_DEPTH: usize = 128;

/// A value that can't be encoded or decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ValueError {
    /// Where in the value.
    pub path: Path,
    /// What is wrong there.
    pub problem: Problem,
}

/// What is wrong with a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Something else is needed here.
    #[error("{0} is required")]
    Required(&'static str),
    /// A tuple has another length.
    #[error("a tuple of {0} elements is required")]
    Length(usize),
    /// An attribute of the object's type is not there.
    #[error("attribute {0:?} is missing")]
    Missing(String),
    /// The object's type has no such attribute.
    #[error("unsupported attribute {0:?}")]
    Unsupported(String),
    /// A number that can't be taken.
    #[error("{0}")]
    Number(#[from] NumberError),
    /// A type that can't be read.
    #[error("invalid type: {0}")]
    Type(String),
    /// Text that isn't UTF-8.
    #[error("text that is not UTF-8")]
    Utf8,
    /// The bytes end early, or a length is more than there is.
    #[error("the bytes end early")]
    Truncated,
    /// Bytes are left after the value.
    #[error("bytes are left after the value")]
    Trailing,
    /// Bytes that mean nothing.
    #[error("malformed bytes: {0}")]
    Malformed(String),
    /// Nested deeper than [`MAX_DEPTH`].
    #[error("nested deeper than {MAX_DEPTH} levels")]
    TooDeep,
    /// What is said about an unknown value makes no sense.
    #[error("invalid refinement of an unknown value: {0}")]
    Refinement(&'static str),
    /// JSON has no way to write an unknown value.
    #[error("an unknown value has no form in JSON")]
    Unknown,
}

impl ValueError {
    /// The same, one step further out.
    #[must_use]
    pub(crate) fn inside(mut self, step: Step) -> Self {
        self.path.0.insert(0, step);
        self
    }
}

impl From<Problem> for ValueError {
    fn from(problem: Problem) -> Self {
        ValueError { path: Path::default(), problem }
    }
}

impl From<NumberError> for ValueError {
    fn from(error: NumberError) -> Self {
        Problem::Number(error).into()
    }
}

impl std::fmt::Display for ValueError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.path.0.is_empty() {
            write!(formatter, "{}: ", self.path)?;
        }
        self.problem.fmt(formatter)
    }
}

impl std::error::Error for ValueError {}

/// Counts one level down.
pub(crate) fn deeper(depth: usize) -> Result<usize, ValueError> {
    if depth >= MAX_DEPTH { Err(Problem::TooDeep.into()) } else { Ok(depth + 1) }
}

/// The text in normalisation form C.
pub(crate) fn normal(text: &str) -> Cow<'_, str> {
    match is_nfc_quick(text.chars()) {
        IsNormalized::Yes => Cow::Borrowed(text),
        _ => Cow::Owned(text.nfc().collect()),
    }
}

pub(crate) fn index(position: usize) -> Step {
    Step::Index(i64::try_from(position).unwrap_or(i64::MAX))
}

/// What a value of the type is called in "… is required".
pub(crate) fn name(ty: &Type) -> &'static str {
    match ty {
        Type::String => "a string",
        Type::Number => "a number",
        Type::Bool => "a bool",
        Type::Dynamic => "a value with its type",
        Type::List(_) => "a list",
        Type::Set(_) => "a set",
        Type::Map(_) => "a map",
        Type::Tuple(_) => "a tuple",
        Type::Object(_) => "an object",
    }
}
