//! What `larder serve` prints when it is ready: where it listens, and lines to paste.
//!
//! Must not know the configuration's form.

use std::fmt::Display;

use crate::registry::{PageRef, Route, Scope, ScopeKind};

/// `urls` are those of the addresses, the one to paste first. `gitlab` is none offline, when there
/// is nothing to publish to either; `configuration` says what file was read. What is given is shown
/// as it is; the token is a placeholder, always.
pub fn banner(
    urls: &[String],
    gitlab: Option<&str>,
    cache: &impl Display,
    configuration: &str,
) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let (url, also) = match urls {
        [] => ("nothing", String::new()),
        [url] => (url.as_str(), String::new()),
        [url, others @ ..] => (url.as_str(), format!("also on {}\n", others.join(", "))),
    };
    let front = match gitlab {
        Some(gitlab) => format!("in front of {gitlab}"),
        None => "OFFLINE: only what is stored is served".to_owned(),
    };
    let head = format!(
        "larder {version} listening on {url}, {front}\n{also}\
         cached in {cache}, configured by {configuration}\n"
    );
    let scope = |kind| Scope::parse(kind, "ID");
    // No client takes the path of a socket for an index.
    let (Some((scheme, address)), Some(project), Some(group)) = (
        url.split_once("://"),
        scope(ScopeKind::Project),
        scope(ScopeKind::Group),
    ) else {
        return head;
    };
    let group = Route::Page(PageRef::index(group)).path();
    let index = Route::Page(PageRef::index(project.clone())).path();
    let index = format!("--index-url {scheme}://__token__:TOKEN@{address}{index} PACKAGE");
    let mut twine = String::new();
    if gitlab.is_some() {
        let upload = Route::Upload { scope: project }.path();
        twine = format!(
            "twine  twine upload --repository-url {url}{upload} -u __token__ -p TOKEN dist/*\n"
        );
    }
    format!(
        "{head}
pip    pip install {index}
uv     uv pip install {index}
{twine}
ID is a project's number, or its path with %2F for each slash. For a group: {group}
"
    )
}
