//! `refresh`: pages fetched again because an operator asks for it.
//!
//! Owns which pages are meant. A mirror is asked anonymously, GitLab with the operator's
//! credential; without one GitLab is not asked now, and the page's next request asks. Must not know
//! how a page is fetched.

use std::collections::BTreeMap;

use super::error::MaintenanceError;
use super::selection::Selection;
use crate::access::Caller;
use crate::control::{Named, PageRefresh, Refresh, Refreshed, Reporter};
use crate::index::{PageRequest, Pages, RefreshedPage};
use crate::registry::{PageRef, Route};
use crate::simple::{FileChange, Format, ProjectName};
use crate::store::{IndexSubject, Store};
use crate::upstream::PUBLIC_INDEX;
use crate::values::clock;

/// The one page that is meant, whether or not it is stored; none where several may be.
fn one_page(named: &Named, selection: &Selection) -> Option<PageRef> {
    match (named, selection) {
        (_, Selection::Route(Route::Page(page))) => Some(page.clone()),
        (Named::Project { project, .. }, Selection::Projects(Some(scope), _)) => Some(PageRef {
            scope: scope.clone(),
            // A glob is no name.
            name: Some(ProjectName::parse(project).ok()?),
        }),
        _ => None,
    }
}

/// The pages that are meant. Blocks.
pub(super) fn pages(
    store: &Store,
    pages: &Pages,
    command: &Refresh,
) -> Result<Vec<PageRef>, MaintenanceError> {
    let named = &command.what;
    let selection = Selection::read(named)?;
    match (one_page(named, &selection), &selection) {
        (Some(page), _) if pages.serves(&page.scope) => return Ok(vec![page]),
        (Some(PageRef { scope, .. }), _) => {
            let why = match scope.to_string().as_str() {
                PUBLIC_INDEX => {
                    "where the public index is is not known yet: GitLab's first redirect to it tells"
                        .to_owned()
                }
                name => format!("there is no mirror {name} in the configuration"),
            };
            return Err(MaintenanceError::Command(why));
        }
        (None, Selection::Projects(..) | Selection::Scope(_)) => {}
        (None, _) => {
            let why = "a file has no page to refresh: name its project, or the address of a page";
            return Err(MaintenanceError::Command(why.to_owned()));
        }
    }
    // By path: in a stable order, each once.
    let mut found = BTreeMap::new();
    store.every_line::<MaintenanceError>(|index| {
        for line in &index.lines {
            if let IndexSubject::Page { page, .. } = &line.subject
                && selection.takes(line)
                && pages.serves(&page.scope)
            {
                found.insert(Route::Page(page.clone()).path(), page.clone());
            }
        }
        Ok(())
    })?;
    if found.is_empty() {
        let why = match named {
            Named::Project { project: name, .. } => format!(
                "no page of {name} is stored: say whose it is, with --from projects/42, groups/acme or a mirror's name"
            ),
            Named::Scope(name) | Named::Address(name) | Named::Sha256(name) => {
                format!("no page of {name} is stored: its first reader's request stores one")
            }
        };
        return Err(MaintenanceError::Command(why));
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
                ahead: false,
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
