//! What a restore selects: namespaces and where they go, and kinds of objects by the names that Velero takes for them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::documents::{Method, Resources, Volume};
use crate::connections::kubernetes::{Cluster, ClusterError, DynamicObject, Kind};
use crate::engines::kubernetes::label_selector;

/// Pods, as Velero's filters name them.
pub const PODS: &str = "pods";
/// PersistentVolumeClaims.
pub const CLAIMS: &str = "persistentvolumeclaims";
/// PersistentVolumes.
pub const VOLUMES: &str = "persistentvolumes";

/// A kind that a target is looked at for, with the other names that it goes by.
struct Known {
    kind: Kind,
    other_names: &'static [&'static str],
    content: Content,
}

/// Whether a namespace that holds such an object holds something, where nothing says what is restored.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Content {
    /// It does.
    Always,
    /// It does when Velero restored the object: others are made along with namespaces, before anything is restored.
    WhenRestored,
    /// It is not looked for: another kind comes with it, or it is never listed.
    Never,
}

const KNOWN: &[Known] = &[
    Known { kind: Kind::PVC, other_names: &["pvc"], content: Content::Always },
    Known { kind: Kind::DEPLOYMENT, other_names: &["deploy"], content: Content::Always },
    Known { kind: Kind::STATEFUL_SET, other_names: &["sts"], content: Content::Always },
    Known { kind: Kind::DAEMON_SET, other_names: &["ds"], content: Content::Always },
    Known { kind: Kind::CRON_JOB, other_names: &["cj"], content: Content::Always },
    Known { kind: Kind::JOB, other_names: &[], content: Content::Always },
    Known { kind: Kind::POD, other_names: &["po"], content: Content::Always },
    Known { kind: Kind::REPLICA_SET, other_names: &["rs"], content: Content::Never },
    Known { kind: Kind::CONFIG_MAP, other_names: &["cm"], content: Content::WhenRestored },
    Known { kind: Kind::SECRET, other_names: &[], content: Content::Never },
    Known { kind: Kind::SERVICE, other_names: &["svc"], content: Content::WhenRestored },
    Known { kind: Kind::SERVICE_ACCOUNT, other_names: &["sa"], content: Content::WhenRestored },
];

/// What a restore selects of a point.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// The namespaces, as they were backed up.
    pub namespaces: Vec<String>,
    /// Where those go that are renamed.
    pub mapping: BTreeMap<String, String>,
    /// The resources that are restored; all if empty.
    pub included: Vec<String>,
    /// Resources that are left out.
    pub excluded: Vec<String>,
    /// Only objects with these labels.
    pub labels: Labels,
    /// `restore_pvs = false`: the content of volumes is not asked for.
    pub without_content: bool,
}

/// Selectors of labels of which one is enough; all objects if there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Labels(Vec<Vec<String>>);

impl Labels {
    /// Out of selectors as specs have them.
    pub fn of<'a>(selectors: impl Iterator<Item = &'a Value>) -> Self {
        Labels(selectors.map(label_selector::terms).collect())
    }

    /// Whether all objects are selected.
    pub fn is_empty(&self) -> bool {
        self.0.iter().any(Vec::is_empty) || self.0.is_empty()
    }

    /// The selectors of the lists that show the objects together, each with one more term.
    pub fn lists(&self, more: Option<&str>) -> Vec<Option<String>> {
        let none = [Vec::new()];
        let selectors = if self.is_empty() { none.as_slice() } else { self.0.as_slice() };
        let joined = |terms: &Vec<String>| {
            let terms: Vec<&str> = terms.iter().map(String::as_str).chain(more).collect();
            (!terms.is_empty()).then(|| terms.join(","))
        };
        selectors.iter().map(joined).collect()
    }

    /// The objects of a kind in a namespace that are selected; one that fits several selectors comes several times.
    pub async fn list(
        &self,
        cluster: &Cluster,
        kind: &Kind,
        namespace: &str,
        more: Option<&str>,
    ) -> Result<Vec<DynamicObject>, ClusterError> {
        let mut found = Vec::new();
        for selector in self.lists(more) {
            found.extend(cluster.list(kind, Some(namespace), selector.as_deref()).await?);
        }
        Ok(found)
    }
}

/// What is looked for in a target.
pub struct Probed {
    /// Kinds whose objects are looked for.
    pub kinds: Vec<Kind>,
    /// Kinds of which only objects count that Velero restored.
    pub restored: Vec<Kind>,
    /// Names of resources that are not known here, so that nothing can be said about them.
    pub unknown: Vec<String>,
}

impl Selection {
    /// Where a namespace goes.
    pub fn destination<'a>(&'a self, namespace: &'a str) -> &'a str {
        self.mapping.get(namespace).map_or(namespace, String::as_str)
    }

    /// The namespaces that are restored to, sorted.
    pub fn destinations(&self) -> Vec<String> {
        let mut destinations: Vec<String> =
            self.namespaces.iter().map(|namespace| self.destination(namespace).to_owned()).collect();
        destinations.sort();
        destinations.dedup();
        destinations
    }

    /// Whether a resource is restored, by its plural.
    pub fn selects(&self, resource: &str) -> bool {
        let named = |names: &[String]| names.iter().any(|name| name == "*" || canonical(name) == resource);
        (self.included.is_empty() || named(&self.included)) && !named(&self.excluded)
    }

    /// The kinds by which it is told whether a target is empty.
    pub fn probed(&self) -> Probed {
        let everything = self.included.is_empty() || self.included.iter().any(|name| name == "*");
        let named = |content: Content| {
            let wanted =
                move |known: &&Known| self.selects(&known.kind.plural) && (!everything || known.content == content);
            KNOWN.iter().filter(wanted).map(|known| known.kind.clone()).collect::<Vec<_>>()
        };
        let restored = if everything { named(Content::WhenRestored) } else { Vec::new() };
        let kinds = named(Content::Always);
        // Volumes belong to no namespace, and come with their claims.
        let is_known = |name: &&String| {
            let name = canonical(name);
            name == VOLUMES || KNOWN.iter().any(|known| known.kind.plural == name)
        };
        let unknown = match everything {
            true => Vec::new(),
            false => self.included.iter().filter(|name| !is_known(name)).cloned().collect(),
        };
        Probed { kinds, restored, unknown }
    }

    /// The volumes of a point that lie in the selected namespaces, and whose claims are restored.
    pub fn volumes<'a>(&'a self, volumes: &'a [Volume]) -> impl Iterator<Item = &'a Volume> {
        let selected = |volume: &&Volume| self.namespaces.contains(&volume.namespace);
        volumes.iter().filter(selected).filter(|_| self.selects(CLAIMS))
    }

    /// Whether a restore has to bring the content of a volume back.
    pub fn brings(&self, volume: &Volume) -> bool {
        volume.holds_content() && self.volumes(std::slice::from_ref(volume)).next().is_some()
    }

    /// The claims of a point that are restored, each with its namespace.
    pub fn claims(&self, resources: Option<&Resources>, volumes: &[Volume]) -> Vec<(String, String)> {
        if !self.selects(CLAIMS) {
            return Vec::new();
        }
        let split = |name: &String| name.split_once('/').map(|(space, name)| (space.to_owned(), name.to_owned()));
        let mut claims: Vec<(String, String)> = match resources {
            Some(resources) => resources.of("v1/PersistentVolumeClaim").iter().filter_map(split).collect(),
            None => volumes.iter().map(|volume| (volume.namespace.clone(), volume.claim.clone())).collect(),
        };
        claims.retain(|(namespace, _)| self.namespaces.contains(namespace));
        claims.sort();
        claims.dedup();
        claims
    }

    /// Why no data can come back of these volumes, if none can or some is lost on the way.
    pub fn hopeless(&self, volumes: &[Volume]) -> Option<String> {
        if self.without_content {
            return None;
        }
        let volumes: Vec<&Volume> = self.volumes(volumes).collect();
        let names = |wanted: Method| {
            volumes.iter().filter(|volume| volume.method == wanted).map(|volume| volume.name()).collect::<Vec<_>>()
        };
        let by_files = names(Method::FileSystem);
        if !by_files.is_empty() && !self.selects(PODS) {
            return Some(format!(
                "{} came out of pods file by file and only come back with them: restored without pods, the claims stay \
                 empty. Add \"pods\" to included_resources (or take it out of excluded_resources)",
                by_files.join(", ")
            ));
        }
        let nothing = names(Method::Nothing);
        let only_volumes = self.selects(CLAIMS) && !self.included.is_empty() && {
            let of_volumes = |name: &String| [CLAIMS, VOLUMES, PODS].contains(&canonical(name));
            self.included.iter().all(of_volumes)
        };
        if only_volumes && !nothing.is_empty() && nothing.len() == volumes.len() {
            return Some(format!(
                "the content of {} is not in this point: the claims would stay empty",
                nothing.join(", ")
            ));
        }
        None
    }

    /// Volumes of which nothing comes back, with the reason.
    pub fn empty_volumes(&self, volumes: &[Volume]) -> Vec<String> {
        let reason = |volume: &Volume| Some(format!("{} ({})", volume.name(), volume.skipped.as_deref()?));
        self.volumes(volumes).filter_map(reason).collect()
    }
}

/// The plural of a resource, without its group, out of any name that Velero takes for it.
fn canonical(name: &str) -> &str {
    let plain = name.split_once('.').map_or(name, |(plain, _)| plain);
    let plain_lower = plain.to_ascii_lowercase();
    let fits = |known: &&Known| {
        plain_lower == known.kind.plural
            || plain_lower == known.kind.kind.to_ascii_lowercase()
            || known.other_names.contains(&plain_lower.as_str())
    };
    match plain_lower.as_str() {
        "pv" | "persistentvolume" | VOLUMES => VOLUMES,
        _ => KNOWN.iter().find(fits).map_or(plain, |known| match &known.kind.plural {
            std::borrow::Cow::Borrowed(plural) => plural,
            std::borrow::Cow::Owned(_) => plain,
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| name.to_string()).collect()
    }

    fn volume(claim: &str, method: Method) -> Volume {
        let skipped = (method == Method::Nothing).then(|| "policy".to_owned());
        let (claim, namespace, persistent_volume) = (claim.into(), "docs".into(), String::new());
        Volume { claim, namespace, method, bytes: None, skipped, persistent_volume, pod: None }
    }

    fn only(included: &[&str]) -> Selection {
        Selection { namespaces: list(&["docs"]), included: list(included), ..Selection::default() }
    }

    #[test]
    fn resources_go_by_any_of_their_names() {
        for name in ["pvc", "persistentvolumeclaims", "PersistentVolumeClaim", "persistentvolumeclaims."] {
            assert!(only(&[name]).selects(CLAIMS), "{name}");
        }
        assert!(only(&["deployments.apps"]).selects("deployments"));
        assert!(!only(&["deploy"]).selects(PODS));
        assert!(only(&[]).selects(PODS) && only(&["*"]).selects(PODS));
        let without = Selection { excluded: list(&["po"]), ..only(&[]) };
        assert!(!without.selects(PODS) && without.selects(CLAIMS));
    }

    #[test]
    fn volumes_that_come_with_pods_are_refused_without_them() {
        let volumes = [volume("data", Method::FileSystem)];
        let why = only(&["pvc", "pv"]).hopeless(&volumes).unwrap();
        assert!(why.starts_with("docs/data came out of pods file by file"), "{why}");
        assert!(Selection { excluded: list(&["pods"]), ..only(&[]) }.hopeless(&volumes).is_some());
        for selection in [only(&[]), only(&["pvc", "pv", "pods"]), only(&["configmaps"])] {
            assert_eq!(selection.hopeless(&volumes), None, "{selection:?}");
        }
        let elsewhere = Selection { namespaces: list(&["mail"]), ..only(&["pvc"]) };
        assert_eq!(elsewhere.hopeless(&volumes), None);
        assert_eq!(Selection { without_content: true, ..only(&["pvc"]) }.hopeless(&volumes), None);
        assert_eq!(only(&["pvc", "pv"]).hopeless(&[volume("data", Method::MovedSnapshot)]), None);
    }

    #[test]
    fn claims_alone_are_refused_when_the_point_holds_the_content_of_none() {
        let (lost, saved) = (volume("cache", Method::Nothing), volume("data", Method::CsiSnapshot));
        assert!(only(&["pvc", "pv"]).hopeless(std::slice::from_ref(&lost)).is_some());
        assert_eq!(only(&["pvc", "pv"]).hopeless(&[lost.clone(), saved]), None);
        assert_eq!(only(&[]).hopeless(std::slice::from_ref(&lost)), None);
        assert_eq!(only(&[]).empty_volumes(&[lost]), ["docs/cache (policy)"]);
    }

    #[test]
    fn labels_are_listed_by_each_of_their_selectors() {
        let of = |selectors: &[Value]| Labels::of(selectors.iter());
        assert!(of(&[]).is_empty());
        assert_eq!(of(&[]).lists(None), [None]);
        assert_eq!(of(&[]).lists(Some("x")), [Some("x".to_owned())]);
        let two = of(&[
            json!({ "matchLabels": { "a": "1" }, "matchExpressions": [{ "key": "b", "operator": "Exists" }] }),
            json!({ "matchLabels": { "c": "2" } }),
        ]);
        assert!(!two.is_empty());
        assert_eq!(two.lists(Some("x")), [Some("a=1,b,x".to_owned()), Some("c=2,x".to_owned())]);
        // An empty selector fits everything.
        assert!(of(&[json!({ "matchLabels": { "a": "1" } }), json!({})]).is_empty());
    }

    #[test]
    fn targets_are_where_namespaces_go() {
        let mapping = BTreeMap::from([("docs".to_owned(), "docs-test".to_owned())]);
        let selection = Selection { namespaces: list(&["mail", "docs"]), mapping, ..Selection::default() };
        assert_eq!(selection.destinations(), ["docs-test", "mail"]);
    }

    #[test]
    fn what_can_not_be_looked_for_is_said() {
        let probed = only(&["pvc", "pv", "certificates.cert-manager.io"]).probed();
        assert_eq!(probed.kinds, [Kind::PVC]);
        assert_eq!(probed.unknown, ["certificates.cert-manager.io"]);
        let all = only(&[]).probed();
        assert!(all.kinds.contains(&Kind::DEPLOYMENT) && !all.kinds.contains(&Kind::CONFIG_MAP));
        assert_eq!(all.restored, [Kind::CONFIG_MAP, Kind::SERVICE, Kind::SERVICE_ACCOUNT]);
        assert_eq!(only(&["configmaps"]).probed().kinds, [Kind::CONFIG_MAP]);
        assert!(all.unknown.is_empty());
    }
}
