//! What a provider is: a configuration, and the things that it serves.

use async_trait::async_trait;

use crate::context::Context;
use crate::diagnostics::Diagnostics;
use crate::erased::{AnyDataSource, AnyResource};
use crate::model::Model;
use crate::resource::{Function, Result};

/// A provider.
#[async_trait]
pub trait Provider: Send + Sync + 'static {
    /// Its configuration.
    type Config: Model + Clone + 'static;

    /// Judges a configuration, of which anything may be unknown.
    async fn validate(&self, context: &Context, config: &Self::Config) -> Diagnostics {
        let _ = (context, config);
        Diagnostics::default()
    }

    /// Takes the configuration, of which anything may be unknown. Resources may be called without it.
    async fn configure(&self, context: &Context, config: Self::Config) -> Result<()>;

    /// The first apply of the process begins: what was read for refresh is stale from now on.
    fn apply_begins(&self) {}

    /// Its resources.
    fn resources(&self) -> Vec<Box<dyn AnyResource>>;

    /// Its data sources.
    fn data_sources(&self) -> Vec<Box<dyn AnyDataSource>>;

    /// Its functions.
    fn functions(&self) -> Vec<Box<dyn Function>>;
}
