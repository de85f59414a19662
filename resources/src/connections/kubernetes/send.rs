//! One request: on a connection that is made at need, tried again where that can help, and an error that says what to do.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use dr_framework::Redactor;
use http::{HeaderName, HeaderValue, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper::upgrade::Upgraded;
use tokio::sync::{Mutex, OwnedSemaphorePermit};
use tokio::time::Instant;

use super::connect::{Connected, KubernetesConnection, auth};
use super::error::{Asked, ClusterError, refused, retry_after};
use crate::clock;
use crate::waiting::WaitingSlots;

/// How long things take; tests shorten it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// For how long a cluster that can't be reached is tried.
    pub reach: Duration,
    /// How often, meanwhile; and how often a webhook that can't be called is asked for again.
    pub look: Duration,
    /// How long an answer may take.
    pub answer: Duration,
    /// How long a server that is busy, or a webhook that is not up yet, is waited for.
    pub busy: Duration,
    /// The longest pause that a server can ask for.
    pub pause: Duration,
    /// The first pause where it asks for none; the next are twice as long each.
    pub backoff: Duration,
}

impl Timing {
    pub fn real() -> Self {
        let seconds = |seconds| clock::scaled(Duration::from_secs(seconds));
        Timing {
            reach: seconds(30),
            look: seconds(2),
            // Never less than what a busy machine needs.
            answer: seconds(60).max(Duration::from_secs(5)),
            busy: seconds(120),
            pause: seconds(30),
            backoff: clock::scaled(Duration::from_millis(500)),
        }
    }
}

/// How often a request is sent again over a connection that broke off.
const BROKEN: u32 = 3;

/// The way to one server.
pub(super) struct Line {
    pub name: String,
    pub source: Source,
    pub redactor: Redactor,
    pub slots: WaitingSlots,
    pub timing: Timing,
    /// Whether the first apply of the process has begun.
    pub applying: AtomicBool,
    /// The client of this generation, until its credentials are found wanting.
    client: Mutex<(u64, Option<Connected>)>,
    verdict: Mutex<Option<Verdict>>,
    out_of_reach: AtomicBool,
}

/// Where a client comes from.
pub(super) enum Source {
    /// The provider block.
    Settings(Box<KubernetesConnection>),
    /// One that is there.
    #[cfg_attr(not(any(test, feature = "toy")), expect(dead_code, reason = "tests bring their own server"))]
    Client(kube::Client),
}

/// That the server can't be reached.
struct Verdict {
    error: ClusterError,
    since: Instant,
    applying: bool,
}

/// A request.
pub(super) struct Call<'a> {
    pub asked: Asked<'a>,
    pub method: Method,
    /// With its query.
    pub path: String,
    pub content_type: &'static str,
    pub body: Vec<u8>,
    /// What asks for another protocol; empty for an ordinary request.
    pub upgrade: Vec<(HeaderName, HeaderValue)>,
}

struct Answer {
    status: u16,
    retry_after: Option<Duration>,
    body: Bytes,
    /// The connection, once it speaks the other protocol.
    upgraded: Option<Upgraded>,
}

/// Why there is no answer.
enum Failure {
    /// DNS, connect, TLS time-out.
    Unreachable(String),
    /// It was sent, and nothing came.
    Silent,
    /// Anything else.
    Broken(String),
    /// There are no credentials to send.
    Credentials(String),
}

/// What was tried for one request.
#[derive(Default)]
struct Tries {
    renewed: bool,
    broken: u32,
    reached: u32,
    busy: Option<Instant>,
    pauses: u32,
    /// Held while a webhook is waited for.
    slot: Option<OwnedSemaphorePermit>,
}

impl Line {
    pub fn new(name: &str, source: Source, redactor: Redactor, slots: WaitingSlots) -> Self {
        Line {
            name: name.to_owned(),
            source,
            redactor,
            slots,
            timing: Timing::real(),
            applying: AtomicBool::new(false),
            client: Mutex::default(),
            verdict: Mutex::default(),
            out_of_reach: AtomicBool::new(false),
        }
    }

    pub fn is_applying(&self) -> bool {
        self.applying.load(Ordering::SeqCst)
    }

    /// When the token ends, as far as it says so; nothing is asked.
    pub async fn expires(&self) -> Option<jiff::Timestamp> {
        self.connected().await.ok().and_then(|(_, connected)| connected.expires)
    }

    /// The body of the answer.
    pub async fn send(&self, call: &Call<'_>) -> Result<Bytes, ClusterError> {
        self.answer(call).await.map(|answer| answer.body)
    }

    /// The connection itself, which speaks the protocol that was asked for.
    pub async fn upgrade(&self, call: &Call<'_>) -> Result<Upgraded, ClusterError> {
        self.answer(call).await?.upgraded.ok_or_else(|| ClusterError::Broken {
            cluster: self.name.clone(),
            reason: "it did not change to the protocol of a tunnel: something between here and there does not let it through"
                .to_owned(),
        })
    }

    async fn answer(&self, call: &Call<'_>) -> Result<Answer, ClusterError> {
        let mut tries = Tries::default();
        loop {
            self.standing_verdict().await?;
            let (generation, connected) = self.connected().await?;
            let answer = match self.attempt(&connected.client, call).await {
                Ok(answer) => answer,
                Err(failure) => {
                    self.recover(failure, call, &mut tries, generation, &connected).await?;
                    continue;
                }
            };
            if (200..300).contains(&answer.status) || answer.upgraded.is_some() {
                return Ok(answer);
            }
            if answer.status == 401 && self.renews() && !tries.renewed {
                tries.renewed = true;
                self.forget(generation).await;
                continue;
            }
            match self.judge(call, &answer, &mut tries) {
                Ok(pause) => tokio::time::sleep(pause).await,
                Err(error) => return Err(error),
            }
        }
    }

    /// Prepares the next attempt after one without an answer, or says what that means.
    async fn recover(
        &self,
        failure: Failure,
        call: &Call<'_>,
        tries: &mut Tries,
        generation: u64,
        connected: &Connected,
    ) -> Result<(), ClusterError> {
        let again = call.may_be_repeated() && tries.broken < BROKEN;
        let reason = match failure {
            Failure::Credentials(message) => {
                self.forget(generation).await;
                return Err(ClusterError::Config { cluster: self.name.clone(), message });
            }
            Failure::Unreachable(_) if tries.reached < BROKEN => {
                tries.reached += 1;
                return self.try_to_reach(connected).await;
            }
            Failure::Silent if again => {
                tries.broken += 1;
                // Whether the server is there shows on a new connection; the pooled ones may all be silent.
                self.forget(generation).await;
                return Ok(());
            }
            Failure::Broken(_) if again => {
                tries.broken += 1;
                tokio::time::sleep(self.timing.look / 2).await;
                return Ok(());
            }
            Failure::Silent => "no answer in time".to_owned(),
            Failure::Unreachable(reason) | Failure::Broken(reason) => reason,
        };
        let reason = format!("{}: {reason}", connected.address);
        Err(ClusterError::Broken { cluster: self.name.clone(), reason })
    }

    /// How long to wait before the next attempt, or what the answer means.
    fn judge(&self, call: &Call<'_>, answer: &Answer, tries: &mut Tries) -> Result<Duration, ClusterError> {
        let error = match refused(&call.asked, answer.status, &answer.body) {
            ClusterError::Unauthorized { cluster, message } if tries.renewed => {
                let message = format!("{message}. They were read again, to no avail");
                ClusterError::Unauthorized { cluster, message }
            }
            error => error,
        };
        let since = *tries.busy.get_or_insert_with(Instant::now);
        let in_time = since.elapsed() < self.timing.busy;
        let pause = match &error {
            ClusterError::Webhook { .. } if self.is_applying() => {
                if tries.slot.is_none() {
                    tries.slot = self.slots.take();
                }
                tries.slot.is_some().then_some(self.timing.look)
            }
            // A webhook that fails is not the server's being busy.
            ClusterError::Webhook { .. } => None,
            _ if call.is_worth_repeating(answer) => {
                tries.pauses += 1;
                let backoff = self.timing.backoff * (1 << (tries.pauses - 1).min(6));
                Some(answer.retry_after.map_or(backoff, clock::scaled).min(self.timing.pause))
            }
            _ => None,
        };
        match pause {
            Some(pause) if in_time => Ok(pause),
            Some(_) => Err(self.after_waiting(error)),
            None => Err(error),
        }
    }

    /// The client, made at first use.
    pub async fn connected(&self) -> Result<(u64, Connected), ClusterError> {
        let mut current = self.client.lock().await;
        let (generation, made) = &mut *current;
        if let Some(connected) = made {
            return Ok((*generation, connected.clone()));
        }
        let connected = match &self.source {
            Source::Client(client) => Connected { client: client.clone(), address: self.name.clone(), expires: None },
            Source::Settings(connection) => {
                let made = connection.connect(&self.redactor).await;
                made.map_err(|message| ClusterError::Config { cluster: self.name.clone(), message })?
            }
        };
        *generation += 1;
        *made = Some(connected.clone());
        Ok((*generation, connected))
    }

    /// Has the next request read the credentials again, unless somebody did since.
    async fn forget(&self, generation: u64) {
        let mut current = self.client.lock().await;
        if current.0 == generation {
            current.1 = None;
        }
    }

    fn renews(&self) -> bool {
        match &self.source {
            Source::Settings(connection) => connection.renews(),
            Source::Client(_) => true,
        }
    }

    /// Whether the last try did not reach it.
    pub fn is_out_of_reach(&self) -> bool {
        self.out_of_reach.load(Ordering::SeqCst)
    }

    /// The verdict that others came to; waits while somebody tries.
    async fn standing_verdict(&self) -> Result<(), ClusterError> {
        match self.verdict.lock().await.as_ref() {
            Some(verdict) if self.stands(verdict) => Err(verdict.error.clone()),
            _ => Ok(()),
        }
    }

    /// A verdict of a refresh ends with it; one of an apply holds for as long as it took, so that a wait outlives a server
    /// that is restarted.
    fn stands(&self, verdict: &Verdict) -> bool {
        let applying = self.is_applying();
        verdict.applying == applying && (!applying || verdict.since.elapsed() < self.timing.reach)
    }

    /// Tries to reach the server for a while, once for everybody.
    async fn try_to_reach(&self, connected: &Connected) -> Result<(), ClusterError> {
        let mut verdict = self.verdict.lock().await;
        if let Some(verdict) = verdict.as_ref().filter(|verdict| self.stands(verdict)) {
            return Err(verdict.error.clone());
        }
        let deadline = Instant::now() + self.timing.reach;
        loop {
            let Err(reason) = self.knock(&connected.client).await else {
                *verdict = None;
                self.out_of_reach.store(false, Ordering::SeqCst);
                return Ok(());
            };
            if Instant::now() >= deadline {
                let reason = format!("{}: {reason} (tried for {:?})", connected.address, self.timing.reach);
                let error = ClusterError::Unreachable { cluster: self.name.clone(), reason };
                self.out_of_reach.store(true, Ordering::SeqCst);
                *verdict = Some(Verdict { error: error.clone(), since: Instant::now(), applying: self.is_applying() });
                return Err(error);
            }
            tokio::time::sleep_until(deadline.min(Instant::now() + self.timing.look)).await;
        }
    }
}

impl Line {
    fn after_waiting(&self, error: ClusterError) -> ClusterError {
        let waited = |message: String| format!("{message} (tried for {:?})", self.timing.busy);
        match error {
            ClusterError::Webhook { cluster, name, message } => {
                ClusterError::Webhook { cluster, name, message: waited(message) }
            }
            ClusterError::Server { cluster, status, message } => {
                ClusterError::Server { cluster, status, message: waited(message) }
            }
            error => error,
        }
    }

    /// Any answer at all will do.
    async fn knock(&self, client: &kube::Client) -> Result<(), String> {
        let request = Request::get("/version").body(kube::client::Body::empty()).map_err(|error| error.to_string())?;
        match tokio::time::timeout(self.timing.answer.min(self.timing.reach), client.send(request)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => match classify(&error) {
                Failure::Unreachable(reason) => Err(reason),
                Failure::Silent | Failure::Broken(_) | Failure::Credentials(_) => Ok(()),
            },
            Err(_) => Err("no answer in time".to_owned()),
        }
    }

    async fn attempt(&self, client: &kube::Client, call: &Call<'_>) -> Result<Answer, Failure> {
        let mut request = Request::builder().method(call.method.clone()).uri(&call.path);
        if !call.body.is_empty() {
            request = request.header(header::CONTENT_TYPE, call.content_type);
        }
        for (name, value) in &call.upgrade {
            request = request.header(name, value);
        }
        let request = request
            .header(header::ACCEPT, "application/json")
            .body(kube::client::Body::from(call.body.clone()))
            .map_err(|error| Failure::Broken(error.to_string()))?;
        let exchange = async {
            let response = client.send(request).await.map_err(|error| classify(&error))?;
            if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                let status = response.status().as_u16();
                let upgraded = hyper::upgrade::on(response).await;
                let upgraded = Some(upgraded.map_err(|error| Failure::Broken(deepest(&error)))?);
                return Ok(Answer { status, retry_after: None, body: Bytes::new(), upgraded });
            }
            let (parts, body) = response.into_parts();
            let seconds = parts.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            let body = body.collect().await.map_err(|error| Failure::Broken(deepest(&error)))?.to_bytes();
            let retry_after = seconds.or_else(|| retry_after(&body)).map(Duration::from_secs);
            Ok(Answer { status: parts.status.as_u16(), retry_after, body, upgraded: None })
        };
        match tokio::time::timeout(self.timing.answer, exchange).await {
            Ok(answered) => answered,
            Err(_) => Err(Failure::Silent),
        }
    }
}

impl Call<'_> {
    /// Whether a second one does no harm when the first one arrived. What leads to one pod is for its caller to repeat, who
    /// then looks for another.
    fn may_be_repeated(&self) -> bool {
        self.method != Method::POST && self.upgrade.is_empty()
    }

    /// Whether the server may answer otherwise later.
    fn is_worth_repeating(&self, answer: &Answer) -> bool {
        match answer.status {
            // It was not begun.
            429 | 503 => true,
            500 | 502 | 504 => self.may_be_repeated() && !is_final(&answer.body),
            _ => false,
        }
    }
}

/// A 500 that says what is wrong with the request comes again.
fn is_final(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    text.contains("field not declared in schema") || text.contains("failed to create typed")
}

/// What became of a request that got no answer.
fn classify(error: &kube::Error) -> Failure {
    if let kube::Error::Auth(error) = error {
        return Failure::Credentials(auth(error));
    }
    let (mut connecting, mut tls) = (false, None);
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<kube::client::AuthError>() {
            return Failure::Credentials(auth(error));
        }
        let client = error.downcast_ref::<hyper_util::client::legacy::Error>();
        connecting |= client.is_some_and(hyper_util::client::legacy::Error::is_connect);
        tls = tls.or_else(|| error.downcast_ref::<rustls::Error>().map(ToString::to_string));
        // The standard library's error hides the one it carries from `source`, and one may carry another.
        let carried = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        next = match carried {
            Some(carried) => Some(carried),
            None => error.source(),
        };
    }
    match (connecting, tls) {
        (_, Some(reason)) => Failure::Broken(reason),
        (true, None) => Failure::Unreachable(deepest(error)),
        (false, None) => Failure::Broken(deepest(error)),
    }
}

fn deepest(error: &dyn std::error::Error) -> String {
    let mut last = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        last = error.to_string();
        next = error.source();
    }
    last
}
