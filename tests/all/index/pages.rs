//! Pages: only links change, one question where one is due, and never anything that is not a page.

use std::time::{Duration, Instant};

use crate::common::delivery::eventually;
use crate::support::{
    Act, Answer, Artifact, Client, Distribution, GitLab, Kind, Larder, NewFile, Reply, Site,
    StoreListing, path, token,
};

const PROBLEM: &str = "application/problem+json";

fn page() -> String {
    path::project_page(42, "my-pkg")
}

fn reader(larder: &Larder) -> Client {
    larder.client().token(token::READER)
}

/// Fresh for so long, with rights that last.
fn with_ttl(gitlab: &GitLab, time: &str) -> Larder {
    let sections = format!("[index]\nttl = {time:?}\n[auth]\ncache_ttl = \"300s\"");
    Larder::builder(gitlab).sections(&sections).start()
}

/// Takes this page for one of GitLab's own, with links to whatever base it stands in front of.
fn forge(gitlab: &GitLab, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) {
    let mut answer = Answer::new(200).body(body.into());
    for (name, value) in headers {
        answer = answer.header(name, *value);
    }
    gitlab.plan(Act::Answer(answer).at(Kind::Page));
}

fn gzipped(text: &str) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder
        .write_all(text.as_bytes())
        .expect("writing to memory");
    encoder.finish().expect("writing to memory")
}

/// The page with its links mapped back: what GitLab sent, if nothing else has changed.
fn mapped_back(gitlab: &GitLab, text: &str) -> String {
    text.replace(
        "href=\"/api/v4/",
        &format!("href=\"{}/api/v4/", gitlab.url()),
    )
}

#[test]
fn r8_only_links_change_on_a_page() {
    for (leading_spaces, gzip) in [(false, false), (true, false), (false, true), (true, true)] {
        let gitlab = GitLab::builder()
            .set(|settings| (settings.leading_spaces, settings.gzip) = (leading_spaces, gzip))
            .holding(|universe| {
                let odd = Distribution::new("odd", "1.0").wheel();
                universe.publish(
                    42,
                    NewFile::from(&odd).requires_python(">=3.7,<4, !=3.9.* ; 'x' & \"y\""),
                );
                universe.publish(42, NewFile::from(&odd).declared_sha256(""));
                universe.publish(
                    42,
                    NewFile::from(&odd).declared_sha256(&odd.sha256.to_uppercase()),
                );
                universe.publish(
                    42,
                    Distribution::new("odd", "1.1").requires_python("").sdist(),
                );
            })
            .start();
        let larder = Larder::start(&gitlab);
        let direct = Client::new(gitlab.address()).token(token::READER);
        for address in [
            page(),
            path::project_page(42, "odd"),
            path::project_index(42),
            path::group_page(7, "odd"),
            path::group_page(7, "my-pkg"),
            path::group_index(7),
        ] {
            let case = format!("spaces: {leading_spaces}, gzip: {gzip}, {address}");
            let text = String::from_utf8(reader(&larder).get(&address).expect(200).to_vec())
                .expect("text");
            let theirs = direct.get(&address).text();
            assert_eq!(mapped_back(&gitlab, &text), theirs, "{case}");
            let links = theirs.matches("<a href=").count();
            let served = text.matches("href=\"/api/v4/").count();
            // A link without a digest leads nowhere, at GitLab or here.
            let dead = theirs.matches("/files//").count();
            assert_eq!((served, links > 0), (links - dead, true), "{case}: {text}");
        }
        if gzip {
            assert_eq!(
                gitlab.log().last(Kind::Page).head.header("Accept-Encoding"),
                None,
                "the direct one"
            );
            assert!(
                gitlab.log().of(Kind::Page)[0]
                    .head
                    .header_contains("Accept-Encoding", "gzip")
            );
        }
    }
}

#[test]
fn r8_attributes_and_markup_nobody_knows_survive() {
    let gitlab = GitLab::start();
    let (url, sha) = (gitlab.url().to_owned(), "5".repeat(64));
    let files = format!("{url}/api/v4/projects/42/packages/pypi/files/{sha}");
    let html = format!(
        "\u{feff}<!DOCTYPE html>\r\n<html>\r\n<!-- <a href=\"{files}/comment-1.0.zip\"> -->\
         <head><meta name=\"pypi:repository-version\" content=\"1.4\"><title>Links for \u{e4}\u{1f4e6}</title>\
         <style>a[href='{url}'] {{ color: red }}</style><script>var x = '<a href=\"{files}/s.zip\">';</script></head>\
         <body data-x='1'>\n<A HREF='{files}/a-1.0.zip#sha256={sha}' data-yanked data-core-metadata=\"sha256={sha}\" \
         data-new=yes data-requires-python=\"\" rel=internal>a-1.0.zip</A><br/>\n\
         <a href={files}/b-1.0.zip>b-1.0.zip</a><a  \n href = \"{files}/c-1.0.zip#egg=x&amp;y\" >c&nbsp;</a>\n\
         <p>unclosed &unknown; <b><i>wrong</b></i>\n<img src=\"{files}/d.zip\"><a>no href</a><a name=\"x\" href=\"\"></a>\
         \t</body></html><!-- the end -->\n\n"
    );
    forge(
        &gitlab,
        &[
            ("Content-Type", "TEXT/HTML; charset=UTF-8"),
            ("ETag", "W/\"1\""),
        ],
        html.clone(),
    );
    let larder = Larder::start(&gitlab);
    let text = String::from_utf8(reader(&larder).get(&page()).expect(200).to_vec()).expect("text");
    let served = text.replace("'/api/v4/", &format!("'{url}/api/v4/"));
    let served = served.replace("\"/api/v4/", &format!("\"{url}/api/v4/"));
    let served = served.replace("=/api/v4/", &format!("={url}/api/v4/"));
    // Quotes around a rewritten link are larder's to choose; nothing else is.
    let bare = |text: &str| text.replace(['"', '\''], "");
    assert_eq!(bare(&served), bare(&html));
    for name in ["a-1.0.zip", "b-1.0.zip", "c-1.0.zip"] {
        let link = format!("/api/v4/projects/42/packages/pypi/files/{sha}/{name}");
        assert!(
            text.contains(&link) && !text.contains(&format!("{url}{link}")),
            "{name}: {text}"
        );
    }
    assert!(
        text.contains(&format!("<img src=\"{files}/d.zip\">")),
        "{text}"
    );
}

#[test]
fn within_freshness_only_no_cache_asks() {
    let gitlab = GitLab::start();
    let larder = with_ttl(&gitlab, "300s");
    for address in [
        page(),
        path::project_index(42),
        path::group_page(7, "my-pkg"),
        path::group_index(7),
    ] {
        gitlab.log().clear();
        let first = reader(&larder).get(&address);
        first.expect(200);
        for (cache_control, asked) in [
            ("", 1),
            ("max-age=0", 1),
            ("max-age=0, must-revalidate", 1),
            ("no-store", 1),
            ("no-cache", 2),
            ("max-age=0, No-Cache", 3),
            ("", 3),
        ] {
            let headers = [("Cache-Control", cache_control)];
            let headers = if cache_control.is_empty() {
                &[][..]
            } else {
                &headers[..]
            };
            let reply = reader(&larder).get_with(&address, headers);
            assert_eq!(reply.expect(200), first.body, "{address}, {cache_control}");
            assert_eq!(
                gitlab.log().len(),
                asked,
                "{address}, after {cache_control:?}"
            );
        }
    }
}

#[test]
fn a_stale_page_is_asked_about_with_exactly_gitlabs_own_validator() {
    let gitlab = GitLab::start();
    let larder = with_ttl(&gitlab, "0s");
    let direct = Client::new(gitlab.address()).token(token::READER);
    for address in [
        page(),
        path::project_index(42),
        path::group_page(7, "my-pkg"),
        path::group_index(7),
    ] {
        let etag = direct
            .get(&address)
            .header("ETag")
            .expect("GitLab's pages have one")
            .to_owned();
        let first = reader(&larder).get(&address);
        assert_ne!(
            first.header("ETag"),
            Some(etag.as_str()),
            "larder's bytes are not GitLab's"
        );
        for headers in [
            vec![],
            vec![("If-None-Match", first.header("ETag").expect("one"))],
            vec![("If-None-Match", "W/\"x\"")],
        ] {
            gitlab.log().clear();
            let reply = reader(&larder).get_with(&address, &headers);
            let known = headers
                .first()
                .is_some_and(|(_, value)| Some(*value) == first.header("ETag"));
            assert_eq!(
                reply.status,
                if known { 304 } else { 200 },
                "{address} {headers:?}: {reply:?}"
            );
            let asked = gitlab.log().answered();
            assert_eq!(asked.len(), 1, "{address}");
            let sent: Vec<_> = asked[0]
                .head
                .headers
                .iter()
                .filter(|(name, _)| name.to_ascii_lowercase().starts_with("if-"))
                .collect();
            assert_eq!(
                sent,
                [&("if-none-match".to_owned(), etag.clone())],
                "{address}"
            );
            assert_eq!(
                (asked[0].status, asked[0].body_sent),
                (Some(304), 0),
                "{address}"
            );
        }
    }
    // A page that did change is seen at once.
    gitlab.publish(42, Distribution::new("My.Pkg", "2.0").wheel());
    assert!(reader(&larder).get(&page()).text().contains("my_pkg-2.0"));
    assert!(
        reader(&larder)
            .get(&path::group_page(7, "my-pkg"))
            .text()
            .contains("my_pkg-2.0")
    );
}

#[test]
fn twenty_who_ask_for_one_cold_page_cause_one_load() {
    for address in [
        page(),
        path::group_page(7, "my-pkg"),
        path::project_index(42),
    ] {
        let gitlab = GitLab::start();
        let gate = gitlab.hold(Site::Anywhere, 10);
        let larder = Larder::start(&gitlab);
        let clients: Vec<_> = (0..20)
            .map(|_| {
                let (client, address) = (reader(&larder), address.clone());
                std::thread::spawn(move || client.get(&address))
            })
            .collect();
        gate.wait_for(1);
        let until = Instant::now() + Duration::from_secs(5);
        while larder.open_files() < 20 && Instant::now() < until {
            std::thread::yield_now();
        }
        gate.open();
        let pages: Vec<Vec<u8>> = clients
            .into_iter()
            .map(|client| client.join().expect("an answer").expect(200).to_vec())
            .collect();
        assert!(pages.iter().all(|page| *page == pages[0]), "{address}");
        assert_eq!(
            gitlab.log().len(),
            1,
            "{address}: {:#?}",
            gitlab.log().entries()
        );
    }
}

#[test]
fn r9_head_get_and_conditions_agree_in_every_encoding() {
    let gitlab = GitLab::builder()
        .holding(|universe| {
            for version in 0..20 {
                universe.publish(42, Distribution::new("many", &version.to_string()).wheel());
            }
        })
        .start();
    let larder = with_ttl(&gitlab, "300s");
    let client = reader(&larder);
    let page = path::project_page(42, "many");
    let mut etags = Vec::new();
    for (coding, wish) in [
        (None, "identity"),
        (Some("gzip"), "gzip, deflate"),
        (Some("zstd"), "zstd,gzip,deflate"),
    ] {
        let encoding = ("Accept-Encoding", wish);
        for temperature in ["cold", "hot"] {
            let case = format!("{temperature}, {encoding:?}");
            let get = client.get_with(&page, &[encoding]);
            let head = client.request("HEAD", &page, &[encoding]);
            get.expect(200);
            head.expect(200);
            let facts = |reply: &Reply| {
                [
                    "ETag",
                    "Content-Length",
                    "Content-Type",
                    "Content-Encoding",
                    "Vary",
                    "Cache-Control",
                ]
                .map(|name| reply.header(name).map(str::to_owned))
            };
            assert_eq!(facts(&head), facts(&get), "{case}");
            assert_eq!(
                get.header("Content-Length"),
                Some(get.body.len().to_string().as_str()),
                "{case}"
            );
            assert_eq!(get.header("Content-Encoding"), coding, "{case}");
            assert_eq!(
                get.header("Cache-Control"),
                Some("private, no-cache"),
                "{case}"
            );
            assert!(get.header("Date").is_some(), "{case}");
            let vary = get.header("Vary").unwrap_or_default().to_owned();
            for field in [
                "Accept",
                "Accept-Encoding",
                "Authorization",
                "PRIVATE-TOKEN",
                "Deploy-Token",
            ] {
                assert!(
                    vary.split(", ").any(|known| known == field),
                    "{case}: {field} in {vary}"
                );
            }
            let etag = get.header("ETag").expect("pages carry one").to_owned();
            assert!(
                etag.starts_with('"') && etag.ends_with('"'),
                "{case}: {etag} is not strong"
            );
            for list in [
                etag.clone(),
                format!("W/{etag}"),
                format!("\"x\", {etag}"),
                "*".to_owned(),
            ] {
                for method in ["GET", "HEAD"] {
                    let reply =
                        client.request(method, &page, &[encoding, ("If-None-Match", &list)]);
                    assert_eq!(
                        (reply.status, reply.body.len()),
                        (304, 0),
                        "{case}, {method} {list}: {reply:?}"
                    );
                    assert_eq!(reply.header("ETag"), Some(etag.as_str()), "{case}");
                    assert!(
                        reply.header("Vary").is_some() && reply.header("Date").is_some(),
                        "{case}"
                    );
                }
            }
            client
                .get_with(&page, &[encoding, ("If-None-Match", "\"other\"")])
                .expect(200);
            let decoded = match coding {
                None => get.body.clone(),
                Some("gzip") => get.gunzipped(),
                _ => zstd::decode_all(&get.body[..]).expect("a zstd body"),
            };
            etags.push((etag, decoded));
        }
    }
    assert_eq!(etags[0], etags[1], "cold and hot");
    assert_eq!(etags[2], etags[3], "cold and hot, gzip");
    assert_eq!(etags[4], etags[5], "cold and hot, zstd");
    for (one, other) in [(0, 2), (0, 4), (2, 4)] {
        assert_ne!(
            etags[one].0, etags[other].0,
            "two representations, two tags"
        );
        assert_eq!(etags[one].1, etags[other].1, "the same page in both");
    }
    // Another page's tag is no tag of this one's.
    let other = client
        .get(&path::project_index(42))
        .header("ETag")
        .expect("one")
        .to_owned();
    client.get_if_none_match(&page, &other).expect(200);
    assert_eq!(gitlab.log().count(Kind::Page), 1);
}

#[test]
fn pages_survive_a_restart_and_are_asked_about_first() {
    let gitlab = GitLab::start();
    let larder = with_ttl(&gitlab, "300s");
    let addresses = [
        page(),
        path::project_index(42),
        path::group_page(7, "my-pkg"),
        path::group_index(7),
    ];
    let before: Vec<_> = addresses
        .iter()
        .map(|address| reader(&larder).get(address).expect(200).to_vec())
        .collect();
    eventually("the pages are stored", || {
        let listing = StoreListing::of(&larder.cache_dir());
        listing.containing("<title>Links for").len() >= addresses.len()
    });
    let larder = larder.restart();
    gitlab.log().clear();
    // A page on disk is nobody's right: a stranger is told what GitLab says.
    assert_eq!(larder.client().get(&page()).status, 401);
    assert_eq!(
        larder.client().token(token::STRANGER).get(&page()).status,
        404
    );
    gitlab.log().clear();
    for (address, before) in addresses.iter().zip(&before) {
        assert_eq!(
            reader(&larder).get(address).expect(200),
            before,
            "{address}"
        );
    }
    let answers: Vec<_> = gitlab
        .log()
        .answered()
        .iter()
        .map(|entry| (entry.status, entry.body_sent))
        .collect();
    assert_eq!(answers, [(Some(304), 0); 4]);
    gitlab.stop();
    for address in &addresses {
        reader(&larder).get(address).expect(200);
    }
}

/// What it is, its fields, its body.
type Impostor = (&'static str, Vec<(&'static str, &'static str)>, Vec<u8>);

/// What may come with 200 and is no index page, and how it comes.
fn impostors(good: &str) -> Vec<Impostor> {
    let html = ("Content-Type", "text/html; charset=utf-8");
    let sign_in = "<!DOCTYPE html><html><head><title>Sign in · GitLab</title></head><body><form action=\"/users/sign_in\" \
                   method=\"post\"><input type=\"password\" name=\"user[password]\"></form></body></html>";
    let down = "<!DOCTYPE html><html><head><title>GitLab is not responding</title></head><body><h1>502</h1>\
                <p>Whoops</p><a href=\"/\">Home</a></body></html>";
    let cut = |at: &str| good.as_bytes()[..good.find(at).expect("a part of the page")].to_vec();
    vec![
        ("a sign-in page", vec![html], sign_in.into()),
        ("an error page", vec![html], down.into()),
        (
            "JSON",
            vec![("Content-Type", "application/json")],
            b"{\"files\":[]}".to_vec(),
        ),
        ("JSON as HTML", vec![html], b"{\"message\":\"ok\"}".to_vec()),
        (
            "a message under the type of an index",
            vec![("Content-Type", "application/vnd.pypi.simple.v1+json")],
            b"{\"message\":\"ok\"}".to_vec(),
        ),
        ("no type", vec![], good.into()),
        (
            "plain text",
            vec![("Content-Type", "text/plain")],
            good.into(),
        ),
        ("nothing", vec![html], Vec::new()),
        ("white space", vec![html], b" \n\t ".to_vec()),
        ("a page without its end", vec![html], cut("</body>")),
        ("a page cut in a link", vec![html], cut("/files/")),
        ("a page cut in its head", vec![html], cut("<title>")),
        (
            "an encoding nobody asked for",
            vec![html, ("Content-Encoding", "br")],
            good.into(),
        ),
        (
            "no gzip at all",
            vec![html, ("Content-Encoding", "gzip")],
            good.into(),
        ),
        ("half a gzip", vec![html, ("Content-Encoding", "gzip")], {
            let all = gzipped(good);
            all[..all.len() / 2].to_vec()
        }),
        (
            "gzip without its checksum",
            vec![html, ("Content-Encoding", "gzip")],
            {
                let all = gzipped(good);
                all[..all.len() - 4].to_vec()
            },
        ),
    ]
}

#[track_caller]
fn assert_is_a_problem(case: &str, gitlab: &GitLab, reply: &Reply, status: u16) {
    assert_eq!(reply.status, status, "{case}: {reply:?}");
    assert!(reply.is_complete(), "{case}: {reply:?}");
    assert_eq!(reply.header("Content-Type"), Some(PROBLEM), "{case}");
    let problem = reply.json();
    let detail = problem["detail"].as_str().unwrap_or_default();
    assert_eq!(problem["status"], status, "{case}");
    assert!(
        detail.len() > 15 && !detail.contains('\n'),
        "{case}: {problem}"
    );
    let phrase = &reply.reason;
    assert!(
        phrase.len() > 15 && phrase.is_ascii() && *phrase != "Bad Gateway",
        "{case}: {phrase}"
    );
    let shown = format!("{reply:?}");
    let address = gitlab.address();
    for private in [
        address.to_string(),
        address.port().to_string(),
        gitlab.url().to_owned(),
        "src/".to_owned(),
    ] {
        assert!(!shown.contains(&private), "{case}: {private} in {shown}");
    }
}

#[test]
fn r8_what_is_no_page_is_never_taken_for_one_nor_kept() {
    let gitlab = GitLab::start();
    let good = Client::new(gitlab.address())
        .token(token::READER)
        .get(&page())
        .text();
    for (case, headers, body) in impostors(&good) {
        let larder = with_ttl(&gitlab, "300s");
        forge(&gitlab, &headers, body.clone());
        for method in ["GET", "HEAD"] {
            let reply = reader(&larder).request(method, &page(), &[]);
            assert_eq!(reply.status, 502, "{case}: {reply:?}");
            if method == "GET" {
                assert_is_a_problem(case, &gitlab, &reply, 502);
            }
        }
        gitlab.behave();
        let kept = StoreListing::of(&larder.cache_dir());
        let parts = ["<title>", "user[password]", "Whoops", "\"files\""];
        assert!(
            parts.iter().all(|part| kept.containing(part).is_empty()),
            "{case}: {kept:?}"
        );
        // The next good answer works, in full.
        gitlab.log().clear();
        assert_eq!(
            mapped_back(&gitlab, &reader(&larder).get(&page()).text()),
            good,
            "{case}"
        );
        assert_eq!(
            gitlab.log().of(Kind::Page)[0].head.header("If-None-Match"),
            None,
            "{case}"
        );

        // And it takes the place of no page that is there.
        forge(&gitlab, &headers, body);
        for _ in 0..2 {
            let reply = reader(&larder).get_with(&page(), &[("Cache-Control", "no-cache")]);
            assert_eq!(
                mapped_back(&gitlab, &String::from_utf8_lossy(reply.expect(200))),
                good,
                "{case}"
            );
            let word = reply.header("Cache-Status").unwrap_or_default();
            assert!(
                word.contains("hit") && word.contains("detail=stale"),
                "{case}: {word}"
            );
        }
        let stranger = larder.client().token(token::STRANGER);
        let reply = stranger.get(&page());
        assert_eq!(reply.status, 502, "{case}: a stranger was shown {reply:?}");
        gitlab.behave();
    }
}

#[test]
fn r8_a_page_that_breaks_off_anywhere_is_never_completed() {
    let gitlab = GitLab::builder()
        .holding(|universe| {
            for version in 0..30 {
                universe.publish(42, Distribution::new("many", &version.to_string()).wheel());
            }
        })
        .start();
    let larder = Larder::builder(&gitlab)
        .gitlab_setting("retries = 0")
        .start();
    let address = path::project_page(42, "many");
    let length = Client::new(gitlab.address())
        .token(token::READER)
        .get(&address)
        .body
        .len() as u64;
    assert!(length > 6000, "{length}");
    let mut cuts: Vec<u64> = (0..length).step_by(1024).collect();
    cuts.extend([1, length - 30, length - 9, length - 2, length - 1]);
    for after in cuts {
        for (kind, acts) in [
            ("short of its length", vec![Act::Close { after }]),
            ("reset", vec![Act::Reset { after }]),
            ("chunks, closed", vec![Act::Chunked, Act::Close { after }]),
            ("chunks, reset", vec![Act::Chunked, Act::Reset { after }]),
        ] {
            let case = format!("{kind} after {after} of {length}");
            for act in acts {
                gitlab.plan(act.at(Kind::Page));
            }
            let reply = reader(&larder).get(&address);
            assert_is_a_problem(&case, &gitlab, &reply, 502);
            gitlab.behave();
        }
    }
    gitlab.plan(Act::ChunkedWithoutEnd.at(Kind::Page));
    assert_is_a_problem(
        "no last chunk",
        &gitlab,
        &reader(&larder).get(&address),
        502,
    );
    gitlab.behave();
    // Closed after half: no length said, and only the missing end tells.
    for after in [length / 2, length - 20] {
        gitlab.plan(Act::UntilClose.at(Kind::Page));
        gitlab.plan(Act::Close { after }.at(Kind::Page));
        let case = format!("ended by the connection after {after}");
        assert_is_a_problem(&case, &gitlab, &reader(&larder).get(&address), 502);
        gitlab.behave();
    }
    assert!(
        StoreListing::of(&larder.cache_dir())
            .containing("<title>")
            .is_empty()
    );
    assert_eq!(
        reader(&larder)
            .get(&address)
            .text()
            .matches("<a href")
            .count(),
        30
    );
}

#[test]
fn r8_a_broken_upstream_is_502_and_a_dead_one_504() {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab)
        .gitlab_setting("breaker_failures = 0")
        .start();
    let client = reader(&larder);
    for status in [500, 501, 502, 503, 504, 520, 599] {
        gitlab.plan(Act::Status(status).at(Site::Anywhere));
        for address in [page(), path::project_index(42), path::group_page(7, "x")] {
            let case = format!("{status} at {address}");
            assert_is_a_problem(&case, &gitlab, &client.get(&address), 502);
        }
        gitlab.behave();
    }
    for act in [Act::CutHead { after: 0 }, Act::CutHead { after: 12 }] {
        gitlab.plan(act.clone().at(Site::Anywhere));
        let reply = client.get(&page());
        assert_is_a_problem(&format!("{act:?}"), &gitlab, &reply, 502);
        gitlab.behave();
    }
    gitlab.stop();
    for address in [page(), path::project_index(42), path::group_index(7)] {
        let reply = client.get(&address);
        assert_is_a_problem(&format!("stopped: {address}"), &gitlab, &reply, 504);
        // Said at once, not after a client's patience: two short retries lie in between.
        assert!(
            reply.took < Duration::from_secs(3),
            "{address}: {:?}",
            reply.took
        );
    }
    gitlab.resume();
    client.get(&page()).expect(200);
}

#[test]
fn r11_a_stale_page_is_shown_to_those_whose_right_stands_and_to_nobody_else() {
    type Trouble = (&'static str, u16, fn(&GitLab));
    let troubles: [Trouble; 3] = [
        ("stopped", 504, |gitlab| gitlab.stop()),
        ("500", 502, |gitlab| {
            gitlab.plan(Act::Status(500).at(Site::Anywhere));
        }),
        ("no head", 502, |gitlab| {
            gitlab.plan(Act::CutHead { after: 0 }.at(Site::Anywhere));
        }),
    ];
    for (trouble, status, begin) in troubles {
        let gitlab = GitLab::start();
        let larder = Larder::builder(&gitlab)
            .gitlab_setting("retries = 0\nbreaker_failures = 0")
            .sections("[index]\nttl = \"0s\"\n[auth]\ncache_ttl = \"300s\"")
            .start();
        let addresses = [
            page(),
            path::project_index(42),
            path::group_page(7, "my-pkg"),
            path::group_index(7),
        ];
        let before: Vec<_> = addresses
            .iter()
            .map(|address| reader(&larder).get(address).expect(200).to_vec())
            .collect();
        begin(&gitlab);
        for (address, before) in addresses.iter().zip(&before) {
            let case = format!("{trouble}: {address}");
            let reply = reader(&larder).get(address);
            assert_eq!(reply.expect(200), before, "{case}");
            assert!(
                reply
                    .header("Cache-Status")
                    .is_some_and(|word| word.contains("hit")),
                "{case}: {reply:?}"
            );
            assert!(reply.header("Age").is_some(), "{case}: {reply:?}");
            let others = [
                larder.client(),
                larder.client().token(token::STRANGER),
                larder.client().token(token::DEVELOPER),
            ];
            for other in others {
                assert_is_a_problem(&case, &gitlab, &other.get(address), status);
            }
        }
        // What nobody has seen yet is said to be unknown, never to be absent.
        let unseen = reader(&larder).get(&path::project_page(42, "unseen"));
        assert_is_a_problem(trouble, &gitlab, &unseen, status);
        gitlab.behave();
        if status == 504 {
            gitlab.resume();
        }
        gitlab.publish(42, Distribution::new("My.Pkg", "3.0").wheel());
        assert!(
            reader(&larder).get(&page()).text().contains("my_pkg-3.0"),
            "{trouble}: nothing needs mending"
        );
    }
}

#[test]
fn a_stale_page_ends_with_its_time_and_with_the_right() {
    for (sections, case) in [
        (
            "[index]\nttl = \"0s\"\nstale_if_error = \"1s\"\n[auth]\ncache_ttl = \"300s\"",
            "stale_if_error",
        ),
        (
            "[index]\nttl = \"0s\"\n[auth]\ncache_ttl = \"1s\"",
            "cache_ttl",
        ),
    ] {
        let gitlab = GitLab::start();
        let larder = Larder::builder(&gitlab)
            .gitlab_setting("retries = 0")
            .sections(sections)
            .start();
        reader(&larder).get(&page()).expect(200);
        gitlab.stop();
        let until = Instant::now() + Duration::from_secs(8);
        while reader(&larder).get(&page()).status == 200 {
            assert!(Instant::now() < until, "{case} has no end");
            std::thread::yield_now();
        }
        assert_is_a_problem(case, &gitlab, &reader(&larder).get(&page()), 504);
    }
}

#[test]
fn r16_throttling_passes_with_its_fields_and_is_not_kept() {
    let gitlab = GitLab::start();
    let file = path::project_file(
        42,
        &Distribution::new("My.Pkg", "1.0.0")
            .requires_python(">=3.8")
            .wheel(),
    );
    for address in [
        page(),
        path::project_index(42),
        path::group_page(7, "my-pkg"),
        file.clone(),
    ] {
        gitlab.set(|settings| settings.throttle = Some(12));
        let larder = Larder::start(&gitlab);
        let reply = reader(&larder).get(&address);
        assert_eq!(
            (reply.status, reply.text().as_str()),
            (429, "Retry later"),
            "{address}"
        );
        for (name, value) in [
            ("Retry-After", "12"),
            ("RateLimit-Limit", "3200"),
            ("RateLimit-Name", "throttle_unauthenticated_packages_api"),
            ("RateLimit-Observed", "801"),
            ("RateLimit-Remaining", "0"),
            ("RateLimit-Reset", "1704164645"),
            ("RateLimit-ResetTime", "Tue, 02 Jan 2024 03:04:05 GMT"),
            ("Content-Type", "text/plain"),
        ] {
            assert_eq!(reply.header(name), Some(value), "{address}: {reply:?}");
        }
        assert_eq!(
            gitlab.log().len(),
            1,
            "asked once: the wait is the client's"
        );
        gitlab.set(|settings| settings.throttle = None);
        larder
            .client()
            .token(token::DEVELOPER)
            .get(&address)
            .expect(200);
        gitlab.log().clear();
    }
}

#[test]
fn a_304_to_a_plain_request_is_no_page() {
    let gitlab = GitLab::start();
    let larder = Larder::start(&gitlab);
    gitlab.plan(Act::Answer(Answer::new(304)).at(Kind::Page));
    assert_eq!(reader(&larder).get(&page()).status, 502);
    gitlab.behave();
    reader(&larder).get(&page()).expect(200);
}

/// A project with so many files of one release.
fn many_files(count: usize) -> GitLab {
    let file = |number: usize| {
        let filename = format!("crowd-1.0-{number}-py3-none-any.whl");
        Artifact::opaque("crowd", "1.0", &filename, number.to_string().into_bytes())
    };
    GitLab::builder()
        .holding(|universe| {
            for number in 0..count {
                universe.publish(42, NewFile::from(file(number)).requires_python(">=3.8"));
            }
        })
        .start()
}

#[test]
fn a_page_too_large_to_keep_streams_through_rewritten() {
    let gitlab = many_files(1000);
    let larder = Larder::builder(&gitlab)
        .gitlab_setting("retries = 0")
        .sections("[index]\npage_size = \"100KiB\"\nttl = \"300s\"")
        .start();
    let address = path::project_page(42, "crowd");
    let theirs = Client::new(gitlab.address())
        .token(token::READER)
        .get(&address)
        .text();
    for gzip in [false, true] {
        gitlab.set(|settings| settings.gzip = gzip);
        for _ in 0..2 {
            gitlab.log().clear();
            let reply = reader(&larder).get(&address);
            assert_eq!(
                mapped_back(&gitlab, &String::from_utf8_lossy(reply.expect(200))),
                theirs
            );
            assert_eq!(reply.text().matches("href=\"/api/v4/").count(), 1000);
            assert_eq!(gitlab.log().count(Kind::Page), 1, "kept nowhere");
        }
    }
    assert!(
        StoreListing::of(&larder.cache_dir())
            .containing("crowd")
            .is_empty()
    );
    // Each caller gets a stream of his own, and so does a stranger GitLab's word.
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (client, address) = (reader(&larder), address.clone());
            std::thread::spawn(move || client.get(&address).expect(200).len())
        })
        .collect();
    let lengths: Vec<usize> = callers
        .into_iter()
        .map(|caller| caller.join().expect("an answer"))
        .collect();
    assert!(
        lengths.iter().all(|length| *length == lengths[0]),
        "{lengths:?}"
    );
    assert_eq!(
        larder.client().token(token::STRANGER).get(&address).status,
        404
    );
    let file = Artifact::opaque("crowd", "1.0", "crowd-1.0-7-py3-none-any.whl", &b"7"[..]);
    assert_eq!(
        reader(&larder)
            .get(&path::project_file(42, &file))
            .expect(200),
        b"7"
    );

    // Broken off when the head has long been sent: cut, never completed.
    gitlab.set(|settings| settings.gzip = false);
    let length = theirs.len() as u64;
    for act in [
        Act::Close { after: length - 10 },
        Act::Reset { after: length - 10 },
        Act::ChunkedWithoutEnd,
    ] {
        gitlab.plan(act.clone().at(Kind::Page));
        let reply = reader(&larder).get(&address);
        assert!(
            !reply.is_complete() || reply.status == 502,
            "{act:?}: {:?}",
            reply.ending
        );
        gitlab.behave();
    }
}

#[test]
fn a_page_of_ten_thousand_files_takes_little_memory() {
    let gitlab = many_files(10_000);
    let larder = with_ttl(&gitlab, "300s");
    let address = path::project_page(42, "crowd");
    let idle = larder.resident_bytes();
    let theirs = Client::new(gitlab.address())
        .token(token::READER)
        .get(&address)
        .text();
    let cold = reader(&larder).get(&address);
    assert_eq!(
        mapped_back(&gitlab, &String::from_utf8_lossy(cold.expect(200))),
        theirs
    );
    let after_cold = larder.peak_resident_bytes();
    for _ in 0..20 {
        assert_eq!(reader(&larder).get(&address).expect(200), cold.body);
        reader(&larder)
            .get_with(&address, &[("Accept-Encoding", "gzip")])
            .expect(200);
    }
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (client, address) = (reader(&larder), address.clone());
            std::thread::spawn(move || client.get(&address).expect(200).len())
        })
        .collect();
    callers
        .into_iter()
        .for_each(|caller| assert_eq!(caller.join().expect("an answer"), cold.body.len()));
    let peak = larder.peak_resident_bytes();
    let mebibytes = |bytes: u64| bytes >> 20;
    let figures = format!(
        "a page of {} KiB: idle {} MiB, peak cold {} MiB, peak hot {} MiB, then {} MiB",
        cold.body.len() >> 10,
        mebibytes(idle),
        mebibytes(after_cold),
        mebibytes(peak),
        mebibytes(larder.resident_bytes()),
    );
    println!("{figures}");
    // What a binary with its debug information maps for itself is in both.
    assert!(mebibytes(peak - idle) < 28, "{figures}");
    assert_eq!(
        gitlab.log().count(Kind::Page),
        2,
        "one by larder, one by the test"
    );
}
