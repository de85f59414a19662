//! Starts a provider's process and waits for its handshake.

use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::sync::mpsc;

use super::{ClientError, Launch, Log};
use crate::handshake::{COOKIE, Environment, Line};
use crate::tls::{End, Identity};

pub(super) struct Started {
    pub(super) child: Child,
    pub(super) line: Line,
    /// What this end presents, when TLS was asked for.
    pub(super) identity: Option<Identity>,
}

pub(super) async fn start(launch: Launch) -> Result<Started, ClientError> {
    let identity = launch.tls.then(|| Identity::new(End::Client)).transpose()?;
    let protocols: Vec<_> = launch.protocols.iter().map(ToString::to_string).collect();
    let environment = Environment {
        cookie: Some(COOKIE.to_owned()),
        protocol_versions: Some(protocols.join(",")),
        client_certificate: identity.as_ref().map(|identity| identity.pem().to_owned()),
        minimum_port: Some(10_000),
        maximum_port: Some(25_000),
        ..Environment::default()
    };
    let mut child = Command::new(&launch.binary)
        .args(&launch.arguments)
        // A certificate of this process's own host means nothing to the child.
        .env_remove("PLUGIN_CLIENT_CERT")
        .envs(environment.variables())
        .envs(launch.environment)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(match launch.log {
            Log::Inherit => Stdio::inherit(),
            Log::Discard => Stdio::null(),
            Log::Lines(_) => Stdio::piped(),
        })
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| ClientError::Spawn { binary: launch.binary.display().to_string(), error })?;
    if let (Log::Lines(sender), Some(stderr)) = (launch.log, child.stderr.take()) {
        tokio::spawn(send_lines(stderr, sender));
    }
    let handshake = handshake(&mut child);
    let line =
        tokio::time::timeout(launch.timeout, handshake).await.map_err(|_| ClientError::Silent(launch.timeout))??;
    Ok(Started { child, line, identity })
}

async fn handshake(child: &mut Child) -> Result<Line, ClientError> {
    let Some(stdout) = child.stdout.take() else {
        return Err(ClientError::Read(std::io::ErrorKind::BrokenPipe.into()));
    };
    let mut output = BufReader::new(stdout);
    let mut text = String::new();
    if output.read_line(&mut text).await? == 0 {
        return Err(ClientError::Ended(child.wait().await?));
    }
    let line = text.parse()?;
    tokio::spawn(drain(output));
    Ok(line)
}

/// Reads what a provider prints after its handshake, so that it never waits for a reader.
async fn drain(mut output: BufReader<ChildStdout>) {
    let _ = tokio::io::copy(&mut output, &mut tokio::io::sink()).await;
}

async fn send_lines(stderr: impl AsyncRead + Unpin, sender: mpsc::UnboundedSender<String>) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    while matches!(reader.read_until(b'\n', &mut line).await, Ok(length) if length > 0) {
        // A receiver that is gone wants no more, but the provider still has to be able to write.
        let _ = sender.send(String::from_utf8_lossy(&line).trim_end().to_owned());
        line.clear();
    }
}
