//! The quickstart's bucket, on any S3 server that a connection of the provider reaches.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use dr_resources::connections::s3::{S3Clients, S3Connection};
use dr_resources::secret::Secret;
use dr_resources::store::ObjectStore;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

/// How long the progress waits for the server: it is only a figure on a screen.
const PATIENCE: Duration = Duration::from_secs(3);

/// A prefix of a bucket, and how its server is reached.
pub(super) struct Bucket {
    /// The server, and who we are there.
    pub connection: S3Connection,
    /// What it is called.
    pub name: String,
    /// Where in it.
    pub prefix: String,
    ledger: Box<dyn ObjectStore>,
    runtime: Runtime,
}

impl Bucket {
    pub(super) fn new(connection: S3Connection, name: String, prefix: String) -> Result<Self> {
        let ledger = Box::new(S3Clients::default().bucket(&connection, &name, &format!("{prefix}.dr"))?);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        Ok(Self { connection, name, prefix, ledger, runtime })
    }

    /// In words.
    pub(super) fn describe(&self) -> String {
        format!("{}/{} on {}", self.name, self.prefix, self.connection.server_name())
    }

    /// The first of the ledger's records that something can be made of, if the server gives it soon.
    pub(super) fn record<T>(&self, read: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        self.runtime.block_on(async {
            let found = async {
                for entry in self.ledger.list("runs/").await.ok()? {
                    let record = self.ledger.get_bytes(&entry.name).await.ok().flatten();
                    if let Some(found) = record.and_then(|record| read(&record)) {
                        return Some(found);
                    }
                }
                None
            };
            tokio::time::timeout(PATIENCE, found).await.ok().flatten()
        })
    }
}

/// The server that the environment describes.
pub(super) fn connection(variable: impl Fn(&str) -> Option<String>) -> Result<S3Connection> {
    let needed = |name: &str| variable(name).with_context(|| format!("{name} is not set"));
    let flag = |name: &str| match variable(name).as_deref() {
        None => Ok(None),
        Some("true") => Ok(Some(true)),
        Some("false") => Ok(Some(false)),
        Some(other) => bail!("{name} is {other:?}: set it to true or false"),
    };
    let file = |name: &str| {
        let read = |file| fs::read_to_string(&file).with_context(|| format!("cannot read {file}, which {name} names"));
        variable(name).map(read).transpose()
    };
    let endpoint = variable("DR_QUICKSTART_S3_ENDPOINT");
    Ok(S3Connection {
        path_style: flag("DR_QUICKSTART_S3_PATH_STYLE")?.unwrap_or(endpoint.is_some()),
        endpoint,
        region: variable("AWS_REGION").unwrap_or_else(|| "us-east-1".to_owned()),
        access_key_id: Some(needed("AWS_ACCESS_KEY_ID")?),
        secret_access_key: Some(Secret::new(needed("AWS_SECRET_ACCESS_KEY")?)),
        session_token: variable("AWS_SESSION_TOKEN").map(Secret::new),
        ca_pem: file("DR_QUICKSTART_S3_CA_FILE")?,
        fingerprint: variable("DR_QUICKSTART_S3_FINGERPRINT"),
        insecure: flag("DR_QUICKSTART_S3_INSECURE")?.unwrap_or(false),
        ..S3Connection::default()
    })
}

/// The configuration's variable `s3`.
pub(super) fn variable(connection: &S3Connection) -> Value {
    let exposed = |secret: &Option<Secret>| secret.as_ref().map(|secret| secret.expose().to_owned());
    json!({
        "endpoint": connection.endpoint,
        "region": connection.region,
        "path_style": connection.path_style,
        "access_key_id": connection.access_key_id,
        "secret_access_key": exposed(&connection.secret_access_key),
        "session_token": exposed(&connection.session_token),
        "ca_pem": connection.ca_pem,
        "fingerprint": connection.fingerprint,
        "insecure": connection.insecure,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(environment: &[(&str, &str)]) -> Result<Value> {
        let keys = [("AWS_ACCESS_KEY_ID", "id"), ("AWS_SECRET_ACCESS_KEY", "key")];
        let of = |name: &str| keys.iter().chain(environment).find(|(known, _)| *known == name);
        Ok(variable(&connection(|name| of(name).map(|(_, value)| (*value).to_owned()))?))
    }

    #[test]
    fn without_an_endpoint_the_server_is_amazons() -> Result<()> {
        let amazon = described(&[("AWS_REGION", "eu-central-1"), ("AWS_SESSION_TOKEN", "token")])?;
        let expected = json!({
            "endpoint": null, "region": "eu-central-1", "path_style": false, "access_key_id": "id",
            "secret_access_key": "key", "session_token": "token", "ca_pem": null, "fingerprint": null, "insecure": false,
        });
        assert_eq!(amazon, expected);
        Ok(())
    }

    #[test]
    fn everything_that_a_connection_takes_can_be_set() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let authority = folder.path().join("ca.pem");
        fs::write(&authority, "certificates")?;
        let own = described(&[
            ("DR_QUICKSTART_S3_ENDPOINT", "https://s3.lan:9000"),
            ("DR_QUICKSTART_S3_PATH_STYLE", "false"),
            ("DR_QUICKSTART_S3_CA_FILE", &authority.to_string_lossy()),
            ("DR_QUICKSTART_S3_FINGERPRINT", "AB:CD"),
            ("DR_QUICKSTART_S3_INSECURE", "true"),
        ])?;
        let expected = json!({
            "endpoint": "https://s3.lan:9000", "region": "us-east-1", "path_style": false, "access_key_id": "id",
            "secret_access_key": "key", "session_token": null, "ca_pem": "certificates", "fingerprint": "AB:CD",
            "insecure": true,
        });
        assert_eq!(own, expected);
        let plain = described(&[("DR_QUICKSTART_S3_ENDPOINT", "http://s3.lan:9000")])?;
        assert_eq!(plain["path_style"], true);
        Ok(())
    }

    #[test]
    fn what_can_not_be_understood_is_named() {
        let fails = |name, value| format!("{:#}", described(&[(name, value)]).unwrap_err());
        assert!(fails("DR_QUICKSTART_S3_INSECURE", "yes").contains("set it to true or false"));
        assert!(fails("DR_QUICKSTART_S3_CA_FILE", "/nowhere/ca.pem").contains("/nowhere/ca.pem, which DR_QUICKSTART"));
        let keyless = connection(|_| None).err().map(|error| error.to_string());
        assert_eq!(keyless.as_deref(), Some("AWS_ACCESS_KEY_ID is not set"));
    }
}
