//! What lies beside a prefix in its bucket under nearly the same name: the one that may have been meant.

use super::{ObjectStore, StoreError};

/// A prefix, and the objects around it.
pub struct Siblings {
    /// The folder that holds the prefix.
    pub around: Box<dyn ObjectStore>,
    /// The prefix' own last part.
    pub name: String,
}

/// What is in a folder of backups: restic's and Velero's.
const HOLDS_BACKUPS: [&str; 2] = ["snapshots", "backups"];

/// Shorter names differ by a letter and mean different things: `eu`, `us`.
const SHORTEST: usize = 4;

impl Siblings {
    /// The name of a sibling that holds backups and is called so but for one slip of the keyboard. `None` also where nobody may
    /// list what is around the prefix.
    pub async fn mistyped(&self) -> Option<String> {
        self.look().await.unwrap_or_else(|error| {
            tracing::info!(%error, "what lies beside a prefix could not be listed");
            None
        })
    }

    async fn look(&self) -> Result<Option<String>, StoreError> {
        let folders = self.around.list_folders("").await?;
        for folder in folders.into_iter().filter(|folder| is_slip(&self.name, folder)) {
            let inside = self.around.list_folders(&format!("{folder}/")).await?;
            if inside.iter().any(|name| HOLDS_BACKUPS.contains(&name.as_str())) {
                return Ok(Some(folder));
            }
        }
        Ok(None)
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
        store.put_bytes("prod/notes/a", Bytes::from("a")).await.unwrap();
        let siblings = Siblings { around: Box::new(LocalStore::new(folder.path())), name: "prdo".into() };
        assert_eq!(siblings.mistyped().await, None, "no backups are there");
        store.put_bytes("prod/backups/monday/velero-backup.json", Bytes::from("{}")).await.unwrap();
        assert_eq!(siblings.mistyped().await.as_deref(), Some("prod"));
        let right = Siblings { name: "prod".into(), ..siblings };
        assert_eq!(right.mistyped().await, None);
        let nowhere = Siblings { around: Box::new(LocalStore::new("/nonexistent/place")), name: "prdo".into() };
        assert_eq!(nowhere.mistyped().await, None);
    }
}
