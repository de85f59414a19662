//! What an import finds in a cluster: a location or a schedule that somebody made, as a configuration would say it.

use std::collections::BTreeMap;

use dr_framework::{Attr, Diagnostics};
use serde_json::Value;

use super::schedule::{SCHEDULE, VeleroSchedule};
use super::target::{LOCATION, SecretKey, VeleroTarget};
use super::template::VeleroTemplate;
use crate::connections::kubernetes::{Cluster, Kind};
use crate::connections::s3::S3Connection;
use crate::engines::concepts::{ImportedSchedule, ImportedTarget};
use crate::engines::kubernetes::imported::{held, keys_named, list, map, passed, read, server_uid, text, truth, zoned};
use crate::engines::kubernetes::render::go_duration;
use crate::engines::kubernetes::spec::TextMap;
use crate::engines::kubernetes::store_keys::Keys;
use crate::reference::{Place, Reference};
use crate::retention_policy::KeepModel;
use crate::shared::Shared;

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
        hooks: passed(&spec["hooks"]),
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
) -> Result<ImportedTarget<VeleroTarget>, Diagnostics> {
    let object = read(cluster, &LOCATION, namespace, name).await?;
    let spec = &object.data["spec"];
    let config = &spec["config"];
    let (connection_name, connection) = connection_of(shared, config, name)?;
    let credential = &spec["credential"];
    let (credentials, existing_secret) = match (text(&credential["name"]), text(&credential["key"])) {
        (Attr::Known(secret), Attr::Known(key)) => {
            let object = cluster.get(&Kind::SECRET, namespace, &secret).await.ok().flatten();
            let file = object.and_then(|object| held(&object, &key));
            let named = file.and_then(|file| {
                let are_held = |keys: &Keys| keys.file().expose().trim().as_bytes() == file.trim_ascii();
                keys_named(shared, &connection, are_held)
            });
            match named {
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
    let (time_zone, cron) = zoned(line);
    let template_spec = &spec["template"];
    let location = template_spec["storageLocation"].as_str().unwrap_or("default");
    let target = target(shared, cluster, namespace, location).await?;
    let server_uid = server_uid(cluster).await?;
    let within = template_spec["ttl"].as_str().and_then(within);
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
        keep: within.map(|within| KeepModel { keep_within: Attr::Known(within), ..KeepModel::default() }),
        paused: spec["paused"] == true,
        uid: object.metadata.uid.clone().unwrap_or_default(),
        block: VeleroSchedule::imported(
            template(template_spec),
            map(&template_spec["metadata"]["labels"]),
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
