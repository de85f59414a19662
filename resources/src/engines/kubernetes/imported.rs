//! What an import finds in a cluster: objects that somebody made, as a configuration would say them.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dr_framework::{Anything, Attr, Diagnostics, Path, Type, Value as Configured};
use serde_json::Value;

use super::render;
use super::spec::{TextMap, Texts};
use super::store_keys::{self, CONNECTION, Keys};
use crate::connections::kubernetes::{Cluster, DynamicObject, Kind};
use crate::connections::s3::S3Connection;
use crate::shared::Shared;
use crate::words::ended;

/// The object that is imported.
pub async fn read(cluster: &Cluster, kind: &Kind, namespace: &str, name: &str) -> Result<DynamicObject, Diagnostics> {
    let failed = |error| Diagnostics::error("Unable to import", ended(error));
    let found = cluster.get(kind, namespace, name).await.map_err(failed)?;
    found.ok_or_else(|| {
        let cluster = cluster.name();
        let detail = format!("There is no {} {namespace}/{name} on cluster `{cluster}`.", kind.kind);
        Diagnostics::error("There is nothing to import", detail)
    })
}

/// The uid of the server that it was found on.
pub async fn server_uid(cluster: &Cluster) -> Result<String, Diagnostics> {
    cluster.uid().await.map_err(|error| Diagnostics::error("Unable to import", ended(error)))
}

/// What a Secret holds under a key.
pub fn held(secret: &DynamicObject, key: &str) -> Option<Vec<u8>> {
    STANDARD.decode(secret.data["data"][key].as_str()?).ok()
}

/// A text that is not empty.
pub fn text(value: &Value) -> Attr<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned).into()
}

/// A switch.
pub fn truth(value: &Value) -> Attr<bool> {
    value.as_bool().into()
}

/// A list that is not empty.
pub fn list(value: &Value) -> Texts {
    let list = value.as_array().filter(|list| !list.is_empty());
    list.map(|list| list.iter().map(|item| item.as_str().map(str::to_owned).into()).collect::<Vec<Attr<String>>>())
        .into()
}

/// A map that is not empty.
pub fn map(value: &Value) -> TextMap {
    let map = value.as_object().filter(|map| !map.is_empty());
    map.map(|map| {
        map.iter()
            .map(|(key, value)| (key.clone(), value.as_str().map(str::to_owned).into()))
            .collect::<BTreeMap<_, _>>()
    })
    .into()
}

/// An object that is not empty and passed on as it is.
pub fn passed(value: &Value) -> Attr<Anything> {
    let object = value.as_object().filter(|members| !members.is_empty());
    object.and_then(|_| anything(value)).map(|typed| Anything(Configured::Dynamic(Box::new(typed)))).into()
}

/// The fields of a spec that the written one has not, or has otherwise. What is empty there says nothing.
pub fn unsaid(spec: &Value, written: &Value) -> Vec<String> {
    let differences = render::differences(spec, Some(written));
    let lost = differences.iter().filter(|difference| !render::is_zero(difference.wanted));
    lost.map(|difference| difference.path.join(".")).collect()
}

/// Refuses an object with fields that a resource does not say: an apply that makes it anew would leave them out.
pub fn refuse_unsaid(called: &str, resource: &str, unsaid: &[String]) -> Result<(), Diagnostics> {
    if unsaid.is_empty() {
        return Ok(());
    }
    let fields: Vec<String> = unsaid.iter().map(|field| format!("`spec.{field}`")).collect();
    let detail = format!(
        "{called} sets {}, which a {resource} does not say, or says otherwise: take that out of it first, or leave it to what \
         made it.",
        fields.join(", ")
    );
    Err(Diagnostics::error("Unable to import", detail))
}

/// A cron line of robfig's without its zone, and the zone where it is not UTC.
pub fn zoned(line: &str) -> (Option<String>, &str) {
    let line = line.trim();
    let zoned =
        line.strip_prefix("CRON_TZ=").or_else(|| line.strip_prefix("TZ=")).and_then(|rest| rest.split_once(' '));
    match zoned {
        Some((zone, cron)) => (Some(zone.to_owned()).filter(|zone| zone != "UTC"), cron.trim()),
        None => (None, line),
    }
}

/// JSON as a configuration writes it, with its type; nulls are what is not set.
fn anything(value: &Value) -> Option<(Type, Configured)> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(truth) => (Type::Bool, Configured::Bool(*truth)),
        Value::Number(number) => (Type::Number, Configured::Number(number.to_string().parse().ok()?)),
        Value::String(text) => (Type::String, Configured::string(text)),
        Value::Array(items) => {
            let (types, items) = items.iter().filter_map(anything).unzip();
            (Type::Tuple(types), Configured::Tuple(items))
        }
        Value::Object(members) => {
            let members = members.iter().filter_map(|(name, value)| Some((name.clone(), anything(value)?)));
            let (types, members): (Vec<_>, BTreeMap<_, _>) =
                members.map(|(name, (ty, value))| ((name.clone(), ty), (name, value))).unzip();
            (Type::object(types), Configured::Object(members))
        }
    })
}

/// How a configuration says these keys of a store: a secret's name, or `connection`.
pub fn keys_named(shared: &Shared, connection: &S3Connection, are_held: impl Fn(&Keys) -> bool) -> Option<String> {
    let mut words = shared.secret_names().into_iter().chain(std::iter::once(CONNECTION.to_owned()));
    words.find(|word| are_keys(shared, connection, word, &are_held))
}

/// Whether the connection's own keys are these.
pub fn are_own_keys(shared: &Shared, connection: &S3Connection, are_held: impl Fn(&Keys) -> bool) -> bool {
    are_keys(shared, connection, CONNECTION, are_held)
}

fn are_keys(shared: &Shared, connection: &S3Connection, word: &str, are_held: impl Fn(&Keys) -> bool) -> bool {
    let keys = store_keys::of(shared, connection, &word.into()).ok().flatten().flatten();
    keys.is_some_and(|keys| are_held(&keys))
}

/// The name under `secrets` of a value that a Secret holds.
pub fn secret_named(shared: &Shared, held: &[u8]) -> Option<String> {
    shared.secret_names().into_iter().find(|name| {
        let secret = shared.secret(name, &Path::default()).ok().flatten();
        secret.is_some_and(|secret| secret.expose().as_bytes() == held)
    })
}

#[cfg(test)]
mod tests {
    use dr_framework::Shape;
    use serde_json::json;
    use tfplugin::v6::{decode_value, encode_value};

    use super::*;
    use crate::engines::kubernetes::spec::Spec;

    #[test]
    fn empty_texts_are_texts_and_empty_lists_are_none() {
        assert_eq!(list(&json!(["", "a"])), Attr::Known(vec!["".into(), "a".into()]));
        assert_eq!(map(&json!({ "backup": "" })), Attr::Known([("backup".to_owned(), "".into())].into()));
        assert_eq!((list(&json!([])), map(&json!({}))), (Attr::Null, Attr::Null));
    }

    #[test]
    fn what_is_passed_on_has_its_type_and_is_written_as_it_was() {
        let hooks = json!({ "a": [{ "b": 1.5, "c": [true, "x"] }], "d": { "e": -7 }, "f": [] });
        let found = passed(&hooks);
        let mut spec = Spec::default();
        assert_eq!(spec.anything("hooks", &found).done(), json!({ "hooks": hooks }));
        let value = found.to_value();
        let state = encode_value(&value, &Type::Dynamic).expect("a state can hold it");
        assert_eq!(decode_value(Some(&state), &Type::Dynamic).expect("it is read"), value);
        assert_eq!((passed(&json!({})), passed(&Value::Null)), (Attr::Null, Attr::Null));
    }

    #[test]
    fn a_line_has_a_zone_where_it_is_not_utc() {
        assert_eq!(zoned("CRON_TZ=Europe/Berlin 0 2 * * *"), (Some("Europe/Berlin".to_owned()), "0 2 * * *"));
        assert_eq!(zoned("TZ=Asia/Tokyo  @daily"), (Some("Asia/Tokyo".to_owned()), "@daily"));
        for line in ["CRON_TZ=UTC 0 2 * * *", " 0 2 * * *"] {
            assert_eq!(zoned(line), (None, "0 2 * * *"));
        }
    }
}
