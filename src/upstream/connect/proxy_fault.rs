//! What a proxy did wrong, or what is wrong with it, in words without its address.
//!
//! Must not know which proxy it is.

use http::StatusCode;

use super::tls_fault::TlsFault;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyFault {
    Unreachable,
    Silent,
    /// The proxy itself is spoken to over TLS.
    Tls(TlsFault),
    /// 407.
    Credential,
    Refused(StatusCode),
    /// Its answer is not one.
    Garbled,
}

impl ProxyFault {
    /// `section` is the peer's in the configuration.
    pub fn words(self, section: &str) -> String {
        match self {
            Self::Unreachable => "cannot be reached".to_owned(),
            Self::Silent => "did not answer in time".to_owned(),
            Self::Tls(why) => format!("cannot be spoken to over TLS: {}", why.words(section)),
            Self::Credential => format!(
                "refused larder (407); check {section}.proxy_credential_file, or the user in the environment's variable"
            ),
            Self::Refused(status) => format!("answered {status}"),
            Self::Garbled => "did not answer as a proxy does".to_owned(),
        }
    }

    /// Whether another try may end better.
    pub fn may_pass(self) -> bool {
        match self {
            Self::Unreachable | Self::Silent | Self::Garbled => true,
            Self::Tls(_) | Self::Credential => false,
            Self::Refused(status) => status.is_server_error(),
        }
    }
}
