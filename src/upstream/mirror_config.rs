//! `[mirrors.NAME]`: any PEP 503 or PEP 691 index beside GitLab.
//!
//! Owns the section; what of it is about pages and files is read by those who own them. Must not
//! know the other sections.

use serde::{Deserialize, Serialize};

use super::peer_section::peer_section;
use crate::registry::policy::Undated;
use crate::values::quantity::Span;

peer_section! {
    /// There is no default for `url`; everything else may stay as it is. Waits are GitLab's.
    pub struct MirrorConfig {
        /// The list of projects.
        pub url: String = String::new(),
        /// URL prefixes that its files may come from; empty means the folder that holds the index,
        /// its origin, and the hosts that its own pages name for files with a sha256, at public
        /// addresses.
        pub file_urls: Vec<String> = Vec::new(),
        /// Further origins that its redirects may lead to.
        pub redirects: Vec<String> = Vec::new(),
        /// A page younger than this is answered without asking.
        pub ttl: Span = Span::seconds(600),
        /// Files younger than this, by the index's own word, are left out and refused.
        pub min_age: Span = Span::seconds(0),
        /// What becomes of a file that the index tells no date of, where there is a minimum age.
        pub undated: Undated = Undated::Hide,
        /// `groups/ID` or `projects/ID`: only callers whom GitLab lets read it are given anything.
        pub audience: String = String::new(),
        pub unhashed_files: UnhashedFiles = UnhashedFiles::Relay,
        /// With it `token_file` is a Basic password, without it a Bearer token.
        pub username: String = String::new(),
        /// Optional; sent to the index's own origin only.
        pub token_file: String = String::new(),
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
