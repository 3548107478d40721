//! What a public index offers: files with all that a page may say of them, and pages given
//! verbatim.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::super::wheel::{Artifact, normalise, sha256_hex};

/// The digest a page gives of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hashes {
    Sha256,
    Md5,
    None,
    /// A sha256 of something else.
    Wrong,
}

/// A wheel's metadata file (PEP 658): what the page says of it, and whether it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CoreMetadata {
    /// Not advertised and not there.
    None,
    /// Advertised with its sha256.
    Hashed,
    /// Advertised with `true`.
    True,
    /// Advertised with a digest of something else.
    WrongHash,
    /// Advertised with its sha256, and 404.
    Missing,
}

/// PEP 792.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProjectStatus {
    pub status: &'static str,
    pub reason: Option<String>,
}

/// A file to be had, with what its page says of it.
#[derive(Clone, Debug)]
pub struct Offer {
    /// As its author writes it.
    pub project: String,
    pub version: String,
    pub filename: String,
    pub bytes: Bytes,
    /// Of the bytes.
    pub sha256: String,
    pub metadata: Bytes,
    pub hashes: Hashes,
    pub core_metadata: CoreMetadata,
    pub requires_python: Option<String>,
    /// The reason; empty: yanked without one.
    pub yanked: Option<String>,
    pub size: Option<u64>,
    /// RFC 3339, as it stands on the page.
    pub upload_time: Option<String>,
    pub gpg_sig: Option<bool>,
    /// A URL (PEP 740).
    pub provenance: Option<String>,
    pub modified: SystemTime,
}

impl From<Artifact> for Offer {
    /// With digest, size, upload time and, for a wheel whose metadata is known, the advertised
    /// metadata file.
    fn from(artifact: Artifact) -> Self {
        let has_metadata = artifact.filename.ends_with(".whl") && !artifact.metadata.is_empty();
        Self {
            project: artifact.name,
            version: artifact.version,
            filename: artifact.filename,
            size: Some(artifact.bytes.len() as u64),
            bytes: artifact.bytes,
            sha256: artifact.sha256,
            metadata: artifact.metadata,
            hashes: Hashes::Sha256,
            core_metadata: if has_metadata {
                CoreMetadata::Hashed
            } else {
                CoreMetadata::None
            },
            requires_python: Some(artifact.requires_python)
                .filter(|specifier| !specifier.is_empty()),
            yanked: None,
            upload_time: Some("2024-01-02T03:04:05.678901Z".to_owned()),
            gpg_sig: None,
            provenance: None,
            modified: SystemTime::UNIX_EPOCH + Duration::from_secs(1_704_164_645),
        }
    }
}

impl From<&Artifact> for Offer {
    fn from(artifact: &Artifact) -> Self {
        artifact.clone().into()
    }
}

impl Offer {
    pub fn hashes(mut self, hashes: Hashes) -> Self {
        self.hashes = hashes;
        self
    }

    pub fn core_metadata(mut self, core_metadata: CoreMetadata) -> Self {
        self.core_metadata = core_metadata;
        self
    }

    pub fn yanked(mut self, reason: &str) -> Self {
        self.yanked = Some(reason.to_owned());
        self
    }

    /// As `2024-01-02T03:04:05Z`.
    pub fn uploaded(mut self, at: &str) -> Self {
        self.upload_time = Some(at.to_owned());
        self
    }

    pub fn without_upload_time(mut self) -> Self {
        self.upload_time = None;
        self
    }

    pub fn without_size(mut self) -> Self {
        self.size = None;
        self
    }

    pub fn gpg_sig(mut self, signed: bool) -> Self {
        self.gpg_sig = Some(signed);
        self
    }

    pub fn provenance(mut self, url: &str) -> Self {
        self.provenance = Some(url.to_owned());
        self
    }

    pub fn metadata_sha256(&self) -> String {
        match self.core_metadata {
            CoreMetadata::WrongHash => sha256_hex(b"something else"),
            _ => sha256_hex(&self.metadata),
        }
    }

    /// `AA/BB/REST/NAME`, as a public index lays its files out by a digest that is not their
    /// sha256.
    pub(super) fn place(&self) -> String {
        let digest = sha256_hex(format!("place of {}", self.sha256).as_bytes());
        format!(
            "{}/{}/{}/{}",
            &digest[..2],
            &digest[2..4],
            &digest[4..],
            self.filename
        )
    }
}

/// A page to be answered as it is.
#[derive(Clone, Debug)]
pub struct RawPage {
    pub content_type: String,
    pub body: Bytes,
}

#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// By normalised name; the files of each in the order of their publication.
    projects: BTreeMap<String, Vec<Offer>>,
    pub status: BTreeMap<String, ProjectStatus>,
    /// By project; the empty name is the root page.
    pub raw: BTreeMap<String, RawPage>,
}

impl Catalogue {
    pub fn publish(&mut self, offer: impl Into<Offer>) {
        let offer = offer.into();
        self.projects
            .entry(normalise(&offer.project))
            .or_default()
            .push(offer);
    }

    pub fn withdraw(&mut self, filename: &str) {
        for offers in self.projects.values_mut() {
            offers.retain(|offer| offer.filename != filename);
        }
    }

    /// Changes what is said of a file; panics if it is not offered.
    pub fn offer_mut(&mut self, filename: &str) -> &mut Offer {
        let mut offers = self.projects.values_mut().flatten();
        offers
            .find(|offer| offer.filename == filename)
            .expect("a file of the test's index")
    }

    pub fn find(&self, filename: &str) -> Option<&Offer> {
        self.projects
            .values()
            .flatten()
            .find(|offer| offer.filename == filename)
    }

    /// The normalised names, sorted.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.projects.keys().map(String::as_str)
    }

    /// By normalised name.
    pub(super) fn offers(&self, name: &str) -> Option<&[Offer]> {
        self.projects.get(name).map(Vec::as_slice)
    }
}
