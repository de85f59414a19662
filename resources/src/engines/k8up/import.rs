//! What an import finds in a cluster: the Secret of a repository, or a Schedule, as a configuration would say it.

use dr_framework::{Attr, Diagnostics, Path};
use serde_json::Value;

use super::ENGINE;
use super::archive::Archive;
use super::backend::{self, CA_KEY, endpoint_of, said};
use super::opener::{Entry, Opener};
use super::orders::{BACKUP, RESTORE};
use super::schedule::{K8upSchedule, RUNS, SCHEDULE, in_zone};
use super::target::{ExistingSecret, K8upTarget};
use crate::connections::kubernetes::{Cluster, Kind};
use crate::connections::s3::S3Connection;
use crate::cron::Cron;
use crate::engines::concepts::{ImportedSchedule, ImportedTarget, ScheduleArguments};
use crate::engines::kubernetes::imported::{self, held, keys_named, read, refuse_unsaid, zoned};
use crate::engines::kubernetes::imported_repository::{RepositorySecret, refuse};
use crate::engines::kubernetes::safety::is_beside;
use crate::engines::kubernetes::store_keys::Keys;
use crate::reference::Place;
use crate::retention_policy::KeepModel;
use crate::shared::Shared;
use crate::words::ended;

/// What says where a repository is, beside Schedules.
const ONCE: [Kind; 5] = [
    BACKUP,
    Kind::namespaced("k8up.io", "v1", "Check", "checks"),
    Kind::namespaced("k8up.io", "v1", "Prune", "prunes"),
    Kind::namespaced("k8up.io", "v1", "Archive", "archives"),
    RESTORE,
];

/// How many daily points k8up keeps when nobody says a number.
const USUAL_DAYS: i64 = 14;

/// A bucket, as objects of k8up's say it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Location {
    endpoint: String,
    /// With the prefix.
    bucket: String,
}

impl Location {
    /// Out of `s3` of a backend; what the first backend leaves out, the next one says.
    fn of(backends: &[&Value]) -> Self {
        let text = |field: &str| said(backends, field).unwrap_or_default().trim_end_matches('/').to_owned();
        Location { endpoint: text("/s3/endpoint"), bucket: text("/s3/bucket") }
    }

    /// The connection that leads there, and the place.
    fn place(&self, known: &[(String, S3Connection)]) -> Option<(Place, S3Connection)> {
        let (name, connection) = known.iter().find(|(_, connection)| endpoint_of(connection) == self.endpoint)?;
        let (bucket, prefix) = self.bucket.split_once('/').unwrap_or((&self.bucket, ""));
        let place = Place::S3 { connection: name.clone(), bucket: bucket.to_owned(), prefix: prefix.to_owned() };
        (!bucket.is_empty()).then(|| (place, connection.clone()))
    }
}

/// Where an object says that the repository is which this Secret opens. A kind of runs may have a backend of its own, which
/// takes from that of the Schedule what it leaves out.
fn locations(spec: &Value, secret: &str) -> Vec<Location> {
    let whole = &spec["backend"];
    let own = spec.as_object().into_iter().flatten().map(|(_, runs)| &runs["backend"]).filter(|own| !own.is_null());
    let backends = std::iter::once(vec![whole]).chain(own.map(|own| vec![own, whole]));
    let opened = backends.filter(|backends| said(backends, "/repoPasswordSecretRef/name") == Some(secret));
    opened.map(|backends| Location::of(&backends)).filter(|location| !is_beside(&location.bucket)).collect()
}

/// Where the repository of a Secret is, and which object says it: k8up has none of its own for a repository.
async fn location_of(cluster: &Cluster, secret: &RepositorySecret) -> Result<(Location, String), Diagnostics> {
    let (namespace, name) = (secret.namespace(), secret.name());
    for kinds in [&[SCHEDULE][..], &ONCE] {
        let mut found = Vec::new();
        for kind in kinds {
            let objects = cluster.list(kind, Some(namespace), None).await.map_err(|error| refuse(ended(error)))?;
            for object in objects {
                let by = kind.called(namespace, object.metadata.name.as_deref().unwrap_or_default());
                let locations = locations(&object.data["spec"], &name);
                found.extend(locations.into_iter().map(|location| (location, by.clone())));
            }
        }
        if let Some(agreed) = agreed(found, &secret.called())? {
            return Ok(agreed);
        }
    }
    Err(refuse(format!(
        "k8up has no object for a repository, and no Schedule, Backup, Check, Prune, Archive or Restore in namespace \
         `{namespace}` names {} in `spec.backend.repoPasswordSecretRef`, so nothing says where it is. Apply the configuration \
         without an import: a Secret that this provider made is taken over, and an `existing_secret` is never written.",
        secret.called()
    )))
}

/// The place that all of them say.
fn agreed(found: Vec<(Location, String)>, secret: &str) -> Result<Option<(Location, String)>, Diagnostics> {
    let mut found = found.into_iter();
    let Some((location, by)) = found.next() else { return Ok(None) };
    match found.find(|(other, _)| *other != location) {
        None => Ok(Some((location, by))),
        Some((_, other)) => Err(refuse(format!(
            "{by} and {other} open repositories in two places with the password of {secret}, and a target has one: make them \
             agree, or give each a Secret of its own."
        ))),
    }
}

/// The target of a repository Secret; nothing is changed. Its scope is a namespace, where the Secret is `dr-<name>`, or
/// `namespace/secret`, where it is somebody else's, or the four keys in the place of the Secret.
pub async fn target(
    shared: &Shared,
    cluster: &Cluster,
    scope: &str,
    name: &str,
) -> Result<ImportedTarget<K8upTarget>, Diagnostics> {
    let secret = RepositorySecret::named(cluster, ENGINE, scope, name).await?;
    let opener = opener_of(&secret)?;
    let (location, by) = location_of(cluster, &secret).await?;
    target_at(shared, cluster, (&secret, &opener), &location, &by).await
}

fn opener_of(secret: &RepositorySecret) -> Result<Opener, Diagnostics> {
    match secret.foreign() {
        None => Ok(Opener::in_one(&secret.name())),
        Some(text) => Opener::parse(text).ok_or_else(|| {
            refuse(format!(
                "{text:?} is neither the name of a Secret nor `<Secret>:<key>` four times, with commas between them: of the \
                 password, of the id and of the secret of the bucket's key, and of the certificates."
            ))
        }),
    }
}

/// What opens the repository of a Schedule, as its backend says it. What it leaves out is called as usual.
fn said_opener(backend: &Value, secret: &str) -> Opener {
    let usual = Opener::in_one(secret);
    let entry = |pointer: &str, usual: &Entry| {
        let text = |field: &str| said(&[backend], &format!("{pointer}/{field}"));
        Entry::new(text("name").unwrap_or(secret), text("key").unwrap_or(&usual.key))
    };
    Opener {
        password: entry("/repoPasswordSecretRef", &usual.password),
        id: entry("/s3/accessKeyIDSecretRef", &usual.id),
        secret: entry("/s3/secretAccessKeySecretRef", &usual.secret),
        ca: usual.ca,
    }
}

/// The target of a Secret, and of what else opens its repository, which is where an object says.
async fn target_at(
    shared: &Shared,
    cluster: &Cluster,
    (secret, opener): (&RepositorySecret, &Opener),
    location: &Location,
    by: &str,
) -> Result<ImportedTarget<K8upTarget>, Diagnostics> {
    let (id_key, secret_key) = (&opener.id.key, &opener.secret.key);
    let connections = secret.connections(shared, id_key, secret_key);
    let (place, connection) = location.place(&connections).ok_or_else(|| {
        refuse(format!(
            "`spec.backend.s3` of {by} leads to no S3 connection in the provider block: neither to the `engine_endpoint` of one, nor to \
             the `endpoint` of one without."
        ))
    })?;
    for entry in opener.needed(connection.ca_pem.is_some()) {
        let held = match entry.secret == secret.name() {
            true => secret.held(&entry.key),
            false => held(&read(cluster, &Kind::SECRET, secret.namespace(), &entry.secret).await?, &entry.key),
        };
        if held.is_none() {
            return Err(refuse(format!(
                "{} holds no `{}`. Beside the password and the bucket's key, a target needs the certificates of a connection \
                 that has some of its own, under `{CA_KEY}` in the Secret of the password, or where the import id says.",
                Kind::SECRET.called(secret.namespace(), &entry.secret),
                entry.key
            )));
        }
    }
    Ok(ImportedTarget {
        place,
        credentials: secret.credentials(shared, &connection, id_key, secret_key).into(),
        read_only: false,
        uid: secret.uid(),
        block: K8upTarget {
            cluster: cluster.name().into(),
            namespace: secret.namespace().into(),
            password: secret.password(shared, &opener.password.key)?.into(),
            password_wo: Attr::Null,
            password_wo_version: Attr::Null,
            existing_secret: secret.foreign().map(|_| ExistingSecret::of(opener)).into(),
            force_conflicts: Attr::Known(false),
        },
    })
}

/// The schedule of a Schedule; nothing is changed. What `dr_backup_schedule` can't say is refused.
pub async fn schedule(
    shared: &Shared,
    cluster: &Cluster,
    namespace: &str,
    name: &str,
) -> Result<ImportedSchedule<K8upSchedule>, Diagnostics> {
    let object = read(cluster, &SCHEDULE, namespace, name).await?;
    let called = SCHEDULE.called(namespace, name);
    let spec = &object.data["spec"];
    let (time_zone, cron) = lines(spec, &called)?;
    let secret = said(&[&spec["backend"]], "/repoPasswordSecretRef/name");
    let secret = secret.ok_or_else(|| {
        refuse(format!(
            "{called} names no Secret in `spec.backend.repoPasswordSecretRef`, so its repository has no target."
        ))
    })?;
    let opener = said_opener(&spec["backend"], secret);
    let mut secret = RepositorySecret::used(cluster, namespace, secret).await?;
    if opener != Opener::in_one(&secret.name()) {
        secret = secret.opened_by(&opener.to_string());
    }
    let location = Location::of(&[&spec["backend"]]);
    let target = target_at(shared, cluster, (&secret, &opener), &location, &called).await?;
    let archive = match line_of(spec, "archive") {
        Some(line) => Attr::Known(archive(shared, cluster, namespace, &called, line, &spec["archive"]).await?),
        None => Attr::Null,
    };
    let found = ImportedSchedule {
        target: secret.reference(cluster, ENGINE, &target.place, target.block.password).await?,
        cron: cron.as_str().to_owned(),
        time_zone,
        keep: line_of(spec, "prune").map(|_| keep(&spec["prune"]["retention"])),
        paused: false,
        uid: object.metadata.uid.clone().unwrap_or_default(),
        block: K8upSchedule::imported(spec, archive),
    };
    refuse_unsaid(&called, "dr_backup_schedule", &unsaid(spec, &written(shared, &found, &cron, name)?))?;
    Ok(found)
}

fn line_of<'a>(spec: &'a Value, runs: &str) -> Option<&'a str> {
    spec[runs]["schedule"].as_str().filter(|line| !line.is_empty())
}

/// The zone and the line of the backups. The lines of other runs are tried as well.
fn lines(spec: &Value, called: &str) -> Result<(Option<String>, Cron), Diagnostics> {
    let read = |runs: &str| -> Result<_, Diagnostics> {
        let Some((zone, cron)) = line_of(spec, runs).map(zoned) else { return Ok(None) };
        let cron = Cron::parse(cron)
            .map_err(|error| refuse(format!("`spec.{runs}.schedule` of {called} can't be said here: {error}.")))?;
        Ok(Some((zone, cron)))
    };
    let backups = read("backup")?;
    for runs in RUNS {
        read(runs)?;
    }
    backups.ok_or_else(|| {
        refuse(format!(
            "{called} has no `spec.backup`: one that rests does not say when it runs, and one for other runs alone is no \
             schedule of backups. Apply the configuration without an import: what this provider made is taken over."
        ))
    })
}

/// What k8up keeps, as a policy says it.
fn keep(retention: &Value) -> KeepModel {
    let count = |rule: &str| -> Attr<i64> { retention[rule].as_i64().filter(|count| *count > 0).into() };
    KeepModel {
        keep_last: count("keepLast"),
        keep_hourly: count("keepHourly"),
        keep_daily: count("keepDaily").or(Attr::Known(USUAL_DAYS)),
        keep_weekly: count("keepWeekly"),
        keep_monthly: count("keepMonthly"),
        keep_yearly: count("keepYearly"),
        ..KeepModel::default()
    }
}

/// Where archives go, as a configuration says it.
async fn archive(
    shared: &Shared,
    cluster: &Cluster,
    namespace: &str,
    called: &str,
    line: &str,
    runs: &Value,
) -> Result<Archive, Diagnostics> {
    let method = &runs["restoreMethod"];
    let location = Location::of(&[method]);
    let (place, connection) = location.place(&shared.s3_connections()).ok_or_else(|| {
        refuse(format!("`spec.archive.restoreMethod.s3` of {called} leads to no S3 connection in the provider block."))
    })?;
    let id = key(cluster, namespace, &method["s3"]["accessKeyIDSecretRef"]).await?;
    let secret = key(cluster, namespace, &method["s3"]["secretAccessKeySecretRef"]).await?;
    let are_held = |keys: &Keys| {
        id.as_deref() == Some(keys.id.as_bytes()) && secret.as_deref() == Some(keys.secret.expose().as_bytes())
    };
    let credentials = keys_named(shared, &connection, are_held).ok_or_else(|| {
        refuse(format!(
            "The keys in `spec.archive.restoreMethod.s3` of {called} are none of the provider's `secrets`, nor those of the \
             connection: put them there first, as `<access key id>:<secret access key>`."
        ))
    })?;
    Ok(Archive {
        cron: zoned(line).1.into(),
        s3: place.connection().into(),
        bucket: location.bucket.split('/').next().unwrap_or_default().into(),
        credentials: credentials.into(),
    })
}

/// What a reference to a key of a Secret leads to.
async fn key(cluster: &Cluster, namespace: &str, reference: &Value) -> Result<Option<Vec<u8>>, Diagnostics> {
    let (Some(name), Some(key)) = (reference["name"].as_str(), reference["key"].as_str()) else { return Ok(None) };
    Ok(held(&read(cluster, &Kind::SECRET, namespace, name).await?, key))
}

/// The spec that a configuration of what was found would write.
fn written(
    shared: &Shared,
    found: &ImportedSchedule<K8upSchedule>,
    cron: &Cron,
    name: &str,
) -> Result<Value, Diagnostics> {
    let open = || refuse("The connections of the provider block are not known yet.".to_owned());
    let (target, path) = (&found.target, Path::attribute("target"));
    let opener = Opener::of(target).ok_or_else(open)?;
    let backend = backend::of(shared, target, &path, &opener)?.ok_or_else(open)?;
    let archive = match found.block.archive.known() {
        Some(archive) => Some(archive.open(shared, name)?.ok_or_else(open)?),
        None => None,
    };
    let keep = match &found.keep {
        Some(keep) => keep.keep(&Path::attribute("retention"))?,
        None => None,
    };
    let arguments = ScheduleArguments {
        name,
        target,
        cron,
        time_zone: found.time_zone.as_deref(),
        keep: keep.as_ref(),
        paused: false,
    };
    Ok(found.block.body(&arguments, &backend, archive.as_ref())["spec"].take())
}

/// The fields of a spec that the written one has not, or has otherwise. Other spellings of lines and addresses are no
/// difference: the plan shows what becomes of them.
fn unsaid(spec: &Value, written: &Value) -> Vec<String> {
    let mut spec = spec.clone();
    for runs in RUNS {
        if let Some(line) = line_of(&spec, runs) {
            let (zone, cron) = zoned(line);
            spec[runs]["schedule"] = in_zone(cron, zone.as_deref()).into();
        }
    }
    for address in ["/backend/s3/endpoint", "/backend/s3/bucket", "/archive/restoreMethod/s3/endpoint"] {
        if let Some(Value::String(address)) = spec.pointer_mut(address) {
            address.truncate(address.trim_end_matches('/').len());
        }
    }
    imported::unsaid(&spec, written)
}

#[cfg(test)]
mod tests;
