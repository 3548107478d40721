//! Carries a body from the network to the disk.
//!
//! Owns the hand-over between the two: pieces wait in a short queue, the disk is written on a
//! blocking thread, and a disk that fails is left alone for a while. Must not know what the body
//! should be.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::store::{Cause, Reservation, SealError, Spool, Store, StoreError};
use crate::upstream::{BodyError, UpstreamResponse};
use crate::values::clock;
use crate::values::correlation;

/// Pieces on their way from the network to the disk; each is at most what one socket read gave.
const PIECES_IN_HAND: usize = 8;

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
        Ok((store.spool(clock::now())?, reservation))
    };
    correlation::spawn_blocking(make)
        .await
        .map_err(|_| StoreError::Interrupted)?
}

/// Writes a body down, unless `give_up` says after some piece that no client wants it any more;
/// `skip` bytes of it are there already. `None` if the writing thread fell.
pub async fn pump(
    store: &Arc<Store>,
    mut answer: UpstreamResponse,
    spool: Spool,
    reservation: Reservation,
    skip: u64,
    give_up: impl Fn() -> bool,
) -> Option<(Spool, Reservation, BodyEnd)> {
    let (pieces, incoming) = mpsc::channel(PIECES_IN_HAND);
    let store = Arc::clone(store);
    let writer =
        correlation::spawn_blocking(move || write(&store, spool, reservation, skip, incoming));
    let end = loop {
        match answer.body.piece().await {
            Ok(Some(piece)) => {
                if pieces.send(piece).await.is_err() {
                    // The writer gave up; it says why itself.
                    break BodyEnd::Complete;
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

/// The blocking side of [`pump`].
fn write(
    store: &Store,
    mut spool: Spool,
    mut reservation: Reservation,
    mut skip: u64,
    mut incoming: mpsc::Receiver<Bytes>,
) -> (Spool, Reservation, Result<(), Cause>) {
    while let Some(mut piece) = incoming.blocking_recv() {
        let skipped = usize::try_from(skip).unwrap_or(usize::MAX).min(piece.len());
        skip -= skipped as u64;
        let piece = piece.split_off(skipped);
        let reached = spool.written() + piece.len() as u64;
        let written = match store.blobs.grow(&mut reservation, reached) {
            Ok(()) => spool.write(&piece),
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
