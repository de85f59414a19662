//! What Velero writes into its bucket, as far as it is read: the shapes of its JSON documents.

use std::collections::BTreeMap;
use std::io::Read;

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

/// How much a compressed document may grow to: the list of a million objects is a tenth of it.
const LARGEST: u64 = 1 << 30;

/// A Backup as it lies in `velero-backup.json`, and as the cluster has it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct BackupDocument {
    /// What every object has.
    pub metadata: Metadata,
    /// What was asked for.
    #[serde(deserialize_with = "or_default")]
    pub spec: Map<String, Value>,
    /// What became of it.
    #[serde(deserialize_with = "or_default")]
    pub status: Status,
}

/// The parts of an object's metadata that matter here.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metadata {
    /// Its name.
    pub name: String,
    /// Its labels.
    #[serde(deserialize_with = "or_default")]
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    #[serde(deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
    /// When it was made.
    pub creation_timestamp: Option<String>,
}

/// The status of a Backup or a Restore.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Status {
    /// How far it is; empty before Velero saw it.
    pub phase: String,
    /// When it began.
    pub start_timestamp: Option<String>,
    /// When it ended.
    pub completion_timestamp: Option<String>,
    /// When it will be removed.
    pub expiration: Option<String>,
    /// How many errors there were.
    pub errors: u64,
    /// How many warnings there were.
    pub warnings: u64,
    /// Why it failed as a whole.
    pub failure_reason: String,
    /// Why it was not even begun.
    #[serde(deserialize_with = "or_default")]
    pub validation_errors: Vec<String>,
    /// How far it is, in items.
    #[serde(deserialize_with = "or_default")]
    pub progress: Option<Progress>,
}

/// How far a Backup or a Restore is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Progress {
    /// How many items there are, by what is known so far.
    pub total_items: u64,
    /// How many of them are stored.
    pub items_backed_up: u64,
    /// How many of them are back.
    pub items_restored: u64,
}

impl Status {
    /// The status of an object.
    pub fn of(object: &Value) -> Self {
        Status::deserialize(&object["status"]).unwrap_or_default()
    }
}

/// A volume of a backup, in `<backup>-volumeinfo.json.gz`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct VolumeDocument {
    pvc_name: String,
    pvc_namespace: String,
    pv_name: String,
    backup_method: String,
    restore_method: String,
    snapshot_data_moved: bool,
    skipped: bool,
    skipped_reason: String,
    result: String,
    #[serde(deserialize_with = "or_default")]
    csi_snapshot_info: Option<Sized>,
    #[serde(deserialize_with = "or_default")]
    snapshot_data_movement_info: Option<Sized>,
    #[serde(deserialize_with = "or_default")]
    pvb_info: Option<PodVolumeInfo>,
    #[serde(deserialize_with = "or_default")]
    pvr_info: Option<PodVolumeInfo>,
}

/// What is known of a volume that goes through a pod.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodVolumeInfo {
    pod_name: String,
    pod_namespace: String,
    volume_name: String,
    snapshot_handle: String,
    size: i64,
}

/// A PodVolumeBackup of `<backup>-podvolumebackups.json.gz`: what was known of volumes before there was a list of them.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct PodVolumeBackupDocument {
    metadata: Metadata,
    spec: PodVolumeSpec,
    status: PodVolumeStatus,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct PodVolumeSpec {
    pod: Pod,
    volume: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Pod {
    namespace: String,
    name: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct PodVolumeStatus {
    phase: String,
    #[serde(rename = "snapshotID")]
    snapshot: String,
    #[serde(deserialize_with = "or_default")]
    progress: Option<Moved>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Moved {
    total_bytes: i64,
}

/// How much something holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
struct Sized {
    size: i64,
}

/// How the content of a volume was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// File by file, out of the pod that has it mounted; it comes back with that pod.
    FileSystem,
    /// A CSI snapshot whose content was moved to the bucket.
    MovedSnapshot,
    /// A CSI snapshot that stayed where the volume is.
    CsiSnapshot,
    /// A snapshot by the storage's own interface.
    NativeSnapshot,
    /// Not at all.
    Nothing,
}

impl Method {
    /// The word of the schema.
    pub fn as_str(self) -> &'static str {
        match self {
            Method::FileSystem => "file_system",
            Method::MovedSnapshot => "moved_snapshot",
            Method::CsiSnapshot => "csi_snapshot",
            Method::NativeSnapshot => "native_snapshot",
            Method::Nothing => "none",
        }
    }
}

/// The pod that a volume was read out of, or is filled through.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodVolume {
    /// The namespace of the pod.
    pub namespace: String,
    /// The pod.
    pub pod: String,
    /// What the pod calls the volume.
    pub volume: String,
    /// Whether something of it was stored: of an empty volume there is nothing.
    pub is_stored: bool,
}

/// A volume of a backup, or of a restore.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// Its claim; empty for a volume without one.
    pub claim: String,
    /// The namespace of the claim.
    pub namespace: String,
    /// How its content was saved.
    pub method: Method,
    /// How much it holds, where written down.
    pub bytes: Option<u64>,
    /// Why its content was not saved.
    pub skipped: Option<String>,
    /// The PersistentVolume; empty where that is not written down.
    pub persistent_volume: String,
    /// The pod through which its files go.
    pub pod: Option<PodVolume>,
}

impl Volume {
    /// Whether a restore has something to bring back of it.
    pub fn holds_content(&self) -> bool {
        match self.method {
            Method::Nothing => false,
            Method::FileSystem => self.pod.as_ref().is_none_or(|pod| pod.is_stored),
            _ => true,
        }
    }

    /// The claim with its namespace.
    pub fn name(&self) -> String {
        format!("{}/{}", self.namespace, self.claim)
    }
}

impl From<VolumeDocument> for Volume {
    fn from(volume: VolumeDocument) -> Self {
        let saved = if volume.restore_method.is_empty() { &volume.backup_method } else { &volume.restore_method };
        let failed = volume.result == "failed";
        let method = match saved.as_str() {
            _ if volume.skipped || failed => Method::Nothing,
            "PodVolumeBackup" | "PodVolumeRestore" => Method::FileSystem,
            "CSISnapshot" if volume.snapshot_data_moved => Method::MovedSnapshot,
            "CSISnapshot" => Method::CsiSnapshot,
            "NativeSnapshot" => Method::NativeSnapshot,
            _ => Method::Nothing,
        };
        let info = volume.pvb_info.or(volume.pvr_info);
        let sizes = [
            info.as_ref().map(|info| info.size),
            volume.snapshot_data_movement_info.map(|sized| sized.size),
            volume.csi_snapshot_info.map(|sized| sized.size),
        ];
        let bytes = sizes.into_iter().flatten().find_map(|size| u64::try_from(size).ok().filter(|size| *size > 0));
        let reason = match volume.skipped_reason {
            reason if !reason.is_empty() => reason,
            _ if failed => "saving it failed".to_owned(),
            _ => "nothing asked for it".to_owned(),
        };
        Volume {
            claim: if volume.pvc_name.is_empty() { volume.pv_name.clone() } else { volume.pvc_name },
            namespace: volume.pvc_namespace,
            method,
            bytes: bytes.filter(|_| method != Method::Nothing),
            skipped: (method == Method::Nothing).then_some(reason),
            persistent_volume: volume.pv_name,
            pod: info.map(PodVolume::from),
        }
    }
}

impl From<PodVolumeInfo> for PodVolume {
    fn from(info: PodVolumeInfo) -> Self {
        PodVolume {
            is_stored: !info.snapshot_handle.is_empty() || info.size > 0,
            namespace: info.pod_namespace,
            pod: info.pod_name,
            volume: info.volume_name,
        }
    }
}

impl PodVolumeBackupDocument {
    /// The annotation that names the claim.
    const CLAIM: &str = "velero.io/pvc-name";

    /// The volume, if it has a claim: others live as long as their pod.
    pub fn volume(self) -> Option<Volume> {
        let PodVolumeBackupDocument { metadata, spec, status } = self;
        let claim = metadata.annotations.get(Self::CLAIM).cloned()?;
        let is_saved = status.phase == "Completed";
        let size = status.progress.unwrap_or_default().total_bytes;
        let pod = PodVolume {
            namespace: spec.pod.namespace.clone(),
            pod: spec.pod.name,
            volume: spec.volume,
            is_stored: !status.snapshot.is_empty(),
        };
        Some(Volume {
            claim,
            namespace: spec.pod.namespace,
            method: if is_saved { Method::FileSystem } else { Method::Nothing },
            bytes: u64::try_from(size).ok().filter(|size| is_saved && *size > 0),
            skipped: (!is_saved).then(|| "saving it failed".to_owned()),
            persistent_volume: String::new(),
            pod: Some(pod),
        })
    }
}

/// The objects of a backup, in `<backup>-resource-list.json.gz`: `v1/Pod` → `docs/web-0`; of a restore with what was done,
/// `docs/web-0(created)`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Resources(pub BTreeMap<String, Vec<String>>);

impl Resources {
    /// The objects of a kind, as `namespace/name`, or `name` where there is no namespace.
    pub fn of(&self, group_version_kind: &str) -> &[String] {
        self.0.get(group_version_kind).map(Vec::as_slice).unwrap_or_default()
    }

    /// The objects of a kind that a restore made, and that were not there before.
    pub fn created(&self, group_version_kind: &str) -> impl Iterator<Item = &str> {
        self.of(group_version_kind).iter().filter_map(|entry| entry.strip_suffix("(created)"))
    }

    /// How many objects of a restore were made or changed.
    pub fn written(&self) -> u64 {
        let written = |entry: &&String| entry.ends_with("(created)") || entry.ends_with("(updated)");
        self.0.values().flatten().filter(written).count() as u64
    }

    /// Whether a restore found everything as it would have made it.
    pub fn is_unchanged(&self) -> bool {
        let mut entries = self.0.values().flatten().peekable();
        entries.peek().is_some() && entries.all(|entry| entry.ends_with("(skipped)"))
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.values().map(|names| names.len() as u64).sum()
    }
}

/// What a backup or a restore had to complain about, in `…-results.gz`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Results {
    /// What went wrong.
    #[serde(deserialize_with = "or_default")]
    pub errors: Complaints,
    /// What may be of interest.
    #[serde(deserialize_with = "or_default")]
    pub warnings: Complaints,
}

/// Messages by what they are about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Complaints {
    #[serde(deserialize_with = "or_default")]
    velero: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    cluster: Vec<String>,
    #[serde(deserialize_with = "or_default")]
    namespaces: BTreeMap<String, Vec<String>>,
}

impl Complaints {
    /// The messages, each with its namespace.
    pub fn lines(&self) -> Vec<String> {
        let spaced = |(namespace, messages): (&String, &Vec<String>)| {
            messages.iter().map(|message| format!("{namespace}: {message}")).collect::<Vec<_>>()
        };
        let general = self.velero.iter().chain(&self.cluster).cloned();
        general.chain(self.namespaces.iter().flat_map(spaced)).collect()
    }
}

/// Go writes an empty map or list as null.
fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Unpacks a document; one that a proxy has unpacked already is fine.
pub fn unpack(bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return Ok(bytes.to_vec());
    }
    let mut plain = Vec::new();
    let read = flate2::read::MultiGzDecoder::new(bytes).take(LARGEST).read_to_end(&mut plain)?;
    match read as u64 {
        LARGEST.. => Err(std::io::Error::other("it unpacks to more than a document can be")),
        _ => Ok(plain),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn volume(document: Value) -> Volume {
        serde_json::from_value::<VolumeDocument>(document).unwrap().into()
    }

    #[test]
    fn no_bytes_make_a_document_panic() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut packed, br#"{"metadata":{"name":"daily"},"status":{"phase":"Completed"}}"#)
            .unwrap();
        crate::noise::survives(&[&packed.finish().unwrap(), b"{}"], |bytes| {
            unpack(bytes).ok().and_then(|plain| serde_json::from_slice::<BackupDocument>(&plain).ok())
        });
    }

    #[test]
    fn volumes_say_by_which_method_they_were_saved() {
        let document = |more: Value| {
            let mut document = json!({ "pvcName": "data", "pvcNamespace": "docs", "pvName": "pv-1", "skipped": false, "snapshotDataMoved": false });
            document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            volume(document)
        };
        let files =
            document(json!({ "backupMethod": "PodVolumeBackup", "pvbInfo": { "size": 42, "podName": "web-0" } }));
        assert_eq!((files.method, files.bytes, files.name().as_str()), (Method::FileSystem, Some(42), "docs/data"));
        let moved = json!({ "backupMethod": "CSISnapshot", "snapshotDataMoved": true, "snapshotDataMovementInfo": { "size": 7 }, "csiSnapshotInfo": { "size": 99 } });
        assert_eq!((document(moved.clone()).method, document(moved).bytes), (Method::MovedSnapshot, Some(7)));
        assert_eq!(document(json!({ "backupMethod": "CSISnapshot", "pvbInfo": null })).method, Method::CsiSnapshot);
        assert_eq!(document(json!({ "backupMethod": "NativeSnapshot" })).bytes, None);
    }

    #[test]
    fn a_volume_that_was_skipped_or_failed_holds_nothing() {
        let skipped = volume(json!({ "pvcName": "data", "skipped": true, "skippedReason": "no policy" }));
        assert_eq!((skipped.method, skipped.skipped.as_deref()), (Method::Nothing, Some("no policy")));
        let failed = volume(json!({ "backupMethod": "PodVolumeBackup", "result": "failed", "pvbInfo": { "size": 9 } }));
        assert_eq!((failed.method, failed.bytes), (Method::Nothing, None));
    }

    #[test]
    fn complaints_keep_their_namespace_and_nulls_are_nothing() {
        let results: Results = serde_json::from_value(json!({
            "errors": { "namespaces": { "docs": ["could not restore"] }, "velero": null },
            "warnings": {},
        }))
        .unwrap();
        assert_eq!(results.errors.lines(), ["docs: could not restore"]);
        assert!(results.warnings.lines().is_empty());
    }

    #[test]
    fn what_was_unpacked_on_the_way_is_taken_as_it_is_and_what_is_cut_off_is_not() {
        use std::io::Write;
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        packed.write_all(b"{\"a\":1}").unwrap();
        let packed = packed.finish().unwrap();
        assert_eq!(unpack(&packed).unwrap(), b"{\"a\":1}");
        assert_eq!(unpack(b"{\"a\":1}").unwrap(), b"{\"a\":1}");
        assert!(unpack(&packed[..packed.len() - 4]).is_err());
    }
}
