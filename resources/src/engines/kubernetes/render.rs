//! Whether a server's JSON says the same as what a configuration sets.

use std::time::Duration;

use serde_json::Value;

/// What is not in `live` as it is in `wanted`: the paths, and both values. What `wanted` does not name is not compared.
pub fn differences<'a>(wanted: &'a Value, live: Option<&'a Value>) -> Vec<Difference<'a>> {
    let mut found = Vec::new();
    compare(wanted, live, &mut Vec::new(), &mut found);
    found
}

/// A field that is another one.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference<'a> {
    /// The names of the objects that it lies in, and its own.
    pub path: Vec<String>,
    /// What it is.
    pub live: Option<&'a Value>,
    /// What it was set to.
    pub wanted: &'a Value,
}

fn compare<'a>(wanted: &'a Value, live: Option<&'a Value>, path: &mut Vec<String>, found: &mut Vec<Difference<'a>>) {
    match wanted {
        Value::Object(members) if !members.is_empty() => {
            for (name, wanted) in members {
                path.push(name.clone());
                compare(wanted, live.and_then(|live| live.get(name)), path, found);
                path.pop();
            }
        }
        _ if says_the_same(wanted, live) => {}
        _ => found.push(Difference { path: path.clone(), live, wanted }),
    }
}

fn says_the_same(wanted: &Value, live: Option<&Value>) -> bool {
    let Some(live) = live.filter(|live| !live.is_null()) else { return is_zero(wanted) };
    match (wanted, live) {
        (Value::Array(wanted), Value::Array(live)) => {
            let same = |(wanted, live)| differences(wanted, Some(live)).is_empty();
            wanted.len() == live.len() && wanted.iter().zip(live).all(same)
        }
        (Value::String(wanted), Value::String(live)) => {
            let spans = (go_duration(wanted), go_duration(live));
            wanted == live || matches!(spans, (Some(wanted), Some(live)) if wanted == live)
        }
        (wanted, live) => wanted == live,
    }
}

/// Go's `omitempty` leaves these out, so they mean the same as nothing.
pub fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(truth) => !truth,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty() || go_duration(text) == Some(Duration::ZERO),
        Value::Array(list) => list.is_empty(),
        Value::Object(members) => members.values().all(is_zero),
    }
}

/// A duration as Go writes it (`720h0m0s`, `1h30m`, `1.5s`), none if it is not one.
pub fn go_duration(text: &str) -> Option<Duration> {
    const UNITS: [(&str, u128); 7] = [
        ("ns", 1),
        ("us", 1_000),
        ("µs", 1_000),
        ("ms", 1_000_000),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
    ];
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut sum) = (text, 0_u64);
    while !rest.is_empty() {
        let end = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (figures, after) = rest.split_at(end);
        let (unit, nanoseconds) = UNITS.into_iter().find(|(unit, _)| after.starts_with(unit))?;
        sum = sum.checked_add(u64::try_from(parts(figures, nanoseconds)?).ok()?)?;
        rest = &after[unit.len()..];
    }
    (!text.is_empty()).then_some(Duration::from_nanos(sum))
}

/// So many of a unit, which may have decimals.
fn parts(figures: &str, unit: u128) -> Option<u128> {
    let (whole, decimals) = figures.split_once('.').unwrap_or((figures, ""));
    let whole: u128 = if whole.is_empty() && !decimals.is_empty() { 0 } else { whole.parse().ok()? };
    let digits = u32::try_from(decimals.len()).ok()?;
    let decimals: u128 = if decimals.is_empty() { 0 } else { decimals.parse().ok()? };
    Some(whole.checked_mul(unit)? + decimals.checked_mul(unit)? / 10_u128.checked_pow(digits)?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paths(wanted: &Value, live: &Value) -> Vec<String> {
        differences(wanted, Some(live)).iter().map(|difference| difference.path.join(".")).collect()
    }

    #[test]
    fn what_is_not_set_is_not_compared() {
        let wanted = json!({ "spec": { "schedule": "0 3 * * *", "paused": false } });
        let live = json!({ "spec": { "schedule": "0 3 * * *", "template": { "ttl": "720h0m0s" } }, "status": {} });
        assert!(paths(&wanted, &live).is_empty(), "an absent switch is off");
        let live = json!({ "spec": { "schedule": "0 4 * * *", "paused": true } });
        assert_eq!(paths(&wanted, &live), ["spec.paused", "spec.schedule"]);
    }

    #[test]
    fn equal_spellings_are_equal() {
        let wanted = json!({ "ttl": "720h", "never": "0s", "list": ["a", { "b": "90m" }], "none": [] });
        assert!(paths(&wanted, &json!({ "ttl": "720h0m0s", "list": ["a", { "b": "1h30m0s", "more": 1 }] })).is_empty());
        assert_eq!(paths(&wanted, &json!({ "ttl": "719h", "list": ["a"] })), ["list", "ttl"]);
    }

    #[test]
    fn durations_are_read_as_go_writes_them() {
        let seconds = |text| go_duration(text).map(|duration| duration.as_secs());
        assert_eq!(seconds("720h0m0s"), Some(2_592_000));
        assert_eq!(seconds("1h30m"), seconds("90m"));
        assert_eq!(go_duration("1.5s"), go_duration("1500ms"));
        assert_eq!(go_duration("2µs"), go_duration("2000ns"));
        assert_eq!((seconds("0"), seconds("0s")), (Some(0), Some(0)));
        for wrong in ["", "h", "7d", "12", "1h 2m", "1..5s", "."] {
            assert_eq!(go_duration(wrong), None, "{wrong}");
        }
    }
}
