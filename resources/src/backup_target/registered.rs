//! Targets that are objects of an engine on a server.

use dr_framework::{Attr, Context, Diagnostics, Path, Plan, Result};

use super::{BackupTarget, BackupTargets, Engine, Imported, StoreModel, lies_elsewhere, not_importable};
use crate::engines::concepts::{RegisteredBlock, TargetArguments, TargetBlock, TargetKind};
use crate::engines::declared::{Adopt, Declared};
use crate::engines::kubernetes::imported;
use crate::engines::table::Concept;
use crate::engines::{k8up, velero, volsync};
use crate::reference::Place;
use crate::registered::{self, Earlier, Memory, Refreshed, Registration};
use crate::timeouts::{self, Operation};

impl BackupTarget {
    fn registered(&self) -> Option<&dyn RegisteredBlock> {
        match self.block().map(TargetBlock::kind) {
            Some(TargetKind::Registered(block)) => Some(block),
            _ => None,
        }
    }

    fn write_only_version(&self) -> Attr<i64> {
        self.registered().map_or(Attr::Null, RegisteredBlock::write_only_version)
    }

    fn memory(&self) -> Memory {
        Memory::of(&self.r#ref)
    }
}

impl BackupTargets {
    fn arguments<'a>(&self, target: &'a BackupTarget, place: &'a Place) -> TargetArguments<'a> {
        TargetArguments {
            name: target.name.text().unwrap_or_default(),
            place,
            credentials: target.credentials(),
            read_only: target.is_read_only() || self.shared.is_drill(),
        }
    }

    /// The objects: `None` while something that they take is not known.
    fn objects(
        &self,
        target: &BackupTarget,
        write_only: Option<&dyn RegisteredBlock>,
    ) -> Result<Option<(Box<dyn Declared>, Place)>> {
        let (Some(block), Some(place)) = (target.registered(), target.place()?) else { return Ok(None) };
        if !target.name.is_known() {
            return Ok(None);
        }
        let objects = block.open(&self.shared, &self.arguments(target, &place), write_only)?;
        Ok(objects.map(|objects| (objects, place)))
    }

    async fn before_new(&self, target: &BackupTarget) -> Result<Vec<String>> {
        let (Some(block), Some(place)) = (target.registered(), target.place()?) else { return Ok(Vec::new()) };
        block.before_new(&self.shared, &self.arguments(target, &place)).await
    }

    /// Plans objects on a server; asks nobody.
    pub(super) async fn plan_registered(&self, context: &Context, plan: &mut Plan<'_, BackupTarget>) -> Result<()> {
        (plan.planned.keys, plan.planned.owner) = (Attr::Null, Attr::Null);
        let known = self.objects(&plan.planned, None)?;
        let place = plan.planned.place()?;
        if self.shared.is_drill() {
            plan.prior.map_or(Ok(()), |prior| registered::refuse_in_drill(&prior.status))?;
            plan.planned.status = registered::DRILL.into();
            if !self.is_drilled(&plan.planned) {
                plan.planned.r#ref = Attr::Known(plan.planned.reference(place.as_ref(), Attr::Null, Attr::Null));
                return Ok(());
            }
        }
        if let Some(place) = &place {
            self.claim(&plan.planned, place)?;
            let before = plan.prior.map(BackupTarget::place).transpose()?.flatten();
            if let (Some(prior), Some(before)) = (plan.prior, before.filter(|before| lies_elsewhere(before, place))) {
                self.announce_move(context, prior, &before, place);
            }
        }
        let server = match plan.planned.registered() {
            Some(block) => block.server(&self.shared)?,
            None => return Ok(()),
        };
        if let Some((objects, _)) = &known {
            registered::warn_of_lacking(&self.shared, context, &plan.planned.registered_at(), objects.as_ref());
        }
        let memory = plan.prior.map(BackupTarget::memory).unwrap_or_default();
        let stays = known.is_some()
            && plan.prior.is_none_or(|prior| prior.seat() == plan.planned.seat() && prior.name == plan.planned.name);
        let connection = plan.planned.seat().0;
        let (uid, server_uid) = registered::planned(&self.shared, &connection, server, memory, stays).await?;
        plan.planned.r#ref = Attr::Known(plan.planned.reference(place.as_ref(), uid, server_uid));
        Ok(())
    }

    /// Whether a drill registers the target: on a server that it names.
    fn is_drilled(&self, target: &BackupTarget) -> bool {
        target.seat().0.text().is_some_and(|connection| self.shared.drill_names(connection))
    }

    /// Looks at the objects.
    pub(super) async fn refresh_registered(
        &self,
        context: &Context,
        state: BackupTarget,
    ) -> Result<Option<BackupTarget>> {
        let drilled = state.status.text() == Some(registered::DRILL);
        if drilled && state.memory().uid.is_none() {
            return Ok(Some(state));
        }
        let Ok(Some((objects, place))) = self.objects(&state, None) else { return Ok(Some(state)) };
        let (seat, memory) = (state.registered_at(), state.memory());
        let registration = Registration { shared: &self.shared, context, objects: objects.as_ref(), seat: &seat };
        match registration.refresh(&memory).await? {
            Refreshed::NotAsked => Ok(Some(state)),
            Refreshed::Gone => Ok(None),
            Refreshed::AnotherServer(server_uid) => {
                let reference = state.reference(Some(&place), Attr::Null, Attr::Known(server_uid));
                Ok(Some(BackupTarget { r#ref: Attr::Known(reference), ..state }))
            }
            Refreshed::Seen(found) => {
                let server_uid = memory.server_uid.into();
                let reference = state.reference(Some(&place), Attr::Known(found.uid), server_uid);
                Ok(Some(BackupTarget {
                    r#ref: Attr::Known(reference),
                    status: match found.unavailable {
                        Some(why) => Attr::Known(why),
                        None if drilled => registered::DRILL.into(),
                        None => "ready".into(),
                    },
                    credentials: if found.stale { "stale" } else { "current" }.into(),
                    drift: Attr::Known(found.drift.into_iter().map(Attr::Known).collect()),
                    ..state
                }))
            }
        }
    }

    /// Makes the objects, or makes them so.
    pub(super) async fn apply_registered(
        &self,
        context: &Context,
        prior: Option<BackupTarget>,
        planned: BackupTarget,
        config: &BackupTarget,
    ) -> Result<BackupTarget> {
        if self.shared.is_drill() && !self.is_drilled(&planned) {
            return Ok(planned);
        }
        let earlier = prior.as_ref().map(|prior| {
            let opened = self.objects(prior, None).map(|opened| opened.map(|(objects, _)| objects));
            Earlier::new(prior.registered_at(), prior.memory(), opened)
        });
        // What is only in the configuration is written when it is new, or its version is.
        let seat = planned.registered_at();
        let memory = earlier.as_ref().map(|earlier| earlier.memory().clone()).unwrap_or_default();
        let (there, _) = self.objects(&planned, None)?.ok_or_else(not_known)?;
        let same_server = memory.uid.is_some() && there.server_uid().await.ok() == memory.server_uid;
        if self.shared.is_drill() && !same_server && matches!(there.find().await, Ok(Some(_))) {
            return Err(Diagnostics::error(
                "A drill takes nothing over",
                format!(
                    "{} is there already. Drill in a cluster of its own, or give the target another name.",
                    there.what()
                ),
            ));
        }
        if !same_server {
            let warnings = self.before_new(&planned).await?;
            let subject = format!("target {}", planned.name.text().unwrap_or_default());
            crate::jobs::report(&self.shared, context, &subject, &warnings);
        }
        // The same Secret holds where the store is and its keys.
        let as_before = |prior: &BackupTarget| {
            prior.write_only_version() == planned.write_only_version() && prior.store == planned.store
        };
        let writes = !same_server || !prior.as_ref().is_some_and(as_before);
        let config = config.registered().filter(|_| writes);
        let (mut objects, place) = self.objects(&planned, config)?.ok_or_else(not_known)?;
        let operation = if prior.is_some() { Operation::Update } else { Operation::Create };
        let limit = timeouts::of(&planned.timeouts, operation, timeouts::DECLARATIVE);
        crate::jobs::warn_of_token(context, &self.shared, seat.engine, &seat.connection, limit).await;
        objects.wait(timeouts::patience(&planned.timeouts, operation));
        if let Some(earlier) = &earlier {
            earlier.followed_by(objects.as_mut(), same_server);
        }
        let registration = Registration { shared: &self.shared, context, objects: objects.as_ref(), seat: &seat };
        let adopt = Adopt::parse(planned.adopt.text());
        let made =
            registration.apply(earlier.as_ref(), &planned.memory(), adopt, planned.expect_server_uid.text()).await?;
        if let Some(earlier) = earlier {
            earlier.leave(&registration, &made).await?;
        }
        let reference = planned.reference(Some(&place), made.uid.into(), made.server_uid.into());
        Ok(BackupTarget { r#ref: Attr::Known(reference), ..planned })
    }

    /// Removes the objects; what is stored stays.
    pub(super) async fn delete_registered(&self, context: &Context, prior: &BackupTarget) -> Result<()> {
        if self.shared.is_drill() {
            registered::refuse_in_drill(&prior.status)?;
        }
        if prior.memory().uid.is_none() {
            return Ok(());
        }
        let (objects, _) = self.objects(prior, None)?.ok_or_else(not_known)?;
        let seat = prior.registered_at();
        Registration { shared: &self.shared, context, objects: objects.as_ref(), seat: &seat }
            .delete(&prior.memory())
            .await
    }

    /// Imports objects on a server.
    pub(super) async fn import_registered(&self, imported: Imported) -> Result<BackupTarget> {
        let Imported { engine, connection, scope, name } = imported;
        let cluster = || self.shared.cluster(&connection, &Path::default())?.ok_or_else(not_known);
        let (cluster, found) = match engine.as_str() {
            velero::ENGINE => {
                let cluster = cluster()?;
                let found = velero::import::target(&self.shared, &cluster, &scope, &name).await?;
                (cluster, found.with(Engine::Velero))
            }
            k8up::ENGINE => {
                let cluster = cluster()?;
                let found = k8up::import::target(&self.shared, &cluster, &scope, &name).await?;
                (cluster, found.with(Engine::K8up))
            }
            volsync::ENGINE => {
                let cluster = cluster()?;
                let found = volsync::import::target(&self.shared, &cluster, &scope, &name).await?;
                (cluster, found.with(Engine::Volsync))
            }
            _ => return Err(not_importable(&engine, Concept::Target)),
        };
        let server_uid = imported::server_uid(&cluster).await?;
        let place = found.place;
        let store = StoreModel { credentials: found.credentials, ..StoreModel::of(&place) };
        let target = BackupTarget {
            name: Attr::Known(name),
            store: Attr::Known(store),
            access: if found.read_only { "read_only" } else { "read_write" }.into(),
            deletion_policy: "keep".into(),
            adopt: "if_compatible".into(),
            engine: Attr::Known(found.block),
            status: "ready".into(),
            credentials: "current".into(),
            drift: Attr::Known(Vec::new()),
            ..BackupTarget::default()
        };
        let reference = target.reference(Some(&place), Attr::Known(found.uid), Attr::Known(server_uid));
        Ok(BackupTarget { r#ref: Attr::Known(reference), ..target })
    }
}

fn not_known() -> Diagnostics {
    Diagnostics::error_at(
        Path::attribute("store"),
        "Something is not known yet",
        "The connection of the server or of the store, or a secret, still has an unknown value.",
    )
}
