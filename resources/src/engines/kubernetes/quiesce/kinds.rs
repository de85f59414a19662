//! What can be taken down, in which argument it is named, and how it is done: one table.

use crate::connections::kubernetes::Kind;

/// The argument in which a kind is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// `scale_down`.
    ScaleDown,
    /// `suspend`.
    Suspend,
}

impl Verb {
    /// The argument's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Verb::ScaleDown => "scale_down",
            Verb::Suspend => "suspend",
        }
    }
}

/// How an object is taken down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// `spec.replicas` goes to 0, and its pods go.
    Replicas,
    /// `spec.suspend`.
    CronJob,
    /// `spec.suspend`, then a reconciliation under way is waited for.
    Flux,
    /// `spec.syncPolicy.automated` is turned off, then an operation under way is waited for.
    Application,
    /// It leaves the `syncPolicy` of its Applications alone, so that they can be paused.
    ApplicationSet,
    /// The annotation `autoscaling.keda.sh/paused`.
    Keda,
    /// Nothing: it rests while its target has no replicas.
    Autoscaler,
}

impl Manner {
    /// What comes first: who would put others back, then who would scale or start something, then what works.
    pub(super) fn rank(self) -> u8 {
        match self {
            Manner::ApplicationSet | Manner::Application | Manner::Flux => 0,
            Manner::Autoscaler | Manner::Keda | Manner::CronJob => 1,
            Manner::Replicas => 2,
        }
    }
}

/// A kind that can be taken down.
#[derive(Debug, PartialEq)]
pub(super) struct Quiescible {
    /// Its words in an entry, in lower case: first the one that messages use.
    pub words: &'static [&'static str],
    /// Groups that an entry may name beside the kind's own.
    pub groups: &'static [&'static str],
    pub kind: Kind,
    pub verb: Verb,
    pub manner: Manner,
}

const FLUX: &[&str] = &["toolkit.fluxcd.io"];

pub(super) const KUSTOMIZATION: Kind =
    Kind::namespaced("kustomize.toolkit.fluxcd.io", "v1", "Kustomization", "kustomizations");
pub(super) const HELM_RELEASE: Kind = Kind::namespaced("helm.toolkit.fluxcd.io", "v2", "HelmRelease", "helmreleases");
pub(super) const APPLICATION: Kind = Kind::namespaced("argoproj.io", "v1alpha1", "Application", "applications");
pub(super) const APPLICATION_SET: Kind =
    Kind::namespaced("argoproj.io", "v1alpha1", "ApplicationSet", "applicationsets");
pub(super) const SCALED_OBJECT: Kind = Kind::namespaced("keda.sh", "v1alpha1", "ScaledObject", "scaledobjects");
pub(super) const SCALED_JOB: Kind = Kind::namespaced("keda.sh", "v1alpha1", "ScaledJob", "scaledjobs");

macro_rules! quiescible {
    ($words:expr, $groups:expr, $kind:expr, $verb:ident, $manner:ident) => {
        Quiescible { words: &$words, groups: $groups, kind: $kind, verb: Verb::$verb, manner: Manner::$manner }
    };
}

/// Every kind, with the short names that kubectl knows them by.
pub(super) static KINDS: [Quiescible; 11] = [
    quiescible!(["deployment", "deploy"], &[], Kind::DEPLOYMENT, ScaleDown, Replicas),
    quiescible!(["statefulset", "sts"], &[], Kind::STATEFUL_SET, ScaleDown, Replicas),
    quiescible!(["replicaset", "rs"], &[], Kind::REPLICA_SET, ScaleDown, Replicas),
    quiescible!(["cronjob", "cj"], &[], Kind::CRON_JOB, Suspend, CronJob),
    quiescible!(["horizontalpodautoscaler", "hpa"], &[], Kind::HORIZONTAL_POD_AUTOSCALER, Suspend, Autoscaler),
    quiescible!(["scaledobject", "so"], &[], SCALED_OBJECT, Suspend, Keda),
    quiescible!(["scaledjob", "sj"], &[], SCALED_JOB, Suspend, Keda),
    quiescible!(["kustomization", "ks"], FLUX, KUSTOMIZATION, Suspend, Flux),
    quiescible!(["helmrelease", "hr"], FLUX, HELM_RELEASE, Suspend, Flux),
    quiescible!(["application", "app"], &[], APPLICATION, Suspend, Application),
    quiescible!(["applicationset", "appset"], &[], APPLICATION_SET, Suspend, ApplicationSet),
];

/// The kind of that word: singular, plural or short.
pub(super) fn of_word(word: &str) -> Option<&'static Quiescible> {
    KINDS.iter().find(|known| known.words.contains(&word) || known.kind.plural == word)
}

/// The kind of an object, whatever its version.
pub(super) fn of_kind(kind: &Kind) -> Option<&'static Quiescible> {
    KINDS.iter().find(|known| known.kind.group == kind.group && known.kind.kind == kind.kind)
}
