//! A file's address: whose it is, which sha256 it is promised under, and its name.
//!
//! Owns the two forms of address: GitLab's, which carries the digest, and a mirror's
//! own path, whose digest only its pages tell. Must not know whether the file exists.

use std::sync::Arc;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::scope::spelled;
use super::{Filename, MirrorPath, Scope};
use crate::values::digest::Digest;

/// What stays bare in a path segment: RFC 3986 unreserved, and `+ !` as GitLab and the clients
/// write them.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'+')
    .remove(b'!');

/// One file in one scope.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FileRef {
    pub scope: Scope,
    pub digest: Digest,
    pub filename: Filename,
    written: WrittenAddress,
}

/// The address as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum WrittenAddress {
    /// GitLab's, by its digest: it compares that as text, so it goes upstream in the same case.
    Digest(Arc<str>),
    /// A mirror's, which says nothing of the digest.
    Path(MirrorPath),
}

/// A file as a mirror's page lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListedFile {
    /// With a sha256.
    Hashed(FileRef),
    /// Without one: there is nothing to check it by.
    Unhashed(MirrorPath),
}

impl ListedFile {
    pub fn new(path: MirrorPath, digest: Option<Digest>) -> Self {
        match digest {
            Some(digest) => Self::Hashed(FileRef::mirrored(&path, digest)),
            None => Self::Unhashed(path),
        }
    }
}

impl FileRef {
    pub(super) fn parse(scope: Scope, digest: &str, filename: &str) -> Option<Self> {
        Some(Self {
            scope,
            digest: Digest::parse(digest)?,
            filename: Filename::parse(filename).ok()?,
            written: WrittenAddress::Digest(digest.into()),
        })
    }

    /// A mirror's file, under the digest that a page of the mirror listed it with.
    pub fn mirrored(path: &MirrorPath, digest: Digest) -> Self {
        Self {
            scope: path.scope().clone(),
            digest,
            filename: path.filename().clone(),
            written: WrittenAddress::Path(path.clone()),
        }
    }

    /// Where on a mirror it is, if it is on one.
    pub fn mirror_path(&self) -> Option<&MirrorPath> {
        match &self.written {
            WrittenAddress::Path(path) => Some(path),
            WrittenAddress::Digest(_) => None,
        }
    }

    /// Below GitLab's root as below ours.
    pub fn path(&self) -> String {
        spelled(|path| self.push_path(path))
    }

    pub(super) fn push_path(&self, text: &mut String) {
        match &self.written {
            WrittenAddress::Digest(digest) => {
                self.scope.push_path(text);
                text.push_str("/files/");
                text.push_str(digest);
                text.push('/');
                text.extend(utf8_percent_encode(self.filename.as_str(), SEGMENT));
            }
            WrittenAddress::Path(path) => path.push_path(text),
        }
    }
}
