//! What an import finds in a cluster: the Secret of a repository, or a ReplicationSource, as a configuration would say it.

use dr_framework::{Attr, Diagnostics, Path};
use serde_json::Value;

use super::schedule::VolsyncSchedule;
use super::target::{ExistingSecret, ID_KEY, LOCATION_KEY, PASSWORD_KEY, SECRET_KEY, VolsyncTarget, server};
use super::{ENGINE, SOURCE};
use crate::connections::kubernetes::{Cluster, Kind};
use crate::connections::s3::S3Connection;
use crate::cron::Cron;
use crate::engines::concepts::{ImportedSchedule, ImportedTarget, ScheduleArguments};
use crate::engines::kubernetes::imported::{held, read, refuse_unsaid, text, unsaid};
use crate::engines::kubernetes::imported_repository::{RepositorySecret, refuse};
use crate::engines::kubernetes::repository_secret::plain;
use crate::reference::Place;
use crate::retention_policy::KeepModel;
use crate::shared::Shared;

/// The target of a repository Secret; nothing is changed. Its scope is a namespace, where the Secret is `dr-<name>`, or
/// `namespace/secret`, where it is somebody else's.
pub async fn target(
    shared: &Shared,
    cluster: &Cluster,
    scope: &str,
    name: &str,
) -> Result<ImportedTarget<VolsyncTarget>, Diagnostics> {
    target_of(shared, cluster, &RepositorySecret::named(cluster, ENGINE, scope, name).await?)
}

fn target_of(
    shared: &Shared,
    cluster: &Cluster,
    secret: &RepositorySecret,
) -> Result<ImportedTarget<VolsyncTarget>, Diagnostics> {
    let called = secret.called();
    let location = secret.held(LOCATION_KEY).and_then(|location| String::from_utf8(location).ok());
    let location = location
        .ok_or_else(|| refuse(format!("{called} holds no {LOCATION_KEY}, so it is no repository of VolSync's.")))?;
    let connections = secret.connections(shared, ID_KEY, SECRET_KEY);
    let (place, connection) = places_of(&connections, &location).into_iter().next().ok_or_else(|| {
        refuse(format!(
            "The {LOCATION_KEY} of {called} leads to no S3 connection in the provider block: neither to the \
             `engine_endpoint` of one, nor to the `endpoint` of one without."
        ))
    })?;
    Ok(ImportedTarget {
        place,
        credentials: secret.credentials(shared, &connection, ID_KEY, SECRET_KEY).into(),
        read_only: false,
        uid: secret.uid(),
        block: VolsyncTarget {
            cluster: cluster.name().into(),
            namespace: secret.namespace().into(),
            password: secret.password(shared, PASSWORD_KEY)?.into(),
            password_wo: Attr::Null,
            password_wo_version: Attr::Null,
            existing_secret: secret.foreign().map(|name| ExistingSecret { name: name.into() }).into(),
            force_conflicts: Attr::Known(false),
        },
    })
}

/// Where a repository lies, as restic names it, and the connections that lead there.
fn places_of(known: &[(String, S3Connection)], location: &str) -> Vec<(Place, S3Connection)> {
    let location = plain(location);
    let place = |(name, connection): &(String, S3Connection)| {
        let path = location.strip_prefix(&server(connection))?;
        let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
        let place = Place::S3 { connection: name.clone(), bucket: bucket.to_owned(), prefix: prefix.to_owned() };
        (!bucket.is_empty()).then(|| (place, connection.clone()))
    };
    known.iter().filter_map(place).collect()
}

/// What VolSync keeps, as a policy says it.
fn keep(retain: &Value) -> Option<KeepModel> {
    let count = |rule: &str| -> Attr<i64> {
        let value = &retain[rule];
        value.as_i64().or_else(|| value.as_str()?.parse().ok()).filter(|count| *count > 0).into()
    };
    let keep = KeepModel {
        keep_last: count("last"),
        keep_hourly: count("hourly"),
        keep_daily: count("daily"),
        keep_weekly: count("weekly"),
        keep_monthly: count("monthly"),
        keep_yearly: count("yearly"),
        keep_within: text(&retain["within"]),
        keep_all: Attr::Null,
    };
    (keep != KeepModel::default()).then_some(keep)
}

/// What a configuration of a schedule would write, against what is there. Another spelling of a line is no difference: the plan
/// shows what becomes of it. A source that rests names another claim.
fn unsaid_of_source(spec: &Value, written: &Value, has_own_ca: bool) -> Vec<String> {
    let mut spec = spec.clone();
    spec["trigger"]["schedule"] = written["trigger"]["schedule"].clone();
    spec["sourcePVC"] = written["sourcePVC"].clone();
    if has_own_ca {
        spec["restic"]["customCA"] = Value::Null;
    }
    unsaid(&spec, written)
}

/// The certificates that a source names.
async fn authority_of(cluster: &Cluster, namespace: &str, named: &Value) -> Option<Vec<u8>> {
    let key = named["key"].as_str()?;
    if let Some(name) = named["secretName"].as_str().filter(|name| !name.is_empty()) {
        return held(&cluster.get(&Kind::SECRET, namespace, name).await.ok().flatten()?, key);
    }
    let map = cluster.get(&Kind::CONFIG_MAP, namespace, named["configMapName"].as_str()?).await.ok().flatten()?;
    Some(map.data["data"][key].as_str()?.as_bytes().to_vec())
}

/// The schedule of a ReplicationSource; nothing is changed. What `dr_backup_schedule` can't say is refused.
pub async fn schedule(
    shared: &Shared,
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<ImportedSchedule<VolsyncSchedule>, Diagnostics> {
    let object = read(cluster, &SOURCE, namespace, name).await?;
    let spec = &object.data["spec"];
    let lacks = |what: &str| refuse(format!("{} {what}.", SOURCE.called(namespace, name)));
    let secret = spec["restic"]["repository"].as_str();
    let secret = secret.ok_or_else(|| lacks("does not use the restic mover, the only one that is known here"))?;
    let cron = spec["trigger"]["schedule"].as_str();
    let cron = cron.ok_or_else(|| lacks("has no cron line: it is run by hand"))?;
    let cron = Cron::parse(cron).map_err(|error| {
        let called = SOURCE.called(namespace, name);
        refuse(format!("`spec.trigger.schedule` of {called} can't be said here: {error}."))
    })?;
    let secret = RepositorySecret::used(cluster, namespace, secret).await?;
    let target = target_of(shared, cluster, &secret)?;
    let found = ImportedSchedule {
        target: secret.reference(cluster, ENGINE, &target.place, target.block.password).await?,
        cron: cron.as_str().to_owned(),
        time_zone: None,
        keep: keep(&spec["restic"]["retain"]),
        paused: spec["paused"] == true,
        uid: object.metadata.uid.clone().unwrap_or_default(),
        block: VolsyncSchedule::imported(spec),
    };
    let connection = shared.s3_connections().into_iter().find(|(name, _)| name == target.place.connection());
    let pem = connection.and_then(|(_, connection)| connection.ca_pem);
    let authority = authority_of(cluster, namespace, &spec["restic"]["customCA"]).await;
    let has_own_ca = pem.as_ref().zip(authority).is_some_and(|(pem, held)| pem.trim().as_bytes() == held.trim_ascii());
    let written = written(&found, &cron, &secret.name(), pem.is_some())?;
    let unsaid = unsaid_of_source(spec, &written, has_own_ca);
    refuse_unsaid(&SOURCE.called(namespace, name), "dr_backup_schedule", &unsaid)?;
    Ok(found)
}

/// The spec that a configuration of what was found would write.
fn written(
    found: &ImportedSchedule<VolsyncSchedule>,
    cron: &Cron,
    repository: &str,
    has_ca: bool,
) -> Result<Value, Diagnostics> {
    let keep = match &found.keep {
        Some(keep) => keep.keep(&Path::attribute("retention"))?,
        None => None,
    };
    let (target, keep) = (&found.target, keep.as_ref());
    let arguments = ScheduleArguments { name: "", target, cron, time_zone: None, keep, paused: found.paused };
    Ok(found.block.body(&arguments, repository, has_ca)["spec"].take())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_location_leads_to_the_connection_whose_server_it_names() {
        let at = |endpoint: &str, engines: Option<&str>| S3Connection {
            endpoint: Some(endpoint.to_owned()),
            engine_endpoint: engines.map(str::to_owned),
            ..S3Connection::default()
        };
        let known = [
            ("outside".to_owned(), at("https://nas:9000/", None)),
            ("inside".to_owned(), at("https://nas:9001", Some("http://minio.storage.svc:9000"))),
            ("again".to_owned(), at("https://nas:9000", None)),
        ];
        let place = |location: &str| places_of(&known, location).into_iter().next().map(|(place, _)| place);
        let expected = |connection: &str, prefix: &str| {
            let [connection, bucket, prefix] = [connection, "volsync", prefix].map(str::to_owned);
            Some(Place::S3 { connection, bucket, prefix })
        };
        assert_eq!(place("s3:https://nas:9000/volsync/a/b/"), expected("outside", "a/b"));
        assert_eq!(place("s3:http://minio.storage.svc:9000/volsync"), expected("inside", ""));
        assert_eq!(place("s3:nas:9000/volsync/a\n"), expected("outside", "a"));
        assert_eq!(places_of(&known, "s3:https://nas:9000/volsync").len(), 2, "two connections lead there");
        for elsewhere in ["s3:https://nas:9001/volsync", "s3:https://nas:9000/", "rest:http://nas/x", ""] {
            assert_eq!(place(elsewhere), None, "{elsewhere}");
        }
    }

    #[test]
    fn what_volsync_keeps_is_said_as_a_policy_says_it() {
        let retain = json!({ "last": "3", "daily": 7, "within": "30d", "weekly": 0 });
        let expected = KeepModel {
            keep_last: Attr::Known(3),
            keep_daily: Attr::Known(7),
            keep_within: "30d".into(),
            ..KeepModel::default()
        };
        assert_eq!(keep(&retain), Some(expected));
        assert_eq!((keep(&json!({})), keep(&Value::Null)), (None, None));
    }

    #[test]
    fn a_field_of_a_source_that_nobody_says_is_named() {
        let spec = json!({
            "sourcePVC": "data", "trigger": { "schedule": "0 3 * * *" }, "paused": false,
            "restic": {
                "repository": "docs", "copyMethod": "Snapshot", "cacheCapacity": "1Gi", "pruneIntervalDays": 14, "unlock": "once",
                "retain": { "last": "3", "daily": 7, "within": "30d", "weekly": 0 }, "customCA": {}, "moverResources": {},
            },
        });
        let left = |spec: &Value, has_own_ca: bool| {
            let found = ImportedSchedule {
                target: crate::reference::Reference::default(),
                cron: String::new(),
                time_zone: None,
                keep: keep(&spec["restic"]["retain"]),
                paused: spec["paused"] == true,
                uid: String::new(),
                block: VolsyncSchedule::imported(spec),
            };
            let written = written(&found, &Cron::parse("0 3 * * *").unwrap(), "docs", has_own_ca).unwrap();
            unsaid_of_source(spec, &written, has_own_ca)
        };
        assert_eq!(left(&spec, false), [""; 0]);
        let mut other = spec.clone();
        other["trigger"]["manual"] = "now".into();
        other["rsync"] = json!({ "copyMethod": "Direct" });
        for (field, value) in [
            ("moverAffinity", json!({ "nodeAffinity": {} , "podAffinity": { "a": 1 } })),
            ("moverVolumes", json!([{ "mountPath": "a" }])),
            ("customCA", json!({ "secretName": "ca", "key": "ca.crt" })),
            ("cacheCapacity", json!(1_073_741_824)),
        ] {
            other["restic"][field] = value;
        }
        let named = [
            "restic.cacheCapacity",
            "restic.customCA.key",
            "restic.customCA.secretName",
            "restic.moverAffinity.podAffinity.a",
            "restic.moverVolumes",
            "rsync.copyMethod",
            "trigger.manual",
        ];
        assert_eq!(left(&other, false), named);
        let but_for_the_ca: Vec<&str> = named.into_iter().filter(|name| !name.contains("customCA")).collect();
        assert_eq!(left(&other, true), but_for_the_ca);
    }

    #[test]
    fn a_source_that_was_read_renders_as_it_was() {
        let spec = json!({
            "sourcePVC": "data",
            "restic": {
                "repository": "dr-docs", "copyMethod": "Clone", "capacity": "2Gi", "accessModes": ["ReadWriteOnce"],
                "storageClassName": "fast", "volumeSnapshotClassName": "slow", "cacheCapacity": "1Gi",
                "cacheStorageClassName": "fast", "cacheAccessModes": ["ReadWriteOnce"],
                "moverSecurityContext": { "runAsUser": 1000 }, "moverServiceAccount": "mover",
                "moverResources": { "limits": { "memory": "1Gi" } }, "moverPodLabels": { "a": "b" },
            },
        });
        assert_eq!(super::super::source::VolsyncSource::imported(&spec).restic("dr-docs", false), spec["restic"]);
    }
}
