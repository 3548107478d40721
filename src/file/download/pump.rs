//! Carries a body from the network to the disk.
//!
//! Owns the hand-over between the two: the disk is written on a blocking thread, up to the ends of
//! blocks (`gathered.rs`) unless the next one is long in coming, because readers see what is
//! written; and a disk that fails is left alone for a while. Must not know what the body should be,
//! or who sends it.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::timeout_at;

use super::gathered::{Batch, Gathered};
use crate::store::{Cause, Reservation, SealError, Spool, Store, StoreError};
use crate::upstream::{BODIES_AT_FULL_PACE, BodyError, CountedBody, IdleBody};
use crate::values::clock;
use crate::values::correlation;

/// Bytes on their way from the network to the disk, besides the piece that comes next.
const BYTES_IN_HAND: u32 = 2 << 20;

/// What the smallest piece counts for, because it costs memory besides its bytes.
const PIECE_SHARE_MIN: u32 = 1 << 10;

/// Batches that are written at a time.
const BATCHES_WRITTEN_MAX: usize = 64;

/// How long what has come of a block waits for the rest of it. The end of a body, which is what a
/// client waits for, is written at once.
const BLOCK_WAIT: Duration = Duration::from_millis(5);

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
        Ok((spool, reservation))
    };
    correlation::spawn_blocking(make)
        .await
        .map_err(|_| StoreError::Interrupted)?
}

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
    let (batches, incoming) = mpsc::unbounded_channel();
    let mut to_disk = ToDisk::new(batches, spool.written());
    let store = Arc::clone(store);
    let writer = correlation::spawn_blocking(move || write(&store, spool, reservation, incoming));
    let end = loop {
        match to_disk.unless_due(body.piece()).await {
            None => to_disk.hand_over(),
            Some(Ok(Some(piece))) => to_disk.take(unskipped(piece, &mut skip)).await?,
            Some(Ok(None)) => break BodyEnd::Complete,
            Some(Err(BodyError::Stalled(_))) => break BodyEnd::Broke(Cause::Stalled),
            Some(Err(_)) => break BodyEnd::Broke(Cause::Upstream),
        }
        if to_disk.batches.is_closed() {
            // The writer gave up; it says why itself.
            break BodyEnd::Complete;
        }
        if give_up() {
            break BodyEnd::Abandoned;
        }
    };
    to_disk.hand_over();
    drop(to_disk);
    let (spool, reservation, written) = writer.await.ok()?;
    let end = match written {
        Ok(()) => end,
        Err(cause) => BodyEnd::Broke(cause),
    };
    Some((spool, reservation, end))
}

/// The network's side of the hand-over.
struct ToDisk {
    batches: mpsc::UnboundedSender<Batch>,
    shares: Arc<Semaphore>,
    gathered: Gathered,
    /// When what is gathered was waited for long enough.
    due: Instant,
    /// Clients wait for the first bytes: the next ones come in behind these.
    is_first: bool,
    _counted: CountedBody,
}

impl ToDisk {
    fn new(batches: mpsc::UnboundedSender<Batch>, written: u64) -> Self {
        Self {
            batches,
            shares: Arc::new(Semaphore::new(BYTES_IN_HAND as usize)),
            gathered: Gathered::behind(written),
            due: clock::now(),
            is_first: written == 0,
            _counted: CountedBody::begin(),
        }
    }

    /// What comes next; `None` once what is gathered is due.
    async fn unless_due<T>(&self, next: impl Future<Output = T>) -> Option<T> {
        if self.gathered.batch().is_empty() {
            return Some(next.await);
        }
        timeout_at(self.due.into(), next).await.ok()
    }

    /// Takes a piece when there is room for it. `None` if there never will be.
    async fn take(&mut self, piece: Bytes) -> Option<()> {
        if piece.is_empty() {
            return Some(());
        }
        let share = if self.is_first {
            BYTES_IN_HAND
        } else {
            share(piece.len(), CountedBody::count())
        };
        if self.gathered.batch().share() + share as usize > BYTES_IN_HAND as usize {
            // It would wait for itself.
            self.hand_over();
        }
        let share = Arc::clone(&self.shares).acquire_many_owned(share).await;
        let were_none = self.gathered.batch().is_empty();
        let full = self.gathered.add(piece, share.ok()?);
        if were_none || full.is_some() {
            self.due = clock::now() + BLOCK_WAIT;
        }
        if let Some(full) = full {
            self.send(full);
        }
        if std::mem::take(&mut self.is_first) {
            self.hand_over();
        }
        Some(())
    }

    /// Gives the disk all that is gathered.
    fn hand_over(&mut self) {
        let gathered = self.gathered.take();
        if !gathered.is_empty() {
            self.send(gathered);
        }
    }

    fn send(&self, batch: Batch) {
        // A writer that gave up says why itself.
        let _ = self.batches.send(batch);
    }
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
    mut incoming: mpsc::UnboundedReceiver<Batch>,
) -> (Spool, Reservation, Result<(), Cause>) {
    let mut is_begun = spool.written() > 0;
    let mut taken = Vec::new();
    while incoming.blocking_recv_many(&mut taken, BATCHES_WRITTEN_MAX) > 0 {
        // Its share is free when all of it is written and hashed.
        let mut all = Batch::default();
        for batch in taken.drain(..) {
            all.append(batch);
        }
        let pieces = &all.pieces;
        let lengths = pieces.iter().map(|piece| piece.len() as u64);
        let reached = spool.written() + lengths.sum::<u64>();
        let written = match store.blobs.grow(&mut reservation, reached) {
            Ok(()) => spool.write(pieces),
            Err(why) => Err(SealError::Store(why)),
        };
        match written {
            Ok(()) if is_begun => {}
            Ok(()) => {
                // Clients have the first bytes by now.
                spool.allocate();
                is_begun = true;
            }
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
