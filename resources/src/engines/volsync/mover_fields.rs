//! How VolSync's mover runs: the arguments that everything with a mover shares.

use dr_framework::{Anything, Attr, Model};
use serde_json::Value;

use crate::engines::kubernetes::imported;
use crate::engines::kubernetes::spec::{Spec, TextMap, Texts};
use crate::validators;

/// The mover's cache and its pods.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct MoverFields {
    /// The size of the mover's cache, like `2Gi`; VolSync's own is `1Gi`.
    #[dr(optional, validate = validators::size)]
    pub cache_capacity: Attr<String>,
    /// The storage class of the mover's cache.
    #[dr(optional)]
    pub cache_storage_class_name: Attr<String>,
    /// The access modes of the mover's cache: `ReadWriteOnce`, `ReadOnlyMany`, `ReadWriteMany` or `ReadWriteOncePod`.
    #[dr(optional, validate = validators::access_modes)]
    pub cache_access_modes: Texts,
    /// `securityContext` of the mover's pods: passed on as it is.
    #[dr(optional)]
    pub mover_security_context: Attr<Anything>,
    /// The service account of the mover's pods.
    #[dr(optional)]
    pub mover_service_account: Attr<String>,
    /// `resources` of the mover's container: passed on as it is.
    #[dr(optional)]
    pub mover_resources: Attr<Anything>,
    /// Labels of the mover's pods.
    #[dr(optional)]
    pub mover_pod_labels: TextMap,
}

impl MoverFields {
    /// Reads them from `spec.restic`.
    pub fn imported(restic: &Value) -> Self {
        MoverFields {
            cache_capacity: imported::text(&restic["cacheCapacity"]),
            cache_storage_class_name: imported::text(&restic["cacheStorageClassName"]),
            cache_access_modes: imported::list(&restic["cacheAccessModes"]),
            mover_security_context: imported::passed(&restic["moverSecurityContext"]),
            mover_service_account: imported::text(&restic["moverServiceAccount"]),
            mover_resources: imported::passed(&restic["moverResources"]),
            mover_pod_labels: imported::map(&restic["moverPodLabels"]),
        }
    }

    /// Writes them into `spec.restic`.
    pub fn write(&self, restic: &mut Spec) {
        restic
            .text("cacheCapacity", &self.cache_capacity)
            .text("cacheStorageClassName", &self.cache_storage_class_name)
            .list("cacheAccessModes", &self.cache_access_modes)
            .anything("moverSecurityContext", &self.mover_security_context)
            .text("moverServiceAccount", &self.mover_service_account)
            .anything("moverResources", &self.mover_resources)
            .map("moverPodLabels", &self.mover_pod_labels);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_set_is_left_to_volsync() {
        let mut restic = Spec::default();
        let fields = MoverFields { cache_capacity: "2Gi".into(), ..MoverFields::default() };
        fields.write(&mut restic);
        assert_eq!(restic.done(), json!({ "cacheCapacity": "2Gi" }));
    }
}
