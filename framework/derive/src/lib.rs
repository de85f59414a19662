//! The derive macros of `dr-framework`: a struct becomes a schema, its doc comments the registry page.

mod attributes;
mod choice;
mod model;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `Model` and, so that it can be a field itself, `Shape`.
///
/// Field attributes, all inside `#[dr(…)]`: `required`, `optional`, `computed`, `sensitive`, `write_only`,
/// `requires_replace`, `default = <literal>` (makes the field optional and computed), `default_with = <path>`,
/// `validate = <path>` (more than once), `equal = <path>`, `deprecated = "<why>"`, `rename = "<name>"`, `one_of` for a
/// field whose type is `Attr<some Choice>`, and `flatten` for a model whose fields stand beside those of this one.
#[proc_macro_derive(Model, attributes(dr))]
pub fn derive_model(input: TokenStream) -> TokenStream {
    model::expand(&parse_macro_input!(input as DeriveInput)).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Implements `Choice` for an enum whose variants each hold one model.
///
/// `#[dr(group = "<word>")]` on the enum names what the variants are; without it, the enum's own name does.
#[proc_macro_derive(Choice, attributes(dr))]
pub fn derive_choice(input: TokenStream) -> TokenStream {
    choice::expand(&parse_macro_input!(input as DeriveInput)).unwrap_or_else(|error| error.to_compile_error()).into()
}
