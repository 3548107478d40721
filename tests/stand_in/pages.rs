//! Index and package pages, forwarding, and the switches that change them.

use super::*;

#[test]
fn the_index_of_a_project_is_byte_for_byte_gitlabs() {
    let gitlab = GitLab::builder()
        .holding(|universe| {
            universe.publish(
                42,
                NewFile::from(Distribution::new("My.Pkg", "0.9").sdist()),
            );
        })
        .set(|settings| settings.external_url = Some("https://gitlab.example.com".to_owned()))
        .start();

    let reply = reader(&gitlab).get(INDEX);

    let body = r#"<!DOCTYPE html>
        <html>
          <head>
            <title>Links for widgets</title>
          </head>
          <body>
            <h1>Links for widgets</h1>
            <a href="https://gitlab.example.com/api/v4/projects/42/packages/pypi/simple/my-pkg" data-requires-python="&gt;=3.8">My.Pkg</a><a href="https://gitlab.example.com/api/v4/projects/42/packages/pypi/simple/my-pkg" data-requires-python="">My.Pkg</a>
          </body>
        </html>
"#;
    assert_eq!(reply.text(), body);
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.header("Content-Type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(
        reply.header("Cache-Control"),
        Some("max-age=0, private, must-revalidate")
    );
    let etag = format!("W/\"{}\"", &sha256_hex(body.as_bytes())[..32]);
    assert_eq!(reply.header("ETag"), Some(etag.as_str()));
    assert_eq!(reply.header("X-Content-Type-Options"), Some("nosniff"));
    assert_eq!(reply.header("X-Frame-Options"), Some("SAMEORIGIN"));
    assert_eq!(
        reply.header("Content-Length"),
        Some(body.len().to_string().as_str())
    );
    assert_eq!(reply.header("Vary"), None);
}

#[test]
fn a_page_links_to_the_numeric_id_in_one_line() {
    let (wheel, sdist) = my_pkg();
    let gitlab = GitLab::start();
    let line = |prefix: &str| {
        let link = |file: &Artifact| {
            format!(
                "            <a href=\"{}/api/v4/{prefix}/packages/pypi/files/{2}/{1}#sha256={2}\" data-requires-python=\"&gt;=3.8\">{1}</a>",
                gitlab.url(),
                file.filename,
                file.sha256
            )
        };
        format!("\n{}{}\n", link(&wheel), link(&sdist).trim_start())
    };
    for (asked, linked) in [
        ("projects/42", "projects/42"),
        ("projects/acme%2Fwidgets", "projects/42"),
        ("groups/7/-", "groups/7/-"),
        ("groups/acme/-", "groups/7/-"),
    ] {
        let reply = reader(&gitlab).get(&format!("/api/v4/{asked}/packages/pypi/simple/my-pkg/"));
        assert!(reply.text().contains(&line(linked)), "{asked}: {reply:?}");
        assert!(reply.text().contains("<title>Links for My.Pkg</title>"));
    }
}

#[test]
fn json_comes_only_with_the_flag_and_whatever_the_weights() {
    let gitlab = GitLab::start();
    let (wheel, _) = my_pkg();
    gitlab.change(|universe| universe.delete_file(42, "my_pkg-1.0.0.tar.gz"));
    let accept = [(
        "Accept",
        "text/html, application/vnd.pypi.simple.v1+json;q=0",
    )];
    assert_eq!(
        reader(&gitlab)
            .get_with(PAGE, &accept)
            .header("Content-Type"),
        Some("text/html; charset=utf-8")
    );

    gitlab.set(|settings| settings.pep691 = true);
    let reply = reader(&gitlab).get_with(PAGE, &accept);

    let (url, sha) = (gitlab.url(), &wheel.sha256);
    let expected = format!(
        r#"{{"meta":{{"api-version":"1.0"}},"name":"my-pkg","files":[{{"filename":"my_pkg-1.0.0-py3-none-any.whl","url":"{url}/api/v4/projects/42/packages/pypi/files/{sha}/my_pkg-1.0.0-py3-none-any.whl#sha256={sha}","hashes":{{"sha256":"{sha}"}},"requires-python":">=3.8"}}]}}"#
    );
    assert_eq!(reply.text(), expected);
    assert_eq!(
        reply.header("Content-Type"),
        Some("application/vnd.pypi.simple.v1+json; charset=utf-8")
    );
    assert_eq!(reply.header("Vary"), Some("Accept"));
    assert_eq!(reader(&gitlab).get(PAGE).header("Vary"), Some("Accept"));
    assert_eq!(
        reader(&gitlab).get_with(GROUP_INDEX, &accept).text(),
        r#"{"meta":{"api-version":"1.0"},"projects":[{"name":"gear"},{"name":"my-pkg"},{"name":"open-thing"}]}"#
    );
}

#[test]
fn only_the_very_etag_is_answered_304() {
    let gitlab = GitLab::start();
    let reader = reader(&gitlab);
    let etag = reader
        .get(PAGE)
        .header("ETag")
        .expect("a page has one")
        .to_owned();

    let same = reader.get_if_none_match(PAGE, &etag);
    assert_eq!(
        (same.status, same.header("ETag"), same.body.len()),
        (304, Some(etag.as_str()), 0)
    );
    assert_eq!(same.header("Content-Length"), None);
    for other in [
        "*",
        etag.trim_start_matches("W/"),
        &format!("{etag}, \"x\""),
    ] {
        reader.get_if_none_match(PAGE, other).expect(200);
    }
    let head = reader.head(PAGE);
    assert_eq!(
        (
            head.status,
            head.header("ETag"),
            head.header("Content-Length")
        ),
        (200, None, None)
    );
}

#[test]
fn names_are_normalised_on_one_side_only() {
    let gitlab = GitLab::start();
    let page = |name: &str| reader(&gitlab).get(&path::project_page(42, name)).status;
    assert_eq!(
        [
            page("my-pkg"),
            page("My-Pkg"),
            page("my.pkg"),
            page("my_pkg")
        ],
        [200, 200, 302, 302]
    );
    let squeezed = reader(&gitlab).get("/api/v4//projects/42/packages/pypi/simple//my-pkg//");
    squeezed.expect(200);
    assert_eq!(
        reader(&gitlab)
            .get(&path::project_page(42, "a%2F..%2Fb"))
            .status,
        400
    );
}

#[test]
fn a_missing_package_is_forwarded_or_404() {
    let gitlab = GitLab::start();
    let missing = path::project_page(42, "Requests");
    let reply = reader(&gitlab).get(&missing);
    assert_eq!(reply.status, 302);
    assert_eq!(
        reply.header("Location"),
        Some("https://public-index.invalid/simple/Requests/")
    );
    assert_eq!(
        (reply.header("Content-Type"), reply.header("Cache-Control")),
        (Some("text/plain"), Some("no-cache"))
    );
    let head = reader(&gitlab).head(&missing);
    assert_eq!(
        (head.status, head.header("Location")),
        (303, reply.header("Location"))
    );

    gitlab.set(|settings| settings.forwarding = false);
    let reply = reader(&gitlab).get(&missing);
    assert_eq!(
        (reply.status, reply.text().as_str()),
        (404, r#"{"message":"404 Package Not Found"}"#)
    );
    assert_eq!(reply.header("Cache-Control"), Some("no-cache"));
}

#[test]
fn the_firewall_serves_public_pages_and_forwards_their_files() {
    let gitlab = GitLab::builder()
        .set(|settings| settings.firewall = true)
        .start();
    let reply = reader(&gitlab).get(&path::project_page(42, "requests"));
    let link = "/api/v4/projects/42/packages/pypi/forward/requests/public-files.invalid/packages/aa/requests-2.31.0.tar.gz";
    assert!(
        reply
            .text()
            .contains(&format!("{}{link}#sha256=", gitlab.url())),
        "{reply:?}"
    );
    let forward = reader(&gitlab).get(link);
    assert_eq!(
        forward.header("Location"),
        Some("https://public-files.invalid/packages/aa/requests-2.31.0.tar.gz")
    );
    gitlab.set(|settings| settings.firewall = false);
    assert_eq!(reader(&gitlab).get(link).status, 404);
}

#[test]
fn a_group_page_shows_what_its_caller_may_see() {
    let gitlab = GitLab::start();
    let of = |secret: &str| anonymous(&gitlab).token(secret).get(GROUP_INDEX).text();
    let (all, some) = (of(token::READER), of(token::WIDGETS_READER));
    assert!(
        all.contains(">gear<") && all.contains(">My.Pkg<") && all.contains(">Open.Thing<"),
        "{all}"
    );
    assert!(
        !some.contains(">gear<") && some.contains(">My.Pkg<") && some.contains(">Open.Thing<"),
        "{some}"
    );
    // Not visible is forwarded, not refused.
    let gear = path::group_page(7, "gear");
    assert_eq!(
        anonymous(&gitlab)
            .token(token::WIDGETS_READER)
            .get(&gear)
            .status,
        302
    );
    // A group's file address is a capability.
    let gear = path::group_file(7, &Distribution::new("gear", "0.3").wheel());
    anonymous(&gitlab)
        .token(token::WIDGETS_READER)
        .get(&gear)
        .expect(200);
}

#[test]
fn switches_change_pages_as_releases_and_proxies_do() {
    let gitlab = GitLab::builder().relative_root("/gitlab").start();
    let page = format!("/gitlab{PAGE}");
    let plain = reader(&gitlab).get(&page).text();
    assert!(
        gitlab.url().ends_with("/gitlab") && plain.contains(&format!("{}/api/v4/", gitlab.url())),
        "{plain}"
    );
    assert_eq!(reader(&gitlab).get(PAGE).status, 404);
    assert_eq!(gitlab.log().unexpected().len(), 1);

    gitlab.set(|settings| settings.leading_spaces = true);
    assert_eq!(
        reader(&gitlab).get(&page).text(),
        format!("        {plain}")
    );
    gitlab.set(|settings| (settings.leading_spaces, settings.gzip) = (false, true));
    let packed = reader(&gitlab).get_with(&page, &[("Accept-Encoding", "gzip")]);
    assert_eq!(
        (packed.header("Content-Encoding"), packed.gunzipped()),
        (Some("gzip"), plain.into_bytes())
    );
}

#[test]
fn throttling_comes_before_everything() {
    let gitlab = GitLab::builder()
        .set(|settings| settings.throttle = Some(12))
        .start();
    let reply = anonymous(&gitlab).get("/api/v4/projects/999/packages/pypi/simple");
    assert_eq!((reply.status, reply.text().as_str()), (429, "Retry later"));
    assert_eq!(
        (
            reply.header("Retry-After"),
            reply.header("RateLimit-Remaining")
        ),
        (Some("12"), Some("0"))
    );
}
