//! How long things took, as counts below fixed bounds.
//!
//! A measurement is three relaxed additions, without a lock and without an allocation. Must not
//! know what was measured, nor how a reading is printed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds in microseconds: from an answer out of memory to a slow upstream's longest wait.
const BOUNDS_MICROS: [u64; 15] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 1_000_000,
    5_000_000, 15_000_000, 60_000_000,
];

#[derive(Debug, Default)]
pub struct Histogram {
    /// Not cumulative; what is above the last bound is in `count` alone.
    buckets: [AtomicU64; BOUNDS_MICROS.len()],
    micros: AtomicU64,
    count: AtomicU64,
}

/// A histogram at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistogramReading {
    pub sum_seconds: f64,
    pub count: u64,
    /// Upper bound in seconds, the last one infinite, and how many fell between it and the one
    /// before.
    pub buckets: Vec<(f64, u64)>,
}

impl Histogram {
    pub fn observe(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let place = BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        if let Some(bucket) = self.buckets.get(place) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.micros.fetch_add(micros, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    pub fn read(&self) -> HistogramReading {
        let mut buckets = Vec::with_capacity(BOUNDS_MICROS.len() + 1);
        let mut within = 0;
        for (bound, bucket) in BOUNDS_MICROS.iter().zip(&self.buckets) {
            let count = bucket.load(Ordering::Relaxed);
            within += count;
            buckets.push((seconds(*bound), count));
        }
        // A measurement under way may be in a bucket and not yet in the count.
        let count = self.count.load(Ordering::Relaxed).max(within);
        buckets.push((f64::INFINITY, count - within));
        HistogramReading {
            sum_seconds: seconds(self.micros.load(Ordering::Relaxed)),
            count,
            buckets,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 285 years")]
fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_measurement_is_in_the_one_bucket_that_holds_it(all in prop::collection::vec(0..100_000_000u64, 0..50)) {
            let histogram = Histogram::default();
            for micros in &all {
                histogram.observe(Duration::from_micros(*micros));
            }
            let reading = histogram.read();
            prop_assert_eq!(reading.count, all.len() as u64);
            let mut below = 0.0;
            for (bound, count) in &reading.buckets {
                let within = all.iter().map(|micros| seconds(*micros)).filter(|took| *took > below || below == 0.0);
                prop_assert_eq!(*count, within.filter(|took| took <= bound).count() as u64, "up to {}", bound);
                below = *bound;
            }
            prop_assert!((reading.sum_seconds - all.iter().map(|micros| seconds(*micros)).sum::<f64>()).abs() < 1e-3);
        }
    }
}
