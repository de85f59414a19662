//! The block `velero` of a backup job.

use std::sync::Arc;

use dr_framework::{Attr, Diagnostic, Diagnostics, Model, Path, Result};

use super::ENGINE;
use super::backup::NamespaceBackup;
use super::duration::duration;
use super::site::{self, Site};
use super::template::VeleroTemplate;
use crate::engines::concepts::{BackupBlock, OpenBackup};
use crate::engines::kubernetes::runs::OfNamespaces;
use crate::jobs::texts;
use crate::reference::Reference;
use crate::shared::Shared;
use crate::validators;

/// Namespaces to back up with Velero.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct VeleroBackupBlock {
    /// The name of the cluster's connection in the provider block; that of the target if left out.
    #[dr(optional, validate = validators::reference_name)]
    pub cluster: Attr<String>,
    /// The namespace that Velero is installed in; that of the target if left out.
    #[dr(optional, validate = validators::name)]
    pub namespace: Attr<String>,
    /// How long Velero keeps the backup, like `720h`; there are no days.
    #[dr(default = "720h", validate = duration)]
    pub ttl: Attr<String>,
    /// Whether a backup counts that failed in part. Left to itself it is an error, and never the newest point.
    #[dr(default = false)]
    pub accept_partially_failed: Attr<bool>,
    /// What it holds.
    #[dr(flatten)]
    pub template: VeleroTemplate,
}

impl VeleroBackupBlock {
    fn site(&self, shared: &Shared, target: &Reference) -> Result<Option<Site>> {
        site::open(shared, target, &Path::attribute("target"), &self.cluster, &self.namespace)
    }

    fn is_whole(&self) -> bool {
        self.to_object().is_wholly_known()
    }
}

impl BackupBlock for VeleroBackupBlock {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn conflicts(&self, _: &Reference) -> Diagnostics {
        let block = Path::attribute(ENGINE);
        let mut found = self.template.check(&block);
        if let Some(warning) = self.template.volume_warning() {
            found.push(Diagnostic::warning("Volumes may be left out", format!("In this backup {warning}.")).at(block));
        }
        found
    }

    fn is_known(&self, shared: &Shared, target: &Reference) -> Result<bool> {
        Ok(self.is_whole() && self.site(shared, target)?.is_some())
    }

    fn open(&self, shared: &Shared, target: &Reference) -> Result<Option<OpenBackup>> {
        if !self.is_whole() {
            return Ok(None);
        }
        let Some(Site { server, bucket, place, location, storage }) = self.site(shared, target)? else {
            return Ok(None);
        };
        let included = texts(&self.template.included_namespaces);
        let runs = site::ledger_of_runs(&server.cluster, &server.namespace);
        let is_pattern = |name: &String| name.contains(['*', '?', '[']);
        let namespaces = if included.iter().any(is_pattern) { Vec::new() } else { included.clone() };
        let others: Vec<Arc<dyn crate::ledger::LedgerStore>> =
            vec![Arc::new(OfNamespaces { ledger: runs.clone(), namespaces })];
        let place_name = location.clone().unwrap_or_else(|| format!("{}/{}", place.0, place.1));
        let target = format!("{}/{}/{place_name}", server.cluster.name(), server.namespace);
        let engine = NamespaceBackup {
            server,
            bucket,
            place,
            location,
            spec: self.template.spec(),
            included,
            excluded: texts(&self.template.excluded_namespaces),
            ttl: self.ttl.text().unwrap_or("720h").to_owned(),
            accept_partially_failed: self.accept_partially_failed == Attr::Known(true),
            has_volume_switch: self.template.has_volume_switch(),
            runs,
        };
        Ok(Some(OpenBackup { target, ledger: storage, others, engine: Box::new(engine) }))
    }
}
