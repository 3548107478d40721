//! `[import]`: what a bundle must show.
//!
//! Owns the section. Must not know how signatures are checked.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImportConfig {
    /// A file of keys as `ssh-keygen` reads it (ALLOWED SIGNERS), for the principal `larder`.
    /// Empty: no signature is asked for.
    pub allowed_signers: String,
}
