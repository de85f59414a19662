//! Other ReplicationDestinations that write the claim of a restore: what they bring would be mixed with the point.

use serde_json::Value;

use super::mover::{Mover, before};
use super::{DESTINATION, RUN_LABEL};
use crate::connections::kubernetes::{ClusterError, DynamicObject};
use crate::run::EngineError;

/// Refuses to restore while somebody else's writes the claim, or will.
pub async fn refuse(mover: &Mover) -> Result<(), EngineError> {
    let all = all(mover).await?;
    let mut of_others = all.iter().filter(|found| run_of(found).is_none());
    let Some((found, when)) = of_others.find_map(|found| Some((found, writes(&found.data)?))) else { return Ok(()) };
    let name = found.metadata.name.as_deref().unwrap_or_default();
    Err(EngineError::nothing_written(format!(
        "{} on cluster `{}` writes into {} too, {when}: set its spec.paused, or remove it, until the restore has ended",
        DESTINATION.called(&mover.namespace, name),
        mover.cluster.name(),
        mover.claim
    )))
}

/// Removes what other runs of ours left that did not come to their end: whoever restores this claim now has waited for those
/// that live.
pub async fn clear_dead(mover: &Mover, key: &str) -> Result<(), EngineError> {
    for found in all(mover).await?.iter().filter(|found| run_of(found).is_some_and(|run| run != key)) {
        let cleared = mover.clear(found.metadata.name.as_deref().unwrap_or_default()).await;
        cleared.map_err(|error| EngineError { before_first_write: true, ..error })?;
    }
    Ok(())
}

async fn all(mover: &Mover) -> Result<Vec<DynamicObject>, EngineError> {
    let found = match mover.cluster.list(&DESTINATION, Some(&mover.namespace), None).await {
        Ok(found) => found,
        Err(ClusterError::MissingKind { .. } | ClusterError::NoNamespace { .. }) => Vec::new(),
        Err(error) => return Err(before(error)),
    };
    Ok(found.into_iter().filter(|found| into(&found.data["spec"]).any(|claim| claim == mover.claim)).collect())
}

fn run_of(destination: &DynamicObject) -> Option<&str> {
    destination.metadata.labels.as_ref()?.get(RUN_LABEL).map(String::as_str)
}

/// The claims that its movers write, whichever mover it has.
fn into(spec: &Value) -> impl Iterator<Item = &str> {
    let movers = spec.as_object().into_iter().flat_map(|spec| spec.values());
    movers.filter_map(|mover| mover.get("destinationPVC")?.as_str())
}

/// When it writes next; none where it rests or has done what it was asked for.
fn writes(destination: &Value) -> Option<String> {
    let (trigger, status) = (&destination["spec"]["trigger"], &destination["status"]);
    if destination["spec"]["paused"] == true {
        return None;
    }
    if let Some(asked) = trigger["manual"].as_str().filter(|asked| !asked.is_empty()) {
        let done = status["lastManualSync"] == asked;
        return (!done).then(|| format!("as its trigger `{asked}` asks"));
    }
    Some(match trigger["schedule"].as_str() {
        Some(schedule) => format!("by its schedule `{schedule}`"),
        None => "again and again, since it has no trigger".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engines::kubernetes::quiesce::tests::api::Api;
    use crate::engines::volsync::mover::tests::mover;

    fn destination(claim: &str, trigger: Value) -> Value {
        json!({ "spec": { "trigger": trigger, "restic": { "destinationPVC": claim, "copyMethod": "Direct" } } })
    }

    #[tokio::test]
    async fn a_destination_of_somebody_else_that_writes_the_claim_is_refused_by_name() {
        let hourly = json!({ "schedule": "0 * * * *" });
        for (trigger, when) in [
            (hourly.clone(), "by its schedule `0 * * * *`"),
            (json!({ "manual": "once" }), "as its trigger `once` asks"),
            (Value::Null, "again and again"),
        ] {
            let api = Api::new();
            api.put(&DESTINATION, "apps", "other", destination("data", trigger));
            let error = refuse(&mover(&api)).await.unwrap_err();
            assert!(error.before_first_write && error.message.contains(when), "{error}");
            assert!(error.message.contains("ReplicationDestination apps/other"), "{error}");
        }
        let rsync = json!({ "spec": { "trigger": hourly, "rsyncTLS": { "destinationPVC": "data" } } });
        let api = Api::new();
        api.put(&DESTINATION, "apps", "other", rsync);
        refuse(&mover(&api)).await.unwrap_err();
    }

    #[tokio::test]
    async fn a_destination_that_rests_or_writes_elsewhere_is_in_nobodys_way() {
        let api = Api::new();
        let hourly = json!({ "schedule": "0 * * * *" });
        api.put(&DESTINATION, "apps", "another-claim", destination("other", hourly.clone()));
        let mut paused = destination("data", hourly.clone());
        paused["spec"]["paused"] = json!(true);
        api.put(&DESTINATION, "apps", "paused", paused);
        let mut done = destination("data", json!({ "manual": "once" }));
        done["status"] = json!({ "lastManualSync": "once" });
        api.put(&DESTINATION, "apps", "done", done);
        api.put(
            &DESTINATION,
            "apps",
            "image",
            json!({ "spec": { "trigger": hourly, "restic": { "capacity": "1Gi" } } }),
        );
        let mut ours = destination("data", json!({ "manual": "0011" }));
        ours["metadata"] = json!({ "labels": { RUN_LABEL: "0011" } });
        api.put(&DESTINATION, "apps", "dr-docs-0011", ours.clone());
        refuse(&mover(&api)).await.unwrap();

        clear_dead(&mover(&api), "0011").await.unwrap();
        assert!(!api.get(&DESTINATION, "apps", "dr-docs-0011").is_null());
        clear_dead(&mover(&api), "2233").await.unwrap();
        assert!(api.get(&DESTINATION, "apps", "dr-docs-0011").is_null(), "another run's goes");
        assert!(!api.get(&DESTINATION, "apps", "done").is_null());
    }
}
