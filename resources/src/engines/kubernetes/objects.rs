//! Objects in a cluster that one resource makes: applied server-side under one field manager, compared field by field,
//! taken over only when they are ours.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dr_framework::{Attr, Diagnostics, Path};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::hold;
use super::render::{self, Difference};
use crate::clock;
use crate::connections::kubernetes::{Cluster, ClusterError, DynamicObject, FIELD_MANAGER, Kind, field_owners};
use crate::engines::concepts::{Blame, Failure, TargetServer};
use crate::engines::declared::{Adopt, Declared, Found, NotPut};
use crate::run::EngineError;
use crate::shared::Shared;
use crate::waiting::{NotThere, Patience, WaitingSlots};

/// How much of a value a message shows.
const SHOWN: usize = 80;

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

/// What an engine does with the objects once they are there.
#[async_trait]
pub trait Settle: Send + Sync {
    /// Waits until the engine took the main object as it is now. What the user should know.
    async fn settle(&self, cluster: &Cluster, namespace: &str, patience: Patience) -> Result<Vec<String>, Failure>;

    /// Where the main object leads, for [`Settle::before_write`] of a later configuration.
    fn place(&self) -> Option<String> {
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
        Failure { message: error.to_string(), hint: None, blame }
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
        let (force, external, before) = (false, false, Vec::new());
        Objects { cluster, namespace, wanted, force, external, installer, waiting, settle, before }
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

    /// Makes one object, or makes it so.
    async fn put_one(&self, wanted: &Wanted, known: Known<'_>, adopt: Adopt) -> Result<DynamicObject, NotPut> {
        if self.external {
            return Ok(self.wait_for(wanted).await?);
        }
        let mut found = self.look(wanted).await?;
        if let Some(gone) = found.take_if(|live| goes(live)) {
            let uid = gone.metadata.uid.as_deref();
            self.until_gone(&wanted.kind, &self.namespace, &wanted.name, uid).await?;
        }
        if let Some(live) = &found {
            let seen = judge(wanted, live);
            let uid = match known {
                Known::Uid(uid) => uid,
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
                return Ok(live.as_ref().clone());
            }
        }
        let Some(body) = &wanted.body else {
            return match found {
                Some(live) => Ok(live.as_ref().clone()),
                None => Err(self.absent(wanted).into()),
            };
        };
        let before = self.before.last().and_then(|before| before.place.as_deref());
        if found.as_deref().is_some_and(|live| !hold::marks(live).is_empty()) {
            return Err(self.held(wanted).into());
        }
        self.settle.before_write(wanted, found.as_deref(), before).await?;
        Ok(self.write(wanted, body, found.as_deref()).await?)
    }

    /// What somebody else makes, perhaps in this apply.
    async fn wait_for(&self, wanted: &Wanted) -> Result<DynamicObject, Failure> {
        let (kind, name) = (&wanted.kind, &wanted.name);
        let depends_on = format!("kubernetes_{}.{name}", kind.kind.to_lowercase());
        let found = self.cluster.wait_for_object(kind, &self.namespace, name, &depends_on, &self.waiting).await;
        found.map_err(|error| Failure::new(error.to_string(), Blame::Block))
    }

    /// Applies what is to be set, and takes out what nobody may set: a server-side apply leaves that to its owner.
    async fn write(
        &self,
        wanted: &Wanted,
        body: &Value,
        live: Option<&DynamicObject>,
    ) -> Result<DynamicObject, Failure> {
        let (set, unset) = (without_nulls(body), nulls_of(body));
        let written = self.apply(wanted, &set, live).await?;
        let value = serde_json::to_value(&written).unwrap_or_default();
        match unset {
            Some(unset) if !render::differences(&unset, Some(&value)).is_empty() => {
                Ok(self.cluster.merge(&wanted.kind, &self.namespace, &wanted.name, unset, None).await?)
            }
            _ => Ok(written),
        }
    }

    async fn apply(
        &self,
        wanted: &Wanted,
        body: &Value,
        live: Option<&DynamicObject>,
    ) -> Result<DynamicObject, Failure> {
        let apply = |force| self.cluster.apply(&wanted.kind, &self.namespace, &wanted.name, body.clone(), force);
        match apply(self.force || wanted.lasting).await {
            Err(ClusterError::MissingKind { .. }) => {
                let Installer { depends_on, crds } = self.installer;
                let kind = self.cluster.wait_for_kind(&wanted.kind, depends_on, &self.waiting).await;
                kind.map_err(|error| {
                    let hint = Some(crds.to_owned());
                    Failure { message: error.to_string(), hint, blame: Blame::Block }
                })?;
                Box::pin(self.write_once_there(wanted, body)).await
            }
            Err(ClusterError::NoNamespace { .. }) => Box::pin(self.write_once_there(wanted, body)).await,
            Err(ClusterError::Conflict { fields_and_managers, .. }) if is_own(&fields_and_managers) => {
                if live.is_some_and(|live| is_held(body, live)) {
                    return Err(self.held(wanted));
                }
                Ok(apply(true).await?)
            }
            // What we had set and somebody changed by hand is put back; what another configuration owns is not.
            Err(ClusterError::Conflict { fields_and_managers, .. })
                if live.is_some_and(|live| self.was_ours(wanted, live, &fields_and_managers)) =>
            {
                Ok(apply(true).await?)
            }
            written => Ok(written?),
        }
    }

    /// Writes what this apply may still be making the place for.
    async fn write_once_there(&self, wanted: &Wanted, body: &Value) -> Result<DynamicObject, Failure> {
        let namespace = &self.namespace;
        let depends_on = format!("kubernetes_namespace.{namespace}");
        let there = self.cluster.wait_for_object(&Kind::NAMESPACE, "", namespace, &depends_on, &self.waiting).await;
        there.map_err(|error| Failure::new(error.to_string(), Blame::Block))?;
        Ok(self.cluster.apply(&wanted.kind, namespace, &wanted.name, body.clone(), self.force).await?)
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

    fn held(&self, wanted: &Wanted) -> Failure {
        Failure {
            message: format!("{} is paused by a restore that has not come to its end", self.called(wanted)),
            hint: Some(
                "Name that restore in `after`, so that it ends first. If it will never run again, take the annotations that \
                 begin with dr/held-by- off it, and set `force_conflicts` once"
                    .to_owned(),
            ),
            blame: Blame::Block,
        }
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
    body["spec"]["paused"] == false && live.data["spec"]["paused"] == true
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
    }
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
        self.wanted.iter().filter(|wanted| !wanted.lasting).map(object).collect()
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
        let Some((main, others)) = self.wanted.split_last() else { return Ok(None) };
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
        let unavailable = self.settle.unavailable(&live);
        Ok(Some(Found { stale: all.stale | found.stale, drift: all.drift, unavailable, ..found }))
    }

    async fn put(&self, known: Option<&str>, adopt: Adopt) -> Result<Found, NotPut> {
        let Some((main, others)) = self.wanted.split_last() else {
            return Err(Failure::new("nothing is to be made".to_owned(), Blame::Block).into());
        };
        for other in others {
            let known = if known.is_some() { Known::Ours } else { Known::Uid(None) };
            self.put_one(other, known, adopt).await?;
        }
        let live = self.put_one(main, Known::Uid(known), adopt).await?;
        Ok(judge(main, &live))
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

    #[test]
    fn what_nobody_may_set_is_taken_out_and_the_rest_is_set() {
        let body = json!({ "spec": { "trigger": { "schedule": "0 3 * * *", "manual": null }, "paused": false } });
        let set = json!({ "spec": { "trigger": { "schedule": "0 3 * * *" }, "paused": false } });
        assert_eq!(without_nulls(&body), set);
        assert_eq!(nulls_of(&body), Some(json!({ "spec": { "trigger": { "manual": null } } })));
        assert_eq!(nulls_of(&set), None);
    }
}
