//! A Kubernetes API server of one's own: etcd and kube-apiserver on free ports of loopback, gone with the value.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rand::Rng;
use rcgen::KeyPair;
use serde_json::json;
use tempfile::TempDir;

use super::certificates::{Authority, Certificate};
use super::client::{Kubernetes, wait_for};
use crate::parts;
use crate::servers::process::{Process, remove_at_the_end};

/// The kubeconfig's context.
pub const CONTEXT: &str = "test";

/// The user whose requests are counted.
const COUNTED: &str = "counted";

/// A running API server.
#[derive(Debug)]
pub struct Cluster {
    /// A client that may do everything.
    pub api: Kubernetes,
    authority: Authority,
    token: String,
    ports: Ports,
    folder: TempDir,
    processes: Mutex<Processes>,
}

#[derive(Debug, Clone, Copy)]
struct Ports {
    etcd: u16,
    api: u16,
}

#[derive(Debug, Default)]
struct Processes {
    etcd: Option<Process>,
    api: Option<Process>,
    controllers: Option<Process>,
}

impl Cluster {
    /// Starts one and waits until it answers.
    pub fn start() -> Result<Self> {
        // Between finding a free port and binding it another process may take it: then try others.
        let mut failed = None;
        for _ in 0..3 {
            match Self::prepare().and_then(|cluster| cluster.run().map(|()| cluster)) {
                Ok(cluster) => return Ok(cluster),
                Err(error) => failed = Some(error),
            }
        }
        Err(failed.unwrap_or_else(|| anyhow::anyhow!("nothing was tried"))).context("cannot start an API server")
    }

    /// Runs Kubernetes' own controllers too: Jobs, garbage collection, namespaces, volumes.
    pub fn with_controller_manager(self) -> Result<Self> {
        self.run_controllers()?;
        Ok(self)
    }

    /// `https://127.0.0.1:4321`
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.ports.api)
    }

    /// The authority that signed its certificate.
    pub fn ca_pem(&self) -> String {
        self.authority.pem()
    }

    /// The bearer token of a member of `system:masters`.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// Where it listens on loopback.
    pub fn port(&self) -> u16 {
        self.ports.api
    }

    /// The bearer token of another such member, whose requests are counted.
    pub fn counted_token(&self) -> String {
        format!("{}-{COUNTED}", self.token)
    }

    /// The requests of the user of [`Cluster::counted_token`] so far, as the server itself wrote them down:
    /// `list /apis/velero.io/v1/…`.
    pub fn counted(&self) -> Result<Vec<String>> {
        let log = fs::read_to_string(self.file("audit.log")).unwrap_or_default();
        let request = |line: &str| {
            let event: serde_json::Value = serde_json::from_str(line)?;
            let (verb, path) = (event["verb"].as_str(), event["requestURI"].as_str());
            Ok(format!("{} {}", verb.unwrap_or_default(), path.unwrap_or_default()))
        };
        log.lines().map(request).collect()
    }

    /// A file for `KUBECONFIG`, with the one context [`CONTEXT`].
    pub fn kubeconfig_path(&self) -> PathBuf {
        self.file("kubeconfig")
    }

    /// What such a file says for the user of `token`.
    pub fn kubeconfig_for(&self, token: &str) -> String {
        let authority = self.file("ca.pem");
        let config = json!({
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": CONTEXT,
            "contexts": [{ "name": CONTEXT, "context": { "cluster": CONTEXT, "user": CONTEXT } }],
            "clusters": [{
                "name": CONTEXT,
                "cluster": { "server": self.url(), "certificate-authority": authority },
            }],
            "users": [{ "name": CONTEXT, "user": { "token": token } }],
        });
        format!("{config:#}\n")
    }

    /// A client for the user of `token`.
    pub fn client_of(&self, token: &str) -> Result<Kubernetes> {
        Kubernetes::new(&self.url(), self.authority.der(), token)
    }

    /// What tells one cluster from another: the uid of its namespace `kube-system`.
    pub fn uid(&self) -> Result<String> {
        let namespace = self.api.get("v1", "Namespace", "", "kube-system")?.context("there is no kube-system")?;
        Ok(namespace["metadata"]["uid"].as_str().context("a namespace without a uid")?.to_owned())
    }

    /// SIGKILL for the API server and etcd, as when the machine goes away; the controllers stay and wait.
    pub fn kill(&self) {
        let mut processes = self.processes();
        processes.api = None;
        processes.etcd = None;
    }

    /// Starts it again with the same objects, keys and address.
    pub fn restart(&self) -> Result<()> {
        self.kill();
        self.run()
    }

    /// Loses every object: another cluster answers at the same address, to the same token.
    pub fn empty(&self) -> Result<()> {
        let controllers = self.processes().controllers.take().is_some();
        self.kill();
        fs::remove_dir_all(self.file("etcd"))?;
        self.run()?;
        // A controller that has seen a later revision of everything would wait for it.
        if controllers { self.run_controllers() } else { Ok(()) }
    }

    /// SIGSTOP for the API server: it takes connections and never answers.
    pub fn pause(&self) -> Result<()> {
        self.processes().api.as_ref().map_or(Ok(()), Process::pause)
    }

    /// SIGCONT.
    pub fn resume(&self) -> Result<()> {
        self.processes().api.as_ref().map_or(Ok(()), Process::resume)
    }

    /// What the API server logged.
    pub fn log(&self) -> String {
        self.processes().api.as_ref().map(Process::log).unwrap_or_default()
    }

    /// The folder for what belongs to this cluster and goes with it.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// For a value in a static.
    pub(super) fn outlives_its_value(&self) {
        remove_at_the_end(self.folder.path());
    }

    /// A certificate that this cluster's authority signed.
    pub(super) fn certificate(&self, name: &str) -> Result<Certificate> {
        self.authority.sign(name)
    }

    /// One for a server at this host.
    pub(super) fn certificate_for(&self, host: &str) -> Result<Certificate> {
        self.authority.sign_for(host, &[host])
    }

    fn processes(&self) -> MutexGuard<'_, Processes> {
        self.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Everything but the processes.
    fn prepare() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("dr-cluster-").tempdir()?;
        let ports = Ports { etcd: quiet_port()?, api: quiet_port()? };
        let authority = Authority::new()?;
        let token = format!("canary-kubernetes-token-{:016x}", rand::rng().random::<u64>());
        let api = Kubernetes::new(&format!("https://127.0.0.1:{}", ports.api), authority.der(), &token)?;
        let cluster = Self { api, authority, token, ports, folder, processes: Mutex::default() };
        let Certificate { certificate, key } = cluster.certificate("kube-apiserver")?;
        let accounts = KeyPair::generate()?;
        fs::create_dir(cluster.file("certs"))?;
        fs::write(cluster.file("server.pem"), certificate)?;
        fs::write(cluster.file("server.key"), key)?;
        fs::write(cluster.file("ca.pem"), cluster.ca_pem())?;
        fs::write(cluster.file("accounts.key"), accounts.serialize_pem())?;
        fs::write(cluster.file("accounts.pem"), accounts.public_key_pem())?;
        let member = |token: &str, user: &str| format!("{token},{user},{user},\"system:masters\"\n");
        let tokens = member(&cluster.token, "admin") + &member(&cluster.counted_token(), COUNTED);
        fs::write(cluster.file("tokens.csv"), tokens)?;
        fs::write(cluster.file("audit.json"), audit_policy().to_string())?;
        fs::write(cluster.kubeconfig_path(), cluster.kubeconfig_for(&cluster.token))?;
        Ok(cluster)
    }

    fn run(&self) -> Result<()> {
        let etcd = Process::start(&mut self.etcd_command()?, &self.file("etcd.log"))?;
        let api = Process::start(&mut self.api_command()?, &self.file("kube-apiserver.log"))?;
        let mut processes = self.processes();
        processes.etcd = Some(etcd);
        processes.api = Some(api);
        drop(processes);
        self.wait_until_ready()
    }

    fn etcd_command(&self) -> Result<Command> {
        let mut command = Command::new(parts::ETCD.get()?);
        let url = format!("http://127.0.0.1:{}", self.ports.etcd);
        command
            .env_clear()
            .arg("--data-dir")
            .arg(self.file("etcd"))
            .args(["--listen-client-urls", &url, "--advertise-client-urls", &url])
            .args(["--listen-peer-urls", "http://127.0.0.1:0", "--unsafe-no-fsync", "--log-level", "warn"]);
        Ok(command)
    }

    fn api_command(&self) -> Result<Command> {
        let mut command = Command::new(parts::KUBE_APISERVER.get()?);
        let mut file = |flag: &str, name: &str| {
            command.arg(format!("--{flag}={}", self.file(name).display()));
        };
        file("cert-dir", "certs");
        file("tls-cert-file", "server.pem");
        file("tls-private-key-file", "server.key");
        file("service-account-key-file", "accounts.pem");
        file("service-account-signing-key-file", "accounts.key");
        file("token-auth-file", "tokens.csv");
        file("audit-policy-file", "audit.json");
        file("audit-log-path", "audit.log");
        command
            .env_clear()
            .arg(format!("--etcd-servers=http://127.0.0.1:{}", self.ports.etcd))
            .arg(format!("--secure-port={}", self.ports.api))
            .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"])
            .args(["--authorization-mode=RBAC", "--service-account-issuer=https://kubernetes.default.svc"])
            .args(["--service-cluster-ip-range=10.0.0.0/24", "--disable-admission-plugins=ServiceAccount"])
            .args(["--allow-privileged=true", "--kubelet-preferred-address-types=InternalIP"]);
        Ok(command)
    }

    fn run_controllers(&self) -> Result<()> {
        let mut command = Command::new(parts::KUBE_CONTROLLER_MANAGER.get()?);
        let mut file = |flag: &str, name: &str| {
            command.arg(format!("--{flag}={}", self.file(name).display()));
        };
        file("kubeconfig", "kubeconfig");
        file("service-account-private-key-file", "accounts.key");
        file("root-ca-file", "ca.pem");
        command
            .env_clear()
            .args(["--leader-elect=false", "--secure-port=0", "--bind-address=127.0.0.1"])
            .args(["--concurrent-gc-syncs=4", "--use-service-account-credentials=false"])
            // Everything is on one machine, and a test should not wait for a rebind.
            .args(["--pvclaimbinder-sync-period=1s", "--kube-api-qps=500", "--kube-api-burst=1000"]);
        let controllers = Process::start(&mut command, &self.file("kube-controller-manager.log"))?;
        self.processes().controllers = Some(controllers);
        Ok(())
    }

    fn wait_until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(120);
        let ready = || self.api.text("/readyz").is_ok_and(|said| said == "ok");
        while !ready() {
            let mut processes = self.processes();
            let Processes { etcd: Some(etcd), api: Some(api), .. } = &mut *processes else {
                bail!("the API server was killed while it started");
            };
            let ended = etcd.ended()?.is_some() || api.ended()?.is_some();
            if ended || Instant::now() > deadline {
                let (etcd, api) = (etcd.last_words(), api.last_words());
                bail!("the API server did not start\netcd:\n{etcd}\nkube-apiserver:\n{api}");
            }
            drop(processes);
            std::thread::sleep(Duration::from_millis(50));
        }
        // The namespaces that every cluster has are made a moment later.
        let made = || self.api.get("v1", "Namespace", "", "default");
        wait_for("the namespace default", Duration::from_secs(30), made).map(|_| ())
    }
}

/// Each request of one user, once, and nobody else's.
fn audit_policy() -> serde_json::Value {
    json!({
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived", "ResponseStarted"],
        "rules": [{ "level": "Metadata", "users": [COUNTED] }, { "level": "None" }],
    })
}

/// A port that nobody listens on, below those that connections going out are given: a killed server gets it back.
fn quiet_port() -> Result<u16> {
    let mut random = rand::rng();
    for _ in 0..100 {
        let port = random.random_range(12_000..32_000);
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return Ok(port);
        }
    }
    bail!("no port below 32000 is free")
}
