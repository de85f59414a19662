//! The block `k8up` of a backup job.

use std::sync::Arc;

use dr_framework::{Anything, Attr, Diagnostics, Model, Path, Result};

use super::backend;
use super::backup::VolumeBackup;
use super::opener::Opener;
use super::orders::Orders;
use super::schedule::{put_selectors, selectors};
use super::{ENGINE, repository};
use crate::engines::concepts::{BackupBlock, OpenBackup};
use crate::engines::kubernetes::repository_secret::namespace_of;
use crate::engines::kubernetes::spec::{Spec, TextMap, Texts};
use crate::ledger::{ConfigMapLedger, LedgerStore};
use crate::reference::Reference;
use crate::shared::Shared;
use crate::words::ended;

/// The volumes of the target's namespace, backed up by k8up: each becomes a point of its own.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct K8upBackupBlock {
    /// Only claims with all labels of at least one of these sets are backed up; all of the namespace if left out.
    #[dr(optional)]
    pub label_selectors: Attr<Vec<TextMap>>,
    /// Tags of the points, beside one that names the run.
    #[dr(optional)]
    pub tags: Texts,
    /// The security context of k8up's pods, as `spec.podSecurityContext` of a Backup: passed on as it is.
    #[dr(optional)]
    pub pod_security_context: Attr<Anything>,
    /// The name of a PodConfig in the namespace, which says more of k8up's pods.
    #[dr(optional)]
    pub pod_config: Attr<String>,
    /// What k8up's pods may use, as `spec.resources` of a Backup: passed on as it is.
    #[dr(optional)]
    pub resources: Attr<Anything>,
}

impl BackupBlock for K8upBackupBlock {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn conflicts(&self, _: &Reference) -> Diagnostics {
        Diagnostics::default()
    }

    fn is_known(&self, shared: &Shared, target: &Reference) -> Result<bool> {
        Ok(self.open(shared, target)?.is_some())
    }

    fn open(&self, shared: &Shared, target: &Reference) -> Result<Option<OpenBackup>> {
        let path = Path::attribute("target");
        let scope = namespace_of(&target.scope);
        let (Some(connection), Some(namespace), Some(name), Some(opener), true) = (
            target.connection.text(),
            scope.text(),
            target.name.text(),
            Opener::of(target),
            self.to_object().is_wholly_known(),
        ) else {
            return Ok(None);
        };
        let Some(cluster) = shared.cluster(connection, &path.clone().then("connection"))? else { return Ok(None) };
        let Some(backend) = backend::of(shared, target, &path, &opener)? else { return Ok(None) };
        let Some(site) = repository::open(shared, target, &path, shared.is_drill())? else { return Ok(None) };
        let ledger: Arc<dyn LedgerStore> =
            Arc::new(site.ledger().map_err(|error| Diagnostics::error("Unable to reach the ledger", ended(error)))?);
        let others: Vec<Arc<dyn LedgerStore>> = vec![Arc::new(ConfigMapLedger::new(cluster.clone(), namespace))];
        let mut spec = Spec::default();
        spec.list("tags", &self.tags)
            .anything("podSecurityContext", &self.pod_security_context)
            .anything("resources", &self.resources);
        if let Some(name) = self.pod_config.text() {
            spec.set("podConfigRef", serde_json::json!({ "name": name }));
        }
        put_selectors(&mut spec, &self.label_selectors);
        let mut spec = spec.done();
        backend.put_into(&mut spec);
        let orders = Orders { cluster, namespace: namespace.to_owned(), watches: shared.watches.clone() };
        let target = format!("{connection}/{namespace}/{name}");
        let engine = Box::new(VolumeBackup { orders, site, spec, selectors: selectors(&self.label_selectors) });
        Ok(Some(OpenBackup { target, ledger, others, engine }))
    }
}
