//! Claims that exist and that Velero would skip: deleted right before the restore that makes them again, where that is asked
//! for. Nothing may use them, and what is in them has to be saved.

use super::existing::{Stage, place};
use super::{NamespaceRestore, SHOWN, unread};
use crate::connections::kubernetes::{ClusterError, DynamicObject, Kind};
use crate::engines::kubernetes::quiesce::refuse_in_use;
use crate::engines::velero::bucket::Contents;
use crate::engines::velero::documents::Method;
use crate::engines::velero::labels;
use crate::engines::velero::server::{RESTORE, before, engine, listed};
use crate::ledger::Record;
use crate::run::EngineError;

/// What becomes of claims that a restore brings and that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ExistingClaims {
    /// They are an error before anything is touched.
    #[default]
    Refuse,
    /// They are deleted, once they are saved and nothing uses them.
    Delete,
}

impl ExistingClaims {
    /// What a word of the schema says.
    pub fn of(word: Option<&str>) -> Self {
        if word == Some("delete") { ExistingClaims::Delete } else { ExistingClaims::Refuse }
    }
}

impl NamespaceRestore {
    /// Deletes the claims that the point brings and that exist, and waits until they are gone. Whether there were any: then
    /// something was changed, whatever fails later.
    pub(super) async fn make_room(
        &self,
        point: &str,
        contents: &Contents,
        record: &Record,
    ) -> Result<bool, EngineError> {
        if self.existing_claims == ExistingClaims::Refuse || self.selection.without_content {
            return Ok(false);
        }
        let there = self.claims_there(point, contents, Stage::Last).await?;
        for claim in &there {
            let (namespace, name) = place(claim);
            refuse_in_use(&self.server.cluster, namespace, name, |_| false).await?;
        }
        self.check_saved(&there, record).await?;
        for (number, claim) in there.iter().enumerate() {
            let (namespace, name) = place(claim);
            let uid = claim.metadata.uid.as_deref();
            let deleted = self.server.cluster.delete(&Kind::PVC, namespace, name, uid).await;
            deleted.map_err(|error| match error {
                ClusterError::Unreachable { .. } | ClusterError::Broken { .. } => engine(error),
                error if number == 0 => before(error),
                error => engine(error),
            })?;
        }
        self.gone(&there, "what is to be restored").await?;
        Ok(!there.is_empty())
    }

    /// Refuses to delete what is in no safety backup, where there is one. What a Restore of the run made is in none.
    async fn check_saved(&self, there: &[DynamicObject], record: &Record) -> Result<(), EngineError> {
        let Some(safety) = record.safety_point.as_ref().filter(|_| !there.is_empty()) else { return Ok(()) };
        let selector = format!("{}={}", labels::RUN, record.key);
        let server = &self.server;
        let restores = server.cluster.list(&RESTORE, Some(&server.namespace), Some(&selector)).await.map_err(before)?;
        let contents = self.bucket.contents(&safety.id).await.map_err(unread)?;
        let is_saved = |claim: &&DynamicObject| {
            let made = restores.iter().any(|restore| super::returned::made_by(claim, place(restore).1));
            let (namespace, name) = place(claim);
            let holds = |volume: &super::Volume| {
                (volume.namespace.as_str(), volume.claim.as_str()) == (namespace, name)
                    && volume.method != Method::Nothing
            };
            made || contents.known().iter().any(holds)
        };
        let unsaved = there.iter().filter(|claim| !is_saved(claim)).map(|claim| {
            let (namespace, name) = place(claim);
            format!("{namespace}/{name}")
        });
        match unsaved.collect::<Vec<_>>().as_slice() {
            [] => Ok(()),
            unsaved => Err(EngineError::nothing_written(format!(
                "these PersistentVolumeClaims would be deleted, and the safety backup {} does not hold their content: {}. \
                 Volumes are saved by file system only while a pod mounts them, and by snapshots where the restored backup \
                 was made with them; safety_backup = false deletes them unsaved",
                safety.id,
                listed(unsaved, SHOWN).join(", ")
            ))),
        }
    }
}
