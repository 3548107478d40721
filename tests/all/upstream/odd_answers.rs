//! Upstream's answers that are not quite what was asked for: labels of codings, other parts, bodies
//! that break at once.

use crate::common::delivery::{MODES, eventually, kept, right};
use crate::support::{
    Act, Artifact, Client, CoreMetadata, Distribution, GitLab, Hashes, Kind, Larder, Offer,
    PublicIndex, Reply, Site, Storage, StoreListing, path, token,
};

/// What is left of an upload's own framing, or means nothing.
const NO_CODINGS: [&str; 5] = [
    "",
    "identity",
    "aws-chunked",
    "Identity",
    "aws-chunked, identity",
];

/// What servers say of files that are stored compressed, or of any.
const CODINGS: [&str; 5] = ["gzip", "x-gzip", "bzip2", "binary", "aws-chunked, gzip"];

fn publish(gitlab: &GitLab, name: &str, size: usize) -> Artifact {
    let file = Artifact::noise(name, "1.0", size);
    gitlab.publish(42, &file);
    file
}

fn start(storage: Storage, sections: &str) -> (GitLab, Larder, Client) {
    let gitlab = GitLab::builder().storage(storage).start();
    let larder = Larder::builder(&gitlab).sections(sections).start();
    let client = larder.client().token(token::READER);
    (gitlab, larder, client)
}

/// One file of an index, listed with these hashes, and its address.
fn mirrored(hashes: Hashes, lines: &str) -> (PublicIndex, Larder, Artifact, String) {
    let file = Distribution::new("bare", "1.0").payload(300_000).wheel();
    let offer = Offer::from(&file).hashes(hashes);
    let index = PublicIndex::builder().offering(offer).start();
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab)
        .mirror_with("pypi", &index, lines)
        .start();
    let address = format!(
        "/pypi/{}",
        index.file_path(&file.filename).trim_start_matches('/')
    );
    (index, larder, file, address)
}

#[track_caller]
fn is_a_problem(reply: &Reply, case: &str) {
    assert!(
        reply.is_complete() && reply.status == 502,
        "{case}: {reply:?}"
    );
    assert_eq!(
        reply.header("Content-Type"),
        Some("application/problem+json"),
        "{case}"
    );
}

#[test]
fn a_label_that_the_sha256_disproves_is_left_out() {
    for storage in MODES {
        let (gitlab, larder, client) = start(storage, "[files]\nbackground_fetch_max = \"0\"");
        for (number, label) in NO_CODINGS.into_iter().chain(CODINGS).enumerate() {
            for size in [3_000, 300_000] {
                let case = format!("{storage:?} {label:?} {size}");
                gitlab.plan(Act::Encoding(label).at(Site::FileBody));
                let file = publish(&gitlab, &format!("whole{number}x{size}"), size);
                let address = path::project_file(42, &file);
                let head = client.head(&address);
                let length = size.to_string();
                assert_eq!(
                    (head.status, head.header("Content-Length")),
                    (200, Some(&*length)),
                    "{case}"
                );
                let reply = client.get(&address);
                assert!(right(&reply, &file, &case), "{case}: {reply:?}");
                assert_eq!(reply.header("Content-Encoding"), None, "{case}");
                kept(&larder, &file);

                let file = publish(&gitlab, &format!("part{number}x{size}"), size);
                for range in ["bytes=100-199", "bytes=-100"] {
                    let reply = client.get_range(&path::project_file(42, &file), range);
                    let from = if range.ends_with("199") {
                        100
                    } else {
                        size - 100
                    };
                    assert_eq!(
                        reply.expect(206),
                        &file.bytes[from..from + 100],
                        "{case} {range}"
                    );
                    assert_eq!(reply.header("Content-Encoding"), None, "{case} {range}");
                    // Under a label only the whole tells that a part is right.
                    assert_eq!(
                        reply.header("ETag").is_some(),
                        CODINGS.contains(&label),
                        "{case} {range}"
                    );
                }
                gitlab.behave();
            }
        }
    }
}

#[test]
fn a_label_is_left_out_where_nothing_can_be_stored() {
    for storage in MODES {
        let gitlab = GitLab::builder().storage(storage).start();
        let larder = Larder::builder(&gitlab)
            .setting("cache_size = \"1MiB\"")
            .start();
        let client = larder.client().token(token::READER);
        for act in [Act::Encoding("gzip"), Act::Gzipped] {
            let case = format!("{storage:?} {act:?}");
            let file = publish(&gitlab, "large", 3_000_000);
            gitlab.plan(act.clone().at(Site::FileBody));
            let reply = client.get(&path::project_file(42, &file));
            assert_eq!(
                right(&reply, &file, &case),
                matches!(act, Act::Encoding(_)),
                "{case}: {reply:?}"
            );
            gitlab.behave();
        }
    }
}

#[test]
fn r1_a_body_that_is_coded_is_refused_and_not_kept() {
    for storage in MODES {
        let (gitlab, larder, client) = start(storage, "");
        gitlab.plan(Act::Gzipped.at(Site::FileBody));
        let file = publish(&gitlab, "coded", 3_000);
        let reply = client.get(&path::project_file(42, &file));
        is_a_problem(&reply, &format!("{storage:?}"));
        assert!(
            reply.text().contains("encoding that was not asked for"),
            "{reply:?}"
        );
        assert!(!StoreListing::of(&larder.cache_dir()).holds(&file.sha256));
    }
}

#[test]
fn a_mirrors_label_is_judged_by_the_sha256_or_refused() {
    for label in NO_CODINGS.into_iter().chain(CODINGS) {
        for hashes in [Hashes::Sha256, Hashes::None] {
            for store in [false, true] {
                let lines = if store {
                    "unhashed_files = \"store\""
                } else {
                    ""
                };
                let (index, larder, file, address) = mirrored(hashes, lines);
                let case = format!("{label:?} {hashes:?} {store}");
                index.plan(Act::Encoding(label).at(Kind::File));
                let reply = larder.client().get(&address);
                let part = larder.client().get_range(&address, "bytes=100-199");
                if hashes == Hashes::None && CODINGS.contains(&label) {
                    is_a_problem(&reply, &case);
                    is_a_problem(&part, &case);
                    assert!(
                        !StoreListing::of(&larder.cache_dir()).holds(&file.sha256),
                        "{case}"
                    );
                } else {
                    assert!(right(&reply, &file, &case), "{case}: {reply:?}");
                    assert_eq!(part.expect(206), &file.bytes[100..200], "{case}");
                    assert_eq!(reply.header("Content-Encoding"), None, "{case}");
                    if store || hashes == Hashes::Sha256 {
                        eventually("it is kept", || {
                            StoreListing::of(&larder.cache_dir()).holds(&file.sha256)
                        });
                    }
                }
                index.log().assert_nothing_unexpected();
            }
        }
    }
}

#[test]
fn a_label_of_a_mirrors_metadata_is_judged_by_its_sha256_or_it_is_made_of_the_wheel() {
    for label in NO_CODINGS.into_iter().chain(CODINGS) {
        for core_metadata in [CoreMetadata::Hashed, CoreMetadata::True] {
            let case = format!("{label:?} {core_metadata:?}");
            let file = Distribution::new("bare", "1.0").description(20_000).wheel();
            let offer = Offer::from(&file).core_metadata(core_metadata);
            let index = PublicIndex::builder().offering(offer).start();
            let gitlab = GitLab::start();
            let larder = Larder::builder(&gitlab).mirror("pypi", &index).start();
            index.plan(Act::Encoding(label).at(Kind::Metadata));
            let address = format!(
                "/pypi/{}.metadata",
                index.file_path(&file.filename).trim_start_matches('/')
            );
            let reply = larder.client().get(&address);
            assert_eq!(reply.expect(200), &file.metadata[..], "{case}");
            assert_eq!(reply.header("Content-Encoding"), None, "{case}");
            let of_the_wheel = core_metadata == CoreMetadata::True && CODINGS.contains(&label);
            assert_eq!(index.log().count(Kind::File) > 0, of_the_wheel, "{case}");
        }
    }
}

#[test]
fn r3_a_part_that_was_not_asked_for_is_not_passed_on() {
    for storage in MODES {
        let (gitlab, larder, client) = start(storage, "[files]\nbackground_fetch_max = \"0\"");
        for (number, act) in [
            Act::AnotherRange("bytes=5-9"),
            Act::AnotherRange("bytes=50-199"),
            Act::NoContentRange,
        ]
        .into_iter()
        .enumerate()
        {
            for always in [false, true] {
                let case = format!("{storage:?} {act:?}, always: {always}");
                for (asked, (range, part)) in [
                    ("bytes=100-199", 100..200),
                    ("bytes=-100", 299_900..300_000),
                ]
                .into_iter()
                .enumerate()
                {
                    let file = publish(&gitlab, &format!("other{number}{always}{asked}"), 300_000);
                    let fault = act.clone().at(Site::FileBody);
                    gitlab.plan(if always { fault } else { fault.once() });
                    let reply = client.get_range(&path::project_file(42, &file), range);
                    if always && matches!(act, Act::AnotherRange(_)) {
                        is_a_problem(&reply, &format!("{case} {range}"));
                    } else {
                        assert_eq!(reply.expect(206), &file.bytes[part], "{case} {range}");
                    }
                    gitlab.behave();
                }
                let file = publish(&gitlab, &format!("head{number}{always}"), 300_000);
                let fault = act.clone().at(Site::FileBody);
                gitlab.plan(if always { fault } else { fault.once() });
                let head = client.head(&path::project_file(42, &file));
                if head.status == 200 {
                    assert_eq!(
                        head.header("Content-Length"),
                        Some("300000"),
                        "{case}: {head:?}"
                    );
                } else {
                    assert_eq!(head.status, 502, "{case}: {head:?}");
                }
                gitlab.behave();
            }
        }
        StoreListing::of(&larder.cache_dir()).assert_every_blob_is_right();
    }
}

#[test]
fn r3_a_mirrors_part_is_not_taken_for_another_or_for_the_whole() {
    for hashes in [Hashes::Sha256, Hashes::None] {
        for act in [Act::AnotherRange("bytes=5-9"), Act::NoContentRange] {
            let case = format!("{hashes:?} {act:?}");
            let (index, larder, file, address) = mirrored(hashes, "unhashed_files = \"store\"");
            let client = larder.client();
            index.plan(act.clone().at(Kind::File));
            let reply = client.get_range(&address, "bytes=100-199");
            if reply.status == 502 {
                is_a_problem(&reply, &case);
            } else {
                assert_eq!(reply.expect(206), &file.bytes[100..200], "{case}");
            }
            let whole = client.get(&address);
            assert!(
                right(&whole, &file, &case) || whole.status == 502,
                "{case}: {whole:?}"
            );
            assert_eq!(
                whole.status == 502,
                matches!(act, Act::AnotherRange(_)),
                "{case}: {whole:?}"
            );
            StoreListing::of(&larder.cache_dir()).assert_every_blob_is_right();
        }
    }
}

#[test]
fn a_part_that_nobody_asked_for_is_upstreams_fault() {
    for storage in MODES {
        for cache_size in ["1GiB", "1MiB"] {
            let gitlab = GitLab::builder().storage(storage).start();
            let larder = Larder::builder(&gitlab)
                .setting(&format!("cache_size = {cache_size:?}"))
                .start();
            let client = larder.client().token(token::READER);
            let file = publish(&gitlab, "part", 3_000_000);
            for range in ["bytes=0-", "bytes=5-9"] {
                gitlab.plan(Act::AnotherRange(range).at(Site::FileBody));
                let reply = client.get(&path::project_file(42, &file));
                is_a_problem(&reply, &format!("{storage:?} {cache_size} {range}"));
                gitlab.behave();
            }
            assert!(right(
                &client.get(&path::project_file(42, &file)),
                &file,
                "well again"
            ));
        }
    }
}

#[test]
fn a_body_that_breaks_at_once_is_told_in_place_of_a_head() {
    for storage in MODES {
        for act in [Act::Close { after: 0 }, Act::Reset { after: 0 }] {
            for cache_size in ["1GiB", "1MiB"] {
                let case = format!("{storage:?} {act:?} {cache_size}");
                let gitlab = GitLab::builder().storage(storage).start();
                let larder = Larder::builder(&gitlab)
                    .setting(&format!("cache_size = {cache_size:?}"))
                    .start();
                let client = larder.client().token(token::READER);
                let file = publish(&gitlab, "broken", 3_000_000);
                gitlab.plan(act.clone().at(Site::FileBody));
                for _ in 0..5 {
                    is_a_problem(
                        &client.get_range(&path::project_file(42, &file), "bytes=100-199"),
                        &case,
                    );
                    is_a_problem(&client.get(&path::project_file(42, &file)), &case);
                }
            }
        }
    }
    for act in [Act::Close { after: 0 }, Act::Reset { after: 0 }] {
        let (index, larder, _file, address) = mirrored(Hashes::None, "");
        index.plan(act.clone().at(Kind::File));
        for _ in 0..5 {
            is_a_problem(
                &larder.client().get_range(&address, "bytes=100-199"),
                &format!("{act:?}"),
            );
            is_a_problem(&larder.client().get(&address), &format!("{act:?}"));
        }
    }
}
