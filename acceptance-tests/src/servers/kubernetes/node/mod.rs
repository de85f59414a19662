//! A node for tests: it runs Pods as processes of this machine, with folders for volumes, and keeps their logs.
//!
//! It is scheduler, kubelet and storage driver in one, each as small as the engines' Pods allow: containers run on the
//! machine's own file system with their volumes mounted over it, one without a command (of an image whose own program
//! is wanted) only seems to run, and there are no init containers, probes or `exec`.

mod kubelet;
mod pod;
mod sandbox;
mod spec;
mod volumes;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, bail};
use serde_json::{Value, json};

use self::kubelet::{Kubelet, Log, Logs};
use self::pod::Pod;
use self::spec::{Resolver, field, list};
use self::volumes::Volumes;
use super::client::{Kubernetes, wait_for};
use super::cluster::Cluster;

pub use self::volumes::STORAGE_CLASS;

/// Its name.
pub const NODE: &str = "node";

/// How often it looks at what the API server has for it.
const PACE: Duration = Duration::from_millis(150);

/// A running node, gone with the value and all that it ran.
#[derive(Debug)]
pub struct Node {
    shared: Arc<Shared>,
    worker: Option<JoinHandle<()>>,
    _kubelet: Kubelet,
}

#[derive(Debug)]
struct Shared {
    api: Kubernetes,
    kubeconfig: PathBuf,
    folder: PathBuf,
    logs: Logs,
    wishes: Mutex<Wishes>,
}

/// What the tests want of it.
#[derive(Debug, Default)]
struct Wishes {
    end: bool,
    held: BTreeSet<String>,
    /// What went wrong last, for messages.
    trouble: Option<String>,
}

impl Node {
    /// Joins a cluster, which has to have its controller manager.
    pub fn start(cluster: &Cluster) -> Result<Self> {
        let logs = Logs::default();
        let kubelet = Kubelet::start(&cluster.certificate("kubelet")?, Arc::clone(&logs))?;
        let shared = Arc::new(Shared {
            api: cluster.api.clone(),
            kubeconfig: cluster.kubeconfig_path(),
            folder: cluster.folder().join("node"),
            logs,
            wishes: Mutex::default(),
        });
        fs::create_dir_all(&shared.folder)?;
        shared.join(kubelet.port)?;
        let volumes = Volumes::new(shared.folder.join("volumes"));
        let worker = std::thread::Builder::new().name("node".into()).spawn({
            let shared = Arc::clone(&shared);
            let work = Work { shared, pods: BTreeMap::new(), volumes };
            move || work.run()
        })?;
        Ok(Self { shared, worker: Some(worker), _kubelet: kubelet })
    }

    /// Pods of this namespace that it has not started stay pending from now on.
    pub fn hold(&self, namespace: &str) {
        self.shared.wishes().held.insert(namespace.to_owned());
    }

    /// They are started again.
    pub fn release(&self, namespace: &str) {
        self.shared.wishes().held.remove(namespace);
    }

    /// Makes a claim and gives the folder that its volume is.
    pub fn claim(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        self.shared.api.apply(&json!({
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": { "name": name, "namespace": namespace },
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "resources": { "requests": { "storage": "1Gi" } },
                "storageClassName": STORAGE_CLASS,
            },
        }))?;
        self.volume(namespace, name)
    }

    /// The folder that a claim's volume is, once it is bound.
    pub fn volume(&self, namespace: &str, claim: &str) -> Result<PathBuf> {
        let resolver = self.shared.resolver();
        let bound =
            wait_for("a claim to be bound", Duration::from_secs(30), || resolver.claim(namespace, claim).map(Some));
        bound.map_err(|error| error.context(format!("the node's trouble: {:?}", self.shared.wishes().trouble)))
    }

    /// What went wrong when it last looked, if anything did.
    pub fn trouble(&self) -> Option<String> {
        self.shared.wishes().trouble.clone()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.shared.wishes().end = true;
        if let Some(worker) = self.worker.take() {
            let _ = worker.join();
        }
    }
}

impl Shared {
    fn wishes(&self) -> std::sync::MutexGuard<'_, Wishes> {
        self.wishes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resolver(&self) -> Resolver<'_> {
        Resolver { api: &self.api, kubeconfig: &self.kubeconfig }
    }

    /// Makes the Node object, and says where its logs are served.
    fn join(&self, port: u16) -> Result<()> {
        self.api.apply(&json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": { "name": NODE, "labels": { "kubernetes.io/hostname": NODE } },
        }))?;
        let room = json!({ "cpu": "64", "memory": "256Gi", "pods": "1000" });
        self.api.patch_status("v1", "Node", "", NODE, &json!({
            "addresses": [{ "type": "InternalIP", "address": "127.0.0.1" }, { "type": "Hostname", "address": NODE }],
            "daemonEndpoints": { "kubeletEndpoint": { "Port": port } },
            "conditions": [{ "type": "Ready", "status": "True" }],
            "capacity": room,
            "allocatable": room,
        }))?;
        Volumes::class(&self.api)
    }
}

/// The node's one thread.
struct Work {
    shared: Arc<Shared>,
    /// By uid.
    pods: BTreeMap<String, Pod>,
    volumes: Volumes,
}

impl Work {
    fn run(mut self) {
        loop {
            let looked = self.look();
            let mut wishes = self.shared.wishes();
            // An API server that is away is no trouble: it comes back, or the test ends.
            wishes.trouble = looked.err().map(|error| format!("{error:#}"));
            if wishes.end {
                return;
            }
            drop(wishes);
            std::thread::sleep(PACE);
        }
    }

    fn look(&mut self) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let resolver = shared.resolver();
        let claims = self.volumes.claims(&resolver);
        // Not every cluster has the kind.
        let _ = self.volumes.snapshots(&resolver);
        let pods = shared.api.list("v1", "Pod", "")?;
        self.forget(&pods);
        let mut first = claims;
        for pod in &pods {
            let seen = self.see_to(pod);
            first = first.and(seen);
        }
        first
    }

    /// What is gone from the API server, by force or with everything else, stops too.
    fn forget(&mut self, pods: &[Value]) {
        let known: BTreeSet<&str> = pods.iter().map(|pod| field(pod, "/metadata/uid")).collect();
        self.pods.retain(|uid, _| known.contains(uid.as_str()));
    }

    fn see_to(&mut self, pod: &Value) -> Result<()> {
        let (namespace, name) = (field(pod, "/metadata/namespace"), field(pod, "/metadata/name"));
        let uid = field(pod, "/metadata/uid");
        let leaves = pod["metadata"].get("deletionTimestamp").is_some();
        match (field(pod, "/spec/nodeName"), self.pods.contains_key(uid)) {
            ("", _) if !leaves && !self.shared.wishes().held.contains(namespace) => self.bind(pod),
            (NODE, _) if leaves => {
                self.pods.remove(uid);
                let path = format!("/api/v1/namespaces/{namespace}/pods/{name}");
                let now = serde_json::to_vec(&json!({ "gracePeriodSeconds": 0, "preconditions": { "uid": uid } }))?;
                self.shared.api.request("DELETE", &path, "application/json", now).map(|_| ())
            }
            (NODE, false) if field(pod, "/status/phase") == "Pending" => self.start(pod),
            (NODE, true) => self.step(uid),
            _ => Ok(()),
        }
    }

    /// What a scheduler does, once the claims are bound.
    fn bind(&self, pod: &Value) -> Result<()> {
        let (namespace, name) = (field(pod, "/metadata/namespace"), field(pod, "/metadata/name"));
        for volume in list(pod, "/spec/volumes") {
            if let Some(claim) = volume.pointer("/persistentVolumeClaim/claimName").and_then(Value::as_str) {
                self.shared.resolver().claim(namespace, claim)?;
            }
        }
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/binding");
        let binding = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": { "name": name },
            "target": { "apiVersion": "v1", "kind": "Node", "name": NODE },
        });
        self.shared.api.request("POST", &path, "application/json", serde_json::to_vec(&binding)?).map(|_| ())
    }

    fn start(&mut self, pod: &Value) -> Result<()> {
        let (namespace, name) = (field(pod, "/metadata/namespace"), field(pod, "/metadata/name"));
        let uid = field(pod, "/metadata/uid");
        let started = match Pod::start(pod, &self.shared.folder.join("pods").join(uid), &self.shared.resolver()) {
            Ok(started) => started,
            // As with a kubelet it stays pending and is tried again, and says why.
            Err(error) => return self.cannot_start(pod, &format!("{error:#}")),
        };
        let mut logs = self.shared.logs.lock().unwrap_or_else(PoisonError::into_inner);
        for container in list(pod, "/spec/containers") {
            let container = field(container, "/name");
            if let Some(file) = started.log(container) {
                logs.insert(format!("{namespace}/{name}/{container}"), Log { file, over: false });
            }
        }
        drop(logs);
        self.pods.insert(uid.to_owned(), started);
        self.report(uid)
    }

    fn cannot_start(&self, pod: &Value, why: &str) -> Result<()> {
        let (namespace, name) = (field(pod, "/metadata/namespace"), field(pod, "/metadata/name"));
        let said = list(pod, "/status/containerStatuses").any(|one| field(one, "/state/waiting/message") == why);
        if !said {
            let waiting = json!({ "reason": "CreateContainerConfigError", "message": why });
            let statuses: Vec<Value> = list(pod, "/spec/containers")
                .map(|container| {
                    json!({
                        "name": container["name"],
                        "image": container["image"],
                        "imageID": "",
                        "ready": false,
                        "restartCount": 0,
                        "state": { "waiting": waiting },
                    })
                })
                .collect();
            let status = json!({ "containerStatuses": statuses });
            self.shared.api.patch_status("v1", "Pod", namespace, name, &status)?;
        }
        bail!("cannot start the Pod {namespace}/{name}: {why}")
    }

    fn step(&mut self, uid: &str) -> Result<()> {
        let Some(pod) = self.pods.get_mut(uid) else { return Ok(()) };
        pod.step()?;
        if pod.reported { Ok(()) } else { self.report(uid) }
    }

    fn report(&mut self, uid: &str) -> Result<()> {
        let Some(pod) = self.pods.get_mut(uid) else { return Ok(()) };
        if pod.is_over() {
            let mut logs = self.shared.logs.lock().unwrap_or_else(PoisonError::into_inner);
            let prefix = format!("{}/{}/", pod.namespace, pod.name);
            logs.iter_mut().filter(|(key, _)| key.starts_with(&prefix)).for_each(|(_, log)| log.over = true);
        }
        self.shared.api.patch_status("v1", "Pod", &pod.namespace, &pod.name, &pod.status())?;
        pod.reported = true;
        Ok(())
    }
}
