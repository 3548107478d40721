//! The keys that `[gitlab]` and every `[mirrors.NAME]` share, with their defaults.
//!
//! A macro, because serde does not know a flattened struct's keys: with `flatten` an unknown key
//! would be no error, and a wrong value would be told without its key. Must not know what only one
//! of the sections has.

use super::breaker::BreakerLimits;
use super::peer_client::ClientLimits;

/// Declares a section: its own keys with their defaults, and after them the shared ones.
macro_rules! peer_section {
    (
        $(#[$about:meta])*
        pub struct $Section:ident {
            $($(#[$doc:meta])* pub $key:ident: $Value:ty = $default:expr,)*
        }
    ) => {
        $(#[$about])*
        #[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
        #[serde(deny_unknown_fields, default)]
        pub struct $Section {
            $($(#[$doc])* pub $key: $Value,)*
            /// Further trusted CA certificates, PEM.
            pub ca_file: String,
            /// SHA-256 of certificates, one of which it must show; empty: any that a trusted CA has
            /// signed.
            pub pin_sha256: Vec<String>,
            /// PEM files of a client certificate with its chain, and of its key. Shown to the
            /// peer's own origin only.
            pub client_certificate: String,
            pub client_key: String,
            /// Empty: as the environment says; "none", or a URL.
            pub proxy: String,
            /// A file with `user:password`, for `proxy`.
            pub proxy_credential_file: String,
            pub connect_timeout: Span,
            /// From the request to the answer's head.
            pub header_timeout: Span,
            /// Between two pieces of a body; there is no limit on the whole.
            pub idle_timeout: Span,
            /// Repeats of a read that failed before its answer; never of an upload.
            pub retries: u32,
            /// The longest `Retry-After` that is waited out; a longer one goes to the client.
            pub retry_after: Span,
            /// So many reads in a row that do not reach it, and it is left alone for a while; 0
            /// goes on asking.
            pub breaker_failures: u32,
            /// The longest it is left alone before one read finds out whether it is well again.
            pub breaker_open_for: Span,
            /// Idle connections kept for reuse.
            pub idle_connections: usize,
        }

        impl Default for $Section {
            fn default() -> Self {
                Self {
                    $($key: $default,)*
                    ca_file: String::new(),
                    pin_sha256: Vec::new(),
                    client_certificate: String::new(),
                    client_key: String::new(),
                    proxy: String::new(),
                    proxy_credential_file: String::new(),
                    connect_timeout: Span::seconds(5),
                    header_timeout: Span::seconds(30),
                    idle_timeout: Span::seconds(30),
                    retries: 2,
                    retry_after: Span::seconds(3),
                    breaker_failures: 5,
                    breaker_open_for: Span::seconds(30),
                    idle_connections: 64,
                }
            }
        }

        impl $Section {
            pub fn transport(&self) -> $crate::upstream::TransportConfig<'_> {
                $crate::upstream::TransportConfig {
                    ca_file: &self.ca_file,
                    pin_sha256: &self.pin_sha256,
                    client_certificate: &self.client_certificate,
                    client_key: &self.client_key,
                    proxy: &self.proxy,
                    proxy_credential_file: &self.proxy_credential_file,
                }
            }

            pub(super) fn limits(&self) -> $crate::upstream::peer_section::PeerLimits {
                let client = $crate::upstream::peer_client::ClientLimits {
                    connect: self.connect_timeout.0,
                    header: self.header_timeout.0,
                    idle: self.idle_timeout.0,
                    retry: $crate::upstream::retry::RetryPolicy {
                        retries: self.retries,
                        retry_after_max: self.retry_after.0,
                    },
                    idle_connections: self.idle_connections,
                };
                let breaker = $crate::upstream::breaker::BreakerLimits {
                    failures: self.breaker_failures,
                    open_for: self.breaker_open_for.0,
                    probe: client.probe(),
                };
                $crate::upstream::peer_section::PeerLimits { client, breaker }
            }
        }
    };
}

pub(super) use peer_section;

/// What a section says of waits and failures.
pub(super) struct PeerLimits {
    pub client: ClientLimits,
    pub breaker: BreakerLimits,
}
