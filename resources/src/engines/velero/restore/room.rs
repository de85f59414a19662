//! Claims that exist and that Velero would skip: deleted right before the restore that makes them again, where that is asked
//! for. Nothing may use them, and what is in them has to be saved.

use super::existing::{Stage, named, place};
use super::returned::made_by;
use super::{NamespaceRestore, SHOWN, Volume, unread};
use crate::connections::kubernetes::{ClusterError, DynamicObject, Kind};
use crate::engines::kubernetes::quiesce::refuse_in_use;
use crate::engines::velero::bucket::Contents;
use crate::engines::velero::documents::Method;
use crate::engines::velero::server::{before, engine, listed};
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

/// Whether the content of a volume lies in the bucket. A snapshot beside the volume may go with it.
fn is_in_the_bucket(volume: &&Volume) -> bool {
    matches!(volume.method, Method::FileSystem | Method::MovedSnapshot)
}

impl NamespaceRestore {
    /// What the point holds of a claim on the cluster.
    fn volumes_of<'a>(&self, claim: &DynamicObject, contents: &'a Contents) -> Vec<&'a Volume> {
        let of_it =
            |volume: &&Volume| (self.selection.destination(&volume.namespace), volume.claim.as_str()) == place(claim);
        contents.known().iter().filter(of_it).collect()
    }

    /// Refuses what is not to be deleted, because it would not be known to come back.
    pub(super) async fn check_room(&self, point: &str, contents: &Contents, stage: Stage) -> Result<(), EngineError> {
        let there = self.claims_there(point, contents, stage).await?;
        let beside = |claim: &&DynamicObject| {
            self.volumes_of(claim, contents)
                .iter()
                .any(|volume| matches!(volume.method, Method::CsiSnapshot | Method::NativeSnapshot))
        };
        let (which, why) = match (&contents.volumes, there.iter().filter(beside).collect::<Vec<_>>()) {
            (None, _) => (
                there.iter().collect(),
                "Velero wrote no list of volumes beside it (it does since 1.13), so nobody can tell whether it holds their content",
            ),
            (_, beside) => (beside, "its snapshots stay where the volumes are, and may go with them"),
        };
        if which.is_empty() {
            return Ok(());
        }
        let which: Vec<String> = which.into_iter().map(named).collect();
        Err(EngineError::nothing_written(format!(
            "existing_claims = \"delete\" does not delete these PersistentVolumeClaims for {point}: {}. {why}. Delete them \
             yourself, or restore elsewhere with namespace_mapping",
            listed(&which, SHOWN).join(", ")
        )))
    }

    /// Deletes the claims that exist and whose content the point has in the bucket, and waits until they are gone; what it has
    /// no content of, Velero skips. Whether there were any: then something was changed, whatever fails later. `again` when an
    /// earlier attempt may have made some of them.
    pub(super) async fn make_room(
        &self,
        point: &str,
        contents: &Contents,
        record: &Record,
        again: bool,
    ) -> Result<bool, EngineError> {
        if self.existing_claims == ExistingClaims::Refuse || self.selection.without_content {
            return Ok(false);
        }
        let mut there = self.claims_there(point, contents, Stage::Last).await?;
        there.retain(|claim| self.volumes_of(claim, contents).iter().any(is_in_the_bucket));
        for claim in &there {
            let (namespace, name) = place(claim);
            refuse_in_use(&self.server.cluster, namespace, name, |_| false).await?;
        }
        if again {
            self.check_untouched(&there, record).await?;
        }
        self.check_saved(&there, record).await?;
        for (number, claim) in there.iter().enumerate() {
            let (namespace, name) = place(claim);
            let uid = claim.metadata.uid.as_deref();
            let deleted = self.server.cluster.delete(&Kind::PVC, namespace, name, uid).await;
            deleted.map_err(|error| match error {
                ClusterError::Forbidden { .. } if number == 0 => before(error),
                error => engine(error),
            })?;
        }
        self.gone(&there, "what is to be restored").await?;
        Ok(!there.is_empty())
    }

    /// Refuses, in a run that goes on, what people may have worked with since: a claim that an earlier attempt of it made, and
    /// every claim where nothing was saved before.
    async fn check_untouched(&self, there: &[DynamicObject], record: &Record) -> Result<(), EngineError> {
        let restores = self.restores_of(&record.key).await.map_err(before)?;
        let is_doubtful = |claim: &&DynamicObject| {
            record.safety_point.is_none() || restores.iter().any(|restore| made_by(claim, place(restore).1))
        };
        let doubtful: Vec<String> = there.iter().filter(is_doubtful).map(named).collect();
        match doubtful.as_slice() {
            [] => Ok(()),
            doubtful => Err(EngineError::nothing_written(format!(
                "an earlier attempt of this run did not come to its end, and what is in these PersistentVolumeClaims now is in no \
                 safety backup: {}. Save what is needed of it, delete them, and apply again",
                listed(doubtful, SHOWN).join(", ")
            ))),
        }
    }

    /// Refuses to delete what is not in the safety backup, where there is one.
    async fn check_saved(&self, there: &[DynamicObject], record: &Record) -> Result<(), EngineError> {
        let Some(safety) = record.safety_point.as_ref().filter(|_| !there.is_empty()) else { return Ok(()) };
        let contents = self.bucket.contents(&safety.id).await.map_err(unread)?;
        let is_saved = |claim: &&DynamicObject| {
            let of_it = |volume: &&Volume| (volume.namespace.as_str(), volume.claim.as_str()) == place(claim);
            contents.known().iter().filter(of_it).any(|volume| is_in_the_bucket(&volume))
        };
        let unsaved: Vec<String> = there.iter().filter(|claim| !is_saved(claim)).map(named).collect();
        match unsaved.as_slice() {
            [] => Ok(()),
            unsaved => Err(EngineError::nothing_written(format!(
                "these PersistentVolumeClaims would be deleted, and the safety backup {} does not hold their content in the bucket: \
                 {}. Volumes are saved by file system only while a pod mounts them; safety_backup = false deletes them unsaved",
                safety.id,
                listed(unsaved, SHOWN).join(", ")
            ))),
        }
    }
}
