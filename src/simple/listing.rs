//! A project's page as a value: its files with their facts, read from either format, merged, and
//! written as JSON.
//!
//! Owns the reading by which pages are carried elsewhere, and the one way in which they are written
//! then: the same facts are the same bytes. Only what a client needs is kept: links to what cannot
//! be carried (signatures, provenance) and hashes other than sha256 are left behind. Must not know
//! where addresses lead; the caller's closure tells.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use url::Url;

use super::entry::{CoreMetadata, Decision, Entry, FileFacts, PageSubject, written_time};
use super::facts::ProjectStatus;
use super::filename;
use super::format::Format;
use super::json::yanked;
use super::name::ProjectName;
use super::rewriter::{RewriteError, Rewriter};
use crate::values::digest::Digest;

/// One project's files, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectListing {
    pub project: ProjectName,
    pub status: Option<ProjectStatus>,
    pub files: BTreeMap<String, ListingFile>,
}

/// What a page says of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ListingFile {
    /// Where it is served, as the page is to be written.
    pub address: String,
    /// Where the page that was read had it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub origin: Option<String>,
    pub sha256: Digest,
    /// In bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub requires_python: Option<String>,
    /// The reason, which may be empty.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub yanked: Option<String>,
    /// As the page writes it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub upload_time: Option<String>,
    /// Of its metadata, if that is offered by itself (PEP 658).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub metadata: Option<Digest>,
}

/// Reads a whole project's page that was served at `url`: what `take` makes of its entries, in
/// their order, and what the index says of the project.
///
/// # Errors
/// When it is no whole page of this format.
pub fn read_entries<T: Send + 'static>(
    format: Format,
    project: &ProjectName,
    url: Url,
    body: &[u8],
    take: impl Fn(&Entry<'_>) -> Option<T> + Send + 'static,
) -> Result<(Vec<T>, Option<ProjectStatus>), RewriteError> {
    let taken: Arc<Mutex<Vec<T>>> = Arc::default();
    let seen = Arc::clone(&taken);
    let note = move |entry: &Entry<'_>| {
        seen.lock().extend(take(entry));
        Decision::Drop
    };
    // Rendered, whatever it was: what is in kind would also be given links that are no entries.
    let target = if format == Format::Html {
        Format::Json
    } else {
        Format::Html
    };
    let mut rewriter = Rewriter::new(
        format,
        target,
        PageSubject::Project(project.clone()),
        url,
        note,
    );
    rewriter.write(body)?;
    let finished = rewriter.finish()?;
    let taken = std::mem::take(&mut *taken.lock());
    Ok((taken, finished.status))
}

/// An address as it is carried elsewhere: a query may be a signature.
fn origin(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.into()
}

/// One file name with two contents: one of them is not what a lock file names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{filename} of {project} has two contents: sha256 {here} is listed here, and {there} is to come"
)]
pub struct Conflict {
    pub project: ProjectName,
    pub filename: String,
    pub here: Digest,
    pub there: Digest,
}

impl ProjectListing {
    pub fn new(project: ProjectName) -> Self {
        Self {
            project,
            status: None,
            files: BTreeMap::new(),
        }
    }

    /// Reads a whole page that was served at `url`. Kept are the files that have a sha256 and for
    /// which `address` has an answer; of two entries for one name the first counts.
    ///
    /// # Errors
    /// When it is no whole page of this format.
    pub fn read(
        format: Format,
        project: ProjectName,
        url: Url,
        body: &[u8],
        address: impl Fn(&Entry<'_>) -> Option<String> + Send + 'static,
    ) -> Result<Self, RewriteError> {
        let listed = move |entry: &Entry<'_>| {
            // Of every entry, also of one that is not kept.
            let address = address(entry)?;
            let sha256 = entry.sha256?;
            Some((
                entry.name.clone().into_owned(),
                ListingFile::of(entry, sha256, address),
            ))
        };
        let (entries, status) = read_entries(format, &project, url, body, listed)?;
        let mut files = BTreeMap::new();
        for (filename, file) in entries {
            files.entry(filename).or_insert(file);
        }
        Ok(Self {
            project,
            status,
            files,
        })
    }

    /// Adds what the page does not say of its files and is known otherwise.
    pub fn add_facts(&mut self, known: impl Fn(Digest, &str) -> Option<FileFacts>) {
        for (filename, file) in &mut self.files {
            let Some(facts) = known(file.sha256, filename) else {
                continue;
            };
            file.size = file.size.or(facts.size);
            if file.upload_time.is_none() {
                file.upload_time = facts.upload_time.map(written_time);
            }
        }
    }

    /// Whether its index says that nothing of it may be offered.
    pub fn is_quarantined(&self) -> bool {
        match &self.status {
            Some(status) => status.is_quarantined(),
            None => false,
        }
    }

    /// Adds the files of another page of this project, whose words count where both have some.
    ///
    /// # Errors
    /// [`Conflict`] when a name stands for two contents.
    pub fn merge(&mut self, newer: Self) -> Result<(), Conflict> {
        for (filename, file) in newer.files {
            if let Some(known) = self.files.get(&filename)
                && known.sha256 != file.sha256
            {
                return Err(Conflict {
                    project: self.project.clone(),
                    here: known.sha256,
                    there: file.sha256,
                    filename,
                });
            }
            self.files.insert(filename, file);
        }
        self.status = newer.status;
        Ok(())
    }

    /// The page as PEP 691 JSON.
    pub fn to_json(&self) -> Vec<u8> {
        let mut files = Vec::new();
        for (filename, file) in &self.files {
            files.push(file.to_json(filename));
        }
        let mut page = Map::new();
        // PEP 700 asks for the size of every file, and then for the versions.
        let sized = self.files.values().all(|file| file.size.is_some());
        page.insert(
            "meta".to_owned(),
            json!({ "api-version": if sized { "1.1" } else { "1.0" } }),
        );
        page.insert("name".to_owned(), self.project.as_str().into());
        page.insert("files".to_owned(), files.into());
        if sized {
            let mut versions = BTreeSet::new();
            for name in self.files.keys() {
                versions.extend(filename::version(name, &self.project));
            }
            page.insert("versions".to_owned(), versions.into_iter().collect());
        }
        if let Some(status) = &self.status {
            page.insert("project-status".to_owned(), status.to_json());
        }
        Value::from(page).to_string().into_bytes()
    }
}

impl ListingFile {
    /// A file of which nothing is known but its content.
    pub fn bare(sha256: Digest) -> Self {
        Self {
            address: String::new(),
            origin: None,
            sha256,
            size: None,
            requires_python: None,
            yanked: None,
            upload_time: None,
            metadata: None,
        }
    }

    fn of(entry: &Entry<'_>, sha256: Digest, address: String) -> Self {
        Self {
            address,
            origin: Some(origin(entry.url)),
            sha256,
            size: entry.size,
            requires_python: entry.requires_python.as_deref().map(str::to_owned),
            yanked: entry.yanked.as_deref().map(str::to_owned),
            upload_time: entry.more.upload_time.as_deref().map(str::to_owned),
            metadata: match entry.core_metadata {
                Some(CoreMetadata::Sha256(digest)) => Some(digest),
                Some(CoreMetadata::Present) | None => None,
            },
        }
    }

    fn to_json(&self, filename: &str) -> Value {
        let hashes = |digest: Digest| json!({ "sha256": digest });
        let mut file = Map::new();
        let mut fact = |key: &str, value: Value| file.insert(key.to_owned(), value);
        fact("filename", filename.into());
        fact("url", self.address.as_str().into());
        fact("hashes", hashes(self.sha256));
        if let Some(size) = self.size {
            fact("size", size.into());
        }
        if let Some(specifier) = &self.requires_python {
            fact("requires-python", specifier.as_str().into());
        }
        if let Some(time) = &self.upload_time {
            fact("upload-time", time.as_str().into());
        }
        if let Some(reason) = &self.yanked {
            fact("yanked", yanked(reason));
        }
        if let Some(digest) = self.metadata {
            fact("core-metadata", hashes(digest));
        }
        file.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Checked = Result<(), Box<dyn std::error::Error>>;

    fn read(format: Format, body: &[u8]) -> Result<ProjectListing, Box<dyn std::error::Error>> {
        let address = |entry: &Entry<'_>| Some(entry.url.path().to_owned());
        let url = Url::parse("larder:/")?;
        Ok(ProjectListing::read(
            format,
            ProjectName::parse("a")?,
            url,
            body,
            address,
        )?)
    }

    prop_compose! {
        fn file()(bytes: [u8; 2], size in prop::option::of(0..1u64 << 40), metadata: Option<bool>,
            requires_python in prop::option::of(">=3\\.[0-9]{1,2}"), yanked in prop::option::of("([!-~é]([ -~é]{0,8}[!-~é])?)?"),
            dated: bool) -> ListingFile {
            let sha256 = Digest::of(&bytes);
            ListingFile {
                address: format!("/pypi/packages/{sha256}"),
                origin: Some(format!("larder:/pypi/packages/{sha256}")),
                sha256, size, requires_python, yanked,
                upload_time: dated.then(|| "2024-01-02T03:04:05.678901Z".to_owned()),
                metadata: metadata.map(|_| Digest::of(b"m")),
            }
        }
    }

    prop_compose! {
        fn listing()(files in prop::collection::btree_map("a-[0-9]\\.[0-9]\\.tar\\.gz", file(), 0..8), status: bool) -> ProjectListing {
            let project = ProjectName::parse("a").expect("a name");
            let status = status.then(|| ProjectStatus { status: "archived".to_owned(), reason: Some("old".to_owned()) });
            ProjectListing { project, status, files }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(listing in listing()) {
            let read = read(Format::Json, &listing.to_json()).map_err(|why| TestCaseError::fail(why.to_string()))?;
            prop_assert_eq!(&read, &listing);
        }

        #[test]
        fn a_merge_holds_both_or_names_the_conflict(older in listing(), newer in listing()) {
            let mut merged = older.clone();
            match merged.merge(newer.clone()) {
                Ok(()) => for (name, file) in older.files.iter().chain(&newer.files) {
                    prop_assert_eq!(merged.files.get(name).map(|file| file.sha256), Some(file.sha256));
                },
                Err(why) => {
                    prop_assert_eq!(older.files.get(&why.filename).map(|file| file.sha256), Some(why.here));
                    prop_assert_eq!(newer.files.get(&why.filename).map(|file| file.sha256), Some(why.there));
                    prop_assert_ne!(why.here, why.there);
                }
            }
        }
    }

    #[test]
    fn html_is_read_with_its_facts() -> Checked {
        let sha = Digest::of(b"x");
        let page = format!(
            "<!DOCTYPE html><html><body><a href=\"/f/a-1.tar.gz#sha256={sha}\" data-requires-python=\"&gt;=3.8\" \
             data-yanked=\"\" data-core-metadata=\"sha256={sha}\">a-1.tar.gz</a><a href=\"/f/a-2.tar.gz\">a-2.tar.gz</a></body></html>"
        );
        let listing = read(Format::Html, page.as_bytes())?;
        let file = listing.files.get("a-1.tar.gz").ok_or("listed")?;
        assert_eq!(
            (file.requires_python.as_deref(), file.yanked.as_deref()),
            (Some(">=3.8"), Some(""))
        );
        assert_eq!((file.sha256, file.metadata), (sha, Some(sha)));
        assert_eq!(
            listing.files.len(),
            1,
            "one without a sha256 cannot be carried"
        );
        let text = String::from_utf8(listing.to_json())?;
        assert!(
            text.contains("\"api-version\":\"1.0\"") && !text.contains("versions\":["),
            "{text}"
        );
        Ok(())
    }
}
