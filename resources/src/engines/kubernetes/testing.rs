//! For tests: what the schedules of several engines have in common.

use serde_json::json;

use super::objects::{Settle, Wanted};
use crate::connections::kubernetes::Kind;
use crate::engines::restic::site::Site;
use crate::engines::restic::testing::site;
use crate::engines::restic::worker::Worker;
use crate::ledger::LedgerStore;
use crate::restore_job::SERIES;

/// A schedule of this kind, which `settles` with its repository, is made where none was before and not where one vanished; one
/// that is there goes on.
pub async fn is_not_made_where_its_repository_vanished<S: Settle>(kind: Kind, settles: impl FnOnce(Site) -> S) {
    let folder = tempfile::tempdir().unwrap();
    let repository = Site { worker: Worker::at("/nowhere", ["worker"]), ..site(folder.path().join("repo")) };
    let wanted = Wanted { kind, name: "docs".to_owned(), body: None, lasting: false };
    let taken = settles(repository.clone());
    assert!(taken.before_write(&wanted, None, None).await.is_ok(), "nothing was there before");
    repository.ledger().unwrap().mark_seen(SERIES).await.unwrap();
    let failure = taken.before_write(&wanted, None, None).await.unwrap_err();
    assert!(failure.message.contains("held a repository before"), "{failure:?}");
    assert!(failure.hint.unwrap().contains("Bring it back"));
    let live = serde_json::from_value(json!({ "metadata": { "name": "docs" } })).unwrap();
    assert!(taken.before_write(&wanted, Some(&live), None).await.is_ok(), "it is there, and goes on as it is");
}
