//! `tfplugin`: the wire between Terraform or OpenTofu and a provider.
//!
//! Types, values, schemas and diagnostics here are neutral: no protocol version and no Terraform policy in them.
//!
//! - What is said: [`Type`], [`Value`], [`Schema`], [`Diagnostic`]; as bytes in [`msgpack`], [`json`], [`type_json`];
//!   as messages of protocol 6 ([`wire`]) in [`v6`].
//! - Who says it: a provider by [`server::serve`], a host by [`client::Plugin`]; how they find and trust each other in
//!   [`handshake`], [`tls`] and [`reattach`].
//! - What a host shows of a provider besides: [`logging`] and [`panics`].

pub mod client;
mod codec;
mod connection;
pub mod diagnostic;
pub mod handshake;
pub mod json;
pub mod logging;
pub mod msgpack;
pub mod number;
pub mod panics;
pub mod reattach;
pub mod schema;
pub mod server;
pub mod tls;
pub mod ty;
pub mod type_json;
pub mod v6;
pub mod value;
pub mod wire;

pub use codec::{MAX_DEPTH, Problem, ValueError};
pub use connection::MAX_MESSAGE;
pub use diagnostic::{Diagnostic, Path, Severity, Step};
pub use number::{Number, NumberError};
pub use schema::{Attribute, AttributeKind, Function, IdentityAttribute, IdentitySchema, Nesting, Parameter, Schema};
pub use ty::{ObjectType, Type};
pub use value::{Refinements, Value};
