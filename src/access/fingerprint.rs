//! The only trace a credential leaves in larder: a keyed hash that is worthless outside this
//! process.
//!
//! HMAC-SHA-256 (RFC 2104) under a key drawn at start, so that neither a memory dump of keys nor a
//! log line could be tried against a list of tokens after a restart. Must not know the forms of
//! credentials.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use rand::Rng;
use sha2::Sha256;

use super::Credential;

/// Who is asking, as far as larder can tell callers apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 16]);

impl Fingerprint {
    /// Of the caller that shows no credential, under every key.
    pub(super) const ANONYMOUS: Self = Self([0; 16]);
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("fingerprint")
    }
}

/// The process's own key.
pub struct FingerprintKey(Hmac<Sha256>);

impl FingerprintKey {
    pub fn random() -> Self {
        let mut key = [0; 64];
        rand::rng().fill_bytes(&mut key);
        Self(Hmac::new(&key.into()))
    }

    /// Each field goes in with its length, so that no two credentials can read the same.
    pub fn fingerprint(&self, credential: &Credential) -> Fingerprint {
        if credential.is_anonymous() {
            return Fingerprint::ANONYMOUS;
        }
        let mut mac = self.0.clone();
        for (name, secret) in credential.fields() {
            for part in [name.as_str().as_bytes(), secret.expose()] {
                mac.update(&(part.len() as u64).to_le_bytes());
                mac.update(part);
            }
        }
        let full: [u8; 32] = mac.finalize().into_bytes().into();
        let mut half = [0; 16];
        half.copy_from_slice(&full[..16]);
        Fingerprint(half)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::HeaderValue;

    use super::*;

    fn bearer(token: &'static str) -> Credential {
        let mut headers = HeaderMap::new();
        headers.insert("private-token", HeaderValue::from_static(token));
        Credential::read(&headers).unwrap_or_default()
    }

    #[test]
    fn callers_are_told_apart_and_recognised() {
        let key = FingerprintKey::random();
        assert_eq!(key.fingerprint(&bearer("a")), key.fingerprint(&bearer("a")));
        assert_ne!(key.fingerprint(&bearer("a")), key.fingerprint(&bearer("b")));
        assert_ne!(
            key.fingerprint(&bearer("a")),
            key.fingerprint(&Credential::default())
        );
        assert_ne!(
            key.fingerprint(&bearer("a")),
            FingerprintKey::random().fingerprint(&bearer("a"))
        );
    }
}
