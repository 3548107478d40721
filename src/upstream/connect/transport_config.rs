//! The keys that say how a peer is reached, the same in `[gitlab]` and in `[mirrors.NAME]`.
//!
//! Owns the checks that need no file. Must not know the sections they stand in.

use super::proxy::Proxies;
use crate::values::digest::Digest;

/// Borrowed from a section.
#[derive(Clone, Copy, Debug)]
pub struct TransportConfig<'a> {
    /// Further trusted CA certificates, PEM; empty: none.
    pub ca_file: &'a str,
    /// SHA-256 of certificates, one of which the peer must show; empty: any that a trusted CA has
    /// signed.
    pub pin_sha256: &'a [String],
    /// PEM files of a client certificate with its chain, and of its key; empty: none.
    pub client_certificate: &'a str,
    pub client_key: &'a str,
    /// Empty: as the environment says; "none", or a URL.
    pub proxy: &'a str,
    /// A file with `user:password`; empty: none.
    pub proxy_credential_file: &'a str,
}

impl TransportConfig<'_> {
    /// That of a peer that is never asked: nothing of it is opened or looked at.
    pub const UNUSED: TransportConfig<'static> = TransportConfig {
        ca_file: "",
        pin_sha256: &[],
        client_certificate: "",
        client_key: "",
        proxy: "none",
        proxy_credential_file: "",
    };

    /// What is wrong, each with its key.
    pub fn faults(&self) -> Vec<(&'static str, String)> {
        let mut faults = Vec::new();
        if let Err(text) = pins(self.pin_sha256) {
            let why = "is not the SHA-256 of a certificate: 64 hex digits, with or without colons";
            faults.push(("pin_sha256", format!("\"{text}\" {why}")));
        }
        match (
            self.client_certificate.is_empty(),
            self.client_key.is_empty(),
        ) {
            (false, true) => {
                faults.push(("client_certificate", "set without client_key".to_owned()))
            }
            (true, false) => {
                faults.push(("client_key", "set without client_certificate".to_owned()))
            }
            _ => {}
        }
        if let Some(why) = Proxies::fault(self.proxy) {
            faults.push(("proxy", why));
        }
        if !self.proxy_credential_file.is_empty() && !Proxies::is_named(self.proxy) {
            let why = "set without proxy, the one it is for; a proxy of the environment has its own in its URL";
            faults.push(("proxy_credential_file", why.to_owned()));
        }
        faults
    }
}

/// # Errors
/// The text that is no SHA-256.
pub fn pins(texts: &[String]) -> Result<Vec<Digest>, String> {
    let pin = |text: &String| Digest::parse(&text.replace(':', "")).ok_or_else(|| text.clone());
    texts.iter().map(pin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(config: TransportConfig<'_>) -> Vec<&'static str> {
        config.faults().into_iter().map(|(key, _)| key).collect()
    }

    #[test]
    fn halves_and_nonsense_are_faults() {
        let none = TransportConfig {
            proxy: "",
            ..TransportConfig::UNUSED
        };
        assert_eq!(keys(none), [""; 0]);
        assert_eq!(
            keys(TransportConfig {
                client_key: "k",
                ..none
            }),
            ["client_key"]
        );
        assert_eq!(
            keys(TransportConfig {
                client_certificate: "c",
                ..none
            }),
            ["client_certificate"]
        );
        assert_eq!(
            keys(TransportConfig {
                client_certificate: "c",
                client_key: "k",
                ..none
            }),
            [""; 0]
        );
        assert_eq!(
            keys(TransportConfig {
                proxy: "http://a:b@p:1",
                ..none
            }),
            ["proxy"]
        );
        assert_eq!(
            keys(TransportConfig {
                proxy_credential_file: "f",
                ..none
            }),
            ["proxy_credential_file"]
        );
        let named = TransportConfig {
            proxy: "http://p:1",
            proxy_credential_file: "f",
            ..none
        };
        assert_eq!(keys(named), [""; 0]);
        let good = [format!("{}AB", "ab:".repeat(31)), "0".repeat(64)];
        assert_eq!(
            keys(TransportConfig {
                pin_sha256: &good,
                ..none
            }),
            [""; 0]
        );
        let bad = ["0".repeat(63)];
        assert_eq!(
            keys(TransportConfig {
                pin_sha256: &bad,
                ..none
            }),
            ["pin_sha256"]
        );
    }
}
