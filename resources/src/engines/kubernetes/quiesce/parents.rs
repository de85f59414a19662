//! Who puts an object back: what applies it from Git, as its labels, annotations and owner references say.

use super::kinds::{APPLICATION, APPLICATION_SET, HELM_RELEASE, KUSTOMIZATION};
use crate::connections::kubernetes::{DynamicObject, Kind};

/// An object that applies others.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Parent {
    pub kind: Kind,
    pub namespace: String,
    pub name: String,
}

impl Parent {
    pub(super) fn called(&self) -> String {
        self.kind.called(&self.namespace, &self.name)
    }
}

/// Who applies an object of this kind.
pub(super) fn parents(kind: &Kind, object: &DynamicObject) -> Vec<Parent> {
    let namespace = object.metadata.namespace.clone().unwrap_or_default();
    let mut found: Vec<Parent> =
        [&KUSTOMIZATION, &HELM_RELEASE].into_iter().filter_map(|flux| by_labels(flux, object)).collect();
    if *kind == APPLICATION {
        let owners = object.metadata.owner_references.iter().flatten();
        let sets = owners.filter(|owner| owner.kind == *APPLICATION_SET.kind);
        found.extend(sets.map(|set| Parent {
            kind: APPLICATION_SET,
            namespace: namespace.clone(),
            name: set.name.clone(),
        }));
    }
    // The label alone is Helm's too: only among Argo CD's own kinds it is sure to name an Application.
    if *kind == APPLICATION || *kind == APPLICATION_SET {
        found.extend(app_of_apps(&namespace, object));
    }
    let itself = |parent: &Parent| {
        parent.kind == *kind && parent.namespace == namespace && Some(&parent.name) == object.metadata.name.as_ref()
    };
    found.retain(|parent| !itself(parent));
    found
}

/// Flux's controllers label what they apply.
fn by_labels(kind: &Kind, object: &DynamicObject) -> Option<Parent> {
    let labels = object.metadata.labels.as_ref()?;
    let label = |name: &str| labels.get(&format!("{}/{name}", kind.group)).cloned();
    Some(Parent { kind: kind.clone(), namespace: label("namespace")?, name: label("name")? })
}

/// Argo CD tracks by an annotation `<application>:<group>/<kind>:<namespace>/<name>` (its default since 3.0) or by a label;
/// an Application of another namespace than Argo CD's stands there as `<namespace>_<name>`.
fn app_of_apps(namespace: &str, object: &DynamicObject) -> Option<Parent> {
    let annotation = object.metadata.annotations.as_ref().and_then(|all| all.get("argocd.argoproj.io/tracking-id"));
    let label = object.metadata.labels.as_ref().and_then(|all| all.get("app.kubernetes.io/instance"));
    let tracked = annotation.and_then(|id| id.split(':').next()).or(label.map(String::as_str))?;
    let (namespace, name) = tracked.split_once('_').unwrap_or((namespace, tracked));
    Some(Parent { kind: APPLICATION, namespace: namespace.to_owned(), name: name.to_owned() })
}
