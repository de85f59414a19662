//! The engine's blocks in configurations, and what they open.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dr_framework::{Attr, Diagnostics, Model, Path, Result, Value};

use super::backup::PathBackup;
use super::error::EngineError;
use super::points::Series;
use super::restore::PathRestore;
use super::site::{KeptPassword, Password, Site};
use super::source::{BackupOptions, OnUnreadable};
use super::writer::Extra;
use super::{drill, folder};
use crate::engines::concepts::{
    BackupBlock, Look, OpenBackup, OpenRestore, RestoreBlock, StorageBlock, Target, TargetBlock, TargetKind,
    TargetServer,
};
use crate::engines::kubernetes::quiesce::QuiesceModel;
use crate::jobs::texts;
use crate::ledger::{LedgerStore, PathLedger, ledger_of_path};
use crate::reference::{Place, Reference};
use crate::run::Pause;
use crate::shared::Shared;
use crate::validators;

/// The engine's name.
pub const ENGINE: &str = "restic";

/// A restic-format repository.
#[derive(Model, Clone, Debug, PartialEq)]
pub struct ResticTarget {
    /// The name of the repository's password under `secrets` in the provider block.
    #[dr(required, validate = validators::reference_name)]
    pub password: Attr<String>,
    /// How long somebody else's lock is waited for.
    #[dr(default = "5m", validate = validators::duration)]
    pub lock_wait: Attr<String>,
}

/// A path to restore.
#[derive(Model, Clone, Debug, PartialEq)]
pub struct ResticRestore {
    /// What is restored: an absolute path as it was backed up.
    #[dr(required, validate = validators::path)]
    pub path: Attr<String>,
    /// Where it goes; `path` if left out. The folder it goes into has to exist.
    #[dr(optional, computed, validate = validators::path)]
    pub to: Attr<String>,
    /// What below `path` is restored, as patterns of .gitignore; everything if empty.
    #[dr(default_with = no_texts)]
    pub include: Attr<Vec<Attr<String>>>,
    /// Only points of this host count. Needed when several hosts back up the same path.
    #[dr(optional)]
    pub host: Attr<String>,
    /// Only points with all of these tags count.
    #[dr(default_with = no_texts)]
    pub tags: Attr<Vec<Attr<String>>>,
    /// What becomes of files that the point does not hold: `keep` or `delete`.
    #[dr(default = "keep", validate = validators::extra)]
    pub extra: Attr<String>,
    /// Whether the content of files that look unchanged is compared too.
    #[dr(default = false)]
    pub verify_existing: Attr<bool>,
    /// How long somebody else's lock on the repository is waited for.
    #[dr(default = "5m", validate = validators::duration)]
    pub lock_wait: Attr<String>,
}

/// Paths to back up.
#[derive(Model, Clone, Debug, PartialEq)]
pub struct ResticBackup {
    /// Absolute paths of folders and files.
    #[dr(required, validate = validators::paths)]
    pub paths: Attr<Vec<Attr<String>>>,
    /// What is left out, as patterns of .gitignore, anchored at each path.
    #[dr(default_with = no_texts)]
    pub excludes: Attr<Vec<Attr<String>>>,
    /// Tags of the recovery point.
    #[dr(default_with = no_texts)]
    pub tags: Attr<Vec<Attr<String>>>,
    /// The host that the recovery point names; this machine if left out.
    #[dr(optional)]
    pub host: Attr<String>,
    /// What happens when something can't be read or changes meanwhile: `fail` keeps what could be read as a point tagged
    /// `dr-incomplete`, which is never the newest; `warn` takes it as a backup.
    #[dr(default = "fail", validate = validators::on_unreadable)]
    pub on_unreadable: Attr<String>,
    /// Whether other file systems below the paths are left out.
    #[dr(default = false)]
    pub one_file_system: Attr<bool>,
    /// How long somebody else's lock on the repository is waited for.
    #[dr(default = "5m", validate = validators::duration)]
    pub lock_wait: Attr<String>,
}

/// An empty list of texts.
fn no_texts() -> Value {
    Value::List(Vec::new())
}

fn lock_wait(configured: &Attr<String>) -> Duration {
    let known = configured.text().and_then(|text| validators::parse_duration(text).ok());
    known.unwrap_or(Duration::from_secs(300))
}

/// The repository of a reference that stands at `path`: `None` while something that it takes is not known.
pub fn site(
    shared: &Shared,
    reference: &Reference,
    path: &Path,
    lock_wait: Duration,
    read_only: bool,
) -> Result<Option<Site>> {
    site_opened_by(shared, reference, path, (lock_wait, read_only), None)
}

/// The same, where the password may be kept elsewhere: `kept` opens it where the reference names no secret.
pub fn site_opened_by(
    shared: &Shared,
    reference: &Reference,
    path: &Path,
    (lock_wait, read_only): (Duration, bool),
    kept: Option<Arc<dyn KeptPassword>>,
) -> Result<Option<Site>> {
    let Some(place) = Place::from_reference(&reference.store, path)? else { return Ok(None) };
    let reached = shared.reach(&place, &path.clone().then("store").then("connection"))?;
    let password = match (&reference.secret, kept) {
        (Attr::Known(name), _) => shared.secret(name, &path.clone().then("secret"))?.map(Password::Known),
        (Attr::Null, Some(kept)) => Some(Password::Kept(kept)),
        (Attr::Unknown, _) => None,
        (Attr::Null, None) => {
            return Err(Diagnostics::error_at(
                path.clone().then("secret"),
                "Incomplete reference",
                "`secret` is missing: the name of the repository's password under `secrets` in the provider block.",
            ));
        }
    };
    let (Some(reached), Some(password)) = (reached, password) else { return Ok(None) };
    let expect = reference.uid.known().filter(|_| reference.kind.text() == Some("backup_target")).cloned();
    Ok(Some(Site::at(shared, reached, password, lock_wait, read_only, expect)))
}

fn no_ledger(error: &dyn std::error::Error) -> Diagnostics {
    Diagnostics::error("Unable to reach the ledger", format!("{error}."))
}

impl ResticTarget {
    /// As an import makes it.
    pub fn imported(password: &str) -> Self {
        ResticTarget { password: password.into(), lock_wait: "5m".into() }
    }
}

impl TargetBlock for ResticTarget {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn secret(&self) -> Attr<String> {
        self.password.clone()
    }

    fn kind(&self) -> TargetKind<'_> {
        TargetKind::Storage(self)
    }
}

impl StorageBlock for ResticTarget {
    fn open(&self, shared: &Shared, place: &Place, read_only: bool) -> Result<Option<Box<dyn Target>>> {
        let reached = shared.reach(place, &Path::attribute("store").then("s3"))?;
        let Some(name) = self.password.text() else { return Ok(None) };
        let password = shared.secret(name, &Path::attribute(ENGINE).then("password"))?;
        let (Some(reached), Some(password)) = (reached, password) else { return Ok(None) };
        Ok(Some(Box::new(Site::at(shared, reached, password, lock_wait(&self.lock_wait), read_only, None))))
    }
}

impl ResticRestore {
    /// Fills in what follows from other arguments, where the configuration leaves it out.
    pub fn fill(&mut self, config: &ResticRestore) {
        if config.to.is_null() {
            self.to = self.path.clone();
        }
    }

    fn site(&self, shared: &Shared, source: &Reference) -> Result<Option<Site>> {
        let read_only = source.is_read_only() || shared.is_drill();
        site(shared, source, &Path::attribute("source"), lock_wait(&self.lock_wait), read_only)
    }

    /// What the point does not hold is removed: that must not be the repository itself.
    fn spare_repository(&self, site: &Site, to: &FilePath) -> Result<()> {
        let real = |path: &FilePath| path.canonicalize().unwrap_or_else(|_| path.to_owned());
        match site.folder() {
            Some(folder) if real(to).starts_with(real(folder)) => Err(Diagnostics::error_at(
                Path::attribute(ENGINE).then("to"),
                "The destination lies inside the repository",
                format!("{} lies inside the repository {}. Restore elsewhere.", to.display(), folder.display()),
            )),
            Some(folder) if self.extra.text() == Some("delete") && real(folder).starts_with(real(to)) => {
                Err(Diagnostics::error_at(
                    Path::attribute(ENGINE).then("extra"),
                    "The repository lies inside what is restored to",
                    format!(
                        "{} lies inside {}, and `extra = \"delete\"` would remove it. Keep what is extra, or restore elsewhere.",
                        folder.display(),
                        to.display()
                    ),
                ))
            }
            _ => Ok(()),
        }
    }

    fn to(&self, shared: &Shared) -> Result<Option<PathBuf>> {
        let Some(to) = self.to.text().map(|to| shared.destination(to)).transpose()? else { return Ok(None) };
        if let Some(folder) = shared.drill_folder() {
            drill::parent(&folder, &to, false).map_err(|error| no_way(&error))?;
        }
        Ok(Some(to))
    }
}

#[async_trait]
impl RestoreBlock for ResticRestore {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn place(&self, _: &Reference) -> (Attr<String>, Attr<String>) {
        ("local".into(), self.to.clone().map(|to| to.trim_start_matches('/').to_owned()))
    }

    fn target(&self) -> Attr<String> {
        self.to.clone()
    }

    fn destination(&self, shared: &Shared, _: &Reference) -> Result<Option<String>> {
        Ok(self.to(shared)?.map(|to| to.display().to_string()))
    }

    async fn look(&self, shared: &Shared, _: &Reference, landmark: Option<&str>) -> Result<Option<Look>> {
        let Some(to) = self.to(shared)? else { return Ok(None) };
        let ledger = PathLedger::new(&to).map(|ledger| Arc::new(ledger) as Arc<dyn LedgerStore>);
        Ok(Some(Look {
            target: to.display().to_string(),
            server_uid: None,
            probe: folder::look(&to, landmark, shared.is_drill()).await,
            ledger,
        }))
    }

    fn server(&self, _: &Shared, _: &Reference) -> Result<TargetServer> {
        Ok(TargetServer::None)
    }

    fn can_quiesce(&self) -> bool {
        false
    }

    fn steps(&self, _: &Reference, _: &QuiesceModel) -> Vec<String> {
        Vec::new()
    }

    async fn pause(&self, _: &Shared, _: &Reference, _: &QuiesceModel) -> Result<Option<Box<dyn Pause>>> {
        Ok(None)
    }

    fn is_known(&self, shared: &Shared, source: &Reference) -> Result<bool> {
        Ok(self.site(shared, source)?.is_some())
    }

    fn prepare(&self, shared: &Shared) -> Result<()> {
        if let (Some(to), Some(folder)) = (self.to(shared)?, shared.drill_folder()) {
            // A drill's folders are its own to make.
            drill::parent(&folder, &to, true).map_err(|error| no_way(&error))?;
        }
        Ok(())
    }

    async fn open(&self, shared: &Shared, source: &Reference, landmark: Option<String>) -> Result<Option<OpenRestore>> {
        let (Some(site), Some(to)) = (self.site(shared, source)?, self.to(shared)?) else { return Ok(None) };
        self.spare_repository(&site, &to)?;
        let storage: Arc<dyn LedgerStore> = Arc::new(site.ledger().map_err(|error| no_ledger(&error))?);
        let may_save = !site.read_only;
        let ledger = ledger_of_path(&to, may_save.then(|| storage.clone())).map_err(|error| {
            Diagnostics::error_at(
                Path::attribute(ENGINE).then("to"),
                "Nowhere to write down that it ran",
                format!("{error}. Without a record a restore could run twice."),
            )
        })?;
        let path = self.path.text().unwrap_or_default().to_owned();
        let engine = PathRestore {
            site,
            series: Series { path: path.clone(), host: self.host.known().cloned(), tags: texts(&self.tags) },
            path: PathBuf::from(path),
            include: texts(&self.include),
            to: to.clone(),
            extra: if self.extra.text() == Some("delete") { Extra::Delete } else { Extra::Keep },
            verify_existing: self.verify_existing.known().copied().unwrap_or(false),
            file_system: landmark,
            drill: shared.drill_folder(),
        };
        let target = to.display().to_string();
        let engine = Box::new(engine);
        Ok(Some(OpenRestore { target, server_uid: None, ledger, storage, engine, may_save }))
    }
}

fn no_way(error: &EngineError) -> Diagnostics {
    Diagnostics::error_at(Path::attribute(ENGINE).then("to"), "Unable to restore in this drill", format!("{error}."))
}

impl ResticBackup {
    fn options(&self) -> BackupOptions {
        BackupOptions {
            paths: texts(&self.paths).into_iter().map(PathBuf::from).collect(),
            excludes: texts(&self.excludes),
            tags: texts(&self.tags),
            host: self.host.known().cloned(),
            on_unreadable: match self.on_unreadable.text() {
                Some("warn") => OnUnreadable::Warn,
                _ => OnUnreadable::Fail,
            },
            one_file_system: self.one_file_system.known().copied().unwrap_or(false),
            ..BackupOptions::default()
        }
    }

    fn site(&self, shared: &Shared, target: &Reference) -> Result<Option<Site>> {
        site(shared, target, &Path::attribute("target"), lock_wait(&self.lock_wait), false)
    }
}

impl BackupBlock for ResticBackup {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    /// A repository inside what it backs up would back itself up.
    fn conflicts(&self, target: &Reference) -> Diagnostics {
        let folder = target.store.known().and_then(|store| store.path.text());
        let Some(folder) = folder else { return Diagnostics::default() };
        let mut found = Diagnostics::default();
        for (index, path) in texts(&self.paths).iter().enumerate() {
            if FilePath::new(folder).starts_with(path) {
                found.extend(Diagnostics::error_at(
                    Path::attribute(ENGINE).then("paths").index(index),
                    "The target lies inside what it backs up",
                    format!("The repository {folder} lies inside {path}. Back up another folder, or put the repository elsewhere."),
                ));
            }
        }
        found
    }

    fn is_known(&self, shared: &Shared, target: &Reference) -> Result<bool> {
        Ok(self.site(shared, target)?.is_some())
    }

    fn open(&self, shared: &Shared, target: &Reference) -> Result<Option<OpenBackup>> {
        let Some(place) = Place::from_reference(&target.store, &Path::attribute("target"))? else { return Ok(None) };
        let Some(site) = self.site(shared, target)? else { return Ok(None) };
        let ledger: Arc<dyn LedgerStore> = Arc::new(site.ledger().map_err(|error| no_ledger(&error))?);
        let options = self.options();
        let beside = |path: &PathBuf| Some(Arc::new(PathLedger::new(path)?) as Arc<dyn LedgerStore>);
        let others = options.paths.iter().filter_map(beside).collect();
        let target = format!("{}/{}", place.connection(), place.scope());
        Ok(Some(OpenBackup { target, ledger, others, engine: Box::new(PathBackup { site, options }) }))
    }
}
