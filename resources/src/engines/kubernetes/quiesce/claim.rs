//! A PersistentVolumeClaim that is deleted and made again: what is the user's in it stays as it was.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::{failed, pods_using, read};
use crate::clock;
use crate::connections::kubernetes::{Cluster, ClusterError, DynamicObject, FIELD_MANAGER, Kind, field_owners};
use crate::ledger::{Record, UndoStep};
use crate::run::EngineError;

/// The step that remembers a claim.
pub(super) const KEEP_CLAIM: &str = "keep_claim";

/// How long a claim may take to be gone.
const GONE: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_secs(2);

/// Parts of the spec that are the user's. `volumeName` is not: it would bind the old volume.
const OF_THE_USER: [&str; 6] =
    ["accessModes", "resources", "selector", "storageClassName", "volumeAttributesClassName", "volumeMode"];

/// Annotations that the control plane sets while it binds and provisions.
const OF_THE_CONTROL_PLANE: [&str; 3] =
    ["pv.kubernetes.io/", "volume.kubernetes.io/", "volume.beta.kubernetes.io/storage-provisioner"];

/// What is needed to make a claim again. It goes into the run's record before the claim is deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Claim {
    namespace: String,
    name: String,
    uid: String,
    labels: Value,
    annotations: Value,
    owners: Value,
    spec: Map<String, Value>,
    data_source_ref: Value,
}

impl Claim {
    /// The claim as it is now, if it is there.
    pub async fn read(cluster: &Cluster, namespace: &str, name: &str) -> Result<Option<Claim>, EngineError> {
        Ok(read(cluster, &Kind::PVC, namespace, name).await?.map(|object| Claim::from_object(namespace, name, &object)))
    }

    /// The claim as the run's record remembers it, from [`KubernetesPause::keeping_claim`].
    ///
    /// [`KubernetesPause::keeping_claim`]: super::KubernetesPause::keeping_claim
    pub fn remembered(record: &Record, namespace: &str, name: &str) -> Result<Option<Claim>, EngineError> {
        let object = object_name(namespace, name);
        let kept = |step: &&UndoStep| step.action == KEEP_CLAIM && step.object == object && !step.undone;
        record.undo.iter().find(kept).map(Claim::of_step).transpose()
    }

    fn from_object(namespace: &str, name: &str, object: &DynamicObject) -> Claim {
        let spec = &object.data["spec"];
        let kept = |field: &str| Some((field.to_owned(), spec.get(field)?.clone()));
        let annotations = object.metadata.annotations.iter().flatten();
        let of_the_user = |name: &str| !OF_THE_CONTROL_PLANE.iter().any(|prefix| name.starts_with(prefix));
        let annotations =
            annotations.filter(|(name, _)| of_the_user(name)).map(|(name, value)| (name.clone(), json!(value)));
        Claim {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            uid: object.metadata.uid.clone().unwrap_or_default(),
            labels: json!(object.metadata.labels),
            annotations: Value::Object(annotations.collect()),
            owners: json!(object.metadata.owner_references),
            spec: OF_THE_USER.into_iter().filter_map(kept).collect(),
            data_source_ref: spec["dataSourceRef"].clone(),
        }
    }

    pub(super) fn step(&self) -> UndoStep {
        let before = serde_json::to_string(self).ok();
        let object = object_name(&self.namespace, &self.name);
        UndoStep { action: KEEP_CLAIM.to_owned(), object, before, undone: false }
    }

    pub(super) fn of_step(step: &UndoStep) -> Result<Claim, EngineError> {
        let read = step.before.as_deref().and_then(|before| serde_json::from_str(before).ok());
        read.ok_or_else(|| EngineError::new(format!("the run's record does not say what {} was before", step.object)))
    }

    /// Makes it as it was if it is gone: what a run that deleted it leaves behind when it ends before it made the new one.
    pub(super) async fn bring_back(&self, cluster: &Cluster) -> Result<(), EngineError> {
        self.bring_back_within(cluster, GONE, LOOK).await
    }

    pub(super) async fn bring_back_within(
        &self,
        cluster: &Cluster,
        bound: Duration,
        look: Duration,
    ) -> Result<(), EngineError> {
        match self.find(cluster).await? {
            Some(found) if found.metadata.deletion_timestamp.is_none() => return Ok(()),
            Some(_) => self.until_gone(cluster, bound, look).await?,
            None => {}
        }
        self.make(cluster, &self.data_source_ref).await.map(drop)
    }

    async fn find(&self, cluster: &Cluster) -> Result<Option<DynamicObject>, EngineError> {
        read(cluster, &Kind::PVC, &self.namespace, &self.name).await
    }

    async fn make(&self, cluster: &Cluster, data_source_ref: &Value) -> Result<String, EngineError> {
        let mut spec = Value::Object(self.spec.clone());
        if !data_source_ref.is_null() {
            spec["dataSourceRef"] = data_source_ref.clone();
        }
        let mut metadata = json!({ "name": self.name, "annotations": self.annotations });
        for (field, value) in [("labels", &self.labels), ("ownerReferences", &self.owners)] {
            if !value.is_null() {
                metadata[field] = value.clone();
            }
        }
        match cluster.create(&Kind::PVC, &self.namespace, json!({ "metadata": metadata, "spec": spec })).await {
            Ok(made) => Ok(made.metadata.uid.unwrap_or_default()),
            Err(ClusterError::AlreadyExists { .. }) => self.made_before(cluster).await,
            Err(error) => Err(EngineError::new(error.to_string()).because(error)),
        }
    }

    /// One that stands there already: ours, from an attempt that was killed or an answer that was lost, or somebody's.
    async fn made_before(&self, cluster: &Cluster) -> Result<String, EngineError> {
        let Some(found) = self.find(cluster).await? else {
            return Err(EngineError::new(format!("{} was deleted by somebody meanwhile", self.called())));
        };
        let owners = field_owners(&found, &["spec"]);
        if owners.iter().any(|owner| owner == FIELD_MANAGER) {
            return Ok(found.metadata.uid.unwrap_or_default());
        }
        let by = if owners.is_empty() { "somebody".to_owned() } else { owners.join(", ") };
        let message =
            format!("{} was made again by {by} meanwhile; what manages it has to be in `quiesce`", self.called());
        Err(EngineError::new(message))
    }

    async fn until_gone(&self, cluster: &Cluster, bound: Duration, look: Duration) -> Result<(), EngineError> {
        let begun = Instant::now();
        loop {
            let Some(found) = self.find(cluster).await?.filter(|found| found.metadata.uid.as_ref() == Some(&self.uid))
            else {
                return Ok(());
            };
            if begun.elapsed() >= clock::scaled(bound) {
                return Err(self.kept(cluster, &found, bound).await);
            }
            clock::sleep(look).await;
        }
    }

    /// Who keeps a claim that was deleted.
    async fn kept(&self, cluster: &Cluster, found: &DynamicObject, waited: Duration) -> EngineError {
        let finalizers = found.metadata.finalizers.clone().unwrap_or_default();
        let foreign: Vec<String> =
            finalizers.into_iter().filter(|name| name != "kubernetes.io/pvc-protection").collect();
        let pods = pods_using(cluster, &self.namespace, &self.name).await.unwrap_or_default();
        let by = match (foreign.as_slice(), pods.as_slice()) {
            ([], []) => "the control plane has not removed it".to_owned(),
            ([], pods) => format!("it is in use by pod {}", pods.join(", ")),
            (finalizers, _) => {
                format!("the finalizer {} keeps it: whoever set that has to remove it", finalizers.join(", "))
            }
        };
        EngineError::new(format!("{} was deleted and is still there after {} s: {by}", self.called(), waited.as_secs()))
    }

    fn called(&self) -> String {
        Kind::PVC.called(&self.namespace, &self.name)
    }
}

fn object_name(namespace: &str, name: &str) -> String {
    format!("{namespace}/persistentvolumeclaim/{name}")
}

/// Deletes a claim, which has to be in the run's record, and makes it again with the user's labels, annotations, storage
/// class, size and access modes; `data_source_ref` is what fills the new one, none leaves it empty. Its new uid. Harmless to
/// repeat. A claim that a pod uses is refused before anything is changed.
pub async fn recreate_pvc(
    cluster: &Cluster,
    claim: &Claim,
    data_source_ref: Option<Value>,
) -> Result<String, EngineError> {
    recreate_within(cluster, claim, data_source_ref, GONE, LOOK).await
}

pub(super) async fn recreate_within(
    cluster: &Cluster,
    claim: &Claim,
    data_source_ref: Option<Value>,
    bound: Duration,
    look: Duration,
) -> Result<String, EngineError> {
    let found = claim.find(cluster).await?;
    if let Some(old) = found.as_ref().filter(|found| found.metadata.uid.as_ref() == Some(&claim.uid)) {
        if old.metadata.deletion_timestamp.is_none() {
            refuse_in_use(cluster, claim).await?;
            cluster.delete(&Kind::PVC, &claim.namespace, &claim.name, Some(&claim.uid)).await.map_err(failed)?;
        }
        claim.until_gone(cluster, bound, look).await?;
    } else if found.is_some() {
        return claim.made_before(cluster).await;
    }
    claim.make(cluster, &data_source_ref.unwrap_or_default()).await
}

async fn refuse_in_use(cluster: &Cluster, claim: &Claim) -> Result<(), EngineError> {
    let pods = pods_using(cluster, &claim.namespace, &claim.name).await?;
    if pods.is_empty() {
        return Ok(());
    }
    let (pods, them) = match pods.as_slice() {
        [pod] => (format!("pod {pod}"), "it"),
        pods => (format!("pods {}", pods.join(", ")), "them"),
    };
    let message = format!("{} is in use by {pods}: what runs {them} has to be in `quiesce.scale_down`", claim.called());
    Err(EngineError::nothing_written(message))
}
