//! The facts of one anchor.
//!
//! Owns the attributes of the Simple API (PEP 503, 592, 658, 714, 740, and `data-size` and
//! `data-upload-time`, which uv reads). Must not know where the anchor stands or what becomes of
//! it.

use std::borrow::Cow;

use html_escape::decode_html_entities;
use lol_html::html_content::Attribute;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::simple::entry::{Entry, PageSubject};
use crate::simple::hashes::Hashes;
use crate::simple::index_document::without_index_document;

/// The entry that this anchor is on a page of this subject.
pub fn entry<'a>(
    subject: &PageSubject,
    url: &'a Url,
    fragment: Option<&'a str>,
    attributes: &[Attribute<'_>],
) -> Entry<'a> {
    let mut entry = Entry::bare(url, name(subject, url), fragment);
    if *subject == PageSubject::Index {
        return entry;
    }
    if let Some(fragment) = fragment {
        entry.set_hashes(Hashes::of_fragment(fragment));
    }
    let written = Attributes::read(attributes);
    if let Some(metadata) = written.core_metadata.or(written.dist_info_metadata)
        && !metadata.eq_ignore_ascii_case("false")
    {
        entry.set_metadata(Hashes::of_attribute(&metadata));
    }
    if let Some(text) = written.requires_python
        && !text.trim_ascii().is_empty()
    {
        entry.requires_python = Some(Cow::Owned(text));
    }
    entry.yanked = written.yanked.map(Cow::Owned);
    if let Some(text) = written.size {
        entry.size = text.trim_ascii().parse().ok();
    }
    if let Some(text) = written.upload_time {
        entry.set_upload_time(Cow::Owned(text));
    }
    if let Some(text) = written.gpg_sig {
        entry.more.gpg_sig = text.trim_ascii().parse().ok();
    }
    if let Some(text) = written.provenance
        && !text.is_empty()
    {
        entry.more.provenance = Some(Cow::Owned(text));
    }
    entry
}

/// The last segment of the path: of a file as it is, of a project without the slash or the document
/// behind it.
fn name<'a>(subject: &PageSubject, url: &'a Url) -> Cow<'a, str> {
    let path = match subject {
        PageSubject::Index => without_index_document(url.path()).trim_end_matches('/'),
        PageSubject::Project(_) => url.path(),
    };
    let segment = path.rsplit('/').next().unwrap_or_default();
    match percent_decode_str(segment).decode_utf8() {
        // A name that would read as a path is safer as it was written.
        Ok(name) if !name.contains('/') => name,
        _ => Cow::Borrowed(segment),
    }
}

/// The values that are read, references decoded; of attributes with one name the first counts.
#[derive(Default)]
struct Attributes {
    requires_python: Option<String>,
    yanked: Option<String>,
    core_metadata: Option<String>,
    dist_info_metadata: Option<String>,
    gpg_sig: Option<String>,
    provenance: Option<String>,
    size: Option<String>,
    upload_time: Option<String>,
}

impl Attributes {
    fn read(attributes: &[Attribute<'_>]) -> Self {
        let mut read = Self::default();
        for attribute in attributes {
            let field = match attribute.name().as_str() {
                "data-requires-python" => &mut read.requires_python,
                "data-yanked" => &mut read.yanked,
                "data-core-metadata" => &mut read.core_metadata,
                "data-dist-info-metadata" => &mut read.dist_info_metadata,
                "data-gpg-sig" => &mut read.gpg_sig,
                "data-provenance" => &mut read.provenance,
                "data-size" => &mut read.size,
                "data-upload-time" => &mut read.upload_time,
                _ => continue,
            };
            field.get_or_insert_with(|| decode_html_entities(&attribute.value()).into_owned());
        }
        read
    }
}
