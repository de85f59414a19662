//! Asking what applies objects from Git to do so now: when it is resumed, and to see whether it puts back what is paused.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::kinds::Manner;
use super::parents::Parent;
use super::pause::KubernetesPause;
use super::step::{json as whole, set};
use super::{failed, kinds, read};
use crate::clock;
use crate::connections::kubernetes::{ClusterError, DynamicObject};
use crate::run::EngineError;

const REQUESTED_AT: &str = "reconcile.fluxcd.io/requestedAt";
const REFRESH: &str = "argocd.argoproj.io/refresh";
const REFRESH_SET: &str = "argocd.argoproj.io/application-set-refresh";

/// The annotation that asks for a reconciliation now. Flux compares it with the last one, so it has to be a new one.
pub(super) fn request(manner: Manner) -> Option<(&'static str, String)> {
    match manner {
        Manner::Flux => Some((REQUESTED_AT, clock::now().to_string())),
        Manner::Application => Some((REFRESH, "normal".to_owned())),
        Manner::ApplicationSet => Some((REFRESH_SET, "true".to_owned())),
        _ => None,
    }
}

/// Puts the annotation into a patch.
pub(super) fn add_request(patch: &mut Value, manner: Manner) {
    if let Some((annotation, value)) = request(manner) {
        set(patch, &["metadata", "annotations", annotation], value.into());
    }
}

impl KubernetesPause {
    /// Has a parent reconcile, and waits a moment for that: one that puts its children back does it before it is looked
    /// whether they stay paused. One that can't be asked, or does not answer, proves nothing and is no failure.
    pub(super) async fn have_reconciled(&self, parent: &Parent) -> Result<(), EngineError> {
        let Some(manner) = kinds::of_kind(&parent.kind).map(|known| known.manner) else { return Ok(()) };
        let found = match read(&self.cluster, &parent.kind, &parent.namespace, &parent.name).await {
            Err(error) if is_forbidden(&error) => return Ok(()),
            found => found?,
        };
        let Some((annotation, value)) = request(manner) else { return Ok(()) };
        if found.is_none_or(|parent| rests(manner, &parent)) {
            return Ok(());
        }
        let patch = json!({ "metadata": { "annotations": { annotation: value } } });
        match self.cluster.merge(&parent.kind, &parent.namespace, &parent.name, patch, None).await {
            Ok(_) => {}
            Err(ClusterError::NotFound { .. } | ClusterError::Forbidden(_)) => return Ok(()),
            Err(error) => return Err(failed(error)),
        }
        let deadline = Instant::now() + clock::scaled(self.timing.answer);
        while Instant::now() < deadline {
            let found = read(&self.cluster, &parent.kind, &parent.namespace, &parent.name).await?;
            if found.is_none_or(|parent| has_answered(manner, &parent, annotation, &value)) {
                break;
            }
            clock::sleep(self.timing.look).await;
        }
        Ok(())
    }
}

fn is_forbidden(error: &EngineError) -> bool {
    let cause = error.source.as_ref().and_then(|source| source.downcast_ref());
    matches!(cause, Some(ClusterError::Forbidden(_)))
}

/// Whether it puts nothing back.
fn rests(manner: Manner, parent: &DynamicObject) -> bool {
    let spec = &parent.data["spec"];
    let automated = &spec["syncPolicy"]["automated"];
    match manner {
        Manner::Flux => spec["suspend"] == json!(true),
        Manner::Application => automated.is_null() || automated["enabled"] == json!(false),
        _ => false,
    }
}

/// Flux notes the request, Argo CD takes the annotation away.
fn has_answered(manner: Manner, parent: &DynamicObject, annotation: &str, value: &str) -> bool {
    let whole = whole(parent);
    match manner {
        Manner::Flux => {
            whole["status"]["lastHandledReconcileAt"] == json!(value) && !super::wait::is_reconciling(parent)
        }
        _ => whole["metadata"]["annotations"][annotation].is_null(),
    }
}
