//! What a call knows beside its arguments: the client's abilities, the stop signal, warnings on the way.

use std::sync::{Mutex, PoisonError};

use tfplugin::Diagnostic;
use tokio::sync::watch;

use crate::diagnostics::Diagnostics;

/// What the client said it can do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientCapabilities {
    /// An answer may be "not now".
    pub deferral: bool,
    /// Write-only attributes are kept out of state and plan.
    pub write_only: bool,
}

/// Why an answer has to wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deferral {
    /// The resource's configuration is not known yet.
    ResourceConfigUnknown,
    /// The provider's configuration is not known yet.
    ProviderConfigUnknown,
    /// Something has to exist first.
    AbsentPrerequisite,
}

/// The sender of the stop signal; StopProvider pulls it, and calls that begin later do not see it.
#[derive(Debug)]
pub struct Stopper(watch::Sender<u64>);

/// Tells a call that the user wants it to end.
#[derive(Debug, Clone)]
pub struct StopSignal {
    receiver: watch::Receiver<u64>,
    began_at: u64,
}

impl Default for Stopper {
    fn default() -> Self {
        Stopper(watch::Sender::new(0))
    }
}

impl Stopper {
    /// Stops every call that is under way.
    pub fn stop(&self) {
        self.0.send_modify(|count| *count += 1);
    }

    /// The signal for a call that begins now.
    pub fn signal(&self) -> StopSignal {
        let receiver = self.0.subscribe();
        let began_at = *receiver.borrow();
        StopSignal { receiver, began_at }
    }
}

impl StopSignal {
    /// Returns when the call should end; never, if nobody stops it.
    pub async fn stopped(&self) {
        let mut receiver = self.receiver.clone();
        let began_at = self.began_at;
        if receiver.wait_for(|count| *count > began_at).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// What a call knows beside its arguments.
#[derive(Debug)]
pub struct Context {
    /// What the client can do.
    pub client: ClientCapabilities,
    /// When to end early.
    pub stop: StopSignal,
    diagnostics: Mutex<Diagnostics>,
    deferral: Mutex<Option<Deferral>>,
}

impl Context {
    /// The context of one call.
    pub fn new(client: ClientCapabilities, stop: StopSignal) -> Self {
        Context { client, stop, diagnostics: Mutex::default(), deferral: Mutex::default() }
    }

    /// Tells the user something beside the result.
    pub fn report(&self, diagnostic: Diagnostic) {
        self.diagnostics.lock().unwrap_or_else(PoisonError::into_inner).push(diagnostic);
    }

    /// Says that the answer has to wait; false when the client does not take that for an answer.
    pub fn defer(&self, reason: Deferral) -> bool {
        if self.client.deferral {
            *self.deferral.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason);
        }
        self.client.deferral
    }

    /// What was reported, and whether the answer has to wait.
    pub fn finish(self) -> (Diagnostics, Option<Deferral>) {
        let diagnostics = self.diagnostics.into_inner().unwrap_or_else(PoisonError::into_inner);
        (diagnostics, self.deferral.into_inner().unwrap_or_else(PoisonError::into_inner))
    }
}
