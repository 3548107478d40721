//! Whose address a URL is: larder's own, or one of GitLab's or a mirror's that larder stands in
//! front of.
//!
//! Pure. A credential or a fragment that stands in the URL is left behind and never goes on. Must
//! not know what the address leads to.

use http::{Method, Uri};
use url::Url;

use crate::registry::{Bases, LinkTarget, MirrorBase, Route, RouteError};

/// What a person asked about.
#[derive(Debug)]
pub struct Address {
    /// As a path of larder's.
    pub path: String,
    pub route: Result<Route, RouteError>,
    /// Whose URL it was.
    pub given: Given,
    /// A user name or password stood in it.
    pub had_credential: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    Larder,
    GitLab,
    Mirror(String),
}

/// Why a text is no address at all.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither a path such as /api/v4/… nor an http URL: {0}")]
pub struct NoAddress(&'static str);

/// Reads a URL or a path. `path_prefix` is what a proxy in front adds to larder's paths.
pub fn read<'m>(
    text: &str,
    bases: &Bases,
    mirrors: impl IntoIterator<Item = &'m MirrorBase>,
    path_prefix: &str,
) -> Result<Address, NoAddress> {
    if text.starts_with('/') && !text.starts_with("//") {
        let text = text.split('#').next().unwrap_or_default();
        return Ok(own(text, path_prefix, false));
    }
    let mut url = Url::parse(text).map_err(|_| NoAddress("it cannot be read"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(NoAddress("it has another scheme"));
    }
    let had_credential = !url.username().is_empty() || url.password().is_some();
    url.set_fragment(None);
    // Neither can fail for a URL with a host, which one with these schemes has.
    let _ = (url.set_username(""), url.set_password(None));
    if let Some((given, route)) = upstream(&url, bases, mirrors) {
        return Ok(Address {
            path: route.path(),
            route: Ok(route),
            given,
            had_credential,
        });
    }
    let mut target = url.path().to_owned();
    if let Some(query) = url.query() {
        target = format!("{target}?{query}");
    }
    Ok(own(&target, path_prefix, had_credential))
}

fn own(target: &str, path_prefix: &str, had_credential: bool) -> Address {
    let below = match target.strip_prefix(path_prefix) {
        Some(below) if below.starts_with('/') => below,
        _ => target,
    };
    let route = match below.parse::<Uri>() {
        Err(_) => Err(RouteError::Malformed("it is no request target")),
        Ok(uri) => match Route::parse(&Method::GET, &uri) {
            Err(RouteError::Method(_)) => Route::from_path(uri.path()),
            read => read,
        },
    };
    let path = match &route {
        Ok(route) => route.path(),
        // What a query holds may be a secret.
        Err(_) => below.split('?').next().unwrap_or_default().to_owned(),
    };
    Address {
        path,
        route,
        given: Given::Larder,
        had_credential,
    }
}

/// The route that an upstream's URL is served under.
fn upstream<'m>(
    url: &Url,
    bases: &Bases,
    mirrors: impl IntoIterator<Item = &'m MirrorBase>,
) -> Option<(Given, Route)> {
    if let LinkTarget::Ours { route, .. } = bases.recognise(url) {
        return Some((Given::GitLab, route));
    }
    for base in mirrors {
        let given = Given::Mirror(base.to_string());
        if let Some(page) = base.recognise_page(url) {
            return Some((given, Route::Page(page)));
        }
        if let Some(path) = base.recognise(url) {
            return Some((given, Route::Mirrored(path)));
        }
    }
    // What no page links to: sidecars, and where uploads go.
    if !bases.include(&url.origin()) || url.query().is_some() {
        return None;
    }
    let below = url.path().strip_prefix(bases.asked().root())?;
    let route = Route::from_path(below).ok()?;
    if route.scope()?.is_mirror() {
        return None;
    }
    Some((Given::GitLab, route))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::{Base, Scope};

    fn address(text: &str) -> Option<Address> {
        let bases = Bases::new(Base::parse("https://gitlab.example/git").ok()?, Vec::new());
        let files = ["https://files.example/".to_owned()];
        let mirror = MirrorBase::parse(
            Scope::mirror("pypi")?,
            "https://index.example/simple/",
            &files,
        )
        .ok()?;
        read(text, &bases, &[mirror], "/larder").ok()
    }

    #[test]
    fn every_spelling_of_an_address_leads_to_larders_own() {
        const PAGE: &str = "/api/v4/projects/42/packages/pypi/simple/a/";
        let wheel = "packages/aa/a-1-py3-none-any.whl";
        let table = [
            (PAGE.to_owned(), PAGE, Given::Larder),
            (format!("/larder{PAGE}"), PAGE, Given::Larder),
            (format!("http://127.0.0.1:3141{PAGE}"), PAGE, Given::Larder),
            (
                format!("https://gitlab.example/git{PAGE}"),
                PAGE,
                Given::GitLab,
            ),
            (
                "/pypi/simple/A_b".to_owned(),
                "/pypi/simple/a-b/",
                Given::Larder,
            ),
            (
                "https://index.example/simple/a-b/".to_owned(),
                "/pypi/simple/a-b/",
                Given::Mirror("pypi".to_owned()),
            ),
            (
                format!("https://files.example/{wheel}#sha256=0"),
                "/pypi/packages/aa/a-1-py3-none-any.whl",
                Given::Mirror("pypi".to_owned()),
            ),
            (
                "https://gitlab.example/git/api/v4/projects/42/packages/pypi".to_owned(),
                "/api/v4/projects/42/packages/pypi",
                Given::GitLab,
            ),
        ];
        for (text, path, given) in table {
            let found = address(&text);
            let found = found
                .as_ref()
                .map(|found| (found.path.as_str(), found.route.is_ok(), &found.given));
            assert_eq!(found, Some((path, true, &given)), "{text}");
        }
    }

    #[test]
    fn what_is_secret_in_a_url_stays_behind() {
        for text in [
            "http://ann:s3cret@127.0.0.1:3141/api/v4/projects/42/packages/pypi/simple/a/",
            "https://ann:s3cret@gitlab.example/git/api/v4/projects/42/packages/pypi/simple/a/",
            "/api/v4/projects/42/packages/pypi/simple/?private_token=s3cret",
            "http://127.0.0.1:3141/nothing?private_token=s3cret",
        ] {
            let found = address(text);
            assert!(
                found.is_some() && !format!("{found:?}").contains("s3cret"),
                "{found:?}"
            );
            assert_eq!(
                found.map(|found| found.had_credential),
                Some(text.contains('@')),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_address_is_told_apart_from_one_that_is_not_served() {
        for text in ["", "numpy", "ftp://files.example/a.whl", "//x/y"] {
            assert!(address(text).is_none(), "{text}");
        }
        assert!(
            address("https://elsewhere.example/a.whl").is_some_and(|found| found.route.is_err())
        );
    }
}
