//! Where GitLab lives: the configured base URL, and the other bases its links may carry.
//!
//! Owns the mapping between a [`Route`] and a URL, both ways: asking ([`Base::url`]) and
//! recognising a link on a page ([`Bases::recognise`]). A link to any other base is not GitLab's,
//! whatever its path looks like (SSRF: a page's links are text that every publisher can write).
//! Must not know sockets.

use std::fmt;

use url::{Origin, Url};

use super::Route;

/// A GitLab's external URL, relative root included (`https://host/gitlab`), without a trailing
/// slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base {
    url: Url,
    root: String,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BaseError {
    #[error("not an absolute URL such as https://gitlab.example.com: {0}")]
    NotUrl(#[from] url::ParseError),
    #[error("only http and https are spoken, not `{0}`")]
    Scheme(String),
    #[error(
        "a credential does not belong in the URL: each caller sends its own, or use token_file"
    )]
    Credential,
    #[error("a query or fragment does not belong in the URL")]
    Trailer,
}

impl Base {
    pub fn parse(text: &str) -> Result<Self, BaseError> {
        let url = Url::parse(text)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(BaseError::Scheme(url.scheme().to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(BaseError::Credential);
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(BaseError::Trailer);
        }
        let root = url.path().trim_end_matches('/').to_owned();
        Ok(Self { url, root })
    }

    /// The URL of a route below this base.
    pub fn url(&self, route: &Route) -> Url {
        self.at(&route.path())
    }

    /// Where GitLab tells its version.
    pub fn version_url(&self) -> Url {
        self.at("/api/v4/version")
    }

    /// An address of GitLab's packages API, by its path below the base.
    pub(super) fn packages_api(&self, path: &str) -> Url {
        self.at(path)
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.url.clone();
        url.set_path(&format!("{}{path}", self.root));
        url
    }

    /// The path before `/api/v4`, mostly empty.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// The part of `url`'s path below this base's root, if it is below.
    pub(super) fn below<'u>(&self, url: &'u Url) -> Option<&'u str> {
        if url.origin() != self.url.origin() {
            return None;
        }
        let rest = url.path().strip_prefix(self.root.as_str())?;
        if rest.starts_with('/') {
            Some(rest)
        } else {
            None
        }
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.url.as_str().trim_end_matches('/'))
    }
}

/// The base that is asked, first, and the others whose links are GitLab's too.
#[derive(Clone, Debug)]
pub struct Bases {
    asked: Base,
    others: Vec<Base>,
    /// Larders in GitLab's place, which stand in for each other; `asked` is the first.
    parents: Vec<Base>,
}

/// What a link on a page is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkTarget {
    /// GitLab's: its route, and its path below the root exactly as GitLab spelled it.
    Ours { route: Route, path: String },
    /// Shaped like GitLab's, on a base that is not configured.
    UnknownBase { base: String },
    /// Another server's, or nothing we serve.
    Foreign,
}

impl Bases {
    pub fn new(asked: Base, others: Vec<Base>) -> Self {
        Self {
            asked,
            others,
            parents: Vec::new(),
        }
    }

    /// Those of larders that are asked in GitLab's place, the one that is asked among them.
    #[must_use]
    pub fn of_parents(self, parents: Vec<Base>) -> Self {
        Self { parents, ..self }
    }

    pub fn asked(&self) -> &Base {
        &self.asked
    }

    /// None where GitLab itself is asked.
    pub fn parents(&self) -> &[Base] {
        &self.parents
    }

    /// The same for each larder that is asked, with its own base as the one that is asked; of GitLab
    /// itself these alone.
    pub fn seen_from_each(&self) -> Vec<Self> {
        let mut seen = Vec::new();
        for parent in &self.parents {
            seen.push(Self {
                asked: parent.clone(),
                ..self.clone()
            });
        }
        if seen.is_empty() {
            seen.push(self.clone());
        }
        seen
    }

    /// Whether a page from this URL came from one that is asked now. Its links mean nothing here if
    /// it came from a parent that is none any more.
    pub fn are_of(&self, page: &Url) -> bool {
        self.parents.is_empty() || self.below(page).is_some()
    }

    /// Whether GitLab is known to live at this origin.
    pub fn include(&self, origin: &Origin) -> bool {
        self.all().any(|base| base.url.origin() == *origin)
    }

    /// Whether GitLab is known to live at this host, on whatever port.
    pub fn include_host(&self, host: Option<&str>) -> bool {
        host.is_some() && self.all().any(|base| base.url.host_str() == host)
    }

    fn all(&self) -> impl Iterator<Item = &Base> {
        let asked = std::iter::once(&self.asked);
        asked.chain(&self.others).chain(&self.parents)
    }

    /// The path of a link below GitLab's root as GitLab spelled it, if it leads to an address that
    /// GitLab and larder have in common.
    pub fn shared_path<'u>(&self, link: &'u Url) -> Option<&'u str> {
        let path = self.below(link)?;
        let route = Route::from_path(path).ok()?;
        if route.scope()?.is_mirror() || matches!(route, Route::ProjectPage(_)) {
            return None;
        }
        Some(path)
    }

    /// Whose link is this?
    pub fn recognise(&self, link: &Url) -> LinkTarget {
        let Some(path) = self.below(link) else {
            return match shaped_like_gitlab(link) {
                Some(base) => LinkTarget::UnknownBase { base },
                None => LinkTarget::Foreign,
            };
        };
        // No address of ours has a query, and what would be lost with it is not known.
        if link.query().is_some() {
            return LinkTarget::Foreign;
        }
        match Route::from_path(path) {
            Ok(route @ (Route::Page(_) | Route::File(_))) if !route.is_of_mirror() => {
                let path = path.to_owned();
                LinkTarget::Ours { route, path }
            }
            _ => LinkTarget::Foreign,
        }
    }

    /// The path of a link below the first base that it is below.
    fn below<'u>(&self, link: &'u Url) -> Option<&'u str> {
        self.all().find_map(|base| base.below(link))
    }
}

/// The base a link would have, if from some `/api/v4/` on its path is one of our routes.
fn shaped_like_gitlab(link: &Url) -> Option<String> {
    let at = link.path().find("/api/v4/")?;
    let (root, path) = link.path().split_at(at);
    let origin = link.origin();
    if Route::from_path(path).is_err() || !origin.is_tuple() {
        return None;
    }
    Some(format!("{}{root}", origin.ascii_serialization()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "/api/v4/projects/42/packages/pypi/simple/my-pkg";

    fn bases() -> Option<Bases> {
        let asked = Base::parse("http://127.0.0.1:8080/gitlab/").ok()?;
        let other = Base::parse("https://gitlab.example.com").ok()?;
        Some(Bases::new(asked, vec![other]))
    }

    fn recognise(link: &str) -> Option<LinkTarget> {
        Some(bases()?.recognise(&Url::parse(link).ok()?))
    }

    #[test]
    fn links_of_every_configured_base_are_ours_and_keep_their_spelling() {
        for base in ["http://127.0.0.1:8080/gitlab", "https://gitlab.example.com"] {
            let target = recognise(&format!("{base}{PAGE}"));
            assert!(
                matches!(target, Some(LinkTarget::Ours { path, .. }) if path == PAGE),
                "{base}"
            );
        }
    }

    #[test]
    fn another_port_or_scheme_is_another_base_and_is_named() {
        let target = recognise(&format!("https://gitlab.example.com:8443/sub{PAGE}"));
        assert_eq!(
            target,
            Some(LinkTarget::UnknownBase {
                base: "https://gitlab.example.com:8443/sub".into()
            })
        );
        assert!(matches!(
            recognise(&format!("http://gitlab.example.com{PAGE}")),
            Some(LinkTarget::UnknownBase { .. })
        ));
    }

    #[test]
    fn what_we_do_not_serve_is_left_alone() {
        let empty_digest =
            "https://gitlab.example.com/api/v4/projects/42/packages/pypi/files//x.whl";
        let forward = "https://gitlab.example.com/api/v4/projects/42/packages/pypi/forward/x/files.example/x.whl";
        let queried = "https://gitlab.example.com/api/v4/projects/42/packages/pypi/simple/x?a=b";
        for link in [
            empty_digest,
            forward,
            queried,
            "https://gitlab.example.com/api/v4/user",
            "https://gitlab.example.com/pypi/simple/x/",
            "file:///etc/passwd",
        ] {
            assert_eq!(recognise(link), Some(LinkTarget::Foreign), "{link}");
        }
    }

    #[test]
    fn a_base_that_carries_a_secret_or_a_query_is_refused() {
        assert_eq!(
            Base::parse("https://u:p@gitlab.example.com"),
            Err(BaseError::Credential)
        );
        assert_eq!(
            Base::parse("https://gitlab.example.com?x"),
            Err(BaseError::Trailer)
        );
        assert_eq!(
            Base::parse("ftp://gitlab.example.com"),
            Err(BaseError::Scheme("ftp".into()))
        );
        assert!(matches!(
            Base::parse("gitlab.example.com"),
            Err(BaseError::NotUrl(_))
        ));
    }
}
