//! What a page in somebody's browser could make larder do: nothing.

use crate::support::{
    Act, Answer, Distribution, GitLab, Kind, Larder, PublicIndex, Reply, path, token,
};
use crate::upload::pass_through::{content_type, form};

/// A page for clients, a page for people, and a file.
fn private(wheel: &crate::support::Artifact) -> [String; 3] {
    [
        path::project_page(42, "acme"),
        "/-/projects/42/acme".to_owned(),
        path::project_file(42, wheel),
    ]
}

fn called(larder: &Larder, host: &str, path: &str) -> Reply {
    let client = larder.client();
    let own = format!("Host: {}\r\n", larder.address());
    let head = client
        .head_text("GET", path, &[])
        .replace(&own, &format!("Host: {host}\r\n"));
    assert!(head.contains(host), "{head}");
    let mut wire = client.connect();
    wire.send(head.as_bytes());
    wire.reply_to("GET")
}

#[test]
fn a_page_uploads_nothing_whoever_looks_at_it() {
    let gitlab = GitLab::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let secret = folder.path().join("token");
    std::fs::write(&secret, token::DEVELOPER).expect("a writable folder");
    let own = Larder::start(&gitlab);
    let service = Larder::builder(&gitlab)
        .gitlab_setting(&format!("token_file = {secret:?}"))
        .start();
    let body = form(&Distribution::new("acme", "1.0").wheel());
    for (larder, client) in [
        (&own, own.client().token(token::DEVELOPER)),
        (&service, service.client()),
    ] {
        for (name, value) in [
            ("Origin", "https://evil.example"),
            ("Origin", "null"),
            ("Sec-Fetch-Site", "cross-site"),
            ("Sec-Fetch-Site", "same-origin"),
        ] {
            let reply =
                client
                    .clone()
                    .header(name, value)
                    .post(&path::upload(42), &content_type(), &body);
            assert!(
                reply.status == 403 && reply.reason.contains("browser"),
                "{name}: {value}: {reply:?}"
            );
        }
        assert_eq!(
            gitlab.log().posts(),
            0,
            "it reached GitLab\n{}",
            larder.log()
        );
    }
    let client = own
        .client()
        .token(token::DEVELOPER)
        .header("Sec-Fetch-Site", "none");
    client
        .post(&path::upload(42), &content_type(), &body)
        .expect(201);
}

#[test]
fn a_name_that_is_not_larders_opens_nothing_where_everybody_has_rights() {
    let gitlab = GitLab::start();
    let wheel = Distribution::new("acme", "1.0").wheel();
    gitlab.publish(42, &wheel);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let secret = folder.path().join("token");
    std::fs::write(&secret, token::DEVELOPER).expect("a writable folder");
    let token_file = format!("token_file = {secret:?}");
    let larder = Larder::builder(&gitlab).gitlab_setting(&token_file).start();
    let port = larder.address().port();
    for address in private(&wheel) {
        for known in [
            "127.0.0.1".to_owned(),
            format!("localhost:{port}"),
            format!("[::1]:{port}"),
        ] {
            called(&larder, &known, &address).expect(200);
        }
        let before = gitlab.log().len();
        let refused = called(&larder, &format!("evil.example:{port}"), &address);
        assert_eq!(refused.status, 421, "{address}: {refused:?}");
        assert!(
            refused.reason.contains("evil.example") && refused.reason.contains("public_url"),
            "{refused:?}"
        );
        assert_eq!(
            gitlab.log().len(),
            before,
            "GitLab was asked in the operator's name"
        );
    }
    for open in ["/-/", "/-/health/ready"] {
        called(&larder, "evil.example", open).expect(200);
    }

    // Where the caller's own credential decides, where the operator trusts the network, and by the
    // name he told.
    let own = Larder::start(&gitlab);
    called(&own, "evil.example", &private(&wheel)[0]).expect(401);
    for setting in [
        "trust_network = true",
        "public_url = \"http://larder.example/\"",
    ] {
        let larder = Larder::builder(&gitlab)
            .setting(setting)
            .gitlab_setting(&token_file)
            .start();
        for address in private(&wheel) {
            called(&larder, "larder.example:3141", &address).expect(200);
        }
    }
}

#[test]
fn nothing_that_others_wrote_runs() {
    let gitlab = GitLab::start();
    let wheel = Distribution::new("acme", "1.0").wheel();
    gitlab.publish(42, &wheel);
    let index = PublicIndex::builder()
        .offering(Distribution::new("public", "1.0").wheel())
        .start();
    let larder = Larder::builder(&gitlab).mirror("pypi", &index).start();
    let client = larder.client().token(token::READER);
    let html = ("Accept", "text/html");
    let answers = [
        (200, client.get_with("/pypi/simple/public/", &[html])),
        (200, client.get_with("/pypi/simple/", &[html])),
        (
            200,
            client.get_with(&path::project_page(42, "acme"), &[html]),
        ),
        (200, client.get(&path::project_file(42, &wheel))),
        (
            401,
            larder
                .client()
                .get_with(&path::project_page(42, "acme"), &[html]),
        ),
        (
            404,
            client.get_with(&path::project_page(42, "unknown-to-all"), &[html]),
        ),
        (404, client.get("/nowhere")),
        (200, client.get("/-/status")),
    ];
    for (status, reply) in answers {
        // GitLab's redirect for what it does not have is its own word too.
        assert!(reply.status == status || reply.status == 302, "{reply:?}");
        let kind = reply.header("Content-Type").unwrap_or_default();
        let inert =
            kind.contains("json") || ["application/octet-stream", "text/plain"].contains(&kind);
        let policy = reply.header("Content-Security-Policy");
        let sandbox = "default-src 'none'; sandbox allow-downloads";
        assert_eq!(policy, (!inert).then_some(sandbox), "{reply:?}");
        assert_eq!(
            reply.header("X-Content-Type-Options"),
            Some("nosniff"),
            "{reply:?}"
        );
    }
    let home = larder.client().get("/-/");
    let policy = home.header("Content-Security-Policy").expect("its own");
    assert!(
        policy.contains("sha256-") && !policy.contains("sandbox"),
        "{policy}"
    );

    // Not even if upstream says otherwise.
    let lax = Answer::new(404)
        .header("Content-Security-Policy", "script-src *")
        .body("<script>1</script>");
    gitlab.plan(Act::Answer(lax).at(Kind::Page));
    let reply = client.get_with(&path::project_page(42, "third"), &[html]);
    assert_eq!(reply.status, 404, "{reply:?}");
    let policies: Vec<_> = reply
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("content-security-policy"))
        .collect();
    assert!(
        policies.len() == 1 && policies[0].1.contains("sandbox"),
        "{reply:?}"
    );
}
