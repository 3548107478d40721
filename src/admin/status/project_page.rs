//! A project's page for people, and what is said in its place.
//!
//! Must not know how it was come by, or HTTP.

use std::time::Duration;

use maud::{Markup, html};

use super::frame::frame;
use super::project::{Project, ProjectFile, Release};
use super::words::{counted, time};
use crate::registry::PageRef;
use crate::values::byte_size::in_units;

/// From `/-/KIND/ID/NAME` to `/-/`.
const HOME: &str = "../../";

/// Digits of a sha256 that tell files apart at a glance.
const DIGEST_DIGITS: usize = 12;

pub fn project(project: &Project) -> String {
    let main = html! {
        section {
            h1 { (project.name) }
            p { "of " (project.of) ": " (counted(project.releases.len() as u64, "version", "versions")) ", "
                (counted(project.files as u64, "file", "files")) ", " (project.held) " of them held here." }
            @if let Some(seconds) = project.stale_for_seconds {
                p.fault { "Upstream could not be asked: this is how it was " (time(Duration::from_secs(seconds))) " ago." }
            }
            @if let Some(standing) = &project.status {
                p.fault { "The index calls this project " (standing.status)
                    @if let Some(reason) = &standing.reason { ": " (reason) } }
            }
            @if project.left_out > 0 {
                p.told { "And " (counted(project.left_out as u64, "more file", "more files")) ", too many to be shown." }
            }
            p.told { "Reload without your browser’s cache (Ctrl+Shift+R) to ask upstream anew." }
        }
        @for (number, release) in project.releases.iter().enumerate() { (one_release(number, release)) }
    };
    frame(&format!("{} · larder", project.name), HOME, &main)
}

/// In place of a project that cannot be shown.
pub(super) fn notice(page: &PageRef, words: &str) -> String {
    let title = match &page.name {
        Some(name) => name.to_string(),
        None => String::new(),
    };
    let main = html! { section { h1 { (title) } p { (words) } p { a href=(HOME) { "To larder’s status" } } } };
    frame(&format!("{title} · larder"), HOME, &main)
}

fn one_release(number: usize, release: &Release) -> Markup {
    let title = format!("version-{number}");
    let yanked = release.files.iter().all(|file| file.yanked.is_some());
    html! {
        section.version aria-labelledby=(title) {
            h2 #(title) {
                (release.version.as_deref().unwrap_or("Without a version"))
                @if yanked { span.tag.yanked { "yanked" } }
            }
            ul.plain {
                @for (place, file) in release.files.iter().enumerate() { (one_file(&format!("sha-{number}-{place}"), file)) }
            }
        }
    }
}

fn one_file(id: &str, file: &ProjectFile) -> Markup {
    html! {
        li {
            p {
                @match &file.url {
                    Some(url) => a.file href=(url) { (file.filename) },
                    None => span.file { (file.filename) },
                }
                " "
                @if file.held { span.tag.held { "held here" } } @else { span.tag { "not held" } }
                " "
                @if file.metadata { span.tag { "metadata" } }
            }
            p.told {
                (file.size_bytes.map_or_else(|| "size not told".to_owned(), in_units))
                @if let Some(python) = &file.requires_python { " · Python " (python) }
                @if let Some(uploaded) = &file.upload_time { " · uploaded " time datetime=(uploaded) { (uploaded) } }
                @if file.url.is_none() { " · not served here" }
            }
            @if let Some(why) = &file.yanked {
                p.fault { "Yanked" @if !why.is_empty() { ": " (why) } }
            }
            @if let Some(digest) = &file.sha256 { (sha256(id, &digest.to_string(), &file.filename)) }
        }
    }
}

fn sha256(id: &str, digest: &str, filename: &str) -> Markup {
    html! {
        details {
            summary.told { "sha256 " span.mono { (digest.get(..DIGEST_DIGITS).unwrap_or(digest)) "…" } }
            div.copyable {
                pre #(id) { code { (digest) } }
                button type="button" data-copy=(id) aria-label={ "Copy: sha256 of " (filename) } { "Copy" }
            }
        }
    }
}
