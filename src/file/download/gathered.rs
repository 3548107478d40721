//! What has come of a body and was not handed to the disk yet.
//!
//! Pieces are gathered until they end at a block's end in the file: the system then holds what is
//! written in large stretches of memory (folios), and sends a stored file from these at less cost.
//! Must not know what gathers, or when a reader has waited long enough.

use bytes::Bytes;
use tokio::sync::OwnedSemaphorePermit;

/// Where in a file a write ends, if nothing calls for an earlier one.
const BLOCK_BYTES: u64 = 128 << 10;

/// Pieces that are written one behind the other, and their share of the memory that a body may
/// have.
#[derive(Debug, Default)]
pub struct Batch {
    pub pieces: Vec<Bytes>,
    share: Option<OwnedSemaphorePermit>,
}

impl Batch {
    pub fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Adds what follows these pieces.
    pub fn append(&mut self, mut next: Self) {
        self.pieces.append(&mut next.pieces);
        match (&mut self.share, next.share) {
            (Some(all), Some(share)) => all.merge(share),
            (all, share) => *all = all.take().or(share),
        }
    }

    fn add(&mut self, piece: Bytes, share: Option<OwnedSemaphorePermit>) {
        let pieces = vec![piece];
        self.append(Self { pieces, share });
    }

    /// What it counts for.
    pub fn share(&self) -> usize {
        let share = self.share.as_ref();
        share.map_or(0, OwnedSemaphorePermit::num_permits)
    }
}

#[derive(Debug)]
pub struct Gathered {
    batch: Batch,
    /// Where in the file the next piece begins.
    position: u64,
}

impl Gathered {
    /// Nothing yet of a file of which so much is written.
    pub fn behind(written: u64) -> Self {
        Self {
            batch: Batch::default(),
            position: written,
        }
    }

    pub fn batch(&self) -> &Batch {
        &self.batch
    }

    /// All of it.
    pub fn take(&mut self) -> Batch {
        std::mem::take(&mut self.batch)
    }

    /// Adds a piece; gives what ends at a block's end by now, and keeps the rest.
    pub fn add(&mut self, mut piece: Bytes, share: OwnedSemaphorePermit) -> Option<Batch> {
        let start = self.position;
        self.position += piece.len() as u64;
        let block_end = self.position - self.position % BLOCK_BYTES;
        if block_end <= start {
            self.batch.add(piece, Some(share));
            return None;
        }
        let before = usize::try_from(block_end - start).unwrap_or(piece.len());
        let rest = piece.split_off(before);
        let mut full = self.take();
        if rest.is_empty() {
            full.add(piece, Some(share));
        } else {
            // Both lie in one buffer, which is free when the rest is.
            full.add(piece, None);
            self.batch.add(rest, Some(share));
        }
        Some(full)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use proptest::prelude::*;
    use tokio::sync::Semaphore;

    use super::*;

    proptest! {
        #[test]
        fn whatever_comes_is_given_in_order_and_up_to_blocks_ends(
            written in 0..3 * BLOCK_BYTES,
            lengths in prop::collection::vec(1..3 * BLOCK_BYTES as usize, 1..20),
        ) {
            let shares = Arc::new(Semaphore::new(lengths.len()));
            let mut gathered = Gathered::behind(written);
            let mut position = written;
            let mut given = Vec::new();
            let mut all = Vec::new();
            for (number, length) in lengths.iter().enumerate() {
                let piece = vec![number as u8; *length];
                all.extend_from_slice(&piece);
                let share = Arc::clone(&shares).try_acquire_owned().expect("one for each piece");
                if let Some(batch) = gathered.add(piece.into(), share) {
                    let bytes = batch.pieces.concat();
                    position += bytes.len() as u64;
                    prop_assert_eq!(position % BLOCK_BYTES, 0);
                    given.extend(bytes);
                }
                let kept = gathered.batch();
                prop_assert!(kept.pieces.concat().len() < BLOCK_BYTES as usize);
                prop_assert_eq!(kept.share(), lengths.len() - shares.available_permits());
                prop_assert!(kept.is_empty() || kept.share() > 0, "bytes that count for nothing");
            }
            given.extend(gathered.take().pieces.concat());
            prop_assert!(given == all);
            prop_assert_eq!(shares.available_permits(), lengths.len());
        }
    }
}
