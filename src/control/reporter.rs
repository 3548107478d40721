//! The daemon's side of a command: tells its events, and learns that the client is gone.
//!
//! A command whose client is gone is over: the daemon looks at [`Reporter::is_wanted`] between two
//! steps. Must not know how the lines travel.

use std::marker::PhantomData;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc;

use super::event::Line;

/// Lines that may wait for a slow client; then the work waits.
const LINES_MAX: usize = 64;

/// No client listens any more: it went, or the daemon stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("client disconnected")]
pub struct Gone;

pub struct Reporter<E> {
    lines: mpsc::Sender<Bytes>,
    events: PhantomData<fn(E)>,
}

/// A reporter, and where its lines come out.
pub fn reporter<E: Serialize>() -> (Reporter<E>, mpsc::Receiver<Bytes>) {
    let (lines, out) = mpsc::channel(LINES_MAX);
    (
        Reporter {
            lines,
            events: PhantomData,
        },
        out,
    )
}

impl<E: Serialize> Reporter<E> {
    /// Tells an event. Blocks while the client does not take the earlier ones: for blocking
    /// threads.
    ///
    /// # Errors
    /// [`Gone`].
    pub fn tell(&self, event: E) -> Result<(), Gone> {
        self.lines.blocking_send(line(event)?).map_err(|_| Gone)
    }

    /// The same for tasks.
    ///
    /// # Errors
    /// [`Gone`].
    pub async fn told(&self, event: E) -> Result<(), Gone> {
        self.lines.send(line(event)?).await.map_err(|_| Gone)
    }

    pub fn is_wanted(&self) -> bool {
        !self.lines.is_closed()
    }
}

fn line<E: Serialize>(event: E) -> Result<Bytes, Gone> {
    // An event that is no JSON is a mistake in its type; the command then ends as if unheard.
    let mut line = serde_json::to_vec(&Line::Event(event)).map_err(|_| Gone)?;
    line.push(b'\n');
    Ok(line.into())
}
