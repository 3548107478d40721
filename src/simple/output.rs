//! The page as it leaves the room: bytes that wait to be taken, and the insertion points in them.
//!
//! Owns the counting of positions, which goes on when bytes are taken. Must not know formats.

use bytes::{Bytes, BytesMut};

use super::entry::SkippedEntries;
use super::facts::PageFacts;

#[derive(Debug, Default)]
pub struct Output {
    ready: BytesMut,
    taken: u64,
    pub insertion_points: Vec<u64>,
}

/// The end of a page that was read whole.
pub struct PageEnd {
    pub out: Output,
    pub facts: PageFacts,
    pub left_out: SkippedEntries,
}

impl Output {
    pub fn push(&mut self, bytes: &[u8]) {
        self.ready.extend_from_slice(bytes);
    }

    /// Bytes of the page so far, taken or not.
    pub fn position(&self) -> u64 {
        self.taken + self.ready.len() as u64
    }

    /// Notes the place before the next byte.
    pub fn note_insertion_point(&mut self) {
        self.note_insertion_point_at(self.position());
    }

    pub fn note_insertion_point_at(&mut self, position: u64) {
        self.insertion_points.push(position);
    }

    pub fn take(&mut self) -> Bytes {
        self.taken += self.ready.len() as u64;
        self.ready.split().freeze()
    }
}
