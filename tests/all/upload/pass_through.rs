//! Uploads: passed on byte for byte and once, answered with GitLab's own words, and seen at once.

use std::time::Duration;

use crate::support::{
    Act, Answer, Artifact, Client, Distribution, Ended, Ending, FOR_EVER, GitLab, Kind, Larder,
    Reply, UploadKeeping, UploadLimit, path, token,
};

/// A boundary with every kind of letter that RFC 2046 allows.
const BOUNDARY: &str = "----'()+_,-./:=?x7";

pub(crate) fn content_type() -> String {
    format!("multipart/form-data; boundary=\"{BOUNDARY}\"")
}

/// A form as twine sends it: the fields, then the file.
pub(crate) fn form(file: &Artifact) -> Vec<u8> {
    let mut body = Vec::new();
    let fields = [
        (":action", "file_upload"),
        ("name", &file.name),
        ("version", &file.version),
        ("sha256_digest", &file.sha256),
        // Whoever decodes and encodes again would change this one.
        (
            "summary",
            "Gr\u{fc}\u{df}e \u{2713} %41 &amp; \"quoted\" \\ \t end",
        ),
    ];
    for (name, value) in fields {
        body.extend(
            format!(
                "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
            )
            .into_bytes(),
        );
    }
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"content\"; filename=\"{}\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n",
        file.filename
    );
    body.extend(head.into_bytes());
    body.extend(&file.bytes);
    body.extend(format!("\r\n--{BOUNDARY}--\r\n").into_bytes());
    body
}

/// How a raw client frames its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length,
    Chunked,
}

impl Framing {
    const BOTH: [Self; 2] = [Self::Length, Self::Chunked];

    fn head(
        self,
        client: &Client,
        path: &str,
        body_bytes: usize,
        more: &[(&str, &str)],
    ) -> Vec<u8> {
        let (kind, length) = (content_type(), body_bytes.to_string());
        let framing = match self {
            Self::Length => ("Content-Length", length.as_str()),
            Self::Chunked => ("Transfer-Encoding", "chunked"),
        };
        let mut headers = vec![("Content-Type", kind.as_str()), framing];
        headers.extend(more);
        client.head_text("POST", path, &headers).into_bytes()
    }

    /// A piece of the body as it goes over the wire; small chunks on purpose.
    fn piece(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Length => bytes.to_vec(),
            Self::Chunked => {
                let mut framed = Vec::new();
                for chunk in bytes.chunks(7001) {
                    framed.extend(format!("{:X};a=b\r\n", chunk.len()).into_bytes());
                    framed.extend(chunk);
                    framed.extend(b"\r\n");
                }
                framed
            }
        }
    }

    fn end(self) -> &'static [u8] {
        match self {
            Self::Length => b"",
            Self::Chunked => b"0\r\n\r\n",
        }
    }

    fn whole(self, client: &Client, path: &str, body: &[u8], more: &[(&str, &str)]) -> Vec<u8> {
        [
            self.head(client, path, body.len(), more),
            self.piece(body),
            self.end().to_vec(),
        ]
        .concat()
    }
}

fn developer(larder: &Larder) -> Client {
    larder.client().token(token::DEVELOPER)
}

pub fn upload(client: &Client, project: u64, file: &Artifact) -> Reply {
    client.post(&path::upload(project), &content_type(), &form(file))
}

/// Every address that shows a package of project 42, with the indexes.
fn pages(name: &str) -> Vec<String> {
    let scopes = [
        "projects/42/packages/pypi",
        "projects/acme%2Fwidgets/packages/pypi",
        "groups/7/-/packages/pypi",
        "groups/acme/-/packages/pypi",
    ];
    let both = |scope| {
        [
            format!("/api/v4/{scope}/simple/{name}/"),
            format!("/api/v4/{scope}/simple/"),
        ]
    };
    scopes.into_iter().flat_map(both).collect()
}

/// What a page must contain for this file: an index shows the name, a page the file.
fn shows(page: &str, file: &Artifact) -> String {
    if page.ends_with("/simple/") {
        format!(">{}<", file.name)
    } else {
        format!(">{}<", file.filename)
    }
}

#[test]
fn r32_an_upload_reaches_gitlab_byte_for_byte_and_once() {
    let gitlab = GitLab::start();
    gitlab.change(|universe| {
        universe
            .token_mut(token::DEPLOY)
            .scopes
            .push("write_package_registry");
    });
    let larder = Larder::start(&gitlab);
    let anonymous = larder.client();
    let callers = [
        ("Authorization", anonymous.clone().token(token::DEVELOPER)),
        ("Authorization", anonymous.clone().bearer(token::DEVELOPER)),
        (
            "PRIVATE-TOKEN",
            anonymous.clone().private_token(token::DEVELOPER),
        ),
        (
            "Deploy-Token",
            anonymous.clone().deploy_token(token::DEPLOY),
        ),
    ];
    let addresses = [
        (
            "/api/v4/projects/42/packages/pypi",
            "/api/v4/projects/42/packages/pypi",
        ),
        (
            "/api/v4/projects/42/packages/pypi/",
            "/api/v4/projects/42/packages/pypi",
        ),
        (
            "/api/v4/projects/acme%2Fwidgets/packages/pypi",
            "/api/v4/projects/acme%2Fwidgets/packages/pypi",
        ),
    ];
    let mut count = 0;
    for (credential, client) in &callers {
        for (asked, forwarded) in addresses {
            for framing in Framing::BOTH {
                for expects in [false, true] {
                    let case = format!("{credential} {asked} {framing:?} expects={expects}");
                    count += 1;
                    let file = Artifact::noise("fresh", &format!("1.{count}"), 100_000);
                    let body = form(&file);
                    let mut more = vec![("User-Agent", "twine/7.0 probe"), ("Connection", "close")];
                    if expects {
                        more.push(("Expect", "100-continue"));
                    }
                    let before = gitlab.log().posts();

                    let mut wire = client.connect();
                    wire.send(&framing.head(client, asked, body.len(), &more));
                    // A client that expects would wait here; one that does not may send in crumbs.
                    let (first, rest) = body.split_at(1000);
                    wire.send(&framing.piece(first));
                    wire.send(&framing.piece(rest));
                    wire.send(framing.end());
                    let reply = wire.reply_to("POST");

                    assert_eq!(
                        reply.expect(201),
                        br#"{"message":"201 Created"}"#,
                        "{case}: {reply:?}"
                    );
                    assert_eq!(reply.interim.contains(&100), expects, "{case}: {reply:?}");
                    let sent = gitlab.uploads().pop().expect("an upload");
                    assert!(
                        sent.complete && sent.body.as_deref() == Some(&body[..]),
                        "{case}: other bytes"
                    );
                    assert_eq!(
                        gitlab.log().posts(),
                        before + 1,
                        "{case}: not exactly one POST"
                    );
                    assert_eq!(sent.head.target, forwarded, "{case}");
                    assert_eq!(
                        sent.head.header("Content-Type"),
                        Some(content_type().as_str()),
                        "{case}"
                    );
                    assert_eq!(
                        sent.head.header("User-Agent"),
                        Some("twine/7.0 probe"),
                        "{case}"
                    );
                    let announced = sent.head.header("Content-Length").map(str::to_owned);
                    let expected = (framing == Framing::Length).then(|| body.len().to_string());
                    assert_eq!(
                        announced, expected,
                        "{case}: the framing did not stay as it came"
                    );
                    let own = client.head_text("POST", "/", &[]);
                    let line = format!(
                        "{credential}: {}",
                        sent.head.header(credential).unwrap_or_default()
                    );
                    assert!(
                        own.contains(&format!("{line}\r\n")),
                        "{case}: {line:?} is not as it came"
                    );
                }
            }
        }
    }
    gitlab.log().assert_nothing_unexpected();
}

#[test]
fn r32_a_client_that_waits_to_be_asked_for_its_body_is_asked() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let client = developer(&larder);
    let file = Artifact::noise("fresh", "1.0", 50_000);
    let body = form(&file);
    let more = [("Expect", "100-continue"), ("Connection", "close")];
    let mut wire = client.connect();
    wire.send(&Framing::Length.head(&client, &path::upload(42), body.len(), &more));
    // Not one byte of the body before the interim answer.
    let mut interim = [0; 25];
    std::io::Read::read_exact(&mut wire.stream(), &mut interim).expect("an interim answer");
    assert_eq!(&interim, b"HTTP/1.1 100 Continue\r\n\r\n");
    wire.send(&body);
    wire.reply_to("POST").expect(201);
    assert_eq!(gitlab.uploads()[0].body.as_deref(), Some(&body[..]));
}

#[test]
fn r32_gitlabs_answer_to_an_upload_comes_back_as_it_is() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let client = developer(&larder);
    let taken = "400 Bad request - Validation failed: File name has already been taken";
    let answers = [
        Answer::message(201, "201 Created"),
        Answer::json(200, "{}"),
        Answer::message(202, "202 Accepted"),
        Answer::message(400, taken),
        Answer::error(400, "content is missing, name is missing"),
        Answer::challenged().header("X-Request-Id", "01HXYZ"),
        Answer::expired_token(),
        Answer::forbidden(),
        Answer::insufficient_scope("api"),
        Answer::not_found(),
        Answer::message(409, "409 Conflict: Resource lock"),
        Answer::new(413)
            .header("Content-Type", "text/plain; charset=utf-8")
            .body("entity is too large"),
        Answer::message(422, "422 Unprocessable Entity"),
        Answer::throttled(1),
        Answer::throttled(600),
        Answer::new(301)
            .header("Location", format!("{}/", gitlab.url()))
            .header("Cache-Control", "no-cache"),
        Answer::new(302)
            .header("Location", "https://sso.example/login")
            .body("moved"),
        Answer::new(307).header("Location", format!("{}{}", gitlab.url(), path::upload(43))),
        Answer::new(308).header("Location", "/api/v4/projects/43/packages/pypi"),
        Answer::message(500, "500 Internal Server Error"),
        Answer::html(502),
        Answer::html(503),
        Answer::message(503, "GitLab Maintenance: system is in maintenance mode"),
        Answer::html(504),
    ];
    let file = Distribution::new("fresh", "1.0").wheel();
    for answer in answers {
        for framing in Framing::BOTH {
            let case = format!("{} {framing:?} {:?}", answer.status, answer.body);
            let planned = gitlab.plan(Act::Answer(answer.clone()).at(Kind::Upload));
            gitlab.log().clear();

            let request = framing.whole(
                &client,
                &path::upload(42),
                &form(&file),
                &[("Connection", "close")],
            );
            let reply = client.raw(&request);

            assert!(reply.is_complete(), "{case}: {reply:?}");
            assert_eq!(
                (reply.status, &reply.body[..]),
                (answer.status, &answer.body[..]),
                "{case}"
            );
            // The name of the request is the caller's; GitLab's own is in the log.
            for (name, value) in answer
                .headers
                .iter()
                .filter(|(name, _)| name != "X-Request-Id")
            {
                // An address of GitLab's that larder has too is larder's.
                let value = value.replace(&format!("{}/api/", gitlab.url()), "/api/");
                assert_eq!(
                    reply.headers_named(name),
                    [&value],
                    "{case}: {name} in {reply:?}"
                );
            }
            for invented in ["WWW-Authenticate", "Location", "Retry-After"] {
                let given = answer
                    .headers
                    .iter()
                    .filter(|(name, _)| name == invented)
                    .count();
                assert_eq!(
                    reply.headers_named(invented).len(),
                    given,
                    "{case}: {invented} in {reply:?}"
                );
            }
            assert_eq!(
                (planned.hits(), gitlab.log().len()),
                (1, 1),
                "{case}: asked again, or followed"
            );
            planned.remove();
        }
    }
    gitlab.log().assert_nothing_unexpected();
}

#[test]
fn r32_a_refusal_reaches_a_client_that_is_still_sending() {
    let gitlab = GitLab::builder()
        .set(|settings| settings.upload_keeping = UploadKeeping::Digest)
        .start();
    let larder = Larder::start(&gitlab);
    let anonymous = larder.client().patience(Duration::from_secs(20));
    let body = form(&Artifact::noise("huge", "1.0", 30_000_000));
    let limit = UploadLimit::Workhorse(1000);
    let cases = [
        (401, anonymous.clone(), 42, UploadLimit::None),
        (
            401,
            anonymous.clone().token("nobody-knows"),
            42,
            UploadLimit::None,
        ),
        (
            403,
            anonymous.clone().token(token::READER),
            42,
            UploadLimit::None,
        ),
        (
            404,
            anonymous.clone().token(token::STRANGER),
            42,
            UploadLimit::None,
        ),
        (
            404,
            anonymous.clone().token(token::DEVELOPER),
            999,
            UploadLimit::None,
        ),
        (413, anonymous.clone().token(token::DEVELOPER), 42, limit),
    ];
    for (status, client, project, limit) in cases {
        gitlab.set(|settings| settings.upload_limit = limit);
        for framing in Framing::BOTH {
            let case = format!("{status} project {project} {framing:?}");
            gitlab.log().clear();
            let address = path::upload(project);

            // One that listens while it sends: the answer must not wait for the rest.
            let mut wire = client.connect();
            wire.send(&framing.head(&client, &address, body.len(), &[]));
            wire.send(&framing.piece(&body[..50_000]));
            let early = wire.reply_to("POST");
            assert!(
                early.status == status && early.is_complete(),
                "{case}, early: {early:?}"
            );
            drop(wire);

            // One that sends all of it before it listens: it must not be cut off on the way.
            let mut wire = client.connect();
            let sent =
                wire.send(&framing.whole(&client, &address, &body, &[("Connection", "close")]));
            let late = wire.reply_to("POST");
            assert!(sent, "{case}: cut while it was sending");
            assert!(
                late.status == status && late.is_complete(),
                "{case}, late: {late:?}"
            );

            assert_eq!(
                (early.body, late.body.clone()),
                (late.body.clone(), late.body),
                "{case}"
            );
            assert_eq!(gitlab.log().posts(), 2, "{case}");
            let received = gitlab
                .log()
                .of(Kind::Upload)
                .iter()
                .map(|entry| entry.body_received)
                .max();
            assert!(
                received < Some(10_000_000),
                "{case}: the refused body was passed on all the same"
            );
        }
    }
    larder.client().get("/-/health/ready").expect(200);
    gitlab.log().assert_nothing_unexpected();
}

#[test]
fn r32_an_upload_whose_answer_is_lost_is_a_gateway_error_and_never_sent_twice() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let client = developer(&larder);
    // Whether GitLab has stored it by then.
    let cases = [
        (
            "reset at the first bytes",
            Act::ResetUpload { after: 0 },
            false,
        ),
        (
            "reset in the middle",
            Act::ResetUpload { after: 400_000 },
            false,
        ),
        (
            "closed instead of an answer",
            Act::CutHead { after: 0 },
            true,
        ),
        (
            "closed within the answer's head",
            Act::CutHead { after: 12 },
            true,
        ),
        (
            "reset within the answer's body",
            Act::Reset { after: 5 },
            true,
        ),
        (
            "closed within the answer's body",
            Act::Close { after: 5 },
            true,
        ),
    ];
    for (count, (case, act, stored)) in cases.into_iter().enumerate() {
        for framing in Framing::BOTH {
            let file = Artifact::noise("fresh", &format!("{count}.{framing:?}"), 800_000);
            let planned = gitlab.plan(act.clone().at(Kind::Upload));
            gitlab.log().clear();
            let request = framing.whole(
                &client,
                &path::upload(42),
                &form(&file),
                &[("Connection", "close")],
            );

            let reply = client.raw(&request);

            assert!(
                matches!(reply.status, 502 | 504) && reply.is_complete(),
                "{case} {framing:?}: {reply:?}"
            );
            assert_eq!(
                reply.header("Content-Type"),
                Some("application/problem+json"),
                "{case}"
            );
            assert!(
                !reply.text().contains("127.0.0.1"),
                "{case}: an address in {reply:?}"
            );
            assert_eq!(
                (gitlab.log().posts(), planned.hits()),
                (1, 1),
                "{case} {framing:?}: sent again"
            );
            planned.remove();

            // Nobody knows whether it was stored, so the next reader must be told the truth.
            let page = client.get(&path::project_page(42, "fresh")).text();
            assert_eq!(
                page.contains(&file.filename),
                stored,
                "{case} {framing:?}: {page}"
            );
        }
    }
    gitlab.stop();
    let reply = upload(&client, 42, &Distribution::new("later", "1.0").wheel());
    assert!(
        reply.status == 504 && reply.is_complete(),
        "nobody there: {reply:?}"
    );
    gitlab.resume();
    upload(&client, 42, &Distribution::new("later", "1.0").wheel()).expect(201);
}

#[test]
fn r12_a_gitlab_that_takes_an_upload_and_never_answers_is_not_waited_for_without_end() {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab)
        .gitlab_setting("upload_timeout = \"500ms\"")
        .start();
    let client = developer(&larder);
    let cases = [
        (
            "silent after the whole body",
            Act::StallBeforeHead(FOR_EVER),
            100_000,
        ),
        (
            "reads no more of the body",
            Act::StallUpload {
                after: 100_000,
                time: FOR_EVER,
            },
            30_000_000,
        ),
    ];
    for (case, act, bytes) in cases {
        gitlab.log().clear();
        let planned = gitlab.plan(act.at(Kind::Upload));
        let file = Artifact::noise("fresh", "1.0", bytes);

        let reply = upload(&client, 42, &file);

        assert!(
            reply.status == 504 && reply.is_complete(),
            "{case}: {reply:?}"
        );
        assert_eq!(gitlab.log().posts(), 1, "{case}: sent again");
        planned.remove();
    }
}

#[test]
fn r32_a_client_that_leaves_in_mid_upload_ends_the_upload_at_gitlab_too() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let client = developer(&larder);
    for framing in Framing::BOTH {
        let file = Artifact::noise("fresh", &format!("1.{framing:?}"), 2_000_000);
        let body = form(&file);
        gitlab.log().clear();

        let mut wire = client.connect();
        wire.send(&framing.head(&client, &path::upload(42), body.len(), &[]));
        wire.send(&framing.piece(&body[..1_000_000]));
        gitlab.log().wait_until("half of it has come", |log| {
            log.of(Kind::Upload)
                .first()
                .is_some_and(|entry| entry.body_received >= 1_000_000)
        });
        drop(wire);

        gitlab.log().wait_until("GitLab sees it end", |log| {
            log.last(Kind::Upload).ended == Ended::PeerLeft
        });
        let broken = gitlab.uploads().pop().expect("an upload");
        assert!(
            !broken.complete,
            "{framing:?}: half a body was given a proper end"
        );
        let page = client.get(&path::project_page(42, "fresh")).text();
        assert!(!page.contains(&file.filename), "{framing:?}: {page}");
        upload(&client, 42, &file).expect(201);
        assert_eq!(gitlab.log().posts(), 2, "{framing:?}");
    }
}

#[test]
fn r32_a_client_that_pauses_in_mid_upload_is_given_up_after_the_configured_time() {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab)
        .sections("[limits]\nbody_timeout = \"300ms\"")
        .start();
    let client = developer(&larder);
    for framing in Framing::BOTH {
        let body = form(&Artifact::noise("fresh", "1.0", 200_000));
        let mut wire = client.connect();
        wire.send(&framing.head(&client, &path::upload(42), body.len(), &[]));
        wire.send(&framing.piece(&body[..100_000]));
        let reply = wire.reply_to("POST");
        assert_eq!(reply.status, 408, "{framing:?}: {reply:?}");
        gitlab.log().wait_until("GitLab sees it end", |log| {
            log.last(Kind::Upload).ended == Ended::PeerLeft
        });
        assert!(
            !gitlab.uploads().pop().expect("an upload").complete,
            "{framing:?}"
        );
        assert!(
            wire.closes_within(Duration::from_secs(5)),
            "{framing:?}: the connection stays open"
        );
    }
}

#[test]
fn r32_only_a_projects_upload_address_takes_a_post() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let client = developer(&larder);
    let wheel = Distribution::new("My.Pkg", "1.0.0")
        .requires_python(">=3.8")
        .wheel();
    let body = form(&wheel);
    let cases = [
        ("/api/v4/groups/7/-/packages/pypi", 404),
        ("/api/v4/groups/7/-/packages/pypi/", 404),
        ("/api/v4/groups/7/packages/pypi", 404),
        ("/api/v4/projects/42/packages/pypi/authorize", 404),
        ("/api/v4/projects/42/packages/npm", 404),
        ("/api/v4/projects/42/packages", 404),
        ("/api/v4/user", 404),
        ("/", 405),
        (&path::project_index(42), 405),
        (&path::project_page(42, "my-pkg"), 405),
        (&path::group_index(7), 405),
        (&path::project_file(42, &wheel), 405),
        ("/-/metrics", 405),
        ("/-/health/live", 405),
    ];
    for (address, status) in cases {
        let reply = client.post(address, &content_type(), &body);
        assert!(
            reply.status == status && reply.is_complete(),
            "{address}: {reply:?}"
        );
        if status == 405 {
            assert_eq!(reply.header("Allow"), Some("GET, HEAD"), "{address}");
        }
    }
    for method in ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        let reply = client.request(method, &path::upload(42), &[]);
        assert_eq!(
            (reply.status, reply.header("Allow")),
            (405, Some("POST")),
            "{method}: {reply:?}"
        );
    }
    assert!(
        gitlab.log().is_empty(),
        "something was passed on: {:?}",
        gitlab.log().entries()
    );
}

#[test]
fn r32_every_page_asked_for_after_an_upload_shows_the_file() {
    for (round, address) in [
        path::upload(42),
        "/api/v4/projects/acme%2Fwidgets/packages/pypi/".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        let gitlab = GitLab::start();
        let larder = Larder::start(&gitlab);
        let uploader = developer(&larder);
        let reader = larder.client().token(token::READER);
        // One more version of a package that is there, and a package that was not.
        let known = Distribution::new("My.Pkg", &format!("2.{round}")).wheel();
        let new = Distribution::new("Brand.New", "1.0").wheel();
        for (name, file) in [("my-pkg", &known), ("brand-new", &new)] {
            for page in pages(name) {
                // Twice, so that what is answered before the upload is as cached as can be.
                for _ in 0..2 {
                    let before = reader.get(&page);
                    let shown = before.status == 200 && before.text().contains(&file.filename);
                    assert!(
                        !shown && before.is_complete(),
                        "{page} before the upload: {before:?}"
                    );
                }
            }
        }
        for (name, file) in [("my-pkg", &known), ("brand-new", &new)] {
            uploader
                .post(address, &content_type(), &form(file))
                .expect(201);
            for page in pages(name) {
                let after = reader.get(&page);
                let wanted = shows(&page, file);
                assert!(
                    after.text().contains(&wanted),
                    "{page} after the upload to {address}: {after:?}"
                );
                let again = reader.get(&page);
                assert_eq!(
                    again.body, after.body,
                    "{page}: fell back to what was before"
                );
            }
            reader.get(&path::project_file(42, file)).expect(200);
        }
        gitlab.log().assert_nothing_unexpected();
    }
}

#[test]
fn r32_a_page_load_under_way_during_an_upload_does_not_hide_the_file() {
    for (scope, pause) in [
        ("projects/42", Kind::Page),
        ("groups/7/-", Kind::Page),
        ("projects/42", Kind::Index),
    ] {
        let gitlab = GitLab::start();
        let larder = Larder::start(&gitlab);
        let reader = larder.client().token(token::READER);
        let name = if pause == Kind::Page { "my-pkg/" } else { "" };
        let page = format!("/api/v4/{scope}/packages/pypi/simple/{name}");
        let file = Distribution::new(
            if pause == Kind::Page {
                "My.Pkg"
            } else {
                "Brand.New"
            },
            "2.0",
        )
        .wheel();
        let wanted = shows(&page, &file);
        // Prove the right first, so that later readers are ones who may join.
        reader
            .get(&format!("/api/v4/{scope}/packages/pypi/simple/"))
            .expect(200);
        upload(
            &developer(&larder),
            42,
            &Distribution::new("other", "1.0").wheel(),
        )
        .expect(201);

        let gate = crate::support::Gate::new();
        gitlab.plan(
            Act::Gate {
                after: 0,
                gate: gate.clone(),
            }
            .at(pause)
            .once(),
        );
        let early = std::thread::spawn({
            let (reader, page) = (reader.clone(), page.clone());
            move || reader.get(&page)
        });
        gate.wait_for(1);
        upload(&developer(&larder), 42, &file).expect(201);

        // GitLab composed the page that is under way before the upload.
        let during = reader.get(&page);
        assert!(
            during.text().contains(&wanted),
            "{page}, while the old one is under way: {during:?}"
        );
        gate.open();
        let old = early.join().expect("no panic");
        assert!(old.status == 200 && old.is_complete(), "{page}: {old:?}");
        let after = reader.get(&page);
        assert!(
            after.text().contains(&wanted),
            "{page}, after the old one came in: {after:?}"
        );
    }
}

#[test]
fn r32_an_upload_has_a_connection_of_its_own() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let client = developer(&larder);
    for round in 0..3 {
        client.get(&path::project_page(42, "my-pkg"));
        upload(
            &client,
            42,
            &Distribution::new("fresh", &format!("1.{round}")).wheel(),
        )
        .expect(201);
    }
    let entries = gitlab.log().entries();
    for post in entries.iter().filter(|entry| entry.kind == Kind::Upload) {
        let shared = entries
            .iter()
            .filter(|entry| entry.connection == post.connection)
            .count();
        assert_eq!(
            shared, 1,
            "a connection served an upload and something else: {entries:#?}"
        );
    }
    assert_eq!(gitlab.log().posts(), 3);
}

/// 30 MB through larder, also where GitLab reads slowly: the client waits, not larder's memory.
#[test]
fn r32_thirty_megabytes_of_upload_take_less_than_five_of_memory() {
    const MEGABYTE: u64 = 1_000_000;
    let gitlab = GitLab::builder()
        .set(|settings| settings.upload_keeping = UploadKeeping::Digest)
        .start();
    let larder = Larder::start(&gitlab);
    let client = developer(&larder).patience(Duration::from_secs(30));
    upload(&client, 42, &Distribution::new("small", "1.0").wheel()).expect(201);
    let body = form(&Artifact::noise("huge", "1.0", 30_000_000));
    for framing in Framing::BOTH {
        for stalls in [false, true] {
            let case = format!("{framing:?} stalls={stalls}");
            let pause = Act::StallUpload {
                after: 2_000_000,
                time: Duration::from_millis(500),
            };
            let planned = stalls.then(|| gitlab.plan(pause.at(Kind::Upload)));
            larder.forget_peak();
            let before = larder.resident_bytes();

            let request = framing.whole(
                &client,
                &path::upload(42),
                &body,
                &[("Connection", "close")],
            );
            let reply = client.raw(&request);

            reply.expect(201);
            let sent = gitlab.uploads().pop().expect("an upload");
            assert_eq!(
                sent.body_sha256,
                crate::support::wheel::sha256_hex(&body),
                "{case}"
            );
            let grown = larder.peak_resident_bytes().saturating_sub(before);
            println!(
                "{case}: {} kB more at the peak, {} kB before",
                grown / 1000,
                before / 1000
            );
            assert!(
                grown < 5 * MEGABYTE,
                "{case}: {grown} bytes more at the peak, {before} before"
            );
            if let Some(planned) = planned {
                planned.remove();
            }
        }
    }
}

#[test]
fn r32_an_upload_to_nowhere_is_over_in_time_and_leaves_nothing_behind() {
    // 64 uploads, all refused early, all by clients that never read: nothing must pile up.
    let gitlab = GitLab::builder()
        .set(|settings| settings.upload_keeping = UploadKeeping::Digest)
        .start();
    let larder = Larder::start(&gitlab);
    let client = larder.client();
    let body = form(&Artifact::noise("huge", "1.0", 300_000));
    client.get("/-/health/live").expect(200);
    let before = larder.open_files();
    let wires: Vec<_> = (0..64)
        .map(|_| {
            let mut wire = client.connect();
            wire.send(&Framing::Length.whole(&client, &path::upload(42), &body, &[]));
            wire
        })
        .collect();
    gitlab
        .log()
        .wait_until("all were refused", |log| log.posts() == 64);
    drop(wires);
    gitlab
        .log()
        .wait_until("all connections are closed", |log| {
            log.connections_open() == 0
        });
    gitlab.log().wait_until("no descriptor is left over", |_| {
        larder.open_files() <= before + 2
    });
    let reply = client.get("/-/health/live");
    assert_eq!(reply.ending, Ending::Complete);
}
