//! A door in front of a server on loopback: it counts who comes, and can be shut, as when the machine behind it is gone.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;

/// An open door, gone with the value.
#[derive(Debug)]
pub struct Door {
    address: SocketAddr,
    shared: Arc<Shared>,
    _runtime: Runtime,
}

#[derive(Debug, Default)]
struct Shared {
    shut: AtomicBool,
    came: AtomicUsize,
}

impl Door {
    /// Leads to `port` of loopback.
    pub fn to(port: u16) -> Result<Self> {
        Self::with(port, None)
    }

    /// The same, and speaks TLS to those who come.
    pub(super) fn with_tls(port: u16, acceptor: TlsAcceptor) -> Result<Self> {
        Self::with(port, Some(acceptor))
    }

    fn with(port: u16, acceptor: Option<TlsAcceptor>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))))?;
        let (address, shared) = (listener.local_addr()?, Arc::new(Shared::default()));
        let kept = Arc::clone(&shared);
        runtime.spawn(async move {
            while let Ok((visitor, _)) = listener.accept().await {
                kept.came.fetch_add(1, Ordering::SeqCst);
                let (kept, acceptor) = (Arc::clone(&kept), acceptor.clone());
                tokio::spawn(async move {
                    let Some(acceptor) = acceptor else { return serve(visitor, port, kept).await };
                    if let Ok(visitor) = acceptor.accept(visitor).await {
                        serve(visitor, port, kept).await;
                    }
                });
            }
        });
        Ok(Self { address, shared, _runtime: runtime })
    }

    /// `https://127.0.0.1:4321`
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// Where it is on loopback.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Whoever comes from now on hears nothing, and those who are inside are thrown out.
    pub fn shut(&self) {
        self.shared.shut.store(true, Ordering::SeqCst);
    }

    /// Lets people in again.
    pub fn open(&self) {
        self.shared.shut.store(false, Ordering::SeqCst);
    }

    /// How many connections there were so far.
    pub fn came(&self) -> usize {
        self.shared.came.load(Ordering::SeqCst)
    }
}

async fn serve(mut visitor: impl AsyncRead + AsyncWrite + Unpin, port: u16, shared: Arc<Shared>) {
    let shut = async |is: bool| {
        while shared.shut.load(Ordering::SeqCst) != is {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if shared.shut.load(Ordering::SeqCst) {
        // Longer than anybody waits for a handshake.
        tokio::select! { () = shut(false) => {}, () = tokio::time::sleep(Duration::from_secs(60)) => {} }
        return;
    }
    let Ok(mut server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut visitor, &mut server) => {}
        () = shut(true) => {}
    }
}
