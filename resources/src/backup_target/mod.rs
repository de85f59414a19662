//! `dr_backup_target`: storage registered with an engine.

mod import;
mod registered;
mod storage;

use dr_framework::{
    Attr, Choice, Context, Diagnostics, Identity, IdentityAttribute, IdentitySchema, ImportBy, Model, MoveFrom, Path,
    Plan, Resource, Result, Set, Shape, Type, async_trait,
};
use std::sync::Arc;

pub use import::{Imported, not_importable};

use crate::deletion::refuse_destroy;
use crate::engines::concepts::{Blame, Failure, Owner, TargetBlock, TargetKind};
use crate::engines::k8up::target::K8upTarget;
use crate::engines::restic::model::{self, ResticTarget};
use crate::engines::table::{self, Concept, RetentionScope};
use crate::engines::velero;
use crate::engines::velero::target::VeleroTarget;
use crate::engines::volsync::target::VolsyncTarget;
use crate::moved;
use crate::reference::{Place, Reference};
use crate::registered::Seat;
use crate::retention::Keep;
use crate::retention_policy::KeepModel;
use crate::shared::Shared;
use crate::timeouts::{self, Operation, Timeouts};
use crate::validators;

/// Storage for backups, registered with an engine. Other resources name it by its `ref`.
///
/// Creating it makes the storage ready: with the embedded engine a restic-format repository is made, or one that the
/// password opens is taken over. Destroying it keeps everything that is stored, unless `deletion_policy` says otherwise.
/// Storage that has vanished is an error, never made anew: bring it back, or forget the resource to start over.
#[derive(Model, Clone, Debug, Default)]
pub struct BackupTarget {
    /// The target's name: lower-case letters, digits and hyphens.
    #[dr(required, validate = validators::name)]
    pub name: Attr<String>,
    /// Where the data lies: `local`, or `s3` with `bucket`.
    #[dr(required)]
    pub store: Attr<StoreModel>,
    /// How long recovery points are kept: `keep` of a `dr_retention_policy`. Applied with each backup job of the `restic` engine.
    /// Left out, nothing is removed. With engines in a cluster retention belongs to the `dr_backup_schedule`.
    #[dr(optional)]
    pub retention: Attr<KeepModel>,
    /// `read_write`, or `read_only`: nothing is written there, not even a lock; only restores and listings are accepted.
    #[dr(default = "read_write", validate = validators::access)]
    pub access: Attr<String>,
    /// What a destroy does with what is stored: `keep` it, `delete` it (the `restic` engine alone), or `prevent` the destroy.
    #[dr(default = "keep", validate = validators::deletion_policy)]
    pub deletion_policy: Attr<String>,
    /// What a create does with what is there already: `if_compatible` takes over a repository that the password opens, and in a
    /// cluster an object that this provider made; `always` takes over an object that something else made, too; `never` refuses.
    #[dr(default = "if_compatible", validate = validators::adopt)]
    pub adopt: Attr<String>,
    /// What has to be found there, or it is an error: the id of the repository, in a cluster the uid of its namespace `kube-system`.
    #[dr(optional)]
    pub expect_server_uid: Attr<String>,
    /// How long operations may take, like `30m`; 10 minutes if left out, and 5 to refresh.
    #[dr(optional)]
    pub timeouts: Attr<Timeouts>,
    #[dr(one_of)]
    engine: Attr<Engine>,
    /// The reference that other resources take.
    #[dr(computed)]
    pub r#ref: Attr<Reference>,
    /// `ready`; `missing` when the storage is gone, or why the engine can't use it, in its own words.
    #[dr(computed)]
    pub status: Attr<String>,
    /// `current`; `unchecked` when the repository's keys changed since the password was tried; `stale` when the engine holds
    /// another secret than the configuration.
    #[dr(computed)]
    pub credentials: Attr<String>,
    /// The names of the repository's key files, which change when a password is added or removed; null of an engine on a
    /// server.
    #[dr(computed)]
    pub keys: Attr<Set<Attr<String>>>,
    /// What this state is known by in the ledger beside a repository, so that no other state deletes what it uses; null of an
    /// engine on a server, and where nothing may be written.
    #[dr(computed)]
    pub owner: Attr<String>,
    /// What somebody changed on the server: each field that is not as the configuration sets it, with its value and who set
    /// it. Empty after an apply.
    #[dr(computed)]
    pub drift: Attr<Vec<Attr<String>>>,
}

/// Where the data of a target lies: a local folder, or a prefix of a bucket.
#[derive(Model, Clone, Debug, PartialEq)]
pub struct StoreModel {
    /// A folder on the machine that runs the command.
    #[dr(optional)]
    pub local: Attr<LocalStore>,
    /// The name of an S3 connection in the provider block.
    #[dr(optional, validate = validators::reference_name)]
    pub s3: Attr<String>,
    /// The bucket, which has to exist.
    #[dr(optional, validate = validators::bucket)]
    pub bucket: Attr<String>,
    /// The prefix in the bucket, without slashes at its ends; the whole bucket if left out.
    #[dr(optional, validate = validators::prefix)]
    pub prefix: Attr<String>,
    /// What an engine on a server opens the bucket with: the name of a secret of the form `<access key id>:<secret access
    /// key>`, or `connection` for the connection's own key. The embedded engine always uses the connection.
    #[dr(optional, validate = validators::reference_name)]
    pub credentials: Attr<String>,
}

/// A local folder.
#[derive(Model, Clone, Debug, PartialEq)]
pub struct LocalStore {
    /// Its absolute path. The folder it lies in has to exist.
    #[dr(required, validate = validators::folder)]
    pub path: Attr<String>,
}

/// The engines.
#[derive(Choice, Clone, Debug)]
enum Engine {
    /// The embedded engine: a repository in restic's format, which the restic program reads and writes too.
    Restic(ResticTarget),
    /// Velero: a BackupStorageLocation in a cluster, with the Secret that it needs.
    Velero(VeleroTarget),
    /// k8up: the Secret with which it opens a repository in restic's format.
    K8up(K8upTarget),
    /// VolSync: the Secret of a restic repository in a cluster.
    Volsync(VolsyncTarget),
}

impl Engine {
    fn block(&self) -> &dyn TargetBlock {
        match self {
            Engine::Restic(block) => block,
            Engine::Velero(block) => block,
            Engine::K8up(block) => block,
            Engine::Volsync(block) => block,
        }
    }

    /// The block of an import, with the name of the secret that opens the target.
    fn imported(engine: &str, secret: &str) -> Option<Self> {
        match engine {
            model::ENGINE => Some(Engine::Restic(ResticTarget::imported(secret))),
            _ => None,
        }
    }
}

impl StoreModel {
    /// The place, once it is known.
    fn place(&self) -> Result<Option<Place>> {
        let store = Path::attribute("store");
        let refuse = |path: Path, detail: &str| Err(Diagnostics::error_at(path, "Unusable store", detail));
        match (&self.local, &self.s3) {
            (Attr::Null, Attr::Null) => {
                refuse(store, "Set `local = { path = … }`, or `s3` to the name of a connection with `bucket`.")
            }
            (Attr::Known(_), Attr::Known(_)) => {
                refuse(store.then("s3"), "`local` and `s3` are two places; set one of them.")
            }
            // What is not known yet may turn out to be null.
            (Attr::Unknown, _) | (_, Attr::Unknown) => Ok(None),
            (Attr::Known(local), Attr::Null) => {
                for (name, value) in [("bucket", &self.bucket), ("prefix", &self.prefix)] {
                    if value.is_known() {
                        return refuse(store.then(name), "A local folder has neither bucket nor prefix.");
                    }
                }
                Ok(local.path.known().map(|path| Place::Local { path: path.clone() }))
            }
            (Attr::Null, Attr::Known(connection)) => match (&self.bucket, &self.prefix) {
                (Attr::Null, _) => refuse(store.then("bucket"), "An S3 store needs a bucket."),
                (Attr::Known(bucket), prefix) if !prefix.is_unknown() => Ok(Some(Place::S3 {
                    connection: connection.clone(),
                    bucket: bucket.clone(),
                    prefix: prefix.known().cloned().unwrap_or_default(),
                })),
                _ => Ok(None),
            },
        }
    }

    fn of(place: &Place) -> Self {
        match place {
            Place::Local { path } => StoreModel {
                local: Attr::Known(LocalStore { path: Attr::Known(path.clone()) }),
                s3: Attr::Null,
                bucket: Attr::Null,
                prefix: Attr::Null,
                credentials: Attr::Null,
            },
            Place::S3 { connection, bucket, prefix } => StoreModel {
                local: Attr::Null,
                s3: Attr::Known(connection.clone()),
                bucket: Attr::Known(bucket.clone()),
                prefix: if prefix.is_empty() { Attr::Null } else { Attr::Known(prefix.clone()) },
                credentials: Attr::Null,
            },
        }
    }
}

impl BackupTarget {
    fn place(&self) -> Result<Option<Place>> {
        match &self.store {
            Attr::Known(store) => store.place(),
            _ => Ok(None),
        }
    }

    fn block(&self) -> Option<&dyn TargetBlock> {
        self.engine.known().map(Engine::block)
    }

    fn engine_name(&self) -> Attr<String> {
        match &self.engine {
            Attr::Known(engine) => engine.block().engine().into(),
            Attr::Unknown => Attr::Unknown,
            Attr::Null => Attr::Null,
        }
    }

    fn secret(&self) -> Attr<String> {
        self.block().map_or(Attr::Unknown, TargetBlock::secret)
    }

    fn keep(&self) -> Result<Option<Keep>> {
        match &self.retention {
            Attr::Known(keep) => keep.keep(&Path::attribute("retention")),
            _ => Ok(None),
        }
    }

    /// What an argument means for the one kind of engine and not for the other.
    fn check_kind(&self) -> Diagnostics {
        let mut found = Diagnostics::default();
        let refuse = |path: Path, summary: &str, detail: &str| Diagnostics::error_at(path, summary, detail);
        let credentials = self.credentials();
        let engine = self.block().and_then(|block| table::engine(block.engine()));
        if self.retention.is_known() && engine.is_some_and(|engine| engine.retention_scope != RetentionScope::Target) {
            found.extend(refuse(
                Path::attribute("retention"),
                "Retention belongs to the schedule",
                "This engine keeps what each schedule made: set `retention` on the `dr_backup_schedule`.",
            ));
        }
        match self.block().map(TargetBlock::kind) {
            Some(TargetKind::Registered(block)) => {
                if self.deletion_policy.text() == Some("delete") {
                    found.extend(refuse(
                        Path::attribute("deletion_policy"),
                        "Nothing to delete",
                        "A target of this engine only registers storage: use `keep` or `prevent`, and delete backups with \
                         the engine.",
                    ));
                }
                let place = match self.place() {
                    Ok(Some(place)) => Attr::Known(place),
                    _ => Attr::Unknown,
                };
                found.extend(block.check(&place, credentials));
            }
            Some(TargetKind::Storage(_)) if credentials.is_known() => found.extend(refuse(
                Path::attribute("store").then("credentials"),
                "The provider opens the store itself",
                "Only an engine on a server takes `credentials`: this one uses the connection.",
            )),
            _ => {}
        }
        found
    }

    /// Which keys an engine on a server gets.
    fn credentials(&self) -> &Attr<String> {
        match &self.store {
            Attr::Known(store) => &store.credentials,
            Attr::Unknown => &Attr::Unknown,
            Attr::Null => &Attr::Null,
        }
    }

    fn is_read_only(&self) -> bool {
        self.access.text() == Some("read_only")
    }

    /// A failure as a diagnostic about the argument that is to blame.
    fn blame(&self, action: &str, failure: &Failure) -> Diagnostics {
        let attribute = match (failure.blame, self.block()) {
            (Blame::Secret, Some(block)) => Path::attribute(block.engine()).then("password"),
            _ => Path::attribute("store"),
        };
        failure.at(action, attribute)
    }

    /// What an import takes.
    fn registered_at(&self) -> Seat {
        let engine = self.block().map(TargetBlock::engine).unwrap_or_default();
        Seat::new("target", engine, self.seat(), &self.name)
    }

    /// Whether a state knows its target by the same name.
    fn is_called(&self, owner: &Owner) -> bool {
        self.name.text() == Some(&owner.target)
    }

    fn uid(&self) -> Option<&str> {
        self.r#ref.known().and_then(|reference| reference.uid.text())
    }

    /// Where it is registered: the connection, and the scope on it.
    fn seat(&self) -> (Attr<String>, Attr<String>) {
        if let Some(TargetKind::Registered(block)) = self.block().map(TargetBlock::kind) {
            return (block.connection(), block.scope());
        }
        match self.place() {
            Ok(Some(place)) => (place.connection().into(), Attr::Known(place.scope())),
            // A store that is known and no place at all leaves nothing open.
            _ if self.store.to_value().is_wholly_known() => ("".into(), "".into()),
            _ => (Attr::Unknown, Attr::Unknown),
        }
    }

    fn reference(&self, place: Option<&Place>, uid: Attr<String>, server_uid: Attr<String>) -> Reference {
        let (connection, scope) = self.seat();
        Reference {
            kind: "backup_target".into(),
            engine: self.engine_name(),
            connection,
            server_uid,
            scope,
            name: self.name.clone(),
            uid,
            store: place.map_or(Attr::Unknown, |place| Attr::Known(place.referenced())),
            secret: self.secret(),
            access: self.access.clone(),
        }
    }
}

/// The resource.
pub struct BackupTargets {
    shared: Arc<Shared>,
}

impl BackupTargets {
    /// With what it shares.
    pub fn new(shared: Arc<Shared>) -> Self {
        BackupTargets { shared }
    }
}

/// The identity of what an engine holds: four texts.
pub fn identity_schema() -> IdentitySchema {
    let attribute = |name: &str, description: &str| IdentityAttribute {
        name: name.to_owned(),
        ty: Type::String,
        description: description.to_owned(),
        required_for_import: true,
    };
    IdentitySchema {
        // OpenTofu 1.12 takes the identity of a resource that is moved for one of its new type: 1 is what `kubernetes_manifest`
        // says, and only a lower version is asked to be upgraded.
        version: 100,
        attributes: vec![
            attribute("engine", "The engine."),
            attribute("connection", "The connection's name; `local` for a local store."),
            attribute("scope", "`bucket/prefix`, or the path without its first slash."),
            attribute("name", "The name."),
        ],
    }
}

#[async_trait]
impl Resource for BackupTargets {
    type Model = BackupTarget;

    fn type_name(&self) -> &'static str {
        "dr_backup_target"
    }

    fn identity_schema(&self) -> Option<IdentitySchema> {
        Some(identity_schema())
    }

    fn identity(&self, model: &BackupTarget) -> Identity {
        let (connection, scope) = model.seat();
        Identity::from([
            ("engine".to_owned(), model.engine_name()),
            ("connection".to_owned(), connection),
            ("scope".to_owned(), scope),
            ("name".to_owned(), model.name.clone()),
        ])
    }

    async fn validate(&self, _: &Context, config: &BackupTarget) -> Diagnostics {
        let mut found = Diagnostics::default();
        found.extend(config.place().err().unwrap_or_default());
        found.extend(config.keep().err().unwrap_or_default());
        found.extend(config.check_kind());
        if config.is_read_only() {
            if config.retention.is_known() {
                found.extend(Diagnostics::error_at(
                    Path::attribute("retention"),
                    "Retention on a read-only target",
                    "Nothing may be removed where nothing may be written: leave `retention` out.",
                ));
            }
            if config.deletion_policy.text() == Some("delete") {
                found.extend(Diagnostics::error_at(
                    Path::attribute("deletion_policy"),
                    "Deletion of a read-only target",
                    "Nothing may be removed where nothing may be written: use `keep` or `prevent`.",
                ));
            }
        }
        found
    }

    async fn plan(&self, context: &Context, plan: &mut Plan<'_, BackupTarget>) -> Result<()> {
        plan.planned.keep()?;
        plan.planned.status = "ready".into();
        plan.planned.credentials = "current".into();
        plan.planned.drift = Attr::Known(Vec::new());
        match plan.planned.block().map(TargetBlock::kind) {
            Some(TargetKind::Registered(_)) => self.plan_registered(context, plan).await,
            _ => self.plan_storage(context, plan),
        }
    }

    async fn plan_destroy(&self, context: &Context, prior: &BackupTarget) -> Result<()> {
        self.refuse_destroy(prior)?;
        if self.deletes(prior) { self.announce_deletion(context, prior).await } else { Ok(()) }
    }

    async fn read(&self, context: &Context, state: BackupTarget) -> Result<Option<BackupTarget>> {
        let limit = timeouts::of(&state.timeouts, Operation::Read, timeouts::READ);
        let work = async {
            if state.status.text() == Some(moved::MOVED) {
                return self.import_registered(moved::imported(&self.shared, &state.r#ref)?).await.map(Some);
            }
            match state.block().map(TargetBlock::kind) {
                Some(TargetKind::Registered(_)) => self.refresh_registered(context, state).await,
                _ => self.refresh_storage(state).await.map(Some),
            }
        };
        timeouts::within(context, "refreshing a backup target", limit, work).await
    }

    async fn apply(
        &self,
        context: &Context,
        prior: Option<BackupTarget>,
        planned: BackupTarget,
        config: BackupTarget,
    ) -> Result<BackupTarget> {
        let operation = if prior.is_some() { Operation::Update } else { Operation::Create };
        let limit = timeouts::of(&planned.timeouts, operation, timeouts::DECLARATIVE);
        let work = async {
            match planned.block().map(TargetBlock::kind) {
                Some(TargetKind::Registered(_)) => self.apply_registered(context, prior, planned, &config).await,
                _ => self.apply_storage(context, prior, planned).await,
            }
        };
        timeouts::within(context, "making the backup target ready", limit, work).await
    }

    async fn delete(&self, context: &Context, prior: BackupTarget) -> Result<()> {
        self.refuse_destroy(&prior)?;
        let limit = timeouts::of(&prior.timeouts, Operation::Delete, timeouts::DECLARATIVE);
        let work = async {
            match prior.block().map(TargetBlock::kind) {
                Some(TargetKind::Registered(_)) => self.delete_registered(context, &prior).await,
                _ => self.delete_storage(context, &prior).await,
            }
        };
        timeouts::within(context, "destroying the backup target", limit, work).await
    }

    async fn import(&self, _: &Context, by: ImportBy) -> Result<BackupTarget> {
        let imported = Imported::parse(&by, Concept::Target)?;
        match imported.engine.as_str() {
            model::ENGINE => self.import_storage(imported).await,
            _ => self.import_registered(imported).await,
        }
    }

    async fn move_from(&self, _: &Context, source: &MoveFrom) -> Result<Option<BackupTarget>> {
        let kind = &velero::target::LOCATION;
        let reference = moved::reference(source, velero::ENGINE, &kind.group, &kind.kind);
        Ok(reference.map(|reference| BackupTarget {
            name: reference.name.clone(),
            r#ref: Attr::Known(reference),
            status: moved::MOVED.into(),
            ..BackupTarget::default()
        }))
    }
}

impl BackupTargets {
    fn refuse_destroy(&self, prior: &BackupTarget) -> Result<()> {
        // What a drill applied holds nothing that could be deleted.
        let in_drill = self.shared.is_drill() && prior.owner.is_known();
        refuse_destroy(&prior.deletion_policy, &prior.name, in_drill)
    }

    /// Whether a destroy takes away what is stored.
    fn deletes(&self, prior: &BackupTarget) -> bool {
        prior.deletion_policy.text() == Some("delete") && !self.shared.is_drill()
    }
}

/// Whether the data would lie elsewhere; the same place by another connection is for apply to find out.
fn lies_elsewhere(before: &Place, after: &Place) -> bool {
    match (before, after) {
        (Place::S3 { bucket: one, prefix: first, .. }, Place::S3 { bucket: other, prefix: second, .. }) => {
            (one, first) != (other, second)
        }
        (before, after) => before != after,
    }
}
