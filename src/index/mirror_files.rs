//! The files that one page of a mirror lists: which path is which digest.
//!
//! A mirror's file addresses say nothing of the digest, so the page is the catalogue: a path that no page lists leads
//! nowhere. Kept small, a path as 16 bytes of its sha256. Must not know the network or the disk.

use std::time::{Duration, SystemTime};

use super::cooldown::{Withheld, withheld};
use crate::digest::{Digest, Hasher};
use crate::registry::MirrorPath;
use crate::simple::CoreMetadata;

/// What a page says about one of its files.
#[derive(Clone, Debug)]
pub(super) struct MirrorFile {
    mark: Mark,
    /// The page's own spelling of the path, if it is not the canonical one.
    spelling: Option<Box<str>>,
    pub sha256: Option<Digest>,
    /// Upstream's own PEP 658 metadata.
    pub metadata: Option<CoreMetadata>,
    uploaded: Option<SystemTime>,
}

type Mark = [u8; 16];

impl MirrorFile {
    pub(super) fn new(
        path: &MirrorPath,
        sha256: Option<Digest>,
        metadata: Option<CoreMetadata>,
        uploaded: Option<SystemTime>,
    ) -> Self {
        let canonical = path.canonical();
        let spelling = (canonical != *path).then(|| path.rest().into());
        Self { mark: mark(&canonical), spelling, sha256, metadata, uploaded }
    }

    /// This path as the page spells it, which is how upstream is asked for it.
    pub(super) fn spell(&self, path: &MirrorPath) -> MirrorPath {
        let own = self.spelling.as_deref().and_then(|spelling| path.spelled(spelling));
        own.unwrap_or_else(|| path.canonical())
    }

    pub(super) fn withheld(&self, min_age: Duration, now: SystemTime) -> Option<Withheld> {
        withheld(self.uploaded, min_age, now)
    }
}

/// All of a page's files, those that are withheld included.
#[derive(Debug, Default)]
pub(super) struct MirrorFiles(Box<[MirrorFile]>);

impl MirrorFiles {
    /// Of several links to one path the first counts.
    pub(super) fn new(mut files: Vec<MirrorFile>) -> Self {
        files.sort_by_key(|file| file.mark);
        files.dedup_by_key(|file| file.mark);
        Self(files.into())
    }

    pub(super) fn find(&self, path: &MirrorPath) -> Option<MirrorFile> {
        let mark = mark(&path.canonical());
        self.0.binary_search_by_key(&mark, |file| file.mark).ok().map(|at| self.0[at].clone())
    }

    /// Bytes this takes in memory.
    pub(super) fn weight(&self) -> usize {
        let spellings = self.0.iter().filter_map(|file| file.spelling.as_ref());
        size_of_val(&*self.0) + spellings.map(|spelling| spelling.len()).sum::<usize>()
    }
}

/// Half a sha256: to be taken for a listed file, another path would need the same half. Of the canonical spelling, because
/// clients spell a path anew: pip writes `%2B` where the page has `+`.
fn mark(canonical: &MirrorPath) -> Mark {
    let mut hasher = Hasher::new();
    hasher.update(canonical.rest().as_bytes());
    let digest = hasher.finish();
    let mut mark = [0; 16];
    mark.copy_from_slice(&digest.as_bytes()[..16]);
    mark
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::Route;

    fn path(text: &str) -> Option<MirrorPath> {
        match Route::from_path(text) {
            Ok(Route::Mirrored(path)) => Some(path),
            _ => None,
        }
    }

    #[test]
    fn a_path_is_found_in_any_spelling_and_asked_for_in_the_pages() -> Result<(), &'static str> {
        let page = path("/pypi/packages/torch-1.0%2Bcu118-py3-none-any.whl").ok_or("a path")?;
        let client = path("/pypi/packages/torch-1.0+cu118-py3-none-any.whl").ok_or("a path")?;
        let files = MirrorFiles::new(vec![MirrorFile::new(&page, None, None, None)]);
        for asked in [&page, &client] {
            assert_eq!(files.find(asked).map(|file| file.spell(asked)).as_ref(), Some(&page));
        }
        let files = MirrorFiles::new(vec![MirrorFile::new(&client, None, None, None)]);
        for asked in [&page, &client] {
            assert_eq!(files.find(asked).map(|file| file.spell(asked)).as_ref(), Some(&client));
        }
        Ok(())
    }

    #[test]
    fn of_two_links_to_one_path_the_first_counts() -> Result<(), &'static str> {
        let wheel = path("/pypi/packages/aa/a-1-py3-none-any.whl").ok_or("a path")?;
        let other = path("/pypi/packages/ab/a-1-py3-none-any.whl").ok_or("a path")?;
        let (first, second) = (Digest::of(b"1"), Digest::of(b"2"));
        let files = MirrorFiles::new(vec![
            MirrorFile::new(&wheel, Some(first), None, None),
            MirrorFile::new(&wheel, Some(second), None, None),
        ]);
        assert_eq!(files.find(&wheel).and_then(|file| file.sha256), Some(first));
        assert!(files.find(&other).is_none());
        Ok(())
    }
}
