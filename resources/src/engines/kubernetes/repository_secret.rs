//! The Secret that tells an engine's pods where a restic repository is and what opens it: written by us, with a password by
//! name or one that is in no state, or somebody else's.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dr_framework::{Attr, Diagnostics, Path, Redactor, Result};
use serde_json::Value;

use super::objects::{Settle, Wanted};
use crate::connections::kubernetes::{Cluster, DynamicObject, Kind};
use crate::engines::concepts::{Blame, Failure, RegisteredBlock, Seen, Target};
use crate::engines::restic::error::EngineError;
use crate::engines::restic::site::{KeptPassword, Site};
use crate::reference::{Place, Reference};
use crate::secret::Secret;
use crate::shared::{Reached, Shared};
use crate::waiting::Patience;

/// The namespace of a scope, which is `namespace`, or `namespace/secret` where the Secret has a name of its own.
pub fn namespace_of(scope: &Attr<String>) -> Attr<String> {
    scope.clone().map(|scope| scope.split('/').next().unwrap_or_default().to_owned())
}

/// The scope of a target in a namespace.
pub fn scope_of(namespace: &Attr<String>, existing_secret: &Attr<String>) -> Attr<String> {
    match existing_secret {
        Attr::Null => namespace.clone(),
        Attr::Unknown => Attr::Unknown,
        Attr::Known(secret) => namespace.clone().map(|namespace| format!("{namespace}/{secret}")),
    }
}

/// The name of the Secret that the provider writes for a target.
pub fn own_secret(target: &str) -> String {
    format!("dr-{target}")
}

/// The name of the Secret that a reference to a target means.
pub fn secret_of(target: &Reference) -> Option<String> {
    match target.scope.text()?.split_once('/') {
        Some((_, secret)) => Some(secret.to_owned()),
        None => Some(own_secret(target.name.text()?)),
    }
}

/// The repository of a reference that stands at `path`, by one name however its connection is called.
pub fn repository_of(shared: &Shared, target: &Reference, path: &Path) -> Result<String> {
    let place = Place::from_reference(&target.store, path)?;
    let (store, prefix) = place.map(|place| shared.exclusive(&place)).unwrap_or_default();
    Ok(format!("{store} {prefix}").trim_end().to_owned())
}

/// The password of a target that names none of the provider's secrets: in the Secret of its engine, whoever made that, under a
/// key. The outer `None` is not known yet, the inner one is a reference that leads to no Secret.
pub fn kept_password(
    shared: &Shared,
    reference: &Reference,
    path: &Path,
    kept: Option<(String, String)>,
) -> Result<Option<Option<Arc<dyn KeptPassword>>>> {
    if !reference.secret.is_null() || reference.kind.text() != Some("backup_target") {
        return Ok(Some(None));
    }
    let (Some(connection), Some(namespace), Some((name, key))) =
        (reference.connection.text(), namespace_of(&reference.scope).into_known(), kept)
    else {
        return Ok(None);
    };
    let Some(cluster) = shared.cluster(connection, &path.clone().then("connection"))? else { return Ok(None) };
    Ok(Some(Some(Arc::new(InSecret { cluster, namespace, name, key, redactor: shared.redactor.clone() }))))
}

/// A password in a Secret.
struct InSecret {
    cluster: Cluster,
    namespace: String,
    name: String,
    key: String,
    redactor: Redactor,
}

#[async_trait]
impl KeptPassword for InSecret {
    async fn read(&self) -> std::result::Result<Secret, EngineError> {
        let called =
            format!("{} on cluster `{}`", Kind::SECRET.called(&self.namespace, &self.name), self.cluster.name());
        let no = |why: String| EngineError::NoPassword {
            reason: format!("the password of the repository is in {called}, {why}"),
        };
        let found = self.cluster.find(&Kind::SECRET, &self.namespace, &self.name).await;
        let found = found.map_err(|error| no(format!("which can't be read: {error}")))?;
        let found = found.ok_or_else(|| no("which is not there".to_owned()))?;
        let text = found.data["data"][self.key.as_str()].as_str().and_then(|text| STANDARD.decode(text).ok());
        let text = text.and_then(|text| String::from_utf8(text).ok()).filter(|text| !text.is_empty());
        let lacks = || format!("which has no {}; {}", self.key, keys_in(&found.data["data"]));
        let password = text.ok_or_else(|| no(lacks()))?;
        self.redactor.learn(&password);
        Ok(Secret::new(password))
    }
}

/// A location in a bucket in one spelling: restic takes a line's end after it, and `s3:server/bucket` for `https`.
pub fn plain(location: &str) -> String {
    let location = location.trim().trim_end_matches('/');
    match location.strip_prefix("s3:") {
        Some(rest) if !rest.contains("://") => format!("s3:https://{rest}"),
        _ => location.to_owned(),
    }
}

/// The ways in which a block can give the password of a repository.
pub struct Forms<'a> {
    /// The name of the block.
    pub engine: &'static str,
    /// Its name under `secrets`.
    pub password: &'a Attr<String>,
    /// Its value, which is in no state.
    pub password_wo: &'a Attr<String>,
    /// Whose change writes it again.
    pub password_wo_version: &'a Attr<i64>,
    /// Whether the Secret is somebody else's.
    pub existing_secret: Attr<()>,
}

impl Forms<'_> {
    fn path(&self, argument: &str) -> Path {
        Path::attribute(self.engine).then(argument)
    }

    fn has_none(&self) -> bool {
        self.password.is_null()
            && self.password_wo.is_null()
            && self.password_wo_version.is_null()
            && self.existing_secret.is_null()
    }

    /// What is wrong with the ways in which the password is given. What is not known yet is neither set nor absent.
    pub fn check(&self) -> Diagnostics {
        let written = self.password_wo.is_known() || self.password_wo_version.is_known();
        let refuse = |argument: &str, summary: &str, detail: &str| {
            Diagnostics::error_at(self.path(argument), summary, detail.to_owned())
        };
        if self.password_wo.is_known() && self.password_wo_version.is_null() {
            return refuse(
                "password_wo_version",
                "A write-only value without a version",
                "Set `password_wo_version = 1`: another number writes `password_wo` again.",
            );
        }
        match (self.password.is_known(), written, self.existing_secret.is_known()) {
            (false, false, false) if self.has_none() => refuse(
                "password",
                "A repository without a password",
                "Set one of `password`, `password_wo` and `existing_secret`.",
            ),
            (true, true, _) => refuse("password_wo", "Two passwords", "Set one of `password` and `password_wo`."),
            (_, true, true) => refuse(
                "password_wo",
                "Two forms of a password",
                "What is in `existing_secret` is never written: leave `password_wo` out.",
            ),
            _ => Diagnostics::default(),
        }
    }

    /// What is wrong with the key of the bucket.
    pub fn check_credentials(&self, credentials: &Attr<String>) -> Diagnostics {
        let path = Path::attribute("store").then("credentials");
        match (&self.existing_secret, credentials) {
            (Attr::Null, Attr::Null) => Diagnostics::error_at(
                path,
                "A store without a key",
                "The engine's pods need the key of the bucket: set `credentials` to the name of a secret of the form \
                 `<access key id>:<secret access key>`, or to \"connection\" for the connection's own key.",
            ),
            (Attr::Known(()), Attr::Known(_)) => Diagnostics::error_at(
                path,
                "Two forms of credentials",
                format!("`{}.existing_secret` holds the key of the bucket: leave `credentials` out.", self.engine),
            ),
            _ => Diagnostics::default(),
        }
    }

    /// The password that is to be written, where there is one now: the outer `None` is not known yet.
    pub fn password(
        &self,
        shared: &Shared,
        write_only: Option<&dyn RegisteredBlock>,
    ) -> Result<Option<Option<Secret>>> {
        match self.password.text() {
            Some(name) => Ok(shared.secret(name, &self.path("password"))?.map(Some)),
            None => {
                let written = write_only.and_then(|block| block.write_only("password_wo").into_known());
                Ok(Some(written.map(Secret::new)))
            }
        }
    }
}

/// Somebody else's Secret, as it is waited for.
pub fn foreign(name: &str) -> Wanted {
    Wanted { kind: Kind::SECRET, name: name.to_owned(), body: None, lasting: false }
}

/// How long somebody else's lock is waited for: nothing is locked while a password is tried.
const LOCK_WAIT: Duration = Duration::from_secs(60);

/// The keys that a Secret has, for whoever misses one.
pub fn keys_in(data: &Value) -> String {
    let keys: Vec<_> = data.as_object().into_iter().flatten().map(|(key, _)| format!("`{key}`")).collect();
    match keys.as_slice() {
        [] => "it has no keys".to_owned(),
        [key] => format!("its only key is {key}"),
        keys => format!("its keys are {}", keys.join(", ")),
    }
}

/// Reads whether a Secret that somebody else makes holds what the engine's pods need.
pub struct Complete {
    /// Its name.
    pub secret: String,
    /// The keys that it has to have.
    pub keys: Vec<String>,
    /// What to do where it has them under other names.
    pub renamed: &'static str,
    /// A key whose value says where the repository is, and where it has to be.
    pub location: Option<(&'static str, String)>,
    /// Where the provider finds the repository.
    pub place: String,
    /// Whether it is somebody else's: what we write ourselves is complete.
    pub external: bool,
    /// What makes sure that a password opens the repository before it is written.
    pub proof: Option<Proof>,
}

/// Where the repository may be that a password opens which is written over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lost {
    /// Where the new one is to open it.
    Here,
    /// Anywhere.
    Elsewhere,
}

/// A password that is to be written, with the repository that it has to open.
pub struct Proof {
    /// The key of the password.
    pub key: &'static str,
    /// The repository, as the password opens it.
    pub site: Site,
    /// Whether it is written over another one where the repository can't be asked.
    pub force: bool,
}

impl Proof {
    /// Of a password, if one is to be written.
    pub fn of(
        shared: &Shared,
        key: &'static str,
        reached: &Reached,
        password: Option<&Secret>,
        force: bool,
    ) -> Option<Self> {
        let site = |password: &Secret| Site::at(shared, reached.clone(), password.clone(), LOCK_WAIT, true, None);
        password.map(|password| Proof { key, site: site(password), force })
    }

    /// Refuses a password that does not open what is there: backups would end, and the one that is written over may be the
    /// last that does open it. `lost` is where the repository may be that such a one opens, if one is written over.
    async fn check(&self, called: &str, lost: Option<Lost>) -> std::result::Result<(), Failure> {
        let opened = async {
            match Target::look(&self.site).await? {
                Seen::Absent => Ok(false),
                _ => Target::check(&self.site).await.map(|_| true),
            }
        };
        match opened.await {
            Ok(true) => Ok(()),
            Ok(false) if lost == Some(Lost::Elsewhere) && !self.force => Err(Failure {
                message: format!(
                    "{called} holds another password, which may be the only copy of one that opens a repository elsewhere: \
                     there is none at {}",
                    self.site.describe()
                ),
                hint: Some("Set `force_conflicts = true` to write over it".to_owned()),
                blame: Blame::Block,
            }),
            Ok(false) => Ok(()),
            Err(error) if error.blame == Blame::Secret => Err(Failure {
                message: format!("{called} was not written: {error}"),
                hint: Some(
                    "Give the password that opens it. To change that, add the new one to the repository first: `restic key \
                     add`"
                        .to_owned(),
                ),
                blame: Blame::Block,
            }),
            Err(error) if lost.is_some() && !self.force => Err(Failure {
                message: format!(
                    "{called} holds another password, and whether the new one opens the repository can't be told: {error}"
                ),
                hint: Some("Set `force_conflicts = true` to write it all the same".to_owned()),
                blame: Blame::Block,
            }),
            // What only the cluster reaches can't be looked at.
            Err(_) => Ok(()),
        }
    }
}

impl Complete {
    fn missing(&self, data: &Value) -> Vec<&str> {
        self.keys.iter().map(String::as_str).filter(|key| !data[*key].is_string()).collect()
    }

    /// What is missing or leads elsewhere, without the values.
    fn lacks(&self, data: &Value) -> Option<String> {
        let missing = self.missing(data);
        if !missing.is_empty() {
            return Some(format!("it has no {}; {}", missing.join(" and no "), keys_in(data)));
        }
        self.leads_elsewhere(data)
    }

    fn leads_elsewhere(&self, data: &Value) -> Option<String> {
        let (key, place) = self.location.as_ref()?;
        let text = data[*key].as_str().and_then(|text| STANDARD.decode(text).ok());
        let same = text.is_some_and(|text| plain(&String::from_utf8_lossy(&text)) == plain(place));
        (!same).then(|| format!("its {key} is another one than {place}, which `store` means"))
    }
}

#[async_trait]
impl Settle for Complete {
    fn about_another(&self, wanted: &Wanted, live: &DynamicObject) -> Option<String> {
        let (key, _) = self.location.as_ref()?;
        let data = Some(&live.data["data"]).filter(|data| data[*key].is_string() && wanted.kind == Kind::SECRET)?;
        self.leads_elsewhere(data)
    }

    fn place(&self) -> Option<String> {
        Some(self.place.clone())
    }

    async fn before_write(
        &self,
        wanted: &Wanted,
        live: Option<&DynamicObject>,
        before: Option<&str>,
    ) -> std::result::Result<(), Failure> {
        let Some(proof) = &self.proof else { return Ok(()) };
        let held = live.map(|live| &live.data["data"][proof.key]).filter(|held| held.is_string());
        let stays = held.is_some() && held == wanted.body.as_ref().map(|body| &body["data"][proof.key]);
        let place_stays = before == Some(self.place.as_str());
        if stays && place_stays {
            return Ok(());
        }
        let lost = held.filter(|_| !stays).map(|_| if place_stays { Lost::Here } else { Lost::Elsewhere });
        proof.check(&format!("Secret {}", self.secret), lost).await
    }

    async fn settle(
        &self,
        cluster: &Cluster,
        namespace: &str,
        _: Patience,
    ) -> std::result::Result<Vec<String>, Failure> {
        let found = if self.external { cluster.get(&Kind::SECRET, namespace, &self.secret).await? } else { None };
        let lacks = found.as_ref().and_then(|found| self.lacks(&found.data["data"]));
        let called = Kind::SECRET.called(namespace, &self.secret);
        match (lacks, found) {
            (Some(what), Some(found)) => {
                let message =
                    format!("{called} on cluster `{}` is no repository of this target: {what}", cluster.name());
                let hint = (!self.missing(&found.data["data"]).is_empty()).then(|| self.renamed.to_owned());
                Err(Failure { hint, ..Failure::new(message, Blame::Store) })
            }
            _ => Ok(Vec::new()),
        }
    }

    fn unavailable(&self, main: &DynamicObject) -> Option<String> {
        self.external.then(|| self.lacks(&main.data["data"])).flatten()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::engines::kubernetes::quiesce::tests::api::Api;

    fn encoded(text: &str) -> Value {
        STANDARD.encode(text).into()
    }

    fn summary(forms: &Forms<'_>) -> Option<String> {
        forms.check().0.first().map(|error| error.summary.clone())
    }

    #[test]
    fn a_password_is_given_in_one_form_and_what_is_not_known_is_no_error() {
        let (none, named) = (Attr::<String>::Null, Attr::Known("repo".to_owned()));
        let (no_version, version, open) = (Attr::Null, Attr::Known(1), Attr::Unknown);
        let forms = Forms {
            engine: "k8up",
            password: &none,
            password_wo: &none,
            password_wo_version: &no_version,
            existing_secret: Attr::Null,
        };
        assert_eq!(summary(&forms).as_deref(), Some("A repository without a password"));
        let with_name = Forms { password: &named, existing_secret: Attr::Null, ..forms };
        assert_eq!(summary(&with_name), None);
        let beside = Forms { existing_secret: Attr::Known(()), ..with_name };
        assert_eq!(summary(&beside), None, "the name lets the provider read the repository");
        let two =
            Forms { password_wo: &named, password_wo_version: &version, existing_secret: Attr::Null, ..with_name };
        assert_eq!(summary(&two).as_deref(), Some("Two passwords"));
        let never = Forms { password: &none, existing_secret: Attr::Known(()), ..two };
        assert_eq!(summary(&never).as_deref(), Some("Two forms of a password"));
        let lonely = Forms { password_wo_version: &no_version, existing_secret: Attr::Null, ..never };
        assert_eq!(summary(&lonely).as_deref(), Some("A write-only value without a version"));
        let unknown = Forms { password_wo: &none, existing_secret: Attr::Unknown, ..lonely };
        assert_eq!(summary(&unknown), None);
        let unknown = Forms { password: &open, existing_secret: Attr::Null, ..unknown };
        assert_eq!(summary(&unknown), None);
    }

    #[test]
    fn the_key_of_a_bucket_is_in_the_secret_or_by_name() {
        let (none, no_version) = (Attr::Null, Attr::Null);
        let given = |existing_secret: Attr<()>, credentials: Attr<String>| {
            let (password, password_wo, password_wo_version) = (&none, &none, &no_version);
            let forms = Forms { engine: "k8up", password, password_wo, password_wo_version, existing_secret };
            forms.check_credentials(&credentials).0.first().map(|error| error.summary.clone())
        };
        assert_eq!(given(Attr::Null, Attr::Null).as_deref(), Some("A store without a key"));
        assert_eq!(given(Attr::Known(()), "keys".into()).as_deref(), Some("Two forms of credentials"));
        assert_eq!(given(Attr::Known(()), Attr::Null), None);
        assert_eq!(given(Attr::Null, "keys".into()), None);
        assert_eq!(given(Attr::Unknown, Attr::Null), None);
        assert_eq!(given(Attr::Null, Attr::Unknown), None);
        assert_eq!(given(Attr::Known(()), Attr::Unknown), None);
    }

    #[test]
    fn a_scope_names_the_secret_where_the_target_does_not() {
        let namespace = Attr::Known("wiki".to_owned());
        assert_eq!(scope_of(&namespace, &Attr::Null), namespace);
        assert_eq!(scope_of(&namespace, &Attr::Unknown), Attr::Unknown);
        let scope = scope_of(&namespace, &"theirs".into());
        assert_eq!((scope.text(), namespace_of(&scope).text()), (Some("wiki/theirs"), Some("wiki")));
        let reference = Reference { name: "main".into(), scope, ..Reference::default() };
        assert_eq!(secret_of(&reference).as_deref(), Some("theirs"));
        let reference = Reference { name: "main".into(), scope: namespace, ..Reference::default() };
        assert_eq!(secret_of(&reference).as_deref(), Some("dr-main"));
    }

    #[tokio::test]
    async fn a_password_that_is_kept_in_a_secret_is_read_there_and_never_printed() {
        let (api, redactor) = (Api::new(), Redactor::default());
        let kept = InSecret {
            cluster: api.cluster(),
            namespace: "wiki".to_owned(),
            name: "theirs".to_owned(),
            key: "password".to_owned(),
            redactor: redactor.clone(),
        };
        let why = async || kept.read().await.err().map(|error| error.to_string()).unwrap_or_default();
        let missing = why().await;
        assert!(missing.contains("Secret wiki/theirs on cluster `prod`, which is not there"), "{missing}");
        api.put(&Kind::SECRET, "wiki", "theirs", json!({ "data": { "other": encoded("x") } }));
        kept.cluster.apply_begins();
        assert!(why().await.ends_with("which has no password; its only key is `other`"));
        api.put(&Kind::SECRET, "wiki", "theirs", json!({ "data": { "password": encoded("canary-kept-77") } }));
        assert!(kept.read().await.is_ok_and(|password| password.expose() == "canary-kept-77"));
        assert!(!redactor.redact("it is canary-kept-77").contains("canary"));
        api.forbid("GET", &Kind::SECRET);
        assert!(why().await.contains("which can't be read"));
    }

    #[test]
    fn a_location_has_more_than_one_spelling() {
        for same in ["s3:https://nas:9000/docs", "s3:nas:9000/docs/", " s3:https://nas:9000/docs/\n"] {
            assert_eq!(plain(same), "s3:https://nas:9000/docs");
        }
        assert_eq!(plain("s3:http://nas/docs"), "s3:http://nas/docs");
        assert_eq!(plain("rest:http://nas/docs\n"), "rest:http://nas/docs");
    }

    #[tokio::test]
    async fn a_secret_without_a_key_is_told_with_the_keys_that_it_has_and_the_way_out() {
        let api = Api::new();
        api.put(&Kind::SECRET, "wiki", "theirs", json!({ "data": { "pw": encoded("canary-pw-41") } }));
        let complete = Complete {
            secret: "theirs".into(),
            keys: vec!["password".into(), "access_key_id".into()],
            renamed: "Name the key that it has",
            location: None,
            place: "http://s docs".into(),
            external: true,
            proof: None,
        };
        let failure = complete.settle(&api.cluster(), "wiki", Patience::default()).await.unwrap_err();
        let message = "Secret wiki/theirs on cluster `prod` is no repository of this target: it has no password and no \
                       access_key_id; its only key is `pw`";
        assert_eq!((failure.message.as_str(), failure.hint.as_deref()), (message, Some("Name the key that it has")));
        assert_eq!(keys_in(&Value::Null), "it has no keys");
    }

    #[test]
    fn somebody_elses_secret_has_to_lead_where_the_store_does() {
        let complete = Complete {
            secret: "x".into(),
            keys: ["LOCATION", "PASSWORD", "ca.pem"].map(str::to_owned).into(),
            renamed: "Rename them",
            location: Some(("LOCATION", "s3:http://s/docs".into())),
            place: "http://s docs".into(),
            external: true,
            proof: None,
        };
        let mut data = json!({ "LOCATION": encoded("s3:http://s/docs/"), "PASSWORD": encoded("p") });
        let lacks = "it has no ca.pem; its keys are `LOCATION`, `PASSWORD`";
        assert_eq!(complete.lacks(&data).as_deref(), Some(lacks));
        data["ca.pem"] = encoded("pem");
        assert_eq!(complete.lacks(&data), None);
        data["LOCATION"] = encoded("s3:http://u:canary@s/other");
        let lacks = complete.lacks(&data).unwrap();
        assert!(lacks.contains("another one") && !lacks.contains("canary"), "{lacks}");
    }
}
