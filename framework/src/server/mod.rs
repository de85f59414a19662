//! The provider's end of protocol 6: messages in, calls of resources, messages out.

mod answer;
mod data;
mod resources;
mod rpc;
mod state;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use tfplugin::wire::tfplugin6 as wire;
use tfplugin::{Schema, Type, Value};
use tonic::Status;

use crate::context::{ClientCapabilities, Context, Stopper};
use crate::erased::{AnyDataSource, AnyResource};
use crate::field::{Field, object_type};
use crate::model::Model;
use crate::plan;
use crate::provider::Provider;
use crate::redact::Redactor;
use crate::resource::Function;

/// Serves a provider. Made once for a process; its schemas are built when they are asked for first.
pub struct Server<P> {
    provider: P,
    config: Vec<Field>,
    resources: BTreeMap<&'static str, Typed<Box<dyn AnyResource>>>,
    data_sources: BTreeMap<&'static str, Typed<Box<dyn AnyDataSource>>>,
    functions: BTreeMap<&'static str, Box<dyn Function>>,
    redactor: Redactor,
    stopper: Stopper,
    applied: AtomicBool,
}

/// Something with the type of its values on the wire.
struct Typed<T> {
    inner: T,
    ty: Type,
}

impl<P: Provider> Server<P> {
    /// Serves `provider`; everything that leaves in a diagnostic passes `redactor`, which learns every sensitive value
    /// that comes in.
    pub fn new(provider: P, redactor: Redactor) -> Self {
        let resource =
            |inner: Box<dyn AnyResource>| (inner.type_name(), Typed { ty: object_type(inner.fields()), inner });
        let source =
            |inner: Box<dyn AnyDataSource>| (inner.type_name(), Typed { ty: object_type(inner.fields()), inner });
        Server {
            config: P::Config::fields(),
            resources: provider.resources().into_iter().map(resource).collect(),
            data_sources: provider.data_sources().into_iter().map(source).collect(),
            functions: provider.functions().into_iter().map(|function| (function.name(), function)).collect(),
            provider,
            redactor,
            stopper: Stopper::default(),
            applied: AtomicBool::new(false),
        }
    }

    /// The schema of the provider's own configuration.
    pub fn config_schema(&self) -> Schema {
        Schema {
            description: P::Config::DESCRIPTION.to_owned(),
            attributes: self.config.iter().map(Field::attribute).collect(),
            ..Schema::default()
        }
    }

    /// What is served, for tests and documentation that go through every resource.
    pub fn resources(&self) -> impl Iterator<Item = &dyn AnyResource> {
        self.resources.values().map(|resource| resource.inner.as_ref())
    }

    /// The data sources that are served.
    pub fn data_sources(&self) -> impl Iterator<Item = &dyn AnyDataSource> {
        self.data_sources.values().map(|source| source.inner.as_ref())
    }

    /// The functions that are served.
    pub fn functions(&self) -> impl Iterator<Item = &dyn Function> {
        self.functions.values().map(Box::as_ref)
    }

    fn resource(&self, name: &str) -> Result<&Typed<Box<dyn AnyResource>>, Status> {
        self.resources.get(name).ok_or_else(|| Status::invalid_argument(format!("there is no resource {name}")))
    }

    fn data_source(&self, name: &str) -> Result<&Typed<Box<dyn AnyDataSource>>, Status> {
        self.data_sources.get(name).ok_or_else(|| Status::invalid_argument(format!("there is no data source {name}")))
    }

    fn context(&self, capabilities: Option<wire::ClientCapabilities>) -> Context {
        let capabilities = capabilities.unwrap_or_default();
        let client = ClientCapabilities {
            deferral: capabilities.deferral_allowed,
            write_only: capabilities.write_only_attributes_allowed,
        };
        Context::new(client, self.stopper.signal())
    }

    /// Remembers every sensitive value, so that it is kept out of what leaves.
    fn learn(&self, fields: &[Field], value: &Value) {
        plan::visit_sensitive(fields, value, &mut |secret| self.learn_texts(secret));
    }

    /// Names of attributes are in the documentation, and those of a map are how others refer to what stands under them:
    /// they are no secrets.
    fn learn_texts(&self, value: &Value) {
        match value {
            Value::String(text) => self.redactor.learn(text),
            Value::Number(number) => self.redactor.learn(&number.to_string()),
            Value::List(values) | Value::Set(values) | Value::Tuple(values) => {
                values.iter().for_each(|value| self.learn_texts(value));
            }
            Value::Map(values) | Value::Object(values) => values.values().for_each(|value| self.learn_texts(value)),
            Value::Dynamic(inner) => self.learn_texts(&inner.1),
            Value::Null | Value::Unknown(_) | Value::Bool(_) => {}
        }
    }

    fn apply_begins(&self) {
        if !self.applied.swap(true, Ordering::SeqCst) {
            self.provider.apply_begins();
        }
    }
}
