//! What a resource is written against: models that are schemas, plan rules, and the server that speaks the protocol.
//!
//! Nothing here knows a network or a backup engine.

pub mod attr;
pub mod conformance;
pub mod context;
pub mod diagnostics;
pub mod erased;
pub mod field;
mod gaps;
mod matching;
pub mod model;
pub mod plan;
pub mod provider;
pub mod redact;
pub mod resource;
pub mod server;
pub mod validate;

pub use async_trait::async_trait;
pub use attr::Attr;
pub use context::{ClientCapabilities, Context, Deferral, StopSignal, Stopper};
pub use diagnostics::Diagnostics;
pub use dr_framework_derive::{Choice, Model};
pub use erased::{AnyDataSource, AnyResource, data_source, resource};
pub use field::{Field, FieldKind};
pub use model::{Anything, Choice, DecodeError, Model, Set, Shape, decode_attribute};
pub use provider::Provider;
pub use redact::Redactor;
pub use resource::{
    DataSource, Function, FunctionError, Identity, ImportBy, MoveFrom, Plan, Resource, Result, Upgrade,
};
pub use server::Server;
pub use tfplugin::{
    Attribute, AttributeKind, Diagnostic, IdentityAttribute, IdentitySchema, Nesting, Number, Path, Schema, Severity,
    Step, Type, Value,
};
