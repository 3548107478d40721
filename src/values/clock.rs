//! The one clock. Decisions take `now` as a parameter; the code that acts reads it here.
//!
//! Monotonic: a wall clock that jumps revives no page and prolongs no right. Must not know what the
//! time is for.

use std::time::{Instant, SystemTime};

#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn now() -> Instant {
    Instant::now()
}

/// For what is sent as a date, such as `Retry-After`.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn wall() -> SystemTime {
    SystemTime::now()
}
