//! Clients that read wheels' metadata by ranges: a HEAD tells them the length, and a range at the
//! wheel's end where the rest is. uv does so with every wheel that has no metadata of its own.
//!
//! Once a caller was seen to do so, its next HEAD of a wheel reads the end as well, and whatever else
//! the metadata is read from: which saves it one way to upstream and back, and many where a wheel's
//! directory is long. The bytes are upstream's own 206 to this caller: they are given to that
//! caller, within [`HELD_FOR`], once, and to no other. Owns what was seen of such callers, and what
//! waits for them. Must not ask upstream.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use moka::sync::Cache;
use parking_lot::Mutex;

use super::request::EndRead;
use crate::access::Fingerprint;
use crate::registry::FileRef;
use crate::upstream::ContentRange;
use crate::values::byte_range::{ByteRange, Extent};
use crate::values::single_flight::SingleFlight;
use crate::wheel::TAIL_BYTES;

/// A client comes for an end within milliseconds.
const HELD_FOR: Duration = Duration::from_secs(10);

/// Of all that waits.
const HELD_BYTES_MAX: u64 = 8 << 20;

/// A client that was told a wheel's length reads its metadata at once, if at all.
const HEAD_REMEMBERED_FOR: Duration = Duration::from_secs(60);

const HEADS_MAX: u64 = 4096;

/// A caller that reads ends does so for as long as it resolves.
const READER_REMEMBERED_FOR: Duration = Duration::from_secs(600);

const READERS_MAX: u64 = 4096;

/// By caller and wheel.
type WheelKey = (Fingerprint, FileRef);

pub(super) struct WheelEnds {
    /// How long the wheels are of which a caller was lately told the length.
    heads: Cache<WheelKey, u64>,
    /// How many bytes of a wheel's end a caller reads.
    readers: Cache<Fingerprint, u64>,
    /// What was read and not given yet.
    held: Cache<WheelKey, Arc<Mutex<HeldPieces>>>,
    pub(super) reading: Arc<SingleFlight<WheelKey, EndRead>>,
}

impl WheelEnds {
    pub(super) fn new() -> Self {
        let weigh = |_: &WheelKey, held: &Arc<Mutex<HeldPieces>>| held.lock().weight();
        let heads = Cache::builder()
            .max_capacity(HEADS_MAX)
            .time_to_live(HEAD_REMEMBERED_FOR);
        let readers = Cache::builder()
            .max_capacity(READERS_MAX)
            .time_to_live(READER_REMEMBERED_FOR);
        let held = Cache::builder()
            .max_capacity(HELD_BYTES_MAX)
            .weigher(weigh)
            .time_to_live(HELD_FOR);
        Self {
            heads: heads.build(),
            readers: readers.build(),
            held: held.build(),
            reading: SingleFlight::new(),
        }
    }

    /// Notes that this caller was told how long the wheel is.
    pub(super) fn note_head(&self, who: Fingerprint, wheel: &FileRef, size: u64) {
        if wheel.filename.is_wheel() {
            self.heads.insert((who, wheel.clone()), size);
        }
    }

    /// How many bytes of a wheel's end this caller reads, if it was seen to read one.
    pub(super) fn read_by(&self, who: Fingerprint) -> Option<u64> {
        self.readers.get(&who)
    }

    /// How many bytes at the wheel's end this range is, if the caller reads metadata with it; from
    /// now on it is known to read as many.
    pub(super) fn note_range(
        &self,
        who: Fingerprint,
        wheel: &FileRef,
        range: ByteRange,
    ) -> Option<u64> {
        let size = self.heads.get(&(who, wheel.clone()))?;
        let bytes = end_bytes(range, size)?;
        if bytes < size {
            self.readers.insert(who, bytes);
        }
        Some(bytes)
    }

    /// Whether these bytes are asked for by a caller that reads the wheel's metadata, and wants no
    /// more of it yet.
    pub(super) fn is_metadata(
        &self,
        who: Fingerprint,
        wheel: &FileRef,
        range: ContentRange,
    ) -> bool {
        range.bytes() <= TAIL_BYTES && self.heads.contains_key(&(who, wheel.clone()))
    }

    /// Holds pieces of a wheel of this size that upstream sent in this caller's name, each with the
    /// place where it begins.
    pub(super) fn hold(
        &self,
        who: Fingerprint,
        wheel: &FileRef,
        size: u64,
        pieces: Vec<(u64, Bytes)>,
    ) {
        let held = Arc::new(Mutex::new(HeldPieces { size, pieces }));
        self.held.insert((who, wheel.clone()), held);
    }

    /// The bytes of this range, if they are held for this caller. They are given once.
    pub(super) fn take(
        &self,
        who: Fingerprint,
        wheel: &FileRef,
        range: ByteRange,
    ) -> Option<(ContentRange, Bytes)> {
        let held = self.held.get(&(who, wheel.clone()))?;
        held.lock().take(range)
    }
}

/// Bytes of one wheel that wait for one caller.
struct HeldPieces {
    /// Of the wheel.
    size: u64,
    /// Each with the place where it begins. A range over two of them is none of theirs.
    pieces: Vec<(u64, Bytes)>,
}

impl HeldPieces {
    fn weight(&self) -> u32 {
        let bytes: usize = self.pieces.iter().map(|(_, bytes)| bytes.len()).sum();
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }

    /// Cuts the bytes of this range out of the piece that they lie in.
    fn take(&mut self, range: ByteRange) -> Option<(ContentRange, Bytes)> {
        let Extent { start, end } = range.on(self.size)?;
        let holds = |(at, bytes): &(u64, Bytes)| *at <= start && end <= at + bytes.len() as u64;
        let found = self.pieces.iter().position(holds)?;
        let (at, mut before) = self.pieces.swap_remove(found);
        let mut taken = before.split_off(usize::try_from(start - at).ok()?);
        let after = taken.split_off(usize::try_from(end - start).ok()?);
        for (place, left) in [(at, before), (end, after)] {
            if !left.is_empty() {
                self.pieces.push((place, left));
            }
        }
        let told = ContentRange {
            first: start,
            last: end - 1,
            whole: Some(self.size),
        };
        Some((told, taken))
    }
}

/// How many bytes at the end of a file a range is, if they are as few as a wheel's metadata takes.
fn end_bytes(range: ByteRange, size: u64) -> Option<u64> {
    let extent = range.on(size)?;
    if extent.end == size && extent.bytes() <= TAIL_BYTES {
        Some(extent.bytes())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn span(first: u64, last: u64) -> ByteRange {
        ByteRange::From {
            first,
            last: Some(last),
        }
    }

    fn held() -> HeldPieces {
        let pieces = vec![
            (90, Bytes::from_static(b"0123456789")),
            (20, Bytes::from_static(b"abcd")),
        ];
        HeldPieces { size: 100, pieces }
    }

    #[test]
    fn what_lies_in_a_piece_is_cut_from_it() {
        let cut = |range| held().take(range).map(|(_, bytes)| bytes);
        assert_eq!(cut(span(90, 99)).as_deref(), Some(&b"0123456789"[..]));
        assert_eq!(cut(span(92, 93)).as_deref(), Some(&b"23"[..]));
        assert_eq!(cut(span(20, 23)).as_deref(), Some(&b"abcd"[..]));
        assert_eq!(cut(ByteRange::Suffix(3)).as_deref(), Some(&b"789"[..]));
        assert_eq!(cut(span(95, 1000)).as_deref(), Some(&b"56789"[..]));
        let outside = [
            span(89, 99),
            span(0, 9),
            span(100, 120),
            span(20, 24),
            ByteRange::Suffix(11),
        ];
        for range in outside {
            assert_eq!(cut(range), None, "{range:?}");
        }
        let told = held().take(span(92, 93)).map(|(told, _)| told);
        let expected = ContentRange {
            first: 92,
            last: 93,
            whole: Some(100),
        };
        assert_eq!(told, Some(expected));
    }

    #[test]
    fn every_byte_is_given_once() {
        let mut held = held();
        assert!(held.take(span(93, 95)).is_some());
        for again in [span(93, 95), span(92, 93), span(95, 96), span(90, 99)] {
            assert!(held.take(again).is_none(), "{again:?}");
        }
        let mut left = |range| held.take(range).map(|(_, bytes)| bytes);
        assert_eq!(left(span(90, 92)).as_deref(), Some(&b"012"[..]));
        assert_eq!(left(span(96, 99)).as_deref(), Some(&b"6789"[..]));
        assert_eq!(left(span(20, 21)).as_deref(), Some(&b"ab"[..]));
        assert_eq!(left(span(22, 23)).as_deref(), Some(&b"cd"[..]));
        assert!(held.pieces.is_empty());
    }

    #[test]
    fn a_short_range_at_the_end_is_one_of_a_metadata_reader() {
        assert_eq!(end_bytes(span(83_616, 99_999), 100_000), Some(16_384));
        assert_eq!(end_bytes(ByteRange::Suffix(10), 100_000), Some(10));
        assert_eq!(end_bytes(span(0, 9), 10), Some(10));
        assert_eq!(end_bytes(span(0, 9), 100_000), None);
        assert_eq!(end_bytes(span(0, 99_999), 100_000), None);
    }
}
