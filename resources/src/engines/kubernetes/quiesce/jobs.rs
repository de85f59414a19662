//! Jobs that what is suspended has started before: suspending it stops none of them.

use serde_json::{Value, json};

use super::failed;
use super::kinds::SCALED_JOB;
use super::pods::live_pods;
use crate::connections::kubernetes::{Cluster, DynamicObject, Kind};
use crate::run::EngineError;

/// Whether objects of this kind start Jobs.
pub(super) fn are_started_by(kind: &Kind) -> bool {
    [&Kind::CRON_JOB, &SCALED_JOB].into_iter().any(|other| (&other.group, &other.kind) == (&kind.group, &kind.kind))
}

/// The Jobs of an object that have not come to their end.
pub(super) async fn at_work(
    cluster: &Cluster,
    namespace: &str,
    owner: &DynamicObject,
) -> Result<Vec<DynamicObject>, EngineError> {
    let mut jobs = cluster.list(&Kind::JOB, Some(namespace), None).await.map_err(failed)?;
    jobs.retain(|job| is_of(job, owner) && is_at_work(job));
    Ok(jobs)
}

/// The pods of Jobs.
pub(super) async fn pods_of(
    cluster: &Cluster,
    namespace: &str,
    jobs: &[DynamicObject],
) -> Result<Vec<DynamicObject>, EngineError> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let mut pods = live_pods(cluster, namespace, None).await?;
    pods.retain(|pod| jobs.iter().any(|job| is_of(pod, job)));
    Ok(pods)
}

fn is_of(object: &DynamicObject, owner: &DynamicObject) -> bool {
    let owners = object.metadata.owner_references.as_deref().unwrap_or_default();
    owner.metadata.uid.as_ref().is_some_and(|uid| owners.iter().any(|owner| owner.uid == *uid))
}

/// Between the attempts of one that fails there is no pod, and another one comes; one that is suspended itself starts none.
fn is_at_work(job: &DynamicObject) -> bool {
    let status = job.data.get("status").unwrap_or(&Value::Null);
    let count = |field: &str| status[field].as_i64().unwrap_or_default();
    let conditions = status["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let has_ended = conditions.iter().any(|condition| {
        condition["status"] == "True" && [json!("Complete"), json!("Failed")].contains(&condition["type"])
    });
    let rests = job.data["spec"]["suspend"] == json!(true);
    count("active") + count("terminating") > 0 || !(has_ended || rests)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_at_work_until_it_has_ended_also_between_its_attempts() {
        let job = |status: Value| -> DynamicObject {
            let suspend = status["suspended"] == true;
            let object = json!({ "metadata": { "name": "x" }, "spec": { "suspend": suspend }, "status": status });
            serde_json::from_value(object).unwrap()
        };
        let ended = |kind: &str, status: &str| json!([{ "type": kind, "status": status }]);
        for at_work in [
            json!({}),
            json!({ "active": 1 }),
            json!({ "failed": 1 }),
            json!({ "conditions": ended("FailureTarget", "True"), "terminating": 1 }),
            json!({ "conditions": ended("Failed", "True"), "terminating": 1 }),
            json!({ "suspended": true, "terminating": 1 }),
        ] {
            assert!(is_at_work(&job(at_work.clone())), "{at_work}");
        }
        for done in [
            json!({ "conditions": ended("Complete", "True") }),
            json!({ "conditions": ended("Failed", "True"), "active": 0 }),
            json!({ "suspended": true }),
        ] {
            assert!(!is_at_work(&job(done.clone())), "{done}");
        }
    }
}
