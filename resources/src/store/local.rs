//! A folder as an object store: every object is a file that appears whole or not at all.

use super::{Condition, Entry, Object, ObjectStore, Put, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use sha2::{Digest, Sha256};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Error, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// What a file is called while it is written; a listing passes it over, as restic's own does.
const UNFINISHED: &str = "-tmp-";
/// The file whose lock makes a compare-and-write one step.
pub(crate) const LOCK: &str = ".dr-lock";
/// No repository and no ledger is deeper; a loop of links is.
const DEEPEST: usize = 8;

/// A folder. It is made with the first object; its parent never is: a missing parent is a file system that is not mounted.
#[derive(Debug, Clone)]
pub struct LocalStore {
    root: Arc<Path>,
}

impl LocalStore {
    /// The store in the folder `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        LocalStore { root: root.into().into() }
    }

    /// The folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    async fn blocking<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&LocalStore, &Path) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        let path = self.path(name)?;
        let work = tokio::task::spawn_blocking(move || work(&store, &path));
        work.await.unwrap_or_else(|panic| Err(self.failed(&self.root, Error::other(panic))))
    }

    /// The file of an object; a name that would lead elsewhere is refused.
    fn path(&self, name: &str) -> Result<PathBuf, StoreError> {
        let clean = Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
        if !clean || name.contains('\0') {
            return Err(self.failed(&self.root, Error::new(ErrorKind::InvalidInput, "a name that leads elsewhere")));
        }
        Ok(self.root.join(name))
    }

    fn failed(&self, path: &Path, source: Error) -> StoreError {
        StoreError::Io { place: path.display().to_string(), source }
    }

    /// Whether nothing can be there: the folder does not exist, and what it would be made in does.
    fn is_unmade(&self) -> Result<bool, StoreError> {
        match std::fs::metadata(&self.root) {
            Ok(found) if found.is_dir() => Ok(false),
            Ok(_) => Err(self.failed(&self.root, ErrorKind::NotADirectory.into())),
            Err(error) if error.kind() == ErrorKind::NotFound => self.parent_exists().map(|()| true),
            Err(error) => Err(self.failed(&self.root, error)),
        }
    }

    fn parent_exists(&self) -> Result<(), StoreError> {
        let parent = self.root.parent().unwrap_or(Path::new("/"));
        match std::fs::metadata(parent) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(StoreError::Missing { place: parent.display().to_string() })
            }
            Err(error) => Err(self.failed(parent, error)),
        }
    }

    fn read(&self, path: &Path) -> Result<Option<Bytes>, StoreError> {
        match std::fs::read(path) {
            Ok(bytes) => Ok(Some(bytes.into())),
            Err(error) if error.kind() == ErrorKind::NotFound => self.is_unmade().map(|_| None),
            Err(error) => Err(self.failed(path, error)),
        }
    }

    fn read_range(&self, path: &Path, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        let file = File::open(path).map_err(|error| self.failed(path, error))?;
        let mut bytes = vec![0; usize::try_from(length).map_err(|error| self.failed(path, Error::other(error)))?];
        file.read_exact_at(&mut bytes, offset).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => {
                self.failed(path, Error::new(error.kind(), "the file is shorter than it should be"))
            }
            _ => self.failed(path, error),
        })?;
        Ok(bytes.into())
    }

    /// Writes under a condition; whether it held.
    fn write(&self, path: &Path, bytes: &[u8], condition: &Condition) -> Result<bool, StoreError> {
        if matches!(condition, Condition::Matches(_)) && self.is_unmade()? {
            return Ok(false);
        }
        self.make_folders(path.parent().unwrap_or(&self.root))?;
        let failed = |error| self.failed(path, error);
        let _guard = match condition {
            Condition::Matches(_) => Some(lock(path).map_err(failed)?),
            Condition::Any | Condition::Absent => None,
        };
        if let Condition::Matches(etag) = condition
            && self.read(path)?.map(|bytes| etag_of(&bytes)).as_ref() != Some(etag)
        {
            return Ok(false);
        }
        let unfinished = Unfinished::write(path, bytes).map_err(failed)?;
        match condition {
            Condition::Absent => unfinished.keep_if_absent(path).map_err(failed),
            Condition::Any | Condition::Matches(_) => unfinished.keep(path).map(|()| true).map_err(failed),
        }
    }

    /// Makes what is missing between the root and `folder`, and the root itself, never its parent.
    fn make_folders(&self, folder: &Path) -> Result<(), StoreError> {
        if folder.is_dir() {
            return Ok(());
        }
        self.parent_exists()?;
        let below = folder.strip_prefix(&self.root).unwrap_or(Path::new(""));
        let mut path = self.root.to_path_buf();
        make_folder(&path).map_err(|error| self.failed(&path, error))?;
        for part in below.components() {
            path.push(part);
            make_folder(&path).map_err(|error| self.failed(&path, error))?;
        }
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<(), StoreError> {
        match std::fs::remove_file(path) {
            Ok(()) => sync_folder(path).map_err(|error| self.failed(path, error)),
            Err(error) if error.kind() == ErrorKind::NotFound => self.is_unmade().map(|_| ()),
            Err(error) => Err(self.failed(path, error)),
        }
    }

    fn walk(&self, folder: &Path, depth: usize, found: &mut Vec<Entry>) -> Result<(), StoreError> {
        let failed = |error| self.failed(folder, error);
        let entries = match std::fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return self.is_unmade().map(|_| ()),
            Err(error) => return Err(failed(error)),
        };
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            let metadata = match std::fs::metadata(&path) {
                Ok(metadata) => metadata,
                // Removed while it was listed, or a link to nothing.
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) => return Err(self.failed(&path, error)),
            };
            let name = path.strip_prefix(&self.root).unwrap_or(&path).to_string_lossy().into_owned();
            if metadata.is_dir() {
                // What mkfs leaves at the top of a file system; only root can read it.
                if depth < DEEPEST && name != "lost+found" {
                    self.walk(&path, depth + 1, found)?;
                }
            } else if !name.contains(UNFINISHED) && !name.ends_with(LOCK) {
                found.push(Entry { name, size: metadata.len() });
            }
        }
        Ok(())
    }
}

#[async_trait]
impl ObjectStore for LocalStore {
    fn describe(&self) -> String {
        self.root.display().to_string()
    }

    async fn get(&self, name: &str) -> Result<Option<Object>, StoreError> {
        let bytes = self.blocking(name, |store, path| store.read(path)).await?;
        Ok(bytes.map(|bytes| Object { etag: etag_of(&bytes), bytes }))
    }

    async fn get_range(&self, name: &str, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        self.blocking(name, move |store, path| store.read_range(path, offset, length)).await
    }

    async fn put(&self, name: &str, bytes: Bytes, condition: Condition) -> Result<Put, StoreError> {
        let write = move |store: &LocalStore, path: &Path| {
            let written = store.write(path, &bytes, &condition)?;
            Ok(if written { Put::Written(etag_of(&bytes)) } else { Put::ConditionFailed })
        };
        self.blocking(name, write).await
    }

    // The etag is a hash of everything: packs have one already, their name.
    async fn get_bytes(&self, name: &str) -> Result<Option<Bytes>, StoreError> {
        self.blocking(name, |store, path| store.read(path)).await
    }

    async fn put_bytes(&self, name: &str, bytes: Bytes) -> Result<(), StoreError> {
        self.blocking(name, move |store, path| store.write(path, &bytes, &Condition::Any).map(drop)).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.blocking(name, |store, path| store.remove(path)).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        let found = self.blocking(prefix, |store, path| {
            let mut found = Vec::new();
            store.walk(path, 0, &mut found).map(|()| found)
        });
        let mut found = found.await?;
        found.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }
}

fn etag_of(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn make_folder(path: &Path) -> std::io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_folder(path),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) => Err(error),
    }
}

/// A lock that the kernel frees when its process dies.
fn lock(path: &Path) -> std::io::Result<File> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(folder.join(LOCK))?;
    file.lock()?;
    Ok(file)
}

/// A new name is on the disk only when its folder is.
fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// A file with all its bytes under a name of its own, removed unless it is kept.
struct Unfinished(Option<PathBuf>);

impl Unfinished {
    fn write(path: &Path, bytes: &[u8]) -> std::io::Result<Self> {
        let mut name = path.as_os_str().to_owned();
        name.push(format!("{UNFINISHED}{:016x}", rand::random::<u64>()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&name)?;
        let unfinished = Unfinished(Some(name.into()));
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(unfinished)
    }

    fn keep(mut self, path: &Path) -> std::io::Result<()> {
        if let Some(name) = &self.0 {
            std::fs::rename(name, path)?;
            self.0 = None;
        }
        sync_folder(path)
    }

    /// A hard link fails where the name exists, a rename would not.
    fn keep_if_absent(self, path: &Path) -> std::io::Result<bool> {
        let Some(name) = &self.0 else { return Ok(false) };
        match std::fs::hard_link(name, path) {
            Ok(()) => sync_folder(path).map(|()| true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) if matches!(error.kind(), ErrorKind::PermissionDenied | ErrorKind::Unsupported) => {
                copy_if_absent(name, path)
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(name) = &self.0 {
            // What stays is passed over by every listing.
            let _ = std::fs::remove_file(name);
        }
    }
}

/// For file systems without hard links: the name is claimed first, so a kill in between leaves a torn file there.
fn copy_if_absent(from: &Path, path: &Path) -> std::io::Result<bool> {
    let mut bytes = Vec::new();
    File::open(from)?.read_to_end(&mut bytes)?;
    let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(error),
    };
    if let Err(error) = file.write_all(&bytes).and_then(|()| file.sync_all()) {
        std::fs::remove_file(path)?;
        return Err(error);
    }
    sync_folder(path).map(|()| true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> (tempfile::TempDir, LocalStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::new(folder.path().join("store"));
        (folder, store)
    }

    #[tokio::test]
    async fn an_object_comes_back_as_it_was_written() {
        let (_folder, store) = store();
        assert!(store.get("a/b").await.unwrap().is_none());
        assert_eq!(store.list("").await.unwrap(), []);
        let Put::Written(etag) = store.put("a/b", Bytes::from("hello"), Condition::Any).await.unwrap() else {
            panic!()
        };
        let object = store.get("a/b").await.unwrap().unwrap();
        assert_eq!((object.bytes, object.etag), (Bytes::from("hello"), etag));
        assert_eq!(store.get_range("a/b", 1, 3).await.unwrap(), "ell");
        assert_eq!(store.list("a/").await.unwrap(), [Entry { name: "a/b".into(), size: 5 }]);
        assert_eq!(store.list("c/").await.unwrap(), []);
        assert_eq!(store.list_folders("").await.unwrap(), ["a"]);
        assert_eq!(store.list_folders("a/").await.unwrap(), [""; 0]);
        store.delete("a/b").await.unwrap();
        store.delete("a/b").await.unwrap();
        assert_eq!(store.list("").await.unwrap(), []);
    }

    #[tokio::test]
    async fn without_an_etag_the_bytes_are_the_same() {
        let (_folder, store) = store();
        store.put("a", Bytes::from("old"), Condition::Any).await.unwrap();
        store.put_bytes("a", Bytes::from("new")).await.unwrap();
        assert_eq!(store.get("a").await.unwrap().unwrap().bytes, "new");
        assert_eq!(store.get_bytes("a").await.unwrap().unwrap(), "new");
        assert_eq!(store.get_bytes("b").await.unwrap(), None);
    }

    #[tokio::test]
    async fn conditions_hold_or_nothing_is_written() {
        let (_folder, store) = store();
        let stale = Condition::Matches("0".into());
        assert_eq!(store.put("x", Bytes::from("0"), stale.clone()).await.unwrap(), Put::ConditionFailed);
        let Put::Written(etag) = store.put("x", Bytes::from("1"), Condition::Absent).await.unwrap() else { panic!() };
        assert_eq!(store.put("x", Bytes::from("2"), Condition::Absent).await.unwrap(), Put::ConditionFailed);
        assert_eq!(store.put("x", Bytes::from("2"), stale).await.unwrap(), Put::ConditionFailed);
        assert_eq!(store.get("x").await.unwrap().unwrap().bytes, "1");
        assert!(matches!(store.put("x", Bytes::from("3"), Condition::Matches(etag)).await.unwrap(), Put::Written(_)));
        assert_eq!(store.get("x").await.unwrap().unwrap().bytes, "3");
        assert_eq!(store.list("").await.unwrap().len(), 1);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_many_writers_with_one_condition_exactly_one_wins() {
        let (_folder, store) = store();
        for condition in [Condition::Absent, Condition::Matches(etag_of(b"0"))] {
            let writers = (0..16).map(|_| store.put("x", Bytes::from("0"), condition.clone()));
            let results = futures::future::join_all(writers).await;
            let won = results.into_iter().filter(|result| matches!(result, Ok(Put::Written(_)))).count();
            // The same bytes have the same etag, so all of the second round may win.
            assert_eq!(won, if condition == Condition::Absent { 1 } else { 16 });
        }
        let writers = (0..16).map(|n| store.put("x", Bytes::from(format!("n{n}")), Condition::Matches(etag_of(b"0"))));
        let results = futures::future::join_all(writers).await;
        assert_eq!(results.into_iter().filter(|result| matches!(result, Ok(Put::Written(_)))).count(), 1);
    }

    #[tokio::test]
    async fn a_missing_parent_is_an_error_and_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        let parent = folder.path().join("mount");
        let store = LocalStore::new(parent.join("store"));
        assert!(matches!(store.get("x").await, Err(StoreError::Missing { .. })));
        assert!(matches!(store.list("").await, Err(StoreError::Missing { .. })));
        let put = store.put("x", Bytes::new(), Condition::Any).await;
        assert!(matches!(put, Err(StoreError::Missing { place }) if place == parent.display().to_string()));
        assert!(!parent.exists());
    }

    #[tokio::test]
    async fn a_full_disk_is_an_error_that_leaves_nothing() {
        let store = LocalStore::new("/dev/full");
        assert!(matches!(store.put("x", Bytes::from("1"), Condition::Any).await, Err(StoreError::Io { .. })));
        let (_folder, store) = self::store();
        store.put("x", Bytes::from("1"), Condition::Any).await.unwrap();
        // A folder where the file should go: the rename fails, the written file goes again.
        std::fs::create_dir_all(store.root().join("y/z")).unwrap();
        assert!(matches!(store.put("y", Bytes::from("1"), Condition::Any).await, Err(StoreError::Io { .. })));
        assert_eq!(std::fs::read_dir(store.root()).unwrap().count(), 2);
    }

    #[tokio::test]
    async fn a_name_that_leads_elsewhere_and_a_short_file_are_errors() {
        let (_folder, store) = store();
        assert!(matches!(store.get("../x").await, Err(StoreError::Io { .. })));
        assert!(matches!(store.put("/etc/x", Bytes::new(), Condition::Any).await, Err(StoreError::Io { .. })));
        store.put("x", Bytes::from("123"), Condition::Any).await.unwrap();
        let error = store.get_range("x", 2, 5).await.unwrap_err();
        assert!(error.to_string().contains("shorter than it should be"), "{error}");
    }
}
