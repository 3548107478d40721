//! The bytes of an object, within a time that its length allows.
//!
//! Must not know what they are.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_core::Stream;
use parking_lot::Mutex;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Sleep, sleep};

type Pieces = Pin<Box<dyn Stream<Item = object_store::Result<Bytes>> + Send>>;

/// Why an object's bytes ended before their end.
#[derive(Debug, thiserror::Error)]
pub enum ObjectBodyError {
    #[error("the shared store broke off: {0}")]
    Broken(#[from] object_store::Error),
    #[error("the shared store sends slower than shared_store.min_speed")]
    Slow,
}

pub struct ObjectBody {
    /// In a lock that is never taken, so that a body can be shared by reference like any other.
    pieces: Mutex<Pieces>,
    deadline: Pin<Box<Sleep>>,
    /// Given back with the last byte.
    _turn: Option<OwnedSemaphorePermit>,
}

impl ObjectBody {
    pub fn new(pieces: Pieces, within: Duration, turn: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            pieces: Mutex::new(pieces),
            deadline: Box::pin(sleep(within)),
            _turn: turn,
        }
    }

    pub fn poll_piece(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, ObjectBodyError>>> {
        if self.deadline.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Some(Err(ObjectBodyError::Slow)));
        }
        let next = ready!(self.pieces.get_mut().as_mut().poll_next(cx));
        Poll::Ready(next.map(|piece| piece.map_err(ObjectBodyError::from)))
    }
}

impl fmt::Debug for ObjectBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ObjectBody")
    }
}
