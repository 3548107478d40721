//! Why there is no TLS with a peer, in words that say what to set.
//!
//! Pure: from the library's errors to a name for each, without addresses. Must not know who the
//! peer is but for the section of the configuration that is named.

use std::error::Error;

use rustls::{AlertDescription, CertificateError};

use crate::values::error_chain;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFault {
    UnknownAuthority,
    /// Self-signed, and marked as a CA's own.
    AuthorityAsServer,
    Expired,
    NotYetValid,
    OtherName,
    Unpinned,
    TooOld,
    /// What it sent is no TLS at all.
    NotTls,
    WantsCertificate,
    RefusesCertificate,
    Other,
}

impl TlsFault {
    /// The TLS error among the causes of an error, if there is one.
    pub fn within(error: &(dyn Error + 'static)) -> Option<Self> {
        error_chain::find(error).map(Self::of)
    }

    fn of(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(why) => Self::of_certificate(why),
            rustls::Error::PeerIncompatible(_) => Self::TooOld,
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            rustls::Error::AlertReceived(alert) => match alert {
                AlertDescription::ProtocolVersion | AlertDescription::InsufficientSecurity => {
                    Self::TooOld
                }
                AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
                    Self::WantsCertificate
                }
                AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied => Self::RefusesCertificate,
                _ => Self::Other,
            },
            _ => Self::Other,
        }
    }

    fn of_certificate(why: &CertificateError) -> Self {
        match why {
            CertificateError::UnknownIssuer => Self::UnknownAuthority,
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => Self::Expired,
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                Self::OtherName
            }
            CertificateError::ApplicationVerificationFailure => Self::Unpinned,
            // The library has no type for it that could be named here.
            CertificateError::Other(why) if format!("{why:?}").contains("CaUsedAsEndEntity") => {
                Self::AuthorityAsServer
            }
            _ => Self::Other,
        }
    }

    /// What is wrong, and what to set; `section` is the peer's in the configuration.
    pub fn words(self, section: &str) -> String {
        match self {
            Self::UnknownAuthority => {
                format!(
                    "its certificate is of no CA that is trusted here; name that CA's in {section}.ca_file"
                )
            }
            Self::AuthorityAsServer => format!(
                "its certificate is marked as a CA's own; give it one that is not, or put its SHA-256 into {section}.pin_sha256"
            ),
            Self::Expired => "its certificate has expired".to_owned(),
            Self::NotYetValid => {
                "its certificate is not valid yet; is this machine's clock right?".to_owned()
            }
            Self::OtherName => {
                format!(
                    "its certificate is not for the name or address it was asked by; check {section}.url"
                )
            }
            Self::Unpinned => {
                format!("its certificate is none of {section}.pin_sha256; the log has its SHA-256")
            }
            Self::TooOld => "it speaks neither TLS 1.2 nor 1.3".to_owned(),
            Self::NotTls => {
                format!("what it speaks there is no TLS; check scheme and port of {section}.url")
            }
            Self::WantsCertificate => {
                format!(
                    "it wants a client certificate; set {section}.client_certificate and client_key"
                )
            }
            Self::RefusesCertificate => {
                format!("it refused the client certificate; check {section}.client_certificate")
            }
            Self::Other => "the handshake failed; the log says why".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn faults_are_found_however_deep_they_lie() {
        let fault = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let deep = io::Error::other(io::Error::other(fault()));
        assert_eq!(TlsFault::within(&deep), Some(TlsFault::UnknownAuthority));
        assert_eq!(TlsFault::within(&fault()), Some(TlsFault::UnknownAuthority));
        assert_eq!(TlsFault::within(&io::Error::other("refused")), None);
    }

    #[test]
    fn every_fault_says_what_to_do() {
        for (error, part) in [
            (
                rustls::Error::AlertReceived(AlertDescription::ProtocolVersion),
                "TLS 1.2",
            ),
            (
                rustls::Error::AlertReceived(AlertDescription::CertificateRequired),
                "mirrors.x.client_certificate",
            ),
            (
                rustls::Error::AlertReceived(AlertDescription::UnknownCA),
                "mirrors.x.client_certificate",
            ),
            (
                rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer),
                "mirrors.x.ca_file",
            ),
            (
                rustls::Error::InvalidCertificate(CertificateError::NotValidYet),
                "clock",
            ),
            (rustls::Error::HandshakeNotComplete, "log"),
        ] {
            let words = TlsFault::of(&error).words("mirrors.x");
            assert!(words.contains(part), "{error}: {words}");
        }
    }
}
