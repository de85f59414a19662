//! Whether the content of volumes came back. Velero completes a restore that left a claim empty: a pod that existed is
//! skipped along with its volumes, and a cluster that can't read a snapshot makes the claim without it.

use std::collections::{BTreeMap, BTreeSet};

use super::{NamespaceRestore, SHOWN};
use crate::connections::kubernetes::{ClusterError, DynamicObject, Kind};
use crate::engines::velero::bucket::Contents;
use crate::engines::velero::documents::{Method, PodVolume, Resources, Volume};
use crate::engines::velero::labels;
use crate::engines::velero::points::Point;
use crate::engines::velero::server::{Ended, Server, engine, listed};
use crate::run::EngineError;

/// What fills a volume through a pod.
static POD_VOLUME_RESTORE: Kind = Kind::namespaced("velero.io", "v1", "PodVolumeRestore", "podvolumerestores");
/// What fills a volume with a moved snapshot.
static DATA_DOWNLOAD: Kind = Kind::namespaced("velero.io", "v2alpha1", "DataDownload", "datadownloads");

/// The claims of a backup and of a restore.
pub(super) const CLAIMS: &str = "v1/PersistentVolumeClaim";

/// A claim as it is called on the cluster that is restored to: namespace and name.
pub(super) type Claim = (String, String);

/// The volumes of which something has to come back, by their claims. A claim that several pods had may be there more than once.
pub(super) type Expected<'a> = BTreeMap<Claim, Vec<&'a Volume>>;

/// What is known of a volume after a restore.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Seen {
    NotBack,
    Unknown,
    Back,
}

/// What Velero made to fill volumes, on the cluster.
#[derive(Default)]
struct Fillers {
    pods: Vec<DynamicObject>,
    downloads: Vec<DynamicObject>,
}

impl NamespaceRestore {
    /// The volumes of which a restore has to bring something. `None` where nobody can tell what Velero selected.
    pub(super) fn expected<'a>(
        &self,
        point: &Point,
        contents: &'a Contents,
        written: Option<&Resources>,
    ) -> Option<Expected<'a>> {
        let selection = self.selection_for(point);
        let mut expected = Expected::new();
        if selection.without_content {
            return Some(expected);
        }
        for volume in contents.known().iter().filter(|volume| selection.brings(volume)) {
            let namespace = selection.destination(&volume.namespace).to_owned();
            expected.entry((namespace, volume.claim.clone())).or_default().push(volume);
        }
        // Labels select claims that only Velero knows, and a safety backup leaves alone what is there.
        if !expected.is_empty() && (point.safety || !selection.labels.is_empty()) {
            let made: BTreeSet<&str> = written?.created(CLAIMS).collect();
            expected.retain(|(namespace, claim), _| made.contains(format!("{namespace}/{claim}").as_str()));
        }
        Some(expected)
    }

    /// Sees that they came back; `told` is Velero's list of them. What is not known is returned for people, and so is what
    /// is lost of a restore that may fail in part. Of a safety backup both are errors.
    pub(super) async fn check_returned(
        &self,
        ended: &Ended,
        point: &Point,
        expected: Option<Expected<'_>>,
        told: Option<&[Volume]>,
    ) -> Result<Vec<String>, EngineError> {
        let Some(mut missing) = expected else { return self.nobody_knows(ended, point) };
        // Of a restore that failed in part the list names volumes that failed, too.
        let is_whole = ended.status.phase == "Completed";
        missing.retain(|claim, volumes| !volumes.iter().any(|volume| is_listed(told, claim, volume, is_whole)));
        let fillers = self.fillers(&ended.name, &missing).await?;
        let (mut lost, mut unknown) = (Vec::new(), Vec::new());
        for (claim, volumes) in &missing {
            let mut best = Seen::NotBack;
            for volume in volumes {
                best = best.max(self.look_for(&ended.name, claim, volume, told, &fillers).await?);
            }
            match best {
                Seen::Back => {}
                Seen::Unknown => unknown.push(described(claim, volumes)),
                Seen::NotBack => lost.push(described(claim, volumes)),
            }
        }
        if point.safety {
            // What can't be shown to be back is no way back.
            lost.append(&mut unknown);
        }
        if !lost.is_empty() && (is_whole || point.safety) {
            return Err(self.not_back(ended, point, &lost));
        }
        let say = |what: &str, names: &[String]| {
            (!names.is_empty()).then(|| format!("{what}: {}", listed(names, SHOWN).join(", ")))
        };
        let lost = say("the content of these volumes did not come back, or not all of it", &lost);
        let unknown = say("nobody can tell whether the content of these volumes came back", &unknown);
        Ok(lost.into_iter().chain(unknown).collect())
    }

    fn nobody_knows(&self, ended: &Ended, point: &Point) -> Result<Vec<String>, EngineError> {
        let why = format!(
            "Velero left no list of what the Restore {}/{} made, so nobody can tell whether the volumes of {} came back",
            self.server.namespace, ended.name, point.name
        );
        if point.safety { Err(EngineError::new(why)) } else { Ok(vec![why]) }
    }

    /// Looks on the cluster for what Velero's list does not name.
    async fn look_for(
        &self,
        restore: &str,
        (namespace, name): &Claim,
        volume: &Volume,
        told: Option<&[Volume]>,
        fillers: &Fillers,
    ) -> Result<Seen, EngineError> {
        let is_back = match (volume.method, &volume.pod, told) {
            (Method::FileSystem, Some(pod), _) => fillers.pods.iter().any(|object| fills(object, namespace, pod)),
            (Method::MovedSnapshot, ..) => fillers.downloads.iter().any(|object| {
                let target = &object.data["spec"]["targetVolume"];
                target["namespace"] == **namespace && target["pvc"] == **name
            }),
            (Method::CsiSnapshot, ..) => {
                let claim = self.server.cluster.get(&Kind::PVC, namespace, name).await.map_err(engine)?;
                claim.is_some_and(|claim| made_by(&claim, restore) && is_of_snapshot(&claim))
            }
            // A claim that was not bound yet stands in the list by its volume alone.
            (Method::NativeSnapshot, _, Some(told)) => {
                let claim = self.server.cluster.get(&Kind::PVC, namespace, name).await.map_err(engine)?;
                let bound = claim.and_then(|claim| Some(claim.data["spec"]["volumeName"].as_str()?.to_owned()));
                let is_native = |told: &&Volume| told.method == Method::NativeSnapshot;
                told.iter().filter(is_native).any(|told| Some(&told.persistent_volume) == bound.as_ref())
            }
            // Nothing on the cluster says of a volume that it was made of a snapshot, or which pod a volume was of.
            (Method::NativeSnapshot | Method::FileSystem, ..) => return Ok(Seen::Unknown),
            (Method::Nothing, ..) => true,
        };
        Ok(if is_back { Seen::Back } else { Seen::NotBack })
    }

    async fn fillers(&self, restore: &str, missing: &Expected<'_>) -> Result<Fillers, EngineError> {
        let needs = |method: Method| missing.values().flatten().any(|volume| volume.method == method);
        let mut fillers = Fillers::default();
        if needs(Method::FileSystem) {
            fillers.pods = self.completed(&POD_VOLUME_RESTORE, restore).await?;
        }
        if needs(Method::MovedSnapshot) {
            fillers.downloads = self.completed(&DATA_DOWNLOAD, restore).await?;
        }
        Ok(fillers)
    }

    /// The objects of a kind by which a Restore filled volumes. A Velero that does not know the kind has none.
    async fn completed(&self, kind: &Kind, restore: &str) -> Result<Vec<DynamicObject>, EngineError> {
        let Server { cluster, namespace, .. } = &self.server;
        let selector = format!("{}={}", labels::RESTORE, labels::value(restore));
        let mut objects = match cluster.list(kind, Some(namespace), Some(&selector)).await {
            Err(ClusterError::MissingKind { .. }) => Vec::new(),
            objects => objects.map_err(engine)?,
        };
        objects.retain(|object| object.data["status"]["phase"] == "Completed");
        Ok(objects)
    }

    fn not_back(&self, ended: &Ended, point: &Point, lost: &[String]) -> EngineError {
        EngineError::new(format!(
            "the Restore {}/{} ended {} and Velero does not show that it filled these volumes on cluster `{}`, whose content \
             is in {}: {}. The claims may be empty. Velero skips what exists already, and a volume that was saved out of a \
             pod is filled only along with that pod: name what runs it in `quiesce`, delete the claims, and apply again",
            self.server.namespace,
            ended.name,
            ended.status.phase,
            self.server.cluster.name(),
            point.name,
            listed(lost, SHOWN).join(", ")
        ))
    }
}

/// Whether Velero's list names a volume as filled.
fn is_listed(told: Option<&[Volume]>, claim: &Claim, volume: &Volume, is_whole: bool) -> bool {
    let counts = is_whole || matches!(volume.method, Method::CsiSnapshot | Method::NativeSnapshot);
    let is_it = |told: &Volume| told.method == volume.method && told.namespace == claim.0 && told.claim == claim.1;
    counts && told.unwrap_or_default().iter().any(is_it)
}

/// A volume, for people.
fn described((namespace, name): &Claim, volumes: &[&Volume]) -> String {
    let method = volumes.first().map(|volume| volume.method.as_str()).unwrap_or_default();
    let out_of = volumes.iter().find_map(|volume| volume.pod.as_ref());
    let out_of = out_of.map(|pod| format!(" out of pod {}", pod.pod)).unwrap_or_default();
    format!("{namespace}/{name} ({method}{out_of})")
}

/// Whether an object was made, or changed, by a Restore.
pub(super) fn made_by(object: &DynamicObject, restore: &str) -> bool {
    let label = object.metadata.labels.as_ref().and_then(|labels| labels.get(labels::RESTORE));
    label.is_some_and(|label| *label == labels::value(restore))
}

fn fills(object: &DynamicObject, namespace: &str, volume: &PodVolume) -> bool {
    let spec = &object.data["spec"];
    spec["pod"]["namespace"] == namespace && spec["pod"]["name"] == volume.pod && spec["volume"] == volume.volume
}

fn is_of_snapshot(claim: &DynamicObject) -> bool {
    ["dataSource", "dataSourceRef"].iter().any(|field| claim.data["spec"][field]["kind"] == "VolumeSnapshot")
}
