//! Writes a page as HTML (PEP 503, 592, 629, 658, 714, 740, 792; frozen at 1.4 by PEP 833).
//!
//! Owns the markup. A project's facts stand in the head, but may come after its files, so its page
//! waits for its end; the caller bounds pages. An index streams.

use crate::simple::entry::{Entry, PageSubject, Replacement};
use crate::simple::facts::PageFacts;
use crate::simple::html::Quotes;
use crate::simple::output::Output;

/// What a page calls itself whose source has not said a version.
const VERSION: &str = "1.0";

pub struct HtmlPage {
    subject: PageSubject,
    pub out: Output,
    /// The anchors of a project, until its head is written.
    anchors: Output,
    head_written: bool,
}

impl HtmlPage {
    pub fn new(subject: PageSubject) -> Self {
        Self {
            subject,
            out: Output::default(),
            anchors: Output::default(),
            head_written: false,
        }
    }

    pub fn add(&mut self, entry: &Entry<'_>, new: &Replacement, facts: &PageFacts) {
        if self.subject == PageSubject::Index {
            self.write_head(facts);
            anchor(&mut self.out, entry, new);
        } else {
            anchor(&mut self.anchors, entry, new);
        }
    }

    pub fn finish(&mut self, facts: &PageFacts) -> Output {
        self.write_head(facts);
        let shift = self.out.position();
        for point in std::mem::take(&mut self.anchors.insertion_points) {
            self.out.note_insertion_point_at(shift + point);
        }
        self.out.push(&self.anchors.take());
        self.out.push(b"  </body>\n</html>\n");
        std::mem::take(&mut self.out)
    }

    fn write_head(&mut self, facts: &PageFacts) {
        if std::mem::replace(&mut self.head_written, true) {
            return;
        }
        let title = match &self.subject {
            PageSubject::Index => "Simple index".to_owned(),
            PageSubject::Project(name) => format!("Links for {name}"),
        };
        let version = match facts.api_version() {
            Some(version) => version.of_html(),
            None => VERSION.to_owned(),
        };
        let mut head = String::from("<!DOCTYPE html>\n<html>\n  <head>\n");
        meta(&mut head, "pypi:repository-version", &version);
        if let (PageSubject::Project(_), Some(status)) = (&self.subject, &facts.status) {
            meta(&mut head, "pypi:project-status", &status.status);
            if let Some(reason) = &status.reason {
                meta(&mut head, "pypi:project-status-reason", reason);
            }
        }
        head.push_str(&format!(
            "    <title>{title}</title>\n  </head>\n  <body>\n    <h1>{title}</h1>\n",
            title = escaped(&title)
        ));
        self.out.push(head.as_bytes());
    }
}

fn meta(head: &mut String, name: &str, content: &str) {
    let content = escaped(content);
    head.push_str(&format!(
        "    <meta name=\"{name}\" content=\"{content}\">\n"
    ));
}

fn anchor(out: &mut Output, entry: &Entry<'_>, new: &Replacement) {
    out.push(b"    <a");
    if new.markable {
        out.note_insertion_point();
    }
    let mut href = new.address.clone();
    if let Some((algorithm, value)) = entry.more.hashes.best() {
        href.push_str(&format!("#{algorithm}={value}"));
    }
    let mut text = String::new();
    attribute(&mut text, "href", &href);
    attributes(&mut text, entry);
    text.push('>');
    text.push_str(&escaped(&entry.name));
    text.push_str("</a><br />\n");
    out.push(text.as_bytes());
}

fn attributes(text: &mut String, entry: &Entry<'_>) {
    if let Some(specifier) = &entry.requires_python {
        attribute(text, "data-requires-python", specifier);
    }
    if let Some(reason) = &entry.yanked {
        attribute(text, "data-yanked", reason);
    }
    if entry.core_metadata.is_some() {
        let said = match entry.more.metadata_hashes.best() {
            Some((algorithm, value)) => format!("{algorithm}={value}"),
            None => "true".to_owned(),
        };
        attribute(text, "data-core-metadata", &said);
        attribute(text, "data-dist-info-metadata", &said);
    }
    if let Some(signed) = entry.more.gpg_sig {
        attribute(text, "data-gpg-sig", if signed { "true" } else { "false" });
    }
    if let Some(url) = &entry.more.provenance {
        attribute(text, "data-provenance", url);
    }
    if let Some(size) = entry.size {
        attribute(text, "data-size", &size.to_string());
    }
    if let Some(time) = &entry.more.upload_time {
        attribute(text, "data-upload-time", time);
    }
}

fn attribute(text: &mut String, name: &str, value: &str) {
    text.push(' ');
    text.push_str(name);
    text.push_str("=\"");
    text.push_str(&escaped(value));
    text.push('"');
}

/// Right between double quotes and between tags.
fn escaped(text: &str) -> String {
    Quotes::Double.spell(text, false)
}
