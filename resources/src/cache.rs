//! Reads shared during a refresh: kept for a minute, until the first apply of the process ends that for good.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock;

/// How old an answer of a refresh may be.
const MAX_AGE: Duration = Duration::from_secs(60);

/// Answers by key (connection, kind and namespace). A request shares a call that started after it arrived, at any time;
/// before the first apply it also gets an answer of the last minute.
pub struct ReadCache<K, V, E> {
    ended: AtomicBool,
    /// Orders arrivals and starts of calls.
    moments: AtomicU64,
    entries: Mutex<HashMap<K, Entry<V, E>>>,
}

/// One key: whoever holds the lock may call.
type Entry<V, E> = Arc<tokio::sync::Mutex<Option<Answer<V, E>>>>;

struct Answer<V, E> {
    started: u64,
    since: Instant,
    result: Result<Arc<V>, E>,
}

impl<K, V, E> Default for ReadCache<K, V, E> {
    fn default() -> Self {
        ReadCache { ended: AtomicBool::new(false), moments: AtomicU64::new(0), entries: Mutex::default() }
    }
}

impl<K: Eq + Hash + Clone, V, E: Clone> ReadCache<K, V, E> {
    /// The answer for a key, from `call` unless somebody else's will do.
    pub async fn get<F: Future<Output = Result<V, E>>>(&self, key: &K, call: impl FnOnce() -> F) -> Result<Arc<V>, E> {
        let arrived = self.moment();
        let entry = self.entries().entry(key.clone()).or_default().clone();
        let mut answer = entry.lock().await;
        let known = answer.as_ref().filter(|answer| self.will_do(answer, arrived)).map(|answer| answer.result.clone());
        let (started, since) = (self.moment(), Instant::now());
        let result = match &known {
            Some(result) => result.clone(),
            None => call().await.map(Arc::new),
        };
        if !self.is_wanted(key, &entry) {
            *answer = None;
        } else if known.is_none() {
            *answer = Some(Answer { started, since, result: result.clone() });
        }
        result
    }

    /// Whether an answer can still serve anybody: before the first apply whoever comes, and after it only who waits already.
    /// The entry of one that can't is forgotten, as it may be large.
    fn is_wanted(&self, key: &K, entry: &Entry<V, E>) -> bool {
        if !self.ended.load(Ordering::SeqCst) {
            return true;
        }
        // Entries are handed out under this lock; one is ours, and one the map's.
        let mut entries = self.entries();
        let held = entries.get(key).is_some_and(|held| Arc::ptr_eq(held, entry));
        let waited_for = Arc::strong_count(entry) > 1 + usize::from(held);
        if held && !waited_for {
            entries.remove(key);
        }
        waited_for
    }

    /// A cache that keeps nothing: calls are only shared.
    pub fn sharing() -> Self {
        let cache = ReadCache::default();
        cache.end();
        cache
    }

    /// Ends the cache for good: something is about to change.
    pub fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        self.entries().clear();
    }

    fn will_do(&self, answer: &Answer<V, E>, arrived: u64) -> bool {
        let young = || answer.result.is_ok() && answer.since.elapsed() < clock::scaled(MAX_AGE);
        answer.started > arrived || (!self.ended.load(Ordering::SeqCst) && young())
    }

    fn moment(&self) -> u64 {
        self.moments.fetch_add(1, Ordering::SeqCst)
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, HashMap<K, Entry<V, E>>> {
        self.entries.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts calls; each takes a while.
    #[derive(Default)]
    struct Server(AtomicU64);

    impl Server {
        async fn call(&self) -> Result<u64, String> {
            let number = self.0.fetch_add(1, Ordering::SeqCst) + 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(number)
        }
    }

    #[tokio::test]
    async fn a_refresh_asks_once_for_each_key() {
        let (cache, server) = (ReadCache::default(), Server::default());
        for _ in 0..3 {
            cache.get(&"prod", || server.call()).await.unwrap();
        }
        cache.get(&"test", || server.call()).await.unwrap();
        assert_eq!(server.0.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn m16_after_the_first_apply_nothing_old_is_answered_ever_again() {
        let (cache, server) = (ReadCache::default(), Server::default());
        assert_eq!(*cache.get(&"prod", || server.call()).await.unwrap(), 1);
        cache.end();
        assert_eq!(*cache.get(&"prod", || server.call()).await.unwrap(), 2);
        assert_eq!(*cache.get(&"prod", || server.call()).await.unwrap(), 3);
    }

    #[tokio::test]
    async fn m16_a_call_is_shared_only_with_those_who_arrived_before_it_started() {
        let (cache, server) = (ReadCache::default(), Server::default());
        cache.end();
        let get = || async { *cache.get(&"prod", || server.call()).await.unwrap() };
        // The first starts a call; the others arrive while it is under way and share the next one.
        let answers = tokio::join!(get(), get(), get());
        assert_eq!(answers, (1, 2, 2));
    }

    #[tokio::test]
    async fn m16_what_nobody_waits_for_is_not_kept() {
        let (cache, server) = (ReadCache::default(), Server::default());
        cache.end();
        let get = || cache.get(&"prod", || server.call());
        let (first, second, third) = tokio::join!(get(), get(), get());
        assert_eq!((*first.unwrap(), *second.unwrap(), *third.unwrap()), (1, 2, 2));
        get().await.unwrap();
        assert!(cache.entries().is_empty());
    }

    #[tokio::test]
    async fn an_answer_that_was_asked_for_before_the_apply_is_not_kept() {
        let (cache, server) = (ReadCache::default(), Server::default());
        let end = async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            cache.end();
        };
        let (first, ()) = tokio::join!(cache.get(&"prod", || server.call()), end);
        assert_eq!(*first.unwrap(), 1);
        assert_eq!(*cache.get(&"prod", || server.call()).await.unwrap(), 2);
    }

    #[tokio::test]
    async fn an_error_is_not_kept() {
        let cache: ReadCache<&str, u64, String> = ReadCache::default();
        assert!(cache.get(&"prod", || async { Err("down".to_owned()) }).await.is_err());
        assert_eq!(*cache.get(&"prod", || async { Ok(1) }).await.unwrap(), 1);
    }
}
