//! The base of portable pages, whose links are larder's own addresses.
//!
//! Such a page was carried here rather than fetched, so that no server's URL is on it. A link on it
//! is resolved against [`PORTABLE_BASE`], and what has that scheme is one of our routes, whatever
//! is configured. Only a page that says it is portable may be read so: on a page from upstream the
//! same link is text. Must not know how the page was carried.

use url::Url;

use super::Route;

/// The URL of every portable page.
pub const PORTABLE_BASE: &str = "larder:/";

/// Whether a page that says it comes from this URL is portable.
pub fn is_portable(page_url: &str) -> bool {
    page_url == PORTABLE_BASE
}

/// The route that a link on a portable page leads to, if it is one of ours.
pub fn recognise_portable(link: &Url) -> Option<Route> {
    if link.scheme() != "larder" || link.has_host() || link.query().is_some() {
        return None;
    }
    Route::from_path(link.path()).ok()
}

/// The URL of a route on a portable page.
pub fn portable_url(route: &Route) -> Option<Url> {
    let mut url = Url::parse(PORTABLE_BASE).ok()?;
    url.set_path(&route.path());
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recognise(link: &str) -> Option<Route> {
        recognise_portable(&Url::parse(PORTABLE_BASE).ok()?.join(link).ok()?)
    }

    #[test]
    fn a_rooted_link_is_a_route_in_its_own_spelling() {
        let digest = "0".repeat(64);
        for path in [
            format!("/api/v4/projects/42/packages/pypi/files/{digest}/a-1-py3-none-any.whl"),
            format!("/api/v4/groups/acme%2Ftools/-/packages/pypi/files/{digest}/a-1.tar.gz"),
            "/pypi/packages/aa/bb/torch-1.0%2Bcu118-py3-none-any.whl".to_owned(),
            "/pypi/simple/a/".to_owned(),
        ] {
            let route = recognise(&path);
            assert_eq!(route.as_ref().map(Route::path), Some(path));
            assert_eq!(
                route
                    .as_ref()
                    .and_then(portable_url)
                    .as_ref()
                    .and_then(recognise_portable),
                route
            );
        }
    }

    #[test]
    fn what_leads_elsewhere_is_no_route() {
        for link in [
            "https://files.example/pypi/packages/a-1-py3-none-any.whl",
            "//pypi/packages/a-1-py3-none-any.whl",
            "/pypi/packages/a-1-py3-none-any.whl?x=1",
            "/",
        ] {
            assert_eq!(recognise(link), None, "{link}");
        }
        assert!(is_portable(PORTABLE_BASE) && !is_portable("https://larder.example/"));
    }
}
