//! Pages as upstream sent them, so that a restarted daemon can ask "has it changed?" instead of "what is it?".
//!
//! Owns their keys in cacache and the removal of a body that was replaced. A body belongs to one line alone, so that it
//! can go with it: one that another line has already (GitLab's page of a project, asked for by number and by path) is
//! kept with line ends behind it. Must not know links, freshness or callers.
//!
//! *When upstream last said that a page stands* has to outlive the process, or a restart would make an old page young. The
//! index only appends, so that a line for each confirmation would let it grow for ever; a line is written when a page
//! changed, with the time at which it was asked for. Later confirmations are the time of the body's file, which is one
//! entry of a directory and grows nothing. It is set in whole seconds, rounded down, and a time with a fraction is not
//! believed: a copied folder has its files' times from the copying, and they must not make its pages young.
//!
//! *That a page was taken back* is a line of its own in the page's place, without a body, until a page comes again: files
//! that were found by it are then on no page, and must not be taken for files that never had one.

#![expect(clippy::disallowed_methods, reason = "the disk is this room's own")]

use std::cmp::Reverse;
use std::fs::{self, File};
use std::io;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::blobs::integrity;
use super::changes::Changes;
use super::error::StoreError;
use super::layout::Layout;
use super::ledger::Ledger;
use super::spool::sync_dir;
use crate::registry::{PageRef, Route};
use crate::simple::Format;
use crate::values::clock;
use crate::values::digest::Digest;

/// PageRecord ends put behind a body at most; of more equal ones some are shared, and then none of those is removed.
const PADDING_MAX: usize = 64;

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
struct PageRecord {
    #[serde(flatten)]
    meta: PageMeta,
    /// So many line ends were put behind the body, which is this line's alone. Absent: others may refer to it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    padding: Option<usize>,
    /// Upstream has no such page any more; there is no body.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    withdrawn: bool,
}

/// Whether a power loss may undo a page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lasting {
    /// It is asked for again then.
    No,
    /// Nobody could be asked.
    Yes,
}

#[derive(Clone)]
pub struct PageStore {
    layout: Arc<Layout>,
    ledger: Arc<Ledger>,
    changes: Changes,
    /// One at a time: a body is compared with what lies there.
    storing: Arc<Mutex<()>>,
}

impl PageStore {
    pub(super) fn new(layout: Arc<Layout>, ledger: Arc<Ledger>, changes: Changes) -> Self {
        Self {
            layout,
            ledger,
            changes,
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
        let (layout, key) = (Arc::clone(&self.layout), key(route, format));
        let load = move || -> Result<_, StoreError> {
            let Some(found) = cacache::index::find(layout.root(), &key)? else {
                return Ok(None);
            };
            let digest = digest_of(&found.integrity);
            match read(&layout, found) {
                Ok(found) => Ok(found.and_then(|(meta, body)| Some((meta, body?)))),
                Err(_) if digest.is_some_and(|digest| layout.remove_emptied(digest)) => Ok(None),
                Err(why) => Err(why),
            }
        };
        tokio::task::spawn_blocking(load)
            .await
            .map_err(|_| StoreError::Interrupted)?
    }

    /// When upstream last said that the page stands which is stored for this route in this format; of one that was stored
    /// by an earlier version, when that was.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn last_word(
        &self,
        route: &Route,
        format: Format,
    ) -> Result<Option<SystemTime>, StoreError> {
        let (layout, key) = (Arc::clone(&self.layout), key(route, format));
        let look = move || -> Result<_, StoreError> {
            let found =
                cacache::index::find(layout.root(), &key)?.filter(|line| !is_withdrawn(line));
            Ok(found.map(|line| {
                let body = digest_of(&line.integrity).filter(|_| is_alone(&line));
                let body = body.and_then(|digest| layout.blob(digest).metadata().ok());
                last_word(written(&line), body.and_then(|meta| meta.modified().ok()))
            }))
        };
        tokio::task::spawn_blocking(look)
            .await
            .map_err(|_| StoreError::Interrupted)?
    }

    /// Notes that upstream was asked at `asked` and confirmed the page with these validators.
    ///
    /// # Errors
    /// When the index cannot be read, or the note cannot be made: the page counts as older than it is then.
    pub async fn confirm(
        &self,
        route: &Route,
        format: Format,
        (etag, last_modified): (Option<String>, Option<String>),
        asked: SystemTime,
    ) -> Result<(), StoreError> {
        let (layout, key) = (Arc::clone(&self.layout), key(route, format));
        let note = move || -> Result<_, StoreError> {
            let Some(line) = cacache::index::find(layout.root(), &key)? else {
                return Ok(());
            };
            let is_it = line_of(line.metadata.clone()).is_some_and(|line| {
                line.meta.etag == etag && line.meta.last_modified == last_modified
            });
            match digest_of(&line.integrity).filter(|_| is_it && is_alone(&line)) {
                Some(digest) => note_word(&layout, digest, asked),
                None => Ok(()),
            }
        };
        tokio::task::spawn_blocking(note)
            .await
            .map_err(|_| StoreError::Interrupted)?
    }

    /// Takes the page back in every format in which it was ever stored, or, with `known`, as one that was seen and not
    /// stored. Says whether there was any.
    ///
    /// # Errors
    /// When the folder cannot be written; some of it may still be there then.
    pub async fn withdraw(&self, route: &Route, known: bool) -> Result<bool, StoreError> {
        let (this, route) = (self.clone(), route.clone());
        let withdraw = move || {
            let withdrawn = this.withdraw_now(&route, known);
            withdrawn.inspect_err(|why| this.layout.health().failed(why, 0, clock::now()))
        };
        tokio::task::spawn_blocking(withdraw)
            .await
            .map_err(|_| StoreError::Interrupted)?
    }

    fn withdraw_now(&self, route: &Route, known: bool) -> Result<bool, StoreError> {
        let root = self.layout.root();
        let _one_at_a_time = self.storing.lock();
        let mut lines = Vec::new();
        for format in [Format::Json, Format::Html] {
            let key = key(route, format);
            lines.extend(cacache::index::find(root, &key)?.map(|line| (key, line)));
        }
        let url = lines
            .iter()
            .find_map(|(_, line)| Some(line_of(line.metadata.clone())?.meta.url));
        let mut keys: Vec<_> = lines
            .iter()
            .filter(|(_, line)| !is_withdrawn(line))
            .map(|(key, _)| key.clone())
            .collect();
        if lines.is_empty() && known {
            keys.push(key(route, Format::Json));
        }
        let _inside = self.layout.maintenance().enter(None);
        for key in &keys {
            let meta = PageMeta {
                etag: None,
                last_modified: None,
                url: url.clone().unwrap_or_default(),
            };
            // cacache takes a line without a digest for none; this one's is that of nothing.
            let integrity = integrity(Digest::of(b""));
            let line = PageRecord {
                meta,
                padding: None,
                withdrawn: true,
            };
            let options = cacache::WriteOpts::new().integrity(integrity).size(0);
            cacache::index::insert(root, key, options.metadata(serde_json::json!(line)))?;
        }
        if !keys.is_empty() {
            self.changes.note();
        }
        for (_, line) in lines.into_iter().filter(|(_, line)| is_alone(line)) {
            if let Some(digest) = digest_of(&line.integrity) {
                self.remove(digest)?;
            }
        }
        Ok(!keys.is_empty())
    }

    /// Whether upstream took this page back and no page came again since.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn is_withdrawn(&self, route: &Route) -> Result<bool, StoreError> {
        let (layout, route) = (Arc::clone(&self.layout), route.clone());
        let look = move || -> Result<_, StoreError> {
            let mut withdrawn = false;
            for format in [Format::Json, Format::Html] {
                match cacache::index::find(layout.root(), &key(&route, format))? {
                    Some(line) if is_withdrawn(&line) => withdrawn = true,
                    Some(_) => return Ok(false),
                    None => {}
                }
            }
            Ok(withdrawn)
        };
        tokio::task::spawn_blocking(look)
            .await
            .map_err(|_| StoreError::Interrupted)?
    }

    /// Forgets a page; its body stays until nothing refers to it. Blocks.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub fn forget(&self, route: &Route, format: Format) -> Result<(), StoreError> {
        let _inside = self.layout.maintenance().enter(None);
        cacache::index::delete(self.layout.root(), &key(route, format))?;
        self.changes.note();
        Ok(())
    }

    /// The formats in which there is a page for this route, the one that was stored last first.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn formats(&self, route: &Route) -> Result<Vec<Format>, StoreError> {
        let (layout, route) = (Arc::clone(&self.layout), route.clone());
        let look = move || -> Result<_, StoreError> {
            let mut found = Vec::new();
            // In this order, which stays that of two pages of one moment: JSON says more.
            for format in [Format::Json, Format::Html] {
                let line = cacache::index::find(layout.root(), &key(&route, format))?;
                let line = line.filter(|line| !is_withdrawn(line));
                found.extend(line.map(|line| (Reverse(line.time), format)));
            }
            found.sort_by_key(|(time, _)| *time);
            Ok(found.into_iter().map(|(_, format)| format).collect())
        };
        tokio::task::spawn_blocking(look)
            .await
            .map_err(|_| StoreError::Interrupted)?
    }

    /// Stores a page that was asked for at `asked`, and removes the body it replaces. Of one that is here as it is, only the
    /// time is noted.
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
        self.put(route, format, meta, body, (Lasting::No, asked))
            .await
    }

    /// Stores a page that could not be asked for again, of which upstream last spoke at `asked`. Its bytes are on the disk before anything refers to them, and
    /// the body it replaces is left to `gc`: after a power loss it may be the one that counts.
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
        self.put(route, format, meta, body, (Lasting::Yes, asked))
            .await
    }

    async fn put(
        &self,
        route: &Route,
        format: Format,
        meta: PageMeta,
        body: Bytes,
        how: (Lasting, SystemTime),
    ) -> Result<(), StoreError> {
        let (this, key) = (self.clone(), key(route, format));
        let bytes = body.len() as u64;
        let put = move || {
            let put = this.put_now(&key, meta, body, how);
            match &put {
                Ok(()) => this.layout.health().wrote(bytes),
                Err(why) => this.layout.health().failed(why, 0, clock::now()),
            }
            put
        };
        tokio::task::spawn_blocking(put)
            .await
            .map_err(|_| StoreError::Interrupted)?
    }

    fn put_now(
        &self,
        key: &str,
        meta: PageMeta,
        body: Bytes,
        (lasting, asked): (Lasting, SystemTime),
    ) -> Result<(), StoreError> {
        let root = self.layout.root();
        let _one_at_a_time = self.storing.lock();
        let old = cacache::index::find(root, key)?;
        let mine = old
            .as_ref()
            .filter(|old| is_alone(old))
            .and_then(|old| digest_of(&old.integrity));
        let is_free = |digest: Digest| mine == Some(digest) || !self.layout.blob(digest).exists();
        let (body, padding) = unshared(body, is_free);
        let digest = Digest::of(&body);
        let _inside = self.layout.maintenance().enter(Some(digest));
        let is_new = !self.layout.blob(digest).exists();
        let line = PageRecord {
            meta,
            padding,
            withdrawn: false,
        };
        let is_as_before = || {
            old.and_then(|old| line_of(old.metadata))
                .is_some_and(|old| old == line)
        };
        if lasting == Lasting::No && !is_new && mine == Some(digest) && is_as_before() {
            return note_word(&self.layout, digest, asked);
        }
        let integrity = cacache::write_hash_sync(root, &body)?;
        if is_new {
            self.ledger.found(body.len() as u64);
            self.layout.health().blobs_came(1);
        }
        if lasting == Lasting::Yes {
            let path = self.layout.blob(digest);
            let synced = File::open(&path).and_then(|file| file.sync_all());
            let synced = synced.and_then(|()| path.parent().map_or(Ok(()), sync_dir));
            synced.map_err(StoreError::io("sync", &path))?;
        }
        let options = cacache::WriteOpts::new()
            .integrity(integrity)
            .size(body.len())
            .time(since_epoch(asked).as_millis())
            .metadata(serde_json::json!(line));
        cacache::index::insert(root, key, options)?;
        self.changes.note();
        match mine.filter(|mine| lasting == Lasting::No && *mine != digest) {
            Some(replaced) => self.remove(replaced),
            None => Ok(()),
        }
    }

    /// Removes a body that no line refers to any more.
    fn remove(&self, gone: Digest) -> Result<(), StoreError> {
        let path = self.layout.blob(gone);
        let bytes = path.metadata().map(|meta| meta.len()).unwrap_or_default();
        match fs::remove_file(&path) {
            Ok(()) => {
                self.ledger.removed(bytes);
                self.layout.health().blob_went();
            }
            // It was evicted.
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            Err(why) => return Err(StoreError::io("remove", &path)(why)),
        }
        Ok(())
    }
}

/// Notes on the body's file when upstream last confirmed it.
fn note_word(layout: &Layout, digest: Digest, asked: SystemTime) -> Result<(), StoreError> {
    let path = layout.blob(digest);
    let seconds = SystemTime::UNIX_EPOCH + Duration::from_secs(since_epoch(asked).as_secs());
    match File::open(&path).and_then(|file| file.set_modified(seconds)) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::io("note the time of", &path)(why))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// When upstream last spoke of a page whose line was `written` then and whose body's file was last `modified` then.
fn last_word(written: SystemTime, modified: Option<SystemTime>) -> SystemTime {
    let noted = modified.filter(|time| since_epoch(*time).subsec_nanos() == 0);
    noted.map_or(written, |noted| noted.max(written))
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// When the page was asked for that a line is about.
fn written(line: &cacache::Metadata) -> SystemTime {
    SystemTime::UNIX_EPOCH
        + Duration::from_millis(u64::try_from(line.time).unwrap_or(u64::MAX >> 12))
}

/// The body as nobody else has it, and how many line ends that took.
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

/// Whether no other line refers to its body.
fn is_alone(line: &cacache::Metadata) -> bool {
    line_of(line.metadata.clone()).is_some_and(|line| line.padding.is_some())
}

/// Whether it says that there is no page any more.
fn is_withdrawn(line: &cacache::Metadata) -> bool {
    is_withdrawn_by(&line.metadata)
}

/// The same of a line's own words.
pub(super) fn is_withdrawn_by(metadata: &serde_json::Value) -> bool {
    line_of(metadata.clone()).is_some_and(|line| line.withdrawn)
}

fn digest_of(integrity: &cacache::Integrity) -> Option<Digest> {
    // `to_hex` of one without a hash panics.
    integrity.hashes.first()?;
    Digest::parse(&integrity.to_hex().1)
}

fn line_of(metadata: serde_json::Value) -> Option<PageRecord> {
    serde_json::from_value(metadata).ok()
}

/// The page that a key of the index is about.
pub(super) fn page_of(key: &str) -> Option<(Format, PageRef)> {
    let (word, path) = key.split_once(' ')?;
    let format = [Format::Html, Format::Json]
        .into_iter()
        .find(|format| word_of(*format) == word)?;
    match Route::from_path(path).ok()? {
        Route::Page(page) => Some((format, page)),
        _ => None,
    }
}

/// What a line of the index says of a page, and the page's bytes, checked while they are read. Evicted, or swept with a
/// damaged disk: the line is without its body.
pub(super) fn read(
    layout: &Layout,
    found: cacache::Metadata,
) -> Result<Option<(PageMeta, Option<Bytes>)>, StoreError> {
    let line = line_of(found.metadata).filter(|line| !line.withdrawn);
    let Some(PageRecord { meta, padding, .. }) = line else {
        return Ok(None);
    };
    match cacache::read_hash_sync(layout.root(), &found.integrity) {
        Ok(mut body) => {
            body.truncate(body.len().saturating_sub(padding.unwrap_or_default()));
            Ok(Some((meta, Some(body.into()))))
        }
        Err(cacache::Error::IoError(why, _)) if why.kind() == io::ErrorKind::NotFound => {
            Ok(Some((meta, None)))
        }
        Err(why) => Err(why.into()),
    }
}

/// By the format that the body is in, whatever was asked for.
pub(super) fn key(route: &Route, format: Format) -> String {
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
