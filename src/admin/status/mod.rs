//! The pages for people: larder's status and how to use it (`/-/`, `/-/status`), and one project's files.
//!
//! ```text
//! Snapshot (values of one moment) ─▶ Report ─▶ JSON, live sections, the page
//! a page that its reader may have ─▶ Project ─▶ JSON, a page
//! ```
//!
//! Whoever can connect sees the status, so it tells no package of GitLab's, no path of the disk, no upstream's address, no
//! caller and no credential. A project is shown to whom its page is given, and to nobody else. Must not ask anybody
//! anything: the handler brings what is shown.

mod address;
mod chart;
mod frame;
mod home;
mod live;
mod policy;
mod project;
mod project_page;
mod report;
mod setup;
mod snapshot;
mod words;

use http::HeaderValue;

use address::Origin;
use project::{Project, Shown};
use report::Report;
use setup::{Choice, tools};

use crate::index::Page;
use crate::registry::{FileRef, PageRef, Route, RouteError, Scope};
use crate::simple::Format;

pub use snapshot::{Disk, LastError, PeerState, Reach, Rules, Snapshot, Stale, Transfer};

const NO_ID: &str =
    "an ID is a number, or the full path such as acme/widgets; a package is needed too";

/// Something to be sent.
#[derive(Debug)]
pub enum Document {
    /// With what a browser may do with it.
    Html(String, HeaderValue),
    Json(String),
}

impl Document {
    fn html(text: String) -> Self {
        Self::Html(text, policy::policy())
    }

    fn json(value: &impl serde::Serialize) -> Self {
        // A value of ours, of text and numbers, can always be written.
        Self::Json(serde_json::to_string(value).unwrap_or_default())
    }
}

/// How the reader came, as far as lines to copy depend on it.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'v> {
    pub query: &'v str,
    /// The `Host` field, as it was sent.
    pub host: Option<&'v str>,
    /// Over TLS.
    pub secure: bool,
}

/// The page for people.
pub fn home(snapshot: &Snapshot, visit: Visit<'_>) -> Document {
    let listen = snapshot.listen.first().map(String::as_str);
    let origin = Origin::find(&snapshot.public_url, visit.host, visit.secure, listen);
    let asked = Asked::read(visit.query);
    let choice = Choice::read(
        asked.kind.as_deref(),
        asked.id.as_deref(),
        &snapshot.mirrors,
    );
    let report = Report::of(snapshot);
    Document::html(match choice {
        Some(choice) => home::home(
            &report,
            &choice,
            &tools(&origin, &choice),
            &snapshot.mirrors,
        ),
        None => live::all(&report),
    })
}

/// The same as JSON, or what changes of the page.
pub fn status(snapshot: &Snapshot, as_parts: bool) -> Document {
    let report = Report::of(snapshot);
    if as_parts {
        Document::html(live::all(&report))
    } else {
        Document::json(&report)
    }
}

/// Where a filled-in form leads, relative to `/-/`.
///
/// # Errors
/// When what was filled in names no project.
pub fn find(query: &str) -> Result<String, RouteError> {
    let asked = Asked::read(query);
    let id = asked.id.unwrap_or_default();
    let id = id.trim_end_matches('/');
    let named = match asked.kind.as_deref() {
        Some("group") => format!("groups/{id}"),
        Some("mirror") => id.to_owned(),
        _ => format!("projects/{id}"),
    };
    let scope = Scope::named(&named).ok_or(RouteError::Malformed(NO_ID))?;
    let name = asked
        .name
        .as_deref()
        .and_then(|name| name.parse().ok())
        .ok_or(RouteError::Malformed(NO_ID))?;
    let path = Route::ProjectPage(PageRef {
        scope,
        name: Some(name),
    })
    .path();
    path.strip_prefix("/-/")
        .map(str::to_owned)
        .ok_or(RouteError::Unknown)
}

/// One project, of a page that its reader was given. `held_size` may block, and so does this.
pub fn project(
    page: &PageRef,
    body: &Page,
    stale_for_seconds: Option<u64>,
    path_prefix: &str,
    as_json: bool,
    held_size: impl Fn(&FileRef) -> Option<u64>,
) -> Option<Document> {
    let forms = body.forms();
    let plain = forms.choose([]);
    let name = page.name.as_ref()?;
    let shown = Shown {
        page,
        name,
        format: Format::Json,
        body: &plain.body,
        path_prefix,
        stale_for_seconds,
    };
    let project = Project::read(&shown, held_size)
        .inspect_err(|why| tracing::warn!(error = %why, "a page of ours cannot be read"))
        .ok()?;
    Some(if as_json {
        Document::json(&project)
    } else {
        Document::html(project_page::project(&project))
    })
}

/// In place of a project that is too large to be kept whole.
pub fn too_large(page: &PageRef) -> Document {
    let name = page
        .name
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let words = "Its page is larger than index.page_size: clients are given it as it comes, and it cannot be shown here.";
    Document::html(project_page::notice(&name, words))
}

/// In place of a project that GitLab does not have, and for which it refers elsewhere.
pub fn elsewhere(page: &PageRef) -> Document {
    let name = page
        .name
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let words = "GitLab has no package of this name there, and refers clients to a public index.";
    Document::html(project_page::notice(&name, words))
}

/// What a form says.
#[derive(Debug, Default)]
struct Asked {
    kind: Option<String>,
    id: Option<String>,
    name: Option<String>,
}

impl Asked {
    fn read(query: &str) -> Self {
        let mut asked = Self::default();
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let field = match &*key {
                "kind" => &mut asked.kind,
                "id" => &mut asked.id,
                "name" => &mut asked.name,
                _ => continue,
            };
            *field = Some(value.trim().to_owned());
        }
        // One choice in the form stands for both.
        if let Some(mirror) = asked
            .kind
            .as_deref()
            .and_then(|kind| kind.strip_prefix("mirror/"))
        {
            asked.id = Some(mirror.to_owned());
            asked.kind = Some("mirror".to_owned());
        }
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_leads_to_the_project_that_it_names() {
        for (query, place) in [
            ("kind=project&id=42&name=Foo_Bar", "projects/42/foo-bar"),
            ("kind=group&id=acme%2Ftools&name=a", "groups/acme%2Ftools/a"),
            ("kind=mirror%2Fpypi&id=&name=a", "mirrors/pypi/a"),
        ] {
            assert_eq!(find(query).as_deref(), Ok(place));
        }
        for query in [
            "",
            "kind=project&name=a",
            "id=42",
            "id=42&name=-",
            "id=..%2F..&name=a",
            "id=//evil.example&name=a",
        ] {
            assert_eq!(find(query), Err(RouteError::Malformed(NO_ID)), "{query}");
        }
    }
}
