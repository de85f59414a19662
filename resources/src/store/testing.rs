//! For tests: real programs that were built for them, a real S3 server, and one that answers what a test says.

use crate::connections::s3::S3Connection;
use crate::secret::Secret;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A MinIO server of its own, gone with the value.
pub struct Minio {
    server: Child,
    port: u16,
    scheme: &'static str,
    _folders: [tempfile::TempDir; 2],
}

impl Minio {
    /// Starts it with a bucket `bucket` and waits, at most half a minute, until it answers.
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// The same with TLS.
    pub fn start_with_certificate(certificate: &str, key: &str) -> Self {
        Self::start_with(Some((certificate, key)))
    }

    fn start_with(tls: Option<(&str, &str)>) -> Self {
        let data = tempfile::tempdir().unwrap();
        // In its single-drive layout a bucket is a folder.
        std::fs::create_dir(data.path().join("bucket")).unwrap();
        let certificates = tempfile::tempdir().unwrap();
        if let Some((certificate, key)) = tls {
            std::fs::write(certificates.path().join("public.crt"), certificate).unwrap();
            std::fs::write(certificates.path().join("private.key"), key).unwrap();
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let server = Command::new(parts::MINIO.get().unwrap())
            .args(["server", "--quiet", "--address", &format!("127.0.0.1:{port}")])
            .arg("--certs-dir")
            .arg(certificates.path())
            .arg(data.path())
            .env("MINIO_ROOT_USER", "test-access-key")
            .env("MINIO_ROOT_PASSWORD", "test-secret-key")
            .env("MINIO_BROWSER", "off")
            .env("HOME", data.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let minio = Minio { server, port, scheme, _folders: [data, certificates] };
        let deadline = Instant::now() + Duration::from_secs(30);
        while !minio.is_ready() {
            assert!(Instant::now() < deadline, "MinIO did not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        minio
    }

    fn is_ready(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        if self.scheme == "https" {
            return true;
        }
        let mut answer = String::new();
        let asked = stream.write_all(b"GET /minio/health/ready HTTP/1.1\r\nHost: minio\r\nConnection: close\r\n\r\n");
        asked.is_ok() && stream.read_to_string(&mut answer).is_ok() && answer.contains(" 200 ")
    }

    pub fn connection(&self) -> S3Connection {
        let endpoint = Some(format!("{}://127.0.0.1:{}", self.scheme, self.port));
        S3Connection { endpoint, ..connection(self.port) }
    }

    /// What `restic -r` takes, for the prefix `prefix` of the bucket.
    pub fn restic_url(&self, prefix: &str) -> String {
        format!("s3:http://127.0.0.1:{}/bucket/{prefix}", self.port)
    }
}

impl Drop for Minio {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A connection to an S3 server on this machine.
pub fn connection(port: u16) -> S3Connection {
    S3Connection {
        endpoint: Some(format!("http://127.0.0.1:{port}")),
        path_style: true,
        access_key_id: Some("test-access-key".into()),
        secret_access_key: Some(Secret::new("test-secret-key")),
        ..S3Connection::default()
    }
}

/// A server whose every connection gets `answer` and is closed when `answer` returns.
pub fn canned(answer: impl Fn(TcpStream) + Send + Sync + Clone + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let answer = answer.clone();
            std::thread::spawn(move || {
                let mut request = [0; 4096];
                let mut stream = stream;
                let _ = stream.read(&mut request);
                answer(stream);
            });
        }
    });
    port
}
