//! What VolSync backs up and how: the arguments that schedules and backup jobs share.

use dr_framework::{Attr, Diagnostics, Model, Path, Value as Configured};
use serde_json::{Value, json};

use super::mover_fields::MoverFields;
use super::{rest, site};
use crate::engines::kubernetes::imported;
use crate::engines::kubernetes::spec::{Spec, Texts};
use crate::validators;

/// A claim to back up, and how.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct VolsyncSource {
    /// The claim that is backed up, in the target's namespace.
    #[dr(required, validate = validators::name)]
    pub pvc: Attr<String>,
    /// What the mover reads: `Snapshot` or `Clone` of the claim, which the storage has to be able to make, or `Direct` the
    /// claim itself while it is in use.
    #[dr(required, validate = copy_method)]
    pub copy_method: Attr<String>,
    /// The size of the snapshot's or clone's volume, like `10Gi`; the claim's if left out.
    #[dr(optional, validate = validators::size)]
    pub capacity: Attr<String>,
    /// The access modes of that volume: `ReadWriteOnce`, `ReadOnlyMany`, `ReadWriteMany` or `ReadWriteOncePod`; the claim's if
    /// left out.
    #[dr(optional, validate = validators::access_modes)]
    pub access_modes: Texts,
    /// The storage class of that volume; the claim's if left out.
    #[dr(optional)]
    pub storage_class_name: Attr<String>,
    /// The class of the snapshots.
    #[dr(optional)]
    pub volume_snapshot_class_name: Attr<String>,
    #[dr(flatten)]
    mover: MoverFields,
}

fn copy_method(value: &Configured, path: &Path) -> Vec<dr_framework::Diagnostic> {
    match value {
        Configured::String(word) if !["Direct", "Snapshot", "Clone"].contains(&word.as_str()) => {
            let detail = format!("{word:?} is none of \"Direct\", \"Snapshot\", \"Clone\".");
            Diagnostics::error_at(path.clone(), "Unknown word", detail).0
        }
        _ => Vec::new(),
    }
}

impl VolsyncSource {
    /// Reads it from the spec of a ReplicationSource.
    pub fn imported(spec: &Value) -> Self {
        let restic = &spec["restic"];
        VolsyncSource {
            pvc: rest::claim_of(spec).map(str::to_owned).into(),
            copy_method: imported::text(&restic["copyMethod"]),
            capacity: imported::text(&restic["capacity"]),
            access_modes: imported::list(&restic["accessModes"]),
            storage_class_name: imported::text(&restic["storageClassName"]),
            volume_snapshot_class_name: imported::text(&restic["volumeSnapshotClassName"]),
            mover: MoverFields::imported(restic),
        }
    }

    /// `spec.restic` of a ReplicationSource, without what it keeps.
    pub fn restic(&self, repository: &str, has_ca: bool) -> Value {
        let mut restic = Spec::default();
        restic
            .set("repository", repository)
            .text("copyMethod", &self.copy_method)
            .text("capacity", &self.capacity)
            .list("accessModes", &self.access_modes)
            .text("storageClassName", &self.storage_class_name)
            .text("volumeSnapshotClassName", &self.volume_snapshot_class_name);
        self.mover.write(&mut restic);
        if has_ca {
            restic.set("customCA", json!({ "secretName": repository, "key": site::CA_KEY }));
        }
        restic.done()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_connections_certificates_reach_the_mover() {
        let source = VolsyncSource { copy_method: "Clone".into(), ..VolsyncSource::default() };
        let plain = json!({ "repository": "dr-docs", "copyMethod": "Clone" });
        assert_eq!(source.restic("dr-docs", false), plain);
        let ca = json!({ "secretName": "dr-docs", "key": "ca.pem" });
        assert_eq!(source.restic("dr-docs", true)["customCA"], ca);
    }
}
