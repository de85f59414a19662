//! `ref`: how one resource names another. Values, not ids; only `uid` and `server_uid` are ever unknown at plan.

use dr_framework::{Attr, Diagnostics, Model, Path};

use crate::settings::DEFAULT;

/// A reference to a target, a job or a store: `dr_backup_target.docs.ref`. One object type for all of them; what is left
/// out is null.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct Reference {
    /// What it names: `backup_target`, `backup_schedule`, `backup_job`, `restore_job`, or `store`.
    #[dr(required)]
    pub kind: Attr<String>,
    /// The engine: `restic`, `velero`, `k8up` or `volsync`.
    #[dr(required)]
    pub engine: Attr<String>,
    /// The name of the connection in the provider block; `local` for a local store.
    #[dr(optional)]
    pub connection: Attr<String>,
    /// Which server (or repository) it lives on. Unknown until it exists.
    #[dr(optional)]
    pub server_uid: Attr<String>,
    /// Where on that server: `bucket/prefix`, or a path without its first slash.
    #[dr(optional)]
    pub scope: Attr<String>,
    /// Its name.
    #[dr(optional)]
    pub name: Attr<String>,
    /// Which object of that name. Unknown until it exists.
    #[dr(optional)]
    pub uid: Attr<String>,
    /// Where the data lies.
    #[dr(optional)]
    pub store: Attr<ReferencedStore>,
    /// The name of the repository's password under `secrets` in the provider block.
    #[dr(optional)]
    pub secret: Attr<String>,
    /// `read_write` or `read_only`.
    #[dr(optional)]
    pub access: Attr<String>,
}

/// Where the data of a reference lies.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct ReferencedStore {
    /// `local` or `s3`.
    #[dr(required)]
    pub kind: Attr<String>,
    /// The name of the connection in the provider block; `local` for a local store.
    #[dr(optional)]
    pub connection: Attr<String>,
    /// The bucket, of an S3 store.
    #[dr(optional)]
    pub bucket: Attr<String>,
    /// The prefix in the bucket, without slashes at its ends.
    #[dr(optional)]
    pub prefix: Attr<String>,
    /// The folder, of a local store.
    #[dr(optional)]
    pub path: Attr<String>,
}

/// What lies behind a known store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder.
    Local {
        /// Absolute and clean.
        path: String,
    },
    /// A prefix of a bucket.
    S3 {
        /// The connection's name.
        connection: String,
        /// The bucket.
        bucket: String,
        /// The prefix; empty for the whole bucket.
        prefix: String,
    },
}

impl Place {
    /// The connection's name.
    pub fn connection(&self) -> &str {
        match self {
            Place::Local { .. } => "local",
            Place::S3 { connection, .. } => connection,
        }
    }

    /// `bucket/prefix`, or the path without its first slash.
    pub fn scope(&self) -> String {
        match self {
            Place::Local { path } => path.trim_start_matches('/').to_owned(),
            Place::S3 { bucket, prefix, .. } if prefix.is_empty() => bucket.clone(),
            Place::S3 { bucket, prefix, .. } => format!("{bucket}/{prefix}"),
        }
    }

    /// As the `store` leaf of a reference.
    pub fn referenced(&self) -> ReferencedStore {
        match self {
            Place::Local { path } => ReferencedStore {
                kind: "local".into(),
                connection: "local".into(),
                path: Attr::Known(path.clone()),
                ..Default::default()
            },
            Place::S3 { connection, bucket, prefix } => ReferencedStore {
                kind: "s3".into(),
                connection: Attr::Known(connection.clone()),
                bucket: Attr::Known(bucket.clone()),
                prefix: Attr::Known(prefix.clone()),
                path: Attr::Null,
            },
        }
    }

    /// What is missing in the `store` leaf of a reference; nothing while it is unknown.
    pub fn check(store: &Attr<ReferencedStore>, path: &Path) -> Diagnostics {
        Place::from_reference(store, path).err().unwrap_or_default()
    }

    /// Out of the `store` leaf of a reference: `None` while something in it is unknown.
    pub fn from_reference(store: &Attr<ReferencedStore>, path: &Path) -> Result<Option<Place>, Diagnostics> {
        let incomplete = |leaf: &str| {
            Diagnostics::error_at(
                path.clone().then("store").then(leaf),
                "Incomplete reference",
                format!(
                    "`store.{leaf}` is missing. Pass a `ref` on whole, or write `kind`, `engine`, `store` and `secret`."
                ),
            )
        };
        let store = match store {
            Attr::Known(store) => store,
            Attr::Unknown => return Ok(None),
            Attr::Null => return Err(incomplete("kind")),
        };
        let leaf = |attr: &Attr<String>, name: &str| match attr {
            Attr::Known(text) => Ok(Some(text.clone())),
            Attr::Unknown => Ok(None),
            Attr::Null => Err(incomplete(name)),
        };
        match store.kind.text() {
            None if store.kind.is_unknown() => Ok(None),
            Some("local") => Ok(leaf(&store.path, "path")?.map(|path| Place::Local { path })),
            Some("s3") => {
                let connection = leaf(&store.connection.clone().or(DEFAULT.into()), "connection")?;
                let bucket = leaf(&store.bucket, "bucket")?;
                let prefix = leaf(&store.prefix.clone().or("".into()), "prefix")?;
                Ok(match (connection, bucket, prefix) {
                    (Some(connection), Some(bucket), Some(prefix)) => Some(Place::S3 { connection, bucket, prefix }),
                    _ => None,
                })
            }
            _ => Err(Diagnostics::error_at(
                path.clone().then("store").then("kind"),
                "Unknown kind of store",
                format!("{:?} is neither \"local\" nor \"s3\".", store.kind.text().unwrap_or("null")),
            )),
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Local { path } => formatter.write_str(path),
            Place::S3 { connection, .. } => write!(formatter, "s3://{} of connection {connection}", self.scope()),
        }
    }
}

impl Reference {
    /// One of which nothing is known yet.
    pub fn open() -> Self {
        Reference {
            kind: Attr::Unknown,
            engine: Attr::Unknown,
            connection: Attr::Unknown,
            server_uid: Attr::Unknown,
            scope: Attr::Unknown,
            name: Attr::Unknown,
            uid: Attr::Unknown,
            store: Attr::Unknown,
            secret: Attr::Unknown,
            access: Attr::Unknown,
        }
    }

    /// Whether everything is known that is not the server's to say.
    pub fn is_placed(&self) -> bool {
        let own = Reference { server_uid: Attr::Null, uid: Attr::Null, ..self.clone() };
        own.to_object().is_wholly_known()
    }

    /// An error unless it names one of `kinds` and an engine of `engines`; what is unknown is left for later.
    pub fn check(&self, path: &Path, kinds: &[&str], engines: &[&str]) -> Diagnostics {
        let mut found = Diagnostics::default();
        if let Some(kind) = self.kind.text()
            && !kinds.contains(&kind)
        {
            found.extend(Diagnostics::error_at(
                path.clone().then("kind"),
                "Reference to the wrong kind of thing",
                format!("This is a reference to a {kind}; here goes one to: {}.", kinds.join(", ")),
            ));
        }
        if let Some(engine) = self.engine.text()
            && !engines.contains(&engine)
        {
            found.extend(Diagnostics::error_at(
                path.clone().then("engine"),
                "Reference to another engine",
                format!(
                    "This is a reference to the engine {engine:?}, and the engine block here is {}.",
                    engines.join(", ")
                ),
            ));
        }
        found
    }

    /// Whether nothing may be written there.
    pub fn is_read_only(&self) -> bool {
        self.access.text() == Some("read_only")
    }
}
