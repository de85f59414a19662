//! What an engine does for each concept: small traits, of which it implements those that it has.
//!
//! An engine's block in a configuration implements the `…Block` trait of its concept; opening a block gives what does the
//! work. Concepts see nothing else of an engine.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use dr_framework::{Attr, Diagnostic, Diagnostics, Path, Result};
use jiff::Timestamp;

use super::declared::Declared;
use super::kubernetes::quiesce::QuiesceModel;
use super::table::QuiesceOrder;
use crate::cron::Cron;
use crate::ledger::LedgerStore;
use crate::reference::{Place, Reference};
use crate::retention::Keep;
use crate::retention_policy::KeepModel;
use crate::run::{Backup, EngineError, History, Pause, Probe, Restore, Safety};
use crate::shared::Shared;

/// Which argument a failure is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// Where the data lies.
    Store,
    /// What opens it.
    Secret,
    /// Something else in the engine's block.
    Block,
    /// Nothing: the engine's server can't be reached.
    Unreachable,
}

/// Why an engine could not do something.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    /// What happened, in the user's words.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// Which argument it is about.
    pub blame: Blame,
}

impl Failure {
    /// One without more to say.
    pub fn new(message: String, blame: Blame) -> Self {
        Failure { message, hint: None, blame }
    }

    /// As a diagnostic about an argument.
    pub fn at(&self, action: &str, attribute: Path) -> Diagnostics {
        let hint = self.hint.as_ref().map(|hint| format!("\n\n{hint}.")).unwrap_or_default();
        Diagnostic::error(format!("Unable to {action}"), format!("{}.{hint}", self.message)).at(attribute).into()
    }
}

/// What is at a target's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Nothing, provably; or less than what can be finished.
    Absent,
    /// The target, and the evidence that shows when its secrets changed.
    Ready {
        /// Names, sorted.
        keys: Vec<String>,
    },
    /// Something that is no target of this engine.
    SomethingElse {
        /// What it is.
        what: String,
    },
}

/// What a target holds, as a plan that deletes it shows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// How many recovery points.
    pub points: u64,
    /// Bytes of its storage.
    pub bytes: u64,
    /// When the newest was taken.
    pub newest: Option<Timestamp>,
    /// Programs other than this one that wrote points.
    pub foreign: Vec<String>,
}

/// The retention of a target as its storage remembers it, for every process and workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// The target that set it.
    pub target: String,
    /// The policy; none removes nothing.
    pub keep: Option<Keep>,
}

/// A state that holds a target, as the target's storage remembers it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// What the state is known by.
    pub id: String,
    /// What the target is called there.
    pub target: String,
    /// The machine that applied it.
    pub host: String,
    /// The folder that it was applied from.
    pub folder: String,
    /// When it took the storage.
    pub since: Timestamp,
    /// Where that is noted, for people.
    pub file: String,
}

impl fmt::Display for Owner {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Owner { target, host, folder, since, file, .. } = self;
        write!(formatter, "the target {target:?} of {folder} on {host}, since {since:.0} (noted in {file})")
    }
}

/// How to go on where restores that have not ended need what is to be removed.
pub const UNTIL_RESTORED: &str = "Apply those restore jobs again. Where one is not wanted any more, remove its file; to keep the \
                                  repository, set `deletion_policy = \"keep\"`";

/// Storage registered with an engine, reachable.
#[async_trait]
pub trait Target: Send + Sync {
    /// Where it is, for messages.
    fn describe(&self) -> String;
    /// Where its ledger is, for messages.
    fn describe_ledger(&self) -> String;
    /// Whether nothing may be written there.
    fn is_read_only(&self) -> bool;
    /// Looks, cheaply and without the secret.
    async fn look(&self) -> std::result::Result<Seen, Failure>;
    /// Tries the secret; the target's uid.
    async fn check(&self) -> std::result::Result<String, Failure>;
    /// Makes it, or with `adopt` takes over what somebody else made meanwhile; its uid.
    async fn make(&self, adopt: bool) -> std::result::Result<String, Failure>;
    /// What it holds.
    async fn contents(&self) -> std::result::Result<Contents, Failure>;
    /// The retention that it remembers.
    async fn policy(&self) -> std::result::Result<Option<Policy>, Failure>;
    /// Remembers a retention.
    async fn set_policy(&self, policy: &Policy) -> std::result::Result<(), Failure>;
    /// Takes the retention of a target of that name out of the storage's memory.
    async fn forget_policy(&self, target: &str) -> std::result::Result<(), Failure>;
    /// The states that hold what has this uid.
    async fn owners(&self, uid: &str) -> std::result::Result<Vec<Owner>, Failure>;
    /// Remembers that the state which is known by `id` holds what has this uid, under the name of its target.
    async fn own(&self, id: &str, target: &str, uid: &str) -> std::result::Result<(), Failure>;
    /// Forgets that a state holds it.
    async fn disown(&self, id: &str) -> std::result::Result<(), Failure>;
    /// The restores that have not ended and need it, each with how it is known.
    async fn needed_by(&self) -> std::result::Result<Vec<String>, Failure>;
    /// Removes it with everything that it stores.
    async fn remove(&self) -> std::result::Result<(), Failure>;
}

/// An engine's block of `dr_backup_target`.
pub trait TargetBlock: Send + Sync {
    /// The engine's name, which is that of the block.
    fn engine(&self) -> &'static str;
    /// The name of the secret that opens it; null where none is referred to by name.
    fn secret(&self) -> Attr<String>;
    /// What stands behind it.
    fn kind(&self) -> TargetKind<'_>;
}

/// What stands behind an engine's block of `dr_backup_target`.
pub enum TargetKind<'a> {
    /// Storage that the provider itself keeps.
    Storage(&'a dyn StorageBlock),
    /// Objects that tell an engine on a server where its storage is.
    Registered(&'a dyn RegisteredBlock),
}

/// A block whose storage the provider itself keeps.
pub trait StorageBlock: TargetBlock {
    /// The target: `None` while something that it takes is not known.
    fn open(&self, shared: &Shared, place: &Place, read_only: bool) -> Result<Option<Box<dyn Target>>>;
}

/// What a registration takes from the common arguments of a target.
pub struct TargetArguments<'a> {
    /// The target's name.
    pub name: &'a str,
    /// Where the data lies.
    pub place: &'a Place,
    /// What the engine opens the store with: the name of a secret, or `connection`.
    pub credentials: &'a Attr<String>,
    /// Whether nothing may be written there.
    pub read_only: bool,
}

/// A target that an import found on a server.
pub struct ImportedTarget<B> {
    /// Where the data lies.
    pub place: Place,
    /// What the engine opens the store with.
    pub credentials: Attr<String>,
    /// Whether nothing may be written there.
    pub read_only: bool,
    /// The uid of the main object.
    pub uid: String,
    /// The engine's block.
    pub block: B,
}

impl<B> ImportedTarget<B> {
    /// The same with its block among those of all engines.
    pub fn with<E>(self, engine: impl FnOnce(B) -> E) -> ImportedTarget<E> {
        let ImportedTarget { place, credentials, read_only, uid, block } = self;
        ImportedTarget { place, credentials, read_only, uid, block: engine(block) }
    }
}

/// A schedule that an import found on a server.
pub struct ImportedSchedule<B> {
    /// Where its backups go.
    pub target: Reference,
    /// When it runs.
    pub cron: String,
    /// The zone that its times are of.
    pub time_zone: Option<String>,
    /// How long its backups are kept.
    pub keep: Option<KeepModel>,
    /// Whether it rests.
    pub paused: bool,
    /// The uid of its object.
    pub uid: String,
    /// The engine's block.
    pub block: B,
}

impl<B> ImportedSchedule<B> {
    /// The same with its block among those of all engines.
    pub fn with<E>(self, engine: impl FnOnce(B) -> E) -> ImportedSchedule<E> {
        let ImportedSchedule { target, cron, time_zone, keep, paused, uid, block } = self;
        ImportedSchedule { target, cron, time_zone, keep, paused, uid, block: engine(block) }
    }
}

/// A block whose storage is registered with an engine on a server.
#[async_trait]
pub trait RegisteredBlock: TargetBlock {
    /// The connection to the server.
    fn connection(&self) -> Attr<String>;
    /// Where on the server: a namespace.
    fn scope(&self) -> Attr<String>;
    /// What can't be, from the configuration alone.
    fn check(&self, store: &Attr<Place>, credentials: &Attr<String>) -> Diagnostics;
    /// The server, as far as a plan knows it.
    fn server(&self, shared: &Shared) -> Result<TargetServer>;
    /// The objects: `None` while something that they take is not known. `write_only` is the block with the values that are
    /// never stored, while applying.
    fn open(
        &self,
        shared: &Shared,
        target: &TargetArguments<'_>,
        write_only: Option<&dyn RegisteredBlock>,
    ) -> Result<Option<Box<dyn Declared>>>;
    /// Looks at the storage before it is registered on a server that does not know it yet: what that would set in motion is
    /// an error, what the user should know a warning.
    async fn before_new(&self, _: &Shared, _: &TargetArguments<'_>) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
    /// The value of a write-only argument.
    fn write_only(&self, name: &str) -> Attr<String>;
    /// The number whose change writes it again.
    fn write_only_version(&self) -> Attr<i64>;
}

/// What a schedule takes from the common arguments, once all of it is known.
pub struct ScheduleArguments<'a> {
    /// The schedule's name.
    pub name: &'a str,
    /// Where its backups go.
    pub target: &'a Reference,
    /// When it runs.
    pub cron: &'a Cron,
    /// The zone that its times are of.
    pub time_zone: Option<&'a str>,
    /// How long its backups are kept.
    pub keep: Option<&'a Keep>,
    /// Whether it rests.
    pub paused: bool,
}

/// An engine's block of `dr_backup_schedule`.
#[async_trait]
pub trait ScheduleBlock: Send + Sync {
    /// The engine's name, which is that of the block.
    fn engine(&self) -> &'static str;
    /// The connection to the server, and where on it: those of the target where the block says nothing.
    fn seat(&self, target: &Reference) -> (Attr<String>, Attr<String>);
    /// What the engine can't do, by attribute; what it does that its users may not expect is a warning.
    fn check(&self, schedule: &ScheduleArguments<'_>) -> Diagnostics;
    /// When it runs, in the engine's own spelling.
    fn native(&self, schedule: &ScheduleArguments<'_>) -> String;
    /// Rules for Prometheus that tell when backups stop.
    fn alert_rules(&self, schedule: &ScheduleArguments<'_>) -> String;
    /// What the retention covers, for the register of scopes.
    fn retention_scope(&self, shared: &Shared, schedule: &ScheduleArguments<'_>) -> Result<String>;
    /// The server, as far as a plan knows it.
    fn server(&self, shared: &Shared, target: &Reference) -> Result<TargetServer>;
    /// The objects: `None` while something that they take is not known.
    fn open(&self, shared: &Shared, schedule: &ScheduleArguments<'_>) -> Result<Option<Box<dyn Declared>>>;
    /// What is backed up, each part with its own history: a schedule must not store something new or empty over it.
    async fn histories(
        &self,
        shared: &Shared,
        schedule: &ScheduleArguments<'_>,
    ) -> std::result::Result<Vec<History>, Failure>;
}

/// A restore that can save its target first.
pub trait RestoreEngine: Restore + Safety {
    /// What tells, at a later look, that the target's place is there and only its content is gone.
    fn landmark(&self) -> Option<String>;

    /// In which order it is saved and taken down, where that is another one than the engine's.
    fn order(&self) -> Option<QuiesceOrder> {
        None
    }
}

/// The server of a restore's target, as far as a plan knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetServer {
    /// There is none: a path of the machine that runs the command.
    None,
    /// Its address is known.
    Known,
    /// Its address is not known yet, or it is given up as lost: it may be another one at apply.
    Open,
}

/// A restore, ready to run.
pub struct OpenRestore {
    /// The target, as the run key names it.
    pub target: String,
    /// The server that holds the target; `None` for a path.
    pub server_uid: Option<String>,
    /// Where its record is.
    pub ledger: Arc<dyn LedgerStore>,
    /// The ledger of the storage.
    pub storage: Arc<dyn LedgerStore>,
    /// What restores.
    pub engine: Box<dyn RestoreEngine>,
    /// Whether a safety backup can be stored.
    pub may_save: bool,
}

/// The target of a restore, seen without its storage.
pub struct Look {
    /// The target, as the run key names it.
    pub target: String,
    /// The server that holds it; `None` for a path.
    pub server_uid: Option<String>,
    /// What it looks like.
    pub probe: Probe,
    /// The ledger beside it, if there is one.
    pub ledger: Option<Arc<dyn LedgerStore>>,
}

/// An engine's block of `dr_restore_job`.
#[async_trait]
pub trait RestoreBlock: Send + Sync {
    /// The engine's name, which is that of the block.
    fn engine(&self) -> &'static str;
    /// Where the target is: the connection of its server, and the scope on it. `local` and the path without its first slash
    /// for a path.
    fn place(&self, source: &Reference) -> (Attr<String>, Attr<String>);
    /// What is restored to, as it is configured.
    fn target(&self) -> Attr<String>;
    /// The target as the run key names it in this mode; `None` while it is not known.
    fn destination(&self, shared: &Shared, source: &Reference) -> Result<Option<String>>;
    /// Looks at the target. `landmark` is what an earlier restore noted.
    async fn look(&self, shared: &Shared, source: &Reference, landmark: Option<&str>) -> Result<Option<Look>>;
    /// The server of the target. Asks nobody.
    fn server(&self, shared: &Shared, source: &Reference) -> Result<TargetServer>;
    /// What is wrong with it, from the configuration alone.
    fn check(&self) -> Diagnostics {
        Diagnostics::default()
    }
    /// What is wrong with it for a run that performs the restore, or for one that hands the point over.
    fn check_perform(&self, _perform: bool) -> Diagnostics {
        Diagnostics::default()
    }
    /// Removes what the run of this key handed over for the job `name`. What was made from it stays, and so does what
    /// another job handed over by that name since.
    async fn withdraw(&self, _shared: &Shared, _source: &Reference, _name: &str, _key: &str) -> Result<()> {
        Ok(())
    }
    /// Removes what runs of the job `name` left on the server that did not come to their end: the engine's objects, and the
    /// copies of secrets that went with them. What was restored stays, and so do the records.
    async fn abandon(
        &self,
        _shared: &Shared,
        _source: &Reference,
        _name: &str,
    ) -> std::result::Result<(), EngineError> {
        Ok(())
    }
    /// Removes what the runs of a drill's job `name` wrote into the storage that it leaves as it was: the engine's own records
    /// of them, on the server that they ran on.
    async fn tidy_after_drill(
        &self,
        _shared: &Shared,
        _source: &Reference,
        _name: &str,
        _server_uid: Option<&str>,
    ) -> Result<()> {
        Ok(())
    }
    /// Whether an application can be taken down around it.
    fn can_quiesce(&self) -> bool;
    /// What a run does to the application, step by step, for a plan.
    fn steps(&self, source: &Reference, quiesce: &QuiesceModel) -> Vec<String>;
    /// What rests during a run: the application, and the series' own schedules. `None` where nothing has to.
    async fn pause(
        &self,
        shared: &Shared,
        source: &Reference,
        quiesce: &QuiesceModel,
    ) -> Result<Option<Box<dyn Pause>>>;
    /// Whether everything that it takes is known; an error when a name leads nowhere.
    fn is_known(&self, shared: &Shared, source: &Reference) -> Result<bool>;
    /// What stands against it on this machine. Asks nobody.
    fn conflicts(&self, _shared: &Shared, _source: &Reference) -> Result<()> {
        Ok(())
    }
    /// A digest of what it restores of its source to its target, where one target may be filled with different things.
    fn restores(&self) -> String {
        String::new()
    }
    /// Whether what its run is known by is clear before the target is looked at.
    fn has_certain_key(&self, _shared: &Shared) -> bool {
        true
    }
    /// What a run overwrites of a target that is there, for a plan; more than the target where it also removes.
    fn overwritten(&self, target: &str) -> String {
        target.to_owned()
    }
    /// Makes what a run may make before it begins: a drill's own folders.
    fn prepare(&self, shared: &Shared) -> Result<()>;
    /// The restore: `None` while something that it takes is not known. Changes nothing.
    async fn open(&self, shared: &Shared, source: &Reference, landmark: Option<String>) -> Result<Option<OpenRestore>>;
}

/// A recovery point, as a listing for people shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedPoint {
    /// The engine's id.
    pub id: String,
    /// When it was taken, in RFC 3339 with the offset of the clock that said so.
    pub time: Option<String>,
    /// Bytes, where written down.
    pub bytes: Option<u64>,
    /// Files or items, where written down.
    pub items: Option<u64>,
    /// `complete`, `incomplete`, `safety` or `unreadable`.
    pub phase: &'static str,
    /// Whether it was read back whole since it was stored, where known.
    pub verified: Option<bool>,
    /// Whether it is encrypted.
    pub encrypted: Option<bool>,
    /// The host that was backed up.
    pub host: Option<String>,
    /// The paths that were backed up.
    pub paths: Vec<String>,
    /// Its tags.
    pub tags: Vec<String>,
    /// The namespaces that it holds, as they were asked for.
    pub namespaces: Vec<String>,
    /// Its volumes.
    pub volumes: Vec<ListedVolume>,
    /// When the engine will remove it, in RFC 3339.
    pub expires: Option<String>,
}

/// A volume in a recovery point.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedVolume {
    /// Its claim.
    pub claim: String,
    /// The namespace of the claim.
    pub namespace: String,
    /// How its content was saved; `none`, if it was not.
    pub method: &'static str,
    /// Bytes, where written down.
    pub bytes: Option<u64>,
}

/// The points of a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Points {
    /// They were listed, newest first.
    Listed(Vec<ListedPoint>),
    /// The storage is there, and the secret opens nothing of it.
    Unreadable,
}

/// Where an engine's recovery points are read, for `dr_recovery_points`.
#[async_trait]
pub trait PointSource: Send + Sync {
    /// The engine's name.
    fn engine(&self) -> &'static str;
    /// What can't be listed; without a network.
    fn check(&self, source: &Reference, path: &Path) -> Diagnostics;
    /// The points of a source that stands at `path`: `None` while something that it takes is not known. What takes more than
    /// the list itself is told of the newest `limit`.
    async fn list(&self, shared: &Shared, source: &Reference, path: &Path, limit: usize) -> Result<Option<Points>>;
}

/// A backup, ready to run.
pub struct OpenBackup {
    /// The target, as the run key names it.
    pub target: String,
    /// The ledger of the storage.
    pub ledger: Arc<dyn LedgerStore>,
    /// Ledgers beside what is backed up.
    pub others: Vec<Arc<dyn LedgerStore>>,
    /// What backs up.
    pub engine: Box<dyn Backup>,
}

/// An engine's block of `dr_backup_job`.
pub trait BackupBlock: Send + Sync {
    /// The engine's name, which is that of the block.
    fn engine(&self) -> &'static str;
    /// What can't be backed up to this target.
    fn conflicts(&self, target: &Reference) -> Diagnostics;
    /// Whether everything that it takes is known; an error when a name leads nowhere.
    fn is_known(&self, shared: &Shared, target: &Reference) -> Result<bool>;
    /// The backup: `None` while something that it takes is not known.
    fn open(&self, shared: &Shared, target: &Reference) -> Result<Option<OpenBackup>>;
}
