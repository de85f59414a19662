//! A server of this machine as a cluster knows it: a Pod that listens on its port, behind a Service, on a node that forwards
//! ports with the code of a kubelet. Only through the API server does a name of the cluster lead there.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::client::{Kubernetes, wait_for};
use super::cluster::Cluster;
use crate::parts;
use crate::servers::door::Door;
use crate::servers::process::Process;

/// The server in the cluster, gone with the value; its objects stay.
#[derive(Debug)]
pub struct Inside {
    /// Between the API server and the node.
    pub door: Door,
    api: Kubernetes,
    namespace: String,
    node: String,
    port: u16,
    process: Process,
    tls: Option<Door>,
}

impl Inside {
    /// The Service, whose port is 9000 and called `api`.
    pub const NAME: &str = "store";

    /// Makes what listens on `port` of loopback a Pod of this namespace, which has to exist.
    pub fn start(cluster: &Cluster, namespace: &str, port: u16) -> Result<Self> {
        let node = format!("{namespace}-node");
        let file = |name: &str| cluster.folder().join(format!("{node}.{name}"));
        let certificate = cluster.certificate(&node)?;
        fs::write(file("pem"), certificate.certificate)?;
        fs::write(file("key"), certificate.key)?;
        let mut command = Command::new(parts::PORT_FORWARD.get()?);
        let process = Process::start(command.arg(file("pem")).arg(file("key")), &file("log"))?;
        // It prints where it listens before anything else.
        let listens = || Ok(process.log().lines().next().and_then(|line| line.parse().ok()));
        let listens = wait_for("a node that forwards ports", Duration::from_secs(30), listens);
        let door = Door::to(listens.with_context(|| process.log())?)?;
        let inside =
            Self { tls: None, door, api: cluster.api.clone(), namespace: namespace.to_owned(), node, port, process };
        inside.join()?;
        inside.pod("store-0")?;
        inside.service()?;
        inside.endpoints("store-0", true)?;
        Ok(inside)
    }

    /// The same, where the server speaks TLS and shows a certificate of the cluster's authority that bears this name.
    pub fn start_with_tls(cluster: &Cluster, namespace: &str, port: u16, name: &str) -> Result<Self> {
        let tls = Door::with_tls(port, cluster.certificate_for(name)?.acceptor()?)?;
        let inside = Self::start(cluster, namespace, tls.port())?;
        Ok(Self { tls: Some(tls), ..inside })
    }

    /// Its name in the cluster, in this namespace.
    pub fn host(namespace: &str) -> String {
        format!("{}.{namespace}.svc", Self::NAME)
    }

    /// The `service` of a `via` that leads to it.
    pub fn service_port(&self) -> String {
        format!("{}/{}:9000", self.namespace, Self::NAME)
    }

    /// Where programs in the cluster reach it, and nobody else.
    pub fn endpoint(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}:9000", Self::host(&self.namespace))
    }

    /// Whether the Pod passes its probes.
    pub fn is_ready(&self, ready: bool) -> Result<()> {
        self.endpoints("store-0", ready)
    }

    /// Another Pod takes over, and the one before is gone.
    pub fn replace_pod(&self) -> Result<()> {
        self.pod("store-1")?;
        self.endpoints("store-1", true)?;
        let path = format!("/api/v1/namespaces/{}/pods/store-0", self.namespace);
        let now = serde_json::to_vec(&json!({ "gracePeriodSeconds": 0 }))?;
        self.api.request("DELETE", &path, "application/json", now).map(|_| ())
    }

    /// What the node was asked for: a line for each tunnel.
    pub fn tunnels(&self) -> Vec<String> {
        self.process.log().lines().filter(|line| line.contains("/portForward/")).map(str::to_owned).collect()
    }

    fn join(&self) -> Result<()> {
        self.api.apply(&json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": self.node } }))?;
        let status = json!({
            "addresses": [{ "type": "InternalIP", "address": "127.0.0.1" }],
            "daemonEndpoints": { "kubeletEndpoint": { "Port": self.door.port() } },
            "conditions": [{ "type": "Ready", "status": "True" }],
        });
        self.api.patch_status("v1", "Node", "", &self.node, &status).map(|_| ())
    }

    fn pod(&self, name: &str) -> Result<()> {
        self.api.apply(&json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": { "name": name, "namespace": self.namespace },
            "spec": { "nodeName": self.node, "containers": [{ "name": "store", "image": "store" }] },
        }))?;
        let status = json!({ "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }] });
        self.api.patch_status("v1", "Pod", &self.namespace, name, &status).map(|_| ())
    }

    /// Without a selector: its endpoints are those that are made by hand.
    fn service(&self) -> Result<Value> {
        self.api.apply(&json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": { "name": Self::NAME, "namespace": self.namespace },
            "spec": {
                "clusterIP": "None",
                "ports": [{ "name": "api", "port": 9000, "targetPort": self.port, "protocol": "TCP" }],
            },
        }))
    }

    fn endpoints(&self, pod: &str, ready: bool) -> Result<()> {
        let target = json!({ "kind": "Pod", "namespace": self.namespace, "name": pod });
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": format!("{}-by-hand", Self::NAME),
                "namespace": self.namespace,
                "labels": { "kubernetes.io/service-name": Self::NAME },
            },
            "addressType": "IPv4",
            "ports": [{ "name": "api", "port": self.port, "protocol": "TCP" }],
            "endpoints": [{ "addresses": ["10.0.0.7"], "conditions": { "ready": ready }, "targetRef": target }],
        });
        self.api.apply(&slice).map(|_| ())
    }
}
