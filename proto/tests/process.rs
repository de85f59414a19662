//! A provider as a process of its own: how it starts, lives and ends, under our host, Terraform and OpenTofu.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tfplugin::client::{Launch, Log, Plugin};
use tfplugin::handshake::Address;
use tfplugin::wire::tfplugin6::{call_function, get_provider_schema};
use tfplugin::{Schema, Type, Value, reattach, v6};
use tokio::sync::mpsc;

/// The example, that is built beside the tests.
fn provider() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.parent().and_then(Path::parent).unwrap().join("examples/minimal_provider");
    assert!(path.exists(), "{} is not built", path.display());
    path
}

fn launch() -> Launch {
    Launch::new(provider())
}

async fn echoes(plugin: &Plugin) {
    let value = Value::Dynamic(Box::new((Type::Number, Value::Number("0.8".parse().unwrap()))));
    let sent = v6::encode_value(&value, &Type::Dynamic).unwrap();
    let request = call_function::Request { name: "echo".to_owned(), arguments: vec![sent.clone()] };
    assert_eq!(plugin.provider().call_function(request).await.unwrap().into_inner().result, Some(sent));
}

async fn wait_for_end(pid: u32) {
    let gone = async {
        while is_running(pid) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), gone).await.expect("the provider is still running");
}

/// Neither gone nor a zombie.
fn is_running(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[tokio::test]
async fn it_starts_answers_and_ends_at_once_when_it_is_told() {
    for tls in [true, false] {
        let plugin = Plugin::launch(Launch { tls, ..launch() }).await.unwrap();
        echoes(&plugin).await;
        let before = Instant::now();
        let status = plugin.stop().await.unwrap().unwrap();
        assert!(status.success() && before.elapsed() < Duration::from_secs(1), "{status} {:?}", before.elapsed());
    }
}

#[tokio::test]
async fn an_interrupt_means_nothing_to_it_and_a_request_to_terminate_ends_it() {
    let plugin = Plugin::launch(launch()).await.unwrap();
    let pid = plugin.pid().unwrap();
    let signal = |signal| {
        let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    };
    signal(rustix::process::Signal::INT);
    signal(rustix::process::Signal::INT);
    tokio::time::sleep(Duration::from_millis(100)).await;
    echoes(&plugin).await;
    signal(rustix::process::Signal::TERM);
    wait_for_end(pid).await;
}

#[tokio::test]
async fn it_ends_when_its_host_was_killed() {
    // A shell stands for the host: it starts the provider, waits, and is killed.
    let folder = tempfile::tempdir().unwrap();
    let mut host = Command::new("sh")
        .args(["-c", "\"$0\" & echo $! >&2; wait"])
        .arg(provider())
        .env("TF_PLUGIN_MAGIC_COOKIE", tfplugin::handshake::COOKIE)
        .env("PLUGIN_UNIX_SOCKET_DIR", folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let line = |reader: &mut dyn BufRead| {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line.trim().to_owned()
    };
    let pid: u32 = line(&mut BufReader::new(host.stderr.take().unwrap())).parse().unwrap();
    let handshake = line(&mut BufReader::new(host.stdout.take().unwrap()));
    assert!(handshake.starts_with("1|6|unix|"), "{handshake}");
    assert!(is_running(pid));
    host.kill().unwrap();
    host.wait().unwrap();
    wait_for_end(pid).await;
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "the socket was left behind");
}

#[tokio::test]
async fn its_log_is_what_hosts_read_and_a_panic_is_told() {
    let (sender, mut lines) = mpsc::unbounded_channel();
    let environment = vec![("MINIMAL_PROVIDER_PANICS".into(), "1".into())];
    let plugin = Plugin::launch(Launch { log: Log::Lines(sender), environment, ..launch() }).await.unwrap();
    let request = get_provider_schema::Request {};
    let schema = plugin.provider().get_provider_schema(request).await.unwrap().into_inner().provider.unwrap();
    assert_eq!(Schema::try_from(&schema).unwrap(), Schema::default());
    let line: serde_json::Value = serde_json::from_str(&lines.recv().await.unwrap()).unwrap();
    assert_eq!((line["@level"].as_str(), line["@message"].as_str()), (Some("info"), Some("Gave the schema")));
    plugin.provider().call_function(call_function::Request::default()).await.unwrap_err();
    assert_eq!(lines.recv().await.unwrap(), "panic: asked to");
}

#[test]
fn by_hand_it_says_what_it_is() {
    let output = Command::new(provider()).env_remove("TF_PLUGIN_MAGIC_COOKIE").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"");
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "This is a provider for Terraform and OpenTofu, and nothing to run by hand\n");
}

#[tokio::test]
async fn for_debugging_it_says_where_it_is_and_ends_by_an_interrupt() {
    let mut child = Command::new(provider()).arg("-debug").stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = lines
        .map(Result::unwrap)
        .find_map(|line| Some(line.trim().strip_prefix("TF_REATTACH_PROVIDERS='")?.to_owned()));
    let said = said.unwrap();
    let found = reattach::from_json(said.trim_end_matches('\'')).unwrap().remove("example.com/test/minimal").unwrap();
    assert_eq!((found.pid, found.test, found.protocol_version), (child.id(), true, 6));
    let address = found.address().unwrap();
    let Address::Unix(path) = address.clone() else { panic!("no Unix socket") };
    let plugin = Plugin::attach(address).await.unwrap();
    echoes(&plugin).await;
    plugin.stop().await.unwrap();
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(!path.exists());
}
