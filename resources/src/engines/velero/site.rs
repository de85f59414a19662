//! Velero as a reference names it: its server on a cluster, its bucket, and the ledgers of both.

use std::sync::Arc;

use dr_framework::{Attr, Diagnostics, Path, Result};

use super::ENGINE;
use super::bucket::Bucket;
use super::listing;
use super::server::Server;
use crate::connections::kubernetes::Cluster;
use crate::ledger::{ConfigMapLedger, LedgerStore, StoreLedger};
use crate::reference::{Place, Reference};
use crate::shared::{Reached, Shared};
use crate::words::ended;

/// Where Velero is installed unless somebody says otherwise.
const NAMESPACE: &str = "velero";

/// A server of Velero's, and a bucket that it knows.
pub struct Site {
    /// The server.
    pub server: Server,
    /// The bucket.
    pub bucket: Bucket,
    /// The bucket's name and the prefix in it.
    pub place: (String, String),
    /// The location, where the reference is to one.
    pub location: Option<String>,
    /// The ledger of the storage.
    pub storage: Arc<dyn LedgerStore>,
}

fn of_target<'a>(reference: &'a Reference, leaf: &'a Attr<String>, usual: &str) -> Attr<String> {
    match &reference.kind {
        Attr::Known(kind) if kind == "backup_target" => leaf.clone().or(usual.into()),
        Attr::Unknown => Attr::Unknown,
        _ => usual.into(),
    }
}

/// The name of the cluster's connection: as configured, else that of the target, else `default`.
pub fn cluster_of(configured: &Attr<String>, reference: &Reference) -> Attr<String> {
    configured.clone().or(of_target(reference, &reference.connection, "default"))
}

/// The namespace that Velero is installed in: as configured, else that of the target.
pub fn namespace_of(configured: &Attr<String>, reference: &Reference) -> Attr<String> {
    configured.clone().or(of_target(reference, &reference.scope, NAMESPACE))
}

/// What a reference that stands at `path` leads to: `None` while something that it takes is not known.
pub fn open(
    shared: &Shared,
    reference: &Reference,
    path: &Path,
    cluster: &Attr<String>,
    namespace: &Attr<String>,
) -> Result<Option<Site>> {
    let (name, namespace) = (cluster_of(cluster, reference), namespace_of(namespace, reference));
    let (Some(name), Some(namespace)) = (name.text(), namespace.text()) else { return Ok(None) };
    let Some(cluster) = shared.cluster(name, &Path::attribute(ENGINE).then("cluster"))? else { return Ok(None) };
    let Some(bucket) = listing::open(shared, reference, path)? else { return Ok(None) };
    let Some(place) = Place::from_reference(&reference.store, path)? else { return Ok(None) };
    let Some(storage) = ledger_of_storage(shared, &place, path, &cluster, namespace)? else { return Ok(None) };
    let place = match place {
        Place::S3 { bucket, prefix, .. } => (bucket, prefix),
        Place::Local { path } => (path, String::new()),
    };
    let is_target = reference.kind.text() == Some("backup_target");
    let location = reference.name.known().filter(|_| is_target).cloned();
    let server = Server { cluster, namespace: namespace.to_owned(), watches: shared.watches.clone() };
    Ok(Some(Site { server, bucket, place, location, storage }))
}

/// Where the records of restores are: in Velero's namespace, because those that are restored may be what is lost.
pub fn ledger_of_runs(cluster: &Cluster, namespace: &str) -> Arc<dyn LedgerStore> {
    Arc::new(ConfigMapLedger::new(cluster.clone(), namespace))
}

/// The ledger of the storage: beside the prefix. Velero takes a whole bucket for its own and refuses any folder in it that it
/// does not know, so without a prefix the ledger is on the cluster.
fn ledger_of_storage(
    shared: &Shared,
    place: &Place,
    path: &Path,
    cluster: &Cluster,
    namespace: &str,
) -> Result<Option<Arc<dyn LedgerStore>>> {
    let Some(reached) = shared.reach(place, &path.clone().then("store").then("connection"))? else { return Ok(None) };
    let (connection, bucket, prefix) = match reached {
        Reached::S3 { connection, bucket, prefix } if !prefix.is_empty() => (connection, bucket, prefix),
        _ => return Ok(Some(ledger_of_runs(cluster, namespace))),
    };
    let store = shared.clients.bucket(&connection, &bucket, &format!("{prefix}.dr"));
    let store = store.map_err(|error| Diagnostics::error("Unable to reach the ledger", ended(error)))?;
    Ok(Some(Arc::new(StoreLedger::new(Arc::new(store), ""))))
}
