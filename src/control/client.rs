//! The client's side of the control socket.
//!
//! Connections are kept and used again. Connecting and waiting for an answer's head have limits; a
//! body has none, because a command may take as long as the store is large. Must not know what is
//! asked.

use std::future::Future;
use std::marker::PhantomData;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;
use tokio::time::timeout;
use tower_service::Service;

use super::command::{CONTROL_PATH, Command};
use super::event::{End, Line};
use crate::access::Credential;
use crate::store::ControlSocket;
use crate::values::error_chain::{self, BoxError};

/// For a daemon on this machine to take a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// For the first answer, which the daemon gives by itself.
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);

/// For an answer's head, which may have to wait for upstream and its retries.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(300);

/// Unused connections are closed before the daemon does it.
const POOL_IDLE: Duration = Duration::from_secs(30);

/// The longest line of an answer.
const LINE_BYTES_MAX: usize = 1 << 20;

/// The largest body of an error that is read.
const PROBLEM_BYTES_MAX: usize = 64 << 10;

/// A request's body, of whatever kind.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

pub fn empty() -> Body {
    Empty::new().map_err(Into::into).boxed_unsync()
}

pub fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(Into::into).boxed_unsync()
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no answer on the control socket of the cache folder: {0}")]
    NoAnswer(String),
    #[error("{detail}")]
    Refused { status: StatusCode, detail: String },
    #[error("{0}")]
    Failed(String),
    #[error("the daemon was stopped meanwhile; what was done so far stays done")]
    Stopped,
    #[error("the daemon broke off before it was done")]
    BrokeOff,
    #[error("the daemon's answer cannot be read; is it another version of larder?")]
    Garbled,
}

/// A daemon that can be talked to.
#[derive(Clone)]
pub struct Client {
    inner: legacy::Client<Connector, Body>,
}

impl Client {
    /// Finds the daemon of this cache folder, and makes sure that it answers.
    ///
    /// # Errors
    /// [`ClientError::NoAnswer`] when there is none, or it is silent.
    pub async fn connect(cache_dir: &Path) -> Result<Self, ClientError> {
        let socket =
            ControlSocket::of(cache_dir).map_err(|why| ClientError::NoAnswer(why.to_string()))?;
        let inner = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(POOL_IDLE)
            .build(Connector(Arc::new(socket)));
        let client = Self { inner };
        let greeting = client.send(get("/-/health/live"));
        let answer = timeout(GREETING_TIMEOUT, greeting)
            .await
            .map_err(|_| silent(GREETING_TIMEOUT))??;
        // Read to its end, so that the connection can be used again.
        let _ = timeout(GREETING_TIMEOUT, answer.into_body().collect()).await;
        Ok(client)
    }

    /// Sends any request whose target is a path of larder's; the answer is as it comes, whatever
    /// its status.
    ///
    /// # Errors
    /// [`ClientError::NoAnswer`].
    pub async fn send(
        &self,
        mut request: Request<Body>,
    ) -> Result<Response<Incoming>, ClientError> {
        let path = request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str());
        let target = format!("http://larder{path}").parse::<Uri>();
        *request.uri_mut() = target.map_err(|why| ClientError::NoAnswer(why.to_string()))?;
        match timeout(ANSWER_TIMEOUT, self.inner.request(request)).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(why)) => Err(ClientError::NoAnswer(error_chain::root(&why))),
            Err(_) => Err(silent(ANSWER_TIMEOUT)),
        }
    }

    /// Gives a command.
    ///
    /// # Errors
    /// [`ClientError::NoAnswer`], or [`ClientError::Refused`] with the daemon's own sentence.
    pub async fn run<C: Command>(&self, command: &C) -> Result<Events<C::Event>, ClientError> {
        self.run_as(command, &Credential::anonymous()).await
    }

    /// Gives a command for which the daemon asks upstream with this credential.
    ///
    /// # Errors
    /// As for [`Self::run`].
    pub async fn run_as<C: Command>(
        &self,
        command: &C,
        credential: &Credential,
    ) -> Result<Events<C::Event>, ClientError> {
        let body = serde_json::to_vec(command).map_err(|_| ClientError::Garbled)?;
        let mut request = post(C::NAME, whole(body));
        request
            .headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        credential.apply(request.headers_mut());
        Ok(Events::of(self.granted(request).await?))
    }

    /// Gives a command whose body is a stream, such as a bundle; it goes on while its events are
    /// read.
    ///
    /// # Errors
    /// As for [`Self::run`].
    pub async fn deliver<C: Command>(&self, body: Body) -> Result<Events<C::Event>, ClientError> {
        Ok(Events::of(self.granted(post(C::NAME, body)).await?))
    }

    /// Sends a request, and takes nothing but a yes.
    ///
    /// # Errors
    /// As for [`Self::run`].
    pub async fn granted(&self, request: Request<Body>) -> Result<Response<Incoming>, ClientError> {
        let answer = self.send(request).await?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = Limited::new(answer.into_body(), PROBLEM_BYTES_MAX)
            .collect()
            .await;
        let problem = body
            .ok()
            .and_then(|body| serde_json::from_slice::<Problem>(&body.to_bytes()).ok());
        let detail = problem.map_or_else(|| status.to_string(), |problem| problem.detail);
        Err(ClientError::Refused { status, detail })
    }
}

/// What is read of an error's body (RFC 9457).
#[derive(serde::Deserialize)]
struct Problem {
    detail: String,
}

/// The request that gives a command.
pub fn post(name: &str, body: Body) -> Request<Body> {
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    // A name is a constant of ours; one that is no path is answered as unknown.
    *request.uri_mut() = format!("{CONTROL_PATH}{name}").parse().unwrap_or_default();
    request
}

fn get(path: &'static str) -> Request<Body> {
    let mut request = Request::new(empty());
    *request.uri_mut() = Uri::from_static(path);
    request
}

fn silent(limit: Duration) -> ClientError {
    ClientError::NoAnswer(format!(
        "no answer within {}",
        humantime::format_duration(limit)
    ))
}

/// What a command tells, event by event.
pub struct Events<E> {
    body: Incoming,
    /// Read, and not yet a whole line.
    rest: BytesMut,
    /// So far into the rest there is no line's end.
    looked: usize,
    events: PhantomData<fn() -> E>,
}

impl<E: DeserializeOwned> Events<E> {
    fn of(answer: Response<Incoming>) -> Self {
        Self {
            body: answer.into_body(),
            rest: BytesMut::new(),
            looked: 0,
            events: PhantomData,
        }
    }

    /// The next event; `None` when the command was carried out to its end.
    ///
    /// # Errors
    /// When it was not: [`ClientError::Failed`] with the daemon's sentence, `Stopped`, or
    /// `BrokeOff`.
    pub async fn next(&mut self) -> Result<Option<E>, ClientError> {
        loop {
            if let Some(line) = self.take_line() {
                return match serde_json::from_slice(&line).map_err(|_| ClientError::Garbled)? {
                    Line::Event(event) => Ok(Some(event)),
                    Line::End(End::Done) => Ok(None),
                    Line::End(End::Failed(why)) => Err(ClientError::Failed(why)),
                    Line::End(End::Stopped) => Err(ClientError::Stopped),
                };
            }
            if self.rest.len() > LINE_BYTES_MAX {
                return Err(ClientError::Garbled);
            }
            let frame = self.body.frame().await.ok_or(ClientError::BrokeOff)?;
            if let Ok(piece) = frame.map_err(|_| ClientError::BrokeOff)?.into_data() {
                self.rest.extend_from_slice(&piece);
            }
        }
    }

    fn take_line(&mut self) -> Option<BytesMut> {
        let new = self.rest.get(self.looked..).unwrap_or_default();
        match new.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                let line = self.rest.split_to(self.looked + end + 1);
                self.looked = 0;
                Some(line)
            }
            None => {
                self.looked = self.rest.len();
                None
            }
        }
    }
}

/// Connects to the socket, whatever host the address names.
#[derive(Clone)]
struct Connector(Arc<ControlSocket>);

impl Service<Uri> for Connector {
    type Response = TokioIo<UnixStream>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let socket = Arc::clone(&self.0);
        Box::pin(async move {
            let stream = timeout(CONNECT_TIMEOUT, UnixStream::connect(socket.path())).await??;
            Ok(TokioIo::new(stream))
        })
    }
}
