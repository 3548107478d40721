//! `refresh`: pages fetched again because an operator asks for it.
//!
//! Owns which pages are meant. A mirror is asked anonymously, GitLab with the operator's
//! credential; without one GitLab is not asked now, and the page's next request asks. Must not know
//! how a page is fetched.

use std::collections::BTreeMap;

use super::error::MaintenanceError;
use crate::access::Caller;
use crate::control::{PageRefresh, Refresh, Refreshable, Refreshed, Reporter};
use crate::index::{PageRequest, Pages, RefreshedPage};
use crate::registry::{PageRef, Route, Scope};
use crate::simple::{FileChange, Format, ProjectName};
use crate::store::{IndexSubject, Store};
use crate::values::clock;

/// What is meant, understood.
enum RefreshTarget {
    Page(PageRef),
    /// Wherever a page of it is stored.
    Everywhere(ProjectName),
}

impl RefreshTarget {
    fn read(what: &Refreshable) -> Result<Self, MaintenanceError> {
        let wrong =
            |text: &str, form: &str| MaintenanceError::Command(format!("\"{text}\" is not {form}"));
        match what {
            Refreshable::Project { scope, project } => {
                let name =
                    ProjectName::parse(project).map_err(|_| wrong(project, "a project's name"))?;
                let Some(scope) = scope else {
                    return Ok(Self::Everywhere(name));
                };
                let form = "a scope such as projects/42, groups/acme or a mirror's name";
                let scope = Scope::named(scope).ok_or_else(|| wrong(scope, form))?;
                Ok(Self::Page(PageRef {
                    scope,
                    name: Some(name),
                }))
            }
            Refreshable::Address(text) => match Route::from_path(text) {
                Ok(Route::Page(page)) => Ok(Self::Page(page)),
                Ok(_) | Err(_) => Err(wrong(text, "the address of a page")),
            },
        }
    }
}

/// The pages that are meant. Blocks.
pub(super) fn pages(
    store: &Store,
    pages: &Pages,
    command: &Refresh,
) -> Result<Vec<PageRef>, MaintenanceError> {
    let name = match RefreshTarget::read(&command.what)? {
        RefreshTarget::Page(page) if pages.serves(&page.scope) => return Ok(vec![page]),
        RefreshTarget::Page(page) => {
            let scope = page.scope;
            let why = format!("there is no mirror {scope} in the configuration");
            return Err(MaintenanceError::Command(why));
        }
        RefreshTarget::Everywhere(name) => name,
    };
    // By path: in a stable order, each once.
    let mut found = BTreeMap::new();
    store.every_line::<MaintenanceError>(|index| {
        for line in &index.lines {
            if let IndexSubject::Page { page, .. } = &line.subject
                && page.name.as_ref() == Some(&name)
                && pages.serves(&page.scope)
            {
                found.insert(Route::Page(page.clone()).path(), page.clone());
            }
        }
        Ok(())
    })?;
    if found.is_empty() {
        return Err(MaintenanceError::Command(format!(
            "no page of {name} is stored: say whose it is, with --from projects/42, groups/acme or a mirror's name"
        )));
    }
    Ok(found.into_values().collect())
}

/// Fetches them again, one after another; GitLab's in this caller's name.
pub(super) async fn run(
    pages: &Pages,
    wanted: Vec<PageRef>,
    caller: &Caller,
    out: &Reporter<Refreshed>,
) -> Result<(), MaintenanceError> {
    for page in wanted {
        let address = Route::Page(page.clone()).path();
        let now = clock::now();
        let outcome = if page.scope.is_mirror() || !caller.is_anonymous() {
            let request = PageRequest {
                caller: caller.clone(),
                page,
                format: Format::Json,
                insists: true,
            };
            pages.refresh(&request, now).await.map(Outcome::of)
        } else {
            pages.invalidate(&page, now).map(|()| Outcome::MARKED)
        };
        let outcome = outcome.unwrap_or_else(|why| Outcome::failed(why.to_string()));
        for (filename, change) in outcome.changes {
            let page = address.clone();
            let file = Refreshed::File {
                page,
                filename,
                change,
            };
            out.told(file).await?;
        }
        let end = outcome.end;
        out.told(Refreshed::Page { page: address, end }).await?;
    }
    Ok(())
}

/// What the command's client is told of one page.
struct Outcome {
    changes: Vec<(String, FileChange)>,
    end: PageRefresh,
}

impl Outcome {
    const MARKED: Self = Self {
        changes: Vec::new(),
        end: PageRefresh::Marked,
    };

    fn of(refreshed: RefreshedPage) -> Self {
        let end = match refreshed {
            RefreshedPage::Project { files, changes } => {
                let end = match &changes {
                    None => PageRefresh::New { files },
                    Some(changes) if changes.is_empty() => PageRefresh::Unchanged { files },
                    Some(_) => PageRefresh::Changed { files },
                };
                let changes = changes.unwrap_or_default();
                return Self { changes, end };
            }
            RefreshedPage::Listing { is_same: None } => PageRefresh::New { files: 0 },
            RefreshedPage::Listing {
                is_same: Some(true),
            } => PageRefresh::Unchanged { files: 0 },
            RefreshedPage::Listing {
                is_same: Some(false),
            } => PageRefresh::Changed { files: 0 },
            RefreshedPage::TooLarge => PageRefresh::TooLarge,
            RefreshedPage::Refused(status) => PageRefresh::Refused {
                status: status.as_u16(),
            },
            RefreshedPage::Unanswered => {
                let why = "upstream did not answer; what was stored stays, and is shown as long as it may";
                return Self::failed(why.to_owned());
            }
        };
        Self {
            changes: Vec::new(),
            end,
        }
    }

    fn failed(why: String) -> Self {
        Self {
            changes: Vec::new(),
            end: PageRefresh::Failed { why },
        }
    }
}
