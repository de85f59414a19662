//! A provider's end of the wire: from the handshake to the end of the process.

mod incoming;
mod lifetime;
mod listen;
mod services;

use std::io::Write;
use std::sync::Arc;

use tokio::sync::Notify;
use tonic::transport::Server;

pub use listen::Listening;

use crate::connection::MAX_MESSAGE;
use crate::handshake::Environment;
use crate::reattach::{self, Reattach};
use crate::tls::TlsError;
use crate::wire::health::health_server::HealthServer;
use crate::wire::plugin::grpc_controller_server::GrpcControllerServer;
use crate::wire::plugin::grpc_stdio_server::GrpcStdioServer;
use crate::wire::tfplugin6::provider_server::{Provider, ProviderServer};

/// The version of the provider protocol that is served.
pub const PROTOCOL: u32 = 6;

/// How to serve.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What the host says. Usually [`Environment::of_this_process`].
    pub environment: Environment,
    /// What somebody is told who starts the provider by hand: what it is, and how to install it.
    pub explanation: String,
    /// What the provider listens on.
    pub transport: Transport,
    /// How it was started.
    pub start: Start,
}

/// What a provider listens on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Transport {
    /// A Unix socket in a private folder.
    #[default]
    Unix,
    /// A port of the loopback interface.
    Tcp,
}

/// How a provider was started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Start {
    /// By a host, that ends it too.
    #[default]
    ByHost,
    /// By somebody with a debugger, until an interrupt: no TLS, and hosts find it by `TF_REATTACH_PROVIDERS`.
    ForDebugging {
        /// The provider's source addresses, as `registry.terraform.io/namespace/name`.
        addresses: Vec<String>,
    },
}

/// A provider that can't be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// No host started it. Says what the program is; to be printed as it is.
    #[error("{0}")]
    ByHand(String),
    /// The host speaks other protocols only.
    #[error("the host speaks plugin protocols {0} only, and this provider 6; upgrade Terraform or OpenTofu")]
    Protocol(String),
    /// Nothing to listen on.
    #[error("unable to listen on {on}: {error}")]
    Listen {
        /// What on.
        on: String,
        /// Why not.
        error: std::io::Error,
    },
    /// The path of a socket has no room in the address of a socket.
    #[error("the path of the plugin's socket would be too long in {0}; name a shorter folder in TMPDIR")]
    SocketPath(String),
    /// TLS can't be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The handshake can't be written, or signals can't be taken.
    #[error("unable to start: {0}")]
    Start(#[from] std::io::Error),
    /// The server ended by itself.
    #[error("the provider's server failed: {0}")]
    Server(#[from] tonic::transport::Error),
}

/// Serves a provider until its host tells it to go, or is gone. The caller is to end the process at once when this
/// returns: the host waits two seconds for that, then kills.
pub async fn serve<S: Provider>(service: S, options: Options) -> Result<(), ServeError> {
    let listening = Listening::new(&options).await?;
    let ended = lifetime::ended(&options.start)?;
    announce(&listening, &options.start)?;
    tokio::select! {
        result = listening.serve(service) => result,
        () = ended => Ok(()),
    }
}

/// Says where the provider listens, as the first and only line on standard output.
fn announce(listening: &Listening, start: &Start) -> std::io::Result<()> {
    let mut output = std::io::stdout().lock();
    match start {
        Start::ByHost => writeln!(output, "{}", listening.line())?,
        Start::ForDebugging { addresses } => {
            let json = reattach::to_json(&Reattach::here(&listening.line().address), addresses);
            writeln!(output, "The provider runs until it is interrupted. In another terminal, set:\n")?;
            writeln!(output, "\t{}='{}'\n", reattach::VARIABLE, json.replace('\'', "'\\''"))?;
        }
    }
    output.flush()
}

impl Listening {
    /// Serves until the host asks for the end.
    pub async fn serve<S: Provider>(self, service: S) -> Result<(), ServeError> {
        let shutdown = Arc::new(Notify::new());
        let provider =
            ProviderServer::new(service).max_decoding_message_size(MAX_MESSAGE).max_encoding_message_size(MAX_MESSAGE);
        let (connections, _socket) = self.into_connections();
        let server = Server::builder()
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20)
            .add_service(provider)
            .add_service(GrpcControllerServer::new(services::Controller::new(shutdown.clone())))
            .add_service(GrpcStdioServer::new(services::Stdio))
            .add_service(HealthServer::new(services::Health))
            .serve_with_incoming(connections);
        // No grace for calls that still run: whoever asks for the end has given up on them.
        tokio::select! {
            result = server => Ok(result?),
            () = shutdown.notified() => Ok(()),
        }
    }
}
