//! What the tests of backup and restore share: a repository in a folder, the real restic, and trees that can be compared.

use super::super::error::EngineError;
use super::super::progress::Silent;
use super::super::writer::{RestoreOptions, RestoreReport, restore};
use super::{BackupOptions, BackupReport, SnapshotGate, backup};
use aes256ctr_poly1305aes::aead::Aead;
use aes256ctr_poly1305aes::{Aes256CtrPoly1305Aes, Key, Nonce};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use rustic_core::repofile::MasterKey;
use rustic_core::{
    BytesList, ConfigOptions, Credentials, ErrorKind, FileType, Id, KeyOptions, OpenStatus, ReadBackend, Repository,
    RepositoryBackends, RepositoryOptions, RusticError, RusticResult, WriteBackend,
};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use tempfile::TempDir;

const PASSWORD: &str = "correct horse";

/// The layout of restic's local repositories.
#[derive(Debug)]
pub(in super::super) struct Folder(pub PathBuf);

impl Folder {
    pub fn path(&self, tpe: FileType, id: &Id) -> PathBuf {
        let name = id.to_hex().as_str().to_owned();
        match tpe {
            FileType::Config => self.0.join("config"),
            FileType::Pack => self.0.join("data").join(&name[..2]).join(name),
            tpe => self.0.join(tpe.dirname()).join(name),
        }
    }
}

fn failed(error: std::io::Error) -> Box<RusticError> {
    RusticError::with_source(ErrorKind::Backend, "the folder says no", error)
}

impl ReadBackend for Folder {
    fn location(&self) -> String {
        self.0.display().to_string()
    }

    fn list_with_size(&self, tpe: FileType) -> RusticResult<Vec<(Id, u32)>> {
        if tpe == FileType::Config {
            return Ok(self.0.join("config").exists().then(|| (Id::default(), 1)).into_iter().collect());
        }
        let mut folders = vec![self.0.join(tpe.dirname())];
        let mut found = Vec::new();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let meta = entry.metadata().map_err(failed)?;
                if meta.is_dir() {
                    folders.push(entry.path());
                } else if let Ok(id) = entry.file_name().to_string_lossy().parse() {
                    found.push((id, u32::try_from(meta.len()).unwrap()));
                }
            }
        }
        Ok(found)
    }

    fn read_full(&self, tpe: FileType, id: &Id) -> RusticResult<Bytes> {
        fs::read(self.path(tpe, id)).map(Bytes::from).map_err(failed)
    }

    fn read_partial(&self, tpe: FileType, id: &Id, _: bool, offset: u32, length: u32) -> RusticResult<Bytes> {
        let mut bytes = vec![0; length as usize];
        let file = fs::File::open(self.path(tpe, id)).map_err(failed)?;
        file.read_exact_at(&mut bytes, offset.into()).map_err(failed)?;
        Ok(bytes.into())
    }

    fn warmup_path(&self, _: FileType, _: &Id) -> String {
        String::new()
    }
}

impl WriteBackend for Folder {
    fn write_bytes(&self, tpe: FileType, id: &Id, _: bool, content: BytesList) -> RusticResult<()> {
        let path = self.path(tpe, id);
        fs::create_dir_all(path.parent().unwrap()).map_err(failed)?;
        let mut file = fs::File::create(path).map_err(failed)?;
        content.slice().iter().try_for_each(|part| file.write_all(part)).map_err(failed)
    }

    fn remove(&self, tpe: FileType, id: &Id, _: bool) -> RusticResult<()> {
        fs::remove_file(self.path(tpe, id)).map_err(failed)
    }
}

/// A repository, and a place for what goes in and what comes out.
pub(in super::super) struct World {
    pub folder: TempDir,
    pub backend: Arc<dyn WriteBackend>,
    pub gate: Arc<SnapshotGate>,
}

impl World {
    /// An empty repository with a key that is derived at once.
    pub fn new() -> Self {
        let world = Self::bare();
        for name in ["data", "index", "keys", "locks", "snapshots"] {
            fs::create_dir_all(world.repository().join(name)).unwrap();
        }
        let key = MasterKey::new();
        world.write_key(&key);
        let options = ConfigOptions::default();
        world.closed().init(&Credentials::Masterkey(key), &KeyOptions::default(), &options).unwrap();
        world
    }

    /// A place where the real restic can make the repository.
    pub fn bare() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let backend: Arc<dyn WriteBackend> = Arc::new(Folder(folder.path().join("repository")));
        let gate = SnapshotGate::new(backend.clone());
        fs::create_dir(folder.path().join("in")).unwrap();
        fs::create_dir(folder.path().join("out")).unwrap();
        Self { folder, backend, gate }
    }

    fn write_key(&self, key: &MasterKey) {
        let salt = [7; 64];
        let mut derived = [0; 64];
        let parameters = scrypt::Params::new(1, 8, 1).unwrap();
        scrypt::scrypt(PASSWORD.as_bytes(), &salt, &parameters, &mut derived).unwrap();
        let nonce = [9; 16];
        let sealed = Aes256CtrPoly1305Aes::new(Key::from_slice(&derived))
            .encrypt(Nonce::from_slice(&nonce), serde_json::to_vec(key).unwrap().as_slice())
            .unwrap();
        let file = serde_json::json!({
            "created": "2025-01-01T00:00:00Z", "username": "ada", "hostname": "nas", "kdf": "scrypt",
            "N": 2, "r": 8, "p": 1,
            "data": BASE64_STANDARD.encode([&nonce[..], &sealed].concat()), "salt": BASE64_STANDARD.encode(salt),
        });
        let bytes = serde_json::to_vec(&file).unwrap();
        fs::write(self.repository().join("keys").join(hex::encode(Sha256::digest(&bytes))), bytes).unwrap();
    }

    fn closed(&self) -> Repository<()> {
        closed(self.gate.clone())
    }

    pub fn open(&self) -> Repository<OpenStatus> {
        self.closed().open(&Credentials::password(PASSWORD)).unwrap()
    }

    pub fn repository(&self) -> PathBuf {
        self.folder.path().join("repository")
    }

    /// Where tests put what is backed up.
    pub fn input(&self) -> PathBuf {
        self.folder.path().join("in")
    }

    /// Where tests restore to.
    pub fn output(&self) -> PathBuf {
        self.folder.path().join("out/tree")
    }

    pub fn backup_options(&self) -> BackupOptions {
        BackupOptions { paths: vec![self.input()], host: Some("nas".into()), ..BackupOptions::default() }
    }

    pub fn backup(&self, options: &BackupOptions) -> Result<BackupReport, EngineError> {
        backup(&self.open().to_indexed_ids().unwrap(), &self.gate, options, &Silent)
    }

    pub fn restore_options(&self, snapshot: &str) -> RestoreOptions {
        let snapshot = snapshot.to_owned();
        RestoreOptions { snapshot, path: self.input(), to: self.output(), ..RestoreOptions::default() }
    }

    pub fn restore(&self, options: &RestoreOptions) -> Result<RestoreReport, EngineError> {
        restore(&self.open().to_indexed().unwrap(), self.backend.clone(), options, &Silent)
    }

    /// Runs the real restic on the repository; returns its output.
    pub fn restic(&self, arguments: &[&str]) -> String {
        let output = Command::new(parts::RESTIC.get().unwrap())
            .args(["--no-cache", "--repo"])
            .arg(self.repository())
            .args(arguments)
            .env("RESTIC_PASSWORD", PASSWORD)
            .output()
            .unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "restic {arguments:?}: {text}");
        text
    }

    /// The newest snapshot, as restic names it.
    pub fn newest(&self) -> String {
        let list: serde_json::Value = serde_json::from_str(&self.restic(&["snapshots", "--json", "latest"])).unwrap();
        list[0]["id"].as_str().unwrap().to_owned()
    }
}

fn closed(backend: Arc<dyn WriteBackend>) -> Repository<()> {
    let backends = RepositoryBackends::new(backend, None);
    Repository::new(&RepositoryOptions::default().no_cache(true), &backends).unwrap()
}

/// Opens the repository of another process's world.
pub(in super::super) fn open_at(folder: &Path) -> (Repository<OpenStatus>, Arc<dyn WriteBackend>) {
    let backend: Arc<dyn WriteBackend> = Arc::new(Folder(folder.to_path_buf()));
    (closed(backend.clone()).open(&Credentials::password(PASSWORD)).unwrap(), backend)
}

/// Everything that a restore has to bring back, by path: two trees are alike when these are equal.
pub(in super::super) fn describe(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut entries = BTreeMap::new();
    let mut inodes: HashMap<u64, PathBuf> = HashMap::new();
    let mut open = vec![PathBuf::new()];
    while let Some(relative) = open.pop() {
        let path = if relative.as_os_str().is_empty() { root.to_path_buf() } else { root.join(&relative) };
        let meta = fs::symlink_metadata(&path).unwrap();
        let mut text =
            format!("{:o} {}:{} {}.{:09}", meta.mode(), meta.uid(), meta.gid(), meta.mtime(), meta.mtime_nsec());
        if meta.is_dir() {
            open.extend(fs::read_dir(&path).unwrap().map(|entry| relative.join(entry.unwrap().file_name())));
        } else if meta.is_symlink() {
            text += &format!(" -> {:?}", fs::read_link(&path).unwrap());
        } else if meta.is_file() {
            text += &format!(" {} {}", meta.len(), hex::encode(Sha256::digest(fs::read(&path).unwrap())));
            if meta.nlink() > 1 {
                text += &format!(" = {}", inodes.entry(meta.ino()).or_insert_with(|| relative.clone()).display());
            }
        } else {
            text += &format!(" device {}", meta.rdev());
        }
        for (name, value) in attributes(&path) {
            text += &format!(" [{name}={value:?}]");
        }
        entries.insert(relative, text);
        open.sort_by(|a, b| b.cmp(a));
    }
    entries
}

fn attributes(path: &Path) -> Vec<(String, Vec<u8>)> {
    let mut buffer = vec![0; 65536];
    let length = rustix::fs::llistxattr(path, &mut buffer[..]).unwrap_or(0);
    let names = buffer[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut list: Vec<_> = names
        .map(|name| {
            let mut value = vec![0; 65536];
            let length = rustix::fs::lgetxattr(path, name, &mut value[..]).unwrap();
            (String::from_utf8_lossy(name).into_owned(), value[..length].to_vec())
        })
        .collect();
    list.sort();
    list
}

/// Compares two trees and shows only what differs.
pub(in super::super) fn assert_alike(left: &Path, right: &Path) {
    let (left, right) = (describe(left), describe(right));
    let differs = |(path, text): &(&PathBuf, &String)| right.get(*path) != Some(text);
    let differing: Vec<_> = left.iter().filter(differs).map(|(path, text)| (path, text, right.get(path))).collect();
    let extra: Vec<_> = right.keys().filter(|path| !left.contains_key(*path)).collect();
    assert!(differing.is_empty() && extra.is_empty(), "differing: {differing:#?}\nextra: {extra:#?}");
}

/// Sets a modification time with nanoseconds, of a link itself too.
pub(in super::super) fn set_time(path: &Path, seconds: i64, nanoseconds: i32) {
    let time = rustix::fs::Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}

/// Bytes that neither compress nor repeat.
pub(in super::super) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 24) as u8
        })
        .collect()
}

/// One of everything.
pub(in super::super) fn plant(root: &Path) {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let mode = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    fs::create_dir_all(root.join("deep/er/est")).unwrap();
    fs::create_dir(root.join("empty")).unwrap();
    fs::write(root.join("small"), "hello").unwrap();
    fs::write(root.join("nothing"), "").unwrap();
    fs::write(root.join("large"), noise(1, 9 << 20)).unwrap();
    fs::write(root.join("deep/er/est/file"), noise(2, 70_000)).unwrap();
    fs::write(root.join("deep/set-user-id"), "x").unwrap();
    fs::write(root.join("read-only"), "r").unwrap();
    fs::write(root.join(std::ffi::OsStr::from_bytes(b"odd \xff\xfe \"name\"\\\n\t")), "odd").unwrap();
    fs::write(root.join("\u{fc}ml\u{e4}ut \u{1f980}"), "unicode").unwrap();
    fs::hard_link(root.join("small"), root.join("deep/second name")).unwrap();
    fs::hard_link(root.join("small"), root.join("third name")).unwrap();
    symlink("deep/er", root.join("link")).unwrap();
    symlink("/nowhere/at all", root.join("dangling")).unwrap();
    symlink(std::ffi::OsStr::from_bytes(b"odd \xff target"), root.join("odd link")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, root.join("pipe"), rustix::fs::Mode::from_raw_mode(0o640)).unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.write_all_at(b"begin", 0).unwrap();
    sparse.write_all_at(b"end", 20 << 20).unwrap();
    for name in ["small", "read-only", "deep"] {
        let flags = rustix::fs::XattrFlags::empty();
        rustix::fs::setxattr(root.join(name), "user.note", b"a\0b\xff", flags).unwrap();
        rustix::fs::setxattr(root.join(name), "user.empty", b"", flags).unwrap();
    }
    mode(&root.join("deep/set-user-id"), 0o6755);
    mode(&root.join("read-only"), 0o444);
    mode(&root.join("empty"), 0o1777);
    for (index, name) in
        ["link", "small", "deep/er/est/file", "sparse", "empty", "deep/er/est", "deep"].iter().enumerate()
    {
        set_time(&root.join(name), 1_500_000_000 + index as i64, 123_456_789);
    }
    set_time(&root.join("nothing"), -5, 250_000_000);
    mode(&root.join("deep/er"), 0o555);
    mode(root, 0o2750);
    set_time(root, 1_400_000_000, 987_654_321);
}
