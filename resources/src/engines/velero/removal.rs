//! Removes a backup with everything that it stored, which Velero alone can do: a Backup that is only deleted comes back from
//! the bucket.

use std::time::Duration;

use serde_json::{Value, json};

use super::backup::NamespaceBackup;
use super::documents::Status;
use super::labels;
use super::restore::unread;
use super::server::{BACKUP, RESTORE, STALE, Server, UNTOUCHED, before, engine, is_of, is_under_way};
use crate::clock;
use crate::connections::kubernetes::{DynamicObject, Kind};
use crate::engines::kubernetes::watch::Objects;
use crate::ledger::pinned_points;
use crate::run::EngineError;

/// What asks Velero for it.
static REQUEST: Kind = Kind::namespaced("velero.io", "v1", "DeleteBackupRequest", "deletebackuprequests");

/// How often the bucket is looked at that still shows a backup.
const LOOKS: usize = 5;

impl NamespaceBackup {
    /// Removes what a run stored. One that is gone, or another one of that name, is left alone.
    pub(super) async fn removed(&self, run: &str, name: &str) -> Result<Vec<String>, EngineError> {
        let Some(backup) = self.still_there(name).await? else { return Ok(Vec::new()) };
        let called = BACKUP.called(&self.server.namespace, name);
        if !is_of(&backup, run) {
            return Ok(vec![format!("{called} is another one than this job made, and stays")]);
        }
        let records = self.runs.list().await.map_err(|error| EngineError::nothing_written(error.to_string()))?;
        if pinned_points(&records).iter().any(|point| point.id == name) {
            return Err(EngineError::nothing_written(format!(
                "a restore that has not come to its end needs {called}: let it end first"
            )));
        }
        self.server.is_idle_with(name).await?;
        self.server.remove(&backup, name).await?;
        for _ in 0..LOOKS {
            if self.bucket.point(name).await.map_err(unread)?.is_none() {
                return Ok(Vec::new());
            }
            clock::sleep(Duration::from_secs(2)).await;
        }
        Err(EngineError::new(format!("Velero removed {called}, and it is still in {}", self.bucket.describe())))
    }

    /// The backup, as Velero knows it: after a look of its own into the bucket, where that is all that is left.
    async fn still_there(&self, name: &str) -> Result<Option<DynamicObject>, EngineError> {
        let Server { cluster, namespace, .. } = &self.server;
        let known = cluster.get(&BACKUP, namespace, name).await.map_err(before)?;
        let stored = self.bucket.point(name).await.map_err(unread)?;
        if known.is_none() && stored.is_none() {
            return Ok(None);
        }
        let location = self.server.location(&self.place.0, &self.place.1, self.location.as_deref()).await?;
        if location.read_only {
            return Err(EngineError::nothing_written(format!(
                "the BackupStorageLocation `{}` is read-only: nothing can be removed there",
                location.name
            )));
        }
        match (known, stored) {
            (None, Some(point)) => {
                self.server.knows(&point, &location).await?;
                cluster.get(&BACKUP, namespace, name).await.map_err(before)
            }
            (Some(known), Some(point)) => self.server.same(&known, &point, &location).map(|()| Some(known)),
            (known, None) => Ok(known.filter(|known| known.data["spec"]["storageLocation"] == location.name.as_str())),
        }
    }
}

impl Server {
    /// Refuses while Velero restores from a backup, for whomever.
    async fn is_idle_with(&self, backup: &str) -> Result<(), EngineError> {
        let restores = self.cluster.list(&RESTORE, Some(&self.namespace), None).await.map_err(before)?;
        let reads = |restore: &&DynamicObject| {
            restore.data["spec"]["backupName"] == backup && is_under_way(&Status::of(&restore.data))
        };
        match restores.iter().find(reads).and_then(|restore| restore.metadata.name.as_deref()) {
            Some(restore) => Err(EngineError::nothing_written(format!(
                "{} reads the backup: let it end first",
                RESTORE.called(&self.namespace, restore)
            ))),
            None => Ok(()),
        }
    }

    /// Asks for the removal of a backup and waits until it is gone.
    async fn remove(&self, backup: &DynamicObject, name: &str) -> Result<(), EngineError> {
        let labels = json!({ labels::BACKUP: labels::value(name), labels::BACKUP_UID: backup.metadata.uid });
        let metadata = json!({ "generateName": format!("{name}-"), "labels": labels });
        let body = json!({ "metadata": metadata, "spec": { "backupName": name } });
        let made = self.cluster.create(&REQUEST, &self.namespace, body).await.map_err(engine)?;
        let request = made.metadata.name.unwrap_or_default();
        let (mut absent, mut idle) = (0, None);
        let gone = self.watches.wait_for(&self.cluster, &BACKUP, &self.namespace, |objects| {
            absent = if objects.contains_key(name) { 0 } else { absent + 1 };
            (absent > STALE).then_some(())
        });
        let refused = self
            .watches
            .wait_for(&self.cluster, &REQUEST, &self.namespace, |objects| refusal(objects, &request, &mut idle));
        let why = tokio::select! {
            biased;
            gone = gone => return gone.map_err(engine),
            refused = refused => refused.map_err(engine)?,
        };
        let called = BACKUP.called(&self.namespace, name);
        Err(EngineError::new(match why {
            Refusal::Failed(errors) => {
                format!("{} could not remove {called}: {}", self.describe(), errors.join("; "))
            }
            Refusal::Untouched => format!(
                "{} has not begun with {} for {} s: does its server run?",
                self.describe(),
                REQUEST.called(&self.namespace, &request),
                UNTOUCHED.as_secs()
            ),
        }))
    }
}

/// Why a backup is not removed.
#[derive(Debug, PartialEq)]
enum Refusal {
    /// With Velero's own words.
    Failed(Vec<String>),
    /// Nobody works on the request.
    Untouched,
}

/// What a look at the requests shows of one that came to nothing. `idle` is since when nothing is worked on.
fn refusal(requests: &Objects, name: &str, idle: &mut Option<tokio::time::Instant>) -> Option<Refusal> {
    let phase = |object: &DynamicObject| object.data["status"]["phase"].as_str().unwrap_or_default().to_owned();
    if let Some(request) = requests.get(name).filter(|request| phase(request) == "Processed") {
        let errors = request.data["status"]["errors"].as_array().map(Vec::as_slice).unwrap_or_default();
        let errors: Vec<String> = errors.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        // Without one the Backup goes.
        return (!errors.is_empty()).then_some(Refusal::Failed(errors));
    }
    // Velero works on one after the other: somebody else's may come first.
    if requests.values().any(|request| phase(request) == "InProgress") {
        *idle = None;
        return None;
    }
    let since = idle.get_or_insert_with(tokio::time::Instant::now);
    (since.elapsed() > clock::scaled(UNTOUCHED)).then_some(Refusal::Untouched)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(status: Value) -> Objects {
        let request = json!({ "metadata": { "name": "ours" }, "status": status });
        [("ours".to_owned(), serde_json::from_value(request).unwrap())].into()
    }

    #[test]
    fn a_request_fails_with_veleros_words_or_when_nobody_begins_with_it() {
        let mut idle = None;
        let errors = json!({ "phase": "Processed", "errors": ["backup is still in progress"] });
        let failed = Refusal::Failed(vec!["backup is still in progress".to_owned()]);
        assert_eq!(refusal(&requests(errors), "ours", &mut idle), Some(failed));
        assert_eq!(refusal(&requests(json!({ "phase": "Processed" })), "ours", &mut idle), None, "the Backup goes");
        let long_ago = tokio::time::Instant::now().checked_sub(UNTOUCHED + Duration::from_secs(1));
        for (phase, expected) in
            [("InProgress", None), ("New", Some(Refusal::Untouched)), ("", Some(Refusal::Untouched))]
        {
            let mut idle = long_ago;
            assert_eq!(refusal(&requests(json!({ "phase": phase })), "ours", &mut idle), expected, "{phase}");
        }
        assert_eq!(refusal(&Objects::new(), "ours", &mut idle), None, "it is looked for a while");
        assert!(idle.is_some());
    }
}
