//! What restic said in the pods of a Backup: k8up takes files that restic could not read for a success.

use std::collections::BTreeSet;

use super::orders::{BACKUP, Orders, RESTORE};
use crate::connections::kubernetes::{ClusterError, DynamicObject, Kind};
use crate::words::counted;

/// How many lines of a pod's log are read, from its end.
const LOG_LINES: usize = 2000;

/// On every pod of k8up's, and the Job of a pod.
const OF_K8UP: &str = "k8upjob=true";
const JOB: &str = "job-name";

/// What k8up writes where restic complained of a file, and once restic is done (`restic/logging/logging.go`).
const COMPLAINT: &str = "error occurred during backup";
const DONE: &str = "backup finished";
const COUNT: &str = "\"errors\":";

/// By what restic says that it failed.
const FATAL: &str = "Fatal:";

/// How many complaints a message shows.
const SHOWN: usize = 5;

/// What the logs of a Backup tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// restic read everything that it was given.
    All,
    /// What it could not read, as far as it says.
    Unread(Vec<String>),
    /// No log tells; why.
    Unknown(String),
}

impl Orders {
    /// The pods of an object.
    pub async fn pods_of(&self, kind: &Kind, name: &str) -> Result<Vec<DynamicObject>, ClusterError> {
        let mut pods = self.cluster.list(&Kind::POD, Some(&self.namespace), Some(OF_K8UP)).await?;
        pods.retain(|pod| is_of(pod, kind, name));
        Ok(pods)
    }

    /// What restic said of a Backup that has ended, while its pods are there.
    pub async fn said(&self, backup: &str) -> Said {
        match self.logs(backup).await {
            Ok(logs) => judge(&logs),
            Err(error) => Said::Unknown(error.to_string()),
        }
    }

    /// The log of each pod. One that failed was followed by another.
    async fn logs(&self, backup: &str) -> Result<Vec<String>, ClusterError> {
        let Orders { cluster, namespace, .. } = self;
        let pods = self.pods_of(&BACKUP, backup).await?;
        let own = pods.into_iter().filter(|pod| pod.data["status"]["phase"] != "Failed");
        let mut logs = Vec::new();
        for pod in own.filter_map(|pod| pod.metadata.name) {
            logs.push(cluster.pod_log(namespace, &pod, None, LOG_LINES).await?);
        }
        Ok(logs)
    }
}

/// A Restore has a Job `restore-<name>`; a Backup has one for each node, `backup-<name>-<number>`, and one for commands,
/// `backup-<name>-prebackup`.
fn is_of(pod: &DynamicObject, kind: &Kind, name: &str) -> bool {
    let Some(job) = pod.metadata.labels.as_ref().and_then(|labels| labels.get(JOB)) else { return false };
    if *kind == RESTORE {
        return *job == format!("restore-{name}");
    }
    let last = job.strip_prefix(&format!("backup-{name}-"));
    last.is_some_and(|last| {
        last == "prebackup" || (!last.is_empty() && last.chars().all(|digit| digit.is_ascii_digit()))
    })
}

fn judge(logs: &[String]) -> Said {
    let lines = || logs.iter().flat_map(|log| log.lines());
    let mut complaints: BTreeSet<String> = lines().filter_map(complaint).collect();
    // The lines of some complaints may lie before the part that was read, or be none that k8up understands.
    let sum: u64 = lines().filter_map(count).sum();
    if sum > 0 && complaints.is_empty() {
        complaints.insert(format!("{} that its log does not name", counted(sum, "file or folder", "files or folders")));
    }
    if !complaints.is_empty() {
        let rest = complaints.len().saturating_sub(SHOWN);
        let more = (rest > 0).then(|| format!("and {rest} more"));
        return Said::Unread(complaints.into_iter().take(SHOWN).chain(more).collect());
    }
    let silent = logs.is_empty() || logs.iter().any(|log| !log.lines().any(|line| line.contains(DONE)));
    match silent {
        true => Said::Unknown("no log of its pods says that restic is done".to_owned()),
        false => Said::All,
    }
}

/// What a line complains of: k8up's parts are the time, the level, the logger, the message and the fields.
fn complaint(line: &str) -> Option<String> {
    if let Some(from) = line.find(FATAL) {
        return Some(short(&line[from..]));
    }
    let before = &line[..line.find(COMPLAINT)?];
    let message = before.split('\t').find(|part| part.contains(" during ")).unwrap_or(before);
    Some(short(message))
}

fn short(text: &str) -> String {
    text.chars().take(200).collect::<String>().trim_end_matches(['"', '}', ' ']).to_owned()
}

/// Of how many files restic complained in one claim.
fn count(line: &str) -> Option<u64> {
    let from = line.find(DONE)?;
    let number = line[from..].split_once(COUNT)?.1.trim_start();
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn log(errors: u64, more: &str) -> Vec<String> {
        vec![format!(
            "2026-11-20T10:00:00Z\tINFO\tk8up.restic.restic.backup\tstarting backup\n{more}\
             2026-11-20T10:00:01Z\tINFO\tk8up.restic.restic.backup.progress\tbackup finished\t\
             {{\"new files\": 1, \"changed files\": 0, \"errors\": {errors}}}\n"
        )]
    }

    #[test]
    fn no_log_makes_its_judgement_panic() {
        let logs = [log(0, ""), log(3, "")].concat();
        let logs: Vec<&str> = logs.iter().map(String::as_str).collect();
        crate::noise::survives_text(&logs, |text| judge(&[text.to_owned()]));
    }

    #[test]
    fn what_restic_could_not_read_is_named_and_a_log_that_is_not_there_says_nothing() {
        assert_eq!(judge(&log(0, "")), Said::All);
        let complaint = "2026-11-20T10:00:00Z\tERROR\tk8up.restic.restic.backup.progress\t/data/data/my file during archival open\t\
                         {\"error\": \"error occurred during backup\"}\n";
        let named = vec!["/data/data/my file during archival open".to_owned()];
        assert_eq!(judge(&log(1, complaint)), Said::Unread(named));
        let counted = vec!["2 files or folders that its log does not name".to_owned()];
        assert_eq!(judge(&log(2, "")), Said::Unread(counted));
        assert!(
            matches!(judge(&log(0, "Fatal: wrong password\"}\n")), Said::Unread(why) if why == ["Fatal: wrong password"])
        );
        assert!(matches!(judge(&[]), Said::Unknown(_)));
        // One of two nodes.
        let mut both = log(0, "");
        both.push("starting backup".to_owned());
        assert!(matches!(judge(&both), Said::Unknown(_)));
    }

    #[test]
    fn a_pod_belongs_to_one_backup_also_where_another_ones_name_begins_alike() {
        let of = |job: &str| -> bool {
            let pod = json!({ "metadata": { "name": "x", "labels": { "job-name": job } } });
            is_of(&serde_json::from_value(pod).unwrap(), &BACKUP, "dr-now-0011")
        };
        assert!(of("backup-dr-now-0011-0") && of("backup-dr-now-0011-prebackup"));
        assert!(!of("backup-dr-now-0011-2-0") && !of("backup-dr-now-0011-") && !of("restore-dr-now-0011"));
    }
}
