//! PEP 658 metadata of a mirror's wheels: the index's own, checked against what its page says of
//! it, and larder's where there is none.

use crate::common::delivery::{eventually, kept};
use crate::common::mirror::{
    AHEAD, FORMATS, HTML, JSON, file, get_as, larder, listed, metadata, page,
};
use crate::support::wheel::sha256_hex;
use crate::support::{
    Act, Artifact, CoreMetadata, Distribution, Formats, GitLab, Hashes, Kind, Larder, Offer,
    PublicIndex, Site, StoreListing, token,
};

fn wheel() -> Artifact {
    Distribution::new("Some.Lib", "1.2")
        .depends_on("other>=2")
        .description(20_000)
        .payload(200_000)
        .wheel()
}

fn index(core_metadata: CoreMetadata) -> PublicIndex {
    PublicIndex::builder()
        .offering(Offer::from(wheel()).core_metadata(core_metadata))
        .start()
}

/// What the page says of the wheel's metadata.
fn advertised(larder: &Larder, accept: &str) -> Option<String> {
    listed(&get_as(&larder.client(), &page("some-lib"), accept))
        .remove(0)
        .metadata
}

#[test]
fn the_indexs_own_metadata_is_checked_and_cached() {
    let (gitlab, wheel) = (GitLab::start(), wheel());
    for formats in [Formats::Html, Formats::Json] {
        let index = index(CoreMetadata::Hashed);
        index.set(|settings| settings.formats = formats);
        let larder = larder(&gitlab, &index, "");
        let address = metadata(&index, &wheel.filename);
        for accept in FORMATS {
            assert_eq!(
                advertised(&larder, accept),
                Some(sha256_hex(&wheel.metadata)),
                "{formats:?} {accept}"
            );
        }
        for client in [larder.client(), larder.client().token(token::READER)] {
            let reply = client.get(&address);
            assert_eq!(reply.expect(200), &wheel.metadata[..]);
            assert_eq!(
                reply.header("ETag"),
                Some(format!("\"{}\"", sha256_hex(&wheel.metadata)).as_str())
            );
        }
        eventually("it is stored", || {
            StoreListing::of(&larder.cache_dir()).holds(&sha256_hex(&wheel.metadata))
                && larder.metric("larder_downloads") == Some(0.0)
        });
        let larder = larder.restart();
        let head = larder.client().head(&address);
        let length = wheel.metadata.len().to_string();
        assert_eq!(
            (head.status, head.header("Content-Length")),
            (200, Some(length.as_str()))
        );
        assert_eq!(
            larder.client().get(&address).expect(200),
            &wheel.metadata[..]
        );
        assert_eq!(
            larder
                .client()
                .get_range(&address, "bytes=5-14")
                .expect(206),
            &wheel.metadata[5..15]
        );
        assert_eq!(index.log().count(Kind::Metadata), 1, "{formats:?}");
        assert_eq!(index.log().count(Kind::File), 0, "{formats:?}");
        index.log().assert_nothing_unexpected();
        index.assert_never_told(&[token::READER]);
    }
}

#[test]
fn r1_metadata_that_is_not_what_the_page_says_is_never_delivered_whole() {
    let (gitlab, wheel) = (GitLab::start(), wheel());
    for case in [
        "wrong hash",
        "wrong hash and missing",
        "wrong hash and failing",
        "flipped",
        "cut",
    ] {
        let index = index(if case.starts_with("wrong hash") {
            CoreMetadata::WrongHash
        } else {
            CoreMetadata::Hashed
        });
        let act = match case {
            "flipped" => Some(Act::Flip { at: 100 }),
            "cut" => Some(Act::Close { after: 1000 }),
            "wrong hash and missing" => Some(Act::Status(404)),
            "wrong hash and failing" => Some(Act::Status(500)),
            _ => None,
        };
        if let Some(act) = act {
            index.plan(act.at(Kind::Metadata));
        }
        let larder = larder(&gitlab, &index, "");
        let address = metadata(&index, &wheel.filename);
        for _ in 0..2 {
            let reply = larder.client().get(&address);
            assert!(
                !(reply.status == 200 && reply.is_complete()),
                "{case}: {reply:?}"
            );
        }
        let listing = StoreListing::of(&larder.cache_dir());
        listing.assert_every_blob_is_right();
        // Made of the wheel, and not what the page speaks of.
        let made = case.starts_with("wrong hash and");
        assert_eq!(listing.holds(&sha256_hex(&wheel.metadata)), made, "{case}");
        // The wheel itself is not affected.
        assert_eq!(
            larder
                .client()
                .get(&file(&index, &wheel.filename))
                .expect(200),
            &wheel.bytes[..],
            "{case}"
        );
    }
}

#[test]
fn metadata_that_the_index_offers_and_lacks_is_made_of_the_wheel() {
    let (gitlab, wheel) = (GitLab::start(), wheel());
    for core_metadata in [CoreMetadata::Hashed, CoreMetadata::True] {
        for status in [404, 410, 403, 500, 502] {
            for fetched in [true, false] {
                let case = format!("{core_metadata:?}, {status}, the wheel is here: {fetched}");
                let index = index(core_metadata);
                index.plan(Act::Status(status).at(Kind::Metadata));
                let larder = larder(&gitlab, &index, "retries = 0");
                if fetched {
                    larder
                        .client()
                        .get(&file(&index, &wheel.filename))
                        .expect(200);
                    kept(&larder, &wheel);
                }
                let address = metadata(&index, &wheel.filename);
                let reply = larder.client().get(&address);
                assert_eq!(reply.expect(200), &wheel.metadata[..], "{case}");
                let etag = format!("\"{}\"", sha256_hex(&wheel.metadata));
                assert_eq!(reply.header("ETag"), Some(etag.as_str()), "{case}");
                assert_eq!(larder.client().head(&address).status, 200, "{case}");
                assert_eq!(
                    index.log().file_bodies().bytes,
                    wheel.bytes.len() as u64,
                    "{case}"
                );
            }
        }
    }
    // Nobody is to be had, and the wheel is here.
    let index = index(CoreMetadata::Hashed);
    let larder = larder(&gitlab, &index, "retries = 0");
    larder
        .client()
        .get(&file(&index, &wheel.filename))
        .expect(200);
    kept(&larder, &wheel);
    index.plan(Act::CutHead { after: 0 }.at(Kind::Metadata));
    assert_eq!(
        larder
            .client()
            .get(&metadata(&index, &wheel.filename))
            .expect(200),
        &wheel.metadata[..]
    );
}

#[test]
fn metadata_of_a_wheel_on_a_page_that_was_never_asked_for_is_made() {
    let (gitlab, wheel) = (GitLab::start(), wheel());
    for formats in [Formats::Html, Formats::Json] {
        let index = index(CoreMetadata::None);
        index.set(|settings| settings.formats = formats);
        let larder = larder(&gitlab, &index, "");
        let reply = larder.client().get(&metadata(&index, &wheel.filename));
        assert_eq!(reply.expect(200), &wheel.metadata[..], "{formats:?}");
        kept(&larder, &wheel);
        assert_eq!(
            index.log().file_bodies().bytes,
            wheel.bytes.len() as u64,
            "{formats:?}"
        );
        // The index is never asked for a file that it never spoke of.
        assert_eq!(index.log().count(Kind::Metadata), 0, "{formats:?}");
        let absent = metadata(&index, &wheel.filename).replace("-1.2-", "-9.9-");
        let absent = larder.client().get(&absent);
        assert_eq!(absent.status, 404, "{formats:?}: {absent:?}");
    }
}

#[test]
fn metadata_that_comes_without_a_hash_passes_through_and_is_kept_nowhere() {
    let (gitlab, wheel) = (GitLab::start(), wheel());
    for formats in [Formats::Html, Formats::Json] {
        let index = index(CoreMetadata::True);
        index.set(|settings| settings.formats = formats);
        let larder = larder(&gitlab, &index, "");
        let address = metadata(&index, &wheel.filename);
        for accept in FORMATS {
            assert_eq!(
                advertised(&larder, accept).as_deref(),
                Some("true"),
                "{formats:?} {accept}"
            );
        }
        for _ in 0..2 {
            let reply = larder.client().get(&address);
            assert_eq!(reply.expect(200), &wheel.metadata[..], "{formats:?}");
            assert_eq!(reply.header("ETag"), None, "{formats:?}: {reply:?}");
        }
        assert_eq!(index.log().count(Kind::Metadata), 2, "{formats:?}");
        assert!(
            !StoreListing::of(&larder.cache_dir()).holds(&sha256_hex(&wheel.metadata)),
            "{formats:?}"
        );
    }
}

#[test]
fn wheels_that_have_none_get_metadata_from_larder() {
    let (gitlab, wheel) = (GitLab::start(), wheel());
    for (formats, ranges) in [
        (Formats::Html, true),
        (Formats::Json, true),
        (Formats::Both, false),
    ] {
        let index = index(CoreMetadata::None);
        index.set(|settings| (settings.formats, settings.ranges) = (formats, ranges));
        let larder = Larder::builder(&gitlab)
            .mirror("pypi", &index)
            .sections(AHEAD)
            .start();
        let address = metadata(&index, &wheel.filename);
        if !ranges {
            // There is nothing to read ahead by: the wheel itself must come.
            get_as(&larder.client(), &page("some-lib"), HTML).expect(200);
            larder
                .client()
                .get(&file(&index, &wheel.filename))
                .expect(200);
            kept(&larder, &wheel);
        }
        for accept in FORMATS {
            eventually("it is advertised", || advertised(&larder, accept).is_some());
            assert_eq!(
                advertised(&larder, accept),
                Some(sha256_hex(&wheel.metadata)),
                "{formats:?} {accept}"
            );
        }
        let reply = larder.client().get(&address);
        assert_eq!(reply.expect(200), &wheel.metadata[..], "{formats:?}");
        assert_eq!(
            reply.header("ETag"),
            Some(format!("\"{}\"", sha256_hex(&wheel.metadata)).as_str())
        );
        let moved: u64 = index
            .log()
            .entries()
            .iter()
            .filter(|entry| entry.is_file_body())
            .map(|entry| entry.body_sent)
            .sum();
        assert_eq!(moved < 100_000, ranges, "{formats:?}: {moved} bytes");
        // The index is never asked for a file that it never spoke of.
        assert_eq!(index.log().count(Kind::Metadata), 0, "{formats:?}");
        let larder = larder.restart();
        for accept in FORMATS {
            eventually("it is known after a restart", || {
                advertised(&larder, accept).is_some()
            });
        }
        assert_eq!(
            larder.client().get(&address).expect(200),
            &wheel.metadata[..],
            "{formats:?}"
        );
        index.log().assert_nothing_unexpected();
    }
}

#[test]
fn no_metadata_is_made_of_what_nobody_can_check() {
    let (gitlab, wheel) = (GitLab::start(), wheel());
    for hashes in [Hashes::Md5, Hashes::None] {
        let index = PublicIndex::builder()
            .offering(
                Offer::from(&wheel)
                    .core_metadata(CoreMetadata::None)
                    .hashes(hashes),
            )
            .start();
        let larder = larder(&gitlab, &index, "");
        larder
            .client()
            .get(&file(&index, &wheel.filename))
            .expect(200);
        for accept in [JSON, HTML] {
            assert_eq!(advertised(&larder, accept), None, "{hashes:?}");
        }
        let reply = larder.client().get(&metadata(&index, &wheel.filename));
        assert_eq!(reply.status, 404, "{hashes:?}: {reply:?}");
        assert_eq!(index.log().count(Kind::Metadata), 0, "{hashes:?}");
        assert_eq!(index.log().file_bodies().transfers, 1, "{hashes:?}");
    }
}

#[test]
fn r1_a_wheel_that_is_wrong_yields_no_metadata() {
    let (gitlab, wheel) = (GitLab::start(), wheel());
    let other = Distribution::new("Some.Lib", "1.2")
        .depends_on("evil")
        .payload(200_000)
        .wheel();
    for ranges in [true, false] {
        let index = index(CoreMetadata::None);
        index.set(|settings| settings.ranges = ranges);
        // The page tells the digest of the right one; other bytes are sent.
        index.change(|catalogue| catalogue.offer_mut(&wheel.filename).bytes = other.bytes.clone());
        let larder = Larder::builder(&gitlab)
            .mirror("pypi", &index)
            .sections(AHEAD)
            .start();
        get_as(&larder.client(), &page("some-lib"), JSON).expect(200);
        let whole = larder.client().get(&file(&index, &wheel.filename));
        assert!(!(whole.status == 200 && whole.is_complete()), "{whole:?}");
        index.plan(Act::Status(500).at(Site::FileBody));
        for _ in 0..2 {
            let reply = larder.client().get(&metadata(&index, &wheel.filename));
            // Read ahead by ranges it may have been advertised, under its own digest; never as the
            // wheel's.
            let etag = format!("\"{}\"", sha256_hex(&reply.body));
            assert!(
                reply.status != 200 || reply.header("ETag") == Some(&etag),
                "{reply:?}"
            );
            assert!(
                !ranges || reply.status != 200 || reply.body == other.metadata[..],
                "{reply:?}"
            );
            assert!(ranges || reply.status != 200, "{reply:?}");
        }
        StoreListing::of(&larder.cache_dir()).assert_every_blob_is_right();
    }
}
