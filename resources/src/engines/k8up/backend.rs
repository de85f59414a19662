//! Where a repository is and what opens it, as every object of k8up's says it.

use dr_framework::{Diagnostics, Path, Result};
use serde_json::{Value, json};

use super::ENGINE;
use super::opener::Opener;
use crate::connections::s3::S3Connection;
use crate::engines::kubernetes::store_keys;
use crate::reference::{Place, Reference};
use crate::shared::{Reached, Shared};

/// The keys of the Secret of a target.
pub const PASSWORD_KEY: &str = "password";
pub const ACCESS_KEY_ID_KEY: &str = "access_key_id";
pub const SECRET_ACCESS_KEY_KEY: &str = "secret_access_key";
pub const CA_KEY: &str = "ca.pem";

/// Where the certificates are in k8up's pods, and the volume that holds them.
const CA_FOLDER: &str = "/mnt/dr-ca";
const CA_VOLUME: &str = "dr-ca-of-the-store";

/// What objects of k8up's say of a repository.
#[derive(Debug, Clone, PartialEq)]
pub struct Backend {
    /// `backend` of a spec.
    pub spec: Value,
    /// `volumes` of a spec, beside it, where the backend mounts any.
    pub volumes: Option<Value>,
}

impl Backend {
    /// A spec with the repository in it.
    pub fn put_into(&self, spec: &mut Value) {
        spec["backend"] = self.spec.clone();
        self.mount_into(spec);
    }

    /// A spec whose repository is said elsewhere, with the volumes that it needs.
    pub fn mount_into(&self, spec: &mut Value) {
        if let Some(volumes) = &self.volumes {
            spec["volumes"] = volumes.clone();
        }
    }
}

/// The repository of a reference that stands at `path`, with what opens it: `None` while something that it takes is not known.
pub fn of(shared: &Shared, reference: &Reference, path: &Path, opener: &Opener) -> Result<Option<Backend>> {
    let Some(place) = Place::from_reference(&reference.store, path)? else { return Ok(None) };
    match shared.reach(&place, &path.clone().then("store").then("connection"))? {
        None => Ok(None),
        Some(Reached::S3 { connection, bucket, prefix }) => {
            store_keys::carried(&connection, ENGINE)?;
            Ok(Some(render(&connection, &bucket, &prefix, opener)))
        }
        Some(Reached::Local { .. }) => Err(no_folders(path.clone().then("store"))),
    }
}

/// A folder of this machine is no place for pods.
pub fn no_folders(path: Path) -> Diagnostics {
    Diagnostics::error_at(
        path,
        "k8up stores in buckets",
        "A folder of the machine that runs the command is out of reach of pods: use `s3`.",
    )
}

/// Where k8up's pods reach a connection's server.
pub fn endpoint_of(connection: &S3Connection) -> String {
    match connection.engine_endpoint.as_ref().or(connection.endpoint.as_ref()) {
        Some(endpoint) => endpoint.trim_end_matches('/').to_owned(),
        None if connection.region.is_empty() => "https://s3.amazonaws.com".to_owned(),
        None => format!("https://s3.{}.amazonaws.com", connection.region),
    }
}

/// What backends say at a pointer; what the first one leaves out, the next one says.
pub fn said<'a>(backends: &[&'a Value], field: &str) -> Option<&'a str> {
    backends.iter().find_map(|backend| backend.pointer(field)?.as_str().filter(|text| !text.is_empty()))
}

/// The bucket of a reference's repository with its prefix, as k8up's objects say it.
pub fn bucket_of(reference: &Reference) -> Option<String> {
    match Place::from_reference(&reference.store, &Path::default()) {
        Ok(Some(Place::S3 { bucket, prefix, .. })) => Some(whole_bucket(&bucket, &prefix)),
        _ => None,
    }
}

fn whole_bucket(bucket: &str, prefix: &str) -> String {
    if prefix.is_empty() { bucket.to_owned() } else { format!("{bucket}/{prefix}") }
}

pub(super) fn render(connection: &S3Connection, bucket: &str, prefix: &str, opener: &Opener) -> Backend {
    let endpoint = endpoint_of(connection);
    let bucket = whole_bucket(bucket, prefix);
    let mut spec = json!({
        "repoPasswordSecretRef": opener.password.selector(),
        "s3": {
            "endpoint": endpoint,
            "bucket": bucket,
            "accessKeyIDSecretRef": opener.id.selector(),
            "secretAccessKeySecretRef": opener.secret.selector(),
        },
    });
    let volumes = connection.ca_pem.is_some().then(|| {
        spec["tlsOptions"] = json!({ "caCert": format!("{CA_FOLDER}/{CA_KEY}") });
        spec["volumeMounts"] = json!([{ "name": CA_VOLUME, "mountPath": CA_FOLDER, "readOnly": true }]);
        let items = json!([{ "key": opener.ca.key, "path": CA_KEY }]);
        json!([{ "name": CA_VOLUME, "secret": { "secretName": opener.ca.secret, "items": items } }])
    });
    Backend { spec, volumes }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> S3Connection {
        S3Connection {
            name: Some("minio".to_owned()),
            endpoint: Some("https://localhost:9000/".to_owned()),
            engine_endpoint: Some("https://minio.storage.svc:9000/".to_owned()),
            region: "us-east-1".to_owned(),
            path_style: true,
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            ca_pem: None,
            fingerprint: None,
            insecure: false,
            via: None,
        }
    }

    #[test]
    fn a_prefix_is_a_part_of_the_bucket_and_pods_reach_the_store_where_engines_do() {
        let backend = render(&connection(), "bucket", "prod/docs", &Opener::in_one("dr-main"));
        let s3 = &backend.spec["s3"];
        assert_eq!(
            (&s3["endpoint"], &s3["bucket"]),
            (&json!("https://minio.storage.svc:9000"), &json!("bucket/prod/docs"))
        );
        assert_eq!(backend.spec["repoPasswordSecretRef"], json!({ "name": "dr-main", "key": "password" }));
        assert_eq!(backend.volumes, None);
        let amazon = S3Connection { endpoint: None, engine_endpoint: None, ..connection() };
        assert_eq!(
            render(&amazon, "bucket", "", &Opener::in_one("s")).spec["s3"]["endpoint"],
            "https://s3.us-east-1.amazonaws.com"
        );
        assert_eq!(render(&amazon, "bucket", "", &Opener::in_one("s")).spec["s3"]["bucket"], "bucket");
    }

    #[test]
    fn an_authority_is_mounted_where_restic_is_told_to_look_for_it() {
        let backend = render(
            &S3Connection { ca_pem: Some("pem".to_owned()), ..connection() },
            "bucket",
            "",
            &Opener::in_one("dr-main"),
        );
        assert_eq!(backend.spec["tlsOptions"]["caCert"], "/mnt/dr-ca/ca.pem");
        let mut spec = json!({});
        backend.put_into(&mut spec);
        assert_eq!(spec["backend"]["volumeMounts"][0]["name"], spec["volumes"][0]["name"]);
        assert_eq!(spec["volumes"][0]["secret"]["secretName"], "dr-main");
    }
}
