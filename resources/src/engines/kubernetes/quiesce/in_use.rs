//! A claim that is written in place: nothing else may use it, which is told before anything is touched.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::pods::{in_the_way, names, using};
use super::{KubernetesPause, Quiesce};
use crate::clock;
use crate::connections::kubernetes::{Cluster, DynamicObject, Kind};
use crate::ledger::UndoStep;
use crate::run::{EngineError, Pause};

/// How long a pod of an earlier run may take to end: its schedule rests.
const UNUSED: Duration = Duration::from_secs(180);
const LOOK: Duration = Duration::from_secs(2);

/// Which pods are the engine's.
pub type IsPod = fn(&DynamicObject) -> bool;

/// Refuses to write a claim that a pod uses, but for the engine's.
pub async fn refuse_in_use(
    cluster: &Cluster,
    namespace: &str,
    claim: &str,
    is_own: impl Fn(&DynamicObject) -> bool,
) -> Result<(), EngineError> {
    refuse(namespace, claim, using(cluster, namespace, claim).await?, is_own)
}

/// Waits until no pod of the engine's is at work on the claim any more: its schedule rests, and what it began ends soon after.
pub async fn until_unused(cluster: &Cluster, namespace: &str, claim: &str, is_own: IsPod) -> Result<(), EngineError> {
    let begun = Instant::now();
    loop {
        let mut pods = using(cluster, namespace, claim).await?;
        pods.retain(is_own);
        if pods.is_empty() {
            return Ok(());
        }
        if begun.elapsed() > clock::scaled(UNUSED) {
            let (called, pods) = (Kind::PVC.called(namespace, claim), names(&pods).join(", pod "));
            return Err(EngineError::nothing_written(format!(
                "{called} is still in use by pod {pods} of an earlier run: apply again once that has ended"
            )));
        }
        clock::sleep(LOOK).await;
    }
}

fn refuse(
    namespace: &str,
    claim: &str,
    mut pods: Vec<DynamicObject>,
    is_own: impl Fn(&DynamicObject) -> bool,
) -> Result<(), EngineError> {
    pods.retain(|pod| !is_own(pod));
    if pods.is_empty() {
        return Ok(());
    }
    let (called, pods) = (Kind::PVC.called(namespace, claim), names(&pods).join(", pod "));
    Err(EngineError::nothing_written(format!(
        "{called} is in use by pod {pods}: what runs it has to be in `quiesce.scale_down` or `quiesce.suspend`"
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
    /// The engine's own pods, which end by themselves while its schedule rests.
    pub is_own: IsPod,
}

#[async_trait]
impl Pause for ClaimPause {
    /// What will be in the way is told before anything is touched.
    async fn schedule(&self) -> Result<Vec<UndoStep>, EngineError> {
        let pods = in_the_way(&self.cluster, &self.quiesce, &self.namespace, &self.claim).await?;
        refuse(&self.namespace, &self.claim, pods, self.is_own)?;
        self.pause.schedule().await
    }

    async fn application(&self) -> Result<Vec<UndoStep>, EngineError> {
        self.pause.application().await
    }

    fn beside(&self, step: &UndoStep, other: &UndoStep) -> UndoStep {
        self.pause.beside(step, other)
    }

    async fn change(&self, step: &UndoStep) -> Result<(), EngineError> {
        self.pause.change(step).await
    }

    async fn holds(&self, made: &[UndoStep]) -> Result<(), EngineError> {
        self.pause.holds(made).await
    }

    async fn undo(&self, step: &UndoStep) -> Result<(), EngineError> {
        self.pause.undo(step).await
    }

    async fn leave(&self, step: &UndoStep) -> Result<(), EngineError> {
        self.pause.leave(step).await
    }

    async fn settle(&self) -> Vec<String> {
        self.pause.settle().await
    }
}
