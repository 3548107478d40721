//! What `larder serve` prints when it is ready: where it listens, and lines to paste.
//!
//! Must not know the configuration's form.

use std::fmt::Display;

use crate::registry::{PageRef, Route, Scope, ScopeKind};

/// `urls` are those of the addresses, the one to paste first. `gitlab` is none offline, when there
/// is nothing to publish to either. What is given is shown as it is; the token is a placeholder,
/// always.
pub fn banner(urls: &[String], gitlab: Option<&str>, cache: &impl Display) -> String {
    let version = env!("CARGO_PKG_VERSION");
    let (url, others) = urls
        .split_first()
        .map_or(("nothing", urls), |(url, others)| (url.as_str(), others));
    let also = if others.is_empty() {
        String::new()
    } else {
        format!("also on {}\n", others.join(", "))
    };
    let [upload, index, group] = addresses();
    let front = match gitlab {
        Some(gitlab) => format!("in front of {gitlab}"),
        None => "OFFLINE: only what is stored is served".to_owned(),
    };
    let head = format!("larder {version} listening on {url}, {front}\n{also}cached in {cache}\n");
    // No client takes the path of a socket for an index.
    let Some((scheme, address)) = url.split_once("://") else {
        return head;
    };
    let index = format!("--index-url {scheme}://__token__:TOKEN@{address}{index} PACKAGE");
    let twine = gitlab.map_or_else(String::new, |_| {
        format!("twine  twine upload --repository-url {url}{upload} -u __token__ -p TOKEN dist/*\n")
    });
    format!(
        "{head}
pip    pip install {index}
uv     uv pip install {index}
{twine}
ID is a project's number, or its path with %2F for each slash. For a group: {group}
"
    )
}

/// Where a project takes uploads, its index, and a group's index.
fn addresses() -> [String; 3] {
    let scope = |kind| Scope::parse(kind, "ID");
    let (Some(project), Some(group)) = (scope(ScopeKind::Project), scope(ScopeKind::Group)) else {
        return Default::default();
    };
    let upload = Route::Upload {
        scope: project.clone(),
    };
    [
        upload,
        Route::Page(PageRef::index(project)),
        Route::Page(PageRef::index(group)),
    ]
    .map(|route| route.path())
}
