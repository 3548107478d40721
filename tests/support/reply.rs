//! What a raw client got back: an answer read without forgiveness, and how it ended.

use std::fmt;
use std::io::Read;
use std::time::{Duration, Instant};

/// How an answer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The framing proves that nothing is missing.
    Complete,
    /// The body was to end with the connection, and the connection ended: nobody can tell whether
    /// it is whole.
    Closed,
    /// FIN before the end. `expected` is known from `Content-Length`; `got` is 0 and `expected` is
    /// `None` where not even a head came.
    CutShort { got: u64, expected: Option<u64> },
    /// RST.
    Reset { got: u64 },
    /// Silence for longer than the client's patience.
    TimedOut { got: u64 },
    /// Bytes that are no HTTP.
    Garbled(String),
}

/// An answer, as much of it as came.
#[derive(Clone)]
pub struct Reply {
    /// 0 if no head came.
    pub status: u16,
    pub reason: String,
    pub headers: Vec<(String, String)>,
    /// Without chunk framing, otherwise as received.
    pub body: Vec<u8>,
    pub ending: Ending,
    /// Interim answers (1xx) that came first.
    pub interim: Vec<u16>,
    /// From the last byte sent to the first byte of the head.
    pub first_byte: Option<Duration>,
    /// From the last byte sent to the end.
    pub took: Duration,
}

impl Reply {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    pub fn headers_named(&self, name: &str) -> Vec<&str> {
        let fitting = self
            .headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        fitting.map(|(_, value)| value.as_str()).collect()
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {self:?}"))
    }

    pub fn gunzipped(&self) -> Vec<u8> {
        let mut plain = Vec::new();
        flate2::read::GzDecoder::new(&self.body[..])
            .read_to_end(&mut plain)
            .expect("a gzip body");
        plain
    }

    pub fn is_complete(&self) -> bool {
        self.ending == Ending::Complete
    }

    /// The body of a complete answer with this status; panics with all of it otherwise.
    #[track_caller]
    pub fn expect(&self, status: u16) -> &[u8] {
        assert!(
            self.status == status && self.is_complete(),
            "wanted a complete {status}, got {self:?}"
        );
        &self.body
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} {} ({:?}, {} bytes of body, {:?})",
            self.status,
            self.reason,
            self.ending,
            self.body.len(),
            self.took
        )?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {value}")?;
        }
        let shown = &self.body[..self.body.len().min(2000)];
        match std::str::from_utf8(shown) {
            Ok(text) => write!(f, "\n{text}"),
            Err(_) => write!(f, "\n(binary)"),
        }
    }
}

/// What a read brought.
pub(super) enum Heard {
    Bytes,
    End,
    Reset,
    Silence,
}

/// The state of reading one answer.
#[derive(Debug)]
pub(super) struct Reading {
    without_body: bool,
    framing: Option<Framing>,
    status: u16,
    reason: String,
    headers: Vec<(String, String)>,
    interim: Vec<u16>,
    body: Vec<u8>,
    first_byte: Option<Instant>,
    ending: Option<Ending>,
    ended_at: Option<Instant>,
}

impl Reading {
    pub(super) fn new(without_body: bool) -> Self {
        Self {
            without_body,
            framing: None,
            status: 0,
            reason: String::new(),
            headers: Vec::new(),
            interim: Vec::new(),
            body: Vec::new(),
            first_byte: None,
            ending: None,
            ended_at: None,
        }
    }

    /// Takes what it can from the received bytes, but no more of the body than this in all. True
    /// once the head is there with that much body, or the answer has ended.
    pub(super) fn satisfied(&mut self, pending: &mut Vec<u8>, body: usize) -> bool {
        while self.ending.is_none() && self.digest(pending, body.saturating_sub(self.body.len())) {}
        if self.ending.is_some() {
            self.ended_at.get_or_insert_with(Instant::now);
        }
        self.ending.is_some() || (self.framing.is_some() && self.body.len() >= body)
    }

    /// How many more bytes may be read from the socket to get to so much body; none is known before
    /// the head.
    pub(super) fn missing(&self, body: usize) -> Option<usize> {
        self.framing.map(|_| body.saturating_sub(self.body.len()))
    }

    pub(super) fn hears(&mut self, heard: &Heard) {
        let got = self.body.len() as u64;
        match heard {
            Heard::Bytes => {}
            Heard::Silence => self.ending = Some(Ending::TimedOut { got }),
            Heard::Reset => self.ending = Some(Ending::Reset { got }),
            Heard::End => self.ending = Some(self.at_end_of_stream(got)),
        }
        self.first_byte.get_or_insert_with(Instant::now);
    }

    pub(super) fn ending(&self) -> Option<&Ending> {
        self.ending.as_ref()
    }

    pub(super) fn body(&self) -> &[u8] {
        &self.body
    }

    pub(super) fn status(&self) -> u16 {
        self.status
    }

    fn at_end_of_stream(&self, got: u64) -> Ending {
        match self.framing {
            Some(Framing::UntilClose) => Ending::Closed,
            Some(Framing::Length(expected)) => Ending::CutShort {
                got,
                expected: Some(expected),
            },
            Some(Framing::Chunked(_)) | None => Ending::CutShort {
                got,
                expected: None,
            },
        }
    }

    /// Takes one thing out of the received bytes: a head, a chunk's size, a piece of at most so
    /// many bytes. False if that is not possible (yet).
    fn digest(&mut self, pending: &mut Vec<u8>, most: usize) -> bool {
        match self.framing {
            None => self.take_head(pending),
            Some(Framing::UntilClose) => self.take_body(pending, most) > 0,
            Some(Framing::Length(length)) => {
                let missing = usize::try_from(length).unwrap_or(usize::MAX) - self.body.len();
                let taken = self.take_body(pending, most.min(missing));
                if taken == missing {
                    self.ending = Some(Ending::Complete);
                }
                taken > 0
            }
            Some(Framing::Chunked(Chunk::Size)) => self.take_chunk_size(pending),
            Some(Framing::Chunked(Chunk::Data(left))) => {
                let taken = self.take_body(pending, most.min(left));
                let next = if taken == left {
                    Chunk::End
                } else {
                    Chunk::Data(left - taken)
                };
                self.framing = Some(Framing::Chunked(next));
                taken > 0
            }
            Some(Framing::Chunked(Chunk::End)) => {
                if pending.len() < 2 {
                    return false;
                }
                if !pending.starts_with(b"\r\n") {
                    self.ending = Some(Ending::Garbled("a chunk longer than its size".to_owned()));
                }
                pending.drain(..2);
                self.framing = Some(Framing::Chunked(Chunk::Size));
                true
            }
        }
    }

    fn take_body(&mut self, pending: &mut Vec<u8>, most: usize) -> usize {
        let length = pending.len().min(most);
        self.body.extend_from_slice(&pending[..length]);
        pending.drain(..length);
        length
    }

    fn take_head(&mut self, pending: &mut Vec<u8>) -> bool {
        let Some(end) = pending.windows(4).position(|four| four == b"\r\n\r\n") else {
            return false;
        };
        let head: Vec<u8> = pending.drain(..end + 4).collect();
        let text = String::from_utf8_lossy(&head[..end]).into_owned();
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default();
        let mut words = first.splitn(3, ' ');
        let (version, status) = (
            words.next().unwrap_or_default(),
            words.next().and_then(|word| word.parse().ok()),
        );
        let Some(status) = status.filter(|_| version.starts_with("HTTP/1.")) else {
            self.ending = Some(Ending::Garbled(first.to_owned()));
            return false;
        };
        if (100..200).contains(&status) {
            self.interim.push(status);
            return true;
        }
        self.status = status;
        words
            .next()
            .unwrap_or_default()
            .clone_into(&mut self.reason);
        for line in lines {
            let Some((name, value)) = line.split_once(':') else {
                self.ending = Some(Ending::Garbled(line.to_owned()));
                return false;
            };
            self.headers
                .push((name.to_owned(), value.trim().to_owned()));
        }
        self.framing = Some(self.framing_told());
        true
    }

    fn framing_told(&self) -> Framing {
        let header = |wanted: &str| {
            let known = self
                .headers
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(wanted));
            known.map(|(_, value)| value.as_str())
        };
        if self.without_body || matches!(self.status, 204 | 304) {
            Framing::Length(0)
        } else if header("Transfer-Encoding")
            .is_some_and(|coding| coding.eq_ignore_ascii_case("chunked"))
        {
            Framing::Chunked(Chunk::Size)
        } else {
            header("Content-Length")
                .and_then(|length| length.parse().ok())
                .map_or(Framing::UntilClose, Framing::Length)
        }
    }

    fn take_chunk_size(&mut self, pending: &mut Vec<u8>) -> bool {
        let Some(line) = pending.windows(2).position(|two| two == b"\r\n") else {
            return false;
        };
        let digits = String::from_utf8_lossy(&pending[..line]).into_owned();
        match usize::from_str_radix(digits.split(';').next().unwrap_or_default().trim(), 16) {
            Ok(0) => {
                // The last chunk: trailers, if any, end with an empty line.
                let Some(blank) = pending[line..]
                    .windows(4)
                    .position(|four| four == b"\r\n\r\n")
                else {
                    return false;
                };
                pending.drain(..line + blank + 4);
                self.ending = Some(Ending::Complete);
            }
            Ok(size) => {
                pending.drain(..line + 2);
                self.framing = Some(Framing::Chunked(Chunk::Data(size)));
            }
            Err(_) => self.ending = Some(Ending::Garbled(digits)),
        }
        true
    }

    pub(super) fn into_reply(self, sent_at: Instant) -> Reply {
        Reply {
            status: self.status,
            reason: self.reason,
            headers: self.headers,
            body: self.body,
            ending: self.ending.expect("read to the end"),
            interim: self.interim,
            first_byte: self
                .first_byte
                .map(|at| at.saturating_duration_since(sent_at)),
            took: self
                .ended_at
                .unwrap_or(sent_at)
                .saturating_duration_since(sent_at),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(u64),
    Chunked(Chunk),
    UntilClose,
}

/// What comes next in a chunked body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    Size,
    Data(usize),
    End,
}
