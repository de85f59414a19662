//! The claim that VolSync writes: what it looks like, and that nothing else uses it.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;

use super::{SOURCE, rest};
use crate::connections::kubernetes::{Cluster, ClusterError, DynamicObject, Kind};
use crate::engines::kubernetes::quiesce::{ClaimPause, also_holding, object_of};
use crate::ledger::UndoStep;
use crate::run::{EngineError, Pause, Probe, TargetState};

/// How new an answer has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// As of this refresh, which lists everything once.
    Refresh,
    /// As of now.
    Now,
}

/// What a claim looks like. Whether it is empty can't be told.
pub async fn probe(
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    freshness: Freshness,
) -> Result<Probe, ClusterError> {
    let found = match freshness {
        Freshness::Refresh => cluster.find(&Kind::PVC, namespace, name).await?,
        Freshness::Now => cluster.get(&Kind::PVC, namespace, name).await?.map(Arc::new),
    };
    let called = format!("{} on cluster `{}`", Kind::PVC.called(namespace, name), cluster.name());
    let (state, evidence) = match &found {
        None => (TargetState::Missing, format!("{called} does not exist")),
        Some(found) if found.metadata.deletion_timestamp.is_some() => {
            (TargetState::Unknown, format!("{called} is being deleted"))
        }
        Some(_) => (TargetState::Present, format!("{called} exists")),
    };
    let metadata = found.as_ref().map(|found| &found.metadata);
    let born = metadata.and_then(|metadata| metadata.creation_timestamp.as_ref()).map(|time| time.0);
    Ok(Probe { state, incarnation: metadata.and_then(|metadata| metadata.uid.clone()), born, evidence })
}

/// Pods of VolSync's movers, which rest while their source is paused.
pub fn is_mover(pod: &DynamicObject) -> bool {
    pod.metadata.name.as_deref().is_some_and(|name| name.starts_with("volsync-"))
}

/// Those that read a claim.
pub fn is_reader(pod: &DynamicObject) -> bool {
    is_mover(pod) && pod.metadata.name.as_deref().is_some_and(|name| name.contains("src-"))
}

/// Those of one object of VolSync's, whose Jobs are called `job`.
pub fn is_of_job(pod: &DynamicObject, job: &str) -> bool {
    pod.metadata.name.as_deref().and_then(|name| name.strip_prefix(job)).is_some_and(|rest| rest.starts_with('-'))
}

/// Takes the application down, which has to be all that uses the claim, and has its sources rest.
pub struct SourcesPause {
    /// What does it.
    pub pause: ClaimPause,
    /// The sources that back the claim up, by name, and that can rest.
    pub sources: Vec<String>,
}

impl SourcesPause {
    /// The source that a step is about.
    fn source<'a>(&self, step: &'a UndoStep) -> Option<&'a str> {
        object_of(step, &SOURCE, &self.pause.namespace)
    }
}

#[async_trait]
impl Pause for SourcesPause {
    async fn schedule(&self) -> Result<Vec<UndoStep>, EngineError> {
        let mut steps = self.pause.schedule().await?;
        for step in &mut steps {
            if self.source(step).is_some_and(|name| self.sources.iter().any(|own| own == name)) {
                let claim = &self.pause.claim;
                let (was, held) = (json!(claim), json!(rest::resting(claim)));
                *step = also_holding(step, &["spec", "sourcePVC"], was, held)?;
            }
        }
        Ok(steps)
    }

    async fn application(&self) -> Result<Vec<UndoStep>, EngineError> {
        self.pause.application().await
    }

    fn beside(&self, step: &UndoStep, other: &UndoStep) -> UndoStep {
        self.pause.beside(step, other)
    }

    async fn change(&self, step: &UndoStep) -> Result<(), EngineError> {
        self.pause.change(step).await?;
        match self.source(step) {
            // A record of an earlier version says that it is paused, and no more.
            Some(name) => rest::hold(&self.pause.cluster, &self.pause.namespace, name).await,
            None => Ok(()),
        }
    }

    async fn holds(&self, made: &[UndoStep]) -> Result<(), EngineError> {
        self.pause.holds(made).await?;
        // VolSync may have been about to take a copy when it was told.
        for name in made.iter().filter(|step| !step.undone).filter_map(|step| self.source(step)) {
            rest::hold(&self.pause.cluster, &self.pause.namespace, name).await?;
        }
        Ok(())
    }

    async fn undo(&self, step: &UndoStep) -> Result<(), EngineError> {
        let Some(name) = self.source(step) else { return self.pause.undo(step).await };
        rest::before_it_goes_on(&self.pause.cluster, &self.pause.namespace, name).await?;
        self.pause.undo(step).await?;
        rest::go_on(&self.pause.cluster, &self.pause.namespace, name).await
    }

    async fn leave(&self, step: &UndoStep) -> Result<(), EngineError> {
        self.pause.leave(step).await
    }

    async fn settle(&self) -> Vec<String> {
        self.pause.settle().await
    }
}

#[cfg(test)]
mod tests;
