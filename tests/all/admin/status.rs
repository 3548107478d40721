//! The pages for people: `/-/`, `/-/status`, and one project's page. They say how larder is to
//! whoever can connect, and what is in GitLab to whom GitLab lets read it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};

use crate::common::delivery::{eventually, kept};
use crate::common::mirror::{JSON, file};
use crate::support::{
    Artifact, Client, Distribution, GitLab, Larder, PublicIndex, Reply, Site, path, token,
};

/// Bytes of the page with everything on it, style and script included.
const WEIGHT_MAX: usize = 40_000;

/// Stands in names and credentials that must not be told.
const CANARY: &str = "kestrel";

fn secret_wheel() -> Artifact {
    Distribution::new("kestrel.tool", "1.0")
        .payload(400_000)
        .wheel()
}

fn home(larder: &Larder) -> Reply {
    let page = larder.client().get("/-/");
    page.expect(200);
    page
}

fn status(larder: &Larder) -> serde_json::Value {
    let reply = larder.client().get("/-/status");
    reply.expect(200);
    assert_eq!(reply.header("Content-Type"), Some("application/json"));
    reply.json()
}

/// What the page's script asks for.
fn parts(larder: &Larder) -> String {
    let reply = larder
        .client()
        .get_with("/-/status", &[("Accept", "text/html")]);
    reply.expect(200);
    reply.text()
}

fn between<'t>(text: &'t str, start: &str, end: &str) -> &'t str {
    let (_, rest) = text
        .split_once(start)
        .unwrap_or_else(|| panic!("no {start}"));
    rest.split_once(end).map_or(rest, |(part, _)| part)
}

#[test]
fn the_status_is_what_docs_status_md_says() {
    let gitlab = GitLab::start();
    let index = PublicIndex::start();
    let larder = Larder::builder(&gitlab)
        .mirror("pypi", &index)
        .sections("[[views]]\nname = \"all\"\nsources = [\"projects/42\", \"pypi\"]")
        .start();
    larder.client().get("/all/simple/my-pkg/").expect(401);
    let status = status(&larder);
    assert_eq!(status["schema"], 1);
    assert_eq!(status["state"]["word"], "ok", "{status}");
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        status["listen"],
        serde_json::json!([larder.address().to_string()]),
        "where it really listens"
    );
    for (stretch, pieces, seconds) in [("hour", 60, 60), ("day", 48, 1800), ("week", 7, 86_400)] {
        let stretch = &status["history"][stretch];
        assert_eq!(stretch["pieces"].as_array().map(Vec::len), Some(pieces));
        assert_eq!(
            (&stretch["piece_seconds"], &stretch["hit_ratio"]),
            (&seconds.into(), &serde_json::Value::Null)
        );
    }
    let names: Vec<_> = status["upstreams"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| &one["name"])
        .collect();
    assert_eq!(names, ["gitlab", "pypi"]);
    assert!(
        status["disk"]["free_bytes"].is_u64() && status["disk"]["budget_bytes"].is_u64(),
        "{status}"
    );
    // Every name in it, however deep, is in its description.
    let described = include_str!("../../../docs/status.md");
    let mut left = vec![&status];
    while let Some(value) = left.pop() {
        if let Some(object) = value.as_object() {
            for (name, value) in object {
                assert!(
                    described.contains(&format!("`{name}`")),
                    "docs/status.md does not describe {name}"
                );
                left.push(value);
            }
        }
        left.extend(value.as_array().into_iter().flatten());
    }
}

#[test]
fn the_page_allows_its_own_style_and_script_and_nothing_else() {
    let larder = Larder::start(&GitLab::start());
    let index = PublicIndex::start();
    index.publish(Distribution::new("left.pad", "1.3").wheel());
    let mirrored = Larder::builder(&GitLab::start())
        .mirror("pypi", &index)
        .start();
    for page in [
        home(&larder),
        mirrored.client().get("/-/mirrors/pypi/left-pad"),
    ] {
        let text = page.text();
        let policy = page
            .header("Content-Security-Policy")
            .expect("a policy")
            .to_owned();
        for (start, end, directive) in [
            ("<style>", "</style>", "style-src"),
            ("<script>", "</script>", "script-src"),
        ] {
            assert_eq!(text.matches(start).count(), 1);
            let hash = STANDARD.encode(Sha256::digest(between(&text, start, end)));
            assert!(
                policy.contains(&format!("{directive} 'sha256-{hash}'")),
                "{directive}: {policy}"
            );
        }
        for word in [
            "default-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
        ] {
            assert!(policy.contains(word), "{policy}");
        }
        assert!(
            !policy.contains("unsafe") && !policy.contains("http"),
            "{policy}"
        );
        assert_eq!(page.header("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(page.header("Referrer-Policy"), Some("no-referrer"));
        assert_eq!(page.header("Cache-Control"), Some("no-store"));
        // A style in an attribute, or a handler, would be forbidden by the policy and break the
        // page silently.
        let markup = text.replace(between(&text, "<script>", "</script>"), "");
        for word in [
            " style=",
            " onclick=",
            "javascript:",
            "src=\"http",
            "href=\"http",
        ] {
            assert!(!markup.contains(word), "{word}");
        }
    }
    assert!(
        home(&larder).body.len() < WEIGHT_MAX,
        "{} bytes",
        home(&larder).body.len()
    );
    println!("{} bytes", home(&larder).body.len());
}

#[test]
fn nothing_of_gitlabs_is_told_to_whoever_can_connect() {
    let wheel = secret_wheel();
    let public = Distribution::new("left.pad", "1.3")
        .payload(400_000)
        .wheel();
    let (gitlab, index) = (GitLab::start(), PublicIndex::start());
    gitlab.publish(42, &wheel);
    index.publish(public.clone());
    let larder = Larder::builder(&gitlab)
        .mirror("pypi", &index)
        .private_names(&["kestrel-*"])
        .sections("[index]\nttl = \"0s\"")
        .start();
    let reader = larder.client().token(token::READER);
    reader
        .get(&path::project_page(42, "kestrel-tool"))
        .expect(200);
    larder.client().get("/pypi/simple/left-pad/").expect(200);
    // Two downloads that stand still, one of each.
    let gates = [
        gitlab.hold(Site::FileBody, 100_000),
        index.hold(Site::FileBody, 100_000),
    ];
    let addresses = [
        path::project_file(42, &wheel),
        file(&index, &public.filename),
    ];
    std::thread::scope(|scope| {
        for address in &addresses {
            let reader = reader.clone();
            scope.spawn(move || reader.get(address).expect(200).len());
        }
        gates.iter().for_each(|gate| gate.wait_for(1));
        eventually("both are seen", || {
            status(&larder)["downloads"]["running"] == 2
        });
        eventually("their bytes are seen", || {
            let listed = status(&larder)["downloads"]["listed"].clone();
            listed.as_array().is_some_and(|all| {
                all.iter()
                    .all(|one| one["written_bytes"].as_u64() > Some(0))
            })
        });
        let told = status(&larder);
        let listed = told["downloads"]["listed"]
            .as_array()
            .expect("a list")
            .clone();
        let named: Vec<_> = listed.iter().map(|one| one["filename"].as_str()).collect();
        assert!(
            named.contains(&None) && named.contains(&Some(public.filename.as_str())),
            "{told}"
        );
        assert!(listed.iter().all(|one| one["readers"] == 1), "{told}");
        for text in [home(&larder).text(), parts(&larder), told.to_string()] {
            assert!(
                text.contains(&public.filename),
                "a mirror's file may be named"
            );
            for word in [
                CANARY,
                token::READER,
                &wheel.sha256,
                gitlab.url(),
                &*larder.cache_dir().to_string_lossy(),
            ] {
                assert!(!text.contains(word), "{word} in {text}");
            }
        }
        gates.iter().for_each(|gate| gate.open());
    });
    gitlab.stop();
    reader
        .get(&path::project_page(42, "kestrel-tool"))
        .expect(200);
    let told = status(&larder);
    assert_eq!(
        (&told["stale"][0]["upstream"], &told["stale"][0]["pages"]),
        (&"gitlab".into(), &1.into()),
        "{told}"
    );
    for text in [home(&larder).text(), parts(&larder), told.to_string()] {
        assert!(!text.contains(CANARY), "{text}");
    }
    // Nor does a form that somebody fills in say whether it is there.
    let sent = larder
        .client()
        .get("/-/find?kind=project&id=42&name=kestrel-tool");
    assert_eq!(
        (sent.status, sent.header("Location")),
        (303, Some("projects/42/kestrel-tool"))
    );
}

#[test]
fn hits_and_saved_bytes_are_counted() {
    let wheel = Distribution::new("big", "1.0").payload(300_000).wheel();
    let gitlab = GitLab::start();
    gitlab.publish(42, &wheel);
    let larder = Larder::start(&gitlab);
    let reader = larder.client().token(token::READER);
    for _ in 0..4 {
        reader.get(&path::project_file(42, &wheel)).expect(200);
        kept(&larder, &wheel);
    }
    larder
        .client()
        .get(&path::project_file(42, &wheel))
        .expect(401);
    eventually("four answers are counted", || {
        status(&larder)["history"]["hour"]["requests"] == 4
    });
    let hour = status(&larder)["history"]["hour"].clone();
    let size = wheel.bytes.len() as u64;
    assert_eq!(hour["hits"], 3, "{hour}");
    assert_eq!(
        (&hour["sent_bytes"], &hour["saved_bytes"]),
        (&(4 * size).into(), &(3 * size).into())
    );
    assert_eq!(hour["hit_ratio"], 0.75);
    assert!(home(&larder).text().contains("3 of 4 answers hit"));
}

#[test]
fn lines_to_copy_carry_the_readers_address_and_never_more_than_an_address() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    let asked = |host: &str, query: &str| {
        let head = format!("GET /-/{query} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        larder.client().raw(head.as_bytes())
    };
    let page = asked("larder.example:8080", "?kind=group&id=acme%2Ftools").text();
    assert!(
        page.contains(
            "http://larder.example:8080/api/v4/groups/acme%2Ftools/-/packages/pypi/simple/"
        ),
        "{page}"
    );
    for host in [
        "\"><script>alert(1)</script>",
        "a.example/x",
        "u:p@a.example",
        "a.example$(id)",
        "&lt;",
    ] {
        let reply = asked(host, "");
        if reply.status == 200 {
            let text = reply.text();
            assert!(!text.contains(host) && !text.contains("alert(1)"), "{host}");
            assert!(text.contains("http://127.0.0.1"), "{host}");
        } else {
            assert_eq!(reply.status, 400, "{host}: {reply:?}");
        }
    }
    for id in [
        "%22%3E%3Cscript%3Ealert(1)%3C/script%3E",
        "%24(id)",
        "..%2F..",
    ] {
        let text = asked("a.example", &format!("?kind=project&id={id}")).text();
        assert!(
            !text.contains("<script>alert")
                && text.contains("PROJECT_ID")
                && text.contains("Not understood")
        );
    }
    let fixed = Larder::builder(&gitlab)
        .setting("public_url = \"https://packages.example/pip\"")
        .start();
    let text = home(&fixed).text();
    assert!(
        text.contains(
            "https://packages.example/pip/api/v4/projects/PROJECT_ID/packages/pypi/simple/"
        ),
        "{text}"
    );
    assert!(
        !text.contains(
            &fixed
                .address()
                .to_string()
                .replace("127.0.0.1", "http://127.0.0.1")
        )
    );
    // Links are relative, so that they work below any prefix.
    assert!(
        text.contains("href=\"status\"") && text.contains("action=\"find\""),
        "{text}"
    );
}

#[test]
fn other_methods_and_other_addresses_are_refused_as_everywhere() {
    let larder = Larder::start(&GitLab::start());
    let client = larder.client();
    for address in ["/-/", "/-/status"] {
        let (get, head) = (client.get(address), client.head(address));
        assert_eq!((head.status, head.body.len()), (200, 0));
        for field in ["Content-Type", "Cache-Control", "Content-Security-Policy"] {
            assert_eq!(get.header(field), head.header(field), "{address} {field}");
        }
        assert_eq!(
            client.post(address, "text/plain", b"x").status,
            405,
            "{address}"
        );
    }
    for address in [
        "/-/nothing",
        "/-/status/",
        "/-/projects/42",
        "/-/projects/42/a/",
        "/-/mirrors/none/a",
    ] {
        assert_eq!(client.get(address).status, 404, "{address}");
    }
    for query in [
        "",
        "?kind=project&id=42",
        "?id=%2F%2Fevil.example&name=a",
        "?id=42&name=-",
    ] {
        let reply = client.get(&format!("/-/find{query}"));
        assert_eq!(
            (reply.status, reply.header("Location")),
            (400, None),
            "{query}"
        );
    }
}

#[test]
fn with_upstream_down_or_offline_the_page_says_so() {
    let gitlab = GitLab::start();
    let mut larder = Larder::builder(&gitlab)
        .gitlab_setting("retries = 0")
        .start();
    gitlab.stop();
    let reader = larder.client().token(token::READER);
    eventually("it is said to be unreachable", || {
        assert_eq!(reader.get(&path::project_page(42, "a")).status, 504);
        status(&larder)["state"]["word"] == "degraded"
    });
    let told = status(&larder);
    assert_ne!(told["upstreams"][0]["state"], "reachable", "{told}");
    assert!(
        home(&larder)
            .text()
            .contains("Degraded: cannot reach gitlab")
    );
    larder.terminate();
    let offline = Larder::builder(&gitlab)
        .argument("--offline")
        .at_home_of(&larder)
        .start();
    let told = status(&offline);
    assert_eq!(
        (&told["state"]["word"], &told["upstreams"][0]["state"]),
        (&"offline".into(), &"not_asked".into())
    );
    assert!(home(&offline).text().contains("Offline, as configured"));
}

/// A project as JSON, as this client sees it.
fn project(client: &Client, address: &str) -> serde_json::Value {
    let reply = client.get_with(address, &[("Accept", "application/json")]);
    reply.expect(200);
    reply.json()
}

#[test]
fn a_project_shows_its_versions_newest_first_and_what_is_held() {
    let wheels = ["1.9", "1.10", "2.0rc1"].map(|version| {
        Distribution::new("kestrel.tool", version)
            .requires_python(">=3.8")
            .payload(20_000)
            .wheel()
    });
    let gitlab = GitLab::start();
    wheels.iter().for_each(|wheel| gitlab.publish(42, wheel));
    let larder = Larder::start(&gitlab);
    let reader = larder.client().token(token::READER);
    reader.get(&path::project_file(42, &wheels[1])).expect(200);
    kept(&larder, &wheels[1]);
    for address in [
        "/-/projects/42/Kestrel_Tool",
        "/-/projects/acme%2Fwidgets/kestrel-tool",
        "/-/groups/7/kestrel-tool",
    ] {
        let shown = project(&reader, address);
        let releases = shown["releases"].as_array().expect("a list");
        let versions: Vec<_> = releases
            .iter()
            .map(|release| release["version"].as_str().unwrap_or_default())
            .collect();
        assert_eq!(versions, ["2.0rc1", "1.10", "1.9"], "{shown}");
        let held: Vec<_> = releases
            .iter()
            .map(|release| release["files"][0]["held"] == true)
            .collect();
        // A file is held by its address, and a group's addresses are others.
        assert_eq!(
            held,
            [false, address.contains("projects"), false],
            "{address}: {shown}"
        );
        let sizes: Vec<_> = releases
            .iter()
            .map(|release| release["files"][0]["size_bytes"].as_u64())
            .collect();
        let size = wheels[1].bytes.len() as u64;
        assert_eq!(
            sizes,
            [None, held[1].then_some(size), None],
            "GitLab's page tells none: {shown}"
        );
        let first = &releases[0]["files"][0];
        assert_eq!(first["sha256"], wheels[2].sha256.as_str());
        assert_eq!(first["requires_python"], ">=3.8");
        let url = first["url"].as_str().expect("an address");
        assert_eq!(reader.head(url).status, 200, "{url}");
    }
    let page = reader.get("/-/projects/42/kestrel-tool");
    page.expect(200);
    for word in [
        "<h1>kestrel-tool</h1>",
        "held here",
        "not held",
        "Python &gt;=3.8",
        &wheels[0].sha256,
    ] {
        assert!(page.text().contains(word), "{word}: {}", page.text());
    }
}

/// Whoever may not read a project learns nothing from its page for people that its page for clients
/// would not tell, and nothing tells what is held here from what is not.
#[test]
fn r24_the_never_entitled_get_gitlabs_refusal_for_a_project_whether_it_is_held_or_unknown() {
    let wheel = secret_wheel();
    let gitlab = GitLab::builder()
        .set(|settings| settings.forwarding = false)
        .start();
    gitlab.publish(42, &wheel);
    let (warm, cold) = (Larder::start(&gitlab), Larder::start(&gitlab));
    let reader = warm.client().token(token::READER);
    reader.get(&path::project_file(42, &wheel)).expect(200);
    kept(&warm, &wheel);
    for address in ["/-/projects/42/kestrel-tool", "/-/groups/7/kestrel-tool"] {
        assert_eq!(project(&reader, address)["files"], 1);
    }
    let nobody: [fn(Client) -> Client; 6] = [
        |client| client,
        |client| client.token("nobody"),
        |client| client.token(token::STRANGER),
        |client| client.private_token(token::REVOKED),
        |client| client.token(token::EXPIRED),
        |client| client.bearer(token::NARROW),
    ];
    let fields = |reply: &Reply| {
        let mut fields: Vec<_> = reply.headers.iter().map(|(name, _)| name.clone()).collect();
        fields.sort();
        fields
    };
    for (number, dress) in nobody.into_iter().enumerate() {
        for (view, clients) in [
            ("/-/projects/42/NAME", path::project_page(42, "NAME")),
            ("/-/groups/7/NAME", path::group_page(7, "NAME")),
        ] {
            for accept in ["text/html", "application/json"] {
                for method in ["GET", "HEAD"] {
                    let get = |larder: &Larder, address: &str, name: &str| {
                        let address = address.replace("NAME", name);
                        dress(larder.client()).request(method, &address, &[("Accept", accept)])
                    };
                    let case = format!("{method} {view} {accept} as {number}");
                    let held = get(&warm, view, "kestrel-tool");
                    assert!(
                        held.status >= 400 && !format!("{held:?}").contains(CANARY),
                        "{case}: {held:?}"
                    );
                    let unknown = get(&warm, view, "no-such-tool");
                    let elsewhere = get(&cold, view, "kestrel-tool");
                    let page = dress(warm.client()).request(
                        method,
                        &clients.replace("NAME", "kestrel-tool"),
                        &[("Accept", JSON)],
                    );
                    for (other, which) in [
                        (&unknown, "unknown"),
                        (&elsewhere, "cold"),
                        (&page, "the page"),
                    ] {
                        assert_eq!(
                            (held.status, held.text()),
                            (other.status, other.text()),
                            "{case}: {which}"
                        );
                        assert_eq!(fields(&held), fields(other), "{case}: {which}");
                        assert_eq!(
                            held.header("Cache-Status"),
                            other.header("Cache-Status"),
                            "{case}: {which}"
                        );
                    }
                }
            }
        }
    }
    // GitLab's own challenge reaches a browser, which then asks its person.
    let anonymous = warm.client().get("/-/projects/42/kestrel-tool");
    assert_eq!(anonymous.status, 401);
    assert!(
        anonymous
            .header("WWW-Authenticate")
            .is_some_and(|challenge| challenge.starts_with("Basic"))
    );
    gitlab.log().assert_nothing_unexpected();
}

#[test]
fn a_revoked_caller_loses_the_project_within_the_grant() {
    let gitlab = GitLab::start();
    gitlab.publish(42, secret_wheel());
    let larder = Larder::builder(&gitlab)
        .sections("[auth]\ncache_ttl = \"0s\"")
        .start();
    let reader = larder.client().token(token::READER);
    reader.get("/-/projects/42/kestrel-tool").expect(200);
    gitlab.revoke(token::READER);
    assert_eq!(reader.get("/-/projects/42/kestrel-tool").status, 401);
}

#[test]
fn what_uploaders_write_is_text() {
    let attack = "</p><script>alert(1)</script><img src=x onerror=alert(2)>";
    let index = PublicIndex::start();
    let digest = "0".repeat(64);
    let body = serde_json::json!({
        "meta": {"api-version": "1.0"},
        "name": "left-pad",
        "project-status": {"status": "archived", "reason": attack},
        "files": [
            {
                "filename": "left_pad-1.0\"><b>x-py3-none-any.whl",
                "url": format!("{}/packages/left_pad-1.0-py3-none-any.whl", index.files_origin()),
                "hashes": {"sha256": digest}, "requires-python": attack, "yanked": attack,
            },
            {"filename": "left_pad-2.0.tar.gz", "url": "javascript:alert(3)", "hashes": {"sha256": digest}},
            {"filename": "left_pad-3.0.tar.gz", "url": "/-/?x", "hashes": {"sha256": digest}},
        ],
    });
    index.serve_verbatim("left-pad", JSON, body.to_string());
    let larder = Larder::builder(&GitLab::start())
        .mirror("pypi", &index)
        .start();
    let page = larder.client().get("/-/mirrors/pypi/left-pad");
    page.expect(200);
    let text = page.text();
    for word in [
        "<script>alert",
        "<img",
        "<b>x",
        "javascript:",
        "href=\"/-/?x",
    ] {
        assert!(!text.contains(word), "{word} in {text}");
    }
    assert!(
        text.contains("&lt;script&gt;alert(1)"),
        "it is shown, as text: {text}"
    );
}

#[test]
fn r31_a_private_name_is_no_mirrors_project() {
    let index = PublicIndex::builder().offering(secret_wheel()).start();
    index.declare_private(&["kestrel-*"]);
    let larder = Larder::builder(&GitLab::start())
        .mirror("pypi", &index)
        .private_names(&["kestrel-*"])
        .start();
    for accept in ["text/html", "application/json"] {
        let reply = larder
            .client()
            .get_with("/-/mirrors/pypi/kestrel-tool", &[("Accept", accept)]);
        assert_eq!(reply.status, 404, "{reply:?}");
    }
    assert_eq!(index.log().len(), 0);
}

#[test]
fn where_gitlab_refers_elsewhere_a_person_stays_here() {
    let gitlab = GitLab::builder()
        .set(|settings| settings.forwarding = true)
        .start();
    let larder = Larder::start(&gitlab);
    let reply = larder
        .client()
        .token(token::READER)
        .get("/-/projects/42/left-pad");
    assert_eq!(
        (reply.status, reply.header("Location")),
        (404, None),
        "{reply:?}"
    );
    assert!(reply.text().contains("refers clients to a public index"));
}

#[test]
fn offline_a_project_is_shown_by_the_operators_rule() {
    let wheel = secret_wheel();
    let gitlab = GitLab::start();
    gitlab.publish(42, &wheel);
    let mut larder = Larder::start(&gitlab);
    let reader = larder.client().token(token::READER);
    reader
        .get(&path::project_page(42, "kestrel-tool"))
        .expect(200);
    reader.get(&path::project_file(42, &wheel)).expect(200);
    kept(&larder, &wheel);
    larder.terminate();
    let offline = |rule: &str| {
        let sections = format!("[auth]\noffline = {rule:?}");
        Larder::builder(&gitlab)
            .argument("--offline")
            .sections(&sections)
            .at_home_of(&larder)
            .start()
    };
    let mut shut = offline("deny");
    for name in ["kestrel-tool", "no-such-tool"] {
        let reply = shut
            .client()
            .token(token::READER)
            .get(&format!("/-/projects/42/{name}"));
        assert_eq!(reply.status, 403, "{reply:?}");
        assert!(!reply.text().contains(name));
    }
    shut.terminate();
    let open = offline("open");
    let shown = project(&open.client(), "/-/projects/42/kestrel-tool");
    assert_eq!(
        (&shown["files"], &shown["held"]),
        (&1.into(), &1.into()),
        "{shown}"
    );
    assert_eq!(open.client().get("/-/projects/42/no-such-tool").status, 404);
}
