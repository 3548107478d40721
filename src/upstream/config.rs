//! `[gitlab]`: where the upstream is and how long it is waited for.
//!
//! Owns the section and the checks that need no file. Must not know the other sections.

use serde::{Deserialize, Serialize};

use super::connect::transport_config::TransportConfig;
use crate::values::quantity::{Size, Span};

/// Defaults are GitLab's own hosted service, and waits just above what clients themselves allow for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GitLabConfig {
    /// Base URL, relative root included.
    pub url: String,
    /// Other bases that GitLab's own links may carry.
    pub external_urls: Vec<String>,
    /// Where signed file redirects may lead; empty means any https origin with a public address.
    pub object_storage_origins: Vec<String>,
    pub forward: Forward,
    /// Optional service credential; empty means each caller's own.
    pub token_file: String,
    /// Further trusted CA certificates, PEM.
    pub ca_file: String,
    /// SHA-256 of certificates, one of which it must show; empty: any that a trusted CA has signed.
    pub pin_sha256: Vec<String>,
    /// PEM files of a client certificate with its chain, and of its key. Shown to GitLab itself only.
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
    /// For GitLab to take the next piece of an upload, and to answer after the last one.
    pub upload_timeout: Span,
    /// Repeats of a read that failed before its answer; never of an upload.
    pub retries: u32,
    /// The longest `Retry-After` that is waited out; a longer one goes to the client.
    pub retry_after: Span,
    /// So many reads in a row that do not reach it, and it is left alone for a while; 0 goes on asking.
    pub breaker_failures: u32,
    /// The longest it is left alone before one read finds out whether it is well again.
    pub breaker_open_for: Span,
    /// Largest body of a refusal that is passed on.
    pub refusal_size: Size,
    /// Idle connections kept for reuse.
    pub idle_connections: usize,
}

impl Default for GitLabConfig {
    fn default() -> Self {
        Self {
            url: "https://gitlab.com".to_owned(),
            external_urls: Vec::new(),
            object_storage_origins: Vec::new(),
            forward: Forward::Pass,
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
            upload_timeout: Span::seconds(300),
            retries: 2,
            retry_after: Span::seconds(3),
            breaker_failures: 5,
            breaker_open_for: Span::seconds(30),
            refusal_size: Size::mebibytes(1),
            idle_connections: 32,
        }
    }
}

impl GitLabConfig {
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

/// What becomes of GitLab's redirect to a public index for a package it does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Forward {
    /// The client gets it, and may follow it.
    Pass,
    /// The client is told that there is no such package.
    Deny,
    /// The mirror of this name answers in its place.
    Mirror(String),
}

const PASS: &str = "pass";
const DENY: &str = "deny";

impl From<String> for Forward {
    fn from(text: String) -> Self {
        match text.as_str() {
            PASS => Self::Pass,
            DENY => Self::Deny,
            _ => Self::Mirror(text),
        }
    }
}

impl From<Forward> for String {
    fn from(forward: Forward) -> Self {
        match forward {
            Forward::Pass => PASS.to_owned(),
            Forward::Deny => DENY.to_owned(),
            Forward::Mirror(name) => name,
        }
    }
}

impl Forward {
    /// Whether a mirror of this name could not be told from another choice.
    pub fn is_taken(name: &str) -> bool {
        !matches!(Self::from(name.to_owned()), Self::Mirror(_))
    }
}
