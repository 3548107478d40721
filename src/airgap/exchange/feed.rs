//! A body that arrives, for its reader on a blocking thread.
//!
//! Owns the hand-over, which holds a few pieces and then lets the sender wait. Must not know what
//! is in the body.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use tokio::sync::mpsc;

/// Pieces that may wait for the reader.
const PIECES_MAX: usize = 16;

/// The reading side. A body that breaks off is an error, never an end.
pub struct Feed {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    rest: Bytes,
    ended: bool,
}

/// The writing side: an empty piece is the end. Dropped before that, it is a body that broke off.
pub type BodySender = mpsc::Sender<io::Result<Bytes>>;

pub fn feed() -> (BodySender, Feed) {
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    let feed = Feed {
        pieces,
        rest: Bytes::new(),
        ended: false,
    };
    (sender, feed)
}

impl Feed {
    /// What comes before the first newline, which is taken too.
    ///
    /// # Errors
    /// When there is none within `limit` bytes, or the body breaks off.
    pub fn line(&mut self, limit: usize) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        while self.fill()? {
            match self.rest.iter().position(|byte| *byte == b'\n') {
                Some(end) => {
                    line.extend_from_slice(&self.rest.split_to(end));
                    self.rest.advance(1);
                    return Ok(line);
                }
                None => line.extend_from_slice(&std::mem::take(&mut self.rest)),
            }
            if line.len() > limit {
                let kind = io::ErrorKind::InvalidData;
                return Err(io::Error::new(kind, "a line is too long"));
            }
        }
        Err(io::ErrorKind::UnexpectedEof.into())
    }

    /// Whether there is anything to read.
    fn fill(&mut self) -> io::Result<bool> {
        while self.rest.is_empty() && !self.ended {
            match self.pieces.blocking_recv() {
                Some(Ok(piece)) if piece.is_empty() => self.ended = true,
                Some(Ok(piece)) => self.rest = piece,
                Some(Err(why)) => return Err(why),
                None => {
                    let kind = io::ErrorKind::ConnectionAborted;
                    return Err(io::Error::new(kind, "it broke off"));
                }
            }
        }
        Ok(!self.rest.is_empty())
    }
}

impl Read for Feed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.fill()?;
        let taken = self.rest.len().min(buffer.len());
        self.rest
            .split_to(taken)
            .copy_to_slice(buffer.get_mut(..taken).unwrap_or_default());
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_then_bytes_and_a_break_is_no_end() -> io::Result<()> {
        let (pieces, mut body) = feed();
        for piece in ["{}", "\nab", "cd"] {
            assert!(
                pieces
                    .blocking_send(Ok(Bytes::from_static(piece.as_bytes())))
                    .is_ok()
            );
        }
        assert_eq!(body.line(10)?, b"{}");
        let mut four = [0; 4];
        body.read_exact(&mut four)?;
        assert_eq!(&four, b"abcd");
        drop(pieces);
        assert!(body.read(&mut four).is_err());

        let (pieces, mut body) = feed();
        assert!(pieces.blocking_send(Ok(Bytes::new())).is_ok());
        assert_eq!(body.read(&mut four)?, 0);
        assert!(body.line(10).is_err());
        Ok(())
    }
}
