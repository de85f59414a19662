//! Makes a gRPC channel over a Unix socket or TCP, with or without TLS.

use std::io;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint, Uri};
use tower::service_fn;

use crate::connection::{Connection, Io};
use crate::handshake::Address;

pub(super) async fn channel(address: Address, tls: Option<ClientConfig>) -> Result<Channel, tonic::transport::Error> {
    let tls = tls.map(Arc::new);
    let connector = service_fn(move |_: Uri| {
        let (address, tls) = (address.clone(), tls.clone());
        async move { connect(&address, tls).await.map(TokioIo::new) }
    });
    // The address is the connector's business; the name is what Go's certificates carry.
    Endpoint::from_static("http://localhost")
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(4 << 20)
        .connect_with_connector(connector)
        .await
}

async fn connect(address: &Address, tls: Option<Arc<ClientConfig>>) -> io::Result<Connection> {
    let stream: Box<dyn Io> = match address {
        Address::Unix(path) => Box::new(UnixStream::connect(path).await?),
        Address::Tcp(address) => {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Box::new(stream)
        }
    };
    let Some(config) = tls else { return Ok(Connection::new(stream)) };
    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
    Ok(Connection::new(TlsConnector::from(config).connect(name, stream).await?))
}
