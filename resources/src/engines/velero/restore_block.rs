//! The block `velero` of a restore job.

use std::collections::BTreeMap;

use async_trait::async_trait;
use dr_framework::{Anything, Attr, Diagnostics, Model, Path, Result, Value as Configured};
use serde_json::Value;

use super::ENGINE;
use super::duration::duration;
use super::namespaces::{self, Freshness};
use super::points::Series;
use super::restore::{ExistingClaims, NamespaceRestore};
use super::schedule::SCHEDULE;
use super::selection::{Labels, Selection};
use super::server::Server;
use super::site::{self, Site};
use crate::connections::kubernetes::{Cluster, ClusterError, DynamicObject, Unreachable};
use crate::engines::concepts::{Look, OpenRestore, RestoreBlock, TargetServer};
use crate::engines::kubernetes::drill::check_drill;
use crate::engines::kubernetes::label_selector::MatchExpressions;
use crate::engines::kubernetes::objects::server_of;
use crate::engines::kubernetes::quiesce::{KubernetesPause, OwnSchedule, QuiesceModel};
use crate::engines::kubernetes::spec::{self, Spec, TextMap, Texts};
use crate::jobs::texts;
use crate::ledger::Record;
use crate::reference::Reference;
use crate::run::Pause;
use crate::shared::Shared;
use crate::validators;
use crate::words::ended;

/// Namespaces to restore from a backup of Velero's.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct VeleroRestoreBlock {
    /// The name of the cluster's connection in the provider block; that of the target if left out.
    #[dr(optional, validate = validators::reference_name)]
    pub cluster: Attr<String>,
    /// The namespace that Velero is installed in; that of the target if left out.
    #[dr(optional, validate = validators::name)]
    pub namespace: Attr<String>,
    /// Only backups of this Schedule count.
    #[dr(optional)]
    pub schedule: Attr<String>,
    /// The namespaces that are restored, by their names: a run has to know what it fills.
    #[dr(required, validate = namespaces)]
    pub included_namespaces: Texts,
    /// Where namespaces go that get another name: `{ docs = "docs-test" }`.
    #[dr(optional)]
    pub namespace_mapping: TextMap,
    /// The resources that are restored, like `deployments.apps`; all if left out.
    #[dr(optional)]
    pub included_resources: Texts,
    /// Resources that are left out.
    #[dr(optional)]
    pub excluded_resources: Texts,
    /// Whether resources without a namespace are restored. Left out: those that belong to what is restored.
    #[dr(optional)]
    pub include_cluster_resources: Attr<bool>,
    /// Only objects with all of these labels are restored.
    #[dr(optional)]
    pub label_selector: TextMap,
    /// Only objects are restored whose labels meet all of these conditions, beside having those of `label_selector`.
    #[dr(optional)]
    pub match_expressions: MatchExpressions,
    /// Only objects with all labels of at least one of these sets are restored. Not together with `label_selector` and
    /// `match_expressions`.
    #[dr(optional)]
    pub or_label_selectors: Attr<Vec<TextMap>>,
    /// Whether the content of volumes is restored from snapshots.
    #[dr(optional)]
    pub restore_pvs: Attr<bool>,
    /// Whether Services keep their node ports.
    #[dr(optional)]
    pub preserve_node_ports: Attr<bool>,
    /// What happens to objects that exist: `none` skips them, `update` makes them as they were. The content of volumes is
    /// never changed.
    #[dr(optional, validate = validators::existing_resource_policy)]
    pub existing_resource_policy: Attr<String>,
    /// What happens to PersistentVolumeClaims that exist and that Velero would skip, with what is in them: `refuse` (also when
    /// left out) makes them an error before anything is touched, `delete` has those deleted whose content the recovery point
    /// has in the bucket, and made again by the restore. Before that they are saved, while the application still runs, and what
    /// uses them is taken down by `quiesce`. Not together with labels.
    #[dr(optional, validate = validators::existing_claims)]
    pub existing_claims: Attr<String>,
    /// Resources whose status is restored too.
    #[dr(optional)]
    pub restore_status: Attr<RestoreStatus>,
    /// The name of the ConfigMap in Velero's namespace that holds resource modifiers.
    #[dr(optional)]
    pub resource_modifier: Attr<String>,
    /// Storage classes that are replaced: `{ fast = "standard" }`. Not together with `resource_modifier`, by which it is done.
    #[dr(optional)]
    pub storage_class_mapping: TextMap,
    /// Commands and containers that run in restored pods, as `spec.hooks` of a Restore: passed on as it is.
    #[dr(optional)]
    pub hooks: Attr<Anything>,
    /// How long operations of plugins may take that go on after the restore, like `4h`.
    #[dr(optional, validate = duration)]
    pub item_operation_timeout: Attr<String>,
    /// How many files of a volume are downloaded beside each other.
    #[dr(optional, validate = validators::positive)]
    pub parallel_files_download: Attr<i64>,
    /// Whether files of a volume are written with holes where they hold nothing but zeros.
    #[dr(optional)]
    pub write_sparse_files: Attr<bool>,
    /// Whether a backup and a restore count that failed in part. Left to itself such a backup is never the newest, and such
    /// a restore is an error.
    #[dr(default = false)]
    pub accept_partially_failed: Attr<bool>,
}

/// Resources whose status is restored.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct RestoreStatus {
    /// These; `*` is all.
    #[dr(optional)]
    pub included_resources: Texts,
    /// All but these.
    #[dr(optional)]
    pub excluded_resources: Texts,
}

/// Names of namespaces, at least one.
fn namespaces(value: &Configured, path: &Path) -> Vec<dr_framework::Diagnostic> {
    let Configured::List(values) = value else { return Vec::new() };
    if values.is_empty() {
        let detail = "Name at least one namespace to restore.";
        return Diagnostics::error_at(path.clone(), "No namespaces", detail).0;
    }
    let known = values.iter().enumerate().filter(|(_, value)| matches!(value, Configured::String(_)));
    known.flat_map(|(index, value)| validators::name(value, &path.clone().index(index))).collect()
}

impl VeleroRestoreBlock {
    /// Fills in what follows from the source, where the configuration leaves it out.
    pub fn cluster_of(&self, source: &Reference) -> Attr<String> {
        site::cluster_of(&self.cluster, source)
    }

    /// The namespace that Velero is installed in.
    pub fn namespace_of(&self, source: &Reference) -> Attr<String> {
        site::namespace_of(&self.namespace, source)
    }

    /// What can't be restored so, before anybody is asked. `block` is the path of the engine's block.
    pub fn check(&self, block: &Path) -> Diagnostics {
        let mut found = Diagnostics::default();
        let included = texts(&self.included_namespaces);
        let mapping = map(&self.namespace_mapping);
        for (from, to) in &mapping {
            let path = block.clone().then("namespace_mapping").key(from);
            if !included.contains(from) && spec::all_known(&self.included_namespaces) {
                let detail = format!("Namespace {from:?} is not in `included_namespaces`, so it goes nowhere.");
                found.extend(Diagnostics::error_at(path.clone(), "Nothing to map", detail));
            }
            found.extend(validators::name(&Configured::string(to), &path));
        }
        let selection = Selection { namespaces: included.clone(), mapping, ..Selection::default() };
        if selection.destinations().len() < included.iter().collect::<std::collections::BTreeSet<_>>().len() {
            found.extend(Diagnostics::error_at(
                block.clone().then("namespace_mapping"),
                "Two namespaces in one",
                "Two of the namespaces would go into the same one, over each other.",
            ));
        }
        if self.resource_modifier.is_known() && self.storage_class_mapping.is_known() {
            found.extend(Diagnostics::error_at(
                block.clone().then("storage_class_mapping"),
                "Two sets of modifiers",
                "A Restore takes one set of resource modifiers: write the storage classes into those of `resource_modifier`.",
            ));
        }
        if self.deletes_claims() && self.restore_pvs == Attr::Known(false) {
            found.extend(Diagnostics::error_at(
                block.clone().then("existing_claims"),
                "Nothing to delete claims for",
                "Without the content of volumes (restore_pvs = false), claims that exist stay as they are.",
            ));
        }
        if self.deletes_claims() && self.selects_by_labels() {
            found.extend(Diagnostics::error_at(
                block.clone().then("existing_claims"),
                "Claims to delete by their labels",
                "The labels that claims have now may be others than those that the recovery point has, so one could be deleted \
                 that does not come back: select by namespaces and resources, or delete the claims yourself.",
            ));
        }
        let (labels, sets) = (&self.label_selector, &self.or_label_selectors);
        found.extend(super::template::check_selectors(block, labels, &self.match_expressions, sets));
        let (included, excluded) = (texts(&self.included_resources), texts(&self.excluded_resources));
        found.extend(super::template::check_lists(block, "resources", &included, &excluded));
        found
    }

    fn deletes_claims(&self) -> bool {
        ExistingClaims::of(self.existing_claims.text()) == ExistingClaims::Delete
    }

    fn selects_by_labels(&self) -> bool {
        self.label_selector.is_known() || self.match_expressions.is_known() || self.or_label_selectors.is_known()
    }

    fn is_whole(&self) -> bool {
        self.to_object().is_wholly_known()
    }

    /// What is restored, and where to: `None` while something of it is unknown.
    fn selection(&self) -> Option<Selection> {
        self.is_whole().then(|| Selection {
            namespaces: texts(&self.included_namespaces),
            mapping: map(&self.namespace_mapping),
            included: texts(&self.included_resources),
            excluded: texts(&self.excluded_resources),
            labels: self.labels(),
            without_content: self.restore_pvs == Attr::Known(false),
        })
    }

    /// By which labels something is selected.
    fn labels(&self) -> Labels {
        let mut spec = Spec::default();
        spec.selector("one", &self.label_selector, &self.match_expressions).selectors("any", &self.or_label_selectors);
        let spec = spec.done();
        let one = spec.get("one").into_iter();
        let any = spec["any"].as_array().into_iter().flatten();
        Labels::of(one.chain(any))
    }

    /// As the spec of a Restore, without the backup.
    fn spec(&self) -> Value {
        let mut spec = Spec::default();
        spec.list("includedNamespaces", &self.included_namespaces)
            .map("namespaceMapping", &self.namespace_mapping)
            .list("includedResources", &self.included_resources)
            .list("excludedResources", &self.excluded_resources)
            .switch("includeClusterResources", &self.include_cluster_resources)
            .selector("labelSelector", &self.label_selector, &self.match_expressions)
            .selectors("orLabelSelectors", &self.or_label_selectors)
            .switch("restorePVs", &self.restore_pvs)
            .switch("preserveNodePorts", &self.preserve_node_ports)
            .text("existingResourcePolicy", &self.existing_resource_policy)
            .config_map("resourceModifier", &self.resource_modifier)
            .anything("hooks", &self.hooks)
            .text("itemOperationTimeout", &self.item_operation_timeout);
        if let Some(status) = self.restore_status.known() {
            let mut kinds = Spec::default();
            kinds.list("includedResources", &status.included_resources);
            spec.set("restoreStatus", kinds.list("excludedResources", &status.excluded_resources).done());
        }
        let mut uploader = Spec::default();
        uploader.switch("writeSparseFiles", &self.write_sparse_files);
        if let Some(files) = self.parallel_files_download.known() {
            uploader.set("parallelFilesDownload", *files);
        }
        if self.write_sparse_files.is_known() || self.parallel_files_download.is_known() {
            spec.set("uploaderConfig", uploader.done());
        }
        spec.done()
    }

    fn site(&self, shared: &Shared, source: &Reference) -> Result<Option<Site>> {
        site::open(shared, source, &Path::attribute("source"), &self.cluster, &self.namespace)
    }

    fn cluster(&self, shared: &Shared, source: &Reference) -> Result<Option<Cluster>> {
        match self.cluster_of(source).text() {
            Some(name) => shared.cluster(name, &Path::attribute(ENGINE).then("cluster")),
            None => Ok(None),
        }
    }
}

fn map(texts: &TextMap) -> BTreeMap<String, String> {
    let known = texts.known().into_iter().flatten();
    known.filter_map(|(key, value)| Some((key.clone(), value.text()?.to_owned()))).collect()
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

/// The namespace that entries of `quiesce` mean when they name none.
fn first(selection: &Selection) -> String {
    selection.destinations().into_iter().next().unwrap_or_default()
}

/// The Schedules that back one of these namespaces up: none may run while it is half restored.
async fn schedules_of(
    cluster: &Cluster,
    namespace: &str,
    restored: &[String],
) -> std::result::Result<Vec<String>, ClusterError> {
    let schedules = match cluster.list(&SCHEDULE, Some(namespace), None).await {
        Ok(schedules) => schedules,
        Err(ClusterError::MissingKind { .. } | ClusterError::NoNamespace { .. }) => Vec::new(),
        Err(error) => return Err(error),
    };
    let concerned = |schedule: &DynamicObject| {
        let list = |field: &str| -> Vec<String> {
            let texts = schedule.data["spec"]["template"][field].as_array();
            texts.into_iter().flatten().filter_map(|text| text.as_str().map(str::to_owned)).collect()
        };
        let (included, excluded) = (list("includedNamespaces"), list("excludedNamespaces"));
        let fits = |patterns: &[String], name: &str| patterns.iter().any(|pattern| super::points::fits(pattern, name));
        restored.iter().any(|name| (included.is_empty() || fits(&included, name)) && !fits(&excluded, name))
    };
    Ok(schedules.into_iter().filter(concerned).filter_map(|schedule| schedule.metadata.name).collect())
}

#[async_trait]
impl RestoreBlock for VeleroRestoreBlock {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn restores(&self) -> String {
        const SELECTS: [&str; 8] = [
            "includedNamespaces",
            "namespaceMapping",
            "includedResources",
            "excludedResources",
            "includeClusterResources",
            "labelSelector",
            "orLabelSelectors",
            "restorePVs",
        ];
        let spec = self.spec();
        format!("{:?}", (SELECTS.map(|field| &spec[field]), self.schedule.text()))
    }

    /// Velero's namespace: that of the target may be what is lost.
    fn place(&self, source: &Reference) -> (Attr<String>, Attr<String>) {
        (self.cluster_of(source), self.namespace_of(source))
    }

    fn target(&self) -> Attr<String> {
        self.selection().map_or(Attr::Unknown, |selection| Attr::Known(selection.destinations().join(",")))
    }

    fn destination(&self, shared: &Shared, source: &Reference) -> Result<Option<String>> {
        let Some(selection) = self.selection() else { return Ok(None) };
        let destinations = selection.destinations();
        if let Some(cluster) = self.cluster_of(source).text() {
            check_drill(shared, cluster, &destinations)?;
        }
        Ok(Some(destinations.join(",")))
    }

    async fn look(&self, shared: &Shared, source: &Reference, _: Option<&str>) -> Result<Option<Look>> {
        let (Some(target), Some(selection)) = (self.destination(shared, source)?, self.selection()) else {
            return Ok(None);
        };
        let namespace = self.namespace_of(source);
        let (Some(cluster), Some(namespace)) = (self.cluster(shared, source)?, namespace.text()) else {
            return Ok(None);
        };
        let Some(server_uid) = looked(&cluster, cluster.uid().await)? else { return Ok(None) };
        let Some(probe) = looked(&cluster, namespaces::probe(&cluster, &selection, Freshness::Refresh).await)? else {
            return Ok(None);
        };
        let ledger = Some(site::ledger_of_runs(&cluster, namespace));
        Ok(Some(Look { target, server_uid: Some(server_uid), probe, ledger }))
    }

    fn server(&self, shared: &Shared, source: &Reference) -> Result<TargetServer> {
        server_of(shared, &self.cluster_of(source), &Path::attribute(ENGINE).then("cluster"))
    }

    fn check(&self) -> Diagnostics {
        VeleroRestoreBlock::check(self, &Path::attribute(ENGINE))
    }

    /// Velero removes its records below `restores/` with the Restores.
    async fn tidy_after_drill(
        &self,
        shared: &Shared,
        source: &Reference,
        name: &str,
        server_uid: Option<&str>,
    ) -> Result<()> {
        let namespace = self.namespace_of(source);
        let (Some(target), Some(cluster), Some(namespace)) =
            (self.destination(shared, source)?, self.cluster(shared, source)?, namespace.text())
        else {
            return Ok(());
        };
        let failed = |error: &dyn std::error::Error| {
            Diagnostics::error("Unable to remove what the drill left in the bucket", ended(error))
        };
        match cluster.uid().await {
            Ok(uid) if Some(uid.as_str()) == server_uid => {}
            // What is on another server is none of this job's.
            Ok(_) => return Ok(()),
            Err(ClusterError::Unreachable { .. }) if cluster.unreachable() == Unreachable::Lost => return Ok(()),
            Err(error) => return Err(failed(&error)),
        }
        let records = site::ledger_of_runs(&cluster, namespace).list().await.map_err(|error| failed(&error))?;
        let of_job = |record: &Record| record.target == target && record.name == name;
        let keys = records.into_iter().filter(of_job).map(|record| record.key);
        let keys: Vec<_> = keys.collect();
        let server = Server { cluster, namespace: namespace.to_owned(), watches: shared.watches.clone() };
        server.remove_restores(&keys).await.map_err(|error| failed(&error))
    }

    fn can_quiesce(&self) -> bool {
        true
    }

    fn steps(&self, _: &Reference, quiesce: &QuiesceModel) -> Vec<String> {
        let quiesce = self.selection().and_then(|selection| quiesce.resolve(&first(&selection)));
        let mut steps = quiesce.map(|quiesce| quiesce.steps()).unwrap_or_default();
        if self.deletes_claims() {
            steps.push(
                "delete the PersistentVolumeClaims whose content the recovery point has in the bucket".to_owned(),
            );
        }
        steps
    }

    async fn pause(
        &self,
        shared: &Shared,
        source: &Reference,
        quiesce: &QuiesceModel,
    ) -> Result<Option<Box<dyn Pause>>> {
        let (Some(cluster), Some(selection)) = (self.cluster(shared, source)?, self.selection()) else {
            return Ok(None);
        };
        let namespace = self.namespace_of(source).into_known().unwrap_or_default();
        let Some(quiesce) = quiesce.resolve(&first(&selection)) else { return Ok(None) };
        let schedules = schedules_of(&cluster, &namespace, &selection.destinations())
            .await
            .map_err(|error| Diagnostics::error("Unable to look for schedules that have to rest", ended(error)))?;
        let own = schedules.iter().map(|name| OwnSchedule::paused_in_spec(SCHEDULE, &namespace, name)).collect();
        let target = selection.destinations().join(",");
        Ok(Some(Box::new(KubernetesPause::new(cluster, quiesce, own).held_for(ENGINE, &target))))
    }

    fn is_known(&self, shared: &Shared, source: &Reference) -> Result<bool> {
        Ok(self.is_whole() && self.site(shared, source)?.is_some())
    }

    fn prepare(&self, _: &Shared) -> Result<()> {
        Ok(())
    }

    async fn open(&self, shared: &Shared, source: &Reference, _: Option<String>) -> Result<Option<OpenRestore>> {
        let (Some(selection), Some(site)) = (self.selection(), self.site(shared, source)?) else { return Ok(None) };
        self.check(&Path::attribute(ENGINE)).into_result()?;
        let Some(target) = self.destination(shared, source)? else { return Ok(None) };
        let cluster = &site.server.cluster;
        let server_uid = cluster.uid().await.map_err(|error| {
            let path = Path::attribute(ENGINE).then("cluster");
            Diagnostics::error_at(path, "Unable to reach the cluster", ended(error))
        })?;
        let ledger = site::ledger_of_runs(cluster, &site.server.namespace);
        let may_save = !source.is_read_only() && !shared.is_drill();
        let Site { server, bucket, place, location, storage } = site;
        let engine = Box::new(NamespaceRestore {
            server,
            bucket,
            place,
            location,
            series: Series { namespaces: selection.namespaces.clone(), schedule: self.schedule.known().cloned() },
            selection,
            spec: self.spec(),
            existing_claims: ExistingClaims::of(self.existing_claims.text()),
            storage_classes: map(&self.storage_class_mapping).into_iter().collect(),
            accept_partially_failed: self.accept_partially_failed == Attr::Known(true),
        });
        let server_uid = Some(server_uid);
        Ok(Some(OpenRestore { target, server_uid, ledger, storage, engine, may_save }))
    }
}

#[cfg(test)]
mod tests;
