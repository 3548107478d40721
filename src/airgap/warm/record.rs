//! Record mode: a real client is run with an index of its own, and what it fetched is remembered.
//!
//! Every request goes on to the daemon as it came. Owns the small server on this machine, what
//! counts as fetched, and the client's environment. Must not know what the client is, nor what
//! becomes of the list.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::ExitStatus;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONNECTION, ETAG, HeaderMap, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::control::Client;
use crate::registry::{PageRef, Route, Scope};
use crate::values::digest::Digest;

/// Connections of the client at once; a further one waits.
const CONNECTIONS_MAX: usize = 256;

/// The variables by which clients are told of their index.
const INDEX_VARIABLES: [&str; 6] = [
    "PIP_INDEX_URL",
    "UV_DEFAULT_INDEX",
    "UV_INDEX_URL",
    "PDM_PYPI_URL",
    "PIPENV_PYPI_MIRROR",
    "LARDER_URL",
];

/// What a client was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recording {
    /// Files whose bodies it was given to the end, with the sha256 that larder vouches for.
    pub whole: BTreeMap<String, Option<Digest>>,
    /// Files of which it read a part.
    pub parts: BTreeMap<String, Route>,
}

/// A server that passes on and remembers.
pub struct Recorder {
    socket: TcpListener,
    passing: Arc<RecordingProxy>,
}

struct RecordingProxy {
    client: Client,
    /// Put on requests that carry no credential of their own.
    credential: HeaderMap,
    prefix: String,
    recording: Mutex<Recording>,
}

impl Recorder {
    /// # Errors
    /// When the address cannot be listened on.
    pub async fn bind(
        address: &str,
        client: Client,
        credential: HeaderMap,
        prefix: String,
    ) -> io::Result<Self> {
        let passing = Arc::new(RecordingProxy {
            client,
            credential,
            prefix,
            recording: Mutex::default(),
        });
        Ok(Self {
            socket: TcpListener::bind(address).await?,
            passing,
        })
    }

    /// # Errors
    /// When the system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Runs a client until it ends, and gives what it fetched.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn run(
        self,
        command: &[String],
        scope: Option<&Scope>,
    ) -> io::Result<(ExitStatus, Recording)> {
        let (program, arguments) = command.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        let origin = format!("http://{}{}", self.address()?, self.passing.prefix);
        let mut command = Command::new(program);
        command
            .args(arguments)
            .kill_on_drop(true)
            .env("LARDER_URL", &origin);
        if let Some(scope) = scope {
            let index = Route::Page(PageRef::index(scope.clone())).path();
            for name in INDEX_VARIABLES {
                command.env(name, format!("{origin}{index}"));
            }
        }
        let mut child = command.spawn()?;
        let mut connections = JoinSet::new();
        let status = loop {
            tokio::select! {
                status = child.wait() => break status?,
                accepted = self.socket.accept(), if connections.len() < CONNECTIONS_MAX => {
                    if let Ok((stream, _)) = accepted {
                        connections.spawn(connection(stream, Arc::clone(&self.passing)));
                    }
                }
                Some(_) = connections.join_next() => {}
            }
        };
        let recording = self.passing.recording.lock().clone();
        Ok((status, recording))
    }
}

async fn connection(stream: TcpStream, passing: Arc<RecordingProxy>) {
    let service = service_fn(move |request| {
        let passing = Arc::clone(&passing);
        async move { Ok::<_, Infallible>(passing.pass(request).await) }
    });
    // A client that hangs up is its own affair.
    let _ = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

type Passed = Either<Watched, Full<Bytes>>;

impl RecordingProxy {
    async fn pass(self: Arc<Self>, request: Request<Incoming>) -> Response<Passed> {
        let (mut parts, body) = request.into_parts();
        let mut target = parts
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str());
        if let Some(below) = target.strip_prefix(&self.prefix)
            && below.starts_with('/')
        {
            target = below;
        }
        let path = target.split('?').next().unwrap_or_default();
        let file = match Route::from_path(path) {
            Ok(route) if parts.method == Method::GET && route.word() == "file" => Some(route),
            _ => None,
        };
        parts.uri = target.parse::<Uri>().unwrap_or_default();
        strip_hop_by_hop(&mut parts.headers);
        for (name, value) in &self.credential {
            if !parts.headers.contains_key(name) {
                parts.headers.insert(name.clone(), value.clone());
            }
        }
        let body = body.map_err(Into::into).boxed_unsync();
        let answer = match self.client.send(Request::from_parts(parts, body)).await {
            Ok(answer) => answer,
            Err(why) => {
                let body = Full::from(format!("{why}\n"));
                let mut answer = Response::new(Either::Right(body));
                *answer.status_mut() = StatusCode::BAD_GATEWAY;
                return answer;
            }
        };
        let (mut parts, body) = answer.into_parts();
        strip_hop_by_hop(&mut parts.headers);
        let seen = match (file, parts.status) {
            (Some(route), StatusCode::OK) => {
                let sha256 = parts.headers.get(ETAG).and_then(quoted);
                Some((route, sha256, Arc::clone(&self)))
            }
            (Some(route), StatusCode::PARTIAL_CONTENT) => {
                let mut recording = self.recording.lock();
                recording.parts.insert(route.path(), route);
                None
            }
            _ => None,
        };
        let mut watched = Watched { inner: body, seen };
        // An empty body is never read.
        if watched.inner.is_end_stream() {
            watched.end();
        }
        Response::from_parts(parts, Either::Left(watched))
    }
}

/// Takes out the fields that mean one connection (RFC 9110 §7.6.1).
fn strip_hop_by_hop(headers: &mut HeaderMap) {
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
}

fn quoted(etag: &HeaderValue) -> Option<Digest> {
    Digest::parse(etag.to_str().ok()?.trim_matches('"'))
}

/// A body that is remembered when it was given to its end.
struct Watched {
    inner: Incoming,
    seen: Option<(Route, Option<Digest>, Arc<RecordingProxy>)>,
}

impl Watched {
    fn end(&mut self) {
        if let Some((route, sha256, passing)) = self.seen.take() {
            let mut recording = passing.recording.lock();
            recording.whole.insert(route.path(), sha256);
        }
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        // With a length known, the server does not poll again once all of it is there.
        if frame.is_none() || (matches!(frame, Some(Ok(_))) && self.inner.is_end_stream()) {
            self.end();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Recording {
    /// Those of which only a part was read.
    pub fn incomplete(&self) -> impl Iterator<Item = &Route> {
        self.parts
            .iter()
            .filter(|(path, _)| !self.whole.contains_key(*path))
            .map(|(_, route)| route)
    }

    /// All files, whole or not.
    pub fn count(&self) -> usize {
        self.whole.len() + self.incomplete().count()
    }

    pub fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.parts.is_empty()
    }
}

/// The exit code of a client, as a shell gives it.
pub fn exit_code(status: ExitStatus) -> u8 {
    use std::os::unix::process::ExitStatusExt;
    let code = status
        .code()
        .or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}
