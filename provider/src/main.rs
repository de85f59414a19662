//! `terraform-provider-dr`: disaster recovery as code. Started by OpenTofu or Terraform, and by itself as a worker.

mod log;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use dr_framework::{Redactor, Server};
use dr_resources::engines::restic::worker::worker_main;
use dr_resources::provider::Dr;
use tfplugin::handshake::Environment;
use tfplugin::server::{Options, ServeError, Start, serve};

/// Where the provider is found: the same namespace in both registries.
const ADDRESSES: [&str; 2] = ["registry.terraform.io/dr-as-code/dr", "registry.opentofu.org/dr-as-code/dr"];

/// Disaster recovery as code, for OpenTofu and Terraform.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Wait for a debugger: print what TF_REATTACH_PROVIDERS has to be, and serve until an interrupt.
    #[arg(long)]
    debug: bool,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Work on a repository for a provider: the job comes on standard input.
    #[command(hide = true)]
    Worker,
}

fn main() -> ExitCode {
    // Go's flags have one dash, and people who debug providers know `-debug`.
    let arguments = std::env::args().map(|argument| if argument == "-debug" { "--debug".to_owned() } else { argument });
    let arguments = Arguments::parse_from(arguments);
    let redactor = Redactor::default();
    log::start(&redactor);
    match arguments.command {
        Some(Command::Worker) => worker_main(),
        None => provide(arguments.debug, redactor),
    }
}

fn provide(debug: bool, redactor: Redactor) -> ExitCode {
    let start =
        if debug { Start::ForDebugging { addresses: ADDRESSES.map(str::to_owned).to_vec() } } else { Start::ByHost };
    let options = Options {
        environment: Environment::of_this_process(),
        explanation: explanation(),
        start,
        ..Options::default()
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error),
    };
    let served = runtime.block_on(serve(Server::new(Dr::new(redactor.clone()), redactor), options));
    // What still runs must not hold the process: the host waits two seconds, then kills.
    runtime.shutdown_background();
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(ServeError::ByHand(explanation)) => {
            eprintln!("{explanation}");
            ExitCode::FAILURE
        }
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> ExitCode {
    eprintln!("terraform-provider-dr: {error}");
    ExitCode::FAILURE
}

fn explanation() -> String {
    format!(
        "This is terraform-provider-dr {}, a plugin that OpenTofu and Terraform start by themselves.\n\
         To use it, name it in a configuration and run `tofu init` or `terraform init`:\n\n\
         terraform {{\n  required_providers {{\n    dr = {{ source = \"dr-as-code/dr\" }}\n  }}\n}}\n\n\
         From a checkout of its source, `make install` puts it where `init` finds it.",
        env!("CARGO_PKG_VERSION")
    )
}

#[cfg(test)]
mod tests {
    use tfplugin::server::PROTOCOL;

    #[test]
    fn the_registries_are_told_the_protocol_that_is_served() {
        let manifest = include_str!("../../terraform-registry-manifest.json");
        let manifest: serde_json::Value = serde_json::from_str(manifest).unwrap();
        assert_eq!(manifest["version"], 1);
        assert_eq!(manifest["metadata"]["protocol_versions"], serde_json::json!([format!("{PROTOCOL}.0")]));
    }
}
