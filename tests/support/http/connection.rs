//! One HTTP/1.1 connection, seen from the server: request heads and bodies in, bytes out, no help
//! from a library that would keep it honest.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::head::Head;

const HEAD_BYTES_MAX: usize = 64 * 1024;

pub struct Connection {
    stream: Box<dyn Stream>,
    buffer: BytesMut,
}

/// What a connection runs over.
pub trait Stream: AsyncRead + AsyncWrite + Unpin + Send + Sync {
    /// The socket, if its bytes are those of the connection.
    fn socket(&self) -> Option<&TcpStream> {
        None
    }
}

impl Stream for TcpStream {
    fn socket(&self) -> Option<&TcpStream> {
        Some(self)
    }
}

impl Stream for tokio::io::DuplexStream {}

impl Connection {
    pub(in crate::support) fn new(stream: TcpStream) -> Self {
        let _ = stream.set_nodelay(true);
        Self::over(stream)
    }

    pub(in crate::support) fn over(stream: impl Stream + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            buffer: BytesMut::with_capacity(16 * 1024),
        }
    }

    /// The next request's head; `None` when the peer has closed between requests.
    pub(in crate::support) async fn read_head(
        &mut self,
    ) -> io::Result<Option<Result<Head, String>>> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n\r\n") {
                let head = self.buffer.split_to(end + 4);
                return Ok(Some(match std::str::from_utf8(&head[..end]) {
                    Ok(text) => Head::parse(text),
                    Err(_) => Err("a head that is not UTF-8".to_owned()),
                }));
            }
            if self.buffer.len() > HEAD_BYTES_MAX {
                return Ok(Some(Err("a head over 64 KiB".to_owned())));
            }
            if self.fill().await? == 0 {
                return if self.buffer.is_empty() {
                    Ok(None)
                } else {
                    Ok(Some(Err("half a head".to_owned())))
                };
            }
        }
    }

    pub(in crate::support) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Waits for something, but not longer than the peer stays.
    pub(in crate::support) async fn while_peer_stays<T>(
        &self,
        wait: impl Future<Output = T>,
    ) -> io::Result<T> {
        tokio::select! {
            done = wait => Ok(done),
            () = self.peer_left() => Err(ErrorKind::BrokenPipe.into()),
        }
    }

    /// Ends with RST. What was written before is given a moment to arrive.
    pub(in crate::support) async fn reset(self) {
        tokio::time::sleep(Duration::from_millis(10)).await;
        if let Some(socket) = self.stream.socket() {
            let _ = socket.set_zero_linger();
        }
    }

    /// Ends with FIN.
    pub(in crate::support) async fn close(mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Ends with FIN although the peer is still sending: reads on for half a second, so that the
    /// answer is not lost to a RST.
    pub(in crate::support) async fn close_with_patience(mut self) {
        let _ = self.stream.shutdown().await;
        let mut waste = vec![0; 64 * 1024];
        let drain = async { while matches!(self.stream.read(&mut waste).await, Ok(1..)) {} };
        let _ = tokio::time::timeout(Duration::from_millis(500), drain).await;
    }

    async fn peer_left(&self) {
        let mut byte = [0];
        // Over TLS nobody can tell without reading.
        let Some(socket) = self.stream.socket() else {
            return std::future::pending().await;
        };
        match socket.peek(&mut byte).await {
            Ok(0) | Err(_) => {}
            Ok(_) => std::future::pending().await,
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.reserve(16 * 1024);
        self.stream.read_buf(&mut self.buffer).await
    }

    async fn fill_or_fail(&mut self) -> io::Result<()> {
        match self.fill().await? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    async fn read_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = find(&self.buffer, b"\r\n") {
                let line = self.buffer.split_to(end + 2);
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            self.fill_or_fail().await?;
        }
    }
}

/// A request's body as it arrives, without its framing.
#[derive(Debug)]
pub enum RequestBody {
    Length(u64),
    /// Bytes left of the chunk at hand.
    Chunked(u64),
    Ended,
}

impl RequestBody {
    /// Says what is wrong where the framing is not beyond doubt.
    pub(in crate::support) fn of(head: &Head) -> Result<Self, String> {
        let lengths: Vec<&str> = values(head, "Content-Length");
        let codings: Vec<&str> = values(head, "Transfer-Encoding");
        match (lengths.as_slice(), codings.as_slice()) {
            ([], []) => Ok(Self::Ended),
            ([length], []) => match length.parse() {
                Ok(0) => Ok(Self::Ended),
                Ok(length) => Ok(Self::Length(length)),
                Err(_) => Err(format!("Content-Length {length:?}")),
            },
            ([], [coding]) if coding.eq_ignore_ascii_case("chunked") => Ok(Self::Chunked(0)),
            _ => Err(format!(
                "ambiguous framing: lengths {lengths:?}, codings {codings:?}"
            )),
        }
    }

    /// The next piece; `None` once the body has ended.
    pub(in crate::support) async fn next(
        &mut self,
        connection: &mut Connection,
    ) -> io::Result<Option<Bytes>> {
        match self {
            Self::Ended => Ok(None),
            Self::Length(left) => {
                let piece = take_up_to(connection, *left).await?;
                *left -= piece.len() as u64;
                if *left == 0 {
                    *self = Self::Ended;
                }
                Ok(Some(piece))
            }
            Self::Chunked(left) => {
                if *left == 0 {
                    let line = connection.read_line().await?;
                    let digits = line.split(';').next().unwrap_or_default().trim();
                    *left = u64::from_str_radix(digits, 16).map_err(|_| {
                        io::Error::new(ErrorKind::InvalidData, format!("chunk size {line:?}"))
                    })?;
                    if *left == 0 {
                        while !connection.read_line().await?.is_empty() {}
                        *self = Self::Ended;
                        return Ok(None);
                    }
                }
                let piece = take_up_to(connection, *left).await?;
                *left -= piece.len() as u64;
                if *left == 0 && !connection.read_line().await?.is_empty() {
                    return Err(io::Error::new(
                        ErrorKind::InvalidData,
                        "a chunk longer than its size",
                    ));
                }
                Ok(Some(piece))
            }
        }
    }

    pub(in crate::support) fn ended(&self) -> bool {
        matches!(self, Self::Ended)
    }
}

async fn take_up_to(connection: &mut Connection, most: u64) -> io::Result<Bytes> {
    if !connection.buffer.has_remaining() {
        connection.fill_or_fail().await?;
    }
    let length = connection
        .buffer
        .len()
        .min(usize::try_from(most).unwrap_or(usize::MAX));
    Ok(connection.buffer.split_to(length).freeze())
}

fn values<'a>(head: &'a Head, name: &str) -> Vec<&'a str> {
    head.headers
        .iter()
        .filter(|(known, _)| known.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
        .collect()
}

/// Where a sequence of bytes begins.
pub(in crate::support) fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    let first = *part.first()?;
    let mut from = 0;
    loop {
        let at = from + text.get(from..)?.iter().position(|&byte| byte == first)?;
        if text[at..].starts_with(part) {
            return Some(at);
        }
        from = at + 1;
    }
}
