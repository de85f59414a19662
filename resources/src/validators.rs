//! Checks of single values, declared beside the attributes that they judge.

use std::time::Duration;

use dr_framework::{Diagnostic, Path, Value};
use jiff::Timestamp;

fn text(value: &Value) -> &str {
    if let Value::String(text) = value { text } else { "" }
}

fn refuse(path: &Path, summary: &str, detail: String) -> Vec<Diagnostic> {
    vec![Diagnostic::error(summary, detail).at(path.clone())]
}

/// A DNS label: the name of a resource becomes part of objects' names.
pub fn name(value: &Value, path: &Path) -> Vec<Diagnostic> {
    let name = text(value);
    let inner = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '-';
    let fine =
        (1..=63).contains(&name.len()) && name.chars().all(inner) && !name.starts_with('-') && !name.ends_with('-');
    if fine {
        return Vec::new();
    }
    refuse(
        path,
        "Unusable name",
        format!(
            "{name:?} is not a DNS label: use 1 to 63 lower-case letters, digits and hyphens, with a letter or digit at \
             both ends."
        ),
    )
}

/// The name of a secret or a connection: `[a-z][a-z0-9_]*`.
pub fn reference_name(value: &Value, path: &Path) -> Vec<Diagnostic> {
    let name = text(value);
    if is_reference_name(name) {
        return Vec::new();
    }
    refuse(
        path,
        "Unusable name",
        // It may be the secret itself, and is not repeated.
        "A name of the provider block is wanted here: lower-case letters, digits and `_`, a letter first.".to_owned(),
    )
}

/// A key of a Kubernetes Secret: letters, digits, `-`, `_` and `.`.
pub fn secret_key(value: &Value, path: &Path) -> Vec<Diagnostic> {
    let key = text(value);
    let inner = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    if (1..=253).contains(&key.len()) && key.chars().all(inner) {
        return Vec::new();
    }
    refuse(
        path,
        "Unusable key",
        format!("{key:?} is no key of a Secret: use up to 253 letters, digits, `-`, `_` and `.`."),
    )
}

/// Whether a text can name a secret or a connection.
pub fn is_reference_name(name: &str) -> bool {
    name.starts_with(|letter: char| letter.is_ascii_lowercase())
        && name.chars().all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_')
}

/// What is wrong with a path that should be absolute and clean.
pub fn path_problem(path: &str) -> Option<&'static str> {
    if !path.starts_with('/') {
        return Some(if path.starts_with('~') {
            "`~` is not expanded: write the whole path"
        } else {
            "it is relative: start with `/`"
        });
    }
    if path == "/" {
        return None;
    }
    if path.ends_with('/') {
        return Some("it ends with `/`: leave that out");
    }
    if path.contains('\0') {
        return Some("it holds a NUL");
    }
    path.split('/').skip(1).find_map(|part| match part {
        "" => Some("it holds `//`: write one slash"),
        "." | ".." => Some("it holds `.` or `..`: write where it leads"),
        _ => None,
    })
}

/// An absolute, clean path.
pub fn path(value: &Value, path: &Path) -> Vec<Diagnostic> {
    match path_problem(text(value)) {
        Some(problem) => refuse(path, "Unusable path", format!("{:?} can't be used: {problem}.", text(value))),
        None => Vec::new(),
    }
}

/// An absolute, clean path of a folder that lies in another one.
pub fn folder(value: &Value, path: &Path) -> Vec<Diagnostic> {
    match text(value) {
        "/" => refuse(path, "Unusable path", "A store needs a folder of its own, not `/`.".to_owned()),
        _ => self::path(value, path),
    }
}

/// A list of absolute, clean paths, at least one.
pub fn paths(value: &Value, path: &Path) -> Vec<Diagnostic> {
    let Value::List(values) = value else { return Vec::new() };
    if values.is_empty() {
        return refuse(path, "No paths", "At least one path is needed.".to_owned());
    }
    let known = values.iter().enumerate().filter(|(_, value)| matches!(value, Value::String(_)));
    known.flat_map(|(index, value)| self::path(value, &path.clone().index(index))).collect()
}

/// A bucket's prefix: no slash at either end.
pub fn prefix(value: &Value, path: &Path) -> Vec<Diagnostic> {
    let prefix = text(value);
    let problem = if prefix.starts_with('/') || prefix.ends_with('/') {
        "it has a slash at an end: leave that out"
    } else if prefix.split('/').any(|part| matches!(part, "" | "." | "..")) && !prefix.is_empty() {
        "it holds an empty part, `.` or `..`"
    } else {
        return Vec::new();
    };
    refuse(path, "Unusable prefix", format!("{prefix:?} can't be used: {problem}."))
}

/// A bucket's name, as S3 allows it.
pub fn bucket(value: &Value, path: &Path) -> Vec<Diagnostic> {
    let name = text(value);
    let allowed = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.' | '_');
    if (3..=255).contains(&name.len()) && name.chars().all(allowed) {
        return Vec::new();
    }
    refuse(
        path,
        "Unusable bucket",
        format!("{name:?} is not a bucket's name: at least three letters, digits, `-`, `.` or `_`."),
    )
}

/// An instant with its zone.
pub fn instant(value: &Value, path: &Path) -> Vec<Diagnostic> {
    match parse_instant(text(value)) {
        Ok(_) => Vec::new(),
        Err(problem) => refuse(path, "Unusable time", problem),
    }
}

/// Reads an instant; the error says what is missing.
pub fn parse_instant(text: &str) -> Result<Timestamp, String> {
    text.parse::<Timestamp>().map_err(|error| {
        let zoneless = text.parse::<jiff::civil::DateTime>().is_ok();
        let why = if zoneless { "it has no zone".to_owned() } else { error.to_string() };
        format!("{text:?} is not a moment: {why}. Write it with its zone, like 2025-10-06T10:30:00Z or 2025-10-06T12:30:00+02:00.")
    })
}

/// A positive duration like `30m` or `1h30m`.
pub fn duration(value: &Value, path: &Path) -> Vec<Diagnostic> {
    match parse_duration(text(value)) {
        Ok(_) => Vec::new(),
        Err(problem) => refuse(path, "Unusable duration", problem),
    }
}

/// Reads a duration of hours, minutes and seconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let help = "write it like 30s, 10m, 24h or 1h30m";
    let signed: jiff::SignedDuration = text.parse().map_err(|_| format!("{text:?} is not a duration: {help}."))?;
    match Duration::try_from(signed) {
        Ok(duration) if !duration.is_zero() => Ok(duration),
        _ => Err(format!("{text:?} is not a positive duration: {help}.")),
    }
}

/// Makes a check that a text is one of some words.
macro_rules! one_of {
    ($(#[$doc:meta])* $name:ident: $($word:literal),+) => {
        $(#[$doc])*
        pub fn $name(value: &Value, path: &Path) -> Vec<Diagnostic> {
            word(value, path, &[$($word),+])
        }
    };
}

fn word(value: &Value, path: &Path, words: &[&str]) -> Vec<Diagnostic> {
    if words.contains(&text(value)) {
        return Vec::new();
    }
    let known = words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(", ");
    refuse(path, "Unknown word", format!("{:?} is none of {known}.", text(value)))
}

one_of!(
    /// `mode`.
    mode: "normal", "drill"
);
one_of!(
    /// `access`.
    access: "read_write", "read_only"
);
one_of!(
    /// `deletion_policy`.
    deletion_policy: "keep", "delete", "prevent"
);
one_of!(
    /// `deletion_policy` of what stores nothing itself.
    keep_or_prevent: "keep", "prevent"
);
one_of!(
    /// `adopt`.
    adopt: "if_compatible", "never", "always"
);
one_of!(
    /// `when`.
    when: "target_missing", "target_missing_or_empty", "always"
);
one_of!(
    /// `on_missing`.
    on_missing: "fail", "skip"
);
one_of!(
    /// `on_failure`.
    on_failure: "stay_quiesced", "resume", "roll_back"
);
one_of!(
    /// `existing_resource_policy`.
    existing_resource_policy: "none", "update"
);
one_of!(
    /// `existing_claims`.
    existing_claims: "refuse", "delete"
);
one_of!(
    /// `first_backup`.
    first_backup: "refuse", "allow"
);
one_of!(
    /// `extra`.
    extra: "keep", "delete"
);
one_of!(
    /// `verify`.
    verify: "none", "structure", "data"
);
one_of!(
    /// `on_unreadable`.
    on_unreadable: "fail", "warn"
);

/// `on` of a backup job: a set of moments.
pub fn moments(value: &Value, path: &Path) -> Vec<Diagnostic> {
    let Value::Set(values) = value else { return Vec::new() };
    let known = values.iter().filter(|value| matches!(value, Value::String(_)));
    known.flat_map(|value| word(value, path, &["create", "triggers", "destroy"])).collect()
}

/// The access modes of a PersistentVolumeClaim.
const ACCESS_MODES: [&str; 4] = ["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"];

/// A list of access modes of a PersistentVolumeClaim.
pub fn access_modes(value: &Value, path: &Path) -> Vec<Diagnostic> {
    let Value::List(values) = value else { return Vec::new() };
    let known = values.iter().enumerate().filter(|(_, value)| matches!(value, Value::String(_)));
    known.flat_map(|(index, value)| word(value, &path.clone().index(index), &ACCESS_MODES)).collect()
}

/// The size of a volume: a quantity of Kubernetes' that is more than nothing.
pub fn size(value: &Value, path: &Path) -> Vec<Diagnostic> {
    if is_size(text(value)) {
        return Vec::new();
    }
    refuse(
        path,
        "Unusable size",
        format!(
            "{:?} is not a size as Kubernetes takes it: write a number above zero with one of the units Ki, Mi, Gi, Ti, Pi, Ei \
             (powers of 1024) or k, M, G, T, P, E (powers of 1000), like 20Gi or 500M.",
            text(value)
        ),
    )
}

/// Whether a text is a `resource.Quantity` of Kubernetes' (`apimachinery/pkg/api/resource/quantity.go`) above zero: a decimal
/// number, and a unit or an exponent.
fn is_size(text: &str) -> bool {
    const UNITS: [&str; 16] = ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
    let text = text.strip_prefix('+').unwrap_or(text);
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let is_number = number.matches('.').count() <= 1 && number.contains(|letter: char| letter.is_ascii_digit());
    let exponent = unit.strip_prefix(['e', 'E']).filter(|rest| !rest.is_empty());
    let is_unit = UNITS.contains(&unit) || exponent.is_some_and(|exponent| exponent.parse::<i64>().is_ok());
    is_number && is_unit && number.contains(|letter: char| matches!(letter, '1'..='9'))
}

/// A whole number of at least 1.
pub fn positive(value: &Value, path: &Path) -> Vec<Diagnostic> {
    match value {
        Value::Number(number) if number.as_i64().is_some_and(|number| number >= 1 && number <= i64::from(u32::MAX)) => {
            Vec::new()
        }
        Value::Number(number) => {
            refuse(path, "Unusable number", format!("{number} can't be used: a whole number of at least 1 is needed."))
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(check: fn(&Value, &Path) -> Vec<Diagnostic>, text: &str) -> bool {
        !check(&Value::string(text), &Path::attribute("x")).is_empty()
    }

    #[test]
    fn no_text_makes_a_time_or_a_duration_panic() {
        crate::noise::survives_text(&["2026-01-02T03:04:05Z", "2026-01-02T03:04:05+02:00"], parse_instant);
        crate::noise::survives_text(&["90s", "5m", "1h30m", "18446744073709551615h"], parse_duration);
    }

    #[test]
    fn a_path_has_to_be_absolute_and_clean() {
        for bad in ["srv/docs", "~/docs", "/srv/docs/", "/srv/../docs", "/srv//docs", "/srv/./docs", ""] {
            assert!(refused(path, bad), "{bad}");
        }
        for good in ["/", "/srv/docs", "/srv/..docs", "/srv/ümläut x"] {
            assert!(!refused(path, good), "{good}");
        }
        assert!(refused(folder, "/") && refused(folder, "srv") && !refused(folder, "/srv"));
    }

    #[test]
    fn a_name_is_a_dns_label() {
        for bad in ["", "Docs", "-docs", "docs-", "do_cs", "a.b", &"a".repeat(64)] {
            assert!(refused(name, bad), "{bad}");
        }
        assert!(!refused(name, "docs-1"));
    }

    #[test]
    fn a_time_without_its_zone_is_refused_with_the_reason() {
        assert!(parse_instant("2025-10-06T10:30:00").expect_err("no zone").contains("no zone"));
        assert!(parse_instant("yesterday").is_err());
        assert!(parse_instant("2025-10-06T10:30:00+02:00").is_ok());
    }

    #[test]
    fn a_duration_is_positive() {
        assert_eq!(parse_duration("1h30m"), Ok(Duration::from_secs(5400)));
        for bad in ["0s", "-5m", "5", "soon", ""] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_size_is_a_quantity_of_kubernetes_above_zero() {
        for good in ["20Gi", "1", "1.5Gi", ".5Gi", "5.", "+1G", "500M", "3k", "1E", "1e9", "1E+9", "2e-1", "100m"] {
            assert!(!refused(size, good), "{good}");
        }
        let bad =
            ["", "20GB", "20 Gi", "Gi", "20gi", "20K", "1e", "1e1.5", "1.2.3", ".", "0", "0Gi", "-1Gi", "1EiB", "ten"];
        for bad in bad {
            assert!(refused(size, bad), "{bad}");
        }
        let told = size(&Value::string("20GB"), &Path::attribute("capacity"));
        assert!(
            told[0].detail.starts_with("\"20GB\" is not a size") && told[0].detail.contains("like 20Gi"),
            "{told:?}"
        );
        crate::noise::survives_text(&["20Gi", "1e9"], is_size);
    }

    #[test]
    fn an_access_mode_is_one_of_kubernetes_words_in_full() {
        let told = |modes: Vec<Value>| access_modes(&Value::List(modes), &Path::attribute("access_modes"));
        assert!(told(vec![Value::string("ReadWriteOnce"), Value::string("ReadOnlyMany"), Value::Null]).is_empty());
        let told = told(vec![Value::string("ReadWriteMany"), Value::string("RWO")]);
        let allowed =
            "\"RWO\" is none of \"ReadWriteOnce\", \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOncePod\".";
        assert_eq!((told.len(), told[0].detail.as_str()), (1, allowed));
        assert_eq!(told[0].attribute, Some(Path::attribute("access_modes").index(1)));
    }

    #[test]
    fn a_prefix_has_no_slash_at_either_end() {
        for bad in ["/a", "a/", "a//b", "a/../b"] {
            assert!(refused(prefix, bad), "{bad}");
        }
        for good in ["", "a", "a/b"] {
            assert!(!refused(prefix, good), "{good}");
        }
    }
}
