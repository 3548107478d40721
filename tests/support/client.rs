//! A raw HTTP/1.1 client: sends exactly the bytes it is given and says exactly how the answer
//! ended.
//!
//! It retries nothing, follows nothing, decodes nothing, and never takes a body that was cut short
//! for a whole one.

use std::fmt::Write as _;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::basic::basic;
use super::reply::{Ending, Heard, Reading, Reply};

/// Read at a time.
const PIECE_BYTES: usize = 64 * 1024;

/// Where requests go, and what all of them carry.
#[derive(Clone, Debug)]
pub struct Client {
    address: SocketAddr,
    headers: Vec<(String, String)>,
    patience: Duration,
}

impl Client {
    pub fn new(address: SocketAddr) -> Self {
        Self {
            address,
            headers: Vec::new(),
            patience: Duration::from_secs(10),
        }
    }

    /// Every request carries this too.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn basic(self, user: &str, password: &str) -> Self {
        self.header("Authorization", &basic(user, password))
    }

    /// A token in the documented form: Basic, any user name.
    pub fn token(self, secret: &str) -> Self {
        self.basic("__token__", secret)
    }

    pub fn job_token(self, secret: &str) -> Self {
        self.basic("gitlab-ci-token", secret)
    }

    pub fn bearer(self, secret: &str) -> Self {
        self.header("Authorization", &format!("Bearer {secret}"))
    }

    pub fn private_token(self, secret: &str) -> Self {
        self.header("PRIVATE-TOKEN", secret)
    }

    pub fn deploy_token(self, secret: &str) -> Self {
        self.header("Deploy-Token", secret)
    }

    /// How long it waits for each next byte; ten seconds unless told.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    pub fn get(&self, path: &str) -> Reply {
        self.request("GET", path, &[])
    }

    pub fn head(&self, path: &str) -> Reply {
        self.request("HEAD", path, &[])
    }

    /// `range` is the value of the header, as `bytes=0-99`.
    pub fn get_range(&self, path: &str, range: &str) -> Reply {
        self.request("GET", path, &[("Range", range)])
    }

    pub fn get_if_none_match(&self, path: &str, etag: &str) -> Reply {
        self.request("GET", path, &[("If-None-Match", etag)])
    }

    /// GET with headers of its own.
    pub fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.request("GET", path, headers)
    }

    /// One request without a body, on a connection of its own.
    pub fn request(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.start(method, path, headers).finish()
    }

    pub fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Reply {
        let length = body.len().to_string();
        let head = self.head_text(
            "POST",
            path,
            &[
                ("Content-Type", content_type),
                ("Content-Length", &length),
                ("Connection", "close"),
            ],
        );
        let mut wire = self.connect();
        wire.send(head.as_bytes());
        wire.send(body);
        wire.reply_to("POST")
    }

    /// Exactly these bytes on a connection of its own, then one answer. The first word is taken for
    /// the method.
    pub fn raw(&self, bytes: &[u8]) -> Reply {
        let mut wire = self.connect();
        wire.send(bytes);
        let method = bytes.split(|&byte| byte == b' ').next().unwrap_or_default();
        wire.reply_to(&String::from_utf8_lossy(method))
    }

    /// Sends a request and leaves its answer to be read step by step.
    pub fn start(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Exchange {
        let mut headers = headers.to_vec();
        headers.push(("Connection", "close"));
        let mut wire = self.connect();
        wire.send(self.head_text(method, path, &headers).as_bytes());
        Exchange::new(wire, method)
    }

    /// A connection for requests one after another, or for anything else.
    pub fn connect(&self) -> Wire {
        let stream = TcpStream::connect_timeout(&self.address, self.patience)
            .unwrap_or_else(|error| panic!("no connection to {}: {error}", self.address));
        stream.set_nodelay(true).expect("a fresh socket");
        stream
            .set_read_timeout(Some(self.patience))
            .expect("a patience above zero");
        Wire {
            stream,
            pending: Vec::new(),
            sent_at: Instant::now(),
        }
    }

    /// A head with `Host`, the client's headers and these, ready to be sent.
    pub fn head_text(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> String {
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\n", self.address);
        let own = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in own.chain(headers.iter().copied()) {
            let _ = write!(text, "{name}: {value}\r\n");
        }
        text.push_str("\r\n");
        text
    }
}

/// A connection: bytes out, replies in.
#[derive(Debug)]
pub struct Wire {
    stream: TcpStream,
    /// Received, not yet looked at.
    pending: Vec<u8>,
    sent_at: Instant,
}

impl Wire {
    /// Sends all of it, or as much as the peer takes before it closes: an answer may be waiting all
    /// the same.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        let sent = self.stream.write_all(bytes).is_ok();
        self.sent_at = Instant::now();
        sent
    }

    /// Reads one answer; `method` decides whether a body belongs to it.
    pub fn reply_to(&mut self, method: &str) -> Reply {
        let mut reading = Reading::new(method == "HEAD");
        self.read(&mut reading, usize::MAX);
        reading.into_reply(self.sent_at)
    }

    /// Bytes that came after the last answer.
    pub fn leftover(&self) -> &[u8] {
        &self.pending
    }

    /// Whether the peer closes within this time, sending nothing more.
    pub fn closes_within(&mut self, time: Duration) -> bool {
        self.stream
            .set_read_timeout(Some(time))
            .expect("a time above zero");
        matches!(self.hear(1), Heard::End | Heard::Reset)
    }

    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Reads on until the head is there with this much body, or the answer has ended.
    fn read(&mut self, reading: &mut Reading, body: usize) {
        while !reading.satisfied(&mut self.pending, body) {
            let heard = self.hear(reading.missing(body).unwrap_or(PIECE_BYTES));
            reading.hears(&heard);
        }
    }

    /// Reads once, at most so many bytes.
    fn hear(&mut self, most: usize) -> Heard {
        let mut piece = vec![0; most.clamp(1, PIECE_BYTES)];
        loop {
            return match self.stream.read(&mut piece) {
                Ok(0) => Heard::End,
                Ok(length) => {
                    self.pending.extend_from_slice(&piece[..length]);
                    Heard::Bytes
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    Heard::Silence
                }
                Err(_) => Heard::Reset,
            };
        }
    }
}

/// An answer that is being read at the test's own pace. Dropping it closes the connection.
#[derive(Debug)]
pub struct Exchange {
    wire: Wire,
    reading: Reading,
}

impl Exchange {
    fn new(wire: Wire, method: &str) -> Self {
        Self {
            wire,
            reading: Reading::new(method == "HEAD"),
        }
    }

    /// Reads until at least so many bytes of the body are there, or the answer has ended. Gives how
    /// many there are.
    pub fn read_body(&mut self, bytes: usize) -> usize {
        self.wire.read(&mut self.reading, bytes);
        self.reading.body().len()
    }

    /// Reads the head; 0 if none came.
    pub fn status(&mut self) -> u16 {
        self.wire.read(&mut self.reading, 0);
        self.reading.status()
    }

    pub fn body(&self) -> &[u8] {
        self.reading.body()
    }

    pub fn ended(&self) -> Option<&Ending> {
        self.reading.ending()
    }

    /// Takes so many bytes after each pause until the end: a slow reader, held back by TCP as far
    /// as its socket's buffer allows.
    pub fn read_slowly(mut self, bytes: usize, pause: Duration) -> Reply {
        while self.reading.ending().is_none() {
            std::thread::sleep(pause);
            self.read_body(self.reading.body().len() + bytes);
        }
        self.finish()
    }

    /// All the rest.
    pub fn finish(mut self) -> Reply {
        self.wire.read(&mut self.reading, usize::MAX);
        let sent_at = self.wire.sent_at;
        self.reading.into_reply(sent_at)
    }

    pub fn wire(&mut self) -> &mut Wire {
        &mut self.wire
    }
}
