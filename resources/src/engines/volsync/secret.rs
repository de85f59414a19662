//! The Secret of a repository, copied for one run to where its mover needs it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::RUN_LABEL;
use super::mover::before;
use crate::connections::kubernetes::{Cluster, Kind};
use crate::engines::kubernetes::owned;
use crate::engines::kubernetes::repository_secret::keys_in;
use crate::run::EngineError;

/// The key of a repository Secret that says where it is.
const LOCATION_KEY: &str = "RESTIC_REPOSITORY";

/// The Secret that the target's movers use.
#[derive(Clone)]
pub struct RepositorySecret {
    /// The cluster that has it.
    pub cluster: Cluster,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl RepositorySecret {
    /// Whether it is where a mover of this namespace finds it.
    pub fn is_in(&self, cluster: &Cluster, namespace: &str) -> bool {
        self.cluster.name() == cluster.name() && self.namespace == namespace
    }

    /// What it holds; an error when it is gone.
    pub async fn data(&self) -> Result<Value, EngineError> {
        let found = self.cluster.get(&Kind::SECRET, &self.namespace, &self.name).await.map_err(before)?;
        let called = Kind::SECRET.called(&self.namespace, &self.name);
        let on = self.cluster.name();
        let gone =
            || EngineError::nothing_written(format!("{called} on cluster `{on}` is gone: apply its target first"));
        Ok(found.ok_or_else(gone)?.data["data"].take())
    }

    /// Copies it to where a run needs it, under the run's own name; `place` changes where the repository is.
    pub async fn copy_to(
        &self,
        to: (&Cluster, &str),
        name: &str,
        key: &str,
        place: impl FnOnce(&str) -> String,
    ) -> Result<(), EngineError> {
        let mut data = self.data().await?;
        let found = data[LOCATION_KEY].as_str().and_then(|text| STANDARD.decode(text).ok());
        let called = Kind::SECRET.called(&self.namespace, &self.name);
        let location = found.and_then(|place| String::from_utf8(place).ok());
        let lacks = || format!("{called} has no {LOCATION_KEY}; {}", keys_in(&data));
        let location = location.ok_or_else(|| EngineError::nothing_written(lacks()))?;
        data[LOCATION_KEY] = STANDARD.encode(place(&location)).into();
        let body = json!({ "metadata": { "labels": { RUN_LABEL: key } }, "type": "Opaque", "data": data });
        let (cluster, namespace) = to;
        cluster.apply(&Kind::SECRET, namespace, name, body, false).await.map_err(before)?;
        owned::by_nobody(cluster, namespace, name).await.map_err(before)
    }
}

/// Removes a copy.
pub async fn remove_copy(cluster: &Cluster, namespace: &str, name: &str) {
    if let Err(error) = cluster.delete(&Kind::SECRET, namespace, name, None).await {
        tracing::warn!(%error, "the copy of a repository's Secret could not be removed");
    }
}

/// `spec.restic` with another Secret.
pub fn with_secret(restic: &Value, secret: &str) -> Value {
    let mut restic = restic.clone();
    restic["repository"] = secret.into();
    if let Some(ca) = restic.get_mut("customCA") {
        ca["secretName"] = secret.into();
    }
    restic
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_certificates_come_from_the_copy_too() {
        let restic = json!({ "repository": "dr-docs", "customCA": { "secretName": "dr-docs", "key": "ca.pem" } });
        let expected = json!({ "repository": "copy", "customCA": { "secretName": "copy", "key": "ca.pem" } });
        assert_eq!(with_secret(&restic, "copy"), expected);
        assert_eq!(with_secret(&json!({ "repository": "a" }), "b"), json!({ "repository": "b" }));
    }
}
