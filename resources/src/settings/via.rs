//! The way to an S3 server through a cluster, in the provider block.

use dr_framework::{Attr, Diagnostics, Model, Path};

use super::{DEFAULT, Named, S3Settings, Settings};
use crate::connections::kubernetes::ServicePort;
use crate::words::ended;

/// A tunnel through a cluster to a server in it.
#[derive(Model, Clone)]
pub struct ViaSettings {
    /// The name of the Kubernetes connection; `default` if left out.
    #[dr(optional)]
    pub kubernetes: Attr<String>,
    /// The Service that leads to the server, as `<namespace>/<name>:<port>`: `storage/garage:3900`. The port is a number, or
    /// the name that the Service gives it.
    #[dr(required)]
    pub service: Attr<String>,
}

/// The way to a server, whose cluster is still to be found by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The name of the cluster.
    pub kubernetes: String,
    /// What leads to the server there.
    pub service: ServicePort,
    /// The attribute that names the cluster.
    pub path: Path,
}

impl S3Settings {
    pub(super) fn check_via(&self, path: &Path) -> Diagnostics {
        let mut found = Diagnostics::default();
        let Attr::Known(via) = &self.via else { return found };
        let path = path.clone().then("via");
        if self.endpoint.is_null() {
            found.extend(Diagnostics::error_at(
                path.clone(),
                "A way to no server",
                "With `via`, set `endpoint` to the address that the server has in the cluster: it is what requests are signed \
                 for. Amazon's own is reached without a tunnel.",
            ));
        }
        if let Some(Err(why)) = via.service.text().map(str::parse::<ServicePort>) {
            found.extend(Diagnostics::error_at(path.then("service"), "Unusable service", ended(why)));
        }
        found
    }

    /// How a cluster leads to the server of this connection, which is called `name`: not at all, or so. Checked again here:
    /// while validating, some of it may have been unknown.
    pub(super) fn route(&self, name: &str) -> Result<Named<Option<Route>>, String> {
        let via = match &self.via {
            Attr::Known(via) => via,
            Attr::Null => return Ok(Named::Known(None)),
            Attr::Unknown => return Ok(Named::Unknown),
        };
        let path = Path::attribute("s3").key(name);
        if let Some(wrong) = self.check_via(&path).0.first() {
            return Err(format!("`via` of the connection `{name}`: {}", wrong.detail.trim_end_matches('.')));
        }
        let kubernetes = match &via.kubernetes {
            Attr::Known(kubernetes) => kubernetes.clone(),
            Attr::Null => DEFAULT.to_owned(),
            Attr::Unknown => return Ok(Named::Unknown),
        };
        let Some(service) = via.service.text().and_then(|service| service.parse().ok()) else {
            return Ok(Named::Unknown);
        };
        Ok(Named::Known(Some(Route { kubernetes, service, path: path.then("via").then("kubernetes") })))
    }
}

impl Settings {
    /// Whether the cluster on the way to an S3 server is one of this block's.
    pub(super) fn check_cluster_on_the_way(&self, connection: &S3Settings, path: &Path) -> Diagnostics {
        let Attr::Known(via) = &connection.via else { return Diagnostics::default() };
        let wanted = match &via.kubernetes {
            Attr::Known(name) => name.as_str(),
            Attr::Null => DEFAULT,
            Attr::Unknown => return Diagnostics::default(),
        };
        let known = match &self.kubernetes {
            Attr::Known(connections) => connections.keys().cloned().collect(),
            // The environment may make this one.
            Attr::Null if wanted == DEFAULT => return Diagnostics::default(),
            Attr::Null => Vec::new(),
            Attr::Unknown => return Diagnostics::default(),
        };
        if self.cluster_settings(wanted).is_some() {
            return Diagnostics::default();
        }
        let known = if known.is_empty() { "there are none".to_owned() } else { format!("known: {}", known.join(", ")) };
        Diagnostics::error_at(
            path.clone().then("via").then("kubernetes"),
            "Unknown connection",
            format!("There is no Kubernetes connection `{wanted}` in this provider block ({known})."),
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::settings::KubernetesSettings;

    fn via(kubernetes: Attr<String>, service: &str) -> S3Settings {
        S3Settings {
            endpoint: "http://garage.storage.svc:3900".into(),
            via: Attr::Known(ViaSettings { kubernetes, service: service.into() }),
            ..S3Settings::default()
        }
    }

    fn block(connection: S3Settings, clusters: &[(&str, Attr<KubernetesSettings>)]) -> Settings {
        let clusters = clusters.iter().map(|(name, settings)| ((*name).to_owned(), settings.clone()));
        Settings {
            kubernetes: Attr::Known(clusters.collect()),
            s3: Attr::Known(BTreeMap::from([("garage".to_owned(), Attr::Known(connection))])),
            secrets: Attr::Null,
            mode: Attr::Null,
            drill: Attr::Null,
        }
    }

    fn prod() -> [(&'static str, Attr<KubernetesSettings>); 1] {
        let aliases = Attr::Known(vec!["production".into()]);
        let settings =
            KubernetesSettings { host: "https://api".into(), token: "t".into(), aliases, ..Default::default() };
        [("prod", Attr::Known(settings))]
    }

    fn said(block: &Settings) -> String {
        let said = block.check().0;
        said.iter().map(|one| format!("{:?}: {}: {}\n", one.attribute, one.summary, one.detail)).collect()
    }

    #[test]
    fn a_way_names_a_cluster_of_the_block_by_any_of_its_names() {
        for name in ["prod", "production"] {
            assert_eq!(said(&block(via(name.into(), "storage/garage:3900"), &prod())), "");
        }
        let unknown = said(&block(via("test".into(), "storage/garage:3900"), &prod()));
        assert!(unknown.contains("\"kubernetes\""), "{unknown}");
        assert!(unknown.contains("no Kubernetes connection `test` in this provider block (known: prod)"), "{unknown}");
        let left_out = said(&block(via(Attr::Null, "storage/garage:3900"), &prod()));
        assert!(left_out.contains("no Kubernetes connection `default`"), "{left_out}");
        let mut from_environment = block(via(Attr::Null, "storage/garage:3900"), &[]);
        from_environment.kubernetes = Attr::Null;
        assert_eq!(said(&from_environment), "");
        assert_eq!(said(&block(via(Attr::Unknown, "storage/garage:3900"), &prod())), "");
    }

    #[test]
    fn a_way_needs_a_service_and_an_endpoint() {
        let malformed = said(&block(via("prod".into(), "garage"), &prod()));
        assert!(malformed.contains("Unusable service: \"garage\" is not `<namespace>/<name>:<port>`"), "{malformed}");
        let without = S3Settings { endpoint: Attr::Null, ..via("prod".into(), "storage/garage:3900") };
        let without = block(without, &prod());
        assert!(said(&without).contains("A way to no server"));
        // What was unknown while validating is judged when it is used.
        let Err(why) = without.s3("garage", |_| None) else { panic!("a way to no server") };
        assert!(why.starts_with("`via` of the connection `garage`: With `via`, set `endpoint`"), "{why}");
    }

    #[test]
    fn a_way_that_is_not_known_makes_the_connection_unknown() {
        let known = block(via("prod".into(), "storage/garage:s3"), &prod());
        let Ok(Named::Known((_, Some(route)))) = known.s3("garage", |_| None) else { panic!("all of it is known") };
        assert_eq!((route.kubernetes.as_str(), route.service.to_string().as_str()), ("prod", "storage/garage:s3"));
        let mut unknown = via(Attr::Unknown, "storage/garage:s3");
        assert!(matches!(block(unknown.clone(), &prod()).s3("garage", |_| None), Ok(Named::Unknown)));
        unknown.via = Attr::Unknown;
        assert!(matches!(block(unknown, &prod()).s3("garage", |_| None), Ok(Named::Unknown)));
    }
}
