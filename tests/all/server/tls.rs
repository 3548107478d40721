//! TLS on the way in, and HTTP/2 over it: the same promises as over plain HTTP/1.1, and
//! certificates that change.

#![expect(clippy::disallowed_methods, reason = "tests own their files and tasks")]

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use rustls::CipherSuite;
use rustls::version::{TLS12, TLS13};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::common::delivery::eventually;
use crate::support::larder::Builder;
use crate::support::tls::{Fetched, in_time, read, run, shown};
use crate::support::{
    Artifact, Authority, Client, Distribution, GitLab, Larder, Pair, Site, TlsClient, Workbench,
    path, real_wheels, token,
};

pub const LOCAL: [&str; 2] = ["127.0.0.1", "localhost"];

/// A larder that speaks TLS beside plain HTTP, and whom to trust.
pub struct Secured {
    pub larder: Larder,
    pub authority: Authority,
    folder: TempDir,
    pub address: SocketAddr,
}

impl Secured {
    pub fn start(gitlab: &GitLab, more: &str) -> Self {
        Self::with(Larder::builder(gitlab), more)
    }

    pub fn with(builder: Builder, more: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let authority = Authority::new("larder's tests");
        let files = authority.server(&LOCAL).write(folder.path(), "larder");
        let larder = builder
            .sections(&format!("{}\n{more}", section("127.0.0.1:0", &files)))
            .start();
        let address = secure_address(&larder);
        Self {
            larder,
            authority,
            folder,
            address,
        }
    }

    pub fn client(&self, offers: &[&str]) -> TlsClient {
        TlsClient::new(self.address, &self.authority.pem(), offers)
    }

    pub fn http2(&self) -> TlsClient {
        self.client(&["h2"])
    }

    pub fn replace(&self, pair: &Pair) {
        pair.write(self.folder.path(), "larder");
    }
}

fn section(listen: &str, files: &(std::path::PathBuf, std::path::PathBuf)) -> String {
    format!(
        "[tls]\nlisten = {listen:?}\ncertificate = {:?}\nkey = {:?}\n",
        files.0, files.1
    )
}

fn secure_address(larder: &Larder) -> SocketAddr {
    let told = larder.listens_on();
    let secure = told.iter().find_map(|url| url.strip_prefix("https://"));
    let secure = secure.unwrap_or_else(|| panic!("no address with TLS in {told:?}"));
    secure.parse().expect("an address")
}

/// Without the origin, which HTTP/1.1 has in a field of its own.
fn as_http1(
    mut request: http::Request<http_body_util::Full<Bytes>>,
) -> http::Request<http_body_util::Full<Bytes>> {
    let path = request.uri().path_and_query().cloned().expect("a path");
    *request.uri_mut() = path.into();
    request
        .headers_mut()
        .insert("host", "localhost".parse().expect("a value"));
    request
}

/// Over HTTP/2. A stream that is reset at once may take its head with it: status 0 then.
pub async fn fetch(client: &TlsClient, path: &str) -> Fetched {
    let mut sender = client.http2().await;
    match in_time(sender.send_request(client.get(path, token::READER))).await {
        Ok(answer) => read(answer).await,
        Err(why) => Fetched {
            status: 0,
            headers: http::HeaderMap::new(),
            body: Vec::new(),
            broken: Some(format!("{why:?}")),
        },
    }
}

#[test]
fn alpn_chooses_and_every_answer_is_the_same() {
    let wheel = Distribution::new("demo", "1.0").payload(300_000).wheel();
    let gitlab = GitLab::start();
    gitlab.publish(42, &wheel);
    let secured = Secured::start(&gitlab, "");
    let (page, file) = (
        path::project_page(42, "demo"),
        path::project_file(42, &wheel),
    );
    let plain = secured.larder.client().token(token::READER);
    let file_body = plain.get(&file).expect(200).to_vec();
    // The page changes a little after that.
    eventually("its metadata is advertised", || {
        plain.get(&page).text().contains("data-core-metadata")
    });
    let page_body = plain.get(&page).expect(200).to_vec();
    run(async {
        for offers in [&["h2", "http/1.1"] as &[&str], &["h2"], &["http/1.1"], &[]] {
            let client = secured.client(offers);
            let agreed = client
                .connect()
                .await
                .expect("a handshake")
                .get_ref()
                .1
                .alpn_protocol()
                .map(<[u8]>::to_vec);
            assert_eq!(
                agreed.as_deref(),
                offers.first().map(|name| name.as_bytes()),
                "{offers:?}"
            );
            for (path, expected) in [(&page, &page_body), (&file, &file_body)] {
                for method in ["GET", "HEAD"] {
                    let request = client.request(method, path, token::READER, Bytes::new());
                    let answer = if offers.first() == Some(&"h2") {
                        client.http2().await.send_request(request).await
                    } else {
                        client.http1().await.send_request(as_http1(request)).await
                    };
                    let found = read(answer.expect("an answer")).await;
                    let case = format!("{offers:?} {method} {path}: {found:?}")
                        .chars()
                        .take(400)
                        .collect::<String>();
                    assert!(found.status == 200 && found.is_complete(), "{case}");
                    assert_eq!(
                        found.header("content-length"),
                        expected.len().to_string(),
                        "{case}"
                    );
                    let body = if method == "HEAD" {
                        &[]
                    } else {
                        expected.as_slice()
                    };
                    assert!(found.body == body, "{case}");
                    assert!(found.headers.get("cache-status").is_some(), "{case}");
                }
            }
        }
        // A range, a validator, an error with its words, and a path that leads elsewhere.
        let client = secured.http2();
        let mut sender = client.http2().await;
        let mut ask = async |name: &'static str, value: &str, path: &str| {
            let mut request = client.get(path, token::READER);
            request
                .headers_mut()
                .insert(name, value.parse().expect("a value"));
            read(
                in_time(sender.send_request(request))
                    .await
                    .expect("an answer"),
            )
            .await
        };
        let part = ask("range", "bytes=1000-1999", &file).await;
        assert_eq!(
            (part.status, part.body.as_slice()),
            (206, &file_body[1000..2000])
        );
        let etag = part.header("etag").to_owned();
        assert_eq!(ask("if-none-match", &etag, &file).await.status, 304);
        let missing = ask("accept", "text/html", "/nothing").await;
        assert!(
            missing.status == 404 && missing.body.starts_with(b"{"),
            "{missing:?}"
        );
        let wrong = ask("accept", "text/html", "/-/health/live").await;
        assert_eq!(
            (wrong.status, wrong.body.as_slice()),
            (200, b"ok\n".as_slice())
        );
        // Fields that HTTP/2 forbids would have broken the stream in this client.
        let body = client.request("GET", &page, token::READER, Bytes::from_static(b"x"));
        let refused = read(in_time(sender.send_request(body)).await.expect("an answer")).await;
        assert!(
            refused.status == 400 && refused.headers.get("connection").is_none(),
            "{refused:?}"
        );
    });
    gitlab.log().assert_nothing_unexpected();
}

#[test]
fn a_certificate_changes_while_connections_run() {
    let gitlab = GitLab::start();
    let file = Artifact::noise("big", "1.0", 3_000_000);
    gitlab.publish(42, &file);
    let secured = Secured::start(&gitlab, "");
    secured.larder.wait_for_log("the certificate is loaded");
    let gate = gitlab.hold(Site::FileBody, 1_000_000);
    let client = secured.http2();
    run(async {
        let first = client.certificate().await;
        let mut sender = client.http2().await;
        let request = client.get(&path::project_file(42, &file), token::READER);
        let answer = in_time(sender.send_request(request))
            .await
            .expect("an answer");

        secured.replace(
            &secured
                .authority
                .server_for(&LOCAL, Duration::from_hours(13 * 24)),
        );
        secured.larder.wait_for_log(
            "the certificate has changed: new connections see it, and ends in 12 days",
        );
        let second = client.certificate().await;
        assert_ne!(second, first);
        gate.open();
        let found = read(answer).await;
        assert!(
            found.is_complete() && found.body == file.bytes,
            "begun under the old certificate: {:?}",
            found.broken
        );
        let again = in_time(sender.send_request(client.get("/-/health/live", token::READER))).await;
        assert_eq!(again.expect("the old connection goes on").status(), 200);

        // A key of another certificate: the old pair stays, and the log says why.
        let other = secured.authority.server(&LOCAL);
        std::fs::write(secured.folder.path().join("larder.key"), &other.key)
            .expect("a writable folder");
        secured
            .larder
            .wait_for_log("does not belong to the certificate");
        assert_eq!(client.certificate().await, second);
        std::fs::write(secured.folder.path().join("larder.crt"), "nonsense")
            .expect("a writable folder");
        secured.larder.wait_for_log("there is no certificate in it");
        assert_eq!(client.certificate().await, second);
        std::fs::remove_file(secured.folder.path().join("larder.crt")).expect("a file of ours");
        assert_eq!(client.certificate().await, second);
        secured.replace(&other);
        let until = Instant::now() + Duration::from_secs(10);
        while client.certificate().await == second {
            assert!(Instant::now() < until, "the good pair was not taken");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

#[test]
fn a_certificate_behind_a_swapped_link_changes_too() {
    let gitlab = GitLab::start();
    let (folder, authority) = (
        tempfile::tempdir().expect("a temporary folder"),
        Authority::new("larder's tests"),
    );
    // As container platforms mount secrets: the files are links through a folder that is itself a
    // link.
    let generation = |name: &str| {
        let own = folder.path().join(name);
        std::fs::create_dir(&own).expect("a fresh folder");
        authority.server(&LOCAL).write(&own, "tls");
        let (new, data) = (folder.path().join("new"), folder.path().join("data"));
        std::os::unix::fs::symlink(name, &new).expect("a link");
        std::fs::rename(new, data).expect("a link");
    };
    generation("one");
    let files = ["tls.crt", "tls.key"].map(|name| {
        let link = folder.path().join(name);
        std::os::unix::fs::symlink(Path::new("data").join(name), &link).expect("a link");
        link
    });
    let [certificate, key] = files;
    let larder = Larder::builder(&gitlab)
        .sections(&section("127.0.0.1:0", &(certificate, key)))
        .start();
    let client = TlsClient::new(secure_address(&larder), &authority.pem(), &["h2"]);
    let first = run(client.certificate());
    generation("two");
    larder.wait_for_log("the certificate has changed");
    assert_ne!(run(client.certificate()), first);
}

#[test]
fn pip_and_uv_install_over_tls() {
    let gitlab = GitLab::start();
    for wheel in &real_wheels() {
        gitlab.publish(42, wheel);
    }
    let secured = Secured::start(&gitlab, "");
    let authority = secured
        .authority
        .write(secured.folder.path(), "authority")
        .display()
        .to_string();
    let index = format!(
        "https://__token__:{}@{}/api/v4/projects/42/packages/pypi/simple/",
        token::READER,
        secured.address
    );
    let there = |user: &Workbench| user.folder().join("site").join("requests").exists();
    let target = |user: &Workbench| user.folder().join("site").display().to_string();

    let user = Workbench::new();
    let arguments = [
        "install",
        "--no-compile",
        "--index-url",
        &index,
        "requests",
        "--target",
        &target(&user),
    ];
    let untrusted = user.pip(&[&arguments[..], &["--retries", "0"]].concat());
    assert!(
        !untrusted.succeeded() && !there(&user),
        "a stranger's certificate was believed"
    );
    user.pip(&[&arguments[..], &["--cert", &authority]].concat())
        .expect_success();
    assert!(there(&user));

    let user = Workbench::new().environment("SSL_CERT_FILE", &authority);
    let python = crate::support::python::program("python")
        .display()
        .to_string();
    let target = target(&user);
    let arguments = [
        "pip",
        "install",
        "--python",
        &python,
        "--target",
        &target,
        "--default-index",
        &index,
    ];
    user.uv(&[&arguments[..], &["requests"]].concat())
        .expect_success();
    assert!(there(&user));
    gitlab.log().assert_nothing_unexpected();
}

#[test]
fn plaintext_on_the_tls_address_is_told_so() {
    let gitlab = GitLab::start();
    let secured = Secured::start(&gitlab, "");
    let mut wire = Client::new(secured.address).connect();
    wire.send(b"GET /-/health/live HTTP/1.1\r\nhost: larder\r\n\r\n");
    let reply = wire.reply_to("GET");
    assert!(
        reply.status == 400 && reply.text().contains("use https://"),
        "{reply:?}"
    );
    assert!(wire.closes_within(Duration::from_secs(5)));
    // And TLS on the plain address is no request.
    let plain = TlsClient::new(secured.larder.address(), &secured.authority.pem(), &["h2"]);
    assert!(run(plain.connect()).is_err());
}

#[test]
fn whoever_is_slow_to_shake_hands_is_cut() {
    let gitlab = GitLab::start();
    let secured = Secured::start(
        &gitlab,
        "[limits]\nhandshake_timeout = \"300ms\"\nfirst_byte_timeout = \"300ms\"",
    );
    for begun in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01\x00"] {
        let mut wire = Client::new(secured.address).connect();
        wire.send(begun);
        let started = Instant::now();
        assert!(wire.closes_within(Duration::from_secs(5)), "{begun:?}");
        assert!(
            started.elapsed() >= Duration::from_millis(200),
            "{begun:?}: cut at once"
        );
    }
    // Nonsense after the first byte ends as an alert or a close, at once.
    let mut wire = Client::new(secured.address).connect();
    wire.send(b"\x16\x00\x00\x00\x00nonsense");
    let mut stream = wire.stream();
    let _ = stream.flush();
    wire.reply_to("GET");
    assert!(wire.closes_within(Duration::from_secs(5)));
    assert_eq!(run(fetch(&secured.http2(), "/-/health/live")).status, 200);
}

#[test]
fn faults_of_the_section_are_told_by_check_config() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let authority = Authority::new("larder's tests");
    let (certificate, key) = authority.server(&LOCAL).write(folder.path(), "larder");
    let (_, other) = authority.server(&LOCAL).write(folder.path(), "other");
    let file = folder.path().join("larder.toml");
    let check = |toml: &str| {
        std::fs::write(
            &file,
            format!("cache_dir = {:?}\n{toml}", folder.path().join("cache")),
        )
        .expect("a folder");
        let mut command = std::process::Command::new(crate::support::larder::binary());
        let output = command
            .arg("--config")
            .arg(&file)
            .arg("check-config")
            .output()
            .expect("the binary runs");
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stderr).into_owned(),
        )
    };
    let listen = "127.0.0.1:0";
    assert_eq!(
        check(&section(listen, &(certificate.clone(), key.clone()))),
        (Some(0), String::new())
    );
    for (toml, part) in [
        (
            section(listen, &(certificate.clone(), other)),
            "tls.key: it does not belong",
        ),
        (
            section(listen, &(key.clone(), key.clone())),
            "tls.certificate: there is no certificate",
        ),
        (
            section(listen, &(certificate.clone(), certificate.clone())),
            "tls.key: there is no private key",
        ),
        (
            section(listen, &(certificate.clone(), "/nowhere".into())),
            "tls.key: /nowhere",
        ),
        (
            format!(
                "{}min_version = \"1.1\"\n",
                section(listen, &(certificate.clone(), key.clone()))
            ),
            "tls.min_version",
        ),
        (
            "[tls]\nlisten = \"127.0.0.1:0\"\n".to_owned(),
            "tls.certificate: tls.listen is set",
        ),
        (
            format!("[tls]\nkey = {key:?}\n"),
            "tls.certificate: tls.key is set without it",
        ),
        (
            format!("[tls]\ncertificate = {certificate:?}\n"),
            "tls.key: tls.certificate is set without it",
        ),
        (
            format!(
                "listen = []\n{}",
                section("[]", &(certificate.clone(), key.clone())).replace("\"[]\"", "[]")
            ),
            "listen: there is no address",
        ),
        (
            format!(
                "{}[gitlab]\ntoken_file = \"/t\"\n",
                section("0.0.0.0:0", &(certificate, key.clone()))
            ),
            "gitlab.token_file",
        ),
    ] {
        let (code, said) = check(&toml);
        assert!(code == Some(78) && said.contains(part), "{part}: {said}");
    }
}

#[test]
fn only_the_versions_that_are_configured_are_spoken() {
    let gitlab = GitLab::start();
    let (folder, authority) = (
        tempfile::tempdir().expect("a temporary folder"),
        Authority::new("larder's tests"),
    );
    let files = authority.server(&LOCAL).write(folder.path(), "larder");
    let tls = section("127.0.0.1:0", &files);
    let with = |line: &str| Larder::builder(&gitlab).sections(&format!("{tls}{line}\n"));
    for (builder, speaks_the_older) in [
        (with(""), true),
        (with("min_version = \"1.2\""), true),
        (with("min_version = \"1.3\""), false),
        (
            with("").environment("LARDER_TLS__MIN_VERSION", "1.3"),
            false,
        ),
    ] {
        let larder = builder.clone().start();
        let speaks = |version| {
            let address = secure_address(&larder);
            run(TlsClient::speaking(&[version], address, &authority.pem(), &["h2"]).connect())
                .is_ok()
        };
        assert_eq!(
            (speaks(&TLS12), speaks(&TLS13)),
            (speaks_the_older, true),
            "{builder:?}"
        );
    }
}

#[test]
fn a_client_that_offers_aes_128_gets_it_though_it_would_rather_have_another() {
    let gitlab = GitLab::start();
    let secured = Secured::start(&gitlab, "");
    for (version, wanted) in [
        (&TLS13, CipherSuite::TLS13_AES_128_GCM_SHA256),
        (&TLS12, CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    ] {
        let authority = secured.authority.pem();
        // rustls' clients put AES-256 first.
        let client = TlsClient::speaking(&[version], secured.address, &authority, &["h2"]);
        let stream = run(client.connect()).expect("a handshake");
        let suite = stream.get_ref().1.negotiated_cipher_suite();
        assert_eq!(suite.map(|suite| suite.suite()), Some(wanted));
    }
}

#[test]
fn what_rustls_says_of_a_handshake_is_logged_from_the_level_on_that_asks_for_it() {
    const SAID: &str = "decided upon suite";
    let gitlab = GitLab::start();
    let secured = Secured::start(&gitlab, "");
    let larder = &secured.larder;
    run(secured.client(&["h2"]).connect()).expect("a handshake");
    let changed = larder.command(&["log-level", "info,rustls=debug"]);
    assert!(changed.status.success(), "{changed:?}");
    assert!(!larder.log().contains(SAID), "{:.800}", larder.log());
    run(secured.client(&["h2"]).connect()).expect("a handshake");
    larder.wait_for_log(SAID);
}

#[test]
fn sessions_are_resumed_after_a_reload_and_after_a_renewal() {
    let gitlab = GitLab::start();
    for version in [&TLS13, &TLS12] {
        let secured = Secured::start(&gitlab, "");
        let client = TlsClient::speaking(
            &[version],
            secured.address,
            &secured.authority.pem(),
            &["http/1.1"],
        );
        assert!(!run(client.resumes()), "nobody knows it yet");
        assert!(run(client.resumes()), "{version:?}");
        secured.larder.signal(Signal::HUP);
        secured
            .larder
            .wait_for_log("the configuration was read again and is in force");
        assert!(run(client.resumes()), "{version:?}: after a reload");
        let before = run(client.certificate());
        secured.replace(&secured.authority.server(&LOCAL));
        secured.larder.wait_for_log("the certificate has changed");
        assert_ne!(
            run(client.certificate()),
            before,
            "a stranger is shown the new one"
        );
        assert!(run(client.resumes()), "{version:?}: after a renewal");
    }
}

#[test]
fn until_when_the_certificate_is_good_is_told_everywhere() {
    const DAY: u32 = 24 * 3600;
    let gitlab = GitLab::start();
    let secured = Secured::start(&gitlab, "");
    let (larder, authority) = (&secured.larder, &secured.authority);
    let lasting = |days: u64| authority.server_for(&LOCAL, Duration::from_hours(days * 24));
    let json = |path: &str| {
        let reply = larder
            .client()
            .get_with(path, &[("Accept", "application/json")]);
        serde_json::from_slice::<serde_json::Value>(reply.expect(200)).expect("it is JSON")
    };
    for (pair, left, state, reason, code, verdict) in [
        (lasting(100), f64::from(100 * DAY), "good", None, 0, "ok"),
        (
            lasting(5),
            f64::from(5 * DAY),
            "ends_soon",
            Some("certificate_ends"),
            0,
            "warning",
        ),
        (
            authority.server_expired(&LOCAL),
            -3600.0,
            "expired",
            Some("certificate_invalid"),
            78,
            "problem",
        ),
        (
            authority.server_of_tomorrow(&LOCAL),
            f64::from(365 * DAY),
            "not_yet",
            Some("certificate_invalid"),
            78,
            "problem",
        ),
    ] {
        secured.replace(&pair);
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("after 1970")
            .as_secs_f64();
        eventually("the number is that of the new one", || {
            let ends = larder
                .metric("larder_certificate_expiry_timestamp_seconds{certificate=\"server\"}");
            ends.is_some_and(|ends| (ends - now - left).abs() < 120.0)
        });
        assert_eq!(json("/-/status")["certificate"]["state"], state);
        let ready = json("/-/health/ready");
        assert_eq!(ready["reasons"][0]["reason"].as_str(), reason, "{ready}");
        for key in ["state", "not_after"] {
            assert_eq!(
                ready["certificate"][key],
                json("/-/status")["certificate"][key],
                "{ready}"
            );
        }
        let told = json("/-/status")["certificate"].clone();
        let until = told["not_after"].as_str().expect("a date").to_owned();
        assert!(until.ends_with('Z') && until.len() == 20, "{told}");
        let page = larder
            .client()
            .get_with("/-/", &[("Accept", "text/html")])
            .text();
        assert!(
            page.contains("Certificate") && page.contains(&until),
            "{state}: {page}"
        );
        let checked = larder.command(&["check-config"]);
        let said = String::from_utf8_lossy(&[checked.stdout, checked.stderr.clone()].concat())
            .into_owned();
        assert_eq!(checked.status.code(), Some(code), "{state}: {said}");
        assert!(
            said.contains("tls.certificate: it ") && said.contains(&until),
            "{state}: {said}"
        );
        assert_eq!(checked.stderr.is_empty(), state == "good", "{said}");
        let examined =
            String::from_utf8_lossy(&larder.command(&["doctor", "--json"]).stdout).into_owned();
        let line = examined
            .lines()
            .find(|line| line.contains("\"check\":\"certificate\""))
            .expect("a finding");
        assert!(
            line.contains(&format!("\"verdict\":\"{verdict}\"")) && line.contains(&until),
            "{line}"
        );
    }
}

#[test]
fn a_key_that_everybody_can_read_is_warned_of() {
    let gitlab = GitLab::start();
    let (folder, authority) = (
        tempfile::tempdir().expect("a temporary folder"),
        Authority::new("larder's tests"),
    );
    let files = authority.server(&LOCAL).write(folder.path(), "larder");
    let start = || {
        Larder::builder(&gitlab)
            .sections(&section("127.0.0.1:0", &files))
            .start()
    };
    assert!(!start().log().contains("can read the private key"));
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    std::fs::set_permissions(&files.1, open).expect("a file of ours");
    start().wait_for_log("every user of this machine can read the private key");
}

#[test]
fn a_thousand_idle_and_slow_tls_connections_cost_little() {
    const EACH: usize = 500;
    let files = getrlimit(Resource::Nofile).maximum;
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: files,
            maximum: files,
        },
    )
    .expect("as many as there are");
    let gitlab = GitLab::start();
    let secured = Secured::start(&gitlab, "");
    let client = secured.http2();
    run(async {
        assert_eq!(fetch(&client, "/-/health/live").await.status, 200);
        let before = secured.larder.resident_bytes();
        let (mut idle, mut slow) = (Vec::new(), Vec::new());
        for _ in 0..EACH {
            // One has shaken hands and asked once; the other has only begun.
            let mut sender = client.http2().await;
            let live =
                in_time(sender.send_request(client.get("/-/health/live", token::READER))).await;
            assert_eq!(live.expect("an answer").status(), 200);
            idle.push(sender);
            let begun = tokio::net::TcpStream::connect(secured.address)
                .await
                .expect("a connection");
            begun
                .try_write(b"\x16\x03\x01\x02\x00")
                .expect("a fresh socket");
            slow.push(begun);
        }
        let started = Instant::now();
        assert_eq!(fetch(&client, "/-/health/live").await.status, 200);
        let (took, after) = (started.elapsed(), secured.larder.resident_bytes());
        let each = after.saturating_sub(before) / (2 * EACH as u64);
        println!(
            "before {} KiB, after {} KiB, {each} bytes each, one more took {took:?}",
            before >> 10,
            after >> 10
        );
        assert!(
            after < 256 << 20 && each < 128 << 10,
            "{each} bytes for each connection"
        );
        assert!(took < Duration::from_secs(2), "{took:?}");
    });
    assert_eq!(
        shown(&run(client.connect()).expect("a handshake")),
        run(client.certificate())
    );
}

#[test]
fn a_refused_body_over_tls_ends_in_the_answer_and_not_in_a_reset() {
    let gitlab = GitLab::start();
    let secured = Secured::start(&gitlab, "");
    let client = secured.client(&["http/1.1"]);
    let body = Bytes::from(vec![b'x'; 8_000_000]);
    run(async {
        for _ in 0..5 {
            // All of it is sent before anything is read, as http.client does it.
            let mut stream = client.connect().await.expect("a handshake");
            let head = format!(
                "POST /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n",
                body.len()
            );
            stream
                .write_all(head.as_bytes())
                .await
                .expect("a head is taken");
            in_time(stream.write_all(&body))
                .await
                .expect("the body is taken");
            let mut answer = Vec::new();
            let read = in_time(stream.read_to_end(&mut answer)).await;
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.starts_with("HTTP/1.1 404 "), "{read:?} {answer}");
        }
    });
}

#[test]
fn files_that_cannot_be_read_any_more_are_told_of() {
    let gitlab = GitLab::start();
    let secured = Secured::start(&gitlab, "");
    let key = secured.folder.path().join("larder.key");
    assert!(key.is_file(), "{key:?}");
    // As unreadable to root as a file of somebody else's is to others.
    std::fs::remove_file(&key).expect("a writable folder");
    std::fs::create_dir(&key).expect("a writable folder");
    secured
        .larder
        .wait_for_log("the new certificate or key is no good: the old ones stay in use");
    secured.larder.wait_for_log("tls.key");
    run(async { assert_eq!(fetch(&secured.http2(), "/-/health/live").await.status, 200) });
}
