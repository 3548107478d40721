//! A mirror's URLs and our paths, there and back.

use proptest::prelude::*;

use super::*;

fn mirror(index: &str, files: &[&str]) -> MirrorBase {
    let files: Vec<String> = files.iter().map(ToString::to_string).collect();
    MirrorBase::parse(Scope::mirror("pypi").unwrap(), index, &files).unwrap()
}

fn swapped(base: &MirrorBase, link: &str) -> Option<String> {
    base.recognise(&Url::parse(link).unwrap())
        .map(|path| path.to_string())
}

#[test]
fn the_first_prefix_is_swapped_for_the_mirrors_name() {
    let base = mirror(
        "https://index.example/simple",
        &["https://files.example/packages"],
    );
    let link = "https://files.example/packages/aa/bb/a-1.0+x-py3-none-any.whl";
    assert_eq!(
        swapped(&base, link).as_deref(),
        Some("/pypi/aa/bb/a-1.0+x-py3-none-any.whl")
    );
    let fragment = format!("{link}#sha256=00");
    assert_eq!(swapped(&base, &fragment), swapped(&base, link));
    let route = Route::from_path("/pypi/aa/bb/a-1.0+x-py3-none-any.whl").unwrap();
    assert_eq!(base.url(&route).unwrap().as_str(), link);
}

#[test]
fn without_prefixes_files_come_from_the_folder_that_holds_the_index_and_from_its_origin() {
    for (index, link, path) in [
        (
            "https://h.example/simple/",
            "https://h.example/packages/a-1.zip",
            "packages/a-1.zip",
        ),
        (
            "https://h.example/simple/",
            "https://h.example/simple/a/a-1.zip",
            "simple/a/a-1.zip",
        ),
        (
            "https://h.example",
            "https://h.example/a/a-1.zip",
            "a/a-1.zip",
        ),
        (
            "https://h.example/t0ken/simple",
            "https://h.example/t0ken/a/a-1.zip",
            "a/a-1.zip",
        ),
        (
            "https://h.example/t0ken/",
            "https://h.example/t0ken/a/a-1.zip",
            "a/a-1.zip",
        ),
        (
            "https://h.example/root/+simple/",
            "https://h.example/root/+f/a-1.zip",
            "+f/a-1.zip",
        ),
        // devpi's indexes show the files of those that they inherit from.
        (
            "https://h.example/dev/+simple/",
            "https://h.example/root/+f/a-1.zip",
            "~h.example/root/+f/a-1.zip",
        ),
        (
            "http://h.example:81/x/simple/",
            "http://h.example:81/y/a-1.zip",
            "~h.example~81/y/a-1.zip",
        ),
        (
            "http://[::1]:81/x/simple/",
            "http://[::1]:81/x/a-1.zip",
            "a-1.zip",
        ),
    ] {
        let base = mirror(index, &[]);
        let path = format!("/pypi/{path}");
        assert_eq!(swapped(&base, link).as_ref(), Some(&path), "{index} {link}");
        let route = Route::from_path(&path).unwrap();
        assert_eq!(base.url(&route).unwrap().as_str(), link, "{index} {link}");
    }
    let token = mirror("https://h.example/t0ken/simple/", &[]);
    let around = Route::from_path("/pypi/~h.example/t0ken/a-1.zip").unwrap();
    assert_eq!(token.url(&around), None, "a second way to write it");
    let bare = Url::parse("http://[::1]:81/y/a-1.zip").unwrap();
    assert_eq!(
        mirror("http://[::1]:81/x/simple/", &[]).judge(&bare),
        Err(Stranger::Elsewhere)
    );
    let devpi = mirror("https://devpi.example:8443/team/pypi/+simple/", &[]);
    let link = "https://devpi.example:8443/team/pypi/+f/0a1/2b3/a-1.tar.gz";
    assert_eq!(
        swapped(&devpi, link).as_deref(),
        Some("/pypi/+f/0a1/2b3/a-1.tar.gz")
    );
    let page = Route::from_path("/pypi/simple/foo-bar/").unwrap();
    assert_eq!(
        devpi.url(&page).unwrap().as_str(),
        "https://devpi.example:8443/team/pypi/+simple/foo-bar/"
    );
    let index = Route::from_path("/pypi/simple/").unwrap();
    assert_eq!(
        devpi.url(&index).unwrap().as_str(),
        "https://devpi.example:8443/team/pypi/+simple/"
    );
    let beside = mirror("https://index.example/simple/", &[]);
    let link = "https://index.example/simple/a/a-1.tar.gz";
    assert_eq!(
        swapped(&beside, link).as_deref(),
        Some("/pypi/simple/a/a-1.tar.gz")
    );
}

#[test]
fn further_prefixes_have_a_place_that_does_not_depend_on_their_order() {
    let one = [
        "https://a.example/",
        "https://b.example/x/",
        "http://c.example:8080/y",
    ];
    let other = [
        "https://a.example/",
        "http://c.example:8080/y/",
        "https://b.example/x/",
    ];
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
    let base = mirror(
        "https://index.example/simple/",
        &["https://files.example/packages/", "https://b.example/x/"],
    );
    for link in [
        "http://files.example/packages/a-1.whl",
        "https://files.example:8443/packages/a-1.whl",
        "https://files.example/packagesX/a-1.whl",
        "https://files.example/a-1.whl",
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
    let page = |link: &str| {
        base.recognise_page(&Url::parse(link).unwrap())
            .map(|page| Route::Page(page).path())
    };
    assert_eq!(
        page("https://index.example/simple/Foo.Bar/").as_deref(),
        Some("/pypi/simple/foo-bar/")
    );
    assert_eq!(
        page("https://index.example/simple/foo").as_deref(),
        Some("/pypi/simple/foo/")
    );
    assert_eq!(
        page("https://index.example/simple/").as_deref(),
        Some("/pypi/simple/")
    );
    for link in [
        "https://index.example/foo/",
        "https://index.example/simple/a/b/",
        "https://files.example/simple/a/",
    ] {
        assert_eq!(page(link), None, "{link}");
    }
    // As generators of static indexes write it.
    assert_eq!(
        page("https://index.example/simple/Foo/index.html").as_deref(),
        Some("/pypi/simple/foo/")
    );
    assert_eq!(
        page("https://index.example/simple/index.html").as_deref(),
        Some("/pypi/simple/")
    );
}

#[test]
fn a_query_goes_upstream_and_is_in_no_address() {
    let base = mirror(
        "https://index.example/simple/",
        &["https://a.example/x/", "https://b.example/"],
    );
    for (link, path) in [
        ("https://a.example/x/a-1.whl?download=true", "/pypi/a-1.whl"),
        (
            "https://b.example/y/a-1.whl?X-Sig=a%2Fb&c",
            "/pypi/~b.example/y/a-1.whl",
        ),
        ("https://a.example/x/a-1.whl?", "/pypi/a-1.whl"),
    ] {
        let recognised = base
            .recognise(&Url::parse(&format!("{link}#sha256=00")).unwrap())
            .unwrap();
        assert_eq!(recognised.to_string(), path);
        let route = Route::Mirrored(recognised);
        assert_eq!(base.url(&route).unwrap().as_str(), link);
        assert_eq!(route, Route::from_path(path).unwrap());
    }
}

#[test]
fn a_link_without_an_address_is_told_why() {
    let base = mirror("https://index.example/simple/", &["https://a.example/x/"]);
    let long = format!("https://a.example/x/{}.whl", "a".repeat(252));
    for (link, why) in [
        ("https://a.example/y/a-1.whl", None),
        ("https://user@a.example/x/a-1.whl", Some("a user name")),
        ("https://user@a.example/y/a-1.whl", None),
        ("mailto:a-1.whl", None),
        (
            "https://a.example/x/a-1%25.whl",
            Some("servers read in several ways"),
        ),
        (
            "https://a.example/x/a-1;b.whl",
            Some("servers read in several ways"),
        ),
        ("https://a.example/x/y//a-1.whl", Some("empty path segment")),
        ("https://a.example/x/download", Some("the name of a file")),
        ("https://a.example/x/a%2Fb/a-1.whl", Some("escaped slash")),
        (
            "https://a.example/x/simple/a-1.whl",
            Some("the address of a page"),
        ),
        (&long, Some("255 bytes")),
    ] {
        match (base.judge(&Url::parse(link).unwrap()), why) {
            (Err(Stranger::Elsewhere), None) => {}
            (Err(Stranger::Unfit(said)), Some(why)) => {
                assert!(said.contains(why), "{link}: {said}")
            }
            (judged, _) => panic!("{link}: {judged:?}"),
        }
    }
    for name in [
        "a-1-it's.zip",
        "a-1-[x].zip",
        "a-1-%23.zip",
        "a-1-&$*.zip",
        "a-1-%C3%A9.zip",
        "a-1-^|.zip",
    ] {
        let link = Url::parse(&format!("https://a.example/x/{name}")).unwrap();
        let path = base.judge(&link).unwrap();
        assert_eq!(
            base.url(&Route::Mirrored(path)).as_ref(),
            Some(&link),
            "{name}"
        );
    }
}

#[test]
fn urls_that_say_more_than_where_are_refused() {
    let scope = Scope::mirror("pypi").unwrap();
    let fault = |index: &str, files: &[&str]| {
        let files: Vec<String> = files.iter().map(ToString::to_string).collect();
        MirrorBase::parse(scope.clone(), index, &files)
            .map(drop)
            .unwrap_err()
            .1
    };
    assert_eq!(
        fault("https://u:p@index.example/simple/", &[]),
        MirrorBaseError::Credential
    );
    assert_eq!(
        fault("https://index.example/simple/?x", &[]),
        MirrorBaseError::Trailer
    );
    assert_eq!(
        fault("ftp://index.example/simple/", &[]),
        MirrorBaseError::Scheme("ftp".to_owned())
    );
    assert!(matches!(
        fault("index.example", &[]),
        MirrorBaseError::NotUrl(_)
    ));
    let index = "https://index.example/simple/";
    assert_eq!(
        fault(index, &["https://a.example/", "https://[::1]:8080/"]),
        MirrorBaseError::Address
    );
    let both = [
        "https://a.example/",
        "http://b.example:81/",
        "https://b.example:81/",
    ];
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
