//! What was probably meant by a path that is none of larder's, as the 404 says it.
//!
//! Pure. Owns where people knock: the addresses of other index servers, of health checks and of
//! scrapers, and GitLab's own in the spellings that do not work. Must not know which mirrors there
//! are.

use super::raw_path::check;
use super::{Scope, ScopeKind};
use crate::simple::ProjectName;

/// A longer address is not repeated: clients show one line.
const ADDRESS_BYTES_MAX: usize = 150;

const INDEXES: &str = "an index is at /api/v4/projects/ID/packages/pypi/simple/, \
                       /api/v4/groups/ID/-/packages/pypi/simple/ or a mirror's /NAME/simple/";
const UPLOADS: &str = "uploads go to /api/v4/projects/ID/packages/pypi";
const GITLAB_PATHS: &str = "of GitLab's API larder has /api/v4/projects/ID/packages/pypi/… and \
                            /api/v4/groups/ID/-/packages/pypi/… alone";
const LIVE: &str = "liveness is at /-/health/live, readiness at /-/health/ready";
const READY: &str = "readiness is at /-/health/ready, liveness at /-/health/live";
const METRICS: &str = "metrics are at /-/metrics";
const STATUS: &str = "the status page is at /-/, the same as JSON at /-/status";

/// What the client meant by a path that no route has, and where that is.
pub(super) fn meant(path: &str) -> Option<String> {
    let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let own = match segments.as_slice() {
        ["-", own] | [own] => fixed(own),
        ["-", "health", ..] => Some(LIVE),
        _ => None,
    };
    if let Some(hint) = own {
        return Some(hint.to_owned());
    }
    match segments.as_slice() {
        ["api", "v4", "projects", rest @ ..] => Some(registry(ScopeKind::Project, rest)),
        ["api", "v4", "groups", rest @ ..] => Some(registry(ScopeKind::Group, rest)),
        ["api", ..] => Some(GITLAB_PATHS.to_owned()),
        ["simple", ..] | [_, "simple", ..] => Some(INDEXES.to_owned()),
        ["legacy"] | [_, "legacy"] => Some(UPLOADS.to_owned()),
        // As an installer asks that was given the address of no index but of larder itself.
        [name] if path.ends_with('/') && ProjectName::parse(name).is_ok() => {
            Some(INDEXES.to_owned())
        }
        ["-", kind @ ("projects" | "groups" | "mirrors"), id, name] if path.ends_with('/') => {
            let address = format!("/-/{kind}/{id}/{name}");
            let is_short = address.len() <= ADDRESS_BYTES_MAX && check(&address).is_ok();
            is_short.then(|| format!("it is {address}, without a slash at the end"))
        }
        _ => None,
    }
}

/// For words that other servers answer at.
fn fixed(word: &str) -> Option<&'static str> {
    Some(match word {
        "metrics" => METRICS,
        "healthz" | "health" | "livez" | "live" | "liveness" | "alive" | "ping" => LIVE,
        "readyz" | "ready" | "readiness" => READY,
        "status" => STATUS,
        "simple" | "index" | "pypi" => INDEXES,
        "legacy" => UPLOADS,
        _ => return None,
    })
}

/// Of an address below `projects` or `groups`.
fn registry(kind: ScopeKind, rest: &[&str]) -> String {
    let mut pairs = rest.windows(2);
    match pairs.position(|pair| pair == ["packages", "pypi"]) {
        Some(at) => corrected(kind, &rest[..at], &rest[at + 2..]),
        None => GITLAB_PATHS.to_owned(),
    }
}

/// An address of GitLab's as larder and GitLab take it.
fn corrected(kind: ScopeKind, id: &[&str], below: &[&str]) -> String {
    if kind == ScopeKind::Group && below.is_empty() {
        return format!("a group takes no uploads: {UPLOADS}");
    }
    let parts: Vec<&str> = id.iter().filter(|part| **part != "-").copied().collect();
    let mut escaped = String::new();
    for part in &parts {
        let slash = if escaped.is_empty() { "" } else { "%2F" };
        escaped += slash;
        escaped += part;
    }
    let Some(scope) = Scope::parse(kind, &escaped) else {
        return INDEXES.to_owned();
    };
    let rest = match below {
        [] => String::new(),
        ["simple"] => "/simple/".to_owned(),
        ["simple", name] if ProjectName::parse(name).is_ok() => format!("/simple/{name}/"),
        ["files", digest, filename] => format!("/files/{digest}/{filename}"),
        _ => return INDEXES.to_owned(),
    };
    let address = format!("{}{rest}", scope.path());
    if address.len() > ADDRESS_BYTES_MAX || check(&address).is_err() {
        return INDEXES.to_owned();
    }
    let why = if parts.len() > 1 {
        "a slash within a project's or group's path is written %2F"
    } else {
        "GitLab spells it otherwise"
    };
    format!("{why}: {address}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_meant_is_said_with_the_right_address() {
        for (path, hint) in [
            ("/metrics", "metrics are at /-/metrics"),
            ("/-/metrics/", "metrics are at /-/metrics"),
            ("/healthz", "liveness is at /-/health/live"),
            ("/-/healthz", "liveness is at /-/health/live"),
            ("/-/health", "liveness is at /-/health/live"),
            ("/readyz", "readiness is at /-/health/ready"),
            ("/status", "the status page is at /-/,"),
            ("/simple/", "an index is at /api/v4/projects/ID/"),
            ("/simple/click/", "an index is at /api/v4/projects/ID/"),
            ("/pypi/", "or a mirror's /NAME/simple/"),
            ("/click/", "an index is at /api/v4/projects/ID/"),
            ("/legacy/", "uploads go to /api/v4/projects/ID/"),
            ("/api/v4/user", "of GitLab's API larder has"),
            (
                "/api/v4/projects/acme/widgets/packages/pypi/simple/click/",
                "written %2F: /api/v4/projects/acme%2Fwidgets/packages/pypi/simple/click/",
            ),
            (
                "/api/v4/projects/acme/widgets/packages/pypi",
                "written %2F: /api/v4/projects/acme%2Fwidgets/packages/pypi",
            ),
            (
                "/api/v4/groups/acme/sub/-/packages/pypi/simple",
                "written %2F: /api/v4/groups/acme%2Fsub/-/packages/pypi/simple/",
            ),
            (
                "/api/v4/groups/7/packages/pypi/simple/",
                "otherwise: /api/v4/groups/7/-/packages/pypi/simple/",
            ),
            ("/api/v4/groups/7/-/packages/pypi", "takes no uploads"),
            ("/-/projects/42/click/", "it is /-/projects/42/click,"),
        ] {
            let said = meant(path).unwrap_or_default();
            assert!(said.contains(hint), "{path}: {said}");
        }
    }

    #[test]
    fn nothing_is_said_where_nothing_is_known() {
        for path in [
            "/favicon.ico",
            "/-/nothing",
            "/-/-/",
            "/users/sign_in",
            "/.git/config",
        ] {
            assert_eq!(meant(path), None, "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_hint_is_one_line_and_short(path in "/(api/v4/)?(projects/|groups/)?[ -~]{0,60}(/-)?(/packages/pypi)?(/simple)?/?") {
            if let Some(said) = meant(&path) {
                prop_assert!(said.len() <= 260 && !said.chars().any(char::is_control), "{}", said);
            }
        }
    }
}
