//! The proof that a caller may have stored bytes.
//!
//! Owns the type and the two ways a caller can stand. Must not know how a right was proven.

use std::time::Instant;

/// GitLab has let this caller in, recently enough. Made only inside `access`.
#[derive(Clone, Copy, Debug)]
pub struct Permit {
    given: Instant,
    until: Instant,
}

impl Permit {
    pub(super) fn new(given: Instant, until: Instant) -> Self {
        Self { given, until }
    }

    /// When the decision it rests on was given. A right that is derived from it is as old.
    pub(super) fn given(self) -> Instant {
        self.given
    }

    /// When the decision it rests on lapses. A right that is derived from it ends no later.
    pub(super) fn until(self) -> Instant {
        self.until
    }
}

/// Whether a caller may have a page or file.
#[derive(Clone, Copy, Debug)]
pub enum Authorization {
    /// GitLab's decision is known and holds.
    Proven(Permit),
    /// Not known yet: the caller's own request, sent on, is the question.
    Unproven,
}

impl Authorization {
    pub fn permit(self) -> Option<Permit> {
        match self {
            Self::Proven(permit) => Some(permit),
            Self::Unproven => None,
        }
    }
}
