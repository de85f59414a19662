//! What a run that did not come to its end left beside its claim.

use async_trait::async_trait;
use serde_json::{Value, json};

use super::orders::{BACKUP, Orders, RESTORE, RUN};
use super::safety::LABEL;
use crate::connections::kubernetes::{ClusterError, Kind};
use crate::engines::kubernetes::abandoned::{Clear, is_of, remove};
use crate::engines::kubernetes::objects::is_ours;
use crate::ledger::Record;
use crate::run::EngineError;

/// k8up in the namespace of a run.
pub struct Leftovers {
    /// k8up.
    pub orders: Orders,
    /// The Secrets that go with a run of the job.
    pub secrets: Vec<String>,
    /// The claim that is filled, where one is.
    pub pvc: Option<String>,
}

#[async_trait]
impl Clear for Leftovers {
    /// A pod that goes on would write for nobody, and the repository's password would lie there for ever.
    async fn clear(&self, record: &Record) -> Result<(), EngineError> {
        let Orders { cluster, namespace, .. } = &self.orders;
        let key = record.key.as_str();
        let label = format!("{RUN}={key}");
        for kind in [RESTORE, BACKUP] {
            let made = match cluster.list(&kind, Some(namespace), Some(&label)).await {
                Err(ClusterError::MissingKind { .. }) => Vec::new(),
                made => made.map_err(super::orders::after)?,
            };
            for name in made.into_iter().filter_map(|object| object.metadata.name) {
                remove(cluster, &kind, namespace, &name, |found| is_of(found, RUN, key)).await?;
            }
        }
        for name in &self.secrets {
            // Earlier versions did not say of which run it is.
            let unlabelled = |labels: Option<&std::collections::BTreeMap<String, String>>| {
                labels.is_none_or(|labels| !labels.contains_key(RUN))
            };
            remove(cluster, &Kind::SECRET, namespace, name, |found| {
                is_of(found, RUN, key) || (is_ours(found) && unlabelled(found.metadata.labels.as_ref()))
            })
            .await?;
        }
        match &self.pvc {
            Some(pvc) => self.unlabel(pvc, key).await,
            None => Ok(()),
        }
    }
}

impl Leftovers {
    /// A claim that was being saved has a label meanwhile.
    async fn unlabel(&self, pvc: &str, key: &str) -> Result<(), EngineError> {
        let Orders { cluster, namespace, .. } = &self.orders;
        let found = cluster.get(&Kind::PVC, namespace, pvc).await.map_err(super::orders::after)?;
        if !found.is_some_and(|found| is_of(&found, LABEL, key)) {
            return Ok(());
        }
        let labels = json!({ "metadata": { "labels": { LABEL: Value::Null } } });
        cluster.merge(&Kind::PVC, namespace, pvc, labels, None).await.map(drop).map_err(super::orders::after)
    }
}
