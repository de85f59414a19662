//! The block `k8up` of a restore job.

use std::sync::Arc;

use async_trait::async_trait;
use dr_framework::{Anything, Attr, Diagnostics, Model, Path, Result};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::abandoned::Leftovers;
use super::archive::{ArchiveBucket, OpenBucket};
use super::backend;
use super::opener::Opener;
use super::orders::{Orders, is_own_pod};
use super::restore::{ClaimRestore, Own};
use super::restore_archive::{ArchiveRestore, Archives};
use super::schedule::SCHEDULE;
use super::target::{secret, without_token};
use super::{ENGINE, claims, repository};
use crate::connections::kubernetes::{Cluster, ClusterError, DynamicObject, Kind, Unreachable};
use crate::engines::concepts::{Failure, Look, OpenRestore, RestoreBlock, TargetServer};
use crate::engines::kubernetes::abandoned;
use crate::engines::kubernetes::drill::check_drill;
use crate::engines::kubernetes::objects::{Wanted, server_of};
use crate::engines::kubernetes::overwritten;
use crate::engines::kubernetes::quiesce::{ClaimPause, KubernetesPause, OwnSchedule, QuiesceModel};
use crate::engines::kubernetes::repository_secret::namespace_of;
use crate::engines::kubernetes::spec::{Spec, TextMap, Texts};
use crate::engines::kubernetes::store_keys;
use crate::ledger::{ConfigMapLedger, LedgerStore};
use crate::reference::{Place, Reference};
use crate::run::{EngineError, Pause};
use crate::secret::Secret;
use crate::shared::{Reached, Shared};
use crate::validators;
use crate::words::ended;

/// A volume to restore from a repository of k8up's, by a Restore of k8up.
///
/// Where it goes to another namespace or cluster than its target's, k8up opens the repository with the connection's own key,
/// in a Secret that goes with the run.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct K8upRestoreBlock {
    /// The name of the cluster's connection in the provider block; that of the target if left out.
    #[dr(optional, validate = validators::reference_name)]
    pub cluster: Attr<String>,
    /// The namespace of the claim; that of the target if left out.
    #[dr(optional, validate = validators::name)]
    pub namespace: Attr<String>,
    /// The name of the claim that is filled. What a volume holds that has data can't be seen from outside: it counts as
    /// present, and one without a volume as empty.
    #[dr(optional, validate = validators::name)]
    pub pvc: Attr<String>,
    /// A bucket that gets the point instead, as a compressed file `backup-<namespace>-<claim>-<time>.tar.gz`. It counts as
    /// present when it holds an archive of the claim, whatever the point.
    #[dr(optional)]
    pub s3: Attr<ArchiveBucket>,
    /// The name of the claim that was backed up; `pvc` if left out.
    #[dr(optional, validate = validators::name)]
    pub source_pvc: Attr<String>,
    /// The namespace that was backed up; that of the target if left out, else `namespace`.
    #[dr(optional, validate = validators::name)]
    pub source_namespace: Attr<String>,
    /// The size of the claim, like `10Gi`, which has it made when it does not exist.
    #[dr(optional, validate = validators::size)]
    pub capacity: Attr<String>,
    /// The storage class of a claim that is made; the cluster's own if left out.
    #[dr(optional)]
    pub storage_class_name: Attr<String>,
    /// The access modes of a claim that is made: `ReadWriteOnce`, `ReadOnlyMany`, `ReadWriteMany` or `ReadWriteOncePod`;
    /// `["ReadWriteOnce"]` if left out.
    #[dr(optional, validate = validators::access_modes)]
    pub access_modes: Texts,
    /// Labels of a claim that is made, as whoever made the lost one gave it.
    #[dr(optional)]
    pub labels: TextMap,
    /// Annotations of a claim that is made.
    #[dr(optional)]
    pub annotations: TextMap,
    /// What becomes of files that the point does not hold: `keep` or `delete`.
    #[dr(default = "keep", validate = validators::extra)]
    pub extra: Attr<String>,
    /// Only what fits this pattern of restic's `--include` is restored.
    #[dr(optional)]
    pub restore_filter: Attr<String>,
    /// The security context of k8up's pod, as `spec.podSecurityContext` of a Restore: passed on as it is.
    #[dr(optional)]
    pub pod_security_context: Attr<Anything>,
    /// The name of a PodConfig in the namespace, which says more of k8up's pod.
    #[dr(optional)]
    pub pod_config: Attr<String>,
}

/// What a restore works with, by name.
struct Seat {
    cluster: String,
    namespace: String,
    filled: Filled,
    source_namespace: String,
    source_pvc: String,
}

impl Seat {
    /// What tells the Secrets of archives apart: those of one claim may be made at once, of other points or into other
    /// buckets.
    fn suffix(&self, source: &Reference) -> String {
        let (Filled::Claim(target) | Filled::Bucket(target)) = &self.filled;
        let mut digest = Sha256::new_with_prefix(target);
        for leaf in [&source.connection, &source.scope, &source.name] {
            digest.update([0]);
            digest.update(leaf.text().unwrap_or_default());
        }
        format!("{}.{}", self.source_pvc, hex::encode(&digest.finalize()[..4]))
    }

    /// The Secret that goes with a run. A target's own has no point in its name, so none is overwritten.
    fn secret(&self, source: &Reference) -> String {
        match &self.filled {
            Filled::Claim(pvc) => format!("dr-restore.{pvc}"),
            Filled::Bucket(_) => format!("dr-restore-archive.{}", self.suffix(source)),
        }
    }

    /// The Secret with the keys of the bucket that is filled.
    fn bucket_secret(&self, source: &Reference) -> String {
        format!("dr-restore-bucket.{}", self.suffix(source))
    }
}

/// What is filled.
enum Filled {
    /// A claim.
    Claim(String),
    /// A bucket, as a run key names it.
    Bucket(String),
}

fn of_target(reference: &Reference, leaf: &Attr<String>) -> Attr<String> {
    match &reference.kind {
        Attr::Known(kind) if kind == "backup_target" => leaf.clone(),
        Attr::Unknown => Attr::Unknown,
        _ => Attr::Null,
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

async fn schedules_in(cluster: &Cluster, namespace: &str) -> std::result::Result<Vec<DynamicObject>, ClusterError> {
    match cluster.list(&SCHEDULE, Some(namespace), None).await {
        Err(ClusterError::MissingKind { .. } | ClusterError::NoNamespace { .. }) => Ok(Vec::new()),
        schedules => schedules,
    }
}

/// What of Schedules rests while a volume of a namespace is half restored: what backs it up. Where that is gone, the restore of
/// another claim may have it rest, and would bring it back before this one has come to its end.
fn backups(schedules: &[DynamicObject], namespace: &str) -> Vec<OwnSchedule> {
    let names = schedules.iter().filter_map(|schedule| schedule.metadata.name.as_deref());
    names.map(|name| OwnSchedule::without_backups(SCHEDULE, namespace, name, "backup")).collect()
}

/// What of them would remove the point that is restored: a prune of the repository, which k8up has forget what has the prune's
/// own namespace as its host (`HOSTNAME` in its `operator/executor`). It may be reached under several addresses, so that its
/// bucket, with the prefix, tells it.
fn prunes(schedules: &[DynamicObject], namespace: &str, bucket: Option<&str>) -> Vec<OwnSchedule> {
    let is_of = |schedule: &&DynamicObject| {
        let spec = &schedule.data["spec"];
        let said = backend::said(&[&spec["prune"]["backend"], &spec["backend"]], "/s3/bucket");
        said.zip(bucket).is_none_or(|(said, bucket)| said.trim_matches('/') == bucket)
    };
    let names = schedules.iter().filter(is_of).filter_map(|schedule| schedule.metadata.name.as_deref());
    names.map(|name| OwnSchedule::without_retention(SCHEDULE, namespace, name, "prune")).collect()
}

/// Whose prunes rest. A run that only reads elsewhere, as a drill does, leaves the Schedules of another namespace alone.
fn pruning(seat: &Seat, may_reach_over: bool) -> Option<&str> {
    (may_reach_over || seat.source_namespace == seat.namespace).then_some(seat.source_namespace.as_str())
}

/// What rests while a claim is restored.
async fn own_schedules(
    cluster: &Cluster,
    source: &Reference,
    seat: &Seat,
    may_reach_over: bool,
) -> std::result::Result<Vec<OwnSchedule>, ClusterError> {
    let here = schedules_in(cluster, &seat.namespace).await?;
    let mut own = backups(&here, &seat.namespace);
    let bucket = backend::bucket_of(source);
    if let Some(namespace) = pruning(seat, may_reach_over) {
        let there = if namespace == seat.namespace { here } else { schedules_in(cluster, namespace).await? };
        own.extend(prunes(&there, namespace, bucket.as_deref()));
    }
    Ok(own)
}

impl K8upRestoreBlock {
    fn cluster_of(&self, source: &Reference) -> Attr<String> {
        self.cluster.clone().or(of_target(source, &source.connection)).or("default".into())
    }

    fn namespace_of(&self, source: &Reference) -> Attr<String> {
        self.namespace.clone().or(of_target(source, &namespace_of(&source.scope)))
    }

    /// Once everything in it is known; an error where nothing says which namespace.
    fn seat(&self, source: &Reference) -> Result<Option<Seat>> {
        let namespace = self.namespace_of(source);
        if namespace.is_null() {
            return Err(Diagnostics::error_at(
                Path::attribute(ENGINE).then("namespace"),
                "Which namespace?",
                "The source is no target that names one: set `namespace`.",
            ));
        }
        let of_target = of_target(source, &namespace_of(&source.scope));
        let source_namespace = self.source_namespace.clone().or(of_target).or(namespace.clone());
        let source_pvc = self.source_pvc.clone().or(self.pvc.clone());
        Ok(match (self.cluster_of(source), namespace, self.filled(), source_namespace, source_pvc) {
            (
                Attr::Known(cluster),
                Attr::Known(namespace),
                Some(filled),
                Attr::Known(source_namespace),
                Attr::Known(source_pvc),
            ) => Some(Seat { cluster, namespace, filled, source_namespace, source_pvc }),
            _ => None,
        })
    }

    fn filled(&self) -> Option<Filled> {
        match (&self.pvc, &self.s3) {
            (Attr::Known(pvc), Attr::Null) => Some(Filled::Claim(pvc.clone())),
            (Attr::Null, Attr::Known(bucket)) => {
                Some(Filled::Bucket(format!("{}/{}", bucket.s3.text()?, bucket.bucket.text()?)))
            }
            _ => None,
        }
    }

    /// The archives of the claim in the bucket, as they are seen from here.
    fn archives(&self, shared: &Shared, seat: &Seat, bucket: &OpenBucket) -> Result<Option<Archives>> {
        let Some(name) = self.s3.known().and_then(|own| own.bucket.text()) else { return Ok(None) };
        let store = shared.clients.bucket(&bucket.connection, name, "").map_err(|error| {
            Diagnostics::error_at(Path::attribute(ENGINE).then("s3"), "Unable to reach the bucket", ended(error))
        })?;
        let (namespace, pvc) = (seat.source_namespace.clone(), seat.source_pvc.clone());
        Ok(Some(Archives { store: Arc::new(store), namespace, pvc }))
    }

    fn bucket(&self, shared: &Shared, source: &Reference, seat: &Seat) -> Result<Option<OpenBucket>> {
        match self.s3.known() {
            Some(bucket) => {
                let secret = seat.bucket_secret(source);
                bucket.open(shared, Path::attribute(ENGINE).then("s3"), &secret)
            }
            None => Ok(None),
        }
    }

    fn cluster(&self, shared: &Shared, source: &Reference) -> Result<Option<Cluster>> {
        match self.cluster_of(source).text() {
            Some(name) => shared.cluster(name, &Path::attribute(ENGINE).then("cluster")),
            None => Ok(None),
        }
    }

    /// What opens the target, where that lies beside the claim.
    fn opener_there(source: &Reference, seat: &Seat) -> Option<Opener> {
        let is_of = |leaf: &Attr<String>, value: &str| of_target(source, leaf).text() == Some(value);
        let there = is_of(&source.connection, &seat.cluster) && is_of(&namespace_of(&source.scope), &seat.namespace);
        Opener::of(source).filter(|_| there)
    }

    /// What opens the repository where the claim is: the Secret of the target, or one of the run's own with this password.
    /// `None` while something of it is not known.
    fn secret(
        &self,
        shared: &Shared,
        source: &Reference,
        seat: &Seat,
        password: &Secret,
    ) -> Result<Option<(Opener, Option<Wanted>)>> {
        if let Some(opener) = Self::opener_there(source, seat) {
            return Ok(Some((opener, None)));
        }
        let path = Path::attribute("source");
        let Some(place) = Place::from_reference(&source.store, &path)? else { return Ok(None) };
        let reached = shared.reach(&place, &path.clone().then("store").then("connection"))?;
        let Some(Reached::S3 { connection, .. }) = reached else { return Ok(None) };
        let Some(Some(keys)) = store_keys::of(shared, &connection, &"connection".into())? else { return Ok(None) };
        without_token(&keys, path.then("store").then("connection"))?;
        let name = seat.secret(source);
        let wanted = secret(&name, Some(password), &keys, connection.ca_pem.as_deref());
        Ok(Some((Opener::in_one(&name), Some(wanted))))
    }

    /// A claim or a bucket, and what is of the other one.
    fn check_filled(&self) -> Diagnostics {
        let error = |name: &str, summary: &str, detail: &str| {
            Diagnostics::error_at(Path::attribute(ENGINE).then(name), summary, detail.to_owned())
        };
        if self.pvc.is_null() && self.s3.is_null() {
            return error("pvc", "What is filled?", "Set one of `pvc`, a claim, and `s3`, a bucket.");
        }
        if !self.s3.is_known() {
            return Diagnostics::default();
        }
        if self.pvc.is_known() {
            return error("s3", "Two targets of one restore", "Set one of `pvc` and `s3`.");
        }
        let mut found = Diagnostics::default();
        if self.source_pvc.is_null() {
            found.extend(error(
                "source_pvc",
                "Which claim?",
                "With `s3`, `source_pvc` names the claim that was backed up.",
            ));
        }
        for (name, set) in [
            ("capacity", self.capacity.is_known()),
            ("restore_filter", self.restore_filter.is_known()),
            ("extra", self.extra.text() == Some("delete")),
        ] {
            if set {
                let detail = "With `s3`, all of the point goes into one file: leave it out.";
                found.extend(error(name, "An argument of restores into a claim", detail));
            }
        }
        found
    }

    /// The claim as it is made when there is none, but for its name.
    fn claim(&self) -> Option<Value> {
        let capacity = self.capacity.text()?;
        let mut modes = crate::jobs::texts(&self.access_modes);
        if modes.is_empty() {
            modes.push("ReadWriteOnce".to_owned());
        }
        let mut spec = json!({ "accessModes": modes, "resources": { "requests": { "storage": capacity } } });
        if let Some(class) = self.storage_class_name.text() {
            spec["storageClassName"] = class.into();
        }
        let mut metadata = Spec::default();
        metadata.map("labels", &self.labels).map("annotations", &self.annotations);
        Some(json!({ "metadata": metadata.done(), "spec": spec }))
    }

    /// As the spec of a Restore, without repository and point.
    fn spec(&self, seat: &Seat) -> Value {
        let mut spec = Spec::default();
        spec.set("paths", json!([format!("/data/{}", seat.source_pvc)]));
        if let Filled::Claim(pvc) = &seat.filled {
            spec.set("restoreMethod", json!({ "folder": { "claimName": pvc } }));
        }
        spec.text("restoreFilter", &self.restore_filter).anything("podSecurityContext", &self.pod_security_context);
        if self.extra.text() == Some("delete") {
            spec.set("delete", true);
        }
        if let Some(name) = self.pod_config.text() {
            spec.set("podConfigRef", json!({ "name": name }));
        }
        spec.done()
    }
}

#[async_trait]
impl RestoreBlock for K8upRestoreBlock {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn restores(&self) -> String {
        format!("{:?}", (self.source_namespace.text(), self.source_pvc.text(), self.restore_filter.text()))
    }

    fn overwritten(&self, target: &str) -> String {
        match (&self.s3, self.extra.text()) {
            (Attr::Null, extra) => overwritten(target, extra == Some("delete"), "extra = \"delete\""),
            _ => target.to_owned(),
        }
    }

    fn place(&self, source: &Reference) -> (Attr<String>, Attr<String>) {
        (self.cluster_of(source), self.namespace_of(source))
    }

    fn target(&self) -> Attr<String> {
        match &self.s3 {
            Attr::Null => self.pvc.clone(),
            Attr::Unknown => Attr::Unknown,
            Attr::Known(bucket) => bucket.bucket.clone(),
        }
    }

    fn destination(&self, shared: &Shared, source: &Reference) -> Result<Option<String>> {
        let Some(seat) = self.seat(source)? else { return Ok(None) };
        check_drill(shared, &seat.cluster, std::slice::from_ref(&seat.namespace))?;
        Ok(Some(match &seat.filled {
            Filled::Claim(pvc) => format!("{}/{pvc}", seat.namespace),
            Filled::Bucket(_) if shared.is_drill() => {
                return Err(Diagnostics::error_at(
                    Path::attribute(ENGINE).then("s3"),
                    "A drill writes to no bucket",
                    "Restore into a claim, or leave this job out of the drill.",
                ));
            }
            Filled::Bucket(bucket) => format!("{}/{} in bucket {bucket}", seat.namespace, seat.source_pvc),
        }))
    }

    async fn look(&self, shared: &Shared, source: &Reference, _: Option<&str>) -> Result<Option<Look>> {
        let (Some(target), Some(seat)) = (self.destination(shared, source)?, self.seat(source)?) else {
            return Ok(None);
        };
        let Some(cluster) = self.cluster(shared, source)? else { return Ok(None) };
        let Some(server_uid) = looked(&cluster, cluster.uid().await)? else { return Ok(None) };
        let probe = match &seat.filled {
            Filled::Claim(pvc) => {
                let found = cluster.find(&Kind::PVC, &seat.namespace, pvc).await;
                let Some(found) = looked(&cluster, found)? else { return Ok(None) };
                claims::probe(&cluster, &seat.namespace, pvc, found.as_deref())
            }
            Filled::Bucket(_) => {
                let Some(bucket) = self.bucket(shared, source, &seat)? else { return Ok(None) };
                let Some(archives) = self.archives(shared, &seat, &bucket)? else { return Ok(None) };
                archives
                    .probe()
                    .await
                    .map_err(|error| Diagnostics::error("Unable to look at the target", ended(error)))?
            }
        };
        let ledger: Arc<dyn LedgerStore> = Arc::new(ConfigMapLedger::new(cluster, &seat.namespace));
        Ok(Some(Look { target, server_uid: Some(server_uid), probe, ledger: Some(ledger) }))
    }

    fn server(&self, shared: &Shared, source: &Reference) -> Result<TargetServer> {
        server_of(shared, &self.cluster_of(source), &Path::attribute(ENGINE).then("cluster"))
    }

    fn check(&self) -> Diagnostics {
        let mut found = self.check_filled();
        let lonely = [
            ("storage_class_name", self.storage_class_name.is_known()),
            ("access_modes", self.access_modes.is_known()),
            ("labels", self.labels.is_known()),
            ("annotations", self.annotations.is_known()),
        ];
        let lonely = lonely.into_iter().filter(|(_, set)| *set && self.capacity.is_null());
        let refuse = |(name, _): (&str, bool)| {
            let detail = format!("`{name}` is of a claim that is made, and without `capacity` none is.");
            Diagnostics::error_at(Path::attribute(ENGINE).then(name), "A claim without a size", detail).0
        };
        found.extend(Diagnostics(lonely.flat_map(refuse).collect()));
        found
    }

    async fn abandon(&self, shared: &Shared, source: &Reference, name: &str) -> std::result::Result<(), EngineError> {
        let (Ok(Some(target)), Ok(Some(seat)), Ok(Some(cluster))) =
            (self.destination(shared, source), self.seat(source), self.cluster(shared, source))
        else {
            return Ok(());
        };
        let ledger = ConfigMapLedger::new(cluster.clone(), &seat.namespace);
        let (secrets, pvc) = match &seat.filled {
            Filled::Claim(pvc) => (vec![seat.secret(source)], Some(pvc.clone())),
            Filled::Bucket(_) => (vec![seat.secret(source), seat.bucket_secret(source)], None),
        };
        let orders = Orders { cluster, namespace: seat.namespace, watches: shared.watches.clone() };
        abandoned::clear_up(&ledger, name, &target, &Leftovers { orders, secrets, pvc }).await
    }

    fn can_quiesce(&self) -> bool {
        true
    }

    fn steps(&self, source: &Reference, quiesce: &QuiesceModel) -> Vec<String> {
        let namespace = self.namespace_of(source);
        let quiesce = namespace.text().and_then(|namespace| quiesce.resolve(namespace));
        quiesce.map(|quiesce| quiesce.steps()).unwrap_or_default()
    }

    async fn pause(
        &self,
        shared: &Shared,
        source: &Reference,
        quiesce: &QuiesceModel,
    ) -> Result<Option<Box<dyn Pause>>> {
        let (Some(cluster), Some(seat)) = (self.cluster(shared, source)?, self.seat(source)?) else { return Ok(None) };
        let Some(quiesce) = quiesce.resolve(&seat.namespace) else { return Ok(None) };
        let target = format!("{}/{}", seat.namespace, self.target().text().unwrap_or_default());
        // Nothing in the cluster is half restored while a bucket is filled.
        let Filled::Claim(claim) = &seat.filled else {
            let pause = KubernetesPause::new(cluster, quiesce, Vec::new()).held_for(ENGINE, &target);
            return Ok(Some(Box::new(pause)));
        };
        let may_reach_over = !shared.is_drill() && !source.is_read_only();
        let own = own_schedules(&cluster, source, &seat, may_reach_over)
            .await
            .map_err(|error| Diagnostics::error("Unable to look for schedules that have to rest", ended(error)))?;
        let pause = KubernetesPause::new(cluster.clone(), quiesce.clone(), own).held_for(ENGINE, &target);
        let (namespace, claim, is_own) = (seat.namespace, claim.clone(), is_own_pod);
        Ok(Some(Box::new(ClaimPause { pause, cluster, quiesce, namespace, claim, is_own })))
    }

    fn is_known(&self, shared: &Shared, source: &Reference) -> Result<bool> {
        let Some(seat) = self.seat(source)? else { return Ok(false) };
        let path = Path::attribute("source");
        Ok(self.to_object().is_wholly_known()
            && self.cluster(shared, source)?.is_some()
            && self.secret(shared, source, &seat, &Secret::new(""))?.is_some()
            && (matches!(seat.filled, Filled::Claim(_)) || self.bucket(shared, source, &seat)?.is_some())
            && backend::of(shared, source, &path, &Opener::in_one(""))?.is_some()
            && repository::open(shared, source, &path, true)?.is_some())
    }

    fn prepare(&self, _: &Shared) -> Result<()> {
        Ok(())
    }

    async fn open(&self, shared: &Shared, source: &Reference, _: Option<String>) -> Result<Option<OpenRestore>> {
        let path = Path::attribute("source");
        let (Some(target), Some(seat), true) =
            (self.destination(shared, source)?, self.seat(source)?, self.to_object().is_wholly_known())
        else {
            return Ok(None);
        };
        let Some(cluster) = self.cluster(shared, source)? else { return Ok(None) };
        let Some(site) = repository::open(shared, source, &path, true)? else { return Ok(None) };
        let password = match Self::opener_there(source, &seat) {
            Some(_) => Secret::new(""),
            None => site
                .password
                .read()
                .await
                .map_err(|error| Failure::from(error).at("open the repository", path.clone()))?,
        };
        let Some((opener, secret)) = self.secret(shared, source, &seat, &password)? else { return Ok(None) };
        let Some(backend) = backend::of(shared, source, &path, &opener)? else { return Ok(None) };
        let server_uid = cluster.uid().await.map_err(|error| {
            let path = Path::attribute(ENGINE).then("cluster");
            Diagnostics::error_at(path, "Unable to reach the cluster", ended(error))
        })?;
        let storage: Arc<dyn LedgerStore> =
            Arc::new(site.ledger().map_err(|error| Diagnostics::error("Unable to reach the ledger", ended(error)))?);
        let ledger: Arc<dyn LedgerStore> = Arc::new(ConfigMapLedger::new(cluster.clone(), &seat.namespace));
        let mut spec = self.spec(&seat);
        backend.put_into(&mut spec);
        let orders = Orders { cluster, namespace: seat.namespace.clone(), watches: shared.watches.clone() };
        let series = repository::series(&seat.source_namespace, &seat.source_pvc);
        let own = Own { site, series, source_pvc: seat.source_pvc.clone() };
        let server_uid = Some(server_uid);
        let pvc = match &seat.filled {
            Filled::Claim(pvc) => pvc.clone(),
            Filled::Bucket(_) => {
                let Some(bucket) = self.bucket(shared, source, &seat)? else { return Ok(None) };
                let Some(archives) = self.archives(shared, &seat, &bucket)? else { return Ok(None) };
                bucket.put_into(&mut spec);
                let secrets = secret.into_iter().chain([bucket.secret]).collect();
                let engine = Box::new(ArchiveRestore { orders, own, archives, secrets, spec });
                // What a bucket holds already stays.
                return Ok(Some(OpenRestore { target, server_uid, ledger, storage, engine, may_save: false }));
            }
        };
        let engine = Box::new(ClaimRestore { orders, own, pvc, claim: self.claim(), secret, spec });
        let may_save = !source.is_read_only() && !shared.is_drill();
        Ok(Some(OpenRestore { target, server_uid, ledger, storage, engine, may_save }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_that_is_made_is_marked_as_the_lost_one_was() {
        let one = |name: &str, value: &str| Attr::Known([(name.to_owned(), Attr::from(value))].into());
        let block = K8upRestoreBlock {
            pvc: "data".into(),
            capacity: "1Gi".into(),
            labels: one("app", "docs"),
            annotations: one("k8up.io/backup", "true"),
            ..K8upRestoreBlock::default()
        };
        let made = json!({
            "metadata": { "labels": { "app": "docs" }, "annotations": { "k8up.io/backup": "true" } },
            "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
        });
        assert_eq!(block.claim(), Some(made));
        let lonely = K8upRestoreBlock { capacity: Attr::Null, ..block };
        assert!(lonely.check().0.iter().all(|error| error.summary == "A claim without a size"));
        assert_eq!(lonely.check().0.len(), 2);
    }

    #[test]
    fn a_plan_says_what_goes_and_jobs_of_other_things_are_other_runs() {
        let block = K8upRestoreBlock { pvc: "data".into(), ..K8upRestoreBlock::default() };
        assert!(block.overwritten("wiki/data").contains("leaves there what the point does not hold"));
        let deletes = K8upRestoreBlock { extra: "delete".into(), ..block.clone() };
        assert!(deletes.overwritten("wiki/data").contains("removes from it what the point does not hold"));
        assert_eq!(deletes.restores(), block.restores());
        assert_ne!(K8upRestoreBlock { source_pvc: "old".into(), ..block.clone() }.restores(), block.restores());
    }

    fn schedule(name: &str, spec: Value) -> DynamicObject {
        serde_json::from_value(json!({ "metadata": { "name": name }, "spec": spec })).unwrap()
    }

    #[test]
    fn prunes_elsewhere_rest_only_for_a_run_that_may_change_something_there() {
        let seat = |source: &str| Seat {
            cluster: "prod".into(),
            namespace: "wiki".into(),
            filled: Filled::Claim("data".into()),
            source_namespace: source.into(),
            source_pvc: "data".into(),
        };
        assert_eq!(pruning(&seat("wiki"), false), Some("wiki"));
        assert_eq!((pruning(&seat("live"), true), pruning(&seat("live"), false)), (Some("live"), None));
    }

    #[test]
    fn what_backs_up_rests_and_every_prune_of_the_repository() {
        let in_bucket = |bucket: &str| json!({ "s3": { "bucket": bucket } });
        let runs = json!({ "schedule": "@daily" });
        let schedules = [
            schedule("both", json!({ "backend": in_bucket("k8up/wiki"), "backup": runs, "prune": runs })),
            schedule("prunes", json!({ "backend": in_bucket("k8up/wiki/"), "prune": runs })),
            schedule("checks", json!({ "backend": in_bucket("k8up/wiki"), "check": runs })),
            schedule("elsewhere", json!({ "backend": in_bucket("k8up/mail"), "backup": runs, "prune": runs })),
            schedule(
                "moved",
                json!({
                    "backend": in_bucket("k8up/mail"),
                    "prune": { "schedule": "@daily", "backend": in_bucket("k8up/wiki") },
                }),
            ),
            schedule("global", json!({ "prune": runs })),
        ];
        let names = |own: Vec<OwnSchedule>| -> Vec<String> {
            own.into_iter().map(|own| format!("{} {}", own.name, own.field.join("."))).collect()
        };
        // What has none just now may be held by the restore of another claim.
        assert_eq!(names(backups(&schedules, "wiki")).len(), schedules.len());
        let found = names(prunes(&schedules, "wiki", Some("k8up/wiki")));
        let all = ["both", "prunes", "checks", "moved", "global"].map(|name| format!("{name} spec.prune"));
        assert_eq!(found, all);
    }

    #[test]
    fn the_repository_of_a_source_is_told_by_its_bucket() {
        let store = crate::reference::Place::S3 {
            connection: "minio".to_owned(),
            bucket: "k8up".to_owned(),
            prefix: "wiki".to_owned(),
        };
        let source = Reference { store: Attr::Known(store.referenced()), ..Reference::default() };
        assert_eq!(backend::bucket_of(&source).as_deref(), Some("k8up/wiki"));
        assert_eq!(backend::bucket_of(&Reference::default()), None);
    }

    fn summaries(block: &K8upRestoreBlock) -> Vec<String> {
        block.check().0.into_iter().map(|found| found.summary).collect()
    }

    #[test]
    fn archives_that_are_made_at_once_have_secrets_of_their_own() {
        let seat = |bucket: &str| Seat {
            cluster: "prod".into(),
            namespace: "wiki".into(),
            filled: Filled::Bucket(bucket.into()),
            source_namespace: "wiki".into(),
            source_pvc: "data".into(),
        };
        let from = |name: &str| Reference { name: name.into(), ..Reference::default() };
        let suffix = seat("minio/one").suffix(&from("main"));
        assert!(suffix.starts_with("data."), "{suffix}");
        assert_eq!(suffix, seat("minio/one").suffix(&from("main")));
        assert_ne!(suffix, seat("minio/two").suffix(&from("main")));
        assert_ne!(suffix, seat("minio/one").suffix(&from("other")));
    }

    #[test]
    fn a_claim_or_a_bucket_is_filled() {
        let none = K8upRestoreBlock::default();
        assert_eq!(summaries(&none), ["What is filled?"]);
        let claim = K8upRestoreBlock { pvc: "data".into(), ..none.clone() };
        assert!(summaries(&claim).is_empty());
        let bucket = ArchiveBucket { s3: "minio".into(), bucket: "out".into(), credentials: "keys".into() };
        let both = K8upRestoreBlock { s3: Attr::Known(bucket.clone()), ..claim.clone() };
        assert_eq!(summaries(&both), ["Two targets of one restore"]);
        let bucket = K8upRestoreBlock { s3: Attr::Known(bucket), ..none.clone() };
        assert_eq!(summaries(&bucket), ["Which claim?"]);
        let bucket = K8upRestoreBlock { source_pvc: "data".into(), ..bucket };
        assert!(summaries(&bucket).is_empty());
        let filtered = K8upRestoreBlock { restore_filter: "*.txt".into(), extra: "delete".into(), ..bucket };
        assert_eq!(summaries(&filtered).len(), 2);
        // What is not known is neither set nor absent.
        assert!(summaries(&K8upRestoreBlock { pvc: Attr::Unknown, ..none.clone() }).is_empty());
        assert!(summaries(&K8upRestoreBlock { s3: Attr::Unknown, ..none }).is_empty());
        assert!(summaries(&K8upRestoreBlock { s3: Attr::Unknown, ..claim }).is_empty());
    }
}
