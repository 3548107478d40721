//! Which paths are routes, and that none leads outside.

use proptest::prelude::*;

use super::*;

const SHA: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789ABCDEF";

fn read(path: &str) -> Result<Route, RouteError> {
    Route::from_path(path)
}

fn rewritten(path: &str) -> Option<String> {
    read(path).ok().map(|route| route.path())
}

#[test]
fn both_spellings_of_a_page_are_one_route() {
    let canonical = Some("/api/v4/groups/acme%2Fsub/-/packages/pypi/simple/foo-bar/".to_owned());
    assert_eq!(
        rewritten("/api/v4/groups/acme%2Fsub/-/packages/pypi/simple/Foo_.Bar"),
        canonical
    );
    assert_eq!(
        rewritten("/api/v4/groups/acme%2Fsub/-/packages/pypi/simple/foo-bar/"),
        canonical
    );
}

#[test]
fn a_file_keeps_its_digest_as_written_and_its_plus() {
    let canonical =
        format!("/api/v4/projects/42/packages/pypi/files/{SHA}/torch-1.0+cu118-py3-none-any.whl");
    assert_eq!(rewritten(&canonical), Some(canonical.clone()));
    assert_eq!(rewritten(&canonical.replace('+', "%2B")), Some(canonical));
}

#[test]
fn metadata_is_a_route_of_its_own() {
    let path =
        format!("/api/v4/projects/42/packages/pypi/files/{SHA}/a-1-py3-none-any.whl.metadata");
    assert!(matches!(read(&path), Ok(Route::Metadata(_))));
    assert_eq!(rewritten(&path), Some(path));
}

#[test]
fn a_mirrors_pages_are_routes_like_gitlabs_and_the_rest_are_its_files() {
    assert_eq!(rewritten("/pypi/simple"), Some("/pypi/simple/".to_owned()));
    assert_eq!(
        rewritten("/my-2nd/simple/Foo_.Bar"),
        Some("/my-2nd/simple/foo-bar/".to_owned())
    );
    for path in [
        "/pypi/packages/aa/bb/cc/a-1-py3-none-any.whl",
        "/pypi/packages/aa/bb/cc/a-1-py3-none-any.whl.metadata",
        "/pypi/simple/a/a-1.tar.gz",
        "/pypi/+f/0a1/b2/torch-1.0+cu118-py3-none-any.whl",
        "/pypi/~files.example~8443/torch-1.0%2Bcu118-py3-none-any.whl",
    ] {
        let route = read(path);
        assert!(
            matches!(&route, Ok(Route::Mirrored(_))),
            "{path}: {route:?}"
        );
        assert_eq!(rewritten(path).as_deref(), Some(path));
        assert_eq!(
            route
                .ok()
                .and_then(|route| route.scope().map(Scope::to_string))
                .as_deref(),
            Some("pypi")
        );
    }
}

#[test]
fn the_pages_for_people_are_routes_of_the_house() {
    for root in ["/", "/-"] {
        let uri = Uri::from_static(root);
        let asked = Route::parse(&Method::GET, &uri);
        assert_eq!(asked, Ok(Route::Admin(AdminEndpoint::Root)));
        assert_eq!(
            read(root),
            Err(RouteError::Unknown),
            "a link is none of ours"
        );
    }
    assert_eq!(read("/-/"), Ok(Route::Admin(AdminEndpoint::Home)));
    assert_eq!(read("/-/status"), Ok(Route::Admin(AdminEndpoint::Status)));
    for (path, scope) in [
        (
            "/-/projects/acme%2Fwidgets/foo-bar",
            "projects/acme%2Fwidgets",
        ),
        ("/-/groups/7/foo-bar", "groups/7"),
        ("/-/mirrors/pypi/foo-bar", "pypi"),
    ] {
        let route = read(&path.replace("foo-bar", "Foo_.Bar"));
        assert!(
            matches!(&route, Ok(Route::ProjectPage(page)) if page.scope.to_string() == scope),
            "{route:?}"
        );
        assert_eq!(route.map(|route| route.path()).as_deref(), Ok(path));
    }
}

#[test]
fn odd_paths_are_refused_before_anybody_is_asked() {
    for path in [
        "/api/v4/projects/acme%2F..%2Fother/packages/pypi/simple/",
        "/api/v4/projects/acme%2F%2Fx/packages/pypi/simple/",
        "/api/v4/projects/42/packages/pypi/simple/%2e%2e/",
        "/api/v4/projects/42/packages/pypi/../../user",
        "/api/v4/projects/42//packages/pypi/simple/",
        "/api/v4/projects/42/packages/pypi/simple/a%00b/",
        "/api/v4/projects/42/packages/pypi/simple/a%252fb/",
        "/api/v4/projects/42/packages/pypi/simple/a\\b/",
        "/api/v4/projects/42%2Fpackages/packages/pypi/simple/a;b",
    ] {
        assert!(
            matches!(read(path), Err(RouteError::Malformed(_))),
            "{path}"
        );
    }
    for path in [
        "/api/v4/user",
        "/api",
        "/api/simple/",
        "/Pypi/simple/",
        "/-pypi/simple/",
        "/pypi",
        "/pypi/",
        "/pypi/simple/-/",
        "/pypi/packages/a-1.whl/",
        "/pypi/packages/a%2Fb-1.whl",
        "/pypi/packages/nothing",
        "/api/v4/projects/42",
        "/api/v4/projects/42/packages/pypi/forward/x/y",
        "/api/v4/projects/42/packages/pypi/files/abc/x.whl",
        "/api/v4/projects/42/packages/pypi/+simple/x/",
        "/api/v4/groups/7/-/packages/pypi",
        "/-/nothing",
        "/-/health/live/",
        "/-/projects/42",
        "/-/projects/42/",
        "/-/projects/42/a/",
        "/-/projects/42/-",
        "/-/mirrors/api/a",
        "/-/teams/7/a",
    ] {
        assert_eq!(read(path), Err(RouteError::Unknown), "{path}");
    }
}

#[test]
fn empty_segments_below_a_scope_are_nobodys() {
    let file = format!("/api/v4/projects/42/packages/pypi/files/{SHA}/a-1.tar.gz");
    for (path, canonical) in [
        (
            "/api/v4/projects/42/packages/pypi//simple/click/",
            "/api/v4/projects/42/packages/pypi/simple/click/",
        ),
        (
            "/api/v4/projects/42/packages/pypi/simple//click",
            "/api/v4/projects/42/packages/pypi/simple/click/",
        ),
        (
            "/api/v4/groups/7/-/packages/pypi/simple///",
            "/api/v4/groups/7/-/packages/pypi/simple/",
        ),
        (
            "/api/v4/projects/42/packages/pypi//",
            "/api/v4/projects/42/packages/pypi",
        ),
        (&file.replace("/files/", "//files//"), &file),
        ("/pypi//simple//click//", "/pypi/simple/click/"),
        ("/pypi//packages//a-1.tar.gz", "/pypi/packages/a-1.tar.gz"),
    ] {
        assert_eq!(rewritten(path).as_deref(), Some(canonical), "{path}");
    }
    for path in [
        "//pypi/simple/",
        "//api/v4/projects/42/packages/pypi/simple/",
        "/api//v4/projects/42/packages/pypi/simple/",
        "/api/v4/groups/7//-/packages/pypi/simple/",
        "/api/v4/projects/acme%2F%2Fx/packages/pypi/simple/",
        "/api/v4/projects/acme%2F/packages/pypi/simple/",
        "/-//status",
    ] {
        assert!(
            matches!(read(path), Err(RouteError::Malformed(_))),
            "{path}"
        );
    }
    for path in [
        "/pypi/simple/%2F/click/",
        "/pypi/simple/%2Fclick/",
        "/pypi/packages/a-1.tar.gz//",
    ] {
        assert_eq!(read(path), Err(RouteError::Unknown), "{path}");
    }
}

#[test]
fn only_a_path_is_a_target() {
    for target in [
        "http://elsewhere.example/api/v4/projects/42/packages/pypi/simple/",
        "elsewhere.example:443",
    ] {
        let uri: Uri = target.parse().unwrap_or_default();
        assert!(matches!(
            Route::parse(&Method::GET, &uri),
            Err(RouteError::Malformed(_))
        ));
    }
}

#[test]
fn methods_and_queries_are_checked() {
    let uri = Uri::from_static("/api/v4/projects/42/packages/pypi/simple/");
    assert_eq!(
        Route::parse(&Method::POST, &uri),
        Err(RouteError::Method("GET, HEAD"))
    );
    let uri = Uri::from_static("/api/v4/projects/42/packages/pypi");
    assert_eq!(
        Route::parse(&Method::GET, &uri),
        Err(RouteError::Method("POST"))
    );
    let uri = Uri::from_static("/api/v4/projects/42/packages/pypi/simple/?a=b&Private%5Ftoken=x");
    assert_eq!(
        Route::parse(&Method::GET, &uri),
        Err(RouteError::CredentialInQuery("private_token"))
    );
}

proptest! {
    #[test]
    fn writing_a_route_anew_is_idempotent_and_stays_inside(path in "/api/v4/(projects|groups)/[a-z0-9%./2F-]{1,12}(/-)?/packages/pypi(/(simple|files))?(/[A-Za-z0-9%._+-]{0,70}){0,3}") {
        if let Ok(route) = read(&path) {
            let written = route.path();
            prop_assert_eq!(read(&written), Ok(route));
            prop_assert!(!written.contains("..%2F") && !written.contains("//"));
            prop_assert!(written.starts_with("/api/v4/"));
        }
    }

    #[test]
    fn a_mirrors_address_is_written_as_it_is_read(path in "/[a-z-]{1,5}(/(simple|packages))?(/[A-Za-z0-9%.:@+_-]{1,12}){0,4}/?") {
        if let Ok(route) = read(&path) {
            let written = route.path();
            prop_assert_eq!(read(&written), Ok(route.clone()));
            if matches!(route, Route::Mirrored(_)) {
                prop_assert_eq!(written, path);
            }
        }
    }

    #[test]
    fn no_bytes_make_the_parser_stumble(path in "\\PC{0,200}") {
        let _ = read(&path);
    }
}
