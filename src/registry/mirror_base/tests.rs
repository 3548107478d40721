//! A mirror's URLs and our paths, there and back.

use proptest::prelude::*;

use super::*;

fn mirror(index: &str, files: &[&str]) -> MirrorBase {
    let files: Vec<String> = files.iter().map(ToString::to_string).collect();
    MirrorBase::parse(Scope::mirror("pypi").unwrap(), index, &files).unwrap()
}

fn swapped(base: &MirrorBase, link: &str) -> Option<String> {
    base.recognise(&Url::parse(link).unwrap()).map(|path| path.to_string())
}

#[test]
fn the_first_prefix_is_swapped_for_the_mirrors_name() {
    let base = mirror("https://index.example/simple", &["https://files.example/packages"]);
    let link = "https://files.example/packages/aa/bb/a-1.0+x-py3-none-any.whl";
    assert_eq!(swapped(&base, link).as_deref(), Some("/pypi/aa/bb/a-1.0+x-py3-none-any.whl"));
    let fragment = format!("{link}#sha256=00");
    assert_eq!(swapped(&base, &fragment), swapped(&base, link));
    let route = Route::from_path("/pypi/aa/bb/a-1.0+x-py3-none-any.whl").unwrap();
    assert_eq!(base.url(&route).unwrap().as_str(), link);
}

#[test]
fn without_prefixes_files_come_from_the_indexs_origin() {
    let devpi = mirror("https://devpi.example:8443/team/pypi/+simple/", &[]);
    let link = "https://devpi.example:8443/team/pypi/+f/0a1/2b3/a-1.tar.gz";
    assert_eq!(swapped(&devpi, link).as_deref(), Some("/pypi/team/pypi/+f/0a1/2b3/a-1.tar.gz"));
    let page = Route::from_path("/pypi/simple/foo-bar/").unwrap();
    assert_eq!(devpi.url(&page).unwrap().as_str(), "https://devpi.example:8443/team/pypi/+simple/foo-bar/");
    let index = Route::from_path("/pypi/simple/").unwrap();
    assert_eq!(devpi.url(&index).unwrap().as_str(), "https://devpi.example:8443/team/pypi/+simple/");
    let beside = mirror("https://index.example/simple/", &[]);
    let link = "https://index.example/simple/a/a-1.tar.gz";
    assert_eq!(swapped(&beside, link).as_deref(), Some("/pypi/simple/a/a-1.tar.gz"));
}

#[test]
fn further_prefixes_have_a_place_that_does_not_depend_on_their_order() {
    let one = ["https://a.example/", "https://b.example/x/", "http://c.example:8080/y"];
    let other = ["https://a.example/", "http://c.example:8080/y/", "https://b.example/x/"];
    for files in [one, other] {
        let base = mirror("https://index.example/simple/", &files);
        let second = swapped(&base, "https://b.example/x/b-1.whl");
        assert_eq!(second.as_deref(), Some("/pypi/~b.example/x/b-1.whl"));
        let third = swapped(&base, "http://c.example:8080/y/z/c-1.whl");
        assert_eq!(third.as_deref(), Some("/pypi/~c.example~8080/y/z/c-1.whl"));
    }
}

#[test]
fn what_is_not_exactly_below_a_prefix_is_not_the_mirrors() {
    let base =
        mirror("https://index.example/simple/", &["https://files.example/packages/", "https://b.example/x/"]);
    for link in [
        "http://files.example/packages/a-1.whl",
        "https://files.example:8443/packages/a-1.whl",
        "https://files.example/packagesX/a-1.whl",
        "https://files.example/a-1.whl",
        "https://files.example/packages/a-1.whl?token=1",
        "https://user@files.example/packages/a-1.whl",
        "https://files.example.evil.example/packages/a-1.whl",
        "https://index.example/packages/a-1.whl",
        "https://files.example/packages/simple/a-1.whl",
        "https://files.example/packages/~b.example/x/a-1.whl",
        "https://b.example/y/a-1.whl",
    ] {
        assert_eq!(swapped(&base, link), None, "{link}");
    }
    for path in ["/pypi/~b.example/y/a-1.whl", "/other/a-1.whl"] {
        assert_eq!(base.url(&Route::from_path(path).unwrap()), None, "{path}");
    }
}

#[test]
fn links_of_the_index_lead_to_its_pages() {
    let base = mirror("https://index.example/simple/", &["https://files.example/"]);
    let page =
        |link: &str| base.recognise_page(&Url::parse(link).unwrap()).map(|page| Route::Page(page).path());
    assert_eq!(page("https://index.example/simple/Foo.Bar/").as_deref(), Some("/pypi/simple/foo-bar/"));
    assert_eq!(page("https://index.example/simple/foo").as_deref(), Some("/pypi/simple/foo/"));
    assert_eq!(page("https://index.example/simple/").as_deref(), Some("/pypi/simple/"));
    for link in
        ["https://index.example/foo/", "https://index.example/simple/a/b/", "https://files.example/simple/a/"]
    {
        assert_eq!(page(link), None, "{link}");
    }
}

#[test]
fn urls_that_say_more_than_where_are_refused() {
    let scope = Scope::mirror("pypi").unwrap();
    let fault = |index: &str, files: &[&str]| {
        let files: Vec<String> = files.iter().map(ToString::to_string).collect();
        MirrorBase::parse(scope.clone(), index, &files).map(drop).unwrap_err().1
    };
    assert_eq!(fault("https://u:p@index.example/simple/", &[]), MirrorBaseError::Credential);
    assert_eq!(fault("https://index.example/simple/?x", &[]), MirrorBaseError::Trailer);
    assert_eq!(fault("ftp://index.example/simple/", &[]), MirrorBaseError::Scheme("ftp".to_owned()));
    assert!(matches!(fault("index.example", &[]), MirrorBaseError::NotUrl(_)));
    let index = "https://index.example/simple/";
    assert_eq!(fault(index, &["https://a.example/", "https://[::1]:8080/"]), MirrorBaseError::Address);
    let both = ["https://a.example/", "http://b.example:81/", "https://b.example:81/"];
    assert_eq!(fault(index, &both), MirrorBaseError::Ambiguous);
}

proptest! {
    #[test]
    fn a_recognised_link_leads_back_to_where_it_was(
        origin in 0..4usize,
        path in "(/(x|y|packages|simple|~b\\.example|\\+f|[A-Za-z0-9%._~!$&'()*+,=:@-]{1,6})){1,5}(\\.whl|\\.tar\\.gz|\\.metadata)?",
    ) {
        let base = mirror(
            "https://index.example/simple/",
            &["https://a.example/packages/", "https://b.example/", "https://a.example/", "http://c.example:81/x/"],
        );
        let origins = ["https://a.example", "https://b.example", "http://c.example:81", "https://index.example"];
        if let Ok(link) = Url::parse(&format!("{}{path}", origins[origin]))
            && let Some(recognised) = base.recognise(&link)
        {
            let route = Route::from_path(&recognised.to_string());
            prop_assert_eq!(&route, &Ok(Route::Mirrored(recognised)));
            prop_assert_eq!(base.url(&route.unwrap()), Some(link));
        }
    }

    #[test]
    fn a_path_that_has_a_url_is_recognised_in_it(path in "/pypi(/(x|packages|~b\\.example|~c\\.example~81|[A-Za-z0-9%._+-]{1,6})){1,4}\\.whl") {
        let base = mirror(
            "https://index.example/simple/",
            &["https://a.example/packages/", "https://b.example/", "https://a.example/", "http://c.example:81/x/"],
        );
        if let Ok(route @ Route::Mirrored(_)) = Route::from_path(&path)
            && let Some(url) = base.url(&route)
        {
            prop_assert_eq!(base.recognise(&url).map(Route::Mirrored), Some(route));
        }
    }
}
