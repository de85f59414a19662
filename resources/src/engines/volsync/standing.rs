//! A ReplicationDestination that stands: it holds an image of one recovery point, and VolSync fills every new claim from it
//! that names it in `dataSourceRef`.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::mover::{Mover, before};
use super::restore::{ClaimRestore, as_of, check_log};
use super::secret::{remove_copy, with_secret};
use super::{DESTINATION, RUN_LABEL, SNAPSHOT};
use crate::clock;
use crate::connections::kubernetes::{Cluster, ClusterError, DynamicObject, Kind};
use crate::engines::kubernetes::owned;
use crate::ledger::{ConfigMapLedger, LedgerError, LedgerStore, PinnedPoint, Record, Verdict, engine_object_name};
use crate::run::{DataSource, EngineError, Journal, Standing};

/// How long a snapshot may take to be ready after VolSync published it.
const READY: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_secs(2);

/// What a claim names that is filled from the destination.
fn source(name: &str) -> DataSource {
    DataSource { api_group: DESTINATION.group.to_string(), kind: DESTINATION.kind.to_string(), name: name.to_owned() }
}

/// The destination that a claim was made from, if any.
fn source_of(claim: &DynamicObject) -> Option<DataSource> {
    let named = &claim.data["spec"]["dataSourceRef"];
    let is_destination = named["apiGroup"] == *DESTINATION.group && named["kind"] == *DESTINATION.kind;
    named["name"].as_str().filter(|_| is_destination).map(source)
}

/// What tells a claim that was filled from a destination of ours.
fn incarnation(namespace: &str, name: &str) -> String {
    format!("from {}", DESTINATION.called(namespace, name))
}

/// Whether a claim was filled with what a run handed over: then it is as old as its recovery point, not as its object.
pub async fn has_filled(cluster: &Cluster, namespace: &str, claim: &str) -> Result<bool, LedgerError> {
    let found = cluster.get(&Kind::PVC, namespace, claim).await.ok().flatten();
    let Some(source) = found.as_ref().and_then(source_of) else { return Ok(false) };
    let records = ConfigMapLedger::new(cluster.clone(), namespace).list().await?;
    Ok(is_of(&records, &incarnation(namespace, &source.name)))
}

fn is_of(records: &[Record], incarnation: &str) -> bool {
    let handed_over = |record: &&Record| record.verdict == Some(Verdict::HandedOver);
    records.iter().filter(handed_over).any(|record| record.incarnation.as_deref() == Some(incarnation))
}

/// The trigger of a point: another point is another run of VolSync's, the same one is not.
fn trigger(record: &Record, point: &PinnedPoint) -> String {
    format!("{}-{}", record.key, point.id.get(..8).unwrap_or(&point.id))
}

fn spec(restic: &Value, record: &Record, point: &PinnedPoint) -> Value {
    let mut restic = restic.clone();
    restic["restoreAsOf"] = as_of(point).into();
    json!({ "trigger": { "manual": trigger(record, point) }, "restic": restic })
}

/// Whether somebody else made it.
fn is_foreign(destination: &DynamicObject) -> bool {
    !destination.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(RUN_LABEL))
}

/// Makes the image of a point and waits until new claims can be filled from it. One that is not certainly the point's is
/// taken away: VolSync would fill new claims from it, and an empty image is one to VolSync.
pub async fn hand_over(restore: &ClaimRestore, point: &PinnedPoint, journal: &Journal) -> Result<String, EngineError> {
    let record = journal.record().await;
    let name = record.name.as_str();
    let image = restore.image.as_ref();
    let image = image.ok_or_else(|| EngineError::nothing_written("the size of the image is not known"))?;
    let Mover { cluster, namespace, watches, .. } = &restore.mover;
    let mover = Mover {
        cluster: cluster.clone(),
        watches: watches.clone(),
        namespace: namespace.clone(),
        claim: format!("volsync-{name}-dest"),
        kind: DESTINATION,
        jobs: "volsync-dst-",
    };
    if let Some(found) = cluster.get(&DESTINATION, namespace, name).await.map_err(before)? {
        if is_foreign(&found) {
            let called = DESTINATION.called(namespace, name);
            let why = format!("{called} is there already, and something else made it: remove it, or rename the job");
            return Err(EngineError::nothing_written(why));
        }
        // Another point's, or somebody changed it: what is in it and who owns its fields is not known.
        let is_other = rewritten(&found, &record, point).is_some();
        let image = Image::of(cluster, namespace, Some(&found)).await.map_err(before)?;
        if is_other || (has_run(&found, &record, point) && matches!(image, Image::Gone(_))) {
            mover.clear(name).await.map_err(|error| EngineError::nothing_written(error.to_string()))?;
        }
    }
    let copy = engine_object_name(name, &record.key);
    let is_copied = !restore.secret.is_in(cluster, namespace);
    if is_copied {
        restore.secret.copy_to((cluster, namespace), &copy, &record.key, str::to_owned).await?;
    }
    let restic = if is_copied { with_secret(image, &copy) } else { image.clone() };
    journal.engine_object(name).await?;
    let body = json!({ "metadata": { "labels": { RUN_LABEL: record.key } }, "spec": spec(&restic, &record, point) });
    cluster.apply(&DESTINATION, namespace, name, body, false).await.map_err(before)?;
    if is_copied {
        owned::by(cluster, namespace, &copy, &DESTINATION, name).await;
    }
    let made = published(&mover, name, &record, point).await;
    if is_copied {
        remove_copy(cluster, namespace, &copy).await;
    }
    match made {
        Ok(()) => Ok(incarnation(namespace, name)),
        Err(why) => {
            let cleared = mover.clear(name).await.err();
            let left = cleared.map(|error| format!(". It could not be taken away either: {error}")).unwrap_or_default();
            Err(EngineError::nothing_written(format!("{why}{left}")))
        }
    }
}

/// Waits for VolSync, and for the snapshot.
async fn published(mover: &Mover, name: &str, record: &Record, point: &PinnedPoint) -> Result<(), EngineError> {
    let log = mover.ended(name, &trigger(record, point)).await?;
    check_log(&log, point)?;
    let begun = Instant::now();
    loop {
        let found = mover.cluster.get(&DESTINATION, &mover.namespace, name).await.map_err(before)?;
        match Image::of(&mover.cluster, &mover.namespace, found.as_ref()).await.map_err(before)? {
            Image::Ready => return Ok(()),
            Image::Coming(_) if begun.elapsed() < clock::scaled(READY) => {}
            Image::Coming(why) | Image::Gone(why) => return Err(EngineError::nothing_written(why)),
        }
        clock::sleep(LOOK).await;
    }
}

/// What a destination has published.
enum Image {
    /// Claims can be made from it.
    Ready,
    /// It is about to be.
    Coming(String),
    /// VolSync will not make it again by itself.
    Gone(String),
}

impl Image {
    async fn of(
        cluster: &Cluster,
        namespace: &str,
        destination: Option<&DynamicObject>,
    ) -> Result<Image, ClusterError> {
        let Some(found) = destination.filter(|found| found.metadata.deletion_timestamp.is_none()) else {
            return Ok(Image::Gone("its ReplicationDestination does not exist".to_owned()));
        };
        let image = &found.data["status"]["latestImage"];
        let Some(name) = image["name"].as_str().filter(|_| image["kind"] == *SNAPSHOT.kind) else {
            return Ok(Image::Gone("its ReplicationDestination has published no snapshot".to_owned()));
        };
        let called = SNAPSHOT.called(namespace, name);
        Ok(match cluster.get(&SNAPSHOT, namespace, name).await? {
            None => Image::Gone(format!("{called} does not exist")),
            Some(taken) if taken.data["status"]["readyToUse"] == true => Image::Ready,
            Some(taken) => {
                let error = taken.data["status"]["error"]["message"].as_str();
                Image::Coming(format!("{called} is not ready: {}", error.unwrap_or("the storage gives no reason")))
            }
        })
    }

    fn why_not(self) -> Option<String> {
        match self {
            Image::Ready => None,
            Image::Coming(why) | Image::Gone(why) => Some(why),
        }
    }
}

/// What a destination asks for that is not the point.
fn rewritten(found: &DynamicObject, record: &Record, point: &PinnedPoint) -> Option<&'static str> {
    let (trigger, restic) = (&found.data["spec"]["trigger"], &found.data["spec"]["restic"]);
    let changed = [
        (trigger["manual"] != *self::trigger(record, point), "its trigger is another one"),
        (!trigger["schedule"].is_null(), "it was given a schedule"),
        (restic["restoreAsOf"] != *as_of(point), "its restoreAsOf is another one"),
        (!restic["previous"].is_null(), "its `previous` was set"),
    ];
    changed.into_iter().find_map(|(is_so, why)| is_so.then_some(why))
}

fn has_run(found: &DynamicObject, record: &Record, point: &PinnedPoint) -> bool {
    found.data["status"]["lastManualSync"] == *trigger(record, point)
}

/// Why a destination is not what the run left.
fn changed(found: &DynamicObject, record: &Record, point: &PinnedPoint) -> Option<String> {
    let unrun = || (!has_run(found, record, point)).then_some("VolSync has not run it as it is");
    let why = rewritten(found, record, point).or_else(unrun)?;
    Some(format!("its ReplicationDestination holds another image: {why}"))
}

/// What a new claim names, and whether it would be filled.
pub async fn look(restore: &ClaimRestore, record: Option<&Record>) -> Result<Standing, EngineError> {
    let Mover { cluster, namespace, claim, .. } = &restore.mover;
    // One that was handed over before and is handed over anew is a new decision of the same run.
    let of_ours = |record: &&Record| record.incarnation == Some(incarnation(namespace, &record.name));
    let handed_over = record.filter(of_ours);
    let Some((record, point)) = handed_over.and_then(|record| Some((record, record.point.as_ref()?))) else {
        let found = cluster.get(&Kind::PVC, namespace, claim).await.map_err(before)?;
        let why_not = Some("nothing was handed over".to_owned());
        return Ok(Standing { source: found.as_ref().and_then(source_of), why_not });
    };
    let found = cluster.get(&DESTINATION, namespace, &record.name).await.map_err(before)?;
    let why_not = match found.as_ref().and_then(|found| changed(found, record, point)) {
        Some(why) => Some(why),
        None => Image::of(cluster, namespace, found.as_ref()).await.map_err(before)?.why_not(),
    };
    Ok(Standing { source: Some(source(&record.name)), why_not })
}

/// Removes the destination of a job whose last run has this key, and with it the image. Claims that were filled from it are
/// volumes of their own.
pub async fn withdraw(cluster: &Cluster, namespace: &str, name: &str, key: &str) -> Result<(), ClusterError> {
    let Some(found) = cluster.get(&DESTINATION, namespace, name).await? else { return Ok(()) };
    let Some(maker) = found.metadata.labels.as_ref().and_then(|labels| labels.get(RUN_LABEL)) else { return Ok(()) };
    if maker != key && !fill_one_target(&ConfigMapLedger::new(cluster.clone(), namespace), maker, key).await {
        tracing::info!(name, maker, key, "another job hands over by this name now: its image stays");
        return Ok(());
    }
    match cluster.delete(&DESTINATION, namespace, name, found.metadata.uid.as_deref()).await {
        Ok(_) | Err(ClusterError::Changed { .. }) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether two runs are of one job: what the ledger can't tell are two.
async fn fill_one_target(ledger: &impl LedgerStore, one: &str, other: &str) -> bool {
    let target = async |key| ledger.read(key).await.ok().flatten().map(|record| record.target);
    let (one, other) = (target(one).await, target(other).await);
    one.is_some() && one == other
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::JobKind;

    fn record() -> Record {
        Record::new(JobKind::Restore, "0123456789abcdef", "docs", "volsync", "apps/data")
    }

    fn point(id: &str) -> PinnedPoint {
        PinnedPoint { id: id.to_owned(), time: "2026-11-20T10:30:07.913Z".parse().unwrap(), bytes: Some(8) }
    }

    fn object(spec: Value, status: Value) -> DynamicObject {
        serde_json::from_value(json!({ "metadata": { "name": "docs" }, "spec": spec, "status": status })).unwrap()
    }

    #[test]
    fn another_point_is_another_trigger_and_asks_for_its_own_second() {
        let spec = spec(&json!({ "copyMethod": "Snapshot" }), &record(), &point("1e5fb9a8b1"));
        assert_eq!(spec["trigger"], json!({ "manual": "0123456789abcdef-1e5fb9a8" }));
        assert_eq!(spec["restic"]["restoreAsOf"], "2026-11-20T10:30:07Z");
        assert_ne!(trigger(&record(), &point("1e5fb9a8b1")), trigger(&record(), &point("77aa77aa00")));
    }

    #[test]
    fn what_somebody_changes_of_a_destination_makes_its_image_another_one() {
        let pin = point("1e5fb9a8b1");
        let good = spec(&json!({}), &record(), &pin);
        let ran = json!({ "lastManualSync": trigger(&record(), &pin) });
        let check = |spec: Value, status: &Value| changed(&object(spec, status.clone()), &record(), &pin);
        assert_eq!(check(good.clone(), &ran), None);
        let with = |pointer: &str, value: Value| {
            let mut spec = good.clone();
            let (parent, field) = pointer.rsplit_once('/').unwrap();
            spec.pointer_mut(parent).unwrap()[field] = value;
            spec
        };
        let wrong = [
            (with("/trigger/manual", "now".into()), &ran, "trigger is another"),
            (with("/trigger/schedule", "0 * * * *".into()), &ran, "a schedule"),
            (with("/restic/restoreAsOf", "2020-01-01T00:00:00Z".into()), &ran, "restoreAsOf"),
            (with("/restic/previous", 1.into()), &ran, "previous"),
            (good.clone(), &json!({}), "not run"),
        ];
        for (spec, status, expected) in wrong {
            let why = check(spec, status).unwrap();
            assert!(why.contains(expected), "{why}");
        }
    }

    #[test]
    fn a_claim_tells_the_destination_that_it_was_made_from() {
        let named = |group: &str, kind: &str| {
            object(json!({ "dataSourceRef": { "apiGroup": group, "kind": kind, "name": "docs" } }), json!({}))
        };
        assert_eq!(source_of(&named("volsync.backube", "ReplicationDestination")), Some(source("docs")));
        assert_eq!(source_of(&named("snapshot.storage.k8s.io", "VolumeSnapshot")), None);
        assert_eq!(source_of(&object(json!({}), json!({}))), None);
    }

    #[test]
    fn only_what_was_handed_over_makes_a_new_claim_an_old_one() {
        let mut handed_over = record();
        handed_over.incarnation = Some(incarnation("apps", "docs"));
        assert!(!is_of(std::slice::from_ref(&handed_over), &incarnation("apps", "docs")));
        handed_over.verdict = Some(Verdict::HandedOver);
        assert!(is_of(std::slice::from_ref(&handed_over), &incarnation("apps", "docs")));
        assert!(!is_of(&[handed_over], &incarnation("apps", "other")));
    }
}
