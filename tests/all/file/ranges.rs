//! Parts of files, conditions on them, and heads: hot and cold, in every storage mode.

use crate::common::delivery::{MODES, eventually, kept, right};
use crate::support::{
    Act, Artifact, Client, Entry, GitLab, Kind, Larder, Reply, Site, Storage, StoreListing, path,
    token,
};

/// Nothing is fetched behind a range: what is cold stays cold.
const STAYS_COLD: &str = "[files]\nbackground_fetch_max = \"0\"";

/// What is the answer to a range: the status and the bytes of the file.
type Part = (u16, std::ops::Range<usize>);

/// Ranges of a file of `n` bytes, above 200.
fn ranges(n: usize) -> Vec<(String, Part)> {
    let text = |range: &str| range.to_owned();
    vec![
        (text("bytes=0-0"), (206, 0..1)),
        (text("bytes=1-99"), (206, 1..100)),
        (format!("bytes={}-{}", n - 1, n - 1), (206, n - 1..n)),
        (format!("bytes=100-{}", n + 1000), (206, 100..n)),
        (format!("bytes=0-{}", n - 1), (206, 0..n)),
        (text("bytes=0-"), (206, 0..n)),
        (text("bytes=150-"), (206, 150..n)),
        (format!("bytes={}-", n - 1), (206, n - 1..n)),
        (text("bytes=-1"), (206, n - 1..n)),
        (text("bytes=-120"), (206, n - 120..n)),
        (format!("bytes=-{}", n + 1000), (206, 0..n)),
        (format!("bytes={n}-"), (416, 0..0)),
        (format!("bytes={}-{}", n + 5, n + 9), (416, 0..0)),
        (text("bytes=-0"), (416, 0..0)),
        // No range that is served: the whole is always allowed (RFC 9110 §14.2).
        (text("bytes=0-9,20-29"), (200, 0..n)),
        (text("bytes=9-5"), (200, 0..n)),
        (text("items=0-9"), (200, 0..n)),
        (text("bytes=a-b"), (200, 0..n)),
    ]
}

#[track_caller]
fn check(reply: &Reply, (status, bytes): &Part, file: &Artifact, case: &str) {
    assert!(
        reply.is_complete() && reply.status == *status,
        "{case}: {reply:?}"
    );
    let n = file.bytes.len();
    match status {
        416 => {
            let told = format!("bytes */{n}");
            assert_eq!(
                reply.header("Content-Range"),
                Some(told.as_str()),
                "{case}: {reply:?}"
            );
        }
        206 => {
            let told = format!("bytes {}-{}/{n}", bytes.start, bytes.end - 1);
            assert_eq!(reply.header("Content-Range"), Some(told.as_str()), "{case}");
            assert!(
                reply.body == file.bytes[bytes.clone()],
                "{case}: other bytes"
            );
        }
        _ => {
            assert_eq!(reply.header("Content-Range"), None, "{case}");
            assert!(reply.body == file.bytes, "{case}: other bytes");
        }
    }
}

fn tag(file: &Artifact) -> String {
    format!("\"{}\"", file.sha256)
}

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

#[test]
fn r3_ranges_of_a_stored_file_are_cut_from_verified_bytes() {
    for (storage, size) in [
        (Storage::Disk, 300_000),
        (Storage::Redirect, 3_000),
        (Storage::Proxied, 70_000),
    ] {
        let (gitlab, larder, client) = start(storage, "");
        let file = publish(&gitlab, "big", size);
        let address = path::project_file(42, &file);
        client.get(&address).expect(200);
        let mut larder = Some(larder);
        for restarted in [false, true] {
            if restarted {
                // Found on disk: hashed again before any of it counts.
                larder = larder.map(Larder::restart);
            }
            let client = larder
                .as_ref()
                .expect("it runs")
                .client()
                .token(token::READER);
            for (range, part) in ranges(size) {
                let case = format!("{storage:?} {size} {range}, restarted: {restarted}");
                let reply = client.get_range(&address, &range);
                check(&reply, &part, &file, &case);
                assert_eq!(reply.header("ETag"), Some(tag(&file).as_str()), "{case}");
            }
        }
        assert_eq!(gitlab.log().file_bodies().transfers, 1, "{storage:?}");
    }
}

#[test]
fn r3_a_range_of_a_cold_file_is_upstreams_own_or_verified() {
    for storage in MODES {
        let (gitlab, larder, client) = start(storage, STAYS_COLD);
        for (number, (range, part)) in ranges(300_000).into_iter().enumerate() {
            let case = format!("{storage:?} {range}");
            let file = publish(&gitlab, &format!("cold{number}"), 300_000);
            let reply = client.get_range(&path::project_file(42, &file), &range);
            check(&reply, &part, &file, &case);
            let whole = part.1 == (0..300_000)
                && !range.starts_with("bytes=-")
                && range != "bytes=0-299999";
            if whole {
                kept(&larder, &file);
            }
            let stored = StoreListing::of(&larder.cache_dir()).holds(&file.sha256);
            if part.0 == 206 && !stored {
                // Nobody here has checked these bytes: neither the tag that vouches for them nor
                // leave to keep them.
                assert_eq!(
                    reply.header("Cache-Control"),
                    Some("private, no-store"),
                    "{case}"
                );
            }
            assert_eq!(
                stored, whole,
                "{case}: only what is wanted whole is fetched whole, when nothing is fetched behind"
            );
        }
        gitlab.log().assert_nothing_unexpected();
    }
}

#[test]
fn r3_a_wrong_byte_upstream_never_completes_a_range_that_larder_vouches_for() {
    for storage in MODES {
        let (gitlab, _larder, client) = start(storage, STAYS_COLD);
        for (number, range) in ["bytes=0-", "bytes=1000-", "bytes=250000-", "bytes=100-299"]
            .into_iter()
            .enumerate()
        {
            let case = format!("{storage:?} {range}");
            let file = publish(&gitlab, &format!("wrong{number}"), 300_000);
            let address = path::project_file(42, &file);
            gitlab.plan(
                Act::Flip { at: 200 }
                    .at(Site::FileBody)
                    .containing(&file.filename),
            );
            let tagged = client.get_with(&address, &[("Range", range), ("If-Range", &tag(&file))]);
            assert!(
                !(tagged.is_complete() && tagged.status < 300),
                "{case}: our tag was on it: {tagged:?}"
            );
            let plain = client.get_range(&address, range);
            let vouched =
                plain.is_complete() && plain.status < 300 && plain.header("ETag").is_some();
            assert!(!vouched, "{case}: {plain:?}");
        }
    }
}

#[test]
fn r3_two_versions_of_a_file_are_never_spliced() {
    for storage in MODES {
        let (gitlab, _larder, client) = start(storage, STAYS_COLD);
        let file = publish(&gitlab, "two", 300_000);
        let address = path::project_file(42, &file);
        let other = Artifact::noise("other", "1.0", 300_000);
        // A client that has the beginning under our tag comes back for the rest; upstream has
        // another body by now.
        gitlab.change(|universe| {
            for stored in universe.files_mut(42, &file.filename) {
                stored.bytes = other.bytes.clone();
                stored.modified += std::time::Duration::from_secs(60);
            }
        });
        for range in ["bytes=150000-", "bytes=150000-160000", "bytes=-100"] {
            let rest = client.get_with(&address, &[("Range", range), ("If-Range", &tag(&file))]);
            assert!(
                !(rest.is_complete() && rest.status < 300),
                "{storage:?} {range}: {rest:?}"
            );
        }
    }
}

#[test]
fn r3_if_range_names_our_tag_or_means_the_whole() {
    for storage in MODES {
        let (gitlab, _larder, client) = start(storage, STAYS_COLD);
        for hot in [true, false] {
            for (number, (validator, status)) in [
                ("tag", 206),
                ("weak", 200),
                ("\"other\"", 200),
                ("Tue, 02 Jan 2024 03:04:05 GMT", 200),
                ("*", 200),
            ]
            .into_iter()
            .enumerate()
            {
                let case = format!("{storage:?} hot: {hot}, If-Range: {validator}");
                let file = publish(&gitlab, &format!("if{hot}{number}"), 300_000);
                let address = path::project_file(42, &file);
                if hot {
                    client.get(&address).expect(200);
                }
                let validator = match validator {
                    "tag" => tag(&file),
                    "weak" => format!("W/{}", tag(&file)),
                    other => other.to_owned(),
                };
                let reply = client.get_with(
                    &address,
                    &[("Range", "bytes=1000-1999"), ("If-Range", &validator)],
                );
                let part = if status == 206 {
                    (206, 1000..2000)
                } else {
                    (200, 0..300_000)
                };
                check(&reply, &part, &file, &case);
                assert_eq!(reply.header("ETag"), Some(tag(&file).as_str()), "{case}");
            }
        }
    }
}

#[test]
fn a_cold_range_comes_at_once_and_the_file_behind_it() {
    for storage in MODES {
        let (gitlab, larder, client) = start(storage, "");
        let file = publish(&gitlab, "behind", 300_000);
        let address = path::project_file(42, &file);
        check(
            &client.get_range(&address, "bytes=-1000"),
            &(206, 299_000..300_000),
            &file,
            "cold",
        );
        eventually("the file is fetched behind the range", || {
            let stored = StoreListing::of(&larder.cache_dir()).holds(&file.sha256);
            stored && larder.metric("larder_downloads") == Some(0.0)
        });
        let before = gitlab.log().file_bodies().transfers;
        assert_eq!(before, 2, "{storage:?}: the range and the file");
        for range in ["bytes=-1000", "bytes=5-10"] {
            let reply = client.get_range(&address, range);
            assert!(
                reply.status == 206 && reply.header("ETag").is_some(),
                "{storage:?}: {reply:?}"
            );
        }
        assert_eq!(gitlab.log().file_bodies().transfers, before, "{storage:?}");
    }
}

#[test]
fn an_upstream_that_knows_no_ranges_is_no_obstacle() {
    for storage in MODES {
        let (gitlab, larder, client) = start(storage, STAYS_COLD);
        gitlab.plan(Act::IgnoreRange.at(Site::FileBody));
        for (number, range) in ["bytes=5-9", "bytes=-7", "bytes=100-"]
            .into_iter()
            .enumerate()
        {
            let file = publish(&gitlab, &format!("whole{number}"), 300_000);
            let address = path::project_file(42, &file);
            let reply = client.get_range(&address, range);
            if reply.status == 200 {
                check(&reply, &(200, 0..300_000), &file, range);
            } else {
                assert_eq!(
                    (reply.status, reply.header("ETag")),
                    (206, Some(tag(&file).as_str())),
                    "{reply:?}"
                );
            }
            kept(&larder, &file);
            let head = client.head(&path::project_file(
                42,
                &publish(&gitlab, &format!("head{number}"), 4321),
            ));
            assert_eq!(
                (head.status, head.header("Content-Length")),
                (200, Some("4321")),
                "{storage:?}"
            );
        }
    }
}

#[test]
fn a_range_in_an_encoding_nobody_asked_for_is_not_passed_on() {
    for storage in MODES {
        let (gitlab, _larder, client) = start(storage, STAYS_COLD);
        for size in [3_000, 300_000] {
            let file = publish(&gitlab, &format!("coded{size}"), size);
            gitlab.plan(Act::Gzipped.at(Site::FileBody));
            let reply = client.get_range(&path::project_file(42, &file), "bytes=100-199");
            assert_eq!(reply.status, 502, "{storage:?}: {reply:?}");
        }
    }
}

/// Questions for a range from the end.
fn from_the_end(gitlab: &GitLab) -> usize {
    let entries = gitlab.log().entries().into_iter();
    let range = |entry: &Entry| {
        entry
            .head
            .header("Range")
            .is_some_and(|range| range.starts_with("bytes=-"))
    };
    entries
        .filter(|entry| entry.carries_file && range(entry))
        .count()
}

#[test]
fn a_range_from_the_end_that_is_refused_is_asked_with_both_ends() {
    for storage in MODES {
        for status in [400, 405, 501] {
            let (gitlab, larder, client) = start(storage, STAYS_COLD);
            gitlab.plan(Act::RefuseRangesFromTheEnd(status).at(Site::FileBody));
            for (number, (range, part)) in [
                ("bytes=-120", (206, 299_880..300_000)),
                ("bytes=-1", (206, 299_999..300_000)),
                ("bytes=-400000", (206, 0..300_000)),
                ("bytes=-0", (416, 0..0)),
            ]
            .into_iter()
            .enumerate()
            {
                let case = format!("{storage:?} {status} {range}");
                let file = publish(&gitlab, &format!("end{number}"), 300_000);
                let reply = client.get_range(&path::project_file(42, &file), range);
                check(&reply, &part, &file, &case);
                // A store's 400 may mean an expired link, so that one more is signed before it is
                // believed.
                let tries = if (storage, status) == (Storage::Redirect, 400) {
                    2
                } else {
                    1
                };
                assert_eq!(from_the_end(&gitlab), tries, "{case}: remembered");
            }
            assert!(
                StoreListing::of(&larder.cache_dir()).blobs.is_empty(),
                "{storage:?} {status}"
            );
            gitlab.log().assert_nothing_unexpected();
        }
    }
}

#[test]
fn where_every_range_is_refused_it_is_cut_from_the_file_that_is_fetched() {
    for storage in MODES {
        for status in [400, 405, 501] {
            let (gitlab, larder, client) = start(storage, STAYS_COLD);
            gitlab.plan(Act::RefuseRanges(status).at(Site::FileBody));
            for (number, (range, part)) in [
                ("bytes=-120", (206, 299_880..300_000)),
                ("bytes=7-99", (206, 7..100)),
            ]
            .into_iter()
            .enumerate()
            {
                let case = format!("{storage:?} {status} {range}");
                let file = publish(&gitlab, &format!("none{number}"), 300_000);
                check(
                    &client.get_range(&path::project_file(42, &file), range),
                    &part,
                    &file,
                    &case,
                );
                kept(&larder, &file);
            }
            let file = publish(&gitlab, "head", 4321);
            let head = client.head(&path::project_file(42, &file));
            assert_eq!(
                (head.status, head.header("Content-Length")),
                (200, Some("4321")),
                "{status}: {head:?}"
            );
            // A file that is refused itself is refused in upstream's words.
            let absent = Artifact::noise("absent", "1.0", 10);
            assert_eq!(
                client
                    .get_range(&path::project_file(42, &absent), "bytes=-5")
                    .status,
                404
            );
            let stranger = larder.client().token(token::STRANGER);
            assert_eq!(
                stranger
                    .get_range(&path::project_file(42, &file), "bytes=-5")
                    .status,
                404
            );
            gitlab.log().assert_nothing_unexpected();
        }
    }
}

#[test]
fn r4_every_way_of_delivery_gives_the_same_bytes() {
    // Around what is held back until the digest agrees, and around what is read at a time.
    let sizes = [
        0, 1, 3_000, 65_535, 65_536, 65_537, 131_072, 262_144, 262_145, 1_500_000,
    ];
    for storage in MODES {
        let (gitlab, mut larder, client) = start(storage, "");
        let files: Vec<Artifact> = sizes
            .iter()
            .map(|n| publish(&gitlab, &format!("all{n}"), *n))
            .collect();
        for file in &files {
            let n = file.bytes.len();
            let case = |way: &str| format!("{storage:?} {n} bytes, {way}");
            let address = path::project_file(42, file);
            let gate = gitlab.hold(Site::FileBody, n as u64 / 2);
            let leader = client.start("GET", &address, &[]);
            // The stand-in holds no empty body.
            gate.wait_for(n.min(1));
            let joined = client.start("GET", &address, &[]);
            let resumed = (n > 100).then(|| {
                let from = format!("bytes={}-", n / 3);
                client.start(
                    "GET",
                    &address,
                    &[("Range", &from), ("If-Range", &tag(file))],
                )
            });
            gate.open();
            assert!(right(&leader.finish(), file, &case("cold")));
            assert!(right(&joined.finish(), file, &case("joined")));
            if let Some(resumed) = resumed {
                check(&resumed.finish(), &(206, n / 3..n), file, &case("resumed"));
            }
            // An empty body may be delivered before the stand-in notes that it has sent it.
            gitlab
                .log()
                .wait_until("it is noted", |log| log.file_bodies().transfers > 0);
            assert_eq!(
                gitlab.log().file_bodies().transfers,
                1,
                "{}",
                case("all of these")
            );
            assert!(right(&client.get(&address), file, &case("warm")));
            let old = client
                .head_text("GET", &address, &[])
                .replace("HTTP/1.1", "HTTP/1.0");
            assert!(right(&client.raw(old.as_bytes()), file, &case("HTTP/1.0")));
            let mut parts = Vec::new();
            let step = n / 7 + 1;
            for from in (0..n).step_by(step) {
                let range = format!("bytes={from}-{}", from + step - 1);
                parts.extend_from_slice(client.get_range(&address, &range).expect(206));
            }
            assert!(parts == file.bytes, "{}", case("in parts"));
            assert!(right(
                &client.get(&path::group_file(7, file)),
                file,
                &case("another address")
            ));
            gitlab.behave();
            gitlab.log().clear();
        }
        larder = larder.restart();
        let client = larder.client().token(token::READER);
        for file in &files {
            let reply = client.get(&path::project_file(42, file));
            assert!(
                right(&reply, file, "after a restart"),
                "{storage:?}: {reply:?}"
            );
        }
        assert_eq!(
            gitlab.log().file_bodies().transfers,
            0,
            "{storage:?}: all of it was kept"
        );
    }
}

#[test]
fn r4_a_body_of_unknown_length_is_delivered_whole() {
    for storage in MODES {
        for act in [Act::Chunked, Act::UntilClose] {
            let (gitlab, _larder, client) = start(storage, "");
            for size in [1, 3_000, 65_536, 300_000] {
                let case = format!("{storage:?} {act:?} {size}");
                let file = publish(&gitlab, &format!("u{size}"), size);
                gitlab.plan(act.clone().at(Site::FileBody).containing(&file.filename));
                assert!(
                    right(&client.get(&path::project_file(42, &file)), &file, &case),
                    "{case}"
                );
                let before = gitlab.log().file_bodies().transfers;
                let hot = client.get(&path::project_file(42, &file));
                let length = size.to_string();
                assert!(
                    right(&hot, &file, &case) && hot.header("Content-Length") == Some(&length),
                    "{case}"
                );
                assert_eq!(gitlab.log().file_bodies().transfers, before, "{case}");
            }
        }
    }
}

/// What GET, HEAD and the conditional requests must agree on.
fn agree(client: &Client, address: &str, file: &Artifact, case: &str) {
    let told = |reply: &Reply| {
        let header = |name| reply.header(name).map(str::to_owned);
        (
            reply.status,
            header("Content-Length"),
            header("ETag"),
            header("Accept-Ranges"),
            header("Content-Type"),
        )
    };
    let head = client.head(address);
    assert!(
        head.is_complete() && head.body.is_empty(),
        "{case}: {head:?}"
    );
    let ranged_head = client.request("HEAD", address, &[("Range", "bytes=0-9")]);
    let unknown = client.request("HEAD", address, &[("If-None-Match", "\"other\"")]);
    let tag = tag(file);
    let weak = format!("W/{tag}");
    let listed = format!("\"other\", {tag}");
    for list in [tag.as_str(), &weak, &listed, "*"] {
        for method in ["GET", "HEAD"] {
            for range in [None, Some(("Range", "bytes=5-9"))] {
                let headers: Vec<_> = [("If-None-Match", list)].into_iter().chain(range).collect();
                let known = client.request(method, address, &headers);
                assert_eq!(
                    (
                        known.status,
                        known.header("ETag"),
                        known.body.len(),
                        known.is_complete()
                    ),
                    (304, Some(tag.as_str()), 0, true),
                    "{case}: {method} {headers:?}: {known:?}"
                );
            }
        }
    }
    let get = client.get_if_none_match(address, "\"other\"");
    assert_eq!(get.expect(200), &file.bytes[..], "{case}");
    assert_eq!(told(&head), told(&get), "{case}: HEAD and GET");
    assert_eq!(
        told(&ranged_head),
        told(&get),
        "{case}: a range means nothing to HEAD"
    );
    assert_eq!(
        told(&unknown),
        told(&get),
        "{case}: HEAD of something else than the client has"
    );
    assert_eq!(get.header("ETag"), Some(tag.as_str()), "{case}");
}

#[test]
fn r9_head_get_and_conditions_agree_hot_cold_and_when_the_blob_is_gone() {
    for storage in MODES {
        let (gitlab, larder, client) = start(storage, STAYS_COLD);
        for size in [1, 3_000, 300_000] {
            let file = publish(&gitlab, &format!("agree{size}"), size);
            let address = path::project_file(42, &file);
            let case = |state: &str| format!("{storage:?} {size} bytes, {state}");
            agree(&client, &address, &file, &case("cold"));
            agree(&client, &address, &file, &case("hot"));
            kept(&larder, &file);
            let blob = StoreListing::of(&larder.cache_dir())
                .blob(&file.sha256)
                .expect("it is stored")
                .path
                .clone();
            std::fs::remove_file(&blob).expect("it is there");
            agree(&client, &address, &file, &case("removed"));
            agree(&client, &address, &file, &case("fetched again"));
        }
        let larder = larder.restart();
        let client = larder.client().token(token::READER);
        for size in [1, 3_000, 300_000] {
            let file = Artifact::noise(&format!("agree{size}"), "1.0", size);
            agree(
                &client,
                &path::project_file(42, &file),
                &file,
                &format!("{storage:?} {size}, restarted"),
            );
        }
        let absent = Artifact::noise("absent", "1.0", 10);
        for address in [
            path::project_file(42, &absent),
            path::group_file(7, &absent),
        ] {
            let (get, head) = (client.get(&address), client.head(&address));
            assert_eq!((head.status, get.status), (404, 404), "{head:?}");
            assert_eq!(
                head.header("Content-Length"),
                get.header("Content-Length"),
                "{storage:?}"
            );
            assert_eq!(
                head.header("Content-Type"),
                get.header("Content-Type"),
                "{storage:?}"
            );
        }
        gitlab.log().assert_nothing_unexpected();
    }
}

#[test]
fn r9_a_head_is_no_download() {
    for storage in MODES {
        let (gitlab, larder, client) = start(storage, "");
        let file = publish(&gitlab, "head", 300_000);
        for _ in 0..3 {
            client.head(&path::project_file(42, &file)).expect(200);
            client
                .get_if_none_match(&path::project_file(42, &file), &tag(&file))
                .expect(304);
        }
        assert!(
            gitlab.log().file_bodies().bytes < 1000,
            "{storage:?}: {:?}",
            gitlab.log().file_bodies()
        );
        assert!(
            StoreListing::of(&larder.cache_dir()).blobs.is_empty(),
            "{storage:?}: only a GET stores"
        );
        assert_eq!(
            gitlab
                .log()
                .of(Kind::File)
                .iter()
                .filter(|entry| entry.head.method != "GET")
                .count(),
            0
        );
    }
}
