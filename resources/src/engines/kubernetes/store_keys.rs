//! What an engine in a cluster opens a bucket with, and what it can't be told about the connection to it.

use dr_framework::{Attr, Diagnostics, Path, Result};

use crate::connections::s3::S3Connection;
use crate::secret::Secret;
use crate::shared::Shared;

/// What `store.credentials` says where it names no secret: the keys of the connection.
pub const CONNECTION: &str = "connection";

/// An access key.
pub struct Keys {
    /// Its id.
    pub id: String,
    /// The key itself.
    pub secret: Secret,
    /// Belongs to keys that end after a while.
    pub token: Option<Secret>,
}

impl Keys {
    /// Out of `<access key id>:<secret access key>`.
    pub fn parse(secret: &Secret) -> Option<Self> {
        let (id, secret) = secret.expose().trim().split_once(':')?;
        let fine = |part: &str| !part.is_empty() && !part.contains(char::is_whitespace);
        (fine(id) && fine(secret)).then(|| Keys { id: id.to_owned(), secret: Secret::new(secret), token: None })
    }

    fn of_connection(connection: &S3Connection) -> Option<Self> {
        Some(Keys {
            id: connection.access_key_id.clone()?,
            secret: connection.secret_access_key.clone()?,
            token: connection.session_token.clone(),
        })
    }

    /// As an AWS credentials file.
    pub fn file(&self) -> Secret {
        let (id, secret) = (&self.id, self.secret.expose());
        let token = self.token.as_ref().map(|token| format!("aws_session_token={}\n", token.expose()));
        Secret::new(format!(
            "[default]\naws_access_key_id={id}\naws_secret_access_key={secret}\n{}",
            token.unwrap_or_default()
        ))
    }
}

/// The keys that `store.credentials` means: a secret by name, or `connection`. The outer `None`: not known yet; the inner:
/// none are set.
pub fn of(shared: &Shared, connection: &S3Connection, credentials: &Attr<String>) -> Result<Option<Option<Keys>>> {
    of_at(shared, connection, credentials, Path::attribute("store").then("credentials"))
}

/// The same where another argument says it.
pub fn of_at(
    shared: &Shared,
    connection: &S3Connection,
    credentials: &Attr<String>,
    path: Path,
) -> Result<Option<Option<Keys>>> {
    match credentials {
        Attr::Unknown => Ok(None),
        Attr::Null => Ok(Some(None)),
        Attr::Known(word) if word == CONNECTION => {
            refuse_both(shared, &path)?;
            match Keys::of_connection(connection) {
                Some(keys) => Ok(Some(Some(keys))),
                None => Err(Diagnostics::error_at(
                    path,
                    "A connection without a key",
                    "The connection holds no access key.",
                )),
            }
        }
        Attr::Known(name) => {
            let Some(secret) = shared.secret(name, &path)? else { return Ok(None) };
            let keys = Keys::parse(&secret).ok_or_else(|| unusable(path))?;
            shared.redactor.learn(keys.secret.expose());
            Ok(Some(Some(keys)))
        }
    }
}

/// A secret may have the name of the word: which of the two is meant nobody can tell.
fn refuse_both(shared: &Shared, path: &Path) -> Result<()> {
    if !shared.secret_names().iter().any(|name| name == CONNECTION) {
        return Ok(());
    }
    Err(Diagnostics::error_at(
        path.clone(),
        "A secret is called `connection`",
        "`connection` means the access key of the store's connection, and there is a secret of that name as well, under \
         `secrets` in the provider block or as DR_SECRET_CONNECTION in the environment. Give the secret another name, and \
         name it here if it is the one that is meant.",
    ))
}

/// A secret that is no access key.
pub fn unusable(path: Path) -> Diagnostics {
    Diagnostics::error_at(
        path,
        "Unusable credentials",
        "The secret has to be `<access key id>:<secret access key>`, with the colon between the two.",
    )
}

/// What engines in a cluster can't be told about a connection is refused rather than left out.
pub fn carried(connection: &S3Connection, engine: &str) -> Result<()> {
    carried_at(connection, engine, Path::attribute("store").then("s3"))
}

/// The same where another argument names the connection.
pub fn carried_at(connection: &S3Connection, engine: &str, path: Path) -> Result<()> {
    let refuse = |what: &str| {
        Err(Diagnostics::error_at(
            path.clone(),
            "The engine can't use this connection",
            format!("The connection sets `{what}`, which {engine} can't be told: use `ca_pem`."),
        ))
    };
    match connection {
        S3Connection { fingerprint: Some(_), .. } => refuse("fingerprint"),
        S3Connection { insecure: true, .. } => refuse("insecure"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use dr_framework::Redactor;

    use super::*;
    use crate::settings::Settings;

    #[test]
    fn no_text_makes_a_key_panic() {
        crate::noise::survives_text(&["GK31:wJal/rXUt=\n"], |text| {
            Keys::parse(&Secret::new(text)).map(|keys| keys.file().expose().len())
        });
    }

    #[test]
    fn a_secret_that_is_called_connection_is_told_apart_from_the_connections_own_key() {
        let connection = S3Connection {
            access_key_id: Some("own".into()),
            secret_access_key: Some(Secret::new("key")),
            ..S3Connection::default()
        };
        let named = |name: &str| {
            let shared = Shared::new(Redactor::default());
            shared.configure(Settings {
                kubernetes: Attr::Null,
                s3: Attr::Null,
                secrets: Attr::Known([(name.to_owned(), "another:key".into())].into()),
                mode: Attr::Null,
                drill: Attr::Null,
            });
            of(&shared, &connection, &CONNECTION.into())
        };
        assert_eq!(named("bucket").unwrap().flatten().unwrap().id, "own");
        let refused = named(CONNECTION).err().unwrap();
        assert!(format!("{refused:?}").contains("another name"), "{refused:?}");
    }

    #[test]
    fn a_key_has_an_id_and_a_secret() {
        let keys = Keys::parse(&Secret::new("GK31:wJal/rXUt=\n")).unwrap();
        assert_eq!((keys.id.as_str(), keys.secret.expose()), ("GK31", "wJal/rXUt="));
        assert!(keys.file().expose().contains("aws_secret_access_key=wJal/rXUt=\n"));
        for wrong in ["", "GK31", ":x", "x:", "a b:c"] {
            assert!(Keys::parse(&Secret::new(wrong)).is_none(), "{wrong}");
        }
    }
}
