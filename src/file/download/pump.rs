//! Carries a body from the network to the disk.
//!
//! Owns the hand-over between the two: the disk is written on a blocking thread, in large pieces,
//! because what comes while it is busy is gathered; and a disk that fails is left alone for a
//! while. Must not know what the body should be, or who sends it.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::store::{Cause, Reservation, SealError, Spool, Store, StoreError};
use crate::upstream::{BODIES_AT_FULL_PACE, BodyError, CountedBody, IdleBody};
use crate::values::clock;
use crate::values::correlation;

/// Bytes on their way from the network to the disk, besides the piece that comes next.
const BYTES_IN_HAND: u32 = 2 << 20;

/// What the smallest piece counts for, because it costs memory besides its bytes.
const PIECE_SHARE_MIN: u32 = 1 << 10;

/// Pieces that the disk is given at a time.
const PIECES_WRITTEN_MAX: usize = 1024;

/// From this length on the disk is asked to set the room aside.
const ALLOCATED_BYTES_MIN: u64 = 1 << 20;

/// Why a body ended.
pub enum BodyEnd {
    Complete,
    Broke(Cause),
    Abandoned,
}

/// A place for a body of this length, if it was announced.
pub async fn make_room(
    store: &Arc<Store>,
    size: Option<u64>,
) -> Result<(Spool, Reservation), StoreError> {
    let store = Arc::clone(store);
    let make = move || {
        let reservation = store.reserve(size, clock::now())?;
        let mut spool = store.spool(clock::now())?;
        spool.announce(size);
        if size.is_some_and(|size| size >= ALLOCATED_BYTES_MIN) {
            spool.allocate();
        }
        Ok((spool, reservation))
    };
    correlation::spawn_blocking(make)
        .await
        .map_err(|_| StoreError::Interrupted)?
}

/// A piece on its way to the disk, and its share of [`BYTES_IN_HAND`].
type PieceInHand = (Bytes, OwnedSemaphorePermit);

/// Writes a body down, unless `give_up` says after some piece that no client wants it any more;
/// `skip` bytes of it are there already. `None` if the writing thread fell.
pub async fn pump(
    store: &Arc<Store>,
    mut body: IdleBody,
    spool: Spool,
    reservation: Reservation,
    mut skip: u64,
    give_up: impl Fn() -> bool,
) -> Option<(Spool, Reservation, BodyEnd)> {
    let (pieces, incoming) = mpsc::unbounded_channel();
    let shares = Arc::new(Semaphore::new(BYTES_IN_HAND as usize));
    let _counted = CountedBody::begin();
    // Clients wait for the first bytes: the next ones come in behind these.
    let mut alone = spool.written() == 0;
    let store = Arc::clone(store);
    let writer = correlation::spawn_blocking(move || write(&store, spool, reservation, incoming));
    let end = loop {
        match body.piece().await {
            Ok(Some(piece)) => {
                let bytes = unskipped(piece, &mut skip);
                let share = if alone {
                    BYTES_IN_HAND
                } else {
                    share(bytes.len(), CountedBody::count())
                };
                if !bytes.is_empty() {
                    alone = false;
                    let share = Arc::clone(&shares).acquire_many_owned(share).await.ok()?;
                    if pieces.send((bytes, share)).is_err() {
                        // The writer gave up; it says why itself.
                        break BodyEnd::Complete;
                    }
                }
            }
            Ok(None) => break BodyEnd::Complete,
            Err(BodyError::Stalled(_)) => break BodyEnd::Broke(Cause::Stalled),
            Err(_) => break BodyEnd::Broke(Cause::Upstream),
        }
        if give_up() {
            break BodyEnd::Abandoned;
        }
    };
    drop(pieces);
    let (spool, reservation, written) = writer.await.ok()?;
    let end = match written {
        Ok(()) => end,
        Err(cause) => BodyEnd::Broke(cause),
    };
    Some((spool, reservation, end))
}

/// What of a piece is not there already.
fn unskipped(mut piece: Bytes, skip: &mut u64) -> Bytes {
    let skipped = usize::try_from(*skip).unwrap_or(usize::MAX);
    let skipped = skipped.min(piece.len());
    *skip -= skipped as u64;
    piece.split_off(skipped)
}

/// What a piece counts for of its body's [`BYTES_IN_HAND`]: more than its length where more bodies
/// than [`BODIES_AT_FULL_PACE`] are written down.
fn share(bytes: usize, bodies: usize) -> u32 {
    let factor = bodies.div_ceil(BODIES_AT_FULL_PACE).max(1);
    match u32::try_from(bytes.saturating_mul(factor)) {
        Ok(share) => share.clamp(PIECE_SHARE_MIN, BYTES_IN_HAND),
        Err(_) => BYTES_IN_HAND,
    }
}

/// The blocking side of [`pump`].
fn write(
    store: &Store,
    mut spool: Spool,
    mut reservation: Reservation,
    mut incoming: mpsc::UnboundedReceiver<PieceInHand>,
) -> (Spool, Reservation, Result<(), Cause>) {
    let mut taken = Vec::new();
    while incoming.blocking_recv_many(&mut taken, PIECES_WRITTEN_MAX) > 0 {
        // The shares are free when all of it is written and hashed.
        let (pieces, _shares): (Vec<_>, Vec<_>) = taken.drain(..).unzip();
        let lengths = pieces.iter().map(|piece| piece.len() as u64);
        let reached = spool.written() + lengths.sum::<u64>();
        let written = match store.blobs.grow(&mut reservation, reached) {
            Ok(()) => spool.write(&pieces),
            Err(why) => Err(SealError::Store(why)),
        };
        match written {
            Ok(()) => {}
            Err(SealError::Body(cause)) => return (spool, reservation, Err(cause)),
            Err(SealError::Store(why @ StoreError::Full { .. })) => {
                tracing::warn!(error = %why, "a download of unannounced length outgrew the cache");
                return (spool, reservation, Err(Cause::Full));
            }
            Err(SealError::Store(why)) => {
                tracing::error!(error = %why, "a download cannot be stored: files are proxied uncached for a while");
                store.fail(&why, reservation.bytes().max(reached), clock::now());
                let cause = if why.is_lack_of_room() {
                    Cause::Full
                } else {
                    Cause::Disk
                };
                return (spool, reservation, Err(cause));
            }
        }
    }
    (spool, reservation, Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_in_hand_are_bounded_in_number_too() {
        assert_eq!(share(1, 1), PIECE_SHARE_MIN);
        assert_eq!(share(100_000, 1), 100_000);
        assert_eq!(share(BYTES_IN_HAND as usize + 1, 1), BYTES_IN_HAND);
    }

    #[test]
    fn many_bodies_have_no_more_in_hand_than_a_few() {
        assert_eq!(share(65_536, BODIES_AT_FULL_PACE), 65_536);
        let all_max = BODIES_AT_FULL_PACE * BYTES_IN_HAND as usize;
        for bodies in [5, 16, 50, 64, 128] {
            let pieces = BYTES_IN_HAND / share(65_536, bodies);
            let all = bodies * pieces as usize * 65_536;
            assert!(all <= all_max, "{bodies} bodies: {all} bytes");
        }
        assert_eq!(share(usize::MAX, usize::MAX), BYTES_IN_HAND);
    }

    #[test]
    fn what_is_there_already_is_skipped() {
        let mut skip = 5;
        assert!(unskipped(Bytes::from_static(b"abc"), &mut skip).is_empty());
        assert_eq!(unskipped(Bytes::from_static(b"defg"), &mut skip), "fg");
        assert_eq!(skip, 0);
    }
}
