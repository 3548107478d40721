//! What is here: which files, at which addresses, and of which projects there is a page.
//!
//! Asked where no upstream can be. A file is held if its address is in the catalogue and its blob
//! on the disk; that the bytes are still right is found out when they are served. Must not know
//! callers, or what is made of the answer.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::catalog::{self, Catalog};
use super::error::StoreError;
use super::folder::Folder;
use super::index_file::{self, IndexSubject};
use crate::registry::{FileRef, MirrorPath, Scope, ScopeKind};
use crate::simple::{ProjectName, project_candidates};

/// Projects that are listed, of all scopes together; further ones are served without being listed.
const PROJECTS_MAX: usize = 100_000;

/// The projects of each scope, in the order of their names.
pub type Projects = BTreeMap<Scope, BTreeSet<ProjectName>>;

#[derive(Clone)]
pub struct Holdings {
    folder: Arc<Folder>,
    catalog: Catalog,
}

impl Holdings {
    pub(super) fn new(folder: Arc<Folder>, catalog: Catalog) -> Self {
        Self { folder, catalog }
    }

    /// Moves whenever an answer given here may be another one than before. Read it before asking.
    pub fn generation(&self) -> u64 {
        self.folder.changes.count()
    }

    /// Whether this address is known to yield its bytes, and they are here. Blocks.
    pub fn holds(&self, file: &FileRef) -> bool {
        self.size(file).is_some()
    }

    /// How many bytes this address is known to yield, if they are here. Blocks.
    pub fn size(&self, file: &FileRef) -> Option<u64> {
        match self.catalog.look(file) {
            Ok(Some(_)) => self.folder.layout.blob_size(file.digest),
            Ok(None) => None,
            Err(why) => {
                tracing::warn!(error = %why, "cannot be looked up");
                None
            }
        }
    }

    /// The file that a mirror's path was last seen to yield, if it is here. Blocks.
    pub fn at(&self, path: &MirrorPath) -> Option<FileRef> {
        let digest = catalog::digest_at(&self.folder.layout, path).ok()??;
        let file = FileRef::mirrored(path, digest);
        if self.holds(&file) { Some(file) } else { None }
    }

    /// The projects that have a page, and a file that is held. Walks the whole index: blocks.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn projects(&self) -> Result<Projects, StoreError> {
        let mut paged = Vec::new();
        let mut held = HeldNames::default();
        index_file::every_line::<StoreError>(&self.folder.layout, |index| {
            for line in index.lines {
                let is_here = || self.folder.layout.blob(line.digest).is_file();
                match line.subject {
                    IndexSubject::Page { page, .. } if paged.len() < PROJECTS_MAX && is_here() => {
                        if let Some(name) = page.name {
                            paged.push((page.scope, name));
                        }
                    }
                    IndexSubject::File { file, .. } => {
                        held.add(&file.scope, file.filename.as_str(), is_here);
                    }
                    _ => {}
                }
            }
            Ok(())
        })?;
        let mut projects = Projects::new();
        for (scope, name) in paged {
            if held.has(&scope, &name) {
                projects.entry(scope).or_default().insert(name);
            }
        }
        Ok(projects)
    }
}

/// The names that held files may be of.
#[derive(Default)]
struct HeldNames {
    exactly: HashSet<(Scope, ProjectName)>,
    /// GitLab links by number, whatever a page was asked by.
    numbered: HashSet<(ScopeKind, ProjectName)>,
}

impl HeldNames {
    /// Adds the names of a file if it is here, which is not looked for if they are all known.
    fn add(&mut self, scope: &Scope, filename: &str, is_here: impl FnOnce() -> bool) {
        let mut names = project_candidates(filename);
        names.retain(|name| !self.exactly.contains(&(scope.clone(), name.clone())));
        if names.is_empty() || !is_here() {
            return;
        }
        for name in names {
            if !scope.is_mirror() && scope.is_numbered() {
                self.numbered.insert((scope.kind(), name.clone()));
            }
            self.exactly.insert((scope.clone(), name));
        }
    }

    fn has(&self, scope: &Scope, name: &ProjectName) -> bool {
        let by_path = !scope.is_mirror() && !scope.is_numbered();
        self.exactly.contains(&(scope.clone(), name.clone()))
            || (by_path && self.numbered.contains(&(scope.kind(), name.clone())))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::registry::Route;
    use crate::simple::Format;
    use crate::store::{CatalogEntry, PageMeta, Store};
    use crate::values::clock;
    use crate::values::digest::Digest;

    type Checked = Result<(), Box<dyn std::error::Error>>;

    fn file(path: &str) -> Option<FileRef> {
        match Route::from_path(path) {
            Ok(Route::File(file)) => Some(file),
            Ok(Route::Mirrored(path)) => Some(FileRef::mirrored(&path, Digest::of(b"wheel"))),
            _ => None,
        }
    }

    #[tokio::test]
    async fn a_project_is_listed_that_has_a_page_and_a_file() -> Checked {
        let dir = tempfile::tempdir()?;
        let store = Store::open(dir.path(), 1 << 20)?;
        let holdings = store.holdings();
        let wheel = Digest::of(b"wheel");
        let numbered =
            format!("/api/v4/projects/42/packages/pypi/files/{wheel}/both-1-py3-none-any.whl");
        let mirrored = "/pypi/packages/aa/both-1-py3-none-any.whl";
        let absent = "/pypi/packages/aa/paged_only-1-py3-none-any.whl";
        for path in [&*numbered, mirrored] {
            let file = file(path).ok_or("a file")?;
            store.catalog.record(&file, CatalogEntry::default())?;
            assert!(
                !holdings.holds(&file),
                "recorded, and its bytes are not there"
            );
        }
        let before = holdings.generation();
        cacache::write_hash_sync(dir.path(), b"wheel")?;
        assert_eq!(holdings.size(&file(mirrored).ok_or("a file")?), Some(5));
        assert!(
            !holdings.holds(&file(absent).ok_or("a file")?),
            "the bytes of another address"
        );
        let meta = PageMeta {
            etag: None,
            last_modified: None,
            url: "larder:/".to_owned(),
        };
        for page in [
            "/pypi/simple/both/",
            "/pypi/simple/paged-only/",
            "/other/simple/both/",
            "/api/v4/projects/42/packages/pypi/simple/both/",
            "/api/v4/projects/acme%2Fx/packages/pypi/simple/both/",
            "/api/v4/projects/43/packages/pypi/simple/both/",
            "/api/v4/groups/7/-/packages/pypi/simple/both/",
        ] {
            let route = Route::from_path(page)?;
            let body = Bytes::from(page.to_owned());
            store
                .pages
                .store(&route, Format::Json, meta.clone(), body, clock::wall())
                .await?;
        }
        assert!(holdings.generation() > before);
        let listed: Vec<_> = holdings
            .projects()?
            .into_iter()
            .map(|(scope, names)| {
                format!(
                    "{scope} {}",
                    names
                        .first()
                        .map_or_else(String::new, |name| name.to_string())
                )
            })
            .collect();
        assert_eq!(
            listed,
            ["projects/42 both", "projects/acme%2Fx both", "pypi both"]
        );
        assert_eq!(
            holdings
                .at(file(mirrored)
                    .ok_or("a file")?
                    .mirror_path()
                    .ok_or("a path")?)
                .map(|file| file.digest),
            Some(wheel)
        );
        Ok(())
    }

    #[tokio::test]
    async fn the_page_that_was_stored_last_comes_first() -> Checked {
        let dir = tempfile::tempdir()?;
        let store = Store::open(dir.path(), 1 << 20)?;
        let route = Route::from_path("/pypi/simple/a/")?;
        let meta = PageMeta {
            etag: None,
            last_modified: None,
            url: "larder:/".to_owned(),
        };
        assert_eq!(store.pages.formats(&route).await?, []);
        for format in [Format::Json, Format::Html] {
            store
                .pages
                .store(
                    &route,
                    format,
                    meta.clone(),
                    Bytes::from_static(b"x"),
                    clock::wall(),
                )
                .await?;
            assert_eq!(store.pages.formats(&route).await?.first(), Some(&format));
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
        Ok(())
    }
}
