//! A repository registered with k8up: the Secret that its objects open it with.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dr_framework::{Attr, Diagnostics, Model, Path, Result};
use serde_json::{Map, json};

use super::ENGINE;
use super::backend::{self, ACCESS_KEY_ID_KEY, CA_KEY, PASSWORD_KEY, SECRET_ACCESS_KEY_KEY};
use super::opener::{Entry, Opener};
use crate::connections::kubernetes::Kind;
use crate::engines::concepts::{RegisteredBlock, TargetArguments, TargetBlock, TargetKind, TargetServer};
use crate::engines::declared::Declared;
use crate::engines::kubernetes::objects::{Installer, Lent, Objects, Wanted, server_of};
use crate::engines::kubernetes::repository_secret::{Complete, Forms, Proof, foreign, own_secret, scope_of};
use crate::engines::kubernetes::store_keys::{self, Keys};
use crate::reference::Place;
use crate::secret::Secret;
use crate::shared::{Reached, Shared};
use crate::validators;

/// What usually installs k8up.
pub const INSTALLED_BY: Installer = Installer {
    depends_on: "helm_release.k8up",
    crds: "k8up's CRDs are the file k8up-crd.yaml of a release at https://github.com/k8up-io/k8up/releases; newer Helm charts bring them, too",
};

/// A repository of k8up's: a Secret `dr-<name>` in a namespace, with the password and the keys of the bucket. k8up has no
/// object for a repository: schedules and jobs say where it is, and the first backup makes it.
///
/// It needs an S3 store, one of `password`, `password_wo` and `existing_secret`, and `store.credentials` unless the Secret is
/// somebody else's. What k8up stores is in restic's format, so a password by name opens it here too: points are read from the
/// repository itself.
#[derive(Model, Clone, Debug, PartialEq)]
pub struct K8upTarget {
    /// The name of the Kubernetes connection in the provider block.
    #[dr(default = "default", validate = validators::reference_name)]
    pub cluster: Attr<String>,
    /// The namespace whose volumes are backed up: k8up works in one at a time.
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
    /// A Secret that something else makes, or several. They are waited for and never written.
    #[dr(optional)]
    pub existing_secret: Attr<ExistingSecret>,
    /// Whether fields are taken that another program owns.
    #[dr(default = false)]
    pub force_conflicts: Attr<bool>,
}

/// A Secret in the namespace, or several: what is called otherwise, or lies elsewhere, is named as a Schedule of k8up's names it.
#[derive(Model, Clone, Debug, PartialEq)]
pub struct ExistingSecret {
    /// Its name. It holds `password`, `access_key_id`, `secret_access_key`, and `ca.pem` when the connection has certificates
    /// of its own.
    #[dr(required, validate = validators::name)]
    pub name: Attr<String>,
    /// Where the repository's password is, if not under `password`.
    #[dr(optional)]
    pub repo_password_secret_ref: Attr<SecretRef>,
    /// Where the id of the bucket's key is, if not under `access_key_id`.
    #[dr(optional)]
    pub access_key_id_secret_ref: Attr<SecretRef>,
    /// Where the secret of the bucket's key is, if not under `secret_access_key`.
    #[dr(optional)]
    pub secret_access_key_secret_ref: Attr<SecretRef>,
    /// Where the certificates of the store are, if not under `ca.pem`.
    #[dr(optional)]
    pub ca_secret_ref: Attr<SecretRef>,
}

/// A key of a Secret in the namespace.
#[derive(Model, Clone, Debug, PartialEq)]
pub struct SecretRef {
    /// The Secret's name; that of `existing_secret` if left out.
    #[dr(optional, validate = validators::name)]
    pub name: Attr<String>,
    /// The key in it.
    #[dr(required, validate = validators::secret_key)]
    pub key: Attr<String>,
}

impl SecretRef {
    fn entry(given: &Attr<SecretRef>, secret: &str, usual: &str) -> Option<Entry> {
        match given {
            Attr::Null => Some(Entry::new(secret, usual)),
            Attr::Unknown => None,
            Attr::Known(SecretRef { name: Attr::Null, key }) => Some(Entry::new(secret, key.text()?)),
            Attr::Known(SecretRef { name, key }) => Some(Entry::new(name.text()?, key.text()?)),
        }
    }

    /// How a configuration says where a key is; not at all where it is usual.
    fn of(entry: &Entry, secret: &str, usual: &str) -> Attr<Self> {
        let name = (entry.secret != secret).then(|| entry.secret.clone()).into();
        let unusual = *entry != Entry::new(secret, usual);
        unusual.then(|| SecretRef { name, key: Attr::Known(entry.key.clone()) }).into()
    }
}

impl ExistingSecret {
    /// As a configuration says what opens a repository.
    pub fn of(opener: &Opener) -> Self {
        let name = &opener.password.secret;
        ExistingSecret {
            name: Attr::Known(name.clone()),
            repo_password_secret_ref: SecretRef::of(&opener.password, name, PASSWORD_KEY),
            access_key_id_secret_ref: SecretRef::of(&opener.id, name, ACCESS_KEY_ID_KEY),
            secret_access_key_secret_ref: SecretRef::of(&opener.secret, name, SECRET_ACCESS_KEY_KEY),
            ca_secret_ref: SecretRef::of(&opener.ca, name, CA_KEY),
        }
    }

    /// What opens the repository; `None` while it is not known.
    pub fn opener(&self) -> Option<Opener> {
        let name = self.name.text()?;
        Some(Opener {
            password: SecretRef::entry(&self.repo_password_secret_ref, name, PASSWORD_KEY)?,
            id: SecretRef::entry(&self.access_key_id_secret_ref, name, ACCESS_KEY_ID_KEY)?,
            secret: SecretRef::entry(&self.secret_access_key_secret_ref, name, SECRET_ACCESS_KEY_KEY)?,
            ca: SecretRef::entry(&self.ca_secret_ref, name, CA_KEY)?,
        })
    }
}

impl K8upTarget {
    fn is_known(&self) -> bool {
        let written = K8upTarget { password_wo: Attr::Null, ..self.clone() };
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
}

impl TargetBlock for K8upTarget {
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

/// The Secret with which k8up opens a repository, without a body while its password is not to be written.
pub fn secret(name: &str, password: Option<&Secret>, keys: &Keys, ca_pem: Option<&str>) -> Wanted {
    let mut data = Map::new();
    let mut put = |key: &str, value: &str| data.insert(key.to_owned(), STANDARD.encode(value).into());
    put(PASSWORD_KEY, password.map(Secret::expose).unwrap_or_default());
    put(ACCESS_KEY_ID_KEY, &keys.id);
    put(SECRET_ACCESS_KEY_KEY, keys.secret.expose());
    if let Some(ca_pem) = ca_pem {
        put(CA_KEY, ca_pem);
    }
    // A value that is in no state can't be written again without being given again.
    let body = password.map(|_| json!({ "type": "Opaque", "data": data }));
    Wanted { kind: Kind::SECRET, name: name.to_owned(), body, lasting: false }
}

/// k8up takes an id and a key, and nothing beside.
pub fn without_token(keys: &Keys, path: Path) -> Result<()> {
    match keys.token {
        None => Ok(()),
        Some(_) => Err(Diagnostics::error_at(
            path,
            "k8up takes no session token",
            "These keys end after a while and need a token, which k8up can't be told: use keys that last.",
        )),
    }
}

#[async_trait]
impl RegisteredBlock for K8upTarget {
    fn connection(&self) -> Attr<String> {
        self.cluster.clone()
    }

    /// The namespace, with what opens the repository where that is no Secret of the target's name.
    fn scope(&self) -> Attr<String> {
        let opener = self.existing_secret.as_ref().and_then(|secret| match secret.opener() {
            Some(opener) => Attr::Known(opener.to_string()),
            None => Attr::Unknown,
        });
        scope_of(&self.namespace, &opener)
    }

    fn check(&self, store: &Attr<Place>, credentials: &Attr<String>) -> Diagnostics {
        let mut found = Diagnostics::default();
        if matches!(store, Attr::Known(Place::Local { .. })) {
            found.extend(backend::no_folders(Path::attribute("store").then("local")));
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
        let (Some(cluster), Some(namespace)) = (self.cluster.text(), self.namespace.text()) else { return Ok(None) };
        let cluster = shared.cluster(cluster, &Path::attribute(ENGINE).then("cluster"))?;
        let reached = shared.reach(target.place, &Path::attribute("store").then("s3"))?;
        let (Some(cluster), Some(reached), true) = (cluster, reached, self.is_known()) else { return Ok(None) };
        let Reached::S3 { connection, .. } = &reached else { return Ok(None) };
        store_keys::carried(connection, ENGINE)?;
        let Some(password) = self.forms().password(shared, write_only)? else { return Ok(None) };
        let ca_pem = connection.ca_pem.as_deref();
        let opener = match self.existing_secret.known() {
            Some(secret) => secret.opener(),
            None => Some(Opener::in_one(&own_secret(target.name))),
        };
        let Some(opener) = opener else { return Ok(None) };
        let wanted = match self.existing_secret.is_known() {
            true => foreign(&opener.password.secret),
            false => {
                let Some(Some(keys)) = store_keys::of(shared, connection, target.credentials)? else {
                    return Ok(None);
                };
                without_token(&keys, Path::attribute("store").then("credentials"))?;
                secret(&own_secret(target.name), password.as_ref(), &keys, ca_pem)
            }
        };
        let (own, others): (Vec<&Entry>, Vec<&Entry>) =
            opener.needed(ca_pem.is_some()).partition(|entry| entry.secret == wanted.name);
        let keys = own.into_iter().map(|entry| entry.key.clone()).collect();
        let needed_by = "`existing_secret` names it, and k8up can't open the repository without it";
        let lend = |entry: &Entry| Lent { name: entry.secret.clone(), key: entry.key.clone(), needed_by };
        let lent = others.into_iter().map(lend).collect();
        let external = self.existing_secret.is_known();
        let force = self.force_conflicts == Attr::Known(true);
        let proof = Proof::of(shared, PASSWORD_KEY, &reached, password.as_ref(), force);
        let settle = Box::new(Complete {
            secret: wanted.name.clone(),
            keys,
            renamed: "Where it has one of them under another name, say so with `existing_secret`: repo_password_secret_ref, \
                      access_key_id_secret_ref, secret_access_key_secret_ref and ca_secret_ref name a key, and a Secret",
            location: None,
            place: reached.place(),
            external,
            proof,
        });
        let (namespace, waiting) = (namespace.to_owned(), shared.waiting.clone());
        let mut objects = Objects::new(cluster, namespace, vec![wanted], INSTALLED_BY, waiting, settle);
        objects.force = force;
        objects.external = external;
        objects.lent = lent;
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
    fn what_opens_a_repository_is_said_as_a_schedule_of_k8ups_says_it() {
        let store = |key: &str| {
            Attr::Known(SecretRef { name: Attr::Known("objectstore".to_owned()), key: Attr::Known(key.to_owned()) })
        };
        let password = SecretRef { name: Attr::Null, key: Attr::Known("pw".to_owned()) };
        let existing = ExistingSecret {
            name: Attr::Known("backup-repo".to_owned()),
            repo_password_secret_ref: Attr::Known(password),
            access_key_id_secret_ref: store("username"),
            secret_access_key_secret_ref: store("password"),
            ca_secret_ref: Attr::Null,
        };
        let opener = existing.opener().unwrap();
        let text = "backup-repo:pw,objectstore:username,objectstore:password,backup-repo:ca.pem";
        assert_eq!(opener.to_string(), text);
        assert_eq!(ExistingSecret::of(&opener), existing);
        assert_eq!(ExistingSecret::of(&Opener::in_one("theirs")).opener(), Some(Opener::in_one("theirs")));
        let open = ExistingSecret { access_key_id_secret_ref: Attr::Unknown, ..existing.clone() };
        assert_eq!(open.opener(), None);
        let target = |existing_secret| K8upTarget {
            cluster: "prod".into(),
            namespace: "wiki".into(),
            password: Attr::Null,
            password_wo: Attr::Null,
            password_wo_version: Attr::Null,
            existing_secret,
            force_conflicts: Attr::Known(false),
        };
        assert_eq!(target(Attr::Known(existing)).scope(), Attr::Known(format!("wiki/{text}")));
        assert_eq!(target(Attr::Known(open)).scope(), Attr::Unknown);
        assert_eq!(target(Attr::Null).scope(), Attr::Known("wiki".to_owned()));
    }

    #[test]
    fn a_secret_without_its_password_is_never_written() {
        let keys = Keys::parse(&Secret::new("id:key")).unwrap();
        let wanted = secret("dr-main", Some(&Secret::new("p")), &keys, None);
        assert_eq!(
            wanted.body.unwrap()["data"],
            json!({ "password": "cA==", "access_key_id": "aWQ=", "secret_access_key": "a2V5" })
        );
        assert_eq!(secret("dr-main", None, &keys, Some("pem")).body, None);
    }
}
