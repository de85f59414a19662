//! Where the record of a restore to a path is kept.

use std::path::Path;
use std::sync::Arc;

use super::{LedgerError, LedgerStore, PathLedger};

/// The ledger of a path: beside it, or, where its parent can't be written, in the storage. Touches nothing.
pub fn ledger_of_path(path: &Path, storage: Option<Arc<dyn LedgerStore>>) -> Result<Arc<dyn LedgerStore>, LedgerError> {
    let no_place =
        |reason: &str| LedgerError::NoPlace { target: path.display().to_string(), reason: reason.to_owned() };
    if let Some(beside) = beside(path) {
        return Ok(Arc::new(beside));
    }
    storage.ok_or_else(|| no_place("its parent folder can't be written, and the storage is read-only"))
}

/// The ledger beside a path, where its parent can be written. Touches nothing.
pub fn beside(path: &Path) -> Option<PathLedger> {
    PathLedger::new(path).filter(|ledger| can_hold(path, ledger))
}

/// A parent that does not exist counts as one that can be written: then the path is not mounted, which is said later.
fn can_hold(path: &Path, ledger: &PathLedger) -> bool {
    let Some(parent) = path.parent() else { return false };
    let writable = |folder: &Path| rustix::fs::access(folder, rustix::fs::Access::WRITE_OK).is_ok();
    if ledger.folder().is_dir() {
        writable(ledger.folder())
    } else {
        !parent.exists() || (parent.is_dir() && writable(parent))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_is_beside_the_path_and_nothing_is_touched_to_find_out() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docs");
        let ledger = ledger_of_path(&path, None).unwrap();
        assert_eq!(ledger.describe(), folder.path().join(".docs.dr").display().to_string());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn without_a_place_to_write_the_job_is_refused() {
        // Nobody, not even root, can make a folder in a file.
        let file = tempfile::NamedTempFile::new().unwrap();
        let below = file.path().join("docs");
        for path in [below.as_path(), Path::new("/")] {
            let error = ledger_of_path(path, None).err().unwrap();
            assert!(matches!(error, LedgerError::NoPlace { .. }), "{path:?}");
        }
        let storage = Arc::new(PathLedger::new(Path::new("/srv/elsewhere")).unwrap());
        let ledger = ledger_of_path(&below, Some(storage)).unwrap();
        assert_eq!(ledger.describe(), "/srv/.elsewhere.dr");
    }
}
