//! Which files a page listed, small enough to keep with a right.
//!
//! Owns a set of (digest, file name) pairs as 16-byte marks. Must not know pages.

use crate::registry::FileRef;
use crate::values::digest::{Digest, Hasher};

/// The files that one page listed under one scope.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ListedFiles(Box<[FileMark]>);

type FileMark = [u8; 16];

impl ListedFiles {
    pub fn new<'f>(files: impl IntoIterator<Item = &'f FileRef>) -> Self {
        let mut marks: Vec<FileMark> = files.into_iter().map(mark).collect();
        marks.sort_unstable();
        marks.dedup();
        Self(marks.into())
    }

    pub fn contains(&self, file: &FileRef) -> bool {
        self.0.binary_search(&mark(file)).is_ok()
    }

    /// Bytes this takes in memory.
    pub fn weight(&self) -> usize {
        size_of_val(&*self.0)
    }
}

/// Half a sha256 over digest and name: to be taken for a listed file, another would need the same
/// half.
fn mark(file: &FileRef) -> FileMark {
    let mut hasher = Hasher::new();
    hasher.update(file.digest.as_bytes());
    hasher.update(file.filename.as_str().as_bytes());
    let digest: Digest = hasher.finish();
    let mut mark = [0; 16];
    mark.copy_from_slice(&digest.as_bytes()[..16]);
    mark
}
