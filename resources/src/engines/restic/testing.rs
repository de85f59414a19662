//! For tests: repositories in temporary folders that open at once, and the real restic beside them.

use super::error::EngineError;
use super::repository::{self, Opened};
use super::site::Site;
use super::source::{self, BackupOptions, BackupReport};
use super::worker::{Location, Worker};
use crate::connections::s3::S3Clients;
use crate::secret::Secret;
use crate::store::ObjectStore;
use crate::store::local::LocalStore;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::{Handle, Runtime};

/// scrypt's N = 2: restic takes it too.
pub const LOG_N: u8 = 1;

/// A repository in a folder as resources see it; nobody's lock is waited for.
pub fn site(path: PathBuf) -> Site {
    Site {
        location: Location::Local { path },
        password: Secret::new("correct").into(),
        lock_wait: Duration::ZERO,
        read_only: false,
        expect: None,
        worker: Worker::default(),
        clients: S3Clients::default(),
    }
}

pub struct Lab {
    pub folder: tempfile::TempDir,
    pub runtime: Runtime,
    pub store: Arc<dyn ObjectStore>,
    pub password: Secret,
}

impl Lab {
    /// A place for a repository, and a folder `data` to back up.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("data")).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let store = Arc::new(LocalStore::new(folder.path().join("repo")));
        Lab { folder, runtime, store, password: Secret::new("correct") }
    }

    /// The same with a repository.
    pub fn with_repository() -> Self {
        let lab = Self::new();
        lab.init().unwrap();
        lab
    }

    pub fn handle(&self) -> &Handle {
        self.runtime.handle()
    }

    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn repo(&self) -> PathBuf {
        self.folder.path().join("repo")
    }

    pub fn init(&self) -> Result<String, EngineError> {
        repository::init(&self.store, &self.password, LOG_N, self.handle())
    }

    pub fn open(&self) -> Result<Opened, EngineError> {
        repository::open(&self.store, &self.password, self.handle())
    }

    pub fn backup(&self, options: BackupOptions) -> BackupReport {
        let opened = self.open().unwrap();
        let options =
            BackupOptions { paths: vec![self.data()], host: options.host.or(Some("nas".to_owned())), ..options };
        let repository = opened.repository.to_indexed_ids().unwrap();
        source::backup(&repository, &opened.gate, &options, &super::progress::Silent).unwrap()
    }

    /// Runs the real restic on the repository.
    pub fn restic(&self, arguments: &[&str]) -> Output {
        self.restic_command(arguments).output().unwrap()
    }

    pub fn restic_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(parts::RESTIC.get().unwrap());
        command
            .args(arguments)
            .env("RESTIC_REPOSITORY", self.repo())
            .env("RESTIC_PASSWORD", self.password.expose())
            .env("HOME", self.folder.path())
            .env("XDG_CACHE_HOME", self.folder.path().join("cache"));
        command
    }

    /// The same, which has to succeed; gives its output.
    pub fn restic_ok(&self, arguments: &[&str]) -> String {
        let output = self.restic(arguments);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "restic {arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
        text
    }

    /// The files below a folder of the repository.
    pub fn files(&self, folder: &str) -> Vec<PathBuf> {
        let entries = self.runtime.block_on(self.store.list(folder)).unwrap();
        entries.into_iter().map(|entry| self.repo().join(entry.name)).collect()
    }
}
