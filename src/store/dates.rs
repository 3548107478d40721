//! Sizes and upload dates of the files of GitLab's pages, which GitLab's pages do not tell.
//!
//! A date is kept for as long as the page goes on listing its file: the date of a file does not
//! change, but a file that was deleted and uploaded again is as old as its second upload. Of a file
//! without a date is kept when a page first listed it, where the operator lets that count. Of the
//! pages of groups and mirrors no date is ever forgotten, because what a caller is shown of a group
//! says nothing of the rest, and a first-seen day only where there are too many.
//!
//! One small file for each page that has any, replaced as a whole: a line with the page's path, and
//! one for each of its files. A line that cannot be read is none. They count towards no budget, are
//! never evicted, and are asked for again if they are lost. Must not know where they come from.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::SystemTime;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::error::StoreError;
use super::folder::Folder;
use super::layout::{self, Layout};
use crate::registry::{FileRef, PageRef};
use crate::simple::FileFacts;
use crate::values::digest::Digest;

/// A file without a date, and when a page of larder's first listed it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenFile {
    pub digest: Digest,
    pub filename: String,
    pub first_seen: SystemTime,
}

/// Roughly what one file takes in memory.
const FILE_BYTES: usize = 160;

/// A file with what is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatedFile {
    pub digest: Digest,
    pub filename: String,
    pub facts: FileFacts,
}

/// As it is written; the date by RFC 3339.
#[derive(Serialize, Deserialize)]
struct FileLine {
    sha256: Digest,
    file: String,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    uploaded: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    first_seen: Option<String>,
}

/// What has become known of the files of one page.
#[derive(Clone, Debug, Default)]
pub struct PageNews {
    pub dated: Vec<DatedFile>,
    pub seen: Vec<SeenFile>,
}

impl PageNews {
    pub fn is_empty(&self) -> bool {
        self.dated.is_empty() && self.seen.is_empty()
    }
}

/// What is known of the files of one page.
#[derive(Clone, Debug, Default)]
pub struct PageDates {
    files: HashMap<Digest, Vec<DatedFile>>,
    count: usize,
    /// Of each dated file a hash, added up.
    mark: u64,
    seen: HashMap<Digest, Vec<SeenFile>>,
    seen_count: usize,
    is_unreadable: bool,
}

impl PageDates {
    /// In place of what is there and cannot be read now.
    pub fn unreadable() -> Self {
        Self {
            is_unreadable: true,
            // Of no files that could be read.
            mark: u64::MAX,
            ..Self::default()
        }
    }

    /// Whether more may be known, and cannot be read now.
    pub fn is_unreadable(&self) -> bool {
        self.is_unreadable
    }

    /// What is known of the file with this digest and this name.
    pub fn find(&self, digest: Digest, filename: &str) -> Option<FileFacts> {
        let named = self.files.get(&digest)?;
        let file = named.iter().find(|file| file.filename == filename)?;
        Some(file.facts)
    }

    /// When a page of larder's first listed the file with this digest and this name.
    pub fn first_seen(&self, digest: Digest, filename: &str) -> Option<SystemTime> {
        let named = self.seen.get(&digest)?;
        let file = named.iter().find(|file| file.filename == filename)?;
        Some(file.first_seen)
    }

    /// Files of which a size or a date is known.
    pub fn len(&self) -> usize {
        self.count
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0 && self.seen_count == 0
    }

    /// Another one as soon as a file gets a date, or another date, or is forgotten: the difference
    /// is that of the files alone.
    pub fn mark(&self) -> u64 {
        self.mark
    }

    /// Bytes this takes in memory, roughly.
    pub fn weight(&self) -> usize {
        (self.count + self.seen_count + 1) * FILE_BYTES
    }

    pub fn learn(&mut self, news: PageNews) {
        for file in news.dated {
            self.add(file);
        }
        for file in news.seen {
            self.see(file);
        }
    }

    /// Of two dates of one file, which a group may have in two projects, the later counts: a file
    /// must not look older than it is.
    pub fn add(&mut self, new: DatedFile) {
        let named = self.files.entry(new.digest).or_default();
        match named.iter_mut().find(|file| file.filename == new.filename) {
            Some(known) if known.facts.upload_time < new.facts.upload_time => {
                let gone = mark_of(known);
                self.mark = self.mark.wrapping_sub(gone).wrapping_add(mark_of(&new));
                *known = new;
            }
            Some(_) => {}
            None => {
                self.mark = self.mark.wrapping_add(mark_of(&new));
                named.push(new);
                self.count += 1;
            }
        }
    }

    /// Notes when a file was first seen; what was noted before counts.
    pub fn see(&mut self, new: SeenFile) {
        let named = self.seen.entry(new.digest).or_default();
        match named.iter_mut().find(|file| file.filename == new.filename) {
            Some(known) => known.first_seen = known.first_seen.min(new.first_seen),
            None => {
                named.push(new);
                self.seen_count += 1;
            }
        }
    }

    /// Every file without a date that was seen.
    pub fn seen(&self) -> impl Iterator<Item = &SeenFile> {
        self.seen.values().flatten()
    }

    pub fn seen_len(&self) -> usize {
        self.seen_count
    }

    /// Forgets when files were first seen that are not among these, and gives how many those were.
    pub fn keep_seen(&mut self, listed: &[(Digest, String)]) -> usize {
        let mut names = HashSet::new();
        for (digest, filename) in listed {
            names.insert((*digest, filename.as_str()));
        }
        self.retain_seen(&names)
    }

    fn retain_seen(&mut self, names: &HashSet<(Digest, &str)>) -> usize {
        let before = self.seen_count;
        self.seen_count = 0;
        for (digest, named) in &mut self.seen {
            named.retain(|file| names.contains(&(*digest, file.filename.as_str())));
            self.seen_count += named.len();
        }
        self.seen.retain(|_, named| !named.is_empty());
        before - self.seen_count
    }

    /// Whether anything is known of a file that is not among these.
    pub fn has_others<'f>(&self, listed: impl Iterator<Item = &'f FileRef>) -> bool {
        if self.is_empty() {
            return false;
        }
        let mut names = HashSet::new();
        for file in listed {
            names.insert((file.digest, file.filename.as_str()));
        }
        let dated = self.files.values().flatten();
        let mut dated = dated.map(|file| (file.digest, file.filename.as_str()));
        let mut seen = self
            .seen()
            .map(|file| (file.digest, file.filename.as_str()));
        !dated.all(|file| names.contains(&file)) || !seen.all(|file| names.contains(&file))
    }

    /// Forgets the files that are not among these, and gives how many those were.
    pub fn keep_listed<'f>(&mut self, listed: impl Iterator<Item = &'f FileRef>) -> usize {
        let mut names = HashSet::new();
        for file in listed {
            names.insert((file.digest, file.filename.as_str()));
        }
        let before = self.count;
        self.count = 0;
        for (digest, named) in &mut self.files {
            named.retain(|file| names.contains(&(*digest, file.filename.as_str())));
            self.count += named.len();
        }
        self.files.retain(|_, named| !named.is_empty());
        self.mark = 0;
        for file in self.files.values().flatten() {
            self.mark = self.mark.wrapping_add(mark_of(file));
        }
        before - self.count + self.retain_seen(&names)
    }

    fn lines(&self) -> Vec<FileLine> {
        let mut lines = Vec::new();
        for file in self.files.values().flatten() {
            let Some(time) = file.facts.upload_time else {
                continue;
            };
            lines.push(FileLine {
                sha256: file.digest,
                file: file.filename.clone(),
                size: file.facts.size,
                uploaded: Some(humantime::format_rfc3339_micros(time).to_string()),
                first_seen: None,
            });
        }
        for file in self.seen() {
            lines.push(FileLine {
                sha256: file.digest,
                file: file.filename.clone(),
                size: None,
                uploaded: None,
                first_seen: Some(humantime::format_rfc3339_micros(file.first_seen).to_string()),
            });
        }
        lines.sort_by(|one, other| one.file.cmp(&other.file));
        lines
    }

    /// What stands in a page's file; nothing if it is another page's.
    fn read(page: &str, text: &str) -> Self {
        let mut dates = Self::default();
        let mut lines = text.lines();
        if lines.next() != Some(page) {
            return dates;
        }
        for line in lines {
            let Ok(line) = serde_json::from_str::<FileLine>(line) else {
                continue;
            };
            dates.take(line);
        }
        dates
    }

    fn take(&mut self, line: FileLine) {
        let time = |text: Option<String>| humantime::parse_rfc3339(&text?).ok();
        if let Some(first_seen) = time(line.first_seen) {
            self.see(SeenFile {
                digest: line.sha256,
                filename: line.file,
                first_seen,
            });
        } else if let Some(uploaded) = time(line.uploaded) {
            self.add(DatedFile {
                digest: line.sha256,
                filename: line.file,
                facts: FileFacts {
                    size: line.size,
                    upload_time: Some(uploaded),
                },
            });
        }
    }
}

fn mark_of(file: &DatedFile) -> u64 {
    let mut hasher = DefaultHasher::new();
    (file.digest, &file.filename, file.facts.upload_time).hash(&mut hasher);
    hasher.finish()
}

/// The dates of one folder.
pub struct DateStore {
    folder: Arc<Folder>,
    /// One at a time: a file is read, and replaced with more or less in it.
    changing: Mutex<()>,
}

impl DateStore {
    pub(super) fn new(folder: Arc<Folder>) -> Self {
        Self {
            folder,
            changing: Mutex::default(),
        }
    }

    /// What is known of a page's files. Blocks.
    ///
    /// # Errors
    /// When it is there and cannot be read.
    pub fn read(&self, page: &PageRef) -> Result<PageDates, StoreError> {
        read(&self.folder.layout, page)
    }

    /// Adds what has become known of a page's files, and gives all that is. Blocks.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn add(&self, page: &PageRef, new: PageNews) -> Result<PageDates, StoreError> {
        let _one_at_a_time = self.changing.lock();
        let mut dates = self.read(page)?;
        dates.learn(new);
        self.replace(page, &dates)?;
        Ok(dates)
    }

    /// Forgets the files of a page that are not among these. Blocks.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub fn keep_listed(&self, page: &PageRef, listed: &[FileRef]) -> Result<(), StoreError> {
        let _one_at_a_time = self.changing.lock();
        let mut dates = self.read(page)?;
        if dates.keep_listed(listed.iter()) > 0 {
            self.replace(page, &dates)?;
        }
        Ok(())
    }

    /// Forgets when files of a page were first seen that are not among these. Blocks.
    ///
    /// # Errors
    /// When the folder cannot be read or written.
    pub fn keep_seen(&self, page: &PageRef, listed: &[(Digest, String)]) -> Result<(), StoreError> {
        let _one_at_a_time = self.changing.lock();
        let mut dates = self.read(page)?;
        if dates.keep_seen(listed) > 0 {
            self.replace(page, &dates)?;
        }
        Ok(())
    }

    fn replace(&self, page: &PageRef, dates: &PageDates) -> Result<(), StoreError> {
        let path = page.path();
        let mut text = format!("{path}\n");
        for line in dates.lines() {
            text.push_str(&serde_json::to_string(&line).unwrap_or_default());
            text.push('\n');
        }
        let place = self.folder.layout.dates(&path);
        let written = self.folder.layout.replace_file(&place, text.as_bytes());
        written.map_err(StoreError::io("write", &place))
    }
}

/// What is known of a page's files.
pub(super) fn read(layout: &Layout, page: &PageRef) -> Result<PageDates, StoreError> {
    let path = page.path();
    let Some(bytes) = layout::read(&layout.dates(&path))? else {
        return Ok(PageDates::default());
    };
    Ok(PageDates::read(&path, &String::from_utf8_lossy(&bytes)))
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::registry::{Route, Scope};

    type Checked = Result<(), Box<dyn std::error::Error>>;

    fn dated(body: &[u8], filename: &str, millis: u64) -> DatedFile {
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(millis);
        DatedFile {
            digest: Digest::of(body),
            filename: filename.to_owned(),
            facts: FileFacts {
                size: Some(body.len() as u64),
                upload_time: Some(time),
            },
        }
    }

    fn told(dated: Vec<DatedFile>) -> PageNews {
        PageNews {
            dated,
            seen: Vec::new(),
        }
    }

    #[test]
    fn what_was_seen_first_counts_and_is_no_date() -> Checked {
        let dir = tempfile::tempdir()?;
        let open =
            || Ok::<_, StoreError>(DateStore::new(Folder::new(Layout::make(dir.path())?, 0)));
        let scope = Scope::mirror("pypi").ok_or("a mirror")?;
        let page = PageRef::parse(scope, "my-pkg").ok_or("a page")?;
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let digest = Digest::of(b"one");
        for seconds in [9, 5, 7] {
            let seen = SeenFile {
                digest,
                filename: "a.whl".to_owned(),
                first_seen: at(seconds),
            };
            let news = PageNews {
                dated: Vec::new(),
                seen: vec![seen],
            };
            open()?.add(&page, news)?;
        }
        let read = open()?.read(&page)?;
        assert_eq!(read.first_seen(digest, "a.whl"), Some(at(5)));
        assert_eq!(read.first_seen(digest, "b.whl"), None);
        assert_eq!(read.find(digest, "a.whl"), None, "no upload date");
        assert_eq!((read.len(), read.is_empty()), (0, false));
        open()?.keep_listed(&page, &[])?;
        assert!(open()?.read(&page)?.is_empty());
        Ok(())
    }

    #[test]
    fn what_was_learned_of_a_page_is_that_pages_and_outlives_the_process() -> Checked {
        let dir = tempfile::tempdir()?;
        let open =
            || Ok::<_, StoreError>(DateStore::new(Folder::new(Layout::make(dir.path())?, 0)));
        let scope = Scope::project(42).ok_or("a project")?;
        let page = PageRef::parse(scope.clone(), "my-pkg").ok_or("a page")?;
        let other = PageRef::parse(scope, "other").ok_or("a page")?;
        assert!(open()?.read(&page)?.is_empty());
        open()?.add(&page, told(vec![dated(b"one", "a.whl", 1_704_164_645_123)]))?;
        let all = open()?.add(&page, told(vec![dated(b"two", "b.whl", 5)]))?;
        let read = open()?.read(&page)?;
        assert_eq!((all.len(), read.len()), (2, 2));
        let one = dated(b"one", "a.whl", 1_704_164_645_123);
        assert_eq!(read.find(one.digest, "a.whl"), Some(one.facts));
        assert_eq!(read.find(one.digest, "b.whl"), None, "by digest and name");
        assert!(open()?.read(&other)?.is_empty());

        let listed = |body: &[u8], name: &str| {
            let digest = Digest::of(body);
            let path = format!("/api/v4/projects/42/packages/pypi/files/{digest}/{name}");
            match Route::from_path(&path) {
                Ok(Route::File(file)) => Some(file),
                _ => None,
            }
        };
        let two = listed(b"two", "b.whl").ok_or("a file")?;
        let renamed = listed(b"one", "c.whl").ok_or("a file")?;
        open()?.keep_listed(&page, &[two.clone(), renamed])?;
        let read = open()?.read(&page)?;
        assert_eq!(read.len(), 1, "what the page lists no more is forgotten");
        assert_eq!(read.find(one.digest, "a.whl"), None);
        assert!(read.find(two.digest, "b.whl").is_some());
        Ok(())
    }

    #[test]
    fn another_date_makes_another_mark_and_a_forgotten_one_takes_its_own_along() {
        let mut dates = PageDates::default();
        dates.add(dated(b"one", "a.whl", 5));
        let one = dates.mark();
        dates.add(dated(b"one", "a.whl", 3));
        assert_eq!(dates.mark(), one, "the later one counts");
        dates.add(dated(b"two", "b.whl", 5));
        let two = dates.mark().wrapping_sub(one);
        dates.add(dated(b"one", "a.whl", 9));
        assert_ne!(
            dates.mark().wrapping_sub(two),
            one,
            "as many, and not the same"
        );
        dates.keep_listed(std::iter::empty());
        assert_eq!(dates.mark(), PageDates::default().mark());
    }

    #[test]
    fn of_two_dates_the_later_counts_and_garbage_is_nothing() {
        let mut dates = PageDates::default();
        for millis in [5, 9, 7] {
            dates.add(dated(b"one", "a.whl", millis));
        }
        let later = dated(b"one", "a.whl", 9);
        assert_eq!(dates.len(), 1);
        assert_eq!(dates.find(later.digest, "a.whl"), Some(later.facts));
        let line = serde_json::to_string(&dates.lines()).unwrap_or_default();
        let line = line.trim_matches(['[', ']']);
        let text = format!("/page/\n{{ no json\n{line}\n{{\"sha256\":\"x\",\"file\":\"y\"}}");
        assert_eq!(PageDates::read("/page/", &text).len(), 1);
        assert!(PageDates::read("/other/", &text).is_empty());
    }
}
