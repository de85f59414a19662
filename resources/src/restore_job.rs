//! `dr_restore_job`: one restore, once per trigger and target.

use std::collections::BTreeMap;
use std::sync::Arc;

use dr_framework::{
    Attr, Choice, Context, Diagnostic, Diagnostics, ImportBy, Model, Path, Plan, Resource, Result, Value, async_trait,
};

use crate::engines::concepts::{Look, OpenRestore, RestoreBlock, TargetServer};
use crate::engines::k8up::restore_block::K8upRestoreBlock;
use crate::engines::kubernetes::drill::check_drill;
use crate::engines::kubernetes::quiesce::QuiesceModel;
use crate::engines::restic::machine;
use crate::engines::restic::model::ResticRestore;
use crate::engines::table::{self, Concept, EmptyProbe, HandOver, LedgerPlace, QuiesceOrder};
use crate::engines::velero::restore_block::VeleroRestoreBlock;
use crate::engines::volsync::restore_block::VolsyncRestoreBlock;
use crate::jobs::{self, PointModel, count, moment};
use crate::ledger::{LastRun, LedgerError, LedgerStore, Record};
use crate::reference::{Place, Reference};
use crate::registered;
use crate::run::{
    self, Candidate, Change, DataSource, Foreseen, Listing, Locality, Memory, OnFailure, OnMissing, Planned,
    PlannedPoint, PointChoice, Prior, Refreshed, RestoreJob, RestoreParts, RestoreResult, Standing, TargetState, When,
};
use crate::shared::{Reached, Shared};
use crate::store::siblings::Siblings;
use crate::timeouts::{self, Deadline, Operation, Timeouts};
use crate::words::{ended, sentence};
use crate::{clock, validators};
use sha2::{Digest, Sha256};

/// The series whose `seen` mark says that a repository was ever backed up to: retention, and the proof of first use,
/// belong to the repository as a whole.
pub const SERIES: &str = "repository";

/// One restore: brings a target back from a recovery point when it is lost, exactly once per trigger and target.
///
/// Applying again, refreshing, renaming, `-replace`, a lost or copied state, a killed process: none runs it again, none
/// loses it, because what happened is written down beside the target and not only in the state. It runs when the target is
/// what `when` waits for, when `triggers` change, and when its last run did not end well. Destroying it forgets it and
/// touches no data; what a run left in a cluster that was killed or failed goes, and what that paused stays paused. It is not
/// imported: applying it takes over the run that is written down.
#[derive(Model, Clone, Debug)]
pub struct RestoreJobModel {
    /// The job's name: lower-case letters, digits and hyphens. Part of what makes a run the same run.
    #[dr(required, validate = validators::name)]
    pub name: Attr<String>,
    /// Where the recovery points are: `ref` of a `dr_backup_target`, or a store written out.
    #[dr(required)]
    pub source: Attr<Reference>,
    /// Which point; the newest if left out.
    #[dr(optional)]
    pub recovery_point: Attr<RecoveryPoint>,
    /// When the target is restored: `target_missing`, `target_missing_or_empty`, or `always` (whatever is there, with each
    /// change of `triggers`).
    #[dr(default = "target_missing", validate = validators::when)]
    pub when: Attr<String>,
    /// What happens when there is no recovery point: `fail`, or `skip`, which needs proof that the storage was never used.
    #[dr(default = "fail", validate = validators::on_missing)]
    pub on_missing: Attr<String>,
    /// What happens when it fails half way: `stay_quiesced` leaves everything as it is, `resume` changes back what was
    /// changed around it, `roll_back` restores the safety backup first.
    #[dr(default = "stay_quiesced", validate = validators::on_failure)]
    pub on_failure: Attr<String>,
    /// Whether what is overwritten is backed up first. Nothing is when the target is missing or empty.
    #[dr(default = true)]
    pub safety_backup: Attr<bool>,
    /// Whether it restores. With `false` it hands over: it resolves, checks and pins the recovery point, touches no target, and
    /// exports what the owner of the target takes; of the engines here VolSync can.
    #[dr(default = true)]
    pub perform: Attr<bool>,
    /// What is taken down before the target is written, and brought back exactly as it was afterwards; on a cluster only.
    #[dr(optional)]
    pub quiesce: Attr<QuiesceModel>,
    /// How long it may take by your objective, like `30m`; `result.rto_met` says whether it did.
    #[dr(optional, validate = validators::duration)]
    pub rto: Attr<String>,
    /// Values whose change runs the job again. They are shown in plans and must not be secrets.
    #[dr(optional)]
    pub triggers: Attr<BTreeMap<String, Attr<String>>>,
    /// How long operations may take, like `30m`; 24 hours if left out, and 5 minutes to refresh.
    #[dr(optional)]
    pub timeouts: Attr<Timeouts>,
    #[dr(one_of)]
    engine: Attr<Engine>,
    /// The reference that `after` of a backup job takes.
    #[dr(computed)]
    pub r#ref: Attr<Reference>,
    /// The server that holds the target; null for a path.
    #[dr(computed)]
    pub server_uid: Attr<String>,
    /// What the target looked like at the last refresh: `present`, `missing`, `empty`, `partial` or `unknown`.
    #[dr(computed)]
    pub target_state: Attr<String>,
    /// How the last run ended: `none`, `succeeded`, `failed` or `unfinished`.
    #[dr(computed)]
    pub last_run: Attr<String>,
    /// The point that a run would restore, when one is due.
    #[dr(computed)]
    pub candidate: Attr<PointModel>,
    /// Whether the storage was provably never used, at the last refresh of a target that has nothing to be restored from.
    #[dr(computed)]
    pub first_use: Attr<bool>,
    /// The point that the plan showed or the run took.
    #[dr(computed)]
    pub point: Attr<PointModel>,
    /// With `perform = false`: what `dataSourceRef` of a new claim has to say. Null where nothing was handed over: then it is
    /// what the claim that is there says, if that is such a source.
    #[dr(computed)]
    pub data_source_ref: Attr<DataSourceModel>,
    /// With `perform = false`: whether a new claim would be filled by itself, at the last refresh.
    #[dr(computed)]
    pub auto_restore: Attr<AutoRestoreModel>,
    /// What the last run did.
    #[dr(computed)]
    pub result: Attr<ResultModel>,
}

/// An object that new claims are filled from, in their namespace.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct DataSourceModel {
    /// The group of its kind: `volsync.backube`.
    #[dr(computed)]
    pub api_group: Attr<String>,
    /// Its kind: `ReplicationDestination`.
    #[dr(computed)]
    pub kind: Attr<String>,
    /// Its name, which is the job's.
    #[dr(computed)]
    pub name: Attr<String>,
}

/// Whether new claims are filled by themselves.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct AutoRestoreModel {
    /// Whether the image of the pinned point is there and ready.
    #[dr(computed)]
    pub armed: Attr<bool>,
    /// Why it is not.
    #[dr(computed)]
    pub why_not: Attr<String>,
}

impl From<&Standing> for AutoRestoreModel {
    fn from(standing: &Standing) -> Self {
        AutoRestoreModel { armed: Attr::Known(standing.why_not.is_none()), why_not: standing.why_not.clone().into() }
    }
}

impl From<DataSource> for DataSourceModel {
    fn from(source: DataSource) -> Self {
        DataSourceModel { api_group: source.api_group.into(), kind: source.kind.into(), name: source.name.into() }
    }
}

/// Which recovery point is restored.
#[derive(Model, Clone, Debug, PartialEq)]
pub struct RecoveryPoint {
    /// The newest point at or before this moment, in RFC 3339.
    #[dr(optional, validate = validators::instant)]
    pub at: Attr<String>,
    /// Exactly this point: its id, or a beginning of it that fits one.
    #[dr(optional)]
    pub id: Attr<String>,
}

/// What a run did.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct ResultModel {
    /// `restored`, `not_needed`, `skipped_no_points`, `handed_over` or `rolled_back`.
    #[dr(computed)]
    pub outcome: Attr<String>,
    /// Why, with what was seen.
    #[dr(computed)]
    pub decision: Attr<String>,
    /// The point that was restored.
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
    /// How many bytes are in the target because of it.
    #[dr(computed)]
    pub bytes: Attr<i64>,
    /// How many files, folders and links.
    #[dr(computed)]
    pub items: Attr<i64>,
    /// Whether it took no longer than `rto`.
    #[dr(computed)]
    pub rto_met: Attr<bool>,
    /// The server that it restored to; null for a path.
    #[dr(computed)]
    pub server_uid: Attr<String>,
    /// The file system that holds the target.
    #[dr(computed)]
    pub file_system: Attr<String>,
}

/// The engines.
#[derive(Choice, Clone, Debug, PartialEq)]
enum Engine {
    /// A path, from a restic-format repository.
    Restic(ResticRestore),
    /// Namespaces of a cluster, from the bucket of a Velero that may be gone: a Restore of Velero.
    Velero(VeleroRestoreBlock),
    /// A volume of a namespace, from a repository of k8up's: a Restore of k8up.
    K8up(K8upRestoreBlock),
    /// A claim of a cluster, from a restic repository: a ReplicationDestination of VolSync.
    Volsync(VolsyncRestoreBlock),
}

impl Engine {
    fn block(&self) -> &dyn RestoreBlock {
        match self {
            Engine::Restic(block) => block,
            Engine::Velero(block) => block,
            Engine::K8up(block) => block,
            Engine::Volsync(block) => block,
        }
    }

    /// Fills in what follows from other arguments, where the configuration leaves it out.
    fn fill(&mut self, config: &Engine) {
        if let (Engine::Restic(planned), Engine::Restic(config)) = (self, config) {
            planned.fill(config);
        }
    }
}

impl RestoreJobModel {
    fn block(&self) -> Option<&dyn RestoreBlock> {
        self.engine.known().map(Engine::block)
    }

    /// What a run does to the application, for a plan.
    fn steps(&self) -> Vec<String> {
        match (self.block(), self.source.known()) {
            (Some(block), Some(source)) => block.steps(source, &self.quiesce.known().cloned().unwrap_or_default()),
            _ => Vec::new(),
        }
    }

    /// Whether everything is known of what it restores, and of where that is stored.
    fn says_what_it_restores(&self) -> bool {
        let Value::Object(arguments) = self.to_object() else { return false };
        let store = match arguments.get("source") {
            Some(Value::Object(source)) => source.get("store"),
            _ => None,
        };
        let block = self.block().and_then(|block| arguments.get(block.engine()));
        [store, block].iter().all(|value| value.is_some_and(Value::is_wholly_known))
    }

    /// The engine of the block, or those that a restore may have while it is not known.
    fn engines(&self) -> Vec<&'static str> {
        self.block().map_or_else(|| table::with(Concept::Restore), |block| vec![block.engine()])
    }

    /// What is restored to, as it is configured.
    fn target(&self) -> Attr<String> {
        self.block().map_or(Attr::Unknown, RestoreBlock::target)
    }

    /// What the engine can't do.
    fn check_block(&self) -> Diagnostics {
        let Some(block) = self.block() else { return Diagnostics::default() };
        let mut found = block.check();
        let probe = table::engine(block.engine()).map(|engine| engine.empty_probe);
        if self.when() == When::TargetMissingOrEmpty && probe == Some(EmptyProbe::None) {
            found.extend(Diagnostics::error_at(
                Path::attribute("when"),
                "It can't be told whether the target is empty",
                format!("{} can't look into it: use `target_missing`, or `always` with `triggers`.", block.engine()),
            ));
        }
        if self.quiesce.is_known() && !block.can_quiesce() {
            found.extend(Diagnostics::error_at(
                Path::attribute("quiesce"),
                "Nothing to take down",
                format!(
                    "A restore with {} writes to a path, and no application can be taken down around it here.",
                    block.engine()
                ),
            ));
        }
        if let Some(perform) = self.perform.known() {
            found.extend(self.check_perform(block, *perform));
        }
        found
    }

    /// What fits only a run that restores, or only one that hands over.
    fn check_perform(&self, block: &dyn RestoreBlock, perform: bool) -> Diagnostics {
        let hand_over = table::engine(block.engine()).map(|engine| engine.hand_over);
        if !perform && hand_over == Some(HandOver::None) {
            return Diagnostics::error_at(
                Path::attribute("perform"),
                "Nothing to hand over",
                format!(
                    "No target of {} is made from a recovery point by somebody else: leave it out.",
                    block.engine()
                ),
            );
        }
        let mut found = block.check_perform(perform);
        let unfit = [("quiesce", self.quiesce.is_known()), ("rto", self.rto.is_known())];
        for (name, _) in unfit.into_iter().filter(|(_, is_set)| *is_set && !perform) {
            found.extend(Diagnostics::error_at(
                Path::attribute(name),
                "Nothing is restored",
                "With `perform = false` the run ends before a target is touched: leave it out.",
            ));
        }
        found
    }

    /// Whether it restores; what is not known yet may.
    fn performs(&self) -> bool {
        self.perform != Attr::Known(false)
    }

    /// Why what the last run handed over can't be taken any more, at the last refresh.
    fn withdrawn(&self) -> Option<String> {
        let auto_restore = self.auto_restore.known().filter(|auto| auto.armed == Attr::Known(false))?;
        let why = auto_restore.why_not.text().unwrap_or("it is not armed");
        self.has_handed_over().then(|| format!("what was handed over can't be taken: {why}"))
    }

    fn has_handed_over(&self) -> bool {
        self.result.known().and_then(|result| result.outcome.text()) == Some(run::Outcome::HandedOver.as_str())
    }

    /// The name by which its last run handed over: that of the job at that time.
    fn handed_over_as(&self) -> Option<&str> {
        self.data_source_ref.known().and_then(|source| source.name.text()).or(self.name.text())
    }

    /// Whether its last run handed over, and that stands: then a missing target is for its owner to make.
    fn stands(&self) -> bool {
        !self.performs() && self.has_handed_over() && self.withdrawn().is_none()
    }

    fn when(&self) -> When {
        match self.when.text() {
            Some("target_missing_or_empty") => When::TargetMissingOrEmpty,
            Some("always") => When::Always,
            _ => When::TargetMissing,
        }
    }

    fn choice(&self) -> PointChoice {
        let Some(point) = self.recovery_point.known() else { return PointChoice::Newest };
        if let Some(id) = point.id.text() {
            return PointChoice::Id(id.to_owned());
        }
        let at = point.at.text().and_then(|at| validators::parse_instant(at).ok());
        at.map_or(PointChoice::Newest, PointChoice::At)
    }

    fn refreshed(&self) -> Refreshed {
        Refreshed {
            server_uid: self.server_uid.known().cloned(),
            target_state: TargetState::parse(self.target_state.text()),
            last_run: LastRun::parse(self.last_run.text()),
            candidate: self.candidate.known().and_then(PointModel::candidate),
        }
    }

    /// What the last run noted about the place of its target.
    fn landmark(&self) -> Option<String> {
        self.result.known().and_then(|result| result.file_system.known().cloned())
    }

    /// The names of arguments that differ, without those that only say how long things may take.
    fn changed(&self, before: &RestoreJobModel) -> Vec<String> {
        let mut names = Vec::new();
        let mut compare = |name: &str, differs: bool| {
            if differs {
                names.push(name.to_owned());
            }
        };
        compare("recovery_point", self.recovery_point != before.recovery_point);
        compare("when", self.when != before.when);
        let (own, theirs) = (self.source.known(), before.source.known());
        let place = |source: Option<&Reference>| source.map(|source| source.store.clone());
        compare("source", place(own) != place(theirs));
        compare("quiesce", self.quiesce != before.quiesce);
        compare("perform", self.perform != before.perform);
        compare(self.block().map_or("engine", RestoreBlock::engine), self.engine != before.engine);
        names
    }
}

/// The resource.
pub struct RestoreJobs {
    shared: Arc<Shared>,
}

impl RestoreJobs {
    /// With what it shares.
    pub fn new(shared: Arc<Shared>) -> Self {
        RestoreJobs { shared }
    }

    fn job(&self, model: &RestoreJobModel, target: String, server_uid: Option<String>) -> Result<RestoreJob> {
        Ok(RestoreJob {
            name: model.name.text().unwrap_or_default().to_owned(),
            engine: model.block().map(RestoreBlock::engine).unwrap_or_default().to_owned(),
            server_uid,
            target,
            locality: None,
            triggers: jobs::triggers(&model.triggers).ok_or_else(not_known)?,
            series: SERIES.to_owned(),
            when: model.when(),
            on_missing: if model.on_missing.text() == Some("skip") { OnMissing::Skip } else { OnMissing::Fail },
            on_failure: match model.on_failure.text() {
                Some("resume") => OnFailure::Resume,
                Some("roll_back") => OnFailure::RollBack,
                _ => OnFailure::StayQuiesced,
            },
            recovery_point: model.choice(),
            approved: None,
            safety_backup: model.safety_backup.known().copied().unwrap_or(true) && !self.shared.is_drill(),
            perform: model.performs(),
            restores: Self::restores(model),
            rto: model.rto.text().and_then(|rto| validators::parse_duration(rto).ok()),
        })
    }

    /// A digest of what the model restores: what of which storage. The connection may go by another name one day.
    fn restores(model: &RestoreJobModel) -> String {
        let store =
            model.source.known().and_then(|source| Place::from_reference(&source.store, &Path::default()).ok()?);
        let scope = store.map(|place| place.scope().to_owned());
        let what = format!("{:?} {}", scope, model.block().map(RestoreBlock::restores).unwrap_or_default());
        hex::encode(&Sha256::digest(what)[..8])
    }

    /// Two jobs with one run would each take what the other restored for its own. The server need not be known for that.
    fn claim_run(&self, planned: &RestoreJobModel) -> Result<()> {
        let (Some(block), Some(source)) = (planned.block(), planned.source.known()) else { return Ok(()) };
        let (connection, _) = block.place(source);
        let Some((connection, target)) = connection.text().zip(block.destination(&self.shared, source)?) else {
            return Ok(());
        };
        let Ok(job) = self.job(planned, target, Some(connection.to_owned())) else { return Ok(()) };
        self.shared.register.run(&job.key(), &job.restores, (&job.name, &job.target)).map_err(|conflict| {
            Diagnostics::error_at(Path::attribute("name"), "Two jobs are one run", sentence(conflict))
        })
    }

    /// The key of the run that the model asks for, once everything in it is known.
    fn key(&self, model: &RestoreJobModel) -> Option<String> {
        // The server is a part of it.
        if model.server_uid.is_unknown() {
            return None;
        }
        let block = model.block().filter(|block| block.has_certain_key(&self.shared))?;
        let target = block.destination(&self.shared, model.source.known()?).ok()??;
        self.job(model, target, model.server_uid.known().cloned()).ok().map(|job| job.key())
    }

    fn reference(&self, model: &RestoreJobModel, uid: Attr<String>) -> Reference {
        let source = model.source.known();
        let place = model.block().zip(source).map(|(block, source)| block.place(source));
        let (connection, scope) = place.unwrap_or((Attr::Unknown, Attr::Unknown));
        Reference {
            kind: "restore_job".into(),
            engine: model.block().map_or(Attr::Unknown, |block| block.engine().into()),
            connection,
            server_uid: model.server_uid.clone(),
            scope,
            name: model.name.clone(),
            uid,
            store: source.map_or(Attr::Unknown, |source| source.store.clone()),
            secret: source.map_or(Attr::Unknown, |source| source.secret.clone()),
            access: source.map_or(Attr::Unknown, |source| source.access.clone()),
        }
    }

    /// Shows what a run would do now; apply pins its own point.
    async fn preview(&self, context: &Context, planned: &RestoreJobModel, reasons: &[String]) {
        let name = planned.name.text().unwrap_or("a restore job");
        let why = reasons.join(" and ");
        let (summary, detail) = match self.foresee(planned).await {
            Ok(None) => return,
            Ok(Some(Outlook { foreseen: Foreseen::Restores(point), effect, damage })) => {
                let bytes = point.bytes.map(|bytes| format!(", {}", run::in_units(bytes))).unwrap_or_default();
                let mut detail = format!(
                    "A restore will run because {why}. Now it would take recovery point {} of {}{bytes}; apply takes the one \
                     that `recovery_point` means then.\n{effect}.",
                    point.id, point.time
                );
                let steps = planned.steps();
                if !steps.is_empty() {
                    detail.push_str(&format!("\nSteps: {}.", steps.join("; ")));
                }
                if let Some(damage) = damage {
                    detail.push_str(&format!("\n{}", sentence(&damage)));
                }
                (format!("A restore will run for {name}"), detail)
            }
            Ok(Some(Outlook { foreseen: Foreseen::Nothing(nothing), .. })) => (
                format!("Nothing will be restored for {name}"),
                format!("The job runs because {why}, and as things are now that restores nothing: {nothing}."),
            ),
            Err(failure) => (
                format!("A restore will run for {name}, and would fail now"),
                format!(
                    "It runs because {why}. As things are now it would fail: {}\nIf nothing that is applied before it changes \
                     that, apply ends with this error.",
                    ended(failure)
                ),
            ),
        };
        jobs::warn(&self.shared, context, &summary, detail);
    }

    /// What a run would do now, or why it would fail; nothing while something that it takes is not known.
    async fn foresee(&self, planned: &RestoreJobModel) -> std::result::Result<Option<Outlook>, String> {
        let (Some(block), Some(source)) = (planned.block(), planned.source.known()) else { return Ok(None) };
        let open = block.open(&self.shared, source, None).await.map_err(|found| in_words(&found))?;
        let Some(open) = open else { return Ok(None) };
        let probe = open.engine.probe().await.map_err(|error| error.to_string())?;
        let listing = open.engine.list().await.map_err(|error| error.to_string())?;
        let records = self.shared.records(open.ledger.as_ref()).await.map_err(|error| error.to_string())?;
        let Ok(job) = self.job(planned, open.target.clone(), open.server_uid.clone()) else { return Ok(None) };
        let job = RestoreJob { locality: locality(&open, &probe), ..job };
        let siblings = self.siblings(source).map_err(|found| in_words(&found))?;
        let memory = Memory { storage: Some(open.storage.as_ref()), siblings: siblings.as_ref() };
        let foreseen =
            run::foresee(&job, &records, &listing, &probe, &memory).await.map_err(|error| error.to_string())?;
        let effect = match probe.state {
            TargetState::Present | TargetState::Partial => {
                format!("It overwrites {}", block.overwritten(&open.target))
            }
            _ => format!("It fills {}", open.target),
        };
        Ok(Some(Outlook { foreseen, effect, damage: listing.damage() }))
    }

    /// Whether there was nothing to restore at the last run, and still is not: then a missing target is no news.
    fn starts_empty(prior: Option<&RestoreJobModel>) -> bool {
        prior.is_some_and(|prior| {
            let outcome = prior.result.known().and_then(|result| result.outcome.text());
            outcome == Some("skipped_no_points") && prior.first_use == Attr::Known(true)
        })
    }

    /// The server of the target, as far as a plan knows it.
    fn server(&self, model: &RestoreJobModel) -> Result<TargetServer> {
        match (model.block(), model.source.known()) {
            (Some(block), Some(source)) => block.server(&self.shared, source),
            _ => Ok(TargetServer::Open),
        }
    }

    /// What the plan decides, from what Read saw.
    fn due(
        &self,
        prior: Option<&RestoreJobModel>,
        planned: &RestoreJobModel,
        server: TargetServer,
    ) -> Result<run::Due> {
        let runs = |why: String| {
            let (change, point) = (Change::Run, PlannedPoint::Unknown);
            Ok(run::Due { change, reasons: vec![why], point, warnings: Vec::new() })
        };
        if let Some(why) = prior.and_then(RestoreJobModel::withdrawn).filter(|_| !planned.performs()) {
            return runs(why);
        }
        let moves = |prior: &&RestoreJobModel| prior.has_handed_over() && self.hands_over_elsewhere(prior, planned);
        if prior.filter(moves).is_some() && !planned.performs() {
            return runs("it hands over by another name or in another place now".to_owned());
        }
        let stands = |prior: &RestoreJobModel| prior.stands() && !planned.performs();
        let before = prior.map(|prior| Prior {
            triggers: jobs::triggers(&prior.triggers).unwrap_or_default(),
            ran_on: prior.result.known().and_then(|result| result.server_uid.known().cloned()),
            refreshed: match Self::starts_empty(Some(prior)) || stands(prior) {
                true => Refreshed { target_state: TargetState::Present, ..prior.refreshed() },
                false => prior.refreshed(),
            },
        });
        // Another place is another target: apply looks whether it is one to restore.
        if prior.is_some_and(|prior| prior.target() != planned.target()) && planned.when() != When::Always {
            return runs("it restores to another place now".to_owned());
        }
        let configured = planned.target();
        let destination = match (planned.block(), planned.source.known()) {
            (Some(block), Some(source)) => block.destination(&self.shared, source)?,
            _ => None,
        };
        let target = destination.as_deref().or(configured.text()).unwrap_or_default();
        let state = before.as_ref().map(|before| before.refreshed.target_state);
        let asked = Planned {
            triggers: jobs::triggers(&planned.triggers),
            when: planned.when(),
            server_unknown: server == TargetServer::Open,
            exact_point: planned.recovery_point.known().and_then(|point| point.id.known().cloned()),
            changed: prior.map(|prior| planned.changed(prior)).unwrap_or_default(),
            steps: planned.steps(),
            overwrites: matches!(state, Some(TargetState::Present | TargetState::Partial))
                .then(|| planned.block().map_or_else(|| target.to_owned(), |block| block.overwritten(target))),
            target: target.to_owned(),
        };
        run::due(before.as_ref(), &asked, clock::now()).map_err(|undecided| {
            Diagnostics::error_at(Path::attribute("when"), "Is the target lost?", ended(undecided))
        })
    }

    /// Runs the job. `approved` is the point that the plan showed.
    async fn run(
        &self,
        context: &Context,
        model: &RestoreJobModel,
        approved: Option<String>,
        deadline: &Deadline,
    ) -> Result<Done> {
        let name = model.name.text().unwrap_or_default();
        let action = format!("restore {name:?}");
        let (source, block) = (model.source.known().ok_or_else(not_known)?, model.block().ok_or_else(not_known)?);
        block.prepare(&self.shared)?;
        let quiesce = model.quiesce.known().cloned().unwrap_or_default();
        // What a drill restores to is nobody's application.
        let pause = match self.shared.is_drill() || !model.performs() {
            true => None,
            false => block.pause(&self.shared, source, &quiesce).await?,
        };
        let open = block.open(&self.shared, source, model.landmark()).await?.ok_or_else(not_known)?;
        let locality = match lies_with_others(&open) {
            true => locality(&open, &open.engine.probe().await.map_err(|error| unseen(&action, &error))?),
            false => None,
        };
        let OpenRestore { target, server_uid, ledger, storage, engine, may_save } = open;
        if let (Some(seen), Some(found)) = (model.server_uid.known(), &server_uid)
            && seen != found
        {
            return Err(Diagnostics::error(
                format!("Unable to {action}: another server"),
                format!(
                    "The plan saw server {seen} behind this connection, and now it is {found}. Nothing was done: plan again."
                ),
            ));
        }
        let job = RestoreJob { approved, locality, ..self.job(model, target, server_uid.clone())? };
        let siblings = self.siblings(source)?;
        let (connection, _) = block.place(source);
        jobs::warn_of_token(
            context,
            &self.shared,
            block.engine(),
            connection.text().unwrap_or_default(),
            deadline.limit(),
        )
        .await;
        let parts = RestoreParts {
            ledger: ledger.as_ref(),
            memory: Memory { storage: Some(storage.as_ref()), siblings: siblings.as_ref() },
            engine: engine.as_ref(),
            pause: pause.as_deref(),
            safety: if may_save { Some(engine.as_ref()) } else { None },
            order: engine.order().unwrap_or_else(|| {
                table::engine(&job.engine).map_or(QuiesceOrder::QuiesceFirst, |engine| engine.quiesce_order)
            }),
            cancel: deadline.cancel(),
        };
        let run = match run::restore(&job, &parts).await {
            Ok(run) => run,
            Err(error) => return Err(jobs::failed(&action, error, deadline, parts.engine).await),
        };
        // The plan of the same apply speaks of the job.
        jobs::report(&self.shared, context, &format!("the restore of {name}"), &run.warnings);
        let probe = engine.probe().await.map_err(|error| unseen(&action, &error))?;
        let standing = match model.performs() {
            true => None,
            false => {
                let record = ledger.read(&run.key).await.map_err(|error| unseen(&action, &error))?;
                Some(engine.standing(record.as_ref()).await.map_err(|error| unseen(&action, &error))?)
            }
        };
        Ok(Done { run, probe, server_uid, file_system: engine.landmark(), standing })
    }

    /// What lies beside a source in its bucket.
    fn siblings(&self, source: &Reference) -> Result<Option<Siblings>> {
        let path = Path::attribute("source");
        let Some(place) = Place::from_reference(&source.store, &path)? else { return Ok(None) };
        let Some(Reached::S3 { connection, bucket, prefix }) = self.shared.reach(&place, &path)? else {
            return Ok(None);
        };
        if prefix.is_empty() {
            return Ok(None);
        }
        let bucket = self.shared.clients.bucket(&connection, &bucket, "");
        Ok(bucket.ok().map(|bucket| Siblings { bucket: Box::new(bucket), prefix }))
    }

    /// Removes what a job handed over, from the server that it was handed over on. A drill leaves alone what is none of its
    /// own.
    async fn withdraw(&self, state: Option<&RestoreJobModel>) -> Result<()> {
        let Some(state) = state.filter(|state| !state.performs() && state.has_handed_over()) else { return Ok(()) };
        let (block, source, name) = (state.block(), state.source.known(), state.handed_over_as());
        let (Some(block), Some(source), Some(name)) = (block, source, name) else { return Ok(()) };
        let (connection, scope) = block.place(source);
        let named = |attr: &Attr<String>| attr.text().unwrap_or_default().to_owned();
        if check_drill(&self.shared, &named(&connection), &[named(&scope)]).is_err() {
            return Ok(());
        }
        let known = state.server_uid.text();
        match registered::asked(&self.shared, &connection, known, TargetServer::Known).await? {
            TargetServer::Open => Ok(()),
            _ => {
                let key = state.r#ref.known().and_then(|reference| reference.uid.text()).unwrap_or_default();
                block.withdraw(&self.shared, source, name, key).await
            }
        }
    }

    /// Removes what runs of a destroyed job left that did not come to their end, from the server that they ran on. What can't
    /// be removed is an error, but for a job whose last run did.
    async fn abandon(&self, context: &Context, state: &RestoreJobModel) -> Result<()> {
        let (Some(block), Some(source), Some(name)) = (state.block(), state.source.known(), state.name.text()) else {
            return Ok(());
        };
        let (connection, _) = block.place(source);
        let work = async {
            let known = state.server_uid.text();
            if registered::asked(&self.shared, &connection, known, TargetServer::Known).await? == TargetServer::Open {
                return Ok(());
            }
            block.abandon(&self.shared, source, name).await.map_err(|error| {
                let detail = format!("{error}. Remove it by hand, or destroy the job again once that works.");
                Diagnostics::error("A run that did not come to its end left something behind", detail)
            })
        };
        let limit = timeouts::of(&state.timeouts, Operation::Delete, timeouts::DECLARATIVE);
        match timeouts::within(context, "clearing up after a restore job", limit, work).await {
            Err(found) if state.last_run.text() == Some("succeeded") => {
                for error in found.0 {
                    context.report(Diagnostic::warning(error.summary, error.detail));
                }
                Ok(())
            }
            cleared => cleared,
        }
    }

    /// What is handed over under a name, for this process; a connection's alias is the connection.
    fn image(&self, model: &RestoreJobModel, name: Option<&str>) -> Option<String> {
        let (block, source) = (model.block()?, model.source.known()?);
        let (connection, scope) = block.place(source);
        let connection = connection.text()?;
        let cluster = self.shared.cluster(connection, &Path::default()).ok().flatten();
        let connection = cluster.as_ref().map_or(connection, |cluster| cluster.name());
        Some(format!("{} {connection} {}/{}", block.engine(), scope.text()?, name?))
    }

    /// A folder that a target keeps its backups in is nothing to restore to.
    fn claim_destination(&self, planned: &RestoreJobModel) -> Result<()> {
        let (Some(block), Some(source)) = (planned.block(), planned.source.known()) else { return Ok(()) };
        let beside = table::engine(block.engine()).map(|engine| engine.ledger_place) == Some(LedgerPlace::Path);
        let Some(path) = block.destination(&self.shared, source)?.filter(|_| beside) else { return Ok(()) };
        let job = format!("dr_restore_job {:?}", planned.name.text().unwrap_or_default());
        self.shared.register.destination(self.shared.exclusive(&Place::Local { path }), &job).map_err(|conflict| {
            Diagnostics::error_at(
                Path::attribute(block.engine()).then("to"),
                "A restore into a repository",
                sentence(conflict),
            )
        })
    }

    /// Two jobs that hand over by one name would take each other's away.
    fn claim_image(&self, planned: &RestoreJobModel) -> Result<()> {
        let (Some(block), Some(source)) = (planned.block(), planned.source.known()) else { return Ok(()) };
        let Some(image) = self.image(planned, planned.name.text()) else { return Ok(()) };
        let Some(target) = block.destination(&self.shared, source)?.filter(|_| planned.perform == Attr::Known(false))
        else {
            return Ok(());
        };
        let target = format!("{target} (of {:?})", source.name.text().unwrap_or_default());
        self.shared.register.image(&image, &target).map_err(|conflict| {
            Diagnostics::error_at(Path::attribute("name"), "Two jobs hand over by one name", ended(conflict))
        })
    }

    /// Whether what a job hands over has another name or another place now.
    fn hands_over_elsewhere(&self, prior: &RestoreJobModel, planned: &RestoreJobModel) -> bool {
        self.image(prior, prior.handed_over_as()) != self.image(planned, planned.name.text())
    }

    async fn record_standing(
        &self,
        ledger: &dyn LedgerStore,
        job: &RestoreJob,
    ) -> std::result::Result<Option<Record>, Arc<LedgerError>> {
        let records = self.shared.records(ledger).await?;
        Ok(job.standing(&records).cloned())
    }

    async fn refresh(&self, context: &Context, state: RestoreJobModel) -> Result<RestoreJobModel> {
        let landmark = state.landmark();
        let Some(source) = state.source.known() else { return Ok(state) };
        let look = match state.block() {
            Some(block) => block.look(&self.shared, source, landmark.as_deref()).await?,
            None => None,
        };
        let Some(Look { target, server_uid, probe, ledger }) = look else { return Ok(state) };
        let Ok(job) = self.job(&state, target, server_uid.clone()) else { return Ok(state) };
        let name = state.name.text().unwrap_or_default();
        let record = match &ledger {
            Some(beside) => {
                self.record_standing(beside.as_ref(), &job).await.map_err(|error| refresh_failed(name, &error))?
            }
            None => None,
        };
        let last_run = record.as_ref().map_or(LastRun::None, Record::last_run);
        let probe = probe.beside(record.as_ref());
        if probe.state == TargetState::Partial && state.when() != When::Always {
            let subject = format!("the restore of {name}");
            jobs::report(&self.shared, context, &subject, std::slice::from_ref(&probe.evidence));
        }
        if let Some(warning) = record
            .as_ref()
            .and_then(|record| made_anew(record, &probe))
            .filter(|_| state.performs() && server_uid.is_some())
        {
            jobs::report(&self.shared, context, &format!("the restore of {name}"), &[warning]);
        }
        let wanted = record.is_none() || run::wants_candidate(probe.state, last_run, state.when()) || !state.performs();
        let open = match state.block() {
            Some(block) if wanted => block.open(&self.shared, source, landmark).await.ok().flatten(),
            _ => None,
        };
        // The folder may be one whose parent can't be written: then the storage holds the record.
        let record = match (record, &open) {
            (None, Some(open)) => {
                let job = RestoreJob { locality: locality(open, &probe), ..job };
                match self.record_standing(open.ledger.as_ref(), &job).await {
                    Ok(record) => record,
                    // Storage that can't be reached leaves what is known as it was.
                    Err(_) => return Ok(state),
                }
            }
            (record, _) => record,
        };
        let last_run = record.as_ref().map_or(LastRun::None, Record::last_run);
        let state = match &open {
            Some(open) if !state.performs() => match open.engine.standing(record.as_ref()).await {
                Ok(standing) => RestoreJobModel { auto_restore: Attr::Known((&standing).into()), ..state },
                // A server that can't be asked leaves what is known as it was.
                Err(_) => return Ok(state),
            },
            _ => state,
        };
        // A target that is missing is for its owner to make.
        let for_owner = state.stands() && probe.state == TargetState::Missing;
        let judged = if for_owner { TargetState::Present } else { probe.state };
        let picked = match open {
            Some(open) if run::wants_candidate(judged, last_run, state.when()) => {
                pick(&state, record.as_ref(), &open, &probe).await
            }
            _ => None,
        };
        let (picked, first_use, listing) = match picked {
            Some((picked, first_use, listing)) => (Some(picked), Some(first_use), Some(listing)),
            None => (None, None, None),
        };
        if let Some(damage) = listing.as_ref().and_then(Listing::damage).filter(|_| matches!(picked, Some(Some(_)))) {
            let summary = format!("A recovery point for {} can't be read", state.name.text().unwrap_or_default());
            jobs::warn(&self.shared, context, &summary, sentence(&damage));
        }
        let seen = Some((server_uid, judged, record.as_ref()));
        let refreshed = run::refresh(state.refreshed(), seen, state.when(), |pin| picked.unwrap_or(pin));
        Ok(RestoreJobModel {
            server_uid: refreshed.server_uid.into(),
            target_state: probe.state.as_str().into(),
            last_run: refreshed.last_run.as_str().into(),
            candidate: refreshed.candidate.as_ref().map(PointModel::from).into(),
            first_use: first_use.into(),
            ..state
        })
    }
}

/// That what is there is not what the last run ended with: somebody made it anew, as GitOps does, and what was in
/// it may be lost although nothing is missing.
fn made_anew(record: &Record, probe: &run::Probe) -> Option<String> {
    let mut before = record.incarnation.as_deref()?.split(',');
    let ended = record.last_run() == LastRun::Succeeded && probe.state == TargetState::Present;
    if !ended || before.all(|part| probe.shares(part)) {
        return None;
    }
    let born = probe.born.map(|born| format!(" at {born}")).unwrap_or_default();
    Some(format!(
        "{} was made anew{born}, after the last run of this job and by somebody else. If what was in it is lost, set \
         `when = \"always\"` and change `triggers`. If it holds what it should, change `triggers` alone, and the job takes note \
         of it",
        record.target
    ))
}

/// The point that a run would take now, none where that can't be told (the plan says why); whether there is provably nothing
/// to take; and all that there is. Nothing where the storage can't be listed.
async fn pick(
    state: &RestoreJobModel,
    record: Option<&Record>,
    open: &OpenRestore,
    probe: &run::Probe,
) -> Option<(Option<Candidate>, bool, Listing)> {
    let listing = open.engine.list().await.ok()?;
    let picked = run::pick(&listing.points, record, &state.choice(), state.when(), probe.born);
    let first_use = listing.points.is_empty() && listing.first_use == run::FirstUse::Proven;
    Some((picked, first_use, listing))
}

/// Whether the record of a restore to a path lies in the storage, where those of other machines lie too.
fn lies_with_others(open: &OpenRestore) -> bool {
    open.server_uid.is_none() && !open.ledger.lease_covers_target()
}

/// Which target of its name it is, where records of several machines lie together.
fn locality(open: &OpenRestore, probe: &run::Probe) -> Option<Locality> {
    lies_with_others(open).then(|| Locality::of(probe, machine::host()))
}

fn unseen(action: &str, error: &dyn std::error::Error) -> Diagnostics {
    Diagnostics::error(action.to_owned(), ended(error))
}

/// What a run would do now, for a plan.
struct Outlook {
    foreseen: Foreseen,
    /// What becomes of the target.
    effect: String,
    /// What the user should know of the points.
    damage: Option<String>,
}

/// Why something can't be opened.
fn in_words(found: &Diagnostics) -> String {
    let texts = found.0.iter().map(|error| format!("{}: {}", error.summary, error.detail));
    texts.collect::<Vec<_>>().join("\n")
}

/// What a job with a read-only source has to say in words, and what that means for what is there.
fn unsaved(when: &Attr<String>) -> String {
    let meaning = match when {
        Attr::Unknown => "",
        Attr::Known(when) if when == "always" => " What is there is overwritten unsaved then.",
        Attr::Known(when) if when == "target_missing_or_empty" => {
            " Nothing is lost by that: the job begins only where the target is missing or empty."
        }
        _ => {
            " Nothing is lost by that: the job begins only where the target is missing, and there is nothing to save then."
        }
    };
    format!(
        "What a restore overwrites is saved in the storage of its source first, and this source has access = \"read_only\": \
         nothing can be stored there. Set `safety_backup = false` in this job.{meaning}"
    )
}

fn refresh_failed(name: &str, error: &dyn std::error::Error) -> Diagnostics {
    Diagnostics::error(format!("Unable to refresh restore job {name:?}"), ended(error))
}

fn not_known() -> Diagnostics {
    Diagnostics::error(
        "Something is not known yet",
        "The source, its connection or secret, or a trigger still has an unknown value.",
    )
}

/// A run that ended, and what its target is now.
struct Done {
    run: RestoreResult,
    probe: run::Probe,
    server_uid: Option<String>,
    file_system: Option<String>,
    /// What was handed over.
    standing: Option<Standing>,
}

fn result(done: &Done) -> ResultModel {
    let result = &done.run;
    ResultModel {
        outcome: result.outcome.as_str().into(),
        decision: Attr::Known(result.decision.clone()),
        point: result.point.as_ref().map(PointModel::from).into(),
        started: moment(result.started),
        finished: moment(result.finished),
        seconds: Attr::Known(count(result.seconds)),
        bytes: Attr::Known(count(result.bytes)),
        items: Attr::Known(count(result.items)),
        rto_met: result.rto_met.into(),
        server_uid: done.server_uid.clone().into(),
        file_system: done.file_system.clone().into(),
    }
}

#[async_trait]
impl Resource for RestoreJobs {
    type Model = RestoreJobModel;

    fn type_name(&self) -> &'static str {
        "dr_restore_job"
    }

    async fn validate(&self, _: &Context, config: &RestoreJobModel) -> Diagnostics {
        let mut found = Diagnostics::default();
        if let Attr::Known(source) = &config.source {
            let path = Path::attribute("source");
            found.extend(source.check(&path, &["backup_target", "store"], &config.engines()));
            found.extend(Place::check(&source.store, &path));
        }
        if let Attr::Known(point) = &config.recovery_point {
            let path = Path::attribute("recovery_point");
            match (&point.at, &point.id) {
                (Attr::Null, Attr::Null) => found.extend(Diagnostics::error_at(
                    path,
                    "No recovery point",
                    "Set `at` or `id`, or leave `recovery_point` out for the newest.",
                )),
                (at, id) if at.is_known() && id.is_known() => found.extend(Diagnostics::error_at(
                    path.then("id"),
                    "Two recovery points",
                    "`at` and `id` each name a point; set one of them.",
                )),
                _ => {}
            }
            if point.id.text() == Some("") {
                found.extend(Diagnostics::error_at(
                    Path::attribute("recovery_point").then("id"),
                    "No recovery point",
                    "The id is empty. Leave `recovery_point` out for the newest point.",
                ));
            }
        }
        found.extend(config.check_block());
        let read_only = config.source.known().is_some_and(Reference::is_read_only);
        let saved = config.safety_backup.known().copied().unwrap_or(true);
        if config.on_failure.text() == Some("roll_back") && config.safety_backup == Attr::Known(false) {
            found.extend(Diagnostics::error_at(
                Path::attribute("on_failure"),
                "Nothing to roll back to",
                "`roll_back` restores the safety backup: set `safety_backup = true`.",
            ));
        }
        if read_only && saved && config.performs() && !config.safety_backup.is_unknown() {
            found.extend(Diagnostics::error_at(
                Path::attribute("safety_backup"),
                "No safety backup on a read-only source",
                unsaved(&config.when),
            ));
        }
        found
    }

    async fn plan(&self, context: &Context, plan: &mut Plan<'_, RestoreJobModel>) -> Result<()> {
        // What is wrong with names is known before anything runs.
        if let (Some(block), Some(source)) = (plan.planned.block(), plan.planned.source.known()) {
            block.is_known(&self.shared, source)?;
        }
        if let (Some(planned), Some(config)) = (plan.planned.engine.known_mut(), plan.config.engine.known()) {
            planned.fill(config);
        }
        if let (Some(block), Some(source)) = (plan.planned.block(), plan.planned.source.known()) {
            block.conflicts(&self.shared, source)?;
        }
        self.claim_image(&plan.planned)?;
        self.claim_destination(&plan.planned)?;
        if plan.config.says_what_it_restores() {
            self.claim_run(&plan.planned)?;
        }
        let server = self.server(&plan.planned)?;
        let place = plan.planned.block().zip(plan.planned.source.known()).map(|(block, source)| block.place(source));
        let known = plan.prior.and_then(|prior| prior.server_uid.known().cloned());
        let connection = place.map_or(Attr::Unknown, |(connection, _)| connection);
        let server = registered::asked(&self.shared, &connection, known.as_deref(), server).await?;
        let due = self.due(plan.prior, &plan.planned, server)?;
        // While a part of the configuration is open, so is whether it runs: nothing may be promised that depends on it.
        let decided = plan.config.to_object().is_wholly_known();
        if decided && due.change == Change::Run && due.warnings.is_empty() && plan.prior.is_some() {
            self.preview(context, &plan.planned, &due.reasons).await;
        }
        let planned = &mut plan.planned;
        let subject = format!("the restore of {}", planned.name.text().unwrap_or("a job"));
        jobs::report(&self.shared, context, &subject, &due.warnings);
        let Some(prior) = plan.prior.filter(|_| decided && due.change == Change::None) else {
            planned.point = match &due.point {
                PlannedPoint::Exactly(candidate) if decided => Attr::Known(PointModel::from(candidate)),
                _ => Attr::Unknown,
            };
            planned.server_uid = match (server, plan.prior) {
                (TargetServer::None, _) if decided => Attr::Null,
                // What the refresh saw; apply makes sure that it still is this one.
                (TargetServer::Known, Some(prior)) if decided && prior.server_uid.is_known() => {
                    prior.server_uid.clone()
                }
                _ => Attr::Unknown,
            };
            planned.target_state = Attr::Unknown;
            planned.last_run = Attr::Unknown;
            planned.candidate = if decided { Attr::Null } else { Attr::Unknown };
            planned.first_use = Attr::Unknown;
            planned.result = Attr::Unknown;
            let performs = planned.perform == Attr::Known(true);
            planned.data_source_ref = if performs { Attr::Null } else { Attr::Unknown };
            planned.auto_restore = if performs { Attr::Null } else { Attr::Unknown };
            // The key of a run is known as soon as its triggers are; only a new job's is left open, for what waits for it.
            let certain = plan.prior.is_some() && decided && !planned.server_uid.is_unknown();
            let uid = if certain { self.key(planned).map_or(Attr::Unknown, Attr::Known) } else { Attr::Unknown };
            planned.r#ref = Attr::Known(self.reference(planned, uid));
            return Ok(());
        };
        if planned.perform == Attr::Known(true) {
            planned.data_source_ref = Attr::Null;
            planned.auto_restore = Attr::Null;
        }
        let uid = prior.r#ref.known().map_or(Attr::Unknown, |reference| reference.uid.clone());
        planned.r#ref = Attr::Known(self.reference(planned, uid));
        Ok(())
    }

    async fn read(&self, context: &Context, state: RestoreJobModel) -> Result<Option<RestoreJobModel>> {
        let limit = timeouts::of(&state.timeouts, Operation::Read, timeouts::READ);
        timeouts::within(context, "refreshing a restore job", limit, self.refresh(context, state)).await.map(Some)
    }

    async fn apply(
        &self,
        context: &Context,
        prior: Option<RestoreJobModel>,
        planned: RestoreJobModel,
        _: RestoreJobModel,
    ) -> Result<RestoreJobModel> {
        if !planned.result.is_unknown() {
            // Arguments changed, nothing is due.
            if planned.performs() {
                self.withdraw(prior.as_ref()).await?;
            }
            return Ok(planned);
        }
        let operation = if prior.is_some() { Operation::Update } else { Operation::Create };
        let deadline = Deadline::start(context, &planned.timeouts, operation, timeouts::JOB);
        let image = self.image(&planned, planned.name.text()).filter(|_| !planned.performs());
        if let Some(image) = &image {
            self.shared.took_over(image);
        }
        let withdrawing = prior.clone();
        // New triggers are the word that the place is right, whatever file system it is on now.
        let same = prior.filter(|prior| prior.triggers == planned.triggers);
        let before = RestoreJobModel { result: same.map_or(Attr::Null, |prior| prior.result), ..planned.clone() };
        let approved = planned.point.known().and_then(|point| point.id.known().cloned());
        if planned.performs() {
            // What an earlier run handed over would fill new claims for ever.
            self.withdraw(withdrawing.as_ref()).await?;
        }
        let done = self.run(context, &before, approved, &deadline).await.inspect_err(|_| {
            if let Some(image) = &image {
                self.shared.gave_up(image);
            }
        })?;
        if let Some(prior) =
            withdrawing.filter(|prior| !planned.performs() && self.hands_over_elsewhere(prior, &planned))
        {
            self.withdraw(Some(&prior)).await?;
        }
        let standing = done.standing.as_ref();
        let planned = RestoreJobModel { server_uid: done.server_uid.clone().into(), ..planned };
        let reference = self.reference(&planned, Attr::Known(done.run.key.clone()));
        Ok(RestoreJobModel {
            r#ref: Attr::Known(reference),
            target_state: done.probe.state.as_str().into(),
            last_run: if done.run.outcome == run::Outcome::RolledBack { "failed" } else { "succeeded" }.into(),
            candidate: Attr::Null,
            first_use: (done.run.outcome == run::Outcome::SkippedNoPoints).then_some(true).into(),
            point: if planned.point.is_unknown() {
                done.run.point.as_ref().map(PointModel::from).into()
            } else {
                planned.point.clone()
            },
            data_source_ref: standing.and_then(|standing| standing.source.clone()).map(DataSourceModel::from).into(),
            auto_restore: standing.map(AutoRestoreModel::from).into(),
            result: Attr::Known(result(&done)),
            ..planned
        })
    }

    async fn import(&self, _: &Context, _: ImportBy) -> Result<Self::Model> {
        Err(jobs::not_importable(
            self.type_name(),
            "Apply the job with the same name, target and triggers: it adopts the run that the ledger holds, and a restore that \
             succeeded is not run again.",
        ))
    }

    async fn delete(&self, context: &Context, state: RestoreJobModel) -> Result<()> {
        // The record stays in the ledger, so that the same job applied again finds what it did.
        let image = self.image(&state, state.handed_over_as());
        // The job may go on at another address, which has no `moved` block.
        if !image.is_some_and(|image| self.shared.was_taken_over(&image)) {
            self.withdraw(Some(&state)).await?;
        }
        self.abandon(context, &state).await?;
        match (state.block(), state.source.known()) {
            (Some(block), Some(source)) if self.shared.is_drill() => {
                let ran_on = state.result.known().and_then(|result| result.server_uid.text());
                block.tidy_after_drill(&self.shared, source, state.name.text().unwrap_or_default(), ran_on).await
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_read_only_source_is_told_what_to_set_and_what_that_means() {
        let missing = unsaved(&"target_missing".into());
        let begins = "Set `safety_backup = false` in this job. Nothing is lost by that: the job begins only where the target is \
                      missing, and there is nothing to save then.";
        assert!(missing.ends_with(begins), "{missing}");
        assert_eq!(unsaved(&Attr::Null), missing, "it is the default");
        assert!(unsaved(&"always".into()).ends_with("What is there is overwritten unsaved then."));
        assert!(unsaved(&"target_missing_or_empty".into()).ends_with("missing or empty."));
        assert!(unsaved(&Attr::Unknown).ends_with("Set `safety_backup = false` in this job."));
    }
}
