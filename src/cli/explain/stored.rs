//! What the cache folder has for an address.
//!
//! Owns the words for it. What a mirror's file is, only its page tells, as for the daemon. Must not
//! change anything.

use url::Url;

use super::explanation::{Explanation, Verdict};
use super::rules::word;
use crate::app::CommandContext;
use crate::index::{PageError, PathLookup, lookup};
use crate::registry::policy::{JudgedFile, PolicyRefusal};
use crate::registry::{FileRef, MirrorPath, PageRef, Route};
use crate::simple::{CoreMetadata, Entry, Format, ProjectStatus, project_candidates, read_entries};
use crate::store::{MetadataOrigin, Peek, StoreError, StoredPage};
use crate::upstream::UnhashedFiles;
use crate::values::clock;

/// What the cache folder says.
#[derive(Default)]
pub struct Found {
    pub lines: Vec<String>,
    /// Nothing, where that takes more than a look.
    pub held: Option<bool>,
}

impl Found {
    pub fn line(line: String, held: bool) -> Self {
        Self {
            lines: vec![line],
            held: Some(held),
        }
    }
}

type Lines = Result<Vec<String>, StoreError>;

/// Adds what is on disk, and a refusal that follows from it.
pub fn look(explanation: &mut Explanation, route: &Route, context: &CommandContext, peek: &Peek) {
    let told = match route {
        Route::Page(page) => page_lines(page, route, peek),
        Route::File(found) => {
            judge(explanation, found, context, peek);
            file_lines(found, peek)
        }
        Route::Metadata(wheel) => {
            judge(explanation, wheel, context, peek);
            metadata(wheel, peek)
        }
        Route::Mirrored(path) if explanation.verdict != Verdict::No => {
            mirrored(explanation, path, context, peek)
        }
        _ => return,
    };
    match told {
        Ok(lines) => explanation.stored.extend(lines),
        Err(why) => explanation.stored.push(format!("cannot be read: {why}")),
    }
}

pub fn pages(route: &Route, peek: &Peek) -> Result<Found, StoreError> {
    let mut lines = Vec::new();
    let mut held = false;
    for format in [Format::Json, Format::Html] {
        if let Some(page) = peek.page(route, format)? {
            held |= page.body.is_some();
            lines.push(page_line(&page, format));
            lines.extend(status_line(route, &page, format));
        }
    }
    if lines.is_empty() {
        lines.push("no page".to_owned());
    }
    Ok(Found {
        lines,
        held: Some(held),
    })
}

fn page_lines(page: &PageRef, route: &Route, peek: &Peek) -> Lines {
    let mut lines = pages(route, peek)?.lines;
    let dated = peek.dates(page)?.len();
    if dated > 0 {
        lines.push(format!(
            "sizes and upload dates of files, as GitLab's packages API told them: {dated}"
        ));
    }
    Ok(lines)
}

fn page_line(page: &StoredPage, format: Format) -> String {
    let format = word(format);
    let Some(body) = &page.body else {
        return format!("{format} page, whose body was evicted");
    };
    let validator = match (&page.meta.etag, &page.meta.last_modified) {
        (Some(etag), _) => format!("validator {etag}"),
        (None, Some(time)) => format!("validator Last-Modified {time}"),
        (None, None) => "no validator, so it is asked for whole".to_owned(),
    };
    let size = body.len();
    let stored = httpdate::fmt_http_date(page.stored);
    format!("{format} page as upstream sent it: {size} bytes, {validator}, changed {stored}")
}

/// What a stored page says of its project as a whole.
fn status_line(route: &Route, page: &StoredPage, format: Format) -> Option<String> {
    let Route::Page(PageRef {
        name: Some(name), ..
    }) = route
    else {
        return None;
    };
    let url = Url::parse(&page.meta.url).ok()?;
    let body = page.body.as_ref()?;
    let nothing = |_: &Entry<'_>| None::<()>;
    let (_, status) = read_entries(format, name, url, body, nothing).ok()?;
    let status = status?;
    let word = ProjectStatus::word_line(Some(&status));
    let mut line = format!("its index calls the project {word}");
    if let Some(reason) = status.reason_line() {
        line += &format!(": {reason}");
    }
    if status.is_quarantined() {
        line += " (no file of it is listed or given)";
    }
    Some(line)
}

pub fn file(file: &FileRef, peek: &Peek) -> Result<Found, StoreError> {
    let digest = file.digest;
    let Some(found) = peek.file(file)? else {
        let line = format!("nothing under this address (sha256 {digest})");
        return Ok(Found::line(line, false));
    };
    let size = found.entry.size;
    let line = if found.is_here {
        format!("the file: {size} bytes, sha256 {digest}, checked before it is served")
    } else {
        format!("known from before ({size} bytes, sha256 {digest}), but its bytes were evicted")
    };
    Ok(Found::line(line, found.is_here))
}

fn file_lines(found: &FileRef, peek: &Peek) -> Lines {
    Ok(file(found, peek)?.lines)
}

fn metadata(wheel: &FileRef, peek: &Peek) -> Lines {
    let mut lines = file_lines(wheel, peek)?;
    for line in &mut lines {
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
    let digest = found.digest;
    lines.push(format!("metadata: {origin}; sha256 {digest}; {here}"));
    Ok(lines)
}

/// What policies say of a file of GitLab's, by what is known of its age.
fn judge(explanation: &mut Explanation, file: &FileRef, context: &CommandContext, peek: &Peek) {
    let policies = context.sources.policies();
    if let Some(refusal) = quarantine(file, context, peek) {
        explanation.refuse(PageError::Policy(refusal));
        return;
    }
    if !policies.judge_any(&file.scope) {
        return;
    }
    let filename = file.filename.as_str();
    for name in project_candidates(filename) {
        let page = PageRef {
            scope: file.scope.clone(),
            name: Some(name),
        };
        let Ok(dates) = peek.dates(&page) else {
            continue;
        };
        let uploaded = dates.find(file.digest, filename);
        let judged = JudgedFile {
            source: &file.scope,
            project: page.name.as_ref(),
            filename,
            uploaded: uploaded.and_then(|facts| facts.upload_time),
            first_seen: dates.first_seen(file.digest, filename),
            status: None,
        };
        if judged.uploaded.is_none() && judged.first_seen.is_none() {
            continue;
        }
        let now = clock::wall();
        if let Err(refusal) = policies.judge(&judged, now).check(now) {
            explanation.refuse(PageError::Policy(refusal));
        }
        return;
    }
    explanation.stored.push(
        "its upload date is not known here: its project's page is looked at first, and decides"
            .to_owned(),
    );
}

/// What a page of GitLab's said last of the project of a file, if that is that it is quarantined.
fn quarantine(file: &FileRef, context: &CommandContext, peek: &Peek) -> Option<PolicyRefusal> {
    let learned = peek.learned();
    let filename = file.filename.as_str();
    let now = clock::wall();
    for name in project_candidates(filename) {
        let page = PageRef {
            scope: file.scope.clone(),
            name: Some(name),
        };
        let judged = JudgedFile {
            source: &file.scope,
            project: page.name.as_ref(),
            filename,
            uploaded: None,
            first_seen: None,
            status: learned.quarantines.get(&page.path()),
        };
        if judged.status.is_some() {
            let verdict = context.sources.policies().judge(&judged, now);
            return verdict.check(now).err();
        }
    }
    None
}

/// A mirror's file is what the page says that lists it.
fn mirrored(
    explanation: &mut Explanation,
    path: &MirrorPath,
    context: &CommandContext,
    peek: &Peek,
) -> Lines {
    let wheel = path.metadata_of();
    let listed = wheel.as_ref().unwrap_or(path);
    let mut line = "no page that lists it: its project's page is asked for first, and decides";
    let mut withheld = None;
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
            let from = (stored.meta.url.as_str(), format, body);
            let dates = peek.dates(&page)?;
            let found = lookup(&context.sources, &page, listed, from, dates, clock::wall());
            match found {
                Ok(Some(found)) if found.is_listed => {
                    return listing(explanation, path, found, context, peek);
                }
                Ok(Some(found)) => withheld = found.refusal,
                Ok(None) | Err(_) => {}
            }
            line = "a stored page of its project does not list it; \
                    a newer one is asked for, and decides";
        }
    }
    if let Some(why) = withheld {
        explanation.refuse(why);
        line = "a stored page of its project, which does not list it, says that it is quarantined";
    }
    Ok(vec![line.to_owned()])
}

fn listing(
    explanation: &mut Explanation,
    path: &MirrorPath,
    found: PathLookup,
    context: &CommandContext,
    peek: &Peek,
) -> Lines {
    if let Some(why) = found.refusal {
        explanation.refuse(why);
    }
    let wheel = path.metadata_of();
    let adopts = match context.mirror(path.scope()) {
        Some((_, mirror)) => wheel.is_none() && mirror.unhashed_files == UnhashedFiles::Store,
        None => false,
    };
    let relayed = "without a sha256: relayed, unverified and unstored";
    let mut lines = vec![match found.sha256 {
        Some(digest) => format!("listed by a stored page, with sha256 {digest}"),
        None if adopts => {
            "listed by a stored page, without a sha256: kept under the one it turns out to have"
                .to_owned()
        }
        None => format!("listed by a stored page, {relayed}"),
    }];
    let digest = match (&wheel, found.metadata) {
        (Some(_), Some(CoreMetadata::Present)) => {
            lines.push(format!("metadata is advertised {relayed}"));
            return Ok(lines);
        }
        (Some(wheel), None) => {
            if let Some(digest) = found.sha256 {
                lines.extend(metadata(&FileRef::mirrored(wheel, digest), peek)?);
            }
            return Ok(lines);
        }
        (Some(_), Some(CoreMetadata::Sha256(digest))) => Some(digest),
        (None, _) if adopts && found.sha256.is_none() => peek.digest_at(path)?,
        (None, _) => found.sha256,
    };
    match digest {
        Some(digest) => lines.extend(file_lines(&FileRef::mirrored(path, digest), peek)?),
        None if adopts => lines.push("not kept yet".to_owned()),
        None => {}
    }
    Ok(lines)
}
