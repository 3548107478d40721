//! `[tls]`: where larder speaks TLS, and as whom.
//!
//! Owns the section. Must not know what the files hold.

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use serde::{Deserialize, Serialize};

use crate::server::Addresses;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Further addresses, whose clients speak TLS.
    pub listen: Addresses,
    /// Path of a PEM file: the certificate, then those that signed it. Empty: none.
    pub certificate: String,
    /// Path of a PEM file: the certificate's private key.
    pub key: String,
    /// Older versions of TLS are not spoken.
    pub min_version: MinVersion,
}

/// The oldest version of TLS that is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum MinVersion {
    #[default]
    #[serde(rename = "1.2")]
    Tls12,
    #[serde(rename = "1.3")]
    Tls13,
}

static FROM_1_2: &[&SupportedProtocolVersion] = &[&TLS13, &TLS12];
static FROM_1_3: &[&SupportedProtocolVersion] = &[&TLS13];

impl MinVersion {
    pub(super) fn and_newer(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::Tls12 => FROM_1_2,
            Self::Tls13 => FROM_1_3,
        }
    }
}

impl TlsConfig {
    pub fn has_certificate(&self) -> bool {
        !self.certificate.is_empty() && !self.key.is_empty()
    }
}
