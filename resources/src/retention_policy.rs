//! `dr_retention_policy`: how long recovery points are kept, named once and used by many.

use dr_framework::{
    Attr, Context, Diagnostic, Diagnostics, ImportBy, Model, Path, Plan, Resource, Result, Value, async_trait,
};

use crate::retention::{Keep, Within};
use crate::validators;
use crate::words::ended;

/// A retention policy, named once and used by many targets: which recovery points are kept when newer ones exist.
///
/// A policy touches nothing by itself. It exports `keep`, which targets and schedules take as `retention`; each engine
/// applies it with its own arithmetic, and one that can't express it says so while planning.
#[derive(Model, Clone, Debug)]
pub struct RetentionPolicy {
    /// The policy's name: lower-case letters, digits and hyphens.
    #[dr(required, validate = validators::name)]
    pub name: Attr<String>,
    /// How many of the newest points to keep.
    #[dr(optional, validate = validators::positive)]
    pub keep_last: Attr<i64>,
    /// For how many hours that have points the last one is kept.
    #[dr(optional, validate = validators::positive)]
    pub keep_hourly: Attr<i64>,
    /// For how many days that have points the last one is kept.
    #[dr(optional, validate = validators::positive)]
    pub keep_daily: Attr<i64>,
    /// For how many ISO weeks that have points the last one is kept.
    #[dr(optional, validate = validators::positive)]
    pub keep_weekly: Attr<i64>,
    /// For how many months that have points the last one is kept.
    #[dr(optional, validate = validators::positive)]
    pub keep_monthly: Attr<i64>,
    /// For how many years that have points the last one is kept.
    #[dr(optional, validate = validators::positive)]
    pub keep_yearly: Attr<i64>,
    /// All points that are at most this much older than the newest: `1y5m7d2h`.
    #[dr(optional)]
    pub keep_within: Attr<String>,
    /// Nothing is ever removed. Stands alone.
    #[dr(optional)]
    pub keep_all: Attr<bool>,
    /// The policy as a value: what `retention` of a target takes. Known while planning.
    #[dr(computed)]
    pub keep: Attr<KeepModel>,
}

/// The rules of a retention policy as a value.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct KeepModel {
    /// How many of the newest points to keep.
    #[dr(optional, validate = validators::positive)]
    pub keep_last: Attr<i64>,
    /// For how many hours that have points the last one is kept.
    #[dr(optional, validate = validators::positive)]
    pub keep_hourly: Attr<i64>,
    /// For how many days that have points the last one is kept.
    #[dr(optional, validate = validators::positive)]
    pub keep_daily: Attr<i64>,
    /// For how many ISO weeks that have points the last one is kept.
    #[dr(optional, validate = validators::positive)]
    pub keep_weekly: Attr<i64>,
    /// For how many months that have points the last one is kept.
    #[dr(optional, validate = validators::positive)]
    pub keep_monthly: Attr<i64>,
    /// For how many years that have points the last one is kept.
    #[dr(optional, validate = validators::positive)]
    pub keep_yearly: Attr<i64>,
    /// All points that are at most this much older than the newest: `1y5m7d2h`.
    #[dr(optional)]
    pub keep_within: Attr<String>,
    /// Nothing is ever removed. Stands alone.
    #[dr(optional)]
    pub keep_all: Attr<bool>,
}

impl KeepModel {
    /// The policy itself, once it is known: `None` while something in it is unknown.
    pub fn keep(&self, path: &Path) -> std::result::Result<Option<Keep>, Diagnostics> {
        let numbers = [
            &self.keep_last,
            &self.keep_hourly,
            &self.keep_daily,
            &self.keep_weekly,
            &self.keep_monthly,
            &self.keep_yearly,
        ];
        if numbers.iter().any(|number| number.is_unknown())
            || self.keep_within.is_unknown()
            || self.keep_all.is_unknown()
        {
            return Ok(None);
        }
        let within = match self.keep_within.text().map(Within::parse).transpose() {
            Ok(within) => within,
            Err(error) => {
                let path = path.clone().then("keep_within");
                return Err(Diagnostics::error_at(path, "Unusable duration", ended(error)));
            }
        };
        let number = |attr: &Attr<i64>| attr.known().map(|number| u32::try_from(*number).unwrap_or(0));
        let keep = Keep {
            last: number(&self.keep_last),
            hourly: number(&self.keep_hourly),
            daily: number(&self.keep_daily),
            weekly: number(&self.keep_weekly),
            monthly: number(&self.keep_monthly),
            yearly: number(&self.keep_yearly),
            within,
            all: self.keep_all.known().copied().unwrap_or(false),
        };
        keep.validate().map_err(|error| {
            let path = error.attribute().map_or_else(|| path.clone(), |attribute| path.clone().then(attribute));
            let diagnostic = dr_framework::Diagnostic::error("Unusable retention policy", ended(error));
            Diagnostics::from(if path.0.is_empty() { diagnostic } else { diagnostic.at(path) })
        })?;
        Ok(Some(keep))
    }
}

impl From<&Keep> for KeepModel {
    fn from(keep: &Keep) -> Self {
        let number = |number: Option<u32>| number.map(i64::from).into();
        KeepModel {
            keep_last: number(keep.last),
            keep_hourly: number(keep.hourly),
            keep_daily: number(keep.daily),
            keep_weekly: number(keep.weekly),
            keep_monthly: number(keep.monthly),
            keep_yearly: number(keep.yearly),
            keep_within: keep.within.as_ref().map(|within| within.as_str().to_owned()).into(),
            keep_all: keep.all.then_some(true).into(),
        }
    }
}

impl RetentionPolicy {
    fn rules(&self) -> KeepModel {
        KeepModel {
            keep_last: self.keep_last.clone(),
            keep_hourly: self.keep_hourly.clone(),
            keep_daily: self.keep_daily.clone(),
            keep_weekly: self.keep_weekly.clone(),
            keep_monthly: self.keep_monthly.clone(),
            keep_yearly: self.keep_yearly.clone(),
            keep_within: self.keep_within.clone(),
            keep_all: self.keep_all.clone(),
        }
    }
}

/// The resource.
#[derive(Debug, Clone, Copy)]
pub struct RetentionPolicies;

#[async_trait]
impl Resource for RetentionPolicies {
    type Model = RetentionPolicy;

    fn type_name(&self) -> &'static str {
        "dr_retention_policy"
    }

    async fn validate(&self, _: &Context, config: &RetentionPolicy) -> Diagnostics {
        config.rules().keep(&Path::default()).err().unwrap_or_default()
    }

    async fn plan(&self, _: &Context, plan: &mut Plan<'_, RetentionPolicy>) -> Result<()> {
        plan.planned.rules().keep(&Path::default())?;
        plan.planned.keep = Attr::Known(plan.planned.rules());
        Ok(())
    }

    async fn read(&self, _: &Context, state: RetentionPolicy) -> Result<Option<RetentionPolicy>> {
        Ok(Some(state))
    }

    async fn apply(
        &self,
        _: &Context,
        _: Option<RetentionPolicy>,
        planned: RetentionPolicy,
        _: RetentionPolicy,
    ) -> Result<RetentionPolicy> {
        planned.rules().keep(&Path::default())?;
        Ok(RetentionPolicy { keep: Attr::Known(planned.rules()), ..planned })
    }

    async fn delete(&self, _: &Context, _: RetentionPolicy) -> Result<()> {
        Ok(())
    }

    async fn import(&self, _: &Context, by: ImportBy) -> Result<RetentionPolicy> {
        let ImportBy::Id(name) = by else {
            return Err(Diagnostics::error(
                "Unable to import the retention policy",
                "A policy exists in configurations only and has no identity: import it by its name.",
            ));
        };
        let wrong = validators::name(&Value::string(name.as_str()), &Path::attribute("name"));
        Diagnostics(wrong.into_iter().map(|problem| Diagnostic { attribute: None, ..problem }).collect())
            .into_result()?;
        // There is nothing elsewhere to read the rules from: the next apply takes them from the configuration.
        Ok(RetentionPolicy {
            name: Attr::Known(name),
            keep_last: Attr::Null,
            keep_hourly: Attr::Null,
            keep_daily: Attr::Null,
            keep_weekly: Attr::Null,
            keep_monthly: Attr::Null,
            keep_yearly: Attr::Null,
            keep_within: Attr::Null,
            keep_all: Attr::Null,
            keep: Attr::Known(KeepModel::default()),
        })
    }
}
