//! One life of a resource: planned, planned again, applied, read, changed, destroyed; every answer is checked.

use dr_framework::conformance::{
    self, Action, IdentityStage, Violation, action, check_apply, check_identity, check_plan, check_read,
    check_second_plan, proposed_new_state,
};
use dr_framework::erased::{Planned, Stored};
use dr_framework::{AnyResource, ClientCapabilities, Context, Diagnostics, Schema, Stopper, Value};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::{Hints, Tally, generate};

/// What one life is made of.
#[derive(Debug, Clone)]
pub struct Life {
    /// The first configuration.
    pub first: Value,
    /// The one that it is changed to.
    pub second: Value,
    /// A state that some version stored.
    pub stored: Value,
    /// What is unknown while planning.
    pub dice: Vec<u8>,
    /// How much of it: one value in so many.
    pub rarity: u8,
}

/// Generated lives of a resource.
pub fn lives(resource: &dyn AnyResource, hints: &Hints) -> impl Strategy<Value = Life> + use<> {
    let fields = resource.fields();
    let config = || generate::config(fields, hints);
    (config(), config(), generate::state(fields, hints), proptest::collection::vec(any::<u8>(), 0..24), 5_u8..60)
        .prop_map(|(first, second, stored, dice, rarity)| Life { first, second, stored, dice, rarity })
}

/// How far a resource can be driven.
#[derive(Clone, Copy, PartialEq)]
pub enum Reach {
    /// Plans of what is not there yet, which need nothing from outside.
    New,
    /// Plans over states of any origin.
    Stored,
    /// All of it, by a resource that is nothing but its state.
    Applies,
    /// Creates, changes and destroys by a resource with something behind it, which may refuse them.
    Works,
}

/// A plan whose configuration is known.
struct Decided {
    state: Value,
    identity: Option<Value>,
    /// What is there is destroyed first.
    replaces: bool,
}

/// A call's surroundings: a client that can do everything but wait.
pub fn context() -> Context {
    Context::new(ClientCapabilities { deferral: false, write_only: true }, Stopper::default().signal())
}

fn keep(found: Vec<Violation>, what: &str, values: &[(&str, &Value)]) -> Result<(), TestCaseError> {
    if found.is_empty() {
        return Ok(());
    }
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    let values: Vec<_> = values.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
    Err(TestCaseError::fail(format!("{what}: {}\n{}", found.join("\n"), values.join("\n"))))
}

fn fine<T>(result: Result<T, Diagnostics>, what: &str) -> Result<T, TestCaseError> {
    result.map_err(|errors| TestCaseError::fail(format!("{what}: {:#?}", errors.0)))
}

/// The resource at work.
pub struct Driver<'a> {
    resource: &'a dyn AnyResource,
    schema: Schema,
    reach: Reach,
}

impl<'a> Driver<'a> {
    /// Drives `resource` as far as `reach`.
    pub fn new(resource: &'a dyn AnyResource, reach: Reach) -> Self {
        Driver { resource, schema: resource.schema(), reach }
    }

    /// One life; errors of validation are refusals, everything else has to go well.
    pub async fn live(&self, life: &Life, tally: &mut Tally) -> Result<(), TestCaseError> {
        if matches!(self.reach, Reach::Stored | Reach::Applies) {
            self.over_any_state(life, tally).await?;
        }
        if self.reach == Reach::Stored {
            return Ok(());
        }
        let Some(planned) = self.change(&Value::Null, None, &life.first, life, tally).await? else {
            return Ok(());
        };
        if self.reach != Reach::Works {
            tally.taken += 1;
        }
        if self.reach == Reach::New {
            return Ok(());
        }
        let Some(stored) = self.apply(&Value::Null, &planned, &life.first, tally).await? else { return Ok(()) };
        let changed = self.change(&stored.state, stored.identity.as_ref(), &life.second, life, tally).await?;
        let last = match changed {
            // What refuses to be changed can still be destroyed.
            None => Some(stored),
            Some(planned) if planned.replaces => {
                self.destroy(&stored, tally).await?;
                self.apply(&Value::Null, &planned, &life.second, tally).await?
            }
            Some(planned) => self.apply(&stored.state, &planned, &life.second, tally).await?,
        };
        let Some(last) = last else { return Ok(()) };
        if self.destroy(&last, tally).await? && self.reach == Reach::Works {
            tally.taken += 1;
        }
        Ok(())
    }

    /// Whether it was destroyed.
    async fn destroy(&self, stored: &Stored, tally: &mut Tally) -> Result<bool, TestCaseError> {
        let planned = self.resource.plan_destroy(&context(), &stored.state).await;
        let planned = self.taken(planned, "the plan of the destroy", tally)?.is_some();
        let destroyed = self.resource.delete(&context(), &stored.state).await;
        Ok(self.taken(destroyed, "the destroy", tally)?.is_some() && planned)
    }

    /// What a resource that works on something may refuse, and any other may not.
    fn taken<T>(
        &self,
        result: Result<T, Diagnostics>,
        what: &str,
        tally: &mut Tally,
    ) -> Result<Option<T>, TestCaseError> {
        match result {
            Err(why) if self.reach == Reach::Works => {
                tally.refuse(&why);
                Ok(None)
            }
            result => fine(result, what).map(Some),
        }
    }

    /// A plan over a state of any origin keeps the rules, or is refused.
    async fn over_any_state(&self, life: &Life, tally: &mut Tally) -> Result<(), TestCaseError> {
        let _ = self.resource.plan_destroy(&context(), &life.stored).await;
        // What no model of today can hold is refused, and that is all right.
        let plain = proposed_new_state(&self.schema, &life.stored, &life.second);
        if let Err(why) = self.resource.plan(&context(), &life.stored, &life.second, &plain).await {
            tally.refuse(&why);
            return Ok(());
        }
        let changed = self.change_stored(&life.stored, &life.second, life, tally).await?;
        if self.reach == Reach::Stored && changed.is_some() {
            tally.taken += 1;
        }
        // Who wrote what is stored has it planned again, most of all.
        let same = generate::written(self.resource.fields(), &life.stored);
        let proposed = proposed_new_state(&self.schema, &life.stored, &same);
        if self.resource.plan(&context(), &life.stored, &same, &proposed).await.is_ok() {
            self.change_stored(&life.stored, &same, life, tally).await?;
        }
        Ok(())
    }

    /// A change of what is stored, with the identity that is stored for it. A user who names another place, where that is
    /// an identity, or no longer names one, means another object: then there is nothing to keep. Nor is there of a state that leaves a part of the
    /// identity out, as no apply does.
    async fn change_stored(
        &self,
        stored: &Value,
        config: &Value,
        life: &Life,
        tally: &mut Tally,
    ) -> Result<Option<Decided>, TestCaseError> {
        let [before, wanted] = [stored, config].map(|of| self.resource.identity(of));
        let named = |identity: &Option<Value>, field: &str| {
            identity.as_ref().map_or(Value::Null, |identity| identity.attribute(field).clone())
        };
        let schema = self.resource.identity_schema();
        let moved = schema.iter().flat_map(|schema| &schema.attributes).any(|attribute| {
            let wanted = named(&wanted, &attribute.name);
            let before = named(&before, &attribute.name);
            before.is_null() || wanted != before
        });
        self.change(stored, before.as_ref().filter(|_| !moved), config, life, tally).await
    }

    /// Plans a change before and after its configuration is known; `None` when it is refused.
    async fn change(
        &self,
        prior: &Value,
        prior_identity: Option<&Value>,
        config: &Value,
        life: &Life,
        tally: &mut Tally,
    ) -> Result<Option<Decided>, TestCaseError> {
        let found = self.resource.validate(&context(), config).await;
        if found.has_errors() {
            tally.refuse(&found);
            return Ok(None);
        }
        let blurred = generate::blurred(self.resource.fields(), config, &life.dice, life.rarity);
        let found = self.resource.validate(&context(), &blurred).await;
        if found.has_errors() {
            let message =
                format!("valid when it is known, but not while parts of it are not: {:#?}\n{blurred:?}", found.0);
            return Err(TestCaseError::fail(message));
        }
        let first = self.decided(prior, prior_identity, &blurred).await?;
        // A replacement goes on as a create.
        let (prior, prior_identity, replaces) = match &first {
            Ok((_, Action::Create)) => (&Value::Null, None, !prior.is_null()),
            _ => (prior, prior_identity, false),
        };
        let second = match self.decided(prior, prior_identity, config).await? {
            Err(why) if self.reach != Reach::Applies => {
                tally.refuse(&why);
                return Ok(None);
            }
            second => fine(second, "the plan of a valid configuration")?,
        };
        match first {
            Ok((first, action)) => {
                let values = [
                    ("prior", prior),
                    ("config then", &blurred),
                    ("config now", config),
                    ("first", &first.state),
                    ("second", &second.0.state),
                ];
                let found = check_second_plan(&self.schema, &first.state, &second.0.state, (action, second.1));
                keep(found, "the plan with everything known", &values)?;
            }
            // What can't be planned yet has to be planned once it is known.
            Err(why) => tally.refuse(&why),
        }
        let replaces = replaces || (second.1 == Action::Create && !prior.is_null());
        Ok(Some(Decided { state: second.0.state, identity: second.0.identity, replaces }))
    }

    /// A plan, and the create that follows when it is a replacement.
    async fn decided(
        &self,
        prior: &Value,
        prior_identity: Option<&Value>,
        config: &Value,
    ) -> Result<Result<(Planned, Action), Diagnostics>, TestCaseError> {
        let planned = match self.plan(prior, prior_identity, config).await? {
            Ok(planned) => planned,
            Err(why) => return Ok(Err(why)),
        };
        match self.action(prior, &planned) {
            Action::Replace => {
                Ok(self.plan(&Value::Null, None, config).await?.map(|planned| (planned, Action::Create)))
            }
            action => Ok(Ok((planned, action))),
        }
    }

    fn action(&self, prior: &Value, planned: &Planned) -> Action {
        action(prior, &planned.state, &planned.replace)
    }

    async fn plan(
        &self,
        prior: &Value,
        prior_identity: Option<&Value>,
        config: &Value,
    ) -> Result<Result<Planned, Diagnostics>, TestCaseError> {
        let proposed = proposed_new_state(&self.schema, prior, config);
        let planned = self.resource.plan(&context(), prior, config, &proposed).await;
        let again = self.resource.plan(&context(), prior, config, &proposed).await;
        if planned != again {
            return Err(TestCaseError::fail(format!("the same inputs gave two plans:\n{planned:?}\n{again:?}")));
        }
        let planned = match planned {
            Ok(planned) => planned,
            Err(why) => return Ok(Err(why)),
        };
        keep(
            check_plan(&self.schema, prior, config, &proposed, &planned.state, &planned.replace),
            "the plan",
            &[("prior", prior), ("config", config), ("proposed", &proposed), ("planned", &planned.state)],
        )?;
        let new = prior.is_null() || self.action(prior, &planned) == Action::Replace;
        let stage = if new { IdentityStage::PlannedNew } else { IdentityStage::Kept };
        let schema = self.resource.identity_schema();
        let found = check_identity(schema.as_ref(), prior_identity, planned.identity.as_ref(), stage);
        keep(found, "the planned identity", &[("planned", &planned.state)])?;
        Ok(Ok(planned))
    }

    async fn apply(
        &self,
        prior: &Value,
        planned: &Decided,
        config: &Value,
        tally: &mut Tally,
    ) -> Result<Option<Stored>, TestCaseError> {
        let context = context();
        let stored = self.resource.apply(&context, prior, &planned.state, config).await;
        let Some(stored) = self.taken(stored, "the apply", tally)? else { return Ok(None) };
        fine(context.finish().0.into_result(), "the apply, beside its state")?;
        let values = [("planned", &planned.state), ("state", &stored.state)];
        keep(check_apply(&self.schema, &planned.state, &stored.state), "the apply", &values)?;
        let schema = self.resource.identity_schema();
        let before = planned.identity.as_ref().filter(|identity| identity.is_wholly_known());
        let found = check_identity(schema.as_ref(), before, stored.identity.as_ref(), IdentityStage::Kept);
        keep(found, "the identity", &values)?;
        self.settled(&stored, config).await?;
        Ok(Some(stored))
    }

    /// A second run has nothing to do.
    async fn settled(&self, stored: &Stored, config: &Value) -> Result<(), TestCaseError> {
        let read = fine(self.resource.read(&context(), &stored.state).await, "the read")?;
        let Some(read) = read else { return Err(TestCaseError::fail("gone right after it was applied")) };
        keep(check_read(&self.schema, &read.state), "the read", &[("state", &read.state)])?;
        if read.state != stored.state {
            let (stored, read) = (&stored.state, &read.state);
            return Err(TestCaseError::fail(format!(
                "nothing changed, and a read found another:\n{stored:?}\n{read:?}"
            )));
        }
        let schema = self.resource.identity_schema();
        let found =
            check_identity(schema.as_ref(), stored.identity.as_ref(), read.identity.as_ref(), IdentityStage::Kept);
        keep(found, "the identity after a read", &[("state", &read.state)])?;
        let planned = fine(self.plan(&read.state, read.identity.as_ref(), config).await?, "the plan after an apply")?;
        if self.action(&read.state, &planned) != Action::NoOp {
            return Err(TestCaseError::fail(format!(
                "a second run is not without changes:\nconfig: {config:?}\nstate: {:?}\nplanned: {:?}\nreplace: {:?}",
                read.state, planned.state, planned.replace
            )));
        }
        Ok(())
    }
}

/// The rules that a schema keeps, and those of an identity's schema.
pub fn assert_schemas(resource: &dyn AnyResource) {
    let found = conformance::check_schema(&resource.schema(), conformance::Place::Resource);
    assert!(found.is_empty(), "{}: {found:#?}", resource.type_name());
    if let Some(schema) = resource.identity_schema() {
        let found = conformance::check_identity_schema(&schema);
        assert!(found.is_empty(), "{}: {found:#?}", resource.type_name());
    }
}

/// Lives of a resource, as many as `cases`, of which a part at least has to be taken. `anew` comes before each.
pub fn assert_keeps_the_rules(
    resource: &dyn AnyResource,
    hints: &Hints,
    reach: Reach,
    cases: u32,
    anew: impl AsyncFn(),
) {
    assert_schemas(resource);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let driver = Driver::new(resource, reach);
    let tally = std::cell::RefCell::new(Tally::default());
    let config =
        ProptestConfig { cases, max_shrink_iters: 400, failure_persistence: None, ..ProptestConfig::default() };
    let outcome = proptest::test_runner::TestRunner::new(config).run(&lives(resource, hints), |life| {
        runtime.block_on(anew());
        runtime.block_on(driver.live(&life, &mut tally.borrow_mut()))
    });
    if let Err(error) = outcome {
        panic!("{} breaks a rule: {error}", resource.type_name());
    }
    let tally = tally.into_inner();
    println!("{}: {tally:?}", resource.type_name());
    tally.assert_enough(resource.type_name(), usize::try_from(cases / 20).unwrap_or(1));
}
