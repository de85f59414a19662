//! `dr_backup_schedule`: backups that an engine takes by itself.

use std::sync::Arc;

use dr_framework::{
    Attr, Choice, Context, Diagnostic, Diagnostics, Identity, IdentitySchema, ImportBy, Model, MoveFrom, Path, Plan,
    Resource, Result, Severity, Value, async_trait,
};

use crate::backup_target::{Imported, identity_schema, not_importable};
use crate::cron::{Argument, Cron};
use crate::deletion::refuse_destroy;
use crate::engines::concepts::{ScheduleArguments, ScheduleBlock};
use crate::engines::declared::{Adopt, Declared};
use crate::engines::k8up::{self, schedule::K8upSchedule};
use crate::engines::table::{self, Concept};
use crate::engines::velero;
use crate::engines::velero::schedule::VeleroSchedule;
use crate::engines::volsync::{self, schedule::VolsyncSchedule};
use crate::jobs;
use crate::ledger::{ConfigMapLedger, LedgerStore};
use crate::moved;
use crate::reference::Reference;
use crate::registered::{self, Earlier, Memory, Refreshed, Registration, Seat};
use crate::retention::Keep;
use crate::retention_policy::KeepModel;
use crate::run;
use crate::shared::Shared;
use crate::timeouts::{self, Operation, Timeouts};
use crate::validators;
use crate::waiting::Patience;
use crate::words::{ended, sentence};

/// Backups that an engine takes by itself, by a cron line.
///
/// Creating it never stores something new or empty over older recovery points: name the restore that fills what it backs
/// up in `after`. Destroying it removes the schedule and keeps its backups.
#[derive(Model, Clone, Debug, Default)]
pub struct BackupSchedule {
    /// The schedule's name: lower-case letters, digits and hyphens.
    #[dr(required, validate = validators::name)]
    pub name: Attr<String>,
    /// Where the backups go: `ref` of a `dr_backup_target`.
    #[dr(required)]
    pub target: Attr<Reference>,
    /// When it runs: five fields, or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.
    #[dr(required, equal = is_same_line)]
    pub cron: Attr<String>,
    /// The time zone of `cron`, like `Europe/Berlin`; UTC if left out.
    #[dr(optional)]
    pub time_zone: Attr<String>,
    /// How long the backups are kept: `keep` of a `dr_retention_policy`.
    #[dr(optional)]
    pub retention: Attr<KeepModel>,
    /// Whether it rests. Somebody who pauses it elsewhere is seen by the next plan.
    #[dr(default = false)]
    pub paused: Attr<bool>,
    /// The restore that has to end first: `ref` of a `dr_restore_job`. Nothing is backed up before its verdict.
    #[dr(optional)]
    pub after: Attr<Reference>,
    /// Whether something new or empty may be stored over older recovery points: `refuse` or `allow`.
    #[dr(default = "refuse", validate = validators::first_backup)]
    pub first_backup: Attr<String>,
    /// What a destroy does: `keep` removes the schedule and keeps its backups, `prevent` refuses.
    #[dr(default = "keep", validate = validators::keep_or_prevent)]
    pub deletion_policy: Attr<String>,
    /// What a create does with an object that is there already: `if_compatible` takes over what this provider made,
    /// `always` also what others did, `never` refuses.
    #[dr(default = "if_compatible", validate = validators::adopt)]
    pub adopt: Attr<String>,
    /// The uid that the server has to have; another one is an error.
    #[dr(optional)]
    pub expect_server_uid: Attr<String>,
    /// How long operations may take, like `30m`; 10 minutes if left out, and 5 to refresh.
    #[dr(optional)]
    pub timeouts: Attr<Timeouts>,
    #[dr(one_of)]
    engine: Attr<Engine>,
    /// The schedule's own reference.
    #[dr(computed)]
    pub r#ref: Attr<Reference>,
    /// When it runs, in the engine's own spelling.
    #[dr(computed)]
    pub native: Attr<String>,
    /// Alerting rules for Prometheus, in YAML, that tell when its backups fail or stop.
    #[dr(computed)]
    pub alert_rules: Attr<String>,
    /// `ready`; `drill` when nothing was made because of it, or why the engine can't use it, in its own words.
    #[dr(computed)]
    pub status: Attr<String>,
    /// What somebody changed on the server: each field that is not as the configuration sets it, with its value and who set
    /// it. Empty after an apply.
    #[dr(computed)]
    pub drift: Attr<Vec<Attr<String>>>,
}

/// The engines.
#[derive(Choice, Clone, Debug, PartialEq)]
enum Engine {
    /// Velero: a Schedule.
    Velero(VeleroSchedule),
    /// k8up: a Schedule.
    K8up(K8upSchedule),
    /// VolSync: a ReplicationSource.
    Volsync(VolsyncSchedule),
}

impl Engine {
    fn block(&self) -> &dyn ScheduleBlock {
        match self {
            Engine::Velero(block) => block,
            Engine::K8up(block) => block,
            Engine::Volsync(block) => block,
        }
    }
}

/// What is known of a schedule, read once.
struct Known<'a> {
    block: &'a dyn ScheduleBlock,
    target: &'a Reference,
    cron: Cron,
    keep: Option<Keep>,
}

impl BackupSchedule {
    fn block(&self) -> Option<&dyn ScheduleBlock> {
        self.engine.known().map(Engine::block)
    }

    fn engines(&self) -> Vec<&'static str> {
        self.block().map_or_else(|| table::with(Concept::Schedule), |block| vec![block.engine()])
    }

    /// What the engine needs, once all of it is known.
    fn known(&self) -> Result<Option<Known<'_>>> {
        let (Some(block), Some(target)) = (self.block(), self.target.known()) else { return Ok(None) };
        let Some(cron) = self.cron()? else { return Ok(None) };
        if !self.name.is_known()
            || !target.is_placed()
            || self.time_zone.is_unknown()
            || self.retention.is_unknown()
            || self.paused.is_unknown()
        {
            return Ok(None);
        }
        let keep = match &self.retention {
            Attr::Known(keep) => match keep.keep(&Path::attribute("retention"))? {
                Some(keep) => Some(keep),
                None => return Ok(None),
            },
            _ => None,
        };
        Ok(Some(Known { block, target, cron, keep }))
    }

    fn cron(&self) -> Result<Option<Cron>> {
        let Some(text) = self.cron.text() else { return Ok(None) };
        let cron = Cron::parse(text)
            .map_err(|error| Diagnostics::error_at(Path::attribute("cron"), "Unusable cron line", ended(error)))?;
        // One run tells whether the zone exists and whether the line ever comes true.
        let zone = self.time_zone.text().unwrap_or("UTC");
        crate::cron::next_runs(text, YEAR_BEGINS, 1, zone).map_err(|error| {
            let attribute = if error.argument() == Argument::TimeZone { "time_zone" } else { "cron" };
            Diagnostics::error_at(Path::attribute(attribute), "Unusable schedule", ended(error))
        })?;
        Ok(Some(cron))
    }

    fn arguments<'a>(&'a self, known: &'a Known<'a>) -> ScheduleArguments<'a> {
        ScheduleArguments {
            name: self.name.text().unwrap_or_default(),
            target: known.target,
            cron: &known.cron,
            time_zone: self.time_zone.text(),
            keep: known.keep.as_ref(),
            paused: self.paused == Attr::Known(true),
        }
    }

    fn seat(&self) -> (Attr<String>, Attr<String>) {
        match (&self.engine, &self.target) {
            (Attr::Known(engine), Attr::Known(target)) => engine.block().seat(target),
            (Attr::Unknown, _) | (_, Attr::Unknown) => (Attr::Unknown, Attr::Unknown),
            // Only a state that nobody wrote: nothing in it is open.
            _ => (Attr::Null, Attr::Null),
        }
    }

    fn memory(&self) -> Memory {
        Memory::of(&self.r#ref)
    }

    fn registered_at(&self) -> Seat {
        let engine = self.block().map(ScheduleBlock::engine).unwrap_or_default();
        Seat::new("schedule", engine, self.seat(), &self.name)
    }

    fn reference(&self, uid: Attr<String>, server_uid: Attr<String>) -> Reference {
        let (connection, scope) = self.seat();
        let target = self.target.known().cloned().unwrap_or_else(Reference::open);
        Reference {
            kind: "backup_schedule".into(),
            engine: self.block().map_or(Attr::Unknown, |block| block.engine().into()),
            connection,
            server_uid,
            scope,
            name: self.name.clone(),
            uid,
            ..target
        }
    }
}

/// Whether two cron lines are one in two spellings: what is imported is spelled as the engine has it.
fn is_same_line(one: &Value, other: &Value) -> bool {
    let line = |value: &Value| match value {
        Value::String(text) => Cron::parse(text).ok(),
        _ => None,
    };
    line(one).zip(line(other)).is_some_and(|(one, other)| one.runs_like(&other))
}

/// The year of which the zones and lines are tried; any will do.
const YEAR_BEGINS: &str = "2024-01-01T00:00:00Z";

/// The resource.
pub struct BackupSchedules {
    shared: Arc<Shared>,
}

impl BackupSchedules {
    /// With what it shares.
    pub fn new(shared: Arc<Shared>) -> Self {
        BackupSchedules { shared }
    }

    /// The objects: `None` while something that they take is not known.
    fn objects(&self, schedule: &BackupSchedule) -> Result<Option<Box<dyn Declared>>> {
        match schedule.known()? {
            Some(known) => known.block.open(&self.shared, &schedule.arguments(&known)),
            None => Ok(None),
        }
    }

    /// One retention for one scope, as far as one process sees.
    fn claim(&self, schedule: &BackupSchedule, known: &Known<'_>) -> Result<()> {
        let Some(keep) = &known.keep else { return Ok(()) };
        let scope = known.block.retention_scope(&self.shared, &schedule.arguments(known))?;
        let (name, id) = (schedule.name.text().unwrap_or_default(), schedule.registered_at().import_id());
        let name = format!("dr_backup_schedule {name:?} ({id}) that keeps {keep}");
        self.shared.register.policy(&scope, &name).map_err(|conflict| {
            Diagnostics::error_at(Path::attribute("retention"), "Two policies on one scope", ended(conflict))
        })
    }

    /// Refuses to begin before the restore's verdict, and to store something new over older points.
    async fn guard(&self, context: &Context, planned: &BackupSchedule, creates: bool) -> Result<()> {
        let action = format!("schedule {:?}", planned.name.text().unwrap_or_default());
        let failed = |error: &dyn std::error::Error| Diagnostics::error(format!("Unable to {action}"), sentence(error));
        let after = jobs::run_of(&self.shared, &planned.after).await?;
        if let Some((key, ledger)) = &after
            && let Some(warning) = run::check_after(ledger.as_ref(), key).await.map_err(|error| {
                let detail = sentence(&error);
                Diagnostics::error_at(Path::attribute("after"), format!("Unable to {action}"), detail)
            })?
        {
            let subject = format!("schedule {}", planned.name.text().unwrap_or_default());
            jobs::report(&self.shared, context, &subject, &[warning]);
        }
        if !creates || planned.first_backup.text() == Some("allow") {
            return Ok(());
        }
        let Some(known) = planned.known()? else { return Ok(()) };
        let arguments = planned.arguments(&known);
        let histories = known.block.histories(&self.shared, &arguments).await.map_err(|failure| failed(&failure))?;
        let here = self.restores_of(&known)?;
        let ledgers: Vec<&dyn LedgerStore> =
            after.iter().map(|(_, ledger)| ledger).chain(&here).map(AsRef::as_ref).collect();
        let records = run::records(&ledgers).await.map_err(|error| failed(&error))?;
        for history in &histories {
            run::check_first_backup(&history.points, &history.probe, &records).map_err(|error| {
                Diagnostics::error_at(Path::attribute("first_backup"), format!("Unable to {action}"), ended(error))
            })?;
        }
        Ok(())
    }

    /// The ledger of the restores to what it backs up.
    fn restores_of(&self, known: &Known<'_>) -> Result<Option<Arc<dyn LedgerStore>>> {
        let (connection, namespace) = known.block.seat(known.target);
        let (Some(connection), Some(namespace)) = (connection.text(), namespace.text()) else { return Ok(None) };
        let cluster = self.shared.cluster(connection, &Path::attribute("target"))?;
        Ok(cluster.map(|cluster| Arc::new(ConfigMapLedger::new(cluster, namespace)) as Arc<dyn LedgerStore>))
    }

    /// What is on a server, as a state.
    async fn take(&self, imported: Imported) -> Result<BackupSchedule> {
        let Imported { engine, connection, scope, name } = imported;
        let cluster = || self.shared.cluster(&connection, &Path::default())?.ok_or_else(not_known);
        let found = match engine.as_str() {
            velero::ENGINE => {
                let found = velero::import::schedule(&self.shared, &cluster()?, &scope, &name).await?;
                found.with(Engine::Velero)
            }
            k8up::ENGINE => {
                let found = k8up::import::schedule(&self.shared, &cluster()?, &scope, &name).await?;
                found.with(Engine::K8up)
            }
            volsync::ENGINE => {
                let found = volsync::import::schedule(&self.shared, &cluster()?, &scope, &name).await?;
                found.with(Engine::Volsync)
            }
            _ => return Err(not_importable(&engine, Concept::Schedule)),
        };
        let server_uid = found.target.server_uid.clone();
        let schedule = BackupSchedule {
            name: Attr::Known(name),
            target: Attr::Known(found.target),
            cron: Attr::Known(found.cron),
            time_zone: found.time_zone.into(),
            retention: found.keep.into(),
            paused: Attr::Known(found.paused),
            first_backup: "refuse".into(),
            deletion_policy: "keep".into(),
            adopt: "if_compatible".into(),
            engine: Attr::Known(found.block),
            status: "ready".into(),
            drift: Attr::Known(Vec::new()),
            ..BackupSchedule::default()
        };
        let (native, alert_rules) = match schedule.known()? {
            Some(known) => {
                let arguments = schedule.arguments(&known);
                (known.block.native(&arguments).into(), known.block.alert_rules(&arguments).into())
            }
            None => (Attr::Null, Attr::Null),
        };
        let reference = schedule.reference(Attr::Known(found.uid), server_uid);
        Ok(BackupSchedule { r#ref: Attr::Known(reference), native, alert_rules, ..schedule })
    }

    async fn refresh(&self, context: &Context, state: BackupSchedule) -> Result<Option<BackupSchedule>> {
        if state.status.text() == Some(moved::MOVED) {
            return self.take(moved::imported(&self.shared, &state.r#ref)?).await.map(Some);
        }
        if self.shared.is_drill() || state.status.text() == Some(registered::DRILL) {
            return Ok(Some(state));
        }
        let Ok(Some(objects)) = self.objects(&state) else { return Ok(Some(state)) };
        let (seat, memory) = (state.registered_at(), state.memory());
        let registration = Registration { shared: &self.shared, context, objects: objects.as_ref(), seat: &seat };
        match registration.refresh(&memory).await? {
            Refreshed::NotAsked => Ok(Some(state)),
            Refreshed::Gone => Ok(None),
            Refreshed::AnotherServer(server_uid) => {
                let reference = state.reference(Attr::Null, Attr::Known(server_uid));
                Ok(Some(BackupSchedule { r#ref: Attr::Known(reference), ..state }))
            }
            Refreshed::Seen(mut found) => {
                if found.stale {
                    // The values are for nobody's eyes.
                    found.drift.push("its Secret holds another key than the configuration".to_owned());
                }
                let reference = state.reference(Attr::Known(found.uid), memory.server_uid.into());
                Ok(Some(BackupSchedule {
                    r#ref: Attr::Known(reference),
                    status: found.unavailable.map_or("ready".into(), Attr::Known),
                    drift: Attr::Known(found.drift.into_iter().map(Attr::Known).collect()),
                    ..state
                }))
            }
        }
    }

    async fn put(
        &self,
        context: &Context,
        prior: Option<BackupSchedule>,
        planned: BackupSchedule,
        patience: Patience,
    ) -> Result<BackupSchedule> {
        if self.shared.is_drill() {
            let reference = planned.reference(Attr::Null, Attr::Null);
            return Ok(BackupSchedule { r#ref: Attr::Known(reference), status: registered::DRILL.into(), ..planned });
        }
        let of = |prior: &BackupSchedule| Earlier::new(prior.registered_at(), prior.memory(), self.objects(prior));
        let earlier = prior.as_ref().map(of);
        let memory = earlier.as_ref().map(|earlier| earlier.memory().clone()).unwrap_or_default();
        let mut objects = self.objects(&planned)?.ok_or_else(not_known)?;
        let seat = planned.registered_at();
        let there = Registration { shared: &self.shared, context, objects: objects.as_ref(), seat: &seat };
        let server_uid = there.server_uid().await?;
        let same_server = memory.uid.is_some() && server_uid == memory.server_uid;
        // What begins to run here, or to store something else, is looked at like a new one.
        let begins = |prior: &BackupSchedule| {
            prior.target != planned.target || prior.engine != planned.engine || (prior.paused != planned.paused)
        };
        self.guard(context, &planned, !same_server || prior.as_ref().is_none_or(begins)).await?;
        objects.wait(patience);
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
        let reference = planned.reference(made.uid.into(), made.server_uid.into());
        Ok(BackupSchedule { r#ref: Attr::Known(reference), ..planned })
    }
}

fn not_known() -> Diagnostics {
    Diagnostics::error(
        "Something is not known yet",
        "The target, its connection, or the retention still has an unknown value.",
    )
}

#[async_trait]
impl Resource for BackupSchedules {
    type Model = BackupSchedule;

    fn type_name(&self) -> &'static str {
        "dr_backup_schedule"
    }

    fn identity_schema(&self) -> Option<IdentitySchema> {
        Some(identity_schema())
    }

    fn identity(&self, model: &BackupSchedule) -> Identity {
        let (connection, scope) = model.seat();
        let engine = match &model.engine {
            Attr::Known(engine) => engine.block().engine().into(),
            Attr::Unknown => Attr::Unknown,
            Attr::Null => Attr::Null,
        };
        Identity::from([
            ("engine".to_owned(), engine),
            ("connection".to_owned(), connection),
            ("scope".to_owned(), scope),
            ("name".to_owned(), model.name.clone()),
        ])
    }

    async fn validate(&self, context: &Context, config: &BackupSchedule) -> Diagnostics {
        let mut found = Diagnostics::default();
        found.extend(config.cron().err().unwrap_or_default());
        if let Attr::Known(target) = &config.target {
            let path = Path::attribute("target");
            found.extend(target.check(&path, &["backup_target"], &config.engines()));
            if target.is_read_only() {
                found.extend(Diagnostics::error_at(
                    path,
                    "Backup to a read-only target",
                    "The target's `access` is \"read_only\": nothing may be written there.",
                ));
            }
        }
        if let Attr::Known(after) = &config.after {
            found.extend(after.check(&Path::attribute("after"), &["restore_job"], &table::with(Concept::Restore)));
        }
        match config.known() {
            Ok(Some(known)) if !found.has_errors() => {
                for diagnostic in known.block.check(&config.arguments(&known)).0 {
                    match diagnostic.severity {
                        Severity::Error => found.push(diagnostic),
                        Severity::Warning => context.report(diagnostic),
                    }
                }
            }
            Ok(_) => {}
            Err(errors) if !found.has_errors() => found.extend(errors),
            Err(_) => {}
        }
        found
    }

    async fn plan(&self, context: &Context, plan: &mut Plan<'_, BackupSchedule>) -> Result<()> {
        let drill = self.shared.is_drill();
        plan.planned.status = if drill { registered::DRILL } else { "ready" }.into();
        plan.planned.drift = Attr::Known(Vec::new());
        let known = plan.planned.known()?;
        let (native, rules) = match &known {
            Some(known) => {
                let arguments = plan.planned.arguments(known);
                let found = known.block.check(&arguments);
                if found.has_errors() {
                    return Err(found);
                }
                if !drill {
                    self.claim(&plan.planned, known)?;
                }
                (Attr::Known(known.block.native(&arguments)), Attr::Known(known.block.alert_rules(&arguments)))
            }
            None => (Attr::Unknown, Attr::Unknown),
        };
        drop(known);
        plan.planned.native = native;
        plan.planned.alert_rules = rules;
        if drill {
            plan.prior.map_or(Ok(()), |prior| registered::refuse_in_drill(&prior.status))?;
            if self.shared.warns_first("drill schedules") {
                context.report(Diagnostic::warning(
                    "A drill makes no schedules",
                    "Schedules are planned and applied as nothing, so that the whole configuration applies.",
                ));
            }
            plan.planned.r#ref = Attr::Known(plan.planned.reference(Attr::Null, Attr::Null));
            return Ok(());
        }
        let objects = self.objects(&plan.planned)?;
        let server = match (plan.planned.block(), plan.planned.target.known()) {
            (Some(block), Some(target)) => block.server(&self.shared, target)?,
            _ => crate::engines::concepts::TargetServer::Open,
        };
        let memory = plan.prior.map(BackupSchedule::memory).unwrap_or_default();
        let seat = plan.planned.registered_at();
        if let Some(objects) = &objects {
            registered::warn_of_lacking(&self.shared, context, &seat, objects.as_ref());
        }
        let stays = objects.is_some() && plan.prior.is_none_or(|prior| prior.registered_at() == seat);
        let connection = plan.planned.seat().0;
        let (uid, server_uid) = registered::planned(&self.shared, &connection, server, memory, stays).await?;
        plan.planned.r#ref = Attr::Known(plan.planned.reference(uid, server_uid));
        Ok(())
    }

    async fn plan_destroy(&self, _: &Context, prior: &BackupSchedule) -> Result<()> {
        refuse_destroy(&prior.deletion_policy, &prior.name, false)
    }

    async fn read(&self, context: &Context, state: BackupSchedule) -> Result<Option<BackupSchedule>> {
        let limit = timeouts::of(&state.timeouts, Operation::Read, timeouts::READ);
        timeouts::within(context, "refreshing a backup schedule", limit, self.refresh(context, state)).await
    }

    async fn apply(
        &self,
        context: &Context,
        prior: Option<BackupSchedule>,
        planned: BackupSchedule,
        _: BackupSchedule,
    ) -> Result<BackupSchedule> {
        let operation = if prior.is_some() { Operation::Update } else { Operation::Create };
        let limit = timeouts::of(&planned.timeouts, operation, timeouts::DECLARATIVE);
        let patience = timeouts::patience(&planned.timeouts, operation);
        let seat = planned.registered_at();
        let work = async {
            jobs::warn_of_token(context, &self.shared, seat.engine, &seat.connection, limit).await;
            self.put(context, prior, planned, patience).await
        };
        timeouts::within(context, "making the backup schedule", limit, work).await
    }

    async fn delete(&self, context: &Context, prior: BackupSchedule) -> Result<()> {
        refuse_destroy(&prior.deletion_policy, &prior.name, false)?;
        if self.shared.is_drill() {
            registered::refuse_in_drill(&prior.status)?;
        }
        if prior.memory().uid.is_none() {
            return Ok(());
        }
        let limit = timeouts::of(&prior.timeouts, Operation::Delete, timeouts::DECLARATIVE);
        let work = async {
            let objects = self.objects(&prior)?.ok_or_else(not_known)?;
            let seat = prior.registered_at();
            Registration { shared: &self.shared, context, objects: objects.as_ref(), seat: &seat }
                .delete(&prior.memory())
                .await
        };
        timeouts::within(context, "destroying the backup schedule", limit, work).await
    }

    async fn import(&self, _: &Context, by: ImportBy) -> Result<Self::Model> {
        self.take(Imported::parse(&by, Concept::Schedule)?).await
    }

    async fn move_from(&self, _: &Context, source: &MoveFrom) -> Result<Option<Self::Model>> {
        let known = [
            (velero::ENGINE, &velero::schedule::SCHEDULE),
            (k8up::ENGINE, &k8up::schedule::SCHEDULE),
            (volsync::ENGINE, &volsync::SOURCE),
        ];
        let reference =
            known.into_iter().find_map(|(engine, kind)| moved::reference(source, engine, &kind.group, &kind.kind));
        Ok(reference.map(|reference| BackupSchedule {
            name: reference.name.clone(),
            r#ref: Attr::Known(reference),
            status: moved::MOVED.into(),
            ..BackupSchedule::default()
        }))
    }
}
