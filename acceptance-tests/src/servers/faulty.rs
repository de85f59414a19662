//! An S3 server in this process, over a folder, that refuses, redirects, drips or lies when it is told to.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION};
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use super::{Credentials, S3};

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// Nothing.
    None,
    /// 403 AccessDenied.
    Refuse,
    /// A redirect to another host.
    RedirectTo(String),
    /// 200 with a web page: a captive portal, or a proxy's login.
    Html,
    /// The right answer, a little every 50 ms.
    Drip,
    /// Half of the right answer, then the connection ends.
    CutOff,
    /// The connection ends before any answer.
    HangUp,
    /// 503 SlowDown.
    SlowDown,
    /// `If-Match` and `If-None-Match` are as good as not there.
    IgnoreConditions,
    /// One bit of the answer's body is another.
    FlipBit,
}

/// Which requests it happens to, and how often.
#[derive(Debug, Clone)]
pub struct Rule {
    method: &'static str,
    path: String,
    fault: Fault,
    left: Option<usize>,
}

impl Rule {
    /// Requests of `method` (all with an empty one) whose path and query hold `path`.
    pub fn on(method: &'static str, path: &str, fault: Fault) -> Self {
        Self { method, path: path.to_owned(), fault, left: None }
    }

    /// Every request.
    pub fn always(fault: Fault) -> Self {
        Self::on("", "", fault)
    }

    /// Only the first `count` of them.
    pub fn times(mut self, count: usize) -> Self {
        self.left = Some(count);
        self
    }
}

/// A running server, gone with the value.
#[derive(Debug)]
pub struct Faulty {
    /// How to talk to it.
    pub s3: S3,
    shared: Arc<Shared>,
    _runtime: Runtime,
    _folder: TempDir,
}

#[derive(Debug, Default)]
struct Shared {
    rules: Mutex<Vec<Rule>>,
    requests: Mutex<Vec<String>>,
}

/// Two doors to the same folder.
#[derive(Clone)]
struct Services {
    /// Checks signatures.
    checking: S3Service,
    /// Takes a request whose headers were changed on the way, which no signature survives.
    trusting: S3Service,
}

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

impl Faulty {
    /// Starts one that behaves.
    pub fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let credentials = Credentials { id: "canary-key-id-7f3a".into(), secret: "canary-s3-secret-key-91c2e5".into() };
        let files = || {
            let files = s3s_fs::FileSystem::new(folder.path());
            files.map_err(|error| anyhow::anyhow!("cannot serve a folder: {error:?}"))
        };
        let mut checking = S3ServiceBuilder::new(files()?);
        checking.set_auth(SimpleAuth::from_single(credentials.id.clone(), credentials.secret.clone()));
        let services = Services { checking: checking.build(), trusting: S3ServiceBuilder::new(files()?).build() };

        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let listener = runtime.block_on(TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        runtime.spawn(accept(listener, services, Arc::clone(&shared)));
        let s3 = S3::new(&format!("http://{address}"), "us-east-1", credentials)?;
        Ok(Self { s3, shared, _runtime: runtime, _folder: folder })
    }

    /// From now on, besides the rules there are; the first that fits is taken.
    pub fn misbehave(&self, rule: Rule) {
        self.shared.rules.lock().unwrap_or_else(PoisonError::into_inner).push(rule);
    }

    /// No more faults.
    pub fn behave(&self) {
        self.shared.rules.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Every request so far: method, path and query.
    pub fn requests(&self) -> Vec<String> {
        self.shared.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shared {
    /// Notes the request and says what happens to it.
    fn fault(&self, request: &Request<Incoming>) -> Fault {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
        let method = request.method().as_str();
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(format!("{method} {path}"));
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        let fits = |rule: &&mut Rule| {
            (rule.method.is_empty() || rule.method == method) && path.contains(&rule.path) && rule.left != Some(0)
        };
        let Some(rule) = rules.iter_mut().find(fits) else { return Fault::None };
        rule.left = rule.left.map(|left| left - 1);
        rule.fault.clone()
    }
}

async fn accept(listener: TcpListener, services: Services, shared: Arc<Shared>) {
    while let Ok((socket, _)) = listener.accept().await {
        let (services, shared) = (services.clone(), Arc::clone(&shared));
        tokio::spawn(async move {
            let answer = service_fn(move |request| answer(request, services.clone(), Arc::clone(&shared)));
            // A connection that ends early is what some of the faults are.
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), answer).await;
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    services: Services,
    shared: Arc<Shared>,
) -> std::io::Result<Response<Body>> {
    let fault = shared.fault(&request);
    let mut request = request;
    match &fault {
        Fault::Refuse => return Ok(error(StatusCode::FORBIDDEN, "AccessDenied", "Access Denied.")),
        Fault::SlowDown => {
            return Ok(error(StatusCode::SERVICE_UNAVAILABLE, "SlowDown", "Please reduce your request rate."));
        }
        Fault::HangUp => return Err(std::io::ErrorKind::ConnectionReset.into()),
        Fault::RedirectTo(host) => {
            let mut answer = error(StatusCode::TEMPORARY_REDIRECT, "TemporaryRedirect", "Go elsewhere.");
            let place = format!("{}{}", host.trim_end_matches('/'), request.uri());
            answer.headers_mut().insert(LOCATION, HeaderValue::try_from(place).map_err(std::io::Error::other)?);
            return Ok(answer);
        }
        Fault::Html => {
            let page = "<!DOCTYPE html><html><body>Please sign in to the guest network</body></html>";
            let mut answer = Response::new(whole(page));
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
            return Ok(answer);
        }
        Fault::IgnoreConditions => {
            request.headers_mut().remove("if-match");
            request.headers_mut().remove("if-none-match");
            request.headers_mut().remove("authorization");
        }
        Fault::None | Fault::Drip | Fault::CutOff | Fault::FlipBit => {}
    }
    let changed = matches!(fault, Fault::IgnoreConditions);
    let service = if changed { services.trusting } else { services.checking };
    let answer = service.call(request.map(s3s::Body::from)).await;
    let answer = answer.map_err(|error| std::io::Error::other(format!("{error:?}")))?;
    spoil(answer, &fault).await
}

/// Changes how a right answer arrives.
async fn spoil(answer: Response<s3s::Body>, fault: &Fault) -> std::io::Result<Response<Body>> {
    let (mut head, body) = answer.into_parts();
    if !matches!(fault, Fault::Drip | Fault::CutOff | Fault::FlipBit) {
        return Ok(Response::from_parts(head, body.map_err(std::io::Error::other).boxed_unsync()));
    }
    let bytes = BodyExt::collect(body).await.map_err(std::io::Error::other)?.to_bytes();
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.len()));
    let body = match fault {
        Fault::Drip => {
            let pieces: Vec<Bytes> = bytes.chunks(64).map(Bytes::copy_from_slice).collect();
            let slowly = stream::iter(pieces).then(|piece| async {
                tokio::time::sleep(Duration::from_millis(50)).await;
                Ok(Frame::data(piece))
            });
            StreamBody::new(slowly).boxed_unsync()
        }
        Fault::CutOff => {
            let half = Frame::data(bytes.slice(..bytes.len() / 2));
            let end = Err(std::io::ErrorKind::ConnectionReset.into());
            StreamBody::new(stream::iter([Ok(half), end])).boxed_unsync()
        }
        _ => {
            let mut bytes = bytes.to_vec();
            if let Some(middle) = bytes.len().checked_sub(1).map(|last| last / 2) {
                bytes[middle] ^= 1;
            }
            whole(bytes)
        }
    };
    Ok(Response::from_parts(head, body))
}

fn error(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>"
    );
    let mut answer = Response::new(whole(text));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/xml"));
    answer
}

fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}
