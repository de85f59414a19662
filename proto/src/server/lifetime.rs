//! When a provider's process has to end, apart from being told so by its host.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Start;

/// How often to look whether the host is still there. There is no event for it without unsafe code.
const INTERVAL: Duration = Duration::from_secs(1);

/// Takes over the signals now, and completes when it is time to go.
///
/// An interrupt reaches the whole process group, the host included, and the host decides what becomes of running calls:
/// so it means nothing to a provider, unless somebody runs it by hand for debugging.
pub(super) fn ended(start: &Start) -> io::Result<impl Future<Output = ()> + use<>> {
    let mut terminate = signal(SignalKind::terminate())?;
    // A terminal that is closed takes its programs with it; without an end of our own the socket's folder stays.
    let mut hang_up = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let by_host = *start == Start::ByHost;
    let parent = rustix::process::getppid();
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = hang_up.recv() => {}
            () = interrupted(&mut interrupt, by_host) => {}
            () = orphaned(parent), if by_host => {}
        }
    })
}

async fn interrupted(interrupt: &mut Signal, ignored: bool) {
    while interrupt.recv().await.is_some() && ignored {}
}

/// A process whose parent ends is given another.
async fn orphaned(parent: Option<rustix::process::Pid>) {
    while rustix::process::getppid() == parent {
        tokio::time::sleep(INTERVAL).await;
    }
}
