//! How an address is answered offline: who may, and whether it is held.
//!
//! Nobody would be asked, so that what the configuration says and what lies in the cache folder is
//! all there is to tell. Must not change anything.

use super::explanation::{Explanation, Verdict};
use super::rules::{about_larder, private_name, what};
use super::stored::{found_file, pages};
use crate::access::OfflineRule;
use crate::app::CommandContext;
use crate::registry::{FileRef, MirrorPath, PageRef, Route, Scope};
use crate::simple::Format;
use crate::store::{Peek, StoreError};

/// Fills in everything that can be told offline.
pub(super) fn explain(
    explanation: &mut Explanation,
    route: &Route,
    context: &CommandContext,
    peek: Option<&Peek>,
) {
    explanation.what = what(route);
    explanation
        .rules
        .push("offline = true: no upstream is asked; only what is stored is served".to_owned());
    let Some(scope) = route.scope() else {
        explanation.verdict = Verdict::Yes;
        explanation.why = about_larder(route).to_owned();
        return;
    };
    if matches!(route, Route::Upload { .. }) {
        return explanation.deny("nothing can be published offline (403)");
    }
    let found = peek.map_or(Ok(Found::default()), |peek| look(route, peek));
    match found {
        Ok(found) => {
            explanation.stored.extend(found.lines);
            judge(explanation, route, found.held);
        }
        Err(why) => explanation.stored.push(format!("cannot be read: {why}")),
    }
    if scope.is_mirror() {
        explanation.right = Some(
            "a mirror needs no authorization: every client that can connect to larder may read it"
                .to_owned(),
        );
        of_mirror(explanation, route, scope, context);
    } else {
        of_gitlab(explanation, context);
    }
}

/// What the cache folder says.
#[derive(Default)]
struct Found {
    lines: Vec<String>,
    /// Nothing, where that takes more than a look.
    held: Option<bool>,
}

fn look(route: &Route, peek: &Peek) -> Result<Found, StoreError> {
    Ok(match route {
        Route::Page(PageRef { name: Some(_), .. }) => {
            let mut held = false;
            for format in [Format::Json, Format::Html] {
                held |= peek
                    .page(route, format)?
                    .is_some_and(|page| page.body.is_some());
            }
            Found {
                lines: pages(route, peek)?,
                held: Some(held),
            }
        }
        Route::Page(_) | Route::Upload { .. } | Route::ProjectPage(_) | Route::Admin(_) => {
            Found::default()
        }
        Route::File(file) => of_file(file, peek)?,
        Route::Metadata(wheel) => of_metadata(wheel, peek)?,
        Route::Mirrored(path) => match (path.metadata_of(), at(path, peek)?) {
            (_, Some(file)) => of_file(&file, peek)?,
            (Some(wheel), None) => match at(&wheel, peek)? {
                Some(wheel) => of_metadata(&wheel, peek)?,
                None => Found {
                    lines: vec!["nothing at this path".to_owned()],
                    held: Some(false),
                },
            },
            (None, None) => Found {
                lines: vec!["nothing at this path".to_owned()],
                held: Some(false),
            },
        },
    })
}

fn at(path: &MirrorPath, peek: &Peek) -> Result<Option<FileRef>, StoreError> {
    Ok(peek
        .digest_at(path)?
        .map(|digest| FileRef::mirrored(path, digest)))
}

fn of_file(file: &FileRef, peek: &Peek) -> Result<Found, StoreError> {
    let held = peek.file(file)?.is_some_and(|found| found.is_here);
    Ok(Found {
        lines: found_file(file, peek)?,
        held: Some(held),
    })
}

/// What is kept of it, or what can be made of the wheel.
fn of_metadata(wheel: &FileRef, peek: &Peek) -> Result<Found, StoreError> {
    if peek.metadata(wheel)?.is_some_and(|found| found.is_here) {
        return Ok(Found {
            lines: vec!["metadata made of the wheel, or read from it".to_owned()],
            held: Some(true),
        });
    }
    let mut found = of_file(wheel, peek)?;
    if let Some(line) = found.lines.first_mut() {
        *line = format!("the wheel, which its metadata is made of: {line}");
    }
    Ok(found)
}

fn judge(explanation: &mut Explanation, route: &Route, held: Option<bool>) {
    match held {
        Some(true) if matches!(route, Route::Page(_)) => {
            explanation.verdict = Verdict::Yes;
            explanation.why = "held: the page, with the files on it that are held".to_owned();
        }
        Some(true) => {
            explanation.verdict = Verdict::Yes;
            explanation.why = "held".to_owned();
        }
        Some(false) => explanation.deny("not held, and larder is offline (404)"),
        None => {
            explanation.why =
                "the projects that have a page and a file here; 404 if there are none".to_owned();
        }
    }
}

fn of_mirror(
    explanation: &mut Explanation,
    route: &Route,
    scope: &Scope,
    context: &CommandContext,
) {
    if let Some((_, mirror)) = context
        .mirror(scope)
        .filter(|(_, mirror)| !mirror.min_age.0.is_zero())
    {
        explanation.rules.push(format!(
            "mirrors.{scope}.min_age = {}: younger files, and files without a date, are left out of pages and refused",
            mirror.min_age
        ));
    }
    if let Some(name) = private_name(route, context) {
        explanation.deny(format!(
            "{name} is a private name, and this address is a mirror's (404)"
        ));
    }
}

fn of_gitlab(explanation: &mut Explanation, context: &CommandContext) {
    let auth = &context.auth;
    let named = !(auth.offline_users.is_empty() && auth.offline_tokens.is_empty());
    explanation.right = Some(match (auth.offline, named) {
        (OfflineRule::Open, _) => "auth.offline = \"open\": every client that can connect to larder".to_owned(),
        (OfflineRule::Deny, true) => {
            "who shows a user of auth.offline_users or a token of auth.offline_tokens; others get 401"
                .to_owned()
        }
        (OfflineRule::Deny, false) => {
            explanation.deny("auth.offline = \"deny\", and no users or tokens are named (403)");
            "auth.offline = \"deny\": no caller".to_owned()
        }
    });
}
