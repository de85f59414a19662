//! Velero on a cluster: its storage locations, and the objects by which it is told to work.

use std::time::Duration;

use serde_json::{Value, json};

use super::documents::{Progress, Status};
use super::labels;
use super::points::Point;
use super::target::INSTALLED_BY;
use crate::clock;
use crate::connections::kubernetes::{Cluster, ClusterError, DynamicObject, Kind};
use crate::engines::kubernetes::last_seen;
use crate::engines::kubernetes::render::go_duration;
use crate::engines::kubernetes::watch::{Objects, Watches};
use crate::ledger::Counts;
use crate::run::{EngineError, Journal};
use crate::waiting::{Patience, SILENCE, Silence, too_many_wait};
use crate::words::counted;

/// Backups.
pub static BACKUP: Kind = Kind::namespaced("velero.io", "v1", "Backup", "backups");
/// Restores.
pub static RESTORE: Kind = Kind::namespaced("velero.io", "v1", "Restore", "restores");
/// Storage locations.
static LOCATION: Kind = super::target::LOCATION;

/// How long Velero may take to find out that a location can be used.
const VALIDATION: Duration = Duration::from_secs(120);

/// How often Velero looks for backups in a bucket, unless it is told otherwise.
const SYNC: Duration = Duration::from_secs(60);

/// How long Velero may take to remove its records of a restore.
const RECORDS: Duration = Duration::from_secs(120);

/// How long an object may lie there, with nothing else under way, before nobody is taken to be there to work on it.
pub const UNTOUCHED: Duration = Duration::from_secs(300);

/// Phases in which Velero works on an object.
const AT_WORK: [&str; 5] = [
    "InProgress",
    "WaitingForPluginOperations",
    "WaitingForPluginOperationsPartiallyFailed",
    "Finalizing",
    "FinalizingPartiallyFailed",
];

/// Phases that no object leaves again.
const ENDED: [&str; 4] = ["Completed", "PartiallyFailed", "Failed", "FailedValidation"];

/// Velero, installed in a namespace.
#[derive(Clone)]
pub struct Server {
    /// The cluster.
    pub cluster: Cluster,
    /// The namespace that it is installed in.
    pub namespace: String,
    /// Those who wait.
    pub watches: Watches,
}

/// A BackupStorageLocation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Location {
    /// Its name.
    pub name: String,
    /// Whether Velero may only read there.
    pub read_only: bool,
    phase: String,
    message: String,
    synced: Option<String>,
    /// How often Velero looks for backups; zero is never.
    period: Duration,
}

impl Location {
    fn of(name: &str, object: &Value) -> Self {
        let text = |part: &str, field: &str| object[part][field].as_str().map(str::to_owned);
        Location {
            name: name.to_owned(),
            read_only: object["spec"]["accessMode"] == "ReadOnly",
            phase: text("status", "phase").unwrap_or_default(),
            message: text("status", "message").unwrap_or_default(),
            synced: text("status", "lastSyncedTime"),
            period: text("spec", "backupSyncPeriod").and_then(|period| go_duration(&period)).unwrap_or(SYNC),
        }
    }
}

/// How an object of Velero's ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its name.
    pub name: String,
    /// Its status.
    pub status: Status,
}

/// What an object that is to be worked on looks like.
pub struct Order<'a> {
    /// Its kind.
    pub kind: &'a Kind,
    /// How it is called, unless an object of an earlier run is called so.
    pub base: &'a str,
    /// Its labels, beside that of the run.
    pub labels: Value,
    /// What is asked for.
    pub spec: Value,
    /// Whether an object that the ledger names is the one that is wanted.
    pub fits: &'a (dyn Fn(&Value, &Status) -> bool + Sync),
}

impl Server {
    /// Waits until the cluster knows a kind.
    pub async fn ready(&self, kind: &Kind, patience: Patience) -> Result<(), EngineError> {
        INSTALLED_BY.wait_for(&self.cluster, &[&LOCATION, kind], patience).await
    }

    /// Where it is, for messages.
    pub fn describe(&self) -> String {
        format!("Velero in namespace `{}` of cluster `{}`", self.namespace, self.cluster.name())
    }

    /// The location that lies at a prefix of a bucket, once Velero can use it. The one of that name comes first.
    pub async fn location(&self, bucket: &str, prefix: &str, name: Option<&str>) -> Result<Location, EngineError> {
        let locations = self.cluster.list(&LOCATION, Some(&self.namespace), None).await.map_err(before)?;
        let lies_there = |object: &&DynamicObject| {
            let storage = &object.data["spec"]["objectStorage"];
            storage["bucket"] == bucket && storage["prefix"].as_str().unwrap_or_default().trim_matches('/') == prefix
        };
        let mut found: Vec<&DynamicObject> = locations.iter().filter(lies_there).collect();
        found.sort_by_key(|object| (object.metadata.name.as_deref() != name, object.metadata.name.clone()));
        let Some(object) = found.first() else {
            let place = [bucket, prefix].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
            return Err(EngineError::nothing_written(format!(
                "{} has no BackupStorageLocation at s3://{place}: register it with a dr_backup_target there; \
                 access = \"read_only\" is enough to restore",
                self.describe()
            )));
        };
        let location = Location::of(object.metadata.name.as_deref().unwrap_or_default(), &object.data);
        if location.phase == "Available" { Ok(location) } else { self.available(&location.name).await }
    }

    async fn available(&self, name: &str) -> Result<Location, EngineError> {
        let seen = std::sync::Mutex::new((String::new(), String::new()));
        let mut silence = Silence::of(self.cluster.waiting(), SILENCE);
        let available = self.watches.wait_for(&self.cluster, &LOCATION, &self.namespace, |objects| {
            let location = objects.get(name).map(|object| Location::of(name, &object.data));
            if let (Some(location), Ok(mut seen)) = (&location, seen.lock()) {
                *seen = (location.phase.clone(), location.message.clone());
            }
            // Velero says a phase as soon as it looks.
            let speaks = location.as_ref().is_some_and(|location| !location.phase.is_empty());
            match location.filter(|location| location.phase == "Available") {
                Some(location) => Some(Some(location)),
                None => (!silence.goes_on(speaks)).then_some(None),
            }
        });
        match tokio::time::timeout(clock::scaled(VALIDATION), available).await {
            Ok(Ok(Some(location))) => Ok(location),
            Ok(Ok(None)) => {
                let message = too_many_wait(&self.describe(), SILENCE, INSTALLED_BY.depends_on);
                Err(EngineError::nothing_written(message))
            }
            Ok(Err(error)) => Err(before(error)),
            Err(_) => {
                let (phase, message) = seen.into_inner().unwrap_or_default();
                let why = match (phase.as_str(), message.trim().trim_end_matches('.')) {
                    ("", _) => "Velero has not looked at it: does its server run?".to_owned(),
                    (phase, "") => format!("Velero says {phase}, and not why"),
                    (phase, message) => format!("Velero says {phase}: {message}"),
                };
                Err(EngineError::nothing_written(format!(
                    "the BackupStorageLocation `{name}` of {} can't be used: {why}",
                    self.describe()
                )))
            }
        }
    }

    /// Waits until Velero knows a point of its bucket, and makes sure that it is that one. Backups are taken up by Velero
    /// alone: one that somebody else writes would be run again.
    pub async fn knows(&self, point: &Point, location: &Location) -> Result<(), EngineError> {
        if let Some(backup) = self.cluster.get(&BACKUP, &self.namespace, &point.name).await.map_err(before)? {
            return self.stays(&backup, point, location);
        }
        let refuse = |why: String| {
            let message = format!("{} does not know the backup {} of its bucket: {why}", self.describe(), point.name);
            Err(EngineError::nothing_written(message))
        };
        if location.period.is_zero() {
            let why = format!("the BackupStorageLocation `{}` has backupSyncPeriod 0: it never looks", location.name);
            return refuse(why);
        }
        let bound = (2 * location.period + SYNC).max(3 * SYNC);
        let (name, mut synced, mut looks) = (point.name.as_str(), location.synced.clone(), 0);
        let (cluster, namespace) = (&self.cluster, self.namespace.as_str());
        let came = self.watches.wait_for(cluster, &BACKUP, namespace, |objects| objects.get(name).cloned());
        let looked = self.watches.wait_for(cluster, &LOCATION, namespace, |objects| {
            let now = Location::of(&location.name, &objects.get(&location.name)?.data).synced;
            if now != synced {
                (synced, looks) = (now, looks + 1);
            }
            // The first look may have begun before the point was there.
            (looks > 1).then_some(())
        });
        tokio::select! {
            biased;
            came = came => return self.stays(&came.map_err(before)?, point, location),
            looked = looked => looked.map_err(before)?,
            () = clock::sleep(bound) => {
                return refuse(format!("it did not look there within {} s; does its server run?", bound.as_secs()));
            }
        }
        match self.cluster.get(&BACKUP, &self.namespace, &point.name).await.map_err(before)? {
            Some(backup) => self.stays(&backup, point, location),
            None => refuse("it has looked there twice and did not take it up; its server's log says why".to_owned()),
        }
    }

    /// Two buckets may hold backups of one name; a cluster knows one of them.
    pub fn same(&self, backup: &DynamicObject, point: &Point, location: &Location) -> Result<(), EngineError> {
        let started = Status::of(&backup.data).start_timestamp.and_then(|time| time.parse().ok());
        let at = backup.data["spec"]["storageLocation"].as_str();
        if at == Some(&location.name) && (started == point.time || started.is_none()) {
            return Ok(());
        }
        Err(EngineError::nothing_written(format!(
            "{} knows another backup called {}: it lies in `{}` and not in `{}`, or began at another time. Two locations \
             that hold backups of one name can't both be used",
            self.describe(),
            point.name,
            at.unwrap_or_default(),
            location.name
        )))
    }

    /// Whether it is the point, and is not about to go.
    fn stays(&self, backup: &DynamicObject, point: &Point, location: &Location) -> Result<(), EngineError> {
        self.same(backup, point, location)?;
        if !is_going(backup) {
            return Ok(());
        }
        let date = Status::of(&backup.data).expiration.map(|date| format!(" (it expires at {date})"));
        Err(EngineError::nothing_written(format!(
            "{} is removing the backup {}{}: take another recovery point",
            self.describe(),
            point.name,
            date.unwrap_or_default()
        )))
    }

    /// What became of a backup whose Restore is gone.
    pub async fn why_gone(&self, backup: &str) -> Option<String> {
        let found = self.cluster.get(&BACKUP, &self.namespace, backup).await.ok()?;
        found.as_ref().is_none_or(is_going).then(|| format!("the backup {backup} that it read was removed meanwhile"))
    }

    /// The object that an earlier attempt of the run made, if it is what is wanted.
    pub async fn ordered(&self, order: &Order<'_>, journal: &Journal) -> Result<Option<String>, EngineError> {
        let Some(name) = journal.record().await.engine_object else { return Ok(None) };
        let key = journal.key().await;
        let found = self.cluster.get(order.kind, &self.namespace, &name).await.map_err(before)?;
        let fits =
            |object: &DynamicObject| is_of(object, &key) && (order.fits)(&object.data, &Status::of(&object.data));
        Ok(found.filter(fits).map(|_| name))
    }

    /// Removes the Restores of runs that have ended, and waits: Velero lets go of one when its records of it are gone from the bucket.
    pub async fn remove_restores(&self, keys: &[String]) -> Result<(), EngineError> {
        let Server { cluster, namespace, watches } = self;
        let restores = match cluster.list(&RESTORE, Some(namespace), Some(labels::RUN)).await {
            Err(ClusterError::MissingKind { .. } | ClusterError::NoNamespace { .. }) => return Ok(()),
            restores => restores.map_err(engine)?,
        };
        let mut names = Vec::new();
        let ended = |restore: &&DynamicObject| !is_under_way(&Status::of(&restore.data));
        for restore in restores.iter().filter(|restore| keys.iter().any(|key| is_of(restore, key))).filter(ended) {
            let name = restore.metadata.name.clone().unwrap_or_default();
            cluster.delete(&RESTORE, namespace, &name, restore.metadata.uid.as_deref()).await.map_err(engine)?;
            names.push(name);
        }
        let are_gone = |objects: &Objects| names.iter().all(|name| !objects.contains_key(name)).then_some(());
        tokio::select! {
            biased;
            gone = watches.wait_for(cluster, &RESTORE, namespace, are_gone) => gone.map_err(engine),
            () = clock::sleep(RECORDS) => Err(EngineError::new(format!(
                "{} did not let go of the Restores {} within {} s; does its server run? Without it, remove their finalizer, and \
                 what lies below restores/ in the bucket by hand",
                self.describe(),
                names.join(", "),
                RECORDS.as_secs()
            ))),
        }
    }

    /// Makes the object of a run. Its name is written down before it is made.
    pub async fn order(&self, order: &Order<'_>, journal: &Journal) -> Result<String, EngineError> {
        let name = self.free_name(order).await?;
        journal.engine_object(&name).await?;
        self.make(order, &name, &journal.key().await).await
    }

    /// Makes another object for a run, of which the ledger keeps no name.
    pub async fn order_beside(&self, order: &Order<'_>, key: &str) -> Result<String, EngineError> {
        let name = self.free_name(order).await?;
        self.make(order, &name, key).await
    }

    /// Objects of earlier runs stay, and their names are taken.
    async fn free_name(&self, order: &Order<'_>) -> Result<String, EngineError> {
        let mut name = order.base.to_owned();
        let mut number = 1;
        while self.cluster.get(order.kind, &self.namespace, &name).await.map_err(before)?.is_some() {
            number += 1;
            name = format!("{}-{number}", order.base);
        }
        Ok(name)
    }

    async fn make(&self, order: &Order<'_>, name: &str, key: &str) -> Result<String, EngineError> {
        let mut labels = order.labels.clone();
        labels[labels::RUN] = key.into();
        let body = json!({ "metadata": { "name": name, "labels": labels }, "spec": order.spec });
        match self.cluster.create(order.kind, &self.namespace, body).await {
            Ok(_) => Ok(name.to_owned()),
            Err(ClusterError::AlreadyExists { cluster, object }) => {
                // It was not there a moment ago: ours, and the answer was lost.
                let found = self.cluster.get(order.kind, &self.namespace, name).await.map_err(engine)?;
                match found.filter(|object| is_of(object, key)) {
                    Some(_) => Ok(name.to_owned()),
                    None => Err(before(ClusterError::AlreadyExists { cluster, object })),
                }
            }
            // Whether it was made is not known.
            Err(error @ (ClusterError::Unreachable { .. } | ClusterError::Broken { .. })) => Err(engine(error)),
            Err(error) => Err(before(error)),
        }
    }

    /// How far Velero is with an object.
    pub async fn last_seen(&self, kind: &Kind, name: &str) -> String {
        let object = match last_seen::object(&self.cluster, kind, &self.namespace, name).await {
            Ok(object) => object,
            Err(why) => return why,
        };
        let (called, status) = (kind.called(&self.namespace, name), Status::of(&object.data));
        let done = match status.progress {
            Some(progress) => {
                format!(
                    ", with {} of {} items",
                    progress.items_backed_up.max(progress.items_restored),
                    progress.total_items
                )
            }
            None => String::new(),
        };
        match status.phase.as_str() {
            "" => format!("{called} has no phase yet, so Velero has not begun with it"),
            phase => format!("{called} is {phase}{done}"),
        }
    }

    /// Waits until Velero is done with an object.
    pub async fn ended(&self, kind: &Kind, name: &str, journal: &Journal) -> Result<Ended, EngineError> {
        let mut before = None;
        let mut seen = Seen::default();
        loop {
            let step = self
                .watches
                .wait_for(&self.cluster, kind, &self.namespace, |objects| step(objects, name, before, &mut seen));
            match step.await.map_err(engine)? {
                Step::Moved(progress) => {
                    before = Some(progress);
                    journal.progress(counts(progress)).await;
                }
                Step::Ended(status) => return Ok(Ended { name: name.to_owned(), status }),
                Step::Gone => {
                    let what = kind.called(&self.namespace, name);
                    let who = self.cluster.name();
                    return Err(EngineError::new(format!("{what} was deleted on cluster `{who}` while it ran")));
                }
                Step::Untouched => {
                    return Err(EngineError::new(format!(
                        "{} has not begun with {} for {} s: does its server run?",
                        self.describe(),
                        kind.called(&self.namespace, name),
                        UNTOUCHED.as_secs()
                    )));
                }
            }
        }
    }
}

/// What a look at an object showed that is new.
enum Step {
    Moved(Progress),
    Ended(Status),
    Gone,
    Untouched,
}

/// What looks at an object have shown so far.
#[derive(Default)]
struct Seen {
    /// Since when nothing is worked on.
    idle: Option<tokio::time::Instant>,
    /// In how many lists it was missing.
    absent: usize,
}

/// A list that others asked for may be older than the object.
pub const STALE: usize = 1;

fn step(objects: &Objects, name: &str, before: Option<Progress>, seen: &mut Seen) -> Option<Step> {
    let Some(object) = objects.get(name) else {
        seen.absent += 1;
        return (seen.absent > STALE).then_some(Step::Gone);
    };
    seen.absent = 0;
    let status = Status::of(&object.data);
    if ENDED.contains(&status.phase.as_str()) {
        return Some(Step::Ended(status));
    }
    if status.phase == "Deleting" {
        return Some(Step::Gone);
    }
    // Velero works on one after the other: somebody else's may come first.
    let at_work = objects.values().any(|object| AT_WORK.contains(&Status::of(&object.data).phase.as_str()));
    if at_work {
        seen.idle = None;
    } else if seen.idle.get_or_insert_with(tokio::time::Instant::now).elapsed() > clock::scaled(UNTOUCHED) {
        return Some(Step::Untouched);
    }
    status.progress.filter(|progress| before != Some(*progress)).map(Step::Moved)
}

fn counts(progress: Progress) -> Counts {
    Counts {
        files: progress.items_backed_up.max(progress.items_restored),
        total_files: Some(progress.total_items),
        ..Counts::default()
    }
}

/// Whether the run with this key made an object.
pub fn is_of(object: &DynamicObject, key: &str) -> bool {
    object.metadata.labels.as_ref().and_then(|labels| labels.get(labels::RUN)).is_some_and(|run| run == key)
}

/// Whether Velero, or somebody else, is removing a backup.
fn is_going(backup: &DynamicObject) -> bool {
    Status::of(&backup.data).phase == "Deleting" || backup.metadata.deletion_timestamp.is_some()
}

/// Whether an object is not done yet.
pub fn is_under_way(status: &Status) -> bool {
    !ENDED.contains(&status.phase.as_str()) && status.phase != "Deleting"
}

/// A failure before anything was written.
pub fn before(error: ClusterError) -> EngineError {
    EngineError::nothing_written(error.to_string())
}

/// A failure of which it is not known whether something was written.
pub fn engine(error: ClusterError) -> EngineError {
    EngineError::new(error.to_string())
}

/// What a Backup or a Restore says about its end, in one sentence. `complaints` are those of its results.
pub fn verdict(what: &str, status: &Status, complaints: &[String]) -> String {
    let mut reasons = status.validation_errors.clone();
    if !status.failure_reason.is_empty() {
        reasons.push(status.failure_reason.clone());
    }
    reasons.extend(listed(complaints, SHOWN));
    let why = if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) };
    let errors = match status.errors {
        0 => String::new(),
        errors => format!(" with {}", counted(errors, "error", "errors")),
    };
    format!("{what} ended {}{errors}{why}", status.phase)
}

/// How many messages a diagnostic shows.
const SHOWN: usize = 10;

/// The first of many messages, and how many more there are.
pub fn listed(messages: &[String], most: usize) -> Vec<String> {
    let mut shown: Vec<String> =
        messages.iter().take(most).map(|message| message.trim().trim_end_matches('.').to_owned()).collect();
    if messages.len() > most {
        shown.push(format!("and {} more", messages.len() - most));
    }
    shown
}
