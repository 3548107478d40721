//! The two edges: what crosses from clients to GitLab and back, and what odd bytes on a socket
//! cause.

use std::time::Duration;

use crate::support::{
    Act, Answer, Artifact, Client, Distribution, Door, Ending, Entry, GitLab, Kind, Larder, Reply,
    Site, Storage, path, token,
};

const STORAGES: [Storage; 3] = [Storage::Disk, Storage::Redirect, Storage::Proxied];
const BASIC: &str = "Basic X190b2tlbl9fOnRlc3QtcmVhZGVy";

fn wheel() -> Artifact {
    Distribution::new("My.Pkg", "1.0.0")
        .requires_python(">=3.8")
        .wheel()
}

fn big() -> Artifact {
    Distribution::new("big", "1.0").payload(300_000).wheel()
}

fn page() -> String {
    path::project_page(42, "my-pkg")
}

/// What a hostile or careless client or proxy in front may send along.
const BAGGAGE: [(&str, &str); 34] = [
    ("Cookie", "_gitlab_session=canary"),
    ("X-Forwarded-For", "203.0.113.7"),
    ("X-Forwarded-Host", "evil.example"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Prefix", "/evil"),
    ("X-Real-IP", "203.0.113.7"),
    ("Forwarded", "for=203.0.113.7;host=evil.example"),
    ("Via", "1.1 elsewhere"),
    ("Connection", "keep-alive, X-Secret, TE"),
    ("X-Secret", "canary"),
    ("Keep-Alive", "timeout=600"),
    ("TE", "trailers"),
    ("Trailer", "X-Late"),
    ("Upgrade", "h2c"),
    ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
    ("Proxy-Authorization", "Basic Y2FuYXJ5"),
    ("Proxy-Connection", "keep-alive"),
    ("If-Modified-Since", "Tue, 02 Jan 2024 03:04:05 GMT"),
    ("If-Unmodified-Since", "Tue, 02 Jan 2001 03:04:05 GMT"),
    ("If-Match", "\"canary\""),
    ("If-None-Match", "W/\"canary\", \"other\""),
    ("If-Range", "\"canary\""),
    ("Range", "bytes=0-1,5-6,-1"),
    (
        "Accept",
        "application/vnd.pypi.simple.v1+json;q=1, canary/x",
    ),
    ("Accept-Encoding", "zstd, br, canary"),
    ("Accept-Language", "xx-canary"),
    ("User-Agent", "pip/canary"),
    ("Referer", "https://evil.example/canary"),
    ("Origin", "https://evil.example"),
    ("X-HTTP-Method-Override", "DELETE"),
    ("X-Original-URL", "/api/v4/user"),
    ("X-Rewrite-URL", "/api/v4/user"),
    ("JOB-TOKEN", "canary"),
    ("Sudo", "root"),
];

/// What a page is asked for with when the client speaks JSON.
const JSON_FIRST: &str = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.1";

/// The fields that may reach a door, beside credentials and validators of GitLab's own.
fn assert_is_larders_request(case: &str, gitlab: &GitLab) {
    for entry in gitlab.log().entries() {
        let host = match entry.door {
            Door::Store => gitlab.store_address(),
            _ => gitlab.address(),
        };
        let mut seen = Vec::new();
        for (name, value) in &entry.head.headers {
            let name = name.to_ascii_lowercase();
            assert!(
                !seen.contains(&name),
                "{case}: {name} twice: {:#?}",
                entry.head
            );
            let right = match (name.as_str(), entry.door) {
                ("host", _) => *value == host.to_string(),
                ("user-agent", _) => value.starts_with("larder/"),
                ("accept", Door::GitLab) => {
                    value == "text/html" || value == "*/*" || value == JSON_FIRST
                }
                ("accept", Door::Store) => value == "*/*",
                ("accept-encoding", _) => value == "gzip" || value == "identity",
                ("authorization", Door::GitLab) => value == BASIC,
                ("via", Door::GitLab) => value.starts_with("1.1 larder"),
                ("x-request-id", Door::GitLab) => {
                    value.len() == 32 && value.bytes().all(|b| b.is_ascii_hexdigit())
                }
                ("range", _) => value == "bytes=0-0" || value == "bytes=0-9",
                // Only ever what the stand-in itself gave out.
                ("if-none-match" | "if-modified-since" | "if-range", _) => {
                    !value.contains("canary")
                }
                _ => false,
            };
            assert!(
                right,
                "{case}: {name}: {value} reached {:?}: {:#?}",
                entry.door, entry.head
            );
            seen.push(name);
        }
        assert_eq!(
            (entry.head.method.as_str(), entry.body_received),
            ("GET", 0),
            "{case}"
        );
    }
}

#[test]
fn r26_every_field_that_reaches_upstream_is_larders_own() {
    for storage in STORAGES {
        let gitlab = GitLab::builder().storage(storage).start();
        gitlab.publish(42, big());
        // Fresh for no time, so that every request asks.
        let larder = Larder::builder(&gitlab)
            .sections("[index]\nttl = \"0s\"\n[auth]\ncache_ttl = \"0s\"")
            .start();
        let client = larder.client().token(token::READER);
        let addresses = [
            path::project_index(42),
            page(),
            path::group_index(7),
            path::group_page(7, "my-pkg"),
            path::project_file(42, &wheel()),
            path::group_file(7, &big()),
            path::project_page(42, "missing"),
        ];
        for address in &addresses {
            for method in ["HEAD", "GET", "GET"] {
                gitlab.log().clear();
                let reply = client.request(method, address, &BAGGAGE);
                assert!(
                    matches!(reply.status, 200 | 302),
                    "{storage:?}: {method} {address}: {reply:?}"
                );
                let case = format!("{storage:?}: {method} {address}");
                assert!(!gitlab.log().is_empty(), "{case}: nothing was asked");
                assert_is_larders_request(&case, &gitlab);
            }
            // One field at a time: none opens the door for itself.
            for baggage in BAGGAGE {
                gitlab.log().clear();
                client.get_with(address, &[baggage]);
                assert_is_larders_request(
                    &format!("{storage:?}: {address} with {baggage:?}"),
                    &gitlab,
                );
            }
        }
        gitlab.log().assert_nothing_unexpected();
    }
}

#[test]
fn r26_naming_the_credential_in_connection_does_not_strip_it() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let reader = larder.client().token(token::READER);
    let reply = reader.get_with(&page(), &[("Connection", "Authorization")]);
    reply.expect(200);
    assert_eq!(
        gitlab.log().last(Kind::Page).head.header("Authorization"),
        Some(BASIC)
    );
}

/// Fields that are GitLab's own business, and some it has no business to send.
fn laden(answer: Answer) -> Answer {
    [
        ("Set-Cookie", "_gitlab_session=canary"),
        ("X-Sendfile", "/srv/gitlab/canary"),
        ("X-Accel-Redirect", "/canary"),
        ("X-Runtime", "0.123"),
        ("Server", "canary"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Authenticate", "Basic"),
        ("Proxy-Connection", "keep-alive"),
        ("Trailer", "X-Late"),
        ("Upgrade", "h2c"),
        ("Alt-Svc", "h3=\":443\""),
        ("Strict-Transport-Security", "max-age=1"),
        ("Clear-Site-Data", "\"*\""),
        ("Access-Control-Allow-Origin", "*"),
        ("Gitlab-Workhorse-Send-Data", "canary"),
        ("X-Gitlab-Named", "canary"),
        ("RateLimit-Remaining", "7"),
        ("Connection", "X-Gitlab-Named"),
    ]
    .into_iter()
    .fold(answer, |answer, (name, value)| answer.header(name, value))
}

const COMMON: [&str; 6] = [
    "date",
    "connection",
    "cache-status",
    "content-type",
    "cache-control",
    "x-request-id",
];
const OF_PAGES: [&str; 6] = [
    "vary",
    "etag",
    "content-length",
    "age",
    "content-security-policy",
    "x-content-type-options",
];
const OF_FILES: [&str; 6] = [
    "vary",
    "etag",
    "content-length",
    "accept-ranges",
    "content-range",
    "x-content-type-options",
];
const OF_WORDS: [&str; 8] = [
    "content-security-policy",
    "content-length",
    "location",
    "www-authenticate",
    "retry-after",
    "x-content-type-options",
    "x-frame-options",
    "ratelimit-remaining",
];

#[track_caller]
fn assert_carries_only(case: &str, reply: &Reply, own: &[&str]) {
    for (name, value) in &reply.headers {
        let name = name.to_ascii_lowercase();
        let known = COMMON.contains(&name.as_str()) || own.contains(&name.as_str());
        assert!(
            known && !value.contains("canary"),
            "{case}: {name}: {value} came back: {reply:?}"
        );
    }
    assert_eq!(reply.headers_named("Date").len(), 1, "{case}");
}

#[test]
fn r26_nothing_hop_by_hop_or_private_comes_back_from_upstream() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let client = larder.client().token(token::READER);
    let wheel = wheel();
    let html = format!(
        "<!DOCTYPE html><html><head><title>Links for x</title></head><body><a href=\"{}{}\">x</a></body></html>",
        gitlab.url(),
        path::project_file(42, &wheel)
    );
    let good_page = Answer::new(200)
        .header("Content-Type", "text/html")
        .header("ETag", "W/\"1\"")
        .body(html);
    let good_file = Answer::new(200)
        .header("Content-Type", "application/octet-stream")
        .body(wheel.bytes.clone());
    gitlab.plan(
        Act::Answer(laden(good_page))
            .at(Kind::Page)
            .containing("/my-pkg/"),
    );
    gitlab.plan(Act::Answer(laden(good_file)).at(Kind::File));
    for _ in 0..2 {
        let reply = client.get(&page());
        reply.expect(200);
        assert_carries_only("page", &reply, &OF_PAGES);
        let reply = client.get(&path::project_file(42, &wheel));
        assert_eq!(reply.expect(200), wheel.bytes);
        assert_carries_only("file", &reply, &OF_FILES);
    }
    for status in [400, 401, 403, 404, 410, 429] {
        gitlab.behave();
        let word = Answer::message(status, "no").header("WWW-Authenticate", "Basic realm=\"x\"");
        gitlab.plan(Act::Answer(laden(word.header("Retry-After", "99"))).at(Site::Anywhere));
        for address in [
            path::project_page(42, "other"),
            path::project_file(42, &big()),
        ] {
            let reply = client.get(&address);
            assert_eq!(
                (reply.status, reply.text().as_str()),
                (status, "{\"message\":\"no\"}"),
                "{address}"
            );
            assert_eq!(reply.header("RateLimit-Remaining"), Some("7"), "{address}");
            assert_carries_only(&format!("{status} from {address}"), &reply, &OF_WORDS);
        }
    }
    gitlab.behave();
    let forward = Answer::new(302).header("Location", "https://public-index.invalid/simple/x/");
    gitlab.plan(Act::Answer(laden(forward)).at(Kind::Page));
    // The reader was told to wait.
    let reply = larder
        .client()
        .token(token::DEVELOPER)
        .get(&path::project_page(42, "x"));
    assert_eq!(reply.status, 302);
    assert_carries_only("forward", &reply, &OF_WORDS);
}

/// What may become of bytes that are no clean request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// 400 or no word at all, the connection is closed, and GitLab hears nothing.
    Refused,
    /// Refused, or read in the one sensible way: at most one request goes up, in canonical form.
    AtMostOne,
}

fn odd_requests() -> Vec<(&'static str, Vec<u8>, Fate)> {
    use Fate::{AtMostOne, Refused};
    let page = page();
    let smuggled = format!(
        "GET {} HTTP/1.1\r\nHost: x\r\n\r\n",
        path::project_index(42)
    );
    let upload = path::upload(42);
    let auth = format!("Host: x\r\nAuthorization: {BASIC}\r\n");
    let get = |rest: &str| format!("GET {page} HTTP/1.1\r\n{auth}{rest}").into_bytes();
    let post = |rest: &str| {
        format!("POST {upload} HTTP/1.1\r\n{auth}Content-Type: multipart/form-data; boundary=b\r\n{rest}")
            .into_bytes()
    };
    let n = smuggled.len();
    vec![
        (
            "GET with a body",
            get(&format!("Content-Length: {n}\r\n\r\n{smuggled}")),
            Refused,
        ),
        (
            "GET with chunks",
            get(&format!(
                "Transfer-Encoding: chunked\r\n\r\n{n:x}\r\n{smuggled}\r\n0\r\n\r\n"
            )),
            Refused,
        ),
        (
            "HEAD with a body",
            format!("HEAD {page} HTTP/1.1\r\n{auth}Content-Length: {n}\r\n\r\n{smuggled}")
                .into_bytes(),
            Refused,
        ),
        (
            "GET, TE and CL",
            get(&format!(
                "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n{smuggled}"
            )),
            Refused,
        ),
        (
            "GET, CL and TE",
            get(&format!(
                "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
            )),
            Refused,
        ),
        (
            "two lengths",
            get(&format!(
                "Content-Length: 0\r\nContent-Length: {n}\r\n\r\n{smuggled}"
            )),
            Refused,
        ),
        (
            "a list of lengths",
            get(&format!("Content-Length: 0, {n}\r\n\r\n{smuggled}")),
            Refused,
        ),
        (
            "a signed length",
            get("Content-Length: +0\r\n\r\n"),
            Refused,
        ),
        (
            "a negative length",
            get("Content-Length: -1\r\n\r\n"),
            Refused,
        ),
        (
            "a length in hex",
            get("Content-Length: 0x0\r\n\r\n"),
            Refused,
        ),
        (
            "a huge length",
            get("Content-Length: 99999999999999999999999\r\n\r\n"),
            Refused,
        ),
        (
            "an unknown transfer coding",
            get(&format!(
                "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n{smuggled}"
            )),
            Refused,
        ),
        (
            "chunked that is not last",
            get(&format!(
                "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n{smuggled}"
            )),
            Refused,
        ),
        (
            "a bad chunk size",
            get("Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n"),
            Refused,
        ),
        (
            "TE on HTTP/1.0",
            format!(
                "GET {page} HTTP/1.0\r\n{auth}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n{smuggled}"
            )
            .into_bytes(),
            Refused,
        ),
        ("obs-fold", get("X-A: b\r\n c\r\n\r\n"), Refused),
        (
            "a folded first field",
            format!("GET {page} HTTP/1.1\r\n Host: x\r\n\r\n").into_bytes(),
            Refused,
        ),
        ("a space before the colon", get("X-A : b\r\n\r\n"), Refused),
        ("a field without a name", get(": b\r\n\r\n"), Refused),
        ("a field without a colon", get("nonsense\r\n\r\n"), Refused),
        (
            "a bare CR in a value",
            get("X-A: b\rX-B: c\r\n\r\n"),
            Refused,
        ),
        ("NUL in a value", get("X-A: b\0c\r\n\r\n"), Refused),
        (
            "NUL in the target",
            format!("GET {page}\0 HTTP/1.1\r\n{auth}\r\n").into_bytes(),
            Refused,
        ),
        (
            "a bare CR in the request line",
            format!("GET {page}\rHTTP/1.1\r\n{auth}\r\n").into_bytes(),
            Refused,
        ),
        (
            "bare LF",
            format!("GET {page} HTTP/1.1\nHost: x\nAuthorization: {BASIC}\n\n").into_bytes(),
            AtMostOne,
        ),
        ("HTTP/0.9", format!("GET {page}\r\n").into_bytes(), Refused),
        (
            "HTTP/1.2",
            format!("GET {page} HTTP/1.2\r\n{auth}\r\n").into_bytes(),
            Refused,
        ),
        (
            "HTTP/2.0 as text",
            format!("GET {page} HTTP/2.0\r\n{auth}\r\n").into_bytes(),
            Refused,
        ),
        (
            "the HTTP/2 preface",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            Refused,
        ),
        (
            "two spaces",
            format!("GET  {page} HTTP/1.1\r\n{auth}\r\n").into_bytes(),
            Refused,
        ),
        (
            "a tab for a space",
            format!("GET\t{page} HTTP/1.1\r\n{auth}\r\n").into_bytes(),
            Refused,
        ),
        (
            "a space in the target",
            format!("GET {page} x HTTP/1.1\r\n{auth}\r\n").into_bytes(),
            Refused,
        ),
        (
            "empty lines first",
            format!("\r\n\r\nGET {page} HTTP/1.1\r\n{auth}\r\n").into_bytes(),
            AtMostOne,
        ),
        (
            "TLS",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(4),
            Refused,
        ),
        (
            "HTTP/1.0",
            format!("GET {page} HTTP/1.0\r\n{auth}\r\n").into_bytes(),
            AtMostOne,
        ),
        (
            "an upgrade",
            get("Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
            AtMostOne,
        ),
        (
            "an upgrade to h2c",
            get(
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
            ),
            AtMostOne,
        ),
        (
            "an expectation without a body",
            get("Expect: 100-continue\r\n\r\n"),
            AtMostOne,
        ),
        (
            "a length of nothing, twice",
            get("Content-Length: 0\r\nContent-Length: 0\r\n\r\n"),
            AtMostOne,
        ),
        (
            "upload, two lengths",
            post(&format!(
                "Content-Length: 4\r\nContent-Length: {n}\r\n\r\n{smuggled}"
            )),
            Refused,
        ),
        (
            "upload, a bad chunk size",
            post("Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n"),
            AtMostOne,
        ),
        (
            "upload, TE and CL",
            post("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"),
            AtMostOne,
        ),
        (
            "upload, CL and TE",
            post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n"),
            AtMostOne,
        ),
        (
            "upload, chunk of endless size",
            post("Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\nabc"),
            AtMostOne,
        ),
    ]
}

/// What is wrong with the fate of some bytes.
fn wrong(larder: &Larder, gitlab: &GitLab, bytes: &[u8], fate: Fate) -> Option<String> {
    gitlab.log().clear();
    let mut wire = larder.client().patience(Duration::from_secs(5)).connect();
    wire.send(bytes);
    let reply = wire.reply_to(if bytes.starts_with(b"HEAD") {
        "HEAD"
    } else {
        "GET"
    });
    let asked = gitlab.log().entries();
    let dropped =
        reply.status == 0 && matches!(reply.ending, Ending::CutShort { .. } | Ending::Reset { .. });
    if fate == Fate::Refused {
        if reply.status != 400 && !dropped {
            return Some(format!("not refused: {reply:?}"));
        }
        if !dropped && !wire.closes_within(Duration::from_secs(3)) {
            return Some(format!("the connection stays open after {reply:?}"));
        }
        return (!asked.is_empty()).then(|| format!("GitLab was asked: {asked:#?}"));
    }
    if !dropped && !reply.is_complete() {
        return Some(format!("no clean answer: {reply:?}"));
    }
    let canonical = [page(), path::upload(42)];
    let framings = |entry: &Entry| {
        let framing = |name: &str| ["content-length", "transfer-encoding"].contains(&name);
        entry
            .head
            .headers
            .iter()
            .filter(|(name, _)| framing(&name.to_ascii_lowercase()))
            .count()
    };
    let right = asked
        .iter()
        .all(|entry| canonical.contains(&entry.head.target) && framings(entry) <= 1);
    (asked.len() > 1 || !right).then(|| format!("GitLab was asked: {asked:#?}"))
}

#[test]
fn r27_odd_framing_causes_at_most_one_canonical_request() {
    for warm in [false, true] {
        let gitlab = GitLab::start();
        let larder = Larder::start(&gitlab);
        if warm {
            larder
                .client()
                .token(token::READER)
                .get(&page())
                .expect(200);
        }
        let flaws = odd_requests()
            .into_iter()
            .filter_map(|(case, bytes, fate)| {
                let flaw = wrong(&larder, &gitlab, &bytes, fate)?;
                Some(format!("{case}, warm: {warm}: {flaw}"))
            });
        let flaws: Vec<String> = flaws.collect();
        assert!(flaws.is_empty(), "{}", flaws.join("\n\n"));
        larder
            .client()
            .token(token::READER)
            .get(&page())
            .expect(200);
    }
}

#[test]
fn r27_pipelined_requests_are_answered_in_order_each_on_its_own() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let client = larder.client().token(token::READER);
    let alone: Vec<_> = [
        path::project_index(42),
        page(),
        path::project_file(42, &wheel()),
    ]
    .iter()
    .map(|address| client.get(address).expect(200).to_vec())
    .collect();
    let mut all = client.head_text("GET", &path::project_index(42), &[]);
    all += &client.head_text("HEAD", &page(), &[]);
    all += &client.head_text("GET", &page(), &[]);
    all += &larder.client().head_text("GET", &page(), &[]);
    all += &client.head_text("GET", &path::project_file(42, &wheel()), &[]);
    all += "nonsense\r\n\r\n";
    all += &client.head_text("GET", &path::project_index(42), &[]);
    let mut wire = client.connect();
    wire.send(all.as_bytes());
    assert_eq!(wire.reply_to("GET").expect(200), alone[0]);
    assert_eq!(
        wire.reply_to("HEAD").header("Content-Length"),
        Some(alone[1].len().to_string().as_str())
    );
    assert_eq!(wire.reply_to("GET").expect(200), alone[1]);
    // The connection proves nothing: this one came without a credential.
    assert_eq!(wire.reply_to("GET").status, 401);
    assert_eq!(wire.reply_to("GET").expect(200), alone[2]);
    assert_eq!(wire.reply_to("GET").status, 400);
    assert!(wire.closes_within(Duration::from_secs(3)) && wire.leftover().is_empty());
    gitlab.log().assert_nothing_unexpected();
}

#[test]
fn r30_hosts_and_forwarded_fields_never_change_a_page() {
    let gitlab = GitLab::start();
    let clean = Larder::start(&gitlab);
    let reader = |larder: &Larder| larder.client().token(token::READER);
    let pages = [
        page(),
        path::project_index(42),
        path::group_page(7, "my-pkg"),
        path::group_index(7),
    ];
    let poisons: [&[(&str, &str)]; 5] = [
        &[
            ("X-Forwarded-Host", "evil.example"),
            ("X-Forwarded-Proto", "https"),
        ],
        &[("Forwarded", "host=evil.example;proto=https")],
        &[
            ("X-Forwarded-Prefix", "/evil"),
            ("X-Script-Name", "/evil"),
            ("X-Forwarded-Port", "666"),
        ],
        &[
            ("X-Host", "evil.example"),
            ("X-Forwarded-Server", "evil.example"),
        ],
        &[("X-Original-URL", "/evil"), ("X-Rewrite-URL", "/evil")],
    ];
    for poison in poisons {
        let larder = Larder::start(&gitlab);
        for page in &pages {
            let expected = reader(&clean).get(page);
            let head = format!(
                "GET {page} HTTP/1.1\r\nHost: evil.example\r\nAuthorization: {BASIC}\r\nConnection: close\r\n"
            );
            let more: String = poison
                .iter()
                .map(|(name, value)| format!("{name}: {value}\r\n"))
                .collect();
            let poisoned = larder.client().raw(format!("{head}{more}\r\n").as_bytes());
            for reply in [poisoned, reader(&larder).get(page)] {
                assert_eq!(
                    reply.expect(200),
                    expected.expect(200),
                    "{page} with {poison:?}"
                );
                assert_eq!(
                    reply.header("ETag"),
                    expected.header("ETag"),
                    "{page} with {poison:?}"
                );
                let evil = reply
                    .headers
                    .iter()
                    .any(|(_, value)| value.contains("evil"));
                assert!(
                    !evil && !reply.text().contains("evil"),
                    "{page} with {poison:?}: {reply:?}"
                );
            }
        }
    }
    let host = gitlab.address().to_string();
    for entry in gitlab.log().entries() {
        assert_eq!(entry.head.header("Host"), Some(host.as_str()));
    }
    // Links are root-relative: no host, ours or any other, stands on a page.
    let text = reader(&clean).get(&page()).text();
    assert!(
        text.contains("href=\"/api/v4/projects/42/") && !text.contains("://"),
        "{text}"
    );
}

#[test]
fn a_request_that_comes_back_to_its_sender_is_told_so() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    larder
        .client()
        .token(token::READER)
        .get(&page())
        .expect(200);
    let via = gitlab
        .log()
        .last(Kind::Page)
        .head
        .header("Via")
        .expect("larder names itself")
        .to_owned();
    let own = format!("1.1 other, {via}");
    let reply = larder
        .client()
        .token(token::READER)
        .get_with(&page(), &[("Via", &own)]);
    assert_eq!(reply.status, 508, "{reply:?}");
    let other = Client::new(larder.address())
        .token(token::READER)
        .get_with(&page(), &[("Via", "1.1 larder")]);
    other.expect(200);
}
