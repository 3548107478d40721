//! The daemon's side of a command: tells its events, and learns that the client is gone.
//!
//! A command whose client is gone is over: the daemon looks at [`Reporter::is_wanted`] between two
//! steps. Must not know how the lines travel.

use std::marker::PhantomData;

use bytes::Bytes;
use serde::Serialize;
use tokio::sync::mpsc;

use super::event::Line;

/// Lines, or batches of them, that may wait for a slow client; then the work waits.
const LINES_MAX: usize = 64;

/// So many bytes of a batch go out at once.
const BATCH_BYTES: usize = 64 << 10;

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

    /// Begins to tell very many events.
    pub fn batch(&self) -> Batch<'_, E> {
        Batch {
            out: self,
            lines: Vec::new(),
        }
    }
}

/// Events that go out many at a time: to wake the client for each would cost more than the event.
pub struct Batch<'r, E> {
    out: &'r Reporter<E>,
    lines: Vec<u8>,
}

impl<E: Serialize> Batch<'_, E> {
    /// Tells an event, some time before [`Self::end`] returns. Blocks like [`Reporter::tell`].
    ///
    /// # Errors
    /// [`Gone`].
    pub fn tell(&mut self, event: E) -> Result<(), Gone> {
        write_line(&mut self.lines, event)?;
        if self.lines.len() < BATCH_BYTES {
            return Ok(());
        }
        self.send()
    }

    /// # Errors
    /// [`Gone`].
    pub fn end(mut self) -> Result<(), Gone> {
        self.send()
    }

    fn send(&mut self) -> Result<(), Gone> {
        if self.lines.is_empty() {
            return Ok(());
        }
        let lines = std::mem::take(&mut self.lines);
        let sent = self.out.lines.blocking_send(lines.into());
        sent.map_err(|_| Gone)
    }
}

fn line<E: Serialize>(event: E) -> Result<Bytes, Gone> {
    let mut line = Vec::new();
    write_line(&mut line, event)?;
    Ok(line.into())
}

fn write_line<E: Serialize>(out: &mut Vec<u8>, event: E) -> Result<(), Gone> {
    // An event that is no JSON is a mistake in its type; the command then ends as if unheard.
    serde_json::to_writer(&mut *out, &Line::Event(event)).map_err(|_| Gone)?;
    out.push(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_the_same_lines_in_fewer_pieces() {
        let (out, mut lines) = reporter::<u32>();
        let told = 0..20_000;
        let expected: String = told
            .clone()
            .map(|number| format!("{{\"event\":{number}}}\n"))
            .collect();
        let teller = std::thread::spawn(move || {
            let mut batch = out.batch();
            for number in told {
                batch.tell(number).expect("it is read");
            }
            batch.end().expect("it is read");
        });
        let mut came = Vec::new();
        let mut pieces = 0;
        while let Some(piece) = lines.blocking_recv() {
            came.extend_from_slice(&piece);
            pieces += 1;
        }
        teller.join().expect("a thread");
        assert_eq!(came, expected.as_bytes());
        assert!(pieces < 10, "{pieces}");
    }

    #[test]
    fn a_batch_that_is_not_read_any_more_ends() {
        let (out, lines) = reporter::<u32>();
        drop(lines);
        let mut batch = out.batch();
        let gone = (0..20_000).any(|number| batch.tell(number).is_err());
        assert!(gone);
    }
}
