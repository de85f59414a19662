//! Takes connections in, with TLS where it is asked for. A connection that stalls or fails keeps no other waiting.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;

use crate::connection::{Connection, Io};

/// A host on the same machine needs milliseconds.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(20);

pub(super) enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    async fn accept(&self) -> io::Result<Box<dyn Io>> {
        match self {
            Listener::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
        }
    }
}

/// The connections that come in, those that pass the TLS handshake if there is one.
pub(super) fn connections(listener: Listener, tls: Option<ServerConfig>) -> ReceiverStream<io::Result<Connection>> {
    let acceptor = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = sender.closed() => return,
            };
            match accepted {
                Ok(io) => drop(tokio::spawn(establish(io, acceptor.clone(), sender.clone()))),
                // Out of file descriptors, or the other end was gone already: the next one may do better.
                Err(error) => {
                    tracing::warn!(%error, "Unable to accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    });
    ReceiverStream::new(receiver)
}

async fn establish(io: Box<dyn Io>, acceptor: Option<TlsAcceptor>, sender: mpsc::Sender<io::Result<Connection>>) {
    let connection = match acceptor {
        None => Connection::new(io),
        Some(acceptor) => match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(io)).await {
            Ok(Ok(stream)) => Connection::new(stream),
            Ok(Err(error)) => {
                tracing::warn!(%error, "Refused a connection");
                return;
            }
            Err(_) => {
                tracing::warn!("Refused a connection that did not complete its TLS handshake in time");
                return;
            }
        },
    };
    // Nobody receives any more when the server is ending.
    let _ = sender.send(Ok(connection)).await;
}
