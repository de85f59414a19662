//! Making, finishing and opening repositories, beside the real restic.

use super::*;
use crate::engines::restic::source::BackupOptions;
use crate::engines::restic::testing::{LOG_N, Lab};
use crate::store::{Entry, Object, Put, StoreError};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

fn found(lab: &Lab) -> Found {
    lab.runtime.block_on(probe(lab.store.as_ref())).unwrap()
}

#[test]
fn restic_opens_checks_and_fills_what_we_made() {
    let lab = Lab::new();
    assert_eq!(found(&lab), Found::Absent);
    assert!(matches!(lab.open(), Err(EngineError::NoRepository { .. })));
    let id = lab.init().unwrap();
    let Found::Ready { keys } = found(&lab) else { panic!() };
    assert_eq!(keys.len(), 1);
    assert!(lab.restic_ok(&["cat", "config"]).contains(&id));
    assert!(lab.restic_ok(&["check"]).contains("no errors were found"));
    std::fs::write(lab.data().join("file"), "content").unwrap();
    lab.restic_ok(&["backup", lab.data().to_str().unwrap()]);
    assert_eq!(lab.open().unwrap().id, id);
    assert!(matches!(lab.init(), Err(EngineError::Exists { .. })));
}

#[test]
fn a_repository_that_restic_made_opens_in_both_versions() {
    for version in ["1", "2"] {
        let lab = Lab::new();
        lab.restic_ok(&["init", "--repository-version", version]);
        assert!(matches!(found(&lab), Found::Ready { .. }));
        assert_eq!(lab.open().unwrap().id.len(), 64);
    }
}

#[test]
fn a_wrong_password_is_said_and_a_damaged_key_does_not_hide_the_good_one() {
    let lab = Lab::with_repository();
    let wrong = open(&lab.store, &Secret::new("wrong"), lab.handle());
    assert!(matches!(wrong, Err(EngineError::WrongPassword { keys: 1, .. })));
    let good = lab.files("keys/").remove(0);
    for (name, content) in [("0".repeat(64), ""), ("1".repeat(64), "{\"kdf\":")] {
        std::fs::write(lab.repo().join("keys").join(name), content).unwrap();
    }
    lab.open().unwrap();
    let mut flipped = std::fs::read_to_string(&good).unwrap();
    let at = flipped.find("\"salt\":\"").unwrap() + 12;
    flipped.replace_range(at..=at, if &flipped[at..=at] == "A" { "B" } else { "A" });
    std::fs::remove_file(&good).unwrap();
    assert!(matches!(lab.open(), Err(EngineError::NoUsableKey { problems, .. }) if problems.len() == 2));
    std::fs::write(&good, flipped).unwrap();
    let name = format!("keys/{}", good.file_name().unwrap().to_string_lossy());
    let Err(EngineError::NoUsableKey { problems, .. }) = lab.open().map(|_| ()) else {
        panic!("not the password's fault")
    };
    assert!(problems.contains(&format!("{name} is damaged")), "{problems:?}");
}

#[test]
fn an_interrupted_making_is_finished() {
    let lab = Lab::with_repository();
    std::fs::remove_file(lab.repo().join("config")).unwrap();
    std::fs::create_dir(lab.repo().join("data")).unwrap();
    assert_eq!(found(&lab), Found::InterruptedInit);
    lab.init().unwrap();
    assert_eq!(lab.files("keys/").len(), 1, "the key that was there is used");
    lab.restic_ok(&["check"]);
    // The same begun by somebody with another password.
    std::fs::remove_file(lab.repo().join("config")).unwrap();
    init(&lab.store, &Secret::new("other"), LOG_N, lab.handle()).unwrap();
    assert_eq!(lab.files("keys/").len(), 2);
    open(&lab.store, &Secret::new("other"), lab.handle()).unwrap();
}

/// Several make it at once, as in the first applies of several workspaces.
fn one_of_many_makes_it(lab: &Lab) {
    let made: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| lab.init())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let others: Vec<_> = made.iter().filter_map(|made| made.as_ref().err()).collect();
    assert_eq!(others.len(), 3, "{others:#?}");
    assert!(others.iter().all(|other| matches!(other, EngineError::Exists { .. })), "{others:#?}");
    let Found::Ready { keys } = found(lab) else { panic!() };
    assert_eq!(keys.len(), 1, "who was slower takes its key away");
    lab.open().unwrap();
}

#[test]
fn of_several_who_make_a_repository_at_once_one_does_and_its_key_stays() {
    for _ in 0..20 {
        one_of_many_makes_it(&Lab::new());
    }
}

#[test]
fn on_a_store_that_ignores_conditions_one_key_stays_and_it_fits() {
    let mut lab = Lab::new();
    lab.store = Arc::new(Unconditional { store: lab.store.clone(), configs: 0.into() });
    one_of_many_makes_it(&lab);
    lab.restic_ok(&["check"]);
}

/// A store that takes every write, each of them slowly, and one configuration after the other.
struct Unconditional {
    store: Arc<dyn ObjectStore>,
    configs: AtomicU64,
}

#[async_trait::async_trait]
impl ObjectStore for Unconditional {
    fn describe(&self) -> String {
        self.store.describe()
    }

    async fn get(&self, name: &str) -> Result<Option<Object>, StoreError> {
        self.store.get(name).await
    }

    async fn get_range(&self, name: &str, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        self.store.get_range(name, offset, length).await
    }

    async fn put(&self, name: &str, bytes: Bytes, _: Condition) -> Result<Put, StoreError> {
        let before = if name == "config" { self.configs.fetch_add(1, Ordering::SeqCst) } else { 0 };
        tokio::time::sleep(std::time::Duration::from_millis(100 + 50 * before)).await;
        self.store.put(name, bytes, Condition::Any).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.store.delete(name).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        self.store.list(prefix).await
    }
}

/// A place where somebody makes a repository between the first two answers.
struct MadeMeanwhile {
    store: Arc<dyn ObjectStore>,
    /// What does not show yet in the first answer about it.
    late: &'static str,
    asked: AtomicUsize,
}

#[async_trait::async_trait]
impl ObjectStore for MadeMeanwhile {
    fn describe(&self) -> String {
        self.store.describe()
    }

    async fn get(&self, name: &str) -> Result<Option<Object>, StoreError> {
        let hidden = self.late == name && self.asked.fetch_add(1, Ordering::SeqCst) == 0;
        if hidden { Ok(None) } else { self.store.get(name).await }
    }

    async fn get_range(&self, name: &str, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        self.store.get_range(name, offset, length).await
    }

    async fn put(&self, name: &str, bytes: Bytes, condition: Condition) -> Result<Put, StoreError> {
        self.store.put(name, bytes, condition).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.store.delete(name).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        let hidden = self.late == prefix && self.asked.fetch_add(1, Ordering::SeqCst) == 0;
        if hidden { Ok(vec![]) } else { self.store.list(prefix).await }
    }
}

#[test]
fn a_repository_that_is_made_while_it_is_looked_for_is_one() {
    let lab = Lab::with_repository();
    for late in ["config", "keys/"] {
        let store: Arc<dyn ObjectStore> = Arc::new(MadeMeanwhile { store: lab.store.clone(), late, asked: 0.into() });
        assert!(matches!(lab.runtime.block_on(probe(store.as_ref())).unwrap(), Found::Ready { .. }), "{late}");
        let store: Arc<dyn ObjectStore> = Arc::new(MadeMeanwhile { store: lab.store.clone(), late, asked: 0.into() });
        assert!(matches!(init(&store, &lab.password, LOG_N, lab.handle()), Err(EngineError::Exists { .. })));
    }
}

#[test]
fn what_is_no_repository_is_named_and_left_alone() {
    let cases = [
        ("config", "[repository]\nversion = 1\n", "another format"),
        ("kopia.repository.f", "{}", "kopia's"),
        ("holiday.jpg", "x", "it holds holiday.jpg"),
    ];
    for (name, content, message) in cases {
        let lab = Lab::new();
        let path = lab.repo().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        let Found::SomethingElse { what } = found(&lab) else { panic!("{name}") };
        assert!(what.contains(message), "{what}");
        assert!(matches!(lab.init(), Err(EngineError::SomethingElse { .. })));
        assert!(matches!(lab.open(), Err(EngineError::SomethingElse { .. })));
        assert_eq!(lab.files("").len(), 1);
    }
}

#[test]
fn a_repository_without_its_config_or_its_keys_is_not_whole_and_nothing_is_made_over_it() {
    for lost in ["config", "keys"] {
        let lab = Lab::with_repository();
        lab.backup(BackupOptions::default());
        std::fs::rename(lab.repo().join(lost), lab.folder.path().join("kept")).unwrap();
        let Found::Incomplete { lacks } = found(&lab) else { panic!("{lost}") };
        assert!(lacks.contains(lost), "{lacks}");
        let error = lab.init().unwrap_err();
        assert!(matches!(error, EngineError::Incomplete { .. }), "{error}");
        assert!(error.hint().unwrap().contains("another copy"));
        let error = lab.open().err().unwrap();
        assert!(error.hint().unwrap().contains("another copy"), "{error}");
        std::fs::rename(lab.folder.path().join("kept"), lab.repo().join(lost)).unwrap();
        lab.open().unwrap();
    }
}

#[test]
fn a_torn_or_flipped_config_is_damage() {
    let lab = Lab::with_repository();
    let path = lab.repo().join("config");
    let whole = std::fs::read(&path).unwrap();
    let mut flipped = whole.clone();
    flipped[40] ^= 1;
    for content in [&whole[..whole.len() - 1], &whole[..10], &[], &flipped] {
        std::fs::write(&path, content).unwrap();
        assert!(matches!(lab.open(), Err(EngineError::Damaged { .. })));
        assert!(matches!(found(&lab), Found::Ready { .. }), "damaged is not absent");
    }
}

#[test]
fn a_newer_version_is_refused() {
    let lab = Lab::with_repository();
    let opened = lab.open().unwrap();
    let config = format!("{{\"version\":3,\"id\":\"{}\",\"chunker_polynomial\":\"25b468838dcb75\"}}", opened.id);
    let sealed = crate::engines::restic::crypto::seal(&opened.key, config.as_bytes());
    std::fs::write(lab.repo().join("config"), sealed).unwrap();
    assert!(matches!(lab.open(), Err(EngineError::UnknownVersion { version: 3, .. })));
}

#[test]
fn a_repository_on_a_real_s3_server_is_made_once_and_read_by_restic() {
    let minio = crate::store::testing::Minio::start();
    let mut lab = Lab::new();
    lab.store = Arc::new(minio.connection().bucket("bucket", "deep/er").unwrap());
    assert_eq!(found(&lab), Found::Absent);
    one_of_many_makes_it(&lab);
    let mut restic = lab.restic_command(&["check"]);
    restic.env("RESTIC_REPOSITORY", minio.restic_url("deep/er"));
    restic.env("AWS_ACCESS_KEY_ID", "test-access-key").env("AWS_SECRET_ACCESS_KEY", "test-secret-key");
    let output = restic.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn an_erased_repository_leaves_nothing_of_itself_and_everything_else() {
    let lab = Lab::with_repository();
    let holds_nothing = || lab.runtime.block_on(holds_nothing(lab.store.as_ref())).unwrap();
    assert!(holds_nothing());
    std::fs::write(lab.data().join("file"), "content").unwrap();
    lab.backup(Default::default());
    assert!(!holds_nothing());
    std::fs::write(lab.repo().join("notes.txt"), "keep").unwrap();
    assert!(lab.runtime.block_on(erase(lab.store.as_ref())).unwrap() >= 5);
    assert_eq!(lab.files(""), [lab.repo().join("notes.txt")]);
    std::fs::remove_file(lab.repo().join("notes.txt")).unwrap();
    assert_eq!(found(&lab), Found::Absent);
}
