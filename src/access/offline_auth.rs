//! Offline there is no GitLab to ask: the operator's files decide which callers get its packages.
//!
//! A caller is let in that shows a user's password or a token, in whatever form a credential has. A
//! password is verified away from the async threads, a few at a time, because bcrypt is slow on
//! purpose; what came of it is remembered by fingerprint as long as a grant. Tokens are compared as
//! keyed hashes, whose comparison tells nothing of them. Must not know what is stored: a caller
//! that is turned away learns nothing of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moka::sync::Cache;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::credential::ShownSecret;
use super::keys::OfflineKeys;
use super::{Caller, Credential, Fingerprint, FingerprintKey};

use crate::values::correlation;

/// Passwords verified at one time; each takes a core for a good part of a second.
const VERIFIED_AT_ONCE: usize = 2;

/// How long a caller waits for its turn to be verified.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// A decision that held when a request came holds for as long as it takes to answer it.
const SLACK: Duration = Duration::from_secs(60);

/// Why a caller does not get GitLab's packages offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OfflineAuthError {
    #[error(
        "larder is offline and cannot ask GitLab who may have this: set auth.offline_users or auth.offline_tokens, or auth.offline = \"open\""
    )]
    Denied,
    #[error(
        "larder is offline: show a user of auth.offline_users or a token of auth.offline_tokens"
    )]
    Unknown,
    #[error("too many passwords are waiting to be verified")]
    Busy,
}

#[derive(Clone, Copy, Debug)]
struct OfflineDecision {
    admitted: bool,
    until: Instant,
    /// The generation in which the judgement began.
    generation: u64,
}

impl OfflineDecision {
    fn outcome(self) -> Result<(), OfflineAuthError> {
        if self.admitted {
            Ok(())
        } else {
            Err(OfflineAuthError::Unknown)
        }
    }
}

pub(super) struct OfflineAuth {
    open: bool,
    /// Whether there is anything that a caller could show.
    named: bool,
    users: Arc<HashMap<String, String>>,
    tokens: HashSet<Fingerprint>,
    known: Cache<Fingerprint, OfflineDecision>,
    /// Moves when everything is forgotten: a judgement that is on its way just then is not
    /// remembered after it.
    generation: AtomicU64,
    lasts: Duration,
    turns: Semaphore,
}

impl OfflineAuth {
    /// A decision lasts as long as a grant; so many callers are remembered.
    pub(super) fn new(
        keys: OfflineKeys,
        key: &FingerprintKey,
        lasts: Duration,
        callers: u64,
    ) -> Self {
        let OfflineKeys {
            open,
            named,
            users,
            tokens,
        } = keys;
        let tokens = tokens
            .iter()
            .map(|token| fingerprint(key, token.expose()))
            .collect();
        let known = Cache::builder()
            .max_capacity(callers)
            .time_to_live(lasts + SLACK)
            .build();
        Self {
            open,
            named,
            users: Arc::new(users),
            tokens,
            known,
            generation: AtomicU64::new(0),
            lasts,
            turns: Semaphore::new(VERIFIED_AT_ONCE),
        }
    }

    /// Whether this caller was let in lately.
    pub(super) fn knows(&self, who: Fingerprint) -> bool {
        if self.open {
            return true;
        }
        match self.known.get(&who) {
            Some(decision) => decision.admitted && self.is_current(&decision),
            None => false,
        }
    }

    /// Forgets every decision: each caller is judged again.
    pub(super) fn forget(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.known.invalidate_all();
    }

    fn is_current(&self, decision: &OfflineDecision) -> bool {
        decision.generation == self.generation.load(Ordering::SeqCst)
    }

    /// Lets a caller in that shows a password or a token of the operator's files.
    pub(super) async fn check(
        &self,
        caller: &Caller,
        key: &FingerprintKey,
        now: Instant,
    ) -> Result<(), OfflineAuthError> {
        if self.open {
            return Ok(());
        }
        if !self.named {
            return Err(OfflineAuthError::Denied);
        }
        if caller.is_anonymous() {
            return Err(OfflineAuthError::Unknown);
        }
        let who = caller.fingerprint();
        let generation = self.generation.load(Ordering::SeqCst);
        if let Some(decision) = self.decision(who, now) {
            return decision.outcome();
        }
        let shown = caller.credential().shown();
        for secret in &shown {
            if self.tokens.contains(&fingerprint(key, &secret.secret)) {
                return self.remember(who, true, generation, now).outcome();
            }
        }
        let mut admitted = false;
        for pair in shown {
            if pair.user.is_none() || self.users.is_empty() {
                continue;
            }
            let turn = timeout(TURN_TIMEOUT, self.turns.acquire()).await;
            let Ok(Ok(_turn)) = turn else {
                return Err(OfflineAuthError::Busy);
            };
            // A caller with the same credential may have been judged meanwhile.
            if let Some(decision) = self.decision(who, now) {
                return decision.outcome();
            }
            let users = Arc::clone(&self.users);
            let verify = correlation::spawn_blocking(move || verifies(&users, &pair));
            admitted |= verify.await.unwrap_or(false);
        }
        self.remember(who, admitted, generation, now).outcome()
    }

    fn decision(&self, who: Fingerprint, now: Instant) -> Option<OfflineDecision> {
        let decision = self.known.get(&who)?;
        if now < decision.until && self.is_current(&decision) {
            Some(decision)
        } else {
            None
        }
    }

    fn remember(
        &self,
        who: Fingerprint,
        admitted: bool,
        generation: u64,
        now: Instant,
    ) -> OfflineDecision {
        let decision = OfflineDecision {
            admitted,
            until: now + self.lasts,
            generation,
        };
        self.known.insert(who, decision);
        decision
    }
}

/// A token's keyed hash, whatever form it was shown in.
fn fingerprint(key: &FingerprintKey, token: &[u8]) -> Fingerprint {
    key.fingerprint(&Credential::service(token))
}

/// Takes as long for a user that there is not, so that a stranger does not learn which users there
/// are. Blocks.
fn verifies(users: &HashMap<String, String>, shown: &ShownSecret) -> bool {
    let known = shown.user.as_ref().and_then(|user| users.get(user));
    let Some(hash) = known.or_else(|| users.values().next()) else {
        return false;
    };
    let agrees = bcrypt::verify(shown.secret.as_slice(), hash).unwrap_or(false);
    agrees && known.is_some()
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::{AUTHORIZATION, HeaderValue};

    use super::*;
    use crate::access::OfflineRule;
    use crate::values::clock;

    type Checked = Result<(), Box<dyn std::error::Error>>;

    const LASTS: Duration = Duration::from_secs(60);

    struct Callers {
        auth: OfflineAuth,
        key: FingerprintKey,
    }

    impl Callers {
        fn new(keys: OfflineKeys) -> Self {
            let key = FingerprintKey::random();
            Self {
                auth: OfflineAuth::new(keys, &key, LASTS, 100),
                key,
            }
        }

        async fn ask(&self, credential: &Credential, now: Instant) -> Result<(), OfflineAuthError> {
            let caller = Caller::new(credential.clone(), self.key.fingerprint(credential));
            self.auth.check(&caller, &self.key, now).await
        }
    }

    fn keys() -> Result<OfflineKeys, Box<dyn std::error::Error>> {
        let line = format!("ann:{}\n", bcrypt::hash("sesame", 4)?);
        Ok(OfflineKeys::new(OfflineRule::Deny)
            .with_users(line.as_bytes())?
            .with_tokens(b"glpat-1\n")?)
    }

    fn header(name: &'static str, value: &'static str) -> Credential {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        Credential::read(&headers).unwrap_or_default()
    }

    #[tokio::test]
    async fn a_user_or_a_token_in_any_form_is_let_in_and_nobody_else() -> Checked {
        let callers = Callers::new(keys()?);
        let now = clock::now();
        for good in [
            Credential::basic("ann", b"sesame"),
            Credential::basic("__token__", b"glpat-1"),
            header(AUTHORIZATION.as_str(), "bearer glpat-1"),
            header("private-token", "glpat-1"),
            header("deploy-token", "glpat-1"),
        ] {
            assert!(!callers.auth.knows(callers.key.fingerprint(&good)));
            assert_eq!(callers.ask(&good, now).await, Ok(()), "{good:?}");
            assert!(callers.auth.knows(callers.key.fingerprint(&good)));
        }
        for bad in [
            Credential::anonymous(),
            Credential::basic("ann", b"Sesame"),
            Credential::basic("bob", b"sesame"),
            Credential::basic("glpat-1", b""),
            header("private-token", "sesame"),
            header("private-token", "glpat-2"),
            header(AUTHORIZATION.as_str(), "Basic ???"),
            header(AUTHORIZATION.as_str(), "Digest glpat-1"),
        ] {
            assert_eq!(
                callers.ask(&bad, now).await,
                Err(OfflineAuthError::Unknown),
                "{bad:?}"
            );
            assert_eq!(
                callers.ask(&bad, now).await,
                Err(OfflineAuthError::Unknown),
                "remembered: {bad:?}"
            );
            assert!(!callers.auth.knows(callers.key.fingerprint(&bad)));
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_word_is_remembered_as_long_as_a_grant() -> Checked {
        let callers = Callers::new(keys()?);
        let ann = Credential::basic("ann", b"sesame");
        let now = clock::now();
        let who = callers.key.fingerprint(&ann);
        assert_eq!(callers.ask(&ann, now).await, Ok(()));
        assert!(
            callers
                .auth
                .decision(who, now + LASTS - Duration::from_secs(1))
                .is_some()
        );
        assert!(
            callers.auth.decision(who, now + LASTS).is_none(),
            "verified again from then on"
        );
        assert_eq!(callers.ask(&ann, now + LASTS).await, Ok(()));
        Ok(())
    }

    #[tokio::test]
    async fn a_judgement_that_began_before_all_was_forgotten_is_not_remembered() -> Checked {
        let callers = Callers::new(keys()?);
        let ann = Credential::basic("ann", b"sesame");
        let now = clock::now();
        let who = callers.key.fingerprint(&ann);
        let begun = callers.auth.generation.load(Ordering::SeqCst);
        callers.auth.forget();
        callers.auth.remember(who, true, begun, now);
        assert!(!callers.auth.knows(who) && callers.auth.decision(who, now).is_none());
        assert_eq!(callers.ask(&ann, now).await, Ok(()));
        assert!(callers.auth.knows(who));
        Ok(())
    }

    #[tokio::test]
    async fn without_words_the_rule_alone_decides() {
        let anonymous = Credential::anonymous();
        let now = clock::now();
        let shut = Callers::new(OfflineKeys::new(OfflineRule::Deny));
        assert_eq!(
            shut.ask(&anonymous, now).await,
            Err(OfflineAuthError::Denied)
        );
        assert_eq!(
            shut.ask(&Credential::basic("ann", b"sesame"), now).await,
            Err(OfflineAuthError::Denied)
        );
        assert!(!shut.auth.knows(shut.key.fingerprint(&anonymous)));
        let open = Callers::new(OfflineKeys::new(OfflineRule::Open));
        assert_eq!(open.ask(&anonymous, now).await, Ok(()));
        assert!(open.auth.knows(open.key.fingerprint(&anonymous)));
    }
}
