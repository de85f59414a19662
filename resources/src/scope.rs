//! What may exist once: a retention policy per scope, a writer per exclusive prefix, a hand-over per name.
//!
//! The register sees the resources of one provider process and produces diagnostics only, never values. A resource may be
//! planned twice (a replace is), so the same identity twice is fine.

use std::collections::BTreeMap;
use std::sync::Mutex;

/// Who claimed what, in one provider process.
#[derive(Debug, Default)]
pub struct Register {
    claims: Mutex<Claims>,
}

#[derive(Debug, Default)]
struct Claims {
    policies: BTreeMap<String, String>,
    writers: BTreeMap<(String, String), String>,
    images: BTreeMap<String, String>,
}

/// Two resources that can't both be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Retention belongs to the scope, so the tighter policy would delete what the other keeps.
    #[error(
        "{first} and {second} both set retention for {scope}: the tighter one would delete what the other keeps. Set it once"
    )]
    TwoPolicies {
        /// The scope.
        scope: String,
        /// Who was planned first.
        first: String,
        /// Who came second.
        second: String,
    },
    /// The prefix belongs to one writer.
    #[error(
        "{first} writes to {first_place} and {second} to {second_place}, which overlap: use another prefix, or access = \"read_only\""
    )]
    TwoWriters {
        /// Who was planned first.
        first: String,
        /// Where it writes.
        first_place: String,
        /// Who came second.
        second: String,
        /// Where that writes.
        second_place: String,
    },
    /// What is handed over is found by the job's name, so the later job would replace what the earlier one made.
    #[error(
        "{first} and {second} would both be filled from {image}: the later job would take the earlier one's away. Give one \
         of them another name"
    )]
    TwoImages {
        /// What is handed over.
        image: String,
        /// What the job is for that was planned first.
        first: String,
        /// What the second one is for.
        second: String,
    },
}

impl Register {
    /// Forgets everything: the provider was configured anew.
    pub fn clear(&self) {
        *self.claims() = Claims::default();
    }

    /// Notes that `identity` sets retention for a scope.
    pub fn policy(&self, scope: &str, identity: &str) -> Result<(), Conflict> {
        let mut claims = self.claims();
        let first = claims.policies.entry(scope.to_owned()).or_insert_with(|| identity.to_owned());
        if first == identity {
            return Ok(());
        }
        Err(Conflict::TwoPolicies { scope: scope.into(), first: first.clone(), second: identity.into() })
    }

    /// Notes that `identity` writes below a prefix of a store (`s3 minio/backups`, `local`), and nobody else may.
    pub fn writer(&self, store: &str, prefix: &str, identity: &str) -> Result<(), Conflict> {
        let mut claims = self.claims();
        let other = |(place, other): &(&(String, String), &String)| {
            place.0 == store && overlap(&place.1, prefix) && *other != identity
        };
        if let Some((place, first)) = claims.writers.iter().find(other) {
            return Err(Conflict::TwoWriters {
                first: first.clone(),
                first_place: in_words(store, &place.1),
                second: identity.into(),
                second_place: in_words(store, prefix),
            });
        }
        claims.writers.insert((store.to_owned(), prefix.to_owned()), identity.to_owned());
        Ok(())
    }

    /// Notes that `image` is handed over to fill `target`, and nothing else may be.
    pub fn image(&self, image: &str, target: &str) -> Result<(), Conflict> {
        let mut claims = self.claims();
        let first = claims.images.entry(image.to_owned()).or_insert_with(|| target.to_owned());
        if first == target {
            return Ok(());
        }
        Err(Conflict::TwoImages { image: image.into(), first: first.clone(), second: target.into() })
    }

    fn claims(&self) -> std::sync::MutexGuard<'_, Claims> {
        self.claims.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn in_words(store: &str, prefix: &str) -> String {
    if prefix.is_empty() { store.to_owned() } else { format!("{store} {prefix}") }
}

/// Whether one prefix holds the other, path by path: `a` holds `a/b` and not `ab`; the empty one holds all.
pub fn overlap(one: &str, other: &str) -> bool {
    let holds = |outer: &str, inner: &str| {
        inner.strip_prefix(outer).is_some_and(|rest| outer.is_empty() || rest.is_empty() || rest.starts_with('/'))
    };
    holds(one, other) || holds(other, one)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b8_two_policies_on_one_scope_are_an_error_that_names_both() {
        let register = Register::default();
        register.policy("proxmox_ve lab storage/100", "daily").unwrap();
        let error = register.policy("proxmox_ve lab storage/100", "weekly").unwrap_err();
        assert!(error.to_string().starts_with("daily and weekly both set retention"), "{error}");
        register.policy("proxmox_ve lab storage/101", "weekly").unwrap();
    }

    #[test]
    fn two_hand_overs_of_one_name_are_an_error_that_names_both_targets() {
        let register = Register::default();
        register.image("volsync prod apps/docs", "apps/data").unwrap();
        register.image("volsync prod apps/docs", "apps/data").unwrap();
        let error = register.image("volsync prod apps/docs", "apps/media").unwrap_err();
        assert!(error.to_string().starts_with("apps/data and apps/media would both be filled"), "{error}");
        register.image("volsync prod other/docs", "other/media").unwrap();
    }

    #[test]
    fn a_resource_that_is_planned_twice_is_no_conflict() {
        let register = Register::default();
        for _ in 0..2 {
            register.policy("scope", "daily").unwrap();
            register.writer("s3 minio/backups", "docs", "docs").unwrap();
        }
    }

    #[test]
    fn b8_two_writers_on_overlapping_prefixes_are_an_error() {
        let register = Register::default();
        register.writer("s3 minio/backups", "apps/docs", "docs").unwrap();
        for prefix in ["apps/docs", "apps", "apps/docs/deep", ""] {
            assert!(register.writer("s3 minio/backups", prefix, "other").is_err(), "{prefix}");
        }
        for prefix in ["apps/docs2", "apps/doc", "docs"] {
            register.writer("s3 minio/backups", prefix, prefix).unwrap();
        }
        register.writer("s3 minio/other", "apps/docs", "elsewhere").unwrap();
    }

    #[test]
    fn a_provider_that_is_configured_anew_knows_nothing_of_before() {
        let register = Register::default();
        register.policy("scope", "before").unwrap();
        register.clear();
        register.policy("scope", "after").unwrap();
    }

    #[test]
    fn absolute_paths_overlap_by_folder() {
        assert!(overlap("/backup", "/backup/docs"));
        assert!(!overlap("/backup", "/backup2"));
    }
}
