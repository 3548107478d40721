//! The credential that is larder's own at a peer: whether the peer takes it.
//!
//! The decision is pure. Owns what the log is told, once for each change. Must not know the
//! credential.

use std::time::{Duration, Instant};

use http::StatusCode;
use parking_lot::Mutex;

use super::peer::Peer;

/// What the peer has said of it so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum CredentialVerdict {
    #[default]
    None,
    Taken,
    /// Since then.
    Refused(Instant),
}

#[derive(Debug, Default)]
pub(super) struct OwnCredential(Mutex<CredentialVerdict>);

impl OwnCredential {
    /// The peer answered so to a request that carried it.
    pub(super) fn answered(&self, peer: &Peer, status: StatusCode, now: Instant) {
        let mut word = self.0.lock();
        let before = *word;
        *word = after(before, status, now);
        match (before, *word) {
            (CredentialVerdict::None | CredentialVerdict::Taken, CredentialVerdict::Refused(_)) => {
                tracing::error!(upstream = %peer, %status, "larder's own credential (token_file) is refused: requests that need it fail until it is taken");
            }
            (CredentialVerdict::Refused(_), CredentialVerdict::Taken) => {
                tracing::info!(upstream = %peer, "larder's own credential is taken again")
            }
            _ => {}
        }
    }

    /// For how long it has been refused.
    pub(super) fn refused_for(&self, now: Instant) -> Option<Duration> {
        match *self.0.lock() {
            CredentialVerdict::Refused(since) => Some(now.saturating_duration_since(since)),
            CredentialVerdict::None | CredentialVerdict::Taken => None,
        }
    }
}

/// A 401 says that the credential is no good (RFC 9110 §15.5.2). So does a 403 to one for which
/// nothing was given yet, as where it lacks a scope; otherwise that, like a 404, is about one
/// place, and an error says nothing.
fn after(before: CredentialVerdict, status: StatusCode, now: Instant) -> CredentialVerdict {
    match (before, status) {
        (CredentialVerdict::Refused(_), StatusCode::UNAUTHORIZED) => before,
        (_, StatusCode::UNAUTHORIZED) | (CredentialVerdict::None, StatusCode::FORBIDDEN) => {
            CredentialVerdict::Refused(now)
        }
        (_, status) if status.is_success() || status.is_redirection() => CredentialVerdict::Taken,
        _ => before,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::clock;

    /// Seconds, the status, and for how many seconds it counts as refused then.
    fn goes(steps: &[(u32, u16, Option<u64>)]) {
        let own = OwnCredential::default();
        let start = clock::now();
        for (at, status, refused_for) in steps {
            let now = start + *at * Duration::from_secs(1);
            own.answered(
                &Peer::GitLab,
                StatusCode::from_u16(*status).unwrap_or_default(),
                now,
            );
            assert_eq!(
                own.refused_for(now),
                refused_for.map(Duration::from_secs),
                "{at}: {status}"
            );
        }
    }

    #[test]
    fn it_is_refused_from_the_first_401_until_something_is_given_for_it() {
        goes(&[
            (0, 200, None),
            (1, 403, None),
            (2, 401, Some(0)),
            (3, 401, Some(1)),
            (4, 503, Some(2)),
        ]);
        goes(&[
            (2, 401, Some(0)),
            (5, 404, Some(3)),
            (6, 403, Some(4)),
            (7, 304, None),
            (8, 401, Some(0)),
        ]);
        goes(&[(8, 401, Some(0)), (9, 302, None)]);
    }

    #[test]
    fn a_403_counts_only_of_one_for_which_nothing_was_ever_given() {
        goes(&[
            (0, 404, None),
            (1, 403, Some(0)),
            (2, 404, Some(1)),
            (3, 200, None),
            (4, 403, None),
        ]);
    }
}
