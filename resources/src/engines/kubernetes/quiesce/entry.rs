//! Entries of `scale_down` and `suspend`: `[<namespace>/]<kind>[.<group>]/<name>`.

use super::kinds::{self, KINDS, Quiescible, Verb};

/// Why an entry can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EntryError {
    /// It has another number of parts.
    #[error("{0:?} is not of the form [<namespace>/]<kind>[.<group>]/<name>, like \"deployment/paperless\"")]
    Shape(String),
    /// A part can't be a name.
    #[error("{part:?} in {entry:?} is no name of an object: use lower-case letters, digits, `-` and `.`")]
    Name {
        /// The entry.
        entry: String,
        /// The part.
        part: String,
    },
    /// The kind is not known.
    #[error("{kind:?} can't be taken down; {verb} knows {known}", verb = .verb.as_str(), known = known(*.verb))]
    Kind {
        /// What stands for the kind.
        kind: String,
        /// The argument.
        verb: Verb,
    },
    /// The kind belongs into the other argument.
    #[error("a {kind} goes into `{}`, not into `{}`", .right.as_str(), .wrong.as_str())]
    Verb {
        /// The kind.
        kind: String,
        /// The argument in which it belongs.
        right: Verb,
        /// The one in which it stands.
        wrong: Verb,
    },
    /// Another group has a kind of that name.
    #[error("the {kind} that can be taken down is that of {right}, not of {wrong}")]
    Group {
        /// The kind.
        kind: String,
        /// Its group.
        right: String,
        /// The group of the entry.
        wrong: String,
    },
}

fn known(verb: Verb) -> String {
    let words: Vec<&str> = KINDS.iter().filter(|known| known.verb == verb).map(|known| known.words[0]).collect();
    words.join(", ")
}

/// An object to be taken down.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub kind: &'static Quiescible,
    /// As written; none means the target's.
    pub namespace: Option<String>,
    pub name: String,
}

impl Entry {
    /// Reads an entry of an argument.
    pub(super) fn parse(text: &str, verb: Verb) -> Result<Entry, EntryError> {
        let parts: Vec<&str> = text.split('/').collect();
        let (namespace, kind, name) = match parts.as_slice() {
            [kind, name] => (None, *kind, *name),
            [namespace, kind, name] => (Some(*namespace), *kind, *name),
            _ => return Err(EntryError::Shape(text.to_owned())),
        };
        let kind = quiescible(kind, verb)?;
        if let Some(part) = namespace.into_iter().chain([name]).find(|part| !is_name(part)) {
            return Err(EntryError::Name { entry: text.to_owned(), part: part.to_owned() });
        }
        Ok(Entry { kind, namespace: namespace.map(str::to_owned), name: name.to_owned() })
    }
}

fn quiescible(text: &str, verb: Verb) -> Result<&'static Quiescible, EntryError> {
    let (word, group) = match text.split_once('.') {
        Some((word, group)) => (word, Some(group)),
        None => (text, None),
    };
    let unknown = || EntryError::Kind { kind: text.to_owned(), verb };
    let found = kinds::of_word(&word.to_ascii_lowercase()).ok_or_else(unknown)?;
    let kind = || found.kind.kind.to_string();
    if let Some(wrong) = group.filter(|group| found.kind.group != *group && !found.groups.contains(group)) {
        return Err(EntryError::Group { kind: kind(), right: found.kind.group.to_string(), wrong: wrong.to_owned() });
    }
    if found.verb != verb {
        return Err(EntryError::Verb { kind: kind(), right: found.verb, wrong: verb });
    }
    Ok(found)
}

fn is_name(part: &str) -> bool {
    let inner = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-' || letter == '.';
    let end = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    (1..=253).contains(&part.len()) && part.chars().all(inner) && part.starts_with(end) && part.ends_with(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str, verb: Verb) -> (Option<String>, String, String) {
        let entry = Entry::parse(text, verb).unwrap();
        (entry.namespace, entry.kind.kind.to_string(), entry.name)
    }

    #[test]
    fn no_text_makes_an_entry_panic() {
        let known = ["deployment/paperless", "argocd/application/paperless", "docs/cronjob/nightly"];
        for verb in [Verb::ScaleDown, Verb::Suspend] {
            crate::noise::survives_text(&known, |text| Entry::parse(text, verb));
        }
    }

    #[test]
    fn an_entry_names_a_kind_and_an_object_and_may_name_namespace_and_group() {
        let (down, suspend) = (Verb::ScaleDown, Verb::Suspend);
        let kinds = |text, verb| parsed(text, verb).1;
        assert_eq!(parsed("deployment/paperless", down), (None, "apps/v1 Deployment".into(), "paperless".into()));
        let (namespace, kind, name) = parsed("argocd/application/paperless", suspend);
        assert_eq!((namespace.as_deref(), kind.as_str()), (Some("argocd"), "argoproj.io/v1alpha1 Application"));
        assert_eq!(name, "paperless");
        assert_eq!(kinds("statefulset.apps/db", down), "apps/v1 StatefulSet");
        assert_eq!(kinds("deployments/web", down), "apps/v1 Deployment");
        assert_eq!(kinds("hpa/web", suspend), "autoscaling/v2 HorizontalPodAutoscaler");
        assert_eq!(kinds("flux-system/kustomization.toolkit.fluxcd.io/apps", suspend), KUSTOMIZATIONS);
        assert_eq!(kinds("flux-system/Kustomization.kustomize.toolkit.fluxcd.io/apps", suspend), KUSTOMIZATIONS);
        assert_eq!(kinds("scaledjob.keda.sh/import", suspend), "keda.sh/v1alpha1 ScaledJob");
    }

    const KUSTOMIZATIONS: &str = "kustomize.toolkit.fluxcd.io/v1 Kustomization";

    #[test]
    fn what_can_not_be_used_says_why() {
        let error = |text, verb| Entry::parse(text, verb).unwrap_err().to_string();
        let errors = [
            error("paperless", Verb::ScaleDown),
            error("a/b/deployment/c", Verb::ScaleDown),
            error("daemonset/agent", Verb::ScaleDown),
            error("cluster.postgresql.cnpg.io/db", Verb::Suspend),
            error("kustomization/apps", Verb::ScaleDown),
            error("deployment/web", Verb::Suspend),
            error("kustomization.kustomize.config.k8s.io/apps", Verb::Suspend),
            error("deployment/", Verb::ScaleDown),
            error("Prod/deployment/web*", Verb::ScaleDown),
        ];
        insta::assert_snapshot!(errors.join("\n"));
    }
}
