//! A ReplicationSource that rests while its claim is restored, and that begins anew afterwards.
//!
//! `spec.paused` alone does not do it: VolSync takes the snapshot or the clone of the claim all the same, and only starts no
//! mover on it (`Synchronize` and `ensureJob` in `internal/controller/mover/restic/mover.go`). The image of a claim that is half
//! restored would be stored, as the newest point, once the source goes on. A source whose claim does not exist gets no further
//! than looking for it, whatever it was about to do.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::mover::before;
use super::{SNAPSHOT, SOURCE};
use crate::clock;
use crate::connections::kubernetes::{Cluster, ClusterError, DynamicObject, Kind};
use crate::run::EngineError;

/// Follows the claim's name in a source that rests. No object of Kubernetes has an underscore in its name.
const MARK: &str = "_is_being_restored_by_dr";

/// On what VolSync makes for one run, with the uid of the source (`internal/controller/utils/cleanup.go`).
const CLEANUP: &str = "volsync.backube/cleanup";

/// On snapshots that VolSync's users want kept.
const KEEP: &str = "volsync.backube/do-not-delete";

/// How long what a run had made may take to go.
const GONE: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_secs(2);

/// The claim of a source that rests, as it is said meanwhile.
pub fn resting(claim: &str) -> String {
    format!("{claim}{MARK}")
}

/// The claim of a source, also while it rests.
pub fn claim_of(spec: &Value) -> Option<&str> {
    let claim = spec["sourcePVC"].as_str()?;
    Some(claim.strip_suffix(MARK).unwrap_or(claim))
}

/// Whether a source rests.
pub fn rests(source: &DynamicObject) -> bool {
    source.data["spec"]["sourcePVC"].as_str().is_some_and(|claim| claim.ends_with(MARK))
}

/// Whether `paused` is all that stops it: Syncthing's mover runs for ever, until it is told to stop.
pub fn only_pauses(source: &DynamicObject) -> bool {
    !source.data["spec"]["syncthing"].is_null()
}

async fn read(cluster: &Cluster, namespace: &str, name: &str) -> Result<Option<DynamicObject>, EngineError> {
    match cluster.get(&SOURCE, namespace, name).await {
        Err(ClusterError::MissingKind { .. }) => Ok(None),
        found => found.map_err(before),
    }
}

async fn merge(cluster: &Cluster, namespace: &str, name: &str, spec: Value) -> Result<(), EngineError> {
    match cluster.merge(&SOURCE, namespace, name, json!({ "spec": spec }), None).await {
        Ok(_) | Err(ClusterError::NotFound { .. } | ClusterError::NoNamespace { .. }) => Ok(()),
        Err(error) => Err(before(error)),
    }
}

/// Has a source rest, and ends what it was doing: a backup that is under way reads what is about to be written, and one that
/// goes on afterwards would store as the newest what was there before.
pub async fn hold(cluster: &Cluster, namespace: &str, name: &str) -> Result<(), EngineError> {
    let Some(source) = read(cluster, namespace, name).await?.filter(|source| !only_pauses(source)) else {
        return Ok(());
    };
    if let Some(claim) = claim_of(&source.data["spec"]).filter(|_| !rests(&source)) {
        merge(cluster, namespace, name, json!({ "paused": true, "sourcePVC": resting(claim) })).await?;
    }
    end(cluster, namespace, &source).await
}

/// Before a source goes on: nothing may be left that it took of the claim meanwhile. A version of this program that only
/// paused it, or somebody who changed it back, let it take some.
pub async fn before_it_goes_on(cluster: &Cluster, namespace: &str, name: &str) -> Result<(), EngineError> {
    match read(cluster, namespace, name).await? {
        Some(source) if rests(&source) || source.data["spec"]["paused"] == true => hold(cluster, namespace, name).await,
        // It goes on already.
        _ => Ok(()),
    }
}

/// Has a source go on with its claim, where a record does not say that it rests.
pub async fn go_on(cluster: &Cluster, namespace: &str, name: &str) -> Result<(), EngineError> {
    let Some(source) = read(cluster, namespace, name).await?.filter(rests) else { return Ok(()) };
    merge(cluster, namespace, name, json!({ "sourcePVC": claim_of(&source.data["spec"]) })).await
}

/// Removes what VolSync made for the run that is under way, as it does itself after each, and waits until it is gone.
async fn end(cluster: &Cluster, namespace: &str, source: &DynamicObject) -> Result<(), EngineError> {
    let begun = Instant::now();
    loop {
        let made = made_by(cluster, namespace, source).await?;
        if made.is_empty() {
            return Ok(());
        }
        for (kind, object) in &made {
            remove(cluster, kind, namespace, object).await?;
        }
        if begun.elapsed() > clock::scaled(GONE) {
            let called = |(kind, object): &(Kind, DynamicObject)| {
                kind.called(namespace, object.metadata.name.as_deref().unwrap_or_default())
            };
            let left: Vec<String> = made.iter().map(called).collect();
            let called = SOURCE.called(namespace, source.metadata.name.as_deref().unwrap_or_default());
            return Err(EngineError::nothing_written(format!(
                "a backup of {called} was under way, and what it made is still there: remove {}",
                left.join(", ")
            )));
        }
        clock::sleep(LOOK).await;
    }
}

async fn remove(cluster: &Cluster, kind: &Kind, namespace: &str, object: &DynamicObject) -> Result<(), EngineError> {
    let metadata = &object.metadata;
    let kept = metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(KEEP));
    let (Some(name), None, false) = (&metadata.name, &metadata.deletion_timestamp, kept) else { return Ok(()) };
    match cluster.delete(kind, namespace, name, metadata.uid.as_deref()).await {
        Ok(_) | Err(ClusterError::Changed { .. }) => Ok(()),
        Err(error) => Err(before(error)),
    }
}

/// What VolSync made for the run that is under way. The mover reads the claim itself where no copy is made.
async fn made_by(
    cluster: &Cluster,
    namespace: &str,
    source: &DynamicObject,
) -> Result<Vec<(Kind, DynamicObject)>, EngineError> {
    let label = format!("{CLEANUP}={}", source.metadata.uid.as_deref().unwrap_or_default());
    let movers = source.data["spec"].as_object().into_iter().flat_map(|spec| spec.values());
    let method = movers.filter_map(|mover| mover.get("copyMethod")?.as_str()).next();
    let kinds: &[Kind] = match method {
        Some("Snapshot") => &[Kind::JOB, Kind::PVC, SNAPSHOT],
        Some("Clone") => &[Kind::JOB, Kind::PVC],
        _ => &[Kind::JOB],
    };
    let mut made = Vec::new();
    for kind in kinds {
        match cluster.list(kind, Some(namespace), Some(&label)).await {
            Ok(objects) => made.extend(objects.into_iter().map(|object| (kind.clone(), object))),
            Err(ClusterError::MissingKind { .. }) => {}
            Err(error) => return Err(before(error)),
        }
    }
    Ok(made)
}
