//! What exists before a restore and would be skipped by it, and what one that failed leaves behind.

use std::time::Duration;

use super::returned::{CLAIMS, made_by};
use super::room::ExistingClaims;
use super::{NamespaceRestore, SHOWN, late, unread};
use crate::clock;
use crate::connections::kubernetes::{ClusterError, DynamicObject, Kind};
use crate::engines::kubernetes::quiesce::pods_using;
use crate::engines::kubernetes::watch::Objects;
use crate::engines::velero::bucket::Contents;
use crate::engines::velero::documents::{Method, Resources, Status};
use crate::engines::velero::labels;
use crate::engines::velero::points::Point;
use crate::engines::velero::server::{BACKUP, RESTORE, Server, before, engine, is_under_way, listed};
use crate::run::EngineError;

/// How long claims may take to be gone.
const GONE: Duration = Duration::from_secs(300);

/// The finalizer of claims that goes when the last pod does.
const IN_USE: &str = "kubernetes.io/pvc-protection";

/// When it is looked for what exists.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Before anything is touched: a Restore of ours may be at work, and `quiesce` has taken nothing down yet.
    Early,
    /// Right before the Restore is made.
    Last,
}

/// Objects of a kind, by namespace, each listed once.
#[derive(Default)]
struct Existing(Vec<(String, Vec<DynamicObject>)>);

impl Existing {
    async fn find(
        &mut self,
        restore: &NamespaceRestore,
        kind: &Kind,
        namespace: &str,
        name: &str,
    ) -> Result<Option<DynamicObject>, EngineError> {
        if !self.0.iter().any(|(listed, _)| listed == namespace) {
            let (labels, cluster) = (&restore.selection.labels, &restore.server.cluster);
            let objects = labels.list(cluster, kind, namespace, None).await.map_err(before)?;
            self.0.push((namespace.to_owned(), objects));
        }
        let mut objects = self.0.iter().filter(|(listed, _)| listed == namespace).flat_map(|(_, objects)| objects);
        Ok(objects.find(|object| object.metadata.name.as_deref() == Some(name)).cloned())
    }
}

/// What an object is that may have been there before the Restore, or may be its own.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Doubt {
    /// It stays.
    Spares,
    /// It is taken for one that the Restore made.
    Counts,
}

/// What a restore that failed made, and nobody had before.
#[derive(Default)]
struct Left {
    claims: Vec<DynamicObject>,
    pods: Vec<DynamicObject>,
}

impl NamespaceRestore {
    /// Refuses what exists and would stay as it is, but for claims that are to be deleted.
    pub(super) async fn check_existing(
        &self,
        point: &str,
        contents: &Contents,
        stage: Stage,
    ) -> Result<(), EngineError> {
        if self.selection.without_content {
            return Ok(());
        }
        match self.existing_claims {
            ExistingClaims::Refuse => self.check_claims(point, contents, stage).await?,
            ExistingClaims::Delete => self.check_room(point, contents, stage).await?,
        }
        self.check_pods(point, contents, stage).await
    }

    /// The claims that the point brings and that exist. Those that a Restore of ours makes just now are none of that, if there
    /// may be one.
    pub(super) async fn claims_there(
        &self,
        point: &str,
        contents: &Contents,
        stage: Stage,
    ) -> Result<Vec<DynamicObject>, EngineError> {
        let resources = self.bucket.resources(point).await.map_err(unread)?;
        let (mut there, mut existing) = (Vec::new(), Existing::default());
        for (namespace, claim) in self.selection.claims(resources.as_ref(), contents.known()) {
            let namespace = self.selection.destination(&namespace).to_owned();
            let Some(found) = existing.find(self, &Kind::PVC, &namespace, &claim).await? else { continue };
            if !self.is_ours(&found, point, stage).await? {
                there.push(found);
            }
        }
        Ok(there)
    }

    /// Refuses claims that exist: Velero leaves them as they are, with what is in them, also when resources are updated.
    async fn check_claims(&self, point: &str, contents: &Contents, stage: Stage) -> Result<(), EngineError> {
        let there = self.claims_there(point, contents, stage).await?;
        match there.iter().map(named).collect::<Vec<_>>().as_slice() {
            [] => Ok(()),
            there => Err(EngineError::nothing_written(format!(
                "these PersistentVolumeClaims exist on cluster `{}` and Velero would skip them, with what is in them: {}. \
                 existing_claims = \"delete\" has them deleted once they are saved and nothing uses them, namespace_mapping \
                 restores elsewhere, and excluded_resources = [\"persistentvolumeclaims\"] leaves them out",
                self.server.cluster.name(),
                listed(there, SHOWN).join(", ")
            ))),
        }
    }

    /// Refuses pods that exist and through which volumes are filled: Velero skips them, and the volumes stay empty. What a
    /// workload runs, `quiesce` may still take down.
    async fn check_pods(&self, point: &str, contents: &Contents, stage: Stage) -> Result<(), EngineError> {
        let (mut there, mut existing) = (Vec::new(), Existing::default());
        let volumes = contents.known().iter().filter(|volume| self.selection.brings(volume));
        for pod in volumes.filter(|volume| volume.method == Method::FileSystem).filter_map(|volume| volume.pod.as_ref())
        {
            let namespace = self.selection.destination(&pod.namespace).to_owned();
            let Some(found) = existing.find(self, &Kind::POD, &namespace, &pod.pod).await? else { continue };
            let may_go = stage == Stage::Early && found.metadata.owner_references.is_some();
            let name = format!("{namespace}/{}{}", pod.pod, by(&found));
            if !may_go && !there.contains(&name) && !self.is_ours(&found, point, stage).await? {
                there.push(name);
            }
        }
        match there.as_slice() {
            [] => Ok(()),
            there => Err(EngineError::nothing_written(format!(
                "these pods exist on cluster `{}` and Velero would skip them, so that the volumes which {point} holds out of \
                 them would stay empty: {}. Name what runs them in `quiesce.scale_down`, or delete them first",
                self.server.cluster.name(),
                listed(there, SHOWN).join(", ")
            ))),
        }
    }

    /// Whether an object is being made by a Restore of ours that is still at work on this point, or has done it.
    async fn is_ours(&self, object: &DynamicObject, point: &str, stage: Stage) -> Result<bool, EngineError> {
        let made_by = object.metadata.labels.as_ref().and_then(|labels| labels.get(labels::RESTORE));
        let Some(restore) = made_by.filter(|_| stage == Stage::Early) else { return Ok(false) };
        let found = self.server.cluster.get(&RESTORE, &self.server.namespace, restore).await.map_err(before)?;
        Ok(found.is_some_and(|object| {
            let status = Status::of(&object.data);
            let ours = object.metadata.labels.as_ref().is_some_and(|labels| labels.contains_key(labels::RUN));
            ours && object.data["spec"]["backupName"] == point && (is_under_way(&status) || self.is_success(&status))
        }))
    }

    /// Takes away the claims that the failed Restores of a run made, with the pods of theirs that hold them: Velero would leave
    /// them half filled as they are. What was there before the run stays.
    pub(super) async fn clear(&self, safety: &Point, key: &str) -> Result<(), EngineError> {
        let cluster = &self.server.cluster;
        let left = self.left(safety, key, Doubt::Spares).await?;
        let held = |pod: &&DynamicObject| left.claims.iter().any(|claim| mounts(pod, claim));
        for (kind, objects) in [
            (&Kind::POD, left.pods.iter().filter(held).collect::<Vec<_>>()),
            (&Kind::PVC, left.claims.iter().collect()),
        ] {
            for object in objects {
                let (namespace, name) = place(object);
                cluster.delete(kind, namespace, name, object.metadata.uid.as_deref()).await.map_err(engine)?;
            }
        }
        self.gone(&left.claims, "what the failed restore made").await?;
        // What still goes would be skipped like what stays.
        let mut going = Vec::new();
        for namespace in self.selection.destinations() {
            going.extend(cluster.list(&Kind::PVC, Some(&namespace), None).await.map_err(engine)?);
        }
        going.retain(|claim| claim.metadata.deletion_timestamp.is_some());
        self.gone(&going, "what is to be brought back").await
    }

    /// Waits until claims that were deleted are gone. `what` they are, for the message.
    pub(super) async fn gone(&self, claims: &[DynamicObject], what: &str) -> Result<(), EngineError> {
        match tokio::time::timeout(clock::scaled(GONE), self.until_gone(claims)).await {
            Ok(gone) => gone,
            Err(_) => Err(self.still_there(claims, what).await),
        }
    }

    async fn until_gone(&self, claims: &[DynamicObject]) -> Result<(), EngineError> {
        let Server { cluster, watches, .. } = &self.server;
        for claim in claims {
            let (namespace, name) = place(claim);
            let is_gone = |objects: &Objects| {
                let same = objects.get(name).is_some_and(|found| found.metadata.uid == claim.metadata.uid);
                (!same).then_some(())
            };
            watches.wait_for(cluster, &Kind::PVC, namespace, is_gone).await.map_err(engine)?;
        }
        Ok(())
    }

    async fn still_there(&self, claims: &[DynamicObject], what: &str) -> EngineError {
        let cluster = &self.server.cluster;
        let mut there = Vec::new();
        for claim in claims {
            let (namespace, name) = place(claim);
            let found = cluster.get(&Kind::PVC, namespace, name).await.ok().flatten();
            let Some(found) = found.filter(|found| found.metadata.uid == claim.metadata.uid) else { continue };
            let pods = pods_using(cluster, namespace, name).await.unwrap_or_default();
            let mut finalizers = found.metadata.finalizers.unwrap_or_default();
            finalizers.retain(|name| name != IN_USE);
            let by = match (pods.as_slice(), finalizers.as_slice()) {
                ([], []) => String::new(),
                ([], finalizers) => format!(" (the finalizer {} keeps it)", finalizers.join(", ")),
                (pods, _) => format!(" (in use by pod {})", pods.join(", ")),
            };
            there.push(format!("{namespace}/{name}{by}"));
        }
        EngineError::new(format!(
            "{what} was deleted and is still there after {} s: {}",
            GONE.as_secs(),
            listed(&there, SHOWN).join(", ")
        ))
    }

    /// Refuses to call a target as it was that still holds what a failed Restore made.
    pub(super) async fn check_cleared(&self, safety: &Point, key: &str) -> Result<(), EngineError> {
        let left = self.left(safety, key, Doubt::Counts).await?;
        let names: Vec<String> = left.claims.iter().map(named).collect();
        match names.as_slice() {
            [] => Ok(()),
            names => Err(EngineError::new(format!(
                "these PersistentVolumeClaims of the restore that failed are still on cluster `{}`: {}",
                self.server.cluster.name(),
                listed(names, SHOWN).join(", ")
            ))),
        }
    }

    /// The Restores of a run.
    pub(super) async fn restores_of(&self, key: &str) -> Result<Vec<DynamicObject>, ClusterError> {
        let Server { cluster, namespace, .. } = &self.server;
        cluster.list(&RESTORE, Some(namespace), Some(&format!("{}={key}", labels::RUN))).await
    }

    /// What the Restores of a run made since its safety backup was begun, but for those that restored that.
    async fn left(&self, safety: &Point, key: &str, doubt: Doubt) -> Result<Left, EngineError> {
        let Server { cluster, namespace, .. } = &self.server;
        let backup = cluster.get(&BACKUP, namespace, &safety.name).await.map_err(engine)?;
        let Some(since) = backup.and_then(|backup| backup.metadata.creation_timestamp) else {
            return Err(EngineError::new(format!(
                "{} does not know the safety backup {} any more, so nobody can tell what was there before the restore",
                self.server.describe(),
                safety.name
            )));
        };
        let restores = self.restores_of(key).await.map_err(engine)?;
        let mut left = Left::default();
        for restore in restores.iter().filter(|restore| restore.data["spec"]["backupName"] != *safety.name) {
            if restore.metadata.creation_timestamp.as_ref().is_none_or(|made| *made < since) {
                continue;
            }
            let (_, name) = place(restore);
            if is_under_way(&Status::of(&restore.data)) {
                let message =
                    format!("the Restore {namespace}/{name} is still at work: nothing can be rolled back under it");
                return Err(EngineError::new(message));
            }
            let written = self.bucket.restored(name).await.map_err(late)?;
            left.claims.extend(self.made(&Kind::PVC, CLAIMS, restore, written.as_ref(), doubt).await?);
            left.pods.extend(self.made(&Kind::POD, "v1/Pod", restore, written.as_ref(), doubt).await?);
        }
        Ok(left)
    }

    /// The objects of a kind that a Restore made. What was there before and was only changed has its label too.
    async fn made(
        &self,
        kind: &Kind,
        listed_as: &str,
        restore: &DynamicObject,
        written: Option<&Resources>,
        doubt: Doubt,
    ) -> Result<Vec<DynamicObject>, EngineError> {
        let (_, restore_name) = place(restore);
        let selector = format!("{}={}", labels::RESTORE, labels::value(restore_name));
        let is_new = |object: &DynamicObject| {
            let (namespace, name) = place(object);
            let full = format!("{namespace}/{name}");
            let (made, began) = (&object.metadata.creation_timestamp, &restore.metadata.creation_timestamp);
            match (written, doubt) {
                (Some(written), _) => written.created(listed_as).any(|made| made == full),
                // One that was cut off left no list, and times have whole seconds.
                (None, Doubt::Spares) => made > began,
                (None, Doubt::Counts) => made >= began,
            }
        };
        let mut made = Vec::new();
        for namespace in self.selection.destinations() {
            let objects = self.server.cluster.list(kind, Some(&namespace), Some(&selector)).await.map_err(engine)?;
            made.extend(objects.into_iter().filter(|object| made_by(object, restore_name) && is_new(object)));
        }
        Ok(made)
    }
}

/// The namespace and the name of an object.
pub(super) fn place(object: &DynamicObject) -> (&str, &str) {
    let metadata = &object.metadata;
    (metadata.namespace.as_deref().unwrap_or_default(), metadata.name.as_deref().unwrap_or_default())
}

fn mounts(pod: &DynamicObject, claim: &DynamicObject) -> bool {
    let volumes = pod.data["spec"]["volumes"].as_array().into_iter().flatten();
    let (namespace, name) = place(claim);
    place(pod).0 == namespace && volumes.into_iter().any(|volume| volume["persistentVolumeClaim"]["claimName"] == name)
}

/// What an object is called, and who made it.
pub(super) fn named(object: &DynamicObject) -> String {
    let (namespace, name) = place(object);
    format!("{namespace}/{name}{}", by(object))
}

/// Who made an object, where Velero did.
fn by(object: &DynamicObject) -> String {
    let made_by = object.metadata.labels.as_ref().and_then(|labels| labels.get(labels::RESTORE));
    made_by.map(|restore| format!(" (made by the Restore {restore})")).unwrap_or_default()
}
