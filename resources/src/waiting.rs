//! Waiting for what this apply may be installing: in at most four of the CLI's ten slots, or the waiters starve it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::clock;

/// How many requests may wait at once.
const SLOTS: usize = 4;

/// How often it is looked again.
const LOOK: Duration = Duration::from_secs(2);

/// The waiting slots of one provider process.
#[derive(Debug, Clone)]
pub struct WaitingSlots(Arc<Semaphore>);

impl Default for WaitingSlots {
    fn default() -> Self {
        WaitingSlots(Arc::new(Semaphore::new(SLOTS)))
    }
}

/// Something that is not there yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// What and where, for people: "the CRD replicationsources.volsync.backube on cluster `prod`".
    pub what: String,
    /// What usually brings it: "helm_release.volsync".
    pub depends_on: String,
}

/// Why waiting ended without it.
#[derive(Debug, thiserror::Error)]
pub enum NotThere<E> {
    /// Enough others wait already.
    #[error("{} is not there. Something in this apply has to install it first: add depends_on = [{}]", .0.what, .0.depends_on)]
    NoSlot(Missing),
    /// It did not come in time.
    #[error("{} did not appear within {} s. If this apply installs it, add depends_on = [{}]", .0.what, .1.as_secs(), .0.depends_on)]
    TooLate(Missing, Duration),
    /// Looking for it failed.
    #[error(transparent)]
    Failed(E),
}

impl WaitingSlots {
    /// A slot for somebody who waits in a way of their own, if one is free; given back when dropped.
    pub fn take(&self) -> Option<OwnedSemaphorePermit> {
        self.0.clone().try_acquire_owned().ok()
    }

    /// Waits until `look` finds it, for at most `bound`. What is there at once takes no slot.
    pub async fn wait_for<T, E, F>(
        &self,
        missing: &Missing,
        bound: Duration,
        mut look: impl FnMut() -> F,
    ) -> Result<T, NotThere<E>>
    where
        F: Future<Output = Result<Option<T>, E>>,
    {
        let mut slot: Option<OwnedSemaphorePermit> = None;
        let deadline = Instant::now() + clock::scaled(bound);
        loop {
            if let Some(found) = look().await.map_err(NotThere::Failed)? {
                return Ok(found);
            }
            if slot.is_none() {
                slot = Some(self.take().ok_or_else(|| NotThere::NoSlot(missing.clone()))?);
            }
            if Instant::now() >= deadline {
                return Err(NotThere::TooLate(missing.clone(), bound));
            }
            tokio::time::sleep_until(deadline.min(Instant::now() + clock::scaled(LOOK))).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    type Never = std::convert::Infallible;

    fn crd() -> Missing {
        Missing { what: "the CRD x on cluster `prod`".into(), depends_on: "helm_release.volsync".into() }
    }

    #[tokio::test]
    async fn b7_of_forty_waiters_four_wait_and_the_rest_fail_at_once_with_what_to_add() {
        let slots = WaitingSlots::default();
        let started = Instant::now();
        let failed = AtomicUsize::new(0);
        let wait = || async {
            let absent = || async { Ok::<Option<()>, Never>(None) };
            let error = slots.wait_for(&crd(), Duration::from_millis(300), absent).await.unwrap_err();
            if let NotThere::NoSlot(_) = error {
                assert!(started.elapsed() < Duration::from_millis(200));
                assert!(error.to_string().ends_with("add depends_on = [helm_release.volsync]"));
                failed.fetch_add(1, Ordering::SeqCst);
            }
        };
        futures::future::join_all((0..40).map(|_| wait())).await;
        assert_eq!(failed.load(Ordering::SeqCst), 36);
        // In one bound, not in ten.
        assert!(started.elapsed() < Duration::from_millis(600));
    }

    #[tokio::test]
    async fn what_is_there_takes_no_slot() {
        let slots = WaitingSlots::default();
        let (crd, there) = (crd(), || async { Ok::<_, Never>(Some(7)) });
        let wait = || slots.wait_for(&crd, Duration::from_secs(1), there);
        let found = futures::future::join_all((0..40).map(|_| wait())).await;
        assert!(found.into_iter().all(|found| found.is_ok()));
    }

    #[tokio::test]
    async fn a_slot_is_free_again_after_its_wait() {
        let slots = WaitingSlots::default();
        for _ in 0..2 * SLOTS {
            let absent = || async { Ok::<Option<()>, Never>(None) };
            let error = slots.wait_for(&crd(), Duration::from_millis(1), absent).await.unwrap_err();
            assert!(matches!(error, NotThere::TooLate(..)));
        }
    }
}
