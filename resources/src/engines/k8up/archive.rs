//! Archives: points as compressed files in a bucket, which k8up writes at times of its own, or for a restore.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dr_framework::{Attr, Diagnostics, Model, Path, Result};
use serde_json::{Map, Value, json};

use super::ENGINE;
use super::backend::{ACCESS_KEY_ID_KEY, CA_KEY, SECRET_ACCESS_KEY_KEY, endpoint_of};
use super::target::without_token;
use crate::connections::kubernetes::Kind;
use crate::connections::s3::S3Connection;
use crate::engines::kubernetes::objects::Wanted;
use crate::engines::kubernetes::store_keys::{self, Keys};
use crate::reference::Place;
use crate::shared::{Reached, Shared};
use crate::validators;

/// Where the certificates are in the pods, and the volume that holds them.
const CA_FOLDER: &str = "/mnt/dr-ca-archive";
const CA_VOLUME: &str = "dr-ca-of-the-archive";

/// A bucket that gets archives, and when. k8up takes a whole bucket, which it makes if there is none, and signs its requests
/// the old way (version 2), which not every store takes. It calls an archive a success although restic failed.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct Archive {
    /// When: five fields, or `@daily` and the like; in the time zone of the schedule.
    #[dr(required)]
    pub cron: Attr<String>,
    /// The name of the bucket's S3 connection in the provider block.
    #[dr(required, validate = validators::reference_name)]
    pub s3: Attr<String>,
    /// The bucket. It must not be that of the repository's store: what is in there is the repository's.
    #[dr(required, validate = validators::bucket)]
    pub bucket: Attr<String>,
    /// What k8up opens the bucket with: the name of a secret of the form `<access key id>:<secret access key>`, or
    /// `connection` for the connection's own key. It is written into a Secret `dr-archive-<name>`.
    #[dr(required)]
    pub credentials: Attr<String>,
}

/// A bucket that gets the point as a compressed file. k8up takes a whole bucket, which it makes if there is none, and signs its
/// requests the old way (version 2), which not every store takes.
#[derive(Model, Clone, Debug, Default, PartialEq)]
pub struct ArchiveBucket {
    /// The name of the bucket's S3 connection in the provider block.
    #[dr(required, validate = validators::reference_name)]
    pub s3: Attr<String>,
    /// The bucket. It must not be that of the repository's store: what is in there is the repository's.
    #[dr(required, validate = validators::bucket)]
    pub bucket: Attr<String>,
    /// What k8up opens the bucket with: the name of a secret of the form `<access key id>:<secret access key>`, or
    /// `connection` for the connection's own key. It is written into a Secret that goes with the run.
    #[dr(required)]
    pub credentials: Attr<String>,
}

/// A bucket for archives as objects of k8up's say it.
pub struct OpenBucket {
    /// How it is reached from here.
    pub connection: S3Connection,
    /// `restoreMethod` of a spec.
    pub method: Value,
    /// A volume that it mounts.
    pub volume: Option<Value>,
    /// What opens the bucket.
    pub secret: Wanted,
}

/// An archive of a schedule, as objects of k8up's say it.
pub struct OpenArchive {
    /// When.
    pub cron: String,
    /// Where.
    pub bucket: OpenBucket,
}

impl OpenBucket {
    /// A spec with the bucket in it.
    pub fn put_into(&self, spec: &mut Value) {
        spec["restoreMethod"] = self.method.clone();
        let mut volumes = spec["volumes"].as_array().cloned().unwrap_or_default();
        volumes.extend(self.volume.clone());
        if !volumes.is_empty() {
            spec["volumes"] = volumes.into();
        }
    }
}

impl ArchiveBucket {
    /// The bucket, which stands at `path` and is opened with a Secret of this name: `None` while something that it takes is
    /// not known.
    pub fn open(&self, shared: &Shared, path: Path, secret: &str) -> Result<Option<OpenBucket>> {
        let (Some(name), Some(bucket)) = (self.s3.text(), self.bucket.text()) else { return Ok(None) };
        let place = Place::S3 { connection: name.to_owned(), bucket: bucket.to_owned(), prefix: String::new() };
        let Some(Reached::S3 { connection, .. }) = shared.reach(&place, &path.clone().then("s3"))? else {
            return Ok(None);
        };
        store_keys::carried_at(&connection, ENGINE, path.clone().then("s3"))?;
        let credentials = path.then("credentials");
        let keys = store_keys::of_at(shared, &connection, &self.credentials, credentials.clone())?;
        let Some(Some(keys)) = keys else { return Ok(None) };
        without_token(&keys, credentials)?;
        Ok(Some(render(connection, bucket, &keys, secret)))
    }

    /// An archive in the repository's own bucket would lie among its files. `path` is that of the bucket's name.
    pub fn check(&self, store: Option<&Place>, path: Path) -> Diagnostics {
        match (store, self.s3.text(), self.bucket.text()) {
            (Some(Place::S3 { connection, bucket, .. }), Some(s3), Some(own)) if s3 == connection && own == bucket => {
                Diagnostics::error_at(
                    path,
                    "An archive among the repository's files",
                    "k8up takes no prefix for archives, so they need a bucket of their own.",
                )
            }
            _ => Diagnostics::default(),
        }
    }
}

impl Archive {
    fn bucket(&self) -> ArchiveBucket {
        let Archive { s3, bucket, credentials, .. } = self.clone();
        ArchiveBucket { s3, bucket, credentials }
    }

    /// What a schedule of this name takes: `None` while something of it is not known.
    pub fn open(&self, shared: &Shared, schedule: &str) -> Result<Option<OpenArchive>> {
        let Some(cron) = self.cron.text() else { return Ok(None) };
        let path = Path::attribute(ENGINE).then("archive");
        let bucket = self.bucket().open(shared, path, &format!("dr-archive-{schedule}"))?;
        Ok(bucket.map(|bucket| OpenArchive { cron: cron.to_owned(), bucket }))
    }

    /// What is wrong with where it goes.
    pub fn check(&self, store: Option<&Place>) -> Diagnostics {
        self.bucket().check(store, Path::attribute(ENGINE).then("archive").then("bucket"))
    }
}

fn render(connection: S3Connection, bucket: &str, keys: &Keys, secret: &str) -> OpenBucket {
    let key = |key: &str| json!({ "name": secret, "key": key });
    let mut method = json!({
        "s3": {
            "endpoint": endpoint_of(&connection),
            "bucket": bucket,
            "accessKeyIDSecretRef": key(ACCESS_KEY_ID_KEY),
            "secretAccessKeySecretRef": key(SECRET_ACCESS_KEY_KEY),
        },
    });
    let mut data = Map::new();
    let mut put = |key: &str, value: &str| data.insert(key.to_owned(), STANDARD.encode(value).into());
    put(ACCESS_KEY_ID_KEY, &keys.id);
    put(SECRET_ACCESS_KEY_KEY, keys.secret.expose());
    let volume = connection.ca_pem.as_ref().map(|ca_pem| {
        put(CA_KEY, ca_pem);
        method["tlsOptions"] = json!({ "caCert": format!("{CA_FOLDER}/{CA_KEY}") });
        method["volumeMounts"] = json!([{ "name": CA_VOLUME, "mountPath": CA_FOLDER, "readOnly": true }]);
        let items = json!([{ "key": CA_KEY, "path": CA_KEY }]);
        json!({ "name": CA_VOLUME, "secret": { "secretName": secret, "items": items } })
    });
    let secret = Wanted {
        kind: Kind::SECRET,
        name: secret.to_owned(),
        body: Some(json!({ "type": "Opaque", "data": data })),
        lasting: false,
    };
    OpenBucket { connection, method, volume, secret }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    fn opened(ca_pem: Option<&str>) -> OpenBucket {
        let connection = S3Connection {
            endpoint: Some("https://minio:9000/".to_owned()),
            ca_pem: ca_pem.map(str::to_owned),
            ..S3Connection::default()
        };
        let keys = Keys::parse(&Secret::new("id:key")).unwrap();
        render(connection, "archives", &keys, "dr-archive-nightly")
    }

    #[test]
    fn an_archive_goes_to_a_bucket_with_keys_of_its_own() {
        let archive = opened(None);
        let s3 = &archive.method["s3"];
        assert_eq!((&s3["endpoint"], &s3["bucket"]), (&json!("https://minio:9000"), &json!("archives")));
        assert_eq!(s3["accessKeyIDSecretRef"], json!({ "name": "dr-archive-nightly", "key": "access_key_id" }));
        let body = archive.secret.body.clone().unwrap();
        assert_eq!(body["data"], json!({ "access_key_id": "aWQ=", "secret_access_key": "a2V5" }));
        let mut spec = json!({});
        archive.put_into(&mut spec);
        assert_eq!(spec.get("volumes"), None);
    }

    #[test]
    fn the_authority_of_the_archive_stands_beside_that_of_the_repository() {
        let mut spec = json!({ "volumes": [{ "name": "dr-ca-of-the-store" }] });
        opened(Some("pem")).put_into(&mut spec);
        assert_eq!(spec["restoreMethod"]["tlsOptions"]["caCert"], "/mnt/dr-ca-archive/ca.pem");
        assert_eq!(spec["restoreMethod"]["volumeMounts"][0]["name"], spec["volumes"][1]["name"]);
        assert_eq!(spec["volumes"][0]["name"], "dr-ca-of-the-store");
    }

    #[test]
    fn an_archive_is_not_put_among_the_files_of_the_repository() {
        let archive = Archive { s3: "minio".into(), bucket: "k8up".into(), ..Archive::default() };
        let store = |connection: &str, bucket: &str| Place::S3 {
            connection: connection.to_owned(),
            bucket: bucket.to_owned(),
            prefix: "wiki".to_owned(),
        };
        assert!(archive.check(Some(&store("minio", "k8up"))).has_errors());
        assert!(!archive.check(Some(&store("minio", "other"))).has_errors());
        assert!(!archive.check(Some(&store("other", "k8up"))).has_errors());
        assert!(!archive.check(None).has_errors());
        let unknown = Archive { bucket: Attr::Unknown, ..archive };
        assert!(!unknown.check(Some(&store("minio", "k8up"))).has_errors());
    }
}
