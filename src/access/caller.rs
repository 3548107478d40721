//! One caller of larder: what it showed, and how it is known.
//!
//! Made once for each request, by [`Access::caller`](super::Access::caller). Must not know which
//! credential GitLab takes.

use super::{Credential, Fingerprint};

/// The credential that goes upstream in a caller's name, with its fingerprint, which is the key of
/// the caller's rights.
#[derive(Clone, Debug)]
pub struct Caller {
    credential: Credential,
    fingerprint: Fingerprint,
}

impl Caller {
    pub(super) fn new(credential: Credential, fingerprint: Fingerprint) -> Self {
        Self {
            credential,
            fingerprint,
        }
    }

    /// The caller that shows no credential.
    pub fn anonymous() -> Self {
        Self::new(Credential::anonymous(), Fingerprint::ANONYMOUS)
    }

    /// This caller without its credential: a mirror is asked in the caller's turn, and is not shown
    /// what is meant for GitLab.
    #[must_use]
    pub fn anonymously(&self) -> Self {
        Self::new(Credential::anonymous(), self.fingerprint)
    }

    pub fn credential(&self) -> &Credential {
        &self.credential
    }

    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub fn is_anonymous(&self) -> bool {
        self.credential.is_anonymous()
    }
}
