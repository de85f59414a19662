//! What an import finds in a cluster: a location or a schedule that somebody made, as a configuration would say it.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dr_framework::{Attr, Diagnostics, Path};
use serde_json::{Value, json};

use super::schedule::{SCHEDULE, VeleroSchedule};
use super::target::{LOCATION, SecretKey, VeleroTarget};
use super::template::VeleroTemplate;
use crate::connections::kubernetes::{Cluster, DynamicObject, Kind};
use crate::connections::s3::S3Connection;
use crate::cron::Cron;
use crate::engines::concepts::{ImportedSchedule, ImportedTarget, ScheduleArguments};
use crate::engines::kubernetes::imported::{
    held, keys_named, list, map, passed, read, refuse_unsaid, server_uid, text, truth, unsaid, zoned,
};
use crate::engines::kubernetes::imported_repository::refuse;
use crate::engines::kubernetes::label_selector::imported_expressions;
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
        match_expressions: imported_expressions(&spec["labelSelector"]),
        or_label_selectors: selectors.into(),
        snapshot_volumes: truth(&spec["snapshotVolumes"]),
        snapshot_move_data: truth(&spec["snapshotMoveData"]),
        datamover: text(&spec["datamover"]),
        volume_group_snapshot_label_key: text(&spec["volumeGroupSnapshotLabelKey"]),
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

/// The target of a location; nothing is changed. What `dr_backup_target` can't say is refused.
pub async fn target(
    shared: &Shared,
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<ImportedTarget<VeleroTarget>, Diagnostics> {
    let object = read(cluster, &LOCATION, namespace, name).await?;
    let spec = &object.data["spec"];
    let (_, connection) = connection_of(shared, &spec["config"], name)?;
    let authority = authority_of(cluster, namespace, &spec["objectStorage"]).await;
    let is_known = authority.as_deref().is_some_and(|held| is_pem(held, connection.ca_pem.as_deref()));
    refuse_unsaid(&LOCATION.called(namespace, name), "dr_backup_target", &unsaid_of_location(spec, is_known))?;
    target_of(shared, cluster, namespace, name, &object).await
}

/// The fields of a location that a target has no word for, or says by the connection and its keys: what opens the bucket may
/// be in another Secret, and certificates are those of the connection where `is_known` says so.
fn unsaid_of_location(spec: &Value, is_known: bool) -> Vec<String> {
    let mut said = json!({});
    for field in
        ["provider", "config", "credential", "accessMode", "default", "backupSyncPeriod", "validationFrequency"]
    {
        said[field] = spec[field].clone();
    }
    let certificates: &[&str] = if is_known { &["caCert", "caCertRef"] } else { &[] };
    for field in ["bucket", "prefix"].iter().chain(certificates) {
        said["objectStorage"][*field] = spec["objectStorage"][*field].clone();
    }
    unsaid(spec, &said)
}

/// The certificates that a location names, in itself or in a Secret.
async fn authority_of(cluster: &Cluster, namespace: &str, storage: &Value) -> Option<Vec<u8>> {
    if let Some(held) = storage["caCert"].as_str().filter(|held| !held.is_empty()) {
        return STANDARD.decode(held).ok();
    }
    let (name, key) = (storage["caCertRef"]["name"].as_str()?, storage["caCertRef"]["key"].as_str()?);
    let secret = cluster.get(&Kind::SECRET, namespace, name).await.ok().flatten()?;
    held(&secret, key)
}

fn is_pem(held: &[u8], pem: Option<&str>) -> bool {
    pem.is_some_and(|pem| pem.trim().as_bytes() == held.trim_ascii())
}

async fn target_of(
    shared: &Shared,
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    object: &DynamicObject,
) -> Result<ImportedTarget<VeleroTarget>, Diagnostics> {
    let spec = &object.data["spec"];
    let config = &spec["config"];
    let (connection_name, connection) = connection_of(shared, config, name)?;
    let credential = &spec["credential"];
    let (credentials, existing_secret) = match (text(&credential["name"]), text(&credential["key"])) {
        (Attr::Known(secret), Attr::Known(key)) => {
            // By its name under `secrets` the next apply would write a second one beside a Secret that something else makes.
            let own = VeleroTarget::writes(name, &secret, &key);
            let object = if own { cluster.get(&Kind::SECRET, namespace, &secret).await.ok().flatten() } else { None };
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

/// What a configuration of a schedule would write, against what is there. Other spellings of lines are no difference: the plan
/// shows what becomes of them.
fn unsaid_of_schedule(spec: &Value, written: &Value) -> Vec<String> {
    let mut spec = spec.clone();
    spec["schedule"] = written["schedule"].clone();
    let template = &mut spec["template"];
    // Velero takes any spelling of it.
    let kind = &mut template["resourcePolicy"]["kind"];
    if kind.as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("ConfigMap")) {
        *kind = "ConfigMap".into();
    }
    unsaid(&spec, written)
}

/// A schedule; nothing is changed. What `dr_backup_schedule` can't say is refused.
pub async fn schedule(
    shared: &Shared,
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<ImportedSchedule<VeleroSchedule>, Diagnostics> {
    let object = read(cluster, &SCHEDULE, namespace, name).await?;
    let spec = &object.data["spec"];
    let called = SCHEDULE.called(namespace, name);
    let line = spec["schedule"].as_str().unwrap_or_default();
    let (time_zone, cron) = zoned(line);
    let cron = Cron::parse(cron)
        .map_err(|error| refuse(format!("`spec.schedule` of {called} can't be said here: {error}.")))?;
    let template_spec = &spec["template"];
    let location = template_spec["storageLocation"].as_str().unwrap_or("default");
    let stored = read(cluster, &LOCATION, namespace, location).await?;
    let target = target_of(shared, cluster, namespace, location, &stored).await?;
    let server_uid = server_uid(cluster).await?;
    let ttl = template_spec["ttl"].as_str().filter(|ttl| go_duration(ttl) != Some(Duration::ZERO));
    let within = match ttl {
        Some(ttl) => Some(within(ttl).ok_or_else(|| {
            refuse(format!(
                "`spec.template.ttl` of {called} is {ttl}, and `retention` counts in whole hours: write one of whole hours \
                 there first."
            ))
        })?),
        None => None,
    };
    let found = ImportedSchedule {
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
        cron: cron.as_str().to_owned(),
        time_zone,
        keep: within.map(|within| KeepModel { keep_within: Attr::Known(within), ..KeepModel::default() }),
        paused: spec["paused"] == true,
        uid: object.metadata.uid.clone().unwrap_or_default(),
        block: VeleroSchedule::imported(
            template(template_spec),
            map(&template_spec["metadata"]["labels"]),
            truth(&spec["useOwnerReferencesInBackup"]),
        ),
    };
    let keep = match &found.keep {
        Some(keep) => keep.keep(&Path::attribute("retention"))?,
        None => None,
    };
    let arguments = ScheduleArguments {
        name,
        target: &found.target,
        cron: &cron,
        time_zone: found.time_zone.as_deref(),
        keep: keep.as_ref(),
        paused: found.paused,
    };
    let written = found.block.body(&arguments)["spec"].take();
    refuse_unsaid(&called, "dr_backup_schedule", &unsaid_of_schedule(spec, &written))?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use dr_framework::Redactor;

    use super::*;
    use crate::engines::velero::testing::Api;
    use crate::retention::Keep;
    use crate::secret::Secret;
    use crate::settings::{S3Settings, Settings};

    #[tokio::test]
    async fn keys_in_a_secret_of_another_name_are_imported_as_that_secret() {
        let shared = Shared::new(Redactor::default());
        let endpoint = "https://minio:9000";
        let minio = S3Settings { endpoint: endpoint.into(), ..S3Settings::default() };
        shared.configure(Settings {
            kubernetes: Attr::Null,
            s3: Attr::Known([("minio".to_owned(), Attr::Known(minio))].into()),
            secrets: Attr::Known([("bucket".to_owned(), "id:key".into())].into()),
            mode: Attr::Null,
            drill: Attr::Null,
        });
        let api = Api::new();
        let file = STANDARD.encode(Keys::parse(&Secret::new("id:key")).unwrap().file().expose());
        let imported = async |secret: &str| {
            let held = json!({ "data": { "cloud": file } });
            api.put(&format!("/api/v1/namespaces/velero/secrets/{secret}"), held);
            let spec = json!({
                "provider": "aws", "objectStorage": { "bucket": "velero" }, "config": { "s3Url": endpoint },
                "credential": { "name": secret, "key": "cloud" },
            });
            let object = serde_json::from_value(json!({ "metadata": { "name": "docs" }, "spec": spec })).unwrap();
            let found = target_of(&shared, &api.cluster(), "velero", "docs", &object).await.unwrap();
            (found.credentials, found.block.existing_secret)
        };
        assert_eq!(imported("dr-docs").await, (Attr::Known("bucket".to_owned()), Attr::Null));
        let theirs = SecretKey { name: "cloud".into(), key: "cloud".into() };
        assert_eq!(imported("cloud").await, (Attr::Null, Attr::Known(theirs)));
    }

    #[test]
    fn a_template_that_was_read_renders_as_it_was() {
        let spec = json!({
            "includedNamespaces": ["docs"], "excludedResources": ["events"], "snapshotVolumes": false,
            "labelSelector": {
                "matchLabels": { "app": "docs" },
                "matchExpressions": [{ "key": "tier", "operator": "In", "values": ["a", "b"] }],
            },
            "csiSnapshotTimeout": "20m", "datamover": "other", "volumeGroupSnapshotLabelKey": "group",
            "orLabelSelectors": [{ "matchLabels": { "a": "1" } }],
            "orderedResources": { "pods": "docs/db-0" }, "resourcePolicy": { "kind": "ConfigMap", "name": "skip" },
            "uploaderConfig": { "parallelFilesUpload": 4 },
            "hooks": { "resources": [{ "name": "freeze", "pre": [{ "exec": { "command": ["sync"] } }] }] },
        });
        assert_eq!(template(&spec).spec(), spec);
    }

    /// A Schedule as Velero's command writes it and its controller leaves it, but for what each case adds.
    fn left(more: &Value) -> Vec<String> {
        let mut spec = json!({
            "schedule": "@daily", "paused": false, "skipImmediately": false, "useOwnerReferencesInBackup": false,
            "template": {
                "metadata": {}, "hooks": {}, "storageLocation": "", "ttl": "720h0m0s", "csiSnapshotTimeout": "10m0s",
                "itemOperationTimeout": "4h0m0s", "includedNamespaces": ["*"], "labelSelector": null,
                "resourcePolicy": { "kind": "configmap", "name": "skip" }, "snapshotVolumes": null,
            },
        });
        for (field, value) in more.as_object().into_iter().flatten() {
            *spec.pointer_mut(&format!("/{field}")).unwrap_or_else(|| panic!("{field}")) = value.clone();
        }
        let block = VeleroSchedule::imported(
            template(&spec["template"]),
            map(&spec["template"]["metadata"]["labels"]),
            truth(&spec["useOwnerReferencesInBackup"]),
        );
        let target = Reference { name: "default".into(), ..Reference::default() };
        let keep = Keep { within: crate::retention::Within::parse("30d").ok(), ..Keep::default() };
        let cron = Cron::parse("@daily").unwrap();
        let arguments = ScheduleArguments {
            name: "daily",
            target: &target,
            cron: &cron,
            time_zone: None,
            keep: Some(&keep),
            paused: false,
        };
        unsaid_of_schedule(&spec, &block.body(&arguments)["spec"])
    }

    #[test]
    fn what_velero_itself_writes_is_no_field_that_nobody_says() {
        assert_eq!(left(&json!({})), [""; 0]);
        let labels = json!({ "matchExpressions": [{ "key": "a", "operator": "Exists" }], "matchLabels": {} });
        assert_eq!(left(&json!({ "template/labelSelector": labels })), [""; 0]);
    }

    #[test]
    fn a_field_of_a_schedule_that_nobody_says_is_named() {
        let annotated = json!({ "annotations": { "a": "b" } });
        assert_eq!(left(&json!({ "template/metadata": annotated })), ["template.metadata.annotations.a"]);
        assert_eq!(left(&json!({ "skipImmediately": true })), ["skipImmediately"]);
        let hooks = json!({ "resources": [{ "name": "freeze", "pre": [{ "exec": { "command": ["sync"] } }] }] });
        assert_eq!(left(&json!({ "template/hooks": hooks })), [""; 0], "hooks are passed on as they are");
        let sets = json!([{ "matchExpressions": [{ "key": "a", "operator": "Exists" }] }]);
        let template =
            json!({ "storageLocation": "default", "defaultVolumesToRestic": true, "orLabelSelectors": sets });
        let named = ["template.defaultVolumesToRestic", "template.orLabelSelectors"];
        assert_eq!(left(&json!({ "template": template })), named);
        assert_eq!(left(&json!({ "template/ttl": "90m" })), ["template.ttl"]);
        let policy = json!({ "apiGroup": "x", "kind": "Other", "name": "skip" });
        let named = ["template.resourcePolicy.apiGroup", "template.resourcePolicy.kind"];
        assert_eq!(left(&json!({ "template/resourcePolicy": policy })), named);
    }

    #[test]
    fn a_location_is_said_whole_or_its_field_is_named() {
        let storage = json!({ "bucket": "velero", "prefix": "/prod/" });
        let spec = json!({
            "provider": "aws", "objectStorage": storage, "config": { "region": "r", "more": "x" }, "accessMode": "ReadWrite",
            "credential": { "name": "cloud", "key": "cloud" }, "default": true, "backupSyncPeriod": "1m0s",
            "validationFrequency": "1m0s",
        });
        assert_eq!(unsaid_of_location(&spec, false), [""; 0]);
        let mut other = spec.clone();
        other["objectStorage"]["caCert"] = "cGVt".into();
        other["newer"] = json!({ "field": 1 });
        assert_eq!(unsaid_of_location(&other, false), ["newer.field", "objectStorage.caCert"]);
        assert_eq!(unsaid_of_location(&other, true), ["newer.field"]);
        assert!(is_pem(b"pem\n", Some("pem")) && !is_pem(b"pem", None) && !is_pem(b"pem", Some("other")));
    }

    #[test]
    fn an_age_is_said_in_days_where_it_is_some() {
        assert_eq!(within("168h0m0s").as_deref(), Some("7d"));
        assert_eq!(within("36h").as_deref(), Some("36h"));
        assert_eq!((within("90m"), within("0s"), within("x")), (None, None, None));
    }
}
