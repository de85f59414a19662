//! The engine's blocks in configurations, and what they open.

use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dr_framework::{Attr, Diagnostic, Diagnostics, Model, Path, Result, Value};

use super::backup::PathBackup;
use super::error::EngineError;
use super::points::{SAFETY_TAG, Series};
use super::restore::{PathRestore, RUN_TAG};
use super::site::{KeptPassword, Password, Site};
use super::source::{self, BackupOptions, INCOMPLETE_TAG, OnUnreadable};
use super::worker::Location;
use super::writer::{Extra, kept_around};
use super::{drill, folder};
use crate::engines::concepts::{
    BackupBlock, Look, OpenBackup, OpenRestore, RestoreBlock, StorageBlock, Target, TargetBlock, TargetKind,
    TargetServer,
};
use crate::engines::kubernetes::quiesce::QuiesceModel;
use crate::jobs::texts;
use crate::ledger::{self, LedgerStore, PathLedger, ledger_of_path};
use crate::reference::{Place, Reference};
use crate::run::{self, Pause};
use crate::shared::{Shared, real};
use crate::validators;
use crate::words::ended;

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
    #[dr(default_with = no_texts, validate = patterns)]
    pub include: Attr<Vec<Attr<String>>>,
    /// Only points of this host count. Needed when several hosts back up the same path.
    #[dr(optional, validate = host)]
    pub host: Attr<String>,
    /// Only points with all of these tags count.
    #[dr(default_with = no_texts, validate = tags)]
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
    #[dr(default_with = no_texts, validate = patterns)]
    pub excludes: Attr<Vec<Attr<String>>>,
    /// Tags of the recovery point. `dr-incomplete`, `dr-safety` and what begins with `dr-run-` are the provider's own.
    #[dr(default_with = no_texts, validate = own_tags)]
    pub tags: Attr<Vec<Attr<String>>>,
    /// The host that the recovery point names; this machine if left out.
    #[dr(optional, validate = host)]
    pub host: Attr<String>,
    /// What happens when something can't be read or changes meanwhile: `fail` keeps what could be read as a point tagged
    /// `dr-incomplete`, which is never the newest; `warn` takes it as a backup. What holds nothing is always such a point.
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

/// Calls `judge` with each text of a list that is known, and puts what it says at its place.
fn each_text(value: &Value, path: &Path, judge: impl Fn(&str) -> Option<(&'static str, String)>) -> Vec<Diagnostic> {
    let Value::List(values) = value else { return Vec::new() };
    let wrong = values.iter().enumerate().filter_map(|(index, value)| match value {
        Value::String(text) => judge(text).map(|found| (index, found)),
        _ => None,
    });
    wrong.map(|(index, (summary, detail))| Diagnostic::error(summary, detail).at(path.clone().index(index))).collect()
}

/// Patterns that mean something.
fn patterns(value: &Value, path: &Path) -> Vec<Diagnostic> {
    each_text(value, path, |pattern| {
        let problem = source::pattern_problem(pattern)?;
        Some(("Unusable pattern", format!("{pattern:?} is no pattern of .gitignore: {problem}.")))
    })
}

fn tag_problem(tag: &str) -> Option<(&'static str, String)> {
    let problem = match tag {
        "" => "it is empty",
        tag if tag.contains(',') => "restic takes a comma for the end of a tag: write two",
        _ => return None,
    };
    Some(("Unusable tag", format!("{tag:?} can't be a tag: {problem}.")))
}

/// Tags as restic has them.
fn tags(value: &Value, path: &Path) -> Vec<Diagnostic> {
    each_text(value, path, tag_problem)
}

/// Tags that a user may give: others say what a point is good for.
fn own_tags(value: &Value, path: &Path) -> Vec<Diagnostic> {
    each_text(value, path, |tag| {
        let reserved = [INCOMPLETE_TAG, SAFETY_TAG].contains(&tag) || tag.starts_with(RUN_TAG);
        let meaning =
            "the provider's own, and says what a point is good for: one that bears it may never be restored by itself";
        tag_problem(tag).or_else(|| reserved.then(|| ("Reserved tag", format!("{tag:?} is {meaning}."))))
    })
}

/// A host that can be named.
fn host(value: &Value, path: &Path) -> Vec<Diagnostic> {
    match value {
        Value::String(name) if name.trim().is_empty() => {
            vec![Diagnostic::error("Unusable host", "The name is empty. Leave `host` out instead.").at(path.clone())]
        }
        _ => Vec::new(),
    }
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

/// The ledger in the storage that a reference names; nothing of it is opened.
pub fn ledger_in_storage(shared: &Shared, reference: &Reference, path: &Path) -> Result<Option<Arc<dyn LedgerStore>>> {
    if reference.store.is_null() {
        return Ok(None);
    }
    let Some(place) = Place::from_reference(&reference.store, path)? else { return Ok(None) };
    let reached = shared.reach(&place, &path.clone().then("store").then("connection"))?;
    let ledger = reached.map(|reached| Location::from(reached).run_ledger(&shared.clients)).transpose();
    Ok(ledger.map_err(|error| no_ledger(&error))?.map(|ledger| Arc::new(ledger) as _))
}

fn no_ledger(error: &dyn std::error::Error) -> Diagnostics {
    Diagnostics::error("Unable to reach the ledger", ended(error))
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

    /// Nothing is restored into the repository itself or over what is noted beside it, and what the point does not hold is
    /// not removed around it.
    fn spare_repository(&self, site: &Site, to: &FilePath) -> Result<()> {
        let (to, at) = (real(to), |name: &str| Path::attribute(ENGINE).then(name));
        let (Some(folder), Some(noted)) = (site.folder(), site.ledger_folder()) else { return spare_others(&to) };
        if to.starts_with(real(folder)) {
            return Err(Diagnostics::error_at(
                at("to"),
                "The destination lies inside the repository",
                format!("{} lies inside the repository {}. Restore elsewhere.", to.display(), folder.display()),
            ));
        }
        if to.starts_with(real(&noted)) {
            return Err(Diagnostics::error_at(
                at("to"),
                "The destination is where the provider keeps notes",
                format!(
                    "{} lies inside {}, where what ran on the repository {} is written down. Restore elsewhere.",
                    to.display(),
                    noted.display(),
                    folder.display()
                ),
            ));
        }
        spare_others(&to)?;
        if self.extra.text() == Some("delete") && real(folder).starts_with(&to) {
            return Err(Diagnostics::error_at(
                at("extra"),
                "The repository lies inside what is restored to",
                format!(
                    "{} lies inside {}, and `extra = \"delete\"` would remove it. Keep what is extra, or restore elsewhere.",
                    folder.display(),
                    to.display()
                ),
            ));
        }
        Ok(())
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

    async fn abandon(
        &self,
        shared: &Shared,
        source: &Reference,
        name: &str,
    ) -> std::result::Result<(), run::EngineError> {
        // A site that can't be opened has nothing that could be let go.
        let (Ok(Some(site)), Ok(Some(to))) = (self.site(shared, source), self.to(shared)) else { return Ok(()) };
        if site.read_only {
            return Ok(());
        }
        let failed = |error| run::EngineError::new("what its runs need could not be let go").because(error);
        site.let_go_of_job(name, &to).await.map_err(failed)
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

    fn conflicts(&self, shared: &Shared, source: &Reference) -> Result<()> {
        match (self.site(shared, source)?, self.to(shared)?) {
            (Some(site), Some(to)) => self.spare_repository(&site, &to),
            _ => Ok(()),
        }
    }

    fn restores(&self) -> String {
        let (path, host) = (self.path.text(), self.host.text());
        format!("{:?}", (path, host, texts(&self.tags), texts(&self.include)))
    }

    /// In the storage the records of several machines lie together.
    fn has_certain_key(&self, shared: &Shared) -> bool {
        matches!(self.to(shared), Ok(Some(to)) if ledger::beside(&to).is_some())
    }

    fn overwritten(&self, target: &str) -> String {
        match self.extra.text() {
            Some("delete") => {
                format!("{target} and removes from it what the point does not hold (`extra = \"delete\"`)")
            }
            _ => target.to_owned(),
        }
    }

    fn prepare(&self, shared: &Shared) -> Result<()> {
        let Some(to) = self.to(shared)? else { return Ok(()) };
        if let Some(folder) = shared.drill_folder() {
            // A drill's folders are its own to make.
            drill::parent(&folder, &to, true).map_err(|error| no_way(&error))?;
            return Ok(());
        }
        match to.parent().filter(|parent| !parent.is_dir()) {
            None => Ok(()),
            Some(parent) => Err(Diagnostics::error_at(
                Path::attribute(ENGINE).then("to"),
                "The folder that it goes into is not there",
                format!(
                    "{} would go into {}, which is no folder that exists: is it mounted? Nothing was done. Mount it, or make it.",
                    to.display(),
                    parent.display()
                ),
            )),
        }
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

/// Nothing is restored into the repository of somebody else either.
fn spare_others(to: &FilePath) -> Result<()> {
    let Some((inside, what)) = kept_around(to) else { return Ok(()) };
    Err(Diagnostics::error_at(
        Path::attribute(ENGINE).then("to"),
        "The destination lies inside another repository",
        format!("{} lies inside {}: {what}. Restore elsewhere.", to.display(), inside.display()),
    ))
}

fn no_way(error: &EngineError) -> Diagnostics {
    Diagnostics::error_at(Path::attribute(ENGINE).then("to"), "Unable to restore in this drill", ended(error))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;
    use crate::shared::Reached;
    use dr_framework::Redactor;
    use std::fs;

    fn restore(to: &FilePath, extra: &str) -> ResticRestore {
        ResticRestore {
            path: "/srv/docs".into(),
            to: to.to_str().unwrap().into(),
            include: Attr::Known(Vec::new()),
            host: Attr::Null,
            tags: Attr::Known(Vec::new()),
            extra: extra.into(),
            verify_existing: Attr::Known(false),
            lock_wait: "5m".into(),
        }
    }

    /// What `spare_repository` says of a destination, for a repository `repository` in `folder`.
    fn refused(folder: &FilePath, to: &str, extra: &str) -> Option<String> {
        let shared = Shared::new(Redactor::default());
        let path = folder.join("repository");
        let site = Site::at(&shared, Reached::Local { path }, Secret::new("x"), Duration::from_secs(1), false, None);
        let to = folder.join(to);
        restore(&to, extra).spare_repository(&site, &to).err().map(|found| found.0[0].summary.clone())
    }

    #[test]
    fn nothing_is_restored_into_a_repository_or_what_is_noted_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        fs::create_dir_all(folder.join("repository/data")).unwrap();
        fs::create_dir_all(folder.join("repository.dr/seen")).unwrap();
        std::os::unix::fs::symlink(folder.join("repository.dr"), folder.join("link")).unwrap();
        for extra in ["keep", "delete"] {
            let inside = Some("The destination lies inside the repository".to_owned());
            let notes = Some("The destination is where the provider keeps notes".to_owned());
            assert_eq!(refused(folder, "repository", extra), inside);
            assert_eq!(refused(folder, "repository/new/deep", extra), inside);
            assert_eq!(refused(folder, "repository.dr", extra), notes);
            assert_eq!(refused(folder, "link/new", extra), notes);
            assert_eq!(refused(folder, "repository.dr2", extra), None);
            assert_eq!(refused(folder, "elsewhere/new", extra), None);
        }
        // That of another target, and what is noted beside it.
        fs::create_dir_all(folder.join("other/keys")).unwrap();
        fs::write(folder.join("other/config"), "sealed").unwrap();
        fs::write(folder.join("other/keys").join("ab".repeat(32)), "sealed").unwrap();
        fs::create_dir_all(folder.join("other.dr/seen")).unwrap();
        let other = Some("The destination lies inside another repository".to_owned());
        for to in ["other/new", "other/keys/deep/er", "other.dr/new"] {
            assert_eq!(refused(folder, to, "keep"), other, "{to}");
        }
        assert_eq!(refused(folder, "other", "keep"), None, "a repository that was backed up comes back");
        assert_eq!(refused(folder, "other2/new", "keep"), None);
        assert_eq!(refused(folder, "", "keep"), None);
        assert_eq!(refused(folder, "", "delete").as_deref(), Some("The repository lies inside what is restored to"));
    }

    #[test]
    fn what_a_restore_removes_is_said_with_what_it_overwrites() {
        let to = FilePath::new("/srv/docs");
        assert_eq!(restore(to, "keep").overwritten("/srv/docs"), "/srv/docs");
        assert!(
            restore(to, "delete").overwritten("/srv/docs").contains("removes from it what the point does not hold")
        );
    }

    #[test]
    fn tags_hosts_and_patterns_that_mean_something_else_are_refused_at_their_place() {
        let list = |texts: &[&str]| Value::List(texts.iter().map(|text| Value::string(*text)).collect());
        let at = Path::attribute(ENGINE).then("tags");
        let judged = |judge: fn(&Value, &Path) -> Vec<Diagnostic>, text| judge(&list(&["fine", text]), &at);
        for tag in ["dr-incomplete", "dr-safety", "dr-run-0123", "", "a,b"] {
            let found = judged(own_tags, tag);
            assert_eq!(found.len(), 1, "{tag}");
            assert_eq!(found[0].attribute, Some(at.clone().index(1)), "{tag}");
        }
        assert!(judged(own_tags, "dr-mine").is_empty() && judged(tags, "dr-safety").is_empty());
        assert_eq!((judged(tags, "").len(), judged(patterns, "[a").len(), judged(patterns, "[z-a]").len()), (1, 1, 1));
        assert!(judged(patterns, "*.[ch]").is_empty());
        assert_eq!(host(&Value::string(" "), &at).len(), 1);
        assert!(host(&Value::string("nas"), &at).is_empty());
    }
}
