//! A project's page as larder serves it in JSON (PEP 691): the files that can be asked for. Pure.
//!
//! Must not know which of them are wanted, nor how the page was fetched.

use std::borrow::Cow;
use std::time::SystemTime;

use pep440_rs::Version;
use url::Url;

use crate::registry::{PageRef, Route, Scope, portable_url, recognise_portable};
use crate::simple::{CoreMetadata, Entry, Format, ProjectName, file_version, read_entries};
use crate::values::digest::Digest;

/// One page in one scope.
#[derive(Clone, Debug)]
pub struct ServedPage {
    pub scope: Scope,
    pub files: Vec<PageFile>,
}

/// A file on a page.
#[derive(Clone, Debug)]
pub struct PageFile {
    pub filename: String,
    /// Where larder serves it; `None` when the link leads elsewhere.
    pub route: Option<Route>,
    /// What its name says; `None` if that cannot be read.
    pub version: Option<Version>,
    pub sha256: Option<Digest>,
    pub size: Option<u64>,
    pub requires_python: Option<String>,
    pub is_yanked: bool,
    pub uploaded: Option<SystemTime>,
    pub metadata: MetadataOffer,
}

/// Whether the page offers a wheel's metadata by itself (PEP 658).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataOffer {
    Absent,
    Offered,
    Hashed(Digest),
}

/// A page that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the page is no JSON of the Simple API: {0}")]
pub struct UnreadablePage(String);

impl ServedPage {
    /// Reads a page that larder served. `prefix` is what a proxy in front adds to larder's paths.
    ///
    /// # Errors
    /// When it is not the JSON of PEP 691.
    pub fn read(
        scope: Scope,
        project: &ProjectName,
        json: &[u8],
        prefix: &str,
    ) -> Result<Self, UnreadablePage> {
        let page = PageRef {
            scope: scope.clone(),
            name: Some(project.clone()),
        };
        let Some(url) = portable_url(&Route::Page(page)) else {
            return Err(UnreadablePage("it has no address".to_owned()));
        };
        let name = project.clone();
        let prefix = prefix.to_owned();
        let listed = move |entry: &Entry<'_>| Some(PageFile::of(entry, &name, &prefix));
        let read = read_entries(Format::Json, project, url, json, listed);
        let (files, _) = read.map_err(|why| UnreadablePage(why.to_string()))?;
        Ok(Self { scope, files })
    }
}

/// The route of a link that leads to larder itself.
fn route(link: &Url, prefix: &str) -> Option<Route> {
    let below = link.path().strip_prefix(prefix)?;
    if !below.starts_with('/') {
        return None;
    }
    let mut own = link.clone();
    own.set_path(below);
    let route = recognise_portable(&own)?;
    match route {
        Route::File(_) | Route::Mirrored(_) => Some(route),
        _ => None,
    }
}

impl PageFile {
    fn of(entry: &Entry<'_>, project: &ProjectName, prefix: &str) -> Self {
        let version = file_version(&entry.name, project);
        Self {
            filename: entry.name.clone().into_owned(),
            route: route(entry.url, prefix),
            version: version.and_then(|text| text.replace('_', "-").parse().ok()),
            sha256: entry.sha256,
            size: entry.size,
            requires_python: entry.requires_python.clone().map(Cow::into_owned),
            is_yanked: entry.yanked.is_some(),
            uploaded: entry.upload_time,
            metadata: match entry.core_metadata {
                None => MetadataOffer::Absent,
                Some(CoreMetadata::Present) => MetadataOffer::Offered,
                Some(CoreMetadata::Sha256(digest)) => MetadataOffer::Hashed(digest),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::registry::PORTABLE_BASE;

    #[test]
    fn a_page_is_read_with_what_it_says_of_each_file() {
        let sha = "ab".repeat(32);
        let page = serde_json::json!({"meta": {"api-version": "1.1"}, "name": "a", "files": [
            {"filename": "a-1.0-py3-none-any.whl", "url": "/x/pypi/p/a-1.0-py3-none-any.whl", "hashes": {"sha256": sha},
             "size": 5, "requires-python": ">=3.9", "yanked": "broken", "core-metadata": {"sha256": sha},
             "upload-time": "2024-01-02T03:04:05.000000Z"},
            {"filename": "a-2.0.tar.gz", "url": "https://elsewhere.example/a-2.0.tar.gz", "hashes": {}}]});
        let project = ProjectName::parse("a").unwrap();
        let scope = Scope::mirror("pypi").unwrap();
        let listing = ServedPage::read(scope, &project, page.to_string().as_bytes(), "/x").unwrap();
        let [wheel, sdist] = listing.files.as_slice() else {
            panic!("two files")
        };
        assert!(wheel.route.is_some() && wheel.is_yanked && wheel.uploaded.is_some());
        assert_eq!(wheel.version, "1.0".parse().ok());
        assert_eq!(wheel.metadata, MetadataOffer::Hashed(wheel.sha256.unwrap()));
        assert!(sdist.route.is_none() && sdist.sha256.is_none() && !sdist.is_yanked);
        assert_eq!(sdist.metadata, MetadataOffer::Absent);
    }

    proptest! {
        #[test]
        fn no_page_makes_it_stumble(page in "\\PC{0,200}", url in "\\PC{0,60}") {
            let project = ProjectName::parse("a").unwrap();
            let _ = ServedPage::read(Scope::mirror("pypi").unwrap(), &project, page.as_bytes(), "");
            if let Ok(url) = Url::parse(PORTABLE_BASE).unwrap().join(&url) {
                let _ = route(&url, "/x");
            }
        }
    }
}
