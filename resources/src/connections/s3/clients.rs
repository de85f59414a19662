//! The S3 clients of a process: one for each server and who we are there, however many resources use it.

use super::S3Connection;
use super::line::{Line, Timing};
use crate::store::StoreError;
use crate::store::s3::S3Store;
use aws_sdk_s3::Client;
use dr_framework::Redactor;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Makes clients, and keeps them. Clones share what they keep.
#[derive(Clone, Default)]
pub struct S3Clients(Arc<Kept>);

#[derive(Default)]
struct Kept {
    servers: Mutex<Vec<(S3Connection, Arc<Server>)>>,
    applying: AtomicBool,
    timing: Timing,
}

/// One server and who we are there.
pub struct Server {
    /// What asks it.
    pub client: Client,
    /// Whether it answers.
    pub line: Arc<Line>,
    /// Whether only a cluster's own network knows its name.
    pub is_inside: bool,
    /// Keeps our keys out of what it says.
    pub redactor: Redactor,
}

#[cfg(test)]
impl S3Clients {
    /// Waits this long where others wait half a minute.
    pub fn impatient(wait: std::time::Duration) -> Self {
        S3Clients(Arc::new(Kept { timing: Timing::short(wait), ..Kept::default() }))
    }
}

impl S3Clients {
    /// The objects of a bucket below `prefix` (without a slash at either end, or empty). Makes no request.
    pub fn bucket(&self, connection: &S3Connection, bucket: &str, prefix: &str) -> Result<S3Store, StoreError> {
        let slash = if prefix.is_empty() { "" } else { "/" };
        let place = format!("s3://{bucket}{slash}{prefix} on {}", connection.server_name());
        let server =
            self.server(connection).map_err(|reason| StoreError::Unreachable { place: place.clone(), reason })?;
        Ok(S3Store::new(server, bucket, prefix, place, connection.name.clone()))
    }

    /// The first apply of the process begins: servers that were down are tried again.
    pub fn apply_begins(&self) {
        self.0.applying.store(true, Ordering::SeqCst);
        for (_, server) in self.servers().iter() {
            server.line.apply_begins();
        }
    }

    /// The server of a connection; two names of the same settings are one.
    fn server(&self, connection: &S3Connection) -> Result<Arc<Server>, String> {
        let settings = S3Connection { name: None, ..connection.clone() };
        let mut servers = self.servers();
        if let Some((_, server)) = servers.iter().find(|(known, _)| *known == settings) {
            return Ok(server.clone());
        }
        let applying = self.0.applying.load(Ordering::SeqCst);
        let mut timing = self.0.timing;
        if let Some(via) = &settings.via {
            timing = timing.behind_a_cluster();
            // A worker has a cluster of its own, which hears of the apply here.
            if applying {
                via.cluster.apply_begins();
            }
        }
        let line = Arc::new(Line::new(applying, timing));
        let client = settings.client(line.clone())?;
        let redactor = Redactor::default();
        for secret in settings.secrets() {
            redactor.learn(secret.expose());
        }
        let server = Arc::new(Server { client, line, is_inside: settings.is_inside(), redactor });
        servers.push((settings, server.clone()));
        Ok(server)
    }

    fn servers(&self) -> std::sync::MutexGuard<'_, Vec<(S3Connection, Arc<Server>)>> {
        self.0.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Via;
    use super::*;
    use crate::connections::kubernetes::{Cluster, Unreachable};
    use crate::secret::Secret;
    use crate::store::testing::connection;

    #[tokio::test]
    async fn one_address_in_two_clusters_is_two_servers() {
        let via = |cluster: &str| {
            let service = tower::service_fn(async |_: http::Request<kube::client::Body>| {
                Ok::<_, std::convert::Infallible>(http::Response::new(kube::client::Body::empty()))
            });
            let cluster = Cluster::with_client(cluster, kube::Client::new(service, "default"), Unreachable::Fail);
            Some(Via { cluster, service: "storage/garage:3900".parse().unwrap() })
        };
        let (clients, prod) = (S3Clients::default(), S3Connection { via: via("prod"), ..connection(1) });
        let test = S3Connection { via: via("test"), ..connection(1) };
        assert!(Arc::ptr_eq(&clients.server(&prod).unwrap(), &clients.server(&prod.clone()).unwrap()));
        assert!(!Arc::ptr_eq(&clients.server(&prod).unwrap(), &clients.server(&test).unwrap()));
        assert_eq!(prod.server_name(), "http://127.0.0.1:1 via cluster `prod`");
        assert_ne!(prod.server_name(), test.server_name());
    }

    #[tokio::test]
    async fn equal_settings_share_a_client_and_another_key_has_its_own() {
        let clients = S3Clients::default();
        let one = clients.server(&connection(1)).unwrap();
        let named = S3Connection { name: Some("lab".into()), ..connection(1) };
        assert!(Arc::ptr_eq(&one, &clients.clone().server(&named).unwrap()));
        let rotated = S3Connection { secret_access_key: Some(Secret::new("another")), ..connection(1) };
        assert!(!Arc::ptr_eq(&one, &clients.server(&rotated).unwrap()));
        assert!(!Arc::ptr_eq(&one, &clients.server(&connection(2)).unwrap()));
    }
}
