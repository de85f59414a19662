//! Whether a server answers at all: found out once, by whoever asks first, and known to everybody else.

use crate::clock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard, watch};
use tokio::time::Instant;

/// For the first answer of a server, whatever it is.
const PATIENCE: Duration = Duration::from_secs(30);
/// A fast clock makes no server faster: what a loaded machine may take in tests.
const REAL_PATIENCE: Duration = Duration::from_secs(5);
/// How long "no answer" is believed during an apply, which may bring the server up itself. Before it, it stands.
const BELIEVED: Duration = Duration::from_secs(30);
/// A cluster on the way is tried for half a minute, and the last try may take ten seconds: what it says comes first.
const CLUSTER: Duration = Duration::from_secs(40);
/// What a server that accepts and says nothing is said to give.
pub const NO_ANSWER: &str = "no answer in time";

/// The line to one server. Any answer, an error too, means that it is up.
#[derive(Debug)]
pub struct Line {
    state: watch::Sender<State>,
    /// Held by the one who tries.
    trying: Mutex<()>,
    /// How many answers came.
    answers: AtomicU64,
    applying: AtomicBool,
    timing: Timing,
}

/// How long things take; tests shorten it.
#[derive(Debug, Clone, Copy)]
pub struct Timing {
    patience: Duration,
    believed: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Timing { patience: clock::scaled(PATIENCE).max(REAL_PATIENCE), believed: clock::scaled(BELIEVED) }
    }
}

impl Timing {
    /// Of a server that is reached by a tunnel.
    pub fn behind_a_cluster(self) -> Self {
        Timing { patience: self.patience + clock::scaled(CLUSTER), ..self }
    }
}

#[cfg(test)]
impl Timing {
    pub fn short(wait: Duration) -> Self {
        Timing { patience: wait, believed: wait }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum State {
    Untried,
    Up,
    Down { reason: String, since: Instant },
}

/// A failure of a request that may mean that nobody answers.
pub trait Silence {
    /// Why there was no answer; `None` when there was one.
    fn silence(&self) -> Option<&str>;
    /// The failure of a request that was not made, or given up.
    fn unanswered(reason: &str) -> Self;
}

impl Line {
    /// Nothing is known of it yet.
    pub fn new(applying: bool, timing: Timing) -> Self {
        Line {
            state: watch::Sender::new(State::Untried),
            trying: Mutex::default(),
            answers: AtomicU64::new(0),
            applying: AtomicBool::new(applying),
            timing,
        }
    }

    /// An answer came.
    pub fn heard(&self) {
        self.answers.fetch_add(1, Ordering::SeqCst);
        self.state.send_if_modified(|state| std::mem::replace(state, State::Up) != State::Up);
    }

    /// The first apply of the process begins: a server that was down is tried again.
    pub fn apply_begins(&self) {
        self.applying.store(true, Ordering::SeqCst);
        self.state.send_if_modified(|state| {
            let is_down = matches!(state, State::Down { .. });
            if is_down {
                *state = State::Untried;
            }
            is_down
        });
    }

    /// Makes a request, unless nobody is there. The first one finds that out, in half a minute and what moving its body
    /// takes; the others wait for it.
    pub async fn ask<T, F: Silence>(
        &self,
        moving: Duration,
        request: impl Future<Output = Result<T, F>>,
    ) -> Result<T, F> {
        let before = self.answers.load(Ordering::SeqCst);
        let Some(verdict) = self.verdict() else {
            let trying = self.trying.lock().await;
            return match self.verdict() {
                // Somebody else found out meanwhile.
                Some(verdict) => {
                    drop(trying);
                    self.under(verdict, before, request).await
                }
                None => self.first(trying, self.timing.patience + moving, request).await,
            };
        };
        self.under(verdict, before, request).await
    }

    /// Whether it is up, once that is known; down is with the reason.
    fn verdict(&self) -> Option<Result<(), String>> {
        match &*self.state.borrow() {
            State::Untried => None,
            State::Up => Some(Ok(())),
            State::Down { since, .. }
                if self.applying.load(Ordering::SeqCst) && since.elapsed() >= self.timing.believed =>
            {
                None
            }
            State::Down { reason, .. } => Some(Err(reason.clone())),
        }
    }

    async fn under<T, F: Silence>(
        &self,
        verdict: Result<(), String>,
        before: u64,
        request: impl Future<Output = Result<T, F>>,
    ) -> Result<T, F> {
        verdict.map_err(|reason| F::unanswered(&reason))?;
        let result = request.await;
        // In an apply, a lease is renewed through a short outage: only a server that froze is given up there.
        if let Some(reason) = result.as_ref().err().and_then(F::silence)
            && (reason == NO_ANSWER || !self.applying.load(Ordering::SeqCst))
        {
            self.lost(before, reason);
        }
        result
    }

    async fn first<T, F: Silence>(
        &self,
        trying: MutexGuard<'_, ()>,
        limit: Duration,
        request: impl Future<Output = Result<T, F>>,
    ) -> Result<T, F> {
        let before = self.answers.load(Ordering::SeqCst);
        let mut state = self.state.subscribe();
        let up = async { drop(state.wait_for(|state| *state == State::Up).await) };
        tokio::pin!(request);
        tokio::select! {
            biased;
            result = &mut request => {
                if let Some(reason) = result.as_ref().err().and_then(F::silence) {
                    self.lost(before, reason);
                }
                result
            }
            () = up => {
                drop(trying);
                request.await
            }
            () = tokio::time::sleep(limit) => {
                self.lost(before, NO_ANSWER);
                Err(F::unanswered(NO_ANSWER))
            }
        }
    }

    /// Nobody answered, unless somebody else was answered meanwhile.
    fn lost(&self, before: u64, reason: &str) {
        if self.answers.load(Ordering::SeqCst) == before {
            self.state.send_replace(State::Down { reason: reason.to_owned(), since: Instant::now() });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Silent(String);

    impl Silence for Silent {
        fn silence(&self) -> Option<&str> {
            Some(&self.0)
        }

        fn unanswered(reason: &str) -> Self {
            Silent(reason.to_owned())
        }
    }

    const SHORT: Duration = Duration::from_millis(200);

    fn line(applying: bool) -> Line {
        Line::new(applying, Timing::short(SHORT))
    }

    /// Counts its requests.
    #[derive(Default)]
    struct Server(AtomicU64);

    impl Server {
        async fn refuse(&self) -> Result<(), Silent> {
            self.0.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            Err(Silent("refused".into()))
        }

        async fn answer(&self, line: &Line) -> Result<(), Silent> {
            self.0.fetch_add(1, Ordering::SeqCst);
            line.heard();
            Ok(())
        }

        async fn freeze(&self) -> Result<(), Silent> {
            self.0.fetch_add(1, Ordering::SeqCst);
            std::future::pending().await
        }

        fn asked(&self) -> u64 {
            self.0.load(Ordering::SeqCst)
        }
    }

    #[tokio::test]
    async fn one_request_finds_out_that_nobody_is_there_and_the_apply_tries_again() {
        let (line, server) = (line(false), Server::default());
        let ask = || line.ask(Duration::ZERO, server.refuse());
        let (first, second, third) = tokio::join!(ask(), ask(), ask());
        for result in [first, second, third, ask().await] {
            assert_eq!(result, Err(Silent("refused".into())));
        }
        assert_eq!(server.asked(), 1);
        // A refresh that takes long changes nothing.
        tokio::time::sleep(2 * SHORT).await;
        assert!(ask().await.is_err());
        assert_eq!(server.asked(), 1);
        line.apply_begins();
        assert!(line.ask(Duration::ZERO, server.answer(&line)).await.is_ok());
        assert_eq!(server.asked(), 2);
    }

    #[tokio::test]
    async fn a_frozen_server_is_given_up_by_all_at_once() {
        let (line, server) = (line(false), Server::default());
        let began = Instant::now();
        let ask = || line.ask(Duration::ZERO, server.freeze());
        let results = futures::future::join_all((0..1000).map(|_| ask())).await;
        assert!(results.iter().all(|result| *result == Err(Silent(NO_ANSWER.into()))));
        assert_eq!(server.asked(), 1);
        assert!(began.elapsed() < 5 * SHORT, "{:?}", began.elapsed());
    }

    #[tokio::test]
    async fn those_who_wait_go_on_with_the_first_answer_while_the_first_still_reads_its_body() {
        let line = line(false);
        let long = line.ask(Duration::ZERO, async {
            line.heard();
            tokio::time::sleep(2 * SHORT).await;
            Ok::<_, Silent>(Instant::now())
        });
        let short = line.ask(Duration::ZERO, async { Ok::<_, Silent>(Instant::now()) });
        let (long, short) = tokio::join!(long, short);
        assert!(short.unwrap() < long.unwrap());
    }

    #[tokio::test]
    async fn a_server_that_freezes_later_holds_up_only_those_who_asked_already() {
        let (line, server) = (line(false), Server::default());
        line.ask(Duration::ZERO, server.answer(&line)).await.unwrap();
        assert!(line.ask(Duration::ZERO, server.refuse()).await.is_err());
        assert!(line.ask(Duration::ZERO, server.refuse()).await.is_err());
        assert_eq!(server.asked(), 2);
    }

    #[tokio::test]
    async fn an_outage_in_an_apply_is_believed_for_a_while_only() {
        let (line, server) = (line(true), Server::default());
        assert!(line.ask(Duration::ZERO, server.refuse()).await.is_err());
        assert!(line.ask(Duration::ZERO, server.answer(&line)).await.is_err());
        tokio::time::sleep(SHORT).await;
        assert!(line.ask(Duration::ZERO, server.answer(&line)).await.is_ok());
        // A run that is under way outlives a refused request.
        assert!(line.ask(Duration::ZERO, server.refuse()).await.is_err());
        assert!(line.ask(Duration::ZERO, server.answer(&line)).await.is_ok());
    }
}
