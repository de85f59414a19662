//! What may exist once: a retention policy per scope, a writer per exclusive prefix (or per part of a shared one), a hand-over
//! per name.
//!
//! The register sees the resources of one provider process and produces diagnostics only, never values. A resource may be
//! planned twice (a replace is), so the same identity twice is fine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

/// Who claimed what, in one provider process.
#[derive(Debug, Default)]
pub struct Register {
    claims: Mutex<Claims>,
}

#[derive(Debug, Default)]
struct Claims {
    policies: BTreeMap<String, String>,
    writers: Vec<Writer>,
    images: BTreeMap<String, String>,
    /// Storage that does not outlive the object in the state, with the policy that says so.
    held: BTreeMap<(String, String), String>,
    /// Storage of objects that are planned anew.
    new: BTreeSet<(String, String)>,
    runs: BTreeMap<String, String>,
    /// What the states of objects are known by, by who they are.
    owners: BTreeMap<String, String>,
    /// Where restores write, with who they are.
    destinations: BTreeMap<(String, String), String>,
    /// Who is planned anew, and as what: one resource may be planned twice, and is the same then.
    creates: BTreeMap<String, String>,
}

/// Who writes where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    /// The store: `minio/backups`, `local`.
    pub store: String,
    /// The prefix in it.
    pub prefix: String,
    /// What of the prefix it has for itself, where its engine keeps several writers of one prefix apart; `None` where the
    /// prefix is its own.
    pub part: Option<String>,
    /// Who it is: two resources are never called the same.
    pub identity: String,
}

impl Claims {
    fn replaced(&self, place: &(String, String)) -> Result<(), Conflict> {
        match self.held.get(place).filter(|_| self.new.contains(place)) {
            Some(policy) => {
                Err(Conflict::Replaced { place: format!("{} {}", place.0, place.1), policy: policy.clone() })
            }
            None => Ok(()),
        }
    }
}

impl Writer {
    /// Where each of both writes that the other does too.
    fn collision(&self, other: &Writer) -> Option<(String, String)> {
        let shares = self.prefix == other.prefix
            && self.part.as_ref().zip(other.part.as_ref()).is_some_and(|(one, other)| one != other);
        if self.identity == other.identity || self.store != other.store || shares {
            return None;
        }
        let places = self.places();
        let pairs = places.iter().flat_map(|one| other.places().map(|other| (one.clone(), other)));
        let found = pairs.into_iter().find(|(one, other)| overlap(one, other));
        found.map(|(one, place)| (self.in_words(&one), other.in_words(&place)))
    }

    /// The prefix, and what lies beside it: its ledger.
    fn places(&self) -> [String; 2] {
        [self.prefix.clone(), format!("{}.dr", self.prefix)]
    }

    /// The conflict with a job that restores to a place in what this writes.
    fn is_entered(&self, (store, to): &(String, String), job: &str) -> Option<Conflict> {
        let entered = self.places().into_iter().find(|place| *store == self.store && holds(place, to))?;
        let (place, target) = (self.in_words(&entered), self.identity.clone());
        Some(Conflict::InsideTarget { job: job.to_owned(), place, target })
    }

    fn in_words(&self, prefix: &str) -> String {
        let place = if prefix.is_empty() { self.store.clone() } else { format!("{} {prefix}", self.store) };
        match &self.part {
            Some(part) => format!("{place} ({part})"),
            None => place,
        }
    }
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
    /// What is restored into a repository is no part of it.
    #[error("{job} restores into {place}, where {target} keeps its backups: restore elsewhere")]
    InsideTarget {
        /// The job.
        job: String,
        /// Where the target writes.
        place: String,
        /// The target.
        target: String,
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
    /// A plan has no destroy half to judge: what goes is seen by what is in the state, and what comes by what is made.
    #[error(
        "an object in the state holds {place} with deletion_policy = {policy:?}, and this plan makes another one there: what is \
         stored would go before it is taken over. If the resource was renamed, say so in a `moved` block. To replace it, apply \
         deletion_policy = \"keep\" first"
    )]
    Replaced {
        /// Where.
        place: String,
        /// What becomes of it.
        policy: String,
    },
    /// What one of them does with its storage, the other takes for its own.
    #[error(
        "two resources of this configuration are {identity}: they would take one repository for their own. Give one of them \
         another place, or leave it out and use the `ref` of the other"
    )]
    OneTarget {
        /// Who both are.
        identity: String,
    },
    /// One run is made once: the later job would take the earlier one's result for its own.
    #[error(
        "two jobs of the name {name:?} restore different things to {target}: they would be one run, and only what the first \
         of them restores would come. Give one of them another `name`"
    )]
    OneRun {
        /// The name.
        name: String,
        /// What both restore to.
        target: String,
    },
}

impl Register {
    /// Notes that the object in the state may not be destroyed with what is stored, or takes it along. `place` is a store
    /// and a prefix.
    pub fn held(&self, place: (String, String), policy: &str) -> Result<(), Conflict> {
        let mut claims = self.claims();
        claims.held.insert(place.clone(), policy.to_owned());
        claims.replaced(&place)
    }

    /// Notes that an object is planned anew.
    pub fn new_at(&self, place: (String, String)) -> Result<(), Conflict> {
        let mut claims = self.claims();
        claims.new.insert(place.clone());
        claims.replaced(&place)
    }

    /// The object is made: from here on it is the one in the state.
    pub fn made_at(&self, place: &(String, String)) {
        let mut claims = self.claims();
        claims.new.remove(place);
        claims.held.remove(place);
    }

    /// Forgets everything: the provider was configured anew.
    pub fn clear(&self) {
        *self.claims() = Claims::default();
    }

    /// Notes what the run of this identity restores: a job's name and target, and what makes it run again.
    pub fn run(&self, run: &str, restores: &str, (name, target): (&str, &str)) -> Result<(), Conflict> {
        let mut claims = self.claims();
        match claims.runs.entry(run.to_owned()).or_insert_with(|| restores.to_owned()) {
            first if first == restores => Ok(()),
            _ => Err(Conflict::OneRun { name: name.to_owned(), target: target.to_owned() }),
        }
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

    /// Notes that an object is planned, or planned anew, as `plan` writes it out, if its state is known by nothing yet.
    pub fn target(&self, identity: &str, owner: Option<&str>, plan: impl FnOnce() -> String) -> Result<(), Conflict> {
        let mut claims = self.claims();
        let (known, by) = match owner {
            None => (&mut claims.creates, plan()),
            Some(owner) => (&mut claims.owners, owner.to_owned()),
        };
        let is_first = *known.entry(identity.to_owned()).or_insert_with(|| by.clone()) == by;
        if is_first { Ok(()) } else { Err(Conflict::OneTarget { identity: identity.to_owned() }) }
    }

    /// Notes who writes somewhere, and that nobody else may.
    pub fn writer(&self, writer: Writer) -> Result<(), Conflict> {
        let mut claims = self.claims();
        let collision = |first: &Writer| Some((first.identity.clone(), first.collision(&writer)?));
        if let Some((first, (first_place, second_place))) = claims.writers.iter().find_map(collision) {
            return Err(Conflict::TwoWriters { first, first_place, second_place, second: writer.identity });
        }
        let into = |(place, job): (&(String, String), &String)| writer.is_entered(place, job);
        if let Some(conflict) = claims.destinations.iter().find_map(into) {
            return Err(conflict);
        }
        if !claims.writers.contains(&writer) {
            claims.writers.push(writer);
        }
        Ok(())
    }

    /// Notes that a job restores to a place, and that no target keeps its backups there.
    pub fn destination(&self, place: (String, String), job: &str) -> Result<(), Conflict> {
        let mut claims = self.claims();
        match claims.writers.iter().find_map(|writer| writer.is_entered(&place, job)) {
            Some(conflict) => Err(conflict),
            None => {
                claims.destinations.insert(place, job.to_owned());
                Ok(())
            }
        }
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

/// Whether one prefix holds the other, path by path: `a` holds `a/b` and not `ab`; the empty one holds all.
pub fn overlap(one: &str, other: &str) -> bool {
    holds(one, other) || holds(other, one)
}

fn holds(outer: &str, inner: &str) -> bool {
    inner.strip_prefix(outer).is_some_and(|rest| outer.is_empty() || rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(store: &str, prefix: &str, identity: &str) -> Writer {
        Writer { store: store.to_owned(), prefix: prefix.to_owned(), part: None, identity: identity.to_owned() }
    }

    #[test]
    fn two_jobs_of_one_run_that_restore_different_things_are_an_error() {
        let register = Register::default();
        let job = ("docs", "/srv/docs");
        register.run("key", "all", job).unwrap();
        register.run("key", "all", job).unwrap();
        register.run("another", "a part", job).unwrap();
        let error = register.run("key", "a part", job).unwrap_err();
        assert!(error.to_string().contains("\"docs\" restore different things to /srv/docs"), "{error}");
    }

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
    fn m15_what_an_object_takes_with_it_is_not_made_anew_in_the_same_plan() {
        let place = |prefix: &str| ("local".to_owned(), prefix.to_owned());
        let register = Register::default();
        register.held(place("docs"), "delete").unwrap();
        register.new_at(place("wiki")).unwrap();
        let error = register.new_at(place("docs")).unwrap_err();
        assert!(error.to_string().contains("holds local docs with deletion_policy = \"delete\""), "{error}");
        // In the other order, as when it was renamed.
        let register = Register::default();
        register.new_at(place("docs")).unwrap();
        assert!(register.held(place("docs"), "prevent").is_err());
        register.made_at(&place("docs"));
        register.held(place("docs"), "prevent").unwrap();
    }

    #[test]
    fn two_objects_are_one_target_when_both_are_new_or_known_by_different_things() {
        let register = Register::default();
        let (x, y) = (|| "x".to_owned(), || "y".to_owned());
        // A replacement is planned as what it was, then anew.
        register.target("docs", Some("a"), x).unwrap();
        register.target("docs", None, x).unwrap();
        register.target("docs", Some("a"), y).unwrap();
        let error = register.target("docs", Some("b"), x).unwrap_err();
        assert!(error.to_string().contains("two resources of this configuration are docs"), "{error}");
        register.target("wiki", None, x).unwrap();
        register.target("wiki", None, x).unwrap();
        register.target("wiki", None, y).unwrap_err();
        register.clear();
        register.target("wiki", None, y).unwrap();
    }

    #[test]
    fn nothing_is_restored_to_where_a_target_keeps_its_backups() {
        let place = |to: &str| ("local".to_owned(), to.to_owned());
        let register = Register::default();
        register.destination(place("srv/docs"), "a restore").unwrap();
        register.writer(writer("local", "backup/docs", "docs")).unwrap();
        for to in ["backup/docs", "backup/docs/new", "backup/docs.dr/new"] {
            let error = register.destination(place(to), "a restore").unwrap_err();
            assert!(error.to_string().starts_with("a restore restores into local backup/docs"), "{error}");
        }
        for to in ["backup", "backup/docs2", "srv/docs/new"] {
            register.destination(place(to), "a restore").unwrap();
        }
        // In the other order.
        register.writer(writer("local", "srv/docs/new", "wiki")).unwrap_err();
    }

    #[test]
    fn a_resource_that_is_planned_twice_is_no_conflict() {
        let register = Register::default();
        for _ in 0..2 {
            register.policy("scope", "daily").unwrap();
            register.writer(writer("s3 minio/backups", "docs", "docs")).unwrap();
        }
    }

    #[test]
    fn b8_two_writers_on_overlapping_prefixes_are_an_error() {
        let register = Register::default();
        register.writer(writer("s3 minio/backups", "apps/docs", "docs")).unwrap();
        for prefix in ["apps/docs", "apps", "apps/docs/deep", ""] {
            assert!(register.writer(writer("s3 minio/backups", prefix, "other")).is_err(), "{prefix}");
        }
        let error = register.writer(writer("s3 minio/backups", "apps/docs.dr/more", "other")).unwrap_err();
        assert!(error.to_string().contains("apps/docs.dr and other"), "its ledger lies beside it: {error}");
        for prefix in ["apps/docs2", "apps/doc", "docs"] {
            register.writer(writer("s3 minio/backups", prefix, prefix)).unwrap();
        }
        register.writer(writer("s3 minio/other", "apps/docs", "elsewhere")).unwrap();
    }

    #[test]
    fn b8_writers_of_parts_share_a_prefix_and_no_part_of_it() {
        let register = Register::default();
        let of = |prefix: &str, part: &str, identity: &str| {
            register.writer(Writer { part: Some(part.to_owned()), ..writer("minio/backups", prefix, identity) })
        };
        of("apps", "namespace wiki", "main in wiki").unwrap();
        of("apps", "namespace docs", "main in docs").unwrap();
        let error = of("apps", "namespace wiki", "other in wiki").unwrap_err().to_string();
        assert!(error.contains("minio/backups apps (namespace wiki)"), "{error}");
        // A whole bucket is shared with the ledger in it.
        let register = Register::default();
        let of = |prefix: &str, part: &str, identity: &str| {
            register.writer(Writer { part: Some(part.to_owned()), ..writer("minio/backups", prefix, identity) })
        };
        of("", "namespace wiki", "main in wiki").unwrap();
        of("", "namespace docs", "main in docs").unwrap();
        of("apps/deep", "namespace news", "a repository in another one").unwrap_err();
        register.writer(writer("minio/backups", "", "somebody who takes all of it")).unwrap_err();
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
