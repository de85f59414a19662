//! A store that can be shut, for a process that has to end while its threads still work.

use crate::store::{Condition, Entry, Object, ObjectStore, Put, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::{RwLock, RwLockReadGuard};

/// Shuts the store that is behind it.
#[derive(Default)]
pub struct Fence {
    shut: AtomicBool,
    /// Held for reading by each write and removal that is under way.
    under_way: RwLock<()>,
}

impl Fence {
    /// Lets no write and no removal begin any more, and waits for those that are under way.
    pub async fn shut(&self) {
        self.shut.store(true, Ordering::SeqCst);
        drop(self.under_way.write().await);
    }

    /// What comes too late waits for the end of the process, which is near: an error would only be reported to nobody.
    async fn pass(&self) -> RwLockReadGuard<'_, ()> {
        let passing = self.under_way.read().await;
        if self.shut.load(Ordering::SeqCst) {
            drop(passing);
            return std::future::pending().await;
        }
        passing
    }
}

/// A store behind a fence. It can be read in any case.
pub struct Fenced {
    store: Arc<dyn ObjectStore>,
    fence: Arc<Fence>,
}

impl Fenced {
    /// The store, as long as the fence is open.
    pub fn new(store: Arc<dyn ObjectStore>, fence: Arc<Fence>) -> Self {
        Fenced { store, fence }
    }
}

#[async_trait]
impl ObjectStore for Fenced {
    fn describe(&self) -> String {
        self.store.describe()
    }

    async fn get(&self, name: &str) -> Result<Option<Object>, StoreError> {
        self.store.get(name).await
    }

    async fn get_range(&self, name: &str, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        self.store.get_range(name, offset, length).await
    }

    async fn put(&self, name: &str, bytes: Bytes, condition: Condition) -> Result<Put, StoreError> {
        let _passing = self.fence.pass().await;
        self.store.put(name, bytes, condition).await
    }

    async fn get_bytes(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        self.store.get_bytes(name).await
    }

    async fn put_bytes(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        let _passing = self.fence.pass().await;
        self.store.put_bytes(name, bytes).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        let _passing = self.fence.pass().await;
        self.store.delete(name).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        self.store.list(prefix).await
    }

    async fn list_folders(&self, prefix: &str) -> Result<Vec<String>, StoreError> {
        self.store.list_folders(prefix).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::local::LocalStore;
    use std::time::Duration;

    #[tokio::test]
    async fn nothing_is_written_or_removed_behind_a_shut_fence() {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn ObjectStore> = Arc::new(LocalStore::new(folder.path().join("store")));
        let fence = Arc::new(Fence::default());
        let fenced = Fenced::new(store.clone(), fence.clone());
        fenced.put_bytes("a", Bytes::from("1")).await.unwrap();
        fence.shut().await;
        let late = Duration::from_millis(50);
        assert!(tokio::time::timeout(late, fenced.put_bytes("b", Bytes::from("1"))).await.is_err());
        assert!(tokio::time::timeout(late, fenced.put("b", Bytes::from("1"), Condition::Any)).await.is_err());
        assert!(tokio::time::timeout(late, fenced.delete("a")).await.is_err());
        assert_eq!(fenced.get_bytes("a").await.unwrap().unwrap(), "1");
        assert_eq!(store.list("").await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn what_is_under_way_is_waited_for() {
        let fence = Fence::default();
        let passing = fence.pass().await;
        let shutting = fence.shut();
        tokio::pin!(shutting);
        assert!(tokio::time::timeout(Duration::from_millis(50), &mut shutting).await.is_err());
        drop(passing);
        shutting.await;
    }
}
