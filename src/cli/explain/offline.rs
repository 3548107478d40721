//! How an address is answered offline: who may, and whether it is held.
//!
//! No upstream would be asked, so that what the configuration says and what lies in the cache
//! folder is all there is to tell. Must not change anything.

use super::explanation::Explanation;
use super::rules::{about_larder, mirror_rules, what};
use super::stored::{Found, file, pages};
use crate::access::OfflineRule;
use crate::app::CommandContext;
use crate::registry::{FileRef, MirrorPath, PageRef, Route};
use crate::store::{Peek, StoreError};

/// Fills in everything that can be told offline.
pub fn explain(
    explanation: &mut Explanation,
    route: &Route,
    context: &CommandContext,
    peek: Option<&Peek>,
) {
    explanation.what = what(route);
    explanation.rule("offline = true: no upstream is asked; only what is stored is served");
    let Some(scope) = route.scope() else {
        return explanation.confirm(about_larder(route));
    };
    if matches!(route, Route::Upload { .. }) {
        return explanation.deny("nothing can be published offline (403)");
    }
    let found = match peek {
        Some(peek) => look(route, peek),
        None => Ok(Found::default()),
    };
    match found {
        Ok(found) => {
            explanation.stored.extend(found.lines);
            judge(explanation, route, found.held);
        }
        Err(why) => explanation.stored.push(format!("cannot be read: {why}")),
    }
    if scope.is_mirror() {
        mirror_rules(explanation, route, scope, context);
    } else {
        of_gitlab(explanation, context);
    }
}

fn look(route: &Route, peek: &Peek) -> Result<Found, StoreError> {
    match route {
        Route::Page(PageRef { name: Some(_), .. }) => pages(route, peek),
        Route::Page(_)
        | Route::Upload { .. }
        | Route::ProjectPage(_)
        | Route::Osv(_)
        | Route::Admin(_) => Ok(Found::default()),
        Route::File(found) => file(found, peek),
        Route::Metadata(wheel) => metadata(wheel, peek),
        Route::Mirrored(path) => {
            if let Some(found) = at(path, peek)? {
                return file(&found, peek);
            }
            if let Some(wheel) = path.metadata_of()
                && let Some(wheel) = at(&wheel, peek)?
            {
                return metadata(&wheel, peek);
            }
            Ok(Found::line("nothing at this path".to_owned(), false))
        }
    }
}

fn at(path: &MirrorPath, peek: &Peek) -> Result<Option<FileRef>, StoreError> {
    let digest = peek.digest_at(path)?;
    Ok(digest.map(|digest| FileRef::mirrored(path, digest)))
}

/// What is kept of it, or what can be made of the wheel.
fn metadata(wheel: &FileRef, peek: &Peek) -> Result<Found, StoreError> {
    if peek.metadata(wheel)?.is_some_and(|found| found.is_here) {
        let line = "metadata made of the wheel, or read from it".to_owned();
        return Ok(Found::line(line, true));
    }
    let mut found = file(wheel, peek)?;
    for line in &mut found.lines {
        *line = format!("the wheel, which its metadata is made of: {line}");
    }
    Ok(found)
}

fn judge(explanation: &mut Explanation, route: &Route, held: Option<bool>) {
    match held {
        Some(true) if matches!(route, Route::Page(_)) => {
            explanation.confirm("held: the page, with the files on it that are held");
        }
        Some(true) => explanation.confirm("held"),
        Some(false) => explanation.deny("not held, and larder is offline (404)"),
        None => {
            explanation.why =
                "the projects that have a page and a file here; 404 if there are none".to_owned();
        }
    }
}

fn of_gitlab(explanation: &mut Explanation, context: &CommandContext) {
    let auth = &context.auth;
    let right = if auth.offline == OfflineRule::Open {
        "auth.offline = \"open\": every client that can connect to larder"
    } else if auth.offline_users.is_empty() && auth.offline_tokens.is_empty() {
        explanation.deny("auth.offline = \"deny\", and no users or tokens are named (403)");
        "auth.offline = \"deny\": no caller"
    } else {
        "who shows a user of auth.offline_users or a token of auth.offline_tokens; others get 401"
    };
    explanation.right = Some(right.to_owned());
}
