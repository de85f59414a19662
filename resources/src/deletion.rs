//! What `deletion_policy` forbids a destroy.

use dr_framework::{Attr, Diagnostics, Path, Result};

/// Refuses a destroy that the policy of the resource `name` prevents, and one that deletes where `in_drill` says that there is
/// something which a drill leaves alone.
pub fn refuse_destroy(policy: &Attr<String>, name: &Attr<String>, in_drill: bool) -> Result<()> {
    let name = name.text().unwrap_or_default();
    let refuse =
        |summary: &str, detail: String| Err(Diagnostics::error_at(Path::attribute("deletion_policy"), summary, detail));
    match policy.text() {
        Some("prevent") => refuse(
            "Destroy prevented",
            format!("`deletion_policy` of {name:?} is \"prevent\". Change it and apply before you destroy it."),
        ),
        Some("delete") if in_drill => refuse(
            "Nothing is deleted in a drill",
            format!(
                "`deletion_policy` of {name:?} is \"delete\", the provider's `mode` is \"drill\", and what would go was not made by \
                 a drill. Destroy it without `mode`; to forget it, use a `removed` block or `state rm`."
            ),
        ),
        _ => Ok(()),
    }
}
