//! `import`: a bundle that arrives is checked, staged, and only then becomes part of the store; its pages last.
//!
//! Order: the front and its sums, the signature, the base, room, every page and blob while it comes in, the end. Until all of
//! that is right nothing of the store has changed. A part of a split bundle brings its files; pages become visible with
//! the part that makes the bundle whole. Nothing is ever removed or evicted. Must not know how bytes travel.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::signature::{self, SignatureError};
use super::{Exchange, block_on};
use crate::airgap::bundle::{
    Description, Fault, FileLine, Item, Manifest, Opening, Part, Reader, items,
};
use crate::control::Order;
use crate::index::PageError;
use crate::registry::{FileRef, MirrorPath, PORTABLE_BASE, PageRef, Route};
use crate::simple::{Conflict, Format, ProjectListing};
use crate::store::{MetadataOrigin, PageMeta, Staging, StoreError};
use crate::values::clock;
use crate::values::digest::Digest;

/// How a bundle is to be taken; the first line of the order's body, before the bundle.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Import {
    /// Checks everything and changes nothing.
    pub check: bool,
    /// Takes a bundle without a signature although keys are configured. A wrong signature is refused all the same.
    pub unsigned: bool,
}

impl Order for Import {
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
}

#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(transparent)]
    Bundle(#[from] Fault),
    #[error(transparent)]
    Signature(#[from] SignatureError),
    #[error(
        "this bundle only adds to bundle {base}, which was not imported here: {name} (sha256 {first}) is missing, and {more} more; import that one first"
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
        "{item}: lists {filename}, which the manifest does not have at this address with this sha256"
    )]
    Stray { item: String, filename: String },
    #[error("{item}: {why}")]
    Conflict { item: String, why: Box<Conflict> },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("client disconnected before the end")]
    Gone,
}

/// A page as it is to be stored.
struct Merged {
    page: PageRef,
    listing: ProjectListing,
}

impl Exchange {
    /// Takes a bundle in, or says why not; then nothing has changed.
    ///
    /// # Errors
    /// [`ImportError`], naming the item.
    pub fn import(
        &self,
        order: Import,
        bundle: impl Read,
        is_wanted: impl Fn() -> bool,
    ) -> Result<Imported, ImportError> {
        let (opening, mut reader) = Reader::open(bundle)?;
        let part = opening.description.part;
        let carried: Vec<Item> = items(&opening.manifest, Some(part.number)).collect();
        self.find_base(&opening)?;
        let new = carried.iter().filter(|item| match item {
            Item::Page { .. } => true,
            Item::Blob { sha256, size } => self.store.blob_size(*sha256) != Some(*size),
        });
        let needed = new.map(Item::size).sum();
        let mut staging = self.store.stage(needed)?;
        let signed = self.check_signature(order, &opening)?;

        let addresses: BTreeMap<&str, &FileLine> = opening
            .manifest
            .files()
            .iter()
            .map(|file| (file.address.as_str(), file))
            .collect();
        let (mut pages, mut new_blobs, mut new_bytes) = (Vec::new(), 0, 0);
        for item in &carried {
            if !is_wanted() {
                return Err(ImportError::Gone);
            }
            match item {
                Item::Page { .. } => {
                    pages.push(self.take_page(&mut reader, item, &opening, &addresses)?)
                }
                Item::Blob { sha256, size } => {
                    if take_blob(&mut reader, item, *sha256, *size, &mut staging)? {
                        new_blobs += 1;
                        new_bytes += size;
                    }
                }
            }
        }
        reader.finish()?;

        let awaited = opening
            .manifest
            .blobs()
            .iter()
            .filter(|blob| !staging.holds(blob.sha256, blob.size));
        let parts: BTreeSet<u32> = awaited.clone().filter_map(|blob| blob.part).collect();
        let told = Imported {
            id: opening.description.id,
            part,
            signed,
            files: opening.manifest.files().len() as u64,
            pages: pages.len() as u64,
            new_blobs,
            new_bytes,
            awaited_blobs: awaited.count() as u64,
            awaited_parts: parts.into_iter().collect(),
        };
        if !order.check {
            self.settle(staging, &opening.manifest)?;
            if told.awaited_blobs == 0 {
                let made = made(&opening.description);
                pages
                    .into_iter()
                    .try_for_each(|merged| self.show(merged, made))?;
            }
            let since = clock::wall()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |since| since.as_secs());
            self.store
                .awaited
                .note(told.id, part.of, &told.awaited_parts, since)?;
            self.store.sync()?;
            self.changed();
        }
        Ok(told)
    }

    /// A delta needs what it was made against.
    fn find_base(&self, opening: &Opening) -> Result<(), ImportError> {
        let absent = opening
            .manifest
            .blobs()
            .iter()
            .filter(|blob| blob.part.is_none());
        let absent = absent.filter(|blob| self.store.blob_size(blob.sha256) != Some(blob.size));
        let absent: Vec<Digest> = absent.map(|blob| blob.sha256).collect();
        let Some(first) = absent.first().copied() else {
            return Ok(());
        };
        let name = opening
            .manifest
            .name_of(first)
            .unwrap_or_default()
            .to_owned();
        let base = opening.description.base.unwrap_or(opening.description.id);
        Err(ImportError::NoBase {
            base,
            name,
            first,
            more: absent.len() - 1,
        })
    }

    /// Whether one of the configured keys signed it.
    fn check_signature(&self, order: Import, opening: &Opening) -> Result<bool, ImportError> {
        let Some(armored) = &opening.signature else {
            return match self.allowed_signers {
                Some(_) if !order.unsigned => Err(SignatureError::Unsigned.into()),
                _ => Ok(false),
            };
        };
        match &self.allowed_signers {
            Some(keys) => signature::verify(&opening.sums, armored, keys).map(|()| true),
            None => signature::look_over(&opening.sums, armored).map(|()| false),
        }
        .map_err(Into::into)
    }

    /// Reads a page, and merges it with the one that is here.
    fn take_page(
        &self,
        reader: &mut Reader<impl Read>,
        item: &Item,
        opening: &Opening,
        addresses: &BTreeMap<&str, &FileLine>,
    ) -> Result<Merged, ImportError> {
        let mut body = Vec::new();
        reader.item(item, |chunk| {
            body.extend_from_slice(chunk);
            Ok(())
        })?;
        let Item::Page { index, .. } = item else {
            return Err(Fault::invalid(item.name(), "is no page").into());
        };
        let page = opening
            .manifest
            .pages()
            .get(*index)
            .and_then(|line| line.page_ref());
        let page = page.ok_or_else(|| Fault::invalid(item.name(), "is in no manifest"))?;
        let named = |why| ImportError::Page {
            item: item.name(),
            why,
        };
        let (listing, _) = self
            .pages
            .listing(&page, (PORTABLE_BASE, Format::Json, &body))
            .map_err(named)?;
        let stray = listing.files.iter().find(|(filename, file)| {
            let line = addresses.get(file.address.as_str());
            line.is_none_or(|line| line.sha256 != file.sha256 || line.filename != **filename)
        });
        if let Some((filename, _)) = stray {
            return Err(ImportError::Stray {
                item: item.name(),
                filename: filename.clone(),
            });
        }
        let stored = self.listing(&page)?.map(|stored| stored.listing);
        let mut merged = stored.unwrap_or_else(|| ProjectListing::new(listing.project.clone()));
        merged.merge(listing).map_err(|why| ImportError::Conflict {
            item: item.name(),
            why: Box::new(why),
        })?;
        Ok(Merged {
            page,
            listing: merged,
        })
    }

    /// Blobs into their places, then their addresses, as far as they are here.
    fn settle(&self, staging: Staging, manifest: &Manifest) -> Result<(), ImportError> {
        let here = |digest, size| staging.holds(digest, size);
        let mut files: Vec<(FileRef, u64)> = Vec::new();
        let mut metadata = Vec::new();
        for line in manifest.files() {
            let Some(file) = line.file_ref().filter(|_| here(line.sha256, line.size)) else {
                continue;
            };
            if let Some(made) = line.metadata.filter(|made| here(made.sha256, made.size)) {
                // On a mirror metadata is a file with an address of its own.
                let own = file.mirror_path().and_then(MirrorPath::metadata);
                if made.verified || own.is_none() {
                    let origin = if made.verified {
                        MetadataOrigin::Verified
                    } else {
                        MetadataOrigin::Read
                    };
                    metadata.push((file.clone(), made.sha256, made.size, origin));
                }
                files.extend(own.map(|path| (FileRef::mirrored(&path, made.sha256), made.size)));
            }
            files.push((file, line.size));
        }
        Ok(staging.commit(&files, &metadata)?)
    }

    /// What upstream said of it was said before the bundle was made.
    fn show(&self, merged: Merged, made: SystemTime) -> Result<(), ImportError> {
        let route = Route::Page(merged.page);
        let meta = PageMeta {
            etag: None,
            last_modified: None,
            url: PORTABLE_BASE.to_owned(),
        };
        let body = Bytes::from(merged.listing.to_json());
        block_on(async {
            let page_store = &self.store.pages;
            let unchanged = page_store.load(&route, Format::Json).await.ok().flatten();
            if unchanged.is_none_or(|(known, bytes)| known != meta || bytes != body) {
                page_store
                    .store_to_last(&route, Format::Json, meta, body, made)
                    .await?;
            }
            // What it said is on the merged page.
            page_store.forget(&route, Format::Html)
        })?;
        Ok(())
    }
}

/// When a bundle was made; no later than now, whatever it says.
fn made(description: &Description) -> SystemTime {
    let now = clock::wall();
    humantime::parse_rfc3339(&description.created).map_or(now, |made| made.min(now))
}

/// Whether it was new.
fn take_blob(
    reader: &mut Reader<impl Read>,
    item: &Item,
    sha256: Digest,
    size: u64,
    staging: &mut Staging,
) -> Result<bool, ImportError> {
    let mut arrived = staging.blob(sha256, size)?;
    reader.item(item, |chunk| arrived.write(chunk))?;
    let is_new = arrived.is_new();
    staging.keep(arrived)?;
    Ok(is_new)
}
