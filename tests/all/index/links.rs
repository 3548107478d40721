//! Links that are unlike most: with a query, with odd names, to `NAME/index.html`, beside an
//! unusable entry, and below a path that holds a token.

use crate::common::delivery::kept;
use crate::common::mirror::{
    AHEAD, FORMATS, HTML, JSON, file, get_as, larder, listed, metadata, page,
};
use crate::support::{
    Act, Artifact, Client, CoreMetadata, Distribution, Formats, GitLab, Hashes, Kind, Larder,
    Links, Offer, PublicIndex, path, token,
};

const QUERY: &str = "download=true&X-Sig=s3cret%2Fsignature";

const LOUD: &str = "[log]\nlevel = \"debug\"";

fn wheel() -> Artifact {
    Distribution::new("Some.Lib", "1.2")
        .payload(100_000)
        .wheel()
}

/// An index whose files are given to nobody who does not send the query that is on their page.
fn signing() -> PublicIndex {
    PublicIndex::builder()
        .set(|settings| QUERY.clone_into(&mut settings.query))
        .start()
}

/// A page of the project `demo` with these links.
fn demo(index: &PublicIndex, links: &[(&str, Option<&str>)]) {
    let anchors: String = links
        .iter()
        .map(|(url, sha256)| {
            let fragment = sha256
                .map(|sha256| format!("#sha256={sha256}"))
                .unwrap_or_default();
            format!("<a href=\"{url}{fragment}\">a file</a>\n")
        })
        .collect();
    let body = format!("<!DOCTYPE html>\n<title>Links for demo</title>\n{anchors}");
    index.serve_verbatim("demo", HTML, body);
}

fn assert_untold(secret: &str, larder: &Larder, said: &[&str]) {
    for text in said.iter().copied().chain([larder.log().as_str()]) {
        assert!(!text.contains(secret), "{secret} was told: {text}");
    }
}

#[test]
fn a_query_is_told_to_upstream_and_to_nobody_else() {
    let gitlab = GitLab::start();
    for links in [Links::Absolute, Links::Beside] {
        for formats in [Formats::Html, Formats::Json] {
            let index = signing();
            index.set(|settings| (settings.links, settings.formats) = (links, formats));
            let wheel = wheel();
            index.publish(Offer::from(&wheel).core_metadata(CoreMetadata::Hashed));
            let larder = Larder::builder(&gitlab)
                .mirror("pypi", &index)
                .sections(LOUD)
                .start();
            let mut said = Vec::new();
            for accept in FORMATS {
                let shown = get_as(&larder.client(), &page("some-lib"), accept);
                assert_eq!(
                    listed(&shown)[0].url,
                    file(&index, &wheel.filename),
                    "{links:?} {formats:?} {accept}"
                );
                said.push(shown.text());
            }
            let address = file(&index, &wheel.filename);
            let range = larder
                .client()
                .get_with(&address, &[("Range", "bytes=10-19")]);
            assert_eq!(
                range.expect(206),
                &wheel.bytes[10..20],
                "{links:?} {formats:?}"
            );
            assert_eq!(
                larder.client().get(&address).expect(200),
                &wheel.bytes[..],
                "{links:?} {formats:?}"
            );
            // What a client sends is nobody's business.
            let other = larder.client().get(&format!("{address}?X-Sig=another"));
            assert_eq!(other.expect(200), &wheel.bytes[..]);
            let read = larder.client().get(&metadata(&index, &wheel.filename));
            assert_eq!(
                read.expect(200),
                &wheel.metadata[..],
                "{links:?} {formats:?}"
            );
            kept(&larder, &wheel);
            said.push(format!(
                "{:?}{:?}{:?}",
                range.headers, other.headers, read.headers
            ));
            assert!(index.log().count(Kind::File) > 0);
            index.log().assert_nothing_unexpected();
            let said: Vec<&str> = said.iter().map(String::as_str).collect();
            assert_untold("s3cret", &larder, &said);
        }
    }
}

#[test]
fn a_query_is_found_again_after_a_restart() {
    let gitlab = GitLab::start();
    for formats in [Formats::Html, Formats::Json] {
        let (index, wheel) = (signing(), wheel());
        index.set(|settings| settings.formats = formats);
        index.publish(&wheel);
        let larder = larder(&gitlab, &index, "");
        let address = file(&index, &wheel.filename);
        larder.client().get(&page("some-lib")).expect(200);
        let larder = larder.restart();
        // What is stored is all that is known of the page.
        index.plan(Act::Status(503).at(Kind::Page));
        assert_eq!(
            larder.client().get(&address).expect(200),
            &wheel.bytes[..],
            "{formats:?}"
        );
        index.log().assert_nothing_unexpected();
    }
}

#[test]
fn a_query_is_told_where_nothing_vouches_for_the_file() {
    let gitlab = GitLab::start();
    for hashless in ["relay", "store"] {
        let (index, wheel) = (signing(), wheel());
        index.publish(Offer::from(&wheel).hashes(Hashes::None));
        let larder = larder(&gitlab, &index, &format!("unhashed_files = {hashless:?}"));
        larder.client().get(&page("some-lib")).expect(200);
        let got = larder.client().get(&file(&index, &wheel.filename));
        assert_eq!(got.expect(200), &wheel.bytes[..], "{hashless}");
        index.log().assert_nothing_unexpected();
        assert_untold("s3cret", &larder, &[]);
    }
}

#[test]
fn a_query_is_told_when_metadata_is_read_ahead() {
    let (gitlab, index, wheel) = (GitLab::start(), signing(), wheel());
    index.publish(&wheel);
    let larder = Larder::builder(&gitlab)
        .mirror("pypi", &index)
        .sections(AHEAD)
        .start();
    larder.client().get(&page("some-lib")).expect(200);
    let seen = || {
        listed(&get_as(&larder.client(), &page("some-lib"), JSON))[0]
            .metadata
            .clone()
    };
    crate::common::delivery::eventually("its metadata is advertised", || seen().is_some());
    let read = larder.client().get(&metadata(&index, &wheel.filename));
    assert_eq!(read.expect(200), &wheel.metadata[..]);
    index.log().assert_nothing_unexpected();
}

/// An address here has no query, and so cannot tell two files apart that differ in it.
#[test]
fn of_two_files_that_differ_in_their_query_the_second_keeps_its_link() {
    let (gitlab, index) = (GitLab::start(), PublicIndex::start());
    let base = format!("{}/packages/demo-1.0.zip", index.files_origin());
    let [first, second] = ["1", "2"].map(|digit| digit.repeat(64));
    let links = [
        ("?v=1", Some(first.as_str())),
        ("?v=2", Some(second.as_str())),
        ("?v=3", Some(first.as_str())),
    ];
    let links = links.map(|(query, sha256)| (format!("{base}{query}"), sha256));
    demo(
        &index,
        &links
            .each_ref()
            .map(|(url, sha256)| (url.as_str(), *sha256)),
    );
    let larder = larder(&gitlab, &index, "");
    for accept in FORMATS {
        let shown = listed(&get_as(&larder.client(), &page("demo"), accept));
        let urls: Vec<&str> = shown.iter().map(|link| link.url.as_str()).collect();
        let ours = "/pypi/packages/demo-1.0.zip";
        assert_eq!(urls, [ours, &format!("{base}?v=2"), ours], "{accept}");
    }
    larder.wait_for_log("another query");
}

#[test]
fn files_with_odd_names_go_through_larder() {
    let gitlab = GitLab::start();
    let index = PublicIndex::start();
    let names = [
        "demo-1.0-it's.zip",
        "demo-1.0-[x].zip",
        "demo-1.0-a#b.zip",
        "demo-1.0-a&b.zip",
        "demo-1.0-$a*.zip",
        "demo-1.0-^{a}|\"<b>.zip",
        "demo-1.0-größe.zip",
        "demo-1.0-gro\u{308}ße.zip",
        "De mo-1.0.zip",
    ];
    let mut artifacts = Vec::new();
    for (number, name) in names.into_iter().enumerate() {
        let project = if name.starts_with("De mo") {
            "de-mo"
        } else {
            "demo"
        };
        let mut artifact = Distribution::new(project, &format!("1.{number}"))
            .payload(1000)
            .sdist();
        name.clone_into(&mut artifact.filename);
        index.publish(&artifact);
        artifacts.push((project, artifact));
    }
    for formats in [Formats::Html, Formats::Json] {
        index.set(|settings| settings.formats = formats);
        for accept in FORMATS {
            let larder = larder(&gitlab, &index, "");
            for (project, artifact) in &artifacts {
                let shown = listed(&get_as(&larder.client(), &page(project), accept));
                let ours = shown
                    .iter()
                    .filter(|link| link.url.starts_with("/pypi/"))
                    .count();
                assert_eq!(ours, shown.len(), "{formats:?} {accept}: {shown:?}");
                let address = file(&index, &artifact.filename);
                let got = larder.client().get(&address);
                assert_eq!(
                    got.expect(200),
                    &artifact.bytes[..],
                    "{formats:?} {accept} {}",
                    artifact.filename
                );
                kept(&larder, artifact);
            }
        }
    }
    index.log().assert_nothing_unexpected();
}

/// Each stays as it was published, and the log says what is the matter with it rather than a key
/// that is in force.
#[test]
fn a_link_that_can_have_no_address_stays_and_is_explained() {
    let gitlab = GitLab::start();
    let long = format!("demo-{}.zip", "1".repeat(251));
    let digest = "0".repeat(64);
    for (name, why) in [
        ("demo-1.0-100%25.zip", "servers read in several ways"),
        ("demo-1.0;x.zip", "servers read in several ways"),
        (long.as_str(), "255 bytes"),
        ("mkey.zip", "another project"),
        ("other-1.0.zip", "another project"),
        ("download", "the name of a file"),
    ] {
        let index = PublicIndex::start();
        let url = format!("{}/packages/{name}", index.files_origin());
        demo(&index, &[(&url, Some(&digest))]);
        let larder = larder(&gitlab, &index, "");
        for accept in FORMATS {
            let shown = listed(&get_as(&larder.client(), &page("demo"), accept));
            assert_eq!(shown[0].url, url, "{accept}");
        }
        larder.wait_for_log(why);
        assert!(
            !larder.log().contains("mirrors.pypi.file_urls"),
            "{name}: {}",
            larder.log()
        );
    }
}

#[test]
fn a_root_page_may_link_to_the_documents_of_projects() {
    let gitlab = GitLab::start();
    // Without a title it is known by its links, each of which leads one step down.
    for (title, up) in [
        (
            "<title>Simple index</title>\n",
            "<a href=\"index.html\">up</a>\n",
        ),
        ("", ""),
        // Listings of web servers lead up, and to themselves in another order.
        ("", "<a href=\"../\">..</a>\n"),
        ("", "<a href=\"?C=N;O=D\">Name</a>\n"),
    ] {
        let index = PublicIndex::start();
        let body = format!(
            "<!DOCTYPE html>\n{title}<a href=\"six/index.html\">six</a>\n<a href=\"Acme.Lib/index.html\">Acme.Lib</a>\n{up}"
        );
        index.serve_verbatim("", HTML, body);
        let larder = Larder::builder(&gitlab)
            .mirror("pypi", &index)
            .private_names(&["acme-*"])
            .start();
        let json = get_as(&larder.client(), "/pypi/simple/", JSON).json();
        assert_eq!(
            json["projects"],
            serde_json::json!([{ "name": "six" }]),
            "{title} {up}"
        );
        let html = get_as(&larder.client(), "/pypi/simple/", HTML).text();
        assert!(
            html.contains("<a href=\"/pypi/simple/six/\">six</a>"),
            "{html}"
        );
        assert!(
            !html.contains("Acme") && !html.contains("six/index.html"),
            "{html}"
        );
    }
}

#[test]
fn an_unusable_entry_takes_nothing_else_with_it() {
    let gitlab = GitLab::start();
    let index = PublicIndex::start();
    let wheel = wheel();
    index.publish(&wheel);
    let direct =
        Client::new(index.address()).get_with(&index.page_path("some-lib"), &[("Accept", JSON)]);
    for entry in [
        r#"{"filename": "some_lib-0.1.tar.gz", "hashes": {}}"#,
        "null",
        r#"{"url": 1, "filename": "x"}"#,
    ] {
        let damaged = direct
            .text()
            .replacen("\"files\":[", &format!("\"files\":[{entry},"), 1);
        assert_ne!(damaged, direct.text());
        index.serve_verbatim("some-lib", JSON, damaged);
        let larder = larder(&gitlab, &index, "ttl = \"0s\"");
        for accept in FORMATS {
            for _ in 0..2 {
                let shown = get_as(&larder.client(), &page("some-lib"), accept);
                assert_eq!(listed(&shown).len(), 1, "{entry} {accept}");
            }
        }
        let got = larder.client().get(&file(&index, &wheel.filename));
        assert_eq!(got.expect(200), &wheel.bytes[..], "{entry}");
        larder.wait_for_log("entries that cannot be used");
        assert_eq!(
            larder.log().matches("entries that cannot be used").count(),
            1,
            "{}",
            larder.log()
        );
        index.serve_verbatim(
            "",
            JSON,
            format!(r#"{{"meta":{{"api-version":"1.0"}},"projects":[{entry},{{"name":"six"}}]}}"#),
        );
        let root = get_as(&larder.client(), "/pypi/simple/", JSON).json();
        assert_eq!(
            root["projects"],
            serde_json::json!([{ "name": "six" }]),
            "{entry}"
        );
    }
}

/// pipenv asks `INDEX//NAME/`, and `uv publish --check-url` whatever its user has written.
#[test]
fn empty_segments_are_merged_and_the_canonical_path_is_asked() {
    let gitlab = GitLab::start();
    let (index, wheel) = (PublicIndex::start(), wheel());
    index.publish(&wheel);
    gitlab.publish(42, &wheel);
    let larder = larder(&gitlab, &index, "");
    let client = larder.client().token(token::READER);
    let project = path::project_page(42, "some-lib");
    for asked in [
        project.replace("/simple/", "//simple//"),
        project.replace("/some-lib", "//some-lib/"),
    ] {
        let reply = client.get(&asked);
        assert!(reply.text().contains("some_lib-1.2"), "{asked}: {reply:?}");
    }
    client.get("/pypi//simple//some-lib/").expect(200);
    let address = file(&index, &wheel.filename).replacen("/pypi/", "/pypi//", 1);
    assert_eq!(client.get(&address).expect(200), &wheel.bytes[..]);
    for entry in gitlab
        .log()
        .entries()
        .into_iter()
        .chain(index.log().entries())
    {
        assert!(!entry.head.target.contains("//"), "{}", entry.head);
    }
    for refused in [
        "//pypi/simple/some-lib/",
        "/api//v4/projects/42/packages/pypi/simple/",
        "/-//status",
    ] {
        assert_eq!(client.get(refused).status, 400, "{refused}");
    }
    let hidden = "/api/v4/projects/acme%2F%2Fwidgets/packages/pypi/simple/some-lib/";
    assert_eq!(client.get(hidden).status, 400);
}

#[test]
fn a_token_in_the_path_of_an_index_is_in_no_link() {
    const TOKEN: &str = "9fK2xLq7Zr4TnB8wQ1";
    let gitlab = GitLab::start();
    for links in [Links::Relative, Links::RootRelative, Links::Beside] {
        for formats in [Formats::Html, Formats::Json] {
            let index = PublicIndex::builder()
                .at(&format!("/api/pypi/{TOKEN}/simple/"))
                .set(|settings| (settings.links, settings.formats) = (links, formats))
                .start();
            let wheel = wheel();
            index.publish(&wheel);
            let sections = format!("[mirrors.pypi]\nurl = {:?}\n{LOUD}", index.url());
            let larder = Larder::builder(&gitlab).sections(&sections).start();
            let mut said = Vec::new();
            for accept in FORMATS {
                for path in [page("some-lib"), "/pypi/simple/".to_owned()] {
                    said.push(get_as(&larder.client(), &path, accept).text());
                }
                let shown = listed(&get_as(&larder.client(), &page("some-lib"), accept));
                assert!(shown[0].url.starts_with("/pypi/"), "{links:?} {shown:?}");
                let got = larder.client().get(&shown[0].url);
                assert_eq!(
                    got.expect(200),
                    &wheel.bytes[..],
                    "{links:?} {formats:?} {accept}"
                );
            }
            larder.client().get("/pypi/packages/gone-1.0.zip");
            let said: Vec<&str> = said.iter().map(String::as_str).collect();
            assert_untold(TOKEN, &larder, &said);
            index.log().assert_nothing_unexpected();
        }
    }
}

/// Listings of web servers lead up as well, and a page may link to another project's.
#[test]
fn links_between_an_indexs_own_pages_do_not_tell_its_address() {
    const TOKEN: &str = "9fK2xLq7Zr4TnB8wQ1";
    let gitlab = GitLab::start();
    let index = PublicIndex::builder()
        .at(&format!("/api/pypi/{TOKEN}/simple/"))
        .start();
    let wheel = wheel();
    let body = format!(
        "<title>Links for some-lib</title><a href=\"../\">..</a>\n<a href=\"../other/\">other</a>\n<a href=\"{}#sha256={}\">{}</a>\n",
        wheel.filename, wheel.sha256, wheel.filename
    );
    index.serve_verbatim("some-lib", HTML, body);
    let larder = Larder::builder(&gitlab)
        .sections(&format!("[mirrors.pypi]\nurl = {:?}", index.url()))
        .start();
    for accept in FORMATS {
        let said = get_as(&larder.client(), &page("some-lib"), accept).text();
        assert!(!said.contains(TOKEN), "{said}");
        if accept == HTML {
            assert!(
                said.contains("href=\"/pypi/simple/\"")
                    && said.contains("href=\"/pypi/simple/other/\""),
                "{said}"
            );
        }
    }
}

#[test]
fn files_elsewhere_at_an_indexs_origin_need_no_prefix() {
    let gitlab = GitLab::start();
    // The stand-in's files lie beside `/simple/`; the index that is asked is another at the same
    // origin.
    let index = PublicIndex::builder()
        .at("/team/simple/")
        .set(|settings| settings.links = Links::Beside)
        .start();
    let wheel = wheel();
    index.publish(&wheel);
    let elsewhere = format!("{}/other/some_lib-1.1.zip", index.origin());
    index.serve_verbatim(
        "some-lib",
        HTML,
        format!(
            "<title>Links for some-lib</title><a href=\"{}#sha256={}\">a</a>\n<a href=\"{elsewhere}#sha256={}\">b</a>",
            wheel.filename,
            wheel.sha256,
            "0".repeat(64)
        ),
    );
    let larder = Larder::builder(&gitlab)
        .sections(&format!("[mirrors.pypi]\nurl = {:?}", index.url()))
        .start();
    let shown = listed(&get_as(&larder.client(), &page("some-lib"), HTML));
    let place = index.address().to_string().replace(':', "~");
    assert_eq!(
        shown[0].url,
        format!("/pypi/simple/some-lib/{}", wheel.filename)
    );
    assert_eq!(
        shown[1].url,
        format!("/pypi/~{place}/other/some_lib-1.1.zip")
    );
    assert_eq!(
        larder.client().get(&shown[0].url).expect(200),
        &wheel.bytes[..]
    );
    assert_eq!(
        larder.client().get(&shown[1].url).status,
        404,
        "the stand-in has no such file"
    );
    assert!(
        index
            .log()
            .entries()
            .iter()
            .any(|entry| entry.head.path() == "/other/some_lib-1.1.zip")
    );
}
