//! Our ends against others' ones: our provider under Terraform and OpenTofu, our host over a provider written in Go.
//! Terraform is never built: where the machine has none, its test says so.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Command;

use tfplugin::client::{ClientError, Launch, Plugin};
use tfplugin::reattach;
use tfplugin::wire::health::HealthCheckRequest;
use tfplugin::wire::health::health_client::HealthClient;
use tfplugin::wire::tfplugin6::get_provider_schema;

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
    match parts::terraform().unwrap() {
        Some(terraform) => runs_under(&terraform),
        None => eprintln!("skipped: this machine has no Terraform on PATH and none in TF_ACC_TERRAFORM_PATH"),
    }
}

#[test]
fn opentofu_runs_our_provider() {
    runs_under(&parts::TOFU.get().unwrap());
}

#[tokio::test]
async fn our_host_starts_and_ends_a_provider_written_in_go() {
    let time = parts::TIME.get().unwrap();
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
