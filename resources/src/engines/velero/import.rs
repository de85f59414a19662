//! What an import finds in a cluster: a location or a schedule that somebody made, as a configuration would say it.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dr_framework::{Anything, Attr, Diagnostics, Value as Configured};
use serde_json::Value;

use super::schedule::{SCHEDULE, VeleroSchedule};
use super::target::{LOCATION, SecretKey, VeleroTarget};
use super::template::VeleroTemplate;
use crate::connections::kubernetes::{Cluster, DynamicObject, Kind};
use crate::connections::s3::S3Connection;
use crate::engines::concepts::{ImportedSchedule, ImportedTarget};
use crate::engines::kubernetes::render::go_duration;
use crate::engines::kubernetes::spec::{TextMap, Texts};
use crate::engines::kubernetes::store_keys;
use crate::reference::{Place, Reference};
use crate::shared::Shared;

fn not_found(kind: &str, namespace: &str, name: &str, cluster: &Cluster) -> Diagnostics {
    Diagnostics::error(
        "There is nothing to import",
        format!("There is no {kind} {namespace}/{name} on cluster `{}`.", cluster.name()),
    )
}

async fn read(cluster: &Cluster, kind: &Kind, namespace: &str, name: &str) -> Result<DynamicObject, Diagnostics> {
    let failed = |error| Diagnostics::error("Unable to import", format!("{error}."));
    let found = cluster.get(kind, namespace, name).await.map_err(failed)?;
    found.ok_or_else(|| not_found(&kind.kind, namespace, name, cluster))
}

fn text(value: &Value) -> Attr<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned).into()
}

fn truth(value: &Value) -> Attr<bool> {
    value.as_bool().into()
}

fn list(value: &Value) -> Texts {
    let list = value.as_array().filter(|list| !list.is_empty());
    list.map(|list| list.iter().map(text).collect::<Vec<_>>()).into()
}

fn map(value: &Value) -> TextMap {
    let map = value.as_object().filter(|map| !map.is_empty());
    map.map(|map| map.iter().map(|(key, value)| (key.clone(), text(value))).collect::<BTreeMap<_, _>>()).into()
}

/// JSON as a value of whatever type it has.
fn anything(value: &Value) -> Configured {
    match value {
        Value::Null => Configured::Null,
        Value::Bool(truth) => Configured::Bool(*truth),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => Configured::Number(whole.into()),
            None => Configured::Null,
        },
        Value::String(text) => Configured::string(text),
        Value::Array(items) => Configured::Tuple(items.iter().map(anything).collect()),
        Value::Object(members) => {
            Configured::Object(members.iter().map(|(name, value)| (name.clone(), anything(value))).collect())
        }
    }
}

/// What a backup holds, out of Velero's BackupSpec.
fn template(spec: &Value) -> VeleroTemplate {
    let selectors = spec["orLabelSelectors"].as_array().filter(|selectors| !selectors.is_empty());
    let selectors: Option<Vec<TextMap>> =
        selectors.map(|selectors| selectors.iter().map(|one| map(&one["matchLabels"])).collect());
    VeleroTemplate {
        included_namespaces: list(&spec["includedNamespaces"]),
        excluded_namespaces: list(&spec["excludedNamespaces"]),
        included_resources: list(&spec["includedResources"]),
        excluded_resources: list(&spec["excludedResources"]),
        included_cluster_scoped_resources: list(&spec["includedClusterScopedResources"]),
        excluded_cluster_scoped_resources: list(&spec["excludedClusterScopedResources"]),
        included_namespace_scoped_resources: list(&spec["includedNamespaceScopedResources"]),
        excluded_namespace_scoped_resources: list(&spec["excludedNamespaceScopedResources"]),
        include_cluster_resources: truth(&spec["includeClusterResources"]),
        label_selector: map(&spec["labelSelector"]["matchLabels"]),
        or_label_selectors: selectors.into(),
        snapshot_volumes: truth(&spec["snapshotVolumes"]),
        snapshot_move_data: truth(&spec["snapshotMoveData"]),
        default_volumes_to_fs_backup: truth(&spec["defaultVolumesToFsBackup"]),
        volume_snapshot_locations: list(&spec["volumeSnapshotLocations"]),
        csi_snapshot_timeout: text(&spec["csiSnapshotTimeout"]),
        item_operation_timeout: text(&spec["itemOperationTimeout"]),
        ordered_resources: map(&spec["orderedResources"]),
        resource_policy: text(&spec["resourcePolicy"]["name"]),
        parallel_files_upload: spec["uploaderConfig"]["parallelFilesUpload"].as_i64().into(),
        hooks: spec["hooks"]
            .as_object()
            .filter(|hooks| !hooks.is_empty())
            .map(|_| Anything(anything(&spec["hooks"])))
            .into(),
    }
}

/// An age as `keep_within` writes it: whole days where it is some, else hours.
fn within(ttl: &str) -> Option<String> {
    let age = go_duration(ttl).filter(|age| !age.is_zero() && age.subsec_nanos() == 0)?;
    let hours = age.as_secs().is_multiple_of(3600).then_some(age.as_secs() / 3600)?;
    Some(if hours.is_multiple_of(24) { format!("{}d", hours / 24) } else { format!("{hours}h") })
}

/// The target of a location; nothing is changed.
pub async fn target(
    shared: &Shared,
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<ImportedTarget, Diagnostics> {
    let object = read(cluster, &LOCATION, namespace, name).await?;
    let spec = &object.data["spec"];
    let config = &spec["config"];
    let (connection_name, connection) = connection_of(shared, config, name)?;
    let credential = &spec["credential"];
    let (credentials, existing_secret) = match (text(&credential["name"]), text(&credential["key"])) {
        (Attr::Known(secret), Attr::Known(key)) => {
            let held = cluster.get(&Kind::SECRET, namespace, &secret).await.ok().flatten();
            let held = held.and_then(|held| STANDARD.decode(held.data["data"][&key].as_str()?).ok());
            match held.and_then(|held| said_by(shared, &connection, &held)) {
                Some(word) => (Attr::Known(word), Attr::Null),
                None => (Attr::Null, Attr::Known(SecretKey { name: Attr::Known(secret), key: Attr::Known(key) })),
            }
        }
        _ => (Attr::Null, Attr::Null),
    };
    // What the connection says by itself is left out.
    let own = [
        ("region", Some(connection.region.clone())),
        ("s3Url", connection.engine_endpoint.clone().or(connection.endpoint.clone())),
        ("s3ForcePathStyle", connection.path_style.then(|| "true".to_owned())),
    ];
    let more = config
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(key, value)| !own.iter().any(|(name, own)| key == name && own.as_deref() == value.as_str()));
    let more: BTreeMap<String, Attr<String>> = more.map(|(key, value)| (key.clone(), text(value))).collect();
    let storage = &spec["objectStorage"];
    Ok(ImportedTarget {
        place: Place::S3 {
            connection: connection_name,
            bucket: storage["bucket"].as_str().unwrap_or_default().to_owned(),
            prefix: storage["prefix"].as_str().unwrap_or_default().trim_matches('/').to_owned(),
        },
        credentials,
        read_only: spec["accessMode"] == "ReadOnly",
        uid: object.metadata.uid.clone().unwrap_or_default(),
        block: VeleroTarget {
            cluster: cluster.name().into(),
            namespace: namespace.into(),
            default: truth(&spec["default"]),
            backup_sync_period: text(&spec["backupSyncPeriod"]),
            validation_frequency: text(&spec["validationFrequency"]),
            provider: text(&spec["provider"]).or("aws".into()),
            config: if more.is_empty() { Attr::Null } else { Attr::Known(more) },
            existing_secret,
            credentials_wo: Attr::Null,
            credentials_wo_version: Attr::Null,
            repository_password: Attr::Null,
            volume_snapshot_location: Attr::Null,
            force_conflicts: Attr::Known(false),
        },
    })
}

/// The connection that leads to the location's server.
fn connection_of(shared: &Shared, config: &Value, name: &str) -> Result<(String, S3Connection), Diagnostics> {
    let url = config["s3Url"].as_str().map(|url| url.trim_end_matches('/'));
    let known = shared.s3_connections();
    let same = |endpoint: &Option<String>| endpoint.as_deref().map(|endpoint| endpoint.trim_end_matches('/')) == url;
    let found = known.iter().find(|(_, connection)| match url {
        Some(_) => same(&connection.engine_endpoint) || same(&connection.endpoint),
        None => connection.endpoint.is_none(),
    });
    found.cloned().ok_or_else(|| {
        Diagnostics::error(
            "Unable to import the location",
            format!(
                "Location {name} stores at {}, and no S3 connection in the provider block leads there (`endpoint` or \
                 `engine_endpoint`).",
                url.unwrap_or("Amazon S3")
            ),
        )
    })
}

/// How a configuration says these credentials: a secret's name, or `connection`.
fn said_by(shared: &Shared, connection: &S3Connection, held: &[u8]) -> Option<String> {
    let names = shared.settings()?.secret_names(std::env::vars_os());
    let mut words = names.into_iter().chain(std::iter::once("connection".to_owned()));
    let says = |word: &String| {
        let keys = store_keys::of(shared, connection, &Attr::Known(word.clone())).ok().flatten().flatten();
        keys.is_some_and(|keys| keys.file().expose().trim().as_bytes() == held.trim_ascii())
    };
    words.find(says)
}

/// A schedule; nothing is changed.
pub async fn schedule(
    shared: &Shared,
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<ImportedSchedule<VeleroSchedule>, Diagnostics> {
    let object = read(cluster, &SCHEDULE, namespace, name).await?;
    let spec = &object.data["spec"];
    let line = spec["schedule"].as_str().unwrap_or_default();
    let zoned =
        line.strip_prefix("CRON_TZ=").or_else(|| line.strip_prefix("TZ=")).and_then(|rest| rest.split_once(' '));
    let (time_zone, cron) = match zoned {
        Some((zone, cron)) => (Some(zone.to_owned()).filter(|zone| zone != "UTC"), cron.trim()),
        None => (None, line),
    };
    let held = &spec["template"];
    let location = held["storageLocation"].as_str().unwrap_or("default");
    let target = target(shared, cluster, namespace, location).await?;
    let server_uid =
        cluster.uid().await.map_err(|error| Diagnostics::error("Unable to import", format!("{error}.")))?;
    Ok(ImportedSchedule {
        target: Reference {
            kind: "backup_target".into(),
            engine: super::ENGINE.into(),
            connection: cluster.name().into(),
            server_uid: Attr::Known(server_uid),
            scope: namespace.into(),
            name: location.into(),
            uid: Attr::Known(target.uid.clone()),
            store: Attr::Known(target.place.referenced()),
            secret: Attr::Null,
            access: if target.read_only { "read_only" } else { "read_write" }.into(),
        },
        cron: cron.to_owned(),
        time_zone,
        keep_within: held["ttl"].as_str().and_then(within),
        paused: spec["paused"] == true,
        uid: object.metadata.uid.clone().unwrap_or_default(),
        block: VeleroSchedule::imported(
            template(held),
            map(&held["metadata"]["labels"]),
            truth(&spec["useOwnerReferencesInBackup"]),
        ),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_template_that_was_read_renders_as_it_was() {
        let spec = json!({
            "includedNamespaces": ["docs"], "excludedResources": ["events"], "snapshotVolumes": false,
            "labelSelector": { "matchLabels": { "app": "docs" } }, "csiSnapshotTimeout": "20m",
            "orLabelSelectors": [{ "matchLabels": { "a": "1" } }],
            "orderedResources": { "pods": "docs/db-0" }, "resourcePolicy": { "kind": "ConfigMap", "name": "skip" },
            "uploaderConfig": { "parallelFilesUpload": 4 },
            "hooks": { "resources": [{ "name": "freeze", "pre": [{ "exec": { "command": ["sync"] } }] }] },
        });
        assert_eq!(template(&spec).spec(), spec);
    }

    #[test]
    fn an_age_is_said_in_days_where_it_is_some() {
        assert_eq!(within("168h0m0s").as_deref(), Some("7d"));
        assert_eq!(within("36h").as_deref(), Some("36h"));
        assert_eq!((within("90m"), within("0s"), within("x")), (None, None, None));
    }
}
