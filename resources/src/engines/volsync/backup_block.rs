//! The block `volsync` of a backup job.

use std::sync::Arc;

use dr_framework::{Diagnostics, Model, Path, Result};

use super::backup::ClaimBackup;
use super::mover::Mover;
use super::source::VolsyncSource;
use super::{ENGINE, SOURCE, site};
use crate::connections::kubernetes::Cluster;
use crate::engines::concepts::{BackupBlock, OpenBackup};
use crate::engines::kubernetes::runs::OfNamespaces;
use crate::ledger::{ConfigMapLedger, LedgerStore};
use crate::reference::{Place, Reference};
use crate::shared::Shared;
use crate::words::ended;

/// A claim to back up now, by a ReplicationSource of its own that is removed again and removes no snapshot: those are for
/// the retention of the target's schedule.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct VolsyncBackupBlock {
    #[dr(flatten)]
    source: VolsyncSource,
}

impl VolsyncBackupBlock {
    fn is_whole(&self) -> bool {
        self.to_object().is_wholly_known()
    }

    fn cluster(&self, shared: &Shared, target: &Reference) -> Result<Option<Cluster>> {
        match target.connection.text() {
            Some(name) => shared.cluster(name, &Path::attribute("target").then("connection")),
            None => Ok(None),
        }
    }
}

impl BackupBlock for VolsyncBackupBlock {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn conflicts(&self, _: &Reference) -> Diagnostics {
        Diagnostics::default()
    }

    fn is_known(&self, shared: &Shared, target: &Reference) -> Result<bool> {
        let repository = site::repository(shared, target, &Path::attribute("target"))?.is_some();
        Ok(self.is_whole()
            && repository
            && self.cluster(shared, target)?.is_some()
            && site::secret_of(target).is_some())
    }

    fn open(&self, shared: &Shared, target: &Reference) -> Result<Option<OpenBackup>> {
        let path = Path::attribute("target");
        let namespace = site::namespace_of(&target.scope).into_known();
        let (Some(cluster), Some(namespace), Some(claim), true) =
            (self.cluster(shared, target)?, namespace, self.source.pvc.text(), self.is_whole())
        else {
            return Ok(None);
        };
        let (Some(place), Some(repository), Some(secret), Some(has_ca)) = (
            Place::from_reference(&target.store, &path)?,
            site::repository(shared, target, &path)?,
            site::secret_of(target),
            site::has_ca(shared, target, &path)?,
        ) else {
            return Ok(None);
        };
        let storage = repository.ledger();
        let storage = storage.map_err(|error| Diagnostics::error("Unable to reach the ledger", ended(error)))?;
        // Restores of this claim, out of those of the namespace.
        let ledger: Arc<dyn LedgerStore> = Arc::new(ConfigMapLedger::new(cluster.clone(), &namespace));
        let of_claim = OfNamespaces { ledger, namespaces: vec![format!("{namespace}/{claim}")] };
        let engine = Box::new(ClaimBackup {
            mover: Mover {
                cluster,
                watches: shared.watches.clone(),
                namespace,
                claim: claim.to_owned(),
                kind: SOURCE,
                jobs: "volsync-src-",
            },
            repository,
            restic: self.source.restic(&secret, has_ca),
        });
        let target = format!("{}/{}", place.connection(), place.scope());
        Ok(Some(OpenBackup { target, ledger: Arc::new(storage), others: vec![Arc::new(of_claim)], engine }))
    }
}
