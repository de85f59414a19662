//! The pauses themselves: what is there, taken down in order, seen to stay down, and brought back from the record alone.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::time::Instant;

use super::kinds::{Manner, Verb};
use super::model::{Named, Quiesce};
use super::order::parents_first;
use super::parents::{Parent, parents};
use super::schedule::OwnSchedule;
use super::step::{Held, object_name};
use super::{ask, failed, read};
use crate::clock;
use crate::connections::kubernetes::{Cluster, ClusterError, DynamicObject, FIELD_MANAGER, field_owners};
use crate::engines::kubernetes::hold;
use crate::ledger::UndoStep;
use crate::run::{EngineError, Pause};

/// How soon an object is read again that somebody changed meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// How long things take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// For how long a pause has to hold before it counts.
    pub hold: Duration,
    /// How often it is looked again.
    pub look: Duration,
    /// How long a reconciliation or a Job under way may go on.
    pub idle: Duration,
    /// How long a parent that is asked to reconcile may take.
    pub answer: Duration,
    /// How long pods may be there beyond their own grace period.
    pub gone: Duration,
    /// How long pods may take to be ready again.
    pub ready: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let (hold, look, answer) = (Duration::from_secs(10), Duration::from_secs(2), Duration::from_secs(30));
        Timing { hold, look, idle: minutes(10), answer, gone: minutes(5), ready: minutes(10) }
    }
}

/// Takes an application on one cluster down. Nothing that undoing needs is remembered here.
pub struct KubernetesPause {
    pub(super) cluster: Cluster,
    quiesce: Quiesce,
    schedule: Vec<OwnSchedule>,
    holder: Option<String>,
    pub(super) timing: Timing,
    memory: Mutex<Memory>,
}

/// What this process has seen; a lost one costs some seconds of waiting.
#[derive(Default)]
struct Memory {
    /// When the last change was made.
    changed: Option<Instant>,
    /// What was suspended and not yet seen to hold.
    suspended: Vec<Held>,
    /// Who was asked to put things back.
    asked: HashSet<Parent>,
    /// What was scaled back.
    back: Vec<Held>,
    /// What others hold down still, for people.
    left: Vec<String>,
    /// What did not exist when it was to be taken down.
    missing: Vec<Named>,
}

impl KubernetesPause {
    /// What is taken down, and the schedule objects of the series that is restored.
    pub fn new(cluster: Cluster, quiesce: Quiesce, schedule: Vec<OwnSchedule>) -> Self {
        let (timing, memory) = (Timing::default(), Mutex::default());
        KubernetesPause { cluster, quiesce, schedule, holder: None, timing, memory }
    }

    /// Marks what it takes down as held for the runs of this target of an engine, so that runs of other targets leave it down.
    pub fn held_for(self, engine: &str, target: &str) -> Self {
        KubernetesPause { holder: Some(hold::holder(engine, target)), ..self }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    async fn read_held(&self, held: &Held) -> Result<Option<DynamicObject>, EngineError> {
        read(&self.cluster, &held.kind(), &held.namespace, &held.name).await
    }

    /// The object after the patch; `None` when it has gone meanwhile.
    async fn merge(&self, held: &Held, patch: Value) -> Result<Option<DynamicObject>, EngineError> {
        match self.cluster.merge(&held.kind(), &held.namespace, &held.name, patch, None).await {
            Ok(object) => Ok(Some(object)),
            Err(ClusterError::NotFound { .. } | ClusterError::NoNamespace { .. }) => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }

    async fn take_down(&self, held: &Held, object: &DynamicObject) -> Result<(), EngineError> {
        let down = held.patch_down(object);
        if down.is_some() {
            self.memory().changed = Some(Instant::now());
        }
        let Some(patch) = held.add_mark(object, down) else { return Ok(()) };
        let Some(now) = self.merge(held, patch).await? else { return Ok(()) };
        if held.slipped(&now).is_none() {
            return Ok(());
        }
        // `automated.enabled` is of Argo CD 3; the schema of an older one drops it without a word.
        let patch = held.patch_down_without_switch();
        match self.merge(held, patch).await? {
            Some(now) if held.slipped(&now).is_some() => Err(self.reverted(held, &now)),
            _ => Ok(()),
        }
    }

    /// Takes the own mark off and, where nobody else holds it, brings it `back`: in one patch of the object that was looked at,
    /// or of two that let go at the same time neither would. Whether something was brought back.
    async fn let_go(&self, held: &Held, back: bool) -> Result<bool, EngineError> {
        loop {
            let Some(object) = self.read_held(held).await? else { return Ok(false) };
            let others = held.others(&object);
            let mut patch = held.patch_back(&object).filter(|_| back && others.is_empty());
            let brings_back = patch.is_some();
            if let (Some(patch), Some(manner)) = (&mut patch, held.manner()) {
                ask::add_request(patch, manner);
            }
            if back && !others.is_empty() {
                let left = format!(
                    "{} stays down: another restore holds it, as its annotation {} says. It comes back when that one has \
                     succeeded; if no restore of that kind will run again, take the annotation off and bring it back by hand",
                    held.called(),
                    others.join(", ")
                );
                self.memory().left.push(left);
            }
            let Some(patch) = held.drop_mark(&object, patch) else { return Ok(false) };
            let version = object.metadata.resource_version.as_deref();
            match self.cluster.merge(&held.kind(), &held.namespace, &held.name, patch, version).await {
                Ok(_) => return Ok(brings_back),
                // Somebody changed it since it was read.
                Err(ClusterError::Changed { .. }) => clock::sleep(LOOK_AGAIN).await,
                Err(ClusterError::NotFound { .. } | ClusterError::NoNamespace { .. }) => return Ok(false),
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Sees that what is suspended stays so: its parents have reconciled, and some time has passed.
    async fn confirm(&self, paused: &[Held]) -> Result<(), EngineError> {
        for held in paused {
            let Some(object) = self.read_held(held).await? else { continue };
            for parent in parents(&held.kind(), &object) {
                let listed = self.quiesce.holds(&parent.kind, &parent.namespace, &parent.name);
                if !listed && self.memory().asked.insert(parent.clone()) {
                    self.have_reconciled(&parent).await?;
                }
            }
        }
        let changed = self.memory().changed;
        if let Some(changed) = changed {
            tokio::time::sleep_until(changed + clock::scaled(self.timing.hold)).await;
        }
        for held in paused {
            let Some(object) = self.read_held(held).await? else { continue };
            if held.slipped(&object).is_some() {
                return Err(self.reverted(held, &object));
            }
            // One may have begun just before its controller saw that it is suspended.
            self.until_jobs_end(held).await?;
        }
        Ok(())
    }

    /// Somebody undid a change.
    pub(super) fn reverted(&self, held: &Held, object: &DynamicObject) -> EngineError {
        let field = held.slipped(object).map(|field| field.path.clone()).unwrap_or_default();
        let path: Vec<&str> = field.iter().map(String::as_str).collect();
        let mut owners = field_owners(object, &path);
        owners.retain(|owner| owner != FIELD_MANAGER);
        let by = if owners.is_empty() { "somebody".to_owned() } else { owners.join(", ") };
        let unlisted = |parent: &Parent| !self.quiesce.holds(&parent.kind, &parent.namespace, &parent.name);
        let above = parents(&held.kind(), object).into_iter().find(unlisted);
        let hint = match above {
            Some(parent) => format!("it is applied by {}: add that to `suspend`", parent.called()),
            None => "what manages it has to be in `suspend` too".to_owned(),
        };
        let (called, field) = (held.called(), path.join("."));
        EngineError::nothing_written(format!("{called} does not stay down: {by} put {field} back; {hint}"))
    }

    /// What the configuration names and has no step was not there; something may have made it since.
    async fn refuse_newcomers(&self, known: &HashSet<&str>) -> Result<(), EngineError> {
        let own = |named: &&Named| !known.contains(name_of(named).as_str());
        for named in self.quiesce.named.iter().filter(own) {
            let Some(object) = read(&self.cluster, &named.kind.kind, &named.namespace, &named.name).await? else {
                continue;
            };
            if Held::down(named, &object).slipped(&object).is_some() {
                let called = named.kind.kind.called(&named.namespace, &named.name);
                let message =
                    format!("{called} was made while the restore was being prepared; apply again to take it down too");
                return Err(EngineError::nothing_written(message));
            }
        }
        Ok(())
    }

    /// An autoscaler rests only while its target has no replicas.
    fn check_autoscaler(&self, named: &Named, object: &DynamicObject) -> Result<(), EngineError> {
        let target = &object.data["spec"]["scaleTargetRef"];
        let text = |field: &str| target[field].as_str().unwrap_or_default();
        let (kind, name) = (text("kind"), text("name"));
        let scaled = |other: &&Named| other.kind.verb == Verb::ScaleDown && other.namespace == named.namespace;
        let rests =
            self.quiesce.named.iter().filter(scaled).any(|other| other.kind.kind.kind == kind && other.name == name);
        if rests {
            return Ok(());
        }
        let called = named.kind.kind.called(&named.namespace, &named.name);
        Err(EngineError::nothing_written(format!(
            "{called} can't be suspended by itself: an autoscaler rests while its target has no replicas. Add \"{}/{}/{name}\" \
             to `scale_down`",
            named.namespace,
            kind.to_lowercase()
        )))
    }
}

fn name_of(named: &Named) -> String {
    object_name(&named.kind.kind, &named.namespace, &named.name)
}

#[async_trait]
impl Pause for KubernetesPause {
    async fn schedule(&self) -> Result<Vec<UndoStep>, EngineError> {
        let mut steps = Vec::new();
        for schedule in &self.schedule {
            if let Some(object) = read(&self.cluster, &schedule.kind, &schedule.namespace, &schedule.name).await? {
                let holder = self.holder.as_deref().map(|holder| schedule.holder(holder));
                steps.push(Held::paused(schedule, &object).by(&holder, &object).step(schedule.action));
            }
        }
        Ok(steps)
    }

    async fn application(&self) -> Result<Vec<UndoStep>, EngineError> {
        let mut found = Vec::new();
        for named in &self.quiesce.named {
            match read(&self.cluster, &named.kind.kind, &named.namespace, &named.name).await? {
                Some(object) => found.push((named.clone(), object)),
                None => self.memory().missing.push(named.clone()),
            }
        }
        for (named, object) in found.iter().filter(|(named, _)| named.kind.manner == Manner::Autoscaler) {
            self.check_autoscaler(named, object)?;
        }
        let step = |(named, object): &(Named, DynamicObject)| {
            Held::down(named, object).by(&self.holder, object).step(named.kind.verb.as_str())
        };
        Ok(parents_first(found).iter().map(step).collect())
    }

    fn beside(&self, step: &UndoStep, other: &UndoStep) -> UndoStep {
        match (Held::of(step), Held::of(other)) {
            (Ok(held), Ok(before)) => held.since(&before).step(&step.action),
            _ => UndoStep { before: other.before.clone(), ..step.clone() },
        }
    }

    async fn change(&self, step: &UndoStep) -> Result<(), EngineError> {
        let held = Held::of(step)?;
        let scales = held.manner() == Some(Manner::Replicas);
        if scales {
            // An application is taken down only when it is sure that nobody starts it again.
            let suspended = std::mem::take(&mut self.memory().suspended);
            self.confirm(&suspended).await?;
        }
        let Some(object) = self.read_held(&held).await? else { return Ok(()) };
        self.take_down(&held, &object).await?;
        if scales {
            return self.until_gone(&held).await;
        }
        self.until_idle(&held).await?;
        self.until_jobs_end(&held).await?;
        self.memory().suspended.push(held);
        Ok(())
    }

    async fn holds(&self, steps: &[UndoStep]) -> Result<(), EngineError> {
        let schedules = self.schedule.iter().map(|own| object_name(&own.kind, &own.namespace, &own.name));
        let wanted: HashSet<String> = self.quiesce.named.iter().map(name_of).chain(schedules).collect();
        let made: Vec<&UndoStep> = steps.iter().filter(|step| !step.undone && wanted.contains(&step.object)).collect();
        let paused = made.iter().map(|step| Held::of(step)).collect::<Result<Vec<Held>, EngineError>>()?;
        self.memory().suspended.clear();
        self.confirm(&paused).await?;
        self.refuse_newcomers(&made.iter().map(|step| step.object.as_str()).collect()).await
    }

    async fn undo(&self, step: &UndoStep) -> Result<(), EngineError> {
        let held = Held::of(step)?;
        if self.let_go(&held, true).await? && held.manner() == Some(Manner::Replicas) {
            self.memory().back.push(held);
        }
        Ok(())
    }

    async fn leave(&self, step: &UndoStep) -> Result<(), EngineError> {
        self.let_go(&Held::of(step)?, false).await.map(drop)
    }

    async fn settle(&self) -> Vec<String> {
        let Memory { back, left: mut late, missing, .. } = std::mem::take(&mut *self.memory());
        late.extend(self.until_ready(back).await);
        for named in missing {
            // What the restore brought was rightly missing before.
            if let Ok(None) = read(&self.cluster, &named.kind.kind, &named.namespace, &named.name).await {
                late.push(format!(
                    "`quiesce` names {}, which does not exist: nothing was taken down for it",
                    name_of(&named)
                ));
            }
        }
        late
    }
}

#[cfg(test)]
impl KubernetesPause {
    /// With other times.
    pub(super) fn timed(self, timing: Timing) -> Self {
        KubernetesPause { timing, ..self }
    }

    /// With times of tests.
    pub(in crate::engines) fn quick(self) -> Self {
        self.timed(super::tests::quick())
    }
}
