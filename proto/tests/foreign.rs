//! Our ends against others' ones: our provider under Terraform and OpenTofu, our host over a provider written in Go.
//! Where one of them is not on this machine, its test says so and passes.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::Command;

use tfplugin::client::{ClientError, Launch, Plugin};
use tfplugin::reattach;
use tfplugin::wire::health::HealthCheckRequest;
use tfplugin::wire::health::health_client::HealthClient;
use tfplugin::wire::tfplugin6::get_provider_schema;

/// A program named by a variable, kept in the cache of test parts, or on the path.
fn part(variable: &str, cached: &str, name: &str) -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))?;
    let on_path =
        std::env::var_os("PATH").into_iter().flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    let found = std::env::var_os(variable)
        .map(PathBuf::from)
        .into_iter()
        .chain([cache.join("terraform-provider-dr/parts").join(cached)])
        .chain(on_path.map(|folder| folder.join(name)))
        .find(|path| path.is_file());
    if found.is_none() {
        eprintln!("skipped: {name} is not on this machine");
    }
    found
}

fn provider_folder() -> tempfile::TempDir {
    let test = std::env::current_exe().unwrap();
    let example = test.parent().and_then(Path::parent).unwrap().join("examples/minimal_provider");
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(example, folder.path().join("terraform-provider-minimal")).unwrap();
    let overrides = format!(
        "provider_installation {{\n dev_overrides {{\n \"example.com/test/minimal\" = {:?}\n }}\n direct {{}}\n}}\n",
        folder.path()
    );
    std::fs::write(folder.path().join("cli.tfrc"), overrides).unwrap();
    folder
}

const CONFIGURATION: &str = r#"
terraform {
  required_providers {
    minimal = { source = "example.com/test/minimal" }
  }
}
output "echoed" {
  value = provider::minimal::echo({
    fraction = 0.8
    large    = 18446744073709551616
    list     = [1, null, "e\u0301"]
    none     = null
  })
}
"#;

/// Lets a host apply a configuration that calls the provider's function, and gives the output as JSON.
fn echoed_by(host: &Path, environment: &[(&str, &str)]) -> String {
    let folder = provider_folder();
    std::fs::write(folder.path().join("main.tf"), CONFIGURATION).unwrap();
    let run = |arguments: &[&str]| {
        let output = Command::new(host)
            .args(arguments)
            .current_dir(folder.path())
            .env("TF_CLI_CONFIG_FILE", folder.path().join("cli.tfrc"))
            .env("CHECKPOINT_DISABLE", "1")
            .envs(environment.iter().copied())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}\n{}", text(&output.stdout), text(&output.stderr));
        text(&output.stdout)
    };
    run(&["apply", "-auto-approve", "-no-color"]);
    run(&["output", "-json", "echoed"]).trim().to_owned()
}

const ECHOED: &str = r#"{"fraction":0.8,"large":18446744073709551616,"list":[1,null,"é"],"none":null}"#;

/// The provider under each of the ways that a host has to reach it: mutual TLS, plain, and as a process of its own.
fn runs_under(host: &Path) {
    assert_eq!(echoed_by(host, &[]), ECHOED);
    assert_eq!(echoed_by(host, &[("TF_DISABLE_PLUGIN_TLS", "1")]), ECHOED);
    let folder = provider_folder();
    let provider = Command::new(folder.path().join("terraform-provider-minimal"))
        .arg("-debug")
        .stdout(std::process::Stdio::piped())
        .spawn();
    let mut provider = provider.unwrap();
    let said = BufReader::new(provider.stdout.take().unwrap()).lines().map(Result::unwrap);
    let line = said.map(|line| line.trim().to_owned()).find(|line| line.starts_with(reattach::VARIABLE)).unwrap();
    let value = line.trim_start_matches(reattach::VARIABLE).trim_matches(['=', '\'']);
    let echoed = echoed_by(host, &[(reattach::VARIABLE, value)]);
    provider.kill().unwrap();
    provider.wait().unwrap();
    assert_eq!(echoed, ECHOED);
}

#[test]
fn terraform_runs_our_provider() {
    let Some(terraform) = part("DR_PART_TERRAFORM", "terraform", "terraform") else { return };
    runs_under(&terraform);
}

#[test]
fn opentofu_runs_our_provider() {
    let Some(tofu) = part("DR_PART_TOFU", "tofu-1.12.6/tofu", "tofu") else { return };
    runs_under(&tofu);
}

#[tokio::test]
async fn our_host_starts_and_ends_a_provider_written_in_go() {
    let Some(time) = part("DR_PART_TIME", "time-0.14.2/time", "terraform-provider-time") else { return };
    for tls in [true, false] {
        // It speaks protocol 5, which has no client here: what is shown is the handshake and the way through TLS.
        let plugin = Plugin::launch(Launch { tls, protocols: vec![5, 6], ..Launch::new(&time) }).await.unwrap();
        assert_eq!(plugin.protocol(), 5);
        let check = HealthCheckRequest { service: "plugin".to_owned() };
        let health = HealthClient::new(plugin.channel()).check(check).await.unwrap().into_inner();
        assert_eq!(health.status, 1);
        let schema = plugin.provider().get_provider_schema(get_provider_schema::Request {}).await.unwrap_err();
        assert_eq!(schema.code(), tonic::Code::Unimplemented);
        let status = plugin.stop().await.unwrap().unwrap();
        assert!(status.success(), "{status}");
    }
    let unwanted = Plugin::launch(Launch::new(&time)).await.err().unwrap();
    assert!(matches!(unwanted, ClientError::Protocol(5)), "{unwanted}");
}
