//! Which blob goes into which part.

use super::archive::entry_bytes;
use super::description::PARTS_MAX;

/// Why a bundle cannot be split so.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    #[error("a file of {size} bytes does not fit into a part of {limit}: split into larger parts")]
    Indivisible { size: u64, limit: u64 },
    #[error("more than {PARTS_MAX} parts: split into larger ones")]
    TooMany,
}

/// The part of each blob, from 1, and how many parts there are. `sizes` are in order, `overhead` is
/// what every part has besides blobs; each part is at most `limit` bytes, all of them if there is
/// none.
///
/// # Errors
/// [`PartError`].
pub fn assign(
    sizes: &[u64],
    overhead: u64,
    limit: Option<u64>,
) -> Result<(Vec<u32>, u32), PartError> {
    let limit = limit.unwrap_or(u64::MAX);
    let mut number = 1;
    let mut filled = overhead;
    let mut parts = Vec::with_capacity(sizes.len());
    for size in sizes {
        let entry = entry_bytes(*size);
        if overhead.saturating_add(entry) > limit {
            return Err(PartError::Indivisible { size: *size, limit });
        }
        if filled.saturating_add(entry) > limit {
            (number, filled) = (number + 1, overhead);
        }
        filled = filled.saturating_add(entry);
        parts.push(number);
    }
    if number > PARTS_MAX {
        Err(PartError::TooMany)
    } else {
        Ok((parts, number))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_blob_is_in_one_part_and_no_part_is_too_large(
            sizes in prop::collection::vec(0..100_000u64, 0..60),
            overhead in 0..10_000u64,
            limit in prop::option::of(0..400_000u64),
        ) {
            match assign(&sizes, overhead, limit) {
                Ok((parts, of)) => {
                    prop_assert_eq!(parts.len(), sizes.len());
                    for part in 1..=of {
                        let inside = sizes.iter().zip(&parts).filter(|(_, number)| **number == part);
                        let bytes: u64 = overhead + inside.map(|(size, _)| entry_bytes(*size)).sum::<u64>();
                        prop_assert!(sizes.is_empty() || bytes <= limit.unwrap_or(u64::MAX));
                        prop_assert!(sizes.is_empty() || parts.contains(&part));
                    }
                    prop_assert!(parts.windows(2).all(|pair| pair[0] <= pair[1]));
                }
                Err(PartError::Indivisible { size, limit }) => {
                    prop_assert!(overhead + entry_bytes(size) > limit);
                }
                Err(PartError::TooMany) => prop_assert!(false, "60 blobs"),
            }
        }
    }
}
