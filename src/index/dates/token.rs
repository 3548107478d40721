//! The tokens that GitLab is asked for dates with.
//!
//! A caller's token is used for a short while after its request, and not after the caller's rights
//! ended. Must not know what is asked.

use std::time::{Duration, Instant};

use crate::access::{Access, Credential, Fingerprint};

/// A caller's token is used for so long after the request that it came with. The next caller's page
/// goes on where its questions stopped.
const CALLERS_TOKEN_FOR: Duration = Duration::from_secs(300);

/// In whose name GitLab is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Asker {
    Caller(Fingerprint),
    /// With `gitlab.dates_token_file`.
    Operator,
}

pub struct AskingToken {
    pub asker: Asker,
    pub credential: Credential,
    /// When the request came that is asked for.
    pub since: Instant,
}

impl AskingToken {
    /// Whether it is not to be used any more: it is a caller's whose request is too long ago, whom
    /// GitLab turned away since, or whose rights were revoked with all others.
    pub fn has_lapsed(&self, access: &Access, now: Instant) -> bool {
        let Asker::Caller(who) = self.asker else {
            return false;
        };
        let age = now.saturating_duration_since(self.since);
        age >= CALLERS_TOKEN_FOR || access.is_void(who, self.since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::AuthConfig;
    use crate::values::clock;

    #[test]
    fn a_callers_token_is_used_for_five_minutes_and_not_after_its_rights_ended() {
        let access = Access::new(&AuthConfig::default());
        let token = |user: &str| {
            let credential = Credential::basic(user, b"secret");
            AskingToken {
                asker: Asker::Caller(access.identify(credential.clone()).fingerprint()),
                credential,
                since: clock::now(),
            }
        };
        let operators = AskingToken {
            asker: Asker::Operator,
            ..token("operator")
        };
        let one = token("one");
        let other = token("other");
        let after = |seconds| one.since + Duration::from_secs(seconds);
        assert!(!one.has_lapsed(&access, after(299)));
        assert!(one.has_lapsed(&access, after(301)));

        access.turn_away(caller_of(&one), after(1));
        assert!(one.has_lapsed(&access, after(2)));
        assert!(!other.has_lapsed(&access, after(2)));
        access.revoke_all(after(3));
        assert!(other.has_lapsed(&access, after(4)));
        assert!(!operators.has_lapsed(&access, after(86_400)));
    }

    fn caller_of(token: &AskingToken) -> Fingerprint {
        match token.asker {
            Asker::Caller(who) => who,
            Asker::Operator => panic!("no caller's"),
        }
    }
}
