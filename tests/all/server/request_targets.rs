//! Whom a request calls: `Host`, a URL in place of a path, `*`.

use crate::server::tls::Secured;
use crate::support::tls::{in_time, read, run};
use crate::support::{Client, GitLab, Kind, Larder, Reply, path, token};

fn page() -> String {
    path::project_page(42, "my-pkg")
}

/// A head with exactly these `Host` lines.
fn asked(client: &Client, line: &str, hosts: &[&str]) -> Reply {
    let hosts: String = hosts
        .iter()
        .map(|host| format!("Host: {host}\r\n"))
        .collect();
    client.raw(
        format!(
            "{line}\r\n{hosts}PRIVATE-TOKEN: {}\r\nConnection: close\r\n\r\n",
            token::READER
        )
        .as_bytes(),
    )
}

#[test]
fn a_url_in_place_of_a_path_is_taken_for_its_path() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let client = larder.client();
    for (line, host) in [
        (
            format!("GET http://{}{} HTTP/1.1", larder.address(), page()),
            "larder",
        ),
        (
            format!("GET https://larder.example{} HTTP/1.1", page()),
            "elsewhere.example",
        ),
        (
            format!("GET HTTP://[::1]:80{}?x HTTP/1.1", page()),
            "larder",
        ),
    ] {
        let reply = asked(&client, &line, &[host]);
        assert!(
            reply.status == 200 && reply.text().contains("My.Pkg"),
            "{line}: {reply:?}"
        );
    }
    let reply = asked(
        &client,
        &format!("HEAD http://larder{} HTTP/1.0", page()),
        &[],
    );
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(
        gitlab.log().count(Kind::Page),
        1,
        "nobody else is asked: {:?}",
        gitlab.log().entries()
    );
    for (line, hosts) in [
        (
            format!("GET http://user:word@larder{} HTTP/1.1", page()),
            &["larder"][..],
        ),
        (
            format!("GET http://larder:port{} HTTP/1.1", page()),
            &["larder"],
        ),
        (format!("GET http://larder{} HTTP/1.1", page()), &[]),
        (
            format!("GET http://larder{} HTTP/1.1", page()),
            &["larder", "larder"],
        ),
        (format!("GET ftp://larder{} HTTP/1.1", page()), &["larder"]),
    ] {
        let reply = asked(&client, &line, hosts);
        assert_eq!(reply.status, 400, "{line} {hosts:?}: {reply:?}");
    }
}

#[test]
fn a_request_names_its_host_once_and_well() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let client = larder.client();
    let own = larder.address().to_string();
    let line = |version: &str| format!("GET {} HTTP/{version}", page());
    for (version, hosts) in [
        ("1.1", &[own.as_str()][..]),
        ("1.1", &["larder.example:"]),
        ("1.1", &["[::1]:3141"]),
        ("1.0", &[]),
    ] {
        let reply = asked(&client, &line(version), hosts);
        assert_eq!(reply.status, 200, "{version} {hosts:?}: {reply:?}");
    }
    let before = gitlab.log().len();
    for (version, hosts) in [
        ("1.1", &[][..]),
        ("1.1", &["larder", "larder"]),
        ("1.1", &["larder", "evil.example"]),
        ("1.0", &["larder", "evil.example"]),
        ("1.1", &[""]),
        ("1.1", &["user@larder"]),
        ("1.1", &["larder:port"]),
        ("1.1", &["larder:99999"]),
        ("1.1", &["larder/path"]),
        ("1.1", &["larder example"]),
        ("1.1", &["a, b"]),
        ("1.1", &["[::1"]),
    ] {
        for target in [line(version), format!("GET /-/health/live HTTP/{version}")] {
            let mut wire = client.connect();
            let hosts_sent: String = hosts
                .iter()
                .map(|host| format!("Host: {host}\r\n"))
                .collect();
            wire.send(format!("{target}\r\n{hosts_sent}\r\n").as_bytes());
            let reply = wire.reply_to("GET");
            assert!(
                reply.status == 400 && reply.is_complete(),
                "{target} {hosts:?}: {reply:?}"
            );
            let closes = wire.closes_within(std::time::Duration::from_secs(3));
            assert!(closes, "{target} {hosts:?}: the connection stays open");
        }
    }
    assert_eq!(gitlab.log().len(), before);
}

#[test]
fn whoever_can_connect_may_not_call_by_a_foreign_url() {
    let gitlab = GitLab::start();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("token");
    std::fs::write(&file, token::READER).expect("a writable folder");
    let larder = Larder::builder(&gitlab)
        .gitlab_setting(&format!("token_file = {file:?}"))
        .start();
    let own = larder.address().to_string();
    let called = |authority: &str, host: &str| {
        larder.client().raw(
            format!(
                "GET http://{authority}{} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n",
                page()
            )
            .as_bytes(),
        )
    };
    assert_eq!(
        called(&own, "evil.example").status,
        200,
        "the URL has the last word"
    );
    let before = gitlab.log().len();
    let refused = called("evil.example", &own);
    assert_eq!(refused.status, 421, "{refused:?}");
    assert_eq!(
        gitlab.log().len(),
        before,
        "GitLab was asked in the operator's name"
    );
}

#[test]
fn larder_as_a_whole_tells_its_methods() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let reply = asked(&larder.client(), "OPTIONS * HTTP/1.1", &["larder"]);
    assert_eq!(reply.status, 204, "{reply:?}");
    assert_eq!(
        reply.header("Allow"),
        Some("GET, HEAD, POST, OPTIONS"),
        "{reply:?}"
    );
    assert!(
        reply.body.is_empty() && reply.header("Content-Length").is_none(),
        "{reply:?}"
    );
    assert_eq!(
        asked(&larder.client(), "GET * HTTP/1.1", &["larder"]).status,
        400
    );
    assert!(gitlab.log().is_empty());
}

#[test]
fn over_http2_a_host_unlike_the_authority_is_refused() {
    let gitlab = GitLab::start();
    let secured = Secured::start(&gitlab, "");
    let client = secured.http2();
    run(async {
        let mut sender = client.http2().await;
        let same = secured.address.to_string();
        for (host, status) in [(same.as_str(), 200), ("evil.example", 400)] {
            let mut request = client.get("/-/health/live", token::READER);
            request
                .headers_mut()
                .insert("host", host.parse().expect("a value"));
            let answer = read(
                in_time(sender.send_request(request))
                    .await
                    .expect("an answer"),
            )
            .await;
            assert_eq!(answer.status, status, "{host}: {answer:?}");
        }
        let mut request = client.get("/-/health/live", token::READER);
        request
            .headers_mut()
            .append("host", same.parse().expect("a value"));
        request
            .headers_mut()
            .append("host", same.parse().expect("a value"));
        let answer = read(
            in_time(sender.send_request(request))
                .await
                .expect("an answer"),
        )
        .await;
        assert_eq!(answer.status, 400, "{answer:?}");
    });
}
