//! What every resource of one provider process shares: the provider block once it is configured, the redactor, and the
//! register of scopes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use dr_framework::{Diagnostics, Path, Redactor};
use tokio::sync::OwnedMutexGuard;

use crate::cache::ReadCache;
use crate::connections::kubernetes::{Cluster, Unreachable};
use crate::connections::s3::{S3Clients, S3Connection, Via};
use crate::engines::kubernetes::watch::Watches;
use crate::engines::restic::worker::Worker;
use crate::engines::velero::bucket::EndedBackups;
use crate::ledger::{LedgerError, LedgerStore, Record};
use crate::reference::Place;
use crate::scope::Register;
use crate::secret::Secret;
use crate::settings::{DEFAULT, Environment, Named, Settings, Variables, environment, variables};
use crate::waiting::WaitingSlots;
use crate::words::ended;

/// What every resource shares.
pub struct Shared {
    settings: RwLock<Option<Arc<Settings>>>,
    environment: Environment,
    variables: Variables,
    /// Keeps secrets out of what leaves.
    pub redactor: Redactor,
    /// Starts worker processes.
    pub worker: Worker,
    /// Clients of S3 servers.
    pub clients: S3Clients,
    /// The records of ledgers, by where they lie.
    records: ReadCache<String, Vec<Record>, Arc<LedgerError>>,
    /// What belongs to one resource alone.
    pub register: Register,
    /// Storage that was made or taken over by a create of this process.
    created: Mutex<BTreeSet<String>>,
    /// What was said once.
    warned: Mutex<BTreeSet<String>>,
    /// How many warnings there were under each summary.
    told: Mutex<BTreeMap<String, usize>>,
    /// What was applied since the provider was configured.
    applied: Mutex<BTreeSet<String>>,
    /// Who writes or removes an object, by its name.
    turns: Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// The waiting slots of this process.
    pub waiting: WaitingSlots,
    clusters: Mutex<Clusters>,
    /// Velero's backups that were read before.
    pub ended_backups: Arc<EndedBackups>,
    /// Those who wait for objects of clusters.
    pub watches: Watches,
}

/// The clusters of this process by name, and whether its first apply began.
#[derive(Default)]
struct Clusters {
    known: BTreeMap<String, Cluster>,
    applying: bool,
}

/// A place that can be reached.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "there is one of it for each call")]
pub enum Reached {
    /// A folder.
    Local {
        /// Absolute and clean.
        path: PathBuf,
    },
    /// A prefix of a bucket.
    S3 {
        /// The server, and who we are there.
        connection: S3Connection,
        /// The bucket.
        bucket: String,
        /// The prefix; empty for the whole bucket.
        prefix: String,
    },
}

impl Reached {
    /// The same text for the same place, without secrets.
    pub fn place(&self) -> String {
        match self {
            Reached::Local { path } => path.display().to_string(),
            Reached::S3 { connection, bucket, prefix } => format!("{} {bucket}/{prefix}", connection.server_name()),
        }
    }
}

impl Shared {
    /// Nothing is configured yet.
    pub fn new(redactor: Redactor) -> Self {
        Shared {
            settings: RwLock::default(),
            environment,
            variables,
            redactor,
            worker: Worker::default(),
            clients: S3Clients::default(),
            records: ReadCache::default(),
            register: Register::default(),
            created: Mutex::default(),
            warned: Mutex::default(),
            told: Mutex::default(),
            applied: Mutex::default(),
            turns: Mutex::default(),
            waiting: WaitingSlots::default(),
            clusters: Mutex::default(),
            ended_backups: Arc::default(),
            watches: Watches::default(),
        }
    }

    /// Takes the provider block.
    pub fn configure(&self, settings: Settings) {
        self.register.clear();
        for of_a_run in [&self.applied, &self.created] {
            of_a_run.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.clusters().known.clear();
        self.ended_backups.clear();
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(settings));
    }

    /// Notes that a create made or took over what has this uid, or the image that is called so.
    pub fn took_over(&self, uid: &str) {
        self.created.lock().unwrap_or_else(PoisonError::into_inner).insert(uid.to_owned());
    }

    /// Takes back what [`Shared::took_over`] noted.
    pub fn gave_up(&self, uid: &str) {
        self.created.lock().unwrap_or_else(PoisonError::into_inner).remove(uid);
    }

    /// Whether a create of this process made or took that over.
    pub fn was_taken_over(&self, uid: &str) -> bool {
        self.created.lock().unwrap_or_else(PoisonError::into_inner).contains(uid)
    }

    /// The turn at what goes by that name, until the guard is dropped: one resource writes it, or removes it, at a time.
    pub async fn turn(&self, what: &str) -> OwnedMutexGuard<()> {
        let turn =
            self.turns.lock().unwrap_or_else(PoisonError::into_inner).entry(what.to_owned()).or_default().clone();
        turn.lock_owned().await
    }

    /// The provider block; `None` before it is configured, as while validating.
    pub fn settings(&self) -> Option<Arc<Settings>> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether this is the first time in this process that something of which one warning is enough is to be said.
    pub fn warns_first(&self, what: &str) -> bool {
        self.warned.lock().unwrap_or_else(PoisonError::into_inner).insert(what.to_owned())
    }

    /// Counts the warnings under a summary, this one among them.
    pub fn times_told(&self, summary: &str) -> usize {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let count = told.entry(summary.to_owned()).or_default();
        *count += 1;
        *count
    }

    /// Whether this is the first apply of this run to what goes by that name.
    pub fn applies_first(&self, what: &str) -> bool {
        self.applied.lock().unwrap_or_else(PoisonError::into_inner).insert(what.to_owned())
    }

    /// The S3 connections of the provider block that are known, by name.
    pub fn s3_connections(&self) -> Vec<(String, S3Connection)> {
        let Some(settings) = self.settings() else { return Vec::new() };
        let known = |name: String| match self.s3(&settings, &name, &Path::default()) {
            Ok(Named::Known(connection)) => Some((name, connection)),
            _ => None,
        };
        settings.s3_names().into_iter().filter_map(known).collect()
    }

    /// What a resource does while the server behind this Kubernetes connection can't be reached.
    pub fn unreachable(&self, connection: &str) -> Unreachable {
        let cluster = self.cluster(connection, &Path::default());
        cluster.ok().flatten().map_or(Unreachable::Fail, |cluster| cluster.unreachable())
    }

    /// Whether this is a drill.
    pub fn is_drill(&self) -> bool {
        self.settings().is_some_and(|settings| settings.is_drill())
    }

    /// Whether a drill may touch the server behind this connection.
    pub fn drill_names(&self, connection: &str) -> bool {
        let settings = self.settings();
        let drill = settings.as_ref().and_then(|settings| settings.drill.known());
        let named = drill.and_then(|drill| drill.connections.known());
        named.is_some_and(|named| {
            named.iter().any(|name| matches!(name.text(), Some(name) if name == "*" || name == connection))
        })
    }

    /// The folder below which a drill restores paths; `None` outside of drills.
    pub fn drill_folder(&self) -> Option<PathBuf> {
        let settings = self.settings().filter(|settings| settings.is_drill())?;
        Some(settings.drill.known()?.path.text()?.into())
    }

    /// Where a path is restored to: itself, or below the drill's folder in a drill.
    pub fn destination(&self, to: &str) -> Result<PathBuf, Diagnostics> {
        if !self.is_drill() {
            return Ok(PathBuf::from(to));
        }
        match self.drill_folder() {
            Some(folder) => Ok(folder.join(to.trim_start_matches('/'))),
            None => Err(Diagnostics::error(
                "This drill restores no paths",
                "Set `drill = { path = \"/var/tmp/drill\" }` in the provider block: paths are restored below it.",
            )),
        }
    }

    /// How a place is reached: `None` while its connection is not known. `path` is the attribute that names it.
    pub fn reach(&self, place: &Place, path: &Path) -> Result<Option<Reached>, Diagnostics> {
        let (name, bucket, prefix) = match place {
            Place::Local { path } => return Ok(Some(Reached::Local { path: path.into() })),
            Place::S3 { connection, bucket, prefix } => (connection, bucket.clone(), prefix.clone()),
        };
        let Some(settings) = self.settings() else { return Ok(None) };
        match self.s3(&settings, name, path)? {
            Named::Known(connection) => {
                let connection = S3Connection { name: Some(name.clone()), ..connection };
                Ok(Some(Reached::S3 { connection, bucket, prefix }))
            }
            Named::Unknown => Ok(None),
            Named::Absent(known) => {
                Err(Diagnostics::error_at(path.clone(), "Unknown connection", absent("S3", name, &known)))
            }
        }
    }

    /// The S3 connection of that name, with the cluster on the way to it: unknown while that one is.
    fn s3(&self, settings: &Settings, name: &str, path: &Path) -> Result<Named<S3Connection>, Diagnostics> {
        let found = settings.s3(name, self.environment);
        let found = found.map_err(|why| Diagnostics::error_at(path.clone(), "Unusable connection", ended(why)))?;
        let (connection, route) = match found {
            Named::Known(known) => known,
            Named::Unknown => return Ok(Named::Unknown),
            Named::Absent(known) => return Ok(Named::Absent(known)),
        };
        self.learn(&connection);
        let Some(route) = route else { return Ok(Named::Known(connection)) };
        Ok(match self.cluster(&route.kubernetes, &route.path)? {
            Some(cluster) => {
                let via = Some(Via { cluster, service: route.service });
                Named::Known(S3Connection { via, ..connection })
            }
            None => Named::Unknown,
        })
    }

    /// The cluster of that name, always the same one: `None` while its connection is not known. `path` is the attribute
    /// that names it.
    pub fn cluster(&self, name: &str, path: &Path) -> Result<Option<Cluster>, Diagnostics> {
        let Some(settings) = self.settings() else { return Ok(None) };
        match settings.kubernetes(name, self.environment) {
            Ok(Named::Known((name, connection))) => {
                let mut clusters = self.clusters();
                let applying = clusters.applying;
                let made = || {
                    let cluster = Cluster::new(&name, connection, self.redactor.clone(), self.waiting.clone());
                    if applying {
                        cluster.apply_begins();
                    }
                    cluster
                };
                Ok(Some(clusters.known.entry(name.clone()).or_insert_with(made).clone()))
            }
            Ok(Named::Unknown) => Ok(None),
            Ok(Named::Absent(known)) => {
                Err(Diagnostics::error_at(path.clone(), "Unknown connection", absent("Kubernetes", name, &known)))
            }
            Err(why) => Err(Diagnostics::error_at(
                path.clone(),
                "Unusable connection",
                format!("The Kubernetes connection `{name}` can't be used: {why}."),
            )),
        }
    }

    /// The first apply of the process begins: what was read for refresh is stale from now on.
    pub fn apply_begins(&self) {
        self.clients.apply_begins();
        self.records.end();
        let mut clusters = self.clusters();
        clusters.applying = true;
        clusters.known.values().for_each(Cluster::apply_begins);
    }

    /// The records of a ledger for a refresh, read once however many jobs keep theirs there.
    pub async fn records(&self, ledger: &dyn LedgerStore) -> Result<Arc<Vec<Record>>, Arc<LedgerError>> {
        self.records.get(&ledger.describe(), async || ledger.list().await.map_err(Arc::new)).await
    }

    fn clusters(&self) -> std::sync::MutexGuard<'_, Clusters> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The secret of that name: `None` while it is not known. `path` is the attribute that names it.
    pub fn secret(&self, name: &str, path: &Path) -> Result<Option<Secret>, Diagnostics> {
        let Some(settings) = self.settings() else { return Ok(None) };
        match settings.secret(name, self.environment, self.variables) {
            Named::Known(secret) if secret.expose().is_empty() => {
                Err(Diagnostics::error_at(path.clone(), "Empty secret", format!("The secret `{name}` is empty.")))
            }
            Named::Known(secret) => {
                self.redactor.learn(secret.expose());
                Ok(Some(secret))
            }
            Named::Unknown => Ok(None),
            Named::Absent(_) if settings.secret_is_null(name) => Err(Diagnostics::error_at(
                path.clone(),
                "A secret without a value",
                format!(
                    "The secret `{name}` is null under `secrets` in the provider block, and DR_SECRET_{} is not set in the \
                     environment. Give it a value in one of them: a variable that nobody set is null.",
                    name.to_ascii_uppercase()
                ),
            )),
            Named::Absent(known) => Err(Diagnostics::error_at(
                path.clone(),
                "Unknown secret",
                format!(
                    // Who takes this for the secret itself must not read it in a log.
                    "There is no secret of this name: neither under `secrets` in this provider block nor in the environment, as \
                     DR_SECRET_ with the name in capitals{}. The name is wanted here, not the secret itself. A reference has to be \
                     used with the provider that made it.",
                    list(&known)
                ),
            )),
        }
    }

    /// The names of the secrets that there are: under `secrets`, and in the environment.
    pub fn secret_names(&self) -> Vec<String> {
        self.settings().map(|settings| settings.secret_names(self.variables)).unwrap_or_default()
    }

    /// The store and the prefix that a place takes for itself: two connections to one server are one store.
    pub fn exclusive(&self, place: &Place) -> (String, String) {
        match place {
            Place::Local { path } => {
                let path = real(path.as_ref()).display().to_string();
                ("local".to_owned(), path.trim_start_matches('/').to_owned())
            }
            Place::S3 { connection, bucket, prefix } => {
                let settings = self.settings();
                let known = settings.and_then(|settings| match self.s3(&settings, connection, &Path::default()) {
                    Ok(Named::Known(S3Connection { endpoint: None, region, .. })) => Some(region),
                    Ok(Named::Known(connection)) => Some(connection.server_name()),
                    _ => None,
                });
                (format!("{} {bucket}", known.as_deref().unwrap_or(connection)), prefix.clone())
            }
        }
    }

    fn learn(&self, connection: &S3Connection) {
        for secret in connection.secret_access_key.iter().chain(&connection.session_token) {
            self.redactor.learn(secret.expose());
        }
    }
}

/// The path without symbolic links, as far as it exists: two names of one folder are one place.
pub fn real(path: &std::path::Path) -> std::path::PathBuf {
    let exists = path.ancestors().find_map(|ancestor| Some((ancestor, ancestor.canonicalize().ok()?)));
    match exists.and_then(|(ancestor, real)| Some(real.join(path.strip_prefix(ancestor).ok()?))) {
        // Nothing is left of a path that exists, and to join that leaves a slash at the end.
        Some(real) => real.components().collect(),
        None => path.to_owned(),
    }
}

/// That a connection has no such name, for people.
fn absent(kind: &str, name: &str, known: &[String]) -> String {
    let known = list(known);
    match name {
        DEFAULT => format!(
            "There is no {kind} connection `{name}` in this provider block{known}, and where none is named that one is meant. \
             Name one."
        ),
        _ => format!(
            "There is no {kind} connection `{name}` in this provider block{known}. A reference has to be used with the provider \
             that made it."
        ),
    }
}

fn list(known: &[String]) -> String {
    if known.is_empty() { " (there are none)".to_owned() } else { format!(" (known: {})", known.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::PathLedger;
    use crate::scope::overlap;

    #[test]
    fn b8_a_folder_that_exists_holds_what_is_in_it_and_beside_it_lies_its_ledger() {
        let folder = tempfile::tempdir().unwrap();
        let shared = Shared::new(Redactor::default());
        let prefix = |name: &str| {
            let path = folder.path().join(name).display().to_string();
            shared.exclusive(&Place::Local { path }).1
        };
        std::fs::create_dir(folder.path().join("docs")).unwrap();
        std::os::unix::fs::symlink("docs", folder.path().join("link")).unwrap();
        assert_eq!(prefix("docs"), prefix("link"));
        assert!(overlap(&prefix("docs"), &prefix("docs/deep")));
        assert_eq!(format!("{}.dr", prefix("docs")), prefix("docs.dr"));
        assert!(!overlap(&prefix("docs"), &prefix("docs2")));
    }

    #[test]
    fn a_secret_that_is_null_is_said_to_be_without_a_value() {
        let shared = Shared::new(Redactor::default());
        let secrets = [("docs_repo".to_owned(), dr_framework::Attr::Null), ("wiki".to_owned(), "x".into())];
        shared.configure(Settings {
            kubernetes: dr_framework::Attr::Null,
            s3: dr_framework::Attr::Null,
            secrets: dr_framework::Attr::Known(secrets.into()),
            mode: dr_framework::Attr::Null,
            drill: dr_framework::Attr::Null,
        });
        let of = |name: &str| shared.secret(name, &Path::attribute("password")).err().map(|found| found.0[0].clone());
        let null = of("docs_repo").unwrap();
        assert!(null.summary == "A secret without a value" && null.detail.contains("DR_SECRET_DOCS_REPO"), "{null:?}");
        let absent = of("docs").unwrap();
        assert!(absent.detail.contains("(known: wiki)"), "{absent:?}");
    }

    #[test]
    fn warnings_under_one_summary_are_counted() {
        let shared = Shared::new(Redactor::default());
        assert_eq!(["docs", "docs", "wiki"].map(|summary| shared.times_told(summary)), [1, 2, 1]);
    }

    #[tokio::test]
    async fn a_refresh_reads_the_records_of_a_ledger_once_and_an_apply_never_uses_those() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = || PathLedger::new(&folder.path().join("docs")).unwrap();
        let runs = folder.path().join(".docs.dr/runs");
        std::fs::create_dir_all(&runs).unwrap();
        let shared = Shared::new(Redactor::default());
        assert!(shared.records(&ledger()).await.unwrap().is_empty());
        // From now on reading it fails.
        std::fs::write(runs.join("1.json"), "torn").unwrap();
        assert!(shared.records(&ledger()).await.unwrap().is_empty());
        shared.apply_begins();
        assert!(shared.records(&ledger()).await.is_err());
    }
}
