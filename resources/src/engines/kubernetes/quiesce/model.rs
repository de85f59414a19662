//! The argument `quiesce`, and what it means once the target is known.

use dr_framework::{Attr, Diagnostic, Model, Path, Value};

use super::entry::Entry;
use super::kinds::{Manner, Quiescible, Verb};
use crate::connections::kubernetes::Kind;
use crate::words::ended;

/// What is taken down before a restore writes, and brought back exactly as it was once the restore is checked.
///
/// Entries are `[<namespace>/]<kind>[.<group>]/<name>`; the namespace is the target's if left out. What does not exist is
/// left out. What is at rest already stays at rest afterwards. Whoever manages an object from Git has to be suspended too, or
/// puts it back: an object that does not stay down for ten seconds, or does not stay down until the first write, is an error.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct QuiesceModel {
    /// Deployments, StatefulSets and ReplicaSets that are scaled to 0 replicas, like `deployment/paperless`; the restore
    /// waits until their pods are gone.
    #[dr(optional, validate = scale_down)]
    pub scale_down: Attr<Vec<Attr<String>>>,
    /// What is suspended, like `argocd/application/paperless`: Argo CD's Application (its automated sync) and ApplicationSet
    /// (which then leaves the sync policy of its Applications alone: list these too), Flux's Kustomization and HelmRelease,
    /// CronJob, KEDA's ScaledObject and ScaledJob; Jobs that these have started are waited for. A HorizontalPodAutoscaler rests
    /// while its target is in `scale_down`, which is checked. List parents (an app of apps, the ApplicationSet, the
    /// Kustomization that applies a Kustomization) where they would put their children back: they are suspended first and
    /// resumed last.
    #[dr(optional, validate = suspend)]
    pub suspend: Attr<Vec<Attr<String>>>,
}

/// Judges the entries of `scale_down`.
fn scale_down(value: &Value, path: &Path) -> Vec<Diagnostic> {
    judge(value, path, Verb::ScaleDown)
}

/// Judges the entries of `suspend`.
fn suspend(value: &Value, path: &Path) -> Vec<Diagnostic> {
    judge(value, path, Verb::Suspend)
}

fn judge(value: &Value, path: &Path, verb: Verb) -> Vec<Diagnostic> {
    let Value::List(values) = value else { return Vec::new() };
    let refusal = |(index, value): (usize, &Value)| {
        let Value::String(text) = value else { return None };
        let error = Entry::parse(text, verb).err()?;
        Some(Diagnostic::error("Unusable entry", ended(error)).at(path.clone().index(index)))
    };
    values.iter().enumerate().filter_map(refusal).collect()
}

impl QuiesceModel {
    /// What it means for a target in this namespace; `None` while something in it is not known.
    pub fn resolve(&self, namespace: &str) -> Option<Quiesce> {
        let mut named: Vec<Named> = Vec::new();
        for (list, verb) in [(&self.suspend, Verb::Suspend), (&self.scale_down, Verb::ScaleDown)] {
            let entries = match list {
                Attr::Known(entries) => entries,
                Attr::Null => continue,
                Attr::Unknown => return None,
            };
            for entry in entries {
                // What can't be parsed was an error of validation.
                let Ok(entry) = Entry::parse(entry.text()?, verb) else { continue };
                let namespace = entry.namespace.unwrap_or_else(|| namespace.to_owned());
                let entry = Named { kind: entry.kind, namespace, name: entry.name };
                if !named.contains(&entry) {
                    named.push(entry);
                }
            }
        }
        named.sort_by_key(|named| named.kind.manner.rank());
        Some(Quiesce { named })
    }
}

/// The objects to be taken down: those that could put others back first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Quiesce {
    pub(super) named: Vec<Named>,
}

impl Quiesce {
    /// What is done, step by step, for a plan: it has not seen the cluster.
    pub fn steps(&self) -> Vec<String> {
        let step = |named: &Named| {
            let called = named.kind.kind.called(&named.namespace, &named.name);
            match named.kind.manner {
                Manner::Replicas => format!("scales {called} to 0"),
                Manner::Autoscaler => format!("checks that {called} rests while its target has no replicas"),
                Manner::ApplicationSet => {
                    format!("suspends {called} (its hold on the sync policy of its Applications)")
                }
                _ => format!("suspends {called}"),
            }
        };
        self.named.iter().map(step).collect()
    }

    /// Whether nothing is taken down.
    pub fn is_empty(&self) -> bool {
        self.named.is_empty()
    }

    pub(super) fn holds(&self, kind: &Kind, namespace: &str, name: &str) -> bool {
        self.named.iter().any(|named| named.is(kind, namespace, name))
    }
}

/// An object to be taken down, in its namespace.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Named {
    pub kind: &'static Quiescible,
    pub namespace: String,
    pub name: String,
}

impl Named {
    pub(super) fn is(&self, kind: &Kind, namespace: &str, name: &str) -> bool {
        let (own, other) = (&self.kind.kind, kind);
        (&own.group, &own.kind) == (&other.group, &other.kind) && self.namespace == namespace && self.name == name
    }
}
