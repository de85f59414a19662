//! Kinds of objects by constants: nothing is discovered, so that a plan can name what is not installed yet.

use std::borrow::Cow;
use std::fmt;

/// A kind of object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Kind {
    /// The API group; empty for the core.
    pub group: Cow<'static, str>,
    /// The version of the group.
    pub version: Cow<'static, str>,
    /// What an object of this kind calls itself.
    pub kind: Cow<'static, str>,
    /// What stands in addresses and in RBAC rules.
    pub plural: Cow<'static, str>,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

impl Kind {
    /// Secrets.
    pub const SECRET: Kind = Kind::namespaced("", "v1", "Secret", "secrets");
    /// ConfigMaps.
    pub const CONFIG_MAP: Kind = Kind::namespaced("", "v1", "ConfigMap", "configmaps");
    /// Pods.
    pub const POD: Kind = Kind::namespaced("", "v1", "Pod", "pods");
    /// PersistentVolumeClaims.
    pub const PVC: Kind = Kind::namespaced("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims");
    /// Services.
    pub const SERVICE: Kind = Kind::namespaced("", "v1", "Service", "services");
    /// EndpointSlices.
    pub const ENDPOINT_SLICE: Kind = Kind::namespaced("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices");
    /// ServiceAccounts.
    pub const SERVICE_ACCOUNT: Kind = Kind::namespaced("", "v1", "ServiceAccount", "serviceaccounts");
    /// Namespaces.
    pub const NAMESPACE: Kind = Kind::cluster_wide("", "v1", "Namespace", "namespaces");
    /// Nodes.
    pub const NODE: Kind = Kind::cluster_wide("", "v1", "Node", "nodes");
    /// PersistentVolumes.
    pub const PV: Kind = Kind::cluster_wide("", "v1", "PersistentVolume", "persistentvolumes");
    /// StorageClasses.
    pub const STORAGE_CLASS: Kind = Kind::cluster_wide("storage.k8s.io", "v1", "StorageClass", "storageclasses");
    /// Deployments.
    pub const DEPLOYMENT: Kind = Kind::namespaced("apps", "v1", "Deployment", "deployments");
    /// StatefulSets.
    pub const STATEFUL_SET: Kind = Kind::namespaced("apps", "v1", "StatefulSet", "statefulsets");
    /// ReplicaSets.
    pub const REPLICA_SET: Kind = Kind::namespaced("apps", "v1", "ReplicaSet", "replicasets");
    /// DaemonSets.
    pub const DAEMON_SET: Kind = Kind::namespaced("apps", "v1", "DaemonSet", "daemonsets");
    /// Jobs.
    pub const JOB: Kind = Kind::namespaced("batch", "v1", "Job", "jobs");
    /// CronJobs.
    pub const CRON_JOB: Kind = Kind::namespaced("batch", "v1", "CronJob", "cronjobs");
    /// HorizontalPodAutoscalers.
    pub const HORIZONTAL_POD_AUTOSCALER: Kind =
        Kind::namespaced("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers");

    /// A kind whose objects live in namespaces.
    pub const fn namespaced(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
    ) -> Kind {
        Kind::of(group, version, kind, plural, true)
    }

    /// A kind whose objects belong to no namespace.
    pub const fn cluster_wide(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
    ) -> Kind {
        Kind::of(group, version, kind, plural, false)
    }

    const fn of(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
        namespaced: bool,
    ) -> Kind {
        Kind {
            group: Cow::Borrowed(group),
            version: Cow::Borrowed(version),
            kind: Cow::Borrowed(kind),
            plural: Cow::Borrowed(plural),
            namespaced,
        }
    }

    /// What stands in an object's `apiVersion`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_string() } else { format!("{}/{}", self.group, self.version) }
    }

    /// An object of this kind, for messages: `Schedule velero/daily`.
    pub fn called(&self, namespace: &str, name: &str) -> String {
        let of = if self.namespaced && !namespace.is_empty() { format!("{namespace}/") } else { String::new() };
        format!("{} {of}{name}", self.kind)
    }

    /// The path of the group, where its kinds are listed.
    pub(super) fn group_path(&self) -> String {
        let root = if self.group.is_empty() { "/api" } else { "/apis" };
        format!("{root}/{}", self.api_version())
    }

    /// The path of the collection in a namespace, or everywhere.
    pub(super) fn path(&self, namespace: Option<&str>) -> String {
        let group = self.group_path();
        match namespace.filter(|_| self.namespaced) {
            Some(namespace) => format!("{group}/namespaces/{}/{}", segment(namespace), self.plural),
            None => format!("{group}/{}", self.plural),
        }
    }

    /// The path of an object.
    pub(super) fn path_of(&self, namespace: &str, name: &str) -> String {
        format!("{}/{}", self.path(Some(namespace)), segment(name))
    }
}

/// `volsync.backube/v1alpha1 ReplicationSource`.
impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.api_version(), self.kind)
    }
}

/// One part of an address, or one value of a query: nothing in it can be taken for structure.
pub(super) fn segment(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_made_of_constants_and_names_can_not_break_out_of_them() {
        assert_eq!(Kind::SECRET.path_of("velero", "cloud"), "/api/v1/namespaces/velero/secrets/cloud");
        assert_eq!(Kind::NAMESPACE.path_of("", "kube-system"), "/api/v1/namespaces/kube-system");
        assert_eq!(Kind::DEPLOYMENT.path(None), "/apis/apps/v1/deployments");
        assert_eq!(Kind::PV.path_of("ignored", "a/../b?x"), "/api/v1/persistentvolumes/a%2F..%2Fb%3Fx");
    }

    #[test]
    fn objects_are_named_with_their_namespace() {
        assert_eq!(Kind::PVC.called("docs", "data"), "PersistentVolumeClaim docs/data");
        assert_eq!(Kind::NODE.called("docs", "one"), "Node one");
        assert_eq!(Kind::CRON_JOB.to_string(), "batch/v1 CronJob");
    }
}
