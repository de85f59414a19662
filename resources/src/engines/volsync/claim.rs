//! The claim that VolSync writes: what it looks like, and that nothing else uses it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tokio::time::Instant;

use super::{SOURCE, rest};
use crate::clock;
use crate::connections::kubernetes::{Cluster, ClusterError, Kind};
use crate::engines::kubernetes::quiesce::{
    KubernetesPause, Quiesce, also_holding, object_of, pods_in_the_way, pods_using,
};
use crate::ledger::UndoStep;
use crate::run::{EngineError, Pause, Probe, TargetState};

/// How long the mover of a paused source may take to end.
const UNREAD: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_secs(2);

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
fn is_mover(pod: &str) -> bool {
    pod.starts_with("volsync-")
}

/// Refuses to write a claim that a pod uses.
pub async fn refuse_in_use(cluster: &Cluster, namespace: &str, claim: &str) -> Result<(), EngineError> {
    let pods = pods_using(cluster, namespace, claim).await?;
    refuse(namespace, claim, pods)
}

/// Waits until no backup reads the claim any more: its source rests, and its mover ends soon after.
pub async fn until_unread(cluster: &Cluster, namespace: &str, claim: &str) -> Result<(), EngineError> {
    let begun = Instant::now();
    loop {
        let mut pods = pods_using(cluster, namespace, claim).await?;
        pods.retain(|pod| is_mover(pod) && pod.contains("src-"));
        if pods.is_empty() {
            return Ok(());
        }
        if begun.elapsed() > clock::scaled(UNREAD) {
            let called = Kind::PVC.called(namespace, claim);
            let pods = pods.join(", pod ");
            return Err(EngineError::nothing_written(format!("{called} is still being backed up by pod {pods}")));
        }
        clock::sleep(LOOK).await;
    }
}

fn refuse(namespace: &str, claim: &str, mut pods: Vec<String>) -> Result<(), EngineError> {
    pods.retain(|pod| !is_mover(pod));
    if pods.is_empty() {
        return Ok(());
    }
    Err(EngineError::nothing_written(format!(
        "{} is in use by pod {}: what runs it has to be in `quiesce.scale_down`",
        Kind::PVC.called(namespace, claim),
        pods.join(", pod ")
    )))
}

/// Takes the application down, which has to be all that uses the claim.
pub struct ClaimPause {
    /// What does it.
    pub pause: KubernetesPause,
    /// Where.
    pub cluster: Cluster,
    /// What is taken down.
    pub quiesce: Quiesce,
    /// The namespace of the claim.
    pub namespace: String,
    /// The claim.
    pub claim: String,
    /// The sources that back it up, by name, and that can rest.
    pub sources: Vec<String>,
}

impl ClaimPause {
    /// The source that a step is about.
    fn source<'a>(&self, step: &'a UndoStep) -> Option<&'a str> {
        object_of(step, &SOURCE, &self.namespace)
    }
}

#[async_trait]
impl Pause for ClaimPause {
    /// What will be in the way is told before anything is touched.
    async fn schedule(&self) -> Result<Vec<UndoStep>, EngineError> {
        let pods = pods_in_the_way(&self.cluster, &self.quiesce, &self.namespace, &self.claim).await?;
        refuse(&self.namespace, &self.claim, pods)?;
        let mut steps = self.pause.schedule().await?;
        for step in &mut steps {
            if object_of(step, &SOURCE, &self.namespace).is_some_and(|name| self.sources.iter().any(|own| own == name))
            {
                let (was, held) = (json!(self.claim), json!(rest::resting(&self.claim)));
                *step = also_holding(step, &["spec", "sourcePVC"], was, held)?;
            }
        }
        Ok(steps)
    }

    async fn application(&self) -> Result<Vec<UndoStep>, EngineError> {
        self.pause.application().await
    }

    async fn change(&self, step: &UndoStep) -> Result<(), EngineError> {
        self.pause.change(step).await?;
        match self.source(step) {
            // A record of an earlier version says that it is paused, and no more.
            Some(name) => rest::hold(&self.cluster, &self.namespace, name).await,
            None => Ok(()),
        }
    }

    async fn holds(&self, made: &[UndoStep]) -> Result<(), EngineError> {
        self.pause.holds(made).await?;
        // VolSync may have been about to take a copy when it was told.
        for name in made.iter().filter(|step| !step.undone).filter_map(|step| self.source(step)) {
            rest::hold(&self.cluster, &self.namespace, name).await?;
        }
        Ok(())
    }

    async fn undo(&self, step: &UndoStep) -> Result<(), EngineError> {
        let Some(name) = self.source(step) else { return self.pause.undo(step).await };
        rest::before_it_goes_on(&self.cluster, &self.namespace, name).await?;
        self.pause.undo(step).await?;
        rest::go_on(&self.cluster, &self.namespace, name).await
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
