//! Pieces of a body: bytes in memory, or a stretch of a file that goes from the page cache to the
//! socket without passing through larder (`sendfile(2)`).
//!
//! hyper owns the writing of an HTTP/1.1 connection, and knows memory only. A piece of a file
//! therefore shows hyper a stretch of a range of addresses that is reserved for this, and is never
//! written and never read; `wire/file_stream.rs` recognises the addresses and sends from the file
//! in their place. Each connection has a table of its own, and an address tells the entry of the
//! table and how far it was sent, so that pieces cannot be mixed up.
//!
//! A layer between the two that copied what it was shown would send zeros. It cannot: a piece that
//! was taken further than the socket has sent of it spoils the table, and the connection is cut
//! before its next write. Pieces of files are made for connections that have a table alone:
//! cleartext HTTP/1.1. Must not know HTTP.

use std::fmt::Debug;
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};

use bytes::{Buf, Bytes};
use parking_lot::Mutex;

/// The longest piece of a file: what may have left the page cache between the look at it and the
/// sending, and what the log counts before it is sent.
pub const FILE_PIECE_BYTES_MAX: usize = 1024 * 1024;

/// Pieces that one connection has under way at most: hyper asks for the next one when it has sent
/// the last.
const ENTRIES: usize = 4;

/// Never touched, so that the kernel gives it no memory.
static RESERVED: LazyLock<Box<[u8]>> =
    LazyLock::new(|| vec![0; ENTRIES * FILE_PIECE_BYTES_MAX].into());

/// A piece of a body.
#[derive(Debug)]
pub struct Piece {
    bytes: PieceBytes,
    /// The request is under way until its last piece is sent; hyper lets go of the body before.
    request: Option<Box<dyn Debug + Send + Sync>>,
}

#[derive(Debug)]
enum PieceBytes {
    Memory(Bytes),
    File(FilePiece),
}

/// A stretch of a file that a connection has to send.
#[derive(Debug)]
struct FilePiece {
    pieces: Arc<FilePieces>,
    entry: usize,
    /// What the entry began with.
    length: usize,
    /// What hyper takes for sent.
    taken: usize,
}

/// The stretches of files that one connection has to send.
#[derive(Debug, Default)]
pub struct FilePieces {
    entries: Mutex<[Option<Stretch>; ENTRIES]>,
    spoilt: AtomicBool,
}

#[derive(Debug)]
struct Stretch {
    file: Arc<File>,
    start: u64,
    sent: usize,
}

/// Where a stretch goes on.
#[derive(Debug)]
pub struct NextBytes {
    pub file: Arc<File>,
    pub offset: u64,
    entry: usize,
}

impl FilePieces {
    /// A piece of a file; none while too many are under way.
    pub fn piece(self: &Arc<Self>, file: &Arc<File>, start: u64, length: usize) -> Option<Piece> {
        let mut entries = self.entries.lock();
        let entry = entries.iter().position(Option::is_none)?;
        entries[entry] = Some(Stretch {
            file: Arc::clone(file),
            start,
            sent: 0,
        });
        drop(entries);
        let bytes = PieceBytes::File(FilePiece {
            pieces: Arc::clone(self),
            entry,
            length: length.min(FILE_PIECE_BYTES_MAX),
            taken: 0,
        });
        Some(Piece {
            bytes,
            request: None,
        })
    }

    /// Whether these bytes stand for a piece of a file.
    pub fn stands_for_file(bytes: &[u8]) -> bool {
        place(bytes).is_some()
    }

    /// What is to be sent in place of these bytes; none if they are meant as they are.
    ///
    /// # Errors
    /// When the bytes do not follow what was sent: a layer between has taken them for memory.
    pub fn in_place_of(&self, bytes: &[u8]) -> io::Result<Option<NextBytes>> {
        if self.spoilt.load(Ordering::Relaxed) {
            return Err(spoilt());
        }
        let Some((entry, taken)) = place(bytes) else {
            return Ok(None);
        };
        let entries = self.entries.lock();
        match &entries[entry] {
            Some(stretch) if stretch.sent == taken => Ok(Some(NextBytes {
                file: Arc::clone(&stretch.file),
                offset: stretch.start + taken as u64,
                entry,
            })),
            _ => Err(spoilt()),
        }
    }

    /// So many of the bytes were sent.
    pub fn sent(&self, next: &NextBytes, bytes: usize) {
        if let Some(stretch) = &mut self.entries.lock()[next.entry] {
            stretch.sent += bytes;
        }
    }
}

/// The entry that bytes stand for, and how much of it lies before them.
fn place(bytes: &[u8]) -> Option<(usize, usize)> {
    let offset = bytes
        .as_ptr()
        .addr()
        .checked_sub(RESERVED.as_ptr().addr())?;
    if offset >= RESERVED.len() {
        return None;
    }
    Some((offset / FILE_PIECE_BYTES_MAX, offset % FILE_PIECE_BYTES_MAX))
}

fn spoilt() -> io::Error {
    io::Error::other("a piece of a file was taken for memory")
}

impl Buf for FilePiece {
    fn remaining(&self) -> usize {
        self.length - self.taken
    }

    fn chunk(&self) -> &[u8] {
        let start = self.entry * FILE_PIECE_BYTES_MAX;
        &RESERVED[start + self.taken..start + self.length]
    }

    fn advance(&mut self, bytes: usize) {
        assert!(bytes <= self.remaining(), "advanced past the end");
        self.taken += bytes;
    }
}

impl Drop for FilePiece {
    fn drop(&mut self) {
        let stretch = self.pieces.entries.lock()[self.entry].take();
        if stretch.is_some_and(|stretch| stretch.sent < self.taken) {
            self.pieces.spoilt.store(true, Ordering::Relaxed);
            tracing::error!("a piece of a file was taken for memory: the connection is cut");
        }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        match &self.bytes {
            PieceBytes::Memory(bytes) => bytes.remaining(),
            PieceBytes::File(piece) => piece.remaining(),
        }
    }

    fn chunk(&self) -> &[u8] {
        match &self.bytes {
            PieceBytes::Memory(bytes) => bytes.chunk(),
            PieceBytes::File(piece) => piece.chunk(),
        }
    }

    fn advance(&mut self, bytes: usize) {
        match &mut self.bytes {
            PieceBytes::Memory(memory) => memory.advance(bytes),
            PieceBytes::File(piece) => piece.advance(bytes),
        }
    }
}

impl Piece {
    pub fn is_of_file(&self) -> bool {
        matches!(self.bytes, PieceBytes::File(_))
    }

    /// A piece of this request's answer, which it keeps.
    pub fn of(mut self, request: &(impl Clone + Debug + Send + Sync + 'static)) -> Self {
        self.request = Some(Box::new(request.clone()));
        self
    }
}

impl From<Bytes> for Piece {
    fn from(bytes: Bytes) -> Self {
        Self {
            bytes: PieceBytes::Memory(bytes),
            request: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(pieces: &Arc<FilePieces>, start: u64, length: usize) -> Option<Piece> {
        let file = Arc::new(tempfile::tempfile().ok()?);
        pieces.piece(&file, start, length)
    }

    #[test]
    fn an_address_tells_the_file_and_how_far_it_was_sent() {
        let pieces = Arc::new(FilePieces::default());
        let mut first = piece(&pieces, 100, 50).unwrap();
        let second = piece(&pieces, 1000, FILE_PIECE_BYTES_MAX + 1).unwrap();
        assert_eq!(second.remaining(), FILE_PIECE_BYTES_MAX);
        let next = pieces.in_place_of(first.chunk()).unwrap().unwrap();
        assert_eq!(next.offset, 100);
        pieces.sent(&next, 20);
        first.advance(20);
        let next = pieces.in_place_of(first.chunk()).unwrap().unwrap();
        assert_eq!(next.offset, 120);
        let next = pieces.in_place_of(second.chunk()).unwrap().unwrap();
        assert_eq!(next.offset, 1000);
        assert!(pieces.in_place_of(b"memory").unwrap().is_none());
        assert!(!FilePieces::stands_for_file(b"memory"));
    }

    #[test]
    fn a_piece_that_was_left_in_its_middle_makes_room_and_spoils_nothing() {
        let pieces = Arc::new(FilePieces::default());
        let mut all = Vec::new();
        while let Some(piece) = piece(&pieces, 0, 50) {
            all.push(piece);
        }
        assert_eq!(all.len(), ENTRIES);
        let next = pieces.in_place_of(all[0].chunk()).unwrap().unwrap();
        pieces.sent(&next, 20);
        all.clear();
        let fresh = piece(&pieces, 7, 50).unwrap();
        let next = pieces.in_place_of(fresh.chunk()).unwrap().unwrap();
        assert_eq!(next.offset, 7);
    }

    #[test]
    fn a_layer_that_copies_ends_the_connection() {
        let pieces = Arc::new(FilePieces::default());
        let mut copied = piece(&pieces, 0, 50).unwrap();
        let bytes = copied.copy_to_bytes(10);
        assert_eq!(bytes.len(), 10);
        assert!(
            pieces.in_place_of(copied.chunk()).is_err(),
            "what was copied was not sent"
        );
        drop(copied);
        assert!(pieces.in_place_of(b"memory").is_err());
    }
}
