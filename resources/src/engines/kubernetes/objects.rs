//! Objects in a cluster that one resource makes: applied server-side under one field manager, compared field by field,
//! taken over only when they are ours.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dr_framework::{Attr, Diagnostics, Path};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::hold;
use super::quiesce::object_of;
use super::render::{self, Difference};
use super::repository_secret::keys_in;
use crate::clock;
use crate::connections::kubernetes::{Cluster, ClusterError, DynamicObject, FIELD_MANAGER, Kind, field_owners};
use crate::engines::concepts::{Blame, Failure, TargetServer};
use crate::engines::declared::{Adopt, Declared, Found, NotPut};
use crate::ledger::{ConfigMapLedger, LedgerStore, Record};
use crate::run::EngineError;
use crate::shared::Shared;
use crate::waiting::{Missing, NotThere, Patience, WaitingSlots};

/// How much of a value a message shows.
const SHOWN: usize = 80;

/// How long a Secret that somebody else makes is usually waited for.
const LENT: Duration = Duration::from_secs(120);

/// How long what was deleted may wait for its finalizers, and how often it is looked for.
const GONE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_secs(1);

/// One object as the configuration wants it.
#[derive(Clone, PartialEq)]
pub struct Wanted {
    /// Its kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// What is set of it: `spec`, `data`, labels; null is what nobody may set. `None`: it has to be there, and what is in it
    /// is not ours to write now.
    pub body: Option<Value>,
    /// Whether it belongs to all that the engine stored, not to this resource: then it is made when it is not there, and
    /// neither changed nor removed.
    pub lasting: bool,
}

/// A Secret that somebody else makes, perhaps in this apply, and that the objects name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lent {
    /// Its name.
    pub name: String,
    /// The key that it has to have.
    pub key: String,
    /// What names it, and what becomes of that without it.
    pub needed_by: &'static str,
}

impl Lent {
    /// What is wrong with what is there under that name.
    fn lacks(&self, found: Option<&DynamicObject>) -> Option<String> {
        let Lent { name, key, needed_by } = self;
        match found {
            None => Some(format!("Secret {name} is not there: {needed_by}")),
            Some(found) if !found.data["data"][key.as_str()].is_string() => {
                Some(format!("Secret {name} has no {key}, and {}: {needed_by}", keys_in(&found.data["data"])))
            }
            Some(_) => None,
        }
    }
}

/// What an engine does with the objects once they are there.
#[async_trait]
pub trait Settle: Send + Sync {
    /// Waits until the engine took the main object as it is now. What the user should know.
    async fn settle(&self, cluster: &Cluster, namespace: &str, patience: Patience) -> Result<Vec<String>, Failure>;

    /// Where the main object leads, for [`Settle::before_write`] of a later configuration.
    fn place(&self) -> Option<String> {
        None
    }

    /// By what an object that is ours, and that no state of this configuration holds, is about something else: another
    /// configuration's, to all appearances.
    fn about_another(&self, _: &Wanted, _live: &DynamicObject) -> Option<String> {
        None
    }

    /// Refuses what must not be written, before it is; `live` is what is there, `before` where an earlier configuration had it
    /// lead.
    async fn before_write(
        &self,
        _: &Wanted,
        _live: Option<&DynamicObject>,
        _before: Option<&str>,
    ) -> Result<(), Failure> {
        Ok(())
    }

    /// Does what the engine has to know before an object that is there is changed.
    async fn before_change(
        &self,
        _: &Cluster,
        _namespace: &str,
        _: &Wanted,
        _live: &DynamicObject,
    ) -> Result<(), Failure> {
        Ok(())
    }

    /// Whether a lasting object that is there, with another value, may still be replaced: nothing depends on it.
    async fn may_replace(&self, _: &Cluster, _: &str, _: &DynamicObject) -> Result<bool, Failure> {
        Ok(false)
    }

    /// Why the engine does not use the main object as it is, by its own status.
    fn unavailable(&self, main: &DynamicObject) -> Option<String>;
}

/// What brings an engine's kinds to a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Installer {
    /// What usually installs it: `helm_release.velero`.
    pub depends_on: &'static str,
    /// Where its CRDs come from, for people.
    pub crds: &'static str,
}

impl Installer {
    /// Waits until a cluster serves these kinds, for a run that is about to need them.
    pub async fn wait_for(&self, cluster: &Cluster, kinds: &[&Kind], patience: Patience) -> Result<(), EngineError> {
        let slots = cluster.waiting().with(patience);
        for kind in kinds {
            cluster.wait_for_kind(kind, self.depends_on, &slots).await.map_err(|error| {
                EngineError::nothing_written(match error {
                    NotThere::Failed(error) => error.to_string(),
                    missing => format!("{missing}. {}", self.crds),
                })
            })?;
        }
        Ok(())
    }
}

/// The objects of one resource; the last one is the main one, whose uid is the resource's.
pub struct Objects {
    /// Where they are.
    pub cluster: Cluster,
    /// Their namespace.
    pub namespace: String,
    /// What is wanted, in the order in which it is made.
    pub wanted: Vec<Wanted>,
    /// Whether fields that others own are taken.
    pub force: bool,
    /// Whether the objects are somebody else's: waited for, never written, never removed.
    pub external: bool,
    /// What installs the engine.
    pub installer: Installer,
    /// The waiting slots of the process.
    pub waiting: WaitingSlots,
    /// What comes after.
    pub settle: Box<dyn Settle>,
    /// The Secrets that they name and that others make.
    pub lent: Vec<Lent>,
    /// What is set of the last object where the installed version of its kind lacks a field of what is wanted.
    pub older: Option<Value>,
    /// What an earlier configuration set.
    before: Vec<Before>,
}

/// The server behind a connection, as far as a plan knows it. Asks nobody; `path` is the attribute that names it.
pub fn server_of(shared: &Shared, connection: &Attr<String>, path: &Path) -> Result<TargetServer, Diagnostics> {
    let Some(name) = connection.text() else { return Ok(TargetServer::Open) };
    Ok(match shared.cluster(name, path)? {
        Some(cluster) if !cluster.is_given_up() => TargetServer::Known,
        _ => TargetServer::Open,
    })
}

/// What is known of an object that is to be made.
enum Known<'a> {
    /// The uid in state, if there is one.
    Uid(Option<&'a str>),
    /// Made together with one that is in state.
    Ours,
}

/// What is to be done with an object.
enum Step<'a> {
    /// It is as it should be, or somebody else's.
    Keep(Arc<DynamicObject>),
    /// It is to be written, with this body, over what is there.
    Write(&'a Wanted, &'a Value, Option<Arc<DynamicObject>>),
}

/// An object as an earlier configuration set it.
struct Before {
    kind: Kind,
    namespace: String,
    name: String,
    body: Value,
    place: Option<String>,
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        let blame = match error {
            ClusterError::Unreachable { .. } => Blame::Unreachable,
            _ => Blame::Block,
        };
        let hint = matches!(error, ClusterError::Lacks { .. })
            .then(|| "Install a version that has it, CRDs included, or leave out the argument that sets it".to_owned());
        Failure { message: error.to_string(), hint, blame }
    }
}

impl Objects {
    /// Objects of a resource.
    pub fn new(
        cluster: Cluster,
        namespace: String,
        wanted: Vec<Wanted>,
        installer: Installer,
        waiting: WaitingSlots,
        settle: Box<dyn Settle>,
    ) -> Self {
        let (force, external, lent, older, before) = (false, false, Vec::new(), None, Vec::new());
        Objects { cluster, namespace, wanted, force, external, installer, waiting, settle, lent, older, before }
    }

    /// What is wanted, in the words of the installed version as far as those were learned.
    fn in_its_words(&self) -> Vec<Wanted> {
        let mut all = self.wanted.clone();
        if let (Some(older), Some(main)) = (&self.older, all.last_mut())
            && main.body.as_ref().is_some_and(|body| !self.cluster.lacks(&main.kind, body).is_empty())
        {
            main.body = Some(older.clone());
        }
        all
    }

    /// Sees that the server would take all of it, in the words that it understands.
    async fn fitting(&self) -> Result<Vec<Wanted>, Failure> {
        let wanted = self.in_its_words();
        let Err(refused) = self.rehearse(&wanted).await else { return Ok(wanted) };
        let Some(main) = self.main().filter(|_| self.older.is_some()) else { return Err(refused) };
        self.cluster.learn_fields_anew(&main.kind).await;
        let other = self.in_its_words();
        if other == wanted {
            return Err(refused);
        }
        self.rehearse(&other).await.map(|()| other)
    }

    fn called(&self, wanted: &Wanted) -> String {
        format!("{} on cluster `{}`", wanted.kind.called(&self.namespace, &wanted.name), self.cluster.name())
    }

    async fn look(&self, wanted: &Wanted) -> Result<Option<Arc<DynamicObject>>, Failure> {
        match self.cluster.find(&wanted.kind, &self.namespace, &wanted.name).await {
            // The server answered: of a kind that it does not know there is nothing.
            Err(ClusterError::MissingKind { .. }) => Ok(None),
            found => Ok(found?),
        }
    }

    /// Waits until an object that is being deleted is gone: whoever writes it meanwhile loses what they wrote.
    async fn until_gone(&self, kind: &Kind, namespace: &str, name: &str, uid: Option<&str>) -> Result<(), Failure> {
        let deadline = Instant::now() + clock::scaled(GONE);
        loop {
            let Some(left) = self.cluster.get(kind, namespace, name).await? else { return Ok(()) };
            if left.metadata.uid.as_deref() != uid {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(self.kept(kind, namespace, name, left.metadata.finalizers.as_deref().unwrap_or_default()));
            }
            tokio::time::sleep(clock::scaled(LOOK)).await;
        }
    }

    fn kept(&self, kind: &Kind, namespace: &str, name: &str, finalizers: &[String]) -> Failure {
        let what = kind.called(namespace, name);
        let finalizers = finalizers.join(", ");
        Failure {
            message: format!(
                "{what} on cluster `{}` is being deleted, and is still there after {} s: it waits for {finalizers}",
                self.cluster.name(),
                GONE.as_secs()
            ),
            hint: Some(
                "The program that set this finalizer has to run. If it never will again, take the finalizer out by hand"
                    .to_owned(),
            ),
            blame: Blame::Block,
        }
    }

    /// What is to be done with one object; nothing is written yet.
    async fn decide<'a>(&self, wanted: &'a Wanted, known: Known<'_>, adopt: Adopt) -> Result<Step<'a>, NotPut> {
        if self.external {
            return Ok(Step::Keep(self.wait_for(wanted).await?.into()));
        }
        let mut found = self.look(wanted).await?;
        if let Some(gone) = found.take_if(|live| goes(live)) {
            let uid = gone.metadata.uid.as_deref();
            self.until_gone(&wanted.kind, &self.namespace, &wanted.name, uid).await?;
        }
        if let Some(live) = &found {
            let seen = judge(wanted, live);
            let uid = match &known {
                Known::Uid(uid) => *uid,
                Known::Ours => is_ours(live).then_some(seen.uid.as_str()),
            };
            let as_wanted = seen.drift.is_empty() && !seen.stale && !self.drops(wanted);
            if wanted.lasting && !as_wanted && !self.settle.may_replace(&self.cluster, &self.namespace, live).await? {
                return Err(self.lasts(wanted).into());
            }
            // A Secret that somebody else made just so can be used as it is.
            let usable = as_wanted && adopt == Adopt::IfCompatible && wanted.kind == Kind::SECRET;
            if !usable && !wanted.lasting && !adopt.allows(uid, &seen) {
                return Err(NotPut::Exists { what: self.called(wanted), maker: seen.foreign });
            }
            if as_wanted && (usable || wanted.lasting || seen.foreign.is_none()) {
                return Ok(Step::Keep(live.clone()));
            }
        }
        let Some(body) = &wanted.body else {
            return match found {
                Some(live) => Ok(Step::Keep(live)),
                None => Err(self.absent(wanted).into()),
            };
        };
        let before = self.before.last().and_then(|before| before.place.as_deref());
        if found.as_deref().is_some_and(|live| !hold::marks(live).is_empty()) {
            return Err(self.held(wanted).await.into());
        }
        if let (Known::Uid(None), Adopt::IfCompatible, Some(live)) = (&known, adopt, found.as_deref())
            && let Some(how) = self.settle.about_another(wanted, live)
        {
            return Err(NotPut::AboutAnother { what: self.called(wanted), how });
        }
        self.settle.before_write(wanted, found.as_deref(), before).await?;
        Ok(Step::Write(wanted, body, found))
    }

    /// What somebody else makes, perhaps in this apply.
    async fn wait_for(&self, wanted: &Wanted) -> Result<DynamicObject, Failure> {
        let (kind, name) = (&wanted.kind, &wanted.name);
        let depends_on = format!("kubernetes_{}.{name}", kind.kind.to_lowercase());
        let found = self.cluster.wait_for_object(kind, &self.namespace, name, &depends_on, &self.waiting).await;
        found.map_err(|error| Failure::new(error.to_string(), Blame::Block))
    }

    async fn take(&self, step: Step<'_>) -> Result<Arc<DynamicObject>, Failure> {
        match step {
            Step::Keep(live) => Ok(live),
            Step::Write(wanted, body, live) => {
                if let Some(live) = live.as_deref() {
                    self.settle.before_change(&self.cluster, &self.namespace, wanted, live).await?;
                }
                Ok(Arc::new(self.write(wanted, body).await?))
            }
        }
    }

    /// Has the server look at all of it before any of it is written: half of it would stay behind when the installed version
    /// lacks a field, or when there are no rights. What this apply may be installing is waited for here.
    async fn rehearse(&self, wanted: &[Wanted]) -> Result<(), Failure> {
        let bodies = wanted.iter().filter_map(|wanted| Some((wanted, wanted.body.as_ref()?)));
        if self.external || bodies.clone().count() < 2 {
            return Ok(());
        }
        for (wanted, body) in bodies.filter(|(wanted, _)| wanted.kind != Kind::SECRET) {
            let body = without_nulls(body);
            let rehearse = || self.cluster.rehearse(&wanted.kind, &self.namespace, &wanted.name, body.clone());
            let mut taken = rehearse().await;
            if let Err(ClusterError::MissingKind { .. }) = taken {
                self.wait_for_kind(&wanted.kind).await?;
                taken = rehearse().await;
            }
            if let Err(ClusterError::NoNamespace { .. }) = taken {
                self.wait_for_namespace().await?;
                taken = rehearse().await;
            }
            taken?;
        }
        Ok(())
    }

    /// Waits for the Secrets that others make.
    async fn await_lent(&self) -> Result<(), Failure> {
        for lent in &self.lent {
            let what = Kind::SECRET.called(&self.namespace, &lent.name);
            let missing = Missing {
                what: format!("{what} with the key {} on cluster `{}`", lent.key, self.cluster.name()),
                depends_on: format!("kubernetes_secret.{}", lent.name),
            };
            let look = || async { Ok(self.lent(lent).await?.is_none().then_some(())) };
            let there = self.waiting.wait_for(&missing, LENT, look).await;
            let there = there.map_err(|error: NotThere<ClusterError>| match error {
                NotThere::Failed(error) => error.into(),
                missing => {
                    Failure { hint: Some(lent.needed_by.to_owned()), ..Failure::new(missing.to_string(), Blame::Block) }
                }
            });
            if let Err(failure) = there {
                let found = self.cluster.get(&Kind::SECRET, &self.namespace, &lent.name).await.ok().flatten();
                let keys = found.map(|found| format!(". The Secret is there, and {}", keys_in(&found.data["data"])));
                return Err(Failure { message: failure.message + &keys.unwrap_or_default(), ..failure });
            }
        }
        Ok(())
    }

    /// What is wrong with a Secret that somebody else makes. Whoever may not read it can't tell.
    async fn lent(&self, lent: &Lent) -> Result<Option<String>, ClusterError> {
        match self.cluster.find(&Kind::SECRET, &self.namespace, &lent.name).await {
            Err(ClusterError::Forbidden(_)) => Ok(None),
            found => Ok(lent.lacks(found?.as_deref())),
        }
    }

    async fn wait_for_kind(&self, kind: &Kind) -> Result<(), Failure> {
        let Installer { depends_on, crds } = self.installer;
        let there = self.cluster.wait_for_kind(kind, depends_on, &self.waiting).await;
        there.map_err(|error| {
            let hint = Some(crds.to_owned());
            Failure { message: error.to_string(), hint, blame: Blame::Block }
        })
    }

    async fn wait_for_namespace(&self) -> Result<(), Failure> {
        let namespace = &self.namespace;
        let depends_on = format!("kubernetes_namespace.{namespace}");
        let there = self.cluster.wait_for_object(&Kind::NAMESPACE, "", namespace, &depends_on, &self.waiting).await;
        there.map(drop).map_err(|error| Failure::new(error.to_string(), Blame::Block))
    }

    /// Applies what is to be set, and takes out what nobody may set: a server-side apply leaves that to its owner.
    async fn write(&self, wanted: &Wanted, body: &Value) -> Result<DynamicObject, Failure> {
        let (set, unset) = (without_nulls(body), nulls_of(body));
        let written = self.apply(wanted, &set).await?;
        let value = serde_json::to_value(&written).unwrap_or_default();
        match unset {
            Some(unset) if !render::differences(&unset, Some(&value)).is_empty() => {
                Ok(self.cluster.merge(&wanted.kind, &self.namespace, &wanted.name, unset, None).await?)
            }
            _ => Ok(written),
        }
    }

    async fn apply(&self, wanted: &Wanted, body: &Value) -> Result<DynamicObject, Failure> {
        let (kind, name) = (&wanted.kind, &wanted.name);
        let apply = |force| self.cluster.apply(kind, &self.namespace, name, body.clone(), force);
        match apply(self.force || wanted.lasting).await {
            Err(ClusterError::MissingKind { .. }) => {
                self.wait_for_kind(kind).await?;
                Box::pin(self.write_once_there(wanted, body)).await
            }
            Err(ClusterError::NoNamespace { .. }) => Box::pin(self.write_once_there(wanted, body)).await,
            Err(conflict @ ClusterError::Conflict { .. }) => {
                // A restore may have paused it since it was looked at.
                let Some(live) = self.cluster.get(kind, &self.namespace, name).await? else {
                    return Err(conflict.into());
                };
                if self.may_force(wanted, body, &live, &conflict).await? {
                    Ok(apply(true).await?)
                } else {
                    Err(conflict.into())
                }
            }
            written => Ok(written?),
        }
    }

    /// Whether a conflict is with ourselves, or with what we had set and somebody changed by hand: that is put back, and what
    /// another configuration owns is not. An error where a restore holds it.
    async fn may_force(
        &self,
        wanted: &Wanted,
        body: &Value,
        live: &DynamicObject,
        conflict: &ClusterError,
    ) -> Result<bool, Failure> {
        let ClusterError::Conflict { fields_and_managers, .. } = conflict else { return Ok(false) };
        if is_own(fields_and_managers) {
            return if is_held(body, live) { Err(self.held(wanted).await) } else { Ok(true) };
        }
        Ok(self.was_ours(wanted, live, fields_and_managers))
    }

    /// Writes what this apply may still be making the place for.
    async fn write_once_there(&self, wanted: &Wanted, body: &Value) -> Result<DynamicObject, Failure> {
        self.wait_for_namespace().await?;
        Ok(self.cluster.apply(&wanted.kind, &self.namespace, &wanted.name, body.clone(), self.force).await?)
    }

    fn was_ours(&self, wanted: &Wanted, live: &DynamicObject, fields: &[(String, String)]) -> bool {
        let is_same = |before: &&Before| before.kind == wanted.kind && before.name == wanted.name;
        let Some(before) = self.before.iter().find(is_same) else { return false };
        let by_hand = |manager: &str| {
            let entries = live.metadata.managed_fields.as_deref().unwrap_or_default();
            let mut of_manager = entries.iter().filter(|entry| entry.manager.as_deref() == Some(manager));
            // A restore of ours pauses a schedule by an update.
            manager == FIELD_MANAGER || of_manager.all(|entry| entry.operation.as_deref() == Some("Update"))
        };
        let wanted = wanted.body.as_ref();
        let put_back = |field: &str| {
            let before = at(&before.body, field);
            // The values of Secrets are not remembered.
            before.is_some_and(|before| before.is_null() || Some(before) == wanted.and_then(|wanted| at(wanted, field)))
        };
        fields.iter().all(|(field, manager)| by_hand(manager) && put_back(field))
    }

    fn lasts(&self, wanted: &Wanted) -> Failure {
        Failure {
            message: format!("{} holds another value, with which volumes are encrypted already", self.called(wanted)),
            hint: Some("It can't be changed: give the value that it holds, or leave the argument out".to_owned()),
            blame: Blame::Block,
        }
    }

    /// Whether an earlier configuration set something that this one leaves out: it goes with the next write.
    fn drops(&self, wanted: &Wanted) -> bool {
        let is_same = |before: &&Before| before.kind == wanted.kind && before.name == wanted.name;
        let before = self.before.iter().find(is_same);
        before.zip(wanted.body.as_ref()).is_some_and(|(before, body)| lacks(body, &before.body))
    }

    async fn held(&self, wanted: &Wanted) -> Failure {
        let jobs = self.holders(wanted).await;
        let jobs = if jobs.is_empty() { String::new() } else { format!(": {}", jobs.join(", ")) };
        Failure {
            message: format!("{} is paused by a restore that has not come to its end{jobs}", self.called(wanted)),
            hint: Some(
                "Name that restore in `after`, so that it ends first. If it will never run again, take the annotations that \
                 begin with dr/held-by- off it, and set `force_conflicts` once"
                    .to_owned(),
            ),
            blame: Blame::Block,
        }
    }

    /// The restore jobs that hold an object by their records, for people. Whoever may not read the records can't tell.
    async fn holders(&self, wanted: &Wanted) -> Vec<String> {
        let holds = |record: &Record| {
            let object = |step| object_of(step, &wanted.kind, &self.namespace);
            record.undo.iter().any(|step| !step.undone && object(step) == Some(wanted.name.as_str()))
        };
        let ledger = ConfigMapLedger::new(self.cluster.clone(), &self.namespace);
        let records = ledger.list().await.unwrap_or_default();
        let called =
            |record: &Record| format!("the restore job {:?} (run {}, to {})", record.name, record.key, record.target);
        records.iter().filter(|record| holds(record)).map(called).collect()
    }

    fn absent(&self, wanted: &Wanted) -> Failure {
        Failure {
            message: format!("{} is gone", self.called(wanted)),
            hint: Some("Raise the version of the write-only argument, so that it is written again".to_owned()),
            blame: Blame::Secret,
        }
    }

    /// Removes one object, which is ours when we applied it, or when it is `known`: one that was imported and never applied
    /// since.
    async fn remove_one(&self, kind: &Kind, namespace: &str, name: &str, known: &str) -> Result<(), Failure> {
        let found = match self.cluster.get(kind, namespace, name).await {
            Err(ClusterError::MissingKind { .. }) => return Ok(()),
            found => found?,
        };
        // What somebody else made meanwhile is theirs.
        let belongs = |found: &DynamicObject| is_ours(found) || found.metadata.uid.as_deref() == Some(known);
        let Some(found) = found.filter(belongs) else { return Ok(()) };
        let uid = found.metadata.uid.as_deref();
        match self.cluster.delete(kind, namespace, name, uid).await {
            Ok(_) if found.metadata.finalizers.as_ref().is_none_or(Vec::is_empty) => Ok(()),
            Ok(_) => self.until_gone(kind, namespace, name, uid).await,
            Err(ClusterError::Changed { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn main(&self) -> Option<&Wanted> {
        self.wanted.last()
    }
}

/// Whether it is being deleted.
fn goes(object: &DynamicObject) -> bool {
    object.metadata.deletion_timestamp.is_some()
}

/// Whether something that was set is not in the body.
fn lacks(body: &Value, before: &Value) -> bool {
    let Value::Object(members) = before else { return false };
    members.iter().any(|(name, before)| body.get(name).is_none_or(|body| lacks(body, before)))
}

/// Whether only a run of ours, which changes objects in another way, set these fields last.
fn is_own(fields: &[(String, String)]) -> bool {
    fields.iter().all(|(_, manager)| manager == FIELD_MANAGER)
}

/// Whether it rests because of a run, which changes that back itself.
fn is_held(body: &Value, live: &DynamicObject) -> bool {
    (body["spec"]["paused"] == false && live.data["spec"]["paused"] == true) || !hold::marks(live).is_empty()
}

/// What a body sets at the field that the server names: `.spec.schedule`, `.spec.list[name="x"].value`.
fn at<'a>(body: &'a Value, field: &str) -> Option<&'a Value> {
    let plain = field.split('[').next().unwrap_or_default();
    let mut names = plain.split('.').filter(|name| !name.is_empty());
    names.try_fold(body, |value, name| value.get(name))
}

/// What a body sets.
fn without_nulls(body: &Value) -> Value {
    match body {
        Value::Object(members) => {
            let set = members.iter().filter(|(_, value)| !value.is_null());
            set.map(|(name, value)| (name.clone(), without_nulls(value))).collect::<Map<_, _>>().into()
        }
        other => other.clone(),
    }
}

/// What a body takes out, if anything.
fn nulls_of(body: &Value) -> Option<Value> {
    match body {
        Value::Null => Some(Value::Null),
        Value::Object(members) => {
            let unset = members.iter().filter_map(|(name, value)| Some((name.clone(), nulls_of(value)?)));
            let unset: Map<_, _> = unset.collect();
            (!unset.is_empty()).then(|| unset.into())
        }
        _ => None,
    }
}

/// Whether we applied it, some time.
pub fn is_ours(object: &DynamicObject) -> bool {
    let entries = object.metadata.managed_fields.as_deref().unwrap_or_default();
    // An update is what a restore does to the schedules of others.
    let applied = |operation: Option<&str>| operation == Some("Apply");
    entries.iter().any(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER) && applied(entry.operation.as_deref()))
}

/// What is there, against what is wanted.
fn judge(wanted: &Wanted, live: &DynamicObject) -> Found {
    let value = serde_json::to_value(live).unwrap_or_default();
    let differences = wanted.body.as_ref().map(|body| render::differences(body, Some(&value))).unwrap_or_default();
    // The values of a Secret are for nobody's eyes.
    let (secret, open): (Vec<_>, Vec<_>) =
        differences.into_iter().partition(|difference| wanted.kind == Kind::SECRET && difference.path[0] == "data");
    let entries = live.metadata.managed_fields.as_deref().unwrap_or_default();
    let maker = || entries.iter().find_map(|entry| entry.manager.clone()).unwrap_or_else(|| "somebody else".to_owned());
    Found {
        uid: live.metadata.uid.clone().unwrap_or_default(),
        foreign: (!is_ours(live)).then(maker),
        drift: open.iter().map(|difference| in_words(difference, live)).collect(),
        stale: !secret.is_empty(),
        unavailable: None,
        made: false,
    }
}

/// By which of these fields an object is about something else than what is wanted, for people.
pub fn differs_in(wanted: &Wanted, live: &DynamicObject, fields: &[&str]) -> Option<String> {
    let mut drift = judge(wanted, live).drift;
    drift.retain(|difference| fields.iter().any(|field| difference.starts_with(&format!("{field} is "))));
    (!drift.is_empty()).then(|| drift.join(", "))
}

fn in_words(difference: &Difference<'_>, live: &DynamicObject) -> String {
    let path: Vec<&str> = difference.path.iter().map(String::as_str).collect();
    let owners: Vec<String> =
        field_owners(live, &path).into_iter().filter(|manager| manager != FIELD_MANAGER).collect();
    let by = if owners.is_empty() { String::new() } else { format!(" (by {})", owners.join(", ")) };
    let shown = |value: &Value| {
        let text = value.to_string();
        if text.chars().count() > SHOWN { format!("{}…", text.chars().take(SHOWN).collect::<String>()) } else { text }
    };
    let field = path.join(".");
    match difference.live {
        Some(live) if difference.wanted.is_null() => format!("{field} is {}, and may not be set{by}", shown(live)),
        None | Some(Value::Null) => format!("{field} is not {}, but not set{by}", shown(difference.wanted)),
        Some(live) => format!("{field} is {}, not {}{by}", shown(live), shown(difference.wanted)),
    }
}

#[async_trait]
impl Declared for Objects {
    fn what(&self) -> String {
        self.main().map(|main| self.called(main)).unwrap_or_default()
    }

    fn wanted(&self) -> Value {
        let object = |wanted: &Wanted| {
            let mut body = wanted.body.clone().unwrap_or_default();
            if wanted.kind == Kind::SECRET
                && let Some(data) = body.get_mut("data").and_then(Value::as_object_mut)
            {
                *data = data.keys().map(|key| (key.clone(), Value::Null)).collect::<Map<_, _>>();
            }
            let Kind { group, version, kind, plural, namespaced } = &wanted.kind;
            json!({
                "kind": [group, version, kind, plural], "namespaced": namespaced, "namespace": self.namespace,
                "name": wanted.name, "body": body, "external": self.external, "place": self.settle.place(),
            })
        };
        // What lasts is not this configuration's to take away.
        self.in_its_words().iter().filter(|wanted| !wanted.lasting).map(object).collect()
    }

    fn wait(&mut self, patience: Patience) {
        self.waiting = self.waiting.with(patience);
    }

    fn instead_of(&mut self, before: Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let objects = before.as_array().cloned().unwrap_or_default();
        let object = |object: &Value| Before {
            kind: Kind {
                group: text(&object["kind"][0]).into(),
                version: text(&object["kind"][1]).into(),
                kind: text(&object["kind"][2]).into(),
                plural: text(&object["kind"][3]).into(),
                namespaced: object["namespaced"].as_bool().unwrap_or(true),
            },
            namespace: text(&object["namespace"]),
            name: text(&object["name"]),
            body: object["body"].clone(),
            place: object["place"].as_str().map(str::to_owned),
        };
        let ours = |object: &&Value| object["external"] != true;
        self.before = objects.iter().filter(ours).map(object).collect();
    }

    async fn server_uid(&self) -> Result<String, Failure> {
        Ok(self.cluster.uid().await?)
    }

    async fn find(&self) -> Result<Option<Found>, Failure> {
        let mut all = Found::default();
        // What is there may be in the words of the installed version.
        if let Some(main) = self.main().filter(|_| self.older.is_some()) {
            self.cluster.learn_fields(&main.kind).await;
        }
        let wanted = self.in_its_words();
        let Some((main, others)) = wanted.split_last() else { return Ok(None) };
        // What is being deleted is as good as gone.
        let Some(live) = self.look(main).await?.filter(|live| !goes(live)) else { return Ok(None) };
        for other in others {
            match self.look(other).await?.filter(|live| !goes(live)) {
                Some(live) => {
                    let found = judge(other, &live);
                    all.stale |= found.stale;
                    let name = other.kind.called(&self.namespace, &other.name);
                    all.drift.extend(found.drift.into_iter().map(|drift| format!("{name}: {drift}")));
                }
                None => all.drift.push(format!("{} is gone", other.kind.called(&self.namespace, &other.name))),
            }
        }
        let mut found = judge(main, &live);
        if self.external {
            found.foreign = None;
        }
        all.drift.extend(found.drift);
        for lent in &self.lent {
            all.drift.extend(self.lent(lent).await?);
        }
        let unavailable = self.settle.unavailable(&live);
        // For plans of this process: what the installed version lacks would be known at apply only.
        self.cluster.learn_fields(&main.kind).await;
        Ok(Some(Found { stale: all.stale | found.stale, drift: all.drift, unavailable, ..found }))
    }

    fn lacking(&self) -> Vec<String> {
        let wanted = self.in_its_words();
        let bodies = wanted.iter().filter_map(|wanted| Some((wanted, wanted.body.as_ref()?)));
        let fields = |(wanted, body): (&Wanted, &Value)| {
            let fields = self.cluster.lacks(&wanted.kind, body);
            (!fields.is_empty()).then(|| format!("{} has no {}", wanted.kind.kind, fields.join(", and no ")))
        };
        bodies.filter_map(fields).collect()
    }

    async fn put(&self, known: Option<&str>, adopt: Adopt) -> Result<Found, NotPut> {
        let wanted = self.fitting().await?;
        let Some((main, others)) = wanted.split_last() else {
            return Err(Failure::new("nothing is to be made".to_owned(), Blame::Block).into());
        };
        self.await_lent().await?;
        let mut steps = Vec::new();
        for other in others {
            let known = if known.is_some() { Known::Ours } else { Known::Uid(None) };
            steps.push(self.decide(other, known, adopt).await?);
        }
        let last = self.decide(main, Known::Uid(known), adopt).await?;
        let made = steps.iter().chain([&last]).all(|step| matches!(step, Step::Write(_, _, None)));
        for step in steps {
            self.take(step).await?;
        }
        Ok(Found { made, ..judge(main, self.take(last).await?.as_ref()) })
    }

    async fn remove_former(&self, known: &str) -> Result<(), Failure> {
        let wanted = |before: &Before| {
            let same = |wanted: &Wanted| wanted.kind == before.kind && wanted.name == before.name;
            before.namespace == self.namespace && self.wanted.iter().any(same)
        };
        let Some(main) = self.before.last() else { return Ok(()) };
        if !wanted(main) {
            let live = match self.cluster.get(&main.kind, &main.namespace, &main.name).await {
                Err(ClusterError::MissingKind { .. }) => None,
                live => live?,
            };
            // Where another one stands under that name, all of it belongs to somebody else by now.
            if live.is_some_and(|live| live.metadata.uid.as_deref() != Some(known)) {
                return Ok(());
            }
        }
        for before in self.before.iter().filter(|before| !wanted(before)) {
            self.remove_one(&before.kind, &before.namespace, &before.name, known).await?;
        }
        Ok(())
    }

    async fn settle(&self) -> Result<Vec<String>, Failure> {
        self.settle.settle(&self.cluster, &self.namespace, self.waiting.patience).await
    }

    async fn remove(&self, known: &str) -> Result<(), Failure> {
        if self.external {
            return Ok(());
        }
        for wanted in self.wanted.iter().rev().filter(|wanted| !wanted.lasting) {
            self.remove_one(&wanted.kind, &self.namespace, &wanted.name, known).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::kubernetes::quiesce::tests::api::{Api, address};
    use crate::engines::volsync::SOURCE;
    use crate::ledger::{JobKind, LEDGER_LABEL, UndoStep};

    /// What needs no waiting.
    struct Settled;

    #[async_trait]
    impl Settle for Settled {
        async fn settle(&self, _: &Cluster, _: &str, _: Patience) -> Result<Vec<String>, Failure> {
            Ok(Vec::new())
        }

        fn unavailable(&self, _: &DynamicObject) -> Option<String> {
            None
        }
    }

    /// A source with its Secret.
    fn objects(api: &Api) -> Objects {
        let installer = Installer { depends_on: "helm_release.volsync", crds: "x" };
        let wanted =
            |kind: Kind, body: Value| Wanted { kind, name: "docs".to_owned(), body: Some(body), lasting: false };
        let secret = wanted(Kind::SECRET, json!({ "type": "Opaque", "data": { "password": "cA==" } }));
        let source = wanted(SOURCE, json!({ "spec": { "sourcePVC": "docs", "fresh": true } }));
        let (waiting, settle) = (WaitingSlots::default(), Box::new(Settled));
        Objects::new(api.cluster(), "wiki".to_owned(), vec![secret, source], installer, waiting, settle)
    }

    #[tokio::test]
    async fn nothing_is_written_where_the_installed_version_lacks_a_field_of_the_last_object() {
        let api = Api::new();
        api.lacks("fresh");
        let Err(NotPut::Engine(failure)) = objects(&api).put(None, Adopt::IfCompatible).await else { panic!() };
        assert_eq!(
            failure.message,
            "ReplicationSource wiki/docs can't be on cluster `prod`: the installed version of ReplicationSource has no \
             .spec.fresh"
        );
        assert!(failure.hint.is_some_and(|hint| hint.contains("Install a version that has it")));
        assert!(api.get(&Kind::SECRET, "wiki", "docs").is_null(), "its Secret was written");
    }

    #[tokio::test]
    async fn an_older_version_gets_what_it_has_in_its_own_words() {
        let api = Api::new();
        api.lacks("fresh");
        api.describes(&SOURCE, &["sourcePVC", "stale"]);
        let mut objects = objects(&api);
        objects.older = Some(json!({ "spec": { "sourcePVC": "docs", "stale": true } }));
        // Nobody has looked: a first apply makes it.
        objects.cluster.apply_begins();
        let made = objects.put(None, Adopt::IfCompatible).await.unwrap();
        let spec = json!({ "sourcePVC": "docs", "stale": true });
        assert_eq!((made.drift.is_empty(), &api.get(&SOURCE, "wiki", "docs")["spec"]), (true, &spec));
        assert!(objects.lacking().is_empty());

        // Another process, which only plans.
        let refreshed = Objects { older: objects.older.clone(), ..self::objects(&api) };
        let found = refreshed.find().await.unwrap().unwrap();
        assert!(found.drift.is_empty() && refreshed.lacking().is_empty(), "{found:?}");

        // One that has the field is told by it, and one that has neither is not written to.
        api.describes(&SOURCE, &["sourcePVC", "stale", "fresh"]);
        let upgraded = Objects { older: objects.older.clone(), ..self::objects(&api) };
        assert!(!upgraded.find().await.unwrap().unwrap().drift.is_empty());
        api.describes(&SOURCE, &["sourcePVC"]);
        let neither = Objects { older: Some(json!({ "spec": { "fresh": 1 } })), ..self::objects(&api) };
        assert!(matches!(neither.put(None, Adopt::IfCompatible).await, Err(NotPut::Engine(_))));
    }

    #[tokio::test]
    async fn nothing_is_written_beside_what_somebody_else_made() {
        let api = Api::new();
        let theirs = json!([{ "manager": "argocd-controller", "operation": "Apply" }]);
        api.put(&SOURCE, "wiki", "docs", json!({ "metadata": { "managedFields": theirs } }));
        let refused = objects(&api).put(None, Adopt::IfCompatible).await;
        assert!(matches!(refused, Err(NotPut::Exists { maker: Some(maker), .. }) if maker == "argocd-controller"));
        assert!(api.get(&Kind::SECRET, "wiki", "docs").is_null(), "its Secret was written");
    }

    #[tokio::test]
    async fn nothing_is_written_before_the_secret_is_there_that_somebody_else_makes() {
        let api = Api::new();
        let put = async || {
            let mut objects = objects(&api);
            objects.cluster.apply_begins();
            objects.waiting = objects.waiting.with(Patience::of(Duration::from_millis(1), "timeouts.create"));
            let needed_by = "`existing_secret` names it";
            objects.lent = vec![Lent { name: "disks".to_owned(), key: "cloud".to_owned(), needed_by }];
            let drift = objects.find().await.unwrap().map(|found| found.drift);
            (objects.put(None, Adopt::IfCompatible).await, drift)
        };
        api.put(&Kind::SECRET, "wiki", "disks", json!({ "data": { "other": "eA==" } }));
        let (Err(NotPut::Engine(failure)), None) = put().await else { panic!() };
        let missing = "Secret wiki/disks with the key cloud on cluster `prod` did not appear";
        assert!(failure.message.starts_with(missing), "{}", failure.message);
        assert!(failure.message.contains("depends_on = [kubernetes_secret.disks]"), "{}", failure.message);
        let there = ". The Secret is there, and its only key is `other`";
        assert!(failure.message.ends_with(there), "{}", failure.message);
        assert!(api.get(&Kind::SECRET, "wiki", "docs").is_null(), "something was written");
        api.put(&Kind::SECRET, "wiki", "disks", json!({ "data": { "cloud": "eA==" } }));
        assert!(put().await.0.is_ok());
        api.remove(&Kind::SECRET, "wiki", "disks");
        assert_eq!(put().await.1.unwrap(), ["Secret disks is not there: `existing_secret` names it"]);
        // Whoever may not read it can't tell.
        api.forbid("GET", &Kind::SECRET);
        let mut objects = objects(&api);
        objects.wanted.remove(0);
        assert!(objects.put(None, Adopt::IfCompatible).await.is_ok());
    }

    #[tokio::test]
    async fn what_a_restore_pauses_between_the_look_and_the_write_stays_paused() {
        // Counts the requests of an undisturbed run, the last of which writes the source.
        let run = |pause_at: usize| async move {
            let api = Api::new();
            let live = json!({ "metadata": { "uid": "u1" }, "spec": { "sourcePVC": "docs", "paused": false } });
            api.put(&SOURCE, "wiki", "docs", live);
            let (mut requests, address) = (0, address(&SOURCE, "wiki", "docs"));
            api.controller(move |objects| {
                requests += 1;
                if let Some(source) = objects.get_mut(&address).filter(|_| requests == pause_at) {
                    source["spec"]["paused"] = true.into();
                }
            });
            let mut objects = objects(&api);
            objects.wanted.remove(0);
            objects.wanted[0].body = Some(json!({ "spec": { "sourcePVC": "docs", "paused": false, "fresh": true } }));
            let put = objects.put(Some("u1"), Adopt::IfCompatible).await;
            (put, api.requests().len(), api.get(&SOURCE, "wiki", "docs")["spec"]["paused"].clone())
        };
        let (put, requests, paused) = run(0).await;
        assert!(put.is_ok() && paused == false);
        let (put, _, paused) = run(requests).await;
        let Err(NotPut::Engine(failure)) = put else { panic!("the pause was taken away") };
        assert!(failure.message.contains("is paused by a restore") && paused == true, "{}", failure.message);
    }

    #[tokio::test]
    async fn the_restore_that_pauses_an_object_is_named_by_its_record() {
        let api = Api::new();
        let path = vec!["spec".to_owned(), "paused".to_owned()];
        let field = hold::Field { path, was: false.into(), held: true.into() };
        let live =
            json!({ "metadata": { "name": "docs", "uid": "u1" }, "spec": { "sourcePVC": "docs", "paused": true } });
        let mark = hold::mark(&serde_json::from_value(live.clone()).unwrap(), &[field]);
        let mut marked = live;
        marked["metadata"]["annotations"][hold::annotation("a")] = mark.into();
        api.put(&SOURCE, "wiki", "docs", marked);
        let refused = async || {
            let mut objects = objects(&api);
            objects.wanted.remove(0);
            let Err(NotPut::Engine(failure)) = objects.put(Some("u1"), Adopt::IfCompatible).await else { panic!() };
            failure.message
        };
        let paused =
            "ReplicationSource wiki/docs on cluster `prod` is paused by a restore that has not come to its end";
        assert!(refused().await.ends_with(paused), "no record says which");
        for (key, name, undone) in [("0011", "docs", false), ("0022", "ended", true)] {
            let mut record = Record::new(JobKind::Restore, key, name, "volsync", "wiki/docs");
            let object = "wiki/replicationsource.volsync.backube/docs".to_owned();
            record.undo = vec![UndoStep { action: "pause_schedule".to_owned(), object, before: None, undone }];
            let map = json!({
                "metadata": { "labels": { LEDGER_LABEL: "run" } },
                "data": { "record.json": String::from_utf8(record.to_json()).unwrap() },
            });
            api.put(&Kind::CONFIG_MAP, "wiki", &format!("dr-run-{key}"), map);
        }
        let named = refused().await;
        assert!(named.ends_with(&format!("{paused}: the restore job \"docs\" (run 0011, to wiki/docs)")), "{named}");
    }

    #[tokio::test]
    async fn all_of_it_is_written_once_the_server_would_take_it() {
        let api = Api::new();
        let made = objects(&api).put(None, Adopt::IfCompatible).await.unwrap();
        assert!(made.drift.is_empty() && made.foreign.is_none(), "{made:?}");
        assert!(!api.get(&Kind::SECRET, "wiki", "docs").is_null());
        assert_eq!(api.get(&SOURCE, "wiki", "docs")["spec"]["fresh"], true);
    }

    #[test]
    fn what_nobody_may_set_is_taken_out_and_the_rest_is_set() {
        let body = json!({ "spec": { "trigger": { "schedule": "0 3 * * *", "manual": null }, "paused": false } });
        let set = json!({ "spec": { "trigger": { "schedule": "0 3 * * *" }, "paused": false } });
        assert_eq!(without_nulls(&body), set);
        assert_eq!(nulls_of(&body), Some(json!({ "spec": { "trigger": { "manual": null } } })));
        assert_eq!(nulls_of(&set), None);
    }
}
