//! The end of a wheel, read before the rest of it, and the answer for the whole that it makes with
//! what comes before it.
//!
//! Ends of wheels of which no more was wanted are kept for a while, so that a download that comes
//! later asks for the rest only, under the end's validator (RFC 9110 §13.1.5); the digest judges
//! the sum. Must not know what a wheel's end says, or how it is come by.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue};
use moka::sync::Cache;

use crate::registry::FileRef;
use crate::upstream::{ContentRange, UpstreamResponse, Validators};

/// Of all ends that are kept.
const KEPT_BYTES_MAX: u64 = 8 << 20;

/// A client that wants the rest of a wheel mostly comes before.
const KEPT_FOR: Duration = Duration::from_secs(600);

/// The last bytes of a file, as upstream sent them.
#[derive(Clone, Debug)]
pub struct Tail {
    pub bytes: Bytes,
    /// How long the file is.
    pub whole: u64,
    /// Of the answer that they came with.
    pub headers: HeaderMap,
}

impl Tail {
    /// Where in the file they begin.
    pub fn start(&self) -> u64 {
        self.whole.saturating_sub(self.bytes.len() as u64)
    }

    pub fn validator(&self) -> Option<HeaderValue> {
        Validators::of(&self.headers).for_resume().cloned()
    }

    /// The answer for the whole file, with what comes before these bytes.
    pub fn after(&self, beginning: Option<UpstreamResponse>) -> UpstreamResponse {
        UpstreamResponse::assembled(
            beginning,
            self.headers.clone(),
            self.bytes.clone(),
            self.whole,
        )
    }

    /// Whether this is the answer to the question for what comes before.
    pub fn is_led_by(&self, told: ContentRange, answer: &UpstreamResponse) -> bool {
        let wanted = ContentRange {
            first: 0,
            last: self.start() - 1,
            whole: Some(self.whole),
        };
        told == wanted && Validators::of(&answer.headers).for_resume() == self.validator().as_ref()
    }
}

/// The ends that are kept.
pub struct TailCache(Cache<FileRef, Arc<Tail>>);

impl TailCache {
    pub fn new() -> Self {
        let weigh =
            |_: &FileRef, tail: &Arc<Tail>| u32::try_from(tail.bytes.len()).unwrap_or(u32::MAX);
        let kept = Cache::builder()
            .max_capacity(KEPT_BYTES_MAX)
            .weigher(weigh)
            .time_to_live(KEPT_FOR);
        Self(kept.build())
    }

    pub fn keep(&self, file: &FileRef, tail: Tail) {
        self.0.insert(file.clone(), Arc::new(tail));
    }

    pub fn take(&self, file: &FileRef) -> Option<Arc<Tail>> {
        self.0.remove(file)
    }
}
