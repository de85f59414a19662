//! The provider's functions: pure, and the same arithmetic that engines run with.

use std::collections::BTreeMap;

use dr_framework::{Attr, Function, FunctionError, Model, Number, Path, Type, Value};
use tfplugin::{Function as Signature, Parameter};

use crate::cron;
use crate::retention::{self, Keep, RetainedError};
use crate::retention_policy::KeepModel;

/// All of them.
pub fn all() -> Vec<Box<dyn Function>> {
    vec![Box::new(NextRuns), Box::new(MaxGap), Box::new(Retained)]
}

fn parameter(name: &str, ty: Type, description: &str) -> Parameter {
    Parameter {
        name: name.to_owned(),
        ty,
        description: description.to_owned(),
        allow_null: false,
        allow_unknown: false,
    }
}

fn text(arguments: &[Value], index: usize) -> &str {
    match arguments.get(index) {
        Some(Value::String(text)) => text,
        _ => "",
    }
}

fn whole(arguments: &[Value], index: usize) -> Result<i64, FunctionError> {
    let number = match arguments.get(index) {
        Some(Value::Number(number)) => number.as_i64(),
        _ => None,
    };
    number.ok_or_else(|| FunctionError::argument(index, "a whole number is needed"))
}

fn strings(texts: Vec<String>) -> Value {
    Value::List(texts.into_iter().map(Value::String).collect())
}

const CRON: &str = "A cron line of five fields, or one of `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.";
const ZONE: &str = "A name of the IANA time zone database, like `Europe/Berlin` or `UTC`.";

struct NextRuns;

impl Function for NextRuns {
    fn name(&self) -> &'static str {
        "next_runs"
    }

    fn signature(&self) -> Signature {
        Signature {
            summary: "The next times at which a cron line runs".to_owned(),
            description:
                "Returns the next `count` times after `from` at which `cron` runs in `time_zone`, as RFC 3339 \
                          with the zone's offset. A time that a change of clocks skips does not run, one that it \
                          repeats runs twice. An error if the line never runs."
                    .to_owned(),
            parameters: vec![
                parameter("cron", Type::String, CRON),
                parameter(
                    "from",
                    Type::String,
                    "A moment in RFC 3339, with its zone. A run at this very moment is not listed.",
                ),
                parameter("count", Type::Number, "How many runs, 1 to 1000."),
                parameter("time_zone", Type::String, ZONE),
            ],
            variadic: None,
            result: Type::list(Type::String),
        }
    }

    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError> {
        let count = whole(arguments, 2)?;
        let runs = cron::next_runs(text(arguments, 0), text(arguments, 1), count, text(arguments, 3));
        runs.map(strings).map_err(|error| {
            let index = match error.argument() {
                cron::Argument::From => 1,
                cron::Argument::Count => 2,
                cron::Argument::TimeZone => 3,
                _ => 0,
            };
            FunctionError::argument(index, error.to_string())
        })
    }
}

struct MaxGap;

impl Function for MaxGap {
    fn name(&self) -> &'static str {
        "max_gap"
    }

    fn signature(&self) -> Signature {
        Signature {
            summary: "The longest time between two runs of a cron line in a year".to_owned(),
            description:
                "Returns the longest time, in seconds, between two successive runs of `cron` in `time_zone` of \
                          which one is in `year`: what a schedule can lose at most, and so what a recovery point \
                          objective can promise."
                    .to_owned(),
            parameters: vec![
                parameter("cron", Type::String, CRON),
                parameter("time_zone", Type::String, ZONE),
                parameter("year", Type::Number, "The year, 1970 to 4000."),
            ],
            variadic: None,
            result: Type::Number,
        }
    }

    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError> {
        let year = whole(arguments, 2)?;
        let gap = cron::max_gap(text(arguments, 0), text(arguments, 1), year);
        gap.map(|gap| Value::Number(Number::from(gap.as_secs()))).map_err(|error| {
            let index = match error.argument() {
                cron::Argument::TimeZone => 1,
                cron::Argument::Year => 2,
                _ => 0,
            };
            FunctionError::argument(index, error.to_string())
        })
    }
}

struct Retained;

impl Function for Retained {
    fn name(&self) -> &'static str {
        "retained"
    }

    fn signature(&self) -> Signature {
        let zone = Parameter {
            allow_null: true,
            ..parameter(
                "time_zone",
                Type::String,
                "The server's time zone for Proxmox, null for restic formats: they count each time in its own offset.",
            )
        };
        Signature {
            summary: "The recovery points that a retention policy keeps".to_owned(),
            description:
                "Returns those of `times` that `engine` keeps under the policy `keep`, in the order given. The \
                          same numbers keep different points on different engines: restic's rules overlap, Proxmox's \
                          follow one another."
                    .to_owned(),
            parameters: vec![
                parameter(
                    "engine",
                    Type::String,
                    "`restic`, `k8up`, `volsync`, `backrest`, `proxmox_ve` or `proxmox_backup_server`.",
                ),
                parameter(
                    "keep",
                    Type::Dynamic,
                    "A policy: `dr_retention_policy.….keep`, or an object with some of `keep_last`, `keep_hourly`, `keep_daily`, `keep_weekly`, `keep_monthly`, `keep_yearly`, `keep_within`, `keep_all`.",
                ),
                parameter("times", Type::list(Type::String), "Moments in RFC 3339, with their zones."),
                zone,
            ],
            variadic: None,
            result: Type::list(Type::String),
        }
    }

    fn call(&self, arguments: &[Value]) -> Result<Value, FunctionError> {
        let keep = policy(arguments.get(1).unwrap_or(&Value::Null))?;
        let times = match arguments.get(2) {
            Some(Value::List(times)) => times.iter().flat_map(Value::strings).collect(),
            _ => Vec::new(),
        };
        let zone = match arguments.get(3) {
            Some(Value::String(zone)) => Some(zone.as_str()),
            _ => None,
        };
        retention::retained(text(arguments, 0), &keep, &times, zone).map(strings).map_err(|error| argument(&error))
    }
}

fn argument(error: &RetainedError) -> FunctionError {
    let index = match error.argument() {
        retention::Argument::Engine => 0,
        retention::Argument::Keep => 1,
        retention::Argument::Times(_) => 2,
        retention::Argument::TimeZone => 3,
    };
    FunctionError::argument(index, error.to_string())
}

/// A policy out of an object of any type that has some of its attributes.
fn policy(value: &Value) -> Result<Keep, FunctionError> {
    let wrong = |text: String| FunctionError::argument(1, text);
    let object: BTreeMap<String, Value> = match value {
        Value::Dynamic(inner) => return policy(&inner.1),
        Value::Object(object) | Value::Map(object) => object.clone(),
        _ => return Err(wrong("an object with rules like `keep_daily` is needed".to_owned())),
    };
    let known = dr_framework::model::field_names::<KeepModel>();
    if let Some(unknown) = object.keys().find(|name| !known.contains(*name)) {
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        return Err(wrong(format!("there is no rule {unknown:?}; the rules are {known}")));
    }
    let model = KeepModel::decode(&object).map_err(|error| wrong(error.to_string()))?;
    for number in [&model.keep_last, &model.keep_hourly, &model.keep_daily, &model.keep_weekly] {
        check(number)?;
    }
    for number in [&model.keep_monthly, &model.keep_yearly] {
        check(number)?;
    }
    let detail =
        |found: dr_framework::Diagnostics| found.0.first().map(|first| first.detail.clone()).unwrap_or_default();
    let keep = model.keep(&Path::default()).map_err(|found| wrong(detail(found)))?;
    keep.ok_or_else(|| wrong("every rule has to be known".to_owned()))
}

fn check(number: &Attr<i64>) -> Result<(), FunctionError> {
    match number.known() {
        Some(number) if !(1..=i64::from(u32::MAX)).contains(number) => {
            Err(FunctionError::argument(1, format!("{number} can't be used: a whole number of at least 1 is needed")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(name: &str, arguments: &[Value]) -> Result<Value, FunctionError> {
        let all = all();
        all.iter().find(|function| function.name() == name).expect("it exists").call(arguments)
    }

    fn number(number: i64) -> Value {
        Value::Number(Number::from(number))
    }

    #[test]
    fn next_runs_blames_the_argument_that_is_wrong() {
        let run = |cron: &str, from: &str, zone: &str| {
            call("next_runs", &[Value::string(cron), Value::string(from), number(2), Value::string(zone)])
        };
        let good = run("0 3 * * *", "2026-07-15T00:00:00Z", "Europe/Berlin").expect("it runs");
        assert_eq!(good, strings(vec!["2026-07-15T03:00:00+02:00".into(), "2026-07-16T03:00:00+02:00".into()]));
        assert_eq!(run("0 3 31 2 *", "2026-07-15T00:00:00Z", "UTC").expect_err("never").argument, Some(0));
        assert_eq!(run("0 3 * * *", "2026-07-15T00:00:00", "UTC").expect_err("no zone").argument, Some(1));
        assert_eq!(run("0 3 * * *", "2026-07-15T00:00:00Z", "Mars").expect_err("no such zone").argument, Some(3));
    }

    #[test]
    fn the_longest_gap_is_in_seconds() {
        let gap = call("max_gap", &[Value::string("0 3 * * *"), Value::string("UTC"), number(2026)]);
        assert_eq!(gap, Ok(number(86_400)));
    }

    #[test]
    fn a_policy_may_name_only_the_rules_that_it_needs() {
        let keep = Value::Dynamic(Box::new((
            Type::object([("keep_last", Type::Number)]),
            Value::object([("keep_last", number(1))]),
        )));
        let times = strings(vec!["2026-07-14T00:00:00Z".into(), "2026-07-15T00:00:00Z".into()]);
        let kept = call("retained", &[Value::string("restic"), keep, times.clone(), Value::Null]);
        assert_eq!(kept, Ok(strings(vec!["2026-07-15T00:00:00Z".into()])));

        let typo = Value::object([("keep_dayly", number(1))]);
        let error = call("retained", &[Value::string("restic"), typo, times, Value::Null]).expect_err("a typo");
        assert_eq!(error.argument, Some(1));
        assert!(error.text.contains("keep_daily"), "{}", error.text);
    }
}
