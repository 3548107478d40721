//! Offline there is no GitLab to ask: the operator's own words decide who gets its packages.
//!
//! A caller is let in that shows a user's password or a token, in whatever form a credential has. A password is verified
//! away from the async threads, a few at a time, because bcrypt is slow on purpose; what came of it is remembered by
//! fingerprint as long as a grant. Tokens are compared as keyed hashes, whose comparison tells nothing of them. Must not
//! know what is stored: who is turned away learns nothing of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use moka::sync::Cache;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::credential::Shown;
use super::keys::Keys;
use super::{Caller, Credential, Fingerprint, FingerprintKey};

/// Passwords verified at one time; each takes a core for a good part of a second.
const VERIFIED_AT_ONCE: usize = 2;

/// How long a caller waits for its turn to be verified.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);

/// A word that held when a request came holds for as long as it takes to answer it.
const SLACK: Duration = Duration::from_secs(60);

/// Why a caller does not get GitLab's packages offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DoorError {
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
struct Word {
    admitted: bool,
    until: Instant,
    /// The generation in which the judgement began.
    generation: u64,
}

pub(super) struct Door {
    open: bool,
    /// Whether there is anything that a caller could show.
    named: bool,
    users: Arc<HashMap<String, String>>,
    tokens: HashSet<Fingerprint>,
    known: Cache<Fingerprint, Word>,
    /// Moves when everything is forgotten: a judgement that is on its way just then is not remembered after it.
    generation: AtomicU64,
    lasts: Duration,
    turns: Semaphore,
}

impl Door {
    /// A word lasts as long as a grant; so many callers are remembered.
    pub(super) fn new(keys: Keys, key: &FingerprintKey, lasts: Duration, callers: u64) -> Self {
        let Keys {
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
        self.open
            || self
                .known
                .get(&who)
                .is_some_and(|word| word.admitted && self.is_current(&word))
    }

    /// Nobody was let in lately: each caller is judged again.
    pub(super) fn forget(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.known.invalidate_all();
    }

    fn is_current(&self, word: &Word) -> bool {
        word.generation == self.generation.load(Ordering::SeqCst)
    }

    /// Lets a caller in that shows what opens the door.
    pub(super) async fn let_in(
        &self,
        caller: &Caller,
        key: &FingerprintKey,
        now: Instant,
    ) -> Result<(), DoorError> {
        if self.open {
            return Ok(());
        }
        if !self.named {
            return Err(DoorError::Denied);
        }
        if caller.is_anonymous() {
            return Err(DoorError::Unknown);
        }
        let who = caller.fingerprint();
        let generation = self.generation.load(Ordering::SeqCst);
        if let Some(word) = self.word(who, now) {
            return judged(word);
        }
        let shown = caller.credential().shown();
        if shown
            .iter()
            .any(|shown| self.tokens.contains(&fingerprint(key, &shown.secret)))
        {
            return judged(self.remember(who, true, generation, now));
        }
        let mut admitted = false;
        for pair in shown
            .into_iter()
            .filter(|shown| shown.user.is_some() && !self.users.is_empty())
        {
            let turn = timeout(TURN_TIMEOUT, self.turns.acquire()).await;
            let Ok(Ok(_turn)) = turn else {
                return Err(DoorError::Busy);
            };
            // Whoever stood in line with the same credential has been judged meanwhile.
            if let Some(word) = self.word(who, now) {
                return judged(word);
            }
            let users = Arc::clone(&self.users);
            let verify = tokio::task::spawn_blocking(move || verifies(&users, &pair));
            admitted |= verify.await.unwrap_or(false);
        }
        judged(self.remember(who, admitted, generation, now))
    }

    fn word(&self, who: Fingerprint, now: Instant) -> Option<Word> {
        self.known
            .get(&who)
            .filter(|word| now < word.until && self.is_current(word))
    }

    fn remember(&self, who: Fingerprint, admitted: bool, generation: u64, now: Instant) -> Word {
        let word = Word {
            admitted,
            until: now + self.lasts,
            generation,
        };
        self.known.insert(who, word);
        word
    }
}

fn judged(word: Word) -> Result<(), DoorError> {
    if word.admitted {
        Ok(())
    } else {
        Err(DoorError::Unknown)
    }
}

/// A token's keyed hash, whatever form it was shown in.
fn fingerprint(key: &FingerprintKey, token: &[u8]) -> Fingerprint {
    key.fingerprint(&Credential::service(token))
}

/// Takes as long for a user that there is not, so that nobody learns who there is. Blocks.
fn verifies(users: &HashMap<String, String>, shown: &Shown) -> bool {
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

    struct House {
        door: Door,
        key: FingerprintKey,
    }

    impl House {
        fn new(keys: Keys) -> Self {
            let key = FingerprintKey::random();
            Self {
                door: Door::new(keys, &key, LASTS, 100),
                key,
            }
        }

        async fn ask(&self, credential: &Credential, now: Instant) -> Result<(), DoorError> {
            let caller = Caller::new(credential.clone(), self.key.fingerprint(credential));
            self.door.let_in(&caller, &self.key, now).await
        }
    }

    fn keys() -> Result<Keys, Box<dyn std::error::Error>> {
        let line = format!("ann:{}\n", bcrypt::hash("sesame", 4)?);
        Ok(Keys::new(OfflineRule::Deny)
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
        let house = House::new(keys()?);
        let now = clock::now();
        for good in [
            Credential::basic("ann", b"sesame"),
            Credential::basic("__token__", b"glpat-1"),
            header(AUTHORIZATION.as_str(), "bearer glpat-1"),
            header("private-token", "glpat-1"),
            header("deploy-token", "glpat-1"),
        ] {
            assert!(!house.door.knows(house.key.fingerprint(&good)));
            assert_eq!(house.ask(&good, now).await, Ok(()), "{good:?}");
            assert!(house.door.knows(house.key.fingerprint(&good)));
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
                house.ask(&bad, now).await,
                Err(DoorError::Unknown),
                "{bad:?}"
            );
            assert_eq!(
                house.ask(&bad, now).await,
                Err(DoorError::Unknown),
                "remembered: {bad:?}"
            );
            assert!(!house.door.knows(house.key.fingerprint(&bad)));
        }
        Ok(())
    }

    #[tokio::test]
    async fn a_word_is_remembered_as_long_as_a_grant() -> Checked {
        let house = House::new(keys()?);
        let (ann, now) = (Credential::basic("ann", b"sesame"), clock::now());
        let who = house.key.fingerprint(&ann);
        assert_eq!(house.ask(&ann, now).await, Ok(()));
        assert!(
            house
                .door
                .word(who, now + LASTS - Duration::from_secs(1))
                .is_some()
        );
        assert!(
            house.door.word(who, now + LASTS).is_none(),
            "verified again from then on"
        );
        assert_eq!(house.ask(&ann, now + LASTS).await, Ok(()));
        Ok(())
    }

    #[tokio::test]
    async fn a_judgement_that_began_before_all_was_forgotten_is_not_remembered() -> Checked {
        let house = House::new(keys()?);
        let (ann, now) = (Credential::basic("ann", b"sesame"), clock::now());
        let who = house.key.fingerprint(&ann);
        let begun = house.door.generation.load(Ordering::SeqCst);
        house.door.forget();
        house.door.remember(who, true, begun, now);
        assert!(!house.door.knows(who) && house.door.word(who, now).is_none());
        assert_eq!(house.ask(&ann, now).await, Ok(()));
        assert!(house.door.knows(who));
        Ok(())
    }

    #[tokio::test]
    async fn without_words_the_rule_alone_decides() {
        let (nobody, now) = (Credential::anonymous(), clock::now());
        let shut = House::new(Keys::new(OfflineRule::Deny));
        assert_eq!(shut.ask(&nobody, now).await, Err(DoorError::Denied));
        assert_eq!(
            shut.ask(&Credential::basic("ann", b"sesame"), now).await,
            Err(DoorError::Denied)
        );
        assert!(!shut.door.knows(shut.key.fingerprint(&nobody)));
        let open = House::new(Keys::new(OfflineRule::Open));
        assert_eq!(open.ask(&nobody, now).await, Ok(()));
        assert!(open.door.knows(open.key.fingerprint(&nobody)));
    }
}
