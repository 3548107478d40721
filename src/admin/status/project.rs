//! One project as people look at it: its versions, newest first, and what is known of each file.
//!
//! Made of the very page that clients get, after its reader was let in, so that it shows no
//! reader more than that page does; with a look at what is cached. Everything on it was written by
//! an uploader, and is text here, never markup; links are made of routes that were understood. Must not
//! know HTML, or how the page was come by.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::SystemTime;

use pep440_rs::Version;
use serde::Serialize;
use url::Url;

use crate::index::Page;
use crate::registry::{FileRef, PORTABLE_BASE, PageRef, Route};
use crate::simple::{
    Entry, Format, ProjectName, ProjectStatus, RewriteError, file_version, read_entries,
};
use crate::values::digest::Digest;

/// Files that are shown; of more the first on the page.
const FILES_MAX: usize = 5000;

#[derive(Debug, Serialize)]
pub struct Project {
    pub schema: u32,
    pub name: String,
    /// `projects/42`, `groups/acme`, or a mirror's name.
    pub of: String,
    /// What the index says of the project as a whole (PEP 792).
    pub status: Option<ProjectStatus>,
    /// Set on a page that is shown although upstream could not confirm it.
    pub stale_for_seconds: Option<u64>,
    pub files: usize,
    pub held: usize,
    /// Further ones that the page lists.
    pub left_out: usize,
    pub releases: Vec<Release>,
}

#[derive(Debug, Serialize)]
pub struct Release {
    /// As the files' names have it; null for files that have none.
    pub version: Option<String>,
    pub files: Vec<ProjectFile>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProjectFile {
    pub filename: String,
    /// At this larder; null for what does not lead through it.
    pub url: Option<String>,
    pub sha256: Option<Digest>,
    pub size_bytes: Option<u64>,
    pub requires_python: Option<String>,
    /// Why it was yanked, which may be empty; null if it was not.
    pub yanked: Option<String>,
    /// RFC 3339.
    pub upload_time: Option<String>,
    /// Whether its metadata is offered by itself (PEP 658).
    pub metadata: bool,
    /// Whether its bytes are here.
    pub held: bool,
}

/// A project's page, and what is shown besides the page's own bytes.
#[derive(Debug)]
pub struct ProjectPage {
    pub page: PageRef,
    /// Stands before every link of larder's.
    pub path_prefix: String,
    pub stale_for_seconds: Option<u64>,
}

impl ProjectPage {
    /// Reads the page that the reader was given. `held_size` tells of an address how many bytes it
    /// yields if they are here, and may block.
    pub fn read(
        &self,
        page: &Page,
        held_size: impl Fn(&FileRef) -> Option<u64>,
    ) -> Option<Project> {
        let forms = page.forms();
        let name = self.page.name.as_ref()?;
        match self.read_json(name, &forms.choose([]).body, held_size) {
            Ok(project) => Some(project),
            Err(why) => {
                tracing::warn!(error = %why, "a page of ours cannot be read");
                None
            }
        }
    }

    fn read_json(
        &self,
        name: &ProjectName,
        body: &[u8],
        held_size: impl Fn(&FileRef) -> Option<u64>,
    ) -> Result<Project, RewriteError> {
        let base = Url::parse(PORTABLE_BASE).map_err(|_| RewriteError::Spent)?;
        let prefix = self.path_prefix.clone();
        let take = move |entry: &Entry<'_>| Some(file_of(entry, &prefix));
        let (mut listed, status) = read_entries(Format::Json, name, base, body, take)?;
        let left_out = listed.len().saturating_sub(FILES_MAX);
        listed.truncate(FILES_MAX);
        let mut files = Vec::with_capacity(listed.len());
        for (mut file, address) in listed {
            // The size of a cached file is known better here than in the index.
            if let Some(size) = address.as_ref().and_then(&held_size) {
                file.held = true;
                file.size_bytes = Some(size);
            }
            files.push(file);
        }
        Ok(Project {
            schema: super::report::SCHEMA,
            name: name.to_string(),
            of: self.page.scope.to_string(),
            status,
            stale_for_seconds: self.stale_for_seconds,
            files: files.len(),
            held: files.iter().filter(|file| file.held).count(),
            left_out,
            releases: releases(files, name),
        })
    }
}

fn file_of(entry: &Entry<'_>, path_prefix: &str) -> (ProjectFile, Option<FileRef>) {
    let text = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().map(str::to_owned);
    let ours = entry.url.scheme() == "larder" && !entry.url.has_host();
    let below = entry.url.path().strip_prefix(path_prefix).filter(|_| ours);
    let route = below.and_then(|path| Route::from_path(path).ok());
    let (address, url) = match route {
        Some(Route::File(file)) => (Some(file.clone()), Some(Route::File(file))),
        Some(Route::Mirrored(path)) => (
            entry.sha256.map(|digest| FileRef::mirrored(&path, digest)),
            Some(Route::Mirrored(path)),
        ),
        _ => (None, None),
    };
    let file = ProjectFile {
        filename: entry.name.clone().into_owned(),
        url: url.map(|route| format!("{path_prefix}{route}")),
        sha256: entry.sha256,
        size_bytes: entry.size,
        requires_python: text(&entry.requires_python),
        yanked: text(&entry.yanked),
        upload_time: entry.upload_time.and_then(written),
        metadata: entry.core_metadata.is_some(),
        held: false,
    };
    (file, address)
}

/// A time that its printer cannot write (before 1970, after 9999) is none.
fn written(time: SystemTime) -> Option<String> {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    (seconds < 253_402_300_800).then(|| humantime::format_rfc3339_seconds(time).to_string())
}

/// By version, newest first; what bears none comes last.
fn releases(files: Vec<ProjectFile>, project: &ProjectName) -> Vec<Release> {
    let mut by_version: BTreeMap<Option<String>, Vec<ProjectFile>> = BTreeMap::new();
    for file in files {
        let version = file_version(&file.filename, project).map(str::to_owned);
        by_version.entry(version).or_default().push(file);
    }
    let mut releases: Vec<Release> = by_version
        .into_iter()
        .map(|(version, files)| Release { version, files })
        .collect();
    releases.sort_by(|one, other| newer_first(one.version.as_deref(), other.version.as_deref()));
    releases
}

/// Versions that PEP 440 orders before those it does not know.
fn newer_first(one: Option<&str>, other: Option<&str>) -> Ordering {
    let read = |text: Option<&str>| text.and_then(|text| text.parse::<Version>().ok());
    match (read(one), read(other)) {
        (Some(a), Some(b)) => b.cmp(&a).then_with(|| other.cmp(&one)),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => other.cmp(&one),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Checked = Result<(), Box<dyn std::error::Error>>;

    fn project(
        files: &serde_json::Value,
        prefix: &str,
    ) -> Result<Project, Box<dyn std::error::Error>> {
        let Route::Page(page) = Route::from_path("/pypi/simple/a/")? else {
            return Err("a page".into());
        };
        let body = serde_json::json!({"meta": {"api-version": "1.0"}, "name": "a", "files": files})
            .to_string();
        let name = page.name.clone().ok_or("a name")?;
        let page = ProjectPage {
            page,
            path_prefix: prefix.to_owned(),
            stale_for_seconds: None,
        };
        let held = |file: &FileRef| file.filename.is_wheel().then_some(7);
        Ok(page.read_json(&name, body.as_bytes(), held)?)
    }

    fn file(name: &str, url: &str) -> serde_json::Value {
        serde_json::json!({"filename": name, "url": url, "hashes": {"sha256": Digest::of(b"x")}})
    }

    #[test]
    fn versions_come_newest_first_with_what_is_held() -> Checked {
        let names = [
            "a-1.9.tar.gz",
            "a-1.10.tar.gz",
            "a-1.10-py3-none-any.whl",
            "a-2rc1.tar.gz",
            "odd.tar.gz",
        ];
        let files: Vec<_> = names
            .iter()
            .map(|name| file(name, &format!("/pypi/packages/{name}")))
            .collect();
        let project = project(&files.into(), "")?;
        let told: Vec<_> = project
            .releases
            .iter()
            .map(|release| (release.version.as_deref(), release.files.len()))
            .collect();
        assert_eq!(
            told,
            [
                (Some("2rc1"), 1),
                (Some("1.10"), 2),
                (Some("1.9"), 1),
                (None, 1)
            ]
        );
        assert_eq!((project.files, project.held, project.left_out), (5, 1, 0));
        let sizes = project
            .releases
            .iter()
            .flat_map(|release| &release.files)
            .map(|file| file.size_bytes);
        assert_eq!(
            sizes.flatten().collect::<Vec<_>>(),
            [7],
            "of the one that is held"
        );
        Ok(())
    }

    #[test]
    fn only_addresses_of_ours_become_links() -> Checked {
        for (url, prefix, leads) in [
            ("/pypi/packages/a-1.tar.gz", "", true),
            ("/x/pypi/packages/a-1.tar.gz", "/x", true),
            ("/pypi/packages/a-1.tar.gz", "/x", false),
            ("https://files.example/pypi/packages/a-1.tar.gz", "", false),
            ("javascript:alert(1)", "", false),
            ("//evil.example/pypi/packages/a-1.tar.gz", "", false),
            ("/-/", "", false),
        ] {
            let project = project(&serde_json::json!([file("a-1.tar.gz", url)]), prefix)?;
            let files: Vec<_> = project
                .releases
                .iter()
                .flat_map(|release| &release.files)
                .collect();
            let link = files.first().and_then(|file| file.url.as_deref());
            assert_eq!(link, leads.then_some(url), "{url}");
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn the_order_is_one(texts in prop::collection::vec(prop::option::of("[0-9.abrc+-]{1,6}"), 3)) {
            let mut sorted = texts;
            sorted.sort_by(|one, other| newer_first(one.as_deref(), other.as_deref()));
            prop_assert!(sorted.is_sorted_by(|one, other| newer_first(one.as_deref(), other.as_deref()) != Ordering::Greater));
        }
    }
}
