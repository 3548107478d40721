//! R34: `min_age` holds on every path: page, file, range, head, metadata, joined, stale, and for
//! what was cached before.

use std::time::{Duration, SystemTime};

use crate::common::delivery::{eventually, kept};
use crate::common::mirror::{AHEAD, FORMATS, HTML, JSON, file, get_as, metadata, names, page};
use crate::support::{
    Artifact, Distribution, Formats, GitLab, Kind, Larder, Offer, PublicIndex, Reply, Site,
    StoreListing, path, token,
};

const WEEK: &str = "ttl = \"0s\"\nmin_age = \"7d\"";

/// RFC 3339, so many seconds before now.
fn ago(seconds: u64) -> String {
    humantime::format_rfc3339_seconds(SystemTime::now() - Duration::from_secs(seconds)).to_string()
}

fn artifact(version: &str) -> Artifact {
    Distribution::new("some.lib", version)
        .payload(50_000)
        .wheel()
}

/// 1.0 is from long ago, 2.0 an hour old, nobody knows about 3.0, and 4.0 comes from the future.
fn index() -> PublicIndex {
    PublicIndex::builder()
        .offering(artifact("1.0"))
        .offering(Offer::from(artifact("2.0")).uploaded(&ago(3600)))
        .offering(Offer::from(artifact("3.0")).without_upload_time())
        .offering(Offer::from(artifact("4.0")).uploaded("2999-01-01T00:00:00Z"))
        .start()
}

fn address(index: &PublicIndex, version: &str) -> String {
    file(index, &artifact(version).filename)
}

const HELD: [&str; 3] = ["2.0", "3.0", "4.0"];

fn larder(gitlab: &GitLab, index: &PublicIndex, lines: &str) -> Larder {
    Larder::builder(gitlab)
        .mirror_with("pypi", index, lines)
        .forward("pypi")
        .start()
}

#[track_caller]
fn assert_held(reply: &Reply, case: &str) {
    assert_eq!(reply.status, 403, "{case}: {reply:?}");
    assert!(reply.is_complete(), "{case}: {reply:?}");
    assert_eq!(
        reply.header("Cache-Status"),
        Some("larder; detail=denied"),
        "{case}: {reply:?}"
    );
    assert!(
        reply.body.is_empty() || reply.text().contains("min_age"),
        "{case}: {reply:?}"
    );
}

/// Every way to ask for what is too young.
fn assert_all_held(larder: &Larder, index: &PublicIndex, versions: &[&str], case: &str) {
    let client = larder.client();
    for version in versions {
        let wheel = address(index, version);
        for address in [wheel.clone(), format!("{wheel}.metadata")] {
            let case = format!("{case}: {address}");
            assert_held(&client.get(&address), &case);
            assert_held(&client.head(&address), &case);
            assert_held(&client.get_range(&address, "bytes=0-9"), &case);
            assert_held(&client.get_range(&address, "bytes=-9"), &case);
            let tag = format!("\"{}\"", artifact(version).sha256);
            assert_held(&client.get_if_none_match(&address, &tag), &case);
            assert_held(
                &client.get_with(&address, &[("Range", "bytes=5-"), ("If-Range", &tag)]),
                &case,
            );
        }
    }
}

#[test]
fn r34_too_young_undated_and_future_files_are_left_out_and_refused() {
    let (gitlab, index) = (GitLab::start(), index());
    let larder = larder(&gitlab, &index, WEEK);
    let old = artifact("1.0");
    assert_all_held(&larder, &index, &HELD, "before the page was seen");
    for accept in FORMATS {
        for address in [page("some-lib"), path::group_page(7, "some-lib")] {
            let shown = get_as(&larder.client().token(token::READER), &address, accept);
            assert_eq!(names(&shown), [old.filename.as_str()], "{accept} {address}");
            for version in HELD {
                let filename = artifact(version).filename;
                assert!(
                    !shown.text().contains(&filename),
                    "{accept} {address}: {shown:?}"
                );
            }
        }
    }
    assert_all_held(&larder, &index, &HELD, "after the page was seen");
    assert_eq!(
        larder.client().get(&address(&index, "1.0")).expect(200),
        &old.bytes[..]
    );
    assert_eq!(
        larder
            .client()
            .get(&metadata(&index, &old.filename))
            .expect(200),
        &old.metadata[..]
    );
    assert_eq!(
        index.log().count(Kind::File) + index.log().count(Kind::Metadata),
        2
    );
    larder.wait_for_log("min_age");
}

#[test]
fn r34_an_index_that_tells_no_dates_has_nothing_old_enough() {
    let (gitlab, index) = (GitLab::start(), index());
    index.set(|settings| settings.formats = Formats::Html);
    let html = larder(&gitlab, &index, WEEK);
    for accept in FORMATS {
        assert!(
            names(&get_as(&html.client(), &page("some-lib"), accept)).is_empty(),
            "{accept}"
        );
    }
    assert_all_held(&html, &index, &["1.0", "2.0"], "HTML");
    index.set(|settings| (settings.formats, settings.api_version) = (Formats::Json, "1.0"));
    let old_json = larder(&gitlab, &index, WEEK);
    for accept in FORMATS {
        assert!(
            names(&get_as(&old_json.client(), &page("some-lib"), accept)).is_empty(),
            "{accept}"
        );
    }
    assert_all_held(&old_json, &index, &["1.0", "2.0"], "JSON 1.0");
    assert_eq!(index.log().count(Kind::File), 0);
}

#[test]
fn r34_the_rule_holds_for_what_was_cached_before_it_was_set() {
    let (gitlab, index) = (GitLab::start(), index());
    let mut before = larder(&gitlab, &index, "");
    for version in ["1.0", "2.0", "3.0", "4.0"] {
        before.client().get(&address(&index, version)).expect(200);
        before
            .client()
            .get(&metadata(&index, &artifact(version).filename))
            .expect(200);
        kept(&before, &artifact(version));
    }
    for accept in FORMATS {
        assert_eq!(
            names(&get_as(&before.client(), &page("some-lib"), accept)).len(),
            4
        );
    }
    let after = Larder::builder(&gitlab)
        .mirror_with("pypi", &index, WEEK)
        .at_home_of(&before);
    // Ended in order, so that all pages are put by.
    before.terminate();
    let mut after = after.start();
    for upstream in ["up", "down"] {
        if upstream == "down" {
            index.stop();
            after = after.restart();
        }
        assert_all_held(&after, &index, &HELD, upstream);
        for accept in FORMATS {
            let shown = get_as(&after.client(), &page("some-lib"), accept);
            assert_eq!(
                names(&shown),
                [artifact("1.0").filename],
                "{upstream} {accept}"
            );
        }
        assert_eq!(
            after.client().get(&address(&index, "1.0")).expect(200),
            &artifact("1.0").bytes[..]
        );
    }
}

#[test]
fn r34_a_stale_page_and_a_joined_download_keep_the_rule() {
    let (gitlab, index) = (GitLab::start(), index());
    let larder = larder(&gitlab, &index, WEEK);
    // Somebody has the old file on its way; nobody gets a young one beside it.
    let gate = index.hold(Site::FileBody, 10_000);
    let reading = std::thread::spawn({
        let (client, address) = (larder.client(), address(&index, "1.0"));
        move || client.get(&address)
    });
    gate.wait_for(1);
    // The file turns out to have been uploaded again, or its date was wrong: from the next look on
    // it is held.
    index.change(|catalogue| {
        catalogue.offer_mut(&artifact("1.0").filename).upload_time = Some(ago(60));
    });
    for accept in FORMATS {
        assert!(
            names(&get_as(&larder.client(), &page("some-lib"), accept)).is_empty(),
            "{accept}"
        );
    }
    assert_all_held(
        &larder,
        &index,
        &["1.0", "2.0", "3.0"],
        "while it is on its way",
    );
    gate.open();
    reading.join().expect("no panic").expect(200);
    kept(&larder, &artifact("1.0"));
    assert_all_held(
        &larder,
        &index,
        &["1.0", "2.0", "3.0"],
        "now that it is here",
    );
    index.stop();
    assert_all_held(&larder, &index, &["1.0", "2.0", "3.0"], "upstream is down");
    for accept in FORMATS {
        let shown = get_as(&larder.client(), &page("some-lib"), accept);
        assert!(names(&shown).is_empty(), "stale {accept}");
    }
}

#[test]
fn r34_a_file_ripens_while_larder_runs() {
    let gitlab = GitLab::start();
    let wheel = artifact("1.0");
    let index = PublicIndex::start();
    // Fresh for an hour: it is the page itself that knows when to be made again.
    let larder = larder(&gitlab, &index, "ttl = \"1h\"\nmin_age = \"1h\"");
    index.publish(Offer::from(&wheel).uploaded(&ago(3600 - 4)));
    index.publish(Offer::from(artifact("2.0")).uploaded(&ago(60)));
    for accept in FORMATS {
        assert!(
            names(&get_as(&larder.client(), &page("some-lib"), accept)).is_empty(),
            "{accept}"
        );
    }
    let held = larder.client().get(&address(&index, "1.0"));
    assert_held(&held, "young");
    assert!(held.text().contains("is available in"), "{held:?}");
    for accept in [JSON, HTML] {
        eventually("it is on the page", || {
            names(&get_as(&larder.client(), &page("some-lib"), accept)) == [wheel.filename.as_str()]
        });
    }
    assert_eq!(
        larder.client().get(&address(&index, "1.0")).expect(200),
        &wheel.bytes[..]
    );
    assert_all_held(&larder, &index, &["2.0"], "the other one");
    assert!(!StoreListing::of(&larder.cache_dir()).holds(&artifact("2.0").sha256));
}

#[test]
fn r34_read_ahead_leaves_held_wheels_alone() {
    let gitlab = GitLab::start();
    let index = PublicIndex::start();
    for (version, uploaded) in [("1.0", ago(90 * 24 * 3600)), ("2.0", ago(60))] {
        index.publish(
            Offer::from(artifact(version))
                .core_metadata(crate::support::CoreMetadata::None)
                .uploaded(&uploaded),
        );
    }
    let larder = Larder::builder(&gitlab)
        .mirror_with("pypi", &index, WEEK)
        .sections(AHEAD)
        .start();
    eventually("the old one has its metadata", || {
        let shown = get_as(&larder.client(), &page("some-lib"), JSON);
        crate::common::mirror::listed(&shown)[0].metadata.is_some()
    });
    let touched = |version: &str| {
        let filename = artifact(version).filename;
        index
            .log()
            .of(Kind::File)
            .iter()
            .filter(|entry| entry.head.target.contains(&filename))
            .count()
    };
    assert!(touched("1.0") > 0 && touched("2.0") == 0);
    assert_all_held(&larder, &index, &["2.0"], "read ahead");
}
