//! The pages for people: larder's status and how to use it (`/-/`, `/-/status`), and one project's
//! files.
//!
//! ```text
//! Overview (readings of one moment) ─▶ Report ─▶ JSON, live sections, the page
//! a page that its reader may have   ─▶ Project ─▶ JSON, a page
//! ```
//!
//! Any client that can connect sees the status, so it names no package of GitLab's, no path of the
//! disk, no upstream's address, no caller and no credential. A project is shown only to a caller
//! who may have its page. Must not ask any upstream, and must not know HTTP.

mod address;
mod chart;
mod frame;
mod home;
mod live;
mod overview;
mod parent_report;
mod policy;
mod policy_report;
mod project;
mod project_page;
mod report;
mod setup;
mod shared_store_report;
mod upstream_report;
mod view_report;
mod words;

use address::Origin;
pub(super) use overview::Overview;
pub use overview::{Lifetimes, StatusSettings};
pub(super) use policy::content_security_policy;
pub(super) use project::ProjectPage;
pub(super) use project_page::project;
use report::Report;
use setup::{Choice, tools};

use crate::registry::{PageRef, Route, RouteError, Scope};

const NO_ID: &str =
    "an ID is a number, or the full path such as acme/widgets; a package is needed too";

/// How the reader came, as far as lines to copy depend on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visit<'v> {
    pub query: &'v str,
    /// The `Host` field, as it was sent.
    pub host: Option<&'v str>,
    /// Over TLS.
    pub secure: bool,
}

/// The page for people.
pub(super) fn home(overview: &Overview, settings: &StatusSettings, visit: Visit<'_>) -> String {
    let listen = settings.listen.first().map(String::as_str);
    let origin = Origin::find(&settings.public_url, visit.host, visit.secure, listen);
    let form = Form::read(visit.query);
    let mirrors = &settings.mirrors;
    let report = Report::of(overview, settings);
    match Choice::read(form.kind.as_deref(), form.id.as_deref(), mirrors) {
        Some(choice) => home::home(&report, &choice, &tools(&origin, &choice), mirrors),
        None => live::all(&report),
    }
}

/// The status as JSON.
pub(super) fn report(overview: &Overview, settings: &StatusSettings) -> impl serde::Serialize {
    Report::of(overview, settings)
}

/// The sections of the page that change.
pub(super) fn live_sections(overview: &Overview, settings: &StatusSettings) -> String {
    live::all(&Report::of(overview, settings))
}

/// Where a filled-in form leads, relative to `/-/`.
///
/// # Errors
/// When what was filled in names no project.
pub(super) fn find(query: &str) -> Result<String, RouteError> {
    let form = Form::read(query);
    let id = form.id.unwrap_or_default();
    let id = id.trim_end_matches('/');
    let named = match form.kind.as_deref() {
        Some("group") => format!("groups/{id}"),
        Some("mirror") => id.to_owned(),
        _ => format!("projects/{id}"),
    };
    let scope = Scope::named(&named).ok_or(RouteError::Malformed(NO_ID))?;
    let name = form.name.unwrap_or_default();
    let page = PageRef::parse(scope, &name).ok_or(RouteError::Malformed(NO_ID))?;
    let path = Route::ProjectPage(page).path();
    match path.strip_prefix("/-/") {
        Some(relative) => Ok(relative.to_owned()),
        None => Err(RouteError::Unknown),
    }
}

/// In place of a project that is too large to be kept whole.
pub(super) fn too_large(page: &PageRef) -> String {
    let words = "Its page is larger than index.page_size: clients are given it as it comes, and it cannot be shown here.";
    project_page::notice(page, words)
}

/// In place of a project that GitLab does not have, and for which it refers elsewhere.
pub(super) fn elsewhere(page: &PageRef) -> String {
    let words = "GitLab has no package of this name there, and refers clients to a public index.";
    project_page::notice(page, words)
}

/// What a form says.
#[derive(Debug, Default)]
struct Form {
    kind: Option<String>,
    id: Option<String>,
    name: Option<String>,
}

impl Form {
    fn read(query: &str) -> Self {
        let mut form = Self::default();
        for (key, value) in url::form_urlencoded::parse(query.as_bytes()) {
            let field = match &*key {
                "kind" => &mut form.kind,
                "id" => &mut form.id,
                "name" => &mut form.name,
                _ => continue,
            };
            *field = Some(value.trim().to_owned());
        }
        // One choice in the form stands for both.
        let kind = form.kind.as_deref().unwrap_or_default();
        if let Some(mirror) = kind.strip_prefix("mirror/") {
            form.id = Some(mirror.to_owned());
            form.kind = Some("mirror".to_owned());
        }
        form
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
