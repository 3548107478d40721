//! The two listeners: accepts connections and walks each request from its head to its logged answer.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinSet};

use super::answer::Answer;
use super::answering;
use super::delivery::Delivery;
use super::fault::{Act, Asked, Phase};
use super::log::{Door, Ended, Entry, Record};
use super::object_store;
use super::request::{Head, Kind, Route};
use super::settings::Storage;
use super::state::State;
use super::upload::{Incoming, Received};
use super::wire::{Connection, RequestBody};

/// A listening address that can be closed and opened again.
#[derive(Debug)]
pub(super) struct Listening {
    door: Door,
    address: SocketAddr,
    task: Mutex<Option<AbortHandle>>,
}

impl Listening {
    /// `listener` accepts at once.
    pub(super) fn start(runtime: &Handle, state: &Arc<State>, door: Door, listener: TcpListener) -> Self {
        let address = listener.local_addr().expect("a listening socket");
        let listening = Self { door, address, task: Mutex::new(None) };
        listening.accept_on(runtime, state, listener);
        listening
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listener and every connection that came through it.
    pub(super) fn stop(&self) {
        if let Some(task) = self.task.lock().expect("no panic holds it").take() {
            task.abort();
            // The port is free once the task has been dropped.
            while !task.is_finished() {
                std::thread::yield_now();
            }
        }
    }

    /// Opens the same address again.
    pub(super) fn resume(&self, runtime: &Handle, state: &Arc<State>) {
        self.accept_on(runtime, state, listen(runtime, self.address));
    }

    fn accept_on(&self, runtime: &Handle, state: &Arc<State>, listener: TcpListener) {
        let (state, door) = (Arc::clone(state), self.door);
        let task = runtime.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                        connections.spawn(serve(Arc::clone(&state), door, Connection::new(stream)));
                    },
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        *self.task.lock().expect("no panic holds it") = Some(task.abort_handle());
    }
}

/// Listens with a queue long enough for a herd: a refused or repeated SYN would cost a test a second.
pub(super) fn listen(runtime: &Handle, address: SocketAddr) -> TcpListener {
    let _in_runtime = runtime.enter();
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("a fresh socket");
    socket.bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    socket.listen(4096).expect("a bound socket")
}

/// One connection, request after request.
async fn serve(state: Arc<State>, door: Door, mut connection: Connection) {
    let open = state.log.connection();
    loop {
        let head = match connection.read_head().await {
            Ok(Some(Ok(head))) => head,
            Ok(Some(Err(flaw))) => {
                state.log.report(format!("{door:?}: {flaw}"));
                let _ = connection
                    .write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                    .await;
                return;
            }
            Ok(None) | Err(_) => return,
        };
        let exchange = Exchange::begin(&state, door, open.id, head);
        match exchange.run(connection).await {
            Some(reusable) => connection = reusable,
            None => return,
        }
    }
}

/// One request and its answer.
struct Exchange<'a> {
    state: &'a State,
    door: Door,
    head: Head,
    route: Option<Route>,
    kind: Kind,
    carries_file: bool,
    /// A fault wants the answer to have none.
    without_validators: bool,
    record: Record,
}

impl<'a> Exchange<'a> {
    fn begin(state: &'a State, door: Door, connection: u64, head: Head) -> Self {
        let route = match door {
            Door::GitLab => Route::parse(head.path(), &state.root),
            Door::Store => None,
        };
        let kind = kind(door, &head, route.as_ref());
        let carries_file =
            kind == Kind::Object || (kind == Kind::File && state.settings().storage != Storage::Redirect);
        let record = state.log.begin(Entry {
            door,
            kind,
            connection,
            head: head.clone(),
            at: Instant::now(),
            body_received: 0,
            status: None,
            body_sent: 0,
            ended: Ended::NotYet,
            carries_file,
        });
        let exchange =
            Self { state, door, head, route, kind, carries_file, without_validators: false, record };
        exchange.report_oddities();
        exchange
    }

    fn report_oddities(&self) {
        if self.kind == Kind::Unknown {
            self.state.log.report(format!("{:?}: {}", self.door, self.head));
        }
        let secrets = ["Authorization", "PRIVATE-TOKEN", "Deploy-Token", "JOB-TOKEN", "Cookie"];
        if self.door == Door::Store && secrets.iter().any(|name| self.head.header(name).is_some()) {
            self.state.log.report(format!("a credential at the object store: {}", self.head));
        }
    }

    async fn run(mut self, mut connection: Connection) -> Option<Connection> {
        let mut body = match RequestBody::of(&self.head) {
            Ok(body) => body,
            Err(flaw) => {
                self.state.log.report(format!("{:?}: {}: {flaw}", self.door, self.head));
                return self.send(connection, Answer::new(400), false).await;
            }
        };
        let answer = match self.replaced() {
            Some(answer) => Ok(Received::Answer(answer)),
            None => self.answer(&mut connection, &mut body).await,
        };
        let answer = match answer {
            Ok(Received::Answer(answer)) => answer,
            Ok(Received::Reset) => {
                self.end(Ended::Cut);
                connection.reset().await;
                return None;
            }
            Err(_) => {
                self.end(Ended::PeerLeft);
                return None;
            }
        };
        self.send(connection, answer, body.ended()).await
    }

    async fn send(&self, connection: Connection, answer: Answer, body_was_read: bool) -> Option<Connection> {
        let acts = self.state.faults.take(fitting(&answer, &self.head), &self.asked());
        let delivery = Delivery { request: &self.head, acts, body_was_read, record: &self.record };
        delivery.send(connection, answer).await
    }

    /// Faults that concern the request: some stand in for the answer, some change what is asked.
    fn replaced(&mut self) -> Option<Answer> {
        let mut replacement = None;
        for act in self.state.faults.take(&[Phase::Request], &self.asked()) {
            match act {
                Act::Status(status) => replacement = Some(Answer::html(status)),
                Act::Answer(answer) => replacement = Some(answer),
                Act::ExpiredSignature if self.door == Door::Store => {
                    replacement = Some(object_store::expired());
                }
                Act::IgnoreRange => self.head.remove_header("Range"),
                Act::NoValidators => {
                    for name in
                        ["If-None-Match", "If-Modified-Since", "If-Match", "If-Unmodified-Since", "If-Range"]
                    {
                        self.head.remove_header(name);
                    }
                    self.without_validators = true;
                }
                _ => {}
            }
        }
        replacement
    }

    async fn answer(&self, connection: &mut Connection, body: &mut RequestBody) -> std::io::Result<Received> {
        if let (Some(Route::Upload { project }), "POST") = (&self.route, self.head.method.as_str()) {
            let latency = self.state.settings().latency;
            let faults = self.state.faults.take(&[Phase::UploadBody], &self.asked());
            let incoming = Incoming::new(self.state, &self.head, project, &faults);
            let received = incoming.receive(connection, body, |bytes| self.count(bytes)).await;
            tokio::time::sleep(latency).await;
            return received;
        }
        while let Some(piece) = body.next(connection).await? {
            self.count(piece.len() as u64);
        }
        let mut answer = match (self.door, &self.route) {
            (Door::Store, _) => {
                object_store::answer(&self.state.universe(), &self.state.signatures, &self.head)
            }
            (Door::GitLab, Some(route)) => {
                tokio::time::sleep(self.state.settings().latency).await;
                answering::answer(self.state, &self.head, route)
            }
            (Door::GitLab, None) => Answer::error(404, "404 Not Found"),
        };
        if self.without_validators {
            answer.remove_header("ETag");
            answer.remove_header("Last-Modified");
        }
        Ok(Received::Answer(answer))
    }

    fn asked(&self) -> Asked<'_> {
        Asked {
            kind: self.kind,
            method: &self.head.method,
            target: &self.head.target,
            carries_file: self.carries_file,
        }
    }

    fn count(&self, bytes: u64) {
        self.record.lock().expect("no panic holds it").body_received += bytes;
    }

    fn end(&self, ended: Ended) {
        self.record.lock().expect("no panic holds it").ended = ended;
    }
}

fn kind(door: Door, head: &Head, route: Option<&Route>) -> Kind {
    let kind = match (door, route) {
        (Door::Store, _) if head.path().starts_with("/bucket/") => Kind::Object,
        (Door::GitLab, Some(route)) => route.kind(),
        _ => Kind::Unknown,
    };
    match (kind, head.method.as_str()) {
        (Kind::Upload, "POST") => kind,
        (Kind::Upload, _) => Kind::Unknown,
        (_, "GET" | "HEAD") => kind,
        _ => Kind::Unknown,
    }
}

/// The phases of faults that an answer is open to.
fn fitting(answer: &Answer, head: &Head) -> &'static [Phase] {
    if !answer.succeeded() {
        &[Phase::AnyAnswer]
    } else if head.is_head() || answer.body.is_empty() {
        &[Phase::AnyAnswer, Phase::Success]
    } else {
        &[Phase::AnyAnswer, Phase::Success, Phase::SuccessWithBody]
    }
}
