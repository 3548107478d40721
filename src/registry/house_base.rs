//! larder as the place that a page comes from: the base of pages whose links are larder's own addresses.
//!
//! Such a page was carried here rather than fetched, so that nobody's URL is on it. A link on it is resolved against
//! [`HOUSE`], and what has that scheme is one of our routes, whatever is configured. Only a page that says it comes from
//! here may be read so: on anybody else's page the same link is text. Must not know who carried it.

use url::Url;

use super::Route;

/// The URL of every page that was carried here.
pub const HOUSE: &str = "larder:/";

/// Whether a page comes from here.
pub fn is_house(page: &str) -> bool {
    page == HOUSE
}

/// The route that a link on a page of [`HOUSE`] leads to, if it is one of ours.
pub fn recognise_house(link: &Url) -> Option<Route> {
    let ours = link.scheme() == "larder" && !link.has_host() && link.query().is_none();
    Route::from_path(link.path()).ok().filter(|_| ours)
}

/// The URL of a route on a page of [`HOUSE`].
pub fn house_url(route: &Route) -> Option<Url> {
    let mut url = Url::parse(HOUSE).ok()?;
    url.set_path(&route.path());
    Some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recognise(link: &str) -> Option<Route> {
        recognise_house(&Url::parse(HOUSE).ok()?.join(link).ok()?)
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
                    .and_then(house_url)
                    .as_ref()
                    .and_then(recognise_house),
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
        assert!(is_house(HOUSE) && !is_house("https://larder.example/"));
    }
}
