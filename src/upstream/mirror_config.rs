//! `[mirrors.NAME]`: any PEP 503 or PEP 691 index beside GitLab.
//!
//! Owns the section; what of it is about pages and files is read by those who own them. Must not know the other sections.

use serde::{Deserialize, Serialize};

use super::connect::transport_config::TransportConfig;
use crate::values::quantity::Span;

/// There is no default for `url`; everything else may stay as it is. Waits are GitLab's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MirrorConfig {
    /// The list of projects.
    pub url: String,
    /// URL prefixes that its files may come from; empty means the folder that holds the index, and then its origin.
    pub file_urls: Vec<String>,
    /// Further origins that its redirects may lead to.
    pub redirects: Vec<String>,
    /// A page younger than this is answered without asking.
    pub ttl: Span,
    /// Files younger than this, by the index's own word, are left out and refused.
    pub min_age: Span,
    pub unhashed_files: UnhashedFiles,
    /// With it `token_file` is a Basic password, without it a Bearer token.
    pub username: String,
    /// Optional; sent to the index's own origin only.
    pub token_file: String,
    /// Further trusted CA certificates, PEM.
    pub ca_file: String,
    /// SHA-256 of certificates, one of which it must show; empty: any that a trusted CA has signed.
    pub pin_sha256: Vec<String>,
    /// PEM files of a client certificate with its chain, and of its key. Shown to the index's own origin only.
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
    /// Repeats of a read that failed before its answer.
    pub retries: u32,
    /// The longest `Retry-After` that is waited out; a longer one goes to the client.
    pub retry_after: Span,
    /// So many reads in a row that do not reach it, and it is left alone for a while; 0 goes on asking.
    pub breaker_failures: u32,
    /// The longest it is left alone before one read finds out whether it is well again.
    pub breaker_open_for: Span,
    /// Idle connections kept for reuse.
    pub idle_connections: usize,
}

impl Default for MirrorConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            file_urls: Vec::new(),
            redirects: Vec::new(),
            ttl: Span::seconds(600),
            min_age: Span::seconds(0),
            unhashed_files: UnhashedFiles::Relay,
            username: String::new(),
            token_file: String::new(),
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
            idle_connections: 32,
        }
    }
}

impl MirrorConfig {
    pub fn transport(&self) -> TransportConfig<'_> {
        TransportConfig {
            ca_file: &self.ca_file,
            pin_sha256: &self.pin_sha256,
            client_certificate: &self.client_certificate,
            client_key: &self.client_key,
            proxy: &self.proxy,
            proxy_credential_file: &self.proxy_credential_file,
        }
    }
}

/// What becomes of a file that the index lists without a sha256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnhashedFiles {
    /// It passes through, and is kept nowhere: there is nothing to check it by.
    Relay,
    /// It is kept under the sha256 that it turned out to have.
    Store,
}
