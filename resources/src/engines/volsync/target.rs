//! A restic repository that VolSync's movers write: the Secret that tells them where it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use async_trait::async_trait;
use dr_framework::{Attr, Diagnostics, Model, Path, Result};
use serde_json::{Map, json};

use super::site::{CA_KEY, own_secret};
use super::{ENGINE, INSTALLED_BY};
use crate::connections::kubernetes::Kind;
use crate::connections::s3::S3Connection;
use crate::engines::concepts::{RegisteredBlock, TargetArguments, TargetBlock, TargetKind, TargetServer};
use crate::engines::declared::Declared;
use crate::engines::kubernetes::objects::{Objects, Wanted, server_of};
use crate::engines::kubernetes::repository_secret::{Complete, Forms, Proof, foreign, scope_of};
use crate::engines::kubernetes::store_keys::{self, Keys};
use crate::reference::Place;
use crate::secret::Secret;
use crate::shared::{Reached, Shared};
use crate::validators;

/// The keys of a repository Secret that movers can't do without.
pub(super) const LOCATION_KEY: &str = "RESTIC_REPOSITORY";
pub(super) const PASSWORD_KEY: &str = "RESTIC_PASSWORD";

/// Those of the bucket's key, as every program that uses S3 names them.
pub(super) const ID_KEY: &str = "AWS_ACCESS_KEY_ID";
pub(super) const SECRET_KEY: &str = "AWS_SECRET_ACCESS_KEY";

/// A restic repository for one claim, which VolSync's restic mover writes: the Secret that tells it where the repository is,
/// in the namespace of the claim. The first backup makes the repository.
///
/// It needs an S3 store, and one of `password`, `password_wo` and `existing_secret`.
#[derive(Model, Clone, Debug, PartialEq)]
pub struct VolsyncTarget {
    /// The name of the Kubernetes connection in the provider block.
    #[dr(default = "default", validate = validators::reference_name)]
    pub cluster: Attr<String>,
    /// The namespace of the claim that is backed up.
    #[dr(required, validate = validators::name)]
    pub namespace: Attr<String>,
    /// The name of the repository's password under `secrets` in the provider block. Beside `existing_secret` it opens the
    /// repository for the provider also when that Secret's cluster is gone; without a name the password is read there at need.
    #[dr(optional, validate = validators::reference_name)]
    pub password: Attr<String>,
    /// The repository's password: written to the cluster and to no state. To read the repository the provider takes it
    /// from there.
    #[dr(optional, write_only)]
    pub password_wo: Attr<String>,
    /// Any number; another one writes `password_wo` again.
    #[dr(optional)]
    pub password_wo_version: Attr<i64>,
    /// A repository Secret of VolSync's that something else makes. It is waited for and never written.
    #[dr(optional)]
    pub existing_secret: Attr<ExistingSecret>,
    /// Whether fields are taken that another program owns.
    #[dr(default = false)]
    pub force_conflicts: Attr<bool>,
}

/// A Secret in the namespace.
#[derive(Model, Clone, Debug, PartialEq)]
pub struct ExistingSecret {
    /// Its name. It holds `RESTIC_REPOSITORY`, `RESTIC_PASSWORD`, the keys of the store, and `ca.pem` when the connection
    /// has certificates of its own.
    #[dr(required, validate = validators::name)]
    pub name: Attr<String>,
}

impl TargetBlock for VolsyncTarget {
    fn engine(&self) -> &'static str {
        ENGINE
    }

    fn secret(&self) -> Attr<String> {
        self.password.clone()
    }

    fn kind(&self) -> TargetKind<'_> {
        TargetKind::Registered(self)
    }
}

impl VolsyncTarget {
    fn is_known(&self) -> bool {
        let written = VolsyncTarget { password_wo: Attr::Null, ..self.clone() };
        written.to_object().is_wholly_known()
    }

    fn forms(&self) -> Forms<'_> {
        Forms {
            engine: ENGINE,
            password: &self.password,
            password_wo: &self.password_wo,
            password_wo_version: &self.password_wo_version,
            existing_secret: self.existing_secret.as_ref().map(|_| ()),
        }
    }

    /// The Secret, without a body while its password is not to be written.
    fn secret_object(&self, name: &str, bucket: &Bucket<'_>, keys: &Keys, password: Option<&str>) -> Wanted {
        let mut data = Map::new();
        let mut put = |key: &str, value: &str| drop(data.insert(key.to_owned(), STANDARD.encode(value).into()));
        put(LOCATION_KEY, &bucket.location());
        put(ID_KEY, &keys.id);
        put(SECRET_KEY, keys.secret.expose());
        if let Some(token) = &keys.token {
            put("AWS_SESSION_TOKEN", token.expose());
        }
        if !bucket.connection.region.is_empty() {
            put("AWS_DEFAULT_REGION", &bucket.connection.region);
        }
        if let Some(ca_pem) = &bucket.connection.ca_pem {
            put(CA_KEY, ca_pem);
        }
        put(PASSWORD_KEY, password.unwrap_or_default());
        // A value that is in no state can't be written again without being given again.
        let body = password.map(|_| json!({ "type": "Opaque", "data": data }));
        Wanted { kind: Kind::SECRET, name: own_secret(name), body, lasting: false }
    }
}

/// A prefix of a bucket.
struct Bucket<'a> {
    connection: &'a S3Connection,
    bucket: &'a str,
    prefix: &'a str,
}

impl Bucket<'_> {
    /// As restic names it.
    fn location(&self) -> String {
        let slash = if self.prefix.is_empty() { "" } else { "/" };
        format!("{}{}{slash}{}", server(self.connection), self.bucket, self.prefix)
    }
}

/// What every location on a server begins with.
pub(super) fn server(connection: &S3Connection) -> String {
    let S3Connection { endpoint, engine_endpoint, region, .. } = connection;
    let endpoint = match engine_endpoint.as_ref().or(endpoint.as_ref()) {
        Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
        None if region.is_empty() => "https://s3.amazonaws.com".to_owned(),
        None => format!("https://s3.{region}.amazonaws.com"),
    };
    format!("s3:{endpoint}/")
}

#[async_trait]
impl RegisteredBlock for VolsyncTarget {
    fn connection(&self) -> Attr<String> {
        self.cluster.clone()
    }

    /// The namespace, with the Secret's name where it is not made of the target's.
    fn scope(&self) -> Attr<String> {
        scope_of(&self.namespace, &self.existing_secret.clone().and_then(|secret| secret.name))
    }

    fn check(&self, store: &Attr<Place>, credentials: &Attr<String>) -> Diagnostics {
        let mut found = Diagnostics::default();
        if matches!(store, Attr::Known(Place::Local { .. })) {
            found.extend(Diagnostics::error_at(
                Path::attribute("store").then("local"),
                "VolSync stores in buckets",
                "A folder of the machine that runs the command is out of VolSync's reach: use `s3`.",
            ));
        } else {
            found.extend(self.forms().check_credentials(credentials));
        }
        found.extend(self.forms().check());
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
        let block = Path::attribute(ENGINE);
        let (Some(name), Some(namespace)) = (self.cluster.text(), self.namespace.text()) else { return Ok(None) };
        let cluster = shared.cluster(name, &block.clone().then("cluster"))?;
        let reached = shared.reach(target.place, &Path::attribute("store").then("s3"))?;
        let (Some(cluster), Some(reached), true) = (cluster, reached, self.is_known()) else { return Ok(None) };
        let Reached::S3 { connection, bucket, prefix } = &reached else { return Ok(None) };
        store_keys::carried(connection, ENGINE)?;
        let bucket = Bucket { connection, bucket, prefix };
        let Some(password) = self.forms().password(shared, write_only)? else { return Ok(None) };
        let wanted = match self.existing_secret.known() {
            Some(secret) => foreign(secret.name.text().unwrap_or_default()),
            None => {
                let Some(Some(keys)) = store_keys::of(shared, connection, target.credentials)? else {
                    return Ok(None);
                };
                self.secret_object(target.name, &bucket, &keys, password.as_ref().map(Secret::expose))
            }
        };
        let ca = connection.ca_pem.is_some().then_some(CA_KEY);
        let keys = [LOCATION_KEY, PASSWORD_KEY].into_iter().chain(ca).map(str::to_owned).collect();
        let force = self.force_conflicts == Attr::Known(true);
        let settle = Box::new(Complete {
            secret: wanted.name.clone(),
            keys,
            renamed: "VolSync's mover reads these names alone: give the Secret keys of these names",
            location: Some((LOCATION_KEY, bucket.location())),
            place: reached.place(),
            external: self.existing_secret.is_known(),
            proof: Proof::of(shared, PASSWORD_KEY, &reached, password.as_ref(), force),
        });
        let waiting = shared.waiting.clone();
        let mut objects = Objects::new(cluster, namespace.to_owned(), vec![wanted], INSTALLED_BY, waiting, settle);
        objects.force = force;
        objects.external = self.existing_secret.is_known();
        Ok(Some(Box::new(objects)))
    }

    fn write_only(&self, name: &str) -> Attr<String> {
        if name == "password_wo" { self.password_wo.clone() } else { Attr::Null }
    }

    fn write_only_version(&self) -> Attr<i64> {
        self.password_wo_version.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_named_as_restic_names_it() {
        let location = |endpoint: Option<&str>, region: &str, prefix: &str| {
            let connection =
                S3Connection { endpoint: endpoint.map(str::to_owned), region: region.to_owned(), ..Default::default() };
            Bucket { connection: &connection, bucket: "docs", prefix }.location()
        };
        assert_eq!(location(Some("https://nas:9000/"), "us-east-1", "a/b"), "s3:https://nas:9000/docs/a/b");
        assert_eq!(location(None, "eu-west-1", ""), "s3:https://s3.eu-west-1.amazonaws.com/docs");
        assert_eq!(location(None, "", ""), "s3:https://s3.amazonaws.com/docs");
    }
}
