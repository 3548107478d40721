//! `export`: what a bundle would hold, and the bytes it is made of.
//!
//! The daemon says what there is; whoever asked writes, splits and signs the bundle, with the keys and onto the disk that are
//! theirs. Must not know tars.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use super::{Exchange, StoredListing};
use crate::airgap::bundle::{FileLine, MetadataLine};
use crate::control::{Gone, Order, Reporter};
use crate::registry::{MirrorPath, PageRef, Route};
use crate::simple::{ListingFile, ProjectListing, file_version, project_candidates};
use crate::store::{
    HeldFile, HeldMetadata, MetadataOrigin, ReadEnd, SetName, SetNameError, StoreError,
};
use crate::values::digest::Digest;

/// Longest piece of a page in one event, in bytes before JSON escapes it.
const PIECE_BYTES: usize = 64 << 10;

/// Files that are named when a set is not whole.
const MISSING_NAMED_MAX: usize = 10;

/// Everything held, or a set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    pub set: Option<String>,
}

impl Order for Export {
    const NAME: &'static str = "export";
    type Event = Exported;
}

/// What is to be carried, in order: a page, its body in pieces; then the files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Exported {
    Page {
        scope: String,
        project: String,
        address: String,
    },
    /// Of the last page.
    Body(String),
    File(Box<FileLine>),
}

/// The bytes of one content follow as they are: `POST /-/control/content/<sha256>`.
pub const CONTENT: &str = "content/";

#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    #[error(transparent)]
    Name(#[from] SetNameError),
    #[error("there is no set {0}")]
    NoSet(SetName),
    #[error("{count} files of the set {set} are not held; warm it again. {named}")]
    Missing {
        set: SetName,
        count: usize,
        named: String,
    },
    #[error(
        "{count} files of the set {set} were taken back by their index since they were fetched; warm it again, which says which"
    )]
    TakenBack { set: SetName, count: usize },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Gone(#[from] Gone),
}

impl Exchange {
    /// Says what an export would hold.
    ///
    /// # Errors
    /// When the set is none, or not whole; when the folder cannot be read.
    pub fn export(&self, order: &Export, out: &Reporter<Exported>) -> Result<(), ExportError> {
        let holdings = self.store.inventory()?;
        let held = holdings
            .files
            .into_iter()
            .map(|held| (Route::File(held.file.clone()).path(), held));
        let (published, mut held): (BTreeMap<String, HeldFile>, BTreeMap<String, HeldFile>) =
            held.partition(|(_, held)| is_published_metadata(held));
        let known: HashSet<&PageRef> = holdings.pages.iter().map(|(page, _)| page).collect();
        let set = order.set.as_deref().map(SetName::parse).transpose()?;
        if let Some(set) = &set {
            self.keep_set(set, &mut held, &published)?;
        }
        let wanted = held.len();
        held.retain(|_, held| !is_withdrawn(held, &known, &holdings.withdrawn));
        let pages = holdings
            .pages
            .into_iter()
            .map(|(page, _)| (Route::Page(page.clone()).path(), page));
        let pages: BTreeMap<String, PageRef> = pages.collect();
        let (mut carried, mut met) = (BTreeMap::new(), BTreeSet::new());
        let (mut listed, mut read) = (HashSet::new(), HashSet::new());
        for (path, page) in pages {
            if page.scope.is_mirror()
                && page
                    .name
                    .as_ref()
                    .is_some_and(|name| self.pages.is_private(name))
            {
                continue;
            }
            let Some(StoredListing {
                mut listing,
                addresses,
            }) = self.listing(&page)?
            else {
                continue;
            };
            listed.extend(
                addresses
                    .into_iter()
                    .filter(|address| held.contains_key(address)),
            );
            met.extend(
                listing
                    .files
                    .values()
                    .map(|file| (file.address.clone(), file.sha256)),
            );
            read.insert(page.clone());
            if listing.is_quarantined() {
                continue;
            }
            listing
                .files
                .retain(|_, file| match held.get(&file.address) {
                    Some(held) => held.file.digest == file.sha256,
                    None => false,
                });
            if !listing.files.is_empty() {
                carried.insert(path, (page, listing));
            }
        }
        held.retain(|address, held| listed.contains(address) || !was_taken_off(held, &read));
        if let (Some(set), count @ 1..) = (set, wanted - held.len()) {
            return Err(ExportError::TakenBack { set, count });
        }
        self.add_unlisted(&held, &met, &mut carried);
        for (_, listing) in carried.values() {
            prefer_published(listing, &mut held, &published);
        }
        tell(&mut carried, &held, out)
    }

    /// Narrows what is held to a set.
    fn keep_set(
        &self,
        set: &SetName,
        held: &mut BTreeMap<String, HeldFile>,
        published: &BTreeMap<String, HeldFile>,
    ) -> Result<(), ExportError> {
        let wanted = self
            .store
            .sets
            .read(set)?
            .ok_or_else(|| ExportError::NoSet(set.clone()))?;
        held.retain(|address, held| wanted.get(address) == Some(&held.file.digest));
        let absent =
            |address: &&String| !held.contains_key(*address) && !published.contains_key(*address);
        let missing: Vec<&str> = wanted.keys().filter(absent).map(String::as_str).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let named = missing
            .iter()
            .take(MISSING_NAMED_MAX)
            .copied()
            .collect::<Vec<_>>()
            .join(", ");
        Err(ExportError::Missing {
            set: set.clone(),
            count: missing.len(),
            named,
        })
    }

    /// Files that are on no stored page get one made of what is known of them.
    fn add_unlisted(
        &self,
        held: &BTreeMap<String, HeldFile>,
        met: &BTreeSet<(String, Digest)>,
        carried: &mut BTreeMap<String, (PageRef, ProjectListing)>,
    ) {
        for (address, held) in held
            .iter()
            .filter(|(address, held)| !met.contains(&((*address).clone(), held.file.digest)))
        {
            let filename = held.file.filename.as_str();
            let Some(project) = project_candidates(filename).into_iter().next() else {
                tracing::warn!(
                    file = address,
                    "is on no page, and its name tells no project: not exported"
                );
                continue;
            };
            let scope = held.file.scope.clone();
            if scope.is_mirror() && self.pages.is_private(&project) {
                continue;
            }
            let page = PageRef {
                scope,
                name: Some(project.clone()),
            };
            let path = Route::Page(page.clone()).path();
            let (_, listing) = carried
                .entry(path)
                .or_insert_with(|| (page, ProjectListing::new(project)));
            let file = ListingFile {
                address: address.clone(),
                ..ListingFile::bare(held.file.digest)
            };
            listing.files.entry(filename.to_owned()).or_insert(file);
        }
    }

    /// Reads one content; `take` says whether it wants more.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn content(
        &self,
        digest: Digest,
        take: impl FnMut(Vec<u8>) -> bool,
    ) -> Result<ReadEnd, StoreError> {
        self.store.read(digest, take)
    }
}

/// The pages that may list a file, the likeliest first.
fn pages_of(held: &HeldFile) -> impl Iterator<Item = PageRef> {
    let names = project_candidates(held.file.filename.as_str()).into_iter();
    names.map(|name| PageRef {
        scope: held.file.scope.clone(),
        name: Some(name),
    })
}

/// Whether upstream took back the project that a file belongs to.
fn is_withdrawn(held: &HeldFile, known: &HashSet<&PageRef>, withdrawn: &HashSet<PageRef>) -> bool {
    let page = pages_of(held).find(|page| known.contains(page) || withdrawn.contains(page));
    page.is_some_and(|page| withdrawn.contains(&page))
}

/// Whether a file is on no page although the page that would list it is here. A mirror's file is found by its page alone, so
/// that it was listed once; GitLab's may be newer than its page.
fn was_taken_off(held: &HeldFile, read: &HashSet<PageRef>) -> bool {
    held.file.scope.is_mirror() && pages_of(held).any(|page| read.contains(&page))
}

/// Whether this is a wheel's metadata at the address where a mirror publishes it, rather than a distribution.
fn is_published_metadata(held: &HeldFile) -> bool {
    held.file
        .mirror_path()
        .is_some_and(|path| path.metadata_of().is_some())
}

/// Where the page says which metadata the mirror itself publishes, that is what is carried, if it is held.
fn prefer_published(
    listing: &ProjectListing,
    held: &mut BTreeMap<String, HeldFile>,
    published: &BTreeMap<String, HeldFile>,
) {
    for file in listing.files.values() {
        let Some(wheel) = held.get_mut(&file.address) else {
            continue;
        };
        let own = wheel
            .file
            .mirror_path()
            .and_then(MirrorPath::metadata)
            .map(|path| path.to_string());
        let own = own.and_then(|address| published.get(&address));
        if let Some(own) = own.filter(|own| Some(own.file.digest) == file.metadata) {
            let (digest, size) = (own.file.digest, own.size);
            wheel.metadata = Some(HeldMetadata {
                digest,
                size,
                origin: MetadataOrigin::Read,
            });
        }
    }
}

/// Tells pages and files, with what is known here: size and metadata.
fn tell(
    carried: &mut BTreeMap<String, (PageRef, ProjectListing)>,
    held: &BTreeMap<String, HeldFile>,
    out: &Reporter<Exported>,
) -> Result<(), ExportError> {
    let mut files: BTreeMap<String, FileLine> = BTreeMap::new();
    for (address, (page, listing)) in carried {
        for (filename, file) in &mut listing.files {
            let Some(held) = held.get(&file.address) else {
                continue;
            };
            file.size = Some(held.size);
            file.metadata = held.metadata.map(|metadata| metadata.digest);
            let line = || file_line(filename, file, held, &listing.project);
            files.entry(file.address.clone()).or_insert_with(line);
        }
        let (scope, project) = (page.scope.to_string(), listing.project.to_string());
        out.tell(Exported::Page {
            scope,
            project,
            address: address.clone(),
        })?;
        let body = String::from_utf8(listing.to_json()).unwrap_or_default();
        let mut rest = body.as_str();
        while !rest.is_empty() {
            let (piece, more) =
                rest.split_at(rest.floor_char_boundary(PIECE_BYTES.min(rest.len())));
            out.tell(Exported::Body(piece.to_owned()))?;
            rest = more;
        }
    }
    files
        .into_values()
        .try_for_each(|file| Ok(out.tell(Exported::File(Box::new(file)))?))
}

fn file_line(
    filename: &str,
    file: &ListingFile,
    held: &HeldFile,
    project: &crate::simple::ProjectName,
) -> FileLine {
    let outside = |origin: &&String| origin.starts_with("https:") || origin.starts_with("http:");
    FileLine {
        scope: held.file.scope.to_string(),
        address: file.address.clone(),
        project: project.to_string(),
        version: file_version(filename, project).map(str::to_owned),
        filename: held.file.filename.as_str().to_owned(),
        sha256: held.file.digest,
        size: held.size,
        origin: file.origin.as_ref().filter(outside).cloned(),
        requires_python: file.requires_python.clone(),
        yanked: file.yanked.clone(),
        upload_time: file.upload_time.clone(),
        metadata: held.metadata.map(|metadata| MetadataLine {
            sha256: metadata.digest,
            size: metadata.size,
            verified: metadata.origin == MetadataOrigin::Verified,
        }),
    }
}
