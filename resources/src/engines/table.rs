//! What each engine can do: one table, read by documentation, validation and dispatch.
//!
//! The guide on engines shows every cell. What validation makes of them is tested over the table, in
//! `tests/conformance.rs`; what engines do, by the tests of each.

/// One engine's row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Engine {
    /// Its name, which is that of its block.
    pub name: &'static str,
    /// The concepts that it has.
    pub concepts: &'static [Concept],
    /// What a retention policy covers.
    pub retention_scope: RetentionScope,
    /// What of a store a target that writes has for itself.
    pub exclusive: Exclusive,
    /// How it is told that a target exists and holds nothing.
    pub empty_probe: EmptyProbe,
    /// Which of saving the target and taking the application down comes first.
    pub quiesce_order: QuiesceOrder,
    /// Whether `perform = false` hands a pinned point to another owner of the target.
    pub hand_over: HandOver,
    /// How the series' own schedule is kept from running during a restore.
    pub pause: Pause,
    /// How storage is kept from being written.
    pub read_only: ReadOnly,
    /// Fields that turn protection off and are owned even when the configuration does not name them.
    pub always_owned: &'static [&'static str],
    /// How a stale secret is seen.
    pub secret_read_back: SecretReadBack,
    /// What a job makes in the engine.
    pub on_demand_object: OnDemandObject,
    /// Whether one backup can be removed, with what it stored, while the others stay.
    pub removes_one_backup: bool,
    /// Where recovery points are read.
    pub points_from: PointsFrom,
    /// Where a restore's record is.
    pub ledger_place: LedgerPlace,
}

/// Something that an engine may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Concept {
    /// `dr_backup_target`.
    Target,
    /// `dr_backup_schedule`.
    Schedule,
    /// Retention.
    Retention,
    /// `dr_backup_job`.
    Backup,
    /// `dr_restore_job`.
    Restore,
    /// `dr_recovery_points`.
    Points,
}

/// What a retention policy covers. Two policies on one scope are an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetentionScope {
    /// There is none.
    None,
    /// What one schedule made: `retention` is set on the schedule.
    Schedule,
    /// A group that several schedules may share: `retention` is set on one schedule.
    Group,
    /// All of a target: `retention` is set on the target.
    Target,
}

/// What of a store a target that writes has for itself. Two targets in one are an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exclusive {
    /// Nothing.
    Nothing,
    /// Its prefix.
    Prefix,
    /// What is of its namespace below the prefix.
    Namespace,
}

/// How it is told that a target exists and holds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmptyProbe {
    /// It can't be told: `target_missing_or_empty` is refused.
    None,
    /// A folder without entries.
    Directory,
    /// A figure or a listing of the engine; which, for documentation.
    Reported(&'static str),
}

/// Which of saving the target and taking the application down comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QuiesceOrder {
    /// Files and blocks: what is written between the two would be lost.
    QuiesceFirst,
    /// Databases: the safety backup needs the server up.
    SafetyFirst,
}

/// What `perform = false` gives to the owner of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandOver {
    /// Nobody else makes such a target: `perform = false` is refused.
    None,
    /// Values that its owner needs, by name.
    Exports(&'static [&'static str]),
}

/// How the series' own schedule is kept from running during a restore.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// It has no schedule.
    None,
    /// A lock in the storage.
    Lock,
    /// A field of the schedule's object.
    Field(&'static str),
    /// The schedule is taken away and put back.
    Delete,
}

/// How storage is kept from being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadOnly {
    /// Nothing but restores is accepted; the engine itself knows no such thing.
    RestoresOnly,
    /// The engine is told, by this.
    Rendered(&'static str),
    /// Everything that writes is ours, and writes nothing.
    NothingWritten,
}

/// How a stale secret is seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretReadBack {
    /// The engine keeps none.
    None,
    /// It is read back and compared in memory.
    Compare,
    /// It is tried.
    Test,
}

/// What a job makes in the engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnDemandObject {
    /// Nothing: the work is done by a process of ours.
    None,
    /// An object of this kind, named after the run, with explicit retention where the engine prunes.
    Own(&'static str),
}

/// Where recovery points are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PointsFrom {
    /// The repository.
    Repository,
    /// The bucket.
    Bucket,
    /// The server's API.
    Api,
}

/// Where a restore's record is. Backup jobs keep theirs in the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LedgerPlace {
    /// Beside the path.
    Path,
    /// In the target's namespace.
    Namespace,
    /// In the storage.
    Store,
}

impl Engine {
    /// Whether the engine has a concept.
    pub fn has(&self, concept: Concept) -> bool {
        self.concepts.contains(&concept)
    }
}

/// Every engine of this build.
pub const ENGINES: &[Engine] = &[
    RESTIC,
    VELERO,
    K8UP,
    VOLSYNC,
    #[cfg(feature = "toy")]
    TOY,
];

/// The engines that have a concept, by name.
pub fn with(concept: Concept) -> Vec<&'static str> {
    ENGINES.iter().filter(|engine| engine.has(concept)).map(|engine| engine.name).collect()
}

/// The row of an engine.
pub fn engine(name: &str) -> Option<&'static Engine> {
    ENGINES.iter().find(|engine| engine.name == name)
}

/// Repositories in restic's format, kept by the provider itself.
const RESTIC: Engine = Engine {
    name: "restic",
    concepts: &[Concept::Target, Concept::Retention, Concept::Backup, Concept::Restore, Concept::Points],
    // restic's forget works on all snapshots of a repository.
    retention_scope: RetentionScope::Target,
    exclusive: Exclusive::Prefix,
    empty_probe: EmptyProbe::Directory,
    quiesce_order: QuiesceOrder::QuiesceFirst,
    hand_over: HandOver::None,
    pause: Pause::Lock,
    // Not even a lock file.
    read_only: ReadOnly::NothingWritten,
    always_owned: &[],
    // Opening derives a key, so jobs try the password and a refresh does not.
    secret_read_back: SecretReadBack::Test,
    on_demand_object: OnDemandObject::None,
    removes_one_backup: false,
    points_from: PointsFrom::Repository,
    ledger_place: LedgerPlace::Path,
};

/// Velero, in a Kubernetes cluster.
const VELERO: Engine = Engine {
    name: "velero",
    concepts: &[
        Concept::Target,
        Concept::Schedule,
        Concept::Retention,
        Concept::Backup,
        Concept::Restore,
        Concept::Points,
    ],
    // The age at which a backup is deleted is fixed when it is made.
    retention_scope: RetentionScope::Schedule,
    exclusive: Exclusive::Prefix,
    empty_probe: EmptyProbe::Reported("selected objects"),
    quiesce_order: QuiesceOrder::QuiesceFirst,
    hand_over: HandOver::None,
    pause: Pause::Field("spec.paused"),
    read_only: ReadOnly::Rendered("spec.accessMode: ReadOnly"),
    always_owned: &["spec.paused", "spec.accessMode"],
    secret_read_back: SecretReadBack::Compare,
    on_demand_object: OnDemandObject::Own("Backup"),
    removes_one_backup: true,
    points_from: PointsFrom::Bucket,
    ledger_place: LedgerPlace::Namespace,
};

/// k8up, in a namespace of a Kubernetes cluster.
const K8UP: Engine = Engine {
    name: "k8up",
    concepts: &[
        Concept::Target,
        Concept::Schedule,
        Concept::Retention,
        Concept::Backup,
        Concept::Restore,
        Concept::Points,
    ],
    // It forgets by host, which is the namespace: all schedules of one share it.
    retention_scope: RetentionScope::Group,
    // A repository may hold several namespaces, by their names alone: those of two clusters are one there.
    exclusive: Exclusive::Namespace,
    empty_probe: EmptyProbe::Reported("a claim without a volume"),
    quiesce_order: QuiesceOrder::QuiesceFirst,
    hand_over: HandOver::None,
    pause: Pause::Field("spec.backup"),
    read_only: ReadOnly::RestoresOnly,
    always_owned: &["spec.backup"],
    secret_read_back: SecretReadBack::Compare,
    on_demand_object: OnDemandObject::Own("Backup"),
    removes_one_backup: false,
    points_from: PointsFrom::Repository,
    ledger_place: LedgerPlace::Namespace,
};

/// VolSync's restic mover, in a Kubernetes cluster.
const VOLSYNC: Engine = Engine {
    name: "volsync",
    concepts: &[
        Concept::Target,
        Concept::Schedule,
        Concept::Retention,
        Concept::Backup,
        Concept::Restore,
        Concept::Points,
    ],
    // Each run removes what its own source does not keep. All write one host and one path, so a repository has one source.
    retention_scope: RetentionScope::Schedule,
    exclusive: Exclusive::Prefix,
    empty_probe: EmptyProbe::None,
    quiesce_order: QuiesceOrder::QuiesceFirst,
    hand_over: HandOver::Exports(&["data_source_ref"]),
    pause: Pause::Field("spec.paused"),
    // Its movers need keys that may write locks.
    read_only: ReadOnly::RestoresOnly,
    always_owned: &["spec.paused", "spec.trigger.manual"],
    secret_read_back: SecretReadBack::Compare,
    on_demand_object: OnDemandObject::Own("ReplicationSource"),
    removes_one_backup: false,
    points_from: PointsFrom::Repository,
    ledger_place: LedgerPlace::Namespace,
};

/// The engine of the tests.
#[cfg(feature = "toy")]
const TOY: Engine = Engine {
    name: "toy",
    concepts: &[Concept::Schedule, Concept::Backup, Concept::Restore, Concept::Retention, Concept::Points],
    retention_scope: RetentionScope::Target,
    exclusive: Exclusive::Nothing,
    empty_probe: EmptyProbe::Directory,
    quiesce_order: QuiesceOrder::QuiesceFirst,
    hand_over: HandOver::Exports(&["point"]),
    pause: Pause::Field("schedule"),
    read_only: ReadOnly::RestoresOnly,
    always_owned: &["schedule"],
    secret_read_back: SecretReadBack::None,
    on_demand_object: OnDemandObject::Own("run"),
    removes_one_backup: false,
    points_from: PointsFrom::Api,
    ledger_place: LedgerPlace::Path,
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_engine_has_one_row() {
        for engine in ENGINES {
            assert_eq!(ENGINES.iter().filter(|other| other.name == engine.name).count(), 1);
            assert_eq!(super::engine(engine.name), Some(engine));
        }
        assert_eq!(engine("unheard-of"), None);
    }

    #[test]
    fn the_cells_of_a_row_do_not_contradict_each_other() {
        for engine in ENGINES {
            let name = engine.name;
            assert_eq!(engine.has(Concept::Retention), engine.retention_scope != RetentionScope::None, "{name}");
            assert!(
                !engine.has(Concept::Schedule) || engine.pause != Pause::None,
                "{name}: a schedule has to be paused"
            );
            assert!(!engine.has(Concept::Restore) || engine.has(Concept::Points), "{name}: a restore needs points");
            let paths = engine.ledger_place == LedgerPlace::Path;
            assert!(!paths || engine.empty_probe == EmptyProbe::Directory, "{name}: a folder can be looked into");
        }
    }
}
