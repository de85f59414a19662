//! A bucket registered with Velero: the BackupStorageLocation, and the Secret that it opens the bucket with.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dr_framework::{Attr, Diagnostics, Model, Path, Redactor, Result};
use serde_json::{Map, Value, json};

use super::ENGINE;
use super::bucket::Bucket as Storage;
use super::points::{Phase, Point};
use crate::clock;
use crate::connections::kubernetes::{Cluster, DynamicObject, FIELD_MANAGER, Kind};
use crate::connections::s3::S3Connection;
use crate::engines::concepts::{
    Blame, Failure, RegisteredBlock, TargetArguments, TargetBlock, TargetKind, TargetServer,
};
use crate::engines::declared::Declared;
use crate::engines::kubernetes::objects::{Installer, Lent, Objects, Settle, Wanted, differs_in, server_of};
use crate::engines::kubernetes::store_keys::{self, Keys};
use crate::reference::Place;
use crate::secret::Secret;
use crate::shared::{Reached, Shared};
use crate::validators;
use crate::waiting::{Patience, SILENCE, Silence, too_many_wait};
use crate::words::counted;

/// What usually installs Velero.
pub const INSTALLED_BY: Installer = Installer {
    depends_on: "helm_release.velero",
    crds: "Velero's CRDs come with its Helm chart, `velero` of https://vmware-tanzu.github.io/helm-charts, or with `velero install`",
};

/// Where backups are.
pub const LOCATION: Kind = Kind::namespaced("velero.io", "v1", "BackupStorageLocation", "backupstoragelocations");

/// Where snapshots of disks are.
const SNAPSHOT_LOCATION: Kind =
    Kind::namespaced("velero.io", "v1", "VolumeSnapshotLocation", "volumesnapshotlocations");

/// Where the content of volumes is.
const REPOSITORY: Kind = Kind::namespaced("velero.io", "v1", "BackupRepository", "backuprepositories");

/// The key of the Secret that holds the credentials, and the one that holds the certificates.
const CREDENTIALS_KEY: &str = "cloud";
const CA_KEY: &str = "ca.pem";

/// The Secret of the repositories' password, which Velero makes with a password that everybody knows when it is not there.
const REPOSITORY_SECRET: &str = "velero-repo-credentials";
const REPOSITORY_KEY: &str = "repository-password";
const KNOWN_TO_ALL: &str = "static-passw0rd";

/// How long Velero is usually given to try the bucket, and how often it is looked.
const VALIDATION: Duration = Duration::from_secs(300);
const LOOK: Duration = Duration::from_secs(2);

/// A BackupStorageLocation of Velero, in a cluster where Velero is installed or is about to be.
///
/// It needs an S3 store. The keys that Velero uses are those of `store.credentials`, or `credentials_wo`, or in
/// `existing_secret`; without any of them Velero uses what it was installed with.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct VeleroTarget {
    /// The name of the Kubernetes connection in the provider block.
    #[dr(default = "default", validate = validators::reference_name)]
    pub cluster: Attr<String>,
    /// The namespace in which Velero is installed.
    #[dr(default = "velero", validate = validators::name)]
    pub namespace: Attr<String>,
    /// Whether backups that name no location go here.
    #[dr(optional)]
    pub default: Attr<bool>,
    /// How often the bucket is looked at for backups that other clusters made, like `1m`.
    #[dr(optional, validate = validators::duration)]
    pub backup_sync_period: Attr<String>,
    /// How often the bucket is tried, like `1m`.
    #[dr(optional, validate = validators::duration)]
    pub validation_frequency: Attr<String>,
    /// The name of Velero's object store plugin.
    #[dr(default = "aws")]
    pub provider: Attr<String>,
    /// More of the plugin's settings, like `checksumAlgorithm` or `insecureSkipTLSVerify`. What the connection says
    /// (`region`, `s3Url`, `s3ForcePathStyle`) is filled in where it is left out.
    #[dr(optional)]
    pub config: Attr<BTreeMap<String, Attr<String>>>,
    /// A Secret in the namespace that holds the credentials in the form of an AWS credentials file. It is never written.
    #[dr(optional)]
    pub existing_secret: Attr<SecretKey>,
    /// The credentials, as `<access key id>:<secret access key>`: written to the cluster and to no state.
    #[dr(optional, write_only)]
    pub credentials_wo: Attr<String>,
    /// Any number; another one writes `credentials_wo` again.
    #[dr(optional)]
    pub credentials_wo_version: Attr<i64>,
    /// The name of the secret that file-system backups and the data mover encrypt volumes with: the password of every
    /// repository of this Velero. Without one Velero takes a password that everybody knows. It can't be changed once there
    /// are backups.
    #[dr(optional, validate = validators::reference_name)]
    pub repository_password: Attr<String>,
    /// A VolumeSnapshotLocation of the target's name, for snapshots of disks.
    #[dr(optional)]
    pub volume_snapshot_location: Attr<SnapshotLocation>,
    /// Whether fields are taken that another program owns.
    #[dr(default = false)]
    pub force_conflicts: Attr<bool>,
}

/// A key of a Secret.
#[derive(Model, Clone, Debug, PartialEq)]
pub struct SecretKey {
    /// The Secret's name.
    #[dr(required)]
    pub name: Attr<String>,
    /// The key in it.
    #[dr(required)]
    pub key: Attr<String>,
}

/// Where snapshots of disks are.
#[derive(Model, Clone, Debug, PartialEq)]
pub struct SnapshotLocation {
    /// The name of Velero's volume snapshotter plugin.
    #[dr(required)]
    pub provider: Attr<String>,
    /// The plugin's settings.
    #[dr(optional)]
    pub config: Attr<BTreeMap<String, Attr<String>>>,
    /// A Secret in the namespace that holds the plugin's credentials. It is never written, and has to be there: without it
    /// Velero refuses every backup. Left out: what the plugin finds where Velero runs.
    #[dr(optional)]
    pub existing_secret: Attr<SecretKey>,
}

impl SecretKey {
    /// As a `credential` of Velero's.
    fn selector(&self) -> Value {
        json!({ "name": self.name.text().unwrap_or_default(), "key": self.key.text().unwrap_or_default() })
    }
}

impl TargetBlock for VeleroTarget {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn secret(&self) -> Attr<String> {
        Attr::Null
    }

    fn kind(&self) -> TargetKind<'_> {
        TargetKind::Registered(self)
    }
}

impl VeleroTarget {
    fn is_known(&self) -> bool {
        let written = VeleroTarget { credentials_wo: Attr::Null, ..self.clone() };
        written.to_object().is_wholly_known()
    }

    /// Whether the keys in this Secret are where a target of that name writes them.
    pub(super) fn writes(target: &str, secret: &str, key: &str) -> bool {
        secret == Self::secret_name(target) && key == CREDENTIALS_KEY
    }

    fn secret_name(target: &str) -> String {
        format!("dr-{target}")
    }

    /// The Secret of the target, if it needs one.
    fn secret_object(
        &self,
        name: &str,
        keys: Option<&Keys>,
        ca_pem: Option<&str>,
        write_only: Option<&str>,
        redactor: &Redactor,
    ) -> Result<Option<Wanted>> {
        let mut data = Map::new();
        let mut put = |key: &str, value: &str| data.insert(key.to_owned(), STANDARD.encode(value).into());
        if let Some(ca_pem) = ca_pem {
            put(CA_KEY, ca_pem);
        }
        let written = match write_only {
            Some(text) => {
                let path = Path::attribute(ENGINE).then("credentials_wo");
                let keys = Keys::parse(&Secret::new(text)).ok_or_else(|| store_keys::unusable(path))?;
                redactor.learn(keys.secret.expose());
                Some(keys)
            }
            None => None,
        };
        if let Some(keys) = keys.or(written.as_ref()) {
            put(CREDENTIALS_KEY, keys.file().expose());
        }
        let kept = self.credentials_wo_version.is_known() && written.is_none();
        if data.is_empty() && !kept {
            return Ok(None);
        }
        // A value that is in no state can't be written again without being given again.
        let body = (!kept).then(|| json!({ "type": "Opaque", "data": data }));
        Ok(Some(Wanted { kind: Kind::SECRET, name: Self::secret_name(name), body, lasting: false }))
    }

    /// The Secret of the repositories' password, if one is set: `None` while it is not known.
    fn repository_secret(&self, shared: &Shared) -> Result<Option<Option<Wanted>>> {
        let Some(name) = self.repository_password.text() else { return Ok(Some(None)) };
        let path = Path::attribute(ENGINE).then("repository_password");
        let Some(password) = shared.secret(name, &path)? else { return Ok(None) };
        let data = json!({ REPOSITORY_KEY: STANDARD.encode(password.expose()) });
        let body = Some(json!({ "type": "Opaque", "data": data }));
        Ok(Some(Some(Wanted { kind: Kind::SECRET, name: REPOSITORY_SECRET.to_owned(), body, lasting: true })))
    }

    /// The location, with the certificates in the words of a Velero that has `caCertRef`, or of one before 1.18.
    fn location(&self, target: &TargetArguments<'_>, s3: &Bucket<'_>, has_keys: bool, by_reference: bool) -> Value {
        let mut config: Map<String, Value> = Map::new();
        config.insert("region".into(), s3.connection.region.clone().into());
        if let Some(endpoint) = s3.connection.engine_endpoint.as_ref().or(s3.connection.endpoint.as_ref()) {
            config.insert("s3Url".into(), endpoint.clone().into());
        }
        if s3.connection.path_style {
            config.insert("s3ForcePathStyle".into(), "true".into());
        }
        for (key, value) in self.config.known().into_iter().flatten() {
            if let Some(value) = value.text() {
                config.insert(key.clone(), value.into());
            }
        }
        let mut storage = json!({ "bucket": s3.bucket });
        if !s3.prefix.is_empty() {
            storage["prefix"] = s3.prefix.into();
        }
        match &s3.connection.ca_pem {
            Some(_) if by_reference => {
                storage["caCertRef"] = json!({ "name": Self::secret_name(target.name), "key": CA_KEY });
                // Velero uses no location that has both.
                storage["caCert"] = Value::Null;
            }
            Some(ca_pem) => storage["caCert"] = STANDARD.encode(ca_pem).into(),
            None => {}
        }
        // Whatever the configuration leaves out of these would turn protection off.
        let access = if target.read_only { "ReadOnly" } else { "ReadWrite" };
        let mut spec = json!({
            "provider": self.provider.text().unwrap_or("aws"), "objectStorage": storage, "config": config,
            "accessMode": access,
        });
        if let Some(secret) = self.existing_secret.known() {
            spec["credential"] = secret.selector();
        } else if has_keys {
            spec["credential"] = json!({ "name": Self::secret_name(target.name), "key": CREDENTIALS_KEY });
        }
        if let Some(default) = self.default.known() {
            spec["default"] = (*default).into();
        }
        for (field, value) in
            [("backupSyncPeriod", &self.backup_sync_period), ("validationFrequency", &self.validation_frequency)]
        {
            if let Some(value) = value.text() {
                spec[field] = value.into();
            }
        }
        json!({ "spec": spec })
    }

    /// The Secrets that somebody else makes.
    fn lent(&self) -> Vec<Lent> {
        let snapshots = self.volume_snapshot_location.known().and_then(|location| location.existing_secret.known());
        let lent = |secret: &SecretKey, needed_by| {
            let (name, key) = (secret.name.text()?.to_owned(), secret.key.text()?.to_owned());
            Some(Lent { name, key, needed_by })
        };
        let bucket = self
            .existing_secret
            .known()
            .and_then(|secret| lent(secret, "`existing_secret` names it, and Velero can't open the bucket without it"));
        let snapshots = snapshots.and_then(|secret| {
            let why = "`volume_snapshot_location.existing_secret` names it, and Velero refuses every backup without it";
            lent(secret, why)
        });
        bucket.into_iter().chain(snapshots).collect()
    }

    fn snapshot_location(&self) -> Option<Value> {
        let location = self.volume_snapshot_location.known()?;
        let config: Map<String, Value> = location
            .config
            .known()
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| Some((key.clone(), value.text()?.into())))
            .collect();
        let mut spec = json!({ "provider": location.provider.text().unwrap_or_default() });
        if !config.is_empty() {
            spec["config"] = config.into();
        }
        if let Some(secret) = location.existing_secret.known() {
            spec["credential"] = secret.selector();
        }
        Some(json!({ "spec": spec }))
    }
}

/// A prefix of a bucket.
struct Bucket<'a> {
    connection: &'a S3Connection,
    bucket: &'a str,
    prefix: &'a str,
}

#[async_trait]
impl RegisteredBlock for VeleroTarget {
    fn connection(&self) -> Attr<String> {
        self.cluster.clone()
    }

    fn scope(&self) -> Attr<String> {
        self.namespace.clone()
    }

    fn check(&self, store: &Attr<Place>, credentials: &Attr<String>) -> Diagnostics {
        let mut found = Diagnostics::default();
        if matches!(store, Attr::Known(Place::Local { .. })) {
            found.extend(Diagnostics::error_at(
                Path::attribute("store").then("local"),
                "Velero stores in buckets",
                "A folder of the machine that runs the command is out of Velero's reach: use `s3`.",
            ));
        }
        let forms = [
            ("store.credentials", credentials.is_known()),
            ("velero.existing_secret", self.existing_secret.is_known()),
            ("velero.credentials_wo", self.credentials_wo.is_known() || self.credentials_wo_version.is_known()),
        ];
        let set: Vec<_> = forms.iter().filter(|(_, set)| *set).map(|(name, _)| *name).collect();
        if let [first, second, ..] = set.as_slice() {
            found.extend(Diagnostics::error_at(
                Path::attribute(ENGINE),
                "Two forms of credentials",
                format!("`{first}` and `{second}` each say what opens the bucket; set one of them."),
            ));
        }
        if self.credentials_wo.is_known() && self.credentials_wo_version.is_null() {
            found.extend(Diagnostics::error_at(
                Path::attribute(ENGINE).then("credentials_wo_version"),
                "A write-only value without a version",
                "Set `credentials_wo_version = 1`: another number writes `credentials_wo` again.",
            ));
        }
        found
    }

    fn server(&self, shared: &Shared) -> Result<TargetServer> {
        server_of(shared, &self.cluster, &Path::attribute(ENGINE).then("cluster"))
    }

    fn open(
        &self,
        shared: &Shared,
        target: &TargetArguments<'_>,
        write_only: Option<&dyn RegisteredBlock>,
    ) -> Result<Option<Box<dyn Declared>>> {
        let cluster_path = Path::attribute(ENGINE).then("cluster");
        let Some(cluster) = self.cluster.text() else { return Ok(None) };
        let cluster = shared.cluster(cluster, &cluster_path)?;
        let reached = shared.reach(target.place, &Path::attribute("store").then("s3"))?;
        let (Some(cluster), Some(Reached::S3 { connection, bucket, prefix }), true) =
            (cluster, reached, self.is_known())
        else {
            return Ok(None);
        };
        store_keys::carried(&connection, ENGINE)?;
        let Some(keys) = store_keys::of(shared, &connection, target.credentials)? else { return Ok(None) };
        let given = write_only.map(|block| block.write_only("credentials_wo"));
        let given = given.as_ref().and_then(Attr::text);
        let secret =
            self.secret_object(target.name, keys.as_ref(), connection.ca_pem.as_deref(), given, &shared.redactor)?;
        let Some(repository) = self.repository_secret(shared)? else { return Ok(None) };
        let has_keys = keys.is_some() || self.credentials_wo_version.is_known();
        let s3 = Bucket { connection: &connection, bucket: &bucket, prefix: &prefix };
        let location = self.location(target, &s3, has_keys, true);
        let older = connection.ca_pem.is_some().then(|| self.location(target, &s3, has_keys, false));
        let settle = Box::new(Available {
            name: target.name.to_owned(),
            secret: secret.as_ref().map(|secret| secret.name.clone()),
        });
        let mut wanted: Vec<Wanted> = secret.into_iter().chain(repository).collect();
        wanted.extend(self.snapshot_location().map(|body| Wanted {
            kind: SNAPSHOT_LOCATION,
            name: target.name.to_owned(),
            body: Some(body),
            lasting: false,
        }));
        wanted.push(Wanted { kind: LOCATION, name: target.name.to_owned(), body: Some(location), lasting: false });
        let namespace = self.namespace.text().unwrap_or("velero").to_owned();
        let mut objects = Objects::new(cluster, namespace, wanted, INSTALLED_BY, shared.waiting.clone(), settle);
        objects.force = self.force_conflicts == Attr::Known(true);
        objects.lent = self.lent();
        objects.older = older;
        Ok(Some(Box::new(objects)))
    }

    /// Velero deletes a backup that is past its age as soon as it sees it, so a cluster that comes back late would lose all of
    /// them while it is being restored.
    async fn before_new(&self, shared: &Shared, target: &TargetArguments<'_>) -> Result<Vec<String>> {
        let reached = shared.reach(target.place, &Path::attribute("store").then("s3"))?;
        let Some(Reached::S3 { connection, bucket, prefix }) = reached.filter(|_| !target.read_only) else {
            return Ok(Vec::new());
        };
        // What only the cluster reaches can't be looked at, and is registered all the same.
        let unread = |error: &dyn std::fmt::Display| {
            Ok(vec![format!(
                "nobody looked whether the bucket holds backups that are past their age, which Velero deletes as soon as it sees \
                 them: {error}"
            )])
        };
        let store = match shared.clients.bucket(&connection, &bucket, &prefix) {
            Ok(store) => store,
            Err(error) => return unread(&error),
        };
        match Storage::new(Arc::new(store), shared.ended_backups.clone()).points().await {
            Ok(points) => expired(&points, clock::now()),
            Err(error) => unread(&error),
        }
    }

    fn write_only(&self, name: &str) -> Attr<String> {
        if name == "credentials_wo" { self.credentials_wo.clone() } else { Attr::Null }
    }

    fn write_only_version(&self) -> Attr<i64> {
        self.credentials_wo_version.clone()
    }
}

/// Waits until Velero tried the bucket.
struct Available {
    name: String,
    secret: Option<String>,
}

/// When we wrote an object last, by the server's clock.
fn last_applied(object: &DynamicObject) -> Option<jiff::Timestamp> {
    let entries = object.metadata.managed_fields.as_deref().unwrap_or_default();
    let ours = entries
        .iter()
        .find(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER) && entry.operation.as_deref() == Some("Apply"))?;
    ours.time.as_ref()?.0.to_string().parse().ok()
}

impl Available {
    fn phase(object: &DynamicObject) -> Option<&str> {
        object.data["status"]["phase"].as_str()
    }
}

#[async_trait]
impl Settle for Available {
    fn about_another(&self, wanted: &Wanted, live: &DynamicObject) -> Option<String> {
        differs_in(wanted, live, &["spec.objectStorage.bucket", "spec.objectStorage.prefix"])
    }

    async fn settle(
        &self,
        cluster: &Cluster,
        namespace: &str,
        patience: Patience,
    ) -> std::result::Result<Vec<String>, Failure> {
        let (deadline, bound) = patience.until(VALIDATION);
        let mut first = None;
        let mut silence = Silence::of(cluster.waiting(), SILENCE);
        loop {
            let found = cluster.get(&LOCATION, namespace, &self.name).await?;
            let status = found.as_ref().map(|object| object.data["status"].clone()).unwrap_or_default();
            let tried = status["lastValidationTime"].as_str().and_then(|time| time.parse::<jiff::Timestamp>().ok());
            let first = *first.get_or_insert(tried);
            let mut written = found.as_ref().and_then(last_applied);
            if let Some(secret) = &self.secret {
                written =
                    written.max(cluster.get(&Kind::SECRET, namespace, secret).await?.as_ref().and_then(last_applied));
            }
            // A verdict of before what this configuration wrote last says nothing about it.
            let fresh = tried.is_some_and(|tried| written.is_none_or(|written| tried >= written));
            match found.as_ref().and_then(Self::phase) {
                Some("Available") if fresh => return default_password(cluster, namespace).await,
                // What it said before it was asked again may have been put right since.
                Some("Unavailable") if fresh && tried > first => {
                    return Err(unavailable(&status));
                }
                _ if tokio::time::Instant::now() >= deadline => {
                    return Err(Failure {
                        message: format!(
                            "Velero did not try the bucket within {} s: is its server running in namespace {namespace}?",
                            bound.as_secs()
                        ),
                        hint: Some(format!(
                            "Add depends_on = [helm_release.velero] if this apply installs it, or allow more time with `{}`",
                            patience.argument()
                        )),
                        blame: Blame::Block,
                    });
                }
                // A location that was tried before was tried by a server that runs.
                _ if !silence.goes_on(tried.is_some()) => {
                    let who = format!("Velero in namespace {namespace}");
                    let message = too_many_wait(&who, SILENCE, INSTALLED_BY.depends_on);
                    return Err(Failure::new(message, Blame::Block));
                }
                _ => tokio::time::sleep(clock::scaled(LOOK)).await,
            }
        }
    }

    /// The password that everybody knows may be replaced for as long as no repository was made with it.
    async fn may_replace(
        &self,
        cluster: &Cluster,
        namespace: &str,
        live: &DynamicObject,
    ) -> std::result::Result<bool, Failure> {
        if live.data["data"][REPOSITORY_KEY] != STANDARD.encode(KNOWN_TO_ALL).as_str() {
            return Ok(false);
        }
        Ok(cluster.list(&REPOSITORY, Some(namespace), None).await?.is_empty())
    }

    fn unavailable(&self, main: &DynamicObject) -> Option<String> {
        let status = &main.data["status"];
        (Self::phase(main) == Some("Unavailable")).then(|| {
            let message = status["message"].as_str().unwrap_or("without a reason");
            format!("unavailable: {message}")
        })
    }
}

/// What Velero would delete at once: an error when that is the newest backup, a warning when it is older ones.
fn expired(points: &[Point], now: jiff::Timestamp) -> Result<Vec<String>> {
    let complete: Vec<&Point> = points.iter().filter(|point| point.phase == Phase::Complete && !point.safety).collect();
    let is_due = |point: &&&Point| {
        let expires = point.expires.as_deref().and_then(|expires| expires.parse::<jiff::Timestamp>().ok());
        expires.is_some_and(|expires| expires < now)
    };
    let count = complete.iter().filter(is_due).count();
    let due = counted(count, "is", "are");
    match complete.first().filter(|newest| is_due(newest)) {
        Some(newest) => Err(Diagnostics::error_at(
            Path::attribute("access"),
            "Velero would delete the backups",
            format!(
                "Of {} in the bucket {due} past the age that backups are kept for, the newest ({}) too: Velero deletes what is as \
                 soon as it sees it. Register the bucket with `access = \"read_only\"`, restore what you need, and then make it \
                 \"read_write\".",
                counted(complete.len(), "backup", "backups"),
                newest.name
            ),
        )),
        None if count > 0 => Ok(vec![format!(
            "Of {} in the bucket {due} past the age that backups are kept for, and Velero deletes what is as soon as it sees it",
            counted(complete.len(), "backup", "backups")
        )]),
        None => Ok(Vec::new()),
    }
}

/// A warning while the repositories have the password that everybody knows.
async fn default_password(cluster: &Cluster, namespace: &str) -> std::result::Result<Vec<String>, Failure> {
    let secret = match cluster.get(&Kind::SECRET, namespace, REPOSITORY_SECRET).await {
        Ok(secret) => secret,
        // Who may not read it can't be told.
        Err(crate::connections::kubernetes::ClusterError::Forbidden(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let known = STANDARD.encode(KNOWN_TO_ALL);
    let weak = secret.is_some_and(|secret| secret.data["data"][REPOSITORY_KEY] == known.as_str());
    Ok(weak
        .then(|| {
            "volumes are encrypted with Velero's default password, which everybody knows: set `repository_password` before \
             the first backup of a volume"
                .to_owned()
        })
        .into_iter()
        .collect())
}

fn unavailable(status: &Value) -> Failure {
    let message = status["message"].as_str().filter(|message| !message.is_empty()).unwrap_or("it gave no reason");
    let hint = message
        .contains("invalid top-level directories")
        .then(|| "Something else lies in the bucket: give Velero a prefix of its own with `store.prefix`".to_owned());
    Failure { message: format!("Velero can't use the bucket: {message}"), hint, blame: Blame::Store }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(name: &str, expires: &str) -> Point {
        let expires = Some(expires.to_owned());
        Point { phase: Phase::Complete, expires, ..Point::unreadable(name) }
    }

    #[test]
    fn certificates_are_named_or_held_and_never_both() {
        let connection = S3Connection { ca_pem: Some("pem".to_owned()), ..S3Connection::default() };
        let s3 = Bucket { connection: &connection, bucket: "velero", prefix: "" };
        let place = Place::Local { path: "/srv".to_owned() };
        let target = TargetArguments { name: "docs", place: &place, credentials: &Attr::Null, read_only: false };
        let storage = |by_reference| {
            let location = VeleroTarget::default().location(&target, &s3, false, by_reference);
            location["spec"]["objectStorage"].clone()
        };
        let named = json!({ "bucket": "velero", "caCertRef": { "name": "dr-docs", "key": "ca.pem" }, "caCert": null });
        assert_eq!(storage(true), named);
        assert_eq!(storage(false), json!({ "bucket": "velero", "caCert": "cGVt" }));
    }

    #[test]
    fn backups_that_velero_would_delete_at_once_are_told_before_it_sees_them() {
        let now: jiff::Timestamp = "2026-05-12T03:00:00Z".parse().unwrap();
        let (old, new) = (point("old", "2026-05-01T00:00:00Z"), point("new", "2026-06-01T00:00:00Z"));
        assert!(expired(std::slice::from_ref(&new), now).unwrap().is_empty());
        // Newest first, as a bucket is listed.
        assert_eq!(expired(&[new, old.clone()], now).unwrap().len(), 1);
        let refused = expired(&[old.clone(), old], now).unwrap_err();
        assert!(refused.0[0].detail.contains("access = \"read_only\""), "{refused:?}");
    }
}
