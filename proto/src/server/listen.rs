//! The place where a provider listens, and the line that says so.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustls::ServerConfig;
use tempfile::TempDir;
use tokio::net::{TcpListener, UnixListener};
use tokio_stream::wrappers::ReceiverStream;

use super::incoming::{Listener, connections};
use super::{Options, PROTOCOL, ServeError, Start, Transport};
use crate::connection::Connection;
use crate::handshake::{Address, COOKIE, Environment, Line};
use crate::tls::{End, Identity};

/// `sun_path` has 108 bytes, with the zero at its end.
const MAX_SOCKET_PATH: usize = 107;

/// A provider that can be reached, before it answers.
pub struct Listening {
    listener: Listener,
    tls: Option<ServerConfig>,
    socket: Option<TempDir>,
    line: Line,
}

impl Listening {
    /// Does as the host says, up to the line that it waits for.
    pub async fn new(options: &Options) -> Result<Self, ServeError> {
        let environment = &options.environment;
        let by_host = options.start == Start::ByHost;
        if by_host {
            check(environment, &options.explanation)?;
        }
        let mut certificate = None;
        let mut tls = None;
        if let Some(client) = environment.client_certificate.as_deref().filter(|_| by_host) {
            let identity = Identity::new(End::Server)?;
            tls = Some(identity.server_config(client)?);
            certificate = Some(identity.certificate().clone());
        }
        let (listener, address, socket) = match options.transport {
            Transport::Unix => unix(environment)?,
            Transport::Tcp => tcp(environment).await?,
        };
        let multiplex = environment.multiplex.then_some(false);
        let line = Line { protocol: PROTOCOL, address, certificate, multiplex };
        Ok(Listening { listener, tls, socket, line })
    }

    /// The handshake that says where.
    pub fn line(&self) -> &Line {
        &self.line
    }

    /// The connections to come, and the folder of the socket, that is removed when it is dropped.
    pub(super) fn into_connections(self) -> (ReceiverStream<io::Result<Connection>>, Option<TempDir>) {
        (connections(self.listener, self.tls), self.socket)
    }
}

fn check(environment: &Environment, explanation: &str) -> Result<(), ServeError> {
    if environment.cookie.as_deref() != Some(COOKIE) {
        return Err(ServeError::ByHand(explanation.to_owned()));
    }
    if !environment.speaks(PROTOCOL) {
        return Err(ServeError::Protocol(environment.protocol_versions.clone().unwrap_or_default()));
    }
    Ok(())
}

fn unix(environment: &Environment) -> Result<(Listener, Address, Option<TempDir>), ServeError> {
    let failed = |on: &Path| {
        let on = on.display().to_string();
        move |error| ServeError::Listen { on, error }
    };
    let parent = environment.socket_directory.clone().unwrap_or_else(short_temporary_directory);
    // The folder is closed to everybody else from its first moment; a socket's own mode comes after its creation.
    let directory = tempfile::Builder::new()
        .prefix("plugin")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(&parent)
        .map_err(failed(&parent))?;
    let path = directory.path().join("s");
    if path.as_os_str().len() > MAX_SOCKET_PATH {
        return Err(ServeError::SocketPath(parent.display().to_string()));
    }
    let listener = UnixListener::bind(&path).map_err(failed(&path))?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(failed(&path))?;
    Ok((Listener::Unix(listener), Address::Unix(path), Some(directory)))
}

/// The folder for temporary files, or `/tmp` when that one's path leaves no room for a socket.
fn short_temporary_directory() -> PathBuf {
    let directory = std::env::temp_dir();
    let name = "/pluginXXXXXX/s".len();
    if directory.as_os_str().len() + name > MAX_SOCKET_PATH { PathBuf::from("/tmp") } else { directory }
}

async fn tcp(environment: &Environment) -> Result<(Listener, Address, Option<TempDir>), ServeError> {
    let listener = match (environment.minimum_port, environment.maximum_port) {
        (Some(least), Some(most)) => first_free(least, most).await,
        _ => TcpListener::bind(("127.0.0.1", 0)).await,
    };
    let failed = |error| ServeError::Listen { on: "127.0.0.1".to_owned(), error };
    let listener = listener.map_err(failed)?;
    let address = Address::Tcp(listener.local_addr().map_err(failed)?.to_string());
    Ok((Listener::Tcp(listener), address, None))
}

async fn first_free(least: u16, most: u16) -> io::Result<TcpListener> {
    let mut refused = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for port in least..=most {
        match TcpListener::bind(("127.0.0.1", port)).await {
            Ok(listener) => return Ok(listener),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}
