//! `[gitlab]`: where the upstream is and how long it is waited for.
//!
//! Owns the section and the checks that need no file. Must not know the other sections.

use serde::{Deserialize, Serialize};

use super::peer::PUBLIC_INDEX;
use super::peer_section::peer_section;
use crate::registry::policy::Undated;
use crate::values::quantity::{Size, Span};

peer_section! {
    /// Defaults are GitLab's own hosted service, and waits just above what clients themselves allow
    /// for.
    pub struct GitLabConfig {
        /// Base URL, relative root included.
        pub url: String = "https://gitlab.com".to_owned(),
        /// Other bases that GitLab's own links may carry.
        pub external_urls: Vec<String> = Vec::new(),
        /// Where signed file redirects may lead; empty means any https origin with a public
        /// address.
        pub object_storage_origins: Vec<String> = Vec::new(),
        /// Whether GitLab is asked at the start if it is one.
        pub check_at_start: bool = true,
        pub forward: Forward = Forward::Follow,
        /// Whether its 404 "Package Not Found" counts as that redirect, which it does not send if
        /// its own forwarding is off.
        pub forward_not_found: bool = false,
        /// Where that redirect, and the files of the index it leads to, may be; empty means any
        /// https origin with a public address.
        pub forward_origins: Vec<String> = Vec::new(),
        /// Optional service credential; empty means each caller's own.
        pub token_file: String = String::new(),
        /// Shown to the packages API alone, where a caller's own is told no upload dates.
        pub dates_token_file: String = String::new(),
        /// Files younger than this are left out of GitLab's pages and refused; so are those of the
        /// index that its redirects lead to.
        pub min_age: Span = Span::seconds(0),
        /// What becomes of a file whose upload date is not known, where there is a minimum age.
        pub undated: Undated = Undated::Hide,
        /// For GitLab to take the next piece of an upload, and to answer after the last one.
        pub upload_timeout: Span = Span::seconds(300),
        /// Largest body of a refusal that is passed on.
        pub refusal_size: Size = Size::mebibytes(1),
    }
}

/// What becomes of GitLab's redirect to a public index for a package it does not have.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Forward {
    /// larder fetches the page from where it leads, and gives it in place.
    Follow,
    /// The client gets it, and may follow it.
    Pass,
    /// The client is told that there is no such package.
    Deny,
    /// The mirror of this name answers in its place.
    Mirror(String),
}

const FOLLOW: &str = "follow";
const PASS: &str = "pass";
const DENY: &str = "deny";

impl From<String> for Forward {
    fn from(text: String) -> Self {
        match text.as_str() {
            FOLLOW => Self::Follow,
            PASS => Self::Pass,
            DENY => Self::Deny,
            _ => Self::Mirror(text),
        }
    }
}

impl From<Forward> for String {
    fn from(forward: Forward) -> Self {
        match forward {
            Forward::Follow => FOLLOW.to_owned(),
            Forward::Pass => PASS.to_owned(),
            Forward::Deny => DENY.to_owned(),
            Forward::Mirror(name) => name,
        }
    }
}

impl Forward {
    /// Whether a mirror of this name could not be told from another choice, or from the index that
    /// GitLab points to.
    pub fn is_taken(name: &str) -> bool {
        name == PUBLIC_INDEX || !matches!(Self::from(name.to_owned()), Self::Mirror(_))
    }
}
