//! In which order a wheel is read: its end, its directory, its `METADATA`.
//!
//! Asks for spans of bytes and is given them; what the first span holds already is not asked for
//! again. Must not know where the bytes come from.

use super::directory;
use super::end::{EndRecord, RECORDS_BYTES_MAX};
use super::member::Member;
use super::metadata;
use super::unreadable::UnreadableWheel;
use crate::simple::WheelFilename;
use crate::values::byte_range::Extent;

/// The first span that a reader asks for: so many bytes at the end of a wheel, or all of a shorter
/// one.
///
/// Enough for every end record, and in most wheels for the directory and METADATA too.
pub const TAIL_BYTES: u64 = RECORDS_BYTES_MAX as u64;

/// What a reader wants next, or has come to.
#[derive(Debug, PartialEq, Eq)]
pub enum MetadataProgress {
    Need(Extent),
    /// The bytes of METADATA, checked.
    Metadata(Vec<u8>),
}

/// One reading of one wheel.
pub struct MetadataReader<'a> {
    wheel: WheelFilename<'a>,
    tail: Vec<u8>,
    tail_span: Extent,
    stage: ReadingStage,
}

enum ReadingStage {
    Tail,
    Directory(EndRecord),
    Member(Member),
}

impl<'a> MetadataReader<'a> {
    /// Begins to read a wheel of this many bytes.
    pub fn new(wheel: WheelFilename<'a>, size: u64) -> Self {
        Self::from_end(wheel, size, TAIL_BYTES)
    }

    /// Begins with so many bytes at the wheel's end. Fewer than [`TAIL_BYTES`] do where the archive
    /// has no comment, as wheels have none; otherwise the reading ends with
    /// [`UnreadableWheel::Short`].
    pub fn from_end(wheel: WheelFilename<'a>, size: u64, end_bytes: u64) -> Self {
        let tail_span = Extent {
            start: size.saturating_sub(end_bytes),
            end: size,
        };
        Self {
            wheel,
            tail: Vec::new(),
            tail_span,
            stage: ReadingStage::Tail,
        }
    }

    /// The span that is to be given next.
    pub fn wanted(&self) -> Extent {
        match &self.stage {
            ReadingStage::Tail => self.tail_span,
            ReadingStage::Directory(end) => end.directory,
            ReadingStage::Member(member) => member.place(),
        }
    }

    /// Takes the bytes of the wanted span.
    ///
    /// # Errors
    /// The first thing that speaks against the wheel; the reading is over then.
    pub fn give(&mut self, bytes: &[u8]) -> Result<MetadataProgress, UnreadableWheel> {
        if bytes.len() as u64 != self.wanted().bytes() {
            return Err(UnreadableWheel::Short);
        }
        self.stage = match &self.stage {
            ReadingStage::Tail => {
                bytes.clone_into(&mut self.tail);
                ReadingStage::Directory(EndRecord::find(bytes, self.tail_span.start)?)
            }
            ReadingStage::Directory(end) => {
                ReadingStage::Member(directory::find(bytes, end, &self.wheel)?)
            }
            ReadingStage::Member(member) => {
                let unpacked = member.unpack(bytes)?;
                metadata::check(&unpacked, &self.wheel)?;
                return Ok(MetadataProgress::Metadata(unpacked));
            }
        };
        let wanted = self.wanted();
        match self.in_tail(wanted) {
            Some(known) => self.give(&known),
            None => Ok(MetadataProgress::Need(wanted)),
        }
    }

    fn in_tail(&self, span: Extent) -> Option<Vec<u8>> {
        let at = |position: u64| usize::try_from(position.checked_sub(self.tail_span.start)?).ok();
        let known = self.tail.get(at(span.start)?..at(span.end)?)?;
        Some(known.to_vec())
    }
}

/// Reads a wheel whose bytes are at hand.
///
/// # Errors
/// What speaks against the wheel, or what `read` failed with.
pub fn extract<E>(
    wheel: WheelFilename<'_>,
    size: u64,
    mut read: impl FnMut(Extent) -> Result<Vec<u8>, E>,
) -> Result<Result<Vec<u8>, UnreadableWheel>, E> {
    let mut reader = MetadataReader::new(wheel, size);
    loop {
        let bytes = read(reader.wanted())?;
        match reader.give(&bytes) {
            Ok(MetadataProgress::Need(_)) => {}
            Ok(MetadataProgress::Metadata(metadata)) => return Ok(Ok(metadata)),
            Err(why) => return Ok(Err(why)),
        }
    }
}
