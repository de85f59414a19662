//! The bytes of a tunnel, as nodes wrap them: WebSocket messages that begin with the number of their channel, zero for the
//! port and one for what went wrong with it. The first message of each channel repeats the port, in two bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::{Sink, SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message};

/// The channel of the port itself.
const DATA: u8 = 0;

/// How much a message carries: what nodes themselves copy at once.
const CHUNK: usize = 32 * 1024;

/// A connection to a port of a pod.
pub struct Tunnel<S = TokioIo<Upgraded>> {
    socket: WebSocketStream<S>,
    /// The pod, for messages.
    place: String,
    port: u16,
    /// Whether the first message of each channel has come.
    opened: [bool; 2],
    unread: Bytes,
    /// Whether anything was sent.
    written: bool,
    /// What the node says went wrong with the port.
    trouble: Option<String>,
}

impl Tunnel {
    pub(super) async fn over(upgraded: Upgraded, place: String, port: u16) -> Self {
        Tunnel::on(TokioIo::new(upgraded), place, port).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Tunnel<S> {
    async fn on(stream: S, place: String, port: u16) -> Self {
        let socket = WebSocketStream::from_raw_socket(stream, Role::Client, None).await;
        Tunnel { socket, place, port, opened: [false; 2], unread: Bytes::new(), written: false, trouble: None }
    }

    /// Makes what a message carries the next that is read.
    fn take(&mut self, mut message: Bytes) -> io::Result<()> {
        if message.is_empty() {
            return Ok(());
        }
        let channel = message.split_to(1)[0];
        let Some(opened) = self.opened.get_mut(usize::from(channel)) else {
            return Err(self.failed(format_args!("the node speaks of a channel {channel}")));
        };
        if !std::mem::replace(opened, true) {
            return match message[..] == self.port.to_le_bytes() {
                true => Ok(()),
                false => Err(self.failed("the node began with another port")),
            };
        }
        if channel == DATA {
            self.unread = message;
        } else {
            self.trouble = Some(String::from_utf8_lossy(&message).trim().to_owned());
        }
        Ok(())
    }

    fn failed(&self, what: impl std::fmt::Display) -> io::Error {
        io::Error::other(format!("{}: {what}", self.place))
    }

    fn broken(&self, error: Error) -> io::Error {
        match error {
            Error::ConnectionClosed | Error::AlreadyClosed => io::ErrorKind::BrokenPipe.into(),
            error => self.failed(format_args!("the tunnel broke off: {error}")),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Tunnel<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let tunnel = self.get_mut();
        while tunnel.unread.is_empty() {
            if let Some(trouble) = &tunnel.trouble {
                // A client that has sent nothing would throw the connection away, and the reason with it: whoever writes next
                // is told.
                return if tunnel.written { Poll::Ready(Err(tunnel.failed(trouble))) } else { Poll::Pending };
            }
            match ready!(tunnel.socket.poll_next_unpin(context)) {
                Some(Ok(Message::Binary(message))) => tunnel.take(message)?,
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(tunnel.broken(error))),
            }
        }
        let count = buffer.remaining().min(tunnel.unread.len());
        buffer.put_slice(&tunnel.unread.split_to(count));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Tunnel<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let tunnel = self.get_mut();
        tunnel.written = true;
        if let Some(trouble) = &tunnel.trouble {
            return Poll::Ready(Err(tunnel.failed(trouble)));
        }
        ready!(Pin::new(&mut tunnel.socket).poll_ready(context)).map_err(|error| tunnel.broken(error))?;
        let count = bytes.len().min(CHUNK);
        let mut message = Vec::with_capacity(1 + count);
        message.push(DATA);
        message.extend_from_slice(&bytes[..count]);
        tunnel.socket.start_send_unpin(Message::binary(message)).map_err(|error| tunnel.broken(error))?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tunnel = self.get_mut();
        tunnel.socket.poll_flush_unpin(context).map_err(|error| tunnel.broken(error))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let tunnel = self.get_mut();
        match ready!(tunnel.socket.poll_close_unpin(context)) {
            Ok(()) | Err(Error::ConnectionClosed | Error::AlreadyClosed) => Poll::Ready(Ok(())),
            Err(error) => Poll::Ready(Err(tunnel.broken(error))),
        }
    }
}

impl Connection for Tunnel {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    /// A tunnel to port 9000, and the node's end of it.
    async fn pair() -> (Tunnel<DuplexStream>, WebSocketStream<DuplexStream>) {
        let (near, far) = tokio::io::duplex(1 << 20);
        let tunnel = Tunnel::on(near, "Pod storage/minio on cluster `prod`".to_owned(), 9000).await;
        (tunnel, WebSocketStream::from_raw_socket(far, Role::Server, None).await)
    }

    async fn says(node: &mut WebSocketStream<DuplexStream>, channel: u8, content: &[u8]) {
        node.send(Message::binary([&[channel], content].concat())).await.unwrap();
    }

    async fn opened() -> (Tunnel<DuplexStream>, WebSocketStream<DuplexStream>) {
        let (tunnel, mut node) = pair().await;
        for channel in [0, 1] {
            says(&mut node, channel, &9000_u16.to_le_bytes()).await;
        }
        (tunnel, node)
    }

    #[tokio::test]
    async fn bytes_come_and_go_in_order_whatever_the_messages() {
        let (mut tunnel, mut node) = opened().await;
        says(&mut node, 0, b"HTTP").await;
        says(&mut node, 0, b"").await;
        says(&mut node, 0, b"/1.1").await;
        node.close(None).await.unwrap();
        let mut read = String::new();
        tunnel.read_to_string(&mut read).await.unwrap();
        assert_eq!(read, "HTTP/1.1");

        let (mut tunnel, mut node) = opened().await;
        let sent: Vec<u8> = (0..100_000_u32).map(|number| number as u8).collect();
        let writing = async {
            tunnel.write_all(&sent).await.unwrap();
            tunnel.flush().await.unwrap();
        };
        let reading = async {
            let mut received = Vec::new();
            while received.len() < sent.len() {
                let message = node.next().await.unwrap().unwrap().into_data();
                assert_eq!(message[0], 0);
                received.extend_from_slice(&message[1..]);
            }
            received
        };
        let ((), received) = tokio::join!(writing, reading);
        assert!(received == sent);
    }

    #[tokio::test]
    async fn what_the_node_says_went_wrong_is_the_error_of_who_has_sent_something() {
        const SAID: &str = "Pod storage/minio on cluster `prod`: dial tcp 127.0.0.1:9000: connect: connection refused";
        let (mut tunnel, mut node) = opened().await;
        tunnel.write_all(b"GET /").await.unwrap();
        says(&mut node, 1, b"dial tcp 127.0.0.1:9000: connect: connection refused\n").await;
        assert_eq!(tunnel.read_u8().await.unwrap_err().to_string(), SAID);

        let (mut tunnel, mut node) = opened().await;
        says(&mut node, 1, b"dial tcp 127.0.0.1:9000: connect: connection refused\n").await;
        node.close(None).await.unwrap();
        let idle = tokio::time::timeout(std::time::Duration::from_millis(50), tunnel.read_u8()).await;
        assert!(idle.is_err(), "{idle:?}");
        assert_eq!(tunnel.write_all(b"GET /").await.unwrap_err().to_string(), SAID);
    }

    #[tokio::test]
    async fn a_node_that_speaks_otherwise_is_an_error_and_one_that_dies_too() {
        let (mut tunnel, mut node) = pair().await;
        says(&mut node, 0, &9001_u16.to_le_bytes()).await;
        assert!(tunnel.read_u8().await.unwrap_err().to_string().ends_with("the node began with another port"));
        let (mut tunnel, mut node) = opened().await;
        says(&mut node, 2, b"x").await;
        assert!(tunnel.read_u8().await.unwrap_err().to_string().ends_with("the node speaks of a channel 2"));
        let (mut tunnel, node) = opened().await;
        drop(node);
        assert!(tunnel.read_u8().await.unwrap_err().to_string().contains("the tunnel broke off"));
    }
}
