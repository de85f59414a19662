//! Keeps backups that restores need: Velero's collection looks at nothing but the date on the Backup, and takes the Restores that
//! read it along. The date is put off while somebody needs the backup, and is then what it was.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::documents::Status;
use super::labels;
use super::server::{BACKUP, Location, Server, before, engine};
use crate::clock;
use crate::connections::kubernetes::{ClusterError, DynamicObject};
use crate::engines::kubernetes::hold::{self, Field};
use crate::ledger::Record;
use crate::run::EngineError;

/// How long a backup is kept for a run that never comes back: as long as a safety backup.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// How much sooner a backup may expire before its date is put off again: the phases of a run write it once.
const NEAR: SignedDuration = SignedDuration::from_hours(24);

/// How often an object is read again that somebody else changed meanwhile.
const TRIES: usize = 5;

/// Keeps what a run needs, and nothing else for it.
pub async fn keep(server: &Server, location: &Location, run: &Record) -> Result<(), EngineError> {
    // Velero removes nothing there.
    if location.read_only {
        return Ok(());
    }
    let needed: Vec<&str> = run.point.iter().chain(&run.safety_point).map(|point| point.id.as_str()).collect();
    for name in &needed {
        let mut left = TRIES;
        while let Some(backup) = server.cluster.get(&BACKUP, &server.namespace, name).await.map_err(before)? {
            let patch = put_off(&backup, &run.key, clock::now()).filter(|_| lies_in(&backup, location));
            if is_written(server, &backup, patch, &mut left).await.map_err(|error| unkept(&backup, &error))? {
                break;
            }
        }
    }
    let others = kept(server).await?.into_iter().filter(|backup| !needed.contains(&name(backup)));
    release(server, others, &[&run.key]).await
}

/// Lets go what was kept for these runs.
pub async fn let_go(server: &Server, runs: &[Record]) -> Result<(), EngineError> {
    let keys: Vec<&str> = runs.iter().map(|run| run.key.as_str()).collect();
    release(server, kept(server).await?.into_iter(), &keys).await
}

async fn kept(server: &Server) -> Result<Vec<DynamicObject>, EngineError> {
    server.cluster.list(&BACKUP, Some(&server.namespace), Some(labels::KEPT)).await.map_err(before)
}

async fn release(
    server: &Server,
    backups: impl Iterator<Item = DynamicObject>,
    keys: &[&str],
) -> Result<(), EngineError> {
    for found in backups {
        let (mut backup, mut left) = (Some(found), TRIES);
        while let Some(now) = backup.take() {
            let patch = put_back(&now, keys);
            if !is_written(server, &now, patch, &mut left).await.map_err(|error| still_kept(&now, &error))? {
                backup = server.cluster.get(&BACKUP, &server.namespace, name(&now)).await.map_err(engine)?;
            }
        }
    }
    Ok(())
}

/// Writes a patch, if there is one; `false` when it has to be made anew, of what somebody else wrote.
async fn is_written(
    server: &Server,
    backup: &DynamicObject,
    patch: Option<Value>,
    left: &mut usize,
) -> Result<bool, ClusterError> {
    let Some(patch) = patch else { return Ok(true) };
    let version = backup.metadata.resource_version.as_deref();
    match server.cluster.merge(&BACKUP, &server.namespace, name(backup), patch, version).await {
        Err(ClusterError::Changed { .. }) if *left > 1 => {
            *left -= 1;
            Ok(false)
        }
        // It is gone: nothing is kept any more.
        Err(ClusterError::NotFound { .. }) => Ok(true),
        answer => answer.map(|_| true),
    }
}

/// What has to be written so that the backup is there long enough for a run; none if nobody has to write anything.
fn put_off(backup: &DynamicObject, run: &str, now: Timestamp) -> Option<Value> {
    let until = now.checked_add(KEPT).ok()?;
    let others = hold::marks(backup);
    let (own, date) = (hold::annotation(run), date_of(backup)?);
    let is_late = date + NEAR >= until;
    if is_late && (others.is_empty() || others.contains(&own.as_str())) {
        return None;
    }
    let now = &backup.data["status"]["expiration"];
    let held = if is_late { now.clone() } else { format!("{until:.0}").into() };
    let was = hold::was(backup, &path()).unwrap_or_else(|| now.clone());
    let mark = hold::mark(backup, &[Field { path: path(), was, held: held.clone() }]);
    let mut patch = json!({ "metadata": { "labels": { labels::KEPT: "true" } }, "status": { "expiration": held } });
    // The date that was last written is that of all who need it.
    for holder in others.into_iter().chain([own.as_str()]) {
        patch["metadata"]["annotations"][holder] = mark.clone().into();
    }
    Some(patch)
}

/// What has to be written when these runs need the backup no more. The date comes back with the last that needed it, unless
/// somebody wrote another one.
fn put_back(backup: &DynamicObject, runs: &[&str]) -> Option<Value> {
    let marks = hold::marks(backup);
    let own: Vec<String> = runs.iter().map(|run| hold::annotation(run)).collect();
    let (own, others): (Vec<&str>, Vec<&str>) = marks.into_iter().partition(|mark| own.iter().any(|own| own == mark));
    if own.is_empty() {
        return None;
    }
    let mut patch = json!({});
    for mark in own {
        patch["metadata"]["annotations"][mark] = Value::Null;
    }
    if others.is_empty() {
        patch["metadata"]["labels"][labels::KEPT] = Value::Null;
        if hold::held(backup, &path()).and_then(|held| time(&held)) == date_of(backup) {
            patch["status"]["expiration"] = hold::was(backup, &path())?;
        }
    }
    Some(patch)
}

fn path() -> Vec<String> {
    ["status", "expiration"].map(str::to_owned).to_vec()
}

fn name(backup: &DynamicObject) -> &str {
    backup.metadata.name.as_deref().unwrap_or_default()
}

fn lies_in(backup: &DynamicObject, location: &Location) -> bool {
    backup.data["spec"]["storageLocation"] == location.name
}

fn date_of(backup: &DynamicObject) -> Option<Timestamp> {
    time(&backup.data["status"]["expiration"])
}

fn time(value: &Value) -> Option<Timestamp> {
    value.as_str()?.parse().ok()
}

fn unkept(backup: &DynamicObject, error: &ClusterError) -> EngineError {
    let date = Status::of(&backup.data).expiration.unwrap_or_default();
    EngineError::nothing_written(format!("{error}; Velero removes the backup {} from {date} on", name(backup)))
}

fn still_kept(backup: &DynamicObject, error: &ClusterError) -> EngineError {
    let date = Status::of(&backup.data).expiration.unwrap_or_default();
    EngineError::new(format!("{error}. Velero keeps the backup {} until {date}, and removes it then", name(backup)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-20T12:00:00Z";
    const IN_TEN_DAYS: &str = "2026-11-30T12:00:00Z";
    const IN_THIRTY: &str = "2026-12-20T12:00:00Z";
    const IN_FORTY: &str = "2026-12-30T12:00:00Z";

    fn backup(expiration: Value) -> DynamicObject {
        let object = json!({
            "apiVersion": "velero.io/v1", "kind": "Backup",
            "metadata": { "name": "monday", "uid": "u1" },
            "spec": {}, "status": { "phase": "Completed", "expiration": expiration },
        });
        serde_json::from_value(object).unwrap()
    }

    fn after(backup: &DynamicObject, patch: Option<Value>) -> DynamicObject {
        let mut object = serde_json::to_value(backup).unwrap();
        merge(&mut object, patch.unwrap());
        serde_json::from_value(object).unwrap()
    }

    fn merge(object: &mut Value, patch: Value) {
        let Value::Object(fields) = patch else { return *object = patch };
        for (name, value) in fields {
            match value {
                Value::Null => drop(object.as_object_mut().unwrap().remove(&name)),
                value => merge(&mut object[name], value),
            }
        }
    }

    fn kept(backup: &DynamicObject, run: &str) -> DynamicObject {
        after(backup, put_off(backup, run, NOW.parse().unwrap()))
    }

    fn freed(backup: &DynamicObject, runs: &[&str]) -> DynamicObject {
        after(backup, put_back(backup, runs))
    }

    fn date(backup: &DynamicObject) -> &Value {
        &backup.data["status"]["expiration"]
    }

    fn is_marked(backup: &DynamicObject) -> bool {
        backup.metadata.labels.iter().flatten().next().is_some() || !hold::marks(backup).is_empty()
    }

    #[test]
    fn a_date_is_put_off_for_a_month_and_is_then_what_it_was() {
        for was in [IN_TEN_DAYS, "2026-11-19T12:00:00Z"] {
            let found = kept(&backup(was.into()), "1");
            assert_eq!(date(&found), IN_THIRTY);
            assert!(is_marked(&found));
            assert_eq!(put_off(&found, "1", NOW.parse().unwrap()), None, "written once");
            assert_eq!(put_back(&found, &["2"]), None, "another run's");
            let found = freed(&found, &["1", "2"]);
            assert_eq!(date(&found), was);
            assert!(!is_marked(&found));
        }
    }

    #[test]
    fn a_backup_that_is_there_long_enough_is_not_touched() {
        for date in [json!(IN_FORTY), json!("2026-12-20T00:00:00Z"), Value::Null] {
            assert_eq!(put_off(&backup(date), "1", NOW.parse().unwrap()), None);
        }
        assert_eq!(put_back(&backup(IN_FORTY.into()), &["1"]), None);
    }

    #[test]
    fn of_several_runs_the_last_that_lets_go_brings_the_date_back() {
        let found = kept(&kept(&backup(IN_TEN_DAYS.into()), "1"), "2");
        let later = "2026-11-25T12:00:00Z".parse().unwrap();
        let found = after(&found, put_off(&found, "2", later));
        assert_eq!(date(&found), "2026-12-25T12:00:00Z");
        let found = freed(&found, &["2"]);
        assert_eq!(date(&found), "2026-12-25T12:00:00Z");
        let found = freed(&found, &["1"]);
        assert_eq!(date(&found), IN_TEN_DAYS);
        assert!(!is_marked(&found));
    }

    #[test]
    fn a_date_that_somebody_else_wrote_meanwhile_stays() {
        let found = kept(&backup(IN_TEN_DAYS.into()), "1");
        let found = after(&found, Some(json!({ "status": { "expiration": IN_FORTY } })));
        let found = freed(&found, &["1"]);
        assert_eq!(date(&found), IN_FORTY);
        assert!(!is_marked(&found));
    }
}
