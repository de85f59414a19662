//! The block `volsync` of a restore job.

use std::sync::Arc;

use async_trait::async_trait;
use dr_framework::{Attr, Diagnostics, Model, Path, Result};
use serde_json::{Value, json};

use super::abandoned::Leftovers;
use super::claim::{Freshness, SourcesPause, is_mover, probe};
use super::mover::Mover;
use super::mover_fields::MoverFields;
use super::restore::ClaimRestore;
use super::safety::SAFETY;
use super::secret::RepositorySecret;
use super::{DESTINATION, ENGINE, RUN_LABEL, SOURCE, rest, site, standing};
use crate::connections::kubernetes::{Cluster, ClusterError, DynamicObject, Unreachable};
use crate::engines::concepts::{Look, OpenRestore, RestoreBlock, TargetServer};
use crate::engines::kubernetes::abandoned;
use crate::engines::kubernetes::drill::check_drill;
use crate::engines::kubernetes::objects::server_of;
use crate::engines::kubernetes::overwritten;
use crate::engines::kubernetes::quiesce::{ClaimPause, KubernetesPause, OwnSchedule, QuiesceModel};
use crate::engines::kubernetes::spec::{Spec, TextMap, Texts};
use crate::ledger::{ConfigMapLedger, LedgerStore};
use crate::reference::Reference;
use crate::run::{EngineError, Pause};
use crate::shared::Shared;
use crate::validators;
use crate::words::ended;

/// A claim to restore, by a ReplicationDestination that is removed again.
///
/// A claim that is there is written in place, and nothing may use it meanwhile: scale its workload down with `quiesce`. One
/// that is missing is made, for which `capacity` and `access_modes` are needed.
///
/// With `perform = false` no claim is written: a ReplicationDestination of the job's name stands and holds an image of the
/// recovery point, and VolSync fills every new claim from it that names it as `data_source_ref` says.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct VolsyncRestoreBlock {
    /// The claim.
    #[dr(required, validate = validators::name)]
    pub pvc: Attr<String>,
    /// The namespace of the claim; the target's if left out. In another one the repository's Secret is there for the time of
    /// the run, under the run's own name.
    #[dr(optional, validate = validators::name)]
    pub namespace: Attr<String>,
    /// The name of the Kubernetes connection of the claim; the target's if left out. In another cluster the repository's
    /// Secret is there for the time of the run.
    #[dr(optional)]
    pub cluster: Attr<String>,
    /// The size of the claim when it has to be made, or of the image that is handed over, like `10Gi`.
    #[dr(optional, validate = validators::size)]
    pub capacity: Attr<String>,
    /// The access modes of the claim when it has to be made, or of the image, like `["ReadWriteOnce"]`: `ReadWriteOnce`,
    /// `ReadOnlyMany`, `ReadWriteMany` or `ReadWriteOncePod`.
    #[dr(optional, validate = validators::access_modes)]
    pub access_modes: Texts,
    /// The storage class of the claim when it has to be made, or of the image; the cluster's default if left out.
    #[dr(optional)]
    pub storage_class_name: Attr<String>,
    /// Labels of the claim when it has to be made, as whoever made the lost one gave it.
    #[dr(optional)]
    pub labels: TextMap,
    /// Annotations of the claim when it has to be made.
    #[dr(optional)]
    pub annotations: TextMap,
    /// The class of the snapshot that is handed over; the storage's default if left out. Only with `perform = false`.
    #[dr(optional)]
    pub volume_snapshot_class_name: Attr<String>,
    /// Whether the mover's cache goes when the image is made. Only with `perform = false`: else all goes that a run makes.
    #[dr(optional)]
    pub cleanup_cache_pvc: Attr<bool>,
    /// Whether the volume goes that the image is made from. Only with `perform = false`.
    #[dr(optional)]
    pub cleanup_temp_pvc: Attr<bool>,
    /// Whether files go that the recovery point does not hold.
    #[dr(default = false)]
    pub enable_file_deletion: Attr<bool>,
    #[dr(flatten)]
    mover: MoverFields,
}

impl VolsyncRestoreBlock {
    /// `spec.restic` of a ReplicationDestination that writes the claim, without the point.
    fn restic(&self, repository: &str, has_ca: bool) -> Value {
        let mut restic = self.of(repository, has_ca);
        restic
            .set("copyMethod", "Direct")
            .text("destinationPVC", &self.pvc)
            .switch("enableFileDeletion", &self.enable_file_deletion);
        restic.done()
    }

    /// The same of one that publishes an image. The volume that the mover fills lasts, so that what an earlier point left in
    /// it has to go; and claims are only ever made from snapshots.
    fn image(&self, repository: &str, has_ca: bool) -> Option<Value> {
        let capacity = self.capacity.text()?;
        let mut restic = self.of(repository, has_ca);
        restic
            .set("copyMethod", "Snapshot")
            .set("capacity", capacity)
            .list("accessModes", &self.access_modes)
            .text("storageClassName", &self.storage_class_name)
            .text("volumeSnapshotClassName", &self.volume_snapshot_class_name)
            .switch("cleanupCachePVC", &self.cleanup_cache_pvc)
            .switch("cleanupTempPVC", &self.cleanup_temp_pvc)
            .set("enableFileDeletion", true);
        Some(restic.done())
    }

    fn of(&self, repository: &str, has_ca: bool) -> Spec {
        let mut restic = Spec::default();
        restic.set("repository", repository);
        self.mover.write(&mut restic);
        if has_ca {
            restic.set("customCA", json!({ "secretName": repository, "key": site::CA_KEY }));
        }
        restic
    }

    /// The claim as it is made when it is missing, but for its name.
    fn claim(&self) -> Option<Value> {
        let capacity = self.capacity.text()?;
        let mut spec = Spec::default();
        spec.list("accessModes", &self.access_modes)
            .text("storageClassName", &self.storage_class_name)
            .set("resources", json!({ "requests": { "storage": capacity } }));
        let mut metadata = Spec::default();
        metadata.map("labels", &self.labels).map("annotations", &self.annotations);
        Some(json!({ "metadata": metadata.done(), "spec": spec.done() }))
    }

    fn is_whole(&self) -> bool {
        self.to_object().is_wholly_known()
    }

    /// The connection to the claim's cluster, with the path of what names it.
    fn connection(&self, source: &Reference) -> (Attr<String>, Path) {
        match self.cluster.is_null() {
            true => (source.connection.clone(), Path::attribute("source").then("connection")),
            false => (self.cluster.clone(), Path::attribute(ENGINE).then("cluster")),
        }
    }

    /// The claim's namespace.
    fn namespace(&self, source: &Reference) -> Attr<String> {
        if self.namespace.is_null() { site::namespace_of(&source.scope) } else { self.namespace.clone() }
    }

    fn cluster(&self, shared: &Shared, source: &Reference) -> Result<Option<Cluster>> {
        let (name, path) = self.connection(source);
        match name.text() {
            Some(name) => shared.cluster(name, &path),
            None => Ok(None),
        }
    }

    /// The Secret of the target.
    fn secret(&self, shared: &Shared, source: &Reference) -> Result<Option<RepositorySecret>> {
        let (Some(name), Some(connection), Some(namespace)) =
            (site::secret_of(source), source.connection.text(), site::namespace_of(&source.scope).into_known())
        else {
            return Ok(None);
        };
        let cluster = shared.cluster(connection, &Path::attribute("source").then("connection"))?;
        Ok(cluster.map(|cluster| RepositorySecret { cluster, namespace, name }))
    }

    /// The namespace and the claim.
    fn names<'a>(&'a self, source: &Reference) -> Option<(String, &'a str)> {
        Some((self.namespace(source).into_known()?, self.pvc.text()?))
    }
}

/// Only a target says in which namespace its Secret is.
fn check_source(source: &Reference) -> Result<()> {
    match source.kind.text() {
        Some(kind) if kind != "backup_target" => Err(Diagnostics::error_at(
            Path::attribute("source"),
            "VolSync restores from targets",
            "Its mover needs a Secret beside the claim: register the store with a `dr_backup_target`, with \
             `access = \"read_only\"` if nothing may be written there, and take its `ref`.",
        )),
        _ => Ok(()),
    }
}

/// The server of the target failed while it was looked at. One that can't be reached leaves everything as it was, where its
/// connection says so.
fn looked<T>(cluster: &Cluster, result: std::result::Result<T, ClusterError>) -> Result<Option<T>> {
    match result {
        Ok(seen) => Ok(Some(seen)),
        Err(ClusterError::Unreachable { .. }) if cluster.unreachable() != Unreachable::Fail => Ok(None),
        Err(error) => Err(Diagnostics::error("Unable to look at the target", ended(error))),
    }
}

/// The sources that back the claim up: none may run while it is half restored. A run's own safety backup is no schedule.
async fn sources_of(
    cluster: &Cluster,
    namespace: &str,
    claim: &str,
) -> std::result::Result<Vec<DynamicObject>, ClusterError> {
    let sources = match cluster.list(&SOURCE, Some(namespace), None).await {
        Ok(sources) => sources,
        Err(ClusterError::MissingKind { .. } | ClusterError::NoNamespace { .. }) => Vec::new(),
        Err(error) => return Err(error),
    };
    let is_safety = |source: &DynamicObject| {
        let of_run = source.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(RUN_LABEL));
        of_run && source.metadata.name.as_ref().is_some_and(|name| name.ends_with(SAFETY))
    };
    let of_claim = |source: &DynamicObject| rest::claim_of(&source.data["spec"]) == Some(claim) && !is_safety(source);
    Ok(sources.into_iter().filter(of_claim).collect())
}

#[async_trait]
impl RestoreBlock for VolsyncRestoreBlock {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn overwritten(&self, target: &str) -> String {
        overwritten(target, self.enable_file_deletion == Attr::Known(true), "enable_file_deletion = true")
    }

    fn place(&self, source: &Reference) -> (Attr<String>, Attr<String>) {
        (self.connection(source).0, self.namespace(source))
    }

    fn target(&self) -> Attr<String> {
        self.pvc.clone()
    }

    fn destination(&self, shared: &Shared, source: &Reference) -> Result<Option<String>> {
        check_source(source)?;
        let Some((namespace, claim)) = self.names(source) else { return Ok(None) };
        if let Some(cluster) = self.connection(source).0.text() {
            check_drill(shared, cluster, std::slice::from_ref(&namespace))?;
        }
        Ok(Some(format!("{namespace}/{claim}")))
    }

    async fn look(&self, shared: &Shared, source: &Reference, _: Option<&str>) -> Result<Option<Look>> {
        let (Some(target), Some((namespace, claim)), Some(cluster)) =
            (self.destination(shared, source)?, self.names(source), self.cluster(shared, source)?)
        else {
            return Ok(None);
        };
        let Some(server_uid) = looked(&cluster, cluster.uid().await)? else { return Ok(None) };
        let seen = probe(&cluster, &namespace, claim, Freshness::Refresh).await;
        let Some(probe) = looked(&cluster, seen)? else { return Ok(None) };
        let ledger: Arc<dyn LedgerStore> = Arc::new(ConfigMapLedger::new(cluster, &namespace));
        Ok(Some(Look { target, server_uid: Some(server_uid), probe, ledger: Some(ledger) }))
    }

    fn server(&self, shared: &Shared, source: &Reference) -> Result<TargetServer> {
        let (connection, path) = self.connection(source);
        server_of(shared, &connection, &path)
    }

    fn check(&self) -> Diagnostics {
        let marked = self.labels.is_known() || self.annotations.is_known();
        let part = self.access_modes.is_known() || self.storage_class_name.is_known() || marked;
        if self.capacity.is_null() && part {
            return Diagnostics::error_at(
                Path::attribute(ENGINE).then("capacity"),
                "A claim without a size",
                "`access_modes`, `storage_class_name`, `labels` and `annotations` are of a claim that is missing and has \
                 to be made: set `capacity` too.",
            );
        }
        if self.capacity.is_known() && self.access_modes.is_null() {
            return Diagnostics::error_at(
                Path::attribute(ENGINE).then("access_modes"),
                "A claim without access modes",
                "A claim that has to be made needs `access_modes`, like `[\"ReadWriteOnce\"]`.",
            );
        }
        Diagnostics::default()
    }

    fn check_perform(&self, perform: bool) -> Diagnostics {
        let at = |field: &str, summary: &str, detail: &str| {
            Diagnostics::error_at(Path::attribute(ENGINE).then(field), summary, detail)
        };
        let mut found = Diagnostics::default();
        if perform && self.volume_snapshot_class_name.is_known() {
            found.extend(at(
                "volume_snapshot_class_name",
                "No snapshot is taken",
                "The claim itself is written. Only with `perform = false` a snapshot is handed over.",
            ));
        }
        for (field, set) in [("labels", &self.labels), ("annotations", &self.annotations)] {
            if !perform && set.is_known() {
                let detail = "With `perform = false` whoever makes the claim gives it its own: leave it out.";
                found.extend(at(field, "No claim is made", detail));
            }
        }
        for (field, set) in
            [("cleanup_cache_pvc", &self.cleanup_cache_pvc), ("cleanup_temp_pvc", &self.cleanup_temp_pvc)]
        {
            if perform && set.is_known() {
                let detail = "What a run makes goes with it. Only with `perform = false` something stands.";
                found.extend(at(field, "Nothing stands", detail));
            }
        }
        if !perform && self.capacity.is_null() {
            found.extend(at(
                "capacity",
                "An image without a size",
                "With `perform = false` VolSync restores into a volume of its own: set `capacity` and `access_modes`.",
            ));
        }
        if !perform && self.enable_file_deletion == Attr::Known(true) {
            found.extend(at(
                "enable_file_deletion",
                "No claim is written",
                "With `perform = false` the image holds the recovery point and nothing else: leave it out.",
            ));
        }
        found
    }

    async fn withdraw(&self, shared: &Shared, source: &Reference, name: &str, key: &str) -> Result<()> {
        let (Some((namespace, _)), Some(cluster)) = (self.names(source), self.cluster(shared, source)?) else {
            return Ok(());
        };
        match standing::withdraw(&cluster, &namespace, name, key).await {
            Ok(()) | Err(ClusterError::MissingKind { .. } | ClusterError::NoNamespace { .. }) => Ok(()),
            Err(ClusterError::Unreachable { .. }) if cluster.unreachable() == Unreachable::Lost => Ok(()),
            Err(error) => Err(Diagnostics::error("Unable to remove what was handed over", ended(error))),
        }
    }

    async fn abandon(&self, shared: &Shared, source: &Reference, name: &str) -> std::result::Result<(), EngineError> {
        let (Ok(Some(target)), Some((namespace, claim)), Ok(Some(cluster))) =
            (self.destination(shared, source), self.names(source), self.cluster(shared, source))
        else {
            return Ok(());
        };
        let ledger = ConfigMapLedger::new(cluster.clone(), &namespace);
        let (watches, claim) = (shared.watches.clone(), claim.to_owned());
        abandoned::clear_up(&ledger, name, &target, &Leftovers { cluster, watches, namespace, claim }).await
    }

    fn can_quiesce(&self) -> bool {
        true
    }

    fn steps(&self, source: &Reference, quiesce: &QuiesceModel) -> Vec<String> {
        let namespace = self.namespace(source).into_known();
        let quiesce = namespace.and_then(|namespace| quiesce.resolve(&namespace));
        quiesce.map(|quiesce| quiesce.steps()).unwrap_or_default()
    }

    async fn pause(
        &self,
        shared: &Shared,
        source: &Reference,
        quiesce: &QuiesceModel,
    ) -> Result<Option<Box<dyn Pause>>> {
        let (Some(cluster), Some((namespace, claim))) = (self.cluster(shared, source)?, self.names(source)) else {
            return Ok(None);
        };
        let Some(quiesce) = quiesce.resolve(&namespace) else { return Ok(None) };
        let sources = sources_of(&cluster, &namespace, claim)
            .await
            .map_err(|error| Diagnostics::error("Unable to look for schedules that have to rest", ended(error)))?;
        let name = |source: &DynamicObject| source.metadata.name.clone();
        let own = sources.iter().filter_map(name);
        let own = own.map(|name| OwnSchedule::paused_in_spec(SOURCE, &namespace, &name)).collect();
        let sources = sources.iter().filter(|source| !rest::only_pauses(source)).filter_map(name).collect();
        let target = format!("{namespace}/{claim}");
        let pause = KubernetesPause::new(cluster.clone(), quiesce.clone(), own).held_for(ENGINE, &target);
        let (claim, is_own) = (claim.to_owned(), is_mover);
        let pause = ClaimPause { pause, cluster, quiesce, namespace, claim, is_own };
        Ok(Some(Box::new(SourcesPause { pause, sources })))
    }

    fn is_known(&self, shared: &Shared, source: &Reference) -> Result<bool> {
        let cluster = self.cluster(shared, source)?.is_some();
        let repository = site::repository(shared, source, &Path::attribute("source"))?.is_some();
        Ok(self.is_whole() && cluster && repository && self.secret(shared, source)?.is_some())
    }

    fn prepare(&self, _: &Shared) -> Result<()> {
        Ok(())
    }

    async fn open(&self, shared: &Shared, source: &Reference, _: Option<String>) -> Result<Option<OpenRestore>> {
        let path = Path::attribute("source");
        let (Some(target), true) = (self.destination(shared, source)?, self.is_whole()) else { return Ok(None) };
        let (Some(cluster), Some((namespace, claim)), Some(repository), Some(secret), Some(has_ca)) = (
            self.cluster(shared, source)?,
            self.names(source),
            site::repository(shared, source, &path)?,
            self.secret(shared, source)?,
            site::has_ca(shared, source, &path)?,
        ) else {
            return Ok(None);
        };
        let server_uid = cluster.uid().await.map_err(|error| {
            Diagnostics::error_at(self.connection(source).1, "Unable to reach the cluster", ended(error))
        })?;
        let storage =
            repository.ledger().map_err(|error| Diagnostics::error("Unable to reach the ledger", ended(error)))?;
        let ledger: Arc<dyn LedgerStore> = Arc::new(ConfigMapLedger::new(cluster.clone(), &namespace));
        let engine = Box::new(ClaimRestore {
            mover: Mover {
                cluster,
                watches: shared.watches.clone(),
                namespace,
                claim: claim.to_owned(),
                kind: DESTINATION,
                jobs: "volsync-dst-",
            },
            repository,
            restic: self.restic(&secret.name, has_ca),
            image: self.image(&secret.name, has_ca),
            secret,
            made_as: self.claim(),
        });
        let may_save = !source.is_read_only() && !shared.is_drill();
        let (server_uid, storage) = (Some(server_uid), Arc::new(storage));
        Ok(Some(OpenRestore { target, server_uid, ledger, storage, engine, may_save }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block() -> VolsyncRestoreBlock {
        VolsyncRestoreBlock {
            pvc: "data".into(),
            capacity: "1Gi".into(),
            access_modes: Attr::Known(vec!["ReadWriteOnce".into()]),
            ..VolsyncRestoreBlock::default()
        }
    }

    #[test]
    fn a_plan_says_what_goes_and_what_stays() {
        assert!(block().overwritten("wiki/data").contains("leaves there what the point does not hold"));
        let deletes = VolsyncRestoreBlock { enable_file_deletion: Attr::Known(true), ..block() };
        assert!(deletes.overwritten("wiki/data").contains("removes from it what the point does not hold"));
    }

    #[test]
    fn an_image_is_a_snapshot_of_nothing_but_the_point_and_of_no_claim() {
        let image = block().image("dr-docs", false).unwrap();
        let expected = json!({
            "repository": "dr-docs", "copyMethod": "Snapshot", "capacity": "1Gi", "accessModes": ["ReadWriteOnce"],
            "enableFileDeletion": true,
        });
        assert_eq!(image, expected);
        assert_eq!(VolsyncRestoreBlock { capacity: Attr::Null, ..block() }.image("dr-docs", false), None);
        assert_eq!(block().image("dr-docs", true).unwrap()["customCA"]["secretName"], "dr-docs");
    }

    #[test]
    fn what_an_image_was_made_with_may_go() {
        let block = VolsyncRestoreBlock {
            cleanup_cache_pvc: Attr::Known(true),
            cleanup_temp_pvc: Attr::Known(true),
            ..block()
        };
        let image = block.image("dr-docs", false).unwrap();
        assert_eq!((&image["cleanupCachePVC"], &image["cleanupTempPVC"]), (&json!(true), &json!(true)));
        assert!(block.check_perform(false).0.is_empty());
        assert_eq!(block.check_perform(true).0.len(), 2);
    }

    #[test]
    fn a_claim_elsewhere_leaves_the_secret_where_it_is() {
        let source =
            Reference { connection: "prod".into(), scope: "apps".into(), name: "docs".into(), ..Reference::default() };
        assert_eq!(block().place(&source), ("prod".into(), "apps".into()));
        let moved = VolsyncRestoreBlock { namespace: "scratch".into(), cluster: "lab".into(), ..block() };
        assert_eq!(moved.place(&source), ("lab".into(), "scratch".into()));
        assert_eq!(moved.names(&source), Some(("scratch".to_owned(), "data")));
        assert_eq!(moved.connection(&source).1, Path::attribute("volsync").then("cluster"));
    }

    #[test]
    fn a_claim_that_is_made_is_marked_as_the_lost_one_was() {
        let one = |name: &str, value: &str| Attr::Known([(name.to_owned(), Attr::from(value))].into());
        let marked =
            VolsyncRestoreBlock { labels: one("app", "docs"), annotations: one("k8up.io/backup", "true"), ..block() };
        let made = json!({
            "metadata": { "labels": { "app": "docs" }, "annotations": { "k8up.io/backup": "true" } },
            "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
        });
        assert_eq!(marked.claim(), Some(made));
        assert!(marked.check().0.is_empty() && marked.check_perform(true).0.is_empty());
        assert_eq!(marked.check_perform(false).0.len(), 2);
        assert_eq!(VolsyncRestoreBlock { capacity: Attr::Null, access_modes: Attr::Null, ..marked }.check().0.len(), 1);
    }

    #[test]
    fn what_fits_one_kind_of_run_is_refused_for_the_other() {
        assert!(block().check_perform(true).0.is_empty());
        assert!(block().check_perform(false).0.is_empty());
        let of_class = VolsyncRestoreBlock { volume_snapshot_class_name: "fast".into(), ..block() };
        assert_eq!(of_class.check_perform(true).0.len(), 1);
        assert!(of_class.check_perform(false).0.is_empty());
        let without_size =
            VolsyncRestoreBlock { capacity: Attr::Null, enable_file_deletion: Attr::Known(true), ..block() };
        assert_eq!(without_size.check_perform(false).0.len(), 2);
        assert!(without_size.check_perform(true).0.is_empty());
    }
}
