//! A project's page as larder serves it in JSON (PEP 691): the files that can be asked for. Pure.
//!
//! Must not know which of them are wanted, nor how the page was fetched.

use std::collections::BTreeMap;
use std::time::SystemTime;

use pep440_rs::Version;
use serde::Deserialize;
use serde_json::Value;

use crate::digest::Digest;
use crate::registry::{Route, Scope};
use crate::simple::{ProjectName, file_version};

/// One page in one scope.
#[derive(Clone, Debug)]
pub struct Listing {
    pub scope: Scope,
    pub files: Vec<Listed>,
}

/// A file on a page.
#[derive(Clone, Debug)]
pub struct Listed {
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
    pub metadata: Metadata,
}

/// Whether the page offers a wheel's metadata by itself (PEP 658).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metadata {
    Absent,
    Offered,
    Hashed(Digest),
}

/// A page that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the page is no JSON of the Simple API: {0}")]
pub struct UnreadablePage(#[from] serde_json::Error);

#[derive(Deserialize)]
struct Page {
    files: Vec<File>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct File {
    filename: String,
    url: String,
    #[serde(default)]
    hashes: BTreeMap<String, Value>,
    size: Option<u64>,
    requires_python: Option<String>,
    #[serde(default)]
    yanked: Value,
    upload_time: Option<String>,
    core_metadata: Option<Value>,
    dist_info_metadata: Option<Value>,
}

impl Listing {
    /// Reads a page. `prefix` is what a proxy in front adds to larder's paths.
    ///
    /// # Errors
    /// When it is not the JSON of PEP 691.
    pub fn read(
        scope: Scope,
        project: &ProjectName,
        json: &[u8],
        prefix: &str,
    ) -> Result<Self, UnreadablePage> {
        let page: Page = serde_json::from_slice(json)?;
        let files = page.files.into_iter().map(|file| file.listed(project, prefix)).collect();
        Ok(Self { scope, files })
    }
}

impl File {
    fn listed(self, project: &ProjectName, prefix: &str) -> Listed {
        let sha256 = |hashes: &Value| hashes.get("sha256").and_then(Value::as_str).and_then(Digest::parse);
        let metadata = match self.core_metadata.or(self.dist_info_metadata) {
            Some(Value::Bool(true)) => Metadata::Offered,
            Some(hashes @ Value::Object(_)) => sha256(&hashes).map_or(Metadata::Offered, Metadata::Hashed),
            _ => Metadata::Absent,
        };
        Listed {
            route: route(&self.url, prefix),
            version: file_version(&self.filename, project)
                .and_then(|text| text.replace('_', "-").parse().ok()),
            sha256: self.hashes.get("sha256").and_then(Value::as_str).and_then(Digest::parse),
            size: self.size,
            requires_python: self.requires_python.filter(|text| !text.trim().is_empty()),
            is_yanked: !matches!(self.yanked, Value::Null | Value::Bool(false)),
            uploaded: self
                .upload_time
                .and_then(|text| humantime::parse_rfc3339(&text.replace("+00:00", "Z")).ok()),
            metadata,
            filename: self.filename,
        }
    }
}

/// The route of a link that leads to larder itself.
fn route(url: &str, prefix: &str) -> Option<Route> {
    let path = url.split(['#', '?']).next().unwrap_or_default();
    let below =
        path.strip_prefix(prefix).filter(|below| below.starts_with('/') && !below.starts_with("//"))?;
    Route::from_path(below).ok().filter(|route| matches!(route, Route::File(_) | Route::Mirrored(_)))
}

impl Listed {
    pub fn is_wheel(&self) -> bool {
        self.filename.ends_with(".whl")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
        let listing = Listing::read(scope, &project, page.to_string().as_bytes(), "/x").unwrap();
        let [wheel, sdist] = listing.files.as_slice() else { panic!("two files") };
        assert!(wheel.route.is_some() && wheel.is_yanked && wheel.uploaded.is_some());
        assert_eq!(wheel.version, "1.0".parse().ok());
        assert_eq!(wheel.metadata, Metadata::Hashed(wheel.sha256.unwrap()));
        assert!(sdist.route.is_none() && sdist.sha256.is_none() && !sdist.is_yanked);
        assert_eq!(sdist.metadata, Metadata::Absent);
    }

    proptest! {
        #[test]
        fn no_page_makes_it_stumble(page in "\\PC{0,200}", url in "\\PC{0,60}") {
            let project = ProjectName::parse("a").unwrap();
            let _ = Listing::read(Scope::mirror("pypi").unwrap(), &project, page.as_bytes(), "");
            let _ = route(&url, "/x");
        }
    }
}
