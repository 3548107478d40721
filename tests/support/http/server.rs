//! The listeners: accepts connections and walks each request from its head to its logged answer.
//!
//! What is answered is the [`Host`]'s business; what goes wrong on the way is planned in
//! [`Faults`].

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Handle;
use tokio::task::{AbortHandle, JoinSet};

use super::super::held_port::HeldPort;
use super::answer::Answer;
use super::connection::{Connection, RequestBody};
use super::delivery::Delivery;
use super::fault::{Act, Asked, Faults, Phase};
use super::head::Head;
use super::kind::{Door, Kind};
use super::log::{Ended, Entry, Record};
use super::stand_in::Shared;
use super::tls::{self, Tls};

/// Who answers behind the listeners of a stand-in.
pub trait Host: Send + Sync + 'static {
    type Settings: Clone;

    fn shared(&self) -> &Shared<Self::Settings>;

    /// What is asked for; [`Kind::Unknown`] if larder has no reason to ask.
    fn kind(&self, door: Door, head: &Head) -> Kind;

    /// A successful GET of this would carry a file's bytes.
    fn carries_file(&self, kind: Kind) -> bool;

    /// What of this request must never have been sent here, though its address is a good one.
    fn oddity(&self, door: Door, head: &Head) -> Option<String>;

    /// The right answer to anything but an upload.
    fn answer(&self, door: Door, head: &Head) -> impl Future<Output = Answer> + Send;

    /// The right answer to a [`Kind::Upload`], whose body is still to be read.
    fn receive(
        &self,
        _head: &Head,
        _faults: &[Act],
        _connection: &mut Connection,
        _body: &mut RequestBody,
        _record: &Record,
    ) -> impl Future<Output = io::Result<Received>> + Send {
        std::future::ready(Ok(Received::Answer(Answer::new(405))))
    }
}

/// How receiving a request ended.
pub enum Received {
    Answer(Answer),
    /// A planned fault wants a RST now.
    Reset,
}

/// A listening address that can be closed and opened again; nothing else listens there meanwhile.
#[derive(Debug)]
pub struct Listening {
    door: Door,
    port: HeldPort,
    tls: Option<Tls>,
    task: Mutex<Option<AbortHandle>>,
}

impl Listening {
    /// Accepts at once.
    pub(in crate::support) fn start(
        runtime: &Handle,
        host: &Arc<impl Host>,
        door: Door,
        port: HeldPort,
        tls: Option<Tls>,
    ) -> Self {
        let listening = Self {
            door,
            port,
            tls,
            task: Mutex::new(None),
        };
        listening.resume(runtime, host);
        listening
    }

    pub(in crate::support) fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// Closes the listener and every connection that came through it.
    pub(in crate::support) fn stop(&self) {
        if let Some(task) = self.task.lock().expect("no panic holds it").take() {
            task.abort();
            // The port is free once the task has been dropped.
            while !task.is_finished() {
                std::thread::yield_now();
            }
        }
    }

    /// Opens the same address again.
    pub(in crate::support) fn resume(&self, runtime: &Handle, host: &Arc<impl Host>) {
        self.accept_on(runtime, host, listen(runtime, self.address()));
    }

    fn accept_on(&self, runtime: &Handle, host: &Arc<impl Host>, listener: TcpListener) {
        let (host, door, tls) = (Arc::clone(host), self.door, self.tls.clone());
        let task = runtime.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                        let host = Arc::clone(&host);
                        match tls.clone() {
                            Some(tls) => connections.spawn(tls::serve(tls, host, door, stream)),
                            None => connections.spawn(serve(host, door, Connection::new(stream))),
                        };
                    },
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        *self.task.lock().expect("no panic holds it") = Some(task.abort_handle());
    }
}

/// Listens with a queue long enough for a herd: a refused or repeated SYN would cost a test a
/// second.
pub(in crate::support) fn listen(runtime: &Handle, address: SocketAddr) -> TcpListener {
    let _in_runtime = runtime.enter();
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_reuseaddr(true).expect("a fresh socket");
    socket
        .bind(address)
        .unwrap_or_else(|error| panic!("{address}: {error}"));
    socket.listen(4096).expect("a bound socket")
}

/// One connection, request after request.
pub(super) async fn serve(host: Arc<impl Host>, door: Door, mut connection: Connection) {
    let open = host.shared().log.connection();
    loop {
        let head = match connection.read_head().await {
            Ok(Some(Ok(head))) => head,
            Ok(Some(Err(flaw))) => {
                host.shared().log.report(format!("{door:?}: {flaw}"));
                let _ = connection
                    .write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
                    .await;
                return;
            }
            Ok(None) | Err(_) => return,
        };
        let exchange = Exchange::begin(&*host, door, open.id, head);
        match exchange.run(connection).await {
            Some(reusable) => connection = reusable,
            None => return,
        }
    }
}

/// One request and its answer.
struct Exchange<'a, H> {
    host: &'a H,
    door: Door,
    head: Head,
    kind: Kind,
    carries_file: bool,
    /// A fault wants the answer to have none.
    without_validators: bool,
    record: Record,
}

impl<'a, H: Host> Exchange<'a, H> {
    fn begin(host: &'a H, door: Door, connection: u64, head: Head) -> Self {
        let kind = host.kind(door, &head);
        let carries_file = host.carries_file(kind);
        let record = host.shared().log.begin(Entry {
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
        if kind == Kind::Unknown {
            host.shared().log.report(format!("{door:?}: {head}"));
        }
        if let Some(oddity) = host.oddity(door, &head) {
            host.shared()
                .log
                .report(format!("{door:?}: {oddity}: {head}"));
        }
        Self {
            host,
            door,
            head,
            kind,
            carries_file,
            without_validators: false,
            record,
        }
    }

    async fn run(mut self, mut connection: Connection) -> Option<Connection> {
        let mut body = match RequestBody::of(&self.head) {
            Ok(body) => body,
            Err(flaw) => {
                self.host
                    .shared()
                    .log
                    .report(format!("{:?}: {}: {flaw}", self.door, self.head));
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

    async fn send(
        &self,
        connection: Connection,
        answer: Answer,
        body_was_read: bool,
    ) -> Option<Connection> {
        let acts = self
            .host
            .shared()
            .faults
            .take(fitting(&answer, &self.head), &self.asked());
        let delivery = Delivery {
            request: &self.head,
            acts,
            body_was_read,
            record: &self.record,
        };
        delivery.send(connection, answer).await
    }

    /// Faults that concern the request: some stand in for the answer, some change what is asked.
    fn replaced(&mut self) -> Option<Answer> {
        let mut replacement = None;
        for act in self
            .host
            .shared()
            .faults
            .take(&[Phase::Request], &self.asked())
        {
            match act {
                Act::Status(status) => replacement = Some(Answer::html(status)),
                Act::Answer(answer) => replacement = Some(answer),
                Act::ExpiredSignature if self.door == Door::Store => {
                    replacement = Some(Answer::expired_signature());
                }
                Act::IgnoreRange => self.head.remove_header("Range"),
                Act::AnotherRange(range) => {
                    self.head.remove_header("Range");
                    self.head.remove_header("If-Range");
                    self.head
                        .headers
                        .push(("Range".to_owned(), range.to_owned()));
                }
                Act::RefuseRanges(status) if self.head.header("Range").is_some() => {
                    replacement = Some(Answer::html(status));
                }
                Act::RefuseRangesFromTheEnd(status)
                    if self
                        .head
                        .header("Range")
                        .is_some_and(|range| range.starts_with("bytes=-")) =>
                {
                    replacement = Some(Answer::html(status));
                }
                Act::NoValidators => {
                    for name in [
                        "If-None-Match",
                        "If-Modified-Since",
                        "If-Match",
                        "If-Unmodified-Since",
                        "If-Range",
                    ] {
                        self.head.remove_header(name);
                    }
                    self.without_validators = true;
                }
                _ => {}
            }
        }
        replacement
    }

    async fn answer(
        &self,
        connection: &mut Connection,
        body: &mut RequestBody,
    ) -> io::Result<Received> {
        if self.kind == Kind::Upload {
            let faults = self
                .host
                .shared()
                .faults
                .take(&[Phase::UploadBody], &self.asked());
            return self
                .host
                .receive(&self.head, &faults, connection, body, &self.record)
                .await;
        }
        while let Some(piece) = body.next(connection).await? {
            self.record.lock().expect("no panic holds it").body_received += piece.len() as u64;
        }
        let mut answer = self.host.answer(self.door, &self.head).await;
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

    fn end(&self, ended: Ended) {
        self.record.lock().expect("no panic holds it").ended = ended;
    }
}

/// The phases of faults that an answer is open to.
fn fitting(answer: &Answer, head: &Head) -> &'static [Phase] {
    if !answer.succeeded() {
        &[Phase::AnyAnswer]
    } else if head.is_head() || !answer.has_body() {
        &[Phase::AnyAnswer, Phase::Success]
    } else {
        &[Phase::AnyAnswer, Phase::Success, Phase::SuccessWithBody]
    }
}
