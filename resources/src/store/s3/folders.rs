//! Listing what lies right below a prefix, and not what is in it: a folder may hold a million objects.

use super::S3Store;
use super::error::Failure;

impl S3Store {
    /// The names of the folders right below `prefix`, sorted.
    pub(super) async fn folders(&self, prefix: &str) -> Result<Vec<String>, Failure> {
        let below = self.key(prefix);
        let mut names = Vec::new();
        let mut next = None;
        loop {
            let request = self.server.client.list_objects_v2().bucket(&self.bucket).prefix(&below).delimiter("/");
            let request = request.set_continuation_token(next.take());
            let page = request.customize().config_override(self.settings(0)).send().await;
            let page = page.map_err(Failure::of)?;
            let folders = page.common_prefixes.unwrap_or_default().into_iter().filter_map(|folder| folder.prefix);
            let name = |folder: String| Some(folder.strip_prefix(&below)?.trim_end_matches('/').to_owned());
            names.extend(folders.filter_map(name).filter(|name| !name.is_empty()));
            match page.next_continuation_token {
                Some(token) if page.is_truncated == Some(true) => next = Some(token),
                None if page.is_truncated == Some(true) => {
                    return Err(Failure::bad("a listing that has more and does not say where"));
                }
                _ => break,
            }
        }
        names.sort();
        Ok(names)
    }
}
