//! `[tls]`: where larder speaks TLS, and as whom.
//!
//! Owns the section. Must not know what the files hold.

use serde::{Deserialize, Serialize};

use super::super::address::Addresses;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Further addresses, whose clients speak TLS.
    pub listen: Addresses,
    /// Path of a PEM file: the certificate, then those that signed it. Empty: none.
    pub certificate: String,
    /// Path of a PEM file: the certificate's private key.
    pub key: String,
}

impl TlsConfig {
    pub fn has_certificate(&self) -> bool {
        !self.certificate.is_empty() && !self.key.is_empty()
    }
}
