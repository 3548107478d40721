//! What the cache folder has for an address.
//!
//! Owns the words for it. What a mirror's file is, only its page tells, as for the daemon. Must not
//! change anything.

use super::explanation::{Explanation, Verdict};
use super::rules::word;
use crate::app::CommandContext;
use crate::index::{PathLookup, lookup};
use crate::registry::{FileRef, MirrorPath, PageRef, Route};
use crate::simple::{CoreMetadata, Format, project_candidates};
use crate::store::{MetadataOrigin, Peek, StoreError, StoredPage};
use crate::upstream::UnhashedFiles;
use crate::values::clock;
use crate::values::digest::Digest;

/// Adds what is on disk, and a refusal that follows from it.
pub(super) fn look(
    explanation: &mut Explanation,
    route: &Route,
    context: &CommandContext,
    peek: &Peek,
) {
    let told = match route {
        Route::Page(_) => pages(route, peek),
        Route::File(file) => found_file(file, peek),
        Route::Metadata(wheel) => found_metadata(wheel, peek),
        Route::Mirrored(path) => mirrored(explanation, path, context, peek),
        Route::Upload { .. } | Route::ProjectPage(_) | Route::Admin(_) => Ok(Vec::new()),
    };
    match told {
        Ok(lines) => explanation.stored.extend(lines),
        Err(why) => explanation.stored.push(format!("cannot be read: {why}")),
    }
}

pub(super) type Lines = Result<Vec<String>, StoreError>;

pub(super) fn pages(route: &Route, peek: &Peek) -> Lines {
    let mut lines = Vec::new();
    for format in [Format::Json, Format::Html] {
        let Some(page) = peek.page(route, format)? else {
            continue;
        };
        lines.push(line_of(&page, format));
    }
    if lines.is_empty() {
        lines.push("no page".to_owned());
    }
    Ok(lines)
}

fn line_of(page: &StoredPage, format: Format) -> String {
    let format = word(format);
    let Some(body) = &page.body else {
        return format!("{format} page, whose body was evicted");
    };
    let validator = match (&page.meta.etag, &page.meta.last_modified) {
        (Some(etag), _) => format!("validator {etag}"),
        (None, Some(time)) => format!("validator Last-Modified {time}"),
        (None, None) => "no validator, so it is asked for whole".to_owned(),
    };
    let stored = httpdate::fmt_http_date(page.stored);
    format!(
        "{format} page as upstream sent it: {} bytes, {validator}, changed {stored}",
        body.len()
    )
}

pub(super) fn found_file(file: &FileRef, peek: &Peek) -> Lines {
    let digest = file.digest;
    Ok(vec![match peek.file(file)? {
        Some(found) if found.is_here => {
            format!(
                "the file: {} bytes, sha256 {digest}, checked before it is served",
                found.entry.size
            )
        }
        Some(found) => {
            format!(
                "known from before ({} bytes, sha256 {digest}), but its bytes were evicted",
                found.entry.size
            )
        }
        None => format!("nothing under this address (sha256 {digest})"),
    }])
}

fn found_metadata(wheel: &FileRef, peek: &Peek) -> Lines {
    let mut lines = found_file(wheel, peek)?;
    if let Some(line) = lines.first_mut() {
        *line = format!("the wheel: {line}");
    }
    let Some(found) = peek.metadata(wheel)? else {
        lines.push("no metadata generated from it: upstream's own answer is passed on".to_owned());
        return Ok(lines);
    };
    let origin = match found.origin {
        MetadataOrigin::Verified => "made from the wheel, whose sha256 agreed",
        MetadataOrigin::Read => "read by ranges of the wheel, which is not verified yet",
    };
    let here = if found.is_here {
        "here"
    } else {
        "to be generated again: its bytes were evicted"
    };
    lines.push(format!(
        "metadata: {origin}; sha256 {}; {here}",
        found.digest
    ));
    Ok(lines)
}

/// A mirror's file is what the page says that lists it.
fn mirrored(
    explanation: &mut Explanation,
    path: &MirrorPath,
    context: &CommandContext,
    peek: &Peek,
) -> Lines {
    if explanation.verdict == Verdict::No {
        return Ok(Vec::new());
    }
    let wheel = path.metadata_of();
    let listed = wheel.as_ref().unwrap_or(path);
    let mut seen = false;
    for name in project_candidates(listed.filename().as_str()) {
        let page = PageRef {
            scope: path.scope().clone(),
            name: Some(name),
        };
        for format in [Format::Json, Format::Html] {
            let Some(stored) = peek.page(&Route::Page(page.clone()), format)? else {
                continue;
            };
            let Some(body) = &stored.body else { continue };
            seen = true;
            let found = lookup(
                &context.sources,
                &page,
                listed,
                (&stored.meta.url, format, body),
                clock::wall(),
            );
            if let Ok(Some(found)) = found {
                let adopts = context
                    .mirror(path.scope())
                    .is_some_and(|(_, m)| m.unhashed_files == UnhashedFiles::Store);
                return listing(explanation, path, wheel.as_ref(), &found, (peek, adopts));
            }
        }
    }
    Ok(vec![if seen {
        "a stored page of its project does not list it; a newer one is asked for, and decides"
            .to_owned()
    } else {
        "no page that lists it: its project's page is asked for first, and decides".to_owned()
    }])
}

fn listing(
    explanation: &mut Explanation,
    path: &MirrorPath,
    wheel: Option<&MirrorPath>,
    found: &PathLookup,
    (peek, adopts): (&Peek, bool),
) -> Lines {
    if let Some(why) = &found.refusal {
        explanation.deny(format!("{why} (403)"));
    }
    let file = |digest: Digest| FileRef::mirrored(path, digest);
    let mut lines = vec![match found.sha256 {
        Some(digest) => format!("listed by a stored page, with sha256 {digest}"),
        None if adopts && wheel.is_none() => {
            "listed by a stored page, without a sha256: kept under the one it turns out to have"
                .to_owned()
        }
        None => {
            "listed by a stored page, without a sha256: relayed, unverified and unstored".to_owned()
        }
    }];
    lines.extend(match (wheel, found.metadata, found.sha256) {
        (Some(_), Some(CoreMetadata::Sha256(digest)), _) | (None, _, Some(digest)) => {
            found_file(&file(digest), peek)?
        }
        (Some(wheel), None, Some(digest)) => {
            found_metadata(&FileRef::mirrored(wheel, digest), peek)?
        }
        (Some(_), Some(CoreMetadata::Present), _) => {
            vec![
                "metadata is advertised without a sha256: relayed, unverified and unstored"
                    .to_owned(),
            ]
        }
        (None, _, None) if adopts => match peek.digest_at(path)? {
            Some(digest) => found_file(&file(digest), peek)?,
            None => vec!["not kept yet".to_owned()],
        },
        (_, None, None) | (None, Some(_), None) => Vec::new(),
    });
    Ok(lines)
}
