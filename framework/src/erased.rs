//! Resources and data sources without their models' types: what the server keeps a list of.

use async_trait::async_trait;
use tfplugin::{Diagnostic, IdentitySchema, Path, Schema, Value};

use crate::attr::Attr;
use crate::context::Context;
use crate::diagnostics::Diagnostics;
use crate::field::{Field, object_type};
use crate::model::{Model, Shape};
use crate::resource::{DataSource, Identity, ImportBy, MoveFrom, Plan, Resource, Result, Upgrade};
use crate::{gaps, plan, validate};

/// What a plan came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// What there will be.
    pub state: Value,
    /// The attributes whose change needs a new object.
    pub replace: Vec<Path>,
    /// Its identity.
    pub identity: Option<Value>,
}

/// A state, and the identity that goes with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored {
    /// The state.
    pub state: Value,
    /// Its identity.
    pub identity: Option<Value>,
}

/// A [`Resource`] of some model.
#[async_trait]
pub trait AnyResource: Send + Sync {
    /// `dr_…`.
    fn type_name(&self) -> &'static str;
    /// Its fields.
    fn fields(&self) -> &[Field];
    /// Its schema.
    fn schema(&self) -> Schema;
    /// The schema of its identity.
    fn identity_schema(&self) -> Option<IdentitySchema>;
    /// The identity of the object that a state is about.
    fn identity(&self, state: &Value) -> Option<Value>;
    /// The upgrades of its state.
    fn upgrades(&self) -> Vec<Upgrade>;
    /// Judges a configuration.
    async fn validate(&self, context: &Context, config: &Value) -> Diagnostics;
    /// Plans a create or an update.
    async fn plan(&self, context: &Context, prior: &Value, config: &Value, proposed: &Value) -> Result<Planned>;
    /// Plans a destroy.
    async fn plan_destroy(&self, context: &Context, prior: &Value) -> Result<()>;
    /// Reads.
    async fn read(&self, context: &Context, state: &Value) -> Result<Option<Stored>>;
    /// Creates or updates.
    async fn apply(&self, context: &Context, prior: &Value, planned: &Value, config: &Value) -> Result<Stored>;
    /// Destroys.
    async fn delete(&self, context: &Context, prior: &Value) -> Result<()>;
    /// Imports.
    async fn import(&self, context: &Context, by: ImportBy) -> Result<Stored>;
    /// Takes a state of another type over.
    async fn move_from(&self, context: &Context, source: &MoveFrom) -> Result<Option<Stored>>;
}

/// A [`DataSource`] of some model.
#[async_trait]
pub trait AnyDataSource: Send + Sync {
    /// `dr_…`.
    fn type_name(&self) -> &'static str;
    /// Its fields.
    fn fields(&self) -> &[Field];
    /// Its schema.
    fn schema(&self) -> Schema;
    /// Judges a configuration.
    async fn validate(&self, context: &Context, config: &Value) -> Diagnostics;
    /// Answers.
    async fn read(&self, context: &Context, config: &Value) -> Result<Value>;
}

/// Takes a resource's type away.
pub fn resource<R: Resource>(resource: R) -> Box<dyn AnyResource> {
    Box::new(Erased { inner: resource, fields: R::Model::fields() })
}

/// Takes a data source's type away.
pub fn data_source<D: DataSource>(source: D) -> Box<dyn AnyDataSource> {
    Box::new(Erased { inner: source, fields: D::Model::fields() })
}

/// What a user is told of a gap in what was just applied.
const LEFT_OPEN: &str = "a value was left open after it was applied. The object is there, and in the state with all \
                         that is known of it. If it is new it is marked as tainted: `untaint` it, or the next apply \
                         makes another one.";

struct Erased<T> {
    inner: T,
    fields: Vec<Field>,
}

fn schema<M: Model>(fields: &[Field], version: usize) -> Schema {
    Schema {
        version: i64::try_from(version).unwrap_or(i64::MAX),
        description: M::DESCRIPTION.to_owned(),
        attributes: fields.iter().map(Field::attribute).collect(),
        deprecated: None,
    }
}

fn identity_value(identity: &Identity) -> Value {
    Value::object(identity.iter().map(|(name, value)| (name.clone(), value.to_value())))
}

impl<R: Resource> Erased<R> {
    /// What of a model can be stored, and where it says nothing and should. An identity that has a gap is left out: the
    /// CLIs can do without, and the next read may give it.
    fn storable(&self, model: &R::Model) -> (Stored, Vec<Path>) {
        let state = plan::without_write_only(&self.fields, &model.to_object());
        let (state, gaps) = gaps::closed(state, &object_type(&self.fields));
        let identity = self.inner.identity_schema().and_then(|schema| {
            let (identity, gaps) = gaps::closed(identity_value(&self.inner.identity(model)), &schema.ty());
            gaps.is_empty().then_some(identity)
        });
        (Stored { state, identity }, gaps)
    }

    /// What can be stored of an object that nobody made just now: all or nothing.
    fn stored(&self, model: &R::Model) -> Result<Stored> {
        let (stored, gaps) = self.storable(model);
        left_open(self.inner.type_name(), gaps, "a value was left open after it was read.").into_result()?;
        Ok(stored)
    }

    /// A configuration that fits the model, or what keeps it from fitting.
    fn usable(&self, config: &Value) -> Result<R::Model> {
        validate::undecided(&self.fields, config).into_result()?;
        validate::alike(&self.fields, config).into_result()?;
        Ok(R::Model::from_object(config)?)
    }
}

/// An error for each gap.
fn left_open(type_name: &str, gaps: Vec<Path>, why: &str) -> Diagnostics {
    let told = |path: Path| {
        let detail = format!("This is a bug in the provider: {why}");
        Diagnostic::error(format!("{type_name} has no value for `{path}`"), detail).at(path)
    };
    Diagnostics(gaps.into_iter().map(told).collect())
}

#[async_trait]
impl<R: Resource> AnyResource for Erased<R> {
    fn type_name(&self) -> &'static str {
        self.inner.type_name()
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn schema(&self) -> Schema {
        schema::<R::Model>(&self.fields, self.inner.upgrades().len())
    }

    fn identity_schema(&self) -> Option<IdentitySchema> {
        self.inner.identity_schema()
    }

    fn identity(&self, state: &Value) -> Option<Value> {
        self.inner.identity_schema()?;
        let model = R::Model::from_object(state).ok()?;
        Some(identity_value(&self.inner.identity(&model)))
    }

    fn upgrades(&self) -> Vec<Upgrade> {
        self.inner.upgrades()
    }

    async fn validate(&self, context: &Context, config: &Value) -> Diagnostics {
        let mut found = validate::validate(&self.fields, config, context.client.write_only);
        if found.has_errors() {
            return found;
        }
        match R::Model::from_object(config) {
            Ok(model) => found.extend(self.inner.validate(context, &model).await),
            Err(error) if error.unknown => {}
            Err(error) => found.extend(Diagnostics::from(error)),
        }
        found
    }

    async fn plan(&self, context: &Context, prior: &Value, config: &Value, proposed: &Value) -> Result<Planned> {
        let config_model = self.usable(config)?;
        let prior_value = (!prior.is_null()).then_some(prior);
        let prior_model = prior_value.map(R::Model::from_object).transpose()?;
        let prepared = plan::prepare(&self.fields, prior_value, config, proposed);
        let prepared_model = R::Model::from_object(&prepared)?;
        let unchanged = prepared_model.to_object();
        let mut change = Plan {
            prior: prior_model.as_ref(),
            config: &config_model,
            planned: prepared_model,
            changed: prior_value != Some(&prepared),
            replace: Vec::new(),
        };
        self.inner.plan(context, &mut change).await?;
        let state = plan::restore(&prepared, &unchanged, &change.planned.to_object());
        let state = plan::without_write_only(&self.fields, &state);
        let mut replace = change.replace;
        if let Some(prior) = prior_value {
            replace.extend(plan::replacements(&self.fields, prior, &state));
        }
        let of = |model: &R::Model| identity_value(&self.inner.identity(model));
        // An object that stays keeps its identity, while what it is made of is open too.
        let identity = self.inner.identity_schema().map(|_| match (of(&change.planned), change.prior) {
            (planned, Some(prior)) if !planned.is_wholly_known() => of(prior),
            (planned, _) => planned,
        });
        // OpenTofu stores a planned identity, which has to be known for that.
        let identity = identity.filter(Value::is_wholly_known);
        Ok(Planned { state, replace, identity })
    }

    async fn plan_destroy(&self, context: &Context, prior: &Value) -> Result<()> {
        self.inner.plan_destroy(context, &R::Model::from_object(prior)?).await
    }

    async fn read(&self, context: &Context, state: &Value) -> Result<Option<Stored>> {
        match self.inner.read(context, R::Model::from_object(state)?).await? {
            Some(model) => self.stored(&model).map(Some),
            None => Ok(None),
        }
    }

    async fn apply(&self, context: &Context, prior: &Value, planned: &Value, config: &Value) -> Result<Stored> {
        let prior = (!prior.is_null()).then(|| R::Model::from_object(prior)).transpose()?;
        let (planned, config) = (R::Model::from_object(planned)?, R::Model::from_object(config)?);
        let model = self.inner.apply(context, prior, planned, config).await?;
        let (stored, gaps) = self.storable(&model);
        // What was made is there, whatever is missing: without a state it would be forgotten.
        let errors = left_open(self.inner.type_name(), gaps, LEFT_OPEN);
        errors.into_iter().for_each(|error| context.report(error));
        Ok(stored)
    }

    async fn delete(&self, context: &Context, prior: &Value) -> Result<()> {
        self.inner.delete(context, R::Model::from_object(prior)?).await
    }

    async fn import(&self, context: &Context, by: ImportBy) -> Result<Stored> {
        let model = self.inner.import(context, by).await?;
        self.stored(&model)
    }

    async fn move_from(&self, context: &Context, source: &MoveFrom) -> Result<Option<Stored>> {
        let moved = self.inner.move_from(context, source).await?;
        // The first read says what it is: a provider that moves a state was not configured.
        moved.map(|model| Ok(Stored { identity: None, ..self.stored(&model)? })).transpose()
    }
}

#[async_trait]
impl<D: DataSource> AnyDataSource for Erased<D> {
    fn type_name(&self) -> &'static str {
        self.inner.type_name()
    }

    fn fields(&self) -> &[Field] {
        &self.fields
    }

    fn schema(&self) -> Schema {
        schema::<D::Model>(&self.fields, 0)
    }

    async fn validate(&self, context: &Context, config: &Value) -> Diagnostics {
        let mut found = validate::validate(&self.fields, config, context.client.write_only);
        if found.has_errors() {
            return found;
        }
        match D::Model::from_object(config) {
            Ok(model) => found.extend(self.inner.validate(context, &model).await),
            Err(error) if error.unknown => {}
            Err(error) => found.extend(Diagnostics::from(error)),
        }
        found
    }

    async fn read(&self, context: &Context, config: &Value) -> Result<Value> {
        let model =
            self.inner.read(context, D::Model::from_object(&plan::with_defaults(&self.fields, config))?).await?;
        let (state, gaps) = gaps::closed(model.to_object(), &object_type(&self.fields));
        left_open(self.inner.type_name(), gaps, "an answer was left open.").into_result()?;
        Ok(state)
    }
}

/// An identity out of its value.
pub(crate) fn identity_from(value: &Value) -> Result<Identity> {
    let Value::Object(object) = value else { return Ok(Identity::new()) };
    let mut identity = Identity::new();
    for (name, value) in object {
        identity.insert(name.clone(), Attr::<String>::from_value(value)?);
    }
    Ok(identity)
}
