//! Targets whose storage the provider itself keeps: made, taken over, never made anew, removed.

use dr_framework::{Attr, Context, Diagnostic, Diagnostics, Model, Path, Plan, Result, Set};

use super::{BackupTarget, BackupTargets, Engine, Imported, StoreModel, lies_elsewhere};
use crate::clock;
use crate::engines::concepts::{Blame, Failure, Owner, Policy, Seen, Target, TargetBlock, TargetKind, UNTIL_RESTORED};
use crate::engines::kubernetes::repository_secret::namespace_of;
use crate::engines::table::{self, Exclusive};
use crate::jobs;
use crate::reference::Place;
use crate::registered::DRILL;
use crate::retention_policy::KeepModel;
use crate::run;
use crate::scope::{Conflict, Writer};
use crate::words::{counted, ended, sentence};

impl BackupTargets {
    /// The storage: `None` while something that it takes is not known.
    pub(super) fn open(&self, target: &BackupTarget) -> Result<Option<Box<dyn Target>>> {
        let Some(TargetKind::Storage(block)) = target.block().map(TargetBlock::kind) else { return Ok(None) };
        let Some(place) = target.place()? else { return Ok(None) };
        block.open(&self.shared, &place, target.is_read_only() || self.shared.is_drill())
    }

    /// Plans storage that the provider keeps.
    pub(super) fn plan_storage(&self, context: &Context, plan: &mut Plan<'_, BackupTarget>) -> Result<()> {
        let storage = self.open(&plan.planned)?;
        self.plan_owner(plan);
        let Some(place) = plan.planned.place()? else {
            plan.planned.r#ref = Attr::Known(plan.planned.reference(None, Attr::Unknown, Attr::Unknown));
            plan.planned.keys = Attr::Unknown;
            return Ok(());
        };
        self.claim(&plan.planned, &place)?;
        self.claim_alone(plan)?;
        let Some(prior) = plan.prior else {
            self.shared.register.new_at(self.shared.exclusive(&place)).map_err(|conflict| replaced(&conflict))?;
            plan.planned.r#ref = Attr::Known(plan.planned.reference(Some(&place), Attr::Unknown, Attr::Unknown));
            return Ok(());
        };
        let before = prior.place()?;
        let moves = before.as_ref().is_some_and(|before| lies_elsewhere(before, &place));
        if !moves {
            self.hold(prior)?;
        }
        if prior.status.text() == Some("missing") && !moves {
            return Err(vanished(&place.to_string(), prior.uid().unwrap_or("of unknown id")));
        }
        if let Some(before) = before.as_ref().filter(|_| moves) {
            self.announce_move(context, prior, before, &place);
        }
        // Another connection may be another server, one that is not known yet certainly may.
        let same = before.as_ref() == Some(&place) && storage.is_some();
        let uid = if same { prior.uid().map_or(Attr::Unknown, Attr::from) } else { Attr::Unknown };
        plan.planned.r#ref = Attr::Known(plan.planned.reference(Some(&place), uid.clone(), uid));
        if !same || prior.credentials.text() != Some("current") {
            plan.planned.keys = Attr::Unknown;
        }
        Ok(())
    }

    /// Says that what is stored stays where it is.
    pub(super) fn announce_move(&self, context: &Context, prior: &BackupTarget, before: &Place, place: &Place) {
        let name = prior.name.text().unwrap_or_default();
        jobs::warn(
            &self.shared,
            context,
            &format!("Target {name} moves"),
            format!(
                "It will be at {place}. What is stored at {before} stays there, whatever `deletion_policy` says, and restores \
                 from this target no longer find it: copy it first to take it along."
            ),
        );
    }

    /// Plans what the state is known by in the ledger: nothing that a state without it needs a change for, unless a drill
    /// made it.
    fn plan_owner(&self, plan: &mut Plan<'_, BackupTarget>) {
        let drilled = plan.prior.is_none_or(|prior| prior.status.text() == Some(DRILL));
        if drilled && self.shared.is_drill() {
            plan.planned.status = DRILL.into();
        }
        let writes = !plan.planned.is_read_only() && !self.shared.is_drill();
        plan.planned.owner = match plan.prior.map(|prior| &prior.owner) {
            Some(Attr::Known(owner)) => Attr::Known(owner.clone()),
            Some(_) if !plan.changed && !drilled => Attr::Null,
            _ if writes => Attr::Unknown,
            _ => Attr::Null,
        };
    }

    /// Notes that what is stored does not outlive an object with this state, so that no plan makes it anew in its place.
    pub(super) fn hold(&self, prior: &BackupTarget) -> Result<()> {
        let policy = prior.deletion_policy.text().filter(|policy| matches!(*policy, "delete" | "prevent"));
        let (Some(policy), Some(place)) = (policy, prior.place()?) else { return Ok(()) };
        self.shared.register.held(self.shared.exclusive(&place), policy).map_err(|conflict| replaced(&conflict))
    }

    /// Shows what a destroy takes away.
    pub(super) async fn announce_deletion(&self, context: &Context, prior: &BackupTarget) -> Result<()> {
        self.hold(prior)?;
        if let Some(storage) = self.open(prior)?
            && let Ok(contents) = storage.contents().await
        {
            refuse_foreign(&contents.foreign)?;
            if let Ok(others) = self.others(prior, storage.as_ref()).await {
                refuse_owned(&storage.describe(), &others)?;
            }
            if let Ok(restores) = storage.needed_by().await {
                refuse_needed(&storage.describe(), &restores)?;
            }
            context.report(Diagnostic::warning(
                format!("The repository at {} will be deleted", storage.describe()),
                format!(
                    "Everything in it goes: {}, {}{}.",
                    counted(contents.points, "point", "points"),
                    run::in_units(contents.bytes),
                    contents
                        .newest
                        .map(|newest| {
                            format!("; the newest is of {newest:.0}, {} old", run::age(newest, clock::now()))
                        })
                        .unwrap_or_default()
                ),
            ));
        }
        Ok(())
    }

    /// Makes the storage ready.
    pub(super) async fn apply_storage(
        &self,
        context: &Context,
        prior: Option<BackupTarget>,
        planned: BackupTarget,
    ) -> Result<BackupTarget> {
        let storage = self.open(&planned)?.ok_or_else(not_known)?;
        let storage = storage.as_ref();
        let place = planned.place()?.ok_or_else(not_known)?;
        if prior.is_none() {
            self.make_alone(&planned)?;
        }
        // At another place there is nothing yet that could have vanished.
        let here = prior.as_ref().filter(|prior| match prior.place() {
            Ok(Some(before)) => !lies_elsewhere(&before, &place),
            _ => true,
        });
        let uid = self.ensure(context, here, &planned, storage).await?;
        self.shared.register.made_at(&self.shared.exclusive(&place));
        if prior.is_none() {
            self.shared.took_over(&uid);
        }
        let owner = match &planned.owner {
            Attr::Unknown => Attr::Known(hex::encode(rand::random::<[u8; 16]>())),
            planned => planned.clone(),
        };
        if !storage.is_read_only() {
            self.register_policy(prior.as_ref(), &planned, storage).await?;
            if let Some(owner) = owner.text() {
                let name = planned.name.text().unwrap_or_default();
                let noted = storage.own(owner, name, &uid).await;
                noted.map_err(|failure| planned.blame("write the ledger", &failure))?;
            }
        }
        if let Some(before) = prior.as_ref().filter(|_| here.is_none()) {
            self.let_go(context, before).await;
        }
        let keys = match storage.look().await.map_err(|failure| planned.blame("look at the storage", &failure))? {
            Seen::Ready { keys } => keys,
            _ => Vec::new(),
        };
        let reference = planned.reference(Some(&place), Attr::Known(uid.clone()), Attr::Known(uid));
        Ok(BackupTarget {
            r#ref: Attr::Known(reference),
            credentials: "current".into(),
            // What was planned as it was stays so: a key that was added meanwhile is seen by the next refresh.
            keys: if planned.keys.is_unknown() { key_set(&keys) } else { planned.keys.clone() },
            owner,
            ..planned
        })
    }

    /// Deletes the storage, or takes the target out of its ledger.
    pub(super) async fn delete_storage(&self, context: &Context, prior: &BackupTarget) -> Result<()> {
        if !self.deletes(prior) {
            return self.unregister(context, prior).await;
        }
        let storage = self.open(prior)?.ok_or_else(not_known)?;
        let blame = |action: &'static str| |failure: Failure| prior.blame(action, &failure);
        // With `create_before_destroy` it belongs to the resource that took over.
        if prior.uid().is_some_and(|uid| self.shared.was_taken_over(uid)) {
            self.let_go(context, prior).await;
            context.report(Diagnostic::warning(
                format!("The repository at {} is kept", storage.describe()),
                "It belongs to another target by now, so it is not deleted.",
            ));
            return Ok(());
        }
        match storage.look().await.map_err(blame("look at the storage"))? {
            Seen::Absent => {}
            Seen::Ready { .. } => {
                let found = storage.check().await.map_err(blame("open the repository"))?;
                if let Some(known) = prior.uid().filter(|known| *known != found) {
                    return Err(another(&storage.describe(), known, &found, "store"));
                }
                let contents = storage.contents().await.map_err(blame("open the repository"))?;
                refuse_foreign(&contents.foreign)?;
                refuse_needed(
                    &storage.describe(),
                    &storage.needed_by().await.map_err(blame("delete the repository"))?,
                )?;
                refuse_owned(&storage.describe(), &self.others(prior, storage.as_ref()).await?)?;
            }
            Seen::SomethingElse { what } => {
                return Err(Diagnostics::error_at(
                    Path::attribute("store"),
                    "Unable to delete the repository",
                    format!("What is there is something else: {what}. Nothing was deleted."),
                ));
            }
        }
        storage.remove().await.map_err(blame("delete the repository"))
    }

    /// Imports storage by a secret that opens it.
    pub(super) async fn import_storage(&self, imported: Imported) -> Result<BackupTarget> {
        let Imported { engine, connection, scope, name } = imported;
        let place = if connection == "local" {
            Place::Local { path: format!("/{}", scope.trim_start_matches('/')) }
        } else {
            let (bucket, prefix) = scope.split_once('/').unwrap_or((&scope, ""));
            Place::S3 { connection, bucket: bucket.to_owned(), prefix: prefix.to_owned() }
        };
        let secrets = self.shared.secret_names();
        // The configuration names the secret; here it is the one that opens the target.
        for secret in &secrets {
            let Some(block) = Engine::imported(&engine, secret) else { break };
            let candidate = BackupTarget {
                name: Attr::Known(name.clone()),
                store: Attr::Known(StoreModel::of(&place)),
                retention: Attr::Null,
                access: "read_write".into(),
                deletion_policy: "keep".into(),
                adopt: "if_compatible".into(),
                expect_server_uid: Attr::Null,
                timeouts: Attr::Null,
                engine: Attr::Known(block),
                r#ref: Attr::Null,
                status: "ready".into(),
                credentials: "current".into(),
                keys: Attr::Null,
                owner: Attr::Null,
                drift: Attr::Known(Vec::new()),
            };
            let Some(storage) = self.open(&candidate)? else { continue };
            match storage.check().await {
                Ok(uid) => {
                    let reference = candidate.reference(Some(&place), Attr::Known(uid.clone()), Attr::Known(uid));
                    let keys = match storage.look().await {
                        Ok(Seen::Ready { keys }) => key_set(&keys),
                        _ => Attr::Null,
                    };
                    return Ok(BackupTarget { r#ref: Attr::Known(reference), keys, ..candidate });
                }
                Err(failure) if failure.blame == Blame::Secret => {}
                Err(failure) => {
                    return Err(Diagnostics::error("Unable to import the repository", ended(failure)));
                }
            }
        }
        Err(Diagnostics::error(
            "Unable to import the repository",
            match secrets.as_slice() {
                [] => "There is no secret to try: give the repository's password under `secrets` in the provider block, or as \
                       DR_SECRET_<NAME> in the environment."
                    .to_owned(),
                secrets => format!(
                    "None of the known secrets opens it (tried: {}). Give the repository's password under `secrets` in the \
                     provider block, or as DR_SECRET_<NAME> in the environment.",
                    secrets.join(", ")
                ),
            },
        ))
    }

    /// Claims what belongs to one target alone; another target that did so is an error.
    pub(super) fn claim(&self, target: &BackupTarget, place: &Place) -> Result<()> {
        if target.is_read_only() || self.shared.is_drill() {
            return Ok(());
        }
        let keeps = target.keep().ok().flatten().map(|keep| format!(" that keeps {keep}")).unwrap_or_default();
        let seat = target.registered_at();
        let name = target.name.text().unwrap_or_default();
        let identity = format!("dr_backup_target {name:?} ({}){keeps}", seat.import_id());
        let part = match table::engine(seat.engine).map(|engine| engine.exclusive) {
            Some(Exclusive::Prefix) => None,
            Some(Exclusive::Namespace) => match namespace_of(&target.seat().1) {
                Attr::Known(namespace) => Some(format!("{} of namespace {namespace}", seat.engine)),
                // It may still be another one.
                _ => return Ok(()),
            },
            Some(Exclusive::Nothing) | None => return Ok(()),
        };
        let (store, prefix) = self.shared.exclusive(place);
        self.shared.register.writer(Writer { store, prefix, part, identity }).map_err(|conflict| {
            Diagnostics::error_at(Path::attribute("store"), "Storage with two owners", ended(conflict))
        })
    }

    /// Two resources of one name at one place are no replacement that is planned twice.
    fn claim_alone(&self, plan: &Plan<'_, BackupTarget>) -> Result<()> {
        let owner = plan.prior.map(|prior| prior.owner.text());
        if plan.planned.is_read_only() || self.shared.is_drill() || !plan.planned.name.is_known() || owner == Some(None)
        {
            return Ok(());
        }
        let alike = || format!("{:?}", plan.planned.to_object());
        self.shared.register.target(&plan.planned.who(), owner.flatten(), alike).map_err(one_target)
    }

    /// Two that are written alike are one to a plan; only one of them is made.
    fn make_alone(&self, planned: &BackupTarget) -> Result<()> {
        let identity = planned.who();
        match planned.is_read_only() || self.shared.is_drill() || self.shared.applies_first(&identity) {
            true => Ok(()),
            false => Err(one_target(Conflict::OneTarget { identity })),
        }
    }

    /// Makes sure that the target is there; its uid.
    async fn ensure(
        &self,
        context: &Context,
        prior: Option<&BackupTarget>,
        target: &BackupTarget,
        storage: &dyn Target,
    ) -> Result<String> {
        let known = prior.and_then(BackupTarget::uid);
        let place = storage.describe();
        let blame = |action: &'static str| move |failure: Failure| target.blame(action, &failure);
        let uid = match (storage.look().await.map_err(blame("look at the storage"))?, known) {
            (Seen::Ready { .. }, Some(_)) => storage.check().await.map_err(blame("open the repository"))?,
            (Seen::Ready { .. }, None) if target.adopt.text() == Some("never") => {
                return Err(exists(&place, &target.registered_at().import_id()));
            }
            (Seen::Ready { .. }, None) => {
                let uid = storage.check().await.map_err(blame("open the repository that is there"))?;
                if !storage.is_read_only() {
                    let owners = storage.owners(&uid).await.map_err(blame("read the ledger"))?;
                    let held = if owners.is_empty() {
                        String::new()
                    } else {
                        format!(
                            " It is held by {} too: as long as it is, nobody deletes the repository. If that is a state that was \
                             lost, remove its file.",
                            named(&owners)
                        )
                    };
                    context.report(Diagnostic::warning(
                        format!("The repository at {place} was taken over"),
                        format!("Repository {uid} was there already, and the password opens it.{held}"),
                    ));
                }
                uid
            }
            (Seen::Absent, Some(uid)) => return Err(vanished(&place, uid)),
            (Seen::Absent, None) if target.expect_server_uid.is_known() => {
                return Err(Diagnostics::error_at(
                    Path::attribute("expect_server_uid"),
                    "There is no repository",
                    format!(
                        "{place} holds none, and {} is expected. Nothing was made: leave it out to begin a new one.",
                        target.expect_server_uid.text().unwrap_or_default()
                    ),
                ));
            }
            (Seen::Absent, None) if storage.is_read_only() => {
                return Err(Diagnostics::error_at(
                    Path::attribute("store"),
                    "There is no repository",
                    format!("{place} holds none, and nothing may be written there."),
                ));
            }
            (Seen::Absent, None) => {
                let adopt = target.adopt.text() != Some("never");
                storage.make(adopt).await.map_err(blame("make the repository"))?
            }
            (Seen::SomethingElse { what }, _) => {
                return Err(Diagnostics::error_at(
                    Path::attribute("store"),
                    "Something else is there",
                    format!("{place} holds something else: {what}. Nothing was written; choose another place."),
                ));
            }
        };
        let expected = target.expect_server_uid.text();
        if let Some(known) = known.filter(|known| *known != uid) {
            return Err(another(&place, known, &uid, "store"));
        }
        if let Some(expected) = expected.filter(|expected| *expected != uid) {
            return Err(another(&place, expected, &uid, "expect_server_uid"));
        }
        Ok(uid)
    }

    /// Writes the policy down where every process and workspace finds it.
    async fn register_policy(
        &self,
        prior: Option<&BackupTarget>,
        target: &BackupTarget,
        storage: &dyn Target,
    ) -> Result<()> {
        let before = prior.and_then(|prior| prior.name.text());
        let own = Policy { target: target.name.text().unwrap_or_default().to_owned(), keep: target.keep()? };
        let theirs = storage.policy().await.map_err(|failure| target.blame("read the ledger", &failure))?;
        // A state without this target knows nothing of who set it, under whatever name: it may be another workspace.
        let is_ours =
            |theirs: &Policy| before.is_some_and(|before| theirs.target == own.target || theirs.target == before);
        if let Some(theirs) = theirs.filter(|theirs| !is_ours(theirs) && theirs.keep != own.keep) {
            let keeps = theirs.keep.map_or_else(|| "everything".to_owned(), |keep| keep.to_string());
            return Err(Diagnostics::error_at(
                Path::attribute("retention"),
                "Two policies on one repository",
                format!(
                    "The target {:?} of another provider, workspace or state keeps {keeps} here. Retention belongs to the whole \
                     repository: use the same policy, which a later apply may change, or another place. If that target is \
                     gone, remove `policy.json` from {}.",
                    theirs.target,
                    storage.describe_ledger()
                ),
            ));
        }
        storage.set_policy(&own).await.map_err(|failure| target.blame("write the ledger", &failure))
    }

    /// Looks at the storage.
    pub(super) async fn refresh_storage(&self, state: BackupTarget) -> Result<BackupTarget> {
        self.hold(&state)?;
        let Ok(Some(storage)) = self.open(&state) else { return Ok(state) };
        let seen = storage.look().await.map_err(|failure| state.blame("refresh the backup target", &failure))?;
        let Seen::Ready { keys } = seen else {
            return Ok(BackupTarget { status: "missing".into(), ..state });
        };
        let status = if state.status.text() == Some(DRILL) { DRILL } else { "ready" };
        let mut state = BackupTarget { status: status.into(), ..state };
        let keys = key_set(&keys);
        if state.keys != keys {
            state.credentials = "unchecked".into();
            state.keys = keys;
        }
        if !storage.is_read_only() {
            let policy = storage.policy().await.map_err(|failure| state.blame("read the ledger", &failure))?;
            let keep = policy.and_then(|policy| policy.keep);
            if state.keep()? != keep {
                state.retention = keep.map(|keep| KeepModel::from(&keep)).into();
            }
        }
        Ok(state)
    }

    /// The other states that hold the repository of this one.
    async fn others(&self, state: &BackupTarget, storage: &dyn Target) -> Result<Vec<Owner>> {
        let owners = storage.owners(state.uid().unwrap_or_default()).await;
        let mut owners = owners.map_err(|failure| state.blame("read the ledger", &failure))?;
        owners.retain(|owner| state.owner.text() != Some(&owner.id));
        Ok(owners)
    }

    /// What is stored stays; who holds it and the policy were only registered.
    async fn unregister(&self, context: &Context, prior: &BackupTarget) -> Result<()> {
        self.let_go(context, prior).await;
        let Ok(Some(storage)) = self.open(prior) else { return Ok(()) };
        // With `create_before_destroy` the policy is that of the resource that took over.
        if storage.is_read_only() || prior.uid().is_some_and(|uid| self.shared.was_taken_over(uid)) {
            return Ok(());
        }
        // Another state of this name goes on with it.
        if self.others(prior, storage.as_ref()).await.is_ok_and(|others| others.iter().any(|it| prior.is_called(it))) {
            return Ok(());
        }
        if let Err(failure) = storage.forget_policy(prior.name.text().unwrap_or_default()).await {
            context.report(Diagnostic::warning(
                "The retention is still registered",
                format!("It could not be taken out of {}: {failure}.", storage.describe_ledger()),
            ));
        }
        Ok(())
    }

    /// Forgets in the ledger that this state holds the repository. Storage that can't be reached keeps no destroy from ending.
    async fn let_go(&self, context: &Context, prior: &BackupTarget) {
        let (Some(owner), Ok(Some(storage))) = (prior.owner.text(), self.open(prior)) else { return };
        if storage.is_read_only() {
            return;
        }
        if let Err(failure) = storage.disown(owner).await {
            context.report(Diagnostic::warning(
                "The repository is still held",
                format!(
                    "That this state holds it could not be taken out of {}: {failure}. Others can't delete the repository \
                     while `owners/{owner}.json` is there.",
                    storage.describe_ledger()
                ),
            ));
        }
    }
}

fn exists(place: &str, import_id: &str) -> Diagnostics {
    Diagnostics::error_at(
        Path::attribute("adopt"),
        "The repository exists already",
        format!(
            "{place} holds a repository, and `adopt` is \"never\". To take it over, import it:\n\n  tofu import ADDRESS '{import_id}'"
        ),
    )
}

fn vanished(place: &str, uid: &str) -> Diagnostics {
    Diagnostics::error_at(
        Path::attribute("store"),
        "The storage is gone",
        format!(
            "Repository {uid} is gone from {place}. Put it back or mount it; nothing is made anew in its place. To start \
             a new one, forget this resource with `state rm`, and apply: its jobs stay as they are, and back up into the new one. \
             A `removed` block forgets it together with the jobs that refer to it. To destroy what there is, use \
             `destroy -refresh=false`."
        ),
    )
}

fn replaced(conflict: &Conflict) -> Diagnostics {
    Diagnostics::error_at(
        Path::attribute("deletion_policy"),
        "A replacement would lose what is stored",
        ended(conflict),
    )
}

fn one_target(conflict: Conflict) -> Diagnostics {
    let detail = sentence(conflict);
    Diagnostics::error_at(Path::attribute("name"), "One target twice", detail)
}

impl BackupTarget {
    /// Its name and its place, for people.
    fn who(&self) -> String {
        let (name, place) = (self.name.text().unwrap_or_default(), self.registered_at().import_id());
        format!("dr_backup_target {name:?} ({place})")
    }
}

fn another(place: &str, expected: &str, found: &str, attribute: &str) -> Diagnostics {
    Diagnostics::error_at(
        Path::attribute(attribute),
        "Another repository",
        format!("{place} holds repository {found}, not {expected}. Nothing was changed."),
    )
}

fn refuse_foreign(foreign: &[String]) -> Result<()> {
    if foreign.is_empty() {
        return Ok(());
    }
    Err(Diagnostics::error_at(
        Path::attribute("deletion_policy"),
        "Somebody else's backups",
        format!(
            "The repository holds recovery points of other programs ({}), which are not deleted here. Remove them with \
             the program that made them, or keep the repository with `deletion_policy = \"keep\"`.",
            foreign.join(", ")
        ),
    ))
}

fn refuse_owned(place: &str, owners: &[Owner]) -> Result<()> {
    if owners.is_empty() {
        return Ok(());
    }
    Err(Diagnostics::error_at(
        Path::attribute("deletion_policy"),
        "Another state holds the repository",
        format!(
            "{place} is also held by {}. Destroy it there first, with `deletion_policy = \"keep\"`. Where that state is lost, \
             remove its file; to keep the repository, set `deletion_policy = \"keep\"` here and apply. Nothing was deleted.",
            named(owners)
        ),
    ))
}

fn named(owners: &[Owner]) -> String {
    owners.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

fn refuse_needed(place: &str, restores: &[String]) -> Result<()> {
    if restores.is_empty() {
        return Ok(());
    }
    Err(Diagnostics::error_at(
        Path::attribute("deletion_policy"),
        "A restore needs the repository",
        format!(
            "{place} holds recovery points of restores that have not ended: {}. {UNTIL_RESTORED}. Nothing was deleted.",
            restores.join("; ")
        ),
    ))
}

fn not_known() -> Diagnostics {
    Diagnostics::error(
        "The connection is not known",
        "The provider block still has unknown values for this target's connection or secret.",
    )
}

fn key_set(keys: &[String]) -> Attr<Set<Attr<String>>> {
    let mut keys: Vec<Attr<String>> = keys.iter().cloned().map(Attr::Known).collect();
    keys.sort();
    Attr::Known(Set(keys))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dr_framework::Redactor;

    use super::*;
    use crate::engines::k8up::target::K8upTarget;
    use crate::engines::volsync::target::VolsyncTarget;
    use crate::shared::Shared;

    fn target(name: &str, engine: Engine) -> BackupTarget {
        BackupTarget { name: name.into(), engine: Attr::Known(engine), ..BackupTarget::default() }
    }

    fn k8up(cluster: &str, namespace: Attr<String>) -> BackupTarget {
        let block = K8upTarget {
            cluster: cluster.into(),
            namespace,
            password: "repo".into(),
            password_wo: Attr::Null,
            password_wo_version: Attr::Null,
            existing_secret: Attr::Null,
            force_conflicts: Attr::Null,
        };
        target("main", Engine::K8up(block))
    }

    fn volsync(cluster: &str, namespace: &str) -> BackupTarget {
        let block = VolsyncTarget {
            cluster: cluster.into(),
            namespace: namespace.into(),
            password: "repo".into(),
            password_wo: Attr::Null,
            password_wo_version: Attr::Null,
            existing_secret: Attr::Null,
            force_conflicts: Attr::Null,
        };
        target("main", Engine::Volsync(block))
    }

    /// What a plan of the second one says after that of the first.
    fn after(first: &BackupTarget, second: &BackupTarget) -> Option<String> {
        let targets = BackupTargets::new(Arc::new(Shared::new(Redactor::default())));
        let place = Place::S3 { connection: "garage".to_owned(), bucket: "docs".to_owned(), prefix: "apps".to_owned() };
        targets.claim(first, &place).unwrap();
        targets.claim(first, &place).unwrap();
        targets.claim(second, &place).err().map(|found| found.0[0].detail.clone())
    }

    #[test]
    fn b8_targets_of_one_name_on_one_prefix_are_two_owners() {
        let detail = after(&volsync("prod", "wiki"), &volsync("prod", "docs")).unwrap();
        assert!(detail.contains("(volsync:prod/wiki/main)") && detail.contains("(volsync:prod/docs/main)"), "{detail}");
        assert!(after(&volsync("prod", "wiki"), &volsync("agentic", "wiki")).is_some());
        assert!(after(&volsync("prod", "wiki"), &k8up("prod", "wiki".into())).is_some());
    }

    #[test]
    fn namespaces_share_a_repository_of_k8ups_whatever_their_targets_are_called() {
        let wiki = k8up("prod", "wiki".into());
        let docs = BackupTarget { name: "other".into(), ..k8up("prod", "docs".into()) };
        assert_eq!(after(&wiki, &docs), None);
        assert_eq!(after(&wiki, &k8up("prod", "docs".into())), None);
        assert_eq!(after(&wiki, &k8up("prod", Attr::Unknown)), None, "it may be another namespace");
        // It tells namespaces apart by their names alone.
        let detail = after(&wiki, &k8up("agentic", "wiki".into())).unwrap();
        assert!(detail.contains("docs apps (k8up of namespace wiki)"), "{detail}");
        assert!(after(&wiki, &BackupTarget { name: "other".into(), ..wiki.clone() }).is_some());
    }
}
