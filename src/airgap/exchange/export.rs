//! `export`: what a bundle would hold, and the bytes it is made of.
//!
//! The daemon says what there is; the command writes, splits and signs the bundle, with the keys
//! and onto the disk of its caller. Must not know tars.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::BundleService;
use crate::airgap::bundle::{FileLine, MetadataLine};
use crate::control::{Command, Gone, Reporter};
use crate::registry::policy::ExceptionConfig;
use crate::registry::{MirrorPath, PageRef, Route};
use crate::simple::{ListingFile, ProjectListing, ProjectName, file_version, project_candidates};
use crate::store::{
    HeldFile, HeldMetadata, MetadataOrigin, ReadEnd, SetName, SetNameError, StoreError,
};
use crate::values::digest::Digest;

/// Longest piece of a page in one event, in bytes before JSON escapes it.
const PIECE_BYTES: usize = 64 << 10;

/// Files that are named when a set is not whole.
const MISSING_NAMED_MAX: usize = 10;

/// Everything cached, or a set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    pub set: Option<String>,
}

impl Command for Export {
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
    /// Those that are not over.
    Exceptions(Vec<ExceptionConfig>),
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
        "{count} files of the set {set} were taken back by their index since they were fetched; \
         warm it again, which says which"
    )]
    TakenBack { set: SetName, count: usize },
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Gone(#[from] Gone),
}

impl BundleService {
    /// Says what an export would hold.
    ///
    /// # Errors
    /// When the set is none, or not whole; when the folder cannot be read.
    pub fn export(&self, command: &Export, out: &Reporter<Exported>) -> Result<(), ExportError> {
        let holdings = self.store.inventory()?;
        let mut cached = BTreeMap::new();
        let mut published = BTreeMap::new();
        for file in holdings.files {
            let address = Route::File(file.file.clone()).path();
            if is_published_metadata(&file) {
                published.insert(address, file);
            } else {
                cached.insert(address, file);
            }
        }
        let known: HashSet<&PageRef> = holdings.pages.iter().map(|(page, _)| page).collect();
        let set = command.set.as_deref().map(SetName::parse).transpose()?;
        if let Some(set) = &set {
            self.keep_set(set, &mut cached, &published)?;
        }
        cached.retain(|address, file| self.may_leave(address, file));
        let wanted = cached.len();
        cached.retain(|_, file| !is_withdrawn(file, &known, &holdings.withdrawn));
        let mut pages = BTreeMap::new();
        for page in known {
            pages.insert(Route::Page(page.clone()).path(), page);
        }
        let mut carried = CarriedPages::default();
        for (address, page) in pages {
            self.carry(address, page, &cached, &mut carried)?;
        }
        cached.retain(|address, file| {
            carried.listed.contains(address) || !was_taken_off(file, &carried.read)
        });
        if let (Some(set), count @ 1..) = (set, wanted - cached.len()) {
            return Err(ExportError::TakenBack { set, count });
        }
        self.add_unlisted(&cached, &mut carried);
        for (_, listing) in carried.pages.values() {
            prefer_published(listing, &mut cached, &published);
        }
        let exceptions = self.exceptions_for(&carried);
        if !exceptions.is_empty() {
            out.tell(Exported::Exceptions(exceptions))?;
        }
        tell(&mut carried, &cached, out)
    }

    /// The exceptions that a bundle of these pages carries: of those that hold, its own packages'. Of
    /// others the place that it is made for need not know.
    fn exceptions_for(&self, carried: &CarriedPages) -> Vec<ExceptionConfig> {
        let listings = carried.pages.values().map(|(_, listing)| listing);
        let projects: HashSet<_> = listings.map(|listing| &listing.project).collect();
        let mut told = Vec::new();
        for exception in self.pages.exceptions() {
            let Ok(name) = ProjectName::parse(&exception.package) else {
                continue;
            };
            if projects.contains(&name) {
                told.push(exception);
            }
        }
        told
    }

    /// Whether a file is not known to be bad. Of GitLab's files one that its page leaves out may look
    /// newer than the page, and would go along unlisted.
    fn may_leave(&self, address: &str, file: &HeldFile) -> bool {
        let Some(known) = self.pages.known_bad(&file.file) else {
            return true;
        };
        tracing::warn!(file = address, id = %known.id, "is known to be bad: not exported");
        false
    }

    /// Narrows what is cached to a set.
    fn keep_set(
        &self,
        set: &SetName,
        cached: &mut BTreeMap<String, HeldFile>,
        published: &BTreeMap<String, HeldFile>,
    ) -> Result<(), ExportError> {
        let Some(wanted) = self.store.sets.read(set)? else {
            return Err(ExportError::NoSet(set.clone()));
        };
        cached.retain(|address, file| wanted.get(address) == Some(&file.file.digest));
        let mut missing = Vec::new();
        for address in wanted.keys() {
            if !cached.contains_key(address) && !published.contains_key(address) {
                missing.push(address.as_str());
            }
        }
        let count = missing.len();
        if count == 0 {
            return Ok(());
        }
        missing.truncate(MISSING_NAMED_MAX);
        Err(ExportError::Missing {
            set: set.clone(),
            count,
            named: missing.join(", "),
        })
    }

    /// Adds a stored page with those of its files that are cached as it lists them.
    fn carry(
        &self,
        address: String,
        page: &PageRef,
        cached: &BTreeMap<String, HeldFile>,
        carried: &mut CarriedPages,
    ) -> Result<(), ExportError> {
        if let Some(name) = &page.name
            && page.scope.is_mirror()
            && self.pages.is_private(name)
        {
            return Ok(());
        }
        let Some(stored) = self.listing(page)? else {
            return Ok(());
        };
        let mut listing = stored.listing;
        // Of a quarantined project the far side is told that it is, and given no file.
        let is_quarantined = listing.is_quarantined();
        for address in stored.addresses {
            if cached.contains_key(&address) && !is_quarantined {
                carried.listed.insert(address);
            }
        }
        let dates = self.store.dates.read(page)?;
        for (filename, file) in &listing.files {
            if let Some(first_seen) = dates.first_seen(file.sha256, filename) {
                carried.first_seen.insert(file.address.clone(), first_seen);
            }
            carried.met.insert((file.address.clone(), file.sha256));
        }
        carried.read.insert(page.clone());
        listing
            .files
            .retain(|_, file| match cached.get(&file.address) {
                Some(cached) => !is_quarantined && cached.file.digest == file.sha256,
                None => false,
            });
        if is_quarantined || !listing.files.is_empty() {
            carried.pages.insert(address, (page.clone(), listing));
        }
        Ok(())
    }

    /// Files that are on no stored page get one made of what is known of them.
    fn add_unlisted(&self, cached: &BTreeMap<String, HeldFile>, carried: &mut CarriedPages) {
        for (address, cached) in cached {
            if carried.met.contains(&(address.clone(), cached.file.digest)) {
                continue;
            }
            let filename = cached.file.filename.as_str();
            let Some(project) = project_candidates(filename).into_iter().next() else {
                tracing::warn!(
                    file = address,
                    "is on no page, and its name tells no project: not exported"
                );
                continue;
            };
            let scope = cached.file.scope.clone();
            if scope.is_mirror() && self.pages.is_private(&project) {
                continue;
            }
            let page = PageRef {
                scope,
                name: Some(project.clone()),
            };
            let path = Route::Page(page.clone()).path();
            let (_, listing) = carried
                .pages
                .entry(path)
                .or_insert_with(|| (page, ProjectListing::new(project)));
            if listing.is_quarantined() {
                continue;
            }
            let file = ListingFile {
                address: address.clone(),
                ..ListingFile::bare(cached.file.digest)
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

/// The stored pages, as far as they were gone through.
#[derive(Default)]
struct CarriedPages {
    /// By address, with the files that are carried.
    pages: BTreeMap<String, (PageRef, ProjectListing)>,
    /// When a page first listed the file at an address, where that counts.
    first_seen: HashMap<String, SystemTime>,
    /// Every file that one of them lists, carried or not.
    met: BTreeSet<(String, Digest)>,
    /// Addresses of cached files that one of them lists, with another sha256 or with none too.
    listed: HashSet<String>,
    /// The pages that could be read.
    read: HashSet<PageRef>,
}

/// The pages that may list a file, the likeliest first.
fn pages_of(cached: &HeldFile) -> impl Iterator<Item = PageRef> {
    let names = project_candidates(cached.file.filename.as_str()).into_iter();
    names.map(|name| PageRef {
        scope: cached.file.scope.clone(),
        name: Some(name),
    })
}

/// Whether upstream took back the project that a file belongs to.
fn is_withdrawn(
    cached: &HeldFile,
    known: &HashSet<&PageRef>,
    withdrawn: &HashSet<PageRef>,
) -> bool {
    let page = pages_of(cached).find(|page| known.contains(page) || withdrawn.contains(page));
    page.is_some_and(|page| withdrawn.contains(&page))
}

/// Whether a file is on no page although the page that would list it is here. A mirror's file is
/// found by its page alone, so that it was listed once; GitLab's may be newer than its page.
fn was_taken_off(cached: &HeldFile, read: &HashSet<PageRef>) -> bool {
    cached.file.scope.is_mirror() && pages_of(cached).any(|page| read.contains(&page))
}

/// Whether this is a wheel's metadata at the address where a mirror publishes it, rather than a
/// distribution.
fn is_published_metadata(cached: &HeldFile) -> bool {
    let path = cached.file.mirror_path();
    path.is_some_and(|path| path.metadata_of().is_some())
}

/// Where the page says which metadata the mirror itself publishes, that is what is carried, if it
/// is cached.
fn prefer_published(
    listing: &ProjectListing,
    cached: &mut BTreeMap<String, HeldFile>,
    published: &BTreeMap<String, HeldFile>,
) {
    for file in listing.files.values() {
        let Some(wheel) = cached.get_mut(&file.address) else {
            continue;
        };
        let Some(path) = wheel.file.mirror_path().and_then(MirrorPath::metadata) else {
            continue;
        };
        if let Some(own) = published.get(&path.to_string())
            && Some(own.file.digest) == file.metadata
        {
            wheel.metadata = Some(HeldMetadata {
                digest: own.file.digest,
                size: own.size,
                origin: MetadataOrigin::Read,
            });
        }
    }
}

/// Tells pages and files, with what is known here: size and metadata.
fn tell(
    carried: &mut CarriedPages,
    cached: &BTreeMap<String, HeldFile>,
    out: &Reporter<Exported>,
) -> Result<(), ExportError> {
    let mut files: BTreeMap<String, FileLine> = BTreeMap::new();
    for (address, (page, listing)) in &mut carried.pages {
        for (filename, file) in &mut listing.files {
            let Some(cached) = cached.get(&file.address) else {
                continue;
            };
            file.size = Some(cached.size);
            file.metadata = cached.metadata.map(|metadata| metadata.digest);
            let first_seen = carried.first_seen.get(&file.address);
            let line = || FileLine {
                first_seen: first_seen
                    .map(|time| humantime::format_rfc3339_micros(*time).to_string()),
                ..file_line(filename, file, cached, &listing.project)
            };
            files.entry(file.address.clone()).or_insert_with(line);
        }
        out.tell(Exported::Page {
            scope: page.scope.to_string(),
            project: listing.project.to_string(),
            address: address.clone(),
        })?;
        let body = String::from_utf8(listing.to_json()).unwrap_or_default();
        let mut rest = body.as_str();
        while !rest.is_empty() {
            let end = rest.floor_char_boundary(PIECE_BYTES.min(rest.len()));
            let (piece, more) = rest.split_at(end);
            out.tell(Exported::Body(piece.to_owned()))?;
            rest = more;
        }
    }
    for file in files.into_values() {
        out.tell(Exported::File(Box::new(file)))?;
    }
    Ok(())
}

fn file_line(
    filename: &str,
    file: &ListingFile,
    cached: &HeldFile,
    project: &ProjectName,
) -> FileLine {
    let outside = |origin: &&String| origin.starts_with("https:") || origin.starts_with("http:");
    FileLine {
        scope: cached.file.scope.to_string(),
        address: file.address.clone(),
        project: project.to_string(),
        version: file_version(filename, project).map(str::to_owned),
        filename: cached.file.filename.as_str().to_owned(),
        sha256: cached.file.digest,
        size: cached.size,
        origin: file.origin.as_ref().filter(outside).cloned(),
        requires_python: file.requires_python.clone(),
        yanked: file.yanked.clone(),
        upload_time: file.upload_time.clone(),
        first_seen: None,
        metadata: cached.metadata.map(|metadata| MetadataLine {
            sha256: metadata.digest,
            size: metadata.size,
            verified: metadata.origin == MetadataOrigin::Verified,
        }),
    }
}
