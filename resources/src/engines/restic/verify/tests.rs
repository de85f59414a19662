//! Damage of every kind of file, each with a report.

use super::*;
use crate::engines::restic::error::StoreProblem;
use crate::engines::restic::repository;
use crate::engines::restic::testing::Lab;
use crate::store::{Condition, Entry, Object, ObjectStore, Put, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use std::path::{Path, PathBuf};

fn lab() -> Lab {
    let lab = Lab::with_repository();
    for n in 0..20 {
        let content: Vec<u8> = (0..10_000).map(|_| rand::random()).collect();
        std::fs::write(lab.data().join(format!("file{n}")), content).unwrap();
    }
    lab.backup(Default::default());
    lab
}

fn verified(lab: &Lab, depth: Depth) -> Result<VerifyReport, EngineError> {
    verify(&lab.open()?, depth, None, lab.handle())
}

fn findings(lab: &Lab, depth: Depth) -> String {
    match verified(lab, depth) {
        Err(EngineError::Damaged { what, .. }) => what.join("\n"),
        other => panic!("no damage was found: {other:?}"),
    }
}

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

fn truncate(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

/// The packs, the largest, which holds data, first.
fn packs(lab: &Lab) -> Vec<PathBuf> {
    let mut packs = lab.files("data/");
    packs.sort_by_key(|path| std::cmp::Reverse(std::fs::metadata(path).unwrap().len()));
    packs
}

/// A store that is out of reach for all that lies below a folder.
struct OutOfReach {
    store: std::sync::Arc<dyn ObjectStore>,
    below: &'static str,
}

impl OutOfReach {
    fn reached(&self, name: &str) -> Result<(), StoreError> {
        if name.starts_with(self.below) {
            return Err(StoreError::Unreachable { place: self.describe(), reason: "no answer in time".to_owned() });
        }
        Ok(())
    }
}

#[async_trait]
impl ObjectStore for OutOfReach {
    fn describe(&self) -> String {
        self.store.describe()
    }

    async fn get(&self, name: &str) -> Result<Option<Object>, StoreError> {
        self.reached(name)?;
        self.store.get(name).await
    }

    async fn get_range(&self, name: &str, offset: u64, length: u64) -> Result<Bytes, StoreError> {
        self.reached(name)?;
        self.store.get_range(name, offset, length).await
    }

    async fn put(&self, name: &str, bytes: Bytes, condition: Condition) -> Result<Put, StoreError> {
        self.store.put(name, bytes, condition).await
    }

    async fn delete(&self, name: &str) -> Result<(), StoreError> {
        self.store.delete(name).await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        self.store.list(prefix).await
    }
}

#[test]
fn a_store_that_is_out_of_reach_is_no_damage() {
    let lab = lab();
    for depth in [Depth::Structure, Depth::Data] {
        let store: std::sync::Arc<dyn ObjectStore> =
            std::sync::Arc::new(OutOfReach { store: lab.store.clone(), below: "data/" });
        let opened = repository::open(&store, &lab.password, lab.handle()).unwrap();
        let found = verify(&opened, depth, None, lab.handle());
        let unreachable = |error: &EngineError| matches!(error, EngineError::Storage { problem: StoreProblem::Unreachable, message } if message.contains("in time"));
        assert!(found.as_ref().is_err_and(unreachable), "{depth:?}: {found:?}");
    }
}

#[test]
fn a_whole_repository_is_whole() {
    let lab = lab();
    for depth in [Depth::Structure, Depth::Data] {
        assert_eq!(verified(&lab, depth).unwrap(), VerifyReport { points: 1, warnings: vec![] });
    }
}

#[test]
fn a_damaged_index_or_recovery_point_is_named() {
    for damage in [flip, truncate] {
        for folder in ["index/", "snapshots/"] {
            let lab = lab();
            let file = lab.files(folder).remove(0);
            damage(&file);
            let findings = findings(&lab, Depth::Structure);
            assert!(findings.contains(&format!("{folder}{} is damaged", name(&file))), "{findings}");
            assert!(!findings.contains("backtrace") && !findings.contains("experienced"), "{findings}");
        }
    }
}

#[test]
fn a_damaged_key_beside_the_good_one_is_named() {
    let lab = lab();
    let (other, bytes) =
        super::super::keys::make(&rustic_core::repofile::MasterKey::new(), &crate::secret::Secret::new("x"), 1)
            .unwrap();
    let path = lab.repo().join("keys").join(&other);
    std::fs::write(&path, bytes).unwrap();
    truncate(&path);
    assert!(findings(&lab, Depth::Structure).contains(&format!("keys/{other} is damaged")));
}

#[test]
fn a_missing_or_truncated_pack_shows_in_the_structure_and_a_flipped_bit_in_the_data() {
    for index in [0, 1] {
        let lab = lab();
        let pack = packs(&lab).remove(index);
        truncate(&pack);
        let truncated = findings(&lab, Depth::Structure);
        assert!(truncated.contains(&name(&pack)[..8]), "{index} {truncated}");
        std::fs::remove_file(&pack).unwrap();
        let missing = findings(&lab, Depth::Structure);
        assert!(missing.contains(&name(&pack)[..8]), "{index} {missing}");
    }
    let lab = lab();
    let pack = packs(&lab).remove(0);
    flip(&pack);
    verified(&lab, Depth::Structure).unwrap();
    let findings = findings(&lab, Depth::Data);
    assert!(findings.contains(&name(&pack)[..8]), "{findings}");
    assert!(!findings.contains("backtrace") && !findings.contains("experienced"), "{findings}");
}

#[test]
fn an_index_that_the_library_still_holds_is_waited_for() {
    let answers = |busy: u32, words: &'static str| {
        let mut asked = 0;
        let checked = patiently(|| {
            asked += 1;
            if asked > busy { Ok(asked) } else { Err(Box::new(words.to_owned()) as Box<dyn Any + Send>) }
        });
        (checked.ok(), asked)
    };
    assert_eq!(answers(2, "index still in use: Index(..)"), (Some(3), 3));
    assert_eq!(answers(1, "index out of bounds"), (None, 1), "damage is no reason to wait");
}

#[test]
fn a_point_that_is_gone_since_it_was_stored_is_an_error_though_the_rest_is_whole() {
    let lab = lab();
    let opened = lab.open().unwrap();
    let id = name(&lab.files("snapshots/")[0]);
    assert_eq!(verify(&opened, Depth::Structure, Some(&id), lab.handle()).unwrap().points, 1);
    lab.backup(Default::default());
    std::fs::remove_file(lab.repo().join("snapshots").join(&id)).unwrap();
    let Err(EngineError::Damaged { what, .. }) =
        verify(&lab.open().unwrap(), Depth::Structure, Some(&id), lab.handle())
    else {
        panic!("it was not missed")
    };
    assert_eq!(what, [format!("recovery point {id} is not there: something removed it since it was stored")]);
}
