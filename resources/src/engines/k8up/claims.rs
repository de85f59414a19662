//! The claims that k8up backs up, each with its points.

use std::collections::BTreeMap;

use crate::connections::kubernetes::{Cluster, ClusterError, DynamicObject, Kind};
use crate::engines::restic::points::Point;
use crate::engines::restic::restore::as_run_point;
use crate::run::{History, Probe, TargetState};

use super::repository;

/// By which claims say whether they are backed up.
pub const ANNOTATION: &str = "k8up.io/backup";

/// Labels of which a claim needs all.
pub type Labels = BTreeMap<String, String>;

/// The claims of a namespace that a backup takes: bound, with the labels of one of the selectors, and not left out.
pub async fn backed_up(
    cluster: &Cluster,
    namespace: &str,
    selectors: &[Labels],
) -> Result<Vec<DynamicObject>, ClusterError> {
    let claims = match cluster.list(&Kind::PVC, Some(namespace), None).await {
        Err(ClusterError::NoNamespace { .. }) => Vec::new(),
        claims => claims?,
    };
    Ok(claims.into_iter().filter(|claim| is_backed_up(claim, selectors)).collect())
}

fn is_backed_up(claim: &DynamicObject, selectors: &[Labels]) -> bool {
    let labels = claim.metadata.labels.clone().unwrap_or_default();
    let fits = |selector: &Labels| selector.iter().all(|(name, value)| labels.get(name) == Some(value));
    let annotation = claim.metadata.annotations.as_ref().and_then(|all| all.get(ANNOTATION)).map(String::as_str);
    let left_out = matches!(annotation, Some("false" | "False" | "FALSE" | "f" | "F" | "0"));
    is_bound(claim) && !left_out && (selectors.is_empty() || selectors.iter().any(fits))
}

/// Whether a claim says that it is backed up.
pub fn is_annotated(claim: &DynamicObject) -> bool {
    claim.metadata.annotations.as_ref().is_some_and(|all| all.contains_key(ANNOTATION))
}

/// Whether a claim has a volume.
pub fn is_bound(claim: &DynamicObject) -> bool {
    claim.data["status"]["phase"] == "Bound"
}

/// The history of each claim.
pub fn histories(cluster: &Cluster, namespace: &str, claims: &[DynamicObject], points: &[Point]) -> Vec<History> {
    let history = |claim: &DynamicObject| {
        let name = claim.metadata.name.clone().unwrap_or_default();
        let series = repository::series(namespace, &name);
        let own = points.iter().filter(|point| series.holds(point));
        History { points: own.filter_map(as_run_point).collect(), probe: probe(cluster, namespace, &name, Some(claim)) }
    };
    claims.iter().map(history).collect()
}

/// What a claim looks like. One without a volume never held anything; what is in a volume can't be seen from here.
pub fn probe(cluster: &Cluster, namespace: &str, name: &str, claim: Option<&DynamicObject>) -> Probe {
    let called = format!("{} on cluster `{}`", Kind::PVC.called(namespace, name), cluster.name());
    let Some(claim) = claim else {
        return Probe {
            state: TargetState::Missing,
            incarnation: None,
            born: None,
            evidence: format!("there is no {called}"),
        };
    };
    let (state, evidence) = match claim.data["status"]["phase"].as_str() {
        _ if claim.metadata.deletion_timestamp.is_some() => {
            (TargetState::Unknown, format!("{called} is being deleted"))
        }
        Some("Bound") => (TargetState::Present, format!("{called} has a volume")),
        Some("Pending") => (TargetState::Empty, format!("{called} has no volume yet")),
        phase => (TargetState::Unknown, format!("{called} is {}", phase.unwrap_or("in no known phase"))),
    };
    let born = claim.metadata.creation_timestamp.as_ref().map(|time| time.0);
    Probe { state, incarnation: claim.metadata.uid.clone(), born, evidence }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn claim(metadata: Value, phase: &str) -> DynamicObject {
        let object = json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata,
            "status": { "phase": phase } });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn k8up_takes_bound_claims_that_a_selector_fits_and_nobody_left_out() {
        let labels = json!({ "app": "docs", "tier": "data" });
        let whole = claim(json!({ "name": "data", "labels": labels }), "Bound");
        let selector = |pairs: &[(&str, &str)]| -> Labels {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        assert!(is_backed_up(&whole, &[]));
        assert!(is_backed_up(&whole, &[selector(&[("app", "web")]), selector(&[("app", "docs")])]));
        assert!(!is_backed_up(&whole, &[selector(&[("app", "docs"), ("tier", "cache")])]));
        assert!(!is_backed_up(&claim(json!({ "name": "data" }), "Pending"), &[]));
        let left_out = claim(json!({ "name": "data", "annotations": { ANNOTATION: "false" } }), "Bound");
        assert!(!is_backed_up(&left_out, &[]));
    }
}
