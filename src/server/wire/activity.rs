//! What goes on on a connection, of many streams over HTTP/2 and of one over HTTP/1.1, and when it
//! is over.
//!
//! HTTP/1.1 has a timer for the next head and one for a socket that takes nothing. Over HTTP/2 both
//! say too little: a client answers pings without ever asking, or leaves one stream's window shut
//! while the socket goes on. Owns the two decisions, and the body that watches itself; over both
//! protocols, whether anything is under way. Must not know what is sent.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use http_body::{Body, Frame, SizeHint};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::OwnedSemaphorePermit;

use crate::server::body::ReplyBody;
use crate::server::piece::Piece;
use crate::values::clock;

/// Streams that wait for upstream say nothing of the client: it is looked at again no sooner than
/// this.
const LOOK_LATER: Duration = Duration::from_millis(100);

/// The requests of one connection.
#[derive(Clone, Debug)]
pub struct Activity(Arc<Connected>);

#[derive(Debug)]
struct Connected {
    streams: Mutex<Streams>,
    /// Whether its place is wanted by another connection. Changed while `streams` is locked alone.
    told: AtomicBool,
}

#[derive(Debug)]
struct Streams {
    /// A few: one over HTTP/1.1.
    open: Vec<OpenStream>,
    next: u64,
    /// Since when there has been none.
    quiet_since: Instant,
    /// Bytes wait for the socket to take them: of an answer, even where none is open any more.
    is_sending: bool,
    /// It was told to go, and nothing has heard it yet.
    is_wanted: bool,
    /// Woken when its place is wanted.
    waker: Option<Waker>,
}

#[derive(Debug)]
struct OpenStream {
    number: u64,
    /// What keeps it open: its answer's body, and pieces of files that are being sent.
    holders: usize,
    waits_since: Option<Instant>,
}

/// What a connection's streams say of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdleVerdict {
    /// Nothing can have happened before this.
    FineUntil(Instant),
    Over(TimedOut),
}

/// Why it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimedOut {
    /// The client asked for nothing for too long.
    Idle,
    /// A client takes nothing of what it asked for.
    Stalled,
    /// It is idle, and another connection wants its place.
    Wanted,
}

/// How long a client may neither ask nor take.
#[derive(Clone, Copy, Debug)]
pub struct IdleLimits {
    pub idle: Duration,
    pub stall: Duration,
}

impl Streams {
    /// Whether the client has everything that it asked for.
    fn is_quiet(&self) -> bool {
        self.open.is_empty() && !self.is_sending
    }

    fn change(&mut self, number: u64, change: impl FnOnce(&mut OpenStream)) {
        for open in &mut self.open {
            if open.number == number {
                return change(open);
            }
        }
    }

    /// Each open stream says since when it has waited for its client, if it does.
    fn verdict(&self, patience: IdleLimits, now: Instant) -> IdleVerdict {
        if self.open.is_empty() {
            let until = self.quiet_since + patience.idle;
            // A request that comes in the next moment may be stalled so much later.
            let look = until.min(now + patience.stall);
            return if until <= now {
                IdleVerdict::Over(TimedOut::Idle)
            } else {
                IdleVerdict::FineUntil(look)
            };
        }
        match self.open.iter().filter_map(|open| open.waits_since).min() {
            Some(since) if since + patience.stall <= now => IdleVerdict::Over(TimedOut::Stalled),
            Some(since) => IdleVerdict::FineUntil(since + patience.stall),
            None => IdleVerdict::FineUntil(now + patience.stall.min(patience.idle).max(LOOK_LATER)),
        }
    }
}

impl Activity {
    pub fn new(now: Instant) -> Self {
        let streams = Mutex::new(Streams {
            open: Vec::new(),
            next: 0,
            quiet_since: now,
            is_sending: false,
            is_wanted: false,
            waker: None,
        });
        Self(Arc::new(Connected {
            streams,
            told: AtomicBool::new(false),
        }))
    }

    /// A request came; it is there until this is dropped.
    pub fn begin(&self) -> StreamGuard {
        let mut streams = self.streams();
        let number = streams.next;
        streams.next += 1;
        streams.open.push(OpenStream {
            number,
            holders: 1,
            waits_since: None,
        });
        StreamGuard {
            activity: self.clone(),
            number,
        }
    }

    pub fn verdict(&self, patience: IdleLimits, now: Instant) -> IdleVerdict {
        self.streams().verdict(patience, now)
    }

    /// Whether nothing was ever asked.
    pub fn is_fresh(&self) -> bool {
        self.streams().next == 0
    }

    /// It begins only now.
    pub fn begins(&self, now: Instant) {
        self.streams().quiet_since = now;
    }

    /// Since when nothing has been asked; none while something is, or is sent.
    pub fn idle_since(&self) -> Option<Instant> {
        let streams = self.streams();
        streams.is_quiet().then_some(streams.quiet_since)
    }

    /// Bytes wait for the socket, or no longer do.
    pub fn sends(&self, is_sending: bool, now: Instant) {
        let mut streams = self.streams();
        streams.is_sending = is_sending;
        if streams.is_quiet() {
            streams.quiet_since = now;
        }
    }

    /// Its place is wanted.
    pub fn tell_to_go(&self) {
        let mut streams = self.streams();
        self.0.told.store(true, Ordering::Relaxed);
        streams.is_wanted = true;
        let waker = streams.waker.take();
        drop(streams);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub fn is_told_to_go(&self) -> bool {
        self.0.told.load(Ordering::Relaxed)
    }

    /// Returns when an idle connection is to make room, once for each time that it is told. One that
    /// was asked for something meanwhile stays.
    pub async fn has_to_go(&self) {
        poll_fn(|cx| self.poll_has_to_go(cx)).await;
    }

    /// The same for one task at a time, which is woken then.
    pub fn poll_has_to_go(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut streams = self.streams();
        if std::mem::take(&mut streams.is_wanted) {
            if streams.is_quiet() {
                return Poll::Ready(());
            }
            self.0.told.store(false, Ordering::Relaxed);
        }
        streams.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        self.0.streams.lock()
    }
}

/// One request, from its head to the end of its answer.
#[derive(Debug)]
pub struct StreamGuard {
    activity: Activity,
    number: u64,
}

impl StreamGuard {
    fn waits_for_client(&self, since: Option<Instant>) {
        self.activity.streams().change(self.number, |own| {
            own.waits_since = since;
        });
    }
}

impl Clone for StreamGuard {
    fn clone(&self) -> Self {
        self.activity.streams().change(self.number, |own| {
            own.holders += 1;
        });
        Self {
            activity: self.activity.clone(),
            number: self.number,
        }
    }
}

impl Drop for StreamGuard {
    fn drop(&mut self) {
        let mut streams = self.activity.streams();
        streams.change(self.number, |own| own.holders -= 1);
        streams.open.retain(|open| open.holders > 0);
        if streams.open.is_empty() {
            streams.quiet_since = clock::now();
        }
    }
}

/// An answer's body that keeps its room until it ends; over HTTP/2 it tells when it waits for the
/// client.
pub struct WatchedBody {
    inner: ReplyBody,
    guard: StreamGuard,
    /// Over HTTP/1.1 the connection's own timers see a client that takes nothing.
    tells_waits: bool,
    _room: Option<OwnedSemaphorePermit>,
}

impl WatchedBody {
    /// Over HTTP/1.1.
    pub fn new(inner: ReplyBody, guard: StreamGuard) -> Self {
        Self {
            inner,
            guard,
            tells_waits: false,
            _room: None,
        }
    }

    /// Over HTTP/2.
    pub fn of_stream(
        inner: ReplyBody,
        guard: StreamGuard,
        room: Option<OwnedSemaphorePermit>,
    ) -> Self {
        Self {
            tells_waits: true,
            _room: room,
            ..Self::new(inner, guard)
        }
    }

    /// A piece with what its connection does not see otherwise: over HTTP/1.1 bytes of memory that
    /// wait for the socket are seen there; over HTTP/2 they may wait for the client's window.
    fn kept(&self, piece: Piece) -> Piece {
        if self.tells_waits || piece.is_of_file() {
            return piece.of(&self.guard);
        }
        piece
    }
}

impl Body for WatchedBody {
    type Data = Piece;
    type Error = <ReplyBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Piece>, Self::Error>>> {
        let frame = Pin::new(&mut self.inner).poll_frame(cx);
        // The next piece is asked for when there is room for it: until then it is the client who is
        // waited for.
        if self.tells_waits {
            let since = frame.is_ready().then(clock::now);
            self.guard.waits_for_client(since);
        }
        let this = &*self;
        frame.map_ok(|frame| frame.map_data(|piece| this.kept(piece)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "tests own their clock")]
mod tests {
    use super::*;
    use crate::server::piece::FilePieces;

    const PATIENCE: IdleLimits = IdleLimits {
        idle: Duration::from_secs(10),
        stall: Duration::from_secs(60),
    };

    #[test]
    fn a_connection_without_requests_ends_and_one_with_a_request_does_not() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let activity = Activity::new(start);
        assert_eq!(
            activity.verdict(PATIENCE, at(9)),
            IdleVerdict::FineUntil(at(10))
        );
        assert_eq!(
            activity.verdict(PATIENCE, at(10)),
            IdleVerdict::Over(TimedOut::Idle)
        );
        let stream = activity.begin();
        assert_eq!(
            activity.verdict(PATIENCE, at(100)),
            IdleVerdict::FineUntil(at(110)),
            "upstream has time of its own"
        );
        drop(stream);
        assert!(matches!(
            activity.verdict(PATIENCE, at(9)),
            IdleVerdict::FineUntil(_)
        ));
    }

    #[test]
    fn each_word_to_go_is_heard_once_and_by_an_idle_connection_alone() {
        let activity = Activity::new(clock::now());
        let cx = &mut Context::from_waker(Waker::noop());
        assert!(activity.poll_has_to_go(cx).is_pending());
        activity.tell_to_go();
        assert!(activity.poll_has_to_go(cx).is_ready());
        // What is on its way to its client has the time that an answer has.
        assert!(activity.poll_has_to_go(cx).is_pending());
        assert!(activity.is_told_to_go());
        let stream = activity.begin();
        activity.tell_to_go();
        assert!(activity.poll_has_to_go(cx).is_pending());
        assert!(!activity.is_told_to_go());
        drop(stream);
        assert!(activity.poll_has_to_go(cx).is_pending());
        activity.tell_to_go();
        assert!(activity.poll_has_to_go(cx).is_ready());
    }

    #[test]
    fn the_client_that_has_been_waited_for_the_longest_counts() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let activity = Activity::new(start);
        let [one, other] = [(); 2].map(|()| activity.begin());
        one.waits_for_client(Some(at(5)));
        other.waits_for_client(Some(at(30)));
        assert_eq!(
            activity.verdict(PATIENCE, at(64)),
            IdleVerdict::FineUntil(at(65))
        );
        assert_eq!(
            activity.verdict(PATIENCE, at(65)),
            IdleVerdict::Over(TimedOut::Stalled)
        );
        one.waits_for_client(None);
        assert_eq!(
            activity.verdict(PATIENCE, at(65)),
            IdleVerdict::FineUntil(at(90))
        );
        drop(other);
        assert!(matches!(
            activity.verdict(PATIENCE, at(500)),
            IdleVerdict::FineUntil(_)
        ));
    }

    #[test]
    fn a_connection_is_not_idle_while_bytes_wait_for_its_socket() {
        let start = clock::now();
        let later = start + Duration::from_secs(3);
        let activity = Activity::new(start);
        let cx = &mut Context::from_waker(Waker::noop());
        activity.sends(true, start);
        assert_eq!(activity.idle_since(), None);
        activity.tell_to_go();
        assert!(activity.poll_has_to_go(cx).is_pending());
        activity.sends(false, later);
        assert_eq!(activity.idle_since(), Some(later));
        activity.tell_to_go();
        assert!(activity.poll_has_to_go(cx).is_ready());
    }

    #[test]
    fn a_request_is_under_way_until_its_last_piece_of_a_file_is_sent() {
        let activity = Activity::new(Instant::now());
        let request = activity.begin();
        let file = Arc::new(tempfile::tempfile().unwrap());
        let pieces = Arc::new(FilePieces::default());
        let piece = pieces.piece(&file, 0, 100).unwrap().of(&request);
        drop(request);
        assert!(
            activity.idle_since().is_none(),
            "hyper has let go of the body"
        );
        drop(piece);
        assert!(activity.idle_since().is_some());
    }
}
