//! The one grammar of names that `ls`, `purge` and `refresh` take.
//!
//! Owns what a text means, by its form alone. Must not know what a command does with it.

use super::error::CommandError;
use crate::control::Named;
use crate::upstream::PUBLIC_INDEX;
use crate::values::digest::Digest;

/// The forms, for a message.
const FORMS: &str = "a project (NAME, projects/42/NAME, groups/acme/NAME, MIRROR/NAME; * and ? in \
                     NAME), a scope (projects/42, groups/acme, MIRROR/, public-index), an address \
                     of larder's, GitLab's or a mirror's, or a sha256";

/// What a text means; `path` tells where larder serves an address.
///
/// # Errors
/// That it means nothing, with the forms that do.
pub fn named(text: &str, path: impl Fn(&str) -> Option<String>) -> Result<Named, CommandError> {
    match read(text, path) {
        Some(named) => Ok(named),
        None => Err(CommandError::Usage(format!("\"{text}\" is not {FORMS}"))),
    }
}

fn read(text: &str, path: impl Fn(&str) -> Option<String>) -> Option<Named> {
    if let Some(digest) = Digest::parse(text.strip_prefix("sha256:").unwrap_or(text)) {
        return Some(Named::Sha256(digest.to_string()));
    }
    if text.starts_with('/') || text.contains("://") {
        return path(text).map(Named::Address);
    }
    let name = text.strip_suffix('/').unwrap_or(text);
    let owned = |scope: Option<&str>, project: &str| {
        Some(Named::Project {
            scope: scope.map(str::to_owned),
            project: project.to_owned(),
        })
    };
    match name.rsplit_once('/') {
        _ if name.is_empty() => None,
        Some(("projects" | "groups", _)) => Some(Named::Scope(name.to_owned())),
        Some((scope, project)) => owned(Some(scope), project),
        // No mirror that an operator named can be called so.
        None if name.len() < text.len() || name == PUBLIC_INDEX => {
            Some(Named::Scope(name.to_owned()))
        }
        None => owned(None, name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_meant_is_told_by_its_form() {
        let project = |scope: Option<&str>, project: &str| {
            Some(Named::Project {
                scope: scope.map(str::to_owned),
                project: project.to_owned(),
            })
        };
        let scope = |scope: &str| Some(Named::Scope(scope.to_owned()));
        let address = |path: &str| Some(Named::Address(path.to_owned()));
        let path = |address: &str| {
            let own = address.strip_prefix("http://127.0.0.1:3141");
            let below = own.unwrap_or(address);
            below.starts_with('/').then(|| below.to_owned())
        };
        let sha = "0".repeat(64);
        let digest = Some(Named::Sha256(sha.clone()));
        for (text, meant) in [
            ("six", project(None, "six")),
            ("acme-*", project(None, "acme-*")),
            ("projects/42/six", project(Some("projects/42"), "six")),
            (
                "groups/acme%2Fsub/six/",
                project(Some("groups/acme%2Fsub"), "six"),
            ),
            ("pypi/six", project(Some("pypi"), "six")),
            ("projects/42", scope("projects/42")),
            ("groups/acme/", scope("groups/acme")),
            ("pypi/", scope("pypi")),
            ("public-index", scope("public-index")),
            ("public-index/", scope("public-index")),
            ("public-index/six", project(Some("public-index"), "six")),
            ("/pypi/simple/six/", address("/pypi/simple/six/")),
            (
                "http://127.0.0.1:3141/pypi/a-1.whl",
                address("/pypi/a-1.whl"),
            ),
            ("ftp://127.0.0.1/", None),
            ("", None),
            (&sha, digest.clone()),
            (&format!("sha256:{sha}"), digest),
        ] {
            assert_eq!(read(text, path), meant, "{text}");
        }
    }
}
