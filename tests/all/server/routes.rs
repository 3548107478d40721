//! Addresses: which are larder's, how they reach GitLab, and where nothing of a page can ever lead
//! it.

use std::io::ErrorKind;
use std::net::TcpListener;

use crate::support::{
    Act, Answer, Artifact, Client, Distribution, GitLab, Kind, Larder, Reply, Site, Storage, path,
    token,
};

fn wheel() -> Artifact {
    Distribution::new("My.Pkg", "1.0.0")
        .requires_python(">=3.8")
        .wheel()
}

fn reader(larder: &Larder) -> Client {
    larder.client().token(token::READER)
}

fn targets(gitlab: &GitLab) -> Vec<String> {
    gitlab
        .log()
        .entries()
        .into_iter()
        .map(|entry| entry.head.target)
        .collect()
}

/// A port of this machine that nobody must ever come to.
struct Canary(TcpListener);

impl Canary {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a fresh socket");
        Self(listener)
    }

    fn host(&self) -> String {
        self.0.local_addr().expect("a listening socket").to_string()
    }

    /// The same door under a name that is not the stand-in's.
    fn named_host(&self) -> String {
        self.host().replace("127.0.0.1", "localhost")
    }

    fn url(&self) -> String {
        format!("http://{}", self.host())
    }

    #[track_caller]
    fn assert_nobody_came(&self, case: &str) {
        match self.0.accept() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            other => panic!("{case}: larder went where a page pointed: {other:?}"),
        }
    }
}

/// Request lines that are none of larder's, and the status each gets.
fn foreign_lines(elsewhere: &str) -> Vec<(String, &'static [u16])> {
    let sha = wheel().sha256;
    let project = "/api/v4/projects/42/packages/pypi";
    let paths = [
        "/api",
        "/api/v4",
        "/api/v4/user",
        "/api/v4/projects",
        "/api/v4/projects/42",
        "/api/v4/projects/42/packages",
        "/api/v4/projects/42/packages/pypi/authorize",
        "/api/v4/projects/42/packages/npm/x",
        "/api/v4/projects/42/repository/archive.zip",
        "/api/v4/projects/42/packages/pypi/forward/x/files.example/x.whl",
        "/api/v4/projects/42/packages/pypi/simple/a/b",
        "/api/v4/projects/42/packages/pypi/simple/a%2Fb/",
        "/api/v4/projects/42/packages/pypi/simple/-/",
        "/api/v4/projects/42/packages/pypi/+simple/x/",
        "/api/v4/projects/acme/widgets/packages/pypi/simple/",
        "/api/v4/projects/%20/packages/pypi/simple/",
        "/api/v4/projects/4%202/packages/pypi/simple/",
        "/api/v4/projects//packages/pypi/simple/",
        "/api/v4/projects/acme%2F..%2Fx/packages/pypi/simple/",
        "/api/v4/projects/..%2Fuser/packages/pypi/simple/",
        "/api/v4/groups/7/packages/pypi/simple/",
        "/api/v4/groups/7/-/packages/pypi/../../../user",
        "/api/v3/projects/42/packages/pypi/simple/",
        "/API/v4/projects/42/packages/pypi/simple/",
        "/api/v4/projects/42/packages/pypi/files/abc/x.whl",
        "/api/v4/projects/42/packages/pypi/files//x.whl",
        "/-/nothing",
        "/-/metrics/",
        "/-/health",
        "/users/sign_in",
        "/.git/config",
        "//api/v4/projects/42/packages/pypi/simple/",
        "/api/v4//projects/42/packages/pypi/simple/",
        "/api/v4/projects/42//packages/pypi/simple/my-pkg/",
        "/api/v4/projects/42/packages//pypi/simple/my-pkg/",
        "/api/v4/projects/42/packages/pypi/simple/./my-pkg/",
        "/api/v4/projects/42/packages/pypi/simple/../simple/my-pkg/",
        "/api/v4/projects/42/packages/pypi/simple/..",
        "/api/v4/projects/42/packages/pypi/simple/%2e%2e/",
        "/api/v4/projects/42/packages/pypi/simple/%2E%2E/x/",
        "/api/v4/projects/42/packages/pypi/simple/.%2e/",
        "/api/v4/projects/42/packages/pypi/simple/my-pkg%00/",
        "/api/v4/projects/42/packages/pypi/simple/my%0d%0apkg/",
        "/api/v4/projects/42/packages/pypi/simple/my%252dpkg/",
        "/api/v4/projects/42/packages/pypi/simple/my%2525pkg/",
        "/api/v4/projects/42/packages/pypi/simple/my\\pkg/",
        "/api/v4/projects/42/packages/pypi/simple/my%5cpkg/",
        "/api/v4/projects/42/packages/pypi/simple/my-pkg;x=y/",
        "/api/v4/projects/42/packages/pypi/simple/my-pkg%3bx/",
        "/api/v4/projects/42/packages/pypi/simple/my-pkg%23x/",
        "/api/v4/projects/42/packages/pypi/simple/my-pkg%3fx/",
        "/api/v4/projects/42/packages/pypi/simple/%ff/",
        "/api/v4/projects/42/packages/pypi/simple/%zz/",
        "/api/v4/projects/42/packages/pypi/simple/%c3%a4/",
    ];
    let mut lines: Vec<(String, &'static [u16])> = paths
        .iter()
        .map(|path| (format!("GET {path}"), &[400, 404][..]))
        .collect();
    for name in [
        "..",
        "%2e%2e%2fx.whl",
        "..%2fx.whl",
        "x%2fy.whl",
        "x%00.whl",
        "x%5c.whl",
        "x",
        "x.whl/",
        ".whl",
    ] {
        lines.push((format!("GET {project}/files/{sha}/{name}"), &[400, 404]));
    }
    for prefix in ["ftp://x", "file://", "http://user:word@x", "http://x:port"] {
        lines.push((format!("GET {prefix}{project}/simple/"), &[400]));
        lines.push((format!("POST {prefix}{project}"), &[400]));
    }
    // A URL is larder's own path, whosever name is in it.
    for prefix in [elsewhere, "http://gitlab.com", "https://127.0.0.1"] {
        lines.push((format!("GET {prefix}/api/v4/user"), &[404]));
        lines.push((format!("POST {prefix}{project}/simple/"), &[405]));
    }
    let host = elsewhere.trim_start_matches("http://");
    for (line, statuses) in [
        (format!("CONNECT {host}"), &[400, 404, 405][..]),
        ("CONNECT gitlab.com:443".to_owned(), &[400, 404, 405]),
        (format!("GET {host}"), &[400]),
        ("OPTIONS *".to_owned(), &[204]),
        ("GET *".to_owned(), &[400]),
        (
            "GET api/v4/projects/42/packages/pypi/simple/".to_owned(),
            &[400],
        ),
        ("GET ?x".to_owned(), &[400]),
        (format!("POST {project}/simple/"), &[405]),
        (format!("POST {project}/authorize"), &[404]),
        ("POST /api/v4/groups/7/-/packages/pypi".to_owned(), &[404]),
        (format!("GET {project}"), &[405]),
        (format!("POST {project}/files/{sha}/x.whl"), &[405]),
        ("POST /-/metrics".to_owned(), &[405]),
    ] {
        lines.push((line, statuses));
    }
    for method in [
        "TRACE", "OPTIONS", "PUT", "PATCH", "DELETE", "PROPFIND", "PURGE", "get", "X",
    ] {
        for target in [
            format!("{project}/simple/my-pkg/"),
            format!("{project}/files/{sha}/x.whl"),
            project.to_owned(),
        ] {
            lines.push((format!("{method} {target}"), &[405]));
        }
    }
    lines
}

#[test]
fn r27_r29_what_is_no_address_of_larders_never_reaches_anybody() {
    let gitlab = GitLab::start();
    let elsewhere = Canary::new();
    let larder = Larder::start(&gitlab);
    let mut flaws = Vec::new();
    for (line, statuses) in foreign_lines(&elsewhere.url()) {
        let head = format!(
            "{line} HTTP/1.1\r\nHost: {}\r\nPRIVATE-TOKEN: {}\r\n",
            elsewhere.host(),
            token::DEVELOPER
        );
        let reply = larder
            .client()
            .raw(format!("{head}Content-Length: 0\r\nConnection: close\r\n\r\n").as_bytes());
        if !statuses.contains(&reply.status)
            || gitlab.log().len() + gitlab.log().unexpected().len() > 0
        {
            flaws.push(format!(
                "{line}: wanted {statuses:?}, got {reply:?}; GitLab got {:?}",
                targets(&gitlab)
            ));
            gitlab.log().clear();
        }
        if reply.status == 405 && reply.header("Allow").is_none() {
            flaws.push(format!("{line}: 405 without Allow"));
        }
        if line.starts_with("TRACE") && reply.text().contains(token::DEVELOPER) {
            flaws.push(format!("{line}: echoes the request"));
        }
    }
    assert!(flaws.is_empty(), "{}", flaws.join("\n\n"));
    elsewhere.assert_nobody_came("request lines");
    assert_eq!(gitlab.log().connections_opened(), 0);
}

#[test]
fn r25_a_credential_in_the_query_is_refused_with_the_way_out() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let page = path::project_page(42, "my-pkg");
    for name in [
        "private_token",
        "access_token",
        "bearer_token",
        "job_token",
        "deploy_token",
        "Private%5FToken",
    ] {
        for query in [
            format!("?{name}=canary"),
            format!("?a=b&{name}=canary"),
            format!("?x;{name}=canary"),
        ] {
            for method in ["GET", "HEAD"] {
                let reply = reader(&larder).request(method, &format!("{page}{query}"), &[]);
                assert_eq!(reply.status, 400, "{method} {query}: {reply:?}");
                assert_eq!(
                    reply.header("Content-Type"),
                    Some("application/problem+json")
                );
                for words in [
                    reply.reason.clone(),
                    if method == "GET" {
                        reply.text()
                    } else {
                        reply.reason.clone()
                    },
                ] {
                    assert!(
                        words.contains("PRIVATE-TOKEN") && !words.contains("canary"),
                        "{query}: {words}"
                    );
                }
            }
        }
    }
    assert!(
        gitlab.log().is_empty() && !larder.log().contains("canary"),
        "{}",
        larder.log()
    );
    // Any other query is dropped, and is no key.
    for query in ["", "?format=text", "?cachebuster=1", "?"] {
        reader(&larder).get(&format!("{page}{query}")).expect(200);
    }
    assert_eq!(targets(&gitlab), [page]);
}

#[test]
fn names_slashes_and_ids_reach_gitlab_in_one_spelling() {
    let gitlab = GitLab::builder()
        .holding(|universe| {
            universe.publish(42, Distribution::new("Foo_Bar", "1.0").wheel());
        })
        .start();
    let larder = Larder::start(&gitlab);
    let client = reader(&larder);
    let base = "/api/v4/projects/42/packages/pypi/simple";
    let first = client.get(&format!("{base}/foo-bar/"));
    for spelling in [
        "foo-bar",
        "foo-bar/",
        "Foo_Bar",
        "foo.bar/",
        "FOO--BAR",
        "foo_-.bar/",
    ] {
        let reply = client.get(&format!("{base}/{spelling}"));
        assert_eq!(reply.expect(200), first.body, "{spelling}");
        assert_eq!(
            reply.header("Cache-Status"),
            Some("larder; hit"),
            "{spelling}"
        );
    }
    for spelling in ["", "/"] {
        client.get(&format!("{base}{spelling}")).expect(200);
    }
    assert_eq!(
        targets(&gitlab),
        [format!("{base}/foo-bar/"), format!("{base}/")]
    );

    gitlab.log().clear();
    let wheel = wheel();
    let by_path = [
        "/api/v4/projects/acme%2Fwidgets/packages/pypi/simple/my-pkg/".to_owned(),
        "/api/v4/groups/acme%2Fsub/-/packages/pypi/simple/gear/".to_owned(),
        "/api/v4/groups/acme/-/packages/pypi/simple/".to_owned(),
        format!(
            "/api/v4/projects/acme%2Fwidgets/packages/pypi/files/{}/{}",
            wheel.sha256, wheel.filename
        ),
    ];
    for address in &by_path {
        client.get(address).expect(200);
    }
    assert_eq!(targets(&gitlab), by_path, "encoded slashes stay encoded");
    gitlab.log().assert_nothing_unexpected();
}

#[test]
fn a_plus_in_a_file_name_is_the_same_file_in_both_spellings() {
    let artifact = Artifact::opaque(
        "torch",
        "1.0+cu118",
        "torch-1.0+cu118-py3-none-any.whl",
        &b"some bytes"[..],
    );
    let gitlab = GitLab::start();
    gitlab.publish(42, &artifact);
    let larder = Larder::start(&gitlab);
    let file = path::project_file(42, &artifact);
    for spelling in [
        file.clone(),
        file.replace('+', "%2B"),
        file.replace('+', "%2b"),
    ] {
        assert_eq!(
            reader(&larder).get(&spelling).expect(200),
            artifact.bytes,
            "{spelling}"
        );
    }
    assert_eq!(
        (targets(&gitlab), gitlab.log().file_bodies().transfers),
        (vec![file], 1)
    );
}

#[test]
fn a_relative_root_and_another_external_url_are_handled() {
    for storage in [Storage::Disk, Storage::Redirect] {
        let gitlab = GitLab::builder()
            .relative_root("/gitlab")
            .storage(storage)
            .start();
        let larder = Larder::builder(&gitlab)
            .gitlab_setting("external_urls = [\"https://gitlab.example.com/git/\"]")
            .sections("[index]\nttl = \"0s\"")
            .start();
        let wheel = wheel();
        let link = format!(
            "href=\"{}#sha256={}\"",
            path::project_file(42, &wheel),
            wheel.sha256
        );
        for external in [None, Some("https://gitlab.example.com/git".to_owned())] {
            gitlab.set(|settings| settings.external_url.clone_from(&external));
            let page = reader(&larder).get(&path::project_page(42, "my-pkg"));
            assert!(
                page.text().contains(&link) && !page.text().contains("://"),
                "{external:?}: {page:?}"
            );
            let index = reader(&larder).get(&path::project_index(42)).text();
            assert!(
                index.contains("href=\"/api/v4/projects/42/packages/pypi/simple/my-pkg\""),
                "{index}"
            );
        }
        assert_eq!(
            reader(&larder)
                .get(&path::project_file(42, &wheel))
                .expect(200),
            wheel.bytes
        );
        gitlab.log().assert_nothing_unexpected();
        for entry in gitlab
            .log()
            .entries()
            .into_iter()
            .filter(|entry| entry.kind != Kind::Object)
        {
            assert!(
                entry.head.target.starts_with("/gitlab/api/v4/"),
                "{}",
                entry.head
            );
        }
        // The root is GitLab's: it is no address of larder's.
        assert_eq!(
            reader(&larder)
                .get(&format!("/gitlab{}", path::project_index(42)))
                .status,
            404
        );
    }
}

#[test]
fn an_unlisted_external_url_is_left_alone_and_the_log_says_what_to_add() {
    let external = "https://gitlab.elsewhere.example:8443/sub";
    let gitlab = GitLab::builder()
        .set(|settings| settings.external_url = Some(external.to_owned()))
        .start();
    let larder = Larder::start(&gitlab);
    let direct = Client::new(gitlab.address()).token(token::READER);
    for address in [
        path::project_page(42, "my-pkg"),
        path::project_index(42),
        path::group_page(7, "my-pkg"),
    ] {
        assert_eq!(
            reader(&larder).get(&address).expect(200),
            direct.get(&address).expect(200),
            "{address}"
        );
    }
    larder.wait_for_log(external);
    let log = larder.log();
    let lines: Vec<_> = log.lines().filter(|line| line.contains(external)).collect();
    assert_eq!(lines.len(), 1, "said once: {log}");
    assert!(lines[0].contains("gitlab.external_urls"), "{log}");
}

#[test]
fn public_url_adds_the_path_of_a_proxy_in_front() {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab)
        .setting("public_url = \"https://mirror.example/larder/\"")
        .start();
    let page = reader(&larder)
        .get(&path::project_page(42, "my-pkg"))
        .text();
    let link = format!("href=\"/larder{}#sha256=", path::project_file(42, &wheel()));
    assert!(
        page.contains(&link) && !page.contains("mirror.example"),
        "{page}"
    );
}

/// A page of `my-pkg` in project 42 with these links, and what larder makes of it.
fn page_with_links(gitlab: &GitLab, larder: &Larder, links: &[String]) -> Reply {
    let links: String = links
        .iter()
        .map(|link| format!("<a href=\"{link}\">x</a>\n"))
        .collect();
    let html = format!(
        "<!DOCTYPE html><html><head><title>Links for x</title></head><body>{links}</body></html>"
    );
    let answer = Answer::new(200)
        .header("Content-Type", "text/html")
        .body(html);
    gitlab.plan(Act::Answer(answer).at(Kind::Page));
    let reply = reader(larder).get_with(
        &path::project_page(42, "my-pkg"),
        &[("Cache-Control", "no-cache")],
    );
    gitlab.behave();
    reply
}

#[test]
fn r28_no_link_on_a_page_leads_larder_anywhere() {
    let gitlab = GitLab::start();
    let canary = Canary::new();
    let larder = Larder::start(&gitlab);
    let wheel = wheel();
    let file = path::project_file(42, &wheel);
    let sha = "7".repeat(64);
    let absent = format!("/api/v4/projects/42/packages/pypi/files/{sha}/x-1.0-py3-none-any.whl");
    let foreign = [
        format!("{}{absent}#sha256={sha}", canary.url()),
        format!("//{}{absent}", canary.host()),
        format!("http://{}@{}{absent}", gitlab.address(), canary.host()),
        format!("{}/simple/my-pkg/", canary.url()),
        format!("http://{}{absent}#sha256={sha}", canary.named_host()),
        format!("http://localhost:{}{absent}", gitlab.address().port()),
        format!("https://{}{absent}", gitlab.address()),
        "file:///etc/passwd".to_owned(),
        "javascript:alert(1)".to_owned(),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        format!("{}/api/v4/user", gitlab.url()),
        format!(
            "{}/api/v4/projects/42/packages/pypi/forward/x/files.example/x.whl",
            gitlab.url()
        ),
        format!(
            "{}/api/v4/projects/42/packages/pypi/files//x.whl#sha256=",
            gitlab.url()
        ),
        format!(
            "{}/api/v4/projects/42/packages/pypi/../../../user",
            gitlab.url()
        ),
        format!("{}{absent}?private_token=x", gitlab.url()),
    ];
    let mut links = foreign.to_vec();
    links.push(format!("{}{file}#sha256={}", gitlab.url(), wheel.sha256));
    let page = page_with_links(&gitlab, &larder, &links);
    let text = String::from_utf8(page.expect(200).to_vec()).expect("text");
    for link in &foreign {
        // A relative link, also one that lacks but the scheme, is meant from GitLab's page.
        let meant = if link.starts_with("//") {
            format!("http:{link}")
        } else {
            link.clone()
        };
        assert!(
            text.contains(&format!("<a href=\"{meant}\">")),
            "{link} was changed: {text}"
        );
    }
    assert!(
        text.contains(&format!("<a href=\"{file}#sha256={}\">", wheel.sha256)),
        "{text}"
    );
    // Asked for by its path, a foreign file is GitLab's to know.
    assert_eq!(reader(&larder).get(&absent).status, 404);
    canary.assert_nobody_came("links of a page");
    gitlab.log().assert_nothing_unexpected();
}

#[test]
fn r28_no_redirect_leads_larder_off_its_list() {
    let gitlab = GitLab::start();
    let canary = Canary::new();
    let larder = Larder::start(&gitlab);
    let (host, name) = (canary.host(), canary.named_host());
    let file = path::project_file(42, &wheel());
    let page = path::project_page(42, "my-pkg");
    let locations = [
        format!("http://{host}/bucket/x?X-Amz-Signature=canary"),
        format!("//{host}/bucket/x"),
        format!("http://{name}/bucket/x?X-Amz-Signature=canary"),
        format!("https://{name}/bucket/x?X-Amz-Signature=canary"),
        format!("//{name}/bucket/x"),
        format!("http://user:canary@{host}/x"),
        format!("https://{host}/x"),
        "file:///etc/passwd".to_owned(),
        "https://169.254.169.254/x".to_owned(),
        "/users/sign_in".to_owned(),
        format!("http://{host}/users/sign_in"),
        String::new(),
        "::".to_owned(),
    ];
    for status in [301, 302, 303, 307, 308] {
        for location in &locations {
            let answer = Answer::new(status).header("Location", location.clone());
            let fault = gitlab.plan(Act::Answer(answer).at(Site::Anywhere));
            for address in [&page, &file] {
                for method in ["GET", "HEAD"] {
                    let reply = reader(&larder).request(method, address, &[]);
                    let case = format!("{status} to {location:?}: {method} {address}");
                    assert_eq!(reply.status, 502, "{case}: {reply:?}");
                    assert!(reply.header("Location").is_none(), "{case}: {reply:?}");
                    let told = format!("{reply:?}");
                    assert!(
                        !told.contains(&host) && !told.contains(&name) && !told.contains("canary"),
                        "{case}: {told}"
                    );
                    canary.assert_nobody_came(&case);
                }
            }
            fault.remove();
        }
    }
    assert!(
        !larder.log().contains("X-Amz") && !larder.log().contains("canary"),
        "{}",
        larder.log()
    );
    reader(&larder).get(&page).expect(200);
}

#[test]
fn r31_a_forward_to_the_public_index_is_passed_or_denied_and_never_followed() {
    let canary = Canary::new();
    let index = format!("http://{}", canary.named_host());
    let gitlab = GitLab::builder()
        .set(|settings| settings.public_index.clone_from(&index))
        .start();
    let gitlabs_404 = r#"{"message":"404 Package Not Found"}"#;
    for (forward, expected) in [("pass", 302), ("deny", 404)] {
        let larder = Larder::builder(&gitlab)
            .gitlab_setting(&format!("forward = {forward:?}"))
            .start();
        for scope in [
            "projects/42",
            "projects/acme%2Fwidgets",
            "groups/7/-",
            "groups/acme/-",
        ] {
            let address = format!("/api/v4/{scope}/packages/pypi/simple/No_Such.Thing/");
            for method in ["GET", "HEAD", "GET"] {
                let case = format!("{forward}, {scope}, {method}");
                let reply = reader(&larder).request(method, &address, &[]);
                assert_eq!(reply.status, expected, "{case}: {reply:?}");
                let location = (expected == 302).then(|| format!("{index}/simple/no-such-thing/"));
                assert_eq!(reply.header("Location"), location.as_deref(), "{case}");
                if expected == 404 && method == "GET" {
                    assert_eq!(reply.text(), gitlabs_404, "{case}");
                    assert!(!format!("{reply:?}").contains(&index), "{case}: {reply:?}");
                }
            }
        }
        // Nothing is forwarded that GitLab refuses first, nor any file.
        let private = path::project_page(42, "no-such-thing");
        assert_eq!(larder.client().get(&private).status, 401);
        assert_eq!(
            larder.client().token(token::STRANGER).get(&private).status,
            404
        );
        let absent = Distribution::new("no-such-thing", "1.0").wheel();
        assert_eq!(
            reader(&larder).get(&path::project_file(42, &absent)).status,
            404
        );
    }
    canary.assert_nobody_came("forwards");
    gitlab.log().assert_nothing_unexpected();
}
