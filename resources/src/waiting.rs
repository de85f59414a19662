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

/// How long something that is not there yet is waited for: as long as is usual, or as long as the user's `timeouts` allow.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    allowed: Option<(Instant, Duration)>,
    argument: &'static str,
}

impl Default for Patience {
    fn default() -> Self {
        Patience::usual("timeouts.create")
    }
}

impl Patience {
    /// As long as is usual; `argument` allows more.
    pub fn usual(argument: &'static str) -> Self {
        Patience { allowed: None, argument }
    }

    /// For almost as long as the operation may take that begins now, by this argument: the wait has to end first, because it
    /// knows for what it waits.
    pub fn of(limit: Duration, argument: &'static str) -> Self {
        let limit = limit.saturating_sub(SPARED.min(limit / 10)).min(LONGEST);
        Patience { allowed: Some((Instant::now() + clock::scaled(limit), limit)), argument }
    }

    /// The end of a wait that begins now and is usually so long, and how long that is for people.
    pub fn until(&self, usual: Duration) -> (Instant, Duration) {
        self.allowed.unwrap_or_else(|| (Instant::now() + clock::scaled(usual), usual))
    }

    /// The argument that allows more.
    pub fn argument(&self) -> &'static str {
        self.argument
    }
}

/// Whoever allows a job a day has not allowed a day for an operator that nobody installs.
const LONGEST: Duration = Duration::from_secs(30 * 60);

/// What a wait leaves of an operation's time, for its message.
const SPARED: Duration = Duration::from_secs(10);

/// The waiting slots of one provider process, with the patience of whoever waits.
#[derive(Debug, Clone)]
pub struct WaitingSlots {
    slots: Arc<Semaphore>,
    /// How long its holder waits.
    pub patience: Patience,
}

impl Default for WaitingSlots {
    fn default() -> Self {
        WaitingSlots { slots: Arc::new(Semaphore::new(SLOTS)), patience: Patience::default() }
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
    #[error(
        "{} did not appear within {} s. If this apply installs it, add depends_on = [{}], or allow more time with `{}`",
        .0.what, .1.as_secs(), .0.depends_on, .2
    )]
    TooLate(Missing, Duration, &'static str),
    /// Looking for it failed.
    #[error(transparent)]
    Failed(E),
}

/// How long a program gives no sign of life before it is taken for one that this apply may still be installing.
pub const SILENCE: Duration = Duration::from_secs(60);

/// A wait for a program that is there or is about to be: as long as it gives no sign of life, it is one for what may be being
/// installed, and needs a slot after a while.
#[derive(Debug)]
pub struct Silence {
    slots: WaitingSlots,
    longest: Duration,
    since: Option<Instant>,
    slot: Option<OwnedSemaphorePermit>,
}

impl Silence {
    /// A wait that needs a slot after so long.
    pub fn of(slots: &WaitingSlots, longest: Duration) -> Self {
        Silence { slots: slots.clone(), longest, since: None, slot: None }
    }

    /// Whether it may go on, now that there is a sign of life, or none.
    pub fn goes_on(&mut self, sign_of_life: bool) -> bool {
        if sign_of_life {
            (self.since, self.slot) = (None, None);
            return true;
        }
        let silent = self.since.get_or_insert_with(Instant::now).elapsed() >= clock::scaled(self.longest);
        if silent && self.slot.is_none() {
            self.slot = self.slots.take();
        }
        !silent || self.slot.is_some()
    }
}

/// Why a wait for a silent program ends, and what to do about it.
pub fn too_many_wait(who: &str, longest: Duration, depends_on: &str) -> String {
    format!(
        "{who} has given no sign of life for {} s, and enough others wait for it already. If this apply installs it, add \
         depends_on = [{depends_on}]",
        longest.as_secs()
    )
}

impl WaitingSlots {
    /// A slot for somebody who waits in a way of their own, if one is free; given back when dropped.
    pub fn take(&self) -> Option<OwnedSemaphorePermit> {
        self.slots.clone().try_acquire_owned().ok()
    }

    /// The same slots for somebody with another patience.
    pub fn with(&self, patience: Patience) -> Self {
        WaitingSlots { slots: self.slots.clone(), patience }
    }

    /// Waits until `look` finds it, usually for at most `bound`. What is there at once takes no slot.
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
        let (deadline, bound) = self.patience.until(bound);
        loop {
            if let Some(found) = look().await.map_err(NotThere::Failed)? {
                return Ok(found);
            }
            if slot.is_none() {
                slot = Some(self.take().ok_or_else(|| NotThere::NoSlot(missing.clone()))?);
            }
            if Instant::now() >= deadline {
                return Err(NotThere::TooLate(missing.clone(), bound, self.patience.argument()));
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
    async fn who_allows_more_time_waits_longer_than_usual_and_ends_before_the_operation_does() {
        let slots = WaitingSlots::default();
        let absent = || async { Ok::<Option<()>, Never>(None) };
        let error = slots.wait_for(&crd(), Duration::from_millis(1), absent).await.unwrap_err().to_string();
        assert!(error.ends_with("or allow more time with `timeouts.create`"), "{error}");
        let patient = slots.with(Patience::of(Duration::from_millis(200), "timeouts.update"));
        let (started, looks) = (Instant::now(), AtomicUsize::new(0));
        let late = || async {
            looks.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Never>((started.elapsed() > Duration::from_millis(30)).then_some(()))
        };
        patient.wait_for(&crd(), Duration::from_millis(1), late).await.unwrap();
        let error = patient.wait_for(&crd(), Duration::from_millis(1), absent).await.unwrap_err().to_string();
        assert!(error.ends_with("or allow more time with `timeouts.update`"), "{error}");
        assert!(started.elapsed() < Duration::from_millis(200), "{:?}", started.elapsed());
    }

    #[test]
    fn what_is_to_be_installed_is_not_waited_for_as_long_as_a_job_may_take() {
        let (_, longest) =
            Patience::of(Duration::from_secs(24 * 3600), "timeouts.create").until(Duration::from_secs(120));
        assert_eq!(longest, LONGEST);
    }

    #[tokio::test]
    async fn b7_of_ten_who_wait_for_a_silent_program_four_go_on_and_a_sign_of_life_ends_the_question() {
        let slots = WaitingSlots::default();
        let patient = || Silence::of(&slots, Duration::from_millis(20));
        let mut waits: Vec<Silence> = (0..10).map(|_| patient()).collect();
        assert!(waits.iter_mut().all(|wait| wait.goes_on(false)), "nobody is in a hurry at first");
        tokio::time::sleep(Duration::from_millis(30)).await;
        let gone_on: Vec<bool> = waits.iter_mut().map(|wait| wait.goes_on(false)).collect();
        assert_eq!(gone_on.iter().filter(|goes_on| **goes_on).count(), SLOTS);
        // The slots of those who see it at work are free for others.
        assert!(waits.iter_mut().all(|wait| wait.goes_on(true)));
        assert!(slots.take().is_some());
        assert!(waits.iter_mut().all(|wait| wait.goes_on(false)), "the silence begins anew");
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
