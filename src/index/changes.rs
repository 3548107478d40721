//! What is different between two states of a project's page.
//!
//! Pure. Looks at what decides about an installation: which files there are, their sha256, whether
//! they are yanked. Must not know where either state came from.

use std::collections::BTreeMap;

use url::Url;

use crate::index::cache::page::Page;
use crate::index::error::PageError;
use crate::simple::{Entry, FileChange, Format, ProjectName, ProjectStatus, read_entries};
use crate::values::digest::Digest;

/// What a page says of its files, by name.
pub(super) type PageFiles = BTreeMap<String, FileState>;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct FileState {
    /// None, too, of a name that stands for two contents.
    pub sha256: Option<Digest>,
    yanked: Option<String>,
}

/// Reads a page that was prepared as JSON.
pub(super) fn files_of(page: &Page, project: &ProjectName) -> Result<PageFiles, PageError> {
    // LinkPolicy on a served page have no host, and where they lead does not matter here.
    let url = Url::parse("http://larder/").map_err(PageError::not_a_page)?;
    let forms = page.forms();
    let (files, _) = files_on(Format::Json, project, url, &forms.choose([]).body)?;
    Ok(files)
}

/// Reads a page that came from `url`, and what it says of the project as a whole.
pub(super) fn files_on(
    format: Format,
    project: &ProjectName,
    url: Url,
    body: &[u8],
) -> Result<(PageFiles, Option<ProjectStatus>), PageError> {
    let take = |entry: &Entry<'_>| {
        let file = FileState {
            sha256: entry.sha256,
            yanked: entry.yanked.as_deref().map(str::to_owned),
        };
        Some((entry.name.to_string(), file))
    };
    let read = read_entries(format, project, url, body, take);
    let (listed, status) = read.map_err(PageError::not_a_page)?;
    let mut files = PageFiles::new();
    for (name, file) in listed {
        let known = files.entry(name).or_insert_with(|| file.clone());
        if known.sha256 != file.sha256 {
            known.sha256 = None;
        }
    }
    Ok((files, status))
}

/// By name.
pub(super) fn changes(before: &PageFiles, after: &PageFiles) -> Vec<(String, FileChange)> {
    let mut changes = BTreeMap::new();
    for (name, file) in after {
        let change = match (before.get(name), &file.yanked) {
            (None, _) => Some(FileChange::Added),
            (Some(old), _) if old.sha256 != file.sha256 => Some(FileChange::Replaced),
            (Some(old), now) if old.yanked == *now => None,
            (Some(_), Some(reason)) => Some(FileChange::Yanked {
                reason: reason.clone(),
            }),
            (Some(_), None) => Some(FileChange::Unyanked),
        };
        changes.extend(change.map(|change| (name.clone(), change)));
    }
    let withdrawn = before.keys().filter(|name| !after.contains_key(*name));
    changes.extend(withdrawn.map(|name| (name.clone(), FileChange::Withdrawn)));
    changes.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use proptest::collection::btree_map;
    use proptest::option;
    use proptest::prelude::*;

    use super::*;

    fn files() -> impl Strategy<Value = PageFiles> {
        let file = (0..2_u8, option::of("[a-b]?"));
        btree_map("[a-e]", file, 0..5).prop_map(|files| {
            let file = |(content, yanked)| FileState {
                sha256: Some(Digest::of(&[content])),
                yanked,
            };
            files
                .into_iter()
                .map(|(name, seen)| (name, file(seen)))
                .collect()
        })
    }

    proptest! {
        #[test]
        fn the_same_is_unchanged(files in files()) {
            prop_assert!(changes(&files, &files).is_empty());
        }

        #[test]
        fn each_difference_is_told_once(before in files(), after in files()) {
            let told: BTreeMap<_, _> = changes(&before, &after).into_iter().collect();
            for name in before.keys().chain(after.keys()) {
                let expected = match (before.get(name), after.get(name)) {
                    (None, _) => Some(FileChange::Added),
                    (_, None) => Some(FileChange::Withdrawn),
                    (Some(old), Some(new)) if old == new => None,
                    (Some(old), Some(new)) if old.sha256 != new.sha256 => Some(FileChange::Replaced),
                    (_, Some(FileState { yanked: Some(reason), .. })) => {
                        Some(FileChange::Yanked { reason: reason.clone() })
                    }
                    _ => Some(FileChange::Unyanked),
                };
                prop_assert_eq!(told.get(name).cloned(), expected, "{}", name);
            }
        }
    }
}
