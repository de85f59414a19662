//! What a restore writes to: namespaces of a cluster.

use std::sync::Arc;

use crate::connections::kubernetes::{Cluster, ClusterError, DynamicObject, Kind};
use crate::run::{Probe, TargetState};

use super::labels;
use super::selection::Selection;

/// How new an answer has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// As of this refresh, which lists everything once.
    Refresh,
    /// As of now.
    Now,
}

/// Looks at the namespaces that a selection goes to.
pub async fn probe(cluster: &Cluster, selection: &Selection, freshness: Freshness) -> Result<Probe, ClusterError> {
    let mut there = Vec::new();
    let mut absent = Vec::new();
    for name in selection.destinations() {
        let found = match freshness {
            Freshness::Refresh => cluster.find(&Kind::NAMESPACE, "", &name).await?,
            Freshness::Now => cluster.get(&Kind::NAMESPACE, "", &name).await?.map(Arc::new),
        };
        match found {
            Some(namespace) => there.push((name, namespace)),
            None => absent.push(name),
        }
    }
    let incarnation: Vec<String> = there.iter().filter_map(|(_, namespace)| namespace.metadata.uid.clone()).collect();
    let born = there.iter().filter_map(|(_, namespace)| born(namespace)).max();
    let on = format!("on cluster `{}`", cluster.name());
    let without = match absent.as_slice() {
        [] => String::new(),
        absent => format!("; {} not exist", do_exist(absent)),
    };
    let (state, evidence) = match there.iter().find(|(_, namespace)| namespace.metadata.deletion_timestamp.is_some()) {
        Some((name, _)) => (TargetState::Unknown, format!("namespace {name} is being deleted {on}")),
        None if there.is_empty() => (TargetState::Missing, format!("{} not exist {on}", do_exist(&absent))),
        None => {
            let names: Vec<String> = there.iter().map(|(name, _)| name.clone()).collect();
            let (state, evidence) = content(cluster, selection, &names).await?;
            // Empty namespaces are made along with the configuration, before anything is restored; others were not lost.
            let state = match state {
                TargetState::Present if !absent.is_empty() => TargetState::Partial,
                state => state,
            };
            (state, format!("{evidence} {on}{without}"))
        }
    };
    let incarnation = (!incarnation.is_empty()).then(|| incarnation.join(","));
    Ok(Probe { state, incarnation, born, evidence })
}

/// When a namespace was made.
pub fn born(namespace: &DynamicObject) -> Option<jiff::Timestamp> {
    namespace.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

fn do_exist(names: &[String]) -> String {
    match names {
        [one] => format!("namespace {one} does"),
        several => format!("namespaces {} do", several.join(", ")),
    }
}

/// Whether namespaces that exist hold anything of what is selected.
async fn content(
    cluster: &Cluster,
    selection: &Selection,
    namespaces: &[String],
) -> Result<(TargetState, String), ClusterError> {
    let probed = selection.probed();
    let always = probed.kinds.iter().map(|kind| (kind, None));
    let looks: Vec<_> = always.chain(probed.restored.iter().map(|kind| (kind, Some(labels::RESTORE)))).collect();
    for namespace in namespaces {
        for (kind, more) in &looks {
            let objects = selection.labels.list(cluster, kind, namespace, *more).await?;
            if let Some(found) = objects.iter().find(|object| is_content(kind, object)) {
                let name = found.metadata.name.as_deref().unwrap_or_default();
                return Ok((TargetState::Present, format!("namespace {namespace} holds {} {name}", kind.kind)));
            }
        }
    }
    let (noun, names) = (if namespaces.len() == 1 { "namespace" } else { "namespaces" }, namespaces.join(", "));
    let looked_for: Vec<&str> = probed.kinds.iter().map(|kind| kind.kind.as_ref()).collect();
    Ok(match probed.unknown.as_slice() {
        [] => (TargetState::Empty, format!("there is no {} in {noun} {names}", looked_for.join(", "))),
        unknown => {
            let why = format!("it can't be told whether {noun} {names} hold {}", unknown.join(", "));
            (TargetState::Unknown, why)
        }
    })
}

/// What every namespace is born with is no content.
fn is_content(kind: &Kind, object: &DynamicObject) -> bool {
    let name = object.metadata.name.as_deref().unwrap_or_default();
    match kind.kind.as_ref() {
        "ConfigMap" => name != "kube-root-ca.crt",
        "ServiceAccount" => name != "default",
        "Secret" => object.data["type"] != "kubernetes.io/service-account-token",
        _ => true,
    }
}
