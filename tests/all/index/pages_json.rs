//! Pages in the format that a client asks for: in kind where GitLab speaks it, rendered where not,
//! and whole in either.

use crate::common::delivery::eventually;
use crate::support::{
    Act, Answer, Client, Distribution, GitLab, Kind, Larder, NewFile, Reply, StoreListing, path,
    token,
};

const TEXT: &str = "text/html; charset=utf-8";
const HTML: &str = "application/vnd.pypi.simple.v1+html; charset=utf-8";
const JSON: &str = "application/vnd.pypi.simple.v1+json";
const BOTH: [&str; 2] = ["text/html", JSON];

const LASTING: &str = "[index]\nttl = \"300s\"\n[auth]\ncache_ttl = \"300s\"";

fn page() -> String {
    path::project_page(42, "my-pkg")
}

fn pages() -> [String; 4] {
    [
        page(),
        path::project_index(42),
        path::group_page(7, "my-pkg"),
        path::group_index(7),
    ]
}

/// With so many versions of `many`, that pages are worth compressing.
fn gitlab(pep691: bool, versions: usize) -> GitLab {
    let gitlab = GitLab::builder()
        .set(|settings| settings.pep691 = pep691)
        .start();
    for version in 0..versions {
        gitlab.publish(42, Distribution::new("many", &version.to_string()).wheel());
    }
    gitlab
}

fn lasting(gitlab: &GitLab) -> Larder {
    Larder::builder(gitlab).sections(LASTING).start()
}

fn reader(larder: &Larder) -> Client {
    larder.client().token(token::READER)
}

fn get_as(client: &Client, address: &str, accept: &str) -> Reply {
    client.get_with(address, &[("Accept", accept)])
}

fn forge(gitlab: &GitLab, content_type: &str, body: impl Into<Vec<u8>>) {
    let answer = Answer::new(200)
        .header("Content-Type", content_type)
        .body(body.into());
    gitlab.plan(Act::Answer(answer).at(Kind::Page));
}

#[track_caller]
fn assert_is_502(reply: &Reply, case: &str) {
    assert_eq!(
        (reply.status, reply.is_complete()),
        (502, true),
        "{case}: {reply:?}"
    );
    assert_eq!(
        reply.header("Content-Type"),
        Some("application/problem+json"),
        "{case}: {reply:?}"
    );
}

/// What clients say they accept, and what they then get.
const WISHES: [(&str, Option<&str>, &str); 18] = [
    (
        "pip 26",
        Some(
            "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01",
        ),
        JSON,
    ),
    (
        "uv",
        Some(
            "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01",
        ),
        JSON,
    ),
    (
        "poetry",
        Some("application/vnd.pypi.simple.v1+json, */*;q=0.1"),
        JSON,
    ),
    ("pip before 22.2", Some("text/html"), TEXT),
    ("hatch, curl", Some("*/*"), TEXT),
    ("nothing said", None, TEXT),
    ("an empty wish", Some(""), TEXT),
    (
        "a browser",
        Some("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
        TEXT,
    ),
    (
        "HTML by its version",
        Some("application/vnd.pypi.simple.v1+html"),
        HTML,
    ),
    (
        "the latest HTML",
        Some("application/vnd.pypi.simple.latest+html"),
        HTML,
    ),
    (
        "the latest JSON",
        Some("application/vnd.pypi.simple.latest+json"),
        JSON,
    ),
    (
        "in capitals",
        Some("Application/Vnd.PyPI.Simple.V1+JSON"),
        JSON,
    ),
    (
        "HTML rather",
        Some("application/vnd.pypi.simple.v1+json;q=0.3, text/html;q=0.5"),
        TEXT,
    ),
    (
        "anything but JSON",
        Some("*/*, application/vnd.pypi.simple.v1+json;q=0"),
        TEXT,
    ),
    (
        "a version to come, or this",
        Some("application/vnd.pypi.simple.v2+json, text/html;q=0.1"),
        TEXT,
    ),
    ("plain JSON", Some("application/json"), ""),
    (
        "a version to come",
        Some("application/vnd.pypi.simple.v2+json"),
        "",
    ),
    (
        "none of it",
        Some("text/html;q=0, application/vnd.pypi.simple.v1+json;q=0"),
        "",
    ),
];

#[test]
fn every_client_gets_the_format_it_asks_for() {
    for pep691 in [false, true] {
        let gitlab = gitlab(pep691, 0);
        let larder = lasting(&gitlab);
        for (who, accept, wanted) in WISHES {
            for address in pages() {
                for method in ["GET", "HEAD"] {
                    let case = format!("{who} {method} {address}, JSON at GitLab: {pep691}");
                    let headers: Vec<_> = accept
                        .map(|accept| ("Accept", accept))
                        .into_iter()
                        .collect();
                    let asked = gitlab.log().len();
                    let reply = reader(&larder).request(method, &address, &headers);
                    if wanted.is_empty() {
                        assert_eq!(reply.status, 406, "{case}: {reply:?}");
                        assert_eq!(gitlab.log().len(), asked, "{case}: nobody need be asked");
                        continue;
                    }
                    reply.expect(200);
                    assert_eq!(reply.header("Content-Type"), Some(wanted), "{case}");
                    if method == "GET" {
                        let starts = if wanted == JSON {
                            "{"
                        } else {
                            "<!DOCTYPE html>"
                        };
                        assert!(reply.text().starts_with(starts), "{case}: {reply:?}");
                    }
                }
            }
        }
        gitlab.log().assert_nothing_unexpected();
    }
}

/// Keys that nobody knows at every level, in an order and a spelling that nobody else writes.
fn odd_json(base: &str) -> String {
    let sha = "5".repeat(64);
    let files = format!("{base}/api/v4/projects/42/packages/pypi/files/{sha}");
    format!(
        "{{ \"x-first\": [1, 2.50, {{\"url\": \"{files}/not-a-file-1.0.zip\"}}],\r\n \"meta\":\t{{\"_last-serial\": 12, \
         \"api-version\":\"1.3\", \"url\": \"{files}/meta-1.0.zip\"}},\n\"name\" : \"my-pkg\", \"files\":[\n\
         {{\"url\" : \"{files}/a-1.0.zip#sha256={sha}\", \"filename\":\"a-1.0.zip\", \"hashes\":{{\"sha256\":\"{sha}\", \
         \"blake9\": \"00\"}}, \"requires-python\":\">=3.8\", \"yanked\": \"too \\\"good\\\" \\u00e4\\/\", \"x\": {{\"url\": \
         \"{files}/x-1.0.zip\", \"deep\": [[null, true, -1e-3]]}}}} ,\n {{\"filename\":\"b-1.0-py3-none-any.whl\", \
         \"url\":\"{files}/b-1.0-py3-none-any.whl\", \"hashes\":{{\"sha256\":\"{sha}\"}}, \"size\": 12, \"core-metadata\": \
         {{\"sha256\":\"{sha}\"}}, \"dist-info-metadata\": true, \"provenance\":\"https://files.example/p\", \"upload-time\": \
         \"2024-01-02T03:04:05Z\"}}, {{\"filename\":\"c-1.0.zip\",\"url\":\"https://files.example/c-1.0.zip\",\"hashes\":{{}}}}],\
         \"versions\":[\"1.0\"], \"project-status\":{{\"status\":\"archived\",\"y\":0}}, \"x-last\":\"\u{1f4e6}\" }}\n"
    )
}

#[test]
fn only_links_change_on_a_json_page() {
    let gitlab = gitlab(true, 0);
    let theirs = odd_json(gitlab.url());
    forge(
        &gitlab,
        "Application/vnd.pypi.simple.v1+JSON ; charset=utf-8",
        theirs.clone(),
    );
    let served = get_as(&reader(&Larder::start(&gitlab)), &page(), JSON);
    let text = String::from_utf8(served.expect(200).to_vec()).expect("text");
    let sha = "5".repeat(64);
    let mut expected = theirs;
    for name in [
        format!("a-1.0.zip#sha256={sha}"),
        "b-1.0-py3-none-any.whl".to_owned(),
    ] {
        let link = format!("/api/v4/projects/42/packages/pypi/files/{sha}/{name}\"");
        expected = expected.replace(&format!("{}{link}", gitlab.url()), &link);
    }
    assert_eq!(text, expected);
}

#[test]
fn a_digest_that_only_the_link_tells_is_kept() {
    let gitlab = gitlab(true, 0);
    let sha = "5".repeat(64);
    let hashes = format!("{{\"sha256\":\"{sha}\", \"blake9\": \"00\"}}");
    let bare = odd_json(gitlab.url()).replace(&hashes, "{}");
    assert!(!bare.contains("blake9"), "{bare}");
    forge(&gitlab, JSON, bare);
    let larder = Larder::start(&gitlab);
    for accept in BOTH {
        let text = get_as(&reader(&larder), &page(), accept).text();
        assert!(
            text.contains(&format!("/files/{sha}/a-1.0.zip#sha256={sha}\"")),
            "{accept}: {text}"
        );
    }
}

#[test]
fn a_json_page_of_gitlabs_own_is_the_same_but_for_its_links() {
    let gitlab = gitlab(true, 3);
    let larder = lasting(&gitlab);
    let direct = Client::new(gitlab.address()).token(token::READER);
    for address in pages().into_iter().chain([path::project_page(42, "many")]) {
        let theirs = get_as(&direct, &address, JSON);
        let ours = get_as(&reader(&larder), &address, JSON);
        let back = ours.text().replace(
            "\"url\":\"/api/v4/",
            &format!("\"url\":\"{}/api/v4/", gitlab.url()),
        );
        assert_eq!(back, theirs.text(), "{address}");
        ours.expect(200);
    }
}

#[test]
fn json_is_rendered_of_html_with_its_facts_and_no_others() {
    let gitlab = gitlab(false, 0);
    let wheel = Distribution::new("facts", "1.0")
        .requires_python(">=3.8, <4")
        .wheel();
    let sdist = Distribution::new("facts", "1.1").sdist();
    for (file, requires) in [(&wheel, ">=3.8, <4 ; '<&>' and \"x\""), (&sdist, "")] {
        gitlab.publish(42, NewFile::from(file).requires_python(requires));
    }
    let larder = lasting(&gitlab);
    for (address, file) in [
        (
            path::project_page(42, "facts"),
            path::project_file as fn(u64, _) -> String,
        ),
        (path::group_page(7, "facts"), path::group_file),
    ] {
        let scope = if address.contains("groups") { 7 } else { 42 };
        let shown = get_as(&reader(&larder), &address, JSON).json();
        let mut files = shown["files"].as_array().expect("a list").clone();
        for listed in &mut files {
            let url = listed["url"].as_str().expect("a link").to_owned();
            listed["url"] = url.split('#').next().into();
        }
        let expected = serde_json::json!([
            {
                "filename": wheel.filename,
                "url": file(scope, &wheel),
                "hashes": {"sha256": wheel.sha256},
                "requires-python": ">=3.8, <4 ; '<&>' and \"x\"",
            },
            {"filename": sdist.filename, "url": file(scope, &sdist), "hashes": {"sha256": sdist.sha256}},
        ]);
        assert_eq!(serde_json::Value::from(files), expected, "{address}");
        let mut keys: Vec<_> = shown
            .as_object()
            .expect("an object")
            .keys()
            .map(String::as_str)
            .collect();
        keys.sort_unstable();
        assert_eq!(
            (keys, &shown["name"]),
            (vec!["files", "meta", "name"], &"facts".into()),
            "{address}"
        );
        assert_eq!(
            shown["meta"],
            serde_json::json!({"api-version": "1.0"}),
            "sizes are not known"
        );
    }
}

#[test]
fn html_is_rendered_of_json_with_its_facts() {
    let gitlab = gitlab(false, 0);
    forge(&gitlab, JSON, odd_json(gitlab.url()));
    let reply = get_as(&reader(&Larder::start(&gitlab)), &page(), "text/html");
    let text = String::from_utf8(reply.expect(200).to_vec()).expect("text");
    let sha = "5".repeat(64);
    for fact in [
        format!("href=\"/api/v4/projects/42/packages/pypi/files/{sha}/a-1.0.zip#sha256={sha}\""),
        "data-requires-python=\"&gt;=3.8\"".to_owned(),
        format!("data-core-metadata=\"sha256={sha}\""),
        "data-provenance=\"https://files.example/p\"".to_owned(),
        "content=\"archived\"".to_owned(),
        "https://files.example/c-1.0.zip".to_owned(),
        "too &quot;good&quot; \u{e4}/".to_owned(),
    ] {
        assert!(text.contains(&fact), "{fact} is not in {text}");
    }
    assert_eq!(text.matches("<a ").count(), 3, "{text}");
    assert_eq!(text.matches("data-yanked").count(), 1, "{text}");
}

#[test]
fn an_index_names_each_project_once_in_json() {
    for pep691 in [false, true] {
        let gitlab = gitlab(pep691, 5);
        let larder = lasting(&gitlab);
        for address in [path::project_index(42), path::group_index(7)] {
            let html = get_as(&reader(&larder), &address, "text/html").text();
            assert_eq!(
                html.matches(">many</a>").count(),
                5,
                "GitLab's own: a link for each release"
            );
            let json = get_as(&reader(&larder), &address, JSON).json();
            let names = |name: &str| {
                let projects = json["projects"].as_array().expect("a list").iter();
                projects
                    .filter(|it| {
                        it["name"]
                            .as_str()
                            .expect("a name")
                            .replace('.', "-")
                            .to_lowercase()
                            == name
                    })
                    .count()
            };
            assert_eq!(
                (names("many"), names("my-pkg")),
                (1, 1),
                "{address}, JSON at GitLab: {pep691}: {json}"
            );
            assert_eq!(
                names("gear"),
                usize::from(address.contains("groups")),
                "{json}"
            );
            assert_eq!(json["meta"]["api-version"], "1.0");
        }
    }
}

#[test]
fn r9_each_representation_has_a_tag_of_its_own() {
    for pep691 in [false, true] {
        let gitlab = gitlab(pep691, 20);
        let larder = lasting(&gitlab);
        for address in [path::project_page(42, "many"), path::project_index(42)] {
            let mut known: Vec<([(&str, &str); 2], String)> = Vec::new();
            for accept in BOTH {
                for coding in ["identity", "gzip", "zstd"] {
                    let wish = [("Accept", accept), ("Accept-Encoding", coding)];
                    let (get, head) = (
                        reader(&larder).get_with(&address, &wish),
                        reader(&larder).request("HEAD", &address, &wish),
                    );
                    let etag = get.header("ETag").expect("pages have one").to_owned();
                    get.expect(200);
                    assert_eq!(head.header("ETag"), Some(etag.as_str()), "{wish:?}");
                    assert_eq!(
                        head.header("Content-Length"),
                        get.header("Content-Length"),
                        "{wish:?}"
                    );
                    assert!(
                        get.header("Vary")
                            .is_some_and(|vary| vary.starts_with("Accept, ")),
                        "{get:?}"
                    );
                    known.push((wish, etag));
                }
            }
            for (wish, own) in &known {
                for (other, etag) in &known {
                    let headers = [wish[0], wish[1], ("If-None-Match", etag)];
                    let reply = reader(&larder).get_with(&address, &headers);
                    let expected = if own == etag { 304 } else { 200 };
                    assert_eq!(
                        reply.status, expected,
                        "{address} {wish:?} with the tag of {other:?}"
                    );
                }
            }
            let mut tags: Vec<_> = known.iter().map(|(_, etag)| etag).collect();
            tags.sort_unstable();
            tags.dedup();
            // A short page is not worth compressing.
            assert_eq!(
                tags.len(),
                if address.contains("many") {
                    6
                } else {
                    tags.len().max(2)
                },
                "{known:?}"
            );
        }
    }
}

#[test]
fn r8_json_that_is_no_index_is_never_taken_for_one_nor_kept() {
    let gitlab = gitlab(false, 0);
    let good = odd_json(gitlab.url());
    let html = Client::new(gitlab.address())
        .token(token::READER)
        .get(&page())
        .text();
    let replaced = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        good.replacen(from, to, 1).into_bytes()
    };
    let impostors: Vec<(&str, &str, Vec<u8>)> = vec![
        (
            "a message",
            JSON,
            b"{\"message\":\"401 Unauthorized\"}".to_vec(),
        ),
        (
            "an error",
            JSON,
            b"{\"error\":\"x\",\"files\":null}".to_vec(),
        ),
        ("an empty object", JSON, b"{}".to_vec()),
        ("a list", JSON, b"[]".to_vec()),
        ("a text", JSON, b"\"files\"".to_vec()),
        ("nothing", JSON, Vec::new()),
        ("white space", JSON, b" \n ".to_vec()),
        ("HTML sent as JSON", JSON, html.clone().into_bytes()),
        ("JSON sent as HTML", "text/html", good.clone().into_bytes()),
        (
            "JSON of no kind",
            "application/json",
            good.clone().into_bytes(),
        ),
        (
            "JSON of a version to come",
            "application/vnd.pypi.simple.v2+json",
            good.clone().into_bytes(),
        ),
        (
            "a major version nobody knows",
            JSON,
            replaced("\"1.3\"", "\"2.0\""),
        ),
        ("a version that is none", JSON, replaced("\"1.3\"", "\"x\"")),
        ("no version", JSON, replaced("\"api-version\"", "\"api\"")),
        ("no files", JSON, replaced("\"files\"", "\"filez\"")),
        (
            "files that are no list",
            JSON,
            replaced("\"files\":[", "\"files\":7, \"f\":["),
        ),
        (
            "an index for a page",
            JSON,
            b"{\"meta\":{\"api-version\":\"1.0\"},\"projects\":[]}".to_vec(),
        ),
        (
            "more behind the end",
            JSON,
            format!("{good}{{}}").into_bytes(),
        ),
        ("a comma too many", JSON, replaced("\"1.0\"]", "\"1.0\",]")),
        ("no UTF-8", JSON, {
            let mut bytes = good.clone().into_bytes();
            let at = good.find("too ").expect("part of it");
            bytes[at] = 0xff;
            bytes
        }),
    ];
    for (case, content_type, body) in impostors {
        let larder = lasting(&gitlab);
        forge(&gitlab, content_type, body.clone());
        for accept in BOTH {
            let case = format!("{case} as {accept}");
            assert_is_502(&get_as(&reader(&larder), &page(), accept), &case);
        }
        gitlab.behave();
        let kept = StoreListing::of(&larder.cache_dir());
        assert!(
            ["api-version", "message", "<title>"]
                .iter()
                .all(|part| kept.containing(part).is_empty()),
            "{case}: {kept:?}"
        );
        for accept in BOTH {
            assert!(
                get_as(&reader(&larder), &page(), accept)
                    .text()
                    .contains("my_pkg-1.0.0"),
                "{case}"
            );
        }
        // Nor does it take the place of the page that is there.
        forge(&gitlab, content_type, body);
        for accept in BOTH {
            let insisting = [("Accept", accept), ("Cache-Control", "no-cache")];
            let reply = reader(&larder).get_with(&page(), &insisting);
            assert!(
                reply.status == 200 && reply.text().contains("my_pkg-1.0.0"),
                "{case}: {reply:?}"
            );
        }
        gitlab.behave();
    }
}

#[test]
fn a_version_nobody_knows_is_for_the_client_to_judge_in_html_and_nothing_is_made_of_it() {
    let gitlab = gitlab(false, 0);
    let html = Client::new(gitlab.address())
        .token(token::READER)
        .get(&page())
        .text();
    let later = html.replace(
        "<title>",
        "<meta name=\"pypi:repository-version\" content=\"2.0\"><title>",
    );
    forge(&gitlab, "text/html", later);
    let larder = Larder::start(&gitlab);
    let reply = get_as(&reader(&larder), &page(), "text/html");
    assert!(
        reply.status == 200 && reply.text().contains("content=\"2.0\""),
        "{reply:?}"
    );
    assert_is_502(
        &get_as(&reader(&larder), &page(), JSON),
        "HTML of version 2.0 as JSON",
    );
}

#[test]
fn r8_a_json_page_cut_anywhere_is_never_completed() {
    let gitlab = gitlab(true, 0);
    let larder = Larder::builder(&gitlab)
        .gitlab_setting("retries = 0\nbreaker_failures = 0")
        .start();
    let whole = odd_json(gitlab.url()).trim_end().to_owned();
    let cuts = (0..whole.len())
        .step_by(13)
        .chain(whole.len() - 12..whole.len());
    for (round, at) in cuts.enumerate() {
        // All the bytes that were announced, which are not all of the page; or fewer than were
        // announced.
        let after = at as u64;
        for act in [None, Some(Act::Close { after }), Some(Act::Reset { after })] {
            let case = format!("cut at {at} of {} by {act:?}", whole.len());
            match act {
                None => forge(&gitlab, JSON, &whole.as_bytes()[..at]),
                Some(act) => {
                    forge(&gitlab, JSON, whole.clone());
                    gitlab.plan(Act::Chunked.at(Kind::Page));
                    gitlab.plan(act.at(Kind::Page));
                }
            }
            let accept = BOTH[round % 2];
            assert_is_502(
                &get_as(&reader(&larder), &page(), accept),
                &format!("{case} as {accept}"),
            );
            gitlab.behave();
        }
    }
    for act in [Act::ChunkedWithoutEnd, Act::Close { after: 1000 }] {
        forge(&gitlab, JSON, whole.clone());
        gitlab.plan(Act::UntilClose.at(Kind::Page));
        gitlab.plan(act.at(Kind::Page));
        assert_is_502(
            &get_as(&reader(&larder), &page(), JSON),
            "ended by the connection",
        );
        gitlab.behave();
    }
    assert!(
        StoreListing::of(&larder.cache_dir())
            .containing("api-version")
            .is_empty()
    );
    get_as(&reader(&larder), &page(), JSON).expect(200);
}

#[test]
fn pages_in_both_formats_survive_a_restart_and_are_asked_about_first() {
    for pep691 in [false, true] {
        let gitlab = gitlab(pep691, 0);
        let larder = lasting(&gitlab);
        let all: Vec<(String, &str)> = pages()
            .into_iter()
            .flat_map(|page| BOTH.map(|accept| (page.clone(), accept)))
            .collect();
        let before: Vec<Reply> = all
            .iter()
            .map(|(address, accept)| get_as(&reader(&larder), address, accept))
            .collect();
        let stored = |part| StoreListing::of(&larder.cache_dir()).containing(part).len();
        eventually("all pages are stored", || {
            stored("<title>Links for") >= 4 && stored("api-version") >= if pep691 { 4 } else { 0 }
        });
        let larder = larder.restart();
        gitlab.log().clear();
        for ((address, accept), before) in all.iter().zip(&before) {
            let etag = before.header("ETag").expect("pages have one");
            let reply =
                reader(&larder).get_with(address, &[("Accept", accept), ("If-None-Match", etag)]);
            assert_eq!(reply.status, 304, "{address} as {accept}: {reply:?}");
            let reply = get_as(&reader(&larder), address, accept);
            assert_eq!(reply.expect(200), &before.body[..], "{address} as {accept}");
            assert_eq!(reply.header("Content-Type"), before.header("Content-Type"));
        }
        for entry in gitlab.log().answered() {
            assert_eq!(
                (entry.status, entry.body_sent),
                (Some(304), 0),
                "{:?}",
                entry.head
            );
        }
        gitlab.stop();
        for (address, accept) in &all {
            get_as(&reader(&larder), address, accept).expect(200);
        }
    }
}
