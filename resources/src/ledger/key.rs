//! Names of runs, derived from what they are for.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::JobKind;

/// The `triggers` of a job. A null counts as left out.
pub type Triggers = BTreeMap<String, Option<String>>;

/// The key of a run: first 16 hex digits of sha256 over `[1, kind, engine, server_uid, target, name, triggers]` in
/// canonical JSON (no spaces, keys sorted, nulls in triggers left out).
pub fn run_key(
    kind: JobKind,
    engine: &str,
    server_uid: Option<&str>,
    target: &str,
    name: &str,
    triggers: &Triggers,
) -> String {
    let triggers: BTreeMap<&str, &str> =
        triggers.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_deref()?))).collect();
    let canonical = serde_json::to_vec(&(1, kind, engine, server_uid, target, name, triggers))
        .expect("strings and maps with string keys always have a JSON form");
    let mut key = hex::encode(Sha256::digest(canonical));
    key.truncate(16);
    key
}

/// The name of the object that an engine makes for a run: the same run finds its own object again.
pub fn engine_object_name(name: &str, key: &str) -> String {
    let short: String = key.chars().take(8).collect();
    format!("dr-{name}-{short}")
}

/// The name of a series in a place of files or objects: itself where that is plain, else a hash of it.
pub(super) fn seen_name(series: &str) -> String {
    let plain = |character: char| character.is_ascii_alphanumeric() || "-_.".contains(character);
    if !series.is_empty() && series.len() <= 100 && !series.starts_with('.') && series.chars().all(plain) {
        return series.to_owned();
    }
    hex::encode(&Sha256::digest(series)[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_never_names_a_place_elsewhere() {
        assert_eq!(seen_name("docs"), "docs");
        for odd in ["/srv/docs", "../docs", ".docs", ""] {
            assert!(seen_name(odd).chars().all(|character| character.is_ascii_hexdigit()), "{odd}");
        }
    }

    fn triggers(pairs: &[(&str, Option<&str>)]) -> Triggers {
        pairs.iter().map(|(key, value)| (key.to_string(), value.map(str::to_owned))).collect()
    }

    #[test]
    fn the_key_is_that_of_the_canonical_json() {
        let key = run_key(
            JobKind::Restore,
            "restic",
            None,
            "/srv/docs",
            "docs",
            &triggers(&[("b", Some("2")), ("a", Some("1"))]),
        );
        let json = r#"[1,"restore_job","restic",null,"/srv/docs","docs",{"a":"1","b":"2"}]"#;
        assert_eq!(key, hex::encode(Sha256::digest(json))[..16]);
    }

    #[test]
    fn each_part_makes_another_key() {
        let base = run_key(JobKind::Restore, "restic", Some("u"), "t", "n", &triggers(&[("a", Some("1"))]));
        let others = [
            run_key(JobKind::Backup, "restic", Some("u"), "t", "n", &triggers(&[("a", Some("1"))])),
            run_key(JobKind::Restore, "toy", Some("u"), "t", "n", &triggers(&[("a", Some("1"))])),
            run_key(JobKind::Restore, "restic", None, "t", "n", &triggers(&[("a", Some("1"))])),
            run_key(JobKind::Restore, "restic", Some("u"), "t2", "n", &triggers(&[("a", Some("1"))])),
            run_key(JobKind::Restore, "restic", Some("u"), "t", "n2", &triggers(&[("a", Some("1"))])),
            run_key(JobKind::Restore, "restic", Some("u"), "t", "n", &triggers(&[("a", Some("2"))])),
        ];
        assert!(others.iter().all(|other| *other != base));
    }

    #[test]
    fn a_null_trigger_is_one_that_is_left_out() {
        let key = |triggers| run_key(JobKind::Backup, "toy", None, "t", "n", &triggers);
        assert_eq!(key(triggers(&[("a", None)])), key(triggers(&[])));
    }
}
