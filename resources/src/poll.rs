//! Many waiters, one request: runs of one kind are looked at together, once an interval.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::sync::watch;

/// Looks at everything of a kind (connection, kind and namespace).
pub type Look<V> = Arc<dyn Fn() -> BoxFuture<'static, V> + Send + Sync>;

type Answers<V> = watch::Sender<Option<Arc<V>>>;

/// Polls each kind for as long as somebody waits for it.
pub struct Poller<K, V> {
    interval: Duration,
    /// The senders belong to the tasks that poll.
    kinds: Mutex<HashMap<K, Weak<Answers<V>>>>,
}

impl<K, V> Poller<K, V>
where
    K: Eq + Hash + Clone + Send + 'static,
    V: Send + Sync + 'static,
{
    /// A poller that looks once in `interval`.
    pub fn new(interval: Duration) -> Self {
        Poller { interval, kinds: Mutex::default() }
    }

    /// Waits until `found` sees in an answer what it waits for. What an answer says about a failed request is for `found`
    /// to judge: the loss of a server for a moment ends no wait.
    pub async fn wait_for<T>(&self, kind: &K, look: &Look<V>, mut found: impl FnMut(&V) -> Option<T>) -> T {
        let mut answers = self.follow(kind, look);
        loop {
            let changed = answers.changed().await;
            let answer = answers.borrow_and_update().clone();
            if let Some(found) = answer.as_deref().and_then(&mut found) {
                return found;
            }
            if changed.is_err() {
                // The task ended just as we came, or `look` panicked. Begin again.
                tokio::time::sleep(self.interval).await;
                answers = self.follow(kind, look);
            }
        }
    }

    fn follow(&self, kind: &K, look: &Look<V>) -> watch::Receiver<Option<Arc<V>>> {
        let mut kinds = self.kinds.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(answers) = kinds.get(kind).and_then(Weak::upgrade) {
            return answers.subscribe();
        }
        let (answers, follower) = watch::channel(None);
        let answers = Arc::new(answers);
        kinds.insert(kind.clone(), Arc::downgrade(&answers));
        let (look, interval) = (look.clone(), self.interval);
        tokio::spawn(async move {
            while !answers.is_closed() {
                answers.send_replace(Some(Arc::new(look().await)));
                tokio::time::sleep(interval).await;
            }
        });
        follower
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn counting() -> (Arc<AtomicU64>, Look<u64>) {
        let calls = Arc::new(AtomicU64::new(0));
        let counted = calls.clone();
        let look: Look<u64> = Arc::new(move || {
            let counted = counted.clone();
            Box::pin(async move { counted.fetch_add(1, Ordering::SeqCst) + 1 })
        });
        (calls, look)
    }

    #[tokio::test]
    async fn many_waiters_of_a_kind_are_one_request_an_interval() {
        let poller = Poller::new(Duration::from_millis(20));
        let (calls, look) = counting();
        let wait = || poller.wait_for(&"runs", &look, |answer| (*answer >= 5).then_some(*answer));
        let answers = futures::future::join_all((0..50).map(|_| wait())).await;
        assert!(answers.iter().all(|answer| *answer == 5));
        assert_eq!(calls.load(Ordering::SeqCst), 5);
    }

    #[tokio::test]
    async fn nobody_waiting_means_no_requests() {
        let poller = Poller::new(Duration::from_millis(5));
        let (calls, look) = counting();
        poller.wait_for(&"runs", &look, |_| Some(())).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        let after = calls.load(Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(30)).await;
        assert_eq!(calls.load(Ordering::SeqCst), after);
        // And the next one is served again.
        poller.wait_for(&"runs", &look, |_| Some(())).await;
        assert!(calls.load(Ordering::SeqCst) > after);
    }
}
