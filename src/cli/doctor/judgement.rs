//! What a peer's answers mean.
//!
//! Pure. Must not ask.

use std::collections::BTreeSet;

use http::StatusCode;
use url::Url;

use super::finding::Finding;
use super::page_links::PageLinks;
use super::secret_segment::{looks_like_a_secret, shortened};
use crate::simple::Format;
use crate::upstream::{PUBLIC_INDEX, ProbeResponse, read_status};

/// GitLab's answer to the question for its version.
pub fn version(heard: &ProbeResponse, has_credential: bool) -> Finding {
    let check = "version";
    let status = heard.status;
    let code = status.as_u16();
    match told_version(heard) {
        Some(version) => Finding::ok(check, format!("GitLab {version}")),
        None if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
            let found = if has_credential {
                "GitLab answers; it does not tell its version to this token, \
                 which may be right all the same"
            } else {
                "GitLab answers; it tells its version only with a token (--token-file)"
            };
            Finding::ok(check, format!("{found} ({code})"))
        }
        None if status.is_redirection() => Finding::problem(
            check,
            format!("a redirect ({code}) {}", to_origin(heard)),
            "gitlab.url must be where GitLab itself answers: \
             check https in it, a relative root, a sign-in page in front",
        ),
        None if status.is_server_error() => Finding::problem(
            check,
            format!("GitLab, or what stands in front of it, answered {code}"),
            "GitLab is not well: its operators' status page or log says why",
        ),
        None => Finding::problem(
            check,
            format!("the answer ({code}) does not look like GitLab's"),
            "check gitlab.url, a relative root included",
        ),
    }
}

/// What a larder says of itself that was met in place of GitLab, a mirror or as the parent.
pub fn larder(heard: &ProbeResponse, place: LarderPlace) -> Finding {
    let check = "larder";
    let status = match read_status(&heard.body) {
        Ok(status) => status,
        Err(why) if place == LarderPlace::Parent => {
            return Finding::problem(check, why.to_string(), "check parent: another larder's URL");
        }
        Err(_) => {
            return Finding::ok(check, "this is a larder, which does not tell its version");
        }
    };
    let readiness = match status.word.as_str() {
        "ok" => "ready",
        "degraded" => "ready, degraded",
        "offline" => "ready, and offline itself",
        "stopping" => "not ready: it is stopping",
        _ => "in a state that this version does not know",
    };
    let mut found = format!("this is larder {}, {readiness}", status.version);
    match place {
        LarderPlace::GitLab => {
            found += "; with parent in place of gitlab.url its mirrors are served too";
        }
        LarderPlace::Parent if status.mirrors.is_empty() => found += "; it serves no mirror",
        LarderPlace::Parent => {
            found += &format!("; it serves the mirrors {}", status.mirrors.join(", "));
        }
        LarderPlace::Mirror => {}
    }
    if status.is_of_another_major() {
        return Finding::warning(check, found, "of another major version: give both the same");
    }
    match status.word.as_str() {
        "degraded" => Finding::warning(check, found, "its own /-/health/ready says why"),
        "stopping" => Finding::problem(check, found, "start it again"),
        _ if place == LarderPlace::GitLab && status.serves_more_than_gitlab() => Finding::warning(
            check,
            found,
            "set parent to its URL, and remove gitlab.url: without that links to its mirrors and \
             to the public index lead past this larder",
        ),
        _ => Finding::ok(check, found),
    }
}

/// As what a larder was met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LarderPlace {
    GitLab,
    Parent,
    Mirror,
}

/// The parent is none.
pub fn no_larder(heard: &ProbeResponse) -> Finding {
    Finding::problem(
        "larder",
        format!("the answer ({}) is no larder's", heard.status.as_u16()),
        "parent must be another larder's URL; GitLab's own goes into gitlab.url",
    )
}

fn told_version(heard: &ProbeResponse) -> Option<String> {
    if heard.status != StatusCode::OK {
        return None;
    }
    let told: serde_json::Value = serde_json::from_slice(&heard.body).ok()?;
    let mut version = told.get("version")?.as_str()?.to_owned();
    version.retain(|c| c.is_ascii_graphic());
    version.truncate(40);
    Some(version)
}

/// GitLab's answer for a project's index: whether the credential opens it, and what it is written
/// in.
pub fn registry(heard: &ProbeResponse, has_credential: bool) -> Vec<Finding> {
    let check = "credential";
    let (found, advice) = match heard.status {
        StatusCode::OK => {
            let taken = if has_credential {
                "accepted"
            } else {
                "none is needed for this project"
            };
            return vec![Finding::ok(check, taken), format(heard)];
        }
        StatusCode::UNAUTHORIZED if !has_credential => (
            "GitLab wants a credential",
            "give one with --token-file, and --user if it is Basic",
        ),
        StatusCode::UNAUTHORIZED => (
            "GitLab does not take this credential",
            "expired, revoked, or of another kind: a deploy token and a job token are Basic \
             passwords (--user), a personal token works as PRIVATE-TOKEN too",
        ),
        StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => (
            "this caller sees no such project, or no registry in it",
            "GitLab hides what a caller may not see: check the project, the token's scope \
             (read_api, read_package_registry), and that its package registry is switched on",
        ),
        StatusCode::TOO_MANY_REQUESTS => (
            "GitLab told this caller to wait",
            "try again later; a larder asks less than its clients would",
        ),
        _ => ("no index came", "GitLab's log says why"),
    };
    let found = format!("{found} ({})", heard.status.as_u16());
    vec![Finding::problem(check, found, advice)]
}

/// Whether GitLab's packages API tells when files were uploaded: to the token that is examined, if it
/// is of a kind that may be told, and to `gitlab.dates_token_file`, if there is one.
pub fn upload_dates(
    own: Option<&Result<(), String>>,
    operators: Option<&Result<(), String>>,
) -> Finding {
    let check = "upload dates";
    let advice = "a cooldown finds nothing without them: put an access token (read_api) into \
                  gitlab.dates_token_file";
    match (own, operators) {
        (_, Some(Err(why))) => Finding::problem(
            check,
            format!("GitLab tells none to gitlab.dates_token_file: {why}"),
            "an access token with the scope read_api, whose owner may read the project",
        ),
        (Some(Ok(())), _) => Finding::ok(check, "GitLab tells them to this token"),
        (_, Some(Ok(()))) => Finding::ok(check, "GitLab tells them to gitlab.dates_token_file"),
        (Some(Err(why)), None) => Finding::warning(
            check,
            format!("GitLab tells this token none: {why}"),
            advice,
        ),
        (None, None) => Finding::warning(check, "GitLab tells a deploy token none", advice),
    }
}

/// What an index that came is written in.
fn format(heard: &ProbeResponse) -> Finding {
    let check = "format";
    match Format::of_content_type(&heard.content_type) {
        Some(Format::Json) => Finding::ok(check, "JSON (PEP 691)"),
        Some(Format::Html) => Finding::ok(
            check,
            "HTML alone: its JSON index is switched off; larder makes JSON of it for its clients",
        ),
        None => {
            let media = heard.content_type.escape_debug();
            Finding::problem(
                check,
                format!("no index page, but \"{media}\""),
                "is there a sign-in page or a proxy in front of GitLab?",
            )
        }
    }
}

/// GitLab's answer for a file, and what came where it led. `key` allows another origin.
pub fn file(heard: &ProbeResponse, followed: Result<StatusCode, String>) -> Finding {
    let check = "files";
    let way = match heard.status {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT => "through GitLab itself".to_owned(),
        status if status.is_redirection() => format!("by a signed link {}", to_origin(heard)),
        status => format!("GitLab answered {}", status.as_u16()),
    };
    match followed {
        Ok(status) if status.is_success() => {
            Finding::ok(check, format!("{way}: {}", status.as_u16()))
        }
        Ok(status) => Finding::problem(
            check,
            format!("{way}: {}", status.as_u16()),
            "pages can be had and files cannot: look at GitLab's object store",
        ),
        Err(why) => Finding::problem(
            check,
            format!("{way}: {why}"),
            "if the origin is right, add it to gitlab.object_storage_origins; \
             a proxy or firewall may stand before the object store",
        ),
    }
}

/// The parent's answer for the list of projects of one of its mirrors.
pub fn parents_mirror(heard: Result<StatusCode, String>) -> Finding {
    let check = "index";
    let advice = "run `larder doctor` where the parent runs: it knows that mirror's keys";
    match heard {
        Ok(StatusCode::OK) => Finding::ok(check, "the parent serves it"),
        // Some have projects' pages and no list of them.
        Ok(StatusCode::NOT_FOUND) => Finding::warning(check, "it has no list (404)", advice),
        Ok(status) => {
            let found = format!("the parent answered {}", status.as_u16());
            Finding::problem(check, found, advice)
        }
        Err(why) => Finding::problem(check, why, advice),
    }
}

/// A mirror's answer for its index. `name` is the mirror's.
pub fn mirror_index(heard: &ProbeResponse, api_version: Option<&str>, name: &str) -> Finding {
    let check = "index";
    let status = heard.status;
    let code = status.as_u16();
    match status {
        StatusCode::OK => mirror_format(heard, api_version, name),
        StatusCode::UNAUTHORIZED
        | StatusCode::FORBIDDEN
        | StatusCode::PROXY_AUTHENTICATION_REQUIRED => Finding::problem(
            check,
            format!("it refuses larder ({code})"),
            keys(name, || {
                format!("check mirrors.{name}.username and mirrors.{name}.token_file")
            }),
        ),
        // Some have projects' pages and no list of them.
        StatusCode::NOT_FOUND => Finding::warning(
            check,
            "there is none (404)",
            format!(
                "if it has no list of projects this is nothing; otherwise {}",
                keys(name, || format!("check mirrors.{name}.url"))
            ),
        ),
        _ if status.is_redirection() => Finding::warning(
            check,
            format!("a redirect ({code}) {}", to_origin(heard)),
            keys(name, || {
                format!(
                    "put where it leads into mirrors.{name}.url, \
                     or its origin into mirrors.{name}.redirects"
                )
            }),
        ),
        _ => Finding::problem(
            check,
            format!("it answered {code}"),
            "it is not well, or something stands before it",
        ),
    }
}

/// The keys of a mirror that are worth a look. The index that GitLab points to has none.
fn keys(name: &str, of_mirror: impl Fn() -> String) -> String {
    match name {
        PUBLIC_INDEX => "it has no keys, because GitLab points to it: configure the index as a \
                         mirror to give it some"
            .to_owned(),
        _ => of_mirror(),
    }
}

fn mirror_format(heard: &ProbeResponse, api_version: Option<&str>, name: &str) -> Finding {
    let check = "index";
    let version = match api_version {
        Some(version) => format!("API {version}"),
        None => "no API version".to_owned(),
    };
    match Format::of_content_type(&heard.content_type) {
        Some(Format::Json) => Finding::ok(check, format!("JSON, {version}")),
        Some(Format::Html) => Finding::ok(check, format!("HTML alone, {version}")),
        None => {
            let media = heard.content_type.escape_debug();
            Finding::problem(
                check,
                format!("no index, but \"{media}\""),
                keys(name, || {
                    format!("check mirrors.{name}.url: the list of projects, mostly …/simple/")
                }),
            )
        }
    }
}

/// Where a mirror's page leads: which hosts its files are on, and how many of them go past larder.
pub fn mirror_files(links: &PageLinks, name: &str) -> Finding {
    let check = "files";
    let all = links.through.len() + links.foreign.len() + links.unfit.len();
    if all == 0 {
        return Finding::ok(check, "the page that was looked at lists none");
    }
    if !links.foreign.is_empty() {
        let count = links.foreign.len();
        let origins = distinct(&links.foreign);
        let found = format!("of {all} on a page, {count} lead past larder, to {origins}");
        let advice = match name {
            PUBLIC_INDEX => {
                "clients would fetch them there by themselves: they have no sha256, or their host \
                 no public address; configure the index as a mirror to allow them"
                    .to_owned()
            }
            _ => format!(
                "clients would fetch them there by themselves: \
                 add the prefixes to mirrors.{name}.file_urls"
            ),
        };
        return Finding::warning(check, found, advice);
    }
    if !links.unfit.is_empty() {
        let count = links.unfit.len();
        let reasons = distinct(&links.unfit);
        return Finding::warning(
            check,
            format!("of {all} on a page, {count} lead past larder: {reasons}"),
            "clients fetch them there by themselves; only the index can give them other names",
        );
    }
    let from = distinct(&links.through);
    Finding::ok(
        check,
        format!("all {all} of a page lead through larder, from {from}"),
    )
}

/// Segments of the paths of a mirror's URL and of those that its files come from, as far as they
/// look like secrets.
pub fn mirror_paths(places: &[Url], name: &str) -> Option<Finding> {
    let mut secrets = BTreeSet::new();
    for segment in places.iter().filter_map(Url::path_segments).flatten() {
        if looks_like_a_secret(segment) {
            secrets.insert(segment);
        }
    }
    if secrets.is_empty() {
        return None;
    }
    let shown: Vec<String> = secrets.into_iter().map(shortened).collect();
    let shown = shown.join(", ");
    let advice = format!(
        "if the index takes it otherwise, put it into mirrors.{name}.token_file; if not, see that \
         the first of mirrors.{name}.file_urls begins with it, as it does where files is left out: \
         else it is in clients' links, in lock files and in logs"
    );
    Some(Finding::warning(
        "path",
        format!("the path of its URL looks as if it held a secret: {shown}"),
        advice,
    ))
}

/// A mirror's answer for one byte of a file.
pub fn ranges(answer: Result<StatusCode, String>) -> Finding {
    let check = "ranges";
    match answer {
        Ok(StatusCode::PARTIAL_CONTENT) => Finding::ok(check, "answered"),
        Ok(StatusCode::OK) => Finding::warning(
            check,
            "the whole file is sent instead",
            "metadata is made of whole wheels then, and a resumed download begins anew; \
             nothing is wrong",
        ),
        Ok(status) => Finding::warning(
            check,
            format!("a listed file is answered {}", status.as_u16()),
            "a file that its page lists cannot be had: \
             it may be one that is gone, or the file server is not well",
        ),
        Err(why) => Finding::problem(
            check,
            why,
            "pages can be had and files cannot: look at the file server",
        ),
    }
}

/// A signed link is a credential: its origin is all that is shown.
fn to_origin(heard: &ProbeResponse) -> String {
    if let Some(location) = &heard.location
        && let Ok(url) = Url::parse(location)
    {
        return format!("to {}", url.origin().ascii_serialization());
    }
    "to another of its own addresses".to_owned()
}

fn distinct(texts: &[String]) -> String {
    let texts: BTreeSet<&str> = texts.iter().map(String::as_str).collect();
    Vec::from_iter(texts).join(", ")
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use bytes::Bytes;

    use super::super::finding::Verdict;
    use super::*;

    fn heard(status: u16, content_type: &str, body: &'static str) -> ProbeResponse {
        ProbeResponse {
            status: StatusCode::from_u16(status).unwrap(),
            date: None,
            content_type: content_type.to_owned(),
            location: Some("https://objects.example/a?X-Amz-Signature=s3cret".to_owned()),
            is_of_larder: false,
            body: Bytes::from_static(body.as_bytes()),
            is_whole: true,
            at: SystemTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn gitlab_is_known_by_how_it_answers() {
        for (status, body, has_credential, verdict, part) in [
            (
                200,
                "{\"version\":\"17.5.0-ee\"}",
                true,
                Verdict::Ok,
                "GitLab 17.5.0-ee",
            ),
            (
                200,
                "{\"version\":\"17\\u001b[2J\"}",
                true,
                Verdict::Ok,
                "GitLab 17[2J",
            ),
            (401, "", false, Verdict::Ok, "--token-file"),
            (401, "", true, Verdict::Ok, "may be right"),
            (
                302,
                "",
                true,
                Verdict::Problem,
                "to https://objects.example",
            ),
            (502, "", true, Verdict::Problem, "502"),
            (404, "", true, Verdict::Problem, "does not look like"),
            (200, "<html>", true, Verdict::Problem, "does not look like"),
        ] {
            let finding = version(&heard(status, "", body), has_credential);
            assert_eq!(finding.verdict, verdict, "{finding}");
            assert!(
                finding.found.contains(part) && !finding.to_string().contains("s3cret"),
                "{finding}"
            );
        }
    }

    #[test]
    fn a_refusal_says_whose_turn_it_is() {
        for (status, has_credential, part) in [
            (401, false, "--token-file"),
            (401, true, "expired, revoked"),
            (403, true, "read_package_registry"),
            (404, true, "hides"),
            (429, true, "later"),
            (500, true, "log"),
        ] {
            let findings = registry(&heard(status, "", ""), has_credential);
            assert_eq!(findings.len(), 1);
            assert_eq!(findings[0].verdict, Verdict::Problem);
            assert!(
                findings[0].advice.as_deref().unwrap().contains(part),
                "{}",
                findings[0]
            );
        }
        let found = |content_type| registry(&heard(200, content_type, ""), true).pop().unwrap();
        assert!(
            found("application/vnd.pypi.simple.v1+json")
                .found
                .contains("JSON (PEP 691)")
        );
        assert!(found("text/html").found.contains("switched off"));
        assert_eq!(found("application/json").verdict, Verdict::Problem);
    }

    #[test]
    fn a_signed_link_is_never_shown() {
        let finding = file(&heard(302, "", ""), Ok(StatusCode::PARTIAL_CONTENT));
        assert_eq!(
            finding.found,
            "by a signed link to https://objects.example: 206"
        );
        let refused = file(
            &heard(302, "", ""),
            Err("the origin is not allowed".to_owned()),
        );
        assert!(refused.verdict == Verdict::Problem && !refused.to_string().contains("s3cret"));
        assert_eq!(
            file(&heard(200, "", ""), Ok(StatusCode::OK)).found,
            "through GitLab itself: 200"
        );
    }

    #[test]
    fn a_mirror_is_judged_by_its_index_its_files_and_its_ranges() {
        for (status, content_type, verdict) in [
            (200, "application/vnd.pypi.simple.v1+json", Verdict::Ok),
            (200, "text/html", Verdict::Ok),
            (200, "text/plain", Verdict::Problem),
            (401, "", Verdict::Problem),
            (404, "", Verdict::Warning),
            (301, "", Verdict::Warning),
            (503, "", Verdict::Problem),
        ] {
            let answer = heard(status, content_type, "");
            let finding = mirror_index(&answer, Some("1.1"), "pypi");
            assert_eq!(finding.verdict, verdict, "{finding}");
            let finding = mirror_index(&answer, Some("1.1"), PUBLIC_INDEX);
            assert_eq!(finding.verdict, verdict, "{finding}");
            assert!(
                !finding.to_string().contains("mirrors.public-index"),
                "{finding}"
            );
        }
        let origin = "https://files.example".to_owned();
        let mut links = PageLinks {
            through: vec![origin.clone(); 3],
            ..PageLinks::default()
        };
        let finding = mirror_files(&links, "pypi");
        assert_eq!(finding.verdict, Verdict::Ok);
        assert!(finding.found.ends_with("from https://files.example"));
        links.foreign = vec![origin; 2];
        let finding = mirror_files(&links, "pypi");
        assert!(
            finding
                .found
                .ends_with("2 lead past larder, to https://files.example"),
            "{finding}"
        );
        assert_eq!(ranges(Ok(StatusCode::PARTIAL_CONTENT)).verdict, Verdict::Ok);
        assert_eq!(ranges(Ok(StatusCode::OK)).verdict, Verdict::Warning);
        assert_eq!(ranges(Err("x".to_owned())).verdict, Verdict::Problem);
    }
}
