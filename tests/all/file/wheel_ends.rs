//! Clients that read wheels' metadata by ranges: a HEAD, and then a range at the end.

use std::time::{Duration, Instant};

use crate::common::delivery::{MODES, eventually, kept};
use crate::support::wheel::noise;
use crate::support::{
    Act, Artifact, Client, Distribution, Entry, FOR_EVER, GitLab, Kind, Larder, Reply, Site,
    Storage, StoreListing, path, token,
};

/// What uv reads first of a wheel.
const END_BYTES: usize = 16_384;

/// Nothing expires by itself while a test runs.
const LASTING: &str = "[auth]\ncache_ttl = \"300s\"\n[index]\nttl = \"300s\"";

fn wheel(version: &str) -> Artifact {
    Distribution::new("ended", version)
        .depends_on("other>=2")
        .payload(200_000)
        .wheel()
}

/// One whose METADATA lies before the end that uv reads first.
fn long_wheel(version: &str) -> Artifact {
    let text: String = noise("long", 30_000)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Distribution::new("ended", version)
        .depends_on(&format!("other=={text}"))
        .payload(200_000)
        .wheel()
}

/// A larder whose reader has seen the page that lists these wheels.
fn start(storage: Storage, sections: &str, wheels: &[Artifact]) -> (GitLab, Larder, Client) {
    start_with(storage, "", sections, wheels)
}

/// The same, which talks to GitLab so.
fn start_with(
    storage: Storage,
    gitlab_setting: &str,
    sections: &str,
    wheels: &[Artifact],
) -> (GitLab, Larder, Client) {
    let gitlab = GitLab::builder().storage(storage).start();
    wheels.iter().for_each(|wheel| gitlab.publish(42, wheel));
    let larder = Larder::builder(&gitlab)
        .gitlab_setting(gitlab_setting)
        .sections(sections)
        .start();
    let client = larder.client().token(token::READER);
    client.get(&path::project_page(42, "ended")).expect(200);
    gitlab.log().clear();
    (gitlab, larder, client)
}

#[track_caller]
fn head(client: &Client, wheel: &Artifact) {
    let reply = client.head(&path::project_file(42, wheel));
    let length = wheel.bytes.len().to_string();
    reply.expect(200);
    assert_eq!(reply.header("Content-Length"), Some(length.as_str()));
    assert_eq!(reply.header("Accept-Ranges"), Some("bytes"));
}

fn ask_end(client: &Client, wheel: &Artifact) -> Reply {
    let length = wheel.bytes.len();
    let range = format!("bytes={}-{}", length - END_BYTES, length - 1);
    client.get_range(&path::project_file(42, wheel), &range)
}

/// The end comes as upstream's own part: without a tag, and not to be stored.
#[track_caller]
fn end(client: &Client, wheel: &Artifact) {
    let reply = ask_end(client, wheel);
    let length = wheel.bytes.len();
    assert_eq!(reply.expect(206), &wheel.bytes[length - END_BYTES..]);
    let told = format!("bytes {}-{}/{length}", length - END_BYTES, length - 1);
    assert_eq!(reply.header("Content-Range"), Some(told.as_str()));
    assert_eq!(reply.header("Cache-Control"), Some("private, no-store"));
    assert_eq!(reply.header("ETag"), None);
}

/// Whether GitLab was asked for this file's bytes, and for how many.
fn moved(gitlab: &GitLab, wheel: &Artifact) -> (usize, u64) {
    let entries = gitlab.log().answered().into_iter();
    let of_wheel =
        |entry: &Entry| entry.is_file_body() && entry.head.target.contains(&wheel.filename);
    entries
        .filter(of_wheel)
        .fold((0, 0), |(requests, bytes), entry| {
            (requests + 1, bytes + entry.body_sent)
        })
}

#[test]
fn a_client_that_reads_metadata_gets_a_wheels_end_with_its_head() {
    for storage in MODES {
        let wheels = ["1.0", "2.0"].map(wheel);
        let (gitlab, larder, client) = start(storage, LASTING, &wheels);
        let [first, second] = &wheels;
        // Nothing is known of the client yet: its head costs one byte.
        head(&client, first);
        assert_eq!(moved(&gitlab, first), (1, 1), "{storage:?}");
        end(&client, first);
        assert_eq!(
            moved(&gitlab, first),
            (2, 1 + END_BYTES as u64),
            "{storage:?}"
        );
        head(&client, second);
        end(&client, second);
        assert_eq!(moved(&gitlab, second), (1, END_BYTES as u64), "{storage:?}");
        for wheel in &wheels {
            assert!(!StoreListing::of(&larder.cache_dir()).holds(&wheel.sha256));
        }
        // The rest is asked for only when it is wanted, and the end is not asked for again.
        for wheel in &wheels {
            let whole = client.get(&path::project_file(42, wheel));
            assert_eq!(whole.expect(200), &wheel.bytes[..], "{storage:?}");
            kept(&larder, wheel);
        }
        let [first_bytes, second_bytes] = [first, second].map(|wheel| wheel.bytes.len() as u64);
        assert_eq!(moved(&gitlab, first).1, first_bytes + 1, "{storage:?}");
        assert_eq!(moved(&gitlab, second).1, second_bytes, "{storage:?}");
        gitlab.log().assert_nothing_unexpected();
    }
}

#[test]
fn the_next_client_is_told_the_metadata_of_wheels_whose_end_was_read() {
    for storage in MODES {
        let wheels = ["1.0", "2.0"].map(wheel);
        let (gitlab, larder, client) = start(storage, LASTING, &wheels);
        for wheel in &wheels {
            head(&client, wheel);
            end(&client, wheel);
        }
        eventually("the page tells the metadata of both", || {
            let page = larder.client().token(token::READER);
            let page = page.get(&path::project_page(42, "ended"));
            page.text().matches("data-core-metadata").count() == wheels.len()
        });
        let before = gitlab.log().len();
        for wheel in &wheels {
            let address = format!("{}.metadata", path::project_file(42, wheel));
            assert_eq!(client.get(&address).expect(200), &wheel.metadata[..]);
        }
        assert_eq!(gitlab.log().len(), before, "{storage:?}");
    }
}

/// Where METADATA's own header begins.
fn metadata_start(wheel: &Artifact) -> usize {
    let name = b".dist-info/METADATA";
    let named = wheel.bytes.windows(name.len());
    let at = named.clone().position(|bytes| bytes == name);
    let before = &wheel.bytes[..at.expect("it has one")];
    let signature = b"PK\x03\x04";
    let header = before.windows(4).rposition(|bytes| bytes == signature);
    header.expect("a header before the name")
}

#[test]
fn metadata_before_the_end_is_there_as_well_when_the_client_comes_for_it() {
    for storage in MODES {
        let wheels = [wheel("1.0"), long_wheel("2.0")];
        let (gitlab, larder, client) = start(storage, LASTING, &wheels);
        let [first, long] = &wheels;
        head(&client, first);
        end(&client, first);
        head(&client, long);
        let before = gitlab.log().len();
        end(&client, long);
        let start = metadata_start(long);
        let after = long.bytes.len() - END_BYTES;
        assert!(
            start + 8192 < after,
            "it lies before the end: {start} {after}"
        );
        let range = format!("bytes={start}-{}", start + 8191);
        let part = client.get_range(&path::project_file(42, long), &range);
        assert_eq!(
            part.expect(206),
            &long.bytes[start..start + 8192],
            "{storage:?}"
        );
        assert_eq!(gitlab.log().len(), before, "{storage:?}");
        eventually("its metadata is known", || {
            let page = larder.client().token(token::READER);
            let page = page.get(&path::project_page(42, "ended"));
            page.text().matches("data-core-metadata").count() == wheels.len()
        });
        gitlab.log().assert_nothing_unexpected();
    }
}

#[test]
fn r3_an_end_that_was_read_with_a_head_is_given_once_and_to_one_caller() {
    for storage in MODES {
        let wheels = ["1.0", "2.0"].map(wheel);
        let sections = format!("{LASTING}\n[files]\nbackground_fetch_max = \"0\"");
        let (gitlab, larder, client) = start(storage, &sections, &wheels);
        let [first, second] = &wheels;
        head(&client, first);
        end(&client, first);
        head(&client, second);
        // Another caller, with the same right, has an answer of its own.
        let other = larder.client().token(token::DEVELOPER);
        other.get(&path::project_page(42, "ended")).expect(200);
        end(&other, second);
        assert_eq!(moved(&gitlab, second).0, 2, "{storage:?}");
        end(&client, second);
        assert_eq!(moved(&gitlab, second).0, 2, "{storage:?}");
        end(&client, second);
        assert_eq!(moved(&gitlab, second).0, 3, "{storage:?}");
        let stranger = larder.client().token(token::STRANGER);
        head(&client, first);
        assert_eq!(ask_end(&stranger, first).status, 404, "{storage:?}");
    }
}

#[test]
fn r22_an_end_is_not_given_to_a_caller_whose_right_has_ended() {
    for storage in MODES {
        let wheels = ["1.0", "2.0"].map(wheel);
        let sections = "[auth]\ncache_ttl = \"1s\"";
        let (gitlab, _larder, client) = start(storage, sections, &wheels);
        let [first, second] = &wheels;
        head(&client, first);
        end(&client, first);
        head(&client, second);
        gitlab.revoke(token::READER);
        std::thread::sleep(Duration::from_millis(1100));
        let refused = ask_end(&client, second);
        assert!(
            matches!(refused.status, 401 | 403),
            "{storage:?}: {refused:?}"
        );
    }
}

/// How often GitLab was asked for this file.
fn questions(gitlab: &GitLab, wheel: &Artifact) -> usize {
    let asked = gitlab.log().of(Kind::File).into_iter();
    asked
        .filter(|entry| entry.head.target.contains(&wheel.filename))
        .count()
}

#[test]
fn r22_a_refusal_while_an_end_is_read_is_the_answer() {
    for (storage, status) in MODES.into_iter().zip([401, 403, 404]) {
        let wheels = ["1.0", "2.0"].map(wheel);
        let (gitlab, _larder, client) = start(storage, LASTING, &wheels);
        let [first, second] = &wheels;
        head(&client, first);
        end(&client, first);
        let refusal = Act::Status(status).at(Kind::File);
        gitlab.plan(refusal.containing(&second.filename).once());
        // GitLab would say yes to another question.
        let reply = client.head(&path::project_file(42, second));
        assert_eq!(reply.status, status, "{storage:?}");
        assert_eq!(questions(&gitlab, second), 1, "{storage:?}");
    }
}

#[test]
fn r22_a_refusal_of_what_lies_before_the_end_is_the_answer() {
    for (storage, status) in MODES.into_iter().zip([401, 403, 404]) {
        let wheels = [wheel("1.0"), long_wheel("2.0")];
        let (gitlab, _larder, client) = start(storage, LASTING, &wheels);
        let [first, long] = &wheels;
        head(&client, first);
        end(&client, first);
        let refusal = Act::Status(status).at(Kind::File);
        gitlab.plan(refusal.containing(&long.filename).skipping(1).once());
        let reply = client.head(&path::project_file(42, long));
        assert_eq!(reply.status, status, "{storage:?}");
        assert_eq!(questions(&gitlab, long), 2, "{storage:?}");
        // The end that came before it is not given any more.
        let refusal = Act::Status(status).at(Kind::File);
        gitlab.plan(refusal.containing(&long.filename));
        assert_eq!(ask_end(&client, long).status, status, "{storage:?}");
    }
}

#[test]
fn what_does_not_come_soon_is_not_waited_for_with_a_head() {
    for storage in MODES {
        let wheels = [wheel("1.0"), long_wheel("2.0")];
        let sections = format!("{LASTING}\n[metadata]\nanswer_timeout = \"300ms\"");
        let (gitlab, _larder, client) = start(storage, &sections, &wheels);
        let [first, long] = &wheels;
        head(&client, first);
        end(&client, first);
        let silence = Act::StallBeforeHead(FOR_EVER).at(Site::FileBody);
        gitlab.plan(silence.containing(&long.filename).skipping(1));
        let asked = Instant::now();
        head(&client, long);
        // Half of what GitLab may take for any answer.
        let soon = Duration::from_secs(15);
        assert!(asked.elapsed() < soon, "{storage:?}: {:?}", asked.elapsed());
        let before = gitlab.log().len();
        end(&client, long);
        assert_eq!(gitlab.log().len(), before, "{storage:?}");
    }
}

#[test]
fn a_silent_upstream_is_asked_once_for_a_head() {
    for storage in MODES {
        let wheels = ["1.0", "2.0"].map(wheel);
        let impatient = "header_timeout = \"3s\"";
        let (gitlab, _larder, client) = start_with(storage, impatient, LASTING, &wheels);
        let [first, second] = &wheels;
        head(&client, first);
        end(&client, first);
        let silence = Act::StallBeforeHead(FOR_EVER).at(Kind::File);
        gitlab.plan(silence.containing(&second.filename));
        let reply = client.head(&path::project_file(42, second));
        assert_eq!(reply.status, 504, "{storage:?}");
        assert_eq!(questions(&gitlab, second), 1, "{storage:?}");
    }
}

#[test]
fn r1_r2_a_wrong_end_is_upstreams_own_answer_and_found_in_no_later_one() {
    for storage in MODES {
        let wheels = ["1.0", "2.0"].map(wheel);
        let (gitlab, larder, client) = start(storage, LASTING, &wheels);
        let [first, second] = &wheels;
        head(&client, first);
        end(&client, first);
        let at = second.bytes.len() as u64 - 10;
        gitlab.plan(
            Act::Flip { at }
                .at(Site::FileBody)
                .containing(&second.filename),
        );
        head(&client, second);
        let wrong = ask_end(&client, second);
        assert_eq!(
            (wrong.status, wrong.header("ETag")),
            (206, None),
            "{storage:?}"
        );
        gitlab.behave();
        end(&client, second);
        let whole = client.get(&path::project_file(42, second));
        assert!(
            !(whole.status == 200 && whole.is_complete()) || whole.body == second.bytes,
            "{storage:?}"
        );
        eventually("it is fetched right", || {
            let whole = client.get(&path::project_file(42, second));
            whole.status == 200 && whole.is_complete() && whole.body == second.bytes
        });
        StoreListing::of(&larder.cache_dir()).assert_every_blob_is_right();
    }
}

#[test]
fn a_short_wheel_is_stored_with_its_head() {
    for storage in MODES {
        let long = wheel("1.0");
        let short = Distribution::new("ended", "2.0").wheel();
        let wheels = [long, short];
        let (gitlab, larder, client) = start(storage, LASTING, &wheels);
        let [long, short] = &wheels;
        head(&client, long);
        end(&client, long);
        head(&client, short);
        let last = format!("bytes=0-{}", short.bytes.len() - 1);
        let part = client.get_range(&path::project_file(42, short), &last);
        assert_eq!(part.expect(206), &short.bytes[..], "{storage:?}");
        let whole = client.get(&path::project_file(42, short));
        assert_eq!(whole.expect(200), &short.bytes[..], "{storage:?}");
        kept(&larder, short);
        let length = short.bytes.len() as u64;
        assert_eq!(moved(&gitlab, short), (1, length), "{storage:?}");
    }
}

#[test]
fn a_head_never_costs_an_upstream_without_ranges_a_body_that_is_thrown_away() {
    for storage in MODES {
        let wheels = ["1.0", "2.0", "3.0"].map(wheel);
        let (gitlab, larder, client) = start(storage, LASTING, &wheels);
        gitlab.plan(Act::IgnoreRange.at(Site::FileBody));
        gitlab.plan(Act::NoAcceptRanges.at(Site::FileBody));
        for wheel in &wheels {
            head(&client, wheel);
            let part = ask_end(&client, wheel);
            let length = wheel.bytes.len();
            assert_eq!(
                part.expect(206),
                &wheel.bytes[length - END_BYTES..],
                "{storage:?}"
            );
            kept(&larder, wheel);
            let whole = client.get(&path::project_file(42, wheel));
            assert_eq!(whole.expect(200), &wheel.bytes[..], "{storage:?}");
            assert_eq!(moved(&gitlab, wheel), (1, length as u64), "{storage:?}");
        }
        gitlab.log().assert_nothing_unexpected();
    }
}
