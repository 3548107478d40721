//! A file that is still being written, or still being checked, as its readers see it.
//!
//! Owns the watermark: how far a reader may go. Before the digest agrees, the last
//! [`HELD_BACK_BYTES`] of what a reader wants are held back, so that no body and no range can ever
//! be completed from unverified bytes. A reader learns of the end only from [`FillPhase::Sealed`];
//! a writer that is dropped leaves [`FillPhase::Failed`]. Must not know where the bytes come from.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use tokio::sync::watch;

use crate::values::digest::Hasher;

/// What a reader is kept from until the digest agrees: the last so many bytes of its own span.
pub const HELD_BACK_BYTES: u64 = 64 * 1024;

/// Why a file never became whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    #[error("the bytes do not have the promised sha256")]
    WrongDigest,
    #[error(
        "the bytes came in an encoding that was not asked for, and do not have the promised sha256"
    )]
    Coded,
    #[error("the body ended before its announced length")]
    Short,
    #[error("the body went on past its announced length")]
    Long,
    #[error("upstream broke off")]
    Upstream,
    #[error("upstream sent nothing for too long")]
    Stalled,
    #[error("the cache folder could not be written or read")]
    Disk,
    /// What was written is good, and more does not fit.
    #[error("there was no more room for it in the cache")]
    Full,
    #[error("its last reader left")]
    Abandoned,
}

impl Cause {
    /// The same about a body that was labelled as coded, or was not.
    #[must_use]
    pub fn of_coded(self, coded: bool) -> Self {
        match self {
            Self::WrongDigest if coded => Self::Coded,
            other => other,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FillPhase {
    Filling,
    /// Whole, and its digest agreed.
    Sealed,
    Failed(Cause),
}

#[derive(Clone, Copy, Debug)]
struct FillState {
    /// The whole length, if it is known yet.
    size: Option<u64>,
    written: u64,
    phase: FillPhase,
}

impl FillState {
    const EMPTY: Self = Self {
        size: None,
        written: 0,
        phase: FillPhase::Filling,
    };

    /// Whether there are bytes for a reader of the whole, although not all of them are known to be
    /// right.
    fn may_begin(&self) -> bool {
        let whole = ReadSpan {
            start: 0,
            end: self.size,
        };
        match self.phase {
            FillPhase::Filling | FillPhase::Failed(Cause::Full) => {
                releasable(self.written, whole) > 0
            }
            FillPhase::Sealed | FillPhase::Failed(_) => false,
        }
    }
}

/// The part of a file a reader wants: from `start` to before `end`, or to the end of a file of
/// unknown length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadSpan {
    pub start: u64,
    pub end: Option<u64>,
}

/// What a reader at some position may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Availability {
    /// So many bytes may be read.
    Bytes(u64),
    Wait,
    End,
    Failed(Cause),
}

/// The shared side of a partial file.
#[derive(Debug)]
pub struct PartialFile {
    file: Arc<File>,
    state: watch::Sender<FillState>,
    /// Whether any reader has been given a byte, or the length.
    released: AtomicBool,
    /// What was written before there was no more room, and its hash.
    left_off: OnceLock<(Hasher, u64)>,
}

impl PartialFile {
    pub(super) fn new(file: Arc<File>) -> Self {
        Self {
            file,
            state: watch::Sender::new(FillState::EMPTY),
            released: AtomicBool::new(false),
            left_off: OnceLock::new(),
        }
    }

    pub fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// Waits until a reader of the whole file may begin, and says the file's length if it is known
    /// by then.
    ///
    /// After this the bytes count as released: they are no longer replaced unseen.
    ///
    /// # Errors
    /// The cause, if the file failed before a byte of it was released; the caller can still answer
    /// with an error.
    pub async fn begin(&self, sealed_only: bool) -> Result<Option<u64>, Cause> {
        let mut watch = self.state.subscribe();
        let begun = watch
            .wait_for(|state| {
                let may = !sealed_only && state.may_begin();
                if may {
                    self.released.store(true, Ordering::Release);
                }
                may || state.phase != FillPhase::Filling
            })
            .await;
        match begun {
            Ok(state) => match state.phase {
                FillPhase::Failed(Cause::Full) if !sealed_only && state.may_begin() => {
                    Ok(state.size)
                }
                FillPhase::Failed(cause) => Err(cause),
                _ => Ok(state.size),
            },
            Err(_) => Err(Cause::Abandoned),
        }
    }

    /// How far a reader of `span` that has come to `position` may go.
    pub fn availability(&self, span: ReadSpan, position: u64) -> Availability {
        let state = self.state.borrow();
        let availability = availability(*state, span, position);
        if matches!(availability, Availability::Bytes(_)) {
            self.released.store(true, Ordering::Release);
        }
        availability
    }

    /// Waits until a reader of `span` at `position` need not wait any longer.
    pub async fn wait(self: Arc<Self>, span: ReadSpan, position: u64) -> Availability {
        let mut watch = self.state.subscribe();
        let is_moved = |state: &FillState| {
            let now = availability(*state, span, position);
            now != Availability::Wait
        };
        if watch.wait_for(is_moved).await.is_err() {
            return Availability::Failed(Cause::Abandoned);
        }
        self.availability(span, position)
    }

    /// Whole and right.
    pub fn is_sealed(&self) -> bool {
        self.state.borrow().phase == FillPhase::Sealed
    }

    /// Bytes on disk so far.
    pub fn written(&self) -> u64 {
        self.state.borrow().written
    }

    pub fn size(&self) -> Option<u64> {
        self.state.borrow().size
    }

    pub(super) fn announce(&self, size: Option<u64>) {
        self.state.send_modify(|state| state.size = size);
    }

    pub(super) fn advance(&self, written: u64) {
        self.state.send_modify(|state| state.written = written);
    }

    pub(super) fn seal(&self, size: u64) {
        self.state.send_modify(|state| {
            *state = FillState {
                size: Some(size),
                written: size,
                phase: FillPhase::Sealed,
            }
        });
    }

    /// The first cause stands.
    pub(super) fn fail(&self, cause: Cause) {
        self.state.send_if_modified(|state| {
            let filling = state.phase == FillPhase::Filling;
            if filling {
                state.phase = FillPhase::Failed(cause);
            }
            filling
        });
    }

    /// There is no more room: so much was written, and that is its hash.
    pub(super) fn leave_off(&self, hasher: Hasher, written: u64) {
        // A second time would be about the same file.
        let _ = self.left_off.set((hasher, written));
        self.fail(Cause::Full);
    }

    /// How far it came before there was no more room, and the hash of that.
    pub fn left_off(&self) -> Option<(Hasher, u64)> {
        self.left_off.get().cloned()
    }

    /// The disk lost what was sealed.
    pub(super) fn take_back(&self) {
        self.state
            .send_modify(|state| state.phase = FillPhase::Failed(Cause::Disk));
    }

    /// Takes everything back, if no reader has seen any of it. The lock that readers look through
    /// makes this safe.
    pub(super) fn start_over(&self) -> bool {
        self.state.send_if_modified(|state| {
            let unseen = !self.released.load(Ordering::Acquire);
            if unseen {
                *state = FillState::EMPTY;
            }
            unseen
        })
    }
}

/// How many bytes of `span`, counted from the file's start, may leave before the digest is known.
fn releasable(written: u64, span: ReadSpan) -> u64 {
    match span.end {
        Some(end) => {
            let held = HELD_BACK_BYTES.min(end.saturating_sub(span.start)).max(1);
            written.min(end.saturating_sub(held))
        }
        None => written.saturating_sub(HELD_BACK_BYTES),
    }
}

fn availability(state: FillState, span: ReadSpan, position: u64) -> Availability {
    let reach = match state.phase {
        // A reader behind the end of what was written reads on, as if more were to come.
        FillPhase::Failed(Cause::Full) if releasable(state.written, span) > position => {
            releasable(state.written, span)
        }
        FillPhase::Failed(cause) => return Availability::Failed(cause),
        FillPhase::Sealed => span.end.unwrap_or(state.written).min(state.written),
        FillPhase::Filling => releasable(state.written, span),
    };
    match reach.checked_sub(position) {
        Some(bytes) if bytes > 0 => Availability::Bytes(bytes),
        _ if state.phase == FillPhase::Sealed => Availability::End,
        _ => Availability::Wait,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn state() -> impl Strategy<Value = (FillState, ReadSpan, u64)> {
        (
            1..1_000_000u64,
            any::<bool>(),
            0..4u8,
            0.0..1.0f64,
            0.0..1.0f64,
            0.0..=1.0f64,
        )
            .prop_map(|(size, known, phase, start, length, part)| {
                let of = |whole: u64, part: f64| (whole as f64 * part) as u64;
                let start = of(size, start);
                let end = start + 1 + of(size - start - 1, length);
                let phase = match phase {
                    0 => FillPhase::Filling,
                    1 => FillPhase::Sealed,
                    2 => FillPhase::Failed(Cause::Full),
                    _ => FillPhase::Failed(Cause::Upstream),
                };
                let written = if phase == FillPhase::Sealed {
                    size
                } else {
                    of(size, part)
                };
                let span = ReadSpan {
                    start,
                    end: known.then_some(end),
                };
                (
                    FillState {
                        size: known.then_some(size),
                        written,
                        phase,
                    },
                    span,
                    start,
                )
            })
    }

    proptest! {
        #[test]
        fn no_span_is_completed_before_the_seal((state, span, position) in state()) {
            if let Availability::Bytes(bytes) = availability(state, span, position) {
                let reached = position + bytes;
                prop_assert!(reached <= state.written);
                match span.end {
                    Some(end) if state.phase == FillPhase::Sealed => prop_assert!(reached <= end),
                    Some(end) => prop_assert!(reached < end),
                    None if state.phase != FillPhase::Sealed => prop_assert!(reached + HELD_BACK_BYTES <= state.written),
                    None => {}
                }
            }
        }

        #[test]
        fn a_sealed_span_is_given_whole_and_then_ends((state, span, position) in state()) {
            if state.phase == FillPhase::Sealed {
                let end = span.end.unwrap_or(state.written);
                prop_assert_eq!(availability(state, span, position), Availability::Bytes(end - position));
                prop_assert_eq!(availability(state, span, end), Availability::End);
            }
        }
    }

    #[test]
    fn an_unseen_beginning_can_be_taken_back_and_a_seen_one_cannot() -> std::io::Result<()> {
        let partial = PartialFile::new(Arc::new(tempfile::tempfile()?));
        let whole = ReadSpan {
            start: 0,
            end: Some(100 * HELD_BACK_BYTES),
        };
        partial.announce(whole.end);
        assert!(partial.start_over());
        partial.announce(whole.end);
        partial.advance(1);
        assert_eq!(partial.availability(whole, 0), Availability::Bytes(1));
        assert!(!partial.start_over());
        Ok(())
    }
}
