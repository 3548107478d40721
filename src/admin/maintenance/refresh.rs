//! `refresh`: pages asked for again at an operator's word.
//!
//! Owns which pages are meant. A mirror is asked in nobody's name, GitLab in the operator's; without a credential GitLab
//! is not asked now, and the page's next reader asks. Must not know how a page is asked for.

use std::collections::BTreeSet;

use super::error::UpkeepError;
use crate::access::Caller;
use crate::control::{PageRefresh, Refresh, Refreshable, Refreshed, Reporter};
use crate::index::{PageRequest, Pages};
use crate::registry::{PageRef, Route, Scope};
use crate::simple::{Format, ProjectName};
use crate::store::{IndexSubject, Store};
use crate::values::clock;

/// What is meant, understood.
enum Target {
    Page(PageRef),
    /// Wherever a page of it is stored.
    Everywhere(ProjectName),
}

impl Target {
    fn read(what: &Refreshable) -> Result<Self, UpkeepError> {
        let wrong =
            |text: &str, form: &str| UpkeepError::Order(format!("\"{text}\" is not {form}"));
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

/// The pages that are meant. Blocks, and tells nothing to anybody.
pub(super) fn pages(
    store: &Store,
    pages: &Pages,
    order: &Refresh,
) -> Result<Vec<PageRef>, UpkeepError> {
    let served = |page: &PageRef| match pages.serves(&page.scope) {
        true => Ok(()),
        false => Err(UpkeepError::Order(format!(
            "there is no mirror {} in the configuration",
            page.scope
        ))),
    };
    let name = match Target::read(&order.what)? {
        Target::Page(page) => return served(&page).map(|()| vec![page]),
        Target::Everywhere(name) => name,
    };
    let mut found = BTreeSet::new();
    store.every_line::<UpkeepError>(|index| {
        for line in &index.lines {
            if let IndexSubject::Page { page, .. } = &line.subject
                && page.name.as_ref() == Some(&name)
                && served(page).is_ok()
            {
                found.insert(Route::Page(page.clone()).path());
            }
        }
        Ok(())
    })?;
    let page = |path: &String| match Route::from_path(path) {
        Ok(Route::Page(page)) => Some(page),
        Ok(_) | Err(_) => None,
    };
    let found: Vec<PageRef> = found.iter().filter_map(page).collect();
    match found.is_empty() {
        false => Ok(found),
        true => Err(UpkeepError::Order(format!(
            "no page of {name} is stored: say whose it is, with --from projects/42, groups/acme or a mirror's name"
        ))),
    }
}

/// Asks for them, one after another; GitLab in this caller's name.
pub(super) async fn run(
    pages: &Pages,
    wanted: Vec<PageRef>,
    caller: &Caller,
    out: &Reporter<Refreshed>,
) -> Result<(), UpkeepError> {
    for page in wanted {
        let address = Route::Page(page.clone()).path();
        let now = clock::now();
        let (changes, end) = if page.scope.is_mirror() || !caller.is_anonymous() {
            let request = PageRequest {
                caller: caller.clone(),
                page,
                format: Format::Json,
                insists: true,
            };
            pages.refresh(&request, now).await
        } else {
            let marked = pages.invalidate(&page, now);
            let failed = |why: crate::index::PageError| PageRefresh::Failed {
                why: why.to_string(),
            };
            (
                Vec::new(),
                marked.map_or_else(failed, |()| PageRefresh::Marked),
            )
        };
        for (filename, change) in changes {
            out.told(Refreshed::File {
                page: address.clone(),
                filename,
                change,
            })
            .await?;
        }
        out.told(Refreshed::Page { page: address, end }).await?;
    }
    Ok(())
}
