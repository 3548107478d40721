//! Who decides about an address, who would be asked in whose name, and which rules of the
//! configuration apply.
//!
//! Pure: the configuration alone tells. Must not know what is stored.

use super::explanation::{Explanation, Verdict};
use crate::app::CommandContext;
use crate::registry::{AdminEndpoint, PageRef, Route, Scope, ScopeKind};
use crate::simple::{Format, ProjectName, project_candidates};
use crate::upstream::{Forward, MirrorConfig};

/// What is at an address that is of no index.
pub(super) fn about_larder(route: &Route) -> &'static str {
    match route {
        Route::Admin(AdminEndpoint::Metrics) => {
            "larder's own metrics, for every client that can connect"
        }
        Route::Admin(AdminEndpoint::Home | AdminEndpoint::Status) => {
            "the status page, for every client that can connect"
        }
        Route::Admin(AdminEndpoint::Find) => "the way of a form to a project's page",
        _ => "larder's own health, for every client that can connect",
    }
}

/// Fills in everything that follows from the configuration.
pub(super) fn apply(
    explanation: &mut Explanation,
    route: &Route,
    format: Format,
    context: &CommandContext,
) {
    explanation.what = what(route);
    explanation.upstream = match route {
        Route::ProjectPage(page) => context.url(&Route::Page(page.clone())),
        _ => context.url(route),
    };
    let Some(scope) = route.scope() else {
        explanation.verdict = Verdict::Yes;
        explanation.why = about_larder(route).to_owned();
        return;
    };
    match context.mirror(scope) {
        Some((_, mirror)) => of_mirror(explanation, route, scope, mirror, context),
        None => of_gitlab(explanation, route, context),
    }
    if explanation.upstream.is_some()
        && let Some(proxy) = context.proxy(route)
    {
        let rule = format!("it is reached through the proxy {proxy}");
        explanation.rules.push(rule);
    }
    if let Route::Page(page) = route {
        page_rules(explanation, page, format, context);
    }
    if matches!(route, Route::Metadata(_)) || explanation.route == "metadata" {
        let generate = context.metadata.generate;
        let made = if generate { "is made" } else { "is not made" };
        explanation.rules.push(format!(
            "metadata.generate = {generate}: where upstream has no metadata of a wheel, it {made} here"
        ));
    }
}

fn page_rules(
    explanation: &mut Explanation,
    page: &PageRef,
    format: Format,
    context: &CommandContext,
) {
    let mirror = context.mirror(&page.scope);
    // Only JSON is sure to carry the dates that a minimum age needs.
    let needs_dates = match mirror {
        Some((_, mirror)) => !mirror.min_age.0.is_zero(),
        None => false,
    };
    let asked = if needs_dates || format == Format::Json {
        "JSON first"
    } else {
        "HTML only"
    };
    let given = word(format);
    let ttl = match mirror {
        Some((base, mirror)) => format!("mirrors.{base}.ttl = {}", mirror.ttl),
        None => format!("index.ttl = {}", context.index.ttl),
    };
    let stale = context.index.stale_if_error;
    explanation.rules.extend([
        format!("upstream is asked for {asked}; the client gets {given}"),
        format!("{ttl}: a younger page is answered without asking"),
        format!("index.stale_if_error = {stale}: if upstream fails, a page up to this age will do"),
    ]);
}

fn of_gitlab(explanation: &mut Explanation, route: &Route, context: &CommandContext) {
    let service = !context.gitlab.token_file.is_empty();
    explanation.right = Some(if service {
        "GitLab decides, by gitlab.token_file: every caller has its rights".to_owned()
    } else {
        "GitLab decides, for each caller by the caller's own token".to_owned()
    });
    explanation.asked_as = Some(if service {
        "the operator's token (gitlab.token_file)".to_owned()
    } else {
        "the caller: the caller's own credential, as it came".to_owned()
    });
    explanation.why = match route {
        Route::Upload { .. } => {
            "an upload is passed on byte for byte, and GitLab's answer comes back"
        }
        _ => "GitLab's answer to this caller, or the stored one while GitLab's decision holds",
    }
    .to_owned();
    if matches!(route, Route::Upload { .. }) {
        return;
    }
    let grant = context.auth.cache_ttl;
    explanation.rules.push(if grant.0.is_zero() {
        "auth.cache_ttl = 0: GitLab is asked each time".to_owned()
    } else {
        format!("auth.cache_ttl = {grant}: so long GitLab's last decision about a caller holds")
    });
    let Route::Page(PageRef {
        name: Some(name), ..
    }) = route
    else {
        return;
    };
    let forward = match &context.gitlab.forward {
        _ if context.private.hold(name) => {
            private(name, "if GitLab does not have it, the answer is 404")
        }
        Forward::Pass => {
            "gitlab.forward = \"pass\": if GitLab redirects to a public index, so does larder"
                .to_owned()
        }
        Forward::Deny => {
            "gitlab.forward = \"deny\": if GitLab redirects to a public index, the answer is 404"
                .to_owned()
        }
        Forward::Mirror(mirror) => format!(
            "gitlab.forward = \"{mirror}\": if GitLab redirects to a public index, this mirror's page is served in its place"
        ),
    };
    explanation.rules.push(forward);
}

fn of_mirror(
    explanation: &mut Explanation,
    route: &Route,
    scope: &Scope,
    mirror: &MirrorConfig,
    context: &CommandContext,
) {
    explanation.right = Some(
        "a mirror needs no authorization: every client that can connect to larder may read it"
            .to_owned(),
    );
    explanation.asked_as = Some(
        match (mirror.token_file.is_empty(), mirror.username.is_empty()) {
            (true, _) => "none: no credential goes to a mirror".to_owned(),
            (false, true) => {
                format!("larder: mirrors.{scope}.token_file as Bearer, at the index's origin only")
            }
            (false, false) => {
                format!(
                    "larder: mirrors.{scope}.username and token_file as Basic, at the index's origin only"
                )
            }
        },
    );
    explanation.why = "what the mirror has, or what is kept of it".to_owned();
    if !mirror.min_age.0.is_zero() {
        explanation.rules.push(format!(
            "mirrors.{scope}.min_age = {}: younger files, and files without a date, are left out of pages and refused",
            mirror.min_age
        ));
    }
    if let Some(name) = private_name(route, context) {
        explanation.upstream = None;
        explanation.asked_as = None;
        explanation
            .rules
            .push(private(&name, "no mirror is ever asked for it"));
        explanation.deny(format!(
            "{name} is a private name, and this address is a mirror's (404)"
        ));
    }
}

/// The name that keeps an address of a mirror from being answered.
pub(super) fn private_name(route: &Route, context: &CommandContext) -> Option<ProjectName> {
    let name = match route {
        Route::Page(page) => page.name.clone(),
        Route::Mirrored(path) => {
            let listed = path.metadata_of().unwrap_or_else(|| path.clone());
            project_candidates(listed.filename().as_str())
                .into_iter()
                .next()
        }
        Route::File(_)
        | Route::Metadata(_)
        | Route::Upload { .. }
        | Route::ProjectPage(_)
        | Route::Admin(_) => None,
    };
    name.filter(|name| context.private.hold(name))
}

fn private(name: &ProjectName, then: &str) -> String {
    format!("private_packages holds {name}: {then}")
}

/// What an address is of, in a few words.
pub(super) fn what(route: &Route) -> String {
    let whose = route.scope().map(|scope| match scope.kind() {
        ScopeKind::Project | ScopeKind::Group => format!("GitLab {scope}"),
        ScopeKind::Mirror => format!("the mirror {scope}"),
    });
    let whose = whose.unwrap_or_default();
    match route {
        Route::Page(PageRef {
            name: Some(name), ..
        }) => format!("the page of {name} in {whose}"),
        Route::Page(_) => format!("the list of projects of {whose}"),
        Route::File(file) => format!("the file {} of {whose}", file.filename),
        Route::Metadata(wheel) => {
            format!("the metadata (PEP 658) of {} of {whose}", wheel.filename)
        }
        Route::Mirrored(path) => match path.metadata_of() {
            Some(wheel) => format!("the metadata (PEP 658) of {} of {whose}", wheel.filename()),
            None => format!("the file {} of {whose}", path.filename()),
        },
        Route::Upload { .. } => format!("where {whose} takes uploads (POST)"),
        Route::ProjectPage(page) => format!("what people read of {}", Route::Page(page.clone())),
        Route::Admin(_) => "a page about larder itself".to_owned(),
    }
}

pub(super) fn word(format: Format) -> &'static str {
    match format {
        Format::Html => "HTML",
        Format::Json => "JSON",
    }
}
