//! Restores namespaces from a backup: the engine's side of the restore state machine.

use async_trait::async_trait;
use serde_json::{Value, json};

mod existing;
mod returned;
mod room;

use self::existing::Stage;
pub use self::room::ExistingClaims;
use super::bucket::{Bucket, Contents};
use super::documents::{Method, Resources, Results, Status, Volume};
use super::labels;
use super::namespaces::{self, Freshness};
use super::pins;
use super::points::{Phase, Point, Series};
use super::selection::Selection;
use super::server::{self, BACKUP, Ended, Location, Order, RESTORE, Server, before, is_under_way, listed, verdict};
use crate::connections::kubernetes::Kind;
use crate::engines::concepts::RestoreEngine;
use crate::engines::kubernetes::last_seen;
use crate::engines::table::QuiesceOrder;
use crate::ledger::{PinnedPoint, Record, engine_object_name};
use crate::run::{EngineError, FirstUse, Journal, Listing, Pins, Points, Probe, Restore, Restored, Safety};
use crate::store::StoreError;
use crate::waiting::Patience;
use crate::words::counted;

/// Of how many points it is read what they hold: more than the newest is compared with.
const DESCRIBED: usize = 32;

/// How long a safety backup is kept.
const SAFETY_TTL: &str = "720h";

/// How many warnings of Velero's are shown.
const SHOWN: usize = 5;

/// What of the spec of the restored backup a safety backup is made with too: how volumes are saved there.
const VOLUME_FIELDS: [&str; 8] = [
    "snapshotVolumes",
    "snapshotMoveData",
    "defaultVolumesToFsBackup",
    "volumeSnapshotLocations",
    "csiSnapshotTimeout",
    "itemOperationTimeout",
    "resourcePolicy",
    "datamover",
];

/// Namespaces to restore.
pub struct NamespaceRestore {
    /// Velero on the cluster that is restored to.
    pub server: Server,
    /// Where the points are.
    pub bucket: Bucket,
    /// The bucket's name and the prefix in it, as a location names them.
    pub place: (String, String),
    /// The location that the source is registered as, if it is.
    pub location: Option<String>,
    /// Which points count.
    pub series: Series,
    /// What is restored.
    pub selection: Selection,
    /// The same as a spec of Velero's, without the backup.
    pub spec: Value,
    /// What becomes of claims that exist.
    pub existing_claims: ExistingClaims,
    /// Storage classes that are replaced.
    pub storage_classes: Vec<(String, String)>,
    /// Whether a restore, or a backup, that failed in part counts as one that succeeded.
    pub accept_partially_failed: bool,
}

impl NamespaceRestore {
    async fn location(&self) -> Result<Location, EngineError> {
        self.server.location(&self.place.0, &self.place.1, self.location.as_deref()).await
    }

    async fn stored(&self, id: &str) -> Result<Point, EngineError> {
        let gone = || EngineError::nothing_written(format!("there is no backup {id} in {}", self.bucket.describe()));
        self.bucket.point(id).await.map_err(unread)?.ok_or_else(gone)
    }

    /// What is selected of a point: of a safety backup everything.
    fn selection_for(&self, point: &Point) -> Selection {
        match point.safety {
            true => Selection { namespaces: self.selection.destinations(), ..Selection::default() },
            false => self.selection.clone(),
        }
    }

    /// Refuses what would end well and bring no data.
    fn check_content(&self, point: &Point, contents: &Contents) -> Result<(), EngineError> {
        match self.selection.hopeless(contents.known()) {
            Some(why) => Err(EngineError::nothing_written(format!("{} would bring no data: {why}", point.name))),
            None => Ok(()),
        }
    }

    fn is_success(&self, status: &Status) -> bool {
        status.phase == "Completed" || (status.phase == "PartiallyFailed" && self.accept_partially_failed)
    }

    /// The spec of a Restore. A safety backup is brought back whole, over what is there.
    fn spec_for(&self, point: &Point, modifier: Option<&str>) -> Value {
        let mut spec = match point.safety {
            true => json!({
                "includedNamespaces": self.selection.destinations(),
                "existingResourcePolicy": "update",
            }),
            false => self.spec.clone(),
        };
        spec["backupName"] = point.name.clone().into();
        if let Some(name) = modifier.filter(|_| !point.safety) {
            spec["resourceModifier"] = json!({ "kind": "ConfigMap", "name": name });
        }
        spec
    }

    /// Velero's own way to change storage classes holds for every restore on the cluster; modifiers hold for one.
    async fn put_modifier(&self, name: &str) -> Result<Option<String>, EngineError> {
        if self.storage_classes.is_empty() {
            return Ok(None);
        }
        let body = json!({
            "metadata": { "labels": { labels::EXCLUDE: "true" } },
            "data": { "rules.yaml": modifier(&self.storage_classes).to_string() },
        });
        let Server { cluster, namespace, .. } = &self.server;
        cluster.apply(&Kind::CONFIG_MAP, namespace, name, body, false).await.map_err(before)?;
        Ok(Some(name.to_owned()))
    }

    async fn outcome(&self, ended: &Ended, point: &Point, contents: &Contents) -> Result<Restored, EngineError> {
        let Ended { name, status } = ended;
        let what = format!("the Restore {}/{name}", self.server.namespace);
        let results = self.results(name).await;
        match status.phase.as_str() {
            "Completed" => {}
            "PartiallyFailed" if self.accept_partially_failed => {}
            "FailedValidation" => return Err(EngineError::nothing_written(verdict(&what, status, &[]))),
            "PartiallyFailed" => {
                let why = verdict(&what, status, &results.errors.lines());
                let way_out = "what it could restore is there. accept_partially_failed = true takes that for a success";
                return Err(EngineError::new(format!("{why}; {way_out}")));
            }
            _ => return Err(EngineError::new(verdict(&what, status, &results.errors.lines()))),
        }
        let written = self.bucket.restored(name).await.map_err(late)?;
        self.check_written(&what, point, written.as_ref(), status)?;
        let volumes = self.bucket.restored_volumes(name).await.map_err(late)?;
        let expected = self.expected(point, contents, written.as_ref());
        let doubts = self.check_returned(ended, point, expected, volumes.as_deref()).await?;
        let items = written.map_or(status.progress.unwrap_or_default().items_restored, |written| written.written());
        let mut warnings = self.warnings(point, contents, status, &results).await?;
        warnings.extend(doubts);
        Ok(Restored { bytes: bytes(volumes.as_deref().unwrap_or(contents.known())), items, warnings })
    }

    /// An empty success is none, but for a safety backup of what nothing was changed of.
    fn check_written(
        &self,
        what: &str,
        point: &Point,
        written: Option<&Resources>,
        status: &Status,
    ) -> Result<(), EngineError> {
        let progress = status.progress.unwrap_or_default();
        let skipped = match written {
            Some(written) if written.written() > 0 || (point.safety && written.is_unchanged()) => return Ok(()),
            Some(written) => written.count(),
            None if progress.items_restored > 0 => return Ok(()),
            None => 0,
        };
        let why = match skipped {
            0 => "no object of the backup is selected".to_owned(),
            1 => "the one object was there already and was skipped; existing_resource_policy = \"update\" changes it, \
                  namespace_mapping restores elsewhere"
                .to_owned(),
            skipped => format!(
                "all {skipped} objects were there already and were skipped; existing_resource_policy = \"update\" changes \
                 them, namespace_mapping restores elsewhere"
            ),
        };
        Err(EngineError::new(format!("{what} ended {} and restored nothing: {why}", status.phase)))
    }

    /// What Velero complained about. It is told beside how a restore ended, so that it is missed is no failure.
    async fn results(&self, restore: &str) -> Results {
        match self.bucket.restore_results(restore).await {
            Ok(results) => results.unwrap_or_default(),
            Err(error) => {
                tracing::warn!(%error, restore, "what Velero says about the restore could not be read");
                Results::default()
            }
        }
    }

    async fn warnings(
        &self,
        point: &Point,
        contents: &Contents,
        status: &Status,
        results: &Results,
    ) -> Result<Vec<String>, EngineError> {
        let mut warnings = Vec::new();
        if status.phase == "PartiallyFailed" {
            let errors = listed(&results.errors.lines(), SHOWN).join("; ");
            warnings.push(format!("the restore failed in part, which is accepted: {errors}"));
        }
        if point.phase == Phase::PartiallyFailed {
            let errors = counted(point.errors, "error", "errors");
            warnings.push(format!("{} is a backup that failed in part, with {errors}", point.name));
        }
        let empty = self.selection.empty_volumes(contents.known());
        if !empty.is_empty() && !self.selection.without_content {
            let empty = listed(&empty, SHOWN).join(", ");
            warnings.push(format!("the content of these volumes is not in {}: {empty}", point.name));
        }
        warnings.extend(self.unlisted(point, contents).await?);
        let (noise, lines): (Vec<String>, Vec<String>) =
            results.warnings.lines().into_iter().partition(|line| is_noise(line));
        let count = status.warnings.saturating_sub(noise.len() as u64);
        if count > 0 {
            let lines = listed(&lines, SHOWN).join("; ");
            warnings.push(format!("Velero has {}: {lines}", counted(count, "warning", "warnings")));
        }
        Ok(warnings)
    }

    /// Claims of a point of which nobody wrote down whether their content is in it: a Velero before 1.13 lists only volumes that
    /// were saved file by file.
    async fn unlisted(&self, point: &Point, contents: &Contents) -> Result<Option<String>, EngineError> {
        let selection = self.selection_for(point);
        if contents.volumes.is_some() || selection.without_content {
            return Ok(None);
        }
        let resources = self.bucket.resources(&point.name).await.map_err(late)?;
        let known = |name: &(String, String)| {
            contents.known().iter().any(|volume| (&volume.namespace, &volume.claim) == (&name.0, &name.1))
        };
        let unknown = selection.claims(resources.as_ref(), contents.known()).into_iter().filter(|name| !known(name));
        let unknown: Vec<String> = unknown.map(|(namespace, claim)| format!("{namespace}/{claim}")).collect();
        let why = "Velero wrote no list of volumes beside it (it does since 1.13)";
        Ok((!unknown.is_empty()).then(|| {
            let unknown = listed(&unknown, SHOWN).join(", ");
            format!("nobody can tell whether {} holds the content of these volumes, and whether it came back: {unknown}. {why}", point.name)
        }))
    }
}

/// Resource modifiers that replace storage classes, in the form of Velero's `resourceModifierRules`.
fn modifier(classes: &[(String, String)]) -> Value {
    let rule = |resource: &str, from: &str, to: &str| {
        json!({
            "conditions": {
                "groupResource": resource,
                "matches": [{ "path": "/spec/storageClassName", "value": from }],
            },
            "patches": [{ "operation": "replace", "path": "/spec/storageClassName", "value": to }],
        })
    };
    let of = |(from, to): &(String, String)| {
        ["persistentvolumeclaims", "persistentvolumes"].map(|resource| rule(resource, from, to))
    };
    json!({ "version": "v1", "resourceModifierRules": classes.iter().flat_map(of).collect::<Vec<_>>() })
}

/// Whether Velero warns of what it does in every namespace: each has this ConfigMap of its cluster's own certificates, and the one
/// of the backup is passed over.
fn is_noise(warning: &str) -> bool {
    warning.contains("kube-root-ca.crt")
}

fn bytes(volumes: &[Volume]) -> u64 {
    let saved = volumes.iter().filter(|volume| volume.method != Method::Nothing);
    saved.filter_map(|volume| volume.bytes).sum()
}

/// The bucket could not be read.
pub fn unread(error: StoreError) -> EngineError {
    EngineError::nothing_written(error.to_string())
}

/// The same after something was written.
fn late(error: StoreError) -> EngineError {
    EngineError::new(error.to_string())
}

/// The points of a series, as the state machines take them.
pub async fn list(bucket: &Bucket, series: &Series, accept_partial: bool) -> Result<Listing, EngineError> {
    let all = bucket.points().await.map_err(unread)?;
    let own: Vec<&Point> = all.iter().filter(|point| series.holds(point)).collect();
    let described: Vec<String> = own.iter().take(DESCRIBED).map(|point| point.name.clone()).collect();
    let contents = bucket.contents_of(&described).await.map_err(unread)?;
    let bytes = contents.iter().map(Contents::bytes).chain(std::iter::repeat(None));
    let points: Vec<_> =
        own.iter().zip(bytes).filter_map(|(point, bytes)| point.as_run_point(bytes, accept_partial)).collect();
    let first_use = match points.is_empty() {
        false => FirstUse::NotProven("there are points".to_owned()),
        true => first_use(bucket, &all).await?,
    };
    let near_misses = if points.is_empty() { near_misses(&all) } else { Vec::new() };
    let looked = format!("{} for backups of {series}", bucket.describe());
    Ok(Listing { points, first_use, looked, near_misses, unreadable: Vec::new() })
}

async fn first_use(bucket: &Bucket, all: &[Point]) -> Result<FirstUse, EngineError> {
    let folders = bucket.folders().await.map_err(unread)?;
    Ok(match (all.len(), folders.as_slice()) {
        (0, []) => FirstUse::Proven,
        (0, folders) => FirstUse::NotProven(format!("the bucket holds data of Velero's: {}", folders.join(", "))),
        (others, _) => {
            FirstUse::NotProven(format!("the bucket holds {} of other things", counted(others, "backup", "backups")))
        }
    })
}

/// How many other series are named.
const NEAR: usize = 3;

/// What the bucket holds instead.
fn near_misses(all: &[Point]) -> Vec<String> {
    let mut groups: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
    for point in all.iter().filter(|point| point.phase != Phase::Unreadable) {
        *groups.entry(point.namespaces.join(", ")).or_default() += 1;
    }
    let mut groups: Vec<_> = groups.into_iter().collect();
    groups.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let say = |(namespaces, count): &(String, usize)| match count {
        1 => format!("1 backup holds {namespaces}"),
        count => format!("{count} backups hold {namespaces}"),
    };
    groups.iter().take(NEAR).map(say).collect()
}

#[async_trait]
impl Points for NamespaceRestore {
    async fn list(&self) -> Result<Listing, EngineError> {
        list(&self.bucket, &self.series, self.accept_partially_failed).await
    }

    async fn ready(&self, patience: Patience) -> Result<(), EngineError> {
        self.server.ready(&RESTORE, patience).await
    }

    async fn last_seen(&self, object: Option<&str>) -> Option<String> {
        let mut seen = vec![self.server.last_seen(&RESTORE, object?).await];
        for namespace in self.selection.destinations() {
            seen.extend(last_seen::waiting_in(&self.server.cluster, &namespace).await);
        }
        Some(seen.join("; "))
    }

    /// Everything that would end a restore badly, or well and without data, before anything is touched.
    async fn check_readable(&self, point: &PinnedPoint) -> Result<(), EngineError> {
        let stored = self.stored(&point.id).await?;
        if stored.phase == Phase::Failed {
            let message = format!("the backup {} failed: there is nothing whole in it to restore", stored.name);
            return Err(EngineError::nothing_written(message));
        }
        let location = self.location().await?;
        let contents = self.bucket.contents(&point.id).await.map_err(unread)?;
        self.check_content(&stored, &contents)?;
        self.check_existing(&point.id, &contents, Stage::Early).await?;
        self.server.knows(&stored, &location).await
    }
}

#[async_trait]
impl Restore for NamespaceRestore {
    async fn probe(&self) -> Result<Probe, EngineError> {
        namespaces::probe(&self.server.cluster, &self.selection, Freshness::Now).await.map_err(before)
    }

    fn starts_application(&self) -> bool {
        true
    }

    fn pins(&self) -> Option<&dyn Pins> {
        Some(self)
    }

    async fn restore(&self, point: &PinnedPoint, again: bool, journal: &Journal) -> Result<Restored, EngineError> {
        let stored = self.stored(&point.id).await?;
        let contents = self.bucket.contents(&point.id).await.map_err(unread)?;
        let record = journal.record().await;
        let base = engine_object_name(&record.name, &record.key);
        let of_this = |object: &Value, status: &Status| {
            object["spec"]["backupName"] == *point.id && (is_under_way(status) || self.is_success(status))
        };
        let modifier = Some(base.as_str()).filter(|_| !self.storage_classes.is_empty());
        let spec = self.spec_for(&stored, modifier);
        let order = Order { kind: &RESTORE, base: &base, labels: json!({}), spec, fits: &of_this };
        // Claims were deleted: what fails from then on has not left everything as it was.
        let mut changed = false;
        let name = match self.server.ordered(&order, journal).await? {
            Some(name) => name,
            None => {
                let location = self.location().await?;
                self.server.knows(&stored, &location).await?;
                if stored.safety {
                    self.clear(&stored, &record.key).await?;
                } else {
                    // What an earlier attempt made and left half filled would be skipped too.
                    self.check_existing(&point.id, &contents, Stage::Last).await?;
                    self.put_modifier(&base).await?;
                    changed = self.make_room(&point.id, &contents, &record, again).await?;
                }
                self.server
                    .order(&order, journal)
                    .await
                    .map_err(|error| if changed { error.half_done() } else { error })?
            }
        };
        let told = |error: EngineError| if changed { error.half_done() } else { error };
        let ended = match self.server.ended(&RESTORE, &name, journal).await {
            Ok(ended) => ended,
            Err(error) => {
                let why = self.server.why_gone(&stored.name).await.map(|why| format!(": {why}")).unwrap_or_default();
                return Err(told(EngineError { message: format!("{}{why}", error.message), ..error }));
            }
        };
        if modifier.is_some() {
            let Server { cluster, namespace, .. } = &self.server;
            if let Err(error) = cluster.delete(&Kind::CONFIG_MAP, namespace, &base, None).await {
                tracing::warn!(%error, "the modifiers of a restore that ended could not be removed");
            }
        }
        self.outcome(&ended, &stored, &contents).await.map_err(told)
    }

    async fn verify(&self, point: &PinnedPoint, journal: &Journal) -> Result<(), EngineError> {
        let stored = self.stored(&point.id).await.map_err(EngineError::half_done)?;
        let record = journal.record().await;
        let mut missing = Vec::new();
        for (namespace, claim) in self.restored_claims(&stored, record.engine_object.as_deref()).await? {
            let found = self.server.cluster.get(&Kind::PVC, &namespace, &claim).await.map_err(server::engine)?;
            if found.is_none_or(|claim| claim.metadata.deletion_timestamp.is_some()) {
                missing.push(format!("{namespace}/{claim}"));
            }
        }
        if stored.safety {
            self.check_cleared(&stored, &record.key).await?;
        }
        match missing.as_slice() {
            [] => Ok(()),
            missing => Err(EngineError::new(format!(
                "these PersistentVolumeClaims are in {} and not on cluster `{}` after its restore: {}",
                point.id,
                self.server.cluster.name(),
                listed(missing, SHOWN).join(", ")
            ))),
        }
    }
}

#[async_trait]
impl Pins for NamespaceRestore {
    async fn pin(&self, journal: &Journal) -> Result<(), EngineError> {
        pins::keep(&self.server, &self.location().await?, &journal.record().await).await
    }

    async fn unpin(&self, runs: &[Record]) -> Result<(), EngineError> {
        pins::let_go(&self.server, runs).await
    }
}

impl NamespaceRestore {
    /// The claims that have to be there after a restore, as they are called there.
    async fn restored_claims(
        &self,
        point: &Point,
        restore: Option<&str>,
    ) -> Result<Vec<(String, String)>, EngineError> {
        let selection = self.selection_for(point);
        // Which claims have a label only Velero knows.
        if !selection.labels.is_empty() {
            let written = match restore {
                Some(restore) => self.bucket.restored(restore).await.map_err(late)?,
                None => None,
            };
            let split = |name: &str| name.split_once('/').map(|(space, name)| (space.to_owned(), name.to_owned()));
            return Ok(written
                .iter()
                .flat_map(|written| written.created(returned::CLAIMS))
                .filter_map(split)
                .collect());
        }
        let contents = self.bucket.contents(&point.name).await.map_err(late)?;
        let resources = self.bucket.resources(&point.name).await.map_err(late)?;
        let claims = selection.claims(resources.as_ref(), contents.known());
        Ok(claims.into_iter().map(|(space, claim)| (selection.destination(&space).to_owned(), claim)).collect())
    }
}

#[async_trait]
impl Safety for NamespaceRestore {
    async fn take(&self, journal: &Journal) -> Result<PinnedPoint, EngineError> {
        let record = journal.record().await;
        let location = self.location().await?;
        if location.read_only {
            return Err(EngineError::nothing_written(format!(
                "the BackupStorageLocation `{}` is read-only, so no safety backup can be stored; set safety_backup = false",
                location.name
            )));
        }
        let base = format!("{}-safety", engine_object_name(&record.name, &record.key));
        let name = match self.taken(&record.key, &base).await? {
            Some(name) => name,
            None => {
                let spec = self.safety_spec(&record.point, &location).await?;
                let labels = json!({ labels::SAFETY: "true" });
                let order = Order { kind: &BACKUP, base: &base, labels, spec, fits: &|_, _| false };
                self.server.order_beside(&order, &record.key).await?
            }
        };
        let ended = self.server.ended(&BACKUP, &name, journal).await?;
        if ended.status.phase != "Completed" {
            let complaints = self.bucket.backup_results(&name).await.ok().flatten().unwrap_or_default();
            let what = format!("the safety backup {name}");
            return Err(EngineError::nothing_written(verdict(&what, &ended.status, &complaints.errors.lines())));
        }
        let stored = self.stored(&name).await?;
        let bytes = self.bucket.contents(&name).await.map_err(unread)?.bytes();
        let untimed = || EngineError::nothing_written(format!("the safety backup {name} has no time"));
        Ok(PinnedPoint { id: name.clone(), time: stored.time.ok_or_else(untimed)?, bytes })
    }
}

impl NamespaceRestore {
    /// The safety backup that an earlier attempt of the run began and that did not fail.
    async fn taken(&self, key: &str, base: &str) -> Result<Option<String>, EngineError> {
        let selector = format!("{}={key},{}", labels::RUN, labels::SAFETY);
        let Server { cluster, namespace, .. } = &self.server;
        let backups = cluster.list(&BACKUP, Some(namespace), Some(&selector)).await.map_err(before)?;
        let at_work = backups.into_iter().filter(|backup| is_under_way(&Status::of(&backup.data)));
        let names = at_work.filter_map(|backup| backup.metadata.name);
        Ok(names.filter(|name| name.starts_with(base)).max())
    }

    /// What is about to be overwritten, saved as the restored backup was.
    async fn safety_spec(&self, point: &Option<PinnedPoint>, location: &Location) -> Result<Value, EngineError> {
        let mut there = Vec::new();
        for name in self.selection.destinations() {
            if self.server.cluster.get(&Kind::NAMESPACE, "", &name).await.map_err(before)?.is_some() {
                there.push(name);
            }
        }
        let mut spec = json!({ "includedNamespaces": there, "storageLocation": location.name, "ttl": SAFETY_TTL });
        if let Some(point) = point {
            let restored = self.stored(&point.id).await?;
            for field in VOLUME_FIELDS {
                if let Some(value) = restored.spec.get(field) {
                    spec[field] = value.clone();
                }
            }
        }
        Ok(spec)
    }
}

impl RestoreEngine for NamespaceRestore {
    fn landmark(&self) -> Option<String> {
        None
    }

    /// Claims that are deleted are saved by file system only while their pods run.
    fn order(&self) -> Option<QuiesceOrder> {
        (self.existing_claims == ExistingClaims::Delete).then_some(QuiesceOrder::SafetyFirst)
    }
}

#[cfg(test)]
mod tests;
