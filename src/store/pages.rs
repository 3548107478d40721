//! Pages as upstream sent them, so that a restarted daemon can ask "has it changed?" instead of
//! "what is it?".
//!
//! Owns their keys in cacache and the removal of a body that was replaced. A body belongs to one
//! line alone, so that it can go with it, and so that the time of its file (below) speaks of one
//! page: a body that another line has already (GitLab's page of a project, asked for by number and
//! by path) is kept with line ends behind it. Must not know links, freshness or callers.
//!
//! *When upstream last said that a page stands* has to outlive the process, or a restart would make
//! an old page young. The index only appends, so that a line for each confirmation would let it
//! grow for ever; a line is written when a page changed, with the time at which it was asked for.
//! Later confirmations are the time of the body's file, which is one entry of a directory and grows
//! nothing. It is set in whole seconds, rounded down, and a time with a fraction is not believed: a
//! copied folder has its files' times from the copying, and they must not make its pages young.
//!
//! *That a page was taken back* is a line of its own in the page's place, without a body, until a
//! page comes again: files that were found by it are then on no page, and must not be taken for
//! files that never had one.

#![expect(clippy::disallowed_methods, reason = "the disk is this room's own")]

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::error::{StoreError, blocking};
use super::folder::Folder;
use super::index::{self, integrity};
use super::layout::{Layout, sync_dir};
use crate::registry::{PageRef, Route};
use crate::simple::Format;
use crate::values::clock;
use crate::values::digest::Digest;

/// PageRecord ends put behind a body at most; of more equal ones some are shared, and then none of
/// those is removed.
const PADDING_MAX: usize = 64;

/// In the order of two pages of one moment: JSON says more.
const FORMATS: [Format; 2] = [Format::Json, Format::Html];

/// Pages whose end is remembered, of which one may still be on its way to the disk.
const ENDED_MAX: usize = 256;

/// What belongs to a stored body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageMeta {
    /// Upstream's validators, byte for byte.
    pub etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_modified: Option<String>,
    /// Where upstream served it from: links are resolved against it.
    pub url: String,
}

/// What stands in the index beside a body's digest.
#[derive(PartialEq, Serialize, Deserialize)]
pub struct PageRecord {
    #[serde(flatten)]
    pub meta: PageMeta,
    /// So many line ends were put behind the body, which is this line's alone. Absent: others may
    /// refer to it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    padding: Option<usize>,
    /// Upstream has no such page any more; there is no body.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub withdrawn: bool,
}

/// The keys of pages that were ended, and when, the last of them.
#[derive(Default)]
struct EndedPages(VecDeque<(String, SystemTime)>);

impl EndedPages {
    fn note(&mut self, key: String, now: SystemTime) {
        self.0.retain(|(ended, _)| *ended != key);
        if self.0.len() >= ENDED_MAX {
            self.0.pop_front();
        }
        self.0.push_back((key, now));
    }

    /// Whether a page was ended after it was asked for.
    fn since(&self, key: &str, asked: SystemTime) -> bool {
        self.0
            .iter()
            .any(|(ended, at)| ended == key && asked <= *at)
    }
}

/// A line of the index about a page.
pub struct PageLine {
    pub record: PageRecord,
    digest: Digest,
    /// When the page was asked for.
    pub written: SystemTime,
}

/// The line of this key. Blocks.
pub fn find(layout: &Layout, key: &str) -> Result<Option<PageLine>, StoreError> {
    let Some(line) = index::find(layout, key)? else {
        return Ok(None);
    };
    Ok(line.says().map(|record| PageLine {
        record,
        digest: line.digest,
        written: line.written,
    }))
}

/// The lines of a page, in every format that it has one in. Blocks.
fn lines(layout: &Layout, route: &Route) -> Result<Vec<(Format, PageLine)>, StoreError> {
    let mut lines = Vec::new();
    for format in FORMATS {
        if let Some(line) = find(layout, &key(route, format))? {
            lines.push((format, line));
        }
    }
    Ok(lines)
}

impl PageLine {
    /// The body that no other line refers to.
    fn own_body(&self) -> Option<Digest> {
        self.record.padding.map(|_| self.digest)
    }

    /// The page's bytes, checked while they are read; none if they were evicted, or swept with a
    /// damaged disk.
    pub fn body(&self, layout: &Layout) -> Result<Option<Bytes>, StoreError> {
        match cacache::read_hash_sync(layout.root(), &integrity(self.digest)) {
            Ok(mut body) => {
                let padding = self.record.padding.unwrap_or_default();
                body.truncate(body.len().saturating_sub(padding));
                Ok(Some(body.into()))
            }
            Err(cacache::Error::IoError(why, _)) if why.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(why) => Err(why.into()),
        }
    }
}

/// A page on its way in.
struct NewPage {
    meta: PageMeta,
    body: Bytes,
    /// When upstream was asked for it.
    asked: SystemTime,
    /// A power loss must not undo it: upstream could not be asked again.
    to_last: bool,
}

#[derive(Clone)]
pub struct PageStore {
    folder: Arc<Folder>,
    /// One at a time: a body is compared with what lies there.
    /// Held while a page is stored or ended: one at a time.
    storing: Arc<Mutex<EndedPages>>,
}

impl PageStore {
    pub(super) fn new(folder: Arc<Folder>) -> Self {
        Self {
            folder,
            storing: Arc::default(),
        }
    }

    /// The page last stored for this route in this format, checked by cacache while it is read.
    ///
    /// # Errors
    /// When it is there and cannot be read whole.
    pub async fn load(
        &self,
        route: &Route,
        format: Format,
    ) -> Result<Option<(PageMeta, Bytes)>, StoreError> {
        let folder = Arc::clone(&self.folder);
        let key = key(route, format);
        blocking(move || load_now(&folder, &key)).await
    }

    /// When upstream last confirmed the page that is stored for this route in this format; of one
    /// that was stored by an earlier version, when that was.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn last_confirmed(
        &self,
        route: &Route,
        format: Format,
    ) -> Result<Option<SystemTime>, StoreError> {
        let folder = Arc::clone(&self.folder);
        let key = key(route, format);
        blocking(move || {
            let line = find(&folder.layout, &key)?;
            let line = line.filter(|line| !line.record.withdrawn);
            Ok(line.map(|line| last_confirmed(&folder.layout, &line)))
        })
        .await
    }

    /// Notes that upstream was asked at `asked` and confirmed the page with these validators.
    ///
    /// # Errors
    /// When the index cannot be read, or the note cannot be made: the page counts as older than it
    /// is then.
    pub async fn confirm(
        &self,
        route: &Route,
        format: Format,
        (etag, last_modified): (Option<String>, Option<String>),
        asked: SystemTime,
    ) -> Result<(), StoreError> {
        let folder = Arc::clone(&self.folder);
        let key = key(route, format);
        blocking(move || {
            let Some(line) = find(&folder.layout, &key)? else {
                return Ok(());
            };
            let meta = &line.record.meta;
            let is_it = meta.etag == etag && meta.last_modified == last_modified;
            match line.own_body() {
                Some(digest) if is_it => note_confirmed(&folder.layout, digest, asked),
                _ => Ok(()),
            }
        })
        .await
    }

    /// Takes the page back in every format in which it was ever stored, or, with `known`, as one
    /// that was seen and not stored. Says whether there was any.
    ///
    /// # Errors
    /// When the folder cannot be written; some of it may still be there then.
    pub async fn withdraw(&self, route: &Route, known: bool) -> Result<bool, StoreError> {
        let this = self.clone();
        let route = route.clone();
        blocking(move || {
            let withdrawn = this.withdraw_now(&route, known);
            withdrawn.inspect_err(|why| this.folder.health.failed(why, 0, clock::now()))
        })
        .await
    }

    fn withdraw_now(&self, route: &Route, known: bool) -> Result<bool, StoreError> {
        let layout = &self.folder.layout;
        let _one_at_a_time = self.storing.lock();
        let lines = lines(layout, route)?;
        let mut bodies = Vec::new();
        let mut keys = Vec::new();
        let mut url = None;
        if lines.is_empty() && known {
            keys.push(key(route, Format::Json));
        }
        for (format, line) in lines {
            bodies.extend(line.own_body());
            if !line.record.withdrawn {
                keys.push(key(route, format));
            }
            url.get_or_insert(line.record.meta.url);
        }
        let _writing = self.folder.maintenance.enter(None);
        let record = PageRecord {
            meta: PageMeta {
                etag: None,
                last_modified: None,
                url: url.unwrap_or_default(),
            },
            padding: None,
            withdrawn: true,
        };
        for key in &keys {
            // cacache takes a line without a digest for none; this one's is that of nothing.
            index::insert(layout, key, Digest::of(b""), 0, None, &record)?;
        }
        if !keys.is_empty() {
            self.folder.changes.note();
        }
        for digest in bodies {
            self.remove(digest)?;
        }
        Ok(!keys.is_empty())
    }

    /// Whether upstream took this page back and no page came again since.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn is_withdrawn(&self, route: &Route) -> Result<bool, StoreError> {
        let folder = Arc::clone(&self.folder);
        let route = route.clone();
        blocking(move || {
            let lines = lines(&folder.layout, &route)?;
            let all = lines.iter().all(|(_, line)| line.record.withdrawn);
            Ok(all && !lines.is_empty())
        })
        .await
    }

    /// Forgets a page for good, also one that was asked for before and is still on its way here.
    /// Blocks.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub fn end(&self, route: &Route, format: Format) -> Result<(), StoreError> {
        let mut ended = self.storing.lock();
        ended.note(key(route, format), clock::wall());
        self.forget(route, format)
    }

    /// Forgets a page; its body stays until nothing refers to it. Blocks.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub fn forget(&self, route: &Route, format: Format) -> Result<(), StoreError> {
        let _writing = self.folder.maintenance.enter(None);
        index::delete(&self.folder.layout, &key(route, format))?;
        self.folder.changes.note();
        Ok(())
    }

    /// The formats in which there is a page for this route, the one that was stored last first.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn formats(&self, route: &Route) -> Result<Vec<Format>, StoreError> {
        let folder = Arc::clone(&self.folder);
        let route = route.clone();
        blocking(move || {
            let mut found = lines(&folder.layout, &route)?;
            found.retain(|(_, line)| !line.record.withdrawn);
            found.sort_by_key(|(_, line)| Reverse(line.written));
            Ok(found.into_iter().map(|(format, _)| format).collect())
        })
        .await
    }

    /// Stores a page that was asked for at `asked`, and removes the body it replaces. Of one that
    /// is here as it is, only the time is noted.
    ///
    /// # Errors
    /// When the folder cannot be written; the old page then stands.
    pub async fn store(
        &self,
        route: &Route,
        format: Format,
        meta: PageMeta,
        body: Bytes,
        asked: SystemTime,
    ) -> Result<(), StoreError> {
        let page = NewPage {
            meta,
            body,
            asked,
            to_last: false,
        };
        self.put(key(route, format), page).await
    }

    /// Stores a page that could not be asked for again, which upstream last confirmed at `asked`.
    /// Its bytes are on the disk before anything refers to them, and the body it replaces is left
    /// to `gc`: after a power loss it may be the one that counts.
    ///
    /// # Errors
    /// As [`Self::store`].
    pub async fn store_to_last(
        &self,
        route: &Route,
        format: Format,
        meta: PageMeta,
        body: Bytes,
        asked: SystemTime,
    ) -> Result<(), StoreError> {
        let page = NewPage {
            meta,
            body,
            asked,
            to_last: true,
        };
        self.put(key(route, format), page).await
    }

    async fn put(&self, key: String, page: NewPage) -> Result<(), StoreError> {
        let this = self.clone();
        blocking(move || {
            let bytes = page.body.len() as u64;
            let put = this.put_now(&key, page);
            match &put {
                Ok(()) => this.folder.health.wrote(bytes),
                Err(why) => this.folder.health.failed(why, 0, clock::now()),
            }
            put
        })
        .await
    }

    fn put_now(&self, key: &str, page: NewPage) -> Result<(), StoreError> {
        let layout = &self.folder.layout;
        let ended = self.storing.lock();
        if ended.since(key, page.asked) {
            return Ok(());
        }
        let old = find(layout, key)?;
        let mine = old.as_ref().and_then(PageLine::own_body);
        let is_free = |digest: Digest| mine == Some(digest) || !layout.blob(digest).exists();
        let (body, padding) = unshared(page.body, is_free);
        let digest = Digest::of(&body);
        let _writing = self.folder.maintenance.enter(Some(digest));
        let is_new = !layout.blob(digest).exists();
        let record = PageRecord {
            meta: page.meta,
            padding,
            withdrawn: false,
        };
        let is_as_before = mine == Some(digest) && old.is_some_and(|old| old.record == record);
        if !page.to_last && !is_new && is_as_before {
            return note_confirmed(layout, digest, page.asked);
        }
        cacache::write_hash_sync(layout.root(), &body)?;
        if is_new {
            self.folder.ledger.found(body.len() as u64);
            self.folder.health.blobs_came(1);
        }
        if page.to_last {
            let path = layout.blob(digest);
            let synced = File::open(&path).and_then(|file| file.sync_all());
            let synced = synced.and_then(|()| path.parent().map_or(Ok(()), sync_dir));
            synced.map_err(StoreError::io("sync", &path))?;
        }
        let bytes = body.len() as u64;
        index::insert(layout, key, digest, bytes, Some(page.asked), &record)?;
        self.folder.changes.note();
        match mine {
            Some(replaced) if !page.to_last && replaced != digest => self.remove(replaced),
            _ => Ok(()),
        }
    }

    /// Removes a body that no line refers to any more.
    fn remove(&self, gone: Digest) -> Result<(), StoreError> {
        let path = self.folder.layout.blob(gone);
        let bytes = path.metadata().map(|meta| meta.len()).unwrap_or_default();
        match fs::remove_file(&path) {
            Ok(()) => {
                self.folder.ledger.removed(bytes);
                self.folder.health.blob_went();
            }
            // It was evicted.
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            Err(why) => return Err(StoreError::io("remove", &path)(why)),
        }
        Ok(())
    }
}

fn load_now(folder: &Folder, key: &str) -> Result<Option<(PageMeta, Bytes)>, StoreError> {
    let Some(line) = find(&folder.layout, key)? else {
        return Ok(None);
    };
    if line.record.withdrawn {
        return Ok(None);
    }
    match line.body(&folder.layout) {
        Ok(body) => Ok(body.map(|body| (line.record.meta, body))),
        Err(_) if folder.remove_emptied(line.digest) => Ok(None),
        Err(why) => Err(why),
    }
}

/// Notes on the body's file when upstream last confirmed it.
fn note_confirmed(layout: &Layout, digest: Digest, asked: SystemTime) -> Result<(), StoreError> {
    let path = layout.blob(digest);
    let seconds = SystemTime::UNIX_EPOCH + Duration::from_secs(since_epoch(asked).as_secs());
    match File::open(&path).and_then(|file| file.set_modified(seconds)) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io("note the time of", &path)(why))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// When upstream last confirmed a page: when its line was written, or later by the time of its
/// body's file.
fn last_confirmed(layout: &Layout, line: &PageLine) -> SystemTime {
    let Some(body) = line.own_body() else {
        return line.written;
    };
    let meta = layout.blob(body).metadata();
    match meta.and_then(|meta| meta.modified()) {
        Ok(noted) if since_epoch(noted).subsec_nanos() == 0 => noted.max(line.written),
        _ => line.written,
    }
}

fn since_epoch(time: SystemTime) -> Duration {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default()
}

/// The body as no other line has it, and how many line ends that took.
fn unshared(body: Bytes, is_free: impl Fn(Digest) -> bool) -> (Bytes, Option<usize>) {
    if is_free(Digest::of(&body)) {
        return (body, Some(0));
    }
    let mut padded = body.to_vec();
    for padding in 1..=PADDING_MAX {
        padded.push(b'\n');
        if is_free(Digest::of(&padded)) {
            return (padded.into(), Some(padding));
        }
    }
    (body, None)
}

/// The page that a key of the index is about.
pub fn page_of(key: &str) -> Option<(Format, PageRef)> {
    let (word, path) = key.split_once(' ')?;
    let format = FORMATS
        .into_iter()
        .find(|format| word_of(*format) == word)?;
    match Route::from_path(path).ok()? {
        Route::Page(page) => Some((format, page)),
        _ => None,
    }
}

/// By the format that the body is in, whatever was asked for.
pub fn key(route: &Route, format: Format) -> String {
    format!("{} {}", word_of(format), route.path())
}

fn word_of(format: Format) -> &'static str {
    match format {
        Format::Html => "html",
        Format::Json => "json",
    }
}

#[cfg(test)]
mod tests;
