//! Backs namespaces up with Velero: the engine's side of the backup state machine.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::bucket::Bucket;
use super::documents::{Method, Status};
use super::namespaces::{self, Freshness};
use super::points::{Phase, Point, Series, fits};
use super::restore::{list, unread};
use super::selection::Selection;
use super::server::{BACKUP, Ended, Order, Server, before, is_under_way, listed, verdict};
use crate::clock;
use crate::connections::kubernetes::Kind;
use crate::ledger::{JobKind, LedgerStore, PinnedPoint, Record, Verdict, engine_object_name};
use crate::run::{
    self, Backup, BackupStored, EngineError, Held, History, Journal, Listing, PointSources, Points, Probe, ReadBack,
    TargetState,
};
use crate::waiting::Patience;
use crate::words::counted;

/// What a namespace is looked at for. Secrets are never listed.
const CONTENT: [&str; 9] = [
    "persistentvolumeclaims",
    "deployments",
    "statefulsets",
    "daemonsets",
    "cronjobs",
    "jobs",
    "pods",
    "configmaps",
    "services",
];

/// How many volumes a warning names.
const SHOWN: usize = 5;

/// How often a new point is looked for.
const LOOKS: usize = 5;

/// Namespaces to back up.
pub struct NamespaceBackup {
    /// Velero on the cluster.
    pub server: Server,
    /// Where the backup goes.
    pub bucket: Bucket,
    /// The bucket's name and the prefix in it, as a location names them.
    pub place: (String, String),
    /// The location that the target is registered as.
    pub location: Option<String>,
    /// What is backed up, in Velero's words.
    pub spec: Value,
    /// The namespaces, or patterns of them; all if empty.
    pub included: Vec<String>,
    /// Namespaces that are left out.
    pub excluded: Vec<String>,
    /// How long Velero keeps it.
    pub ttl: String,
    /// Whether a backup that failed in part counts as one that succeeded.
    pub accept_partially_failed: bool,
    /// Whether anything says what becomes of the content of volumes.
    pub has_volume_switch: bool,
    /// Where restores to this cluster are written down.
    pub runs: Arc<dyn LedgerStore>,
}

impl NamespaceBackup {
    /// The namespaces by name, if they are all named.
    fn named(&self) -> Option<Vec<String>> {
        let is_pattern = |name: &String| name.contains(['*', '?', '[']);
        (!self.included.is_empty() && !self.included.iter().any(is_pattern)).then(|| {
            self.included
                .iter()
                .filter(|name| !self.excluded.iter().any(|pattern| fits(pattern, name)))
                .cloned()
                .collect()
        })
    }

    fn is_backed_up(&self, namespace: &str) -> bool {
        let included = self.included.is_empty() || self.included.iter().any(|pattern| fits(pattern, namespace));
        included && !self.excluded.iter().any(|pattern| fits(pattern, namespace))
    }

    /// Whether a namespace is the cluster's own, or Velero's.
    fn is_system(&self, name: &str) -> bool {
        name.starts_with("kube-") || name == "default" || name == self.server.namespace
    }

    /// A namespace as it is now, by the name under which a restore that filled it wrote it down.
    async fn probe_namespace(&self, name: &str, records: &[Record]) -> Result<Probe, EngineError> {
        let selection = Selection {
            namespaces: vec![name.to_owned()],
            included: CONTENT.iter().map(|resource| resource.to_string()).collect(),
            ..Selection::default()
        };
        let mut probe = namespaces::probe(&self.server.cluster, &selection, Freshness::Now).await.map_err(before)?;
        let holds = |record: &&Record| {
            let filled = record.kind == JobKind::Restore && record.verdict == Some(Verdict::Restored);
            // One restore may have filled several namespaces.
            filled
                && record
                    .incarnation
                    .as_deref()
                    .zip(probe.incarnation.as_deref())
                    .is_some_and(|(all, one)| all.split(',').any(|part| part == one))
        };
        if let Some(record) = records.iter().find(holds) {
            probe.incarnation = record.incarnation.clone();
        }
        Ok(probe)
    }

    async fn cluster_probe(&self) -> Result<Probe, EngineError> {
        let cluster = &self.server.cluster;
        let system = cluster.get(&Kind::NAMESPACE, "", "kube-system").await.map_err(before)?;
        Ok(Probe {
            state: TargetState::Present,
            incarnation: system.as_ref().and_then(|system| system.metadata.uid.clone()),
            born: system.as_ref().and_then(namespaces::born),
            evidence: format!("cluster `{}` is there", cluster.name()),
        })
    }

    /// The namespaces of the newest point, where the configuration only has patterns: of a cluster that is younger than that
    /// point all of them, else those that are still there. An app that was removed since is no reason to stop.
    async fn namespaces_of(&self, newest: &Point) -> Result<Vec<(String, bool)>, EngineError> {
        let resources = self.bucket.resources(&newest.name).await.map_err(unread)?.unwrap_or_default();
        let born = self.cluster_probe().await?.born;
        let is_rebuilt = born.zip(newest.time).is_some_and(|(born, taken)| born > taken);
        let names = resources.of("v1/Namespace").iter().filter(|name| !self.is_system(name) && self.is_backed_up(name));
        Ok(names.map(|name| (name.clone(), is_rebuilt)).collect())
    }

    async fn outcome(&self, ended: &Ended) -> Result<BackupStored, EngineError> {
        let Ended { name, status } = ended;
        let what = format!("the Backup {}/{name}", self.server.namespace);
        let results = match status.phase.as_str() {
            "FailedValidation" => return Err(EngineError::nothing_written(verdict(&what, status, &[]))),
            _ => self.bucket.backup_results(name).await.ok().flatten().unwrap_or_default(),
        };
        let mut warnings = Vec::new();
        match status.phase.as_str() {
            "Completed" => {}
            "PartiallyFailed" if self.accept_partially_failed => {
                warnings.push(format!("{}, which is accepted", verdict(&what, status, &results.errors.lines())));
            }
            "PartiallyFailed" => {
                let why = verdict(&what, status, &results.errors.lines());
                let way_out = "what it could store is kept and never the newest point. accept_partially_failed = true \
                               takes that for a success";
                return Err(EngineError::new(format!("{why}; {way_out}")));
            }
            _ => return Err(EngineError::new(verdict(&what, status, &results.errors.lines()))),
        }
        if status.warnings > 0 {
            let lines = listed(&results.warnings.lines(), SHOWN).join("; ");
            warnings.push(format!("Velero has {}: {lines}", counted(status.warnings, "warning", "warnings")));
        }
        let stored = self.stored(name).await?;
        let contents = self.bucket.contents(name).await.map_err(unread)?;
        let volumes = contents.volumes.as_deref().unwrap_or_default();
        warnings.extend(self.volume_warning(volumes));
        let time = stored.time.ok_or_else(|| EngineError::new(format!("{what} has no time")))?;
        let bytes = contents.bytes();
        let held = Held { bytes: bytes.unwrap_or_default(), items: stored.items.unwrap_or_default() };
        Ok(BackupStored { point: PinnedPoint { id: name.clone(), time, bytes }, held, warnings })
    }

    /// The point, which some stores show only after a while.
    async fn stored(&self, name: &str) -> Result<Point, EngineError> {
        for _ in 0..LOOKS {
            if let Some(point) = self.bucket.point(name).await.map_err(unread)? {
                return Ok(point);
            }
            clock::sleep(Duration::from_secs(2)).await;
        }
        let at = self.bucket.describe();
        Err(EngineError::new(format!("the Backup {}/{name} ended and is not in {at}", self.server.namespace)))
    }

    fn volume_warning(&self, volumes: &[super::documents::Volume]) -> Option<String> {
        let empty: Vec<String> = volumes
            .iter()
            .filter_map(|volume| Some(format!("{} ({})", volume.name(), volume.skipped.as_deref()?)))
            .collect();
        if empty.is_empty() {
            return None;
        }
        let hint = match self.has_volume_switch {
            true => "",
            false => {
                ". None of snapshot_volumes, snapshot_move_data and default_volumes_to_fs_backup is set: that leaves it \
                 to how Velero was installed"
            }
        };
        Some(format!("the content of these volumes is not in the backup: {}{hint}", listed(&empty, SHOWN).join(", ")))
    }
}

#[async_trait]
impl Points for NamespaceBackup {
    async fn list(&self) -> Result<Listing, EngineError> {
        let series = Series { namespaces: self.named().unwrap_or_default(), schedule: None };
        list(&self.bucket, &series, self.accept_partially_failed).await
    }

    async fn ready(&self, patience: Patience) -> Result<(), EngineError> {
        self.server.ready(&BACKUP, patience).await
    }

    async fn last_seen(&self, object: Option<&str>) -> Option<String> {
        Some(self.server.last_seen(&BACKUP, object?).await)
    }

    async fn check_readable(&self, _: &PinnedPoint) -> Result<(), EngineError> {
        Ok(())
    }
}

#[async_trait]
impl Backup for NamespaceBackup {
    /// The first namespace stands for all; each is looked at by [`Backup::histories`].
    async fn probe(&self) -> Result<Probe, EngineError> {
        match self.named().and_then(|names| names.into_iter().next()) {
            Some(name) => self.probe_namespace(&name, &[]).await,
            None => self.cluster_probe().await,
        }
    }

    async fn histories(&self) -> Result<Vec<History>, EngineError> {
        let all = self.bucket.points().await.map_err(unread)?;
        let records = self.runs.list().await?;
        let newest = all.iter().find(|point| point.phase == Phase::Complete && !point.safety);
        let names: Vec<(String, bool)> = match (self.named(), newest) {
            (Some(names), _) => names.into_iter().map(|name| (name, true)).collect(),
            (None, Some(newest)) => self.namespaces_of(newest).await?,
            (None, None) => Vec::new(),
        };
        let mut histories = Vec::new();
        for (name, has_to_be_there) in names {
            let probe = self.probe_namespace(&name, &records).await?;
            if probe.state == TargetState::Missing && !has_to_be_there {
                continue;
            }
            let own = all.iter().filter(|point| point.holds(&name));
            let points: Vec<run::Point> =
                own.filter_map(|point| point.as_run_point(None, self.accept_partially_failed)).collect();
            histories.push(History { points, probe });
        }
        Ok(histories)
    }

    async fn sources_of(&self, point: &str) -> Result<Option<PointSources>, EngineError> {
        let Some(stored) = self.bucket.point(point).await.map_err(unread)? else { return Ok(None) };
        let untimed = || EngineError::nothing_written(format!("the backup {point} has no time"));
        let taken = stored.time.ok_or_else(untimed)?;
        let resources = self.bucket.resources(point).await.map_err(unread)?.unwrap_or_default();
        let records = self.runs.list().await?;
        let mut probes = Vec::new();
        for name in resources.of("v1/Namespace").iter().filter(|name| !self.is_system(name)) {
            probes.push(self.probe_namespace(name, &records).await?);
        }
        Ok(Some(PointSources { taken, probes }))
    }

    fn reads(&self) -> Option<String> {
        Some(hex::encode(&Sha256::digest(self.spec.to_string())[..8]))
    }

    async fn backup(&self, journal: &Journal) -> Result<BackupStored, EngineError> {
        let location = self.server.location(&self.place.0, &self.place.1, self.location.as_deref()).await?;
        if location.read_only {
            let message =
                format!("the BackupStorageLocation `{}` is read-only: nothing can be stored there", location.name);
            return Err(EngineError::nothing_written(message));
        }
        let record = journal.record().await;
        let base = engine_object_name(&record.name, &record.key);
        let mut spec = self.spec.clone();
        spec["storageLocation"] = location.name.into();
        spec["ttl"] = self.ttl.clone().into();
        // One that ended is never taken over: a second backup is harmless.
        let under_way = |_: &Value, status: &Status| is_under_way(status);
        let order = Order { kind: &BACKUP, base: &base, labels: json!({}), spec, fits: &under_way };
        let name = match self.server.ordered(&order, journal).await? {
            Some(name) => name,
            None => self.server.order(&order, journal).await?,
        };
        let ended = self.server.ended(&BACKUP, &name, journal).await?;
        self.outcome(&ended).await
    }

    async fn verify(&self, point: &PinnedPoint, depth: ReadBack, _: &Journal) -> Result<(), EngineError> {
        if depth == ReadBack::None {
            return Ok(());
        }
        let missing =
            |what: &str| EngineError::new(format!("{what} of {} is not in {}", point.id, self.bucket.describe()));
        self.bucket.point(&point.id).await.map_err(unread)?.ok_or_else(|| missing("the document"))?;
        self.bucket.archive(&point.id).await.map_err(unread)?.ok_or_else(|| missing("the archive of objects"))?;
        let contents = self.bucket.contents(&point.id).await.map_err(unread)?;
        let saved = |volume: &&super::documents::Volume| volume.method != Method::Nothing;
        let volumes = contents.volumes.unwrap_or_default();
        match volumes.iter().find(saved) {
            Some(volume) if depth == ReadBack::Data => Err(EngineError::new(format!(
                "Velero can't read the content of volumes back ({}): verify = \"structure\" checks what can be checked; a \
                 restore into another namespace checks the rest",
                volume.name()
            ))),
            _ => Ok(()),
        }
    }

    async fn remove(&self, run: &str, point: &str) -> Result<Vec<String>, EngineError> {
        self.removed(run, point).await
    }

    /// Velero removes each backup when its own time is over.
    async fn retain(&self, _: &[PinnedPoint], _: &Journal) -> Result<Vec<String>, EngineError> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests;
