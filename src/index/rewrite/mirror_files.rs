//! The files that one page of a mirror lists: which path is which digest, and what else upstream is
//! asked with.
//!
//! A mirror's file addresses say nothing of the digest, so the page is the catalogue: a path that
//! no page lists leads nowhere. Nor do they have the page's query, which upstream may need (a
//! signature, `download=true`). Kept small, a path as 16 bytes of its sha256. Must not know the
//! network or the disk.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::SystemTime;

use crate::registry::MirrorPath;
use crate::registry::policy::JudgedFile;
use crate::simple::{CoreMetadata, ProjectName, ProjectStatus};
use crate::values::digest::{Digest, Hasher};
use crate::values::secret::Secret;

/// What a page says about one of its files.
#[derive(Clone, Debug)]
pub struct MirrorFile {
    mark: PathMark,
    /// The page's own spelling of the path, if it is not the canonical one.
    spelling: Option<Box<str>>,
    query: Option<Arc<Secret>>,
    pub sha256: Option<Digest>,
    /// Upstream's own PEP 658 metadata.
    pub metadata: Option<CoreMetadata>,
    pub uploaded: Option<SystemTime>,
    /// When a page of larder's first listed it, where that counts.
    pub first_seen: Option<SystemTime>,
    /// What its page says of the project as a whole.
    pub status: Option<Arc<ProjectStatus>>,
}

type PathMark = [u8; 16];

impl MirrorFile {
    pub fn new(
        path: &MirrorPath,
        sha256: Option<Digest>,
        metadata: Option<CoreMetadata>,
        uploaded: Option<SystemTime>,
    ) -> Self {
        let canonical = path.canonical();
        let spelling = (canonical != *path).then(|| path.rest().into());
        Self {
            mark: mark(&canonical),
            spelling,
            query: path.query().cloned(),
            sha256,
            metadata,
            uploaded,
            first_seen: None,
            status: None,
        }
    }

    /// This path as the page spells it, and with what the page has behind it, which is how upstream
    /// is asked for it.
    pub fn spell(&self, path: &MirrorPath) -> MirrorPath {
        let own = self
            .spelling
            .as_deref()
            .and_then(|spelling| path.spelled(spelling));
        own.unwrap_or_else(|| path.canonical())
            .asked_with(self.query.clone())
    }

    /// Whether two links to one path lead to the same file, as far as the page tells: a server may
    /// give another one for another query.
    fn is_the_same(&self, other: &Self) -> bool {
        let query = |file: &Self| file.query.as_ref().map(|query| query.expose().to_vec());
        query(self) == query(other) || (self.sha256.is_some() && self.sha256 == other.sha256)
    }

    /// What policies judge it by, on the page of this project.
    pub fn judged<'a>(
        &'a self,
        path: &'a MirrorPath,
        project: Option<&'a ProjectName>,
    ) -> JudgedFile<'a> {
        JudgedFile {
            source: path.scope(),
            project,
            filename: path.filename().as_str(),
            uploaded: self.uploaded,
            first_seen: self.first_seen,
            status: self.status.as_deref(),
        }
    }
}

/// The files of a page that is still passing by.
#[derive(Debug, Default)]
pub struct Noted(HashMap<PathMark, MirrorFile>);

impl Noted {
    /// Adds a file, unless there are `max` already. Of several links to one path the first counts;
    /// false if this one leads to another file, for which there is no address.
    pub fn add(&mut self, file: MirrorFile, max: usize) -> bool {
        let is_full = self.0.len() >= max;
        match self.0.entry(file.mark) {
            Entry::Occupied(known) => known.get().is_the_same(&file),
            Entry::Vacant(place) => {
                if !is_full {
                    place.insert(file);
                }
                true
            }
        }
    }
}

/// All of a page's files, those that are withheld included, and what it says of their project.
#[derive(Debug, Default)]
pub struct MirrorFiles {
    files: Box<[MirrorFile]>,
    status: Option<Arc<ProjectStatus>>,
}

impl MirrorFiles {
    pub fn new(noted: Noted, status: Option<ProjectStatus>) -> Self {
        let mut files: Vec<MirrorFile> = noted.0.into_values().collect();
        files.sort_by_key(|file| file.mark);
        Self {
            files: files.into(),
            status: status.map(Arc::new),
        }
    }

    /// Whether the page says neither of a file nor of the project anything.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.status.is_none()
    }

    /// What the page says of the project as a whole (PEP 792).
    pub fn status(&self) -> Option<&Arc<ProjectStatus>> {
        self.status.as_ref()
    }

    pub fn find(&self, path: &MirrorPath) -> Option<MirrorFile> {
        let mark = mark(&path.canonical());
        let found = self.files.binary_search_by_key(&mark, |file| file.mark);
        let mut file = self.files.get(found.ok()?)?.clone();
        file.status.clone_from(&self.status);
        Some(file)
    }

    /// Bytes this takes in memory.
    pub fn weight(&self) -> usize {
        let spellings = self
            .files
            .iter()
            .filter_map(|file| file.spelling.as_ref())
            .map(|spelling| spelling.len());
        let queries = self
            .files
            .iter()
            .filter_map(|file| file.query.as_ref())
            .map(|query| query.expose().len());
        let stated = match &self.status {
            Some(status) => status.weight(),
            None => 0,
        };
        size_of_val(&*self.files) + spellings.chain(queries).sum::<usize>() + stated
    }
}

/// Half a sha256: to be taken for a listed file, another path would need the same half. Of the
/// canonical spelling, because clients spell a path anew: pip writes `%2B` where the page has `+`.
fn mark(canonical: &MirrorPath) -> PathMark {
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

    fn files(files: impl IntoIterator<Item = MirrorFile>) -> MirrorFiles {
        let mut noted = Noted::default();
        for file in files {
            noted.add(file, usize::MAX);
        }
        MirrorFiles::new(noted, None)
    }

    fn asked_with(path: &MirrorPath, query: &str) -> MirrorPath {
        path.clone().asked_with(Some(Arc::new(Secret::new(query))))
    }

    #[test]
    fn a_path_is_found_in_any_spelling_and_asked_for_in_the_pages() -> Result<(), &'static str> {
        let page = path("/pypi/packages/torch-1.0%2Bcu118-py3-none-any.whl").ok_or("a path")?;
        let client = path("/pypi/packages/torch-1.0+cu118-py3-none-any.whl").ok_or("a path")?;
        for listed in [&page, &client] {
            let files = files([MirrorFile::new(listed, None, None, None)]);
            for asked in [&page, &client] {
                assert_eq!(
                    files.find(asked).map(|file| file.spell(asked)).as_ref(),
                    Some(listed)
                );
            }
        }
        Ok(())
    }

    #[test]
    fn upstream_is_asked_with_the_pages_query_and_never_with_the_clients()
    -> Result<(), &'static str> {
        let client = path("/pypi/packages/a-1%2Bx.zip").ok_or("a path")?;
        let listed = path("/pypi/packages/a-1+x.zip").ok_or("a path")?;
        let query = |file: MirrorFile, asked: &MirrorPath| {
            file.spell(asked)
                .query()
                .map(|query| query.expose().to_vec())
        };
        for (page, told) in [
            (asked_with(&listed, "sig=1"), Some(&b"sig=1"[..])),
            (listed, None),
        ] {
            let files = files([MirrorFile::new(&page, None, None, None)]);
            for asked in [&client, &asked_with(&client, "sig=2")] {
                let file = files.find(asked).ok_or("it is listed")?;
                assert_eq!(query(file, asked).as_deref(), told);
            }
        }
        Ok(())
    }

    #[test]
    fn a_path_with_another_query_and_another_digest_is_another_file() -> Result<(), &'static str> {
        let plain = path("/pypi/packages/a-1.zip").ok_or("a path")?;
        let [one, two] = ["v=1", "v=2"].map(|query| asked_with(&plain, query));
        let first = Some(Digest::of(b"1"));
        let second = Some(Digest::of(b"2"));
        for (earlier, later, same) in [
            ((&one, first), (&two, second), false),
            ((&one, first), (&two, None), false),
            ((&one, None), (&two, None), false),
            ((&plain, first), (&one, second), false),
            ((&one, first), (&plain, second), false),
            ((&one, first), (&two, first), true),
            ((&one, first), (&one, second), true),
            ((&plain, first), (&plain, second), true),
        ] {
            let file = |(path, digest): (&MirrorPath, Option<Digest>)| {
                MirrorFile::new(path, digest, None, None)
            };
            let mut noted = Noted::default();
            assert!(noted.add(file(earlier), 1), "the first of a path");
            assert_eq!(noted.add(file(later), 1), same, "{earlier:?} {later:?}");
            assert_eq!(
                MirrorFiles::new(noted, None)
                    .find(&plain)
                    .and_then(|file| file.sha256),
                earlier.1
            );
        }
        let mut full = Noted::default();
        assert!(full.add(MirrorFile::new(&plain, None, None, None), 0));
        assert!(MirrorFiles::new(full, None).is_empty());
        Ok(())
    }

    #[test]
    fn of_two_links_to_one_path_the_first_counts() -> Result<(), &'static str> {
        let wheel = path("/pypi/packages/aa/a-1-py3-none-any.whl").ok_or("a path")?;
        let other = path("/pypi/packages/ab/a-1-py3-none-any.whl").ok_or("a path")?;
        let first = Digest::of(b"1");
        let second = Digest::of(b"2");
        let files = files([
            MirrorFile::new(&wheel, Some(first), None, None),
            MirrorFile::new(&wheel, Some(second), None, None),
        ]);
        assert_eq!(files.find(&wheel).and_then(|file| file.sha256), Some(first));
        assert!(files.find(&other).is_none());
        Ok(())
    }
}
