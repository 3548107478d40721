//! Writes a page as JSON (PEP 691, 592, 700, 714, 740, 792).
//!
//! Owns the keys and the version: 1.1 asks for the size of every file and a list of versions, so a
//! page that lacks a size is 1.0. That is known at the end, which is why `meta` comes last.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::simple::entry::{Entry, PageSubject, Replacement, written_time};
use crate::simple::facts::PageFacts;
use crate::simple::filename;
use crate::simple::hashes::Hashes;
use crate::simple::json::{quoted, yanked};
use crate::simple::name::ProjectName;
use crate::simple::output::Output;

/// So many projects are remembered, so that one with many links is listed once. Behind them only
/// neighbours are compared, which is how indexes repeat a project.
const PROJECTS_REMEMBERED_MAX: usize = 10_000;

/// Of a project with more versions the page is of version 1.0, without a list of them.
const VERSIONS_MAX: usize = 100_000;

pub struct JsonPage {
    subject: PageSubject,
    pub out: Output,
    is_first: bool,
    /// `None` once a file had no size.
    versions: Option<ListedVersions>,
    projects: HashSet<ProjectName>,
    last_project: Option<ProjectName>,
}

/// In order of first appearance.
#[derive(Default)]
struct ListedVersions {
    order: Vec<Value>,
    seen: HashSet<String>,
}

impl JsonPage {
    pub fn new(subject: PageSubject) -> Self {
        let mut out = Output::default();
        match &subject {
            PageSubject::Index => out.push(b"{\"projects\":["),
            PageSubject::Project(name) => {
                out.push(format!("{{\"name\":{},\"files\":[", quoted(name.as_str())).as_bytes());
            }
        }
        Self {
            subject,
            out,
            is_first: true,
            versions: Some(ListedVersions::default()),
            projects: HashSet::new(),
            last_project: None,
        }
    }

    pub fn add(&mut self, entry: &Entry<'_>, new: &Replacement) {
        match self.subject {
            PageSubject::Index => self.add_project(entry),
            PageSubject::Project(_) => self.add_file(entry, new),
        }
    }

    pub fn finish(&mut self, facts: &PageFacts) -> Output {
        let mut tail = String::from("]");
        let mut version = "1.0";
        if let PageSubject::Project(_) = self.subject {
            // A page without files says nothing about sizes.
            if let Some(versions) = self.versions.take()
                && !self.is_first
            {
                version = "1.1";
                tail.push_str(&format!(",\"versions\":{}", Value::from(versions.order)));
            }
            if let Some(status) = &facts.status {
                tail.push_str(&format!(",\"project-status\":{}", status.to_json()));
            }
        }
        tail.push_str(&format!(",\"meta\":{{\"api-version\":\"{version}\"}}}}"));
        self.out.push(tail.as_bytes());
        std::mem::take(&mut self.out)
    }

    fn add_project(&mut self, entry: &Entry<'_>) {
        if let Ok(name) = ProjectName::parse(&entry.name) {
            if self.last_project.as_ref() == Some(&name) || self.projects.contains(&name) {
                return;
            }
            if self.projects.len() < PROJECTS_REMEMBERED_MAX {
                self.projects.insert(name.clone());
            }
            self.last_project = Some(name);
        }
        self.comma();
        self.out
            .push(format!("{{\"name\":{}}}", quoted(&entry.name)).as_bytes());
    }

    fn add_file(&mut self, entry: &Entry<'_>, new: &Replacement) {
        self.comma();
        let name = quoted(&entry.name);
        let address = quoted(&new.address);
        self.out
            .push(format!("{{\"filename\":{name},\"url\":{address}").as_bytes());
        if new.markable {
            self.out.note_insertion_point();
        }
        let mut text = format!(",\"hashes\":{}", table(&entry.more.hashes));
        let mut fact = |key: &str, value: Value| text.push_str(&format!(",\"{key}\":{value}"));
        if let Some(specifier) = &entry.requires_python {
            fact("requires-python", specifier.as_ref().into());
        }
        let size = entry.size.or(new.facts.size);
        if let Some(size) = size {
            fact("size", size.into());
        }
        if let Some(time) = &entry.more.upload_time {
            fact("upload-time", time.as_ref().into());
        } else if let Some(time) = new.facts.upload_time {
            fact("upload-time", written_time(time).into());
        }
        if let Some(reason) = &entry.yanked {
            fact("yanked", yanked(reason));
        }
        if entry.core_metadata.is_some() {
            let hashes = &entry.more.metadata_hashes;
            if hashes.is_empty() {
                fact("core-metadata", true.into());
            } else {
                fact("core-metadata", table(hashes));
            }
        }
        if let Some(signed) = entry.more.gpg_sig {
            fact("gpg-sig", signed.into());
        }
        if let Some(url) = &entry.more.provenance {
            fact("provenance", url.as_ref().into());
        }
        text.push('}');
        self.out.push(text.as_bytes());
        self.note_version(entry, size.is_some());
    }

    fn note_version(&mut self, entry: &Entry<'_>, has_size: bool) {
        if !has_size {
            self.versions = None;
        }
        if let PageSubject::Project(name) = &self.subject
            && let Some(versions) = &mut self.versions
            && let Some(version) = filename::version(&entry.name, name)
            && !versions.seen.contains(version)
        {
            if versions.order.len() == VERSIONS_MAX {
                self.versions = None;
                return;
            }
            versions.seen.insert(version.to_owned());
            versions.order.push(version.into());
        }
    }

    fn comma(&mut self) {
        if !std::mem::replace(&mut self.is_first, false) {
            self.out.push(b",");
        }
    }
}

fn table(hashes: &Hashes) -> Value {
    let mut table = Map::new();
    for (algorithm, value) in hashes.iter() {
        table.insert(algorithm.to_owned(), value.into());
    }
    table.into()
}
