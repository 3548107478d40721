//! Pages as upstream sent them, so that a restarted daemon can ask "has it changed?" instead of "what is it?".
//!
//! Owns their keys in cacache and the removal of a body that was replaced. A body belongs to one line alone, so that it
//! can go with it: one that another line has already (GitLab's page of a project, asked for by number and by path) is
//! kept with line ends behind it. Written only when a page changed: when it was last validated lives in memory alone.
//! Must not know links, freshness or callers.

#![expect(clippy::disallowed_methods, reason = "the disk is this room's own")]

use std::cmp::Reverse;
use std::fs::{self, File};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::changes::Changes;
use super::error::StoreError;
use super::layout::Layout;
use super::ledger::Ledger;
use super::spool::sync_dir;
use crate::clock;
use crate::digest::Digest;
use crate::registry::{PageRef, Route};
use crate::simple::Format;

/// Line ends put behind a body at most; of more equal ones some are shared, and then none of those is removed.
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
#[derive(Serialize, Deserialize)]
struct Line {
    #[serde(flatten)]
    meta: PageMeta,
    /// So many line ends were put behind the body, which is this line's alone. Absent: others may refer to it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    padding: Option<usize>,
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
pub struct PageShelf {
    layout: Arc<Layout>,
    ledger: Arc<Ledger>,
    changes: Changes,
    /// One at a time: a body is compared with what lies there.
    storing: Arc<Mutex<()>>,
}

impl PageShelf {
    pub(super) fn new(layout: Arc<Layout>, ledger: Arc<Ledger>, changes: Changes) -> Self {
        Self { layout, ledger, changes, storing: Arc::default() }
    }

    /// The page last stored for this route in this format, checked by cacache while it is read.
    ///
    /// # Errors
    /// When it is there and cannot be read whole.
    pub async fn load(&self, route: &Route, format: Format) -> Result<Option<(PageMeta, Bytes)>, StoreError> {
        let (layout, key) = (Arc::clone(&self.layout), key(route, format));
        let load = move || -> Result<_, StoreError> {
            let Some(found) = cacache::index::find(layout.root(), &key)? else { return Ok(None) };
            let Some((meta, body)) = read(&layout, found)? else { return Ok(None) };
            Ok(body.map(|body| (meta, body)))
        };
        tokio::task::spawn_blocking(load).await.map_err(|_| StoreError::Interrupted)?
    }

    /// Forgets a page; its body stays until nothing refers to it. Blocks.
    ///
    /// # Errors
    /// When the index cannot be written.
    pub fn forget(&self, route: &Route, format: Format) -> Result<(), StoreError> {
        let _inside = self.layout.gate().enter(None);
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
                found.extend(line.map(|line| (Reverse(line.time), format)));
            }
            found.sort_by_key(|(time, _)| *time);
            Ok(found.into_iter().map(|(_, format)| format).collect())
        };
        tokio::task::spawn_blocking(look).await.map_err(|_| StoreError::Interrupted)?
    }

    /// Stores a page that changed, and removes the body it replaces.
    ///
    /// # Errors
    /// When the folder cannot be written; the old page then stands.
    pub async fn store(
        &self,
        route: &Route,
        format: Format,
        meta: PageMeta,
        body: Bytes,
    ) -> Result<(), StoreError> {
        self.put(route, format, meta, body, Lasting::No).await
    }

    /// Stores a page that could not be asked for again. Its bytes are on the disk before anything refers to them, and
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
    ) -> Result<(), StoreError> {
        self.put(route, format, meta, body, Lasting::Yes).await
    }

    async fn put(
        &self,
        route: &Route,
        format: Format,
        meta: PageMeta,
        body: Bytes,
        lasting: Lasting,
    ) -> Result<(), StoreError> {
        let (this, key) = (self.clone(), key(route, format));
        let bytes = body.len() as u64;
        let put = move || {
            let put = this.put_now(&key, meta, body, lasting);
            match &put {
                Ok(()) => this.layout.vitals().wrote(bytes),
                Err(why) => this.layout.vitals().failed(why, 0, clock::now()),
            }
            put
        };
        tokio::task::spawn_blocking(put).await.map_err(|_| StoreError::Interrupted)?
    }

    fn put_now(&self, key: &str, meta: PageMeta, body: Bytes, lasting: Lasting) -> Result<(), StoreError> {
        let root = self.layout.root();
        let _one_at_a_time = self.storing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = cacache::index::find(root, key)?;
        let mine = old.filter(is_alone).and_then(|old| digest_of(&old.integrity));
        let is_free = |digest: Digest| mine == Some(digest) || !self.layout.blob(digest).exists();
        let (body, padding) = unshared(body, is_free);
        let digest = Digest::of(&body);
        let _inside = self.layout.gate().enter(Some(digest));
        let is_new = !self.layout.blob(digest).exists();
        let integrity = cacache::write_hash_sync(root, &body)?;
        if is_new {
            self.ledger.found(body.len() as u64);
            self.layout.vitals().blobs_came(1);
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
            .metadata(serde_json::json!(Line { meta, padding }));
        cacache::index::insert(root, key, options)?;
        self.changes.note();
        let replaced = mine.filter(|mine| lasting == Lasting::No && *mine != digest);
        let Some(gone) = replaced else { return Ok(()) };
        let path = self.layout.blob(gone);
        let bytes = path.metadata().map(|meta| meta.len()).unwrap_or_default();
        match fs::remove_file(&path) {
            Ok(()) => {
                self.ledger.removed(bytes);
                self.layout.vitals().blob_went();
            }
            // It was evicted.
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            Err(why) => return Err(StoreError::io("remove", &path)(why)),
        }
        Ok(())
    }
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

fn digest_of(integrity: &cacache::Integrity) -> Option<Digest> {
    // `to_hex` of one without a hash panics.
    integrity.hashes.first()?;
    Digest::parse(&integrity.to_hex().1)
}

fn line_of(metadata: serde_json::Value) -> Option<Line> {
    serde_json::from_value(metadata).ok()
}

/// The page that a key of the index is about.
pub(super) fn page_of(key: &str) -> Option<(Format, PageRef)> {
    let (word, path) = key.split_once(' ')?;
    let format = [Format::Html, Format::Json].into_iter().find(|format| word_of(*format) == word)?;
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
    let Some(Line { meta, padding }) = line_of(found.metadata) else { return Ok(None) };
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
mod tests {
    use super::*;

    type Checked = Result<(), Box<dyn std::error::Error>>;

    fn shelf(dir: &tempfile::TempDir) -> Result<PageShelf, StoreError> {
        let ledger = Arc::new(Ledger::new(1 << 20));
        Ok(PageShelf::new(Arc::new(Layout::make(dir.path())?), ledger, Changes::default()))
    }

    fn meta() -> PageMeta {
        PageMeta { etag: None, last_modified: None, url: "https://gitlab.example/".to_owned() }
    }

    #[tokio::test]
    async fn two_lines_with_one_body_lose_nothing_when_one_of_them_changes() -> Checked {
        let dir = tempfile::tempdir()?;
        let shelf = shelf(&dir)?;
        let names = ["42", "acme%2Fapp", "7"];
        let route =
            |name: &str| Route::from_path(&format!("/api/v4/projects/{name}/packages/pypi/simple/a/"));
        let body = Bytes::from_static(b"{\"the same\": 1}");
        for name in names {
            shelf.store(&route(name)?, Format::Json, meta(), body.clone()).await?;
        }
        // Again: it stays where it is.
        let taken = shelf.ledger.taken();
        shelf.store(&route("42")?, Format::Json, meta(), body.clone()).await?;
        assert_eq!((taken, shelf.ledger.taken()), (3 * 15 + 3, 3 * 15 + 3));
        for (changed, name) in names.iter().enumerate() {
            for (other, name) in names.iter().enumerate() {
                let (_, found) = shelf.load(&route(name)?, Format::Json).await?.ok_or("a page")?;
                assert_eq!(&found[..], if other < changed { b"new" } else { &body[..] }, "{name}");
            }
            shelf.store(&route(name)?, Format::Json, meta(), Bytes::from_static(b"new")).await?;
        }
        // "new", "new\n" and "new\n\n": what was replaced is gone.
        assert_eq!(shelf.ledger.taken(), 3 + 4 + 5);
        Ok(())
    }

    #[tokio::test]
    async fn a_body_that_others_may_refer_to_stays_and_one_that_was_evicted_is_not_missed() -> Checked {
        let dir = tempfile::tempdir()?;
        let shelf = shelf(&dir)?;
        let route = Route::from_path("/pypi/simple/a/")?;
        let [old, new, third] = [b"old".as_slice(), b"new", b"third"].map(Bytes::from_static);
        let integrity = cacache::write_hash_sync(dir.path(), &old)?;
        // As an earlier version wrote it.
        let line = cacache::WriteOpts::new().integrity(integrity).metadata(serde_json::json!(meta()));
        cacache::index::insert(dir.path(), &key(&route, Format::Html), line)?;
        assert_eq!(shelf.load(&route, Format::Html).await?, Some((meta(), old.clone())));
        shelf.store(&route, Format::Html, meta(), new.clone()).await?;
        assert!(shelf.layout.blob(Digest::of(&old)).exists());
        fs::remove_file(shelf.layout.blob(Digest::of(&new)))?;
        shelf.store(&route, Format::Html, meta(), third.clone()).await?;
        assert_eq!(shelf.load(&route, Format::Html).await?, Some((meta(), third.clone())));
        shelf.store_to_last(&route, Format::Html, meta(), new.clone()).await?;
        assert_eq!(shelf.load(&route, Format::Html).await?, Some((meta(), new)));
        assert!(shelf.layout.blob(Digest::of(&third)).exists(), "a power loss may bring it back");
        Ok(())
    }
}
