//! Scopes of GitLab's, and whether a caller without a credential is answered about them.
//!
//! Must not ask.

use std::time::{Duration, Instant};

use crate::registry::Scope;
use crate::values::cache::{self, Cache};

/// Scopes remembered at once.
const SCOPES_MAX: u64 = 4096;

/// Each with when it was asked about.
pub struct OpenScopes(Cache<Scope, (bool, Instant)>);

impl Default for OpenScopes {
    fn default() -> Self {
        Self(cache::bounded(SCOPES_MAX))
    }
}

impl OpenScopes {
    /// What was learned of a scope, if that was not longer ago than it lasts.
    pub fn recall(&self, scope: &Scope, now: Instant, lasts: Duration) -> Option<bool> {
        let (is_open, asked) = self.0.get(scope)?;
        if now.saturating_duration_since(asked) >= lasts {
            return None;
        }
        Some(is_open)
    }

    pub fn remember(&self, scope: &Scope, is_open: bool, asked: Instant) {
        self.0.insert(scope.clone(), (is_open, asked));
    }
}
