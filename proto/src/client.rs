//! A host's end of the wire: starts providers, or finds running ones, and talks to them.

mod connect;
mod process;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use tokio::process::Child;
use tokio::sync::mpsc;
use tonic::transport::Channel;

use crate::connection::MAX_MESSAGE;
use crate::handshake::{Address, LineError};
use crate::tls::TlsError;
use crate::wire::plugin::Empty;
use crate::wire::plugin::grpc_controller_client::GrpcControllerClient;
use crate::wire::tfplugin6::provider_client::ProviderClient;

/// How long a provider may take to end by itself.
const GRACE: Duration = Duration::from_secs(2);

/// A provider to start.
#[derive(Debug)]
pub struct Launch {
    /// Its executable.
    pub binary: PathBuf,
    /// Arguments; providers usually take none.
    pub arguments: Vec<OsString>,
    /// Variables beside those of the handshake. They come on top of this process's own.
    pub environment: Vec<(OsString, OsString)>,
    /// The provider protocols to offer. [`Plugin::provider`] speaks 6 only.
    pub protocols: Vec<u32>,
    /// Whether the connection is encrypted and both ends authenticated.
    pub tls: bool,
    /// What becomes of its log.
    pub log: Log,
    /// How long it may take to say where it listens.
    pub timeout: Duration,
}

/// What becomes of what a provider writes to its standard error.
#[derive(Debug)]
pub enum Log {
    /// It appears where this process's own does.
    Inherit,
    /// It is lost.
    Discard,
    /// It is sent here, line by line.
    Lines(mpsc::UnboundedSender<String>),
}

impl Launch {
    /// A provider to start as hosts do by default: with TLS, within a minute.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        Launch {
            binary: binary.into(),
            arguments: Vec::new(),
            environment: Vec::new(),
            protocols: vec![6],
            tls: true,
            log: Log::Discard,
            timeout: Duration::from_secs(60),
        }
    }
}

/// A provider that can't be talked to.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// It doesn't start.
    #[error("unable to start {binary}: {error}")]
    Spawn {
        /// Its executable.
        binary: String,
        /// Why not.
        error: std::io::Error,
    },
    /// It ended before it said where it listens.
    #[error("the provider ended before it was ready: {0}")]
    Ended(ExitStatus),
    /// It says nothing in time.
    #[error("the provider did not say where it listens within {0:?}")]
    Silent(Duration),
    /// It says something else.
    #[error(transparent)]
    Line(#[from] LineError),
    /// It speaks another protocol.
    #[error("the provider speaks plugin protocol {0}, which was not offered to it")]
    Protocol(u32),
    /// It answers without TLS though it was asked for.
    #[error("the provider offers no certificate, though TLS was asked for")]
    Plain,
    /// TLS can't be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Its output can't be read.
    #[error("unable to read from the provider: {0}")]
    Read(#[from] std::io::Error),
    /// It can't be reached.
    #[error("unable to connect to the provider: {}", chain(.0))]
    Connect(#[from] tonic::transport::Error),
}

fn chain(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// A running provider.
pub struct Plugin {
    channel: Channel,
    protocol: u32,
    child: Option<Child>,
}

impl Plugin {
    /// Starts a provider and connects to it.
    pub async fn launch(launch: Launch) -> Result<Self, ClientError> {
        let protocols = launch.protocols.clone();
        let process::Started { child, line, identity } = process::start(launch).await?;
        if !protocols.contains(&line.protocol) {
            return Err(ClientError::Protocol(line.protocol));
        }
        let tls = match (identity, line.certificate) {
            (None, _) => None,
            (Some(identity), Some(certificate)) => Some(identity.client_config(certificate)?),
            (Some(_), None) => return Err(ClientError::Plain),
        };
        let channel = connect::channel(line.address, tls).await?;
        Ok(Plugin { channel, protocol: line.protocol, child: Some(child) })
    }

    /// Connects to a provider of protocol 6 that somebody else started and will end.
    pub async fn attach(address: Address) -> Result<Self, ClientError> {
        Plugin::connect(address, None).await
    }

    /// Connects to an address with TLS, or without.
    pub async fn connect(address: Address, tls: Option<rustls::ClientConfig>) -> Result<Self, ClientError> {
        Ok(Plugin { channel: connect::channel(address, tls).await?, protocol: crate::server::PROTOCOL, child: None })
    }

    /// The provider's service. Messages may have any size that Go's own ends take.
    pub fn provider(&self) -> ProviderClient<Channel> {
        ProviderClient::new(self.channel.clone())
            .max_decoding_message_size(MAX_MESSAGE)
            .max_encoding_message_size(MAX_MESSAGE)
    }

    /// The provider protocol that it chose.
    pub fn protocol(&self) -> u32 {
        self.protocol
    }

    /// The connection, for the helper services.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// The process, if this end started it and it was not ended yet.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().and_then(Child::id)
    }

    /// Asks the provider to end, and kills it if it does not within two seconds. Gives how it ended, if it was started
    /// here.
    pub async fn stop(mut self) -> std::io::Result<Option<ExitStatus>> {
        let Some(mut child) = self.child.take() else { return Ok(None) };
        let mut controller = GrpcControllerClient::new(self.channel.clone());
        let shutdown = async {
            // The answer may be lost, as the provider ends at once.
            let _ = controller.shutdown(Empty {}).await;
            child.wait().await
        };
        if let Ok(ended) = tokio::time::timeout(GRACE, shutdown).await {
            return ended.map(Some);
        }
        child.kill().await?;
        child.wait().await.map(Some)
    }

    /// Kills the provider at once, as the end of a host would.
    pub async fn kill(mut self) -> std::io::Result<()> {
        match self.child.take() {
            Some(mut child) => child.kill().await,
            None => Ok(()),
        }
    }
}
