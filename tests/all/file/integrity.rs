//! Wrong bodies from upstream: never delivered as whole, never stored, and mended where that is
//! possible.

use crate::common::delivery::{MODES, eventually, kept, right, spooled};
use crate::support::{
    Act, Artifact, Client, Exchange, Fault, GitLab, Kind, Larder, Site, Storage, StoreListing,
    path, token,
};

const SIZES: [usize; 3] = [3_000, 300_000, 2_000_000];
const JOINERS: usize = 8;

/// What upstream does to a body of so many bytes, each time it is asked; with a name for messages.
fn faults(size: usize) -> Vec<(&'static str, Vec<Act>)> {
    let (middle, last) = ((size / 2) as u64, size as u64 - 1);
    vec![
        ("first byte wrong", vec![Act::Flip { at: 0 }]),
        ("middle byte wrong", vec![Act::Flip { at: middle }]),
        ("last byte wrong", vec![Act::Flip { at: last }]),
        (
            "last byte wrong, in chunks",
            vec![Act::Flip { at: last }, Act::Chunked],
        ),
        (
            "last byte wrong, ended by close",
            vec![Act::Flip { at: last }, Act::UntilClose],
        ),
        (
            "cut in the middle",
            vec![Act::Close { after: middle }, Act::NoValidators],
        ),
        (
            "one byte short",
            vec![Act::Close { after: last }, Act::NoValidators],
        ),
        (
            "cut in the middle, in chunks",
            vec![
                Act::Close { after: middle },
                Act::Chunked,
                Act::NoValidators,
            ],
        ),
        (
            "cut in the middle, ended by close",
            vec![Act::Close { after: middle }, Act::UntilClose],
        ),
        (
            "one byte short, ended by close",
            vec![Act::Close { after: last }, Act::UntilClose],
        ),
        (
            "chunks without the last",
            vec![Act::ChunkedWithoutEnd, Act::Flip { at: middle }],
        ),
        (
            "reset in the middle",
            vec![Act::Reset { after: middle }, Act::NoValidators],
        ),
        (
            "reset, and other bytes after it",
            vec![Act::Reset { after: middle }, Act::Flip { at: last }],
        ),
        (
            "bytes behind the end",
            vec![Act::Extra(100), Act::Flip { at: last }],
        ),
        ("in an encoding nobody asked for", vec![Act::Gzipped]),
    ]
}

/// Plans it for this file, from now on.
fn spoil(gitlab: &GitLab, file: &Artifact, acts: &[Act]) {
    for act in acts {
        gitlab.plan(about(act.clone(), file));
    }
}

fn about(act: Act, file: &Artifact) -> Fault {
    act.at(Site::FileBody).containing(&file.filename)
}

fn start(storage: Storage) -> (GitLab, Larder, Client) {
    let gitlab = GitLab::builder().storage(storage).start();
    let larder = Larder::start(&gitlab);
    let client = larder.client().token(token::READER);
    (gitlab, larder, client)
}

fn publish(gitlab: &GitLab, name: &str, size: usize) -> Artifact {
    let file = Artifact::noise(name, "1.0", size);
    gitlab.publish(42, &file);
    file
}

/// Whether larder leaves the address alone for now: says why without asking.
fn shunned(gitlab: &GitLab, client: &Client, file: &Artifact) -> bool {
    let before = gitlab.log().len();
    let reply = client.get(&path::project_file(42, file));
    if reply.status != 502 || gitlab.log().len() > before {
        return false;
    }
    assert!(
        reply.is_complete() && reply.text().contains("sha256"),
        "{reply:?}"
    );
    assert_eq!(
        reply.header("Content-Type"),
        Some("application/problem+json")
    );
    true
}

/// One client and as many as eight who read along: none of them may take what comes for the file.
fn sweep(storage: Storage) {
    let (gitlab, larder, client) = start(storage);
    let good = publish(&gitlab, "good", 300_000);
    client.get(&path::project_file(42, &good)).expect(200);
    for size in SIZES {
        for (number, (fault, acts)) in faults(size).into_iter().enumerate() {
            for joiners in [0, JOINERS] {
                let case = format!("{storage:?}, {size} bytes, {joiners} joiners, {fault}");
                let file = publish(&gitlab, &format!("f{size}-{number}-{joiners}"), size);
                let address = path::project_file(42, &file);
                let gate = gitlab.hold(Site::FileBody, size as u64 / 3);
                spoil(&gitlab, &file, &acts);

                let mut readers: Vec<Exchange> = (0..=joiners)
                    .map(|_| client.start("GET", &address, &[]))
                    .collect();
                if size > 200_000 {
                    // Bytes leave before the digest is known: whoever has one has boarded the one
                    // download.
                    readers.iter_mut().for_each(|reader| {
                        reader.read_body(1);
                    });
                } else {
                    gate.wait_for(1);
                }
                gate.open();
                for reader in readers {
                    let reply = reader.finish();
                    assert!(
                        !right(&reply, &file, &case),
                        "{case}: how could it be right? {reply:?}"
                    );
                }
                // A resume after the cut brings nothing either.
                let tag = format!("\"{}\"", file.sha256);
                let rest = format!("bytes={}-", size / 2);
                let resumed = client.get_with(&address, &[("Range", &rest), ("If-Range", &tag)]);
                assert!(
                    !(resumed.is_complete() && resumed.status < 300),
                    "{case}: the rest of a body that was cut was given: {resumed:?}"
                );

                gitlab.behave();
                if !shunned(&gitlab, &client, &file) {
                    let after = client.get(&address);
                    assert!(
                        right(&after, &file, &case),
                        "{case}: upstream is well again, and yet {after:?}"
                    );
                }
                let transfers = gitlab.log().file_bodies().transfers;
                let other = client.get(&path::project_file(42, &good));
                assert!(
                    right(&other, &good, &case),
                    "{case}: a good file is lost: {other:?}"
                );
                assert_eq!(
                    gitlab.log().file_bodies().transfers,
                    transfers,
                    "{case}: a good file is lost"
                );
            }
        }
    }
    eventually("no half-written file is left", || {
        spooled(&larder).is_empty()
    });
    StoreListing::of(&larder.cache_dir()).assert_every_blob_is_right();
    gitlab.log().assert_nothing_unexpected();
}

#[test]
fn r1_no_wrong_body_is_delivered_as_whole_from_gitlabs_disk() {
    sweep(Storage::Disk);
}

#[test]
fn r1_no_wrong_body_is_delivered_as_whole_from_the_object_store() {
    sweep(Storage::Redirect);
}

#[test]
fn r1_no_wrong_body_is_delivered_as_whole_through_gitlab_from_its_store() {
    sweep(Storage::Proxied);
}

#[test]
fn r1_clients_that_cannot_be_told_of_a_break_get_nothing_before_it_is_verified() {
    let (gitlab, _larder, client) = start(Storage::Disk);
    for (number, (fault, acts)) in faults(300_000).into_iter().enumerate() {
        let file = publish(&gitlab, &format!("old{number}"), 300_000);
        let head = client.head_text("GET", &path::project_file(42, &file), &[]);
        let head = head.replace("HTTP/1.1", "HTTP/1.0");
        spoil(&gitlab, &file, &acts);
        let reply = client.raw(head.as_bytes());
        assert!(
            reply.status == 502,
            "{fault}: HTTP/1.0 knows no chunks, and a short body is no sign: {reply:?}"
        );
        gitlab.behave();
        if !shunned(&gitlab, &client, &file) {
            assert_eq!(
                client.raw(head.as_bytes()).expect(200),
                &file.bytes[..],
                "{fault}"
            );
        }
    }
}

#[test]
fn r1_a_wrong_body_that_nobody_saw_is_fetched_again_on_a_fresh_connection() {
    for storage in MODES {
        let (gitlab, _larder, client) = start(storage);
        // Small enough that no byte leaves before the digest is known.
        let file = publish(&gitlab, "small", 60_000);
        client.get(&path::project_page(42, "small")).expect(200);
        gitlab.plan(about(Act::Flip { at: 59_999 }, &file).once());
        let reply = client.get(&path::project_file(42, &file));
        assert!(
            right(&reply, &file, "fetched again"),
            "{storage:?}: {reply:?}"
        );
        let kind = if storage == Storage::Redirect {
            Kind::Object
        } else {
            Kind::File
        };
        let bodies: Vec<_> = gitlab
            .log()
            .of(kind)
            .into_iter()
            .filter(|entry| entry.is_file_body())
            .collect();
        assert_eq!(bodies.len(), 2, "{storage:?}");
        assert_ne!(
            bodies[0].connection, bodies[1].connection,
            "{storage:?}: the bad node was asked again"
        );
    }
}

#[test]
fn r1_two_wrong_bodies_and_the_address_is_left_alone_for_a_while() {
    for storage in MODES {
        for size in [3_000, 300_000] {
            let case = format!("{storage:?} {size}");
            let (gitlab, larder, client) = start(storage);
            let file = publish(&gitlab, "bad", size);
            let other = publish(&gitlab, "other", size);
            let address = path::project_file(42, &file);
            gitlab.plan(about(
                Act::Flip {
                    at: size as u64 - 1,
                },
                &file,
            ));
            for _ in 0..2 {
                assert!(!right(&client.get(&address), &file, &case));
            }
            let bodies = gitlab.log().file_bodies().transfers;
            assert!((2..=3).contains(&bodies), "{case}: {bodies} transfers");
            assert!(shunned(&gitlab, &client, &file), "{case}");
            for range in ["bytes=0-", "bytes=-10", "bytes=100-199"] {
                let before = gitlab.log().len();
                assert_eq!(
                    client.get_range(&address, range).status,
                    502,
                    "{case} {range}"
                );
                assert_eq!(
                    gitlab.log().len(),
                    before,
                    "{case} {range}: asked all the same"
                );
            }
            // A stranger is told what GitLab tells him, shunned or not.
            let stranger = larder.client().token(token::STRANGER);
            assert_eq!(stranger.get(&address).status, 404, "{case}");
            assert!(right(
                &client.get(&path::project_file(42, &other)),
                &other,
                &case
            ));
            larder.wait_for_log("checksum mismatch");
        }
    }
}

#[test]
fn r1_after_a_wrong_byte_was_seen_nothing_more_is_shown_before_it_is_verified() {
    let (gitlab, _larder, client) = start(Storage::Disk);
    let file = publish(&gitlab, "big", 2_000_000);
    let address = path::project_file(42, &file);
    gitlab.plan(about(Act::Flip { at: 1_999_999 }, &file).once());
    let first = client.get(&address);
    assert!(
        !right(&first, &file, "first") && !first.body.is_empty(),
        "{first:?}"
    );
    let gate = gitlab.hold(Site::FileBody, 1_900_000);
    std::thread::scope(|scope| {
        let second = scope.spawn(|| client.get(&address));
        let resumed = scope.spawn(|| client.get_range(&address, "bytes=1000-"));
        gate.wait_for(1);
        gate.open();
        let second = second.join().expect("no panic");
        assert!(right(&second, &file, "second"), "{second:?}");
        let resumed = resumed.join().expect("no panic");
        assert_eq!(resumed.expect(206), &file.bytes[1000..]);
    });
    assert_eq!(
        gitlab.log().file_bodies().transfers,
        2,
        "the resume reads along, once it is suspected"
    );
}

#[test]
fn r2_nothing_wrong_is_found_in_the_store_nor_in_a_later_answer() {
    for storage in MODES {
        let (gitlab, larder, client) = start(storage);
        let mut files = Vec::new();
        for size in [3_000, 300_000] {
            for (number, (fault, acts)) in faults(size).into_iter().enumerate() {
                let case = format!("{storage:?}, {size} bytes, {fault}");
                let file = publish(&gitlab, &format!("f{size}-{number}"), size);
                spoil(&gitlab, &file, &acts);
                assert!(!right(
                    &client.get(&path::project_file(42, &file)),
                    &file,
                    &case
                ));
                eventually(&format!("{case}: the half-written file goes"), || {
                    spooled(&larder).is_empty()
                });
                let listing = StoreListing::of(&larder.cache_dir());
                listing.assert_every_blob_is_right();
                assert!(
                    listing.blob(&file.sha256).is_none(),
                    "{case}: stored all the same"
                );
                assert!(
                    listing.blobs.is_empty(),
                    "{case}: wrong bytes are kept under some other name"
                );
                files.push((case, file));
            }
        }
        gitlab.behave();
        let larder = larder.restart();
        let client = larder.client().token(token::READER);
        for (case, file) in &files {
            let reply = client.get(&path::project_file(42, file));
            assert!(right(&reply, file, case), "{case}: {reply:?}");
            let hot = client.get(&path::project_file(42, file));
            assert!(right(&hot, file, case), "{case}: {hot:?}");
        }
        for (_, file) in &files {
            kept(&larder, file);
        }
        assert_eq!(
            StoreListing::of(&larder.cache_dir()).blobs.len(),
            files.len()
        );
    }
}

#[test]
fn bytes_behind_the_end_of_a_right_body_spoil_nothing_that_follows() {
    for storage in MODES {
        let (gitlab, _larder, client) = start(storage);
        for number in 0..10 {
            let file = publish(&gitlab, &format!("long{number}"), 30_000);
            gitlab.plan(about(Act::Extra(1000), &file).once());
            let reply = client.get(&path::project_file(42, &file));
            assert!(
                right(&reply, &file, "with more behind it"),
                "{storage:?}: {reply:?}"
            );
        }
    }
}
