//! The end of the waiting: the user's wish, or the job's timeout.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::clock;
use crate::waiting::Patience;

/// Happens once, when the CLI asks the provider to stop or a timeout ends. It ends the waiting, it undoes nothing.
#[derive(Debug, Clone)]
pub struct Cancel {
    stop: Option<watch::Receiver<bool>>,
    deadline: Option<Instant>,
    patience: Patience,
}

impl Cancel {
    /// Follows a channel that turns to `true`.
    pub fn new(stop: watch::Receiver<bool>) -> Self {
        Cancel { stop: Some(stop), deadline: None, patience: Patience::default() }
    }

    /// Never happens.
    pub fn never() -> Self {
        Cancel { stop: None, deadline: None, patience: Patience::default() }
    }

    /// Also happens when this much time has passed from now.
    pub fn within(self, timeout: Duration) -> Self {
        Cancel { deadline: Some(Instant::now() + clock::scaled(timeout)), ..self }
    }

    /// With another patience for what is not there yet.
    pub fn patient(self, patience: Patience) -> Self {
        Cancel { patience, ..self }
    }

    /// How long is waited for what is not there yet.
    pub fn patience(&self) -> Patience {
        self.patience
    }

    /// Resolves when it happens.
    pub async fn cancelled(&self) {
        let deadline = async {
            match self.deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.stopped() => {}
            () = deadline => {}
        }
    }

    async fn stopped(&self) {
        let Some(mut stop) = self.stop.clone() else { return std::future::pending().await };
        if stop.wait_for(|stop| *stop).await.is_err() {
            // The sender is gone, so nobody can ask any more.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_happens_when_asked_for_or_when_the_time_is_up_and_not_when_nobody_can_ask() {
        let (stop, stopped) = watch::channel(false);
        let cancel = Cancel::new(stopped);
        let brief = Duration::from_millis(20);
        assert!(tokio::time::timeout(brief, cancel.cancelled()).await.is_err());
        cancel.clone().within(Duration::from_millis(1)).cancelled().await;
        stop.send_replace(true);
        cancel.cancelled().await;
        let (stop, stopped) = watch::channel(false);
        drop(stop);
        assert!(tokio::time::timeout(brief, Cancel::new(stopped).cancelled()).await.is_err());
        assert!(tokio::time::timeout(brief, Cancel::never().cancelled()).await.is_err());
    }
}
