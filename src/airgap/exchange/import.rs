//! `import`: a bundle that arrives is checked, staged, and only then becomes part of the store; its
//! pages last.
//!
//! Order: the front and its sums, the signature, the base, room, every page and blob while it comes
//! in, the end. Until all of that is right nothing of the store has changed. A part of a split
//! bundle brings its files; pages become visible with the part that makes the bundle whole. Nothing
//! is ever removed or evicted. Must not know how bytes travel.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io::Read;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::carried_dates::CarriedDates;
use super::signature::{self, SignatureError};
use super::{BundleService, StoredListing, block_on};
use crate::airgap::bundle::{
    BundleError, BundleReader, Description, FileLine, Item, Manifest, Part, VerifiedFront, items,
};
use crate::control::Command;
use crate::index::PageError;
use crate::registry::{FileRef, MirrorPath, PORTABLE_BASE, PageRef, Route};
use crate::simple::{Conflict, Format, ProjectListing, ProjectName};
use crate::store::{
    BroughtExceptions, MetadataOrigin, NotedExceptions, PageMeta, StagedAdvisories, Staging,
    StoreError,
};
use crate::values::clock;
use crate::values::digest::Digest;

/// How a bundle is to be taken; the first line of the command's body, before the bundle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// Checks everything and changes nothing.
    pub check: bool,
    /// Takes a bundle without a signature although keys are configured. A wrong signature is
    /// refused all the same.
    pub unsigned: bool,
}

impl Command for Import {
    const NAME: &'static str = "import";
    type Event = Imported;
}

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Imported {
    pub id: Digest,
    pub part: Part,
    /// Whether one of the configured keys signed it.
    pub signed: bool,
    pub files: u64,
    pub pages: u64,
    /// Blobs that were not here before.
    pub new_blobs: u64,
    /// Their bytes.
    pub new_bytes: u64,
    /// Blobs that other parts have yet to bring; pages become visible when there are none.
    pub awaited_blobs: u64,
    /// These parts, in order.
    pub awaited_parts: Vec<u32>,
    /// Exceptions that it carries; they count if it is signed.
    #[serde(default)]
    pub exceptions: u64,
    /// Whether records of advisories came along.
    #[serde(default)]
    pub advisories: bool,
}

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(transparent)]
    Bundle(#[from] BundleError),
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error(
        "this bundle only adds to bundle {base}, which was not imported here: \
         {name} (sha256 {first}) is missing, and {more} more; import that one first"
    )]
    NoBase {
        base: Digest,
        name: String,
        first: Digest,
        more: usize,
    },
    #[error("{item}: {why}")]
    Page { item: String, why: PageError },
    #[error(
        "{item}: lists {filename}, \
         which the manifest does not have at this address with this sha256"
    )]
    Stray { item: String, filename: String },
    #[error("{item}: {why}")]
    Conflict { item: String, why: Box<Conflict> },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("client disconnected before the end")]
    Gone,
}

/// What was checked of a bundle before its items are taken.
struct CheckedFront<'a> {
    bundle: &'a VerifiedFront,
    /// Whether files are as old as the bundle says.
    dates_count: bool,
}

/// A page as it is to be stored.
struct MergedPage {
    page: PageRef,
    listing: ProjectListing,
}

/// What came in of a part.
#[derive(Default)]
struct TakenItems {
    pages: Vec<MergedPage>,
    advisories: Option<StagedAdvisories>,
    new_blobs: u64,
    new_bytes: u64,
}

impl BundleService {
    /// Takes a bundle in, or says why not; then nothing has changed.
    ///
    /// # Errors
    /// [`ImportError`], naming the item.
    pub fn import(
        &self,
        command: Import,
        bundle: impl Read,
        is_wanted: impl Fn() -> bool,
    ) -> Result<Imported, ImportError> {
        let (front, mut reader) = BundleReader::open(bundle)?;
        let part = front.description.part;
        let carried: Vec<Item> = items(&front.manifest, Some(part.number)).collect();
        self.find_base(&front)?;
        let mut staging = self.store.stage(self.new_bytes(&carried))?;
        let signed = self.check_signature(command, &front)?;
        let checked = CheckedFront {
            bundle: &front,
            dates_count: self.takes_dates(signed),
        };
        let taken = self.take_items(&carried, &mut reader, &checked, &mut staging, is_wanted)?;
        reader.finish()?;

        let mut awaited_blobs = 0;
        let mut awaited_parts = BTreeSet::new();
        for blob in front.manifest.blobs() {
            if !staging.holds(blob.sha256, blob.size) {
                awaited_blobs += 1;
                awaited_parts.extend(blob.part);
            }
        }
        let imported = Imported {
            id: front.description.id,
            part,
            signed,
            files: front.manifest.files().len() as u64,
            pages: taken.pages.len() as u64,
            new_blobs: taken.new_blobs,
            new_bytes: taken.new_bytes,
            awaited_blobs,
            awaited_parts: awaited_parts.into_iter().collect(),
            exceptions: front.description.exceptions.len() as u64,
            advisories: taken.advisories.is_some(),
        };
        if !command.check {
            if let (Some(arrived), Some(line)) = (taken.advisories, front.manifest.advisories()) {
                arrived.keep(no_later_than_now(&line.dated))?;
            }
            self.keep(staging, &front, taken.pages, &imported)?;
        }
        Ok(imported)
    }

    /// The bytes of these items that the store has not.
    fn new_bytes(&self, items: &[Item]) -> u64 {
        let mut bytes = 0;
        for item in items {
            if !item.is_blob() || self.store.blob_size(item.sha256()) != Some(item.size()) {
                bytes += item.size();
            }
        }
        bytes
    }

    fn take_items(
        &self,
        carried: &[Item],
        reader: &mut BundleReader<impl Read>,
        front: &CheckedFront<'_>,
        staging: &mut Staging,
        is_wanted: impl Fn() -> bool,
    ) -> Result<TakenItems, ImportError> {
        let files = front.bundle.manifest.files().iter();
        let addresses = files.map(|file| (file.address.as_str(), file)).collect();
        let mut taken = TakenItems::default();
        for item in carried {
            if !is_wanted() {
                return Err(ImportError::Gone);
            }
            match item {
                Item::Page { index, .. } => {
                    let page = self.take_page(reader, item, *index, front, &addresses)?;
                    taken.pages.push(page);
                }
                Item::Advisories { .. } => {
                    let mut arrived = self.store.stage_advisories()?;
                    reader.item(item, |chunk| arrived.write(chunk))?;
                    taken.advisories = Some(arrived);
                }
                Item::Blob { sha256, size } => {
                    let mut arrived = staging.blob(*sha256, *size)?;
                    reader.item(item, |chunk| arrived.write(chunk))?;
                    if arrived.is_new() {
                        taken.new_blobs += 1;
                        taken.new_bytes += size;
                    }
                    staging.keep(arrived)?;
                }
            }
        }
        Ok(taken)
    }

    /// Makes what was staged a part of the store.
    fn keep(
        &self,
        staging: Staging,
        front: &VerifiedFront,
        pages: Vec<MergedPage>,
        imported: &Imported,
    ) -> Result<(), ImportError> {
        self.settle(staging, &front.manifest)?;
        let unproven = match self.takes_dates(imported.signed) {
            true => None,
            false => Some(clock::wall()),
        };
        self.keep_dates(&front.manifest, &pages, unproven)?;
        if imported.awaited_blobs == 0 {
            let made = made(&front.description);
            for page in pages {
                self.show(page, made)?;
            }
        }
        let since = clock::wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        let parts = &imported.awaited_parts;
        let awaited = &self.store.awaited;
        awaited.note(imported.id, imported.part.of, parts, since.as_secs())?;
        self.store.sync()?;
        // Pages changed on disk: those in memory count no more.
        self.pages.forget();
        self.keep_exceptions(front, imported)
    }

    /// An exception loosens what the operator here has set, so that the word of a key is needed that
    /// the operator allows. Of the packages that it carries the newest bundle has all that count: what
    /// it says no more is withdrawn, and an older bundle brings nothing back.
    fn keep_exceptions(
        &self,
        front: &VerifiedFront,
        imported: &Imported,
    ) -> Result<(), ImportError> {
        let description = &front.description;
        let exceptions = &description.exceptions;
        if !imported.signed {
            if !exceptions.is_empty() {
                tracing::warn!(
                    bundle = %imported.id, exceptions = exceptions.len(),
                    "the exceptions of a bundle are not taken: no key of import.allowed_signers signed it"
                );
            }
            return Ok(());
        }
        let mut carried = HashSet::new();
        for page in front.manifest.pages() {
            carried.extend(ProjectName::parse(&page.project));
        }
        let brought = BroughtExceptions {
            exceptions,
            carried: &carried,
            made: made(description),
        };
        match self
            .store
            .learned
            .note_exceptions(&brought, clock::wall())?
        {
            NotedExceptions::Same => {}
            NotedExceptions::Older => tracing::warn!(
                bundle = %imported.id, exceptions = exceptions.len(),
                "the exceptions of a bundle are not taken: those of a newer bundle count"
            ),
            NotedExceptions::Replaced => (self.remake)(),
        }
        Ok(())
    }

    /// A delta needs what it was made against.
    fn find_base(&self, front: &VerifiedFront) -> Result<(), ImportError> {
        let mut absent = Vec::new();
        for blob in front.manifest.blobs() {
            if blob.part.is_none() && self.store.blob_size(blob.sha256) != Some(blob.size) {
                absent.push(blob.sha256);
            }
        }
        let Some(&first) = absent.first() else {
            return Ok(());
        };
        let description = &front.description;
        let name = front.manifest.name_of(first).unwrap_or_default();
        Err(ImportError::NoBase {
            base: description.base.unwrap_or(description.id),
            name: name.to_owned(),
            first,
            more: absent.len() - 1,
        })
    }

    /// Whether one of the configured keys signed it.
    fn check_signature(&self, command: Import, front: &VerifiedFront) -> Result<bool, ImportError> {
        match (&front.signature, &self.allowed_signers) {
            (Some(armored), Some(keys)) => {
                signature::verify(&front.sums, armored, keys)?;
                Ok(true)
            }
            (Some(armored), None) => {
                signature::look_over(&front.sums, armored)?;
                Ok(false)
            }
            (None, Some(_)) if !command.unsigned => Err(SignatureError::Unsigned.into()),
            (None, _) => Ok(false),
        }
    }

    /// Reads a page, and merges it with the one that is here.
    fn take_page(
        &self,
        reader: &mut BundleReader<impl Read>,
        item: &Item,
        index: usize,
        front: &CheckedFront<'_>,
        addresses: &BTreeMap<&str, &FileLine>,
    ) -> Result<MergedPage, ImportError> {
        let mut body = Vec::new();
        reader.item(item, |chunk| {
            body.extend_from_slice(chunk);
            Ok(())
        })?;
        let line = front.bundle.manifest.pages().get(index);
        let Some(page) = line.and_then(|line| line.page_ref()) else {
            return Err(BundleError::invalid(item.name(), "is in no manifest").into());
        };
        let read = self
            .pages
            .listing(&page, (PORTABLE_BASE, Format::Json, &body));
        let (mut listing, _) = read.map_err(|why| ImportError::Page {
            item: item.name(),
            why,
        })?;
        for (filename, file) in &listing.files {
            if let Some(line) = addresses.get(file.address.as_str())
                && line.sha256 == file.sha256
                && line.filename == *filename
            {
                continue;
            }
            return Err(ImportError::Stray {
                item: item.name(),
                filename: filename.clone(),
            });
        }
        let stored = self.listing(&page)?;
        if let Some(stored) = &stored
            && !is_status_taken(&listing, stored, front)
        {
            listing.status.clone_from(&stored.listing.status);
        }
        let mut merged = match stored {
            Some(stored) => stored.listing,
            None => ProjectListing::new(listing.project.clone()),
        };
        if !front.dates_count {
            keep_known_dates(&mut listing, &merged);
        }
        merged.merge(listing).map_err(|why| ImportError::Conflict {
            item: item.name(),
            why: Box::new(why),
        })?;
        Ok(MergedPage {
            page,
            listing: merged,
        })
    }

    /// Blobs into their places, then their addresses, as far as they are here.
    fn settle(&self, staging: Staging, manifest: &Manifest) -> Result<(), ImportError> {
        let mut files: Vec<(FileRef, u64)> = Vec::new();
        let mut metadata = Vec::new();
        for line in manifest.files() {
            let Some(file) = line.file_ref() else {
                continue;
            };
            if !staging.holds(line.sha256, line.size) {
                continue;
            }
            if let Some(made) = line.metadata
                && staging.holds(made.sha256, made.size)
            {
                // On a mirror metadata is a file with an address of its own.
                let own = file.mirror_path().and_then(MirrorPath::metadata);
                let origin = if made.verified {
                    MetadataOrigin::Verified
                } else {
                    MetadataOrigin::Read
                };
                if made.verified || own.is_none() {
                    metadata.push((file.clone(), made.sha256, made.size, origin));
                }
                if let Some(path) = own {
                    files.push((FileRef::mirrored(&path, made.sha256), made.size));
                }
            }
            files.push((file, line.size));
        }
        Ok(staging.commit(&files, &metadata)?)
    }

    /// Whether files are as old as a bundle says: if an allowed key signed it, or if offline any
    /// bundle may be taken, which then is the only source there is. Online upstreams tell.
    fn takes_dates(&self, signed: bool) -> bool {
        signed || (self.allowed_signers.is_none() && self.pages.is_offline())
    }

    /// What the bundle tells of its files' age, before any page shows them.
    fn keep_dates(
        &self,
        manifest: &Manifest,
        pages: &[MergedPage],
        unproven: Option<SystemTime>,
    ) -> Result<(), StoreError> {
        let mut lines = BTreeMap::new();
        for line in manifest.files() {
            lines.insert(line.address.as_str(), line);
        }
        let mut dates = CarriedDates::new(unproven);
        dates.of_files(manifest.files());
        for MergedPage { page, listing } in pages {
            dates.of_page(page, listing, |address| lines.get(address).copied());
        }
        for (page, news) in dates.pages {
            self.store.dates.add(&page, news)?;
        }
        Ok(())
    }

    /// What upstream said of it was said before the bundle was made.
    fn show(&self, merged: MergedPage, made: SystemTime) -> Result<(), ImportError> {
        let route = Route::Page(merged.page);
        let meta = PageMeta {
            etag: None,
            last_modified: None,
            url: PORTABLE_BASE.to_owned(),
        };
        let body = Bytes::from(merged.listing.to_json());
        let pages = &self.store.pages;
        let stored = block_on(pages.load(&route, Format::Json));
        let is_stored =
            matches!(stored, Ok(Some((known, bytes))) if known == meta && bytes == body);
        if !is_stored {
            block_on(pages.store_to_last(&route, Format::Json, meta, body, made))?;
        }
        // What it said is on the merged page.
        Ok(pages.forget(&route, Format::Html)?)
    }
}

/// Whether what a page that came says of its project counts: a bundle that is older than what is
/// here says nothing new; a page without files or a status is one made of names; and what ends a
/// quarantine needs the word that dates need.
fn is_status_taken(
    came: &ProjectListing,
    stored: &StoredListing,
    front: &CheckedFront<'_>,
) -> bool {
    let is_older = stored.spoken > Some(made(&front.bundle.description));
    let says_nothing = came.status.is_none() && came.files.is_empty();
    let is_loosened = stored.listing.is_quarantined() && !came.is_quarantined();
    !is_older && !says_nothing && (front.dates_count || !is_loosened)
}

/// Has a page that came say no more of its files' age than the one that is here.
fn keep_known_dates(came: &mut ProjectListing, here: &ProjectListing) {
    for (filename, file) in &mut came.files {
        file.upload_time = match here.files.get(filename) {
            Some(known) if known.sha256 == file.sha256 => known.upload_time.clone(),
            Some(_) | None => None,
        };
    }
}

/// When a bundle was made; no later than now, whatever it says.
fn made(description: &Description) -> SystemTime {
    no_later_than_now(&description.created)
}

/// A date that a bundle tells; now if it is none.
fn no_later_than_now(date: &str) -> SystemTime {
    let now = clock::wall();
    humantime::parse_rfc3339(date).map_or(now, |date| date.min(now))
}
