//! `dr_backup_job`: one backup, now.

use std::collections::BTreeMap;
use std::sync::Arc;

use dr_framework::{
    Attr, Choice, Context, Diagnostic, Diagnostics, ImportBy, Model, Path, Plan, Resource, Result, Set, Value,
    async_trait,
};

use crate::deletion::refuse_destroy;
use crate::engines::concepts::{BackupBlock, OpenBackup};
use crate::engines::k8up::backup_block::K8upBackupBlock;
use crate::engines::restic::model::ResticBackup;
use crate::engines::table::{self, Concept};
use crate::engines::velero::backup_block::VeleroBackupBlock;
use crate::engines::volsync::backup_block::VolsyncBackupBlock;
use crate::jobs::{self, PointModel, count, moment};
use crate::ledger::{LastRun, LedgerStore, Record};
use crate::reference::{Place, Reference};
use crate::restore_job::SERIES;
use crate::run::{
    self, BackupJob, BackupOutcome, BackupParts, BackupResult, Cause, Change, FirstBackup, Planned, Prior, ReadBack,
    Refreshed, TargetState,
};
use crate::shared::Shared;
use crate::timeouts::{self, Deadline, Operation, Timeouts};
use crate::validators;
use crate::words::sentence;

/// One backup, now: when the job is created, when its triggers change, and on destroy if asked for.
///
/// A backup that failed or was killed runs again with the next apply. After it, the retention of its target is applied. It
/// refuses to store a new or empty volume over older recovery points: restore first, and name the restore in `after`.
///
/// A job is not imported. Applied anew, as after a lost state, it stores one backup more, which does no harm; a run that a killed
/// process had stored just now is ended, and not made again.
#[derive(Model, Clone, Debug)]
pub struct BackupJobModel {
    /// The job's name: lower-case letters, digits and hyphens.
    #[dr(required, validate = validators::name)]
    pub name: Attr<String>,
    /// Where the backup goes: `ref` of a `dr_backup_target`.
    #[dr(required)]
    pub target: Attr<Reference>,
    /// The restore that has to end first: `ref` of a `dr_restore_job`. Nothing is backed up before its verdict.
    #[dr(optional)]
    pub after: Attr<Reference>,
    /// Values whose change runs the job again. They are shown in plans and must not be secrets.
    #[dr(optional)]
    pub triggers: Attr<BTreeMap<String, Attr<String>>>,
    /// When it runs: on `create`, when `triggers` change, on `destroy`.
    #[dr(default_with = usual_moments, validate = validators::moments)]
    pub on: Attr<Set<Attr<String>>>,
    /// What is backed up, by any of its values: orders a backup on destroy before it is destroyed.
    #[dr(optional)]
    pub protects: Attr<Vec<Attr<String>>>,
    /// What is read back afterwards: `none`, `structure` (everything that is needed is there), or `data` (all of it).
    #[dr(default = "none", validate = validators::verify)]
    pub verify: Attr<String>,
    /// Whether something new or empty may be stored over older recovery points: `refuse` or `allow`.
    #[dr(default = "refuse", validate = validators::first_backup)]
    pub first_backup: Attr<String>,
    /// What a destroy does with the backup that `result` names: `keep` it, `delete` it with all that it stored, or `prevent`
    /// the destroy. Only Velero can delete one backup and keep the others. Backups of earlier runs of the job stay. In a
    /// replacement the backup goes before the new one is stored, unless `create_before_destroy` turns that round. A
    /// backup of what is missing, empty or newer than it is not deleted, unless `first_backup` is `allow`. Restores of other
    /// clusters from the same bucket are not seen.
    #[dr(default = "keep", validate = validators::deletion_policy)]
    pub deletion_policy: Attr<String>,
    /// How long operations may take, like `30m`; 24 hours if left out, and 5 minutes to refresh.
    #[dr(optional)]
    pub timeouts: Attr<Timeouts>,
    #[dr(one_of)]
    engine: Attr<Engine>,
    /// The job's own reference.
    #[dr(computed)]
    pub r#ref: Attr<Reference>,
    /// The repository that the job writes to.
    #[dr(computed)]
    pub server_uid: Attr<String>,
    /// How the last run ended: `none`, `succeeded`, `failed` or `unfinished`.
    #[dr(computed)]
    pub last_run: Attr<String>,
    /// `normal`, or `drill` when nothing was stored because of it.
    #[dr(computed)]
    pub status: Attr<String>,
    /// What the last run did.
    #[dr(computed)]
    pub result: Attr<ResultModel>,
}

/// What a run did.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct ResultModel {
    /// `stored` or `skipped`.
    #[dr(computed)]
    pub outcome: Attr<String>,
    /// The new recovery point.
    #[dr(computed)]
    pub point: Attr<PointModel>,
    /// When it began, in RFC 3339.
    #[dr(computed)]
    pub started: Attr<String>,
    /// When it ended, in RFC 3339.
    #[dr(computed)]
    pub finished: Attr<String>,
    /// How many seconds it took.
    #[dr(computed)]
    pub seconds: Attr<i64>,
    /// How many bytes the point holds.
    #[dr(computed)]
    pub bytes: Attr<i64>,
    /// How many files and folders.
    #[dr(computed)]
    pub items: Attr<i64>,
    /// The repository that it was stored in.
    #[dr(computed)]
    pub server_uid: Attr<String>,
}

/// The engines.
#[derive(Choice, Clone, Debug, PartialEq)]
enum Engine {
    /// Paths, into a restic-format repository.
    Restic(ResticBackup),
    /// Namespaces of a cluster: a Backup of Velero.
    Velero(VeleroBackupBlock),
    /// The volumes of a namespace: a Backup of k8up.
    K8up(K8upBackupBlock),
    /// A claim of a cluster: a ReplicationSource of VolSync.
    Volsync(VolsyncBackupBlock),
}

impl Engine {
    fn block(&self) -> &dyn BackupBlock {
        match self {
            Engine::Restic(block) => block,
            Engine::Velero(block) => block,
            Engine::K8up(block) => block,
            Engine::Volsync(block) => block,
        }
    }
}

fn usual_moments() -> Value {
    Value::set([Value::string("create"), Value::string("triggers")])
}

impl BackupJobModel {
    fn block(&self) -> Option<&dyn BackupBlock> {
        self.engine.known().map(Engine::block)
    }

    /// The engine of the block, or those that a backup may have while it is not known.
    fn engines(&self) -> Vec<&'static str> {
        self.block().map_or_else(|| table::with(Concept::Backup), |block| vec![block.engine()])
    }

    fn causes(&self) -> Vec<Cause> {
        let words = self.on.known().map(|Set(words)| words.as_slice()).unwrap_or_default();
        let cause = |word: &Attr<String>| match word.text() {
            Some("create") => Some(Cause::Create),
            Some("triggers") => Some(Cause::Triggers),
            Some("destroy") => Some(Cause::Destroy),
            _ => None,
        };
        words.iter().filter_map(cause).collect()
    }

    fn target_uid(&self) -> Attr<String> {
        self.target.known().map_or(Attr::Unknown, |target| target.server_uid.clone())
    }

    fn deletes(&self) -> bool {
        self.deletion_policy.text() == Some("delete")
    }

    /// The backup that the last run stored.
    fn stored(&self) -> Option<&PointModel> {
        self.result.known()?.point.known()
    }

    fn first_backup(&self) -> FirstBackup {
        match self.first_backup.text() {
            Some("allow") => FirstBackup::Allow,
            _ => FirstBackup::Refuse,
        }
    }

    /// What can't be deleted by a destroy.
    fn check_deletion(&self) -> Diagnostics {
        if !self.deletes() {
            return Diagnostics::default();
        }
        let path = Path::attribute("deletion_policy");
        let engine = self.block().and_then(|block| table::engine(block.engine()));
        if let Some(engine) = engine.filter(|engine| !engine.removes_one_backup) {
            return Diagnostics::error_at(
                path,
                "One backup can't be deleted",
                format!(
                    "The engine {:?} keeps all backups in one repository, from which only its retention removes some: use \
                     `keep` or `prevent`.",
                    engine.name
                ),
            );
        }
        if self.causes().contains(&Cause::Destroy) {
            return Diagnostics::error_at(
                path,
                "A last backup that is deleted",
                "`on` has \"destroy\", which stores a backup for the time after: use `keep`, or leave \"destroy\" out.",
            );
        }
        Diagnostics::default()
    }

    fn changed(&self, before: &BackupJobModel) -> Vec<String> {
        let engine = self.block().map_or("engine", BackupBlock::engine);
        if self.engine == before.engine { Vec::new() } else { vec![engine.to_owned()] }
    }
}

/// The resource.
pub struct BackupJobs {
    shared: Arc<Shared>,
}

impl BackupJobs {
    /// With what it shares.
    pub fn new(shared: Arc<Shared>) -> Self {
        BackupJobs { shared }
    }

    /// The backup: `None` while something that it takes is not known.
    fn open(&self, model: &BackupJobModel) -> Result<Option<OpenBackup>> {
        match (model.block(), model.target.known()) {
            (Some(block), Some(target)) => block.open(&self.shared, target),
            _ => Ok(None),
        }
    }

    fn job(&self, model: &BackupJobModel, target: &str) -> Result<BackupJob> {
        Ok(BackupJob {
            name: model.name.text().unwrap_or_default().to_owned(),
            engine: model.block().map(BackupBlock::engine).unwrap_or_default().to_owned(),
            server_uid: model.target_uid().known().cloned(),
            target: target.to_owned(),
            triggers: jobs::triggers(&model.triggers).ok_or_else(not_known)?,
            series: SERIES.to_owned(),
            on: model.causes(),
            first_backup: model.first_backup(),
            verify: match model.verify.text() {
                Some("structure") => ReadBack::Structure,
                Some("data") => ReadBack::Data,
                _ => ReadBack::None,
            },
            drill: self.shared.is_drill(),
        })
    }

    fn reference(&self, model: &BackupJobModel, uid: Attr<String>) -> Reference {
        let target = model.target.known().cloned().unwrap_or_else(Reference::open);
        Reference { kind: "backup_job".into(), name: model.name.clone(), uid, ..target }
    }

    async fn run(
        &self,
        context: &Context,
        model: &BackupJobModel,
        cause: Cause,
        deadline: &Deadline,
    ) -> Result<BackupResult> {
        let name = model.name.text().unwrap_or_default();
        let action = format!("back up {name:?}");
        let OpenBackup { target, ledger, others, engine } = self.open(model)?.ok_or_else(not_known)?;
        // Of a reference that does not say where, the storage may know.
        let here = || Some((model.after.known()?.uid.text()?.to_owned(), ledger.clone()));
        let after = jobs::run_of(&self.shared, &model.after).await?.or_else(here);
        let job = self.job(model, &target)?;
        let connection = model.target.known().map_or(Attr::Unknown, |target| target.connection.clone());
        jobs::warn_of_token(
            context,
            &self.shared,
            &job.engine,
            connection.text().unwrap_or_default(),
            deadline.limit(),
        )
        .await;
        let parts = BackupParts {
            ledger: ledger.as_ref(),
            after: after.as_ref().map(|(key, ledger)| (key.as_str(), ledger.as_ref())),
            others: others.iter().map(AsRef::as_ref).collect(),
            engine: engine.as_ref(),
            cancel: deadline.cancel(),
        };
        let result = match run::backup(&job, cause, &parts).await {
            Ok(result) => result,
            Err(error) => return Err(jobs::failed(&action, error, deadline, parts.engine).await),
        };
        // The plan of the same apply speaks of the job.
        jobs::report(&self.shared, context, &format!("the backup of {name}"), &result.warnings);
        Ok(result)
    }

    fn refuse_destroy(&self, prior: &BackupJobModel) -> Result<()> {
        prior.check_deletion().into_result()?;
        // What a drill applied has stored nothing.
        let in_drill = self.shared.is_drill() && prior.stored().is_some();
        refuse_destroy(&prior.deletion_policy, &prior.name, in_drill)
    }

    /// Removes the backup that the last run stored.
    async fn remove(&self, context: &Context, prior: &BackupJobModel) -> Result<()> {
        let run = prior.r#ref.known().and_then(|reference| reference.uid.text());
        let point = prior.stored().and_then(|point| point.id.text());
        let (Some(run), Some(point)) = (run, point) else { return Ok(()) };
        let name = prior.name.text().unwrap_or_default();
        let open = self.open(prior)?.ok_or_else(not_known)?;
        let failed = |error: &dyn std::fmt::Display| {
            Diagnostics::error(
                format!("Unable to delete the backup of {name:?}"),
                format!(
                    "{}\n\nTo destroy the job and keep the backup, apply `deletion_policy = \"keep\"` first.",
                    sentence(error)
                ),
            )
        };
        if prior.first_backup() == FirstBackup::Refuse {
            let ledgers: Vec<&dyn LedgerStore> =
                std::iter::once(&open.ledger).chain(&open.others).map(AsRef::as_ref).collect();
            let may = run::check_removal(point, open.engine.as_ref(), &ledgers).await;
            may.map_err(|error| failed(&error))?;
        }
        let warnings = open.engine.remove(run, point).await.map_err(|error| failed(&error))?;
        jobs::report(&self.shared, context, &format!("the backup of {name}"), &warnings);
        Ok(())
    }

    async fn refresh(&self, state: BackupJobModel) -> Result<BackupJobModel> {
        // A state of a time before there was a choice.
        let state = BackupJobModel { deletion_policy: state.deletion_policy.or("keep".into()), ..state };
        let Ok(Some(OpenBackup { target, ledger, .. })) = self.open(&state) else { return Ok(state) };
        let Ok(key) = self.job(&state, &target).map(|job| job.key()) else { return Ok(state) };
        match ledger.read(&key).await {
            Ok(record) => {
                let last_run = record.as_ref().map_or(LastRun::None, Record::last_run);
                Ok(BackupJobModel { last_run: last_run.as_str().into(), ..state })
            }
            // A store that can't be reached leaves what is known as it was.
            Err(error) => {
                tracing::warn!(%error, "the ledger of a backup job could not be read");
                Ok(state)
            }
        }
    }
}

fn not_known() -> Diagnostics {
    Diagnostics::error(
        "Something is not known yet",
        "The target, its connection or secret, or a trigger still has an unknown value.",
    )
}

#[async_trait]
impl Resource for BackupJobs {
    type Model = BackupJobModel;

    fn type_name(&self) -> &'static str {
        "dr_backup_job"
    }

    async fn validate(&self, _: &Context, config: &BackupJobModel) -> Diagnostics {
        let mut found = Diagnostics::default();
        if let Attr::Known(target) = &config.target {
            let path = Path::attribute("target");
            found.extend(target.check(&path, &["backup_target"], &config.engines()));
            if target.is_read_only() {
                found.extend(Diagnostics::error_at(
                    path.clone(),
                    "Backup to a read-only target",
                    "The target's `access` is \"read_only\": nothing may be written there.",
                ));
            }
            found.extend(Place::check(&target.store, &path));
            found.extend(config.block().map(|block| block.conflicts(target)).unwrap_or_default());
        }
        if let Attr::Known(after) = &config.after {
            found.extend(after.check(&Path::attribute("after"), &["restore_job"], &table::with(Concept::Restore)));
        }
        found.extend(config.check_deletion());
        found
    }

    async fn plan_destroy(&self, context: &Context, prior: &BackupJobModel) -> Result<()> {
        self.refuse_destroy(prior)?;
        if let Some(point) = prior.stored().filter(|_| prior.deletes()) {
            let text = |attr: &Attr<String>| attr.text().unwrap_or_default().to_owned();
            let bytes = point.bytes.known().and_then(|bytes| u64::try_from(*bytes).ok());
            let size = bytes.map(|bytes| format!(", {}", run::in_units(bytes))).unwrap_or_default();
            context.report(Diagnostic::warning(
                "A backup will be deleted",
                format!("Backup {} of {}{size} goes, with all that it stored.", text(&point.id), text(&point.time)),
            ));
        }
        Ok(())
    }

    async fn plan(&self, context: &Context, plan: &mut Plan<'_, BackupJobModel>) -> Result<()> {
        if let (Some(block), Some(target)) = (plan.planned.block(), plan.planned.target.known()) {
            block.is_known(&self.shared, target)?;
        }
        let uid = plan.planned.target_uid();
        let prior = plan.prior.map(|prior| Prior {
            triggers: jobs::triggers(&prior.triggers).unwrap_or_default(),
            ran_on: prior.result.known().and_then(|result| result.server_uid.known().cloned()),
            refreshed: Refreshed {
                server_uid: uid.known().cloned(),
                target_state: TargetState::Present,
                last_run: LastRun::parse(prior.last_run.text()),
                candidate: None,
            },
        });
        let asked = Planned {
            triggers: jobs::triggers(&plan.planned.triggers),
            server_unknown: uid.is_unknown(),
            changed: plan.prior.map(|prior| plan.planned.changed(prior)).unwrap_or_default(),
            ..Planned::default()
        };
        let mut due = run::due_backup(prior.as_ref(), &asked, &plan.planned.causes());
        // What a drill left out is made up for.
        let drilled = plan.prior.is_some_and(|prior| prior.status.text() == Some("drill"));
        if drilled && !self.shared.is_drill() {
            due.change = Change::Run;
        }
        // While a part of the configuration is open, so is whether it runs: nothing may be promised that a run changes.
        let decided = plan.config.to_object().is_wholly_known();
        let planned = &mut plan.planned;
        // A new job that does not run on create is written down as skipped by its apply.
        let Some(prior) = plan.prior.filter(|_| decided && due.change == Change::None) else {
            planned.server_uid = uid;
            planned.last_run = Attr::Unknown;
            planned.status = Attr::Unknown;
            planned.result = Attr::Unknown;
            planned.r#ref = Attr::Known(self.reference(planned, Attr::Unknown));
            return Ok(());
        };
        let subject = format!("the backup of {}", planned.name.text().unwrap_or("a job"));
        jobs::report(&self.shared, context, &subject, &due.warnings);
        let uid = prior.r#ref.known().map_or(Attr::Unknown, |reference| reference.uid.clone());
        planned.server_uid = planned.target_uid();
        planned.r#ref = Attr::Known(self.reference(planned, uid));
        Ok(())
    }

    async fn read(&self, context: &Context, state: BackupJobModel) -> Result<Option<BackupJobModel>> {
        let limit = timeouts::of(&state.timeouts, Operation::Read, timeouts::READ);
        timeouts::within(context, "refreshing a backup job", limit, self.refresh(state)).await.map(Some)
    }

    async fn apply(
        &self,
        context: &Context,
        prior: Option<BackupJobModel>,
        planned: BackupJobModel,
        _: BackupJobModel,
    ) -> Result<BackupJobModel> {
        if !planned.result.is_unknown() {
            return Ok(planned);
        }
        let (cause, operation) = match prior {
            Some(_) => (Cause::Triggers, Operation::Update),
            None => (Cause::Create, Operation::Create),
        };
        let deadline = Deadline::start(context, &planned.timeouts, operation, timeouts::JOB);
        // What was not known when it was validated.
        planned.check_deletion().into_result()?;
        let done = self.run(context, &planned, cause, &deadline).await?;
        let stored = done.outcome == BackupOutcome::Stored;
        let before = prior.filter(|_| !stored);
        let before = before.and_then(|prior| prior.result.into_known().zip(prior.r#ref.into_known()));
        let (result, key) = match before {
            // Not running leaves the last backup what it was, and the run that made it.
            Some((before, made)) => (ResultModel { server_uid: planned.target_uid(), ..before }, made.uid),
            None => (result(&done, planned.target_uid()), Attr::Known(done.key)),
        };
        let last_run = if stored { "succeeded" } else { "none" };
        let status = if self.shared.is_drill() { "drill" } else { "normal" };
        Ok(BackupJobModel {
            r#ref: Attr::Known(self.reference(&planned, key)),
            server_uid: planned.target_uid(),
            last_run: last_run.into(),
            status: status.into(),
            result: Attr::Known(result),
            ..planned
        })
    }

    async fn import(&self, _: &Context, _: ImportBy) -> Result<Self::Model> {
        Err(jobs::not_importable(
            self.type_name(),
            "Apply the job: it stores one backup more, which does no harm. Leave \"create\" out of `on` to store none until the \
             triggers change.",
        ))
    }

    async fn delete(&self, context: &Context, prior: BackupJobModel) -> Result<()> {
        self.refuse_destroy(&prior)?;
        if prior.deletes() {
            let limit = timeouts::of(&prior.timeouts, Operation::Delete, timeouts::JOB);
            return timeouts::within(context, "deleting a backup", limit, self.remove(context, &prior)).await;
        }
        if !prior.causes().contains(&Cause::Destroy) {
            return Ok(());
        }
        let deadline = Deadline::start(context, &prior.timeouts, Operation::Delete, timeouts::JOB);
        let prior = BackupJobModel { after: Attr::Null, ..prior };
        self.run(context, &prior, Cause::Destroy, &deadline).await.map(drop).map_err(|mut failed| {
            failed.push(Diagnostic::error(
                "The last backup before the destroy failed",
                "Nothing was destroyed. To destroy without it, forget the job with a `removed` block that says \
                 `lifecycle { destroy = false }`, or with `state rm`.",
            ));
            failed
        })
    }
}

fn result(done: &BackupResult, server_uid: Attr<String>) -> ResultModel {
    ResultModel {
        outcome: done.outcome.as_str().into(),
        point: done.point.as_ref().map(PointModel::from).into(),
        started: moment(done.started),
        finished: moment(done.finished),
        seconds: Attr::Known(count(done.seconds)),
        bytes: Attr::Known(count(done.bytes)),
        items: Attr::Known(count(done.items)),
        server_uid,
    }
}
