//! The page as it leaves the room: bytes that wait to be taken, and the insertion points in them.
//!
//! Owns the counting of positions, which goes on when bytes are taken. Must not know formats.

use bytes::{Bytes, BytesMut};

#[derive(Debug, Default)]
pub(super) struct Output {
    ready: BytesMut,
    taken: u64,
    insertion_points: Vec<u64>,
}

impl Output {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.ready.extend_from_slice(bytes);
    }

    /// Bytes of the page so far, taken or not.
    pub(super) fn position(&self) -> u64 {
        self.taken + self.ready.len() as u64
    }

    /// Notes the place before the next byte.
    pub(super) fn note_insertion_point(&mut self) {
        self.note_insertion_point_at(self.position());
    }

    pub(super) fn note_insertion_point_at(&mut self, position: u64) {
        self.insertion_points.push(position);
    }

    pub(super) fn take(&mut self) -> Bytes {
        self.taken += self.ready.len() as u64;
        self.ready.split().freeze()
    }

    pub(super) fn take_insertion_points(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.insertion_points)
    }
}
