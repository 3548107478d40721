//! Who decides about an address, who would be asked in whose name, and which rules of the
//! configuration apply.
//!
//! Pure: the configuration alone tells. Must not know what is stored.

use super::explanation::Explanation;
use crate::app::CommandContext;
use crate::index::PageError;
use crate::registry::policy::{JudgedFile, PolicyReason, PolicyRefusal, PolicyVerdict, Undated};
use crate::registry::{AdminEndpoint, Filename, PageRef, Route, Scope, ScopeKind};
use crate::simple::{Format, ProjectName, project_candidates};
use crate::upstream::{Forward, MirrorConfig};
use crate::values::clock;

/// What is at an address that is of no index.
pub fn about_larder(route: &Route) -> &'static str {
    match route {
        Route::Admin(AdminEndpoint::Metrics) => {
            "larder's own metrics, for every client that can connect"
        }
        Route::Admin(AdminEndpoint::Home | AdminEndpoint::Status) => {
            "the status page, for every client that can connect"
        }
        Route::Osv(_) => {
            "the OSV service, from the records of policy.advisories, for every client that can connect"
        }
        Route::Admin(AdminEndpoint::Find) => "the way of a form to a project's page",
        _ => "larder's own health, for every client that can connect",
    }
}

/// Fills in everything that follows from the configuration.
pub fn apply(
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
        return explanation.confirm(about_larder(route));
    };
    match context.mirror(scope) {
        Some((_, mirror)) => of_mirror(explanation, route, scope, mirror, context),
        None => of_gitlab(explanation, route, context),
    }
    if explanation.upstream.is_some()
        && let Some(proxy) = context.proxy(route)
    {
        explanation.rule(format!("it is reached through the proxy {proxy}"));
    }
    if let Some([home, others @ ..]) = context.parents_of(route).as_deref()
        && !others.is_empty()
    {
        let others = others.join(", ");
        explanation.rule(format!(
            "parent: {home} is asked first for what belongs to this project; where it is away, {others}"
        ));
    }
    if let Route::Page(page) = route {
        page_rules(explanation, page, format, context);
    }
    let is_file = matches!(route, Route::File(_) | Route::Mirrored(_));
    if is_file && !context.offline && context.shared_store.is_set() {
        explanation.rule(format!(
            "shared_store.url = \"{}\": once the right to it is settled, a file that is not here comes \
             from there, if another larder of the fleet had it",
            context.shared_store.url
        ));
    }
    if matches!(route, Route::Metadata(_)) || explanation.route == "metadata" {
        let generate = context.metadata.generate;
        let made = if generate { "is made" } else { "is not made" };
        explanation.rule(format!(
            "metadata.generate = {generate}: \
             where upstream has no metadata of a wheel, it {made} here"
        ));
    }
}

fn page_rules(
    explanation: &mut Explanation,
    page: &PageRef,
    format: Format,
    context: &CommandContext,
) {
    let mut needs_dates = false;
    let mut ttl = format!("index.ttl = {}", context.index.ttl);
    if let Some((base, mirror)) = context.mirror(&page.scope) {
        needs_dates = context.sources.policies().age(&page.scope).is_some();
        // A parent's has no section of its own.
        if !base.is_parents() {
            ttl = format!("mirrors.{base}.ttl = {}", mirror.ttl);
        }
    }
    // Only JSON is sure to carry the dates that a minimum age needs.
    let asked = if needs_dates || format == Format::Json {
        "JSON first"
    } else {
        "HTML only"
    };
    let given = word(format);
    let stale = context.index.stale_if_error;
    explanation.rules.extend([
        format!("upstream is asked for {asked}; the client gets {given}"),
        format!("{ttl}: a younger page is answered without asking"),
        format!("index.stale_if_error = {stale}: if upstream fails, a page up to this age will do"),
    ]);
}

fn of_gitlab(explanation: &mut Explanation, route: &Route, context: &CommandContext) {
    let (right, asked_as) = if context.gitlab.token_file.is_empty() {
        (
            "GitLab decides, for each caller by the caller's own token",
            "the caller: the caller's own credential, as it came",
        )
    } else {
        (
            "GitLab decides, by gitlab.token_file: every caller has its rights",
            "the operator's token (gitlab.token_file)",
        )
    };
    explanation.right = Some(right.to_owned());
    explanation.asked_as = Some(asked_as.to_owned());
    if matches!(route, Route::Upload { .. }) {
        explanation.why =
            "an upload is passed on byte for byte, and GitLab's answer comes back".to_owned();
        return;
    }
    explanation.why =
        "GitLab's answer to this caller, or the stored one while GitLab's decision holds"
            .to_owned();
    let ttl = context.auth.cache_ttl;
    if ttl.0.is_zero() {
        explanation.rule("auth.cache_ttl = 0: GitLab is asked each time");
    } else {
        explanation.rule(format!(
            "auth.cache_ttl = {ttl}: so long GitLab's last decision about a caller holds"
        ));
    }
    if let Some(scope) = route.scope() {
        age_rules(explanation, route, scope, context);
        advisory_rules(explanation, route, context);
    }
    if let Route::Page(page) = route
        && let Some(name) = &page.name
    {
        explanation.rule(forwarding(name, context));
        if context.parents.is_empty() {
            explanation.rule(upload_dates(context));
        }
    }
}

/// Where the upload dates of GitLab's files come from.
fn upload_dates(context: &CommandContext) -> String {
    if !context.index.upload_dates {
        return "index.upload_dates = false: files have the upload dates that upstream's page tells, \
                and GitLab's tells none"
            .to_owned();
    }
    let otherwise = if context.gitlab.dates_token_file.is_empty() {
        "a deploy token is told nothing (gitlab.dates_token_file is not set)"
    } else {
        "with gitlab.dates_token_file for what that token is not told"
    };
    format!(
        "index.upload_dates = true: after a JSON page GitLab's packages API is asked when its files \
         were uploaded, in the caller's name; {otherwise}"
    )
}

/// What becomes of a project that GitLab does not have.
fn forwarding(name: &ProjectName, context: &CommandContext) -> String {
    if context.private.hold(name) {
        return private(name, "if GitLab does not have it, the answer is 404");
    }
    let redirected = "if GitLab redirects to a public index";
    match &context.gitlab.forward {
        Forward::Follow => format!(
            "gitlab.forward = \"follow\": {redirected}, larder fetches the page there, and gives it in \
             its place"
        ),
        Forward::Pass => format!("gitlab.forward = \"pass\": {redirected}, so does larder"),
        Forward::Deny => format!("gitlab.forward = \"deny\": {redirected}, the answer is 404"),
        Forward::Mirror(mirror) => format!(
            "gitlab.forward = \"{mirror}\": {redirected}, this mirror's page is served in its place"
        ),
    }
}

fn of_mirror(
    explanation: &mut Explanation,
    route: &Route,
    scope: &Scope,
    mirror: &MirrorConfig,
    context: &CommandContext,
) {
    let asked_as = if mirror.token_file.is_empty() {
        "none: no credential goes to a mirror".to_owned()
    } else if mirror.username.is_empty() {
        format!("larder: mirrors.{scope}.token_file as Bearer, at the index's origin only")
    } else {
        format!(
            "larder: mirrors.{scope}.username and token_file as Basic, at the index's origin only"
        )
    };
    explanation.why = "what the mirror has, or what is kept of it".to_owned();
    match mirror_rules(explanation, route, scope, context) {
        None => explanation.asked_as = Some(asked_as),
        Some(name) => {
            explanation.upstream = None;
            explanation.rule(private(&name, "no mirror is ever asked for it"));
        }
    }
}

/// What holds at a mirror whether it is asked or not; gives the private name that keeps the address
/// from being answered.
pub fn mirror_rules(
    explanation: &mut Explanation,
    route: &Route,
    scope: &Scope,
    context: &CommandContext,
) -> Option<ProjectName> {
    explanation.right = Some(
        "a mirror needs no authorization: every client that can connect to larder may read it"
            .to_owned(),
    );
    age_rules(explanation, route, scope, context);
    advisory_rules(explanation, route, context);
    let name = match route {
        Route::Page(page) => page.name.clone()?,
        Route::Mirrored(path) => {
            let wheel = path.metadata_of();
            let listed = wheel.as_ref().unwrap_or(path);
            let names = project_candidates(listed.filename().as_str());
            names.into_iter().next()?
        }
        _ => return None,
    };
    if !context.private.hold(&name) {
        return None;
    }
    explanation.refuse(PageError::PrivateName(name.clone()));
    Some(name)
}

/// How old a file of this source must be, and which exceptions there are of its package: others may
/// bear private names.
fn age_rules(
    explanation: &mut Explanation,
    route: &Route,
    scope: &Scope,
    context: &CommandContext,
) {
    let policies = context.sources.policies();
    let Some(rule) = policies.age(scope) else {
        return;
    };
    let section = &rule.section;
    let min_age = humantime::format_duration(rule.min_age);
    let undated = match rule.undated {
        Undated::Hide => "and files without a date, are left out of pages and refused",
        Undated::Show => {
            "are left out of pages and refused; files without a date are not (undated = \"show\")"
        }
        Undated::FirstSeen => {
            "are left out of pages and refused; a file without a date is as old as a page first \
             listed it here (undated = \"first-seen\")"
        }
    };
    explanation.rule(format!(
        "{section}.min_age = {min_age}: younger files, {undated}"
    ));
    let now = clock::wall();
    let names = names_of(route);
    for exception in &policies.exceptions {
        if !names.contains(exception.package()) {
            continue;
        }
        let state = if exception.is_over(now) {
            "is over and void"
        } else {
            "is let through"
        };
        explanation.rule(format!("exceptions: {exception} {state}"));
    }
}

/// The packages that an address may be of.
fn names_of(route: &Route) -> Vec<ProjectName> {
    match route {
        Route::Page(page) | Route::ProjectPage(page) => page.name.clone().into_iter().collect(),
        Route::File(file) | Route::Metadata(file) => project_candidates(file.filename.as_str()),
        Route::Mirrored(path) => {
            let wheel = path.metadata_of();
            let listed = wheel.as_ref().unwrap_or(path);
            project_candidates(listed.filename().as_str())
        }
        _ => Vec::new(),
    }
}

/// What the records say of the project, or of the file.
fn advisory_rules(explanation: &mut Explanation, route: &Route, context: &CommandContext) {
    let policies = context.sources.policies();
    let Some(set) = policies
        .advisories
        .feed
        .as_ref()
        .and_then(|feed| feed.set())
    else {
        return;
    };
    let counts = set.counts;
    explanation.rule(format!(
        "policy.advisories: {} records of malware, {} of vulnerabilities",
        counts.malware, counts.vulnerabilities
    ));
    if let Route::Page(page) = route
        && let Some(name) = &page.name
    {
        for advisory in set.of(name) {
            let kind = if advisory.is_malware() {
                "malware"
            } else {
                advisory.severity.word()
            };
            let id = advisory.telling_id();
            explanation.rule(format!("{id} ({kind}) is about {name}"));
        }
    }
    let Some((scope, filename)) = file_of(route) else {
        return;
    };
    let judged = JudgedFile {
        source: scope,
        project: None,
        filename: filename.as_str(),
        uploaded: None,
        first_seen: None,
        status: None,
    };
    if let Some(known) = policies.notice(&judged) {
        explanation.rule(format!("{} is about this file", known.id));
    }
    let now = clock::wall();
    if let PolicyVerdict::Refused(reason) = policies.judge(&judged, now)
        && matches!(
            reason,
            PolicyReason::Malware { .. } | PolicyReason::Vulnerable { .. }
        )
    {
        explanation.refuse(PageError::Policy(PolicyRefusal { reason, now }));
    }
}

/// The file that an address is of, or whose metadata.
fn file_of(route: &Route) -> Option<(&Scope, Filename)> {
    match route {
        Route::File(file) | Route::Metadata(file) => Some((&file.scope, file.filename.clone())),
        Route::Mirrored(path) => {
            let wheel = path.metadata_of();
            let listed = wheel.as_ref().unwrap_or(path);
            Some((path.scope(), listed.filename().clone()))
        }
        _ => None,
    }
}

pub fn private(name: &ProjectName, then: &str) -> String {
    format!("private_packages holds {name}: {then}")
}

/// What an address is of, in a few words.
pub fn what(route: &Route) -> String {
    let whose = match route.scope() {
        Some(scope) if scope.kind() == ScopeKind::Mirror => format!("the mirror {scope}"),
        Some(scope) => format!("GitLab {scope}"),
        None => String::new(),
    };
    let metadata = "the metadata (PEP 658) of";
    match route {
        Route::Page(page) => match &page.name {
            Some(name) => format!("the page of {name} in {whose}"),
            None => format!("the list of projects of {whose}"),
        },
        Route::File(file) => format!("the file {} of {whose}", file.filename),
        Route::Metadata(wheel) => format!("{metadata} {} of {whose}", wheel.filename),
        Route::Mirrored(path) => match path.metadata_of() {
            Some(wheel) => format!("{metadata} {} of {whose}", wheel.filename()),
            None => format!("the file {} of {whose}", path.filename()),
        },
        Route::Upload { .. } => format!("where {whose} takes uploads (POST)"),
        Route::ProjectPage(page) => format!("what people read of {}", Route::Page(page.clone())),
        Route::Osv(_) => "the OSV service".to_owned(),
        Route::Admin(_) => "a page about larder itself".to_owned(),
    }
}

pub fn word(format: Format) -> &'static str {
    match format {
        Format::Html => "HTML",
        Format::Json => "JSON",
    }
}
