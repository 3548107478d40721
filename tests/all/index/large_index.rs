//! The root page of a large index: passed on while it comes, in memory that does not grow with it,
//! and whole or cut.

use std::time::Duration;

use crate::support::{Act, Client, Ending, Formats, GitLab, Kind, Larder, PublicIndex, Reply};

const HTML: &str = "text/html";
const JSON: &str = "application/vnd.pypi.simple.v1+json";
const ROOT: &str = "/pypi/simple/";

/// More than is kept of a page, so that it passes as a stream.
const SMALL_PAGES: &str = "[index]\npage_size = \"512KiB\"";

fn index(formats: Formats, projects: u64) -> PublicIndex {
    PublicIndex::builder()
        .set(|settings| (settings.formats, settings.generated_projects) = (formats, Some(projects)))
        .start()
}

fn start(index: &PublicIndex, sections: &str) -> (GitLab, Larder, Client) {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab)
        .mirror_with("pypi", index, "retries = 0")
        .sections(sections)
        .start();
    let client = larder.client().patience(Duration::from_secs(60));
    (gitlab, larder, client)
}

/// In kind and rendered, both ways.
const WAYS: [(Formats, &str); 4] = [
    (Formats::Html, HTML),
    (Formats::Html, JSON),
    (Formats::Json, HTML),
    (Formats::Json, JSON),
];

#[track_caller]
fn assert_lists(reply: &Reply, accept: &str, projects: u64, case: &str) {
    reply.expect(200);
    let name = |number: u64| format!("project-{number:06}");
    if accept == JSON {
        let page = reply.json();
        let listed = page["projects"].as_array().expect("an index");
        assert_eq!(listed.len() as u64, projects, "{case}");
        assert!(
            (0..projects)
                .zip(listed)
                .all(|(number, it)| it["name"] == name(number).as_str()),
            "{case}"
        );
        assert!(page["meta"]["api-version"].is_string(), "{case}");
    } else {
        let text = reply.text();
        assert!(
            text.contains("</body>") && text.contains("</html>"),
            "{case}"
        );
        let mut rest = text.as_str();
        for number in 0..projects {
            let link = format!("<a href=\"{ROOT}{0}/\">{0}</a>", name(number));
            let at = rest
                .find(&link)
                .unwrap_or_else(|| panic!("{case}: {link} is missing"));
            rest = &rest[at + link.len()..];
        }
        assert!(!rest.contains("<a "), "{case}");
    }
}

/// How much more memory one such page took at its peak.
fn growth(formats: Formats, accept: &str, projects: u64, sections: &str) -> u64 {
    let case = format!("{projects} projects of {formats:?} as {accept}");
    let index = index(formats, projects);
    let (_gitlab, larder, client) = start(&index, sections);
    larder.forget_peak();
    let before = larder.peak_resident_bytes();
    let reply = client.get_with(ROOT, &[("Accept", accept), ("Accept-Encoding", "identity")]);
    assert_lists(&reply, accept, projects, &case);
    let grown = larder.peak_resident_bytes().saturating_sub(before);
    println!(
        "{case}: {} KiB, first byte {:?}, whole {:?}, {} MiB more memory ({} MiB in all)",
        reply.body.len() >> 10,
        reply.first_byte.unwrap_or_default(),
        reply.took,
        grown >> 20,
        larder.peak_resident_bytes() >> 20,
    );
    grown
}

#[test]
fn a_root_page_takes_memory_that_does_not_grow_with_it() {
    for (formats, accept) in WAYS {
        let small = growth(formats, accept, 25_000, SMALL_PAGES);
        let large = growth(formats, accept, 100_000, SMALL_PAGES);
        assert!(
            large < 64 << 20,
            "{formats:?} as {accept}: {large} bytes more"
        );
        let more = large.saturating_sub(small);
        assert!(
            more < 8 << 20,
            "{formats:?} as {accept}: {more} bytes more for a page four times as long"
        );
    }
}

/// For a page of the size of the largest there is; run by hand, with the release binary in
/// `LARDER_BINARY`.
#[test]
#[ignore = "takes minutes with a debug binary"]
fn a_root_page_of_800_000_projects_takes_little_memory() {
    for (formats, accept) in WAYS {
        let grown = growth(formats, accept, 800_000, "");
        assert!(
            grown < 64 << 20,
            "{formats:?} as {accept}: {grown} bytes more"
        );
    }
}

#[test]
fn a_root_page_is_passed_on_while_upstream_still_sends_it() {
    let projects = 40_000;
    for (formats, accept) in WAYS {
        let case = format!("{formats:?} as {accept}");
        let index = index(formats, projects);
        let gate = index.hold(Kind::Index, 1_200_000);
        let (_gitlab, larder, client) = start(&index, SMALL_PAGES);
        let mut exchange = client.start("GET", ROOT, &[("Accept", accept)]);
        // A good part of what lies before the gate.
        assert_eq!(
            (exchange.status(), exchange.read_body(400_000) >= 400_000),
            (200, true),
            "{case}"
        );
        assert_eq!((gate.arrived(), exchange.ended()), (1, None), "{case}");
        assert!(
            exchange
                .body()
                .windows(14)
                .any(|part| part == b"project-000000"),
            "{case}"
        );
        // A page that passes by is nobody else's.
        assert_eq!(larder.metric("larder_page_fetches"), Some(0.0), "{case}");
        gate.open();
        assert_lists(&exchange.finish(), accept, projects, &case);
        assert_eq!(index.log().count(Kind::Index), 1, "{case}");
        index.log().assert_nothing_unexpected();
    }
}

#[test]
fn r8_a_root_page_that_breaks_off_under_way_is_cut_here_too() {
    let projects = 40_000;
    for (formats, accept) in WAYS {
        let index = index(formats, projects);
        let (_gitlab, _larder, client) = start(&index, SMALL_PAGES);
        for act in [
            Act::Close { after: 1_200_000 },
            Act::Reset { after: 1_200_000 },
            Act::ChunkedWithoutEnd,
        ] {
            let case = format!("{formats:?} as {accept}, {act:?}");
            index.plan(act.at(Kind::Index));
            let reply = client.get_with(ROOT, &[("Accept", accept)]);
            // A reset may overtake so much of what was sent that nothing has been passed on yet.
            let cut = matches!(reply.ending, Ending::CutShort { .. } | Ending::Reset { .. });
            assert!(
                if cut {
                    reply.status == 200
                } else {
                    reply.status == 502
                },
                "{case}: {reply:?}"
            );
            index.behave();
        }
        // All that was announced, and yet not all of the page.
        let direct = Client::new(index.address()).get_with("/simple/", &[("Accept", accept)]);
        let content_type = direct
            .header("Content-Type")
            .expect("it has one")
            .to_owned();
        for most in [direct.body.len() - 20, direct.body.len() / 2] {
            index.serve_verbatim("", &content_type, direct.body[..most].to_vec());
            index.set(|settings| settings.generated_projects = None);
            let reply = client.get_with(ROOT, &[("Accept", accept)]);
            assert!(
                !reply.is_complete(),
                "{formats:?} as {accept}: {most} bytes of {}",
                direct.body.len()
            );
        }
    }
}
