//! A tunnel: a connection to a pod behind a Service, which the API server and the pod's node pass on.

mod service;
mod stream;

use base64::Engine;
use http::{HeaderName, HeaderValue, Method, header};
use rand::seq::IndexedRandom;
use serde_json::Value;

pub use service::ServicePort;
pub use stream::Tunnel;

use super::{Cluster, ClusterError, Forbidden, Kind};

/// The rights that a tunnel takes. Servers from 1.35 on ask for `create`, those before only for `get`: a WebSocket begins
/// with a GET.
const RULES: &str = r#"- apiGroups: [""]
  resources: ["services"]
  verbs: ["get"]
- apiGroups: ["discovery.k8s.io"]
  resources: ["endpointslices"]
  verbs: ["list"]
- apiGroups: [""]
  resources: ["pods/portforward"]
  verbs: ["get", "create"]"#;

/// Where a connection can end.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Backend {
    pod: String,
    port: u16,
}

impl Cluster {
    /// A connection to a ready pod behind a Service. The pod is looked up for each connection: the one before may be gone.
    pub async fn tunnel(&self, service: &ServicePort) -> Result<Tunnel, ClusterError> {
        // Another cluster may have a server of the same name.
        if self.connection().is_some_and(|connection| connection.expect_server_uid.is_some()) {
            self.uid().await?;
        }
        let opened = async {
            let backend = self.backend(service).await?;
            self.forward(service, &backend).await
        };
        opened.await.map_err(|error| match error {
            ClusterError::Forbidden(right) => {
                ClusterError::Forbidden(Box::new(Forbidden { rules: Some(RULES), ..*right }))
            }
            error => error,
        })
    }

    async fn backend(&self, service: &ServicePort) -> Result<Backend, ClusterError> {
        let nowhere = |reason: String| ClusterError::Nowhere {
            cluster: self.name().to_owned(),
            service: service.to_string(),
            reason,
        };
        let (namespace, name) = (service.namespace.as_str(), service.name.as_str());
        let found = self.get(&Kind::SERVICE, namespace, name).await?;
        let found = found.ok_or_else(|| nowhere("it does not exist".to_owned()))?;
        let port = service.port_in(&found.data["spec"]).map_err(nowhere)?;
        let label = format!("kubernetes.io/service-name={name}");
        let slices = self.list(&Kind::ENDPOINT_SLICE, Some(namespace), Some(&label)).await?;
        let slices: Vec<&Value> = slices.iter().map(|slice| &slice.data).collect();
        let ready = ready_pods(&slices, &port).map_err(nowhere)?;
        // Any of them: a pod that is said to be ready behind a node that is gone is not tried again and again.
        ready.choose(&mut rand::rng()).cloned().ok_or_else(|| nowhere("it has no pods".to_owned()))
    }

    async fn forward(&self, service: &ServicePort, backend: &Backend) -> Result<Tunnel, ClusterError> {
        let Backend { pod, port } = backend;
        let (kind, namespace) = (Kind::POD, service.namespace.as_str());
        let path = format!("{}/portforward?ports={port}", kind.path_of(namespace, pod));
        let mut call = self.call(Method::GET, "create", &kind, namespace, pod, path);
        call.asked.part = "portforward";
        call.upgrade = websocket();
        let upgraded = self.0.line.upgrade(&call).await?;
        let place = format!("{} on cluster `{}`", kind.called(namespace, pod), self.name());
        Ok(Tunnel::over(upgraded, place, *port).await)
    }
}

/// What asks for a WebSocket with numbered channels, which every version of Kubernetes forwards ports over.
fn websocket() -> Vec<(HeaderName, HeaderValue)> {
    let key = base64::engine::general_purpose::STANDARD.encode(rand::random::<[u8; 16]>());
    let fixed = [
        (header::CONNECTION, "Upgrade"),
        (header::UPGRADE, "websocket"),
        (header::SEC_WEBSOCKET_VERSION, "13"),
        (header::SEC_WEBSOCKET_PROTOCOL, "v4.channel.k8s.io"),
    ];
    let fixed = fixed.map(|(name, value)| (name, HeaderValue::from_static(value)));
    let key = HeaderValue::from_str(&key).map(|key| (header::SEC_WEBSOCKET_KEY, key));
    fixed.into_iter().chain(key).collect()
}

/// The ready pods behind a Service's port of this name, each with the port that it listens on there.
fn ready_pods(slices: &[&Value], port_name: &str) -> Result<Vec<Backend>, String> {
    let (mut ready, mut others, mut foreign) = (Vec::new(), 0, 0);
    for slice in slices {
        let named = |port: &&Value| port["name"].as_str().unwrap_or_default() == port_name;
        let port = array(&slice["ports"]).find(named).and_then(|port| u16::try_from(port["port"].as_u64()?).ok());
        let Some(port) = port else { continue };
        for endpoint in array(&slice["endpoints"]) {
            let target = &endpoint["targetRef"];
            match (target["kind"].as_str(), target["name"].as_str()) {
                // No word about it means ready.
                (Some("Pod"), Some(pod)) if endpoint["conditions"]["ready"] != false => {
                    ready.push(Backend { pod: pod.to_owned(), port });
                }
                (Some("Pod"), Some(_)) => others += 1,
                _ => foreign += 1,
            }
        }
    }
    match (ready.is_empty(), others, foreign) {
        (false, _, _) => Ok(ready),
        (true, 0, 0) => Err("it has no pods".to_owned()),
        (true, 0, _) => Err("its endpoints are no pods, and only pods can be reached by a tunnel".to_owned()),
        (true, 1, _) => Err("its pod is not ready".to_owned()),
        (true, others, _) => Err(format!("none of its {others} pods is ready")),
    }
}

fn array(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn slice(ready: [Option<bool>; 2]) -> Value {
        let endpoint = |(number, ready): (usize, Option<bool>)| {
            json!({
                "addresses": ["10.0.0.7"],
                "conditions": ready.map_or_else(|| json!({}), |ready| json!({ "ready": ready })),
                "targetRef": { "kind": "Pod", "namespace": "storage", "name": format!("garage-{number}") },
            })
        };
        let endpoints: Vec<Value> = ready.into_iter().enumerate().map(endpoint).collect();
        json!({
            "ports": [{ "name": "admin", "port": 3903 }, { "name": "api", "port": 9000 }],
            "endpoints": endpoints,
        })
    }

    fn pods(slices: &[Value], port: &str) -> Result<Vec<Backend>, String> {
        ready_pods(&slices.iter().collect::<Vec<_>>(), port)
    }

    #[test]
    fn the_ready_pods_of_all_slices_are_found_with_their_own_port() {
        let moved = json!({
            "ports": [{ "name": "api", "port": 9001 }],
            "endpoints": [{ "targetRef": { "kind": "Pod", "name": "new-0" } }],
        });
        let backend = |pod: &str, port| Backend { pod: pod.to_owned(), port };
        assert_eq!(
            pods(&[slice([Some(false), Some(true)]), moved], "api"),
            Ok(vec![backend("garage-1", 9000), backend("new-0", 9001)])
        );
        assert_eq!(pods(&[slice([None, Some(false)])], "admin"), Ok(vec![backend("garage-0", 3903)]));
        let nameless =
            json!({ "ports": [{ "port": 80 }], "endpoints": [{ "targetRef": { "kind": "Pod", "name": "a" } }] });
        assert_eq!(pods(&[nameless], ""), Ok(vec![backend("a", 80)]));
    }

    #[test]
    fn a_service_without_a_ready_pod_says_what_it_has() {
        let not_ready = Some(false);
        assert_eq!(pods(&[], "api").unwrap_err(), "it has no pods");
        assert_eq!(pods(&[slice([None, None])], "s3").unwrap_err(), "it has no pods");
        assert_eq!(pods(&[slice([not_ready, not_ready])], "api").unwrap_err(), "none of its 2 pods is ready");
        let elsewhere =
            json!({ "ports": [{ "name": "api", "port": 1 }], "endpoints": [{ "addresses": ["10.1.2.3"] }] });
        assert_eq!(
            pods(&[elsewhere], "api").unwrap_err(),
            "its endpoints are no pods, and only pods can be reached by a tunnel"
        );
    }
}
