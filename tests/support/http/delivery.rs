//! Sends an answer, rightly or as the planned faults want it.

use std::io::Write as _;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::answer::{Answer, http_date, reason};
use super::connection::Connection;
use super::fault::{Act, Gate};
use super::head::Head;
use super::log::{Ended, Record};

/// Sent at a time when nothing slows the body down.
const PIECE_BYTES: usize = 128 * 1024;

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length,
    Chunked { with_end: bool },
    UntilClose,
}

/// What happens when the body has come to a certain byte.
#[derive(Debug)]
enum Stop {
    Stall(Duration),
    Gate(Gate),
    Reset,
    Close,
}

/// Why the connection cannot be used any more.
enum Broken {
    Reset,
    Close,
    PeerLeft,
}

impl From<std::io::Error> for Broken {
    fn from(_: std::io::Error) -> Self {
        Self::PeerLeft
    }
}

/// All the faults of one answer, put in order.
#[derive(Debug)]
struct Plan {
    stall_before_head: Option<Duration>,
    cut_head: Option<usize>,
    framing: Framing,
    stops: Vec<(u64, Stop)>,
    flips: Vec<u64>,
    pace: Option<(usize, Duration)>,
    extra: usize,
}

impl Plan {
    /// Sorts the acts; those that concern headers are done to the answer at once.
    fn of(acts: Vec<Act>, answer: &mut Answer) -> Self {
        let mut plan = Self {
            stall_before_head: None,
            cut_head: None,
            framing: Framing::Length,
            stops: Vec::new(),
            flips: Vec::new(),
            pace: None,
            extra: 0,
        };
        for act in acts {
            match act {
                Act::StallBeforeHead(time) => plan.stall_before_head = Some(time),
                Act::CutHead { after } => plan.cut_head = Some(after),
                Act::Encoding(coding) => {
                    answer
                        .headers
                        .push(("Content-Encoding".to_owned(), coding.to_owned()));
                }
                Act::Header(name, value) => answer.headers.push((name.to_owned(), value)),
                Act::Gzipped => {
                    answer
                        .headers
                        .push(("Content-Encoding".to_owned(), "gzip".to_owned()));
                    answer.body = gzipped(&answer.body);
                }
                Act::NoContentRange => answer.remove_header("Content-Range"),
                Act::NoAcceptRanges => answer.remove_header("Accept-Ranges"),
                Act::StallAfter { bytes, time } => plan.stops.push((bytes, Stop::Stall(time))),
                Act::Gate { after, gate } => plan.stops.push((after, Stop::Gate(gate))),
                Act::Reset { after } => plan.stops.push((after, Stop::Reset)),
                Act::Close { after } => plan.stops.push((after, Stop::Close)),
                Act::Flip { at } => plan.flips.push(at),
                Act::Trickle { bytes, every } => plan.pace = Some((bytes, every)),
                Act::Chunked => plan.framing = Framing::Chunked { with_end: true },
                Act::ChunkedWithoutEnd => plan.framing = Framing::Chunked { with_end: false },
                Act::UntilClose => plan.framing = Framing::UntilClose,
                Act::Extra(bytes) => plan.extra = bytes,
                // Acts of the request's phases have been done by now.
                Act::Status(_)
                | Act::Answer(_)
                | Act::IgnoreRange
                | Act::AnotherRange(_)
                | Act::RefuseRanges(_)
                | Act::RefuseRangesFromTheEnd(_)
                | Act::NoValidators
                | Act::ExpiredSignature
                | Act::StallUpload { .. }
                | Act::ResetUpload { .. } => {}
            }
        }
        plan.stops.sort_by_key(|(at, _)| *at);
        if answer.generated.is_some() && plan.framing == Framing::Length {
            plan.framing = Framing::Chunked { with_end: true };
        }
        plan
    }

    /// The peer could not tell where the body ends.
    fn must_close(&self) -> bool {
        matches!(
            self.framing,
            Framing::UntilClose | Framing::Chunked { with_end: false }
        )
    }
}

/// All that decides how one answer is sent, but the answer itself.
pub struct Delivery<'a> {
    pub request: &'a Head,
    pub acts: Vec<Act>,
    /// Otherwise the connection is closed, with patience for a peer that is still sending.
    pub body_was_read: bool,
    pub record: &'a Record,
}

impl Delivery<'_> {
    /// Sends the answer; gives the connection back if another request may follow on it.
    pub(in crate::support) async fn send(
        self,
        mut connection: Connection,
        mut answer: Answer,
    ) -> Option<Connection> {
        let Self {
            request,
            acts,
            body_was_read,
            record,
        } = self;
        let plan = Plan::of(acts, &mut answer);
        let close = !body_was_read
            || !request.version_1_1
            || asks_to_close(request, &answer)
            || plan.must_close();
        let head = head_bytes(&answer, plan.framing, close);

        let sent = match send_head(&mut connection, &head, &plan).await {
            Ok(()) if request.is_head() || matches!(answer.status, 204 | 304) => {
                record.lock().expect("no panic holds it").status = Some(answer.status);
                Ok(())
            }
            Ok(()) => {
                record.lock().expect("no panic holds it").status = Some(answer.status);
                send_body(&mut connection, &answer, &plan, record).await
            }
            Err(broken) => Err(broken),
        };
        record.lock().expect("no panic holds it").ended = match sent {
            Ok(()) => Ended::Whole,
            Err(Broken::PeerLeft) => Ended::PeerLeft,
            Err(Broken::Reset | Broken::Close) => Ended::Cut,
        };
        match sent {
            Ok(()) if !close => return Some(connection),
            Ok(()) if !body_was_read => connection.close_with_patience().await,
            Ok(()) | Err(Broken::Close) => connection.close().await,
            Err(Broken::Reset) => connection.reset().await,
            Err(Broken::PeerLeft) => {}
        }
        None
    }
}

fn asks_to_close(request: &Head, answer: &Answer) -> bool {
    request.header_contains("Connection", "close")
        || answer
            .header_value("Connection")
            .is_some_and(|value| value.eq_ignore_ascii_case("close"))
}

async fn send_head(connection: &mut Connection, head: &[u8], plan: &Plan) -> Result<(), Broken> {
    if let Some(time) = plan.stall_before_head {
        connection
            .while_peer_stays(tokio::time::sleep(time))
            .await?;
    }
    if let Some(after) = plan.cut_head {
        connection.write(&head[..after.min(head.len())]).await?;
        return Err(Broken::Close);
    }
    connection.write(head).await?;
    Ok(())
}

async fn send_body(
    connection: &mut Connection,
    answer: &Answer,
    plan: &Plan,
    record: &Record,
) -> Result<(), Broken> {
    let mut pieces: Box<dyn Iterator<Item = Bytes> + Send> = match &answer.generated {
        Some(generated) => Box::new(generated.pieces()),
        None => Box::new(std::iter::once(damaged(answer, &plan.flips))),
    };
    let mut stops = plan.stops.iter().peekable();
    let mut at = 0;
    let mut piece = Bytes::new();
    loop {
        let mut ended = false;
        while piece.is_empty() && !ended {
            match pieces.next() {
                Some(next) => piece = next,
                None => ended = true,
            }
        }
        while let Some((_, stop)) = stops.next_if(|(stop_at, _)| *stop_at <= at || ended) {
            match stop {
                Stop::Stall(time) => {
                    connection
                        .while_peer_stays(tokio::time::sleep(*time))
                        .await?
                }
                Stop::Gate(gate) => connection.while_peer_stays(gate.pass()).await?,
                Stop::Reset => return Err(Broken::Reset),
                Stop::Close => return Err(Broken::Close),
            }
        }
        if ended {
            break;
        }
        let most = plan.pace.map_or(PIECE_BYTES, |(bytes, _)| bytes);
        let stop = stops.peek().map_or(most, |(stop_at, _)| {
            usize::try_from(stop_at - at).unwrap_or(most)
        });
        let part = piece.split_to(most.min(stop).min(piece.len()));
        send_piece(connection, &part, plan.framing).await?;
        at += part.len() as u64;
        record.lock().expect("no panic holds it").body_sent += part.len() as u64;
        if let Some((_, pause)) = plan.pace {
            connection
                .while_peer_stays(tokio::time::sleep(pause))
                .await?;
        }
    }
    if plan.framing == (Framing::Chunked { with_end: true }) {
        connection.write(b"0\r\n\r\n").await?;
    }
    if plan.extra > 0 {
        connection.write(&vec![b'+'; plan.extra]).await?;
    }
    Ok(())
}

async fn send_piece(
    connection: &mut Connection,
    piece: &Bytes,
    framing: Framing,
) -> std::io::Result<()> {
    if let Framing::Chunked { .. } = framing {
        connection
            .write(format!("{:x}\r\n", piece.len()).as_bytes())
            .await?;
        connection.write(piece).await?;
        connection.write(b"\r\n").await
    } else {
        connection.write(piece).await
    }
}

fn head_bytes(answer: &Answer, framing: Framing, close: bool) -> Vec<u8> {
    let mut head = Vec::with_capacity(1024);
    // Writing to memory cannot fail.
    let _ = write!(
        head,
        "HTTP/1.1 {} {}\r\n",
        answer.status,
        answer.reason.unwrap_or_else(|| reason(answer.status))
    );
    for (name, value) in &answer.headers {
        let _ = write!(head, "{name}: {value}\r\n");
    }
    if answer.header_value("Date").is_none() {
        let _ = write!(head, "Date: {}\r\n", http_date(SystemTime::now()));
    }
    match framing {
        _ if answer.length_unsaid || matches!(answer.status, 204 | 304) => {}
        Framing::Length => {
            let _ = write!(head, "Content-Length: {}\r\n", answer.body.len());
        }
        Framing::Chunked { .. } => head.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        Framing::UntilClose => {}
    }
    if close && answer.header_value("Connection").is_none() {
        head.extend_from_slice(b"Connection: close\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}

fn gzipped(body: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(body).expect("writing to memory");
    encoder.finish().expect("writing to memory").into()
}

/// The body with the wanted bits turned.
fn damaged(answer: &Answer, flips: &[u64]) -> Bytes {
    if flips.is_empty() {
        return answer.body.clone();
    }
    let mut body = answer.body.to_vec();
    for flip in flips {
        let at = flip
            .checked_sub(answer.body_starts_at)
            .and_then(|at| usize::try_from(at).ok());
        if let Some(byte) = at.and_then(|at| body.get_mut(at)) {
            *byte ^= 1;
        }
    }
    body.into()
}
