//! What a resource is: a model, and what happens to it.

use std::collections::BTreeMap;

use async_trait::async_trait;
use tfplugin::{IdentitySchema, Path, Value};

use crate::attr::Attr;
use crate::context::Context;
use crate::diagnostics::Diagnostics;
use crate::model::Model;

/// The attributes of an identity: text, each maybe unknown while it is planned.
pub type Identity = BTreeMap<String, Attr<String>>;

/// A result, or what went wrong.
pub type Result<T> = std::result::Result<T, Diagnostics>;

/// A change being planned. The framework has filled in defaults and marked what is computed and new as unknown.
#[derive(Debug)]
pub struct Plan<'a, M> {
    /// What there is; `None` when it is created.
    pub prior: Option<&'a M>,
    /// What the user wrote.
    pub config: &'a M,
    /// What there will be: configured values stand as they are, the rest is the resource's to plan.
    pub planned: M,
    /// Whether anything differs from what there is, before the resource had its say.
    pub changed: bool,
    /// Attributes whose change needs a new object, beside those that the model marks.
    pub replace: Vec<Path>,
}

/// What an import gives.
#[derive(Debug, Clone, PartialEq)]
pub enum ImportBy {
    /// Text after `tofu import ADDRESS`, or `id` of an `import` block.
    Id(String),
    /// `identity` of an `import` block.
    Identity(Identity),
}

/// A state of another type that is moved to this one.
#[derive(Debug, Clone)]
pub struct MoveFrom {
    /// The source's provider.
    pub provider: String,
    /// The source's type.
    pub type_name: String,
    /// The version of the source's schema.
    pub version: i64,
    /// The source's attributes, as [`tfplugin::json::decode_untyped`] reads them.
    pub state: Value,
}

/// One version of a state's layout made into the next one, both without types ([`tfplugin::json::decode_untyped`]).
pub type Upgrade = fn(Value) -> std::result::Result<Value, String>;

/// A managed resource. Everything is a function of what it is given; what it talks to, it was made with.
#[async_trait]
pub trait Resource: Send + Sync + 'static {
    /// Its schema, and every value of it.
    type Model: Model + Clone + std::fmt::Debug + 'static;

    /// `dr_…`.
    fn type_name(&self) -> &'static str;

    /// The upgrades of its state: the first makes version 1 of version 0, and so on. Their number is the version.
    fn upgrades(&self) -> Vec<Upgrade> {
        Vec::new()
    }

    /// The schema of its identity, if it has one.
    fn identity_schema(&self) -> Option<IdentitySchema> {
        None
    }

    /// Its identity; called only when there is a schema for one.
    fn identity(&self, model: &Self::Model) -> Identity {
        let _ = model;
        Identity::new()
    }

    /// Judges a configuration, of which anything may be unknown, without looking at anything else.
    async fn validate(&self, context: &Context, config: &Self::Model) -> Diagnostics {
        let _ = (context, config);
        Diagnostics::default()
    }

    /// Plans a create or an update.
    async fn plan(&self, context: &Context, plan: &mut Plan<'_, Self::Model>) -> Result<()> {
        let _ = (context, plan);
        Ok(())
    }

    /// Plans a destroy.
    async fn plan_destroy(&self, context: &Context, prior: &Self::Model) -> Result<()> {
        let _ = (context, prior);
        Ok(())
    }

    /// What there is now; `None` when it is gone.
    async fn read(&self, context: &Context, state: Self::Model) -> Result<Option<Self::Model>>;

    /// Makes it what was planned, whether it exists or not.
    ///
    /// After an error the state is what it was before: what a create had made by then has to be found again by the next
    /// one. To store what there is beside an error, report the error to the context and give the model: a new object is
    /// then tainted, and made anew by the next apply.
    async fn apply(
        &self,
        context: &Context,
        prior: Option<Self::Model>,
        planned: Self::Model,
        config: Self::Model,
    ) -> Result<Self::Model>;

    /// Destroys it. Only the state is there to go by: a replace never planned this, and what is private may be gone.
    async fn delete(&self, context: &Context, prior: Self::Model) -> Result<()>;

    /// Takes over what exists: enough of the model for a read to find the rest.
    async fn import(&self, context: &Context, by: ImportBy) -> Result<Self::Model> {
        let _ = (context, by);
        Err(Diagnostics::error(
            format!("Unable to import {}", self.type_name()),
            "There is nothing elsewhere to take over: this resource is a record of what it did. Write it in the configuration \
             and apply: what it did before is found, and nothing is done twice.",
        ))
    }

    /// Takes a state of another type over; `None` when it does not know that type.
    async fn move_from(&self, context: &Context, source: &MoveFrom) -> Result<Option<Self::Model>> {
        let _ = (context, source);
        Ok(None)
    }
}

/// A data source.
#[async_trait]
pub trait DataSource: Send + Sync + 'static {
    /// Its schema, and every value of it.
    type Model: Model + Clone + std::fmt::Debug + 'static;

    /// `dr_…`.
    fn type_name(&self) -> &'static str;

    /// Judges a configuration, of which anything may be unknown.
    async fn validate(&self, context: &Context, config: &Self::Model) -> Diagnostics {
        let _ = (context, config);
        Diagnostics::default()
    }

    /// Answers. The configuration is wholly known.
    async fn read(&self, context: &Context, config: Self::Model) -> Result<Self::Model>;
}

/// Why a function has no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionError {
    /// What is wrong.
    pub text: String,
    /// Which argument, from 0.
    pub argument: Option<usize>,
}

impl FunctionError {
    /// Something is wrong with an argument, counted from 0.
    pub fn argument(argument: usize, text: impl Into<String>) -> Self {
        FunctionError { text: text.into(), argument: Some(argument) }
    }
}

/// A pure function.
pub trait Function: Send + Sync + 'static {
    /// Its name, without the provider's.
    fn name(&self) -> &'static str;

    /// What it takes and gives.
    fn signature(&self) -> tfplugin::Function;

    /// Calls it with as many arguments as it has parameters; those of the variadic parameter follow.
    fn call(&self, arguments: &[Value]) -> std::result::Result<Value, FunctionError>;
}
