//! What larder learned of upstreams and keeps with what it fetched from them: the public index that
//! a GitLab points to, the file hosts that an index's pages named, the mirrors that a parent serves,
//! the projects that GitLab's pages called quarantined, and the exceptions that signed bundles
//! brought.
//!
//! One small file, replaced as a whole. What is read is judged again by its reader, because another
//! configuration may have written it. Must not judge it.

#![expect(clippy::disallowed_methods, reason = "the disk is this room's own")]

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::folder::Folder;
use super::layout::Layout;
use crate::registry::PageRef;
use crate::registry::policy::{ExceptionConfig, PolicyException};
use crate::simple::{ProjectName, ProjectStatus};

/// Longest file that is read, and so that is written.
const BYTES_MAX: u64 = 4 << 20;

/// GitLabs and indexes that are remembered; more are a sign that the file is no good.
const ENTRIES_MAX: usize = 64;

/// Quarantined projects of GitLab's pages that are remembered.
const QUARANTINES_MAX: usize = 1024;

/// Exceptions of bundles that are remembered.
const EXCEPTIONS_MAX: usize = 256;

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LearnedFacts {
    /// By the URL of a GitLab, the URL of the index that its redirects lead to.
    pub public_indexes: BTreeMap<String, String>,
    /// By the URL of an index, the origins that its pages named as where files are.
    pub file_hosts: BTreeMap<String, Vec<String>>,
    /// Those of `[[exceptions]]` that signed bundles brought, for each package the newest with it.
    pub exceptions: Vec<ExceptionConfig>,
    /// When the newest of them was made, in seconds of Unix time.
    pub exceptions_made: u64,
    /// By the URL of a parent, what it serves.
    pub parents: BTreeMap<String, ParentFacts>,
    /// By the path of a page of GitLab's, what it said last of a project that is quarantined. A
    /// file's own address says nothing of it, and no page need be asked for before it.
    pub quarantines: BTreeMap<String, ProjectStatus>,
}

/// What a parent serves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ParentFacts {
    /// The names of its mirrors.
    pub mirrors: Vec<String>,
    /// Whether links of its pages may lead to files of the index that GitLab points to.
    pub has_public_index: bool,
}

/// What a signed bundle says of exceptions.
pub struct BroughtExceptions<'b> {
    pub exceptions: &'b [ExceptionConfig],
    /// The packages whose pages it has.
    pub carried: &'b HashSet<ProjectName>,
    /// When it was made.
    pub made: SystemTime,
}

impl BroughtExceptions<'_> {
    /// These, and those known before that are of packages which the bundle does not carry.
    fn with_others<'k>(&'k self, known: &'k [ExceptionConfig]) -> Vec<&'k ExceptionConfig> {
        let mut all: Vec<_> = self.exceptions.iter().collect();
        for written in known {
            let is_carried = match ProjectName::parse(&written.package) {
                Ok(name) => self.carried.contains(&name),
                Err(_) => true,
            };
            if !is_carried && !self.exceptions.contains(written) {
                all.push(written);
            }
        }
        all
    }
}

/// What became of the exceptions of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotedExceptions {
    /// A newer bundle was here before: nothing.
    Older,
    /// They are those that were here.
    Same,
    Replaced,
}

/// The facts of one folder. What changes them blocks.
pub struct Learned {
    folder: Arc<Folder>,
    facts: Mutex<LearnedFacts>,
}

impl Learned {
    pub(super) fn new(folder: Arc<Folder>) -> Self {
        let facts = Mutex::new(read(&folder.layout));
        Self { folder, facts }
    }

    pub fn facts(&self) -> LearnedFacts {
        self.facts.lock().clone()
    }

    /// Notes where the redirects of a GitLab lead.
    ///
    /// # Errors
    /// When the folder cannot be written; it is known here all the same.
    pub fn note_index(&self, gitlab: &str, index: &str) -> Result<(), StoreError> {
        self.change(|facts| insert(&mut facts.public_indexes, gitlab, index.to_owned()))
    }

    /// Notes the origins that an index's pages named.
    ///
    /// # Errors
    /// When the folder cannot be written; they are known here all the same.
    pub fn note_hosts(&self, index: &str, hosts: Vec<String>) -> Result<(), StoreError> {
        self.change(|facts| insert(&mut facts.file_hosts, index, hosts))
    }

    /// Notes what a parent serves.
    ///
    /// # Errors
    /// When the folder cannot be written; it is known here all the same.
    pub fn note_parent(&self, parent: &str, serves: ParentFacts) -> Result<(), StoreError> {
        self.change(|facts| insert(&mut facts.parents, parent, serves))
    }

    pub fn has_quarantines(&self) -> bool {
        !self.facts.lock().quarantines.is_empty()
    }

    /// What a page of GitLab's said last of its project, if that is that it is quarantined.
    pub fn quarantine(&self, page: &PageRef) -> Option<ProjectStatus> {
        let facts = self.facts.lock();
        facts.quarantines.get(&page.path()).cloned()
    }

    /// Notes what a page of GitLab's says of its project.
    ///
    /// # Errors
    /// When the folder cannot be written; it is known here all the same.
    pub fn note_status(
        &self,
        page: &PageRef,
        status: Option<&ProjectStatus>,
    ) -> Result<(), StoreError> {
        let path = page.path();
        self.change(|facts| match status {
            Some(status) if status.is_quarantined() => {
                let is_full = facts.quarantines.len() >= QUARANTINES_MAX;
                if is_full && !facts.quarantines.contains_key(&path) {
                    tracing::warn!(
                        page = path,
                        "is quarantined, as are {QUARANTINES_MAX} others, and its files are not refused by their own addresses"
                    );
                    return;
                }
                facts.quarantines.insert(path, status.clone());
            }
            Some(_) | None => {
                facts.quarantines.remove(&path);
            }
        })
    }

    /// Notes the exceptions of a bundle, in place of those that bundles before brought for the packages
    /// that it carries: what a newer bundle says no more of them is withdrawn. An older one changes
    /// nothing.
    ///
    /// # Errors
    /// When the folder cannot be written; they are known here all the same.
    pub fn note_exceptions(
        &self,
        brought: &BroughtExceptions<'_>,
        now: SystemTime,
    ) -> Result<NotedExceptions, StoreError> {
        let made = brought.made.duration_since(UNIX_EPOCH).unwrap_or_default();
        let made = made.as_secs();
        let mut noted = NotedExceptions::Older;
        let mut dropped = 0;
        self.change(|facts| {
            if made < facts.exceptions_made {
                return;
            }
            let mut holding = Vec::new();
            for written in brought.with_others(&facts.exceptions) {
                match PolicyException::parse(written) {
                    Ok(exception) if exception.is_over(now) => {}
                    Ok(_) if holding.len() < EXCEPTIONS_MAX => holding.push(written.clone()),
                    Ok(_) | Err(_) => dropped += 1,
                }
            }
            noted = if facts.exceptions == holding {
                NotedExceptions::Same
            } else {
                NotedExceptions::Replaced
            };
            facts.exceptions = holding;
            facts.exceptions_made = made;
        })?;
        if dropped > 0 && noted != NotedExceptions::Older {
            tracing::warn!(
                dropped,
                "exceptions of a bundle are not taken: they cannot be read, or are more than {EXCEPTIONS_MAX}"
            );
        }
        Ok(noted)
    }

    /// Forgets where the redirects of any GitLab lead, and which hosts have the files of these
    /// indexes.
    ///
    /// # Errors
    /// When the folder cannot be written; they are forgotten here all the same.
    pub fn forget_public_indexes(&self) -> Result<(), StoreError> {
        self.change(|facts| {
            for index in std::mem::take(&mut facts.public_indexes).into_values() {
                facts.file_hosts.remove(&index);
            }
        })
    }

    /// Forgets everything.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn clear(&self) -> Result<(), StoreError> {
        self.change(|facts| *facts = LearnedFacts::default())
    }

    fn change(&self, change: impl FnOnce(&mut LearnedFacts)) -> Result<(), StoreError> {
        let mut facts = self.facts.lock();
        let before = facts.clone();
        change(&mut facts);
        if *facts == before {
            return Ok(());
        }
        let path = self.folder.layout.learned();
        let text = match serde_json::to_vec_pretty(&*facts) {
            Ok(text) if text.len() as u64 > BYTES_MAX => Err(io::ErrorKind::FileTooLarge.into()),
            text => text.map_err(io::Error::from),
        };
        let written = text.and_then(|text| self.folder.layout.replace_file(&path, &text));
        written.map_err(StoreError::io("write", &path))
    }
}

/// Beyond the bound the others are forgotten: they are learned again.
fn insert<T>(map: &mut BTreeMap<String, T>, key: &str, value: T) {
    if map.len() >= ENTRIES_MAX && !map.contains_key(key) {
        map.clear();
    }
    map.insert(key.to_owned(), value);
}

/// What is noted; nothing if there is no such file, or none that can be used: it is learned again.
pub(super) fn read(layout: &Layout) -> LearnedFacts {
    let path = layout.learned();
    let facts = match read_text(&path) {
        Ok(text) => serde_json::from_slice::<LearnedFacts>(&text).map_err(io::Error::from),
        Err(why) if why.kind() == io::ErrorKind::NotFound => return LearnedFacts::default(),
        Err(why) => Err(why),
    };
    match facts {
        Ok(facts)
            if facts.public_indexes.len() <= ENTRIES_MAX
                && facts.file_hosts.len() <= ENTRIES_MAX
                && facts.parents.len() <= ENTRIES_MAX
                && facts.quarantines.len() <= QUARANTINES_MAX =>
        {
            facts
        }
        Ok(_) => {
            tracing::warn!("what was learned of upstreams cannot be used: it is learned again");
            LearnedFacts::default()
        }
        Err(why) => {
            tracing::warn!(error = %why, "what was learned of upstreams cannot be read: it is learned again");
            LearnedFacts::default()
        }
    }
}

fn read_text(path: &std::path::Path) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    File::open(path)?.take(BYTES_MAX).read_to_end(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Checked = Result<(), Box<dyn std::error::Error>>;

    #[test]
    fn the_newest_bundles_exceptions_are_all_that_count_of_its_packages() -> Checked {
        let dir = tempfile::tempdir()?;
        let open = || Ok::<_, StoreError>(Learned::new(Folder::new(Layout::make(dir.path())?, 0)));
        let exception = |until: &str| ExceptionConfig {
            package: "urllib3".to_owned(),
            version: "==2.6.1".to_owned(),
            until: until.to_owned(),
            reason: "a fix".to_owned(),
            ..ExceptionConfig::default()
        };
        let day = humantime::parse_rfc3339("2027-01-01T00:00:00Z")?;
        let at = |seconds| day + std::time::Duration::from_secs(seconds);
        let carried = HashSet::from([ProjectName::parse("urllib3")?]);
        let long = vec![exception("2027-12-31")];
        let short = vec![exception("2027-02-01")];
        let over = vec![exception("2026-12-01")];
        for (brought, made, noted, left) in [
            (&long, 1, NotedExceptions::Replaced, &long),
            (&short, 2, NotedExceptions::Replaced, &short),
            (&long, 1, NotedExceptions::Older, &short),
            (&short, 2, NotedExceptions::Same, &short),
            (&over, 3, NotedExceptions::Replaced, &Vec::new()),
            (&short, 2, NotedExceptions::Older, &Vec::new()),
        ] {
            let brought = BroughtExceptions {
                exceptions: brought,
                carried: &carried,
                made: at(made),
            };
            assert_eq!(open()?.note_exceptions(&brought, day)?, noted);
            assert_eq!(open()?.facts().exceptions, *left, "{noted:?} {made}");
        }
        let mut many = Vec::new();
        for number in 0..2 * EXCEPTIONS_MAX {
            let mut one = exception("2027-12-31");
            one.version = format!("=={number}");
            one.reason = "x".repeat(500);
            many.push(one);
        }
        let newest = |exceptions| BroughtExceptions {
            exceptions,
            carried: &carried,
            made: at(4),
        };
        open()?.note_exceptions(&newest(&many), day)?;
        assert_eq!(open()?.facts().exceptions.len(), EXCEPTIONS_MAX);

        // A bundle without the package says nothing of it.
        let none = HashSet::new();
        let silent = BroughtExceptions {
            exceptions: &[],
            carried: &none,
            made: at(4),
        };
        let noted = open()?.note_exceptions(&silent, day)?;
        assert_eq!(noted, NotedExceptions::Same);
        let noted = open()?.note_exceptions(&newest(&[]), day)?;
        assert_eq!(noted, NotedExceptions::Replaced);
        assert!(open()?.facts().exceptions.is_empty());
        Ok(())
    }

    #[test]
    fn what_was_learned_is_read_again_and_garbage_is_nothing() -> Checked {
        let dir = tempfile::tempdir()?;
        let open = || Ok::<_, StoreError>(Learned::new(Folder::new(Layout::make(dir.path())?, 0)));
        assert_eq!(open()?.facts(), LearnedFacts::default());
        let gitlab = "https://gitlab.example.com".to_owned();
        let index = "https://index.example/simple/".to_owned();
        open()?.note_index(&gitlab, &index)?;
        assert_eq!(open()?.facts().public_indexes.get(&gitlab), Some(&index));
        for number in 0..3 * ENTRIES_MAX {
            open()?.note_hosts(&format!("https://{number}.example/"), Vec::new())?;
        }
        let facts = open()?.facts();
        assert!(facts.file_hosts.len() <= ENTRIES_MAX && facts.public_indexes.len() == 1);
        open()?.note_hosts(&index, Vec::new())?;
        open()?.note_hosts("https://other.example/", Vec::new())?;
        open()?.forget_public_indexes()?;
        let facts = open()?.facts();
        assert!(facts.public_indexes.is_empty() && !facts.file_hosts.contains_key(&index));
        assert!(!facts.file_hosts.is_empty(), "of other indexes they stay");
        std::fs::write(Layout::make(dir.path())?.learned(), "{ no json")?;
        assert_eq!(open()?.facts(), LearnedFacts::default());
        Ok(())
    }
}
