//! PEP 658: the METADATA of wheels, made here, and shown to those who may have the wheel.

use std::path::PathBuf;
use std::time::Duration;

use crate::common::delivery::{MODES, eventually, kept};
use crate::support::wheel::sha256_hex;
use crate::support::{
    Act, Artifact, Client, Distribution, Entry, GitLab, Kind, Larder, NewFile, Reply, Site,
    Storage, StoreListing, path, real_wheels, token,
};

/// Nothing expires by itself while a test runs.
const LASTING: &str = "[auth]\ncache_ttl = \"300s\"";

fn core_metadata(project: u64, wheel: &Artifact) -> String {
    format!("{}.metadata", path::project_file(project, wheel))
}

fn wheel() -> Artifact {
    Distribution::new("My.Pkg", "1.0.0")
        .depends_on("other>=2")
        .payload(200_000)
        .wheel()
}

fn start(storage: Storage, wheel: &Artifact) -> (GitLab, Larder, Client) {
    let gitlab = GitLab::builder().storage(storage).start();
    gitlab.publish(42, wheel);
    let larder = Larder::builder(&gitlab).sections(LASTING).start();
    let client = larder.client().token(token::READER);
    (gitlab, larder, client)
}

/// Downloads the wheel, so that larder has its metadata.
fn fetch(larder: &Larder, client: &Client, wheel: &Artifact) {
    assert_eq!(
        client.get(&path::project_file(42, wheel)).expect(200),
        &wheel.bytes[..]
    );
    kept(larder, wheel);
}

#[track_caller]
fn is_metadata(reply: &Reply, wheel: &Artifact) {
    assert_eq!(reply.expect(200), &wheel.metadata[..]);
    assert_eq!(
        reply.header("ETag"),
        Some(format!("\"{}\"", sha256_hex(&wheel.metadata)).as_str())
    );
}

/// The bytes of a stored body, on the disk.
fn place(larder: &Larder, sha256: &str) -> PathBuf {
    let listing = StoreListing::of(&larder.cache_dir());
    listing
        .blob(sha256)
        .unwrap_or_else(|| panic!("{sha256} is not stored"))
        .path
        .clone()
}

fn transfers(gitlab: &GitLab) -> usize {
    gitlab.log().file_bodies().transfers
}

fn assert_same_word(case: &str, reply: &Reply, word: &Reply) {
    assert_eq!(
        (reply.status, reply.text()),
        (word.status, word.text()),
        "{case}: {reply:?}"
    );
}

#[test]
fn the_metadata_of_a_wheel_that_was_fetched_is_served_like_a_file() {
    for storage in MODES {
        let wheel = wheel();
        let (gitlab, larder, client) = start(storage, &wheel);
        let address = core_metadata(42, &wheel);
        fetch(&larder, &client, &wheel);
        let before = gitlab.log().len();

        let whole = client.get(&address);
        is_metadata(&whole, &wheel);
        let etag = whole.header("ETag").expect("a tag").to_owned();
        let head = client.head(&address);
        assert_eq!(
            (head.status, head.header("ETag")),
            (200, Some(etag.as_str()))
        );
        assert_eq!(
            head.header("Content-Length"),
            Some(wheel.metadata.len().to_string().as_str())
        );
        let part = client.get_range(&address, "bytes=5-14");
        assert_eq!((part.status, &part.body[..]), (206, &wheel.metadata[5..15]));
        assert_eq!(client.get_range(&address, "bytes=99999-").status, 416);
        assert_eq!(client.get_if_none_match(&address, &etag).status, 304);
        is_metadata(
            &client.get_if_none_match(&address, &format!("\"{}\"", wheel.sha256)),
            &wheel,
        );
        assert_eq!(
            gitlab.log().len(),
            before,
            "{storage:?}: GitLab had no part in it"
        );

        let larder = larder.restart();
        is_metadata(&larder.client().token(token::READER).get(&address), &wheel);
        gitlab.log().assert_nothing_unexpected();
    }
}

#[test]
fn real_wheels_yield_their_metadata() {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab).sections(LASTING).start();
    let client = larder.client().token(token::READER);
    for wheel in real_wheels() {
        gitlab.publish(42, &wheel);
        fetch(&larder, &client, &wheel);
        let reply = client.get(&core_metadata(42, &wheel));
        assert!(
            reply.expect(200).starts_with(b"Metadata-Version: 2."),
            "{}",
            wheel.filename
        );
    }
}

#[test]
fn metadata_is_gitlabs_to_answer_where_larder_makes_none() {
    let wheel = wheel();
    let (gitlab, _larder, _) = start(Storage::Disk, &wheel);
    let word = Client::new(gitlab.address())
        .token(token::READER)
        .get(&core_metadata(42, &wheel));
    let off = Larder::builder(&gitlab)
        .sections("[metadata]\ngenerate = false")
        .start();
    let client = off.client().token(token::READER);
    for _ in 0..2 {
        assert_same_word("off", &client.get(&core_metadata(42, &wheel)), &word);
        fetch(&off, &client, &wheel);
    }
}

#[test]
fn metadata_of_what_is_no_wheel_or_is_not_there_is_gitlabs_to_answer() {
    for storage in MODES {
        let wheel = wheel();
        let (gitlab, larder, client) = start(storage, &wheel);
        // Not published; and published, but with a name that no wheel can have.
        let absent = Distribution::new("absent", "1.0").wheel();
        let odd = Artifact::opaque("odd", "1.0", "odd-1.0.whl", wheel.bytes.clone());
        gitlab.publish(42, &odd);
        for file in [&absent, &odd] {
            let word = Client::new(gitlab.address())
                .token(token::READER)
                .get(&core_metadata(42, file));
            let case = format!("{storage:?} {}", file.filename);
            assert_same_word(&case, &client.get(&core_metadata(42, file)), &word);
            assert_eq!(word.status, 404, "{case}");
            assert!(
                !StoreListing::of(&larder.cache_dir()).holds(&file.sha256),
                "{case}"
            );
        }
    }
}

/// Another larder of the same name may have advertised it, or this one before its store was
/// emptied: a client that was promised metadata stops without it.
#[test]
fn metadata_of_a_wheel_that_was_never_seen_is_made_when_it_is_asked_for() {
    for storage in MODES {
        for payload in [0, 200_000] {
            let case = format!("{storage:?}, {payload} bytes");
            let wheel = Distribution::new("My.Pkg", "1.0.0")
                .depends_on("other>=2")
                .payload(payload)
                .wheel();
            let (gitlab, larder, client) = start(storage, &wheel);
            let address = core_metadata(42, &wheel);
            let fetched_once = |what: &str, larder: &Larder| {
                kept(larder, &wheel);
                let bodies = gitlab.log().file_bodies();
                // The question for the length is one byte.
                let most = wheel.bytes.len() as u64 + 1;
                assert!(bodies.bytes <= most, "{case}, {what}: {bodies:?} of {most}");
                gitlab.log().clear();
            };
            is_metadata(&client.get(&address), &wheel);
            fetched_once("never seen", &larder);
            assert_eq!(
                client.get(&path::project_file(42, &wheel)).expect(200),
                &wheel.bytes[..],
                "{case}"
            );
            assert_eq!(
                gitlab.log().file_bodies().bytes,
                0,
                "{case}: it was verified, and is here"
            );

            let purged = larder.command(&["purge", "projects/42/my-pkg"]);
            assert!(purged.status.success(), "{case}: {purged:?}");
            assert!(
                !StoreListing::of(&larder.cache_dir()).holds(&wheel.sha256),
                "{case}"
            );
            gitlab.log().clear();
            let head = client.head(&address);
            let length = wheel.metadata.len().to_string();
            assert_eq!(
                (head.status, head.header("Content-Length")),
                (200, Some(length.as_str())),
                "{case}"
            );
            fetched_once("purged", &larder);

            drop(larder);
            let elsewhere = Larder::builder(&gitlab).sections(LASTING).start();
            let client = elsewhere.client().token(token::READER);
            // A page of this process says nothing of it.
            client.get(&path::project_page(42, "my-pkg")).expect(200);
            is_metadata(&client.get(&address), &wheel);
            fetched_once("another folder", &elsewhere);
            gitlab.log().assert_nothing_unexpected();
        }
    }
}

#[test]
fn a_crowd_that_wants_metadata_fetches_the_wheel_once() {
    for storage in MODES {
        let wheel = wheel();
        let (gitlab, larder, client) = start(storage, &wheel);
        client.get(&path::project_page(42, "my-pkg")).expect(200);
        gitlab.log().clear();
        let gate = gitlab.hold(Site::FileBody, 10_000);
        std::thread::scope(|scope| {
            let crowd: Vec<_> = (0..16)
                .map(|_| scope.spawn(|| client.get(&core_metadata(42, &wheel))))
                .collect();
            let whole = scope.spawn(|| client.get(&path::project_file(42, &wheel)));
            gate.wait_for(1);
            // One who comes when the wheel has come, and is not stored yet, reads its end by
            // itself.
            eventually("all of them are here", || {
                larder.metric("larder_connections") >= Some(17.0)
            });
            gate.open();
            for one in crowd {
                is_metadata(&one.join().expect("a client"), &wheel);
            }
            assert_eq!(
                whole.join().expect("a client").expect(200),
                &wheel.bytes[..]
            );
        });
        kept(&larder, &wheel);
        let bytes = gitlab.log().file_bodies().bytes;
        assert_eq!(
            bytes,
            wheel.bytes.len() as u64,
            "{storage:?}: {:#?}",
            gitlab.log().entries()
        );
    }
}

#[test]
fn a_wheel_that_is_too_large_to_be_fetched_for_its_metadata_is_read_by_ranges() {
    for storage in MODES {
        let wheel = wheel();
        let gitlab = GitLab::builder().storage(storage).start();
        gitlab.publish(42, &wheel);
        let sections = format!("{LASTING}\n[files]\nbackground_fetch_max = \"100KiB\"");
        let larder = Larder::builder(&gitlab).sections(&sections).start();
        let client = larder.client().token(token::READER);
        is_metadata(&client.get(&core_metadata(42, &wheel)), &wheel);
        let bytes = gitlab.log().file_bodies().bytes;
        assert!(bytes < 80_000, "{storage:?}: {bytes}");
        assert!(
            !StoreListing::of(&larder.cache_dir()).holds(&wheel.sha256),
            "{storage:?}"
        );
        // What was read of it is not asked for again.
        assert_eq!(
            client.get(&path::project_file(42, &wheel)).expect(200),
            &wheel.bytes[..]
        );
        let bytes = gitlab.log().file_bodies().bytes;
        assert!(
            bytes <= wheel.bytes.len() as u64 + 1,
            "{storage:?}: {bytes}"
        );
    }
}

#[test]
fn r1_metadata_of_a_wheel_whose_bytes_are_wrong_is_not_made() {
    for storage in MODES {
        let wheel = wheel();
        let (gitlab, larder, client) = start(storage, &wheel);
        let other = Distribution::new("My.Pkg", "1.0.0")
            .depends_on("evil")
            .payload(200_000)
            .wheel();
        gitlab.change(|universe| {
            for stored in universe.files_mut(42, &wheel.filename) {
                stored.bytes = other.bytes.clone();
            }
        });
        let word = Client::new(gitlab.address())
            .token(token::READER)
            .get(&core_metadata(42, &wheel));
        for _ in 0..3 {
            assert_same_word(
                &format!("{storage:?}"),
                &client.get(&core_metadata(42, &wheel)),
                &word,
            );
        }
        // Two wrong bodies, and it is left alone for a while.
        let transfers = gitlab.log().file_bodies().transfers;
        client.get(&core_metadata(42, &wheel));
        assert_eq!(
            gitlab.log().file_bodies().transfers,
            transfers,
            "{storage:?}"
        );
        StoreListing::of(&larder.cache_dir()).assert_every_blob_is_right();
    }
}

#[test]
fn r22_r24_metadata_is_for_those_who_may_have_the_wheel() {
    for storage in MODES {
        let (wheel, unknown) = (wheel(), Distribution::new("unknown", "1.0").wheel());
        let (gitlab, larder, client) = start(storage, &wheel);
        gitlab.publish(42, &unknown);
        fetch(&larder, &client, &wheel);
        let direct = Client::new(gitlab.address());
        for secret in [
            token::STRANGER,
            token::EXPIRED,
            token::REVOKED,
            token::NARROW,
            "nobody",
        ] {
            for (method, headers) in [
                ("GET", vec![]),
                ("HEAD", vec![]),
                ("GET", vec![("If-None-Match", "*")]),
            ] {
                let ask = |client: Client, wheel| {
                    client
                        .token(secret)
                        .request(method, &core_metadata(42, wheel), &headers)
                };
                let case = format!("{storage:?} {secret} {method} {headers:?}");
                let (warm, cold) = (ask(larder.client(), &wheel), ask(larder.client(), &unknown));
                assert_same_word(&case, &warm, &ask(direct.clone(), &wheel));
                assert_same_word(&case, &cold, &warm);
                assert_eq!(
                    cold.header("Cache-Status"),
                    warm.header("Cache-Status"),
                    "{case}"
                );
                assert!(warm.status >= 400, "{case}");
            }
        }
        // Somebody whose right is not known yet is asked about, and then gets it from here.
        let before = transfers(&gitlab);
        is_metadata(
            &larder
                .client()
                .token(token::DEVELOPER)
                .get(&core_metadata(42, &wheel)),
            &wheel,
        );
        assert_eq!(
            transfers(&gitlab),
            before,
            "{storage:?}: a question moves no bytes"
        );
        gitlab.revoke(token::READER);
        let asks_each_time = Larder::builder(&gitlab)
            .sections("[auth]\ncache_ttl = \"0\"")
            .at_home_of(&larder);
        drop(larder);
        let revoked = asks_each_time
            .start()
            .client()
            .token(token::READER)
            .get(&core_metadata(42, &wheel));
        assert!(
            matches!(revoked.status, 401 | 403),
            "{storage:?}: {revoked:?}"
        );
    }
}

#[test]
fn r22_metadata_belongs_to_the_address_that_yielded_the_wheel() {
    let wheel = wheel();
    let (gitlab, larder, client) = start(Storage::Disk, &wheel);
    fetch(&larder, &client, &wheel);
    // Somebody who knows the digest, from a lock file, declares it for a file of his own.
    let lure = NewFile {
        filename: wheel.filename.clone(),
        ..NewFile::from(&Artifact::noise("lure", "1.0", 5000))
    };
    gitlab.publish(43, lure.declared_sha256(&wheel.sha256));
    let reply = larder
        .client()
        .token(token::STRANGER)
        .get(&core_metadata(43, &wheel));
    assert_eq!(reply.status, 404, "{reply:?}");
    is_metadata(&client.get(&core_metadata(42, &wheel)), &wheel);
}

/// Changes made to the bytes of a good wheel.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Artifact {
    let good = Distribution::new("hostile", "1.0").wheel();
    let mut bytes = good.bytes.to_vec();
    change(&mut bytes);
    Artifact::opaque("hostile", "1.0", &good.filename, bytes)
}

fn each(bytes: &mut [u8], pattern: &[u8], change: impl Fn(&mut [u8])) {
    for at in 0..=bytes.len() - pattern.len() {
        if bytes[at..].starts_with(pattern) {
            change(&mut bytes[at..]);
        }
    }
}

/// Wheels that are not what they seem; each has a digest of its own.
pub(crate) fn hostile() -> Vec<(&'static str, Artifact)> {
    let replaced = |from: &'static [u8], to: &'static [u8]| {
        changed(move |bytes| each(bytes, from, |found| found[..to.len()].copy_from_slice(to)))
    };
    let good = Distribution::new("hostile", "1.0").wheel();
    let large = Distribution::new("hostile", "1.0")
        .depends_on(&"x".repeat(64 << 20))
        .wheel();
    let claims_little = {
        let mut bytes = large.bytes.to_vec();
        let size = u32::try_from(large.metadata.len())
            .expect("below 4 GiB")
            .to_le_bytes();
        each(&mut bytes, &size, |found| {
            found[..4].copy_from_slice(&1000u32.to_le_bytes())
        });
        Artifact::opaque("hostile", "1.0", &large.filename, bytes)
    };
    vec![
        ("no archive", Artifact::noise("hostile", "1.0", 100_000)),
        (
            "empty",
            Artifact::opaque("hostile", "1.0", &good.filename, ""),
        ),
        (
            "another name",
            Artifact::opaque(
                "other",
                "1.0",
                "other-1.0-py3-none-any.whl",
                good.bytes.clone(),
            ),
        ),
        (
            "another version",
            Artifact::opaque(
                "hostile",
                "2.0",
                "hostile-2.0-py3-none-any.whl",
                good.bytes.clone(),
            ),
        ),
        (
            "data after the end",
            changed(|bytes| bytes.extend(b"and more")),
        ),
        ("cut", changed(|bytes| bytes.truncate(bytes.len() - 30))),
        (
            "two folders",
            replaced(
                b"hostile-1.0.dist-info/top_level",
                b"hostilf-1.0.dist-info/top_level",
            ),
        ),
        (
            "no METADATA",
            replaced(b".dist-info/METADATA", b".dist-info/METADATB"),
        ),
        (
            "encrypted",
            changed(|bytes| {
                each(bytes, b"PK\x03\x04", |found| found[6] |= 1);
                each(bytes, b"PK\x01\x02", |found| found[8] |= 1);
            }),
        ),
        (
            "a wrong checksum",
            changed(|bytes| {
                each(bytes, b"PK\x03\x04", |found| found[14] ^= 1);
                each(bytes, b"PK\x01\x02", |found| found[16] ^= 1);
            }),
        ),
        (
            "zip64 that is not there",
            changed(|bytes| each(bytes, b"PK\x05\x06", |found| found[8..20].fill(0xff))),
        ),
        (
            "a member in zip64 that is not there",
            changed(|bytes| each(bytes, b"PK\x01\x02", |found| found[20..28].fill(0xff))),
        ),
        ("METADATA of another project", {
            let other = Distribution::new("hostilf", "1.0").wheel();
            let mut bytes = other.bytes.to_vec();
            each(&mut bytes, b"hostilf-1.0.dist-info", |found| {
                found[6] = b'e'
            });
            Artifact::opaque("hostile", "1.0", &good.filename, bytes)
        }),
        ("a bomb that says so", large),
        ("a bomb that does not", claims_little),
    ]
}

#[test]
fn r1_hostile_wheels_yield_nothing_and_cost_no_memory() {
    let gitlab = GitLab::start();
    let larder = Larder::builder(&gitlab).sections(LASTING).start();
    let client = larder.client().token(token::READER);
    gitlab.publish(42, wheel());
    fetch(&larder, &client, &wheel());
    larder.forget_peak();
    let before = larder.peak_resident_bytes();
    for (case, wheel) in hostile() {
        gitlab.publish(42, &wheel);
        fetch(&larder, &client, &wheel);
        for _ in 0..2 {
            let word = Client::new(gitlab.address())
                .token(token::READER)
                .get(&core_metadata(42, &wheel));
            assert_same_word(case, &client.get(&core_metadata(42, &wheel)), &word);
            assert_eq!(word.status, 404, "{case}");
        }
    }
    let grown = larder.peak_resident_bytes().saturating_sub(before);
    assert!(grown < 24 << 20, "{grown} bytes more");
}

#[test]
fn r5_damaged_metadata_is_never_served() {
    let wheel = wheel();
    let (gitlab, larder, client) = start(Storage::Disk, &wheel);
    fetch(&larder, &client, &wheel);
    let place = place(&larder, &sha256_hex(&wheel.metadata));
    let mut bytes = wheel.metadata.to_vec();
    bytes[20] ^= 1;
    for (case, damaged) in [
        ("flipped", &bytes[..]),
        ("cut", &bytes[..10]),
        ("empty", b""),
    ] {
        std::fs::write(&place, damaged).expect("writable");
        is_metadata(&client.get(&core_metadata(42, &wheel)), &wheel);
        assert_eq!(
            std::fs::read(&place).expect("made again"),
            &wheel.metadata[..],
            "{case}"
        );
    }
    assert_eq!(transfers(&gitlab), 1, "made of the wheel that is here");
    StoreListing::of(&larder.cache_dir()).assert_every_blob_is_right();
}

#[test]
fn evicted_metadata_is_made_again() {
    for storage in MODES {
        for ranges in [true, false] {
            let case = format!("{storage:?}, ranges: {ranges}");
            let wheel = wheel();
            let (gitlab, larder, client) = start(storage, &wheel);
            fetch(&larder, &client, &wheel);
            let metadata = sha256_hex(&wheel.metadata);
            std::fs::remove_file(place(&larder, &metadata)).expect("evicted");
            is_metadata(&client.get(&core_metadata(42, &wheel)), &wheel);
            assert_eq!(transfers(&gitlab), 1, "{case}: the wheel is here");

            for stored in [&metadata, &wheel.sha256] {
                std::fs::remove_file(place(&larder, stored)).expect("evicted");
            }
            let larder = larder.restart();
            if !ranges {
                gitlab.plan(Act::IgnoreRange.at(Site::FileBody));
            }
            gitlab.log().clear();
            let client = larder.client().token(token::READER);
            client.get(&path::project_page(42, "my-pkg")).expect(200);
            is_metadata(&client.get(&core_metadata(42, &wheel)), &wheel);
            let moved: u64 = gitlab
                .log()
                .entries()
                .iter()
                .filter(|entry| entry.is_file_body())
                .map(|entry| entry.body_sent)
                .sum();
            assert_eq!(moved < 80_000, ranges, "{case}: {moved} bytes");
            if !ranges {
                kept(&larder, &wheel);
            }
            assert_eq!(
                StoreListing::of(&larder.cache_dir()).holds(&wheel.sha256),
                !ranges,
                "{case}"
            );
        }
    }
}

#[test]
fn what_a_lying_address_showed_gives_way_to_the_verified_wheel() {
    let wheel = wheel();
    let (gitlab, larder, client) = start(Storage::Disk, &wheel);
    fetch(&larder, &client, &wheel);
    for stored in [&sha256_hex(&wheel.metadata), &wheel.sha256] {
        std::fs::remove_file(place(&larder, stored)).expect("evicted");
    }
    let larder = larder.restart();
    let client = larder.client().token(token::READER);
    client.get(&path::project_page(42, "my-pkg")).expect(200);
    // For a while upstream has another file in its place.
    let other = Distribution::new("My.Pkg", "1.0.0")
        .depends_on("evil")
        .payload(200_000)
        .wheel();
    let put = |bytes: bytes::Bytes| {
        gitlab.change(|universe| {
            for stored in universe.files_mut(42, &wheel.filename) {
                stored.bytes = bytes.clone();
            }
        });
    };
    put(other.bytes.clone());
    let reply = client.get(&core_metadata(42, &wheel));
    // Whatever is delivered is delivered under its own digest.
    assert!(
        reply.status != 200
            || reply.header("ETag") == Some(&format!("\"{}\"", sha256_hex(&reply.body)))
    );
    put(wheel.bytes.clone());
    fetch(&larder, &client, &wheel);
    is_metadata(&client.get(&core_metadata(42, &wheel)), &wheel);
    assert!(gitlab.log().count(Kind::File) > 0);
}

/// Whoever began the download of the wheel may be refused; that is no word about who waits for it.
#[test]
fn r23_a_refusal_of_whoever_began_the_download_is_told_to_nobody_else() {
    for storage in MODES {
        let wheel = wheel();
        let (gitlab, larder, client) = start(storage, &wheel);
        let page = path::project_page(42, "my-pkg");
        client.get(&page).expect(200);
        let stranger = larder.client().token(token::REVOKED);
        gitlab.plan(
            Act::StallBeforeHead(Duration::from_secs(1))
                .at(Kind::File)
                .once(),
        );
        std::thread::scope(|scope| {
            let refused = scope.spawn(|| stranger.get(&path::project_file(42, &wheel)));
            gitlab
                .log()
                .wait_until("the stranger leads", |log| log.count(Kind::File) == 1);
            is_metadata(&client.get(&core_metadata(42, &wheel)), &wheel);
            assert_eq!(refused.join().expect("a client").status, 401, "{storage:?}");
        });
        gitlab.log().clear();
        client.get(&page).expect(200);
        assert_eq!(
            gitlab.log().count(Kind::Page),
            0,
            "{storage:?}: the right stands as it stood"
        );
    }
}

/// A wheel that was read whole for its metadata waits for a turn to be stored; what GitLab said by
/// giving it does not get any younger.
#[test]
fn r22_a_word_that_waits_for_a_turn_is_as_old_as_it_is() {
    let gitlab = GitLab::start();
    let small = Distribution::new("small", "1.0").wheel();
    let big = Artifact::noise("big", "1.0", 2_000_000);
    gitlab.publish(42, &small);
    gitlab.publish(42, &big);
    let larder = Larder::builder(&gitlab)
        .sections(&format!("{LASTING}\n[files]\nmax_downloads = 1"))
        .start();
    let client = larder.client().token(token::READER);
    let gate = gitlab.hold(Site::FileBody, 100_000);
    std::thread::scope(|scope| {
        let other = larder.client().token(token::DEVELOPER);
        let whole = scope.spawn(move || other.get(&path::project_file(42, &big)));
        gate.wait_for(1);
        // Nobody else is held.
        gitlab.behave();
        let told = scope.spawn(|| client.get(&core_metadata(42, &small)));
        gitlab.log().wait_until("the wheel's end is read", |log| {
            let is_end = |entry: &Entry| {
                entry
                    .head
                    .header("Range")
                    .is_some_and(|range| range.starts_with("bytes=-"))
            };
            log.entries().iter().any(is_end)
        });
        std::thread::sleep(Duration::from_millis(300));
        assert!(larder.command(&["auth", "flush"]).status.success());
        gate.open();
        is_metadata(&told.join().expect("a client"), &small);
        whole.join().expect("a client").expect(200);
    });
    kept(&larder, &small);
    gitlab.log().clear();
    assert_eq!(
        client.get(&path::project_file(42, &small)).expect(200),
        &small.bytes[..]
    );
    gitlab
        .log()
        .wait_until("what was said before counts no more", |log| {
            log.count(Kind::File) == 1
        });
}
