//! Alerting rules for Prometheus.

use std::time::Duration;

use serde_json::json;

use crate::cron;

/// The year whose longest gap between two runs is taken: a leap year, so that no run of it is missed.
const YEAR: i64 = 2024;

/// One rule.
pub struct Rule {
    /// Its name.
    pub alert: &'static str,
    /// When it fires.
    pub expr: String,
    /// How long it has to hold before that.
    pub wait: Duration,
    /// What people read.
    pub summary: String,
}

/// What a rule waits that has nothing else to wait for.
pub const SHORTLY: Duration = Duration::from_secs(15 * 60);
/// The gap between two runs where it can't be told.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The longest time between two runs, in whole seconds.
pub fn gap(cron: &str, zone: Option<&str>) -> Duration {
    cron::max_gap(cron, zone.unwrap_or("UTC"), YEAR).unwrap_or(DAY)
}

/// Whether a moment, in seconds since 1970, lies further back than twice the longest gap between two runs.
pub fn older_than(moment: &str, gap: Duration) -> String {
    let seconds = gap.as_secs() * 2;
    format!("time() - {moment} > {seconds}")
}

/// Rules as a file that Prometheus reads, and `spec` of a PrometheusRule. JSON is YAML.
pub fn rules(schedule: &str, rules: &[Rule]) -> String {
    let rule = |rule: &Rule| {
        json!({
            "alert": rule.alert, "expr": rule.expr, "for": format!("{}s", rule.wait.as_secs()),
            "labels": { "severity": "critical", "dr_schedule": schedule },
            "annotations": { "summary": rule.summary },
        })
    };
    let rules: Vec<_> = rules.iter().map(rule).collect();
    json!({ "groups": [{ "name": format!("dr-{schedule}"), "rules": rules }] }).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backup_is_too_old_after_two_runs_were_missed() {
        assert_eq!(older_than("x", Duration::from_secs(86_400)), "time() - x > 172800");
    }

    #[test]
    fn rules_are_a_file_that_prometheus_reads() {
        let rule = Rule { alert: "DrBackupTooOld", expr: "1 > 0".into(), wait: SHORTLY, summary: "Old".into() };
        let read: serde_json::Value = serde_json::from_str(&rules("daily", &[rule])).unwrap();
        assert_eq!(read["groups"][0]["name"], "dr-daily");
        assert_eq!(read["groups"][0]["rules"][0]["annotations"]["summary"], "Old");
        assert_eq!(read["groups"][0]["rules"][0]["for"], "900s");
    }
}
