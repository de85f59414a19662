//! The Secret of a restic repository that an import finds in a cluster, and the target that it is.

use dr_framework::{Attr, Diagnostics};

use super::imported::{are_own_keys, held, keys_named, read, secret_named, server_uid};
use super::objects::is_ours;
use super::repository_secret::own_secret;
use super::store_keys::Keys;
use crate::connections::kubernetes::{Cluster, DynamicObject, Kind};
use crate::connections::s3::S3Connection;
use crate::reference::{Place, Reference};
use crate::shared::Shared;

/// The Secret of a repository, as it is on the server.
pub struct RepositorySecret {
    /// The scope of its target: a namespace, where the Secret is `dr-<name>`, or `namespace/secret`, where it is somebody
    /// else's; with a colon and more where its keys have other names than the usual ones.
    pub scope: String,
    /// The name of its target.
    pub target: String,
    object: DynamicObject,
}

/// Why nothing is imported.
pub fn refuse(detail: String) -> Diagnostics {
    Diagnostics::error("Unable to import", detail)
}

impl RepositorySecret {
    /// The one of the target that an import names.
    pub async fn named(
        cluster: &Cluster,
        engine: &'static str,
        scope: &str,
        target: &str,
    ) -> Result<Self, Diagnostics> {
        let (namespace, foreign) = match scope.split_once('/') {
            Some((namespace, secret)) => (namespace, secret.split(':').next().map(str::to_owned)),
            None => (scope, None),
        };
        let is_own = foreign.is_none();
        let name = foreign.unwrap_or_else(|| own_secret(target));
        let object = read(cluster, &Kind::SECRET, namespace, &name).await?;
        if is_own && !is_ours(&object) {
            return Err(refuse(format!(
                "{} was made by something else, which goes on writing it: import it as `existing_secret`, with the id \
                 `{engine}:{}/{namespace}/{name}/{target}`.",
                Kind::SECRET.called(namespace, &name),
                cluster.name()
            )));
        }
        Ok(RepositorySecret { scope: scope.to_owned(), target: target.to_owned(), object })
    }

    /// The one that an object of the engine uses.
    pub async fn used(cluster: &Cluster, namespace: &str, name: &str) -> Result<Self, Diagnostics> {
        let object = read(cluster, &Kind::SECRET, namespace, name).await?;
        let (scope, target) = target_of(namespace, name, is_ours(&object));
        Ok(RepositorySecret { scope, target, object })
    }

    /// The same, as somebody else's, in a target whose scope says so after the namespace.
    pub fn opened_by(self, text: &str) -> Self {
        RepositorySecret { scope: format!("{}/{text}", self.namespace()), ..self }
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        self.scope.split('/').next().unwrap_or_default()
    }

    /// Its name.
    pub fn name(&self) -> String {
        let foreign = self.foreign().and_then(|secret| secret.split(':').next());
        foreign.map_or_else(|| own_secret(&self.target), str::to_owned)
    }

    /// What stands in the scope after the namespace, where it is somebody else's.
    pub fn foreign(&self) -> Option<&str> {
        self.scope.split_once('/').map(|(_, secret)| secret)
    }

    /// What it is called in messages.
    pub fn called(&self) -> String {
        Kind::SECRET.called(self.namespace(), &self.name())
    }

    /// Its uid.
    pub fn uid(&self) -> String {
        self.object.metadata.uid.clone().unwrap_or_default()
    }

    /// What it holds under a key.
    pub fn held(&self, key: &str) -> Option<Vec<u8>> {
        held(&self.object, key)
    }

    /// How a configuration says the keys of the store that are in it; not at all, where it is somebody else's.
    pub fn credentials(
        &self,
        shared: &Shared,
        connection: &S3Connection,
        id_key: &str,
        secret_key: &str,
    ) -> Option<String> {
        if self.foreign().is_some() {
            return None;
        }
        keys_named(shared, connection, self.holds(id_key, secret_key))
    }

    /// The S3 connections of the provider block: of several to one server the one comes first whose key is in it.
    pub fn connections(&self, shared: &Shared, id_key: &str, secret_key: &str) -> Vec<(String, S3Connection)> {
        let mut known = shared.s3_connections();
        known.sort_by_key(|(_, connection)| !are_own_keys(shared, connection, self.holds(id_key, secret_key)));
        known
    }

    fn holds(&self, id_key: &str, secret_key: &str) -> impl Fn(&Keys) -> bool {
        let is = |key: &str, value: &str| self.held(key).as_deref() == Some(value.as_bytes());
        move |keys: &Keys| is(id_key, &keys.id) && is(secret_key, keys.secret.expose())
    }

    /// The name of the password that is in it under `key`. The next apply would write another one over it where it is ours.
    pub fn password(&self, shared: &Shared, key: &str) -> Result<Option<String>, Diagnostics> {
        let password = self.held(key).and_then(|password| secret_named(shared, &password));
        if self.foreign().is_none() && password.is_none() {
            return Err(refuse(format!(
                "The {key} of {} is none of the provider's `secrets`, and the next apply would write another one over it: \
                 put it there first.",
                self.called()
            )));
        }
        Ok(password)
    }

    /// What its target is referred to by.
    pub async fn reference(
        &self,
        cluster: &Cluster,
        engine: &'static str,
        place: &Place,
        password: Attr<String>,
    ) -> Result<Reference, Diagnostics> {
        Ok(Reference {
            kind: "backup_target".into(),
            engine: engine.into(),
            connection: cluster.name().into(),
            server_uid: Attr::Known(server_uid(cluster).await?),
            scope: Attr::Known(self.scope.clone()),
            name: Attr::Known(self.target.clone()),
            uid: Attr::Known(self.uid()),
            store: Attr::Known(place.referenced()),
            secret: password,
            access: "read_write".into(),
        })
    }
}

/// The scope and the name of the target that a Secret is: as it would be imported.
fn target_of(namespace: &str, secret: &str, is_ours: bool) -> (String, String) {
    match secret.strip_prefix("dr-").filter(|_| is_ours) {
        Some(name) => (namespace.to_owned(), name.to_owned()),
        None => (format!("{namespace}/{secret}"), secret.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_secret_is_the_target_that_would_have_written_it() {
        assert_eq!(target_of("apps", "dr-docs", true), ("apps".to_owned(), "docs".to_owned()));
        for secret in ["theirs", "dr-theirs"] {
            assert_eq!(target_of("apps", secret, false), (format!("apps/{secret}"), secret.to_owned()));
        }
    }

    #[test]
    fn a_password_that_nobody_could_write_again_is_refused_where_the_secret_is_ours() {
        let secret = |scope: &str| RepositorySecret {
            scope: scope.to_owned(),
            target: "docs".to_owned(),
            object: serde_json::from_value(json!({ "metadata": {}, "data": { "password": "cA==" } })).unwrap(),
        };
        let shared = Shared::new(dr_framework::Redactor::default());
        assert_eq!(secret("apps/theirs").name(), "theirs");
        assert_eq!(secret("apps/theirs").password(&shared, "password").unwrap(), None);
        let ours = secret("apps");
        assert_eq!(ours.held("password").as_deref(), Some(b"p".as_slice()));
        let refused = ours.password(&shared, "password").unwrap_err();
        assert!(refused.0[0].detail.contains("The password of Secret apps/dr-docs is none"), "{refused:?}");
    }
}
