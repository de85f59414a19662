//! A MinIO of one's own: a free port on loopback, a scratch folder, gone with the value.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use tempfile::TempDir;

use super::process::{Process, remove_at_the_end};
use super::{Credentials, S3};
use crate::parts;

/// A running server.
#[derive(Debug)]
pub struct Minio {
    /// How to talk to it.
    pub s3: S3,
    process: Process,
    folder: TempDir,
}

impl Minio {
    /// Starts one and waits until it answers.
    pub fn start() -> Result<Self> {
        let binary = parts::MINIO.get()?;
        // Between finding a free port and binding it another process may take it: then try the next.
        for _ in 0..5 {
            if let Some(server) = Self::start_on(&binary, free_port()?)? {
                return Ok(server);
            }
        }
        bail!("MinIO found no free port")
    }

    fn start_on(binary: &std::path::Path, port: u16) -> Result<Option<Self>> {
        let folder = tempfile::tempdir()?;
        let credentials = Credentials { id: "canary-key-id-7f3a".into(), secret: "canary-s3-secret-key-91c2e5".into() };
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(binary);
        command
            .args(["server", "--quiet", "--address", &address])
            .arg(folder.path().join("data"))
            .env_clear()
            .env("HOME", folder.path())
            .env("MINIO_ROOT_USER", &credentials.id)
            .env("MINIO_ROOT_PASSWORD", &credentials.secret)
            .env("MINIO_BROWSER", "off")
            .env("MINIO_UPDATE", "off");
        let mut process = Process::start(&mut command, &folder.path().join("log"))?;
        let deadline = Instant::now() + Duration::from_secs(60);
        while !ready(&address) {
            if process.ended()?.is_some() {
                return Ok(None);
            }
            if Instant::now() > deadline {
                bail!("MinIO did not answer within a minute:\n{}", process.last_words());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let s3 = S3::new(&format!("http://{address}"), "us-east-1", credentials)?;
        Ok(Some(Self { s3, process, folder }))
    }

    /// What it logged.
    pub fn log(&self) -> Result<String> {
        Ok(self.process.log())
    }

    /// Ends it, as when the machine goes away; the value keeps its address.
    pub fn stop(&mut self) {
        self.process.kill();
    }

    /// For a value in a static.
    pub(super) fn outlives_its_value(&self) {
        remove_at_the_end(self.folder.path());
    }
}

/// A port that nobody listens on.
pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn ready(address: &str) -> bool {
    let ask = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        write!(stream, "GET /minio/health/ready HTTP/1.0\r\nHost: {address}\r\n\r\n")?;
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        Ok(answer.ends_with(b"200"))
    };
    ask().unwrap_or(false)
}
