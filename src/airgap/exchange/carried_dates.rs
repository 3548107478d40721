//! What a bundle tells of the age of its files, as the dates of pages.
//!
//! A file's own address says nothing of the page that lists it, so that each date is kept for the
//! page that was carried and for the project's page in the scope of the address. Where the word of
//! the bundle does not count, no file has a date by it, and none was seen before it came. Pure. Must
//! not know what dates are used for.

use std::collections::HashMap;
use std::time::SystemTime;

use crate::airgap::bundle::FileLine;
use crate::registry::{FileRef, PageRef};
use crate::simple::{FileFacts, ProjectListing, ProjectName};
use crate::store::{DatedFile, PageNews, SeenFile};

pub struct CarriedDates {
    pub pages: HashMap<PageRef, PageNews>,
    /// When the bundle came, if its word does not count.
    unproven: Option<SystemTime>,
}

impl CarriedDates {
    pub fn new(unproven: Option<SystemTime>) -> Self {
        Self {
            pages: HashMap::new(),
            unproven,
        }
    }

    /// Those of these lines, by the files' own addresses.
    pub fn of_files(&mut self, lines: &[FileLine]) {
        for line in lines {
            let Some(FileRef { scope, .. }) = line.file_ref() else {
                continue;
            };
            if let Ok(name) = ProjectName::parse(&line.project) {
                let name = Some(name);
                self.add(&PageRef { scope, name }, &line.filename, line);
            }
        }
    }

    /// Those of the files of a page, by `lines` of their addresses.
    pub fn of_page<'l>(
        &mut self,
        page: &PageRef,
        listing: &ProjectListing,
        lines: impl Fn(&str) -> Option<&'l FileLine>,
    ) {
        for (filename, file) in &listing.files {
            if let Some(line) = lines(&file.address) {
                self.add(page, filename, line);
            }
        }
    }

    fn add(&mut self, page: &PageRef, filename: &str, line: &FileLine) {
        let time = |text: &Option<String>| humantime::parse_rfc3339(text.as_deref()?).ok();
        let mut uploaded = time(&line.upload_time);
        let mut first_seen = time(&line.first_seen);
        if let Some(came) = self.unproven {
            uploaded = None;
            first_seen = first_seen.map(|seen| seen.max(came));
        }
        if uploaded.is_none() && first_seen.is_none() {
            return;
        }
        let news = self.pages.entry(page.clone()).or_default();
        // A mirror's page tells its files' dates itself.
        if uploaded.is_some() && !page.scope.is_mirror() {
            news.dated.push(DatedFile {
                digest: line.sha256,
                filename: filename.to_owned(),
                facts: FileFacts {
                    size: Some(line.size),
                    upload_time: uploaded,
                },
            });
        }
        if let Some(first_seen) = first_seen {
            news.seen.push(SeenFile {
                digest: line.sha256,
                filename: filename.to_owned(),
                first_seen,
            });
        }
    }
}
