//! What lies beside a prefix in its bucket under nearly the same name: the one that may have been meant.

use super::{ObjectStore, StoreError};

/// A prefix of a bucket.
pub struct Siblings {
    /// The bucket.
    pub bucket: Box<dyn ObjectStore>,
    /// The prefix, without slashes at its ends.
    pub prefix: String,
}

/// What is in a folder of backups: restic's and Velero's.
const HOLDS_BACKUPS: [&str; 2] = ["snapshots", "backups"];

/// Shorter names differ by a letter and mean different things: `eu`, `us`.
const SHORTEST: usize = 4;

impl Siblings {
    /// The prefix that holds backups and is called so but for one slip of the keyboard in one of its parts. What nobody may list
    /// is passed over.
    pub async fn mistyped(&self) -> Result<Option<String>, StoreError> {
        let parts: Vec<&str> = self.prefix.split('/').collect();
        for (level, part) in parts.iter().enumerate() {
            let around: String = parts.iter().take(level).map(|part| format!("{part}/")).collect();
            let below: String = parts.iter().skip(level + 1).map(|part| format!("/{part}")).collect();
            for folder in self.folders(&around).await?.iter().filter(|folder| is_slip(part, folder)) {
                let meant = format!("{around}{folder}{below}");
                let inside = self.folders(&format!("{meant}/")).await?;
                if inside.iter().any(|name| HOLDS_BACKUPS.contains(&name.as_str())) {
                    return Ok(Some(meant));
                }
            }
        }
        Ok(None)
    }

    async fn folders(&self, of: &str) -> Result<Vec<String>, StoreError> {
        match self.bucket.list_folders(of).await {
            Err(StoreError::Denied { reason, .. }) => {
                tracing::info!(of, reason, "what lies beside a prefix may not be listed");
                Ok(Vec::new())
            }
            found => found,
        }
    }
}

/// Whether two names differ by one letter that is missing, too many, wrong or in the wrong place, in a part that is long enough
/// for that. Numbers tell places apart on purpose.
fn is_slip(one: &str, other: &str) -> bool {
    let digits = |name: &str| name.chars().filter(char::is_ascii_digit).collect::<String>();
    let parts = |name: &str| name.to_lowercase().split(['-', '_', '.']).map(str::to_owned).collect::<Vec<_>>();
    let (ours, theirs) = (parts(one), parts(other));
    if one == other || digits(one) != digits(other) || ours.len() != theirs.len() {
        return false;
    }
    let is_long = |part: &str| part.chars().count() >= SHORTEST;
    let mut different = ours.iter().zip(&theirs).filter(|(ours, theirs)| ours != theirs);
    match (different.next(), different.next()) {
        (None, _) => true,
        (Some((ours, theirs)), None) => is_long(ours) && is_long(theirs) && strsim::osa_distance(ours, theirs) == 1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::store::local::LocalStore;

    #[test]
    fn one_slip_is_another_spelling_and_another_number_or_word_is_another_place() {
        for (one, other) in
            [("prdo", "prod"), ("paprless", "paperless"), ("Paperless", "paperless"), ("wiki-prodd", "wiki-prod")]
        {
            assert!(is_slip(one, other) && is_slip(other, one), "{one} {other}");
        }
        for (one, other) in [
            ("prod", "prod"),
            ("site-a", "site-b"),
            ("vol1", "vol2"),
            ("eu", "us"),
            ("prod", "prod-eu"),
            ("mail", "wiki"),
        ] {
            assert!(!is_slip(one, other), "{one} {other}");
        }
    }

    #[tokio::test]
    async fn m5_a_prefix_is_mistyped_when_one_that_is_called_nearly_so_holds_backups() {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalStore::new(folder.path());
        let mistyped = async |prefix: &str| {
            let bucket = Box::new(LocalStore::new(folder.path()));
            Siblings { bucket, prefix: prefix.to_owned() }.mistyped().await.unwrap()
        };
        store.put_bytes("prod/notes/a", Bytes::from("a")).await.unwrap();
        assert_eq!(mistyped("prdo").await, None, "no backups are there");
        store.put_bytes("prod/backups/monday/velero-backup.json", Bytes::from("{}")).await.unwrap();
        assert_eq!(mistyped("prdo").await.as_deref(), Some("prod"));
        assert_eq!(mistyped("prod").await, None);
        store.put_bytes("sites/home/wiki/snapshots/1e5f", Bytes::from("{}")).await.unwrap();
        assert_eq!(mistyped("sites/hoem/wiki").await.as_deref(), Some("sites/home/wiki"));
        assert_eq!(mistyped("sites/home/wikki").await.as_deref(), Some("sites/home/wiki"));
        assert_eq!(mistyped("sites/hoem/mail").await, None);
        let nowhere = Siblings { bucket: Box::new(LocalStore::new("/nonexistent/place")), prefix: "prdo".into() };
        assert!(nowhere.mistyped().await.is_err(), "what can't be read is no first use");
    }
}
