//! One entry of a page, whatever its format: a file of a project, or a project of an index.
//!
//! Owns what may be known of an entry (PEP 503, 592, 658, 691, 700, 714, 740) and what a caller may
//! decide about it. Must not know how an entry is written.

use std::borrow::Cow;
use std::time::SystemTime;

use url::Url;

use super::facts::PageFacts;
use super::hashes::Hashes;
use super::name::ProjectName;
use crate::values::digest::Digest;

/// What a page is a list of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageSubject {
    /// All projects.
    Index,
    /// The files of one project.
    Project(ProjectName),
}

/// One link of a page. Facts beyond the link itself are read on project pages only.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Resolved, without fragment.
    pub url: &'a Url,
    /// The file's name, or the project's as it is written.
    pub name: Cow<'a, str>,
    /// Of the link, without its `#`, decoded.
    pub fragment: Option<&'a str>,
    pub sha256: Option<Digest>,
    pub core_metadata: Option<CoreMetadata>,
    /// `None` also when the date cannot be read.
    pub upload_time: Option<SystemTime>,
    pub size: Option<u64>,
    /// Never empty.
    pub requires_python: Option<Cow<'a, str>>,
    /// The reason, which may be empty, of a yanked file.
    pub yanked: Option<Cow<'a, str>>,
    pub(super) more: Details<'a>,
}

/// What only a renderer needs.
#[derive(Debug, Default)]
pub struct Details<'a> {
    pub hashes: Hashes,
    /// Of the metadata, where the page gives them.
    pub metadata_hashes: Hashes,
    /// As written; there only when it could be read.
    pub upload_time: Option<Cow<'a, str>>,
    pub gpg_sig: Option<bool>,
    pub provenance: Option<Cow<'a, str>>,
}

/// The index offers the file's metadata by itself, as `….metadata`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CoreMetadata {
    /// Without a sha256 of it.
    Present,
    Sha256(Digest),
}

/// What becomes of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It leads where it led: an absolute address stays as written, any other becomes absolute.
    Keep,
    Replace(Replacement),
    /// The page is served without it.
    Drop,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Replacement {
    /// Without fragment, not escaped.
    pub address: String,
    /// Whether [`super::annotate`] may later add metadata here. Only for an entry that has no
    /// [`Entry::core_metadata`].
    pub markable: bool,
    /// What the page does not say of the file and is known otherwise. HTML has no place for it.
    pub facts: FileFacts,
}

/// What an index may know of a file beside its page (PEP 700).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileFacts {
    pub size: Option<u64>,
    pub upload_time: Option<SystemTime>,
}

/// Entries that no reader can use, and that a page is served without.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SkippedEntries {
    pub entries: u64,
    /// What is wrong with the first of them.
    pub first: Option<String>,
}

/// What becomes of a page's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passage {
    /// They pass, with the changes that were decided.
    InKind,
    /// They end here: the page is read for its entries only.
    ReadOnly,
}

/// Decides about each entry, in order; is also given what the page has said about itself so far.
pub type EntryDecider = Box<dyn FnMut(&Entry<'_>, &PageFacts) -> Decision + Send>;

impl<'a> Entry<'a> {
    /// An entry of which nothing is known but the link.
    pub(super) fn bare(url: &'a Url, name: Cow<'a, str>, fragment: Option<&'a str>) -> Self {
        Self {
            url,
            name,
            fragment,
            sha256: None,
            core_metadata: None,
            upload_time: None,
            size: None,
            requires_python: None,
            yanked: None,
            more: Details::default(),
        }
    }

    pub(super) fn set_hashes(&mut self, hashes: Hashes) {
        self.sha256 = hashes.sha256();
        self.more.hashes = hashes;
    }

    pub(super) fn set_metadata(&mut self, hashes: Hashes) {
        self.core_metadata = Some(match hashes.sha256() {
            Some(digest) => CoreMetadata::Sha256(digest),
            None => CoreMetadata::Present,
        });
        self.more.metadata_hashes = hashes;
    }

    pub(super) fn set_upload_time(&mut self, text: Cow<'a, str>) {
        self.upload_time = time(&text);
        if self.upload_time.is_some() {
            self.more.upload_time = Some(text);
        }
    }
}

/// A date as PEP 700 asks for it.
pub(super) fn written_time(time: SystemTime) -> String {
    humantime::format_rfc3339_micros(time).to_string()
}

/// A date by RFC 3339 in UTC, as PEP 700 asks for; `+00:00`, which some indexes write, means the
/// same.
fn time(text: &str) -> Option<SystemTime> {
    let utc = match text.strip_suffix("+00:00") {
        Some(local) => Cow::Owned(format!("{local}Z")),
        None => Cow::Borrowed(text),
    };
    humantime::parse_rfc3339(&utc).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn dates_are_read() {
        let at = |millis| Some(SystemTime::UNIX_EPOCH + Duration::from_millis(millis));
        let table = [
            ("1970-01-01T00:00:01Z", at(1000)),
            ("1970-01-01T00:00:01.250000Z", at(1250)),
            ("1970-01-01T00:00:01.25+00:00", at(1250)),
            ("1970-01-01T00:00:01+02:00", None),
            ("1970-01-01T00:00:01", None),
            ("1970-01-01", None),
            ("yesterday", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(time(text), expected, "{text}");
        }
    }
}
