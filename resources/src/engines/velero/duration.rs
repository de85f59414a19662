//! Durations as Velero takes them.

use dr_framework::{Diagnostic, Path, Value};

use crate::engines::kubernetes::render::go_duration;

/// An error unless it is a duration that Velero takes: Go's, longer than nothing.
pub fn duration(value: &Value, path: &Path) -> Vec<Diagnostic> {
    let Value::String(text) = value else { return Vec::new() };
    if go_duration(text).is_some_and(|duration| !duration.is_zero()) {
        return Vec::new();
    }
    let hint = match text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok()) {
        Some(days) => format!("Velero knows no days: write `{}h`.", days.saturating_mul(24)),
        None => "Write hours, minutes and seconds, like `720h` or `1h30m`.".to_owned(),
    };
    vec![
        Diagnostic::error("Unusable duration", format!("{text:?} is no duration of Velero's. {hint}")).at(path.clone()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_makes_a_duration_panic() {
        crate::noise::survives_text(&["720h", "1h30m0.5s", "30d"], |text| {
            duration(&Value::string(text), &Path::attribute("ttl"))
        });
    }

    #[test]
    fn days_are_answered_with_their_hours() {
        let found = duration(&Value::string("30d"), &Path::attribute("ttl"));
        assert_eq!(found[0].detail, "\"30d\" is no duration of Velero's. Velero knows no days: write `720h`.");
        assert!(duration(&Value::string("1h"), &Path::attribute("ttl")).is_empty());
        for wrong in ["0s", "", "h", "1", "1h30", "-1h", "1 h", "1y"] {
            assert_eq!(duration(&Value::string(wrong), &Path::attribute("ttl")).len(), 1, "{wrong}");
        }
    }
}
