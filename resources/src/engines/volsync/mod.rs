//! VolSync with its restic mover: repository Secrets and ReplicationSources in a cluster, and the recovery points of the
//! repositories, which are restic's.

mod abandoned;
mod backup;
pub mod backup_block;
mod claim;
pub mod import;
pub mod listing;
mod mover;
pub mod mover_fields;
mod rest;
mod restore;
pub mod restore_block;
mod safety;
pub mod schedule;
mod secret;
mod site;
pub mod source;
mod standing;
pub mod target;
mod writers;

use crate::connections::kubernetes::Kind;
use crate::engines::kubernetes::objects::Installer;

/// The engine's name.
pub const ENGINE: &str = "volsync";

/// What usually installs VolSync.
pub const INSTALLED_BY: Installer = Installer {
    depends_on: "helm_release.volsync",
    crds: "VolSync's CRDs come with its Helm chart, `volsync` of https://backube.github.io/helm-charts",
};

/// What backs a claim up.
pub const SOURCE: Kind = Kind::namespaced("volsync.backube", "v1alpha1", "ReplicationSource", "replicationsources");

/// What restores into a claim.
const DESTINATION: Kind =
    Kind::namespaced("volsync.backube", "v1alpha1", "ReplicationDestination", "replicationdestinations");

/// What a ReplicationDestination publishes, and new claims are made from.
const SNAPSHOT: Kind = Kind::namespaced("snapshot.storage.k8s.io", "v1", "VolumeSnapshot", "volumesnapshots");

/// On every object that a run makes: the run's key.
const RUN_LABEL: &str = "dr/run";
